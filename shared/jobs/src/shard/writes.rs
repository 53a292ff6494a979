//! Writes of a shard: chunks, then their access records.

use std::collections::HashSet;

use models::access::Actor;
use models::job::{Change, Job};
use models::values::id::ContactId;
use store::StoreError;
use store::contacts::AccessRecord;
use store::jobs::{Checkpoint, Chunk, Progress};
use store::postings::Postings;
use tokio::time::{Instant, timeout_at};

use crate::shard::{ShardWork, Stopped};
use crate::source::PageKind;

/// The condition for writing access records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// No condition: the last writer wins. Batches write the records.
    None,
    /// The access must be unchanged since it was read.
    StillAsRead,
}

impl<'a> ShardWork<'a> {
    /// Writes the open chunk, then its access records, then the shard's progress at `checkpoint`. Closes the shard
    /// after the last page.
    pub(super) async fn flush(&mut self, checkpoint: Option<Checkpoint>, kind: PageKind) -> Result<(), Stopped> {
        let mut counts = self.progress.counts;
        counts += self.pending;
        let number = self.progress.next_chunk;
        let examined = self.progress.examined + self.examined;
        let after = Progress { checkpoint, next_chunk: number + 1, examined, counts };
        let chunk = std::mem::take(&mut self.chunk);
        let changes = std::mem::take(&mut self.changes);
        let Self { jobs, portal, job, shard, .. } = *self;
        if Instant::now() >= self.may_write_until() {
            return Err(Stopped::Lost);
        }
        // Write the manager index before the access records, concurrently with the chunk.
        let condition = if job.task.target().is_some() { Condition::None } else { Condition::StillAsRead };
        let postings = self.postings(&changes, condition);
        let (written, indexed) = futures::join!(
            jobs.store.write_chunk(portal, job, shard, number, &chunk, &after),
            jobs.store.index_managers(portal, &postings, jobs.now()),
        );
        if !written? {
            // Another worker wrote this chunk, or the response to this write was lost. The stored chunk is equivalent.
            return Err(Stopped::Overtaken);
        }
        let open: Vec<&Change> = changes.iter().filter(|change| !change.conflict).collect();
        (self.open, self.unwritten) = (Some(after), open.len());
        indexed?;
        let late = self.write(open.into_iter(), condition).await?;
        self.add_pending();
        self.finish_chunk(number, after, &late, kind).await
    }

    /// Returns the postings to write before a chunk's access records. An undo also writes postings for the restored
    /// access, because compaction may have removed the earlier postings.
    pub(super) fn postings(&self, changes: &[Change], condition: Condition) -> Postings {
        let mut postings = Postings::default();
        for change in changes.iter().filter(|change| !change.conflict) {
            let Some(after) = change.after.as_ref().or(self.job.task.target()) else { continue };
            match condition {
                Condition::None => postings.add_all(change.contact, after),
                Condition::StillAsRead => postings.add(change.contact, &change.before, after),
            }
        }
        postings
    }

    /// Writes the access records of changes. Returns the contacts that others changed since they were read. With
    /// [`Condition::None`], batches write the job's target. With [`Condition::StillAsRead`], separate writes each check
    /// that the access is unchanged.
    pub(super) async fn write(
        &mut self,
        changes: impl Iterator<Item = &Change>,
        condition: Condition,
    ) -> Result<Vec<ContactId>, Stopped> {
        let Self { jobs, portal, job, .. } = *self;
        let record = |access| AccessRecord { access, revision: job.id, set_by: job.created_by, set_at: job.created };
        let send_until = self.may_write_until();
        // `timeout_at` polls its future once even after the time has passed.
        if Instant::now() >= send_until {
            return Err(Stopped::Lost);
        }
        if condition == Condition::None
            && let Some(target) = job.task.target()
        {
            let contacts: Vec<ContactId> = changes.map(|change| change.contact).collect();
            let record = record(target);
            // Send nothing after the lease: another worker may be finishing this chunk.
            let written = timeout_at(send_until, jobs.store.write_access(portal, contacts, &record)).await;
            let Ok((unwritten, error)) = written else { return Err(Stopped::Lost) };
            self.unwritten = unwritten;
            return error.map_or(Ok(Vec::new()), |error| Err(error.into()));
        }
        let records = changes
            .map(|change| {
                let access = change.after.as_ref().or(job.task.target());
                let access = access.ok_or_else(|| StoreError::Corrupt("a change lacks the access to write".into()))?;
                Ok((change.contact, change.revision, record(access)))
            })
            .collect::<Result<_, StoreError>>()?;
        let written = timeout_at(send_until, jobs.store.write_access_where(portal, records)).await;
        let Ok(written) = written else { return Err(Stopped::Lost) };
        self.unwritten = written.unwritten;
        if let Some(error) = written.error {
            return Err(error.into());
        }
        if written.refused.is_empty() {
            return Ok(Vec::new());
        }
        // A successful write whose response was lost is refused on retry.
        let accesses = jobs.store.current_access_of(portal, &written.refused).await?;
        let mut refused = Vec::new();
        for contact in written.refused {
            if accesses.of(contact)?.revision != Some(job.id) {
                refused.push(contact);
            }
        }
        Ok(refused)
    }

