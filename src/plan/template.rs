//! Texts with macros such as `${since}`, checked once and filled in at every poll.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use percent_encoding::{AsciiSet, utf8_percent_encode};

use super::date_format::{DateFormat, DateFormatError, Zone, step_back};
use crate::api::nearest::nearest;
use crate::api::uri::RESERVED;
use crate::api::visible;

/// Characters that a value may have anywhere in a URL: the unreserved characters of RFC 3986 §2.3 and the colon of times, which is legal in
/// paths and queries and has no meaning there. A space is `%20` and a plus `%2B`, for servers disagree on a bare plus.
const VALUE: &AsciiSet = &RESERVED.remove(b':');

/// The macros that a manifest may use, as messages offer them; the parser knows no other.
pub(super) const OFFERED: [&str; 12] = [
    "since",
    "gmtDate",
    "date",
    "dateTimeZone",
    "epoch",
    "milliseconds",
    "now",
    "nowTimeZone",
    "until",
    "untilTimeZone",
    "cursor",
    "each",
];

/// A text whose macros were checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    source: Box<str>,
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Literal(Box<str>),
    Macro(Macro),
}

#[derive(Clone, Debug, PartialEq)]
enum Macro {
    /// `${since}`, `${date}`: in the format of the resource.
    Since,
    /// `${gmtDate:F}`, `${date:F}`, `${dateTimeZone:Z:F}`
    SinceAs(DateFormat),
    /// `${epoch:s}`
    EpochSeconds,
    /// `${epoch}`, `${milliseconds}`
    EpochMilliseconds,
    /// `${epoch:us}`
    EpochMicroseconds,
    /// `${now}`
    Now,
    /// `${now:F}`, `${nowTimeZone:Z:F}`
    NowAs(DateFormat),
    /// `${until}`
    Until,
    /// `${until:F}`, `${untilTimeZone:Z:F}`
    UntilAs(DateFormat),
    /// `${cursor}`
    Token,
    /// `${each}`; `None` until it is known for which value the list is requested.
    Each(Option<Arc<str>>),
}

/// Why a template is refused. The text reads on from the name of the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `${` without `}`.
    #[error("has a macro ${{ that is not closed by }}")]
    Unclosed,
    /// `$…}`, as met in configurations that lost a brace.
    #[error("has ${0}}} without the opening brace of a macro; write ${{date:…}} for a date, %7D for a literal brace in a URL")]
    Unopened(String),
    /// A parameter of a connector that was not filled in.
    #[error("has {{{0}}} inside a macro, which nothing fills in; set it under parameters, or write the value itself")]
    Placeholder(String),
    /// No such macro.
    #[error("has an unknown macro ${{{0}}}{near}; known are {known}", near = meant(.0), known = OFFERED.join(", "))]
    Unknown(String),
    /// A macro that is complete by itself has something behind a colon.
    #[error("has the macro {0} with an argument; it takes none, date:… and now:… take a format")]
    NoArgument(&'static str),
    /// A unit of `epoch` that is not known.
    #[error("has the macro epoch with an unknown unit; known are s, ms and us")]
    EpochUnit,
    /// A macro that needs a format has none.
    #[error("has the macro {0} without a date format, as in ${{{0}:{1}yyyy-MM-dd'T'HH:mm:ssXXX}}")]
    NoFormat(&'static str, &'static str),
    /// A macro whose format or zone is refused.
    #[error("has the macro {name} whose {} {cause}", if cause.concerns_zone() { "zone" } else { "date format" })]
    Format {
        /// Name of the macro.
        name: &'static str,
        /// What is wrong.
        cause: DateFormatError,
    },
}

/// The macro that an unknown one most likely stands for, in the message of it.
fn meant(inside: &str) -> String {
    let name = inside.split(':').next().unwrap_or_default().trim();
    nearest(name, OFFERED.iter().copied()).map_or_else(String::new, |near| format!(" (did you mean ${{{near}}}?)"))
}

/// Where a rendered text goes, which decides how it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A whole URL, or a path with query. Values are percent-encoded; the text around them stays as written, save for characters
    /// that no URL may have.
    Url,
    /// The value of a query parameter: values and text are percent-encoded.
    QueryValue,
    /// A header value, raw.
    Header,
    /// A string of a JSON body, raw: the author of the JSON escapes it.
    Json,
}

/// What macros are filled in from.
#[derive(Clone, Copy, Debug)]
pub struct MacroContext<'a> {
    /// Cursor − lookback; `None` means 1970-01-01T00:00:00Z.
    pub since: Option<DateTime<Utc>>,
    /// Start of the poll.
    pub now: DateTime<Utc>,
    /// Where the part of the list ends that is requested.
    pub until: DateTime<Utc>,
    /// Format of the date that moves the resource's cursor.
    pub since_format: &'a DateFormat,
    /// Opaque token of the provider; without one `${cursor}` is empty.
    pub token: Option<&'a str>,
}

