//! Contacts on their way into an answer.

use std::collections::{HashMap, HashSet};

use models::access::{Access, Caller};
use models::contact::{Contact, ContactRecord};
use models::directory::{Entries, Grant, User};
use models::job::Job;
use models::values::id::{ContactId, UserId};
use store::contacts::AccessState;
use store::directory::Lists;

use crate::answer::Answer;
use crate::app::App;
use crate::call::Call;
use crate::failure::Failure;

/// Checks that every manager of `access` is among the `known` users.
///
/// # Errors
///
/// [`Failure::UnknownManagers`] names those that are not.
pub fn check_managers(access: &Access, is_known: impl Fn(&UserId) -> bool) -> Result<(), Failure> {
    let unknown: Vec<UserId> = access.managers.iter().filter(|id| !is_known(id)).copied().collect();
    if unknown.is_empty() { Ok(()) } else { Err(Failure::UnknownManagers(unknown)) }
}

/// A contact that the caller may see, with its access as it is now, and who is asking.
#[derive(Debug)]
pub struct Visible {
    /// The caller, with the rights it has now.
    pub caller: Caller,
    /// The contact.
    pub record: ContactRecord,
    /// Its access.
    pub state: AccessState,
    /// The caller as a user of the directory.
    pub users: Vec<User>,
}

/// Reads the contact that the call's path names, consistently, so that who has just changed its access sees that: 1 read
/// unit each for the contact, its access and the caller.
///
/// # Errors
///
/// [`Failure::ContactNotFound`] for one that is not there or that the caller may not see.
pub async fn visible(call: &Call<'_>, contact: ContactId) -> Result<Visible, Failure> {
    let mut loaded = call.app.store.load(&call.grant.portal, &[contact], [call.grant.user]).await?;
    let caller = call.caller_among(&loaded.users)?;
    let found = loaded.contacts.remove(&contact).filter(|(_, state)| caller.may_see(&state.access));
    let (record, state) = found.ok_or(Failure::ContactNotFound(contact))?;
    Ok(Visible { caller, record, state, users: loaded.users.into_values().collect() })
}

/// The directory entries that a contact with this access refers to, of which `users` are known already: half a read unit
/// each.
pub async fn shown_beside(
    call: &Call<'_>,
    record: &ContactRecord,
    access: &Access,
    users: Vec<User>,
) -> Result<Entries, Failure> {
    let named = |id: i32| (id != 0).then_some(id);
    let is_known = |id: &UserId| users.iter().any(|user| user.employee.id == *id);
    // Nobody is shown the list of a contact that is shared.
    let managers = access.managers.iter().filter(|_| access.share.is_private());
    let unknown: Vec<UserId> = record.create_by.iter().chain(managers).filter(|id| !is_known(id)).copied().collect();
    let (stage, contact_type) = (named(record.stage), named(record.contact_type));
    let mut entries = call.app.store.entries(&call.grant.portal, stage, contact_type, unknown).await?;
    entries.users.extend(users.into_iter().map(|user| (user.employee.id, user)));
    Ok(entries)
}

/// The stages, types and users that contacts refer to, of which `users` are known already: half a read unit per 4 KB of
/// stages and types, and half a unit for each creator.
pub async fn entries_beside(
    app: &App,
    grant: &Grant,
    creators: impl IntoIterator<Item = UserId>,
    mut users: HashMap<UserId, User>,
) -> Result<Entries, Failure> {
    let unknown: HashSet<UserId> = creators.into_iter().filter(|id| !users.contains_key(id)).collect();
    let (lists, creators) =
        futures::try_join!(app.store.lists(&grant.portal), app.store.users(&grant.portal, unknown))?;
    users.extend(creators);
    Ok(Entries { stages: lists.stages, types: lists.types, users })
}

/// The answer of a change of the one contact that the call's path names, which was made already by `job`: the contact with
/// what it was given then.
///
/// # Errors
///
/// [`Failure::ContactNotFound`] for one that is not there any more.
pub async fn show_made(call: &Call<'_>, job: &Job) -> Result<Answer, Failure> {
    let contact = call.contact_id()?;
    let fields = call.query().fields();
    let target = job.task.target().ok_or_else(|| Failure::Internal("a change of a contact without a target".into()))?;
    let users = target.managers.iter().copied().chain([call.grant.user]);
    let mut loaded = call.app.store.load(&call.grant.portal, &[contact], users).await?;
    let caller = call.caller_among(&loaded.users)?;
    let (record, now) = loaded.contacts.remove(&contact).ok_or(Failure::ContactNotFound(contact))?;
    let entries = shown_beside(call, &record, target, loaded.users.into_values().collect()).await?;
    let mut shown = Contact::new(record, target, &entries, &caller);
    if now.revision != Some(job.id) && !caller.may_see(&now.access) {
        shown = shown.veiled();
    }
    Ok(Answer::contact(&call.wanted, &shown, fields.as_ref())?.with_revision(Some(job.id)).with_job(Some(job.id)))
}

/// The answer to a call whose job workers do, or go on with; `preferred` when that is what the caller asked for.
pub async fn accepted(call: &Call<'_>, caller: &Caller, job: &Job, preferred: bool) -> Result<Answer, Failure> {
    let shards = call.app.jobs.summaries(&call.grant.portal, job).await.unwrap_or_else(|error| {
        // The job is recorded, and the caller must hear of it.
        tracing::error!(job = %job.id, error = &error as &dyn std::error::Error, "shards not read");
        Vec::new()
    });
    let wanted = call.wanted_of_job().await.unwrap_or_else(|failure| {
        // The job is recorded, and the caller must hear of it.
        failure.log();
        call.wanted.in_onlyoffice()
    });
    Ok(Answer::accepted(&wanted, &job.view(&shards, call.app.now(), caller))?.with_preference_applied(preferred))
}

/// The contacts of an answer in the order of `ids`, and the directory entries that they refer to. Half a read unit per
/// contact and 4 KB, and per user who created one of them. `entries` holds the users that are known already.
pub async fn records_beside(
    app: &App,
    grant: &Grant,
    ids: &[ContactId],
    lists: Lists,
    mut entries: Entries,
) -> Result<(Vec<ContactRecord>, Entries), Failure> {
    let mut records = app.store.contacts(&grant.portal, ids).await?;
    let creators: HashSet<UserId> =
        records.values().filter_map(|record| record.create_by).filter(|id| !entries.users.contains_key(id)).collect();
    entries.users.extend(app.store.users(&grant.portal, creators).await?);
    entries.stages = lists.stages;
    entries.types = lists.types;
    // A contact that was removed since its index entry was read is left out.
    Ok((ids.iter().filter_map(|id| records.remove(id)).collect(), entries))
}
