//! Whether an answer says of itself that rows of its list are missing: a search that ran out of time, shards or regions that did not answer.
//! Pure.
//!
//! No later answer lists what a cursor has passed, and what is missing from a sweep looks deleted. So such an answer is treated like one
//! with an error next to its list. Warnings alone say nothing of rows.

use serde_json::value::RawValue;

use super::members::{shown, wraps};
use super::names::Words;
use crate::plan::field_path::Segment;
use crate::plan::json;

/// Objects inside objects that are looked into.
const MAX_LEVELS: usize = 3;

const CUT: &[&str] = &["partial", "incomplete"];
const OUT_OF_TIME: &[&str] = &["timed", "out", "timedout", "timeout"];
const UNREACHABLE: &[&str] = &["unreachable", "unreachables"];
/// What is cut, where a member says so: no part of a record is named like that.
const LISTED: &[&str] =
    &["results", "result", "search", "query", "data", "response", "list", "listing", "items", "records", "rows", "hits"];
/// Words around those that decide.
const FILLER: &[&str] = &["is", "has", "was", "are", "success"];
/// Where rows come from.
const SOURCES: &[&str] = &[
    "locations",
    "regions",
    "zones",
    "projects",
    "sources",
    "shards",
    "nodes",
    "servers",
    "backends",
    "partitions",
    "resources",
    "clusters",
];

/// What an object is that is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The answer itself, or what wraps its list.
    Envelope,
    /// `meta`, which may give the status of the request.
    Meta,
    /// Counts of the parts of a search engine.
    Parts,
}

/// The member that says that rows are missing, as a message names it. `path` leads to the records, which are cut out.
pub(super) fn marker(envelope: &str, path: &[Segment]) -> Option<String> {
    look(envelope, path, Place::Envelope, MAX_LEVELS).map(|names| shown(&names))
}

/// Names from the object to the member.
fn look(object: &str, path: &[Segment], place: Place, levels: usize) -> Option<Vec<String>> {
    let mut members = Vec::new();
    json::for_each_member(object, |key, value| members.push((key.to_owned(), Words::of(key), value)));
    // An object with an identity is data of which the list is a part: an order may be `partial`.
    let is_data = members
        .iter()
        .any(|(_, words, value)| words.is_one_of(&[&["id"], &["uuid"], &["guid"]]) && !value.starts_with(['{', '[', 'n']));
    for (key, words, value) in members {
        if says_missing(&words, value, place) && (place == Place::Parts || !is_data || words.has_any(LISTED)) {
            return Some(vec![key]);
        }
        if !value.starts_with('{') || levels == 0 {
            continue;
        }
        let below = match path.split_first() {
            Some((Segment::Key(step), rest)) if *step == key => Some(rest),
            _ => None,
        };
        let inner = match () {
            () if words.is_one_of(&[&["shards"], &["clusters"]]) => Place::Parts,
            () if words.is_one_of(&[&["meta"], &["metadata"]]) => Place::Meta,
            () if below.is_some() || wraps(&words) => Place::Envelope,
            () => continue,
        };
        if let Some(mut names) = look(value, below.unwrap_or_default(), inner, levels - 1) {
            names.insert(0, key);
            return Some(names);
        }
    }
    None
}

fn says_missing(words: &Words, value: &str, place: Place) -> bool {
    if place == Place::Parts {
        return words.is_one_of(&[&["failed"], &["partial"]]) && value.parse::<u64>().is_ok_and(|count| count > 0);
    }
    // Solr 9 writes "omitted" where rows are left out.
    let is_true = || matches!(value.trim_matches('"').to_ascii_lowercase().as_str(), "true" | "omitted");
    if words.has_any(CUT) {
        return words.within(&[CUT, LISTED, FILLER]) && is_true();
    }
    if words.has_any(&["timedout", "timeout"]) || (words.has("timed") && words.has("out")) {
        return words.within(&[OUT_OF_TIME, LISTED, FILLER, &["request"]]) && is_true();
    }
    if words.is(&["search", "cutoff"]) {
        return is_true();
    }
    if words.has_any(UNREACHABLE) {
        return words.within(&[UNREACHABLE, SOURCES]) && has_texts(value);
    }
    if words.is(&["warning"]) {
        return text(json::member(value, "code"))
            .is_some_and(|code| matches!(code.as_str(), "unreachable" | "partial_success"));
    }
    place == Place::Meta
        && words.is(&["status"])
        && text(Some(value)).is_some_and(|status| matches!(status.as_str(), "timeout" | "timed_out" | "partial" | "incomplete"))
}

