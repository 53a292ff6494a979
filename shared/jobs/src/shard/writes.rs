//! Writes of a shard: chunks, then their access records.
//!
//! A chunk is written before the access records of its contacts. Each record is written on condition that the contact
//! still has the revision that the chunk names, so a change by somebody else is never overwritten unseen. The shard
//! removes a rejected contact from its chunk, reads the contact and judges the contact again. A following chunk holds
//! the contacts that are still to be changed.
//!
//! So an interrupted shard continues at its last chunk: the earlier chunks are decided. The contacts that were removed
//! from the last chunk have to be judged again.
//!
//! The futures of the writes are boxed. They are large, and a thread of tokio has a stack of 2 MB.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use models::access::Actor;
use models::job::{Change, Job, Revision, Task};
use models::limits::CHUNK_WRITE_MILLIS;
use models::values::id::ContactId;
use store::StoreError;
use store::contacts::{AccessRecord, AccessState, RejectedWrite};
use store::dynamodb::batch::Priority;
use store::jobs::chunk_format::ChunkBuilder;
use store::jobs::{Checkpoint, Chunk, Progress};
use store::postings::Postings;
use tokio::time::Instant;

use crate::chain::OwnChanges;
use crate::shard::{ShardWork, Stopped};
use crate::source::{Judge, NoPage, PageKind, Purpose, Rights, Verdict, conflict, judge_previewed};

/// The maximum time in which the access records of a chunk are written, counted from the time before their postings.
/// Another claim of the shard writes the postings and the remaining records again.
const LONGEST_WRITE: Duration = Duration::from_millis(CHUNK_WRITE_MILLIS);

/// A chunk whose access records are written or rejected.
struct OpenChunk<'c> {
    number: u32,
    /// The changes of the page, or of the previous worker's chunk.
    changes: &'c [Change],
    /// The shard's progress after the chunk.
    after: Progress,
    /// Contacts that are not in the chunk and have to be judged again.
    void: Vec<ContactId>,
}

