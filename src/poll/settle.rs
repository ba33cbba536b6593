//! Books the answer to one delivered event into the state. Pure.

use chrono::{DateTime, Utc};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::deliver::callback::Failure;
use crate::deliver::ledger::Entry;
use crate::deliver::schedule::{self, Cause, Verdict};
use crate::detect::event::{Change, Event};
use crate::state::{Failing, InstanceState, ResourceState};

/// Tries after which a failing event is set aside with its body, so that the cursor goes on.
pub const TRIES_BEFORE_ASIDE: u32 = 3;
/// 400-class refusals after which an event is parked.
pub const REFUSALS_BEFORE_PARKED: u32 = 5;
/// Objects of one resource that may be failing at once; further failures are simply met again at the next poll.
pub const MAX_FAILING: usize = 1_000;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The callback took it.
    Accepted,
    /// It waits in the ledger, with its body: the cursor may go on.
    SetAside,
    /// It waits in the ledger for a person: the cursor may go on.
    Parked,
    /// It was not taken; the provider will show it again.
    Undelivered,
    /// It was not even sent: the callback was closed meanwhile, or cannot be asked.
    Untried,
    /// It should have been set aside, but the ledger is full.
    LedgerFull,
}

impl Settled {
    /// May the cursor go past it?
    pub fn is_taken(self) -> bool {
        matches!(self, Self::Accepted | Self::SetAside | Self::Parked)
    }
}

/// Books the answer to a change that was just detected.
pub fn settle_change(
    state: &mut InstanceState,
    change: &Change,
    verdict: Verdict,
    callback: u64,
    now: DateTime<Utc>,
) -> Settled {
    let resource = change.event.resource.to_string();
    match failure_of(verdict) {
        None if verdict == Verdict::Gone => {
            state.callback.note_gone(callback);
            return Settled::Undelivered;
        }
        None => {
            state.callback.note_accepted();
            let own = state.resources.entry(resource).or_default();
            own.failing.retain(|f| f.object != change.object);
            own.known.remember(change.object, change.known);
            own.delivered += 1;
            own.last_change_time = Some(now);
            return Settled::Accepted;
        }
        Some(failure) => state.callback.note_failed(callback_key(&resource, change.object), failure, now, seed(&change.event)),
    }
    if state.callback.is_down() {
        return Settled::Undelivered;
    }
    let own = state.resources.entry(resource).or_default();
    let before = own.failing.iter().find(|f| f.object == change.object).map_or((0, 0), |f| (f.attempts, f.refusals));
    let tries = Tries::after(before, verdict);
    if tries.attempts < TRIES_BEFORE_ASIDE {
        note_failing(own, change.object, tries, tries.next(&change.event, now).unwrap_or(now));
        return Settled::Undelivered;
    }
    let next_try = tries.next(&change.event, now);
    let entry = Entry {
        object: change.object,
        event: change.event.clone(),
        attempts: tries.attempts,
        refusals: tries.refusals,
        next_try,
    };
    if state.ledger.take_in(entry).is_err() {
        note_failing(own, change.object, tries, next_try.unwrap_or(now + chrono::Duration::hours(24)));
        return Settled::LedgerFull;
    }
    own.failing.retain(|f| f.object != change.object);
    own.known.remember(change.object, change.known);
    if next_try.is_some() { Settled::SetAside } else { Settled::Parked }
}

/// Books the answer to an event of the ledger.
pub fn settle_entry(
    state: &mut InstanceState,
    mut entry: Entry,
    verdict: Verdict,
    callback: u64,
    now: DateTime<Utc>,
) -> Settled {
    let resource = entry.event.resource.to_string();
    match failure_of(verdict) {
        None if verdict == Verdict::Gone => {
            state.callback.note_gone(callback);
            return Settled::Undelivered;
        }
        None => {
            state.callback.note_accepted();
            state.ledger.remove(&resource, entry.object);
            let own = state.resources.entry(resource).or_default();
            own.delivered += 1;
            own.last_change_time = Some(now);
            return Settled::Accepted;
        }
        Some(failure) => state.callback.note_failed(callback_key(&resource, entry.object), failure, now, seed(&entry.event)),
    }
    if state.callback.is_down() {
        return Settled::Undelivered;
    }
    let tries = Tries::after((entry.attempts, entry.refusals), verdict);
    entry.next_try = tries.next(&entry.event, now);
    (entry.attempts, entry.refusals) = (tries.attempts, tries.refusals);
    let settled = if entry.next_try.is_some() { Settled::SetAside } else { Settled::Parked };
    state.ledger.reschedule(entry);
    settled
}

