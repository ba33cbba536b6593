//! Secrets that were entered in a form that is not done with.

use std::collections::BTreeMap;

use super::Console;
use super::visit::Visit;

/// Field of the form with the secrets that were entered before, encrypted.
pub const KEPT: &str = "kept";

/// Secrets that were entered in a form that is not done with, by the names of their fields: they travel with the form, are not shown
/// again, and need not be entered again.
#[derive(Default)]
pub struct Kept(BTreeMap<String, String>);

impl Kept {
    /// Those of before, with what was entered now. The form of one session is of no use in another one.
    pub fn of(console: &Console, visit: &Visit, before: &str, entered: impl Iterator<Item = (String, String)>) -> Self {
        let opened = console.seal.open(&Self::purpose(visit), before);
        let before = opened.and_then(|text| serde_json::from_slice(&text).ok());
        let mut kept: BTreeMap<_, _> = before.unwrap_or_default();
        kept.extend(entered.filter(|(_, value)| !value.is_empty()));
        Self(kept)
    }

    /// As a field of the form carries them; `None`: there are none.
    pub fn close(&self, console: &Console, visit: &Visit) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        console.seal.close(&Self::purpose(visit), serde_json::to_vec(&self.0).ok()?)
    }

    fn purpose(visit: &Visit) -> String {
        format!("form {}", visit.session.csrf)
    }

    /// What was entered for a field.
    pub fn value(&self, field: &str) -> Option<&str> {
        self.0.get(field).map(String::as_str)
    }

    /// Whether something was entered for a field.
    pub fn has(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }
}

/// What was entered: names and values.
type Entered = Vec<(String, String)>;

/// Splits what was entered into secrets and the rest.
pub fn split(entered: Entered) -> (Entered, Entered) {
    entered.into_iter().partition(|(name, _)| name.starts_with("credential.") || name == "signing-key")
}
