//! A call: the request and the checks that every handler needs.

mod incoming;

pub use incoming::{BrokenBody, Incoming, NamedUser, Peer};

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lambda_http::http::header::{AUTHORIZATION, IF_MATCH, IF_NONE_MATCH};
use lambda_http::http::{HeaderMap, HeaderName, HeaderValue};
use models::access::{Author, Caller};
use models::answer::Envelope;
use models::directory::{Grant, Scope, User};
use models::invalid::Invalid;
use models::job::JobId;
use models::limits::MAX_IDEMPOTENCY_KEY_BYTES;
use models::values::id::UserId;
use sha2::{Digest as _, Sha256};
use store::idempotency::{Fingerprint, KeptAnswer, KeyOf, Reserved};
use store::keys::TokenHash;

use crate::answer::{Answer, revision_text};
use crate::app::App;
use crate::failure::{Failure, Unmet};
use crate::idempotency::kept_with;
use crate::negotiation::ResponseFormat;

/// An authenticated call.
#[derive(Debug)]
pub struct Call<'a> {
    incoming: Incoming<'a>,
    /// The portal, the user and the scopes of the caller's token.
    pub grant: Grant,
    /// SHA-256 of the caller's token.
    pub token: TokenHash,
    /// The reservation of the call's idempotency key, with the identifier of the job that the call may start.
    reserved: Option<Reserved>,
    /// Whether the caller's user was read and still honours the token.
    is_honoured: Arc<AtomicBool>,
}

/// Checks after a call that its token is still valid.
///
/// A token is cached for a while, and only the caller's user record shows whether the token was revoked since. Handlers
/// read that user together with the rights. If a handler answered without the user, because the request was invalid or
/// the answer needs no rights, this check reads the user.
#[derive(Debug)]
pub(crate) struct TokenCheck<'a> {
    app: &'a App,
    grant: Grant,
    is_honoured: Arc<AtomicBool>,
}

impl TokenCheck<'_> {
    /// Returns the result of the call, or [`Failure::Unauthenticated`] if the caller's token was revoked: 1 read unit,
    /// or none when the handler read the caller.
    pub(crate) async fn hold(&self, result: Result<Answer, Failure>) -> Result<Answer, Failure> {
        // A server error discloses nothing that needs a valid token.
        let tells = result.as_ref().err().is_none_or(|failure| failure.status().is_client_error());
        if !tells || self.is_honoured.load(Ordering::Relaxed) {
            return result;
        }
        match self.app.store.user(&self.grant.portal, self.grant.user).await? {
            Some(user) if user.honours(&self.grant) => result,
            _ => Err(Failure::Unauthenticated),
        }
    }
}

impl<'a> std::ops::Deref for Call<'a> {
    type Target = Incoming<'a>;

    fn deref(&self) -> &Incoming<'a> {
        &self.incoming
    }
}

/// A call's idempotency key, and the fingerprint of its request.
#[derive(Debug)]
pub(crate) struct Idempotency {
    pub(crate) of: KeyOf,
    pub(crate) fingerprint: Fingerprint,
}

impl<'a> Call<'a> {
    /// Authenticates the caller.
    pub(crate) async fn new(mut incoming: Incoming<'a>) -> Result<Self, Failure> {
        let token = token(incoming.request.headers())?.map(store::tokens::hash).ok_or(Failure::Unauthenticated)?;
        let grant = incoming.app.grant(token).await?;
        let grant = grant.filter(|grant| grant.is_current(incoming.now)).ok_or(Failure::Unauthenticated)?;
        if incoming.wanted.shape.envelope == Envelope::OnlyOffice {
            incoming.wanted.zone = Some(incoming.app.time_zone(&grant.portal).await?);
        }
        Ok(Self { incoming, grant, token, reserved: None, is_honoured: Arc::default() })
    }

    /// Checks that the token has the scope.
    pub(crate) fn check(&self, scope: Option<Scope>) -> Result<(), Failure> {
        match scope {
            Some(scope) if !self.grant.allows(scope) => Err(Failure::ScopeMissing(scope)),
            _ => Ok(()),
        }
    }

    /// Returns the format of an answer that shows a job. A job is always shown in ONLYOFFICE's dialect. Costs half a
    /// read unit, unless the portal's zone is cached.
    ///
    /// # Errors
    ///
    /// When the table fails.
    pub async fn wanted_of_job(&self) -> Result<ResponseFormat, Failure> {
        let zone = match &self.wanted.zone {
            Some(zone) => zone.clone(),
            None => self.app.time_zone(&self.grant.portal).await?,
        };
        Ok(ResponseFormat { zone: Some(zone), ..self.wanted.in_onlyoffice() })
    }

