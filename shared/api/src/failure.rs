//! Everything that keeps a call from its answer, and the one place that turns it into HTTP.

mod message;

use std::error::Error as _;

use jobs::{RunError, StartError};
use lambda_http::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use lambda_http::http::{HeaderName, HeaderValue, StatusCode};
use models::directory::Scope;
use models::invalid::Invalid;
use models::job::JobId;
use models::limits::{OPEN_JOBS_RETRY_SECONDS, SIGN_IN_RETRY_SECONDS};
use models::rule::RuleName;
use models::sign_in::Locked;
use models::values::id::{ContactId, UserId};
use store::StoreError;
use store::listing::ListError;

/// Why a precondition does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// `If-Match` names another version than the current one.
    Changed,
    /// `If-Match` names no strong tag that matches, but a weak tag, which never matches.
    Weak,
    /// `If-None-Match: *` asks for something new, and there is something.
    Exists,
}

/// Why a call is not answered as asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No token, or one that is unknown, expired or revoked.
    #[error("not authenticated")]
    Unauthenticated,
    /// No user has this name and this password.
    #[error("sign-in refused")]
    SignInRefused,
    /// Too many attempts to sign in have failed.
    #[error("sign-in locked")]
    SignInLocked(Locked),
    /// So many others sign in that this sign-in would wait for seconds.
    #[error("too many sign-ins at once")]
    SignInBusy,
    /// A page of an origin that is not named asked to sign a user in.
    #[error("foreign origin")]
    OriginForbidden,
    /// The token lacks a scope.
    #[error("the token lacks the scope {}", .0.name())]
    ScopeMissing(Scope),
    /// The request cannot be read.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Managers that are no users of the portal.
    #[error("{} unknown managers", .0.len())]
    UnknownManagers(Vec<UserId>),
    /// The caller sees no such contact.
    #[error("no contact {0}")]
    ContactNotFound(ContactId),
    /// The caller sees the contact but may not edit it.
    #[error("contact {0} may not be edited")]
    EditForbidden(ContactId),
    /// The caller sees no such contacts, of several that were named.
    #[error("{} contacts not found", .0.len())]
    ContactsNotFound(Vec<ContactId>),
    /// The caller may not edit these contacts, of several that were named; each of them it sees.
    #[error("{} contacts may not be edited", .0.len())]
    EditsForbidden(Vec<ContactId>),
    /// A precondition of the request does not hold.
    #[error("precondition failed: {0:?}")]
    PreconditionFailed(Unmet),
    /// The body is of a type that is not taken.
    #[error("unsupported media type")]
    UnsupportedMediaType {
        /// The type that `Content-Type` names.
        named: String,
    },
    /// The body is compressed, or said to be.
    #[error("unsupported content encoding")]
    UnsupportedEncoding(String),
    /// The body is longer than is taken.
    #[error("body too large")]
    BodyTooLarge,
    /// The portal has no such user.
    #[error("user {0} not found")]
    UserNotFound(String),
    /// No endpoint has this path.
    #[error("no such endpoint")]
    RouteNotFound,
    /// The path has an endpoint, but not for this method.
    #[error("method not allowed")]
    MethodNotAllowed(String),
    /// The name in `Host` is none under which the server answers.
    #[error("host not allowed")]
    HostNotAllowed,
    /// The body did not arrive in time.
    #[error("request timeout")]
    RequestTimeout,
    /// The server has as many connections as it serves at the same time.
    #[error("too many connections")]
    TooManyConnections,
    /// More contacts would be changed than `maxAffected` allows.
    #[error("{would_change} contacts would be changed")]
    TooManyAffected {
        /// How many would be.
        would_change: u64,
        /// How many may be.
        allowed: u64,
    },
    /// The caller has as many open jobs as there may be.
    #[error("too many open jobs")]
    TooManyOpenJobs,
    /// The matches could not be counted in the time of one call; nothing was written.
    #[error("not counted in time")]
    NotCounted,
    /// The list could not be read in the time of one call.
    #[error("not listed in time")]
    NotListed,
    /// The caller sees no such job.
    #[error("no job {0}")]
    JobNotFound(JobId),
    /// A job that is still at work cannot be undone.
    #[error("job {0} is not over")]
    JobNotOver(JobId),
    /// A job that is over cannot be stopped.
    #[error("job {0} is over")]
    JobOver(JobId),
    /// It is no longer kept what was before the job.
    #[error("the changes of job {0} have expired")]
    ChangesExpired(JobId),
    /// The caller sees no such standing rule.
    #[error("no rule {0}")]
    RuleNotFound(RuleName),
    /// The name is that of a rule that the caller may not see.
    #[error("rule {0} is someone else's")]
    RuleForbidden(RuleName),
    /// There are as many standing rules as there may be.
    #[error("too many rules")]
    TooManyRules(RuleBound),
    /// Others wrote the same rule.
    #[error("rule {0} is being changed by others")]
    RuleContended(RuleName),
    /// The idempotency key was used for another call.
    #[error("idempotency key reused")]
    KeyReused,
    /// The call with this idempotency key is being answered.
    #[error("idempotency key in use")]
    KeyInUse,
    /// Others wrote the same contact, again and again.
    #[error("contact {0} is being changed by others")]
    Contended(ContactId),
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something is wrong here.
    #[error("{0}")]
    Internal(String),
}

