//! What a call sends and what it wants back.

use std::str::FromStr as _;

use headers_accept::Accept;
use lambda_http::http::HeaderMap;
use lambda_http::http::header::{ACCEPT, CONTENT_TYPE};
use mediatype::names::{APPLICATION, JSON, TEXT, XML};
use mediatype::{MediaType, ReadParams as _};
use models::wire::Format;

use crate::failure::Failure;

/// What can be answered, the preferred first.
static AVAILABLE: [MediaType<'static>; 3] =
    [MediaType::new(APPLICATION, JSON), MediaType::new(TEXT, XML), MediaType::new(APPLICATION, XML)];

/// The media type of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The format.
    pub format: Format,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
}

impl Wanted {
    /// JSON, which also answers a call whose wish cannot be met.
    pub const JSON: Self = Self { format: Format::Json, content_type: "application/json; charset=utf-8" };
}

/// What `Accept` asks for; none when it admits neither JSON nor XML.
pub(crate) fn wanted(headers: &HeaderMap) -> Option<Wanted> {
    let values: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let text = values.join(", ");
    if text.trim().is_empty() {
        return Some(Wanted::JSON);
    }
    // A header that does not parse expresses no wish.
    let Ok(accept) = Accept::from_str(&text) else { return Some(Wanted::JSON) };
    let chosen = accept.negotiate(&AVAILABLE)?;
    let content_type = match (chosen.ty == TEXT, chosen.subty == JSON) {
        (_, true) => return Some(Wanted::JSON),
        (true, _) => "text/xml; charset=utf-8",
        (false, _) => "application/xml; charset=utf-8",
    };
    Some(Wanted { format: Format::Xml, content_type })
}

/// Checks that the body is said to be JSON. A body whose type is not named is taken for JSON: it is what is left.
pub(crate) fn check_json(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let named = value.to_str().ok().and_then(|text| MediaType::parse(text).ok());
    let is_json = named.as_ref().is_some_and(|media_type| {
        let charset = media_type.get_param(mediatype::names::CHARSET);
        media_type.ty == APPLICATION
            && media_type.subty == JSON
            && charset.is_none_or(|charset| charset.unquoted_str().eq_ignore_ascii_case("utf-8"))
    });
    if is_json { Ok(()) } else { Err(Failure::UnsupportedMediaType) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        assert_eq!(wanted(&headers).map(|wanted| wanted.content_type), expected, "{accept}");
    }

    #[test]
    fn accept_decides_the_format() {
        const JSON: Option<&str> = Some("application/json; charset=utf-8");
        const TEXT: Option<&str> = Some("text/xml; charset=utf-8");
        const APPLICATION: Option<&str> = Some("application/xml; charset=utf-8");
        check("", JSON);
        check("*/*", JSON);
        check("application/json", JSON);
        check("application/*", JSON);
        check("text/xml", TEXT);
        check("text/*", TEXT);
        check("application/xml", APPLICATION);
        check("application/json;q=0.5, text/xml", TEXT);
        check("text/xml;q=0.5, application/json", JSON);
        check("text/html, application/xml;q=0.9, */*;q=0.8", APPLICATION);
        check("image/png", None);
        check("application/json;q=0", None);
    }
}
