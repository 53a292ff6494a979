//! `crm-access token`.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use models::directory::{Grant, Portal, Scope};
use models::limits::MAX_TOKEN_CHARS;
use models::values::id::{PortalId, UserId};
use models::values::timestamp::{Edge, Timestamp};
use store::Store;
use store::tokens::new_token;

use crate::CommandError;
use crate::args::{TokenCommand, TokenCreateArgs, TokenListArgs, TokenRevokeArgs, UserName};
use crate::table::{Table, now};
use crate::terminal::say;
use crate::user::find;

/// The maximum bytes of a line with a token, which leaves room for white space.
const MAX_TOKEN_LINE_BYTES: u64 = 2 * MAX_TOKEN_CHARS as u64;

pub(crate) async fn run(command: TokenCommand) -> Result<(), CommandError> {
    match command {
        TokenCommand::Create(args) => create(args).await,
        TokenCommand::List(args) => list(args).await,
        TokenCommand::Revoke(args) => revoke(args).await,
    }
}

/// Creates a token for an existing user.
pub(crate) async fn make(
    store: &Store,
    portal: &PortalId,
    user: UserId,
    scopes: Vec<Scope>,
    expires: Option<Timestamp>,
) -> Result<String, CommandError> {
    let known = store.user(portal, user).await?;
    let known =
        known.ok_or_else(|| format!("portal {portal} has no user {user}; load it with `crm-access import` first"))?;
    let (token, valid_from) = (new_token()?, known.tokens_valid_from);
    store.add_token(&token, &Grant { portal: portal.clone(), user, scopes, expires, valid_from }).await?;
    Ok(token)
}

async fn create(args: TokenCreateArgs) -> Result<(), CommandError> {
    let table = Table::of_command(&args.table).await?;
    let portal = existing_portal(&table, &args.portal).await?;
    let expires = args.expires.map(|text| Timestamp::parse_edge(&text, Edge::To, &portal.time_zone));
    let expires = expires.transpose().map_err(|fault| format!("--expires {fault}"))?;
    if let Some(past) = expires.filter(|expires| *expires <= now()) {
        return Err(format!("--expires must be in the future; it is {}", past.to_jiff()).into());
    }
    let token = make(&table.store, &portal.id, args.user, args.scopes, expires).await?;
    say(token)?;
    table.close();
    Ok(())
}

/// Returns a portal, which must exist.
async fn existing_portal(table: &Table, id: &PortalId) -> Result<Portal, CommandError> {
    let portal = table.store.portal(id).await?;
    Ok(portal.ok_or_else(|| format!("there is no portal {id}; load it with `crm-access import`"))?)
}

async fn list(args: TokenListArgs) -> Result<(), CommandError> {
    let table = Table::of_command(&args.table).await?;
    existing_portal(&table, &args.portal).await?;
    let tokens = table.store.tokens(&args.portal).await?;
    let users = table.store.users(&args.portal, tokens.iter().map(|token| token.grant.user)).await?;
    for token in tokens {
        let scopes: Vec<&str> = token.grant.scopes.iter().map(|scope| scope.name()).collect();
        let counts = !token.has_ended && users.get(&token.grant.user).is_some_and(|user| user.honours(&token.grant));
        let end = match token.grant.expires {
            _ if !counts => "revoked".into(),
            Some(expires) => format!("expires {}", expires.to_jiff()),
            None => "expires never".into(),
        };
        say(format_args!("{}  {}  {:10}  {end}", token.hash, token.grant.user, scopes.join(",")))?;
    }
    table.close();
    Ok(())
}

async fn revoke(args: TokenRevokeArgs) -> Result<(), CommandError> {
    // Read the token before the table is opened, because the prompt may wait.
    let revoked = match (args.token.as_deref(), args.user, args.portal) {
        (Some("-"), ..) => Revoked::One(read_token()?),
        (Some(token), ..) => Revoked::One(token.to_owned()),
        (None, Some(user), Some(portal)) => Revoked::AllOf(portal, user),
        // The command line already requires a token or a user.
        (None, ..) => return Err("name a token, or a user with --portal and --user".into()),
    };
    let table = Table::of_command(&args.table).await?;
    let done = revoked.revoke(&table.store).await;
    table.close();
    Ok(say(done?)?)
}

/// The tokens to revoke.
enum Revoked {
    One(String),
    AllOf(PortalId, UserName),
}

impl Revoked {
    /// Revokes the tokens, and returns a message for the operator.
    async fn revoke(self, store: &Store) -> Result<String, CommandError> {
        match self {
            Self::One(token) => match store.revoke_token(&token).await? {
                true => Ok("revoked".into()),
                false => Err("there is no such token; `crm-access token list` lists the tokens of a portal".into()),
            },
            Self::AllOf(portal, name) => {
                let user = find(store, &portal, &name).await?;
                match store.end_tokens(&portal, user.employee.id, now()).await? {
                    Some(_) => Ok(format!("every token of user {name} is revoked")),
                    None => Err(format!("user {name} was removed meanwhile, and its tokens with it").into()),
                }
            }
        }
    }
}

/// Reads a token from a prompt, or from the first line of standard input.
fn read_token() -> Result<String, CommandError> {
    if io::stdin().is_terminal() {
        return Ok(rpassword::prompt_password("Token: ")?.trim().to_owned());
    }
    let mut line = String::new();
    io::stdin().lock().take(MAX_TOKEN_LINE_BYTES).read_line(&mut line)?;
    match line.trim() {
        "" => Err("standard input holds no token".into()),
        token => Ok(token.to_owned()),
    }
}
