//! Idempotency keys: a handler never sees a call that was already answered.
//!
//! The answer is stored compressed. A repeated call gets the stored status, body and headers, without contacts that
//! others have since hidden from the caller. The answer of a call that continues as a job shows the job at the time of
//! that call; `Location` leads to its current state.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use jiff::SignedDuration;
use lambda_http::http::{HeaderName, HeaderValue, StatusCode};
use models::answer::{ListEnd, ListWriter, Shape};
use models::directory::Scope;
use models::job::{Job, Kind};
use models::limits::{self, ANSWERED_MILLIS, IDEMPOTENCY_HOURS};
use models::values::id::{ContactId, JobId};
use serde::{Deserialize, Serialize};
use store::contacts::AccessState;
use store::idempotency::{KeptAnswer, Reservation, Reserved};

use crate::answer::{Answer, Item, Listed, Veiled};
use crate::call::Call;
use crate::contacts::{accepted, show_made};
use crate::endpoint::{Endpoint, Handler};
use crate::failure::Failure;
use crate::negotiation;

/// Answers a call once. A repeated call with the same idempotency key gets the first answer.
pub(crate) async fn answer(mut call: Call<'_>, endpoint: &Endpoint, handler: Handler) -> Result<Answer, Failure> {
    let scope = endpoint.scope();
    call.check(scope)?;
    call.check_received(endpoint)?;
    // Repeating a read or a sign-out has no further effect, so neither needs a key.
    let key = if scope == Some(Scope::Write) { call.idempotency()? } else { None };
    let Some(key) = key else { return handler(call).await };
    let (store, now, job) = (&call.app.store, call.now, call.new_job());
    let awaited = now + limits::duration(ANSWERED_MILLIS);
    let ends = now + SignedDuration::from_hours(IDEMPOTENCY_HOURS);
    let reserved = match store.reserve_key(&key.of, &key.fingerprint, job, now, awaited, ends).await? {
        Reservation::New(reserved) => reserved,
        Reservation::InProgress => return Err(Failure::KeyInUse),
        Reservation::Mismatch => return Err(Failure::KeyReused),
        Reservation::Completed { answer, .. } => return replay(&call, &answer).await,
        Reservation::Interrupted(reserved) => {
            if let Some(found) = store.job(&call.grant.portal, reserved.job).await? {
                // The interrupted call stored its job, and workers complete that job.
                let answer = interrupted(&call, &found).await?;
                keep(call.app, &reserved, &answer).await;
                return Ok(answer);
            }
            reserved
        }
    };
    let app = call.app;
    call.reserve(reserved.clone());
    let result = handler(call).await;
    match &result {
        Ok(answer) if answer.is_kept => {}
        Ok(answer) => keep(app, &reserved, answer).await,
        // A failure that may have changed something keeps its key: a repeated call then finds the job. A failure that
        // changed nothing releases the key for another attempt.
        Err(failure) if !failure.changed_nothing() => {}
        Err(_) => {
            if let Err(error) = app.store.release_key(&reserved).await {
                tracing::error!(error = &error as &dyn std::error::Error, "idempotency key not released");
            }
        }
    }
    result
}

