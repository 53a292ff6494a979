//! Sets the access of contacts that a call names: preview, record, run now or queue.

use std::collections::BTreeMap;

use models::access::{Actor, Author, Caller, Target};
use models::filter::AccessCriteria;
use models::job::contact_set::ContactSet;
use models::job::{Job, JobId, NewJob, PreviewTask, Task};
use models::request::Page;
use models::values::id::{ContactId, PortalId};
use models::values::timestamp::Timestamp;
use store::contacts::AccessState;

use crate::context::Jobs;
use crate::run::filter::preview_end;
use crate::run::{Applied, Outcome, StartError};
use crate::shard::Deadline;
use crate::source::{ContactSource, Purpose, Rights, Source, Terms};

/// A job over named contacts is small enough for one worker.
const SHARDS: u16 = 1;

/// The answer shows the contacts that the call named, and needs no positions from the run.
const NO_PAGE: Page = Page { count: 0, start_index: 0 };

/// A run over the contacts that a call names.
///
/// The job records the loaded access as the previous access. The run judges a contact again that others changed between
/// loading and writing, as a run by filter does.
#[derive(Clone, Debug)]
pub struct ContactsRun {
    /// The portal.
    pub portal: PortalId,
    /// The user on whose behalf the run acts.
    pub caller: Caller,
    /// The existing contacts, with the access that the call loaded.
    pub contacts: BTreeMap<ContactId, AccessState>,
    /// The change of each contact's access.
    pub target: Target,
    /// When the run started.
    pub started: Timestamp,
    /// The note that the job shows.
    pub note: Option<String>,
}

impl ContactsRun {
    fn terms(&self, purpose: Purpose) -> Terms<'_> {
        // The caller's rights were read together with the contacts.
        let rights = Rights::Known(Actor::User(self.caller));
        Terms { rights, criteria: AccessCriteria::default(), target: &self.target, purpose }
    }

    /// Returns the outcome that [`Self::apply`] would have. Reads nothing. A run without updates needs no job.
    pub fn counted(&self) -> Outcome {
        let judge = self.terms(Purpose::Count).judge(Actor::User(self.caller));
        let verdicts = self.contacts.iter().map(|(&contact, state)| judge.judge(contact, None, state.clone()));
        Outcome { counts: verdicts.map(|verdict| verdict.counts()).sum(), ..Outcome::default() }
    }

    /// Returns the run's job record. The record holds only the contacts' identifiers, so workers read the access again.
    fn record(&self, jobs: &Jobs, id: JobId) -> NewJob {
        let contacts: ContactSet = self.contacts.keys().copied().collect();
        NewJob {
            id,
            created_by: Author::User(self.caller.user),
            created: self.started,
            shards: SHARDS,
            expected: contacts.as_slice().len() as u64,
            changes_until: jobs.changes_until(self.started),
            note: self.note.clone(),
            task: Task::Contacts { contacts, target: self.target.clone() },
        }
    }

    /// Records the run as a job for a worker. The worker skips contacts that were removed, are hidden from the caller
    /// or may no longer be edited.
    ///
    /// # Errors
    ///
    /// [`StartError`] when no job was recorded.
    pub async fn enqueue(&self, jobs: &Jobs, id: JobId) -> Result<Job, StartError> {
        let job = self.record(jobs, id).queued();
        tracing::info!(job = %id, contacts = self.contacts.len(), "job queued");
        jobs.enqueue(&self.portal, &job).await?;
        Ok(job)
    }

    /// Records a preview of the run as a job for a worker. The worker records the changes and writes no contact.
    ///
    /// # Errors
    ///
    /// [`StartError`] when no job was recorded.
    pub async fn enqueue_preview(&self, jobs: &Jobs, id: JobId) -> Result<Job, StartError> {
        let (contacts, target) = (self.contacts.keys().copied().collect(), self.target.clone());
        let preview = NewJob {
            changes_until: Some(preview_end(self.started)),
            task: Task::Preview(PreviewTask::Contacts { contacts, target }),
            ..self.record(jobs, id)
        };
        let job = preview.queued();
        tracing::info!(job = %id, contacts = self.contacts.len(), "preview queued");
        jobs.enqueue(&self.portal, &job).await?;
        Ok(job)
    }

    /// Sets the access of the contacts until the deadline. A worker processes the remaining contacts. Writes the job's
    /// record before the first contact and again at the end; the record takes at most 4 KB plus the target. Costs 1
    /// write unit per changed contact and its share of a chunk. Reads nothing.
    ///
    /// # Errors
    ///
    /// [`StartError`] when no job was recorded; then nothing was changed.
    pub async fn apply(&self, jobs: &Jobs, id: JobId, deadline: &Deadline) -> Result<Applied, StartError> {
        let job = self.record(jobs, id).running();
        tracing::info!(job = %id, contacts = self.contacts.len(), "job starts");
        let contacts: Vec<ContactId> = self.contacts.keys().copied().collect();
        let terms = self.terms(Purpose::Write(id));
        let source = ContactSource::new(&jobs.store, &self.portal, &contacts, None, terms).with_access(&self.contacts);
        let ran = jobs.run_now(&self.portal, job, vec![Source::Contacts(source)], 0, deadline).await?;
        Ok(ran.applied(NO_PAGE))
    }
}
