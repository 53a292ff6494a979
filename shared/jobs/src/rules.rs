//! Starts jobs that no caller waits for: standing rules that are due, and runs that an external schedule requests.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use futures::FutureExt as _;
use futures::stream::{self, StreamExt as _};
use jiff::SignedDuration;
use models::access::{Actor, Author, Target};
use models::directory::Portal;
use models::filter::Filter;
use models::job::{Job, JobId};
use models::limits::{
    self, IDEMPOTENCY_HOURS, MAX_OPEN_JOBS, RULE_CHECK_MILLIS, RULE_START_MILLIS, SYNCHRONOUS_RUN_MILLIS,
};
use models::request::{Page, RunOnce};
use models::rule::{Rule, RuleName};
use models::values::id::{PortalId, UserId};
use models::values::timestamp::Timestamp;
use sha2::{Digest as _, Sha256};
use store::StoreError;
use store::idempotency::{KeyOf, Reservation};
use store::planner::Planned;
use store::rules::RulePortal;
use tokio::time::timeout;

use crate::context::Jobs;
use crate::panics::catch_panic;
use crate::run::StartError;
use crate::run::filter::FilterRun;
use crate::shard::Deadline;

/// Portals whose rules are started or checked concurrently.
const PORTALS_AT_ONCE: usize = 32;

/// Timeout for the start of one rule, or for the check of one portal's rules.
const RULE_START: Duration = Duration::from_millis(RULE_START_MILLIS);

