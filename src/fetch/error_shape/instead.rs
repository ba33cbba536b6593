//! What an answer says in the place of its list, where it has none: that a person has to log in, that the list is not ready yet, that a quota
//! is used up, in whatever words. An empty list that is left out says nothing of the kind. Pure.
//!
//! Such an answer has no member that the rules for errors know. So what counts is a sentence, whatever it says; a flag, a status or a link
//! whose name or word speaks of a refusal or of waiting; and a return code below zero. What an object with an id of its own has is data,
//! and an answer that counts no rows, or says that the call went well, is an empty list whatever else it says.

use super::rowless::{RETURNED, SPOKEN};
use super::{CODE, is_good_code, is_ok, text_of};
use crate::fetch::members;
use crate::fetch::names::Words;
use crate::plan::field_path::Segment;
use crate::plan::json;

/// Names of sentences that say what a list is, and not what became of the request.
const DESCRIPTIVE: &[&str] = &[
    "title",
    "subtitle",
    "name",
    "description",
    "summary",
    "label",
    "caption",
    "about",
    "copyright",
    "rights",
    "license",
    "licence",
    "legal",
    "attribution",
    "credits",
    "terms",
    "disclaimer",
    "generator",
    "author",
    "publisher",
    "provider",
    "source",
    "documentation",
    "docs",
    "doc",
    "help",
    "usage",
    "query",
    "search",
    "filter",
    "sort",
    "sql",
    "statement",
    "expression",
    "address",
    "company",
    "account",
    "organization",
];
/// Words of flags that say, when they are true, why there is no list.
const REFUSING: &[&str] = &[
    "login",
    "relogin",
    "signin",
    "reauth",
    "reauthenticate",
    "reauthorize",
    "unauthenticated",
    "unauthorized",
    "forbidden",
    "denied",
    "refused",
    "rejected",
    "expired",
    "blocked",
    "banned",
    "suspended",
    "throttled",
    "maintenance",
    "unavailable",
    "captcha",
    "timeout",
];
/// The same of what is allowed.
const ALLOWED: &[&str] =
    &["quota", "quotas", "limit", "limits", "rate", "ratelimit", "usage", "credits", "allowance", "requests"];
const SPENT: &[&str] = &["exceeded", "exhausted", "reached", "spent", "depleted", "limited"];
/// What the state of a list is that is still made.
const WAITING: &[&str] = &[
    "pending",
    "queued",
    "enqueued",
    "processing",
    "inprogress",
    "running",
    "accepted",
    "started",
    "starting",
    "scheduled",
    "building",
    "preparing",
    "generating",
    "loading",
    "waiting",
    "initializing",
    "notready",
];
const STATE: &[&[&str]] =
    &[&["status"], &["state"], &["phase"], &["stage"], &["job", "status"], &["job", "state"], &["query", "status"]];
/// Names whose false says that the request was refused, unless a list in another place is empty.
const OUTCOME: &[&[&str]] = &[&["result"], &["outcome"], &["response"], &["valid"], &["authorized"], &["allowed"]];
const LEADS_AWAY: &[&str] = &["redirect", "login", "signin"];
const LINK: &[&str] = &["redirect", "login", "signin", "url", "uri", "link", "href", "to", "location", "page"];
const IDENTITY: &[&[&str]] = &[&["id"], &["uuid"], &["guid"]];

/// The member that says something in the place of the list, which is missing or empty in another form than that of a list. `path` leads to
/// where it should be.
pub(in crate::fetch) fn said_instead(text: &str, path: &[Segment]) -> Option<String> {
    let (mut object, mut names, mut rest) = (text.trim(), Vec::new(), path);
    // What wraps the list speaks for it, too.
    loop {
        let step = match rest.split_first() {
            Some((Segment::Key(key), _)) => Some(key.as_str()),
            _ => None,
        };
        if let Some(name) = said_in(object, step) {
            names.push(name);
            return Some(members::shown(&names));
        }
        let key = step?;
        object = json::member(object, key)?.trim();
        names.push(key.to_owned());
        rest = &rest[1..];
    }
}

/// The same in one object, in which `step` leads on to the list.
fn said_in(object: &str, step: Option<&str>) -> Option<String> {
    let is_left_out = step.is_some_and(|step| json::member(object, step).is_none());
    let (mut refusal, mut sentence) = (None, None);
    let (mut is_data, mut is_fine) = (false, false);
    json::for_each_member(object, |name, value| {
        let words = Words::of(name);
        is_data |= words.is_one_of(IDENTITY) && value != "null";
        is_fine |= says_fine(&words, value) || counts_no_rows(&words, value);
        let is_step = step == Some(name);
        if refusal.is_none()
            && !is_step
            && (refuses(&words, value) || (is_left_out && words.is_one_of(OUTCOME) && value == "false"))
        {
            refusal = Some(name.to_owned());
        }
        if sentence.is_none()
            && !words.has_any(DESCRIPTIVE)
            && text_of(value).is_some_and(|text| is_sentence(&text) && !is_ok(&text))
        {
            sentence = Some(name.to_owned());
        }
    });
    if is_data { None } else { refusal.or(sentence.filter(|_| !is_fine)) }
}

fn says_fine(words: &Words, value: &str) -> bool {
    let is_code = words.is_one_of(CODE) || words.is_one_of(RETURNED);
    let is_success = words.is_one_of(&[&["success"], &["is", "success"], &["ok"]]) && value == "true";
    (is_code && value != "null" && value != "\"\"" && is_good_code(value)) || is_success
}

