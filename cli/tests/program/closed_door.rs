//! The data is accessible only through the service: the engine has no port by default, its port needs a secret, only
//! this user may read its files, and the service answers only under its own names.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{
    ADMIN, DOCUMENTS, Reply, Server, TestResult, exchange, folder, nowhere, request, run, strs, succeed, text,
};

/// Returns the TCP ports that a process listens on.
#[cfg(target_os = "linux")]
fn listening(pid: u32) -> TestResult<BTreeSet<u16>> {
    const LISTENING: &str = "0A";
    let mut sockets = BTreeSet::new();
    for file in fs::read_dir(format!("/proc/{pid}/fd"))? {
        // A file that was closed in the meantime is not a listening socket.
        let Ok(target) = fs::read_link(file?.path()) else { continue };
        let inode = target.to_str().and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']'));
        sockets.extend(inode.map(str::to_owned));
    }
    let mut ports = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        for line in fs::read_to_string(format!("/proc/{pid}/net/{table}"))?.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields[3] == LISTENING && sockets.contains(fields[9]) {
                let port = fields[1].rsplit(':').next().unwrap_or_default();
                ports.insert(u16::from_str_radix(port, 16)?);
            }
        }
    }
    Ok(ports)
}

#[test]
#[cfg(target_os = "linux")]
fn the_engine_listens_only_on_request() -> TestResult {
    let (_folder, data) = folder()?;
    for storage in [&["--in-memory"][..], &["--data-dir", text(&data)?]] {
        let server = Server::start(storage)?;
        assert_eq!(listening(server.pid)?, BTreeSet::from([server.port]));
        let server = Server::start(&[storage, &["--dynamodb-port", "0"]].concat())?;
        assert_eq!(listening(server.pid)?.len(), 2);
    }
    Ok(())
}

/// Calls ListTables at the engine's port, with these headers.
fn list_tables(address: &str, headers: &str) -> TestResult<Reply> {
    exchange(
        address,
        &format!(
            "POST / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nX-Amz-Target: DynamoDB_20120810.ListTables\r\n\
             Content-Type: application/x-amz-json-1.0\r\nContent-Length: 2\r\n{headers}\r\n{{}}"
        ),
    )
}

#[test]
fn the_engine_answers_only_programs_that_have_the_secret() -> TestResult {
    let server = Server::start(&["--in-memory", "--dynamodb-port", "0"])?;
    let of = server.dynamodb()?;
    let address = of.url.strip_prefix("http://").ok_or("no address")?;
    let signed = |key: &str| {
        let scope = "20260101/us-east-1/dynamodb/aws4_request";
        format!("Authorization: AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders=host, Signature=0\r\n")
    };
    let (right, shorter) = (signed(&of.access_key), signed(&of.access_key[1..]));
    assert_eq!(of.access_key.len(), 64);

    let reply = list_tables(address, &right)?;
    assert_eq!((reply.status, reply.json()?["TableNames"][0].as_str()), (200, Some(&*of.table)), "{reply:?}");
    for (headers, status, code) in [
        (String::new(), 400, "MissingAuthenticationTokenException"),
        (format!("Authorization: Bearer {}\r\n", of.access_key), 400, "MissingAuthenticationTokenException"),
        (right.repeat(2), 400, "MissingAuthenticationTokenException"),
        (signed("local"), 400, "UnrecognizedClientException"),
        (signed(""), 400, "UnrecognizedClientException"),
        (shorter, 400, "UnrecognizedClientException"),
        (format!("{right}Origin: https://evil.example\r\n"), 403, "AccessDeniedException"),
        (format!("{right}Origin: null\r\n"), 403, "AccessDeniedException"),
        ("Origin: https://evil.example\r\n".into(), 403, "AccessDeniedException"),
    ] {
        let reply = list_tables(address, &headers)?;
        assert_eq!(reply.status, status, "{headers}: {reply:?}");
        assert!(reply.body.contains(code) && !reply.body.contains("TableNames"), "{headers}: {reply:?}");
        assert_eq!(reply.header("access-control-allow-origin"), None, "{headers}");
    }
    let preflight = "Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n";
    let reply =
        exchange(address, &format!("OPTIONS / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{preflight}\r\n"))?;
    assert!(reply.status == 403 && !reply.head.to_ascii_lowercase().contains("access-control"), "{reply:?}");
    Ok(())
}

#[test]
fn the_help_explains_the_risk_of_the_engines_port() -> TestResult {
    let help = succeed(&["serve", "--help"])?;
    let help: String = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("reads every contact and password hash, and can write a token of any user"), "{help}");
    Ok(())
}

/// Returns the modes of a folder and of the files in it.
fn modes(folder: &Path) -> TestResult<Vec<(String, u32)>> {
    const PERMISSION_BITS: u32 = 0o777;
    let mode = |path: &Path| TestResult::Ok(fs::metadata(path)?.permissions().mode() & PERMISSION_BITS);
    let mut modes = vec![(".".to_owned(), mode(folder)?)];
    for file in fs::read_dir(folder)? {
        let file = file?;
        modes.push((file.file_name().to_string_lossy().into_owned(), mode(&file.path())?));
    }
    Ok(modes)
}

