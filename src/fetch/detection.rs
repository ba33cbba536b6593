//! Finds out from the first answer how a provider pages, where that is certain.

use http::header::{HeaderName, LINK};
use http::{HeaderMap, Method};

use super::link_header;
use crate::plan::field_path::FieldPath;
use crate::plan::json;
use crate::plan::{PaginationPlan, TokenPlace, ValueAt};

/// What a first answer says about further pages.
#[derive(Clone, Debug, PartialEq)]
pub enum Detection {
    /// There are more, and this is how they are asked for.
    Found(PaginationPlan),
    /// There are more, but how they are asked for is anyone's guess.
    Unclear,
    /// Nothing hints at further pages.
    Nothing,
}

/// Header that carries the URL of the next page (Kinto).
const NEXT_PAGE: HeaderName = HeaderName::from_static("next-page");

/// Fields that hold the next page's URL, absolute or relative, by their name alone.
const LINK_FIELDS: &[&[&str]] = &[
    &["@odata.nextLink"],
    &["odata.nextLink"],
    &["d", "__next"],
    &["nextLink"],
    &["next_link"],
    &["next_page_url"],
    &["nextPageUrl"],
    &["nextPageLink"],
    &["next_page_uri"],
    &["next_url"],
    &["nextUrl"],
    &["next_href"],
    &["nextRecordsUrl"],
    &["after_url"],
    &["_links", "next", "href"],
    &["links", "next", "href"],
    &["paging", "next", "link"],
    &["pagination", "next_url"],
    &["pagination", "next_link"],
    &["meta", "next_url"],
    &["meta", "next_page_url"],
    &["next_page", "uri"],
];

/// Fields that may also hold a token or a number: they count when the value looks like a URL.
const LINK_FIELDS_BY_VALUE: &[&[&str]] = &[
    &["next"],
    &["nextPage"],
    &["next_page"],
    &["links", "next"],
    &["_links", "next"],
    &["next", "href"],
    &["next", "url"],
    &["paging", "next"],
    &["pages", "next"],
    &["pagination", "next"],
    &["pagination", "links", "next"],
    &["meta", "next"],
    &["meta", "pagination", "links", "next"],
    &["info", "next"],
];

/// Fields that hold a token, with the query parameter that takes it.
const TOKEN_FIELDS: &[(&[&str], &str)] = &[
    (&["next_page_token"], "page_token"),
    (&["nextPageToken"], "pageToken"),
    (&["next_cursor"], "cursor"),
    (&["cursor_next"], "_cursor"),
    (&["paging", "next", "after"], "after"),
    (&["pages", "next", "starting_after"], "starting_after"),
    (&["additional_data", "next_cursor"], "cursor"),
    (&["response_metadata", "next_cursor"], "cursor"),
    (&["next_page", "offset"], "offset"),
];

/// Judges a first answer. A token counts only for GET: where a POST takes it is never certain.
pub fn detect(method: &Method, headers: &HeaderMap, envelope: &str) -> Detection {
    if link_header::next_target(headers.get_all(LINK).iter().filter_map(|v| v.to_str().ok())).is_some() {
        return Detection::Found(PaginationPlan::LinkHeader);
    }
    if headers.get(NEXT_PAGE).is_some_and(|v| v.to_str().is_ok_and(looks_like_link)) {
        return Detection::Found(PaginationPlan::NextLink(ValueAt::Header(NEXT_PAGE)));
    }
    let fields = Fields::read(envelope);
    if let Some(path) = fields.link() {
        return Detection::Found(PaginationPlan::NextLink(ValueAt::Field(path)));
    }
    match fields.token() {
        Some((from, parameter)) if method == Method::GET => Detection::Found(PaginationPlan::Token {
            from: ValueAt::Field(from),
            parameter: parameter.to_owned(),
            place: TokenPlace::Query,
        }),
        Some(_) => Detection::Unclear,
        None if fields.numbers_next() || says_more(envelope) == Some(true) => Detection::Unclear,
        None => Detection::Nothing,
    }
}

