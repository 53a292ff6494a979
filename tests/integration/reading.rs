//! Reading a contact and its access list, and properties of all reads: entity tags, compression, shapes.

use std::io::Read as _;

use flate2::read::GzDecoder;
use models::access::ShareType;
use serde_json::json;
use tests::{Reply, World};

use crate::portal::{
    ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, SAM_TOKEN, access_of, acme_with, contact, contact_with, private,
};

async fn get(world: &World, path: &str, headers: &[(&str, &str)]) -> Reply {
    world.call("GET", &format!("/api/2.0/crm/{path}"), ADA_TOKEN, headers, "").await.unwrap()
}

#[tokio::test]
async fn contact_is_read_in_two_rounds_by_callers_who_may_see_it() {
    let mut shown = contact_with(1, ShareType::None, &[MIKE]);
    shown["contact"]["CreateBy"] = json!({"Id": ADA});
    shown["contact"]["ContactStatus"] = json!({"id": 1});
    let world = acme_with([shown, contact_with(2, ShareType::Read, &[MIKE])]).await;
    let reply = world.contact("1", ADA_TOKEN).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    let one = reply.json()["response"].clone();
    // The contact has the 24 documented members, and the first and last name.
    assert_eq!(one.as_object().unwrap().len(), 26);
    assert_eq!(one["accessList"][0]["displayName"], "Mike");
    assert_eq!((&one["createBy"]["id"], &one["contactStatus"]["title"]), (&json!(ADA), &json!("Stage 1")));
    let before = world.trips.so_far();
    assert_eq!(world.contact("1", ADA_TOKEN).await.unwrap().text, reply.text);
    assert_eq!(world.trips.so_far().1 - before.1, 2);

    for (path, token, expected) in [
        ("1", MIKE_TOKEN, (200, true)),
        ("1", SAM_TOKEN, (404, false)),
        ("9", ADA_TOKEN, (404, false)),
        ("2", SAM_TOKEN, (200, false)),
        ("2", MIKE_TOKEN, (200, true)),
    ] {
        let reply = world.contact(path, token).await.unwrap();
        let may_edit = reply.json()["response"]["canEdit"] == true;
        assert_eq!((reply.status.as_u16(), may_edit), expected, "{path} {token}: {}", reply.text);
        let list = world.contact(&format!("{path}/access"), token).await.unwrap();
        assert_eq!(list.status, reply.status);
    }
    assert_eq!(world.contact("1/access", MIKE_TOKEN).await.unwrap().response()[0]["id"], json!(MIKE));
    // The list of a shared contact is stored and not shown.
    assert_eq!(world.contact("2/access", MIKE_TOKEN).await.unwrap().response(), json!([]));
    let xml = world.contact("1/access.xml", MIKE_TOKEN).await.unwrap();
    assert!(xml.text.contains(&format!("<response><id>{MIKE}</id><displayName>Mike</displayName>")), "{}", xml.text);
}

#[tokio::test]
async fn entity_tag_of_every_read_saves_a_second_transfer() {
    let world = acme_with((1..=30).map(|id| contact(id, json!({"About": "x".repeat(100)})))).await;
    for path in ["contact/1", "contact/1/access.json", "contact/filter", "access/jobs.xml", "access/rules"] {
        let first = get(&world, path, &[]).await;
        let tag = first.header("etag").to_owned();
        assert_eq!(first.status, 200, "{path}: {}", first.text);
        assert!(tag.len() > 10 && tag.starts_with('"'), "{path}: {tag}");
        assert_eq!(first.header("cache-control"), "private, no-store", "{path}");
        assert_eq!(first.header("vary"), "Accept, Accept-Encoding, Authorization", "{path}");
        for held in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let again = get(&world, path, &[("if-none-match", &held)]).await;
            assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{path} {held}");
            assert_eq!(again.header("etag"), tag, "{path}");
            assert_eq!(again.header("content-type"), "", "{path}");
        }
        let other = get(&world, path, &[("if-none-match", "\"0\"")]).await;
        assert_eq!((other.status.as_u16(), &other.text), (200, &first.text), "{path}");
        for held in [tag.clone(), format!("\"other\", {tag}"), "*".to_owned()] {
            let again = get(&world, path, &[("if-match", &held)]).await;
            assert_eq!((again.status.as_u16(), &again.text), (200, &first.text), "{path} {held}");
        }
        for held in [format!("W/{tag}"), "\"0.0123456789abcdef\"".to_owned(), String::new()] {
            let refused = get(&world, path, &[("if-match", &held)]).await;
            // The answer to `access/jobs.xml` is XML.
            assert_eq!(
                (refused.status.as_u16(), refused.text.contains("revision-changed")),
                (412, true),
                "{path} {held}"
            );
        }
    }
}

