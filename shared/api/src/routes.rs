//! The paths of the whole service and the methods of each. Behind the gateway, the function that answers calls without a route
//! knows its own endpoints only, and has to tell an unknown path from a path with other methods.

use models::wire::Suffix;

/// Each path without a suffix, with its methods. A test holds the list to the endpoints.
pub const ROUTES: &[(&str, &[&str])] = &[
    ("/api/2.0/authentication", &["DELETE", "POST"]),
    ("/api/2.0/crm/access/jobs", &["GET"]),
    ("/api/2.0/crm/access/jobs/{jobid}", &["GET"]),
    ("/api/2.0/crm/access/jobs/{jobid}/cancel", &["POST"]),
    ("/api/2.0/crm/access/jobs/{jobid}/changes", &["GET"]),
    ("/api/2.0/crm/access/jobs/{jobid}/undo", &["POST"]),
    ("/api/2.0/crm/access/rules", &["GET"]),
    ("/api/2.0/crm/access/rules/{name}", &["DELETE", "GET", "PUT"]),
    ("/api/2.0/crm/contact/access", &["PUT"]),
    ("/api/2.0/crm/contact/filter", &["GET"]),
    ("/api/2.0/crm/contact/filter/access", &["PUT"]),
    ("/api/2.0/crm/contact/simple/filter", &["GET"]),
    ("/api/2.0/crm/contact/status", &["GET"]),
    ("/api/2.0/crm/contact/tag", &["GET"]),
    ("/api/2.0/crm/contact/type", &["GET"]),
    ("/api/2.0/crm/contact/{contactid}", &["GET"]),
    ("/api/2.0/crm/contact/{contactid}/access", &["GET", "PUT"]),
    ("/api/2.0/openapi.json", &["GET"]),
    ("/api/2.0/people", &["GET"]),
    ("/api/2.0/people/filter", &["GET"]),
    ("/api/2.0/people/{userid}", &["GET"]),
];

/// The methods of a path, which may have a suffix; none of a path that the service does not have. Of several routes that fit
/// the one with the fewest parameters counts, as for the gateway.
pub fn methods_of(path: &str) -> &'static [&'static str] {
    let fits = |route: &str, path: &str| {
        let (route, path): (Vec<&str>, Vec<&str>) = (route.split('/').collect(), path.split('/').collect());
        let part_fits = |(route, part): (&&str, &&str)| route == part || (route.starts_with('{') && !part.is_empty());
        route.len() == path.len() && route.iter().zip(&path).all(part_fits)
    };
    let (bare, _) = Suffix::split(path);
    let found = ROUTES.iter().filter(|(route, _)| fits(route, path) || fits(route, bare));
    found.min_by_key(|(route, _)| route.matches('{').count()).map_or(&[], |(_, methods)| methods)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_methods_of_the_route_that_fits_best() {
        for (path, expected) in [
            ("/api/2.0/crm/contact/access", &["PUT"][..]),
            ("/api/2.0/crm/contact/access.json", &["PUT"]),
            ("/api/2.0/crm/contact/5/access.xml", &["GET", "PUT"]),
            ("/api/2.0/crm/contact/5", &["GET"]),
            ("/api/2.0/openapi.json", &["GET"]),
            ("/api/2.0/openapi", &[]),
            ("/api/2.0/crm/contact", &[]),
            ("/api/2.0/crm/contact//access", &[]),
            ("/", &[]),
        ] {
            assert_eq!(methods_of(path), expected, "{path}");
        }
    }
}
