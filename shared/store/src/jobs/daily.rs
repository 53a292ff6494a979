//! Counters of the contacts that jobs changed on each day, of a portal and of each user.
//!
//! The transaction that ends a job of several contacts adds the job's counts, so each job counts exactly once. A day
//! has several counters, so that the transactions of concurrent jobs mostly write different items.
//!
//! A change by a single call writes no counter, because two counters would nearly double its write units, and
//! concurrent calls would conflict. A list of days counts these changes by their records instead, and stores the count
//! of each day to which no further change is added.

use std::collections::{BTreeMap, HashSet};

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};
use futures::stream::{StreamExt as _, TryStreamExt as _};
use jiff::SignedDuration;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use models::job::daily::{DayCounts, bounds_of, counted_days, day_of, first_day};
use models::job::{Job, JobId};
use models::limits::{COUNTERS_KEPT_DAYS, COUNTERS_PER_DAY, DAY_SETTLES_HOURS};
use models::values::id::{PortalId, UserId};
use models::values::timestamp::Timestamp;

use crate::dynamodb::client::Store;
use crate::dynamodb::items;
use crate::dynamodb::reading::{Consistency, QueryOptions};
use crate::error::StoreError;
use crate::jobs::record::{CHUNK, SINGLE};
use crate::jobs::{names, values};
use crate::keys::{EXPIRES, Key, Range, SINGLE_CHANGES, days_from};

// The attributes of a counter.
const CONTACTS: &str = "contacts";
const JOBS: &str = "jobs";

const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

/// Days whose single changes are counted concurrently.
const DAYS_AT_ONCE: usize = 8;

impl Store {
    /// Returns the writes that add an ended job to the counters of its `day`, for the transaction that ends the job: 2
    /// write units each. None if the job changed no contact.
    pub(super) fn day_writes(
        &self,
        portal: &PortalId,
        job: &Job,
        day: Date,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let Some(counts) = job.day_counts() else { return Ok(Vec::new()) };
        // The last byte of an identifier is random.
        let number = job.id.as_bytes()[15] % COUNTERS_PER_DAY;
        let expires = expiry(job.finished.unwrap_or(job.created));
        let counters = [Some(None), job.created_by.user().map(Some)].into_iter().flatten();
        let writes = counters.map(|user| {
            let update = Update::builder()
                .table_name(&self.table)
                .set_key(Some(items::keyed(&Key::DayCounter(portal.clone(), user, day, number))))
                .update_expression("SET #expires = :expires ADD #contacts :contacts, #jobs :jobs")
                .set_expression_attribute_names(Some(names([
                    ("#expires", EXPIRES),
                    ("#contacts", CONTACTS),
                    ("#jobs", JOBS),
                ])))
                .set_expression_attribute_values(Some(values([
                    (":expires", items::n(expires)),
                    (":contacts", items::n(counts.contacts)),
                    (":jobs", items::n(counts.jobs)),
                ])))
                .build()
                .map_err(|error| StoreError::unbuildable("the update of a day's counter", error))?;
            Ok(TransactWriteItem::builder().update(update).build())
        });
        writes.collect()
    }

    /// Returns the counts of the last days up to `now`, of a portal or of one user: 1 read unit per 4 KB of the
    /// counters, of about 100 bytes each. For each day without a stored count of single changes, reads the job records
    /// of the portal, or the entries of the user's list: 1 read unit per 4 KB. Stores the count of a
    /// settled day (1 write unit), so later calls read only the last two or three days.
    ///
    /// # Errors
    ///
    /// When the table fails.
    pub async fn day_counts(
        &self,
        portal: &PortalId,
        user: Option<UserId>,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Result<BTreeMap<Date, DayCounts>, StoreError> {
        let today = day_of(now, zone);
        let options = QueryOptions {
            consistency: Consistency::Strong,
            from: Some(days_from(first_day(today))),
            ..QueryOptions::default()
        };
        let (mut counts, mut stored): (BTreeMap<Date, DayCounts>, HashSet<Date>) = Default::default();
        for item in self.query_with(&Range::DayCounters(portal.clone(), user), options).await? {
            if let Key::DayCounter(_, _, day, number) = items::key_of(&item)? {
                let counter =
                    DayCounts { contacts: items::number(&item, CONTACTS)?, jobs: items::number(&item, JOBS)? };
                *counts.entry(day).or_default() += counter;
                if number == SINGLE_CHANGES {
                    stored.insert(day);
                }
            }
        }
        let counted = counted_days(today).filter(|day| !stored.contains(day)).map(|day| async move {
            Ok::<_, StoreError>((day, self.single_changes(portal, user, day, now, zone).await?))
        });
        let mut counted = futures::stream::iter(counted).buffer_unordered(DAYS_AT_ONCE);
        while let Some((day, single)) = counted.try_next().await? {
            *counts.entry(day).or_default() += DayCounts { contacts: single, jobs: single };
        }
        Ok(counts)
    }

    /// Counts the single changes of a day. The time in the identifier of a change's job decides the day. Stores the
    /// count of a day to which no further change is added.
    async fn single_changes(
        &self,
        portal: &PortalId,
        user: Option<UserId>,
        day: Date,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Result<u64, StoreError> {
        let (start, end) = bounds_of(day, zone);
        let bound = |at| Key::Job(portal.clone(), JobId::first_at(at)).encode().1;
        // No job has the upper bound itself as its identifier, because the bound is no version 7 UUID.
        let options = QueryOptions {
            consistency: Consistency::Strong,
            from: Some(bound(start)),
            below: Some(bound(end)),
            ..QueryOptions::default()
        };
        let (attribute, range) = match user {
            Some(user) => (SINGLE, Range::JobsOf(portal.clone(), user)),
            None => (CHUNK, Range::Jobs(portal.clone())),
        };
        let count = self.count_items_with(attribute, &range, &options).await?;
        let settled = end + SignedDuration::from_hours(DAY_SETTLES_HOURS);
        if settled < now {
            let mut item = items::keyed(&Key::DayCounter(portal.clone(), user, day, SINGLE_CHANGES));
            let number = items::n(count);
            item.extend([(CONTACTS.to_owned(), number.clone()), (JOBS.to_owned(), number)]);
            item.insert(EXPIRES.into(), items::n(expiry(end)));
            // Without the stored count, the next call counts the day again.
            if let Err(error) = self.put(item).await {
                tracing::warn!(%day, error = &error as &dyn std::error::Error, "count of a day not stored");
            }
        }
        Ok(count)
    }
}

/// Returns the time to live of a counter, from a moment of its day.
fn expiry(at: Timestamp) -> i64 {
    at.to_jiff().as_second() + COUNTERS_KEPT_DAYS * SECONDS_PER_DAY
}
