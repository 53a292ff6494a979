//! Items: maps of attributes, and the conversion of values to and from attributes.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StoreError;
use crate::keys::{Key, PK, SK};

/// An item as DynamoDB accepts and returns it.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// Returns an item that holds only its key.
pub(crate) fn keyed(key: &Key) -> Item {
    let (pk, sk) = key.encode();
    HashMap::from([(PK.into(), AttributeValue::S(pk)), (SK.into(), AttributeValue::S(sk))])
}

/// Returns the key of an item.
pub(crate) fn key_of(item: &Item) -> Result<Key, StoreError> {
    let (pk, sk) = (text(item, PK)?, text(item, SK)?);
    Key::decode(pk, sk).ok_or_else(|| StoreError::Corrupt("the key has an unknown form".into()))
}

fn lacks(item: &Item, name: &str, what: &str) -> StoreError {
    // The key itself may hold a tag, an address or a name, which must not be logged.
    let part = |name| item.get(name).and_then(|part| part.as_s().ok());
    let key = part(PK).zip(part(SK)).and_then(|(pk, sk)| Key::decode(pk, sk));
    let kind = key.map_or("unknown".into(), |key| format!("{key:?}"));
    StoreError::Corrupt(format!("the attribute {name} of a {kind} item is not {what}").into())
}

/// Returns a text attribute.
pub(crate) fn text<'a>(item: &'a Item, name: &str) -> Result<&'a str, StoreError> {
    item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str).ok_or_else(|| lacks(item, name, "a text"))
}

/// Returns a number attribute.
pub(crate) fn number<N: std::str::FromStr>(item: &Item, name: &str) -> Result<N, StoreError> {
    let digits = item.get(name).and_then(|value| value.as_n().ok());
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| lacks(item, name, "a number in range"))
}

/// Returns a boolean attribute.
pub(crate) fn boolean(item: &Item, name: &str) -> Result<bool, StoreError> {
    item.get(name).and_then(|value| value.as_bool().ok()).copied().ok_or_else(|| lacks(item, name, "a boolean"))
}

/// Returns a binary attribute.
pub(crate) fn bytes<'a>(item: &'a Item, name: &str) -> Result<&'a [u8], StoreError> {
    item.get(name).and_then(|value| value.as_b().ok()).map(Blob::as_ref).ok_or_else(|| lacks(item, name, "bytes"))
}

/// Returns an identifier that is stored as the 16 bytes of a UUID.
pub(crate) fn id<Id: From<[u8; 16]>>(item: &Item, name: &str) -> Result<Id, StoreError> {
    let bytes: [u8; 16] = bytes(item, name)?.try_into().map_err(|_| lacks(item, name, "a UUID"))?;
    Ok(bytes.into())
}

/// Removes and returns a value that is stored as a map under one attribute.
pub(crate) fn document<T: DeserializeOwned>(item: &mut Item, name: &str) -> Result<T, StoreError> {
    let value = item.remove(name).ok_or_else(|| lacks(item, name, "a document"))?;
    // The deserializer's error may quote a name or a tag, which must not be logged.
    serde_dynamo::from_attribute_value(value)
        .map_err(|_| StoreError::Corrupt(format!("the attribute {name} does not have the form of its type").into()))
}

/// Converts a value to a map for one attribute. Leaves out empty strings and nulls, which decode as missing values.
/// They would cost bytes in every item, and engines before 2020 refuse an empty string.
pub(crate) fn to_document<T: Serialize>(value: &T) -> Result<AttributeValue, StoreError> {
    let mut value = serde_dynamo::to_attribute_value(value)
        .map_err(|error| StoreError::unbuildable("an attribute from its value", error))?;
    leave_out_empty(&mut value);
    Ok(value)
}

fn leave_out_empty(value: &mut AttributeValue) {
    match value {
        AttributeValue::M(members) => {
            members.retain(|_, member| {
                let empty_text = matches!(member, AttributeValue::S(text) if text.is_empty());
                !empty_text && !member.is_null()
            });
            members.values_mut().for_each(leave_out_empty);
        }
        AttributeValue::L(values) => values.iter_mut().for_each(leave_out_empty),
        _ => {}
    }
}

/// Returns the approximate size of an item in bytes, by DynamoDB's rules: names, values, and a few bytes per nesting.
pub(crate) fn size(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value_size(value)).sum()
}

fn value_size(value: &AttributeValue) -> usize {
    const NESTING: usize = 3;
    const MEMBER: usize = 1;
    const LONGEST_NUMBER: usize = 21;
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => (digits.len() / 2 + 2).min(LONGEST_NUMBER),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::L(values) => NESTING + values.iter().map(|value| MEMBER + value_size(value)).sum::<usize>(),
        AttributeValue::M(members) => {
            NESTING + members.iter().map(|(name, value)| MEMBER + name.len() + value_size(value)).sum::<usize>()
        }
        _ => 1,
    }
}

/// Returns a text as an attribute.
pub(crate) fn s(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// Returns a number as an attribute.
pub(crate) fn n(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// Returns bytes as an attribute.
pub(crate) fn b(value: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(value.into()))
}
