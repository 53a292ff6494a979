//! `PUT /api/2.0/crm/contact/filter/access`: sets who may see and edit every contact that a filter selects.

use api::contacts::{check_managers, show};
use api::{Answer, Call, Endpoint, Failure};
use futures::FutureExt as _;
use jobs::{FilterRun, Outcome, Stopped};
use models::id::ContactId;
use models::job::JobId;
use models::plan::plan;
use models::portal::{Entries, Scope};
use models::request::SetFilterAccess;

/// The endpoint of document 001.
pub const ENDPOINT: Endpoint = Endpoint {
    function: "set-filter-access",
    method: "PUT",
    path: "/api/2.0/crm/contact/filter/access",
    scope: Scope::Write,
    handler: |call| handle(call).boxed(),
};

async fn handle(call: Call<'_>) -> Result<Answer, Failure> {
    let store = &call.app.store;
    let portal_id = &call.grant.portal;
    let (portal, mut users) = store.portal_and_users(portal_id, [call.grant.user]).await?;
    let caller = users.get(&call.grant.user).ok_or(Failure::Unauthenticated)?.caller();
    let portal = portal.ok_or(Failure::Unauthenticated)?;

    let mut query = call.query();
    let (dry_run, max_affected, page) = (query.dry_run(), query.max_affected(), query.page());
    let filter_value = query.filter_value();
    query.finish()?;
    let request = SetFilterAccess::parse(call.json()?, filter_value.as_deref(), &portal.time_zone)?;

    let (managers, lists) =
        futures::try_join!(store.users(portal_id, request.target.managers.iter().copied()), store.lists(portal_id))?;
    check_managers(&request.target, |id| managers.contains_key(id))?;
    users.extend(managers);
    let statistics = store.statistics(portal_id, &request.filter.tags, &lists.stage_counts).await?;

    let run = FilterRun {
        portal: portal.id,
        caller,
        plan: plan(&request.filter, &statistics, portal.shards, call.now),
        filter: request.filter,
        target: request.target,
        page,
        max_affected,
        started: call.now,
    };
    let (outcome, job) = carry_out(&call, &run, dry_run).await?;

    let ids: Vec<ContactId> = outcome.page.iter().map(|position| position.contact).collect();
    let entries = Entries { users, ..Entries::default() };
    let contacts = show(call.app, &call.grant, &caller, &ids, &run.target, lists, entries).await?;
    let total = outcome.counts.updated + outcome.counts.unchanged;
    Ok(Answer::contacts(call.wanted, &contacts, page.start_index, ids.len(), total)?.with_counts(&outcome.counts, job))
}

/// Runs or previews, and turns an early end into the failure that it is for the caller.
async fn carry_out(call: &Call<'_>, run: &FilterRun, dry_run: bool) -> Result<(Outcome, Option<JobId>), Failure> {
    let (store, deadline) = (&call.app.store, Some(call.deadline));
    let failed = |error| Failure::from_run(error, run.max_affected);
    if dry_run {
        return Ok((run.preview(store, deadline).await.map_err(failed)?, None));
    }
    let report = run.apply(store, call.new_job(), deadline, || call.app.now()).await.map_err(failed)?;
    let (job, counts) = (report.job.id, report.outcome.counts);
    match &report.outcome.stopped {
        None => Ok((report.outcome, Some(job))),
        Some(stopped) => Err(Failure::Unfinished { job, counts, out_of_time: matches!(stopped, Stopped::OutOfTime) }),
    }
}
