//! A call: the request with what every handler asks of it.

use std::time::Duration;

use lambda_http::http::HeaderMap;
use lambda_http::http::header::{AUTHORIZATION, CONTENT_LENGTH, IF_MATCH};
use lambda_http::{Body, Request, RequestExt as _};
use models::id::ContactId;
use models::invalid::Invalid;
use models::job::JobId;
use models::limits::{ANSWER_RESERVE_MILLIS, MAX_BODY_BYTES, SYNCHRONOUS_RUN_MILLIS};
use models::moment::Moment;
use models::portal::{Grant, Scope};
use models::request::Query;
use tokio::time::Instant;
use uuid::{NoContext, Timestamp as UuidTimestamp, Uuid};

use crate::answer::entity_tag;
use crate::app::App;
use crate::failure::Failure;
use crate::negotiation::{self, Wanted};

/// A call whose caller is known.
#[derive(Debug)]
pub struct Call<'a> {
    /// The store, the clock.
    pub app: &'a App,
    /// What the caller's token stands for.
    pub grant: Grant,
    /// What the caller wants back.
    pub wanted: Wanted,
    /// When the call came in.
    pub now: Moment,
    /// When a run on its behalf stops taking up work.
    pub deadline: Instant,
    request: Request,
}

impl<'a> Call<'a> {
    /// Finds out who is calling, then whether the call can be read at all.
    pub(crate) async fn new(app: &'a App, request: Request, scope: Scope) -> Result<Self, Failure> {
        let started = Instant::now();
        let now = app.now();
        let token = token(request.headers()).ok_or(Failure::Unauthenticated)?;
        let grant = app.grant(token).await?.filter(|grant| grant.is_current(now)).ok_or(Failure::Unauthenticated)?;
        if !grant.allows(scope) {
            return Err(Failure::ScopeMissing(scope));
        }
        let wanted = negotiation::wanted(request.headers()).ok_or(Failure::NotAcceptable)?;
        let run = Duration::from_millis(SYNCHRONOUS_RUN_MILLIS);
        // A function that was given less time than the API waits must keep its reserve all the same.
        let remaining = request.lambda_context_ref().map_or(run, |context| {
            let end = Duration::from_millis(context.deadline);
            let since_epoch = u64::try_from(now.timestamp().as_millisecond()).unwrap_or(0);
            end.saturating_sub(Duration::from_millis(since_epoch + ANSWER_RESERVE_MILLIS))
        });
        Ok(Self { app, grant, wanted, now, deadline: started + run.min(remaining), request })
    }

    /// The body of a request that must have one.
    pub fn json(&self) -> Result<&[u8], Failure> {
        negotiation::check_json(self.request.headers())?;
        let declared = self.request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let body: &[u8] = match self.request.body() {
            Body::Text(text) => text.as_bytes(),
            Body::Binary(bytes) => bytes,
            _ => &[],
        };
        if body.len() > MAX_BODY_BYTES || declared.is_some_and(|bytes: usize| bytes > MAX_BODY_BYTES) {
            return Err(Failure::BodyTooLarge);
        }
        Ok(body)
    }

    /// The query parameters.
    pub fn query(&self) -> Query {
        let text = self.request.uri().query().unwrap_or_default();
        Query::new(form_urlencoded::parse(text.as_bytes()).map(|(name, value)| (name.into_owned(), value.into_owned())))
    }

    /// The contact that the path names.
    pub fn contact_id(&self) -> Result<ContactId, Failure> {
        let parameters = self.request.path_parameters_ref();
        let text = parameters.and_then(|parameters| parameters.first("contactid")).unwrap_or_default();
        text.parse().map_err(|fault: models::id::NotAContactId| Invalid::one("contactid", fault.to_string()).into())
    }

    /// Checks `If-Match` against an access revision, by strong comparison (RFC 9110, section 13.1.1).
    pub fn check_revision(&self, revision: Option<JobId>) -> Result<(), Failure> {
        let mut values = self.request.headers().get_all(IF_MATCH).iter().peekable();
        if values.peek().is_none() {
            return Ok(());
        }
        let current = entity_tag(revision);
        let mut tags = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim);
        if tags.any(|tag| tag == "*" || tag == current) { Ok(()) } else { Err(Failure::PreconditionFailed) }
    }

    /// An identifier for a job that starts now.
    pub fn new_job(&self) -> JobId {
        let now = self.app.now().timestamp();
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
        Uuid::new_v7(UuidTimestamp::from_unix(NoContext, seconds, nanos))
    }
}

/// The token of `Authorization`: alone, or after the word `Bearer`.
fn token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    let token = match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        Some(_) => return None,
        None => value,
    };
    (!token.is_empty()).then_some(token)
}
