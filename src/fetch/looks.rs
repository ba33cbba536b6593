//! What a body looks like that is not JSON, by its beginning: what a person can do about it depends on that, and the declared type is often
//! wrong. Pure.

/// Bytes that are looked at.
const LOOKED_AT: usize = 4_096;

/// What a body looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// A page for people: of a login, of a proxy, or of an error.
    Html,
    /// Another XML.
    Xml,
    /// Lines of values between commas, semicolons or tabs.
    Csv,
    /// JSON texts one after another, mostly one a line.
    JsonLines,
    /// JSON as the argument of a function.
    Jsonp,
    /// JSON behind characters that keep a browser from running it.
    Guarded,
    /// JSON with `NaN` or `Infinity`.
    NotANumber,
    /// Something else.
    Unknown,
}

impl Looks {
    /// Looks at a body that stops being JSON at the byte `at`.
    pub(super) fn of(body: &str, at: usize) -> Self {
        let text = body.trim_start();
        let text = text.get(..text.floor_char_boundary(LOOKED_AT)).unwrap_or_default();
        let here = body.get(at..).unwrap_or_default();
        let lower = text.get(..text.floor_char_boundary(256)).unwrap_or_default().to_ascii_lowercase();
        if lower.starts_with("<!doctype html") || lower.contains("<html") || lower.starts_with("<head") {
            return Self::Html;
        }
        match text.as_bytes().first() {
            Some(b'<') => Self::Xml,
            Some(b'{' | b'[') if is_no_number(here) => Self::NotANumber,
            // The first text has ended, and another one begins.
            Some(b'{' | b'[')
                if here.starts_with(['{', '[']) && body.get(..at).is_some_and(|first| is_over(first.trim_end())) =>
            {
                Self::JsonLines
            }
            Some(b'{' | b'[') | None => Self::Unknown,
            Some(b')') => Self::Guarded,
            Some(_) if lower.starts_with("while(1)") || lower.starts_with("for(;;)") => Self::Guarded,
            Some(_) if is_call(text) => Self::Jsonp,
            Some(_) if is_table(text) => Self::Csv,
            Some(_) => Self::Unknown,
        }
    }
}

fn is_no_number(text: &str) -> bool {
    ["NaN", "Infinity", "-Infinity", "-NaN", "nan", "inf"].iter().any(|word| text.starts_with(word))
}

fn is_over(text: &str) -> bool {
    text.ends_with(['}', ']'])
}

/// `callback({…})`, perhaps behind a comment.
fn is_call(text: &str) -> bool {
    let text = text.strip_prefix("/**/").unwrap_or(text).trim_start();
    let name = text.split('(').next().unwrap_or_default();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '.');
    let argument = text.get(name.len()..).and_then(|rest| rest.strip_prefix('(')).unwrap_or_default();
    !name.is_empty() && name.chars().all(is_name) && argument.trim_start().starts_with(['{', '['])
}

/// A line of names between separators, and one below it that has as many of them.
fn is_table(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let Some((head, row)) = lines.next().zip(lines.next()) else { return false };
    [',', ';', '\t'].iter().any(|separator| {
        let columns = |line: &str| line.matches(*separator).count();
        // A comma before a blank is rather one of a sentence.
        columns(head) > 0 && columns(row) >= columns(head) && !head.contains(", ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::split::{SplitError, split};
    use crate::plan::RecordsAs;

    #[test]
    fn each_kind_is_seen_by_its_beginning() {
        for (body, looks) in [
            ("<!DOCTYPE html><html><body>Sign in</body></html>", Looks::Html),
            ("\n<html>", Looks::Html),
            ("<?xml version=\"1.0\"?><html xmlns=\"x\">", Looks::Html),
            ("<?xml version=\"1.0\"?><contacts/>", Looks::Xml),
            ("<contacts><contact/></contacts>", Looks::Xml),
            ("id,name\n1,a\n2,b\n", Looks::Csv),
            ("id;name\r\n1;a\r\n", Looks::Csv),
            ("id\tname\n1\ta", Looks::Csv),
            ("id,name\n", Looks::Unknown),
            ("\"id\",\"name\"\n\"1\",\"a, b\"\n", Looks::Csv),
            ("{\"id\":1}\n{\"id\":2}\n", Looks::JsonLines),
            ("{\"id\":1}{\"id\":2}", Looks::JsonLines),
            ("[1][2]", Looks::JsonLines),
            ("{\"id\":1}\n<b>Notice</b>", Looks::Unknown),
            ("callback({\"data\":[]});", Looks::Jsonp),
            ("/**/ jQuery.cb_1([1])", Looks::Jsonp),
            (")]}',\n[{\"id\":1}]", Looks::Guarded),
            ("while(1);[{\"id\":1}]", Looks::Guarded),
            ("for(;;);{\"a\":1}", Looks::Guarded),
            ("[{\"v\":NaN}]", Looks::NotANumber),
            ("{\"v\":-Infinity}", Looks::NotANumber),
            ("{\"v\":undefined}", Looks::Unknown),
            ("Service unavailable", Looks::Unknown),
            ("Sorry, that went wrong\nPlease, try again", Looks::Unknown),
            ("{'id': 1}", Looks::Unknown),
        ] {
            let read = split(bytes::Bytes::copy_from_slice(body.as_bytes()), None, RecordsAs::List);
            let Err(SplitError::Malformed(_, found)) = read else { panic!("{body}: {read:?}") };
            assert_eq!(found, looks, "{body:?}");
        }
    }
}
