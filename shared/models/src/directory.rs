//! A portal and its directory: users, tokens, and what the planner knows of tags and stages.

use std::collections::{BTreeMap, HashMap};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::access::Caller;
use crate::contact::{Directory, Employee, ListItem, split_name};
use crate::sign_in::Email;
use crate::values::id::{PortalId, UserId};
use crate::values::moment::Moment;

/// One customer's data. Nothing crosses portals.
#[derive(Clone, Debug, PartialEq)]
pub struct Portal {
    /// Identifier.
    pub id: PortalId,
    /// The zone in which dates without an offset are meant.
    pub time_zone: TimeZone,
    /// Over how many partitions a tag's or a stage's contacts are spread, 1 to 64.
    pub shards: u16,
    /// Whether every access that a contact ever had is posted, so that postings answer who can see what. It is so where
    /// the portal was loaded first by a program that posts. What an import line says of it counts nothing.
    pub posted: bool,
}

/// A user of a portal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// What an answer shows.
    pub employee: Employee,
    /// Whether the user is an administrator of the portal.
    pub is_admin: bool,
    /// What the user signs in with; without it, not at all. No answer shows it.
    pub email: Option<Email>,
    /// When the user's tokens were last ended, all at once; none if they never were.
    pub tokens_valid_from: Option<Moment>,
}

impl User {
    /// Whether a token with this grant still stands for the user. A token that was made before the user's tokens were
    /// ended does not.
    pub fn honours(&self, grant: &Grant) -> bool {
        // `None` is less than every moment.
        grant.user == self.employee.id && grant.valid_from >= self.tokens_valid_from
    }

    /// The user as the one a request is answered for.
    pub fn caller(&self) -> Caller {
        Caller { user: self.employee.id, is_admin: self.is_admin }
    }
}

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Reading.
    Read,
    /// Changing.
    Write,
}

impl Scope {
    /// The scope's name, as documents and tokens write it.
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

/// What a token stands for: a user of one portal, and what it may be used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The token's portal.
    pub portal: PortalId,
    /// The token's user.
    pub user: UserId,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// When it ends, if it does.
    pub expires: Option<Moment>,
    /// [`User::tokens_valid_from`] as the token's maker read it, before it looked at a password. Two readings of one
    /// item are compared, and not two machines' clocks.
    pub valid_from: Option<Moment>,
}

impl Grant {
    /// Whether the token still counts at `now`.
    pub fn is_current(&self, now: Moment) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    /// Whether the token has `scope`, by name or because it may write: who may change a contact may read it.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || (scope == Scope::Read && self.scopes.contains(&Scope::Write))
    }
}

/// The moment from which a user's tokens are valid when all earlier ones are ended at `now`: later than the moment before
/// it, whatever the clocks say.
pub fn next_valid_from(before: Option<Moment>, now: Moment) -> Moment {
    before.map_or(now, |before| now.max(Moment::from_steps(before.steps() + 1)))
}

/// A user of a portal as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct Profile {
    /// Identifier in the portal's user directory.
    #[cfg_attr(feature = "openapi", schema(value_type = uuid::Uuid))]
    pub id: UserId,
    /// The name with which the user signs in: the e-mail address, where there is one.
    pub user_name: Option<Email>,
    /// Name in full.
    pub display_name: String,
    /// The first word of the name.
    pub first_name: String,
    /// The rest of the name.
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
    /// The token, for the header `Authorization`. It is shown this once.
    pub token: String,
    /// When it ends.
    pub expires: Moment,
}

/// What the portal's directory knows of its contacts when a filter is planned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Contacts in each stage of the directory and, under 0, contacts without a stage where they are counted.
    pub stages: BTreeMap<i32, u64>,
    /// Contacts with each tag that was looked up, by folded tag. A tag that is missing has none.
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
