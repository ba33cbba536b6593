//! How further pages are asked for, and where the values that lead to them stand. Pure.

use http::HeaderName;

use super::field_path::FieldPath;

/// How further pages are asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum PaginationPlan {
    /// Found out from the first answer.
    Detect,
    /// One page is all.
    None,
    /// RFC 8288 `Link` header with `rel="next"`.
    LinkHeader,
    /// The answer carries the URL of the next page, absolute or relative to the request URL.
    NextLink(ValueAt),
    /// The answer carries a token for the next page.
    Token {
        /// Where the token stands.
        from: ValueAt,
        /// Name of the parameter, header or (dotted) body field that takes it.
        parameter: String,
        /// Where it goes.
        place: TokenPlace,
    },
    /// The id of the last record of the page before.
    LastId {
        /// Path to it in a record; `None`: that of the id.
        field: Option<FieldPath>,
        /// Name of the parameter, header or (dotted) body field that takes it.
        parameter: String,
        /// Where it goes.
        place: TokenPlace,
    },
    /// Asked for again from the date of the last record, by the macros of the cursor.
    Keyset {
        /// Query parameter that carries the page size.
        size_parameter: Option<String>,
    },
    /// Number of records to skip.
    Offset {
        /// Query parameter that carries it.
        parameter: String,
        /// Query parameter that carries the page size.
        size_parameter: Option<String>,
    },
    /// Page numbers.
    Page {
        /// Query parameter that carries it.
        parameter: String,
        /// Number of the first page; `None`: the manifest does not say, so it is 1 unless the answers show otherwise.
        first: Option<u32>,
        /// Query parameter that carries the page size.
        size_parameter: Option<String>,
    },
}

/// A value in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueAt {
    /// In the JSON body.
    Field(FieldPath),
    /// In a response header.
    Header(HeaderName),
}

/// Where a page token goes in the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenPlace {
    /// Query parameter.
    Query,
    /// Request header.
    Header,
    /// Field of the JSON body.
    Body,
}
