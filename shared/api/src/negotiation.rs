//! What a call sends and what it wants back.

use std::str::FromStr as _;

use headers_accept::Accept;
use lambda_http::http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};
use lambda_http::http::{HeaderMap, HeaderName};
use mediatype::names::{APPLICATION, JSON, TEXT, XML};
use mediatype::{MediaType, MediaTypeBuf, Name, ReadParams as _};
use models::wire::{Envelope, Format, Shape, Suffix};

use crate::failure::Failure;

/// What can be answered, the preferred first.
static AVAILABLE: [MediaType<'static>; 3] =
    [MediaType::new(APPLICATION, JSON), MediaType::new(TEXT, XML), MediaType::new(APPLICATION, XML)];

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its notation, and what stands around it.
    pub shape: Shape,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
}

const JSON_TYPE: &str = "application/json; charset=utf-8";
const TEXT_XML_TYPE: &str = "text/xml; charset=utf-8";
const XML_TYPE: &str = "application/xml; charset=utf-8";

/// The content type of an answer with this text.
pub(crate) fn content_type(text: &str) -> Option<&'static str> {
    [JSON_TYPE, TEXT_XML_TYPE, XML_TYPE].into_iter().find(|known| *known == text)
}

impl Wanted {
    /// JSON, which also answers a call whose wish cannot be met.
    pub const JSON: Self =
        Self { shape: Shape { format: Format::Json, envelope: Envelope::Documents }, content_type: JSON_TYPE };

    /// How a call is answered whose wish cannot be met.
    pub(crate) fn of_last_resort(suffix: Option<Suffix>) -> Self {
        wanted(&HeaderMap::new(), suffix).unwrap_or(Self::JSON)
    }
}

/// How the answer of a call is to be written; none when `Accept` admits neither JSON nor XML. A suffix says more than
/// `Accept` does: it decides.
pub(crate) fn wanted(headers: &HeaderMap, suffix: Option<Suffix>) -> Option<Wanted> {
    let accepted = accepted(headers)?;
    let (format, content_type) = match (suffix, accepted) {
        (Some(Suffix::Json), _) => (Format::Json, JSON_TYPE),
        (Some(Suffix::Xml), (Format::Json, _)) => (Format::Xml, TEXT_XML_TYPE),
        (_, accepted) => accepted,
    };
    let envelope = if suffix.is_some() { Envelope::Suffix } else { Envelope::Documents };
    Some(Wanted { shape: Shape { format, envelope }, content_type })
}

/// What `Accept` asks for.
fn accepted(headers: &HeaderMap) -> Option<(Format, &'static str)> {
    const JSON: (Format, &str) = (Format::Json, JSON_TYPE);
    let values: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let text = values.join(", ");
    if text.trim().is_empty() {
        return Some(JSON);
    }
    // A header that does not parse expresses no wish.
    let Ok(accept) = Accept::from_str(&text) else { return Some(JSON) };
    let chosen = without_parameters(&accept).unwrap_or(accept).negotiate(&AVAILABLE)?;
    Some(match (chosen.ty == TEXT, chosen.subty == mediatype::names::JSON) {
        (_, true) => JSON,
        (true, _) => (Format::Xml, TEXT_XML_TYPE),
        (false, _) => (Format::Xml, XML_TYPE),
    })
}

/// The header with no parameter of its types but their weight. `application/json; charset=utf-8` asks for what there is,
/// and would otherwise be compared with what has no parameter.
fn without_parameters(accept: &Accept) -> Option<Accept> {
    let range = |range: &MediaTypeBuf| match range.get_param(mediatype::names::Q) {
        Some(weight) => format!("{};q={weight}", range.essence()),
        None => range.essence().to_string(),
    };
    Accept::from_str(&accept.media_types().map(range).collect::<Vec<_>>().join(", ")).ok()
}

/// Whether the caller takes an answer that is compressed by gzip (RFC 9110, section 12.5.3).
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let codings = values.flat_map(|value| value.split(',')).map(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q="))).unwrap_or("1");
        (name, weight.parse::<f32>().is_ok_and(|weight| weight > 0.0))
    });
    // What is named is not meant by the star.
    let (mut named, mut any) = (None, false);
    for (name, is_taken) in codings {
        match name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => named = Some(named.unwrap_or(false) || is_taken),
            "*" => any = is_taken,
            _ => {}
        }
    }
    named.unwrap_or(any)
}

