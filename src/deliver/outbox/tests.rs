//! The outbox between sinks in memory and a store in memory.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::*;
use crate::api::conditions::Reason;
use crate::api::identity::InstanceRef;
use crate::deliver::health::{Blame, Failure};
use crate::deliver::retry_queue::{MAX_BYTES, QueuedEvent};
use crate::deliver::sample::{change, retry};
use crate::deliver::sink::http::interpret::HttpCause;
use crate::deliver::sink::memory_sample::MemorySink;
use crate::deliver::sink::{CALLBACK, Cause};
use crate::egress::byte_budget::{ByteBudget, LEAST};
use crate::egress::ledger::LARGEST;
use crate::egress::turns::Standing;
use crate::state::live::LiveState;
use crate::state::{InstanceState, StateStore};

/// Keeps what was saved as text, and how much the first sink had accepted by then.
#[derive(Default)]
struct Store {
    saved: Mutex<String>,
    accepted: Mutex<Vec<usize>>,
    sink: Mutex<Option<MemorySink>>,
}

impl StateStore for Store {
    fn load(&self, _instance: &InstanceRef) -> Result<Option<InstanceState>, Problem> {
        Ok(serde_json::from_str(&self.saved.lock()).ok())
    }

    fn save<'a>(&'a self, _instance: &'a InstanceRef, state: InstanceState) -> BoxFuture<'a, Result<(), Problem>> {
        *self.saved.lock() = serde_json::to_string(&state).unwrap();
        let accepted = self.sink.lock().as_ref().map_or(0, |sink| sink.accepted().len());
        self.accepted.lock().push(accepted);
        Box::pin(async { Ok(()) })
    }
}

struct World {
    store: Arc<Store>,
    live: LiveState,
    sinks: Vec<MemorySink>,
    in_flight: Semaphore,
    probe: tokio::sync::Mutex<()>,
    turns: TurnQueue,
    instance: InstanceRef,
    metrics: Metrics,
    stop: CancellationToken,
}

fn archive() -> SinkName {
    SinkName::new("archive")
}

fn record(object: u64, version: u64) -> String {
    change(object, version).event.data.get().to_owned()
}

fn unusable() -> Delivery {
    Delivery::Unusable(Problem::human(Reason::EgressDenied, "the address is not allowed"))
}

fn live(state: InstanceState, store: &Arc<Store>) -> LiveState {
    LiveState::new(InstanceRef::new("crm", "keap"), state, false, Arc::clone(store) as _, &ByteBudget::default())
}

impl World {
    fn new(sinks: Vec<MemorySink>) -> Self {
        let store = Arc::new(Store::default());
        *store.sink.lock() = sinks.first().cloned();
        let live = live(InstanceState::new("u".into()), &store);
        Self {
            store,
            live,
            sinks,
            in_flight: Semaphore::new(8),
            probe: tokio::sync::Mutex::new(()),
            turns: TurnQueue::new(8),
            instance: InstanceRef::new("crm", "keap"),
            metrics: Metrics::new(),
            stop: CancellationToken::new(),
        }
    }

    /// With the sinks `callback` and `archive`, which take one event a request.
    fn with_two() -> Self {
        Self::new(vec![MemorySink::new(CALLBACK.clone(), 1), MemorySink::new(archive(), 1)])
    }

    fn callback(&self) -> &MemorySink {
        &self.sinks[0]
    }

    fn archive(&self) -> &MemorySink {
        &self.sinks[1]
    }

