//! Answers as bytes: key styles, XML, and the envelopes of one object, a list and an error.
//!
//! [`Keyed`] and [`to_xml`] do not depend on envelopes or on each other, so a new shape needs only a new envelope.

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
