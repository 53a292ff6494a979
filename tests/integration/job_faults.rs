//! Jobs when something goes wrong at one exact call: a worker dies or is slow, an answer is lost, a message arrives
//! twice or never, a caller cancels, another user changes a contact.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use api::App;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition};
use jiff::SignedDuration;
use jobs::events::JobEvent;
use jobs::{Abandoned, Applied, Deadline, Events, FilterRun, Jobs, Message, WorkError, Worked};
use models::access::{Access, Actor, Caller, ShareType};
use models::filter::Filter;
use models::filter::plan::plan;
use models::job::{Change, Counts, Job, JobId, Kind, State};
use models::limits::{LEASE_MILLIS, MAX_TRIES, MESSAGE_DEADLINE_MILLIS, RETRY_MILLIS};
use models::request::Page;
use models::values::id::{LeaseOwner, PortalId, UserId};
use serde_json::{Value, json};
use store::contacts::AccessState;
use store::dynamodb::client::{Endpoint, connect};
use store::jobs::{Claim, Lease};
use store::keys::{EXPIRES, Key, OPEN_BUCKETS};
use store::{Store, StoreError};
use tests::proxy::{Call, Gate, Proxy, Verdict};
use tests::{Reply, TestBus, World};
use tokio::time::Instant;

use crate::portal::{ADA, ADA_TOKEN, MIKE, SAM, access, acme, contact, id, job, lines, portal, private, public, stage};

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

/// Access before the jobs. Of five contacts one has no record and one already matches the target.
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

/// The step of a job that a call performs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Writes the open-job entry.
    Open,
    /// Writes the job record.
    Record,
    /// Marks the job as started.
    Start,
    /// Claims the lease of a shard.
    Claim,
    /// Writes a chunk.
    Chunk,
    /// Writes the manager index of a chunk's records.
    Post,
    /// Writes access records in a batch.
    Batch,
    /// Writes one access record, on condition that it is unchanged.
    One,
    /// Records in the chunk which contacts others changed meanwhile.
    Late,
    /// Records the progress of a shard.
    Progress,
    /// Records that a shard is counted.
    Counted,
    /// Records that a shard is finished.
    End,
    /// Releases the lease of a shard.
    Release,
    /// Records that the job is cancelled.
    Cancel,
    /// Records in a shard that the job is cancelled.
    CancelShard,
    /// Records how the job ended.
    Finish,
    /// Deletes the open-job entry.
    Close,
}

pub(crate) fn step(call: &Call) -> Option<Step> {
    let (pk, sk) = call.keys().into_iter().next()?;
    let update = call.body["UpdateExpression"].as_str().unwrap_or_default();
    Some(match (call.operation.as_str(), Key::decode(&pk, &sk)?) {
        ("TransactWriteItems", Key::OpenJob(..)) => Step::Open,
        ("BatchWriteItem", Key::Access(..)) => Step::Batch,
        ("BatchWriteItem", Key::Posting(..)) => Step::Post,
        ("PutItem", Key::Access(..)) => Step::One,
        ("PutItem", Key::Job(..)) => Step::Record,
        ("PutItem", Key::Chunk(..)) => Step::Chunk,
        ("UpdateItem", Key::Chunk(..)) => Step::Late,
        ("UpdateItem", Key::JobShard(..)) if update.contains("ADD") => Step::Claim,
        ("UpdateItem", Key::JobShard(..)) if update.contains("#counted") => Step::Counted,
        ("UpdateItem", Key::JobShard(..)) if update.contains("#done") => Step::End,
        ("UpdateItem", Key::JobShard(..)) if update.contains("#doc") => Step::Progress,
        ("UpdateItem", Key::JobShard(..)) if update.contains("#cancelled") => Step::CancelShard,
        ("UpdateItem", Key::JobShard(..)) => Step::Release,
        ("UpdateItem", Key::Job(..)) if update.contains("#started") => Step::Start,
        ("UpdateItem", Key::Job(..)) if update.contains(":doc") => Step::Finish,
        ("UpdateItem", Key::Job(..)) => Step::Cancel,
        ("DeleteItem", Key::OpenJob(..)) => Step::Close,
        _ => return None,
    })
}

/// Applies `verdict` to the `which`th call (from 1) of step `wanted`; other calls pass.
pub(crate) fn at(wanted: Step, which: u64, verdict: Verdict) -> impl FnMut(&Call) -> Verdict + Send + 'static {
    let mut met = 0;
    move |call| {
        met += u64::from(step(call) == Some(wanted));
        if step(call) == Some(wanted) && met == which { verdict.clone() } else { Verdict::Pass }
    }
}

/// Returns the contacts whose access records a call writes.
fn written_by(call: &Call) -> Vec<i32> {
    if !call.writes() {
        return Vec::new();
    }
    let keys = call.keys().into_iter().filter_map(|(pk, sk)| Key::decode(&pk, &sk));
    keys.filter_map(|key| if let Key::Access(_, contact) = key { Some(contact.get()) } else { None }).collect()
}

/// A separate process: reaches the table through a proxy and shares everything else.
pub(crate) struct Process {
    pub(crate) proxy: Proxy,
    pub(crate) jobs: Jobs,
}

impl Process {
    pub(crate) async fn work(&self, message: &Message) -> Result<Worked, WorkError> {
        self.jobs.work(message, &Deadline::never()).await
    }

    /// Records the contacts whose access records are written from now on, in order of writing.
    fn records(&self) -> Arc<Mutex<Vec<i32>>> {
        let written = Arc::new(Mutex::new(Vec::new()));
        let kept = written.clone();
        self.proxy.set(move |call| {
            kept.lock().unwrap().extend(written_by(call));
            Verdict::Pass
        });
        written
    }
}

/// The portal `acme` with shards of three pages each.
pub(crate) struct Bed {
    pub(crate) world: World,
    pub(crate) portal: PortalId,
    shards: u16,
    originals: BTreeMap<i32, AccessState>,
}

impl Bed {
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
    fn telling(self, bus: &TestBus) -> Self {
        let events = Events::Here(Arc::new(bus.clone()));
        self.with(|jobs| Jobs { events, ..jobs })
    }

    pub(crate) async fn process(&self) -> Process {
        let url = self.world.endpoint().map_or_else(engine_url, |endpoint| endpoint.url);
        let proxy = Proxy::start(&url).await.unwrap();
        let client = connect(Some(&Endpoint::at(proxy.url())), None).await;
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

    pub(crate) async fn run(&self, target: Access, max_affected: Option<u64>) -> FilterRun {
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
            target,
            page: Page { count: 5, start_index: 0 },
            max_affected,
            started,
            rule: None,
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
        access(&self.world, "acme", self.numbers()).await
    }

    /// Returns the contacts whose records `id` wrote.
    pub(crate) async fn written(&self, id: JobId) -> BTreeSet<i32> {
        let states = self.states().await;
        states.into_iter().filter(|(_, state)| state.revision == Some(id)).map(|(contact, _)| contact).collect()
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
        jobs.undo(&self.portal, &ada, &undone, jobs.new_id()).await.unwrap().id
    }

    /// Undoes a job and checks that the undo finished.
    pub(crate) async fn undone(&self, id: JobId) -> Job {
        let undo = self.undo(id).await;
        self.world.work().await.unwrap();
        let job = self.job(undo).await;
        assert_eq!((job.state, job.task.kind(), job.task.undo_of()), (State::Done, Kind::Undo, Some(id)));
        job
    }

    async fn cancel(&self, id: JobId) -> Reply {
        self.world.post(&format!("jobs/{id}/cancel"), ADA_TOKEN).await.unwrap()
    }

    /// Sets one contact's access by a single call. Returns the job's identifier.
    async fn set(&self, contact: i32, managers: &[UserId]) -> JobId {
        self.set_unless_set(contact, managers).await.unwrap()
    }

    /// Like `set`; none when the contact already matches.
    pub(crate) async fn set_unless_set(&self, contact: i32, managers: &[UserId]) -> Option<JobId> {
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
            let revision = if changed.contains(&number) { Some(id) } else { self.original(number).revision };
            assert_eq!(states.get(&number), Some(&AccessState { access: target(), revision }), "contact {number}");
        }
        self.check_log(id, &changed).await;
        assert!(!self.is_open(id).await);
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
}

#[expect(clippy::disallowed_methods, reason = "which engine the tests run on is told from outside")]
fn engine_url() -> String {
    std::env::var("CRM_ACCESS_TEST_DYNAMODB").unwrap()
}

fn is_dead(error: &WorkError) -> bool {
    matches!(error, WorkError::Store(StoreError::Unavailable { .. }))
}

#[tokio::test]
async fn each_shard_of_the_test_portal_has_three_equal_pages() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let worker = bed.process().await;
    let steps = Arc::new(Mutex::new(Vec::new()));
    let kept = steps.clone();
    worker.proxy.set(move |call| {
        kept.lock().unwrap().extend(step(call));
        Verdict::Pass
    });
    assert_eq!(worker.work(&message).await.unwrap(), Worked::ShardDone);
    let page = [Step::Chunk, Step::Post, Step::Batch, Step::Progress];
    let mut steps = steps.lock().unwrap().clone();
    // A chunk and the manager index of its records are written concurrently.
    for at in 1..steps.len() {
        if steps[at - 1..=at] == [Step::Post, Step::Chunk] {
            steps.swap(at - 1, at);
        }
    }
    let mut expected = vec![Step::Claim, Step::Start];
    expected.extend(page.iter().cycle().take(11));
    expected.extend([Step::End, Step::Finish, Step::Close]);
    assert_eq!(steps, expected);
    bed.check_done(id).await;
}

