//! Idempotency keys: the only place that decides whether a call is new or repeated.
//!
//! A write handler needs a [`WriteCall`]. Only this module creates a `WriteCall`, once it has checked that no earlier
//! call with the same key made changes. A repeated call gets the stored status, body and headers, without contacts that
//! others have since hidden from the caller. If the first call continued as a job, the repeated answer shows the job at
//! the time of the first call, and `Location` leads to the job's current state.

mod stored;

use std::collections::HashSet;

use jiff::SignedDuration;
use lambda_http::http::header::{IF_MATCH, IF_NONE_MATCH};
use lambda_http::http::{HeaderName, HeaderValue};
use models::access::Author;
use models::invalid::Invalid;
use models::job::{Job, Kind};
use models::limits::{self, ANSWERED_MILLIS, IDEMPOTENCY_HOURS, MAX_IDEMPOTENCY_KEY_BYTES};
use models::values::id::JobId;
use sha2::{Digest as _, Sha256};
use store::contacts::AccessState;
use store::idempotency::{Fingerprint, KeyOf, Reservation, Reserved, StoredAnswer};

use crate::answer::{Answer, Preference};
use crate::app::App;
use crate::call::{Attempts, Call};
use crate::endpoint::WriteHandler;
use crate::failure::Failure;
use crate::show::{show_job, show_recorded_change};

pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A call that may change something. No earlier call with the same idempotency key made changes.
///
/// A handler that changes something takes a `WriteCall`:
///
/// ```
/// fn job_of_a_write(call: &api::WriteCall<'_>) -> models::job::JobId {
///     call.new_job()
/// }
///
/// fn engine_of_a_write<'a>(call: &api::WriteCall<'a>) -> &'a jobs::Jobs {
///     &call.app.jobs
/// }
/// ```
///
/// A handler that reads gets no identifier for a job:
///
/// ```compile_fail
/// fn job_of_a_read(call: &api::Call<'_>) -> models::job::JobId {
///     call.new_job()
/// }
/// ```
///
/// A handler that reads does not get the job engine or the store:
///
/// ```compile_fail
/// fn engine_of_a_read<'a>(call: &api::Call<'a>) -> &'a jobs::Jobs {
///     &call.app.jobs
/// }
/// ```
///
/// An endpoint that reads has no write handler:
///
/// ```compile_fail
/// use api::{Answer, Auth, Failure, WriteCall};
/// use futures::FutureExt as _;
///
/// async fn write(call: WriteCall<'_>) -> Result<Answer, Failure> {
///     Ok(Answer::nothing())
/// }
///
/// const AUTH: Auth = Auth::Read(|call| write(call).boxed());
/// ```
#[derive(Debug)]
pub struct WriteCall<'a> {
    /// The store, the job engine and the clock.
    pub app: &'a App,
    call: Call<'a>,
    /// The reservation of the call's idempotency key, with the identifier of the job that the call may start.
    reserved: Option<Reserved>,
}

impl<'a> std::ops::Deref for WriteCall<'a> {
    type Target = Call<'a>;

    fn deref(&self) -> &Call<'a> {
        &self.call
    }
}

impl<'a> WriteCall<'a> {
    fn new(call: Call<'a>, reserved: Option<Reserved>) -> Self {
        Self { app: call.app, call, reserved }
    }

    /// Returns the identifier for the job that the call starts.
    pub fn new_job(&self) -> JobId {
        self.reserved.as_ref().map_or_else(|| self.app.jobs.new_id(), |reserved| reserved.job)
    }

    /// Returns the attempts that the call has for a write that other calls overtake.
    pub fn attempts(&self) -> Attempts {
        Attempts::until(self.call.deadline)
    }

    /// Encodes the call's answer, for the transaction that writes the call's changes. Returns none if the call has no
    /// idempotency key, or if the answer does not fit into a transaction.
    pub fn encode_answer(&self, answer: &mut Answer) -> Result<Option<StoredAnswer>, Failure> {
        let Some(reserved) = &self.reserved else { return Ok(None) };
        let encoded = StoredAnswer::new(reserved.clone(), stored::encode(answer)?);
        answer.is_stored = encoded.is_some();
        Ok(encoded)
    }
}

/// The resource that a write changes. It is a part of the fingerprint of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The resource that the path names.
    Path,
    /// The caller's token. The same key with another token of the user is another request.
    Token,
}

