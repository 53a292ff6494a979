//! Tokens.

use serde_json::json;

use super::passwords::with_email;
use super::{
    ADMIN, DOCUMENTS, MIKE, Server, TestResult, check_failure, folder, make_private, request, run, run_with, stderr,
    stdout, succeed, text,
};

#[test]
fn token_works_and_is_refused_without_delay() -> TestResult {
    let (_folder, data) = folder()?;
    let server = Server::start(&["--data-dir", text(&data)?, "--import", DOCUMENTS])?;
    let table = ["--data-dir", text(&data)?];
    let create = |scope: &str| {
        let args = ["token", "create", "--portal", "acme", "--user", MIKE, "--scope", scope];
        succeed(&[&args[..], &table[..]].concat())
    };
    let list = || succeed(&[&["token", "list", "--portal", "acme"][..], &table[..]].concat());

    let printed = create("read,write")?;
    let token = printed.strip_suffix('\n').ok_or("no line")?;
    assert!(token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token:?}");
    assert_eq!(server.put("1234/access", token, &make_private())?.status, 200);
    let reader = create("read")?;
    assert_eq!(server.put("1234/access", reader.trim(), &make_private())?.status, 403);

    let listed = list()?;
    assert_eq!(listed.lines().count(), 3, "{listed}");
    assert!(listed.lines().all(|line| line.contains(MIKE) && line.contains("expires never")), "{listed}");
    for secret in [token, reader.trim(), ADMIN] {
        assert!(!listed.contains(secret), "{listed}");
    }

    assert_eq!(succeed(&[&["token", "revoke", token][..], &table[..]].concat())?, "revoked\n");
    let refused = server.put("1234/access", token, &make_private())?;
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")), "{refused:?}");
    assert_eq!(server.put("1234/access", ADMIN, &make_private())?.status, 200);

    // Revoke the token by its SHA-256 from the list.
    let listed = list()?;
    let line = listed.lines().find(|line| line.contains("  read  ")).ok_or("no token to read")?;
    let hash = line.split(' ').next().unwrap_or_default();
    succeed(&[&["token", "revoke", hash][..], &table[..]].concat())?;
    let listed = list()?;
    let revoked = listed.lines().filter(|line| line.ends_with("  revoked"));
    assert_eq!((listed.lines().count(), revoked.count()), (3, 2), "{listed}");
    assert_eq!(succeed(&[&["token", "revoke", hash][..], &table[..]].concat())?, "revoked\n");
    let unknown = "0".repeat(64);
    check_failure(&[&["token", "revoke", &unknown][..], &table[..]].concat(), &["no such token", "token list"])?;

    // The file loads the token again, which stays revoked.
    succeed(&[&["token", "revoke", ADMIN][..], &table[..]].concat())?;
    succeed(&[&["import", DOCUMENTS][..], &table[..]].concat())?;
    assert_eq!(server.put("1234/access", ADMIN, &make_private())?.status, 401);
    assert_eq!(server.end("TERM")?, Some(0));
    Ok(())
}

/// Returns the status of a call with a token.
fn me(server: &Server, token: &str) -> TestResult<u16> {
    Ok(request(server.port, "GET", "/api/2.0/people/@self", &[("Authorization", token)], "")?.status)
}

#[test]
fn tokens_are_revoked_without_being_named_on_the_command_line() -> TestResult {
    let (folder, data) = folder()?;
    let file = with_email(&folder, &json!({}))?;
    let server = Server::start(&["--data-dir", text(&data)?, "--import", DOCUMENTS, "--import", text(&file)?])?;
    let table = ["--data-dir", text(&data)?];
    let create = || {
        let args = ["token", "create", "--portal", "acme", "--user", MIKE, "--scope", "write"];
        TestResult::Ok(succeed(&[&args[..], &table[..]].concat())?.trim().to_owned())
    };
    let revoke = [&["token", "revoke", "-"][..], &table[..]].concat();
    let token = create()?;
    assert_eq!(me(&server, &token)?, 200, "write implies read");
    let output = run_with(&revoke, format!("{token}\n").as_bytes())?;
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("revoked\n", ""));
    assert_eq!(me(&server, &token)?, 401);
    assert_eq!(run_with(&revoke, b"\n")?.status.code(), Some(1));

    for user in [MIKE, "Mike@Example.com"] {
        let (one, other) = (create()?, create()?);
        let args = [&["token", "revoke", "--portal", "acme", "--user", user][..], &table[..]].concat();
        assert!(succeed(&args)?.contains("every token of user"), "{user}");
        for token in [&one, &other, ADMIN] {
            assert_eq!(me(&server, token)?, 401, "{user}");
        }
        assert_eq!(me(&server, &create()?)?, 200, "{user}");
    }
    let listed = succeed(&[&["token", "list", "--portal", "acme"][..], &table[..]].concat())?;
    assert_eq!(listed.lines().filter(|line| line.ends_with("  revoked")).count(), 7, "{listed}");

    // A new password also revokes tokens, and a token can revoke itself.
    let token = create()?;
    let args = [&["user", "password", "--portal", "acme", "--user", MIKE][..], &table[..]].concat();
    assert!(run_with(&args, b"open sesame\n")?.status.success());
    assert_eq!(me(&server, &token)?, 401);
    let token = create()?;
    let headers = [("Authorization", &*token)];
    assert_eq!(request(server.port, "DELETE", "/api/2.0/authentication", &headers, "")?.status, 204);
    assert_eq!(me(&server, &token)?, 401);
    Ok(())
}

#[test]
fn a_token_is_made_only_for_a_user_of_a_portal() -> TestResult {
    let (_folder, data) = folder()?;
    let create = |portal: &'static str, user: &'static str, expires: &'static str| {
        let table = ["--data-dir", text(&data)?, "--scope", "write", "--expires", expires];
        TestResult::Ok([&["token", "create", "--portal", portal, "--user", user][..], &table[..]].concat())
    };
    check_failure(&create("acme", MIKE, "2100-01-01")?, &["has no data", "crm-access import"])?;
    assert!(!data.exists(), "a command that loads nothing creates no folder");
    succeed(&["import", "--data-dir", text(&data)?, DOCUMENTS])?;
    check_failure(&create("other", MIKE, "2100-01-01")?, &["there is no portal other"])?;
    let nobody = "11111111-1111-1111-1111-111111111111";
    check_failure(&create("acme", nobody, "2100-01-01")?, &["portal acme has no user", nobody])?;
    let output = run(&create("acme", "mike@example.com", "2100-01-01")?)?;
    assert!(stderr(&output).contains("must be a UUID"), "{}", stderr(&output));
    check_failure(&create("acme", MIKE, "soon")?, &["--expires", "must be a date"])?;

    let server = Server::start(&["--data-dir", text(&data)?])?;
    check_failure(&create("acme", MIKE, "2020-01-01")?, &["--expires must be in the future", "2020-01-01T21:59:59"])?;
    let token = succeed(&create("acme", MIKE, "2100-01-01")?)?;
    assert_eq!(server.put("1234/access", token.trim(), &make_private())?.status, 200);
    // A day ends at midnight in the portal's time zone, which is Europe/Riga.
    let listed = succeed(&["token", "list", "--portal", "acme", "--data-dir", text(&data)?])?;
    assert!(listed.contains("expires 2100-01-01T21:59:59Z"), "{listed}");
    Ok(())
}
