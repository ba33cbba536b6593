//! Lists that are polled once for each of several values: `forEach` → the values, and the plan of the list of one value. Pure.
//!
//! The list of a value is polled as a resource is, so its plan is one of a resource. Its state is kept under a name that no resource can
//! have.

use std::sync::Arc;

use super::deleted_list;
use super::field_path::FieldPath;
use super::id::IdPlan;
use super::problems::{Problems, at as problem_at, field, invalid};
use super::template::Template;
use super::{BodyPlan, PaginationPlan, RequestPlan, ResourcePlan};
use crate::api::conditions::Problem;
use crate::api::for_each::ForEach;
use crate::api::nearest::nearest;
use crate::api::resource::Resource;

/// Most values of a resource.
const MAX_VALUES: usize = 1_000;
/// Most bytes of a value.
const MAX_VALUE: usize = 256;
/// Values that `pollinator plan` names.
const PRINTED: usize = 3;

/// What a list is polled for.
#[derive(Clone, Debug, PartialEq)]
pub enum ForEachPlan {
    /// These values, in the order of the manifest; no two are the same.
    Values(Vec<Arc<str>>),
    /// The records of another resource.
    Records(ParentsPlan),
}

/// The records for which a list is polled.
#[derive(Clone, Debug, PartialEq)]
pub struct ParentsPlan {
    /// Name of their resource.
    pub name: Arc<str>,
    /// Where a record has the value; `None`: it is the id.
    pub field: Option<FieldPath>,
    /// How their list is read; `None` while the plans of an instance are made.
    pub list: Option<Arc<ResourcePlan>>,
}

/// Which list of a resource a plan is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOf {
    /// Name of the resource.
    pub resource: Arc<str>,
    /// What `${each}` stands for.
    pub value: Arc<str>,
}

/// Under this name the state of the list of a value is kept.
pub fn name_of(resource: &str, value: &str) -> String {
    format!("{resource}[{value}]")
}

/// The resource and the value of the list with this name, or of the list of the ids that were deleted from it; `None` for the name of a
/// resource.
pub fn list_of(name: &str) -> Option<(&str, &str)> {
    deleted_list::resource_of(name).unwrap_or(name).strip_suffix(']')?.split_once('[')
}

/// The resource of a list, or the resource itself.
pub fn resource_of(name: &str) -> &str {
    list_of(name).map_or(name, |(resource, _)| resource)
}

impl ResourcePlan {
    /// The plan of the list of one value.
    #[must_use]
    pub fn for_value(&self, value: &Arc<str>) -> Self {
        let list = Self {
            name: name_of(&self.name, value).into(),
            request: self.request.for_value(value),
            detail: self.detail.as_ref().map(|detail| Arc::new(detail.for_value(value))),
            snapshot: self.snapshot.as_ref().map(|snapshot| Arc::new(snapshot.for_value(value))),
            for_each: None,
            list_of: Some(ListOf { resource: Arc::clone(&self.name), value: Arc::clone(value) }),
            ..self.clone()
        };
        list.with_deleted_list_of(self, value)
    }

    /// The object type of its events: the name of the resource.
    pub fn object_type(&self) -> &Arc<str> {
        self.list_of.as_ref().map_or(&self.name, |list| &list.resource)
    }
}

impl RequestPlan {
    fn uses_each(&self) -> bool {
        self.field_with(Template::uses_each).is_some()
    }

    fn for_value(&self, value: &Arc<str>) -> Self {
        Self {
            url: self.url.for_value(value),
            query: named_for_value(&self.query, value),
            headers: named_for_value(&self.headers, value),
            body: self.body.as_ref().map(|body| body.for_value(value)),
            ..self.clone()
        }
    }
}

/// Headers or parameters of the query for the list of one value.
pub(super) fn named_for_value<N: Clone>(texts: &[(N, Template)], value: &Arc<str>) -> Vec<(N, Template)> {
    texts.iter().map(|(name, text)| (name.clone(), text.for_value(value))).collect()
}

