//! A first manifest for an entry: an instance with its Secrets, in which a person replaces what is marked. Pure.
//!
//! Writing to a String does not fail, so that what it yields is dropped.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::api::auth::Grant;
use crate::api::connector::{ConnectorAuth, ConnectorSpec, Parameter};
use crate::api::resource::Resource;

/// What stands where a person must write something. It can be a part of a host name, as parameters may be.
pub const REPLACE: &str = "replace-me";

/// What a person says of the manifest beforehand.
#[derive(Clone, Debug)]
pub struct Wishes<'a> {
    /// Name of the instance; those of its Secrets begin with it.
    pub name: &'a str,
    /// Namespace, if it is to be in the manifest.
    pub namespace: Option<&'a str>,
    /// Where events go.
    pub callback: &'a str,
    /// Values of parameters.
    pub parameters: &'a BTreeMap<String, String>,
}

/// The Secrets and the instance as YAML with comments. `polled` are resources of the entry.
pub fn manifest(key: &str, spec: &ConnectorSpec, polled: &[&Resource], wishes: &Wishes<'_>) -> String {
    let Wishes { name, callback, .. } = wishes;
    let namespace = wishes.namespace.map(|namespace| format!(", namespace: {}", quoted(namespace))).unwrap_or_default();
    let secret = |name: &str, keys: &[(&str, &str)]| {
        let keys: Vec<_> = keys.iter().map(|(key, what)| format!("  {key}: {REPLACE} # {what}\n")).collect();
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {}{namespace}}}\ntype: Opaque\nstringData:\n{}---\n",
            quoted(name),
            keys.concat()
        )
    };
    let title = spec.title.as_deref().unwrap_or(key);
    let mut text = format!(
        "# {title}: polls {} and sends each change to the callback.\n# Replace each {REPLACE}, unless its comment says to remove the line. Then check the file with `pollinator plan FILE`, and \
         the answers of the provider with `pollinator try FILE`.\n",
        polled.iter().map(|resource| resource.name.as_str()).collect::<Vec<_>>().join(", ")
    );
    let (auth, keys) = credentials(spec.auth.as_ref(), name);
    if !keys.is_empty() {
        text += &secret(name, keys);
    }
    text +=
        &secret(&format!("{name}-callback"), &[("signing-key", "at least 24 random bytes, such as: openssl rand -base64 32")]);
    text += "apiVersion: pollinator.dev/v1alpha1\nkind: ConnectorInstance\n";
    let _ = writeln!(text, "metadata: {{name: {}{namespace}}}\nspec:\n  connector: {key}", quoted(name));
    if spec.base_url.is_none() {
        let _ = writeln!(text, "  baseUrl: https://{REPLACE}.example.com # where the API starts");
    }
    text += &parameters(spec, polled, wishes.parameters);
    text += &auth;
    text += "  polling:\n    startFrom: Now # or Earliest, to receive the records that exist, too\n  resources:\n";
    for resource in polled {
        let _ = writeln!(text, "  - name: {}", quoted(&resource.name));
    }
    let _ = writeln!(text, "  callback:\n    url: {}\n    signature:", quoted(callback));
    let _ = writeln!(text, "      secretRef: {{name: {}, key: signing-key}}", quoted(&format!("{name}-callback")));
    text
}

/// The parameters that the resources need, with their descriptions; those with a default as comments.
fn parameters(spec: &ConnectorSpec, polled: &[&Resource], given: &BTreeMap<String, String>) -> String {
    let polled: Vec<Resource> = polled.iter().map(|resource| (*resource).clone()).collect();
    let is_given = |parameter: &Parameter| given.contains_key(&parameter.name);
    let needed = spec.parameters_for(&polled, is_given);
    let mut lines = String::new();
    for parameter in &*needed {
        if let Some(description) = &parameter.description {
            let _ = writeln!(lines, "    # {description}");
        }
        let name = &parameter.name;
        let _ = match (given.get(name), &parameter.default_value) {
            (Some(value), _) => writeln!(lines, "    {name}: {}", quoted(value)),
            (None, Some(default)) => writeln!(lines, "    # {name}: {}", quoted(default)),
            (None, None) => writeln!(lines, "    {name}: {REPLACE}"),
        };
    }
    if lines.lines().any(|line| !line.trim_start().starts_with('#')) {
        return format!("  parameters:\n{lines}");
    }
    // comments alone would leave a null
    if lines.is_empty() { lines } else { format!("  # parameters:\n{lines}") }
}

