//! What hostile or broken providers answer.

use std::io::Write;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::http::{Answer, Body};

/// An HTML page with status 200, as login pages and proxies send.
pub fn html() -> Answer {
    let page = "<!doctype html><title>Sign in</title><form action=/login method=post></form>";
    Answer::status(200).header("Content-Type", "text/html").body(Body::Whole(page.into()))
}

/// Ten GiB of zeros behind `Content-Encoding: gzip`, made while they are sent.
pub fn gzip_bomb() -> Answer {
    const CHUNK: usize = 1024 * 1024;
    let mut left = 10 * 1024;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let chunks = std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        left -= 1;
        encoder.write_all(&vec![0; CHUNK]).expect("memory");
        encoder.flush().expect("memory");
        Some(std::mem::take(encoder.get_mut()))
    });
    gzip(Body::Stream(Box::new(chunks)))
}

/// A list of sixteen million zeros, as much as a body may have, in some 32 kB.
pub fn gzip_of_zeros() -> Answer {
    static PACKED: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let zeros = "0,".repeat(16 * 1024 * 1024 - 64);
        encoder.write_all(format!("{{\"records\":[{zeros}0]}}").as_bytes()).expect("memory");
        encoder.finish().expect("memory")
    });
    gzip(Body::Whole(PACKED.clone()))
}

/// A body that never ends.
pub fn endless() -> Answer {
    let chunks = std::iter::once(b"{\"records\":[".to_vec()).chain(std::iter::repeat_with(|| vec![b' '; 64 * 1024]));
    Answer::status(200).header("Content-Type", "application/json").body(Body::Stream(Box::new(chunks)))
}

/// Says that it is brotli, and is not.
pub fn mislabelled() -> Answer {
    Answer::json("{\"records\":[],\"next\":null}").header("Content-Encoding", "br")
}

/// Nested more deeply than any real record.
pub fn deep(depth: usize) -> Answer {
    Answer::json(format!("{{\"records\":[{{\"id\":\"1\",\"a\":{}{}}}],\"next\":null}}", "[".repeat(depth), "]".repeat(depth)))
}

/// One record of so many bytes.
pub fn large_record(bytes: usize) -> Answer {
    let stamp = "2026-01-01T00:00:00.000Z";
    let text = "x".repeat(bytes);
    Answer::json(format!(
        "{{\"records\":[{{\"id\":\"1\",\"created\":\"{stamp}\",\"modified\":\"{stamp}\",\"text\":\"{text}\"}}],\"next\":null}}"
    ))
}

/// One record with these members, and this link to the next page (JSON).
pub fn page(members: &str, next: &str) -> Answer {
    Answer::json(format!("{{\"records\":[{{{members}}}],\"next\":{next}}}"))
}

/// Everyday members of a record.
pub fn record(id: &str) -> String {
    format!("\"id\":\"{id}\",\"created\":\"2026-01-01T00:00:00.000Z\",\"modified\":\"2026-01-01T00:00:00.000Z\",\"version\":1")
}

fn gzip(body: Body) -> Answer {
    Answer::status(200).header("Content-Type", "application/json").header("Content-Encoding", "gzip").body(body)
}