impl BodyPlan {
    fn for_value(&self, value: &Arc<str>) -> Self {
        match self {
            Self::Literal(literal) => Self::Literal(literal.clone()),
            Self::Text(text) => Self::Text(text.for_value(value)),
            Self::List(items) => Self::List(items.iter().map(|item| item.for_value(value)).collect()),
            Self::Map(members) => {
                Self::Map(members.iter().map(|(name, member)| (name.clone(), member.for_value(value))).collect())
            }
        }
    }
}

/// What the list is polled for; `None`: it is polled once.
///
/// # Errors
/// Values that are none, a macro without values or values without a macro, and settings that know one list only.
pub(super) fn plan(resource: &Resource, request: Option<&RequestPlan>) -> Result<Option<Arc<ForEachPlan>>, Vec<Problem>> {
    let at = |part: &str| field(&resource.name, part);
    let uses_each = request.map(RequestPlan::uses_each);
    let Some(for_each) = &resource.for_each else {
        return match uses_each {
            Some(true) => Err(vec![invalid(format!(
                "{} has the macro ${{each}}, and nothing says what it stands for; set forEach.values or forEach.resource",
                at("url, query, headers or body")
            ))]),
            _ => Ok(None),
        };
    };
    let mut problems = Problems::default();
    if uses_each == Some(false) {
        problems.0.push(invalid(format!(
            "{} needs the macro ${{each}} in url, query, headers or body, where the value of each list goes",
            at("forEach")
        )));
    }
    let source = match &for_each.resource {
        None => values(for_each, &at, &mut problems).map(ForEachPlan::Values),
        Some(_) if !for_each.values.is_empty() => {
            problems.0.push(invalid(format!("{} has values and resource; set one of the two", at("forEach"))));
            None
        }
        Some(name) => {
            let field = for_each.field.as_deref().map(FieldPath::parse).transpose();
            let field = problems.keep(field.map_err(problem_at(&at("forEach.field"))));
            field.map(|field| ForEachPlan::Records(ParentsPlan { name: name.as_str().into(), field, list: None }))
        }
    };
    match source {
        Some(plan) if problems.0.is_empty() => Ok(Some(Arc::new(plan))),
        _ => Err(problems.0),
    }
}

fn values(for_each: &ForEach, at: &impl Fn(&str) -> String, problems: &mut Problems) -> Option<Vec<Arc<str>>> {
    let before = problems.0.len();
    if for_each.field.is_some() {
        problems.0.push(invalid(format!("{} needs forEach.resource, in whose records it is", at("forEach.field"))));
    }
    let mut values: Vec<Arc<str>> = Vec::with_capacity(for_each.values.len());
    for value in &for_each.values {
        match refusal(value) {
            Some(why) => problems.0.push(invalid(format!("{} {why}", at("forEach.values")))),
            None if values.iter().any(|other| **other == **value) => {
                problems.0.push(invalid(format!("{} has a value twice; each one is polled once", at("forEach.values"))));
            }
            None => values.push(value.as_str().into()),
        }
    }
    if !(1..=MAX_VALUES).contains(&for_each.values.len()) {
        let text =
            format!("{} must have between 1 and {MAX_VALUES} values, unless forEach.resource is set", at("forEach.values"));
        problems.0.push(invalid(text));
    }
    problems.0.dedup();
    (problems.0.len() == before).then_some(values)
}

