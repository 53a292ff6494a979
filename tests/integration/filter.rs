//! `PUT …/contact/filter/access`: which contacts a filter selects.
//!
//! Every case is a dry run, so all cases share the same contacts. The tests in `runs` check that a run does what its
//! dry run says.

use serde_json::{Value, json};
use tests::World;

use crate::portal::{ADA_TOKEN, acme_with, contact};

/// The contacts of all cases, on four shards, in Riga: UTC+2, in summer UTC+3.
fn contacts() -> Vec<Value> {
    let stage = |id: i32| json!({"id": id});
    vec![
        contact(
            1,
            json!({"Created": "2020-01-01T00:00:00Z", "Tags": ["VIP"], "ContactStatus": stage(1),
            "ContactType": stage(1), "IsCompany": true, "DisplayName": "Alfreds Futterkiste"}),
        ),
        contact(
            2,
            json!({"Created": "2020-02-01T00:00:00Z", "Tags": ["vip", "North"], "ContactStatus": stage(1),
            "ContactType": stage(2), "DisplayName": "Maria Anders"}),
        ),
        contact(
            3,
            json!({"Created": "2020-03-01T00:00:00Z", "Tags": ["North", "Straße"], "ContactStatus": stage(2),
            "HasOpportunity": true, "DisplayName": "Ana Trujillo"}),
        ),
        contact(
            4,
            json!({"Created": "2020-04-01T00:00:00Z", "Tags": ["VIP", "north", "South"],
            "ContactType": stage(1), "IsCompany": true, "HasOpportunity": true,
            "DisplayName": "Ana Trujillo Emparedados y helados"}),
        ),
        contact(5, json!({"Created": "2020-05-01T00:00:00Z", "DisplayName": "ÅSA Öberg"})),
        contact(6, json!({"Created": "2020-05-01T00:00:00Z", "DisplayName": "Mariana   Andersson"})),
        // The clock goes forward on 2020-03-29 and back on 2020-10-25, days of 23 and 25 hours.
        contact(11, json!({"Created": "2020-03-28T21:59:59.9999999Z", "ContactStatus": stage(3)})),
        contact(12, json!({"Created": "2020-03-28T22:00:00Z", "ContactStatus": stage(3)})),
        contact(13, json!({"Created": "2020-03-29T20:59:59.9999999Z", "ContactStatus": stage(3)})),
        contact(14, json!({"Created": "2020-03-29T21:00:00Z", "ContactStatus": stage(3)})),
        contact(15, json!({"Created": "2020-10-24T20:59:59.9999999Z", "ContactStatus": stage(3)})),
        contact(16, json!({"Created": "2020-10-24T21:00:00Z", "ContactStatus": stage(3)})),
        contact(17, json!({"Created": "2020-10-25T21:59:59.9999999Z", "ContactStatus": stage(3)})),
        contact(18, json!({"Created": "2020-10-25T22:00:00Z", "ContactStatus": stage(3)})),
    ]
}

/// Every contact above, by creation date, then identifier, descending.
const ALL: [i64; 14] = [18, 17, 16, 15, 6, 5, 4, 14, 13, 12, 11, 3, 2, 1];

async fn check(world: &World, filter: Value, query: &str, expected: &[i64]) {
    let mut body = filter.clone();
    body["isPrivate"] = json!(true);
    let path = format!("filter/access?dryRun=true&{query}");
    let reply = world.put(&path, ADA_TOKEN, &body).await.unwrap();
    assert_eq!(reply.status, 200, "{filter} {query}: {}", reply.text);
    assert_eq!(reply.ids(), expected, "{filter} {query}");
    assert_eq!(reply.count("x-matched-count"), Some(expected.len() as u64), "{filter} {query}");
}

async fn check_all(cases: impl IntoIterator<Item = (Value, &[i64])>) {
    let world = acme_with(contacts()).await;
    for (filter, expected) in cases {
        check(&world, filter, "", expected).await;
    }
}

#[tokio::test]
async fn no_filter_field_selects_every_contact_latest_first() {
    let world = acme_with(contacts()).await;
    check(&world, json!({}), "", &ALL).await;
    check(&world, json!({"tags": [], "contactStage": [], "contactType": []}), "", &ALL).await;
}

#[tokio::test]
async fn tags_must_all_match_and_ignore_case() {
    check_all([
        (json!({"tags": ["VIP"]}), &[4, 2, 1][..]),
        (json!({"tags": ["  vip "]}), &[4, 2, 1]),
        (json!({"tags": ["vip", "VIP", " Vip"]}), &[4, 2, 1]),
        (json!({"tags": ["north"]}), &[4, 3, 2]),
        (json!({"tags": ["VIP", "North"]}), &[4, 2]),
        (json!({"tags": ["north", "vip"]}), &[4, 2]),
        (json!({"tags": ["VIP", "North", "South"]}), &[4]),
        (json!({"tags": ["STRASSE"]}), &[3]),
        (json!({"tags": ["East"]}), &[]),
        (json!({"tags": ["VIP", "East"]}), &[]),
        (json!({"tags": ["VI"]}), &[]),
        (json!({"tags": ["vip#north"]}), &[]),
    ])
    .await;
}

#[tokio::test]
async fn any_given_stage_matches_and_zero_means_no_stage() {
    check_all([
        (json!({"contactStage": 1}), &[2, 1][..]),
        (json!({"contactStage": [1]}), &[2, 1]),
        (json!({"contactStage": [2, 1, 2]}), &[3, 2, 1]),
        (json!({"contactStage": 0}), &[6, 5, 4]),
        (json!({"contactStage": [0, 2]}), &[6, 5, 4, 3]),
        (json!({"contactStage": -1}), &ALL),
        (json!({"contactStage": [1, -1]}), &ALL),
        (json!({"contactStage": []}), &ALL),
        (json!({"contactStage": 77}), &[]),
        (json!({"contactStage": [77, 1]}), &[2, 1]),
    ])
    .await;
}

