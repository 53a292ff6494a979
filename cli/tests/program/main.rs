//! The program as its users see it: processes, their output and exit codes, and HTTP over a real socket.

mod closed_door;
mod ending;
mod endpoints;
mod links;
mod loading;
mod one_filter;
mod passwords;
mod previews;
mod quiet_log;
mod samples;
mod schema;
mod tokens;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

type TestResult<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const PROGRAM: &str = env!("CARGO_BIN_EXE_crm-access");
/// The timeout for a process.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The pause between two looks at a job. Polls without a pause would take the processor from the job.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
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

/// Calls `look` until it returns a value, and returns the value. `what` describes the value in the error.
fn until<T>(what: &str, mut look: impl FnMut() -> TestResult<Option<T>>) -> TestResult<T> {
    // No message is ever sent, so each receive lasts for the whole interval.
    let (_sender, pauses) = channel::<()>();
    let begun = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if begun.elapsed() > TIMEOUT {
            return Err(format!("waited {TIMEOUT:?} in vain for {what}").into());
        }
        pauses.recv_timeout(POLL_INTERVAL).unwrap_or(());
    }
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

/// Returns the tokens of the administrator and of the ordinary user that a server with the demo has printed.
fn tokens_of_the_demo(server: &Server) -> TestResult<[&str; 2]> {
    let is_token = |word: &&str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let lines = server.printed.iter().filter(|line| line.contains("token"));
    let tokens: Vec<&str> = lines.filter_map(|line| line.split(' ').find(is_token)).collect();
    tokens.try_into().map_err(|_| format!("{:?}", server.printed).into())
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
            let line = server.lines.recv_timeout(TIMEOUT)?;
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
        ended.recv_timeout(TIMEOUT)?;
        let status = waiting.join().map_err(|_| "the thread that waits panicked")?;
        Ok(status.map_err(|_| "the wait failed")??.code())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // A failed test must leave no running server. A server that has already exited needs no kill.
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
    stream.set_read_timeout(Some(TIMEOUT))?;
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
    #[expect(clippy::disallowed_methods, reason = "the environment names the engine of the tests")]
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
