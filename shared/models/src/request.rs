//! Requests as they are read: JSON bodies and query parameters, with every fault named.
//!
//! A body field that is not known is a fault, because a misspelt filter field would otherwise select every contact.
//! `null` in an optional field means that the field is absent, because typed clients send it. A filter of which every
//! field that is named is `null` is a fault: it would select every contact.
//!
//! Names of fields and parameters are compared without ASCII case, because ONLYOFFICE's clients write them in several
//! ways. A field may stand twice, in two spellings, if both have the same value.
//!
//! A form and a query have the same fields as a JSON object. Their values are text, so the reader takes `true`, `1` and
//! `3` from text, one value alone for an array of one, and a JSON array in text (`tags=["a","b"]`) for the array. In JSON
//! these are faults.

pub(crate) mod form;
mod people;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::fmt;

use crate::values::id::{ContactId, PortalId, UserId};
use jiff::tz::TimeZone;
use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::access::Access;
use crate::answer;
use crate::contact::Contact;
use crate::filter::listing::{Order, SortBy, Sought};
use crate::filter::{Filter, ListView};
use crate::invalid::{Fault, Invalid, nearest};
use crate::job::JobId;
use crate::limits::{
    MAX_FAULTS, MAX_FILTER_VALUE_BYTES, MAX_JOBS_START_INDEX, MAX_LIST_VALUES, MAX_NAMED_CONTACTS, MAX_PAGE,
    MAX_QUERY_VALUES, MAX_TAG_BYTES,
};
use crate::rule::Schedule;
use crate::sign_in::Email;
use crate::values::fold::{fold, fold_tag, trim};
use crate::values::moment::{Edge, Moment, with_plus};

pub use people::{ACTIVATION_STATUSES, EMPLOYEE_STATUSES, ListPeople, PeopleOrder, fields_of_person};

/// Bytes of an idempotency key.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;

/// The largest `maxAffected`: contacts are numbered by an int32, so there are no more.
const MAX_AFFECTED: u64 = i32::MAX.unsigned_abs() as u64;

/// A body as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBody<'a> {
    /// JSON in UTF-8.
    Json(&'a [u8]),
    /// `application/x-www-form-urlencoded`.
    Form(&'a [u8]),
}

impl<'a> From<&'a [u8]> for RequestBody<'a> {
    fn from(json: &'a [u8]) -> Self {
        Self::Json(json)
    }
}

/// The body of `PUT …/contact/{contactid}/access`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetContactAccess {
    /// What the contact's access becomes.
    pub target: Access,
}

impl SetContactAccess {
    /// Reads the body. ONLYOFFICE's description lists `contactid` among its fields, so clients write the contact of the
    /// path there too.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every field that is missing, unknown or of a wrong type, and a `contactid` that is not `contact`.
    pub fn parse<'a>(body: impl Into<RequestBody<'a>>, contact: ContactId) -> Result<Self, Invalid> {
        let mut fields = Fields::parse(body.into(), &["isShared", "managerList", "contactid"])?;
        fields.check_contact("contactid", contact);
        let is_shared = fields.required_bool("isShared", "true makes the contact public, false private");
        let managers = fields.uuids("managerList");
        fields.finish()?;
        Ok(Self { target: Access::requested(!is_shared, managers) })
    }
}

/// The body of `PUT …/contact/access`. The panel of ONLYOFFICE's browser client for several contacts writes `isPrivate`
/// in place of `isShared` and `accessList` in place of `managerList`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetContactsAccess {
    /// Which contacts: 1 to [`MAX_NAMED_CONTACTS`], each once, in the order of first mention.
    pub contacts: Vec<ContactId>,
    /// What their access becomes.
    pub target: Access,
}

impl SetContactsAccess {
    /// Reads the body.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every field that is missing, unknown or of a wrong type.
    pub fn parse<'a>(body: impl Into<RequestBody<'a>>) -> Result<Self, Invalid> {
        const KNOWN: &[&str] = &["contactid", "isShared", "managerList", "isPrivate", "accessList"];
        let mut fields = Fields::parse(body.into(), KNOWN)?;
        let contacts = fields.contacts("contactid");
        let is_private = match fields.either("isShared", "isPrivate") {
            "isPrivate" => fields.required_bool("isPrivate", "true makes the contacts private, false public"),
            _ => !fields.required_bool("isShared", "true makes the contacts public, false private"),
        };
        let managers = fields.either("managerList", "accessList");
        let managers = fields.uuids(managers);
        fields.finish()?;
        Ok(Self { contacts, target: Access::requested(is_private, managers) })
    }
}

/// The body of `PUT …/contact/filter/access`, with the filter's words from the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetFilterAccess {
    /// Which contacts.
    pub filter: Filter,
    /// What their access becomes.
    pub target: Access,
}

impl SetFilterAccess {
    /// Reads the body; dates without an offset are meant in `zone`.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every field that is missing, unknown or of a wrong type.
    pub fn parse<'a>(
        body: impl Into<RequestBody<'a>>,
        filter_value: Option<&str>,
        zone: &TimeZone,
    ) -> Result<Self, Invalid> {
        const KNOWN: &[&str] = &[
            "tags",
            "contactStage",
            "contactType",
            "contactListView",
            "fromDate",
            "toDate",
            "isPrivate",
            "managerList",
        ];
        let mut fields = Fields::parse(body.into(), KNOWN)?;
        let filter = fields.filter(filter_value, Some(zone), Blank::Refused);
        let target = fields.target();
        fields.finish()?;
        Ok(Self { filter, target })
    }
}

/// The query of `GET …/contact/filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListContacts {
    /// Which contacts.
    pub filter: Filter,
    /// Which of them, by their access.
    pub sought: Sought,
    /// Their order.
    pub order: Order,
    /// Which part of them the answer shows.
    pub page: Page,
    /// Whether it is to be told how many there are.
    pub total: bool,
    /// To which of its keys each is trimmed.
    pub fields: Option<answer::Fields>,
}

impl ListContacts {
    /// The parameters of the query.
    pub const PARAMETERS: &[&str] = &[
        "tags",
        "contactStage",
        "contactType",
        "contactListView",
        "fromDate",
        "toDate",
        "filterValue",
        "responsibleid",
        "isShared",
        "sortBy",
        "sortOrder",
        "count",
        "startIndex",
        "total",
        "fields",
    ];

    /// Reads the query string; dates without an offset are meant in `zone`.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every parameter that is unknown or of a wrong type.
    pub fn parse(query: &str, zone: &TimeZone) -> Result<Self, Invalid> {
        Self::read(query, Some(zone))
    }

