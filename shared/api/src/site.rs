//! The site: a web page whose files are embedded in a program, in compressed forms too.
//!
//! The page has a fixed address, and browsers revalidate their copy at each visit. All other files stand in a folder
//! whose name changes with their contents, so browsers keep these files for ever. The headers forbid every script,
//! style and connection of another origin, and every script inside the page.

use lambda_http::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, LOCATION, VARY,
};
use lambda_http::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use lambda_http::{Body, Request};

use crate::answer::REQUEST_ID;
use crate::answer::response::KnownTags;
use crate::endpoint::{refused, request_id};
use crate::failure::Failure;
use crate::negotiation::Compression;
use crate::routes;

/// The paths of the site: two paths of the page, then the path of its files.
pub const PATHS: [&str; 3] = ["/", PAGE, "/console/{folder}/{file+}"];

/// The methods of each path.
pub const METHODS: [&str; 2] = ["GET", "HEAD"];

/// The address of the page.
const PAGE: &str = "/console";

/// The file at the address of the page.
const PAGE_FILE: &str = "index.html";

/// The policy of the page. `trusted-types 'none'` allows no text to become code, also inside the page's own scripts.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                                       connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                                       require-trusted-types-for 'script'; trusted-types 'none'";

/// The browser features that the page disables: all features that need a permission.
const PERMISSIONS_POLICY: &str = "accelerometer=(), autoplay=(), camera=(), clipboard-read=(), clipboard-write=(), \
                                  display-capture=(), encrypted-media=(), fullscreen=(), gamepad=(), geolocation=(), \
                                  gyroscope=(), hid=(), idle-detection=(), local-fonts=(), magnetometer=(), \
                                  microphone=(), midi=(), payment=(), picture-in-picture=(), \
                                  publickey-credentials-create=(), publickey-credentials-get=(), screen-wake-lock=(), \
                                  serial=(), storage-access=(), usb=(), window-management=(), xr-spatial-tracking=()";

/// The security headers of every answer of the site.
const PROTECTION: [(HeaderName, &str); 5] = [
    (HeaderName::from_static("content-security-policy"), CONTENT_SECURITY_POLICY),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), PERMISSIONS_POLICY),
    (HeaderName::from_static("referrer-policy"), "no-referrer"),
    (HeaderName::from_static("x-content-type-options"), "nosniff"),
];

/// A file of the site.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// The path in the folder, with `/` between its parts.
    pub name: &'static str,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// A digest of the content, in hexadecimal.
    pub digest: &'static str,
    /// The content.
    pub plain: &'static [u8],
    /// The content compressed with gzip, if smaller.
    pub gzip: Option<&'static [u8]>,
    /// The content compressed with Brotli, if smaller.
    pub brotli: Option<&'static [u8]>,
}

/// The files of the site, and their function.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// The Lambda function that serves the site.
    pub function: &'static str,
    /// The name of the folder of all files but the page, which changes with their names and contents.
    pub folder: &'static str,
    /// The files, among them the page.
    pub files: &'static [File],
}

/// The time for which a browser may use its copy of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lifetime {
    /// No time: the browser asks at each visit whether its copy is current.
    Visit,
    /// For ever: another content has another address.
    Immutable,
}

impl Lifetime {
    /// Returns the value of `Cache-Control`.
    const fn policy(self) -> &'static str {
        match self {
            Self::Visit => "no-cache",
            Self::Immutable => "public, max-age=31536000, immutable",
        }
    }
}

impl Site {
    /// Answers any request.
    pub fn answer(&self, request: &Request) -> Response<Body> {
        let request_id = request_id(request);
        tracing::info_span!("call", request_id, function = self.function).in_scope(|| {
            let mut response = match self.find(request) {
                Ok((file, lifetime)) => show(file, lifetime, request),
                Err(failure) => refused(request, failure, &request_id),
            };
            let headers = response.headers_mut();
            // A refusal has some of these headers already.
            if let Ok(id) = HeaderValue::from_str(&request_id) {
                headers.insert(REQUEST_ID, id);
            }
            for (name, value) in PROTECTION {
                headers.insert(name, HeaderValue::from_static(value));
            }
            tracing::info!(status = response.status().as_u16(), "answered");
            response
        })
    }

