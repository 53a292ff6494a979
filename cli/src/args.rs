//! The command line.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;

use axum::http::HeaderValue;
use clap::{Args as ClapArgs, Parser, Subcommand};
use local::hosts::HostName;
use models::directory::Scope;
use models::limits::MAX_SHARDS;
use models::sign_in::Email;
use models::values::id::{PortalId, UserId};

/// Sets who may see and edit CRM contacts: one contact, or every contact that a filter selects
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serves every function on one port, with an embedded engine or a DynamoDB endpoint
    Serve(ServeArgs),
    /// Loads portals, users, stages, types, contacts and tokens from NDJSON files
    Import(ImportArgs),
    /// Migrates a table of an earlier version to the schema of this version
    Migrate(MigrateArgs),
    /// Changes the number of shards of a portal that has contacts
    Reshard(ReshardArgs),
    /// Creates, lists and revokes tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Sets users' passwords, and hashes passwords for import files
    #[command(subcommand)]
    User(UserCommand),
    /// Prints a link that signs a user in to the web page, once and within ten minutes
    SignInLink(SignInLinkArgs),
    /// Writes a generated portal as NDJSON to standard output, for tests at scale
    Sample(SampleArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ServeArgs {
    /// Port; 0 selects a free port
    #[arg(long, default_value_t = 8092)]
    pub(crate) port: u16,
    /// Address to listen on. At an address that is not loopback, other machines reach the service without encryption:
    /// put a TLS proxy in front of the service
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) bind: IpAddr,
    /// Accepts calls with this name in Host, in addition to loopback names and the address of --bind; repeatable
    #[arg(long = "allow-host", value_name = "NAME")]
    pub(crate) allowed_hosts: Vec<HostName>,
    /// Folder of the embedded engine's file
    #[arg(long, value_name = "DIR", default_value = ".data", conflicts_with_all = ["in_memory", "dynamodb_endpoint"])]
    pub(crate) data_dir: PathBuf,
    /// Keeps all data in memory, so that nothing is left after a run
    #[arg(long, conflicts_with = "dynamodb_endpoint")]
    pub(crate) in_memory: bool,
    /// Loads a file before serving; repeatable
    #[arg(long = "import", value_name = "FILE")]
    pub(crate) imports: Vec<PathBuf>,
    /// Loads the Northwind sample, and prints the tokens and passwords of an administrator and of an ordinary user, and
    /// a link that signs the administrator in to the web page
    #[arg(long)]
    pub(crate) demo: bool,
    /// Prints example calls of the demo for a shell
    #[arg(long, requires = "demo")]
    pub(crate) curl: bool,
    /// Lets pages of this origin, such as http://localhost:3000, call the service and sign users in from a browser;
    /// repeatable
    #[arg(long = "allow-origin", value_name = "ORIGIN", value_parser = origin)]
    pub(crate) allowed_origins: Vec<HeaderValue>,
    /// Uses this DynamoDB endpoint instead of the embedded engine
    #[arg(long, value_name = "URL")]
    pub(crate) dynamodb_endpoint: Option<String>,
    /// Name of the table, which is created if missing
    #[arg(long, value_name = "NAME", default_value = api::config::DEFAULT_TABLE)]
    pub(crate) table: String,
    /// Filter of log lines on standard error: a level, or levels by target such as info,store=debug
    #[arg(long, value_name = "FILTER", default_value = "warn", value_parser = log_filter)]
    pub(crate) log: String,
    /// Opens the embedded engine to other programs on this port of 127.0.0.1 (0 selects a free port), and prints the
    /// access key that they must send
    ///
    /// The engine checks no rights: whoever has the access key reads every contact and password hash, and can write a
    /// token of any user. Keep the key secret, and open the port only while a program needs it. The engine checks the
    /// access key of a request but no signature, and refuses web pages. Without this option the engine has no port.
    #[arg(long, value_name = "PORT", conflicts_with = "dynamodb_endpoint")]
    pub(crate) dynamodb_port: Option<u16>,
}

