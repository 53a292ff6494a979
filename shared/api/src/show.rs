//! Answers that show contacts and jobs, and the reads for these answers.

use std::collections::{HashMap, HashSet};

use models::access::{Access, Caller, Target};
use models::contact::{Contact, ContactRecord};
use models::directory::{Entries, Grant, User};
use models::job::{Job, JobId};
use models::request::queries;
use models::values::id::{ContactId, UserId};
use store::contacts::AccessState;
use store::directory::Lists;

use crate::answer::{Answer, Preference};
use crate::app::App;
use crate::call::Call;
use crate::failure::Failure;

/// Checks that every manager whom the change gives to contacts is a known user.
///
/// # Errors
///
/// [`Failure::UnknownManagers`] names the unknown managers.
pub fn check_managers(target: &Target, is_known: impl Fn(&UserId) -> bool) -> Result<(), Failure> {
    let users: Vec<UserId> = target.given_managers().iter().filter(|id| !is_known(id)).copied().collect();
    let field = target.given_managers_field();
    if users.is_empty() { Ok(()) } else { Err(Failure::UnknownManagers { field, users }) }
}

/// The access of the contacts of an answer after a change.
#[derive(Debug)]
pub enum AccessAfter<'a> {
    /// Every contact has this access.
    Same(&'a Access),
    /// Each contact has its own access. A contact that the caller may no longer see is missing.
    Each(HashMap<ContactId, Access>),
}

impl AccessAfter<'_> {
    /// Returns the access of a contact; `None` if the caller may no longer see the contact.
    pub fn of(&self, contact: ContactId) -> Option<&Access> {
        match self {
            Self::Same(access) => Some(access),
            Self::Each(accesses) => accesses.get(&contact),
        }
    }

    /// Returns the managers that answers show. The managers of shared contacts are never shown.
    pub fn shown_managers(&self) -> HashSet<UserId> {
        let shown = |access: &Access| if access.share.is_private() { access.managers.clone() } else { Vec::new() };
        match self {
            Self::Same(access) => shown(access).into_iter().collect(),
            Self::Each(accesses) => accesses.values().flat_map(shown).collect(),
        }
    }
}

/// Returns the access of contacts after `target` was applied to them by `job`, or would be applied without a job. Reads
/// the access of each contact if the change depends on the contact: 1 read unit per contact and 4 KB.
pub async fn access_after<'a>(
    call: &Call<'_>,
    caller: &Caller,
    target: &'a Target,
    job: Option<JobId>,
    contacts: &[ContactId],
) -> Result<AccessAfter<'a>, Failure> {
    if let Some(access) = target.replacement() {
        return Ok(AccessAfter::Same(access));
    }
    let mut states = call.app.store.current_access_of(&call.grant.portal, contacts).await?;
    let mut accesses = HashMap::with_capacity(contacts.len());
    for contact in contacts {
        let state = states.take(*contact)?;
        if job.is_some_and(|job| state.is_written_by(job)) {
            // By this change, the caller may have lost the right to see the contact.
            accesses.insert(*contact, state.access);
        } else if !state.is_removed && caller.may_see(&state.access) {
            let after = target.applied_to(&state.access).unwrap_or(state.access);
            accesses.insert(*contact, after);
        }
    }
    Ok(AccessAfter::Each(accesses))
}

/// A contact that the caller may see, with its current access, and the caller.
#[derive(Debug)]
pub struct VisibleContact {
    /// The caller, with its current rights.
    pub caller: Caller,
    /// The contact.
    pub record: ContactRecord,
    /// The contact's access.
    pub state: AccessState,
    /// The caller and the requested users, as users of the directory.
    pub users: Vec<User>,
}

/// Reads a contact consistently, so that a caller sees its own latest change: 1 read unit each for the contact, its
/// access and the caller.
///
/// # Errors
///
/// [`Failure::ContactNotFound`] if the contact does not exist or the caller may not see it.
pub async fn visible_contact(call: &Call<'_>, contact: ContactId) -> Result<VisibleContact, Failure> {
    visible_contact_and(call, contact, []).await
}

/// Reads a contact like [`visible_contact`], and the existing users among `users`: 1 read unit for each user.
///
/// # Errors
///
/// See [`visible_contact`].
pub async fn visible_contact_and(
    call: &Call<'_>,
    contact: ContactId,
    users: impl IntoIterator<Item = UserId>,
) -> Result<VisibleContact, Failure> {
    let users = users.into_iter().chain([call.grant.user]);
    let mut loaded = call.app.store.load(&call.grant.portal, &[contact], users).await?;
    let caller = call.caller_among(&loaded.users)?;
    let found = loaded.contacts.remove(&contact).filter(|(_, state)| caller.may_see(&state.access));
    let (record, state) = found.ok_or(Failure::ContactNotFound(contact))?;
    Ok(VisibleContact { caller, record, state, users: loaded.users.into_values().collect() })
}