    /// Returns the requested file. The folder holds no page, so that browsers keep no page for ever.
    fn find(&self, request: &Request) -> Result<(&File, Lifetime), Failure> {
        let path = request.uri().path();
        if !METHODS.contains(&request.method().as_str()) {
            return Err(routes::refusal(path));
        }
        let named = |name: &str| self.files.iter().find(|file| file.name == name).ok_or(Failure::RouteNotFound);
        if path == "/" || path == PAGE {
            return Ok((named(PAGE_FILE)?, Lifetime::Visit));
        }
        let parts = path.strip_prefix(PAGE).and_then(|rest| rest.strip_prefix('/')?.split_once('/'));
        match parts {
            Some((folder, name)) if folder == self.folder && name != PAGE_FILE => {
                Ok((named(name)?, Lifetime::Immutable))
            }
            _ => Err(Failure::RouteNotFound),
        }
    }
}

impl File {
    /// Returns the best form that the caller accepts.
    fn form(&self, headers: &HeaderMap) -> (Option<Compression>, &'static [u8]) {
        let compressed = Compression::ALL.into_iter().find_map(|compression| {
            let bytes = match compression {
                Compression::Brotli => self.brotli,
                Compression::Gzip => self.gzip,
            };
            bytes.filter(|_| compression.is_accepted(headers)).map(|bytes| (Some(compression), bytes))
        });
        compressed.unwrap_or((None, self.plain))
    }
}

/// Returns the response with a file, or the response that the caller's copy is current.
fn show(file: &File, lifetime: Lifetime, request: &Request) -> Response<Body> {
    let (compression, bytes) = file.form(request.headers());
    let tag = format!("\"{}{}\"", file.digest, compression.map_or("", Compression::mark));
    let is_known = KnownTags::of(request.headers()).include(&tag);
    let body = match compression {
        _ if is_known || *request.method() == Method::HEAD => Body::Empty,
        Some(_) => Body::Binary(bytes.to_vec()),
        // Lambda sends text unchanged, and binary bodies as base64.
        None => {
            std::str::from_utf8(bytes).map_or_else(|_| Body::Binary(bytes.to_vec()), |text| Body::Text(text.into()))
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    if !is_known {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.content_type));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        headers.extend(compression.map(|of| (CONTENT_ENCODING, HeaderValue::from_static(of.name()))));
    }
    // The conversion never fails: an entity tag has only quotes, hyphens, digits and letters.
    headers.extend(HeaderValue::from_str(&tag).ok().map(|tag| (ETAG, tag)));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(lifetime.policy()));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    response
}

/// Returns the address of the page if only extra slashes kept the request from the page. API Gateway accepts no route
/// that ends in a slash.
pub(crate) fn page_behind(request: &Request) -> Option<&'static str> {
    let is_reading = METHODS.contains(&request.method().as_str());
    let tidy = routes::without_extra_slashes(request.uri()).filter(|_| is_reading)?;
    (tidy.path() == PAGE).then_some(PAGE)
}

/// Returns a redirect to another address.
pub(crate) fn moved_to(address: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(address));
    response
}

#[cfg(test)]
mod tests {
    use lambda_http::http::header::ALLOW;

    use super::*;

    const FILES: &[File] = &[
        File {
            name: "index.html",
            content_type: "text/html; charset=utf-8",
            digest: "0a",
            plain: b"<!doctype html>",
            gzip: Some(b"gzip"),
            brotli: Some(b"br"),
        },
        File {
            name: "vendor/a.js",
            content_type: "text/javascript; charset=utf-8",
            digest: "0b",
            plain: b"1",
            gzip: None,
            brotli: None,
        },
        File { name: "a.png", content_type: "image/png", digest: "0c", plain: b"\xff", gzip: None, brotli: None },
    ];
    const SITE: Site = Site { function: "web-console", folder: "f0", files: FILES };

    fn get(path: &str, headers: &[(&'static str, &'static str)]) -> Response<Body> {
        call("GET", path, headers)
    }

    fn call(method: &str, path: &str, headers: &[(&'static str, &'static str)]) -> Response<Body> {
        let mut request = Request::new(Body::Empty);
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = path.parse().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        SITE.answer(&request)
    }

