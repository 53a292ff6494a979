//! Idempotency keys, with the calls that used them and the stored answers.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};
use models::access::Author;
use models::job::JobId;
use models::values::id::PortalId;
use models::values::timestamp::Timestamp;
use uuid::Uuid;

use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self, Item};
use crate::error::StoreError;
use crate::keys::{EXPIRES, Key};

/// An idempotency key, with its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOf {
    /// The portal.
    pub portal: PortalId,
    /// The caller.
    pub author: Author,
    /// The key, chosen by the caller.
    pub key: String,
}

impl KeyOf {
    fn item_key(&self) -> Key {
        Key::Idempotency(self.portal.clone(), self.author, self.key.clone())
    }

    fn part_key(&self, holder: Uuid, number: u16) -> Key {
        Key::IdempotencyPart(self.portal.clone(), self.author, self.key.clone(), holder, number)
    }
}

// The attributes of a key's item. None is a reserved word of DynamoDB.
const FINGERPRINT: &str = "fingerprint";
const JOB: &str = "job";
const HOLDER: &str = "holder";
const ANSWER_DUE: &str = "answer_due";
const VALID_UNTIL: &str = "valid_until";
const ANSWER: &str = "answer";
const PARTS: &str = "parts";

/// Bytes of an answer in one item: DynamoDB's 400 KB, less the other attributes.
const MAX_PART_BYTES: usize = 380 * 1024;

/// SHA-256 of a call's request.
pub type Fingerprint = [u8; 32];

/// The right to answer a call under its key. The right ends when a later call takes over the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// The key.
    pub of: KeyOf,
    /// Identifier of the job, if the call starts a job.
    pub job: JobId,
    holder: Uuid,
    expires: Timestamp,
}

/// The state of a call with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// No earlier call used the key, or the earlier call changed nothing.
    New(Reserved),
    /// An earlier call was answered.
    Completed {
        /// The earlier call's job, if that call started a job.
        job: JobId,
        /// The stored answer.
        answer: Vec<u8>,
    },
    /// An earlier call was interrupted before its answer. Its changes are recorded under its job.
    Interrupted(Reserved),
    /// An earlier call is still in progress.
    InProgress,
    /// The key was used for another call.
    Mismatch,
}

/// An answer that is stored in one transaction with the call's changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    reserved: Reserved,
    answer: Vec<u8>,
}

impl StoredAnswer {
    /// Returns the answer of the call that holds `reserved`; none if the answer does not fit into one item.
    pub fn new(reserved: Reserved, answer: Vec<u8>) -> Option<Self> {
        (answer.len() <= MAX_PART_BYTES).then_some(Self { reserved, answer })
    }
}

impl Store {
    /// Reserves a key until `expires`, for a call that should be answered by `answered_by`. Costs 1 write unit and, if
    /// the key was used before, 1 read unit per 4 KB of the answer.
    pub async fn reserve_key(
        &self,
        of: &KeyOf,
        fingerprint: &Fingerprint,
        job: JobId,
        now: Timestamp,
        answered_by: Timestamp,
        expires: Timestamp,
    ) -> Result<Reservation, StoreError> {
        let mut reserved = Reserved { of: of.clone(), job, holder: Uuid::now_v7(), expires };
        let mut item = items::keyed(&of.item_key());
        item.insert(FINGERPRINT.into(), items::b(*fingerprint));
        item.insert(JOB.into(), items::b(*job.as_bytes()));
        item.insert(HOLDER.into(), items::b(*reserved.holder.as_bytes()));
        item.insert(ANSWER_DUE.into(), items::n(answered_by.ticks()));
        item.insert(VALID_UNTIL.into(), items::n(expires.ticks()));
        // DynamoDB's time to live may delete an item late, but never early.
        item.insert(EXPIRES.into(), items::n(expires.to_jiff().as_second() + 1));
        // Check the end of validity too, because an expired item may remain for days.
        let free = "attribute_not_exists(#pk) OR valid_until <= :now";
        if self.put_if(item.clone(), free, [(":now", items::n(now.ticks()))]).await? {
            return Ok(Reservation::New(reserved));
        }
        let Some(found) = self.get(&of.item_key()).await? else {
            // The key was released between the two calls.
            return Ok(Reservation::InProgress);
        };
        if items::bytes(&found, FINGERPRINT)? != fingerprint {
            return Ok(Reservation::Mismatch);
        }
        let earlier = items::id(&found, JOB)?;
        if earlier == job {
            // The response to the first attempt of this call was lost.
            reserved.holder = Uuid::from_bytes(items::id(&found, HOLDER)?);
            return Ok(Reservation::New(reserved));
        }
        if found.contains_key(ANSWER) {
            return Ok(Reservation::Completed { job: earlier, answer: self.stored_answer(of, &found).await? });
        }
        let answer_due: i64 = items::number(&found, ANSWER_DUE)?;
        if answer_due > now.ticks() {
            return Ok(Reservation::InProgress);
        }
        // The earlier call did not answer in time. Reuse its job's identifier, because the job may have started.
        item.insert(JOB.into(), items::b(*earlier.as_bytes()));
        reserved.job = earlier;
        let unchanged = [(":seen", items::n(answer_due))];
        let is_reserved = self.put_if(item, "answer_due = :seen AND attribute_not_exists(answer)", unchanged).await?;
        Ok(if is_reserved { Reservation::Interrupted(reserved) } else { Reservation::InProgress })
    }