// Workers and their leases.

#[tokio::test]
async fn second_worker_takes_over_only_after_the_lease_expired() {
    // The first worker has written a chunk and is writing its records.
    for held in [Step::Batch, Step::Chunk] {
        let bed = Bed::new(1).await;
        let (id, message) = bed.enqueue_one().await;
        let (slow, other) = (bed.process().await, bed.process().await);
        let gate = Gate::new();
        slow.proxy.set(at(held, 2, Verdict::Hold(gate.clone())));
        let (first, ()) = tokio::join!(slow.work(&message), async {
            gate.reached().await;
            let before = bed.states().await;
            assert_eq!(other.work(&message).await.unwrap(), Worked::Nothing);
            bed.pass(LEASE_MILLIS - 1);
            assert_eq!(other.work(&message).await.unwrap(), Worked::Nothing);
            assert_eq!(bed.states().await, before);
            bed.pass(1);
            assert_eq!(other.work(&message).await.unwrap(), Worked::ShardDone);
            bed.check_done(id).await;
            gate.open();
        });
        assert_eq!(first.unwrap(), Worked::Nothing);
        slow.proxy.idle().await;
        bed.check_done(id).await;
        bed.undone(id).await;
        bed.check_restored().await;
    }
}

#[tokio::test]
async fn changes_between_a_takeover_and_its_first_read_are_counted_once() {
    for page in 1..=3 {
        let bed = Bed::new(1).await;
        let (id, message) = bed.enqueue_one().await;
        let (slow, other) = (bed.process().await, bed.process().await);
        let (before_chunk, before_reading) = (Gate::new(), Gate::new());
        slow.proxy.set(at(Step::Chunk, page, Verdict::Hold(before_chunk.clone())));
        let (held, mut reads) = (before_reading.clone(), 0);
        other.proxy.set(move |call| {
            reads += u32::from(call.operation == "BatchGetItem");
            let is_first = call.operation == "BatchGetItem" && reads == 1;
            if is_first { Verdict::Hold(held.clone()) } else { Verdict::Pass }
        });
        let one = async {
            let worked = slow.work(&message).await.unwrap();
            before_reading.open();
            worked
        };
        let two = async {
            before_chunk.reached().await;
            bed.pass(LEASE_MILLIS);
            other.work(&message).await.unwrap()
        };
        let opening = async {
            before_reading.reached().await;
            before_chunk.open();
        };
        let (first, second, ()) = tokio::join!(one, two, opening);
        // The first worker lost its lease. The second found a chunk to finish first, and requeued the shard.
        assert_eq!((first, second), (Worked::Nothing, Worked::Requeued), "page {page}");
        bed.world.work().await.unwrap();
        bed.check_done(id).await;
    }
}

#[tokio::test]
async fn claim_returns_held_taken_or_done() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let (store, now) = (&bed.world.store, bed.world.app.now());
    let later = now + SignedDuration::from_secs(1);
    let lease = |owner, until| Lease { owner: LeaseOwner::from_u128(owner), until };
    let claim =
        async |owner, until, now| store.claim_shard(&bed.portal, id, 0, &lease(owner, until), now).await.unwrap();
    assert!(matches!(claim(1, later, now).await, Claim::Taken(state) if state.tries == 1));
    assert_eq!(claim(2, later, now).await, Claim::Held);
    // A repeated claim, as after a lost answer, returns the same lease.
    assert!(matches!(claim(1, later, now).await, Claim::Taken(_)));
    assert!(
        matches!(claim(2, later, later).await, Claim::Taken(state) if state.owner == Some(LeaseOwner::from_u128(2)))
    );
    bed.pass(1000);
    bed.world.jobs().work(&message, &Deadline::never()).await.unwrap();
    bed.check_done(id).await;
    assert_eq!(claim(3, later, later).await, Claim::Done);
}

#[tokio::test]
async fn worker_notices_a_lost_lease_when_it_records_progress() {
    for which in [1, 2] {
        let bed = Bed::new(1).await;
        let (id, message) = bed.enqueue_one().await;
        let (slow, other) = (bed.process().await, bed.process().await);
        let gate = Gate::new();
        slow.proxy.set(at(Step::Progress, which, Verdict::Hold(gate.clone())));
        let (first, ()) = tokio::join!(slow.work(&message), async {
            gate.reached().await;
            bed.pass(LEASE_MILLIS);
            let written = other.records();
            assert_eq!(other.work(&message).await.unwrap(), Worked::ShardDone);
            // Records of the first worker are not written again.
            let written: BTreeSet<i32> = written.lock().unwrap().iter().copied().collect();
            assert!(!written.is_empty() && written.len() < bed.to_change().len(), "{written:?}");
            gate.open();
        });
        assert_eq!(first.unwrap(), Worked::Nothing);
        let calls = slow.proxy.calls();
        bed.check_done(id).await;
        assert_eq!(slow.proxy.calls(), calls);
    }
}

#[tokio::test]
async fn worker_that_lost_its_lease_closes_the_shard_without_harm() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let (slow, other) = (bed.process().await, bed.process().await);
    let gate = Gate::new();
    slow.proxy.set(at(Step::End, 1, Verdict::Hold(gate.clone())));
    let (first, ()) = tokio::join!(slow.work(&message), async {
        gate.reached().await;
        bed.pass(LEASE_MILLIS);
        assert_eq!(other.work(&message).await.unwrap(), Worked::ShardDone);
        gate.open();
    });
    // The first worker finds the shard closed as it would have closed it.
    assert_eq!(first.unwrap(), Worked::ShardDone);
    bed.check_done(id).await;
}

#[tokio::test]
async fn worker_changes_nothing_after_a_takeover() {
    // The second worker is in the middle when the first continues.
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let (slow, other) = (bed.process().await, bed.process().await);
    let (first, second) = (Gate::new(), Gate::new());
    slow.proxy.set(at(Step::Batch, 1, Verdict::Hold(first.clone())));
    other.proxy.set(at(Step::Progress, 1, Verdict::Hold(second.clone())));
    let one = async {
        let worked = slow.work(&message).await.unwrap();
        second.open();
        worked
    };
    let two = async {
        first.reached().await;
        bed.pass(LEASE_MILLIS);
        other.work(&message).await.unwrap()
    };
    let opening = async {
        second.reached().await;
        first.open();
    };
    assert_eq!(tokio::join!(one, two, opening), (Worked::Nothing, Worked::ShardDone, ()));
    bed.check_done(id).await;
}

// Messages.

#[tokio::test]
async fn late_message_does_nothing() {
    let bed = Bed::new(2).await;
    let id = bed.enqueue().await;
    let messages = bed.world.queue.waiting();
    bed.world.work().await.unwrap();
    bed.check_done(id).await;
    let (states, writes) = (bed.states().await, bed.world.trips.spent().writes);
    for message in &messages {
        assert_eq!(bed.world.jobs().work(message, &Deadline::never()).await.unwrap(), Worked::Nothing);
    }
    assert_eq!(bed.world.trips.spent().writes, writes);
    assert_eq!(bed.states().await, states);
    bed.check_done(id).await;
}

