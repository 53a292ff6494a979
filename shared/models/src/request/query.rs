//! Parameters of a query, taken one by one.

use crate::answer;
use crate::invalid::{Fault, Invalid, shown};
use crate::job::JobId;
use crate::limits::{MAX_FILTER_VALUE_BYTES, MAX_JOBS_START_INDEX, MAX_PAGE};
use crate::request::contacts::unknown_contact_keys;
use crate::request::fields::{GIVEN_TWICE, finish, too_long_filter_value};
use crate::request::text::A_COUNT;
use crate::request::text::{boolean, count};

/// The largest `maxAffected`: contact numbers are int32, so there are no more contacts.
pub(super) const MAX_AFFECTED: u64 = i32::MAX.unsigned_abs() as u64;

/// A page of the matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Maximum number of contacts, up to [`MAX_PAGE`].
    pub count: usize,
    /// Number of contacts before the page.
    pub start_index: usize,
}

/// The largest `startIndex`: contact numbers are int32, so there are no more contacts.
pub(super) const MAX_START_INDEX: u64 = i32::MAX.unsigned_abs() as u64;

impl Page {
    pub(super) fn new(count: usize, start_index: u64) -> Self {
        Self { count, start_index: usize::try_from(start_index).unwrap_or(usize::MAX) }
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
    /// After this number of jobs, newest first; at most [`MAX_JOBS_START_INDEX`].
    Index(usize),
    /// At the newest job that is older than this job.
    Before(JobId),
}

/// Reader of query parameters, which collects the faults.
///
/// Names are compared without case, because ONLYOFFICE's clients use several spellings.
#[derive(Debug)]
pub struct Query {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
    faults: Vec<Fault>,
}

impl Query {
    /// Creates a reader of the decoded parameters of a query string.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { pairs: pairs.into_iter().collect(), known: Vec::new(), faults: Vec::new() }
    }

    fn take(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let mut values = Vec::new();
        self.pairs.retain(|(key, value)| {
            let wanted = key.eq_ignore_ascii_case(name);
            if wanted {
                values.push(value.clone());
            }
            !wanted
        });
        values.dedup();
        if values.len() > 1 {
            self.fault(name, GIVEN_TWICE.into());
        }
        values.into_iter().next()
    }

    fn fault(&mut self, name: &str, message: String) {
        self.faults.push(Fault { field: shown(name).into_owned(), message });
    }

    fn number(&mut self, name: &'static str, most: u64) -> Option<u64> {
        let text = self.take(name)?;
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<u64>() {
            Ok(number) if digits && number <= most => Some(number),
            _ => {
                self.fault(name, format!("must be a whole number from 0 to {most}; it is \"{}\"", shown(&text)));
                None
            }
        }
    }

    /// Takes `dryRun`: whether the call writes nothing.
    pub fn dry_run(&mut self) -> bool {
        let Some(text) = self.take("dryRun") else { return false };
        boolean(&text).unwrap_or_else(|| {
            self.fault("dryRun", format!("must be true or false; it is \"{}\"", shown(&text)));
            true
        })
    }

    /// Takes `maxAffected`: the number of changes above which the call writes nothing.
    pub fn max_affected(&mut self) -> Option<u64> {
        self.number("maxAffected", MAX_AFFECTED)
    }

    /// Takes `count` and `startIndex`; `count` defaults to [`MAX_PAGE`].
    pub fn page(&mut self) -> Page {
        self.page_of(MAX_PAGE)
    }

    /// Takes `count` and `startIndex`; `count` defaults to `default`.
    pub fn page_of(&mut self, default: usize) -> Page {
        let count = self.count();
        let start = self.number("startIndex", MAX_START_INDEX);
        Page::new(count.unwrap_or(default), start.unwrap_or(0))
    }

    /// Takes `count`: the number of entries of a page, at most [`MAX_PAGE`].
    fn count(&mut self) -> Option<usize> {
        let text = self.take("count")?;
        let count = count(&text);
        if count.is_none() {
            self.fault("count", format!("must be {A_COUNT}; it is \"{}\"", shown(&text)));
        }
        count
    }

    /// Takes `count`, and `before` or `startIndex`, for a list of jobs; `count` defaults to `default`.
    pub fn jobs_page(&mut self, default: usize) -> JobsPage {
        let count = self.count();
        let before = self.before();
        let start = self.start_of_jobs();
        if before.is_some() && start > 0 {
            self.fault("startIndex", "must be left out beside before, which says where the page starts".into());
        }
        JobsPage { count: count.unwrap_or(default), start: before.map_or(JobsStart::Index(start), JobsStart::Before) }
    }

    /// Takes `before`: the job after which the page starts.
    fn before(&mut self) -> Option<JobId> {
        let text = self.take("before")?;
        let id = text.parse().ok();
        if id.is_none() {
            let given = shown(&text).into_owned();
            self.fault("before", format!("must be the UUID of a job, as nextBefore names it; it is \"{given}\""));
        }
        id
    }

    /// Takes `startIndex` of a list of jobs.
    fn start_of_jobs(&mut self) -> usize {
        let Some(text) = self.take("startIndex") else { return 0 };
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(start) if digits && start <= MAX_JOBS_START_INDEX => start,
            _ => {
                let given = shown(&text).into_owned();
                self.fault(
                    "startIndex",
                    format!(
                        "must be a whole number from 0 to {MAX_JOBS_START_INDEX}; page further with before, which takes \
                         nextBefore of the page before; it is \"{given}\""
                    ),
                );
                0
            }
        }
    }

    /// Takes `fields`: the keys to which each contact is trimmed.
    pub fn fields(&mut self) -> Option<answer::Fields> {
        let list = self.take("fields")?;
        self.faults.extend(unknown_contact_keys(&list));
        answer::Fields::parse(&list)
    }

    /// Takes `filterValue`: words of the display name.
    pub fn filter_value(&mut self) -> Option<String> {
        let text = self.take("filterValue")?;
        if text.len() > MAX_FILTER_VALUE_BYTES {
            self.fault("filterValue", too_long_filter_value(text.len()));
        }
        Some(text)
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// [`Invalid`] with every fault. A parameter that was not taken is a fault, because a misspelt `dryRun` would
    /// write.
    pub fn finish(self) -> Result<(), Invalid> {
        finish(
            "query parameter of this endpoint",
            "",
            self.pairs.iter().map(|(name, _)| name),
            &self.known,
            self.faults,
        )
    }
}