/// Gives the lists of parents their plans, once all resources of an instance have one. `declared` are the names of all.
pub(super) fn link(resources: &mut [Arc<ResourcePlan>], declared: &[&str]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for index in 0..resources.len() {
        let Some(ForEachPlan::Records(parents)) = resources[index].for_each.as_deref().cloned() else { continue };
        let own = &resources[index];
        let at = field(&own.name, "forEach.resource");
        let Some(list) = resources.iter().find(|other| other.name == parents.name) else {
            // One that is declared has a problem of its own.
            if !declared.contains(&&*parents.name) {
                let near = nearest(&parents.name, declared.iter().copied());
                let fix = near.map_or_else(|| "correct the name".to_owned(), |near| format!("did you mean {near}?"));
                problems.push(invalid(format!("{at} names {}, which is no resource of this instance; {fix}", parents.name)));
            }
            continue;
        };
        let why = if list.name == own.name {
            Some("the resource itself; name another one")
        } else if list.for_each.is_some() {
            Some("a resource that has forEach itself, which is not supported; name one with a single list")
        } else if matches!(list.extract.id, IdPlan::Fields(_)) && parents.field.is_none() {
            Some("a resource with idFields, and ${each} is one value; name the member that has it in forEach.field")
        } else if list.feed.is_some() {
            Some("a resource with feed, whose records are events and not objects; name one whose records are the parents")
        } else if list.result_cap.is_some() {
            Some("a resource with resultCap, whose list cannot be read to its end at once; name another one")
        } else if list.max_age.is_some() {
            Some("a resource with maxAge, whose list shows no parents that changed longer ago; name another one")
        } else if matches!(list.pagination, PaginationPlan::Keyset { .. }) {
            Some("a resource with pagination.keyset, whose list cannot be read to its end at once; name another one")
        } else {
            None
        };
        if let Some(why) = why {
            problems.push(invalid(format!("{at} names {why}")));
        } else {
            let linked = ForEachPlan::Records(ParentsPlan { list: Some(Arc::clone(list)), ..parents });
            Arc::make_mut(&mut resources[index]).for_each = Some(Arc::new(linked));
        }
    }
    problems
}

/// What the cursors of the lists depend on.
pub(super) fn scope(resource: &Resource) -> Option<String> {
    let for_each = resource.for_each.as_ref()?;
    let records = for_each.resource.as_ref().map(|name| format!(" {name} {}", for_each.field.as_deref().unwrap_or_default()));
    Some(format!("forEach{}", records.unwrap_or_default()))
}

/// Why a text cannot be a value; it reads on from the name of the field.
pub fn refusal(value: &str) -> Option<&'static str> {
    match value {
        "" => Some("has an empty value; remove it"),
        // A URL resolves them as segments of its path, and they would name another place.
        "." | ".." => Some("has a value of dots only, which means something else in a URL; remove it"),
        value if value.len() > MAX_VALUE => Some("has a value of more than 256 bytes; shorten it"),
        value if value.chars().any(char::is_control) => {
            Some("has a value with a line break or another control character; remove it")
        }
        _ => None,
    }
}

