//! Arguments, ports, and tables at other endpoints.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::{fs, thread};

use serde_json::json;
use tempfile::TempDir;

use super::{
    ADMIN, DOCUMENTS, DynamoDb, MIKE, PROGRAM, Server, TestResult, check_failure, make_private, run, stderr, text,
};

#[test]
fn error_names_a_port_in_use() -> TestResult {
    let occupied = TcpListener::bind(("127.0.0.1", 0))?;
    let port = occupied.local_addr()?.port().to_string();
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
    dynamodb(|_| ("400 Bad Request", BODY))
}

/// Starts a server that answers like a DynamoDB, and sends the access key of each request to the channel. `answer` maps
/// the head of a request to the status and the body of its answer.
fn dynamodb(
    answer: impl Fn(&str) -> (&'static str, &'static str) + Send + 'static,
) -> TestResult<(u16, Receiver<String>)> {
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
            let (status, body) = answer(&head);
            let length = body.len();
            write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")?;
        }
        Ok(())
    });
    Ok((port, keys))
}

#[test]
fn server_names_the_operation_that_an_old_engine_lacks() -> TestResult {
    const UNKNOWN: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#UnknownOperationException","message":"?"}"#;
    let (port, _keys) = dynamodb(|head| match head.contains("BatchExecuteStatement") {
        true => ("400 Bad Request", UNKNOWN),
        false => ("200 OK", "{}"),
    })?;
    let url = format!("http://127.0.0.1:{port}");
    check_failure(&["serve", "--dynamodb-endpoint", &url, "--port", "0"], &["BatchExecuteStatement", &url])
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
        // These profiles have no sign-in, so the program makes no call. The error names the missing sign-in, not a
        // missing feature of the program.
        for profile in ["sso", "login"] {
            let (error, keys) = run(profile, command)?;
            assert!(keys.is_empty() && !error.contains("cargo feature"), "{command:?}, {profile}: {keys:?}, {error}");
        }
    }
    Ok(())
}

#[test]
fn wrong_arguments_are_explained() -> TestResult {
    for args in [
        &["serve", "--in-memory", "--data-dir", "x"][..],
        &["serve", "--port", "65536"],
        &["serve", "--log", "warning"],
        &["serve", "--log", "info,store=loud"],
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
