//! All failures of a call, and the only place that maps them to HTTP.

mod message;

use std::error::Error as _;

use jobs::{RunError, StartError};
use lambda_http::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use lambda_http::http::{HeaderName, HeaderValue, StatusCode};
use models::directory::Scope;
use models::invalid::Invalid;
use models::job::JobId;
use models::limits::{OPEN_JOBS_RETRY_SECONDS, RESHARDING_RETRY_SECONDS, SIGN_IN_RETRY_SECONDS};
use models::rule::RuleName;
use models::sign_in::Locked;
use models::values::id::{ContactId, UserId};
use store::StoreError;
use store::listing::ListError;

/// The reason why a precondition does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// `If-Match` does not name the current version.
    Changed,
    /// `If-Match` does not name the current version, and has a weak tag. A weak tag never matches.
    Weak,
    /// `If-None-Match: *` demands that the target does not exist, but it exists.
    Exists,
}

/// The reason why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No token, or a token that is unknown, expired or revoked.
    #[error("not authenticated")]
    Unauthenticated,
    /// No user has this name and this password.
    #[error("sign-in refused")]
    SignInRefused,
    /// No user can sign in with this one-time code.
    #[error("sign-in code refused")]
    CodeRefused,
    /// Too many attempts to sign in have failed.
    #[error("sign-in locked")]
    SignInLocked(Locked),
    /// The maximum number of sign-ins is in progress, or earlier sign-ins take too long.
    #[error("too many sign-ins at once")]
    SignInBusy,
    /// A web page of an origin that is not allowed tried to sign a user in.
    #[error("foreign origin")]
    OriginForbidden,
    /// The token lacks a scope.
    #[error("the token lacks the scope {}", .0.name())]
    ScopeMissing(Scope),
    /// The request is invalid.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Some managers are not users of the portal.
    #[error("{} unknown managers", users.len())]
    UnknownManagers {
        /// The field that names the managers.
        field: &'static str,
        /// The unknown managers.
        users: Vec<UserId>,
    },
    /// The contact does not exist, or the caller may not see it.
    #[error("no contact {0}")]
    ContactNotFound(ContactId),
    /// The caller may see but not edit the contact.
    #[error("contact {0} may not be edited")]
    EditForbidden(ContactId),
    /// Some of the named contacts do not exist, or the caller may not see them.
    #[error("{} contacts not found", .0.len())]
    ContactsNotFound(Vec<ContactId>),
    /// The caller may see all named contacts, but may not edit the contacts in this list.
    #[error("{} contacts may not be edited", .0.len())]
    EditsForbidden(Vec<ContactId>),
    /// These contacts would get more managers than a list may hold.
    #[error("{} contacts would have too many managers", .0.len())]
    TooManyManagers(Vec<ContactId>),
    /// Only administrators may make this call.
    #[error("not an administrator")]
    AdministratorsOnly,
    /// No snapshot of the portal has ended yet.
    #[error("no snapshot")]
    SnapshotNotFound,
    /// Only administrators may ask for the reasons of another user's rights.
    #[error("reasons of another user's rights")]
    ReasonsForbidden,
    /// A precondition of the request does not hold.
    #[error("precondition failed: {0:?}")]
    PreconditionFailed(Unmet),
    /// The media type of the body is not supported.
    #[error("unsupported media type")]
    UnsupportedMediaType {
        /// The type that `Content-Type` names.
        named: String,
    },
    /// `Content-Encoding` names a compression.
    #[error("unsupported content encoding")]
    UnsupportedEncoding(String),
    /// The body exceeds the maximum size.
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
    /// The server does not answer under the name in `Host`.
    #[error("host not allowed")]
    HostNotAllowed,
    /// The body did not arrive in time.
    #[error("request timeout")]
    RequestTimeout,
    /// The server has reached its maximum number of connections.
    #[error("too many connections")]
    TooManyConnections,
    /// The server cannot read the head of the request as HTTP/1.1.
    #[error("the head of the request cannot be read")]
    UnreadableHead,
    /// The head of the request is longer than the server accepts, or has too many headers.
    #[error("the head of the request is too long")]
    HeadTooLong,
    /// More contacts would be changed than `maxAffected` allows.
    #[error("{would_change} contacts would be changed")]
    TooManyAffected {
        /// The number of contacts that would be changed.
        would_change: u64,
        /// The maximum that the call allows.
        allowed: u64,
    },
    /// The caller has reached the maximum number of open jobs.
    #[error("too many open jobs")]
    TooManyOpenJobs,
    /// The caller has reached the maximum number of previews, and none of them has ended.
    #[error("too many previews")]
    TooManyPreviews,
    /// The portal's number of shards is being changed, and no run by filter starts meanwhile.
    #[error("the portal's number of shards is being changed")]
    Resharding,
    /// The contacts could not be counted within the time of one call; nothing was written.
    #[error("not counted in time")]
    NotCounted,
    /// The list could not be read within the time of one call.
    #[error("not listed in time")]
    NotListed,
    /// The job does not exist, or the caller may not see it.
    #[error("no job {0}")]
    JobNotFound(JobId),
    /// The job has not ended, and only an ended job can be undone.
    #[error("job {0} has not ended")]
    JobNotOver(JobId),
    /// The job has ended and can no longer be cancelled.
    #[error("job {0} has ended")]
    JobOver(JobId),
    /// The access from before the job is no longer stored.
    #[error("the changes of job {0} have expired")]
    ChangesExpired(JobId),
    /// The job is a preview or a snapshot, which changed no contact, and cannot be undone.
    #[error("job {0} changed no contact, and cannot be undone")]
    NothingToUndo(JobId),
    /// The preview belongs to another user, and only its user may apply a preview.
    #[error("preview {0} belongs to another user")]
    PreviewNotFound(JobId),
    /// Only a preview can be applied.
    #[error("job {0} is not a preview")]
    NotAPreview(JobId),
    /// The preview has not ended, or has ended early.
    #[error("preview {0} is not finished")]
    PreviewNotFinished(JobId),
    /// The preview can no longer be applied.
    #[error("preview {0} has expired")]
    PreviewExpired(JobId),
    /// The standing rule does not exist, or the caller may not see it.
    #[error("no rule {0}")]
    RuleNotFound(RuleName),
    /// A rule that the caller may not see has this name.
    #[error("rule {0} belongs to another user")]
    RuleForbidden(RuleName),
    /// The maximum number of standing rules is reached.
    #[error("too many rules")]
    TooManyRules(RuleBound),
    /// Others changed the same rule at the same time.
    #[error("another call changed rule {0}")]
    RuleContended(RuleName),
    /// The idempotency key was used for another call.
    #[error("idempotency key reused")]
    KeyReused,
    /// Another call with this idempotency key is in progress.
    #[error("idempotency key in use")]
    KeyInUse,
    /// Others changed the same contact at every attempt.
    #[error("other calls changed contact {0} at every attempt")]
    Contended(ContactId),
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An internal error.
    #[error("{0}")]
    Internal(String),
}

