//! Takes connections up to a number, bounds what each may take, and ends in order.
//!
//! `axum::serve` has neither a deadline for the head of a request nor a bound on connections, and a listener cannot add the
//! former: it does not know where a head ends. So the connections are hyper's, and everything behind them is axum's.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::places::{Place, Places};

/// How long a request under way may take once its connection is to end.
const ENDING: Duration = Duration::from_secs(2);
/// Connections that are refused at once with an answer because all places are taken, and how long that may take.
const MAX_REFUSALS: usize = 32;
const REFUSING: Duration = Duration::from_millis(500);
const NO_PLACE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
/// Connections that wait to be taken.
const BACKLOG: u32 = 1024;
/// Waited after a connection could not be taken.
const PAUSE: Duration = Duration::from_millis(100);

/// What one address grants.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once. One more takes the place of one that has no request under way, else it is refused.
    pub connections: usize,
    /// Connections of one peer at once, in the same way. Behind a proxy all people are one peer.
    pub of_one_peer: usize,
    /// How long the head of a request may take to arrive, counted from the end of the request before it.
    pub head: Duration,
    /// Bytes of the head of a request, at least 8 KiB.
    pub head_bytes: usize,
    /// Bytes of answers that the system keeps of one connection whose peer does not read them; it may keep twice as many (`socket(7)`). It
    /// would keep megabytes.
    pub unread: u32,
    /// Bytes of a body, for handlers that read one; a longer one is answered 413.
    pub body: usize,
    /// How long a connection may last. The request that is then under way has two more seconds.
    pub connection: Duration,
}

impl Limits {
    /// For people and probes: enough for a page, its form and what follows.
    pub const DEFAULT: Self = Self {
        connections: 128,
        of_one_peer: 64,
        head: Duration::from_secs(10),
        head_bytes: 32 * 1024,
        unread: 128 * 1024,
        body: 64 * 1024,
        connection: Duration::from_mins(3),
    };
}

/// The address that a request came from: that of a proxy, where there is one. Each request has it as an extension.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// A listener that serves nothing yet; clients that connect already wait.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
}

impl Server {
    /// Listens at an address; port 0 takes a free one.
    ///
    /// # Errors
    /// The address is in use or may not be used.
    #[allow(clippy::unused_async, reason = "a socket belongs to the runtime, of which there must be one")]
    pub async fn bind(address: SocketAddr, limits: Limits) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // As a listener has it by default: one that has just ended keeps no other from its port.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        // Connections inherit it.
        socket.set_send_buffer_size(limits.unread)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, limits })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, then takes no more connections and gives the requests under way two seconds.
    pub async fn run(self, router: Router, stop: CancellationToken) {
        let Self { listener, address, limits } = self;
        let router = router.layer(DefaultBodyLimit::max(limits.body));
        let places = Places::new(limits.connections, limits.of_one_peer);
        let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match places.take(peer.ip()) {
                    Some(place) => {
                        let (router, stop) = (router.clone(), stop.clone());
                        connections.spawn(async move {
                            if let Err(error) = converse(stream, peer.ip(), router, limits, &place, stop).await {
                                tracing::debug!(%address, "a connection ended: {error}");
                            }
                        });
                    }
                    None => {
                        // A connection beyond that number is only closed.
                        if let Ok(turn) = Arc::clone(&refusals).try_acquire_owned() {
                            connections.spawn(async move {
                                refuse(stream).await;
                                drop(turn);
                            });
                        }
                    }
                },
                // Out of file handles, for example: it may pass.
                Err(error) => {
                    tracing::warn!(%address, "a connection cannot be accepted: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        drop(listener);
        connections.close();
        connections.wait().await;
    }
}

/// Serves one connection, until it has to give way to another.
async fn converse<S>(
    stream: S,
    peer: IpAddr,
    router: Router,
    limits: Limits,
    place: &Place,
    stop: CancellationToken,
) -> Result<(), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (router, is_busy) = (TowerToHyperService::new(router), Arc::clone(&place.is_busy));
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        is_busy.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(Peer(peer));
        let (answer, is_busy) = (router.call(request), Arc::clone(&is_busy));
        async move {
            let answer = answer.await;
            is_busy.store(false, Ordering::Relaxed);
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(limits.head_bytes)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = place.give_way.cancelled() => return Ok(()),
        () = stop.cancelled() => {}
        () = tokio::time::sleep(limits.connection) => {}
    }
    connection.as_mut().graceful_shutdown();
    // What has not ended by then is cut off.
    tokio::time::timeout(ENDING, connection).await.unwrap_or(Ok(()))
}

