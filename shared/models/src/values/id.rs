//! Identifiers, validated on construction.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::limits::MAX_PORTAL_BYTES;
use crate::values::timestamp::Timestamp;

/// A contact's identifier: a positive int32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i32")]
pub struct ContactId(i32);

impl ContactId {
    /// The largest identifier.
    pub const MAX: Self = Self(i32::MAX);
    /// The smallest identifier.
    pub const MIN: Self = Self(1);

    /// Returns the identifier as a number.
    pub const fn get(self) -> i32 {
        self.0
    }

    /// Returns the shard, of `shards`, that holds this contact's index entries.
    pub fn shard(self, shards: u16) -> u16 {
        // The remainder of a u16 divisor fits u16.
        u16::try_from(self.0.unsigned_abs() % u32::from(shards.max(1))).unwrap_or(0)
    }
}

/// The error for a text or number that is not a contact's identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number from 1 to {}", i32::MAX)]
pub struct NotAContactId;

impl TryFrom<i64> for ContactId {
    type Error = NotAContactId;

    fn try_from(number: i64) -> Result<Self, NotAContactId> {
        i32::try_from(number).ok().filter(|id| *id > 0).map(Self).ok_or(NotAContactId)
    }
}

impl FromStr for ContactId {
    type Err = NotAContactId;

    fn from_str(text: &str) -> Result<Self, NotAContactId> {
        // `i64::from_str` accepts a leading `+`, which an identifier in a path must not have.
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NotAContactId);
        }
        text.parse::<i64>().map_err(|_| NotAContactId)?.try_into()
    }
}

impl From<ContactId> for i32 {
    fn from(id: ContactId) -> Self {
        id.0
    }
}

impl fmt::Display for ContactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A portal's identifier: lower-case letters, digits and inner hyphens, as in a host name.
///
/// An identifier contains no `#`, so that keys can use `#` as a separator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortalId(String);

impl PortalId {
    /// Returns an identifier that no portal can have. A read under this identifier finds no items.
    pub fn of_nobody() -> Self {
        Self("-".into())
    }

    /// Wraps a stored identifier without validation. Earlier versions may have accepted other identifiers, and their
    /// data must stay readable.
    pub fn stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The error for a text that is not a portal's identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_PORTAL_BYTES} lower-case letters, digits or inner hyphens")]
pub struct NotAPortalId;

impl TryFrom<String> for PortalId {
    type Error = NotAPortalId;

    fn try_from(text: String) -> Result<Self, NotAPortalId> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let edge_hyphen = text.starts_with('-') || text.ends_with('-');
        if text.is_empty() || text.len() > MAX_PORTAL_BYTES || edge_hyphen || !text.bytes().all(allowed) {
            return Err(NotAPortalId);
        }
        Ok(Self(text))
    }
}

impl FromStr for PortalId {
    type Err = NotAPortalId;

    fn from_str(text: &str) -> Result<Self, NotAPortalId> {
        text.to_owned().try_into()
    }
}

impl From<PortalId> for String {
    fn from(id: PortalId) -> Self {
        id.0
    }
}

impl fmt::Display for PortalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The error for a text that is not a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a UUID")]
pub struct NotAUuid;

/// Defines a type for each kind of UUID identifier, so that the compiler distinguishes a user from a job.
macro_rules! uuid_types {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Returns the identifier with this value.
            pub const fn from_u128(value: u128) -> Self {
                Self(Uuid::from_u128(value))
            }

            /// Returns the identifier with these bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// Returns the identifier's bytes, the form in storage.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl From<[u8; 16]> for $name {
            fn from(bytes: [u8; 16]) -> Self {
                Self::from_bytes(bytes)
            }
        }

        impl FromStr for $name {
            type Err = NotAUuid;

            fn from_str(text: &str) -> Result<Self, NotAUuid> {
                Uuid::try_parse(text).map(Self).map_err(|_| NotAUuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

uuid_types! {
    /// A user of a portal's directory: a manager, a caller, the creator of a contact.
    UserId
    /// A job: a UUID v7. An access record stores the identifier of the job that wrote the record, as its revision. An
    /// import makes a new identifier for each batch of contacts that it writes, and for each contact that it removes.
    JobId
    /// A worker that holds the lease of a shard.
    LeaseOwner
}

impl JobId {
    /// Returns the lowest identifier of a job that was started at a time, by the milliseconds in a UUID v7.
    pub fn first_at(at: Timestamp) -> Self {
        let millis = u64::try_from(at.to_jiff().as_millisecond()).unwrap_or(0);
        let mut bytes = [0; 16];
        // A UUID v7 begins with the lower 48 bits.
        bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        Self::from_bytes(bytes)
    }
}

impl UserId {
    /// The nil UUID, which can be a regular user.
    pub const NIL: Self = Self(Uuid::nil());

    /// Returns whether this is the nil UUID.
    pub const fn is_nil(self) -> bool {
        self.0.is_nil()
    }
}
