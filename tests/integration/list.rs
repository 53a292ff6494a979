//! `GET …/contact/filter`: the contacts that match a filter and are visible to the caller.

use models::access::ShareType;
use serde_json::{Value, json};
use tests::{Reply, World};

use crate::portal::{ADA_TOKEN, MIKE, MIKE_TOKEN, NOBODY, SAM, SAM_TOKEN, acme_with, contact, contact_with};

async fn list(world: &World, token: &str, query: &str) -> Reply {
    let reply = world.contact(&format!("filter?{query}"), token).await.unwrap();
    assert_eq!(reply.status, 200, "{query}: {}", reply.text);
    reply
}

/// Creates contacts 1 to 6. A higher number has a later creation date and an earlier name. Contacts 2 and 4 are private
/// to Mike, and contact 5 is shared for reading.
async fn world() -> World {
    let contacts = (1..=6).map(|id| {
        let mut contact = match id {
            2 | 4 => contact_with(id, ShareType::None, &[MIKE]),
            5 => contact_with(id, ShareType::Read, &[MIKE, SAM]),
            _ => contact(id, json!({})),
        };
        let members = contact["contact"].as_object_mut().unwrap();
        members.insert("Created".into(), json!(format!("2021-01-0{id}T12:00:00Z")));
        members.insert("DisplayName".into(), json!(format!("Person {}", 9 - id)));
        members.insert("Tags".into(), if id % 2 == 0 { json!(["even"]) } else { json!(["odd", "all"]) });
        members.insert("IsCompany".into(), json!(id > 3));
        contact
    });
    acme_with(contacts).await
}

#[tokio::test]
async fn list_is_filtered_ordered_and_paged() {
    let world = world().await;
    for (query, expected) in [
        ("", vec![6, 5, 4, 3, 2, 1]),
        ("tags=even", vec![6, 4, 2]),
        ("tags[]=ODD&tags[]=all", vec![5, 3, 1]),
        ("tags=even&tags=odd", vec![]),
        ("contactListView=company", vec![6, 5, 4]),
        ("contactListView=2&tags=odd", vec![3, 1]),
        ("contactStage=1", vec![]),
        ("contactStage=0&contactType=-1", vec![6, 5, 4, 3, 2, 1]),
        ("filterValue=person+8", vec![1]),
        ("fromDate=2021-01-02&toDate=2021-01-04", vec![4, 3, 2]),
        ("sortBy=created&sortOrder=ascending", vec![1, 2, 3, 4, 5, 6]),
        ("sortBy=displayName", vec![6, 5, 4, 3, 2, 1]),
        ("sortBy=DISPLAYNAME&sortorder=Descending", vec![1, 2, 3, 4, 5, 6]),
        ("sortBy=id", vec![1, 2, 3, 4, 5, 6]),
        ("sortBy=id&sortOrder=descending&count=2&startIndex=1", vec![5, 4]),
        ("count=2&startIndex=5", vec![1]),
        ("count=2&startIndex=9", vec![]),
        ("count=0", vec![]),
        ("isShared=false", vec![4, 2]),
        ("isShared=true&tags=even", vec![6]),
        (&format!("responsibleid={MIKE}"), vec![5, 4, 2]),
        (&format!("responsibleid={MIKE}&isShared=false&sortBy=id"), vec![2, 4]),
        (&format!("responsibleid={SAM}"), vec![5]),
        (&format!("responsibleid={NOBODY}"), vec![]),
    ] {
        assert_eq!(list(&world, ADA_TOKEN, query).await.ids(), expected, "{query}");
    }
}

#[tokio::test]
async fn list_neither_shows_nor_counts_invisible_contacts() {
    let world = world().await;
    for (token, expected) in [(MIKE_TOKEN, vec![6, 5, 4, 3, 2, 1]), (SAM_TOKEN, vec![6, 5, 3, 1])] {
        let complete = list(&world, token, "").await;
        assert_eq!(complete.ids(), expected);
        // The last page shows the total.
        assert_eq!(complete.count("x-total-count"), Some(expected.len() as u64));
        let page = list(&world, token, "count=2&startIndex=1").await;
        assert_eq!(page.ids(), expected[1..3]);
        assert_eq!(page.header("x-next-index"), "3");
    }
    // Contact 5 is shared, and its stored list names Mike.
    assert_eq!(list(&world, SAM_TOKEN, &format!("responsibleid={MIKE}")).await.ids(), [0; 0]);
    assert_eq!(list(&world, SAM_TOKEN, "isShared=false").await.ids(), Vec::<i64>::new());
    assert_eq!(list(&world, MIKE_TOKEN, "isShared=false").await.ids(), [4, 2]);
    let shown = list(&world, SAM_TOKEN, "").await.response();
    let may_edit: Vec<&Value> = shown.as_array().unwrap().iter().map(|contact| &contact["canEdit"]).collect();
    assert_eq!(may_edit, [&json!(true), &json!(true), &json!(true), &json!(true)]);
}

#[tokio::test]
async fn administrator_gets_the_total_unless_declined() {
    let world = world().await;
    for (query, total) in [
        ("count=1", Some(6)),
        ("count=1&tags=even", Some(3)),
        ("count=1&tags=even&contactListView=company", Some(2)),
        ("count=1&isShared=false", Some(2)),
        (&format!("count=1&responsibleid={MIKE}"), Some(3)),
        ("count=1&sortBy=displayName", Some(6)),
        ("count=1&total=false", None),
        ("total=false", None),
    ] {
        let reply = list(&world, ADA_TOKEN, query).await;
        assert_eq!(reply.count("x-total-count"), total, "{query}");
    }
}

#[tokio::test]
async fn list_page_takes_three_rounds() {
    for (token, query) in [
        (ADA_TOKEN, "count=2&total=false&tags=even".to_owned()),
        (ADA_TOKEN, "count=2&total=false".to_owned()),
        (ADA_TOKEN, format!("count=2&total=false&isShared=true&responsibleid={MIKE}")),
        (SAM_TOKEN, "count=2&total=false".to_owned()),
    ] {
        // A call puts the token into the cache. Users' names are not cached.
        let world = world().await;
        world.get("jobs?count=0", token).await.unwrap();
        let before = world.trips.so_far();
        let reply = list(&world, token, &query).await;
        let rounds = world.trips.so_far().1 - before.1;
        assert!(rounds <= 3 + u64::from(query.contains("responsibleid")), "{query}: {rounds} rounds {}", reply.text);
    }
}

#[tokio::test]
async fn list_names_the_wrong_query_parameter() {
    let world = world().await;
    for (query, field) in [
        ("tag=even", "tag"),
        ("sortBy=name", "sortBy"),
        ("sortOrder=up", "sortOrder"),
        ("count=-1", "count"),
        ("count=1&Count=2", "count"),
        ("startIndex=x", "startIndex"),
        ("isShared=maybe", "isShared"),
        ("responsibleid=mike", "responsibleid"),
        ("fromDate=yesterday", "fromDate"),
        ("contactListView=7", "contactListView"),
        ("total=2", "total"),
        ("tags=", ""),
    ] {
        let reply = world.contact(&format!("filter?{query}"), ADA_TOKEN).await.unwrap();
        if field.is_empty() {
            assert_eq!(reply.status, 200, "{query}: {}", reply.text);
            continue;
        }
        assert_eq!(reply.status, 400, "{query}: {}", reply.text);
        assert_eq!(reply.json()["error"]["details"][0]["field"], field, "{query}: {}", reply.text);
    }
}
