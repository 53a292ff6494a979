//! Fields of bodies and parameters of queries as data. The reader and the description of the API use the same tables.

/// A field of a body, or a parameter of a query.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name. Names are compared without ASCII case.
    pub name: &'static str,
    /// Values that the field accepts.
    pub kind: Kind,
    /// Requirement of the field.
    pub need: Need,
    /// Text in the description of the API, in which `{max}` stands for the maximum of the kind. `None` for a field that
    /// the reader accepts but the description omits, such as another spelling.
    #[cfg(feature = "openapi")]
    pub description: Option<&'static str>,
    /// Name of the parameter's component in the description of the API. If two parameters have one name, a suffix
    /// after a dot distinguishes their components.
    #[cfg(feature = "openapi")]
    pub component: &'static str,
}

/// The requirement of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A request without the field is refused.
    Required,
    /// A request is refused if it has neither the field nor one of these fields.
    RequiredUnless(&'static [&'static str]),
    /// The field may be absent.
    Optional,
}

/// The meaning of a filter field that is present but blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blank {
    /// Any value, as if the field were absent.
    Any,
    /// A fault: in a change of access, a blank must not select every contact.
    Refused,
}

/// The values that a field accepts.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `true` or `false`, with the explanation that messages show.
    Boolean(&'static str),
    /// A whole number from 0 to a maximum.
    Whole {
        /// Maximum.
        max: u64,
        /// Text after the message about a wrong number; may be empty.
        remedy: &'static str,
    },
    /// Number of entries on a page. A number above the maximum means the maximum.
    Count {
        /// Number of entries if the parameter is absent.
        default: usize,
        /// Maximum.
        max: usize,
    },
    /// One contact.
    Contact,
    /// One contact, or an array of contacts.
    Contacts,
    /// The contact of the path, repeated in the body.
    ContactOfPath,
    /// Array of users.
    Users,
    /// A user.
    User,
    /// A job.
    Job,
    /// The name of a standing rule.
    RuleName,
    /// Array of tags.
    Tags,
    /// One number, or an array of numbers, of stages or types.
    Numbers,
    /// A kind of contacts, by number or by name.
    View,
    /// A date, with or without a time.
    Date,
    /// Words of the display name.
    Words(Blank),
    /// One of several words.
    Choice(&'static [&'static str]),
    /// Keys to which answers are trimmed, with commas in between.
    Keys,
    /// A cron expression.
    Cron,
    /// Name of a time zone.
    TimeZone,
    /// An e-mail address.
    Email,
    /// A password.
    Password,
    /// A portal.
    Portal,
    /// An idempotency key.
    IdempotencyKey,
    /// A note about a change or a rule.
    Note,
    /// An object.
    Object(Object),
}

/// The fields of an object.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    /// Fields of the object.
    pub fields: &'static [Field],
    /// Name of the object's schema in the description of the API.
    pub schema: &'static str,
}

impl Kind {
    /// Returns whether the field may hold several values.
    pub(super) fn is_array(self) -> bool {
        matches!(self, Self::Contacts | Self::ContactOfPath | Self::Users | Self::Tags | Self::Numbers)
    }
}

impl Field {
    /// Builds a field without which a request is refused.
    pub(super) const fn required(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self::new(name, kind, Need::Required, Some(description))
    }

    /// Builds a field without which a request is refused, unless one of the fields `others` is present.
    pub(super) const fn required_unless(
        others: &'static [&'static str],
        name: &'static str,
        kind: Kind,
        description: &'static str,
    ) -> Self {
        Self::new(name, kind, Need::RequiredUnless(others), Some(description))
    }

    /// Builds a field that may be absent.
    pub(super) const fn optional(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self::new(name, kind, Need::Optional, Some(description))
    }

    /// Builds a field that may be absent, and that the description of the API omits.
    pub(super) const fn undescribed(name: &'static str, kind: Kind) -> Self {
        Self::new(name, kind, Need::Optional, None)
    }

    #[cfg_attr(not(feature = "openapi"), expect(unused_variables, reason = "functions have no descriptions"))]
    const fn new(name: &'static str, kind: Kind, need: Need, description: Option<&'static str>) -> Self {
        Self {
            name,
            kind,
            need,
            #[cfg(feature = "openapi")]
            description,
            #[cfg(feature = "openapi")]
            component: name,
        }
    }

    /// Gives the parameter a component name that differs from its own name.
    #[cfg_attr(not(feature = "openapi"), expect(unused_variables, reason = "functions have no descriptions"))]
    pub(super) const fn with_component(self, component: &'static str) -> Self {
        Self {
            #[cfg(feature = "openapi")]
            component,
            ..self
        }
    }
}

/// Returns the names of fields, in their order.
pub(super) fn names(fields: &'static [Field]) -> Vec<&'static str> {
    fields.iter().map(|field| field.name).collect()
}

/// Returns the names of the members of all objects among the fields.
pub(super) fn names_of_members(fields: &'static [Field]) -> Vec<&'static str> {
    let members = fields.iter().filter_map(|field| match field.kind {
        Kind::Object(object) => Some(names(object.fields)),
        _ => None,
    });
    members.flatten().collect()
}

/// Returns the words of a field's choices.
pub(super) const fn words_of<T: Copy, const N: usize>(choices: &[(&'static str, T); N]) -> [&'static str; N] {
    let mut words = [""; N];
    let mut i = 0;
    while i < N {
        words[i] = choices[i].0;
        i += 1;
    }
    words
}