#[tokio::test]
async fn message_about_a_finished_shard_does_nothing_while_the_job_runs() {
    let bed = Bed::new(2).await;
    let id = bed.enqueue().await;
    let (one, two) = (bed.world.queue.take().unwrap(), bed.world.queue.take().unwrap());
    let jobs = bed.world.jobs();
    assert_eq!(jobs.work(&one, &Deadline::never()).await.unwrap(), Worked::ShardDone);
    assert_eq!(jobs.work(&one, &Deadline::never()).await.unwrap(), Worked::Nothing);
    assert_eq!(bed.job(id).await.state, State::Running);
    assert_eq!(jobs.work(&two, &Deadline::never()).await.unwrap(), Worked::ShardDone);
    bed.check_done(id).await;
}

#[tokio::test]
async fn duplicate_message_is_processed_once() {
    for held in [Step::Start, Step::Chunk, Step::Batch, Step::Progress, Step::End] {
        let bed = Bed::new(1).await;
        let (id, message) = bed.enqueue_one().await;
        let (one, other) = (bed.process().await, bed.process().await);
        let gate = Gate::new();
        one.proxy.set(at(held, 1, Verdict::Hold(gate.clone())));
        let (first, ()) = tokio::join!(one.work(&message), async {
            gate.reached().await;
            assert_eq!(other.work(&message).await.unwrap(), Worked::Nothing, "{held:?}");
            gate.open();
        });
        assert_eq!(first.unwrap(), Worked::ShardDone, "{held:?}");
        bed.check_done(id).await;
    }
}

#[tokio::test]
async fn one_of_two_workers_processes_a_message_received_by_both() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let (one, two) = (bed.process().await, bed.process().await);
    let (first, second) = tokio::join!(one.work(&message), two.work(&message));
    let mut worked = [first.unwrap(), second.unwrap()];
    worked.sort_by_key(|worked| *worked == Worked::Nothing);
    assert_eq!(worked, [Worked::ShardDone, Worked::Nothing]);
    bed.check_done(id).await;
}

#[tokio::test]
async fn two_workers_that_finish_the_last_shards_together_finish_the_job_once() {
    let bus = TestBus::default();
    let bed = Bed::new(2).await.telling(&bus);
    let id = bed.enqueue().await;
    let (one, two) = (bed.process().await, bed.process().await);
    let (gate, messages) = (Gate::new(), bed.world.queue.waiting());
    bed.world.queue.clear();
    for worker in [&one, &two] {
        worker.proxy.set(at(Step::Finish, 1, Verdict::Hold(gate.clone())));
    }
    let opening = async {
        gate.reached().await;
        gate.open();
    };
    let (first, second, ()) = tokio::join!(one.work(&messages[0]), two.work(&messages[1]), opening);
    assert_eq!((first.unwrap(), second.unwrap()), (Worked::ShardDone, Worked::ShardDone));
    bed.check_done(id).await;
    assert!((1..=2).contains(&bus.told().len()), "{:?}", bus.told());
}

// A worker that dies.

#[tokio::test]
async fn another_worker_finishes_an_unwritten_chunk() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let (dead, other) = (bed.process().await, bed.process().await);
    dead.proxy.set(at(Step::Batch, 1, Verdict::Die));
    assert!(is_dead(&dead.work(&message).await.unwrap_err()));
    assert_eq!(bed.written(id).await, BTreeSet::new());
    // The log already has the changes that are not yet written.
    let chunk: BTreeSet<i32> = bed.changes(id).await.iter().map(|change| change.contact.get()).collect();
    assert!(!chunk.is_empty());

    bed.pass(LEASE_MILLIS);
    let written = other.records();
    assert_eq!(other.work(&message).await.unwrap(), Worked::ShardDone);
    bed.check_done(id).await;
    let mut written = written.lock().unwrap().clone();
    assert_eq!(written.iter().take(chunk.len()).copied().collect::<BTreeSet<_>>(), chunk);
    written.sort_unstable();
    assert_eq!(written, bed.to_change().into_iter().collect::<Vec<_>>(), "each contact is written once");
}

#[tokio::test]
async fn another_worker_finishes_a_half_written_chunk() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let (dead, other) = (bed.process().await, bed.process().await);
    let mut batches = 0;
    dead.proxy.set(move |call| {
        batches += u64::from(step(call) == Some(Step::Batch));
        match (step(call), batches) {
            (Some(Step::Batch), 2) => Verdict::Unprocessed(call.keys().len() / 2),
            (Some(Step::Batch), 3) => Verdict::Die,
            _ => Verdict::Pass,
        }
    });
    assert!(is_dead(&dead.work(&message).await.unwrap_err()));
    let (half, chunks) = (bed.written(id).await, bed.changes(id).await.len());
    assert!(half.len() < chunks && half.len() > chunks / 2, "{half:?} of {chunks}");

    bed.pass(LEASE_MILLIS);
    let written = other.records();
    assert_eq!(other.work(&message).await.unwrap(), Worked::ShardDone);
    bed.check_done(id).await;
    let mut written = written.lock().unwrap().clone();
    written.sort_unstable();
    assert_eq!(written, bed.to_change().difference(&half).copied().collect::<Vec<_>>());
    bed.undone(id).await;
    bed.check_restored().await;
}