    /// The tags of the query string, which are read before the portal's time zone is known.
    ///
    /// # Errors
    ///
    /// As of [`ListContacts::parse`], but for the order of the dates.
    pub fn tags(query: &str) -> Result<Vec<String>, Invalid> {
        Self::read(query, None).map(|request| request.filter.tags)
    }

    fn read(query: &str, zone: Option<&TimeZone>) -> Result<Self, Invalid> {
        let mut fields = Fields::text(query.as_bytes(), Self::PARAMETERS, Written::Query)?;
        let filter_value = fields.filter_value("filterValue");
        let filter = fields.filter(filter_value.as_deref(), zone, Blank::Any);
        let sought = Sought {
            shared: fields.optional_bool("isShared", "false for the contacts that are private"),
            responsible: fields.uuid("responsibleid"),
        };
        let by = fields.choice("sortBy", &SortBy::ALL);
        let descending = fields.choice("sortOrder", &[("ascending", false), ("descending", true)]);
        let page = fields.page();
        let total = fields.optional_bool("total", "false spares the counting").unwrap_or(true);
        let shown = fields.text_of("fields", "keys of a contact with commas in between");
        fields.faults.extend(shown.as_deref().into_iter().flat_map(unknown_keys));
        fields.finish()?;
        let shown = shown.as_deref().and_then(answer::Fields::parse);
        Ok(Self { filter, sought, order: Order::new(by, descending), page, total, fields: shown })
    }
}

/// Fields of ONLYOFFICE's sign-in that ask for something that is not offered here, and the reason. Its generated clients
/// send every field, so each one is accepted while it holds nothing.
const NOT_OFFERED: &[(&str, &str)] = &[
    ("provider", ONLY_PASSWORDS),
    ("accessToken", ONLY_PASSWORDS),
    ("serializedProfile", ONLY_PASSWORDS),
    ("codeOAuth", ONLY_PASSWORDS),
    ("type", ONLY_PASSWORDS),
    ("passwordHash", "the password itself is needed, in the field password"),
    ("code", "signing in takes no second factor"),
    ("session", "every token has an end of its own, which the answer shows in expires"),
    ("confirmData", "there are no confirmation links"),
    ("culture", "the language of the answers is English"),
    ("recaptchaType", NO_CAPTCHA),
    ("recaptchaResponse", NO_CAPTCHA),
];
const ONLY_PASSWORDS: &str = "users sign in with userName and password, and through no other provider";
const NO_CAPTCHA: &str = "signing in takes no captcha";

/// The body of `POST …/authentication`. Its `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct SignInRequest {
    /// Who says so.
    pub user_name: Email,
    /// What is to prove it.
    pub password: String,
    /// Which portal, where the address is known in several.
    pub portal: Option<PortalId>,
}

impl SignInRequest {
    /// Reads the body.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every field that is missing, unknown or of a wrong type, and shows no password.
    pub fn parse<'a>(body: impl Into<RequestBody<'a>>) -> Result<Self, Invalid> {
        let mut fields = Fields::parse(body.into(), &["userName", "password", "portal"])?;
        fields.refuse(NOT_OFFERED);
        let name = fields.written.example("the user's e-mail address", "ada@example.com");
        fields.require("userName", &name);
        fields.require("password", "the user's password");
        let user_name = fields.text_of("userName", &name).and_then(|text| match text.parse() {
            Ok(email) => Some(email),
            Err(fault) => {
                fields.fault("userName", format!("{fault}; it is \"{}\"", shown(&text)));
                None
            }
        });
        let password = match fields.one("password", |_| None) {
            Some(Value::String(text)) => Some(text),
            Some(_) => {
                fields.fault("password", "must be a string");
                None
            }
            None => None,
        };
        let portal = if fields.object.contains_key("portal") { fields.portal("portal") } else { None };
        fields.finish()?;
        // What is missing has been named among the faults.
        let (Some(user_name), Some(password)) = (user_name, password) else {
            return Err(Invalid::one("userName", "is required"));
        };
        Ok(Self { user_name, password, portal })
    }
}

impl fmt::Debug for SignInRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignInRequest").field("user_name", &self.user_name).finish_non_exhaustive()
    }
}

/// The body of `PUT …/rules/{name}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetRule {
    /// Which contacts.
    pub filter: Filter,
    /// What their access becomes.
    pub target: Access,
    /// When.
    pub schedule: Schedule,
    /// Whether it is to run at all.
    pub enabled: bool,
}

impl SetRule {
    /// Reads the body; dates without an offset are meant in `zone`, which is the schedule's too unless it names one.
    ///
    /// `filter` is required: `{}` selects every contact, and that is nothing to be had by leaving something out.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every field that is missing, unknown or of a wrong type.
    pub fn parse<'a>(body: impl Into<RequestBody<'a>>, zone: &TimeZone) -> Result<Self, Invalid> {
        let mut fields = Fields::parse(body.into(), &["filter", "target", "cron", "timeZone", "enabled"])?;
        let filter = fields.filter_object("filter", Some(zone));
        let target = fields.target_object("target");
        let schedule = fields.schedule(zone);
        let enabled = fields.optional_bool("enabled", "false keeps the rule without running it").unwrap_or(true);
        fields.finish()?;
        // The faults name what is missing.
        let target = target.ok_or_else(|| Invalid::one("target", "is required"))?;
        let schedule = schedule.ok_or_else(|| Invalid::one("cron", "is required"))?;
        Ok(Self { filter, target, schedule, enabled })
    }
}

/// What a scheduler gives to a function that it starts itself: a change of access by filter, without a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOnce {
    /// The portal whose contacts are meant.
    pub portal: PortalId,
    /// Which contacts.
    pub filter: Filter,
    /// What their access becomes.
    pub target: Access,
    /// Over how many changes nothing is to be written.
    pub max_affected: Option<u64>,
    /// What makes two of them the same one.
    pub idempotency_key: Option<String>,
}

impl RunOnce {
    /// The portal of a payload, for its time zone, in which [`RunOnce::parse`] then reads the dates.
    ///
    /// # Errors
    ///
    /// [`Invalid`] with all that is wrong with the payload, and not only with its portal.
    pub fn portal(body: &[u8]) -> Result<PortalId, Invalid> {
        Self::read(body, None).map(|run| run.portal)
    }

    /// Reads the payload; dates without an offset are meant in `zone`.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every field that is missing, unknown or of a wrong type.
    pub fn parse(body: &[u8], zone: &TimeZone) -> Result<Self, Invalid> {
        Self::read(body, Some(zone))
    }

