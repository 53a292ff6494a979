//! Requests of ONLYOFFICE's public clients: other spellings, forms, JSON arrays in text, dates with hyphens.

use jiff::tz::TimeZone;
use models::access::{Access, ShareType};
use models::filter::listing::SortBy;
use models::filter::{Filter, ListView};
use models::invalid::Invalid;
use models::limits::MAX_PAGE;
use models::request::{
    JobsStart, Query, RequestBody, SetContactAccess, SetContactsAccess, SignInRequest, check_no_fields, queries,
};
use models::values::id::{ContactId, UserId};

use crate::requests::{list_contacts, run_once, set_filter_access, set_rule};

const MIKE: &str = "9924256a-739c-462b-af15-e652a3b1b6eb";
const ANNA: &str = "00000000-0000-0000-0000-000000000001";
const ZONE: TimeZone = TimeZone::UTC;

fn user(id: &str) -> UserId {
    id.parse().unwrap()
}

fn id(number: i64) -> ContactId {
    number.try_into().unwrap()
}

/// Wraps a text that begins with a brace as JSON, any other text as a form.
fn body(text: &str) -> RequestBody<'_> {
    if text.starts_with('{') { RequestBody::Json(text.as_bytes()) } else { RequestBody::Form(text.as_bytes()) }
}

