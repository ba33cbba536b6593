//! What a change of an instance does to its Secrets.

use std::collections::BTreeMap;
use std::fmt;

/// Values that are set and keys that are removed, by the names of the Secrets. Its `Debug` shows no value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretEdits(BTreeMap<String, BTreeMap<String, Option<String>>>);

impl fmt::Debug for SecretEdits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.0.iter().map(|(name, edits)| (name, edits.keys().collect::<Vec<_>>()));
        f.debug_map().entries(keys).finish()
    }
}

impl SecretEdits {
    /// Sets the value of a key.
    pub fn set(&mut self, secret: impl Into<String>, key: impl Into<String>, value: String) {
        self.0.entry(secret.into()).or_default().insert(key.into(), Some(value));
    }

    /// Removes a key, if it is there.
    pub fn remove(&mut self, secret: impl Into<String>, key: impl Into<String>) {
        self.0.entry(secret.into()).or_default().insert(key.into(), None);
    }

    /// Takes over what is not edited here.
    pub fn fill(&mut self, others: Self) {
        for (name, keys) in others.0 {
            let own = self.0.entry(name).or_default();
            for (key, value) in keys {
                own.entry(key).or_insert(value);
            }
        }
    }

    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names of the Secrets that change.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Each Secret with its changes; `None` removes the key.
    pub fn each(&self) -> impl Iterator<Item = (&str, &BTreeMap<String, Option<String>>)> {
        self.0.iter().map(|(name, edits)| (name.as_str(), edits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_never_shown() {
        let mut edits = SecretEdits::default();
        edits.set("keap-oauth", "client_secret", "hunter2".to_owned());
        edits.remove("keap-oauth", "code");
        assert_eq!(format!("{edits:?}"), r#"{"keap-oauth": ["client_secret", "code"]}"#);
    }
}
