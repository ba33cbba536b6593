//! Which change goes where, out of a state alone.

use super::*;
use crate::deliver::delivery_state::{Failing, Taken};
use crate::deliver::health::{Blame, Failure};
use crate::deliver::retry_queue::{MAX_BYTES, QueuedEvent};
use crate::deliver::sample::{at, change, event};
use crate::deliver::sink::http::interpret::HttpCause;
use crate::deliver::sink::{CALLBACK, Cause};
use crate::detect::event::Kind;
use crate::state::InstanceState;

const TARGET: u64 = 9;

fn both() -> [SinkName; 2] {
    [CALLBACK.clone(), SinkName::new("archive")]
}

fn state() -> InstanceState {
    InstanceState::new("u".into())
}

/// With two sinks that may be asked.
fn step(state: &mut InstanceState, changes: &[Change], now: DateTime<Utc>) -> Step {
    let targets = Targets { names: &both(), open: &[Some(TARGET); 2] };
    triage(&mut state.delivery("contacts"), changes, targets, now)
}

/// The changes that each sink is sent.
fn sends(step: &Step) -> Vec<Vec<usize>> {
    step.sends.iter().map(|sends| sends.iter().map(|ready| ready.index).collect()).collect()
}

fn bring_down(state: &mut InstanceState, sink: &SinkName, now: DateTime<Utc>) {
    let failure = Failure { retry_after: None, cause: Cause::Http(HttpCause::Status(503)), blame: Blame::Sink };
    (0..5).for_each(|object| state.sinks.note_failed(sink, 90 + object, failure, now, 0));
}

#[test]
fn an_object_waits_at_the_sink_where_it_failed_until_its_next_try() {
    let mut state = state();
    let failing = |sink: &SinkName| Failing { sink: sink.clone(), object: 1, attempts: 1, refusals: 0, next_try: at(5) };
    state.delivery("contacts").failing.push(failing(&both()[1]));
    let changes = [change(1, 1), change(2, 1)];
    let early = step(&mut state, &changes, at(4));
    assert_eq!((sends(&early), &*early.lacking), (vec![vec![0, 1], vec![1]], &[2, 2][..]));
    assert_eq!(early.tried(), 2);
    let due = step(&mut state, &changes, at(5));
    assert_eq!(sends(&due), [[0, 1], [0, 1]]);
    assert_eq!(due.sends[1][0], Ready { index: 0, failed_before: true });
    assert!(!due.sends[0][0].failed_before);
}

#[test]
fn what_every_sink_holds_in_its_queue_is_replaced_there_and_known() {
    let mut state = state();
    for sink in both() {
        let event = event("1", Kind::Updated, "{}");
        state
            .sinks
            .enqueue(QueuedEvent { sink, object: 1, event, attempts: 3, refusals: 0, next_try: None }, MAX_BYTES)
            .unwrap();
    }
    let step = step(&mut state, &[change(1, 2)], at(0));
    assert_eq!((sends(&step), &*step.lacking, step.superseded), (vec![vec![]; 2], &[0][..], true));
    assert_eq!(state.resources["contacts"].known.get(1).unwrap().version, 2);
    assert!(state.resources["contacts"].taken.is_empty());
    assert_eq!((state.sinks.deferred(), state.sinks.parked()), (2, 0), "a newer version of a parked event is tried");
}

#[test]
fn the_probe_is_what_failed_least_and_the_rest_waits_for_it() {
    let mut state = state();
    bring_down(&mut state, &both()[1], at(0));
    let failing = Failing { sink: both()[1].clone(), object: 1, attempts: 2, refusals: 0, next_try: at(5) };
    state.delivery("contacts").failing.push(failing);
    let changes = [change(1, 1), change(2, 1), change(3, 1)];
    let closed = step(&mut state, &changes, at(1));
    assert_eq!((sends(&closed), closed.is_open), (vec![vec![0, 1, 2], vec![]], true));
    assert_eq!(closed.after_probe, [false; 3]);
    let probing = step(&mut state, &changes, at(10));
    assert_eq!((sends(&probing), &*probing.after_probe), (vec![vec![0, 1, 2], vec![1]], &[true, false, true][..]));
}

#[test]
fn without_a_sink_that_may_be_asked_nothing_is_open() {
    let mut state = state();
    let targets = Targets { names: &both(), open: &[None, None] };
    let step = triage(&mut state.delivery("contacts"), &[change(1, 1)], targets, at(0));
    assert_eq!((sends(&step), step.is_open, &*step.lacking), (vec![vec![]; 2], false, &[2][..]));
}

#[test]
fn when_no_more_can_be_noted_a_change_goes_to_all_sinks_or_to_none() {
    let mut state = state();
    let full = (0..MAX_TAKEN as u64).map(|object| Taken { sink: CALLBACK.clone(), object: 1_000 + object, event: 0 });
    state.delivery("contacts").taken.extend(full);
    bring_down(&mut state, &both()[1], at(0));
    let changes = [change(1, 1), change(2, 1), change(1_000, 1)];
    let closed = step(&mut state, &changes, at(1));
    assert_eq!(sends(&closed), [vec![2], vec![]], "a note of this object is there already");
    let probing = step(&mut state, &changes, at(10));
    assert_eq!(sends(&probing), [vec![0, 2], vec![0]], "the probe goes to both");
    state.sinks.note_accepted(&both()[1], 0);
    assert_eq!(sends(&step(&mut state, &changes, at(10))), [[0, 1, 2], [0, 1, 2]]);
}
