//! What a member says, by the words of its name and the kind of its value. Pure.

use super::lexicon::{AHEAD, BACK, ESTIMATES, FILLER, NOT_AHEAD, OTHER_TOKENS, PAGE, ROWS, UNITS};
use super::{Lead, To};
use crate::fetch::members::Member;
use crate::fetch::names::Words;
use crate::fetch::position::is_end;

/// A boolean, however it is written; a number only where the name asks a question.
fn truth(words: &Words, value: &str) -> Option<bool> {
    match value.trim_matches('"').to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" => Some(true),
        "false" | "no" | "n" => Some(false),
        "1" if words.has_any(&["has", "is", "more", "truncated"]) => Some(true),
        "0" if words.has_any(&["has", "is", "more", "truncated"]) => Some(false),
        _ => None,
    }
}

/// Whether a member says that more follows; `None` when it is about something else.
pub(super) fn flag(words: &Words, value: &str, near: bool) -> Option<bool> {
    let yes = truth(words, value)?;
    let plain = |own: &[&str]| words.within(&[own, FILLER, ROWS, PAGE]);
    if words.has_any(BACK) {
        return None;
    }
    if words.has("more") {
        if words.first() == "no" {
            return Some(!yes);
        }
        let asks = words.first() == "more" || words.has_any(&["has", "have", "is", "are"]);
        return (plain(&["more", "next", "after"]) || (near && asks)).then_some(yes);
    }
    let ends = ["last", "end", "eof", "ended", "exhausted", "done", "complete", "completed", "finished", "final"];
    if words.has_any(&ends) {
        return plain(&[&ends[..], &["at", "read", "loaded"]].concat()).then_some(!yes);
    }
    let goes_on = words.has_any(&["next", "truncated", "continues", "continued", "remaining"])
        && plain(&["next", "truncated", "continues", "continued"]);
    let cut_off = words.has_any(&["exceeded", "reached"]) && words.has_any(&["limit", "max", "maximum"]);
    (goes_on || (cut_off && !words.has_any(ESTIMATES))).then_some(yes)
}

/// Whether a flag says that there are pages before this one.
pub(super) fn says_previous(words: &Words, value: &str) -> bool {
    let asks = |own: &[&str]| words.within(&[own, &["has", "have", "is", "on", "the"], ROWS, PAGE]);
    match truth(words, value) {
        Some(true) => words.has_any(&["previous", "prev"]) && asks(&["previous", "prev"]),
        Some(false) => words.has("first") && asks(&["first"]),
        None => false,
    }
}

/// A member that leads on, or would and says that it leads nowhere.
pub(super) fn lead(member: &Member<'_>) -> Option<Lead> {
    let Member { words, value, .. } = member;
    if words.has_any(OTHER_TOKENS) || words.has_any(NOT_AHEAD) {
        return None;
    }
    let sure = (words.first() == "next" && words.within(&[AHEAD]))
        || words.is_one_of(&[
            &["last", "evaluated", "key"],
            &["search", "after"],
            &["locator"],
            &["cursor", "mark"],
            &["continue"],
            &["query", "continue"],
        ])
        || (words.has_any(&["continuation", "resumption"]) && words.within(&[AHEAD, &["resumption"]]))
        || (words.has("more")
            && words.has_any(&["link", "url", "uri", "href", "token", "cursor"])
            && words.within(&[AHEAD, &["more"]]))
        || (words.is_one_of(&[&["after", "url"], &["after", "link"], &["scroll", "id"], &["_scroll", "id"]]))
        || (words.has_any(&["page", "paging", "pagination"])
            && words.within(&[&["page", "paging", "pagination", "token", "state", "key"]])
            && words.has_any(&["token", "state", "key"]));
    let to_more_rows = !sure && words.leads_to_more_rows();
    let maybe = words.is_one_of(&[&["after"], &["marker"], &["bookmark"], &["offset"], &["iterator"]])
        || matches!(words.last(), "cursor" | "token");
    // A header's name says less than a member's: `X-Token` is rather a credential.
    if !sure && !to_more_rows && (!maybe || member.is_header) {
        return None;
    }
    let to = match target(words, value) {
        To::Token | To::Position(_) | To::Other if to_more_rows => return None,
        // A number under a name that does not say "next" is where this page is.
        To::Nowhere | To::Position(_) if !sure => return None,
        to => to,
    };
    let in_pages = match () {
        () if words.has_any(&["page", "pages"]) => Some(true),
        () if words.has_any(&["offset", "start", "skip", "from", "row", "index"]) => Some(false),
        () => None,
    };
    Some(Lead { path: member.path.clone(), to, sure: sure || to_more_rows, in_pages, is_header: member.is_header })
}

