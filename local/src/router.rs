//! Routes HTTP requests to the functions. Like API Gateway on AWS, the router finds the endpoint and passes on the
//! path's parameters and the body.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::net::SocketAddr;

use api::call::{BrokenBody, Peer};
use api::endpoint::unrouted;
use api::{App, Endpoint, Failure, routes, site};
use axum::Router;
use axum::body::Body as AxumBody;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{ConnectInfo, RawPathParams};
use axum::routing::{MethodFilter, MethodRouter, any};
use futures::StreamExt as _;
use lambda_http::http::{Method, Request as HttpRequest, Response};
use lambda_http::{Body, Request, RequestExt as _};
use models::limits::MAX_BODY_BYTES;
use tower::Layer as _;
use tower::util::MapRequestLayer;

use crate::endpoints;
use crate::server::BodyTimeout;

/// The maximum bytes of a body that are read, as in API Gateway. Bytes beyond [`MAX_BODY_BYTES`] are read only so that
/// the caller receives the refusal.
const MAX_READ_BYTES: usize = 10 * 1024 * 1024;

const _: () = assert!(MAX_READ_BYTES > MAX_BODY_BYTES);

/// Returns the service as one router.
pub fn router(app: &App) -> Router {
    let mut paths: BTreeMap<String, Vec<Endpoint>> = BTreeMap::new();
    for endpoint in endpoints() {
        for path in endpoint.routes() {
            paths.entry(path).or_default().push(*endpoint);
        }
    }
    let routed =
        paths.into_iter().fold(Router::new(), |router, (path, methods)| router.route(&path, route(app, &methods)));
    let routed =
        site::PATHS.into_iter().fold(routed, |router, path| router.route(&path.replace("{file+}", "{*file}"), page()));
    let routed = routed.fallback(|request: HttpRequest<AxumBody>| async {
        let request = request.map(|_| Body::Empty);
        to_axum(unrouted(&request, Failure::RouteNotFound))
    });
    // A layer of `routed` itself would run after axum has matched the route.
    Router::new().fallback_service(MapRequestLayer::new(tidy_path).layer(routed))
}

/// Removes the extra slashes that clients write at the end of the path, or where they join a base address to a path.
fn tidy_path(mut request: HttpRequest<AxumBody>) -> HttpRequest<AxumBody> {
    if let Some(tidy) = routes::without_extra_slashes(request.uri()) {
        *request.uri_mut() = tidy;
    }
    request
}

fn route(app: &App, endpoints: &[Endpoint]) -> MethodRouter {
    // Each refusal names its methods itself. `any` keeps axum from adding `Allow`, also to an answer 404.
    let methods = endpoints.iter().fold(any(refuse), |methods, endpoint| {
        let (app, endpoint) = (app.clone(), *endpoint);
        let filter = endpoint.method.parse().ok().and_then(|method: Method| MethodFilter::try_from(method).ok());
        // axum knows every method that an endpoint names; a test checks all of them.
        methods.on(
            filter.unwrap_or(MethodFilter::TRACE),
            move |parameters: Result<RawPathParams, RawPathParamsRejection>, request: HttpRequest<AxumBody>| async move {
                // A parameter that is not UTF-8 counts as missing, and the endpoint answers with its own error.
                let parameters: Vec<(String, String)> = parameters
                    .iter()
                    .flat_map(RawPathParams::iter)
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect();
                to_axum(match to_lambda(request, parameters).await {
                    Ok(request) => endpoint.answer(&app, request).await,
                    Err(late) => unrouted(&late, Failure::RequestTimeout),
                })
            },
        )
    });
    // By default, axum answers HEAD with the GET handler.
    methods.on(MethodFilter::HEAD, refuse)
}

/// Refuses a method that the path does not have.
async fn refuse(request: HttpRequest<AxumBody>) -> Response<AxumBody> {
    let request = request.map(|_| Body::Empty);
    to_axum(unrouted(&request, routes::refusal(request.uri().path())))
}

/// Returns the route to the site, which answers all methods itself.
fn page() -> MethodRouter {
    any(|request: HttpRequest<AxumBody>| async move {
        let request = request.map(|_| Body::Empty);
        to_axum(web_console::SITE.answer(&request))
    })
}

/// Converts a request to Lambda's form. If the body times out, returns the request without the body as the error.
async fn to_lambda(request: HttpRequest<AxumBody>, parameters: Vec<(String, String)>) -> Result<Request, Request> {
    let (mut parts, body) = request.into_parts();
    if let Some(ConnectInfo(address)) = parts.extensions.get::<ConnectInfo<SocketAddr>>() {
        let peer = Peer(address.ip());
        parts.extensions.insert(peer);
    }
    let bytes = match read(body).await {
        Ok(bytes) => bytes,
        Err(error) if is_late(&error) => return Err(Request::from_parts(parts, Body::Empty)),
        Err(broken) => {
            tracing::debug!(%broken, "request body ended early");
            // Drop the part that arrived, so that no handler can mistake this part for a complete body.
            parts.extensions.insert(BrokenBody);
            Vec::new()
        }
    };
    let body = match String::from_utf8(bytes) {
        Ok(text) if text.is_empty() => Body::Empty,
        Ok(text) => Body::Text(text),
        Err(error) => Body::Binary(error.into_bytes()),
    };
    let parameters = parameters.into_iter().map(|(name, value)| (name, vec![value]));
    let parameters = parameters.collect::<std::collections::HashMap<_, _>>();
    Ok(Request::from_parts(parts, body).with_path_parameters(parameters))
}

/// Reads a body. Returns at most one byte more than the limit: the additional byte shows that the body is too long.
///
/// # Errors
///
/// When the body does not arrive in time, ends before its declared length or its last chunk, or is not framed
/// correctly.
async fn read(body: AxumBody) -> Result<Vec<u8>, axum::Error> {
    let mut bytes = Vec::new();
    let mut read = 0;
    let mut stream = body.into_data_stream();
    while let Some(data) = stream.next().await {
        let data = data?;
        read += data.len();
        let room = (MAX_BODY_BYTES + 1).saturating_sub(bytes.len());
        bytes.extend_from_slice(&data[..room.min(data.len())]);
        if read > MAX_READ_BYTES {
            break;
        }
    }
    Ok(bytes)
}

/// Returns whether reading a body failed by timeout.
fn is_late(error: &axum::Error) -> bool {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.into_iter().any(|cause| cause.is::<BodyTimeout>())
}

pub(crate) fn to_axum(response: Response<Body>) -> Response<AxumBody> {
    response.map(|body| match body {
        Body::Text(text) => AxumBody::from(text),
        Body::Binary(bytes) => AxumBody::from(bytes),
        _ => AxumBody::empty(),
    })
}
