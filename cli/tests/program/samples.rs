//! The sample portal, the demo and files made from answers.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    Reply, Server, TestResult, folder, nowhere, request, run_with, stderr, stdout, strs, succeed, text,
    tokens_of_the_demo,
};

#[test]
fn sample_portal_can_be_imported() -> TestResult {
    let sample = ["sample", "--contacts", "120", "--users", "7"];
    let lines = succeed(&sample)?;
    assert_eq!(lines, succeed(&sample)?, "the same seed makes the same file");
    let (_folder, data) = folder()?;
    let output = run_with(&["import", "--data-dir", text(&data)?, "-"], lines.as_bytes())?;
    assert!(stdout(&output).contains("contacts: 120 added"), "{}{}", stdout(&output), stderr(&output));
    Ok(())
}

/// Runs a printed command line with `sh` and `curl`, or sends the equivalent request if curl is missing.
fn run_printed(line: &str) -> TestResult<Reply> {
    let has_curl = Command::new("curl").arg("--version").output().is_ok();
    if has_curl {
        let output = Command::new("sh").args(["-c", &format!("{line} -i -s")]).output()?;
        return Reply::read(std::str::from_utf8(&output.stdout)?);
    }
    let (mut method, mut body, mut url, mut headers) = ("GET", String::new(), String::new(), Vec::new());
    let words = shell_words(line);
    let mut words = words.iter().map(String::as_str).skip(1);
    while let Some(word) = words.next() {
        match word {
            "-X" => method = words.next().ok_or(line)?,
            "-H" => headers.extend(words.next().and_then(|header| header.split_once(": "))),
            "-d" => body = words.next().unwrap_or_default().to_owned(),
            "-i" => {}
            other => url = other.to_owned(),
        }
    }
    let (address, path) = url.strip_prefix("http://127.0.0.1:").and_then(|url| url.split_once('/')).ok_or(line)?;
    request(address.parse()?, method, &format!("/{path}"), &headers, &body)
}

/// Splits a line into words. Only single quotes can enclose a word.
fn shell_words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for character in line.trim().chars() {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            other => word.push(other),
        }
    }
    words.push(word);
    words
}

