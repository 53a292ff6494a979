//! `PUT /api/2.0/crm/contact/filter/access`: sets who may see and edit every contact that a filter selects.

use api::answer::{ListPage, Preference};
use api::endpoint::{Conditions, Dialect, Payload};
use api::show::{access_after, check_managers, contacts_in_order, show_job};
use api::{Answer, Auth, Call, CallerInPortal, Endpoint, Failure, WriteCall};
use futures::FutureExt as _;
use jobs::{Applied, FilterRun, Outcome, RunError};
use models::access::Actor;
use models::contact::Contact;
use models::directory::Entries;
use models::job::{Job, JobId};
use models::request::{SetFilterAccess, queries};
use models::values::id::ContactId;
use store::planner::Planned;

/// The endpoint of ONLYOFFICE's reference page for a filter.
pub const ENDPOINT: Endpoint = Endpoint {
    function: "set-filter-access",
    method: "PUT",
    path: "/api/2.0/crm/contact/filter/access",
    payload: Payload::Fields,
    dialect: Dialect::Documents,
    conditions: Conditions::None,
    auth: Auth::Write(|call| handle(call).boxed()),
};

async fn handle(call: WriteCall<'_>) -> Result<Answer, Failure> {
    let mut query = call.query(queries::SET_FILTER_ACCESS);
    let (dry_run, max_affected, page) = (query.dry_run(), query.max_affected(), query.page());
    let (filter_value, criteria) = (query.filter_value(), query.access_criteria());
    let (note, fields) = (query.note(), query.fields());
    query.finish()?;
    let request = SetFilterAccess::parse(call.body()?, filter_value.as_deref(), criteria)?;

    let (store, portal_id) = (&call.app.store, &call.grant.portal);
    let CallerInPortal { portal, caller, mut users } = call.caller_in_portal().await?;
    let request = request.resolve(&portal.time_zone)?;
    let (managers, planner) = futures::try_join!(
        store.users(portal_id, request.target.given_managers().iter().copied()),
        store.planner(portal_id, &request.filter.tags)
    )?;
    check_managers(&request.target, |id| managers.contains_key(id))?;
    users.extend(managers);

    if portal.resharding_to.is_some() {
        return Err(Failure::Resharding);
    }
    let actor = Actor::User(caller);
    let Planned { plan, expected } = store.plan_run(&planner, &portal, &actor, &request.filter).await?;
    let mode = Mode::of(&call, dry_run);
    let run = FilterRun {
        portal: portal.id,
        actor,
        plan,
        expected,
        filter: request.filter,
        target: request.target,
        page,
        max_affected,
        started: call.now,
        rule: None,
        note,
    };
    let (Outcome { counts, page: positions, .. }, job) = match act(&call, &run, mode).await? {
        Acted::Completed { outcome, job } => (outcome, job),
        Acted::Queued(job) => {
            let preference = if call.prefers_async() { Preference::Applied } else { Preference::NotApplied };
            return show_job(&call, &caller, &job, preference).await;
        }
    };

    let ids: Vec<ContactId> = positions.iter().map(|position| position.contact).collect();
    let read = async {
        let after = access_after(&call, &caller, &run.target, job, &ids).await?;
        let unread = after.shown_managers().into_iter().filter(|id| !users.contains_key(id));
        let managers = store.users(portal_id, unread.collect::<Vec<_>>()).await?;
        let entries = Entries { users: users.into_iter().chain(managers).collect(), ..Entries::default() };
        let (records, entries) = contacts_in_order(call.app, &call.grant, &ids, planner.lists, entries).await?;
        Ok::<_, Failure>((after, records, entries))
    };
    let (after, records, entries) = match read.await {
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
    let page = ListPage::counted(page.start_index, ids.len(), counts.updated + counts.unchanged);
    let contacts = records.into_iter().filter_map(|record| {
        let access = after.of(record.id)?;
        Some(Contact::new(record, access, &entries, &caller))
    });
    Ok(Answer::contacts(&call.format, contacts, page, fields.as_ref())?.with_counts(&counts).with_job(job))
}

/// The result of a call that passed its checks.
enum Acted {
    /// The run or the preview is complete.
    Completed {
        outcome: Outcome,
        /// The job of a run.
        job: Option<JobId>,
    },
    /// Workers do the work, or the remaining work.
    Queued(Box<Job>),
}

/// The way in which a call acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Count the changes until the call's deadline, and write nothing. If the time does not suffice, queue a preview.
    Count,
    /// Queue a preview for workers.
    Preview,
    /// Queue the run for workers.
    Async,
    /// Run until the call's deadline.
    Run,
}

impl Mode {
    fn of(call: &Call<'_>, dry_run: bool) -> Self {
        match (dry_run, call.prefers_async()) {
            (true, false) => Self::Count,
            (true, true) => Self::Preview,
            (false, true) => Self::Async,
            (false, false) => Self::Run,
        }
    }
}

/// Previews the run, runs it, or queues it for workers.
async fn act(call: &WriteCall<'_>, run: &FilterRun, mode: Mode) -> Result<Acted, Failure> {
    let (jobs, deadline) = (&call.app.jobs, call.app.deadline(call.deadline));
    let failed = |error| Failure::from_run(error, run.max_affected);
    match mode {
        Mode::Count => match run.preview(jobs, &deadline).await {
            Ok(outcome) => Ok(Acted::Completed { outcome, job: None }),
            Err(RunError::NotCounted) => queue_preview(call, run).await,
            Err(error) => Err(failed(error)),
        },
        Mode::Preview => queue_preview(call, run).await,
        Mode::Async => Ok(Acted::Queued(Box::new(run.enqueue(jobs, call.new_job()).await?))),
        Mode::Run => Ok(match run.apply(jobs, call.new_job(), &deadline).await.map_err(failed)? {
            Applied::Completed { job, outcome } => Acted::Completed { outcome, job: Some(job.id) },
            Applied::Requeued(job) => Acted::Queued(job),
        }),
    }
}

/// Queues a preview of the run for workers.
async fn queue_preview(call: &WriteCall<'_>, run: &FilterRun) -> Result<Acted, Failure> {
    Ok(Acted::Queued(Box::new(run.enqueue_preview(&call.app.jobs, call.new_job()).await?)))
}