#[tokio::test]
async fn if_match_accepts_the_tag_of_a_read_contact() {
    let world = acme_with([contact(1, json!({}))]).await;
    let put = async |tag: &str| {
        let body = json!({"isShared": false, "managerList": [MIKE]}).to_string();
        world.put_with("1/access", ADA_TOKEN, &body, &[("if-match", tag)]).await.unwrap()
    };
    let read = get(&world, "contact/1", &[]).await.header("etag").to_owned();
    assert!(read.starts_with("\"0."), "{read}");
    assert_eq!(put("\"1.0123456789abcdef\"").await.status, 412);
    let changed = put(&read).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    // The tag read before is stale. The tag read now starts with the revision in the change's answer.
    assert_eq!(put(&read).await.status, 412);
    let again = get(&world, "contact/1/access.json", &[("if-none-match", &read)]).await;
    assert_eq!(again.status, 200);
    assert!(again.header("etag").starts_with(changed.header("etag").trim_end_matches('"')), "{again:?}");
    assert_eq!(put(again.header("etag")).await.status, 200);
    let changed = changed.header("etag");
    assert_eq!(get(&world, "contact/1", &[("if-match", changed)]).await.status, 200);
    assert_eq!(access_of(&world, 1).await.access, private(&[MIKE]));
}

