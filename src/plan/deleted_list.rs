//! How deleted records are found in a list of their ids: `deletes.feed` → the plan of that list.
//!
//! It is read as the list of the records is, so its plan is one of a resource: its records are rows that name a deleted record and the
//! date of the deletion. What was read of it is kept under a name that no resource can have.

use std::fmt::Write as _;
use std::sync::Arc;

use super::problems::{field, invalid};
use super::{PaginationPlan, ResourcePlan, StartFrom};
use crate::api::conditions::Problem;
use crate::api::dates::DatesConfiguration;
use crate::api::deletes::{DeletedList, Deletes};
use crate::api::resource::{Pagination, Resource};
use crate::api::secrecy::{shown, shown_url};

/// What is added to the name of a resource.
const SUFFIX: &str = "/deleted";

/// Under this name the cursor of a resource's list of deleted ids is kept.
pub fn name_of(resource: &str) -> String {
    format!("{resource}{SUFFIX}")
}

/// The resource whose list of deleted ids has this name.
pub fn resource_of(name: &str) -> Option<&str> {
    name.strip_suffix(SUFFIX)
}

impl ResourcePlan {
    /// Gives the list of a value, which has this plan, the list of the ids that were deleted from it.
    #[must_use]
    pub(super) fn with_deleted_list_of(self, of: &Self, value: &Arc<str>) -> Self {
        let deleted_list = of.deleted_list.as_ref().map(|list| {
            Arc::new(Self { name: name_of(&self.name).into(), list_of: None, deleted_list: None, ..list.for_value(value) })
        });
        Self { deleted_list, ..self }
    }
}

/// The list as a resource would be declared; `None` where deletions are found otherwise, or not at all.
///
/// # Errors
/// Pages by date, which need an order that nothing says of this list.
pub(super) fn declared(resource: &Resource) -> Result<Option<Resource>, Problem> {
    let Some(Deletes::Feed(list)) = &resource.deletes else { return Ok(None) };
    if matches!(list.pagination, Some(Pagination::Keyset(_))) {
        let at = field(&resource.name, "deletes.feed.pagination");
        return Err(invalid(format!(
            "{at} cannot be keyset; say how the list of deleted ids has further pages, or leave it out"
        )));
    }
    let DeletedList { url, query, records_path, id_field, date_field, date_format, date_timezone, pagination } = list.clone();
    // It is both dates, so that no row need be remembered but those near the cursor.
    let dates = DatesConfiguration {
        updated_date_field: Some(date_field.clone()),
        updated_date_format: date_format.clone(),
        updated_date_timezone: date_timezone.clone(),
        created_date_field: Some(date_field),
        created_date_format: date_format,
        created_date_timezone: date_timezone,
    };
    let of_resource = resource.pagination.clone().filter(|pagination| !matches!(pagination, Pagination::Keyset(_)));
    Ok(Some(Resource {
        name: name_of(&resource.name),
        url: Some(url),
        query,
        headers: resource.headers.clone(),
        records_path,
        id_field,
        dates_configuration: Some(dates),
        pagination: pagination.or(of_resource),
        page_size: resource.page_size,
        lookback: resource.lookback.clone(),
        lateness: resource.lateness.clone(),
        interval: resource.interval.clone(),
        for_each: resource.for_each.clone(),
        error_rules: resource.error_rules.clone(),
        ..Resource::default()
    }))
}

/// What the plan of the list takes from that of the records. An object that was deleted before the first poll was never announced, so
/// the first reading of the list sends nothing, unless events from a time on are wanted.
pub(super) fn beside(list: ResourcePlan, records: &ResourcePlan) -> Arc<ResourcePlan> {
    let start_from = match records.start_from {
        StartFrom::Earliest => StartFrom::Now,
        other => other,
    };
    Arc::new(ResourcePlan { start_from, limits: records.limits.clone(), ..list })
}

/// A problem of the list, with the field as it is written.
pub(super) fn as_written(resource: &str, mut problem: Problem) -> Problem {
    let dates = [("Field", "dateField"), ("Format", "dateFormat"), ("Timezone", "dateTimezone")];
    let own = format!("spec.resources[{}].", name_of(resource));
    let feed = format!("spec.resources[{resource}].deletes.feed");
    // The values are those of the records; what lacks is in the request of the list.
    problem.message =
        problem.message.replace(&format!("{own}forEach needs"), &format!("{feed} needs")).replace(&own, &format!("{feed}."));
    for (part, field) in dates {
        for date in ["updated", "created"] {
            problem.message =
                problem.message.replace(&format!("feed.datesConfiguration.{date}Date{part}"), &format!("feed.{field}"));
        }
    }
    problem
}

