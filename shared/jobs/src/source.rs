//! What a shard of a job is about, page by page: the matches of a plan, contacts that are named, or the changes of the
//! job that is undone.

use std::collections::BTreeMap;

use models::access::{Access, Actor, Author};
use models::filter::plan::Plan;
use models::filter::{Filter, IndexEntry};
use models::job::{Change, Counts, JobId, UndoLog};
use models::values::id::{ContactId, PortalId};
use models::values::moment::Moment;
use store::contacts::AccessState;
use store::index::{Cursor, MatchPage, Matches, PAGE_MATCHES};
use store::jobs::Place;
use store::keys::Position;
use store::moves::OwnItems;
use store::{Store, StoreError};

use crate::context::Jobs;
use crate::met::Met;
use crate::moves::Moved;

/// A page of what a shard is about, judged.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) items: Vec<Judged>,
    /// Index entries, named contacts or changes that were looked at for it.
    pub(crate) looked: u64,
    /// Where the reading goes on behind it.
    pub(crate) behind: Place,
    /// Whether nothing follows. Unset, something may.
    pub(crate) last: bool,
}

/// A contact, and where the reading goes on behind it.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    pub(crate) behind: Place,
}

/// What is to become of a contact.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It does not exist, or not for the caller, or is met twice.
    Hidden,
    /// It is done by this very job.
    Done,
    /// The caller may not edit it.
    Skipped,
    /// It is as asked.
    Unchanged(Option<Position>),
    /// It is to change, or is a conflict.
    Change(Change, Option<Position>),
}

impl Verdict {
    /// What it adds to the counts once it is carried out.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts { matched: 1, ..Counts::default() };
        match self {
            Self::Hidden | Self::Done => counts.matched = 0,
            Self::Skipped => counts.skipped = 1,
            Self::Unchanged(_) => counts.unchanged = 1,
            Self::Change(change, _) if change.conflict => counts.conflicts = 1,
            Self::Change(..) => counts.updated = 1,
        }
        counts
    }
}

/// Where a shard's pages come from.
#[derive(Debug)]
pub(crate) enum Source<'a> {
    Matches(Box<MatchSource<'a>>),
    Contacts(ContactSource<'a>),
    Changes(ChangeSource<'a>),
}

impl Source<'_> {
    pub(crate) async fn next(&mut self) -> Result<Option<Step>, NoPage> {
        match self {
            Self::Matches(source) => source.next().await,
            Self::Contacts(source) => source.next().await,
            Self::Changes(source) => source.next().await,
        }
    }
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoPage {
    /// The user on whose behalf the contacts are judged is no longer in the portal.
    #[error("the user is no longer in the portal")]
    UserRemoved,
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The rights that decide about contacts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rights<'a> {
    /// Rights that were read together with the contacts.
    Known(Actor),
    /// The rights that the author has at the moment: half a read unit each time.
    Current {
        /// Where they are read.
        store: &'a Store,
        /// The author's portal.
        portal: &'a PortalId,
        /// The author.
        author: Author,
    },
}

impl Rights<'_> {
    /// The author with its rights.
    pub(crate) async fn actor(&self) -> Result<Actor, NoPage> {
        match *self {
            Self::Known(actor) => Ok(actor),
            Self::Current { author: Author::Operator, .. } => Ok(Actor::Operator),
            Self::Current { store, portal, author: Author::User(user) } => {
                let users = store.users(portal, [user]).await?;
                users.get(&user).map(|user| Actor::User(user.caller())).ok_or(NoPage::UserRemoved)
            }
        }
    }
}

/// What contacts are judged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be counted and shown.
    Preview,
    /// To be written by this job.
    Write(JobId),
}

/// How the pages of a source are judged: the rights are looked up anew for each page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) rights: Rights<'a>,
    pub(crate) target: &'a Access,
    pub(crate) purpose: Purpose,
}

impl<'a> Terms<'a> {
    fn judge(&self, actor: Actor) -> Judge<'a> {
        Judge { actor, target: self.target, purpose: self.purpose }
    }
}

