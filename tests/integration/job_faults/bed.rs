//! The portal of these tests and the processes that work on it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use api::App;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition};
use jiff::SignedDuration;
use jobs::{Abandoned, Deadline, FilterRun, Jobs, Message, WorkError, Worked};
use models::access::{Access, Actor, Caller, ShareType, Target};
use models::filter::Filter;
use models::filter::plan::plan;
use models::job::effect::{AffectedUsers, Effect};
use models::job::{Change, Counts, Job, JobId, Kind, State};
use models::limits::{LEASE_MILLIS, MESSAGE_DEADLINE_MILLIS};
use models::request::Page;
use models::values::id::{PortalId, UserId};
use serde_json::{Value, json};
use store::contacts::AccessState;
use store::keys::{EXPIRES, Key, OPEN_BUCKETS};
use store::{Store, StoreError};
use tests::faults::{Call, Calls, Fault, Gate, Proxy, When};
use tests::{Reply, TestBus, World, cases};

use super::steps::{Step, step, written_by};
use crate::portal::{
    ADA, ADA_TOKEN, MIKE, SAM, access, access_and_writer, acme, contact, id, job, lines, portal, private, public, stage,
};

/// Maximum partitions of a shard on one page.
const PARTITIONS_A_PAGE: i64 = 8;
/// Pages of a shard.
const PAGES: i64 = 3;
/// Number of stages, including "no stage". Each stage is a partition.
const STAGES: i64 = PARTITIONS_A_PAGE * PAGES;
/// Contacts of a shard, spread evenly over its pages.
const CONTACTS: i64 = 12;

/// The access that the jobs of these tests set.
pub(crate) fn target() -> Access {
    private(&[ADA])
}

/// Plays a scene with a death before and after each of the [`cases::calls`] of a process, until the process makes so
/// few calls that the scene returns false: nobody died. A process makes more than `least` calls. Unless all cases are
/// played, the deaths are before and after the calls in turn.
pub(crate) async fn for_each_death(least: u64, scene: impl AsyncFn(u64, When) -> bool) {
    for number in cases::calls() {
        let mut died = false;
        for (_, when) in When::BOTH.into_iter().enumerate().filter(|(at, _)| cases::is_turn(number, *at)) {
            died |= Box::pin(scene(number, when)).await;
        }
        if !died {
            assert!(number > least, "{number} calls");
            return;
        }
    }
}

/// Returns the access before the jobs. One contact in five has no record, and one in five already matches the target.
fn original(contact: i64) -> Option<Access> {
    match contact % 5 {
        0 => None,
        1 => Some(private(&[MIKE])),
        2 => Some(Access { share: ShareType::Read, managers: vec![SAM, MIKE] }),
        3 => Some(public(&[SAM])),
        _ => Some(target()),
    }
}

fn line(number: i64) -> Value {
    let mut members = json!({"ContactStatus": {"id": number * 2 % STAGES}});
    if let Some(access) = original(number) {
        members["ShareType"] = json!(access.share.number());
        members["AccessList"] = access.managers.iter().map(|id| json!({"Id": id})).collect();
    }
    contact(number, members)
}

/// A separate process, which reaches the table through its own proxy and shares everything else.
pub(crate) struct Process {
    pub(crate) proxy: Proxy,
    pub(crate) jobs: Jobs,
}

impl Process {
    pub(crate) async fn work(&self, message: &Message) -> Result<Worked, WorkError> {
        self.jobs.work(message, &Deadline::never()).await
    }

    /// Records the contacts whose access records are written from now on, in order of writing.
    pub(crate) fn records(&self) -> Arc<Mutex<Vec<i32>>> {
        let written = Arc::new(Mutex::new(Vec::new()));
        let recorded = written.clone();
        self.proxy.observe(move |call| recorded.lock().unwrap().extend(written_by(call)));
        written
    }
}

/// The portal `acme` with shards of three pages each.
pub(crate) struct Bed {
    pub(crate) world: World,
    pub(crate) portal: PortalId,
    pub(crate) shards: u16,
    pub(crate) originals: BTreeMap<i32, AccessState>,
}

