//! What is said of each endpoint: a row for each.

use models::request::ListContacts;

/// What is described of an endpoint, beside what all have in common.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// What the operation is called in generated clients.
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    /// Names of query parameters.
    pub(super) query: &'static [&'static str],
    /// Names of headers that other endpoints of its method do not have.
    pub(super) headers: &'static [&'static str],
    /// The name of its body.
    pub(super) body: Option<&'static str>,
    pub(super) answers: &'static [Success],
    /// What can keep it from its answer and others not.
    pub(super) failures: &'static [(u16, &'static str)],
}

/// An answer as asked.
pub(super) struct Success {
    pub(super) status: u16,
    pub(super) description: &'static str,
    pub(super) shows: Shows,
    pub(super) headers: &'static [&'static str],
    pub(super) links: &'static [Link],
}

/// What an answer holds.
pub(super) enum Shows {
    /// One value with the schema of this name.
    One(&'static str),
    /// A list of them.
    List(&'static str),
    /// A list of them that is paged by key.
    ListByKey(&'static str),
    /// No content.
    Nothing,
    /// This description.
    Description,
}

/// What an answer leads to.
pub(super) struct Link {
    /// The operation.
    pub(super) to: &'static str,
    /// Its parameter.
    pub(super) parameter: &'static str,
    /// Where the parameter's value is.
    pub(super) value: &'static str,
}

pub(super) const TAGS: [(&str, &str); 4] = [
    ("contacts", "Contacts, and who may see and edit them."),
    ("jobs", "Every change is a job: what was before and after, progress, undoing."),
    ("rules", "Standing rules: a filter, what its contacts become, and when."),
    ("portal", "What clients begin with."),
];

const fn to_job(to: &'static str) -> Link {
    Link { to, parameter: "jobid", value: "$response.header.X-Job-Id" }
}

const JOB_LINKS: &[Link] = &[to_job("getJob"), to_job("listChanges"), to_job("undoJob"), to_job("cancelJob")];

const RULE_LINKS: &[Link] = &[
    Link { to: "getRule", parameter: "name", value: "$request.path.name" },
    Link { to: "deleteRule", parameter: "name", value: "$request.path.name" },
];

/// The answer that shows something which was read.
const fn shown(shows: Shows, description: &'static str) -> Success {
    Success { status: 200, description, shows, headers: &[], links: &[] }
}

/// The answer of a call that a job goes on with.
const fn handed_over(headers: &'static [&'static str]) -> Success {
    Success {
        status: 202,
        description: "The job that goes on with it. The body is empty when the job cannot be shown right now.",
        shows: Shows::One("Job"),
        headers,
        links: JOB_LINKS,
    }
}

const COUNTS: &[&str] = &["X-Job-Id", "X-Matched-Count", "X-Updated-Count", "X-Unchanged-Count", "X-Skipped-Count"];
const HANDED_OVER: &[&str] = &["Location", "X-Job-Id.always", "Preference-Applied"];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        method: "PUT",
        path: "/api/2.0/crm/contact/{contactid}/access",
        id: "setContactAccess",
        tag: "contacts",
        summary: "Sets who may see and edit one contact",
        description: "The manager list replaces the one that was. What already is as asked is not written.",
        query: &["dryRun", "fields"],
        headers: &[],
        body: Some("setContactAccess"),
        answers: &[Success {
            status: 200,
            description: "The contact as it is after the change.",
            shows: Shows::One("Contact"),
            headers: &["ETag", "X-Job-Id"],
            links: JOB_LINKS,
        }],
        failures: &[(400, "unknown-manager"), (403, "edit-forbidden"), (404, "contact-not-found")],
    },
    Operation {
        method: "PUT",
        path: "/api/2.0/crm/contact/access",
        id: "setContactsAccess",
        tag: "contacts",
        summary: "Sets who may see and edit each of several contacts, or changes none",
        description: "All contacts are checked before the first is written.",
        query: &["dryRun", "count", "startIndex", "fields"],
        headers: &["Prefer"],
        body: Some("setContactsAccess"),
        answers: &[
            Success {
                status: 200,
                description: "The contacts as they are after the change, in the order asked.",
                shows: Shows::List("Contact"),
                headers: COUNTS,
                links: JOB_LINKS,
            },
            handed_over(HANDED_OVER),
        ],
        failures: &[
            (400, "unknown-manager"),
            (403, "edit-forbidden"),
            (404, "contact-not-found"),
            (429, "too-many-open-jobs"),
        ],
    },
    Operation {
        method: "PUT",
        path: "/api/2.0/crm/contact/filter/access",
        id: "setFilterAccess",
        tag: "contacts",
        summary: "Sets who may see and edit every contact that a filter selects",
        description: "Every match is changed, whatever part of them the answer shows. A body without any field of a \
                      filter selects every contact.",
        query: &["filterValue", "dryRun", "maxAffected", "count", "startIndex", "fields"],
        headers: &["Prefer"],
        body: Some("setFilterAccess"),
        answers: &[
            Success {
                status: 200,
                description: "The matches that the caller may edit, as they are after the change, newest first.",
                shows: Shows::List("Contact"),
                headers: COUNTS,
                links: JOB_LINKS,
            },
            handed_over(HANDED_OVER),
        ],
        failures: &[
            (400, "unknown-manager"),
            (422, "too-many-affected"),
            (429, "too-many-open-jobs"),
            (503, "not-counted-in-time"),
        ],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/crm/contact/{contactid}",
        id: "getContact",
        tag: "contacts",
        summary: "One contact",
        description: "A contact that the caller may not see does not exist for it.",
        query: &["fields"],
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
        summary: "Who is on a contact's access list",
        description: "The list is empty while the contact is shared.",
        query: &[],
        headers: &[],
        body: None,
        answers: &[shown(Shows::List("Employee"), "The managers.")],
        failures: &[(404, "contact-not-found")],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/crm/contact/filter",
        id: "listContacts",
        tag: "contacts",
        summary: "The contacts that a filter selects and the caller may see",
        description: "Latest first, unless told otherwise.",
        query: ListContacts::PARAMETERS,
        headers: &[],
        body: None,
        answers: &[shown(Shows::List("Contact"), "A page of the list.")],
        failures: &[(503, "not-listed-in-time")],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/crm/access/jobs",
        id: "listJobs",
        tag: "jobs",
        summary: "The jobs that the caller may see, newest first",
        description: "An administrator sees all of the portal, a user its own. 25, when count does not say. A page that \
                      reaches the size limit of an answer is shorter, and nextBefore leads on.",
        query: &["count", "before", "startIndex.jobs"],
        headers: &[],
        body: None,
        answers: &[Success {
            status: 200,
            description: "A page of the jobs.",
            shows: Shows::ListByKey("Job"),
            headers: &["X-Next"],
            links: &[],
        }],
        failures: &[],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/crm/access/jobs/{jobid}",
        id: "getJob",
        tag: "jobs",
        summary: "One job",
        description: "Its state, its counts and how far it is.",
        query: &[],
        headers: &[],
        body: None,
        answers: &[shown(Shows::One("Job"), "The job.")],
        failures: &[(404, "job-not-found")],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/crm/access/jobs/{jobid}/changes",
        id: "listChanges",
        tag: "jobs",
        summary: "What a job changed",
        description: "For each contact its access before and after.",
        query: &["count", "startIndex"],
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
        summary: "Restores what was before a job",
        description: "Contacts whose access was changed again since are left alone, and counted as conflicts.",
        query: &["dryRun"],
        headers: &[],
        body: None,
        answers: &[
            Success {
                status: 200,
                description: "With dryRun: the counts that the undo would come to. Nothing is written.",
                shows: Shows::One("UndoPreview"),
                headers: &["X-Matched-Count", "X-Updated-Count", "X-Unchanged-Count", "X-Skipped-Count"],
                links: &[],
            },
            Success {
                status: 202,
                description: "The job that restores.",
                shows: Shows::One("Job"),
                headers: &["Location", "X-Job-Id.always"],
                links: JOB_LINKS,
            },
        ],
        failures: &[
            (503, "not-counted-in-time"),
            (404, "job-not-found"),
            (409, "job-not-over"),
            (410, "changes-expired"),
            (429, "too-many-open-jobs"),
        ],
    },
    Operation {
        method: "POST",
        path: "/api/2.0/crm/access/jobs/{jobid}/cancel",
        id: "cancelJob",
        tag: "jobs",
        summary: "Stops a job",
        description: "What is done stays done and can be undone.",
        query: &[],
        headers: &[],
        body: None,
        answers: &[shown(Shows::One("Job"), "The job, which stops after the page that it is at.")],
        failures: &[(404, "job-not-found"), (409, "job-over")],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/crm/access/rules",
        id: "listRules",
        tag: "rules",
        summary: "The standing rules that the caller may see, by name",
        description: "An administrator sees all of the portal, a user its own.",
        query: &["count", "startIndex"],
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
        summary: "One standing rule",
        description: "When it runs next, and what its last run was.",
        query: &[],
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
        summary: "Makes a standing rule, or replaces it",
        description: "It runs on behalf of whoever set its filter, target or schedule last. A user has at most 50 rules, a \
                      portal 500; due times less than five minutes after the previous run are skipped.",
        query: &[],
        headers: &[],
        body: Some("setRule"),
        answers: &[Success {
            status: 200,
            description: "The rule.",
            shows: Shows::One("Rule"),
            headers: &["ETag"],
            links: RULE_LINKS,
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
        description: "What its runs changed stays, and their jobs too.",
        query: &[],
        headers: &[],
        body: None,
        answers: &[Success {
            status: 204,
            description: "The rule is gone.",
            shows: Shows::Nothing,
            headers: &[],
            links: &[Link { to: "getRule", parameter: "name", value: "$request.path.name" }],
        }],
        failures: &[(404, "rule-not-found"), (409, "rule-contended")],
    },
    Operation {
        method: "POST",
        path: "/api/2.0/authentication",
        id: "signIn",
        tag: "portal",
        summary: "A token for a user name and a password",
        description: "After five failures within a minute the pair of network and user is locked for a minute. After 30 \
                      failures within 15 minutes a user is locked for all networks that it did not sign in from within \
                      30 days. A page of another origin is refused unless that is named.",
        query: &[],
        headers: &[],
        body: Some("signIn"),
        answers: &[Success {
            status: 201,
            description: "The token, which is shown this once.",
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
        method: "DELETE",
        path: "/api/2.0/authentication",
        id: "signOut",
        tag: "portal",
        summary: "Ends the token that the call comes with",
        description: "Any token will do, whatever its scopes. Other tokens of the user stay as they are.",
        query: &[],
        headers: &[],
        body: None,
        answers: &[Success {
            status: 204,
            description: "The token is ended.",
            shows: Shows::Nothing,
            headers: &[],
            links: &[],
        }],
        failures: &[],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/people/{userid}",
        id: "getSelf",
        tag: "portal",
        summary: "Who the token stands for",
        description: "The user that calls, and no other.",
        query: &[],
        headers: &[],
        body: None,
        answers: &[shown(Shows::One("Profile"), "The user.")],
        failures: &[],
    },
    Operation {
        method: "GET",
        path: "/api/2.0/openapi.json",
        id: "describe",
        tag: "portal",
        summary: "This description",
        description: "OpenAPI 3.1, as JSON whatever is asked for.",
        query: &[],
        headers: &[],
        body: None,
        answers: &[shown(Shows::Description, "The description.")],
        failures: &[],
    },
];
