//! Bodies: inflated while they arrive and counted after inflating, so that a bomb costs no more memory than the bound.

use std::io;
use std::pin::pin;

use async_compression::tokio::bufread::{BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder};
use bytes::{BufMut, Bytes, BytesMut};
use futures::TryStreamExt;
use http::{HeaderMap, header};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt};
use tokio_util::io::StreamReader;

use super::error::{BrokenAnswer, EgressError, Part};

/// What is asked for, and no more is understood.
///
/// Every server that compresses has one of these, and none sends what is not in the list (RFC 9110 §12.5.3). zstd is not in it: its
/// decoder is a large C library, and allocates a window whose size the server chooses.
pub(super) const ACCEPT_ENCODING: &str = "gzip, br, deflate";

/// Room for one read of an inflated body.
const STEP: usize = 16 * 1024;

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

/// Reads and inflates a body of at most `bound` bytes.
///
/// Errors: [`EgressError::TooLarge`] above the bound, [`EgressError::BrokenAnswer`] if it ends early or cannot be inflated.
pub(super) async fn read(response: reqwest::Response, coding: Option<Coding>, bound: usize) -> Result<Bytes, EgressError> {
    match coding {
        None => read_plain(response, bound).await,
        // Decoders are large: unboxed, every request would carry the room for one.
        Some(coding) => Box::pin(read_coded(response, coding, bound)).await,
    }
}

async fn read_coded(response: reqwest::Response, coding: Coding, bound: usize) -> Result<Bytes, EgressError> {
    let mut reader = pin!(StreamReader::new(response.bytes_stream().map_err(io::Error::other)));
    let first = match reader.fill_buf().await.map_err(|error| broken(&error))? {
        // A 204 or 304 may name the coding of the body that it does not have.
        [] => return Ok(Bytes::new()),
        [first, ..] => *first,
    };
    inflate(reader, coding, first, bound).await
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

async fn read_plain(mut response: reqwest::Response, bound: usize) -> Result<Bytes, EgressError> {
    let announced = response.content_length().unwrap_or(0);
    if announced > bound as u64 {
        return Err(EgressError::TooLarge(Part::Body));
    }
    let mut first = Bytes::new();
    let mut kept = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| EgressError::BrokenAnswer(BrokenAnswer::Truncated))? {
        if first.len() + kept.len() + chunk.len() > bound {
            return Err(EgressError::TooLarge(Part::Body));
        }
        if first.is_empty() && kept.is_empty() {
            first = chunk;
            continue;
        }
        if kept.is_empty() {
            kept.extend_from_slice(&std::mem::take(&mut first));
        }
        kept.extend_from_slice(&chunk);
    }
    Ok(if kept.is_empty() { first } else { kept.freeze() })
}

async fn inflate(reader: impl AsyncBufRead + Unpin, coding: Coding, first: u8, bound: usize) -> Result<Bytes, EgressError> {
    match coding {
        Coding::Gzip => {
            let mut decoder = GzipDecoder::new(reader);
            decoder.multiple_members(true);
            read_counted(decoder, bound).await
        }
        Coding::Brotli => read_counted(BrotliDecoder::new(reader), bound).await,
        // RFC 9110 means zlib (RFC 1950, whose first byte ends in 8); many servers send bare deflate (RFC 1951).
        Coding::Deflate if first & 0x0f == 8 => read_counted(ZlibDecoder::new(reader), bound).await,
        Coding::Deflate => read_counted(DeflateDecoder::new(reader), bound).await,
    }
}

async fn read_counted(mut decoder: impl AsyncRead + Unpin, bound: usize) -> Result<Bytes, EgressError> {
    let mut kept = BytesMut::new();
    loop {
        // One byte more than the bound tells a body of exactly the bound from a larger one.
        let room = bound + 1 - kept.len();
        kept.reserve(room.min(STEP));
        let read = decoder.read_buf(&mut (&mut kept).limit(room)).await.map_err(|error| broken(&error))?;
        if read == 0 {
            return Ok(kept.freeze());
        }
        if kept.len() > bound {
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
