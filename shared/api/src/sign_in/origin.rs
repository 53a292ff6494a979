//! Origins from which a browser may sign in.
//!
//! A browser lets any page send a sign-in, but not read the answer. A foreign page could thus use up a victim's
//! attempts from the victim's own network. Browsers name the origin of the page in `Origin` and its relation to this
//! service in `Sec-Fetch-Site`, and a page cannot change either header.

use lambda_http::http::HeaderMap;
use lambda_http::http::header::{HOST, ORIGIN};

use crate::failure::Failure;

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Refuses a request of a web page whose origin is neither this service nor one of `allowed`.
///
/// # Errors
///
/// [`Failure::OriginForbidden`].
pub(crate) fn check(headers: &HeaderMap, allowed: &[String]) -> Result<(), Failure> {
    // A value that is not valid text is never an allowed origin.
    let texts = |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
    let is_allowed = |origin: &str| allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin));
    let host = headers.get(HOST).and_then(|value| value.to_str().ok());
    let is_own = |origin: &str| host.is_some_and(|host| is_of(origin, host));
    let has_origin = headers.contains_key(ORIGIN);

    let is_admitted = texts(SEC_FETCH_SITE).all(|site| match site {
        "same-origin" | "none" => true,
        // A page with another port or host name of the same site has another origin, which `Origin` names.
        "same-site" => has_origin,
        _ => has_origin && texts(ORIGIN.as_str()).all(is_allowed),
    });
    if is_admitted && texts(ORIGIN.as_str()).all(|origin| is_allowed(origin) || is_own(origin)) {
        Ok(())
    } else {
        Err(Failure::OriginForbidden)
    }
}

/// Returns whether `host`, the value of a `Host` header, belongs to the origin.
fn is_of(origin: &str, host: &str) -> bool {
    let Some((scheme, rest)) = origin.split_once("://") else { return false };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |name: &str| name.strip_suffix(default_port).unwrap_or(name).to_ascii_lowercase();
    bare(rest) == bare(host)
}

#[cfg(test)]
mod tests {
    use lambda_http::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn only_own_and_allowed_pages_sign_in() {
        let allowed = ["https://crm.example.com".to_owned()];
        let own = ("host", "127.0.0.1:8092");
        for (headers, admitted) in [
            // No browser.
            (&[][..], true),
            (&[own][..], true),
            (&[("sec-fetch-site", "none")], true),
            // A page of this server.
            (&[own, ("origin", "http://127.0.0.1:8092")], true),
            (&[own, ("origin", "http://127.0.0.1:8092"), ("sec-fetch-site", "same-origin")], true),
            (&[own, ("sec-fetch-site", "same-origin")], true),
            (&[("host", "API.example.com"), ("origin", "https://api.example.com")], true),
            (&[("host", "api.example.com:443"), ("origin", "https://api.example.com")], true),
            // A page of an allowed origin.
            (&[own, ("origin", "https://crm.example.com")], true),
            (&[own, ("origin", "https://crm.example.com"), ("sec-fetch-site", "cross-site")], true),
            (&[own, ("origin", "https://crm.example.com"), ("sec-fetch-site", "same-site")], true),
            // Any other page.
            (&[own, ("origin", "https://evil.example")], false),
            (&[own, ("origin", "null")], false),
            (&[own, ("origin", "")], false),
            (&[own, ("origin", "https://crm.example.com.evil.example")], false),
            (&[own, ("origin", "http://crm.example.com")], false),
            (&[own, ("origin", "https://crm.example.com:8443")], false),
            (&[own, ("origin", "http://127.0.0.1:3000"), ("sec-fetch-site", "same-site")], false),
            (&[own, ("origin", "http://localhost:8092")], false),
            (&[own, ("origin", "127.0.0.1:8092")], false),
            (&[own, ("origin", "file://127.0.0.1:8092")], false),
            (&[("origin", "http://127.0.0.1:8092")], false),
            (&[own, ("origin", "https://crm.example.com"), ("origin", "https://evil.example")], false),
            (&[own, ("origin", "https://crm.example.com, https://evil.example")], false),
            (&[own, ("sec-fetch-site", "cross-site")], false),
            (&[own, ("sec-fetch-site", "same-site")], false),
            (&[own, ("sec-fetch-site", "elsewhere")], false),
            (&[own, ("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")], false),
            (&[own, ("origin", "http://127.0.0.1:8092"), ("sec-fetch-site", "cross-site")], false),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            assert_eq!(check(&map, &allowed).is_ok(), admitted, "{headers:?}");
        }
    }

    #[test]
    fn origin_that_is_not_text_is_foreign() {
        let mut map = HeaderMap::new();
        map.append(ORIGIN, HeaderValue::from_bytes(b"http://\xff").unwrap());
        assert!(check(&map, &[]).is_err());
    }
}
