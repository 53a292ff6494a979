//! `PUT /api/2.0/crm/contact/access`: sets who may see and edit each contact of a list, or changes none.

use std::collections::{BTreeMap, HashMap, HashSet};

use api::answer::{ListPage, Preference};
use api::endpoint::{Conditions, Dialect, Payload};
use api::show::{AccessAfter, access_after, check_managers, entries_of_contacts, show_job};
use api::{Answer, Auth, Call, Endpoint, Failure, WriteCall};
use futures::FutureExt as _;
use jobs::{Applied, ContactsRun, Outcome};
use models::access::Caller;
use models::answer::Fields;
use models::contact::{Contact, ContactRecord};
use models::directory::{Entries, User};
use models::job::{Counts, JobId};
use models::request::{Page, SetContactsAccess, queries};
use models::values::id::{ContactId, UserId};
use store::contacts::{AccessState, Loaded};

/// The endpoint of ONLYOFFICE's server for several contacts.
pub const ENDPOINT: Endpoint = Endpoint {
    function: "set-contacts-access",
    method: "PUT",
    path: "/api/2.0/crm/contact/access",
    payload: Payload::Fields,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::None,
    auth: Auth::Write(|call| handle(call).boxed()),
};

async fn handle(call: WriteCall<'_>) -> Result<Answer, Failure> {
    let mut query = call.query(queries::SET_CONTACTS_ACCESS);
    let (dry_run, note) = (query.dry_run(), query.note());
    let (page, fields) = (query.page(), query.fields());
    query.finish()?;
    let request = SetContactsAccess::parse(call.body()?)?;

    let users = request.target.given_managers().iter().copied().chain([call.grant.user]);
    let loaded = call.app.store.load(&call.grant.portal, &request.contacts, users).await?;
    let checked = check(&call, &request, loaded)?;
    let creators: Vec<UserId> = checked.contacts.iter().filter_map(|(record, _)| record.create_by).collect();

    let (contacts, records): (BTreeMap<ContactId, AccessState>, Vec<ContactRecord>) =
        checked.contacts.into_iter().map(|(record, state)| ((record.id, state), record)).unzip();
    let run = ContactsRun {
        portal: call.grant.portal.clone(),
        caller: checked.caller,
        contacts,
        target: request.target,
        started: call.now,
        note,
    };
    let mut after = expected_access(&run)?;
    let (Outcome { counts, left_out, .. }, job) = if dry_run && call.prefers_async() {
        let preview = run.enqueue_preview(&call.app.jobs, call.new_job()).await?;
        return show_job(&call, &run.caller, &preview, Preference::Applied).await;
    } else if dry_run {
        (run.counted(), None)
    } else if call.prefers_async() {
        let job = run.enqueue(&call.app.jobs, call.new_job()).await?;
        return show_job(&call, &run.caller, &job, Preference::Applied).await;
    } else if run.counted().counts.updated == 0 {
        // Contacts whose access already matches cost no write and get no job.
        (run.counted(), None)
    } else {
        match run.apply(&call.app.jobs, call.new_job(), &call.app.deadline(call.deadline)).await? {
            Applied::Completed { job, outcome } => (outcome, Some(job.id)),
            Applied::Requeued(job) => return show_job(&call, &run.caller, &job, Preference::NotApplied).await,
        }
    };
    // The answer shows what the call did, and leaves out the contacts that the run could no longer change.
    let left_out: HashSet<ContactId> = left_out.into_iter().collect();
    let records: Vec<ContactRecord> = records.into_iter().filter(|record| !left_out.contains(&record.id)).collect();
    let ids: Vec<ContactId> = records.iter().map(|record| record.id).collect();
    let read = async {
        if job.is_some() {
            // Others may have changed contacts since they were loaded.
            after = access_after(&call, &run.caller, &run.target, job, &ids).await?;
        }
        let named = creators.into_iter().chain(after.shown_managers());
        let entries = entries_of_contacts(call.app, &call.grant, named, checked.users).await?;
        Ok::<_, Failure>((after, entries))
    };
    let (after, entries) = match (read.await, job) {
        (Ok(found), _) => found,
        // The contacts are already changed, so a failed read must not look like a failed change.
        (Err(failure), Some(job)) => {
            failure.log();
            return Answer::started(job);
        }
        (Err(failure), None) => return Err(failure),
    };
    let shown = Shown { after: &after, counts, job, page, fields: fields.as_ref() };
    shown.answer(&call, &run, records.into_iter(), &entries)
}

/// The inputs of the run, after all checks.
struct Checked {
    caller: Caller,
    /// The contacts, in the order of the request.
    contacts: Vec<(ContactRecord, AccessState)>,
    users: HashMap<UserId, User>,
}

fn check(call: &Call<'_>, request: &SetContactsAccess, mut loaded: Loaded) -> Result<Checked, Failure> {
    let caller = call.caller_among(&loaded.users)?;
    check_managers(&request.target, |id| loaded.users.contains_key(id))?;
    let (mut contacts, mut missing, mut forbidden) = (Vec::with_capacity(request.contacts.len()), vec![], vec![]);
    for &id in &request.contacts {
        match loaded.contacts.remove(&id) {
            Some((record, state)) if caller.may_see(&state.access) => {
                if !caller.may_edit(&state.access) {
                    forbidden.push(id);
                }
                contacts.push((record, state));
            }
            _ => missing.push(id),
        }
    }
    if !missing.is_empty() {
        return Err(Failure::ContactsNotFound(missing));
    }
    if !forbidden.is_empty() {
        return Err(Failure::EditsForbidden(forbidden));
    }
    Ok(Checked { caller, contacts, users: loaded.users })
}

/// Returns the access of the contacts after the change, from the access that the call loaded.
fn expected_access(run: &ContactsRun) -> Result<AccessAfter<'_>, Failure> {
    if let Some(access) = run.target.replacement() {
        return Ok(AccessAfter::Same(access));
    }
    let (mut accesses, mut full) = (HashMap::with_capacity(run.contacts.len()), Vec::new());
    for (contact, state) in &run.contacts {
        match run.target.applied_to(&state.access) {
            Ok(after) => drop(accesses.insert(*contact, after)),
            Err(_) => full.push(*contact),
        }
    }
    if full.is_empty() { Ok(AccessAfter::Each(accesses)) } else { Err(Failure::TooManyManagers(full)) }
}

/// The inputs of the answer.
struct Shown<'a> {
    after: &'a AccessAfter<'a>,
    counts: Counts,
    job: Option<JobId>,
    page: Page,
    fields: Option<&'a Fields>,
}

impl Shown<'_> {
    /// Shows the contacts of the page with their new access, in the order of the request.
    fn answer(
        self,
        call: &Call<'_>,
        run: &ContactsRun,
        records: impl ExactSizeIterator<Item = ContactRecord>,
        entries: &Entries,
    ) -> Result<Answer, Failure> {
        let Page { start_index, count } = self.page;
        let all = records.len();
        let shown = all.saturating_sub(start_index).min(count);
        let contacts = records.skip(start_index).take(count).filter_map(|record| {
            let access = self.after.of(record.id)?;
            Some(Contact::new(record, access, entries, &run.caller))
        });
        let page = ListPage::counted(start_index, shown, all as u64);
        let answer = Answer::contacts(&call.format, contacts, page, self.fields)?;
        Ok(answer.with_counts(&self.counts).with_job(self.job))
    }
}
