//! Where the next page is: links and tokens as an answer carries them, the ways in which servers say that there is none, and how
//! a position is asked for. Pure.

use http::HeaderMap;
use url::Url;

use super::pagination::Answer;
use crate::api::conditions::{Problem, Reason};
use crate::plan::field_path::FieldPath;
use crate::plan::json;
use crate::plan::{TokenPlace, ValueAt};

/// What a request adds to the plan's request to reach one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// Nothing.
    Start,
    /// It is sent to this URL; the plan's query is part of it already.
    Url(Url),
    /// Query parameters, in place of those of the same name.
    Query(Vec<(String, String)>),
    /// A header.
    Header {
        /// Name.
        name: String,
        /// Value.
        value: String,
    },
    /// A field of the JSON body, in place of what the plan has there.
    Body {
        /// Path of objects' members.
        field: FieldPath,
        /// JSON text, as the provider sent it.
        json: String,
    },
}

impl Position {
    /// Identifies this position among those of the same listing.
    pub(super) fn mark(&self) -> &str {
        match self {
            Self::Url(url) => url.as_str(),
            Self::Header { value, .. } => value,
            Self::Body { json, .. } => json.trim_matches('"'),
            Self::Query(pairs) => pairs.first().map_or("", |(_, value)| value),
            Self::Start => "",
        }
    }
}

/// A value that an answer carries.
pub(super) struct Value {
    /// As JSON text.
    pub(super) json: String,
    /// The text of a string; `None` for a number.
    pub(super) text: Option<String>,
}

/// Whether a value in the place of a link or token says that there is no next page. Servers write it in many ways: nothing, zero
/// (Redis, Twitter), -1 (Sugar), or a word for it, as of a null that became a text.
pub(crate) fn is_end(json: &str) -> bool {
    let text = json.trim_matches('"').trim();
    match json.as_bytes().first() {
        None => true,
        Some(b'{' | b'[') => text.bytes().filter(|b| !b.is_ascii_whitespace()).count() == 2,
        // A negative number leads nowhere, however great.
        _ if text.strip_prefix('-').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit())) => true,
        _ => {
            (!text.is_empty() && text.bytes().all(|b| b == b'0'))
                || matches!(
                    text.to_ascii_lowercase().as_str(),
                    "" | "null"
                        | "false"
                        | "none"
                        | "nil"
                        | "undefined"
                        | "nan"
                        | "n/a"
                        | "na"
                        | "end"
                        | "eof"
                        | "done"
                        | "last"
                        | "finished"
                        | "complete"
                        | "end_of_list"
                        | "endoflist"
                        | "no"
                        | "no_more"
                        | "nomore"
                        | "#"
                        | "0.0"
                        | "{}"
                        | "[]"
                )
        }
    }
}

/// What ends a list in the place of a link or token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// Whatever [`is_end`].
    AnyWord,
    /// What is no value, in whatever spelling. Any other text is a token: `NO` is also a country, and `end` may be a key.
    NoValue,
}

impl Ends {
    fn has(self, json: &str) -> bool {
        match self {
            Self::AnyWord => is_end(json),
            Self::NoValue => is_end(json) && is_no_value(json),
        }
    }
}

/// Of what [`is_end`]: nothing, a null in any spelling, false, zero and -1, but no other number or word.
fn is_no_value(json: &str) -> bool {
    let text = json.trim_matches('"').trim().to_ascii_lowercase();
    let is_zero = text.bytes().all(|b| b == b'0');
    let is_null = matches!(text.as_str(), "null" | "none" | "nil" | "undefined" | "nan" | "false" | "0.0" | "-1");
    is_zero || is_null || matches!(json.as_bytes().first(), Some(b'{' | b'['))
}

/// Whether an answer has something at a place, even null.
pub(super) fn is_there(at: &ValueAt, answer: &Answer<'_>) -> bool {
    match at {
        ValueAt::Header(name) => answer.headers.contains_key(name),
        ValueAt::Field(path) => field(path, answer.envelope).is_some(),
    }
}

/// `@odata.nextLink` is one name, though it reads like two.
fn field<'a>(path: &FieldPath, envelope: &'a str) -> Option<&'a str> {
    path.find(envelope).or_else(|| json::member(envelope, &path.to_string()))
}

/// The value at a place; `None` when it is missing or says that there is no next page.
pub(super) fn value_at(at: &ValueAt, answer: &Answer<'_>, place: &str, ends: Ends) -> Result<Option<Value>, Problem> {
    let json = match at {
        ValueAt::Header(name) => {
            let Some(text) = header(answer.headers, name) else { return Ok(None) };
            let json = serde_json::Value::from(text).to_string();
            return Ok(Some(Value { json, text: Some(text.to_owned()) }).filter(|value| !ends.has(&value.json)));
        }
        ValueAt::Field(path) => field(path, answer.envelope),
    };
    match json {
        None => Ok(None),
        Some(json) if ends.has(json) => Ok(None),
        Some("true") => Err(wrong_value(place, "true")),
        Some(json) if json.starts_with('{') => Err(wrong_value(place, "an object")),
        Some(json) if json.starts_with('[') => Err(wrong_value(place, "an array")),
        Some(json) if json.starts_with('"') => match json::scalar_text(json) {
            Some(text) => Ok(Some(Value { json: json.to_owned(), text: Some(text.into_owned()) })),
            None => Err(wrong_value(place, "a malformed text")),
        },
        Some(json) => Ok(Some(Value { json: json.to_owned(), text: None })),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim).filter(|text| !text.is_empty())
}

pub(super) fn wrong_value(field: &str, found: &str) -> Problem {
    Problem::human(
        Reason::InvalidResponse,
        format!("{field}: it leads to {found} in the provider's answer, not to a link or token; correct it"),
    )
}

/// The position of a token.
pub(super) fn carry(token: Value, parameter: &str, place: TokenPlace) -> Result<Position, Problem> {
    let Value { json, text } = token;
    let text = text.unwrap_or_else(|| json.clone());
    Ok(match place {
        TokenPlace::Query => Position::Query(vec![(parameter.to_owned(), text)]),
        TokenPlace::Header => Position::Header { name: parameter.to_owned(), value: text },
        TokenPlace::Body => {
            let field = FieldPath::parse(parameter)
                .map_err(|e| Problem::human(Reason::InvalidSpec, format!("resources[].pagination.token.parameter: {e}")))?;
            Position::Body { field, json }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_say_in_many_ways_that_there_is_no_next_page() {
        for end in [
            "null",
            "false",
            "0",
            "-1",
            "-20",
            "\"\"",
            "\"0\"",
            "\"00\"",
            "\"-1\"",
            "\" \"",
            "\"null\"",
            "\"NULL\"",
            "\"None\"",
            "\"nil\"",
            "\"undefined\"",
            "\"false\"",
            "\"end\"",
            "\"END\"",
            "\"eof\"",
            "\"done\"",
            "\"last\"",
            "\"n/a\"",
            "\"no_more\"",
            "\"#\"",
            "{}",
            "{ }",
            "[]",
            "",
        ] {
            assert!(is_end(end), "{end}");
        }
        for more in [
            "1",
            "\"1\"",
            "\"a\"",
            "\"-a\"",
            "\"ending\"",
            "\"0a\"",
            "\"/x\"",
            "{\"a\":1}",
            "[1]",
            "true",
            "7.10",
            "\"AAAA-1\"",
        ] {
            assert!(!is_end(more), "{more}");
        }
    }
}
