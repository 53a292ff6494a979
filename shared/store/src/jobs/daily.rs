//! Counters of the contacts that jobs changed on each day, of a portal and of each user.
//!
//! The transaction that ends a job adds the job's counts, so each job counts exactly once. A day has several counters,
//! so that the transactions of concurrent jobs mostly write different items.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};
use jiff::civil::Date;
use models::job::Job;
use models::job::daily::DayCounts;
use models::limits::{COUNTERS_KEPT_DAYS, COUNTERS_PER_DAY};
use models::values::id::{PortalId, UserId};

use crate::dynamodb::client::Store;
use crate::dynamodb::items;
use crate::dynamodb::reading::{Consistency, QueryOptions};
use crate::error::StoreError;
use crate::jobs::{names, values};
use crate::keys::{EXPIRES, Key, Range, days_from};

// The attributes of a counter.
const CONTACTS: &str = "contacts";
const JOBS: &str = "jobs";

const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

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
        let ended = job.finished.unwrap_or(job.created).to_jiff().as_second();
        let expires = ended + COUNTERS_KEPT_DAYS * SECONDS_PER_DAY;
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

    /// Reads the counts of the days from `from` on, of a portal or of one user: 1 read unit per 4 KB. A counter takes
    /// about 100 bytes.
    ///
    /// # Errors
    ///
    /// When the table fails.
    pub async fn day_counts(
        &self,
        portal: &PortalId,
        user: Option<UserId>,
        from: Date,
    ) -> Result<BTreeMap<Date, DayCounts>, StoreError> {
        let options =
            QueryOptions { consistency: Consistency::Strong, from: Some(days_from(from)), ..QueryOptions::default() };
        let mut counts: BTreeMap<Date, DayCounts> = BTreeMap::new();
        for item in self.query_with(&Range::DayCounters(portal.clone(), user), options).await? {
            if let Key::DayCounter(_, _, day, _) = items::key_of(&item)? {
                let counter =
                    DayCounts { contacts: items::number(&item, CONTACTS)?, jobs: items::number(&item, JOBS)? };
                *counts.entry(day).or_default() += counter;
            }
        }
        Ok(counts)
    }
}
