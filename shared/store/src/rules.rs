//! Standing rules and their due entries.

use std::collections::HashSet;

use models::job::{Job, JobId};
use models::rule::{Rule, RuleName};
use models::values::id::{PortalId, UserId};
use models::values::timestamp::Timestamp;
use uuid::Uuid;

use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self, Item};
use crate::dynamodb::reading::{Consistency, QueryOptions};
use crate::error::StoreError;
use crate::idempotency::StoredAnswer;
use crate::jobs::{names, values};
use crate::keys::{Key, Range};

const DOC: &str = "doc";
/// Attribute of a rule: time of the last change, by which concurrent changes are detected.
const MODIFIED: &str = "modified";
/// Attribute of a rule: its due time. A start checks the due time, so that the rule starts once.
const NEXT_DUE: &str = "next_due";

fn rule_item(portal: &PortalId, rule: &Rule) -> Result<Item, StoreError> {
    let mut item = items::keyed(&Key::Rule(portal.clone(), rule.name.clone()));
    item.insert(DOC.into(), items::to_document(rule)?);
    item.insert(MODIFIED.into(), items::n(rule.modified.ticks()));
    if let Some(next) = rule.next {
        item.insert(NEXT_DUE.into(), items::n(next.ticks()));
    }
    Ok(item)
}

/// Attribute of a portal's entry: an identifier that changes whenever a user gets a rule, so that counting and adding
/// rules is atomic.
const GENERATION: &str = "generation";
/// Attribute of a portal's entry: time of the last check of its rules.
const CHECKED: &str = "checked";

/// The number of standing rules, and the generation in which they were counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleCount {
    /// Rules of the portal.
    pub of_portal: usize,
    /// Rules of one user.
    pub of_user: usize,
    generation: Option<[u8; 16]>,
}

/// A portal that may have standing rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePortal {
    /// The portal.
    pub portal: PortalId,
    /// Time of the last check of the portal's rules.
    pub checked: Timestamp,
}

fn rule_portal_item(portal: &PortalId, checked: Timestamp) -> Item {
    let mut item = items::keyed(&Key::RulePortal(portal.clone()));
    item.insert(CHECKED.into(), items::n(checked.ticks()));
    item
}

fn due_key(portal: &PortalId, rule: &Rule) -> Option<Key> {
    rule.next.map(|next| Key::DueRule(next, portal.clone(), rule.name.clone()))
}

impl Store {
    /// Reads a rule: 1 read unit per 4 KB.
    pub async fn rule(&self, portal: &PortalId, name: &RuleName) -> Result<Option<Rule>, StoreError> {
        let item = self.get(&Key::Rule(portal.clone(), name.clone())).await?;
        item.map(|mut item| items::document(&mut item, DOC)).transpose()
    }

