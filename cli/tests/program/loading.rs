//! Serving a data folder, and loading files into a data folder.

use std::fs;
use std::net::TcpStream;
use std::sync::mpsc::channel;

use serde_json::json;

use super::{
    ADMIN, DOCUMENTS, Server, TestResult, check_failure, folder, make_private, nowhere, request, run, run_with, stderr,
    stdout, strs, succeed, text,
};

#[test]
fn a_server_answers_and_ends_on_a_signal() -> TestResult {
    for signal in ["TERM", "INT"] {
        let engine = nowhere();
        let server = Server::start(&[&strs(&engine)[..], &["--import", DOCUMENTS]].concat())?;
        let [loaded, ..] = &server.printed[..] else { return Err(format!("{:?}", server.printed).into()) };
        assert!(loaded.ends_with("6 lines loaded; contacts: 1 added, 0 replaced, 0 unchanged, 0 deleted"), "{loaded}");

        let reply = server.put("1234/access", ADMIN, &make_private())?;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.json()?["response"]["IsPrivate"], true);
        assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"));

        // An idle connection does not delay the server's exit.
        let idle = TcpStream::connect(("127.0.0.1", server.port))?;
        assert_eq!(server.end(signal)?, Some(0), "after SIG{signal}");
        drop(idle);
    }
    Ok(())
}

#[test]
fn server_prints_its_addresses_before_the_line_that_says_that_it_listens() -> TestResult {
    let (_folder, data) = folder()?;
    for (args, place) in [(vec!["--data-dir", text(&data)?], text(&data)?), (vec!["--in-memory"], "memory")] {
        let mut server = Server::start(&args)?;
        let api = format!("http://127.0.0.1:{}/api/2.0", server.port);
        let expected = [
            format!("API:          {api}"),
            format!("description:  {api}/openapi.json"),
            format!("data:         {place}"),
        ];
        assert_eq!(server.printed, expected);
        let description = request(server.port, "GET", "/api/2.0/openapi.json", &[], "")?;
        assert_eq!(description.status, 200);
        let (_, nothing) = channel();
        let later = std::mem::replace(&mut server.lines, nothing);
        assert_eq!(server.end("TERM")?, Some(0));
        assert_eq!(later.iter().collect::<Vec<_>>(), [""; 0]);
    }
    Ok(())
}

#[test]
fn demo_prints_its_users_and_the_link_but_no_calls() -> TestResult {
    let server = Server::start(&["--in-memory", "--demo"])?;
    let titles: Vec<&str> = server.printed.iter().filter_map(|line| Some(line.split_once(": ")?.0)).collect();
    let expected = [
        "The Northwind demo portal",
        "Administrator's password (andrew.fuller@northwind.example)",
        "Administrator's token (30 days)",
        "Ordinary user's password (nancy.davolio@northwind.example)",
        "Ordinary token (30 days)",
        "console",
        "API",
        "description",
        "data",
    ];
    assert_eq!((titles, server.printed.len()), (expected.to_vec(), expected.len()), "{:?}", server.printed);
    assert_eq!(server.end("TERM")?, Some(0));

    let output = run(&["serve", "--port", "0", "--in-memory", "--curl"])?;
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(2), true), "{}", stderr(&output));
    Ok(())
}

#[test]
fn data_folder_keeps_its_portals_between_runs() -> TestResult {
    let (_folder, data) = folder()?;
    let server = Server::start(&["--data-dir", text(&data)?, "--import", DOCUMENTS])?;
    let reply = server.put("1234/access", ADMIN, &make_private())?;
    let revision = reply.header("etag").ok_or("no ETag")?.to_owned();
    assert_eq!(server.end("TERM")?, Some(0));

    // Loading the file again does not change the access.
    let server = Server::start(&["--data-dir", text(&data)?, "--import", DOCUMENTS])?;
    assert!(server.printed[0].contains("0 added, 0 replaced, 1 unchanged"), "{:?}", server.printed);
    let reply = server.put("1234/access", ADMIN, &make_private())?;
    assert_eq!((reply.status, reply.header("etag"), reply.header("x-job-id")), (200, Some(&*revision), None));
    assert_eq!(server.end("TERM")?, Some(0));
    Ok(())
}

#[test]
fn loading_a_file_twice_changes_nothing() -> TestResult {
    let (_folder, data) = folder()?;
    let import = ["import", "--data-dir", text(&data)?, DOCUMENTS];
    let first = succeed(&import)?;
    assert!(first.ends_with("6 lines loaded; contacts: 1 added, 0 replaced, 0 unchanged, 0 deleted\n"), "{first}");
    let second = succeed(&import)?;
    assert!(second.ends_with("6 lines loaded; contacts: 0 added, 0 replaced, 1 unchanged, 0 deleted\n"), "{second}");

    let output = run_with(&["import", "--data-dir", text(&data)?, "-"], &fs::read(DOCUMENTS)?)?;
    assert!(output.status.success());
    assert_eq!(stdout(&output), "-: 6 lines loaded; contacts: 0 added, 0 replaced, 1 unchanged, 0 deleted\n");
    Ok(())
}

