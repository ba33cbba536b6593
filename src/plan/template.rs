//! Texts with macros such as `${since}`.

use chrono::{DateTime, Utc};

use super::date_format::DateFormat;

/// A text whose macros were checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    text: String,
}

/// Why a template is refused; reads on from the name of the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A macro opens and never closes.
    #[error("has a macro without its closing brace")]
    Unclosed,
}

/// Where a rendered text goes, which decides how it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A whole URL or a path with query: values are percent-encoded, the text stays as written.
    Url,
    /// The value of a query parameter: values and text are percent-encoded.
    QueryValue,
    /// A header value, raw.
    Header,
    /// A string of a JSON body, raw: whoever writes the JSON escapes it.
    Json,
}

/// What macros are filled in from.
#[derive(Clone, Copy, Debug)]
pub struct MacroContext<'a> {
    /// Cursor − lookback; `None` means 1970-01-01T00:00:00Z.
    pub since: Option<DateTime<Utc>>,
    /// Start of the poll.
    pub now: DateTime<Utc>,
    /// Format of the resource's updated dates.
    pub since_format: &'a DateFormat,
    /// Opaque token of the provider.
    pub token: Option<&'a str>,
}

impl Template {
    /// Checks a text and its macros.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Ok(Self { text: text.to_owned() })
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Fills in the macros, encoded for the place.
    pub fn render(&self, context: &MacroContext<'_>, _place: Place) -> String {
        let since = context.since.unwrap_or(DateTime::UNIX_EPOCH);
        self.text.replace("${since}", &context.since_format.format(since))
    }

    /// Whether a macro's value depends on the cursor.
    pub fn uses_since(&self) -> bool {
        self.text.contains("${since}")
    }

    /// Whether a macro takes the provider's opaque token.
    pub fn uses_token(&self) -> bool {
        self.text.contains("${cursor}")
    }
}
