//! Writes manifests as a user would.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::canary;

/// One `ConnectorInstance` with one resource. Fields hold YAML; those that a test does not care about have everyday values.
#[derive(Clone, Debug)]
pub struct Instance {
    pub name: String,
    pub base_url: String,
    pub callback_url: String,
    /// Members of `auth`, in flow style; empty: no authentication.
    pub auth: String,
    pub start_from: String,
    /// Further members of the resource, block style without indentation.
    pub resource: String,
    /// Further members of `callback`.
    pub callback: String,
    /// Further members of `spec`.
    pub spec: String,
    /// Members of `metadata.annotations`, in flow style.
    pub annotations: String,
}

impl Instance {
    /// Polls the provider double's list ([`super::provider`]).
    pub fn new(name: &str, base_url: &str, callback_url: &str) -> Self {
        Self {
            name: name.to_owned(),
            base_url: base_url.to_owned(),
            callback_url: callback_url.to_owned(),
            auth: String::new(),
            start_from: "Now".to_owned(),
            resource: PROVIDER_RESOURCE.to_owned(),
            callback: String::new(),
            spec: String::new(),
            annotations: String::new(),
        }
    }

    pub fn basic_auth(self) -> Self {
        Self { auth: "basic: {secretRef: {name: login}}".to_owned(), ..self }
    }

    pub fn earliest(self) -> Self {
        Self { start_from: "Earliest".to_owned(), ..self }
    }

    /// Replaces all of the resource but its name.
    pub fn resource(self, yaml: &str) -> Self {
        Self { resource: yaml.to_owned(), ..self }
    }

    /// Adds members to the resource.
    pub fn and_resource(self, yaml: &str) -> Self {
        let resource = format!("{}\n{yaml}", self.resource.trim_end());
        Self { resource, ..self }
    }

    pub fn callback(self, yaml: &str) -> Self {
        Self { callback: yaml.to_owned(), ..self }
    }

    pub fn spec(self, yaml: &str) -> Self {
        Self { spec: yaml.to_owned(), ..self }
    }

    pub fn annotated(self, members: &str) -> Self {
        Self { annotations: members.to_owned(), ..self }
    }

    pub fn yaml(&self) -> String {
        let mut out = format!(
            "apiVersion: pollinator.dev/v1alpha1\nkind: ConnectorInstance\nmetadata: {{name: {}, namespace: it, annotations: {{{}}}}}\nspec:\n  baseUrl: \"{}\"\n",
            self.name, self.annotations, self.base_url
        );
        if !self.auth.is_empty() {
            let _ = writeln!(out, "  auth: {{{}}}", self.auth);
        }
        let _ = writeln!(out, "  polling: {{interval: 5s, startFrom: {}}}", self.start_from);
        indent(&mut out, 2, &self.spec);
        out.push_str("  resources:\n  - name: records\n");
        indent(&mut out, 4, &self.resource);
        let _ = writeln!(out, "  callback:\n    url: \"{}\"\n    allowInsecureHttp: true", self.callback_url);
        indent(&mut out, 4, &self.callback);
        out
    }
}

/// How the provider double lists its records.
pub const PROVIDER_RESOURCE: &str = "\
url: /records
query: {since: \"${since}\"}
recordsPath: records
idField: id
datesConfiguration:
  updatedDateField: modified
  updatedDateFormat: yyyy-MM-dd'T'HH:mm:ss.SSS'Z'
  updatedDateTimezone: GMT
  createdDateField: created
  createdDateFormat: yyyy-MM-dd'T'HH:mm:ss.SSS'Z'
  createdDateTimezone: GMT
pagination: {nextLink: {field: next}}
deletes: {flag: {field: deleted}}
";

fn indent(out: &mut String, depth: usize, yaml: &str) {
    for line in yaml.lines() {
        let _ = writeln!(out, "{:depth$}{line}", "");
    }
}

/// A Secret; values stand in double quotes, so that odd ones survive.
pub fn secret(name: &str, entries: &[(&str, &str)]) -> String {
    let mut out = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: it}}\nstringData:\n");
    for (key, value) in entries {
        let _ = writeln!(out, "  {key}: {}", serde_json::to_string(value).expect("text is JSON"));
    }
    out
}

/// The Secret that [`Instance::basic_auth`] names, for the doubles.
pub fn login() -> String {
    secret("login", &[("username", canary::USER), ("password", canary::ODD_PASSWORD)])
}

/// Writes documents into one file of a folder.
pub fn write(folder: &Path, file: &str, documents: &[String]) {
    fs::create_dir_all(folder).expect("the test's own folder");
    fs::write(folder.join(file), documents.join("---\n")).expect("the test's own folder");
}