#[tokio::test]
async fn long_answers_are_compressed_for_clients_that_accept_gzip() {
    let world = acme_with((1..=30).map(|id| contact(id, json!({"About": "x".repeat(100)})))).await;
    let plain = get(&world, "contact/filter", &[]).await;
    let packed = get(&world, "contact/filter", &[("accept-encoding", "br, gzip")]).await;
    assert_eq!((packed.status.as_u16(), packed.header("content-encoding")), (200, "gzip"));
    assert!(packed.body.len() * 5 < plain.body.len(), "{} of {}", packed.body.len(), plain.body.len());
    let mut text = String::new();
    GzDecoder::new(&packed.body[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, plain.text);
    // The compressed body is another representation. Either tag proves that the caller has the content.
    let (of_plain, of_packed) = (plain.header("etag"), packed.header("etag"));
    assert_ne!(of_plain, of_packed);
    for (held, encoding) in [(of_plain, "gzip"), (of_packed, "identity"), (of_packed, "gzip")] {
        let headers = [("if-none-match", held), ("accept-encoding", encoding)];
        assert_eq!(get(&world, "contact/filter", &headers).await.status, 304);
    }
    for (path, encoding) in [("contact/1/access", "gzip"), ("contact/filter", "gzip;q=0"), ("contact/filter", "br")] {
        let reply = get(&world, path, &[("accept-encoding", encoding)]).await;
        assert_eq!((reply.status.as_u16(), reply.header("content-encoding")), (200, ""), "{path} {encoding}");
    }
    // The answer to a change is compressed too, and keeps the tag that If-Match accepts.
    let body = json!({"isShared": false}).to_string();
    let reply = world.put_with("1/access", ADA_TOKEN, &body, &[("accept-encoding", "gzip")]).await.unwrap();
    assert_eq!(reply.header("etag").len(), "\"00000000-0000-0000-0000-000000000000\"".len(), "{reply:?}");
}

#[tokio::test]
async fn fields_trim_contacts_on_every_endpoint_that_shows_them() {
    let world = acme_with([contact(1, json!({"Tags": ["vip"]}))]).await;
    let body = json!({"isShared": true, "contactid": 1}).to_string();
    let single = json!({"isShared": true}).to_string();
    let filter = json!({"isPrivate": false}).to_string();
    let json = [("content-type", "application/json")];
    for (method, path, body, expected) in [
        (
            "GET",
            "1?fields=id,displayname",
            "",
            r#"{"count":1,"startIndex":0,"status":0,"statusCode":200,"response":{"id":1,"displayName":"Contact 1"}}"#,
        ),
        (
            "GET",
            "1.json?fields=DisplayName",
            "",
            r#"{"count":1,"startIndex":0,"status":0,"statusCode":200,"response":{"displayName":"Contact 1"}}"#,
        ),
        (
            "GET",
            "1.xml?fields=ID",
            "",
            "<result><count>1</count><startIndex>0</startIndex><status>0</status><statusCode>200</statusCode><response><id>1</id></response></result>",
        ),
        (
            "GET",
            "filter?fields=id",
            "",
            r#"{"count":1,"startIndex":0,"total":1,"status":0,"statusCode":200,"response":[{"id":1}]}"#,
        ),
        ("PUT", "1/access?fields=firstName", &single, r#"{"status":0,"response":{"FirstName":"Contact"}}"#),
        (
            "GET",
            "filter.json?fields=id&total=false",
            "",
            r#"{"count":1,"startIndex":0,"status":0,"statusCode":200,"response":[{"id":1}]}"#,
        ),
        ("PUT", "1/access?fields=isShared", &single, r#"{"status":0,"response":{"IsShared":true}}"#),
        (
            "PUT",
            "access?fields=id",
            &body,
            r#"{"count":1,"startIndex":0,"total":1,"status":0,"statusCode":200,"response":[{"id":1}]}"#,
        ),
        ("PUT", "filter/access?fields=tags", &filter, r#"[{"Tags":["vip"]}]"#),
    ] {
        let reply = world.call(method, &format!("/api/2.0/crm/contact/{path}"), ADA_TOKEN, &json, body).await.unwrap();
        assert_eq!((reply.status.as_u16(), reply.text.as_str()), (200, expected), "{method} {path}");
    }
}

#[tokio::test]
async fn path_suffix_decides_the_format_of_every_answer() {
    let world = acme_with([contact(1, json!({}))]).await;
    let check = async |path: &str, accept: &str, content_type: &str, start: &str| {
        let reply = get(&world, path, &[("accept", accept)]).await;
        assert_eq!(reply.header("content-type"), content_type, "{path} {accept}");
        assert!(reply.text.starts_with(start), "{path} {accept}: {}", reply.text);
    };
    const JSON: &str = "application/json; charset=utf-8";
    const XML: &str = "text/xml; charset=utf-8";
    check("contact/1.json", "text/xml", JSON, r#"{"count":1,"#).await;
    check("contact/1.xml", "application/json", XML, "<result><count>1</count>").await;
    check("contact/1.xml", "application/xml", "application/xml; charset=utf-8", "<result><count>1</count>").await;
    check("contact/9.xml", "*/*", XML, "<result><status>1</status><statusCode>404</statusCode><error>").await;
    check("contact/0.json", "text/xml", JSON, r#"{"status":1,"statusCode":400,"#).await;
    check("contact/byprefix.json", "text/xml", JSON, r#"{"status":1,"statusCode":404,"#).await;
    check("access/jobs.json", "*/*", JSON, r#"{"count":0,"startIndex":0,"status":0,"statusCode":200,"response":[]}"#)
        .await;
    check("nowhere.xml", "*/*", XML, "<result><status>1</status><statusCode>404</statusCode>").await;
    check("contact/1.json", "image/png", JSON, r#"{"count":1,"#).await;
}