/// The reason why a run was not started.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// The portal does not exist.
    #[error("there is no portal {0}")]
    UnknownPortal(PortalId),
    /// Some managers are not users of the portal.
    #[error("managers that are not users of the portal: {}", .0.iter().map(UserId::to_string).collect::<Vec<_>>().join(", "))]
    UnknownManagers(Vec<UserId>),
    /// The idempotency key was used for another run.
    #[error("the idempotency key was used for another run; use a new key")]
    KeyReused,
    /// The run with this idempotency key is being started right now.
    #[error("a run with this idempotency key is being started right now; try again later")]
    KeyInUse,
    /// The portal's number of shards is being changed.
    #[error("the number of shards of portal {0} is being changed; try again later")]
    Resharding(PortalId),
    /// The job could not be created.
    #[error(transparent)]
    NotCreated(#[from] StartError),
    /// The table failed.
    #[error("the database failed")]
    Store(#[from] StoreError),
}

/// The job of a due rule.
enum RuleJob {
    /// The job can start.
    Ready(Box<Job>),
    /// The portal's number of shards is being changed. The rule stays due.
    Later,
    /// The rule cannot start, for this reason.
    Refused(String),
}

impl Jobs {
    /// Plans a run over the contacts that `filter` selects at `started`, on behalf of `actor`.
    async fn planned(
        &self,
        portal: &Portal,
        actor: Actor,
        filter: Filter,
        target: Target,
        started: Timestamp,
    ) -> Result<FilterRun, StoreError> {
        let planner = self.store.planner(&portal.id, &filter.tags).await?;
        let Planned { plan, expected } = self.store.plan_run(&planner, portal, &actor, &filter).await?;
        Ok(FilterRun {
            portal: portal.id.clone(),
            actor,
            plan,
            expected,
            filter,
            target,
            page: Page { count: 0, start_index: 0 },
            max_affected: None,
            started,
            rule: None,
            note: None,
        })
    }

    /// Returns the managers that the change gives to contacts, and that are not users of the portal.
    async fn unknown_managers(&self, portal: &PortalId, target: &Target) -> Result<Vec<UserId>, StoreError> {
        let managers = target.given_managers();
        let known = self.store.users(portal, managers.iter().copied()).await?;
        Ok(managers.iter().filter(|id| !known.contains_key(id)).copied().collect())
    }

    /// Starts every due rule, until the deadline. A rule that missed several due times starts once. Returns the number
    /// of rules started. Restores lost due entries first. Processes portals concurrently, and the rules of one portal
    /// one after another.
    ///
    /// # Errors
    ///
    /// When the list of due rules cannot be read. A rule that cannot be started does not block the others.
    pub async fn run_due_rules(&self, deadline: &Deadline) -> Result<usize, StoreError> {
        if let Err(error) = self.check_rules(deadline).await {
            tracing::error!(error = &error as &dyn std::error::Error, "rules not checked for lost due entries");
        }
        let mut due_of: BTreeMap<PortalId, Vec<(Timestamp, RuleName)>> = BTreeMap::new();
        for (due, portal, name) in self.store.due_rules(self.now()).await? {
            due_of.entry(portal).or_default().push((due, name));
        }
        let portals = due_of.into_iter().map(|(portal, due)| self.run_rules_of(portal, due, deadline).boxed());
        let mut portals = stream::iter(portals.collect::<Vec<_>>()).buffer_unordered(PORTALS_AT_ONCE);
        let mut started = 0;
        while let Some(of_portal) = portals.next().await {
            started += of_portal;
        }
        Ok(started)
    }

    /// Starts the due rules of a portal, the longest due first. Returns the number of rules started.
    async fn run_rules_of(&self, portal: PortalId, due: Vec<(Timestamp, RuleName)>, deadline: &Deadline) -> usize {
        let mut started = 0;
        for (due, name) in due {
            if deadline.is_up() {
                // The next call begins with the longest due rule, so every rule starts eventually.
                break;
            }
            match timeout(RULE_START, catch_panic(self.run_rule(due, &portal, &name))).await {
                Ok(Ok(Ok(job))) => started += usize::from(job.is_some()),
                Ok(Err(panic)) => {
                    tracing::error!(%portal, rule = %name, error = &panic as &dyn std::error::Error, "rule not started");
                }
                Ok(Ok(Err(error))) => {
                    tracing::error!(%portal, rule = %name, error = &error as &dyn std::error::Error, "rule not started");
                }
                // No start is lost: the rule stays due, or a sweep finds the recorded job.
                Err(_) => tracing::error!(%portal, rule = %name, "rule not started in time"),
            }
        }
        started
    }

    /// Restores missing due entries in portals whose rules were not checked recently. A rule without a due entry would
    /// never run again.
    async fn check_rules(&self, deadline: &Deadline) -> Result<(), StoreError> {
        let now = self.now();
        let listed = self.store.rule_portals().await?;
        // Earlier versions did not list portals with rules, so find these portals by their due rules.
        let known: HashSet<&PortalId> = listed.iter().map(|listed| &listed.portal).collect();
        let due = self.store.due_rules(now).await?;
        let unknown: BTreeSet<&PortalId> =
            due.iter().map(|(_, portal, _)| portal).filter(|portal| !known.contains(portal)).collect();
        for portal in unknown {
            self.store.add_rule_portal(portal, now).await?;
        }
        let is_unchecked = |listed: &&RulePortal| listed.checked + limits::duration(RULE_CHECK_MILLIS) <= now;
        let checks = listed.iter().filter(is_unchecked).map(|listed| self.check_rules_of(listed, deadline).boxed());
        let mut checks = stream::iter(checks.collect::<Vec<_>>()).buffer_unordered(PORTALS_AT_ONCE);
        while let Some((portal, checked)) = checks.next().await {
            if let Err(error) = checked {
                tracing::error!(%portal, error = &error as &dyn std::error::Error, "rules of a portal not checked");
            }
        }
        Ok(())
    }

    async fn check_rules_of<'a>(
        &self,
        listed: &'a RulePortal,
        deadline: &Deadline,
    ) -> (&'a PortalId, Result<(), StoreError>) {
        let (portal, now) = (&listed.portal, self.now());
        let check = async {
            if deadline.is_up() || !self.store.claim_rule_check(listed, now).await? {
                return Ok(());
            }
            let (mut reader, mut is_empty) = (self.store.rules(portal), true);
            loop {
                let rules = reader.next().await?;
                if rules.is_empty() {
                    break;
                }
                is_empty = false;
                self.restore_due_entries(portal, rules, now).await?;
            }
            if is_empty { self.store.remove_rule_portal(portal, now).await } else { Ok(()) }
        };
        let checked = match timeout(RULE_START, check).await {
            Ok(checked) => checked,
            // The next check restores the remaining entries.
            Err(_) => {
                tracing::error!(%portal, "rules of a portal not checked in time");
                Ok(())
            }
        };
        (portal, checked)
    }

    /// Restores the missing due entry or due time of each enabled rule.
    async fn restore_due_entries(&self, portal: &PortalId, rules: Vec<Rule>, now: Timestamp) -> Result<(), StoreError> {
        let (timed, untimed): (Vec<Rule>, Vec<Rule>) =
            rules.into_iter().filter(|rule| rule.enabled).partition(|rule| rule.next.is_some());
        for rule in self.store.without_due_entry(portal, timed).await? {
            if self.store.restore_due_entry(portal, &rule).await? {
                tracing::warn!(%portal, rule = %rule.name, "lost due entry restored");
            }
        }
        for rule in untimed {
            let after = Rule { next: rule.next_after(now), ..rule.clone() };
            if after.next.is_some() && self.store.put_rule(portal, Some(&rule), &after, None, None).await? {
                tracing::warn!(%portal, rule = %rule.name, "rule without a due time made due");
            }
        }
        Ok(())
    }

    async fn run_rule(&self, due: Timestamp, portal: &PortalId, name: &RuleName) -> Result<Option<JobId>, StoreError> {
        let now = self.now();
        let Some(rule) = self.store.rule(portal, name).await?.filter(|rule| rule.next == Some(due)) else {
            // The rule was changed or removed while it was being started.
            self.store.forget_due_rule(due, portal, name).await?;
            return Ok(None);
        };
        let mut after = Rule { next: rule.next_after(now), ..rule.clone() };
        if !rule.enabled || rule.is_too_soon(due) || rule.schedule.fault().is_some() {
            self.store.run_rule(portal, &rule, &after, None).await?;
            return Ok(None);
        }
        if let Some(last) = rule.last_job
            && self.store.job(portal, last).await?.is_some_and(|job| !job.is_over())
        {
            tracing::warn!(%portal, rule = %name, job = %last, "rule not started: its previous run has not ended");
            after.error = Some(format!("The rule was due at {due}, but its previous run, job {last}, had not ended."));
            self.store.run_rule(portal, &rule, &after, None).await?;
            return Ok(None);
        }
        let job = match self.job_of_rule(portal, &rule, now).await? {
            RuleJob::Ready(job) => job,
            RuleJob::Later => {
                tracing::warn!(
                    %portal,
                    rule = %name,
                    "rule not started: the number of shards of its portal is being changed"
                );
                return Ok(None);
            }
            RuleJob::Refused(reason) => {
                tracing::error!(%portal, rule = %name, reason, "rule cannot be started");
                after.error = Some(reason);
                self.store.run_rule(portal, &rule, &after, None).await?;
                return Ok(None);
            }
        };
        after.last_run = Some(now);
        after.last_job = Some(job.id);
        after.next = after.next_after(now);
        after.error = None;
        if !self.store.run_rule(portal, &rule, &after, Some((&job, self.message_deadline()))).await? {
            if !self.store.fits_open_jobs(portal, &job).await? {
                let reason =
                    format!("The rule's user has {MAX_OPEN_JOBS} open jobs. The rule runs at its next due time.");
                tracing::error!(%portal, rule = %name, reason, "rule cannot be started");
                let mut after = Rule { last_run: rule.last_run, last_job: rule.last_job, error: Some(reason), ..after };
                after.next = after.next_after(now);
                self.store.run_rule(portal, &rule, &after, None).await?;
            }
            // Otherwise, another process started or changed the rule. A changed rule becomes due again.
            return Ok(None);
        }
        tracing::info!(%portal, rule = %name, job = %job.id, "rule started");
        self.request_workers(portal, &job, 0..job.shards).await;
        Ok(Some(job.id))
    }

    /// Returns the job of a due rule.
    async fn job_of_rule(&self, portal: &PortalId, rule: &Rule, now: Timestamp) -> Result<RuleJob, StoreError> {
        let (found, users) = self.store.portal_and_users(portal, [rule.created_by]).await?;
        let (Some(found), Some(user)) = (found, users.get(&rule.created_by)) else {
            return Ok(RuleJob::Refused(
                "The user on whose behalf the rule runs is no longer in the portal. Set the rule again.".into(),
            ));
        };
        if found.resharding_to.is_some() {
            return Ok(RuleJob::Later);
        }
        let unknown = self.unknown_managers(portal, &rule.target).await?;
        if !unknown.is_empty() {
            return Ok(RuleJob::Refused(format!("{}. Set the rule again.", NotStarted::UnknownManagers(unknown))));
        }
        let mut run =
            self.planned(&found, Actor::User(user.caller()), rule.filter.clone(), rule.target.clone(), now).await?;
        run.rule = Some(rule.name.to_string());
        run.max_affected = rule.max_affected;
        run.note = rule.note.clone();
        Ok(RuleJob::Ready(Box::new(run.queued_job(self, self.new_id()))))
    }

    /// Starts a run with administrator rights for the operator, who invokes the function directly. Returns the job. If
    /// the idempotency key was used for the same `payload` before, returns the earlier job.
    ///
    /// # Errors
    ///
    /// [`NotStarted`].
    pub async fn run_once(&self, portal: &Portal, order: RunOnce, payload: &[u8]) -> Result<JobId, NotStarted> {
        let unknown = self.unknown_managers(&portal.id, &order.target).await?;
        if !unknown.is_empty() {
            return Err(NotStarted::UnknownManagers(unknown));
        }
        let now = self.now();
        let mut id = self.new_id();
        let key = order.idempotency_key.as_ref();
        let key = key.map(|key| KeyOf { portal: portal.id.clone(), author: Author::Operator, key: key.clone() });
        let mut reserved = None;
        if let Some(key) = &key {
            let fingerprint = Sha256::digest(payload);
            let answer_due = now + limits::duration(SYNCHRONOUS_RUN_MILLIS);
            let valid_until = now + SignedDuration::from_hours(IDEMPOTENCY_HOURS);
            reserved = Some(
                match self.store.reserve_key(key, &fingerprint.into(), id, now, answer_due, valid_until).await? {
                    Reservation::New(reserved) => reserved,
                    Reservation::Completed { job, .. } => return Ok(job),
                    Reservation::Interrupted(reserved) => {
                        if self.store.job(&portal.id, reserved.job).await?.is_some() {
                            return Ok(reserved.job);
                        }
                        id = reserved.job;
                        reserved
                    }
                    Reservation::InProgress => return Err(NotStarted::KeyInUse),
                    Reservation::Mismatch => return Err(NotStarted::KeyReused),
                },
            );
        }
        if portal.resharding_to.is_some() {
            return Err(NotStarted::Resharding(portal.id.clone()));
        }
        let mut run = self.planned(portal, Actor::Operator, order.filter, order.target, now).await?;
        run.max_affected = order.max_affected;
        let job = run.enqueue(self, id).await?;
        if let Some(reserved) = &reserved {
            // The stored answer is empty, because the key already holds the job.
            self.store.answer_key(reserved, &[]).await?;
        }
        Ok(job.id)
    }
}
