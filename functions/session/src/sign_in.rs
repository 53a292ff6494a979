//! `POST /api/2.0/authentication`: creates a token for a user name and a password, or for a one-time code.

use api::endpoint::{Conditions, Dialect, Payload};
use api::negotiation::ResponseFormat;
use api::{Answer, Auth, Endpoint, Failure, PublicCall};
use futures::FutureExt as _;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use models::directory::{Grant, Scope, SignedIn};
use models::invalid::Invalid;
use models::limits::SIGN_IN_DAYS;
use models::request::{PasswordSignIn, SignInRequest, queries};
use models::sign_in::{Account, Candidate};
use store::codes::Exchange;
use store::sign_in::{Pair, SignIn};
use store::tokens::new_token;

use crate::FUNCTION;

/// Signs a user in. ONLYOFFICE's clients make this call first.
pub(crate) const ENDPOINT: Endpoint = Endpoint {
    function: FUNCTION,
    method: "POST",
    path: "/api/2.0/authentication",
    payload: Payload::Fields,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::None,
    auth: Auth::Public(|call| handle(call).boxed()),
};

async fn handle(call: PublicCall<'_>) -> Result<Answer, Failure> {
    // Check the origin before the attempt is counted, so that no foreign page uses up a user's attempts.
    call.check_origin()?;
    call.query(queries::NONE).finish()?;
    match SignInRequest::parse(call.body()?)? {
        SignInRequest::Password(request) => with_password(&call, request).await,
        SignInRequest::Code(code) => with_code(&call, &code).await,
    }
}

/// Signs a user in with a one-time code.
async fn with_code(call: &PublicCall<'_>, code: &str) -> Result<Answer, Failure> {
    call.check_no_idempotency_key()?;
    let token = new_token()?;
    match call.app.store.exchange_code(code, &token, call.network(), call.now).await? {
        Exchange::SignedIn(grant, expires) => {
            // The code is used, so a failure to read the zone must not lose the token.
            let zone = call.app.time_zone(&grant.portal).await.unwrap_or(TimeZone::UTC);
            let format = ResponseFormat { zone: Some(zone), ..call.format.clone() };
            Answer::created(&format, &SignedIn { token, expires })
        }
        Exchange::Refused => Err(Failure::CodeRefused),
        Exchange::Locked(locked) => Err(Failure::SignInLocked(locked)),
    }
}

/// Signs a user in with a password. Timing does not disclose users: the sign-in of an unknown user makes the same
/// round trips in the same order, and one comparison with the parameters of this service.
async fn with_password(call: &PublicCall<'_>, request: PasswordSignIn) -> Result<Answer, Failure> {
    let PasswordSignIn { user_name, password, portal } = request;
    // Get the permit before the attempt is counted: an attempt whose password is not compared does not count.
    let permit = call.app.passwords.enter()?;
    let store = &call.app.store;
    let pair = Pair { network: call.network(), email: user_name };
    let attempt = match store.begin_sign_in(&pair, portal.as_ref(), call.now).await? {
        SignIn::Begun(attempt) => attempt,
        SignIn::Locked(locked) => return Err(Failure::SignInLocked(locked)),
    };
    let matching = match permit.matching(attempt.candidates.clone(), password).await {
        Err(Failure::SignInBusy) => {
            store.withdraw(&attempt).await?;
            return Err(Failure::SignInBusy);
        }
        matching => matching?,
    };
    let candidate = match &matching[..] {
        [] => return Err(Failure::SignInRefused),
        [candidate] => candidate,
        // Only a caller who knows the password learns the portals.
        several => return Err(ambiguous_portal(several).into()),
    };
    let Account { portal, user } = candidate.account.clone();
    let expires = call.now + SignedDuration::from_hours(24 * SIGN_IN_DAYS);
    let grant = Grant {
        portal,
        user,
        scopes: [Scope::Read, Scope::Write].into(),
        expires: Some(expires),
        valid_from: candidate.tokens_valid_from,
    };
    // Read the zone before the token is stored, so that a failure creates no token.
    let zone = call.app.time_zone(&grant.portal).await?;
    let format = ResponseFormat { zone: Some(zone), ..call.format.clone() };
    let token = new_token()?;
    if !store.admit(&attempt, candidate, &token, &grant).await? {
        // The password was changed after the comparison began.
        return Err(Failure::SignInRefused);
    }
    Answer::created(&format, &SignedIn { token, expires })
}

fn ambiguous_portal(candidates: &[Candidate]) -> Invalid {
    let portals: Vec<String> = candidates.iter().map(|candidate| candidate.account.portal.to_string()).collect();
    Invalid::one("portal", format!("is required, because you have the same password in {}", portals.join(", ")))
}
