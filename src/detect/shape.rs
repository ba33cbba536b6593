//! Shapes a record for delivery: members are left out or masked, and all else stays byte for byte. Pure.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::canonical::{below_element, below_key};
use super::event::Kind;
use super::record::RecordView;
use crate::plan::ExtractPlan;
use crate::plan::field_path::{FieldPath, Segment};
use crate::plan::json::{for_each_element, for_each_member, scalar_text};
use crate::plan::shaping::{Mask, Masked, Members, Shape};

/// What takes the place of a masked value.
const MASK: &str = "\"***\"";

/// The part of a record that is delivered. Hashes of masked values hold for one `identity` of an instance.
pub fn shaped<'a>(json: &'a str, shape: &Shape, identity: &str) -> Cow<'a, str> {
    if shape.is_whole() {
        return Cow::Borrowed(json);
    }
    let json = json.trim();
    let (members, masked) = (&shape.members, shape.masked.as_slice());
    let selected = match members {
        Members::All => Cow::Borrowed(json),
        // A value without members, in a map of records, has none that is named.
        Members::Keep(_) if !json.starts_with(['{', '[']) => Cow::Borrowed("null"),
        Members::Keep(paths) => Cow::Owned(edited(json, &Edit::Keep, &rests(paths.iter()))),
        Members::Drop(paths) => Cow::Owned(edited(json, &Edit::Drop, &rests(paths.iter()))),
    };
    masked.iter().fold(selected, |json, Masked { path, mask }| {
        Cow::Owned(edited(&json, &Edit::Mask(*mask, identity), &rests([path].into_iter())))
    })
}

/// What is delivered with a change of a record. Of one that the filter excludes nothing but its id is the receiver's business.
pub(super) fn delivered(json: &str, view: &RecordView<'_>, kind: Kind, extract: &ExtractPlan, identity: &str) -> String {
    if kind == Kind::Deleted && view.is_excluded() && !view.is_deleted() {
        return extract.id.alone(&view.id, json);
    }
    shaped(json, &extract.shape, identity).into_owned()
}

/// What a record looks like when it is delivered, for a person: names of members and masks, no values.
pub fn outline(json: &str, shape: &Shape) -> String {
    let mut names = Vec::new();
    for_each_member(&shaped(json, shape, ""), |key, value| names.push((key.to_owned(), outline_of(value))));
    let shown = names.into_iter().map(|(key, inner)| format!("{key}{inner}")).collect::<Vec<_>>();
    if shown.is_empty() { "no member".to_owned() } else { shown.join(", ") }
}

/// The names inside an object.
fn outline_of(value: &str) -> String {
    let mut names = Vec::new();
    if value == MASK {
        return " ***".to_owned();
    }
    if value.starts_with('{') {
        for_each_member(value, |key, _| names.push(key.to_owned()));
    }
    if names.is_empty() { String::new() } else { format!(" {{{}}}", names.join(", ")) }
}

/// What is done to the members at the paths.
enum Edit<'a> {
    /// All others are left out.
    Keep,
    Drop,
    Mask(Mask, &'a str),
}

fn rests<'p>(paths: impl Iterator<Item = &'p FieldPath>) -> Vec<&'p [Segment]> {
    paths.map(FieldPath::segments).collect()
}

fn edited(json: &str, edit: &Edit<'_>, paths: &[&[Segment]]) -> String {
    let mut out = String::with_capacity(json.len());
    write(json, edit, paths, &mut out);
    out
}

/// Writes a value below which lie what is left of the paths.
fn write(json: &str, edit: &Edit<'_>, paths: &[&[Segment]], out: &mut String) {
    let (is_object, is_array) = (json.starts_with('{'), json.starts_with('['));
    if paths.is_empty() || !(is_object || is_array) {
        out.push_str(json);
        return;
    }
    let mut writer = Writer { json, end: 1, is_first: true, edit, out };
    writer.out.push_str(&json[..1]);
    if is_object {
        for_each_member(json, |key, value| writer.child(value, &below_key(paths, key)));
    } else {
        let mut index = 0;
        for_each_element(json, |value| {
            writer.child(value, &below_element(paths, index));
            index += 1;
        });
    }
    let end = writer.end;
    out.push_str(&json[end..]);
}

