//! `GET /api/2.0/crm/contact/{contactid}/access/history` and `/why`: the changes of a contact's access, and the reasons
//! for a user's rights.

use std::collections::HashSet;

use api::answer::{ListAnswer, ListPage, Pushed};
use api::show::{VisibleContact, visible_contact, visible_contact_and};
use api::{Answer, Auth, Call, Endpoint, Failure};
use futures::FutureExt as _;
use jobs::chain::PastStep;
use models::access::{Access, Caller};
use models::directory::Entries;
use models::job::Job;
use models::job::history::{HistoryEntry, JobRef, Source, UserRef, Why};
use models::limits::MAX_FOLLOWED_CHANGES;
use models::request::queries;
use models::values::id::UserId;

use crate::reading;

/// Explains the rights of a user.
pub(crate) const WHY: Endpoint =
    reading("/api/2.0/crm/contact/{contactid}/access/why", Auth::Read(|call| why(call).boxed()));

/// Lists the changes of a contact's access.
pub(crate) const HISTORY: Endpoint =
    reading("/api/2.0/crm/contact/{contactid}/access/history", Auth::Read(|call| history(call).boxed()));

async fn why(call: Call<'_>) -> Result<Answer, Failure> {
    let id = call.contact_id()?;
    let mut query = call.query(queries::EXPLAIN_ACCESS);
    let subject = query.user();
    query.finish()?;
    let subject = subject.unwrap_or(call.grant.user);
    let VisibleContact { caller, state, users, .. } = visible_contact_and(&call, id, [subject]).await?;
    if subject != caller.user && !caller.is_admin {
        return Err(Failure::ReasonsForbidden);
    }
    let mut entries = Entries::default();
    entries.users.extend(users.into_iter().map(|user| (user.employee.id, user)));
    let user = entries.users.get(&subject).ok_or_else(|| Failure::UserNotFound(subject.to_string()))?.caller();
    // An import also has a revision, but no job.
    let job = match state.job() {
        Some(job) => call.reads().job(job).await?,
        None => None,
    };
    if let Some(author) = job.as_ref().and_then(|job| job.created_by.user())
        && !entries.users.contains_key(&author)
    {
        entries.users.extend(call.reads().users([author]).await?);
    }
    let set_by = job.as_ref().map(|job| JobRef::new(job, &entries, &caller));
    let named = UserRef::new(subject, &entries);
    Ok(Answer::one(&call.format, &Why::new(id, &state.access, &user, named, set_by))?.with_revision(state.job()))
}

async fn history(call: Call<'_>) -> Result<Answer, Failure> {
    let id = call.contact_id()?;
    let mut query = call.query(queries::LIST_HISTORY);
    let count = query.count();
    query.finish()?;
    let VisibleContact { caller, state, .. } = visible_contact(&call, id).await?;
    let revision = state.job();
    let (mut history, mut steps) = (call.reads().contact_history(id, state), Vec::new());
    // Steps that the caller may not see are followed, but not shown.
    for _ in 0..MAX_FOLLOWED_CHANGES {
        if steps.len() == count {
            break;
        }
        let Some(step) = history.next().await? else { break };
        if is_shown(&step, &caller) {
            steps.push(step);
        }
    }
    let users = call.reads().users(users_of(&steps, &caller)).await?;
    let entries = Entries { users, ..Entries::default() };
    let mut list = ListAnswer::new(&call.format, None);
    let mut shown = 0;
    for step in &steps {
        let entry = match step {
            PastStep::Changed(change) => {
                HistoryEntry::of_change(&change.job, &change.before, &change.after, &entries, &caller)
            }
            PastStep::Loaded(after) => HistoryEntry::of_source(Source::Loaded, after, &entries, &caller),
            PastStep::Expired { after, .. } => HistoryEntry::of_source(Source::Expired, after, &entries, &caller),
        };
        if list.push(&entry)? == Pushed::Full {
            break;
        }
        shown += 1;
    }
    let end = ListPage { start_index: 0, covered: shown, more: false, total: None }.end();
    Ok(list.finish(&end)?.with_revision(revision))
}

/// Returns whether the caller may see a state before or after a step.
fn is_shown(step: &PastStep, caller: &Caller) -> bool {
    match step {
        PastStep::Changed(change) => {
            let shows = |access: &Access| change.job.shows_state(access, caller);
            shows(&change.before) || shows(&change.after)
        }
        // The last step only tells that the history ends.
        PastStep::Loaded(_) | PastStep::Expired { .. } => true,
    }
}

/// Returns the users whose names the steps show.
fn users_of(steps: &[PastStep], caller: &Caller) -> HashSet<UserId> {
    let mut users = HashSet::new();
    for step in steps {
        let (states, job): (Vec<&Access>, Option<&Job>) = match step {
            PastStep::Changed(change) => (vec![&change.before, &change.after], Some(&change.job)),
            PastStep::Loaded(after) | PastStep::Expired { after, .. } => (vec![after], None),
        };
        users.extend(states.into_iter().flat_map(|access| caller.known_managers(access)));
        users.extend(job.and_then(|job| job.created_by.user()));
    }
    users
}
