//! Content negotiation: the type of the body, and the format of the answer.

use std::str::FromStr as _;

use headers_accept::Accept;
use jiff::tz::TimeZone;
use lambda_http::http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};
use lambda_http::http::{HeaderMap, HeaderName};
use mediatype::names::{APPLICATION, HTML, JSON, TEXT, XML};
use mediatype::{MediaType, MediaTypeBuf, Name, ReadParams as _};
use models::answer::{Envelope, Format, Shape, Suffix};

use crate::endpoint::Dialect;
use crate::failure::Failure;

/// The available media types, in order of preference.
static AVAILABLE: [MediaType<'static>; 3] =
    [MediaType::new(APPLICATION, JSON), MediaType::new(TEXT, XML), MediaType::new(APPLICATION, XML)];

/// The format of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ResponseFormat {
    /// The notation and the envelope.
    pub shape: Shape,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The portal's time zone, in which ONLYOFFICE's dialect shows timestamps; UTC until the zone is known.
    pub zone: Option<TimeZone>,
}

const JSON_TYPE: &str = "application/json; charset=utf-8";
const TEXT_XML_TYPE: &str = "text/xml; charset=utf-8";
const XML_TYPE: &str = "application/xml; charset=utf-8";

/// Returns the static content type that equals this text.
pub(crate) fn content_type(text: &str) -> Option<&'static str> {
    [JSON_TYPE, TEXT_XML_TYPE, XML_TYPE].into_iter().find(|known| *known == text)
}

impl ResponseFormat {
    /// JSON in the dialect of ONLYOFFICE's reference pages.
    pub const JSON: Self = Self {
        shape: Shape { format: Format::Json, envelope: Envelope::Documents },
        content_type: JSON_TYPE,
        zone: None,
    };

    /// Returns the same format in the dialect of ONLYOFFICE's server.
    #[must_use]
    pub fn in_onlyoffice(&self) -> Self {
        let shape = Shape { envelope: Envelope::OnlyOffice, ..self.shape };
        Self { shape, ..self.clone() }
    }
}

/// Chooses the format of an answer: by the suffix, else by `Accept`. A call of [`Dialect::Documents`] without a suffix
/// and without a form gets the dialect of ONLYOFFICE's reference pages.
pub(crate) fn response_format(headers: &HeaderMap, suffix: Option<Suffix>, dialect: Dialect) -> ResponseFormat {
    let accepted = accepted(headers);
    let (format, content_type) = match (suffix, accepted) {
        (Some(Suffix::Json), _) => (Format::Json, JSON_TYPE),
        (Some(Suffix::Xml), (Format::Json, _)) => (Format::Xml, TEXT_XML_TYPE),
        (_, accepted) => accepted,
    };
    let is_document =
        dialect == Dialect::Documents && suffix.is_none() && body_type(headers).ok() != Some(BodyType::Form);
    let envelope = if is_document { Envelope::Documents } else { Envelope::OnlyOffice };
    ResponseFormat { shape: Shape { format, envelope }, content_type, zone: None }
}

/// Returns the format that `Accept` prefers. A malformed header is ignored. If no available type is acceptable, the
/// answer is JSON: ONLYOFFICE's page tells clients to send `application/x-www-form-urlencoded`.
fn accepted(headers: &HeaderMap) -> (Format, &'static str) {
    const JSON: (Format, &str) = (Format::Json, JSON_TYPE);
    let values: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let Ok(accept) = Accept::from_str(&values.join(", ")) else { return JSON };
    // Browsers prefer XML to JSON, but only for web pages.
    if accept.media_types().any(|range| range.ty() == TEXT && range.subty() == HTML) {
        return JSON;
    }
    let [json, text_xml, xml] = AVAILABLE.each_ref().map(|available| weight(&accept, available));
    if json >= text_xml.max(xml) {
        JSON
    } else if text_xml >= xml {
        (Format::Xml, TEXT_XML_TYPE)
    } else {
        (Format::Xml, XML_TYPE)
    }
}

