//! Who may see and edit a contact: the rules, as pure functions.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::values::id::UserId;

/// How a contact is shared with users who are not in its manager list.
///
/// The numbers are those of ONLYOFFICE's `ShareType`, as document 001 lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareType {
    /// 0: with no one; the contact is private.
    None,
    /// 1: everyone sees and edits it.
    ReadWrite,
    /// 2: everyone sees it, its managers edit it.
    Read,
}

impl ShareType {
    /// Every share type, in the order of its numbers.
    pub const ALL: [Self; 3] = [Self::None, Self::ReadWrite, Self::Read];

    /// The number on the wire and in storage.
    pub const fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::ReadWrite => 1,
            Self::Read => 2,
        }
    }

    /// The share type with this number.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|share| i64::from(share.number()) == number)
    }

    /// Whether only the manager list and administrators see the contact.
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

/// Who may see and edit one contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// How it is shared with everyone else.
    pub share: ShareType,
    /// The managers, in the order they were given; kept even while the contact is shared.
    pub managers: Vec<UserId>,
}

impl Access {
    /// The access of a contact that has no access record: public, with an empty list. No other place decides this.
    pub const UNRECORDED: Self = Self { share: ShareType::ReadWrite, managers: Vec::new() };

    /// The access that a request asks for: private or public, with a manager list of which duplicates are dropped.
    pub fn requested(is_private: bool, managers: impl IntoIterator<Item = UserId>) -> Self {
        let mut seen = std::collections::HashSet::new();
        Self {
            share: if is_private { ShareType::None } else { ShareType::ReadWrite },
            managers: managers.into_iter().filter(|id| seen.insert(*id)).collect(),
        }
    }

    /// What an answer shows of it where it is the target of a job or of a rule.
    pub fn view(&self) -> TargetView<'_> {
        TargetView { is_private: self.share.is_private(), manager_list: &self.managers }
    }
}

/// An access as the target of a job or of a rule, with the names that requests have for its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Target))]
#[serde(rename_all = "PascalCase")]
pub struct TargetView<'a> {
    /// true if the contacts become private.
    pub is_private: bool,
    /// Their managers.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<uuid::Uuid>))]
    pub manager_list: &'a [UserId],
}

/// The user on whose behalf a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Identifier in the portal's user directory.
    pub user: UserId,
    /// Whether the portal counts the user among its administrators.
    pub is_admin: bool,
}

impl Caller {
    /// Whether the caller may see a contact with this access. One it may not see does not exist for it.
    ///
    /// Source: ONLYOFFICE's `CRMSecurity.CanAccessTo`.
    pub fn may_see(&self, access: &Access) -> bool {
        self.is_admin || !access.share.is_private() || access.managers.contains(&self.user)
    }

    /// The managers whom the caller may know of a contact with this access: of a private contact, all. A shared contact
    /// keeps its list unseen, and shows at most the caller itself; administrators know the kept list too.
    pub fn known_managers<'a>(&self, access: &'a Access) -> impl Iterator<Item = UserId> + 'a {
        let (user, knows_all) = (self.user, self.is_admin || access.share.is_private());
        access.managers.iter().copied().filter(move |manager| knows_all || *manager == user)
    }

    /// Whether the caller may edit a contact with this access, and so set it.
    ///
    /// Source: ONLYOFFICE's `CRMSecurity.CanEdit`.
    pub fn may_edit(&self, access: &Access) -> bool {
        self.is_admin || access.share == ShareType::ReadWrite || access.managers.contains(&self.user)
    }
}

/// The author of a change of access: a job's record and an access record name the author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Author {
    /// A user of the portal.
    User(UserId),
    /// The operator of the service, by a schedule of the operator's own or by an import. No user is the operator, the
    /// nil UUID neither.
    Operator,
}

/// The operator's name, which is no UUID.
const OPERATOR: &str = "operator";

impl Author {
    /// The user, unless the operator is the author.
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
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        if text == OPERATOR { Ok(Self::Operator) } else { text.parse().map(Self::User) }
    }
}

/// An author with the rights of this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A user of the portal.
    User(Caller),
    /// The operator, who has an administrator's rights.
    Operator,
}

impl Actor {
    /// The author that records name.
    pub const fn author(self) -> Author {
        match self {
            Self::User(caller) => Author::User(caller.user),
            Self::Operator => Author::Operator,
        }
    }

    /// Whether the actor may see a contact with this access.
    pub fn may_see(&self, access: &Access) -> bool {
        match self {
            Self::User(caller) => caller.may_see(access),
            Self::Operator => true,
        }
    }

    /// Whether the actor may edit a contact with this access, and so set the access.
    pub fn may_edit(&self, access: &Access) -> bool {
        match self {
            Self::User(caller) => caller.may_edit(access),
            Self::Operator => true,
        }
    }

    /// Whether the actor may restore what was before a job on a contact that still carries the job's revision. With the
    /// rights of this moment the actor must be able to edit one of both states: so a user undoes what locked the user
    /// out, and a former administrator reaches no further than others.
    pub fn may_restore(&self, current: &Access, restored: &Access) -> bool {
        self.may_edit(current) || self.may_edit(restored)
    }
}
