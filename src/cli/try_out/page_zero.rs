//! What a trial shows of page numbers: whether there is a page before the one with which a poll begins.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::first_page;
use crate::api::conditions::Problem;
use crate::api::identity::InstanceRef;
use crate::auth::RequestAuth;
use crate::detect::record::RecordReader;
use crate::fetch::asker::Asker;
use crate::fetch::page::Page;
use crate::observe::output;
use crate::plan::{PaginationPlan, ResourcePlan};

/// Asks for page 0, where a poll begins with page 1. Many providers answer it with page 1 or an error; one that counts from 0 and says
/// nothing of it in its responses has other records there.
pub(super) async fn prove(
    asker: &Asker,
    instance: &InstanceRef,
    resource: &ResourcePlan,
    auth: &RequestAuth,
    since: Option<DateTime<Utc>>,
) -> Result<(), Problem> {
    let PaginationPlan::Page { parameter, first: None | Some(1), size_parameter } = &resource.pagination else { return Ok(()) };
    let at = Utc::now();
    let Some(one) = first_page(asker, instance, resource, auth, (since, at)).await? else { return Ok(()) };
    let (parameter, size_parameter) = (parameter.clone(), size_parameter.clone());
    let pagination = PaginationPlan::Page { parameter, first: Some(0), size_parameter };
    let from_zero = ResourcePlan { pagination, ..resource.clone() };
    // A provider that has no page 0 may refuse it.
    let Ok(Some(zero)) = first_page(asker, instance, &from_zero, auth, (since, at)).await else { return Ok(()) };
    let ids = |page: &Page| -> HashSet<String> {
        let reader = RecordReader::new(&resource.extract);
        page.records().filter_map(|record| Some(reader.read(record.json, record.key).ok()?.id.into_owned())).collect()
    };
    let (zero, one) = (ids(&zero), ids(&one));
    if !zero.is_empty() && zero.is_disjoint(&one) {
        output::line(format_args!(
            "  warning:      page 0 has records that page 1 does not have, and a poll begins with page 1; set pagination.page.first to 0"
        ));
    }
    Ok(())
}