impl ShardWork<'_> {
    /// Writes the open chunk, then its access records, then the shard's progress at `checkpoint`. Closes the shard
    /// after the last page.
    pub(super) async fn flush(&mut self, checkpoint: Option<Checkpoint>, kind: PageKind) -> Result<(), Stopped> {
        let mut counts = self.progress.counts;
        counts += self.pending;
        if self.max_changes.is_some_and(|max| counts.updated > max) {
            return Err(Stopped::OverLimit { found: counts.updated });
        }
        let number = self.progress.next_chunk;
        let examined = self.progress.examined + self.examined;
        let after = Progress { checkpoint, next_chunk: number + 1, examined, counts };
        let (chunk, changes) = (std::mem::take(&mut self.chunk), std::mem::take(&mut self.changes));
        let mut open = OpenChunk { number, changes: &changes, after, void: Vec::new() };
        let again = Box::pin(self.write_chunk(&mut open, &chunk, &changes)).await?;
        Box::pin(self.judge_again(&mut open, again)).await?;
        self.add_pending();
        self.finish_chunks(open.after, kind).await
    }

    /// Writes a chunk and its access records. Removes the rejected contacts from the chunk, and returns these contacts
    /// with their current access.
    async fn write_chunk(
        &mut self,
        open: &mut OpenChunk<'_>,
        chunk: &ChunkBuilder,
        changes: &[Change],
    ) -> Result<Vec<(ContactId, AccessState)>, Stopped> {
        let Self { jobs, portal, job, shard, priority, .. } = *self;
        let end = Instant::now() + LONGEST_WRITE;
        // Write the postings before the access records, concurrently with the chunk.
        let postings = self.postings(changes);
        let OpenChunk { number, after, ref void, .. } = *open;
        let writing = Box::pin(async {
            Ok(futures::join!(
                jobs.store.write_chunk(portal, job, shard, number, chunk, void, &after),
                jobs.store.index_managers(portal, &postings, jobs.now(), priority),
            ))
        });
        let (written, indexed) = self.under_lease(end, writing).await?;
        if !written? {
            // Another worker wrote a chunk with this number, or the response to this write was lost. The stored chunk
            // is finished first.
            return Err(Stopped::Overtaken);
        }
        indexed?;
        if job.task.is_preview() {
            self.add_to_effect(changes);
            return Ok(Vec::new());
        }
        let changes: Vec<&Change> = changes.iter().filter(|change| !change.conflict).collect();
        let rejected = self.write(open.number, &changes, end).await?;
        let again = self.lost(&changes, rejected, end).await?;
        self.void(open, contacts_of(&again)).await?;
        Ok(again)
    }

    /// Returns the postings to write before a chunk's access records. An undo also writes postings for the restored
    /// access, because compaction may have removed the earlier postings. A preview writes no access record.
    fn postings(&self, changes: &[Change]) -> Postings {
        let mut postings = Postings::default();
        if self.job.task.is_preview() {
            return postings;
        }
        for change in changes.iter().filter(|change| !change.conflict) {
            let Some(after) = change.after_in(self.job) else { continue };
            postings.add(change.contact, &change.before, after);
        }
        postings
    }

    /// Writes the access records of changes, each on condition that the contact still has the revision that the change
    /// replaces. Returns the rejected writes.
    async fn write(&mut self, chunk: u32, changes: &[&Change], end: Instant) -> Result<Vec<RejectedWrite>, Stopped> {
        let Self { jobs, portal, job, .. } = *self;
        let revision = Revision { job: job.id, chunk: Some(chunk) };
        let records = changes.iter().map(|change| {
            let access = change.after_in(job);
            let access = access.ok_or_else(|| StoreError::Corrupt("a change lacks the access to write".into()))?;
            let replaced = change.replaced_job();
            let record = AccessRecord { access, revision, replaced, set_by: job.created_by, set_at: job.created };
            Ok((change.contact, record))
        });
        let records: Vec<_> = records.collect::<Result<_, StoreError>>()?;
        let priority = self.priority;
        let writing = Box::pin(async { Ok(jobs.store.write_access(portal, records, priority).await) });
        let written = self.under_lease(end, writing).await?;
        match written.error {
            Some(error) => Err(error.into()),
            None => Ok(written.rejected),
        }
    }

    /// Returns the rejected contacts that this job did not change, with their current access. A write whose response
    /// was lost is rejected when sent again.
    async fn lost(
        &mut self,
        changes: &[&Change],
        rejected: Vec<RejectedWrite>,
        end: Instant,
    ) -> Result<Vec<(ContactId, AccessState)>, Stopped> {
        if rejected.is_empty() {
            return Ok(Vec::new());
        }
        let Self { jobs, portal, job, .. } = *self;
        let changes: HashMap<ContactId, &Change> = changes.iter().map(|change| (change.contact, *change)).collect();
        let reading = Box::pin(async {
            let ids: Vec<ContactId> = rejected.iter().map(|rejected| rejected.contact).collect();
            let mut current = jobs.store.current_access_with_origin(portal, &ids).await?;
            let (mut lost, mut own) = (Vec::new(), OwnChanges::new(jobs, portal, job.id));
            for RejectedWrite { contact, may_be_written } in rejected {
                let (state, origin) = current.take(contact)?;
                let is_written = match changes.get(&contact) {
                    _ if state.is_written_by(job.id) => true,
                    Some(change) if may_be_written => own.include(change, &state, origin).await?,
                    _ => false,
                };
                if !is_written {
                    lost.push((contact, state));
                }
            }
            Ok(lost)
        });
        self.under_lease(end, reading).await
    }

    /// Removes contacts from a chunk, and their counts from the progress after the chunk. The contacts have to be
    /// judged again.
    async fn void(&mut self, open: &mut OpenChunk<'_>, contacts: Vec<ContactId>) -> Result<(), StoreError> {
        let removed = contacts.len() as u64;
        if removed == 0 {
            return Ok(());
        }
        open.void.extend(contacts);
        open.after.counts.updated = open.after.counts.updated.saturating_sub(removed);
        open.after.counts.matched = open.after.counts.matched.saturating_sub(removed);
        let Self { jobs, portal, job, shard, .. } = *self;
        jobs.store.void_changes(portal, job.id, shard, open.number, &open.void, &open.after).await
    }

    /// Judges contacts by their current access, and writes the contacts that are to be changed in following chunks,
    /// until no write is rejected.
    async fn judge_again(
        &mut self,
        open: &mut OpenChunk<'_>,
        again: Vec<(ContactId, AccessState)>,
    ) -> Result<(), Stopped> {
        let mut again = VecDeque::from(again);
        while !again.is_empty() {
            let Self { jobs, portal, job, .. } = *self;
            let actor = match (Rights::Current { store: &jobs.store, portal, author: job.created_by }).actor().await {
                Err(NoPage::UserRemoved) => {
                    // The written contacts of the chunk count.
                    self.add_pending();
                    self.finish_chunks(open.after, PageKind::Inner).await?;
                    return Err(Stopped::UserRemoved);
                }
                actor => actor?,
            };
            // An import removes a contact's record, and marks the removal for a day only.
            let unrecorded: Vec<ContactId> =
                again.iter().filter(|(_, state)| state.revision.is_none()).map(|(contact, _)| *contact).collect();
            let existing = jobs.store.existing(portal, &unrecorded).await?;
            for (contact, state) in &mut again {
                state.is_removed |= state.revision.is_none() && !existing.contains(contact);
            }
            let (mut chunk, mut changes) = (ChunkBuilder::default(), Vec::new());
            while let Some((contact, state)) = again.pop_front() {
                let verdict = judge_again(job, actor, open.changes, contact, state.clone());
                let counts = verdict.counts();
                match verdict {
                    Verdict::Change(change, _) => {
                        if !chunk.push(&change) {
                            again.push_front((contact, state));
                            break;
                        }
                        changes.push(change);
                    }
                    Verdict::Hidden | Verdict::Skipped | Verdict::Failed => {
                        self.positions.retain(|position| position.contact != contact);
                        if matches!(self.job.task, Task::Contacts { .. }) {
                            self.left_out.push(contact);
                        }
                    }
                    Verdict::Done | Verdict::Unchanged(_) => {}
                }
                open.after.counts += counts;
            }
            if changes.is_empty() {
                continue;
            }
            open.number = open.after.next_chunk;
            open.after.next_chunk += 1;
            open.void = again.iter().map(|(contact, _)| *contact).collect();
            again.extend(Box::pin(self.write_chunk(open, &chunk, &changes)).await?);
        }
        Ok(())
    }

    /// Records the progress after the last chunk, whose contacts are all decided.
    async fn finish_chunks(&mut self, after: Progress, kind: PageKind) -> Result<(), Stopped> {
        self.examined = 0;
        self.progress = after;
        match kind {
            PageKind::Last => self.end(after.checkpoint).await,
            PageKind::Inner => self.save().await,
        }
    }

    /// Completes a previous worker's chunk, whose access records may be partly written. Changes that others made since
    /// then stay. Without an actor (the user was removed), removes all unwritten changes from the chunk. A preview's
    /// chunk is complete when it is written.
    pub(crate) async fn resume(&mut self, number: u32, chunk: Chunk, actor: Option<&Actor>) -> Result<(), Stopped> {
        let Self { jobs, portal, job, .. } = *self;
        if job.task.is_preview() {
            return self.finish_chunks(chunk.after, PageKind::Inner).await;
        }
        let changes: Vec<&Change> = chunk.changes.iter().filter(|change| !change.conflict).collect();
        let ids: Vec<ContactId> = changes.iter().map(|change| change.contact).collect();
        let mut open = OpenChunk { number, changes: &chunk.changes, after: chunk.after, void: chunk.void };
        // The previous worker may have stopped before it wrote its postings.
        let postings = self.postings(&chunk.changes);
        let end = Instant::now() + LONGEST_WRITE;
        let reading = Box::pin(async {
            let (mut current, ()) = futures::try_join!(
                jobs.store.current_access_with_origin(portal, &ids),
                jobs.store.index_managers(portal, &postings, jobs.now(), Priority::Bulk)
            )?;
            let (mut unwritten, mut lost) = (Vec::new(), Vec::new());
            let mut own = OwnChanges::new(jobs, portal, job.id);
            for change in &changes {
                let (state, origin) = current.take(change.contact)?;
                if state.job() == change.replaced_job() {
                    unwritten.push((*change, state));
                } else if !own.include(change, &state, origin).await? {
                    lost.push((change.contact, state));
                }
            }
            Ok((unwritten, lost))
        });
        let (unwritten, mut lost) = self.under_lease(end, reading).await?;
        // A contact that never had a record may have been removed. A removed contact must not get a record.
        let is_unrecorded = |(change, _): &&(&Change, AccessState)| change.revision.is_none();
        let unrecorded: Vec<ContactId> =
            unwritten.iter().filter(is_unrecorded).map(|(change, _)| change.contact).collect();
        let existing = jobs.store.existing(portal, &unrecorded).await?;
        let mut permitted = Vec::new();
        for (change, state) in unwritten {
            if change.revision.is_none() && !existing.contains(&change.contact) {
                lost.push((change.contact, AccessState { is_removed: true, ..state }));
            } else if actor.is_some_and(|actor| may_write(job, actor, change, &state)) {
                permitted.push(change);
            } else {
                lost.push((change.contact, state));
            }
        }
        // The previous worker may have sent each of these writes.
        let rejected = self.write(number, &permitted, end).await?.into_iter();
        let rejected = rejected.map(|rejected| RejectedWrite { may_be_written: true, ..rejected }).collect();
        lost.extend(self.lost(&permitted, rejected, end).await?);
        let waiting = open.void.clone();
        self.void(&mut open, contacts_of(&lost)).await?;
        if actor.is_some() {
            let mut states = jobs.store.current_access_of(portal, &waiting).await?;
            for contact in waiting {
                lost.push((contact, states.take(contact)?));
            }
            Box::pin(self.judge_again(&mut open, lost)).await?;
        }
        self.finish_chunks(open.after, PageKind::Inner).await
    }
}

