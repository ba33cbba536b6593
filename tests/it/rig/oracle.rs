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
        let states = self.objects.get_mut(object).map(Vec::as_mut_slice).unwrap_or_default();
        let last = states.iter().rposition(|state| state.version == version);
        for state in states.iter_mut().take(last.map_or(0, |last| last + 1)) {
            state.baseline = true;
        }
    }

    /// A state could be seen by a poll that went well.
    pub fn must_come(&mut self, object: &str, version: i64) {
        let mut states = self.objects.get_mut(object).into_iter().flatten().rev();
        // Of several deletions the last one.
        if let Some(state) = states.find(|state| state.version == version && !state.baseline) {
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

/// Which state each event is of, as its place in the history of the object; `None`: none that ever was, or the event came before. A deleted
/// record may come back and be deleted again, and a deletion does not say which one it is: it is the last that there was before the
/// next state that came.
fn places(truth: &Truth, delivered: &[Delivered], version: impl Fn(&str) -> Option<i64>) -> Vec<Option<usize>> {
    let mut places = vec![None; delivered.len()];
    let mut ids: BTreeSet<&str> = BTreeSet::new();
    let mut objects: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, event) in delivered.iter().enumerate().filter(|(_, event)| ids.insert(&event.event_id)) {
        let Some(states) = truth.objects.get(&event.object) else { continue };
        if event.kind != Kind::Deleted {
            let Some(at) = version(&event.data) else { continue };
            places[index] = states.iter().position(|state| !state.deleted && state.version == at);
        }
        objects.entry(&event.object).or_default().push(index);
    }
    for (object, events) in objects {
        let states = &truth.objects[object];
        let mut before = states.len();
        for (nth, index) in events.iter().enumerate().rev() {
            if delivered[*index].kind == Kind::Deleted {
                let earlier = events[..nth].iter().rev().find_map(|index| places[*index]);
                let from = earlier.map_or(0, |earlier| earlier + 1);
                let own = (from..before).rev().find(|at| states[*at].deleted);
                // One deletion that comes under two ids.
                places[*index] = own.or_else(|| states.get(before).filter(|state| state.deleted).map(|_| before));
                before = places[*index].unwrap_or(before);
            } else if let Some(at) = places[*index] {
                before = at;
            }
        }
    }
    places
}

/// Compares. `version` reads the version from an event's data; a deleted event needs none.
pub fn judge(truth: &Truth, delivered: &[Delivered], version: impl Fn(&str) -> Option<i64>) -> Verdict {
    let mut verdict = Verdict::default();
    let mut contents: BTreeMap<&str, &Delivered> = BTreeMap::new();
    let mut ids: BTreeMap<(&str, usize, Kind), &str> = BTreeMap::new();
    let mut newest: BTreeMap<&str, usize> = BTreeMap::new();
    let mut seen: BTreeSet<(&str, usize)> = BTreeSet::new();
    let places = places(truth, delivered, &version);

    for (event, place) in delivered.iter().zip(places) {
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

        let Some((at, state)) = place.map(|at| (at, &states[at])) else {
            let never = || format!("version {:?} never was", version(&event.data));
            let what = if event.kind == Kind::Deleted { "it lives".to_owned() } else { never() };
            verdict.invented.push(format!("{told}: {what}"));
            continue;
        };
        if state.baseline {
            verdict.invented.push(format!("{told}: part of the baseline"));
            continue;
        }
        if let Some(other) = ids.insert((object, at, event.kind), &event.event_id) {
            verdict
                .conflicts
                .push(format!("{told}: came as {other} before\n        {}\n        {}", event.data, contents[other].data));
        }
        let before = newest.get(object).copied();
        if before.is_some_and(|before| before > at) {
            verdict.order_breaks.push(told.clone());
        }
        let known = before.map_or(states[0].baseline, |before| !states[before].deleted);
        if match event.kind {
            Kind::Created => known,
            Kind::Updated => !known,
            Kind::Deleted => false,
        } {
            verdict.wrong_kinds.push(format!("{told}: {}", if known { "it was known" } else { "it was not known" }));
        }
        newest.insert(object, before.map_or(at, |before| before.max(at)));
        seen.insert((object, at));
    }

    for (object, states) in &truth.objects {
        let last = states.len() - 1;
        let wanted = states.iter().enumerate().filter(|(at, state)| (*at == last || state.seen) && !state.baseline);
        let came = |at: &usize| seen.contains(&(object.as_str(), *at));
        // A record that comes back and is deleted again before anyone saw it back is deleted as before.
        let is_told = |(at, state): &(usize, &State)| {
            let (before, behind) = ((0..*at).rev().find(came), (at + 1..states.len()).find(came));
            let is_deletion = |other: Option<usize>| other.is_some_and(|other| states[other].deleted);
            came(at) || (state.deleted && (is_deletion(before) || is_deletion(behind)))
        };
        for (_, state) in wanted.filter(|state| !is_told(state)) {
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
    fn what_was_deleted_may_come_back() {
        let mut truth = Truth::default();
        truth.changed("back", 1);
        truth.deleted("back");
        truth.changed("back", 2);
        truth.must_come("back", 2);
        truth.deleted("back");
        let verdict = |kinds: &[(Kind, i64)]| {
            let events = kinds.iter().enumerate();
            let events: Vec<_> = events.map(|(n, (kind, version))| event(&n.to_string(), *kind, "back", *version)).collect();
            judge(&truth, &events, |data| data.parse().ok())
        };
        let [created, back, deleted] = [(Kind::Created, 1), (Kind::Created, 2), (Kind::Deleted, 0)];
        assert!(verdict(&[created, deleted, back, deleted]).is_perfect());
        assert!(verdict(&[deleted, back, deleted]).is_perfect());
        assert!(verdict(&[created, (Kind::Updated, 2), deleted]).is_perfect(), "it was back before a poll saw it gone");
        assert_eq!(verdict(&[created, back, deleted]).wrong_kinds.len(), 1, "it was never gone");
        assert_eq!(verdict(&[created, deleted, (Kind::Updated, 2), deleted]).wrong_kinds.len(), 1, "it was gone");
        assert_eq!(verdict(&[created, deleted, back]).missing, ["back deleted"]);
        assert_eq!(verdict(&[created, deleted, deleted]).missing, ["back 2"]);
        assert_eq!(verdict(&[created, deleted, back, deleted, deleted]).conflicts.len(), 1);
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
        assert_eq!(with(&|e| e.push(event("x", Kind::Deleted, "gone", 0))).conflicts.len(), 1);
        assert_eq!(with(&|e| e.swap(0, 1)).order_breaks.len(), 1);
        assert_eq!(with(&|e| e.push(event("x", Kind::Created, "quiet", 0))).invented.len(), 1);
        assert_eq!(with(&|e| e.push(event("x", Kind::Created, "nobody", 0))).invented.len(), 1);
        assert_eq!(with(&|e| e.push(event("x", Kind::Updated, "new", 7))).invented.len(), 1);
    }
}
