//! `GET /api/2.0/people`, `/people/filter` and `/people/{userid}`: the users of the portal, among whom a client finds the
//! managers of contacts.

use api::answer::ListPage;
use api::endpoint::{Conditions, Dialect, Payload};
use api::{Admits, Answer, Call, Endpoint, Failure};
use futures::FutureExt as _;
use models::fold::fold;
use models::portal::{Profile, Scope, User};
use models::request::words;

use crate::FUNCTION;

const fn reading(path: &'static str, admits: Admits) -> Endpoint {
    Endpoint {
        function: FUNCTION,
        method: "GET",
        path,
        payload: Payload::None,
        dialect: Dialect::OnlyOffice,
        conditions: Conditions::None,
        admits,
    }
}

/// All users.
pub(crate) const ALL: Endpoint = reading("/api/2.0/people", Admits::Holders(Scope::Read, |call| list(call).boxed()));

/// The users whose names or addresses hold some words.
pub(crate) const FILTERED: Endpoint =
    reading("/api/2.0/people/filter", Admits::Holders(Scope::Read, |call| list(call).boxed()));

/// One user; `@self` is the caller.
pub(crate) const ONE: Endpoint =
    reading("/api/2.0/people/{userid}", Admits::Holders(Scope::Read, |call| one(call).boxed()));

/// Users in the order of their names: half a read unit per 4 KB of all users, and 1 for the caller.
async fn list(call: Call<'_>) -> Result<Answer, Failure> {
    let mut query = call.query();
    let (page, filter_value) = (query.page(), query.filter_value());
    query.finish()?;
    let users = async { Ok(call.app.store.all_users(&call.grant.portal).await?) };
    let (_, users) = futures::try_join!(call.caller(), users)?;
    let words = filter_value.as_deref().map(words).unwrap_or_default();
    let named = |user: &User| {
        let email = user.email.as_ref().map(ToString::to_string).unwrap_or_default();
        fold(&format!("{} {email}", user.employee.display_name))
    };
    let mut users: Vec<(String, User)> = users.into_iter().map(|user| (named(&user), user)).collect();
    users.retain(|(name, _)| words.iter().all(|word| name.contains(word)));
    users.sort_by(|(a, first), (b, second)| a.cmp(b).then(first.employee.id.cmp(&second.employee.id)));
    let total = users.len();
    let shown = total.saturating_sub(page.start_index).min(page.count);
    let end = ListPage::counted(page.start_index, shown, total as u64);
    let people = users.into_iter().skip(page.start_index).take(page.count).map(|(_, user)| Profile::from(user));
    Answer::list(&call.wanted, people, end)
}

async fn one(call: Call<'_>) -> Result<Answer, Failure> {
    let id = match call.names_caller() {
        true => call.grant.user,
        false => call.user_id()?,
    };
    call.query().finish()?;
    if id == call.grant.user {
        return Answer::one(&call.wanted, &Profile::from(call.user().await?));
    }
    let user = async { Ok(call.app.store.user(&call.grant.portal, id).await?) };
    let (_, user) = futures::try_join!(call.caller(), user)?;
    Answer::one(&call.wanted, &Profile::from(user.ok_or(Failure::UserNotFound(id))?))
}
