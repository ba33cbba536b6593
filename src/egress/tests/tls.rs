//! Certificates are verified.
//!
//! Authorities come from the environment, which a test must not change under the feet of others: each test here runs itself again
//! in a process of its own with `SSL_CERT_FILE` set.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::super::error::{Part, TlsFault, Unreachable};
use super::*;

/// Marks a process as the inner one; holds the folder of the certificates.
const INNER: &str = "POLLINATOR_TEST_CERTIFICATES";

/// Runs the test `name` of this file again with the authorities of `bundle`.
fn run_again(name: &str, folder: &Path, bundle: &Path) {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "--nocapture", &format!("egress::tests::tls::{name}")])
        .env(INNER, folder)
        .env("SSL_CERT_FILE", bundle)
        .env_remove("SSL_CERT_DIR")
        .output()
        .expect("run");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && shown.contains("1 passed"), "{shown}{}", String::from_utf8_lossy(&output.stderr));
}

struct Leaf {
    chain: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

/// An authority of this name with this key, and its certificate.
fn authority(name: &str, key: KeyPair) -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::new(Vec::new()).expect("params");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.self_signed(&key).expect("certificate");
    (Issuer::new(params, key), certificate.pem())
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("key")
}

fn leaf(issuer: &Issuer<'_, KeyPair>, name: &str, until: i32) -> Leaf {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("params");
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let key = new_key();
    let certificate = params.signed_by(&key, issuer).expect("certificate");
    Leaf { chain: certificate.der().clone(), key: PrivateKeyDer::try_from(key.serialize_der()).expect("key") }
}

fn acceptor(leaf: Leaf, protocol: &str) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.chain], leaf.key)
        .expect("certificate");
    config.alpn_protocols = vec![protocol.into()];
    TlsAcceptor::from(Arc::new(config))
}

/// A server that greets over TLS with HTTP/1.1.
async fn tls_server(leaf: Leaf) -> Url {
    let acceptor = acceptor(leaf, "http/1.1");
    let url = server(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(&answer("", b"hello")).await;
                let _ = stream.shutdown().await;
            }
        }
    })
    .await;
    over_tls(&url)
}

fn over_tls(url: &Url) -> Url {
    Url::parse(&format!("https://localhost:{}/", url.port().expect("port"))).expect("url")
}

/// A server that speaks HTTP/2 alone and names the version it was asked in; with `header` bytes in one header.
async fn http2_server(leaf: Leaf, header: usize) -> Url {
    let acceptor = acceptor(leaf, "h2");
    let url = server(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let greet = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let response =
                    http::Response::builder().header("x-long", "a".repeat(header)).body(format!("{:?}", request.version()));
                std::future::ready(response)
            });
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), greet)
                .await;
        }
    })
    .await;
    over_tls(&url)
}

/// The authority that this process trusts. `None` where a test is not such a process yet: it was run again as one, to its end.
fn trusted(test: &str) -> Option<Issuer<'static, KeyPair>> {
    let Some(folder) = std::env::var_os(INNER) else {
        let folder = tempfile::tempdir().expect("folder");
        let (issuer, pem) = authority("trusted", new_key());
        let bundle = folder.path().join("authorities.pem");
        std::fs::write(&bundle, pem).expect("bundle");
        std::fs::write(folder.path().join("key.pem"), issuer.key().serialize_pem()).expect("key");
        run_again(test, folder.path(), &bundle);
        return None;
    };
    let key = std::fs::read_to_string(Path::new(&folder).join("key.pem")).expect("key");
    Some(authority("trusted", KeyPair::from_pem(&key).expect("key")).0)
}

#[tokio::test]
async fn certificates_are_verified_against_the_authorities_of_the_machine() {
    let Some(trusted) = trusted("certificates_are_verified_against_the_authorities_of_the_machine") else { return };
    let (stranger, _) = authority("stranger", new_key());

    let url = tls_server(leaf(&trusted, "localhost", 2100)).await;
    assert_eq!(local().send(get(&url)).await.expect("a trusted certificate").body, "hello");
    let url = http2_server(leaf(&trusted, "localhost", 2100), 1024).await;
    assert_eq!(local().send(get(&url)).await.expect("an answer over HTTP/2").body, "HTTP/2.0");
    let url = http2_server(leaf(&trusted, "localhost", 2100), 65 * 1024).await;
    assert_eq!(fails(get(&url)).await, EgressError::TooLarge(Part::Headers));
    for (bad, fault) in [
        (leaf(&stranger, "localhost", 2100), TlsFault::Untrusted),
        (leaf(&trusted, "localhost", 2001), TlsFault::Expired),
        (leaf(&trusted, "elsewhere.example", 2100), TlsFault::WrongName),
    ] {
        let url = tls_server(bad).await;
        assert_eq!(fails(get(&url)).await, EgressError::Tls(fault));
    }
}

