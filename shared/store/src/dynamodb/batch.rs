//! Batches: unprocessed items are sent again until all items are processed or the attempts are used up.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::types::{DeleteRequest, KeysAndAttributes, PutRequest, ReturnConsumedCapacity, WriteRequest};
use futures::stream::{FuturesUnordered, StreamExt as _};

use crate::dynamodb::backoff::pauses;
use crate::dynamodb::client::{CALL_ATTEMPTS, Store};
use crate::dynamodb::items::{Item, keyed};
use crate::dynamodb::reading::{BatchOptions, Consistency};
use crate::error::StoreError;
use crate::keys::{Key, PK, SK};

/// Items in one `BatchWriteItem`, DynamoDB's maximum.
pub const WRITE_BATCH: usize = 25;

/// Keys in one `BatchGetItem`, DynamoDB's maximum.
pub const READ_BATCH: usize = 100;

/// Batches of one call that wait for their turn or are written concurrently. The limiter of bulk writes lets fewer
/// through.
pub const IN_FLIGHT: usize = 8;

/// Batches of one call that are read concurrently.
pub const READS_IN_FLIGHT: usize = 2;

/// The kind of work that a write belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A user waits for the write. The write is sent at once.
    Call,
    /// The write is one of many. The write waits until the table has room for the write beside other calls.
    Bulk,
}

/// A write of a batch.
#[derive(Clone, Debug)]
pub struct Write(WriteRequest);

impl Write {
    /// Returns a write of the whole `item`.
    pub(crate) fn put(item: Item) -> Self {
        // The builder fails only without an item.
        let request = PutRequest::builder().set_item(Some(item)).build();
        Self(WriteRequest::builder().set_put_request(request.ok()).build())
    }

    /// Returns the partition key and the sort key of the written item.
    pub(crate) fn key(&self) -> Option<(String, String)> {
        let put = self.0.put_request().map(PutRequest::item);
        let item = put.or_else(|| self.0.delete_request().map(DeleteRequest::key))?;
        let text = |name| item.get(name).and_then(|value| value.as_s().ok()).cloned();
        Some((text(PK)?, text(SK)?))
    }

    /// Returns a removal of the item at `key`.
    pub(crate) fn delete(key: &Key) -> Self {
        // The builder fails only without a key.
        let request = DeleteRequest::builder().set_key(Some(keyed(key))).build();
        Self(WriteRequest::builder().set_delete_request(request.ok()).build())
    }
}

/// The result of many writes.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// The writes that are not known to have succeeded.
    pub(crate) unwritten: Vec<Write>,
    /// The first error; present if there are unwritten items that were sent.
    pub(crate) error: Option<StoreError>,
}

impl Written {
    /// Fails on a partial result.
    pub(crate) fn complete(self) -> Result<(), StoreError> {
        self.error.map_or(Ok(()), Err)
    }
}