/// Writes the members of an object or the elements of an array.
struct Writer<'a, 'e> {
    json: &'a str,
    /// Where the last one ended.
    end: usize,
    is_first: bool,
    edit: &'e Edit<'e>,
    out: &'e mut String,
}

impl Writer<'_, '_> {
    /// One of them, given with what is left of the paths there: an empty one leads to it.
    fn child(&mut self, value: &str, below: &[&[Segment]]) {
        // The value is a part of the text.
        let start = (value.as_ptr() as usize).saturating_sub(self.json.as_ptr() as usize);
        let lead = self.json.get(self.end..start).unwrap_or_default();
        self.end = start + value.len();
        let is_target = below.iter().any(|rest| rest.is_empty());
        let has_inside = value.starts_with(['{', '[']);
        let is_left_out = match self.edit {
            Edit::Keep => !is_target && (below.is_empty() || !has_inside),
            Edit::Drop => is_target,
            Edit::Mask(..) => false,
        };
        if is_left_out {
            return;
        }
        // In front of the name may be blanks, and there is a comma where something came before.
        match lead.trim_start().strip_prefix(',') {
            Some(rest) if self.is_first => self.out.push_str(rest),
            None if !self.is_first => self.out.extend([",", lead]),
            _ => self.out.push_str(lead),
        }
        self.is_first = false;
        match self.edit {
            Edit::Keep if is_target => self.out.push_str(value),
            Edit::Mask(mask, identity) if is_target => self.out.push_str(&masked(value, *mask, identity)),
            _ => write(value, self.edit, below, self.out),
        }
    }
}

