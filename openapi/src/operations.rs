//! The description of each endpoint, one row for each, in the order of the document.
//!
//! The file exceeds 500 lines because the whole document is one table, which a reader compares row by row.

use models::request::field::Field;
use models::request::queries;

/// The description of one endpoint, without the parts that all endpoints share.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// The name of the operation in generated clients.
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    /// Parameters of the query.
    pub(super) query: &'static [Field],
    /// Names of headers that are specific to this operation.
    pub(super) headers: &'static [&'static str],
    /// The name of the body.
    pub(super) body: Option<&'static str>,
    pub(super) answers: &'static [Success],
    /// The failures that are specific to this operation.
    pub(super) failures: &'static [(u16, &'static str)],
}

/// A successful answer.
pub(super) struct Success {
    pub(super) status: u16,
    pub(super) description: &'static str,
    pub(super) shows: Shows,
    pub(super) headers: &'static [&'static str],
    /// The operations that the answer leads to.
    pub(super) links: &'static [&'static str],
}

/// The content of an answer.
pub(super) enum Shows {
    /// One value with the schema of this name.
    One(&'static str),
    /// A list of values with the schema of this name.
    List(&'static str),
    /// The job that continues the call.
    StartedJob,
    /// No content.
    Nothing,
    /// The description of the API itself.
    Description,
}

/// An operation that an answer leads to.
pub(super) struct Link {
    /// The target operation.
    pub(super) to: &'static str,
    /// The parameter of the target operation.
    pub(super) parameter: &'static str,
    /// The runtime expression of the parameter's value.
    pub(super) value: &'static str,
}

pub(super) const TAGS: [(&str, &str); 5] = [
    ("contacts", "Contacts, and who may see and edit them."),
    ("jobs", "Every change is a job: the access before and after the change, progress, undoing."),
    ("rules", "Standing rules: a filter, the access that its contacts get, and a schedule."),
    ("people", "The users of the portal."),
    ("portal", "Signing in and out, the settings of the portal, and this description."),
];

/// All links, by target operation.
pub(super) const LINKS: [Link; 7] = [
    to_job("getJob"),
    to_job("listJobChanges"),
    to_job("undoJob"),
    to_job("applyPreview"),
    to_job("cancelJob"),
    to_rule("getRule"),
    to_rule("deleteRule"),
];

const fn to_job(to: &'static str) -> Link {
    Link { to, parameter: "jobid", value: "$response.header.X-Job-Id" }
}

const fn to_rule(to: &'static str) -> Link {
    Link { to, parameter: "name", value: "$request.path.name" }
}

const JOB_LINKS: &[&str] = &["getJob", "listJobChanges", "undoJob", "applyPreview", "cancelJob"];

/// Builds the answer of a read.
const fn shown(shows: Shows, description: &'static str) -> Success {
    Success { status: 200, description, shows, headers: &[], links: &[] }
}

/// The answer of a call that continues as a job.
pub(super) const JOB_STARTED: Success = Success {
    status: 202,
    description: "The job that continues the call. The body is empty if the service cannot read the job at once.",
    shows: Shows::StartedJob,
    headers: &["Location", "X-Job-Id", "Preference-Applied"],
    links: JOB_LINKS,
};

const COUNTS: &[&str] =
    &["X-Job-Id", "X-Matched-Count", "X-Updated-Count", "X-Unchanged-Count", "X-Skipped-Count", "X-Failed-Count"];

/// Builds the answer of a list whose total may be a lower bound.
const fn listed(name: &'static str) -> Success {
    Success { headers: &["X-Total-Is-Lower-Bound"], ..shown(Shows::List(name), "A page of the list.") }
}

const LISTED: Success = listed("Contact");
const LISTED_SIMPLE: Success = listed("SimpleEntry");
const STAGES_OR_TYPES: &[Success] = &[shown(Shows::List("StageOrTypeChoice"), "A page of the list.")];
const TAGS_OF_CONTACTS: &[Success] = &[shown(Shows::List("TagChoice"), "A page of the list.")];

/// Builds the operation that lists the values of a filter field.
const fn choices(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    answers: &'static [Success],
) -> Operation {
    Operation {
        method: "GET",
        path,
        id,
        tag: "contacts",
        summary,
        description: "Filters select by these values. An administrator also sees the number of contacts of each.",
        query: queries::PAGE,
        headers: &[],
        body: None,
        answers,
        failures: &[],
    }
}

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        method: "PUT",
        path: "/api/2.0/crm/contact/{contactid}/access",
        id: "setContactAccess",
        tag: "contacts",
        summary: "Sets who may see and edit one contact",
        description: "`managerList` replaces the stored list; `addManagers` and `removeManagers` change the stored list. \
                      A contact that already has the access is not written.",
        query: queries::SET_CONTACT_ACCESS,
        headers: &[],
        body: Some("SetContactAccess"),
        answers: &[Success {
            status: 200,
            description: "The contact as it is after the change.",
            shows: Shows::One("Contact"),
            headers: &["ETag", "X-Job-Id"],
            links: JOB_LINKS,
        }],
        failures: &[
            (400, "unknown-manager"),
            (403, "edit-forbidden"),
            (404, "contact-not-found"),
            (409, "too-many-managers"),
        ],
    },
    Operation {
        method: "PUT",
        path: "/api/2.0/crm/contact/access",
        id: "setContactsAccess",
        tag: "contacts",
        summary: "Sets who may see and edit each of several contacts",
        description: "All contacts are checked before the first is written: one contact that is missing or may not be edited \
                      fails the call, and nothing is changed. As in ONLYOFFICE's panel, a call may have `isPrivate` in place \
                      of `isShared`, and `accessList` in place of `managerList`. With `dryRun` and `Prefer: respond-async`, \
                      the call starts a job of kind `preview`, which can be applied.",
        query: queries::SET_CONTACTS_ACCESS,
        headers: &["Prefer"],
        body: Some("SetContactsAccess"),
        answers: &[
            Success {
                status: 200,
                description: "The contacts as they are after the change, in the order of the request.",
                shows: Shows::List("Contact"),
                headers: COUNTS,
                links: JOB_LINKS,
            },
            JOB_STARTED,
        ],
        failures: &[
            (400, "unknown-manager"),
            (403, "edit-forbidden"),
            (404, "contact-not-found"),
            (409, "too-many-managers"),
            (429, "too-many-open-jobs"),
            (429, "too-many-previews"),
        ],
    },
    Operation {
        method: "PUT",
        path: "/api/2.0/crm/contact/filter/access",
        id: "setAccessByFilter",
        tag: "contacts",
        summary: "Sets who may see and edit every contact that a filter selects",
        description: "Every match is changed, even if the answer shows only some of the matches. A call without any filter \
                      field selects every contact. A body whose filter fields are all `null` is refused. A match whose \
                      manager list would become too long is not written and counts in X-Failed-Count. With `dryRun` \
                      and `Prefer: respond-async`, the call starts a job of kind `preview`, which can be applied. A \
                      dry run that does not fit the time of a call starts such a job too.",
        query: queries::SET_FILTER_ACCESS,
        headers: &["Prefer"],
        body: Some("SetAccessByFilter"),
        answers: &[
            Success {
                status: 200,
                description: "The matches that the caller may edit, as they are after the change, newest first.",
                shows: Shows::List("Contact"),
                headers: COUNTS,
                links: JOB_LINKS,
            },
            JOB_STARTED,
        ],
        failures: &[
            (400, "unknown-manager"),
            (422, "too-many-affected"),
            (429, "too-many-open-jobs"),
            (429, "too-many-previews"),
            (503, "portal-resharding"),
        ],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/crm/contact/{contactid}",
        id: "getContact",
        tag: "contacts",
        summary: "Shows one contact",
        description: "A caller who may not see the contact gets 404, as for a contact that does not exist.",
        query: queries::SHOW_CONTACT,
        headers: &[],
        body: None,
        answers: &[shown(Shows::One("Contact"), "The contact.")],
        failures: &[(404, "contact-not-found")],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/crm/contact/{contactid}/access",
        id: "getContactAccess",
        tag: "contacts",
        summary: "Lists the managers of a contact",
        description: "The list is empty while the contact is shared.",
        query: queries::NONE,
        headers: &[],
        body: None,
        answers: &[shown(Shows::List("Employee"), "The managers.")],
        failures: &[(404, "contact-not-found")],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/crm/contact/{contactid}/access/why",
        id: "explainContactAccess",
        tag: "contacts",
        summary: "Explains why a user may see and edit a contact",
        description: "Administrators may ask about any user, other users about themselves. `setBy` is the job that set \
                      the access.",
        query: queries::EXPLAIN_ACCESS,
        headers: &[],
        body: None,
        answers: &[shown(Shows::One("AccessReasons"), "The rights of the user, with their reasons.")],
        failures: &[(403, "reasons-forbidden"), (404, "contact-not-found"), (404, "user-not-found")],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/crm/contact/{contactid}/access/history",
        id: "listContactHistory",
        tag: "contacts",
        summary: "Lists the changes of the access of a contact, newest first",
        description: "The last entry is `loaded` where an import set the access, and `expired` where older changes are \
                      no longer stored. Changes of other users in which the contact was hidden from the caller are \
                      left out.",
        query: queries::LIST_HISTORY,
        headers: &[],
        body: None,
        answers: &[shown(Shows::List("HistoryEntry"), "The changes.")],
        failures: &[(404, "contact-not-found")],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/crm/contact/filter",
        id: "listContacts",
        tag: "contacts",
        summary: "Lists the contacts that a filter selects and the caller may see",
        description: "Without sortBy and sortOrder, the contact that was created last comes first.",
        query: queries::LIST_CONTACTS,
        headers: &[],
        body: None,
        answers: &[LISTED],
        failures: &[(503, "not-listed-in-time")],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/crm/contact/simple/filter",
        id: "listSimpleContacts",
        tag: "contacts",
        summary: "Lists the same contacts as `listContacts`, each wrapped in an entry",
        description: "The parameters are those of `listContacts`. ONLYOFFICE's pages read this list. On ONLYOFFICE's \
                      server, an entry may also have the next task of the contact.",
        query: queries::LIST_CONTACTS,
        headers: &[],
        body: None,
        answers: &[LISTED_SIMPLE],
        failures: &[(503, "not-listed-in-time")],
    },
    choices("/api/2.0/crm/contact/status", "listStages", "Lists the stages of contacts", STAGES_OR_TYPES),
    choices("/api/2.0/crm/contact/type", "listTypes", "Lists the types of contacts", STAGES_OR_TYPES),
    choices("/api/2.0/crm/contact/tag", "listTags", "Lists the tags of contacts", TAGS_OF_CONTACTS),
    Operation {
        method: "GET",
        path: "/api/2.0/crm/access/jobs",
        id: "listJobs",
        tag: "jobs",
        summary: "Lists the jobs that the caller may see, newest first",
        description: "An administrator sees all jobs of the portal. Other users see their own jobs. A page \
                      that reaches the size limit of an answer is shorter; `nextBefore` is the `before` of the next page. A \
                      page with conditions examines at most 1000 jobs and may be short too.",
        query: queries::LIST_JOBS,
        headers: &[],
        body: None,
        answers: &[Success {
            status: 200,
            description: "A page of the jobs.",
            shows: Shows::List("Job"),
            headers: &["X-Next"],
            links: &[],
        }],
        failures: &[],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/crm/access/jobs/daily",
        id: "listDailyCounts",
        tag: "jobs",
        summary: "Counts the contacts that jobs changed on each of the last ninety days",
        description: "A day belongs to the time zone of the portal, and a job to the day on which it ended. An \
                      administrator sees the counts of the portal. Other users see the counts of their own jobs.",
        query: queries::NONE,
        headers: &[],
        body: None,
        answers: &[shown(Shows::List("DailyCount"), "The days, the earliest first.")],
        failures: &[],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/crm/access/jobs/{jobid}",
        id: "getJob",
        tag: "jobs",
        summary: "Shows one job",
        description: "The answer has the state of the job, its counts and its progress.",
        query: queries::NONE,
        headers: &[],
        body: None,
        answers: &[shown(Shows::One("Job"), "The job.")],
        failures: &[(404, "job-not-found")],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/crm/access/jobs/{jobid}/changes",
        id: "listJobChanges",
        tag: "jobs",
        summary: "Lists the changes of a job",
        description: "Each change shows the access of a contact before and after the job.",
        query: queries::PAGE,
        headers: &[],
        body: None,
        answers: &[shown(Shows::List("Change"), "A page of the changes.")],
        failures: &[(404, "job-not-found"), (410, "changes-expired")],
    },
    Operation {
        method: "POST",
        path: "/api/2.0/crm/access/jobs/{jobid}/undo",
        id: "undoJob",
        tag: "jobs",
        summary: "Restores the access before a job",
        description: "Contacts whose access was changed again after the job are not restored, and count as conflicts.",
        query: queries::UNDO_JOB,
        headers: &[],
        body: None,
        answers: &[
            Success {
                status: 200,
                description: "With dryRun: the counts of the undo. Nothing is written.",
                shows: Shows::One("UndoPreview"),
                headers: &["X-Matched-Count", "X-Updated-Count", "X-Unchanged-Count", "X-Skipped-Count"],
                links: &[],
            },
            JOB_STARTED,
        ],
        failures: &[
            (503, "not-counted-in-time"),
            (404, "job-not-found"),
            (409, "job-not-over"),
            (409, "nothing-to-undo"),
            (410, "changes-expired"),
            (429, "too-many-open-jobs"),
        ],
    },
    Operation {
        method: "POST",
        path: "/api/2.0/crm/access/jobs/{jobid}/apply",
        id: "applyPreview",
        tag: "jobs",
        summary: "Makes the changes that a preview showed",
        description: "Exactly the contacts in the preview are written. Contacts whose access was changed after the preview are \
                      left alone, and count as conflicts. A preview has one run: a repeated call answers with the same job.",
        query: queries::APPLY_PREVIEW,
        headers: &[],
        body: None,
        answers: &[JOB_STARTED],
        failures: &[
            (404, "job-not-found"),
            (409, "not-a-preview"),
            (409, "preview-not-finished"),
            (410, "preview-expired"),
            (429, "too-many-open-jobs"),
        ],
    },
    Operation {
        method: "POST",
        path: "/api/2.0/crm/access/jobs/{jobid}/cancel",
        id: "cancelJob",
        tag: "jobs",
        summary: "Stops a job",
        description: "The changes that the job has made remain, and can be undone.",
        query: queries::NONE,
        headers: &[],
        body: None,
        answers: &[shown(Shows::One("Job"), "The job, which stops after its current page.")],
        failures: &[(404, "job-not-found"), (409, "job-over")],
    },
    Operation {
        method: "POST",
        path: "/api/2.0/crm/access/snapshots",
        id: "startSnapshot",
        tag: "jobs",
        summary: "Counts the contacts that are private, shared for editing and shared for reading",
        description: "Administrators only. A job counts the contacts, by stage and tag. Contacts that an import moves \
                      during the job may be missing or count twice.",
        query: queries::START_SNAPSHOT,
        headers: &[],
        body: None,
        answers: &[JOB_STARTED],
        failures: &[(403, "administrators-only"), (429, "too-many-open-jobs"), (503, "portal-resharding")],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/crm/access/snapshots/latest",
        id: "getLatestSnapshot",
        tag: "jobs",
        summary: "Shows the latest snapshot",
        description: "Administrators only. The counts are those of the latest job of `startSnapshot` that has ended.",
        query: queries::NONE,
        headers: &[],
        body: None,
        answers: &[shown(Shows::One("Snapshot"), "The counts.")],
        failures: &[(403, "administrators-only"), (404, "snapshot-not-found")],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/crm/access/rules",
        id: "listRules",
        tag: "rules",
        summary: "Lists the standing rules that the caller may see, by name",
        description: "An administrator sees all rules of the portal. Other users see their own rules.",
        query: queries::PAGE,
        headers: &[],
        body: None,
        answers: &[shown(Shows::List("Rule"), "A page of the rules.")],
        failures: &[],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/crm/access/rules/{name}",
        id: "getRule",
        tag: "rules",
        summary: "Shows one standing rule",
        description: "The answer has the next and the last run of the rule.",
        query: queries::NONE,
        headers: &[],
        body: None,
        answers: &[shown(Shows::One("Rule"), "The rule.")],
        failures: &[(404, "rule-not-found")],
    },
    Operation {
        method: "PUT",
        path: "/api/2.0/crm/access/rules/{name}",
        id: "setRule",
        tag: "rules",
        summary: "Creates or replaces a standing rule",
        description: "The rule runs on behalf of the user who last set its filter, target, schedule or limit. A user has at \
                      most 50 rules, a portal 500. Due times less than five minutes after the previous run are skipped.",
        query: queries::NONE,
        headers: &[],
        body: Some("SetRule"),
        answers: &[Success {
            status: 200,
            description: "The rule.",
            shows: Shows::One("Rule"),
            headers: &["ETag"],
            links: &["getRule", "deleteRule"],
        }],
        failures: &[
            (400, "unknown-manager"),
            (403, "rule-forbidden"),
            (409, "rule-contended"),
            (409, "too-many-rules"),
        ],
    },
    Operation {
        method: "DELETE",
        path: "/api/2.0/crm/access/rules/{name}",
        id: "deleteRule",
        tag: "rules",
        summary: "Removes a standing rule",
        description: "The changes and the jobs of its runs remain.",
        query: queries::NONE,
        headers: &[],
        body: None,
        answers: &[Success {
            status: 204,
            description: "The rule is removed.",
            shows: Shows::Nothing,
            headers: &[],
            links: &["getRule"],
        }],
        failures: &[(404, "rule-not-found"), (409, "rule-contended")],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/crm/access/schedule",
        id: "getSchedule",
        tag: "rules",
        summary: "Lists the next runs of a cron expression",
        description: "A client can show the runs of a rule before the rule is saved.",
        query: queries::SHOW_SCHEDULE,
        headers: &[],
        body: None,
        answers: &[shown(Shows::One("Schedule"), "The runs.")],
        failures: &[],
    },
    Operation {
        method: "POST",
        path: "/api/2.0/authentication",
        id: "signIn",
        tag: "portal",
        summary: "Creates a token for a user name and a password, or for a one-time code",
        description: "After five failures within a minute, a user is locked for a minute in the network of the failures. \
                      After 30 failures within 15 minutes, a user is locked in all networks from which the user did not \
                      sign in within 30 days. A page of another origin is refused unless the operator names the origin. \
                      `username` is another spelling of `userName`. `provider`, `accessToken`, `codeOAuth` and `type` may be \
                      present if they are empty. A body may also hold only `code`, a code of `createSignInCode`: the token \
                      then has the scopes of the code's creator and ends with the creator's token. After five wrong codes \
                      within a minute, a network is locked for a minute. `Idempotency-Key` is refused with a code.",
        query: queries::NONE,
        headers: &[],
        body: Some("SignIn"),
        answers: &[Success {
            status: 201,
            description: "The token, which is shown only once.",
            shows: Shows::One("SignedIn"),
            headers: &[],
            links: &[],
        }],
        failures: &[
            (401, "sign-in-refused"),
            (403, "origin-forbidden"),
            (429, "sign-in-locked"),
            (503, "contended"),
            (503, "database-unavailable"),
            (503, "sign-in-busy"),
            (503, "throttled"),
        ],
    },
    Operation {
        method: "POST",
        path: "/api/2.0/authentication/code",
        id: "createSignInCode",
        tag: "portal",
        summary: "Creates a one-time code that signs in as the caller",
        description: "`signIn` exchanges the code once, within ten minutes, for a token with the scopes of this call's token. \
                      The new token expires within seven days and ends with this call's token. This call's token needs no \
                      particular scope, and must not come from a code. `Idempotency-Key` is refused.",
        query: queries::NONE,
        headers: &[],
        body: None,
        answers: &[Success {
            status: 201,
            description: "The code, which is shown only once.",
            shows: Shows::One("SignInCode"),
            headers: &[],
            links: &[],
        }],
        failures: &[],
    },
    Operation {
        method: "DELETE",
        path: "/api/2.0/authentication",
        id: "signOut",
        tag: "portal",
        summary: "Revokes the token of the call",
        description: "The token needs no particular scope. Other tokens of the user stay valid.",
        query: queries::NONE,
        headers: &[],
        body: None,
        answers: &[Success {
            status: 204,
            description: "The token is revoked.",
            shows: Shows::Nothing,
            headers: &[],
            links: &[],
        }],
        failures: &[],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/settings",
        id: "getSettings",
        tag: "portal",
        summary: "Shows the settings of the portal",
        description: "Dates without an offset are in the portal's time zone.",
        query: queries::NONE,
        headers: &[],
        body: None,
        answers: &[shown(Shows::One("Settings"), "The settings.")],
        failures: &[],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/people",
        id: "listPeople",
        tag: "people",
        summary: "Lists the users of the portal by name",
        description: "A user can be the manager of a contact. `fields` selects keys of users, as for contacts. The schema \
                      describes users with all keys.",
        query: queries::LIST_PEOPLE,
        headers: &[],
        body: None,
        answers: &[shown(Shows::List("Profile"), "A page of the users.")],
        failures: &[],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/people/filter",
        id: "filterPeople",
        tag: "people",
        summary: "Lists the users whose names or addresses contain given words",
        description: "The answer is the same as that of `listPeople`. ONLYOFFICE's clients call this path.",
        query: queries::LIST_PEOPLE,
        headers: &[],
        body: None,
        answers: &[shown(Shows::List("Profile"), "A page of the users.")],
        failures: &[],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/people/{userid}",
        id: "getPerson",
        tag: "people",
        summary: "Shows one user of the portal",
        description: "The path has the user's UUID or e-mail address. `@self` stands for the caller.",
        query: queries::SHOW_PERSON,
        headers: &[],
        body: None,
        answers: &[shown(Shows::One("Profile"), "The user.")],
        failures: &[(404, "user-not-found")],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/openapi.json",
        id: "getDescription",
        tag: "portal",
        summary: "Returns this description",
        description: "The answer is always JSON.",
        query: queries::NONE,
        headers: &[],
        body: None,
        answers: &[shown(Shows::Description, "The description.")],
        failures: &[],
    },
];
