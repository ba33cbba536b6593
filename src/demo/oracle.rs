//! Whether everything was delivered, once, in order and under the right name. Pure.
//!
//! Polling sees the latest version of a record at the time of the poll and nothing in between. So not every version must
//! arrive, but the last one of every object must; and what arrives must be versions of the truth, in their order.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Duration, Utc};

use crate::detect::event::Kind;

/// A record that is first seen in an updated version is announced as created up to this age (`createdTolerance`), and an
/// object that lived no longer may come and go between two polls.
const TOLERANCE: Duration = Duration::seconds(10);

/// One version that a provider had. Ids are never used again after a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TruthChange {
    /// Id of the object.
    pub object_id: String,
    /// What made this version.
    pub kind: Kind,
    /// The updated date, as the provider writes it; unique within an object.
    pub version: String,
    /// When the version came to be.
    pub at: DateTime<Utc>,
}

/// One event that a receiver accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Identity of the event.
    pub event_id: String,
    /// Id of the object.
    pub object_id: String,
    /// What the event says happened.
    pub kind: Kind,
    /// The updated date in the record.
    pub version: String,
    /// Hash of the record's bytes.
    pub data_hash: u64,
    /// When it arrived.
    pub at: DateTime<Utc>,
}

/// A version with which something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Id of the object.
    pub object_id: String,
    /// The version concerned.
    pub version: String,
}

/// The truth against what was delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Versions in the truth.
    pub changes: usize,
    /// Events that arrived.
    pub delivered: usize,
    /// Versions that no poll saw, since a later one had taken their place: not a fault.
    pub coalesced: usize,
    /// Versions that arrived again, under the same id or another one.
    pub duplicates: Vec<Fault>,
    /// Last versions of an object that did not arrive.
    pub missing: Vec<Fault>,
    /// Events that say created, updated or deleted where it was something else.
    pub wrong_kind: Vec<Fault>,
    /// Versions that arrived after a later one of the same object.
    pub reordered: Vec<Fault>,
    /// Events whose id was used before for another version or another record.
    pub conflicting_ids: Vec<Fault>,
    /// Events about a version that the truth does not have.
    pub unexpected: Vec<Fault>,
}

impl Report {
    /// Nothing is lost, repeated, misnamed, out of order or made up.
    pub fn is_clean(&self) -> bool {
        let faults =
            [&self.duplicates, &self.missing, &self.wrong_kind, &self.reordered, &self.conflicting_ids, &self.unexpected];
        faults.iter().all(|faults| faults.is_empty())
    }
}

/// Compares what was delivered, in the order of arrival, with what happened, in the order of happening.
pub fn compare(truth: &[TruthChange], deliveries: &[Delivery]) -> Report {
    let mut objects: HashMap<&str, Object<'_>> = HashMap::new();
    for change in truth {
        objects.entry(&change.object_id).or_default().versions.push(change);
    }
    let mut report = Report { changes: truth.len(), delivered: deliveries.len(), ..Report::default() };
    let mut ids: HashMap<&str, &Delivery> = HashMap::new();
    for delivery in deliveries {
        if let Some(first) = ids.get(&*delivery.event_id) {
            let is_same = first.object_id == delivery.object_id
                && first.version == delivery.version
                && first.kind == delivery.kind
                && first.data_hash == delivery.data_hash;
            if is_same { &mut report.duplicates } else { &mut report.conflicting_ids }.push(delivery.fault());
            continue;
        }
        ids.insert(&delivery.event_id, delivery);
        let object = objects.get_mut(&*delivery.object_id);
        let place = object.and_then(|object| Some((object.index(&delivery.version)?, object)));
        let Some((index, object)) = place else {
            report.unexpected.push(delivery.fault());
            continue;
        };
        match object.last {
            Some(_) if object.arrived.contains(&index) => report.duplicates.push(delivery.fault()),
            Some(last) if index < last => report.reordered.push(delivery.fault()),
            _ => {
                if !object.allows(index, delivery.kind) {
                    report.wrong_kind.push(delivery.fault());
                }
                object.last = Some(index);
            }
        }
        object.arrived.insert(index);
    }
    let mut arrived = 0;
    for object in objects.values() {
        arrived += object.arrived.len();
        report.missing.extend(object.missing().map(|change| Fault::new(&change.object_id, &change.version)));
    }
    report.missing.sort_by(|a, b| (&a.version, &a.object_id).cmp(&(&b.version, &b.object_id)));
    report.coalesced = truth.len() - arrived - report.missing.len();
    report
}

/// One object of the truth and what arrived of it.
#[derive(Default)]
struct Object<'t> {
    versions: Vec<&'t TruthChange>,
    /// Indices of the versions that arrived.
    arrived: HashSet<usize>,
    /// The latest of them.
    last: Option<usize>,
}

