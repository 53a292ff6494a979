//! A call: the request with what every handler asks of it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lambda_http::http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
};
use lambda_http::http::{HeaderMap, HeaderName, HeaderValue, Method};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt as _};
use models::access::{Author, Caller};
use models::answer::{Envelope, Suffix};
use models::directory::{Grant, Scope, User};
use models::invalid::Invalid;
use models::job::JobId;
use models::limits::{ANSWER_RESERVE_MILLIS, MAX_BODY_BYTES, SYNCHRONOUS_RUN_MILLIS};
use models::request::{MAX_IDEMPOTENCY_KEY_BYTES, Query, RequestBody, check_no_fields};
use models::rule::RuleName;
use models::sign_in::{Email, Network};
use models::values::id::{ContactId, UserId};
use models::values::moment::Moment;
use sha2::{Digest as _, Sha256};
use store::idempotency::{Fingerprint, KeptAnswer, KeyOf, Reserved};
use store::keys::TokenHash;
use tokio::time::Instant;

use crate::answer::{Answer, revision_text};
use crate::app::App;
use crate::endpoint::{Conditions, Endpoint, Payload};
use crate::failure::{Failure, Unmet};
use crate::idempotency::kept_with;
use crate::negotiation::{self, BodyType, Wanted};
use crate::{origin, routes};

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
    /// Whether the suffix stands behind a parameter, which is the path's only one.
    strips: bool,
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

/// Marks a request whose body broke off before its end: the connection ended, or its framing is wrong. The server that
/// read the body puts the mark among the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct BrokenBody;

/// A call's idempotency key, and what the call asks for.
#[derive(Debug)]
pub(crate) struct Idempotency {
    pub(crate) of: KeyOf,
    pub(crate) fingerprint: Fingerprint,
}

impl<'a> Incoming<'a> {
    /// A call of the endpoint at `path`.
    pub(crate) fn new(app: &'a App, request: Request, path: &str, wanted: Wanted) -> Self {
        let (started, now) = (Instant::now(), app.now());
        let run = Duration::from_millis(SYNCHRONOUS_RUN_MILLIS);
        // A function that was given less time than the API waits must keep its reserve all the same.
        let remaining = request.lambda_context_ref().map_or(run, |context| {
            let end = Duration::from_millis(context.deadline);
            let since_epoch = u64::try_from(now.timestamp().as_millisecond()).unwrap_or(0);
            end.saturating_sub(Duration::from_millis(since_epoch + ANSWER_RESERVE_MILLIS))
        });
        Self { app, wanted, now, deadline: started + run.min(remaining), strips: path.ends_with('}'), request }
    }