fn counts_no_rows(words: &Words, value: &str) -> bool {
    words.has_any(&["total", "count", "found", "size", "results", "hits", "records", "items", "rows"])
        && matches!(value, "0" | "\"0\"")
}

fn refuses(words: &Words, value: &str) -> bool {
    let is_true = matches!(value, "true" | "\"true\"");
    let text = || text_of(value).filter(|text| !text.is_empty());
    let is_spent = words.has_any(ALLOWED) && words.has_any(SPENT);
    match () {
        () if is_true && (words.has_any(REFUSING) || is_spent) => true,
        () if words.is_one_of(STATE) => text().is_some_and(|text| is_waiting(&text)),
        () if words.has_any(LEADS_AWAY) && words.within(&[LINK]) => text().is_some(),
        () if words.is_one_of(RETURNED) && !words.is_one_of(SPOKEN) => {
            value.trim_matches('"').parse::<i64>().is_ok_and(|code| code < 0)
        }
        () => false,
    }
}

fn is_waiting(text: &str) -> bool {
    let word: String = text.chars().filter(|c| c.is_alphabetic()).flat_map(char::to_lowercase).collect();
    WAITING.contains(&word.as_str()) || REFUSING.contains(&word.as_str())
}

/// Whether a text is written for people: some words, and not a date, a name or a code.
fn is_sentence(text: &str) -> bool {
    let letters = |word: &&str| {
        let word = word.trim_matches(|c: char| c.is_ascii_punctuation());
        word.chars().count() > 1 && word.chars().all(|c| c.is_alphabetic() || c == '\'')
    };
    let words: Vec<_> = text.split_whitespace().filter(letters).collect();
    let is_small = |word: &&&str| word.trim_start_matches(|c: char| !c.is_alphabetic()).starts_with(char::is_lowercase);
    let is_long = words.len() > 3 || (words.len() > 2 && !text.contains(|c: char| c.is_ascii_digit()));
    // In names each word begins with a capital letter.
    let is_shouted = words.len() > 3 && !text.contains(char::is_lowercase);
    is_long && (words.iter().filter(is_small).count() > 1 || is_shouted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::place;

    fn said(text: &str, path: &str) -> Option<String> {
        said_instead(text, &place::read(path).unwrap())
    }

    #[test]
    fn what_is_said_in_the_place_of_a_list_is_no_empty_list() {
        for (text, member) in [
            (r#"{"Note":"Thank you for using our API! Our standard rate limit is 25 requests per day."}"#, "Note"),
            (r#"{"Information":"Please subscribe to a premium plan"}"#, "Information"),
            (r#"{"Hinweis":"Bitte melden Sie sich an"}"#, "Hinweis"),
            (r#"{"text":"SERVICE KEY IS NOT KNOWN."}"#, "text"),
            (r#"{"login":true}"#, "login"),
            (r#"{"reauth":true}"#, "reauth"),
            (r#"{"quotaExceeded":true}"#, "quotaExceeded"),
            (r#"{"rate_limited":"true"}"#, "rate_limited"),
            (r#"{"redirect":"/login"}"#, "redirect"),
            (r#"{"loginUrl":"https://x.example/login"}"#, "loginUrl"),
            (r#"{"status":"processing","retry_after":3}"#, "status"),
            (r#"{"state":"In Progress","jobId":"x"}"#, "state"),
            (r#"{"state":"queued"}"#, "state"),
            (r#"{"status":"suspended"}"#, "status"),
            (r#"{"result":false}"#, "result"),
            (r#"{"data":null,"ret":-100}"#, "ret"),
            (r#"{"data":null,"note":"Please upgrade your plan"}"#, "note"),
        ] {
            assert_eq!(said(text, "data").as_deref(), Some(member), "{text}");
        }
        assert_eq!(said(r#"{"d":{"notice":"The service is moving"}}"#, "d.items").as_deref(), Some("d.notice"));
    }

    #[test]
    fn an_empty_list_that_is_left_out_says_nothing() {
        for text in [
            "{}",
            "null",
            "[]",
            r#"{"resultSizeEstimate":0}"#,
            r#"{"kind":"calendar#events","etag":"\"p33k\"","summary":"All of the team's events"}"#,
            r#"{"nextSyncToken":"x","updated":"Tue, 01 Dec 2026 09:00:00 GMT"}"#,
            r#"{"resourceType":"Bundle","type":"searchset","total":0}"#,
            r#"{"data":null,"total":0,"message":"Your request was handled by node 7"}"#,
            r#"{"code":0,"message":"The request has been handled","data":null}"#,
            r#"{"success":true,"message":"Everything in your account is up to date"}"#,
            r#"{"message":"There are no records in this list"}"#,
            r#"{"query":"select id from contacts where true","done":true}"#,
            r#"{"id":7,"text":"Please read this post of mine","locked":true}"#,
            r#"{"status":"ok","login":false,"maintenance":false}"#,
            r#"{"status":"active","state":"open","limit":100,"rate":5}"#,
            r#"{"timeZone":"Central European Standard Time","organization":"The shop of Mr and Mrs Ford"}"#,
            r#"{"data":{},"result":false}"#,
            r#"{"result":"x","redirect":null,"url":"/list"}"#,
        ] {
            assert_eq!(said(text, "data"), None, "{text}");
        }
        assert_eq!(said(r#"{"result":false}"#, "result"), None, "as PHP writes an empty list");
    }
}
