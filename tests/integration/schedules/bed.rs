//! The portal of a schedule, the processes that work on the portal, and the course of a schedule.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::task::Poll;

use futures::future::join_all;
use jiff::SignedDuration;
use jobs::{
    Abandoned, ContactOutcome, ContactRun, ContactsRun, Deadline, FilterRun, Jobs, LoadedContact, Message, RunError,
    StartError,
};
use models::access::{Access, AccessEdit, Actor, Author, Caller, ShareType, Target};
use models::filter::plan::plan;
use models::filter::{AccessCriteria, Filter};
use models::import::parse_line;
use models::job::{Job, JobId};
use models::limits::{LEASE_MILLIS, MESSAGE_DEADLINE_MILLIS, RETRY_MILLIS};
use models::request::{JobsStart, Page};
use models::values::id::{ContactId, PortalId};
use serde_json::json;
use store::contacts::AccessState;
use store::import::{Importer, Options};
use store::{Store, StoreError};
use tests::faults::{FaultyEngine, LaggingEngine, RecordedWrite, SplitMix, VirtualTime};
use tests::{TestClock, TestQueue};
use tokio::time::Instant;

use super::weather::Weather;
use crate::portal::{ADA, MIKE, SAM, contact, contact_id, lines, portal, private, public, stage, user};

/// The error of a schedule.
pub(super) type Failure = String;

/// Prefix of the identifiers of template portals. Each schedule copies a template.
const TEMPLATE: &str = "template-of-schedules";

const TABLE: &str = "schedules";

/// The size of a portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Shape {
    contacts: i64,
    shards: u16,
    /// Number of stages, including "no stage". Each stage is a partition of the index, and a page reads 8 partitions.
    stages: i64,
}

impl Shape {
    fn draw(random: &mut SplitMix) -> Self {
        Self {
            contacts: random.pick(&[10, 20, 40]),
            shards: random.pick(&[1, 2, 3]),
            stages: random.pick(&[2, 3, 3, 17]),
        }
    }

    fn stage_of(self, contact: i64) -> i64 {
        contact % self.stages
    }

    /// Returns the identifier of the portal to copy.
    fn template(self) -> String {
        format!("{TEMPLATE}-{}-{}-{}-end", self.contacts, self.shards, self.stages)
    }

    fn lines(self) -> String {
        let mut values = vec![portal(&self.template(), "Europe/Riga", self.shards)];
        values.extend([user(ADA, "Ada", true), user(MIKE, "Mike", false), user(SAM, "Sam", false)]);
        values.extend((1..self.stages).map(|id| stage(id.try_into().unwrap())));
        values.extend((1..=self.contacts).map(|number| {
            let mut members = json!({"ContactStatus": {"id": self.stage_of(number)}});
            if let Some(access) = original(number) {
                members["ShareType"] = json!(access.share.number());
                members["AccessList"] = access.managers.iter().map(|id| json!({"Id": id})).collect();
            }
            contact(number, members)
        }));
        lines(values)
    }
}

/// Returns the access before the schedule. One contact in five has no record.
fn original(contact: i64) -> Option<Access> {
    match contact % 5 {
        0 => None,
        1 => Some(private(&[MIKE])),
        2 => Some(Access { share: ShareType::Read, managers: vec![SAM, MIKE] }),
        3 => Some(public(&[SAM])),
        _ => Some(accesses()[0].clone()),
    }
}

/// The accesses that runs set.
fn accesses() -> [Access; 3] {
    [private(&[ADA]), public(&[MIKE]), private(&[SAM, ADA])]
}

/// The changes of manager lists that runs make.
fn edits() -> [AccessEdit; 3] {
    [
        AccessEdit { share: None, add: vec![ADA], remove: Vec::new() },
        AccessEdit { share: None, add: vec![MIKE], remove: vec![SAM] },
        AccessEdit { share: Some(ShareType::None), add: vec![ADA, MIKE], remove: vec![SAM] },
    ]
}

