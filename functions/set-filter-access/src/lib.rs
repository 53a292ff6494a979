//! `PUT /api/2.0/crm/contact/filter/access`: sets who may see and edit every contact that a filter selects.

use api::answer::{ListPage, Preference};
use api::endpoint::{Conditions, Dialect, Payload};
use api::show::{check_managers, contacts_in_order, show_job};
use api::{Answer, Auth, Call, CallerInPortal, Endpoint, Failure, WriteCall};
use futures::FutureExt as _;
use jobs::{Applied, FilterRun, Outcome};
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
    let (filter_value, note, fields) = (query.filter_value(), query.note(), query.fields());
    query.finish()?;
    let request = SetFilterAccess::parse(call.body()?, filter_value.as_deref())?;

    let (store, portal_id) = (&call.app.store, &call.grant.portal);
    let CallerInPortal { portal, caller, mut users } = call.caller_in_portal().await?;
    let request = request.resolve(&portal.time_zone)?;
    let (managers, planner) = futures::try_join!(
        store.users(portal_id, request.target.managers.iter().copied()),
        store.planner(portal_id, &request.filter.tags)
    )?;
    check_managers(&request.target, |id| managers.contains_key(id))?;
    users.extend(managers);

    if portal.resharding_to.is_some() {
        return Err(Failure::Resharding);
    }
    let Planned { plan, expected } = planner.plan(&request.filter, portal.shards);
    let mode = Mode::of(&call, dry_run);
    let run = FilterRun {
        portal: portal.id,
        actor: Actor::User(caller),
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
    let (Outcome { counts, page: positions }, job) = match act(&call, &run, mode).await? {
        Acted::Completed { outcome, job } => (outcome, job),
        Acted::Queued(job) => {
            let preference = if mode == Mode::Async { Preference::Applied } else { Preference::NotApplied };
            return show_job(&call, &caller, &job, preference).await;
        }
    };

    let ids: Vec<ContactId> = positions.iter().map(|position| position.contact).collect();
    let entries = Entries { users, ..Entries::default() };
    let (records, entries) = match contacts_in_order(call.app, &call.grant, &ids, planner.lists, entries).await {
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
    let contacts = records.into_iter().map(|record| Contact::new(record, &run.target, &entries, &caller));
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
    /// Workers do the remaining work.
    Queued(Box<Job>),
}

/// The way in which a call acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Count the changes and write nothing. A preview is never asynchronous, because no stored job could show its
    /// result.
    Preview,
    /// Queue the run for workers.
    Async,
    /// Run until the call's deadline.
    Run,
}

impl Mode {
    fn of(call: &Call<'_>, dry_run: bool) -> Self {
        if dry_run {
            Self::Preview
        } else if call.prefers_async() {
            Self::Async
        } else {
            Self::Run
        }
    }
}

/// Previews the run, runs it, or queues it for workers.
async fn act(call: &WriteCall<'_>, run: &FilterRun, mode: Mode) -> Result<Acted, Failure> {
    let (jobs, deadline) = (&call.app.jobs, call.app.deadline(call.deadline));
    let failed = |error| Failure::from_run(error, run.max_affected);
    match mode {
        Mode::Preview => {
            let outcome = run.preview(jobs, &deadline).await.map_err(failed)?;
            Ok(Acted::Completed { outcome, job: None })
        }
        Mode::Async => Ok(Acted::Queued(Box::new(run.enqueue(jobs, call.new_job()).await?))),
        Mode::Run => Ok(match run.apply(jobs, call.new_job(), &deadline).await.map_err(failed)? {
            Applied::Completed { job, outcome } => Acted::Completed { outcome, job: Some(job.id) },
            Applied::Requeued(job) => Acted::Queued(job),
        }),
    }
}