/// Judges contacts that are all to have the same access.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judge<'a> {
    pub(crate) actor: Actor,
    pub(crate) target: &'a Access,
    pub(crate) purpose: Purpose,
}

impl Judge<'_> {
    /// What is to become of a contact with this access; an answer shows it by its position.
    pub(crate) fn judge(&self, contact: ContactId, position: Option<Position>, state: AccessState) -> Verdict {
        // Another worker is at the same shard, or was.
        if matches!(self.purpose, Purpose::Write(job) if state.revision == Some(job)) {
            return Verdict::Done;
        }
        if !self.actor.may_see(&state.access) {
            Verdict::Hidden
        } else if !self.actor.may_edit(&state.access) {
            Verdict::Skipped
        } else if state.access == *self.target {
            Verdict::Unchanged(position)
        } else {
            let change =
                Change { contact, before: state.access, revision: state.revision, after: None, conflict: false };
            Verdict::Change(change, position)
        }
    }
}

/// The matches of a plan, each of which is to have the same access. Those that an import moves meanwhile come last.
#[derive(Debug)]
pub(crate) struct MatchSource<'a> {
    jobs: &'a Jobs,
    portal: &'a PortalId,
    shard: u16,
    shards: u16,
    filter: &'a Filter,
    matches: Matches<'a>,
    end: Cursor,
    terms: Terms<'a>,
    phase: Phase,
    /// The contacts that this source has given.
    met: Met,
    /// The contacts in the shard's chunks, where another worker has met a part of the shard; none before they are asked
    /// for.
    written: Option<Met>,
    /// Whether another worker has met a part of the shard.
    is_resumed: bool,
    moved: Moved<'a>,
    /// Whether all that this source has given is written.
    is_settled: bool,
}

/// What a source of matches reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The indexes.
    Index,
    /// The journal of moves, and the contacts' own items.
    Moves,
    /// Nothing more.
    Ended,
}

/// The matches of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selection<'a> {
    /// The filter.
    pub(crate) filter: &'a Filter,
    /// The same, as it was planned.
    pub(crate) plan: &'a Plan,
    /// When the run started.
    pub(crate) started: Moment,
}