impl Template {
    /// Checks a text and its macros.
    ///
    /// | Macro | Value |
    /// |---|---|
    /// | `${since}`, `${date}` | since in the resource's own format |
    /// | `${gmtDate:F}`, `${date:F}` | since in format F, GMT |
    /// | `${dateTimeZone:ZONE:F}` | since in format F and a zone |
    /// | `${epoch}`, `${epoch:ms}`, `${epoch:0}`, `${milliseconds}` | since in milliseconds |
    /// | `${epoch:s}`, `${epoch:us}` | since in seconds, microseconds |
    /// | `${now}`, `${now:F}`, `${nowTimeZone:ZONE:F}` | the start of the poll |
    /// | `${until}`, `${until:F}`, `${untilTimeZone:ZONE:F}` | where the part of the list ends that is requested |
    /// | `${cursor}` | the provider's token |
    /// | `${each}` | one of the values for which the list is polled |
    ///
    /// Names are read in any case. F ends at the first closing brace. Dates are cut off, never rounded up. Every since is one unit of
    /// its own text early: with `${gmtDate:yyyy-MM-dd}` a day, with `${epoch}` a millisecond. So a filter that excludes its bound
    /// (`>`) loses no record that has the very date of the cursor. Upper bounds (`${now}`, `${until}`) are as they are.
    ///
    /// # Errors
    /// Unknown and malformed macros, and formats or zones that [`DateFormat::new`] refuses.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            literal.push_str(&rest[..at]);
            let behind = &rest[at + 1..];
            if let Some(inside) = behind.strip_prefix('{') {
                let end = inside.find('}').ok_or(TemplateError::Unclosed)?;
                if let Some(placeholder) = inside[..end].rfind('{') {
                    return Err(TemplateError::Placeholder(excerpt(&inside[placeholder + 1..end])));
                }
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal).into()));
                }
                parts.push(Part::Macro(Macro::parse(&inside[..end])?));
                rest = &inside[end + 1..];
                continue;
            }
            if let Some(end) = behind.find(['{', '}', '$', '&'])
                && behind[end..].starts_with('}')
            {
                return Err(TemplateError::Unopened(excerpt(&behind[..end])));
            }
            literal.push('$');
            rest = behind;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        Ok(Self { source: text.into(), parts: parts.into() })
    }

    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Fills in the macros, encoded for the place.
    #[must_use]
    pub fn render(&self, context: &MacroContext<'_>, place: Place) -> String {
        let mut text = String::with_capacity(self.source.len() + 32);
        for part in &self.parts {
            match (part, place) {
                (Part::Literal(literal), Place::Url) => push_url_text(&mut text, literal),
                (Part::Literal(literal), Place::QueryValue) => text.extend(utf8_percent_encode(literal, VALUE)),
                (Part::Literal(literal), Place::Header | Place::Json) => text.push_str(literal),
                (Part::Macro(filled), Place::Url | Place::QueryValue) => {
                    text.extend(utf8_percent_encode(&filled.value(context), VALUE));
                }
                (Part::Macro(filled), Place::Header | Place::Json) => text.push_str(&filled.value(context)),
            }
        }
        text
    }

    /// Whether a macro's value depends on the cursor.
    #[must_use]
    pub fn uses_since(&self) -> bool {
        self.since_unit(Duration::ZERO).is_some()
    }

    /// The coarsest unit of the macros whose value depends on the cursor; `own` is that of the resource's own format.
    #[must_use]
    pub fn since_unit(&self, own: Duration) -> Option<Duration> {
        let unit = |used: &Macro| match used {
            Macro::Since => Some(own),
            Macro::SinceAs(format) => Some(format.granule()),
            Macro::EpochSeconds => Some(Duration::from_secs(1)),
            Macro::EpochMilliseconds => Some(Duration::from_millis(1)),
            Macro::EpochMicroseconds => Some(Duration::from_micros(1)),
            Macro::Now | Macro::NowAs(_) | Macro::Until | Macro::UntilAs(_) | Macro::Token | Macro::Each(_) => None,
        };
        self.macros().filter_map(unit).max()
    }

    /// The formats of the macros that say where the list ends; `own` is the resource's own one.
    pub(super) fn until_formats<'a>(&'a self, own: &'a DateFormat) -> impl Iterator<Item = &'a DateFormat> {
        self.macros().filter_map(move |used| match used {
            Macro::Until => Some(own),
            Macro::UntilAs(format) => Some(format),
            _ => None,
        })
    }

    /// Whether a macro takes the provider's opaque token.
    #[must_use]
    pub fn uses_token(&self) -> bool {
        self.macros().any(|used| *used == Macro::Token)
    }

    /// Whether a macro takes one of the values for which the list is polled.
    #[must_use]
    pub fn uses_each(&self) -> bool {
        self.macros().any(|used| matches!(used, Macro::Each(_)))
    }

    /// The same for one value.
    #[must_use]
    pub fn for_value(&self, value: &Arc<str>) -> Self {
        let part = |part: &Part| match part {
            Part::Macro(Macro::Each(_)) => Part::Macro(Macro::Each(Some(Arc::clone(value)))),
            other => other.clone(),
        };
        Self { source: self.source.clone(), parts: self.parts.iter().map(part).collect() }
    }

    fn macros(&self) -> impl Iterator<Item = &Macro> {
        self.parts.iter().filter_map(|part| match part {
            Part::Macro(used) => Some(used),
            Part::Literal(_) => None,
        })
    }
}

