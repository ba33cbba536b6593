//! The client against servers that speak, mumble or attack, over loopback sockets.

mod bodies;
mod guard;
mod mutual;
mod names;
mod redirects;
mod silence;
mod tls;

use std::future::Future;
use std::io::ErrorKind;
use std::net::TcpListener as BlockingListener;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::error::Phase;
use super::*;

/// Serves one connection after another with `answer`, forever.
async fn server<F, R>(answer: F) -> Url
where
    F: Fn(TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    Url::parse(&url).expect("url")
}

/// Asks with longer and longer bounds while one is over before the body was found too slow: so it is short, and yet no machine is too
/// busy for it.
async fn within<T>(bounds: [Duration; 2], ask: impl AsyncFn(Duration) -> Result<T, EgressError>) -> Result<T, EgressError> {
    let [mut bound, longest] = bounds;
    loop {
        match ask(bound).await {
            Err(EgressError::Timeout(phase)) if phase != Phase::SlowBody && bound < longest => bound *= 2,
            outcome => return outcome,
        }
    }
}

/// Reads one request up to the end of its head.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).expect("request heads are ASCII")
}

/// A server that answers every request with these bytes and closes.
async fn bytes_server(bytes: impl Into<Vec<u8>>) -> Url {
    let bytes = Bytes::from(bytes.into());
    server(move |mut stream| {
        let bytes = bytes.clone();
        async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(&bytes).await;
        }
    })
    .await
}

/// A server that writes `head`, then `block` until the client goes away.
async fn endless_server(head: &'static str, block: Vec<u8>) -> Url {
    let block = Bytes::from(block);
    server(move |mut stream| {
        let block = block.clone();
        async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(&block).await.is_ok() {}
        }
    })
    .await
}

/// A server that writes `start` and then says nothing.
async fn stalling_server(start: &'static str) -> Url {
    server(move |mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(start.as_bytes()).await;
        let _ = stream.read_u8().await;
    })
    .await
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{head}\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn get(url: &Url) -> Request {
    Request {
        method: Method::GET,
        url: url.clone(),
        headers: HeaderMap::new(),
        body: None,
        credentials: Vec::new(),
        redirects: Redirects::WithinOrigin(3),
        limits: Limits {
            body: 1024 * 1024,
            overflow: Overflow::Refuse,
            first_byte: Duration::from_secs(30),
            total: Duration::from_mins(1),
        },
    }
}

fn local() -> Egress {
    Egress::new(EgressPolicy { allow_loopback: true, ..EgressPolicy::default() }).expect("client")
}

async fn fails(request: Request) -> EgressError {
    local().send(request).await.expect_err("this must fail")
}

/// A listener that reports whether a connection to it was tried. A connection that was made waits in the kernel's queue, so nothing has to
/// be waited for.
struct Trap(BlockingListener);

impl Trap {
    fn set() -> Self {
        let listener = BlockingListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("non-blocking");
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().expect("address").port()
    }

    fn was_touched(&self) -> bool {
        !matches!(self.0.accept(), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }
}

#[tokio::test]
async fn an_answer_is_handed_on_whole() {
    let url = server(|mut stream| async move {
        let head = read_head(&mut stream).await;
        let _ = stream.write_all(&answer("X-Kept: yes\r\n", head.as_bytes())).await;
    })
    .await;
    let mut request = get(&url.join("/list?a=b%20c").expect("url"));
    request.headers.insert("x-mine", "1".parse().expect("value"));
    request.headers.insert(header::ACCEPT_ENCODING, "bzip2".parse().expect("value"));
    let response = local().send(request.clone()).await.expect("answer");
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(response.headers["x-kept"], "yes");
    assert_eq!(response.url, request.url);
    let head = String::from_utf8(response.body.to_vec()).expect("text").to_ascii_lowercase();
    assert!(head.starts_with("get /list?a=b%20c http/1.1\r\n"), "{head}");
    for line in ["x-mine: 1", "accept-encoding: gzip, br, deflate", "accept: */*"] {
        assert!(head.contains(&format!("{line}\r\n")), "{line} in {head}");
    }
    assert!(head.contains(concat!("user-agent: pollinator/", env!("CARGO_PKG_VERSION"))), "{head}");
    assert!(!head.contains("bzip2"), "{head}");
}

#[tokio::test]
async fn a_post_carries_its_body() {
    let url = server(|mut stream| async move {
        let head = read_head(&mut stream).await.to_ascii_lowercase();
        assert!(head.contains("content-length: 5\r\n"), "{head}");
        let mut body = [0; 5];
        stream.read_exact(&mut body).await.expect("body");
        let _ = stream.write_all(&answer("", &body)).await;
    })
    .await;
    let request = Request { method: Method::POST, body: Some(Bytes::from_static(b"hello")), ..get(&url) };
    assert_eq!(local().send(request).await.expect("answer").body, "hello");
}
