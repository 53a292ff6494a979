//! Host names that the service accepts: loopback names, its own address, and names that the operator allows.
//!
//! A web page can let its own host name resolve to this machine, and then call the service from its own origin (DNS
//! rebinding). The name in `Host` reveals such a call.

use std::collections::HashSet;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use api::Failure;
use api::endpoint::unrouted;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use lambda_http::Body as LambdaBody;
use models::invalid::Invalid;

use crate::router::to_axum;
use crate::server::LocalAddress;

/// A host from a `Host` header, without its port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostName {
    /// An address.
    Address(IpAddr),
    /// A name, in lower case and without a trailing dot.
    Name(String),
}

/// A text that is not a host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a host name or an address without a port, such as crm.example.com or 192.0.2.7")]
pub struct NoHostName;

impl FromStr for HostName {
    type Err = NoHostName;

    fn from_str(text: &str) -> Result<Self, NoHostName> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(text).parse::<IpAddr>() {
            // Brackets are optional around an IPv6 address, and invalid around an IPv4 address.
            return if bare.is_some() && address.is_ipv4() {
                Err(NoHostName)
            } else {
                Ok(Self::Address(address.to_canonical()))
            };
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || !name.bytes().all(fits) {
            Err(NoHostName)
        } else {
            Ok(Self::Name(name.to_ascii_lowercase()))
        }
    }
}

impl HostName {
    /// Parses the host in a value such as `localhost:8092` or `[::1]:8092`.
    fn of_authority(authority: &str) -> Option<Self> {
        let after_brackets = authority.rfind(']').map_or(0, |at| at + 1);
        let (host, port) = match authority[after_brackets..].find(':') {
            Some(at) => (&authority[..after_brackets + at], &authority[after_brackets + at + 1..]),
            None => (authority, ""),
        };
        // An IPv6 address without brackets is refused: its last part could be a port.
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        host.parse().ok()
    }

    fn is_loopback(&self) -> bool {
        match self {
            Self::Address(address) => address.is_loopback(),
            Self::Name(name) => name == "localhost",
        }
    }
}

/// Restricts `router` to loopback names, the address that the caller connected to, and the names in `allowed`.
pub fn answering(router: Router, allowed: impl IntoIterator<Item = HostName>) -> Router {
    let allowed: Arc<HashSet<HostName>> = Arc::new(allowed.into_iter().collect());
    router.layer(from_fn_with_state(allowed, check))
}

async fn check(State(allowed): State<Arc<HashSet<HostName>>>, request: Request, next: Next) -> Response {
    match refusal(&allowed, &request) {
        None => next.run(request).await,
        Some(failure) => to_axum(unrouted(&request.map(|_: Body| LambdaBody::Empty), failure)),
    }
}

fn refusal(allowed: &HashSet<HostName>, request: &Request) -> Option<Failure> {
    let mut values = request.headers().get_all(HOST).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Some(Invalid::one("Host", "must be sent exactly once").into());
    };
    let connected_to =
        request.extensions().get::<LocalAddress>().map(|LocalAddress(address)| address.ip().to_canonical());
    // The request line may also name the host, and then overrides `Host` (RFC 9112, 3.2.2). Both names are checked.
    let named = [value.to_str().unwrap_or_default(), request.uri().authority().map_or("localhost", |of| of.as_str())];
    let is_allowed = |host: HostName| {
        host.is_loopback() || allowed.contains(&host) || connected_to.map(HostName::Address) == Some(host)
    };
    let all = named.into_iter().all(|authority| HostName::of_authority(authority).is_some_and(is_allowed));
    (!all).then_some(Failure::HostNotAllowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the answer to these `Host` headers by a server on 192.0.2.7 that allows `crm.example.com`.
    #[track_caller]
    fn check(target: &str, hosts: &[&str], expected: Option<&str>) {
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(LocalAddress("192.0.2.7:80".parse().unwrap()));
        let allowed = HashSet::from(["CRM.example.com".parse().unwrap()]);
        let refused = refusal(&allowed, &request).map(|failure| failure.kind());
        assert_eq!(refused, expected, "{target} {hosts:?}");
    }

    #[test]
    fn only_loopback_allowed_and_own_hosts_are_accepted() {
        for host in [
            "localhost",
            "LocalHost:8092",
            "localhost.",
            "localhost:",
            "127.0.0.1",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:8092",
            "[::ffff:127.0.0.1]",
            "192.0.2.7",
            "192.0.2.7:8092",
            "crm.example.com",
            "Crm.Example.Com.:443",
        ] {
            check("/", &[host], None);
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "evil.example:8092",
            "crm.example.com.evil.example",
            "192.0.2.8",
            "0.0.0.0",
            "[::]",
            "[2001:db8::1]",
            "::1",
            "localhost:port",
            "localhost@evil.example",
            "evil@localhost",
            "localhost, evil.example",
            "[127.0.0.1]",
            "[localhost]",
            "localhost:80:80",
            "127.1",
            "2130706433",
        ] {
            check("/", &[host], Some("host-not-allowed"));
        }
    }

    #[test]
    fn a_host_is_sent_exactly_once() {
        check("/", &[], Some("invalid-request"));
        check("/", &["localhost", "localhost"], Some("invalid-request"));
        check("/", &["localhost", "evil.example"], Some("invalid-request"));
    }

    #[test]
    fn host_in_the_request_line_is_checked_too() {
        check("http://localhost/", &["localhost"], None);
        check("http://evil.example/", &["localhost"], Some("host-not-allowed"));
        check("http://localhost/", &["evil.example"], Some("host-not-allowed"));
    }

    #[test]
    fn only_hosts_without_a_port_can_be_allowed() {
        for text in ["crm.example.com", "localhost", "192.0.2.7", "2001:db8::1", "[2001:db8::1]", "my_host"] {
            assert!(text.parse::<HostName>().is_ok(), "{text}");
        }
        for text in ["", "*", "crm.example.com:80", "http://crm.example.com", "a b", "[192.0.2.7]", "crm/x", "."] {
            assert_eq!(text.parse::<HostName>(), Err(NoHostName), "{text}");
        }
    }
}