#[tokio::test]
async fn written_chunk_without_recorded_progress_is_not_written_again() {
    for which in [1, 2] {
        let bed = Bed::new(1).await;
        let (id, message) = bed.enqueue_one().await;
        let (dead, other) = (bed.process().await, bed.process().await);
        dead.proxy.set(at(Step::Progress, which, Verdict::Die));
        assert!(is_dead(&dead.work(&message).await.unwrap_err()));
        let done = bed.written(id).await;
        assert_eq!(done.len(), bed.changes(id).await.len());

        bed.pass(LEASE_MILLIS);
        let written = other.records();
        assert_eq!(other.work(&message).await.unwrap(), Worked::ShardDone);
        bed.check_done(id).await;
        let mut written = written.lock().unwrap().clone();
        written.sort_unstable();
        assert_eq!(written, bed.to_change().difference(&done).copied().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn another_worker_finishes_after_a_death_at_any_call() {
    let mut number = 0;
    loop {
        number += 1;
        let mut deaths = 0;
        for verdict in [Verdict::Die, Verdict::DieAfter] {
            let bed = Bed::new(1).await;
            let (id, message) = bed.enqueue_one().await;
            let dead = bed.process().await;
            let last = verdict.clone();
            dead.proxy.set(move |call| if call.number == number { last.clone() } else { Verdict::Pass });
            let worked = dead.work(&message).await;
            deaths += usize::from(dead.proxy.is_dead());
            assert_eq!(worked.is_err(), dead.proxy.is_dead(), "{verdict:?} at call {number}: {worked:?}");
            bed.recover().await;
            bed.check_done(id).await;
            bed.undone(id).await;
            bed.check_restored().await;
        }
        if deaths == 0 {
            break;
        }
    }
    assert!(number > 15, "{number} calls");
}

#[tokio::test]
async fn sweep_closes_a_job_whose_shards_are_finished() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let dead = bed.process().await;
    dead.proxy.set(at(Step::Finish, 1, Verdict::Die));
    assert!(is_dead(&dead.work(&message).await.unwrap_err()));
    assert_eq!(bed.sweep().await, 0);
    assert!(!bed.job(id).await.is_over() && bed.is_open(id).await);
    bed.pass(MESSAGE_DEADLINE_MILLIS);
    // The sweep closes the job without a worker.
    assert_eq!((bed.sweep().await, bed.world.queue.waiting()), (0, vec![]));
    bed.check_done(id).await;
}

// Answers that are lost.

#[tokio::test]
async fn call_with_a_lost_answer_is_repeated_without_harm() {
    for lost in [Step::Claim, Step::Start, Step::Batch, Step::Progress, Step::End, Step::Finish, Step::Close] {
        let bed = Bed::new(2).await;
        let id = bed.enqueue().await;
        let worker = bed.process().await;
        worker.proxy.set(at(lost, 1, Verdict::FailAfter));
        while let Some(message) = bed.world.queue.take() {
            assert_eq!(worker.work(&message).await.unwrap(), Worked::ShardDone, "{lost:?}");
        }
        bed.check_done(id).await;
    }
}

#[tokio::test]
async fn chunk_write_with_a_lost_answer_is_finished_from_the_chunk() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let worker = bed.process().await;
    worker.proxy.set(at(Step::Chunk, 2, Verdict::FailAfter));
    // The worker cannot tell its own chunk from another worker's, so it requeues the shard.
    assert_eq!(worker.work(&message).await.unwrap(), Worked::Requeued);
    assert!(bed.written(id).await.len() < bed.changes(id).await.len());
    bed.world.work().await.unwrap();
    bed.check_done(id).await;
}

#[tokio::test]
async fn shard_is_closed_although_every_answer_is_lost() {
    // Every attempt reaches the table and none is answered.
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let worker = bed.process().await;
    worker.proxy.set(|call| if step(call) == Some(Step::End) { Verdict::FailAfter } else { Verdict::Pass });
    assert!(is_dead(&worker.work(&message).await.unwrap_err()));
    worker.proxy.clear();
    assert_eq!(worker.work(&message).await.unwrap(), Worked::Nothing);
    bed.check_done(id).await;
}

#[tokio::test]
async fn cancel_takes_effect_although_its_answer_is_lost() {
    for (lost, verdict) in
        [(Step::Cancel, Verdict::FailAfter), (Step::Cancel, Verdict::Fail), (Step::CancelShard, Verdict::FailAfter)]
    {
        let bed = Bed::new(1).await;
        let (id, message) = bed.enqueue_one().await;
        let canceller = bed.process().await;
        canceller.proxy.set(at(lost, 1, verdict));
        assert!(canceller.jobs.cancel(&bed.portal, &bed.job(id).await).await.unwrap(), "{lost:?}");
        assert_eq!(bed.world.jobs().work(&message, &Deadline::never()).await.unwrap(), Worked::ShardDone);
        let job = bed.job(id).await;
        assert_eq!((job.state, job.is_over(), job.counts), (State::Cancelled, true, Counts::default()), "{lost:?}");
    }
}

#[tokio::test]
async fn cancel_takes_effect_although_it_fails_before_marking_shards() {
    let bed = Bed::new(2).await;
    let id = bed.enqueue().await;
    let canceller = bed.process().await;
    canceller.proxy.set(at(Step::CancelShard, 1, Verdict::Die));
    canceller.jobs.cancel(&bed.portal, &bed.job(id).await).await.unwrap_err();
    bed.world.work().await.unwrap();
    let job = bed.job(id).await;
    assert_eq!((job.state, job.is_over(), job.counts), (State::Cancelled, true, Counts::default()));
    assert_eq!(bed.written(id).await, BTreeSet::new());
}

#[tokio::test]
async fn sweep_sends_lost_messages_again_once_per_message_deadline() {
    let bed = Bed::new(2).await;
    let id = bed.enqueue().await;
    for _ in 0..2 {
        bed.world.queue.clear();
        assert_eq!(bed.sweep().await, 0);
        bed.pass(MESSAGE_DEADLINE_MILLIS - 1);
        assert_eq!((bed.sweep().await, bed.world.queue.waiting().len()), (0, 0));
        bed.pass(1);
        assert_eq!((bed.sweep().await, bed.world.queue.waiting().len()), (2, 2));
        assert_eq!((bed.sweep().await, bed.world.queue.waiting().len()), (0, 2));
    }
    bed.world.work().await.unwrap();
    bed.check_done(id).await;
    bed.pass(MESSAGE_DEADLINE_MILLIS);
    assert_eq!(bed.sweep().await, 0);
}

#[tokio::test]
async fn sweep_sends_only_the_lost_message_again() {
    let bed = Bed::new(2).await;
    let id = bed.enqueue().await;
    let lost = bed.world.queue.take().unwrap();
    bed.world.work().await.unwrap();
    assert!(!bed.job(id).await.is_over());
    bed.pass(MESSAGE_DEADLINE_MILLIS);
    assert_eq!((bed.sweep().await, bed.world.queue.waiting()), (1, vec![lost]));
    bed.world.work().await.unwrap();
    bed.check_done(id).await;
}

#[tokio::test]
async fn single_worker_resumes_everything_at_once_after_a_restart() {
    let bed = Bed::new(2).await;
    let id = bed.enqueue().await;
    let dead = bed.process().await;
    dead.proxy.set(at(Step::Batch, 2, Verdict::Die));
    dead.work(&bed.world.queue.take().unwrap()).await.unwrap_err();
    bed.world.queue.clear();
    assert_eq!(bed.sweep().await, 0);
    assert_eq!(bed.world.jobs().sweep(Abandoned::All, &Deadline::never()).await.unwrap(), 2);
    bed.world.work().await.unwrap();
    bed.check_done(id).await;
}

#[tokio::test]
async fn job_without_a_record_is_shown_to_nobody_and_forgotten() {
    for waited_for in [false, true] {
        let bed = Bed::new(2).await;
        let dead = bed.process().await;
        dead.proxy.set(at(Step::Record, 1, Verdict::Die));
        let (run, id) = (bed.run(target(), None).await, bed.world.jobs().new_id());
        if waited_for {
            run.apply(&dead.jobs, id, &Deadline::never()).await.unwrap_err();
        } else {
            run.enqueue(&dead.jobs, id).await.unwrap_err();
        }
        bed.world.queue.clear();
        let shown = async || {
            let reply = bed.world.get("jobs", ADA_TOKEN).await.unwrap();
            let own = bed.world.jobs_of(&bed.portal, Some(ADA)).await.unwrap();
            (reply.status.as_u16(), reply.response(), own)
        };
        assert_eq!(shown().await, (200, json!([]), vec![]));
        assert_eq!((bed.sweep().await, bed.is_open(id).await), (0, true));
        bed.pass(MESSAGE_DEADLINE_MILLIS);
        assert_eq!((bed.sweep().await, bed.is_open(id).await), (0, false));
        assert_eq!(shown().await, (200, json!([]), vec![]));
        assert_eq!(bed.world.get(&format!("jobs/{id}"), ADA_TOKEN).await.unwrap().status, 404);
        assert_eq!(bed.states().await, bed.originals);
    }
}

// Calls that wait for their run.

#[tokio::test]
async fn workers_finish_a_call_whose_process_died() {
    for (step, which) in [(Step::Chunk, 1), (Step::Batch, 1), (Step::Batch, 4), (Step::Progress, 2), (Step::Finish, 1)]
    {
        for verdict in [Verdict::Die, Verdict::DieAfter] {
            let bed = Bed::new(2).await;
            let dead = bed.process().await;
            dead.proxy.set(at(step, which, verdict));
            let router = local::router::router(&App::new(dead.jobs.clone(), std::time::Duration::from_secs(3600)));
            let body = json!({"isPrivate": true, "managerList": [ADA]}).to_string();
            let request = axum::http::Request::put("/api/2.0/crm/contact/filter/access")
                .header("authorization", ADA_TOKEN)
                .header("content-type", "application/json")
                .body(axum::body::Body::from(body))
                .unwrap();
            tower::ServiceExt::oneshot(router, request).await.unwrap();
            assert!(dead.proxy.is_dead(), "{step:?}");
            // Messages of the dead process were never sent.
            bed.world.queue.clear();

            let jobs = bed.world.jobs_of(&bed.portal, None).await.unwrap();
            let [job] = jobs.as_slice() else { panic!("{jobs:?}") };
            assert!(bed.is_open(job.id).await);
            bed.pass(LEASE_MILLIS - 1);
            assert_eq!(bed.sweep().await, 0);
            bed.pass(1);
            bed.sweep().await;
            bed.world.work().await.unwrap();
            bed.check_done(job.id).await;
            bed.undone(job.id).await;
            bed.check_restored().await;
        }
    }
}

#[tokio::test]
async fn workers_finish_a_run_that_reached_its_deadline() {
    let bed = Bed::new(2).await;
    let (run, id) = (bed.run(target(), None).await, bed.world.jobs().new_id());
    let applied = run.apply(bed.world.jobs(), id, &Deadline::at(Instant::now())).await.unwrap();
    assert!(matches!(applied, Applied::Requeued(job) if job.id == id));
    assert_eq!(bed.world.queue.waiting().len(), 2);
    bed.world.work().await.unwrap();
    bed.check_done(id).await;
}

#[tokio::test]
async fn worker_requeues_the_rest_at_its_deadline() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let worker = bed.process().await;
    let (tell, told) = tokio::sync::watch::channel(false);
    let mut tell = Some(tell);
    worker.proxy.set(move |call| {
        if step(call) == Some(Step::Batch)
            && let Some(tell) = tell.take()
        {
            tell.send_replace(true);
        }
        Verdict::Pass
    });
    let worked = worker.jobs.work(&message, &Deadline::on_signal(told)).await.unwrap();
    assert_eq!((worked, bed.world.queue.waiting()), (Worked::Requeued, vec![message]));
    // The worker finished its current page.
    assert_eq!(bed.written(id).await.len(), bed.changes(id).await.len());
    assert!(!bed.written(id).await.is_empty());
    bed.world.work().await.unwrap();
    bed.check_done(id).await;
}

