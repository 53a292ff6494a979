//! Lines of an import file: each is a JSON object with one key, which names the kind of line.

pub(crate) mod tree;

use jiff::tz::TimeZone;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::access::{Access, ShareType};
use crate::contact::{Address, CommonData, ContactRecord, Currency, CustomField, Employee, ListItem};
use crate::directory::{Scope, User};
use crate::import::tree::{Members, path_as_written};
use crate::invalid::shown;
use crate::limits::{MAX_EMPLOYEE_BYTES, MAX_LIST_VALUES, MAX_SHARDS, MAX_TOKEN_CHARS, MIN_TOKEN_CHARS};
use crate::request::checked_tag;
use crate::sign_in::Email;
use crate::sign_in::password::PasswordHash;
use crate::values::fold::fold_tag;
use crate::values::id::{ContactId, NotAUuid, PortalId, UserId};
use crate::values::timestamp::Timestamp;
use crate::values::zone::name_of;

/// Maximum bytes of an import line. A contact and its keys must fit an item of 400 KB.
pub const MAX_LINE_BYTES: usize = 256 * 1024;

/// The content of one line.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// The portal of the lines that follow.
    Portal(PortalLine),
    /// A user, and the password hash if the line has one.
    User(User, Option<PasswordHash>),
    /// A stage.
    Stage(ListItem),
    /// A type.
    Type(ListItem),
    /// A contact and its access; public if the line names no share type.
    Contact(Box<ContactRecord>, Access),
    /// A token.
    Token(TokenLine),
    /// A contact to delete, with all its items.
    DeleteContact(ContactId),
    /// A user to delete, with tokens, e-mail address and password.
    DeleteUser(UserId),
}

/// A portal line. Members that the line does not name keep their stored values.
#[derive(Clone, Debug, PartialEq)]
pub struct PortalLine {
    /// Identifier.
    pub id: PortalId,
    /// The time zone of dates without an offset; UTC is the default of a new portal.
    pub time_zone: Option<TimeZone>,
    /// Number of index partitions per tag and per stage; 1 is the default of a new portal.
    pub shards: Option<u16>,
}

/// An existing token of a user, to be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenLine {
    /// The token itself.
    pub token: String,
    /// The token's user.
    pub user: UserId,
    /// The token's scopes.
    pub scopes: Vec<Scope>,
    /// Time at which the token expires; `None` for never.
    pub expires: Option<Timestamp>,
}

/// Parses one line. Dates without an offset are in `zone`.
///
/// # Errors
///
/// The fault and its remedy, without the line number.
pub fn parse_line(text: &str, zone: &TimeZone) -> Result<Line, String> {
    if text.len() > MAX_LINE_BYTES {
        return Err(format!("the line has {} bytes; at most {MAX_LINE_BYTES} are allowed", text.len()));
    }
    let Members(mut members) = serde_json::from_str(text).map_err(|fault| explain(text, &fault))?;
    if members.iter().any(|(name, _)| name == "response") {
        return Err(
            "the line is a complete answer of the API: write each contact of its response on a separate line, such as \
                    {\"contact\":{…}}"
                .into(),
        );
    }
    let (Some((kind, value)), None) = (members.pop(), members.pop()) else { return Err(ONE_KEY.to_owned()) };
    let line = WrittenLine { text, kind: &kind };
    match line.kind {
        "portal" => line.read::<RawPortal>(value)?.read().map(Line::Portal),
        "user" => line.read::<RawUser>(value)?.read(),
        "stage" => list_item(line.read(value)?).map(Line::Stage),
        "type" => list_item(line.read(value)?).map(Line::Type),
        "contact" => line.read::<Box<RawContact>>(value)?.read(zone),
        "token" => line.read::<RawToken>(value)?.read(zone).map(Line::Token),
        "delete" if value.as_object().is_some_and(|members| members.len() != 1) => Err(ONE_DELETION.to_owned()),
        "delete" => line.read::<RawDelete>(value)?.read(),
        other => Err(format!("{:?} is not a kind of line: {ONE_KEY}", shown(other))),
    }
}

const ONE_KEY: &str = "a line is a JSON object with one key: portal, user, stage, type, contact, token or delete";
const ONE_DELETION: &str = "delete must name one contact or one user, such as {\"delete\":{\"contact\":5}}";

/// A line as written in the file, for messages.
#[derive(Clone, Copy)]
struct WrittenLine<'a> {
    text: &'a str,
    kind: &'a str,
}

