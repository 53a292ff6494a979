//! `GET /api/2.0/crm/contact/status`, `/type` and `/tag`: lists the stages, types and tags that a filter can use.

use api::answer::ListPage;
use api::{Answer, Auth, Call, Endpoint, Failure};
use futures::FutureExt as _;
use models::directory::Scope;
use models::filter::listing::{ListChoice, TagChoice};
use models::request::{Page, queries};
use serde::Serialize;

use crate::reading;

/// Lists the stages, which ONLYOFFICE's paths call statuses.
pub(crate) const STAGES: Endpoint =
    reading("/api/2.0/crm/contact/status", Auth::Token(Scope::Read, |call| stages(call).boxed()));

/// Lists the types.
pub(crate) const TYPES: Endpoint =
    reading("/api/2.0/crm/contact/type", Auth::Token(Scope::Read, |call| types(call).boxed()));

/// Lists the tags.
pub(crate) const TAGS: Endpoint =
    reading("/api/2.0/crm/contact/tag", Auth::Token(Scope::Read, |call| tags(call).boxed()));

async fn stages(call: Call<'_>) -> Result<Answer, Failure> {
    let page = page(&call)?;
    let stages = async { Ok(call.app.store.stage_choices(&call.grant.portal).await?) };
    let (caller, stages) = futures::try_join!(call.caller(), stages)?;
    answer(&call, page, stages.into_iter().map(|(item, contacts)| ListChoice::new(item, contacts, &caller)))
}

async fn types(call: Call<'_>) -> Result<Answer, Failure> {
    let page = page(&call)?;
    let types = async { Ok(call.app.store.type_choices(&call.grant.portal).await?) };
    let (caller, types) = futures::try_join!(call.caller(), types)?;
    answer(&call, page, types.into_iter().map(|(item, contacts)| ListChoice::new(item, contacts, &caller)))
}

async fn tags(call: Call<'_>) -> Result<Answer, Failure> {
    let page = page(&call)?;
    let tags = async { Ok(call.app.store.tag_choices(&call.grant.portal).await?) };
    let (caller, tags) = futures::try_join!(call.caller(), tags)?;
    let shown = tags
        .into_iter()
        .map(|(title, contacts)| TagChoice { title, relative_items_count: caller.is_admin.then_some(contacts) });
    answer(&call, page, shown)
}

fn page(call: &Call<'_>) -> Result<Page, Failure> {
    let mut query = call.query(queries::PAGE);
    let page = query.page();
    query.finish()?;
    Ok(page)
}

fn answer<T: Serialize>(
    call: &Call<'_>,
    page: Page,
    choices: impl ExactSizeIterator<Item = T>,
) -> Result<Answer, Failure> {
    let total = choices.len();
    let shown = total.saturating_sub(page.start_index).min(page.count);
    let end = ListPage::counted(page.start_index, shown, total as u64);
    Answer::list(&call.wanted, choices.skip(page.start_index).take(page.count), end)
}
