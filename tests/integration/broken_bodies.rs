//! An incomplete request changes nothing. The tests use a real connection to the served router.

use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use lambda_http::http::Request;
use serde_json::{Value, json};
use tests::World;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

use crate::portal::{ADA, ADA_TOKEN, MIKE, access, acme, contact, job, lines, signing_in};

/// The way in which a client ends its side of the connection after sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Shuts down its sending side and still reads.
    Fin,
    /// Resets the connection.
    Rst,
    /// Keeps the connection open and reads.
    Open,
}

/// Sends bytes over a new connection, ends the connection, and waits until the server has handled it. Returns the part
/// of the answer that the client has read.
async fn exchange(world: &World, sent: &[u8], end: End) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let router = local::router::router(&world.app);
    let service =
        hyper::service::service_fn(move |request: Request<Incoming>| router.clone().oneshot(request.map(Body::new)));
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service);
    let client = async {
        client.write_all(sent).await.unwrap();
        match end {
            End::Rst => {
                client.set_zero_linger().unwrap();
                return String::new();
            }
            End::Fin => client.shutdown().await.unwrap(),
            End::Open => {}
        }
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        drop(client);
        String::from_utf8(answer).unwrap()
    };
    // A broken connection is an error of the server. The test checks only the answer and the changes.
    let (_, answer) = tokio::join!(connection, client);
    answer
}

struct Call {
    method: &'static str,
    path: String,
    content_type: &'static str,
    body: String,
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const EMAIL: &str = "mike@example.com";
const PASSWORD: &str = "mikes own password";

impl Call {
    fn head(&self, framing: &str) -> String {
        let Self { method, path, content_type, .. } = self;
        format!(
            "{method} /api/2.0/{path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {ADA_TOKEN}\r\n\
             connection: close\r\ncontent-type: {content_type}\r\n{framing}\r\n\r\n"
        )
    }

    /// Returns the request cut after `bytes` of its body. The request declares the full length of the body.
    fn cut(&self, bytes: usize) -> Vec<u8> {
        let head = self.head(&format!("content-length: {}", self.body.len()));
        [head.as_bytes(), &self.body.as_bytes()[..bytes]].concat()
    }

    /// Returns the request with these chunks.
    fn chunked(&self, chunks: &str) -> Vec<u8> {
        (self.head("transfer-encoding: chunked") + chunks).into_bytes()
    }

