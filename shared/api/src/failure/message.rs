//! The messages of failures: the fault, and the remedy.

use lambda_http::http::Method;
use models::answer::{ErrorBody, ErrorDetail};
use models::invalid::Invalid;
use models::limits::{
    MAX_BODY_BYTES, MAX_MANAGERS, MAX_OPEN_JOBS, MAX_PREVIEWS, MAX_RULES_OF_PORTAL, MAX_RULES_OF_USER, PREVIEW_HOURS,
    SERVER_HEAD_BYTES,
};

use crate::failure::{Failure, RuleBound, Unmet};

/// Joins faults into one sentence. The last fault may end with its own full stop.
fn faults(invalid: &Invalid) -> String {
    format!("{}.", invalid.to_string().trim_end_matches('.'))
}

/// Lists the first of several identifiers.
fn listed<T: std::fmt::Display>(ids: &[T]) -> String {
    const NAMED: usize = 10;
    let named: Vec<String> = ids.iter().take(NAMED).map(T::to_string).collect();
    let more = if ids.len() > NAMED { ", …" } else { "" };
    format!("{}{more}", named.join(", "))
}

/// Lists identifiers after the singular or the plural noun.
fn counted<T: std::fmt::Display>(ids: &[T], one: &str, several: &str) -> String {
    format!("{} {}", if ids.len() == 1 { one } else { several }, listed(ids))
}

/// The message of a failure, without the assurance that nothing was changed.
enum Message {
    /// The failure happened before anything was changed. A message for a write begins with this assurance.
    Unchanged(String),
    /// A message without this assurance.
    Alone(String),
}

/// The assurance of a failed write.
const UNCHANGED: &str = "Nothing was changed";

/// Returns a text with an upper-case first letter.
fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

