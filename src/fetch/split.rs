//! Body → [`Page`]: finds the records in one pass that also checks the whole text.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use super::json;
use super::page::{Page, RecordSpan};
use super::scan::{Scan, ScanError};
use crate::plan::RecordsAs;
use crate::plan::field_path::Segment;

/// Bytes of a body that are still read.
pub const MAX_BODY: usize = 32 << 20;
/// Bytes of one record that are still read.
pub const MAX_RECORD: usize = 1 << 20;
/// Array names that a message lists.
const MAX_NAMES: usize = 5;
/// Characters of one such name.
const MAX_NAME: usize = 40;

/// Why a body yields no page. Positions are byte offsets; no content is kept, only names of members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitError {
    /// No byte but white space.
    Empty,
    /// More than [`MAX_BODY`] bytes.
    BodyTooLarge,
    /// A record of more than [`MAX_RECORD`] bytes.
    RecordTooLarge {
        /// Where it begins.
        at: usize,
    },
    /// Not UTF-8.
    Encoding {
        /// First wrong byte.
        at: usize,
    },
    /// Not JSON, or too deep.
    Malformed(ScanError),
    /// `null` where the records should be.
    Null {
        /// Where it stands.
        at: usize,
    },
    /// The path leads nowhere.
    Missing {
        /// What the whole answer is.
        root: Kind,
        /// Arrays that were seen instead, as paths.
        arrays: Vec<String>,
    },
    /// The path leads to a value that is no list, or no map, of records.
    WrongKind {
        /// What stands there.
        found: Kind,
    },
    /// Without a path: no array member, or more than one.
    Undecided {
        /// Arrays that were seen, as paths.
        arrays: Vec<String>,
    },
}

/// Kind of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// Text, number or boolean.
    Scalar,
}

impl From<ScanError> for SplitError {
    fn from(error: ScanError) -> Self {
        Self::Malformed(error)
    }
}

/// Finds the records in `body`. `path` leads to them; an empty path means the body itself, and `None` takes the body if it is a
/// list, else its only member that is a list of objects or an empty list. Of repeated names the last one counts.
///
/// # Errors
/// A body that is not JSON within its bounds, or that has no records at the path.
pub fn split(body: Bytes, path: Option<&[Segment]>, form: RecordsAs) -> Result<Page, SplitError> {
    if body.len() > MAX_BODY {
        return Err(SplitError::BodyTooLarge);
    }
    let body = if body.starts_with(b"\xEF\xBB\xBF") { body.slice(3..) } else { body };
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(SplitError::Empty);
    }
    let text = std::str::from_utf8(&body).map_err(|e| SplitError::Encoding { at: e.valid_up_to() })?;

    let mut split = Split { scan: Scan::new(&body), form, found: None, records: Vec::new() };
    let path = match (path, form) {
        (Some(path), _) => {
            split.follow(path)?;
            path.to_vec()
        }
        (None, RecordsAs::Map) => {
            split.collect()?;
            Vec::new()
        }
        (None, RecordsAs::List) => match split.detect()? {
            Detected::Root => Vec::new(),
            Detected::Member(name) => vec![Segment::Key(name)],
            Detected::Undecided => {
                split.scan.end()?;
                return Err(SplitError::Undecided { arrays: array_names(text) });
            }
        },
    };
    split.scan.end()?;
    let root = if text.trim_start().starts_with('[') { Kind::Array } else { Kind::Object };
    let Split { found, records, .. } = split;
    let list = match found {
        None => return Err(SplitError::Missing { root, arrays: array_names(text) }),
        Some(Found::Null { at }) => return Err(SplitError::Null { at }),
        Some(Found::Other(Kind::Object)) if path.is_empty() => {
            return Err(SplitError::Missing { root, arrays: array_names(text) });
        }
        Some(Found::Other(found)) => return Err(SplitError::WrongKind { found }),
        Some(Found::List(list)) => list,
    };
    let brackets = if form == RecordsAs::Map { "{}" } else { "[]" };
    let envelope = [&text[..list.start], brackets, &text[list.end..]].concat();
    let digest = xxh3_128(&body[list]);
    Ok(Page { records, envelope, digest, path, body })
}