    fn outbox(&self) -> Outbox<'_, LiveState> {
        self.outbox_of("contacts")
    }

    fn outbox_of<'a>(&'a self, resource: &'a str) -> Outbox<'a, LiveState> {
        let outlet = |sink: &MemorySink| Outlet {
            sink: Box::new(sink.clone()),
            in_flight: &self.in_flight,
            probe: &self.probe,
            turns: &self.turns,
        };
        Outbox::new(&self.live, &self.instance, resource, self.sinks.iter().map(outlet).collect(), &self.metrics, &self.stop)
    }

    /// The jobs of eight resources at once: each finds a change of two objects, and an event of its retry queue is due.
    async fn run_eight(&self) -> Vec<Sent> {
        let names: Vec<_> = (0..8).map(|number| format!("r{number}")).collect();
        for (number, name) in (0..).zip(&names) {
            let mut event = change(100 + number, 1).event;
            event.resource = name.as_str().into();
            let next_try = Some(DateTime::UNIX_EPOCH);
            let sink = CALLBACK.clone();
            let queued = QueuedEvent { sink, object: 100 + number, event, attempts: 3, refusals: 0, next_try };
            self.live.lock().sinks.enqueue(queued, MAX_BYTES).unwrap();
        }
        let jobs = (0..).zip(&names).map(|(number, name)| {
            let mut outbox = self.outbox_of(name);
            async move {
                outbox.send_due().await.unwrap();
                outbox.send_changes([2 * number, 2 * number + 1].map(|object| change(object, 1)).into()).await.unwrap()
            }
        });
        join_all(jobs).await
    }

    /// One job that finds these changes.
    async fn send(&self, changes: impl IntoIterator<Item = Change>) -> Sent {
        let mut outbox = self.outbox();
        let sent = outbox.send_changes(changes.into_iter().collect()).await.unwrap();
        outbox.commit().await.unwrap();
        sent
    }

    async fn send_due(&self) {
        self.outbox().send_due().await.unwrap();
    }

    /// All tries are due.
    fn pass_time(&self) {
        let mut state = self.live.lock();
        for failing in state.resources.values_mut().flat_map(|own| &mut own.failing) {
            failing.next_try = DateTime::UNIX_EPOCH;
        }
        let mut events: Vec<_> =
            [CALLBACK.clone(), archive()].iter().flat_map(|sink| state.sinks.queue(sink).events().to_vec()).collect();
        for event in &mut events {
            event.next_try = event.next_try.map(|_| DateTime::UNIX_EPOCH);
            state.sinks.reschedule(event.clone());
        }
    }

    /// Another process takes over what was saved.
    fn restart(&mut self) {
        let state = self.store.load(&InstanceRef::new("crm", "keap")).unwrap().unwrap();
        assert_eq!(state, *self.live.lock());
        self.live = live(state, &self.store);
    }

    fn known(&self, object: u64) -> Option<u64> {
        self.live.lock().resources.get("contacts")?.known.get(object).map(|known| known.version)
    }

    /// A sink that went down an hour ago, so that a probe is due.
    fn bring_down(&self, sink: &SinkName) {
        let failure = Failure { retry_after: None, cause: Cause::Http(HttpCause::Status(503)), blame: Blame::Sink };
        let hour_ago = Utc::now() - chrono::Duration::hours(1);
        (0..5).for_each(|object| self.live.lock().sinks.note_failed(sink, object, failure, hour_ago, 0));
        assert!(self.live.lock().sinks.health(sink).is_down());
    }
}

#[tokio::test]
async fn a_sink_that_has_a_change_does_not_get_it_again_when_another_failed() {
    let mut world = World::with_two();
    world.archive().answers(1, [retry(), retry()]);
    let sent = world.send([change(1, 5), change(2, 5)]).await;
    assert_eq!((sent.tried, sent.closed, sent.undelivered), (2, false, Undelivered::Since(change(1, 5).date.unwrap())));
    assert_eq!((world.known(1), world.known(2)), (None, Some(5)));
    for known in [None, Some(5)] {
        world.restart();
        world.pass_time();
        world.send([change(1, 5)]).await;
        assert_eq!(world.known(1), known);
    }
    let both = [record(1, 5), record(2, 5)];
    assert_eq!(world.callback().accepted(), both);
    assert_eq!(world.callback().requests().len(), 2);
    assert_eq!(world.archive().accepted(), [record(2, 5), record(1, 5)]);
    assert_eq!(world.archive().requests().len(), 4);
    let state = world.live.lock();
    assert!(state.resources["contacts"].taken.is_empty() && state.resources["contacts"].failing.is_empty());
}

