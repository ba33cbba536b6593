//! One pass over JSON text (RFC 8259) that checks it and keeps nothing: the ground on which pages are split and records are read.

/// Containers inside containers that are still read.
pub const MAX_DEPTH: u32 = 64;

/// Where and why a text is no JSON that is read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanError {
    /// Byte offset from the start of the text.
    pub at: usize,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It ends inside a value.
    #[error("it ends too early")]
    Truncated,
    /// `NaN`, `Infinity`, `None`, `undefined` or another bare word.
    #[error("it has a word that JSON does not know")]
    Word,
    /// A malformed number.
    #[error("it has a malformed number")]
    Number,
    /// A malformed string: bad escape or a raw control character.
    #[error("it has a malformed string")]
    Text,
    /// Any other character out of place.
    #[error("it has a character out of place")]
    Syntax,
    /// More text after the value.
    #[error("text follows its end")]
    Trailing,
    /// More than [`MAX_DEPTH`] containers inside each other.
    #[error("it is nested more than 64 levels deep")]
    Depth,
}

/// A position in a JSON text.
pub(crate) struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: u32,
}

impl<'a> Scan<'a> {
    /// Starts in front of the value.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0, depth: 0 }
    }

    /// Bytes read so far.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Skips white space and gives the next byte without consuming it.
    pub(crate) fn peek(&mut self) -> Result<u8, ScanError> {
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                _ => return Ok(byte),
            }
        }
        Err(self.error(Fault::Truncated))
    }

    /// Checks that only white space is left.
    pub(crate) fn end(&mut self) -> Result<(), ScanError> {
        match self.peek() {
            Ok(_) => Err(self.error(Fault::Trailing)),
            Err(_) => Ok(()),
        }
    }

    /// Enters the container that begins the text with one of these brackets; `false` when it is empty and already left again.
    pub(super) fn open(&mut self, open: u8, close: u8) -> Result<bool, ScanError> {
        if self.peek()? == open { self.enter(close) } else { Err(self.error(Fault::Syntax)) }
    }

    /// Enters the container whose bracket is next; `false` when it is empty and already left again.
    pub(crate) fn enter(&mut self, close: u8) -> Result<bool, ScanError> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(Fault::Depth));
        }
        self.at += 1;
        if self.peek()? == close {
            self.at += 1;
            return Ok(false);
        }
        self.depth += 1;
        Ok(true)
    }

    /// After an element: `true` when another one follows, `false` when the container was left.
    pub(crate) fn more(&mut self, close: u8) -> Result<bool, ScanError> {
        let byte = self.peek()?;
        if byte == b',' {
            self.at += 1;
            return Ok(true);
        }
        if byte == close {
            self.at += 1;
            self.depth -= 1;
            return Ok(false);
        }
        Err(self.error(Fault::Syntax))
    }

    /// Reads a member's name and colon; gives the name as sent, without its quotes.
    pub(crate) fn name(&mut self) -> Result<&'a str, ScanError> {
        if self.peek()? != b'"' {
            return Err(self.error(Fault::Syntax));
        }
        let start = self.at + 1;
        self.string()?;
        let name = &self.text[start..self.at - 1];
        if self.peek()? != b':' {
            return Err(self.error(Fault::Syntax));
        }
        self.at += 1;
        Ok(name)
    }

    /// Reads past one value; gives it as sent.
    pub(super) fn value(&mut self) -> Result<&'a str, ScanError> {
        self.peek()?;
        let start = self.at;
        self.skip()?;
        Ok(&self.text[start..self.at])
    }

    /// Reads past one value.
    pub(crate) fn skip(&mut self) -> Result<(), ScanError> {
        match self.peek()? {
            b'"' => self.string(),
            b'{' => {
                let mut more = self.enter(b'}')?;
                while more {
                    self.name()?;
                    self.skip()?;
                    more = self.more(b'}')?;
                }
                Ok(())
            }
            b'[' => {
                let mut more = self.enter(b']')?;
                while more {
                    self.skip()?;
                    more = self.more(b']')?;
                }
                Ok(())
            }
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            byte if byte.is_ascii_alphabetic() => Err(self.error(Fault::Word)),
            _ => Err(self.error(Fault::Syntax)),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), ScanError> {
        let rest = &self.bytes[self.at..];
        if rest.starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.error(if word.starts_with(rest) { Fault::Truncated } else { Fault::Word }))
    }

    fn number(&mut self) -> Result<(), ScanError> {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        if self.byte() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), ScanError> {
        let start = self.at;
        while self.byte().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start {
            return Ok(());
        }
        Err(self.error(match self.byte() {
            None => Fault::Truncated,
            Some(_) => Fault::Number,
        }))
    }

    /// Reads past the string whose opening quote is next.
    fn string(&mut self) -> Result<(), ScanError> {
        self.at += 1;
        loop {
            self.at += plain_run(&self.bytes[self.at..]);
            match self.byte() {
                None => return Err(self.error(Fault::Truncated)),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.error(Fault::Text)),
            }
        }
    }

    fn escape(&mut self) -> Result<(), ScanError> {
        self.at += 1;
        match self.byte() {
            None => Err(self.error(Fault::Truncated)),
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    match self.byte() {
                        None => return Err(self.error(Fault::Truncated)),
                        Some(b) if b.is_ascii_hexdigit() => self.at += 1,
                        Some(_) => return Err(self.error(Fault::Text)),
                    }
                }
                Ok(())
            }
            Some(_) => Err(self.error(Fault::Text)),
        }
    }

    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn error(&self, fault: Fault) -> ScanError {
        ScanError { at: self.at, fault }
    }
}

