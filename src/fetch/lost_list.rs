//! A list that is no longer where the manifest says, next to another list of objects: the provider may have renamed it. Some providers
//! leave an empty list out, so it counts as empty; but that it may be elsewhere is said. Pure.

use std::fmt;

use super::place;
use crate::api::nearest::nearest;
use crate::plan::field_path::Segment;
use crate::plan::json;

/// Names that a message lists.
const MAX_NAMES: usize = 3;

/// Where a list was left out, and where other lists of objects are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostList {
    path: String,
    /// The one whose name is nearest first.
    others: Vec<String>,
}

impl LostList {
    /// What an answer without a list at `path` says of it; `None`: something is there, or no other list is.
    pub(super) fn find(text: &str, path: &[Segment]) -> Option<Box<Self>> {
        let own = path.iter().rev().find_map(|step| if let Segment::Key(key) = step { Some(key.as_str()) } else { None })?;
        if !place::is_left_out(text, path) {
            return None;
        }
        let mut found = Vec::new();
        lists_of_objects(text, &mut |name, _| found.push((vec![name.to_owned()], name.to_owned())));
        json::for_each_member(text, |wrapper, value| {
            let mut keep = |name: &str, _: &str| found.push((vec![wrapper.to_owned(), name.to_owned()], name.to_owned()));
            if value.starts_with('{') {
                lists_of_objects(value, &mut keep);
            }
        });
        let near = nearest(own, found.iter().map(|(_, name)| name.as_str())).map(str::to_owned);
        found.sort_by_key(|(_, name)| near.as_ref() != Some(name));
        let shown = |(path, _): &(Vec<String>, String)| {
            place::kept(&path.iter().map(|key| Segment::Key(key.clone())).collect::<Vec<_>>())
        };
        let others: Vec<_> = found.iter().filter_map(shown).take(MAX_NAMES).collect();
        (!others.is_empty()).then(|| Box::new(Self { path: place::kept(path).unwrap_or_default(), others }))
    }
}

fn lists_of_objects(object: &str, show: &mut dyn FnMut(&str, &str)) {
    json::for_each_member(object, |name, value| {
        let is_list = value.strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with('{'));
        if is_list && !place::is_aside(name) {
            show(name, value);
        }
    });
}

/// What a user reads of it: field, cause and fix.
impl fmt::Display for LostList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, others } = self;
        let first = others.first().map_or("", String::as_str);
        write!(
            f,
            "recordsPath: the response has nothing at {path}, which counts as an empty list, and lists of objects elsewhere ({}): if the \
             records are there now, set recordsPath, perhaps to {first}",
            others.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, path: &str) -> Option<String> {
        LostList::find(text, &place::read(path).unwrap()).map(|lost| lost.others.join(" "))
    }

    #[test]
    fn the_lists_that_are_there_instead_are_named_and_the_nearest_first() {
        for (text, path, others) in [
            (r#"{"items":[{"id":1}]}"#, "data", Some("items")),
            (r#"{"users":[{"id":1}],"Records":[{"id":1}]}"#, "records", Some("Records users")),
            (r#"{"data":{"rows":[{"id":1}]}}"#, "data.items", Some("data.rows")),
            (r#"{"result":{"data":[{"id":1}]},"data":{}}"#, "data.items", Some("result.data")),
            (r#"{"data":null,"items":[{"id":1}]}"#, "data", None),
            (r#"{"items":[]}"#, "data", None),
            (r#"{"items":[1,2]}"#, "data", None),
            (r#"{"warnings":[{"code":1}]}"#, "data", None),
            ("{}", "data", None),
        ] {
            assert_eq!(found(text, path).as_deref(), others, "{text}");
        }
        let lost = LostList::find(r#"{"items":[{"id":1}]}"#, &place::read("data").unwrap()).unwrap();
        assert_eq!(
            lost.to_string(),
            "recordsPath: the response has nothing at data, which counts as an empty list, and lists of objects elsewhere (items): if the \
             records are there now, set recordsPath, perhaps to items"
        );
    }
}