#[tokio::test]
async fn without_authorities_http_works_and_https_says_why_not() {
    let Some(_) = std::env::var_os(INNER) else {
        let folder = tempfile::tempdir().expect("folder");
        let bundle = folder.path().join("empty.pem");
        std::fs::write(&bundle, "").expect("bundle");
        run_again("without_authorities_http_works_and_https_says_why_not", folder.path(), &bundle);
        return;
    };
    let (stranger, _) = authority("stranger", new_key());
    let url = tls_server(leaf(&stranger, "localhost", 2100)).await;
    assert_eq!(fails(get(&url)).await, EgressError::Tls(TlsFault::NoTrustRoots));
    let url = bytes_server(answer("", b"ok")).await;
    assert_eq!(local().send(get(&url)).await.expect("plain http").body, "ok");
}

/// What a server of HTTP/2 does to a request instead of answering it.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    /// The connection ends, and the request was not looked at: `GOAWAY` without an error.
    GoneBefore,
    /// The connection ends because of a fault, perhaps after the request took effect.
    GoneAfter,
    /// The request was not looked at: `REFUSED_STREAM`.
    Refused,
    /// The request failed, perhaps after it took effect: `INTERNAL_ERROR`.
    Reset,
}

/// The type of frames that begin a request, RFC 9113 §6.2.
const HEADERS: u8 = 1;

/// A frame of HTTP/2, RFC 9113 §4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame");
    [&length.to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A server that refuses `requests` requests, and answers the others.
async fn refusing_server(leaf: Leaf, refusal: Refusal, requests: usize) -> Url {
    let acceptor = acceptor(leaf, "h2");
    let left = Arc::new(AtomicUsize::new(requests));
    let url = server(move |stream| {
        let (acceptor, left) = (acceptor.clone(), Arc::clone(&left));
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            // settings; and those of the client, after its preface, are fine
            let _ = stream.write_all(&[frame(4, 0, 0, &[]), frame(4, 1, 0, &[])].concat()).await;
            let _ = stream.read_exact(&mut [0; 24]).await;
            let mut head = [0; 9];
            while stream.read_exact(&mut head).await.is_ok() {
                let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                if stream.read_exact(&mut vec![0; length]).await.is_err() {
                    return;
                }
                if head[3] != HEADERS {
                    continue;
                }
                let code = |code: u32| code.to_be_bytes();
                let refused = left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
                let answer = match refusal {
                    // the one entry says `:status: 200`
                    _ if !refused => [frame(HEADERS, 4, id, &[0x88]), frame(0, 1, id, b"ok")].concat(),
                    Refusal::GoneBefore => frame(7, 0, 0, &[code(0), code(0)].concat()),
                    Refusal::GoneAfter => frame(7, 0, 0, &[id.to_be_bytes(), code(2)].concat()),
                    Refusal::Refused => frame(3, 0, id, &code(7)),
                    Refusal::Reset => frame(3, 0, id, &code(2)),
                };
                let _ = stream.write_all(&answer).await;
                if refused && matches!(refusal, Refusal::GoneBefore | Refusal::GoneAfter) {
                    let _ = stream.shutdown().await;
                    return;
                }
            }
        }
    })
    .await;
    over_tls(&url)
}

#[tokio::test]
async fn requests_that_http2_refuses_are_sent_again_or_are_a_failure_of_their_own() {
    let Some(trusted) = trusted("requests_that_http2_refuses_are_sent_again_or_are_a_failure_of_their_own") else { return };
    let closed = Err(EgressError::Unreachable(Unreachable::Closed));
    for (refusal, was_looked_at) in
        [(Refusal::GoneBefore, false), (Refusal::Refused, false), (Refusal::GoneAfter, true), (Refusal::Reset, true)]
    {
        // a POST that may have taken effect is for its caller to repeat, with the same id
        let posted = if was_looked_at { closed.clone() } else { Ok("ok".into()) };
        for (method, refused, expected) in
            [(Method::GET, 1, Ok("ok".into())), (Method::GET, 100, closed.clone()), (Method::POST, 1, posted)]
        {
            let url = refusing_server(leaf(&trusted, "localhost", 2100), refusal, refused).await;
            let egress = local();
            let request = Request { method: method.clone(), ..get(&url) };
            let outcome = egress.send(request.clone()).await.map(|response| response.body);
            assert_eq!(outcome, expected, "{refusal:?} {method} {refused}");
            if refused == 1 {
                assert_eq!(egress.send(request).await.map(|response| response.body), Ok("ok".into()), "{refusal:?} {method}");
            }
        }
    }
    // TLS 1.0: the alert `protocol_version` (RFC 8446 §6)
    let old = server(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(&[0x15, 3, 1, 0, 2, 2, 70]).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    assert_eq!(fails(get(&over_tls(&old))).await, EgressError::Tls(TlsFault::Handshake));
}
