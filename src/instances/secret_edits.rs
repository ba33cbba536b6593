//! What a change of an instance does to its Secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Values that are set and keys that are removed, by the names of the Secrets. Its `Debug` shows no value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretEdits {
    edits: BTreeMap<String, BTreeMap<String, Option<String>>>,
    /// Secrets that keep no other key.
    cleared: BTreeSet<String>,
}

impl fmt::Debug for SecretEdits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.edits.iter().map(|(name, edits)| (name, edits.keys().collect::<Vec<_>>()));
        f.debug_map().entries(keys).finish()
    }
}

impl SecretEdits {
    /// Sets the value of a key.
    pub fn set(&mut self, secret: impl Into<String>, key: impl Into<String>, value: String) {
        self.edits.entry(secret.into()).or_default().insert(key.into(), Some(value));
    }

    /// Removes a key, if it is there.
    pub fn remove(&mut self, secret: impl Into<String>, key: impl Into<String>) {
        self.edits.entry(secret.into()).or_default().insert(key.into(), None);
    }

    /// Removes all keys that are not set here.
    pub fn clear(&mut self, secret: impl Into<String>) {
        let secret = secret.into();
        self.edits.entry(secret.clone()).or_default();
        self.cleared.insert(secret);
    }

    /// Whether a Secret keeps only the keys that are set here.
    pub fn is_cleared(&self, secret: &str) -> bool {
        self.cleared.contains(secret)
    }

    /// Takes over what is not edited here.
    pub fn fill(&mut self, others: Self) {
        self.cleared.extend(others.cleared);
        for (name, keys) in others.edits {
            let own = self.edits.entry(name).or_default();
            for (key, value) in keys {
                own.entry(key).or_insert(value);
            }
        }
    }

    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Names of the Secrets that change.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.edits.keys().map(String::as_str)
    }

    /// Each Secret with its changes; `None` removes the key.
    pub fn each(&self) -> impl Iterator<Item = (&str, &BTreeMap<String, Option<String>>)> {
        self.edits.iter().map(|(name, edits)| (name.as_str(), edits))
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