    /// Returns a reader of a portal's rules, by name: 1 read unit per 4 KB read.
    pub fn rules(&self, portal: &PortalId) -> RuleReader<'_> {
        RuleReader { store: self, range: Range::Rules(portal.clone()), after: None, ended: false }
    }

    /// Counts the rules of a portal and of one of its users: 1 read unit, and 1 per 4 KB of rules.
    pub async fn count_rules(&self, portal: &PortalId, user: UserId) -> Result<RuleCount, StoreError> {
        // Adding a rule after this read changes the generation.
        let listed = self.get(&Key::RulePortal(portal.clone())).await?;
        let has_generation = listed.filter(|item| item.contains_key(GENERATION));
        let generation = has_generation.map(|item| items::id(&item, GENERATION)).transpose()?;
        let mut count = RuleCount { of_portal: 0, of_user: 0, generation };
        let mut after = None;
        loop {
            let options = QueryOptions { consistency: Consistency::Strong, ..QueryOptions::default() };
            let range = Range::Rules(portal.clone());
            let (items, next) = self.query_page(&range, &options, None, after).await?;
            count.of_portal += items.len();
            let of_user = items.into_iter().filter_map(readable).filter(|rule| rule.created_by == user).count();
            count.of_user += of_user;
            match next {
                Some(_) => after = next,
                None => return Ok(count),
            }
        }
    }

    /// Writes a rule in place of `before` (none for a new rule), with its due entry. Returns false if someone changed
    /// the rule meanwhile, or added a rule to the portal since the rules were `counted`. Stores the call's `answer` in
    /// the same transaction. Costs 2 write units per KB of the rule, 2 per due entry written or removed, and 2 for the
    /// count.
    pub async fn put_rule(
        &self,
        portal: &PortalId,
        before: Option<&Rule>,
        rule: &Rule,
        counted: Option<&RuleCount>,
        answer: Option<&StoredAnswer>,
    ) -> Result<bool, StoreError> {
        let item = rule_item(portal, rule)?;
        let mut writes = vec![match before {
            Some(before) => {
                let modified = (":modified", items::n(before.modified.ticks()));
                // A start of the rule leaves `modified` unchanged, so compare `next_due` too.
                match before.next {
                    Some(next) => {
                        let expected = [modified, (":next_due", items::n(next.ticks()))];
                        self.transact_put(item, Some("modified = :modified AND next_due = :next_due"), expected)?
                    }
                    None => {
                        let unchanged = "modified = :modified AND attribute_not_exists(next_due)";
                        self.transact_put(item, Some(unchanged), [modified])?
                    }
                }
            }
            None => self.transact_put(item, Some("attribute_not_exists(modified)"), [])?,
        }];
        writes.extend(self.due_writes(portal, before, Some(rule))?);
        writes.extend(answer.map(|answer| self.answer_write(answer)).transpose()?);
        if let Some(counted) = counted {
            let mut item = rule_portal_item(portal, rule.modified);
            item.insert(GENERATION.into(), items::b(*Uuid::now_v7().as_bytes()));
            writes.push(match counted.generation {
                Some(generation) => {
                    let expected = [(":seen", items::b(generation))];
                    self.transact_put(item, Some("generation = :seen"), expected)?
                }
                None => self.transact_put(item, Some("attribute_not_exists(generation)"), [])?,
            });
        }
        is_committed(self.transact(writes).await)
    }

    /// Removes a rule, unless someone changed it meanwhile: 2 write units for the rule, and 2 for its due entry. Stores
    /// the call's `answer` in the same transaction.
    pub async fn delete_rule(
        &self,
        portal: &PortalId,
        rule: &Rule,
        answer: Option<&StoredAnswer>,
    ) -> Result<bool, StoreError> {
        let key = Key::Rule(portal.clone(), rule.name.clone());
        let expected = [(":modified", items::n(rule.modified.ticks()))];
        let mut writes = vec![self.transact_delete(&key, Some("modified = :modified"), expected)?];
        writes.extend(self.due_writes(portal, Some(rule), None)?);
        writes.extend(answer.map(|answer| self.answer_write(answer)).transpose()?);
        is_committed(self.transact(writes).await)
    }

    /// Removes a rule that cannot be decoded: 1 write unit per KB. The rule's due entry stays until the next start of
    /// due rules.
    pub async fn delete_rule_record(&self, portal: &PortalId, name: &RuleName) -> Result<(), StoreError> {
        self.delete(&Key::Rule(portal.clone(), name.clone())).await
    }

    /// Writes the outcome of a due rule together with the job that it starts, if any: all or nothing. Returns false if
    /// the rule was handled or changed meanwhile. Costs 2 write units for each of up to seven items.
    pub async fn run_rule(
        &self,
        portal: &PortalId,
        before: &Rule,
        rule: &Rule,
        job: Option<(&Job, Timestamp)>,
    ) -> Result<bool, StoreError> {
        let Some(next) = before.next else { return Ok(false) };
        let expected = [(":next_due", items::n(next.ticks())), (":modified", items::n(before.modified.ticks()))];
        let unchanged = "next_due = :next_due AND modified = :modified";
        let mut writes = vec![self.transact_put(rule_item(portal, rule)?, Some(unchanged), expected)?];
        writes.extend(self.due_writes(portal, Some(before), Some(rule))?);
        if let Some((job, due)) = job {
            writes.extend(self.new_job_writes(portal, job, due)?);
        }
        is_committed(self.transact(writes).await)
    }

    /// Records in a rule why its last job failed, unless the rule has started another job or was replaced since: 1
    /// write unit per KB of the rule, at least 1.
    pub async fn record_rule_failure(
        &self,
        portal: &PortalId,
        name: &RuleName,
        job: JobId,
        error: &str,
    ) -> Result<(), StoreError> {
        let of =
            [("#doc", DOC), ("#job", "LastJob"), ("#error", "Error"), ("#at", "LastRun"), ("#modified", "Modified")];
        self.update_if(
            &Key::Rule(portal.clone(), name.clone()),
            "SET #doc.#error = :error",
            Some("#doc.#job = :job AND #doc.#modified <= #doc.#at"),
            names(of),
            values([(":error", items::s(error)), (":job", items::to_document(&job)?)]),
        )
        .await
        .map(drop)
    }

    fn due_writes(
        &self,
        portal: &PortalId,
        before: Option<&Rule>,
        after: Option<&Rule>,
    ) -> Result<Vec<aws_sdk_dynamodb::types::TransactWriteItem>, StoreError> {
        let (before, after) =
            (before.and_then(|rule| due_key(portal, rule)), after.and_then(|rule| due_key(portal, rule)));
        if before == after {
            return Ok(Vec::new());
        }
        let removed = before.map(|key| self.transact_delete(&key, None, [])).transpose()?;
        let added = after.map(|key| self.transact_put(items::keyed(&key), None, [])).transpose()?;
        Ok(removed.into_iter().chain(added).collect())
    }

    /// Returns the portals with standing rules: half a read unit per 4 KB, at least half.
    pub async fn rule_portals(&self) -> Result<Vec<RulePortal>, StoreError> {
        let items = self.query(&Range::RulePortals, Consistency::Eventual).await?;
        items
            .iter()
            .map(|item| match items::key_of(item)? {
                Key::RulePortal(portal) => {
                    Ok(RulePortal { portal, checked: Timestamp::from_ticks(items::number(item, CHECKED)?) })
                }
                other => Err(StoreError::Corrupt(format!("a {other:?} item is among the portals with rules").into())),
            })
            .collect()
    }

    /// Adds a portal to the list of portals with standing rules, unless it is listed: 1 write unit.
    pub async fn add_rule_portal(&self, portal: &PortalId, checked: Timestamp) -> Result<(), StoreError> {
        self.put_if(rule_portal_item(portal, checked), "attribute_not_exists(#pk)", []).await.map(drop)
    }

    /// Claims the check of a portal's rules, unless another process claimed it since it was listed: 1 write unit.
    pub async fn claim_rule_check(&self, listed: &RulePortal, now: Timestamp) -> Result<bool, StoreError> {
        let names = [("#checked".to_owned(), CHECKED.to_owned())].into();
        let values =
            [(":now".to_owned(), items::n(now.ticks())), (":seen".to_owned(), items::n(listed.checked.ticks()))].into();
        let key = Key::RulePortal(listed.portal.clone());
        let claimed = self.update_if(&key, "SET #checked = :now", Some("#checked = :seen"), names, values).await?;
        Ok(claimed.is_some())
    }

    /// Removes a portal without rules from the list of portals with standing rules, unless a rule was set since the
    /// check was claimed at `now`: 2 write units.
    pub async fn remove_rule_portal(&self, portal: &PortalId, now: Timestamp) -> Result<(), StoreError> {
        let claimed = [(":now", items::n(now.ticks()))];
        let delete = self.transact_delete(&Key::RulePortal(portal.clone()), Some("checked = :now"), claimed)?;
        is_committed(self.transact(vec![delete]).await).map(drop)
    }

    /// Returns the rules whose due entry is missing: 1 read unit per rule.
    pub async fn without_due_entry(&self, portal: &PortalId, rules: Vec<Rule>) -> Result<Vec<Rule>, StoreError> {
        let keys: Vec<Key> = rules.iter().filter_map(|rule| due_key(portal, rule)).collect();
        let mut found = HashSet::with_capacity(keys.len());
        self.get_each(&keys, Consistency::Strong, |item| {
            found.insert(items::key_of(&item)?);
            Ok(())
        })
        .await?;
        let is_lost = |rule: &Rule| due_key(portal, rule).is_some_and(|key| !found.contains(&key));
        Ok(rules.into_iter().filter(is_lost).collect())
    }

    /// Writes the due entry of a rule again. Returns false if the rule was changed or started since it was read. Costs
    /// 2 write units per KB of the rule, and 2 for the entry.
    pub async fn restore_due_entry(&self, portal: &PortalId, rule: &Rule) -> Result<bool, StoreError> {
        let (Some(key), Some(next)) = (due_key(portal, rule), rule.next) else { return Ok(false) };
        let expected = [(":next_due", items::n(next.ticks())), (":modified", items::n(rule.modified.ticks()))];
        let unchanged = "next_due = :next_due AND modified = :modified";
        let rule = self.transact_put(rule_item(portal, rule)?, Some(unchanged), expected)?;
        let entry = self.transact_put(items::keyed(&key), None, [])?;
        is_committed(self.transact(vec![rule, entry]).await)
    }

    /// Returns the rules of all portals that are due at `now`, the longest due first: 1 read unit per 4 KB, at least 1.
    pub async fn due_rules(&self, now: Timestamp) -> Result<Vec<(Timestamp, PortalId, RuleName)>, StoreError> {
        // `~` sorts after every name, so rules that are due exactly at `now` are included.
        let options = QueryOptions {
            consistency: Consistency::Strong,
            below: Some(format!("{now}~")),
            ..QueryOptions::default()
        };
        let items = self.query_with(&Range::DueRules, options).await?;
        let due = items.iter().filter_map(|item| match items::key_of(item) {
            Ok(Key::DueRule(due, portal, name)) => Some((due, portal, name)),
            // An entry that cannot be decoded must not block the start of all others.
            other => {
                tracing::error!(?other, "due entry cannot be decoded");
                None
            }
        });
        Ok(due.collect())
    }

    /// Removes an obsolete due entry: 1 write unit.
    pub async fn forget_due_rule(&self, due: Timestamp, portal: &PortalId, name: &RuleName) -> Result<(), StoreError> {
        self.delete(&Key::DueRule(due, portal.clone(), name.clone())).await
    }
}

