//! Previews on the demo portal.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Server, TestResult, nowhere, request, strs, tokens_of_the_demo, until};

/// Calls a path of the server, and returns the status and the value in the envelope.
fn call(server: &Server, method: &str, path: &str, token: &str, body: &Value) -> TestResult<(u16, Value)> {
    let headers = [("Authorization", token), ("Content-Type", "application/json"), ("Prefer", "respond-async")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let reply = request(server.port, method, &format!("/api/2.0/{path}"), &headers, &body)?;
    Ok((reply.status, reply.json()?["response"].clone()))
}

/// Waits for the end of a job, and returns the job.
fn ended(server: &Server, token: &str, job: &Value) -> TestResult<Value> {
    let path = format!("crm/access/jobs/{}", job.as_str().ok_or("no job")?);
    until("the end of the job", || {
        let (_, job) = call(server, "GET", &path, token, &Value::Null)?;
        Ok(Some(job).filter(|job| !job["finished"].is_null()))
    })
}

/// Returns whether a user who is no administrator sees a contact with this access.
fn sees(user: &Value, access: &Value) -> bool {
    access["shareType"] != 0 || access["accessList"].as_array().into_iter().flatten().any(|one| one["id"] == *user)
}

/// Counts the changes of each user for which `is_counted` is true. Its arguments say whether the user sees the contact
/// before and after the change.
fn counted(users: &[Value], changes: &[Value], caller: &Value, is_counted: fn(bool, bool) -> bool) -> Value {
    let count = |user: &&Value| {
        let change = |change: &&Value| is_counted(sees(user, &change["before"]), sees(user, &change["after"]));
        changes.iter().filter(change).count()
    };
    let mut numbers: Vec<(String, usize)> =
        users.iter().map(|user| (user.as_str().unwrap_or_default().to_owned(), count(&user))).collect();
    numbers.retain(|(_, contacts)| *contacts > 0);
    numbers.sort();
    numbers.sort_by_key(|(_, contacts)| Reverse(*contacts));
    let of_caller = numbers.iter().find(|(user, _)| caller == user).map_or(0, |(_, contacts)| *contacts);
    json!({"users": numbers.len(), "caller": of_caller, "largest": numbers})
}

/// Returns a shown effect in the form of `counted`. Every user must have its name.
fn shown(effect: &Value, names: &BTreeMap<String, Value>) -> Value {
    let largest = effect["largest"].as_array().into_iter().flatten().map(|user| {
        assert_eq!(Some(&user["displayName"]), user["id"].as_str().and_then(|id| names.get(id)), "{user}");
        json!([user["id"], user["contacts"]])
    });
    json!({"users": effect["users"], "caller": effect["caller"], "largest": largest.collect::<Vec<_>>()})
}

#[test]
fn effect_of_previews_on_the_demo_equals_a_count_by_user_and_contact() -> TestResult {
    let engine = nowhere();
    let server = Server::start(&[&strs(&engine)[..], &["--demo"]].concat())?;
    let [administrator, employee] = tokens_of_the_demo(&server)?;
    let (_, people) = call(&server, "GET", "people", administrator, &Value::Null)?;
    let people = people.as_array().ok_or("no people")?;
    let names: BTreeMap<String, Value> =
        people.iter().filter_map(|user| Some((user["id"].as_str()?.to_owned(), user["displayName"].clone()))).collect();
    let users: Vec<Value> =
        people.iter().filter(|user| user["isAdmin"] == false).map(|user| user["id"].clone()).collect();
    assert!(users.len() > 4, "{people:?}");

    let filters = [json!({}), json!({"tags": ["Germany"]}), json!({"contactStage": 3}), json!({"contactListView": 1})];
    let targets = [
        json!({"isPrivate": true, "managerList": []}),
        json!({"isPrivate": true, "managerList": [users[0], users[3]]}),
        json!({"isPrivate": true, "managerList": users}),
        json!({"isPrivate": false, "managerList": [users[1]]}),
    ];
    for token in [administrator, employee] {
        let (_, caller) = call(&server, "GET", "people/@self", token, &Value::Null)?;
        for (filter, target) in filters.iter().flat_map(|filter| targets.iter().map(move |target| (filter, target))) {
            let mut body = filter.clone();
            let members = target.as_object().into_iter().flatten();
            members.for_each(|(name, value)| body[name] = value.clone());
            let (status, queued) = call(&server, "PUT", "crm/contact/filter/access.json?dryRun=true", token, &body)?;
            assert_eq!((status, &queued["kind"]), (202, &json!("preview")), "{queued}");
            let preview = ended(&server, token, &queued["id"])?;
            assert_eq!(preview["state"], "done", "{preview}");
            let path = format!("crm/access/jobs/{}/changes", preview["id"].as_str().ok_or("no id")?);
            let (_, changes) = call(&server, "GET", &path, token, &Value::Null)?;
            let changes = changes.as_array().ok_or("no changes")?;
            assert_eq!(preview["updated"], changes.len(), "{body}");
            let id = &caller["id"];
            let gains = counted(&users, changes, id, |before, after| !before && after);
            let loses = counted(&users, changes, id, |before, after| before && !after);
            assert_eq!(shown(&preview["gains"], &names), gains, "{body}");
            assert_eq!(shown(&preview["loses"], &names), loses, "{body}");
            let is_lost = |change: &&Value| {
                users.iter().any(|user| sees(user, &change["before"]) && !sees(user, &change["after"]))
            };
            assert_eq!(preview["losesAny"], changes.iter().filter(is_lost).count(), "{body}");
        }
    }
    assert_eq!(server.end("TERM")?, Some(0));
    Ok(())
}
