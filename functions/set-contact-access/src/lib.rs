//! `PUT /api/2.0/crm/contact/{contactid}/access`: sets who may see and edit one contact.

use api::endpoint::{Conditions, Dialect, Payload};
use api::show::{check_managers, entries_of_contact, show_recorded_change};
use api::{Answer, Auth, Call, Endpoint, Failure, NextAttempt, WriteCall};
use futures::FutureExt as _;
use jobs::{ContactOutcome, ContactRun, LoadedContact};
use models::access::{Access, Author, Caller};
use models::contact::{Contact, ContactRecord};
use models::directory::User;
use models::request::{SetContactAccess, queries};
use store::contacts::{AccessState, Loaded};

/// The endpoint of ONLYOFFICE's reference page for one contact.
pub const ENDPOINT: Endpoint = Endpoint {
    function: "set-contact-access",
    method: "PUT",
    path: "/api/2.0/crm/contact/{contactid}/access",
    payload: Payload::Fields,
    dialect: Dialect::Documents,
    conditions: Conditions::IfMatch,
    auth: Auth::Write(|call| handle(call).boxed()),
};

/// Sets the access in three sequential DynamoDB round trips: read the data for the decision, read the entries for the
/// answer and write the postings, write the access record with the job. Repeats the round trips when another call has
/// changed the access in the meantime.
async fn handle(call: WriteCall<'_>) -> Result<Answer, Failure> {
    let contact = call.contact_id()?;
    let mut query = call.query(queries::SET_CONTACT_ACCESS);
    let (dry_run, note, fields) = (query.dry_run(), query.note(), query.fields());
    query.finish()?;
    let SetContactAccess { target } = SetContactAccess::parse(call.body()?, contact)?;

    let run = ContactRun {
        portal: call.grant.portal.clone(),
        author: Author::User(call.grant.user),
        contact,
        target,
        job: call.new_job(),
        started: call.now,
        note,
    };
    let (jobs, mut attempts) = (&call.app.jobs, call.attempts());
    loop {
        let users = run.target.given_managers().iter().copied().chain([call.grant.user]);
        let loaded = match run.load(jobs, users).await? {
            LoadedContact::Loaded(loaded) => loaded,
            LoadedContact::AlreadyWritten(job) => return show_recorded_change(&call, &job).await,
        };
        let Decision { caller, record, before, after, users } = decide(&call, &run, loaded)?;
        // A contact whose access stays the same costs no write and gets no job.
        let writes = !dry_run && after != before.access;

        // Write the postings before the access record, concurrently with the reads for the answer.
        let prepared =
            async { if writes { Ok(Some(run.prepare(jobs, &before, after.clone()).await?)) } else { Ok(None) } };
        let (entries, prepared) = futures::try_join!(entries_of_contact(&call, &record, &after, users), prepared)?;
        if let Some(prepared) = prepared
            && run.apply(jobs, &before, prepared).await? == ContactOutcome::Overtaken
        {
            match attempts.wait().await {
                NextAttempt::Allowed => continue,
                NextAttempt::Exhausted => return Err(Failure::Contended(contact)),
            }
        }

        let job = writes.then_some(run.job);
        let shown = Contact::new(record, &after, &entries, &caller);
        return Ok(Answer::contact(&call.format, &shown, fields.as_ref())?
            .with_revision(job.or(before.job()))
            .with_job(job));
    }
}

/// The inputs of the write, after all checks.
struct Decision {
    caller: Caller,
    record: ContactRecord,
    before: AccessState,
    /// The access after the change.
    after: Access,
    users: Vec<User>,
}

fn decide(call: &Call<'_>, run: &ContactRun, mut loaded: Loaded) -> Result<Decision, Failure> {
    let contact = run.contact;
    let caller = call.caller_among(&loaded.users)?;
    check_managers(&run.target, |id| loaded.users.contains_key(id))?;
    let (record, before) = loaded.contacts.remove(&contact).ok_or(Failure::ContactNotFound(contact))?;
    if !caller.may_see(&before.access) {
        return Err(Failure::ContactNotFound(contact));
    }
    if !caller.may_edit(&before.access) {
        return Err(Failure::EditForbidden(contact));
    }
    call.check_revision(before.job())?;
    let after = run.target.applied_to(&before.access).map_err(|_| Failure::TooManyManagers(vec![contact]))?;
    Ok(Decision { caller, record, before, after, users: loaded.users.into_values().collect() })
}
