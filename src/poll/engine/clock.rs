//! What happens when the wall clock of the machine is set: times that this process has chosen move with it, those of the provider do not.

use chrono::{DateTime, Utc};

use super::{Engine, Kind, Starts};
use crate::moment::Moment;

impl Engine {
    /// When the wall clock was set, the rhythm of polls and all waits move with it.
    pub(super) fn follow_clock(&mut self, now: DateTime<Utc>, monotonic: Moment) {
        let Some(step) = self.clock.step(now, monotonic) else { return };
        self.starts = Starts::default();
        tracing::warn!(seconds = step.num_seconds(), "the wall clock was changed; due times move with it");
        let mut due = Vec::new();
        for (key, entry) in &mut self.instances {
            if let Kind::Running(running) = &mut entry.kind {
                running.move_clock(step);
                due.extend((0..running.schedules.len()).map(|index| (key.clone(), index)));
            }
        }
        for (key, index) in due {
            self.enqueue(&key, index, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use chrono::TimeDelta;
    use tokio::sync::mpsc;

    use super::super::{Command, Run};
    use super::*;
    use crate::auth::SecretMap;
    use crate::deliver::health::{Admission, Blame, Failure};
    use crate::deliver::retry_queue::QueuedEvent;
    use crate::deliver::sample::event;
    use crate::deliver::sink::http::interpret::HttpCause;
    use crate::deliver::sink::{CALLBACK, Cause, SinkName};
    use crate::detect::event::Kind as Change;
    use crate::egress::{Egress, EgressPolicy};
    use crate::moment;
    use crate::observe::Metrics;
    use crate::plan::sample;
    use crate::poll::claim::Claim;
    use crate::poll::context::EngineContext;
    use crate::poll::wall_clock::WallClock;
    use crate::state::directory::Directory;

    /// An engine with one instance, whose callback asked to be left alone for an hour and has an event that waits for as long.
    fn engine(folder: &std::path::Path, now: DateTime<Utc>, monotonic: Moment) -> Engine {
        let store = Arc::new(Directory::open(folder).unwrap());
        let egress = Egress::new(EgressPolicy::default()).unwrap();
        let secrets = Arc::new(SecretMap::default());
        let context = EngineContext::new(egress, Metrics::new(), secrets, Arc::clone(&store) as _, store);
        let mut engine = Engine::new(context, Run::Forever, mpsc::unbounded_channel().0);
        let plan = Arc::new(sample::instance(sample::resource()));
        let put = Command::Put { plan, annotations: BTreeMap::new(), claim: Claim::for_ever() };
        engine.apply_commands(vec![put], now);
        let Kind::Running(running) = &engine.instances.values().next().unwrap().kind else { panic!("it runs") };
        let mut state = running.instance.state();
        let cause = Cause::Http(HttpCause::Status(503));
        let failure = Failure { retry_after: Some(std::time::Duration::from_hours(1)), cause, blame: Blame::Sink };
        state.sinks.note_failed(&CALLBACK, 1, failure, now, 1);
        let event = event("1", Change::Updated, "{}");
        let next_try = Some(now + TimeDelta::hours(1));
        let queued = QueuedEvent { sink: SinkName::default(), object: 1, event, attempts: 3, refusals: 0, next_try };
        state.sinks.restore_events([queued]);
        state.retry_after = Some(now + TimeDelta::hours(1));
        state.resources.entry("contacts".to_owned()).or_default().cursor = Some(now);
        drop(state);
        engine.clock = WallClock::new(now, monotonic);
        engine
    }

    /// How long each wait lasts from `now` on: of the poll, of its entry in the queue, of callback, event and provider.
    fn waits(engine: &Engine, now: DateTime<Utc>) -> [TimeDelta; 5] {
        let Kind::Running(running) = &engine.instances.values().next().unwrap().kind else { panic!("it runs") };
        let state = running.instance.state();
        let Admission::ClosedUntil(until) = state.sinks.health(&CALLBACK).admission(0, now) else { panic!("it is closed") };
        let (tick, _) = running.schedules[0].due().unwrap();
        let queued = state.sinks.queue(&CALLBACK).next_due("contacts").unwrap();
        // What was overtaken is still in the queue.
        let entry = engine.due.next_at().unwrap().max(tick);
        [tick, entry, until, queued, state.retry_after.unwrap()].map(|at| at - now)
    }

    #[tokio::test]
    async fn a_clock_that_is_set_moves_every_wait_and_no_cursor() {
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        for step in [TimeDelta::hours(1), TimeDelta::hours(-1), TimeDelta::days(1), TimeDelta::days(-1)] {
            let folder = tempfile::tempdir().unwrap();
            let monotonic = moment::now();
            let mut engine = engine(folder.path(), start, monotonic);
            let before = waits(&engine, start);
            assert!(before[2..].iter().all(|wait| *wait == TimeDelta::hours(1)), "{before:?}");
            // drift is no step
            engine.follow_clock(start + TimeDelta::seconds(2), monotonic);
            assert_eq!(waits(&engine, start), before);
            engine.follow_clock(start + step, monotonic);
            let after = waits(&engine, start + step);
            // the drift, and the batch in which something starts
            let is_same = |(before, after): (&TimeDelta, &TimeDelta)| (*before - *after).abs() < TimeDelta::seconds(3);
            assert!(before.iter().zip(&after).all(is_same), "{step}: {before:?} {after:?}");
            let Kind::Running(running) = &engine.instances.values().next().unwrap().kind else { panic!("it runs") };
            assert_eq!(running.instance.state().resources["contacts"].cursor, Some(start), "the provider's clock was not set");
        }
    }
}