/// Returns one of the changes that runs make; every third is a change of manager lists.
fn any_target(number: u64) -> Target {
    let at = usize::try_from(number % 3).unwrap();
    match (number / 3) % 3 {
        0 => edits()[at].clone().into(),
        _ => accesses()[at].clone().into(),
    }
}

/// Returns the criteria for access of a run; every fourth run seeks the contacts of one manager.
fn any_criteria(number: u64) -> AccessCriteria {
    AccessCriteria { responsible: (number / 9).is_multiple_of(4).then_some(SAM), shared: None }
}

/// A portal to copy.
struct Template {
    writes: Vec<RecordedWrite>,
    originals: BTreeMap<ContactId, AccessState>,
}

/// Runs schedules one after another on one thread, with one pair of engines.
pub(super) struct Lane {
    engine: Arc<LaggingEngine>,
    templates: HashMap<Shape, Template>,
    schedules: u64,
}

impl Lane {
    pub(super) async fn open() -> Self {
        let lane = Self { engine: LaggingEngine::open().unwrap(), templates: HashMap::new(), schedules: 0 };
        lane.store(&VirtualTime::default()).await.ensure_table().await.unwrap();
        lane
    }

    async fn store(&self, time: &VirtualTime) -> Store {
        FaultyEngine::new(&self.engine, time, 0).store(TABLE).await
    }

    /// Imports the template of a shape, once.
    async fn prepare(&mut self, shape: Shape) {
        if self.templates.contains_key(&shape) {
            return;
        }
        let (time, clock) = (VirtualTime::default(), TestClock::default());
        let store = self.store(&time).await;
        self.engine.record();
        let options = Options { overwrite_access: true, clock: clock.reader() };
        let mut importer = Importer::new(&store, options);
        for line in shape.lines().lines() {
            let line = parse_line(line, &importer.time_zone()).unwrap();
            importer.push(line).await.unwrap_or_else(|error| panic!("{error}"));
        }
        importer.finish().await.unwrap_or_else(|error| panic!("{error}"));
        let writes = self.engine.recorded();
        let portal = shape.template().parse().unwrap();
        let originals = states(&store, &portal, shape).await.unwrap();
        self.templates.insert(shape, Template { writes, originals });
    }

    /// Runs the schedule of a seed.
    pub(super) async fn run(&mut self, seed: u64) -> Result<(), Failure> {
        // The jitter of pauses comes from this generator.
        fastrand::seed(seed);
        let mut random = SplitMix::new(seed);
        let shape = Shape::draw(&mut random);
        self.engine.set_lag(0);
        self.prepare(shape).await;
        self.schedules += 1;
        let portal = format!("portal-{}", self.schedules);
        let Template { writes, originals } = &self.templates[&shape];
        for (operation, body) in writes {
            self.engine.repeat(operation, &body.replace(&shape.template(), &portal)).unwrap();
        }
        let bed = Bed::new(&self.engine, portal.parse().unwrap(), shape, originals.clone(), random).await;
        let course = bed.course();
        bed.follow().await.map_err(|failure| format!("seed {seed}, {course}: {failure}"))
    }
}

async fn states(
    store: &Store,
    portal: &PortalId,
    shape: Shape,
) -> Result<BTreeMap<ContactId, AccessState>, StoreError> {
    let ids: Vec<ContactId> = (1..=shape.contacts).map(contact_id).collect();
    let mut states = store.current_access_of(portal, &ids).await?;
    ids.into_iter().map(|id| Ok((id, states.take(id)?))).collect()
}

/// A process with a way of its own to the table.
#[derive(Clone)]
struct Process {
    way: FaultyEngine,
    jobs: Jobs,
}

impl Process {
    /// Runs `work` until it ends or the process dies.
    async fn live<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if self.way.is_dead() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

/// The way in which a run starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Filter,
    FilterQueued,
    FilterLimited,
    FilterOutOfTime,
    Contacts,
    ContactsQueued,
}

