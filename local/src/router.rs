//! HTTP in front of the functions, doing what API Gateway does on AWS: it finds the endpoint and hands over the path's
//! parameters and the body.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::net::SocketAddr;

use api::call::{BrokenBody, Peer};
use api::endpoint::unrouted;
use api::routes;
use api::{App, Endpoint, Failure};
use axum::Router;
use axum::body::Body as AxumBody;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{ConnectInfo, RawPathParams};
use axum::routing::{MethodFilter, MethodRouter};
use futures::StreamExt as _;
use lambda_http::http::{Method, Request as HttpRequest, Response};
use lambda_http::{Body, Request, RequestExt as _};
use models::limits::MAX_BODY_BYTES;
use tower::Layer as _;
use tower::util::MapRequestLayer;

use crate::endpoints;
use crate::server::BodyTimeout;

/// Bytes of a body that are read at most, as API Gateway does; what is over [`MAX_BODY_BYTES`] is read only so that
/// the caller comes to hear that it is too much.
const MAX_READ_BYTES: usize = 10 * 1024 * 1024;

const _: () = assert!(MAX_READ_BYTES > MAX_BODY_BYTES);

/// The service as one router.
pub fn router(app: &App) -> Router {
    let mut paths: BTreeMap<String, Vec<Endpoint>> = BTreeMap::new();
    for endpoint in endpoints() {
        for path in endpoint.routes() {
            paths.entry(path).or_default().push(*endpoint);
        }
    }
    let routed =
        paths.into_iter().fold(Router::new(), |router, (path, methods)| router.route(&path, route(app, &methods)));
    let routed = routed.fallback(|request: HttpRequest<AxumBody>| async {
        let request = request.map(|_| Body::Empty);
        to_axum(unrouted(&request, Failure::RouteNotFound))
    });
    // A layer of `routed` itself would see the path after axum has chosen a route.
    Router::new().fallback_service(MapRequestLayer::new(tidy_path).layer(routed))
}

/// A request without the extra slashes that clients put into a path: at its end, and where an address that ends with a slash
/// is joined to a path that begins with one.
fn tidy_path(mut request: HttpRequest<AxumBody>) -> HttpRequest<AxumBody> {
    if let Some(tidy) = routes::without_extra_slashes(request.uri()) {
        *request.uri_mut() = tidy;
    }
    request
}

fn route(app: &App, endpoints: &[Endpoint]) -> MethodRouter {
    let methods = endpoints.iter().fold(MethodRouter::new(), |methods, endpoint| {
        let (app, endpoint) = (app.clone(), *endpoint);
        let filter = endpoint.method.parse().ok().and_then(|method: Method| MethodFilter::try_from(method).ok());
        // Every method that an endpoint can name is one that axum knows; a test walks through all of them.
        methods.on(
            filter.unwrap_or(MethodFilter::TRACE),
            move |parameters: Result<RawPathParams, RawPathParamsRejection>, request: HttpRequest<AxumBody>| async move {
                // One that is no text is missing, which its endpoint answers as it does everything else.
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
    let refuse = move |request: HttpRequest<AxumBody>| async move {
        let request = request.map(|_| Body::Empty);
        to_axum(unrouted(&request, routes::refusal(request.uri().path())))
    };
    // axum would let a GET answer it.
    methods.on(MethodFilter::HEAD, refuse).fallback(refuse)
}

/// The request as Lambda hands it to a function. A request whose body is late comes back without the body.
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
            tracing::debug!(%broken, "request body broke off");
            // The part that arrived is dropped, so that no handler can mistake it for the whole.
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

/// Reads a body, and keeps of one that is too long just enough to show that it is.
///
/// # Errors
///
/// When the body does not arrive in time, ends before the end that its length or its last chunk sets, or is not framed
/// correctly.
async fn read(body: AxumBody) -> Result<Vec<u8>, axum::Error> {
    let mut kept = Vec::new();
    let mut read = 0;
    let mut stream = body.into_data_stream();
    while let Some(data) = stream.next().await {
        let data = data?;
        read += data.len();
        let room = (MAX_BODY_BYTES + 1).saturating_sub(kept.len());
        kept.extend_from_slice(&data[..room.min(data.len())]);
        if read > MAX_READ_BYTES {
            break;
        }
    }
    Ok(kept)
}

/// Whether a body ended because its time was up.
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
