//! Lists that continue by token, played against a provider of arbitrary changes, pages, expiries and deaths of the process.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use proptest::prelude::{Strategy as Generator, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::detect::detector::{Detector, Moment, View};
use crate::detect::event::Kind;
use crate::detect::known::KnownSet;
use crate::detect::record::Record;
use crate::plan::delta::{DeltaForm, DeltaPlan};
use crate::plan::field_path::FieldPath;
use crate::plan::{ExtractPlan, StartFrom, ValueAt, sample};

#[derive(Clone, Copy, Debug)]
enum Step {
    Set(u8),
    Delete(u8),
    /// The provider forgets its tokens.
    Forget,
    /// A poll during whose list these ids change, and which dies after this number of events, if at all.
    Poll {
        meanwhile: Option<u8>,
        dies_after: Option<u8>,
    },
}

fn steps() -> impl Generator<Value = Vec<Step>> {
    let id = 0..6_u8;
    let poll = (prop::option::weighted(0.3, 0..6_u8), prop::option::weighted(0.3, 0..4_u8));
    let step = prop_oneof![
        4 => id.clone().prop_map(Step::Set),
        2 => id.prop_map(Step::Delete),
        1 => prop::strategy::Just(Step::Forget),
        4 => poll.prop_map(|(meanwhile, dies_after)| Step::Poll { meanwhile, dies_after }),
    ];
    prop::collection::vec(step, 1..40)
}

fn plan(start_from: StartFrom) -> ResourcePlan {
    let mut plan = ResourcePlan { change_by: ChangeBy::Content, compare_content: true, start_from, ..sample::resource() };
    let from = ValueAt::Field(FieldPath::parse("next").unwrap());
    plan.delta = Some(DeltaPlan { from, form: DeltaForm::Token { first: None }, expired: None, scope: 1 });
    let extract = ExtractPlan { updated: None, created: None, ..ExtractPlan::clone(&plan.extract) };
    plan.extract = std::sync::Arc::new(extract);
    plan
}

/// The provider's log and our state; a token is a place in the log.
#[derive(Default)]
struct World {
    log: Vec<(u8, Option<u32>)>,
    forgotten: usize,
    versions: u32,
    /// What is on disk.
    saved: Saved,
    /// Every event that was sent.
    sent: Vec<(Kind, u8, Option<u32>)>,
    /// What the receiver holds.
    held: BTreeMap<u8, u32>,
    /// Ids whose deletion no token covers: the list was read as a whole after it.
    may_be_stale: BTreeSet<u8>,
}

#[derive(Clone, Default)]
struct Saved {
    token: Option<usize>,
    started: bool,
    known: KnownSet,
}

impl World {
    fn set(&mut self, id: u8) {
        self.versions += 1;
        self.log.push((id, Some(self.versions)));
    }

    fn truth(&self) -> BTreeMap<u8, u32> {
        let mut truth = BTreeMap::new();
        for (id, version) in &self.log {
            match version {
                Some(version) => drop(truth.insert(*id, *version)),
                None => drop(truth.remove(id)),
            }
        }
        truth
    }

