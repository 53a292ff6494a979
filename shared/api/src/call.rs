//! A call: the request and the checks that every handler needs.
//!
//! A handler gets one of three calls. A [`PublicCall`] has no caller. A [`Call`] has a caller and only reads. A
//! [`WriteCall`](crate::WriteCall) also changes something.

mod attempts;
mod incoming;
mod reads;

pub use attempts::{Attempts, NextAttempt};
pub use incoming::{BrokenBody, Incoming, NamedUser, Peer, PublicCall};
pub use reads::Reads;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::tz::TimeZone;
use lambda_http::http::HeaderMap;
use lambda_http::http::header::{AUTHORIZATION, IF_NONE_MATCH};
use models::access::Caller;
use models::answer::Envelope;
use models::directory::{Grant, Portal, Scope, User};
use models::invalid::Invalid;
use models::job::JobId;
use models::values::id::UserId;
use store::keys::TokenHash;
use store::tokens::StoredToken;

use crate::answer::response::{RequiredTags, version_in};
use crate::answer::{Answer, revision_text};
use crate::app::App;
use crate::failure::{Failure, Unmet};
use crate::negotiation::ResponseFormat;

/// An authenticated call. The call gives access only to [`Reads`], so its handler cannot change anything.
#[derive(Debug)]
pub struct Call<'a> {
    incoming: Incoming<'a>,
    /// The portal, the user and the scopes of the caller's token.
    pub grant: Grant,
    /// SHA-256 of the caller's token.
    pub token: TokenHash,
    /// True once the caller's user has been read and honours the token.
    is_honoured: Arc<AtomicBool>,
}

/// Checks after a call that its token is still valid.
///
/// A cached token may have been revoked, which only the caller's user record shows. Most handlers read the user record
/// together with the caller's rights. This check reads the record if the handler did not, because the request was
/// invalid or the answer needs no rights.
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
        let discloses = result.as_ref().err().is_none_or(|failure| failure.status().is_client_error());
        if !discloses || self.is_honoured.load(Ordering::Relaxed) {
            return result;
        }
        let user = self.app.store.user(&self.grant.portal, self.grant.user).await?;
        identified(user.filter(|user| user.honours(&self.grant)))?;
        result
    }
}

/// Returns a part of the caller's identity: the token, its grant, the user or the portal. All calls without such a part
/// are refused here.
///
/// # Errors
///
/// [`Failure::Unauthenticated`] if the part is missing.
fn identified<T>(part: Option<T>) -> Result<T, Failure> {
    part.ok_or(Failure::Unauthenticated)
}

/// The caller and the portal, as read from the directory.
#[derive(Debug)]
pub struct CallerInPortal {
    /// The portal.
    pub portal: Portal,
    /// The caller, with its current rights.
    pub caller: Caller,
    /// The caller as a user of the directory.
    pub users: HashMap<UserId, User>,
}

impl<'a> std::ops::Deref for Call<'a> {
    type Target = Incoming<'a>;

    fn deref(&self) -> &Incoming<'a> {
        &self.incoming
    }
}

impl<'a> Call<'a> {
    /// Authenticates the caller.
    pub(crate) async fn new(mut incoming: Incoming<'a>) -> Result<Self, Failure> {
        let token = identified(token(incoming.request.headers())?.map(store::tokens::hash))?;
        let grant = incoming.app.grant(token).await?;
        let grant = identified(grant.filter(|grant| grant.is_current(incoming.now)))?;
        if incoming.format.shape.envelope == Envelope::OnlyOffice {
            incoming.format.zone = Some(incoming.app.time_zone(&grant.portal).await?);
        }
        Ok(Self { incoming, grant, token, is_honoured: Arc::default() })
    }

