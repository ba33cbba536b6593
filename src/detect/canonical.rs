//! The hash by which two versions of a record are compared where no date distinguishes them: the same whatever the order of members and
//! the white space between them, with numbers and texts as they are spelt. Pure.

use xxhash_rust::xxh3::xxh3_64;

use crate::plan::field_path::{FieldPath, Segment};
use crate::plan::json::{for_each_element, for_each_member};

/// Hash of a record without what lies at the ignored paths.
pub fn hash(json: &str, ignored: &[FieldPath]) -> u64 {
    hash_below(json.trim(), &ignored.iter().map(FieldPath::segments).collect::<Vec<_>>())
}

fn hash_below(json: &str, ignored: &[&[Segment]]) -> u64 {
    match json.as_bytes().first() {
        Some(b'{') => {
            let (mut sum, mut members) = (0_u64, 0_u64);
            for_each_member(json, |key, value| {
                let below = below_key(ignored, key);
                if !below.iter().any(|rest| rest.is_empty()) {
                    // A sum has no order. Each member is hashed with its name, so that values cannot change places.
                    sum = sum.wrapping_add(pair(xxh3_64(key.as_bytes()), hash_below(value, &below)));
                    members += 1;
                }
            });
            pair(sum, members ^ u64::from(b'{') << 56)
        }
        Some(b'[') => {
            let (mut all, mut index) = (u64::from(b'['), 0);
            for_each_element(json, |value| {
                let below = below_element(ignored, index);
                index += 1;
                if !below.iter().any(|rest| rest.is_empty()) {
                    all = pair(all, hash_below(value, &below));
                }
            });
            all
        }
        _ => xxh3_64(json.as_bytes()),
    }
}

fn pair(first: u64, second: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&first.to_le_bytes());
    bytes[8..].copy_from_slice(&second.to_le_bytes());
    xxh3_64(&bytes)
}

/// What is left of the ignored paths below the member `key`; an empty one ignores it.
pub(super) fn below_key<'p>(ignored: &[&'p [Segment]], key: &str) -> Vec<&'p [Segment]> {
    let split = ignored.iter().filter_map(|path| path.split_first());
    split.filter(|(first, _)| matches!(first, Segment::Key(name) if name == key)).map(|(_, rest)| rest).collect()
}

/// What is left of the ignored paths below the element `index`. A key goes through an array to each of its elements.
pub(super) fn below_element<'p>(ignored: &[&'p [Segment]], index: usize) -> Vec<&'p [Segment]> {
    let below = |path: &&'p [Segment]| match path.split_first()? {
        (Segment::Index(at), rest) => (*at == index).then_some(rest),
        (Segment::Key(_), _) => Some(*path),
    };
    ignored.iter().filter_map(below).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn plain(json: &str) -> u64 {
        hash(json, &[])
    }

    #[test]
    fn order_and_space_say_nothing_and_everything_else_does() {
        let json = r#"{"a":1,"b":{"c":[1,2],"d":"x y"}}"#;
        for same in [r#"{"b":{"d":"x y","c":[1,2]},"a":1}"#, "{ \"a\" : 1,\n \"b\": {\"c\": [ 1 , 2 ], \"d\": \"x y\"} }"] {
            assert_eq!(plain(json), plain(same), "{same}");
        }
        for other in [
            r#"{"a":1,"b":{"c":[2,1],"d":"x y"}}"#,
            r#"{"a":1.0,"b":{"c":[1,2],"d":"x y"}}"#,
            r#"{"a":"1","b":{"c":[1,2],"d":"x y"}}"#,
            r#"{"a":1,"b":{"c":[1,2],"d":"x  y"}}"#,
            r#"{"a":1,"b":{"c":[[1,2]],"d":"x y"}}"#,
            r#"{"b":1,"a":{"c":[1,2],"d":"x y"}}"#,
            r#"{"a":1,"c":[1,2],"d":"x y"}"#,
            r#"{"a":1,"b":{"c":[1,2],"d":"x y"},"e":null}"#,
        ] {
            assert_ne!(plain(json), plain(other), "{other}");
        }
        assert_ne!(plain("{}"), plain("[]"));
        assert_ne!(plain("[{}]"), plain("[[]]"));
    }

    #[test]
    fn what_is_ignored_is_left_out() {
        let ignored = [FieldPath::parse("views").unwrap(), FieldPath::parse("lines.seen").unwrap()];
        let one = hash(r#"{"id":1,"views":7,"lines":[{"sku":"a","seen":1},{"seen":2}]}"#, &ignored);
        assert_eq!(one, hash(r#"{"lines":[{"seen":9,"sku":"a"},{}],"views":8,"id":1}"#, &ignored));
        assert_ne!(one, hash(r#"{"id":1,"views":7,"lines":[{"sku":"b","seen":1},{"seen":2}]}"#, &ignored));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0_i64..5).prop_map(Value::from),
            "[ab]{0,2}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ab]{1,2}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// The same value with the members of every object in the other order.
    fn reversed(value: &Value) -> String {
        match value {
            Value::Array(items) => format!("[ {} ]", items.iter().map(reversed).collect::<Vec<_>>().join(" , ")),
            Value::Object(members) => {
                let member = |(key, value): (&String, &Value)| format!("{} : {}", Value::from(key.as_str()), reversed(value));
                format!(
                    "{{{}}}",
                    members.iter().collect::<Vec<_>>().into_iter().rev().map(member).collect::<Vec<_>>().join(",")
                )
            }
            scalar => scalar.to_string(),
        }
    }

    proptest! {
        #[test]
        fn two_values_are_equal_exactly_where_their_hashes_are(one in value(), other in value()) {
            prop_assert_eq!(plain(&one.to_string()), plain(&reversed(&one)));
            prop_assert_eq!(one == other, plain(&one.to_string()) == plain(&reversed(&other)));
        }

        #[test]
        fn a_member_that_changes_changes_the_hash(members in prop::collection::btree_map("[a-d]", 0_i64..4, 1..5), by in 1_i64..4) {
            let text = |members: &std::collections::BTreeMap<String, i64>| {
                Value::Object(members.iter().map(|(key, value)| (key.clone(), Value::from(*value))).collect::<Map<_, _>>()).to_string()
            };
            let mut changed = members.clone();
            *changed.values_mut().next().unwrap() += by;
            prop_assert_ne!(plain(&text(&members)), plain(&text(&changed)));
        }
    }
}
