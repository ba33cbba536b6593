//! What stands in front of the connect page: takes requests under one address and hands them on to one replica after the other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::http::{Answer, Body, Server};
use super::log::Log;
use super::oidc::CALLBACK;
use super::pollinator::Pollinator;
use super::{PATIENCE, client};

/// Headers that are handed on.
const REQUEST: [&str; 5] = ["host", "cookie", "content-type", "origin", "sec-fetch-site"];

/// Answers to consents that are kept back.
#[derive(Default)]
struct Held {
    holding: bool,
    targets: Log<String>,
}

/// Keeps answers to consents back until it is dropped: they are answered 502 and reach nobody.
pub struct Hold<'i>(&'i Ingress);

impl Hold<'_> {
    /// Path and query of the first answer that was kept back.
    pub fn target(&self) -> String {
        let targets = lock(&self.0.held).targets.clone();
        targets.try_wait(PATIENCE, |targets| targets.first().cloned()).expect("a browser is sent back in time")
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        *lock(&self.0.held) = Held::default();
    }
}

/// An ingress on a free loopback port.
pub struct Ingress {
    server: Server,
    behind: Arc<Mutex<Vec<String>>>,
    held: Arc<Mutex<Held>>,
}

impl Ingress {
    /// With nobody behind it, which it answers 502.
    pub fn start() -> Self {
        let behind = Arc::new(Mutex::new(Vec::<String>::new()));
        let held = Arc::new(Mutex::new(Held::default()));
        let (list, turn, keep) = (Arc::clone(&behind), AtomicUsize::new(0), Arc::clone(&held));
        let server = Server::start(move |ask| {
            let list = lock(&list).clone();
            if ask.path() == CALLBACK && lock(&keep).holding {
                lock(&keep).targets.push(ask.target.clone());
                return Answer::status(502);
            }
            let Some(count) = std::num::NonZeroUsize::new(list.len()) else { return Answer::status(502) };
            let replica = &list[turn.fetch_add(1, Ordering::SeqCst) % count];
            let headers: Vec<_> = REQUEST.iter().filter_map(|name| Some((*name, ask.header(name)?))).collect();
            let body = (!ask.body.is_empty()).then(|| String::from_utf8_lossy(&ask.body).into_owned());
            let Ok(reply) = client::exchange(&ask.method, &format!("{replica}{}", ask.target), &headers, body) else {
                return Answer::status(502);
            };
            let mut answer = Answer::status(reply.status).body(Body::Whole(reply.body.into_bytes()));
            for (name, value) in &reply.headers {
                if !matches!(name.as_str(), "content-length" | "connection" | "date" | "transfer-encoding") {
                    answer = answer.header(name.as_str(), value.to_str().expect("headers of pages are ASCII"));
                }
            }
            answer
        });
        Self { server, behind, held }
    }

    /// The address for `--connect-url`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Hands on to these, in turn.
    pub fn route(&self, replicas: &[&Pollinator]) {
        *lock(&self.behind) = replicas.iter().map(|replica| format!("http://{}", page_of(replica))).collect();
    }

    /// Keeps answers to consents back.
    pub fn hold(&self) -> Hold<'_> {
        lock(&self.held).holding = true;
        Hold(self)
    }
}

/// Where a process itself serves the page.
pub fn page_of(replica: &Pollinator) -> String {
    let line = replica.wait_stderr("serving the connect page");
    line.rsplit_once("address=").expect("the address is told").1.trim().to_owned()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