/// As `pollinator plan` prints it.
pub(super) fn print(plan: &ForEachPlan) -> String {
    match plan {
        ForEachPlan::Values(values) => {
            let named: Vec<_> = values.iter().take(PRINTED).map(|value| &**value).collect();
            let more = if values.len() > PRINTED { ", …" } else { "" };
            format!("${{each}} is one of {} values, each with a cursor of its own: {}{more}", values.len(), named.join(", "))
        }
        ForEachPlan::Records(ParentsPlan { name, field, .. }) => {
            let value = field.as_ref().map_or_else(|| "the id".to_owned(), |field| format!("the value at {field}"));
            format!("${{each}} is {value} of each record of {name}, each with a cursor of its own")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::instance::ConnectorInstance;
    use crate::plan::date_format::RFC_3339;
    use crate::plan::template::{MacroContext, Place};
    use crate::plan::{print, resolve};

    fn planned(members: &str) -> Result<(ResourcePlan, String), Vec<String>> {
        let spec = format!(
            "
baseUrl: https://api.example.com/v2
callback: {{url: 'https://h.example/in'}}
resources: [{{name: contacts, {members}}}]
"
        );
        let plan = resolve(&ConnectorInstance::new("shop", serde_saphyr::from_str(&spec).unwrap()), None);
        let plan = plan.map_err(|problems| problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>())?;
        let printed: serde_json::Value = serde_saphyr::from_str(&print(&plan)).unwrap();
        let printed = printed["resources"][0]["forEach"].as_str().unwrap_or_default().to_owned();
        Ok(((*plan.resources[0]).clone(), printed))
    }

    #[test]
    fn the_list_of_a_value_is_a_resource_with_a_name_that_none_can_have() {
        let (plan, printed) = planned(
            "url: '/t/${each}/c', query: {of: '${each}'}, headers: {x-tenant: '${each}'}, method: POST,
             body: {filter: [{tenant: '${each}', n: 1}]}, forEach: {values: [acme, a/b c, d, e]}",
        )
        .unwrap();
        assert_eq!(printed, "${each} is one of 4 values, each with a cursor of its own: acme, a/b c, d, …");
        let list = plan.for_value(&"a/b c".into());
        assert_eq!((&*list.name, &**list.object_type(), &**plan.object_type()), ("contacts[a/b c]", "contacts", "contacts"));
        assert_eq!(
            (list_of(&list.name), list_of("contacts"), list_of("c[d[e]]")),
            (Some(("contacts", "a/b c")), None, Some(("c", "d[e]")))
        );
        let now = chrono::DateTime::UNIX_EPOCH;
        let context = MacroContext { since: None, now, until: now, since_format: &RFC_3339, token: None };
        assert_eq!(list.request.url.render(&context, Place::Url), "https://api.example.com/v2/t/a%2Fb%20c/c");
        assert_eq!(list.request.query[0].1.render(&context, Place::QueryValue), "a%2Fb%20c");
        assert_eq!(list.request.headers[0].1.render(&context, Place::Header), "a/b c");
        let Some(BodyPlan::Map(members)) = &list.request.body else { panic!("{:?}", list.request.body) };
        let BodyPlan::List(items) = &members[0].1 else { panic!("{members:?}") };
        let BodyPlan::Map(inner) = &items[0] else { panic!("{items:?}") };
        let rendered: Vec<_> = inner
            .iter()
            .filter_map(
                |(_, text)| if let BodyPlan::Text(text) = text { Some(text.render(&context, Place::Json)) } else { None },
            )
            .collect();
        assert_eq!(rendered, ["a/b c"]);
        assert_ne!(plan.meaning, planned("url: /c").unwrap().0.meaning, "a cursor of one list is none of another");
    }

    #[test]
    fn single_records_are_asked_for_in_the_list_of_their_value() {
        let (plan, _) = planned(
            "url: '/t/${each}/c', headers: {x-tenant: '${each}'}, forEach: {values: [a/b]},
             detail: {url: '/t/${each}/c/${id}'}, deletes: {snapshot: {confirm: {url: '/c/${id}?of=${each}'}}}",
        )
        .unwrap();
        let list = plan.for_value(&"a/b".into());
        let (detail, confirm) = (list.detail.unwrap(), list.snapshot.as_ref().unwrap().confirm.as_ref().unwrap());
        assert_eq!(detail.url.join("7"), "https://api.example.com/v2/t/a%2Fb/c/7");
        assert_eq!(confirm.url.join("7"), "https://api.example.com/v2/c/7?of=a%2Fb");
        let now = chrono::DateTime::UNIX_EPOCH;
        let context = MacroContext { since: None, now, until: now, since_format: &RFC_3339, token: None };
        for headers in [&detail.headers, &confirm.headers] {
            assert_eq!(headers[0].1.render(&context, Place::Header), "a/b");
        }
    }

    #[test]
    fn a_resource_whose_list_does_not_show_every_parent_is_refused() {
        for (parents, why) in [
            (
                "query: {since: '${since}'}, maxAge: 744h, datesConfiguration: {updatedDateField: u}",
                "names a resource with maxAge, ",
            ),
            (
                "order: Ascending, feed: {typeField: t, typeMap: {a: Created}, objectIdField: o}, datesConfiguration: {createdDateField: c}",
                "names a resource with feed, ",
            ),
        ] {
            let told = planned(&format!(
                "url: '/p/${{each}}/c', forEach: {{resource: parents}}}}, {{name: parents, url: /p, {parents}"
            ));
            let told = told.expect_err("it is refused");
            assert!(told.iter().any(|told| told.contains(why)), "{told:?}");
        }
    }

    #[test]
    fn what_cannot_be_polled_for_each_value_is_refused() {
        for (members, says) in [
            ("url: '/c/${each}'", "url, query, headers or body has the macro ${each}, and nothing says what it stands for"),
            ("url: /c, forEach: {values: [a]}", "forEach needs the macro ${each} in url"),
            ("url: '/c/${each}', forEach: {values: []}", "forEach.values must have between 1 and 1000 values"),
            ("url: '/c/${each}', forEach: {values: [a], field: b}", "forEach.field needs forEach.resource"),
            ("url: '/c/${each}', forEach: {values: [a], resource: b}", "forEach has values and resource"),
            ("url: '/c/${each}', forEach: {resource: contacts}", "forEach.resource names the resource itself"),
            (
                "url: '/c/${each}', forEach: {resource: contact}",
                "which is no resource of this instance; did you mean contacts?",
            ),
            ("url: '/c/${each}', forEach: {resource: b, field: 'a..b'}", "forEach.field is not a path"),
            ("url: '/c/${each}', forEach: {values: ['']}", "forEach.values has an empty value"),
            ("url: '/c/${each}', forEach: {values: [a, '..']}", "forEach.values has a value of dots only"),
            ("url: '/c/${each}', forEach: {values: [\"a\\nb\"]}", "forEach.values has a value with a line break"),
            ("url: '/c/${each}', forEach: {values: [a, b, a]}", "forEach.values has a value twice"),
            (
                "url: '/c/${each}', forEach: {values: [a]}, detail: {url: '/c/${each}/${since}/${id}'}",
                "detail.url must contain ${id}, and no other macro but ${each}",
            ),
            (
                "url: '/c/${each}', forEach: {values: [a]}, deletes: {feed: {url: /d, dateField: at}}",
                "deletes.feed needs the macro ${each} in url, query, headers or body",
            ),
        ] {
            let problems = planned(members).unwrap_err();
            assert!(
                problems.len() == 1 && problems[0].starts_with("spec.resources[contacts].") && problems[0].contains(says),
                "{members}: {problems:?}"
            );
        }
        let long = "x".repeat(257);
        assert!(
            planned(&format!("url: '/c/${{each}}', forEach: {{values: [{long}]}}")).unwrap_err()[0]
                .contains("more than 256 bytes")
        );
    }

    #[test]
    fn the_parents_are_the_records_of_another_resource() {
        let child = "url: '/p/${each}/c', forEach: {resource: parents, field: key}";
        let with = |parents: &str| planned(&format!("{child}}}, {{name: parents, url: /p{parents}"));
        let (plan, printed) = with("").unwrap();
        assert_eq!(printed, "${each} is the value at key of each record of parents, each with a cursor of its own");
        let Some(ForEachPlan::Records(parents)) = plan.for_each.as_deref() else { panic!("{:?}", plan.for_each) };
        assert_eq!(&*parents.list.as_ref().unwrap().name, "parents");
        let other = child.replace("key", "id");
        let (by_id, _) = planned(&format!("{other}}}, {{name: parents, url: /p")).unwrap();
        assert_ne!(plan.meaning, by_id.meaning, "other values are other lists");
        let problems = with(", forEach: {values: [a]}, query: {x: '${each}'}").unwrap_err();
        assert!(problems.len() == 1 && problems[0].contains("names a resource that has forEach itself"), "{problems:?}");
    }
}
