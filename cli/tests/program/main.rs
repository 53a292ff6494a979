//! The program from its users' view: processes, their output and exit codes, HTTP over a real socket.

#[path = "program/closed_door.rs"]
mod closed_door;
#[path = "program/ending.rs"]
mod ending;
#[path = "program/quiet_log.rs"]
mod quiet_log;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

type TestResult<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const PROGRAM: &str = env!("CARGO_BIN_EXE_crm-access");
/// The timeout for a process.
const PATIENCE: Duration = Duration::from_secs(60);

/// The portal of ONLYOFFICE's reference pages: contact 1234 and its administrator.
const DOCUMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/documents.ndjson");
const ADMIN: &str = "0123456789abcdef0123456789abcdef-admin";
const MIKE: &str = "00000000-0000-0000-0000-000000000000";

/// Runs the program until it exits.
fn run(args: &[&str]) -> TestResult<Output> {
    run_with(args, b"")
}

/// Runs the program until it exits, with `input` on its standard input.
fn run_with(args: &[&str], input: &[u8]) -> TestResult<Output> {
    let mut command = Command::new(PROGRAM);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    // The pipe is dropped at once, so that the program reaches the end of its input.
    child.stdin.take().ok_or("no standard input")?.write_all(input)?;
    Ok(child.wait_with_output()?)
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs the program, which must succeed, and returns what it printed.
fn succeed(args: &[&str]) -> TestResult<String> {
    let output = run(args)?;
    if output.status.success() { Ok(stdout(&output)) } else { Err(format!("{args:?}: {}", stderr(&output)).into()) }
}

/// Runs the program, which must fail with exit code 1 and print every one of `words`.
#[track_caller]
fn check_failure(args: &[&str], words: &[&str]) -> TestResult {
    let output = run(args)?;
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
    assert!(text.starts_with("crm-access: "), "{text}");
    words.iter().for_each(|word| assert!(text.contains(word), "{word:?} is not in: {text}"));
    Ok(())
}

fn text(path: &Path) -> TestResult<&str> {
    Ok(path.to_str().ok_or("the path is not UTF-8")?)
}

/// A running server.
struct Server {
    child: Option<Child>,
    pid: u32,
    port: u16,
    /// The lines printed before the server listened.
    printed: Vec<String>,
    /// The lines printed later.
    lines: Receiver<String>,
}

/// The engine's port, as printed by a server.
struct DynamoDb {
    url: String,
    table: String,
    access_key: String,
}

impl Server {
    /// Starts `crm-access serve --port 0` and waits until it listens.
    fn start(args: &[&str]) -> TestResult<Self> {
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--port", "0"]).args(args).stdin(Stdio::null());
        Self::of(command.stdout(Stdio::piped()).spawn()?)
    }

    /// Waits until a started server listens.
    fn of(mut child: Child) -> TestResult<Self> {
        let output = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let (sender, lines) = channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut server = Self { pid: child.id(), child: Some(child), port: 0, printed: Vec::new(), lines };
        loop {
            let line = server.lines.recv_timeout(PATIENCE)?;
            match line.strip_prefix("listening on http://") {
                Some(address) => {
                    server.port = address.parse::<SocketAddr>()?.port();
                    return Ok(server);
                }
                None => server.printed.push(line),
            }
        }
    }

    /// Returns the engine's port, if the server was started with one.
    fn dynamodb(&self) -> TestResult<DynamoDb> {
        let line = self.printed.iter().find_map(|line| line.strip_prefix("dynamodb on ")).ok_or("no endpoint")?;
        let (url, line) = line.split_once(" table ").ok_or("no table")?;
        let (table, access_key) = line.split_once(" access key ").ok_or("no access key")?;
        Ok(DynamoDb { url: url.into(), table: table.into(), access_key: access_key.into() })
    }

    /// Sends JSON by `PUT` to a path below `/api/2.0/crm/contact/`.
    fn put(&self, path: &str, token: &str, body: &Value) -> TestResult<Reply> {
        let headers = [("Authorization", token), ("Content-Type", "application/json")];
        request(self.port, "PUT", &format!("/api/2.0/crm/contact/{path}"), &headers, &body.to_string())
    }

    /// Sends a signal and waits for the exit, and returns the exit code; none if the signal killed the program.
    fn end(mut self, signal: &str) -> TestResult<Option<i32>> {
        let mut child = self.child.take().ok_or("ended already")?;
        let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {}", self.pid)]).status()?;
        assert!(sent.success());
        let (sender, ended) = channel();
        let waiting = thread::spawn(move || {
            let status = child.wait();
            sender.send(()).map_err(|_| child.kill()).map(|()| status)
        });
        ended.recv_timeout(PATIENCE)?;
        let status = waiting.join().map_err(|_| "the thread that waits panicked")?;
        Ok(status.map_err(|_| "nobody waits")??.code())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // A failed test leaves no server behind; a server that has already exited needs no kill.
            match child.kill().and_then(|()| child.wait()) {
                Ok(_) | Err(_) => {}
            }
        }
    }
}