impl Failure {
    /// Returns the message for a person: the fault and the remedy.
    fn message(&self) -> Message {
        use Message::{Alone, Unchanged};

        match self {
            Self::Unauthenticated => {
                Alone("Send a valid token in the header Authorization, alone or after the word Bearer.".into())
            }
            Self::SignInRefused => Alone("No user has this userName with this password; check both.".into()),
            Self::CodeRefused => Alone(
                "This sign-in code is unknown, used or expired. A code works once, within ten minutes. Create another \
                 code, or sign in with userName and password."
                    .into(),
            ),
            Self::SignInLocked(locked) => Alone(format!(
                "Too many attempts to sign in have failed. Try again in {} seconds.",
                locked.seconds()
            )),
            Self::SignInBusy => Alone("The service has too many sign-ins right now. Try again in a moment.".into()),
            Self::OriginForbidden => Alone(
                "Pages of this origin may not sign users in. Ask the service's operator to allow the origin, with \
                 --allow-origin or CorsOrigins."
                    .into(),
            ),
            Self::ScopeMissing(scope) => {
                Alone(format!("This token lacks the scope {0}; use a token that has the scope {0}.", scope.name()))
            }
            Self::Invalid(invalid) => Unchanged(faults(invalid)),
            Self::UnknownManagers { users: ids, .. } => {
                let subject = if ids.len() == 1 { "this manager is not a user" } else { "these managers are not users" };
                Unchanged(format!("{subject} of the portal: {}.", listed(ids)))
            }
            Self::ContactNotFound(id) => {
                Alone(format!("There is no contact {id} that you may see; check the number, or ask an administrator."))
            }
            Self::EditForbidden(id) => {
                Alone(format!("You may see contact {id} but not edit it; ask one of its managers or an administrator."))
            }
            Self::ContactsNotFound(ids) => Unchanged(format!(
                "there {} that you may see; check the numbers, or ask an administrator.",
                counted(ids, "is no contact", "are no contacts")
            )),
            Self::EditsForbidden(ids) => Unchanged(format!(
                "you may see but not edit {}; ask its managers or an administrator.",
                counted(ids, "contact", "contacts")
            )),
            Self::TooManyManagers(ids) => Unchanged(format!(
                "the manager list of {} would have more than {MAX_MANAGERS} users. Remove managers in the same call, or \
                 leave the contact out.",
                counted(ids, "contact", "each of the contacts")
            )),
            Self::AdministratorsOnly => {
                Unchanged("only administrators may make this call. Ask an administrator of the portal.".into())
            }
            Self::SnapshotNotFound => {
                Alone("No snapshot has ended yet. Start one with POST /api/2.0/crm/access/snapshots.".into())
            }
            Self::ReasonsForbidden => Alone(
                "Only administrators may ask about the rights of another user. Leave userId out to ask about your own \
                 rights."
                    .into(),
            ),
            Self::PreconditionFailed(Unmet::Changed) => Unchanged(
                "If-Match does not name the current version. Read the current version, decide again, and send its ETag."
                    .into(),
            ),
            Self::PreconditionFailed(Unmet::Weak) => Unchanged(
                "If-Match names a weak tag (W/\"…\"), and a weak tag never matches. A proxy that compresses answers \
                 makes their tags weak: read again with Accept-Encoding: identity, and use that ETag."
                    .into(),
            ),
            Self::PreconditionFailed(Unmet::Exists) => Unchanged(
                "If-None-Match: * allows only creation, and the target already exists. Leave the header out to change \
                 or remove the target."
                    .into(),
            ),
            Self::UnsupportedMediaType { named } => Unchanged(format!(
                "Content-Type is \"{named}\". Send the body in UTF-8 as JSON, with the header Content-Type: \
                 application/json, or as a form, with Content-Type: application/x-www-form-urlencoded."
            )),
            Self::UnsupportedEncoding(named) => Unchanged(format!(
                "Content-Encoding is \"{named}\". Send the body without compression, and without this header."
            )),
            Self::BodyTooLarge => Alone(format!("Send a body of at most {MAX_BODY_BYTES} bytes.")),
            Self::UserNotFound(id) => {
                Alone(format!("The portal has no user {id}. GET /api/2.0/people lists the users."))
            }
            Self::RouteNotFound => Alone("There is no such endpoint; check the path.".into()),
            Self::MethodNotAllowed(allowed) => Alone(format!("This path accepts only {allowed}.")),
            Self::HostNotAllowed => Alone(
                "This server does not answer under the name in the Host header. Call it at 127.0.0.1, [::1] or \
                 localhost, or start it with --allow-host NAME."
                    .into(),
            ),
            Self::RequestTimeout => Unchanged("the body did not arrive in time. Send it again, faster.".into()),
            Self::UnreadableHead => Alone(
                "The request cannot be read as HTTP/1.1. Percent-encode characters that no address may hold: \" is %22, \
                 and a space is %20."
                    .into(),
            ),
            Self::HeadTooLong => Alone(format!(
                "The address and the headers of the request are too long: {SERVER_HEAD_BYTES} bytes and 100 headers are \
                 allowed. Send a long filter in the body."
            )),
            Self::TooManyConnections => Alone(
                "The server has reached its maximum number of connections. Try again in a moment, and close \
                 connections that are not needed."
                    .into(),
            ),
            Self::TooManyAffected { would_change, allowed } => Unchanged(format!(
                "{would_change} contacts would be changed, and maxAffected allows {allowed}. Narrow the filter or \
                 raise maxAffected."
            )),
            Self::TooManyOpenJobs => Unchanged(format!(
                "you have {MAX_OPEN_JOBS} open jobs, which is the maximum. Wait until a job has ended, or cancel a \
                 job."
            )),
            Self::TooManyPreviews => Unchanged(format!(
                "{MAX_PREVIEWS} of your previews have not ended, which is the maximum. Wait until a preview has ended, or \
                 cancel a preview."
            )),
            Self::NotCounted => Unchanged(
                "the contacts could not be counted in the time of one call. Start the undo without dryRun: workers then \
                 do the work without this time limit, and the undo can be cancelled and undone."
                    .into(),
            ),
            Self::Resharding => Unchanged(
                "the operator is changing the portal's number of shards, and no run by filter starts meanwhile. Try \
                 again later. Lists and changes of named contacts work."
                    .into(),
            ),
            Self::NotListed => Alone(
                "The list could not be read in the time of one call. Narrow the filter; leave out the slowest parts: \
                 the count, with total=false, and any order but the creation date; or select by user: isShared=false \
                 lists the private contacts that you see, responsibleid those of one manager."
                    .into(),
            ),
            Self::JobNotFound(id) => {
                Alone(format!("There is no job {id} that you may see; check the identifier, or ask an administrator."))
            }
            Self::JobNotOver(id) => {
                Alone(format!("Job {id} has not ended. Wait for its end, or cancel the job; then undo its changes."))
            }
            Self::JobOver(id) => {
                Alone(format!("Job {id} has ended and can no longer be cancelled. Undo its changes instead."))
            }
            Self::ChangesExpired(id) => Alone(format!(
                "The changes of job {id} have expired and can no longer be shown or undone. If the access of the \
                 contacts is wrong, set the access again."
            )),
            Self::NothingToUndo(id) => Alone(format!(
                "Job {id} is a preview or a snapshot, which changed no contact. To take back the run of a preview, undo \
                 that run."
            )),
            Self::PreviewNotFound(id) => Alone(format!(
                "You have no preview {id}. Only the user who made a preview can apply the preview; make a preview of your \
                 own."
            )),
            Self::NotAPreview(id) => Unchanged(format!(
                "job {id} is not a preview. PUT /api/2.0/crm/contact/filter/access?dryRun=true with Prefer: respond-async \
                 makes a preview."
            )),
            Self::PreviewNotFinished(id) => Unchanged(format!(
                "preview {id} is not finished. Wait for its end; if the preview failed or was cancelled, make a new one."
            )),
            Self::PreviewExpired(id) => Unchanged(format!(
                "preview {id} has expired after {PREVIEW_HOURS} hours. Make a new preview, and apply the new preview."
            )),
            Self::RuleNotFound(name) => {
                Alone(format!("There is no rule {name} that you may see; check the name, or ask an administrator."))
            }
            Self::RuleForbidden(name) => {
                Unchanged(format!("rule {name} belongs to another user. Choose another name, or ask an administrator."))
            }
            Self::RuleContended(name) => Unchanged(format!(
                "another call changed rule {name} at the same moment. Read the rule, then try again."
            )),
            Self::TooManyRules(RuleBound::OfUser) => Unchanged(format!(
                "a user has at most {MAX_RULES_OF_USER} standing rules. Remove one of yours first, with DELETE \
                 /api/2.0/crm/access/rules/NAME."
            )),
            Self::TooManyRules(RuleBound::OfPortal) => Unchanged(format!(
                "a portal has at most {MAX_RULES_OF_PORTAL} standing rules. Remove one of yours first, or ask an \
                 administrator to remove some."
            )),
            Self::KeyReused => Unchanged(
                "this Idempotency-Key was sent with another call within the last 24 hours. Use a new key for each \
                 call, and the same key only to repeat a call."
                    .into(),
            ),
            Self::KeyInUse => Alone(
                "The call with this Idempotency-Key is still in progress. Try again in a moment to get its answer."
                    .into(),
            ),
            Self::Contended(id) => Unchanged(format!("others are changing the access of contact {id}. Try again.")),
            Self::Store(error) if error.is_transient() => {
                Alone("The database is overloaded or out of reach. Try again in a moment.".into())
            }
            Self::Store(_) | Self::Internal(_) => {
                Alone("The service has failed. Try again; if the failure persists, report the request id.".into())
            }
        }
    }

    fn details(&self) -> Vec<ErrorDetail> {
        let detail = |field: &str, message: String| ErrorDetail { field: field.into(), message };
        match self {
            Self::Invalid(invalid) => {
                invalid.faults.iter().map(|fault| detail(&fault.field, fault.message.clone())).collect()
            }
            Self::UnknownManagers { field, users } => users.iter().map(|id| detail(field, id.to_string())).collect(),
            Self::ContactsNotFound(ids) | Self::EditsForbidden(ids) | Self::TooManyManagers(ids) => {
                ids.iter().map(|id| detail("contactid", id.to_string())).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Returns the body of the answer, which discloses no internals. The message for a `GET` does not say that nothing
    /// was changed.
    pub(crate) fn body(&self, request_id: &str, method: &Method) -> ErrorBody {
        let message = match (self.message(), self) {
            (Message::Alone(text), _) => text,
            (Message::Unchanged(text), _) if *method != Method::GET => format!("{UNCHANGED}: {text}"),
            (Message::Unchanged(text), Self::Invalid(_)) => format!("The call cannot be answered: {text}"),
            (Message::Unchanged(text), _) => capitalised(&text),
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