type Keys = &'static [(&'static str, &'static str)];

/// The keys of the Secret with the credentials of an instance, and what each of them is.
pub fn keys(auth: Option<&ConnectorAuth>) -> &'static [(&'static str, &'static str)] {
    credentials(auth, "").1
}

/// Keys of the Secret that a grant of OAuth 2.0 needs, and what each is.
pub fn oauth2_keys(grant: Grant) -> &'static [(&'static str, &'static str)] {
    match grant {
        Grant::ClientCredentials => &[("client_id", "the client"), ("client_secret", "its secret")],
        Grant::RefreshToken => &[
            ("client_id", "the client"),
            ("client_secret", "its secret"),
            ("refresh_token", "from a consent; with the connect page, remove this line"),
        ],
        Grant::AuthorizationCode => &[("client_id", "the client"), ("client_secret", "its secret"), ("code", "from a consent")],
        Grant::JwtBearer => &[("client_id", "the client"), ("private_key", "in PEM")],
    }
}

/// The `auth` of the instance, and the keys of the Secret that it names.
fn credentials(auth: Option<&ConnectorAuth>, name: &str) -> (String, Keys) {
    let with_key =
        |member: &str, key: &str| format!("  auth:\n    {member}:\n      secretRef: {{name: {}, key: {key}}}\n", quoted(name));
    let whole = |member: &str| format!("  auth:\n    {member}:\n      secretRef: {{name: {}}}\n", quoted(name));
    match auth {
        None => (String::new(), &[]),
        Some(ConnectorAuth::ApiKey(_)) => (with_key("apiKey", "key"), &[("key", "the API key")]),
        Some(ConnectorAuth::Bearer(_)) => (with_key("bearer", "token"), &[("token", "the access token")]),
        Some(ConnectorAuth::Basic(_)) => {
            (whole("basic"), &[("username", "the user name"), ("password", "the password, which may be empty")])
        }
        Some(ConnectorAuth::Oauth2(oauth2)) => (whole("oauth2"), oauth2_keys(oauth2.grant)),
    }
}

/// A scalar that YAML reads as this text.
fn quoted(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/'))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&&*text.to_lowercase());
    if is_plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::manifest::{self, Manifest};
    use crate::catalog::{built_in, names};
    use crate::plan::resolve;

    fn wishes(parameters: &BTreeMap<String, String>) -> Wishes<'_> {
        Wishes { name: "first", namespace: Some("crm"), callback: "https://h.example/in?a=b", parameters }
    }

    /// What is written for any entry is accepted and plans before anything is replaced.
    #[test]
    fn what_is_written_for_any_entry_plans_unchanged() {
        for key in names() {
            let spec = built_in(key).unwrap();
            let polled: Vec<_> = spec.resources.iter().map(|resource| &resource.resource).collect();
            let text = manifest(key, spec, &polled, &wishes(&BTreeMap::new()));
            let declared = manifest::read("new", &text);
            assert!(declared.errors.is_empty(), "{key}: {:?}\n{text}", declared.errors);
            let instance = declared.manifests.into_iter().find_map(|(_, manifest)| match manifest {
                Manifest::ConnectorInstance(instance) => Some(instance),
                _ => None,
            });
            let plan = resolve(&instance.unwrap(), Some(spec)).unwrap_or_else(|problems| panic!("{key}: {problems:?}\n{text}"));
            assert_eq!((plan.resources.len(), &*plan.instance.namespace), (spec.resources.len(), "crm"), "{key}");
        }
    }

    #[test]
    fn only_what_the_resources_need_is_asked_for() {
        let github = built_in("github").unwrap();
        let issues = [&github.resources[0].resource];
        let given = BTreeMap::from([("owner".to_owned(), "rust-lang".to_owned())]);
        let text = manifest("github", github, &issues, &wishes(&given));
        assert!(text.contains("    owner: rust-lang\n") && text.contains("    repo: replace-me\n"), "{text}");
        assert!(!text.contains("    org:"), "{text}");
        assert!(text.contains("url: \"https://h.example/in?a=b\""), "{text}");
        assert!(text.contains("  token: replace-me # the access token"), "{text}");
    }

    #[test]
    fn a_text_stays_one_in_yaml() {
        for (text, written) in [("a-b.c", "a-b.c"), ("yes", "\"yes\""), ("1", "\"1\""), ("a: b", "\"a: b\""), ("", "\"\"")] {
            assert_eq!(quoted(text), written);
        }
    }
}