/// Returns the weight of a type: the weight of the most specific range that includes the type (RFC 9110, section
/// 12.5.1), or 0 if no range includes the type. Parameters of a range are not compared, so a range with `charset=utf-8`
/// matches the available type.
fn weight(accept: &Accept, available: &MediaType<'_>) -> f32 {
    let specificity = |range: &MediaTypeBuf| match (range.ty() == available.ty, range.subty() == available.subty) {
        (true, true) => Some(2),
        (true, false) if range.subty() == "*" => Some(1),
        (false, _) if range.ty() == "*" => Some(0),
        _ => None,
    };
    let weight = |range: &MediaTypeBuf| {
        let named = range.get_param(mediatype::names::Q).and_then(|weight| weight.as_str().parse().ok());
        named.unwrap_or(1.0_f32)
    };
    let ranges = accept.media_types().filter_map(|range| Some((specificity(range)?, weight(range))));
    ranges.max_by(|(a, first), (b, second)| a.cmp(b).then(first.total_cmp(second))).map_or(0.0, |(_, weight)| weight)
}

/// A compression of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Brotli,
    Gzip,
}

impl Compression {
    pub(crate) const ALL: [Self; 2] = [Self::Brotli, Self::Gzip];

    /// Returns the value of `Content-Encoding`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// Returns the suffix of the entity tag of a compressed response.
    pub(crate) const fn mark(self) -> &'static str {
        match self {
            Self::Brotli => "-br",
            Self::Gzip => "-gzip",
        }
    }

    /// Returns whether the caller accepts the compression (RFC 9110, section 12.5.3).
    pub(crate) fn is_accepted(self, headers: &HeaderMap) -> bool {
        let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let codings = values.flat_map(|value| value.split(',')).map(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q="))).unwrap_or("1");
            (name, weight.parse::<f32>().is_ok_and(|weight| weight > 0.0))
        });
        // `*` applies only to codings that the header does not name.
        let (mut named, mut any) = (None, false);
        for (name, is_accepted) in codings {
            match name.to_ascii_lowercase().as_str() {
                name if name.strip_prefix("x-").unwrap_or(name) == self.name() => {
                    named = Some(named.unwrap_or(false) || is_accepted);
                }
                "*" => any = is_accepted,
                _ => {}
            }
        }
        named.unwrap_or(any)
    }
}

/// The subtype of forms.
const X_WWW_FORM_URLENCODED: Name<'static> = Name::new_unchecked("x-www-form-urlencoded");

/// The names of UTF-8 that clients send. .NET and PHP send the second name.
const UTF_8: [&str; 2] = ["utf-8", "utf8"];

/// The declared type of a body. A body without a type is read as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyType {
    Json,
    Form,
}

/// Returns the declared type of the body.
pub(crate) fn body_type(headers: &HeaderMap) -> Result<BodyType, Failure> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let Some(value) = values.next() else { return Ok(BodyType::Json) };
    let refused = || Failure::UnsupportedMediaType { named: shown(headers, CONTENT_TYPE) };
    // Two different types make the body ambiguous.
    if values.any(|other| other != value) {
        return Err(refused());
    }
    let named = value.to_str().ok().and_then(|text| MediaType::parse(text).ok());
    let Some(media_type) = named else { return Err(refused()) };
    let charset = media_type.get_param(mediatype::names::CHARSET);
    let is_utf8 = charset.is_none_or(|charset| {
        let charset = charset.unquoted_str();
        UTF_8.iter().any(|name| charset.eq_ignore_ascii_case(name))
    });
    let is = |subtype| media_type.ty == APPLICATION && media_type.subty == subtype && is_utf8;
    if is(JSON) && media_type.suffix.is_none() {
        Ok(BodyType::Json)
    } else if is(X_WWW_FORM_URLENCODED) {
        Ok(BodyType::Form)
    } else {
        Err(refused())
    }
}

