//! Filters, which select contacts by tags, stages, types, creation date and name.

pub mod listing;
pub mod plan;
pub mod top_k;

use serde::{Deserialize, Serialize};

use crate::access::{Access, Actor};
use crate::contact::ContactRecord;
use crate::values::fold::{fold, fold_tag};
use crate::values::id::{ContactId, UserId};
use crate::values::timestamp::Timestamp;

/// `contactListView` on ONLYOFFICE's reference page of `PUT crm/contact/filter/access`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListView {
    /// 0: companies and persons.
    #[default]
    All,
    /// 1: companies.
    Company,
    /// 2: persons.
    Person,
    /// 3: contacts that take part in an opportunity.
    WithOpportunity,
}

impl ListView {
    /// All views, by number.
    pub const ALL: [Self; 4] = [Self::All, Self::Company, Self::Person, Self::WithOpportunity];

    /// Returns the view's number in a request.
    pub const fn number(self) -> i64 {
        match self {
            Self::All => 0,
            Self::Company => 1,
            Self::Person => 2,
            Self::WithOpportunity => 3,
        }
    }

    /// Returns the view's name in a request.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::Company => "Company",
            Self::Person => "Person",
            Self::WithOpportunity => "WithOpportunity",
        }
    }
}

/// A filter: a contact matches if every field matches. The default filter selects every contact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Filter {
    /// Folded tags without duplicates. A match has all of these tags.
    pub tags: Vec<String>,
    /// Stages without duplicates. A match is in one of these stages; 0 means no stage. Empty: any stage.
    pub stages: Vec<i32>,
    /// Types, with the same rules as stages.
    pub types: Vec<i32>,
    /// Kind of contacts.
    pub view: ListView,
    /// The earliest creation date.
    pub from_date: Option<Timestamp>,
    /// The latest creation date.
    pub to_date: Option<Timestamp>,
    /// Folded words without duplicates. The name of a match contains all of these words.
    pub words: Vec<String>,
    /// Criteria for the access of a match. No index entry holds the access, so the access is tested on access records.
    #[serde(skip_serializing_if = "AccessCriteria::seeks_nothing")]
    pub access: AccessCriteria,
}

/// Criteria for the access of contacts. The default accepts every contact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AccessCriteria {
    /// True for shared contacts, false for private contacts; `None` for both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<bool>,
    /// A user in the contacts' manager lists, which shared contacts have too. The nil UUID selects contacts without a
    /// manager, as on ONLYOFFICE's server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responsible: Option<UserId>,
}

impl AccessCriteria {
    /// Returns whether a contact with this access meets the criteria. Managers that the viewer may not know are
    /// ignored.
    pub fn holds(&self, access: &Access, viewer: &Actor) -> bool {
        self.shared.is_none_or(|shared| shared != access.share.is_private())
            && self.responsible.is_none_or(|user| match user.is_nil() {
                true => viewer.known_managers(access).next().is_none(),
                false => viewer.known_managers(access).any(|manager| manager == user),
            })
    }

    /// Returns whether every contact meets the criteria. If so, nobody reads access to check them.
    pub const fn seeks_nothing(&self) -> bool {
        self.shared.is_none() && self.responsible.is_none()
    }

    /// Returns a user who is a manager of every contact that meets the criteria and that the viewer may see; `None` if
    /// the criteria imply no such user.
    pub fn manager(&self, viewer: &Actor) -> Option<UserId> {
        match (self.responsible, viewer) {
            (Some(user), _) => (!user.is_nil()).then_some(user),
            // Apart from administrators, only managers see private contacts.
            (None, Actor::User(caller)) if self.shared == Some(false) && !caller.is_admin => Some(caller.user),
            (None, _) => None,
        }
    }
}

impl Filter {
    /// Returns whether an entry matches every field but the criteria for access. A [`crate::filter::plan::Plan`] splits
    /// the same check between the range that it reads and its [`Test`]s.
    pub fn selects(&self, entry: &IndexEntry) -> bool {
        self.from_date.is_none_or(|from| from <= entry.created)
            && self.to_date.is_none_or(|to| entry.created <= to)
            && (self.stages.is_empty() || self.stages.contains(&entry.stage))
            && (self.types.is_empty() || self.types.contains(&entry.contact_type))
            && Test::View(self.view).passes(entry)
            && self.tags.iter().all(|tag| entry.tags.contains(tag))
            && self.words.iter().all(|word| entry.name.contains(word.as_str()))
    }

