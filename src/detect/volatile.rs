//! Notices records that are reported as changed poll after poll because of the same members: view counts, signed links, times of the
//! response. Pure, and bounded: a few records are sampled, and of each only hashes of its members are kept.
//!
//! Only changes by content are looked at, since a date that moves is the provider's own word. A record counts once the same members of
//! it differed in three polls in a row: members that take turns are most likely real changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use super::canonical::{below_element, below_key};
use crate::plan::field_path::{FieldPath, Segment};
use crate::plan::json::{for_each_element, for_each_member};

/// This number of polls in a row must say the same.
const POLLS: u8 = 3;
/// Records that are sampled at most.
const RECORDS: usize = 8;
/// Members of a record that are distinguished at most; what comes after them counts as one without a name.
const MEMBERS: usize = 64;
/// Members inside of members are distinguished down to here.
const DEPTH: usize = 4;
/// Longest path that is shown, in bytes. A longer one is most likely data, such as ids for names.
const LONGEST_PATH: usize = 64;
/// Paths that are shown at most.
const SHOWN: usize = 5;

/// What polls have shown of the records that were changed by content. It lives as long as the process: what is stored are hashes of whole
/// records only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolatileWatch {
    samples: BTreeMap<u64, Sample>,
    /// Members that are reported: they only become more, so that the sentence is stable.
    told: BTreeSet<String>,
}

/// One record, as it was when it was last reported as changed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sample {
    /// Hash of the path → hash of the value.
    members: BTreeMap<u64, u64>,
    /// Paths that differed at each of the last polls; `None` before the second.
    differing: Option<BTreeSet<u64>>,
    /// Polls in a row that reported it.
    polls: u8,
    /// It was reported by the poll under way.
    is_current: bool,
    /// Paths that are reported, once that is more than a coincidence.
    told: BTreeSet<String>,
}

impl VolatileWatch {
    /// Nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.told.is_empty()
    }

    /// Notes a record that was reported as changed by its content, compared without the paths in `ignored`.
    pub(super) fn note(&mut self, id: u64, json: &str, ignored: &[FieldPath]) {
        let is_full = self.samples.len() >= RECORDS;
        let known = self.samples.get_mut(&id);
        if known.as_ref().map_or(is_full, |sample| sample.is_current) {
            return;
        }
        let named = members(json, ignored, MEMBERS);
        let members: BTreeMap<_, _> = named.iter().map(|(path, value)| (xxh3_64(path.as_bytes()), *value)).collect();
        let Some(sample) = known else {
            let first = Sample { members, differing: None, polls: 1, is_current: true, told: BTreeSet::new() };
            self.samples.insert(id, first);
            return;
        };
        sample.is_current = true;
        let differing = differing(&sample.members, &members);
        if differing.is_empty() {
            // The same bytes again: the last change was not accepted.
            return;
        }
        sample.members = members;
        let common: BTreeSet<_> = match &sample.differing {
            Some(before) => before.intersection(&differing).copied().collect(),
            None => differing.clone(),
        };
        if common.is_empty() {
            (sample.polls, sample.differing) = (2, Some(differing));
        } else {
            (sample.polls, sample.differing) = (sample.polls.saturating_add(1), Some(common));
        }
        let is_common = |path: &str| sample.differing.as_ref().is_some_and(|paths| paths.contains(&xxh3_64(path.as_bytes())));
        sample.told = match sample.polls {
            POLLS.. => named.into_keys().filter(|path| is_common(path)).collect(),
            _ => BTreeSet::new(),
        };
    }

    /// The list was read to its end: what was not reported again is forgotten.
    pub fn end_poll(&mut self) {
        self.samples.retain(|_, sample| std::mem::take(&mut sample.is_current));
        if !self.samples.values().any(|sample| sample.polls >= POLLS) {
            self.told.clear();
        }
        self.told.extend(self.samples.values().flat_map(|sample| sample.told.iter().cloned()));
    }

    /// The poll is over, whether or not it came to the end of the list: what it did not come to is still to be looked at.
    pub fn break_off(&mut self) {
        self.samples.values_mut().for_each(|sample| sample.is_current = false);
    }

    /// What is to be reported.
    pub fn found(&self) -> Option<VolatileRecords> {
        let is_volatile = self.samples.values().any(|sample| sample.polls >= POLLS);
        is_volatile.then(|| VolatileRecords::of(&self.told))
    }
}

/// Records that are reported as changed poll after poll, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolatileRecords {
    /// Paths of the members that differ, as `ignoreFields` takes them; only those that are fit to be shown.
    pub members: Vec<String>,
    /// There are others.
    pub more: bool,
}

