//! The wire side of the proxy: connections, requests, answers, events.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, PoisonError};

use axum::body::{Body, to_bytes};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};

use super::{Call, Fault, Shared, WatchEvent, WatchFault};

/// The server's own bound is 3 MiB for a request.
const LARGEST_REQUEST: usize = 8 << 20;

pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut cuts = shared.cuts.subscribe();
            tokio::select! {
                _ = converse(stream, &shared) => {}
                _ = cuts.changed() => {}
            }
        });
    }
}

async fn converse(stream: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    shared.thawed().await;
    let stream = shared.acceptor.accept(stream).await?;
    let upstream = Arc::new(Mutex::new(None));
    let service = service_fn(|request| {
        let (shared, upstream) = (Arc::clone(shared), Arc::clone(&upstream));
        async move { shared.relay(request, &upstream).await }
    });
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.map_err(io::Error::other)
}

/// Headers and body of an answer that was kept.
pub(super) type Kept = (HeaderMap, Bytes);

/// A connection to the server that may be used again.
type Upstream = Mutex<Option<SendRequest<Body>>>;

impl Shared {
    async fn thawed(&self) {
        // fails only if the sender is gone, and then all is
        let _ = self.frozen.subscribe().wait_for(|frozen| !frozen).await;
    }

    /// An error closes the client's connection without an answer.
    async fn relay(self: Arc<Self>, request: Request<Incoming>, upstream: &Upstream) -> io::Result<Response<Body>> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(Body::new(body), LARGEST_REQUEST).await.map_err(io::Error::other)?;
        let call = Call::new(&parts, body.clone());
        self.thawed().await;
        let position = self.calls.push(call.clone());
        let (fault, count) = self.script.ask(|script| script(&call));
        let answer = match fault {
            Some(Fault::Answer(status)) => refusal(status, None),
            Some(Fault::AnswerRetryAfter(status, seconds)) => refusal(status, Some(seconds)),
            Some(Fault::HangUp) => return Err(io::ErrorKind::ConnectionAborted.into()),
            Some(Fault::Hold) => {
                self.script.changed_since(count).await;
                self.ask(parts, body, upstream).await?
            }
            Some(Fault::LoseAnswer) => {
                // read to its end, so that the server has done what was asked
                let answer = self.ask(parts, body, upstream).await?;
                let _ = to_bytes(answer.into_body(), usize::MAX).await;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            Some(Fault::HoldAnswer) => {
                let answer = self.ask(parts, body, upstream).await?;
                self.script.changed_since(count).await;
                answer
            }
            Some(Fault::CutAnswer) => {
                let (mut head, body) = self.ask(parts, body, upstream).await?.into_parts();
                remove_framing(&mut head.headers);
                let body = to_bytes(body, usize::MAX).await.map_err(io::Error::other)?;
                Response::from_parts(head, Body::from(body.slice(..body.len().saturating_sub(2))))
            }
            Some(Fault::Earlier) => match self.kept(&call) {
                Some((head, body)) => {
                    let mut answer = Response::new(Body::from(body));
                    *answer.headers_mut() = head;
                    answer
                }
                None => self.ask(parts, body, upstream).await?,
            },
            Some(Fault::PageOf(limit)) => self.ask(with_limit(parts, limit), body, upstream).await?,
            None => {
                let answer = self.ask(parts, body, upstream).await?;
                self.keep(&call, answer).await?
            }
        };
        self.thawed().await;
        self.calls.amend(position, |call| call.status = Some(answer.status().as_u16()));
        let is_json = answer.headers().get(CONTENT_TYPE).is_some_and(|media_type| media_type == "application/json");
        let watches = call.verb == "watch" && answer.status() == 200 && is_json;
        let (parts, body) = answer.into_parts();
        let (sender, mut receiver) = mpsc::channel(16);
        let shared = Arc::clone(&self);
        tokio::spawn(async move {
            let passed = async {
                if watches { shared.pass_events(&call, body, &sender).await } else { shared.pass_bytes(body, &sender).await }
            };
            // the client may leave while the server has nothing to say
            tokio::select! {
                ended = passed => if let Err(error) = ended { let _ = sender.send(Err(error)).await; },
                () = sender.closed() => {}
            }
        });
        let body = stream::poll_fn(move |context| receiver.poll_recv(context));
        Ok(Response::from_parts(parts, Body::from_stream(body)))
    }

    fn kept(&self, call: &Call) -> Option<Kept> {
        let earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        earlier.as_ref()?.get(path(call)).cloned()
    }

    /// Notes the first answer of its kind, while answers are kept.
    async fn keep(&self, call: &Call, answer: Response<Body>) -> io::Result<Response<Body>> {
        let is_read = matches!(call.verb.as_str(), "get" | "list") && answer.status() == 200;
        let is_new =
            |earlier: &Option<HashMap<String, Kept>>| earlier.as_ref().is_some_and(|all| !all.contains_key(path(call)));
        if !is_read || !is_new(&self.earlier.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(answer);
        }
        let (mut head, body) = answer.into_parts();
        remove_framing(&mut head.headers);
        let body = to_bytes(body, usize::MAX).await.map_err(io::Error::other)?;
        if let Some(earlier) = &mut *self.earlier.lock().unwrap_or_else(PoisonError::into_inner) {
            earlier.entry(path(call).to_owned()).or_insert_with(|| (head.headers.clone(), body.clone()));
        }
        Ok(Response::from_parts(head, Body::from(body)))
    }