fn target(words: &Words, value: &str) -> To {
    if is_end(value) {
        return To::Nowhere;
    }
    match value.as_bytes().first() {
        Some(b'{' | b'[' | b't') | None => return To::Other,
        _ => {}
    }
    let text = value.trim_matches('"');
    let opaque = words.has_any(&["token", "cursor", "marker", "mark", "key", "id", "bookmark", "state"]);
    let text = text.replace(r"\/", "/");
    if !opaque && (text.starts_with("http://") || text.starts_with("https://") || text.starts_with(['/', '?'])) {
        return To::Link;
    }
    let is_place = words.is(&["next"])
        || (words.has_any(&[
            "page", "offset", "start", "index", "skip", "from", "number", "num", "no", "row", "results", "records", "items",
        ]) && !words.has_any(&["token", "cursor", "key", "id", "after", "state"]));
    match text.parse::<u64>() {
        Ok(number) if is_place => To::Position(number),
        _ => To::Token,
    }
}

/// Whether the name of a query parameter is one that asks for the size of a page.
pub(in crate::fetch) fn asks_for_size(name: &str) -> bool {
    let words = Words::of(name);
    matches!(counted(&words, false), Some(Counted::Size))
        || words.is_one_of(&[&["top"], &["$top"], &["size"], &["rows"], &["count"], &["max"], &["take"], &["first"], &["num"]])
}

/// Whether the name of a query parameter may be one that asks for the size of a page, in whatever words.
pub(in crate::fetch) fn may_ask_for_size(name: &str) -> bool {
    const SIZE: &[&str] = &[
        "limit", "size", "per", "top", "take", "max", "maximum", "first", "count", "num", "n", "fetch", "length", "len",
        "pagelen", "rpp", "rows", "row", "results", "records", "items", "entries",
    ];
    const AROUND: &[&str] = &["of", "number", "no", "the"];
    let words = Words::of(name);
    words.within(&[SIZE, ROWS, PAGE, AROUND]) && words.has_any(SIZE)
}

/// What a number is that may be the size of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeated {
    /// What was asked for.
    Asked,
    /// That, or the rows of the page.
    AskedOrGiven,
}

/// A number that may repeat the size that was asked for, where it is next to the place of the page.
pub(super) fn repeated_size(words: &Words) -> Option<Repeated> {
    if words.is_one_of(&[&["take"], &["top"], &["max"], &["first"], &["fetch"], &["maximum"]]) {
        return Some(Repeated::Asked);
    }
    let is_either = words.is_one_of(&[&["size"], &["rows"], &["length"], &["num"], &["results"], &["items"], &["records"]])
        || (words.has_any(&["number", "num"]) && words.within(&[&["number", "num", "of"], ROWS]) && words.has_any(ROWS));
    is_either.then_some(Repeated::AskedOrGiven)
}

/// Words of the names of offsets, whatever else they have: `page[offset]`.
const OFFSETS: &[&str] = &["offset", "skip"];

/// Whether the name of a query parameter is one that counts pages.
pub(in crate::fetch) fn counts_pages(name: &str) -> bool {
    let words = Words::of(name);
    words.has_any(&["page", "pages", "pg", "p"])
        && !words.has_any(OFFSETS)
        && !words.has_any(&["token", "cursor", "key", "id", "after", "before", "start", "from", "row"])
        && !matches!(counted(&words, false), Some(Counted::Size))
}

/// Whether the name of a query parameter is one that counts rows.
pub(in crate::fetch) fn counts_rows(name: &str) -> bool {
    let words = Words::of(name);
    words.has_any(OFFSETS) || (words.has_any(&["start", "from", "row"]) && !words.has_any(&["page", "pages"]))
}

pub(super) fn number(value: &str) -> Option<u64> {
    let text = value.trim_matches('"').trim();
    text.parse().ok().or_else(|| grouped(text))
}

/// `1,030`, `1 030` and `1'030`, as numbers are written for people. Not `1.030`, which is rather an amount.
fn grouped(text: &str) -> Option<u64> {
    let separator =
        text.chars().find(|c| !c.is_ascii_digit()).filter(|c| matches!(c, ',' | '\'' | '\u{2019}') || c.is_whitespace())?;
    let mut groups = text.split(separator);
    let first = groups.next().filter(|first| (1..=3).contains(&first.len()))?;
    let digits = groups.try_fold(first.to_owned(), |digits, group| (group.len() == 3).then(|| digits + group))?;
    digits.parse().ok()
}

/// A place in a list in words for people: `1 of 3`, `Page 1/3`, `1-20 of 57`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// This page and the number of pages.
    Page { page: u64, of: u64 },
    /// From which row to which, and the number of rows.
    Rows { of: u64 },
}

