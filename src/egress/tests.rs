//! The client against servers that speak, mumble or attack, over loopback sockets.

use std::future::Future;
use std::io::ErrorKind;
use std::net::TcpListener as BlockingListener;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::error::{BrokenAnswer, Part, Phase, RedirectFault, TlsFault, Unreachable};
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
        redirects: Redirects::WithinOrigin(3),
        limits: Limits {
            body: 1024 * 1024,
            overflow: Overflow::Refuse,
            first_byte: Duration::from_secs(30),
            total: Duration::from_secs(60),
        },
    }
}

fn local() -> Egress {
    Egress::new(EgressPolicy { allow: Vec::new(), allow_loopback: true }).expect("client")
}

async fn fails(request: Request) -> EgressError {
    local().send(request).await.expect_err("this must fail")
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
    for line in ["x-mine: 1", "accept-encoding: gzip, br, zstd, deflate", "accept: */*"] {
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

// The guard.

/// A listener that tells whether anybody tried to connect. A connection that was made waits in the kernel's queue, so nothing has
/// to be waited for.
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
async fn the_trap_works() {
    let trap = Trap::set();
    assert!(!trap.was_touched());
    let _stream = TcpStream::connect(("127.0.0.1", trap.port())).await.expect("connect");
    assert!(trap.was_touched());
}

#[tokio::test]
async fn denied_addresses_are_never_connected_to() {
    let trap = Trap::set();
    let egress = Egress::new(EgressPolicy::default()).expect("client");
    for host in ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0", "localhost", "LOCALHOST"] {
        let url = Url::parse(&format!("http://{host}:{}/", trap.port())).expect(host);
        let error = egress.send(get(&url)).await.expect_err(host);
        assert!(matches!(error, EgressError::Denied(_)), "{host}: {error:?}");
        assert!(!trap.was_touched(), "{host} was connected to");
    }
}

#[tokio::test]
async fn an_allowed_host_is_asked_and_no_other() {
    let url = bytes_server(answer("", b"ok")).await;
    let port = url.port().expect("port");
    let egress = Egress::new(EgressPolicy { allow: vec![AllowRule::parse("localhost").expect("rule")], allow_loopback: false })
        .expect("client");
    let named = Url::parse(&format!("http://localhost:{port}/")).expect("url");
    assert_eq!(egress.send(get(&named)).await.expect("answer").body, "ok");
    assert!(matches!(egress.send(get(&url)).await, Err(EgressError::Denied(_))));
}

// Redirects.

async fn redirecting(status: u16, location: &str) -> Url {
    bytes_server(format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")).await
}

#[tokio::test]
async fn redirects_to_another_origin_are_refused_without_a_connection() {
    let trap = Trap::set();
    let port = trap.port();
    for status in [301, 302, 303, 307, 308] {
        for location in [
            format!("http://127.0.0.1:{port}/"),
            format!("http://localhost:{port}/"),
            format!("//127.0.0.1:{port}/x"),
            format!("https://127.0.0.1:{port}/"),
            "http://169.254.169.254/latest/meta-data".to_owned(),
            "http://[::ffff:169.254.169.254]/".to_owned(),
            "http://[64:ff9b::a9fe:a9fe]/".to_owned(),
            "http://2852039166/".to_owned(),
            "file:///etc/passwd".to_owned(),
        ] {
            let url = redirecting(status, &location).await;
            let error = fails(get(&url)).await;
            assert_eq!(error, EgressError::RedirectRefused(RedirectFault::OtherOrigin), "{status} {location}");
        }
    }
    assert!(!trap.was_touched());
}

#[tokio::test]
async fn redirects_that_lead_nowhere_are_refused() {
    let url = redirecting(302, "http://[/").await;
    assert_eq!(fails(get(&url)).await, EgressError::RedirectRefused(RedirectFault::InvalidLocation));
    let url = server(|mut stream| async move {
        let head = read_head(&mut stream).await;
        let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned();
        let head = format!("HTTP/1.1 302 Found\r\nLocation: http://user:pass@{host}/\r\nContent-Length: 0\r\n\r\n");
        let _ = stream.write_all(head.as_bytes()).await;
    })
    .await;
    assert_eq!(fails(get(&url)).await, EgressError::RedirectRefused(RedirectFault::InvalidLocation));
    let loops = redirecting(302, "/again").await;
    assert_eq!(fails(get(&loops)).await, EgressError::RedirectRefused(RedirectFault::TooMany));
}

#[tokio::test]
async fn redirects_within_the_origin_are_followed_with_the_same_headers() {
    let url = server(|mut stream| async move {
        let head = read_head(&mut stream).await;
        let bytes = match head.split(' ').nth(1) {
            Some("/a/old") => b"HTTP/1.1 301 Moved\r\nLocation: new?x=1\r\nContent-Length: 0\r\n\r\n".to_vec(),
            _ => answer("", head.as_bytes()),
        };
        let _ = stream.write_all(&bytes).await;
    })
    .await;
    let mut request = get(&url.join("/a/old").expect("url"));
    request.headers.insert(header::AUTHORIZATION, "Bearer t".parse().expect("value"));
    let response = local().send(request).await.expect("answer");
    assert_eq!(response.url, url.join("/a/new?x=1").expect("url"));
    let head = String::from_utf8(response.body.to_vec()).expect("text");
    assert!(head.contains("authorization: Bearer t\r\n"), "{head}");
}

#[tokio::test]
async fn a_redirect_that_may_not_be_followed_is_an_answer() {
    let url = redirecting(307, "/elsewhere").await;
    let never = Request { redirects: Redirects::Never, ..get(&url) };
    let post = Request { method: Method::POST, ..get(&url) };
    for request in [never, post] {
        assert_eq!(local().send(request).await.expect("answer").status, StatusCode::TEMPORARY_REDIRECT);
    }
}

// Bodies.

async fn encoded(coding: &str, body: &[u8]) -> Result<Bytes, EgressError> {
    let url = bytes_server(answer(&format!("Content-Encoding: {coding}\r\n"), body)).await;
    local().send(get(&url)).await.map(|response| {
        assert!(!response.headers.contains_key(header::CONTENT_ENCODING));
        response.body
    })
}

async fn compress<R: tokio::io::AsyncRead>(encoder: R) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::pin::pin!(encoder).read_to_end(&mut bytes).await.expect("compress");
    bytes
}

#[tokio::test]
async fn every_encoding_that_is_asked_for_is_inflated() {
    use async_compression::tokio::bufread::{BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
    let plain: &[u8] = &b"{\"id\":1}".repeat(10_000);
    let gzip = compress(GzipEncoder::new(plain)).await;
    for (coding, bytes) in [
        ("gzip", gzip.clone()),
        ("x-gzip", gzip.clone()),
        ("GZIP, identity", gzip.clone()),
        ("br", compress(BrotliEncoder::new(plain)).await),
        ("zstd", compress(ZstdEncoder::new(plain)).await),
        ("deflate", compress(ZlibEncoder::new(plain)).await),
        ("deflate", compress(DeflateEncoder::new(plain)).await),
        ("identity", plain.to_vec()),
    ] {
        if coding == "identity" {
            let url = bytes_server(answer("Content-Encoding: identity\r\n", &bytes)).await;
            assert_eq!(local().send(get(&url)).await.expect(coding).body, plain);
            continue;
        }
        assert_eq!(encoded(coding, &bytes).await.expect(coding), plain, "{coding}");
        let half = bytes.get(..bytes.len() / 2).expect("half");
        let error = encoded(coding, half).await.expect_err("half a body");
        assert!(matches!(error, EgressError::BrokenAnswer(_)), "{coding}: {error:?}");
    }
    let twice = [gzip.as_slice(), &gzip].concat();
    assert_eq!(encoded("gzip", &twice).await.expect("two members"), plain.repeat(2), "members are one body, RFC 1952");
}

#[tokio::test]
async fn a_wrong_or_unknown_encoding_is_a_broken_answer() {
    for coding in ["gzip", "br", "deflate", "zstd"] {
        let error = encoded(coding, b"{\"plain\":true}").await.expect_err(coding);
        assert!(matches!(error, EgressError::BrokenAnswer(_)), "{coding}: {error:?}");
    }
    for coding in ["compress", "gzip, gzip", "gzip, br", "aes128gcm"] {
        let error = encoded(coding, b"x").await.expect_err(coding);
        assert_eq!(error, EgressError::BrokenAnswer(BrokenAnswer::UnknownEncoding), "{coding}");
    }
}

#[tokio::test]
async fn an_encoded_answer_without_a_body_is_empty() {
    let url = bytes_server("HTTP/1.1 304 Not Modified\r\nContent-Encoding: gzip\r\nETag: \"1\"\r\n\r\n").await;
    let response = local().send(get(&url)).await.expect("answer");
    assert_eq!((response.status, response.body), (StatusCode::NOT_MODIFIED, Bytes::new()));
}

#[tokio::test]
async fn bombs_end_at_the_bound() {
    use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZstdEncoder};
    // Blocks repeat without end: ten GiB are nothing special. Brotli has no members, so its bomb is finite.
    let zeros: &[u8] = &vec![0; 64 * 1024 * 1024];
    let gzip = compress(GzipEncoder::new(zeros)).await;
    let url = endless_server("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", gzip).await;
    assert_eq!(fails(get(&url)).await, EgressError::TooLarge(Part::Body));
    let zstd = compress(ZstdEncoder::new(zeros)).await;
    let url = endless_server("HTTP/1.1 200 OK\r\nContent-Encoding: zstd\r\n\r\n", zstd).await;
    assert_eq!(fails(get(&url)).await, EgressError::TooLarge(Part::Body));
    let brotli = compress(BrotliEncoder::with_quality(zeros, async_compression::Level::Fastest)).await;
    assert_eq!(encoded("br", &brotli).await, Err(EgressError::TooLarge(Part::Body)));
    let url = endless_server("HTTP/1.1 200 OK\r\n\r\n", vec![b' '; 65536]).await;
    assert_eq!(fails(get(&url)).await, EgressError::TooLarge(Part::Body));
}

#[tokio::test]
async fn a_zstd_frame_that_wants_a_huge_window_is_refused() {
    use async_compression::tokio::bufread::ZstdEncoder;
    use async_compression::zstd::CParameter;
    let plain: &[u8] = b"small";
    let params = [CParameter::window_log(27)];
    let huge = compress(ZstdEncoder::with_quality_and_params(plain, async_compression::Level::Default, &params)).await;
    assert_eq!(encoded("zstd", &huge).await, Err(EgressError::BrokenAnswer(BrokenAnswer::Encoding)));
}

#[tokio::test]
async fn a_body_of_exactly_the_bound_passes() {
    use async_compression::tokio::bufread::GzipEncoder;
    let plain: &[u8] = &[b'a'; 1000];
    let gzip = compress(GzipEncoder::new(plain)).await;
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1f4\r\n".to_vec();
    let chunked = [&chunked, &plain[..500], b"\r\n1f4\r\n", &plain[500..], b"\r\n0\r\n\r\n"].concat();
    for bytes in [answer("", plain), chunked, answer("Content-Encoding: gzip\r\n", &gzip)] {
        let url = bytes_server(bytes).await;
        for (bound, passes) in [(1000, true), (999, false)] {
            let mut request = get(&url);
            request.limits.body = bound;
            let outcome = local().send(request).await.map(|response| response.body);
            assert_eq!(outcome.is_ok(), passes, "{bound}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_body_that_ends_early_is_a_broken_answer() {
    for bytes in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
    ] {
        let url = bytes_server(bytes).await;
        assert_eq!(fails(get(&url)).await, EgressError::BrokenAnswer(BrokenAnswer::Truncated), "{bytes}");
    }
}

// Answers to a callback: the status counts.

fn discarding(url: &Url) -> Request {
    let mut request = Request { method: Method::POST, redirects: Redirects::Never, ..get(url) };
    request.limits.overflow = Overflow::Discard;
    request.limits.body = 100;
    request
}

#[tokio::test]
async fn the_rest_of_a_discarded_body_is_not_read() {
    let url = endless_server("HTTP/1.1 202 Accepted\r\nContent-Length: 99999999999\r\n\r\n", vec![b'x'; 4096]).await;
    let response = local().send(discarding(&url)).await.expect("answer");
    assert_eq!((response.status, response.body), (StatusCode::ACCEPTED, Bytes::from_static(&[b'x'; 100])));
}

#[tokio::test]
async fn a_discarded_body_may_break_stall_or_lie() {
    let url = bytes_server("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort").await;
    assert_eq!(local().send(discarding(&url)).await.expect("answer").body, "short");
    let url = bytes_server(answer("Content-Encoding: gzip\r\n", b"plain")).await;
    assert_eq!(local().send(discarding(&url)).await.expect("answer").status, StatusCode::OK);
    let url = stalling_server("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nslow").await;
    let mut request = discarding(&url);
    request.limits.total = Duration::from_millis(200);
    assert_eq!(local().send(request).await.expect("answer").body, "slow");
}

// Heads.

#[tokio::test]
async fn heads_are_bounded() {
    let line = format!("X-Long: {}\r\n", "a".repeat(1024));
    let passes = bytes_server(answer(&line.repeat(60), b"ok")).await;
    assert!(local().send(get(&passes)).await.is_ok());
    for lines in [line.repeat(64), "A: b\r\n".repeat(1000), format!("X-Huge: {}\r\n", "a".repeat(1024 * 1024))] {
        let url = bytes_server(answer(&lines, b"ok")).await;
        assert_eq!(fails(get(&url)).await, EgressError::TooLarge(Part::Headers));
    }
    let url = endless_server("HTTP/1.1 200 OK\r\nX: ", vec![b'a'; 65536]).await;
    assert_eq!(fails(get(&url)).await, EgressError::TooLarge(Part::Headers));
}

#[tokio::test]
async fn what_is_not_http_is_a_broken_answer() {
    for bytes in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
    ] {
        let url = bytes_server(bytes).await;
        assert_eq!(fails(get(&url)).await, EgressError::BrokenAnswer(BrokenAnswer::Head), "{bytes}");
    }
}

#[tokio::test]
async fn interim_answers_without_end_are_cut_by_the_deadline() {
    let url = endless_server("", b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100)).await;
    let mut request = get(&url);
    request.limits.first_byte = Duration::from_millis(200);
    assert_eq!(fails(request).await, EgressError::Timeout(Phase::FirstByte));
}

// No answer.

#[tokio::test]
async fn silence_is_a_timeout_of_its_phase() {
    for (start, phase) in [
        ("", Phase::FirstByte),
        ("HTTP/1.1 200 OK\r\n", Phase::FirstByte),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", Phase::Body),
        ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\n\u{1f}", Phase::Body),
    ] {
        let url = stalling_server(start).await;
        let mut request = get(&url);
        request.limits.total = Duration::from_millis(300);
        request.limits.first_byte = Duration::from_millis(if phase == Phase::FirstByte { 100 } else { 60_000 });
        assert_eq!(fails(request).await, EgressError::Timeout(phase), "{start:?}");
    }
}

#[tokio::test]
async fn a_closed_port_refuses() {
    let trap = Trap::set();
    let url = Url::parse(&format!("http://127.0.0.1:{}/", trap.port())).expect("url");
    drop(trap);
    assert_eq!(fails(get(&url)).await, EgressError::Unreachable(Unreachable::Refused));
}

#[tokio::test]
async fn a_connection_closed_without_an_answer_is_unreachable() {
    for bytes in ["", "HTTP/1.1 200 OK\r\nX: 1"] {
        let url = bytes_server(bytes).await;
        assert_eq!(fails(get(&url)).await, EgressError::Unreachable(Unreachable::Closed), "{bytes:?}");
    }
}

#[tokio::test]
async fn a_name_that_cannot_exist_is_not_resolved() {
    // A label of more than 63 octets is refused before any server is asked, RFC 1035 §2.3.4.
    let url = Url::parse(&format!("http://{}.example/", "a".repeat(64))).expect("url");
    assert_eq!(fails(get(&url)).await, EgressError::Unreachable(Unreachable::Dns));
}

#[tokio::test]
async fn https_without_tls_behind_it_is_a_failed_handshake() {
    let mut url = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        // Closing with unread bytes would reset the connection before the answer is seen.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    url.set_scheme("https").expect("scheme");
    let error = fails(get(&url)).await;
    assert!(matches!(error, EgressError::Tls(TlsFault::Handshake)), "{error:?}");
}
