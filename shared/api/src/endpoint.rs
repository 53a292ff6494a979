//! Endpoints: the methods and paths of a function, as values that the Lambda runtime, the local server and the tests
//! share.

use futures::future::BoxFuture;
use lambda_http::http::Response;
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt as _};
use models::answer::Suffix;
use models::directory::Scope;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::answer::Answer;
use crate::answer::response::{ResponseOptions, respond};
use crate::app::App;
use crate::call::{Call, Incoming, PublicCall};
use crate::failure::Failure;
use crate::idempotency::{self, Target, WriteCall};
use crate::negotiation;
use crate::routes;

/// A handler of calls that only read.
pub type ReadHandler = for<'a> fn(Call<'a>) -> BoxFuture<'a, Result<Answer, Failure>>;

/// A handler of calls that change something. The handler never gets a repeated call.
pub type WriteHandler = for<'a> fn(WriteCall<'a>) -> BoxFuture<'a, Result<Answer, Failure>>;

/// A handler of calls without a caller.
pub type PublicHandler = for<'a> fn(PublicCall<'a>) -> BoxFuture<'a, Result<Answer, Failure>>;

/// The authentication that an endpoint requires, and its handler.
#[derive(Clone, Copy, Debug)]
pub enum Auth {
    /// A token with the scope `read`.
    Read(ReadHandler),
    /// A token with the scope `write`. The call may carry an idempotency key.
    Write(WriteHandler),
    /// Any valid token, which the call changes. The call may carry an idempotency key.
    OwnToken(WriteHandler),
    /// Any valid token. The answer holds a secret, which the table must not keep, so the call may not carry an
    /// idempotency key.
    Secret(WriteHandler),
    /// No token.
    Public(PublicHandler),
}

/// The body that an endpoint reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// None. A request whose body holds a field is refused: the caller expects the field to have an effect.
    None,
    /// Fields, as JSON or as a form. The handler reads them.
    Fields,
}

/// The preconditions (RFC 9110, section 13.1) that a write evaluates. Other preconditions are refused: an ignored
/// precondition would allow a change that the caller wants to prevent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// None.
    None,
    /// `If-Match`.
    IfMatch,
    /// `If-Match`, and `If-None-Match: *`.
    IfMatchOrNew,
}

/// The dialect of an endpoint's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The dialect of ONLYOFFICE's two reference pages, for a call without a suffix and with a JSON body. Any other
    /// call gets the dialect of ONLYOFFICE's server.
    Documents,
    /// The dialect of ONLYOFFICE's server.
    OnlyOffice,
}

/// One method of one path.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// The Lambda function that serves the endpoint.
    pub function: &'static str,
    /// The method.
    pub method: &'static str,
    /// The path, with its parameters in braces.
    pub path: &'static str,
    /// The body that the endpoint reads.
    pub payload: Payload,
    /// The dialect of the answers.
    pub dialect: Dialect,
    /// The preconditions that the endpoint evaluates. `GET` evaluates `If-None-Match` on every path, for caches.
    pub conditions: Conditions,
    /// The required authentication, and the handler.
    pub auth: Auth,
}

impl Endpoint {
    /// Returns the required scope of a token; none if the endpoint accepts any token or needs no token.
    pub fn scope(&self) -> Option<Scope> {
        match self.auth {
            Auth::Read(_) => Some(Scope::Read),
            Auth::Write(_) => Some(Scope::Write),
            Auth::OwnToken(_) | Auth::Secret(_) | Auth::Public(_) => None,
        }
    }

    /// Returns whether a call may carry an idempotency key.
    pub fn accepts_idempotency_key(&self) -> bool {
        matches!(self.auth, Auth::Write(_) | Auth::OwnToken(_))
    }

    /// Returns whether a call needs a token.
    pub fn needs_token(&self) -> bool {
        !matches!(self.auth, Auth::Public(_))
    }