#[tokio::test]
async fn a_newer_version_goes_to_every_sink_and_follows_the_older_one() {
    let world = World::with_two();
    world.archive().answers(1, [retry()]);
    world.send([change(1, 5)]).await;
    world.pass_time();
    assert_eq!(world.send([change(1, 6)]).await.undelivered, Undelivered::None);
    assert_eq!(world.callback().accepted(), [record(1, 5), record(1, 6)]);
    assert_eq!(world.archive().accepted(), [record(1, 6)]);
    assert_eq!(world.known(1), Some(6));
}

#[tokio::test]
async fn what_one_sink_deferred_is_known_and_replaced_there_by_a_newer_version() {
    let mut world = World::with_two();
    world.archive().answers(1, [retry(), retry(), retry()]);
    for known in [None, None, Some(5)] {
        world.send([change(1, 5)]).await;
        assert_eq!(world.known(1), known);
        world.pass_time();
    }
    assert_eq!(world.live.lock().sinks.deferred(), 1);
    let sent = world.send([change(1, 6)]).await;
    assert_eq!((sent.tried, sent.undelivered), (1, Undelivered::None));
    assert_eq!((world.known(1), world.archive().requests().len()), (Some(6), 3), "it waits for its turn");
    world.restart();
    world.send_due().await;
    assert_eq!(world.callback().accepted(), [record(1, 5), record(1, 6)]);
    assert_eq!(world.archive().accepted(), [record(1, 6)]);
    let sinks = world.live.lock().sinks.clone();
    assert!(sinks.events().is_empty() && sinks.health(&CALLBACK).is_fresh() && sinks.health(&archive()).is_fresh());
}

#[tokio::test]
async fn a_sink_that_is_down_keeps_no_other_waiting() {
    let world = World::with_two();
    (0..5).for_each(|object| world.archive().answers(object, [retry()]));
    world.send((0..5).map(|object| change(object, 1))).await;
    assert!(world.live.lock().sinks.health(&archive()).is_down());
    let sent = world.send((0..10).map(|object| change(object, 1))).await;
    assert!(!sent.closed && sent.undelivered != Undelivered::None);
    assert_eq!((world.callback().accepted().len(), world.archive().requests().len()), (10, 5));
    assert_eq!(world.known(7), None);
}

#[tokio::test]
async fn a_sink_that_is_down_gets_one_probe_and_the_rest_once_it_is_accepted() {
    for accepts in [false, true] {
        let world = World::with_two();
        world.bring_down(&archive());
        if !accepts {
            (0..4).for_each(|object| world.archive().answers(object, [retry()]));
        }
        let sent = world.send((0..4).map(|object| change(object, 1))).await;
        assert_eq!(sent.undelivered == Undelivered::None, accepts);
        assert_eq!(world.archive().requests().len(), if accepts { 4 } else { 1 });
        assert_eq!(world.callback().requests().len(), 4, "none comes twice");
    }
}

#[tokio::test]
async fn all_resources_together_have_no_more_under_way_than_the_sink_allows() {
    for most in [1, 3] {
        let world = World { in_flight: Semaphore::new(most), ..World::new(vec![MemorySink::new(CALLBACK.clone(), 1)]) };
        world.run_eight().await;
        assert_eq!((world.callback().accepted().len(), world.callback().most_under_way()), (24, most));
    }
}

#[tokio::test]
async fn all_resources_together_send_one_probe_a_step_and_everything_once_it_is_accepted() {
    for accepts in [false, true] {
        let world = World::new(vec![MemorySink::new(CALLBACK.clone(), 1)]);
        world.bring_down(&CALLBACK);
        if !accepts {
            (0..200).for_each(|object| world.callback().answers(object, [retry()]));
        }
        let sent = world.run_eight().await;
        assert_eq!(world.callback().requests().len(), if accepts { 24 } else { 1 });
        assert!(sent.iter().all(|sent| (sent.undelivered == Undelivered::None) == accepts));
    }
}

