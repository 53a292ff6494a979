//! The list of jobs, with its conditions.

use api::answer::{ListAnswer, ListEnd, ListPage, Pushed};
use api::endpoint::{Conditions, Dialect, Payload};
use api::{Answer, Auth, Call, Endpoint, Failure};
use futures::FutureExt as _;
use futures::stream::{self, StreamExt as _};
use models::access::Caller;
use models::job::selection::JobFilter;
use models::job::{Job, JobId, ShardSummary};
use models::limits::{MAX_EXAMINED_JOBS, MAX_JOBS_START_INDEX};
use models::request::{JobsPage, JobsStart, queries};
use models::values::id::UserId;
use store::jobs::list::{JobReader, ListedJob};

use crate::FUNCTION;

/// The number of jobs whose progress is read concurrently.
const SUMMARIES_AT_ONCE: usize = 8;

/// The number of jobs that a filtered list reads at once.
const EXAMINED_AT_ONCE: usize = 100;

/// Lists the jobs that the caller may see, newest first.
pub(crate) const LIST: Endpoint = Endpoint {
    function: FUNCTION,
    method: "GET",
    path: "/api/2.0/crm/access/jobs",
    payload: Payload::None,
    dialect: Dialect::OnlyOffice,
    conditions: Conditions::None,
    auth: Auth::Read(|call| list(call).boxed()),
};

async fn list(call: Call<'_>) -> Result<Answer, Failure> {
    let mut query = call.query(queries::LIST_JOBS);
    let (page, filter) = (query.jobs_page(), query.job_filter());
    query.finish()?;
    let filter = filter.resolve(&call.zone().await?)?;
    let caller = call.caller().await?;
    if filter.is_empty() {
        let reader = call.reads().jobs(own_list(&caller, None), page.start).await?;
        return all(&call, &caller, page, reader).await;
    }
    let is_hidden = !caller.is_admin && filter.user.is_some_and(|user| user != caller.user);
    if page.count == 0 || is_hidden {
        return ListAnswer::new(&call.format, None).finish(&end_of(page, 0, false));
    }
    // With conditions, `startIndex` counts matches. So the list reads from the newest job and skips matches.
    let start = match (page.start, filter.before()) {
        (JobsStart::Before(job), Some(end)) => JobsStart::Before(job.min(end)),
        (JobsStart::Index(_), Some(end)) => JobsStart::Before(end),
        (JobsStart::Before(job), None) => JobsStart::Before(job),
        (JobsStart::Index(_), None) => JobsStart::Index(0),
    };
    let reader = match filter.contact {
        Some(contact) => call.reads().jobs_of_contact(contact, start).await?,
        None => call.reads().jobs(own_list(&caller, filter.user), start).await?,
    };
    filtered(&call, &caller, page, &filter, reader).await
}

/// Returns the user whose own list holds all jobs that the caller asks for; none for the list of the portal.
fn own_list(caller: &Caller, user: Option<UserId>) -> Option<UserId> {
    if caller.is_admin { user } else { Some(caller.user) }
}

/// Lists every job of the reader.
async fn all(call: &Call<'_>, caller: &Caller, page: JobsPage, mut reader: JobReader<'_>) -> Result<Answer, Failure> {
    let mut list = ListAnswer::new(&call.format, None);
    let (mut covered, mut last, mut more) = (0, None, false);
    while covered < page.count && !more {
        // Read one job more than the page needs, to know whether a next page exists.
        let room = page.count - covered;
        let mut listed = reader.next(room.saturating_add(1)).await?;
        if listed.is_empty() {
            break;
        }
        more = listed.len() > room || (listed.len() == room && reader.may_have_more());
        listed.truncate(room);
        let listed = listed.into_iter().map(|job| with_shards(call, job).boxed()).collect::<Vec<_>>();
        let mut listed = stream::iter(listed).buffered(SUMMARIES_AT_ONCE);
        while let Some(job) = listed.next().await {
            let (id, job, shards) = job?;
            if let Some(job) = job
                && list.push(&job.view(&shards, call.now, caller))? == Pushed::Full
            {
                more = true;
                break;
            }
            (covered, last) = (covered + 1, Some(id));
        }
    }
    list.finish(&ListEnd { next_before: last.filter(|_| more), ..end_of(page, covered, more) })
}

/// Returns the end of a list whose page has `covered` jobs. Has a next index if the page is given by an index, `more`
/// jobs follow, and the next index is not above the maximum: then only `before` leads to the next page.
fn end_of(page: JobsPage, covered: usize, more: bool) -> ListEnd {
    let end = match page.start {
        JobsStart::Index(start_index) => ListPage { start_index, covered, more, total: None }.end(),
        JobsStart::Before(_) => ListEnd::default(),
    };
    ListEnd { next_index: end.next_index.filter(|next| *next <= MAX_JOBS_START_INDEX as u64), ..end }
}

/// Reads the progress of a listed job: 1 read unit for a running job.
async fn with_shards(call: &Call<'_>, listed: ListedJob) -> Result<(JobId, Option<Job>, Vec<ShardSummary>), Failure> {
    let shards = match &listed.job {
        Some(job) => call.reads().summaries(job).await?,
        None => Vec::new(),
    };
    Ok((listed.id, listed.job, shards))
}

/// Lists the jobs of the reader that the filter selects. Examines at most [`MAX_EXAMINED_JOBS`] jobs, so that the cost
/// of a page is bounded; the next page continues after the last examined job.
async fn filtered(
    call: &Call<'_>,
    caller: &Caller,
    page: JobsPage,
    filter: &JobFilter,
    mut reader: JobReader<'_>,
) -> Result<Answer, Failure> {
    let mut list = ListAnswer::new(&call.format, None);
    let mut to_skip = match page.start {
        JobsStart::Index(index) => index,
        JobsStart::Before(_) => 0,
    };
    let (mut covered, mut examined, mut last, mut more, mut is_full) = (0, 0, None, false, false);
    'page: loop {
        let room = EXAMINED_AT_ONCE.min(MAX_EXAMINED_JOBS - examined);
        if room == 0 {
            more = reader.may_have_more();
            break;
        }
        let listed = reader.next(room).await?;
        if listed.is_empty() {
            break;
        }
        for ListedJob { id, job } in listed {
            if filter.is_before(id) {
                break 'page;
            }
            let is_hidden = job.as_ref().is_some_and(|job| !job.is_visible_to(caller));
            if let Some(job) = job.filter(|job| filter.selects(job) && !is_hidden) {
                if to_skip > 0 {
                    to_skip -= 1;
                } else {
                    let shards = call.reads().summaries(&job).await?;
                    if covered == page.count || list.push(&job.view(&shards, call.now, caller))? == Pushed::Full {
                        (more, is_full) = (true, true);
                        break 'page;
                    }
                    covered += 1;
                }
            }
            examined += 1;
            // The key of the next page names no job that the caller may not see.
            if !is_hidden {
                last = Some(id);
            }
        }
    }
    // A next index leads to further jobs only if the page is full: otherwise the list has examined the maximum of jobs,
    // and the next page would examine the same jobs again.
    list.finish(&ListEnd { next_before: last.filter(|_| more), ..end_of(page, covered, is_full) })
}
