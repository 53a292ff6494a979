//! `PUT /api/2.0/crm/contact/filter/access`: sets who may see and edit every contact that a filter selects.

use api::answer::ListPage;
use api::contacts::{accepted, check_managers, records_beside};
use api::endpoint::{Conditions, Dialect, Payload};
use api::{Answer, Auth, Call, Endpoint, Failure};
use futures::FutureExt as _;
use jobs::{FilterRun, Outcome};
use models::access::Actor;
use models::contact::Contact;
use models::directory::{Entries, Scope};
use models::filter::plan::plan;
use models::job::{Counts, Job, JobId};
use models::request::{SetFilterAccess, queries};
use models::values::id::ContactId;

/// The endpoint of ONLYOFFICE's reference page for a filter.
pub const ENDPOINT: Endpoint = Endpoint {
    function: "set-filter-access",
    method: "PUT",
    path: "/api/2.0/crm/contact/filter/access",
    payload: Payload::Fields,
    dialect: Dialect::Documents,
    conditions: Conditions::None,
    auth: Auth::Token(Scope::Write, |call| handle(call).boxed()),
};

async fn handle(call: Call<'_>) -> Result<Answer, Failure> {
    let mut query = call.query(queries::SET_FILTER_ACCESS);
    let (dry_run, max_affected, page) = (query.dry_run(), query.max_affected(), query.page());
    let (filter_value, fields) = (query.filter_value(), query.fields());
    query.finish()?;
    let request = SetFilterAccess::parse(call.body()?, filter_value.as_deref())?;

    let (store, portal_id) = (&call.app.store, &call.grant.portal);
    let (portal, mut users) = store.portal_and_users(portal_id, [call.grant.user]).await?;
    let caller = call.caller_among(&users)?;
    let portal = portal.ok_or(Failure::Unauthenticated)?;
    let request = request.resolve(&portal.time_zone)?;
    let (managers, lists) =
        futures::try_join!(store.users(portal_id, request.target.managers.iter().copied()), store.lists(portal_id))?;
    check_managers(&request.target, |id| managers.contains_key(id))?;
    users.extend(managers);
    let statistics = store.statistics(portal_id, &request.filter.tags, &lists.stage_counts).await?;

    let plan = plan(&request.filter, &statistics, portal.shards);
    let run = FilterRun {
        portal: portal.id,
        actor: Actor::User(caller),
        expected: plan.expected(&statistics),
        plan,
        filter: request.filter,
        target: request.target,
        page,
        max_affected,
        started: call.now,
        rule: None,
    };
    let Done { counts, ids, asked, job } = match carry_out(&call, &run, dry_run).await? {
        Applied::Whole(done) => done,
        Applied::HandedOver(job) => return accepted(&call, &caller, &job, asked_not_to_wait(&call, dry_run)).await,
    };

    let entries = Entries { users, ..Entries::default() };
    let (records, entries) = match records_beside(call.app, &call.grant, &ids, lists, entries).await {
        Ok(found) => found,
        // The contacts are already changed, so a failed read for the answer must not look like a failed change.
        Err(failure) => match job {
            Some(job) => {
                failure.log();
                return Answer::started(job);
            }
            None => return Err(failure),
        },
    };
    let page = ListPage::counted(page.start_index, asked, counts.updated + counts.unchanged);
    let contacts = records.into_iter().map(|record| Contact::new(record, &run.target, &entries, &caller));
    Ok(Answer::contacts(&call.wanted, contacts, page, fields.as_ref())?.with_counts(&counts).with_job(job))
}

/// The result of a run or a preview.
enum Applied {
    Whole(Done),
    HandedOver(Box<Job>),
}

/// A completed run or preview.
struct Done {
    counts: Counts,
    /// The contacts on the answer's page.
    ids: Vec<ContactId>,
    /// The number of list positions that the page covers.
    asked: usize,
    job: Option<JobId>,
}

impl Done {
    fn new(outcome: &Outcome, job: Option<JobId>) -> Self {
        let ids: Vec<ContactId> = outcome.page.iter().map(|position| position.contact).collect();
        Self { counts: outcome.counts, asked: ids.len(), ids, job }
    }
}

/// Returns whether the call runs asynchronously. A preview never does, because it stores no job that could show its
/// result.
fn asked_not_to_wait(call: &Call<'_>, dry_run: bool) -> bool {
    call.prefers_async() && !dry_run
}

/// Previews the run, runs it, or queues it for workers.
async fn carry_out(call: &Call<'_>, run: &FilterRun, dry_run: bool) -> Result<Applied, Failure> {
    let (jobs, deadline) = (&call.app.jobs, call.app.deadline(call.deadline));
    let failed = |error| Failure::from_run(error, run.max_affected);
    if dry_run {
        let outcome = run.preview(jobs, &deadline).await.map_err(failed)?;
        return Ok(Applied::Whole(Done::new(&outcome, None)));
    }
    if asked_not_to_wait(call, dry_run) {
        let job = run.enqueue(jobs, call.new_job(), true).await?;
        return Ok(Applied::HandedOver(Box::new(job)));
    }
    Ok(match run.apply(jobs, call.new_job(), &deadline).await.map_err(failed)? {
        jobs::Applied::Whole { job, outcome } => Applied::Whole(Done::new(&outcome, Some(job.id))),
        jobs::Applied::HandedOver(job) => Applied::HandedOver(job),
    })
}
