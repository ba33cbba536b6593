//! The callback: logs every request and answers as the test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::http::{Answer, Ask, Server};
use super::log::Log;
use super::oracle::{Delivered, Kind};

/// One request and what was answered; `None` until then, and for a connection that was closed instead.
#[derive(Clone, Debug)]
pub struct Post {
    pub ask: Ask,
    pub status: Option<u16>,
}

impl Post {
    pub fn accepted(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// The body as a structured event, as far as the oracle needs it.
    pub fn event(&self) -> Delivered {
        #[derive(Deserialize)]
        struct Event<'a> {
            id: String,
            r#type: String,
            subject: String,
            #[serde(borrow)]
            data: Option<&'a RawValue>,
        }
        let event: Event<'_> = serde_json::from_slice(&self.ask.body).expect("a structured CloudEvent");
        let kind = match event.r#type.as_str() {
            "dev.pollinator.record.created" => Kind::Created,
            "dev.pollinator.record.updated" => Kind::Updated,
            "dev.pollinator.record.deleted" => Kind::Deleted,
            other => panic!("unknown event type {other}"),
        };
        Delivered { event_id: event.id, kind, object: event.subject, data: event.data.map_or("", RawValue::get).to_owned() }
    }
}

type Script = dyn FnMut(&Ask) -> Answer + Send;

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
        let posts = Log::default();
        let script: Arc<Mutex<Box<Script>>> = Arc::new(Mutex::new(Box::new(|_: &Ask| Answer::status(204))));
        let server = Server::start(handler(&posts, &script));
        Self { address: server.address(), server: Some(server), posts, script }
    }

    /// Answers by this from now on.
    pub fn answer(&self, script: impl FnMut(&Ask) -> Answer + Send + 'static) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(script);
    }

    /// The callback URL of one instance; the path tells instances apart.
    pub fn url(&self, instance: &str) -> String {
        format!("http://{}/{instance}", self.address)
    }

    /// Stops listening: connections are refused.
    pub fn go_down(&mut self) {
        self.server = None;
    }

    /// Listens again on the same port.
    pub fn come_back(&mut self) {
        self.server = Some(Server::start_at(self.address, handler(&self.posts, &self.script)));
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
        self.posts(instance).iter().filter(|post| post.accepted()).map(Post::event).collect()
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

fn handler(posts: &Log<Post>, script: &Arc<Mutex<Box<Script>>>) -> impl Fn(&Ask) -> Answer + Send + Sync + 'static {
    let (posts, script) = (posts.clone(), Arc::clone(script));
    move |ask| {
        let position = posts.push(Post { ask: ask.clone(), status: None });
        let answer = (script.lock().unwrap_or_else(PoisonError::into_inner))(ask);
        posts.amend(position, |post| post.status = (!answer.hang_up).then_some(answer.status));
        answer
    }
}
