//! One page of records: the body as it was sent, and where each record stands in it.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::json;
use crate::plan::field_path::Segment;

/// Where a record stands in the body of its page. Positions fit 32 bits: a body is at most 32 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordSpan {
    pub(super) start: u32,
    pub(super) end: u32,
    /// The member's name in a map of records, without its quotes; empty range at 0 in a list.
    pub(super) key_start: u32,
    pub(super) key_end: u32,
}

impl RecordSpan {
    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Size of the record in bytes.
    pub fn len(self) -> usize {
        self.range().len()
    }

    /// Never true for a span that came from an answer.
    pub fn is_empty(self) -> bool {
        self.range().is_empty()
    }
}

/// One page of records, borrowed from its body; nothing is copied or parsed into a tree.
#[derive(Clone, Debug)]
pub struct Page {
    pub(super) body: Bytes,
    pub(super) records: Vec<RecordSpan>,
    pub(super) envelope: String,
    pub(super) digest: u128,
    pub(super) path: Vec<Segment>,
}

impl Page {
    /// A page without records, as of an answer 204.
    pub fn empty() -> Self {
        Self { body: Bytes::new(), records: Vec::new(), envelope: String::new(), digest: 0, path: Vec::new() }
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The body without byte-order mark: valid UTF-8, valid JSON.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// All records in the order in which they were sent.
    pub fn records(&self) -> &[RecordSpan] {
        &self.records
    }

    /// A record's text, byte for byte as sent. Mostly an object; anything else is a record without id.
    pub fn text(&self, record: RecordSpan) -> &str {
        // A span begins and ends at ASCII characters of a body whose UTF-8 was checked: the fall-back is never taken.
        self.body.get(record.range()).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// A record's bytes, shared with the body: keeps the whole body alive, so copy what outlives the poll.
    pub fn bytes(&self, record: RecordSpan) -> Bytes {
        self.body.slice(record.range())
    }

    /// The name under which a record stands in a map of records; `None` in a list.
    pub fn key(&self, record: RecordSpan) -> Option<Cow<'_, str>> {
        if record.key_start == 0 {
            return None;
        }
        let name = self.body.get(record.key_start as usize..record.key_end as usize)?;
        json::name_text(std::str::from_utf8(name).ok()?)
    }

    /// The body with its records cut out (`{"data":[],"next":…}`): where next links and tokens are looked up.
    pub fn envelope(&self) -> &str {
        &self.envelope
    }

    /// Digest over the bytes of the record list; equal digests of two non-empty pages mean that one came twice.
    pub fn digest(&self) -> u128 {
        self.digest
    }

    /// Where the records were found; empty when the answer itself is the list.
    pub fn path(&self) -> &[Segment] {
        &self.path
    }
}