/// An HTTP answer.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    /// Parses the status, headers and body of an HTTP answer.
    fn read(text: &str) -> TestResult<Self> {
        let (head, body) = text.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
        let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
        Ok(Self { status, head: head.to_owned(), body: body.to_owned() })
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    fn json(&self) -> TestResult<Value> {
        Ok(serde_json::from_str(&self.body)?)
    }

    /// Returns the headers that count the contacts of a run.
    fn counts(&self) -> [Option<&str>; 4] {
        ["x-matched-count", "x-updated-count", "x-unchanged-count", "x-skipped-count"].map(|name| self.header(name))
    }
}

/// Sends one HTTP/1.1 request to a server on this machine.
fn request(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> TestResult<Reply> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    exchange(
        ("127.0.0.1", port),
        &format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        ),
    )
}

/// Sends a raw request to a server that closes the connection after its answer.
fn exchange(address: impl ToSocketAddrs, request: &str) -> TestResult<Reply> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Reply::read(&answer)
}

fn make_private() -> Value {
    json!({"isShared": false, "managerList": [MIKE]})
}

/// Creates an empty folder, and returns it with the path of a data folder in it.
fn folder() -> TestResult<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    Ok((folder, data))
}

/// Returns the storage options of a server without a data folder: in memory, or the DynamoDB endpoint that the tests
/// use.
fn nowhere() -> Vec<String> {
    #[expect(clippy::disallowed_methods, reason = "which engine the tests run on is told from outside")]
    match std::env::var("CRM_ACCESS_TEST_DYNAMODB") {
        Ok(url) => {
            let table = format!("test-{}", uuid::Uuid::now_v7());
            vec!["--dynamodb-endpoint".into(), url, "--table".into(), table]
        }
        Err(_) => vec!["--in-memory".into()],
    }
}

fn strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