// Changes by other users.

#[tokio::test]
async fn takeover_keeps_a_change_made_after_the_dead_workers_chunk() {
    for partly in [false, true] {
        let bed = Bed::new(1).await;
        let (id, message) = bed.enqueue_one().await;
        let dead = bed.process().await;
        dead.proxy.set(at(Step::Batch, 1, if partly { Verdict::DieAfter } else { Verdict::Die }));
        assert!(is_dead(&dead.work(&message).await.unwrap_err()));
        let contact = bed.changes(id).await[0].contact.get();
        let set = bed.set(contact, &[SAM]).await;
        bed.recover().await;
        let job = bed.job(id).await;
        assert_eq!((job.state, job.counts.updated), (State::Done, bed.to_change().len() as u64));
        let after = bed.states().await;
        let theirs = AccessState { access: private(&[SAM]), revision: Some(set) };
        assert_eq!(after.get(&contact), Some(&theirs));
        assert_eq!(bed.written(id).await.len(), bed.to_change().len() - 1);

        let undo = bed.undone(id).await;
        let changed = bed.to_change().len() as u64;
        assert_eq!(undo.counts, Counts { matched: changed, updated: changed - 1, conflicts: 1, ..Counts::default() });
        let restored = bed.states().await;
        for number in bed.to_change() {
            let is = restored.get(&number).cloned().unwrap_or(AccessState::UNRECORDED);
            let expected = if number == contact { private(&[SAM]) } else { bed.original(number).access };
            assert_eq!(is.access, expected, "contact {number}");
        }
        let conflicts: Vec<i32> =
            bed.changes(undo.id).await.iter().filter(|c| c.conflict).map(|c| c.contact.get()).collect();
        assert_eq!(conflicts, [contact]);
    }
}

// A table that refuses.

/// Refuses every write of the records of contacts that match `is`.
pub(crate) fn refusing(is: fn(i32) -> bool) -> impl FnMut(&Call) -> Verdict + Send + 'static {
    move |call| if written_by(call).into_iter().any(is) { Verdict::Refuse } else { Verdict::Pass }
}

/// Returns whether a contact belongs to the second of two shards.
fn is_odd(contact: i32) -> bool {
    contact % 2 == 1
}

#[tokio::test]
async fn permanently_refused_shard_is_given_up_and_other_shards_finish() {
    // All contacts of a page, or one of them.
    for (refused, failed) in [(is_odd as fn(i32) -> bool, 4), (|contact| contact == 3, 1)] {
        let bed = Bed::new(2).await;
        let id = bed.enqueue().await;
        let worker = bed.process().await;
        worker.proxy.set(refusing(refused));
        let (even, odd) = (bed.world.queue.take().unwrap(), bed.world.queue.take().unwrap());
        for tried in 1..=MAX_TRIES {
            let worked = worker.work(&odd).await;
            if tried < MAX_TRIES {
                assert!(matches!(worked, Err(WorkError::Store(StoreError::Refused { .. }))), "{tried}: {worked:?}");
            } else {
                assert_eq!(worked.unwrap(), Worked::ShardDone);
            }
        }
        assert_eq!(bed.job(id).await.state, State::Running);
        assert_eq!(worker.work(&even).await.unwrap(), Worked::ShardDone);

        let job = bed.job(id).await;
        assert_eq!(job.state, State::Failed);
        assert!(job.error.as_deref().is_some_and(|error| error.contains("did not take all changes")), "{job:?}");
        assert!(job.is_over() && job.percent < 100 && !bed.is_open(id).await, "{job:?}");
        let written = bed.written(id).await;
        assert!(bed.to_change().into_iter().filter(|number| !is_odd(*number)).all(|number| written.contains(&number)));
        assert_eq!((job.counts.failed, job.counts.updated), (failed, written.len() as u64));
        let Counts { matched, updated, unchanged, failed, .. } = job.counts;
        assert_eq!(matched, updated + unchanged + failed);

        let undo = bed.undone(id).await;
        assert_eq!(undo.counts, Counts { matched: updated + failed, updated, unchanged: failed, ..Counts::default() });
        bed.check_restored().await;
    }
}

#[tokio::test]
async fn progress_resets_the_tries_of_a_shard() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let worker = bed.process().await;
    for refused in [|contact| [1, 2, 3, 12].contains(&contact), |contact| [5, 6, 7, 4].contains(&contact)] {
        worker.proxy.set(refusing(refused));
        for _ in 1..MAX_TRIES {
            worker.work(&message).await.unwrap_err();
        }
    }
    worker.proxy.clear();
    assert_eq!(worker.work(&message).await.unwrap(), Worked::ShardDone);
    bed.check_done(id).await;
}

#[tokio::test]
async fn temporarily_throttled_shard_finishes() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let worker = bed.process().await;
    let mut left = 6;
    worker.proxy.set(move |call| {
        if step(call) != Some(Step::Batch) || left == 0 {
            return Verdict::Pass;
        }
        left -= 1;
        Verdict::Throttle
    });
    assert_eq!(worker.work(&message).await.unwrap(), Worked::ShardDone);
    bed.check_done(id).await;
}

#[tokio::test]
async fn sweep_requeues_a_failed_shard_after_the_retry_delay() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let worker = bed.process().await;
    worker.proxy.set(refusing(|_| true));
    worker.work(&message).await.unwrap_err();
    bed.pass(RETRY_MILLIS);
    assert_eq!((bed.sweep().await, bed.world.queue.waiting()), (1, vec![message]));
    bed.world.work().await.unwrap();
    bed.check_done(id).await;
}

// Cancelled jobs.

/// Checks that a cancelled job is over, that its counts, log and writes agree, and that it can be undone.
async fn check_cancelled(bed: &Bed, id: JobId, matched: u64) {
    let (job, written) = (bed.job(id).await, bed.written(id).await);
    assert_eq!((job.state, job.error.as_deref(), job.counts.matched), (State::Cancelled, None, matched));
    assert!(job.is_over() && job.percent < 100 && !bed.is_open(id).await, "{job:?}");
    assert_eq!((job.counts.updated, job.counts.failed), (written.len() as u64, 0));
    bed.check_log(id, &written).await;
    let undo = bed.undone(id).await;
    assert_eq!((undo.counts.updated, undo.counts.unchanged), (written.len() as u64, 0));
    bed.check_restored().await;
}

#[tokio::test]
async fn cancelled_job_stops_after_its_current_page() {
    for held in [Step::Chunk, Step::Batch, Step::Progress] {
        let bed = Bed::new(1).await;
        let (id, message) = bed.enqueue_one().await;
        let worker = bed.process().await;
        let gate = Gate::new();
        worker.proxy.set(at(held, 2, Verdict::Hold(gate.clone())));
        let (worked, ()) = tokio::join!(worker.work(&message), async {
            gate.reached().await;
            let shown = bed.cancel(id).await.json();
            assert_eq!(
                (&shown["response"]["state"], &shown["response"]["finished"]),
                (&json!("cancelled"), &Value::Null)
            );
            gate.open();
        });
        assert_eq!(worked.unwrap(), Worked::ShardDone);
        bed.world.work().await.unwrap();
        check_cancelled(&bed, id, 8).await;
        assert_eq!(bed.cancel(id).await.status, 409);
    }
}