/// The other writers of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    /// The run is alone, so its outcome is known exactly.
    Alone,
    /// Single calls, another run and undos work on the same contacts.
    Crowd,
}

/// The processes of a schedule besides the one without faults.
const PROCESSES: usize = 4;

/// The maximum number of rounds of an undo under faults.
const UNDO_ROUNDS: u64 = 2;

/// Rounds of recovery after which every job must have ended. Each job may need ten tries, and more to be given up.
const ROUNDS: usize = 60;

/// The portal of a schedule.
pub(super) struct Bed {
    pub(super) portal: PortalId,
    pub(super) healthy: Jobs,
    pub(super) originals: BTreeMap<ContactId, AccessState>,
    shape: Shape,
    start: Start,
    company: Company,
    filter: Filter,
    pub(super) target: Target,
    /// True if runs that seek the contacts of a manager read the manager's postings.
    by_postings: bool,
    rounds: u64,
    weather: Weather,
    engine: Arc<LaggingEngine>,
    time: VirtualTime,
    queue: TestQueue,
    clock: TestClock,
    processes: Vec<Process>,
    random: std::cell::RefCell<SplitMix>,
}

impl Bed {
    async fn new(
        engine: &Arc<LaggingEngine>,
        portal: PortalId,
        shape: Shape,
        originals: BTreeMap<ContactId, AccessState>,
        mut random: SplitMix,
    ) -> Self {
        let (time, clock, queue) = (VirtualTime::default(), TestClock::default(), TestQueue::default());
        let store = FaultyEngine::new(engine, &time, 0).store(TABLE).await;
        let healthy = Jobs::new(store, clock.reader(), Arc::new(queue.clone()));
        let mut processes = Vec::new();
        for _ in 0..PROCESSES {
            let way = FaultyEngine::new(engine, &time, random.next());
            processes.push(Process { jobs: Jobs { store: way.store(TABLE).await, ..healthy.clone() }, way });
        }
        let company = if random.chance(500) { Company::Alone } else { Company::Crowd };
        let start = random.pick(&[
            Start::Filter,
            Start::FilterQueued,
            Start::FilterLimited,
            Start::FilterOutOfTime,
            Start::Contacts,
            Start::ContactsQueued,
        ]);
        let stages = if random.chance(300) { vec![0, 1] } else { Vec::new() };
        let change = random.next();
        Self {
            portal,
            healthy,
            originals,
            shape,
            start,
            company,
            filter: Filter { stages, access: any_criteria(change), ..Filter::default() },
            target: any_target(change),
            by_postings: (change / 36).is_multiple_of(2),
            // In many rounds, work that fails forever is given up.
            rounds: if random.chance(60) { 14 } else { random.below(4) },
            weather: Weather::draw(&mut random, shape.contacts.unsigned_abs(), &time),
            engine: engine.clone(),
            time,
            queue,
            clock,
            processes,
            random: std::cell::RefCell::new(random),
        }
    }

    /// Returns a description of the schedule.
    fn course(&self) -> String {
        let Self { shape, start, company, filter, target, rounds, weather, .. } = self;
        let manager = filter.access.responsible;
        format!("{shape:?}, {start:?}, {company:?}, {target:?} of {manager:?}, {rounds} rounds, {weather:?}")
    }

    fn below(&self, bound: u64) -> u64 {
        self.random.borrow_mut().below(bound)
    }

    /// Returns the contacts that the filter selects.
    pub(super) fn matches(&self) -> BTreeSet<ContactId> {
        let is_match = |contact: &ContactId| {
            let stage = self.shape.stage_of(contact.get().into());
            let is_in_stage =
                self.filter.stages.is_empty() || self.filter.stages.iter().any(|of| i64::from(*of) == stage);
            is_in_stage && self.filter.access.holds(&self.originals[contact].access, &Actor::Operator)
        };
        self.originals.keys().copied().filter(is_match).collect()
    }

    /// Returns the contacts that the run must change.
    pub(super) fn to_change(&self) -> BTreeSet<ContactId> {
        self.matches().into_iter().filter(|contact| self.originals[contact].access != self.after(*contact)).collect()
    }

