//! `GET /api/2.0/settings`: shows the portal's settings.

use api::endpoint::{Conditions, Dialect, Payload};
use api::{Answer, Auth, Call, CallerInPortal, Endpoint, Failure};
use futures::FutureExt as _;
use models::directory::Settings;
use models::request::queries;

use crate::FUNCTION;

/// Shows the settings. The other members of ONLYOFFICE's answer describe features that do not exist here.
pub(crate) const ENDPOINT: Endpoint = Endpoint {
    function: FUNCTION,
    method: "GET",
    path: "/api/2.0/settings",
    payload: Payload::None,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::None,
    auth: Auth::Read(|call| handle(call).boxed()),
};

async fn handle(call: Call<'_>) -> Result<Answer, Failure> {
    call.query(queries::NONE).finish()?;
    let CallerInPortal { portal, .. } = call.caller_in_portal().await?;
    Answer::one(&call.format, &Settings::of(&portal, call.now))
}
