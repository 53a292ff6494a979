//! `GET /api/2.0/people`, `/people/filter` and `/people/{userid}`: shows the users of the portal, from whom a client
//! chooses the managers of contacts.

use api::answer::ListPage;
use api::endpoint::{Conditions, Dialect, Payload};
use api::{Answer, Auth, Call, Endpoint, Failure, NamedUser};
use futures::FutureExt as _;
use models::directory::{Profile, User};
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
pub(crate) const ALL: Endpoint = reading("/api/2.0/people", Auth::Read(|call| list(call).boxed()));

/// Lists the users whose names or addresses contain the given words.
pub(crate) const FILTERED: Endpoint = reading("/api/2.0/people/filter", Auth::Read(|call| list(call).boxed()));

/// Shows one user, by UUID or by e-mail address, which is the user name; `@self` is the caller.
pub(crate) const ONE: Endpoint = reading("/api/2.0/people/{userid}", Auth::Read(|call| one(call).boxed()));

/// Lists users, sorted: half a read unit per 4 KB of all users, and 1 read unit for the caller.
async fn list(call: Call<'_>) -> Result<Answer, Failure> {
    let request = ListPeople::parse(&call.query_text())?;
    let (_, users) = call.caller_and(call.reads().all_users()).await?;
    let mut people: Vec<(String, Profile)> = users
        .into_iter()
        .filter(|user| is_selected(&request, user))
        .map(Profile::from)
        .map(|user| (sort_key(request.order, &user), user))
        .collect();
    people.sort_by(|(a, first), (b, second)| a.cmp(b).then(first.id.cmp(&second.id)));
    if request.descending {
        people.reverse();
    }
    let people = people.into_iter().map(|(_, user)| user);
    let page = request.page.in_list_of(people.len());
    let page = ListPage { total: page.total.filter(|_| request.total), ..page };
    let shown = people.skip(request.page.start_index).take(request.page.count);
    Answer::trimmed_list(&call.format, shown, page, request.fields.as_ref())
}

/// Returns whether a request selects a user.
fn is_selected(request: &ListPeople, user: &User) -> bool {
    let email = user.email.as_ref().map(Email::as_str).unwrap_or_default();
    let text = fold(&format!("{} {email}", user.employee.display_name));
    request.has_active
        && request.is_admin.is_none_or(|is_admin| is_admin == user.is_admin)
        && request.words.iter().all(|word| text.contains(word))
}

/// Returns the sort key of a user.
fn sort_key(order: PeopleOrder, user: &Profile) -> String {
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
    let user = match named {
        NamedUser::Caller => call.user().await?,
        NamedUser::Id(id) if id == call.grant.user => call.user().await?,
        NamedUser::Id(id) => {
            let (_, user) = call.caller_and(call.reads().user(id)).await?;
            user.ok_or_else(|| Failure::UserNotFound(id.to_string()))?
        }
        NamedUser::Email(email) => {
            let (_, users) = call.caller_and(call.reads().all_users()).await?;
            let user = users.into_iter().find(|user| user.email.as_ref() == Some(&email));
            user.ok_or_else(|| Failure::UserNotFound(email.to_string()))?
        }
    };
    Answer::trimmed(&call.format, &Profile::from(user), fields.as_ref())
}
