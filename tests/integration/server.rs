//! What the server does with clients that are slow, many or gone, over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use local::server::{Bounds, Server};
use serde_json::json;
use tests::World;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use crate::portal::{MIKE_TOKEN, access_of, acme_with, contact};

/// Long for what is to come at once, short for whoever waits for a test.
const PATIENCE: Duration = Duration::from_secs(20);
/// A limit that a test waits for.
const SHORT: Duration = Duration::from_millis(300);
const GET: &str = "GET /api/2.0/crm/contact/1 HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Limits that no test waits for.
const LONG: Bounds = Bounds { head: PATIENCE, body: PATIENCE, stall: PATIENCE, connections: 8 };

async fn start(bounds: Bounds) -> (World, Server, SocketAddr) {
    let world = acme_with([contact(1, json!({}))]).await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::start(listener, local::router::router(&world.app), bounds);
    (world, server, address)
}

async fn having_sent(address: SocketAddr, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream
}

/// What a server still sends before it closes a connection.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    // A connection that is reset has nothing more to say.
    let read = timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("the connection stays open");
    read.unwrap_or_default();
    String::from_utf8(text).unwrap()
}

/// The beginning of what a server sends.
async fn first(stream: &mut TcpStream) -> String {
    let mut text = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut text)).await.expect("no answer").unwrap();
    String::from_utf8(text.to_vec()).unwrap()
}

/// A head, with a body of 100 bytes to come.
fn put(headers: &str) -> String {
    format!(
        "PUT /api/2.0/crm/contact/1/access HTTP/1.1\r\nHost: localhost\r\nAuthorization: {MIKE_TOKEN}\r\n\
         Content-Type: application/json\r\n{headers}\r\n"
    )
}

#[tokio::test]
async fn a_slow_or_idle_head_closes_its_connection() {
    let (_world, _server, address) = start(Bounds { head: SHORT, ..LONG }).await;
    let mut idle = having_sent(address, GET).await;
    assert_eq!(first(&mut idle).await, "HTTP/1.1 401");
    let streams = [having_sent(address, "").await, having_sent(address, &GET[..20]).await, idle];
    for stream in streams {
        assert!(!rest(stream).await.contains("HTTP/1.1 2"));
    }
    // A byte now and then keeps no connection either.
    let mut slow = having_sent(address, "GET / HTTP/1.1\r\nX: ").await;
    let begun = Instant::now();
    while slow.write_all(b"x").await.is_ok() {
        assert!(begun.elapsed() < PATIENCE, "the connection stays open");
        // Nothing is read: this waits. A closed connection ends the wait, and the next write fails.
        if timeout(SHORT / 4, slow.read_u8()).await.is_ok_and(|read| read.is_err()) {
            break;
        }
    }
}

#[tokio::test]
async fn a_slow_body_is_answered_with_request_timeout_and_changes_nothing() {
    let (world, _server, address) = start(Bounds { body: SHORT, ..LONG }).await;
    let before = access_of(&world, 1).await;
    for (headers, begun) in [
        ("Content-Length: 100\r\n", "{\"isShared\":false}"),
        ("Content-Length: 100\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", "12\r\n{\"isShared\":false}\r\n"),
        ("Transfer-Encoding: chunked\r\n", ""),
    ] {
        let answer = rest(having_sent(address, &format!("{}{begun}", put(headers))).await).await;
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request-timeout"), "{headers}: {answer}");
    }
    assert_eq!(access_of(&world, 1).await, before);
}

#[tokio::test]
async fn connections_over_the_limit_are_refused_and_the_others_served() {
    let (_world, _server, address) = start(Bounds { connections: 2, ..LONG }).await;
    let mut served = [having_sent(address, GET).await, having_sent(address, GET).await];
    for stream in &mut served {
        assert_eq!(first(stream).await, "HTTP/1.1 401");
    }
    for _ in 0..3 {
        let answer = rest(having_sent(address, GET).await).await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("too-many-connections"), "{answer}");
        assert!(answer.to_ascii_lowercase().contains("\r\nretry-after: "), "{answer}");
    }
    let xml = GET.replace("contact/1", "contact/1.xml");
    assert!(rest(having_sent(address, &xml).await).await.contains("<type>too-many-connections</type>"));
    // One that ends makes room for another.
    drop(served);
    let begun = Instant::now();
    loop {
        let mut stream = having_sent(address, GET).await;
        if first(&mut stream).await == "HTTP/1.1 401" {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "there is no room");
    }
}

#[tokio::test]
async fn a_client_that_takes_no_answer_is_cut_off() {
    let (_world, _server, address) = start(Bounds { stall: SHORT, connections: 1, ..LONG }).await;
    let description = GET.replace("crm/contact/1", "openapi.json");
    // Requests without end, of which no answer is read: at last the server cannot write, and then not read.
    let mut deaf = having_sent(address, "").await;
    let begun = Instant::now();
    while let Ok(Ok(())) = timeout(PATIENCE, deaf.write_all(description.as_bytes())).await {
        assert!(begun.elapsed() < PATIENCE, "the connection stays open");
    }
    assert!(begun.elapsed() < PATIENCE, "the connection stays open");
}

#[tokio::test]
async fn the_end_waits_for_calls_and_for_nothing_else() {
    let (_world, server, address) = start(LONG).await;
    let mut idle = having_sent(address, GET).await;
    assert_eq!(first(&mut idle).await, "HTTP/1.1 401");
    let stalled = having_sent(address, &put("Content-Length: 100\r\n")).await;
    let _partial = having_sent(address, &GET[..20]).await;
    let begun = Instant::now();
    server.stop(3 * SHORT).await;
    assert!(begun.elapsed() >= 3 * SHORT && begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    assert_eq!(rest(stalled).await, "");

    let (_world, server, address) = start(LONG).await;
    let _partial = having_sent(address, &GET[..20]).await;
    let _unread = having_sent(address, "").await;
    server.stop(PATIENCE).await;
    assert!(TcpStream::connect(address).await.is_err());
}
