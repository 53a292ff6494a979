//! `GET /api/2.0/crm/contact/status`, `/type` and `/tag`: lists the stages, types and tags that a filter can use.

use api::{Answer, Auth, Call, Endpoint, Failure};
use futures::FutureExt as _;
use models::filter::listing::{ListChoice, TagChoice};
use models::request::{Page, queries};

use crate::reading;

/// Lists the stages, which ONLYOFFICE's paths call statuses.
pub(crate) const STAGES: Endpoint = reading("/api/2.0/crm/contact/status", Auth::Read(|call| stages(call).boxed()));

/// Lists the types.
pub(crate) const TYPES: Endpoint = reading("/api/2.0/crm/contact/type", Auth::Read(|call| types(call).boxed()));

/// Lists the tags.
pub(crate) const TAGS: Endpoint = reading("/api/2.0/crm/contact/tag", Auth::Read(|call| tags(call).boxed()));

async fn stages(call: Call<'_>) -> Result<Answer, Failure> {
    let page = page(&call)?;
    let (caller, stages) = call.caller_and(call.reads().stage_choices()).await?;
    let choices = stages.into_iter().map(|(item, contacts)| ListChoice::new(item, contacts, &caller));
    Answer::page_of(&call.format, choices, page)
}

async fn types(call: Call<'_>) -> Result<Answer, Failure> {
    let page = page(&call)?;
    let (caller, types) = call.caller_and(call.reads().type_choices()).await?;
    let choices = types.into_iter().map(|(item, contacts)| ListChoice::new(item, contacts, &caller));
    Answer::page_of(&call.format, choices, page)
}

async fn tags(call: Call<'_>) -> Result<Answer, Failure> {
    let page = page(&call)?;
    let (caller, tags) = call.caller_and(call.reads().tag_choices()).await?;
    let choices = tags
        .into_iter()
        .map(|(title, contacts)| TagChoice { title, relative_items_count: caller.is_admin.then_some(contacts) });
    Answer::page_of(&call.format, choices, page)
}

fn page(call: &Call<'_>) -> Result<Page, Failure> {
    let mut query = call.query(queries::PAGE);
    let page = query.page();
    query.finish()?;
    Ok(page)
}