    /// Returns the request with its body cut or malformed in every way.
    fn broken(&self) -> Vec<(String, Vec<u8>, End)> {
        let Self { body, .. } = self;
        let full_length = body.len();
        let mut ways = Vec::new();
        for cut in [0, full_length / 2, full_length - 1] {
            for end in [End::Fin, End::Rst] {
                ways.push((format!("{cut} of {full_length} bytes"), self.cut(cut), end));
            }
        }
        // A form cut before one of its fields is still a valid form.
        for (cut, _) in body.match_indices('&').filter(|_| self.content_type == FORM) {
            ways.push((format!("form up to byte {cut}"), self.cut(cut), End::Fin));
        }
        let longer = self.head(&format!("content-length: {}", full_length + 1)) + body;
        ways.push(("a longer Content-Length".into(), longer.clone().into_bytes(), End::Fin));
        ways.push(("a longer Content-Length".into(), longer.into_bytes(), End::Rst));
        for (what, chunks, ends) in [
            ("no last chunk", format!("{full_length:x}\r\n{body}\r\n"), &[End::Fin, End::Rst][..]),
            ("a chunk that ends early", format!("{:x}\r\n{body}", full_length + 1), &[End::Fin, End::Rst]),
            ("a size that is no number", format!("{full_length:x}\r\n{body}\r\nzz\r\n"), &[End::Fin, End::Open]),
            (
                "a chunk longer than its size",
                format!("{:x}\r\n{body}\r\n0\r\n\r\n", full_length - 1),
                &[End::Fin, End::Open],
            ),
        ] {
            ways.extend(ends.iter().map(|end| (what.to_owned(), self.chunked(&chunks), *end)));
        }
        ways
    }
}

/// Returns the state that the calls could change.
async fn state(world: &World) -> Value {
    let portal = crate::portal::id("acme");
    let jobs = world.jobs_of(&portal, None).await.unwrap();
    let rules = world.rules_of(&portal).await.unwrap();
    let tokens = world.store.tokens(&portal).await.unwrap();
    json!({
        "access": format!("{:?}", access(world, "acme", 1..=3).await),
        "jobs": format!("{jobs:?}"),
        "rules": format!("{rules:?}"),
        "tokens": tokens.len(),
        "queue": format!("{:?}", world.queue.waiting()),
    })
}

async fn scene() -> (World, Vec<Call>) {
    let mut values = acme();
    values.push(signing_in(MIKE, "Mike", false, EMAIL, PASSWORD));
    values.extend((1..=3).map(|id| contact(id, json!({"Tags": ["vip"]}))));
    let world = World::with(&lines(values)).await.unwrap();
    let rule = json!({"filter": {"tags": ["vip"]}, "target": {"isPrivate": true}, "cron": "0 2 29 2 *"}).to_string();
    let reply = world.access_with("PUT", "rules/nightly", ADA_TOKEN, &rule, &[]).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    let reply = world.put("3/access", ADA_TOKEN, &json!({"isShared": false, "managerList": [ADA]})).await.unwrap();
    let done = job(&reply).unwrap();
    let waits = [("prefer", "respond-async")];
    let body = json!({"tags": ["none"], "isPrivate": true}).to_string();
    let waiting = job(&world.put_with("filter/access", ADA_TOKEN, &body, &waits).await.unwrap()).unwrap();
    let call = |method, path: &str, content_type, body: String| Call { method, path: path.into(), content_type, body };
    let calls = vec![
        call("PUT", "crm/contact/1/access", JSON, json!({"isShared": false, "managerList": [MIKE]}).to_string()),
        call("PUT", "crm/contact/1/access.json", FORM, format!("isShared=false&managerList[]={MIKE}")),
        call("PUT", "crm/contact/access", JSON, json!({"contactid": [1, 2], "isShared": false}).to_string()),
        call("PUT", "crm/contact/access.json", FORM, "isShared=false&contactid=1&contactid=2".into()),
        call("PUT", "crm/contact/filter/access", JSON, json!({"isPrivate": true, "tags": ["none"]}).to_string()),
        call("PUT", "crm/contact/filter/access.json", FORM, format!("isPrivate=true&managerList[]={MIKE}&tags[]=none")),
        call("PUT", "crm/access/rules/nightly", JSON, rule.replace("vip", "gone")),
        call("PUT", "crm/access/rules/new.json", FORM, "target[isPrivate]=true&cron=0 2 * * *&filter[tags]=vip".into()),
        call("POST", &format!("crm/access/jobs/{done}/undo"), JSON, "{ }".into()),
        call("POST", &format!("crm/access/jobs/{waiting}/cancel.json"), FORM, "    ".into()),
        call("DELETE", "crm/access/rules/nightly", JSON, "{  }".into()),
        call("GET", "crm/contact/filter", JSON, "{}".into()),
        call("POST", "authentication", JSON, json!({"userName": EMAIL, "password": PASSWORD}).to_string()),
        call("POST", "authentication.json", FORM, format!("userName={EMAIL}&password={PASSWORD}&portal=acme")),
    ];
    (world, calls)
}

#[tokio::test]
async fn incomplete_body_changes_nothing_and_is_answered_400() {
    let (world, calls) = scene().await;
    let before = state(&world).await;
    for call in &calls {
        for (way, sent, end) in call.broken() {
            let answer = exchange(&world, &sent, end).await;
            let what = format!("{} {} with {way}, {end:?}: {answer}", call.method, call.path);
            assert_eq!(state(&world).await, before, "{what}");
            if end != End::Rst {
                assert!(answer.starts_with("HTTP/1.1 400 "), "{what}");
                assert!(answer.contains("\"type\":\"invalid-request\"") && answer.contains("x-request-id:"), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn complete_bodies_are_accepted() {
    let (_, calls) = scene().await;
    for (i, _) in calls.iter().enumerate() {
        for chunked in [true, false] {
            let (world, calls) = scene().await;
            let (call, before) = (&calls[i], state(&world).await);
            let full_length = call.body.len();
            let sent = match chunked {
                true => call.chunked(&format!(
                    "1\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
                    &call.body[..1],
                    full_length - 1,
                    &call.body[1..]
                )),
                false => call.cut(full_length),
            };
            let answer = exchange(&world, &sent, End::Open).await;
            let what = format!("{} {}: {answer}", call.method, call.path);
            if call.method == "GET" {
                assert!(answer.starts_with("HTTP/1.1 400 "), "{what}");
            } else {
                assert!(answer.starts_with("HTTP/1.1 2"), "{what}");
                assert!(state(&world).await != before || call.path.contains("filter/access"), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn body_of_another_length_than_declared_is_refused() {
    let (world, calls) = scene().await;
    let before = state(&world).await;
    for call in &calls {
        let length = call.body.len();
        for declared in [
            format!("{}", length + 1),
            format!("{}", length - 1),
            "0".into(),
            "-1".into(),
            format!("+{length}"),
            "ten".into(),
            String::new(),
            format!("{length}, {}", length + 1),
        ] {
            let path = format!("/api/2.0/{}", call.path);
            let headers = [("content-type", call.content_type), ("content-length", declared.as_str())];
            let reply = world.call(call.method, &path, ADA_TOKEN, &headers, &call.body).await.unwrap();
            assert_eq!(reply.status, 400, "{} {path}, {declared:?}: {}", call.method, reply.text);
            assert!(reply.text.contains("Content-Length"), "{}", reply.text);
        }
    }
    assert_eq!(state(&world).await, before);
}
