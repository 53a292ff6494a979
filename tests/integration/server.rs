//! The server with slow, numerous or vanished clients, over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use local::server::{Bounds, Server};
use models::limits::SERVER_HEAD_BYTES;
use serde_json::json;
use tests::World;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use crate::portal::{MIKE_TOKEN, access_of, acme_with, contact};

/// The timeout for events that should happen without delay.
const TIMEOUT: Duration = Duration::from_secs(20);
/// A limit that a test waits for.
const SHORT: Duration = Duration::from_millis(300);
const GET: &str = "GET /api/2.0/crm/contact/1 HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Limits that no test reaches.
const LONG: Bounds = Bounds { head: TIMEOUT, body: TIMEOUT, stall: TIMEOUT, connections: 8 };

async fn start(bounds: Bounds) -> (World, Server, SocketAddr) {
    let world = acme_with([contact(1, json!({}))]).await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::start(listener, local::router::router(&world.app), bounds);
    (world, server, address)
}

async fn connect_and_send(address: SocketAddr, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream
}

/// Returns everything a server sends before it closes the connection.
async fn read_all(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    // A reset connection sends nothing more.
    let read = timeout(TIMEOUT, stream.read_to_end(&mut text)).await.expect("the connection stays open");
    read.unwrap_or_default();
    String::from_utf8(text).unwrap()
}

/// Returns the first bytes that a server sends.
async fn first(stream: &mut TcpStream) -> String {
    let mut text = [0; 12];
    timeout(TIMEOUT, stream.read_exact(&mut text)).await.expect("no answer").unwrap();
    String::from_utf8(text.to_vec()).unwrap()
}

/// Returns the head of a `PUT` request.
fn put(headers: &str) -> String {
    format!(
        "PUT /api/2.0/crm/contact/1/access HTTP/1.1\r\nHost: localhost\r\nAuthorization: {MIKE_TOKEN}\r\n\
         Content-Type: application/json\r\n{headers}\r\n"
    )
}

#[tokio::test]
async fn slow_or_idle_head_closes_its_connection() {
    let (_world, _server, address) = start(Bounds { head: SHORT, ..LONG }).await;
    let mut idle = connect_and_send(address, GET).await;
    assert_eq!(first(&mut idle).await, "HTTP/1.1 401");
    let streams = [connect_and_send(address, "").await, connect_and_send(address, &GET[..20]).await, idle];
    for stream in streams {
        assert!(!read_all(stream).await.contains("HTTP/1.1 2"));
    }
    // An occasional byte does not keep the connection open.
    let mut slow = connect_and_send(address, "GET / HTTP/1.1\r\nX: ").await;
    let begun = Instant::now();
    while slow.write_all(b"x").await.is_ok() {
        assert!(begun.elapsed() < TIMEOUT, "the connection stays open");
        // The server sends nothing: the read is a pause. A closed connection ends the pause, and the next write fails.
        if timeout(SHORT / 4, slow.read_u8()).await.is_ok_and(|read| read.is_err()) {
            break;
        }
    }
}

#[tokio::test]
async fn slow_body_gets_request_timeout_and_changes_nothing() {
    let (world, _server, address) = start(Bounds { body: SHORT, ..LONG }).await;
    let before = access_of(&world, 1).await;
    for (headers, begun) in [
        ("Content-Length: 100\r\n", "{\"isShared\":false}"),
        ("Content-Length: 100\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", "12\r\n{\"isShared\":false}\r\n"),
        ("Transfer-Encoding: chunked\r\n", ""),
    ] {
        let answer = read_all(connect_and_send(address, &format!("{}{begun}", put(headers))).await).await;
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request-timeout"), "{headers}: {answer}");
    }
    assert_eq!(access_of(&world, 1).await, before);
}

