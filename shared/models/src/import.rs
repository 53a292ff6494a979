//! Lines of an import file: one JSON object each, with one key that says what it is.

use crate::id::{ContactId, PortalId, UserId};
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;

use crate::access::{Access, ShareType};
use crate::contact::{Address, CommonData, ContactRecord, Currency, CustomField, Employee, ListItem};
use crate::fold::fold_tag;
use crate::limits::{MAX_EMPLOYEE_BYTES, MAX_LIST_VALUES, MAX_SHARDS, MAX_TOKEN_CHARS, MIN_TOKEN_CHARS};
use crate::moment::Moment;
use crate::password::PasswordHash;
use crate::portal::{Portal, Scope, User};
use crate::request::checked_tag;
use crate::sign_in::Email;

/// Bytes of an import line. A contact must fit an item of 400 KB beside its keys.
pub const MAX_LINE_BYTES: usize = 256 * 1024;

/// What one line says.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// The portal that the lines after it belong to.
    Portal(Portal),
    /// A user, and the hash of its password where the line gives one.
    User(User, Option<PasswordHash>),
    /// A stage.
    Stage(ListItem),
    /// A type.
    Type(ListItem),
    /// A contact, and its access where the line gives one.
    Contact(Box<ContactRecord>, Access),
    /// A token.
    Token(TokenLine),
    /// A contact to be removed with all its items.
    DeleteContact(ContactId),
}

/// A token that is brought along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenLine {
    /// The token itself.
    pub token: String,
    /// Its user.
    pub user: UserId,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// When it ends, if it does.
    pub expires: Option<Moment>,
}

/// Reads one line; dates without an offset are meant in `zone`.
///
/// # Errors
///
/// What is wrong with the line and what to do, without its number.
pub fn parse_line(text: &str, zone: &TimeZone) -> Result<Line, String> {
    if text.len() > MAX_LINE_BYTES {
        return Err(format!("the line has {} bytes; at most {MAX_LINE_BYTES} are taken", text.len()));
    }
    let raw: RawLine = serde_json::from_str(text).map_err(|fault| explain(text, &fault))?;
    match raw {
        RawLine::Portal(portal) => portal.read().map(Line::Portal),
        RawLine::User(user) => user.read(),
        RawLine::Stage(item) => list_item(item).map(Line::Stage),
        RawLine::Type(item) => list_item(item).map(Line::Type),
        RawLine::Contact(contact) => contact.read(zone),
        RawLine::Token(token) => token.read(zone).map(Line::Token),
        RawLine::Delete(RawDelete { contact }) => Ok(Line::DeleteContact(contact)),
    }
}

/// Says why a line is none, where the parser's own words would not help.
fn explain(text: &str, fault: &serde_json::Error) -> String {
    // The parser counts lines within this one, which would be taken for the file's.
    let reason = fault.to_string().replace(" at line 1 column ", " at column ");
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) if members.len() == 1 => reason,
        Ok(_) => "a line is a JSON object with one key: portal, user, stage, type, contact, token or delete".to_owned(),
        Err(_) if text.trim().is_empty() => "the line is empty".to_owned(),
        Err(_) => format!("the line is not JSON: {reason}"),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawLine {
    Portal(RawPortal),
    User(RawUser),
    Stage(ListItem),
    Type(ListItem),
    Contact(Box<RawContact>),
    Token(RawToken),
    Delete(RawDelete),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, expecting = "an object with the members of a portal")]
struct RawPortal {
    id: PortalId,
    time_zone: Option<String>,
    shards: Option<u16>,
}

impl RawPortal {
    fn read(self) -> Result<Portal, String> {
        let name = self.time_zone.as_deref().unwrap_or("UTC");
        let time_zone = TimeZone::get(name).map_err(|_| {
            format!("TimeZone {name:?} is not in the IANA time zone database; an example is Europe/Riga")
        })?;
        let shards = self.shards.unwrap_or(1);
        if !(1..=MAX_SHARDS).contains(&shards) {
            return Err(format!("Shards must be from 1 to {MAX_SHARDS}"));
        }
        Ok(Portal { id: self.id, time_zone, shards, posted: false })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, expecting = "an object with the members of a user")]
struct RawUser {
    id: UserId,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    avatar_small: Option<String>,
    #[serde(default)]
    profile_url: Option<String>,
    #[serde(default)]
    is_admin: Option<bool>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    password_hash: Option<String>,
}

impl RawUser {
    fn read(self) -> Result<Line, String> {
        let email: Option<Email> =
            self.email.map(|text| text.parse()).transpose().map_err(|fault| format!("Email {fault}"))?;
        let hash: Option<PasswordHash> =
            self.password_hash.map(|text| text.parse()).transpose().map_err(|fault| format!("PasswordHash {fault}"))?;
        if hash.is_some() && email.is_none() {
            return Err("PasswordHash is of no use without Email, which the user signs in with".into());
        }
        let employee = Employee {
            id: self.id,
            display_name: self.display_name.unwrap_or_default(),
            title: self.title.unwrap_or_default(),
            avatar_small: self.avatar_small.unwrap_or_default(),
            profile_url: self.profile_url.unwrap_or_default(),
        };
        let texts = [&employee.display_name, &employee.title, &employee.avatar_small, &employee.profile_url];
        let bytes: usize = texts.into_iter().map(String::len).sum();
        if bytes > MAX_EMPLOYEE_BYTES {
            return Err(format!(
                "DisplayName, Title, AvatarSmall and ProfileUrl have {bytes} bytes together; at most \
                 {MAX_EMPLOYEE_BYTES} are taken, so AvatarSmall is the address of a picture and not the picture"
            ));
        }
        let user = User { employee, is_admin: self.is_admin.unwrap_or_default(), email };
        Ok(Line::User(user, hash))
    }
}

