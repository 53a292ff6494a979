//! A call: the request with what every handler asks of it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lambda_http::http::header::{AUTHORIZATION, CONTENT_LENGTH, IF_MATCH, IF_NONE_MATCH};
use lambda_http::http::{HeaderMap, HeaderName, HeaderValue};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt as _};
use models::access::{Author, Caller};
use models::id::{ContactId, UserId};
use models::invalid::Invalid;
use models::job::JobId;
use models::limits::{ANSWER_RESERVE_MILLIS, MAX_BODY_BYTES, SYNCHRONOUS_RUN_MILLIS};
use models::moment::Moment;
use models::portal::{Grant, Scope, User};
use models::request::{MAX_IDEMPOTENCY_KEY_BYTES, Query, RequestBody};
use models::rule::RuleName;
use models::sign_in::Network;
use models::wire::Suffix;
use sha2::{Digest as _, Sha256};
use store::idempotency::{Fingerprint, KeptAnswer, KeyOf, Reserved};
use store::keys::TokenHash;
use tokio::time::Instant;

use crate::answer::{Answer, revision_text};
use crate::app::App;
use crate::failure::Failure;
use crate::idempotency::kept_with;
use crate::negotiation::{self, BodyType, Wanted};
use crate::origin;

/// A call before anyone asks who makes it.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// The store, the clock.
    pub app: &'a App,
    /// What the caller wants back.
    pub wanted: Wanted,
    /// When the call came in.
    pub now: Moment,
    /// When a run on its behalf stops taking up work.
    pub deadline: Instant,
    /// What the path ends in.
    suffix: Option<Suffix>,
    /// Whether the suffix stands behind a parameter, which is the path's only one.
    strips: bool,
    /// Whether `Accept` admits what can be answered.
    is_acceptable: bool,
    request: Request,
}

/// A call whose caller is known.
#[derive(Debug)]
pub struct Call<'a> {
    incoming: Incoming<'a>,
    /// What the caller's token stands for.
    pub grant: Grant,
    /// SHA-256 of the caller's token.
    pub token: TokenHash,
    /// The reservation of its idempotency key, with the identifier of the job that it may start.
    reserved: Option<Reserved>,
    /// Whether the caller's user was read and still honours the token.
    is_honoured: Arc<AtomicBool>,
}

/// What is needed to find out, after a call, whether its token still counted.
///
/// A token is remembered for a while, and the caller's user says whether the token was ended since. Handlers read that
/// user together with the rights, beside what else they need. A handler that came to its answer without it, because the
/// request was wrong or because the answer needs no rights, gets it read here.
#[derive(Debug)]
pub(crate) struct TokenCheck<'a> {
    app: &'a App,
    grant: Grant,
    is_honoured: Arc<AtomicBool>,
}

