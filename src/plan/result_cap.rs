//! Lists of which the provider shows no more than a number of records: checks what `resultCap` needs. Pure.

use super::problems::{field, invalid};
use super::{ChangeBy, RequestPlan};
use crate::api::conditions::Problem;
use crate::api::resource::{Pagination, Resource};

/// Bounds of the field.
const RANGE: std::ops::RangeInclusive<i32> = 10..=1_000_000;

/// How many records one request shows at most with all its pages; `None`: all that there are.
///
/// # Errors
/// Lists that cannot be read in parts.
pub(super) fn plan(
    resource: &Resource,
    request: Option<&RequestPlan>,
    change_by: Option<ChangeBy>,
) -> Result<Option<u32>, Problem> {
    let Some(cap) = resource.result_cap else { return Ok(None) };
    let refused = |why: &str| Err(invalid(format!("{} {why}", field(&resource.name, "resultCap"))));
    if !RANGE.contains(&cap) {
        return refused("must be between 10 and 1000000");
    }
    if resource.delta.is_some() {
        return refused("has no meaning with delta, whose lists continue by token; remove it");
    }
    match resource.pagination {
        Some(Pagination::Keyset(_)) => {
            return refused("has no meaning with pagination.keyset, which requests first pages only; remove it");
        }
        Some(Pagination::LastId(_)) => {
            return refused(
                "has no meaning with pagination.lastId: each page is a list of its own, which no cap ends; remove it, or set another pagination",
            );
        }
        _ => {}
    }
    let is_bounded = request.is_none_or(|request| request.uses_since() && request.uses_until());
    if !is_bounded || change_by == Some(ChangeBy::Content) {
        return refused(
            "needs a date in datesConfiguration, and in the request a macro of the cursor such as ${since} and the macro ${until}, between which a part of the list is",
        );
    }
    Ok(Some(cap.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use crate::api::instance::ConnectorInstance;
    use crate::plan::{print, resolve};

    fn planned(members: &str) -> Result<Option<u32>, String> {
        let spec = format!(
            "
baseUrl: https://api.example.com
callback: {{url: 'https://h.example/in'}}
resources:
- {{name: contacts, url: /contacts, resultCap: 10000, {members}}}
"
        );
        let plan = resolve(&ConnectorInstance::new("shop", serde_saphyr::from_str(&spec).unwrap()), None);
        let plan = plan.map_err(|problems| problems[0].message.clone())?;
        assert!(print(&plan).contains("resultCap: 10000"));
        Ok(plan.resources[0].result_cap)
    }

    const BOUNDED: &str = "query: {since: '${since}', until: '${until}'}, datesConfiguration: {updatedDateField: at}";

    #[test]
    fn a_list_with_a_cap_is_read_in_parts_between_two_macros() {
        assert_eq!(planned(BOUNDED), Ok(Some(10_000)));
        let body = "method: POST, body: {q: 'updated:${since}..${until}'}, datesConfiguration: {updatedDateField: at}";
        assert_eq!(planned(body), Ok(Some(10_000)));
    }

    #[test]
    fn the_cap_of_a_connector_is_that_of_its_own_request() {
        let under = format!("{{resources: [{{name: contacts, url: /contacts, resultCap: 100, {BOUNDED}}}]}}");
        let planned = |members: &str| {
            let spec = format!(
                "{{connector: any, baseUrl: 'https://api.example.com', callback: {{url: 'https://h.example/in'}}, resources: [{{name: contacts{members}}}]}}"
            );
            let instance = ConnectorInstance::new("shop", serde_saphyr::from_str(&spec).unwrap());
            resolve(&instance, Some(&serde_saphyr::from_str(&under).unwrap())).map(|plan| plan.resources[0].result_cap)
        };
        assert_eq!(planned("").unwrap(), Some(100));
        assert_eq!(planned(", query: {of: mine}").unwrap(), Some(100));
        assert_eq!(planned(", url: /others").unwrap(), None);
        assert_eq!(planned(", url: /others, resultCap: 70").unwrap(), Some(70));
    }

    #[test]
    fn what_cannot_be_read_in_parts_is_refused() {
        for (members, says) in [
            ("query: {since: '${since}'}, datesConfiguration: {updatedDateField: at}", "needs a date"),
            ("query: {until: '${until}'}, datesConfiguration: {updatedDateField: at}", "needs a date"),
            ("query: {since: '${since}', until: '${until}'}", "needs a date"),
            (&format!("{BOUNDED}, pagination: {{lastId: {{parameter: after}}}}"), "pagination.lastId"),
            (&format!("{BOUNDED}, order: Ascending, pageSize: 10, pagination: {{keyset: {{}}}}"), "pagination.keyset"),
        ] {
            let problem = planned(members).unwrap_err();
            assert!(problem.starts_with("spec.resources[contacts].resultCap ") && problem.contains(says), "{problem}");
        }
    }
}
