//! The callback: logs every request and answers as the test says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use standardwebhooks::Webhook;

use super::http::{Answer, Ask, Server};
use super::log::Log;
use super::oracle::{Delivered, Kind};

/// One request and what was answered; `None` for a connection that was closed instead.
#[derive(Clone, Debug)]
pub struct Post {
    pub ask: Ask,
    pub status: Option<u16>,
}

impl Post {
    pub fn accepted(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// Whether the official library finds a signature by this key on it.
    pub fn verifies(&self, key: &str) -> bool {
        let pair =
            |(name, value): &(String, String)| Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?));
        let headers: HeaderMap = self.ask.headers.iter().filter_map(pair).collect();
        Webhook::new(key).is_ok_and(|webhook| webhook.verify(&self.ask.body, &headers).is_ok())
    }

    /// The event in a body that carries one.
    pub fn event(&self) -> Delivered {
        let mut events = self.events();
        assert_eq!(events.len(), 1, "one event in {}", String::from_utf8_lossy(&self.ask.body));
        events.remove(0)
    }

    /// The events in the body, of any format, as far as the oracle needs them.
    pub fn events(&self) -> Vec<Delivered> {
        let body = &self.ask.body;
        let announces = |media: &str| self.ask.header("content-type").is_some_and(|sent| sent.starts_with(media));
        if announces("application/cloudevents+json") {
            vec![serde_json::from_slice::<CloudEvent>(body).expect("a structured event").into()]
        } else if announces("application/cloudevents-batch+json") {
            let events: Vec<CloudEvent> = serde_json::from_slice(body).expect("a batch of events");
            events.into_iter().map(Into::into).collect()
        } else {
            serde_json::from_slice::<Notification>(body).expect("a body of Open Connectors").into()
        }
    }
}

#[derive(Deserialize)]
struct CloudEvent<'a> {
    id: String,
    r#type: String,
    subject: String,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl From<CloudEvent<'_>> for Delivered {
    fn from(event: CloudEvent<'_>) -> Self {
        let kind = event.r#type.strip_prefix("dev.pollinator.record.").unwrap_or_default();
        let data = event.data.map_or("", RawValue::get).to_owned();
        Self { event_id: event.id, kind: kind_of(&kind.to_uppercase()), object: event.subject, data }
    }
}

#[derive(Deserialize)]
struct Notification<'a> {
    #[serde(borrow)]
    message: Message<'a>,
}

#[derive(Deserialize)]
struct Message<'a> {
    events: Vec<OldEvent>,
    #[serde(borrow)]
    raw: BTreeMap<String, &'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OldEvent {
    event_id: String,
    object_type: String,
    object_id: String,
    event_type: String,
}

impl From<Notification<'_>> for Vec<Delivered> {
    fn from(notification: Notification<'_>) -> Self {
        let Message { events, raw } = notification.message;
        let records: Vec<&RawValue> =
            events.first().map_or_else(Vec::new, |event| serde_json::from_str(raw[&event.object_type].get()).expect("records"));
        assert_eq!(records.len(), events.len(), "just the records of these events");
        let pairs = events.into_iter().zip(records);
        let delivered = |(event, record): (OldEvent, &RawValue)| Delivered {
            event_id: event.event_id,
            kind: kind_of(&event.event_type),
            object: event.object_id,
            data: record.get().to_owned(),
        };
        pairs.map(delivered).collect()
    }
}

fn kind_of(word: &str) -> Kind {
    match word {
        "CREATED" => Kind::Created,
        "UPDATED" => Kind::Updated,
        "DELETED" => Kind::Deleted,
        other => panic!("unknown kind of event {other}"),
    }
}

type Script = dyn FnMut(&Ask) -> Answer + Send;
type Handler = dyn Fn(&Ask) -> Answer + Send + Sync;

/// A callback on a free loopback port.
pub struct Receiver {
    server: Option<Server>,
    address: SocketAddr,
    posts: Log<Post>,
    script: Arc<Mutex<Box<Script>>>,
}

impl Receiver {
    /// Accepts everything with 204 until told otherwise.
    pub fn start() -> Self {
        Self::serve(|handle| Server::start(handle))
    }