    fn header(response: &Response<Body>, name: HeaderName) -> &str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn page_is_compared_at_each_visit_and_its_files_are_kept() {
        for path in ["/", "/console", "/console?a=b"] {
            let page = get(path, &[]);
            assert_eq!(page.status(), 200, "{path}");
            assert_eq!(header(&page, CACHE_CONTROL), "no-cache");
            assert_eq!(header(&page, ETAG), "\"0a\"");
            assert!(matches!(page.body(), Body::Text(text) if text == "<!doctype html>"));
            for known in ["\"0a\"", "\"0a-gzip\"", "W/\"0a-br\", \"x\"", "*"] {
                let same = get(path, &[("if-none-match", known)]);
                assert_eq!((same.status().as_u16(), header(&same, ETAG)), (304, "\"0a\""), "{known}");
                assert!(matches!(same.body(), Body::Empty));
            }
            assert_eq!(get(path, &[("if-none-match", "\"0b\"")]).status(), 200);
        }
        let script = get("/console/f0/vendor/a.js", &[]);
        assert_eq!(header(&script, CACHE_CONTROL), "public, max-age=31536000, immutable");
        assert_eq!(header(&script, CONTENT_TYPE), "text/javascript; charset=utf-8");
        assert!(matches!(get("/console/f0/a.png", &[]).body(), Body::Binary(bytes) if bytes == b"\xff"));
    }

    #[test]
    fn best_accepted_form_is_sent() {
        for (accepted, coding, tag, length) in [
            ("gzip, br", "br", "\"0a-br\"", "2"),
            ("gzip", "gzip", "\"0a-gzip\"", "4"),
            ("br;q=0, *", "gzip", "\"0a-gzip\"", "4"),
            ("identity", "", "\"0a\"", "15"),
        ] {
            let page = get("/", &[("accept-encoding", accepted)]);
            assert_eq!(
                (header(&page, CONTENT_ENCODING), header(&page, ETAG), header(&page, CONTENT_LENGTH)),
                (coding, tag, length),
                "{accepted}"
            );
            assert_eq!(header(&page, VARY), "Accept-Encoding");
            assert_eq!(matches!(page.body(), Body::Binary(_)), !coding.is_empty(), "{accepted}");
        }
        assert_eq!(header(&get("/console/f0/vendor/a.js", &[("accept-encoding", "br")]), CONTENT_ENCODING), "");
    }

    #[test]
    fn head_has_the_headers_of_get_and_no_body() {
        for path in ["/", "/console/f0/vendor/a.js"] {
            let (get, head) = (get(path, &[]), call("HEAD", path, &[]));
            for name in [CONTENT_LENGTH, CONTENT_TYPE, ETAG, CACHE_CONTROL] {
                assert_eq!(header(&head, name.clone()), header(&get, name));
            }
            assert!(matches!(head.body(), Body::Empty), "{path}");
        }
    }

    #[test]
    fn unknown_files_and_methods_get_the_error_of_the_service() {
        for path in ["/console/f1/vendor/a.js", "/console/f0/a.js", "/console/f0/index.html", "/console/f0", "/x"] {
            let refused = get(path, &[]);
            assert_eq!(refused.status(), 404, "{path}");
            assert_eq!(header(&refused, CACHE_CONTROL), "private, no-store");
            assert!(matches!(refused.body(), Body::Text(text) if text.contains("endpoint-not-found")), "{path}");
        }
        let refused = call("POST", "/console", &[]);
        assert_eq!((refused.status().as_u16(), header(&refused, ALLOW)), (405, "GET, HEAD"));
    }

    #[test]
    fn each_answer_protects_the_page() {
        for response in [get("/", &[]), get("/", &[("if-none-match", "*")]), get("/console/f1/a.js", &[])] {
            for (name, value) in PROTECTION {
                assert_eq!(header(&response, name), value);
            }
            assert_ne!(header(&response, REQUEST_ID), "");
        }
    }

    #[test]
    fn extra_slashes_lead_to_the_page() {
        for (method, path, expected) in [
            ("GET", "/console/", Some("/console")),
            ("HEAD", "//console", Some("/console")),
            ("POST", "/console/", None),
            ("GET", "/console", None),
            ("GET", "/console/x/", None),
            ("GET", "/api/2.0/people/", None),
        ] {
            let mut request = Request::new(Body::Empty);
            *request.method_mut() = method.parse().unwrap();
            *request.uri_mut() = path.parse().unwrap();
            assert_eq!(page_behind(&request), expected, "{method} {path}");
        }
        assert_eq!(moved_to("/console").headers()[LOCATION], "/console");
    }
}
