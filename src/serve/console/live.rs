//! Notifies pages that something has changed, as server-sent events. They request what has changed themselves.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use url::form_urlencoded;

use super::page::Refused;
use super::refusal::Refusal;
use super::visit::Visit;
use super::{Console, named};
use crate::api::identity::InstanceRef;
use crate::poll::status::InstanceStatus;

/// Pages that hear of changes at once; the others are still refreshed every half minute.
pub const MOST: usize = 32;
/// When something is sent.
#[derive(Clone, Copy)]
struct Intervals {
    /// Changes within this time are one.
    together: Duration,
    /// How often a client hears that the connection lives.
    alive: Duration,
    /// A client that takes nothing for this time is dropped.
    slowest: Duration,
}

const INTERVALS: Intervals =
    Intervals { together: Duration::from_millis(500), alive: Duration::from_secs(20), slowest: Duration::from_secs(10) };

type Events = mpsc::Sender<Result<Bytes, Infallible>>;

/// The events of a page: those of the instance that the address names, or else the statuses of all.
pub async fn show(State(console): State<Arc<Console>>, visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Refused> {
    let permit = Arc::clone(&console.watchers).try_acquire_owned().map_err(|_| Refusal::Busy)?;
    let query = query.unwrap_or_default();
    let asked = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "of");
    let of = asked.and_then(|(_, of)| of.split_once('/').map(|(namespace, name)| named(namespace, name))).transpose()?;
    let news = News { statuses: visit.instances.changes(), one: of.map(|of| (of, console.journal.changes())) };
    Ok(stream(news, permit, console.stop.clone(), INTERVALS))
}

/// What a page wants to hear of.
struct News {
    statuses: broadcast::Receiver<Arc<InstanceStatus>>,
    /// The one instance that it shows, and what is done for any.
    one: Option<(InstanceRef, broadcast::Receiver<InstanceRef>)>,
}

impl News {
    /// Waits for the next; `None`: there will be no more. Which was lost does not matter: the page asks for all that it shows.
    async fn next(&mut self) -> Option<()> {
        let Some((of, done)) = &mut self.one else { return heard(self.statuses.recv().await, |_| true).map(drop) };
        loop {
            let is_news = tokio::select! {
                status = self.statuses.recv() => heard(status, |status| status.instance == *of),
                done = done.recv() => heard(done, |done| done == of),
            };
            if is_news? {
                return Some(());
            }
        }
    }

    /// What came together with the last is no news.
    fn skip(&mut self) {
        while matches!(self.statuses.try_recv(), Ok(_) | Err(TryRecvError::Lagged(_))) {}
        if let Some((_, done)) = &mut self.one {
            while matches!(done.try_recv(), Ok(_) | Err(TryRecvError::Lagged(_))) {}
        }
    }
}

/// Whether something was heard that is wanted; `None`: there will be no more.
fn heard<T>(received: Result<T, RecvError>, is_wanted: impl FnOnce(&T) -> bool) -> Option<bool> {
    match received {
        Ok(news) => Some(is_wanted(&news)),
        Err(RecvError::Lagged(_)) => Some(true),
        Err(RecvError::Closed) => None,
    }
}

