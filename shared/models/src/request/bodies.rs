//! The fields of each body. A new field needs one line here: the reader then knows the field's name, and the
//! description of the API has the field.

use crate::limits::MAX_AFFECTED;
use crate::request::field::{Blank, Field, Kind, Object};

pub(super) const TAGS: Field =
    Field::optional("tags", Kind::Tags, "Contacts with all of these tags; case does not matter.");
pub(super) const STAGE: Field = Field::optional(
    "contactStage",
    Kind::Numbers,
    "Contacts in any of these stages. 0 selects contacts without a stage, a negative number any stage.",
);
pub(super) const TYPE: Field = Field::optional(
    "contactType",
    Kind::Numbers,
    "Contacts of any of these types. 0 selects contacts without a type, a negative number any type.",
);
pub(super) const VIEW: Field = Field::optional("contactListView", Kind::View, "The kind of contacts.");
pub(super) const FROM: Field = Field::optional("fromDate", Kind::Date, "The earliest creation date, inclusive.");
pub(super) const TO: Field = Field::optional("toDate", Kind::Date, "The latest creation date, inclusive.");
pub(super) const WORDS: Field = Field::optional(
    "filterValue",
    Kind::Words(Blank::Refused),
    "Words that the display name must all contain; at most {max} bytes in UTF-8.",
);

const MANAGERS_TEXT: &str =
    "Users of the portal, in the order that answers show. A user who is named twice counts once.";
const SHARED_TEXT: &str = "true: everyone sees and edits the contact; false: only its managers and administrators.";

const MANAGERS: Field = Field::optional("managerList", Kind::Users, MANAGERS_TEXT);
const PRIVATE: Field = Field::required(
    "isPrivate",
    Kind::Boolean("true makes the contacts private, false public"),
    "true: only the managers and administrators see the contacts; false: everyone sees and edits them.",
);

/// The body of `PUT …/contact/{contactid}/access`.
pub const SET_CONTACT_ACCESS: &[Field] = &[
    Field::required("isShared", Kind::Boolean("true makes the contact public, false private"), SHARED_TEXT),
    MANAGERS,
    Field::undescribed("contactid", Kind::ContactOfPath),
];

/// The body of `PUT …/contact/access`. `isPrivate` is the opposite of `isShared`, and `accessList` is a synonym of
/// `managerList`; ONLYOFFICE's browser client sends both.
pub const SET_CONTACTS_ACCESS: &[Field] = &[
    Field::required("contactid", Kind::Contacts, "The contacts, in the order of the answer."),
    Field::required("isShared", Kind::Boolean("true makes the contacts public, false private"), SHARED_TEXT),
    MANAGERS,
    Field::undescribed("isPrivate", Kind::Boolean("true makes the contacts private, false public")),
    Field::undescribed("accessList", Kind::Users),
];

/// The body of `PUT …/contact/filter/access`.
pub const SET_FILTER_ACCESS: &[Field] = &[TAGS, STAGE, TYPE, VIEW, FROM, TO, PRIVATE, MANAGERS];

/// A filter as an object.
pub const FILTER: &[Field] = &[TAGS, STAGE, TYPE, VIEW, FROM, TO, WORDS];

/// An access as an object.
pub const TARGET: &[Field] = &[PRIVATE, MANAGERS];

const FILTER_OBJECT: Kind = Kind::Object(Object { fields: FILTER, schema: "RuleFilter" });
const TARGET_OBJECT: Kind = Kind::Object(Object { fields: TARGET, schema: "RuleTarget" });

/// The body of `PUT …/rules/{name}`.
pub const SET_RULE: &[Field] = &[
    Field::required("filter", FILTER_OBJECT, "The filter that selects the contacts."),
    Field::required("target", TARGET_OBJECT, "The access that the contacts get."),
    Field::required(
        "cron",
        Kind::Cron,
        "Minute, hour, day of the month, month, day of the week; also L, 15W, LW, TUE#2, FRIL.",
    ),
    Field::optional("timeZone", Kind::TimeZone, "The IANA name of a time zone. The default is the portal's time zone."),
    Field::optional(
        "enabled",
        Kind::Boolean("false keeps the rule without running it"),
        "false keeps the rule without running it.",
    ),
];

/// The payload of a single run. The description of the API does not contain the payload.
pub const RUN_ONCE: &[Field] = &[
    Field::required("portal", Kind::Portal, "The portal of the contacts."),
    Field::required("filter", FILTER_OBJECT, "The filter that selects the contacts."),
    Field::required("access", TARGET_OBJECT, "The access that the contacts get."),
    Field::optional(
        "maxAffected",
        Kind::Whole { max: MAX_AFFECTED, remedy: "" },
        "The number of changes above which nothing is written.",
    ),
    Field::optional("idempotencyKey", Kind::IdempotencyKey, "The key that identifies repeated payloads of a run."),
];

/// The body of `POST …/authentication`.
pub const SIGN_IN: &[Field] = &[
    Field::required("userName", Kind::Email, "The user's e-mail address."),
    Field::required("password", Kind::Password, "The user's password."),
    Field::optional("portal", Kind::Portal, "The portal, for an address with accounts in several portals."),
    // The description of the API names the field in its text: generators of clients would make every field optional.
    Field::undescribed("code", Kind::Password),
];