impl Bed {
    /// Lets a worker work on a message, and sets the access of a contact while the worker's write of this contact is
    /// under way. The worker then dies before the step `dies`, if there is one.
    pub(crate) async fn work_while_set(&self, message: &Message, contact: i32, dies: Option<Step>) {
        let worker = self.process().await;
        let gate = Gate::new();
        let writes = move |call: &Call| step(call) == Some(Step::Batch) && written_by(call).contains(&contact);
        let holds = Calls::matching(writes).meet(Fault::Hold(When::Before, gate.clone()));
        let held = gate.clone();
        let dying = Calls::matching(move |call| !writes(call) && step(call).is_some() && step(call) == dies);
        let dying = dying.and(move |_| held.is_open()).meet(Fault::Die(When::Before));
        worker.proxy.inject(holds.and(dying));
        let (worked, ()) = tokio::join!(worker.work(message), async {
            gate.reached().await;
            self.set(contact, &[SAM]).await;
            gate.open();
        });
        assert_eq!((worked.is_err(), worker.proxy.is_dead()), (dies.is_some(), dies.is_some()), "{dies:?}");
    }

    /// Lets a worker that dies at a call work on the waiting message, and other workers finish the job. Returns whether
    /// the worker died.
    pub(crate) async fn finish_after_death(&self, number: u64, when: When) -> bool {
        let message = self.world.queue.take().unwrap();
        let dead = self.process().await;
        dead.proxy.inject(Calls::numbered(number).meet(Fault::Die(when)));
        let (worked, died) = (dead.work(&message).await, dead.proxy.is_dead());
        // A worker of a preview goes on without the stored sum of the effect, which can be made again.
        let hides_death = self.job(message.job).await.task.is_preview();
        assert!(worked.is_err() == died || (died && hides_death), "death {when:?} call {number}: {worked:?}");
        self.recover().await;
        died
    }

    pub(crate) async fn new(shards: u16) -> Self {
        let mut values = vec![portal("acme", "Europe/Riga", shards)];
        values.extend(acme().into_iter().skip(1));
        values.extend((4..STAGES).map(|id| stage(id.try_into().unwrap())));
        values.extend((1..=CONTACTS * i64::from(shards)).map(line));
        let world = World::with(&lines(values)).await.unwrap();
        let originals = access(&world, "acme", 1..=CONTACTS * i64::from(shards)).await;
        Self { world, portal: id("acme"), shards, originals }
    }

    /// Replaces the job engine with `change(engine)`.
    pub(crate) fn with(self, change: impl FnOnce(Jobs) -> Jobs) -> Self {
        let app = App::new(change(self.world.jobs().clone()), std::time::Duration::from_secs(3600));
        Self { world: self.world.serving(app), ..self }
    }

    /// Publishes events to `bus`.
    pub(crate) fn publishing_on(self, bus: &TestBus) -> Self {
        self.with(|jobs| Jobs { events: bus.events(), ..jobs })
    }

    pub(crate) async fn process(&self) -> Process {
        let proxy = self.world.proxy().await.unwrap();
        let client = proxy.client().await;
        // A separate retry budget, and short pauses.
        let retries = RetryConfig::standard().with_initial_backoff(std::time::Duration::from_millis(1));
        let config =
            client.config().to_builder().retry_config(retries).retry_partition(RetryPartition::new(proxy.url()));
        let store = Store::new(Client::from_conf(config.build()), &self.world.table);
        Process { proxy, jobs: Jobs { store, ..self.world.jobs().clone() } }
    }

    pub(crate) fn numbers(&self) -> std::ops::RangeInclusive<i64> {
        1..=CONTACTS * i64::from(self.shards)
    }

    pub(crate) fn original(&self, contact: i32) -> AccessState {
        self.originals.get(&contact).cloned().unwrap_or(AccessState::UNRECORDED)
    }

    /// Returns the contacts that the jobs must change.
    pub(crate) fn to_change(&self) -> BTreeSet<i32> {
        let numbers = self.numbers().map(|number| i32::try_from(number).unwrap());
        numbers.filter(|number| self.original(*number).access != target()).collect()
    }

    /// Advances the clock.
    pub(crate) fn pass(&self, millis: u64) {
        let later = self.world.app.now() + SignedDuration::from_millis(millis.try_into().unwrap());
        self.world.set_clock(later);
    }

