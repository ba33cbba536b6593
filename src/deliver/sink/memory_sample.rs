//! A sink that answers as scripted and keeps what it took.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::{BatchLimit, Delivery, Sink, SinkName};
use crate::detect::event::Event;

/// Clones are the same sink.
#[derive(Clone)]
pub(crate) struct MemorySink {
    name: SinkName,
    limit: BatchLimit,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// Its next answers about an object; then it accepts.
    answers: HashMap<String, VecDeque<Delivery>>,
    requests: Vec<Vec<String>>,
    accepted: Vec<String>,
    under_way: usize,
    most_under_way: usize,
}

impl MemorySink {
    /// A sink that takes `events` events a request.
    pub(crate) fn new(name: SinkName, events: usize) -> Self {
        Self { name, limit: BatchLimit { events, bytes: 1_000 }, inner: Arc::default() }
    }

    /// Its next answers about an object.
    pub(crate) fn answers(&self, object: u64, answers: impl IntoIterator<Item = Delivery>) {
        self.inner.lock().answers.entry(object.to_string()).or_default().extend(answers);
    }

    /// Every request with the records in it, as they were sent.
    pub(crate) fn requests(&self) -> Vec<Vec<String>> {
        self.inner.lock().requests.clone()
    }

    /// The most requests that were under way at once.
    pub(crate) fn most_under_way(&self) -> usize {
        self.inner.lock().most_under_way
    }

    /// The records that it accepted, in their order.
    pub(crate) fn accepted(&self) -> Vec<String> {
        self.inner.lock().accepted.clone()
    }
}

impl Sink for MemorySink {
    fn name(&self) -> &SinkName {
        &self.name
    }

    fn target(&self) -> u64 {
        9
    }

    fn batch_limit(&self) -> BatchLimit {
        self.limit
    }

    fn size(&self, event: &Event) -> usize {
        event.data_len()
    }

    fn max_in_flight(&self) -> usize {
        8
    }

    /// A request is accepted when each of its events would be; otherwise the first answer that is not counts, as that of a server that
    /// reads a body from its beginning.
    fn send<'s>(&'s self, events: &'s [&'s Event]) -> BoxFuture<'s, Delivery> {
        let mut inner = self.inner.lock();
        inner.under_way += 1;
        inner.most_under_way = inner.most_under_way.max(inner.under_way);
        let records: Vec<_> = events.iter().map(|event| event.data.get().to_owned()).collect();
        inner.requests.push(records.clone());
        let failing = events.iter().find_map(|event| {
            let answer = inner.answers.get(&event.object_id)?.front()?.clone();
            (answer != Delivery::Accepted).then_some((event.object_id.clone(), answer))
        });
        let delivery = if let Some((object, answer)) = failing {
            // A refused batch is asked about one by one, so that answer is still to come.
            if events.len() == 1 {
                inner.answers.get_mut(&object).and_then(VecDeque::pop_front);
            }
            answer
        } else {
            for event in events {
                inner.answers.get_mut(&event.object_id).and_then(VecDeque::pop_front);
            }
            inner.accepted.extend(records);
            Delivery::Accepted
        };
        async move {
            // As over a network, what else can be sent is sent before the answer comes.
            tokio::task::yield_now().await;
            self.inner.lock().under_way -= 1;
            delivery
        }
        .boxed()
    }
}
