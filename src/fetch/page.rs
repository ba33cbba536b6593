//! One page of records: the body as it was sent, and the position of each record in it.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::lost_list::LostList;
use crate::detect::record::Record;
use crate::egress::byte_budget::Share;
use crate::plan::field_path::Segment;
use crate::plan::id::IdPlan;

/// Records of one page that are still read: their positions take memory in addition to the body, most of all for a body that is a few bytes
/// a record, as an inflated `[0,0,0,…]` is.
pub const MAX_RECORDS: usize = 500_000;

/// The position of a record in the body of its page. Positions fit 32 bits: a body is at most 32 MiB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
    /// The member's name in a map of records, without its quotes; 0..0 in a list.
    pub(super) key_start: u32,
    pub(super) key_end: u32,
}

/// One page of records, borrowed from its body; nothing is copied or parsed into a tree.
#[derive(Clone, Debug)]
pub struct Page {
    /// Without byte-order mark; valid JSON.
    pub(crate) body: String,
    pub(super) spans: Vec<Span>,
    /// Names with escapes, decoded, by the index of their record: rare.
    pub(super) decoded: Vec<(usize, Box<str>)>,
    pub(super) envelope: String,
    pub(super) digest: u128,
    pub(super) path: Vec<Segment>,
    /// There was a list, though it may have been empty.
    pub(super) listed: bool,
    /// The list may be elsewhere.
    pub(super) lost: Option<Box<LostList>>,
    /// The memory that the body takes.
    pub(super) share: Option<Arc<Share>>,
}

impl Page {
    /// A page without records, as of an answer 204.
    pub fn empty() -> Self {
        Self {
            body: String::new(),
            spans: Vec::new(),
            decoded: Vec::new(),
            envelope: String::new(),
            digest: 0,
            path: Vec::new(),
            listed: false,
            lost: None,
            share: None,
        }
    }

    /// A page of an answer that left its list out, or wrote something empty in its place.
    pub(super) fn without_list(body: String, path: Vec<Segment>) -> Self {
        Self { envelope: body.clone(), body, path, ..Self::empty() }
    }

    /// The page with the memory that its body takes, which is given back with the page.
    pub(super) fn with_share(mut self, share: Share) -> Self {
        self.share = Some(Arc::new(share));
        self
    }

    /// Gives up the body, whose records have been read. What is left is the memory that it took: it counts for the events that were made
    /// of them, until they are sent.
    pub fn into_memory(self) -> Option<Arc<Share>> {
        self.share
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Bytes of the whole body.
    pub fn body_len(&self) -> usize {
        self.body.len()
    }

    /// All records in the order in which they were sent.
    pub fn records(&self) -> impl DoubleEndedIterator<Item = Record<'_>> + ExactSizeIterator {
        self.records_in(0..self.len())
    }

    /// The records at these places, which are those of [`Self::pieces`].
    pub fn records_in(&self, piece: Range<usize>) -> impl DoubleEndedIterator<Item = Record<'_>> + ExactSizeIterator {
        let first = piece.start;
        self.spans.get(piece).unwrap_or_default().iter().enumerate().map(move |(index, span)| Record {
            json: self.text(span.start..span.end),
            key: (span.key_start > 0).then(|| self.key(first + index, span.key_start..span.key_end)),
        })
    }

    /// All positions, in pieces of `records`; from the last piece to the first if `reversed`.
    pub fn pieces(&self, records: usize, reversed: bool) -> impl Iterator<Item = Range<usize>> + use<> {
        let (len, size) = (self.len(), records.max(1));
        let pieces = len.div_ceil(size);
        (0..pieces).map(move |number| {
            let number = if reversed { pieces - 1 - number } else { number };
            number * size..len.min((number + 1) * size)
        })
    }

    fn key(&self, index: usize, range: Range<u32>) -> &str {
        match self.decoded.binary_search_by_key(&index, |(at, _)| *at) {
            Ok(found) => &self.decoded[found].1,
            Err(_) => self.text(range),
        }
    }

    fn text(&self, range: Range<u32>) -> &str {
        &self.body[range.start as usize..range.end as usize]
    }

    /// The body with its records cut out (`{"data":[],"next":…}`): where next links and tokens are looked up.
    pub fn envelope(&self) -> &str {
        &self.envelope
    }

    /// Digest over the bytes of the record list; equal digests of two non-empty pages mean that one came twice.
    pub fn digest(&self) -> u128 {
        self.digest
    }

    /// Digest over the ids at a path, in their order: equal for two answers with the same records, whose bytes may differ. A record
    /// without one counts with its bytes.
    pub(super) fn ids_digest(&self, id: &IdPlan) -> u128 {
        let mut digest = Xxh3::new();
        for record in self.records() {
            let id = id_in(&record, id).unwrap_or(Cow::Borrowed(record.json));
            digest.update(&(id.len() as u64).to_le_bytes());
            digest.update(id.as_bytes());
        }
        digest.digest128()
    }

    /// Whether there are several records, all with one id, as rows of one object's history have: their ids do not distinguish pages.
    pub(super) fn is_of_one_object(&self, id: &IdPlan) -> bool {
        let mut ids = self.records().map(|record| id_in(&record, id));
        match ids.next() {
            Some(Some(first)) => self.len() > 1 && ids.all(|id| id.as_ref() == Some(&first)),
            _ => false,
        }
    }

    /// Whether the response had a list, even an empty one: `false` when it left it out.
    pub fn has_list(&self) -> bool {
        self.listed
    }

    /// Where the records were found; empty when the answer itself is the list.
    pub fn path(&self) -> &[Segment] {
        &self.path
    }
}

/// The id of a record as it was sent: its key in a map, else what is at the path.
fn id_in<'a>(record: &Record<'a>, id: &IdPlan) -> Option<Cow<'a, str>> {
    record.key.map(Cow::Borrowed).or_else(|| id.find(record.json))
}
