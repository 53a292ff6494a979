//! Setting the access of contacts that a call names: counted, recorded, run at once or handed over.

use std::collections::BTreeMap;

use models::access::{Access, Actor, Author, Caller};
use models::job::contact_set::ContactSet;
use models::job::{Counts, Job, JobId, State, Task};
use models::values::id::{ContactId, PortalId};
use models::values::moment::Moment;
use store::contacts::AccessState;

use crate::context::Jobs;
use crate::run::{Applied, StartError};
use crate::shard::Deadline;
use crate::source::{ContactSource, Judge, Purpose, Rights, Source, Terms};

/// Such a job is small, and one worker's.
const SHARDS: u16 = 1;

/// What is to be done, decided when the contacts were loaded.
///
/// Last writer wins, as in a run by filter: a change that someone else makes between that loading and the writing is
/// overwritten, and what the job records as having been before is what was loaded.
#[derive(Clone, Debug)]
pub struct ContactsRun {
    /// The portal.
    pub portal: PortalId,
    /// On whose behalf.
    pub caller: Caller,
    /// Which contacts, with their access as it was read a moment ago. They exist.
    pub contacts: BTreeMap<ContactId, AccessState>,
    /// What their access becomes.
    pub target: Access,
    /// When the run started.
    pub started: Moment,
}

impl ContactsRun {
    fn terms(&self, purpose: Purpose) -> Terms<'_> {
        // The caller's rights were read together with the contacts.
        Terms { rights: Rights::Known(Actor::User(self.caller)), target: &self.target, purpose }
    }

    /// What [`Self::apply`] would come to. Nothing is read for it. Where it would update nothing, no job is needed.
    pub fn counts(&self) -> Counts {
        let judge = Judge { actor: Actor::User(self.caller), target: &self.target, purpose: Purpose::Preview };
        self.contacts.iter().map(|(&contact, state)| judge.judge(contact, None, state.clone()).counts()).sum()
    }

    /// The record of the run as a job. Its workers do not rely on what was loaded, and are told only which contacts.
    fn job(&self, jobs: &Jobs, id: JobId, state: State) -> Job {
        let contacts: ContactSet = self.contacts.keys().copied().collect();
        Job {
            id,
            state,
            created_by: Author::User(self.caller.user),
            created: self.started,
            started: (state == State::Running).then_some(self.started),
            finished: None,
            counts: Counts::default(),
            error: None,
            percent: 0,
            shards: SHARDS,
            expected: contacts.as_slice().len() as u64,
            changes_until: jobs.retention.map(|retention| self.started + retention),
            task: Task::Contacts { contacts, target: self.target.clone() },
        }
    }

    /// Records the run as a job that a worker does. What the worker finds removed, hidden from the caller or closed to
    /// its edits by then it leaves alone.
    ///
    /// # Errors
    ///
    /// [`StartError`] when no job was recorded.
    pub async fn enqueue(&self, jobs: &Jobs, id: JobId) -> Result<Job, StartError> {
        let job = self.job(jobs, id, State::Queued);
        tracing::info!(job = %id, contacts = self.contacts.len(), "job queued");
        jobs.enqueue(&self.portal, &job).await?;
        Ok(job)
    }

    /// Sets the access of the contacts, or as far as the time goes: a worker does the rest. The job's record is written
    /// before the first contact and once more at the end, at most 4 KB and the target each time. Per contact that
    /// changes, 1 write unit and its share of a chunk; nothing is read.
    ///
    /// # Errors
    ///
    /// [`StartError`] when no job was recorded; then nothing was changed.
    pub async fn apply(&self, jobs: &Jobs, id: JobId, deadline: &Deadline) -> Result<Applied, StartError> {
        let job = self.job(jobs, id, State::Running);
        tracing::info!(job = %id, contacts = self.contacts.len(), "job starts");
        let contacts: Vec<ContactId> = self.contacts.keys().copied().collect();
        let terms = self.terms(Purpose::Write(id));
        let source = ContactSource::new(&jobs.store, &self.portal, &contacts, None, terms).knowing(&self.contacts);
        let ran = jobs.run_now(&self.portal, job, vec![Source::Contacts(source)], 0, deadline).await?;
        Ok(ran.applied(|_| Vec::new()))
    }
}