    /// Returns the paths that are routed to the endpoint: its path, and its path with each suffix. A path that ends in
    /// a parameter gets no further routes, because the parameter includes the suffix. A path that already has a suffix
    /// gets no further routes either.
    pub fn routes(&self) -> impl Iterator<Item = String> + '_ {
        let has_others = !self.path.ends_with('}') && Suffix::split(self.path).1.is_none();
        let others = Suffix::ALL.into_iter().filter(move |_| has_others);
        std::iter::once(self.path.to_owned()).chain(others.map(|suffix| format!("{}{}", self.path, suffix.text())))
    }

    /// Returns the suffix of a call's path, which selects the format of the answer.
    fn suffix(&self, request: &Request) -> Option<Suffix> {
        match Suffix::split(self.path) {
            (_, None) => Suffix::split(request.uri().path()).1,
            // The suffix belongs to the endpoint's path, so the suffix selects no format.
            (_, Some(_)) => None,
        }
    }

    /// Answers any request.
    pub async fn answer(&self, app: &App, request: Request) -> Response<Body> {
        let request_id = request_id(&request);
        let span = tracing::info_span!("call", request_id, function = self.function);
        self.answer_as(app, request, &request_id).instrument(span).await
    }

    async fn answer_as(&self, app: &App, request: Request, request_id: &str) -> Response<Body> {
        let started = tokio::time::Instant::now();
        let app = app.metered();
        let format = negotiation::response_format(request.headers(), self.suffix(&request), self.dialect);
        let options = ResponseOptions::new(&request, format.clone(), request_id);
        let incoming = Incoming::new(&app, request, self.path, format);
        let result = match self.auth {
            Auth::Read(handler) => self.answer_caller(incoming, handler).await,
            Auth::Write(handler) => {
                let answer = |call| idempotency::answer(call, Target::Path, handler);
                self.answer_caller(incoming, answer).await
            }
            Auth::OwnToken(handler) => {
                let answer = |call| idempotency::answer(call, Target::Token, handler);
                self.answer_caller(incoming, answer).await
            }
            Auth::Secret(handler) => {
                let answer = |call| idempotency::answer_with_secret(call, handler);
                self.answer_caller(incoming, answer).await
            }
            Auth::Public(handler) => match incoming.check_received(self) {
                Ok(()) => handler(PublicCall::new(incoming)).await,
                Err(failure) => Err(failure),
            },
        };
        let response = respond(result, &options);
        let spent = app.store.meter().reading();
        tracing::info!(
            status = response.status().as_u16(),
            millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            dynamodb_calls = spent.calls,
            read_units = spent.read_units,
            write_units = spent.write_units,
            "answered"
        );
        response
    }

    /// Authenticates the caller, checks the request, and gives the call to `answer`.
    async fn answer_caller<'a, F>(
        &self,
        incoming: Incoming<'a>,
        answer: impl FnOnce(Call<'a>) -> F,
    ) -> Result<Answer, Failure>
    where
        F: Future<Output = Result<Answer, Failure>>,
    {
        let call = Call::new(incoming).await?;
        let token = call.token_check();
        let result = match call.check_scope(self.scope()).and_then(|()| call.check_received(self)) {
            Ok(()) => answer(call).await,
            Err(failure) => Err(failure),
        };
        token.hold(result).await
    }
}

/// Returns the endpoint for the route of an HTTP API event.
pub(crate) fn routed<'a>(endpoints: &'a [Endpoint], request: &Request) -> Option<&'a Endpoint> {
    let RequestContext::ApiGatewayV2(context) = request.request_context_ref()? else { return None };
    let (method, path) = context.route_key.as_deref()?.split_once(' ')?;
    endpoints.iter().find(|endpoint| endpoint.method == method && endpoint.routes().any(|route| route == path))
}

/// Returns the endpoint for an event of the HTTP API's default route. A path with extra slashes matches no other route,
/// so the path is compared without the extra slashes.
///
/// # Errors
///
/// [`Failure::MethodNotAllowed`] if the path has other methods, else [`Failure::RouteNotFound`].
pub(crate) fn routed_by_default<'a>(endpoints: &'a [Endpoint], request: &mut Request) -> Result<&'a Endpoint, Failure> {
    let tidy = routes::without_extra_slashes(request.uri());
    let path = tidy.as_ref().unwrap_or(request.uri()).path();
    let method = request.method().as_str();
    let found = endpoints
        .iter()
        .filter(|endpoint| !endpoint.path.contains('{'))
        .find(|endpoint| endpoint.method == method && endpoint.routes().any(|route| route == path));
    match found {
        Some(endpoint) => {
            if let Some(tidy) = tidy {
                *request.uri_mut() = tidy;
            }
            Ok(endpoint)
        }
        // The gateway has a route for this path and method. Only its extra slashes brought the call to the default
        // route.
        None if routes::methods_of(path).contains(&method) => Err(Failure::RouteNotFound),
        None => Err(routes::refusal(path)),
    }
}

/// Returns the response for a call that reached no endpoint.
pub fn unrouted(request: &Request, failure: Failure) -> Response<Body> {
    refused(request, failure, &request_id(request))
}

/// Returns the response for a call with this identifier that reached no endpoint.
pub(crate) fn refused(request: &Request, failure: Failure, request_id: &str) -> Response<Body> {
    let (_, suffix) = Suffix::split(request.uri().path());
    let format = negotiation::response_format(request.headers(), suffix, Dialect::OnlyOffice);
    respond(Err(failure), &ResponseOptions::new(request, format, request_id))
}

/// Returns Lambda's request identifier, or a new identifier outside of Lambda.
pub(crate) fn request_id(request: &Request) -> String {
    match request.lambda_context_ref() {
        Some(context) if !context.request_id.is_empty() => context.request_id.clone(),
        _ => Uuid::now_v7().to_string(),
    }
}
