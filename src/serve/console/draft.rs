//! What the form of a new instance says, as an instance and its Secrets. Pure.

use serde_json::{Map, Value, json};

use super::lists;
use crate::api::API_VERSION;
use crate::api::connector::{ConnectorAuth, ConnectorSpec};
use crate::api::instance::ConnectorInstance;
use crate::catalog::starter;
use crate::instances::secret_edits::SecretEdits;

/// Fields of a form in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Of these names and values.
    pub fn new(fields: Vec<(String, String)>) -> Self {
        Self(fields)
    }

    /// The first value of a field without white space around it; empty without one.
    pub fn one(&self, name: &str) -> &str {
        self.0.iter().find(|(have, _)| have == name).map_or("", |(_, value)| value.trim())
    }

    /// All values of a field that can have several.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(have, _)| have == name).map(|(_, value)| value.trim())
    }

    /// All fields.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.trim()))
    }

    /// Fields whose names begin so, without the beginning.
    pub fn beginning<'a>(&'a self, start: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(move |(name, value)| Some((name.strip_prefix(start)?, value.trim())))
    }
}

/// What an instance is made on top of.
#[derive(Clone, Copy)]
pub enum Origin<'a> {
    /// A connector by its name.
    Connector(&'a str, &'a ConnectorSpec),
    /// An address.
    Plain,
}

impl<'a> Origin<'a> {
    /// How its requests are authenticated, where that is known.
    pub fn auth(self) -> Option<&'a ConnectorAuth> {
        match self {
            Self::Connector(_, spec) => spec.auth.as_ref(),
            Self::Plain => None,
        }
    }
}

/// How requests to an address without a connector are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainAuth {
    /// Not at all.
    None,
    /// A key in a header.
    ApiKey,
    /// A fixed token.
    Bearer,
    /// A user name and a password.
    Basic,
}

impl PlainAuth {
    /// All of them, in the order of the form.
    pub const ALL: [Self; 4] = [Self::None, Self::Bearer, Self::ApiKey, Self::Basic];

    /// The value in the form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ApiKey => "apiKey",
            Self::Bearer => "bearer",
            Self::Basic => "basic",
        }
    }

    /// The words in the form.
    pub const fn label(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::ApiKey => "API key in a header",
            Self::Bearer => "Bearer token",
            Self::Basic => "User name and password",
        }
    }

    /// The one of a value; an unknown one is none.
    pub fn parse(text: &str) -> Self {
        Self::ALL.into_iter().find(|auth| auth.as_str() == text).unwrap_or(Self::None)
    }
}

/// Keys of the Secret with credentials, and what each is.
pub fn credential_keys(origin: Origin<'_>, fields: &Fields) -> &'static [(&'static str, &'static str)] {
    match origin.auth() {
        Some(auth) => starter::keys(Some(auth)),
        None => match PlainAuth::parse(fields.one("auth")) {
            PlainAuth::None => &[],
            PlainAuth::ApiKey => &[("key", "the API key")],
            PlainAuth::Bearer => &[("token", "the access token")],
            PlainAuth::Basic => &[("username", "the user name"), ("password", "the password, which may be empty")],
        },
    }
}

/// How a form labels a key of the Secret with credentials.
pub fn credential_label(key: &str) -> &str {
    match key {
        "key" => "API key",
        "token" => "Access token",
        "username" => "User name",
        "password" => "Password",
        "client_id" => "Client ID",
        "client_secret" => "Client secret",
        "refresh_token" => "Refresh token",
        "code" => "Authorization code",
        "private_key" => "Private key",
        other => other,
    }
}

/// What to know of a credential in addition to its label.
pub fn credential_hint(key: &str) -> &'static str {
    match key {
        "password" => "It may be empty.",
        "refresh_token" | "code" => {
            "From a consent. With the connect page, leave it out, and give consent on the page of the instance."
        }
        "private_key" => "In PEM.",
        _ => "",
    }
}

