//! How further pages are asked for, and in which words an answer says that there are some, or none.

use super::super::http::Ask;

/// What the answer says and the next request asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// `next`: the URL of the next page; `offset` is asked.
    NextLink,
    /// A `Link` header with rel="next" (RFC 8288); `offset` is asked.
    LinkHeader,
    /// `start` is asked; `total` counts all rows.
    Total,
    /// `start` is asked; `isLast` says whether this page is.
    IsLast,
    /// `page` is asked; `page.totalPages` counts them.
    Pages,
    /// `page` is asked; `has_more` says whether another follows.
    HasMore,
    /// `cursor` is asked; `next_cursor` is the next one.
    Token(End),
    /// `after` is asked, the id of the last row; `has_more` says whether another page follows.
    LastId,
    /// Nothing is asked but from when on: a page is all that is answered.
    Keyset,
}

/// What stands in the place of the next token behind the last page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Null,
    LeftOut,
    EmptyText,
    False,
    MinusOne,
    Zero,
    ZeroText,
    /// The token with which the last page was asked for; the first page has the token 0.
    SamePosition,
}

impl End {
    pub const ALL: [Self; 8] = [
        Self::Null,
        Self::LeftOut,
        Self::EmptyText,
        Self::False,
        Self::MinusOne,
        Self::Zero,
        Self::ZeroText,
        Self::SamePosition,
    ];

    /// The member with its name and a leading comma.
    fn member(self, position: usize) -> String {
        let value = match self {
            Self::LeftOut => return String::new(),
            Self::Null => "null".to_owned(),
            Self::EmptyText => "\"\"".to_owned(),
            Self::False => "false".to_owned(),
            Self::MinusOne => "-1".to_owned(),
            Self::Zero => "0".to_owned(),
            Self::ZeroText => "\"0\"".to_owned(),
            Self::SamePosition => position.to_string(),
        };
        format!(",\"next_cursor\":{value}")
    }
}

/// One page of a list.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Rows before it.
    pub position: usize,
    /// Rows of a page.
    pub size: usize,
    /// Rows of the list.
    pub total: usize,
}

impl Cut {
    /// Where the next page begins.
    pub fn next(self) -> Option<usize> {
        let next = self.position + self.size;
        (next < self.total).then_some(next)
    }
}

impl Paging {
    /// The parameter that asks for a further page.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::NextLink | Self::LinkHeader => "offset",
            Self::Total | Self::IsLast => "start",
            Self::Pages | Self::HasMore => "page",
            Self::Token(_) => "cursor",
            Self::LastId => "after",
            // No parameter is named so.
            Self::Keyset => "",
        }
    }

    /// How the list of deleted ids is paged.
    pub fn of_deleted(self) -> Self {
        match self {
            Self::LastId | Self::Keyset => Self::NextLink,
            other => other,
        }
    }

    /// Rows before the page that is asked for by a value of the parameter.
    pub fn position(self, value: &str, size: usize) -> Option<usize> {
        let number: usize = value.parse().ok()?;
        match self {
            Self::Pages | Self::HasMore => number.checked_sub(1)?.checked_mul(size),
            _ => Some(number),
        }
    }

    /// Whether a request is the first one of a listing.
    pub fn is_first(self, ask: &Ask) -> bool {
        let asked = ask.query().into_iter().find(|(name, _)| name == self.parameter());
        asked.is_none_or(|(_, value)| self != Self::LastId && self.position(&value, 1) == Some(0))
    }

    /// Members of the answer, with a leading comma, and its `Link` header. `asked` is the path with the filter as it was asked, encoded,
    /// with a trailing question mark or ampersand.
    pub fn words(self, cut: Cut, asked: &str) -> (String, Option<String>) {
        let link = |next| format!("{asked}offset={next}");
        let Cut { position, size, total } = cut;
        let members = match self {
            Self::NextLink => {
                format!(",\"next\":{}", cut.next().map_or("null".to_owned(), |next| format!("\"{}\"", link(next))))
            }
            Self::LinkHeader => return (String::new(), cut.next().map(|next| format!("<{}>; rel=\"next\"", link(next)))),
            Self::Total => format!(",\"start\":{position},\"limit\":{size},\"total\":{total}"),
            Self::IsLast => format!(",\"start\":{position},\"limit\":{size},\"isLast\":{}", cut.next().is_none()),
            Self::Pages => {
                let (number, pages) = (position / size + 1, total.div_ceil(size));
                format!(",\"page\":{{\"size\":{size},\"number\":{number},\"totalElements\":{total},\"totalPages\":{pages}}}")
            }
            Self::HasMore => format!(",\"page\":{},\"has_more\":{}", position / size + 1, cut.next().is_some()),
            Self::Token(end) => cut.next().map_or_else(|| end.member(position), |next| format!(",\"next_cursor\":{next}")),
            Self::LastId => format!(",\"has_more\":{}", cut.next().is_some()),
            Self::Keyset => String::new(),
        };
        (members, None)
    }

    /// The same in the words of a manifest.
    pub fn manifest(self) -> &'static str {
        match self {
            Self::NextLink => "nextLink: {field: next}",
            Self::LinkHeader => "linkHeader: {}",
            Self::Total | Self::IsLast => "offset: {parameter: start}",
            Self::Pages | Self::HasMore => "page: {parameter: page}",
            Self::Token(_) => "token: {field: next_cursor, parameter: cursor}",
            Self::LastId => "lastId: {parameter: after}",
            Self::Keyset => "keyset: {}",
        }
    }
}