    /// Returns the access that the run gives to a contact with its original access.
    pub(super) fn after(&self, contact: ContactId) -> Access {
        self.target.applied_to(&self.originals[&contact].access).unwrap()
    }

    pub(super) async fn states(&self) -> Result<BTreeMap<ContactId, AccessState>, Failure> {
        states(&self.healthy.store, &self.portal, self.shape).await.map_err(|error| error.to_string())
    }

    /// Returns the jobs, oldest first.
    pub(super) async fn jobs(&self) -> Result<Vec<Job>, Failure> {
        let read = async {
            let mut reader = self.healthy.store.jobs(&self.portal, None, JobsStart::Index(0)).await?;
            let mut jobs = Vec::new();
            loop {
                let listed = reader.next(usize::MAX).await?;
                if listed.is_empty() {
                    return Ok(jobs);
                }
                jobs.extend(listed.into_iter().filter_map(|entry| entry.job));
            }
        };
        let mut jobs: Vec<Job> = read.await.map_err(|error: StoreError| error.to_string())?;
        jobs.reverse();
        Ok(jobs)
    }

    fn pass(&self, millis: u64) {
        let later = self.healthy.now() + SignedDuration::from_millis(millis.try_into().unwrap());
        self.clock.set(later);
    }

    /// Begins the faults of a process.
    fn disturb(&self, process: usize) -> &Process {
        let process = &self.processes[process];
        process.way.clear();
        process.way.inject(self.weather.plan(self.random.borrow_mut().next(), &self.time));
        process
    }

    /// Starts a run. Nothing is known about a run that fails.
    async fn run(&self, jobs: &Jobs, start: Start, target: Target) -> Result<(), RunError> {
        let id = jobs.new_id();
        let ada = Caller { user: ADA, is_admin: true };
        if matches!(start, Start::Contacts | Start::ContactsQueued) {
            let contacts: Vec<ContactId> = self.matches().into_iter().collect();
            let loaded = jobs.store.load(&self.portal, &contacts, [ADA]).await?;
            let run = ContactsRun {
                portal: self.portal.clone(),
                caller: ada,
                contacts: loaded.contacts.into_iter().map(|(id, (_, state))| (id, state)).collect(),
                target,
                started: jobs.now(),
                note: None,
            };
            if run.counted().counts.updated == 0 {
                return Ok(());
            }
            match start {
                Start::Contacts => run.apply(jobs, id, &Deadline::never()).await.map(drop)?,
                _ => run.enqueue(jobs, id).await.map(drop)?,
            }
            return Ok(());
        }
        let lists = jobs.store.lists(&self.portal).await?;
        let statistics = jobs.store.statistics(&self.portal, &[], &lists.stage_counts).await?;
        let mut plan = plan(&self.filter, &statistics, self.shape.shards);
        let expected = plan.expected(&statistics);
        if let Some(manager) = self.filter.access.responsible.filter(|_| self.by_postings) {
            plan = plan.by_postings(manager);
        }
        let run = FilterRun {
            portal: self.portal.clone(),
            actor: Actor::User(ada),
            filter: self.filter.clone(),
            expected,
            plan,
            target,
            page: Page { count: 5, start_index: 0 },
            max_affected: (start == Start::FilterLimited).then_some(1000),
            started: jobs.now(),
            rule: None,
            note: None,
        };
        match start {
            Start::FilterQueued | Start::FilterLimited => run.enqueue(jobs, id).await.map(drop)?,
            Start::FilterOutOfTime => run.apply(jobs, id, &Deadline::at(Instant::now())).await.map(drop)?,
            _ => run.apply(jobs, id, &Deadline::never()).await.map(drop)?,
        }
        Ok(())
    }