/// Answers a write once. A repeated call with the same idempotency key gets the first answer, and its handler does not
/// run.
pub(crate) async fn answer(call: Call<'_>, target: Target, handler: WriteHandler) -> Result<Answer, Failure> {
    let Some((key, fingerprint)) = key_of(&call, target)? else { return handler(WriteCall::new(call, None)).await };
    let (app, now) = (call.app, call.now);
    let answer_due = now + limits::duration(ANSWERED_MILLIS);
    let valid_until = now + SignedDuration::from_hours(IDEMPOTENCY_HOURS);
    let job = app.jobs.new_id();
    let reserved = match app.store.reserve_key(&key, &fingerprint, job, now, answer_due, valid_until).await? {
        Reservation::New(reserved) => reserved,
        Reservation::InProgress => return Err(Failure::KeyInUse),
        Reservation::Mismatch => return Err(Failure::KeyReused),
        Reservation::Completed { answer, .. } => return replay(&call, &answer).await,
        Reservation::Interrupted(reserved) => {
            if let Some(found) = app.store.job(&call.grant.portal, reserved.job).await? {
                // The interrupted call stored its job, and workers complete that job.
                let answer = show_interrupted(&call, &found).await?;
                store_answer(app, &reserved, &answer).await;
                return Ok(answer);
            }
            reserved
        }
    };
    let result = handler(WriteCall::new(call, Some(reserved.clone()))).await;
    match &result {
        Ok(answer) if answer.is_stored => {}
        Ok(answer) => store_answer(app, &reserved, answer).await,
        // After a failure that may have changed something, the key stays reserved, and a repeated call finds the job.
        // After a failure that changed nothing, the key is released for another attempt.
        Err(failure) if !failure.changed_nothing() => {}
        Err(_) => {
            if let Err(error) = app.store.release_key(&reserved).await {
                tracing::error!(error = &error as &dyn std::error::Error, "idempotency key not released");
            }
        }
    }
    result
}

/// Answers a write whose answer holds a secret. The table keeps no such answer, so an idempotency key is refused.
pub(crate) async fn answer_with_secret(call: Call<'_>, handler: WriteHandler) -> Result<Answer, Failure> {
    call.check_no_idempotency_key()?;
    handler(WriteCall::new(call, None)).await
}

/// Reads the call's idempotency key and computes the fingerprint of the request.
fn key_of(call: &Call<'_>, target: Target) -> Result<Option<(KeyOf, Fingerprint)>, Failure> {
    let mut values = call.request.headers().get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().unwrap_or_default().trim();
    let fits = (1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    if !fits || values.next().is_some() {
        let message =
            format!("must be given once, as 1 to {MAX_IDEMPOTENCY_KEY_BYTES} visible ASCII characters, such as a UUID");
        return Err(Invalid::one("Idempotency-Key", message).into());
    }
    let key = KeyOf { portal: call.grant.portal.clone(), author: Author::User(call.grant.user), key: key.to_owned() };
    Ok(Some((key, fingerprint(call, target))))
}

/// Returns the digest of the method, the path, the query, the body and the preconditions.
fn fingerprint(call: &Call<'_>, target: Target) -> Fingerprint {
    let mut digest = Sha256::new();
    let request = &call.request;
    let (path, query) = (request.uri().path(), call.query_text());
    let values = |name: HeaderName| request.headers().get_all(name).iter().map(HeaderValue::as_bytes);
    let if_match = values(IF_MATCH);
    // The header's name distinguishes a value of `If-None-Match` from the same value of `If-Match`.
    let if_none_match = values(IF_NONE_MATCH).flat_map(|value| [&b"if-none-match"[..], value]);
    let token = (target == Target::Token).then_some(&call.token[..]);
    let parts = [request.method().as_str().as_bytes(), path.as_bytes(), query.as_bytes(), call.bytes()];
    for part in parts.into_iter().chain(if_match).chain(if_none_match).chain(token) {
        // The length prefix separates each part from the next part.
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// Stores an answer with its key. A failed write is only logged, and the call is still answered: the key's reservation
/// expires, and a repeated call finds the changes by their job.
async fn store_answer(app: &App, reserved: &Reserved, answer: &Answer) {
    let written = match stored::encode(answer) {
        Ok(bytes) => app.store.answer_key(reserved, &bytes).await.map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    if let Err(failure) = written {
        tracing::error!(error = %failure, "answer not stored with its idempotency key");
    }
}

/// Returns the answer of a call that was interrupted after it stored its job.
async fn show_interrupted(call: &Call<'_>, job: &Job) -> Result<Answer, Failure> {
    if job.task.kind() == Kind::Contact {
        return match show_recorded_change(call, job).await {
            // The call changed the contact, which was removed later.
            Err(Failure::ContactNotFound(_)) => Answer::started(job.id),
            shown => shown,
        };
    }
    let caller = call.caller().await?;
    // An undo, the run of a preview and a snapshot always run asynchronously, so they apply no preference.
    let is_queued = job.task.apply_of().is_some() || matches!(job.task.kind(), Kind::Undo | Kind::Snapshot);
    let is_applied = !is_queued && call.prefers_async();
    show_job(call, &caller, job, if is_applied { Preference::Applied } else { Preference::NotApplied }).await
}

/// Returns the stored answer, without the contacts that others have since hidden from the caller. Costs at most half a
/// read unit per contact and 4 KB, and 1 read unit for the caller.
async fn replay(call: &Call<'_>, bytes: &[u8]) -> Result<Answer, Failure> {
    let answer = stored::decode(bytes)?;
    let contacts = answer.contacts_shown();
    if contacts.is_empty() {
        return Ok(answer);
    }
    let caller = call.caller().await?;
    if caller.is_admin {
        return Ok(answer);
    }
    // The first call itself may have removed its caller's access to a contact. The repeated answer still shows this
    // contact.
    let is_shown = |state: AccessState, _| answer.set_access(state.job()) || caller.may_see(&state.access);
    let shown = call.app.store.access_with(&call.grant.portal, &contacts, is_shown).await?;
    let mut hidden = HashSet::new();
    for contact in contacts {
        if !*shown.of(contact)? {
            hidden.insert(contact);
        }
    }
    answer.without(&hidden)
}