#[test]
fn a_server_answers_and_ends_on_a_signal() -> TestResult {
    for signal in ["TERM", "INT"] {
        let engine = nowhere();
        let server = Server::start(&[&strs(&engine)[..], &["--import", DOCUMENTS]].concat())?;
        let [loaded] = &server.printed[..] else { return Err(format!("{:?}", server.printed).into()) };
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
fn what_is_in_a_folder_stays_between_runs() -> TestResult {
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
fn a_bad_line_stops_the_import_and_says_which() -> TestResult {
    let (folder, data) = folder()?;
    let file = folder.path().join("contacts.ndjson");
    let contact = |id: i32| json!({"contact": {"id": id, "Created": "2020-12-08"}}).to_string();
    let portal = json!({"portal": {"Id": "acme"}}).to_string();
    for (bad, reason) in [
        ("{\"contact\":{\"id\":3}}".to_owned(), "Created is required"),
        (contact(0), "whole number from 1 to 2147483647"),
        (json!({"contact": {"id": 3, "Created": "2020-12-08", "Tag": []}}).to_string(), "unknown field `Tag`"),
        (
            json!({"contact": {"id": 3, "Created": "2020-12-08", "ContactStatus": {"id": 9}}}).to_string(),
            "ContactStatus 9",
        ),
        ("{\"contact\":".to_owned(), "EOF"),
        ("contact".to_owned(), "expected value"),
        (format!("[{}]", contact(3)), "write each of its values as a line of its own"),
        (json!({"portal": {"Id": "acme", "TimeZone": "Etc/Unknown"}}).to_string(), "stands for no zone"),
        (
            json!({"contact": {"id": 3, "Created": "2020-12-08", "Tags": ["a\0"]}}).to_string(),
            "control character U+0000",
        ),
        (format!("{{\"contact\":\"{}\"}}", "a".repeat(1 << 20)), "the line is too long"),
    ] {
        // The empty line is not loaded, but counts in line numbers.
        let lines = [&portal, &contact(1), "", &contact(2), &bad, &contact(4)].join("\n");
        fs::write(&file, lines)?;
        let words = [text(&file)?, "line 5:", reason, "The 3 lines before it were loaded"];
        check_failure(&["import", "--data-dir", text(&data)?, text(&file)?], &words)?;
    }
    fs::write(&file, [portal, contact(1), contact(2), contact(4)].join("\n"))?;
    let loaded = succeed(&["import", "--data-dir", text(&data)?, text(&file)?])?;
    assert!(loaded.contains("contacts: 1 added, 0 replaced, 2 unchanged"), "{loaded}");
    Ok(())
}

#[test]
fn a_file_that_cannot_be_read_is_named() -> TestResult {
    let (folder, data) = folder()?;
    let missing = folder.path().join("missing.ndjson");
    check_failure(&["import", "--data-dir", text(&data)?, text(&missing)?], &[text(&missing)?, "cannot be read"])?;
    let args = ["serve", "--port", "0", "--in-memory", "--import", text(&missing)?];
    check_failure(&args, &[text(&missing)?, "cannot be read"])
}

#[test]
fn a_token_works_at_once_and_is_refused_at_once() -> TestResult {
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
    assert_eq!(list()?.lines().count(), 1);
    check_failure(&[&["token", "revoke", hash][..], &table[..]].concat(), &["no such token", "token list"])?;
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
    assert_eq!(listed.lines().filter(|line| line.ends_with("  revoked")).count(), 6, "{listed}");

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
fn memory_stays_bounded_however_many_sign_in_at_once() -> TestResult {
    let (folder, _) = folder()?;
    let hash = run_with(&["user", "hash"], b"open sesame\n")?;
    let hash = stdout(&hash).trim().to_owned();
    // The parameters that RFC 9106 recommends for little memory, and that other services therefore use.
    let dear = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";
    let user = |number: usize, name: &str, hash: &str| {
        let id = uuid::Uuid::now_v7();
        json!({"user": {"Id": id, "Email": format!("{name}{number}@example.com"), "PasswordHash": hash}})
    };
    let mut lines = vec![json!({"portal": {"Id": "acme"}})];
    lines.extend((0..AT_ONCE).map(|number| user(number, "user", &hash)));
    lines.extend((0..AT_ONCE).map(|number| user(number, "dear", dear)));
    let file = folder.path().join("users.ndjson");
    fs::write(&file, lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
    let server = Server::start(&["--in-memory", "--import", text(&file)?])?;
    let at_rest = kilobytes(server.pid, "VmRSS")?;

    let users = |round: usize, name: &str| -> Vec<String> {
        (0..AT_ONCE)
            .map(|number| format!("{name}{}@example.com", number + round * usize::from(name == "nobody")))
            .collect()
    };
    for (names, most_kilobytes) in [(&["user", "nobody"][..], 60_000), (&["dear"], 64 * 1024 + 30_000)] {
        for round in 0..3 {
            for name in names {
                let statuses = sign_in_at_once(server.port, &users(round * AT_ONCE, name))?;
                assert_eq!(statuses.values().sum::<usize>(), AT_ONCE);
                assert!(statuses.keys().all(|status| [401, 429, 503].contains(status)), "{statuses:?}");
            }
        }
        let more = kilobytes(server.pid, "VmHWM")?.saturating_sub(at_rest);
        assert!(more <= most_kilobytes, "{names:?}: {more} kB more than the {at_rest} kB at rest");
    }
    // The memory for an expensive hash is freed.
    let more = kilobytes(server.pid, "VmRSS")?.saturating_sub(at_rest);
    assert!(more <= 60_000, "{more} kB more than the {at_rest} kB at rest");
    Ok(())
}

#[test]
fn a_token_is_made_only_for_a_user_of_a_portal() -> TestResult {
    let (_folder, data) = folder()?;
    let create = |portal: &'static str, user: &'static str, expires: &'static str| {
        let table = ["--data-dir", text(&data)?, "--scope", "write", "--expires", expires];
        TestResult::Ok([&["token", "create", "--portal", portal, "--user", user][..], &table[..]].concat())
    };
    check_failure(&create("acme", MIKE, "2100-01-01")?, &["there is no portal acme"])?;
    succeed(&["import", "--data-dir", text(&data)?, DOCUMENTS])?;
    let nobody = "11111111-1111-1111-1111-111111111111";
    check_failure(&create("acme", nobody, "2100-01-01")?, &["portal acme has no user", nobody])?;
    check_failure(&create("acme", MIKE, "soon")?, &["--expires", "must be a date"])?;

    let server = Server::start(&["--data-dir", text(&data)?])?;
    for (expires, status) in [("2100-01-01", 200), ("2020-01-01", 401)] {
        let token = succeed(&create("acme", MIKE, expires)?)?;
        assert_eq!(server.put("1234/access", token.trim(), &make_private())?.status, status, "until {expires}");
    }
    // A day ends at midnight in the portal's time zone, Riga's.
    let listed = succeed(&["token", "list", "--portal", "acme", "--data-dir", text(&data)?])?;
    assert!(listed.contains("expires 2100-01-01T21:59:59Z"), "{listed}");
    Ok(())
}

/// Writes an import file that gives the portal's user an e-mail address.
fn with_email(folder: &TempDir, user: &Value) -> TestResult<PathBuf> {
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
fn a_hash_goes_into_an_import_file() -> TestResult {
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

#[test]
fn a_port_that_is_taken_is_named() -> TestResult {
    let taken = TcpListener::bind(("127.0.0.1", 0))?;
    let port = taken.local_addr()?.port().to_string();
    check_failure(&["serve", "--in-memory", "--port", &port], &[&format!("port {port}"), "--port"])
}

#[test]
fn a_table_is_loaded_through_its_endpoint() -> TestResult {
    let server = Server::start(&["--in-memory", "--dynamodb-port", "0"])?;
    let DynamoDb { url, table, access_key } = server.dynamodb()?;
    assert_eq!(server.put("1234/access", ADMIN, &make_private())?.status, 401);
    let import = |access_key: &str| {
        let args = ["import", "--dynamodb-endpoint", &url, "--table", &table, DOCUMENTS];
        let environment = [("AWS_ACCESS_KEY_ID", access_key), ("AWS_SECRET_ACCESS_KEY", "any")];
        Command::new(PROGRAM).args(args).envs(environment).output()
    };
    assert!(!import("another")?.status.success());
    assert_eq!(server.put("1234/access", ADMIN, &make_private())?.status, 401);
    let imported = import(&access_key)?;
    assert!(imported.status.success(), "{}", stderr(&imported));
    assert_eq!(server.put("1234/access", ADMIN, &make_private())?.status, 200);
    assert_eq!(server.end("TERM")?, Some(0));
    Ok(())
}

/// Starts a server that answers like a DynamoDB without the table, and sends the access key of each request to the
/// channel.
fn dynamodb_without_tables() -> TestResult<(u16, Receiver<String>)> {
    const BODY: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"none"}"#;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    let (sender, keys) = channel();
    thread::spawn(move || -> TestResult {
        for stream in listener.incoming() {
            let mut stream = stream?;
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone()?);
            while reader.read_line(&mut head)? > 2 {}
            let key = head.split_once("Credential=").and_then(|(_, rest)| rest.split('/').next());
            sender.send(key.unwrap_or_default().to_owned())?;
            let length = BODY.len();
            write!(stream, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{BODY}")?;
        }
        Ok(())
    });
    Ok((port, keys))
}

#[test]
fn a_deployed_table_is_reached_with_every_kind_of_profile() -> TestResult {
    let folder = TempDir::new()?;
    let config = folder.path().join("config");
    fs::write(
        &config,
        r#"[profile process]
region = eu-north-1
credential_process = echo '{"Version":1,"AccessKeyId":"AKIDFROMPROCESS","SecretAccessKey":"secret"}'
[profile keys]
region = eu-north-1
aws_access_key_id = AKIDFROMPROFILE
aws_secret_access_key = secret
[profile sso]
region = eu-north-1
sso_session = corporate
sso_account_id = 123456789012
sso_role_name = Operator
[sso-session corporate]
sso_start_url = https://example.awsapps.com/start
sso_region = eu-north-1
[profile login]
region = eu-north-1
login_session = arn:aws:iam::123456789012:user/operator
"#,
    )?;
    // Returns the program's error output and the access keys that signed its calls.
    let run = |profile: &str, args: &[&str]| -> TestResult<(String, Vec<String>)> {
        let (port, keys) = dynamodb_without_tables()?;
        let mut command = Command::new(PROGRAM);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
        command.args(args).args(["--table", "deployed"]).stdin(Stdio::null());
        command.env("AWS_CONFIG_FILE", &config).env("AWS_SHARED_CREDENTIALS_FILE", folder.path().join("none"));
        command.env("HOME", folder.path()).env("AWS_PROFILE", profile).env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("AWS_ENDPOINT_URL_DYNAMODB", format!("http://127.0.0.1:{port}"));
        let output = command.output()?;
        assert_eq!(output.status.code(), Some(1), "{profile}");
        Ok((stderr(&output), keys.try_iter().collect()))
    };
    let file = folder.path().join("portal.ndjson");
    fs::write(&file, json!({"portal": {"Id": "acme"}}).to_string())?;
    let commands = [
        vec!["import", text(&file)?],
        vec!["token", "list", "--portal", "acme"],
        vec!["token", "create", "--portal", "acme", "--user", MIKE, "--scope", "read"],
    ];
    for command in &commands {
        for (profile, key) in [("process", "AKIDFROMPROCESS"), ("keys", "AKIDFROMPROFILE")] {
            let (error, keys) = run(profile, command)?;
            assert!(
                !keys.is_empty() && keys.iter().all(|used| used == key),
                "{command:?}, {profile}: {keys:?}, {error}"
            );
        }
        // Nobody has signed in here, so no call is made. The error names the missing sign-in, not a missing feature of
        // the program.
        for profile in ["sso", "login"] {
            let (error, keys) = run(profile, command)?;
            assert!(keys.is_empty() && !error.contains("cargo feature"), "{command:?}, {profile}: {keys:?}, {error}");
        }
    }
    Ok(())
}

#[test]
fn the_sample_is_a_portal_that_loads() -> TestResult {
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

/// Splits a line into words; only single quotes quote.
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
    let server = Server::start(&[&strs(&engine)[..], &["--demo"]].concat())?;
    let tokens: Vec<&str> = server
        .printed
        .iter()
        .filter(|line| line.contains("token"))
        .filter_map(|line| line.split(' ').find(|word| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit())))
        .collect();
    let [administrator, employee] = tokens[..] else { return Err(format!("{:?}", server.printed).into()) };
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
fn answers_of_the_service_load_as_they_are() -> TestResult {
    const TOKEN: &str = "a-token-of-the-portal-that-is-loaded-again";
    let demo = Server::start(&["--in-memory", "--demo"])?;
    let is_token = |word: &&str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let token = demo.printed.iter().find_map(|line| line.split(' ').find(is_token)).ok_or("no token")?.to_owned();
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

#[test]
fn wrong_arguments_are_explained() -> TestResult {
    for args in [
        &["serve", "--in-memory", "--data-dir", "x"][..],
        &["serve", "--port", "65536"],
        &["import"],
        &["token", "create", "--portal", "acme", "--user", "mike", "--scope", "write"],
        &["token", "create", "--portal", "acme", "--user", MIKE, "--scope", "delete"],
        &["token", "revoke"],
        &["token", "revoke", "--user", MIKE],
        &["token", "revoke", "--portal", "acme"],
        &["token", "revoke", "--portal", "acme", "--user", MIKE, "-"],
        &["token", "create", "--portal", "ACME!", "--user", MIKE, "--scope", "write"],
        &["user", "password", "--portal", "acme", "--user", "mike"],
        &["user", "password", "--portal", "acme", "--user", MIKE, "open sesame"],
    ] {
        let output = run(args)?;
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains("--help"), "{args:?}: {}", stderr(&output));
    }
    for args in [&["--help"][..], &["--version"], &["serve", "--help"]] {
        assert!(run(args)?.status.success(), "{args:?}");
    }
    Ok(())
}
