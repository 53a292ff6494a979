//! What a portal's clients begin with: signing in, who they are, and the description of the API.

mod sign_in;
mod sign_out;

use api::endpoint::{Conditions, Dialect, Payload};
use api::{Admits, Answer, Call, Endpoint, Failure, Incoming};
use futures::FutureExt as _;
use models::portal::{Profile, Scope};

/// The function that offers them.
const FUNCTION: &str = "access-portal";

/// Who is calling: the user `@self`, and no other. It stands where a parameter does, because an HTTP API takes no `@` in
/// a route.
const ME: Endpoint = Endpoint {
    function: FUNCTION,
    method: "GET",
    path: "/api/2.0/people/{userid}",
    payload: Payload::None,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::None,
    admits: Admits::Holders(Scope::Read, |call| me(call).boxed()),
};

/// The description of the API.
const OPENAPI: Endpoint = Endpoint {
    function: FUNCTION,
    method: "GET",
    path: "/api/2.0/openapi.json",
    payload: Payload::None,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::None,
    admits: Admits::Anyone(|call| std::future::ready(describe(&call)).boxed()),
};

/// Generated from the code; a test holds it to that.
const DESCRIPTION: &str = include_str!("../../../docs/openapi.json");

/// Every endpoint of the function.
pub const ENDPOINTS: &[Endpoint] = &[sign_in::ENDPOINT, sign_out::ENDPOINT, ME, OPENAPI];

async fn me(call: Call<'_>) -> Result<Answer, Failure> {
    if !call.names_caller() {
        return Err(Failure::RouteNotFound);
    }
    call.query().finish()?;
    Answer::one(&call.wanted, &Profile::from(call.user().await?))
}

fn describe(call: &Incoming<'_>) -> Result<Answer, Failure> {
    call.query().finish()?;
    Ok(Answer::document(DESCRIPTION))
}
