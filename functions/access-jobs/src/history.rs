//! Endpoints of one job: show, changes, undo, cancel.

use std::collections::{HashMap, HashSet};

use api::answer::ListPage;
use api::endpoint::{Conditions, Dialect, Payload};
use api::{Answer, Auth, Call, Endpoint, Failure, WriteCall};
use futures::FutureExt as _;
use models::access::Caller;
use models::directory::Entries;
use models::job::view::{ChangeView, UndoPreview};
use models::job::{Change, Job, JobId, State};
use models::request::queries;
use models::values::id::ContactId;

use crate::FUNCTION;

/// Shows one job.
pub(crate) const SHOW: Endpoint = Endpoint {
    function: FUNCTION,
    method: "GET",
    path: "/api/2.0/crm/access/jobs/{jobid}",
    payload: Payload::None,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::None,
    auth: Auth::Read(|call| show(call).boxed()),
};

/// Lists the changes of a job.
pub(crate) const CHANGES: Endpoint = Endpoint {
    function: FUNCTION,
    method: "GET",
    path: "/api/2.0/crm/access/jobs/{jobid}/changes",
    payload: Payload::None,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::None,
    auth: Auth::Read(|call| changes(call).boxed()),
};

/// Starts a job that restores the access from before another job.
pub(crate) const UNDO: Endpoint = Endpoint {
    function: FUNCTION,
    method: "POST",
    path: "/api/2.0/crm/access/jobs/{jobid}/undo",
    payload: Payload::None,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::None,
    auth: Auth::Write(|call| undo(call).boxed()),
};

/// Cancels a job.
pub(crate) const CANCEL: Endpoint = Endpoint {
    function: FUNCTION,
    method: "POST",
    path: "/api/2.0/crm/access/jobs/{jobid}/cancel",
    payload: Payload::None,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::None,
    auth: Auth::Write(|call| cancel(call).boxed()),
};

async fn show(call: Call<'_>) -> Result<Answer, Failure> {
    let id = call.job_id()?;
    call.query(queries::NONE).finish()?;
    show_job(&call, id).await
}

async fn changes(call: Call<'_>) -> Result<Answer, Failure> {
    let id = call.job_id()?;
    let mut query = call.query(queries::PAGE);
    let page = query.page();
    query.finish()?;
    let (caller, job) = visible_job(&call, id).await?;
    if !job.has_changes_at(call.now) {
        return Err(Failure::ChangesExpired(id));
    }
    let mut changes = call.reads().changes(&job, page.start_index, page.count.saturating_add(1)).await?;
    let more = changes.len() > page.count;
    changes.truncate(page.count);
    let (names, entries) = entries_of_changes(&call, &caller, &job, &changes).await?;
    let name = |change: &Change| names.get(&change.contact).cloned().unwrap_or_default();
    let page = ListPage { start_index: page.start_index, asked: changes.len(), more, total: None };
    let shown = changes.iter().map(|change| ChangeView::new(change, &job, name(change), &entries, &caller));
    Answer::list(&call.format, shown, page)
}

/// Reads the names of the contacts that the caller may see now, and the users that the changes refer to: half a read
/// unit per contact and user, and another half unit per contact if the caller is not an administrator.
async fn entries_of_changes(
    call: &Call<'_>,
    caller: &Caller,
    job: &Job,
    changes: &[Change],
) -> Result<(HashMap<ContactId, String>, Entries), Failure> {
    let reads = call.reads();
    let ids: Vec<ContactId> = changes.iter().map(|change| change.contact).collect();
    let states = changes.iter().filter_map(|change| change.states(job)).flat_map(|(before, after)| [before, after]);
    let managers: HashSet<_> = states.flat_map(|access| caller.known_managers(access)).collect();
    let (read, users) = futures::try_join!(reads.display_names(&ids), reads.users(managers))?;
    let to_check: &[ContactId] = if caller.is_admin { &[] } else { &ids };
    let may_see = reads.access_with(to_check, |state, _| caller.may_see(&state.access)).await?;
    let mut names = HashMap::with_capacity(read.len());
    for (id, name) in read {
        if caller.is_admin || *may_see.of(id)? {
            names.insert(id, name);
        }
    }
    Ok((names, Entries { users, ..Entries::default() }))
}

async fn undo(call: WriteCall<'_>) -> Result<Answer, Failure> {
    let Undo { caller, undone, dry_run, note } = prepare_undo(&call).await?;
    let (jobs, portal) = (&call.app.jobs, &call.grant.portal);
    if dry_run {
        let deadline = call.app.deadline(call.deadline);
        let counts = jobs.preview_undo(portal, caller, &undone, &deadline).await;
        let counts = counts.map_err(|error| Failure::from_run(error, None))?;
        return Ok(Answer::one(&call.format, &UndoPreview::from(counts))?.with_counts(&counts));
    }
    let job = jobs.undo(portal, &caller, &undone, call.new_job(), note).await?;
    Answer::accepted(&call.format, &job.view(&[], call.now, &caller))
}

/// The inputs of an undo, after all checks.
struct Undo {
    caller: Caller,
    undone: Job,
    dry_run: bool,
    note: Option<String>,
}

async fn prepare_undo(call: &Call<'_>) -> Result<Undo, Failure> {
    let id = call.job_id()?;
    let mut query = call.query(queries::UNDO_JOB);
    let (dry_run, note) = (query.dry_run(), query.note());
    query.finish()?;
    let (caller, undone) = visible_job(call, id).await?;
    if !undone.is_over() {
        return Err(Failure::JobNotOver(id));
    }
    if !undone.has_changes_at(call.now) {
        return Err(Failure::ChangesExpired(id));
    }
    Ok(Undo { caller, undone, dry_run, note })
}

async fn cancel(call: WriteCall<'_>) -> Result<Answer, Failure> {
    let id = call.job_id()?;
    call.query(queries::NONE).finish()?;
    let (caller, job) = visible_job(&call, id).await?;
    if !call.app.jobs.cancel(&call.grant.portal, &job).await? {
        return Err(Failure::JobOver(id));
    }
    match show_job(&call, id).await {
        Ok(answer) => Ok(answer),
        // The job is cancelled, although its record could not be read again.
        Err(failure) => {
            failure.log();
            Answer::one(&call.format, &Job { state: State::Cancelled, ..job }.view(&[], call.now, &caller))
        }
    }
}

/// Reads and shows a job.
async fn show_job(call: &Call<'_>, id: JobId) -> Result<Answer, Failure> {
    let (caller, job) = visible_job(call, id).await?;
    let shards = call.reads().summaries(&job).await?;
    Answer::one(&call.format, &job.view(&shards, call.now, &caller))
}

/// Reads a job that the caller may see: administrators see all jobs, users their own.
async fn visible_job(call: &Call<'_>, id: JobId) -> Result<(Caller, Job), Failure> {
    let (caller, job) = call.caller_and(call.reads().job(id)).await?;
    let job = job.filter(|job| job.is_visible_to(&caller)).ok_or(Failure::JobNotFound(id))?;
    Ok((caller, job))
}
