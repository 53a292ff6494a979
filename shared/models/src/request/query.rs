//! Pages of lists, and the parameters of queries that have no request of their own.

use std::fmt;

use serde_json::Value;

use crate::answer::{self, ListPage};
use crate::filter::AccessCriteria;
use crate::invalid::Invalid;
use crate::job::JobId;
use crate::limits::MAX_PAGE;
use crate::request::contacts::contact_keys;
use crate::request::field::{Field, Kind};
use crate::request::fields::Fields;
use crate::request::jobs::UnresolvedJobFilter;
use crate::request::text::{A_COUNT, count};
use crate::values::id::UserId;

/// A page of the matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Maximum number of contacts, up to [`MAX_PAGE`].
    pub count: usize,
    /// Number of contacts before the page.
    pub start_index: usize,
}

impl Page {
    fn new(count: usize, start_index: u64) -> Self {
        Self { count, start_index: usize::try_from(start_index).unwrap_or(usize::MAX) }
    }

    /// Returns the page in a list of this length.
    pub fn in_list_of(self, length: usize) -> ListPage {
        let shown = length.saturating_sub(self.start_index).min(self.count);
        ListPage::counted(self.start_index, shown, length as u64)
    }
}

impl Default for Page {
    fn default() -> Self {
        Self { count: MAX_PAGE, start_index: 0 }
    }
}

/// A page of a list of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobsPage {
    /// Maximum number of jobs, up to [`MAX_PAGE`].
    pub count: usize,
    /// Start of the page.
    pub start: JobsStart,
}

/// The start of a page of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobsStart {
    /// After this number of jobs, newest first; at most
    /// [`MAX_JOBS_START_INDEX`](crate::limits::MAX_JOBS_START_INDEX).
    Index(usize),
    /// At the newest job that is older than this job.
    Before(JobId),
}

impl Fields {
    /// Takes `count` and `startIndex`.
    pub(super) fn page(&mut self) -> Page {
        let count = self.count();
        Page::new(count, self.number("startIndex").unwrap_or(0))
    }

    /// Takes `count`: the number of entries of a page, at most the maximum of the field.
    pub(super) fn count(&mut self) -> usize {
        let (default, max) = match self.kind("count") {
            Some(Kind::Count { default, max }) => (default, max),
            _ => (MAX_PAGE, MAX_PAGE),
        };
        let Some(text) = self.text_of("count", A_COUNT) else { return default };
        count(&text, max).unwrap_or_else(|| {
            self.wrong("count", A_COUNT, &Value::String(text));
            default
        })
    }

    /// Takes `before`: the job after which the page starts.
    fn before(&mut self) -> Option<JobId> {
        const MEANING: &str = "the UUID of a job, such as the value of nextBefore";
        let text = self.text_of("before", MEANING)?;
        let id = text.parse().ok();
        if id.is_none() {
            self.wrong("before", MEANING, &Value::String(text));
        }
        id
    }
}

/// Reader of query parameters, which collects the faults.
pub struct Query(Fields);

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query").finish_non_exhaustive()
    }
}

impl Query {
    /// Creates a reader of a query string with these parameters.
    pub fn new(text: &str, parameters: &'static [Field]) -> Self {
        Self(Fields::query(text, parameters))
    }

    /// Takes `dryRun`: true if the call must not write.
    pub fn dry_run(&mut self) -> bool {
        self.0.boolean("dryRun").unwrap_or(false)
    }

    /// Takes `maxAffected`: the number of changes above which the call writes nothing.
    pub fn max_affected(&mut self) -> Option<u64> {
        self.0.number("maxAffected")
    }

    /// Takes `note`: the note that the job of the change shows, trimmed.
    pub fn note(&mut self) -> Option<String> {
        self.0.note()
    }

    /// Takes `count` and `startIndex`.
    pub fn page(&mut self) -> Page {
        self.0.page()
    }

    /// Takes `count`, and `before` or `startIndex`, for a list of jobs.
    pub fn jobs_page(&mut self) -> JobsPage {
        let count = self.0.count();
        let before = self.0.before();
        let start = self.0.number("startIndex").unwrap_or(0);
        if before.is_some() && start > 0 {
            self.0
                .fault("startIndex", "must be left out if before is given, because before sets the start of the page");
        }
        let index = JobsStart::Index(usize::try_from(start).unwrap_or(usize::MAX));
        JobsPage { count, start: before.map_or(index, JobsStart::Before) }
    }

    /// Takes the conditions of a list of jobs.
    pub fn job_filter(&mut self) -> UnresolvedJobFilter {
        self.0.job_filter()
    }

    /// Takes `count` alone, for a list that has one page.
    pub fn count(&mut self) -> usize {
        self.0.count()
    }

    /// Takes `userId`: the user to whom the answer refers.
    pub fn user(&mut self) -> Option<UserId> {
        self.0.uuid("userId")
    }

    /// Takes `fields`: the keys to which each contact is trimmed.
    pub fn fields(&mut self) -> Option<answer::Fields> {
        contact_keys(&mut self.0)
    }

    /// Takes `filterValue`: words of the display name.
    pub fn filter_value(&mut self) -> Option<String> {
        self.0.filter_value("filterValue")
    }

    /// Takes `isShared` and `responsibleid`: criteria for the access of contacts.
    pub fn access_criteria(&mut self) -> AccessCriteria {
        self.0.access_criteria()
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// [`Invalid`] with every fault. A parameter that no method took is a fault. Otherwise, a call with a misspelt
    /// `dryRun` would write.
    pub fn finish(self) -> Result<(), Invalid> {
        self.0.finish()
    }
}
