//! `PUT /api/2.0/crm/contact/{contactid}/access`: sets who may see and edit one contact.

use api::contacts::{check_managers, show_made, shown_beside};
use api::endpoint::{Conditions, Dialect, Payload};
use api::{Answer, Auth, Call, Endpoint, Failure};
use futures::FutureExt as _;
use jobs::Events;
use models::access::{Author, Caller};
use models::contact::{Contact, ContactRecord};
use models::directory::{Scope, User};
use models::job::{Counts, Job, JobId, State, Task};
use models::request::{SetContactAccess, queries};
use models::values::id::ContactId;
use store::contacts::{AccessRecord, AccessState, Loaded};
use store::postings::Postings;
use tokio::time::Instant;

/// The endpoint of ONLYOFFICE's reference page for one contact.
pub const ENDPOINT: Endpoint = Endpoint {
    function: "set-contact-access",
    method: "PUT",
    path: "/api/2.0/crm/contact/{contactid}/access",
    payload: Payload::Fields,
    dialect: Dialect::Documents,
    conditions: Conditions::IfMatch,
    auth: Auth::Token(Scope::Write, |call| handle(call).boxed()),
};

/// Sets the access in three sequential DynamoDB round trips: read the data for the decision, read the entries for the
/// answer and write the manager index, write the access record with the job.
async fn handle(call: Call<'_>) -> Result<Answer, Failure> {
    let contact = call.contact_id()?;
    let mut query = call.query(queries::SET_CONTACT_ACCESS);
    let (dry_run, fields) = (query.dry_run(), query.fields());
    query.finish()?;
    let request = SetContactAccess::parse(call.body()?, contact)?;

    let (mut pauses, new_job) = (store::dynamodb::backoff::pauses(), call.new_job());
    loop {
        let users = request.target.managers.iter().copied().chain([call.grant.user]);
        let loaded = call.app.store.load(&call.grant.portal, &[contact], users).await?;

        if let Some((_, state)) = loaded.contacts.get(&contact)
            && state.revision == Some(new_job)
            && let Some(made) = call.app.store.job(&call.grant.portal, new_job).await?
        {
            // The write succeeded, but its response was lost.
            return show_made(&call, &made).await;
        }
        let Decision { caller, record, before, users } = decide(&call, contact, &request, loaded)?;
        // A contact whose access already matches costs no write and gets no job.
        let job = (!dry_run && before.access != request.target).then_some(new_job);

        // Write the manager index before the access record, concurrently with the reads for the answer.
        let posted = async {
            let mut postings = Postings::default();
            if job.is_some() {
                postings.add(contact, &before.access, &request.target);
            }
            Ok(call.app.store.index_managers(&call.grant.portal, &postings, call.app.now()).await?)
        };
        let (entries, ()) = futures::try_join!(shown_beside(&call, &record, &request.target, users), posted)?;
        if let Some(job) = job
            && !write(&call, contact, &caller, &before, &request, job).await?
        {
            match pauses.next() {
                Some(pause) if Instant::now() + pause < call.deadline => tokio::time::sleep(pause).await,
                _ => return Err(Failure::Contended(contact)),
            }
            continue;
        }

        let shown = Contact::new(record, &request.target, &entries, &caller);
        return Ok(Answer::contact(&call.wanted, &shown, fields.as_ref())?
            .with_revision(job.or(before.revision))
            .with_job(job));
    }
}

/// The inputs of the write, after all checks.
struct Decision {
    caller: Caller,
    record: ContactRecord,
    before: AccessState,
    users: Vec<User>,
}

fn decide(
    call: &Call<'_>,
    contact: ContactId,
    request: &SetContactAccess,
    mut loaded: Loaded,
) -> Result<Decision, Failure> {
    let caller = call.caller_among(&loaded.users)?;
    check_managers(&request.target, |id| loaded.users.contains_key(id))?;
    let (record, before) = loaded.contacts.remove(&contact).ok_or(Failure::ContactNotFound(contact))?;
    if !caller.may_see(&before.access) {
        return Err(Failure::ContactNotFound(contact));
    }
    if !caller.may_edit(&before.access) {
        return Err(Failure::EditForbidden(contact));
    }
    call.check_revision(before.revision)?;
    Ok(Decision { caller, record, before, users: loaded.users.into_values().collect() })
}

/// Writes the access record and its job in one transaction. Returns false if someone else changed the access since it
/// was read.
async fn write(
    call: &Call<'_>,
    contact: ContactId,
    caller: &Caller,
    before: &AccessState,
    request: &SetContactAccess,
    id: JobId,
) -> Result<bool, Failure> {
    let (target, author) = (&request.target, Author::User(caller.user));
    let job = Job {
        id,
        state: State::Done,
        created_by: author,
        created: call.now,
        started: Some(call.now),
        finished: Some(call.now),
        task: Task::Contact { target: target.clone() },
        counts: Counts { matched: 1, updated: 1, ..Counts::default() },
        error: None,
        percent: 100,
        shards: 1,
        expected: 1,
        // The job record itself holds the access from before, and is never deleted.
        changes_until: None,
    };
    // The job stays open until its event is published.
    let open = !matches!(call.app.jobs.events, Events::Off);
    let record = AccessRecord { access: target, revision: id, set_by: author, set_at: call.now };
    let portal = &call.grant.portal;
    match call.app.store.write_access_with_job(portal, contact, before, &record, &job, open).await {
        Ok(()) => Ok(true),
        Err(error) if error.is_condition_failed() => Ok(false),
        Err(error) => Err(error.into()),
    }
}