    async fn stored_answer(&self, of: &KeyOf, found: &Item) -> Result<Vec<u8>, StoreError> {
        let mut answer = items::bytes(found, ANSWER)?.to_vec();
        let parts: u16 = items::number(found, PARTS)?;
        let holder = Uuid::from_bytes(items::id(found, HOLDER)?);
        for number in 0..parts {
            let part = self.get(&of.part_key(holder, number)).await?;
            let part = part.ok_or_else(|| StoreError::Corrupt("a part of a stored answer is missing".into()))?;
            answer.extend_from_slice(items::bytes(&part, ANSWER)?);
        }
        Ok(answer)
    }

    /// Stores a call's answer, so that a repeated call gets the same answer, unless a later call took over the key: 1
    /// write unit per KB.
    pub async fn answer_key(&self, reserved: &Reserved, answer: &[u8]) -> Result<(), StoreError> {
        let (first, rest) = answer.split_at(answer.len().min(MAX_PART_BYTES));
        let parts: Vec<&[u8]> = rest.chunks(MAX_PART_BYTES).collect();
        for (number, part) in (0u16..).zip(&parts) {
            let mut item = items::keyed(&reserved.of.part_key(reserved.holder, number));
            item.insert(ANSWER.into(), items::b(*part));
            item.insert(EXPIRES.into(), items::n(reserved.expires.to_jiff().as_second() + 1));
            self.put(item).await?;
        }
        self.update_if(
            &reserved.of.item_key(),
            SET_ANSWER,
            Some(IS_HELD),
            Default::default(),
            [
                (":answer".to_owned(), items::b(first)),
                (":parts".to_owned(), items::n(parts.len())),
                (":holder".to_owned(), items::b(*reserved.holder.as_bytes())),
            ]
            .into(),
        )
        .await
        .map(drop)
    }

    /// Returns the write that stores an answer in one transaction with the call's changes: 2 write units per KB.
    pub(crate) fn answer_write(&self, stored: &StoredAnswer) -> Result<TransactWriteItem, StoreError> {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(items::keyed(&stored.reserved.of.item_key())))
            .update_expression(SET_ANSWER)
            .condition_expression(IS_HELD)
            .expression_attribute_values(":answer", items::b(stored.answer.as_slice()))
            .expression_attribute_values(":parts", items::n(0))
            .expression_attribute_values(":holder", items::b(*stored.reserved.holder.as_bytes()))
            .build()
            .map_err(|error| StoreError::unbuildable("the update of an idempotency key", error))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// Releases the key of a call that changed nothing, so that the call can be repeated, unless a later call took over
    /// the key: 1 write unit.
    pub async fn release_key(&self, reserved: &Reserved) -> Result<(), StoreError> {
        let held = [(":holder".to_owned(), items::b(*reserved.holder.as_bytes()))];
        self.delete_if(&reserved.of.item_key(), IS_UNANSWERED, HashMap::new(), held.into()).await.map(drop)
    }
}

const SET_ANSWER: &str = "SET answer = :answer, parts = :parts";
const IS_HELD: &str = "holder = :holder";
const IS_UNANSWERED: &str = "holder = :holder AND attribute_not_exists(answer)";