/// Tries of one event, this one included.
#[derive(Clone, Copy)]
struct Tries {
    attempts: u32,
    refusals: u32,
    verdict: Verdict,
}

impl Tries {
    fn after((attempts, refusals): (u32, u32), verdict: Verdict) -> Self {
        Self { attempts: attempts + 1, refusals: refusals + u32::from(matches!(verdict, Verdict::Refused { .. })), verdict }
    }

    /// When it is tried next; `None` when it is to be parked.
    fn next(&self, event: &Event, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.refusals >= REFUSALS_BEFORE_PARKED {
            return None;
        }
        let retry_after = match self.verdict {
            Verdict::Retry { retry_after, .. } => retry_after,
            _ => None,
        };
        // 401 and 403 need a person: start where the schedule is slow.
        let step = self.attempts + u32::from(self.verdict == Verdict::SlowRetry);
        schedule::next_try(step, seed(event), retry_after, now)
    }
}

fn failure_of(verdict: Verdict) -> Option<Failure> {
    let (hold, cause) = match verdict {
        Verdict::Accepted | Verdict::Gone => return None,
        Verdict::Retry { retry_after, cause } => (retry_after, cause),
        Verdict::SlowRetry => (None, Cause::Unauthorized),
        Verdict::Refused { status } => (None, Cause::Status(status)),
    };
    Some(Failure { hold, cause })
}

fn note_failing(own: &mut ResourceState, object: u64, tries: Tries, next_try: DateTime<Utc>) {
    let failing = Failing { object, attempts: tries.attempts, refusals: tries.refusals, next_try };
    match own.failing.iter().position(|f| f.object == object) {
        Some(index) => own.failing[index] = failing,
        None if own.failing.len() < MAX_FAILING => own.failing.push(failing),
        None => {}
    }
}

/// Objects of different resources are distinct for the callback.
fn callback_key(resource: &str, object: u64) -> u64 {
    xxh3_64_with_seed(resource.as_bytes(), object)
}