/// A bound on the number of standing rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleBound {
    /// That of one user.
    OfUser,
    /// That of the portal.
    OfPortal,
}

/// Every status that a failure can have, with the stable word for what happened.
pub const KINDS: &[(u16, &str)] = &[
    (400, "invalid-request"),
    (400, "unknown-manager"),
    (401, "sign-in-refused"),
    (401, "unauthenticated"),
    (403, "edit-forbidden"),
    (403, "origin-forbidden"),
    (403, "rule-forbidden"),
    (403, "scope-missing"),
    (404, "contact-not-found"),
    (404, "endpoint-not-found"),
    (404, "job-not-found"),
    (404, "rule-not-found"),
    (404, "user-not-found"),
    (405, "method-not-allowed"),
    (408, "request-timeout"),
    (409, "idempotency-key-in-use"),
    (409, "job-not-over"),
    (409, "job-over"),
    (409, "rule-contended"),
    (409, "too-many-rules"),
    (410, "changes-expired"),
    (412, "revision-changed"),
    (413, "body-too-large"),
    (415, "unsupported-media-type"),
    (421, "host-not-allowed"),
    (422, "idempotency-key-reused"),
    (422, "too-many-affected"),
    (429, "sign-in-locked"),
    (429, "too-many-open-jobs"),
    (500, "internal-error"),
    (503, "contended"),
    (503, "database-unavailable"),
    (503, "not-counted-in-time"),
    (503, "not-listed-in-time"),
    (503, "sign-in-busy"),
    (503, "throttled"),
    (503, "too-many-connections"),
];

/// Seconds after which a call that met an overload may come again.
const RETRY_SECONDS: u64 = 1;

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::TooManyOpenJobs => Self::TooManyOpenJobs,
            StartError::Store(error) => Self::Store(error),
        }
    }
}

impl Failure {
    /// A run that was not begun.
    pub fn from_run(error: RunError, allowed: Option<u64>) -> Self {
        match error {
            RunError::TooManyAffected { would_change } => {
                Self::TooManyAffected { would_change, allowed: allowed.unwrap_or_default() }
            }
            RunError::NotCounted => Self::NotCounted,
            RunError::UserRemoved => Self::Unauthenticated,
            RunError::TooManyOpenJobs => Self::TooManyOpenJobs,
            RunError::Store(error) => Self::Store(error),
        }
    }