enum Found {
    List(std::ops::Range<usize>),
    Null { at: usize },
    Other(Kind),
}

enum Detected {
    Root,
    Member(String),
    Undecided,
}

struct Split<'a> {
    scan: Scan<'a>,
    form: RecordsAs,
    found: Option<Found>,
    records: Vec<RecordSpan>,
}

impl Split<'_> {
    /// Reads the next value and collects what stands at `path` in it.
    fn follow(&mut self, path: &[Segment]) -> Result<(), SplitError> {
        let Some((step, rest)) = path.split_first() else {
            return self.collect();
        };
        match (self.scan.peek()?, step) {
            (b'{', Segment::Key(key)) => {
                let mut more = self.scan.enter(b'}')?;
                while more {
                    if is_name(self.scan.name()?, key) {
                        self.found = None;
                        self.records.clear();
                        self.follow(rest)?;
                    } else {
                        self.scan.skip()?;
                    }
                    more = self.scan.more(b'}')?;
                }
            }
            (b'[', Segment::Index(wanted)) => {
                let mut more = self.scan.enter(b']')?;
                let mut index = 0;
                while more {
                    if index == *wanted {
                        self.follow(rest)?;
                    } else {
                        self.scan.skip()?;
                    }
                    index += 1;
                    more = self.scan.more(b']')?;
                }
            }
            _ => self.scan.skip()?,
        }
        Ok(())
    }

    /// Reads the next value as the list, or map, of records.
    fn collect(&mut self) -> Result<(), SplitError> {
        let first = self.scan.peek()?;
        let start = self.scan.at();
        self.found = Some(match (first, self.form) {
            (b'[', RecordsAs::List) => {
                self.elements()?;
                Found::List(start..self.scan.at())
            }
            (b'{', RecordsAs::Map) => {
                self.members()?;
                Found::List(start..self.scan.at())
            }
            _ => {
                self.scan.skip()?;
                match first {
                    b'n' => Found::Null { at: start },
                    b'{' => Found::Other(Kind::Object),
                    b'[' => Found::Other(Kind::Array),
                    _ => Found::Other(Kind::Scalar),
                }
            }
        });
        Ok(())
    }

    /// Reads an array; tells whether all its elements are objects.
    fn elements(&mut self) -> Result<bool, SplitError> {
        let mut objects = true;
        let mut more = self.scan.enter(b']')?;
        while more {
            objects &= self.scan.peek()? == b'{';
            self.record(0..0)?;
            more = self.scan.more(b']')?;
        }
        Ok(objects)
    }

    fn members(&mut self) -> Result<(), SplitError> {
        let mut more = self.scan.enter(b'}')?;
        while more {
            self.scan.peek()?;
            let key_start = self.scan.at() + 1;
            let key_len = self.scan.name()?.len();
            self.record(key_start..key_start + key_len)?;
            more = self.scan.more(b'}')?;
        }
        Ok(())
    }

    fn record(&mut self, key: std::ops::Range<usize>) -> Result<(), SplitError> {
        self.scan.peek()?;
        let start = self.scan.at();
        self.scan.skip()?;
        let end = self.scan.at();
        if end - start > MAX_RECORD {
            return Err(SplitError::RecordTooLarge { at: start });
        }
        self.records.push(RecordSpan {
            start: position(start),
            end: position(end),
            key_start: position(key.start),
            key_end: position(key.end),
        });
        Ok(())
    }

    /// Reads the whole text and takes it, or its only array member, as the list.
    fn detect(&mut self) -> Result<Detected, SplitError> {
        if self.scan.peek()? != b'{' {
            self.collect()?;
            return Ok(Detected::Root);
        }
        let mut chosen: Option<&[u8]> = None;
        let mut undecided = false;
        let mut more = self.scan.enter(b'}')?;
        while more {
            let name = self.scan.name()?;
            if chosen == Some(name) {
                chosen = None;
                self.records.clear();
                self.found = None;
            }
            if self.scan.peek()? == b'[' && chosen.is_none() {
                let start = self.scan.at();
                if self.elements()? {
                    chosen = Some(name);
                    self.found = Some(Found::List(start..self.scan.at()));
                } else {
                    self.records.clear();
                }
            } else if self.scan.peek()? == b'[' {
                undecided |= self.objects_only()?;
            } else {
                self.scan.skip()?;
            }
            more = self.scan.more(b'}')?;
        }
        let name = chosen.filter(|_| !undecided).and_then(|name| json::name_text(std::str::from_utf8(name).ok()?));
        Ok(name.map_or(Detected::Undecided, |name| Detected::Member(name.into_owned())))
    }

    /// Reads an array that is not kept; tells whether all its elements are objects.
    fn objects_only(&mut self) -> Result<bool, SplitError> {
        let mut objects = true;
        let mut more = self.scan.enter(b']')?;
        while more {
            objects &= self.scan.peek()? == b'{';
            self.scan.skip()?;
            more = self.scan.more(b']')?;
        }
        Ok(objects)
    }
}

