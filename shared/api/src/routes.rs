//! The paths and methods of the whole service. The function of the gateway's default route knows only its own
//! endpoints, but must distinguish an unknown path from a path with other methods.

use lambda_http::http::Uri;
use models::answer::Suffix;
use models::values::id::UserId;

use crate::Failure;

/// The start of every path.
const BASE: &str = "/api/2.0";

/// Each path without a suffix, with its methods. A test compares the list with the endpoints and the paths of the site.
pub const ROUTES: &[(&str, &[&str])] = &[
    ("/", &["GET", "HEAD"]),
    ("/api/2.0/authentication", &["DELETE", "POST"]),
    ("/api/2.0/authentication/code", &["POST"]),
    ("/api/2.0/crm/access/jobs", &["GET"]),
    ("/api/2.0/crm/access/jobs/daily", &["GET"]),
    ("/api/2.0/crm/access/jobs/{jobid}", &["GET"]),
    ("/api/2.0/crm/access/jobs/{jobid}/apply", &["POST"]),
    ("/api/2.0/crm/access/jobs/{jobid}/cancel", &["POST"]),
    ("/api/2.0/crm/access/jobs/{jobid}/changes", &["GET"]),
    ("/api/2.0/crm/access/jobs/{jobid}/undo", &["POST"]),
    ("/api/2.0/crm/access/rules", &["GET"]),
    ("/api/2.0/crm/access/rules/{name}", &["DELETE", "GET", "PUT"]),
    ("/api/2.0/crm/access/schedule", &["GET"]),
    ("/api/2.0/crm/access/snapshots", &["POST"]),
    ("/api/2.0/crm/access/snapshots/latest", &["GET"]),
    ("/api/2.0/crm/contact/access", &["PUT"]),
    ("/api/2.0/crm/contact/filter", &["GET"]),
    ("/api/2.0/crm/contact/filter/access", &["PUT"]),
    ("/api/2.0/crm/contact/simple/filter", &["GET"]),
    ("/api/2.0/crm/contact/status", &["GET"]),
    ("/api/2.0/crm/contact/tag", &["GET"]),
    ("/api/2.0/crm/contact/type", &["GET"]),
    ("/api/2.0/crm/contact/{contactid}", &["GET"]),
    ("/api/2.0/crm/contact/{contactid}/access", &["GET", "PUT"]),
    ("/api/2.0/crm/contact/{contactid}/access/history", &["GET"]),
    ("/api/2.0/crm/contact/{contactid}/access/why", &["GET"]),
    ("/api/2.0/openapi.json", &["GET"]),
    ("/api/2.0/people", &["GET"]),
    ("/api/2.0/people/filter", &["GET"]),
    ("/api/2.0/people/{userid}", &["GET"]),
    ("/api/2.0/settings", &["GET"]),
    ("/console", &["GET", "HEAD"]),
    ("/console/{folder}/{file+}", &["GET", "HEAD"]),
];

/// Returns the methods of a path, which may have a suffix; none for an unknown path. If several routes match, the one
/// with the fewest parameters wins, as in the gateway.
pub fn methods_of(path: &str) -> &'static [&'static str] {
    let fits = |route: &str, path: &str| {
        let (route, path): (Vec<&str>, Vec<&str>) = (route.split('/').collect(), path.split('/').collect());
        let has_length = match route.last() {
            // The last parameter holds the rest of the path.
            Some(last) if last.ends_with("+}") => path.len() >= route.len(),
            _ => path.len() == route.len(),
        };
        has_length && route.iter().zip(&path).all(|(route, part)| route == part || is_parameter(route, part))
    };
    let (bare, _) = Suffix::split(path);
    let found = ROUTES.iter().filter(|(route, _)| fits(route, path) || fits(route, bare));
    found.min_by_key(|(route, _)| route.matches('{').count()).map_or(&[], |(_, methods)| methods)
}

