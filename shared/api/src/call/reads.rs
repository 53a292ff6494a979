//! The reads of a call. A handler of an [`Auth::Read`](crate::Auth::Read) endpoint has no other access to the table.

use std::collections::{BTreeMap, HashMap};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jobs::chain::ContactHistory;
use models::contact::ListItem;
use models::directory::User;
use models::job::daily::DayCounts;
use models::job::snapshot::Snapshot;
use models::job::{Change, Job, JobId, ShardSummary};
use models::request::JobsStart;
use models::rule::{Rule, RuleName};
use models::values::id::{ContactId, PortalId, UserId};
use models::values::timestamp::Timestamp;
use store::StoreError;
use store::contacts::{AccessState, Accesses, Origin};
use store::directory::{CountedTag, Lists};
use store::jobs::list::JobReader;
use store::listing::{ListError, Listed, Listing};
use store::planner::Planner;
use store::rules::RuleReader;

use crate::app::{App, Names};

/// The reads of one portal. Each method costs as much as the method that it calls: of [`store::Store`], of
/// [`jobs::Jobs`] or of [`App`].
#[derive(Clone, Copy, Debug)]
pub struct Reads<'a> {
    app: &'a App,
    portal: &'a PortalId,
}

impl<'a> Reads<'a> {
    pub(super) fn new(app: &'a App, portal: &'a PortalId) -> Self {
        Self { app, portal }
    }

    /// Reads a user; none if the portal has no such user.
    pub async fn user(self, id: UserId) -> Result<Option<User>, StoreError> {
        self.app.store.user(self.portal, id).await
    }

    /// Reads the existing users among `ids`.
    pub async fn users(self, ids: impl IntoIterator<Item = UserId>) -> Result<HashMap<UserId, User>, StoreError> {
        self.app.store.users(self.portal, ids).await
    }

    /// Reads all users.
    pub async fn all_users(self) -> Result<Vec<User>, StoreError> {
        self.app.store.all_users(self.portal).await
    }

    /// Returns the cached users, or reads the first users, like [`App::names`].
    pub async fn names(self) -> Result<Names, StoreError> {
        self.app.names(self.portal).await
    }

    /// Returns the existing users among `ids`, like [`App::named`].
    pub async fn named(
        self,
        names: Names,
        ids: impl IntoIterator<Item = UserId>,
    ) -> Result<HashMap<UserId, User>, StoreError> {
        self.app.named(self.portal, names, ids).await
    }

    /// Reads the data that the plan of a filter with these tags needs: the stages, the types, and the counters of the
    /// tags.
    pub async fn planner(self, tags: &[String]) -> Result<Planner, StoreError> {
        self.app.store.planner(self.portal, tags).await
    }

    /// Reads the stages and the types.
    pub async fn lists(self) -> Result<Lists, StoreError> {
        self.app.store.lists(self.portal).await
    }

    /// Reads the number of contacts that have each of these tags.
    pub async fn tag_counts(self, tags: &[String]) -> Result<HashMap<String, u64>, StoreError> {
        self.app.store.tag_counts(self.portal, tags).await
    }

    /// Reads the stages, each with its number of contacts.
    pub async fn stage_choices(self) -> Result<Vec<(ListItem, Option<u64>)>, StoreError> {
        self.app.store.stage_choices(self.portal).await
    }

    /// Reads the types, each with its number of contacts.
    pub async fn type_choices(self) -> Result<Vec<(ListItem, Option<u64>)>, StoreError> {
        self.app.store.type_choices(self.portal).await
    }

    /// Reads the tags, each with its number of contacts.
    pub async fn tag_choices(self) -> Result<Vec<(String, u64)>, StoreError> {
        self.app.store.tag_choices(self.portal).await
    }

    /// Reads a page of contacts.
    ///
    /// # Errors
    ///
    /// When the table fails, or the page cannot be read before its deadline.
    pub async fn list_contacts(self, listing: &Listing<'_>) -> Result<Listed, ListError> {
        self.app.store.list_contacts(listing).await
    }

    /// Reads the names of contacts.
    pub async fn display_names(self, ids: &[ContactId]) -> Result<HashMap<ContactId, String>, StoreError> {
        self.app.store.display_names(self.portal, ids).await
    }

    /// Reads the access of contacts, and returns the result of `see` for each contact.
    pub async fn access_with<T>(
        self,
        ids: &[ContactId],
        see: impl Fn(AccessState, Origin) -> T,
    ) -> Result<Accesses<T>, StoreError> {
        self.app.store.access_with(self.portal, ids, see).await
    }

    /// Reads a job; none if the portal has no such job.
    pub async fn job(self, id: JobId) -> Result<Option<Job>, StoreError> {
        self.app.store.job(self.portal, id).await
    }

    /// Returns a reader of the jobs of the portal, or of one user of the portal.
    pub async fn jobs(self, user: Option<UserId>, start: JobsStart) -> Result<JobReader<'a>, StoreError> {
        self.app.store.jobs(self.portal, user, start).await
    }

    /// Returns a reader of the history of a contact that has the access `current`.
    pub fn contact_history(self, contact: ContactId, current: AccessState) -> ContactHistory<'a> {
        self.app.jobs.contact_history(self.portal, contact, current)
    }

    /// Returns a reader of the jobs that changed a contact, among its last changes.
    pub async fn jobs_of_contact(self, contact: ContactId, start: JobsStart) -> Result<JobReader<'a>, StoreError> {
        let mut jobs = self.app.jobs.jobs_of_contact(self.portal, contact).await?;
        if let JobsStart::Before(before) = start {
            jobs.retain(|job| *job < before);
        }
        Ok(self.app.store.listed_jobs(self.portal, jobs))
    }

    /// Reads the progress of each shard of a running job: 1 read unit.
    pub async fn summaries(self, job: &Job) -> Result<Vec<ShardSummary>, StoreError> {
        self.app.jobs.summaries(self.portal, job).await
    }

    /// Reads at most `count` changes of a job after the first `skip`.
    pub async fn changes(self, job: &Job, skip: usize, count: usize) -> Result<Vec<Change>, StoreError> {
        self.app.jobs.changes(self.portal, job, skip, count).await
    }

    /// Reads the contacts that the jobs of the portal, or of one user, changed on each of the last days up to `now`.
    /// Stores the counts of settled days.
    pub async fn day_counts(
        self,
        user: Option<UserId>,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Result<BTreeMap<Date, DayCounts>, StoreError> {
        self.app.store.day_counts(self.portal, user, now, zone).await
    }

    /// Reads the latest snapshot; none before the first.
    pub async fn snapshot(self) -> Result<Option<Snapshot>, StoreError> {
        self.app.store.snapshot(self.portal).await
    }

    /// Reads the tags that contacts have, with their folded forms.
    pub async fn counted_tags(self) -> Result<Vec<CountedTag>, StoreError> {
        self.app.store.counted_tags(self.portal).await
    }

    /// Reads a standing rule; none if the portal has no such rule.
    pub async fn rule(self, name: &RuleName) -> Result<Option<Rule>, StoreError> {
        self.app.store.rule(self.portal, name).await
    }

    /// Returns a reader of the standing rules, by name.
    pub fn rules(self) -> RuleReader<'a> {
        self.app.store.rules(self.portal)
    }

    /// Requests compaction of a manager's postings, which makes later reads cheaper and changes no answer.
    pub async fn request_compaction(self, manager: UserId) {
        self.app.jobs.request_compaction(self.portal, manager).await;
    }
}
