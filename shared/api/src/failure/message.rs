//! The messages of failures: the fault, and the remedy.

use models::answer::{ErrorBody, ErrorDetail};
use models::invalid::Invalid;
use models::limits::{MAX_BODY_BYTES, MAX_OPEN_JOBS, MAX_RULES_OF_PORTAL, MAX_RULES_OF_USER};

use crate::failure::{Failure, RuleBound, Unmet};

/// Joins faults into one sentence. The last fault may end with its own full stop.
pub(super) fn sentence(start: &str, invalid: &Invalid) -> String {
    let faults = invalid.to_string();
    format!("{start}: {}.", faults.trim_end_matches('.'))
}

/// Lists the first of several identifiers.
pub(super) fn listed<T: std::fmt::Display>(ids: &[T]) -> String {
    const NAMED: usize = 10;
    let named: Vec<String> = ids.iter().take(NAMED).map(T::to_string).collect();
    let more = if ids.len() > NAMED { ", …" } else { "" };
    format!("{}{more}", named.join(", "))
}

/// Lists identifiers after the singular or the plural noun.
pub(super) fn counted<T: std::fmt::Display>(ids: &[T], one: &str, several: &str) -> String {
    format!("{} {}", if ids.len() == 1 { one } else { several }, listed(ids))
}

