//! An instance while it is being imported.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::value::PLACEHOLDER;
use crate::api::connector::ConnectorSpec;
use crate::api::instance::{Callback, ConnectorInstanceSpec, Format};

/// Where events go until a person says where.
pub(super) const NO_CALLBACK: &str = "https://replace-me.invalid/events";

/// An instance that will be written.
#[derive(Debug)]
pub(super) struct Draft {
    /// Name of the manifest.
    pub name: String,
    pub annotations: BTreeMap<String, String>,
    pub spec: ConnectorInstanceSpec,
    pub secrets: Secrets,
    /// Names of placeholders in its URLs, which parameters must fill.
    pub wanted: BTreeSet<String>,
    /// What an unknown connector must have.
    pub stub: Stub,
}

impl Draft {
    pub fn new(name: String) -> Self {
        let callback = Callback {
            url: NO_CALLBACK.to_owned(),
            format: Format::OpenConnectors,
            batch: None,
            tls: None,
            signature: None,
            headers_secret_ref: None,
            auth: None,
            max_in_flight: None,
            timeout: None,
            allow_insecure_http: false,
        };
        let spec = ConnectorInstanceSpec {
            connector: None,
            parameters: BTreeMap::new(),
            base_url: None,
            display_name: None,
            tags: Vec::new(),
            auth: None,
            tls: None,
            polling: None,
            resources: Vec::new(),
            callback,
            suspend: false,
        };
        Self {
            name,
            annotations: BTreeMap::new(),
            spec,
            secrets: Secrets::default(),
            wanted: BTreeSet::new(),
            stub: Stub::default(),
        }
    }
}

/// The values that belong in Secrets, by the Secret's name and key. Its `Debug` shows no value.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Secrets(BTreeMap<String, BTreeMap<String, Option<String>>>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.0.iter().map(|(name, entries)| (name, entries.keys().collect::<Vec<_>>()));
        f.debug_map().entries(keys).finish()
    }
}

impl Secrets {
    /// Puts a value where it belongs; `None` is one that a person must fill in.
    pub fn put(&mut self, name: &str, key: &str, value: Option<String>) {
        self.0.entry(name.to_owned()).or_default().insert(key.to_owned(), value);
    }

    /// A Secret whose keys are not known.
    pub fn open(&mut self, name: &str) {
        self.0.entry(name.to_owned()).or_default();
    }

    /// Names of the Secrets.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Puts a value that has no key of its own under one like this that is free, and yields it: no value replaces another.
    pub fn keep(&mut self, name: &str, like: &str, value: Option<String>) -> String {
        let free = |key: &String| self.0.get(name).is_none_or(|entries| !entries.contains_key(key));
        let numbered = (2..).map(|number| format!("{like}-{number}"));
        let key = std::iter::once(like.to_owned()).chain(numbered).find(free).unwrap_or_default();
        self.put(name, &key, value);
        key
    }

    /// Names, keys and values; `None` is one that a person must fill in.
    pub fn values(&self) -> impl Iterator<Item = (&str, &str, Option<&str>)> {
        let each = |(name, entries)| {
            let entries: &BTreeMap<String, Option<String>> = entries;
            entries.iter().map(move |(key, value)| (name, key.as_str(), value.as_deref()))
        };
        self.0.iter().map(|(name, entries)| (name.as_str(), entries)).flat_map(each)
    }

    /// Names, and their entries; a placeholder where a value is missing or `withheld`.
    pub fn entries(&self, withheld: bool) -> impl Iterator<Item = (&str, BTreeMap<&str, &str>)> {
        self.0.iter().map(move |(name, entries)| {
            let entries = entries.iter().map(|(key, value)| {
                let value = value.as_deref().filter(|_| !withheld).unwrap_or(PLACEHOLDER);
                (key.as_str(), value)
            });
            (name.as_str(), entries.collect())
        })
    }
}

/// What is known of an instance's connector.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known<'a> {
    /// The entry of the catalogue, or the definition in another file of the same import.
    pub spec: Option<&'a ConnectorSpec>,
    /// How the resources of such a definition are filtered, by their names.
    pub filters: Option<&'a BTreeMap<String, Filter>>,
}

/// How a definition says that a `where` reaches the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// Each comparison is a query parameter of its own.
    Parameters,
    /// The text is the value of one query parameter, as it is.
    Whole(String),
    /// It is rewritten into the provider's own language, in this parameter.
    Rewritten(String),
}

/// What an unknown connector must have, as far as an instance shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stub {
    /// Name of the connector, when there is to be one.
    pub key: Option<String>,
    /// Resources by hub path: name and a guess at the provider's own path.
    pub paths: BTreeMap<String, (String, String)>,
    /// Names of placeholders in those paths.
    pub parameters: BTreeSet<String>,
    /// What the credentials look like.
    pub scheme: Option<Scheme>,
}

/// How requests are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Oauth2,
    Basic,
    ApiKey,
    Bearer,
}
