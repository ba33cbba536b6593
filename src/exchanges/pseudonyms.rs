//! Replacements that are the same for one text wherever it is met: ids, tokens, and names that are data. Pure.

use std::collections::{HashMap, HashSet};

/// What the origin of the provider is replaced by: the server that repeats the exchanges writes its own there.
pub const ORIGIN: &str = "{origin}";

/// Replacements of one recording.
#[derive(Debug, Default)]
pub struct Pseudonyms {
    ids: HashMap<String, String>,
    others: HashMap<(Kind, String), String>,
    used: HashSet<String>,
}

/// What is replaced apart from ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Token,
    Number,
    Name,
}

impl Pseudonyms {
    /// Replacements for these ids, none of which is another one of them.
    pub fn of(ids: &[String]) -> Self {
        let mut new = Self { used: ids.iter().cloned().collect(), ..Self::default() };
        for id in ids {
            new.id(id);
        }
        new
    }

    /// The replacement of an id.
    pub fn id(&mut self, text: &str) -> String {
        if let Some(known) = self.ids.get(text) {
            return known.clone();
        }
        let new = self.unused(self.ids.len(), |number| like(text, number));
        self.ids.insert(text.to_owned(), new.clone());
        new
    }

    /// The replacement of a text, if it is an id.
    pub fn known(&self, text: &str) -> Option<&str> {
        self.ids.get(text).map(String::as_str)
    }

    /// The replacement of a token or of a part of a link.
    pub fn token(&mut self, text: &str) -> String {
        self.other(Kind::Token, text, |number| format!("token-{number}"))
    }

    /// The same for a token that is a number.
    pub fn number(&mut self, text: &str) -> String {
        self.other(Kind::Number, text, |number| like(text, number))
    }

    /// The replacement of the name of a member that is data.
    pub fn name(&mut self, text: &str) -> String {
        self.other(Kind::Name, text, |number| format!("name-{number}"))
    }

    fn other(&mut self, kind: Kind, text: &str, new: impl Fn(usize) -> String) -> String {
        if let Some(known) = self.ids.get(text) {
            return known.clone();
        }
        let key = (kind, text.to_owned());
        if let Some(known) = self.others.get(&key) {
            return known.clone();
        }
        let new = self.unused(self.others.len(), new);
        self.others.insert(key, new.clone());
        new
    }

    fn unused(&mut self, before: usize, new: impl Fn(usize) -> String) -> String {
        let mut number = before + 1;
        loop {
            let candidate = new(number);
            if self.used.insert(candidate.clone()) {
                return candidate;
            }
            number += 1;
        }
    }
}

/// A text of the same form with a number in it: digits, a UUID, a URL, or a word.
fn like(text: &str, number: usize) -> String {
    let is_number = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
    if text.contains(|c: char| c.is_ascii_digit()) && text.chars().all(is_number) {
        let digits = text.chars().filter(char::is_ascii_digit).count();
        return format!("1{number:0width$}", width = digits.saturating_sub(1));
    }
    if is_uuid(text) {
        return format!("00000000-0000-4000-8000-{number:012}");
    }
    if text.contains("://") { format!("{ORIGIN}/ids/{number}") } else { format!("id-{number}") }
}

/// Whether a text is a UUID in its usual form.
pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_keeps_its_form_and_is_always_replaced_alike() {
        let ids =
            ["7", "10001", "9007199254740993", "cus_Ab3", "3f2b8a10-11aa-4bbb-8ccc-0123456789ab", "https://h.example/users/7"]
                .map(str::to_owned);
        let mut pseudonyms = Pseudonyms::of(&ids);
        let masked: Vec<_> = ids.iter().map(|id| pseudonyms.id(id)).collect();
        assert_eq!(
            masked,
            ["11", "10002", "1000000000000003", "id-4", "00000000-0000-4000-8000-000000000005", "{origin}/ids/6"]
        );
        assert_eq!((pseudonyms.known("7"), pseudonyms.known("8")), (Some("11"), None));
        assert_eq!((pseudonyms.token("7"), pseudonyms.token("abc")), ("11".to_owned(), "token-1".to_owned()));
        assert_eq!((pseudonyms.token("abc"), pseudonyms.name("abc")), ("token-1".to_owned(), "name-2".to_owned()));
    }

    #[test]
    fn no_id_is_replaced_by_one_that_exists() {
        let ids: Vec<_> = (10_001..10_200).map(|id| id.to_string()).collect();
        let mut pseudonyms = Pseudonyms::of(&ids);
        let masked: HashSet<_> = ids.iter().map(|id| pseudonyms.id(id)).collect();
        assert_eq!(masked.len(), ids.len());
        assert!(ids.iter().all(|id| !masked.contains(id)));
    }
}
