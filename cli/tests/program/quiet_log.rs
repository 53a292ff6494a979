//! The log holds no confidential data, and the terminal gets no control characters.

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Value, json};

use super::{ADMIN, PROGRAM, Server, TestResult, folder, request, run, stderr, stdout, text};

/// The maximum bytes of a log line, including its line feed.
const MAX_LINE_BYTES: usize = 8 * 1024;
const TAG: &str = "markedtag";
const WORD: &str = "markedword";
const NAME: &str = "Markedname";
const PASSWORD: &str = "markedpassword";
const EMAIL: &str = "markedaddress@example.com";

/// Returns a portal in which all data that must not be logged carries a mark.
fn lines() -> String {
    let user = |id: u8, members: Value| {
        let mut user = json!({"Id": format!("00000000-0000-4000-8000-{id:012}"), "IsAdmin": true});
        user.as_object_mut().into_iter().for_each(|user| user.extend(members.as_object().cloned().unwrap_or_default()));
        json!({"user": user})
    };
    [
        json!({"portal": {"Id": "acme", "TimeZone": "Europe/Riga", "Shards": 2}}),
        user(1, json!({"DisplayName": NAME, "Email": EMAIL})),
        json!({"token": {"Token": ADMIN, "UserId": "00000000-0000-4000-8000-000000000001", "Scopes": ["read", "write"]}}),
        json!({"contact": {"id": 1, "Created": "2020-12-08", "DisplayName": format!("{NAME} {WORD}"), "Tags": [TAG]}}),
    ]
    .map(|line| line.to_string() + "\n")
    .concat()
}

