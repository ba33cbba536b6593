//! What stands in front of the connect page: takes requests under one address and hands them on to one replica after the other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::client;
use super::http::{Answer, Body, Server};
use super::pollinator::Pollinator;

/// Headers that are handed on.
const REQUEST: [&str; 3] = ["cookie", "content-type", "sec-fetch-site"];

/// An ingress on a free loopback port.
pub struct Ingress {
    server: Server,
    behind: Arc<Mutex<Vec<String>>>,
}

impl Ingress {
    /// With nobody behind it, which it answers 502.
    pub fn start() -> Self {
        let behind = Arc::new(Mutex::new(Vec::<String>::new()));
        let (list, turn) = (Arc::clone(&behind), AtomicUsize::new(0));
        let server = Server::start(move |ask| {
            let list = list.lock().unwrap_or_else(PoisonError::into_inner).clone();
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
        Self { server, behind }
    }

    /// The address for `--connect-url`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Hands on to these, in turn.
    pub fn route(&self, replicas: &[&Pollinator]) {
        let address = |replica: &&Pollinator| {
            let line = replica.wait_stderr("serving the connect page");
            format!("http://{}", line.rsplit_once("address=").expect("the address is told").1.trim())
        };
        *self.behind.lock().unwrap_or_else(PoisonError::into_inner) = replicas.iter().map(address).collect();
    }
}
