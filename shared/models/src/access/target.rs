//! The change that a request makes to the access of contacts: another access, or managers to add and to remove.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::access::{Access, ShareType};
use crate::limits::MAX_MANAGERS;
use crate::values::id::UserId;

/// The change that a request makes to the access of each contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub enum Target {
    /// Every contact gets this access.
    Replace(Access),
    /// Each contact keeps its manager list, apart from the managers to add and to remove.
    Edit(AccessEdit),
}

/// A change of a contact's manager list. Nobody is both added and removed, so a repeated edit changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessEdit {
    /// The share type that the contacts get; `None` if each contact keeps its own.
    pub share: Option<ShareType>,
    /// The managers to add, without duplicates. Managers who are not in the list yet are added to its end, in this
    /// order.
    pub add: Vec<UserId>,
    /// The managers to remove, without duplicates.
    pub remove: Vec<UserId>,
}

/// Error: a contact would get more managers than a list may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the list would have {managers} managers; at most {MAX_MANAGERS} are allowed")]
pub struct TooManyManagers {
    /// The number of managers that the list would have.
    pub managers: usize,
}

impl Target {
    /// Returns the access that a contact with this access gets.
    ///
    /// # Errors
    ///
    /// [`TooManyManagers`] if the manager list would be too long. The contact then keeps its access.
    pub fn applied_to(&self, access: &Access) -> Result<Access, TooManyManagers> {
        match self {
            Self::Replace(access) => Ok(access.clone()),
            Self::Edit(edit) => edit.applied_to(access),
        }
    }

    /// Returns the access that every contact gets; `None` if the access depends on the contact.
    pub const fn replacement(&self) -> Option<&Access> {
        match self {
            Self::Replace(access) => Some(access),
            Self::Edit(_) => None,
        }
    }

    /// Returns whether both changes give every contact the same access. The order of the removed managers has no effect.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Edit(edit), Self::Edit(other)) => {
                let removed = |edit: &AccessEdit| edit.remove.iter().copied().collect::<HashSet<UserId>>();
                (edit.share, &edit.add) == (other.share, &other.add) && removed(edit) == removed(other)
            }
            _ => self == other,
        }
    }

    /// Returns the managers that the change gives to contacts. Each must be a user of the portal.
    pub fn given_managers(&self) -> &[UserId] {
        match self {
            Self::Replace(access) => &access.managers,
            Self::Edit(edit) => &edit.add,
        }
    }

    /// Returns the name of the request's field that holds [`Self::given_managers`].
    pub const fn given_managers_field(&self) -> &'static str {
        match self {
            Self::Replace(_) => "managerList",
            Self::Edit(_) => "addManagers",
        }
    }

    /// Returns the change as answers show it.
    pub fn view(&self) -> TargetView<'_> {
        match self {
            Self::Replace(access) => TargetView {
                is_private: Some(access.share.is_private()),
                manager_list: Some(&access.managers),
                ..TargetView::default()
            },
            Self::Edit(AccessEdit { share, add, remove }) => TargetView {
                is_private: share.map(ShareType::is_private),
                manager_list: None,
                // A view without lists would mean a replacement by empty manager lists.
                add_managers: Some(add.as_slice()).filter(|add| !add.is_empty() || remove.is_empty()),
                remove_managers: Some(remove.as_slice()).filter(|remove| !remove.is_empty()),
            },
        }
    }
}

impl From<Access> for Target {
    fn from(access: Access) -> Self {
        Self::Replace(access)
    }
}

impl From<AccessEdit> for Target {
    fn from(edit: AccessEdit) -> Self {
        Self::Edit(edit)
    }
}

impl AccessEdit {
    /// Builds the edit of a request: private, public or neither, with the managers deduplicated. The request has
    /// nobody in both lists.
    pub fn requested(is_private: Option<bool>, add: Vec<UserId>, remove: Vec<UserId>) -> Self {
        Self {
            share: is_private.map(ShareType::requested),
            add: Access::distinct(add),
            remove: Access::distinct(remove),
        }
    }

    fn applied_to(&self, access: &Access) -> Result<Access, TooManyManagers> {
        let removed: HashSet<&UserId> = self.remove.iter().collect();
        let mut managers: Vec<UserId> =
            access.managers.iter().filter(|manager| !removed.contains(manager)).copied().collect();
        let present: HashSet<UserId> = managers.iter().copied().collect();
        managers.extend(self.add.iter().filter(|manager| !present.contains(manager)));
        if managers.len() > MAX_MANAGERS {
            return Err(TooManyManagers { managers: managers.len() });
        }
        Ok(Access { share: self.share.unwrap_or(access.share), managers })
    }
}

/// The change that a job or a rule makes, with the field names of requests. A field that the change does not have is
/// absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Target))]
#[serde(rename_all = "PascalCase")]
pub struct TargetView<'a> {
    /// true if the contacts become private, false if they become public; absent if each contact keeps its own setting.
    #[cfg_attr(feature = "openapi", schema(value_type = bool, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_private: Option<bool>,
    /// The managers of the contacts, in place of their managers before.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<uuid::Uuid>, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager_list: Option<&'a [UserId]>,
    /// The managers that are added to the lists of the contacts.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<uuid::Uuid>, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_managers: Option<&'a [UserId]>,
    /// The managers that are removed from the lists of the contacts.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<uuid::Uuid>, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove_managers: Option<&'a [UserId]>,
}

/// The stored form. A replacement has the form of an [`Access`], which earlier versions stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    share: Option<ShareType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    managers: Option<Vec<UserId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    add: Option<Vec<UserId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remove: Option<Vec<UserId>>,
}

/// Error: a stored target has neither the members `share` and `managers` nor the members `add` and `remove`.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a stored target has the members share and managers, or add and remove")]
struct NotATarget;

impl From<Target> for Stored {
    fn from(target: Target) -> Self {
        match target {
            Target::Replace(Access { share, managers }) => {
                Self { share: Some(share), managers: Some(managers), add: None, remove: None }
            }
            Target::Edit(AccessEdit { share, add, remove }) => {
                Self { share, managers: None, add: Some(add), remove: Some(remove) }
            }
        }
    }
}

impl TryFrom<Stored> for Target {
    type Error = NotATarget;

    fn try_from(stored: Stored) -> Result<Self, NotATarget> {
        match stored {
            Stored { share: Some(share), managers: Some(managers), add: None, remove: None } => {
                Ok(Self::Replace(Access { share, managers }))
            }
            Stored { share, managers: None, add: Some(add), remove: Some(remove) } => {
                Ok(Self::Edit(AccessEdit { share, add, remove }))
            }
            _ => Err(NotATarget),
        }
    }
}
