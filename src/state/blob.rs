//! Blobs: what is too large for the head of a state is kept in pieces, each with its form, its generation and a checksum. Pure.
//!
//! [`BlobStore`] says what a place for them can do. A piece that is written is durable before anything names it, so a crash costs the
//! piece and nothing else.

use std::future::Future;

use xxhash_rust::xxh3::Xxh3;

/// What a framed blob begins with.
const MAGIC: [u8; 8] = *b"PLLNBLOB";
/// Bytes before the content: magic, form, generation, checksum.
const HEADER: usize = 32;

/// A place for blobs.
pub trait BlobStore: Sync {
    /// Why it does not do what it is asked for.
    type Error: Send;

    /// Reads a blob; `None` when there is none of the name.
    fn get(&self, name: &str) -> impl Future<Output = Result<Option<Blob>, Self::Error>> + Send;

    /// Writes a blob durably over the one that was `seen`; with `None`, where none is.
    fn put(
        &self,
        name: &str,
        bytes: &[u8],
        seen: Option<&Tag>,
    ) -> impl Future<Output = Result<Tag, PutError<Self::Error>>> + Send;

    /// Writes several that are new; after an error some of them may be there.
    fn put_new(&self, blobs: &[(String, Vec<u8>)]) -> impl Future<Output = Result<(), PutError<Self::Error>>> + Send {
        async move {
            for (name, bytes) in blobs {
                self.put(name, bytes, None).await?;
            }
            Ok(())
        }
    }

    /// Deletes a blob, which need not be there.
    fn delete(&self, name: &str) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// A place that knows what is there. An API server does, too, but is not asked: that would be one permission more, and what belongs to an
/// instance is deleted with it.
pub trait ListBlobs: BlobStore {
    /// Names of all blobs.
    fn list(&self) -> impl Future<Output = Result<Vec<String>, Self::Error>> + Send;
}

/// A blob as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Which one it is.
    pub tag: Tag,
}

/// Distinguishes what is stored under a name from what was stored there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(pub String);

/// Why a blob was not written.
#[derive(Debug, PartialEq, Eq)]
pub enum PutError<E> {
    /// Something else is there than what was seen.
    Conflict,
    /// As it says.
    Failed(E),
}

/// The content of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framed<'a> {
    /// Version of the content's form.
    pub form: u32,
    /// Which commit wrote it.
    pub generation: u64,
    /// The content.
    pub content: &'a [u8],
}

impl Framed<'_> {
    /// The bytes of a blob.
    pub fn bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.content.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&u64::from(self.form).to_be_bytes());
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.extend_from_slice(&self.checksum().to_be_bytes());
        bytes.extend_from_slice(self.content);
        bytes
    }

    fn checksum(self) -> u64 {
        let mut hash = Xxh3::new();
        hash.update(&self.form.to_be_bytes());
        hash.update(&self.generation.to_be_bytes());
        hash.update(self.content);
        hash.digest()
    }
}

impl<'a> Framed<'a> {
    /// Reads a blob's bytes; `None` when they are damaged.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, content) = bytes.split_first_chunk::<HEADER>()?;
        let ([magic, rest @ ..], []) = header.as_chunks::<8>() else { return None };
        let [form, generation, checksum] = rest else { return None };
        let [form, generation, checksum] = [form, generation, checksum].map(|number| u64::from_be_bytes(*number));
        let framed = Self { form: u32::try_from(form).ok()?, generation, content };
        (*magic == MAGIC && framed.checksum() == checksum).then_some(framed)
    }
}

/// What every place for blobs keeps to; the tests of each call it.
#[cfg(test)]
pub(crate) mod contract {
    use super::*;

    /// Reads, writes and deletes a few blobs, whose names are in no use.
    pub(crate) async fn is_kept<S: BlobStore<Error: std::fmt::Debug>>(store: &S) {
        assert_eq!(store.get("a").await.unwrap(), None);
        let first = store.put("a", b"1", None).await.unwrap();
        assert!(matches!(store.put("a", b"2", None).await, Err(PutError::Conflict)), "created twice");
        let second = store.put("a", b"2", Some(&first)).await.unwrap();
        assert!(matches!(store.put("a", b"3", Some(&first)).await, Err(PutError::Conflict)), "over another than was seen");
        assert_eq!(store.get("a").await.unwrap(), Some(Blob { bytes: b"2".to_vec(), tag: second.clone() }));
        store.delete("a").await.unwrap();
        store.delete("a").await.unwrap();
        assert!(matches!(store.put("a", b"4", Some(&second)).await, Err(PutError::Conflict)), "over one that is gone");
        assert_eq!(store.get("a").await.unwrap(), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let framed = Framed { form: 2, generation: 7, content: b"entries" };
        let bytes = framed.bytes();
        assert_eq!(Framed::read(&bytes), Some(framed));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Framed::read(&flipped), None, "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert_eq!(Framed::read(&bytes[..cut]), None, "cut at {cut}");
        }
    }
}
