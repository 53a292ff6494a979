//! The first calls of a portal's clients: sign-in, the portal's settings and users, and the description of the API.

mod people;
mod settings;
mod sign_in;
mod sign_in_code;
mod sign_out;

use api::endpoint::{Conditions, Dialect, Payload};
use api::{Answer, Auth, Endpoint, Failure, Incoming};
use futures::FutureExt as _;
use models::request::queries;

/// The Lambda function of the endpoints.
const FUNCTION: &str = "session";

/// Returns the description of the API.
const OPENAPI: Endpoint = Endpoint {
    function: FUNCTION,
    method: "GET",
    path: "/api/2.0/openapi.json",
    payload: Payload::None,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::None,
    auth: Auth::Public(|call| std::future::ready(describe(&call)).boxed()),
};

/// The description of the API, generated from the code. A test checks that the file is current.
const DESCRIPTION: &str = include_str!("../../../docs/openapi.json");

/// Every endpoint of the function.
pub const ENDPOINTS: &[Endpoint] = &[
    sign_in::ENDPOINT,
    sign_in_code::ENDPOINT,
    sign_out::ENDPOINT,
    settings::ENDPOINT,
    people::ALL,
    people::FILTERED,
    people::ONE,
    OPENAPI,
];

fn describe(call: &Incoming<'_>) -> Result<Answer, Failure> {
    call.query(queries::NONE).finish()?;
    Ok(Answer::document(DESCRIPTION))
}