/// The answer that goes on until the client leaves, takes nothing, or the process ends.
fn stream(news: News, permit: OwnedSemaphorePermit, stop: CancellationToken, intervals: Intervals) -> Response {
    let (events, taken) = mpsc::channel(1);
    tokio::spawn(feed(news, events, permit, stop, intervals));
    let stream = futures::stream::unfold(taken, |mut taken| async { taken.recv().await.map(|event| (event, taken)) });
    let mut response = Body::from_stream(stream).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

async fn feed(mut news: News, events: Events, permit: OwnedSemaphorePermit, stop: CancellationToken, intervals: Intervals) {
    let Intervals { together, alive, slowest } = intervals;
    let mut is_taken = send(&events, ": hello\n\n", slowest).await;
    while is_taken {
        let heard = tokio::select! {
            () = stop.cancelled() => break,
            () = events.closed() => break,
            heard = news.next() => Some(heard),
            () = tokio::time::sleep(alive) => None,
        };
        is_taken = match heard {
            None => send(&events, ": alive\n\n", slowest).await,
            Some(None) => break,
            Some(Some(())) => {
                tokio::time::sleep(together).await;
                news.skip();
                send(&events, "event: changed\ndata: 1\n\n", slowest).await
            }
        };
    }
    drop(permit);
}

/// Answers whether the client takes it.
async fn send(events: &Events, text: &'static str, slowest: Duration) -> bool {
    matches!(tokio::time::timeout(slowest, events.send(Ok(Bytes::from_static(text.as_bytes())))).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::Router;
    use axum::routing::get;
    use futures::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpSocket, TcpStream};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::api::conditions::{Problem, Reason};
    use crate::instances::changes::StatusChanges;
    use crate::observe::Journal;
    use crate::poll::status::refused;
    use crate::serve::{Limits, Server};

    fn all(changes: &StatusChanges) -> News {
        News { statuses: changes.subscribe(), one: None }
    }

    #[tokio::test]
    async fn the_page_of_one_instance_hears_of_what_is_done_for_it_alone() {
        let (changes, journal) = (StatusChanges::default(), Journal::default());
        let of = InstanceRef::new("crm", "keap");
        let mut news = News { statuses: changes.subscribe(), one: Some((of.clone(), journal.changes())) };
        let status = |name: &str| refused(InstanceRef::new("crm", name), None, &Problem::human(Reason::InvalidSpec, "spec"));
        let other = InstanceRef::new("crm", "other");
        changes.publish(&status("other"));
        journal.forget(&other);
        assert_eq!(news.next().now_or_never(), None, "it is about another one");
        journal.forget(&of);
        assert_eq!(news.next().now_or_never(), Some(Some(())));
        changes.publish(&status("keap"));
        assert_eq!(news.next().now_or_never(), Some(Some(())));
        journal.forget(&of);
        news.skip();
        assert_eq!(news.next().now_or_never(), None);
    }

    #[tokio::test]
    async fn many_changes_are_few_events_and_a_client_that_takes_none_is_dropped() {
        let (changes, places) = (StatusChanges::default(), Arc::new(Semaphore::new(1)));
        let status = refused(InstanceRef::new("crm", "keap"), None, &Problem::human(Reason::InvalidSpec, "spec"));
        let permit = Arc::clone(&places).try_acquire_owned().unwrap();
        let (events, mut taken) = mpsc::channel(1);
        let short = Duration::from_millis(20);
        let intervals = Intervals { together: short, alive: Duration::from_mins(10), slowest: short };
        let feeding = tokio::spawn(feed(all(&changes), events, permit, CancellationToken::new(), intervals));
        assert_eq!(taken.recv().await.unwrap().unwrap(), ": hello\n\n");
        for _ in 0..1_000 {
            changes.publish(&status);
        }
        assert_eq!(taken.recv().await.unwrap().unwrap(), "event: changed\ndata: 1\n\n");
        let more = tokio::time::timeout(short * 10, taken.recv()).await;
        assert!(more.is_err(), "a thousand changes at once are one event");
        // It takes no more: one event fits the channel, and the next is one too many.
        while !feeding.is_finished() {
            changes.publish(&status);
            tokio::task::yield_now().await;
        }
        assert_eq!(places.available_permits(), 1);
    }

    #[tokio::test]
    async fn a_client_that_leaves_gives_its_place_back_at_once() {
        let (changes, places) = (StatusChanges::default(), Arc::new(Semaphore::new(1)));
        let permit = Arc::clone(&places).try_acquire_owned().unwrap();
        let (events, mut taken) = mpsc::channel(1);
        let feeding = tokio::spawn(feed(all(&changes), events, permit, CancellationToken::new(), INTERVALS));
        assert!(taken.recv().await.is_some());
        drop(taken);
        feeding.await.unwrap();
        assert_eq!(places.available_permits(), 1);
    }

    /// Longer than any wait takes unless something is broken.
    const PATIENCE: Duration = Duration::from_mins(2);

    /// Connects with room for this many bytes, and asks for the events.
    async fn ask(server: std::net::SocketAddr, room: u32) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(room).unwrap();
        let mut stream = socket.connect(server).await.unwrap();
        stream.write_all(b"GET /live HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        stream
    }

    #[tokio::test]
    async fn clients_that_read_nothing_lose_their_places_and_one_that_reads_does_not() {
        let (changes, places) = (StatusChanges::default(), Arc::new(Semaphore::new(MOST)));
        let (own, free, stop) = (changes.clone(), Arc::clone(&places), CancellationToken::new());
        let short = Duration::from_millis(1);
        // The one that reads has long enough on a busy machine.
        let intervals = Intervals { together: short, alive: Duration::from_mins(10), slowest: Duration::from_secs(2) };
        let ending = stop.clone();
        let show = move || {
            let permit = Arc::clone(&free).try_acquire_owned().map_err(|_| "all places are taken");
            let (changes, stop) = (all(&own), ending.clone());
            async move { permit.map(|permit| stream(changes, permit, stop, intervals)) }
        };
        let limits = Limits { unread: 4096, ..Limits::DEFAULT };
        let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), limits).await.unwrap();
        let address = server.address();
        let serving = tokio::spawn(server.run(Router::new().route("/live", get(show)), stop.clone()));
        let mut reader = ask(address, 256 * 1024).await;
        let mut head = [0; 15];
        reader.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        let mut silent = Vec::new();
        for _ in 1..MOST {
            silent.push(ask(address, 4096).await);
        }
        let all_asked = async {
            while places.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, all_asked).await.expect("each has a place");
        let status = refused(InstanceRef::new("crm", "keap"), None, &Problem::human(Reason::InvalidSpec, "spec"));
        let mut read = Vec::new();
        let reading = async {
            // Until the others are cut, and for one event more.
            let mut enough = usize::MAX;
            while read.len() < enough {
                changes.publish(&status);
                if let Ok(more) = tokio::time::timeout(short, reader.read_buf(&mut read)).await {
                    assert!(more.unwrap() > 0, "the one that reads is cut");
                }
                if enough == usize::MAX && places.available_permits() == MOST - 1 {
                    enough = read.len() + 1;
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("those that read nothing are cut");
        assert_eq!(places.available_permits(), MOST - 1);
        assert!(String::from_utf8(read).unwrap().contains("event: changed"));
        stop.cancel();
        drop(silent);
        serving.await.unwrap();
    }
}
