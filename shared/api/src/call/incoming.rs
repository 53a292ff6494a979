//! A request before authentication: its body, its query and its path parameters.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use lambda_http::http::Method;
use lambda_http::http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt as _};
use models::answer::Suffix;
use models::invalid::Invalid;
use models::job::JobId;
use models::limits::{ANSWER_RESERVE_MILLIS, MAX_BODY_BYTES, MAX_STORED_RULE_NAME_BYTES, SYNCHRONOUS_RUN_MILLIS};
use models::request::field::Field;
use models::request::{Query, RequestBody, check_no_fields};
use models::rule::RuleName;
use models::sign_in::{Email, Network};
use models::values::id::{ContactId, UserId};
use models::values::timestamp::Timestamp;
use tokio::time::Instant;

use crate::app::App;
use crate::endpoint::{Conditions, Endpoint, Payload};
use crate::failure::Failure;
use crate::idempotency::IDEMPOTENCY_KEY;
use crate::negotiation::{self, BodyType, ResponseFormat};
use crate::routes;
use crate::sign_in::origin;

/// A request, with the properties that do not depend on the caller.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// The store, the job engine and the clock, which handlers of reads cannot access.
    pub(crate) app: &'a App,
    /// The format of the answer.
    pub format: ResponseFormat,
    /// The time at which the call arrived.
    pub now: Timestamp,
    /// The time after which a run for this call starts no new page.
    pub deadline: Instant,
    /// True if the path ends in a parameter. The value of the parameter then includes the suffix.
    strips_suffix: bool,
    pub(crate) request: Request,
}

/// A call without a caller. Its handler may change data that belongs to no caller, such as the attempts of a sign-in.
#[derive(Debug)]
pub struct PublicCall<'a> {
    /// The store, the job engine and the clock.
    pub app: &'a App,
    incoming: Incoming<'a>,
}

impl<'a> PublicCall<'a> {
    pub(crate) fn new(incoming: Incoming<'a>) -> Self {
        Self { app: incoming.app, incoming }
    }
}

impl<'a> std::ops::Deref for PublicCall<'a> {
    type Target = Incoming<'a>;

    fn deref(&self) -> &Incoming<'a> {
        &self.incoming
    }
}

/// The address of the client, for calls that reach this machine without a gateway.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// Marks a request whose body is incomplete: the connection ended, or the framing is wrong. The server that read the
/// body adds the mark to the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct BrokenBody;

impl<'a> Incoming<'a> {
    /// Creates a call of the endpoint at `path`.
    pub(crate) fn new(app: &'a App, request: Request, path: &str, format: ResponseFormat) -> Self {
        let (started, now) = (Instant::now(), app.now());
        let run = Duration::from_millis(SYNCHRONOUS_RUN_MILLIS);
        // Lambda's timeout may be shorter than the API's timeout. The run must then end before Lambda's timeout, with
        // enough time to answer.
        let remaining = request.lambda_context_ref().map_or(run, |context| {
            let end = Duration::from_millis(context.deadline);
            let since_epoch = u64::try_from(now.to_jiff().as_millisecond()).unwrap_or(0);
            end.saturating_sub(Duration::from_millis(since_epoch + ANSWER_RESERVE_MILLIS))
        });
        Self { app, format, now, deadline: started + run.min(remaining), strips_suffix: path.ends_with('}'), request }
    }