impl VolatileRecords {
    fn of(paths: &BTreeSet<String>) -> Self {
        let members: Vec<_> = paths.iter().filter(|path| fitting(path)).take(SHOWN).cloned().collect();
        Self { more: members.len() < paths.len(), members }
    }

    /// What two answers show that came one after the other: records that differ though their date is the same. `None`: nothing differs.
    pub fn between<'r>(pairs: impl Iterator<Item = (&'r str, &'r str)>, ignored: &[FieldPath]) -> Option<Self> {
        let mut paths = BTreeSet::new();
        // All are compared, since those that differ may be few; the bytes show most of them at once.
        for (first, second) in pairs.filter(|(first, second)| first != second).take(RECORDS) {
            paths.extend(differing(&members(first, ignored, MEMBERS), &members(second, ignored, MEMBERS)));
        }
        (!paths.is_empty()).then(|| Self::of(&paths))
    }
}

/// The members, for a sentence.
impl fmt::Display for VolatileRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.members.is_empty(), self.more) {
            (true, _) => f.write_str("members whose names are long"),
            (false, true) => write!(f, "{} and others", self.members.join(", ")),
            (false, false) => f.write_str(&self.members.join(", ")),
        }
    }
}

/// Keys whose values differ, or that one of them lacks.
fn differing<K: Ord + Clone>(first: &BTreeMap<K, u64>, second: &BTreeMap<K, u64>) -> BTreeSet<K> {
    let changed = second.iter().filter(|(key, value)| first.get(key) != Some(value)).map(|(key, _)| key.clone());
    let gone = first.keys().filter(|key| !second.contains_key(key)).cloned();
    changed.chain(gone).collect()
}

/// Whether a path is fit to be shown: it names something, and is most likely no data.
pub(super) fn fitting(path: &str) -> bool {
    !path.is_empty() && path.len() <= LONGEST_PATH && !path.contains(char::is_control)
}

/// The innermost members of a record with a hash of their values, by their paths as `ignoreFields` takes them: without the indexes of
/// arrays, whose elements count together. What comes after the first `most` of them counts as one without a name.
pub(super) fn members(json: &str, ignored: &[FieldPath], most: usize) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let ignored: Vec<_> = ignored.iter().map(FieldPath::segments).collect();
    collect(json, &mut Vec::new(), (&ignored, most), &mut found);
    found
}

