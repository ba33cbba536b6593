//! Compares the provider's history with what the receiver accepted.
//!
//! Polling sees states, not steps: of several changes to one object between two polls only the last can be seen, so that only each
//! object's last state must have come. Where a test knows of a poll that went well, the states that it could see must have come, too
//! ([`Truth::must_come`]). Everything that did come must be a state that the object really had.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    Created,
    Updated,
    Deleted,
}

/// An event that the receiver accepted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Delivered {
    pub event_id: String,
    pub kind: Kind,
    pub object: String,
    /// The data section as it came.
    pub data: String,
}

/// Every state that every object had.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Truth {
    objects: BTreeMap<String, Vec<State>>,
}

/// One state of an object. Its version is its position in the object's history.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    version: i64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    /// Existed before the first poll: must not be announced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    baseline: bool,
    /// Was the object's state throughout a poll that went well: must be announced, even if others followed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    seen: bool,
}

impl Truth {
    /// An object that existed before the first poll.
    pub fn baseline(&mut self, object: &str, version: i64) {
        self.push(object, State { version, deleted: false, baseline: true, seen: false });
    }

    /// A created or updated object; the version rises with each change and stands in the record.
    pub fn changed(&mut self, object: &str, version: i64) {
        self.push(object, State { version, deleted: false, baseline: false, seen: false });
    }

    pub fn deleted(&mut self, object: &str) {
        self.push(object, State { version: i64::MAX, deleted: true, baseline: false, seen: false });
    }

    /// A state, and those before it, turned out to be older than the first poll.
    pub fn found_at_first(&mut self, object: &str, version: i64) {
        let states = self.objects.get_mut(object).into_iter().flatten();
        for state in states.filter(|state| state.version <= version) {
            state.baseline = true;
        }
    }

    /// A state could be seen by a poll that went well.
    pub fn must_come(&mut self, object: &str, version: i64) {
        let states = self.objects.get_mut(object).into_iter().flatten();
        for state in states.filter(|state| state.version == version && !state.baseline) {
            state.seen = true;
        }
    }

    fn push(&mut self, object: &str, state: State) {
        self.objects.entry(object.to_owned()).or_default().push(state);
    }

    /// Objects that changed after the first poll.
    pub fn changed_objects(&self) -> usize {
        self.objects.values().filter(|states| states.last().is_some_and(|state| !state.baseline)).count()
    }
}

/// What went wrong, one line each. All empty: nothing did.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Objects whose last state did not come.
    pub missing: Vec<String>,
    /// Ids that came again, with the data they had the first time.
    pub duplicates: Vec<String>,
    /// One id with two contents, or one state under two ids.
    pub conflicts: Vec<String>,
    /// `created` for a known object, `updated` for an unknown one.
    pub wrong_kinds: Vec<String>,
    /// An older state after a newer one, both for the first time.
    pub order_breaks: Vec<String>,
    /// Objects or states that never were, `deleted` for a living object, and the silent baseline.
    pub invented: Vec<String>,
}

impl Verdict {
    /// Nothing lost, invented or out of order: what must hold whatever happens. A crash between delivery and commit repeats
    /// events, and forgets that an object was announced, so that its next state may be called `created` again.
    pub fn is_sound(&self) -> bool {
        [&self.missing, &self.conflicts, &self.order_breaks, &self.invented].iter().all(|list| list.is_empty())
    }

    /// What must hold without a fault.
    pub fn is_perfect(&self) -> bool {
        self.is_sound() && self.duplicates.is_empty() && self.wrong_kinds.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, list) in [
            ("missing", &self.missing),
            ("duplicates", &self.duplicates),
            ("conflicts", &self.conflicts),
            ("wrong kinds", &self.wrong_kinds),
            ("order breaks", &self.order_breaks),
            ("invented", &self.invented),
        ] {
            writeln!(f, "{} {name}", list.len())?;
            list.iter().take(5).try_for_each(|line| writeln!(f, "    {line}"))?;
        }
        Ok(())
    }
}

