//! Replays after changes by others.

use models::access::ShareType;
use serde_json::{Value, json};
use tests::World;

use super::{Call, KEY, call, essence, filter, five, later, rule, send, send_with, single};
use crate::portal::{ADA_TOKEN, MIKE, MIKE_TOKEN, SAM, SAM_TOKEN, acme, contact, contact_with, lines};

/// Returns every kind of call that changes a contact's access, with options of its answer.
fn writes() -> Vec<Call> {
    let mut all = vec![
        single(&[MIKE, SAM]),
        call("PUT", "contact/1/access?dryRun=true", json!({"isShared": false, "managerList": [SAM]})),
        call("PUT", "contact/1/access?fields=id,accessList", single(&[MIKE]).body),
        call("PUT", "contact/access", json!({"contactid": [1, 2], "isShared": false, "managerList": [SAM]})),
        call("PUT", "contact/access?dryRun=true", json!({"contactid": [2, 1], "isShared": false})),
        call("PUT", "contact/access.json?count=1", json!({"contactid": [2, 1], "isShared": true})),
        filter("", &[MIKE]),
        filter(".json?count=2", &[MIKE]),
        filter("?dryRun=true", &[MIKE]),
        later("", &[MIKE]),
        rule("nightly", "0 2 * * *"),
    ];
    all.push(Call { headers: vec![("accept", "text/xml")], ..filter("", &[SAM]) });
    all
}

#[tokio::test]
async fn replay_is_the_same_after_contacts_were_renamed_or_removed() {
    for call in writes() {
        let world = five().await;
        let first = send(&world, &call).await;
        assert!(first.status.is_success(), "{call:?}: {}", first.text);
        let mut loaded = vec![crate::portal::portal("acme", "Europe/Riga", 4)];
        loaded.extend([1, 3].map(|id| contact(id, json!({"DisplayName": "Renamed", "Tags": ["new"]}))));
        loaded.extend([2, 4].map(|id| json!({"delete": {"contact": id}})));
        loaded.push(crate::portal::user(MIKE, "Michael", false));
        world.import(&lines(loaded)).await.unwrap();
        assert_eq!(essence(&send(&world, &call).await), essence(&first), "{call:?}");
    }
}

#[tokio::test]
async fn replay_is_the_same_after_the_user_was_demoted() {
    for call in writes() {
        let mut values = acme();
        values.push(crate::portal::user(SAM, "Sam", true));
        values.extend([contact(1, json!({})), contact(2, json!({})), contact_with(3, ShareType::None, &[SAM])]);
        let world = World::with(&lines(values)).await.unwrap();
        let first = send_with(&world, SAM_TOKEN, &[KEY], &call).await;
        assert!(first.status.is_success(), "{call:?}: {}", first.text);
        let demoted = [crate::portal::portal("acme", "Europe/Riga", 4), crate::portal::user(SAM, "Sam", false)];
        world.import(&lines(demoted)).await.unwrap();
        let again = send_with(&world, SAM_TOKEN, &[KEY], &call).await;
        assert_eq!(essence(&again), essence(&first), "{call:?}");
    }
}

#[tokio::test]
async fn replay_leaves_out_only_contacts_hidden_since() {
    let world = five().await;
    let first = send_with(&world, MIKE_TOKEN, &[KEY], &single(&[MIKE])).await;
    let hidden = json!({"isShared": false, "managerList": [SAM]});
    assert_eq!(world.put("1/access", ADA_TOKEN, &hidden).await.unwrap().status, 200);
    let again = send_with(&world, MIKE_TOKEN, &[KEY], &single(&[MIKE])).await;
    assert_eq!((essence(&again).0, essence(&again).2), (essence(&first).0, essence(&first).2));
    let (shown, before) = (again.json()["response"].clone(), first.json()["response"].clone());
    for member in ["id", "AccessList", "IsPrivate", "IsShared", "ShareType", "CanEdit", "CanDelete"] {
        assert_eq!(shown[member], before[member], "{member}");
    }
    assert_eq!((&shown["DisplayName"], &shown["CreateBy"]), (&json!(""), &Value::Null));
    assert!(!again.text.contains(&SAM.to_string()), "{}", again.text);

    let world = five().await;
    let call = call("PUT", "contact/access.json", json!({"contactid": [1, 2, 3], "isShared": true}));
    let first = send_with(&world, MIKE_TOKEN, &[KEY], &call).await;
    assert_eq!(world.put("2/access", ADA_TOKEN, &hidden).await.unwrap().status, 200);
    let again = send_with(&world, MIKE_TOKEN, &[KEY], &call).await;
    assert_eq!(essence(&again).2, essence(&first).2);
    let mut expected = first.json();
    expected["response"].as_array_mut().unwrap().remove(1);
    expected["count"] = json!(2);
    assert_eq!(again.json(), expected);
}

#[tokio::test]
async fn replay_repeats_an_answer_larger_than_one_item() {
    let mut values = acme();
    let text = |seed: u64| {
        (0..40)
            .map(|part| format!("{:016x}", (seed * 1000 + part).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .collect::<String>()
    };
    values.extend((1..=1000).map(|id| contact(id, json!({"About": text(id.unsigned_abs())}))));
    let world = World::with(&lines(values)).await.unwrap();
    let call = filter("", &[MIKE]);
    let first = send(&world, &call).await;
    assert_eq!(first.ids().len(), 1000, "{}", first.text);
    assert_eq!(essence(&send(&world, &call).await), essence(&first));
}
