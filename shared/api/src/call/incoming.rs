//! A request before anybody knows who calls: the body, the query and the parts of the path.

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
use models::limits::{ANSWER_RESERVE_MILLIS, MAX_BODY_BYTES, SYNCHRONOUS_RUN_MILLIS};
use models::request::{Query, RequestBody, check_no_fields};
use models::rule::RuleName;
use models::sign_in::{Email, Network};
use models::values::id::{ContactId, UserId};
use models::values::moment::Moment;
use tokio::time::Instant;

use crate::app::App;
use crate::endpoint::{Conditions, Endpoint, Payload};
use crate::failure::Failure;
use crate::negotiation::{self, BodyType, ResponseFormat};
use crate::{origin, routes};

/// A call before anyone asks who makes it.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// The store, the clock.
    pub app: &'a App,
    /// What the caller wants back.
    pub wanted: ResponseFormat,
    /// When the call came in.
    pub now: Moment,
    /// When a run on its behalf stops taking up work.
    pub deadline: Instant,
    /// Whether the suffix stands behind a parameter, which is the path's only one.
    pub(super) strips: bool,
    pub(super) request: Request,
}

/// The address of who called this machine, where no gateway tells it.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// Marks a request whose body broke off before its end: the connection ended, or its framing is wrong. The server that
/// read the body puts the mark among the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct BrokenBody;

impl<'a> Incoming<'a> {
    /// A call of the endpoint at `path`.
    pub(crate) fn new(app: &'a App, request: Request, path: &str, wanted: ResponseFormat) -> Self {
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
    pub(super) fn check_coding(&self) -> Result<(), Failure> {
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
    pub(super) fn check_length(&self) -> Result<(), Failure> {
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

    pub(super) fn check_conditions(&self, supported: Conditions) -> Result<(), Failure> {
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

    pub(super) fn bytes(&self) -> &[u8] {
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

    pub(super) fn parameter(&self, name: &str) -> String {
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

/// Bytes of a stored rule's name at most: it is a part of a key.
pub(super) const MAX_STORED_RULE_NAME_BYTES: usize = 255;

/// Why a `GET` with a body is refused: who sends one expects the body to select something.
pub(super) const UNREAD_BODY_OF_GET: &str =
    "A GET takes no body. Write the filter into the query, such as ?tags=vip&contactStage=3";

/// Bytes before a text that say that it is UTF-8; some editors and .NET write them.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A query without the parameters that browser clients add so that no cache answers: `_=482913`, or `__=482913` as
/// ONLYOFFICE's client does. Empty parameters go with them.
pub(super) fn without_cache_busters(query: &str) -> Cow<'_, str> {
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
