//! The planner: reads the counters of a portal's directory and plans filters with them.

use models::access::Actor;
use models::directory::{Portal, Statistics};
use models::filter::Filter;
use models::filter::plan::{Plan, plan};
use models::values::id::PortalId;

use crate::directory::Lists;
use crate::dynamodb::client::Store;
use crate::error::StoreError;

/// The part of a portal's directory that is needed to plan filters.
#[derive(Clone, Debug)]
pub struct Planner {
    /// The stages and types. Their counters are in `statistics`.
    pub lists: Lists,
    /// The counters of the stages and of a filter's tags.
    pub statistics: Statistics,
}

/// A plan, with an estimate of its cost.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// Estimated number of index entries that the plan reads.
    pub expected: u64,
}

impl Store {
    /// Reads the stages and types of a portal and the counters of `tags`, in one round trip: 1 read unit per 4 KB of
    /// stages, half a unit per 4 KB of types, and half a unit per tag. The stages are read consistently.
    ///
    /// # Errors
    ///
    /// When the table fails.
    pub async fn planner(&self, portal: &PortalId, tags: &[String]) -> Result<Planner, StoreError> {
        let (mut lists, tags) = futures::try_join!(self.lists(portal), self.tag_counts(portal, tags))?;
        let stages = std::mem::take(&mut lists.stage_counts);
        Ok(Planner { lists, statistics: Statistics { stages, tags } })
    }

    /// Plans a run of `actor`. If all matches share a manager and this manager has few contacts, the plan reads the
    /// manager's postings, as a list does. Reads these postings: 1 read unit per 8 KB.
    ///
    /// # Errors
    ///
    /// When the table fails.
    pub async fn plan_run(
        &self,
        planner: &Planner,
        portal: &Portal,
        actor: &Actor,
        filter: &Filter,
    ) -> Result<Planned, StoreError> {
        let planned = planner.plan(filter, portal.shards);
        // An empty plan reads nothing, so no postings are cheaper.
        let manager = filter.access.manager(actor).filter(|_| portal.has_manager_index && !planned.plan.is_empty());
        let Some(manager) = manager else { return Ok(planned) };
        Ok(match self.cheap_postings(&portal.id, manager, planned.expected, None).await? {
            Some(indexed) => {
                Planned { plan: planned.plan.by_postings(manager), expected: indexed.contacts.len() as u64 }
            }
            None => planned,
        })
    }
}

impl Planner {
    /// Plans a filter over a portal of `shards` shards. The planner must have read the counters of the filter's tags.
    pub fn plan(&self, filter: &Filter, shards: u16) -> Planned {
        let plan = plan(filter, &self.statistics, shards);
        Planned { expected: plan.expected(&self.statistics), plan }
    }
}
