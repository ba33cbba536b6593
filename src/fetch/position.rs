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

/// The value at a place; `None` when it is missing or says that there is no next page.
pub(super) fn value_at(at: &ValueAt, answer: &Answer<'_>, field: &str) -> Result<Option<Value>, Problem> {
    let json = match at {
        ValueAt::Header(name) => {
            let Some(text) = header(answer.headers, name) else { return Ok(None) };
            let json = serde_json::Value::from(text).to_string();
            return Ok(Some(Value { json, text: Some(text.to_owned()) }).filter(|value| !is_end(&value.json)));
        }
        // `@odata.nextLink` is one name, though it reads like two.
        ValueAt::Field(path) => path.find(answer.envelope).or_else(|| json::member(answer.envelope, &path.to_string())),
    };
    match json {
        None => Ok(None),
        Some(json) if is_end(json) => Ok(None),
        Some("true") => Err(wrong_value(field, "true")),
        Some(json) if json.starts_with('{') => Err(wrong_value(field, "an object")),
        Some(json) if json.starts_with('[') => Err(wrong_value(field, "an array")),
        Some(json) if json.starts_with('"') => match json::scalar_text(json) {
            Some(text) => Ok(Some(Value { json: json.to_owned(), text: Some(text.into_owned()) })),
            None => Err(wrong_value(field, "a malformed text")),
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
