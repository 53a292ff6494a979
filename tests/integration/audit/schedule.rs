//! The next runs of a cron expression that no rule has.

use serde_json::{Value, json};

use super::{outcome, shown};
use crate::portal::{ADA_TOKEN, READER_TOKEN, SAM_TOKEN, acme_with};

#[tokio::test]
async fn schedule_lists_its_next_runs_in_the_time_of_the_portal() {
    let world = acme_with([]).await;
    world.set_clock("2026-03-28T12:00:00Z".parse().unwrap());
    let path = "schedule?cron=%200%20%202%20*%20*%20*&count=3";
    for token in [SAM_TOKEN, READER_TOKEN] {
        // On 2026-03-29, the clock of Riga skips from 03:00 to 04:00.
        let expected = json!({
            "cron": "0 2 * * *", "timeZone": "Europe/Riga",
            "runs": [
                "2026-03-29T02:00:00.0000000+02:00", "2026-03-30T02:00:00.0000000+03:00",
                "2026-03-31T02:00:00.0000000+03:00",
            ],
        });
        assert_eq!(shown(&world, path, token).await, expected);
    }
    let other = shown(&world, "schedule?cron=30+9+*+*+MON&timeZone=America/New_York&count=1", SAM_TOKEN).await;
    assert_eq!(
        (&other["timeZone"], &other["runs"]),
        (&json!("America/New_York"), &json!(["2026-03-30T16:30:00.0000000+03:00"]))
    );
    assert_eq!(shown(&world, "schedule?cron=0+2+*+*+*", SAM_TOKEN).await["runs"].as_array().unwrap().len(), 5);
    let many = shown(&world, "schedule?cron=0+2+*+*+*&count=5000", SAM_TOKEN).await;
    assert_eq!(many["runs"].as_array().unwrap().len(), 100);
    assert_eq!(shown(&world, "schedule?cron=0+2+*+*+*&count=0", SAM_TOKEN).await["runs"], json!([]));
}

#[tokio::test]
async fn schedule_keeps_five_minutes_between_runs_as_rules_do() {
    let world = acme_with([]).await;
    let runs = shown(&world, "schedule?cron=*+*+*+*+*&timeZone=UTC&count=3", ADA_TOKEN).await["runs"].clone();
    let minutes: Vec<&str> =
        runs.as_array().unwrap().iter().map(|run: &Value| &run.as_str().unwrap()[11..16]).collect();
    assert_eq!(minutes, ["02:01", "02:06", "02:11"]);
}

#[tokio::test]
async fn wrong_schedule_names_the_fault() {
    let world = acme_with([]).await;
    for (query, field) in [
        ("", "cron"),
        ("cron=", "cron"),
        ("cron=0+25+*+*+*", "cron"),
        ("cron=0+2+31+2+*", "cron"),
        ("cron=0+2+*+*+*&timeZone=Mars", "timeZone"),
        ("cron=0+2+*+*+*&count=x", "count"),
        ("cron=0+2+*+*+*&zone=UTC", "zone"),
    ] {
        let reply = world.get(&format!("schedule?{query}"), ADA_TOKEN).await.unwrap();
        assert_eq!(outcome(&reply), "400 invalid-request", "{query}");
        assert_eq!(reply.json()["error"]["details"][0]["field"], field, "{query}: {}", reply.text);
    }
}