    /// The body, as it says what it is.
    pub fn body(&self) -> Result<RequestBody<'_>, Failure> {
        let body = self.bytes();
        Ok(match negotiation::body_type(self.request.headers())? {
            BodyType::Json => RequestBody::Json(body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)),
            BodyType::Form => RequestBody::Form(body),
        })
    }

    /// Refuses a request that was not received as it was sent, or that carries what the endpoint does not read.
    pub(crate) fn check_received(&self, endpoint: &Endpoint) -> Result<(), Failure> {
        self.check_coding()?;
        self.check_length()?;
        if *self.request.method() == Method::GET {
            return match self.bytes() {
                [] => Ok(()),
                _ => Err(Invalid::one("", UNREAD_BODY_OF_GET).into()),
            };
        }
        self.check_conditions(endpoint.conditions)?;
        match endpoint.payload {
            Payload::Fields => Ok(()),
            Payload::None if self.bytes().iter().all(u8::is_ascii_whitespace) => Ok(()),
            Payload::None => Ok(check_no_fields(self.body()?)?),
        }
    }

    /// Refuses a body that is compressed, or said to be, and one that is said to be a part of the whole.
    fn check_coding(&self) -> Result<(), Failure> {
        if self.request.headers().contains_key(CONTENT_RANGE) {
            return Err(Invalid::one("Content-Range", "is not supported; send the whole body").into());
        }
        let codings = self.request.headers().get_all(CONTENT_ENCODING).iter();
        let mut codings = codings.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        match codings.find(|coding| !coding.trim_ascii().eq_ignore_ascii_case(b"identity")) {
            None => Ok(()),
            Some(coding) => {
                Err(Failure::UnsupportedEncoding(String::from_utf8_lossy(coding.trim_ascii()).into_owned()))
            }
        }
    }

    /// Refuses a body that is too long, and one that is not as long as it was declared: the rest of it got lost.
    fn check_length(&self) -> Result<(), Failure> {
        let received = self.bytes().len();
        if received > MAX_BODY_BYTES {
            return Err(Failure::BodyTooLarge);
        }
        let broken = self.request.extensions().get::<BrokenBody>().is_some();
        // A gateway joins repeated headers by commas; a repeated length is valid if it is the same (RFC 9110, 8.6).
        let declared = self.request.headers().get_all(CONTENT_LENGTH).iter();
        for declared in declared.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')) {
            let declared = str::from_utf8(declared.trim_ascii()).ok();
            let bytes = declared.filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
            match bytes.and_then(|text| text.parse::<usize>().ok()) {
                Some(bytes) if bytes > MAX_BODY_BYTES => return Err(Failure::BodyTooLarge),
                Some(bytes) if bytes == received => {}
                Some(bytes) => {
                    let message = format!("says {bytes} bytes, but {received} arrived; send the request again");
                    return Err(Invalid::one("Content-Length", message).into());
                }
                None => return Err(Invalid::one("Content-Length", "must be the number of bytes of the body").into()),
            }
        }
        if broken {
            return Err(Invalid::one("", "The body broke off before its end; send the request again").into());
        }
        Ok(())
    }

    fn check_conditions(&self, supported: Conditions) -> Result<(), Failure> {
        const UNSUPPORTED: &str = "is not supported by this call, which would not wait for it; leave the header out";
        const UNKNOWN_DATE: &str =
            "is not supported, because no date of a change is shown; use If-Match where it is described";
        let headers = self.request.headers();
        if headers.contains_key(IF_UNMODIFIED_SINCE) {
            return Err(Invalid::one("If-Unmodified-Since", UNKNOWN_DATE).into());
        }
        if supported == Conditions::None && headers.contains_key(IF_MATCH) {
            return Err(Invalid::one("If-Match", UNSUPPORTED).into());
        }
        let mut absent = headers.get_all(IF_NONE_MATCH).iter();
        match supported {
            Conditions::IfMatchOrNew if absent.all(|value| value.as_bytes().trim_ascii() == b"*") => Ok(()),
            Conditions::IfMatchOrNew => Err(Invalid::one("If-None-Match", "must be * here, which no tag is").into()),
            _ if absent.next().is_none() => Ok(()),
            _ => Err(Invalid::one("If-None-Match", UNSUPPORTED).into()),
        }
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

    /// The query as it was sent, without cache busters.
    pub fn query_text(&self) -> Cow<'_, str> {
        without_cache_busters(self.request.uri().query().unwrap_or_default())
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

    /// The contact that the path names. A last part that is no number belongs to a path that does not exist, such as
    /// `contact/byprefix` of ONLYOFFICE's server.
    pub fn contact_id(&self) -> Result<ContactId, Failure> {
        let text = self.parameter("contactid");
        if !routes::is_number(&text) {
            return Err(Failure::RouteNotFound);
        }
        text.parse()
            .map_err(|fault: models::values::id::NotAContactId| Invalid::one("contactid", fault.to_string()).into())
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

    /// The user that the path names.
    pub fn named_user(&self) -> Result<NamedUser, Failure> {
        let text = self.parameter("userid");
        if text == routes::SELF {
            return Ok(NamedUser::Caller);
        }
        if let Ok(id) = text.parse() {
            return Ok(NamedUser::Id(id));
        }
        text.parse().map(NamedUser::Email).map_err(|_| Failure::RouteNotFound)
    }

    fn parameter(&self, name: &str) -> String {
        let parameters = self.request.path_parameters_ref();
        let text = parameters.and_then(|parameters| parameters.first(name)).unwrap_or_default();
        if self.strips { Suffix::split(text).0.to_owned() } else { text.to_owned() }
    }
}

/// How a path names a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedUser {
    /// The user who calls.
    Caller,
    /// The user with this identifier.
    Id(UserId),
    /// The user with this address, which is the `userName` of answers.
    Email(Email),
}