#[tokio::test]
async fn any_given_type_matches_and_zero_means_no_type() {
    check_all([
        (json!({"contactType": 1}), &[4, 1][..]),
        (json!({"contactType": [2, 1]}), &[4, 2, 1]),
        (json!({"contactType": 0, "contactStage": [0, 1, 2]}), &[6, 5, 3]),
        (json!({"contactType": [0, 2], "tags": ["north"]}), &[3, 2]),
        (json!({"contactType": -5}), &ALL),
        (json!({"contactType": 77}), &[]),
    ])
    .await;
}

#[tokio::test]
async fn list_view_is_a_number_or_a_name() {
    let persons = [18, 17, 16, 15, 6, 5, 14, 13, 12, 11, 3, 2];
    check_all([
        (json!({"contactListView": 0}), &ALL[..]),
        (json!({"contactListView": "All"}), &ALL),
        (json!({"contactListView": 1}), &[4, 1]),
        (json!({"contactListView": "Company"}), &[4, 1]),
        (json!({"contactListView": "company"}), &[4, 1]),
        (json!({"contactListView": 2}), &persons),
        (json!({"contactListView": "Person"}), &persons),
        (json!({"contactListView": 3}), &[4, 3]),
        (json!({"contactListView": "WithOpportunity"}), &[4, 3]),
    ])
    .await;
}

#[tokio::test]
async fn dates_are_whole_days_of_the_portal_including_both_ends() {
    let of = |from: &str, to: &str| {
        let mut filter = json!({"contactStage": 3});
        for (name, date) in [("fromDate", from), ("toDate", to)] {
            if !date.is_empty() {
                filter[name] = json!(date);
            }
        }
        filter
    };
    check_all([
        (of("2020-03-29", "2020-03-29"), &[13, 12][..]),
        (of("2020-03-28", "2020-03-29"), &[13, 12, 11]),
        (of("2020-03-30", "2020-03-30"), &[14]),
        (of("2020-10-25", "2020-10-25"), &[17, 16]),
        (of("2020-10-24", "2020-10-24"), &[15]),
        (of("2020-10-26", ""), &[18]),
        (of("", "2020-03-28"), &[11]),
        // A date with a time is that instant, at both ends.
        (of("2020-03-28T22:00:00Z", "2020-03-29T21:00:00Z"), &[14, 13, 12]),
        (of("2020-03-28T22:00:00.0000001Z", "2020-03-29T20:59:59.9999999Z"), &[13]),
        (of("2020-03-29T00:00:00+02:00", "2020-03-29T00:00:00+02:00"), &[12]),
        // A time without an offset is on the portal's wall clock, which jumps from 02:59:59 to 04:00:00 on that day.
        (of("2020-03-29T00:00:00", "2020-03-29T23:59:59.9999999"), &[13, 12]),
        (of("2020-03-30T00:00:00", "2020-03-30T00:00:00"), &[14]),
        (of("2020-10-25T00:00:00", "2020-10-25T23:59:59.9999999"), &[17, 16]),
        (of("0001-01-01", "9999-12-31"), &[18, 17, 16, 15, 14, 13, 12, 11]),
    ])
    .await;
}

#[tokio::test]
async fn filter_value_matches_every_word_in_the_name() {
    let world = acme_with(contacts()).await;
    for (query, expected) in [
        ("filterValue=maria", &[6, 2][..]),
        ("filterValue=Maria%20ANDERS", &[6, 2]),
        ("filterValue=anders+maria", &[6, 2]),
        ("filterValue=%20%20Anders%20%20", &[6, 2]),
        ("filterValue=maria%20maria%20anderss", &[6]),
        ("filterValue=ana", &[6, 4, 3]),
        ("filterValue=trujillo%20helados", &[4]),
        ("filterValue=%C3%A5sa%20%C3%B6BERG", &[5]),
        ("filterValue=A%CC%8Asa", &[5]),
        ("filterValue=nobody", &[]),
        ("filterValue=%25", &[]),
        ("filtervalue=helados", &[4]),
    ] {
        check(&world, json!({}), query, expected).await;
    }
    check(&world, json!({"tags": ["vip"]}), "filterValue=ana", &[4]).await;
}

#[tokio::test]
async fn filter_fields_must_all_match() {
    check_all([
        (json!({"tags": ["north"], "contactStage": [1, 2]}), &[3, 2][..]),
        (json!({"tags": ["vip"], "contactStage": 0}), &[4]),
        (json!({"tags": ["vip"], "contactType": 1, "contactListView": 1, "contactStage": 1}), &[1]),
        (json!({"tags": ["north"], "contactListView": 3, "fromDate": "2020-03-15"}), &[4]),
        (json!({"tags": ["north"], "toDate": "2020-03-01T00:00:00Z"}), &[3, 2]),
        (json!({"contactStage": [1, 3], "contactListView": 1}), &[1]),
        (json!({"tags": ["vip"], "contactStage": 2}), &[]),
    ])
    .await;
}

#[tokio::test]
async fn contacts_created_together_are_ordered_by_identifier() {
    let contacts = (1..=40).map(|id| contact(id, json!({"Tags": ["same"]})));
    let world = acme_with(contacts).await;
    let expected: Vec<i64> = (1..=40).rev().collect();
    check(&world, json!({"tags": ["same"]}), "", &expected).await;
    check(&world, json!({}), "", &expected).await;
}
