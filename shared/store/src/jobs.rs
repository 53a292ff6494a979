//! Job records, the shards of jobs with their leases, and chunks.

pub mod chunk_format;
mod chunks;
mod daily;
mod effects;
pub mod list;
mod open;
mod previews;
mod record;
mod sets;
mod shards;
mod snapshot;

use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem};

use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self, Item};
use crate::error::StoreError;
use crate::keys::Key;
pub use chunks::Chunk;
pub use effects::ShardEffect;
use models::values::timestamp::Timestamp;
pub use open::{OpenJob, OpenJobs, OpenJobsCursor};
pub use previews::PreviewRun;
pub use record::{Created, RecordedJob};
pub use shards::{Checkpoint, Claim, Lease, Progress, Release, Saved, ShardFailure, ShardState};
use std::collections::HashMap;

fn ticks(at: Timestamp) -> AttributeValue {
    items::n(at.ticks())
}

fn yes() -> AttributeValue {
    AttributeValue::Bool(true)
}

pub(crate) fn names<const N: usize>(names: [(&str, &str); N]) -> HashMap<String, String> {
    names.into_iter().map(|(name, stands_for)| (name.to_owned(), stands_for.to_owned())).collect()
}

pub(crate) fn values<const N: usize>(values: [(&str, AttributeValue); N]) -> HashMap<String, AttributeValue> {
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

impl Store {
    pub(crate) fn transact_put<const N: usize>(
        &self,
        item: Item,
        condition: Option<&str>,
        of: [(&str, AttributeValue); N],
    ) -> Result<TransactWriteItem, StoreError> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .set_condition_expression(condition.map(ToOwned::to_owned))
            .set_expression_attribute_values(Some(values(of)).filter(|values| !values.is_empty()))
            .build()
            .map_err(|error| StoreError::unbuildable("the put of a transaction", error))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    pub(crate) fn transact_delete<const N: usize>(
        &self,
        key: &Key,
        condition: Option<&str>,
        of: [(&str, AttributeValue); N],
    ) -> Result<TransactWriteItem, StoreError> {
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(items::keyed(key)))
            .set_condition_expression(condition.map(ToOwned::to_owned))
            .set_expression_attribute_values(Some(values(of)).filter(|values| !values.is_empty()))
            .build()
            .map_err(|error| StoreError::unbuildable("the delete of a transaction", error))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }
}