    /// Returns the body as JSON or as a form, according to `Content-Type`.
    pub fn body(&self) -> Result<RequestBody<'_>, Failure> {
        let body = self.bytes();
        Ok(match negotiation::body_type(self.request.headers())? {
            BodyType::Json => RequestBody::Json(body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)),
            BodyType::Form => RequestBody::Form(body),
        })
    }

    /// Refuses a request that is incomplete, or that has content for which the endpoint has no use.
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

    /// Refuses a body whose headers declare compression or a partial body.
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

    /// Refuses a body that is too long. Also refuses a body that does not have its declared length, because a part was
    /// lost.
    fn check_length(&self) -> Result<(), Failure> {
        let received = self.bytes().len();
        if received > MAX_BODY_BYTES {
            return Err(Failure::BodyTooLarge);
        }
        let is_broken = self.request.extensions().get::<BrokenBody>().is_some();
        // A gateway joins repeated headers with commas. Repeated lengths are valid if they are equal (RFC 9110, 8.6).
        let declared = self.request.headers().get_all(CONTENT_LENGTH).iter();
        for declared in declared.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')) {
            let declared = str::from_utf8(declared.trim_ascii()).ok();
            let bytes = declared.filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
            match bytes.and_then(|text| text.parse::<usize>().ok()) {
                Some(bytes) if bytes > MAX_BODY_BYTES => return Err(Failure::BodyTooLarge),
                Some(bytes) if bytes == received => {}
                Some(bytes) => {
                    let message = format!("declares {bytes} bytes, but {received} arrived; send the request again");
                    return Err(Invalid::one("Content-Length", message).into());
                }
                None => return Err(Invalid::one("Content-Length", "must be the number of bytes of the body").into()),
            }
        }
        if is_broken {
            return Err(Invalid::one("", "The body is incomplete; send the request again").into());
        }
        Ok(())
    }

    fn check_conditions(&self, supported: Conditions) -> Result<(), Failure> {
        const UNSUPPORTED: &str = "is not supported by this call; leave the header out";
        const UNKNOWN_DATE: &str = "is not supported; use If-Match if the call supports If-Match";
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
            Conditions::IfMatchOrNew => {
                Err(Invalid::one("If-None-Match", "must be *, because this call compares no tag in If-None-Match")
                    .into())
            }
            _ if absent.next().is_none() => Ok(()),
            _ => Err(Invalid::one("If-None-Match", UNSUPPORTED).into()),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self.request.body() {
            Body::Text(text) => text.as_bytes(),
            Body::Binary(bytes) => bytes,
            _ => &[],
        }
    }

    /// Parses the query, which may have these parameters.
    pub fn query(&self, parameters: &'static [Field]) -> Query {
        Query::new(&self.query_text(), parameters)
    }

    /// Returns the raw query, without cache busters.
    pub fn query_text(&self) -> Cow<'_, str> {
        without_cache_busters(self.request.uri().query().unwrap_or_default())
    }

    /// Returns the client's network, as seen by the gateway or by this machine. Headers such as `X-Forwarded-For` are
    /// ignored, because the caller can set them freely.
    pub fn network(&self) -> Network {
        let address = match self.request.request_context_ref() {
            Some(RequestContext::ApiGatewayV2(context)) => {
                context.http.source_ip.as_deref().and_then(|address| address.parse().ok())
            }
            _ => self.request.extensions().get::<Peer>().map(|peer| peer.0),
        };
        address.map_or(Network::Unknown, Network::from)
    }

    /// Checks that the call does not come from a web page of a foreign origin.
    ///
    /// # Errors
    ///
    /// [`Failure::OriginForbidden`] for a page whose origin is not allowed.
    pub fn check_origin(&self) -> Result<(), Failure> {
        origin::check(self.request.headers(), &self.app.allowed_origins)
    }

    /// Refuses an idempotency key. The answer holds a secret, which the table must not keep for a repeated call.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] for a call with the header.
    pub fn check_no_idempotency_key(&self) -> Result<(), Failure> {
        const REFUSED: &str = "is not supported by this call, whose answer holds a secret; leave the header out";
        match self.request.headers().contains_key(IDEMPOTENCY_KEY) {
            true => Err(Invalid::one("Idempotency-Key", REFUSED).into()),
            false => Ok(()),
        }
    }

    /// Returns the contact that the path names. If the value is not a number, as in `contact/byprefix` of ONLYOFFICE's
    /// server, the path does not exist.
    pub fn contact_id(&self) -> Result<ContactId, Failure> {
        let text = self.parameter("contactid");
        if !routes::is_number(&text) {
            return Err(Failure::RouteNotFound);
        }
        text.parse()
            .map_err(|fault: models::values::id::NotAContactId| Invalid::one("contactid", fault.to_string()).into())
    }

    /// Returns the job that the path names.
    pub fn job_id(&self) -> Result<JobId, Failure> {
        let id = self.parameter("jobid").parse();
        id.map_err(|_| Invalid::one("jobid", "must be the UUID of a job, as in X-Job-Id").into())
    }

    /// Returns the name of a standing rule from the path.
    pub fn rule_name(&self) -> Result<RuleName, Failure> {
        let name = self.parameter("name").parse();
        name.map_err(|fault: models::rule::NotARuleName| Invalid::one("name", fault.to_string()).into())
    }

    /// Returns the name of a stored rule from the path. Earlier versions may have stored names that are invalid for new
    /// rules.
    pub fn stored_rule_name(&self) -> Result<RuleName, Failure> {
        let name = self.parameter("name");
        if (1..=MAX_STORED_RULE_NAME_BYTES).contains(&name.len()) {
            Ok(RuleName::stored(name))
        } else {
            self.rule_name()
        }
    }

    /// Returns the user that the path names.
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
        if self.strips_suffix { Suffix::split(text).0.to_owned() } else { text.to_owned() }
    }
}

/// A user as named in a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedUser {
    /// The caller.
    Caller,
    /// The user with this identifier.
    Id(UserId),
    /// The user with this address, which answers show as `userName`.
    Email(Email),
}

/// The message for a `GET` with a body: the sender may expect the body to select contacts.
const UNREAD_BODY_OF_GET: &str =
    "A GET accepts no body. Write the filter into the query, such as ?tags=vip&contactStage=3";

/// The byte order mark of UTF-8, which some editors and .NET write.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Returns a query without empty parameters and without cache busters. Browser clients add `_=482913` to bypass caches,
/// and ONLYOFFICE's client adds `__=482913`.
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

#[cfg(test)]
mod tests;
