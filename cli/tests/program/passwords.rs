//! Passwords and signing in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{fs, thread};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{MIKE, Server, TestResult, check_failure, folder, request, run, run_with, stderr, stdout, succeed, text};

/// Reads a process's resident memory in KB: `VmRSS` is the current value, `VmHWM` the peak.
fn kilobytes(pid: u32, what: &str) -> TestResult<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    Ok(line.and_then(|line| line.split_whitespace().next()).ok_or("no such line")?.parse()?)
}

/// Signs in as all of these users concurrently, and returns the number of answers by status.
fn sign_in_at_once(port: u16, users: &[String]) -> TestResult<BTreeMap<u16, usize>> {
    let attempt = |user: &String| {
        let body = json!({"userName": user, "password": "not the password"}).to_string();
        let reply = request(port, "POST", "/api/2.0/authentication", &[("Content-Type", "application/json")], &body)?;
        assert!(reply.status != 503 || reply.header("retry-after").is_some(), "{reply:?}");
        TestResult::Ok(reply.status)
    };
    let mut statuses = BTreeMap::new();
    thread::scope(|scope| {
        let attempts: Vec<_> = users.iter().map(|user| scope.spawn(move || attempt(user))).collect();
        for attempt in attempts {
            *statuses.entry(attempt.join().map_err(|_| "an attempt panicked")??).or_default() += 1;
        }
        TestResult::Ok(statuses)
    })
}

/// The number of concurrent sign-ins.
const AT_ONCE: usize = 150;

#[test]
#[cfg(target_os = "linux")]
fn memory_stays_bounded_during_concurrent_sign_ins() -> TestResult {
    let (folder, _) = folder()?;
    let hash = run_with(&["user", "hash"], b"open sesame\n")?;
    let hash = stdout(&hash).trim().to_owned();
    // Other services use these parameters, which RFC 9106 recommends for little memory.
    let costly = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";
    let user = |number: usize, name: &str, hash: &str| {
        let id = uuid::Uuid::now_v7();
        json!({"user": {"Id": id, "Email": format!("{name}{number}@example.com"), "PasswordHash": hash}})
    };
    let mut lines = vec![json!({"portal": {"Id": "acme"}})];
    lines.extend((0..AT_ONCE).map(|number| user(number, "user", &hash)));
    lines.extend((0..AT_ONCE).map(|number| user(number, "costly", costly)));
    let file = folder.path().join("users.ndjson");
    fs::write(&file, lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
    let server = Server::start(&["--in-memory", "--import", text(&file)?])?;
    let idle = kilobytes(server.pid, "VmRSS")?;

    let users = |round: usize, name: &str| -> Vec<String> {
        (0..AT_ONCE)
            .map(|number| format!("{name}{}@example.com", number + round * usize::from(name == "nobody")))
            .collect()
    };
    for (names, limit) in [(&["user", "nobody"][..], 60_000), (&["costly"], 64 * 1024 + 30_000)] {
        for round in 0..3 {
            for name in names {
                let statuses = sign_in_at_once(server.port, &users(round * AT_ONCE, name))?;
                assert_eq!(statuses.values().sum::<usize>(), AT_ONCE);
                assert!(statuses.keys().all(|status| [401, 429, 503].contains(status)), "{statuses:?}");
            }
        }
        let more = kilobytes(server.pid, "VmHWM")?.saturating_sub(idle);
        assert!(more <= limit, "{names:?}: {more} kB more than the {idle} kB when idle");
    }
    // The memory for an expensive hash is freed.
    let more = kilobytes(server.pid, "VmRSS")?.saturating_sub(idle);
    assert!(more <= 60_000, "{more} kB more than the {idle} kB when idle");
    Ok(())
}

/// Writes an import file that gives the portal's user an e-mail address.
pub(crate) fn with_email(folder: &TempDir, user: &Value) -> TestResult<PathBuf> {
    let mut line = json!({"Id": MIKE, "DisplayName": "Mike Zanyatski", "Email": "Mike@Example.com"});
    if let (Some(line), Value::Object(members)) = (line.as_object_mut(), user.clone()) {
        line.extend(members);
    }
    let file = folder.path().join("users.ndjson");
    fs::write(&file, format!("{}\n{}\n", json!({"portal": {"Id": "acme"}}), json!({"user": line})))?;
    Ok(file)
}

#[test]
fn a_password_is_read_from_standard_input_and_never_shown() -> TestResult {
    let (folder, data) = folder()?;
    let file = with_email(&folder, &json!({}))?;
    succeed(&["import", "--data-dir", text(&data)?, text(&file)?])?;
    for (user, input) in
        [(MIKE, "open sesame"), ("mike@example.com", "open sesame\n"), ("MIKE@example.com", "open sesame\r\n")]
    {
        let args = ["user", "password", "--portal", "acme", "--user", user, "--data-dir", text(&data)?];
        let output = run_with(&args, input.as_bytes())?;
        assert!(output.status.success(), "{user}: {}", stderr(&output));
        assert_eq!(
            stdout(&output),
            "mike@example.com signs in with the new password; every token the user had is revoked\n"
        );
        assert_eq!(stderr(&output), "");
    }
    Ok(())
}

#[test]
fn a_password_is_set_only_for_a_user_who_can_sign_in() -> TestResult {
    let (folder, data) = folder()?;
    let file = with_email(&folder, &json!({"Email": null}))?;
    succeed(&["import", "--data-dir", text(&data)?, text(&file)?])?;
    let refused = |portal: &str, user: &str, input: &str, words: &[&str]| {
        let output = run_with(
            &["user", "password", "--portal", portal, "--user", user, "--data-dir", text(&data)?],
            input.as_bytes(),
        )?;
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        words.iter().for_each(|word| assert!(said.contains(word), "{word:?} is not in: {said}"));
        assert!(!said.contains("sesame") && stdout(&output).is_empty(), "{said}");
        TestResult::Ok(())
    };
    refused("acme", MIKE, "open sesame", &["no e-mail address", MIKE])?;
    refused("acme", "mike@example.com", "open sesame", &["portal acme has no user mike@example.com"])?;
    refused("zenith", MIKE, "open sesame", &["portal zenith has no user"])?;
    refused("acme", MIKE, "sesame", &["at least 8 characters"])?;
    refused("acme", MIKE, "", &["at least 8 characters"])?;
    refused("acme", MIKE, &"sesame".repeat(1000), &["at most 1024 bytes"])
}

#[test]
fn printed_hash_can_be_imported() -> TestResult {
    let (folder, data) = folder()?;
    let hash = || {
        let output = run_with(&["user", "hash"], b"open sesame\n")?;
        assert!(output.status.success(), "{}", stderr(&output));
        TestResult::Ok(stdout(&output).trim().to_owned())
    };
    let (one, other) = (hash()?, hash()?);
    assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
    assert_ne!(one, other, "each has a salt of its own");
    let file = with_email(&folder, &json!({"PasswordHash": one}))?;
    succeed(&["import", "--data-dir", text(&data)?, text(&file)?])?;
    let file = with_email(&folder, &json!({"PasswordHash": "open sesame"}))?;
    let import = ["import", "--data-dir", text(&data)?, text(&file)?];
    check_failure(&import, &["line 2:", "PasswordHash must be an argon2id PHC string", "crm-access user hash"])?;
    assert!(!stderr(&run(&import)?).contains("sesame"));
    Ok(())
}
