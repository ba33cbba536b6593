//! Which fields of a record changed, from hashes of its fields: no value is stored. Pure.

use super::known::Details;
use super::record::RecordView;
use super::volatile::{fitting, members};
use crate::detect::event::Kind;
use crate::plan::field_path::{FieldPath, Segment};
use crate::plan::shaping::{Members, Shape};
use crate::plan::{ChangesPlan, ResourcePlan};
use xxhash_rust::xxh3::xxh3_64;

/// Fields of a record that are distinguished before the first ones by name are taken; what comes after them is one field without a name.
const READ: usize = 1_024;
/// Bytes of the names in one event. Events wait with them in the retry queue.
const MAX_TEXT: usize = 1_024;
/// Stands for changes that cannot be named: a field that is gone, one after the first, or one that is not delivered.
const OTHERS: &str = "$";

/// A field of a record: its name, and hashes of its name and value, as they are remembered.
struct Field {
    name: String,
    hashes: (u32, u32),
}

/// What to remember of a record, in addition to what `details` say already.
pub(super) fn remembered(plan: &ResourcePlan, view: &RecordView<'_>, json: &str, details: Option<Details>) -> Option<Details> {
    let Some(changes) = plan.changes else { return details };
    let details = details.unwrap_or_default();
    let fields = if view.is_gone() { Box::default() } else { fields(plan, changes, json).map(|field| field.hashes).collect() };
    let details = Details { fields, ..details };
    (details != Details::default()).then_some(details)
}

/// Names of the fields that differ from what is remembered, separated by commas. `None`: it is not an update, or what the fields were is
/// not known.
pub(super) fn between(plan: &ResourcePlan, kind: Kind, json: &str, before: &[(u32, u32)]) -> Option<String> {
    let changes = plan.changes.filter(|_| kind == Kind::Updated)?;
    if before.is_empty() {
        return None;
    }
    let after: Vec<_> = fields(plan, changes, json).collect();
    let is_there = |path: u32| after.iter().any(|field| field.hashes.0 == path);
    let mut others = before.iter().any(|(path, _)| !is_there(*path));
    let mut text = String::new();
    for Field { name, hashes } in &after {
        if before.contains(hashes) {
            continue;
        }
        if is_named(name, &plan.extract.shape) && text.len() + name.len() + 1 < MAX_TEXT {
            push(&mut text, name);
        } else {
            others = true;
        }
    }
    if others {
        push(&mut text, OTHERS);
    }
    (!text.is_empty()).then_some(text)
}

/// The changes of two versions that follow each other, where the first one was not delivered by itself. `None`: what the receiver has is
/// not known.
pub(crate) fn both(first: Option<&str>, second: Option<&str>) -> Option<String> {
    let (first, second) = (first?, second?);
    let mut names: Vec<_> = first.split(',').chain(second.split(',')).filter(|name| *name != OTHERS).collect();
    names.sort_unstable();
    names.dedup();
    let mut others = [first, second].iter().any(|names| names.split(',').next_back() == Some(OTHERS));
    let mut text = String::new();
    for name in names {
        if text.len() + name.len() + 1 < MAX_TEXT {
            push(&mut text, name);
        } else {
            others = true;
        }
    }
    if others {
        push(&mut text, OTHERS);
    }
    Some(text)
}

/// How many fields of a record are distinguished, and their names.
pub fn names(json: &str, ignored: &[FieldPath]) -> Vec<String> {
    members(json, ignored, READ).into_keys().collect()
}

fn push(text: &mut String, name: &str) {
    if !text.is_empty() {
        text.push(',');
    }
    text.push_str(name);
}

/// The first fields by name, and the others as one.
fn fields(plan: &ResourcePlan, changes: ChangesPlan, json: &str) -> impl Iterator<Item = Field> + use<> {
    let mut rest = None;
    let mut all = members(json, &plan.extract.ignored, READ);
    if let Some(beyond) = all.remove("") {
        rest = Some(beyond);
    }
    let mut named: Vec<_> = all.into_iter().collect();
    for (name, value) in named.drain(changes.max_fields.min(named.len())..) {
        let hash = xxh3_64(name.as_bytes()) ^ value;
        rest = Some(rest.unwrap_or(0).rotate_left(1) ^ hash);
    }
    let rest = rest.map(|value| (String::new(), value));
    named.into_iter().chain(rest).map(|(name, value)| {
        let hashes = (short(xxh3_64(name.as_bytes())), short(value));
        Field { name, hashes }
    })
}

/// Half of a hash: of a few dozen fields, two are taken for one, or a changed one for the same, once in a hundred million records.
#[allow(clippy::cast_possible_truncation)] // the low half of a hash is a hash
fn short(hash: u64) -> u32 {
    hash as u32
}