    /// Rows of a list up to `end`, as they are there when a page is asked for.
    fn rows(&self, since: Option<usize>, end: usize) -> Vec<String> {
        let rows = self.log[since.unwrap_or(0)..end].iter();
        let rows = rows.filter(|(id, version)| {
            let is_last = self.log[..end].iter().rev().find(|(other, _)| other == id).is_some_and(|(_, last)| last == version);
            since.is_some() || (version.is_some() && is_last)
        });
        rows.map(|(id, version)| match version {
            Some(version) => format!(r#"{{"id":"{id}","v":{version}}}"#),
            None => format!(r#"{{"id":"{id}","deleted":true}}"#),
        })
        .collect()
    }

    /// One poll; `None` if the process died.
    fn poll(&mut self, plan: &ResourcePlan, meanwhile: Option<u8>, dies_after: Option<u8>) -> Option<()> {
        let now = DateTime::<Utc>::from_timestamp(1_800_000_000, 0).unwrap();
        let mut own = self.saved.clone();
        let mode = match (own.started, plan.start_from) {
            (true, _) => Mode::Usual,
            (false, StartFrom::Earliest) => Mode::FirstRead,
            (false, _) => Mode::Baseline,
        };
        let token = own.token.map(|token| token.to_string());
        let mut machine = PollMachine::new(plan, mode, None).with_token(token.ok_or(None));
        let view = View { mode, cursor: None, window: window::UNBOUNDED, rehash: false };
        let mut detector = Detector::new(plan, "uid", view, now);
        let mut left = dies_after;
        loop {
            let since = machine.token().map(|token| token.parse::<usize>().unwrap());
            detector.begin_listing(machine.since(), false);
            if since.is_some_and(|since| since < self.forgotten) {
                assert_eq!(machine.next(Input::TokenExpired), Next::Listing);
                continue;
            }
            if since.is_none() {
                // The whole list does not show what was deleted since it was sent: before an expiry, or by a first poll that died.
                let truth = self.truth();
                self.may_be_stale.extend(self.held.keys().filter(|id| !truth.contains_key(id)));
            }
            let end = self.log.len();
            let rows = self.rows(since, end);
            for page in rows.chunks(2).map(<[String]>::to_vec).collect::<Vec<_>>() {
                let records = page.iter().map(|json| Record { json, key: None });
                let found = detector.page(records, &mut own.known, Moment::new(Some(now), now)).unwrap();
                let tried = found.changes.len();
                for change in found.changes {
                    if left == Some(0) {
                        return None;
                    }
                    left = left.map(|left| left - 1);
                    let id: u8 = change.event.object_id.parse().unwrap();
                    let version = change.event.data.get().split(r#""v":"#).nth(1);
                    let version = version.map(|text| text.trim_end_matches('}').parse().unwrap());
                    self.sent.push((change.event.kind, id, version));
                    match version {
                        Some(version) => drop(self.held.insert(id, version)),
                        None => drop(self.held.remove(&id)),
                    }
                    own.known.remember(change.object, change.known);
                }
                let facts = PageFacts {
                    tried,
                    undelivered: Undelivered::None,
                    has_next: true,
                    provider_date: Some(now),
                    seen: detector.seen(),
                    has_news: found.has_news,
                    remembered: found.remembered,
                    least: None,
                    greatest: None,
                    ids: found.ids,
                    rows: 1,
                };
                assert_eq!(machine.next(Input::Page(facts)), Next::Page);
                if let Some(id) = meanwhile {
                    self.set(id);
                }
            }
            assert!(detector.at_end().is_empty());
            assert_eq!(machine.next(Input::End), Next::Done(PollEnd::Complete { settled: true }));
            (own.token, own.started) = (Some(end), true);
            self.saved = own;
            return Some(());
        }
    }
}

proptest! {
    /// What is living when a poll has ended well is what the receiver holds, but for changes while the list was read; without a death no
    /// event comes twice, and none for what did not change; a living record is never created again.
    #[test]
    fn the_receiver_holds_what_lives(steps in steps(), from_earliest: bool) {
        let plan = plan(if from_earliest { StartFrom::Earliest } else { StartFrom::Now });
        let mut world = World::default();
        let mut has_died = false;
        for step in steps {
            match step {
                Step::Set(id) => world.set(id),
                Step::Delete(id) => world.log.push((id, None)),
                Step::Forget => world.forgotten = world.log.len() + 1,
                Step::Poll { meanwhile, dies_after } => {
                    let before = world.truth();
                    let started = world.saved.started;
                    let ended = world.poll(&plan, meanwhile, dies_after).is_some();
                    has_died |= !ended;
                    if !started && ended && !from_earliest {
                        // what the baseline holds is known without an event
                        prop_assert!(world.sent.is_empty());
                        world.held = before;
                    } else if ended {
                        let stale = &world.may_be_stale;
                        let held: BTreeMap<_, _> =
                            world.held.iter().filter(|(id, _)| before.contains_key(id) || !stale.contains(id)).collect();
                        prop_assert_eq!(held, before.iter().collect::<BTreeMap<_, _>>());
                    }
                }
            }
        }
        let mut living = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (kind, id, version) in world.sent {
            prop_assert!(has_died || version.is_none() || seen.insert((id, version)), "a version came twice");
            let was_living = living.insert(id, kind != Kind::Deleted).unwrap_or(false);
            prop_assert!(has_died || !(kind == Kind::Created && was_living), "created twice");
        }
    }
}
