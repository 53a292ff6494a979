//! Answers as bytes: the styles of keys, XML, and the envelopes around one contact, a list and an error.
//!
//! [`Keyed`] and [`to_xml`] know nothing of envelopes or of each other, so a further shape is a further envelope.

mod envelope;
mod keys;
mod suffix;
mod xml;

pub use envelope::{
    Envelope, ErrorBody, ErrorDetail, Format, ListBody, ListEnd, ListPage, ListWriter, Pushed, Shape, WireError, error,
    list, one,
};
pub use keys::{Fields, KeyStyle, Keyed};
pub use suffix::Suffix;
pub use xml::{XmlError, to_xml};
