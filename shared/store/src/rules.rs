//! Standing rules, and when each will be due.

use models::id::PortalId;
use models::job::Job;
use models::moment::Moment;
use models::rule::{Rule, RuleName};

use crate::client::{Part, Store};
use crate::error::StoreError;
use crate::items::{self, Item};
use crate::keys::{Key, Range};

const DOC: &str = "doc";
/// When the rule was last changed, so that two callers do not overwrite one another unseen.
const MODIFIED: &str = "modified";
/// When it is due, so that it is started once.
const NEXT: &str = "upcoming";

fn rule_item(portal: &PortalId, rule: &Rule) -> Result<Item, StoreError> {
    let mut item = items::keyed(&Key::Rule(portal.clone(), rule.name.clone()));
    item.insert(DOC.into(), items::to_document(rule)?);
    item.insert(MODIFIED.into(), items::n(rule.modified.steps()));
    if let Some(next) = rule.next {
        item.insert(NEXT.into(), items::n(next.steps()));
    }
    Ok(item)
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

    /// Reads every rule of a portal, by name: 1 read unit per 4 KB.
    pub async fn rules(&self, portal: &PortalId) -> Result<Vec<Rule>, StoreError> {
        let items = self.query(&Range::Rules(portal.clone()), true).await?;
        items.into_iter().map(|mut item| items::document(&mut item, DOC)).collect()
    }

    /// Writes a rule in place of what it was before (none: there was none), and when it will be due; false when someone
    /// else changed it meanwhile. 2 write units per KB of it, and 2 for each time it is or was due.
    pub async fn put_rule(&self, portal: &PortalId, before: Option<&Rule>, rule: &Rule) -> Result<bool, StoreError> {
        let item = rule_item(portal, rule)?;
        let mut writes = vec![match before {
            Some(before) => {
                let modified = (":modified", items::n(before.modified.steps()));
                // It may have been started meanwhile, which does not count as a change of it.
                match before.next {
                    Some(next) => {
                        let seen = [modified, (":upcoming", items::n(next.steps()))];
                        self.transact_put(item, Some("modified = :modified AND upcoming = :upcoming"), seen)?
                    }
                    None => {
                        let unchanged = "modified = :modified AND attribute_not_exists(upcoming)";
                        self.transact_put(item, Some(unchanged), [modified])?
                    }
                }
            }
            None => self.transact_put(item, Some("attribute_not_exists(modified)"), [])?,
        }];
        writes.extend(self.due_writes(portal, before, Some(rule))?);
        happened(self.transact(writes).await)
    }

    /// Removes a rule, unless someone else changed it meanwhile: 2 write units for it, and 2 for when it would have been
    /// due.
    pub async fn delete_rule(&self, portal: &PortalId, rule: &Rule) -> Result<bool, StoreError> {
        let key = Key::Rule(portal.clone(), rule.name.clone());
        let seen = [(":modified", items::n(rule.modified.steps()))];
        let mut writes = vec![self.transact_delete(&key, Some("modified = :modified"), seen)?];
        writes.extend(self.due_writes(portal, Some(rule), None)?);
        happened(self.transact(writes).await)
    }

    /// Writes that a rule was looked at when it was due, and with it the job that it starts, if it does: all or nothing,
    /// and false when it was looked at already or changed meanwhile. 2 write units for each of up to six items.
    pub async fn run_rule(
        &self,
        portal: &PortalId,
        before: &Rule,
        rule: &Rule,
        job: Option<(&Job, Moment)>,
    ) -> Result<bool, StoreError> {
        let Some(next) = before.next else { return Ok(false) };
        let seen = [(":upcoming", items::n(next.steps())), (":modified", items::n(before.modified.steps()))];
        let unchanged = "upcoming = :upcoming AND modified = :modified";
        let mut writes = vec![self.transact_put(rule_item(portal, rule)?, Some(unchanged), seen)?];
        writes.extend(self.due_writes(portal, Some(before), Some(rule))?);
        if let Some((job, due)) = job {
            writes.extend(self.new_job_writes(portal, job, due)?);
        }
        happened(self.transact(writes).await)
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
        let gone = before.map(|key| self.transact_delete(&key, None, [])).transpose()?;
        let coming = after.map(|key| self.transact_put(items::keyed(&key), None, [])).transpose()?;
        Ok(gone.into_iter().chain(coming).collect())
    }

    /// The rules of all portals that are due at `now`, the longest due first: 1 read unit per 4 KB, at least 1.
    pub async fn due_rules(&self, now: Moment) -> Result<Vec<(Moment, PortalId, RuleName)>, StoreError> {
        // `~` sorts after every name, so that what is due at this very moment is among them.
        let part = Part { consistent: true, below: Some(format!("{now}~")), ..Part::default() };
        let items = self.query_part(&Range::DueRules, part).await?;
        items
            .iter()
            .map(|item| match items::key_of(item)? {
                Key::DueRule(due, portal, name) => Ok((due, portal, name)),
                other => Err(StoreError::Corrupt(format!("{other:?} among the rules that are due"))),
            })
            .collect()
    }

    /// Forgets that a rule is due at a time at which it is not: 1 write unit.
    pub async fn forget_due_rule(&self, due: Moment, portal: &PortalId, name: &RuleName) -> Result<(), StoreError> {
        self.delete(&Key::DueRule(due, portal.clone(), name.clone())).await
    }
}

/// A transaction whose condition does not hold did not happen, which is no failure.
fn happened(result: Result<(), StoreError>) -> Result<bool, StoreError> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.is_condition_failed() => Ok(false),
        Err(error) => Err(error),
    }
}
