//! Calls as clients send them that were written for ONLYOFFICE's server: its browser client, with the number that this puts
//! behind every URL, and one in Go.

use models::access::ShareType;
use serde_json::{Value, json};
use tests::{Reply, World};
use uuid::Uuid;

use crate::portal::{
    ADA, ADA_TOKEN, MIKE, SAM, access_of, acme, contact, contact_with, lines, private, public, signing_in,
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
async fn the_browser_client_reads_lists_and_sets_access() {
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
    // The panel for several contacts has other names.
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
async fn the_go_client_signs_in_and_sends_forms() {
    let world = world().await;
    let body = "userName=ada%40acme.example&password=correct+horse+battery+staple";
    let reply = form(&world, "POST", "authentication.json", "", body).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    let signed_in = response(&reply);
    let token = signed_in["token"].as_str().unwrap();
    let expires = signed_in["expires"].as_str().unwrap();
    assert!(token.len() >= 32 && expires > "2026-01-02", "{signed_in}");
    // The client reads no other form of a time than one with the portal's offset.
    assert!(expires.ends_with("+02:00"), "{signed_in}");

    let body = format!("contactid=4&isShared=1&managerList[0]={MIKE}&managerList[1]={SAM}");
    let reply = form(&world, "PUT", "crm/contact/4/access.json", token, &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(access_of(&world, 4).await.access, public(&[MIKE, SAM]));

    // The same by filter, with a value that is repeated.
    let body = format!("tags=vip&contactStage=1&isPrivate=True&managerList={MIKE}&managerList={SAM}");
    let reply = form(&world, "PUT", "crm/contact/filter/access.json", token, &body).await;
    assert_eq!((reply.status.as_u16(), reply.json()["count"].as_u64()), (200, Some(3)), "{}", reply.text);
    assert_eq!(access_of(&world, 2).await.access, private(&[MIKE, SAM]));

    let reply = world.contact("filter.json?count=1&startIndex=3", token).await.unwrap();
    assert_eq!((&reply.json()["total"], &reply.json()["nextIndex"]), (&json!(4), &Value::Null), "{}", reply.text);
}

#[tokio::test]
async fn a_form_has_the_faults_of_json() {
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
    // A blank input is no wish to change everyone's.
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
async fn forms_are_taken_on_every_path_and_answered_in_the_dialect_of_onlyoffice() {
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
async fn a_rule_is_set_by_a_form_too() {
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
