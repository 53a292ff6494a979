//! Snapshots: the numbers of contacts that are private, shared for editing and shared for reading.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::access::ShareType;
use crate::contact::ListItem;
use crate::filter::IndexEntry;
use crate::job::JobId;
use crate::values::timestamp::Timestamp;

/// The numbers of contacts, by how they are shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareCounts {
    /// Contacts that only their managers and administrators see.
    pub private: u64,
    /// Contacts that everyone edits.
    pub editing: u64,
    /// Contacts that everyone sees, and only their managers and administrators edit.
    pub reading: u64,
}

impl ShareCounts {
    /// Adds a contact.
    pub fn add(&mut self, share: ShareType) {
        match share {
            ShareType::None => self.private += 1,
            ShareType::ReadWrite => self.editing += 1,
            ShareType::Read => self.reading += 1,
        }
    }
}

impl std::iter::Sum for ShareCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |mut sum, counts| {
            sum += counts;
            sum
        })
    }
}

impl std::ops::AddAssign for ShareCounts {
    fn add_assign(&mut self, other: Self) {
        self.private += other.private;
        self.editing += other.editing;
        self.reading += other.reading;
    }
}

/// The counts of a snapshot so far, of a shard or of the whole portal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The counts of each stage; stage 0 has the contacts without a stage. Each contact is in exactly one stage.
    pub stages: BTreeMap<i32, ShareCounts>,
    /// The counts of each tag of the snapshot, by its number. A contact may have several tags.
    pub tags: BTreeMap<u16, ShareCounts>,
}

impl Tally {
    /// Adds a contact.
    pub fn add(&mut self, entry: &IndexEntry, share: ShareType, numbers: &TagNumbers<'_>) {
        self.stages.entry(entry.stage).or_default().add(share);
        for number in entry.tags.iter().filter_map(|tag| numbers.0.get(tag.as_str())) {
            self.tags.entry(*number).or_default().add(share);
        }
    }

    /// Adds the counts of another shard.
    pub fn merge(&mut self, other: Self) {
        for (stage, counts) in other.stages {
            *self.stages.entry(stage).or_default() += counts;
        }
        for (tag, counts) in other.tags {
            *self.tags.entry(tag).or_default() += counts;
        }
    }
}

/// The numbers of a snapshot's folded tags.
#[derive(Clone, Debug)]
pub struct TagNumbers<'a>(HashMap<&'a str, u16>);

impl<'a> TagNumbers<'a> {
    /// Numbers the tags of a snapshot.
    pub fn new(tags: &'a [String]) -> Self {
        Self(tags.iter().map(String::as_str).zip(0u16..).collect())
    }
}

/// The result of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Snapshot {
    /// The job that counted the contacts.
    pub job: JobId,
    /// Time at which the job was requested.
    pub created: Timestamp,
    /// Time at which the job ended.
    pub finished: Timestamp,
    /// The stages with their counts, by number.
    pub stages: Vec<(i32, ShareCounts)>,
    /// The folded tags with their counts, in alphabetical order.
    pub tags: Vec<(String, ShareCounts)>,
}

impl Snapshot {
    /// Builds the result of a job from the counts of its shards. A tag without contacts is left out.
    pub fn new(job: JobId, created: Timestamp, finished: Timestamp, tally: Tally, tags: &[String]) -> Self {
        let named = tally
            .tags
            .into_iter()
            .filter_map(|(number, counts)| tags.get(usize::from(number)).map(|tag| (tag.clone(), counts)));
        let mut named: Vec<(String, ShareCounts)> = named.collect();
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self { job, created, finished, stages: tally.stages.into_iter().collect(), tags: named }
    }
}

/// The numbers of contacts, as answers show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ShareCounts))]
#[serde(rename_all = "PascalCase")]
pub struct CountsView {
    /// Contacts that only their managers and administrators see.
    pub private: u64,
    /// Contacts that everyone edits.
    pub shared_for_editing: u64,
    /// Contacts that everyone sees, and only their managers and administrators edit.
    pub shared_for_reading: u64,
}

impl From<ShareCounts> for CountsView {
    fn from(counts: ShareCounts) -> Self {
        let ShareCounts { private, editing, reading } = counts;
        Self { private, shared_for_editing: editing, shared_for_reading: reading }
    }
}

/// The numbers of contacts in a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = StageCounts))]
#[serde(rename_all = "PascalCase")]
pub struct StageView {
    /// The stage; 0 for the contacts without a stage.
    #[serde(rename = "id")]
    pub id: i32,
    /// Name of the stage.
    pub title: String,
    /// CSS colour of the stage.
    pub color: String,
    /// Contacts that only their managers and administrators see.
    pub private: u64,
    /// Contacts that everyone edits.
    pub shared_for_editing: u64,
    /// Contacts that everyone sees, and only their managers and administrators edit.
    pub shared_for_reading: u64,
}

/// The numbers of contacts with a tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = TagCounts))]
#[serde(rename_all = "PascalCase")]
pub struct TagView {
    /// The tag.
    pub title: String,
    /// Contacts that only their managers and administrators see.
    pub private: u64,
    /// Contacts that everyone edits.
    pub shared_for_editing: u64,
    /// Contacts that everyone sees, and only their managers and administrators edit.
    pub shared_for_reading: u64,
}

/// The result of a snapshot, as answers show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Snapshot))]
#[serde(rename_all = "PascalCase")]
pub struct SnapshotView {
    /// The job that counted the contacts.
    #[cfg_attr(feature = "openapi", schema(value_type = uuid::Uuid))]
    pub job_id: JobId,
    /// Time at which the job was requested.
    pub created: Timestamp,
    /// Time at which the job ended.
    pub finished: Timestamp,
    /// The counts of all contacts.
    pub all: CountsView,
    /// The counts of each stage, in the order of the portal's stages. The contacts without a stage come first.
    pub stages: Vec<StageView>,
    /// The counts of each tag, in alphabetical order: at most the thousand tags with the most contacts.
    pub tags: Vec<TagView>,
}

impl SnapshotView {
    /// Builds the view of a snapshot with the portal's stages, in their order, and the titles of its tags.
    pub fn new(snapshot: Snapshot, stages: &[ListItem], titles: &HashMap<String, String>) -> Self {
        let Snapshot { job, created, finished, stages: counted, tags } = snapshot;
        let mut counted: BTreeMap<i32, ShareCounts> = counted.into_iter().collect();
        let all = counted.values().copied().sum::<ShareCounts>();
        let none = ListItem::default();
        let known = std::iter::once(&none).chain(stages).map(|stage| {
            let counts = counted.remove(&stage.id).unwrap_or_default();
            stage_view(stage.id, stage.title.clone(), stage.color.clone(), counts)
        });
        let mut shown: Vec<StageView> = known.collect();
        // A stage may have left the directory since.
        shown.extend(counted.into_iter().map(|(id, counts)| stage_view(id, String::new(), String::new(), counts)));
        let tags = tags.into_iter().map(|(tag, counts)| {
            let CountsView { private, shared_for_editing, shared_for_reading } = counts.into();
            let title = titles.get(&tag).cloned().unwrap_or(tag);
            TagView { title, private, shared_for_editing, shared_for_reading }
        });
        Self { job_id: job, created, finished, all: all.into(), stages: shown, tags: tags.collect() }
    }
}

fn stage_view(id: i32, title: String, color: String, counts: ShareCounts) -> StageView {
    let CountsView { private, shared_for_editing, shared_for_reading } = counts.into();
    StageView { id, title, color, private, shared_for_editing, shared_for_reading }
}