    fn read(body: &[u8], zone: Option<&TimeZone>) -> Result<Self, Invalid> {
        let mut fields = Fields::parse(body.into(), &["portal", "filter", "access", "maxAffected", "idempotencyKey"])?;
        let portal = fields.portal("portal");
        let filter = fields.filter_object("filter", zone);
        let target = fields.target_object("access");
        let max_affected = fields.number("maxAffected", MAX_AFFECTED);
        let idempotency_key = fields.idempotency_key("idempotencyKey");
        fields.finish()?;
        // The faults name what is missing.
        let target = target.ok_or_else(|| Invalid::one("access", "is required"))?;
        let portal = portal.ok_or_else(|| Invalid::one("portal", "is required"))?;
        Ok(Self { portal, filter, target, max_affected, idempotency_key })
    }
}

/// Refuses a body that holds a field, where a call takes none: what the field asks for would not be done.
///
/// # Errors
///
/// [`Invalid`] names every field, or says that the body is neither JSON nor a form.
pub fn check_no_fields(body: RequestBody<'_>) -> Result<(), Invalid> {
    let fields = Fields::parse(body, &[])?;
    let faults = fields.object.keys().take(MAX_FAULTS).map(|name| Fault {
        field: shown(name).into_owned(),
        message: "is not read: this call takes no body; leave the body out, or write parameters into the query".into(),
    });
    let faults: Vec<Fault> = faults.collect();
    if faults.is_empty() { Ok(()) } else { Err(Invalid { faults }) }
}

/// What an example of a UUID is.
const A_UUID: &str = "9924256a-739c-462b-af15-e652a3b1b6eb";

/// The meaning of a filter field that is named and holds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blank {
    /// Any: as if it were left out.
    Any,
    /// A fault: access is changed, and nobody guesses from a blank that every contact is meant.
    Refused,
}

/// What it means to leave an array out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeftOut {
    Any,
    None,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::None => "none",
        })
    }
}

fn too_long_filter_value(bytes: usize) -> String {
    format!("has {bytes} bytes; at most {MAX_FILTER_VALUE_BYTES} are taken")
}

/// The words of `filterValue`, folded, each once.
pub fn words(filter_value: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in filter_value.split_whitespace().map(trim).map(fold) {
        if !word.is_empty() && !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// The fields of an object, taken one by one, with the faults found on the way.
struct Fields {
    object: Map<String, Value>,
    /// Known fields that are null. They are not in `object`, and count as absent.
    nulls: Vec<&'static str>,
    /// What stands before a field's name in a fault: nothing, or the object's own name and a dot.
    path: String,
    known: &'static [&'static str],
    written: Written,
    faults: Vec<Fault>,
}

/// How fields are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Json,
    Form,
    Query,
}

impl Written {
    /// What a field is called where one is not known.
    fn what(self) -> &'static str {
        match self {
            Self::Json | Self::Form => "field of this endpoint",
            Self::Query => "query parameter of this endpoint",
        }
    }

    /// Whether every value is text.
    fn is_text(self) -> bool {
        matches!(self, Self::Form | Self::Query)
    }

    /// How many values an array may have.
    fn most_values(self) -> usize {
        match self {
            Self::Json | Self::Form => MAX_LIST_VALUES,
            Self::Query => MAX_QUERY_VALUES,
        }
    }

    /// What a text must be, with an example of it as it is written here.
    fn example(self, what: &str, example: &str) -> String {
        match self {
            Self::Json => format!("{what} in quotes, such as \"{example}\""),
            Self::Form | Self::Query => format!("{what}, such as {example}"),
        }
    }
}

/// The fields of a filter that is an object.
const FILTER: &[&str] =
    &["tags", "contactStage", "contactType", "contactListView", "fromDate", "toDate", "filterValue"];
/// The fields of a target that is an object.
const TARGET: &[&str] = &["isPrivate", "managerList"];

impl Fields {
    fn parse(body: RequestBody<'_>, known: &'static [&'static str]) -> Result<Self, Invalid> {
        match body {
            RequestBody::Json(body) => Self::json(body, known),
            RequestBody::Form(body) if looks_like_json(body) => Err(Invalid::one("", JSON_IN_A_FORM)),
            RequestBody::Form(body) => Self::text(body, known, Written::Form),
        }
    }

    fn text(text: &[u8], known: &'static [&'static str], written: Written) -> Result<Self, Invalid> {
        let object = crate::request::form::parse(text, known, &[FILTER, TARGET].concat())?;
        Ok(Self::new(object, String::new(), known, written))
    }