/// What a text says of the place in the list; under a name that has no word of paging it may be of anything else.
pub(super) fn part(words: &Words, value: &str) -> Option<Part> {
    let text = value.strip_prefix('"')?.strip_suffix('"')?.replace(r"\/", "/").to_ascii_lowercase();
    let text = text.strip_prefix("page").unwrap_or(&text).trim();
    let (here, of) = text.split_once(" of ").or_else(|| text.split_once('/'))?;
    let of = of.trim().split(' ').next()?.parse().ok()?;
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let range = || here.split_once('-').or_else(|| here.split_once('–')).and_then(|(a, b)| Some((number(a)?, number(b)?)));
    if let Some(page) = number(here) {
        let is_page = words.has("page") || words.is_one_of(&[&["current"], &["position"], &["progress"]]);
        return (is_page && page <= of).then_some(Part::Page { page, of });
    }
    let (first, last) = range()?;
    let is_rows = words.has_any(ROWS) || words.has_any(PAGE) || words.is_one_of(&[&["range"], &["showing"], &["shown"]]);
    (is_rows && first <= last && last <= of).then_some(Part::Rows { of })
}

pub(super) enum Counted {
    Pages,
    Page,
    Size,
    Start,
    /// Rows of the whole list, after the filter.
    Filtered,
    Total,
    /// Rows of something.
    Rows,
    Remaining,
}

/// What a number counts, by the words of its name. `in_total`: it is in an object with that name (`{"total":{"value":9}}`).
pub(super) fn counted(words: &Words, in_total: bool) -> Option<Counted> {
    const NUMBER: &[&str] =
        &["number", "num", "no", "nr", "nb", "of", "count", "total", "last", "max", "all", "available", "result", "results"];
    if words.has_any(ESTIMATES) {
        return None;
    }
    if in_total {
        return words.is_one_of(&[&["value"], &["count"]]).then_some(Counted::Total);
    }
    if words.has("per")
        || words.is_one_of(&[
            &["page", "size"],
            &["page", "length"],
            &["page", "limit"],
            &["limit"],
            &["pagelen"],
            &["rpp"],
            &["batch", "size"],
            &["size", "page"],
        ])
        || (words.has("max") && words.has_any(ROWS))
    {
        return Some(Counted::Size);
    }
    if words.is_one_of(&[
        &["page"],
        &["current"],
        &["page", "number"],
        &["page", "num"],
        &["page", "no"],
        &["page", "nr"],
        &["page", "index"],
        &["number"],
    ]) || (words.has("page") && words.has_any(&["current", "cur", "this"]) && !words.has("count"))
    {
        return Some(Counted::Page);
    }
    if (words.has("pages") && words.within(&[NUMBER, &["pages"]])) || (words.has("page") && words.within(&[NUMBER, &["page"]]))
    {
        return Some(Counted::Pages);
    }
    if words.is_one_of(&[
        &["offset"],
        &["start"],
        &["start", "at"],
        &["start", "index"],
        &["skip"],
        &["from"],
        &["start", "row"],
    ]) {
        return Some(Counted::Start);
    }
    if words.is(&["more"]) {
        return Some(Counted::Remaining);
    }
    if words.has_any(&["remaining", "left"]) {
        return words
            .within(&[&["remaining", "left", "count", "number", "of"], ROWS, PAGE])
            .then_some(Counted::Remaining)
            .filter(|_| words.has_any(ROWS));
    }
    if words.has("filtered") && words.within(&[&["filtered", "total", "count"], ROWS]) {
        return Some(Counted::Filtered);
    }
    if words.has_any(UNITS) {
        return None;
    }
    if words.has("total")
        || words.is_one_of(&[
            &["num", "found"],
            &["nb", "hits"],
            &["full", "count"],
            &["all", "count"],
            &["inline", "count"],
            &["inlinecount"],
        ])
        || (words.has("matched") && words.within(&[&["number", "num", "matched", "count", "total"], ROWS]))
    {
        return Some(Counted::Total);
    }
    words
        .within(&[&["count", "found", "matches", "hits"], ROWS])
        .then_some(Counted::Rows)
        .filter(|_| words.has_any(&["count", "found", "matches", "hits"]))
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn counts_may_be_written_for_people() {
        for (value, count) in [
            ("30", Some(30)),
            (r#""30""#, Some(30)),
            (r#""1,030""#, Some(1_030)),
            (r#""12 345 678""#, Some(12_345_678)),
            ("\"1\u{a0}030\"", Some(1_030)),
            (r#""1'030""#, Some(1_030)),
            (r#""1.030""#, None),
            (r#""1,03""#, None),
            (r#""1234,567""#, None),
            (r#""1,030.50""#, None),
            (r#"",030""#, None),
            (r#""1,2""#, None),
            ("30.0", None),
            ("-1", None),
            (r#""many""#, None),
        ] {
            assert_eq!(number(value), count, "{value}");
        }
    }
}
