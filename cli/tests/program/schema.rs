//! The schema of a table: an older schema is migrated, or refused with the command to run; a newer schema is refused.

use std::path::Path;

use engine::{Engine, Storage};
use serde_json::{Value, json};
use store::keys::{Key, PK, SK};

use super::{DOCUMENTS, Server, TestResult, check_failure, folder, succeed, text};

/// Sends a request to the engine of a data folder.
fn send(data: &Path, operation: &str, request: &Value) -> TestResult {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let engine = Engine::open(&Storage::Folder(data.to_owned()))?;
    let answer = runtime.block_on(engine.in_process().call(operation.to_owned(), serde_json::to_vec(request)?))?;
    if answer.status == 200 { Ok(()) } else { Err(answer.body.into()) }
}

fn schema_key() -> Value {
    let (partition, sort) = Key::Schema.encode();
    json!({PK: {"S": partition}, SK: {"S": sort}})
}

/// Turns the table of a data folder into a table of version 1, which stores no schema version.
fn remove_version(data: &Path) -> TestResult {
    send(data, "DeleteItem", &json!({"TableName": "crm-access", "Key": schema_key()}))
}

#[test]
fn import_and_serve_migrate_an_older_folder_and_other_commands_name_the_command() -> TestResult {
    let (_folder, data) = folder()?;
    let of = ["--data-dir", text(&data)?];
    let import = [&["import", DOCUMENTS][..], &of].concat();
    let migrated = format!("migrated {} from schema 1 to 2: ", data.display());
    assert!(!succeed(&import)?.contains("migrated"));
    assert!(succeed(&[&["migrate"][..], &of].concat())?.contains("already has schema 2; no item needed a change"));

    remove_version(&data)?;
    let list = [&["token", "list", "--portal", "acme"][..], &of].concat();
    let command = format!("run `crm-access migrate --data-dir {}` first", data.display());
    check_failure(&list, &["has schema 1", &command])?;
    assert!(succeed(&[&["migrate"][..], &of].concat())?.contains(&migrated));
    succeed(&list)?;

    remove_version(&data)?;
    assert!(succeed(&import)?.contains(&migrated));

    remove_version(&data)?;
    let server = Server::start(&of)?;
    assert!(server.printed.iter().any(|line| line.starts_with(&migrated)), "{:?}", server.printed);
    assert_eq!(server.end("TERM")?, Some(0));
    succeed(&list)?;
    Ok(())
}

#[test]
fn suggested_command_quotes_a_folder_with_spaces() -> TestResult {
    let (folder, _) = folder()?;
    let data = folder.path().join("my data");
    let of = ["--data-dir", text(&data)?];
    assert!(succeed(&[&["migrate"][..], &of].concat())?.contains("holds no items; its schema is 2 now"));
    succeed(&[&["import", DOCUMENTS][..], &of].concat())?;
    remove_version(&data)?;
    let list = [&["token", "list", "--portal", "acme"][..], &of].concat();
    check_failure(&list, &[&format!("run `crm-access migrate --data-dir '{}'` first", data.display())])
}

#[test]
fn item_that_cannot_be_migrated_fails_every_migration_until_it_is_removed() -> TestResult {
    let (_folder, data) = folder()?;
    let of = ["--data-dir", text(&data)?];
    let import = [&["import", DOCUMENTS][..], &of].concat();
    let migrate = [&["migrate"][..], &of].concat();
    succeed(&import)?;
    remove_version(&data)?;
    let (_, sort) = Key::Contact("acme".parse()?, 1.try_into()?).encode();
    let key = json!({PK: {"S": "acme#C#secret"}, SK: {"S": sort}});
    send(&data, "PutItem", &json!({"TableName": "crm-access", "Item": key}))?;
    let holds = format!("holds 1 items that cannot be migrated: 1 of unknown (pk *#C#*, sk {sort})");
    let message = [&*holds, "remove or mend"];
    for command in [&migrate, &import, &[&["serve", "--port", "0"][..], &of].concat()] {
        check_failure(command, &message)?;
    }
    send(&data, "DeleteItem", &json!({"TableName": "crm-access", "Key": key}))?;
    assert!(succeed(&migrate)?.contains("from schema 1 to 2: 0 items"));
    Ok(())
}

#[test]
fn every_command_refuses_a_newer_folder() -> TestResult {
    let (_folder, data) = folder()?;
    let of = ["--data-dir", text(&data)?];
    let import = [&["import", DOCUMENTS][..], &of].concat();
    succeed(&import)?;
    let mut item = schema_key();
    item["version"] = json!({"N": "3"});
    send(&data, "PutItem", &json!({"TableName": "crm-access", "Item": item}))?;
    for command in [
        import,
        [&["migrate"][..], &of].concat(),
        [&["serve", "--port", "0"][..], &of].concat(),
        [&["token", "list", "--portal", "acme"][..], &of].concat(),
    ] {
        check_failure(&command, &["has schema 3", "use a newer crm-access"])?;
    }
    Ok(())
}
