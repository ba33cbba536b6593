//! The members of an answer that may say something about paging: of headers, the root, and a few levels below. Arrays are not
//! looked into, and records are cut out already. Pure.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::{CONTENT_RANGE, LINK};
use serde_json::value::RawValue;

use super::names::Words;
use super::position::is_end;
use crate::api::visible;
use crate::plan::field_path::Segment;
use crate::plan::json;

/// Objects inside objects that are looked into.
const MAX_LEVELS: usize = 4;
/// Members that are looked at; further ones cannot be about paging.
const MAX_MEMBERS: usize = 400;
/// Characters of a member's name in a message.
const MAX_SHOWN: usize = 60;
/// The object that all headers count as.
const HEADERS: usize = usize::MAX;

/// Names of objects that speak for the list.
const WRAPPERS: &[&str] = &[
    "meta",
    "metadata",
    "paging",
    "pagination",
    "paginator",
    "pager",
    "page",
    "pages",
    "info",
    "cursor",
    "cursors",
    "link",
    "links",
    "next",
    "navigation",
    "nav",
    "response",
    "result",
    "results",
    "list",
    "header",
    "headers",
    "context",
    "scroll",
    "summary",
    "query",
    "collection",
    "search",
    "view",
    "more",
    "data",
    "d",
    "body",
    "output",
    "payload",
    "additional",
    "hits",
    "feed",
    "envelope",
    "range",
    "position",
    "continuation",
    "continue",
    "control",
    "controls",
    "total",
];

/// One member.
#[derive(Clone, Debug)]
pub(super) struct Member<'a> {
    /// Names from the root; a header's name alone.
    pub(super) path: Vec<String>,
    pub(super) words: Words,
    /// JSON text.
    pub(super) value: Cow<'a, str>,
    /// Which object it is in.
    pub(super) object: usize,
    /// It stands where an answer speaks of its list.
    pub(super) near: bool,
    /// It is in an object named `total`.
    pub(super) in_total: bool,
    pub(super) is_header: bool,
}

impl Member<'_> {
    pub(super) fn is_at_root(&self) -> bool {
        self.path.len() == 1 && !self.is_header
    }

    /// As a message names it.
    pub(super) fn shown(&self) -> String {
        shown(&self.path)
    }
}

/// A path of names as one text, whether `a.b` is one name or two.
pub(super) fn joined(path: &[Segment]) -> String {
    let names = path.iter().map(|segment| match segment {
        Segment::Key(name) => name.clone(),
        Segment::Index(index) => index.to_string(),
    });
    names.collect::<Vec<_>>().join(".")
}

/// A path as a message names it.
pub(super) fn shown(path: &[String]) -> String {
    visible::beginning(&path.join("."), MAX_SHOWN)
}

/// All members that are looked at.
#[derive(Debug, Default)]
pub(super) struct Members<'a> {
    all: Vec<Member<'a>>,
    objects: usize,
    range: Option<(u64, u64)>,
}

impl<'a> Members<'a> {
    /// Reads them; `path` leads to the records.
    pub(super) fn read(headers: &'a HeaderMap, envelope: &'a str, path: &[Segment]) -> Self {
        let mut members = Self::default();
        for (name, value) in headers {
            let (Ok(text), false) = (value.to_str(), *name == LINK) else { continue };
            if *name == CONTENT_RANGE {
                members.range = range(text);
                continue;
            }
            if text.starts_with('{') {
                members.gather(text, &[name.as_str().to_owned()], &Words::default(), true, &[]);
                continue;
            }
            let json = serde_json::Value::from(text).to_string();
            members.push(Member {
                path: vec![name.as_str().to_owned()],
                words: Words::of(name.as_str()),
                value: Cow::Owned(json),
                object: HEADERS,
                near: true,
                in_total: false,
                is_header: true,
            });
        }
        members.gather(envelope, &[], &Words::default(), true, path);
        members
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member<'a>> {
        self.all.iter()
    }

    /// First row and total of a `Content-Range: items 0-24/66`.
    pub(super) fn content_range(&self) -> Option<(u64, u64)> {
        self.range
    }

