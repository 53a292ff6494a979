//! The property of a schedule.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use models::access::Access;
use models::job::{Change, Counts, Job, JobId, State};
use models::values::id::ContactId;
use store::contacts::AccessState;

use super::bed::{Bed, Failure};

fn ensure(holds: bool, failure: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(failure()) }
}

fn contacts(changes: &[Change]) -> BTreeSet<ContactId> {
    changes.iter().map(|change| change.contact).collect()
}

fn written_by(states: &BTreeMap<ContactId, AccessState>, job: JobId) -> BTreeSet<ContactId> {
    states.iter().filter(|(_, state)| state.is_written_by(job)).map(|(contact, _)| *contact).collect()
}

impl Bed {
    async fn changes(&self, job: &Job) -> Result<Vec<Change>, Failure> {
        self.healthy.changes(&self.portal, job, 0, 10_000).await.map_err(|error| error.to_string())
    }

    /// Checks that every job has ended, and that a failed job says why.
    pub(super) async fn check_ended(&self) -> Result<(), Failure> {
        for job in self.jobs().await? {
            ensure(job.is_over(), || format!("{job:?} has not ended"))?;
            ensure((job.state == State::Failed) == job.error.is_some(), || format!("{job:?}: the reason"))?;
        }
        Ok(())
    }

    /// Checks that the run changed every match, or reports exactly which contacts were changed and why no others.
    pub(super) async fn check_run(&self) -> Result<(), Failure> {
        self.check_ended().await?;
        let (jobs, states) = (self.jobs().await?, self.states().await?);
        ensure(jobs.len() <= 1, || format!("one call made {} jobs", jobs.len()))?;
        let (matches, to_change) = (self.matches(), self.to_change());
        let mut changed = BTreeSet::new();
        for job in &jobs {
            let changes = self.changes(job).await?;
            changed = written_by(&states, job.id);
            ensure(contacts(&changes) == changed && changes.len() == changed.len(), || {
                format!("{job:?} reports {:?} and changed {changed:?}", contacts(&changes))
            })?;
            for change in &changes {
                let was = &self.originals[&change.contact];
                ensure((&change.before, change.revision) == (&was.access, was.revision), || {
                    format!("{change:?} does not hold the state before, {was:?}")
                })?;
            }
            ensure(job.counts.updated == changed.len() as u64, || format!("{job:?} changed {}", changed.len()))?;
            if job.state == State::Done {
                ensure(changed == to_change, || format!("{job:?} changed {changed:?} of {to_change:?}"))?;
                let (matched, updated) = (matches.len() as u64, to_change.len() as u64);
                let expected = Counts { matched, updated, unchanged: matched - updated, ..Counts::default() };
                ensure(job.counts == expected, || format!("{:?} instead of {expected:?}", job.counts))?;
            }
        }
        ensure(changed.is_subset(&to_change), || format!("{changed:?} are changed"))?;
        self.check_others(&states, &changed)
    }

    /// Checks that `changed` have the target, and that all others are as before.
    fn check_others(
        &self,
        states: &BTreeMap<ContactId, AccessState>,
        changed: &BTreeSet<ContactId>,
    ) -> Result<(), Failure> {
        for (contact, state) in states {
            let was = &self.originals[contact];
            let expected = if changed.contains(contact) { self.after(*contact) } else { was.access.clone() };
            let is_original = changed.contains(contact) || state == was;
            ensure(state.access == expected && is_original, || format!("contact {contact}: {was:?}, then {state:?}"))?;
        }
        Ok(())
    }

    /// Checks that every match has the target.
    pub(super) async fn check_repeated(&self) -> Result<(), Failure> {
        self.check_ended().await?;
        self.check_others(&self.states().await?, &self.to_change())
    }

    /// Checks that no contact has the access that the undone job set.
    pub(super) async fn check_undone(&self, undone: JobId) -> Result<(), Failure> {
        self.check_ended().await?;
        let left = written_by(&self.states().await?, undone);
        ensure(left.is_empty(), || format!("{left:?} are not restored"))
    }

    /// Checks that every contact has its original access.
    pub(super) async fn check_restored(&self) -> Result<(), Failure> {
        for (contact, state) in self.states().await? {
            let was = &self.originals[&contact];
            ensure(state.access == was.access, || format!("contact {contact}: {was:?}, then {state:?}"))?;
        }
        Ok(())
    }

    /// Checks for each contact that recorded changes lead from its state back to its original state without a gap, and
    /// that no recorded change is left over.
    pub(super) async fn check_chains(&self) -> Result<(), Failure> {
        let jobs = self.jobs().await?;
        let mut changes: HashMap<(JobId, ContactId), Vec<(Access, Change)>> = HashMap::new();
        for job in &jobs {
            for change in self.changes(job).await? {
                let Some((_, after)) = change.states(job) else { continue };
                changes.entry((job.id, change.contact)).or_default().push((after.clone(), change.clone()));
            }
        }
        for (contact, state) in self.states().await? {
            let original = &self.originals[&contact];
            let (mut writer, mut access) = (state.job(), state.access.clone());
            while writer != original.job() {
                let Some(job) = writer else { return Err(format!("contact {contact} has lost its record")) };
                let recorded = changes.remove(&(job, contact)).unwrap_or_default();
                let [(after, change)] = recorded.as_slice() else {
                    return Err(format!("contact {contact}: job {job} wrote the record and reports {recorded:?}"));
                };
                ensure(*after == access, || format!("contact {contact}: {change:?} does not lead to {access:?}"))?;
                (writer, access) = (change.replaced_job(), change.before.clone());
            }
            ensure(access == original.access, || format!("contact {contact}: {access:?} is not {original:?}"))?;
        }
        ensure(changes.is_empty(), || {
            let of = |id: JobId| jobs.iter().find(|job| job.id == id).map(|job| (job.task.kind(), job.state));
            let left: Vec<_> = changes.iter().map(|(key, changes)| (of(key.0), changes.clone())).collect();
            format!("changes that nobody made: {left:?}")
        })
    }
}