/// Stores an answer with its key. A failed write is only logged, and the call is still answered: the key's reservation
/// expires, and a repeated call finds the changes by their job.
async fn keep(app: &crate::App, reserved: &Reserved, answer: &Answer) {
    let kept = match encode(answer) {
        Ok(bytes) => app.store.answer_key(reserved, &bytes).await.map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    if let Err(failure) = kept {
        tracing::error!(error = %failure, "answer not kept with its idempotency key");
    }
}

/// Encodes the answer for the transaction that also writes the call's changes. None without a key, or when the answer
/// does not fit a transaction.
pub(crate) fn kept_with(reserved: Option<&Reserved>, answer: &mut Answer) -> Result<Option<KeptAnswer>, Failure> {
    let Some(reserved) = reserved else { return Ok(None) };
    let kept = KeptAnswer::new(reserved.clone(), encode(answer)?);
    answer.is_kept = kept.is_some();
    Ok(kept)
}

/// Returns the answer of a call that was interrupted after it stored its job.
async fn interrupted(call: &Call<'_>, job: &Job) -> Result<Answer, Failure> {
    if job.task.kind() == Kind::Contact {
        return match show_made(call, job).await {
            // The contact was removed since, but the change had been made.
            Err(Failure::ContactNotFound(_)) => Answer::started(job.id),
            shown => shown,
        };
    }
    // An undo always runs asynchronously, so it applies no preference.
    let caller = call.caller().await?;
    accepted(call, &caller, job, job.task.kind() != Kind::Undo && call.prefers_async()).await
}

/// Returns the stored answer, without the contacts that others have since hidden from the caller. At most half a read
/// unit per contact and 4 KB, and 1 read unit for the caller.
async fn replay(call: &Call<'_>, kept: &[u8]) -> Result<Answer, Failure> {
    let answer = decode(kept)?;
    let contacts = answer.shows();
    if contacts.is_empty() {
        return Ok(answer);
    }
    let caller = call.caller().await?;
    if caller.is_admin {
        return Ok(answer);
    }
    // The call itself may have removed its caller's access. Its answer still shows these contacts.
    let is_shown = |state: AccessState, _| answer.made(state.revision) || caller.may_see(&state.access);
    let shown = call.app.store.access_with(&call.grant.portal, &contacts, is_shown).await?;
    let mut hidden = HashSet::new();
    for contact in contacts {
        if !*shown.of(contact)? {
            hidden.insert(contact);
        }
    }
    answer.without(&hidden)
}

/// A stored answer without its bodies.
#[derive(Serialize, Deserialize)]
struct Head {
    status: u16,
    headers: Vec<(String, String)>,
    content_type: String,
    revision: Option<String>,
    job: Option<JobId>,
    /// The length of the body in bytes; the veiled body follows it.
    body: usize,
    list: Option<HeadOfList>,
    veiled: Option<ContactId>,
}

#[derive(Serialize, Deserialize)]
struct HeadOfList {
    shape: Shape,
    end: ListEnd,
    items: Vec<(ContactId, usize, usize)>,
}

/// The bytes of the length prefix of the head.
const LENGTH_BYTES: usize = size_of::<u32>();

fn encode(answer: &Answer) -> Result<Vec<u8>, Failure> {
    let not_kept = |error: &dyn std::fmt::Display| Failure::Internal(format!("an answer is not kept: {error}"));
    let text = |value: &HeaderValue| value.to_str().map(str::to_owned).map_err(|error| not_kept(&error));
    let headers = answer.headers.iter().map(|(name, value)| Ok((name.as_str().to_owned(), text(value)?)));
    let list = answer.listed.as_ref().map(|listed| HeadOfList {
        shape: listed.shape,
        end: listed.end,
        items: listed.items.iter().map(|item| (item.contact, item.start, item.end)).collect(),
    });
    let head = Head {
        status: answer.status.as_u16(),
        headers: headers.collect::<Result<_, Failure>>()?,
        content_type: answer.content_type.to_owned(),
        revision: answer.revision.clone(),
        job: answer.job,
        body: answer.body.len(),
        list,
        veiled: answer.veiled.as_ref().map(|veiled| veiled.contact),
    };
    let head = serde_json::to_vec(&head).map_err(|error| not_kept(&error))?;
    let length = u32::try_from(head.len()).map_err(|error| not_kept(&error))?;
    let veiled = answer.veiled.as_ref().map_or(&[][..], |veiled| &veiled.body);
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    for part in [&length.to_be_bytes()[..], &head, &answer.body, veiled] {
        encoder.write_all(part).map_err(|error| not_kept(&error))?;
    }
    encoder.finish().map_err(|error| not_kept(&error))
}

fn decode(kept: &[u8]) -> Result<Answer, Failure> {
    let corrupt = || Failure::Internal("a kept answer does not read back".into());
    let mut bytes = Vec::new();
    DeflateDecoder::new(kept).read_to_end(&mut bytes).map_err(|_| corrupt())?;
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>().ok_or_else(corrupt)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| corrupt())?;
    let (head, rest) = rest.split_at_checked(length).ok_or_else(corrupt)?;
    let head: Head = serde_json::from_slice(head).map_err(|_| corrupt())?;
    let (body, veiled) = rest.split_at_checked(head.body).ok_or_else(corrupt)?;
    let header = |(name, value): (String, String)| {
        let name = HeaderName::try_from(name).map_err(|_| corrupt())?;
        Ok((name, HeaderValue::try_from(value).map_err(|_| corrupt())?))
    };
    let listed = head.list.map(|list| Listed {
        shape: list.shape,
        end: list.end,
        items: list.items.into_iter().map(|(contact, start, end)| Item { contact, start, end }).collect(),
    });
    Ok(Answer {
        status: StatusCode::from_u16(head.status).map_err(|_| corrupt())?,
        headers: head.headers.into_iter().map(header).collect::<Result<_, Failure>>()?,
        content_type: negotiation::content_type(&head.content_type).ok_or_else(corrupt)?,
        revision: head.revision,
        job: head.job,
        listed,
        veiled: head.veiled.map(|contact| Veiled { contact, body: veiled.to_vec() }),
        body: body.to_vec(),
        is_kept: true,
    })
}

impl Answer {
    /// Returns the contacts that the answer shows.
    fn shows(&self) -> Vec<ContactId> {
        let listed = self.listed.iter().flat_map(|listed| &listed.items).map(|item| item.contact);
        listed.chain(self.veiled.iter().map(|veiled| veiled.contact)).collect()
    }

    /// Returns whether the call itself set the access that has this revision.
    fn made(&self, revision: Option<JobId>) -> bool {
        self.job.is_some() && self.job == revision
    }

    /// Returns the answer without these contacts.
    fn without(mut self, hidden: &HashSet<ContactId>) -> Result<Self, Failure> {
        if hidden.is_empty() {
            return Ok(self);
        }
        if let Some(Veiled { body, .. }) = self.veiled.take_if(|veiled| hidden.contains(&veiled.contact)) {
            self.body = body;
        }
        if let Some(listed) = &self.listed {
            let mut list = ListWriter::new(listed.shape, None, None, usize::MAX);
            for item in listed.items.iter().filter(|item| !hidden.contains(&item.contact)) {
                list.push_written(self.body.get(item.start..item.end).unwrap_or_default());
            }
            let list = list.finish(&listed.end).map_err(|error| Failure::Internal(error.to_string()))?;
            self.body = list.0;
        }
        Ok(self)
    }
}
