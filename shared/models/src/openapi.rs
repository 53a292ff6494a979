//! Hand-written schemas of value types.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::access::ShareType;
use crate::limits::{MAX_EMAIL_BYTES, MAX_RULE_NAME_CHARS};
use crate::rule::RuleName;
use crate::sign_in::Email;
use crate::values::id::ContactId;
use crate::values::timestamp::Timestamp;

/// Names the schema of each type after the type.
macro_rules! named {
    ($($name:ident),*) => {
        $(impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        })*
    };
}

named!(ContactId, Email, Timestamp, RuleName, ShareType);

fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn integer() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer)
}

impl PartialSchema for ContactId {
    fn schema() -> RefOr<Schema> {
        integer()
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
            .minimum(Some(Self::MIN.get()))
            .maximum(Some(Self::MAX.get()))
            .description(Some("The number of a contact."))
            .into()
    }
}

impl PartialSchema for ShareType {
    fn schema() -> RefOr<Schema> {
        integer()
            .enum_values(Some(Self::ALL.map(Self::number)))
            .description(Some("How a contact is shared: 0 None, with its managers only; 1 ReadWrite; 2 Read."))
            .into()
    }
}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        string()
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .pattern(Some("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{7}Z$"))
            .description(Some("An instant in UTC, with seven decimals."))
            .into()
    }
}

impl PartialSchema for Email {
    fn schema() -> RefOr<Schema> {
        string().max_length(Some(MAX_EMAIL_BYTES)).description(Some("An e-mail address, in lower case.")).into()
    }
}

impl PartialSchema for RuleName {
    fn schema() -> RefOr<Schema> {
        string()
            .min_length(Some(1))
            .max_length(Some(MAX_RULE_NAME_CHARS))
            .pattern(Some("^[A-Za-z0-9._-]+$"))
            .description(Some("The name of a standing rule."))
            .into()
    }
}