/// What the answer itself says about whether more follows (`has_more`, `end_of_stream`, …), at its root or in a paging object.
pub fn says_more(envelope: &str) -> Option<bool> {
    let mut said = None;
    json::for_each_member(envelope, |key, value| {
        said = said.or(flag(key, value));
        if matches!(key, "meta" | "pagination" | "paging" | "page_info" | "pageInfo" | "additional_data") {
            json::for_each_member(value, |key, value| {
                said = said.or(flag(key, value));
                if key == "pagination" {
                    json::for_each_member(value, |key, value| said = said.or(flag(key, value)));
                }
            });
        }
    });
    said
}

fn flag(key: &str, value: &str) -> Option<bool> {
    let value = match value {
        "true" => true,
        "false" => false,
        _ => return None,
    };
    match key {
        "has_more"
        | "hasMore"
        | "has_next"
        | "hasNext"
        | "has_next_page"
        | "hasNextPage"
        | "has_more_items"
        | "more_items_in_collection" => Some(value),
        "end_of_stream" | "is_last" | "isLast" | "is_last_page" | "isLastPage" | "last" => Some(!value),
        _ => None,
    }
}

/// The members of an answer's root that may say something about paging.
struct Fields<'a>(Vec<(&'static str, &'a str)>);

impl<'a> Fields<'a> {
    fn read(envelope: &'a str) -> Self {
        let roots = || LINK_FIELDS.iter().chain(LINK_FIELDS_BY_VALUE).copied().chain(TOKEN_FIELDS.iter().map(|(p, _)| *p));
        let mut found = Vec::new();
        json::for_each_member(envelope, |key, value| {
            if let Some(root) = roots().map(|path| path[0]).chain(["object"]).find(|root| *root == key) {
                found.push((root, value));
            }
        });
        Self(found)
    }

    /// The text at a path; `None` for anything but a non-empty string.
    fn text(&self, path: &[&str]) -> Option<std::borrow::Cow<'a, str>> {
        self.value(path).filter(|v| v.starts_with('"')).and_then(json::scalar_text).filter(|text| !text.is_empty())
    }

    fn value(&self, path: &[&str]) -> Option<&'a str> {
        let (_, root) = self.0.iter().rev().find(|(name, _)| *name == path[0])?;
        path[1..].iter().try_fold(*root, |value, key| json::member(value, key))
    }

    fn link(&self) -> Option<FieldPath> {
        let named = LINK_FIELDS.iter().find(|path| self.text(path).is_some());
        let by_value = || LINK_FIELDS_BY_VALUE.iter().find(|path| self.text(path).is_some_and(|text| looks_like_link(&text)));
        named.or_else(by_value).and_then(|path| field_path(path))
    }

    fn token(&self) -> Option<(FieldPath, &'static str)> {
        let (path, parameter) = TOKEN_FIELDS.iter().find(|(path, _)| self.text(path).is_some())?;
        // Notion's lists name the token alike and take it under another name.
        let notion = *parameter == "cursor" && path.len() == 1 && self.value(&["object"]) == Some("\"list\"");
        Some((field_path(path)?, if notion { "start_cursor" } else { parameter }))
    }

    /// Whether the answer gives the number of a next page.
    fn numbers_next(&self) -> bool {
        [&["next_page"], &["nextPage"]]
            .iter()
            .any(|path| self.value(*path).is_some_and(|v| v != "0" && !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit())))
    }
}

fn looks_like_link(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://") || text.starts_with(['/', '?'])
}

