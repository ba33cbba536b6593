//! Bodies: inflated while they arrive and counted after inflating, so that a bomb costs no more memory than the bound.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_compression::tokio::bufread::{BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder};
use bytes::{BufMut, Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};
use http::{HeaderMap, header};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::time::{Instant, timeout_at};
use tokio_util::io::StreamReader;

use super::byte_budget::Share;
use super::error::{BrokenAnswer, EgressError, Part, Phase};

/// What is asked for, and no more is understood.
///
/// Every server that compresses has one of these, and none sends what is not in the list (RFC 9110 §12.5.3). zstd is not in it: its
/// decoder is a large C library, and allocates a window whose size the server chooses.
pub(super) const ACCEPT_ENCODING: &str = "gzip, br, deflate";

/// Room for one read of an inflated body.
const STEP: usize = 16 * 1024;
/// Bytes that are inflated before other tasks have their turn: in less than a millisecond.
const PIECE: usize = 256 * 1024;
/// Bytes a second, before inflating, with which a body may arrive on average. A modem of 1990 had twice as many.
const LEAST_RATE: usize = 512;
/// Up to this many bytes a body may inflate at any ratio.
const UNSUSPICIOUS: usize = 8 * 1024 * 1024;
/// Above it, a body may be this many times as large as what was sent. Lists of records come to 10 to 50; gzip of one byte that repeats to
/// 1,000.
const MAX_RATIO: usize = 100;
/// What a body whose length is not announced reserves first; then twice as much each time.
const FIRST: usize = 64 * 1024;
/// The first byte of every gzip file (RFC 1952 §2.3.1), with which no text begins.
const GZIP: u8 = 0x1f;
/// Names of codings that servers may use and that are not understood here: those that are registered (RFC 9110 §16.6.1) and some that are
/// not. Any other name is none of a coding: servers write charsets there, or `none`, or how a file is stored.
const NOT_UNDERSTOOD: [&str; 14] = [
    "compress",
    "x-compress",
    "zstd",
    "dcb",
    "dcz",
    "exi",
    "aes128gcm",
    "pack200-gzip",
    "bzip2",
    "x-bzip2",
    "lzma",
    "xz",
    "sdch",
    "lz4",
];

/// Where a body goes: how large it may be, until when it must have come, and whose memory it takes.
pub(super) struct Room<'s> {
    /// Bytes after inflating.
    pub(super) bound: usize,
    /// The time for which the body waited for memory does not count.
    pub(super) deadline: Instant,
    /// None: it is not counted, for it is small.
    pub(super) share: Option<&'s mut Share>,
    /// What the share holds.
    pub(super) reserved: usize,
    /// When the body began; the time for which it waited for memory does not count here, either.
    pub(super) began: Instant,
    /// How long it may be too slow: servers may send the head and only then begin to think.
    pub(super) grace: Duration,
    /// Bytes that have arrived, before inflating.
    pub(super) arrived: &'s AtomicUsize,
}

impl Room<'_> {
    /// Waits until there is memory for `bytes`.
    async fn reserve(&mut self, bytes: usize) {
        if bytes <= self.reserved {
            return;
        }
        let more = bytes.max(self.reserved * 2).max(FIRST).min(self.bound);
        self.reserve_exactly(more).await;
    }

    async fn reserve_exactly(&mut self, bytes: usize) {
        self.reserved = bytes;
        if let Some(share) = &mut self.share {
            let started = Instant::now();
            share.grow(bytes).await;
            self.deadline += started.elapsed();
            self.began += started.elapsed();
        }
    }

    /// Waits for more of the body, until the deadline, or until too little has come for too long.
    async fn within<T>(&self, more: impl Future<Output = T>) -> Result<T, EgressError> {
        let mut more = pin!(more);
        loop {
            let until = self.deadline.min(self.began + self.enough());
            if let Ok(more) = timeout_at(until, more.as_mut()).await {
                return Ok(more);
            }
            if until == self.deadline {
                return Err(EgressError::Timeout(Phase::Body));
            }
            // A decoder may have taken in bytes from which nothing has come yet.
            if until >= self.began + self.enough() {
                return Err(EgressError::Timeout(Phase::SlowBody));
            }
        }
    }

    /// How long the body may take until more than what has arrived must be there.
    fn enough(&self) -> Duration {
        enough_for(self.arrived.load(Ordering::Relaxed)).max(self.grace)
    }

    fn note(&self, bytes: usize) {
        self.arrived.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// How long this number of bytes may take to arrive.
fn enough_for(arrived: usize) -> Duration {
    Duration::from_secs((arrived / LEAST_RATE) as u64)
}

/// Whether `inflated` bytes that came from `arrived` bytes are a bomb.
fn is_bomb(inflated: usize, arrived: usize) -> bool {
    inflated > UNSUSPICIOUS && inflated > arrived.saturating_mul(MAX_RATIO)
}

/// One content coding of RFC 9110 §8.4.1 or RFC 7932.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Brotli,
    Deflate,
}

