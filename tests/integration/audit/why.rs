//! Why a user may see and edit a contact.

use models::access::ShareType;
use serde_json::{Value, json};

use super::{contact_shown, outcome, set, set_all};
use crate::portal::{
    ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, NOBODY, READER_TOKEN, SAM, SAM_TOKEN, acme_with, contact, contact_with, shown_at,
};

fn right(reason: &str) -> Value {
    json!({"allowed": reason != "not-in-list", "reason": reason})
}

#[tokio::test]
async fn each_reason_is_named_for_seeing_and_editing() {
    let world = acme_with([
        contact(1, json!({})),
        contact_with(2, ShareType::None, &[MIKE]),
        contact_with(3, ShareType::Read, &[MIKE]),
    ])
    .await;
    for (id, user, see, edit) in [
        (1, ADA, "administrator", "administrator"),
        (1, SAM, "shared", "shared"),
        (2, ADA, "administrator", "administrator"),
        (2, MIKE, "in-list", "in-list"),
        (2, SAM, "not-in-list", "not-in-list"),
        (3, MIKE, "shared", "in-list"),
        (3, SAM, "shared", "not-in-list"),
    ] {
        let why = contact_shown(&world, &format!("{id}/access/why?userId={user}"), READER_TOKEN).await;
        assert_eq!((&why["see"], &why["edit"]), (&right(see), &right(edit)), "{id} {user}");
        assert_eq!((&why["contactId"], &why["user"]["id"], &why["setBy"]), (&json!(id), &json!(user), &Value::Null));
    }
    let own = contact_shown(&world, "3/access/why", SAM_TOKEN).await;
    let expected = json!({
        "contactId": 3, "user": {"id": SAM, "displayName": "Sam"}, "see": right("shared"), "edit": right("not-in-list"),
        "setBy": null,
    });
    assert_eq!(own, expected);
}

#[tokio::test]
async fn users_ask_about_themselves_and_only_about_contacts_that_they_see() {
    let world = acme_with([contact(1, json!({})), contact_with(2, ShareType::None, &[MIKE])]).await;
    for (path, token, expected) in [
        (format!("1/access/why?userId={SAM}"), SAM_TOKEN, "200 "),
        (format!("1/access/why?userId={MIKE}"), SAM_TOKEN, "403 reasons-forbidden"),
        (format!("1/access/why?userId={NOBODY}"), SAM_TOKEN, "403 reasons-forbidden"),
        (format!("1/access/why?userId={NOBODY}"), ADA_TOKEN, "404 user-not-found"),
        ("2/access/why".to_owned(), SAM_TOKEN, "404 contact-not-found"),
        (format!("2/access/why?userId={MIKE}"), SAM_TOKEN, "404 contact-not-found"),
        ("9/access/why".to_owned(), ADA_TOKEN, "404 contact-not-found"),
        ("1/access/why?userId=mike".to_owned(), ADA_TOKEN, "400 invalid-request"),
        ("1/access/why?user=x".to_owned(), ADA_TOKEN, "400 invalid-request"),
    ] {
        assert_eq!(outcome(&world.contact(&path, token).await.unwrap()), expected, "{path}");
    }
}

#[tokio::test]
async fn job_that_set_the_access_is_named() {
    let world = acme_with([contact(1, json!({})), contact(2, json!({}))]).await;
    let body = json!({"isShared": true, "managerList": [SAM]});
    let reply = world.put("1/access?note=for%20Sam", MIKE_TOKEN, &body).await.unwrap();
    let job = |note: Value| {
        json!({
            "id": reply.header("x-job-id"), "kind": "contact", "created": shown_at(world.app.now()),
            "createdBy": {"id": MIKE, "displayName": "Mike"}, "rule": null, "note": note, "undoOf": null,
        })
    };
    for (token, note) in [(ADA_TOKEN, json!("for Sam")), (MIKE_TOKEN, json!("for Sam")), (SAM_TOKEN, Value::Null)] {
        assert_eq!(contact_shown(&world, "1/access/why", token).await["setBy"], job(note));
    }
    let all = set_all(&world, ADA_TOKEN, &[MIKE]).await;
    let set_by = &contact_shown(&world, "2/access/why", MIKE_TOKEN).await["setBy"];
    assert_eq!((&set_by["id"], &set_by["kind"]), (&json!(all.to_string()), &json!("filter")));
    set(&world, ADA_TOKEN, 2, false, &[ADA]).await;
    assert_eq!(outcome(&world.contact("2/access/why", MIKE_TOKEN).await.unwrap()), "404 contact-not-found");
}
