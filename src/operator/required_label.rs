//! The label that opens a Secret to the instances of its namespace.

use std::fmt;

use serde_json::Value;

use crate::api::names;

/// A label that Secrets must have before instances may use them: `key`, or `key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredLabel {
    key: String,
    value: Option<String>,
}

impl RequiredLabel {
    /// Reads `key` or `key=value`, each as Kubernetes has it.
    ///
    /// # Errors
    /// What it must be, as words that follow the name of the option.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').map_or((text, None), |(key, value)| (key, Some(value)));
        let is_word = |word: &str| {
            let is_end = |end: Option<&u8>| end.is_some_and(u8::is_ascii_alphanumeric);
            let bytes = word.as_bytes();
            let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
            word.len() <= 63 && is_end(bytes.first()) && is_end(bytes.last()) && bytes.iter().all(inner)
        };
        let is_key = match key.split_once('/') {
            Some((prefix, name)) => names::is_subdomain(prefix) && is_word(name),
            None => is_word(key),
        };
        if is_key && value.is_none_or(|value| value.is_empty() || is_word(value)) {
            Ok(Self { key: key.to_owned(), value: value.map(str::to_owned) })
        } else {
            Err("must be the key of a label, or key=value, such as pollinator.dev/usable=true".to_owned())
        }
    }

    /// Puts it on an object. Where any value will do, that is `true`.
    pub fn put_on(&self, object: &mut Value) {
        object["metadata"]["labels"][&self.key] = self.value.as_deref().unwrap_or("true").into();
    }

    /// Whether the object has this label.
    pub fn is_on(&self, object: &Value) -> bool {
        let found = object["metadata"]["labels"][&self.key].as_str();
        found.is_some_and(|found| self.value.as_deref().is_none_or(|value| value == found))
    }
}

impl fmt::Display for RequiredLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.key),
            None => f.write_str(&self.key),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_label_is_required_by_its_key_or_with_its_value() {
        let labelled = |labels: Value| json!({"metadata": {"labels": labels}});
        let by_key = RequiredLabel::parse("pollinator.dev/usable").unwrap();
        let by_value = RequiredLabel::parse("team=crm").unwrap();
        for (labels, key, value) in [
            (json!({"pollinator.dev/usable": "", "team": "crm"}), true, true),
            (json!({"pollinator.dev/usable": "false", "team": "CRM"}), true, false),
            (json!({"usable": "true"}), false, false),
            (Value::Null, false, false),
        ] {
            let object = labelled(labels);
            assert_eq!((by_key.is_on(&object), by_value.is_on(&object)), (key, value), "{object}");
        }
        assert_eq!((by_key.to_string(), by_value.to_string()), ("pollinator.dev/usable".to_owned(), "team=crm".to_owned()));
        for none in ["", "=", "=x", "-a", "a-", "a/b/c", "/a", "a/", "A.example/x", "a b", "a=b=c", "a=-", &"a".repeat(64)] {
            assert!(RequiredLabel::parse(none).is_err(), "{none}");
        }
        for label in [by_key, by_value] {
            let mut object = labelled(json!({"kept": "1"}));
            label.put_on(&mut object);
            assert!(label.is_on(&object) && object["metadata"]["labels"]["kept"] == "1", "{object}");
        }
    }
}
