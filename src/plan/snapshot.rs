//! How deleted records are found by complete readings of the list: `deletes.snapshot` → [`SnapshotPlan`].

use url::Url;

use super::placeholders::Placeholders;
use super::problems::{Problems, field, invalid, span};
use super::{ConfirmPlan, RequestPlan, SnapshotPlan, request};
use crate::api::conditions::Problem;
use crate::api::resource::{Confirm, Deletes, Resource, Snapshot};

/// Deletions that are never too many to be sent.
const MAX_COUNT: i32 = 10;
/// In percent of the known records.
const MAX_PERCENT: i32 = 20;
/// Statuses that say that a record is deleted.
const GONE: [i32; 2] = [404, 410];
/// Where the id goes in the URL of one record.
const ID: &str = "${id}";

/// `None` where deletions are found otherwise, or not at all.
///
/// # Errors
/// Bounds, durations and URLs that cannot be.
pub(super) fn plan(
    base: &Url,
    resource: &Resource,
    list: &RequestPlan,
    placeholders: &mut Placeholders,
) -> Result<Option<SnapshotPlan>, Vec<Problem>> {
    let Some(Deletes::Snapshot(Snapshot { interval, max_count, max_percent, confirm })) = &resource.deletes else {
        return Ok(None);
    };
    let at = |part: &str| field(&resource.name, &format!("deletes.snapshot.{part}"));
    let mut problems = Problems::default();
    let interval =
        interval.as_deref().and_then(|text| problems.keep(span(&at("interval"), Some(text), std::time::Duration::ZERO)));
    let max_count = problems.keep(bounded(&at("maxCount"), max_count.unwrap_or(MAX_COUNT), 1_000_000));
    let max_percent = problems.keep(bounded(&at("maxPercent"), max_percent.unwrap_or(MAX_PERCENT), 100));
    let confirm =
        confirm.as_ref().and_then(|confirm| problems.keep(self::confirm(base, resource, confirm, list, placeholders)));
    match (max_count, max_percent, problems.0.is_empty()) {
        (Some(max_count), Some(max_percent), true) => Ok(Some(SnapshotPlan { interval, max_count, max_percent, confirm })),
        _ => Err(problems.0),
    }
}

fn bounded(field: &str, value: i32, most: u32) -> Result<u64, Problem> {
    let value = u32::try_from(value).ok().filter(|value| *value <= most);
    value.map(u64::from).ok_or_else(|| invalid(format!("{field} must be between 0 and {most}")))
}

fn confirm(
    base: &Url,
    resource: &Resource,
    confirm: &Confirm,
    list: &RequestPlan,
    placeholders: &mut Placeholders,
) -> Result<ConfirmPlan, Problem> {
    let at = field(&resource.name, "deletes.snapshot.confirm.url");
    let url = request::absolute(base, &at, &confirm.url, placeholders)?;
    let parts: Vec<Box<str>> = url.split(ID).map(Into::into).collect();
    if parts.len() < 2 || parts.iter().any(|part| part.contains("${")) {
        return Err(invalid(format!("{at} must contain {ID}, and no other macro, as in /contacts/{ID}")));
    }
    let is_url = Url::parse(&parts.join("1")).is_ok_and(|url| url.origin() == base.origin());
    if !is_url || parts.first().is_some_and(|first| !Url::parse(first).is_ok_and(|url| url.origin() == base.origin())) {
        return Err(invalid(format!("{at} must be a path under baseUrl with {ID} behind the host, as in /contacts/{ID}")));
    }
    let gone = if confirm.gone_status.is_empty() { &GONE[..] } else { &confirm.gone_status };
    let gone = gone.iter().map(|status| match status {
        403 | 404 | 410 => Ok(status.unsigned_abs() as u16),
        _ => Err(invalid(format!(
            "{} must be of 404, 410 and 403",
            field(&resource.name, "deletes.snapshot.confirm.goneStatus")
        ))),
    });
    Ok(ConfirmPlan { url: parts, headers: list.headers.clone(), gone: gone.collect::<Result<_, _>>()? })
}