impl<'a> MatchSource<'a> {
    pub(crate) fn new(
        jobs: &'a Jobs,
        portal: &'a PortalId,
        selection: Selection<'a>,
        shard: u16,
        place: Option<Place>,
        terms: Terms<'a>,
    ) -> Self {
        let cursor = match place {
            Some(Place::Matches(cursor)) => cursor,
            _ => Cursor::default(),
        };
        let Selection { filter, plan, started } = selection;
        Self {
            jobs,
            portal,
            shard,
            shards: plan.shards,
            filter,
            matches: Matches::new(&jobs.store, portal, plan, shard, cursor),
            end: Cursor { partition: plan.source.partitions(), after: None },
            terms,
            phase: if plan.is_empty() { Phase::Ended } else { Phase::Index },
            met: Met::new(plan.shards),
            written: None,
            is_resumed: cursor != Cursor::default(),
            moved: Moved::new(jobs, portal, shard, started),
            is_settled: false,
        }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Step>, NoPage> {
        if self.phase == Phase::Index {
            if let Some(page) = self.matches.next().await? {
                return self.matched(&page).await.map(Some);
            }
            self.moved.read().await?;
            self.phase = Phase::Moves;
        }
        match self.phase {
            Phase::Moves => self.next_moved().await,
            Phase::Index | Phase::Ended => Ok(None),
        }
    }

    /// Judges a page of the index. Beside the last one the journal is read, which mostly holds nothing.
    async fn matched(&mut self, page: &MatchPage) -> Result<Step, NoPage> {
        let ids: Vec<ContactId> = page.matches.iter().map(|found| found.position.contact).collect();
        let accesses = async { Ok(self.jobs.store.access_of(self.portal, &ids).await?) };
        let (actor, mut accesses) = if page.next.is_none() {
            self.phase = Phase::Moves;
            let journal = async { Ok(self.moved.read().await?) };
            let (actor, accesses, _) = futures::try_join!(self.terms.rights.actor(), accesses, journal)?;
            (actor, accesses)
        } else {
            futures::try_join!(self.terms.rights.actor(), accesses)?
        };
        let judge = self.terms.judge(actor);
        let items = page.matches.iter().map(|found| {
            let contact = found.position.contact;
            // A contact that moved behind the reading is met again. It is counted once, and the same records cannot be
            // written side by side.
            let verdict = match self.met.insert(contact) {
                true => judge.judge(contact, Some(found.position), accesses.take(contact)?),
                false => Verdict::Hidden,
            };
            Ok(Judged { verdict, behind: Place::Matches(found.cursor) })
        });
        let items = items.collect::<Result<_, StoreError>>()?;
        if self.phase == Phase::Moves && !self.moved.are_waiting(&self.met) {
            self.phase = Phase::Ended;
        }
        Ok(Step {
            items,
            looked: page.looked,
            behind: Place::Matches(page.next.unwrap_or(self.end)),
            last: self.phase == Phase::Ended,
        })
    }

    /// Judges contacts that an import moved.
    async fn next_moved(&mut self) -> Result<Option<Step>, NoPage> {
        loop {
            let contacts = self.moved.take(&self.met, PAGE_MATCHES);
            if contacts.iter().any(|(contact, _)| self.met.contains(*contact)) && !self.is_settled {
                // While one step is written the next one is read. The step after an empty one is read when everything
                // before the empty one is written.
                self.moved.put_back(contacts);
                self.is_settled = true;
                return Ok(Some(self.step(Vec::new())));
            }
            if !contacts.is_empty() {
                let items = self.judged_by_own_items(contacts).await?;
                self.is_settled = items.is_empty();
                if self.moved.is_closing() && !self.moved.are_waiting(&self.met) {
                    self.phase = Phase::Ended;
                }
                return Ok(Some(self.step(items)));
            }
            if self.moved.is_closing() || !self.moved.read().await? && !self.moved.close() {
                self.phase = Phase::Ended;
                return Ok(None);
            }
        }
    }

    fn step(&self, items: Vec<Judged>) -> Step {
        Step { items, looked: 0, behind: Place::Matches(self.end), last: self.phase == Phase::Ended }
    }

    async fn judged_by_own_items(&mut self, contacts: Vec<(ContactId, bool)>) -> Result<Vec<Judged>, NoPage> {
        let ids: Vec<ContactId> = contacts.iter().map(|(contact, _)| *contact).collect();
        let own = async { Ok(self.jobs.store.own_items(self.portal, &ids).await?) };
        let (actor, OwnItems { entries, mut accesses }) = futures::try_join!(self.terms.rights.actor(), own)?;
        let judge = self.terms.judge(actor);
        let mut items = Vec::new();
        for (contact, may_be_on_its_way) in contacts {
            let Some(entry) = entries.get(&contact).filter(|entry| self.filter.selects(entry)) else {
                self.moved.does_not_match(contact, may_be_on_its_way);
                continue;
            };
            let verdict = self.judge_moved(judge, entry, accesses.take(contact)?).await?;
            items.push(Judged { verdict, behind: Place::Matches(self.end) });
        }
        Ok(items)
    }

    /// Judges a contact that an import moved, which may have been met before.
    ///
    /// A contact that was met counts no more, and what others have made of it since stays. Only the contact that was added
    /// again has lost the access that this job gave it. Another worker's contacts are known where they were changed; others
    /// are taken to be counted, and in a preview those that would change are not.
    async fn judge_moved(
        &mut self,
        judge: Judge<'_>,
        entry: &IndexEntry,
        state: AccessState,
    ) -> Result<Verdict, StoreError> {
        let (contact, revision) = (entry.contact, state.revision);
        let position = Position { created: entry.created, contact };
        let verdict = judge.judge(contact, Some(position), state);
        let is_new = self.met.insert(contact);
        let writes = matches!(self.terms.purpose, Purpose::Write(_));
        let is_counted = match &verdict {
            Verdict::Hidden | Verdict::Done => return Ok(verdict),
            _ if !is_new => true,
            Verdict::Change(..) => writes && self.is_resumed && self.was_written(contact).await?,
            Verdict::Unchanged(_) | Verdict::Skipped => self.is_resumed,
        };
        let may_change = writes && self.moved.is_as_added_again(contact, revision);
        Ok(match verdict {
            Verdict::Change(..) if may_change => verdict,
            _ if is_counted => Verdict::Hidden,
            verdict => verdict,
        })
    }

    /// Whether a chunk of the shard holds a contact: 1 read unit per 4 KB of the shard's chunks, once.
    async fn was_written(&mut self, contact: ContactId) -> Result<bool, StoreError> {
        if let (None, Purpose::Write(job)) = (&self.written, self.terms.purpose) {
            let mut written = Met::new(self.shards);
            for number in 0.. {
                let Some(chunk) = self.jobs.store.chunk(self.portal, job, self.shard, number).await? else { break };
                chunk.changes.iter().for_each(|change| {
                    written.insert(change.contact);
                });
            }
            self.written = Some(written);
        }
        Ok(self.written.as_ref().is_some_and(|written| written.contains(contact)))
    }
}

/// Contacts that are named, each of which is to have the same access.
#[derive(Debug)]
pub(crate) struct ContactSource<'a> {
    store: &'a Store,
    portal: &'a PortalId,
    contacts: &'a [ContactId],
    /// How many of them are behind.
    behind: usize,
    /// Their access, where it was read already.
    known: Option<&'a BTreeMap<ContactId, AccessState>>,
    terms: Terms<'a>,
}