#[track_caller]
fn check_closed(folder: &Path) -> TestResult {
    let modes = modes(folder)?;
    assert!(modes.len() > 2, "{modes:?}");
    for (name, mode) in &modes {
        let expected = if name == "." { 0o700 } else { 0o600 };
        assert_eq!(*mode, expected, "{name} of {modes:?}");
    }
    Ok(())
}

#[test]
fn other_users_of_the_machine_cannot_read_the_data() -> TestResult {
    let (_folder, data) = folder()?;
    let server = Server::start(&["--data-dir", text(&data)?, "--import", DOCUMENTS])?;
    check_closed(&data)?;
    assert_eq!(server.end("TERM")?, Some(0));

    // The program closes a readable folder of an earlier version, and every file in the folder, to other users.
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755))?;
    for file in fs::read_dir(&data)? {
        fs::set_permissions(file?.path(), fs::Permissions::from_mode(0o644))?;
    }
    let server = Server::start(&["--data-dir", text(&data)?])?;
    check_closed(&data)?;
    drop(server);
    fs::set_permissions(&data, fs::Permissions::from_mode(0o777))?;
    succeed(&["token", "list", "--portal", "acme", "--data-dir", text(&data)?])?;
    check_closed(&data)
}

#[test]
fn a_folder_with_other_files_keeps_its_mode() -> TestResult {
    let (_folder, data) = folder()?;
    fs::create_dir(&data)?;
    fs::write(data.join("notes.txt"), "mine")?;
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755))?;
    succeed(&["import", "--data-dir", text(&data)?, DOCUMENTS])?;
    for (name, mode) in modes(&data)? {
        let expected = match &*name {
            "." => 0o755,
            "notes.txt" => continue,
            _ => 0o600,
        };
        assert_eq!(mode, expected, "{name}");
    }
    Ok(())
}

/// Returns the status and the error type of a request with these lines in place of `Host`.
fn called(address: &str, version: &str, hosts: &str) -> TestResult<(u16, String)> {
    let reply = exchange(
        address,
        &format!(
            "GET /api/2.0/crm/contact/1234 HTTP/{version}\r\n{hosts}Connection: close\r\nAuthorization: {ADMIN}\r\n\r\n"
        ),
    )?;
    let kind = reply.json()?["error"]["type"].as_str().unwrap_or_default().to_owned();
    Ok((reply.status, kind))
}

#[test]
fn the_service_answers_under_its_own_names_only() -> TestResult {
    let engine = nowhere();
    let base = [&strs(&engine)[..], &["--import", DOCUMENTS]].concat();
    let server = Server::start(&base)?;
    let address = format!("127.0.0.1:{}", server.port);
    let refused = |kind: &str, status: u16| (status, kind.to_owned());
    for host in ["127.0.0.1", "localhost:1", "[::1]"] {
        assert_eq!(called(&address, "1.1", &format!("Host: {host}\r\n"))?.0, 200, "{host}");
    }
    assert_eq!(called(&address, "1.1", "Host: evil.example\r\n")?, refused("host-not-allowed", 421));
    assert_eq!(called(&address, "1.0", "Host: evil.example\r\n")?, refused("host-not-allowed", 421));
    assert_eq!(called(&address, "1.0", "")?, refused("invalid-request", 400));
    assert_eq!(called(&address, "1.1", "Host: localhost\r\nHost: localhost\r\n")?, refused("invalid-request", 400));
    // Preflights and unknown paths are refused for the host first, and disclose nothing.
    let reply = exchange(&address, "OPTIONS /x HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")?;
    assert!(reply.status == 421 && reply.body.contains("--allow-host"), "{reply:?}");

    let server = Server::start(&[&base[..], &["--allow-host", "crm.example.com", "--allow-host", "other"]].concat())?;
    let address = format!("127.0.0.1:{}", server.port);
    for host in ["crm.example.com", "CRM.EXAMPLE.COM:8092", "other", "localhost"] {
        assert_eq!(called(&address, "1.1", &format!("Host: {host}\r\n"))?.0, 200, "{host}");
    }
    assert_eq!(called(&address, "1.1", "Host: evil.example\r\n")?, refused("host-not-allowed", 421));
    Ok(())
}

#[test]
fn the_service_listens_on_the_address_that_is_named() -> TestResult {
    let engine = nowhere();
    for (bind, host) in [("::1", "[::1]"), ("127.0.0.2", "127.0.0.2"), ("0.0.0.0", "127.0.0.1")] {
        let server = Server::start(&[&strs(&engine)[..], &["--import", DOCUMENTS, "--bind", bind]].concat())?;
        let address = format!("{host}:{}", server.port);
        assert_eq!(called(&address, "1.1", &format!("Host: {address}\r\n"))?.0, 200, "{bind}");
        assert_eq!(called(&address, "1.1", "Host: evil.example\r\n")?.0, 421, "{bind}");
    }
    for args in [["--bind", "localhost"], ["--allow-host", "http://x"], ["--allow-host", "*"], ["--allow-host", "x:80"]]
    {
        assert_eq!(run(&[&["serve", "--in-memory"][..], &args].concat())?.status.code(), Some(2), "{args:?}");
    }
    Ok(())
}

#[test]
fn a_call_without_a_token_is_refused_under_a_right_name() -> TestResult {
    let engine = nowhere();
    let server = Server::start(&strs(&engine))?;
    assert_eq!(request(server.port, "GET", "/api/2.0/crm/contact/1", &[], "")?.status, 401);
    Ok(())
}
