//! The parameters of each query. A new parameter needs one line here: the reader then knows the parameter's name, and
//! the description of the API has the parameter.

use crate::filter::listing::SortBy;
use crate::job::{Kind as JobKind, State};
use crate::limits::{
    DEFAULT_HISTORY, DEFAULT_JOBS, DEFAULT_RUNS, MAX_AFFECTED, MAX_HISTORY, MAX_JOBS_START_INDEX, MAX_PAGE, MAX_RUNS,
    MAX_START_INDEX,
};
use crate::request::bodies::{CRON, FROM, IS_SHARED, NOTE, RESPONSIBLE, STAGE, TAGS, TIME_ZONE, TO, TYPE, VIEW, WORDS};
use crate::request::field::{Blank, Field, Kind, words_of};
use crate::request::people::{ACTIVATION_STATUSES, EMPLOYEE_STATUSES, PeopleOrder};

/// Directions of an order; `true` means descending.
pub(super) const DIRECTIONS: [(&str, bool); 2] = [("ascending", false), ("descending", true)];

const COUNT_TEXT: &str = "The maximum number of items in the answer. A number above {max} means {max}.";
const ORDER_TEXT: &str = "The order of the list.";

const DRY_RUN: Field = Field::optional(
    "dryRun",
    Kind::Boolean("true writes nothing"),
    "true: the answer shows the result that the call would have, and nothing is written.",
);
const AFFECTED: Field = Field::optional(
    "maxAffected",
    Kind::Whole { max: MAX_AFFECTED, remedy: "" },
    "If more contacts than this would be changed, the answer is 422 with their number, and nothing is written.",
);
const COUNT: Field = Field::optional("count", Kind::Count { default: MAX_PAGE, max: MAX_PAGE }, COUNT_TEXT);
const START: Field =
    Field::optional("startIndex", Kind::Whole { max: MAX_START_INDEX, remedy: "" }, "The number of items to skip.");
const KEYS: Field = Field::optional(
    "fields",
    Kind::Keys,
    "The keys to which each contact is trimmed: names with commas in between; case does not matter.",
);
const KEYS_OF_USER: Field = Field::undescribed("fields", Kind::Keys);
const WORDS_OF_LIST: Field = Field::optional(
    "filterValue",
    Kind::Words(Blank::Any),
    "Words that the display name must all contain. A blank text selects any name.",
)
.with_component("filterValue.list");
const WORDS_OF_PEOPLE: Field = Field::optional(
    "filterValue",
    Kind::Words(Blank::Any),
    "Words that the display name or the e-mail address must contain. A blank text selects any user.",
)
.with_component("filterValue.people");
const TOTAL: Field = Field::optional(
    "total",
    Kind::Boolean("false omits the total"),
    "false: the answer omits the total. For contacts, this saves the counting.",
);
const SORT_ORDER: Field =
    Field::optional("sortOrder", Kind::Choice(&words_of(&DIRECTIONS)), "The direction of the order.");

/// The query of a call without parameters.
pub const NONE: &[Field] = &[];

/// The query of a list that has only pages.
pub const PAGE: &[Field] = &[COUNT, START];

/// The query of a contact.
pub const SHOW_CONTACT: &[Field] = &[KEYS];

/// The query of `PUT …/contact/{contactid}/access`.
pub const SET_CONTACT_ACCESS: &[Field] = &[DRY_RUN, NOTE, KEYS];

/// The query of `PUT …/contact/access`.
pub const SET_CONTACTS_ACCESS: &[Field] = &[DRY_RUN, NOTE, COUNT, START, KEYS];

/// The query of `PUT …/contact/filter/access`.
pub const SET_FILTER_ACCESS: &[Field] = &[WORDS, RESPONSIBLE, IS_SHARED, DRY_RUN, AFFECTED, NOTE, COUNT, START, KEYS];

/// The query of the undo of a job.
pub const UNDO_JOB: &[Field] = &[DRY_RUN, NOTE];

/// The query of the run of a preview.
pub const APPLY_PREVIEW: &[Field] = &[NOTE];