impl<'a> ContactSource<'a> {
    /// The contacts as they are when their page is read.
    pub(crate) fn new(
        store: &'a Store,
        portal: &'a PortalId,
        contacts: &'a [ContactId],
        place: Option<Place>,
        terms: Terms<'a>,
    ) -> Self {
        let behind = match place {
            Some(Place::Contacts(behind)) => behind,
            _ => 0,
        };
        Self { store, portal, contacts, behind, known: None, terms }
    }

    /// The same with what was read of them just now; who is not in it does not exist.
    pub(crate) fn knowing(self, known: &'a BTreeMap<ContactId, AccessState>) -> Self {
        Self { known: Some(known), ..self }
    }

    async fn next(&mut self) -> Result<Option<Step>, NoPage> {
        let rest = self.contacts.get(self.behind..).unwrap_or_default();
        let Some(page) = rest.chunks(PAGE_MATCHES).next() else { return Ok(None) };
        let read = async {
            Ok(match self.known {
                Some(_) => BTreeMap::new(),
                None => self.read(page).await?,
            })
        };
        let (actor, mut read) = futures::try_join!(self.terms.rights.actor(), read)?;
        let judge = self.terms.judge(actor);
        let first = self.behind;
        self.behind += page.len();
        let items = page.iter().zip(first + 1..).map(|(&contact, behind)| {
            let state = match self.known {
                Some(known) => known.get(&contact).cloned(),
                None => read.remove(&contact),
            };
            let verdict = match state {
                Some(state) => judge.judge(contact, None, state),
                None => Verdict::Hidden,
            };
            Judged { verdict, behind: Place::Contacts(behind) }
        });
        Ok(Some(Step {
            items: items.collect(),
            looked: page.len() as u64,
            behind: Place::Contacts(self.behind),
            last: self.behind == self.contacts.len(),
        }))
    }

    /// The access of those that exist, as it is now. An access record goes with its contact, so only a contact without
    /// one is itself looked for.
    async fn read(&self, page: &[ContactId]) -> Result<BTreeMap<ContactId, AccessState>, StoreError> {
        let mut accesses = self.store.current_access_of(self.portal, page).await?;
        let states = page.iter().map(|&contact| Ok((contact, accesses.take(contact)?)));
        let mut states: BTreeMap<ContactId, AccessState> = states.collect::<Result<_, StoreError>>()?;
        let bare: Vec<ContactId> =
            states.iter().filter(|(_, state)| state.revision.is_none()).map(|(contact, _)| *contact).collect();
        let existing = self.store.existing(self.portal, &bare).await?;
        states.retain(|contact, state| state.revision.is_some() || existing.contains(contact));
        Ok(states)
    }
}

