//! A small HTTP/1.1 server that can also speak badly: stall, cut a body short, close instead of answering, or never end.
//!
//! It is strict about what it hears: a request line, headers and a body with `Content-Length`; anything else is closed on.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use percent_encoding::percent_decode_str;

use super::turns;

/// A byte of a head that drips comes after this.
const DRIP: Duration = Duration::from_millis(100);
/// How often a held answer looks at its gate.
const LOOK: Duration = Duration::from_millis(50);

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Ask {
    /// When all of it was there.
    pub at: Instant,
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Ask {
    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Decoded query parameters in their order. A `+` stays a `+`, as with servers that follow RFC 3986.
    pub fn query(&self) -> Vec<(String, String)> {
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (_, query) = self.target.split_once('?').unwrap_or_default();
        query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decode(name), decode(value)))
            .collect()
    }

    /// First header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What follows the head of an answer.
pub enum Body {
    Whole(Vec<u8>),
    /// `Content-Length` promises more than is sent before the connection closes.
    Truncated(Vec<u8>),
    /// Chunked, and the connection closes without the last chunk.
    ChunkedCut(Vec<u8>),
    /// `Content-Length` promises more, and the connection stays open and silent.
    Stalled(Vec<u8>),
    /// None: the head does not end, a byte of it comes now and then until the other side closes.
    DrippingHead,
    /// Chunked, from a generator.
    Stream(Box<dyn Iterator<Item = Vec<u8>> + Send>),
    /// From a generator whose length is known.
    Sized(usize, Box<dyn Iterator<Item = Vec<u8>> + Send>),
}

/// What a double says.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Body,
    /// Silence before the answer.
    pub delay: Duration,
    /// What the answer waits for.
    pub gate: Option<Gate>,
    /// Closes the connection instead of answering.
    pub hang_up: bool,
}

impl Answer {
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Body::Whole(Vec::new()), delay: Duration::ZERO, gate: None, hang_up: false }
    }

    pub fn hang_up() -> Self {
        Self { hang_up: true, ..Self::status(0) }
    }

    pub fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200).header("Content-Type", "application/json").body(Body::Whole(body.into()))
    }

    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Silence until the gate opens.
    pub fn behind(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }
}

/// Closed until a test opens it; a server that stops does not wait for it.
#[derive(Clone, Default)]
pub struct Gate(Arc<AtomicBool>);

impl Gate {
    pub fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_open(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

type Handler = dyn Fn(&Ask) -> Answer + Send + Sync;

/// Listens on a free loopback port until it is dropped.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    handler: Box<Handler>,
    stopped: AtomicBool,
    accepted: AtomicUsize,
    /// Connections whose last request may still be under way.
    talking: Mutex<usize>,
    quiet: Condvar,
    open: Mutex<Vec<TcpStream>>,
    wake: Condvar,
}

impl Server {
    pub fn start(handler: impl Fn(&Ask) -> Answer + Send + Sync + 'static) -> Self {
        turns::take();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        Self::listen(listener, handler)
    }

    /// On a port that was in use before, for a peer that comes back.
    pub fn start_at(address: SocketAddr, handler: impl Fn(&Ask) -> Answer + Send + Sync + 'static) -> Self {
        turns::take();
        Self::listen(TcpListener::bind(address).expect("the port that was free a moment ago"), handler)
    }

    /// At an address that a test of another process may have; waits until it is free.
    pub fn wait_at(address: SocketAddr, handler: impl Fn(&Ask) -> Answer + Send + Sync + 'static) -> Self {
        turns::take();
        let deadline = Instant::now() + super::PATIENCE;
        loop {
            match TcpListener::bind(address) {
                Ok(listener) => return Self::listen(listener, handler),
                Err(error) => assert!(Instant::now() < deadline, "{address}: {error}"),
            }
            thread::park_timeout(Duration::from_millis(100));
        }
    }