/// Spreads the jitter by event, the same after a restart.
fn seed(event: &Event) -> u64 {
    xxh3_64_with_seed(event.id.as_str().as_bytes(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::ledger::MAX_EVENTS;
    use crate::detect::event::{EventId, Kind, VersionToken};
    use crate::detect::known::{Age, Known};
    use serde_json::value::RawValue;

    const CALLBACK: u64 = 9;
    const RETRY: Verdict = Verdict::Retry { retry_after: None, cause: Cause::Status(500) };
    const REFUSED: Verdict = Verdict::Refused { status: 422 };

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn change(object: u64, version: u64) -> Change {
        let token = VersionToken { updated_text: None, content: version.into() };
        Change {
            object,
            known: Known { version, date: Some(1), age: Age::Settled, deleted: false },
            date: Some(at(0)),
            event: Event {
                id: EventId::new("u", "contacts", &object.to_string(), Kind::Updated, &token),
                kind: Kind::Updated,
                resource: "contacts".into(),
                object_id: object.to_string(),
                version_date: Some(at(0)),
                detected_at: at(0),
                data: RawValue::from_string(format!(r#"{{"id":{object},"v":{version}}}"#)).unwrap(),
            },
        }
    }

    fn state() -> InstanceState {
        InstanceState::new("u".into())
    }

    fn known_version(state: &InstanceState, object: u64) -> Option<u64> {
        state.resources.get("contacts")?.known.get(object).map(|known| known.version)
    }

    #[test]
    fn an_accepted_change_is_remembered_and_counted() {
        let mut state = state();
        assert_eq!(settle_change(&mut state, &change(1, 5), Verdict::Accepted, CALLBACK, at(3)), Settled::Accepted);
        assert_eq!(known_version(&state, 1), Some(5));
        assert_eq!((state.delivered(), state.last_change_time()), (1, Some(at(3))));
    }

    #[test]
    fn one_failing_object_is_set_aside_after_three_tries_while_others_pass() {
        let mut state = state();
        for (attempt, settled) in [(1, Settled::Undelivered), (2, Settled::Undelivered), (3, Settled::SetAside)] {
            assert_eq!(settle_change(&mut state, &change(1, 5), RETRY, CALLBACK, at(attempt)), settled, "try {attempt}");
            settle_change(
                &mut state,
                &change(100 + u64::try_from(attempt).unwrap(), 1),
                Verdict::Accepted,
                CALLBACK,
                at(attempt),
            );
        }
        assert_eq!(known_version(&state, 1), Some(5), "the cursor may pass it");
        assert!(state.resources["contacts"].failing.is_empty());
        let due = state.ledger.next_due("contacts").unwrap();
        assert!((at(3 + 24 * 60)..=at(3 + 36 * 60)).contains(&due), "third wait of the schedule: 30 m ± 20 %, {due}");
        let entry = state.ledger.due("contacts", due).remove(0);
        assert_eq!(settle_entry(&mut state, entry, Verdict::Accepted, CALLBACK, due), Settled::Accepted);
        assert!(state.ledger.is_empty());
        assert_eq!(state.delivered(), 4);
    }

    #[test]
    fn a_refused_event_is_parked_after_five_tries_and_any_other_at_the_end_of_the_schedule() {
        for (verdict, tries) in [(REFUSED, 5), (RETRY, 10)] {
            let mut state = state();
            let mut now = at(0);
            let mut count = 0;
            while state.ledger.parked() == 0 {
                count += 1;
                settle_change(&mut state, &change(200, count), Verdict::Accepted, CALLBACK, now);
                match state.ledger.next_due("contacts") {
                    Some(due) => {
                        now = due;
                        let entry = state.ledger.due("contacts", now).remove(0);
                        settle_entry(&mut state, entry, verdict, CALLBACK, now);
                    }
                    None => {
                        settle_change(&mut state, &change(1, 5), verdict, CALLBACK, now);
                    }
                }
                assert!(count < 100);
            }
            assert_eq!(count, tries, "{verdict:?}");
            assert_eq!(state.ledger.redeliver("contacts", now), 1);
            assert_eq!(state.ledger.set_aside(), 1);
        }
    }

    #[test]
    fn while_the_callback_is_down_nothing_is_set_aside_and_no_try_is_burnt() {
        let mut state = state();
        for object in 0..5 {
            settle_change(&mut state, &change(object, 1), RETRY, CALLBACK, at(0));
        }
        assert!(state.callback.is_down());
        let before = state.resources["contacts"].failing.clone();
        for second in 1..50 {
            assert_eq!(settle_change(&mut state, &change(1, 1), RETRY, CALLBACK, at(second * 100_000)), Settled::Undelivered);
        }
        assert_eq!(state.resources["contacts"].failing, before);
        assert!(state.ledger.is_empty());
        settle_change(&mut state, &change(1, 1), Verdict::Accepted, CALLBACK, at(0));
        assert!(!state.callback.is_down());
    }

    #[test]
    fn a_full_ledger_drops_nothing() {
        let mut state = state();
        let all = u64::try_from(MAX_EVENTS).unwrap() + 1;
        let mut last = Settled::Accepted;
        for object in 0..all {
            for _ in 0..3 {
                last = settle_change(&mut state, &change(object, 1), RETRY, CALLBACK, at(0));
                settle_change(&mut state, &change(1_000, 1), Verdict::Accepted, CALLBACK, at(0));
            }
        }
        assert_eq!(last, Settled::LedgerFull);
        assert_eq!(known_version(&state, all - 1), None, "the cursor must not pass it");
        assert_eq!(state.resources["contacts"].failing.len(), 1);
    }

    #[test]
    fn gone_is_booked_on_the_callback_only() {
        let mut state = state();
        assert_eq!(settle_change(&mut state, &change(1, 1), Verdict::Gone, CALLBACK, at(0)), Settled::Undelivered);
        assert!(state.callback.is_gone(CALLBACK));
        assert!(state.ledger.is_empty() && known_version(&state, 1).is_none());
    }
}