/// Reads a portal's rules. Holds at most a megabyte of records in memory.
#[derive(Debug)]
pub struct RuleReader<'a> {
    store: &'a Store,
    range: Range,
    /// The item after which the list continues; none at its beginning.
    after: Option<Item>,
    ended: bool,
}

impl RuleReader<'_> {
    /// Returns the next rules; none at the end.
    ///
    /// # Errors
    ///
    /// When the table fails. A record that cannot be decoded is not an error, because the error would hide all other
    /// records.
    pub async fn next(&mut self) -> Result<Vec<Rule>, StoreError> {
        while !self.ended {
            let options = QueryOptions { consistency: Consistency::Strong, ..QueryOptions::default() };
            let (items, after) = self.store.query_page(&self.range, &options, None, self.after.take()).await?;
            (self.ended, self.after) = (after.is_none(), after);
            let rules: Vec<Rule> = items.into_iter().filter_map(readable).collect();
            if !rules.is_empty() {
                return Ok(rules);
            }
        }
        Ok(Vec::new())
    }
}

/// Returns the rule in an item, if it can be decoded.
fn readable(mut item: Item) -> Option<Rule> {
    let rule = items::document(&mut item, DOC);
    rule.inspect_err(|error| tracing::error!(key = ?items::key_of(&item), %error, "rule record cannot be decoded")).ok()
}

/// Returns whether a transaction was committed. A failed condition is not an error.
fn is_committed(result: Result<(), StoreError>) -> Result<bool, StoreError> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.is_condition_failed() => Ok(false),
        Err(error) => Err(error),
    }
}