/// A bound on the number of standing rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleBound {
    /// The bound for one user.
    OfUser,
    /// The bound for the portal.
    OfPortal,
}

/// The HTTP status and the stable name of every failure.
pub const KINDS: &[(u16, &str)] = &[
    (400, "invalid-request"),
    (400, "unknown-manager"),
    (401, "sign-in-refused"),
    (401, "unauthenticated"),
    (403, "administrators-only"),
    (403, "edit-forbidden"),
    (403, "origin-forbidden"),
    (403, "reasons-forbidden"),
    (403, "rule-forbidden"),
    (403, "scope-missing"),
    (404, "contact-not-found"),
    (404, "endpoint-not-found"),
    (404, "job-not-found"),
    (404, "rule-not-found"),
    (404, "snapshot-not-found"),
    (404, "user-not-found"),
    (405, "method-not-allowed"),
    (408, "request-timeout"),
    (409, "idempotency-key-in-use"),
    (409, "job-not-over"),
    (409, "job-over"),
    (409, "not-a-preview"),
    (409, "nothing-to-undo"),
    (409, "preview-not-finished"),
    (409, "rule-contended"),
    (409, "too-many-managers"),
    (409, "too-many-rules"),
    (410, "changes-expired"),
    (410, "preview-expired"),
    (412, "revision-changed"),
    (413, "body-too-large"),
    (415, "unsupported-media-type"),
    (421, "host-not-allowed"),
    (422, "idempotency-key-reused"),
    (422, "too-many-affected"),
    (429, "sign-in-locked"),
    (429, "too-many-open-jobs"),
    (429, "too-many-previews"),
    (431, "head-too-long"),
    (500, "internal-error"),
    (503, "contended"),
    (503, "database-unavailable"),
    (503, "not-counted-in-time"),
    (503, "not-listed-in-time"),
    (503, "portal-resharding"),
    (503, "sign-in-busy"),
    (503, "throttled"),
    (503, "too-many-connections"),
];