impl Coding {
    /// The one coding that the headers name, or `None`. A coding that is named twice is often there once, for the second name comes from a
    /// proxy; whether it is, the body shows.
    ///
    /// Errors: [`BrokenAnswer::UnknownEncoding`] for any other, and for different codings on top of each other, which were not asked for and
    /// multiply what a bomb can do.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, EgressError> {
        let unknown = || EgressError::BrokenAnswer(BrokenAnswer::UnknownEncoding);
        let mut found = None;
        for value in headers.get_all(header::CONTENT_ENCODING) {
            for name in value.to_str().map_err(|_| unknown())?.split(',') {
                let coding = match name.trim().to_ascii_lowercase().as_str() {
                    "gzip" | "x-gzip" => Self::Gzip,
                    "br" => Self::Brotli,
                    "deflate" => Self::Deflate,
                    name if NOT_UNDERSTOOD.contains(&name) => return Err(unknown()),
                    _ => continue,
                };
                if found.replace(coding).is_some_and(|before| before != coding) {
                    return Err(unknown());
                }
            }
        }
        Ok(found)
    }
}

/// Reads and inflates a body.
///
/// Errors: [`EgressError::TooLarge`] above the bound, [`EgressError::BrokenAnswer`] if it ends early or cannot be inflated,
/// [`EgressError::Timeout`] after the deadline.
pub(super) async fn read(response: reqwest::Response, coding: Option<Coding>, room: Room<'_>) -> Result<Bytes, EgressError> {
    match coding {
        None => read_plain(response, room).await,
        // Decoders are large: unboxed, every request would carry the room for one.
        Some(coding) => Box::pin(read_coded(Bytes::new(), response, coding, room)).await,
    }
}

/// The same of a body of which `begun` was read already, and noted.
async fn read_coded(
    begun: Bytes,
    response: reqwest::Response,
    coding: Coding,
    mut room: Room<'_>,
) -> Result<Bytes, EgressError> {
    room.reserve(FIRST).await;
    let arrived = room.arrived;
    let noted = move |chunk: &Bytes| _ = arrived.fetch_add(chunk.len(), Ordering::Relaxed);
    let chunks = response.bytes_stream().map_err(io::Error::other).inspect_ok(noted);
    let begun = futures::stream::iter((!begun.is_empty()).then_some(Ok(begun)));
    let chunks = begun.chain(chunks);
    let mut reader = pin!(StreamReader::new(chunks));
    let first = match room.within(reader.fill_buf()).await?.map_err(|error| broken(&error))? {
        // A 204 or 304 may name the coding of the body that it does not have.
        [] => return Ok(Bytes::new()),
        [first, ..] => *first,
    };
    inflate(reader, coding, first, room).await
}

/// Reads a body until the bound, the end or a failure, whichever comes first; nothing is inflated.
pub(super) async fn read_some(mut response: reqwest::Response, bound: usize, kept: &mut BytesMut) {
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = bound - kept.len();
        if chunk.len() >= room {
            kept.extend_from_slice(chunk.get(..room).unwrap_or_default());
            return;
        }
        kept.extend_from_slice(&chunk);
    }
}

async fn read_plain(mut response: reqwest::Response, mut room: Room<'_>) -> Result<Bytes, EgressError> {
    let too_large = || EgressError::TooLarge(Part::Body);
    // Where no length is announced, as with a body in chunks, memory is reserved as it grows.
    match response.content_length().map(usize::try_from) {
        None => room.reserve(FIRST).await,
        Some(Ok(announced)) if announced <= room.bound => room.reserve_exactly(announced).await,
        Some(_) => return Err(too_large()),
    }
    let mut first = Bytes::new();
    let mut kept = BytesMut::new();
    loop {
        let chunk = room.within(response.chunk()).await?.map_err(|_| EgressError::BrokenAnswer(BrokenAnswer::Truncated))?;
        let Some(chunk) = chunk else { break };
        room.note(chunk.len());
        if first.is_empty() && kept.is_empty() && chunk.first() == Some(&GZIP) {
            // A file that was stored compressed, sent by a server that does not know.
            return Box::pin(read_coded(chunk, response, Coding::Gzip, room)).await;
        }
        let len = first.len() + kept.len() + chunk.len();
        if len > room.bound {
            return Err(too_large());
        }
        room.reserve(len).await;
        if first.is_empty() && kept.is_empty() {
            first = chunk;
            continue;
        }
        // All that is reserved at once: each further growth would copy the body.
        kept.reserve(room.reserved - kept.len());
        if kept.is_empty() {
            kept.extend_from_slice(&std::mem::take(&mut first));
        }
        kept.extend_from_slice(&chunk);
    }
    Ok(if kept.is_empty() { first } else { kept.freeze() })
}