/// The instance, and the values of its Secrets. `secret` yields what was entered for a field that holds a secret; what is missing is left
/// out.
///
/// # Errors
/// A sentence for what no instance can be made of. What can is validated as any manifest.
pub fn draft<'a>(
    origin: Origin<'_>,
    namespace: &str,
    fields: &Fields,
    secret: impl Fn(&str) -> Option<&'a str>,
) -> Result<(ConnectorInstance, SecretEdits), String> {
    let name = fields.one("name");
    let mut secrets = SecretEdits::default();
    for (key, _) in credential_keys(origin, fields) {
        if let Some(value) = secret(&format!("credential.{key}")).filter(|value| !value.is_empty()) {
            secrets.set(name, *key, value.to_owned());
        }
    }
    let mut spec = Map::new();
    let mut set = |field: &str, value: Value| drop(spec.insert(field.to_owned(), value));
    if let Origin::Connector(key, _) = origin {
        set("connector", json!(key));
    }
    if !fields.one("baseUrl").is_empty() {
        set("baseUrl", json!(fields.one("baseUrl")));
    }
    let parameters: Map<_, _> =
        fields.beginning("parameter.").filter(|(_, value)| !value.is_empty()).map(|(n, v)| (n.to_owned(), json!(v))).collect();
    if !parameters.is_empty() {
        set("parameters", Value::Object(parameters));
    }
    if let Some(auth) = auth(origin, fields, name) {
        set("auth", auth);
    }
    let mut polling = Map::new();
    for field in ["interval", "startFrom"] {
        if !fields.one(field).is_empty() {
            polling.insert(field.to_owned(), json!(fields.one(field)));
        }
    }
    if !polling.is_empty() {
        set("polling", Value::Object(polling));
    }
    set("resources", resources(origin, fields));
    set("suspend", json!(fields.one("events").is_empty()));
    let url = fields.one("callback");
    let format = if fields.one("format").is_empty() { "CloudEvents" } else { fields.one("format") };
    let mut callback = json!({"url": url, "format": format, "allowInsecureHttp": url.starts_with("http://")});
    if let Some(key) = secret("signing-key").filter(|key| !key.is_empty()) {
        secrets.set(format!("{name}-callback"), "signing-key", key.to_owned());
        callback["signature"] = json!({"secretRef": {"name": format!("{name}-callback"), "key": "signing-key"}});
    }
    set("callback", callback);
    let object = json!({
        "apiVersion": API_VERSION, "kind": "ConnectorInstance", "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    });
    serde_json::from_value(object)
        .map(|instance| (instance, secrets))
        .map_err(|error| format!("the form cannot be used: {error}"))
}

/// The `auth` of an instance whose credentials are in the Secret `name`.
pub fn auth(origin: Origin<'_>, fields: &Fields, name: &str) -> Option<Value> {
    let whole = || json!({"secretRef": {"name": name}});
    let with_key = |key: &str| json!({"secretRef": {"name": name, "key": key}});
    match origin.auth() {
        Some(ConnectorAuth::ApiKey(_)) => Some(json!({"apiKey": with_key("key")})),
        Some(ConnectorAuth::Bearer(_)) => Some(json!({"bearer": with_key("token")})),
        Some(ConnectorAuth::Basic(_)) => Some(json!({"basic": whole()})),
        Some(ConnectorAuth::Oauth2(_)) => Some(json!({"oauth2": whole()})),
        None => match PlainAuth::parse(fields.one("auth")) {
            PlainAuth::None => None,
            PlainAuth::Bearer => Some(json!({"bearer": with_key("token")})),
            PlainAuth::Basic => Some(json!({"basic": whole()})),
            PlainAuth::ApiKey => {
                let mut key = with_key("key");
                if !fields.one("header").is_empty() {
                    key["name"] = json!(fields.one("header"));
                }
                Some(json!({"apiKey": key}))
            }
        },
    }
}

fn resources(origin: Origin<'_>, fields: &Fields) -> Value {
    match origin {
        Origin::Connector(..) => {
            fields.all("resource").filter(|name| !name.is_empty()).map(|name| json!({"name": name})).collect()
        }
        Origin::Plain => {
            let mut resource = json!({"name": fields.one("resource"), "url": fields.one("url")});
            for (field, ..) in lists::FIELDS.iter().filter(|(field, ..)| !["name", "url"].contains(field)) {
                lists::set(&mut resource, field, fields.one(field));
            }
            json!([resource])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;
    use crate::plan::resolve::resolve;
    use crate::serve::console::manifest::manifest;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        Fields::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn an_entry_of_the_catalogue_becomes_an_instance_that_plans() {
        let spec = catalog::built_in("github").unwrap();
        let resource = spec.resources[0].resource.name.as_str();
        let form = fields(&[
            ("name", " issues "),
            ("resource", resource),
            ("parameter.owner", "rust-lang"),
            ("parameter.repo", "rust"),
            ("interval", "5m"),
            ("startFrom", "Earliest"),
            ("events", "on"),
            ("callback", "http://127.0.0.1:9000/in"),
            ("format", "OpenConnectors"),
        ]);
        let secret = |name: &str| (name == "credential.token" || name == "signing-key").then_some("hunter2");
        let (instance, secrets) = draft(Origin::Connector("github", spec), "crm", &form, secret).unwrap();
        let plan = resolve(&instance, Some(spec)).unwrap();
        assert_eq!((plan.resources.len(), plan.suspended, plan.callback.url.as_str()), (1, false, "http://127.0.0.1:9000/in"));
        assert_eq!(secrets.names().collect::<Vec<_>>(), ["issues", "issues-callback"]);
        let text = manifest(&instance);
        assert!(!text.contains("hunter2") && text.contains("connector: github"), "{text}");
    }

    #[test]
    fn an_address_becomes_an_instance_that_plans() {
        for auth in PlainAuth::ALL {
            let form = fields(&[
                ("name", "shop"),
                ("baseUrl", "https://api.example.com/v1"),
                ("auth", auth.as_str()),
                ("resource", "orders"),
                ("url", "/orders"),
                ("updatedDateField", "updated_at"),
                ("callback", "https://h.example/in"),
            ]);
            let (instance, secrets) = draft(Origin::Plain, "default", &form, |_| Some("x")).unwrap();
            let plan = resolve(&instance, None).unwrap_or_else(|problems| panic!("{auth:?}: {problems:?}"));
            assert!(plan.suspended, "events are off unless they are turned on");
            assert_eq!(secrets.names().count(), if auth == PlainAuth::None { 1 } else { 2 }, "{auth:?}");
        }
    }
}