    /// Returns whether both filters have the same fields, in whatever order their tags, stages, types and words are.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        self.in_order() == other.in_order()
    }

    fn in_order(&self) -> Self {
        let Self { mut tags, mut stages, mut types, mut words, .. } = self.clone();
        tags.sort_unstable();
        stages.sort_unstable();
        types.sort_unstable();
        words.sort_unstable();
        Self { tags, stages, types, words, ..*self }
    }

    /// Returns the filter as answers show it.
    pub fn view(&self) -> FilterView<'_> {
        FilterView {
            tags: &self.tags,
            contact_stage: &self.stages,
            contact_type: &self.types,
            contact_list_view: self.view.name(),
            from_date: self.from_date,
            to_date: self.to_date,
            filter_value: (!self.words.is_empty()).then(|| self.words.join(" ")),
            is_shared: self.access.shared,
            responsibleid: self.access.responsible,
        }
    }
}

/// A filter as answers show it, with the field names of requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Filter))]
#[serde(rename_all = "PascalCase")]
pub struct FilterView<'a> {
    /// Tags, folded.
    pub tags: &'a [String],
    /// Stages; empty for any.
    pub contact_stage: &'a [i32],
    /// Types; empty for any.
    pub contact_type: &'a [i32],
    /// The view's name.
    pub contact_list_view: &'static str,
    /// The earliest creation date.
    pub from_date: Option<Timestamp>,
    /// The latest creation date.
    pub to_date: Option<Timestamp>,
    /// Folded words of the name, separated by spaces; `null` if the filter has none.
    pub filter_value: Option<String>,
    /// true for shared contacts, false for private contacts; `null` for both.
    pub is_shared: Option<bool>,
    /// A user in the contacts' manager lists; the nil UUID for contacts without a manager.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<uuid::Uuid>))]
    pub responsibleid: Option<UserId>,
}

/// A contact's index entry: every field that a filter tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The contact.
    pub contact: ContactId,
    /// Time at which the contact was created.
    pub created: Timestamp,
    /// The contact's stage, 0 for none.
    pub stage: i32,
    /// The contact's type, 0 for none.
    pub contact_type: i32,
    /// True for a company, false for a person.
    pub is_company: bool,
    /// True if the contact takes part in an opportunity.
    pub has_opportunity: bool,
    /// The contact's tags, folded.
    pub tags: Vec<String>,
    /// The contact's display name, folded.
    pub name: String,
}

impl From<&ContactRecord> for IndexEntry {
    fn from(record: &ContactRecord) -> Self {
        Self {
            contact: record.id,
            created: record.created,
            stage: record.stage,
            contact_type: record.contact_type,
            is_company: record.is_company,
            has_opportunity: record.has_opportunity,
            tags: record.tags.iter().map(|tag| fold_tag(tag)).collect(),
            name: fold(&record.display_name),
        }
    }
}

/// A test of an index entry, for a part of the filter that the plan's range does not cover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Test {
    /// The contact has this tag.
    Tag(String),
    /// The contact is in one of these stages.
    Stage(Vec<i32>),
    /// The contact has one of these types.
    Type(Vec<i32>),
    /// The contact belongs to this view.
    View(ListView),
    /// The contact's name contains this word.
    Word(String),
}

impl Test {
    /// Returns whether the entry passes.
    pub fn passes(&self, entry: &IndexEntry) -> bool {
        match self {
            Self::Tag(tag) => entry.tags.contains(tag),
            Self::Stage(stages) => stages.contains(&entry.stage),
            Self::Type(types) => types.contains(&entry.contact_type),
            Self::View(ListView::All) => true,
            Self::View(ListView::Company) => entry.is_company,
            Self::View(ListView::Person) => !entry.is_company,
            Self::View(ListView::WithOpportunity) => entry.has_opportunity,
            Self::Word(word) => entry.name.contains(word.as_str()),
        }
    }
}