#[tokio::test]
async fn job_cancelled_in_the_queue_changes_nothing() {
    let bed = Bed::new(2).await;
    let id = bed.enqueue().await;
    assert_eq!(bed.cancel(id).await.status, 200);
    assert!(!bed.job(id).await.is_over());
    // A cancel may be repeated until the job is over.
    assert_eq!(bed.cancel(id).await.status, 200);
    bed.world.work().await.unwrap();
    check_cancelled(&bed, id, 0).await;
    assert_eq!(bed.states().await.len(), bed.originals.len());
}

#[tokio::test]
async fn sweep_closes_a_cancelled_job_whose_worker_died() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let dead = bed.process().await;
    dead.proxy.set(at(Step::Batch, 2, Verdict::Die));
    assert!(is_dead(&dead.work(&message).await.unwrap_err()));
    assert_eq!(bed.cancel(id).await.status, 200);
    // The dead worker still holds its lease.
    bed.world.work().await.unwrap();
    assert!(!bed.job(id).await.is_over());
    bed.recover().await;
    check_cancelled(&bed, id, 8).await;
}

#[tokio::test]
async fn job_cancelled_after_its_last_write_ends_as_cancelled() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let worker = bed.process().await;
    let gate = Gate::new();
    worker.proxy.set(at(Step::Finish, 1, Verdict::Hold(gate.clone())));
    let (worked, ()) = tokio::join!(worker.work(&message), async {
        gate.reached().await;
        assert_eq!(bed.cancel(id).await.status, 200);
        gate.open();
    });
    assert_eq!(worked.unwrap(), Worked::ShardDone);
    bed.world.work().await.unwrap();
    let job = bed.job(id).await;
    assert_eq!((job.state, job.is_over(), job.counts.updated), (State::Cancelled, true, bed.to_change().len() as u64));
    assert!(!bed.is_open(id).await);
}

// Undo.

impl Bed {
    /// Runs a job to its end.
    async fn applied(&self) -> JobId {
        let id = self.enqueue().await;
        self.world.work().await.unwrap();
        id
    }

    /// Checks that an undo finished and skipped these contacts, which another user had set to Sam.
    async fn check_undone(&self, undo: JobId, conflicts: &[i32]) {
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
                assert_eq!((&is.access, is.revision), (&self.original(*number).access, Some(undo)), "contact {number}");
            }
        }
        let listed = |conflict| changes.iter().filter(move |change| change.conflict == conflict);
        assert_eq!(listed(true).map(|change| change.contact.get()).collect::<BTreeSet<_>>(), conflicts);
        assert_eq!(listed(false).count() as u64, matched - left);
        assert!(!self.is_open(undo).await);
    }
}

#[tokio::test]
async fn undo_keeps_changes_made_before_it_and_while_it_runs() {
    // The worker survives, or dies after it found the late conflict.
    for dies in [None, Some(Step::Late), Some(Step::Progress), Some(Step::One)] {
        let bed = Bed::new(1).await;
        let id = bed.applied().await;
        let early = bed.changes(id).await.last().unwrap().contact.get();
        let late = bed.changes(id).await[0].contact.get();
        bed.set(early, &[SAM]).await;
        let undo = bed.undo(id).await;
        let message = bed.world.queue.take().unwrap();
        let worker = bed.process().await;
        let gate = Gate::new();
        let held = gate.clone();
        worker.proxy.set(move |call| {
            if step(call) == Some(Step::One) && written_by(call) == [late] {
                return Verdict::Hold(held.clone());
            }
            // The worker's other records are written while this one is held.
            if step(call).is_some() && step(call) == dies && held.is_open() { Verdict::Die } else { Verdict::Pass }
        });
        let (worked, ()) = tokio::join!(worker.work(&message), async {
            gate.reached().await;
            bed.set(late, &[SAM]).await;
            gate.open();
        });
        assert_eq!(worked.is_err(), worker.proxy.is_dead(), "{dies:?}");
        assert_eq!(worker.proxy.is_dead(), dies.is_some(), "{dies:?}");
        bed.recover().await;
        bed.check_undone(undo, &[early, late]).await;
        let shown = bed.world.get(&format!("jobs/{undo}/changes"), ADA_TOKEN).await.unwrap().response();
        let conflict = |change: &&Value| change["conflict"] == json!(true);
        assert_eq!(shown.as_array().unwrap().iter().filter(conflict).count(), 2, "{shown}");
    }
}

#[tokio::test]
async fn another_worker_finishes_an_undo_after_a_death_at_any_call() {
    let mut number = 0;
    loop {
        number += 1;
        let mut deaths = 0;
        for verdict in [Verdict::Die, Verdict::DieAfter] {
            let bed = Bed::new(1).await;
            let id = bed.applied().await;
            let conflict = bed.changes(id).await[1].contact.get();
            bed.set(conflict, &[SAM]).await;
            let undo = bed.undo(id).await;
            let dead = bed.process().await;
            dead.proxy.set(move |call| if call.number == number { verdict.clone() } else { Verdict::Pass });
            let worked = dead.work(&bed.world.queue.take().unwrap()).await;
            deaths += usize::from(dead.proxy.is_dead());
            assert_eq!(worked.is_err(), dead.proxy.is_dead(), "call {number}: {worked:?}");
            bed.recover().await;
            bed.check_undone(undo, &[conflict]).await;
        }
        if deaths == 0 {
            break;
        }
    }
    assert!(number > 15, "{number} calls");
}

#[tokio::test]
async fn undo_with_lost_answers_finds_no_conflict_with_itself() {
    let bed = Bed::new(1).await;
    let id = bed.applied().await;
    let undo = bed.undo(id).await;
    let worker = bed.process().await;
    let mut met = BTreeSet::new();
    worker.proxy.set(move |call| {
        let first = step(call) == Some(Step::One) && met.insert(written_by(call));
        if first { Verdict::FailAfter } else { Verdict::Pass }
    });
    let message = bed.world.queue.take().unwrap();
    assert_eq!(worker.work(&message).await.unwrap(), Worked::ShardDone);
    bed.check_undone(undo, &[]).await;
}

#[tokio::test]
async fn undo_of_an_undo_applies_the_job_again() {
    let bed = Bed::new(2).await;
    let id = bed.applied().await;
    let undo = bed.undone(id).await;
    bed.check_restored().await;
    let again = bed.undone(undo.id).await;
    assert_eq!(again.counts.updated, bed.to_change().len() as u64);
    assert_eq!(bed.written(again.id).await, bed.to_change());
    assert!(bed.states().await.values().all(|state| state.access == target()));
    // The first job is already undone: nothing remains to restore.
    let nothing = bed.undone(id).await;
    assert_eq!((nothing.counts.updated, nothing.counts.conflicts), (0, bed.to_change().len() as u64));
    bed.undone(again.id).await;
    bed.check_restored().await;
}

#[tokio::test]
async fn single_change_can_be_undone() {
    for contact in [5, 6] {
        let bed = Bed::new(2).await;
        let set = bed.set(contact, &[SAM]).await;
        let undo = bed.undone(set).await;
        assert_eq!(undo.counts, Counts { matched: 1, updated: 1, ..Counts::default() });
        bed.check_restored().await;
        let redone = bed.undone(undo.id).await;
        assert_eq!(bed.states().await[&contact], AccessState { access: private(&[SAM]), revision: Some(redone.id) });

        let (first, second) = (bed.set(contact, &[MIKE, SAM]).await, bed.set(contact, &[SAM]).await);
        let undo = bed.undone(first).await;
        assert_eq!(undo.counts, Counts { matched: 1, conflicts: 1, ..Counts::default() });
        assert_eq!(bed.states().await[&contact].revision, Some(second));
    }
}

#[tokio::test]
async fn undo_restores_no_removed_contact() {
    let bed = Bed::new(1).await;
    let id = bed.applied().await;
    // Before the job, contact 5 had no record and contact 6 had one.
    let removed: String = [5, 6].map(|id| format!("{}\n", json!({"delete": {"contact": id}}))).concat();
    bed.world.import(&format!("{}\n{removed}", portal("acme", "Europe/Riga", 1))).await.unwrap();
    let undo = bed.undone(id).await;
    let changed = bed.to_change().len() as u64;
    let expected = Counts { matched: changed, updated: changed - 2, conflicts: 1, unchanged: 1, ..Counts::default() };
    assert_eq!(undo.counts, expected);
    let states = bed.states().await;
    assert!(!states.contains_key(&5) && !states.contains_key(&6), "{states:?}");
    let shown = bed.world.get(&format!("jobs/{}/changes", undo.id), ADA_TOKEN).await.unwrap();
    assert_eq!(shown.status, 200, "{}", shown.text);
}

