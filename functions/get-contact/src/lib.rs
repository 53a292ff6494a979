//! `GET /api/2.0/crm/contact/{contactid}` and its `/access`: shows a contact, and its access list.

use api::answer::ListPage;
use api::contacts::{Visible, shown_beside, visible};
use api::endpoint::{Conditions, Dialect, Payload};
use api::{Answer, Auth, Call, Endpoint, Failure};
use futures::FutureExt as _;
use models::contact::Contact;
use models::directory::Scope;
use models::request::queries;

/// The Lambda function of the endpoints.
const FUNCTION: &str = "get-contact";

/// Shows one contact.
const SHOW: Endpoint = Endpoint {
    function: FUNCTION,
    method: "GET",
    path: "/api/2.0/crm/contact/{contactid}",
    payload: Payload::None,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::None,
    auth: Auth::Token(Scope::Read, |call| show(call).boxed()),
};

/// Lists the users on a contact's access list.
const ACCESS: Endpoint = Endpoint {
    function: FUNCTION,
    method: "GET",
    path: "/api/2.0/crm/contact/{contactid}/access",
    payload: Payload::None,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::None,
    auth: Auth::Token(Scope::Read, |call| access(call).boxed()),
};

/// Every endpoint of the function.
pub const ENDPOINTS: &[Endpoint] = &[SHOW, ACCESS];

async fn show(call: Call<'_>) -> Result<Answer, Failure> {
    let id = call.contact_id()?;
    let mut query = call.query(queries::SHOW_CONTACT);
    let fields = query.fields();
    query.finish()?;
    let Visible { caller, record, state, users } = visible(&call, id).await?;
    let entries = shown_beside(&call, &record, &state.access, users).await?;
    let shown = Contact::new(record, &state.access, &entries, &caller);
    Ok(Answer::contact(&call.wanted, &shown, fields.as_ref())?.with_revision(state.revision))
}

/// Shows the access list as in the contact: empty while the contact is shared.
async fn access(call: Call<'_>) -> Result<Answer, Failure> {
    let id = call.contact_id()?;
    call.query(queries::NONE).finish()?;
    let Visible { caller, record, state, users } = visible(&call, id).await?;
    let entries = shown_beside(&call, &record, &state.access, users).await?;
    let listed = Contact::new(record, &state.access, &entries, &caller).access_list;
    let page = ListPage::counted(0, listed.len(), listed.len() as u64);
    Ok(Answer::list(&call.wanted, listed, page)?.with_revision(state.revision))
}
