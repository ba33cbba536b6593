use proptest::prelude::*;

use super::*;
use crate::plan::field_path::FieldPath;
use crate::plan::json::scan::{Fault, ScanError};

fn texts(page: &Page) -> Vec<&str> {
    page.records().map(|r| r.json).collect()
}

fn list(body: &str, path: Option<&str>) -> Result<Page, SplitError> {
    let path = path.map(|p| FieldPath::parse(p).unwrap());
    split(Bytes::copy_from_slice(body.as_bytes()), path.as_ref().map(FieldPath::segments), RecordsAs::List)
}

/// As a first answer is read.
fn list_found(body: &str) -> Result<Page, SplitError> {
    let place = Place { path: None, is_given: false, held_list: false, is_success: false, only: None, requested: None };
    split_at(Bytes::copy_from_slice(body.as_bytes()), &place, RecordsAs::List)
}

fn map(body: &str) -> Result<Page, SplitError> {
    split(Bytes::copy_from_slice(body.as_bytes()), None, RecordsAs::Map)
}

#[test]
fn nothing_is_taken_for_an_error_where_a_rule_says_that_all_is_well() {
    let path = FieldPath::parse("data").unwrap();
    let read = |body: &str, is_success| {
        let place =
            Place { path: Some(path.segments()), is_given: true, held_list: true, is_success, only: None, requested: None };
        split_at(Bytes::copy_from_slice(body.as_bytes()), &place, RecordsAs::List).map(|page| page.len())
    };
    for (body, rows) in [
        (r#"{"data":[{"id":1}],"faults":[{"code":"P0420"}]}"#, 1),
        (r#"{"data":[{"id":1}],"exceptions":[{"date":"2026-12-24"}]}"#, 1),
        (r#"{"data":[{"id":1}],"success":0}"#, 1),
        (r#"{"data":[{"id":1}],"partial":true}"#, 1),
        (r#"{"data":[],"message":"access denied"}"#, 0),
        (r#"{"errors":[{"id":5}]}"#, 0),
        (r#"{"login_required":true}"#, 0),
    ] {
        assert!(read(body, false).is_err(), "{body}");
        assert_eq!(read(body, true), Ok(rows), "{body}");
    }
    assert!(read(r#"{"data":7}"#, true).is_err(), "what is no list is none");
}

#[test]
fn finds_the_records_without_being_told() {
    for (body, records, envelope) in [
        (r#" [ {"id":1} , {"id":2} ] "#, vec![r#"{"id":1}"#, r#"{"id":2}"#], " [] "),
        ("[]", vec![], "[]"),
        (r#"{"n":1,"data":[{"a":[1,{}]}],"next":"x"}"#, vec![r#"{"a":[1,{}]}"#], r#"{"n":1,"data":[],"next":"x"}"#),
        (r#"{"data":[]}"#, vec![], r#"{"data":[]}"#),
        (r#"{"scopes":["a"],"data":[{}]}"#, vec!["{}"], r#"{"scopes":["a"],"data":[]}"#),
        (r#"{"data":[{}],"scopes":["a"]}"#, vec!["{}"], r#"{"data":[],"scopes":["a"]}"#),
        (r#"{"data":[{"a":1}],"data":[{"a":2}]}"#, vec![r#"{"a":2}"#], r#"{"data":[{"a":1}],"data":[]}"#),
        (r#"[1,null,{"id":1}]"#, vec!["1", "null", r#"{"id":1}"#], "[]"),
    ] {
        let page = list(body, None).unwrap();
        assert_eq!(texts(&page), records, "{body}");
        assert_eq!(page.envelope(), envelope, "{body}");
    }
    assert_eq!(list(r#"{"errors":[],"data":[{}]}"#, None).unwrap().path(), [Segment::Key("data".into())]);
    for error in [
        r#"{"errors":[{"id":"3f1c"}]}"#,
        r#"{"status":"error","errors":[]}"#,
        r#"{"data":[{}],"error":"x"}"#,
        r#"[{"error":"x"}]"#,
    ] {
        assert_eq!(list_found(error).unwrap_err(), SplitError::ErrorAnswer, "{error}");
    }
    for (body, rows) in [(r#"{"data":[null,{"id":1},null]}"#, Ok(3)), (r#"{"data":[{"id":1}],"x":[null]}"#, Ok(1))] {
        assert_eq!(list(body, None).map(|page| page.len()), rows, "{body}: providers write null for what may not be read");
    }
    assert!(
        matches!(list(r#"{"data":[null]}"#, None), Err(SplitError::Undecided { .. })),
        "which need not be a list of records"
    );
    assert_eq!(list(r#"{"d\u0061ta":[{}]}"#, None).unwrap().path(), [Segment::Key("data".into())]);
}

#[test]
fn an_answer_that_says_that_rows_are_missing_is_no_page() {
    let partial = |member: &str| Err(SplitError::Partial { member: member.into() });
    for path in [None, Some("items")] {
        let read = |body: &str| list(body, path).map(|page| page.len());
        assert_eq!(read(r#"{"incomplete_results":true,"items":[{"id":1}]}"#), partial("incomplete_results"));
        assert_eq!(read(r#"{"incomplete_results":true,"items":[]}"#), partial("incomplete_results"));
        assert_eq!(read(r#"{"incomplete_results":false,"warnings":["m"],"items":[{"id":1}]}"#), Ok(1));
    }
    assert_eq!(list(r#"{"unreachable":["eu"]}"#, Some("items")).map(|page| page.len()), partial("unreachable"));
    assert_eq!(map(r#"{"partial":{"id":1}}"#).map(|page| page.len()), Ok(1), "a record of that name");
}

#[test]
fn pieces_are_all_records_in_either_direction() {
    let page = map(r#"{"a":0,"\u0062":1,"c":2,"d":3,"\u0065":4}"#).unwrap();
    let keys = |reversed: bool, size: usize| -> Vec<_> {
        let piece = |piece| {
            let records: Vec<_> = page.records_in(piece).filter_map(|record| record.key).collect();
            if reversed { records.into_iter().rev().collect::<String>() } else { records.concat() }
        };
        page.pieces(size, reversed).map(piece).collect()
    };
    assert_eq!(keys(false, 2), ["ab", "cd", "e"]);
    assert_eq!(keys(true, 2), ["e", "dc", "ba"]);
    assert_eq!((keys(false, 9), keys(true, 0).len()), (vec!["abcde".to_owned()], 5));
    assert_eq!(list("[]", None).unwrap().pieces(2, false).count(), 0);
}

#[test]
fn asks_for_the_path_when_it_cannot_know() {
    let undecided = |body: &str| match list(body, None) {
        Err(SplitError::Undecided { arrays }) => arrays.join(" "),
        other => panic!("{body}: {other:?}"),
    };
    assert_eq!(undecided("{}"), "");
    assert_eq!(undecided(r#"{"name":"x"}"#), "");
    assert_eq!(undecided(r#"{"contacts":[{}],"users":[]}"#), "contacts users");
    assert_eq!(undecided(r#"{"contacts":[],"users":[{}]}"#), "contacts users");
    assert_eq!(undecided(r#"{"records":null,"users":[{}]}"#), "users", "null is where records are usually");
    assert_eq!(undecided(r#"{"a":[1]}"#), "a");
    assert_eq!(undecided(r#"{"r":{"docs":[{}],"b.c":[]},"n":1}"#), "r.docs r.['b.c']");
    assert_eq!(undecided(r#"{"a":[],"b":[],"c":[],"d":[],"e":[],"f":[]}"#), "a b c d e");
}

#[test]
fn lists_about_the_list_are_not_its_records() {
    let found = |body: &str, requested| {
        let place = Place { path: None, is_given: false, held_list: false, is_success: false, only: None, requested };
        match split_at(Bytes::copy_from_slice(body.as_bytes()), &place, RecordsAs::List) {
            Ok(page) => place::kept(page.path()),
            Err(SplitError::Undecided { .. }) => None,
            Err(other) => panic!("{body}: {other:?}"),
        }
    };
    for (body, requested, path) in [
        (r#"{"data":[{}],"included":[{}]}"#, "contacts", Some("data")),
        (r#"{"warnings":[{}],"data":[]}"#, "contacts", Some("data")),
        (r#"{"warnings":[{}]}"#, "contacts", None),
        (r#"{"links":[{"rel":"self"}],"count":0}"#, "contacts", None),
        (r#"{"links":[{"id":1}]}"#, "links.json", Some("links")),
        (r#"{"custom_fields":[{"id":1}]}"#, "custom-fields", Some("custom_fields")),
        (r#"{"next":null,"users":[{}]}"#, "users", Some("users")),
        (r#"{"items":null,"users":[{}]}"#, "users", None),
        (r#"{"data":[{}],"records":null}"#, "users", Some("data")),
    ] {
        assert_eq!(found(body, Some(requested)).as_deref(), path, "{body}");
    }
}

#[test]
fn follows_a_path() {
    let body = r#"{"x":[{}],"a":{"b c":[0,{"d":[{"id":1}]}]},"a2":null,"s":"t"}"#;
    assert_eq!(texts(&list(body, Some("a['b c'][1].d")).unwrap()), [r#"{"id":1}"#]);
    let arrays = vec!["x".to_owned(), "a.['b c']".to_owned()];
    assert_eq!(list(body, Some("a.d")).unwrap_err(), SplitError::Missing { root: Kind::Object, arrays });
    let none = SplitError::Missing { root: Kind::Array, arrays: vec![] };
    assert_eq!(list("[{}]", Some("data")).unwrap_err(), none);
    assert!(list(body, Some("a2")).unwrap().is_empty(), "null is how Go writes an empty list");
    assert_eq!(list(body, Some("s")).unwrap_err(), SplitError::WrongKind { found: Kind::Scalar });
    assert_eq!(list(body, Some("a")).unwrap_err(), SplitError::WrongKind { found: Kind::Object });
    assert_eq!(texts(&list(r#"{"a":null,"a":[{}]}"#, Some("a")).unwrap()), ["{}"]);
    assert!(matches!(list(r#"{"a":{"b":[{}]},"a":1}"#, Some("a.b")), Err(SplitError::Missing { .. })), "the last name counts");
}

#[test]
fn an_object_in_the_place_of_a_list_is_the_only_record_if_it_is_one() {
    let dated = crate::plan::sample::resource();
    let mut plain = crate::plan::ExtractPlan::clone(&dated.extract);
    (plain.updated, plain.created) = (None, None);
    let read = |body: &str, path: &str, only: &crate::plan::ExtractPlan| {
        let path = place::read(path).unwrap();
        let place =
            Place { path: Some(&path), is_given: true, held_list: false, is_success: false, only: Some(only), requested: None };
        split_at(Bytes::copy_from_slice(body.as_bytes()), &place, RecordsAs::List)
            .ok()
            .map(|page| (texts(&page).into_iter().map(str::to_owned).collect::<Vec<_>>(), page.envelope().to_owned()))
    };
    let one = |record: &str| Some((vec![record.to_owned()], r#"{"n":1,"a":{"b":[]}}"#.to_owned()));
    let inside = |record: &str| format!(r#"{{"n":1,"a":{{"b":{record}}}}}"#);
    for record in [r#"{"id":1,"updated":null}"#, r#"{"id":"x","created":"2026-01-01T00:00:00Z"}"#] {
        assert_eq!(read(&inside(record), "a.b", &dated.extract), one(record));
        assert_eq!(read(&inside(record), "a.b", &plain), one(record));
    }
    assert_eq!(read(&inside(r#"{"id":1}"#), "a.b", &plain), one(r#"{"id":1}"#));
    for other in [r#"{"id":1}"#, r#"{"updated":"x"}"#, r#"{"id":{},"updated":"x"}"#, r#"{"1":{"id":1}}"#] {
        assert_eq!(read(&inside(other), "a.b", &dated.extract), None, "{other}");
    }
    for error in [r#"{"id":"req-1","error":"quota"}"#, r#"{"id":"req-1","code":429,"message":"slow down"}"#] {
        assert_eq!(read(&inside(error), "a.b", &plain), None, "{error}");
    }
    assert_eq!(read(r#"{"id":1,"updated":"x"}"#, "$", &dated.extract), None, "the whole response may be anything");
    for (empty, rows) in
        [(r#"{"a":""}"#, true), (r#"{"a":{"b":""}}"#, true), (r#"{"a":"","c":[{"id":1}]}"#, false), (r#"{"b":""}"#, true)]
    {
        assert_eq!(read(empty, "a.b", &plain).is_some_and(|(rows, _)| rows.is_empty()), rows, "{empty}");
    }
}

#[test]
fn reads_maps_of_records() {
    let page = map(r#"{"k1":{"v":1}, "k\u0032" : {"v":2},"":3}"#).unwrap();
    let seen: Vec<_> = page.records().map(|r| (r.key.unwrap(), r.json)).collect();
    assert_eq!(seen, [("k1", r#"{"v":1}"#), ("k2", r#"{"v":2}"#), ("", "3")]);
    assert_eq!(page.envelope(), "{}");
    assert!(map("[]").unwrap().is_empty(), "PHP has one empty array for both");
    assert_eq!(map("[1]").unwrap_err(), SplitError::WrongKind { found: Kind::Array });
    assert!(map("{}").unwrap().is_empty());
    let page = map(r#"{"a":{},"n":null,"b\u0031":{"v":null},"null":{}}"#).unwrap();
    assert_eq!(
        page.records().map(|r| r.key.unwrap()).collect::<Vec<_>>(),
        ["a", "b1", "null"],
        "a key without a value has no record"
    );
    let listed = list("[{}]", None).unwrap();
    assert_eq!(listed.records().next().unwrap().key, None);
}

#[test]
fn refuses_what_is_no_json_within_bounds() {
    let raw = |body: &[u8]| split(Bytes::copy_from_slice(body), None, RecordsAs::List).unwrap_err();
    assert_eq!(raw(b""), SplitError::Empty);
    assert_eq!(raw(b"\xEF\xBB\xBF \n"), SplitError::Empty);
    assert_eq!(raw(b"[\"\xff\"]"), SplitError::Encoding { at: 2 });
    assert_eq!(raw(b"null"), SplitError::Null { at: 0 });
    assert_eq!(raw(b"<html></html>"), SplitError::Malformed(ScanError { at: 0, fault: Fault::Syntax }, Looks::Html));
    assert_eq!(raw(b"[{\"a\":NaN}]"), SplitError::Malformed(ScanError { at: 6, fault: Fault::Word }, Looks::NotANumber));
    assert_eq!(raw(b"[{}] x"), SplitError::Malformed(ScanError { at: 5, fault: Fault::Trailing }, Looks::Unknown));
    assert_eq!(raw(b"{\"a\":[{}]"), SplitError::Malformed(ScanError { at: 9, fault: Fault::Truncated }, Looks::Unknown));
    assert_eq!(raw(b"7"), SplitError::WrongKind { found: Kind::Scalar });
    assert_eq!(texts(&split(Bytes::from_static(b"\xEF\xBB\xBF[{}]"), None, RecordsAs::List).unwrap()), ["{}"]);
}

#[test]
fn bodies_are_bounded_and_records_as_their_bodies_are() {
    let large = format!("[{{}},{{\"text\":\"{}\"}}]", "x".repeat(3 << 20));
    assert_eq!(list(&large, None).unwrap().len(), 2);
    assert_eq!(split(Bytes::from(vec![b' '; MAX_BODY + 1]), None, RecordsAs::List).unwrap_err(), SplitError::BodyTooLarge);
}

#[test]
fn a_page_has_a_bounded_number_of_records() {
    let zeros = |count: usize| format!("[{}]", vec!["0"; count].join(","));
    assert_eq!(list(&zeros(MAX_RECORDS), None).unwrap().len(), MAX_RECORDS);
    assert_eq!(list(&zeros(MAX_RECORDS + 1), None).unwrap_err(), SplitError::TooManyRecords);
}

#[test]
fn a_digest_sees_the_records_and_nothing_else() {
    let digest = |body: &str| list(body, None).unwrap().digest();
    assert_eq!(digest(r#"{"page":1,"d":[{"a":1}]}"#), digest(r#"{"page":2,"d":[{"a":1}]}"#));
    assert_ne!(digest(r#"[{"a":1}]"#), digest(r#"[{"a":2}]"#));
}

fn json(depth: u32) -> impl Strategy<Value = String> {
    let number = "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?";
    let text = any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap());
    let leaf = prop_oneof![Just("null".to_owned()), Just("true".to_owned()), number, text.clone()];
    leaf.prop_recursive(depth, 32, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|v| format!("[{}]", v.join(" , "))),
            prop::collection::vec((text.clone(), inner), 0..4)
                .prop_map(|v| format!("{{{}}}", v.iter().map(|(k, v)| format!("{k} :{v}")).collect::<Vec<_>>().join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn sees_what_serde_json_sees(records in prop::collection::vec(json(4), 0..8), space in "[ \n\r\t]{0,3}") {
        let body = format!("{{\"n\":1,\"a\":{{\"b\":{space}[{}]}}}}", records.join(&format!("{space},{space}")));
        let page = list(&body, Some("a.b")).unwrap();
        let raw = FieldPath::parse("a.b").unwrap().find(&body).unwrap();
        let theirs: Vec<&serde_json::value::RawValue> = serde_json::from_str(raw).unwrap();
        prop_assert_eq!(texts(&page), theirs.iter().map(|r| r.get()).collect::<Vec<_>>());
        prop_assert_eq!(texts(&page), records, "every digit is kept");
    }

    #[test]
    fn never_panics(
        body in prop::collection::vec(any::<u8>(), 0..64),
        form in prop_oneof![Just(RecordsAs::List), Just(RecordsAs::Map)],
    ) {
        let _ = split(Bytes::from(body), None, form);
    }

    #[test]
    fn a_cut_body_is_never_a_page(records in prop::collection::vec(json(3), 0..4), cut in any::<prop::sample::Index>()) {
        let body = format!("[{}]", records.join(","));
        let cut = cut.index(body.len());
        prop_assert!(split(Bytes::copy_from_slice(&body.as_bytes()[..cut]), None, RecordsAs::List).is_err());
    }
}
