//! The lists of an instance without a connector as its form has them: each can be changed, renamed and removed, and one can be added. Pure.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::change::put;
use super::draft::Fields;
use super::edit_form::field;
use super::form::{Choice, Field, ListGroup};
use crate::api::visible::one_line;

/// Fields of a list, with the label of each, what to enter, and whether it must have a value.
pub const FIELDS: [(&str, &str, &str, bool); 7] = [
    ("name", "Name of the resource", "The object type of events, such as contacts.", true),
    ("url", "Path of the list", "Under the address above, such as /contacts", true),
    ("recordsPath", "Path to the records in a response", "Found by itself where this is empty.", false),
    (
        "idField",
        "Field of the id",
        "The path of a unique field, id where this is empty; or paths that are unique together, with commas between them, such as type, id.",
        false,
    ),
    ("updatedDateField", "Field of the date of change", "Where this is empty, changes are found by content.", false),
    (
        "updatedDateFormat",
        "Format of the date of change",
        "A Java date pattern such as yyyy-MM-dd HH:mm:ss, or seconds or milliseconds. RFC 3339 where this is empty.",
        false,
    ),
    (
        "updatedDateTimezone",
        "Time zone of dates without one",
        "Such as Europe/Berlin or +02:00. GMT where this is empty.",
        false,
    ),
];

/// The field of the path to the id, or of several.
const ID: &str = "idField";

/// The boxes that remove lists; the value of each is the name of the list.
pub const REMOVE: &str = "remove";
/// Before the names of the fields of a list that is added.
const NEW: &str = "add.";

/// The entries of a list as it is, which is an item of `spec.resources`.
pub fn filled(resource: &Value) -> impl Iterator<Item = (String, String)> {
    let name = resource["name"].as_str().unwrap_or_default().to_owned();
    FIELDS.iter().map(move |(field, ..)| {
        let value = place(field).iter().try_fold(resource, |value, part| value.get(part));
        let paths = resource["idFields"].as_array().filter(|_| *field == ID).map(|paths| joined(paths));
        (format!("list.{name}.{field}"), paths.or_else(|| value?.as_str().map(str::to_owned)).unwrap_or_default())
    })
}

/// The entries of a list that is not added.
pub fn blank() -> impl Iterator<Item = (String, String)> {
    FIELDS.iter().map(|(field, ..)| (format!("{NEW}{field}"), String::new()))
}

/// Where a field of the form is in a resource.
fn place(field: &str) -> Vec<&str> {
    if field.starts_with("updatedDate") { vec!["datesConfiguration", field] } else { vec![field] }
}

/// List and field of the name of a form's field.
fn parts(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("list.")?.rsplit_once('.')
}

/// The field of the spec that a field of the form is for, if it is one of a list.
pub fn path(name: &str) -> Option<Vec<&str>> {
    let added = name.strip_prefix(NEW).map(|field| ("", field));
    match parts(name).or(added) {
        _ if name == REMOVE => Some(vec!["resources"]),
        Some(("", field)) => Some([&["resources"][..], &place(field)].concat()),
        Some((list, field)) => Some([&["resources", list][..], &place(field)].concat()),
        None => None,
    }
}

/// Changes, renames, removes and adds lists as a form says. `differing`: the fields that a person changed.
pub fn change(resources: &mut Value, differing: &BTreeSet<String>, entered: &Fields) {
    let mut lists = resources.as_array().cloned().unwrap_or_default();
    let before = lists.len();
    lists.retain(|list| !entered.all(REMOVE).any(|name| list["name"] == name));
    // By the names that they had before, of which two may be exchanged.
    for list in &mut lists {
        let had = list["name"].clone();
        for name in differing {
            if let Some((of, field)) = parts(name).filter(|(of, _)| had == *of) {
                set(list, field, entered.one(&format!("list.{of}.{field}")));
            }
        }
    }
    let mut new = json!({});
    for (field, ..) in FIELDS {
        set(&mut new, field, entered.one(&format!("{NEW}{field}")));
    }
    if new.as_object().is_some_and(|fields| !fields.is_empty()) {
        lists.push(new);
    }
    if before > 0 || !lists.is_empty() {
        *resources = lists.into();
    }
}

/// Sets a field of the form in a resource, or removes it. Several paths to the id are `idFields`.
pub fn set(resource: &mut Value, field: &str, entry: &str) {
    let paths = if field == ID { paths(entry) } else { Vec::new() };
    put(resource, &place(field), if paths.len() > 1 { "" } else { entry });
    if field == ID {
        put(resource, &["idFields"], "");
    }
    if paths.len() > 1 {
        resource["idFields"] = json!(paths);
    }
}

/// The paths in an entry, with commas between them. In brackets a comma is part of a name.
fn paths(entry: &str) -> Vec<&str> {
    let mut is_inside = false;
    let separates = |c: char| {
        is_inside = (is_inside || c == '[') && c != ']';
        c == ',' && !is_inside
    };
    entry.split(separates).map(str::trim).filter(|path| !path.is_empty()).collect()
}

