//! `GET /api/2.0/people`, `/people/filter` and `/people/{userid}`: shows the users of the portal, from whom a client
//! chooses the managers of contacts.

use api::answer::ListPage;
use api::endpoint::{Conditions, Dialect, Payload};
use api::{Answer, Auth, Call, Endpoint, Failure, NamedUser};
use futures::FutureExt as _;
use models::directory::{Profile, Scope, User};
use models::request::{ListPeople, PeopleOrder, fields_of_person};
use models::sign_in::Email;
use models::values::fold::fold;

use crate::FUNCTION;

const fn reading(path: &'static str, auth: Auth) -> Endpoint {
    Endpoint {
        function: FUNCTION,
        method: "GET",
        path,
        payload: Payload::None,
        dialect: Dialect::OnlyOffice,
        conditions: Conditions::None,
        auth,
    }
}

/// Lists all users.
pub(crate) const ALL: Endpoint = reading("/api/2.0/people", Auth::Token(Scope::Read, |call| list(call).boxed()));

/// Lists the users whose names or addresses contain the given words.
pub(crate) const FILTERED: Endpoint =
    reading("/api/2.0/people/filter", Auth::Token(Scope::Read, |call| list(call).boxed()));

/// Shows one user, by UUID or by e-mail address, which is the user name; `@self` is the caller.
pub(crate) const ONE: Endpoint =
    reading("/api/2.0/people/{userid}", Auth::Token(Scope::Read, |call| one(call).boxed()));

/// Lists users, sorted: half a read unit per 4 KB of all users, and 1 read unit for the caller.
async fn list(call: Call<'_>) -> Result<Answer, Failure> {
    let request = ListPeople::parse(&call.query_text())?;
    let users = async { Ok(call.app.store.all_users(&call.grant.portal).await?) };
    let (_, users) = futures::try_join!(call.caller(), users)?;
    let mut people: Vec<(String, Profile)> = users
        .into_iter()
        .filter(|user| is_asked_for(&request, user))
        .map(Profile::from)
        .map(|user| (place(request.order, &user), user))
        .collect();
    people.sort_by(|(a, first), (b, second)| a.cmp(b).then(first.id.cmp(&second.id)));
    if request.descending {
        people.reverse();
    }
    let (total, page) = (people.len(), request.page);
    let shown = total.saturating_sub(page.start_index).min(page.count);
    let end = ListPage::counted(page.start_index, shown, total as u64);
    let people = people.into_iter().skip(page.start_index).take(page.count).map(|(_, user)| user);
    Answer::trimmed_list(&call.wanted, people, end, request.fields.as_ref())
}

fn is_asked_for(request: &ListPeople, user: &User) -> bool {
    let email = user.email.as_ref().map(Email::as_str).unwrap_or_default();
    let text = fold(&format!("{} {email}", user.employee.display_name));
    request.has_active
        && request.is_admin.is_none_or(|is_admin| is_admin == user.is_admin)
        && request.words.iter().all(|word| text.contains(word))
}

/// Returns the sort key of a user.
fn place(order: PeopleOrder, user: &Profile) -> String {
    match order {
        PeopleOrder::DisplayName => fold(&user.display_name),
        PeopleOrder::FirstName => fold(&user.first_name),
        PeopleOrder::LastName => fold(&user.last_name),
        PeopleOrder::Email => user.email.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

async fn one(call: Call<'_>) -> Result<Answer, Failure> {
    let named = call.named_user()?;
    let fields = fields_of_person(&call.query_text())?;
    let (store, portal) = (&call.app.store, &call.grant.portal);
    let user = match named {
        NamedUser::Caller => call.user().await?,
        NamedUser::Id(id) if id == call.grant.user => call.user().await?,
        NamedUser::Id(id) => {
            let user = async { Ok(store.user(portal, id).await?) };
            let (_, user) = futures::try_join!(call.caller(), user)?;
            user.ok_or_else(|| Failure::UserNotFound(id.to_string()))?
        }
        NamedUser::Email(email) => {
            let users = async { Ok(store.all_users(portal).await?) };
            let (_, users) = futures::try_join!(call.caller(), users)?;
            let user = users.into_iter().find(|user| user.email.as_ref() == Some(&email));
            user.ok_or_else(|| Failure::UserNotFound(email.to_string()))?
        }
    };
    Answer::trimmed(&call.wanted, &Profile::from(user), fields.as_ref())
}
