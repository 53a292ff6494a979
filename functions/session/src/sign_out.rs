//! `DELETE /api/2.0/authentication`: revokes the caller's token.

use api::endpoint::{Conditions, Dialect, Payload};
use api::{Answer, Auth, Endpoint, Failure, WriteCall};
use futures::FutureExt as _;
use models::request::queries;

use crate::FUNCTION;

/// Signs the caller out.
pub(crate) const ENDPOINT: Endpoint = Endpoint {
    function: FUNCTION,
    method: "DELETE",
    path: "/api/2.0/authentication",
    payload: Payload::None,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::None,
    auth: Auth::OwnToken(|call| handle(call).boxed()),
};

async fn handle(call: WriteCall<'_>) -> Result<Answer, Failure> {
    call.query(queries::NONE).finish()?;
    call.caller().await?;
    call.app.store.end_token(&call.grant.portal, call.token).await?;
    call.app.forget_token(&call.token);
    Ok(Answer::nothing())
}