impl TokenCheck<'_> {
    /// The result of the call, unless the caller's token was ended: 1 read unit, or none when the handler read the caller.
    pub(crate) async fn hold(&self, result: Result<Answer, Failure>) -> Result<Answer, Failure> {
        // What went wrong here is nothing that a caller must not know.
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

/// The address of who called this machine, where no gateway tells it.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// A call's idempotency key, and what the call asks for.
#[derive(Debug)]
pub(crate) struct Idempotency {
    pub(crate) of: KeyOf,
    pub(crate) fingerprint: Fingerprint,
}

impl<'a> Incoming<'a> {
    /// A call of the endpoint at `path`.
    pub(crate) fn new(
        app: &'a App,
        request: Request,
        path: &str,
        suffix: Option<Suffix>,
        wanted: Option<Wanted>,
    ) -> Self {
        let (started, now) = (Instant::now(), app.now());
        let run = Duration::from_millis(SYNCHRONOUS_RUN_MILLIS);
        // A function that was given less time than the API waits must keep its reserve all the same.
        let remaining = request.lambda_context_ref().map_or(run, |context| {
            let end = Duration::from_millis(context.deadline);
            let since_epoch = u64::try_from(now.timestamp().as_millisecond()).unwrap_or(0);
            end.saturating_sub(Duration::from_millis(since_epoch + ANSWER_RESERVE_MILLIS))
        });
        Self {
            app,
            wanted: wanted.unwrap_or_else(|| Wanted::of_last_resort(suffix)),
            now,
            deadline: started + run.min(remaining),
            suffix,
            strips: path.ends_with('}'),
            is_acceptable: wanted.is_some(),
            request,
        }
    }

    pub(crate) fn check_acceptable(&self) -> Result<(), Failure> {
        if self.is_acceptable { Ok(()) } else { Err(Failure::NotAcceptable) }
    }

    /// The body of a request that must have one.
    pub fn body(&self) -> Result<RequestBody<'_>, Failure> {
        let body_type = negotiation::body_type(self.request.headers(), self.suffix)?;
        let declared = self.request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = self.bytes();
        if body.len() > MAX_BODY_BYTES || declared.is_some_and(|bytes: usize| bytes > MAX_BODY_BYTES) {
            return Err(Failure::BodyTooLarge);
        }
        Ok(match body_type {
            BodyType::Json => RequestBody::Json(body),
            BodyType::Form => RequestBody::Form(body),
        })
    }

    fn bytes(&self) -> &[u8] {
        match self.request.body() {
            Body::Text(text) => text.as_bytes(),
            Body::Binary(bytes) => bytes,
            _ => &[],
        }
    }

    /// The query parameters.
    pub fn query(&self) -> Query {
        let text = self.query_text();
        Query::new(form_urlencoded::parse(text.as_bytes()).map(|(name, value)| (name.into_owned(), value.into_owned())))
    }

    /// The query as it was sent, without what ONLYOFFICE's browser client puts into every one so that no cache answers:
    /// a number, as in `__=482913`.
    pub fn query_text(&self) -> Cow<'_, str> {
        const UNCACHED: &str = "__=";
        let text = self.request.uri().query().unwrap_or_default();
        if self.suffix.is_none() || !text.contains(UNCACHED) {
            return Cow::Borrowed(text);
        }
        let meant: Vec<&str> = text.split('&').filter(|pair| !pair.starts_with(UNCACHED)).collect();
        Cow::Owned(meant.join("&"))
    }

    /// The network that the call came from, as the gateway or this machine saw it. What a header says of it is the
    /// caller's own word, and counts nothing.
    pub fn network(&self) -> Network {
        let address = match self.request.request_context_ref() {
            Some(RequestContext::ApiGatewayV2(context)) => {
                context.http.source_ip.as_deref().and_then(|address| address.parse().ok())
            }
            _ => self.request.extensions().get::<Peer>().map(|peer| peer.0),
        };
        address.map_or(Network::Unknown, Network::from)
    }

    /// Checks that no page of a foreign origin makes the call.
    ///
    /// # Errors
    ///
    /// [`Failure::OriginForbidden`] for a page whose origin is not named.
    pub fn check_origin(&self) -> Result<(), Failure> {
        origin::check(self.request.headers(), &self.app.allowed_origins)
    }

    /// The contact that the path names.
    pub fn contact_id(&self) -> Result<ContactId, Failure> {
        let text = self.parameter("contactid");
        text.parse().map_err(|fault: models::id::NotAContactId| Invalid::one("contactid", fault.to_string()).into())
    }

    /// The job that the path names.
    pub fn job_id(&self) -> Result<JobId, Failure> {
        let id = self.parameter("jobid").parse();
        id.map_err(|_| Invalid::one("jobid", "must be the UUID of a job, as X-Job-Id names it").into())
    }

    /// The standing rule that the path names.
    pub fn rule_name(&self) -> Result<RuleName, Failure> {
        let name = self.parameter("name").parse();
        name.map_err(|fault: models::rule::NotARuleName| Invalid::one("name", fault.to_string()).into())
    }

    /// The stored rule that the path names, which an earlier version may have let be called otherwise than new rules are.
    pub fn stored_rule_name(&self) -> Result<RuleName, Failure> {
        let name = self.parameter("name");
        if (1..=MAX_STORED_RULE_NAME_BYTES).contains(&name.len()) {
            Ok(RuleName::stored(name))
        } else {
            self.rule_name()
        }
    }

    /// Whether the user that the path names is who calls.
    pub fn names_caller(&self) -> bool {
        self.parameter("userid") == "@self"
    }

    fn parameter(&self, name: &str) -> String {
        let parameters = self.request.path_parameters_ref();
        let text = parameters.and_then(|parameters| parameters.first(name)).unwrap_or_default();
        if self.strips { Suffix::split(text).0.to_owned() } else { text.to_owned() }
    }
}

impl<'a> Call<'a> {
    /// Finds out who is calling.
    pub(crate) async fn new(incoming: Incoming<'a>) -> Result<Self, Failure> {
        let token = token(incoming.request.headers()).map(store::tokens::hash).ok_or(Failure::Unauthenticated)?;
        let grant = incoming.app.grant(token).await?;
        let grant = grant.filter(|grant| grant.is_current(incoming.now)).ok_or(Failure::Unauthenticated)?;
        Ok(Self { incoming, grant, token, reserved: None, is_honoured: Arc::default() })
    }