impl WrittenLine<'_> {
    /// Deserializes the value of the line. Errors name the faulty member as written.
    fn read<T: DeserializeOwned>(self, value: Value) -> Result<T, String> {
        serde_path_to_error::deserialize(value).map_err(|fault| {
            let message = plain(fault.inner());
            match path_as_written(self.text, self.kind, fault.path()).as_str() {
                "" => abridged(&message),
                path => abridged(&format!("{path}: {message}")),
            }
        })
    }
}

/// Returns the message of the deserializer in the words of the documents.
fn plain(fault: &serde_json::Error) -> String {
    const VALUES: [(&str, &str); 5] = [
        ("i64", "a whole number"),
        ("i32", "a whole number from -2147483648 to 2147483647"),
        ("u16", "a whole number from 0 to 65535"),
        ("a sequence", "a list"),
        ("a formatted UUID string", "a UUID"),
    ];
    let message = fault.to_string();
    if message.starts_with("UUID parsing failed") {
        return NotAUuid.to_string();
    }
    // The path before the message names the unknown member.
    if let Some((_, known)) = message.strip_prefix("unknown field ").and_then(|rest| rest.rsplit_once("`, expected ")) {
        return format!("unknown member, expected {known}");
    }
    let value = VALUES.iter().find_map(|(name, value)| Some((message.strip_suffix(name)?, value)));
    value
        .filter(|(start, _)| start.ends_with("expected "))
        .map_or_else(|| message.clone(), |(start, value)| format!("{start}{value}"))
}

/// Shortens a message of the deserializer, which quotes names and values of the line in full. The fault is at the
/// beginning of the message, and the list of known members is at the end.
fn abridged(message: &str) -> String {
    const END_BYTES: usize = 384;
    if message.len() <= 2 * END_BYTES {
        return message.to_owned();
    }
    let head = &message[..message.floor_char_boundary(END_BYTES)];
    let tail = &message[message.ceil_char_boundary(message.len() - END_BYTES)..];
    format!("{head}…{tail}")
}

/// Explains why a text is not a line, if the parser's message would not help.
fn explain(text: &str, fault: &serde_json::Error) -> String {
    // The parser always reports line 1, which readers would take for the line number in the file.
    let reason = abridged(&fault.to_string().replace(" at line 1 column ", " at column "));
    match text.trim_start().chars().next() {
        None => "the line is empty".to_owned(),
        Some('[') => "the line is a JSON array: write each of its values on a separate line, without the brackets and \
                      commas, such as {\"contact\":{…}}"
            .to_owned(),
        Some('{') if fault.is_eof() => {
            format!("the line is not JSON: {reason}. Write each object on one line, without line breaks")
        }
        Some('{') if fault.is_data() => reason,
        _ if fault.is_data() => ONE_KEY.to_owned(),
        _ => format!("the line is not JSON: {reason}"),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, expecting = "an object with the members of a portal")]
struct RawPortal {
    #[serde(rename = "id")]
    id: PortalId,
    time_zone: Option<String>,
    shards: Option<u16>,
}

impl RawPortal {
    fn read(self) -> Result<PortalLine, String> {
        if self.shards.is_some_and(|shards| !(1..=MAX_SHARDS).contains(&shards)) {
            return Err(format!("Shards must be from 1 to {MAX_SHARDS}"));
        }
        let time_zone = self.time_zone.as_deref().map(time_zone).transpose()?;
        Ok(PortalLine { id: self.id, time_zone, shards: self.shards })
    }
}

/// Looks up a zone in the IANA database. The zone needs a name, because the portal stores the name.
fn time_zone(name: &str) -> Result<TimeZone, String> {
    let given = shown(name);
    match TimeZone::get(name) {
        Ok(zone) if name_of(&zone).is_some() => Ok(zone),
        Ok(_) => Err(format!("TimeZone {given:?} is not a time zone; use a zone such as Europe/Riga or UTC")),
        Err(_) => Err(format!("TimeZone {given:?} is not in the IANA time zone database; an example is Europe/Riga")),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, expecting = "an object with the members of a user")]
struct RawUser {
    #[serde(rename = "id")]
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
            return Err("PasswordHash needs an Email, with which the user signs in".into());
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
                 {MAX_EMPLOYEE_BYTES} are allowed. AvatarSmall must be the address of a picture, not the picture"
            ));
        }
        // Lines have no such member, because a second import of a user must not restore revoked tokens.
        let tokens_valid_from = None;
        let user = User { employee, is_admin: self.is_admin.unwrap_or_default(), email, tokens_valid_from };
        Ok(Line::User(user, hash))
    }
}

