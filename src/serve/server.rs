//! Takes connections up to a number, bounds what each may take, and ends in order.
//!
//! `axum::serve` has neither a deadline for the head of a request nor a bound on connections, and a listener cannot add the
//! former: it does not know where a head ends. So the connections are hyper's, and everything behind them is axum's.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a request under way may take once its connection is to end.
const ENDING: Duration = Duration::from_secs(2);
/// Waited after a connection could not be taken.
const PAUSE: Duration = Duration::from_millis(100);

/// What one address grants.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; more wait in the kernel.
    pub connections: usize,
    /// How long the head of a request may take to arrive, counted from the end of the request before it.
    pub head: Duration,
    /// Bytes of the head of a request, at least 8 KiB.
    pub head_bytes: usize,
    /// Bytes of a body, for handlers that read one; a longer one is answered 413.
    pub body: usize,
    /// How long a connection may last. The request that is then under way has two more seconds.
    pub connection: Duration,
}

impl Limits {
    /// For people and probes: enough for a page, its form and what follows.
    pub const DEFAULT: Self = Self {
        connections: 128,
        head: Duration::from_secs(10),
        head_bytes: 32 * 1024,
        body: 64 * 1024,
        connection: Duration::from_mins(3),
    };
}

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
    pub async fn bind(address: SocketAddr, limits: Limits) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
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
        let places = Arc::new(Semaphore::new(limits.connections));
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = async {
                    // Only a closed semaphore refuses, and this one is never closed.
                    let place = Arc::clone(&places).acquire_owned().await.ok();
                    (listener.accept().await, place)
                } => accepted,
            };
            match accepted {
                (Ok((stream, _)), place) => {
                    let (router, stop) = (router.clone(), stop.clone());
                    connections.spawn(async move {
                        if let Err(error) = converse(stream, router, limits, stop).await {
                            tracing::debug!(%address, "a connection ended: {error}");
                        }
                        drop(place);
                    });
                }
                // Out of file handles, for example: it may pass.
                (Err(error), _) => {
                    tracing::warn!(%address, "a connection cannot be taken: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        drop(listener);
        connections.close();
        connections.wait().await;
    }
}

/// Serves one connection.
async fn converse<S>(stream: S, router: Router, limits: Limits, stop: CancellationToken) -> Result<(), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(limits.head_bytes)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = stop.cancelled() => {}
        () = tokio::time::sleep(limits.connection) => {}
    }
    connection.as_mut().graceful_shutdown();
    // What has not ended by then is cut off.
    tokio::time::timeout(ENDING, connection).await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::routing::{get, post};
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
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
        let answer = running.send(REQUEST).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
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
    async fn one_connection_too_many_waits_until_another_ends() {
        let running = start(greeting(), Limits { connections: 1, ..Limits::DEFAULT }).await;
        let mut first = running.connect().await;
        first.write_all(REQUEST).await.unwrap();
        let mut answered = [0; 12];
        first.read_exact(&mut answered).await.unwrap();
        assert_eq!(&answered, b"HTTP/1.1 200");
        // The kernel has taken it; the server has not.
        let mut waiting = tokio::spawn(rest(running.connect().await, LAST_REQUEST));
        assert!(tokio::time::timeout(Duration::from_millis(100), &mut waiting).await.is_err(), "it waits");
        drop(first);
        assert!(waiting.await.unwrap().starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn a_connection_that_never_ends_is_ended() {
        let running = start(greeting(), Limits { connection: Duration::from_millis(50), ..Limits::DEFAULT }).await;
        let mut stream = running.connect().await;
        let mut all = Vec::new();
        while stream.write_all(REQUEST).await.is_ok() && stream.read_buf(&mut all).await.is_ok_and(|read| read > 0) {}
        assert!(all.starts_with(b"HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn a_request_under_way_ends_before_the_server_and_no_other_is_taken() {
        let (begun, more) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (told, asked) = (Arc::clone(&begun), Arc::clone(&more));
        let handler = move || async move {
            told.notify_one();
            asked.notified().await;
            "done"
        };
        let running = start(Router::new().route("/", get(handler)), Limits::DEFAULT).await;
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