    /// Where a manifest that was written before expects it; waits while another test has that address.
    pub fn start_at(address: SocketAddr) -> Self {
        Self::serve(|handle| Server::wait_at(address, handle))
    }

    fn serve(start: impl FnOnce(Box<Handler>) -> Server) -> Self {
        let posts = Log::default();
        let script: Arc<Mutex<Box<Script>>> = Arc::new(Mutex::new(Box::new(|_: &Ask| Answer::status(204))));
        let server = start(Box::new(handler(&posts, &script)));
        Self { address: server.address(), server: Some(server), posts, script }
    }

    /// Answers by this from now on.
    pub fn answer(&self, script: impl FnMut(&Ask) -> Answer + Send + 'static) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(script);
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The callback URL of one instance; the path tells instances apart.
    pub fn url(&self, instance: &str) -> String {
        format!("http://{}/{instance}", self.address)
    }

    /// Closes all connections when what came over them was answered.
    pub fn hear_out(&self) {
        self.server.as_ref().expect("it listens").hear_out();
    }

    /// Stops listening: connections are refused.
    pub fn go_down(&mut self) {
        self.server = None;
    }

    /// Listens again on the same port.
    pub fn come_back(&mut self) {
        self.server = Some(Server::start_at(self.address, handler(&self.posts, &self.script)));
    }

    /// All requests up to now, by instance.
    pub fn by_instance(&self) -> BTreeMap<String, Vec<Post>> {
        let mut instances: BTreeMap<String, Vec<Post>> = BTreeMap::new();
        for post in self.posts.all() {
            instances.entry(post.ask.path().trim_start_matches('/').to_owned()).or_default().push(post);
        }
        instances
    }

    /// Waits for so many requests in all, at most so long.
    pub fn try_wait_total(&self, count: usize, limit: Duration) -> bool {
        self.posts.try_wait(limit, |posts| (posts.len() >= count).then_some(())).is_some()
    }

    /// All requests, in the order of their arrival.
    pub fn all(&self) -> Vec<Post> {
        self.posts.all()
    }

    /// The requests behind the first ones, in the order of their arrival.
    pub fn behind(&self, count: usize) -> Vec<Post> {
        self.posts.look(|posts| posts[count..].to_vec())
    }

    /// All requests for one instance.
    pub fn posts(&self, instance: &str) -> Vec<Post> {
        self.posts.all().into_iter().filter(|post| post.ask.path() == format!("/{instance}")).collect()
    }

    /// Requests for all instances.
    pub fn count(&self) -> usize {
        self.posts.len()
    }

    /// Events that were accepted for one instance, in the order of arrival.
    pub fn delivered(&self, instance: &str) -> Vec<Delivered> {
        self.posts(instance).iter().filter(|post| post.accepted()).flat_map(Post::events).collect()
    }

    /// Waits for so many requests for one instance, and returns all there are by then.
    pub fn try_wait_count(&self, instance: &str, limit: Duration, count: usize) -> Option<Vec<Post>> {
        let enough = |posts: &[&Post]| (posts.len() >= count).then(|| posts.iter().copied().cloned().collect());
        self.try_wait(instance, limit, enough)
    }

    /// Waits until the requests for one instance satisfy `look`.
    pub fn try_wait<R>(&self, instance: &str, limit: Duration, mut look: impl FnMut(&[&Post]) -> Option<R>) -> Option<R> {
        let path = format!("/{instance}");
        self.posts.try_wait(limit, |posts| look(&posts.iter().filter(|post| post.ask.path() == path).collect::<Vec<_>>()))
    }
}

/// A request is logged together with what is answered: who sees it in the log, sees whether it was accepted.
fn handler(posts: &Log<Post>, script: &Arc<Mutex<Box<Script>>>) -> impl Fn(&Ask) -> Answer + Send + Sync + 'static {
    let (posts, script) = (posts.clone(), Arc::clone(script));
    move |ask| {
        let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = script(ask);
        posts.push(Post { ask: ask.clone(), status: (!answer.hang_up).then_some(answer.status) });
        answer
    }
}