/// Returns the failure for a method that the path does not have.
pub fn refusal(path: &str) -> Failure {
    match methods_of(path) {
        [] => Failure::RouteNotFound,
        methods => Failure::MethodNotAllowed(methods.join(", ")),
    }
}

/// Returns whether a path segment is a value of a parameter. In ONLYOFFICE's paths `contact/byprefix` and
/// `people/status`, the last segment is neither a contact nor a user.
fn is_parameter(route: &str, part: &str) -> bool {
    match route {
        "{contactid}" => is_number(part),
        "{userid}" => part.contains('@') || part.contains(ENCODED_AT) || part.parse::<UserId>().is_ok(),
        _ => route.starts_with('{') && !part.is_empty(),
    }
}

/// The path segment that names the caller in place of a user's identifier.
pub const SELF: &str = "@self";
/// `@`, percent-encoded. Only the caller and e-mail addresses contain an `@`.
const ENCODED_AT: &str = "%40";

/// Returns whether a text is a whole number of any size and sign.
pub fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns a URI without extra slashes; none if the path has no extra slashes. Clients write extra slashes at the end
/// of a path, or where they join a base address to a path. Double slashes elsewhere stay, because a parameter is
/// missing there.
pub fn without_extra_slashes(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let joined = path.trim_matches('/');
    let tidy = match joined.strip_prefix(BASE.trim_start_matches('/')) {
        Some(rest) if rest.starts_with("//") => format!("{BASE}/{}", rest.trim_start_matches('/')),
        _ => format!("/{joined}"),
    };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    if tidy == path { None } else { format!("{tidy}{query}").parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_has_the_methods_of_the_most_specific_route() {
        for (path, expected) in [
            ("/api/2.0/crm/contact/access", &["PUT"][..]),
            ("/api/2.0/crm/contact/access.json", &["PUT"]),
            ("/api/2.0/crm/contact/5/access.xml", &["GET", "PUT"]),
            ("/api/2.0/crm/contact/5", &["GET"]),
            ("/api/2.0/openapi.json", &["GET"]),
            ("/api/2.0/openapi", &[]),
            ("/api/2.0/crm/contact", &[]),
            ("/api/2.0/crm/contact/company.json", &[]),
            ("/api/2.0/crm/contact/-5.json", &["GET"]),
            ("/api/2.0/crm/contact/99999999999/access", &["GET", "PUT"]),
            ("/api/2.0/people/@self.json", &["GET"]),
            ("/api/2.0/people/%40self", &["GET"]),
            ("/api/2.0/people/00000000-0000-0000-0000-000000000000", &["GET"]),
            ("/api/2.0/people/status", &[]),
            ("/api/2.0/crm/contact//access", &[]),
            ("/", &["GET", "HEAD"]),
            ("/console", &["GET", "HEAD"]),
            ("/console/0123456789abcdef", &[]),
            ("/console/0123456789abcdef/app.js", &["GET", "HEAD"]),
            ("/console/0123456789abcdef/vendor/preact.mjs", &["GET", "HEAD"]),
            ("/console/0123456789abcdef/", &[]),
        ] {
            assert_eq!(methods_of(path), expected, "{path}");
        }
    }

    #[test]
    fn extra_slashes_are_removed_only_from_the_path() {
        for (uri, expected) in [
            ("/api/2.0/authentication/", Some("/api/2.0/authentication")),
            ("//api/2.0/authentication", Some("/api/2.0/authentication")),
            ("///api/2.0///people//?a=/b//", Some("/api/2.0/people?a=/b//")),
            ("/api/2.0/crm/contact//access/", Some("/api/2.0/crm/contact//access")),
            ("/api/2.0/crm/contact//access", None),
            ("///", Some("/")),
            ("/", None),
            ("/api/2.0/people?a=b//", None),
        ] {
            let tidy = without_extra_slashes(&uri.parse().unwrap());
            assert_eq!(tidy.map(|uri| uri.to_string()).as_deref(), expected, "{uri}");
        }
    }
}
