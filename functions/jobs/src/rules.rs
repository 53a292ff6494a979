//! Standing rules: a filter, what the access of its contacts becomes, and when.

use api::answer::ListPage;
use api::contacts::check_managers;
use api::{Admits, Answer, Call, Endpoint, Failure};
use futures::FutureExt as _;
use models::access::Caller;
use models::portal::Scope;
use models::request::SetRule;
use models::rule::{Rule, RuleName};

use crate::FUNCTION;

/// The rules that the caller may see, by name.
pub(crate) const LIST: Endpoint = Endpoint {
    function: FUNCTION,
    method: "GET",
    path: "/api/2.0/crm/access/rules",
    admits: Admits::Holders(Scope::Read, |call| list(call).boxed()),
};

/// One rule.
pub(crate) const SHOW: Endpoint = Endpoint {
    function: FUNCTION,
    method: "GET",
    path: "/api/2.0/crm/access/rules/{name}",
    admits: Admits::Holders(Scope::Read, |call| show(call).boxed()),
};

/// Makes a rule, or replaces it.
pub(crate) const SET: Endpoint = Endpoint {
    function: FUNCTION,
    method: "PUT",
    path: "/api/2.0/crm/access/rules/{name}",
    admits: Admits::Holders(Scope::Write, |call| set(call).boxed()),
};

/// Removes a rule. What its runs changed stays, and their jobs too.
pub(crate) const REMOVE: Endpoint = Endpoint {
    function: FUNCTION,
    method: "DELETE",
    path: "/api/2.0/crm/access/rules/{name}",
    admits: Admits::Holders(Scope::Write, |call| remove(call).boxed()),
};

async fn list(call: Call<'_>) -> Result<Answer, Failure> {
    let mut query = call.query();
    let page = query.page();
    query.finish()?;
    let (caller, rules) =
        futures::try_join!(call.caller(), async { Ok(call.app.store.rules(&call.grant.portal).await?) })?;
    let visible: Vec<&Rule> = rules.iter().filter(|rule| may_see(&caller, rule)).collect();
    let shown: Vec<_> = visible.iter().skip(page.start_index).take(page.count).map(|rule| rule.view()).collect();
    Answer::list(call.wanted, &shown, ListPage::counted(page.start_index, shown.len(), visible.len() as u64))
}

async fn show(call: Call<'_>) -> Result<Answer, Failure> {
    let name = call.rule_name()?;
    call.query().finish()?;
    let rule = visible(&call, &name).await?;
    Answer::one(call.wanted, &rule.view())
}

async fn set(call: Call<'_>) -> Result<Answer, Failure> {
    let name = call.rule_name()?;
    call.query().finish()?;
    let (store, portal_id) = (&call.app.store, &call.grant.portal);
    let (portal, users) = store.portal_and_users(portal_id, [call.grant.user]).await?;
    let caller = users.get(&call.grant.user).ok_or(Failure::Unauthenticated)?.caller();
    let portal = portal.ok_or(Failure::Unauthenticated)?;
    let request = SetRule::parse(call.body()?, &portal.time_zone)?;
    let managers = request.target.managers.iter().copied();
    let (managers, before) = futures::try_join!(store.users(portal_id, managers), store.rule(portal_id, &name))?;
    check_managers(&request.target, |id| managers.contains_key(id))?;
    if before.as_ref().is_some_and(|before| !may_see(&caller, before)) {
        return Err(Failure::RuleForbidden(name));
    }
    if let (Some(rule), Some(_)) = (&before, &call.replay) {
        return Answer::one(call.wanted, &rule.view());
    }

    let rule = Rule {
        name,
        filter: request.filter,
        target: request.target,
        enabled: request.enabled,
        // It runs with the rights of whoever set it last, and shows that.
        created_by: caller.user,
        created: before.as_ref().map_or(call.now, |before| before.created),
        modified: call.now,
        next: if request.enabled { request.schedule.next_after(call.now) } else { None },
        schedule: request.schedule,
        last_run: before.as_ref().and_then(|before| before.last_run),
        last_job: before.as_ref().and_then(|before| before.last_job),
        error: None,
    };
    // A call that is made again does not bring back a rule that was removed since.
    if call.replay.is_none() && !store.put_rule(portal_id, before.as_ref(), &rule).await? {
        return Err(Failure::RuleContended(rule.name));
    }
    Answer::one(call.wanted, &rule.view())
}

async fn remove(call: Call<'_>) -> Result<Answer, Failure> {
    let name = call.rule_name()?;
    call.query().finish()?;
    if call.replay.is_some() {
        return Ok(Answer::nothing());
    }
    let rule = visible(&call, &name).await?;
    if !call.app.store.delete_rule(&call.grant.portal, &rule).await? {
        return Err(Failure::RuleContended(name));
    }
    Ok(Answer::nothing())
}

/// An administrator sees every rule, a user its own.
fn may_see(caller: &Caller, rule: &Rule) -> bool {
    caller.is_admin || rule.created_by == caller.user
}

async fn visible(call: &Call<'_>, name: &RuleName) -> Result<Rule, Failure> {
    let (caller, rule) =
        futures::try_join!(call.caller(), async { Ok(call.app.store.rule(&call.grant.portal, name).await?) })?;
    rule.filter(|rule| may_see(&caller, rule)).ok_or_else(|| Failure::RuleNotFound(name.clone()))
}