    fn new(object: Map<String, Value>, path: String, known: &'static [&'static str], written: Written) -> Self {
        let mut fields = Self { object: Map::new(), nulls: Vec::new(), path, known, written, faults: Vec::new() };
        for (name, value) in object {
            fields.insert(name, value);
        }
        let is_null = |name: &str| fields.object.get(name).is_some_and(Value::is_null);
        fields.nulls = known.iter().copied().filter(|name| is_null(name)).collect();
        // An unknown name stays, whatever its value is, and is refused.
        fields.object.retain(|name, _| !fields.nulls.contains(&name.as_str()));
        if written.is_text() {
            for (_, value) in fields.object.iter_mut().filter(|(name, _)| ARRAYS.contains(&name.as_str())) {
                expand_arrays(value);
            }
        }
        fields
    }

    /// Adds a field under its known name. The same field may come in two spellings only if both have the same value:
    /// otherwise the reader would have to guess which of the two is meant.
    fn insert(&mut self, name: String, value: Value) {
        let known = self.known.iter().find(|known| known.eq_ignore_ascii_case(&name));
        let name = known.map_or(name, |known| (*known).to_owned());
        match self.object.get(&name) {
            None => drop(self.object.insert(name, value)),
            Some(other) if *other == value => {}
            Some(_) => {
                // One fault a field: a long name has more spellings than an answer has room for.
                let field = self.path.clone() + &name;
                if !self.faults.iter().any(|fault| fault.field == field) {
                    self.fault(name, GIVEN_TWICE);
                }
            }
        }
    }

    fn json(body: &[u8], known: &'static [&'static str]) -> Result<Self, Invalid> {
        let list = known.join(", ");
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(Invalid::one("", format!("The body is empty. Send a JSON object with the fields {list}")));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(object)) => {
                let faults = repeated_names(body).into_iter().take(MAX_FAULTS).map(|name| Fault {
                    field: shown(&name).into_owned(),
                    message: "is given more than once; give it once".to_owned(),
                });
                let mut fields = Self::new(object, String::new(), known, Written::Json);
                fields.faults.extend(faults);
                Ok(fields)
            }
            Ok(other) => Err(Invalid::one(
                "",
                format!("The body is {}. Send a JSON object with the fields {list}.", kind(&other)),
            )),
            Err(fault) => Err(Invalid::one(
                "",
                format!("The body cannot be read as JSON: {fault}. Send a JSON object with the fields {list}"),
            )),
        }
    }

    /// Takes a field that has one value. In a form or a query the value is text, and `read` may convert the text.
    fn one(&mut self, name: &str, read: impl FnOnce(&str) -> Option<Value>) -> Option<Value> {
        let value = match self.object.remove(name)? {
            // A field that a form or a query gives twice with the same value counts once.
            Value::Array(mut values) if self.written.is_text() => {
                values.dedup();
                if values.len() == 1 { values.swap_remove(0) } else { Value::Array(values) }
            }
            value => value,
        };
        match value {
            Value::Array(_) if self.written.is_text() => {
                self.fault(name, GIVEN_TWICE);
                None
            }
            Value::String(text) if self.written.is_text() => Some(read(&text).unwrap_or(Value::String(text))),
            other => Some(other),
        }
    }

    /// An item as it is meant: in a form, text that is a whole number stands for it.
    fn number_of(&self, value: Value) -> Value {
        match &value {
            Value::String(text) if self.written.is_text() => whole_number(text).unwrap_or(value),
            _ => value,
        }
    }

    fn fault(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.faults.push(Fault { field: self.path.clone() + &field.into(), message: message.into() });
    }

    fn wrong(&mut self, field: impl Into<String>, expected: &str, found: &Value) {
        self.fault(field, format!("must be {expected}; it is {}", kind(found)));
    }

    fn optional_bool(&mut self, name: &str, meaning: &str) -> Option<bool> {
        match self.one(name, |text| boolean(text).map(Value::Bool))? {
            Value::Bool(value) => Some(value),
            other => {
                self.wrong(name, &format!("true or false ({meaning})"), &other);
                None
            }
        }
    }

    fn required_bool(&mut self, name: &str, meaning: &str) -> bool {
        self.require(name, meaning);
        self.optional_bool(name, meaning).unwrap_or(false)
    }

    /// Notes a fault when the field is missing.
    fn require(&mut self, name: &str, meaning: &str) {
        if !self.object.contains_key(name) {
            self.fault(name, format!("is required: {meaning}"));
        }
    }

    fn text_of(&mut self, name: &str, expected: &str) -> Option<String> {
        match self.one(name, |_| None)? {
            Value::String(text) => Some(text),
            other => {
                self.wrong(name, expected, &other);
                None
            }
        }
    }

    fn number(&mut self, name: &str, most: u64) -> Option<u64> {
        let value = self.one(name, whole_number)?;
        let number = whole(&value).and_then(|number| u64::try_from(number).ok()).filter(|number| *number <= most);
        if number.is_none() {
            self.wrong(name, &format!("a whole number from 0 to {most}"), &value);
        }
        number
    }

    /// The fields of the required object under `name`; they are to be given back with [`Fields::absorb`].
    fn object(&mut self, name: &str, known: &'static [&'static str], meaning: &str) -> Option<Self> {
        self.require(name, meaning);
        match self.object.remove(name)? {
            Value::Object(object) => {
                let path = format!("{}{name}.", self.path);
                Some(Self::new(object, path, known, self.written))
            }
            other => {
                self.wrong(name, meaning, &other);
                None
            }
        }
    }

    /// Ends the reading of an inner object.
    fn absorb(&mut self, inner: Self) {
        if let Err(Invalid { faults }) = inner.finish() {
            self.faults.extend(faults);
        }
    }

    /// A filter's fields. Without a time zone, dates are read for their faults, and not compared.
    fn filter(&mut self, filter_value: Option<&str>, zone: Option<&TimeZone>, blank: Blank) -> Filter {
        let words = filter_value.map(words).unwrap_or_default();
        if blank == Blank::Refused {
            if filter_value.is_some() && words.is_empty() {
                self.fault("filterValue", "must not be blank; leave it out for any name");
            }
            self.refuse_empty_filter(filter_value.is_some());
        }
        let utc = TimeZone::UTC;
        let dates = zone.unwrap_or(&utc);
        let filter = Filter {
            tags: self.tags("tags"),
            stages: self.any_of("contactStage"),
            types: self.any_of("contactType"),
            view: self.list_view("contactListView"),
            from_date: self.date("fromDate", Edge::From, dates),
            to_date: self.date("toDate", Edge::To, dates),
            words,
        };
        if let (Some(from), Some(to), Some(_)) = (filter.from_date, filter.to_date, zone)
            && from > to
        {
            self.fault("fromDate", "is after toDate, so that no contact can match; exchange the two");
        }
        filter
    }

    /// Notes a fault when filter fields are named that hold nothing, `null` or no tag, and none beside them that holds
    /// something.
    fn refuse_empty_filter(&mut self, has_words: bool) {
        let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
        let null = self.nulls.iter().copied().find(|name| FILTER.contains(name));
        let empty = null.or_else(|| self.object.get("tags").is_some_and(is_empty).then_some("tags"));
        // An empty list of stages or types is a documented way to say "any".
        let says_more =
            |(name, value): (&String, &Value)| FILTER.contains(&name.as_str()) && !(name == "tags" && is_empty(value));
        let says_more = self.object.iter().any(says_more);
        if let Some(name) = empty
            && !says_more
            && !has_words
        {
            let message =
                "holds nothing, like every filter field here; leave the filter fields out to select every contact";
            self.fault(name, message);
        }
    }

    /// The fields of the access that a filter's contacts are to get.
    fn target(&mut self) -> Access {
        let is_private = self.required_bool("isPrivate", "true makes the contacts private, false public");
        Access::requested(is_private, self.uuids("managerList"))
    }

    /// A filter as an object, with the words that an endpoint otherwise has in its query.
    fn filter_object(&mut self, name: &str, zone: Option<&TimeZone>) -> Filter {
        let meaning = match self.written {
            Written::Json => "an object such as {\"tags\":[\"vip\"]}, or {} for every contact".to_owned(),
            Written::Form | Written::Query => {
                format!("members such as {name}[tags][]=vip, or {name}[contactListView]=All for every contact")
            }
        };
        let Some(mut inner) = self.object(name, FILTER, &meaning) else { return Filter::default() };
        let filter_value = inner.filter_value("filterValue");
        let filter = inner.filter(filter_value.as_deref(), zone, Blank::Refused);
        self.absorb(inner);
        filter
    }

    /// Words of the display name, as one text.
    fn filter_value(&mut self, name: &str) -> Option<String> {
        let text = self.text_of(name, &self.written.example("words of the display name", "anna riga"));
        if let Some(bytes) = text.as_ref().map(String::len).filter(|bytes| *bytes > MAX_FILTER_VALUE_BYTES) {
            self.fault(name, too_long_filter_value(bytes));
        }
        text
    }

    fn uuid(&mut self, name: &str) -> Option<UserId> {
        let meaning = self.written.example("a UUID", A_UUID);
        let text = self.text_of(name, &meaning)?;
        let id = text.parse().ok();
        if id.is_none() {
            self.wrong(name, &meaning, &Value::String(text));
        }
        id
    }

    /// One of several words, without case, and what it stands for.
    fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let expected = choices.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" or ");
        let text = self.text_of(name, &expected)?;
        let chosen = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text));
        if chosen.is_none() {
            self.wrong(name, &expected, &Value::String(text));
        }
        chosen.map(|(_, choice)| *choice)
    }

    fn page(&mut self) -> Page {
        let count = self.text_of("count", A_COUNT).and_then(|text| {
            let count = count(&text);
            if count.is_none() {
                self.wrong("count", A_COUNT, &Value::String(text));
            }
            count
        });
        let start = self.number("startIndex", MAX_START_INDEX);
        Page::new(count.unwrap_or(MAX_PAGE), start.unwrap_or(0))
    }

    /// An access as an object; none when the object is missing, which is a fault.
    fn target_object(&mut self, name: &str) -> Option<Access> {
        let meaning = match self.written {
            Written::Json => format!("an object such as {{\"isPrivate\":true,\"managerList\":[\"{A_UUID}\"]}}"),
            Written::Form | Written::Query => {
                format!("members such as {name}[isPrivate]=true and {name}[managerList][]={A_UUID}")
            }
        };
        let mut inner = self.object(name, TARGET, &meaning)?;
        let target = inner.target();
        self.absorb(inner);
        Some(target)
    }

    /// `cron` and `timeZone`, for which `zone` stands in.
    fn schedule(&mut self, zone: &TimeZone) -> Option<Schedule> {
        let expression = format!("{} for 02:00 every day", self.written.example("a cron expression", "0 2 * * *"));
        let zone_name = self.written.example("the IANA name of a time zone", "Europe/Riga");
        self.require("cron", &expression);
        let own_zone = self.object.contains_key("timeZone");
        let cron = self.text_of("cron", &expression);
        let named = self.text_of("timeZone", &zone_name);
        let of_portal = zone.iana_name().filter(|_| !zone.is_unknown());
        let zone = match named.as_deref().or(of_portal) {
            Some(zone) => zone,
            None if own_zone => return None,
            None => {
                self.fault("timeZone", format!("is required: {zone_name}"));
                return None;
            }
        };
        // Where one of the two is missing already, the other is read all the same, for its own faults.
        match Schedule::parse(cron.as_deref().unwrap_or("* * * * *"), zone) {
            Ok(schedule) => cron.map(|_| schedule),
            Err(Invalid { faults }) => {
                self.faults.extend(faults);
                None
            }
        }
    }

    fn portal(&mut self, name: &str) -> Option<PortalId> {
        let meaning = self.written.example("the portal's identifier", "acme");
        self.require(name, &meaning);
        let text = self.text_of(name, &meaning)?;
        match text.parse() {
            Ok(portal) => Some(portal),
            Err(fault) => {
                self.fault(name, format!("{fault}; it is \"{}\"", shown(&text)));
                None
            }
        }
    }

    fn idempotency_key(&mut self, name: &str) -> Option<String> {
        let key = self.text_of(name, "a text in quotes that is new for each run, such as its date")?;
        if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY_BYTES || !key.bytes().all(|b| b.is_ascii_graphic()) {
            let message = format!(
                "must be 1 to {MAX_IDEMPOTENCY_KEY_BYTES} visible ASCII characters without spaces; it is \"{}\"",
                shown(&key)
            );
            self.fault(name, message);
        }
        Some(key)
    }

    /// The array under `name`, or nothing when it is left out, which means `without`.
    fn array(&mut self, name: &str, of: &str, without: LeftOut) -> Vec<Value> {
        match self.object.remove(name) {
            None => Vec::new(),
            Some(Value::Array(values)) if values.len() > self.written.most_values() => {
                let most = self.written.most_values();
                self.fault(name, format!("has {} values; at most {most} are taken", values.len()));
                Vec::new()
            }
            Some(Value::Array(values)) => values,
            Some(Value::String(text)) if text.is_empty() && self.written.is_text() => {
                // Most clients cannot write an empty array into a form but as an empty value. Whom a change is about is
                // not guessed from a blank: it would be everyone.
                if self.written == Written::Form && without == LeftOut::Any {
                    self.fault(name, "must not be blank; leave it out for any");
                }
                Vec::new()
            }
            Some(value @ Value::String(_)) if self.written.is_text() => vec![value],
            Some(other) => {
                self.wrong(name, &format!("an array of {of}, or be left out for {without}"), &other);
                Vec::new()
            }
        }
    }

    /// Which of two names of the same thing is given; the first when neither is. Both are a fault.
    fn either(&mut self, name: &'static str, other: &'static str) -> &'static str {
        if !self.object.contains_key(other) {
            return name;
        }
        if self.object.remove(name).is_some() {
            self.fault(name, format!("and {other} say the same; give one of them"));
        }
        other
    }

    fn uuids(&mut self, name: &str) -> Vec<UserId> {
        let mut ids = Vec::new();
        for (i, value) in self.array(name, "UUIDs", LeftOut::None).into_iter().enumerate() {
            match value.as_str().map(str::parse) {
                Some(Ok(id)) => ids.push(id),
                _ => self.wrong(format!("{name}[{i}]"), &self.written.example("a UUID", A_UUID), &value),
            }
        }
        ids
    }

    /// Notes a fault when the field names another contact than `contact`, which the path names.
    fn check_contact(&mut self, name: &str, contact: ContactId) {
        let Some(value) = self.one(name, |_| None) else { return };
        if contact_id(&value) != Some(contact) {
            self.wrong(name, &format!("{contact}, the contact of the path, or be left out"), &value);
        }
    }

    /// Removes the fields that hold nothing, and notes a fault with the reason for each of the others. The fault shows no
    /// value, because the value may be a secret.
    fn refuse(&mut self, reasons: &[(&str, &str)]) {
        let names: Vec<String> = self.object.keys().cloned().collect();
        for name in names {
            let Some((field, reason)) = reasons.iter().find(|(field, _)| field.eq_ignore_ascii_case(&name)) else {
                continue;
            };
            if let Some(value) = self.object.remove(&name)
                && !self.is_blank(&value)
            {
                self.fault(*field, format!("must be empty or left out: {reason}"));
            }
        }
    }

    /// Tells if a value holds nothing, as the default values of typed clients do.
    fn is_blank(&self, value: &Value) -> bool {
        match value {
            Value::Null | Value::Bool(false) => true,
            Value::Bool(true) => false,
            Value::Number(_) => whole(value) == Some(0),
            Value::String(text) if self.written.is_text() => text.is_empty() || boolean(text) == Some(false),
            Value::String(text) => text.is_empty(),
            Value::Array(values) => values.iter().all(|value| self.is_blank(value)),
            Value::Object(members) => members.values().all(|value| self.is_blank(value)),
        }
    }

    /// The identifiers of the contacts that are meant: one or an array of them, each once, in the order of first
    /// mention.
    fn contacts(&mut self, name: &str) -> Vec<ContactId> {
        self.require(name, "the identifiers of the contacts, such as [5,7], or one alone");
        let Some(value) = self.object.remove(name) else { return Vec::new() };
        let (values, is_alone) = match value {
            // What is mentioned twice counts once, so how many there are is known at the end.
            Value::Array(values) => (values, false),
            Value::String(text) if self.written.is_text() && text.is_empty() => (Vec::new(), false),
            Value::Number(_) | Value::String(_) => (vec![value], true),
            other => {
                self.wrong(name, "an array of whole numbers, or one whole number", &other);
                return Vec::new();
            }
        };
        if values.is_empty() {
            self.fault(name, "must name at least one contact; it is empty");
        }
        let (mut contacts, mut seen) = (Vec::new(), HashSet::new());
        for (i, value) in values.into_iter().enumerate() {
            match contact_id(&value) {
                Some(contact) if seen.insert(contact) => contacts.push(contact),
                Some(_) => {}
                None => {
                    let field = if is_alone { name.to_owned() } else { format!("{name}[{i}]") };
                    self.wrong(field, &format!("a whole number from 1 to {}", ContactId::MAX), &value);
                }
            }
            // A body has room for half a million wrong values, an answer has not.
            if self.faults.len() > MAX_FAULTS {
                break;
            }
        }
        if contacts.len() > MAX_NAMED_CONTACTS {
            let message = format!(
                "names {} contacts; at most {MAX_NAMED_CONTACTS} are taken, so make several calls or use a filter",
                contacts.len()
            );
            self.fault(name, message);
        }
        contacts
    }

    /// Tags, trimmed and folded, each once, in the order of first mention.
    fn tags(&mut self, name: &str) -> Vec<String> {
        let mut tags: Vec<String> = Vec::new();
        for (i, value) in self.array(name, "strings", LeftOut::Any).into_iter().enumerate() {
            let field = format!("{name}[{i}]");
            let Some(text) = value.as_str() else {
                self.wrong(field, "a string", &value);
                continue;
            };
            match checked_tag(text) {
                Ok(tag) if tags.contains(&tag) => {}
                Ok(tag) => tags.push(tag),
                Err(message) => self.fault(field, message),
            }
        }
        tags
    }

    /// A number or an array of numbers, each once; empty when any will do.
    fn any_of(&mut self, name: &str) -> Vec<i32> {
        let is_alone = matches!(self.object.get(name), Some(Value::Number(_)));
        let values = match is_alone {
            true => self.object.remove(name).into_iter().collect(),
            false => self.array(name, "whole numbers, or one whole number", LeftOut::Any),
        };
        let mut ids = Vec::new();
        let mut any = false;
        for (i, value) in values.into_iter().enumerate() {
            let value = self.number_of(value);
            match whole(&value).and_then(|number| i32::try_from(number).ok()) {
                // A negative number has the documents' meaning of "any", alone or beside others.
                Some(id) if id < 0 => any = true,
                Some(id) if ids.contains(&id) => {}
                Some(id) => ids.push(id),
                None => {
                    let field = if is_alone { name.to_owned() } else { format!("{name}[{i}]") };
                    self.wrong(field, "a whole number from -2147483648 to 2147483647", &value);
                }
            }
        }
        if any { Vec::new() } else { ids }
    }

    fn list_view(&mut self, name: &str) -> ListView {
        let Some(value) = self.one(name, whole_number) else { return ListView::default() };
        let found = ListView::ALL.into_iter().find(|view| match &value {
            Value::Number(_) => whole(&value) == Some(view.number()),
            Value::String(text) => text.eq_ignore_ascii_case(view.name()),
            _ => false,
        });
        found.unwrap_or_else(|| {
            self.wrong(name, "0 or \"All\", 1 or \"Company\", 2 or \"Person\", 3 or \"WithOpportunity\"", &value);
            ListView::default()
        })
    }

    fn date(&mut self, name: &str, edge: Edge, zone: &TimeZone) -> Option<Moment> {
        let is_text = self.written.is_text();
        match self.one(name, |_| None)? {
            Value::String(text) => {
                let repaired = if is_text { with_plus(&text) } else { Cow::Borrowed(text.as_str()) };
                match Moment::parse_edge(&repaired, edge, zone) {
                    Ok(moment) => Some(moment),
                    Err(fault) => {
                        self.fault(name, format!("{fault}; it is \"{}\"", shown(&text)));
                        None
                    }
                }
            }
            other => {
                let meaning = match self.written {
                    Written::Json => "a date in quotes, such as \"2020-12-08\" or \"2020-12-08T17:37:04Z\"",
                    Written::Form | Written::Query => "a date, such as 2020-12-08 or 2020-12-08T17:37:04Z",
                };
                self.wrong(name, meaning, &other);
                None
            }
        }
    }

    fn finish(self) -> Result<(), Invalid> {
        let of = match self.path.strip_suffix('.') {
            None => self.written.what().to_owned(),
            Some(object) => format!("field of {object}"),
        };
        finish(&of, &self.path, self.object.keys(), self.known, self.faults)
    }
}

