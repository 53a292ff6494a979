//! `crm-access sign-in-link`.

use models::directory::{Grant, Scope, User};
use models::limits::{SIGN_IN_CODE_MILLIS, duration};
use models::values::id::PortalId;
use store::Store;
use store::codes::Code;
use store::tokens::new_token;

use crate::CommandError;
use crate::args::SignInLinkArgs;
use crate::table::{Table, now};
use crate::terminal::say;
use crate::user::find;

pub(crate) async fn run(args: SignInLinkArgs) -> Result<(), CommandError> {
    let table = Table::of_command(&args.table).await?;
    let link = async {
        let user = find(&table.store, &args.portal, &args.user).await?;
        make(&table.store, &args.url, &args.portal, &user).await
    };
    let link = link.await;
    table.close();
    Ok(say(link?)?)
}

/// Creates a one-time code, and returns the link with which the user signs in to the web page of the service at `url`.
/// The code stands in the fragment, which a browser sends to no server and to no other page.
pub(crate) async fn make(store: &Store, url: &str, portal: &PortalId, user: &User) -> Result<String, CommandError> {
    let code = new_token()?;
    let grant = Grant {
        portal: portal.clone(),
        user: user.employee.id,
        scopes: vec![Scope::Read, Scope::Write],
        expires: None,
        valid_from: user.tokens_valid_from,
    };
    let valid_until = now() + duration(SIGN_IN_CODE_MILLIS);
    store.add_code(&code, &Code { grant, parent: None, valid_until }).await?;
    Ok(format!("{url}/console#code={code}"))
}
