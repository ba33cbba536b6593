//! The instance laid over its connector, field by field.

use std::collections::BTreeMap;

use super::hub_path::{beyond_time, is_hub_path, stands_for};
use super::problems::{field, invalid};
use crate::api::conditions::Problem;
use crate::api::connector::{ConnectorResource, ConnectorSpec};
use crate::api::dates::DatesConfiguration;
use crate::api::instance::ConnectorInstanceSpec;
use crate::api::resource::Resource;

/// Most resources that one instance may poll; the schema bounds what the instance lists, this what a connector adds.
const MAX_RESOURCES: usize = 64;

/// The resources to poll: those that the instance lists, each over the connector's of the same name or hub path; all of the
/// connector's when it lists none. `interval` is final: the instance's word, general or special, beats the connector's.
///
/// # Errors
/// Everything that keeps a resource from being one.
pub(crate) fn resources(spec: &ConnectorInstanceSpec, connector: &ConnectorSpec) -> Result<Vec<Resource>, Vec<Problem>> {
    let general = |polling: &Option<crate::api::instance::Polling>| polling.as_ref().and_then(|p| p.interval.clone());
    let instance_wide = general(&spec.polling);
    let connector_wide = general(&connector.polling);
    let mut problems = Vec::new();
    let mut merged: Vec<Resource> = Vec::new();
    let bare: Vec<Resource>;
    let listed = if spec.resources.is_empty() {
        bare = connector.resources.iter().map(|r| Resource { name: r.resource.name.clone(), ..Resource::default() }).collect();
        &bare
    } else {
        &spec.resources
    };
    for over in listed {
        if merged.iter().any(|other| other.name == over.name) {
            problems.push(invalid(format!("spec.resources lists {} twice; names must be unique", over.name)));
            continue;
        }
        let (under, over) = match hub(over, spec, connector) {
            Ok(found) => found,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let ConnectorResource { max_page_size, resource: under, .. } = under;
        let mut resource = lay_over(over, under.clone());
        if let (Some(asked), Some(most)) = (resource.page_size, max_page_size)
            && asked > most
        {
            problems.push(invalid(format!(
                "{} must be at most {most}, the most that the provider gives per page",
                field(&resource.name, "pageSize")
            )));
        }
        resource.interval = over_interval(&spec.resources, &resource.name)
            .or(instance_wide.clone())
            .or(under.interval)
            .or(connector_wide.clone());
        resource.pagination = resource.pagination.or_else(|| connector.pagination.clone());
        resource.headers = merge_headers(&connector.headers, resource.headers);
        resource.error_rules.extend_from_slice(&connector.error_rules);
        merged.push(resource);
    }
    if merged.is_empty() && problems.is_empty() {
        problems.push(invalid("spec.resources is empty and the connector has none; list at least one resource"));
    }
    if merged.len() > MAX_RESOURCES {
        problems.push(invalid(format!(
            "the connector has more than {MAX_RESOURCES} resources; list those to poll in spec.resources, at most {MAX_RESOURCES}"
        )));
    }
    if problems.is_empty() { Ok(merged) } else { Err(problems) }
}

fn over_interval(listed: &[Resource], name: &str) -> Option<String> {
    listed.iter().find(|resource| resource.name == name)?.interval.clone()
}

/// The connector's resource below an instance's one, and the latter without its hub path once that is answered.
fn hub(
    over: &Resource,
    spec: &ConnectorInstanceSpec,
    connector: &ConnectorSpec,
) -> Result<(ConnectorResource, Resource), Problem> {
    let by_name = || connector.resources.iter().find(|r| r.resource.name == over.name).cloned();
    let Some(url) = over.url.as_deref().filter(|url| is_hub_path(url)) else {
        return Ok((by_name().unwrap_or_default(), over.clone()));
    };
    let at = field(&over.name, "url");
    let Some(found) = stands_for(url, connector) else {
        // With a base URL of its own the instance may well mean a server that has hub paths: Open Connectors itself.
        if spec.base_url.is_some() {
            return Ok((by_name().unwrap_or_default(), over.clone()));
        }
        return Err(invalid(format!(
            "{at} is a hub path of Open Connectors for which the connector has no resource; write the provider's own path"
        )));
    };
    if let Some(term) = beyond_time(url).first() {
        return Err(invalid(format!(
            "{at} asks for {term}, which is not translated; write the provider's own parameter in query and leave it out of url"
        )));
    }
    Ok((found.clone(), Resource { url: None, ..over.clone() }))
}

fn lay_over(over: Resource, under: Resource) -> Resource {
    // Two that exclude each other: the instance's word on one is its word on both.
    let says = |resource: &Resource| !resource.keep_fields.is_empty() || !resource.drop_fields.is_empty();
    let (keep_fields, drop_fields) =
        if says(&over) { (over.keep_fields, over.drop_fields) } else { (under.keep_fields, under.drop_fields) };
    let names_id = over.id_field.is_some() || !over.id_fields.is_empty();
    let (id_field, id_fields) = if names_id { (over.id_field, over.id_fields) } else { (under.id_field, under.id_fields) };
    // A body or URL of the instance's own need not say where the list ends, and a cap is of no use without.
    let is_asked_otherwise = over.body.is_some() || over.url.is_some();
    let result_cap = over.result_cap.or(under.result_cap.filter(|_| !is_asked_otherwise));
    Resource {
        name: over.name,
        url: over.url.or(under.url),
        method: over.method.or(under.method),
        query: merge(under.query, over.query),
        headers: merge_headers(&under.headers, over.headers),
        body: over.body.or(under.body),
        records_path: over.records_path.or(under.records_path),
        records_as: over.records_as.or(under.records_as),
        id_field,
        id_fields,
        dates_configuration: lay_dates_over(over.dates_configuration, under.dates_configuration),
        change_by: over.change_by.or(under.change_by),
        ignore_fields: if over.ignore_fields.is_empty() { under.ignore_fields } else { over.ignore_fields },
        compare_content: over.compare_content.or(under.compare_content),
        created_tolerance: over.created_tolerance.or(under.created_tolerance),
        lookback: over.lookback.or(under.lookback),
        lateness: over.lateness.or(under.lateness),
        max_future: over.max_future.or(under.max_future),
        max_age: over.max_age.or(under.max_age),
        full_sweep: over.full_sweep.or(under.full_sweep),
        result_cap,
        page_size: over.page_size.or(under.page_size),
        for_each: over.for_each.or(under.for_each),
        interval: over.interval.or(under.interval),
        order: over.order.or(under.order),
        pagination: over.pagination.or(under.pagination),
        delta: over.delta.or(under.delta),
        feed: over.feed.or(under.feed),
        deletes: over.deletes.or(under.deletes),
        changes: over.changes.or(under.changes),
        detail: over.detail.or(under.detail),
        filter: over.filter.or(under.filter),
        on_leave: over.on_leave.or(under.on_leave),
        keep_fields,
        drop_fields,
        error_rules: [over.error_rules, under.error_rules].concat(),
        mask_fields: if over.mask_fields.is_empty() { under.mask_fields } else { over.mask_fields },
    }
}

fn lay_dates_over(over: Option<DatesConfiguration>, under: Option<DatesConfiguration>) -> Option<DatesConfiguration> {
    match (over, under) {
        (Some(over), Some(under)) => Some(DatesConfiguration {
            updated_date_field: over.updated_date_field.or(under.updated_date_field),
            updated_date_format: over.updated_date_format.or(under.updated_date_format),
            updated_date_timezone: over.updated_date_timezone.or(under.updated_date_timezone),
            created_date_field: over.created_date_field.or(under.created_date_field),
            created_date_format: over.created_date_format.or(under.created_date_format),
            created_date_timezone: over.created_date_timezone.or(under.created_date_timezone),
        }),
        (over, under) => over.or(under),
    }
}

fn merge(mut under: BTreeMap<String, String>, over: BTreeMap<String, String>) -> BTreeMap<String, String> {
    under.extend(over);
    under
}

/// Header names do not care for case (RFC 9110 §5.1).
fn merge_headers(under: &BTreeMap<String, String>, over: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let kept = under.iter().filter(|(name, _)| !over.keys().any(|other| other.eq_ignore_ascii_case(name)));
    let mut merged: BTreeMap<_, _> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
    merged.extend(over);
    merged
}