    pub(crate) fn token_check(&self) -> TokenCheck<'a> {
        TokenCheck { app: self.app, grant: self.grant.clone(), is_honoured: self.is_honoured.clone() }
    }

    /// Reads the caller as a user of the directory, with its current rights: 1 read unit.
    ///
    /// # Errors
    ///
    /// [`Failure::Unauthenticated`] when the user was removed or the token was revoked.
    pub async fn user(&self) -> Result<User, Failure> {
        self.honoured(self.app.store.user(&self.grant.portal, self.grant.user).await?.as_ref()).cloned()
    }

    /// Reads the caller, with its current rights: 1 read unit.
    ///
    /// # Errors
    ///
    /// [`Failure::Unauthenticated`] when the user was removed or the token was revoked.
    pub async fn caller(&self) -> Result<Caller, Failure> {
        self.user().await.map(|user| user.caller())
    }

    /// Returns the caller from users that were already read.
    ///
    /// # Errors
    ///
    /// [`Failure::Unauthenticated`] when the user was removed or the token was revoked.
    pub fn caller_among(&self, users: &HashMap<UserId, User>) -> Result<Caller, Failure> {
        self.honoured(users.get(&self.grant.user)).map(User::caller)
    }

    fn honoured<'u>(&self, user: Option<&'u User>) -> Result<&'u User, Failure> {
        let user = user.filter(|user| user.honours(&self.grant)).ok_or(Failure::Unauthenticated)?;
        self.is_honoured.store(true, Ordering::Relaxed);
        Ok(user)
    }

    /// Checks the call's preconditions against an access revision.
    pub fn check_revision(&self, revision: Option<JobId>) -> Result<(), Failure> {
        self.check_version(Some(&revision_text(revision)))
    }

    /// Checks the call's preconditions against the current version, which is none if the target does not exist.
    /// `If-Match` compares strongly (RFC 9110, section 13.1.1). The tag of an answer to a `GET` also names the version,
    /// before a dot.
    pub fn check_version(&self, current: Option<&str>) -> Result<(), Failure> {
        let headers = self.request.headers();
        let names_current = |tag: &str| match tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) {
            Some(tag) => tag.split('.').next() == current,
            None => tag == "*" && current.is_some(),
        };
        let tags: Vec<&str> = headers
            .get_all(IF_MATCH)
            .iter()
            .flat_map(|value| value.to_str().unwrap_or_default().split(','))
            .map(str::trim)
            .collect();
        if !tags.is_empty() && !tags.iter().any(|tag| names_current(tag)) {
            let is_weak = |tag: &&str| tag.starts_with("W/") || tag.starts_with("w/");
            let unmet = if tags.iter().any(is_weak) { Unmet::Weak } else { Unmet::Changed };
            return Err(Failure::PreconditionFailed(unmet));
        }
        if current.is_some() && self.must_be_new() {
            return Err(Failure::PreconditionFailed(Unmet::Exists));
        }
        Ok(())
    }

    /// Returns whether the call must only create: `If-None-Match: *`.
    pub fn must_be_new(&self) -> bool {
        self.request.headers().contains_key(IF_NONE_MATCH)
    }

    /// Returns whether the caller prefers an asynchronous answer (RFC 7240).
    pub fn prefers_async(&self) -> bool {
        let values = self.request.headers().get_all(PREFER).iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|preference| preference.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("respond-async"))
    }

    /// Returns the identifier for the job that the call starts.
    pub fn new_job(&self) -> JobId {
        self.reserved.as_ref().map_or_else(|| self.app.jobs.new_id(), |reserved| reserved.job)
    }

    /// Sets the reservation of the call's idempotency key.
    pub(crate) fn reserve(&mut self, reserved: Reserved) {
        self.reserved = Some(reserved);
    }

    /// Encodes the answer that the call is about to give, for the transaction that also writes the call's changes. None
    /// without an idempotency key, or for an answer that does not fit a transaction.
    pub fn keep(&self, answer: &mut Answer) -> Result<Option<KeptAnswer>, Failure> {
        kept_with(self.reserved.as_ref(), answer)
    }

    /// Reads the call's idempotency key and computes the fingerprint of the request.
    pub(crate) fn idempotency(&self) -> Result<Option<Idempotency>, Failure> {
        let mut values = self.request.headers().get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let key = value.to_str().unwrap_or_default().trim();
        let fits = (1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
        if !fits || values.next().is_some() {
            let message = format!(
                "must be given once, as 1 to {MAX_IDEMPOTENCY_KEY_BYTES} visible ASCII characters; a UUID is a good one"
            );
            return Err(Invalid::one("Idempotency-Key", message).into());
        }
        let mut digest = Sha256::new();
        let request = &self.request;
        let (path, query) = (request.uri().path(), self.query_text());
        let values = |name: HeaderName| request.headers().get_all(name).iter().map(HeaderValue::as_bytes);
        let if_match = values(IF_MATCH);
        // The header's name distinguishes a value of `If-None-Match` from the same value of `If-Match`.
        let if_none_match = values(IF_NONE_MATCH).flat_map(|value| [&b"if-none-match"[..], value]);
        let parts = [request.method().as_str().as_bytes(), path.as_bytes(), query.as_bytes(), self.bytes()];
        for part in parts.into_iter().chain(if_match).chain(if_none_match) {
            // The length prefix keeps the end of one part from being read as the beginning of the next.
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let of =
            KeyOf { portal: self.grant.portal.clone(), author: Author::User(self.grant.user), key: key.to_owned() };
        Ok(Some(Idempotency { of, fingerprint: digest.finalize().into() }))
    }
}

const IDEMPOTENCY_KEY: &str = "idempotency-key";

const PREFER: &str = "prefer";

/// Returns the token of `Authorization`, which stands alone or after the word `Bearer`.
fn token(headers: &HeaderMap) -> Result<Option<&str>, Failure> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.any(|other| other != value) {
        return Err(Invalid::one("Authorization", "is given more than once; give it once").into());
    }
    Ok(value.to_str().ok().and_then(|value| token_in(value.trim())))
}

fn token_in(value: &str) -> Option<&str> {
    let token = match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        Some(_) => return None,
        None => value,
    };
    (!token.is_empty()).then_some(token)
}