/// Why a field is refused that has several values where one is wanted.
const GIVEN_TWICE: &str = "is given more than once with different values; give it once";

/// The fields that are arrays.
const ARRAYS: &[&str] = &["tags", "contactStage", "contactType", "managerList", "accessList", "contactid"];

/// Puts the values of JSON arrays in place of the texts that are such arrays: ONLYOFFICE's page shows
/// `tags=["some text"]` in a query. A text that is no JSON array stays, because a tag may begin with a bracket.
fn expand_arrays(value: &mut Value) {
    let texts = match value.take() {
        Value::Array(texts) => texts,
        Value::String(text) if json_array(&text).is_some() => vec![Value::String(text)],
        other => {
            *value = other;
            return;
        }
    };
    let values = texts.into_iter().flat_map(|text| match text.as_str().and_then(json_array) {
        Some(values) => values,
        None => vec![text],
    });
    *value = values.collect();
}

/// The values of the JSON array that a text is.
fn json_array(text: &str) -> Option<Vec<Value>> {
    text.trim_start().starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

/// Why a form is refused that is JSON.
const JSON_IN_A_FORM: &str = "The body looks like JSON, but its Content-Type is application/x-www-form-urlencoded, as curl \
                              sends it by default. Send the header Content-Type: application/json";

/// Tells if a form is JSON under a wrong type: no field's name begins as an object or an array does.
fn looks_like_json(form: &[u8]) -> bool {
    let first = form_urlencoded::parse(form).next();
    first.is_some_and(|(name, _)| name.trim_start().starts_with(['{', '[']))
}

/// The identifier of a contact that a value is: a number, or the number as text.
fn contact_id(value: &Value) -> Option<ContactId> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => ContactId::try_from(whole(other)?).ok(),
    }
}