/// Reads the directory entries that a contact with this access refers to: half a read unit each. The `users` are
/// already read.
pub async fn entries_of_contact(
    call: &Call<'_>,
    record: &ContactRecord,
    access: &Access,
    users: Vec<User>,
) -> Result<Entries, Failure> {
    let named = |id: i32| (id != 0).then_some(id);
    let is_known = |id: &UserId| users.iter().any(|user| user.employee.id == *id);
    // The manager list of a shared contact is never shown.
    let managers = access.managers.iter().filter(|_| access.share.is_private());
    let unknown: Vec<UserId> = record.create_by.iter().chain(managers).filter(|id| !is_known(id)).copied().collect();
    let (stage, contact_type) = (named(record.stage), named(record.contact_type));
    let mut entries = call.app.store.entries(&call.grant.portal, stage, contact_type, unknown).await?;
    entries.users.extend(users.into_iter().map(|user| (user.employee.id, user)));
    Ok(entries)
}

/// Reads the stages, types and users that contacts refer to: half a read unit per 4 KB of stages and types, and half a
/// read unit for each of the `named` users. The `users` are already read.
pub async fn entries_of_contacts(
    app: &App,
    grant: &Grant,
    named: impl IntoIterator<Item = UserId>,
    mut users: HashMap<UserId, User>,
) -> Result<Entries, Failure> {
    let unknown: HashSet<UserId> = named.into_iter().filter(|id| !users.contains_key(id)).collect();
    let (lists, named) = futures::try_join!(app.store.lists(&grant.portal), app.store.users(&grant.portal, unknown))?;
    users.extend(named);
    Ok(Entries { stages: lists.stages, types: lists.types, users })
}

/// Shows the contact in the call's path, with the access that `job` set.
///
/// # Errors
///
/// [`Failure::ContactNotFound`] if the contact no longer exists.
pub async fn show_recorded_change(call: &Call<'_>, job: &Job) -> Result<Answer, Failure> {
    let contact = call.contact_id()?;
    let fields = call.query(queries::SET_CONTACT_ACCESS).fields();
    let changes = call.app.store.single_change(&call.grant.portal, job.id).await?;
    let after = changes.first().and_then(|change| change.after_in(job));
    let after = after.ok_or_else(|| Failure::Internal("the job of a contact has no change".into()))?;
    let users = after.managers.iter().copied().chain([call.grant.user]);
    let mut loaded = call.app.store.load(&call.grant.portal, &[contact], users).await?;
    let caller = call.caller_among(&loaded.users)?;
    let (record, now) = loaded.contacts.remove(&contact).ok_or(Failure::ContactNotFound(contact))?;
    let entries = entries_of_contact(call, &record, after, loaded.users.into_values().collect()).await?;
    let mut shown = Contact::new(record, after, &entries, &caller);
    if !now.is_written_by(job.id) && !caller.may_see(&now.access) {
        shown = shown.veiled();
    }
    Ok(Answer::contact(&call.format, &shown, fields.as_ref())?.with_revision(Some(job.id)).with_job(Some(job.id)))
}

/// Shows a job that workers run or continue.
pub async fn show_job(call: &Call<'_>, caller: &Caller, job: &Job, preference: Preference) -> Result<Answer, Failure> {
    let shards = call.app.jobs.summaries(&call.grant.portal, job).await.unwrap_or_else(|error| {
        // The job is stored, so the caller must learn its identifier.
        tracing::error!(job = %job.id, error = &error as &dyn std::error::Error, "progress of the job not read");
        Vec::new()
    });
    let format = call.job_format().await.unwrap_or_else(|failure| {
        // The job is stored, so the caller must learn its identifier.
        failure.log();
        call.format.in_onlyoffice()
    });
    Ok(Answer::accepted(&format, &job.view(&shards, call.app.now(), caller))?.with_preference(preference))
}

/// Reads the contacts of an answer in the order of `ids`, and their directory entries: half a read unit per contact and
/// 4 KB, and half a read unit per creator. `entries` holds the users that are already read.
pub async fn contacts_in_order(
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
    // A contact that was removed after its index entry was read is left out.
    Ok((ids.iter().filter_map(|id| records.remove(id)).collect(), entries))
}
