//! A proxy between the operator and kube-apiserver that counts what is asked and misbehaves on request.
//!
//! It ends TLS with a certificate of the plane's authority and speaks HTTP/1.1 on both sides, one connection to the server for each
//! of the client's, so that a cut or a freeze is felt as with the server itself. Two scripts decide: one looks at each request
//! ([`ApiProxy::script`]), one at each event of each watch ([`ApiProxy::watch_script`]). Whatever a script holds back goes on when
//! the script is changed. Upgrades (exec, port-forward) are not passed on.

mod call;
mod relay;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub use call::Call;

use super::PATIENCE;
use super::control_plane::ControlPlane;
use super::log::Log;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answered in the server's stead with this status and a `Status` object that fits.
    Answer(u16),
    /// The same with `Retry-After` in seconds.
    AnswerRetryAfter(u16, u32),
    /// Silence; the request goes on to the server once the script is changed.
    Hold,
    /// The connection is closed; the server never hears of it.
    HangUp,
    /// The server does what is asked, and the connection is closed instead of an answer.
    LoseAnswer,
    /// The server does what is asked, and the answer comes once the script is changed.
    HoldAnswer,
    /// A `get` or `list` is answered with what was the first answer to it since [`ApiProxy::remember`], as by a server that is behind.
    /// What was not asked for since then goes on to the server.
    Earlier,
    /// A `list` goes on with this limit instead of the client's.
    PageOf(u32),
    /// The server does what is asked, and of a body the last two bytes are missing, as of a proxy that gave up: nothing says so.
    CutAnswer,
}

/// What happens to an event of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFault {
    /// Never seen by the client.
    Drop,
    /// Comes once the script is changed, after those that passed it meanwhile; what is held comes in its order.
    Hold,
    /// The connection is cut instead.
    Cut,
    /// The watch ends with `410 Gone` instead, as after a compaction.
    Expire,
}

/// An event of a watch, as the server sent it.
#[derive(Clone, Debug)]
pub struct WatchEvent {
    /// `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`.
    pub kind: String,
    pub object: serde_json::Value,
}

type Script = dyn FnMut(&Call) -> Option<Fault> + Send;
type WatchScript = dyn FnMut(&Call, &WatchEvent) -> Option<WatchFault> + Send;

/// A script and the count of its changes, which let go of what was held. Counted under the lock: what a script holds is held by
/// that script, not by the one before.
struct Scripted<S: ?Sized> {
    script: Mutex<Box<S>>,
    changes: watch::Sender<u64>,
}

impl<S: ?Sized> Scripted<S> {
    fn new(script: Box<S>) -> Self {
        Self { script: Mutex::new(script), changes: watch::channel(0).0 }
    }

    fn change(&self, script: Box<S>) {
        let mut current = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        *current = script;
        self.changes.send_modify(|count| *count += 1);
    }

    /// What the script says, and the count of changes up to this script.
    fn ask<R>(&self, question: impl FnOnce(&mut S) -> R) -> (R, u64) {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        let count = *self.changes.borrow();
        (question(&mut script), count)
    }

    async fn changed_since(&self, count: u64) {
        // fails only if the sender is gone, and then all is
        let _ = self.changes.subscribe().wait_for(|now| *now > count).await;
    }
}

struct Shared {
    upstream: SocketAddr,
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    calls: Log<Call>,
    script: Scripted<Script>,
    watch_script: Scripted<WatchScript>,
    frozen: watch::Sender<bool>,
    /// First answers, by path; `None`: they are not kept.
    earlier: Mutex<Option<HashMap<String, relay::Kept>>>,
    /// Counts cuts; a connection ends when it changes.
    cuts: watch::Sender<u64>,
}

/// Listens on a free loopback port until it is dropped; then all its connections are cut.
pub struct ApiProxy<'p> {
    plane: &'p ControlPlane,
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: tokio::task::AbortHandle,
}

impl<'p> ApiProxy<'p> {
    /// Passes everything on until told otherwise.
    pub fn start(plane: &'p ControlPlane) -> Self {
        let upstream = plane.url().trim_start_matches("https://").parse().expect("an address");
        let shared = Arc::new(Shared {
            upstream,
            acceptor: TlsAcceptor::from(plane.identity().leaf().server_config()),
            connector: TlsConnector::from(plane.identity().client_config()),
            calls: Log::default(),
            script: Scripted::new(Box::new(|_: &Call| None)),
            watch_script: Scripted::new(Box::new(|_: &Call, _: &WatchEvent| None)),
            frozen: watch::channel(false).0,
            earlier: Mutex::default(),
            cuts: watch::channel(0).0,
        });
        let runtime = plane.runtime();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a free loopback port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let acceptor = runtime.spawn(relay::accept(listener, Arc::clone(&shared))).abort_handle();
        Self { plane, address, shared, acceptor }
    }

    /// The server's address for those who go through the proxy.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// A kubeconfig that goes through the proxy.
    pub fn kubeconfig(&self, token: &str, namespace: &str) -> PathBuf {
        self.plane.kubeconfig(&self.url(), token, namespace)
    }

    /// Decides about each request from now on; `None` passes it on. What is held goes on.
    pub fn script(&self, script: impl FnMut(&Call) -> Option<Fault> + Send + 'static) {
        self.shared.script.change(Box::new(script));
    }

    /// Decides about each event of each JSON watch from now on, open ones included; `None` passes it on. What is held comes.
    pub fn watch_script(&self, script: impl FnMut(&Call, &WatchEvent) -> Option<WatchFault> + Send + 'static) {
        self.shared.watch_script.change(Box::new(script));
    }

    /// Passes everything on again.
    pub fn behave(&self) {
        self.watch_script(|_, _| None);
        self.script(|_| None);
    }

    /// Keeps the first answer to each `get` and `list` from now on, for [`Fault::Earlier`]; what was kept before is forgotten.
    pub fn remember(&self) {
        *self.shared.earlier.lock().unwrap_or_else(PoisonError::into_inner) = Some(HashMap::new());
    }

    /// Nothing goes either way: no handshakes, no requests, no answers, no events, as behind a lost route.
    pub fn freeze(&self) {
        self.shared.frozen.send_replace(true);
    }

    /// What was frozen goes on where it stood.
    pub fn thaw(&self) {
        self.shared.frozen.send_replace(false);
    }

    /// Closes all connections; new ones are welcome.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|count| *count += 1);
    }

    /// All requests up to now, in the order of their arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.all()
    }

    /// How many requests there were with this verb (`*`: any) and this resource, such as `leases` or `connectorinstances/status`.
    pub fn count(&self, verb: &str, resource: &str) -> usize {
        self.calls().iter().filter(|call| call.is(verb, resource)).count()
    }

    /// Waits until the requests, and what was answered, satisfy `look`.
    pub fn wait<R>(&self, what: &str, look: impl FnMut(&[Call]) -> Option<R>) -> R {
        self.try_wait(PATIENCE, look).unwrap_or_else(|| panic!("not asked in time: {what}\n{:#?}", self.calls()))
    }

    /// The same with a limit of one's own.
    pub fn try_wait<R>(&self, limit: Duration, look: impl FnMut(&[Call]) -> Option<R>) -> Option<R> {
        self.shared.calls.try_wait(limit, look)
    }
}

impl Drop for ApiProxy<'_> {
    fn drop(&mut self) {
        self.acceptor.abort();
        self.cut();
    }
}
