//! Idempotency keys: which calls were made already, and what came of them.

use aws_sdk_dynamodb::types::AttributeValue;
use models::access::Author;
use models::id::{ContactId, PortalId};
use models::job::JobId;
use models::moment::Moment;

use crate::client::Store;
use crate::error::StoreError;
use crate::items;
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
}

// The attributes of a key's item, of which none is one of DynamoDB's reserved words.
const PRINT: &str = "print";
const JOB: &str = "job";
const AWAITED: &str = "awaited";
const ENDS: &str = "ends";
const CODE: &str = "code";
const MADE: &str = "made";
const SHOWN: &str = "shown";

fn contacts(bytes: &[u8]) -> Result<Vec<ContactId>, StoreError> {
    let corrupt = || StoreError::Corrupt("the contacts of an answer".into());
    bytes
        .chunks(size_of::<i32>())
        .map(|bytes| {
            let id = i32::from_be_bytes(bytes.try_into().map_err(|_| corrupt())?);
            i64::from(id).try_into().map_err(|_| corrupt())
        })
        .collect()
}

/// SHA-256 of what a call asks for.
pub type Fingerprint = [u8; 32];

/// What is known of a call with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// It is made for the first time, or was not carried through: the job it starts, if it does, has this identifier.
    New(JobId),
    /// It was made before, and was answered.
    Made {
        /// The answer's status.
        status: u16,
        /// The job it started, if it did.
        job: Option<JobId>,
        /// The contacts that the answer listed.
        shown: Vec<ContactId>,
    },
    /// It was made before, and broke off without an answer. Whatever it did is recorded under this job.
    BrokeOff(JobId),
    /// It is being made right now.
    UnderWay,
    /// The key was used for another call.
    Other,
}

impl Store {
    /// Reserves a key for a call that is expected to be answered by `answered_by`, until `expires`: 1 write unit, and
    /// 1 read unit when the key was used before.
    pub async fn reserve_key(
        &self,
        of: &KeyOf,
        fingerprint: &Fingerprint,
        job: JobId,
        now: Moment,
        answered_by: Moment,
        expires: Moment,
    ) -> Result<Reservation, StoreError> {
        let mut item = items::keyed(&of.item_key());
        item.insert(PRINT.into(), items::b(*fingerprint));
        item.insert(JOB.into(), items::b(*job.as_bytes()));
        item.insert(AWAITED.into(), items::n(answered_by.steps()));
        item.insert(ENDS.into(), items::n(expires.steps()));
        // Time to live deletes in its own time, and never early.
        item.insert(EXPIRES.into(), items::n(expires.timestamp().as_second() + 1));
        // The end is compared too, because what has expired may still be there for days.
        let free = "attribute_not_exists(#pk) OR ends <= :now";
        if self.put_if(item.clone(), free, [(":now", items::n(now.steps()))]).await? {
            return Ok(Reservation::New(job));
        }
        let Some(found) = self.get(&of.item_key()).await? else {
            // It was let go of between the two calls.
            return Ok(Reservation::UnderWay);
        };
        if items::bytes(&found, PRINT)? != fingerprint {
            return Ok(Reservation::Other);
        }
        let earlier = items::id(&found, JOB)?;
        if earlier == job {
            // The answer to the first attempt of this very call was lost on the way.
            return Ok(Reservation::New(job));
        }
        if found.contains_key(CODE) {
            let made = items::boolean(&found, MADE)?;
            let shown = match found.get(SHOWN) {
                Some(_) => contacts(items::bytes(&found, SHOWN)?)?,
                None => Vec::new(),
            };
            let (status, job) = (items::number(&found, CODE)?, made.then_some(earlier));
            return Ok(Reservation::Made { status, job, shown });
        }
        let awaited: i64 = items::number(&found, AWAITED)?;
        if awaited > now.steps() {
            return Ok(Reservation::UnderWay);
        }
        // Whoever made the call is gone. Taking the key over keeps the job's identifier, under which it may have begun.
        item.insert(JOB.into(), items::b(*earlier.as_bytes()));
        let seen = [(":awaited", items::n(awaited))];
        let taken = self.put_if(item, "awaited = :awaited AND attribute_not_exists(code)", seen).await?;
        Ok(if taken { Reservation::BrokeOff(earlier) } else { Reservation::UnderWay })
    }

    /// Writes what a call was answered, so that it is answered the same again: 1 write unit per KB, which is one for
    /// each 250 contacts that were listed.
    pub async fn answer_key(
        &self,
        of: &KeyOf,
        job: JobId,
        status: u16,
        made: bool,
        shown: &[ContactId],
    ) -> Result<(), StoreError> {
        let shown: Vec<u8> = shown.iter().flat_map(|id| id.get().to_be_bytes()).collect();
        self.update_if(
            &of.item_key(),
            "SET #code = :code, #made = :made, #shown = :shown",
            Some("#job = :job"),
            [("#code", CODE), ("#made", MADE), ("#job", JOB), ("#shown", SHOWN)]
                .map(|(name, attribute)| (name.to_owned(), attribute.to_owned()))
                .into(),
            [
                (":code".to_owned(), items::n(status)),
                (":made".to_owned(), AttributeValue::Bool(made)),
                (":shown".to_owned(), items::b(shown)),
                (":job".to_owned(), items::b(*job.as_bytes())),
            ]
            .into(),
        )
        .await
        .map(drop)
    }

    /// Lets go of a key whose call changed nothing, so that it can be made again: 1 write unit.
    pub async fn release_key(&self, of: &KeyOf) -> Result<(), StoreError> {
        self.delete(&of.item_key()).await
    }
}
