//! Starting jobs that no caller waits for: standing rules that are due, and runs that a schedule elsewhere asks for.

use jiff::SignedDuration;
use models::access::{Access, Caller};
use models::filter::Filter;
use models::id::PortalId;
use models::job::{Job, JobId, State};
use models::limits::{self, IDEMPOTENCY_HOURS, SYNCHRONOUS_RUN_MILLIS};
use models::moment::Moment;
use models::plan::plan;
use models::portal::Portal;
use models::request::{Page, RunOnce};
use models::rule::{Rule, RuleName};
use sha2::{Digest as _, Sha256};
use store::StoreError;
use store::idempotency::{KeyOf, Reservation};
use uuid::Uuid;

use crate::context::Jobs;
use crate::filter_run::FilterRun;
use crate::shard::Deadline;

/// Why a run was not started, though the table works.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// There is no such portal.
    #[error("there is no portal {0}")]
    UnknownPortal(PortalId),
    /// Managers that are no users of the portal.
    #[error("managers that are no users of the portal: {}", .0.iter().map(Uuid::to_string).collect::<Vec<_>>().join(", "))]
    UnknownManagers(Vec<Uuid>),
    /// The idempotency key was used for another run.
    #[error("the idempotency key was used for another run; take a new one")]
    KeyReused,
    /// The run with this idempotency key is being started right now.
    #[error("a run with this idempotency key is being started right now; ask again")]
    KeyInUse,
    /// The table failed.
    #[error("the database failed")]
    Store(#[from] StoreError),
}

impl Jobs {
    /// A run over the contacts that `filter` selects at `started`, on behalf of `caller`, planned by the directory's
    /// counters.
    async fn planned(
        &self,
        portal: &Portal,
        caller: Caller,
        filter: Filter,
        target: Access,
        started: Moment,
    ) -> Result<FilterRun, StoreError> {
        let lists = self.store.lists(&portal.id).await?;
        let statistics = self.store.statistics(&portal.id, &filter.tags, &lists.stage_counts).await?;
        let plan = plan(&filter, &statistics, portal.shards).created_before(started);
        Ok(FilterRun {
            portal: portal.id.clone(),
            caller,
            expected: plan.expected(&statistics),
            plan,
            filter,
            target,
            page: Page { count: 0, start_index: 0 },
            max_affected: None,
            started,
            rule: None,
        })
    }

    /// Those of the managers that are no users of the portal.
    async fn unknown_managers(&self, portal: &PortalId, target: &Access) -> Result<Vec<Uuid>, StoreError> {
        let known = self.store.users(portal, target.managers.iter().copied()).await?;
        Ok(target.managers.iter().filter(|id| !known.contains_key(id)).copied().collect())
    }

    /// Starts every rule that is due, or as many as the time allows, each once however many of its times were missed, and
    /// says how many.
    ///
    /// # Errors
    ///
    /// When the list of due rules cannot be read. A rule that cannot be started does not keep the others from it.
    pub async fn run_due_rules(&self, deadline: &Deadline) -> Result<usize, StoreError> {
        let mut started = 0;
        for (due, portal, name) in self.store.due_rules(self.now()).await? {
            if deadline.is_up() {
                // The longest due comes first, so none is left out for ever.
                break;
            }
            match self.run_rule(due, &portal, &name).await {
                Ok(job) => started += usize::from(job.is_some()),
                Err(error) => {
                    tracing::error!(%portal, rule = %name, error = &error as &dyn std::error::Error, "rule not started");
                }
            }
        }
        Ok(started)
    }

