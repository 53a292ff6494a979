//! Endpoints of one job: show, changes, undo, apply, cancel.

use std::collections::{HashMap, HashSet};

use api::answer::ListPage;
use api::endpoint::{Conditions, Dialect, Payload};
use api::{Answer, Auth, Call, Endpoint, Failure, WriteCall};
use futures::FutureExt as _;
use models::access::{Author, Caller};
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

/// Starts the run of a preview.
pub(crate) const APPLY: Endpoint = Endpoint {
    function: FUNCTION,
    method: "POST",
    path: "/api/2.0/crm/access/jobs/{jobid}/apply",
    payload: Payload::None,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::None,
    auth: Auth::Write(|call| apply(call).boxed()),
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
    let page = ListPage { start_index: page.start_index, covered: changes.len(), more, total: None };
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
    if !undone.task.changes_contacts() {
        return Err(Failure::NothingToUndo(id));
    }
    if !undone.is_over() {
        return Err(Failure::JobNotOver(id));
    }
    if !undone.has_changes_at(call.now) {
        return Err(Failure::ChangesExpired(id));
    }
    Ok(Undo { caller, undone, dry_run, note })
}

async fn apply(call: WriteCall<'_>) -> Result<Answer, Failure> {
    let Apply { caller, preview, note } = prepare_apply(&call).await?;
    let run = call.app.jobs.apply_preview(&call.grant.portal, &preview, call.new_job(), note).await?;
    let run = run.ok_or(Failure::JobNotFound(preview.id))?;
    let shards = call.reads().summaries(&run).await?;
    Answer::accepted(&call.format, &run.view(&shards, call.now, &caller))
}

/// A request to make the changes of a preview.
struct Apply {
    caller: Caller,
    preview: Job,
    note: Option<String>,
}

/// Reads the caller's finished preview, which may already have a run.
async fn prepare_apply(call: &Call<'_>) -> Result<Apply, Failure> {
    let id = call.job_id()?;
    let mut query = call.query(queries::APPLY_PREVIEW);
    let note = query.note();
    query.finish()?;
    let (caller, preview) = visible_job(call, id).await?;
    if !preview.task.is_preview() {
        return Err(Failure::NotAPreview(id));
    }
    // Administrators see all previews, but a run acts with the rights of the preview's user.
    if preview.created_by != Author::User(caller.user) {
        return Err(Failure::PreviewNotFound(id));
    }
    if !preview.is_finished_preview() {
        return Err(Failure::PreviewNotFinished(id));
    }
    if preview.applied_by.is_none() && !preview.has_changes_at(call.now) {
        return Err(Failure::PreviewExpired(id));
    }
    Ok(Apply { caller, preview, note })
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

/// Reads and shows a job. A finished preview costs half a read unit more for each user in its effect.
async fn show_job(call: &Call<'_>, id: JobId) -> Result<Answer, Failure> {
    let (caller, job) = visible_job(call, id).await?;
    let shards = call.reads().summaries(&job).await?;
    let view = job.view(&shards, call.now, &caller);
    let Some(effect) = &job.effect else { return Answer::one(&call.format, &view) };
    let affected = effect.gains.largest.iter().chain(&effect.loses.largest).map(|(user, _)| *user);
    let directory = Entries { users: call.reads().users(affected).await?, ..Entries::default() };
    Answer::one(&call.format, &view.with_effect(effect, &directory))
}

/// Reads a job that the caller may see: administrators see all jobs, users their own.
async fn visible_job(call: &Call<'_>, id: JobId) -> Result<(Caller, Job), Failure> {
    let (caller, job) = call.caller_and(call.reads().job(id)).await?;
    let job = job.filter(|job| job.is_visible_to(&caller)).ok_or(Failure::JobNotFound(id))?;
    Ok((caller, job))
}
