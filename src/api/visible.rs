//! Text from elsewhere as people read it: nothing in it moves a cursor, clears a screen or changes the order of what is shown.
//!
//! Ids, names and values come from providers, receivers and manifests. Terminals act on control characters (ECMA-48), and the characters
//! that set a direction (UAX #9) can make a line read as another one.

use std::borrow::Cow;
use std::fmt::{self, Display, Write};

/// Whether a character shows nothing itself, but changes how others are shown. Line breaks and tabs are among them.
pub fn is_hidden(character: char) -> bool {
    character.is_control() || is_direction(character) || matches!(character, '\u{2028}' | '\u{2029}')
}

/// Whether it sets the direction of what follows.
pub fn is_direction(character: char) -> bool {
    matches!(character, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// A text within a line: hidden characters are escaped as JSON does it.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(is_hidden) { Escaped { text, escapes: is_hidden }.to_string().into() } else { text.into() }
}

/// The beginning of a name for a message: at most `longest` characters, without hidden ones.
pub fn beginning(name: &str, longest: usize) -> String {
    name.chars().filter(|character| !is_hidden(*character)).take(longest).collect()
}

/// A text in which characters that set a direction are escaped, and no others.
pub fn without_directions(text: &str) -> String {
    Escaped { text, escapes: is_direction }.to_string()
}

/// Lines: hidden characters other than line breaks and tabs are escaped as JSON does it, so that a line of JSON means the same as before.
#[derive(Clone, Copy, Debug)]
pub struct Lines<T>(pub T);

impl<T: Display> Display for Lines<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escapes = |character| is_hidden(character) && !matches!(character, '\n' | '\t');
        write!(f, "{}", Escaped { text: &self.0, escapes })
    }
}

struct Escaped<T, E> {
    text: T,
    escapes: E,
}

impl<T: Display, E: Fn(char) -> bool + Copy> Display for Escaped<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping { to: f, escapes: self.escapes }, "{}", self.text)
    }
}

struct Escaping<'f, 'b, E> {
    to: &'f mut fmt::Formatter<'b>,
    escapes: E,
}

impl<E: Fn(char) -> bool> Write for Escaping<'_, '_, E> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(&self.escapes) {
            let (plain, from) = rest.split_at(at);
            self.to.write_str(plain)?;
            let mut characters = from.chars();
            // All of them are in the basic plane: four digits name them.
            characters.next().map_or(Ok(()), |hidden| write!(self.to, "\\u{:04x}", u32::from(hidden)))?;
            rest = characters.as_str();
        }
        self.to.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(one_line("a\u{1b}[2J\nb"), "a\\u001b[2J\\u000ab");
        assert_eq!(one_line("42\u{202e}21"), "42\\u202e21");
        assert_eq!(one_line("\u{9b}31m é ✓"), "\\u009b31m é ✓");
        assert!(matches!(one_line("contacts é"), Cow::Borrowed(_)));
        assert_eq!(beginning("a\u{202e}b\ncd", 3), "abc");
        assert_eq!(Lines("a\tb\r\nc\u{7f}").to_string(), "a\tb\\u000d\nc\\u007f");
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left_and_json_means_the_same(text: String) {
            prop_assert!(!one_line(&text).contains(is_hidden));
            let json = serde_json::to_string(&text).unwrap();
            let shown = Lines(&json).to_string();
            prop_assert!(!shown.contains(is_hidden));
            prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
    }
}
