//! Secrets as they are held in memory, and how a value is read.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::api::conditions::{Problem, Reason};

/// One Secret. Its `Debug` shows keys, never values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret {
    /// Values by key, decoded from Base64.
    pub data: BTreeMap<String, Vec<u8>>,
    /// The label without which instances may not use it, where it lacks one: then there are no values.
    pub lacks_label: Option<String>,
}

impl Secret {
    /// One that is there, and that instances may not use for want of this label.
    pub fn withheld(label: impl Into<String>) -> Self {
        Self { data: BTreeMap::new(), lacks_label: Some(label.into()) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.data.keys()).finish()
    }
}

impl<K: Into<String>, V: Into<Vec<u8>>> FromIterator<(K, V)> for Secret {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let data = entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Self { data, lacks_label: None }
    }
}

/// Where Secrets are found. Answers from memory, at once.
pub trait Secrets: Send + Sync {
    /// The Secret of that name in that namespace, or `None` if it does not exist.
    fn get(&self, namespace: &str, name: &str) -> Option<Arc<Secret>>;

    /// The same, asked where it is kept instead of from memory.
    ///
    /// # Errors
    /// It cannot be read at the moment, which says nothing about it.
    fn get_anew<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Arc<Secret>>, Problem>> {
        Box::pin(async move { Ok(self.get(namespace, name)) })
    }
}

/// Secrets in a map, for the command line and tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretMap {
    namespaces: HashMap<String, HashMap<String, Arc<Secret>>>,
}

impl SecretMap {
    /// Adds or replaces a Secret.
    pub fn insert(&mut self, namespace: impl Into<String>, name: impl Into<String>, secret: Secret) {
        self.namespaces.entry(namespace.into()).or_default().insert(name.into(), Arc::new(secret));
    }

    /// Namespaces and names of all Secrets.
    pub fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.namespaces.iter().flat_map(|(namespace, secrets)| secrets.keys().map(|name| (namespace.as_str(), name.as_str())))
    }
}

impl Secrets for SecretMap {
    fn get(&self, namespace: &str, name: &str) -> Option<Arc<Secret>> {
        self.namespaces.get(namespace)?.get(name).cloned()
    }
}

/// A Secret that a manifest refers to, with the words that name the reference in a message.
pub(super) struct Referenced<'a> {
    pub(super) field: &'a str,
    pub(super) name: &'a str,
    pub(super) secret: Arc<Secret>,
}

impl<'a> Referenced<'a> {
    /// Errors: `SecretNotFound`, `SecretUnreadable`.
    pub(super) fn find(field: &'a str, namespace: &str, name: &'a str, secrets: &dyn Secrets) -> Result<Self, Problem> {
        Self::given(field, namespace, name, secrets.get(namespace, name))
    }

    /// Errors: `SecretNotFound`, `SecretUnreadable`.
    pub(super) fn given(field: &'a str, namespace: &str, name: &'a str, found: Option<Arc<Secret>>) -> Result<Self, Problem> {
        match found {
            Some(secret) => match &secret.lacks_label {
                None => Ok(Self { field, name, secret }),
                Some(label) => Err(Problem::human(
                    Reason::SecretUnreadable,
                    format!(
                        "{field}: instances may not use Secret {name}, because it lacks the label {label}; add the label to it"
                    ),
                )),
            },
            None => Err(Problem::human(
                Reason::SecretNotFound,
                format!("{field}: Secret {name} does not exist in namespace {namespace}; create it or correct the name"),
            )),
        }
    }

    /// The value of a key that must be there.
    ///
    /// Errors: `SecretKeyMissing`, `SecretInvalid`.
    pub(super) fn required(&self, key: &str) -> Result<&[u8], Problem> {
        self.optional(key)?.ok_or_else(|| {
            Problem::human(
                Reason::SecretKeyMissing,
                format!("{}: Secret {} has no key {key}; add the key", self.field, self.name),
            )
        })
    }

    /// The value of a key that may be absent. One newline at its end is no part of it (editors and `echo` add it); other
    /// white space is.
    ///
    /// Errors: `SecretInvalid` for an empty value and for the text `null`, which templates leave behind.
    pub(super) fn optional(&self, key: &str) -> Result<Option<&[u8]>, Problem> {
        let Some(value) = self.secret.data.get(key) else { return Ok(None) };
        match trimmed(value) {
            b"" => Err(self.invalid(key, "is empty", "put the credential there")),
            b"null" => Err(self.invalid(key, "is the text null", "put the credential there")),
            value => Ok(Some(value)),
        }
    }

    /// A value as text.
    ///
    /// Errors: `SecretInvalid` if it is not UTF-8.
    pub(super) fn text<'v>(&self, key: &str, value: &'v [u8]) -> Result<&'v str, Problem> {
        std::str::from_utf8(value)
            .map_err(|_| self.invalid(key, "is not UTF-8 text", "store the credential itself, not an encoding of it"))
    }

    pub(super) fn invalid(&self, key: &str, cause: &str, fix: &str) -> Problem {
        Problem::human(Reason::SecretInvalid, format!("{}: key {key} of Secret {} {cause}; {fix}", self.field, self.name))
    }
}

/// Without one newline (`\n` or `\r\n`) at the end.
pub(super) fn trimmed(value: &[u8]) -> &[u8] {
    value.strip_suffix(b"\r\n").or_else(|| value.strip_suffix(b"\n")).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_keys_alone() {
        let mut map = SecretMap::default();
        map.insert("crm", "keap", Secret::from_iter([("token", "s3cr3t-canary")]));
        let shown = format!("{map:?} {:?}", map.get("crm", "keap"));
        assert!(shown.contains("token"), "{shown}");
        assert!(!shown.contains("s3cr3t"), "{shown}");
        assert!(!shown.contains("115"), "bytes of the value are shown: {shown}");
    }

    #[test]
    fn a_secret_that_is_withheld_has_no_values_and_names_its_label() {
        let mut map = SecretMap::default();
        map.insert("crm", "keap", Secret::withheld("team=crm"));
        let Err(problem) = Referenced::find("spec.auth.bearer", "crm", "keap", &map) else { panic!("it may not be used") };
        assert_eq!(problem.reason, Reason::SecretUnreadable);
        assert_eq!(
            problem.message,
            "spec.auth.bearer: instances may not use Secret keap, because it lacks the label team=crm; add the label to it"
        );
        assert!(map.get("crm", "keap").is_some_and(|secret| secret.data.is_empty()));
    }

    #[test]
    fn secrets_stay_in_their_namespace() {
        let mut map = SecretMap::default();
        map.insert("crm", "keap", Secret::default());
        assert!(map.get("crm", "keap").is_some());
        assert!(map.get("default", "keap").is_none());
        assert!(map.get("crm", "other").is_none());
    }

    #[test]
    fn one_newline_is_trimmed_and_nothing_else() {
        for (value, expected) in [
            ("a", "a"),
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
            ("a\r", "a\r"),
            (" a ", " a "),
            ("\n", ""),
            ("", ""),
            ("\na", "\na"),
        ] {
            assert_eq!(trimmed(value.as_bytes()), expected.as_bytes(), "{value:?}");
        }
    }
}
