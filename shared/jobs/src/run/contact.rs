//! Sets the access of one contact: load, prepare, write.
//!
//! A run makes at most three round trips: [`ContactRun::load`], [`ContactRun::prepare`] and [`ContactRun::apply`].
//! After `load`, the caller checks whether the change is allowed, and applies the change to the loaded access. A
//! contact whose access stays the same needs no further step: no write and no job. If somebody else changes the access
//! between `load` and `apply`, the run starts again.

use models::access::{Access, Author, Target};
use models::job::{Counts, Job, JobId, NewJob, Revision, Task};
use models::values::id::{ContactId, PortalId, UserId};
use models::values::timestamp::Timestamp;
use store::StoreError;
use store::contacts::{AccessRecord, AccessState, Loaded};
use store::dynamodb::batch::Priority;
use store::jobs::RecordedJob;
use store::postings::Postings;

use crate::context::{Events, Jobs};

/// A change of one contact.
#[derive(Clone, Debug)]
pub struct ContactRun {
    /// The portal.
    pub portal: PortalId,
    /// The author of the change.
    pub author: Author,
    /// The contact.
    pub contact: ContactId,
    /// The change of the access. The caller computes the access after the change from the loaded contact.
    pub target: Target,
    /// The job that records the change.
    pub job: JobId,
    /// When the run started.
    pub started: Timestamp,
    /// The note that the job shows.
    pub note: Option<String>,
}

/// The contact that a run loaded.
#[derive(Debug)]
pub enum LoadedContact {
    /// The contact, if it exists, and the users.
    Loaded(Loaded),
    /// An earlier attempt of this run wrote the change, but its response was lost.
    AlreadyWritten(Box<Job>),
}

/// The result of [`ContactRun::prepare`], without which no change is written.
#[derive(Clone, Debug)]
pub struct PreparedContact {
    /// The access after the change.
    after: Access,
}

/// The result of [`ContactRun::apply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContactOutcome {
    /// The access and its job are written.
    Written,
    /// Somebody else changed the access since it was loaded. Nothing was written.
    Overtaken,
}

impl ContactRun {
    /// Reads the contact, its access and `users` consistently, in one round trip: 1 read unit per 4 KB of each item.
    ///
    /// # Errors
    ///
    /// When the table fails.
    pub async fn load(
        &self,
        jobs: &Jobs,
        users: impl IntoIterator<Item = UserId>,
    ) -> Result<LoadedContact, StoreError> {
        let loaded = jobs.store.load(&self.portal, &[self.contact], users).await?;
        if let Some((_, state)) = loaded.contacts.get(&self.contact)
            && state.is_written_by(self.job)
            && let Some(job) = jobs.store.job(&self.portal, self.job).await?
        {
            return Ok(LoadedContact::AlreadyWritten(Box::new(job)));
        }
        Ok(LoadedContact::Loaded(loaded))
    }

    /// Writes the postings for the access `after` the change, which must precede the access record: 1 write unit for
    /// each manager that is new to the contact.
    ///
    /// # Errors
    ///
    /// When the table fails.
    pub async fn prepare(
        &self,
        jobs: &Jobs,
        before: &AccessState,
        after: Access,
    ) -> Result<PreparedContact, StoreError> {
        let mut postings = Postings::default();
        postings.add(self.contact, &before.access, &after);
        jobs.store.index_managers(&self.portal, &postings, jobs.now(), Priority::Call).await?;
        Ok(PreparedContact { after })
    }

    /// Writes the prepared access and its job in one transaction, if the access is still `before`: 6 write units, and 2
    /// more if the job's event is published.
    ///
    /// # Errors
    ///
    /// When the table fails.
    pub async fn apply(
        &self,
        jobs: &Jobs,
        before: &AccessState,
        prepared: PreparedContact,
    ) -> Result<ContactOutcome, StoreError> {
        let Self { portal, contact, .. } = self;
        let record = AccessRecord {
            access: &prepared.after,
            revision: Revision { job: self.job, chunk: None },
            replaced: before.job(),
            set_by: self.author,
            set_at: self.started,
        };
        // The job stays open until its event is published.
        let open = !matches!(jobs.events, Events::Off);
        let recorded = RecordedJob { job: &self.record(), open };
        match jobs.store.write_access_with_job(portal, *contact, before, &record, recorded).await {
            Ok(()) => Ok(ContactOutcome::Written),
            Err(error) if error.is_condition_failed() => Ok(ContactOutcome::Overtaken),
            Err(error) => Err(error),
        }
    }

    /// Returns the run's job record.
    fn record(&self) -> Job {
        let job = NewJob {
            id: self.job,
            created_by: self.author,
            created: self.started,
            task: Task::Contact { target: self.target.clone() },
            shards: 1,
            expected: 1,
            // The job record holds the previous access, and is never deleted.
            changes_until: None,
            note: self.note.clone(),
        };
        job.done(Counts { matched: 1, updated: 1, ..Counts::default() })
    }
}