    fn listen(listener: TcpListener, handler: impl Fn(&Ask) -> Answer + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            stopped: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
            talking: Mutex::new(0),
            quiet: Condvar::new(),
            open: Mutex::new(Vec::new()),
            wake: Condvar::new(),
        });
        let for_acceptor = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &for_acceptor));
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Closes all connections and goes on listening.
    pub fn close_connections(&self) {
        for stream in self.shared.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Closes all connections when what came over them was answered. After a peer's death no request of it comes any more.
    pub fn hear_out(&self) {
        // connections are accepted in turn: those that the peer still opened are accepted when this one is closed on
        let mut last = TcpStream::connect(self.address).expect("it listens");
        last.shutdown(Shutdown::Write).expect("the connection is open");
        let _ = last.read(&mut [0]);
        // what came is read before the end is
        self.close_connections();
        let talking = self.shared.talking.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.shared.quiet.wait_timeout_while(talking, super::PATIENCE, |talking| *talking > 0);
        let talking = waited.unwrap_or_else(PoisonError::into_inner).0;
        assert_eq!(*talking, 0, "all that came is answered in time");
    }

    /// Connections accepted up to now.
    pub fn connections(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in open.iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.shared.wake.notify_all();
        drop(open);
        // wakes the acceptor, which then lets go of the port
        let _ = TcpStream::connect(self.address);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        if let Ok(copy) = stream.try_clone() {
            shared.open.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
        }
        *shared.talking.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let ended = Ended(&shared);
            let _ = converse(&stream, &shared);
            let _ = stream.shutdown(Shutdown::Both);
            drop(ended);
        });
    }
}

/// Counts a conversation off, also where the handler panics.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        *self.0.talking.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.quiet.notify_all();
    }
}

fn converse(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(ask) = hear(&mut reader)? {
        let answer = (shared.handler)(&ask);
        if !answer.delay.is_zero() {
            shared.pause(answer.delay);
        }
        while answer.gate.as_ref().is_some_and(|gate| !gate.is_open()) && !shared.stopped.load(Ordering::SeqCst) {
            shared.pause(LOOK);
        }
        if answer.hang_up || shared.stopped.load(Ordering::SeqCst) || !say(stream, answer)? {
            return Ok(());
        }
    }
    Ok(())
}

impl Shared {
    fn pause(&self, delay: Duration) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let stopped = |_: &mut Vec<TcpStream>| !self.stopped.load(Ordering::SeqCst);
        drop(self.wake.wait_timeout_while(open, delay, stopped));
    }
}

fn hear(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Ask>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut parts = line.trim_end().split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1"), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(bad("request line"));
    };
    let (method, target) = (method.to_owned(), target.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| bad("header"))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut ask = Ask { at: Instant::now(), method, target, headers, body: Vec::new() };
    if ask.header("transfer-encoding").is_some() {
        return Err(bad("only Content-Length is understood"));
    }
    let length = ask.header("content-length").map_or(Ok(0), str::parse).map_err(|_| bad("content-length"))?;
    ask.body = vec![0; length];
    reader.read_exact(&mut ask.body)?;
    ask.at = Instant::now();
    Ok(Some(ask))
}

/// Says whether the connection can carry another request.
fn say(mut stream: &TcpStream, answer: Answer) -> io::Result<bool> {
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", answer.status);
    for (name, value) in &answer.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if matches!(answer.body, Body::DrippingHead) {
        head.push_str("X-Drips: ");
        stream.write_all(head.as_bytes())?;
        loop {
            stream.write_all(b"x")?;
            thread::park_timeout(DRIP);
        }
    }
    let length = match &answer.body {
        Body::Whole(bytes) => Some(bytes.len()),
        Body::Truncated(bytes) | Body::Stalled(bytes) => Some(bytes.len() + 1000),
        Body::Sized(length, _) => Some(*length),
        Body::ChunkedCut(_) | Body::Stream(_) | Body::DrippingHead => None,
    };
    match length {
        // RFC 9110 §8.6: no Content-Length with 1xx and 204
        Some(_) if answer.status < 200 || answer.status == 204 => {}
        Some(length) => {
            let _ = write!(head, "Content-Length: {length}\r\n");
        }
        None => head.push_str("Transfer-Encoding: chunked\r\n"),
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    match answer.body {
        Body::DrippingHead => {}
        Body::Whole(bytes) => stream.write_all(&bytes)?,
        Body::Truncated(bytes) => {
            stream.write_all(&bytes)?;
            return Ok(false);
        }
        Body::Stalled(bytes) => {
            stream.write_all(&bytes)?;
            // until the other side, or the server's end, closes
            let mut rest = [0; 1024];
            while stream.read(&mut rest)? > 0 {}
            return Ok(false);
        }
        Body::ChunkedCut(bytes) => {
            write_chunk(stream, &bytes)?;
            return Ok(false);
        }
        Body::Sized(_, pieces) => {
            for bytes in pieces {
                stream.write_all(&bytes)?;
            }
        }
        Body::Stream(chunks) => {
            for bytes in chunks {
                write_chunk(stream, &bytes)?;
            }
            stream.write_all(b"0\r\n\r\n")?;
        }
    }
    Ok(true)
}

fn write_chunk(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    write!(stream, "{:x}\r\n", bytes.len())?;
    stream.write_all(bytes)?;
    stream.write_all(b"\r\n")
}
