//! What the events of a list say about objects. Pure.

use std::borrow::Cow;

use super::field_path::FieldPath;
use super::json::scalar_text;
use super::problems::{Problems, at, field, invalid};
use crate::api::conditions::Problem;
pub use crate::api::feed::FeedKind;
use crate::api::nearest::plain;
use crate::api::resource::{ChangeBy, Order, Resource};

/// How the events of a list are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPlan {
    /// Path to the type of an event.
    pub type_field: FieldPath,
    /// Path to the id of the object.
    pub object_id: FieldPath,
    /// Path to the object; `None`: the whole event.
    pub object: Option<FieldPath>,
    /// What types mean, those that count first in front.
    types: Vec<(TypePattern, FeedKind)>,
}

/// A type, or several: the texts between its asterisks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TypePattern(Vec<String>);

impl FeedPlan {
    /// What a type means; `Ignored` if nothing names it.
    pub fn kind(&self, of_type: &str) -> FeedKind {
        let found = self.types.iter().find(|(pattern, _)| pattern.fits(of_type));
        found.map_or(FeedKind::Ignored, |(_, kind)| *kind)
    }

    /// The type of an event.
    pub fn type_of<'a>(&self, json: &'a str) -> Option<Cow<'a, str>> {
        self.type_field.find(json).filter(|of_type| *of_type != "null").and_then(scalar_text)
    }

    /// Whether a type is named, whatever it means.
    pub fn fit(&self, of_type: &str) -> Fit {
        let plainly = |(TypePattern(parts), _): &(TypePattern, FeedKind)| {
            // Of a single asterisk nothing is left that could be spelt otherwise.
            TypePattern(parts.iter().map(|part| plain(part)).collect()).fits(&plain(of_type))
        };
        match () {
            () if self.types.iter().any(|(pattern, _)| pattern.fits(of_type)) => Fit::Exact,
            () if !plain(of_type).is_empty() && self.types.iter().any(plainly) => Fit::OtherSpelling,
            () => Fit::None,
        }
    }
}

/// How a type fits the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// A key fits it.
    Exact,
    /// One would if it were spelt like the type.
    OtherSpelling,
    /// None does.
    None,
}

impl TypePattern {
    fn fits(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_first() else { return false };
        let Some((last, middle)) = rest.split_last() else { return text == first };
        let Some(text) = text.strip_prefix(first.as_str()).and_then(|text| text.strip_suffix(last.as_str())) else {
            return false;
        };
        let mut left = text;
        middle.iter().all(|part| match left.split_once(part.as_str()) {
            Some((_, behind)) => {
                left = behind;
                true
            }
            None => false,
        })
    }

    /// Those that count first are smallest.
    fn rank(&self) -> (bool, std::cmp::Reverse<usize>) {
        (self.0.len() > 1, std::cmp::Reverse(self.0.iter().map(String::len).sum()))
    }
}

/// Reads `feed`, and checks the settings that a feed requires.
pub(crate) fn plan(resource: &Resource) -> Result<Option<FeedPlan>, Vec<Problem>> {
    let Some(feed) = &resource.feed else { return Ok(None) };
    let name = resource.name.as_str();
    let mut problems = Problems::default();
    let mut path = |part: &str, text: &str| problems.keep(FieldPath::parse(text).map_err(at(&field(name, part))));
    let type_field = path("feed.typeField", &feed.type_field);
    let object_id = path("feed.objectIdField", &feed.object_id_field);
    let object = feed.object_field.as_deref().map(|text| path("feed.objectField", text));
    let mut types: Vec<_> =
        feed.type_map.iter().map(|(text, kind)| (TypePattern(text.split('*').map(str::to_owned).collect()), *kind)).collect();
    types.sort_by_key(|(pattern, _)| pattern.rank());
    if types.is_empty() {
        problems.0.push(invalid(format!("{} must name at least one type", field(name, "feed.typeMap"))));
    }
    let is_dated = resource.dates_configuration.as_ref().is_some_and(|dates| dates.created_date_field.is_some());
    if !is_dated || !matches!(resource.change_by, None | Some(ChangeBy::Created)) {
        problems.0.push(invalid(format!(
            "{} needs datesConfiguration.createdDateField, the date of the event, and no other changeBy than Created",
            field(name, "feed")
        )));
    }
    if resource.delta.is_none() && matches!(resource.order, None | Some(Order::Unordered)) {
        problems.0.push(invalid(format!(
            "{} needs order: Ascending or Descending, or events of one object would be sent in the wrong order",
            field(name, "feed")
        )));
    }
    if resource.deletes.is_some() {
        problems.0.push(invalid(format!("{} has no meaning with feed; name the type in feed.typeMap", field(name, "deletes"))));
    }
    if resource.compare_content == Some(true) {
        problems
            .0
            .push(invalid(format!("{} has no meaning with feed; an event does not change", field(name, "compareContent"))));
    }
    match (type_field, object_id, problems.0.is_empty()) {
        (Some(type_field), Some(object_id), true) => {
            Ok(Some(FeedPlan { type_field, object_id, object: object.flatten(), types }))
        }
        _ => Err(problems.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_type_counts() {
        let feed = "{typeField: type, objectIdField: id, typeMap: {customer.created: Created, 'customer.*': Updated, '*.deleted': Deleted, \
                    'customer.source.*': Ignored, 'a*b*c': Updated}}";
        let resource =
            format!("{{name: events, feed: {feed}, order: Ascending, datesConfiguration: {{createdDateField: created}}}}");
        let feed = plan(&serde_saphyr::from_str(&resource).unwrap()).unwrap().unwrap();
        for (of_type, kind) in [
            ("customer.created", FeedKind::Created),
            ("customer.updated", FeedKind::Updated),
            ("customer.", FeedKind::Updated),
            ("customer", FeedKind::Ignored),
            ("order.deleted", FeedKind::Deleted),
            ("customer.source.deleted", FeedKind::Ignored),
            ("abc", FeedKind::Updated),
            ("a-b-b-c", FeedKind::Updated),
            ("acb", FeedKind::Ignored),
            ("ac", FeedKind::Ignored),
            ("", FeedKind::Ignored),
        ] {
            assert_eq!(feed.kind(of_type), kind, "{of_type}");
        }
    }

    #[test]
    fn a_feed_needs_dates_and_an_order() {
        let refused = |members: &str| {
            let text = format!("{{name: e, feed: {{typeField: t, objectIdField: i, typeMap: {{a: Created}}}}{members}}}");
            plan(&serde_saphyr::from_str(&text).unwrap())
                .unwrap_err()
                .into_iter()
                .map(|problem| problem.message)
                .collect::<Vec<_>>()
        };
        let dated = ", datesConfiguration: {createdDateField: created}";
        assert!(refused(", order: Ascending")[0].contains("createdDateField"));
        assert!(refused(dated)[0].contains("order: Ascending or Descending"));
        assert!(
            refused(&format!("{dated}, order: Ascending, deletes: {{flag: {{field: x}}}}"))[0]
                .contains("deletes has no meaning")
        );
        assert!(refused(&format!("{dated}, order: Ascending, compareContent: true"))[0].contains("compareContent"));
        assert!(refused(&format!("{dated}, order: Ascending, changeBy: Content"))[0].contains("changeBy"));
    }
}