async fn inflate(
    reader: impl AsyncBufRead + Send + Unpin,
    coding: Coding,
    first: u8,
    room: Room<'_>,
) -> Result<Bytes, EgressError> {
    match coding {
        Coding::Gzip if first == GZIP => read_counted(&mut gunzip(reader), Layer::Outer, room).await,
        // The header says what a proxy has undone, or what the server did not do.
        Coding::Gzip => read_counted(&mut { reader }, Layer::Outer, room).await,
        Coding::Brotli => read_counted(&mut BrotliDecoder::new(reader), Layer::Outer, room).await,
        // RFC 9110 means zlib (RFC 1950, whose first byte ends in 8); many servers send bare deflate (RFC 1951).
        Coding::Deflate if first & 0x0f == 8 => read_counted(&mut ZlibDecoder::new(reader), Layer::Outer, room).await,
        Coding::Deflate => read_counted(&mut DeflateDecoder::new(reader), Layer::Outer, room).await,
    }
}

fn gunzip<R: AsyncBufRead>(reader: R) -> GzipDecoder<R> {
    let mut decoder = GzipDecoder::new(reader);
    decoder.multiple_members(true);
    decoder
}

/// What a decoder reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    /// The body as it came.
    Outer,
    /// What another decoder makes of it.
    Inner,
}

/// Reads what a decoder makes of a body. That may be gzip again: of a file that was stored compressed, and compressed once more on the way.
/// There is no third time, and what lies between is bounded as the body is, for a bomb inside a bomb inflates to more than either.
async fn read_counted(
    decoder: &mut (dyn AsyncRead + Send + Unpin),
    layer: Layer,
    mut room: Room<'_>,
) -> Result<Bytes, EgressError> {
    let mut kept = BytesMut::new();
    let mut pause_at = PIECE;
    loop {
        // One byte more than the bound distinguishes a body of exactly the bound from a larger one.
        let left = room.bound + 1 - kept.len();
        room.reserve((kept.len() + left.min(STEP)).min(room.bound)).await;
        kept.reserve(left.min(STEP));
        let mut free = (&mut kept).limit(left.min(STEP));
        let read = room.within(decoder.read_buf(&mut free)).await?.map_err(|error| broken(&error))?;
        if read == 0 {
            return Ok(kept.freeze());
        }
        if layer == Layer::Outer && kept.len() == read && kept.first() == Some(&GZIP) {
            let between = AsyncReadExt::chain(io::Cursor::new(kept.freeze()), decoder).take(room.bound as u64);
            let mut again = gunzip(BufReader::with_capacity(STEP, between));
            return Box::pin(read_counted(&mut again, Layer::Inner, room)).await;
        }
        if kept.len() > room.bound {
            return Err(EgressError::TooLarge(Part::Body));
        }
        if is_bomb(kept.len(), room.arrived.load(Ordering::Relaxed)) {
            return Err(EgressError::TooLarge(Part::Inflated));
        }
        // A bomb inflates for long without waiting for the network.
        if kept.len() >= pause_at {
            pause_at = kept.len() + PIECE;
            tokio::task::yield_now().await;
        }
    }
}

fn broken(error: &io::Error) -> EgressError {
    let network = error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<reqwest::Error>);
    EgressError::BrokenAnswer(if network || error.kind() == io::ErrorKind::UnexpectedEof {
        BrokenAnswer::Truncated
    } else {
        BrokenAnswer::Encoding
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kibibyte_a_second_is_enough_and_some_bytes_are_not() {
        let is_enough = |rate: usize, second: u64| {
            let arrived = rate * usize::try_from(second).unwrap();
            Duration::from_secs(second) < enough_for(arrived)
        };
        assert!((2..10_000).all(|second| is_enough(1_024, second)));
        for rate in [0, 1, 100, 500] {
            assert!((1..10_000).all(|second| !is_enough(rate, second)), "{rate} bytes a second");
        }
    }

    #[test]
    fn a_bomb_is_large_and_came_from_little() {
        assert!(!is_bomb(UNSUSPICIOUS, 10), "small");
        assert!(!is_bomb(32 * 1024 * 1024, 400 * 1024), "as well as lists are ever packed");
        assert!(is_bomb(32 * 1024 * 1024, 32 * 1024));
    }
}