#[test]
fn the_demo_prints_calls_that_work_as_printed() -> TestResult {
    let engine = nowhere();
    let server = Server::start(&[&strs(&engine)[..], &["--demo", "--curl"]].concat())?;
    let [administrator, employee] = tokens_of_the_demo(&server)?;
    assert_ne!(administrator, employee);
    let passwords: Vec<&str> = server
        .printed
        .iter()
        .filter(|line| line.contains("@northwind.example"))
        .filter_map(|line| line.split(' ').next_back())
        .collect();
    let [one, other] = passwords[..] else { return Err(format!("{:?}", server.printed).into()) };
    assert!(one != other && one.len() == 20 && other.len() == 20, "{passwords:?}");

    let calls: Vec<&String> = server.printed.iter().filter(|line| line.trim_start().starts_with("curl ")).collect();
    let [one, preview, many, list, undo] = calls[..] else { return Err(format!("{:?}", server.printed).into()) };
    let replies = [run_printed(one)?, run_printed(preview)?, run_printed(many)?, run_printed(list)?];
    for reply in &replies {
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let [one, preview, many, list] = replies;
    assert_eq!(one.json()?["response"]["IsPrivate"], true);
    assert_eq!(preview.counts(), many.counts());
    assert_eq!(preview.json()?, many.json()?);
    assert_eq!((preview.header("x-job-id"), many.header("x-job-id").is_some()), (None, true));
    assert!(many.header("x-updated-count").is_some_and(|count| count != "0"), "{many:?}");
    let job = many.header("x-job-id").ok_or("no job")?;
    let listed = list.json()?["response"][0].clone();
    assert_eq!((&listed["id"], &listed["state"]), (&json!(job), &json!("done")));
    let undone = run_printed(&undo.replace("JOB", job))?;
    assert_eq!(undone.status, 202, "{undone:?}");
    assert_eq!(undone.json()?["response"]["undoOf"], job);
    assert!(undone.header("location").is_some_and(|location| location.contains("/access/jobs/")), "{undone:?}");

    // An ordinary user does not see contacts that the administrator made private to others.
    let body = json!({"isShared": false, "managerList": []});
    assert_eq!(server.put("2/access", administrator, &body)?.status, 200);
    assert_eq!(server.put("2/access", employee, &body)?.status, 404);
    assert_eq!(server.end("TERM")?, Some(0));
    Ok(())
}

/// Returns the import lines of the directory entries that the `contacts` of an answer refer to.
fn directory_of(contacts: &[Value], token: &str, administrator: &Value) -> String {
    let mut found = std::collections::BTreeMap::new();
    let member =
        |value: &Value, names: [&str; 2]| names.iter().find_map(|name| value.get(*name)).cloned().unwrap_or_default();
    let identity = |value: &Value| ["Id", "ID", "id"].iter().find_map(|name| value.get(*name)).map(Value::to_string);
    for contact in contacts {
        for (kind, names) in [("stage", ["ContactStatus", "contactStatus"]), ("type", ["ContactType", "contactType"])] {
            let item = member(contact, names);
            found.extend(identity(&item).map(|id| ((kind, id), item)));
        }
        let managers = member(contact, ["AccessList", "accessList"]);
        let managers = managers.as_array().cloned().unwrap_or_default();
        for user in managers.into_iter().chain([member(contact, ["CreateBy", "createBy"])]) {
            found.extend(identity(&user).map(|id| (("user", id), user)));
        }
    }
    let mut lines = vec![json!({"portal": {"Id": "again", "TimeZone": "America/Los_Angeles", "Shards": 2}})];
    lines.extend(found.into_iter().map(|((kind, _), value)| json!({kind: value})));
    lines.push(json!({"user": administrator}));
    lines.push(json!({"token": {"Token": token, "UserId": administrator["Id"], "Scopes": ["read", "write"]}}));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn answers_of_the_service_can_be_imported_unchanged() -> TestResult {
    const TOKEN: &str = "a-token-of-the-portal-that-is-loaded-again";
    let demo = Server::start(&["--in-memory", "--demo"])?;
    let [token, _] = tokens_of_the_demo(&demo)?.map(str::to_owned);
    let folder = TempDir::new()?;
    let answer = |server: &Server, token: &str, method: &str, path: &str| -> TestResult<Vec<Value>> {
        let headers = [("Authorization", token), ("Content-Type", "application/json")];
        let body = if method == "PUT" { r#"{"isPrivate":false}"# } else { "" };
        let path = format!("/api/2.0/crm/contact/{path}");
        let reply = request(server.port, method, &path, &headers, body)?;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        let value = reply.json()?;
        let found = if value.is_array() { value } else { value["response"].clone() };
        Ok(found.as_array().cloned().unwrap_or_else(|| vec![found]))
    };
    // Some contacts are made private, so that the answers show access lists.
    let managers = answer(&demo, &token, "GET", "1")?[0]["createBy"]["id"].clone();
    let body = json!({"contactid": [1, 2, 92], "isShared": false, "managerList": [managers]});
    assert_eq!(demo.put("access", &token, &body)?.status, 200);
    let administrator = json!({"Id": "0000000a-0000-0000-0000-000000000000", "DisplayName": "Loader", "IsAdmin": true});
    for (method, path) in [
        ("GET", "filter?count=1000&sortBy=id"),
        ("GET", "filter.json?count=1000&sortBy=id"),
        ("PUT", "filter/access?dryRun=true&count=1000"),
    ] {
        let before = answer(&demo, &token, method, path)?;
        assert_eq!(before.len(), 182, "{path}");
        let contacts: String =
            before.iter().map(|contact| format!("{}\r\n\r\n", json!({"contact": contact}))).collect();
        let file = folder.path().join("again.ndjson");
        fs::write(&file, format!("\u{feff}{}{contacts}", directory_of(&before, TOKEN, &administrator)))?;
        let again = Server::start(&["--in-memory", "--import", text(&file)?])?;
        assert_eq!(answer(&again, TOKEN, method, path)?, before, "{path}");
    }
    // Check one contact in each of its shapes.
    for path in ["1", "1.json", "92", "92.json"] {
        let before = answer(&demo, &token, "GET", path)?;
        let file = folder.path().join("one.ndjson");
        let line = json!({"contact": before[0], "task": null});
        fs::write(&file, format!("{}{line}\n", directory_of(&before, TOKEN, &administrator)))?;
        let again = Server::start(&["--in-memory", "--import", text(&file)?])?;
        assert_eq!(answer(&again, TOKEN, "GET", path)?, before, "{path}");
    }
    Ok(())
}

/// Counts of contacts that are private, shared for editing and shared for reading.
fn add(counts: &mut Value, contact: &Value) {
    let name = match contact["shareType"].as_u64() {
        Some(0) => "private",
        Some(1) => "sharedForEditing",
        _ => "sharedForReading",
    };
    for every in ["private", "sharedForEditing", "sharedForReading"] {
        let count = counts[every].as_u64().unwrap_or_default() + u64::from(every == name);
        counts[every] = json!(count);
    }
}

#[test]
fn snapshot_of_the_demo_equals_a_count_of_its_contacts() -> TestResult {
    /// Attempts to read the snapshot that a worker takes.
    const ATTEMPTS: usize = 100_000;
    let demo = Server::start(&["--in-memory", "--demo"])?;
    let [token, _] = tokens_of_the_demo(&demo)?.map(str::to_owned);
    let headers = [("Authorization", token.as_str())];
    let call = |method: &str, path: &str| request(demo.port, method, &format!("/api/2.0/crm/{path}"), &headers, "");
    let started = call("POST", "access/snapshots")?;
    assert_eq!(started.status, 202, "{}", started.body);
    let mut latest = call("GET", "access/snapshots/latest")?;
    for _ in 0..ATTEMPTS {
        if latest.status == 200 {
            break;
        }
        latest = call("GET", "access/snapshots/latest")?;
    }
    let snapshot = latest.json()?["response"].clone();

    let contacts = call("GET", "contact/filter?count=1000")?.json()?["response"].clone();
    let contacts = contacts.as_array().ok_or("no list")?;
    assert_eq!(contacts.len(), 182);
    let (mut all, mut of_stages, mut of_tags) = (json!({}), json!({}), json!({}));
    for contact in contacts {
        add(&mut all, contact);
        add(&mut of_stages[contact["contactStatus"]["id"].as_i64().unwrap_or_default().to_string()], contact);
        for tag in contact["tags"].as_array().into_iter().flatten() {
            add(&mut of_tags[tag.as_str().ok_or("no tag")?], contact);
        }
    }
    let counts = |value: &Value| {
        let names = ["private", "sharedForEditing", "sharedForReading"];
        Value::Object(names.map(|name| (name.to_owned(), value[name].clone())).into_iter().collect())
    };
    assert_eq!(snapshot["all"], all);
    assert_eq!(snapshot["stages"].as_array().map(Vec::len), Some(4), "{snapshot}");
    for stage in snapshot["stages"].as_array().into_iter().flatten() {
        assert_eq!(counts(stage), of_stages[stage["id"].to_string()], "{stage}");
    }
    let tags = snapshot["tags"].as_array().ok_or("no tags")?;
    assert_eq!(tags.len(), of_tags.as_object().map_or(0, |tags| tags.len()));
    for tag in tags {
        assert_eq!(counts(tag), of_tags[tag["title"].as_str().unwrap_or_default()], "{tag}");
    }
    Ok(())
}