    /// Sets the access of one contact, as a call does.
    async fn set(&self, jobs: &Jobs, contact: ContactId, target: Target) -> Result<(), StoreError> {
        let run = ContactRun {
            portal: self.portal.clone(),
            author: Author::User(ADA),
            contact,
            target,
            job: jobs.new_id(),
            started: jobs.now(),
            note: None,
        };
        for _ in 0..4 {
            let LoadedContact::Loaded(loaded) = run.load(jobs, [ADA]).await? else { return Ok(()) };
            let Some((_, before)) = loaded.contacts.get(&contact) else { return Ok(()) };
            let Ok(after) = run.target.applied_to(&before.access) else { return Ok(()) };
            if after == before.access {
                return Ok(());
            }
            let prepared = run.prepare(jobs, before, after).await?;
            if run.apply(jobs, before, prepared).await? == ContactOutcome::Written {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn undo(&self, jobs: &Jobs, job: JobId) -> Result<(), StartError> {
        let Some(job) = jobs.store.job(&self.portal, job).await? else { return Ok(()) };
        jobs.undo(&self.portal, &Caller { user: ADA, is_admin: true }, &job, jobs.new_id(), None).await.map(drop)
    }

    /// Undoes the newest jobs that a process finds, as other callers do at any time.
    async fn undo_some(&self, process: &Process) {
        process
            .live(async {
                for _ in 0..self.below(3) {
                    let jobs = process.jobs.store.jobs(&self.portal, None, JobsStart::Index(0)).await;
                    let Ok(mut reader) = jobs else { return };
                    let Ok(listed) = reader.next(20).await else { return };
                    let jobs: Vec<Job> = listed.into_iter().filter_map(|entry| entry.job).collect();
                    if let Some(at) = (!jobs.is_empty()).then(|| self.below(jobs.len() as u64)) {
                        self.undo(&process.jobs, jobs[usize::try_from(at).unwrap()].id).await.unwrap_or_default();
                    }
                }
            })
            .await;
    }

    async fn set_some(&self, process: &Process) {
        let contacts: Vec<ContactId> = self.originals.keys().copied().collect();
        process
            .live(async {
                for _ in 0..self.below(6) {
                    let contact = contacts[usize::try_from(self.below(contacts.len() as u64)).unwrap()];
                    let target = any_target(self.random.borrow_mut().next());
                    self.set(&process.jobs, contact, target).await.unwrap_or_default();
                }
            })
            .await;
    }

    /// Handles the messages that wait, at most one per process at a time. The queue delivers a failed message again.
    async fn work_off(&self) {
        let mut messages = Vec::new();
        while messages.len() < 3
            && let Some(message) = self.queue.take()
        {
            messages.push(message);
        }
        join_all(messages.into_iter().enumerate().map(async |(number, message)| {
            let process = self.disturb(number);
            let worked = process.live(process.jobs.work(&message, &Deadline::never())).await;
            if !matches!(worked, Some(Ok(_))) && self.below(2) == 0 {
                self.send(message).await;
            }
        }))
        .await;
    }

    async fn send(&self, message: Message) {
        self.healthy.queue.send(vec![message]).await.unwrap();
    }

    /// Works under faults for some rounds.
    async fn storm(&self, rounds: u64) {
        for _ in 0..rounds {
            self.work_off().await;
            if self.company == Company::Crowd && self.below(3) == 0 {
                let (setter, undoer) = (self.disturb(0), self.disturb(1));
                futures::join!(self.set_some(setter), self.undo_some(undoer), self.work_with(2), self.work_with(3));
            }
            self.pass([RETRY_MILLIS, LEASE_MILLIS, MESSAGE_DEADLINE_MILLIS][usize::try_from(self.below(3)).unwrap()]);
            let sweeper = self.disturb(3);
            sweeper.live(sweeper.jobs.sweep(Abandoned::Expired, &Deadline::never())).await.map(Result::ok);
        }
    }

    async fn work_with(&self, process: usize) {
        let Some(message) = self.queue.take() else { return };
        let process = self.disturb(process);
        process.live(process.jobs.work(&message, &Deadline::never())).await.map(Result::ok);
    }

    /// Ends the faults. Leases and deadlines expire, sweeps request workers, and workers end every job.
    async fn recover(&self) -> Result<(), Failure> {
        self.calm();
        for _ in 0..ROUNDS {
            while let Some(message) = self.queue.take() {
                let worked = self.healthy.work(&message, &Deadline::never()).await;
                worked.map_err(|error| format!("a worker failed without a fault: {error:?}"))?;
            }
            if !self.is_any_open().await? {
                return Ok(());
            }
            self.pass(MESSAGE_DEADLINE_MILLIS.max(LEASE_MILLIS));
            let swept = self.healthy.sweep(Abandoned::Expired, &Deadline::never()).await;
            swept.map_err(|error| format!("a sweep failed without a fault: {error:?}"))?;
        }
        Err("a job did not end".to_owned())
    }

    fn calm(&self) {
        self.processes.iter().for_each(|process| process.way.clear());
        self.engine.set_lag(0);
    }

    async fn is_any_open(&self) -> Result<bool, Failure> {
        for job in self.jobs().await? {
            let is_open = self.healthy.store.is_open(&self.portal, job.id).await;
            if !job.is_over() || is_open.map_err(|error| error.to_string())? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn follow(self) -> Result<(), Failure> {
        self.weather.begin(&self.engine);
        match self.company {
            Company::Alone => self.follow_alone().await,
            Company::Crowd => self.follow_crowd().await,
        }
    }

    /// The run, its repetition and their undos, with no other writer.
    async fn follow_alone(&self) -> Result<(), Failure> {
        let caller = self.disturb(0);
        caller.live(self.run(&caller.jobs, self.start, self.target.clone())).await.map(Result::ok);
        self.storm(self.rounds).await;
        self.recover().await?;
        self.check_run().await.map_err(|failure| format!("after the run: {failure}"))?;
        self.check_chains().await.map_err(|failure| format!("after the run: {failure}"))?;

        // The same call without faults finishes the run.
        self.run(&self.healthy, Start::Filter, self.target.clone())
            .await
            .map_err(|error| format!("the repetition failed without a fault: {error:?}"))?;
        self.recover().await?;
        self.check_repeated().await.map_err(|failure| format!("after the repetition: {failure}"))?;
        self.check_chains().await.map_err(|failure| format!("after the repetition: {failure}"))?;

        let mut undone = self.jobs().await?;
        undone.reverse();
        for job in undone {
            self.weather.begin(&self.engine);
            let caller = self.disturb(0);
            caller.live(self.undo(&caller.jobs, job.id)).await.map(Result::ok);
            self.storm(self.rounds.min(UNDO_ROUNDS)).await;
            self.recover().await?;
            // The same undo without faults finishes the undo.
            self.undo(&self.healthy, job.id).await.map_err(|error| format!("the undo failed: {error:?}"))?;
            self.recover().await?;
            self.check_undone(job.id).await.map_err(|failure| format!("after the undo of {}: {failure}", job.id))?;
        }
        self.check_restored().await.map_err(|failure| format!("after all undos: {failure}"))?;
        self.check_chains().await.map_err(|failure| format!("after all undos: {failure}"))
    }

    /// Two runs, single calls and undos at the same time.
    async fn follow_crowd(&self) -> Result<(), Failure> {
        let (first, second) = (self.disturb(0), self.disturb(1));
        let (setter, undoer) = (self.disturb(2), self.disturb(3));
        let other = accesses().map(Target::from).into_iter().find(|target| *target != self.target);
        let other = other.unwrap_or_else(|| private(&[SAM]).into());
        let start = if self.below(2) == 0 { Start::Filter } else { Start::Contacts };
        futures::join!(
            first.live(self.run(&first.jobs, self.start, self.target.clone())),
            second.live(self.run(&second.jobs, start, other)),
            self.set_some(setter),
            self.undo_some(undoer),
        );
        self.storm(self.rounds).await;
        self.recover().await?;
        self.check_ended().await?;
        self.check_chains().await
    }
}
