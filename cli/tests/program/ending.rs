//! The program exits soon after a signal, whatever its clients and workers do.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Server, TIMEOUT, TestResult, folder, request, run_with, stderr, succeed, text, until};

/// The time limit for the exit after a signal.
const END: Duration = Duration::from_secs(5);
/// The contacts of the portal, enough for a job of several pages.
const CONTACTS: u32 = 6000;

/// Opens a connection and sends `sent` on it.
fn connect_and_send(port: u16, sent: &str) -> TestResult<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(sent.as_bytes())?;
    Ok(stream)
}

#[test]
fn open_connections_do_not_delay_the_exit() -> TestResult {
    let server = Server::start(&["--in-memory"])?;
    let head = "POST /api/2.0/authentication HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let unread = connect_and_send(server.port, "")?;
    let partial = connect_and_send(server.port, &head[..head.len() / 2])?;
    let stalled = connect_and_send(server.port, &format!("{head}Content-Length: 100\r\n\r\n{{"))?;
    let chunked = connect_and_send(server.port, &format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\n{{"))?;
    let mut idle = connect_and_send(server.port, "GET /api/2.0/people/@self HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    // The answer has arrived, and the connection stays open.
    assert!(idle.read(&mut [0; 16])? > 0);

    let signalled = Instant::now();
    assert_eq!(server.end("TERM")?, Some(0));
    assert!(signalled.elapsed() < END, "{:?}", signalled.elapsed());
    drop((unread, partial, stalled, chunked, idle));
    Ok(())
}

#[test]
fn running_job_stops_after_its_page_and_resumes_at_the_next_start() -> TestResult {
    let (_folder, data) = folder()?;
    let sample = succeed(&["sample", "--contacts", &CONTACTS.to_string(), "--users", "5", "--shards", "1"])?;
    let loaded = run_with(&["import", "--data-dir", text(&data)?, "-"], sample.as_bytes())?;
    assert!(loaded.status.success(), "{}", stderr(&loaded));
    let lines = sample.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let administrator = lines.iter().find(|line| line["user"]["IsAdmin"] == true).ok_or("no administrator")?;
    let user = administrator["user"]["Id"].as_str().ok_or("no id")?;
    let table = ["--data-dir", text(&data)?];
    let create = ["token", "create", "--portal", "sample", "--user", user, "--scope", "read,write"];
    let token = succeed(&[&create[..], &table[..]].concat())?;
    let headers = [("Authorization", token.trim()), ("Content-Type", "application/json")];

    // One job runs on workers, and one runs synchronously in its call.
    for (prefer, managers) in [("respond-async", json!([user])), ("handling=strict", json!([]))] {
        let server = Server::start(&table)?;
        let body = json!({"isPrivate": true, "managerList": managers}).to_string();
        let path = "/api/2.0/crm/contact/filter/access?count=1";
        let port = server.port;
        let mut call = TcpStream::connect(("127.0.0.1", port))?;
        call.set_read_timeout(Some(TIMEOUT))?;
        write!(
            call,
            "PUT {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nPrefer: {prefer}\r\nAuthorization: {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            token.trim(),
            body.len()
        )?;
        let jobs = || request(port, "GET", "/api/2.0/crm/access/jobs.json?count=1", &headers, "");
        let state = |reply: super::Reply| TestResult::Ok(reply.json()?["response"][0]["state"].clone());
        // The job is running: its record exists, and the job has not ended.
        until("the start of the job", || Ok((state(jobs()?)? == "running").then_some(())))?;
        let signalled = Instant::now();
        assert_eq!(server.end("TERM")?, Some(0));
        assert!(signalled.elapsed() < END, "{prefer}: {:?}", signalled.elapsed());
        let mut answer = String::new();
        call.read_to_string(&mut answer)?;
        assert!(answer.starts_with("HTTP/1.1 202"), "{prefer}: {answer}");

        let server = Server::start(&table)?;
        let jobs = || request(server.port, "GET", "/api/2.0/crm/access/jobs.json?count=1", &headers, "");
        until("the end of the job", || Ok((state(jobs()?)? == "done").then_some(())))?;
        let job = jobs()?.json()?["response"][0].clone();
        let counts = ["updated", "unchanged", "failed"].map(|name| job[name].as_u64().unwrap_or_default());
        assert_eq!((counts[0] + counts[1], counts[2]), (u64::from(CONTACTS), 0), "{prefer}: {job}");
        assert_eq!(server.end("TERM")?, Some(0));
    }
    Ok(())
}