    /// Whether the root looks like one object of which the list is a part: it has an identity of its own.
    pub(super) fn is_object(&self) -> bool {
        let root = || self.all.iter().filter(|member| member.is_at_root());
        let scalar = |member: &Member<'_>| !member.value.starts_with(['{', '[', 'n']);
        root().any(|member| scalar(member) && member.words.is_one_of(&[&["id"], &["uuid"], &["guid"]]))
            || (root().any(|member| scalar(member) && member.words.is_one_of(&[&["name"], &["title"]]))
                && root().any(|member| member.words.has_any(&["created", "updated", "modified", "author"])))
    }

    fn push(&mut self, member: Member<'a>) {
        if self.all.len() < MAX_MEMBERS {
            self.all.push(member);
        }
    }

    /// `above` are the words of the object itself where its members continue them, as in `next: {href: …}`.
    fn gather(&mut self, object: &'a str, path: &[String], above: &Words, near: bool, records: &[Segment]) -> usize {
        if self.all.len() >= MAX_MEMBERS || self.objects >= MAX_MEMBERS {
            return 0;
        }
        let number = self.objects;
        self.objects += 1;
        let mut members = Vec::new();
        json::for_each_member(object, |key, value| {
            if members.len() < MAX_MEMBERS {
                members.push((key.to_owned(), Words::of(key), value));
            }
        });
        // What stands close to the list comes first, since there is a bound.
        let is_step = |key: &str| matches!(records.first(), Some(Segment::Key(step)) if step == key);
        members.sort_by_key(|(key, words, value)| value.starts_with('{').then(|| !(is_step(key) || wraps(words))));
        // A page that names its own edges says nothing of what is behind them.
        let names_edges = members.iter().any(|(_, words, value)| words.is(&["before"]) && !is_end(value));
        let in_total = path.last().is_some_and(|name| Words::of(name).is(&["total"]));
        let mut continued = 0;
        for (key, mut words, value) in members {
            if names_edges && words.is(&["after"]) {
                continue;
            }
            let mut path = path.to_vec();
            path.push(key);
            if *above != Words::default() && words.within(&[CONTINUES]) {
                words = above.then(&words);
                continued += 1;
            }
            let member = Member { path, words, value: Cow::Borrowed(value), object: number, near, in_total, is_header: false };
            self.take(member, value, records);
        }
        continued
    }

    fn take(&mut self, member: Member<'a>, value: &'a str, records: &[Segment]) {
        let Member { path, words, near, .. } = &member;
        if value.starts_with('[') {
            if words.is_one_of(&[&["links"], &["link"], &["_links"]]) && has_next_link(value) {
                let words = Words::of("nextLink");
                self.push(Member { words, value: Cow::Borrowed(r#"{"rel":"next"}"#), ..member });
            } else {
                self.push(member);
            }
            return;
        }
        if !value.starts_with('{') || path.len() > MAX_LEVELS {
            self.push(member);
            return;
        }
        let step = path.last().zip(records.first());
        let below = match step {
            Some((key, Segment::Key(step))) if key == step => &records[1..],
            _ => &[],
        };
        let wraps = *near && (!below.is_empty() || wraps(words));
        let leads = words.first() == "next";
        let above = if leads { words.clone() } else { Words::default() };
        let at = self.all.len();
        let continued = self.gather(value, path, &above, wraps, below);
        let is_data = || self.all[at..].iter().any(|inner| inner.words.has_any(&["id", "title", "name"]));
        // What `next: {…}` says is said by its members, if they say something.
        if !leads || is_end(value) || (continued == 0 && !is_data()) {
            self.push(member);
        }
    }
}

/// Whether an object of that name speaks for the list.
pub(super) fn wraps(words: &Words) -> bool {
    words.within(&[WRAPPERS]) || words.has_any(&["meta", "paging", "pagination", "cursor", "page"])
}

/// Names of members that continue the name of their object.
const CONTINUES: &[&str] = &[
    "href", "url", "uri", "link", "page", "offset", "start", "starting", "cursor", "token", "after", "marker", "number",
    "path", "index", "skip",
];

/// `[{"rel":"next","href":…}]`, as in Siren, FHIR or Collection+JSON.
fn has_next_link(array: &str) -> bool {
    let Ok(links) = serde_json::from_str::<Vec<&RawValue>>(array) else { return false };
    links.iter().any(|link| {
        let (mut next, mut leads) = (false, false);
        json::for_each_member(link.get(), |key, value| match key {
            "rel" | "relation" | "name" => next |= value.to_ascii_lowercase().contains("\"next\""),
            "href" | "url" | "uri" | "link" => leads |= !is_end(value),
            _ => {}
        });
        next && leads
    })
}

/// First row and total; of other units than bytes.
fn range(text: &str) -> Option<(u64, u64)> {
    let (unit, rest) = text.trim().split_once(' ').unwrap_or(("", text.trim()));
    let (rows, total) = rest.split_once('/')?;
    let first = rows.split('-').next().and_then(|first| first.trim().parse().ok()).unwrap_or(0);
    (unit != "bytes").then_some((first, total.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_range_of_rows() {
        for (text, found) in [
            ("items 0-24/66", Some((0, 66))),
            ("0-24/66", Some((0, 66))),
            ("users 25-49/*", None),
            ("items */0", Some((0, 0))),
            ("bytes 0-99/1000", None),
            ("nonsense", None),
        ] {
            assert_eq!(range(text), found, "{text}");
        }
    }

    #[test]
    fn much_data_hides_nothing_that_stands_near_the_list() {
        let users: Vec<_> = (0..20_000).map(|n| format!("\"u{n}\":{{\"a\":{{\"b\":{{}}}}}}")).collect();
        let text = format!("{{\"users\":{{{}}},\"meta\":{{\"x\":{{}},\"has_more\":true}},\"total\":9}}", users.join(","));
        let headers = HeaderMap::new();
        let members = Members::read(&headers, &text, &[]);
        assert!(members.iter().count() <= MAX_MEMBERS);
        assert!(members.iter().any(|m| m.words.is(&["total"])) && members.iter().any(|m| m.words.is(&["has", "more"])));
    }

    #[test]
    fn knows_what_stands_near_the_list() {
        let path = [Segment::Key("out".into()), Segment::Key("rows".into())];
        let text = r#"{"more":1,"user":{"more":2,"meta":{"more":3}},"meta":{"paging":{"more":4}},"out":{"rows":[],"more":5,"x":{"more":6}}}"#;
        let headers = HeaderMap::new();
        let members = Members::read(&headers, text, &path);
        let mut near: Vec<_> =
            members.iter().filter(|m| m.words.is(&["more"]) && m.near).map(|m| m.value.to_string()).collect();
        near.sort();
        assert_eq!(near, ["1", "4", "5"]);
    }
}
