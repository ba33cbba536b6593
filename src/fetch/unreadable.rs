//! What a person reads of a body that yields no page: what is wrong with it, and what to do. Never its content. Pure.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::answer::{ContentClass, error_in_response};
use super::looks::Looks;
use super::split::{Kind, SplitError};
use crate::api::conditions::{Problem, Reason};
use crate::plan::RecordsAs;
use crate::plan::json::scan::ScanError;

/// A body that yields no page, as a user sees it: class and byte offset, never content.
pub fn unreadable(error: &SplitError, headers: &HeaderMap, form: RecordsAs) -> Problem {
    let class = ContentClass::of(headers);
    match error {
        SplitError::Empty => invalid(&format!("the answer ({class}) has an empty body; check url, query and auth")),
        SplitError::Encoding { at } => invalid(&match other_charset(headers) {
            Some(charset) => format!(
                "the answer ({class}) is in {charset}, not in UTF-8 (at byte {at}); ask for UTF-8 with headers, such as Accept: \
                 application/json; charset=utf-8"
            ),
            None => format!("the answer ({class}) is not UTF-8 at byte {at}; check url and headers"),
        }),
        SplitError::Malformed(error, looks) => not_json(error, *looks, class),
        SplitError::Null { at } => {
            invalid(&format!("the answer has null at byte {at} where its records should be; check query, or set recordsPath"))
        }
        SplitError::BodyTooLarge => too_large("the answer is larger than 32 MiB; ask for fewer records a page"),
        SplitError::TooManyRecords => too_large("the answer has more than 500,000 records; ask for fewer records a page"),
        SplitError::Missing { root: Kind::Array, .. } => {
            not_found("the answer itself is the array of records; remove recordsPath")
        }
        SplitError::Missing { arrays, .. } => {
            not_found(&format!("it leads to nothing in the answer{}; correct it", listed(arrays)))
        }
        SplitError::WrongKind { found } => not_found(match (found, form) {
            (Kind::Object, _) => {
                "it leads to an object, not to an array, and the object is not a record with an id and a date as the manifest has them; set \
                 recordsAs: Map if its members are the records, else correct it"
            }
            (Kind::Array, _) => "it leads to an array, not to a map of records; set recordsAs: List",
            (Kind::Scalar, RecordsAs::List) => "it leads to a single value, not to an array of records; correct it",
            (Kind::Scalar, RecordsAs::Map) => "it leads to a single value, not to a map of records; correct it",
        }),
        SplitError::Moved { arrays } => not_found(&format!(
            "the records are no longer where they were{}; set recordsPath to where they are now",
            listed(arrays)
        )),
        SplitError::ErrorAnswer => error_in_response(),
        SplitError::SaysElse { member } => Problem::transient(
            Reason::ErrorInResponse,
            format!(
                "resources[].url: the provider's answer has no list and says something else in its place ({member}), so it is not taken for an \
                 empty list; retrying. If this persists, check url, query, body and auth against its documentation, or, if its empty lists \
                 look like this, add a rule with means: Empty to errorRules"
            ),
        ),
        SplitError::Partial { member } => Problem::transient(
            Reason::ErrorInResponse,
            format!(
                "resources[].query: the provider's answer says that records are missing from it ({member}), so nothing of it is used; \
                 retrying. If this persists, filter with query or lower pageSize, so that the provider can answer in full, or, if no record is missing, add a rule with \
                 means: Success to errorRules"
            ),
        ),
        SplitError::Undecided { arrays } if arrays.is_empty() => {
            not_found("the answer has no array of records; check url and query, or set recordsPath to the array")
        }
        SplitError::Undecided { arrays } => {
            not_found(&format!("the answer does not say which array has the records{}; set recordsPath to one", listed(arrays)))
        }
    }
}

/// The charset that a body is declared in, unless it is the one of JSON.
fn other_charset(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let charset = value.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    })?;
    let is_plain = charset.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_:.".contains(&byte));
    (is_plain && charset.len() <= 32 && !matches!(charset.as_str(), "" | "utf-8" | "utf8")).then_some(charset)
}

