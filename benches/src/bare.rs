//! The bare SDK loop, for comparison with the job engine. The loop reads the same index entries and access records,
//! writes the same new records, and works on as many shards and batches concurrently. Unlike the engine, the loop
//! checks no rights and keeps no undo log, and cannot be resumed.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConsumedCapacity, KeysAndAttributes, PutRequest, ReturnConsumedCapacity, WriteRequest,
};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use models::values::id::{PortalId, UserId};
use store::dynamodb::batch::{READ_BATCH, WRITE_BATCH};
use store::keys::{Index, IndexPosition, Key, PK, Partition, SK};
use tests::WorldError;
use uuid::Uuid;

/// Batches of each shard in flight.
const IN_FLIGHT: usize = 8;

/// The work of the loop.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Work {
    /// Contacts written.
    pub contacts: usize,
    /// Requests to DynamoDB.
    pub requests: u64,
    /// Read units, as DynamoDB reported them.
    pub read_units: f64,
    /// Write units, as DynamoDB reported them.
    pub write_units: f64,
}

impl Work {
    fn add(&mut self, other: &Self) {
        self.contacts += other.contacts;
        self.requests += other.requests;
        self.read_units += other.read_units;
        self.write_units += other.write_units;
    }
}

fn units<'a>(consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) -> f64 {
    consumed.into_iter().filter_map(ConsumedCapacity::capacity_units).sum()
}

/// Sets the access of every contact with `tag`.
///
/// # Errors
///
/// When a call fails, a contact has no access record, or a batch is not written completely.
pub async fn run(
    client: &Client,
    table: &str,
    portal: &PortalId,
    tag: &str,
    shards: u16,
    managers: &[UserId],
) -> Result<Work, WorldError> {
    let shards_done: Vec<Work> = stream::iter(0..shards)
        .map(|number| shard(client, table, portal, Partition::Tag(portal.clone(), number, tag.to_owned()), managers))
        .buffer_unordered(usize::from(shards))
        .try_collect()
        .await?;
    let mut work = Work::default();
    for shard in &shards_done {
        work.add(shard);
    }
    Ok(work)
}

async fn shard(
    client: &Client,
    table: &str,
    portal: &PortalId,
    partition: Partition,
    managers: &[UserId],
) -> Result<Work, WorldError> {
    const PAGE: i32 = 1000;
    let index = Index::Tag;
    let managers: Vec<u8> = managers.iter().flat_map(|id| *id.as_bytes()).collect();
    let revision = Uuid::now_v7();
    let mut work = Work::default();
    let mut start = None;
    loop {
        let page = client
            .query()
            .table_name(table)
            .index_name(index.name())
            .key_condition_expression("#pk = :pk")
            .expression_attribute_names("#pk", index.pk())
            .expression_attribute_values(":pk", AttributeValue::S(partition.encode()))
            .scan_index_forward(false)
            .limit(PAGE)
            .set_exclusive_start_key(start)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await?;
        work.requests += 1;
        work.read_units += units(page.consumed_capacity());
        let keys: Vec<(String, String)> = page
            .items()
            .iter()
            .filter_map(|item| IndexPosition::decode(item.get(index.sk())?.as_s().ok()?))
            .map(|position| Key::Access(portal.clone(), position.contact).encode())
            .collect();
        let key = |(pk, sk): &(String, String)| {
            HashMap::from([
                (PK.to_owned(), AttributeValue::S(pk.clone())),
                (SK.to_owned(), AttributeValue::S(sk.clone())),
            ])
        };
        let reads: Vec<KeysAndAttributes> = keys
            .chunks(READ_BATCH)
            .map(|keys| KeysAndAttributes::builder().set_keys(Some(keys.iter().map(key).collect())).build())
            .collect::<Result<_, _>>()?;
        let mut read = 0;
        let mut batches = stream::iter(reads)
            .map(|keys| {
                let call = client.batch_get_item().request_items(table, keys);
                call.return_consumed_capacity(ReturnConsumedCapacity::Total).send()
            })
            .buffer_unordered(IN_FLIGHT);
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            work.requests += 1;
            work.read_units += units(batch.consumed_capacity());
            read += batch.responses().and_then(|tables| tables.get(table)).map_or(0, Vec::len);
        }
        if read != keys.len() {
            return Err("not every contact had an access record".into());
        }
        let writes: Vec<WriteRequest> = keys
            .iter()
            .map(|keys| {
                let mut item = key(keys);
                item.insert("share".into(), AttributeValue::N("0".into()));
                item.insert("managers".into(), AttributeValue::B(Blob::new(managers.clone())));
                item.insert("rev".into(), AttributeValue::B(Blob::new(*revision.as_bytes())));
                item.insert("by".into(), AttributeValue::B(Blob::new(*revision.as_bytes())));
                item.insert("at".into(), AttributeValue::N("17672256000000000".into()));
                let put = PutRequest::builder().set_item(Some(item)).build()?;
                Ok(WriteRequest::builder().put_request(put).build())
            })
            .collect::<Result<_, WorldError>>()?;
        let batches: Vec<Vec<WriteRequest>> = writes.chunks(WRITE_BATCH).map(<[_]>::to_vec).collect();
        let mut batches = stream::iter(batches)
            .map(|batch| {
                let call = client.batch_write_item().request_items(table, batch);
                call.return_consumed_capacity(ReturnConsumedCapacity::Total).send()
            })
            .buffer_unordered(IN_FLIGHT);
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            work.requests += 1;
            work.write_units += units(batch.consumed_capacity());
            if batch.unprocessed_items().is_some_and(|rest| !rest.is_empty()) {
                return Err("a batch was not written completely".into());
            }
        }
        work.contacts += keys.len();
        start = page.last_evaluated_key.filter(|key| !key.is_empty());
        if start.is_none() {
            return Ok(work);
        }
    }
}