/// Returns the log of a server that gets calls to many endpoints, at a log level.
fn log_at(level: &str) -> TestResult<String> {
    let (folder, _) = folder()?;
    let file = folder.path().join("portal.ndjson");
    fs::write(&file, lines())?;
    let mut command = Command::new(PROGRAM);
    command.args([
        "serve",
        "--port",
        "0",
        "--in-memory",
        "--dynamodb-port",
        "0",
        "--log",
        level,
        "--import",
        text(&file)?,
    ]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut errors = child.stderr.take().ok_or("no standard error")?;
    let reader = thread::spawn(move || {
        let mut log = Vec::new();
        errors.read_to_end(&mut log).map(|_| log)
    });
    let server = Server::of(child)?;
    let headers = [("Authorization", ADMIN), ("Content-Type", "application/json")];
    let contact = "/api/2.0/crm/contact";
    let many: Vec<String> = (0..1000).map(|number| format!("{TAG}{number:0>240}")).collect();
    let filter = |tags: Value| json!({"tags": tags, "isPrivate": true}).to_string();
    let rule = json!({
        "filter": {"tags": [TAG], "filterValue": WORD}, "access": {"isPrivate": true}, "cron": "0 3 * * *", "timeZone": "UTC",
    });
    for (method, path, body) in [
        ("PUT", format!("{contact}/filter/access"), filter(json!(many))),
        ("PUT", format!("{contact}/filter/access"), filter(json!([TAG]))),
        ("PUT", format!("{contact}/filter/access?filterValue={WORD}"), filter(json!([TAG]))),
        ("PUT", format!("{contact}/filter/access?maxAffected=1&filterValue={WORD}"), filter(json!([TAG, "other"]))),
        ("GET", format!("{contact}/filter?tags={TAG}&filterValue={WORD}&sortBy=displayName"), String::new()),
        ("GET", format!("{contact}/1"), String::new()),
        ("PUT", format!("{contact}/1/access?{WORD}={TAG}"), json!({"isShared": false, TAG: WORD}).to_string()),
        ("PUT", "/api/2.0/crm/access/rules/nightly".into(), rule.to_string()),
        ("POST", "/api/2.0/authentication".into(), json!({"userName": EMAIL, "password": PASSWORD}).to_string()),
        ("GET", format!("/{WORD}/{TAG}"), String::new()),
    ] {
        let reply = request(server.port, method, &path, &headers, &body)?;
        assert!(reply.status < 500, "{method} {path}: {reply:?}");
        // Repeat the call with an unknown token.
        request(server.port, method, &path, &[("Authorization", "markedtoken"), headers[1]], &body)?;
    }
    assert_eq!(server.end("TERM")?, Some(0));
    let log = reader.join().map_err(|_| "the thread that reads panicked")??;
    Ok(String::from_utf8(log)?)
}

#[test]
fn no_log_level_reveals_searches_bodies_or_credentials() -> TestResult {
    for level in ["info", "trace", "trace,dynoxide=trace,hyper=trace,aws_smithy_runtime=trace"] {
        let log = log_at(level)?;
        assert!(log.contains("answered") && log.contains("job"), "{level}: {log}");
        let lower = log.to_lowercase();
        for marked in [TAG, WORD, NAME, PASSWORD, EMAIL, ADMIN, "markedtoken"] {
            let line = lower.lines().find(|line| line.contains(&marked.to_lowercase()));
            assert_eq!(line, None, "{level}: {marked}");
        }
        let longest = log.lines().map(str::len).max().unwrap_or_default();
        assert!(longest < MAX_LINE_BYTES, "{level}: {longest}");
    }
    Ok(())
}

/// Asserts that a text has no characters that control a terminal.
#[track_caller]
fn check_harmless(printed: &str) {
    let harmful = |character: char| {
        character != '\n'
            && (character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    };
    assert!(!printed.contains(harmful), "{printed:?}");
}

#[test]
fn control_characters_of_a_file_are_escaped_in_output() -> TestResult {
    const EVIL: &str = "\u{1b}[2J\u{9b}31m\u{202e}\r\u{7}";
    let (folder, data) = folder()?;
    let table = ["--data-dir", text(&data)?];
    let portal = json!({"portal": {"Id": "acme"}});
    for line in [
        json!({EVIL: {}}),
        json!({"contact": {"id": 3, "Created": "2020-12-08", EVIL: 1}}),
        json!({"contact": {"id": 3, "Created": EVIL}}),
        json!({"contact": {"id": 3, "Created": "2020-12-08", "Tags": [EVIL.repeat(2000)]}}),
        json!({"portal": {"Id": EVIL}}),
        json!({"portal": {"Id": "acme", "TimeZone": EVIL}}),
        json!({"user": {"Id": EVIL}}),
        json!({"token": {"Token": EVIL, "UserId": EVIL, "Scopes": [EVIL]}}),
        json!({"delete": {EVIL: EVIL}}),
        json!(EVIL),
    ] {
        // Try the line with the characters escaped by JSON, and with the raw characters.
        for line in [line.to_string(), line.to_string().replace("\\u001b", "\u{1b}").replace("\\u0007", "\u{7}")] {
            let file = folder.path().join("bad.ndjson");
            fs::write(&file, format!("{portal}\n{line}\n"))?;
            let output = run(&[&["import", text(&file)?][..], &table[..]].concat())?;
            assert_eq!(output.status.code(), Some(1), "{line:?}");
            let printed = stderr(&output);
            check_harmless(&printed);
            // The output is one line, which no text in the file can break.
            assert_eq!((printed.lines().count(), printed.len() < 2 * MAX_LINE_BYTES), (1, true), "{printed:?}");
        }
    }
    let file = folder.path().join(format!("{EVIL}.ndjson"));
    let missing = run(&[&["import", text(&file)?][..], &table[..]].concat())?;
    assert_eq!(missing.status.code(), Some(1));
    check_harmless(&stderr(&missing));
    fs::write(&file, portal.to_string())?;
    let loaded = run(&[&["import", text(&file)?][..], &table[..]].concat())?;
    assert!(loaded.status.success(), "{}", stderr(&loaded));
    assert!(stdout(&loaded).contains("\\u{1b}[2J"), "{}", stdout(&loaded));
    check_harmless(&stdout(&loaded));
    Ok(())
}