impl Failure {
    /// Returns the message for a person: the fault and the remedy.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Unauthenticated => {
                "Send a valid token in the header Authorization, alone or after the word Bearer.".into()
            }
            Self::SignInRefused => "No user has this userName with this password; check both.".into(),
            Self::SignInLocked(locked) => format!(
                "Too many attempts have failed for this userName. Try again in {} seconds.",
                locked.seconds()
            ),
            Self::SignInBusy => "Too many others sign in right now. Try again in a moment.".into(),
            Self::OriginForbidden => "Pages of this origin may not sign users in. Ask the service's operator to allow the \
                                      origin, with --allow-origin or CorsOrigins."
                .into(),
            Self::ScopeMissing(scope) => {
                format!("This token lacks the scope {}; use one that has it.", scope.name())
            }
            Self::Invalid(invalid) => sentence("Nothing was changed", invalid),
            Self::UnknownManagers(ids) => {
                let plural = if ids.len() == 1 { "this manager is no user" } else { "these managers are no users" };
                format!("Nothing was changed: {plural} of the portal: {}.", listed(ids))
            }
            Self::ContactNotFound(id) => {
                format!("There is no contact {id} that you may see; check the number, or ask an administrator.")
            }
            Self::EditForbidden(id) => {
                format!("You may see contact {id} but not edit it; ask one of its managers or an administrator.")
            }
            Self::ContactsNotFound(ids) => format!(
                "Nothing was changed: there {} that you may see; check the numbers, or ask an administrator.",
                counted(ids, "is no contact", "are no contacts")
            ),
            Self::EditsForbidden(ids) => format!(
                "Nothing was changed: you may see but not edit {}; ask its managers or an administrator.",
                counted(ids, "contact", "contacts")
            ),
            Self::PreconditionFailed(Unmet::Changed) => {
                "Nothing was changed: If-Match does not name the current version. Read it again, then decide anew."
                    .into()
            }
            Self::PreconditionFailed(Unmet::Weak) => {
                "Nothing was changed: If-Match names a weak tag (W/\"…\"), and a weak tag never matches. A proxy that \
                 compresses answers makes their tags weak: read again with Accept-Encoding: identity, and use that ETag."
                    .into()
            }
            Self::PreconditionFailed(Unmet::Exists) => {
                "Nothing was changed: If-None-Match: * asks for what does not exist yet, and there is one already.".into()
            }
            Self::UnsupportedMediaType { named } => format!(
                "Nothing was changed: Content-Type is \"{named}\". Send the body in UTF-8 as JSON, with the header \
                 Content-Type: application/json, or as a form, with Content-Type: application/x-www-form-urlencoded."
            ),
            Self::UnsupportedEncoding(named) => format!(
                "Nothing was changed: Content-Encoding is \"{named}\". Send the body without compression, and without \
                 this header."
            ),
            Self::BodyTooLarge => format!("Send a body of at most {MAX_BODY_BYTES} bytes."),
            Self::UserNotFound(id) => format!("The portal has no user {id}. GET /api/2.0/people lists the users."),
            Self::RouteNotFound => "There is no such endpoint; check the path.".into(),
            Self::MethodNotAllowed(allowed) => format!("This path takes {allowed} only."),
            Self::HostNotAllowed => {
                "This server does not answer under the name in the Host header. Call it at 127.0.0.1, [::1] or localhost, \
                 or start it with --allow-host NAME."
                    .into()
            }
            Self::RequestTimeout => "Nothing was changed: the body did not arrive in time. Send it again, faster.".into(),
            Self::TooManyConnections => {
                "The server has as many connections as it serves at the same time. Try again in a moment, and close \
                 connections that are not needed."
                    .into()
            }
            Self::TooManyAffected { would_change, allowed } => format!(
                "Nothing was changed: {would_change} contacts would be, and maxAffected allows {allowed}. Narrow the \
                 filter or raise maxAffected."
            ),
            Self::TooManyOpenJobs => format!(
                "Nothing was changed: you have {MAX_OPEN_JOBS} jobs that are not over. Wait until one of them is over, or \
                 cancel one."
            ),
            Self::NotCounted => {
                "Nothing was changed: the matches could not be counted in the time of one call. Narrow the filter, or \
                 run it with maxAffected and Prefer: respond-async, which counts first however long it takes."
                    .into()
            }
            Self::NotListed => {
                "The list could not be read in the time of one call. Narrow the filter; leave out what takes longest: the \
                 count, with total=false, and another order than by creation date; or ask for whom it is about: \
                 isShared=false lists the private contacts that you see, responsibleid those of one manager."
                    .into()
            }
            Self::JobNotFound(id) => {
                format!("There is no job {id} that you may see; check the identifier, or ask an administrator.")
            }
            Self::JobNotOver(id) => {
                format!("Job {id} is not over. Wait until it is, or cancel it first; then undo what it did.")
            }
            Self::JobOver(id) => {
                format!("Job {id} is over, so there is nothing to stop. What it did can be undone.")
            }
            Self::ChangesExpired(id) => {
                format!("It is no longer kept what was before job {id}, so it can neither be shown nor undone.")
            }
            Self::RuleNotFound(name) => {
                format!("There is no rule {name} that you may see; check the name, or ask an administrator.")
            }
            Self::RuleForbidden(name) => {
                format!("Nothing was changed: rule {name} is someone else's. Take another name, or ask an administrator.")
            }
            Self::RuleContended(name) => {
                format!("Nothing was changed: someone else changed rule {name} at the same moment. Read it, then try again.")
            }
            Self::TooManyRules(RuleBound::OfUser) => format!(
                "Nothing was changed: a user has at most {MAX_RULES_OF_USER} standing rules. Remove one of yours first, \
                 with DELETE /api/2.0/crm/access/rules/NAME."
            ),
            Self::TooManyRules(RuleBound::OfPortal) => format!(
                "Nothing was changed: a portal has at most {MAX_RULES_OF_PORTAL} standing rules. Remove one of yours \
                 first, or ask an administrator to remove some."
            ),
            Self::KeyReused => {
                "Nothing was changed: this Idempotency-Key was sent with another call within the last 24 hours. Use a \
                 new one for each call, and the same one only to repeat it."
                    .into()
            }
            Self::KeyInUse => {
                "The call with this Idempotency-Key is being answered right now. Try again in a moment to get its answer."
                    .into()
            }
            Self::Contended(id) => {
                format!("Nothing was changed: others are changing the access of contact {id}. Try again.")
            }
            Self::Store(error) if error.is_transient() => {
                "The database is overloaded or out of reach. Try again in a moment.".into()
            }
            Self::Store(_) | Self::Internal(_) => {
                "Something went wrong here. Try again; if it stays, report the request id.".into()
            }
        }
    }

    pub(super) fn details(&self) -> Vec<ErrorDetail> {
        let detail = |field: &str, message: String| ErrorDetail { field: field.into(), message };
        match self {
            Self::Invalid(invalid) => {
                invalid.faults.iter().map(|fault| detail(&fault.field, fault.message.clone())).collect()
            }
            Self::UnknownManagers(ids) => ids.iter().map(|id| detail("managerList", id.to_string())).collect(),
            Self::ContactsNotFound(ids) | Self::EditsForbidden(ids) => {
                ids.iter().map(|id| detail("contactid", id.to_string())).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Returns the body of the answer, which discloses no internals. The message for a `GET` does not say that nothing
    /// was changed.
    pub(crate) fn body(&self, request_id: &str, is_read: bool) -> ErrorBody {
        let message = match self {
            Self::Invalid(invalid) if is_read => sentence("The call cannot be answered", invalid),
            _ => self.message(),
        };
        ErrorBody {
            status_code: self.status().as_u16(),
            message,
            kind: self.kind(),
            details: self.details(),
            request_id: request_id.into(),
        }
    }
}
