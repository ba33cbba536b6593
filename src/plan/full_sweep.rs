//! Complete readings of a list that is polled by date: checks what `fullSweep` needs. Pure.

use std::time::Duration;

use super::problems::{field, invalid, span};
use super::{ChangeBy, RequestPlan};
use crate::api::conditions::Problem;
use crate::api::deletes::Deletes;
use crate::api::resource::{Pagination, Resource};

/// Time between two complete readings.
const INTERVAL: Duration = Duration::from_hours(24);

/// The time between two complete readings; `None` where none are wanted.
///
/// # Errors
/// Lists that are read whole anyway, or cannot be.
pub(super) fn plan(
    resource: &Resource,
    request: Option<&RequestPlan>,
    change_by: Option<ChangeBy>,
) -> Result<Option<Duration>, Problem> {
    let Some(sweep) = &resource.full_sweep else { return Ok(None) };
    let at = |part: &str| field(&resource.name, part);
    let refused = |why: &str| Err(invalid(format!("{} {why}", at("fullSweep"))));
    if resource.feed.is_some() || resource.delta.is_some() {
        return refused("has no meaning with feed or delta, since those lists show what changed; remove it");
    }
    if matches!(resource.pagination, Some(Pagination::Keyset(_))) {
        return refused(
            "needs a list that can be read from its beginning to its end, and with pagination.keyset it is read by date; remove one of the two",
        );
    }
    if matches!(resource.deletes, Some(Deletes::Snapshot(_))) {
        return refused("has no meaning with deletes.snapshot, which reads the whole list; set compareContent: true instead");
    }
    if resource.compare_content == Some(false) {
        return refused("compares content, and compareContent is false; remove one of the two");
    }
    let is_asked_by_date = request.is_none_or(RequestPlan::uses_since) && change_by != Some(ChangeBy::Content);
    if !is_asked_by_date {
        return refused(
            "needs a date in datesConfiguration and a macro of the cursor such as ${since} in the request; without them every poll reads the whole list, and compareContent: true is enough",
        );
    }
    span(&at("fullSweep.interval"), sweep.interval.as_deref(), INTERVAL).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::instance::ConnectorInstance;
    use crate::plan::{print, resolve};

    fn planned(members: &str) -> Result<(Option<Duration>, bool, String), String> {
        let spec = format!(
            "
baseUrl: https://api.example.com
callback: {{url: 'https://h.example/in'}}
resources:
- {{name: contacts, url: /contacts, {members}}}
"
        );
        let plan = resolve(&ConnectorInstance::new("shop", serde_saphyr::from_str(&spec).unwrap()), None);
        let plan = plan.map_err(|problems| problems[0].message.clone())?;
        let printed: serde_json::Value = serde_saphyr::from_str(&print(&plan)).unwrap();
        let resource = &plan.resources[0];
        let printed = printed["resources"][0]["fullSweep"].as_str().unwrap_or_default().to_owned();
        Ok((resource.full_sweep, resource.compare_content, printed))
    }

    const DATED: &str = "query: {since: '${since}'}, datesConfiguration: {updatedDateField: at}";

    #[test]
    fn content_is_compared_and_once_a_day_is_the_default() {
        assert_eq!(planned(DATED), Ok((None, false, String::new())));
        assert_eq!(
            planned(&format!("{DATED}, fullSweep: {{}}")),
            Ok((Some(INTERVAL), true, "every 24h, by content".to_owned()))
        );
        let (interval, ..) = planned(&format!("{DATED}, fullSweep: {{interval: 1h}}")).unwrap();
        assert_eq!(interval, Some(Duration::from_hours(1)));
    }

    #[test]
    fn what_is_read_whole_anyway_or_cannot_be_is_refused() {
        for (members, says) in [
            ("datesConfiguration: {updatedDateField: at}", "needs a date"),
            ("query: {since: '${since}'}", "needs a date"),
            (&format!("{DATED}, deletes: {{snapshot: {{}}}}"), "deletes.snapshot"),
            (&format!("{DATED}, compareContent: false"), "compareContent is false"),
            (&format!("{DATED}, order: Ascending, pageSize: 10, pagination: {{keyset: {{}}}}"), "pagination.keyset"),
            ("query: {t: '${cursor}'}, delta: {token: {field: t}}", "feed or delta"),
        ] {
            let problem = planned(&format!("{members}, fullSweep: {{}}")).unwrap_err();
            assert!(problem.starts_with("spec.resources[contacts].fullSweep ") && problem.contains(says), "{problem}");
        }
    }
}