#[test]
fn import_stops_at_an_invalid_line_and_names_the_line() -> TestResult {
    let (folder, data) = folder()?;
    let file = folder.path().join("contacts.ndjson");
    let contact = |id: i32| json!({"contact": {"id": id, "Created": "2020-12-08"}}).to_string();
    let portal = json!({"portal": {"Id": "acme"}}).to_string();
    for (bad, reason) in [
        ("{\"contact\":{\"id\":3}}".to_owned(), "Created is required"),
        (contact(0), "whole number from 1 to 2147483647"),
        (json!({"contact": {"id": 3, "Created": "2020-12-08", "Tag": []}}).to_string(), "Tag: unknown member"),
        (
            json!({"contact": {"id": 3, "Created": "2020-12-08", "ContactStatus": {"id": 9}}}).to_string(),
            "ContactStatus 9",
        ),
        ("{\"contact\":".to_owned(), "EOF"),
        ("contact".to_owned(), "expected value"),
        (format!("[{}]", contact(3)), "write each of its values on a separate line"),
        (json!({"portal": {"Id": "acme", "TimeZone": "Etc/Unknown"}}).to_string(), "is not a time zone; use a zone"),
        (json!({"portal": {"Id": "acme", "TimeZone": "Factory"}}).to_string(), "is not a time zone; use a zone"),
        (
            json!({"contact": {"id": 3, "Created": "2020-12-08", "Tags": ["a\0"]}}).to_string(),
            "control character U+0000",
        ),
        (format!("{{\"contact\":\"{}\"}}", "a".repeat(1 << 20)), "the line is too long"),
    ] {
        // The empty line is not loaded, but counts in line numbers.
        let lines = [&portal, &contact(1), "", &contact(2), &bad, &contact(4)].join("\n");
        fs::write(&file, lines)?;
        let words = [text(&file)?, "line 5:", reason, "Lines loaded before it: 3"];
        check_failure(&["import", "--data-dir", text(&data)?, text(&file)?], &words)?;
    }
    fs::write(&file, [portal, contact(1), contact(2), contact(4)].join("\n"))?;
    let loaded = succeed(&["import", "--data-dir", text(&data)?, text(&file)?])?;
    assert!(loaded.contains("contacts: 1 added, 0 replaced, 2 unchanged"), "{loaded}");
    Ok(())
}

#[test]
fn error_names_an_unreadable_file() -> TestResult {
    let (folder, data) = folder()?;
    let missing = folder.path().join("missing.ndjson");
    let words = [text(&missing)?, "cannot be read"];
    for args in [&["import", DOCUMENTS, text(&missing)?][..], &["serve", "--port", "0", "--import", text(&missing)?]] {
        check_failure(&[args, &["--data-dir", text(&data)?]].concat(), &words)?;
        assert!(!data.exists(), "{args:?} creates the folder");
    }
    Ok(())
}

#[test]
fn error_about_unusable_data_says_what_to_do() -> TestResult {
    let (folder, data) = folder()?;
    let file = folder.path().join("crm-access.db");
    fs::write(&file, "garbage\n")?;
    let (file, parent) = (text(&file)?, text(folder.path())?);
    succeed(&["import", "--data-dir", text(&data)?, DOCUMENTS])?;
    // The tables that the first page describes are missing.
    let database = data.join("crm-access.db");
    fs::OpenOptions::new().write(true).open(&database)?.set_len(20_000)?;
    for (given, words) in [
        (parent, [file, "is damaged, or is no database of crm-access", "restore a backup"]),
        (text(&data)?, [text(&database)?, "is damaged", "restore a backup"]),
        (file, [file, "is a file", "name a folder"]),
    ] {
        for args in [
            &["serve", "--port", "0"][..],
            &["import", DOCUMENTS],
            &["token", "list", "--portal", "acme"],
            &["migrate"],
        ] {
            check_failure(&[args, &["--data-dir", given]].concat(), &words)?;
        }
    }
    Ok(())
}

#[test]
fn reshard_moves_the_contacts_of_a_folder_that_no_server_uses() -> TestResult {
    let (folder, data) = folder()?;
    let data = text(&data)?;
    let file = folder.path().join("contacts.ndjson");
    fs::write(&file, succeed(&["sample", "--contacts", "200", "--users", "3", "--portal", "acme"])?)?;
    succeed(&["import", "--data-dir", data, text(&file)?])?;
    let reshard = |portal: &'static str, shards: &'static str| {
        ["reshard", "--data-dir", data, "--portal", portal, "--shards", shards]
    };
    let server = Server::start(&["--data-dir", data])?;
    check_failure(&reshard("acme", "16"), &["another crm-access uses the folder", "stop that program first"])?;
    assert_eq!(server.end("TERM")?, Some(0));

    let moved = succeed(&reshard("acme", "16"))?;
    assert!(moved.contains("portal acme has 16 shards; moved "), "{moved}");
    assert_eq!(succeed(&reshard("acme", "16"))?, "portal acme has 16 shards already\n");
    check_failure(&reshard("none", "16"), &["there is no portal none"])?;
    let output = run(&reshard("acme", "65"))?;
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    // The file names four shards.
    check_failure(
        &["import", "--data-dir", data, text(&file)?],
        &["portal acme has 16 shards", "crm-access reshard --portal acme --shards 4"],
    )
}
