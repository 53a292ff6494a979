//! The next runs of a cron expression that no rule has yet.

use api::endpoint::{Conditions, Dialect, Payload};
use api::{Answer, Auth, Call, Endpoint, Failure};
use futures::FutureExt as _;
use models::request::ShowSchedule;

use crate::FUNCTION;

/// Lists the next runs of a cron expression.
pub(crate) const SHOW: Endpoint = Endpoint {
    function: FUNCTION,
    method: "GET",
    path: "/api/2.0/crm/access/schedule",
    payload: Payload::None,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::None,
    auth: Auth::Read(|call| show(call).boxed()),
};

async fn show(call: Call<'_>) -> Result<Answer, Failure> {
    let request = ShowSchedule::parse(&call.query_text())?;
    let ShowSchedule { schedule, count } = request.resolve(&call.zone().await?)?;
    Answer::one(&call.format, &schedule.view(call.now, count))
}