/// The seconds after which a caller may retry a call that failed by overload or contention.
const RETRY_SECONDS: u64 = 1;

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::TooManyOpenJobs => Self::TooManyOpenJobs,
            StartError::TooManyPreviews => Self::TooManyPreviews,
            StartError::Store(error) => Self::Store(error),
        }
    }
}

impl Failure {
    /// Converts the error of a run that did not start.
    pub fn from_run(error: RunError, allowed: Option<u64>) -> Self {
        match error {
            RunError::TooManyAffected { would_change } => {
                Self::TooManyAffected { would_change, allowed: allowed.unwrap_or_default() }
            }
            RunError::NotCounted => Self::NotCounted,
            RunError::UserRemoved => Self::Unauthenticated,
            RunError::NotStarted(error) => error.into(),
            RunError::Store(error) => Self::Store(error),
        }
    }

    /// Converts the error of a list that was not read.
    pub fn from_listing(error: ListError) -> Self {
        match error {
            ListError::NotInTime => Self::NotListed,
            ListError::Store(error) => Self::Store(error),
        }
    }

    /// Returns the HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated | Self::SignInRefused | Self::CodeRefused => StatusCode::UNAUTHORIZED,
            Self::SignInLocked(_) | Self::TooManyOpenJobs | Self::TooManyPreviews => StatusCode::TOO_MANY_REQUESTS,
            Self::OriginForbidden
            | Self::ScopeMissing(_)
            | Self::EditForbidden(_)
            | Self::EditsForbidden(_)
            | Self::AdministratorsOnly
            | Self::ReasonsForbidden
            | Self::RuleForbidden(_) => StatusCode::FORBIDDEN,
            Self::Invalid(_) | Self::UnknownManagers { .. } | Self::UnreadableHead => StatusCode::BAD_REQUEST,
            Self::HeadTooLong => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::ContactNotFound(_)
            | Self::ContactsNotFound(_)
            | Self::RouteNotFound
            | Self::UserNotFound(_)
            | Self::JobNotFound(_)
            | Self::PreviewNotFound(_)
            | Self::RuleNotFound(_)
            | Self::SnapshotNotFound => StatusCode::NOT_FOUND,
            Self::JobNotOver(_)
            | Self::JobOver(_)
            | Self::NothingToUndo(_)
            | Self::NotAPreview(_)
            | Self::PreviewNotFinished(_)
            | Self::KeyInUse
            | Self::RuleContended(_)
            | Self::TooManyManagers(_)
            | Self::TooManyRules(_) => StatusCode::CONFLICT,
            Self::ChangesExpired(_) | Self::PreviewExpired(_) => StatusCode::GONE,
            Self::PreconditionFailed(_) => StatusCode::PRECONDITION_FAILED,
            Self::UnsupportedMediaType { .. } | Self::UnsupportedEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::HostNotAllowed => StatusCode::MISDIRECTED_REQUEST,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooManyAffected { .. } | Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotCounted
            | Self::NotListed
            | Self::Resharding
            | Self::SignInBusy
            | Self::Contended(_)
            | Self::TooManyConnections => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(error) if error.is_transient() => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(_) | Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the stable name of the failure.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::SignInRefused | Self::CodeRefused => "sign-in-refused",
            Self::SignInLocked(_) => "sign-in-locked",
            Self::SignInBusy => "sign-in-busy",
            Self::OriginForbidden => "origin-forbidden",
            Self::ScopeMissing(_) => "scope-missing",
            Self::Invalid(_) | Self::UnreadableHead => "invalid-request",
            Self::UnknownManagers { .. } => "unknown-manager",
            Self::ContactNotFound(_) | Self::ContactsNotFound(_) => "contact-not-found",
            Self::EditForbidden(_) | Self::EditsForbidden(_) => "edit-forbidden",
            Self::TooManyManagers(_) => "too-many-managers",
            Self::AdministratorsOnly => "administrators-only",
            Self::SnapshotNotFound => "snapshot-not-found",
            Self::ReasonsForbidden => "reasons-forbidden",
            Self::PreconditionFailed(_) => "revision-changed",
            Self::UnsupportedMediaType { .. } | Self::UnsupportedEncoding(_) => "unsupported-media-type",
            Self::BodyTooLarge => "body-too-large",
            Self::RouteNotFound => "endpoint-not-found",
            Self::UserNotFound(_) => "user-not-found",
            Self::MethodNotAllowed(_) => "method-not-allowed",
            Self::HostNotAllowed => "host-not-allowed",
            Self::RequestTimeout => "request-timeout",
            Self::TooManyConnections => "too-many-connections",
            Self::HeadTooLong => "head-too-long",
            Self::TooManyAffected { .. } => "too-many-affected",
            Self::TooManyOpenJobs => "too-many-open-jobs",
            Self::TooManyPreviews => "too-many-previews",
            Self::NotCounted => "not-counted-in-time",
            Self::NotListed => "not-listed-in-time",
            Self::Resharding => "portal-resharding",
            Self::JobNotFound(_) | Self::PreviewNotFound(_) => "job-not-found",
            Self::JobNotOver(_) => "job-not-over",
            Self::JobOver(_) => "job-over",
            Self::ChangesExpired(_) => "changes-expired",
            Self::NothingToUndo(_) => "nothing-to-undo",
            Self::NotAPreview(_) => "not-a-preview",
            Self::PreviewNotFinished(_) => "preview-not-finished",
            Self::PreviewExpired(_) => "preview-expired",
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

