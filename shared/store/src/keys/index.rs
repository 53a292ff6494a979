//! Keys of the indexes: their names, partitions and positions.

use models::values::id::{ContactId, PortalId};
use models::values::moment::Moment;

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
    /// Both indexes.
    pub const ALL: [Self; 2] = [Self::Tag, Self::Stage];

    /// The index's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tag => "tag-index",
            Self::Stage => "stage-index",
        }
    }

    /// Name of the attribute that is its partition key.
    pub const fn pk(self) -> &'static str {
        match self {
            Self::Tag => "tag_pk",
            Self::Stage => "stage_pk",
        }
    }

    /// Name of the attribute that is its sort key.
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
    /// A shard of a folded tag's contacts.
    Tag(PortalId, u16, String),
    /// A shard of a stage's contacts; 0 holds those without a stage.
    Stage(PortalId, u16, i32),
}

impl Partition {
    /// The index it is a partition of.
    pub const fn index(&self) -> Index {
        match self {
            Self::Tag(..) => Index::Tag,
            Self::Stage(..) => Index::Stage,
        }
    }

    /// The value of the index's partition key.
    pub fn encode(&self) -> String {
        match self {
            Self::Tag(portal, shard, tag) => format!("{portal}#{shard:02}#{tag}"),
            Self::Stage(portal, shard, stage) => format!("{portal}#{shard:02}#{stage:010}"),
        }
    }
}

/// Where a contact stands in a partition of an index: by creation date, then identifier.
///
/// A partition is read backwards where nothing else is said, so "after" a position are the contacts created earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct IndexPosition {
    /// When the contact was created.
    pub created: Moment,
    /// The contact.
    pub contact: ContactId,
}

impl IndexPosition {
    /// The value of the index's sort key.
    pub fn encode(&self) -> String {
        format!("{}#{:010}", self.created, self.contact.get())
    }

    /// The position that was encoded to this value.
    pub fn decode(text: &str) -> Option<Self> {
        let (created, id) = text.split_once('#')?;
        if created.len() != Moment::TEXT_BYTES {
            return None;
        }
        Some(Self { created: created.parse().ok()?, contact: number(id)?.try_into().ok()? })
    }

    /// The lowest sort key of contacts created at `from` or later.
    pub fn lower_bound(from: Moment) -> String {
        format!("{from}#")
    }

    /// The highest sort key of contacts created at `to` or earlier.
    pub fn upper_bound(to: Moment) -> String {
        // `~` sorts after every digit.
        format!("{to}#~")
    }

    /// The highest sort key after this position, reading backwards.
    pub fn bound_after(&self) -> String {
        format!("{}#{:010}~", self.created, self.contact.get() - 1)
    }

    /// The lowest sort key after this position, reading forwards.
    pub fn bound_after_ascending(&self) -> String {
        format!("{}#{:010}~", self.created, self.contact.get())
    }
}
