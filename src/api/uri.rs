//! What may be in a URI as it is.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

/// Everything but the unreserved characters (RFC 3986 §2.3): encoded like this, a text is one segment of a path, or one name or value of a
/// query, whatever it holds.
pub const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
