//! Calls of clients written for ONLYOFFICE's server: its browser client, which appends a number to every URL, and one
//! in Go.

use models::access::ShareType;
use serde_json::{Value, json};
use tests::{Reply, World};
use uuid::Uuid;

use crate::portal::{
    ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, SAM, SAM_TOKEN, access_of, acme, contact, contact_with, lines, private, public,
    signing_in,
};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const EMAIL: &str = "ada@acme.example";
const PASSWORD: &str = "correct horse battery staple";

async fn world() -> World {
    let mut values = acme();
    values.push(signing_in(ADA, "Ada", true, EMAIL, PASSWORD));
    values.extend((1..=3).map(|id| contact(id, json!({"Tags": ["vip"], "ContactStatus": {"id": 1}}))));
    values.push(contact_with(4, ShareType::None, &[MIKE]));
    World::with(&lines(values)).await.unwrap()
}

async fn form(world: &World, method: &str, path: &str, token: &str, body: &str) -> Reply {
    world.call(method, &format!("/api/2.0/{path}"), token, &[FORM], body).await.unwrap()
}

fn response(reply: &Reply) -> Value {
    assert_eq!(reply.header("content-type"), "application/json; charset=utf-8", "{}", reply.text);
    reply.json()["response"].clone()
}

#[tokio::test]
async fn browser_client_reads_lists_and_sets_access() {
    let world = world().await;
    // jQuery writes an array as name[]=.
    let body = format!("isShared=false&managerList%5B%5D={MIKE}&managerList%5B%5D={SAM}");
    let reply = form(&world, "PUT", "crm/contact/1/access.json?__=482913", ADA_TOKEN, &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.json()["statusCode"], 200);
    let shown = response(&reply);
    assert_eq!((&shown["id"], &shown["isPrivate"], &shown["canEdit"]), (&json!(1), &json!(true), &json!(true)));
    assert_eq!(shown["accessList"][0]["id"], MIKE.to_string());
    assert_eq!(access_of(&world, 1).await.access, private(&[MIKE, SAM]));

    let reply = world.contact("1/access.json?__=7", ADA_TOKEN).await.unwrap();
    let listed = response(&reply);
    assert_eq!(listed.as_array().unwrap().len(), 2, "{}", reply.text);
    assert_eq!(listed[1]["displayName"], "Sam");

    let body = "contactid%5B%5D=2&contactid%5B%5D=3&isShared=false&managerList=";
    let reply = form(&world, "PUT", "crm/contact/access.json?__=1", ADA_TOKEN, body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(response(&reply).as_array().unwrap().len(), 2);
    assert_eq!(access_of(&world, 3).await.access, private(&[]));
    // The panel for several contacts uses other names.
    let body = format!("contactid%5B%5D=2&isPrivate=true&accessList%5B%5D={SAM}&accessList%5B%5D={ADA}");
    let reply = form(&world, "PUT", "crm/contact/access.json?__=2", ADA_TOKEN, &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(access_of(&world, 2).await.access, private(&[SAM, ADA]));

    let path = "filter.json?tags%5B%5D=VIP&contactStage=1&contactListView=all&isShared=false&sortBy=displayname\
                &sortOrder=descending&Count=2&startIndex=0&filterValue=&fromDate=2020-01-01T00-00-00&__=999999";
    let reply = world.contact(path, ADA_TOKEN).await.unwrap();
    let envelope = reply.json();
    assert_eq!(reply.status, 200, "{}", reply.text);
    for (member, expected) in
        [("count", 2), ("startIndex", 0), ("nextIndex", 2), ("total", 3), ("status", 0), ("statusCode", 200)]
    {
        assert_eq!(envelope[member], expected, "{member}: {}", reply.text);
    }
    let names: Vec<&str> =
        envelope["response"].as_array().unwrap().iter().map(|shown| shown["displayName"].as_str().unwrap()).collect();
    assert_eq!(names, ["Contact 3", "Contact 2"]);
    assert_eq!(reply.header("x-total-count"), "3");

    let reply = world.call("GET", "/api/2.0/people/@self.json?__=3", ADA_TOKEN, &[], "").await.unwrap();
    let me = response(&reply);
    assert_eq!((&me["id"], &me["userName"], &me["isAdmin"]), (&json!(ADA), &json!(EMAIL), &json!(true)));
    let encoded = world.call("GET", "/api/2.0/people/%40self.json", ADA_TOKEN, &[], "").await.unwrap();
    assert_eq!(encoded.text, reply.text);
}

#[tokio::test]
async fn go_client_signs_in_and_sends_forms() {
    let world = world().await;
    let body = "userName=ada%40acme.example&password=correct+horse+battery+staple";
    let reply = form(&world, "POST", "authentication.json", "", body).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    let signed_in = response(&reply);
    let token = signed_in["token"].as_str().unwrap();
    let expires = signed_in["expires"].as_str().unwrap();
    assert!(token.len() >= 32 && expires > "2026-01-02", "{signed_in}");
    // The client parses only times with the portal's offset.
    assert!(expires.ends_with("+02:00"), "{signed_in}");

    let body = format!("contactid=4&isShared=1&managerList[0]={MIKE}&managerList[1]={SAM}");
    let reply = form(&world, "PUT", "crm/contact/4/access.json", token, &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(access_of(&world, 4).await.access, public(&[MIKE, SAM]));

    // The client sets the access by filter too, and repeats a value.
    let body = format!("tags=vip&contactStage=1&isPrivate=True&managerList={MIKE}&managerList={SAM}");
    let reply = form(&world, "PUT", "crm/contact/filter/access.json", token, &body).await;
    assert_eq!((reply.status.as_u16(), reply.json()["count"].as_u64()), (200, Some(3)), "{}", reply.text);
    assert_eq!(access_of(&world, 2).await.access, private(&[MIKE, SAM]));

    let reply = world.contact("filter.json?count=1&startIndex=3", token).await.unwrap();
    assert_eq!((&reply.json()["total"], &reply.json()["nextIndex"]), (&json!(4), &Value::Null), "{}", reply.text);
}

#[tokio::test]
async fn form_is_refused_for_the_same_faults_as_json() {
    let world = world().await;
    let check = async |path: &str, body: &str, fields: &[&str]| {
        let reply = form(&world, "PUT", path, ADA_TOKEN, body).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text);
        let error = reply.json()["error"].clone();
        let named: Vec<&str> =
            error["details"].as_array().unwrap().iter().map(|detail| detail["field"].as_str().unwrap()).collect();
        assert_eq!(named, fields, "{body}: {}", reply.text);
    };
    check("crm/contact/1/access.json", "", &["isShared"]).await;
    check("crm/contact/1/access.json", "isShared=yes", &["isShared"]).await;
    check("crm/contact/1/access.json", "isShared=true&isShared=false", &["isShared"]).await;
    check("crm/contact/1/access.json", "isShared=true&isshard=1", &["isshard"]).await;
    check("crm/contact/1/access.json", "isShared=true&managerList[]=x", &["managerList[0]"]).await;
    check("crm/contact/1/access.json", "isShared=true&managerList[=x", &["managerList["]).await;
    check("crm/contact/access.json", "isShared=true&contactid[]=1&contactid[]=x", &["contactid[1]"]).await;
    check("crm/contact/filter/access.json", "isPrivate=true&contactStage=warm&toDate=", &["contactStage[0]", "toDate"])
        .await;
    // An empty form does not select all contacts.
    let blank = "isPrivate=true&tags=&contactStage=&contactType=&contactListView=&managerList=";
    let fields = ["tags", "contactStage", "contactType", "contactListView"];
    check("crm/contact/filter/access.json", blank, &fields).await;
    check("crm/contact/access.json", "contactid=1&isShared=true&isPrivate=true", &["isShared"]).await;
    check("crm/contact/access.json?__=1&___=1", "contactid=1&isShared=true", &["___"]).await;
    let rule = format!("crm/access/rules/{}.json", Uuid::now_v7());
    check(&rule, "cron=0+2+*+*+*&target[isPrivate]=true&filter[tags]=", &["filter.tags"]).await;
    check(&rule, "cron=0+2+*+*+*&target[ISPRIVATE]=true&Filter[Tag]=x", &["filter.Tag"]).await;
    for id in 1..=3 {
        assert_eq!(access_of(&world, id).await.revision, None);
    }
}

#[tokio::test]
async fn forms_are_accepted_on_every_path_and_answered_in_onlyoffice_dialect() {
    let world = world().await;
    for (path, start) in [
        ("1/access", r#"{"count":1,"#),
        ("1/access.json", r#"{"count":1,"#),
        ("1/access.xml", "<result><count>1</count>"),
    ] {
        let reply = form(&world, "PUT", &format!("crm/contact/{path}"), ADA_TOKEN, "isShared=true").await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        assert!(reply.text.starts_with(start), "{path}: {}", reply.text);
    }
    let path = "/api/2.0/crm/contact/1/access.json";
    let reply = world.call("PUT", path, ADA_TOKEN, &[("content-type", "text/plain")], "isShared=true").await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.error_type().as_str()), (415, "unsupported-media-type"));
    assert!(reply.text.contains("application/x-www-form-urlencoded"), "{}", reply.text);
}

#[tokio::test]
async fn form_sets_a_rule() {
    let world = world().await;
    let id = Uuid::now_v7();
    let body = format!(
        "Filter[Tags][]=vip&filter[contactListView]=0&target[isPrivate]=true&target[managerList][]={MIKE}\
         &cron=0+2+*+*+*&enabled=false"
    );
    let reply = form(&world, "PUT", &format!("crm/access/rules/{id}.json"), ADA_TOKEN, &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let rule = response(&reply);
    assert_eq!((&rule["name"], &rule["filter"]["tags"]), (&json!(id), &json!(["vip"])), "{rule}");
    let reply = world.get(&format!("rules/{id}.json"), ADA_TOKEN).await.unwrap();
    assert_eq!(response(&reply), rule);
    let reply = world.get("rules.json", ADA_TOKEN).await.unwrap();
    assert_eq!(response(&reply), json!([rule]));
    let reply = form(&world, "PUT", "crm/access/rules/nightly.json.json", ADA_TOKEN, &body).await;
    assert_eq!((reply.status.as_u16(), reply.error_type().as_str()), (400, "invalid-request"));
}

/// A call of a client, and its answer. `MIKE` and `ADA` stand for the identifiers of these users, `C` at the start of a
/// path for `crm/contact`.
struct Call {
    token: &'static str,
    method: &'static str,
    path: &'static str,
    header: Option<(&'static str, &'static str)>,
    body: &'static str,
    status: u16,
    /// Values in the answer, as JSON, by JSON Pointer.
    answer: &'static [(&'static str, &'static str)],
}

const fn read(path: &'static str, answer: &'static [(&'static str, &'static str)]) -> Call {
    Call { token: ADA_TOKEN, method: "GET", path, header: None, body: "", status: 200, answer }
}

const fn sent(
    method: &'static str,
    path: &'static str,
    header: (&'static str, &'static str),
    body: &'static str,
    status: u16,
    answer: &'static [(&'static str, &'static str)],
) -> Call {
    Call { token: ADA_TOKEN, method, path, header: Some(header), body, status, answer }
}

const JSON: (&str, &str) = ("content-type", "application/json");
/// The portal's winter offset, in the only time format that the Go client parses.
const CREATED_IN_RIGA: &str = r#""2020-12-08T19:37:04.5916406+02:00""#;

/// One row for each way in which a public client calls the service.
const CALLS: &[Call] = &[
    // Sign-in by the two Python packages, the Ruby gem, the Go library and generated clients.
    sent("POST", "authentication", FORM, "userName=ada%40acme.example&password=correct+horse+battery+staple", 201, &[]),
    sent("POST", "authentication", FORM, "username=ada%40acme.example&password=correct+horse+battery+staple", 201, &[]),
    sent(
        "POST",
        "authentication/",
        FORM,
        "username=ada%40acme.example&password=correct+horse+battery+staple",
        201,
        &[],
    ),
    sent(
        "POST",
        "/authentication",
        FORM,
        "username=ada%40acme.example&password=correct+horse+battery+staple",
        201,
        &[],
    ),
    sent(
        "POST",
        "authentication.json",
        JSON,
        r#"{"username":"ada@acme.example","password":"correct horse battery staple"}"#,
        201,
        &[("/statusCode", "201")],
    ),
    sent(
        "POST",
        "authentication",
        JSON,
        r#"{"userName":"ada@acme.example","password":"correct horse battery staple","provider":"","accessToken":"",
            "codeOAuth":"","type":0}"#,
        201,
        &[("/statusCode", "201")],
    ),
    sent(
        "POST",
        "authentication",
        JSON,
        r#"{"userName":"ada@acme.example","password":"correct horse battery staple","provider":"google"}"#,
        400,
        &[("/error/details/0/field", r#""provider""#)],
    ),
    // Access of one contact.
    sent(
        "PUT",
        "C/5/access",
        FORM,
        "isShared=false&managerList%5B%5D=MIKE",
        200,
        &[
            ("/response/id", "5"),
            ("/response/isPrivate", "true"),
            ("/response/accessList/0/displayName", r#""Mike""#),
            ("/response/created", CREATED_IN_RIGA),
        ],
    ),
    sent("PUT", "C/5/access", FORM, "isShared=0&managerList[0]=MIKE", 200, &[("/response/isPrivate", "true")]),
    sent("PUT", "C/5/access", FORM, "isShared=False&managerList=MIKE", 200, &[("/response/isPrivate", "true")]),
    sent(
        "PUT",
        "C/5/access",
        JSON,
        r#"{"contactid":5,"isShared":false,"managerList":["MIKE"]}"#,
        200,
        &[("/response/id", "5"), ("/response/IsPrivate", "true")],
    ),
    sent(
        "PUT",
        "C/5/access.json",
        JSON,
        r#"{"contactid":6,"isShared":false}"#,
        400,
        &[("/error/details/0/field", r#""contactid""#)],
    ),
    // curl's default content type with a JSON body.
    sent("PUT", "C/5/access", FORM, r#"{"isShared":true}"#, 400, &[("/error/type", r#""invalid-request""#)]),
    // Several contacts, and all that match a filter.
    sent("PUT", "C/access", FORM, "contactId%5B%5D=5&isShared=true", 200, &[("/count", "1"), ("/response/0/id", "5")]),
    sent(
        "PUT",
        "C/filter/access",
        FORM,
        "tags%5B%5D=some+text&isPrivate=true&managerList%5B%5D=MIKE",
        200,
        &[("/count", "1"), ("/response/0/isPrivate", "true")],
    ),
    sent(
        "PUT",
        "C/filter/access",
        JSON,
        r#"{"tags":["some text"],"contactStage":null,"contactType":null,"contactListView":"all","isPrivate":true,
            "managerList":["MIKE"]}"#,
        200,
        &[("/0/ID", "5"), ("/0/IsPrivate", "true")],
    ),
    // Reads, with and without a suffix.
    read("C/5/access", &[("/count", "1"), ("/response/0/id", r#""MIKE""#)]),
    read(
        "C/5",
        &[
            ("/response/isPrivate", "true"),
            ("/response/created", CREATED_IN_RIGA),
            ("/response/tags/0", r#""some text""#),
        ],
    ),
    read(
        "C/6",
        &[
            ("/response/firstName", r#""Maria""#),
            ("/response/lastName", r#""Anders""#),
            ("/response/isCompany", "false"),
        ],
    ),
    read("C/7", &[("/response/companyName", r#""Alfreds Futterkiste""#), ("/response/isCompany", "true")]),
    read(
        "C/filter?count=2",
        &[("/count", "2"), ("/total", "7"), ("/nextIndex", "2"), ("/response/0/isPrivate", "false")],
    ),
    read("C/filter.json?count=100000&count=100000", &[("/count", "7"), ("/total", "7")]),
    Call { token: MIKE_TOKEN, ..read("C/filter.json?count=2&startIndex=0", &[("/count", "2"), ("/total", "7")]) },
    read(
        "C/simple/filter.json?sortBy=displayName&sortOrder=ascending&&contactStage=-1&contactType=-1&StartIndex=0&Count=25\
         &__=838215",
        &[("/total", "7"), ("/response/0/contact/displayName", r#""Alfreds Futterkiste""#)],
    ),
    // The nil identifier selects contacts without a manager.
    read(
        "C/filter.json?responsibleid=00000000-0000-0000-0000-000000000000&sortBy=id",
        &[("/total", "5"), ("/response/0/id", "1")],
    ),
    read("C/filter.json?tags=%5B%22some%20text%22%5D&fromDate=2008-04-10T06-30-00.000Z", &[("/total", "1")]),
    read("C/filter.json?sortBy=firstname&sortOrder=ascending", &[("/response/0/id", "7"), ("/response/6/id", "6")]),
    read("C/filter.json?sortBy=lastname", &[("/response/5/id", "7"), ("/response/6/id", "6")]),
    read("C/filter.json?sortBy=contacttype&sortOrder=descending", &[("/response/0/contactType/id", "2")]),
    read("C/filter.json?sortBy=history&count=1", &[("/response/0/id", "5"), ("/nextIndex", "1")]),
    Call {
        header: Some(("accept", "application/x-www-form-urlencoded")),
        ..read("C/5.json", &[("/response/id", "5")])
    },
    Call { header: Some(("accept", "image/png")), ..read("C/5", &[("/response/id", "5")]) },
    // Values for filters.
    read(
        "C/status.json",
        &[("/count", "3"), ("/response/0/title", r#""Stage 1""#), ("/response/0/relativeItemsCount", "3")],
    ),
    read("C/type.json", &[("/count", "3"), ("/response/1/id", "2"), ("/response/1/relativeItemsCount", "1")]),
    read(
        "C/tag.json",
        &[("/count", "2"), ("/response/0/title", r#""some text""#), ("/response/0/relativeItemsCount", "1")],
    ),
    Call {
        token: MIKE_TOKEN,
        ..read("C/tag", &[("/response/0", r#"{"title":"some text"}"#), ("/response/1", r#"{"title":"vip"}"#)])
    },
    // The users, for choosing managers.
    read("people", &[("/total", "3"), ("/response/0/displayName", r#""Ada""#), ("/response/0/isAdmin", "true")]),
    read("people/filter.json?filterValue=MiK", &[("/total", "1"), ("/response/0/id", r#""MIKE""#)]),
    read("people/MIKE.json", &[("/response/id", r#""MIKE""#), ("/response/displayName", r#""Mike""#)]),
    // Like ONLYOFFICE's answer, this answer has no task member: ONLYOFFICE's browser client would read `null` as a task
    // and fail.
    read("C/simple/filter.json?sortBy=id&count=1&fields=id", &[("/response", r#"[{"contact":{"id":1}}]"#)]),
    read(
        "people/filter?startIndex=0&count=300&employeeStatus=Active",
        &[("/total", "3"), ("/response/2/displayName", r#""Sam""#)],
    ),
    read(
        "people/filter.json?sortby=displayname&sortorder=descending&employeeStatus=1&StartIndex=0&Count=25\
         &fullTextSearch=false",
        &[("/total", "3"), ("/response/0/displayName", r#""Sam""#)],
    ),
    read("people/filter.json?employeeStatus=2", &[("/total", "0")]),
    read("people/filter.json?activationStatus=1&isAdministrator=true", &[("/total", "1")]),
    read("people.json?fields=id,displayName,groups&count=1", &[("/response/0", r#"{"displayName":"Ada","id":"ADA"}"#)]),
    read("people/ada@acme.example.json", &[("/response/displayName", r#""Ada""#)]),
    read("people/Ada%40acme.example?fields=email", &[("/response", r#"{"email":"ada@acme.example"}"#)]),
    Call { status: 400, ..read("people?sortBy=age", &[("/error/details/0/field", r#""sortBy""#)]) },
    Call { status: 400, ..read("people?fields=nam", &[("/error/details/0/field", r#""fields""#)]) },
    Call { status: 404, ..read("people/nobody@acme.example", &[("/error/type", r#""user-not-found""#)]) },
    read("people/@self", &[("/response/displayName", r#""Ada""#), ("/response/email", r#""ada@acme.example""#)]),
    Call {
        status: 404,
        ..read("people/00000000-0000-0000-0000-00000000dead", &[("/error/type", r#""user-not-found""#)])
    },
    // ONLYOFFICE's endpoints that the service does not have.
    Call { status: 404, ..read("C/byprefix.json?prefix=x", &[("/error/type", r#""endpoint-not-found""#)]) },
    Call { status: 404, ..read("C/mail.json", &[("/error/type", r#""endpoint-not-found""#)]) },
    Call { status: 404, ..read("batch.json", &[("/error/type", r#""endpoint-not-found""#)]) },
    sent("POST", "C/company.json", FORM, "companyName=Acme", 404, &[("/error/type", r#""endpoint-not-found""#)]),
    sent("PUT", "C/5", FORM, "about=text", 405, &[("/error/type", r#""method-not-allowed""#)]),
];

#[tokio::test]
async fn each_public_client_gets_answers_it_can_parse() {
    let mut values = acme();
    values.push(signing_in(ADA, "Ada", true, EMAIL, PASSWORD));
    values.extend((1..=3).map(|id| contact(id, json!({"Tags": ["vip"], "ContactStatus": {"id": 1}}))));
    values.push(contact_with(4, ShareType::Read, &[MIKE]));
    values.push(contact(5, json!({"Tags": ["some text"], "ContactType": {"id": 2}})));
    values.push(contact(6, json!({"DisplayName": "Maria Anders", "IsCompany": false})));
    values.push(contact(7, json!({"DisplayName": "Alfreds Futterkiste", "IsCompany": true})));
    let world = World::with(&lines(values)).await.unwrap();
    for Call { token, method, path, header, body, status, answer } in CALLS {
        let with_ids = |text: &str| text.replace("MIKE", &MIKE.to_string()).replace("ADA", &ADA.to_string());
        let path = match path.strip_prefix("C/") {
            Some(rest) => format!("/api/2.0/crm/contact/{}", with_ids(rest)),
            None => format!("/api/2.0/{}", with_ids(path)),
        };
        let token = if path.contains("authentication") { "" } else { token };
        let headers = header.as_slice();
        let reply = world.call(method, &path, token, headers, &with_ids(body)).await.unwrap();
        let call = format!("{method} {path} {body}");
        assert_eq!(reply.status.as_u16(), *status, "{call}: {}", reply.text);
        if *status == 201 {
            let signed_in = response(&reply);
            assert!(signed_in["token"].is_string(), "{call}: {}", reply.text);
            assert!(signed_in["expires"].as_str().unwrap().ends_with("+02:00"), "{call}: {}", reply.text);
        }
        for (pointer, expected) in *answer {
            let expected: Value = serde_json::from_str(&with_ids(expected)).unwrap();
            assert_eq!(reply.json().pointer(pointer), Some(&expected), "{call}: {pointer}: {}", reply.text);
        }
    }
}

#[tokio::test]
async fn list_of_people_without_its_total_has_its_pages() {
    let world = world().await;
    for path in ["people?total=false&count=2", "people/filter.json?total=false&count=2", "people.xml?total=0&count=2"] {
        let reply = world.call("GET", &format!("/api/2.0/{path}"), ADA_TOKEN, &[], "").await.unwrap();
        let next = (reply.header("x-next-index"), reply.header("x-total-count"));
        assert_eq!((reply.status.as_u16(), next), (200, ("2", "")), "{path}: {}", reply.text);
        assert!(!reply.text.contains("total"), "{path}: {}", reply.text);
    }
    let refused = world.call("GET", "/api/2.0/people?total=no", ADA_TOKEN, &[], "").await.unwrap();
    assert_eq!(refused.json()["error"]["details"][0]["field"], "total", "{}", refused.text);
}

#[tokio::test]
async fn client_that_pages_up_to_the_total_reads_every_visible_contact() {
    // Every third contact is hidden from Sam.
    let contacts = (1..=250).map(|id| match id % 3 {
        0 => contact_with(id, ShareType::None, &[MIKE]),
        _ => contact(id, json!({})),
    });
    let world = World::with(&lines(acme().into_iter().chain(contacts))).await.unwrap();
    for (token, expected) in [(SAM_TOKEN, 167), (MIKE_TOKEN, 250), (ADA_TOKEN, 250)] {
        let mut read = Vec::new();
        loop {
            let path = format!("filter.json?count=50&startIndex={}", read.len());
            let reply = world.contact(&path, token).await.unwrap();
            let total = reply.json()["total"].as_u64().unwrap();
            let is_lower_bound = !reply.header("x-total-is-lower-bound").is_empty();
            assert_eq!(reply.count("x-total-count"), Some(total));
            read.extend(reply.ids());
            assert_eq!((total, is_lower_bound), (expected, false), "{}", reply.text);
            if read.len() as u64 >= total {
                break;
            }
        }
        assert_eq!(read.len() as u64, expected);
    }
}

#[tokio::test]
async fn later_page_of_a_long_list_has_a_lower_bound_instead_of_the_total() {
    let world =
        World::with(&lines(acme().into_iter().chain((1..=1_050).map(|id| contact(id, json!({})))))).await.unwrap();
    let listed = async |token, query: &str| {
        let reply = world.contact(&format!("filter.json?fields=id&{query}"), token).await.unwrap();
        let is_lower_bound = reply.header("x-total-is-lower-bound") == "true";
        let own = reply.headers.keys().map(|name| name.as_str()).filter(|name| name.starts_with("x-"));
        let hidden: Vec<&str> = own.filter(|name| !local::cors::RESPONSE_HEADERS.contains(name)).collect();
        assert_eq!(hidden, [""; 0], "a page of another origin cannot read these headers");
        assert_eq!(reply.count("x-total-count"), reply.json()["total"].as_u64(), "{query}: {}", reply.text);
        (reply.ids().len(), reply.count("x-total-count"), is_lower_bound)
    };
    assert_eq!(listed(SAM_TOKEN, "count=10").await, (10, Some(1_050), false));
    assert_eq!(listed(SAM_TOKEN, "count=10&startIndex=500").await, (10, Some(511), true));
    assert_eq!(listed(SAM_TOKEN, "count=100&startIndex=1000").await, (50, Some(1_050), false));
    assert_eq!(listed(SAM_TOKEN, "count=10&startIndex=500&total=false").await, (10, None, false));
    // An administrator's list is counted without the access of its contacts.
    assert_eq!(listed(ADA_TOKEN, "count=10&startIndex=500").await, (10, Some(1_050), false));
}
