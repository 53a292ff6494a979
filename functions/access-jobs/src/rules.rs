//! Endpoints of standing rules: a filter, the access that its contacts get, and a schedule.

use api::answer::{self, ListAnswer, ListPage, Pushed};
use api::endpoint::{Conditions, Dialect, Payload};
use api::failure::{RuleBound, Unmet};
use api::show::check_managers;
use api::{Answer, Auth, Call, CallerInPortal, Endpoint, Failure, NextAttempt, WriteCall};
use futures::FutureExt as _;
use models::access::Caller;
use models::limits::{MAX_RULES_OF_PORTAL, MAX_RULES_OF_USER};
use models::request::{SetRule, queries};
use models::rule::{Owner, Rule, RuleName};
use store::StoreError;
use store::rules::RuleCount;

use crate::FUNCTION;

/// The version of a rule whose record cannot be read. This text is never a digest, so only `If-Match: *` matches.
const UNREADABLE: &str = "unreadable";

/// Lists the rules that the caller may see, by name.
pub(crate) const LIST: Endpoint = Endpoint {
    function: FUNCTION,
    method: "GET",
    path: "/api/2.0/crm/access/rules",
    payload: Payload::None,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::None,
    auth: Auth::Read(|call| list(call).boxed()),
};

/// Shows one rule.
pub(crate) const SHOW: Endpoint = Endpoint {
    function: FUNCTION,
    method: "GET",
    path: "/api/2.0/crm/access/rules/{name}",
    payload: Payload::None,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::None,
    auth: Auth::Read(|call| show_rule(call).boxed()),
};

/// Creates or replaces a rule.
pub(crate) const SET: Endpoint = Endpoint {
    function: FUNCTION,
    method: "PUT",
    path: "/api/2.0/crm/access/rules/{name}",
    payload: Payload::Fields,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::IfMatchOrNew,
    auth: Auth::Write(|call| set(call).boxed()),
};

/// Removes a rule. The changes and the jobs of its runs remain.
pub(crate) const REMOVE: Endpoint = Endpoint {
    function: FUNCTION,
    method: "DELETE",
    path: "/api/2.0/crm/access/rules/{name}",
    payload: Payload::None,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::IfMatchOrNew,
    auth: Auth::Write(|call| remove(call).boxed()),
};

async fn list(call: Call<'_>) -> Result<Answer, Failure> {
    let mut query = call.query(queries::PAGE);
    let page = query.page();
    query.finish()?;
    let caller = call.caller().await?;
    let mut reader = call.reads().rules();
    let mut list = ListAnswer::new(&call.format, None);
    let (mut passed, mut covered, mut more) = (0, 0, false);
    'read: loop {
        let rules = reader.next().await?;
        if rules.is_empty() {
            break;
        }
        for rule in rules.iter().filter(|rule| may_see(&caller, rule)) {
            if passed < page.start_index {
                passed += 1;
            } else if covered == page.count || list.push(&rule.view())? == Pushed::Full {
                more = true;
                break 'read;
            } else {
                covered += 1;
            }
        }
    }
    let total = (!more).then_some(passed as u64 + covered as u64);
    list.finish(&ListPage { start_index: page.start_index, covered, more, total }.end())
}

async fn show_rule(call: Call<'_>) -> Result<Answer, Failure> {
    let name = call.stored_rule_name()?;
    call.query(queries::NONE).finish()?;
    let rule = visible_rule(&call, &name).await?;
    rule_answer(&call, &rule)
}

