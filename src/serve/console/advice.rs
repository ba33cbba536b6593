//! What a reason means and what to do about it, as the page of conditions has it. Pure.

/// The page of the documentation that explains every reason.
const PAGE: &str = include_str!("../../../docs/reference/conditions.md");

/// What is known of a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Why it happens.
    pub cause: Vec<Span>,
    /// What to do.
    pub fix: Vec<Span>,
    /// The same for a person who has the buttons of the page.
    pub fix_here: Vec<Span>,
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
    let fix = part(entry, "Fix")?;
    Some(Advice { cause: spans(&part(entry, "Cause")?), fix_here: spans(&by_buttons(&fix)), fix: spans(&fix) })
}

/// What annotations ask for, in the words of the page of conditions and of messages, and the same by the buttons of the page of an instance.
const BUTTONS: [(&str, &str); 10] = [
    ("set the annotation `pollinator.dev/poll-now` to a new value", "select Poll now"),
    (
        "set the annotation `pollinator.dev/redeliver: RESOURCE`, or drop the events with `pollinator.dev/discard`",
        "select Retry under Events that wait, or Discard",
    ),
    ("set the annotation `pollinator.dev/approve-deletes: RESOURCE`", "select Send the held deletions under the resource"),
    ("set the annotation `pollinator.dev/reset`", "select Reset under the resource"),
    ("the annotation `pollinator.dev/reset` starts the damaged resources again", "select Reset under each damaged resource"),
    ("or the annotation pollinator.dev/poll-now does", "or you select Poll now"),
    ("set the annotation pollinator.dev/redeliver", "select Retry under Events that wait"),
    ("set the annotation pollinator.dev/approve-deletes", "select Send the held deletions"),
    ("set the annotation pollinator.dev/reset", "select Reset under the resource"),
    ("with the annotation pollinator.dev/reset", "with Reset under the resource"),
];

/// Text for a person who has the buttons.
pub fn by_buttons(text: &str) -> String {
    BUTTONS.iter().fold(text.to_owned(), |text, (annotation, button)| text.replace(annotation, button))
}

fn part(entry: &str, name: &str) -> Option<String> {
    let (_, text) = entry.split_once(&format!("**{name}:** "))?;
    let text = text.split("\n**").next()?.trim();
    Some(without_links(text).replace('\n', " "))
}

/// Text between backticks is code.
fn spans(text: &str) -> Vec<Span> {
    let parts = text.split('`').enumerate().filter(|(_, part)| !part.is_empty());
    parts.map(|(index, part)| Span { text: part.to_owned(), is_code: index % 2 == 1 }).collect()
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
    use crate::api::conditions::Reason;

    #[test]
    fn every_reason_has_cause_and_fix_in_plain_words() {
        for reason in Reason::ALL {
            let Some(Advice { cause, fix, fix_here }) = advice(reason.as_str()) else { panic!("{reason}") };
            assert!(!cause.is_empty() && !fix.is_empty(), "{reason}");
            let words: String = cause.iter().chain(&fix).map(|span| span.text.as_str()).collect();
            let here: String = fix_here.iter().map(|span| span.text.as_str()).collect();
            assert!(!here.contains("pollinator.dev/"), "{reason}: {here}");
            assert!(!words.contains("](") && !words.contains("**") && !words.contains('`'), "{reason}: {words}");
        }
        assert_eq!(advice("NoSuchReason"), None);
    }

    #[test]
    fn names_are_code_and_links_are_words() {
        let span = |text: &str, is_code| Span { text: text.to_owned(), is_code };
        let read = spans(&without_links("Set `a[0]` as [this page](x.md#y) says, or [not"));
        assert_eq!(read, [span("Set ", false), span("a[0]", true), span(" as this page says, or [not", false)]);
    }
}