    pub(crate) async fn run(&self, target: impl Into<Target>, max_affected: Option<u64>) -> FilterRun {
        let lists = self.world.store.lists(&self.portal).await.unwrap();
        let statistics = self.world.store.statistics(&self.portal, &[], &lists.stage_counts).await.unwrap();
        let started = self.world.app.now();
        let plan = plan(&Filter::default(), &statistics, self.shards);
        FilterRun {
            portal: self.portal.clone(),
            actor: Actor::User(Caller { user: ADA, is_admin: true }),
            filter: Filter::default(),
            expected: plan.expected(&statistics),
            plan,
            target: target.into(),
            page: Page { count: 5, start_index: 0 },
            max_affected,
            started,
            rule: None,
            note: None,
        }
    }

    /// Enqueues a job for workers.
    pub(crate) async fn enqueue(&self) -> JobId {
        self.enqueue_at_most(None).await
    }

    pub(crate) async fn enqueue_at_most(&self, max_affected: Option<u64>) -> JobId {
        let jobs = self.world.jobs();
        self.run(target(), max_affected).await.enqueue(jobs, jobs.new_id()).await.unwrap().id
    }

    /// Enqueues a preview of the same job for workers.
    pub(crate) async fn preview(&self) -> JobId {
        let jobs = self.world.jobs();
        self.run(target(), None).await.enqueue_preview(jobs, jobs.new_id()).await.unwrap().id
    }

    /// Enqueues the run of a finished preview for workers.
    pub(crate) async fn apply(&self, preview: JobId) -> JobId {
        let (jobs, preview) = (self.world.jobs(), self.job(preview).await);
        jobs.apply_preview(&self.portal, &preview, jobs.new_id(), None).await.unwrap().unwrap().id
    }

    /// Enqueues a job of a one-shard portal. Returns the job and its message.
    pub(crate) async fn enqueue_one(&self) -> (JobId, Message) {
        let id = self.enqueue().await;
        let message = self.world.queue.take().unwrap();
        assert_eq!(self.world.queue.waiting(), []);
        (id, message)
    }

    pub(crate) async fn job(&self, id: JobId) -> Job {
        self.world.store.job(&self.portal, id).await.unwrap().unwrap()
    }

    pub(crate) async fn changes(&self, id: JobId) -> Vec<Change> {
        let job = self.job(id).await;
        self.world.jobs().changes(&self.portal, &job, 0, 10_000).await.unwrap()
    }

    pub(crate) async fn states(&self) -> BTreeMap<i32, AccessState> {
        self.states_of(self.numbers()).await
    }

    pub(crate) async fn states_of(&self, contacts: std::ops::RangeInclusive<i64>) -> BTreeMap<i32, AccessState> {
        access(&self.world, "acme", contacts).await
    }

    /// Returns the contacts whose records `id` wrote.
    pub(crate) async fn written(&self, id: JobId) -> BTreeSet<i32> {
        let states = self.states().await;
        states.into_iter().filter(|(_, state)| state.is_written_by(id)).map(|(contact, _)| contact).collect()
    }

    pub(crate) async fn is_open(&self, id: JobId) -> bool {
        for bucket in 0..OPEN_BUCKETS {
            if self.world.store.open_jobs(bucket, None).await.unwrap().jobs.iter().any(|open| open.job == id) {
                return true;
            }
        }
        false
    }

    pub(crate) async fn sweep(&self) -> usize {
        self.world.jobs().sweep(Abandoned::Expired, &Deadline::never()).await.unwrap()
    }

    /// Recovers from dead workers: leases and deadlines expire, the sweep requeues, and workers finish.
    pub(crate) async fn recover(&self) {
        self.pass(MESSAGE_DEADLINE_MILLIS.max(LEASE_MILLIS));
        self.sweep().await;
        self.world.work().await.unwrap();
    }

    pub(crate) async fn undo(&self, id: JobId) -> JobId {
        let undone = self.job(id).await;
        let (jobs, ada) = (self.world.jobs(), Caller { user: ADA, is_admin: true });
        jobs.undo(&self.portal, &ada, &undone, jobs.new_id(), None).await.unwrap().id
    }

