//! Good and bad lines of an import file, in `snapshots/import-lines.snap`.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use models::import::{Line, MAX_LINE_BYTES, parse_line};
use models::limits::{MAX_EMPLOYEE_BYTES, MAX_LIST_VALUES, MAX_TAG_BYTES, MAX_TOKEN_CHARS, MIN_TOKEN_CHARS};

fn abridged(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

fn shown(line: &Line) -> String {
    match line {
        Line::Portal(portal) => {
            let zone = portal.time_zone.as_ref().map(|zone| zone.iana_name().unwrap_or("?"));
            format!("portal {}, zone {zone:?}, shards {:?}", portal.id, portal.shards)
        }
        Line::User(user, password) => {
            let employee = &user.employee;
            let [name, title, avatar, profile] =
                [&employee.display_name, &employee.title, &employee.avatar_small, &employee.profile_url];
            let signs_in = user.email.as_ref().map_or_else(String::new, |email| format!(", {email}, {password:?}"));
            format!(
                "user {}, {name:?}, {title:?}, {avatar:?}, {profile:?}, administrator {}{signs_in}",
                employee.id, user.is_admin
            )
        }
        Line::Stage(item) => format!("stage {item:?}"),
        Line::Type(item) => format!("type {item:?}"),
        Line::Contact(record, access) => format!("contact {record:?}\n    with {access:?}"),
        Line::Token(token) => format!("token {token:?}"),
        Line::DeleteContact(id) => format!("delete contact {id}"),
        Line::DeleteUser(id) => format!("delete user {id}"),
    }
}

fn check(line: &str) -> String {
    let zone = TimeZone::get("Europe/Riga").unwrap();
    let mut text = format!("{}\n", abridged(line, 200));
    match parse_line(line, &zone) {
        Ok(line) => writeln!(text, "    {}", abridged(&shown(&line), 2000)).unwrap(),
        Err(message) => writeln!(text, "    error: {message}").unwrap(),
    }
    text
}

/// The contact of ONLYOFFICE's reference page, as an import line.
const FULL: &str = r##"{"contact":{"Addresses":[{"Street":"Lubanas st. 125a-25","City":"","State":"","Zip":"LV-1021","Country":"Latvia","Category":0,"CategoryName":"Home","IsPrimary":true}],"CreateBy":{"Id":"00000000-0000-0000-0000-000000000000","DisplayName":"Mike Zanyatski","Title":"Manager","AvatarSmall":"url to small avatar","ProfileUrl":"\/Products\/People\/Profile.aspx?user=administrator"},"Created":"2020-12-08T17:37:04.5916406Z","About":"About","Industry":"Industry","ContactStatus":{"id":1234,"Title":"Title","Description":"Description","Color":"#a7fc00","SortOrder":1},"ContactType":{"id":1234,"Title":"Title","Description":"Description","Color":"#a7fc00","SortOrder":1},"CommonData":[{"InfoType":1,"Category":0,"Data":"support@onlyoffice.com","CategoryName":"Home","IsPrimary":true,"id":1234}],"CustomFields":[{"EntityId":14523423,"Label":"Birthdate","FieldValue":"2020-12-08T17:37:04.5916406Z","FieldType":5,"Position":10,"Mask":"","id":1234}],"Tags":["Tag1","Tag2"],"TaskCount":1,"HaveLateTasks":true,"id":1234,"SmallFotoUrl":"url to foto","MediumFotoUrl":"url to foto","DisplayName":"Tadjeddine Bachir","IsCompany":false,"AccessList":[{"Id":"00000000-0000-0000-0000-000000000000","DisplayName":"Mike Zanyatski","Title":"Manager","AvatarSmall":"url to small avatar","ProfileUrl":"\/Products\/People\/Profile.aspx?user=administrator"}],"IsPrivate":true,"IsShared":false,"ShareType":0,"Currency":{"Title":"Chinese Yuan","Symbol":"¥","Abbreviation":"CNY","CultureName":"CN","IsConvertable":true,"IsBasic":false},"CanEdit":true,"CanDelete":true,"HasOpportunity":true}}"##;

#[test]
fn lines_are_read() {
    let contact = |members: &str| format!(r#"{{"contact":{{"id":7,"Created":"2024-01-15",{members}}}}}"#);
    let token = |token: &str, rest: &str| {
        format!(r#"{{"token":{{"Token":"{token}","UserId":"9924256a-739c-462b-af15-e652a3b1b6eb"{rest}}}}}"#)
    };
    let password = |email: &str, hash: &str| {
        format!(r#"{{"user":{{"Id":"9924256a-739c-462b-af15-e652a3b1b6eb",{email}"PasswordHash":"{hash}"}}}}"#)
    };
    let secret = "s".repeat(MIN_TOKEN_CHARS);
    let person = r#"{"Id":"9924256a-739c-462b-af15-e652a3b1b6eb"}"#;
    let lines: Vec<String> = [
        // Portals.
        r#"{"portal":{"Id":"acme","TimeZone":"Europe/Riga","Shards":4}}"#,
        r#"{"portal":{"Id":"acme"}}"#,
        r#"{"portal":{"Id":"acme","Shards":64}}"#,
        r#"{"portal":{"Id":"acme","Shards":0}}"#,
        r#"{"portal":{"Id":"acme","Shards":65}}"#,
        r#"{"portal":{"Id":"acme","Shards":-1}}"#,
        r#"{"portal":{"Id":"acme","Shards":"4"}}"#,
        r#"{"portal":{"Id":"acme","TimeZone":"Riga"}}"#,
        r#"{"portal":{"Id":"acme","TimeZone":""}}"#,
        r#"{"portal":{"Id":"acme","TimeZone":"Etc/Unknown"}}"#,
        r#"{"portal":{"id":"acme","timeZone":"europe/riga","shards":4.0}}"#,
        r#"{"portal":{"ID":"acme","TimeZone":null,"Shards":null}}"#,
        r#"{"portal":{"Id":"acme","Shards":4.5}}"#,
        r#"{"portal":{"Id":"Acme"}}"#,
        r#"{"portal":{"Id":"ac#me"}}"#,
        r#"{"portal":{"Id":""}}"#,
        r#"{"portal":{"Id":"-acme"}}"#,
        r#"{"portal":{"TimeZone":"UTC"}}"#,
        r#"{"portal":{"Id":"acme","Name":"ACME"}}"#,
        r#"{"portal":{"Id":"acme","Id":"other"}}"#,
        // Users.
        r#"{"user":{"Id":"9924256a-739c-462b-af15-e652a3b1b6eb","DisplayName":"Mike Zanyatski","Title":"Manager","AvatarSmall":"a","ProfileUrl":"p","IsAdmin":true}}"#,
        r#"{"user":{"Id":"9924256A-739C-462B-AF15-E652A3B1B6EB"}}"#,
        r#"{"user":{"Id":"9924256a-739c-462b-af15-e652a3b1b6eb","Title":null,"IsAdmin":null}}"#,
        r#"{"user":{"Id":"mike"}}"#,
        r#"{"user":{"id":5}}"#,
        r#"{"user":{"id":"9924256a-739c-462b-af15-e652a3b1b6eb","isadmin":true}}"#,
        r#"{"user":{"DisplayName":"Mike"}}"#,
        r#"{"user":{"Id":"9924256a-739c-462b-af15-e652a3b1b6eb","IsAdmin":"yes"}}"#,
        r#"{"user":{"Id":"9924256a-739c-462b-af15-e652a3b1b6eb","Admin":true}}"#,
        r#"{"user":{"Id":"9924256a-739c-462b-af15-e652a3b1b6eb","Email":"Mike@Example.com"}}"#,
        r#"{"user":{"Id":"9924256a-739c-462b-af15-e652a3b1b6eb","Email":null,"PasswordHash":null}}"#,
        r#"{"user":{"Id":"9924256a-739c-462b-af15-e652a3b1b6eb","Email":"mike"}}"#,
        r#"{"user":{"Id":"9924256a-739c-462b-af15-e652a3b1b6eb","Email":5}}"#,
        r#"{"user":{"Id":"9924256a-739c-462b-af15-e652a3b1b6eb","Email":"mike@example.com","Password":"opensesame"}}"#,
        // Stages and types.
        r##"{"stage":{"id":3,"Title":"Warm","Description":"","Color":"#a7fc00","SortOrder":1}}"##,
        r#"{"stage":{"id":1}}"#,
        r#"{"stage":{"id":0}}"#,
        r#"{"stage":{"id":-1}}"#,
        r#"{"stage":{"Title":"Warm"}}"#,
        r#"{"stage":{"id":2147483648}}"#,
        r#"{"stage":{"Id":3}}"#,
        r##"{"type":{"id":3,"Title":"Client","Description":"","Color":"#a7fc00","SortOrder":1}}"##,
        r#"{"type":{"id":0}}"#,
        r#"{"type":{"id":"3"}}"#,
        // Contacts.
        FULL,
        r#"{"contact":{"id":7,"Created":"2024-01-15"}}"#,
        r#"{"contact":{"id":7,"Created":"2024-01-15T10:00:00"}}"#,
        r#"{"contact":{"id":7}}"#,
        r#"{"contact":{"id":7,"Created":null}}"#,
        r#"{"contact":{"id":7,"Created":"yesterday"}}"#,
        r#"{"contact":{"id":7,"Created":1705312800}}"#,
        r#"{"contact":{"Created":"2024-01-15"}}"#,
        r#"{"contact":{"id":0,"Created":"2024-01-15"}}"#,
        r#"{"contact":{"id":2147483648,"Created":"2024-01-15"}}"#,
        r#"{"contact":{"id":"7","Created":"2024-01-15"}}"#,
        r#"{"contact":{"ID":7,"Created":"2024-01-15"}}"#,
        r#"{"contact":{"ID":7.0,"created":"2024-01-15","displayName":"Maria","Tags":null,"addresses":[null,{"street":null,"isPrimary":true}]}}"#,
        r#"{"contact":{"id":7e0,"Created":"2024-01-15","ContactStatus":{"ID":3.0,"title":null},"createBy":{"ID":"9924256a-739c-462b-af15-e652a3b1b6eb","isAdmin":null}}}"#,
        r#"{"contact":{"id":7,"Created":"2024-01-15","ContactStatus":{"id":null,"Title":null},"CreateBy":{"Id":null},"Currency":{"Symbol":null}}}"#,
        r#"{"contact":{"id":7,"Created":"2024-01-15","AccessList":[{"Id":null}]}}"#,
        r#"{"contact":{"id":7,"Created":"2024-01-15"},"task":null}"#,
        r#"{"contact":{"id":7,"Created":"2024-01-15"},"task":{}}"#,
        r#"{"contact":{"id":7,"ID":7,"Created":"2024-01-15"}}"#,
        r#"{"contact":{"id":7,"Created":"2024-01-15","DisplayName":null,"displayName":"b"}}"#,
        r#"{"contact":{"id":7.5,"Created":"2024-01-15"}}"#,
        r#"{"contact":{"id":1e300,"Created":"2024-01-15"}}"#,
        r#"{"contact":{"id":7,"Created":"2024-01-15","isPrivate":true,"isShared":false,"canEdit":true,"canDelete":1.5}}"#,
        r#"{"contact":{"id":7,"Created":"2024-01-15","FirstName":"Maria","LastName":"Anders","companyName":"Alfreds","hasOpportunity":true}}"#,
        r#"{"contact":{"id":7,"Created":"2024-01-15","Tags":["a\u0000b"]}}"#,
        r#"{"contact":{"id":7,"Created":"2024-01-15","Tags":["ok","a\tb"]}}"#,
        r#"{"contact":{"id":7,"Created":"2024-01-15","Tags":["\n trimmed \r\n"]}}"#,
        r#"[{"contact":{"id":7,"Created":"2024-01-15"}}]"#,
        "[",
        "{",
        r#"{"status":0,"response":[{"id":7}]}"#,
        // Deletions.
        r#"{"delete":{"contact":5}}"#,
        r#"{"delete":{"contact":0}}"#,
        r#"{"delete":{"contact":"5"}}"#,
        r#"{"delete":{"user":5}}"#,
        r#"{"delete":{"user":"00000000-0000-0000-0000-000000000000"}}"#,
        r#"{"delete":{"contact":5,"user":"00000000-0000-0000-0000-000000000000"}}"#,
        r#"{"delete":{}}"#,
        r#"{"delete":{"stage":3}}"#,
        r#"{"delete":{"contact":5,"stage":3}}"#,
        r#"{"delete":5}"#,
        // Invalid lines.
        "",
        "  ",
        "null",
        "5",
        "[]",
        "{}",
        r#""portal""#,
        r#"{"portal":null}"#,
        r#"{"Portal":{"Id":"acme"}}"#,
        r#"{"contacts":[]}"#,
        r#"{"portal":{"Id":"acme"},"user":{}}"#,
        r#"{"portal":{"Id":"acme"}} {}"#,
        r#"{"portal":{"Id":"acme"}"#,
    ]
    .into_iter()
    .map(str::to_owned)
    .chain([
        contact(r#""Shoesize":46"#),
        contact(r#""displayName":"Maria""#),
        contact(r#""Tags":[" VIP ","vip","Gold"]"#),
        contact(r#""Tags":["VIP",""]"#),
        contact(&format!(r#""Tags":["{}"]"#, "t".repeat(MAX_TAG_BYTES + 1))),
        contact(&format!(r#""Tags":[{}]"#, (0..=MAX_LIST_VALUES).map(|i| format!("\"{i}\"")).collect::<Vec<_>>().join(","))),
        contact(r#""Tags":"VIP""#),
        contact(r#""ContactStatus":null,"ContactType":{"id":0}"#),
        contact(r#""ContactStatus":{"id":-1}"#),
        contact(r#""ContactType":{"id":-1}"#),
        contact(r#""ContactStatus":3"#),
        contact(r#""ContactStatus":{}"#),
        contact(&format!(r#""AccessList":[{person},{person}]"#)),
        contact(&format!(r#""ShareType":0,"AccessList":[{person}]"#)),
        contact(r#""ShareType":2"#),
        contact(r#""ShareType":3"#),
        contact(r#""ShareType":"None""#),
        contact(r#""IsPrivate":true,"IsShared":"whatever","CanEdit":null,"CanDelete":0"#),
        contact(r#""accessList":[null,{"ID":"nobody"}]"#),
        contact(r#""AccessList":["9924256a-739c-462b-af15-e652a3b1b6eb"]"#),
        contact(r#""CreateBy":{"Id":"nobody"}"#),
        contact(r#""Addresses":[{"Strasse":"x"}]"#),
        contact(r#""Addresses":[{"Street":null}]"#),
        contact(r#""CommonData":[{"id":"x"}]"#),
        contact(r#""Addresses":null,"CreateBy":null,"About":null,"Tags":null,"AccessList":null,"Currency":null"#),
        contact(r#""TaskCount":-1"#),
        contact(r#""DisplayName":"a","DisplayName":"b""#),
        contact(&format!(r#""About":"{}""#, "a".repeat(MAX_LINE_BYTES))),
        format!(r#"{{"user":{{"Id":"9924256a-739c-462b-af15-e652a3b1b6eb","Title":"{}"}}}}"#, "t".repeat(MAX_EMPLOYEE_BYTES)),
        format!(r#"{{"user":{{"Id":"9924256a-739c-462b-af15-e652a3b1b6eb","DisplayName":"M","Title":"{}"}}}}"#, "t".repeat(MAX_EMPLOYEE_BYTES)),
        password(r#""Email":"mike@example.com","#, "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo"),
        password("", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo"),
        password(r#""Email":"mike@example.com","#, "$argon2id$v=19$m=1048576,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo"),
        password(r#""Email":"mike@example.com","#, "opensesame"),
        token(&secret, r#","Scopes":["read","write"],"Expires":null"#),
        token(&secret, r#","Scopes":["read"],"Expires":"2030-01-01""#),
        token(&secret, r#","Scopes":["read"],"Expires":"2030-01-01T10:00:00Z""#),
        token(&"s".repeat(MAX_TOKEN_CHARS), r#","Scopes":["write"]"#),
        token(&"s".repeat(MIN_TOKEN_CHARS - 1), r#","Scopes":["read"]"#),
        token(&"s".repeat(MAX_TOKEN_CHARS + 1), r#","Scopes":["read"]"#),
        token(&"s ".repeat(MIN_TOKEN_CHARS), r#","Scopes":["read"]"#),
        token(&"ß".repeat(MIN_TOKEN_CHARS), r#","Scopes":["read"]"#),
        token(&secret, ""),
        token(&secret, r#","Scopes":["admin"]"#),
        token(&secret, r#","Scopes":[]"#),
        token(&secret, r#","Scopes":"read""#),
        token(&secret, r#","Scopes":["read"],"Expires":"never""#),
        token(&secret, r#","Scopes":["read"],"Portal":"acme""#),
    ])
    .collect();
    crate::check_file("import-lines", &lines.iter().map(|line| check(line)).collect::<String>());
}

#[test]
fn messages_are_short_for_any_line() {
    const MAX_MESSAGE_BYTES: usize = 1024;
    for text in ["x", "ä", "\\u0007"] {
        let long = text.repeat(20_000);
        for line in [
            long.clone(),
            format!(r#"{{"{long}":{{}}}}"#),
            format!(r#"{{"{long}":1,"{long}":2}}"#),
            format!(r#"{{"portal":"{long}"}}"#),
            format!(r#"{{"portal":{{"Id":"{long}"}}}}"#),
            format!(r#"{{"portal":{{"Id":"acme","{long}":1}}}}"#),
            format!(r#"{{"portal":{{"Id":"acme","Shards":"{long}"}}}}"#),
            format!(r#"{{"portal":{{"Id":"acme","TimeZone":"{long}"}}}}"#),
            format!(r#"{{"user":{{"Id":"{long}"}}}}"#),
            format!(r#"{{"user":{{"Id":"9924256a-739c-462b-af15-e652a3b1b6eb","Email":"{long}"}}}}"#),
            format!(r#"{{"contact":{{"id":"{long}"}}}}"#),
            format!(r#"{{"contact":{{"id":7,"Created":"{long}"}}}}"#),
            format!(r#"{{"contact":{{"id":7,"Created":"2024-01-15","ShareType":"{long}"}}}}"#),
            format!(r#"{{"contact":{{"id":7,"Created":"2024-01-15","Addresses":[{{"{long}":1}}]}}}}"#),
            format!(r#"{{"token":{{"Scopes":["{long}"]}}}}"#),
        ] {
            let message = parse_line(&line, &TimeZone::UTC).unwrap_err();
            assert!(message.len() <= MAX_MESSAGE_BYTES, "{} bytes: {message}", message.len());
        }
    }
}