/// What another job changed, each to be as it was.
#[derive(Debug)]
pub(crate) struct ChangeSource<'a> {
    store: &'a Store,
    portal: &'a PortalId,
    /// The job that is undone, and which of its shards.
    undone: JobId,
    shard: u16,
    /// Where that job keeps what was before.
    log: UndoLog,
    number: u32,
    entries: usize,
    /// The job that restores.
    job: JobId,
    rights: Rights<'a>,
}

impl<'a> ChangeSource<'a> {
    pub(crate) fn new(
        store: &'a Store,
        portal: &'a PortalId,
        (undone, shard, log): (JobId, u16, UndoLog),
        place: Option<Place>,
        job: JobId,
        rights: Rights<'a>,
    ) -> Self {
        let (number, entries) = match place {
            Some(Place::Chunk { number, entries }) => (number, entries),
            _ => (0, 0),
        };
        Self { store, portal, undone, shard, log, number, entries, job, rights }
    }

    async fn next(&mut self) -> Result<Option<Step>, NoPage> {
        let changes = match self.log {
            UndoLog::Record if self.number > 0 => None,
            UndoLog::Record => {
                let changes = self.store.single_change(self.portal, self.undone).await?;
                (!changes.is_empty()).then_some(changes)
            }
            UndoLog::Chunks => {
                self.store.chunk(self.portal, self.undone, self.shard, self.number).await?.map(|chunk| chunk.changes)
            }
        };
        let Some(changes) = changes else { return Ok(None) };
        let (number, skipped) = (self.number, self.entries);
        let rest: Vec<Change> = changes.into_iter().skip(skipped).collect();
        let ids: Vec<ContactId> = rest.iter().map(|change| change.contact).collect();
        let accesses = async { Ok(self.store.current_access_of(self.portal, &ids).await?) };
        let (actor, accesses) = futures::try_join!(self.rights.actor(), accesses)?;
        let looked = rest.len() as u64;
        let items = rest
            .into_iter()
            .enumerate()
            .map(|(i, change)| {
                // A chunk may hold a contact twice: as the job met the contact, and as an import added it again.
                let state = accesses.of(change.contact)?.clone();
                let behind = Place::Chunk { number, entries: skipped + i + 1 };
                Ok(Judged { verdict: self.judge(change, state, &actor), behind })
            })
            .collect::<Result<_, StoreError>>()?;
        self.number += 1;
        self.entries = 0;
        let behind = Place::Chunk { number: self.number, entries: 0 };
        Ok(Some(Step { items, looked, behind, last: false }))
    }

    fn judge(&self, change: Change, state: AccessState, actor: &Actor) -> Verdict {
        if change.conflict {
            // The job that is undone left it alone itself.
            Verdict::Hidden
        } else if state.revision == Some(self.job) {
            Verdict::Done
        } else if state.revision == Some(self.undone) && !actor.may_restore(&state.access, &change.before) {
            if actor.may_see(&state.access) { Verdict::Skipped } else { Verdict::Hidden }
        } else if state.revision == Some(self.undone) {
            let restored = Change {
                contact: change.contact,
                before: state.access,
                revision: state.revision,
                after: Some(change.before),
                conflict: false,
            };
            Verdict::Change(restored, None)
        } else if state.revision == change.revision {
            // The job broke off before it came to this contact.
            if actor.may_see(&state.access) { Verdict::Unchanged(None) } else { Verdict::Hidden }
        } else {
            let after = Some(state.access.clone());
            let contact = change.contact;
            Verdict::Change(
                Change { contact, before: state.access, revision: state.revision, after, conflict: true },
                None,
            )
        }
    }
}
