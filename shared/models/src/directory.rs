//! A portal and its directory: users, tokens, and the planner's statistics of tags and stages.

use std::collections::{BTreeMap, HashMap};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::access::Caller;
use crate::contact::{Directory, Employee, ListItem, split_name};
use crate::sign_in::Email;
use crate::values::id::{PortalId, UserId};
use crate::values::timestamp::Timestamp;

/// A portal: the data of one customer. Portals share no data.
#[derive(Clone, Debug, PartialEq)]
pub struct Portal {
    /// Identifier.
    pub id: PortalId,
    /// The time zone of dates without an offset.
    pub time_zone: TimeZone,
    /// Number of index partitions per tag and per stage, 1 to 64.
    pub shards: u16,
    /// The new number of shards while index entries move to the partitions of this number. `shards` then covers the old
    /// and the new partitions. Imports and runs by filter refuse such a portal.
    pub resharding_to: Option<u16>,
    /// True if the postings of each manager name all contacts of the manager. The portal's first import sets this field
    /// if it writes postings. Import lines cannot set the field.
    pub has_manager_index: bool,
}

/// A user of a portal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The fields that answers show.
    pub employee: Employee,
    /// True if the user is an administrator of the portal.
    pub is_admin: bool,
    /// The sign-in address; a user without an address cannot sign in. Only a [`Profile`] shows the address.
    pub email: Option<Email>,
    /// Time at which all of the user's tokens were last revoked; `None` if never.
    pub tokens_valid_from: Option<Timestamp>,
}

impl User {
    /// Returns whether a token with this grant is valid for the user: the token belongs to the user and was issued
    /// after the last revocation.
    pub fn honours(&self, grant: &Grant) -> bool {
        // `None` is less than every `Some`.
        grant.user == self.employee.id && grant.valid_from >= self.tokens_valid_from
    }

    /// Returns the user as the caller of a request.
    pub fn caller(&self) -> Caller {
        Caller { user: self.employee.id, is_admin: self.is_admin }
    }
}

/// A permission of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Reading.
    Read,
    /// Changing.
    Write,
}

impl Scope {
    /// Returns the scope's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "read" => Ok(Self::Read),
            "write" => Ok(Self::Write),
            _ => Err("must be read or write"),
        }
    }
}

/// The rights of a token: its portal, its user and its scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The token's portal.
    pub portal: PortalId,
    /// The token's user.
    pub user: UserId,
    /// The token's scopes.
    pub scopes: Vec<Scope>,
    /// Time at which the token expires; `None` for never.
    pub expires: Option<Timestamp>,
    /// [`User::tokens_valid_from`] as read before the password was checked and the token was issued. A later
    /// comparison with the user's current value does not depend on the clocks of two machines.
    pub valid_from: Option<Timestamp>,
}

impl Grant {
    /// Returns whether the token has not expired at `now`.
    pub fn is_current(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    /// Returns whether the token has `scope`. Write includes read.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || (scope == Scope::Read && self.scopes.contains(&Scope::Write))
    }
}

/// Returns the new [`User::tokens_valid_from`] when all of a user's tokens are revoked at `now`. The result is always
/// later than the value `before`, even if a clock went back.
pub fn next_valid_from(before: Option<Timestamp>, now: Timestamp) -> Timestamp {
    before.map_or(now, |before| now.max(Timestamp::from_ticks(before.ticks() + 1)))
}

/// A user's profile, as answers show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct Profile {
    /// Identifier in the portal's user directory.
    #[cfg_attr(feature = "openapi", schema(value_type = uuid::Uuid))]
    pub id: UserId,
    /// The name with which the user signs in: the e-mail address, if the user has one.
    pub user_name: Option<Email>,
    /// Name in full.
    pub display_name: String,
    /// The first word of the name.
    pub first_name: String,
    /// The name without its first word.
    pub last_name: String,
    /// E-mail address.
    pub email: Option<Email>,
    /// Job title.
    pub title: String,
    /// Address of a small picture.
    pub avatar_small: String,
    /// Address of the profile page.
    pub profile_url: String,
    /// true for an administrator of the portal.
    pub is_admin: bool,
}

impl Profile {
    /// The keys of the members.
    pub const KEYS: [&str; 10] = [
        "Id",
        "UserName",
        "DisplayName",
        "FirstName",
        "LastName",
        "Email",
        "Title",
        "AvatarSmall",
        "ProfileUrl",
        "IsAdmin",
    ];
}

impl From<User> for Profile {
    fn from(user: User) -> Self {
        let Employee { id, display_name, title, avatar_small, profile_url } = user.employee;
        let (first_name, last_name) = split_name(&display_name);
        let (first_name, last_name) = (first_name.to_owned(), last_name.to_owned());
        Self {
            id,
            user_name: user.email.clone(),
            display_name,
            first_name,
            last_name,
            email: user.email,
            title,
            avatar_small,
            profile_url,
            is_admin: user.is_admin,
        }
    }
}

/// The answer to a sign-in.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct SignedIn {
    /// The token, for the header `Authorization`. No other answer shows the token.
    pub token: String,
    /// Time at which the token expires.
    pub expires: Timestamp,
}

/// A one-time code, in the answer that creates the code.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct SignInCode {
    /// The code, for the field `code` of a sign-in. No other answer shows the code.
    pub code: String,
    /// Time at which the code expires.
    pub expires: Timestamp,
}

/// The settings of a portal, with the names of ONLYOFFICE's server.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct Settings {
    /// Identifier of the portal.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub portal: PortalId,
    /// IANA name of the time zone of dates without an offset.
    pub timezone: String,
    /// Present offset of this time zone, such as `+02:00`.
    pub utc_offset: String,
    /// The same offset in hours.
    pub utc_hours_offset: f64,
}

impl Settings {
    /// Returns the settings of a portal at `now`.
    pub fn of(portal: &Portal, now: Timestamp) -> Self {
        let offset = now.in_zone(&portal.time_zone).offset();
        Self {
            portal: portal.id.clone(),
            timezone: portal.time_zone.iana_name().unwrap_or("UTC").to_owned(),
            utc_offset: offset.to_string(),
            utc_hours_offset: offset.hours(),
        }
    }
}

/// Contact counts from the portal's directory, for planning a filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Number of contacts in each stage of the directory. Stage 0 has the contacts without a stage, if counted.
    pub stages: BTreeMap<i32, u64>,
    /// Number of contacts with each tag that was read, by folded tag. A missing tag has no contacts.
    pub tags: HashMap<String, u64>,
}

/// The directory entries that an answer needs.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    /// Stages by identifier.
    pub stages: HashMap<i32, ListItem>,
    /// Types by identifier.
    pub types: HashMap<i32, ListItem>,
    /// Users by identifier.
    pub users: HashMap<UserId, User>,
}

impl Directory for Entries {
    fn stage(&self, id: i32) -> Option<ListItem> {
        self.stages.get(&id).cloned()
    }

    fn contact_type(&self, id: i32) -> Option<ListItem> {
        self.types.get(&id).cloned()
    }

    fn employee(&self, id: UserId) -> Option<&Employee> {
        self.users.get(&id).map(|user| &user.employee)
    }
}
