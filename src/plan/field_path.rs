//! Paths to a value in JSON, as in `data.items`, `_info.lastUpdated`, `['Modified Time']` or `lines[0].id`.

use std::fmt;

/// A path; never empty when it was parsed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldPath {
    segments: Box<[Segment]>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Member of an object.
    Key(String),
    /// Element of an array, from 0.
    Index(usize),
}

/// Why a text is not a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a path such as data.items or ['Modified Time']: {0}")]
pub struct PathError(&'static str);

impl FieldPath {
    /// Parses the dotted and bracketed form. A leading `$.` or `@.` is accepted and means nothing.
    ///
    /// # Errors
    /// An empty path or member, or an unclosed bracket or quote.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let mut rest = text.strip_prefix("$.").or_else(|| text.strip_prefix("@.")).unwrap_or(text);
        let mut segments = Vec::new();
        let mut expect_member = true;
        while !rest.is_empty() || expect_member {
            if let Some(inside) = rest.strip_prefix('[') {
                let (segment, after) = bracketed(inside)?;
                segments.push(segment);
                rest = after;
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                if end == 0 {
                    return Err(PathError("a member between two dots is empty"));
                }
                segments.push(Segment::Key(rest[..end].to_owned()));
                rest = &rest[end..];
            }
            expect_member = false;
            if let Some(after) = rest.strip_prefix('.') {
                rest = after;
                expect_member = true;
            } else if !rest.is_empty() && !rest.starts_with('[') {
                return Err(PathError("text follows a closed bracket"));
            }
        }
        Ok(Self { segments: segments.into() })
    }

    /// The path of these steps.
    pub fn of(segments: &[Segment]) -> Self {
        Self { segments: segments.into() }
    }

    /// The steps from the root.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The value at this path in `json`, as the bytes that were sent. `None` when a step is missing or `json` is malformed up
    /// to there. Of repeated keys the last one counts, as in most parsers.
    pub fn find<'a>(&self, json: &'a str) -> Option<&'a str> {
        walk(&self.segments, json)
    }

    /// The value at this path when `value` is already what its first step leads to.
    pub fn find_below_first<'a>(&self, value: &'a str) -> Option<&'a str> {
        walk(&self.segments[1..], value)
    }
}

fn walk<'a>(segments: &[Segment], json: &'a str) -> Option<&'a str> {
    segments.iter().try_fold(json, |value, step| match step {
        Segment::Key(key) => crate::plan::json::member(value, key),
        Segment::Index(index) => crate::plan::json::element(value, *index),
    })
}

fn bracketed(inside: &str) -> Result<(Segment, &str), PathError> {
    let Some(quote) = inside.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
        let end = inside.find(']').ok_or(PathError("a bracket is not closed"))?;
        let index = inside[..end].parse().map_err(|_| PathError("a bracket has neither a quoted name nor a number"))?;
        return Ok((Segment::Index(index), &inside[end + 1..]));
    };
    let inside = &inside[1..];
    let end = inside.find(quote).ok_or(PathError("a quote is not closed"))?;
    let after = inside[end + 1..].strip_prefix(']').ok_or(PathError("a bracket is not closed"))?;
    if end == 0 {
        return Err(PathError("a quoted name is empty"));
    }
    Ok((Segment::Key(inside[..end].to_owned()), after))
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.segments.iter().enumerate() {
            match segment {
                Segment::Key(key) if !key.contains(['.', '[', ']', '\'', '"', ' ']) => {
                    write!(f, "{}{key}", if i == 0 { "" } else { "." })?;
                }
                Segment::Key(key) if key.contains('\'') => write!(f, "[\"{key}\"]")?,
                Segment::Key(key) => write!(f, "['{key}']")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_met_in_the_wild() {
        for (text, shown) in [
            ("id", "id"),
            ("customer.id", "customer.id"),
            ("@.@id", "@id"),
            ("$.data.items", "data.items"),
            ("['Modified Time']", "['Modified Time']"),
            ("a['b c'].d[3]", "a['b c'].d[3]"),
            ("_info.lastUpdated", "_info.lastUpdated"),
        ] {
            assert_eq!(FieldPath::parse(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_path() {
        for text in ["", ".", "a.", ".a", "a..b", "a[", "a['b", "a['b'", "a[x]", "['']", "a['b']c"] {
            assert!(FieldPath::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn finds_the_bytes_that_were_sent() {
        let json = r#"{"a":{"b c":[1,{"d": 9007199254740993.0 }]},"a2":null}"#;
        let at = |path: &str| FieldPath::parse(path).unwrap().find(json);
        assert_eq!(at("a['b c'][1].d"), Some("9007199254740993.0"));
        assert_eq!(at("a2"), Some("null"));
        assert_eq!(at("a.x"), None);
        assert_eq!(at("a['b c'][2]"), None);
    }
}