/// The truth value that a text of a form or a query is.
fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// How `count` is described.
const A_COUNT: &str = "a whole number, 0 or more";

/// The length of a page that the text of `count` asks for. A page has at most [`MAX_PAGE`] entries however many are asked
/// for, because clients of ONLYOFFICE ask for more to get all.
fn count(text: &str) -> Option<usize> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // A number that is too long for the type is larger than the most.
    is_number.then(|| text.parse().unwrap_or(MAX_PAGE).min(MAX_PAGE))
}

/// The whole number that a JSON number is: `5`, and `5.0` too, which to JSON is the same number.
fn whole(value: &Value) -> Option<i64> {
    /// Up to here every whole number has a floating-point number of its own.
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    value.as_i64().or_else(|| {
        let number = value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() <= LARGEST)?;
        #[expect(clippy::cast_possible_truncation, reason = "a whole number of less than 54 bits")]
        Some(number as i64)
    })
}

/// The whole number that a text of a form is.
fn whole_number(text: &str) -> Option<Value> {
    text.parse::<i64>().ok().map(Value::from)
}

/// The names that a JSON object, or one within it, holds more than once: which of their values was meant would be a
/// guess. They are told as `managerList` or `filter.tags`, and no more of them than are shown.
fn repeated_names(body: &[u8]) -> BTreeSet<String> {
    /// Where in the body a value is.
    #[derive(Clone, Copy)]
    enum Place<'p> {
        Body,
        Member(&'p Place<'p>, &'p str),
        Item(&'p Place<'p>, usize),
    }

    impl fmt::Display for Place<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Self::Body => Ok(()),
                Self::Member(Self::Body, name) => f.write_str(&shown(name)),
                Self::Member(object, name) => write!(f, "{object}.{}", shown(name)),
                Self::Item(array, i) => write!(f, "{array}[{i}]"),
            }
        }
    }

    struct Names<'p, 'r> {
        place: &'p Place<'p>,
        repeated: &'r mut BTreeSet<String>,
    }

    impl<'de> DeserializeSeed<'de> for Names<'_, '_> {
        type Value = ();

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_any(self)
        }
    }

    impl<'de> Visitor<'de> for Names<'_, '_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any value")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
            let mut seen: HashSet<Cow<'de, str>> = HashSet::new();
            while let Some(name) = members.next_key::<Cow<'de, str>>()? {
                let place = Place::Member(self.place, &name);
                if seen.contains(&name) && self.repeated.len() <= MAX_FAULTS {
                    self.repeated.insert(place.to_string());
                }
                members.next_value_seed(Names { place: &place, repeated: self.repeated })?;
                seen.insert(name);
            }
            Ok(())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
            let mut i = 0;
            while let Some(()) =
                items.next_element_seed(Names { place: &Place::Item(self.place, i), repeated: self.repeated })?
            {
                i += 1;
            }
            Ok(())
        }

        fn visit_unit<E>(self) -> Result<(), E> {
            Ok(())
        }

        fn visit_bool<E>(self, _: bool) -> Result<(), E> {
            Ok(())
        }

        fn visit_i64<E>(self, _: i64) -> Result<(), E> {
            Ok(())
        }

        fn visit_u64<E>(self, _: u64) -> Result<(), E> {
            Ok(())
        }

        fn visit_f64<E>(self, _: f64) -> Result<(), E> {
            Ok(())
        }

        fn visit_str<E>(self, _: &str) -> Result<(), E> {
            Ok(())
        }
    }

    let mut repeated = BTreeSet::new();
    let names = Names { place: &Place::Body, repeated: &mut repeated };
    match names.deserialize(&mut serde_json::Deserializer::from_slice(body)) {
        Ok(()) => repeated,
        // The caller has read the same bytes as JSON before.
        Err(_) => BTreeSet::new(),
    }
}