impl<'a> Call<'a> {
    /// Finds out who is calling.
    pub(crate) async fn new(mut incoming: Incoming<'a>) -> Result<Self, Failure> {
        let token = token(incoming.request.headers())?.map(store::tokens::hash).ok_or(Failure::Unauthenticated)?;
        let grant = incoming.app.grant(token).await?;
        let grant = grant.filter(|grant| grant.is_current(incoming.now)).ok_or(Failure::Unauthenticated)?;
        if incoming.wanted.shape.envelope == Envelope::OnlyOffice {
            incoming.wanted.zone = Some(incoming.app.time_zone(&grant.portal).await?);
        }
        Ok(Self { incoming, grant, token, reserved: None, is_honoured: Arc::default() })
    }

    /// Finds out whether the token allows the call.
    pub(crate) fn check(&self, scope: Option<Scope>) -> Result<(), Failure> {
        match scope {
            Some(scope) if !self.grant.allows(scope) => Err(Failure::ScopeMissing(scope)),
            _ => Ok(()),
        }
    }

    /// How an answer is written that is in ONLYOFFICE's dialect whatever the call: a job.
    ///
    /// # Errors
    ///
    /// When the table fails: half a read unit, unless the portal's zone is remembered.
    pub async fn wanted_of_job(&self) -> Result<Wanted, Failure> {
        let zone = match &self.wanted.zone {
            Some(zone) => zone.clone(),
            None => self.app.time_zone(&self.grant.portal).await?,
        };
        Ok(Wanted { zone: Some(zone), ..self.wanted.in_onlyoffice() })
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

    /// Checks the call's preconditions against an access revision.
    pub fn check_revision(&self, revision: Option<JobId>) -> Result<(), Failure> {
        self.check_version(Some(&revision_text(revision)))
    }

    /// Checks the call's preconditions against the current version, none where there is nothing yet. `If-Match` compares
    /// strongly (RFC 9110, section 13.1.1). The tag of an answer to a reading names the version too, before a dot.
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

    /// Whether the call is to be made only where there is nothing yet: `If-None-Match: *`.
    pub fn must_be_new(&self) -> bool {
        self.request.headers().contains_key(IF_NONE_MATCH)
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

/// Why a `GET` with a body is refused: who sends one expects the body to select something.
const UNREAD_BODY_OF_GET: &str =
    "A GET takes no body. Write the filter into the query, such as ?tags=vip&contactStage=3";
/// Bytes before a text that say that it is UTF-8; some editors and .NET write them.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const IDEMPOTENCY_KEY: &str = "idempotency-key";
const PREFER: &str = "prefer";

/// A query without the parameters that browser clients add so that no cache answers: `_=482913`, or `__=482913` as
/// ONLYOFFICE's client does. Empty parameters go with them.
fn without_cache_busters(query: &str) -> Cow<'_, str> {
    const CACHE_BUSTERS: [&str; 2] = ["_", "__"];
    let is_read = |pair: &&str| match pair.split_once('=') {
        Some((name, _)) => !CACHE_BUSTERS.contains(&name),
        None => !pair.is_empty() && !CACHE_BUSTERS.contains(pair),
    };
    if query.split('&').all(|pair| is_read(&pair)) {
        return Cow::Borrowed(query);
    }
    let read: Vec<&str> = query.split('&').filter(is_read).collect();
    Cow::Owned(read.join("&"))
}

/// The token of `Authorization`: alone, or after the word `Bearer`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_busters_and_empty_parameters_are_not_read() {
        for (query, expected) in [
            ("", ""),
            ("count=1", "count=1"),
            ("_=482913", ""),
            ("__=482913&count=1", "count=1"),
            ("count=1&_&total=0&__=", "count=1&total=0"),
            ("count=1&&&total=0&", "count=1&total=0"),
            ("___=1", "___=1"),
            ("_x=1", "_x=1"),
            // A value without a name is a mistake that is told.
            ("=1", "=1"),
        ] {
            assert_eq!(without_cache_busters(query), expected, "{query}");
        }
    }
}