    /// Checks that the token has the scope.
    pub(crate) fn check_scope(&self, scope: Option<Scope>) -> Result<(), Failure> {
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
    pub async fn job_format(&self) -> Result<ResponseFormat, Failure> {
        Ok(ResponseFormat { zone: Some(self.zone().await?), ..self.format.in_onlyoffice() })
    }

    /// Returns the time zone of the caller's portal: half a read unit, unless the zone is cached.
    ///
    /// # Errors
    ///
    /// When the table fails.
    pub async fn zone(&self) -> Result<TimeZone, Failure> {
        match &self.format.zone {
            Some(zone) => Ok(zone.clone()),
            None => Ok(self.app.time_zone(&self.grant.portal).await?),
        }
    }

    pub(crate) fn token_check(&self) -> TokenCheck<'a> {
        TokenCheck { app: self.app, grant: self.grant.clone(), is_honoured: self.is_honoured.clone() }
    }

    /// Returns the reads that the call may make, all of the caller's portal.
    pub fn reads(&self) -> Reads<'_> {
        Reads::new(self.app, &self.grant.portal)
    }

    /// Reads the caller as a user of the directory, with its current rights: 1 read unit.
    ///
    /// # Errors
    ///
    /// [`Failure::Unauthenticated`] when the user was removed or the token was revoked.
    pub async fn user(&self) -> Result<User, Failure> {
        self.honoured(self.app.store.user(&self.grant.portal, self.grant.user).await?.as_ref()).cloned()
    }

    /// Reads the caller's token, also if the token is cached: 1 read unit, or 2 for a token that a code gave.
    ///
    /// # Errors
    ///
    /// [`Failure::Unauthenticated`] when the token was revoked.
    pub async fn stored_token(&self) -> Result<StoredToken, Failure> {
        identified(self.app.store.token(self.token).await?)
    }

    /// Reads the caller, with its current rights: 1 read unit.
    ///
    /// # Errors
    ///
    /// [`Failure::Unauthenticated`] when the user was removed or the token was revoked.
    pub async fn caller(&self) -> Result<Caller, Failure> {
        self.user().await.map(|user| user.caller())
    }

    /// Reads the caller concurrently with another read: 1 read unit, and the units of the other read.
    ///
    /// # Errors
    ///
    /// The errors of [`Self::caller`] and of the other read.
    pub async fn caller_and<T, E>(&self, read: impl Future<Output = Result<T, E>>) -> Result<(Caller, T), Failure>
    where
        Failure: From<E>,
    {
        futures::try_join!(self.caller(), async { Ok(read.await?) })
    }

    /// Reads the caller and its portal: 1 read unit for each.
    ///
    /// # Errors
    ///
    /// [`Failure::Unauthenticated`] when the portal or the user was removed or the token was revoked.
    pub async fn caller_in_portal(&self) -> Result<CallerInPortal, Failure> {
        let (portal, users) = self.app.store.portal_and_users(&self.grant.portal, [self.grant.user]).await?;
        let caller = self.caller_among(&users)?;
        Ok(CallerInPortal { portal: identified(portal)?, caller, users })
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
        let user = identified(user.filter(|user| user.honours(&self.grant)))?;
        self.is_honoured.store(true, Ordering::Relaxed);
        Ok(user)
    }

    /// Checks the call's preconditions against an access revision.
    pub fn check_revision(&self, revision: Option<JobId>) -> Result<(), Failure> {
        self.check_version(Some(&revision_text(revision)))
    }

    /// Checks the call's preconditions against the current version; `None` if the target does not exist. `If-Match`
    /// compares strongly (RFC 9110, section 13.1.1). In the entity tag of a `GET`, the version stands before the first
    /// dot.
    pub fn check_version(&self, current: Option<&str>) -> Result<(), Failure> {
        let names_current = |tag: &str| Some(version_in(tag)) == current;
        if let Some(unmet) = RequiredTags::of(self.request.headers()).unmet(names_current, current.is_some()) {
            return Err(Failure::PreconditionFailed(unmet));
        }
        if current.is_some() && self.must_be_new() {
            return Err(Failure::PreconditionFailed(Unmet::Exists));
        }
        Ok(())
    }

    /// Returns whether the call may only create its target (`If-None-Match: *`).
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
}

const PREFER: &str = "prefer";

/// Returns the token in `Authorization`. The word `Bearer` before the token is optional.
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
