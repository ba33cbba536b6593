//! The `where` of hub URLs: `field op 'literal'`, joined by `and` or `or`, with the quotes that real configurations lost.

/// One comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub field: String,
    pub operator: String,
    pub value: String,
}

/// A parsed `where`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Where {
    pub terms: Vec<Term>,
    /// Whether any `or` was between them.
    pub has_or: bool,
    /// Whether a quote was never closed, or closed twice.
    pub is_unbalanced: bool,
}

const OPERATORS: [&str; 8] = [">=", "<=", "!=", "<>", "==", "=", ">", "<"];
const WORDS: [&str; 9] = ["gte", "gt", "ge", "lte", "lt", "le", "eq", "ne", "like"];

impl Term {
    /// Whether its value depends on the time of the poll.
    pub fn is_time(&self) -> bool {
        self.value.contains("${")
    }

    pub fn is_equality(&self) -> bool {
        matches!(self.operator.as_str(), "=" | "==" | "eq")
    }
}

/// Parses a `where`; `None` when a part of it is no comparison.
pub(super) fn parse(text: &str) -> Option<Where> {
    let mut found = Where::default();
    // A quote that was closed twice would hide every `and` behind it.
    let closed_once = text.replace("''", "'");
    split(text, &mut found.is_unbalanced);
    let text = if found.is_unbalanced { closed_once.as_str() } else { text };
    for (part, joined_by_or) in split(text, &mut false) {
        found.has_or |= joined_by_or;
        if !part.trim().is_empty() {
            found.terms.push(term(part.trim())?);
        }
    }
    Some(found)
}

/// The parts between `and` and `or` outside of quotes and macros, each with whether an `or` was before it.
fn split<'a>(text: &'a str, is_unbalanced: &mut bool) -> Vec<(&'a str, bool)> {
    let mut parts = Vec::new();
    let (mut start, mut at, mut quoted, mut by_or) = (0, 0, false, false);
    while let Some(character) = text[at..].chars().next() {
        let rest = &text[at..];
        if rest.starts_with("${") {
            at += rest.find('}').map_or(rest.len(), |end| end + 1);
            continue;
        }
        if character == '\'' {
            quoted = !quoted;
        } else if character.is_whitespace() && !quoted {
            let word = rest.trim_start();
            let joint = ["and", "or"].into_iter().find(|joint| {
                let follows = word.get(..joint.len()).is_some_and(|start| start.eq_ignore_ascii_case(joint));
                follows && word[joint.len()..].starts_with(char::is_whitespace)
            });
            if let Some(joint) = joint {
                parts.push((&text[start..at], by_or));
                by_or = joint == "or";
                at += rest.len() - word.len() + joint.len();
                start = at;
                continue;
            }
        }
        at += character.len_utf8();
    }
    parts.push((&text[start..], by_or));
    *is_unbalanced = quoted;
    parts
}

fn term(text: &str) -> Option<Term> {
    let (field, rest) = if let Some(quoted) = text.strip_prefix('\'') {
        quoted.split_once('\'')?
    } else {
        text.split_at(text.find(|c: char| c.is_whitespace() || "<>=!".contains(c))?)
    };
    let rest = rest.trim_start();
    let sign = OPERATORS.into_iter().find(|operator| rest.starts_with(operator));
    let operator = sign.or_else(|| {
        let word = |word: &&str| rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        WORDS.into_iter().filter(word).find(|word| rest[word.len()..].starts_with([' ', '\'']))
    })?;
    let value = rest[operator.len()..].trim();
    // A quote too many at the end is met in published configurations.
    let value = value.strip_prefix('\'').map_or(value, |value| value.trim_end_matches('\'').trim_end());
    let value = if value.contains('\'') && !value.contains("${") { value.trim_end_matches('\'') } else { value };
    let field = field.trim();
    (!field.is_empty() && !value.is_empty()).then(|| Term {
        field: field.to_owned(),
        operator: operator.to_owned(),
        value: value.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> Vec<String> {
        let found = parse(text).unwrap_or_else(|| panic!("{text}"));
        found.terms.iter().map(|term| format!("{} {} {}", term.field, term.operator, term.value)).collect()
    }

    #[test]
    fn wheres_of_the_wild() {
        for (text, expected) in [
            ("lastUpdated>'${date:yyyy-MM-dd'T'HH:mm:ss.SSS'Z'}'", vec!["lastUpdated > ${date:yyyy-MM-dd'T'HH:mm:ss.SSS'Z'}"]),
            ("since='${date:yyyy-MM-dd'T'HH:mm:ssXXX}''", vec!["since = ${date:yyyy-MM-dd'T'HH:mm:ssXXX}"]),
            ("lastModifiedDate>${epoch}", vec!["lastModifiedDate > ${epoch}"]),
            ("direction = 'desc'", vec!["direction = desc"]),
            ("created >'${epoch:s}'", vec!["created > ${epoch:s}"]),
            (
                "'Modified Time'>'${dateTimeZone:GMT:yyyy-MM-dd HH:mm:ss}'",
                vec!["Modified Time > ${dateTimeZone:GMT:yyyy-MM-dd HH:mm:ss}"],
            ),
            ("a='x and y' and b='z'", vec!["a = x and y", "b = z"]),
            ("receivedDate gte '${date:yyyy-MM-dd}'", vec!["receivedDate gte ${date:yyyy-MM-dd}"]),
            ("a>='1' AND b = 2", vec!["a >= 1", "b = 2"]),
            ("a>='${date}'' and b='z'", vec!["a >= ${date}", "b = z"]),
        ] {
            assert_eq!(terms(text), expected, "{text}");
        }
        let either = parse("CreationDate>='${date}' or LastChangeDate>='${date}'").unwrap();
        assert!(either.has_or && either.terms.iter().all(Term::is_time));
        assert!(parse("a='${date}''").unwrap().is_unbalanced && !parse("a='${date}'").unwrap().is_unbalanced);
        for text in ["contains(a, b)", "a", "= 'x'"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(""), Some(Where::default()));
    }
}