    /// Finds out whether the call can be answered at all.
    pub(crate) fn check(&self, scope: Option<Scope>) -> Result<(), Failure> {
        match scope {
            Some(scope) if !self.grant.allows(scope) => Err(Failure::ScopeMissing(scope)),
            _ => self.check_acceptable(),
        }
    }

    pub(crate) fn token_check(&self) -> TokenCheck<'a> {
        TokenCheck { app: self.app, grant: self.grant.clone(), is_honoured: self.is_honoured.clone() }
    }

    /// The caller as a user of the directory, with the rights it has now: 1 read unit.
    ///
    /// # Errors
    ///
    /// [`Failure::Unauthenticated`] when the user was removed or the token was ended.
    pub async fn user(&self) -> Result<User, Failure> {
        self.honoured(self.app.store.user(&self.grant.portal, self.grant.user).await?.as_ref()).cloned()
    }

    /// The caller, with the rights it has now: 1 read unit.
    ///
    /// # Errors
    ///
    /// [`Failure::Unauthenticated`] when the user was removed or the token was ended.
    pub async fn caller(&self) -> Result<Caller, Failure> {
        self.user().await.map(|user| user.caller())
    }

    /// The caller, where its user was read with others.
    ///
    /// # Errors
    ///
    /// [`Failure::Unauthenticated`] when the user was removed or the token was ended.
    pub fn caller_among(&self, users: &HashMap<UserId, User>) -> Result<Caller, Failure> {
        self.honoured(users.get(&self.grant.user)).map(User::caller)
    }

    fn honoured<'u>(&self, user: Option<&'u User>) -> Result<&'u User, Failure> {
        let user = user.filter(|user| user.honours(&self.grant)).ok_or(Failure::Unauthenticated)?;
        self.is_honoured.store(true, Ordering::Relaxed);
        Ok(user)
    }

    /// Checks `If-Match` against an access revision, by strong comparison (RFC 9110, section 13.1.1). The tag of a
    /// contact that was read names the revision too, before a dot.
    pub fn check_revision(&self, revision: Option<JobId>) -> Result<(), Failure> {
        let mut values = self.request.headers().get_all(IF_MATCH).iter().peekable();
        if values.peek().is_none() {
            return Ok(());
        }
        let current = revision_text(revision);
        let names = |tag: &str| {
            let tag = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            tag.and_then(|tag| tag.split('.').next()) == Some(current.as_str())
        };
        let mut tags = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim);
        if tags.any(|tag| tag == "*" || names(tag)) { Ok(()) } else { Err(Failure::PreconditionFailed) }
    }

    /// Whether the caller asked not to be kept waiting (RFC 7240).
    pub fn prefers_async(&self) -> bool {
        let values = self.request.headers().get_all(PREFER).iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|preference| preference.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("respond-async"))
    }

    /// An identifier for the job that the call starts.
    pub fn new_job(&self) -> JobId {
        self.reserved.as_ref().map_or_else(|| self.app.jobs.new_id(), |reserved| reserved.job)
    }

    /// Makes the call under its idempotency key.
    pub(crate) fn reserve(&mut self, reserved: Reserved) {
        self.reserved = Some(reserved);
    }

    /// The answer that the call is about to give, for a transaction that keeps it together with what the call does; none
    /// without an idempotency key, or for an answer that does not fit.
    pub fn keep(&self, answer: &mut Answer) -> Result<Option<KeptAnswer>, Failure> {
        kept_with(self.reserved.as_ref(), answer)
    }

    /// The idempotency key that the call came with.
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
        // Its name tells a value of the one header from the same value of the other.
        let if_none_match = values(IF_NONE_MATCH).flat_map(|value| [&b"if-none-match"[..], value]);
        let parts = [request.method().as_str().as_bytes(), path.as_bytes(), query.as_bytes(), self.bytes()];
        for part in parts.into_iter().chain(if_match).chain(if_none_match) {
            // Lengths keep what ends one part from being read as the beginning of the next.
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let of =
            KeyOf { portal: self.grant.portal.clone(), author: Author::User(self.grant.user), key: key.to_owned() };
        Ok(Some(Idempotency { of, fingerprint: digest.finalize().into() }))
    }
}

/// Bytes of a stored rule's name at most: it is a part of a key.
const MAX_STORED_RULE_NAME_BYTES: usize = 255;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const PREFER: &str = "prefer";

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