/// Compares a parsed request with the expected value, or a fault with the expected part of its message.
#[track_caller]
fn check<T: PartialEq + std::fmt::Debug>(text: &str, read: Result<T, Invalid>, expected: Result<T, &str>) {
    match (read, expected) {
        (Err(invalid), Err(expected)) => {
            let message = invalid.to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
        (read, expected) => {
            assert_eq!(read.map_err(|invalid| invalid.to_string()), expected.map_err(str::to_owned), "{text}");
        }
    }
}

#[test]
fn sign_in_accepts_blank_fields_of_onlyoffice() {
    for (text, expected) in [
        (r#"{"userName":"ada@example.com","password":"pw"}"#, Ok(())),
        (r#"{"username":"ada@example.com","password":"pw"}"#, Ok(())),
        (r#"{"UserName":"ada@example.com","Password":"pw"}"#, Ok(())),
        ("userName=ada%40example.com&password=pw", Ok(())),
        ("USERNAME=ada%40example.com&PASSWORD=pw", Ok(())),
        // The example of ONLYOFFICE's reference page, and the default values of its generated clients.
        (r#"{"userName":"ada@example.com","password":"pw","provider":"","accessToken":"","codeOAuth":""}"#, Ok(())),
        (
            r#"{"userName":"ada@example.com","password":"pw","passwordHash":null,"provider":null,"accessToken":null,
                "serializedProfile":null,"code":"","codeOAuth":null,"type":0,"session":false,
                "confirmData":{"email":null,"first":false,"key":""},"recaptchaType":0,"recaptchaResponse":"",
                "culture":null}"#,
            Ok(()),
        ),
        (r#"{"username":"ada@example.com","password":"pw","PROVIDER":"","AccessToken":null,"confirmData":{}}"#, Ok(())),
        (
            "userName=ada%40example.com&password=pw&provider=&accessToken=&codeOAuth=&type=0&session=false\
             &confirmData[email]=&culture=",
            Ok(()),
        ),
        ("username=ada%40example.com&password=pw&password=pw", Ok(())),
        // Two spellings of the same field.
        (r#"{"userName":"ada@example.com","username":"ada@example.com","password":"pw"}"#, Ok(())),
        (r#"{"userName":"ada@example.com","username":"bob@example.com","password":"pw"}"#, Err("userName is given")),
        ("username=ada%40example.com&userName=bob%40example.com&password=pw", Err("userName is given more than once")),
        ("username=ada%40example.com&password=pw&password=other", Err("password is given more than once")),
        (r#"{"userName":"ada@example.com","password":5}"#, Err("password must be a string")),
        // Each of the other fields requests a feature that does not exist here.
        (r#"{"userName":"ada@example.com","password":"pw","provider":"google"}"#, Err("provider must be empty")),
        (r#"{"userName":"ada@example.com","password":"pw","accessToken":"secret"}"#, Err("accessToken must be empty")),
        (r#"{"userName":"ada@example.com","password":"pw","CODEOAUTH":"x"}"#, Err("codeOAuth must be empty")),
        (r#"{"userName":"ada@example.com","password":"pw","type":1}"#, Err("type must be empty")),
        (r#"{"userName":"ada@example.com","password":"pw","type":"0"}"#, Err("type must be empty")),
        (r#"{"userName":"ada@example.com","password":"pw","session":true}"#, Err("session must be empty")),
        (
            r#"{"userName":"ada@example.com","password":"pw","confirmData":{"key":"x"}}"#,
            Err("confirmData must be empty"),
        ),
        (
            r#"{"userName":"ada@example.com","passwordHash":"x"}"#,
            Err("passwordHash must be empty or left out: send the password itself"),
        ),
        ("userName=ada%40example.com&password=pw&type=1", Err("type must be empty")),
        ("userName=ada%40example.com&password=pw&confirmData[key]=x", Err("confirmData must be empty")),
        (r#"{"user":"ada@example.com","password":"pw"}"#, Err("did you mean userName? Known are userName, password")),
    ] {
        let read = SignInRequest::parse(body(text));
        if let Ok(request) = &read {
            let SignInRequest::Password(request) = request else { panic!("{text}: {request:?}") };
            assert_eq!((request.user_name.as_str(), request.password.as_str()), ("ada@example.com", "pw"), "{text}");
        }
        check(text, read.map(drop), expected);
    }
    let secret = SignInRequest::parse(body(r#"{"accessToken":"s3cret","passwordHash":"s3cret","code":"s3cret"}"#));
    assert!(!secret.unwrap_err().to_string().contains("s3cret"));
    let request = SignInRequest::parse(body("username=ada%40example.com&password=pw&Portal=acme")).unwrap();
    let SignInRequest::Password(request) = request else { panic!("{request:?}") };
    assert_eq!(request.portal, Some("acme".parse().unwrap()));
}

#[test]
fn code_signs_in_alone() {
    let code = |text: &str| Ok(SignInRequest::Code(text.to_owned()));
    for (text, expected) in [
        (r#"{"code":"c0de"}"#, code("c0de")),
        (r#"{"Code":"c0de"}"#, code("c0de")),
        ("code=c0de", code("c0de")),
        ("code=0", code("0")),
        // Typed clients send blank fields.
        (r#"{"code":"c0de","userName":"","password":null,"type":0,"session":false}"#, code("c0de")),
        ("code=c0de&userName=&password=", code("c0de")),
        (r#"{"code":"c0de","password":"pw"}"#, Err("password cannot be given together with code")),
        (r#"{"code":"c0de","userName":"ada@example.com"}"#, Err("userName cannot be given together with code")),
        ("code=c0de&portal=acme", Err("portal cannot be given together with code; send the code alone")),
        (r#"{"code":"c0de","accessToken":"x"}"#, Err("accessToken must be empty")),
        (r#"{"code":5}"#, Err("code must be a string")),
        (r#"{"code":["c0de"]}"#, Err("code must be a string")),
        ("code=c0de&code=other", Err("code is given more than once")),
        (r#"{"code":"","userName":"ada@example.com"}"#, Err("password is required")),
        (r#"{"code":false}"#, Err("userName is required")),
    ] {
        check(text, SignInRequest::parse(body(text)), expected);
    }
    let secret = SignInRequest::parse(body(r#"{"code":"s3cret","password":"s3cret"}"#));
    assert!(!secret.unwrap_err().to_string().contains("s3cret"));
    assert_eq!(format!("{:?}", SignInRequest::Code("s3cret".into())), "Code(..)");
}

#[test]
fn names_are_compared_without_case() {
    let shared = |managers: &[&str]| SetContactAccess {
        target: Access::requested(false, managers.iter().map(|id| user(id))).into(),
    };
    for (text, expected) in [
        (format!(r#"{{"IsShared":true,"managerlist":["{MIKE}"]}}"#), Ok(shared(&[MIKE]))),
        (format!("ISSHARED=true&ManagerList[]={MIKE}"), Ok(shared(&[MIKE]))),
        (format!("isShared=true&managerList[]={MIKE}&managerlist[]={ANNA}"), Ok(shared(&[MIKE, ANNA]))),
        (r#"{"isShared":true,"IsShared":true}"#.into(), Ok(shared(&[]))),
        ("isShared=true&IsShared=true".into(), Ok(shared(&[]))),
        (r#"{"isShared":true,"IsShared":false}"#.into(), Err("isShared is given more than once with different values")),
        (r#"{"isShared":true,"IsShared":null}"#.into(), Err("isShared is given more than once with different values")),
        ("isShared=true&IsShared=false".into(), Err("isShared is given more than once with different values")),
        (r#"{"isShared":true,"isShared":true}"#.into(), Err("isShared is given more than once; give it once")),
        (format!(r#"{{"isShared":true,"managerList":["{MIKE}"],"ManagerList":[]}}"#), Err("managerList is given")),
        // Names with other than ASCII letters have no second spelling.
        (r#"{"iſShared":true}"#.into(), Err("iſShared is not a field of this endpoint")),
    ] {
        check(&text, SetContactAccess::parse(body(&text), id(5)), expected);
    }
    for (text, expected) in [
        (r#"{"contactId":[5,7],"isshared":true}"#, Ok(vec![id(5), id(7)])),
        (r#"{"ContactID":5,"isShared":true}"#, Ok(vec![id(5)])),
        (r#"{"contactid":["5",7],"isShared":true}"#, Ok(vec![id(5), id(7)])),
        (r#"{"contactid":"5","isShared":true}"#, Ok(vec![id(5)])),
        ("contactId[]=5&contactid[]=7&isShared=true", Ok(vec![id(5), id(7)])),
        ("contactId=5&ContactID=7&isShared=true", Ok(vec![id(5), id(7)])),
        (r#"{"contactid":5,"contactId":7,"isShared":true}"#, Err("contactid is given more than once")),
        (r#"{"contactid":["x"],"isShared":true}"#, Err("contactid[0] must be a whole number from 1")),
    ] {
        check(text, SetContactsAccess::parse(body(text)).map(|request| request.contacts), expected);
    }
    let rule = r#"{"Filter":{"Tags":["vip"]},"TARGET":{"isprivate":true},"Cron":"0 2 * * *","timezone":"UTC"}"#;
    let rule = set_rule(body(rule), &ZONE).unwrap();
    assert_eq!((rule.filter.tags, rule.target), (vec!["vip".to_owned()], Access::requested(true, Vec::new()).into()));
    let two = r#"{"filter":{"tags":["vip"],"Tags":["uk"]},"target":{"isPrivate":true},"cron":"0 2 * * *"}"#;
    check(two, set_rule(body(two), &ZONE).map(drop), Err("filter.tags is given more than once"));
    let run = br#"{"Portal":"acme","Filter":{},"Access":{"IsPrivate":true},"maxaffected":5}"#;
    assert_eq!(run_once(run, &ZONE).unwrap().max_affected, Some(5));
}

#[test]
fn parameters_are_compared_without_case_and_repeated_values_count_once() {
    let list = |text: &str| list_contacts(text, &ZONE);
    let request = list(
        "StartIndex=3&Count=2&TAGS=a&tags=b&responsibleId=9924256a-739c-462b-af15-e652a3b1b6eb&SORTBY=displayname",
    )
    .unwrap();
    assert_eq!((request.page.start_index, request.page.count), (3, 2));
    assert_eq!(request.filter.tags, ["a", "b"]);
    assert_eq!((request.filter.access.responsible, request.order.by), (Some(user(MIKE)), SortBy::DisplayName));
    for (text, expected) in [
        ("count=2&startIndex=0&Count=2", Ok(2)),
        ("count=2&&&startIndex=0&", Ok(2)),
        ("count=2&count=3", Err("count is given more than once with different values")),
        ("count=2&COUNT=3&count=2", Err("count is given more than once with different values")),
        ("cout=2", Err("cout is not a query parameter of this endpoint; did you mean count?")),
    ] {
        check(text, list(text).map(|request| request.page.count), expected);
        let mut query = Query::new(text, queries::PAGE);
        let count = query.page().count;
        check(text, query.finish().map(|()| count), expected);
    }
}

#[test]
fn count_above_the_maximum_means_the_maximum() {
    for (text, expected) in [
        ("count=0", Ok(0)),
        ("count=1000", Ok(MAX_PAGE)),
        ("count=1001", Ok(MAX_PAGE)),
        ("count=2147483647", Ok(MAX_PAGE)),
        ("count=99999999999999999999999999", Ok(MAX_PAGE)),
        ("count=00010", Ok(10)),
        ("count=-1", Err("count must be a whole number, 0 or more; it is")),
        ("count=-99999999999999999999999999", Err("count must be a whole number")),
        ("count=1001.5", Err("count must be a whole number")),
        ("count=1e9", Err("count must be a whole number")),
        ("count=", Err("count must be a whole number")),
        ("count=all", Err("count must be a whole number")),
    ] {
        check(text, list_contacts(text, &ZONE).map(|request| request.page.count), expected);
        let (mut page, mut jobs) = (Query::new(text, queries::PAGE), Query::new(text, queries::LIST_JOBS));
        for (count, query) in [(page.page().count, page), (jobs.jobs_page().count, jobs)] {
            check(text, query.finish().map(|()| count), expected);
        }
    }
    let mut query = Query::new("Count=5000&startindex=7", queries::LIST_JOBS);
    let page = query.jobs_page();
    assert_eq!((page.count, page.start), (MAX_PAGE, JobsStart::Index(7)));
}

#[test]
fn contact_in_the_body_must_be_the_contact_of_the_path() {
    let expected = SetContactAccess { target: Access::requested(false, Vec::new()).into() };
    for text in [
        r#"{"isShared":true}"#,
        r#"{"isShared":true,"contactid":null}"#,
        r#"{"isShared":true,"contactid":5}"#,
        r#"{"isShared":true,"contactid":5.0}"#,
        r#"{"isShared":true,"contactId":"5"}"#,
        r#"{"isShared":true,"CONTACTID":5}"#,
        "isShared=true&contactid=5",
        "isShared=true&contactId[]=5",
        "isShared=1&contactid=5&contactId=5",
    ] {
        check(text, SetContactAccess::parse(body(text), id(5)), Ok(expected.clone()));
    }
    for text in [
        r#"{"isShared":true,"contactid":6}"#,
        r#"{"isShared":true,"contactid":"6"}"#,
        r#"{"isShared":true,"contactid":5.5}"#,
        r#"{"isShared":true,"contactid":""}"#,
        r#"{"isShared":true,"contactid":[5]}"#,
        r#"{"isShared":true,"contactid":[5,6]}"#,
        r#"{"isShared":true,"contactid":true}"#,
        r#"{"isShared":true,"contactid":99999999999999999999}"#,
        "isShared=true&contactid=6",
        "isShared=true&contactid=",
    ] {
        let message = "contactid must be 5, the contact of the path, or be left out; it is";
        check(text, SetContactAccess::parse(body(text), id(5)), Err(message));
    }
    let two = "isShared=true&contactid=5&contactid=6";
    check(two, SetContactAccess::parse(body(two), id(5)), Err("contactid is given more than once"));
}

fn replacement(request: SetContactAccess) -> Access {
    request.target.replacement().unwrap().clone()
}

#[test]
fn forms_have_booleans_and_arrays_as_text() {
    for (text, expected) in [
        ("isShared=1", Ok(ShareType::ReadWrite)),
        ("isShared=True", Ok(ShareType::ReadWrite)),
        ("isShared=0", Ok(ShareType::None)),
        ("isShared=false", Ok(ShareType::None)),
        ("isShared=", Err("isShared must be true or false")),
        ("isShared=2", Err("isShared must be true or false")),
        ("isShared=yes", Err("isShared must be true or false")),
        ("isShared=1&isShared=0", Err("isShared is given more than once")),
        ("isShared[]=0&isShared[]=1", Err("isShared is given more than once")),
        // JSON accepts only JSON booleans.
        (r#"{"isShared":1}"#, Err("isShared must be true or false")),
        (r#"{"isShared":"1"}"#, Err("isShared must be true or false")),
        (r#"{"isShared":"true"}"#, Err("isShared must be true or false")),
    ] {
        check(text, SetContactAccess::parse(body(text), id(5)).map(|request| replacement(request).share), expected);
    }
    let both = vec![user(MIKE), user(ANNA)];
    for (text, expected) in [
        (format!("managerList[0]={MIKE}&managerList[1]={ANNA}"), Ok(both.clone())),
        (format!("managerList%5B1%5D={ANNA}&managerList%5B0%5D={MIKE}"), Ok(both.clone())),
        (format!("managerList[]={MIKE}&managerList[]={ANNA}"), Ok(both.clone())),
        (format!("managerList={MIKE}&managerList={ANNA}"), Ok(both.clone())),
        (format!("managerList={MIKE}"), Ok(vec![user(MIKE)])),
        (format!(r#"managerList=["{MIKE}","{ANNA}"]"#), Ok(both)),
        (format!(r#"managerList[]=["{MIKE}"]"#), Ok(vec![user(MIKE)])),
        ("managerList=[]".into(), Ok(Vec::new())),
        ("managerList=".into(), Ok(Vec::new())),
        (format!(r#"managerList=["{MIKE}""#), Err("managerList[0] must be a UUID")),
        ("managerList=[5]".into(), Err("managerList[0] must be a UUID")),
    ] {
        let text = format!("isShared=0&{text}");
        check(
            &text,
            SetContactAccess::parse(body(&text), id(5)).map(|request| replacement(request).managers),
            expected,
        );
    }
    for (text, expected) in [
        ("contactId[]=5", Ok(vec![id(5)])),
        ("contactid[0]=5&contactid[1]=7", Ok(vec![id(5), id(7)])),
        ("contactid=[5,7]", Ok(vec![id(5), id(7)])),
        ("contactid=5&contactid=[7,9]", Ok(vec![id(5), id(7), id(9)])),
        ("contactid=[]", Err("contactid must name at least one contact")),
        ("contactid=", Err("contactid must name at least one contact")),
    ] {
        let text = format!("{text}&isShared=0");
        check(&text, SetContactsAccess::parse(body(&text)).map(|request| request.contacts), expected);
    }
    let nested = format!(
        "filter[Tags][]=vip&filter[contactStage]=[1,2]&target[isPrivate]=1&target[ManagerList]=[\"{MIKE}\"]\
         &cron=0+2+*+*+*&enabled=0"
    );
    let rule = set_rule(body(&nested), &ZONE).unwrap();
    assert_eq!((rule.filter.stages, rule.enabled), (vec![1, 2], false));
    assert_eq!(rule.target, Access::requested(true, vec![user(MIKE)]).into());
}

#[test]
fn queries_accept_1_and_0_as_booleans() {
    for (text, expected) in [("isShared=1&total=0", (Some(true), false)), ("isShared=0&total=1", (Some(false), true))] {
        let request = list_contacts(text, &ZONE).unwrap();
        assert_eq!((request.filter.access.shared, request.total), expected, "{text}");
    }
    for (text, expected) in [
        ("dryRun=1", Ok(true)),
        ("dryRun=0", Ok(false)),
        ("dryrun=TRUE", Ok(true)),
        ("dryRun=", Err("dryRun must be true or false")),
        ("dryRun=2", Err("dryRun must be true or false")),
        ("dryRun=1&dryRun=0", Err("dryRun is given more than once")),
    ] {
        let mut query = Query::new(text, queries::UNDO_JOB);
        let dry_run = query.dry_run();
        check(text, query.finish().map(|()| dry_run), expected);
    }
}

/// The tags, stages and types of a filter.
type Chosen = (Vec<String>, Vec<i32>, Vec<i32>);

fn chosen(tags: &[&str], stages: &[i32], types: &[i32]) -> Chosen {
    (tags.iter().map(|tag| (*tag).to_owned()).collect(), stages.to_vec(), types.to_vec())
}

#[test]
fn json_array_in_text_is_read_as_an_array() {
    let of = |filter: Filter| (filter.tags, filter.stages, filter.types);
    // Queries and forms give the same result.
    for (text, expected) in [
        (r#"tags=["some text"]"#, Ok(chosen(&["some text"], &[], &[]))),
        ("tags=%5B%22some%20text%22%5D", Ok(chosen(&["some text"], &[], &[]))),
        (r#"tags=["a","b"]&tags=["c"]&tags=d"#, Ok(chosen(&["a", "b", "c", "d"], &[], &[]))),
        (r#"tags[]=["a","b"]"#, Ok(chosen(&["a", "b"], &[], &[]))),
        (r#"Tags= ["a"] "#, Ok(chosen(&["a"], &[], &[]))),
        ("contactStage=[1,2]&contactType=[ 3 ]", Ok(chosen(&[], &[1, 2], &[3]))),
        (r#"contactStage=["1","2"]"#, Ok(chosen(&[], &[1, 2], &[]))),
        ("contactStage=[-1]&contactType=[0]", Ok(chosen(&[], &[], &[0]))),
        ("contactStage=[]", Ok(chosen(&[], &[], &[]))),
        // A tag may begin with a bracket.
        ("tags=[vip]", Ok(chosen(&["[vip]"], &[], &[]))),
        ("tags=[", Ok(chosen(&["["], &[], &[]))),
        (r#"tags=["a","b"#, Ok(chosen(&[r#"["a","b"#], &[], &[]))),
        (r#"tags=["a"] or b"#, Ok(chosen(&[r#"["a"] or b"#], &[], &[]))),
        (r#"tags=["[\"a\"]"]"#, Ok(chosen(&[r#"["a"]"#], &[], &[]))),
        (r#"tags={"a":1}"#, Ok(chosen(&[r#"{"a":1}"#], &[], &[]))),
        ("tags=[1]", Err("tags[0] must be a string; it is the number 1")),
        ("tags=[null]", Err("tags[0] must be a string; it is null")),
        (r#"tags=[""]"#, Err("tags[0] must not be blank")),
        (r#"tags=["a"," "]"#, Err("tags[1] must not be blank")),
        ("contactStage=[1,2", Err("contactStage[0] must be a whole number")),
        ("contactStage=[null]", Err("contactStage[0] must be a whole number")),
        (r#"contactStage=["x"]"#, Err("contactStage[0] must be a whole number")),
    ] {
        check(text, list_contacts(text, &ZONE).map(|request| of(request.filter)), expected.clone());
        let form = format!("isPrivate=1&{text}");
        let read = set_filter_access(body(&form), None, &ZONE);
        check(&form, read.map(|request| of(request.filter)), expected);
    }
    assert_eq!(list_contacts("tags=[]", &ZONE).unwrap().filter, Filter::default());
    // JSON texts are not parsed as arrays.
    let json = r#"{"tags":["[\"a\"]"],"isPrivate":true}"#;
    assert_eq!(set_filter_access(body(json), None, &ZONE).unwrap().filter.tags, [r#"["a"]"#]);
    let json = r#"{"tags":"[\"a\"]","isPrivate":true}"#;
    check(json, set_filter_access(body(json), None, &ZONE).map(drop), Err("tags must be an array of strings"));
    let values = |values: usize| format!("tags=[{}]", vec![r#""a""#; values].join(","));
    assert!(list_contacts(&values(32), &ZONE).is_ok());
    check("33 tags", list_contacts(&values(33), &ZONE).map(drop), Err("tags has 33 values; at most 32 are allowed"));
}

#[test]
fn dates_are_accepted_in_the_formats_of_onlyoffice() {
    let instant = |text: &str| Ok(text.parse().unwrap());
    for (text, expected) in [
        ("2008-04-10T06-30-00.000Z", instant("2008-04-10T06:30:00Z")),
        ("2008-04-10T06-30-00Z", instant("2008-04-10T06:30:00Z")),
        ("2008-04-10T06-30-00.0000000Z", instant("2008-04-10T06:30:00Z")),
        ("2008-04-10T06-30-00.5%2B02:00", instant("2008-04-10T04:30:00.5Z")),
        ("2008-04-10T06-30-00-02:00", instant("2008-04-10T08:30:00Z")),
        ("2008-04-10T06-30-00", instant("2008-04-10T06:30:00Z")),
        ("2008-04-10T06:30:00.0000000%2B02:00", instant("2008-04-10T04:30:00Z")),
        // A plus sign that is not escaped arrives as a space.
        ("2008-04-10T06:30:00+02:00", instant("2008-04-10T04:30:00Z")),
        ("2008-04-10T06:30:00%2002:00", instant("2008-04-10T04:30:00Z")),
        ("2008-04-10T06-30-00.000+02:00", instant("2008-04-10T04:30:00Z")),
        ("2008-04-10T06:30:00.5916406+05:45", instant("2008-04-10T00:45:00.5916406Z")),
        ("2008-04-10T06:30:00+0200", instant("2008-04-10T04:30:00Z")),
        ("2008-04-10+06:30:00", instant("2008-04-10T06:30:00Z")),
        ("2008-04-10+06:30:00+02:00", instant("2008-04-10T04:30:00Z")),
        ("2008-04-10T06:30:00-02:00", instant("2008-04-10T08:30:00Z")),
        ("2008-04-10T06:30:00+Riga", Err("fromDate must be a date")),
        ("2008-04-10T06:30:00+99:00", Err("fromDate must be a date")),
        ("2008-04-10T06:30:00+", Err("fromDate must be a date")),
        ("2008-04-10T06-30", Err("fromDate must be a date")),
        ("", Err("fromDate must be a date")),
    ] {
        let query = format!("fromDate={text}");
        check(&query, list_contacts(&query, &ZONE).map(|request| request.filter.from_date.unwrap()), expected);
        let form = format!("isPrivate=1&{query}");
        let read = set_filter_access(body(&form), None, &ZONE);
        check(&form, read.map(|request| request.filter.from_date.unwrap()), expected);
    }
    for (text, expected) in [
        ("2008-04-10T06-30-00.000Z", instant("2008-04-10T06:30:00Z")),
        ("2008-04-10T06-30-00.000+02:00", instant("2008-04-10T04:30:00Z")),
        // JSON preserves plus signs, so a space is not repaired.
        ("2008-04-10T06:30:00 02:00", Err("fromDate must be a date")),
    ] {
        let json = format!(r#"{{"isPrivate":true,"fromDate":"{text}"}}"#);
        let read = set_filter_access(body(&json), None, &ZONE);
        check(&json, read.map(|request| request.filter.from_date.unwrap()), expected);
    }
}

#[test]
fn view_all_selects_every_contact_and_a_negative_number_any_stage() {
    let all = Filter::default();
    let companies = Filter { view: ListView::Company, ..Filter::default() };
    for (text, expected) in [
        (r#""contactStage":null,"contactType":null,"contactListView":"all""#, Ok(all.clone())),
        (r#""tags":null,"contactStage":null,"contactType":null,"contactListView":"ALL""#, Ok(all.clone())),
        (r#""contactStage":null,"ContactListView":0"#, Ok(all.clone())),
        (r#""contactStage":-1,"contactType":-1,"contactListView":"company""#, Ok(companies.clone())),
        (r#""contactStage":null,"contactType":null"#, Err("leave the filter fields out")),
        (r#""contactStage":null,"contactListView":null"#, Err("leave the filter fields out")),
        (r#""ContactStage":null"#, Err("leave the filter fields out")),
        (r#""TAGS":[]"#, Err("leave the filter fields out")),
        (r#""contactListView":"""#, Err("contactListView must be 0 or \"All\"")),
    ] {
        let json = format!(r#"{{{text},"isPrivate":true}}"#);
        check(&json, set_filter_access(body(&json), None, &ZONE).map(|request| request.filter), expected);
    }
    for (text, expected) in [
        ("contactListView=all", Ok(all.clone())),
        ("tags=[]&contactListView=all", Ok(all.clone())),
        ("contactStage=-1&contactType=-1", Ok(all.clone())),
        ("tags=[]", Err("leave the filter fields out")),
        ("Tags[]=[]", Err("leave the filter fields out")),
        ("tags=[]&tags=", Err("must not be blank")),
        ("tags=", Err("must not be blank")),
    ] {
        let form = format!("isPrivate=1&{text}");
        check(&form, set_filter_access(body(&form), None, &ZONE).map(|request| request.filter), expected);
    }
    for (text, expected) in [
        ("contactStage=-1&contactType=-1&contactListView=company", companies),
        ("contactStage=0", Filter { stages: vec![0], ..Filter::default() }),
        ("contactStage=-1&contactStage=3", all.clone()),
        ("tags=&contactListView=ALL", all),
    ] {
        check(text, list_contacts(text, &ZONE).map(|request| request.filter), Ok(expected));
    }
}

#[test]
fn json_with_the_content_type_of_a_form_is_refused() {
    for text in [
        r#"{"isShared":true}"#,
        r#" {"isShared":true,"managerList":["a&b=c"]}"#,
        "\r\n\t{}",
        r#"["a"]"#,
        "%7B%22isShared%22%3Atrue%7D",
        "{",
    ] {
        let form = RequestBody::Form(text.as_bytes());
        let expected = "Send the header Content-Type: application/json";
        check(text, SetContactAccess::parse(form, id(5)).map(drop), Err(expected));
        check(text, SetContactsAccess::parse(form).map(drop), Err(expected));
        check(text, set_filter_access(form, None, &ZONE).map(drop), Err(expected));
        check(text, set_rule(form, &ZONE).map(drop), Err(expected));
        check(text, SignInRequest::parse(form).map(drop), Err(expected));
        check(text, check_no_fields(form), Err(expected));
    }
    // Only the first name is examined: values may contain braces.
    let text = r#"tags={vip}&isPrivate=1"#;
    assert_eq!(set_filter_access(body(text), None, &ZONE).unwrap().filter.tags, ["{vip}"]);
}