fn is_name(sent: &[u8], name: &str) -> bool {
    if !sent.contains(&b'\\') {
        return sent == name.as_bytes();
    }
    std::str::from_utf8(sent).ok().and_then(json::name_text).is_some_and(|text| text == name)
}

fn position(at: usize) -> u32 {
    // Lossless: MAX_BODY is checked first.
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Paths of the arrays in the first two levels: what a person may have meant. Only read for a message.
fn array_names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    json::for_each_member(text, |key, value| {
        if value.starts_with('[') {
            names.push(shown(key));
        } else if value.starts_with('{') {
            json::for_each_member(value, |inner, value| {
                if value.starts_with('[') && names.len() < MAX_NAMES {
                    names.push(format!("{}.{}", shown(key), shown(inner)));
                }
            });
        }
    });
    names.truncate(MAX_NAMES);
    names
}

fn shown(name: &str) -> String {
    let plain: String = name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    if plain.contains(['.', '[', ']', '\'', ' ']) { format!("['{plain}']") } else { plain }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fetch::scan::Fault;
    use crate::plan::field_path::FieldPath;

    fn texts(page: &Page) -> Vec<&str> {
        page.records().iter().map(|r| page.text(*r)).collect()
    }

    fn list(body: &str, path: Option<&str>) -> Result<Page, SplitError> {
        let path = path.map(|p| FieldPath::parse(p).unwrap());
        split(Bytes::copy_from_slice(body.as_bytes()), path.as_ref().map(FieldPath::segments), RecordsAs::List)
    }

    fn map(body: &str) -> Result<Page, SplitError> {
        split(Bytes::copy_from_slice(body.as_bytes()), None, RecordsAs::Map)
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
        assert_eq!(list(r#"{"d\u0061ta":[{}]}"#, None).unwrap().path(), [Segment::Key("data".into())]);
    }

    #[test]
    fn asks_for_the_path_when_it_cannot_know() {
        let undecided = |body: &str| match list(body, None) {
            Err(SplitError::Undecided { arrays }) => arrays.join(" "),
            other => panic!("{body}: {other:?}"),
        };
        assert_eq!(undecided("{}"), "");
        assert_eq!(undecided(r#"{"error":"no"}"#), "");
        assert_eq!(undecided(r#"{"data":[{}],"included":[]}"#), "data included");
        assert_eq!(undecided(r#"{"data":[],"included":[{}]}"#), "data included");
        assert_eq!(undecided(r#"{"a":[1]}"#), "a");
        assert_eq!(undecided(r#"{"r":{"docs":[{}],"b.c":[]},"n":1}"#), "r.docs r.['b.c']");
        assert_eq!(undecided(r#"{"a":[],"b":[],"c":[],"d":[],"e":[],"f":[]}"#), "a b c d e");
    }

    #[test]
    fn follows_a_path() {
        let body = r#"{"x":[{}],"a":{"b c":[0,{"d":[{"id":1}]}]},"a2":null,"s":"t"}"#;
        assert_eq!(texts(&list(body, Some("a['b c'][1].d")).unwrap()), [r#"{"id":1}"#]);
        let arrays = vec!["x".to_owned(), "a.['b c']".to_owned()];
        assert_eq!(list(body, Some("a.d")).unwrap_err(), SplitError::Missing { root: Kind::Object, arrays });
        let none = SplitError::Missing { root: Kind::Array, arrays: vec![] };
        assert_eq!(list("[{}]", Some("data")).unwrap_err(), none);
        assert_eq!(list(body, Some("a2")).unwrap_err(), SplitError::Null { at: 48 });
        assert_eq!(list(body, Some("s")).unwrap_err(), SplitError::WrongKind { found: Kind::Scalar });
        assert_eq!(list(body, Some("a")).unwrap_err(), SplitError::WrongKind { found: Kind::Object });
        assert_eq!(texts(&list(r#"{"a":null,"a":[{}]}"#, Some("a")).unwrap()), ["{}"]);
        assert!(
            matches!(list(r#"{"a":{"b":[{}]},"a":1}"#, Some("a.b")), Err(SplitError::Missing { .. })),
            "the last name counts"
        );
    }

    #[test]
    fn reads_maps_of_records() {
        let page = map(r#"{"k1":{"v":1}, "k\u0032" : {"v":2},"":3}"#).unwrap();
        let seen: Vec<_> = page.records().iter().map(|r| (page.key(*r).unwrap(), page.text(*r))).collect();
        assert_eq!(seen, [("k1".into(), r#"{"v":1}"#), ("k2".into(), r#"{"v":2}"#), ("".into(), "3")]);
        assert_eq!(page.envelope(), "{}");
        assert_eq!(map("[]").unwrap_err(), SplitError::WrongKind { found: Kind::Array });
        assert!(map("{}").unwrap().is_empty());
        let listed = list("[{}]", None).unwrap();
        assert_eq!(listed.key(listed.records()[0]), None);
    }

    #[test]
    fn refuses_what_is_no_json_within_bounds() {
        let raw = |body: &[u8]| split(Bytes::copy_from_slice(body), None, RecordsAs::List).unwrap_err();
        assert_eq!(raw(b""), SplitError::Empty);
        assert_eq!(raw(b"\xEF\xBB\xBF \n"), SplitError::Empty);
        assert_eq!(raw(b"[\"\xff\"]"), SplitError::Encoding { at: 2 });
        assert_eq!(raw(b"null"), SplitError::Null { at: 0 });
        assert_eq!(raw(b"<html></html>"), SplitError::Malformed(ScanError { at: 0, fault: Fault::Syntax }));
        assert_eq!(raw(b"[{\"a\":NaN}]"), SplitError::Malformed(ScanError { at: 6, fault: Fault::Word }));
        assert_eq!(raw(b"[{}] x"), SplitError::Malformed(ScanError { at: 5, fault: Fault::Trailing }));
        assert_eq!(raw(b"{\"a\":[{}]"), SplitError::Malformed(ScanError { at: 9, fault: Fault::Truncated }));
        assert_eq!(raw(b"7"), SplitError::WrongKind { found: Kind::Scalar });
        assert_eq!(texts(&split(Bytes::from_static(b"\xEF\xBB\xBF[{}]"), None, RecordsAs::List).unwrap()), ["{}"]);
    }

    #[test]
    fn bounds_records_and_bodies() {
        let sized = |n: usize| format!("[{{}},\"{}\"]", "x".repeat(n - 2));
        assert_eq!(list(&sized(MAX_RECORD), None).unwrap().len(), 2);
        assert_eq!(list(&sized(MAX_RECORD + 1), None).unwrap_err(), SplitError::RecordTooLarge { at: 4 });
        assert_eq!(split(Bytes::from(vec![b' '; MAX_BODY + 1]), None, RecordsAs::List).unwrap_err(), SplitError::BodyTooLarge);
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
        fn never_panics(body in prop::collection::vec(any::<u8>(), 0..64), form in prop_oneof![Just(RecordsAs::List), Just(RecordsAs::Map)]) {
            let _ = split(Bytes::from(body), None, form);
        }

        #[test]
        fn a_cut_body_is_never_a_page(records in prop::collection::vec(json(3), 0..4), cut in any::<prop::sample::Index>()) {
            let body = format!("[{}]", records.join(","));
            let cut = cut.index(body.len());
            prop_assert!(split(Bytes::copy_from_slice(&body.as_bytes()[..cut]), None, RecordsAs::List).is_err());
        }
    }
}
