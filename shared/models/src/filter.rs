//! Which contacts a request is about.

use serde::{Deserialize, Serialize};

use crate::id::ContactId;
use crate::moment::Moment;

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
