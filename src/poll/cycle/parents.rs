//! Reads the list of the parents for which the lists of a resource are polled, to its end.

use std::sync::Arc;

use chrono::Utc;

use crate::api::conditions::{Problem, Reason};
use crate::auth::access::Access;
use crate::detect::parents::{MAX_PARENTS, Parents, TooManyParents};
use crate::fetch::listing::{PageReader, Step};
use crate::plan::ResourcePlan;
use crate::plan::for_each::ParentsPlan;
use crate::poll::context::EngineContext;
use crate::poll::instance::Instance;
use crate::poll::page_retries::PageRetries;
use crate::poll::pages::{Direction, Pages};
use crate::poll::schedule;

/// The parents that a list showed.
pub(super) struct Found {
    pub(super) values: Vec<Arc<str>>,
    /// Why some records are not polled for.
    pub(super) unusable: Option<Problem>,
    /// A response had a list, even an empty one.
    pub(super) has_list: bool,
}

/// Passes over a list of several pages that is read for the first time. A parent that slips by in all of them comes up as new, with
/// everything in its list.
pub(super) const FIRST_PASSES: u32 = 8;

/// Reads them, in at most `passes` passes: further ones until none shows another parent. `None` when the poll was stopped.
///
/// # Errors
/// The list cannot be read to its end.
pub(super) async fn read(
    core: &EngineContext,
    instance: &Arc<Instance>,
    plan: &ParentsPlan,
    passes: u32,
) -> Result<Option<Found>, Problem> {
    let Some(list) = plan.list.as_deref() else {
        let text = format!("forEach.resource: {} has no plan; please report this with the manifest", plan.name);
        return Err(Problem::human(Reason::InternalError, text));
    };
    gather(core, instance, (plan, list), passes).await.map_err(|problem| of_parents(plan, problem))
}

/// The same, of the list of the parents.
pub(super) fn of_parents(plan: &ParentsPlan, problem: Problem) -> Problem {
    let message = format!("forEach.resource: the list of {} could not be read: {}", plan.name, problem.message);
    Problem { message, ..problem }
}

async fn gather(
    core: &EngineContext,
    instance: &Arc<Instance>,
    (plan, list): (&ParentsPlan, &ResourcePlan),
    passes: u32,
) -> Result<Option<Found>, Problem> {
    let access = Access::prepare(instance.requester(core), "spec.auth", &list.auth).await?;
    let mut access = access.with_tls(list.tls.as_deref())?;
    let known_path = instance.state().resources.get(&*list.name).and_then(|own| own.records_path.clone());
    let key = &instance.plan.instance;
    let seed = schedule::seed(&instance.state().uid, &list.name);
    let mut parents = Parents::new(list, plan.field.as_ref());
    let mut has_list = false;
    for pass in 1..=passes {
        let before = parents.len();
        let auth = access.auth();
        let listing =
            PageReader::new(&core.asker, key, list, &auth, None, Utc::now(), None).with_records_path(known_path.as_deref());
        let retries = PageRetries::new(list.request.method.clone(), 0, seed);
        let mut pages = Pages::new(listing, Direction::Forward, retries);
        loop {
            let step = tokio::select! {
                biased;
                () = instance.stop.cancelled() => return Ok(None),
                step = pages.next(&mut access) => step?,
            };
            match step {
                Step::Page(page) => {
                    let read = core.asker.cpu.work(key, page.body_len(), || parents.page(page.records())).await;
                    read.map_err(|TooManyParents| {
                        let text = format!("it has more than {MAX_PARENTS} records to poll for; set filter in {}", plan.name);
                        Problem::human(Reason::ResponseTooLarge, text)
                    })?;
                }
                Step::NotModified | Step::TokenExpired | Step::BeginAgain | Step::End => break,
            }
        }
        has_list |= pages.listing.has_list();
        if pages.listing.pages() <= 1 || (pass > 1 && parents.len() == before) {
            break;
        }
    }
    let (values, unusable) = parents.end();
    let unusable = (unusable > 0).then(|| {
        let text = format!(
            "forEach.field: some records of {} have no value that can be polled for; set it to a path that each of them has",
            plan.name
        );
        Problem::human(Reason::MissingId, text)
    });
    Ok(Some(Found { values, unusable, has_list }))
}