/// Ends a reading: with the names that nothing asked for, and what else was found wrong.
fn finish<'a>(
    what: &str,
    path: &str,
    unknown: impl Iterator<Item = &'a String>,
    known: &[&str],
    faults: Vec<Fault>,
) -> Result<(), Invalid> {
    // What is misspelt comes first: it explains what is then said to be missing.
    let unknown = unknown.map(|name| {
        let name = if name.is_empty() { "\"\"".into() } else { shown(name) };
        Fault { message: unknown_name(what, &name, known), field: format!("{path}{name}") }
    });
    // Only what is shown is worded: a body has room for a hundred thousand faults, an answer has not.
    let mut all = unknown.chain(faults);
    let mut faults: Vec<Fault> = all.by_ref().take(MAX_FAULTS).collect();
    if faults.is_empty() {
        return Ok(());
    }
    if all.next().is_some() {
        faults.push(Fault { field: String::new(), message: format!("More is wrong than these {MAX_FAULTS} faults.") });
    }
    Err(Invalid { faults })
}

/// A tag as it is compared, when it can be one.
///
/// # Errors
///
/// What is wrong with it, to be read after its field's name.
pub fn checked_tag(text: &str) -> Result<String, String> {
    let tag = fold_tag(text);
    if tag.is_empty() {
        return Err("must not be blank; leave it out".into());
    }
    if tag.len() > MAX_TAG_BYTES {
        return Err(format!("has {} bytes; a tag has at most {MAX_TAG_BYTES}", tag.len()));
    }
    Ok(tag)
}

/// The names of a list with commas in between that are no keys of a contact, each as a fault.
fn unknown_keys(list: &str) -> Vec<Fault> {
    let keys = Contact::KEYS.iter().chain(&Contact::ONLYOFFICE_KEYS);
    let keys: Vec<String> = keys.map(|key| answer::KeyStyle::Camel.written(key)).collect();
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    let unknown = names.filter(|name| !keys.iter().any(|key| key.eq_ignore_ascii_case(name)));
    let fault = |name: &str| {
        let near = nearest(name, keys.iter().map(String::as_str));
        let near = near.map_or(".".to_owned(), |near| format!("; did you mean {near}?"));
        let message =
            format!("names \"{}\", which no contact has{near} A contact has {}", shown(name), keys.join(", "));
        Fault { field: "fields".into(), message }
    };
    unknown.take(MAX_FAULTS).map(fault).collect()
}

