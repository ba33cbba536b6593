//! Finds out from the first answer how a provider pages, where that is certain. Pure.
//!
//! Known spellings come first; then the shape of the response decides (evidence.rs). A link is followed wherever it is. A token is followed
//! when the parameter that takes it follows from its name; a provider that does not know the parameter sends the same page again, and the
//! listing stops with a condition. Numbers are not followed: which parameter takes them, and from which number on, is anyone's guess.

use http::header::{HeaderName, LINK};
use http::{HeaderMap, Method};

use super::evidence::{Evidence, Lead, Reach, To};
use super::link_header;
use super::names::Words;
use super::position::is_end;
use crate::plan::field_path::FieldPath;
use crate::plan::json;
use crate::plan::{PaginationPlan, TokenPlace, ValueAt};

/// What a first answer says about further pages.
#[derive(Clone, Debug, PartialEq)]
pub enum Detection {
    /// There are more, and this is how they are asked for.
    Found(PaginationPlan),
    /// There may be more, and this is how: the token may as well be one for the next poll.
    Likely(PaginationPlan),
    /// There are more, but how they are asked for is anyone's guess. The member that says so, if one does.
    Unclear(Option<String>),
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

/// Interprets a first response. A token counts only for GET: where a POST takes it is never certain.
pub(super) fn detect(method: &Method, headers: &HeaderMap, envelope: &str, said: &Evidence, reach: &Reach) -> Detection {
    if link_header::next_target(headers.get_all(LINK).iter().filter_map(|v| v.to_str().ok())).is_some() {
        return Detection::Found(PaginationPlan::LinkHeader);
    }
    if headers.get(NEXT_PAGE).is_some_and(|v| v.to_str().is_ok_and(looks_like_link)) {
        return Detection::Found(PaginationPlan::NextLink(ValueAt::Header(NEXT_PAGE)));
    }
    let fields = Fields::read(envelope);
    let link = || said.leads().iter().filter(|lead| lead.sure && lead.to == To::Link).find_map(place);
    if let Some(from) = fields.link().map(ValueAt::Field).or_else(link) {
        return Detection::Found(PaginationPlan::NextLink(from));
    }
    let token =
        |from, parameter: &str| PaginationPlan::Token { from, parameter: parameter.to_owned(), place: TokenPlace::Query };
    let is_get = *method == Method::GET;
    match fields.token() {
        Some((from, parameter)) if is_get => return Detection::Found(token(ValueAt::Field(from), parameter)),
        // A response that says that nothing follows is believed, whatever else it contains.
        _ if said.flag() == Some(false) => return Detection::Nothing,
        Some((from, _)) => return Detection::Unclear(Some(from.to_string())),
        None => {}
    }
    let tokens = || said.leads().iter().filter(|lead| lead.to == To::Token);
    let followed = |lead: &Lead| is_get.then(|| Some(token(place(lead)?, &parameter(lead)?))).flatten();
    if let Some(plan) = tokens().filter(|lead| lead.sure).find_map(followed) {
        return Detection::Found(plan);
    }
    if says_more(said, reach) {
        // A flag is certain; a token next to it is most likely the way to the next page.
        return tokens().find_map(followed).map_or_else(|| Detection::Unclear(said.witness(reach)), Detection::Found);
    }
    if said.is_whole(reach) {
        return Detection::Nothing;
    }
    let is_data = |lead: &Lead| said.is_object() && lead.path.len() == 1;
    let mut left_over = said.leads().iter().filter(|lead| !lead.sure && !is_data(lead)).peekable();
    match left_over.peek() {
        Some(lead) => {
            let unclear = || Detection::Unclear(Some(super::members::shown(&lead.path)));
            left_over.clone().find_map(followed).map_or_else(unclear, Detection::Likely)
        }
        None if said.is_full(reach) => Detection::Unclear(None),
        None => Detection::Nothing,
    }
}

/// A total next to an empty first page may be of the list before the filter, unless the response has the page's size, too.
fn says_more(said: &Evidence, reach: &Reach) -> bool {
    match said.more(reach) {
        Some(true) if reach.rows == 0 && said.size().is_none() => {
            said.more(&Reach { position: u64::MAX, ..*reach }) == Some(true)
        }
        more => more == Some(true),
    }
}

fn place(lead: &Lead) -> Option<ValueAt> {
    if lead.is_header {
        return HeaderName::from_bytes(lead.path.first()?.as_bytes()).ok().map(ValueAt::Header);
    }
    let keys: Vec<&str> = lead.path.iter().map(String::as_str).collect();
    field_path(&keys).map(ValueAt::Field)
}

/// The query parameter that takes a token, where its name says so: `cursor` is sent back as `cursor`, and `nextPageToken` as
/// `pageToken`. What is called `token` or `next` may be taken under any name.
fn parameter(lead: &Lead) -> Option<String> {
    let name = lead.path.last().filter(|_| !lead.is_header)?;
    let taken = match name.get(..4).filter(|start| start.eq_ignore_ascii_case("next")) {
        Some(_) => name[4..].trim_start_matches(['_', '-', '.']),
        None => name.as_str(),
    };
    let mut letters = taken.chars();
    let taken: String = letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect();
    let known: &[&[&str]] = &[
        &["cursor"],
        &["page", "token"],
        &["page", "cursor"],
        &["continuation"],
        &["continuation", "token"],
        &["marker"],
        &["bookmark"],
        &["after"],
        &["offset"],
    ];
    Words::of(&taken).is_one_of(known).then_some(taken)
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
        self.value(path).filter(|v| v.starts_with('"')).filter(|v| !is_end(v)).and_then(json::scalar_text)
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
}

fn looks_like_link(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://") || text.starts_with(['/', '?'])
}

fn field_path(path: &[&str]) -> Option<FieldPath> {
    let quote = |key: &&str| if key.contains('\'') { format!("[\"{key}\"]") } else { format!("['{key}']") };
    FieldPath::parse(&path.iter().map(quote).collect::<String>()).ok()
}

#[cfg(test)]
mod tests;