    async fn run_rule(&self, due: Moment, portal: &PortalId, name: &RuleName) -> Result<Option<JobId>, StoreError> {
        let now = self.now();
        let Some(rule) = self.store.rule(portal, name).await?.filter(|rule| rule.next == Some(due)) else {
            // The rule was changed or removed in the moment in which it was started.
            self.store.forget_due_rule(due, portal, name).await?;
            return Ok(None);
        };
        let next = if rule.enabled { rule.schedule.next_after(now) } else { None };
        let mut after = Rule { next, ..rule.clone() };
        if let Some(last) = rule.last_job
            && self.store.job(portal, last).await?.is_some_and(|job| !job.is_over())
        {
            tracing::warn!(%portal, rule = %name, job = %last, "rule is still running, and is not started again");
            self.store.run_rule(portal, &rule, &after, None).await?;
            return Ok(None);
        }
        after.last_run = Some(now);
        let job = match self.job_of_rule(portal, &rule, now).await? {
            Ok(job) => job,
            Err(reason) => {
                tracing::error!(%portal, rule = %name, reason, "rule cannot be started");
                after.error = Some(reason);
                self.store.run_rule(portal, &rule, &after, None).await?;
                return Ok(None);
            }
        };
        after.last_job = Some(job.id);
        after.error = None;
        if !self.store.run_rule(portal, &rule, &after, Some((&job, self.patience()))).await? {
            // Someone else started it, or changed it; then it will be due again.
            return Ok(None);
        }
        tracing::info!(%portal, rule = %name, job = %job.id, "rule started");
        self.ask_for_workers(portal, &job, 0..job.shards).await;
        Ok(Some(job.id))
    }

    /// The job of a rule that is due, or why there can be none.
    async fn job_of_rule(
        &self,
        portal: &PortalId,
        rule: &Rule,
        now: Moment,
    ) -> Result<Result<Job, String>, StoreError> {
        let (found, users) = self.store.portal_and_users(portal, [rule.created_by]).await?;
        let (Some(found), Some(user)) = (found, users.get(&rule.created_by)) else {
            return Ok(Err("The user on whose behalf it runs is no longer in the portal. Set the rule again.".into()));
        };
        let unknown = self.unknown_managers(portal, &rule.target).await?;
        if !unknown.is_empty() {
            return Ok(Err(format!("{}. Set the rule again.", NotStarted::UnknownManagers(unknown))));
        }
        let mut run = self.planned(&found, user.caller(), rule.filter.clone(), rule.target.clone(), now).await?;
        run.rule = Some(rule.name.to_string());
        Ok(Ok(run.job(self, self.new_id(), State::Queued, false)))
    }

    /// Starts the run that whoever may call the function itself asks for, with an administrator's rights: the job, which
    /// was there already when the idempotency key was used for the same `payload` before.
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
        let caller = Caller { user: Uuid::nil(), is_admin: true };
        let mut id = self.new_id();
        let key = order.idempotency_key.as_ref();
        let key = key.map(|key| KeyOf { portal: portal.id.clone(), user: Uuid::nil(), key: key.clone() });
        if let Some(key) = &key {
            let print = Sha256::digest(payload);
            let awaited = now + limits::duration(SYNCHRONOUS_RUN_MILLIS);
            let ends = now + SignedDuration::from_hours(IDEMPOTENCY_HOURS);
            match self.store.reserve_key(key, &print.into(), id, now, awaited, ends).await? {
                Reservation::New(_) => {}
                Reservation::Made { job, .. } => return Ok(job.unwrap_or(id)),
                Reservation::BrokeOff(earlier) => {
                    if self.store.job(&portal.id, earlier).await?.is_some() {
                        return Ok(earlier);
                    }
                    id = earlier;
                }
                Reservation::UnderWay => return Err(NotStarted::KeyInUse),
                Reservation::Other => return Err(NotStarted::KeyReused),
            }
        }
        let mut run = self.planned(portal, caller, order.filter, order.target, now).await?;
        run.max_affected = order.max_affected;
        let job = run.enqueue(self, id, true).await?;
        if let Some(key) = &key {
            self.store.answer_key(key, job.id, 0, true, &[]).await?;
        }
        Ok(job.id)
    }
}
