//! How a response is read and its pages are listed: resource → [`ExtractPlan`], pagination, change rule.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use http::HeaderName;
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use super::date_format::DateFormat;
use super::field_path::FieldPath;
use super::placeholders::Placeholders;
use super::problems::{Problems, at, field, invalid};
use super::{
    ChangeBy, DateField, DeletedFlag, ExtractPlan, Order, PaginationPlan, RecordsAs, RequestPlan, TokenPlace, ValueAt,
    error_rules, id, shaping,
};
use crate::api::conditions::Problem;
use crate::api::deletes::Deletes;
use crate::api::resource::{self, Method, Pagination, Resource};

/// How records, ids and dates are found.
///
/// # Errors
/// Every path and date format that cannot be read.
pub(super) fn plan(resource: &Resource, placeholders: &mut Placeholders) -> Result<ExtractPlan, Vec<Problem>> {
    let name = resource.name.as_str();
    let mut problems = Problems::default();
    let records_path = resource.records_path.as_deref().and_then(|text| problems.keep(path(name, "recordsPath", text)));
    let records_as = match resource.records_as {
        Some(resource::RecordsAs::Map) => RecordsAs::Map,
        Some(resource::RecordsAs::List) | None => RecordsAs::List,
    };
    let id = problems.keep_all(id::plan(resource));
    let (mut updated, mut created) = (None, None);
    if let Some(dates) = &resource.dates_configuration {
        let mut date = |prefix: &str, path: &Option<String>, format: &Option<String>, zone: &Option<String>| {
            let text = Date { prefix, path: path.as_deref(), format: format.as_deref(), zone: zone.as_deref() };
            problems.keep(text.plan(name, placeholders)).flatten()
        };
        updated = date("updatedDate", &dates.updated_date_field, &dates.updated_date_format, &dates.updated_date_timezone);
        created = date("createdDate", &dates.created_date_field, &dates.created_date_format, &dates.created_date_timezone);
    }
    let deleted = match &resource.deletes {
        Some(Deletes::Flag(flag)) => problems
            .keep(path(name, "deletes.flag.field", &flag.field))
            .map(|path| DeletedFlag { path, value: flag.value.clone() }),
        Some(Deletes::Snapshot(_) | Deletes::Feed(_)) | None => None,
    };
    let ignored = resource.ignore_fields.iter().filter_map(|text| problems.keep(path(name, "ignoreFields", text))).collect();
    let filter = problems.keep(shaping::filter(resource)).flatten();
    let shape = problems.keep_all(shaping::shape(resource)).unwrap_or_default();
    let error_rules = problems.keep_all(error_rules::plan(resource)).unwrap_or_default();
    match (id, problems.0.is_empty()) {
        (Some(id), true) => {
            Ok(ExtractPlan { records_path, records_as, id, updated, created, deleted, ignored, filter, shape, error_rules })
        }
        _ => Err(problems.0),
    }
}

/// The same plan among those in use: the instances of one connector share theirs.
pub(super) fn shared(plan: ExtractPlan) -> Arc<ExtractPlan> {
    static IN_USE: Mutex<BTreeMap<u64, Weak<ExtractPlan>>> = Mutex::new(BTreeMap::new());
    let key = xxh3_64(format!("{plan:?}").as_bytes());
    // A panic under the lock leaves whole entries.
    let mut in_use = IN_USE.lock();
    if let Some(found) = in_use.get(&key).and_then(Weak::upgrade).filter(|found| **found == plan) {
        return found;
    }
    let plan = Arc::new(plan);
    if in_use.len().is_power_of_two() {
        in_use.retain(|_, plan| plan.strong_count() > 0);
    }
    in_use.insert(key, Arc::downgrade(&plan));
    plan
}

/// One of the two dates as it is declared.
struct Date<'a> {
    prefix: &'a str,
    path: Option<&'a str>,
    format: Option<&'a str>,
    zone: Option<&'a str>,
}

impl Date<'_> {
    fn plan(&self, resource: &str, placeholders: &mut Placeholders) -> Result<Option<DateField>, Problem> {
        let part = |part: &str| format!("datesConfiguration.{}{part}", self.prefix);
        let Some(text) = self.path else {
            // A format alone is an overlay that lost its field, or the remains of one: it says nothing.
            return Ok(None);
        };
        let path = path(resource, &part("Field"), text)?;
        let zone = self.zone.map(|zone| placeholders.fill_all(&field(resource, &part("Timezone")), zone)).transpose()?;
        let format = DateFormat::new(self.format, zone.as_deref()).map_err(|error| {
            let part = if error.concerns_zone() { part("Timezone") } else { part("Format") };
            at(&field(resource, &part))(error)
        })?;
        Ok(Some(DateField { path, format }))
    }
}

/// What makes a record a changed one; by default the dates decide.
pub(super) fn change_by(resource: &Resource) -> Result<ChangeBy, Problem> {
    let dates = resource.dates_configuration.as_ref();
    let updated = dates.is_some_and(|dates| dates.updated_date_field.is_some());
    let created = dates.is_some_and(|dates| dates.created_date_field.is_some());
    let needs = |date: &str| invalid(format!("{} needs datesConfiguration.{date}", field(&resource.name, "changeBy")));
    match resource.change_by {
        Some(resource::ChangeBy::Updated) if !updated => Err(needs("updatedDateField")),
        Some(resource::ChangeBy::Created) if !created => Err(needs("createdDateField")),
        Some(resource::ChangeBy::Updated) => Ok(ChangeBy::Updated),
        Some(resource::ChangeBy::Created) => Ok(ChangeBy::Created),
        None if updated => Ok(ChangeBy::Updated),
        None if created => Ok(ChangeBy::Created),
        Some(resource::ChangeBy::Content) | None => Ok(ChangeBy::Content),
    }
}

