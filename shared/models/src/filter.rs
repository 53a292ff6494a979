//! Which contacts a request is about.

pub mod listing;
pub mod plan;

use serde::{Deserialize, Serialize};

use crate::contact::ContactRecord;
use crate::values::fold::{fold, fold_tag};
use crate::values::id::ContactId;
use crate::values::moment::Moment;

/// Document 001's `contactListView`.
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
    /// Every view, in the order of its numbers.
    pub const ALL: [Self; 4] = [Self::All, Self::Company, Self::Person, Self::WithOpportunity];

    /// The view's number in a request.
    pub const fn number(self) -> i64 {
        match self {
            Self::All => 0,
            Self::Company => 1,
            Self::Person => 2,
            Self::WithOpportunity => 3,
        }
    }

    /// The view's name in a request.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::Company => "Company",
            Self::Person => "Person",
            Self::WithOpportunity => "WithOpportunity",
        }
    }
}

/// A filter: a contact matches when every field does. The default one selects every contact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Filter {
    /// Tags, folded, each once: the contact has all of them.
    pub tags: Vec<String>,
    /// Stages, each once: the contact is in any of them, 0 meaning in none. Empty: any.
    pub stages: Vec<i32>,
    /// Types, likewise.
    pub types: Vec<i32>,
    /// Kind of contacts.
    pub view: ListView,
    /// The earliest creation date.
    pub from_date: Option<Moment>,
    /// The latest creation date.
    pub to_date: Option<Moment>,
    /// Words, folded, each once: the name holds all of them.
    pub words: Vec<String>,
}

impl Filter {
    /// Whether a contact with this entry matches, however it was found. A [`crate::filter::plan::Plan`] tests the same in parts.
    pub fn selects(&self, entry: &IndexEntry) -> bool {
        self.from_date.is_none_or(|from| from <= entry.created)
            && self.to_date.is_none_or(|to| entry.created <= to)
            && (self.stages.is_empty() || self.stages.contains(&entry.stage))
            && (self.types.is_empty() || self.types.contains(&entry.contact_type))
            && Test::View(self.view).passes(entry)
            && self.tags.iter().all(|tag| entry.tags.contains(tag))
            && self.words.iter().all(|word| entry.name.contains(word.as_str()))
    }

    /// What an answer shows of it.
    pub fn view(&self) -> FilterView<'_> {
        FilterView {
            tags: &self.tags,
            contact_stage: &self.stages,
            contact_type: &self.types,
            contact_list_view: self.view.name(),
            from_date: self.from_date,
            to_date: self.to_date,
            filter_value: self.words.join(" "),
        }
    }
}

/// A filter as answers show it, with the names that requests have for its fields.
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
    pub from_date: Option<Moment>,
    /// The latest creation date.
    pub to_date: Option<Moment>,
    /// Words of the name, folded, with a space between; empty when there are none.
    pub filter_value: String,
}

/// What the indexes hold of a contact: all that a filter asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The contact.
    pub contact: ContactId,
    /// When it was created.
    pub created: Moment,
    /// Its stage, 0 for none.
    pub stage: i32,
    /// Its type, 0 for none.
    pub contact_type: i32,
    /// Whether it is a company.
    pub is_company: bool,
    /// Whether it takes part in an opportunity.
    pub has_opportunity: bool,
    /// Its tags, folded.
    pub tags: Vec<String>,
    /// Its display name, folded.
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

/// One thing that is left to test on an index entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Test {
    /// It has this tag.
    Tag(String),
    /// It is in one of these stages.
    Stage(Vec<i32>),
    /// It is of one of these types.
    Type(Vec<i32>),
    /// It is seen in this view.
    View(ListView),
    /// Its name holds this word.
    Word(String),
}

impl Test {
    /// Whether the entry passes.
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