#[tokio::test]
async fn a_probe_that_never_ends_keeps_no_other_from_being_sent() {
    let world = World::new(vec![MemorySink::new(CALLBACK.clone(), 1)]);
    world.bring_down(&CALLBACK);
    let mut aborted = Box::pin(world.send([change(1, 1)]));
    assert!(aborted.as_mut().now_or_never().is_none());
    let mut waiting = Box::pin(world.send([change(2, 1)]));
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(world.callback().requests(), [[record(1, 1)]], "one at a time");
    drop(aborted);
    assert_eq!(waiting.await.undelivered, Undelivered::None);
    assert_eq!(world.callback().requests(), [[record(1, 1)], [record(2, 1)]]);
}

#[tokio::test]
async fn a_sink_that_cannot_be_asked_leaves_the_others_their_events() {
    let world = World::with_two();
    world.archive().answers(1, [unusable()]);
    let mut outbox = world.outbox();
    let sent = outbox.send_changes(vec![change(1, 1), change(2, 1)]).await.unwrap();
    assert!(!sent.closed && sent.undelivered != Undelivered::None);
    assert_eq!(outbox.refusal().map(|problem| problem.reason), Some(Reason::EgressDenied));
    let requests = world.archive().requests().len();
    outbox.send_changes(vec![change(3, 1)]).await.unwrap();
    assert_eq!(world.archive().requests().len(), requests, "a person must act");
    assert_eq!(world.callback().accepted().len(), 3);
    assert!(
        world.live.lock().sinks.health(&archive()).is_fresh() && world.live.lock().resources["contacts"].failing.is_empty()
    );
    world.callback().answers(4, [unusable()]);
    assert!(outbox.send_changes(vec![change(4, 1)]).await.is_err(), "no sink is left");
}

#[tokio::test]
async fn the_only_sink_that_cannot_be_asked_ends_the_job() {
    let world = World::new(vec![MemorySink::new(CALLBACK.clone(), 1)]);
    world.callback().answers(1, [unusable()]);
    let problem = world.outbox().send_changes(vec![change(1, 1)]).await.unwrap_err();
    assert_eq!(problem.reason, Reason::EgressDenied);
    assert_eq!(world.known(1), None);
}

#[tokio::test]
async fn nothing_is_sent_to_a_sink_that_is_closed() {
    let world = World::new(vec![MemorySink::new(CALLBACK.clone(), 1)]);
    world.callback().answers(1, [Delivery::Gone]);
    world.send([change(1, 1)]).await;
    let sent = world.send([change(1, 1), change(2, 1)]).await;
    assert_eq!((sent.tried, sent.closed), (0, true));
    assert_ne!(sent.undelivered, Undelivered::None);
    assert_eq!(world.callback().requests().len(), 1);
    let world = World::new(vec![MemorySink::new(CALLBACK.clone(), 1)]);
    world.stop.cancel();
    assert!(world.send([change(1, 1)]).await.closed);
    assert!(world.callback().requests().is_empty());
}

#[tokio::test]
async fn never_more_than_256_accepted_events_are_unsaved() {
    for sinks in [1, 2] {
        let all = World::with_two().sinks.into_iter().take(sinks).collect();
        let world = World::new(all);
        assert_eq!(world.send((0..1_000).map(|object| change(object, 1))).await.undelivered, Undelivered::None);
        let saved = world.store.accepted.lock().clone();
        assert_eq!(saved.last(), Some(&1_000));
        let unsaved = saved.windows(2).map(|pair| pair[1] - pair[0]).chain(saved.first().copied()).max();
        assert!(unsaved.unwrap() * sinks <= 256, "{saved:?}");
    }
}