#[tokio::test]
async fn undo_does_not_write_a_contact_removed_while_it_runs() {
    let bed = Bed::new(1).await;
    let id = bed.applied().await;
    let undo = bed.undo(id).await;
    let message = bed.world.queue.take().unwrap();
    let worker = bed.process().await;
    let gate = Gate::new();
    let held = gate.clone();
    worker.proxy.set(move |call| {
        if step(call) == Some(Step::One) && written_by(call) == [6] {
            Verdict::Hold(held.clone())
        } else {
            Verdict::Pass
        }
    });
    let (worked, ()) = tokio::join!(worker.work(&message), async {
        gate.reached().await;
        let line = json!({"delete": {"contact": 6}});
        bed.world.import(&format!("{}\n{line}\n", portal("acme", "Europe/Riga", 1))).await.unwrap();
        gate.open();
    });
    assert_eq!(worked.unwrap(), Worked::ShardDone);
    assert!(!bed.states().await.contains_key(&6));
    let job = bed.job(undo).await;
    let changed = bed.to_change().len() as u64;
    assert_eq!((job.counts.updated, job.counts.conflicts), (changed - 1, 1));
}

// Limits (`maxAffected`): count first.

/// Checks that the job exceeded its limit and wrote nothing.
async fn check_too_many(bed: &Bed, id: JobId) {
    let job = bed.job(id).await;
    assert_eq!((job.state, job.counts, job.percent), (State::Failed, Counts::default(), 0), "{job:?}");
    assert!(job.is_over() && job.started.is_some() && !bed.is_open(id).await, "{job:?}");
    let would = format!("{} contacts would be", bed.to_change().len());
    assert!(
        job.error.as_deref().is_some_and(|error| error.contains(&would) && error.contains("maxAffected")),
        "{job:?}"
    );
    assert_eq!((bed.states().await, bed.changes(id).await), (bed.originals.clone(), vec![]));
    assert_eq!(bed.undone(id).await.counts, Counts::default());
}

#[tokio::test]
async fn job_over_its_limit_fails_and_writes_nothing() {
    for shards in [1, 2] {
        let bed = Bed::new(shards).await;
        for most in [bed.to_change().len() as u64 - 1, 0] {
            let id = bed.enqueue_at_most(Some(most)).await;
            bed.world.work().await.unwrap();
            check_too_many(&bed, id).await;
        }
    }
}

#[tokio::test]
async fn job_within_its_limit_counts_before_it_writes() {
    for shards in [1, 2] {
        let bed = Bed::new(shards).await;
        let id = bed.enqueue_at_most(Some(bed.to_change().len() as u64)).await;
        let jobs = bed.world.jobs();
        for number in 0..shards {
            assert_eq!(bed.job(id).await.state, if number == 0 { State::Queued } else { State::Running });
            jobs.work(&bed.world.queue.take().unwrap(), &Deadline::never()).await.unwrap();
            // Nothing is written until all shards are counted.
            assert_eq!(bed.states().await, bed.originals);
        }
        bed.world.work().await.unwrap();
        bed.check_done(id).await;
        bed.undone(id).await;
        bed.check_restored().await;
    }
}

#[tokio::test]
async fn job_keeps_its_limit_after_a_death_at_any_call() {
    let mut number = 0;
    loop {
        number += 1;
        let over = number % 3 == 0;
        let bed = Bed::new(2).await;
        let id = bed.enqueue_at_most(Some(bed.to_change().len() as u64 - u64::from(over))).await;
        let dead = bed.process().await;
        let verdict = if number % 2 == 0 { Verdict::Die } else { Verdict::DieAfter };
        dead.proxy.set(move |call| if call.number == number { verdict.clone() } else { Verdict::Pass });
        while let Some(message) = bed.world.queue.take()
            && dead.work(&message).await.is_ok()
        {}
        bed.recover().await;
        if over {
            check_too_many(&bed, id).await;
        } else {
            bed.check_done(id).await;
        }
        // A job over its limit makes fewer calls.
        if !over && !dead.proxy.is_dead() {
            break;
        }
    }
    assert!(number > 20, "{number} calls");
}

#[tokio::test]
async fn job_cancelled_or_given_up_while_counting_reports_zero_counts() {
    let bed = Bed::new(1).await;
    let id = bed.enqueue_at_most(Some(1000)).await;
    let message = bed.world.queue.take().unwrap();
    let worker = bed.process().await;
    let gate = Gate::new();
    worker.proxy.set(at(Step::Counted, 1, Verdict::Hold(gate.clone())));
    let (worked, ()) = tokio::join!(worker.work(&message), async {
        gate.reached().await;
        assert_eq!(bed.cancel(id).await.status, 200);
        gate.open();
    });
    worked.unwrap();
    bed.world.work().await.unwrap();
    check_cancelled(&bed, id, 0).await;

    let id = bed.enqueue_at_most(Some(1000)).await;
    let message = bed.world.queue.take().unwrap();
    worker.proxy.set(|call| if step(call) == Some(Step::Counted) { Verdict::Refuse } else { Verdict::Pass });
    for _ in 1..MAX_TRIES {
        worker.work(&message).await.unwrap_err();
    }
    assert_eq!(worker.work(&message).await.unwrap(), Worked::ShardDone);
    let job = bed.job(id).await;
    assert_eq!((job.state, job.counts, bed.written(id).await.len()), (State::Failed, Counts::default(), 0));
}

// Events.

#[tokio::test]
async fn each_ended_job_publishes_one_event_with_its_outcome() {
    let bus = TestBus::default();
    let bed = Bed::new(2).await.telling(&bus);
    let done = bed.applied().await;
    let undo = bed.undone(done).await.id;
    let too_many = bed.enqueue_at_most(Some(1)).await;
    bed.world.work().await.unwrap();
    let cancelled = bed.enqueue().await;
    bed.cancel(cancelled).await;
    // More messages than shards: late messages publish no event again.
    assert!(bed.world.work().await.unwrap() > 2);
    let told = bus.told();
    let expected = [(done, Kind::Filter), (undo, Kind::Undo), (too_many, Kind::Filter), (cancelled, Kind::Filter)];
    assert_eq!(told.iter().map(|event| (event.job_id, event.kind)).collect::<Vec<_>>(), expected);
    for event in &told {
        assert_eq!(event, &JobEvent::new(bed.portal.clone(), &bed.job(event.job_id).await));
        assert!(event.finished.is_some() && !bed.is_open(event.job_id).await);
    }
    let event = serde_json::to_value(&told[0]).unwrap();
    assert_eq!((&event["Portal"], &event["JobId"], &event["Kind"]), (&json!("acme"), &json!(done), &json!("filter")));
    assert_eq!((&event["State"], &event["CreatedBy"]), (&json!("done"), &json!(ADA)));
    assert_eq!((&event["Updated"], &event["Failed"]), (&json!(bed.to_change().len()), &json!(0)));
    assert_eq!(
        told.iter().map(|event| event.state.name()).collect::<Vec<_>>(),
        ["done", "done", "failed", "cancelled"]
    );
    assert_eq!((told[0].target.as_ref(), told[1].undo_of), (Some(&target()), Some(done)));

    bed.pass(MESSAGE_DEADLINE_MILLIS);
    bed.sweep().await;
    assert_eq!(bus.told().len(), 4);
}

