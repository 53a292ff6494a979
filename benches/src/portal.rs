//! The measured portal: half of its contacts have one tag, and every manager list has forty users.

use std::fmt::Write as _;

use models::import::parse_line;
use models::values::id::UserId;
use serde_json::json;
use store::Store;
use store::import::{Importer, Options};
use tests::WorldError;

/// The portal's identifier.
pub const PORTAL: &str = "bench";
/// The administrator's token.
pub const TOKEN: &str = "bench-administrator-token-000000000000000";
/// The tag of every second contact.
pub const TAG: &str = "half";
/// The managers in an access list.
pub const MANAGERS: usize = 40;
/// The users of the portal.
const USERS: u128 = 200;

/// Returns a user by number.
pub fn user(number: usize) -> UserId {
    UserId::from_u128(0xbe4c_0000_0000_4000_8000_0000_0000_0000 + number as u128 % USERS)
}

/// Returns forty managers, different for each `turn`.
pub fn managers(turn: usize) -> Vec<UserId> {
    (0..MANAGERS).map(|number| user(turn * 7 + number * 3)).collect()
}

/// Returns the portal's import lines. Each contact is private to forty managers.
pub fn lines(contacts: usize, shards: u16) -> String {
    let mut text = format!("{}\n", json!({"portal": {"Id": PORTAL, "Shards": shards}}));
    let mut line = |value: serde_json::Value| writeln!(text, "{value}").unwrap_or(());
    for number in 0..USERS as usize {
        line(json!({"user": {"Id": user(number), "DisplayName": format!("User {number}"), "IsAdmin": number == 0}}));
    }
    line(json!({"stage": {"id": 1, "Title": "Warm"}}));
    line(json!({"token": {"Token": TOKEN, "UserId": user(0), "Scopes": ["read", "write"]}}));
    for id in 1..=contacts {
        let tags = if id % 2 == 0 { vec![TAG, "all"] } else { vec!["all"] };
        let access: Vec<_> = managers(id).into_iter().map(|id| json!({"Id": id})).collect();
        line(json!({"contact": {
            "id": id,
            "DisplayName": format!("Contact {id} of the measured portal"),
            "Created": format!("2020-{:02}-{:02}T12:{:02}:{:02}Z", id % 12 + 1, id % 28 + 1, id % 60, id / 60 % 60),
            "CreateBy": {"Id": user(id)},
            "ContactStatus": {"id": 1},
            "Tags": tags,
            "ShareType": 0,
            "AccessList": access,
        }}));
    }
    text
}

/// Loads import lines into a table.
///
/// # Errors
///
/// When a line is wrong or the table fails.
pub async fn import(store: &Store, lines: &str) -> Result<(), WorldError> {
    let options = Options { overwrite_access: false, clock: api::app::clock() };
    let mut importer = Importer::new(store, options);
    for (number, line) in (1..).zip(lines.lines()) {
        let line = parse_line(line, &importer.time_zone())?;
        importer.at_line(number);
        importer.push(line).await.map_err(|error| error.to_string())?;
    }
    importer.finish().await.map_err(|error| error.to_string())?;
    Ok(())
}
