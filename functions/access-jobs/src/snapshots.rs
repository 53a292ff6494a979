//! Snapshots: how many contacts are private, shared for editing and shared for reading. Administrators only.

use std::collections::HashMap;

use api::answer::Preference;
use api::endpoint::{Conditions, Dialect, Payload};
use api::show::show_job;
use api::{Answer, Auth, Call, CallerInPortal, Endpoint, Failure, WriteCall};
use futures::FutureExt as _;
use jobs::SnapshotRun;
use models::access::Caller;
use models::contact::ListItem;
use models::job::snapshot::SnapshotView;
use models::request::queries;

use crate::FUNCTION;

/// Starts a snapshot.
pub(crate) const START: Endpoint = Endpoint {
    function: FUNCTION,
    method: "POST",
    path: "/api/2.0/crm/access/snapshots",
    payload: Payload::None,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::None,
    auth: Auth::Write(|call| start(call).boxed()),
};

/// Shows the latest snapshot.
pub(crate) const LATEST: Endpoint = Endpoint {
    function: FUNCTION,
    method: "GET",
    path: "/api/2.0/crm/access/snapshots/latest",
    payload: Payload::None,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::None,
    auth: Auth::Read(|call| latest(call).boxed()),
};

async fn start(call: WriteCall<'_>) -> Result<Answer, Failure> {
    let mut query = call.query(queries::START_SNAPSHOT);
    let note = query.note();
    query.finish()?;
    let CallerInPortal { portal, caller, .. } = call.caller_in_portal().await?;
    check_administrator(&caller)?;
    if portal.resharding_to.is_some() {
        return Err(Failure::Resharding);
    }
    let run = SnapshotRun { portal, caller, started: call.now, note };
    let job = run.enqueue(&call.app.jobs, call.new_job()).await?;
    show_job(&call, &caller, &job, Preference::NotApplied).await
}

async fn latest(call: Call<'_>) -> Result<Answer, Failure> {
    call.query(queries::NONE).finish()?;
    let (caller, snapshot) = call.caller_and(call.reads().snapshot()).await?;
    check_administrator(&caller)?;
    let snapshot = snapshot.ok_or(Failure::SnapshotNotFound)?;
    let (stages, tags) = futures::try_join!(call.reads().stage_choices(), call.reads().counted_tags())?;
    let stages: Vec<ListItem> = stages.into_iter().map(|(stage, _)| stage).collect();
    let titles: HashMap<String, String> = tags.into_iter().map(|tag| (tag.tag, tag.title)).collect();
    Answer::one(&call.format, &SnapshotView::new(snapshot, &stages, &titles))
}

fn check_administrator(caller: &Caller) -> Result<(), Failure> {
    if caller.is_admin { Ok(()) } else { Err(Failure::AdministratorsOnly) }
}
