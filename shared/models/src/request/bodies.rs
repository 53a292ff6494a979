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

pub(super) const RESPONSIBLE: Field = Field::optional(
    "responsibleid",
    Kind::User,
    "Only contacts whose manager list contains this user; the nil UUID: contacts without a manager. Shared contacts count \
     only for administrators and for the user.",
);
pub(super) const IS_SHARED: Field = Field::optional(
    "isShared",
    Kind::Boolean("true for shared contacts, false for private ones"),
    "true: only shared contacts; false: only private contacts.",
);

/// The fields that change a manager list instead of replacing the list.
pub(super) const EDITS: &[&str] = &["addManagers", "removeManagers"];

const MANAGERS: Field = Field::optional(
    "managerList",
    Kind::Users,
    "Users of the portal, in the order that answers show, in place of the managers before. A user who is named twice \
     counts once.",
);
const ADD: Field = Field::optional(
    EDITS[0],
    Kind::Users,
    "Users of the portal who are added to the end of each contact's manager list. Not together with `managerList`.",
);
const REMOVE: Field = Field::optional(
    EDITS[1],
    Kind::Users,
    "Users who are removed from each contact's manager list. Not together with `managerList`.",
);
const PRIVATE: Field = Field::required_unless(
    EDITS,
    "isPrivate",
    Kind::Boolean("true makes the contacts private, false public"),
    "true: only the managers and administrators see the contacts; false: everyone sees and edits them. With \
     `addManagers` or `removeManagers` the field may be absent: each contact then keeps its own setting.",
);

/// Builds the field that shares or hides the contacts, with the meaning that messages show.
const fn shared(meaning: &'static str) -> Field {
    Field::required_unless(
        EDITS,
        "isShared",
        Kind::Boolean(meaning),
        "true: everyone sees and edits the contact; false: only its managers and administrators. With `addManagers` or \
         `removeManagers` the field may be absent: each contact then keeps its own setting.",
    )
}

/// The note of a change or of a rule.
pub(super) const NOTE: Field =
    Field::optional("note", Kind::Note, "A text of at most {max} characters that the job or the rule shows.");

/// The times at which a rule runs.
pub(super) const CRON: Field = Field::required(
    "cron",
    Kind::Cron,
    "Minute, hour, day of the month, month, day of the week; also L, 15W, LW, TUE#2, FRIL.",
);

/// The time zone of [`CRON`].
pub(super) const TIME_ZONE: Field =
    Field::optional("timeZone", Kind::TimeZone, "The IANA name of a time zone. The default is the portal's time zone.");

/// The number of changes above which a run writes nothing.
const AFFECTED: Field = Field::optional(
    "maxAffected",
    Kind::Whole { max: MAX_AFFECTED, remedy: "" },
    "The number of changes above which nothing is written.",
);

/// The body of `PUT …/contact/{contactid}/access`.
pub const SET_CONTACT_ACCESS: &[Field] = &[
    shared("true makes the contact public, false private"),
    MANAGERS,
    ADD,
    REMOVE,
    Field::undescribed("contactid", Kind::ContactOfPath),
];

/// The body of `PUT …/contact/access`. `isPrivate` is the opposite of `isShared`, and `accessList` is a synonym of
/// `managerList`; ONLYOFFICE's browser client sends both.
pub const SET_CONTACTS_ACCESS: &[Field] = &[
    Field::required("contactid", Kind::Contacts, "The contacts, in the order of the answer."),
    shared("true makes the contacts public, false private"),
    MANAGERS,
    ADD,
    REMOVE,
    Field::undescribed("isPrivate", Kind::Boolean("true makes the contacts private, false public")),
    Field::undescribed("accessList", Kind::Users),
];

/// The body of `PUT …/contact/filter/access`. The criteria for access are in the query, because `isShared` could mean
/// the new access in a body.
pub const SET_FILTER_ACCESS: &[Field] = &[TAGS, STAGE, TYPE, VIEW, FROM, TO, PRIVATE, MANAGERS, ADD, REMOVE];

/// A filter as an object.
pub const FILTER: &[Field] = &[TAGS, STAGE, TYPE, VIEW, FROM, TO, WORDS, RESPONSIBLE, IS_SHARED];

/// A change of access as an object.
pub const TARGET: &[Field] = &[PRIVATE, MANAGERS, ADD, REMOVE];

const FILTER_OBJECT: Kind = Kind::Object(Object { fields: FILTER, schema: "RuleFilter" });
const TARGET_OBJECT: Kind = Kind::Object(Object { fields: TARGET, schema: "RuleTarget" });

/// The body of `PUT …/rules/{name}`.
pub const SET_RULE: &[Field] = &[
    Field::required("filter", FILTER_OBJECT, "The filter that selects the contacts."),
    Field::required("target", TARGET_OBJECT, "The change of the contacts' access."),
    CRON,
    TIME_ZONE,
    Field::optional(
        "enabled",
        Kind::Boolean("false keeps the rule without running it"),
        "false keeps the rule without running it.",
    ),
    AFFECTED,
    NOTE,
];

/// The payload of a single run. The description of the API does not contain the payload.
pub const RUN_ONCE: &[Field] = &[
    Field::required("portal", Kind::Portal, "The portal of the contacts."),
    Field::required("filter", FILTER_OBJECT, "The filter that selects the contacts."),
    Field::required("access", TARGET_OBJECT, "The change of the contacts' access."),
    AFFECTED,
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
