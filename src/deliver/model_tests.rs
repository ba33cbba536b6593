//! Two sinks that fail as they like: whatever happens, each gets every object's latest version, in order and none twice.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::outcome::{Try, apply_change, apply_retry};
use super::sample::{at, change, retry};
use super::sink::http::interpret::HttpCause;
use super::sink::{CALLBACK, Cause, Delivery, SinkName};
use super::triage::{Targets, triage};
use crate::detect::event::Change;
use crate::state::InstanceState;

const OBJECTS: u64 = 7;
const TARGET: u64 = 9;

#[derive(Clone, Debug)]
enum Act {
    /// The provider changes an object.
    Change(u64),
    /// A poll finds what is not known, and the sinks answer so.
    Poll(Vec<Answer>),
    /// What is due of the retry queues is sent.
    Due(Vec<Answer>),
    /// This number of seconds passes.
    Wait(i64),
    /// Another process goes on with what was saved.
    Restart,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Accept,
    Fail,
    Refuse,
    Unusable,
}

fn act() -> impl Strategy<Value = Act> {
    let answers = || proptest::collection::vec(answer(), 0..12);
    prop_oneof![
        4 => (0..OBJECTS).prop_map(Act::Change),
        4 => answers().prop_map(Act::Poll),
        2 => answers().prop_map(Act::Due),
        2 => prop_oneof![1_i64..400, 1_i64..400_000].prop_map(Act::Wait),
        1 => Just(Act::Restart),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![3 => Just(Answer::Accept), 3 => Just(Answer::Fail), 2 => Just(Answer::Refuse), 1 => Just(Answer::Unusable)]
}

struct World {
    state: InstanceState,
    sinks: [SinkName; 2],
    now: DateTime<Utc>,
    /// The version of each object at the provider.
    provider: BTreeMap<u64, u64>,
    /// The versions of each object that each sink accepted, in order.
    accepted: [BTreeMap<u64, Vec<u64>>; 2],
}

impl World {
    fn new() -> Self {
        Self {
            state: InstanceState::new("u".into()),
            sinks: [CALLBACK.clone(), SinkName::new("archive")],
            now: at(0),
            provider: BTreeMap::new(),
            accepted: Default::default(),
        }
    }

    fn known(&mut self, object: u64) -> Option<u64> {
        self.state.delivery("contacts").known.get(object).map(|known| known.version)
    }

    fn found(&mut self) -> Vec<Change> {
        let provider = self.provider.clone();
        let unknown = provider.into_iter().filter(|(object, version)| self.known(*object) != Some(*version));
        unknown.map(|(object, version)| change(object, version)).collect()
    }

    fn poll(&mut self, answers: &mut impl Iterator<Item = Answer>) {
        let changes = self.found();
        let targets = Targets { names: &self.sinks, open: &[Some(TARGET); 2] };
        let step = triage(&mut self.state.delivery("contacts"), &changes, targets, self.now);
        for (index, ready) in step.sends.iter().enumerate() {
            for ready in ready {
                let change = &changes[ready.index];
                let delivery = self.deliver(index, change.object, change.known.version, answers);
                let attempt = Try { sink: &self.sinks[index], target: TARGET, all: &self.sinks, now: self.now };
                apply_change(&mut self.state.delivery("contacts"), change, &delivery, &attempt);
            }
        }
    }

    fn send_due(&mut self, answers: &mut impl Iterator<Item = Answer>) {
        for index in 0..2 {
            for queued in self.state.sinks.queue(&self.sinks[index]).due("contacts", self.now) {
                let version = version(queued.event.data.get());
                let delivery = self.deliver(index, queued.object, version, answers);
                let attempt = Try { sink: &self.sinks[index], target: TARGET, all: &self.sinks, now: self.now };
                apply_retry(&mut self.state.delivery("contacts"), queued, &delivery, &attempt);
            }
        }
    }

    fn deliver(&mut self, sink: usize, object: u64, version: u64, answers: &mut impl Iterator<Item = Answer>) -> Delivery {
        match answers.next().unwrap_or(Answer::Accept) {
            Answer::Accept => {
                let before = self.accepted[sink].entry(object).or_default();
                assert!(
                    before.last().is_none_or(|last| *last < version),
                    "sink {sink}: {version} of {object} after {before:?}"
                );
                before.push(version);
                Delivery::Accepted
            }
            Answer::Fail => retry(),
            Answer::Refuse => Delivery::Refused { cause: Cause::Http(HttpCause::Status(422)) },
            Answer::Unusable => Delivery::Unusable(crate::api::conditions::Problem::human(
                crate::api::conditions::Reason::EgressDenied,
                "the address is not allowed",
            )),
        }
    }

    /// What is known, every sink accepted or keeps.
    fn check_known(&mut self) {
        for object in 0..OBJECTS {
            let Some(known) = self.known(object) else { continue };
            for (index, sink) in self.sinks.iter().enumerate() {
                let accepted = self.accepted[index].get(&object).and_then(|versions| versions.last().copied());
                let kept = self.state.sinks.queue(sink).events().iter().find(|queued| queued.object == object);
                let kept = kept.map(|queued| version(queued.event.data.get()));
                assert!(accepted.max(kept) >= Some(known), "{sink}: {known} of {object}, has {accepted:?} and keeps {kept:?}");
            }
        }
    }

    fn restart(&mut self) {
        let text = serde_json::to_string(&self.state).unwrap();
        let read = serde_json::from_str(&text).unwrap();
        assert_eq!(self.state, read);
        self.state = read;
    }
}

/// As `sample::change` writes it.
fn version(record: &str) -> u64 {
    let (_, version) = record.trim_end_matches('}').rsplit_once(':').unwrap();
    version.parse().unwrap()
}

proptest! {
    #[test]
    fn each_sink_gets_every_latest_version_in_order_and_none_twice(acts in proptest::collection::vec(act(), 0..60)) {
        let mut world = World::new();
        for act in acts {
            match act {
                Act::Change(object) => *world.provider.entry(object).or_default() += 1,
                Act::Poll(answers) => world.poll(&mut answers.into_iter()),
                Act::Due(answers) => world.send_due(&mut answers.into_iter()),
                Act::Wait(seconds) => world.now += chrono::Duration::seconds(seconds),
                Act::Restart => world.restart(),
            }
            world.check_known();
        }
        world.state.sinks.redeliver("contacts", None, world.now);
        for _ in 0..4 {
            world.now += chrono::Duration::days(2);
            world.poll(&mut std::iter::empty());
            world.send_due(&mut std::iter::empty());
        }
        for (object, version) in world.provider.clone() {
            for accepted in &world.accepted {
                prop_assert_eq!(accepted.get(&object).and_then(|versions| versions.last()), Some(&version));
            }
        }
        prop_assert!(world.state.sinks.events().is_empty());
        let own = world.state.delivery("contacts");
        prop_assert!(own.failing.is_empty() && own.taken.is_empty());
    }
}