/// Says how the list is read, for `pollinator plan`.
pub(super) fn print(list: &ResourcePlan, pagination: impl Fn(&PaginationPlan) -> String) -> String {
    let date = list.extract.updated.as_ref().map(|date| date.path.to_string()).unwrap_or_default();
    let mut query = String::new();
    for (name, value) in &list.request.query {
        // Writing into a text does not fail.
        let _ = write!(query, " {name}={}", shown(name, value.as_str()));
    }
    format!(
        "when {}{query} lists it, by {} and its date {}; pagination: {}",
        shown_url(list.request.url.as_str()),
        list.extract.id,
        date,
        pagination(&list.pagination)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::instance::ConnectorInstance;
    use crate::plan::{ChangeBy, print, resolve};

    fn planned(members: &str, feed: &str) -> Result<(ResourcePlan, String), Vec<String>> {
        let spec = format!(
            "
baseUrl: https://api.example.com/v2
polling: {{startFrom: Earliest}}
callback: {{url: 'https://h.example/in'}}
resources:
- {{name: contacts, url: /contacts, headers: {{x-version: '2'}}, {members} deletes: {{feed: {{{feed}}}}}}}
"
        );
        let plan = resolve(&ConnectorInstance::new("shop", serde_saphyr::from_str(&spec).unwrap()), None);
        let plan = plan.map_err(|problems| problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>())?;
        let printed: serde_json::Value = serde_saphyr::from_str(&print(&plan)).unwrap();
        Ok(((*plan.resources[0]).clone(), printed["resources"][0]["deleted"].as_str().unwrap().to_owned()))
    }

    #[test]
    fn the_list_is_read_as_a_resource_with_a_name_that_none_can_have() {
        let feed = "url: /deleted, query: {since: '${since}'}, idField: record.id, dateField: at, dateFormat: seconds";
        let (plan, printed) = planned("interval: 1m, lookback: 5m,", feed).unwrap();
        let list = plan.deleted_list.as_deref().unwrap();
        assert_eq!((&*list.name, resource_of(&list.name)), ("contacts/deleted", Some("contacts")));
        assert_eq!(resource_of("contacts"), None);
        assert_eq!((list.interval, list.lookback, list.request.headers.len()), (plan.interval, plan.lookback, 1));
        assert_eq!(
            (list.start_from, plan.start_from, list.change_by),
            (StartFrom::Now, StartFrom::Earliest, ChangeBy::Updated)
        );
        assert!(list.request.uses_since() && list.extract.created.is_some());
        assert_eq!(
            printed,
            "when https://api.example.com/v2/deleted since=${since} lists it, by record.id and its date at; pagination: found out from the first response"
        );
        let (plan, _) = planned("pagination: {linkHeader: {}},", "url: /deleted, dateField: at").unwrap();
        assert_eq!(plan.deleted_list.unwrap().pagination, PaginationPlan::LinkHeader);
        let own = "url: /deleted, dateField: at, pagination: {none: {}}";
        let (plan, _) = planned("pagination: {linkHeader: {}},", own).unwrap();
        assert_eq!(plan.deleted_list.unwrap().pagination, PaginationPlan::None);
    }

    #[test]
    fn each_value_has_a_list_of_its_own() {
        let of = |feed: &str| planned("query: {of: '${each}'}, forEach: {values: [a/b, c]},", feed);
        let (plan, _) = of("url: '/t/${each}/deleted', dateField: at").unwrap();
        let list = plan.for_value(&"a/b".into());
        let deleted = list.deleted_list.as_deref().unwrap();
        assert_eq!((&*list.name, &*deleted.name), ("contacts[a/b]", "contacts[a/b]/deleted"));
        let now = chrono::DateTime::UNIX_EPOCH;
        let since_format = &crate::plan::date_format::RFC_3339;
        let context = crate::plan::template::MacroContext { since: None, now, until: now, since_format, token: None };
        let url = deleted.request.url.render(&context, crate::plan::template::Place::Url);
        assert_eq!(url, "https://api.example.com/v2/t/a%2Fb/deleted");
        assert!(deleted.for_each.is_none() && deleted.deleted_list.is_none() && deleted.start_from == StartFrom::Now);
        let problems = of("url: /deleted, dateField: at").unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        let says = "spec.resources[contacts].deletes.feed needs the macro ${each} in url, query, headers or body";
        assert!(problems[0].starts_with(says), "{problems:?}");
    }

    #[test]
    fn problems_name_the_field_as_it_is_written() {
        for (feed, says) in [
            ("url: '/deleted?s=${sice}', dateField: at", "deletes.feed.url "),
            ("url: /deleted, query: {s: '${sice}'}, dateField: at", "deletes.feed.query"),
            ("url: /deleted, dateField: 'a['", "deletes.feed.dateField "),
            ("url: /deleted, dateField: at, dateFormat: \"yyyy'\"", "deletes.feed.dateFormat "),
            ("url: /deleted, dateField: at, dateTimezone: Nowhere", "deletes.feed.dateTimezone "),
            ("url: /deleted, dateField: at, idField: '['", "deletes.feed.idField "),
            ("url: 'https://other.example/d', dateField: at", "deletes.feed.url "),
            ("url: /deleted, dateField: at, pagination: {keyset: {}}", "deletes.feed.pagination cannot be keyset; "),
        ] {
            let problems = planned("", feed).unwrap_err();
            assert!(problems[0].starts_with(&format!("spec.resources[contacts].{says}")), "{problems:?}");
            assert!(
                problems.iter().all(|problem| !problem.contains("/deleted]") && !problem.contains("datesConf")),
                "{problems:?}"
            );
        }
    }
}