fn masked(value: &str, mask: Mask, identity: &str) -> Cow<'static, str> {
    match mask {
        _ if value == "null" => Cow::Borrowed("null"),
        Mask::Text => Cow::Borrowed(MASK),
        Mask::Hash => {
            let text = scalar_text(value);
            let mut hash = Sha256::new();
            hash.update((identity.len() as u64).to_be_bytes());
            hash.update(identity.as_bytes());
            hash.update(text.as_deref().unwrap_or(value).as_bytes());
            Cow::Owned(format!("\"{}\"", data_encoding::HEXLOWER.encode(&hash.finalize())))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn paths(texts: &[&str]) -> Vec<FieldPath> {
        texts.iter().map(|text| FieldPath::parse(text).unwrap()).collect()
    }

    fn keep(json: &str, texts: &[&str]) -> String {
        shaped(json, &Shape { members: Members::Keep(paths(texts)), masked: vec![] }, "").into_owned()
    }

    fn drop(json: &str, texts: &[&str]) -> String {
        shaped(json, &Shape { members: Members::Drop(paths(texts)), masked: vec![] }, "").into_owned()
    }

    fn mask(json: &str, text: &str, mask: Mask) -> String {
        let masked = paths(&[text]).into_iter().map(|path| Masked { path, mask }).collect();
        shaped(json, &Shape { members: Members::All, masked }, "9d1c0c3e").into_owned()
    }

    /// Numbers and escapes that are lost by reading and writing JSON again.
    const RECORD: &str = r#"{ "id": 9007199254740993, "na\u006de":"\u00e9\/" , "owner":{"mail":"a@b","age":1.10}, "lines" : [{"sku":"x","n":1e400},{"sku":"y"}, 7] }"#;

    #[test]
    fn what_is_left_stays_as_it_was_sent() {
        for (fields, expected) in [
            (vec!["name"], r#"{ "na\u006de":"\u00e9\/" }"#),
            (vec!["id", "owner.age"], r#"{ "id": 9007199254740993 , "owner":{"age":1.10} }"#),
            (vec!["lines.n"], r#"{ "lines" : [{"n":1e400},{}] }"#),
            (vec!["lines[1]"], r#"{ "lines" : [{"sku":"y"}] }"#),
            (vec!["lines"], r#"{ "lines" : [{"sku":"x","n":1e400},{"sku":"y"}, 7] }"#),
            (vec!["nothing", "id.more", "name[0]"], "{ }"),
            (vec!["owner", "owner.mail"], r#"{ "owner":{"mail":"a@b","age":1.10} }"#),
        ] {
            assert_eq!(keep(RECORD, &fields), expected, "{fields:?}");
        }
        for (fields, expected) in [
            (
                vec!["id"],
                r#"{ "na\u006de":"\u00e9\/" , "owner":{"mail":"a@b","age":1.10}, "lines" : [{"sku":"x","n":1e400},{"sku":"y"}, 7] }"#,
            ),
            (
                vec!["name", "owner.mail", "lines.sku"],
                r#"{ "id": 9007199254740993 , "owner":{"age":1.10}, "lines" : [{"n":1e400},{}, 7] }"#,
            ),
            (vec!["id", "name", "owner", "lines"], "{ }"),
            (vec!["nothing", "owner.more", "id.more"], RECORD),
        ] {
            assert_eq!(drop(RECORD, &fields), expected, "{fields:?}");
        }
        assert_eq!(drop(r#"{"a":1,"b":2,"a":3}"#, &["a"]), r#"{"b":2}"#, "repeated members, too");
        assert_eq!((drop("7", &["a"]).as_str(), keep("7", &["a"]).as_str()), ("7", "null"));
    }

    #[test]
    fn masked_values_are_replaced() {
        assert_eq!(mask(r#"{"a":[1,2], "b":null}"#, "a", Mask::Text), r#"{"a":"***", "b":null}"#);
        assert_eq!(mask(r#"{"a":[{"b":1},{"b":null},{}]}"#, "a.b", Mask::Text), r#"{"a":[{"b":"***"},{"b":null},{}]}"#);
        insta::assert_snapshot!(mask(r#"{"mail":"a@b"}"#, "mail", Mask::Hash), @r#"{"mail":"b497dc87a4c9e5243cbda1a135427f4e074fa39efc6803040e971383c3848370"}"#);
        assert_eq!(mask(r#"{"n":1}"#, "n", Mask::Hash), mask(r#"{"n":"1"}"#, "n", Mask::Hash), "as ids are compared");
        let shape = Shape {
            members: Members::Keep(paths(&["a"])),
            masked: vec![Masked { path: FieldPath::parse("a.b").unwrap(), mask: Mask::Text }],
        };
        assert_eq!(shaped(r#"{"a":{"b":1,"c":2},"d":3}"#, &shape, ""), r#"{"a":{"b":"***","c":2}}"#);
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![Just(serde_json::Value::Null), any::<i64>().prop_map(Into::into), ".{0,4}".prop_map(Into::into)];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map("[abc]", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// As dropping is defined, on a tree.
    fn without(value: &mut serde_json::Value, path: &[String]) {
        match value {
            serde_json::Value::Array(items) => items.iter_mut().for_each(|item| without(item, path)),
            serde_json::Value::Object(map) => match path {
                [last] => drop_key(map, last),
                [first, rest @ ..] => map.get_mut(first).into_iter().for_each(|inner| without(inner, rest)),
                [] => {}
            },
            _ => {}
        }
    }

    fn drop_key(map: &mut serde_json::Map<String, serde_json::Value>, key: &str) {
        map.remove(key);
    }

    proptest! {
        #[test]
        fn dropping_is_dropping_from_the_tree(value in json(), path in prop::collection::vec("[abc]", 1..4), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            let dropped = drop(&text, &[&path.join(".")]);
            let mut expected = value;
            without(&mut expected, &path);
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&dropped).unwrap(), expected);
        }

        /// What is kept and what is dropped make up the record, and both are JSON.
        #[test]
        fn keeping_is_the_opposite_of_dropping(value in json(), key in "[abc]") {
            let value = serde_json::json!({"a": value, "b": 1, "c": [1]});
            let (kept, dropped) = (keep(&value.to_string(), &[&key]), drop(&value.to_string(), &[&key]));
            let mut both: serde_json::Value = serde_json::from_str(&kept).unwrap();
            let rest: serde_json::Value = serde_json::from_str(&dropped).unwrap();
            both.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            prop_assert_eq!(both, value);
        }

        #[test]
        fn nothing_that_is_not_named_is_kept(value in json(), paths in prop::collection::vec("[abc](\\.[abc]){0,2}", 1..3)) {
            let texts: Vec<_> = paths.iter().map(String::as_str).collect();
            let text = value.to_string();
            let kept: serde_json::Value = serde_json::from_str(&keep(&text, &texts)).unwrap();
            if let serde_json::Value::Object(map) = kept {
                prop_assert!(map.keys().all(|key| texts.iter().any(|path| path.starts_with(key.as_str()))));
            }
        }
    }
}