fn list_item(item: ListItem) -> Result<ListItem, String> {
    if item.id > 0 { Ok(item) } else { Err("id must be a whole number from 1 to 2147483647; 0 means none".into()) }
}

/// The members of a contact, as answers show them. Computed members are accepted and ignored.
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
    first_name: Option<String>,
    last_name: Option<String>,
    company_name: Option<String>,
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
    #[serde(rename = "id")]
    id: Option<UserId>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with the id of a stage or type")]
struct ListItemRef {
    // An object without an id means none.
    #[serde(default)]
    id: i32,
}

impl RawContact {
    fn read(self, zone: &TimeZone) -> Result<Line, String> {
        let created = self.created.ok_or("Created is required: when the contact was created")?;
        let created = Timestamp::parse(&created, zone).map_err(|fault| format!("Created {fault}"))?;
        let managers = self.access_list.into_iter().flatten().enumerate();
        let managers =
            managers.map(|(i, employee)| employee.id.ok_or_else(|| format!("AccessList[{i}]: missing field `id`")));
        let access = Access::requested(false, managers.collect::<Result<Vec<_>, _>>()?);
        let access = Access { share: self.share_type.unwrap_or(access.share), ..access };
        let check_len = |field: &str, len: usize| {
            if len <= MAX_LIST_VALUES {
                Ok(())
            } else {
                Err(format!("{field} has {len} values; at most {MAX_LIST_VALUES} are allowed"))
            }
        };
        check_len("AccessList", access.managers.len())?;
        let record = ContactRecord {
            id: self.id,
            display_name: self.display_name.unwrap_or_default(),
            first_name: self.first_name.unwrap_or_default(),
            last_name: self.last_name.unwrap_or_default(),
            company_name: self.company_name.unwrap_or_default(),
            created,
            create_by: self.create_by.and_then(|employee| employee.id),
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
        check_len("Tags", record.tags.len())?;
        Ok(Line::Contact(Box::new(record), access))
    }
}

fn reference(field: &str, item: Option<ListItemRef>) -> Result<i32, String> {
    match item.map_or(0, |item| item.id) {
        id if id >= 0 => Ok(id),
        _ => Err(format!("{field}.id must be a whole number from 0 to 2147483647; 0 means none")),
    }
}

/// Trims tags, and keeps only the first of several tags that fold to the same text.
fn tags(given: Vec<String>) -> Result<Vec<String>, String> {
    let mut seen = std::collections::HashSet::new();
    let mut tags = Vec::with_capacity(given.len());
    for (i, tag) in given.into_iter().enumerate() {
        checked_tag(&tag).map_err(|fault| format!("Tags[{i}] {fault}"))?;
        // XML and terminals cannot show control characters, and callers cannot type them into a filter.
        if let Some(control) = tag.trim().chars().find(|c| c.is_control()) {
            return Err(format!(
                "Tags[{i}] has the control character U+{:04X}; remove the character",
                u32::from(control)
            ));
        }
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
        let is_printable = self.token.bytes().all(|b| b.is_ascii_graphic());
        if !is_printable || !(MIN_TOKEN_CHARS..=MAX_TOKEN_CHARS).contains(&self.token.len()) {
            return Err(format!(
                "Token must be {MIN_TOKEN_CHARS} to {MAX_TOKEN_CHARS} printable ASCII characters without spaces"
            ));
        }
        if self.scopes.is_empty() {
            return Err("Scopes must hold read, write or both".into());
        }
        let expires = self.expires.map(|text| Timestamp::parse_edge(&text, crate::values::timestamp::Edge::To, zone));
        let expires = expires.transpose().map_err(|fault| format!("Expires {fault}"))?;
        Ok(TokenLine { token: self.token, user: self.user_id, scopes: self.scopes, expires })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "an object with the id of a contact or of a user")]
struct RawDelete {
    contact: Option<ContactId>,
    user: Option<UserId>,
}

impl RawDelete {
    fn read(self) -> Result<Line, String> {
        match (self.contact, self.user) {
            (Some(contact), None) => Ok(Line::DeleteContact(contact)),
            (None, Some(user)) => Ok(Line::DeleteUser(user)),
            _ => Err(ONE_DELETION.into()),
        }
    }
}