/// The table of a command.
#[derive(Debug, ClapArgs)]
pub(crate) struct TableArgs {
    /// Folder of the embedded engine's file
    #[arg(long, value_name = "DIR", default_value = ".data", conflicts_with_all = ["table", "dynamodb_endpoint"])]
    pub(crate) data_dir: PathBuf,
    /// Name of a deployed table, accessed with the usual AWS environment
    #[arg(long, value_name = "NAME")]
    pub(crate) table: Option<String>,
    /// DynamoDB endpoint of the table, instead of the endpoint of the AWS environment
    #[arg(long, value_name = "URL")]
    pub(crate) dynamodb_endpoint: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ImportArgs {
    /// NDJSON files; - means standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Replaces the access of existing contacts by a line's ShareType and AccessList
    #[arg(long)]
    pub(crate) overwrite_access: bool,
    #[command(flatten)]
    pub(crate) table: TableArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    pub(crate) table: TableArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ReshardArgs {
    /// The portal
    #[arg(long)]
    pub(crate) portal: PortalId,
    /// The new number of shards
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_SHARDS)))]
    pub(crate) shards: u16,
    #[command(flatten)]
    pub(crate) table: TableArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Creates a token, and prints the token for the only time
    Create(TokenCreateArgs),
    /// Lists a portal's tokens by their SHA-256
    List(TokenListArgs),
    /// Revokes a token, or all tokens of a user
    Revoke(TokenRevokeArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TokenCreateArgs {
    /// The token's portal
    #[arg(long)]
    pub(crate) portal: PortalId,
    /// The user who calls with the token
    #[arg(long)]
    pub(crate) user: UserId,
    /// Scopes of the token: read, write or read,write
    #[arg(long = "scope", value_delimiter = ',', required = true)]
    pub(crate) scopes: Vec<Scope>,
    /// Expiry: a date (the whole day, in the portal's time zone) or a date and time; without it the token never expires
    #[arg(long, value_name = "DATE")]
    pub(crate) expires: Option<String>,
    #[command(flatten)]
    pub(crate) table: TableArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TokenListArgs {
    /// The portal
    #[arg(long)]
    pub(crate) portal: PortalId,
    #[command(flatten)]
    pub(crate) table: TableArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TokenRevokeArgs {
    /// The token, or its SHA-256 as shown by `token list`; - reads it from standard input, which keeps it out of
    /// process lists and the shell history
    #[arg(required_unless_present = "user")]
    pub(crate) token: Option<String>,
    /// Revokes every token of this user instead, by UUID or e-mail address
    #[arg(long, value_name = "UUID|EMAIL", requires = "portal", conflicts_with = "token")]
    pub(crate) user: Option<UserName>,
    /// The user's portal
    #[arg(long, requires = "user")]
    pub(crate) portal: Option<PortalId>,
    #[command(flatten)]
    pub(crate) table: TableArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Sets a user's password, from a prompt or from one line of standard input
    Password(UserPasswordArgs),
    /// Prints the hash of a password for PasswordHash in an import file; reads the password from a prompt or from one
    /// line of standard input
    Hash,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct UserPasswordArgs {
    /// The user's portal
    #[arg(long)]
    pub(crate) portal: PortalId,
    /// The user, by UUID or e-mail address
    #[arg(long, value_name = "UUID|EMAIL")]
    pub(crate) user: UserName,
    #[command(flatten)]
    pub(crate) table: TableArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SignInLinkArgs {
    /// The user's portal
    #[arg(long)]
    pub(crate) portal: PortalId,
    /// The user, by UUID or e-mail address
    #[arg(long, value_name = "UUID|EMAIL")]
    pub(crate) user: UserName,
    /// Address of the service: of `serve`, or ApiUrl of a deployment
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8092", value_parser = base_url)]
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) table: TableArgs,
}

/// A user in an argument of the command line.
#[derive(Clone, Debug)]
pub(crate) enum UserName {
    Id(UserId),
    Email(Email),
}

impl FromStr for UserName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = text.parse::<UserId>().map(Self::Id).ok();
        id.or_else(|| text.parse().map(Self::Email).ok()).ok_or("must be a UUID or an e-mail address")
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Email(email) => email.fmt(f),
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SampleArgs {
    /// Number of contacts
    #[arg(long, default_value_t = 100_000)]
    pub(crate) contacts: i32,
    /// Number of users
    #[arg(long, default_value_t = 100)]
    pub(crate) users: u32,
    /// Number of shards of the portal
    #[arg(long, default_value_t = 4)]
    pub(crate) shards: u16,
    /// The portal's identifier
    #[arg(long, default_value = "sample")]
    pub(crate) portal: PortalId,
    /// Seed of the generated data: equal seeds generate equal files
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// The description of an origin, in messages.
const AN_ORIGIN: &str = "must be a scheme and a host, such as https://crm.example.com or http://localhost:3000";

/// Checks a filter of log lines. A misspelt level would otherwise be read as a target, and hide every line.
fn log_filter(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |part: &str| {
        let level = part.rsplit('=').next().unwrap_or(part);
        LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level))
    };
    match text.split(',').find(|part| !is_level(part)) {
        None => Ok(text.to_owned()),
        Some(part) => Err(format!("\"{part}\" names no level; the levels are {}", LEVELS.join(", "))),
    }
}

/// Parses an origin in the form that browsers send: a scheme, a host, and a port if it is not the scheme's default.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let value = HeaderValue::from_str(text).ok().filter(|_| is_origin(text));
    value.ok_or_else(|| AN_ORIGIN.into())
}

/// Parses the address of a service: an origin, which may end in a slash.
fn base_url(text: &str) -> Result<String, String> {
    let text = text.strip_suffix('/').unwrap_or(text);
    if is_origin(text) { Ok(text.to_owned()) } else { Err(AN_ORIGIN.into()) }
}

fn is_origin(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, host)| {
        let is_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
        matches!(scheme, "http" | "https") && !host.is_empty() && host.bytes().all(is_host)
    })
}