fn collect(json: &str, path: &mut Vec<Segment>, (ignored, most): (&[&[Segment]], usize), found: &mut BTreeMap<String, u64>) {
    match json.as_bytes().first() {
        Some(b'{') if path.len() < DEPTH && json.len() > 2 => for_each_member(json, |key, value| {
            let below = below_key(ignored, key);
            if below.iter().any(|rest| rest.is_empty()) {
                return;
            }
            path.push(Segment::Key(key.to_owned()));
            collect(value, path, (&below, most), found);
            path.pop();
        }),
        Some(b'[') if !path.is_empty() && json.len() > 2 => {
            let mut index = 0;
            for_each_element(json, |value| {
                let below = below_element(ignored, index);
                index += 1;
                if !below.iter().any(|rest| rest.is_empty()) {
                    collect(value, path, (&below, most), found);
                }
            });
        }
        _ => {
            let name = FieldPath::of(path).to_string();
            let is_known = found.contains_key(&name) || found.len() < most;
            let slot = found.entry(if is_known { name } else { String::new() }).or_insert(0);
            // In the order of the record: two elements that change places differ.
            *slot = slot.rotate_left(1) ^ xxh3_64(json.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is reported after polls that each reported these records as changed.
    fn after(polls: &[&[(u64, &str)]]) -> Option<String> {
        let mut watch = VolatileWatch::default();
        for records in polls {
            for (id, json) in *records {
                watch.note(*id, json, &[FieldPath::parse("etag").unwrap()]);
            }
            watch.end_poll();
        }
        watch.found().map(|found| found.to_string())
    }

    #[test]
    fn three_polls_in_a_row_tell_the_members_that_always_differ() {
        let json = [
            r#"{"id":1,"views":1,"etag":"a","files":[{"link":"x?s=1","n":1},{"link":"y?s=1","n":2}],"at":{"seen":1},"n":1}"#,
            r#"{"id":1,"views":2,"etag":"b","files":[{"link":"x?s=2","n":1},{"link":"y?s=2","n":2}],"at":{"seen":2},"n":2}"#,
            r#"{"id":1,"views":3,"etag":"c","files":[{"link":"x?s=3","n":1},{"link":"y?s=3","n":2}],"at":{"seen":3},"n":2}"#,
            r#"{"id":1,"views":4,"etag":"d","files":[{"link":"x?s=4","n":1},{"link":"y?s=4","n":2}],"at":{"seen":4},"n":3}"#,
        ];
        let polls = json.map(|json| [(1, json)]);
        let polls: Vec<_> = polls.iter().map(<[_; 1]>::as_slice).collect();
        assert_eq!(after(&polls[..2]), None);
        assert_eq!(after(&polls[..3]).as_deref(), Some("at.seen, files.link, views"));
        assert_eq!(after(&polls).as_deref(), Some("at.seen, files.link, views"));
        assert_eq!(after(&[polls[0], polls[1], polls[2], &[]]), None, "one poll without a change ends it");
        assert_eq!(after(&[polls[0], &[], polls[1], polls[2]]), None);
    }

    #[test]
    fn members_that_take_turns_are_real_changes() {
        let (a, b, c) = (r#"{"id":1,"a":1,"b":1}"#, r#"{"id":1,"a":2,"b":1}"#, r#"{"id":1,"a":2,"b":2}"#);
        let d = r#"{"id":1,"a":3,"b":2}"#;
        assert_eq!(after(&[&[(1, a)], &[(1, b)], &[(1, c)], &[(1, d)]]), None);
        assert_eq!(after(&[&[(1, a)], &[(2, b)], &[(3, c)]]), None, "each poll another record");
    }

    #[test]
    fn a_change_that_was_not_accepted_and_comes_again_is_no_other_one() {
        let same: &[(u64, &str)] = &[(1, r#"{"id":1,"n":1}"#)];
        assert_eq!(after(&[same; 6]), None);
    }

    #[test]
    fn a_poll_that_was_broken_off_ends_nothing() {
        let mut watch = VolatileWatch::default();
        for n in 0..4 {
            watch.note(1, &format!(r#"{{"n":{n}}}"#), &[]);
            if n == 2 { watch.break_off() } else { watch.end_poll() }
        }
        assert_eq!(watch.found().map(|found| found.to_string()).as_deref(), Some("n"));
    }

    #[test]
    fn names_that_are_data_or_many_are_not_shown() {
        let many = (0..100).map(|n| format!(r#""m{n:02}":V"#)).collect::<Vec<_>>().join(",");
        let record = |n: u8| format!("{{{},\"last\":0}}", many.replace('V', &n.to_string()));
        let polls: Vec<_> = (1..4).map(record).collect();
        let long = |n: u8| format!(r#"{{"{}":{n}}}"#, "x".repeat(65));
        let longs: Vec<_> = (1..4).map(long).collect();
        let told = |polls: &[String]| {
            let polls: Vec<_> = polls.iter().map(|json| [(7, json.as_str())]).collect();
            after(&polls.iter().map(<[_; 1]>::as_slice).collect::<Vec<_>>())
        };
        assert!(told(&polls).is_some_and(|text| text.ends_with(" and others") && text.len() < 100));
        assert_eq!(told(&longs).as_deref(), Some("members whose names are long"));
        let odd: Vec<_> = (1..4).map(|n| format!(r#"{{"Last seen":{{"a.b":{n}}}}}"#)).collect();
        assert_eq!(told(&odd).as_deref(), Some("['Last seen']['a.b']"));
    }

    #[test]
    fn two_answers_are_compared_at_once() {
        let between = |first, second| VolatileRecords::between([(first, second)].into_iter(), &[]);
        assert_eq!(between(r#"{"id":1,"a":[]}"#, r#"{"id":1,"a":[]}"#), None);
        let found = between(r#"{"id":1,"a":[],"gone":1}"#, r#"{"id":1,"a":["x"]}"#).unwrap();
        assert_eq!(found.to_string(), "a, gone");
    }

    proptest! {
        #[test]
        fn what_is_kept_is_bounded(
            polls in prop::collection::vec(prop::collection::vec((0_u64..40, 0_u32..3), 0..60), 0..12),
        ) {
            let mut watch = VolatileWatch::default();
            for records in polls {
                for (id, n) in records {
                    let json = (0..200).map(|m| format!(r#""{m}":{n}"#)).collect::<Vec<_>>().join(",");
                    watch.note(id, &format!("{{{json},\"id\":{id}}}"), &[]);
                }
                watch.end_poll();
                prop_assert!(watch.samples.len() <= RECORDS);
                prop_assert!(watch.samples.values().all(|sample| sample.members.len() <= MEMBERS + 1));
                prop_assert!(watch.told.len() <= RECORDS * (MEMBERS + 1));
            }
        }
    }
}
