//! Requests to the service of a world.

use axum::body::{Body, to_bytes};
use lambda_http::http::Request;
use serde_json::Value;
use tower::ServiceExt as _;

use super::World;
use crate::{Reply, WorldError, described};

impl World {
    /// Sends any request. An answer that the OpenAPI document does not describe is an error.
    pub async fn request(&self, request: Request<Body>) -> Result<Reply, WorldError> {
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        self.catch_up().await?;
        let response = self.router.clone().oneshot(request).await?;
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await?;
        let text = String::from_utf8(bytes.to_vec()).unwrap_or_default();
        let reply = Reply { status: parts.status, headers: parts.headers, text, body: bytes.to_vec() };
        self.catch_up().await?;
        described::check(&method, &path, &reply)?;
        Ok(reply)
    }

    /// `PUT`s JSON to a path below `/api/2.0/crm/contact/`, with a token and extra headers.
    pub async fn put_with(
        &self,
        path: &str,
        token: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Result<Reply, WorldError> {
        let mut request = Request::put(format!("/api/2.0/crm/contact/{path}"))
            .header("authorization", token)
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.request(request.body(Body::from(body.to_owned()))?).await
    }

    /// Calls any path with a method, a token (may be empty), headers and a body.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        token: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Reply, WorldError> {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.request(request.body(Body::from(body.to_owned()))?).await
    }

    /// `GET`s a path below `/api/2.0/crm/contact/`.
    pub async fn contact(&self, path: &str, token: &str) -> Result<Reply, WorldError> {
        self.call("GET", &format!("/api/2.0/crm/contact/{path}"), token, &[], "").await
    }

    /// Calls a path below `/api/2.0/crm/access/` with a method, a token, headers and a body (may be empty).
    pub async fn access_with(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Result<Reply, WorldError> {
        let mut request =
            Request::builder().method(method).uri(format!("/api/2.0/crm/access/{path}")).header("authorization", token);
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.request(request.body(Body::from(body.to_owned()))?).await
    }

    /// `GET`s a path below `/api/2.0/crm/access/`.
    pub async fn get(&self, path: &str, token: &str) -> Result<Reply, WorldError> {
        self.access_with("GET", path, token, "", &[]).await
    }

    /// `POST`s to a path below `/api/2.0/crm/access/`.
    pub async fn post(&self, path: &str, token: &str) -> Result<Reply, WorldError> {
        self.access_with("POST", path, token, "", &[]).await
    }

    /// `PUT`s JSON to a path below `/api/2.0/crm/contact/`.
    pub async fn put(&self, path: &str, token: &str, body: &Value) -> Result<Reply, WorldError> {
        self.put_with(path, token, &body.to_string(), &[]).await
    }
}