fn list_item(item: ListItem) -> Result<ListItem, String> {
    if item.id > 0 { Ok(item) } else { Err("id must be a whole number from 1 to 2147483647; 0 stands for none".into()) }
}

/// The members of document 000's contact. Those that are computed are accepted and not looked at.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, expecting = "an object with the members of a contact")]
struct RawContact {
    #[serde(rename = "id")]
    id: ContactId,
    created: Option<String>,
    addresses: Option<Vec<Address>>,
    create_by: Option<EmployeeRef>,
    about: Option<String>,
    industry: Option<String>,
    contact_status: Option<ListItemRef>,
    contact_type: Option<ListItemRef>,
    common_data: Option<Vec<CommonData>>,
    custom_fields: Option<Vec<CustomField>>,
    tags: Option<Vec<String>>,
    task_count: Option<i32>,
    have_late_tasks: Option<bool>,
    small_foto_url: Option<String>,
    medium_foto_url: Option<String>,
    display_name: Option<String>,
    is_company: Option<bool>,
    access_list: Option<Vec<EmployeeRef>>,
    share_type: Option<ShareType>,
    currency: Option<Currency>,
    has_opportunity: Option<bool>,
    #[serde(default, rename = "IsPrivate")]
    _is_private: Option<serde::de::IgnoredAny>,
    #[serde(default, rename = "IsShared")]
    _is_shared: Option<serde::de::IgnoredAny>,
    #[serde(default, rename = "CanEdit")]
    _can_edit: Option<serde::de::IgnoredAny>,
    #[serde(default, rename = "CanDelete")]
    _can_delete: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "an object with the Id of a user")]
struct EmployeeRef {
    id: UserId,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with the id of a stage or type")]
struct ListItemRef {
    id: i32,
}

impl RawContact {
    fn read(self, zone: &TimeZone) -> Result<Line, String> {
        let created = self.created.ok_or("Created is required: when the contact was created")?;
        let created = Moment::parse(&created, zone).map_err(|fault| format!("Created {fault}"))?;
        let access = Access::requested(false, self.access_list.into_iter().flatten().map(|employee| employee.id));
        let access = Access { share: self.share_type.unwrap_or(access.share), ..access };
        let limited = |field: &str, len: usize| {
            if len <= MAX_LIST_VALUES {
                Ok(())
            } else {
                Err(format!("{field} has {len} values; at most {MAX_LIST_VALUES} are taken"))
            }
        };
        limited("AccessList", access.managers.len())?;
        let record = ContactRecord {
            id: self.id,
            display_name: self.display_name.unwrap_or_default(),
            created,
            create_by: self.create_by.map(|employee| employee.id),
            is_company: self.is_company.unwrap_or_default(),
            has_opportunity: self.has_opportunity.unwrap_or_default(),
            stage: reference("ContactStatus", self.contact_status)?,
            contact_type: reference("ContactType", self.contact_type)?,
            tags: tags(self.tags.unwrap_or_default())?,
            about: self.about.unwrap_or_default(),
            industry: self.industry.unwrap_or_default(),
            addresses: self.addresses.unwrap_or_default(),
            common_data: self.common_data.unwrap_or_default(),
            custom_fields: self.custom_fields.unwrap_or_default(),
            task_count: self.task_count.unwrap_or_default(),
            have_late_tasks: self.have_late_tasks.unwrap_or_default(),
            small_foto_url: self.small_foto_url.unwrap_or_default(),
            medium_foto_url: self.medium_foto_url.unwrap_or_default(),
            currency: self.currency,
        };
        limited("Tags", record.tags.len())?;
        Ok(Line::Contact(Box::new(record), access))
    }
}

fn reference(field: &str, item: Option<ListItemRef>) -> Result<i32, String> {
    match item.map_or(0, |item| item.id) {
        id if id >= 0 => Ok(id),
        _ => Err(format!("{field}.id must be a whole number from 0 to 2147483647; 0 stands for none")),
    }
}

/// Tags as they will be shown: trimmed, and the first of those that fold alike.
fn tags(given: Vec<String>) -> Result<Vec<String>, String> {
    let mut seen = std::collections::HashSet::new();
    let mut tags = Vec::with_capacity(given.len());
    for (i, tag) in given.into_iter().enumerate() {
        checked_tag(&tag).map_err(|fault| format!("Tags[{i}] {fault}"))?;
        if seen.insert(fold_tag(&tag)) {
            tags.push(tag.trim().to_owned());
        }
    }
    Ok(tags)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, expecting = "an object with the members of a token")]
struct RawToken {
    token: String,
    user_id: UserId,
    scopes: Vec<Scope>,
    #[serde(default)]
    expires: Option<String>,
}

impl RawToken {
    fn read(self, zone: &TimeZone) -> Result<TokenLine, String> {
        let printable = self.token.bytes().all(|b| b.is_ascii_graphic());
        if !printable || !(MIN_TOKEN_CHARS..=MAX_TOKEN_CHARS).contains(&self.token.len()) {
            return Err(format!(
                "Token must be {MIN_TOKEN_CHARS} to {MAX_TOKEN_CHARS} printable ASCII characters without spaces"
            ));
        }
        let expires = self.expires.map(|text| Moment::parse_edge(&text, crate::moment::Edge::To, zone));
        let expires = expires.transpose().map_err(|fault| format!("Expires {fault}"))?;
        Ok(TokenLine { token: self.token, user: self.user_id, scopes: self.scopes, expires })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the id of a contact")]
struct RawDelete {
    contact: ContactId,
}
