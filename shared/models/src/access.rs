//! The access rules as pure functions: which users may see and edit a contact.

mod target;

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::values::id::{NotAUuid, UserId};

pub use target::{AccessEdit, Target, TargetView, TooManyManagers};

/// The access to a contact for users outside its manager list.
///
/// The numbers are ONLYOFFICE's, from its reference page of `PUT crm/contact/filter/access`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareType {
    /// 0: no access; the contact is private.
    None,
    /// 1: all users see and edit the contact.
    ReadWrite,
    /// 2: all users see the contact, only managers edit it.
    Read,
}

impl ShareType {
    /// All share types, by number.
    pub const ALL: [Self; 3] = [Self::None, Self::ReadWrite, Self::Read];

    /// Returns the number on the wire and in storage.
    pub const fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::ReadWrite => 1,
            Self::Read => 2,
        }
    }

    /// Returns the share type with this number.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|share| i64::from(share.number()) == number)
    }

    /// Returns the share type of a request: private or public.
    pub const fn requested(is_private: bool) -> Self {
        if is_private { Self::None } else { Self::ReadWrite }
    }

    /// Returns whether only managers and administrators see the contact.
    pub const fn is_private(self) -> bool {
        matches!(self, Self::None)
    }
}

impl Serialize for ShareType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

impl<'de> Deserialize<'de> for ShareType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        Self::from_number(number)
            .ok_or_else(|| D::Error::custom("ShareType must be 0 (None), 1 (ReadWrite) or 2 (Read)"))
    }
}

/// The access to one contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The access for users who are not managers.
    pub share: ShareType,
    /// The managers, in the order of the request. A shared contact keeps its manager list.
    pub managers: Vec<UserId>,
}

impl Access {
    /// The access of a contact without an access record: public, without managers. No other code defines this default.
    pub const UNRECORDED: Self = Self { share: ShareType::ReadWrite, managers: Vec::new() };

    /// Builds the access of a request: private or public, with the managers deduplicated.
    pub fn requested(is_private: bool, managers: impl IntoIterator<Item = UserId>) -> Self {
        Self { share: ShareType::requested(is_private), managers: Self::distinct(managers) }
    }

    /// Returns the managers without duplicates, in the order of first mention.
    fn distinct(managers: impl IntoIterator<Item = UserId>) -> Vec<UserId> {
        let mut seen = HashSet::new();
        managers.into_iter().filter(|id| seen.insert(*id)).collect()
    }
}

/// The authenticated user of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Identifier in the portal's user directory.
    pub user: UserId,
    /// True if the user is an administrator of the portal.
    pub is_admin: bool,
}

impl Caller {
    /// Returns whether the caller may see a contact with this access. The API answers for a hidden contact as if the
    /// contact did not exist.
    ///
    /// Source: ONLYOFFICE's `CRMSecurity.CanAccessTo`.
    pub fn may_see(&self, access: &Access) -> bool {
        self.seeing(access).allows()
    }

    /// Returns the reason why the caller may or may not see a contact with this access.
    pub fn seeing(&self, access: &Access) -> Reason {
        self.reason(access, !access.share.is_private())
    }

    /// Returns the managers that the caller may know: all managers of a private contact. For a shared contact,
    /// administrators know all managers. Other callers know only whether they are managers themselves.
    pub fn known_managers<'a>(&self, access: &'a Access) -> impl Iterator<Item = UserId> + use<'a> {
        Actor::User(*self).known_managers(access)
    }

    /// Returns whether the caller may edit a contact with this access. Every editor may also set the access.
    ///
    /// Source: ONLYOFFICE's `CRMSecurity.CanEdit`.
    pub fn may_edit(&self, access: &Access) -> bool {
        self.editing(access).allows()
    }

    /// Returns the reason why the caller may or may not edit a contact with this access.
    pub fn editing(&self, access: &Access) -> Reason {
        self.reason(access, access.share == ShareType::ReadWrite)
    }

    fn reason(&self, access: &Access, is_shared: bool) -> Reason {
        if self.is_admin {
            Reason::Administrator
        } else if is_shared {
            Reason::Shared
        } else if access.managers.contains(&self.user) {
            Reason::InList
        } else {
            Reason::NotInList
        }
    }
}

/// The reason why a user may or may not see or edit a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = AccessReason))]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The user is an administrator.
    Administrator,
    /// The contact is shared with all users for this action.
    Shared,
    /// The user is in the manager list.
    InList,
    /// The contact is not shared for this action, and the user is not in the manager list.
    NotInList,
}

impl Reason {
    /// Returns whether the action is allowed for this reason.
    pub const fn allows(self) -> bool {
        !matches!(self, Self::NotInList)
    }
}

/// The author of an access change, stored in job records and access records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Author {
    /// A user of the portal.
    User(UserId),
    /// The operator of the service, through an operator's schedule or an import. No user is the operator, not even the
    /// nil UUID.
    Operator,
}

/// Text form of [`Author::Operator`]. It is not a UUID, so no user has the same text.
const OPERATOR: &str = "operator";

impl Author {
    /// Returns the user; `None` for the operator.
    pub const fn user(self) -> Option<UserId> {
        match self {
            Self::User(user) => Some(user),
            Self::Operator => None,
        }
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => user.fmt(f),
            Self::Operator => f.write_str(OPERATOR),
        }
    }
}

impl FromStr for Author {
    type Err = NotAUuid;

    fn from_str(text: &str) -> Result<Self, NotAUuid> {
        if text == OPERATOR { Ok(Self::Operator) } else { text.parse().map(Self::User) }
    }
}

/// An author with the author's current rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A user of the portal.
    User(Caller),
    /// The operator, who has an administrator's rights.
    Operator,
}

impl Actor {
    /// Returns the author to store in records.
    pub const fn author(self) -> Author {
        match self {
            Self::User(caller) => Author::User(caller.user),
            Self::Operator => Author::Operator,
        }
    }

    /// Returns whether the actor may see a contact with this access.
    pub fn may_see(&self, access: &Access) -> bool {
        match self {
            Self::User(caller) => caller.may_see(access),
            Self::Operator => true,
        }
    }

    /// Returns the managers that the actor may know, as [`Caller::known_managers`] explains. The operator knows all.
    pub fn known_managers<'a>(&self, access: &'a Access) -> impl Iterator<Item = UserId> + use<'a> {
        let only = match self {
            Self::User(caller) if !caller.is_admin && !access.share.is_private() => Some(caller.user),
            Self::User(_) | Self::Operator => None,
        };
        access.managers.iter().copied().filter(move |manager| only.is_none_or(|user| *manager == user))
    }

    /// Returns whether the actor may edit a contact with this access. Every editor may also set the access.
    pub fn may_edit(&self, access: &Access) -> bool {
        match self {
            Self::User(caller) => caller.may_edit(access),
            Self::Operator => true,
        }
    }

    /// Returns whether the actor may undo a job's change of a contact that still has the job's revision. The actor's
    /// current rights must allow editing under the current or the restored access. So a user can undo a change by which
    /// the user lost access, and a former administrator has only the rights of other users.
    pub fn may_restore(&self, current: &Access, restored: &Access) -> bool {
        self.may_edit(current) || self.may_edit(restored)
    }
}