async fn set(call: WriteCall<'_>) -> Result<Answer, Failure> {
    let name = call.rule_name()?;
    call.query(queries::NONE).finish()?;
    let request = SetRule::parse(call.body()?)?;

    let (store, portal_id) = (&call.app.store, &call.grant.portal);
    let CallerInPortal { portal, caller, .. } = call.caller_in_portal().await?;
    let request = request.resolve(&portal.time_zone)?;
    let managers = store.users(portal_id, request.target.given_managers().iter().copied()).await?;
    let mut before = store.rule(portal_id, &name).await?;
    if before.as_ref().is_some_and(|before| !may_see(&caller, before)) {
        return Err(Failure::RuleForbidden(name));
    }
    // A user who left may stay in a rule that names the user already. Otherwise nobody could pause the rule without a
    // change of its managers.
    let named_before = before.as_ref().map(|before| before.target.given_managers()).unwrap_or_default();
    check_managers(&request.target, |id| managers.contains_key(id) || named_before.contains(id))?;
    call.check_version(before.as_ref().map(version).transpose()?.as_deref())?;

    let mut attempts = call.attempts();
    loop {
        let owner = match &before {
            Some(before) if before.created_by != caller.user => owner_of(&call, before).await?,
            _ => Owner::Present,
        };
        let rule = Rule::set(name.clone(), request.clone(), before.as_ref(), owner, &caller, call.now);
        let owner_before = before.as_ref().map(|before| before.created_by);
        let counted = match owner_before {
            Some(owner) if owner == rule.created_by => None,
            _ => Some(store.count_rules(portal_id, rule.created_by).await?),
        };
        if let Some(count) = &counted {
            check_count(count, before.as_ref())?;
        }
        let mut answer = rule_answer(&call, &rule)?;
        let stored_answer = call.encode_answer(&mut answer)?;
        if store.put_rule(portal_id, before.as_ref(), &rule, counted.as_ref(), stored_answer.as_ref()).await? {
            return Ok(answer);
        }
        // Either another call changed this rule, or calls for other rules changed the number of rules.
        let now = store.rule(portal_id, &name).await?;
        if before.is_none() && now.is_some() && call.must_be_new() {
            return Err(Failure::PreconditionFailed(Unmet::Exists));
        }
        if counted.is_none() || now != before {
            return Err(Failure::RuleContended(name));
        }
        before = now;
        if attempts.wait().await == NextAttempt::Exhausted {
            return Err(Failure::RuleContended(name));
        }
    }
}

/// Reads the owner of a rule, who may have been removed from the portal.
async fn owner_of(call: &Call<'_>, rule: &Rule) -> Result<Owner, Failure> {
    let users = call.reads().users([rule.created_by]).await?;
    Ok(if users.contains_key(&rule.created_by) { Owner::Present } else { Owner::Gone })
}

/// Checks the bounds on the number of rules.
fn check_count(count: &RuleCount, before: Option<&Rule>) -> Result<(), Failure> {
    if count.of_user >= MAX_RULES_OF_USER {
        return Err(Failure::TooManyRules(RuleBound::OfUser));
    }
    // An existing rule is already included in the portal's count, even if its owner changes.
    if before.is_none() && count.of_portal >= MAX_RULES_OF_PORTAL {
        return Err(Failure::TooManyRules(RuleBound::OfPortal));
    }
    Ok(())
}

/// Returns the answer that shows a rule, with its version in the entity tag.
fn rule_answer(call: &Call<'_>, rule: &Rule) -> Result<Answer, Failure> {
    Ok(Answer::one(&call.format, &rule.view())?.with_version(version(rule)?))
}

/// Returns the version of a rule, from all fields that callers set. A run of the rule does not change the version.
fn version(rule: &Rule) -> Result<String, Failure> {
    let Rule { created, modified, created_by, filter, target, schedule, enabled, max_affected, note, .. } = rule;
    answer::version(&(created, modified, created_by, filter, target, schedule, enabled, max_affected, note))
}

async fn remove(call: WriteCall<'_>) -> Result<Answer, Failure> {
    let name = call.stored_rule_name()?;
    call.query(queries::NONE).finish()?;
    let rule = match visible_rule(&call, &name).await {
        // The owner of an unreadable rule is unknown, so only administrators may remove it.
        Err(Failure::Store(StoreError::Corrupt(_))) if call.caller().await?.is_admin => {
            // No caller can know a tag of an unreadable rule.
            call.check_version(Some(UNREADABLE))?;
            call.app.store.delete_rule_record(&call.grant.portal, &name).await?;
            return Ok(Answer::nothing());
        }
        rule => rule?,
    };
    call.check_version(Some(&version(&rule)?))?;
    let mut answer = Answer::nothing();
    let stored_answer = call.encode_answer(&mut answer)?;
    if !call.app.store.delete_rule(&call.grant.portal, &rule, stored_answer.as_ref()).await? {
        return Err(Failure::RuleContended(name));
    }
    Ok(answer)
}

/// Returns whether the caller may see a rule: administrators see all rules, users their own.
fn may_see(caller: &Caller, rule: &Rule) -> bool {
    caller.is_admin || rule.created_by == caller.user
}

/// Reads a rule that the caller may see.
async fn visible_rule(call: &Call<'_>, name: &RuleName) -> Result<Rule, Failure> {
    let (caller, rule) = call.caller_and(call.reads().rule(name)).await?;
    match rule.filter(|rule| may_see(&caller, rule)) {
        Some(rule) => Ok(rule),
        // An invalid name is more likely a mistake than the name of an old rule, so report the fault of the name.
        None => Err(call.rule_name().map_or_else(|failure| failure, Failure::RuleNotFound)),
    }
}