/// Says that there is no place, and takes in what was sent already: closed before that, the connection would be reset, and the answer
/// lost with it.
async fn refuse(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let refusing = async {
        stream.write_all(NO_PLACE).await?;
        stream.shutdown().await?;
        let mut sent = [0; 1024];
        while stream.read(&mut sent).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // A peer that does not read gets no answer.
    let _ = tokio::time::timeout(REFUSING, refusing).await;
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::Extension;
    use axum::routing::{get, post};
    use bytes::Bytes;
    use tokio::net::TcpStream;
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    const LAST_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

    struct Running {
        address: SocketAddr,
        stop: CancellationToken,
        server: JoinHandle<()>,
    }

    async fn start(router: Router, limits: Limits) -> Running {
        let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), limits).await.unwrap();
        let (address, stop) = (server.address(), CancellationToken::new());
        Running { address, stop: stop.clone(), server: tokio::spawn(server.run(router, stop)) }
    }

    /// Answers only once it is released; says that a request has come, and waits until it may go on.
    fn held() -> (Router, Arc<Notify>, Arc<Notify>) {
        let (begun, more) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (told, asked) = (Arc::clone(&begun), Arc::clone(&more));
        let handler = move || async move {
            told.notify_one();
            asked.notified().await;
            "done"
        };
        (Router::new().route("/", get(handler)), begun, more)
    }

    fn greeting() -> Router {
        Router::new().route("/", get(|| async { "hello" }))
    }

    impl Running {
        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }

        /// All that comes until the server closes the connection.
        async fn send(&self, bytes: &[u8]) -> String {
            rest(self.connect().await, bytes).await
        }
    }

    async fn rest(mut stream: TcpStream, bytes: &[u8]) -> String {
        stream.write_all(bytes).await.unwrap();
        let mut all = Vec::new();
        // A reset is an end, too.
        let _ = stream.read_to_end(&mut all).await;
        String::from_utf8(all).unwrap()
    }

    #[tokio::test]
    async fn one_who_does_not_finish_a_head_or_sends_no_other_is_cut_off() {
        let running = start(greeting(), Limits { head: Duration::from_millis(50), ..Limits::DEFAULT }).await;
        assert_eq!(running.send(b"").await, "");
        assert_eq!(running.send(b"GET / HTTP/1.1\r\nhost:").await, "");
        assert!(answered_in_time(&running).await.ends_with("hello"));
    }

    /// The answer to the first of many requests that is soon enough for a short limit, however busy this machine is.
    async fn answered_in_time(running: &Running) -> String {
        for _ in 0..200 {
            let answer = running.send(REQUEST).await;
            if answer.starts_with("HTTP/1.1 200") {
                return answer;
            }
            assert_eq!(answer, "", "cut off or answered");
        }
        panic!("no request is answered in time");
    }

    #[tokio::test]
    async fn a_head_and_a_body_have_a_bound() {
        let router = greeting().route("/", post(|body: Bytes| async move { body.len().to_string() }));
        let running = start(router, Limits { body: 10, ..Limits::DEFAULT }).await;
        let long = format!("GET / HTTP/1.1\r\nhost: x\r\nlong: {}\r\n\r\n", "x".repeat(64 * 1024));
        let answer = running.send(long.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
        for (length, status) in [(10, "HTTP/1.1 200"), (11, "HTTP/1.1 413")] {
            let body = "x".repeat(length);
            let request = format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
            let answer = running.send(request.as_bytes()).await;
            assert!(answer.starts_with(status), "{length}: {answer}");
        }
    }

    #[tokio::test]
    async fn one_connection_too_many_takes_the_place_of_one_that_idles() {
        let running = start(greeting(), Limits { connections: 2, of_one_peer: 2, ..Limits::DEFAULT }).await;
        let mut idle = running.connect().await;
        idle.write_all(REQUEST).await.unwrap();
        let mut answered = [0; 12];
        idle.read_exact(&mut answered).await.unwrap();
        assert_eq!(&answered, b"HTTP/1.1 200");
        let mut unfinished = running.connect().await;
        unfinished.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
        for _ in 0..5 {
            assert!(running.send(LAST_REQUEST).await.starts_with("HTTP/1.1 200"));
        }
        // Both lost their places, and with them their connections.
        assert!(!rest(idle, b"").await.contains("HTTP/1.1 5"));
        assert_eq!(rest(unfinished, b"").await, "");
    }

    #[tokio::test]
    async fn where_all_are_busy_one_more_is_told_to_come_again() {
        let (router, begun, more) = held();
        let limits = Limits { of_one_peer: 1, ..Limits::DEFAULT };
        let running = start(router, limits).await;
        let under_way = tokio::spawn(rest(running.connect().await, LAST_REQUEST));
        begun.notified().await;
        let refused = running.send(REQUEST).await;
        assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 1\r\n"), "{refused}");
        more.notify_one();
        assert!(under_way.await.unwrap().ends_with("done"), "it was not cut");
    }

    #[tokio::test]
    async fn a_request_tells_where_it_came_from() {
        let handler = |Extension(Peer(peer)): Extension<Peer>| async move { peer.to_string() };
        let running = start(Router::new().route("/", get(handler)), Limits::DEFAULT).await;
        assert!(running.send(LAST_REQUEST).await.ends_with("\r\n\r\n127.0.0.1"));
    }

    #[tokio::test]
    async fn a_connection_that_never_ends_is_ended() {
        let running = start(greeting(), Limits { connection: Duration::from_millis(50), ..Limits::DEFAULT }).await;
        answered_in_time(&running).await;
        let mut stream = running.connect().await;
        let mut all = Vec::new();
        while stream.write_all(REQUEST).await.is_ok() && stream.read_buf(&mut all).await.is_ok_and(|read| read > 0) {}
    }

    #[tokio::test]
    async fn a_request_under_way_ends_before_the_server_and_no_other_is_taken() {
        let (router, begun, more) = held();
        let running = start(router, Limits::DEFAULT).await;
        let idle = running.connect().await;
        let under_way = tokio::spawn(rest(running.connect().await, REQUEST));
        begun.notified().await;
        running.stop.cancel();
        assert_eq!(rest(idle, b"").await, "");
        assert!(!running.server.is_finished());
        more.notify_one();
        assert!(under_way.await.unwrap().ends_with("done"));
        running.server.await.unwrap();
        assert!(TcpStream::connect(running.address).await.is_err());
    }
}