/// A body that is not JSON: what it is instead, and how to have JSON.
fn not_json(error: &ScanError, looks: Looks, class: ContentClass) -> Problem {
    let ScanError { at, fault } = error;
    let otherwise = |what: &str| {
        invalid(&format!(
            "the answer ({class}) is {what}, not JSON; ask for JSON with an Accept header in headers or with the parameter of the \
             provider's documentation in query"
        ))
    };
    match (looks, class) {
        (Looks::Html, _) | (Looks::Unknown, ContentClass::Html) => {
            invalid(&format!("the answer is an HTML page, not JSON (at byte {at}); check baseUrl, url and auth"))
        }
        (Looks::Xml, _) | (Looks::Unknown, ContentClass::Xml) => otherwise("XML"),
        (Looks::Csv, _) | (Looks::Unknown, ContentClass::Csv) => otherwise("CSV"),
        (Looks::JsonLines, _) | (_, ContentClass::JsonLines) => invalid(&format!(
            "the answer ({class}) is one JSON text after another, each perhaps on a line of its own, and not one list; ask for one JSON \
             array with an Accept header in headers or with the parameter of the provider's documentation in query"
        )),
        (Looks::Jsonp, _) => invalid(&format!(
            "the answer ({class}) is JSON inside the call of a function (JSONP); remove the parameter that names the function from query"
        )),
        (Looks::Guarded, _) => invalid(&format!(
            "the answer ({class}) is JSON behind characters that keep browsers from running it; ask for plain JSON with headers or query"
        )),
        (Looks::NotANumber, _) => invalid(&format!(
            "the answer ({class}) has NaN or Infinity at byte {at}, which is not JSON; leave the field out by query, or ask the provider to \
             write null"
        )),
        (Looks::Unknown, _) => {
            invalid(&format!("the answer ({class}) is not JSON that can be read: {fault} at byte {at}; check baseUrl and url"))
        }
    }
}

fn listed(arrays: &[String]) -> String {
    if arrays.is_empty() { String::new() } else { format!(" (arrays found: {})", arrays.join(", ")) }
}

fn invalid(text: &str) -> Problem {
    Problem::transient(Reason::InvalidResponse, format!("resources[].url: {text}"))
}

fn too_large(text: &str) -> Problem {
    Problem::human(Reason::ResponseTooLarge, format!("resources[].pageSize: {text}"))
}

fn not_found(text: &str) -> Problem {
    Problem::human(Reason::RecordsNotFound, format!("resources[].recordsPath: {text}"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::plan::json::scan::Fault;

    #[test]
    fn tells_what_to_do_about_a_body() {
        let of = |kind: &'static str| HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
        let told = |error: SplitError| unreadable(&error, &of("text/html"), RecordsAs::List).to_string();
        let scanned = ScanError { at: 0, fault: Fault::Syntax };
        let malformed = SplitError::Malformed(scanned, Looks::Unknown);
        assert_eq!(
            told(malformed.clone()),
            "InvalidResponse: resources[].url: the answer is an HTML page, not JSON (at byte 0); check baseUrl, url and auth"
        );
        assert_eq!(
            unreadable(&malformed, &of("application/json"), RecordsAs::List).message,
            "resources[].url: the answer (declared as JSON) is not JSON that can be read: it has a character out of place \
             at byte 0; check baseUrl and url"
        );
        assert_eq!(
            told(SplitError::Undecided { arrays: vec!["data".into(), "r.docs".into()] }),
            "RecordsNotFound: resources[].recordsPath: the answer does not say which array has the records (arrays found: \
             data, r.docs); set recordsPath to one"
        );
        assert!(told(SplitError::Undecided { arrays: vec![] }).contains("has no array"));
        assert!(told(SplitError::Missing { root: Kind::Array, arrays: vec![] }).ends_with("remove recordsPath"));
        assert!(told(SplitError::Null { at: 8 }).starts_with("InvalidResponse"));
        for (looks, kind, said) in [
            (Looks::Html, "application/json", "is an HTML page"),
            (Looks::Xml, "application/json", "(declared as JSON) is XML, not JSON; ask for JSON"),
            (Looks::Unknown, "application/xml", "(declared as XML) is XML, not JSON"),
            (Looks::Csv, "text/plain", "(declared as text) is CSV, not JSON"),
            (Looks::Unknown, "text/csv", "(declared as CSV) is CSV, not JSON"),
            (Looks::Unknown, "application/x-ndjson", "one JSON text after another"),
            (Looks::NotANumber, "application/json", "NaN or Infinity at byte 0"),
            (Looks::Jsonp, "text/javascript", "JSONP"),
        ] {
            let error = SplitError::Malformed(scanned, looks);
            let message = unreadable(&error, &of(kind), RecordsAs::List).message;
            assert!(message.contains(said), "{kind}: {message}");
        }
        let encoding = |kind| unreadable(&SplitError::Encoding { at: 7 }, &of(kind), RecordsAs::List).message;
        assert!(encoding("application/json; charset=\"ISO-8859-1\"").contains("is in iso-8859-1, not in UTF-8 (at byte 7)"));
        assert!(encoding("application/json; charset=utf-8").contains("is not UTF-8 at byte 7"));
        assert!(encoding("application/json; charset=<b>").contains("is not UTF-8 at byte 7"));
    }
}