    /// A list that was not read.
    pub fn from_listing(error: ListError) -> Self {
        match error {
            ListError::NotInTime => Self::NotListed,
            ListError::Store(error) => Self::Store(error),
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated | Self::SignInRefused => StatusCode::UNAUTHORIZED,
            Self::SignInLocked(_) | Self::TooManyOpenJobs => StatusCode::TOO_MANY_REQUESTS,
            Self::OriginForbidden
            | Self::ScopeMissing(_)
            | Self::EditForbidden(_)
            | Self::EditsForbidden(_)
            | Self::RuleForbidden(_) => StatusCode::FORBIDDEN,
            Self::Invalid(_) | Self::UnknownManagers(_) => StatusCode::BAD_REQUEST,
            Self::ContactNotFound(_)
            | Self::ContactsNotFound(_)
            | Self::RouteNotFound
            | Self::UserNotFound(_)
            | Self::JobNotFound(_)
            | Self::RuleNotFound(_) => StatusCode::NOT_FOUND,
            Self::JobNotOver(_)
            | Self::JobOver(_)
            | Self::KeyInUse
            | Self::RuleContended(_)
            | Self::TooManyRules(_) => StatusCode::CONFLICT,
            Self::ChangesExpired(_) => StatusCode::GONE,
            Self::PreconditionFailed(_) => StatusCode::PRECONDITION_FAILED,
            Self::UnsupportedMediaType { .. } | Self::UnsupportedEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::HostNotAllowed => StatusCode::MISDIRECTED_REQUEST,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooManyAffected { .. } | Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotCounted | Self::NotListed | Self::SignInBusy | Self::Contended(_) | Self::TooManyConnections => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Store(error) if error.is_transient() => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(_) | Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable word for what happened.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::SignInRefused => "sign-in-refused",
            Self::SignInLocked(_) => "sign-in-locked",
            Self::SignInBusy => "sign-in-busy",
            Self::OriginForbidden => "origin-forbidden",
            Self::ScopeMissing(_) => "scope-missing",
            Self::Invalid(_) => "invalid-request",
            Self::UnknownManagers(_) => "unknown-manager",
            Self::ContactNotFound(_) | Self::ContactsNotFound(_) => "contact-not-found",
            Self::EditForbidden(_) | Self::EditsForbidden(_) => "edit-forbidden",
            Self::PreconditionFailed(_) => "revision-changed",
            Self::UnsupportedMediaType { .. } | Self::UnsupportedEncoding(_) => "unsupported-media-type",
            Self::BodyTooLarge => "body-too-large",
            Self::RouteNotFound => "endpoint-not-found",
            Self::UserNotFound(_) => "user-not-found",
            Self::MethodNotAllowed(_) => "method-not-allowed",
            Self::HostNotAllowed => "host-not-allowed",
            Self::RequestTimeout => "request-timeout",
            Self::TooManyConnections => "too-many-connections",
            Self::TooManyAffected { .. } => "too-many-affected",
            Self::TooManyOpenJobs => "too-many-open-jobs",
            Self::NotCounted => "not-counted-in-time",
            Self::NotListed => "not-listed-in-time",
            Self::JobNotFound(_) => "job-not-found",
            Self::JobNotOver(_) => "job-not-over",
            Self::JobOver(_) => "job-over",
            Self::ChangesExpired(_) => "changes-expired",
            Self::RuleNotFound(_) => "rule-not-found",
            Self::RuleForbidden(_) => "rule-forbidden",
            Self::RuleContended(_) => "rule-contended",
            Self::TooManyRules(_) => "too-many-rules",
            Self::KeyReused => "idempotency-key-reused",
            Self::KeyInUse => "idempotency-key-in-use",
            Self::Contended(_) => "contended",
            Self::Store(StoreError::Throttled { .. }) => "throttled",
            Self::Store(StoreError::Contended { .. }) => "contended",
            Self::Store(StoreError::Unavailable { .. }) => "database-unavailable",
            Self::Store(_) | Self::Internal(_) => "internal-error",
        }
    }

    /// The headers that belong to it.
    pub(crate) fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::new();
        match self {
            Self::SignInBusy => headers.push((RETRY_AFTER, HeaderValue::from(SIGN_IN_RETRY_SECONDS))),
            Self::SignInLocked(locked) => headers.push((RETRY_AFTER, HeaderValue::from(locked.seconds()))),
            Self::TooManyOpenJobs => headers.push((RETRY_AFTER, HeaderValue::from(OPEN_JOBS_RETRY_SECONDS))),
            Self::Unauthenticated | Self::SignInRefused => {
                headers.push((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"crm-access\"")));
            }
            Self::MethodNotAllowed(allowed) => {
                headers.extend(HeaderValue::from_str(allowed).map(|value| (lambda_http::http::header::ALLOW, value)));
            }
            _ => {}
        }
        if matches!(self, Self::Contended(_) | Self::KeyInUse | Self::RuleContended(_) | Self::TooManyConnections)
            || matches!(self, Self::Store(error) if error.is_transient())
        {
            headers.push((RETRY_AFTER, HeaderValue::from(RETRY_SECONDS)));
        }
        headers
    }

    /// Whether it is sure that nothing was changed.
    pub(crate) fn changed_nothing(&self) -> bool {
        matches!(self, Self::NotCounted | Self::Contended(_)) || !self.status().is_server_error()
    }

    /// Puts into the log what the caller is not shown.
    pub fn log(&self) {
        // That others sign in is no fault of the service, and whoever makes it so must not fill the log.
        if self.status().is_server_error() && !matches!(self, Self::SignInBusy) {
            let mut causes = Vec::new();
            let mut cause = self.source();
            while let Some(error) = cause {
                causes.push(error.to_string());
                cause = error.source();
            }
            tracing::error!(kind = self.kind(), error = %self, causes = causes.join(": "), "call failed");
        }
    }
}

#[cfg(test)]
mod tests;