#[tokio::test]
async fn a_refused_event_takes_no_other_of_its_request_with_it() {
    let world = World::new(vec![MemorySink::new(CALLBACK.clone(), 10)]);
    world.callback().answers(3, [Delivery::Refused { cause: Cause::Http(HttpCause::Status(422)) }]);
    let sent = world.send((0..6).map(|object| change(object, 1))).await;
    assert_eq!(sent.undelivered, Undelivered::Since(change(3, 1).date.unwrap()));
    assert_eq!(world.callback().accepted().len(), 5);
    world.pass_time();
    world.send([3, 7, 8].map(|object| change(object, 1))).await;
    let requests = world.callback().requests();
    let [.., alone, together] = &*requests else { panic!() };
    assert_eq!((alone, together), (&vec![record(3, 1)], &vec![record(7, 1), record(8, 1)]), "what failed before travels alone");
}

#[tokio::test]
async fn a_target_that_refuses_everything_is_asked_about_five_events_alone() {
    let world = World::new(vec![MemorySink::new(CALLBACK.clone(), 10)]);
    for object in 0..10 {
        world.callback().answers(object, [Delivery::Refused { cause: Cause::Http(HttpCause::Status(415)) }]);
    }
    let sent = world.send((0..10).map(|object| change(object, 1))).await;
    assert_ne!(sent.undelivered, Undelivered::None);
    let sizes: Vec<_> = world.callback().requests().iter().map(Vec::len).collect();
    assert_eq!(sizes, [10, 5, 3, 2, 1, 1, 1, 2, 1, 1], "halves in order, and none once it counts as down");
    assert!(world.live.lock().sinks.health(&CALLBACK).is_down() && world.callback().accepted().is_empty());
}

#[tokio::test]
async fn a_target_that_is_gone_gets_no_further_part_of_a_batch() {
    let world = World::new(vec![MemorySink::new(CALLBACK.clone(), 10)]);
    world.callback().answers(0, [Delivery::Refused { cause: Cause::Http(HttpCause::Status(422)) }]);
    world.callback().answers(1, [Delivery::Gone]);
    world.send((0..4).map(|object| change(object, 1))).await;
    assert_eq!(world.callback().requests().last(), Some(&vec![record(1, 1)]));
}

#[tokio::test]
async fn an_event_waits_for_its_place_among_those_of_all_instances() {
    let world = World::new(vec![MemorySink::new(CALLBACK.clone(), 1)]);
    let other = InstanceRef::new("other", "i");
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(world.turns.acquire(&other, Standing::Answers).await);
    }
    let mut sending = Box::pin(world.send([change(1, 5)]));
    assert!(sending.as_mut().now_or_never().is_none());
    assert!(world.callback().requests().is_empty());
    held.pop();
    // Of its sink nothing is known, so it leaves the last place.
    assert!(sending.as_mut().now_or_never().is_none());
    held.pop();
    sending.await;
    assert_eq!(world.callback().accepted(), [record(1, 5)]);
}

#[tokio::test]
async fn what_the_process_has_no_room_for_stays_with_the_provider_until_there_is_some() {
    let mut world = World::new(vec![MemorySink::new(CALLBACK.clone(), 1)]);
    let budget = ByteBudget::new(LEAST);
    let others: Vec<_> = (0..16).map(|n| budget.queue_share(&InstanceRef::new(format!("n{n}"), "i"))).collect();
    for share in &others {
        share.hold(LARGEST / 64);
    }
    let state = InstanceState::new("u".into());
    world.live = LiveState::new(world.instance.clone(), state, false, Arc::clone(&world.store) as _, &budget);
    world.callback().answers(1, std::iter::repeat_n(retry(), 5));
    let mut full = Vec::new();
    for round in 0..4 {
        if round == 3 {
            for share in &others {
                share.hold(0);
            }
        }
        world.pass_time();
        // Others pass, so that the sink is not down.
        let mut outbox = world.outbox();
        outbox.send_changes(vec![change(1, 5), change(10 + round, 5)]).await.unwrap();
        full.push(outbox.sums.queue_full);
    }
    assert_eq!(full, [false, false, true, false]);
    assert_eq!((world.known(1), world.live.lock().sinks.deferred()), (Some(5), 1));
}