    /// Undoes a job and checks that the undo finished.
    pub(crate) async fn undone(&self, id: JobId) -> Job {
        let undo = self.undo(id).await;
        self.world.work().await.unwrap();
        let job = self.job(undo).await;
        assert_eq!((job.state, job.task.kind(), job.task.undo_of()), (State::Done, Kind::Undo, Some(id)));
        job
    }

    pub(crate) async fn cancel(&self, id: JobId) -> Reply {
        self.world.post(&format!("jobs/{id}/cancel"), ADA_TOKEN).await.unwrap()
    }

    /// Sets one contact's access by a single call. Returns the job's identifier.
    pub(crate) async fn set(&self, contact: i32, managers: &[UserId]) -> JobId {
        self.set_if_different(contact, managers).await.unwrap()
    }

    /// Like `set`, but returns none if the contact already matches.
    pub(crate) async fn set_if_different(&self, contact: i32, managers: &[UserId]) -> Option<JobId> {
        let body = json!({"isShared": false, "managerList": managers});
        let reply = self.world.put(&format!("{contact}/access"), ADA_TOKEN, &body).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text);
        job(&reply)
    }

    /// Checks that the job finished with exact counts, that every contact matches the target, and that the log has each
    /// changed contact once, with its access before the job.
    pub(crate) async fn check_done(&self, id: JobId) {
        let (job, changed) = (self.job(id).await, self.to_change());
        assert_eq!((job.state, job.percent, job.error.as_deref()), (State::Done, 100, None));
        assert!(job.started.is_some() && job.finished.is_some(), "{job:?}");
        let (matched, updated) = (self.numbers().count() as u64, changed.len() as u64);
        assert_eq!(job.counts, Counts { matched, updated, unchanged: matched - updated, ..Counts::default() });
        let states = self.states().await;
        for number in self.numbers().map(|number| i32::try_from(number).unwrap()) {
            let writer = if changed.contains(&number) { Some(id) } else { self.original(number).job() };
            let is = states.get(&number).map(access_and_writer);
            assert_eq!(is, Some((target(), writer)), "contact {number}");
        }
        self.check_log(id, &changed).await;
        assert!(!self.is_open(id).await);
    }

    /// Checks that a preview finished with the counts and the effect of the job, that its log has each contact to
    /// change once, and that no contact was written.
    pub(crate) async fn check_previewed(&self, id: JobId) {
        let (job, to_change) = (self.job(id).await, self.to_change());
        assert_eq!((job.state, job.percent, job.error.as_deref()), (State::Done, 100, None));
        let (matched, updated) = (self.numbers().count() as u64, to_change.len() as u64);
        assert_eq!(job.counts, Counts { matched, updated, unchanged: matched - updated, ..Counts::default() });
        // Every contact becomes private to an administrator, so Mike and Sam lose what they see.
        let sees = |user: UserId| {
            let access = to_change.iter().map(|number| self.original(*number).access);
            access.filter(|access| Caller { user, is_admin: false }.may_see(access)).count() as u64
        };
        let mut largest = vec![(MIKE, sees(MIKE)), (SAM, sees(SAM))];
        largest.sort_by_key(|(_, contacts)| Reverse(*contacts));
        let loses = AffectedUsers { users: 2, caller: 0, largest };
        let is_shared = |number: &&i32| !self.original(**number).access.share.is_private();
        let become_private = to_change.iter().filter(is_shared).count() as u64;
        let gains = AffectedUsers::default();
        let effect = Effect { gains, loses, loses_any: updated, become_private, become_shared: 0 };
        assert_eq!(job.effect, Some(effect));
        self.check_log(id, &to_change).await;
        assert_eq!(self.states().await, self.originals);
        assert!(!self.is_open(id).await);
    }

    /// Checks that the run of a preview finished and left these contacts alone, which another user had set to Sam.
    pub(crate) async fn check_applied(&self, run: JobId, conflicts: &[i32]) {
        let (job, previewed) = (self.job(run).await, self.to_change());
        let conflicts: BTreeSet<i32> = conflicts.iter().copied().collect();
        let (matched, left) = (previewed.len() as u64, conflicts.len() as u64);
        assert_eq!((job.state, job.error.as_deref()), (State::Done, None));
        assert_eq!(job.counts, Counts { matched, updated: matched - left, conflicts: left, ..Counts::default() });
        let (states, changes) = (self.states().await, self.changes(run).await);
        for number in self.numbers().map(|number| i32::try_from(number).unwrap()) {
            let state = states.get(&number).cloned().unwrap_or(AccessState::UNRECORDED);
            if conflicts.contains(&number) {
                assert_eq!(state.access, private(&[SAM]), "contact {number}");
            } else {
                let writer = if previewed.contains(&number) { Some(run) } else { self.original(number).job() };
                assert_eq!(access_and_writer(&state), (target(), writer), "contact {number}");
            }
        }
        assert_eq!(changes.len(), previewed.len());
        let listed = changes.iter().filter(|change| change.conflict).map(|change| change.contact.get());
        assert_eq!(listed.collect::<BTreeSet<_>>(), conflicts);
        assert!(!self.is_open(run).await);
    }

    /// Checks that the log has these contacts, each once, with their access before the job.
    pub(crate) async fn check_log(&self, id: JobId, contacts: &BTreeSet<i32>) {
        let changes = self.changes(id).await;
        assert_eq!(changes.len(), contacts.len(), "{changes:?}");
        for change in &changes {
            let was = self.original(change.contact.get());
            assert_eq!((&change.before, change.revision), (&was.access, was.revision), "contact {}", change.contact);
        }
        assert_eq!(&changes.iter().map(|change| change.contact.get()).collect::<BTreeSet<_>>(), contacts);
    }

    /// Checks that every contact has its original access.
    pub(crate) async fn check_restored(&self) {
        let states = self.states().await;
        for number in self.numbers().map(|number| i32::try_from(number).unwrap()) {
            let is = states.get(&number).cloned().unwrap_or(AccessState::UNRECORDED);
            assert_eq!(is.access, self.original(number).access, "contact {number}");
        }
    }

    /// Runs a job to its end.
    pub(crate) async fn applied(&self) -> JobId {
        let id = self.enqueue().await;
        self.world.work().await.unwrap();
        id
    }

    /// Checks that an undo finished and skipped these contacts, which another user had set to Sam.
    pub(crate) async fn check_undone(&self, undo: JobId, conflicts: &[i32]) {
        let (job, changed) = (self.job(undo).await, self.to_change());
        let conflicts: BTreeSet<i32> = conflicts.iter().copied().collect();
        let (matched, left) = (changed.len() as u64, conflicts.len() as u64);
        assert_eq!(job.state, State::Done, "{job:?}");
        assert_eq!(job.counts, Counts { matched, updated: matched - left, conflicts: left, ..Counts::default() });
        let (states, changes) = (self.states().await, self.changes(undo).await);
        for number in &changed {
            let is = states.get(number).cloned().unwrap_or(AccessState::UNRECORDED);
            if conflicts.contains(number) {
                assert_eq!(is.access, private(&[SAM]), "contact {number}");
            } else {
                assert_eq!((&is.access, is.job()), (&self.original(*number).access, Some(undo)), "contact {number}");
            }
        }
        let listed = |conflict| changes.iter().filter(move |change| change.conflict == conflict);
        assert_eq!(listed(true).map(|change| change.contact.get()).collect::<BTreeSet<_>>(), conflicts);
        assert_eq!(listed(false).count() as u64, matched - left);
        assert!(!self.is_open(undo).await);
    }

    /// Returns when an item expires, if ever.
    pub(crate) async fn expires(&self, key: &Key) -> Option<i64> {
        let (pk, sk) = key.encode();
        let text = aws_sdk_dynamodb::types::AttributeValue::S;
        let request = self.world.client.get_item().table_name(&self.world.table);
        let request = request.key(store::keys::PK, text(pk)).key(store::keys::SK, text(sk));
        let item = request.send().await.unwrap().item.unwrap();
        item.get(EXPIRES).map(|value| value.as_n().unwrap().parse().unwrap())
    }
}

pub(crate) fn is_dead(error: &WorkError) -> bool {
    matches!(error, WorkError::Store(StoreError::Unavailable { .. }))
}
