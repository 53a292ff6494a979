//! `crm-access token`.

use std::io::{self, Write as _};

use models::id::{PortalId, UserId};
use models::moment::{Edge, Moment};
use models::portal::{Grant, Scope};
use store::Store;
use store::tokens::new_token;

use crate::CommandError;
use crate::args::{TokenCommand, TokenCreateArgs, TokenListArgs, TokenRevokeArgs};
use crate::table::Table;

pub(crate) async fn run(command: TokenCommand) -> Result<(), CommandError> {
    match command {
        TokenCommand::Create(args) => create(args).await,
        TokenCommand::List(args) => list(args).await,
        TokenCommand::Revoke(args) => revoke(args).await,
    }
}

/// Makes a token for a user that exists.
pub(crate) async fn make(
    store: &Store,
    portal: &PortalId,
    user: UserId,
    scopes: Vec<Scope>,
    expires: Option<Moment>,
) -> Result<String, CommandError> {
    if store.users(portal, [user]).await?.is_empty() {
        return Err(format!("portal {portal} has no user {user}; load it with `crm-access import` first").into());
    }
    let token = new_token()?;
    store.add_token(&token, &Grant { portal: portal.clone(), user, scopes, expires }).await?;
    Ok(token)
}

async fn create(args: TokenCreateArgs) -> Result<(), CommandError> {
    let table = Table::of_command(&args.table).await?;
    let portal = table.store.portal(&args.portal).await?;
    let portal =
        portal.ok_or_else(|| format!("there is no portal {}; load it with `crm-access import`", args.portal))?;
    let expires = args.expires.map(|text| Moment::parse_edge(&text, Edge::To, &portal.time_zone));
    let expires = expires.transpose().map_err(|fault| format!("--expires {fault}"))?;
    let token = make(&table.store, &portal.id, args.user, args.scopes, expires).await?;
    writeln!(io::stdout(), "{token}")?;
    table.close().await
}

async fn list(args: TokenListArgs) -> Result<(), CommandError> {
    let table = Table::of_command(&args.table).await?;
    let mut out = io::stdout().lock();
    for token in table.store.tokens(&args.portal).await? {
        let scopes: Vec<&str> = token.grant.scopes.iter().map(|scope| scope.name()).collect();
        let expires = token.grant.expires.map_or_else(|| "never".into(), |expires| expires.timestamp().to_string());
        writeln!(out, "{}  {}  {:10}  expires {expires}", token.hash, token.grant.user, scopes.join(","))?;
    }
    drop(out);
    table.close().await
}

async fn revoke(args: TokenRevokeArgs) -> Result<(), CommandError> {
    let table = Table::of_command(&args.table).await?;
    let revoked = table.store.revoke_token(&args.token).await?;
    if revoked {
        writeln!(io::stdout(), "revoked")?;
    }
    table.close().await?;
    if revoked { Ok(()) } else { Err("there is no such token; `crm-access token list` shows those of a portal".into()) }
}