/// The order that is promised.
pub(super) fn order(resource: &Resource) -> Order {
    match resource.order {
        Some(resource::Order::Ascending) => Order::Ascending,
        Some(resource::Order::Descending) => Order::Descending,
        Some(resource::Order::Unordered) | None => Order::Unordered,
    }
}

/// Records asked for per page.
pub(super) fn page_size(resource: &Resource) -> Result<Option<u32>, Problem> {
    match resource.page_size {
        None => Ok(None),
        Some(size @ 1..=10_000) => Ok(Some(size.unsigned_abs())),
        Some(_) => Err(invalid(format!("{} must be between 1 and 10000", field(&resource.name, "pageSize")))),
    }
}

/// How further pages are asked for.
pub(super) fn pagination(resource: &Resource) -> Result<PaginationPlan, Problem> {
    let name = resource.name.as_str();
    match &resource.pagination {
        None => Ok(PaginationPlan::Detect),
        Some(Pagination::None(_)) => Ok(PaginationPlan::None),
        Some(Pagination::LinkHeader(_)) => Ok(PaginationPlan::LinkHeader),
        Some(Pagination::NextLink(next)) => {
            value_at(name, "pagination.nextLink", next.field.as_deref(), next.header.as_deref()).map(PaginationPlan::NextLink)
        }
        Some(Pagination::Token(token)) => {
            let from = value_at(name, "pagination.token", token.field.as_deref(), token.header.as_deref())?;
            let place = place(resource, "pagination.token", token.place, &token.parameter)?;
            Ok(PaginationPlan::Token { from, parameter: token.parameter.clone(), place })
        }
        Some(Pagination::LastId(last)) => {
            let place = place(resource, "pagination.lastId", last.place, &last.parameter)?;
            let field = last.field.as_deref().map(|text| path(name, "pagination.lastId.field", text)).transpose()?;
            Ok(PaginationPlan::LastId { field, parameter: last.parameter.clone(), place })
        }
        Some(Pagination::Keyset(keyset)) => Ok(PaginationPlan::Keyset { size_parameter: keyset.size_parameter.clone() }),
        Some(Pagination::Offset(offset)) => {
            Ok(PaginationPlan::Offset { parameter: offset.parameter.clone(), size_parameter: offset.size_parameter.clone() })
        }
        Some(Pagination::Page(page)) => Ok(PaginationPlan::Page {
            parameter: page.parameter.clone(),
            first: page.first.map(i32::unsigned_abs),
            size_parameter: page.size_parameter.clone(),
        }),
    }
}

/// Checks the settings that `pagination.keyset` requires.
pub(super) fn keyset(resource: &Resource, change_by: ChangeBy, request: &RequestPlan) -> Result<(), Problem> {
    let is_keyset = matches!(resource.pagination, Some(Pagination::Keyset(_)));
    let is_asked_again = order(resource) == Order::Ascending && request.uses_since() && change_by != ChangeBy::Content;
    if is_keyset && matches!(resource.deletes, Some(Deletes::Snapshot(_))) {
        return Err(invalid(format!(
            "{} needs a list that can be read from its beginning to its end, and with pagination.keyset it is read by date; remove one \
             of the two",
            field(&resource.name, "deletes.snapshot")
        )));
    }
    if is_keyset && !(is_asked_again && resource.page_size.is_some()) {
        return Err(invalid(format!(
            "{} needs pageSize, order: Ascending, a date in datesConfiguration, and a macro of the cursor such as ${{since}} in the request",
            field(&resource.name, "pagination.keyset")
        )));
    }
    Ok(())
}

/// Where the next request takes what leads to the page.
fn place(
    resource: &Resource,
    union: &str,
    place: Option<resource::TokenPlace>,
    parameter: &str,
) -> Result<TokenPlace, Problem> {
    let at = |part: &str| field(&resource.name, &format!("{union}.{part}"));
    match place {
        Some(resource::TokenPlace::Header) if HeaderName::try_from(parameter).is_err() => {
            Err(invalid(format!("{} is not a valid header name", at("parameter"))))
        }
        Some(resource::TokenPlace::Body) if resource.method != Some(Method::Post) => {
            Err(invalid(format!("{} Body needs method POST", at("in"))))
        }
        Some(resource::TokenPlace::Header) => Ok(TokenPlace::Header),
        Some(resource::TokenPlace::Body) => Ok(TokenPlace::Body),
        Some(resource::TokenPlace::Query) | None => Ok(TokenPlace::Query),
    }
}

pub(super) fn value_at(
    resource: &str,
    union: &str,
    in_field: Option<&str>,
    in_header: Option<&str>,
) -> Result<ValueAt, Problem> {
    match (in_field, in_header) {
        (Some(text), None) => path(resource, &format!("{union}.field"), text).map(ValueAt::Field),
        (None, Some(name)) => HeaderName::try_from(name)
            .map(ValueAt::Header)
            .map_err(|_| invalid(format!("{} is not a valid header name", field(resource, &format!("{union}.header"))))),
        _ => Err(invalid(format!("{} must have exactly one of field, header", field(resource, union)))),
    }
}

fn path(resource: &str, name: &str, text: &str) -> Result<FieldPath, Problem> {
    FieldPath::parse(text).map_err(at(&field(resource, name)))
}