/// Says that a name is not known, and which one it may have been meant to be.
fn unknown_name(what: &str, name: &str, known: &[&str]) -> String {
    let list = known.join(", ");
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("is not a {what}; did you mean {near}? Known are {list}"),
        None => format!("is not a {what}; known are {list}"),
    }
}

/// A name that came from outside, short enough to be shown.
pub(crate) fn shown(name: &str) -> Cow<'_, str> {
    const SHOWN_CHARS: usize = 64;
    match name.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => Cow::Owned(format!("{}…", &name[..end])),
        None => Cow::Borrowed(name),
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("the number {}", shown(&number.to_string())),
        Value::String(text) => format!("the string \"{}\"", shown(text)),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// Which part of the matches an answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many contacts, at most [`MAX_PAGE`].
    pub count: usize,
    /// How many are passed over first.
    pub start_index: usize,
}

/// The largest `startIndex`: there are no more contacts than an int32 numbers.
const MAX_START_INDEX: u64 = i32::MAX.unsigned_abs() as u64;

impl Page {
    fn new(count: usize, start_index: u64) -> Self {
        Self { count, start_index: usize::try_from(start_index).unwrap_or(usize::MAX) }
    }
}

impl Default for Page {
    fn default() -> Self {
        Self { count: MAX_PAGE, start_index: 0 }
    }
}

/// Which part of a list of jobs an answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobsPage {
    /// How many jobs, at most [`MAX_PAGE`].
    pub count: usize,
    /// Where the page starts.
    pub start: JobsStart,
}

/// Where a page of a list of jobs starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobsStart {
    /// After this many jobs, the newest first; at most [`MAX_JOBS_START_INDEX`].
    Index(usize),
    /// At the newest job that is older than this one.
    Before(JobId),
}

/// Query parameters, taken one by one, with the faults found on the way.
///
/// Names are compared without case, as ONLYOFFICE's clients write them in several ways.
#[derive(Debug)]
pub struct Query {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
    faults: Vec<Fault>,
}

impl Query {
    /// The decoded parameters of a query string.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { pairs: pairs.into_iter().collect(), known: Vec::new(), faults: Vec::new() }
    }

    fn take(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let mut values = Vec::new();
        self.pairs.retain(|(key, value)| {
            let wanted = key.eq_ignore_ascii_case(name);
            if wanted {
                values.push(value.clone());
            }
            !wanted
        });
        values.dedup();
        if values.len() > 1 {
            self.fault(name, GIVEN_TWICE.into());
        }
        values.into_iter().next()
    }

    fn fault(&mut self, name: &str, message: String) {
        self.faults.push(Fault { field: shown(name).into_owned(), message });
    }

    fn number(&mut self, name: &'static str, most: u64) -> Option<u64> {
        let text = self.take(name)?;
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<u64>() {
            Ok(number) if digits && number <= most => Some(number),
            _ => {
                self.fault(name, format!("must be a whole number from 0 to {most}; it is \"{}\"", shown(&text)));
                None
            }
        }
    }

    /// `dryRun`: whether nothing is to be written.
    pub fn dry_run(&mut self) -> bool {
        let Some(text) = self.take("dryRun") else { return false };
        boolean(&text).unwrap_or_else(|| {
            self.fault("dryRun", format!("must be true or false; it is \"{}\"", shown(&text)));
            true
        })
    }

    /// `maxAffected`: over how many changes nothing is to be written.
    pub fn max_affected(&mut self) -> Option<u64> {
        self.number("maxAffected", MAX_AFFECTED)
    }

    /// `count` and `startIndex`, for pages that are as long as they may be when the call does not say.
    pub fn page(&mut self) -> Page {
        self.page_of(MAX_PAGE)
    }

    /// `count` and `startIndex`, for pages of `default` when the call does not say.
    pub fn page_of(&mut self, default: usize) -> Page {
        let count = self.count();
        let start = self.number("startIndex", MAX_START_INDEX);
        Page::new(count.unwrap_or(default), start.unwrap_or(0))
    }

    /// `count`: how many entries a page has, at most [`MAX_PAGE`].
    fn count(&mut self) -> Option<usize> {
        let text = self.take("count")?;
        let count = count(&text);
        if count.is_none() {
            self.fault("count", format!("must be {A_COUNT}; it is \"{}\"", shown(&text)));
        }
        count
    }

    /// `count`, and `before` or `startIndex`, for a list of jobs whose pages hold `default` when the call does not say.
    pub fn jobs_page(&mut self, default: usize) -> JobsPage {
        let count = self.count();
        let before = self.before();
        let start = self.start_of_jobs();
        if before.is_some() && start > 0 {
            self.fault("startIndex", "must be left out beside before, which says where the page starts".into());
        }
        JobsPage { count: count.unwrap_or(default), start: before.map_or(JobsStart::Index(start), JobsStart::Before) }
    }

    /// `before`: the job that the page follows.
    fn before(&mut self) -> Option<JobId> {
        let text = self.take("before")?;
        let id = text.parse().ok();
        if id.is_none() {
            let given = shown(&text).into_owned();
            self.fault("before", format!("must be the UUID of a job, as nextBefore names it; it is \"{given}\""));
        }
        id
    }

    /// `startIndex` of a list of jobs.
    fn start_of_jobs(&mut self) -> usize {
        let Some(text) = self.take("startIndex") else { return 0 };
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(start) if digits && start <= MAX_JOBS_START_INDEX => start,
            _ => {
                let given = shown(&text).into_owned();
                self.fault(
                    "startIndex",
                    format!(
                        "must be a whole number from 0 to {MAX_JOBS_START_INDEX}; page further with before, which takes \
                         nextBefore of the page before; it is \"{given}\""
                    ),
                );
                0
            }
        }
    }

    /// `fields`: to which of its keys each contact is trimmed.
    pub fn fields(&mut self) -> Option<answer::Fields> {
        let list = self.take("fields")?;
        self.faults.extend(unknown_keys(&list));
        answer::Fields::parse(&list)
    }

    /// `filterValue`: words of the display name.
    pub fn filter_value(&mut self) -> Option<String> {
        let text = self.take("filterValue")?;
        if text.len() > MAX_FILTER_VALUE_BYTES {
            self.fault("filterValue", too_long_filter_value(text.len()));
        }
        Some(text)
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// [`Invalid`] with every fault, a parameter that was not asked for among them: a misspelt `dryRun` would write.
    pub fn finish(self) -> Result<(), Invalid> {
        finish(
            "query parameter of this endpoint",
            "",
            self.pairs.iter().map(|(name, _)| name),
            &self.known,
            self.faults,
        )
    }
}
