//! Links that sign a user in to the web page.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::json;

use super::{
    DOCUMENTS, MIKE, PROGRAM, Reply, Server, TestResult, check_failure, folder, request, run, stderr, succeed, text,
};

/// Returns the address of the page and the code in a link.
fn parts(link: &str) -> TestResult<(&str, &str)> {
    let (page, code) = link.trim_end().split_once("#code=").ok_or("the link has no code")?;
    assert!(code.len() == 64 && code.bytes().all(|byte| byte.is_ascii_hexdigit()), "{link:?}");
    Ok((page, code))
}

/// Exchanges a code, as the page does.
fn exchange(server: &Server, code: &str) -> TestResult<Reply> {
    let body = json!({ "code": code }).to_string();
    request(server.port, "POST", "/api/2.0/authentication", &[("Content-Type", "application/json")], &body)
}

/// Returns the identifier of the user whom a code signs in.
fn signed_in(server: &Server, code: &str) -> TestResult<String> {
    let reply = exchange(server, code)?;
    assert_eq!(reply.status, 201, "{reply:?}");
    let token = reply.json()?["response"]["token"].as_str().ok_or("no token")?.to_owned();
    let me = request(server.port, "GET", "/api/2.0/people/@self", &[("Authorization", &token)], "")?;
    Ok(me.json()?["response"]["id"].as_str().ok_or("no user")?.to_owned())
}

#[test]
fn demo_prints_a_link_that_signs_the_administrator_in_once() -> TestResult {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--port", "0", "--in-memory", "--demo", "--log", "trace"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut errors = child.stderr.take().ok_or("no standard error")?;
    let reader = thread::spawn(move || {
        let mut log = Vec::new();
        errors.read_to_end(&mut log).map(|_| log)
    });
    let server = Server::of(child)?;
    let link = server.printed.iter().find_map(|line| line.strip_prefix("console: ")).ok_or("no link")?;
    let (page, code) = parts(link.trim_start())?;
    assert_eq!(page, format!("http://127.0.0.1:{}/console", server.port));
    assert_eq!(server.printed.iter().filter(|line| line.contains(code)).count(), 1);
    let shown = request(server.port, "GET", "/console", &[], "")?;
    assert_eq!((shown.status, shown.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(signed_in(&server, code)?, "4e6f7274-6877-8e64-8000-000000000002");
    let again = exchange(&server, code)?;
    assert_eq!((again.status, again.json()?["error"]["type"].as_str()), (401, Some("sign-in-refused")));
    let code = code.to_owned();
    assert_eq!(server.end("TERM")?, Some(0));
    let log = String::from_utf8(reader.join().map_err(|_| "the thread that reads panicked")??)?;
    assert!(log.contains("answered") && !log.contains(&code), "{log}");
    Ok(())
}

#[test]
fn operator_makes_a_link_for_any_user() -> TestResult {
    let (_folder, data) = folder()?;
    let server = Server::start(&["--data-dir", text(&data)?, "--import", DOCUMENTS])?;
    let data = text(&data)?;
    let link = |portal, user| ["sign-in-link", "--data-dir", data, "--portal", portal, "--user", user];
    let to_mike = link("acme", MIKE);
    let printed = succeed(&to_mike)?;
    assert_eq!(parts(&printed)?.0, "http://127.0.0.1:8092/console");
    assert_eq!(signed_in(&server, parts(&printed)?.1)?, MIKE);
    let printed = succeed(&[&to_mike[..], &["--url", "https://crm.example.com/"]].concat())?;
    assert_eq!(parts(&printed)?.0, "https://crm.example.com/console");
    assert_eq!(exchange(&server, "0123456789abcdef")?.status, 401);

    // An end of all tokens ends the codes too.
    succeed(&["token", "revoke", "--portal", "acme", "--user", MIKE, "--data-dir", data])?;
    assert_eq!(exchange(&server, parts(&printed)?.1)?.status, 401);
    assert_eq!(signed_in(&server, parts(&succeed(&to_mike)?)?.1)?, MIKE);

    check_failure(&link("acme", "nobody@example.com"), &["acme", "nobody@example.com"])?;
    check_failure(&link("elsewhere", MIKE), &["elsewhere"])?;
    let output = run(&[&to_mike[..], &["--url", "crm.example.com"]].concat())?;
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(2), true), "{}", stderr(&output));
    assert_eq!(server.end("TERM")?, Some(0));
    Ok(())
}