impl Store {
    /// Reads many items, in no order. Leaves out missing items. A consistent read costs 1 read unit per 4 KB of each
    /// item; another read costs half. A missing item costs the minimum.
    ///
    /// A duplicate key is read once, because DynamoDB refuses a batch with duplicate keys.
    pub(crate) async fn get_many(&self, keys: &[Key], consistency: Consistency) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::with_capacity(keys.len());
        self.get_each(keys, consistency, |item| {
            items.push(item);
            Ok(())
        })
        .await?;
        Ok(items)
    }

    /// Like [`Self::get_many`], but passes each item to `receive` as its batch arrives, so that memory never holds all
    /// items.
    pub(crate) async fn get_each(
        &self,
        keys: &[Key],
        consistency: Consistency,
        receive: impl FnMut(Item) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.read_each(keys, BatchOptions { consistency, attributes: None }, receive).await
    }

    /// Like [`Self::get_each`], with `options`.
    pub(crate) async fn read_each(
        &self,
        keys: &[Key],
        options: BatchOptions,
        mut receive: impl FnMut(Item) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut unique = HashSet::with_capacity(keys.len());
        let keys: Vec<&Key> = keys.iter().filter(|key| unique.insert(*key)).collect();
        let mut batches = keys.chunks(READ_BATCH).map(|keys| keys.iter().map(|key| keyed(key)).collect());
        let mut in_flight = FuturesUnordered::new();
        loop {
            while in_flight.len() < READS_IN_FLIGHT
                && let Some(batch) = batches.next()
            {
                in_flight.push(self.get_batch(batch, options));
            }
            let Some(batch) = in_flight.next().await else { return Ok(()) };
            batch?.into_iter().try_for_each(&mut receive)?;
        }
    }

    async fn get_batch(&self, mut keys: Vec<Item>, options: BatchOptions) -> Result<Vec<Item>, StoreError> {
        const OPERATION: &str = "BatchGetItem";
        let mut items = Vec::with_capacity(keys.len());
        let mut pauses = pauses();
        loop {
            // The builder fails only without keys.
            let request = KeysAndAttributes::builder()
                .set_keys(Some(keys.clone()))
                .consistent_read(options.consistency.is_strong())
                .set_projection_expression(options.attributes.map(ToOwned::to_owned))
                .build();
            let output = self
                .client
                .batch_get_item()
                .set_request_items(request.ok().map(|request| HashMap::from([(self.table.clone(), request)])))
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await
                .map_err(|error| StoreError::from_sdk(OPERATION, error));
            let (output, next) = match (output, pauses.next()) {
                (Ok(output), next) => (output, next),
                (Err(error), Some(pause)) if error.is_throttled() => {
                    self.time.pause(pause).await;
                    continue;
                }
                (Err(error), _) => return Err(error),
            };
            self.meter.read(output.consumed_capacity());
            items.extend(output.responses.and_then(|mut tables| tables.remove(&self.table)).unwrap_or_default());
            keys = output
                .unprocessed_keys
                .and_then(|mut tables| tables.remove(&self.table))
                .map(|unprocessed| unprocessed.keys)
                .unwrap_or_default();
            if keys.is_empty() {
                return Ok(items);
            }
            match next {
                Some(pause) => self.time.pause(pause).await,
                None => return Err(StoreError::Throttled { operation: OPERATION, source: None }),
            }
        }
    }

    /// Makes many writes, in no order, at most one per key. Returns the writes that are **not** known to have
    /// succeeded; a caller that drops these writes loses them. Costs 1 write unit per KB, and again per index that
    /// holds the item.
    pub(crate) async fn write_many(&self, writes: impl IntoIterator<Item = Write>, priority: Priority) -> Written {
        self.write_many_while(writes, priority, &|| true).await
    }

    /// Like [`Self::write_many`], but sends a batch only if `may_send` returns true at that moment. The limiter may let
    /// a batch wait. The result has no error for writes that were not sent.
    pub(crate) async fn write_many_while(
        &self,
        writes: impl IntoIterator<Item = Write>,
        priority: Priority,
        may_send: &(dyn Fn() -> bool + Sync),
    ) -> Written {
        let mut written = Written::default();
        // Items are built when their batch waits for its turn or is sent, so that memory holds few items.
        let mut writes = writes.into_iter().map(|write| write.0);
        let mut in_flight = FuturesUnordered::new();
        loop {
            while in_flight.len() < IN_FLIGHT {
                let batch: Vec<WriteRequest> = writes.by_ref().take(WRITE_BATCH).collect();
                if batch.is_empty() {
                    break;
                }
                in_flight.push(self.write_batch(batch, priority, may_send));
            }
            // A failed batch does not stop the others, because the caller must know what was written.
            let Some((rest, error)) = in_flight.next().await else { return written };
            written.unwritten.extend(rest.into_iter().map(Write));
            written.error = written.error.or(error);
        }
    }

    /// Like [`Self::write_many`], but fails on a partial result.
    pub(crate) async fn write_all(&self, writes: Vec<Write>, priority: Priority) -> Result<(), StoreError> {
        self.write_many(writes, priority).await.complete()
    }

    async fn write_batch(
        &self,
        mut writes: Vec<WriteRequest>,
        priority: Priority,
        may_send: &(dyn Fn() -> bool + Sync),
    ) -> (Vec<WriteRequest>, Option<StoreError>) {
        const OPERATION: &str = "BatchWriteItem";
        let mut pauses = pauses();
        let mut unanswered = 0;
        loop {
            let sent = writes.len();
            let permit = match priority {
                Priority::Call => None,
                Priority::Bulk => Some(self.pressure.admit(sent).await),
            };
            if !may_send() {
                return (writes, None);
            }
            let client = match priority {
                Priority::Call => &self.client,
                // The limiter must see each attempt.
                Priority::Bulk => &self.client_without_retries,
            };
            let result = client
                .batch_write_item()
                .request_items(self.table.clone(), writes.clone())
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await
                .map_err(|error| StoreError::from_sdk(OPERATION, error));
            let failed = match result {
                Ok(output) => {
                    self.meter.wrote(output.consumed_capacity());
                    writes =
                        output.unprocessed_items.and_then(|mut tables| tables.remove(&self.table)).unwrap_or_default();
                    if let Some(permit) = permit {
                        permit.finished(sent - writes.len().min(sent), writes.len());
                    }
                    if writes.is_empty() {
                        return (writes, None);
                    }
                    None
                }
                // A batch has no conditions, so a repetition does no harm.
                Err(error) if error.is_transient() => {
                    tracing::debug!(%error, "batch not written");
                    if let Some(permit) = permit
                        && error.is_throttled()
                    {
                        permit.finished(0, sent);
                    }
                    // Send an unanswered bulk batch as often as the SDK sends a call. The SDK has already repeated a
                    // batch of a call.
                    unanswered += u32::from(matches!(error, StoreError::Unavailable { .. }));
                    if unanswered >= if priority == Priority::Call { 1 } else { CALL_ATTEMPTS } {
                        return (writes, Some(error));
                    }
                    Some(error)
                }
                Err(error) => return (writes, Some(error)),
            };
            match pauses.next() {
                Some(pause) => self.time.pause(pause).await,
                None => {
                    let throttled = StoreError::Throttled { operation: OPERATION, source: None };
                    return (writes, Some(failed.unwrap_or(throttled)));
                }
            }
        }
    }
}