/// The subtype of forms.
const X_WWW_FORM_URLENCODED: Name<'static> = Name::new_unchecked("x-www-form-urlencoded");

/// What a body is said to be. One whose type is not named is taken for JSON: it is what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyType {
    Json,
    Form,
}

/// What the body is said to be; forms are taken where ONLYOFFICE's own clients send them, which is to paths with a
/// suffix.
pub(crate) fn body_type(headers: &HeaderMap, suffix: Option<Suffix>) -> Result<BodyType, Failure> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let Some(value) = values.next() else { return Ok(BodyType::Json) };
    let refused = || Failure::UnsupportedMediaType { named: shown(headers, CONTENT_TYPE), forms: suffix.is_some() };
    // Two different types leave open how the body is meant.
    if values.any(|other| other != value) {
        return Err(refused());
    }
    let named = value.to_str().ok().and_then(|text| MediaType::parse(text).ok());
    let Some(media_type) = named else { return Err(refused()) };
    let charset = media_type.get_param(mediatype::names::CHARSET);
    let is_utf8 = charset.is_none_or(|charset| charset.unquoted_str().eq_ignore_ascii_case("utf-8"));
    let is = |subtype| media_type.ty == APPLICATION && media_type.subty == subtype && is_utf8;
    if is(JSON) && media_type.suffix.is_none() {
        Ok(BodyType::Json)
    } else if suffix.is_some() && is(X_WWW_FORM_URLENCODED) {
        Ok(BodyType::Form)
    } else {
        Err(refused())
    }
}

/// The values of a header, short enough for a message.
pub(crate) fn shown(headers: &HeaderMap, name: HeaderName) -> String {
    const SHOWN_CHARS: usize = 64;
    let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let mut text = values.collect::<Vec<_>>().join(", ");
    if let Some((end, _)) = text.char_indices().nth(SHOWN_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        assert_eq!(wanted(&headers, None).map(|wanted| wanted.content_type), expected, "{accept}");
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
        check("application/json; charset=utf-8", JSON);
        check("application/json;odata=verbose;q=0.9, text/xml;q=0.5", JSON);
        check("text/xml; charset=utf-8, */*;q=0.1", TEXT);
        check("application/json;v=1;q=0.1, application/json, text/xml;q=0.5", JSON);
        check("application/json; charset=utf-8; q=0", None);
    }

    #[test]
    fn a_suffix_decides_over_accept() {
        let check = |accept: &str, suffix, expected: Option<&str>| {
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
            assert_eq!(wanted(&headers, Some(suffix)).map(|wanted| wanted.content_type), expected, "{accept}");
        };
        check("text/xml", Suffix::Json, Some("application/json; charset=utf-8"));
        check("*/*", Suffix::Xml, Some("text/xml; charset=utf-8"));
        check("application/xml", Suffix::Xml, Some("application/xml; charset=utf-8"));
        check("image/png", Suffix::Json, None);
    }

    #[test]
    fn gzip_is_sent_to_who_takes_it() {
        let check = |value: &str, expected| {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, value.parse().unwrap())]);
            assert_eq!(accepts_gzip(&headers), expected, "{value}");
        };
        assert!(!accepts_gzip(&HeaderMap::new()));
        check("gzip, deflate, br", true);
        check("GZIP;q=0.5", true);
        check("br, *", true);
        check("*;q=1, gzip;q=0", false);
        check("identity", false);
        check("gzip;q=nonsense", false);
    }

    #[test]
    fn a_body_is_json_or_on_a_path_with_a_suffix_a_form() {
        let check = |value: &str, suffix, expected| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]);
            assert_eq!(body_type(&headers, suffix).ok(), expected, "{value} {suffix:?}");
        };
        let suffix = Some(Suffix::Json);
        assert_eq!(body_type(&HeaderMap::new(), None).ok(), Some(BodyType::Json));
        check("application/json", None, Some(BodyType::Json));
        check("application/json; charset=UTF-8", suffix, Some(BodyType::Json));
        check("application/json; charset=latin1", suffix, None);
        check("application/x-www-form-urlencoded", suffix, Some(BodyType::Form));
        check("application/x-www-form-urlencoded; charset=utf-8", suffix, Some(BodyType::Form));
        check("application/x-www-form-urlencoded", None, None);
        check("text/plain", suffix, None);
    }
}