impl Object<'_> {
    fn index(&self, version: &str) -> Option<usize> {
        self.versions.iter().position(|change| change.version == version)
    }

    /// Whether an event that brings this version, in order, may be of this kind.
    fn allows(&self, index: usize, kind: Kind) -> bool {
        let change = self.versions[index];
        if change.kind == Kind::Deleted || kind == Kind::Deleted {
            return kind == change.kind;
        }
        let announced = self.last.is_some();
        // Without its creation in the truth, the object is older than the truth.
        match self.versions.first().filter(|first| first.kind == Kind::Created) {
            Some(_) if announced => kind == Kind::Updated,
            Some(creation) if change.at - creation.at <= TOLERANCE => kind == Kind::Created,
            // Its creation was overtaken; whether the age of the record or the first sight of it counts is the engine's affair.
            Some(_) => true,
            None => kind == Kind::Updated,
        }
    }

    /// The last version, if it had to arrive and did not.
    fn missing(&self) -> Option<&TruthChange> {
        let (first, last) = (self.versions.first()?, self.versions.last()?);
        let flashed = first.kind == Kind::Created && last.kind == Kind::Deleted && last.at - first.at < TOLERANCE;
        let excused = flashed && self.arrived.is_empty();
        (!excused && !self.arrived.contains(&(self.versions.len() - 1))).then_some(last)
    }
}

impl Delivery {
    fn fault(&self) -> Fault {
        Fault::new(&self.object_id, &self.version)
    }
}