    async fn ask(&self, parts: Parts, body: Bytes, upstream: &Upstream) -> io::Result<Response<Body>> {
        let mut request = Request::from_parts(parts, Body::from(body));
        remove_framing(request.headers_mut());
        let mut upstream = upstream.lock().await;
        let mut kept = upstream.take();
        if let Some(sender) = &mut kept
            && sender.ready().await.is_err()
        {
            kept = None;
        }
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        *upstream = Some(sender);
        let mut answer = answer.map(Body::new);
        if answer.headers().get(CONTENT_LENGTH).is_none() {
            remove_framing(answer.headers_mut());
        }
        Ok(answer)
    }

    async fn connect(&self) -> io::Result<SendRequest<Body>> {
        let stream = TcpStream::connect(self.upstream).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(self.upstream.ip().into());
        let stream = self.connector.connect(name, stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn pass_bytes(&self, body: Body, to: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            self.thawed().await;
            let _ = to.send(Ok(chunk.map_err(io::Error::other)?)).await;
        }
        Ok(())
    }

    /// Passes a watch on line by line, each as the script says.
    async fn pass_events(&self, call: &Call, body: Body, to: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
        let mut changes = self.watch_script.changes.subscribe();
        let (mut chunks, mut rest, mut held) = (body.into_data_stream(), BytesMut::new(), Vec::new());
        loop {
            let chunk = tokio::select! {
                chunk = chunks.next() => chunk,
                _ = changes.changed() => {
                    self.thawed().await;
                    let now = *changes.borrow_and_update();
                    for (_, line) in held.extract_if(.., |(count, _)| *count < now) {
                        let _ = to.send(Ok(line)).await;
                    }
                    continue;
                }
            };
            let Some(chunk) = chunk else { return Ok(()) };
            self.thawed().await;
            rest.extend_from_slice(&chunk.map_err(io::Error::other)?);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest.split_to(end + 1).freeze();
                let (fault, count) = self.judge(call, &line);
                match fault {
                    None => {
                        let _ = to.send(Ok(line)).await;
                    }
                    Some(WatchFault::Drop) => {}
                    Some(WatchFault::Hold) => held.push((count, line)),
                    Some(WatchFault::Cut) => return Err(io::ErrorKind::ConnectionAborted.into()),
                    Some(WatchFault::Expire) => {
                        let error = json!({"type": "ERROR", "object": status_object(410)});
                        let _ = to.send(Ok(Bytes::from(format!("{error}\n")))).await;
                        return Ok(());
                    }
                }
            }
        }
    }

    fn judge(&self, call: &Call, line: &[u8]) -> (Option<WatchFault>, u64) {
        let mut event: Value = serde_json::from_slice(line).unwrap_or_default();
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        let event = WatchEvent { kind, object: event["object"].take() };
        self.watch_script.ask(|script| script(call, &event))
    }
}

fn path(call: &Call) -> &str {
    call.target.split('?').next().unwrap_or_default()
}

fn with_limit(mut parts: Parts, limit: u32) -> Parts {
    let (path, query) =
        parts.uri.path_and_query().map_or(("/", ""), |target| (target.path(), target.query().unwrap_or_default()));
    let others = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("limit="));
    let query = others.map(str::to_owned).chain([format!("limit={limit}")]).collect::<Vec<_>>().join("&");
    parts.uri = format!("{path}?{query}").parse().expect("a target with another limit");
    parts
}

/// Each side frames its own messages.
fn remove_framing(headers: &mut HeaderMap) {
    for name in [CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH] {
        headers.remove(name);
    }
}

fn refusal(status: u16, retry_after: Option<u32>) -> Response<Body> {
    let mut answer = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    if let Some(seconds) = retry_after {
        answer = answer.header(RETRY_AFTER, seconds);
    }
    answer.body(Body::from(status_object(status).to_string())).expect("a status and a header")
}

/// As the server words its refusals.
fn status_object(code: u16) -> Value {
    let (reason, message) = match code {
        401 => ("Unauthorized", "Unauthorized"),
        403 => ("Forbidden", "forbidden by the test"),
        404 => ("NotFound", "the server could not find the requested resource"),
        409 => ("Conflict", "Operation cannot be fulfilled: the object has been modified"),
        410 => ("Expired", "too old resource version"),
        422 => ("Invalid", "invalid, says the test"),
        429 => ("TooManyRequests", "too many requests, please try again later"),
        500 => ("InternalError", "Internal error occurred"),
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
        504 => (
            "Timeout",
            "the server was unable to return a response in the time allotted, but may still be processing the request",
        ),
        _ => ("Unknown", "unknown"),
    };
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code})
}