/// The query of a list of contacts.
pub const LIST_CONTACTS: &[Field] = &[
    TAGS,
    STAGE,
    TYPE,
    VIEW,
    FROM,
    TO,
    WORDS_OF_LIST,
    RESPONSIBLE,
    IS_SHARED,
    Field::optional("sortBy", Kind::Choice(&words_of(&SortBy::ALL)), ORDER_TEXT),
    SORT_ORDER,
    COUNT,
    START,
    TOTAL,
    KEYS,
];

/// The query of a list of jobs.
pub const LIST_JOBS: &[Field] = &[
    Field::optional("count", Kind::Count { default: DEFAULT_JOBS, max: MAX_PAGE }, COUNT_TEXT)
        .with_component("count.jobs"),
    Field::optional("before", Kind::Job, "The job after which the page starts: `nextBefore` of the previous page."),
    Field::optional(
        "startIndex",
        Kind::Whole {
            max: MAX_JOBS_START_INDEX as u64,
            remedy: "; for later pages, set before to nextBefore of the previous page",
        },
        "The number of jobs to skip. Use `before` for later pages.",
    )
    .with_component("startIndex.jobs"),
    Field::optional("state", Kind::Choice(&words_of(&State::ALL)), "Only jobs in this state."),
    Field::optional("kind", Kind::Choice(&words_of(&JobKind::ALL)), "Only jobs of this kind."),
    Field::optional("userId", Kind::User, "Only jobs of this user.").with_component("userId.jobs"),
    Field::optional("rule", Kind::RuleName, "Only jobs that this standing rule started."),
    Field::optional("contactid", Kind::Contact, "Only jobs that changed this contact.")
        .with_component("contactid.jobs"),
    Field::optional("from", Kind::Date, "Only jobs that were requested at this date or later."),
    Field::optional("to", Kind::Date, "Only jobs that were requested at this date or earlier."),
];

/// The query of the next runs of a schedule.
pub const SHOW_SCHEDULE: &[Field] = &[
    CRON,
    TIME_ZONE,
    Field::optional(
        "count",
        Kind::Count { default: DEFAULT_RUNS, max: MAX_RUNS },
        "The maximum number of runs in the answer. A number above {max} means {max}.",
    )
    .with_component("count.runs"),
];

/// The query of the reasons for a user's rights to a contact.
pub const EXPLAIN_ACCESS: &[Field] =
    &[Field::optional("userId", Kind::User, "The user. Without this parameter, the answer is about the caller.")
        .with_component("userId.why")];

/// The query of the history of a contact's access.
pub const LIST_HISTORY: &[Field] = &[Field::optional(
    "count",
    Kind::Count { default: DEFAULT_HISTORY, max: MAX_HISTORY },
    "The maximum number of changes in the answer. A number above {max} means {max}.",
)
.with_component("count.history")];

/// The query of the start of a snapshot.
pub const START_SNAPSHOT: &[Field] = &[NOTE];

/// The query of a list of users.
pub const LIST_PEOPLE: &[Field] = &[
    WORDS_OF_PEOPLE,
    Field::optional(
        "employeeStatus",
        Kind::Choice(&words_of(&EMPLOYEE_STATUSES)),
        "A state in ONLYOFFICE's EmployeeStatus. Every user is active, so the list is empty for other states.",
    ),
    Field::optional(
        "activationStatus",
        Kind::Choice(&words_of(&ACTIVATION_STATUSES)),
        "A state in ONLYOFFICE's EmployeeActivationStatus. Every user is activated, so the list is empty for other states.",
    ),
    Field::optional(
        "isAdministrator",
        Kind::Boolean("true for the administrators"),
        "true: only administrators; false: only other users.",
    ),
    Field::optional("sortBy", Kind::Choice(&words_of(&PeopleOrder::ALL)), ORDER_TEXT).with_component("sortBy.people"),
    SORT_ORDER,
    COUNT,
    START,
    TOTAL,
    Field::optional(
        "fullTextSearch",
        Kind::Boolean("no effect here"),
        "Has no effect; ONLYOFFICE's pages send the parameter.",
    ),
    KEYS_OF_USER,
];

/// The query of a user.
pub const SHOW_PERSON: &[Field] = &[KEYS_OF_USER];
