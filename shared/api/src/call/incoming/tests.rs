use super::*;

#[test]
fn cache_busters_and_empty_parameters_are_not_read() {
    for (query, expected) in [
        ("", ""),
        ("count=1", "count=1"),
        ("_=482913", ""),
        ("__=482913&count=1", "count=1"),
        ("count=1&_&total=0&__=", "count=1&total=0"),
        ("count=1&&&total=0&", "count=1&total=0"),
        ("___=1", "___=1"),
        ("_x=1", "_x=1"),
        // A value without a name is reported as a mistake.
        ("=1", "=1"),
    ] {
        assert_eq!(without_cache_busters(query), expected, "{query}");
    }
}
