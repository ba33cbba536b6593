//! What a trial shows of a resource that is polled once for each of several values.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{count, first_page, try_list};
use crate::api::conditions::Problem;
use crate::api::identity::{InstanceId, InstanceRef};
use crate::api::visible::one_line;
use crate::auth::RequestAuth;
use crate::auth::oauth2::credentials::Credentials;
use crate::detect::parents::{Parents, TooManyParents};
use crate::fetch::asker::Asker;
use crate::observe::output;
use crate::plan::for_each::{ForEachPlan, ParentsPlan};
use crate::plan::{PollPlan, ResourcePlan};

/// Lists that are tried: enough to prove that they differ.
const TRIED: usize = 3;

/// Tries the lists of a resource, up to the first that fails.
pub(super) async fn try_lists(
    asker: &Asker,
    credentials: &Credentials,
    plan: &PollPlan,
    resource: &Arc<ResourcePlan>,
    since: Option<DateTime<Utc>>,
) -> Result<(), Problem> {
    // A folder knows an instance by its name alone.
    let user = InstanceId::new(plan.instance.clone(), "");
    let auth = credentials.authorize_once(resource, &user).await?;
    for list in lists(asker, &plan.instance, resource, &auth).await? {
        if list.list_of.is_some() {
            output::line(format_args!("{}, list {}", plan.instance, one_line(&list.name)));
        }
        try_list(asker, plan, &list, &auth, since).await?;
    }
    Ok(())
}

/// The lists of a resource that are tried; the resource itself if it has one.
async fn lists(
    asker: &Asker,
    instance: &InstanceRef,
    resource: &Arc<ResourcePlan>,
    auth: &RequestAuth,
) -> Result<Vec<Arc<ResourcePlan>>, Problem> {
    let (values, more) = match resource.for_each.as_deref() {
        None => return Ok(vec![Arc::clone(resource)]),
        Some(ForEachPlan::Values(values)) => (values.clone(), ""),
        Some(ForEachPlan::Records(parents)) => {
            (first_parents(asker, instance, parents, auth).await?, " of the first page of parents")
        }
    };
    let all = values.len() as u64;
    output::line(format_args!(
        "  forEach:      {} of {}{more} are tried; a poll sends at least {}",
        TRIED.min(values.len()),
        count(all, "list"),
        count(all, "request")
    ));
    Ok(values.iter().take(TRIED).map(|value| Arc::new(resource.for_value(value))).collect())
}

async fn first_parents(
    asker: &Asker,
    instance: &InstanceRef,
    plan: &ParentsPlan,
    auth: &RequestAuth,
) -> Result<Vec<Arc<str>>, Problem> {
    let Some(list) = plan.list.as_deref() else { return Ok(Vec::new()) };
    let Some(page) = first_page(asker, instance, list, auth, (None, Utc::now())).await? else { return Ok(Vec::new()) };
    let mut parents = Parents::new(list, plan.field.as_ref());
    // Of more than can be polled for, the first are tried.
    let (Ok(()) | Err(TooManyParents)) = parents.page(page.records());
    let (values, unusable) = parents.end();
    if unusable > 0 {
        output::line(format_args!(
            "  warning:      {} of {} have no value at forEach.field that can be polled for",
            count(unusable, "record"),
            plan.name
        ));
    }
    Ok(values)
}
