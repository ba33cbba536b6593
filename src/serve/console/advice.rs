//! What a reason means and what to do about it, as the page of conditions has it. Pure.

use crate::api::conditions::Reason;

/// The page of the documentation that explains every reason.
const PAGE: &str = include_str!("../../../docs/reference/conditions.md");

/// What is known of a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Why it happens.
    pub cause: Vec<Span>,
    /// What to do.
    pub fix: Vec<Span>,
}

/// A part of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The words.
    pub text: String,
    /// Whether it is a name, such as that of a field.
    pub is_code: bool,
}

/// Cause and fix of a reason; `None` for one that this version does not know.
pub fn advice(reason: &str) -> Option<Advice> {
    let (_, entry) = PAGE.split_once(&format!("\n#### `{reason}`\n"))?;
    let entry = entry.split("\n#").next()?;
    Some(Advice { cause: part(entry, "Cause")?, fix: part(entry, "Fix")? })
}

/// What a person who may change the instance can do about a reason on its page, in place of an annotation.
pub fn here(reason: &str) -> Option<&'static str> {
    [
        (Reason::EventsParked, "When the receiver is fixed, select Retry under Events that wait, or Discard."),
        (Reason::ParkedFull, "When the receiver is fixed, select Retry under Events that wait, or Discard."),
        (Reason::DeletesHeld, "If the deletions are right, select Send the held deletions under the resource."),
    ]
    .into_iter()
    .find_map(|(known, words)| (known.as_str() == reason).then_some(words))
}

fn part(entry: &str, name: &str) -> Option<Vec<Span>> {
    let (_, text) = entry.split_once(&format!("**{name}:** "))?;
    let text = text.split("\n**").next()?.trim();
    Some(spans(&without_links(text)))
}

/// Text between backticks is code.
fn spans(text: &str) -> Vec<Span> {
    let parts = text.split('`').enumerate().filter(|(_, part)| !part.is_empty());
    parts.map(|(index, part)| Span { text: part.replace('\n', " "), is_code: index % 2 == 1 }).collect()
}

/// Of `[words](address)`, the words.
fn without_links(text: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once('[') {
        // Brackets in code are no link.
        let link = after.split_once("](").filter(|(words, _)| !words.contains('['));
        let link = link.and_then(|(words, after)| Some((words, after.split_once(')')?.1)));
        out.push_str(before);
        let Some((words, after)) = link else {
            out.push('[');
            rest = after;
            continue;
        };
        out.push_str(words);
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_cause_and_fix_in_plain_words() {
        for reason in Reason::ALL {
            let Some(Advice { cause, fix }) = advice(reason.as_str()) else { panic!("{reason}") };
            assert!(!cause.is_empty() && !fix.is_empty(), "{reason}");
            let words: String = cause.iter().chain(&fix).map(|span| span.text.as_str()).collect();
            assert!(!words.contains("](") && !words.contains("**") && !words.contains('`'), "{reason}: {words}");
        }
        assert_eq!(advice("NoSuchReason"), None);
    }

    #[test]
    fn names_are_code_and_links_are_words() {
        let span = |text: &str, is_code| Span { text: text.to_owned(), is_code };
        let read = spans(&without_links("Set `a[0]` as [this page](x.md#y)\nsays, or [not"));
        assert_eq!(read, [span("Set ", false), span("a[0]", true), span(" as this page says, or [not", false)]);
    }
}