fn joined(paths: &[Value]) -> String {
    paths.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

/// The fields of a list, with what was entered.
pub fn group(name: &str, entered: &Fields) -> ListGroup {
    let title = one_line(name).into_owned();
    let removal = Choice {
        value: name.to_owned(),
        label: format!("Remove {title}"),
        hint: "It is no longer polled, and its cursor is forgotten.".to_owned(),
        is_chosen: entered.all(REMOVE).any(|removed| removed == name),
    };
    let hint = "Under another name it is a new resource with a new cursor.";
    ListGroup { fields: fields(&format!("list.{name}."), entered, true), title, hint, removal: Some(removal) }
}

/// The fields of a list that may be added.
pub fn another(entered: &Fields) -> ListGroup {
    ListGroup {
        title: "Another resource".to_owned(),
        hint: "To poll one more list, fill in its name and path. Else leave them empty.",
        fields: fields(NEW, entered, false),
        removal: None,
    }
}

fn fields(before: &str, entered: &Fields, is_there: bool) -> Vec<Field> {
    let one = |(own, label, hint, is_required): &(&str, &str, &str, bool)| Field {
        hint: (*hint).to_owned(),
        is_required: *is_required && is_there,
        ..field(&format!("{before}{own}"), label, entered)
    };
    FIELDS.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(edits: &[(&str, &str)]) -> Value {
        let mut resources = json!([
            {"name": "orders", "url": "/orders", "lookback": "5m"}, {"name": "a.b", "url": "/b", "datesConfiguration": {"updatedDateField": "at"}},
        ]);
        let list = resources.as_array().cloned().unwrap_or_default();
        let was: Vec<_> = list.iter().flat_map(filled).chain(blank()).collect();
        let is_edited = |name: &str| edits.iter().any(|(edited, _)| *edited == name);
        let own = edits.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let entered = Fields::new(was.into_iter().filter(|(name, _)| !is_edited(name)).chain(own).collect());
        let differing = edits.iter().map(|(name, _)| (*name).to_owned()).collect();
        change(&mut resources, &differing, &entered);
        resources
    }

    #[test]
    fn a_list_is_changed_renamed_removed_and_added() {
        let orders = json!({"name": "orders", "url": "/orders", "lookback": "5m"});
        let other = json!({"name": "a.b", "url": "/b", "datesConfiguration": {"updatedDateField": "at"}});
        assert_eq!(changed(&[]), json!([orders, other]));
        let renamed = changed(&[("list.orders.name", "sales"), ("list.orders.url", "/sales")]);
        assert_eq!(renamed, json!([{"name": "sales", "url": "/sales", "lookback": "5m"}, other]));
        let swapped = changed(&[("list.orders.name", "a.b"), ("list.a.b.name", "orders"), ("list.a.b.updatedDateField", "")]);
        assert_eq!(swapped, json!([{"name": "a.b", "url": "/orders", "lookback": "5m"}, {"name": "orders", "url": "/b"}]));
        assert_eq!(changed(&[("remove", "a.b")]), json!([orders]));
        assert_eq!(changed(&[("remove", "a.b"), ("remove", "orders")]), json!([]));
        let added = changed(&[("add.name", "new"), ("add.url", "/new"), ("add.updatedDateField", "at")]);
        let new = json!({"name": "new", "url": "/new", "datesConfiguration": {"updatedDateField": "at"}});
        assert_eq!(added, json!([orders, other, new]));
        // what is half filled in is no list, and is refused as any manifest
        assert_eq!(changed(&[("add.url", "/new")])[2], json!({"url": "/new"}));
    }

    #[test]
    fn several_paths_to_the_id_are_one_entry() {
        let both = || json!({"name": "a", "idFields": ["type", "['the, id']"]});
        let entry = |resource: &Value| filled(resource).find(|(name, _)| name == "list.a.idField").unwrap().1;
        assert_eq!(entry(&both()), "type, ['the, id']");
        assert_eq!(entry(&json!({"name": "a", "idField": "key"})), "key");
        for (entered, expected) in [
            ("type, ['the, id']", both()),
            ("a.b,c ,", json!({"name": "a", "idFields": ["a.b", "c"]})),
            ("key", json!({"name": "a", "idField": "key"})),
            ("['a, b']", json!({"name": "a", "idField": "['a, b']"})),
            ("", json!({"name": "a"})),
        ] {
            for mut before in [both(), json!({"name": "a", "idField": "old"}), json!({"name": "a"})] {
                set(&mut before, "idField", entered);
                assert_eq!(before, expected, "{entered}");
            }
        }
    }

    #[test]
    fn each_field_says_what_of_the_spec_it_is() {
        for (name, told) in [
            ("list.a.updatedDateFormat", Some("resources.a.datesConfiguration.updatedDateFormat")),
            ("list.a.b.name", Some("resources.a.b.name")),
            ("list.a.updatedDateField", Some("resources.a.datesConfiguration.updatedDateField")),
            ("add.url", Some("resources.url")),
            ("remove", Some("resources")),
            ("interval", None),
        ] {
            assert_eq!(path(name).map(|path| path.join(".")).as_deref(), told, "{name}");
        }
    }
}