/// Bytes up to the first quote, backslash or control character; eight at a time, for strings are most of a record.
fn plain_run(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    let mut run = 0;
    for chunk in bytes.as_chunks::<8>().0 {
        let word = u64::from_le_bytes(*chunk);
        // A byte's high bit is set in `x - ONES & !x & HIGH` if the byte is zero; borrows only disturb bytes above the first
        // hit.
        let quote = word ^ (ONES * u64::from(b'"'));
        let slash = word ^ (ONES * u64::from(b'\\'));
        let hits = (quote.wrapping_sub(ONES) & !quote)
            | (slash.wrapping_sub(ONES) & !slash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        let hits = hits & HIGH;
        if hits != 0 {
            return run + (hits.trailing_zeros() / 8) as usize;
        }
        run += 8;
    }
    run + bytes[run..].iter().take_while(|b| !matches!(b, b'"' | b'\\' | 0..0x20)).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str) -> Result<(), ScanError> {
        let mut scan = Scan::new(text);
        scan.skip()?;
        scan.end()
    }

    #[test]
    fn names_place_and_kind_of_a_fault() {
        for (text, at, fault) in [
            ("", 0, Fault::Truncated),
            (" ", 1, Fault::Truncated),
            ("[1,", 3, Fault::Truncated),
            ("{\"a\"", 4, Fault::Truncated),
            ("\"abc", 4, Fault::Truncated),
            ("\"abcdefgh\\", 10, Fault::Truncated),
            ("tru", 0, Fault::Truncated),
            ("[NaN]", 1, Fault::Word),
            ("[nil]", 1, Fault::Word),
            ("[-Infinity]", 2, Fault::Number),
            ("[01]", 2, Fault::Syntax),
            ("[1.]", 3, Fault::Number),
            ("1e", 2, Fault::Truncated),
            ("[+1]", 1, Fault::Syntax),
            ("[1,]", 3, Fault::Syntax),
            ("{a:1}", 1, Fault::Syntax),
            ("{\"a\":1,}", 7, Fault::Syntax),
            ("[1}", 2, Fault::Syntax),
            ("\"a\nb\"", 2, Fault::Text),
            ("\"\\x\"", 2, Fault::Text),
            ("\"\\u12g4\"", 5, Fault::Text),
            ("<html>", 0, Fault::Syntax),
            ("{} {}", 3, Fault::Trailing),
        ] {
            assert_eq!(check(text), Err(ScanError { at, fault }), "{text}");
        }
    }

    #[test]
    fn reads_64_levels_and_not_one_more() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert_eq!(check(&nested(64)), Ok(()));
        assert_eq!(check(&nested(65)), Err(ScanError { at: 64, fault: Fault::Depth }));
        assert_eq!(check(&"[".repeat(1_000_000)).unwrap_err().fault, Fault::Depth);
        assert_eq!(check(&format!("[{}]", ["[[]]"; 100].join(","))), Ok(()), "siblings do not add up");
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in r#"([\[\]{},:"\\u0-9a-f.eE+ -]|null|true|"a"|\n|é){0,24}"#) {
            let judged = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            prop_assert_eq!(check(&text).is_ok(), judged);
        }

        #[test]
        fn finds_the_end_of_a_plain_run(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let slow = bytes.iter().take_while(|b| !matches!(b, b'"' | b'\\' | 0..0x20)).count();
            prop_assert_eq!(plain_run(&bytes), slow);
        }
    }
}