    /// Records that a chunk's access records are written, except those of the contacts in `late`, which others changed
    /// first.
    pub(super) async fn finish_chunk(
        &mut self,
        number: u32,
        mut after: Progress,
        late: &[ContactId],
        kind: PageKind,
    ) -> Result<(), Stopped> {
        // In a run, a contact that someone else changes concurrently counts as updated. In an undo, the contact is a
        // conflict.
        if self.job.task.target().is_none() && !late.is_empty() {
            after.counts.updated = after.counts.updated.saturating_sub(late.len() as u64);
            after.counts.conflicts += late.len() as u64;
            self.jobs.store.write_late_conflicts(self.portal, self.job.id, self.shard, number, late).await?;
        }
        self.open = None;
        self.examined = 0;
        self.progress = after;
        match kind {
            PageKind::Last => self.end(after.checkpoint).await,
            PageKind::Inner => self.save().await,
        }
    }

    /// Completes a previous worker's chunk, whose access records may be partly written. Changes that others made since
    /// then stay. Removes the unwritten changes from the chunk that `actor` may no longer make. Without an actor (the
    /// user was removed), removes all unwritten changes.
    pub(crate) async fn resume(&mut self, number: u32, chunk: Chunk, actor: Option<&Actor>) -> Result<(), Stopped> {
        let Self { jobs, portal, job, .. } = *self;
        let open: Vec<&Change> = chunk.changes.iter().filter(|change| !change.conflict).collect();
        let ids: Vec<ContactId> = open.iter().map(|change| change.contact).collect();
        (self.open, self.unwritten) = (Some(chunk.after), open.len());
        // The previous worker may have stopped before it wrote its postings.
        let postings = self.postings(&chunk.changes, Condition::StillAsRead);
        let (accesses, ()) = futures::try_join!(
            jobs.store.current_access_of(portal, &ids),
            jobs.store.index_managers(portal, &postings, jobs.now())
        )?;
        let (mut same, mut other, mut unrecorded) = (Vec::new(), Vec::new(), Vec::new());
        for change in open {
            match accesses.of(change.contact)?.revision {
                Some(revision) if revision == job.id => {}
                // A contact that never had a record may have been removed. A removed contact must not get a record.
                None if change.revision.is_none() => unrecorded.push(change),
                revision if revision == change.revision => same.push(change),
                _ => other.push(change),
            }
        }
        let ids: Vec<ContactId> = unrecorded.iter().map(|change| change.contact).collect();
        let existing = jobs.store.existing(portal, &ids).await?;
        for change in unrecorded {
            if existing.contains(&change.contact) { same.push(change) } else { other.push(change) }
        }
        let (same, void): (Vec<&Change>, Vec<&Change>) =
            same.into_iter().partition(|change| actor.is_some_and(|actor| may_write(job, actor, change)));
        let after = self.void(number, &chunk, &void, actor).await?;
        // Add the contacts that the previous worker found changed by others.
        let mut late: HashSet<ContactId> = chunk.late.into_iter().collect();
        late.extend(other.iter().map(|change| change.contact));
        late.extend(self.write(same.into_iter(), Condition::StillAsRead).await?);
        let late: Vec<ContactId> = late.into_iter().collect();
        self.finish_chunk(number, after, &late, PageKind::Inner).await
    }

    /// Removes contacts from a chunk that the actor may no longer change. Returns the shard's progress after the
    /// remaining contacts. A removed contact counts as skipped if the actor may see the contact, and is not counted
    /// otherwise.
    pub(super) async fn void(
        &mut self,
        number: u32,
        chunk: &Chunk,
        void: &[&Change],
        actor: Option<&Actor>,
    ) -> Result<Progress, Stopped> {
        let mut after = chunk.after;
        if void.is_empty() {
            return Ok(after);
        }
        let visible =
            void.iter().filter(|change| actor.is_some_and(|actor| actor.may_see(&change.before))).count() as u64;
        let all = void.len() as u64;
        after.counts.updated = after.counts.updated.saturating_sub(all);
        after.counts.skipped += visible;
        after.counts.matched = after.counts.matched.saturating_sub(all - visible);
        let contacts: Vec<ContactId> =
            chunk.void.iter().copied().chain(void.iter().map(|change| change.contact)).collect();
        self.jobs.store.void_changes(self.portal, self.job.id, self.shard, number, &contacts, &after).await?;
        self.open = Some(after);
        Ok(after)
    }
}

/// Returns whether the job's author may still make a change. The contact's access must still be `change.before`.
pub(super) fn may_write(job: &Job, actor: &Actor, change: &Change) -> bool {
    match &change.after {
        Some(restored) if job.task.undo_of().is_some() => actor.may_restore(&change.before, restored),
        _ => actor.may_edit(&change.before),
    }
}
