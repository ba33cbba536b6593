//! Why a body yields no page.

use crate::fetch::looks::Looks;
use crate::plan::json::scan::ScanError;

/// Why a body yields no page. Positions are byte offsets; no content is kept, only names of members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitError {
    /// No byte but white space.
    Empty,
    /// More than [`MAX_BODY`](super::MAX_BODY) bytes.
    BodyTooLarge,
    /// More than [`MAX_RECORDS`](super::MAX_RECORDS) records.
    TooManyRecords,
    /// Not UTF-8.
    Encoding {
        /// First wrong byte.
        at: usize,
    },
    /// Not JSON, or too deep; and what it looks like.
    Malformed(ScanError, Looks),
    /// `null` where the records should be.
    Null {
        /// Where it stands.
        at: usize,
    },
    /// The path leads nowhere.
    Missing {
        /// What the whole answer is.
        root: Kind,
        /// Arrays that were seen instead, as paths.
        arrays: Vec<String>,
    },
    /// The path leads to a value that is no list, or no map, of records.
    WrongKind {
        /// The kind of value found there.
        found: Kind,
    },
    /// The list is no longer where it was, and there are others.
    Moved {
        /// Arrays that were seen instead, as paths.
        arrays: Vec<String>,
    },
    /// The answer says that something went wrong.
    ErrorAnswer,
    /// The answer has no list and says something else in its place.
    SaysElse {
        /// The member that says it.
        member: String,
    },
    /// The answer says that rows of its list are missing.
    Partial {
        /// The member that says so.
        member: String,
    },
    /// Without a path: no array member, or more than one.
    Undecided {
        /// Arrays that were seen, as paths.
        arrays: Vec<String>,
    },
}

impl SplitError {
    /// Whether the answer is JSON that has no list, or an error instead.
    pub(in crate::fetch) fn is_without_list(&self) -> bool {
        matches!(
            self,
            Self::ErrorAnswer
                | Self::SaysElse { .. }
                | Self::Missing { .. }
                | Self::WrongKind { .. }
                | Self::Null { .. }
                | Self::Undecided { .. }
        )
    }
}

/// Kind of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// Text, number or boolean.
    Scalar,
}

impl From<ScanError> for SplitError {
    fn from(error: ScanError) -> Self {
        Self::Malformed(error, Looks::Unknown)
    }
}