/// Compares. `version` reads the version from an event's data; a deleted event needs none.
pub fn judge(truth: &Truth, delivered: &[Delivered], version: impl Fn(&str) -> Option<i64>) -> Verdict {
    let mut verdict = Verdict::default();
    let mut contents: BTreeMap<&str, &Delivered> = BTreeMap::new();
    let mut ids: BTreeMap<(&str, i64, Kind), &str> = BTreeMap::new();
    let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
    let mut seen: BTreeSet<(&str, i64)> = BTreeSet::new();

    for event in delivered {
        let object = event.object.as_str();
        let told = format!("{:?} {object} {}", event.kind, event.event_id);
        let Some(states) = truth.objects.get(object) else {
            verdict.invented.push(told);
            continue;
        };
        if let Some(first) = contents.get(event.event_id.as_str()) {
            if (first.kind, &first.object, &first.data) == (event.kind, &event.object, &event.data) {
                verdict.duplicates.push(told);
            } else {
                verdict.conflicts.push(format!("{told}: same id, other content"));
            }
            continue;
        }
        contents.insert(&event.event_id, event);

        let at = if event.kind == Kind::Deleted { Some(i64::MAX) } else { version(&event.data) };
        let Some(state) = at.and_then(|at| states.iter().find(|state| state.version == at)) else {
            let what = if event.kind == Kind::Deleted { "it lives".to_owned() } else { format!("version {at:?} never was") };
            verdict.invented.push(format!("{told}: {what}"));
            continue;
        };
        if state.baseline {
            verdict.invented.push(format!("{told}: part of the baseline"));
            continue;
        }
        if let Some(other) = ids.insert((object, state.version, event.kind), &event.event_id) {
            verdict.conflicts.push(format!("{told}: came as {other} before"));
        }
        let before = newest.get(object).copied();
        if before.is_some_and(|before| before > state.version) {
            verdict.order_breaks.push(told.clone());
        }
        let known = before.is_some() || states[0].baseline;
        if match event.kind {
            Kind::Created => known,
            Kind::Updated => !known,
            Kind::Deleted => false,
        } {
            verdict.wrong_kinds.push(format!("{told}: {}", if known { "it was known" } else { "it was not known" }));
        }
        newest.insert(object, before.map_or(state.version, |before| before.max(state.version)));
        seen.insert((object, state.version));
    }

    for (object, states) in &truth.objects {
        let last = states.len() - 1;
        let wanted = states.iter().enumerate().filter(|(at, state)| (*at == last || state.seen) && !state.baseline);
        for (_, state) in wanted.filter(|(_, state)| !seen.contains(&(object.as_str(), state.version))) {
            verdict
                .missing
                .push(format!("{object} {}", if state.deleted { "deleted".to_owned() } else { state.version.to_string() }));
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, kind: Kind, object: &str, version: i64) -> Delivered {
        Delivered { event_id: id.to_owned(), kind, object: object.to_owned(), data: version.to_string() }
    }

    fn truth() -> Truth {
        let mut truth = Truth::default();
        truth.baseline("old", 0);
        truth.baseline("quiet", 0);
        truth.changed("old", 1);
        truth.changed("new", 1);
        truth.changed("new", 2);
        truth.changed("gone", 1);
        truth.deleted("gone");
        truth
    }

    fn good() -> Vec<Delivered> {
        vec![
            event("a", Kind::Created, "new", 1),
            event("b", Kind::Updated, "new", 2),
            event("c", Kind::Updated, "old", 1),
            event("d", Kind::Deleted, "gone", 0),
        ]
    }

    fn verdict_on(delivered: &[Delivered]) -> Verdict {
        judge(&truth(), delivered, |data| data.parse().ok())
    }

    #[test]
    fn accepts_what_polling_can_see() {
        assert!(verdict_on(&good()).is_perfect());
        // the first state of `new` was never visible to a poll
        let mut coalesced = good();
        coalesced[1].kind = Kind::Created;
        coalesced.remove(0);
        assert!(verdict_on(&coalesced).is_perfect());
    }

    #[test]
    fn what_a_poll_could_see_must_have_come_although_more_followed() {
        let mut truth = truth();
        let mut delivered = good();
        delivered[1].kind = Kind::Created;
        delivered.remove(0);
        assert!(judge(&truth, &delivered, |data| data.parse().ok()).is_perfect());
        truth.must_come("new", 1);
        truth.must_come("quiet", 0);
        assert_eq!(judge(&truth, &delivered, |data| data.parse().ok()).missing, ["new 1"]);
        truth.found_at_first("new", 1);
        let verdict = judge(&truth, &delivered, |data| data.parse().ok());
        assert!(verdict.missing.is_empty() && verdict.wrong_kinds.len() == 1, "{verdict}");
    }

    #[test]
    fn finds_each_fault() {
        let with = |change: &dyn Fn(&mut Vec<Delivered>)| {
            let mut events = good();
            change(&mut events);
            verdict_on(&events)
        };
        assert_eq!(with(&|e| drop(e.pop())).missing.len(), 1);
        assert_eq!(with(&|e| drop(e.remove(1))).missing.len(), 1);
        assert_eq!(with(&|e| e.push(e[0].clone())).duplicates.len(), 1);
        assert_eq!(with(&|e| e.push(event("a", Kind::Created, "new", 2))).conflicts.len(), 1);
        assert_eq!(with(&|e| e.push(event("x", Kind::Updated, "new", 2))).conflicts.len(), 1);
        assert_eq!(with(&|e| e[1].kind = Kind::Created).wrong_kinds.len(), 1);
        assert_eq!(with(&|e| e[2].kind = Kind::Created).wrong_kinds.len(), 1);
        assert_eq!(with(&|e| e[0].kind = Kind::Updated).wrong_kinds.len(), 1);
        assert_eq!(with(&|e| e.push(event("x", Kind::Deleted, "new", 0))).invented.len(), 1);
        assert_eq!(with(&|e| e.swap(0, 1)).order_breaks.len(), 1);
        assert_eq!(with(&|e| e.push(event("x", Kind::Created, "quiet", 0))).invented.len(), 1);
        assert_eq!(with(&|e| e.push(event("x", Kind::Created, "nobody", 0))).invented.len(), 1);
        assert_eq!(with(&|e| e.push(event("x", Kind::Updated, "new", 7))).invented.len(), 1);
    }
}
