//! `POST /api/2.0/authentication/code`: creates a one-time code, with which a browser signs in as the caller.

use api::endpoint::{Conditions, Dialect, Payload};
use api::{Answer, Auth, Endpoint, Failure, WriteCall};
use futures::FutureExt as _;
use models::directory::SignInCode;
use models::invalid::Invalid;
use models::limits::{SIGN_IN_CODE_MILLIS, duration};
use models::request::queries;
use store::codes::Code;
use store::tokens::new_token;

use crate::FUNCTION;

/// Creates a code.
pub(crate) const ENDPOINT: Endpoint = Endpoint {
    function: FUNCTION,
    method: "POST",
    path: "/api/2.0/authentication/code",
    payload: Payload::None,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::None,
    auth: Auth::Secret(|call| handle(call).boxed()),
};

/// Creates a sign-in code for the caller's token. A token that came from a code cannot create codes: each token ends
/// with its parent, so each call would have to read the whole chain of parents.
async fn handle(call: WriteCall<'_>) -> Result<Answer, Failure> {
    const OF_A_CODE: &str = "names a token that was created with a sign-in code, and such a token cannot create codes; \
                             sign in with userName and password";
    call.query(queries::NONE).finish()?;
    let (_, token) = call.caller_and(call.stored_token()).await?;
    if token.parent.is_some() {
        return Err(Invalid::one("Authorization", OF_A_CODE).into());
    }
    let (code, valid_until) = (new_token()?, call.now + duration(SIGN_IN_CODE_MILLIS));
    let of = Code { grant: token.grant, parent: Some(call.token), valid_until };
    call.app.store.add_code(&code, &of).await?;
    Answer::created(&call.format, &SignInCode { code, expires: valid_until })
}
