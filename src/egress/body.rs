//! Bodies: inflated while they arrive and counted after inflating, so that a bomb costs no more memory than the bound.

use std::io;
use std::pin::pin;

use async_compression::tokio::bufread::{BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder};
use bytes::{BufMut, Bytes, BytesMut};
use futures::TryStreamExt;
use http::{HeaderMap, header};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt};
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
/// What a body whose length is not announced reserves first; then twice as much each time.
const FIRST: usize = 64 * 1024;

/// Where a body goes: how large it may be, until when it must have come, and whose memory it takes.
pub(super) struct Room<'s> {
    /// Bytes after inflating.
    pub(super) bound: usize,
    /// The time for which the body waited for memory does not count.
    pub(super) deadline: Instant,
    /// None: nobody counts it, for it is small.
    pub(super) share: Option<&'s mut Share>,
    /// What the share holds.
    pub(super) reserved: usize,
}

impl Room<'_> {
    /// Waits until there is memory for so many bytes.
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
        }
    }

    /// Waits for more of the body, until the deadline.
    async fn within<T>(&self, more: impl Future<Output = T>) -> Result<T, EgressError> {
        timeout_at(self.deadline, more).await.map_err(|_| EgressError::Timeout(Phase::Body))
    }
}

/// One content coding of RFC 9110 §8.4.1 or RFC 7932.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Brotli,
    Deflate,
}

impl Coding {
    /// The one coding that the headers name, or `None`.
    ///
    /// Errors: [`BrokenAnswer::UnknownEncoding`] for any other, and for codings on top of each other, which were not asked for and
    /// multiply what a bomb can do.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, EgressError> {
        let unknown = || EgressError::BrokenAnswer(BrokenAnswer::UnknownEncoding);
        let mut found = None;
        for value in headers.get_all(header::CONTENT_ENCODING) {
            for name in value.to_str().map_err(|_| unknown())?.split(',') {
                let coding = match name.trim().to_ascii_lowercase().as_str() {
                    "" | "identity" => continue,
                    "gzip" | "x-gzip" => Self::Gzip,
                    "br" => Self::Brotli,
                    "deflate" => Self::Deflate,
                    _ => return Err(unknown()),
                };
                if found.replace(coding).is_some() {
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
        Some(coding) => Box::pin(read_coded(response, coding, room)).await,
    }
}

async fn read_coded(response: reqwest::Response, coding: Coding, mut room: Room<'_>) -> Result<Bytes, EgressError> {
    room.reserve(FIRST).await;
    let mut reader = pin!(StreamReader::new(response.bytes_stream().map_err(io::Error::other)));
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

async fn inflate(reader: impl AsyncBufRead + Unpin, coding: Coding, first: u8, room: Room<'_>) -> Result<Bytes, EgressError> {
    match coding {
        Coding::Gzip => {
            let mut decoder = GzipDecoder::new(reader);
            decoder.multiple_members(true);
            read_counted(decoder, room).await
        }
        Coding::Brotli => read_counted(BrotliDecoder::new(reader), room).await,
        // RFC 9110 means zlib (RFC 1950, whose first byte ends in 8); many servers send bare deflate (RFC 1951).
        Coding::Deflate if first & 0x0f == 8 => read_counted(ZlibDecoder::new(reader), room).await,
        Coding::Deflate => read_counted(DeflateDecoder::new(reader), room).await,
    }
}

async fn read_counted(mut decoder: impl AsyncRead + Unpin, mut room: Room<'_>) -> Result<Bytes, EgressError> {
    let mut kept = BytesMut::new();
    loop {
        // One byte more than the bound tells a body of exactly the bound from a larger one.
        let left = room.bound + 1 - kept.len();
        room.reserve((kept.len() + left.min(STEP)).min(room.bound)).await;
        kept.reserve(left.min(STEP));
        let mut free = (&mut kept).limit(left.min(STEP));
        let read = room.within(decoder.read_buf(&mut free)).await?.map_err(|error| broken(&error))?;
        if read == 0 {
            return Ok(kept.freeze());
        }
        if kept.len() > room.bound {
            return Err(EgressError::TooLarge(Part::Body));
        }
        // A bomb inflates for long without waiting for the network.
        tokio::task::coop::consume_budget().await;
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
