//! Bodies are inflated and bounded.

use super::super::error::{BrokenAnswer, Part};
use super::*;

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
    use async_compression::tokio::bufread::{BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder};
    let plain: &[u8] = &b"{\"id\":1}".repeat(10_000);
    let gzip = compress(GzipEncoder::new(plain)).await;
    for (coding, bytes) in [
        ("gzip", gzip.clone()),
        ("x-gzip", gzip.clone()),
        ("GZIP, identity", gzip.clone()),
        ("br", compress(BrotliEncoder::new(plain)).await),
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
    for coding in ["br", "deflate"] {
        let error = encoded(coding, b"{\"plain\":true}").await.expect_err(coding);
        assert!(matches!(error, EgressError::BrokenAnswer(_)), "{coding}: {error:?}");
    }
    for coding in ["compress", "gzip, br", "deflate, gzip", "aes128gcm", "zstd", "gzip, zstd"] {
        let error = encoded(coding, b"x").await.expect_err(coding);
        assert_eq!(error, EgressError::BrokenAnswer(BrokenAnswer::UnknownEncoding), "{coding}");
    }
}

#[tokio::test]
async fn a_header_that_names_no_coding_or_one_that_is_not_there_is_not_believed() {
    use async_compression::tokio::bufread::GzipEncoder;
    let plain: &[u8] = b"{\"plain\":true}";
    for name in ["utf-8", "UTF8", "none", "binary", "8bit", "aws-chunked", "identity, utf-8", "json", ""] {
        let url = bytes_server(answer(&format!("Content-Encoding: {name}\r\n"), plain)).await;
        assert_eq!(local().send(get(&url)).await.expect(name).body, plain, "{name}");
    }
    let once = compress(GzipEncoder::new(plain)).await;
    let twice = compress(GzipEncoder::new(&*once)).await;
    for body in [plain, &once, &twice] {
        for name in ["gzip", "gzip, gzip", "x-gzip, utf-8"] {
            assert_eq!(encoded(name, body).await.expect(name), plain, "{name}: {} bytes", body.len());
        }
    }
    for body in [&once, &twice] {
        let url = bytes_server(answer("", body)).await;
        assert_eq!(local().send(get(&url)).await.expect("gzip that is not declared").body, plain);
    }
    let thrice = compress(GzipEncoder::new(&*twice)).await;
    assert_eq!(encoded("gzip", &thrice).await.expect("two layers are enough"), once);
}

#[tokio::test]
async fn a_bomb_inside_a_bomb_ends_as_soon_as_one_of_them_exceeds_the_bound() {
    use async_compression::tokio::bufread::GzipEncoder;
    // Members without content, a thousand to a line of the outer one: what lies between is large, and nothing comes of it.
    let nothing = compress(GzipEncoder::new(&b""[..])).await;
    let outer = compress(GzipEncoder::new(&*nothing.repeat(200_000))).await;
    let started = outer.len();
    let error = encoded("gzip", &outer).await.expect_err("more lies between than the bound allows");
    assert!(matches!(error, EgressError::BrokenAnswer(_)), "{started} bytes: {error:?}");
}

#[tokio::test]
async fn an_encoded_answer_without_a_body_is_empty() {
    let url = bytes_server("HTTP/1.1 304 Not Modified\r\nContent-Encoding: gzip\r\nETag: \"1\"\r\n\r\n").await;
    let response = local().send(get(&url)).await.expect("answer");
    assert_eq!((response.status, response.body), (StatusCode::NOT_MODIFIED, Bytes::new()));
}

#[tokio::test]
async fn bombs_end_at_the_bound() {
    use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder};
    // Blocks repeat without end: ten GiB are nothing special. Brotli has no members, so its bomb is finite.
    let zeros: &[u8] = &vec![0; 8 * 1024 * 1024];
    let gzip = compress(GzipEncoder::new(zeros)).await;
    let url = endless_server("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", gzip).await;
    assert_eq!(fails(get(&url)).await, EgressError::TooLarge(Part::Body));
    let brotli = compress(BrotliEncoder::with_quality(zeros, async_compression::Level::Fastest)).await;
    assert_eq!(encoded("br", &brotli).await, Err(EgressError::TooLarge(Part::Body)));
    let url = endless_server("HTTP/1.1 200 OK\r\n\r\n", vec![b' '; 65536]).await;
    assert_eq!(fails(get(&url)).await, EgressError::TooLarge(Part::Body));
}

#[tokio::test]
async fn a_body_that_came_from_next_to_nothing_is_refused_below_the_bound() {
    use async_compression::tokio::bufread::GzipEncoder;
    let sent = async |plain: &[u8]| {
        let gzip = compress(GzipEncoder::new(plain)).await;
        let url = bytes_server(answer("Content-Encoding: gzip\r\n", &gzip)).await;
        let mut request = get(&url);
        request.limits.body = 32 * 1024 * 1024;
        local().send(request).await.map(|response| response.body.len())
    };
    let size = 12 * 1024 * 1024;
    assert_eq!(sent(&vec![b'0'; size]).await, Err(EgressError::TooLarge(Part::Inflated)));
    assert_eq!(sent(&vec![b'0'; 8 * 1024 * 1024]).await, Ok(8 * 1024 * 1024), "small enough to be anything");
    let records = (0..size / 24).flat_map(|id| format!("{{\"id\":\"{id:08}\",\"a\":0}},").into_bytes());
    assert!(sent(&records.collect::<Vec<_>>()).await.is_ok(), "a list of records as alike as they come");
}

#[tokio::test]
async fn zstd_that_was_not_asked_for_is_refused_with_what_is_accepted() {
    // RFC 8878: magic number, a single segment of five bytes, one last raw block
    let frame = [b"\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00".as_slice(), b"small"].concat();
    let error = encoded("zstd", &frame).await.expect_err("not asked for");
    assert_eq!(error, EgressError::BrokenAnswer(BrokenAnswer::UnknownEncoding));
    assert_eq!(
        error.into_problem(Peer::Provider).message,
        "baseUrl: Content-Encoding is not one of gzip, br and deflate, which the request accepts; check the provider and any proxy in \
         between; retrying with back-off"
    );
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
    let answer = within([Duration::from_millis(200), Duration::from_mins(1)], async |total| {
        let mut request = discarding(&url);
        request.limits.total = total;
        local().send(request).await
    });
    assert_eq!(answer.await.expect("answer").body, "slow");
}