fn field_path(path: &[&str]) -> Option<FieldPath> {
    let quoted: Vec<_> = path.iter().map(|key| format!("['{key}']")).collect();
    FieldPath::parse(&quoted.concat()).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn in_body(method: &Method, envelope: &str) -> Detection {
        detect(method, &HeaderMap::new(), envelope)
    }

    fn shown(envelope: &str) -> String {
        match in_body(&Method::GET, envelope) {
            Detection::Found(plan) => super::super::pagination::manifest_text(&plan),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn knows_the_usual_forms() {
        for (envelope, chosen) in [
            (r#"{"value":[],"@odata.nextLink":"A?$skiptoken=50"}"#, r#"nextLink: {field: "['@odata.nextLink']"}"#),
            (r#"{"count":3,"next":"https://a/?page=2","results":[]}"#, "nextLink: {field: next}"),
            (r#"{"links":{"next":"/a?p=2"}}"#, "nextLink: {field: links.next}"),
            (r#"{"links":{"next":{"href":"x"}}}"#, "nextLink: {field: links.next.href}"),
            (r#"{"_links":{"next":{"href":"/x"}}}"#, "nextLink: {field: _links.next.href}"),
            (r#"{"paging":{"next":{"after":"7","link":"https://a/?after=7"}}}"#, "nextLink: {field: paging.next.link}"),
            (r#"{"paging":{"next":{"after":"7"}}}"#, "token: {field: paging.next.after, parameter: after, in: Query}"),
            (r#"{"next_page_token":"t"}"#, "token: {field: next_page_token, parameter: page_token, in: Query}"),
            (r#"{"next_cursor":"t"}"#, "token: {field: next_cursor, parameter: cursor, in: Query}"),
            (r#"{"object":"list","next_cursor":"t"}"#, "token: {field: next_cursor, parameter: start_cursor, in: Query}"),
            (r#"{"nextPageToken":"t"}"#, "token: {field: nextPageToken, parameter: pageToken, in: Query}"),
            (
                r#"{"response_metadata":{"next_cursor":"dGVhbQ=="}}"#,
                "token: {field: response_metadata.next_cursor, parameter: cursor, in: Query}",
            ),
            (r#"{"done":false,"nextRecordsUrl":"/services/data/q-2000"}"#, "nextLink: {field: nextRecordsUrl}"),
            (r#"{"next":"opaque"}"#, "Nothing"),
            (r#"{"next":null,"next_cursor":""}"#, "Nothing"),
            (r#"{"next_page":2}"#, "Unclear"),
            (r#"{"next_page":null}"#, "Nothing"),
            (r#"{"object":"list","has_more":true,"data":[]}"#, "Unclear"),
            (r#"{"object":"list","has_more":false,"data":[]}"#, "Nothing"),
            (r#"{"content":[],"last":false}"#, "Unclear"),
            (r#"{"additional_data":{"pagination":{"more_items_in_collection":true}}}"#, "Unclear"),
            ("[]", "Nothing"),
            ("", "Nothing"),
        ] {
            assert_eq!(shown(envelope), chosen, "{envelope}");
        }
    }

    #[test]
    fn headers_come_first() {
        let mut headers = HeaderMap::new();
        headers.insert("Next-Page", HeaderValue::from_static("http://127.0.0.1/records?_token=x"));
        let body = r#"{"next_cursor":"c"}"#;
        let expected = PaginationPlan::NextLink(ValueAt::Header(NEXT_PAGE));
        assert_eq!(detect(&Method::GET, &headers, body), Detection::Found(expected));
        headers.append(LINK, HeaderValue::from_static("</a>; rel=prev"));
        headers.append(LINK, HeaderValue::from_static("</b>; rel=next"));
        assert_eq!(detect(&Method::GET, &headers, body), Detection::Found(PaginationPlan::LinkHeader));
        headers.clear();
        headers.insert("Next-Page", HeaderValue::from_static("2"));
        assert_eq!(detect(&Method::GET, &headers, "[]"), Detection::Nothing);
    }

    #[test]
    fn never_guesses_where_a_post_takes_a_token() {
        assert_eq!(in_body(&Method::POST, r#"{"next_cursor":"c"}"#), Detection::Unclear);
        assert!(matches!(in_body(&Method::POST, r#"{"next":"https://a/"}"#), Detection::Found(_)));
    }
}