/// Whether the name may be in an event: it is fit to be shown, its commas do not read as separators, the member is delivered, and it is not
/// one of a value that is masked.
fn is_named(name: &str, shape: &Shape) -> bool {
    let is_delivered = || shape.members == Members::All || is_delivered(name, &shape.members);
    fitting(name) && !name.contains(',') && is_delivered() && !is_in_masked(name, shape)
}

fn is_in_masked(name: &str, shape: &Shape) -> bool {
    if shape.masked.is_empty() {
        return false;
    }
    let Ok(name) = FieldPath::parse(name) else { return true };
    let is_below = |path: &FieldPath| keys(&name).len() > keys(path).len() && keys(&name).starts_with(&keys(path));
    shape.masked.iter().any(|masked| is_below(&masked.path))
}

fn keys(path: &FieldPath) -> Vec<&str> {
    path.segments().iter().filter_map(|segment| if let Segment::Key(key) = segment { Some(&**key) } else { None }).collect()
}

fn is_delivered(name: &str, members: &Members) -> bool {
    let Ok(name) = FieldPath::parse(name) else { return false };
    let begins = |path: &FieldPath, with: &FieldPath| keys(path).starts_with(&keys(with));
    let has_index = |path: &FieldPath| path.segments().iter().any(|segment| matches!(segment, Segment::Index(_)));
    match members {
        Members::All => true,
        Members::Keep(paths) => paths.iter().any(|path| begins(&name, path) || begins(path, &name)),
        // Of an array of which one element is left out the others are delivered.
        Members::Drop(paths) => !paths.iter().any(|path| !has_index(path) && begins(&name, path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::classify::Mode;
    use crate::detect::detector::{Detector, Moment, View};
    use crate::detect::known::KnownSet;
    use crate::detect::record::Record;
    use crate::detect::window::UNBOUNDED;
    use crate::plan::sample;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn plan(max_fields: usize, members: Members) -> ResourcePlan {
        let sample = sample::resource();
        let shape = Shape { members, masked: Vec::new() };
        let ignored = vec![path("updated")];
        let extract = crate::plan::ExtractPlan { ignored, shape, ..(*sample.extract).clone() };
        ResourcePlan { extract: Arc::new(extract), changes: Some(ChangesPlan { max_fields }), ..sample }
    }

    fn path(text: &str) -> FieldPath {
        FieldPath::parse(text).unwrap()
    }

    fn remember(plan: &ResourcePlan, json: &str) -> Details {
        let fields = fields(plan, plan.changes.unwrap(), json).map(|field| field.hashes).collect();
        Details { fields, ..Details::default() }
    }

    fn changed(plan: &ResourcePlan, before: &str, after: &str) -> Option<String> {
        between(plan, Kind::Updated, after, &remember(plan, before).fields)
    }

    #[test]
    fn what_is_in_a_masked_value_is_not_named() {
        let masked = vec![crate::plan::shaping::Masked { path: path("profile"), mask: crate::plan::shaping::Mask::Text }];
        let shape = Shape { members: Members::All, masked };
        let is_named = ["profile", "profile.illness", "profiles", "profile.a.b"].map(|name| is_named(name, &shape));
        assert_eq!(is_named, [true, false, true, false]);
    }

    #[test]
    fn changed_and_new_fields_are_named_and_one_that_is_gone_is_not() {
        let plan = plan(32, Members::All);
        let before = r#"{"id":1,"updated":"a","email":"x","address":{"city":"A","zip":1},"tags":["a","b"],"old":1}"#;
        assert_eq!(changed(&plan, before, before), None, "only what is ignored");
        let after = r#"{"updated":"b","id":1,"email":"y","address":{"zip":1,"city":"B"},"tags":["a","b"],"old":1}"#;
        assert_eq!(changed(&plan, before, after).as_deref(), Some("address.city,email"), "whatever the order");
        let after = r#"{"id":1,"email":"x","address":{"city":"A","zip":1},"tags":["b","a"],"fresh":null}"#;
        assert_eq!(changed(&plan, before, after).as_deref(), Some("fresh,tags,$"));
        assert_eq!(between(&plan, Kind::Created, after, &remember(&plan, before).fields), None);
        assert_eq!(between(&plan, Kind::Updated, after, &[]), None, "what it was is not known");
    }

    #[test]
    fn names_that_are_not_delivered_or_cannot_be_written_are_not_told() {
        let (before, after) = (r#"{"a":{"b":1,"c":1},"d,e":1,"f":1}"#, r#"{"a":{"b":2,"c":2},"d,e":2,"f":2}"#);
        for (members, told) in [
            (Members::All, "a.b,a.c,f,$"),
            (Members::Keep(vec![path("a.b")]), "a.b,$"),
            (Members::Keep(vec![path("a")]), "a.b,a.c,$"),
            (Members::Drop(vec![path("a")]), "f,$"),
            (Members::Drop(vec![path("a.c"), path("f[0]")]), "a.b,f,$"),
        ] {
            assert_eq!(changed(&plan(32, members), before, after).as_deref(), Some(told));
        }
    }

    #[test]
    fn what_comes_after_the_first_fields_counts_as_one() {
        let plan = plan(2, Members::All);
        let before = r#"{"d":1,"c":1,"b":1,"a":1}"#;
        assert_eq!(remember(&plan, before).fields.len(), 3);
        assert_eq!(changed(&plan, before, r#"{"a":2,"b":1,"c":1,"d":1}"#).as_deref(), Some("a"));
        assert_eq!(changed(&plan, before, r#"{"a":1,"b":1,"c":1,"d":2}"#).as_deref(), Some("$"));
        let many = |value: u8| {
            let members: Vec<_> = (0..2_000).map(|n| format!(r#""name_of_member_{n:04}":{value}"#)).collect();
            format!("{{{}}}", members.join(","))
        };
        let plan = super::tests::plan(64, Members::All);
        let told = changed(&plan, &many(1), &many(2)).unwrap();
        assert!(told.len() <= MAX_TEXT + 2 && told.ends_with(",$"), "{told}");
        assert_eq!(remember(&plan, &many(1)).fields.len(), 65);
    }

    #[test]
    fn versions_that_were_not_delivered_add_up() {
        assert_eq!(both(Some("a,b"), Some("b,c,$")).as_deref(), Some("a,b,c,$"));
        assert_eq!(both(Some("$"), Some("$")).as_deref(), Some("$"));
        assert_eq!(both(Some("price,us$"), Some("us$")).as_deref(), Some("price,us$"), "every change has a name");
        assert_eq!(both(Some("us$,$"), Some("price")).as_deref(), Some("price,us$,$"));
        assert_eq!((both(None, Some("a")), both(Some("a"), None)), (None, None));
    }

    /// Reads one version of a record and takes its change.
    fn poll(plan: &ResourcePlan, known: &mut KnownSet, json: &str) -> Vec<(Kind, Option<String>)> {
        let at = "2026-11-24T10:00:00Z".parse().unwrap();
        let view = View { mode: Mode::Usual, cursor: Some(at), window: UNBOUNDED, rehash: false };
        let mut detector = Detector::new(plan, "uid", view, at);
        detector.begin_listing(None, false);
        let moment = Moment::new(Some(at), at);
        let found = detector.page([Record { json, key: None }].into_iter(), known, moment).unwrap();
        for change in &found.changes {
            known.remember_with(change.object, change.known, change.details.clone());
        }
        found.changes.into_iter().map(|change| (change.event.kind, change.event.changes)).collect()
    }

    #[test]
    fn the_detector_compares_with_the_version_that_was_taken_last() {
        let (with, mut known) = (plan(32, Members::All), KnownSet::default());
        let version = |minute: u8, rest: &str| format!(r#"{{"id":1,"updated":"2026-11-24T09:{minute:02}:00Z"{rest}}}"#);
        let without = ResourcePlan { changes: None, ..with.clone() };
        assert_eq!(poll(&without, &mut known, &version(1, "")), [(Kind::Created, None)]);
        assert_eq!(poll(&with, &mut known, &version(1, "")), [], "it is turned on, and sends nothing");
        let told = poll(&with, &mut known, &version(2, r#","name":"Ada""#));
        assert_eq!(told, [(Kind::Updated, Some("name".to_owned()))]);
        assert_eq!(poll(&with, &mut known, &version(3, r#","name":"Ada","deleted":true"#)), [(Kind::Deleted, None)]);
        assert_eq!(poll(&with, &mut known, &version(4, r#","name":"Ada""#)), [(Kind::Created, None)]);
        assert_eq!(
            poll(&with, &mut known, &version(5, r#","name":"Bob""#)),
            [(Kind::Updated, Some("name".to_owned()))],
            "a life is compared with itself"
        );
        assert_eq!(poll(&without, &mut known, &version(6, "")), [(Kind::Updated, None)], "it is turned off");
    }

    proptest! {
        /// Exactly the members that differ are named, whatever their order.
        #[test]
        fn exactly_what_differs_is_named(
            before in prop::collection::btree_map("[a-f]", 0_u8..3, 1..6),
            after in prop::collection::btree_map("[a-f]", 0_u8..3, 1..6),
            reversed in any::<bool>(),
        ) {
            let write = |members: &BTreeMap<String, u8>, reversed: bool| {
                let mut texts: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
                if reversed { texts.reverse() }
                format!("{{{}}}", texts.join(", "))
            };
            let told = changed(&plan(32, Members::All), &write(&before, false), &write(&after, reversed));
            let mut expected: Vec<_> = after.iter().filter(|(name, value)| before.get(*name) != Some(value)).map(|(name, _)| name.as_str()).collect();
            expected.extend(before.keys().any(|name| !after.contains_key(name)).then_some(OTHERS));
            prop_assert_eq!(told.unwrap_or_default(), expected.join(","));
        }
    }
}
