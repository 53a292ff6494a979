//! `GET /api/2.0/crm/contact/{contactid}` and its `/access`: shows a contact, its access list, the changes of its
//! access, and the reasons for a user's rights.

mod history;

use api::answer::ListPage;
use api::endpoint::{Conditions, Dialect, Payload};
use api::show::{VisibleContact, entries_of_contact, visible_contact};
use api::{Answer, Auth, Call, Endpoint, Failure};
use futures::FutureExt as _;
use models::contact::Contact;
use models::request::queries;

/// The Lambda function of the endpoints.
const FUNCTION: &str = "get-contact";

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

/// Shows one contact.
const SHOW: Endpoint = reading("/api/2.0/crm/contact/{contactid}", Auth::Read(|call| show_contact(call).boxed()));

/// Lists the users on a contact's access list.
const ACCESS: Endpoint = reading("/api/2.0/crm/contact/{contactid}/access", Auth::Read(|call| access(call).boxed()));

/// Every endpoint of the function.
pub const ENDPOINTS: &[Endpoint] = &[SHOW, ACCESS, history::WHY, history::HISTORY];

async fn show_contact(call: Call<'_>) -> Result<Answer, Failure> {
    let id = call.contact_id()?;
    let mut query = call.query(queries::SHOW_CONTACT);
    let fields = query.fields();
    query.finish()?;
    let VisibleContact { caller, record, state, users } = visible_contact(&call, id).await?;
    let entries = entries_of_contact(&call, &record, &state.access, users).await?;
    let shown = Contact::new(record, &state.access, &entries, &caller);
    Ok(Answer::contact(&call.format, &shown, fields.as_ref())?.with_revision(state.job()))
}

/// Shows the access list of a contact, which is empty while the contact is shared.
async fn access(call: Call<'_>) -> Result<Answer, Failure> {
    let id = call.contact_id()?;
    call.query(queries::NONE).finish()?;
    let VisibleContact { caller, record, state, users } = visible_contact(&call, id).await?;
    let entries = entries_of_contact(&call, &record, &state.access, users).await?;
    let listed = Contact::new(record, &state.access, &entries, &caller).access_list;
    let page = ListPage::counted(0, listed.len(), listed.len() as u64);
    Ok(Answer::list(&call.format, listed, page)?.with_revision(state.job()))
}