fn contacts_of(states: &[(ContactId, AccessState)]) -> Vec<ContactId> {
    states.iter().map(|(contact, _)| *contact).collect()
}

/// Judges a contact whose access is no longer the access that the job read. Only a run changes such a contact. An undo
/// restores a contact only from the access that the undone job set, and the run of a preview writes a contact only from
/// the access that the preview showed. For these jobs the contact is a conflict. `changes` are the changes of the
/// chunk.
fn judge_again(job: &Job, actor: Actor, changes: &[Change], contact: ContactId, state: AccessState) -> Verdict {
    if job.task.apply_of().is_some() {
        let previewed = changes.iter().find(|change| change.contact == contact);
        return judge_previewed(job.id, &actor, contact, previewed, state);
    }
    if let Some(judge) = judge_of(job, actor) {
        return judge.judge(contact, None, state);
    }
    if state.is_written_by(job.id) {
        Verdict::Done
    } else if state.job() == job.task.undo_of() {
        // The user may no longer restore the contact.
        if actor.may_see(&state.access) { Verdict::Skipped } else { Verdict::Hidden }
    } else {
        Verdict::Change(conflict(contact, state.revision), None)
    }
}

/// Returns the judge of a job's contacts; none for an undo.
fn judge_of(job: &Job, actor: Actor) -> Option<Judge<'_>> {
    let criteria = job.task.filter().map(|filter| filter.access).unwrap_or_default();
    job.task.target().map(|target| Judge { actor, criteria, target, purpose: Purpose::Write(job.id) })
}

/// Returns whether the job's author may still make a change of a contact in `state`, which the change replaces.
fn may_write(job: &Job, actor: &Actor, change: &Change, state: &AccessState) -> bool {
    if job.task.apply_of().is_some() {
        return actor.may_edit(&state.access);
    }
    match (judge_of(job, *actor), &change.after) {
        (Some(judge), _) => judge.may_change(state),
        (None, Some(restored)) => actor.may_restore(&change.before, restored),
        (None, None) => false,
    }
}
