//! The contacts that jobs changed on each of the last days.

use api::endpoint::{Conditions, Dialect, Payload};
use api::{Answer, Auth, Call, Endpoint, Failure};
use futures::FutureExt as _;
use models::job::daily::{day_of, last_days};
use models::request::{Page, queries};

use crate::FUNCTION;

/// Lists the last days, with the contacts that jobs changed.
pub(crate) const LIST: Endpoint = Endpoint {
    function: FUNCTION,
    method: "GET",
    path: "/api/2.0/crm/access/jobs/daily",
    payload: Payload::None,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::None,
    auth: Auth::Read(|call| list(call).boxed()),
};

async fn list(call: Call<'_>) -> Result<Answer, Failure> {
    call.query(queries::NONE).finish()?;
    let zone = call.zone().await?;
    let caller = call.caller().await?;
    let user = (!caller.is_admin).then_some(caller.user);
    let counts = call.reads().day_counts(user, call.now, &zone).await?;
    Answer::page_of(&call.format, last_days(day_of(call.now, &zone), &counts).into_iter(), Page::default())
}
