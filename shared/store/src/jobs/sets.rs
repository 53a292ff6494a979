//! Sets of a user's jobs with a maximum size: the open jobs, and the previews.
//!
//! A set holds identifiers, so adding or removing a job twice changes nothing. The size of the set stays exact even if
//! a process dies.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use models::job::JobId;

use crate::dynamodb::client::Store;
use crate::dynamodb::items;
use crate::error::StoreError;
use crate::jobs::{names, values};
use crate::keys::Key;

/// Attribute of a set: the identifiers of its jobs.
const JOBS: &str = "jobs";

/// A set of a user's jobs.
pub(super) struct JobSet {
    pub(super) key: Key,
    /// The maximum size of the set.
    pub(super) most: usize,
}

impl JobSet {
    /// Returns whether the set, which holds `jobs`, holds `job` or has room for `job`.
    pub(super) fn has_room_for(&self, jobs: &[JobId], job: JobId) -> bool {
        jobs.len() < self.most || jobs.contains(&job)
    }
}

impl Store {
    /// Returns the write that adds a job to a set. The transaction fails if the set is full.
    pub(super) fn add_to_set(&self, set: &JobSet, job: JobId) -> Result<TransactWriteItem, StoreError> {
        let id = Blob::new(*job.as_bytes());
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(items::keyed(&set.key)))
            .update_expression("ADD #jobs :one")
            .condition_expression("attribute_not_exists(#jobs) OR size(#jobs) < :most OR contains(#jobs, :id)")
            .set_expression_attribute_names(Some(names([("#jobs", JOBS)])))
            .set_expression_attribute_values(Some(values([
                (":one", AttributeValue::Bs(vec![id.clone()])),
                (":id", AttributeValue::B(id)),
                (":most", items::n(set.most)),
            ])))
            .build()
            .map_err(|error| StoreError::unbuildable("the update of a set of jobs", error))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// Reads the jobs in a set: 1 read unit.
    pub(super) async fn jobs_in(&self, set: &JobSet) -> Result<Vec<JobId>, StoreError> {
        let item = self.get(&set.key).await?.unwrap_or_default();
        let Some(AttributeValue::Bs(jobs)) = item.get(JOBS) else { return Ok(Vec::new()) };
        let ids = jobs.iter().map(|id| id.as_ref().try_into().map(JobId::from_bytes));
        ids.collect::<Result<_, _>>().map_err(|error| StoreError::corrupt("a set of jobs holds no UUID", error))
    }

    /// Removes a job from a set: 1 write unit, also if the job is not in the set.
    pub(super) async fn remove_from_set(&self, set: &JobSet, job: JobId) -> Result<(), StoreError> {
        let id = Blob::new(*job.as_bytes());
        self.update_if(
            &set.key,
            "DELETE #jobs :one",
            Some("contains(#jobs, :id)"),
            names([("#jobs", JOBS)]),
            values([(":one", AttributeValue::Bs(vec![id.clone()])), (":id", AttributeValue::B(id))]),
        )
        .await
        .map(drop)
    }
}
