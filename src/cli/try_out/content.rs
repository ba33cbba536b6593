//! What a trial shows of content that differs at every look.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::first_page;
use crate::api::conditions::Problem;
use crate::api::identity::InstanceRef;
use crate::api::visible::one_line;
use crate::auth::RequestAuth;
use crate::detect::changes;
use crate::detect::record::{Record, RecordReader};
use crate::detect::volatile::VolatileRecords;
use crate::fetch::asker::Asker;
use crate::observe::output;
use crate::plan::ResourcePlan;

/// How many fields of the first record are compared one by one, so that events can name them.
pub(super) async fn show_fields(
    asker: &Asker,
    instance: &InstanceRef,
    resource: &ResourcePlan,
    auth: &RequestAuth,
    since: Option<DateTime<Utc>>,
) -> Result<(), Problem> {
    let Some(plan) = resource.changes else { return Ok(()) };
    let Some(page) = first_page(asker, instance, resource, auth, (since, Utc::now())).await? else { return Ok(()) };
    let Some(record) = page.records().next() else { return Ok(()) };
    let (names, most) = (changes::names(record.json, &resource.extract.ignored), plan.max_fields);
    let verdict = match names.get(most) {
        None => format!("all {} fields of the first record are compared", names.len()),
        Some(first) => format!(
            "{most} of {} fields of the first record are compared; those from {} on by name count as one; raise changes.maxFields, or add \
             fields to ignoreFields",
            names.len(),
            one_line(first)
        ),
    };
    output::line(format_args!("  changes:      {verdict}"));
    Ok(())
}

/// Where content counts, members that differ at every look make every record a changed one at every poll: two requests in a row show them.
pub(super) async fn prove(
    asker: &Asker,
    instance: &InstanceRef,
    resource: &ResourcePlan,
    auth: &RequestAuth,
    since: Option<DateTime<Utc>>,
) -> Result<(), Problem> {
    let at = Utc::now();
    let page = async || first_page(asker, instance, resource, auth, (since, at)).await;
    let (Some(first), Some(second)) = (page().await?, page().await?) else { return Ok(()) };
    let reader = RecordReader::new(&resource.extract);
    let read = |record: Record<'_>| {
        let view = reader.read(record.json, record.key).ok()?;
        Some((view.version_date(), view.id.into_owned()))
    };
    let before: HashMap<_, _> = first.records().filter_map(|record| Some((read(record)?, record.json))).collect();
    let pairs: Vec<_> = second.records().filter_map(|record| Some((*before.get(&read(record)?)?, record.json))).collect();
    let verdict = match VolatileRecords::between(pairs.iter().copied(), &resource.extract.ignored) {
        _ if pairs.is_empty() => return Ok(()),
        Some(found) => format!(
            "differs between two requests because of {found}; add the paths that say nothing about a change to ignoreFields"
        ),
        None => "is the same in two requests".to_owned(),
    };
    output::line(format_args!("  content:      {verdict}"));
    Ok(())
}