/// Returns the values of a header, shortened for a message.
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

    #[test]
    fn accept_header_decides_the_format() {
        const JSON: &str = "application/json; charset=utf-8";
        const TEXT: &str = "text/xml; charset=utf-8";
        const APPLICATION: &str = "application/xml; charset=utf-8";
        for (accept, expected) in [
            ("", JSON),
            ("*/*", JSON),
            ("application/json", JSON),
            ("application/*", JSON),
            ("text/xml", TEXT),
            ("text/*", TEXT),
            ("application/xml", APPLICATION),
            ("application/json;q=0.5, text/xml", TEXT),
            ("text/xml;q=0.5, application/json", JSON),
            ("text/xml, application/json", JSON),
            ("text/html, application/xml;q=0.9, */*;q=0.8", JSON),
            ("image/png", JSON),
            ("application/x-www-form-urlencoded", JSON),
            ("no media type", JSON),
            ("application/json;q=0", JSON),
            ("application/json; charset=utf-8", JSON),
            ("application/json;odata=verbose;q=0.9, text/xml;q=0.5", JSON),
            ("text/xml; charset=utf-8, */*;q=0.1", TEXT),
            ("application/json;v=1;q=0.1, application/json, text/xml;q=0.5", JSON),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
            assert_eq!(response_format(&headers, None, Dialect::OnlyOffice).content_type, expected, "{accept}");
        }
    }

    #[test]
    fn suffix_overrides_accept() {
        for (accept, suffix, expected) in [
            ("text/xml", Suffix::Json, "application/json; charset=utf-8"),
            ("*/*", Suffix::Xml, "text/xml; charset=utf-8"),
            ("application/xml", Suffix::Xml, "application/xml; charset=utf-8"),
            ("image/png", Suffix::Xml, "text/xml; charset=utf-8"),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
            assert_eq!(response_format(&headers, Some(suffix), Dialect::Documents).content_type, expected, "{accept}");
        }
    }

    #[test]
    fn only_documented_calls_get_the_dialect_of_the_reference_pages() {
        const FORM: &str = "application/x-www-form-urlencoded";
        for (dialect, suffix, content_type, expected) in [
            (Dialect::Documents, None, "application/json", Envelope::Documents),
            (Dialect::Documents, None, FORM, Envelope::OnlyOffice),
            (Dialect::Documents, Some(Suffix::Json), "application/json", Envelope::OnlyOffice),
            (Dialect::Documents, Some(Suffix::Xml), "application/json", Envelope::OnlyOffice),
            (Dialect::OnlyOffice, None, "application/json", Envelope::OnlyOffice),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())]);
            let format = response_format(&headers, suffix, dialect);
            assert_eq!(format.shape.envelope, expected, "{dialect:?} {suffix:?} {content_type}");
        }
    }

    #[test]
    fn answers_are_compressed_only_for_clients_that_accept_the_compression() {
        let check = |value: &str, brotli, gzip| {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, value.parse().unwrap())]);
            assert_eq!(Compression::ALL.map(|of| of.is_accepted(&headers)), [brotli, gzip], "{value}");
        };
        assert_eq!(Compression::ALL.map(|of| of.is_accepted(&HeaderMap::new())), [false, false]);
        check("gzip, deflate, br", true, true);
        check("gzip, deflate", false, true);
        check("GZIP;q=0.5", false, true);
        check("x-gzip", false, true);
        check("br, *", true, true);
        check("*;q=1, gzip;q=0", true, false);
        check("br;q=0, gzip", false, true);
        check("identity", false, false);
        check("gzip;q=nonsense", false, false);
    }

    #[test]
    fn a_body_is_json_or_a_form() {
        assert_eq!(body_type(&HeaderMap::new()).ok(), Some(BodyType::Json));
        for (value, expected) in [
            ("application/json", Some(BodyType::Json)),
            ("application/json; charset=UTF-8", Some(BodyType::Json)),
            ("application/json; charset=utf8", Some(BodyType::Json)),
            ("application/json; charset=latin1", None),
            ("application/x-www-form-urlencoded", Some(BodyType::Form)),
            ("application/x-www-form-urlencoded; charset=utf-8", Some(BodyType::Form)),
            ("text/plain", None),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]);
            assert_eq!(body_type(&headers).ok(), expected, "{value}");
        }
    }
}
