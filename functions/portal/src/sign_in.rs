//! `POST /api/2.0/authentication`: a token for a user name and a password.

use api::{Admits, Answer, Endpoint, Failure, Incoming};
use futures::FutureExt as _;
use jiff::SignedDuration;
use models::invalid::Invalid;
use models::limits::SIGN_IN_DAYS;
use models::portal::{Grant, Scope, SignedIn};
use models::request::SignInRequest;
use models::sign_in::{Account, Candidates};
use store::sign_in::{Pair, SignIn};
use store::tokens::new_token;
use tokio::sync::Semaphore;

use crate::FUNCTION;

/// The call that ONLYOFFICE's clients begin with.
pub(crate) const ENDPOINT: Endpoint = Endpoint {
    function: FUNCTION,
    method: "POST",
    path: "/api/2.0/authentication",
    admits: Admits::Anyone(|call| handle(call).boxed()),
};

/// Passwords that are looked at at once, each with some 19 MiB of memory. A Lambda function has one call at a time.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// The same round trips in the same order and the same work for a user of one portal, whose hash was made here, as for
/// nobody.
async fn handle(call: Incoming<'_>) -> Result<Answer, Failure> {
    call.query().finish()?;
    let SignInRequest { user_name, password, portal } = SignInRequest::parse(call.body()?)?;
    let store = &call.app.store;
    let pair = Pair { address: call.address(), email: user_name };
    let candidates = match store.begin_sign_in(&pair, portal.as_ref(), call.now).await? {
        SignIn::Begun(candidates) => candidates,
        SignIn::Locked(locked) => return Err(Failure::SignInLocked(locked)),
    };
    let accounts = matching(candidates, password).await?;
    let account = match &accounts[..] {
        [] => return Err(Failure::SignInRefused),
        [account] => account,
        // Only who knows the password is told of the portals.
        several => return Err(which_of(several).into()),
    };
    let expires = call.now + SignedDuration::from_hours(24 * SIGN_IN_DAYS);
    let grant = Grant {
        portal: account.portal.clone(),
        user: account.user,
        scopes: [Scope::Read, Scope::Write].into(),
        expires: Some(expires),
    };
    let token = new_token()?;
    store.admit(&pair, &token, &grant).await?;
    Answer::created(call.wanted, &SignedIn { token, expires })
}

/// The accounts that have the password, found out beside what else this machine does.
async fn matching(candidates: Candidates, password: String) -> Result<Vec<Account>, Failure> {
    let internal = |error: &dyn std::error::Error| Failure::Internal(error.to_string());
    let permit = AT_ONCE.acquire().await.map_err(|error| internal(&error))?;
    // The permit goes along: who hangs up ends the call, and not the work.
    let compare = move || {
        let _permit = permit;
        candidates.matching(&password).into_iter().cloned().collect()
    };
    tokio::task::spawn_blocking(compare).await.map_err(|error| internal(&error))
}

fn which_of(accounts: &[Account]) -> Invalid {
    let portals: Vec<String> = accounts.iter().map(|account| account.portal.to_string()).collect();
    Invalid::one("portal", format!("is required, because you have the same password in {}", portals.join(", ")))
}
