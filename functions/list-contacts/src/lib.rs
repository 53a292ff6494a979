//! `GET /api/2.0/crm/contact/filter`: lists the contacts that match a filter and that the caller may see. Also lists
//! the stages, types and tags that a filter can use.

mod choices;

use std::collections::HashSet;

use api::answer::ListPage;
use api::endpoint::{Conditions, Dialect, Payload};
use api::{Answer, Auth, Call, CallerInPortal, Endpoint, Failure};
use futures::{FutureExt as _, TryFutureExt as _};
use models::contact::Contact;
use models::directory::Entries;
use models::filter::listing::SimpleEntry;
use models::request::ListContacts;
use store::listing::{Listed, Listing};
use store::planner::Planned;

/// The Lambda function of the endpoints.
const FUNCTION: &str = "list-contacts";

/// Builds a `GET` endpoint.
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

/// The list in the form of ONLYOFFICE's own clients.
const LIST: Endpoint = reading("/api/2.0/crm/contact/filter", Auth::Read(|call| list(call, Entry::Contact).boxed()));

/// The same list in the form of ONLYOFFICE's own pages, which show contacts with their next tasks.
const SIMPLE: Endpoint =
    reading("/api/2.0/crm/contact/simple/filter", Auth::Read(|call| list(call, Entry::Simple).boxed()));

/// Every endpoint of the function.
pub const ENDPOINTS: &[Endpoint] = &[LIST, SIMPLE, choices::STAGES, choices::TYPES, choices::TAGS];

/// The form of a list's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// The contact.
    Contact,
    /// An entry that has the contact as a member.
    Simple,
}

/// Lists contacts in three sequential DynamoDB round trips: the data for the plan, the index, the contacts. The total
/// is counted concurrently with the last two round trips.
async fn list(call: Call<'_>, entry: Entry) -> Result<Answer, Failure> {
    let request = ListContacts::parse(&call.query_text())?;

    let reads = call.reads();
    let (found, planner, names) = futures::try_join!(
        call.caller_in_portal(),
        reads.planner(request.filter.tags()).err_into(),
        reads.names().err_into(),
    )?;
    let CallerInPortal { portal, caller, .. } = found;
    let request = request.resolve(&portal.time_zone)?;

    let Planned { plan, expected } = planner.plan(&request.filter, portal.shards);
    let lists = planner.lists;
    let shows = |key| request.fields.as_ref().is_none_or(|fields| fields.contains(key));
    let listing = Listing {
        portal: &call.grant.portal,
        filter: &request.filter,
        expected,
        plan: &plan,
        caller,
        order: request.order,
        page: request.page,
        total: request.total,
        managers: shows("AccessList"),
        deadline: Some(call.deadline),
        has_manager_index: portal.has_manager_index,
        types: &lists.types,
    };
    let Listed { contacts, covered, more, total, total_is_lower_bound, wasteful } =
        reads.list_contacts(&listing).await.map_err(Failure::from_listing)?;

    // Users whose names are not cached cost a fourth round trip.
    let mut shown = HashSet::new();
    for (record, state) in &contacts {
        shown.extend(record.create_by.filter(|_| shows("CreateBy")));
        if listing.managers && state.access.share.is_private() {
            shown.extend(&state.access.managers);
        }
    }
    let users = reads.named(names, shown).await?;
    let entries = Entries { stages: lists.stages, types: lists.types, users };
    let contacts = contacts.into_iter().map(|(record, state)| Contact::new(record, &state.access, &entries, &caller));
    let page = ListPage { start_index: request.page.start_index, covered, more, total };
    let fields = request.fields.as_ref();
    let answer = match entry {
        Entry::Contact => Answer::contacts(&call.format, contacts, page, fields)?,
        Entry::Simple => {
            let entries = contacts.map(|contact| SimpleEntry { contact, fields });
            Answer::list(&call.format, entries, page)?
        }
    };
    if let Some(manager) = wasteful {
        reads.request_compaction(manager).await;
    }
    if total.is_some() && total_is_lower_bound { Ok(answer.with_lower_bound()) } else { Ok(answer) }
}
