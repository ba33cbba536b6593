//! What a value of a configuration says: exports write everything as a string, hide passwords, and say "null" for nothing.

use serde_json::Value;

/// The value of a Secret's key where a person must put the real one.
pub(super) const PLACEHOLDER: &str = "replace-me";

/// What a value says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing: null, `""`, `"null"`.
    Nothing,
    /// Asterisks in the place of a password.
    Masked,
    /// `<minutes>`, `<INSERT_…>`: a text of the documentation that was never replaced.
    Placeholder,
    /// A text, number or boolean, without the blanks around it.
    Text(String),
    /// An array or an object.
    Structure,
}

impl Said {
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Nothing,
            Value::Bool(_) | Value::Number(_) => Self::Text(value.to_string()),
            Value::Array(_) | Value::Object(_) => Self::Structure,
            Value::String(text) => match text.trim() {
                "" | "null" => Self::Nothing,
                stars if stars.len() > 2 && stars.bytes().all(|b| b == b'*') => Self::Masked,
                text if text.len() > 2 && text.starts_with('<') && text.ends_with('>') => Self::Placeholder,
                text => Self::Text(text.to_owned()),
            },
        }
    }
}

/// A switch, as a boolean or a string.
pub(super) fn switch(value: &Value) -> Option<bool> {
    match Said::of(value) {
        Said::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Said::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A number that is not negative, as a number or a string.
pub(super) fn number(value: &Value) -> Option<f64> {
    match Said::of(value) {
        Said::Text(text) => text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0),
        _ => None,
    }
}

/// A name that Kubernetes takes (RFC 1123 label) and that reads like the text; empty when nothing of it can be used. At most 50 bytes.
pub(super) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for character in text.chars() {
        match character.to_ascii_lowercase() {
            plain if plain.is_ascii_alphanumeric() => slug.push(plain),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    slug.truncate(50);
    slug.trim_matches('-').to_owned()
}

/// A duration of `seconds` as manifests write it: the largest unit that says it exactly.
pub(super) fn duration(seconds: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "callers bound it between 0 and a week")]
    let millis = (seconds * 1000.0).round() as u64;
    match millis {
        0 => "0s".to_owned(),
        hours if hours % 3_600_000 == 0 => format!("{}h", hours / 3_600_000),
        minutes if minutes % 60_000 == 0 => format!("{}m", minutes / 60_000),
        whole if whole % 1000 == 0 => format!("{}s", whole / 1000),
        other => format!("{other}ms"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn exports_say_everything_in_strings() {
        for (value, said) in [
            (json!(null), Said::Nothing),
            (json!("null"), Said::Nothing),
            (json!(" "), Said::Nothing),
            (json!("********"), Said::Masked),
            (json!("<minutes>"), Said::Placeholder),
            (json!("15 "), Said::Text("15".into())),
            (json!(15), Said::Text("15".into())),
            (json!({}), Said::Structure),
        ] {
            assert_eq!(Said::of(&value), said, "{value}");
        }
        assert_eq!([json!(true), json!("True"), json!("yes")].map(|value| switch(&value)), [Some(true), Some(true), None]);
        assert_eq!([json!("1.5"), json!("-1"), json!("NaN")].map(|value| number(&value)), [Some(1.5), None, None]);
    }

    #[test]
    fn names_and_durations() {
        assert_eq!(slug("API Instance with Polling"), "api-instance-with-polling");
        assert_eq!(slug("  Zürich/2 "), "z-rich-2");
        assert_eq!(slug("日本"), "");
        for (seconds, text) in [(900.0, "15m"), (30.0, "30s"), (0.0, "0s"), (7200.0, "2h"), (0.5, "500ms")] {
            assert_eq!(duration(seconds), text);
        }
    }
}