#[tokio::test]
async fn job_whose_event_is_refused_stays_open_and_publishes_later() {
    for waited_for in [false, true] {
        let bus = TestBus::default();
        let bed = Bed::new(1).await.telling(&bus);
        bus.refuse(true);
        let id = if waited_for {
            let id = bed.world.jobs().new_id();
            let applied = bed.run(target(), None).await.apply(bed.world.jobs(), id, &Deadline::never()).await.unwrap();
            assert!(matches!(applied, Applied::Completed { .. }), "the contacts are changed, whatever the bus says");
            id
        } else {
            let (id, message) = bed.enqueue_one().await;
            let error = bed.world.jobs().work(&message, &Deadline::never()).await.unwrap_err();
            assert!(matches!(error, WorkError::Bus(_)), "{error:?}");
            id
        };
        assert!(bed.job(id).await.is_over() && bed.is_open(id).await);
        bed.pass(MESSAGE_DEADLINE_MILLIS);
        assert_eq!(bed.sweep().await, 0);
        assert!(bed.is_open(id).await && bus.told().is_empty());
        bus.refuse(false);
        bed.pass(RETRY_MILLIS);
        assert_eq!(bed.sweep().await, 0);
        assert_eq!(bus.told().iter().map(|event| event.job_id).collect::<Vec<_>>(), [id]);
        bed.check_done(id).await;
    }
}

#[tokio::test]
async fn repeated_message_publishes_an_event_that_the_bus_refused_before() {
    let bus = TestBus::default();
    let bed = Bed::new(1).await.telling(&bus);
    let (id, message) = bed.enqueue_one().await;
    bus.refuse(true);
    for _ in 0..2 {
        bed.world.jobs().work(&message, &Deadline::never()).await.unwrap_err();
    }
    bus.refuse(false);
    assert_eq!(bed.world.jobs().work(&message, &Deadline::never()).await.unwrap(), Worked::Nothing);
    assert_eq!(bus.told().len(), 1);
    bed.check_done(id).await;
}

#[tokio::test]
async fn worker_that_dies_around_publishing_loses_no_event() {
    for (died, verdict, times) in [
        (Step::Finish, Verdict::DieAfter, 1),
        (Step::Close, Verdict::Die, 2),
        (Step::Close, Verdict::DieAfter, 1),
        (Step::End, Verdict::DieAfter, 1),
    ] {
        let bus = TestBus::default();
        let bed = Bed::new(1).await.telling(&bus);
        let (id, message) = bed.enqueue_one().await;
        let dead = bed.process().await;
        dead.proxy.set(at(died, 1, verdict));
        assert!(is_dead(&dead.work(&message).await.unwrap_err()));
        for _ in 0..2 {
            bed.recover().await;
            assert_eq!(bus.told().iter().map(|event| event.job_id).collect::<Vec<_>>(), vec![id; times], "{died:?}");
        }
        bed.check_done(id).await;
    }
}

#[tokio::test]
async fn process_without_a_bus_leaves_publishing_to_a_worker() {
    let bus = TestBus::default();
    let bed = Bed::new(1).await.with(|jobs| Jobs { events: Events::Elsewhere, ..jobs });
    let id = bed.world.jobs().new_id();
    bed.run(target(), None).await.apply(bed.world.jobs(), id, &Deadline::never()).await.unwrap();
    let tell = Message { portal: bed.portal.clone(), job: id, shard: None };
    assert_eq!(bed.world.queue.waiting(), std::slice::from_ref(&tell));
    assert!(bed.job(id).await.is_over() && bed.is_open(id).await);
    // The message is lost and the sweep sends it again.
    bed.world.queue.clear();
    bed.pass(MESSAGE_DEADLINE_MILLIS);
    bed.sweep().await;
    assert_eq!(bed.world.queue.take(), Some(tell.clone()));
    let teller = Jobs { events: Events::Here(Arc::new(bus.clone())), ..bed.world.jobs().clone() };
    for _ in 0..2 {
        assert_eq!(teller.work(&tell, &Deadline::never()).await.unwrap(), Worked::Nothing);
        assert_eq!(bus.told().iter().map(|event| event.job_id).collect::<Vec<_>>(), [id]);
    }
    bed.check_done(id).await;
}

#[tokio::test]
async fn sweep_publishes_a_single_change_and_only_a_bus_costs_an_open_entry() {
    let bus = TestBus::default();
    let bed = Bed::new(1).await;
    let silent = bed.set(6, &[MIKE, SAM]).await;
    assert!(!bed.is_open(silent).await);
    let bed = bed.telling(&bus);
    let id = bed.set(6, &[SAM]).await;
    assert!(bed.is_open(id).await);
    for _ in 0..2 {
        assert_eq!(bed.sweep().await, 0);
        assert_eq!(bus.told(), [JobEvent::new(bed.portal.clone(), &bed.job(id).await)]);
        assert!(!bed.is_open(id).await);
    }
    assert_eq!((bus.told()[0].kind, bus.told()[0].state), (Kind::Contact, State::Done));
    // While the bus refuses the event, the job stays open.
    bus.refuse(true);
    let id = bed.set(6, &[MIKE]).await;
    bed.sweep().await;
    assert!(bed.is_open(id).await && bus.told().len() == 1);
    bus.refuse(false);
    bed.pass(RETRY_MILLIS);
    bed.sweep().await;
    assert_eq!(bus.told().last().map(|event| event.job_id), Some(id));
}

// Retention of the access before a job.

impl Bed {
    /// Returns when an item expires, if ever.
    async fn expires(&self, key: &Key) -> Option<i64> {
        let (pk, sk) = key.encode();
        let text = aws_sdk_dynamodb::types::AttributeValue::S;
        let request = self.world.client.get_item().table_name(&self.world.table);
        let request = request.key(store::keys::PK, text(pk)).key(store::keys::SK, text(sk));
        let item = request.send().await.unwrap().item.unwrap();
        item.get(EXPIRES).map(|value| value.as_n().unwrap().parse().unwrap())
    }
}

#[tokio::test]
async fn changes_expire_after_the_retention_and_the_job_never() {
    let bed = Bed::new(1).await.with(|jobs| Jobs { retention: jobs::context::retention(2), ..jobs });
    let until = bed.world.app.now() + SignedDuration::from_hours(48);
    let id = bed.applied().await;
    assert_eq!(bed.job(id).await.changes_until, Some(until));
    for number in 0..3 {
        let chunk = Key::Chunk(bed.portal.clone(), id, 0, number);
        assert_eq!(bed.expires(&chunk).await, Some(until.to_jiff().as_second() + 7 * 24 * 60 * 60));
    }
    assert_eq!(bed.expires(&Key::Job(bed.portal.clone(), id)).await, None);
    assert_eq!(bed.expires(&Key::JobEntry(bed.portal.clone(), ADA, id)).await, None);

    bed.pass(48 * 3600 * 1000 - 1);
    let changes = bed.world.get(&format!("jobs/{id}/changes"), ADA_TOKEN).await.unwrap();
    assert_eq!(changes.response().as_array().map(Vec::len), Some(bed.to_change().len()));
    bed.pass(1);
    let changes = bed.world.get(&format!("jobs/{id}/changes"), ADA_TOKEN).await.unwrap();
    assert_eq!((changes.status.as_u16(), changes.error_type().as_str()), (410, "changes-expired"));
    let undo = bed.world.post(&format!("jobs/{id}/undo"), ADA_TOKEN).await.unwrap();
    assert_eq!((undo.status.as_u16(), undo.error_type().as_str()), (410, "changes-expired"));
    assert_eq!(bed.world.get(&format!("jobs/{id}"), ADA_TOKEN).await.unwrap().status, 200);
    bed.check_done(id).await;
}

#[tokio::test]
async fn change_of_a_single_call_is_kept_as_long_as_its_job() {
    let bed = Bed::new(1).await;
    let id = bed.set(6, &[SAM]).await;
    assert_eq!((bed.job(id).await.changes_until, bed.expires(&Key::Job(bed.portal.clone(), id)).await), (None, None));
    bed.pass(1000 * 24 * 3600 * 1000);
    assert_eq!(bed.world.get(&format!("jobs/{id}/changes"), ADA_TOKEN).await.unwrap().status, 200);
    bed.undone(id).await;
    bed.check_restored().await;
}

#[tokio::test]
async fn changes_never_expire_without_a_retention() {
    let bed = Bed::new(1).await.with(|jobs| Jobs { retention: jobs::context::retention(0), ..jobs });
    let id = bed.applied().await;
    assert_eq!(bed.job(id).await.changes_until, None);
    assert_eq!(bed.expires(&Key::Chunk(bed.portal.clone(), id, 0, 0)).await, None);
    bed.pass(10_000 * 24 * 3600 * 1000);
    bed.undone(id).await;
    bed.check_restored().await;
}
