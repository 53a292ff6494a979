//! Keys of the table's indexes: names, partitions and positions.

use models::values::id::{ContactId, PortalId};
use models::values::timestamp::Timestamp;

use crate::keys::number;

/// One of the table's two indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Index {
    /// Contacts by tag, shard and creation date.
    Tag,
    /// Contacts by stage, shard and creation date.
    Stage,
}

impl Index {
    /// Both indexes of the table.
    pub const ALL: [Self; 2] = [Self::Tag, Self::Stage];

    /// Returns the index's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tag => "tag-index",
            Self::Stage => "stage-index",
        }
    }

    /// Returns the name of the index's partition key attribute.
    pub const fn pk(self) -> &'static str {
        match self {
            Self::Tag => "tag_pk",
            Self::Stage => "stage_pk",
        }
    }

    /// Returns the name of the index's sort key attribute.
    pub const fn sk(self) -> &'static str {
        match self {
            Self::Tag => "tag_sk",
            Self::Stage => "stage_sk",
        }
    }
}

/// A partition of an index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Partition {
    /// The contacts with a folded tag in one shard.
    Tag(PortalId, u16, String),
    /// The contacts of a stage in one shard; stage 0 holds contacts without a stage.
    Stage(PortalId, u16, i32),
}

impl Partition {
    /// Returns the index of the partition.
    pub const fn index(&self) -> Index {
        match self {
            Self::Tag(..) => Index::Tag,
            Self::Stage(..) => Index::Stage,
        }
    }

    /// Returns the value of the index's partition key.
    pub fn encode(&self) -> String {
        match self {
            Self::Tag(portal, shard, tag) => format!("{portal}#{shard:02}#{tag}"),
            Self::Stage(portal, shard, stage) => format!("{portal}#{shard:02}#{stage:010}"),
        }
    }
}

/// The position of a contact in a partition of an index: creation date, then identifier.
///
/// Partitions are read in descending order by default, so the contacts after a position were created earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct IndexPosition {
    /// Creation date of the contact.
    pub created: Timestamp,
    /// The contact.
    pub contact: ContactId,
}

impl IndexPosition {
    /// Returns the value of the index's sort key.
    pub fn encode(&self) -> String {
        format!("{}#{:010}", self.created, self.contact.get())
    }

    /// Decodes a position from the value of a sort key.
    pub fn decode(text: &str) -> Option<Self> {
        let (created, id) = text.split_once('#')?;
        if created.len() != Timestamp::TEXT_BYTES {
            return None;
        }
        Some(Self { created: created.parse().ok()?, contact: number(id)?.try_into().ok()? })
    }

    /// Returns the lowest sort key of contacts created at `from` or later.
    pub fn lower_bound(from: Timestamp) -> String {
        format!("{from}#")
    }

    /// Returns the highest sort key of contacts created at `to` or earlier.
    pub fn upper_bound(to: Timestamp) -> String {
        // `~` sorts after every digit.
        format!("{to}#~")
    }

    /// Returns the highest sort key after this position in descending order.
    pub fn bound_after(&self) -> String {
        format!("{}#{:010}~", self.created, self.contact.get() - 1)
    }

    /// Returns the lowest sort key after this position in ascending order.
    pub fn bound_after_ascending(&self) -> String {
        format!("{}#{:010}~", self.created, self.contact.get())
    }
}
