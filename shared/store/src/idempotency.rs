//! Idempotency keys: which calls were made already, and how they were answered.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};
use models::access::Author;
use models::job::JobId;
use models::values::id::PortalId;
use models::values::moment::Moment;
use uuid::Uuid;

use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self, Item};
use crate::error::StoreError;
use crate::keys::{EXPIRES, Key};

/// Whose key it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOf {
    /// The portal.
    pub portal: PortalId,
    /// Who makes the call.
    pub author: Author,
    /// The key, as the caller made it up.
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

// The attributes of a key's item, of which none is one of DynamoDB's reserved words.
const PRINT: &str = "print";
const JOB: &str = "job";
const HOLDER: &str = "holder";
const AWAITED: &str = "awaited";
const ENDS: &str = "ends";
const ANSWER: &str = "answer";
const PARTS: &str = "parts";

/// Bytes of an answer that one item holds: DynamoDB's 400 KB, less what stands beside it.
const MAX_PART_BYTES: usize = 380 * 1024;

/// SHA-256 of what a call asks for.
pub type Fingerprint = [u8; 32];

/// The right to answer a call under its key. A reservation that was taken over by a later call gives no right any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// The key.
    pub of: KeyOf,
    /// The job that the call starts, if it starts one, has this identifier.
    pub job: JobId,
    holder: Uuid,
    expires: Moment,
}

/// What is known of a call with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// The call is made for the first time, or was not carried through.
    New(Reserved),
    /// The call was made before, and was answered.
    Completed {
        /// The job that it was to start, if it started one.
        job: JobId,
        /// Its answer, as it was given to be kept.
        answer: Vec<u8>,
    },
    /// The call was made before and broke off without an answer. Anything that it did is recorded under its job.
    Interrupted(Reserved),
    /// The call is being made right now.
    InProgress,
    /// The key was used for another call.
    Mismatch,
}

/// An answer that is written together with what the call does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    reserved: Reserved,
    answer: Vec<u8>,
}

impl KeptAnswer {
    /// The answer of the call that holds `reserved`; none when it does not fit into one item.
    pub fn new(reserved: Reserved, answer: Vec<u8>) -> Option<Self> {
        (answer.len() <= MAX_PART_BYTES).then_some(Self { reserved, answer })
    }
}

impl Store {
    /// Reserves a key for a call that is expected to be answered by `answered_by`, until `expires`: 1 write unit, and
    /// when the key was used before 1 read unit per 4 KB of the answer.
    pub async fn reserve_key(
        &self,
        of: &KeyOf,
        fingerprint: &Fingerprint,
        job: JobId,
        now: Moment,
        answered_by: Moment,
        expires: Moment,
    ) -> Result<Reservation, StoreError> {
        let mut reserved = Reserved { of: of.clone(), job, holder: Uuid::now_v7(), expires };
        let mut item = items::keyed(&of.item_key());
        item.insert(PRINT.into(), items::b(*fingerprint));
        item.insert(JOB.into(), items::b(*job.as_bytes()));
        item.insert(HOLDER.into(), items::b(*reserved.holder.as_bytes()));
        item.insert(AWAITED.into(), items::n(answered_by.steps()));
        item.insert(ENDS.into(), items::n(expires.steps()));
        // Time to live deletes in its own time, and never early.
        item.insert(EXPIRES.into(), items::n(expires.timestamp().as_second() + 1));
        // The end is compared too, because what has expired may still be there for days.
        let free = "attribute_not_exists(#pk) OR ends <= :now";
        if self.put_if(item.clone(), free, [(":now", items::n(now.steps()))]).await? {
            return Ok(Reservation::New(reserved));
        }
        let Some(found) = self.get(&of.item_key()).await? else {
            // It was let go of between the two calls.
            return Ok(Reservation::InProgress);
        };
        if items::bytes(&found, PRINT)? != fingerprint {
            return Ok(Reservation::Mismatch);
        }
        let earlier = items::id(&found, JOB)?;
        if earlier == job {
            // The answer to the first attempt of this very call was lost on the way.
            reserved.holder = Uuid::from_bytes(items::id(&found, HOLDER)?);
            return Ok(Reservation::New(reserved));
        }
        if found.contains_key(ANSWER) {
            return Ok(Reservation::Completed { job: earlier, answer: self.kept_answer(of, &found).await? });
        }
        let awaited: i64 = items::number(&found, AWAITED)?;
        if awaited > now.steps() {
            return Ok(Reservation::InProgress);
        }
        // Whoever made the call is gone. Taking the key over keeps the job's identifier, under which it may have begun.
        item.insert(JOB.into(), items::b(*earlier.as_bytes()));
        reserved.job = earlier;
        let seen = [(":awaited", items::n(awaited))];
        let taken = self.put_if(item, "awaited = :awaited AND attribute_not_exists(answer)", seen).await?;
        Ok(if taken { Reservation::Interrupted(reserved) } else { Reservation::InProgress })
    }

    async fn kept_answer(&self, of: &KeyOf, found: &Item) -> Result<Vec<u8>, StoreError> {
        let mut answer = items::bytes(found, ANSWER)?.to_vec();
        let parts: u16 = items::number(found, PARTS)?;
        let holder = Uuid::from_bytes(items::id(found, HOLDER)?);
        for number in 0..parts {
            let part = self.get(&of.part_key(holder, number)).await?;
            let part = part.ok_or_else(|| StoreError::Corrupt("a part of a kept answer is missing".into()))?;
            answer.extend_from_slice(items::bytes(&part, ANSWER)?);
        }
        Ok(answer)
    }

    /// Keeps the answer of a call, so that the call is answered the same again, unless a later call took the key over: 1
    /// write unit per KB.
    pub async fn answer_key(&self, reserved: &Reserved, answer: &[u8]) -> Result<(), StoreError> {
        let (first, rest) = answer.split_at(answer.len().min(MAX_PART_BYTES));
        let parts: Vec<&[u8]> = rest.chunks(MAX_PART_BYTES).collect();
        for (number, part) in (0u16..).zip(&parts) {
            let mut item = items::keyed(&reserved.of.part_key(reserved.holder, number));
            item.insert(ANSWER.into(), items::b(*part));
            item.insert(EXPIRES.into(), items::n(reserved.expires.timestamp().as_second() + 1));
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

    /// The write that keeps an answer together with what the call does, or nothing of both: 2 write units per KB.
    pub(crate) fn keep_write(&self, kept: &KeptAnswer) -> Result<TransactWriteItem, StoreError> {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(items::keyed(&kept.reserved.of.item_key())))
            .update_expression(SET_ANSWER)
            .condition_expression(IS_HELD)
            .expression_attribute_values(":answer", items::b(kept.answer.as_slice()))
            .expression_attribute_values(":parts", items::n(0))
            .expression_attribute_values(":holder", items::b(*kept.reserved.holder.as_bytes()))
            .build()
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// Lets go of a key whose call changed nothing, so that it can be made again, unless a later call took the key over: 1
    /// write unit.
    pub async fn release_key(&self, reserved: &Reserved) -> Result<(), StoreError> {
        let held = [(":holder".to_owned(), items::b(*reserved.holder.as_bytes()))];
        self.delete_if(&reserved.of.item_key(), IS_UNANSWERED, HashMap::new(), held.into()).await.map(drop)
    }
}

const SET_ANSWER: &str = "SET answer = :answer, parts = :parts";
const IS_HELD: &str = "holder = :holder";
const IS_UNANSWERED: &str = "holder = :holder AND attribute_not_exists(answer)";