    /// Returns the headers of the failure.
    pub(crate) fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::new();
        match self {
            Self::SignInBusy => headers.push((RETRY_AFTER, HeaderValue::from(SIGN_IN_RETRY_SECONDS))),
            Self::SignInLocked(locked) => headers.push((RETRY_AFTER, HeaderValue::from(locked.seconds()))),
            Self::Resharding => headers.push((RETRY_AFTER, HeaderValue::from(RESHARDING_RETRY_SECONDS))),
            Self::TooManyOpenJobs | Self::TooManyPreviews => {
                headers.push((RETRY_AFTER, HeaderValue::from(OPEN_JOBS_RETRY_SECONDS)));
            }
            Self::Unauthenticated | Self::SignInRefused | Self::CodeRefused => {
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

    /// Returns whether the failed call certainly changed nothing.
    pub(crate) fn changed_nothing(&self) -> bool {
        matches!(self, Self::NotCounted | Self::Resharding | Self::Contended(_)) || !self.status().is_server_error()
    }

    /// Logs the details that the caller is not shown.
    pub fn log(&self) {
        // Callers can cause `SignInBusy` and would fill the log. The operator causes `Resharding`.
        if self.status().is_server_error() && !matches!(self, Self::SignInBusy | Self::Resharding) {
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