impl Macro {
    /// Reads what stands between the braces.
    fn parse(inside: &str) -> Result<Self, TemplateError> {
        let (name, argument) = match inside.split_once(':') {
            Some((name, argument)) => (name, Some(argument)),
            None => (inside, None),
        };
        let alone = |name, meaning| if argument.is_none() { Ok(meaning) } else { Err(TemplateError::NoArgument(name)) };
        let known = OFFERED.into_iter().find(|known| known.eq_ignore_ascii_case(name)).unwrap_or_default();
        match known {
            "since" => alone("since", Self::Since),
            "date" if argument.is_none() => Ok(Self::Since),
            "date" => gmt_format("date", argument).map(Self::SinceAs),
            "gmtDate" => gmt_format("gmtDate", argument).map(Self::SinceAs),
            "dateTimeZone" => zoned_format("dateTimeZone", argument).map(Self::SinceAs),
            "epoch" => match argument {
                None | Some("ms" | "0") => Ok(Self::EpochMilliseconds),
                Some("s") => Ok(Self::EpochSeconds),
                Some("us") => Ok(Self::EpochMicroseconds),
                Some(_) => Err(TemplateError::EpochUnit),
            },
            "milliseconds" => alone("milliseconds", Self::EpochMilliseconds),
            "now" if argument.is_none() => Ok(Self::Now),
            "now" => gmt_format("now", argument).map(Self::NowAs),
            "nowTimeZone" => zoned_format("nowTimeZone", argument).map(Self::NowAs),
            "until" if argument.is_none() => Ok(Self::Until),
            "until" => gmt_format("until", argument).map(Self::UntilAs),
            "untilTimeZone" => zoned_format("untilTimeZone", argument).map(Self::UntilAs),
            "cursor" => alone("cursor", Self::Token),
            "each" => alone("each", Self::Each(None)),
            _ => Err(TemplateError::Unknown(excerpt(inside))),
        }
    }

    fn value(&self, context: &MacroContext<'_>) -> String {
        // without a cursor there is no date that a filter could lose
        let number = |unit: fn(&DateTime<Utc>) -> i64| context.since.map_or(0, |since| step_back(unit(&since))).to_string();
        match self {
            Self::Since => context.since_format.format_bound(context.since),
            Self::SinceAs(format) => format.format_bound(context.since),
            Self::EpochSeconds => number(DateTime::timestamp),
            Self::EpochMilliseconds => number(DateTime::timestamp_millis),
            Self::EpochMicroseconds => number(DateTime::timestamp_micros),
            Self::Now => context.since_format.format(context.now),
            Self::NowAs(format) => format.format(context.now),
            Self::Until => context.since_format.format(context.until),
            Self::UntilAs(format) => format.format(context.until),
            Self::Token => context.token.unwrap_or_default().to_owned(),
            Self::Each(value) => value.as_deref().unwrap_or_default().to_owned(),
        }
    }
}

fn gmt_format(name: &'static str, argument: Option<&str>) -> Result<DateFormat, TemplateError> {
    let pattern = argument.filter(|pattern| !pattern.is_empty()).ok_or(TemplateError::NoFormat(name, ""))?;
    DateFormat::in_zone(Some(pattern), Zone::GMT).map_err(|cause| TemplateError::Format { name, cause })
}

/// Zones contain colons (`-8:00`) as formats do: the longest beginning that is a zone is the zone.
fn zoned_format(name: &'static str, argument: Option<&str>) -> Result<DateFormat, TemplateError> {
    let missing = TemplateError::NoFormat(name, "America/Denver:");
    let Some(argument) = argument.filter(|argument| Zone::parse(argument).is_none()) else { return Err(missing) };
    let mut end = argument.len();
    while let Some(colon) = argument[..end].rfind(':') {
        let pattern = &argument[colon + 1..];
        match Zone::parse(&argument[..colon]) {
            Some(_) if pattern.is_empty() => return Err(missing),
            Some(zone) => {
                return DateFormat::in_zone(Some(pattern), zone).map_err(|cause| TemplateError::Format { name, cause });
            }
            None => end = colon,
        }
    }
    Err(TemplateError::Format { name, cause: DateFormatError::UnknownZone })
}

/// The start of a text, fit for a message.
fn excerpt(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut shown = visible::beginning(text, LONGEST);
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// Appends text of a URL as written, with what RFC 3986 has no place for percent-encoded, and the quotes as well: servers and
/// the URL standard disagree on them. A percent sign that starts no escape is escaped itself.
fn push_url_text(target: &mut String, text: &str) {
    let bytes = text.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        let escape = match byte {
            b'%' => !bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
            b'"' | b'\'' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => true,
            _ => !byte.is_ascii_graphic(),
        };
        if escape {
            // writing to a String does not fail
            let _ = write!(target, "%{byte:02X}");
        } else {
            target.push(char::from(byte));
        }
    }
}

#[cfg(test)]
mod tests;