#[tokio::test]
async fn connections_over_the_limit_are_refused() {
    let (_world, _server, address) = start(Bounds { connections: 2, ..LONG }).await;
    let mut served = [connect_and_send(address, GET).await, connect_and_send(address, GET).await];
    for stream in &mut served {
        assert_eq!(first(stream).await, "HTTP/1.1 401");
    }
    for _ in 0..3 {
        let answer = read_all(connect_and_send(address, GET).await).await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("too-many-connections"), "{answer}");
        assert!(answer.to_ascii_lowercase().contains("\r\nretry-after: "), "{answer}");
    }
    let xml = GET.replace("contact/1", "contact/1.xml");
    assert!(read_all(connect_and_send(address, &xml).await).await.contains("<type>too-many-connections</type>"));
    // An ended connection frees its slot.
    drop(served);
    let begun = Instant::now();
    loop {
        let mut stream = connect_and_send(address, GET).await;
        if first(&mut stream).await == "HTTP/1.1 401" {
            return;
        }
        assert!(begun.elapsed() < TIMEOUT, "there is no room");
    }
}

#[tokio::test]
async fn client_that_reads_no_answers_is_disconnected() {
    let (_world, _server, address) = start(Bounds { stall: SHORT, connections: 1, ..LONG }).await;
    let description = GET.replace("crm/contact/1", "openapi.json");
    // The client sends requests and reads no answers, until the server can no longer write and stops reading.
    let mut client_without_reads = connect_and_send(address, "").await;
    let begun = Instant::now();
    while let Ok(Ok(())) = timeout(TIMEOUT, client_without_reads.write_all(description.as_bytes())).await {
        assert!(begun.elapsed() < TIMEOUT, "the connection stays open");
    }
    assert!(begun.elapsed() < TIMEOUT, "the connection stays open");
}

#[tokio::test]
async fn shutdown_waits_only_for_running_calls() {
    let (_world, server, address) = start(LONG).await;
    let mut idle = connect_and_send(address, GET).await;
    assert_eq!(first(&mut idle).await, "HTTP/1.1 401");
    let stalled = connect_and_send(address, &put("Content-Length: 100\r\n")).await;
    let _partial = connect_and_send(address, &GET[..20]).await;
    let begun = Instant::now();
    server.stop(3 * SHORT).await;
    assert!(begun.elapsed() >= 3 * SHORT && begun.elapsed() < TIMEOUT, "{:?}", begun.elapsed());
    assert_eq!(read_all(stalled).await, "");

    let (_world, server, address) = start(LONG).await;
    let _partial = connect_and_send(address, &GET[..20]).await;
    let _unread = connect_and_send(address, "").await;
    server.stop(TIMEOUT).await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn head_that_hyper_refuses_is_answered_with_a_message_and_an_identifier() {
    let (_world, _server, address) = start(LONG).await;
    let long =
        format!("GET /api/2.0/crm/contact/filter?tags={} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(70_000));
    let with_bytes = |bytes: usize| {
        let start = GET.replace("\r\n\r\n", "\r\nx: ");
        format!("{start}{}\r\n\r\n", "a".repeat(bytes - start.len() - 4))
    };
    let (longest, longer) = (with_bytes(SERVER_HEAD_BYTES), with_bytes(SERVER_HEAD_BYTES + 1));
    let longest = first(&mut connect_and_send(address, &longest).await).await;
    assert_eq!(longest, "HTTP/1.1 401");
    let headers: String = (0..120).map(|number| format!("x-{number}: 1\r\n")).collect();
    let many = format!("GET /api/2.0/crm/contact/1 HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    let unencoded = GET.replace("contact/1", "contact/filter?tags=[\"Germany\"]");
    let malformed = GET.replace("Host:", "Host");
    for (sent, status, kind, word) in [
        (unencoded.as_str(), 400, "invalid-request", "%22"),
        (malformed.as_str(), 400, "invalid-request", "HTTP/1.1"),
        (long.as_str(), 431, "head-too-long", "65536 bytes"),
        (longer.as_str(), 431, "head-too-long", "65536 bytes"),
        (many.as_str(), 431, "head-too-long", "headers"),
    ] {
        let answer = read_all(connect_and_send(address, sent).await).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        let header = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect::<Vec<_>>()
        };
        assert_eq!(header("x-request-id"), [body["error"]["requestId"].as_str().unwrap()], "{head}");
        assert_eq!(header("connection"), ["close"], "{head}");
        assert_eq!((&body["statusCode"], &body["error"]["type"]), (&json!(status), &json!(kind)), "{body}");
        assert!(body["error"]["message"].as_str().unwrap().contains(word), "{body}");
    }
}