fn text(value: Option<&str>) -> Option<String> {
    let value = value.filter(|value| value.starts_with('"'))?;
    json::scalar_text(value).map(|text| text.to_ascii_lowercase())
}

/// Whether a value is a list of names: a list of objects is rather data.
fn has_texts(value: &str) -> bool {
    value.starts_with('[')
        && serde_json::from_str::<Vec<&RawValue>>(value)
            .is_ok_and(|items| !items.is_empty() && items.iter().all(|item| item.get().starts_with('"')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(names: &[&str]) -> Vec<Segment> {
        names.iter().map(|name| Segment::Key((*name).into())).collect()
    }

    #[test]
    fn knows_an_answer_that_lacks_rows() {
        for (envelope, member) in [
            (r#"{"total_count":9,"incomplete_results":true,"items":[]}"#, "incomplete_results"),
            (r#"{"took":1,"timed_out":true,"_shards":{"failed":0},"hits":{"hits":[]}}"#, "timed_out"),
            (r#"{"timed_out":false,"_shards":{"total":5,"successful":3,"skipped":0,"failed":2},"hits":{}}"#, "_shards.failed"),
            (r#"{"_clusters":{"total":2,"partial":1},"hits":{}}"#, "_clusters.partial"),
            (r#"{"is_partial":true,"hits":{}}"#, "is_partial"),
            (
                r#"{"responseHeader":{"status":0,"partialResults":true},"response":{"docs":[]}}"#,
                "responseHeader.partialResults",
            ),
            (r#"{"responseHeader":{"partialResults":"omitted"}}"#, "responseHeader.partialResults"),
            (r#"{"unreachable":["projects/x/locations/eu"],"items":[]}"#, "unreachable"),
            (r#"{"unreachables":["zones/a"],"items":[]}"#, "unreachables"),
            (r#"{"warning":{"code":"UNREACHABLE","message":"m"},"items":[]}"#, "warning"),
            (r#"{"kind":"drive#fileList","incompleteSearch":true,"files":[]}"#, "incompleteSearch"),
            (r#"{"partial":true,"items":[]}"#, "partial"),
            (r#"{"PartialResults":"true","items":[]}"#, "PartialResults"),
            (r#"{"partialresults":true,"items":[]}"#, "partialresults"),
            (r#"{"search_cutoff":true,"hits":[]}"#, "search_cutoff"),
            (r#"{"meta":{"status":"timeout"},"data":[]}"#, "meta.status"),
            (r#"{"id":7,"incomplete_results":true,"items":[]}"#, "incomplete_results"),
        ] {
            assert_eq!(marker(envelope, &path(&["items"])).as_deref(), Some(member), "{envelope}");
        }
        assert_eq!(marker(r#"{"out":{"rows":[],"partial":true}}"#, &path(&["out", "rows"])).as_deref(), Some("out.partial"));
    }

    #[test]
    fn other_members_are_no_word_of_missing_rows() {
        for envelope in [
            "[]",
            "{}",
            r#"{"incomplete_results":false,"items":[]}"#,
            r#"{"timed_out":false,"_shards":{"total":5,"successful":5,"skipped":3,"failed":0}}"#,
            r#"{"unreachable":[],"items":[]}"#,
            r#"{"unreachable":[{"id":1}],"items":[]}"#,
            r#"{"unreachable":3,"items":[]}"#,
            r#"{"warnings":["some stores did not answer"],"items":[]}"#,
            r#"{"warning":"m","items":[]}"#,
            r#"{"warning":{"code":"NO_RESULTS_ON_PAGE"},"items":[]}"#,
            r#"{"id":7,"partial":true,"items":[]}"#,
            r#"{"order":{"partial":true},"items":[]}"#,
            r#"{"data":{"id":1,"partial":true},"items":[]}"#,
            r#"{"partial_shipments":true,"partial_amount":7,"items":[]}"#,
            r#"{"incomplete_tasks":true,"timeout":30,"request_timeout":5000,"items":[]}"#,
            r#"{"failed":3,"items":[]}"#,
            r#"{"status":"partial","items":[]}"#,
            r#"{"partial_results":"false","partial":null,"items":[]}"#,
        ] {
            assert_eq!(marker(envelope, &path(&["items"])), None, "{envelope}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in r#"([{}\[\]",:0-9]|"partial"|"_shards"|"failed"|"unreachable"|true|é){0,30}"#) {
            let _ = marker(&text, &[Segment::Key("a".into())]);
        }
    }
}