impl Fault {
    fn new(object_id: &str, version: &str) -> Self {
        Self { object_id: object_id.to_owned(), version: version.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Kind::{Created, Deleted, Updated};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    /// Object, kind, second in which it happened; the version is that second.
    fn truth(changes: &[(&str, Kind, i64)]) -> Vec<TruthChange> {
        let change = |&(object, kind, second): &(&str, Kind, i64)| TruthChange {
            object_id: object.into(),
            kind,
            version: second.to_string(),
            at: at(second),
        };
        changes.iter().map(change).collect()
    }

    /// Object, kind, version; the event id is made of all three, the hash of the version.
    fn delivered(events: &[(&str, Kind, i64)]) -> Vec<Delivery> {
        let delivery = |&(object, kind, second): &(&str, Kind, i64)| Delivery {
            event_id: format!("{object}-{}-{second}", kind.as_str()),
            object_id: object.into(),
            kind,
            version: second.to_string(),
            data_hash: second.unsigned_abs(),
            at: at(second + 1),
        };
        events.iter().map(delivery).collect()
    }

    fn fault(object: &str, version: i64) -> Vec<Fault> {
        vec![Fault::new(object, &version.to_string())]
    }

    #[test]
    fn all_that_happened_and_arrived_is_clean() {
        let all = [("a", Created, 1), ("b", Updated, 2), ("a", Updated, 3), ("a", Deleted, 4), ("b", Deleted, 5)];
        let report = compare(&truth(&all), &delivered(&all));
        assert_eq!(report, Report { changes: 5, delivered: 5, ..Report::default() });
        assert!(report.is_clean());
    }

    #[test]
    fn versions_between_two_polls_are_coalesced() {
        let happened = truth(&[("a", Updated, 1), ("a", Updated, 2), ("a", Updated, 3), ("b", Created, 4), ("b", Deleted, 5)]);
        let report = compare(&happened, &delivered(&[("a", Updated, 3), ("b", Deleted, 5)]));
        assert_eq!(report, Report { changes: 5, delivered: 2, coalesced: 3, ..Report::default() });
        assert!(report.is_clean());
    }

    #[test]
    fn the_last_version_of_each_object_must_arrive() {
        let happened = truth(&[("a", Created, 1), ("a", Updated, 2), ("b", Updated, 3), ("c", Deleted, 4)]);
        let report = compare(&happened, &delivered(&[("a", Created, 1)]));
        assert_eq!(report.missing, [fault("a", 2), fault("b", 3), fault("c", 4)].concat());
        assert!(!report.is_clean());
        assert_eq!(report.coalesced, 0);
    }

    #[test]
    fn an_object_that_came_and_went_may_stay_unseen_or_show_as_deleted_alone() {
        let flash = truth(&[("a", Created, 1), ("a", Updated, 2), ("a", Deleted, 3)]);
        let unseen = compare(&flash, &[]);
        assert_eq!((unseen.is_clean(), unseen.coalesced), (true, 3));
        assert!(compare(&flash, &delivered(&[("a", Deleted, 3)])).is_clean());
        let half = compare(&flash, &delivered(&[("a", Created, 1)]));
        assert_eq!(half.missing, fault("a", 3), "once announced, its end must be announced");
        let long = compare(&truth(&[("a", Created, 1), ("a", Deleted, 11)]), &[]);
        assert_eq!(long.missing, fault("a", 11), "ten seconds are many polls");
        let old = compare(&truth(&[("a", Deleted, 3)]), &[]);
        assert_eq!(old.missing, fault("a", 3), "it was there before");
    }

    #[test]
    fn an_event_that_comes_again_is_a_duplicate() {
        let happened = truth(&[("a", Created, 1), ("a", Updated, 2)]);
        let report = compare(&happened, &delivered(&[("a", Created, 1), ("a", Updated, 2), ("a", Updated, 2)]));
        assert_eq!(report, Report { changes: 2, delivered: 3, duplicates: fault("a", 2), ..Report::default() });
        assert!(!report.is_clean());
        let late = compare(&happened, &delivered(&[("a", Created, 1), ("a", Updated, 2), ("a", Created, 1)]));
        assert_eq!((late.duplicates, late.reordered), (fault("a", 1), vec![]), "a repeated id is known to its receiver");
    }

    #[test]
    fn a_version_under_two_ids_is_a_duplicate_that_nobody_recognises() {
        let report = compare(&truth(&[("a", Created, 1)]), &delivered(&[("a", Created, 1), ("a", Updated, 1)]));
        assert_eq!(report.duplicates, fault("a", 1));
        assert!(!report.is_clean());
    }

    #[test]
    fn an_id_stands_for_one_version_with_one_record() {
        let happened = truth(&[("a", Created, 1), ("b", Created, 2)]);
        let change: [fn(&mut Delivery); 4] =
            [|d| d.data_hash = 9, |d| d.version = "2".into(), |d| d.object_id = "b".into(), |d| d.kind = Updated];
        for change in change {
            let mut events = delivered(&[("a", Created, 1), ("b", Created, 2), ("a", Created, 1)]);
            change(&mut events[2]);
            let report = compare(&happened, &events);
            assert_eq!(report.conflicting_ids.len(), 1, "{events:?}");
            assert_eq!(report.duplicates, []);
            assert!(!report.is_clean());
        }
    }

    #[test]
    fn a_later_version_must_not_be_overtaken() {
        let happened = truth(&[("a", Updated, 1), ("a", Updated, 2), ("b", Updated, 3)]);
        let report = compare(&happened, &delivered(&[("a", Updated, 2), ("b", Updated, 3), ("a", Updated, 1)]));
        assert_eq!(report.reordered, fault("a", 1));
        assert_eq!((report.coalesced, report.is_clean()), (0, false));
        let across = compare(&happened, &delivered(&[("b", Updated, 3), ("a", Updated, 1), ("a", Updated, 2)]));
        assert!(across.is_clean(), "order is promised within an object");
    }

    #[test]
    fn kinds_follow_what_was_seen() {
        let life = [("a", Created, 1), ("a", Updated, 2), ("a", Updated, 20), ("a", Deleted, 21)];
        for (events, wrong) in [
            (&[("a", Created, 1), ("a", Updated, 2)][..], None),
            (&[("a", Updated, 1)], Some(1)),
            (&[("a", Deleted, 1)], Some(1)),
            // first seen in an updated version, within the tolerance
            (&[("a", Created, 2)], None),
            (&[("a", Updated, 2)], Some(2)),
            // and beyond it
            (&[("a", Created, 20)], None),
            (&[("a", Updated, 20)], None),
            // never created twice
            (&[("a", Created, 1), ("a", Created, 2)], Some(2)),
            (&[("a", Created, 1), ("a", Created, 20)], Some(20)),
            (&[("a", Created, 1), ("a", Deleted, 21)], None),
            (&[("a", Created, 1), ("a", Updated, 21)], Some(21)),
            (&[("a", Created, 1), ("a", Deleted, 20)], Some(20)),
        ] {
            let report = compare(&truth(&life), &delivered(events));
            assert_eq!(report.wrong_kind, wrong.map_or(vec![], |version| fault("a", version)), "{events:?}");
            assert!(wrong.is_none() || !report.is_clean());
        }
    }

    #[test]
    fn an_object_older_than_the_truth_is_never_created() {
        let happened = truth(&[("a", Updated, 1)]);
        assert!(compare(&happened, &delivered(&[("a", Updated, 1)])).is_clean());
        assert_eq!(compare(&happened, &delivered(&[("a", Created, 1)])).wrong_kind, fault("a", 1));
    }

    #[test]
    fn what_never_was_is_unexpected() {
        let happened = truth(&[("a", Created, 1)]);
        let report = compare(&happened, &delivered(&[("a", Created, 1), ("a", Updated, 7), ("z", Created, 1)]));
        assert_eq!(report.unexpected, [fault("a", 7), fault("z", 1)].concat());
        assert!(!report.is_clean());
        assert_eq!(report.coalesced, 0);
    }

    proptest::proptest! {
        /// Whatever arrives, each version is accounted for exactly once.
        #[test]
        fn the_sums_add_up(arrivals in proptest::collection::vec((0..4_usize, 0..3_usize), 0..12)) {
            let happened = truth(&[("a", Created, 1), ("a", Updated, 2), ("b", Updated, 3), ("b", Deleted, 4)]);
            let events: Vec<_> = arrivals
                .iter()
                .map(|(change, kind)| {
                    let change = &happened[*change];
                    (&*change.object_id, [Created, Updated, Deleted][*kind], change.version.parse().unwrap())
                })
                .collect();
            let events = delivered(&events);
            let report = compare(&happened, &events);
            let arrived: HashSet<_> = events.iter().map(|event| &event.version).collect();
            proptest::prop_assert_eq!(report.coalesced + report.missing.len() + arrived.len(), report.changes);
        }
    }
}
