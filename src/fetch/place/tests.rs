use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::fetch::split::{SplitError, split_at};

/// Who says where the records are, and whether a list was seen there.
#[derive(Clone, Copy, Debug)]
enum Seen {
    Given,
    Both,
    Found,
}

fn read_at(body: &str, path: &str, seen: Seen, form: RecordsAs) -> Result<usize, SplitError> {
    let path = read(path).unwrap();
    let (is_given, held_list) = match seen {
        Seen::Given => (true, false),
        Seen::Both => (true, true),
        Seen::Found => (false, true),
    };
    let place = Place { path: Some(&path), is_given, held_list, is_success: false, only: None, requested: None };
    split_at(Bytes::copy_from_slice(body.as_bytes()), &place, form).map(|page| page.len())
}

fn list(body: &str, path: &str, seen: Seen) -> Result<usize, SplitError> {
    read_at(body, path, seen, RecordsAs::List)
}

#[test]
fn once_a_list_was_seen_every_empty_form_is_empty() {
    for (path, bodies) in [
        (
            "items",
            &[
                "{}",
                r#"{"items":null}"#,
                r#"{"items":{}}"#,
                r#"{"items":{ }}"#,
                r#"{"items":""}"#,
                r#"{"items":false}"#,
                r#"{"items":0}"#,
                r#"{"items":[]}"#,
                r#"{"items":"null"}"#,
                "null",
                "[]",
                "false",
                r#""""#,
                r#"{"total":0}"#,
                r#"{"resultSizeEstimate":0}"#,
                r#"{"kind":"x","etag":"y"}"#,
                r#"{"errors":[]}"#,
                r#"{"warnings":[{"a":1}]}"#,
                r#"{"message":"No records found"}"#,
                r#"{"status":"ok"}"#,
                r#"{"success":true,"code":200,"message":"OK"}"#,
            ][..],
        ),
        (
            "data.items",
            &[
                "{}",
                r#"{"data":{}}"#,
                r#"{"data":null}"#,
                r#"{"data":[]}"#,
                r#"{"data":""}"#,
                r#"{"data":{"items":null}}"#,
                r#"{"data":{"total":0}}"#,
            ],
        ),
        ("a[0].b", &["{}", r#"{"a":[]}"#, r#"{"a":[{}]}"#, r#"{"a":{}}"#, r#"{"a":[null]}"#]),
        ("$", &["[]", "{}", "null", "false", r#""""#]),
    ] {
        for body in bodies {
            for seen in [Seen::Both, Seen::Found] {
                assert_eq!(list(body, path, seen), Ok(0), "{path} {seen:?}: {body}");
            }
        }
    }
    // Google Calendar always sends another list; the one that is given may be left out.
    assert_eq!(list(r#"{"defaultReminders":[{"m":1}]}"#, "items", Seen::Both), Ok(0));
}

#[test]
fn an_error_is_never_an_empty_list() {
    for body in [
        r#"{"errors":[{"id":"3f1c","title":"timeout"}]}"#,
        r#"{"error":"x","items":null}"#,
        r#"{"error":{"code":5},"items":[]}"#,
        r#"{"status":"error"}"#,
        r#"{"success":false,"items":[]}"#,
        r#"{"ok":false}"#,
        r#"{"message":"backend timeout"}"#,
        r#"{"code":401,"message":"m","items":null}"#,
        r#"{"Fault":{"faultstring":"m"}}"#,
        r#"{"items":[{"id":1}],"errors":[{"message":"partial"}]}"#,
        r#"{"items":[{"id":1}],"success":false}"#,
    ] {
        for seen in [Seen::Given, Seen::Both, Seen::Found] {
            assert_eq!(list(body, "items", seen), Err(SplitError::ErrorAnswer), "{seen:?}: {body}");
        }
    }
    assert_eq!(list(r#"{"errors":[{"id":1}]}"#, "errors", Seen::Given), Ok(1), "the manifest says that these are the records");
    assert_eq!(list(r#"[{"errorCode":"X","message":"m"}]"#, "$", Seen::Found), Err(SplitError::ErrorAnswer));
}

#[test]
fn a_path_that_was_never_right_stays_visible() {
    for (body, path, empty) in [
        ("{}", "items", true),
        (r#"{"items":null,"x":[{"id":1}]}"#, "items", true),
        (r#"{"resultSizeEstimate":0}"#, "items", true),
        (r#"{"data":null}"#, "data.items", true),
        (r#"{"data":{}}"#, "data.items", true),
        (r#"{"labels":["a"]}"#, "items", true),
        (r#"{"errors":[],"warnings":[]}"#, "items", true),
        (r#"{"item":[{"id":1}]}"#, "items", false),
        (r#"{"Items":[]}"#, "items", false),
        (r#"{"result":{"data":{"rows":[{"id":1}]}}}"#, "result.rows", false),
        (r#"{"total":3}"#, "items", false),
        (r#"{"items":{}}"#, "items", false),
        (r#"{"items":{"a":1}}"#, "items", false),
        (r#"{"items":"x"}"#, "items", false),
        (r#"[{"id":1}]"#, "items", false),
        ("[]", "items", false),
        ("7", "items", false),
    ] {
        let read = list(body, path, Seen::Given);
        assert_eq!(read == Ok(0), empty, "{path}: {body}: {read:?}");
        assert!(read != Err(SplitError::ErrorAnswer), "{path}: {body}");
    }
}

#[test]
fn a_list_that_moved_is_not_followed_without_a_word() {
    for body in [
        r#"{"results":[{"id":1}]}"#,
        r#"{"data":null,"results":[{"id":1}]}"#,
        r#"{"data":[],"results":{"rows":[{"id":1}]}}"#,
        r#"{"page":{"results":[{"id":1}]}}"#,
    ] {
        let read = list(body, "data", Seen::Found);
        assert!(matches!(read, Err(SplitError::Moved { .. })) == !body.contains("[],"), "{body}: {read:?}");
    }
    assert!(matches!(list(r#"{"total":1,"results":[{"id":1}]}"#, "data", Seen::Both), Err(SplitError::Moved { .. })));
    assert!(list(r#"{"data":[{"id":1}]}"#, "$", Seen::Found).is_err());
    assert!(list(r#"[{"id":1}]"#, "data", Seen::Found).is_err());
    assert_eq!(list(r#"{"data":[{"id":1}],"included":[{"id":2}],"other":[{"id":3}]}"#, "data", Seen::Found), Ok(1));
}

#[test]
fn maps_have_empty_forms_of_their_own() {
    let map = |body, path, seen| read_at(body, path, seen, RecordsAs::Map);
    for seen in [Seen::Given, Seen::Both, Seen::Found] {
        assert_eq!(map(r#"{"m":[]}"#, "m", seen), Ok(0), "{seen:?}");
        assert_eq!(map(r#"{"m":{}}"#, "m", seen), Ok(0), "{seen:?}");
        assert_eq!(map("[]", "$", seen), Ok(0), "{seen:?}");
    }
    assert_eq!(map(r#"{"m":null}"#, "m", Seen::Given), Ok(0));
    assert_eq!(map("{}", "m", Seen::Both), Ok(0));
    assert!(map(r#"{"m":[1]}"#, "m", Seen::Both).is_err());
    assert_eq!(map(r#"{"error":{"code":5,"message":"m"}}"#, "$", Seen::Found), Err(SplitError::ErrorAnswer));
    assert_eq!(map(r#"{"k1":{"v":1},"error":{"v":2}}"#, "$", Seen::Found), Ok(2));
}

#[test]
fn a_kept_path_is_read_back_as_the_same() {
    let key = |text: &str| Segment::Key(text.into());
    for path in [
        vec![],
        vec![key("data")],
        vec![key("data"), key("items")],
        vec![key("a b"), Segment::Index(3), key("c.d")],
        vec![key("$")],
        vec![key("@odata"), key("it's")],
    ] {
        assert_eq!(read(&kept(&path).unwrap()), Some(path));
    }
    for path in [vec![key("it's \"x\"")], vec![key("")], vec![key(&"x".repeat(600))]] {
        assert_eq!(kept(&path), None);
    }
}

proptest! {
    #[test]
    fn any_kept_path_is_read_back_as_the_same(keys in prop::collection::vec(any::<String>(), 0..4), index in any::<Option<usize>>()) {
        let mut path: Vec<_> = keys.into_iter().map(Segment::Key).collect();
        path.extend(index.map(Segment::Index));
        if let Some(text) = kept(&path) {
            prop_assert_eq!(read(&text), Some(path));
        }
    }

    #[test]
    fn never_panics(
        body in r#"([{}\[\]",:0-9a]|"a":|"items":|"error":|null|false|é){0,24}"#,
        path in prop::sample::select(vec!["$", "a", "items", "a.items", "items[0].a"]),
        seen in prop::sample::select(vec![Seen::Given, Seen::Both, Seen::Found]),
        form in prop_oneof![Just(RecordsAs::List), Just(RecordsAs::Map)],
    ) {
        let _ = read_at(&body, path, seen, form);
    }
}
