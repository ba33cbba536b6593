//! The form of a new instance, with what was entered before. Values of secrets are never in it. Pure.

use super::draft::{Fields, Origin, PlainAuth, credential_hint, credential_keys, credential_label};
use super::instance::is_link;
use super::lists;
use crate::api::connector::{ConnectorAuth, ConnectorResource, Parameter};
use crate::api::resource::Resource;
use crate::api::visible::one_line;
use crate::catalog::words;

/// What the form shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormView {
    /// Where it is sent.
    pub href: String,
    /// Whether it makes an instance, which needs a name; else it changes one.
    pub is_new: bool,
    /// What is polled, for people.
    pub title: String,
    /// Pages of the provider.
    pub documentation: Vec<String>,
    /// Name of the instance.
    pub name: Field,
    /// Its namespace.
    pub namespace: Field,
    /// Where the API starts, where the connector does not say.
    pub base_url: Option<Field>,
    /// Parameters of the connector.
    pub parameters: Vec<Field>,
    /// How requests are authenticated, where that is to be chosen; else in words.
    pub auth: Option<Vec<Choice>>,
    /// The words for it.
    pub auth_words: String,
    /// Fields for secrets; their values are never shown.
    pub credentials: Vec<SecretField>,
    /// The header of an API key.
    pub header: Option<Field>,
    /// Resources of the connector.
    pub resources: Vec<Choice>,
    /// The lists of an address.
    pub lists: Vec<ListGroup>,
    /// Time between two polls.
    pub interval: Field,
    /// What the first poll does.
    pub starts: Vec<Choice>,
    /// Where events go.
    pub callback: Field,
    /// Shape of the events.
    pub formats: Vec<Choice>,
    /// The key that signs events.
    pub signing_key: SecretField,
    /// Whether events are turned on.
    pub has_events: bool,
}

/// The fields of one list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListGroup {
    /// What they are of; empty: there is one list alone.
    pub title: String,
    /// What to know before they are filled in.
    pub hint: &'static str,
    /// The fields.
    pub fields: Vec<Field>,
    /// The box that removes it, where it can be removed.
    pub removal: Option<Choice>,
}

/// A field with text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// Its name in the form.
    pub name: String,
    /// Its label.
    pub label: String,
    /// What to enter.
    pub hint: String,
    /// What was entered.
    pub value: String,
    /// What may be entered; empty: any text.
    pub options: Vec<String>,
    /// Must something be entered?
    pub is_required: bool,
    /// Must something be entered for what is chosen at the moment?
    pub is_needed: bool,
    /// What is wrong with what was entered; empty: nothing.
    pub problem: String,
}

/// A field with a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretField {
    /// Its name in the form.
    pub name: String,
    /// Its label.
    pub label: String,
    /// What to enter.
    pub hint: String,
    /// Whether it was entered before, and is kept.
    pub is_kept: bool,
    /// Whether the instance has one, which stays unless another one is entered.
    pub is_stored: bool,
    /// What is wrong with what was entered; empty: nothing.
    pub problem: String,
}

/// Something to choose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Its value in the form.
    pub value: String,
    /// Its label.
    pub label: String,
    /// More about it.
    pub hint: String,
    /// Whether it is chosen.
    pub is_chosen: bool,
}

/// The form. `entered`: what was sent, if it was sent before. `is_kept`: is the secret of a field kept from before?
pub fn form(origin: Origin<'_>, namespace: &str, entered: Option<&Fields>, is_kept: impl Fn(&str) -> bool) -> FormView {
    let none = Fields::default();
    let fields = entered.unwrap_or(&none);
    let or = |name: &str, default: &str| {
        let value = fields.one(name);
        if value.is_empty() && entered.is_none() { default.to_owned() } else { value.to_owned() }
    };
    let field = |name: &str, label: &str, hint: &str, default: &str, is_required: bool| Field {
        name: name.to_owned(),
        label: label.to_owned(),
        hint: hint.to_owned(),
        value: or(name, default),
        options: Vec::new(),
        is_required,
        ..Field::default()
    };
    let secret = |name: &str, label: &str, hint: &str| SecretField {
        name: name.to_owned(),
        label: label.to_owned(),
        hint: hint.to_owned(),
        is_kept: is_kept(name),
        ..SecretField::default()
    };
    let plain = PlainAuth::parse(fields.one("auth"));
    let auths = PlainAuth::ALL.map(|auth| choice(auth.as_str(), auth.label(), "", auth == plain));
    let start = or("startFrom", "Now");
    let format = or("format", "CloudEvents");
    let (key, spec) = match origin {
        Origin::Connector(key, spec) => (Some(key), Some(spec)),
        Origin::Plain => (None, None),
    };
    let has_one = spec.is_some_and(|spec| spec.resources.len() == 1);
    let resource = |of: &ConnectorResource| {
        let name = of.resource.name.as_str();
        let is_chosen = if entered.is_some() { fields.all("resource").any(|have| have == name) } else { has_one };
        choice(name, name, &words::request(of), is_chosen)
    };
    // Some parameters are needed whatever is polled, and others by some of the resources.
    let chosen = |of: &&ConnectorResource| {
        fields.all("resource").all(str::is_empty) || fields.all("resource").any(|have| have == of.resource.name)
    };
    let polled: Vec<_> =
        spec.iter().flat_map(|spec| spec.resources.iter().filter(chosen)).map(|of| of.resource.clone()).collect();
    let lacks = |own: &Parameter, polled: &[Resource]| {
        let needed = spec.map(|spec| spec.parameters_for(polled, |_| false)).unwrap_or_default();
        own.default_value.is_none() && own.one_of.is_empty() && needed.iter().any(|one| one.name == own.name)
    };
    let parameter = |own: &Parameter| Field {
        name: format!("parameter.{}", own.name),
        label: own.name.clone(),
        hint: own.description.as_deref().map(line).unwrap_or_default(),
        value: or(&format!("parameter.{}", own.name), own.default_value.as_deref().unwrap_or_default()),
        options: own.one_of.clone(),
        is_required: lacks(own, &[]),
        is_needed: entered.is_some() && lacks(own, &polled),
        ..Field::default()
    };
    let needs_base_url = spec.is_none_or(|spec| spec.base_url.is_none());
    FormView {
        href: key.map_or_else(|| "/new/plain".to_owned(), |key| format!("/new/from/{key}")),
        is_new: true,
        title: spec.map_or_else(|| "a plain URL".to_owned(), |spec| line(spec.title.as_deref().or(key).unwrap_or_default())),
        documentation: spec
            .map(|spec| spec.documentation.iter().filter(|url| is_link(url)).cloned().collect())
            .unwrap_or_default(),
        name: field(
            "name",
            "Name of the instance",
            "Small letters, digits and dashes, such as keap-sales.",
            key.unwrap_or(""),
            true,
        ),
        namespace: field("namespace", "Namespace", "", namespace, true),
        base_url: needs_base_url
            .then(|| field("baseUrl", "Where the API starts", "Such as https://api.example.com/v2", "", true)),
        parameters: spec.map(|spec| spec.parameters.iter().map(parameter).collect()).unwrap_or_default(),
        auth: origin.auth().is_none().then(|| auths.into()),
        auth_words: auth_words(origin.auth()),
        credentials: credential_keys(origin, fields)
            .iter()
            .map(|(key, _)| secret(&format!("credential.{key}"), credential_label(key), credential_hint(key)))
            .collect(),
        header: (origin.auth().is_none() && plain == PlainAuth::ApiKey)
            .then(|| field("header", "Header of the key", "If it is empty, X-API-Key.", "", false)),
        resources: spec.map(|spec| spec.resources.iter().map(resource).collect()).unwrap_or_default(),
        lists: if spec.is_some() {
            Vec::new()
        } else {
            let fields = lists::FIELDS.map(|(name, label, hint, is_required)| {
                field(if name == "name" { "resource" } else { name }, label, hint, "", is_required)
            });
            let fields = fields.into();
            vec![ListGroup { fields, ..ListGroup::default() }]
        },
        interval: field("interval", "Interval", "Time between two polls, such as 5m, 15m or 1h.", "15m", true),
        starts: vec![
            choice("Now", "Now", "Only changes from now on are sent.", start == "Now"),
            choice("Earliest", "Earliest", "All records that exist are sent as created.", start == "Earliest"),
        ],
        callback: field(
            "callback",
            "Callback URL",
            "Where events are sent by POST, such as https://hooks.example.com/in",
            "",
            true,
        ),
        formats: vec![
            choice("CloudEvents", "CloudEvents", "CloudEvents 1.0 as JSON, one event a request.", format == "CloudEvents"),
            choice("OpenConnectors", "OpenConnectors", "The body of SAP Open Connectors.", format == "OpenConnectors"),
        ],
        signing_key: secret(
            "signing-key",
            "Signing key",
            "Signs each request, so that the receiver can verify that it is yours: at least 24 random bytes. Leave it empty for unsigned requests.",
        ),
        has_events: entered.is_none() || !fields.one("events").is_empty(),
    }
}

/// How requests are authenticated, for people.
fn auth_words(auth: Option<&ConnectorAuth>) -> String {
    let how = match auth {
        None => return String::new(),
        Some(ConnectorAuth::ApiKey(_)) => "an API key",
        Some(ConnectorAuth::Basic(_)) => "a user name and a password",
        Some(ConnectorAuth::Bearer(_)) => "an access token",
        Some(ConnectorAuth::Oauth2(_)) => "OAuth 2.0",
    };
    format!("The provider authenticates requests by {how}. What you enter is kept in a Secret and never shown.")
}

fn choice(value: &str, label: &str, hint: &str, is_chosen: bool) -> Choice {
    Choice { value: value.to_owned(), label: line(label), hint: line(hint), is_chosen }
}

fn line(text: &str) -> String {
    one_line(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    #[test]
    fn every_entry_has_a_form_that_asks_for_what_it_needs() {
        for key in catalog::names() {
            let spec = catalog::built_in(key).unwrap();
            let view = form(Origin::Connector(key, spec), "default", None, |_| false);
            let has_fixed = view.parameters.iter().all(|field| !field.is_required || field.value.is_empty());
            assert!(has_fixed, "{key}: what has a default need not be entered");
            assert_eq!(view.resources.len(), spec.resources.len(), "{key}");
            assert_eq!(view.credentials.is_empty(), spec.auth.is_none(), "{key}");
            assert!(view.auth.is_some() == spec.auth.is_none() && view.has_events, "{key}");
        }
    }

    #[test]
    fn what_was_entered_stays_and_secrets_do_not() {
        let pairs = [
            ("name", "a"),
            ("auth", "apiKey"),
            ("credential.key", "hunter2"),
            ("signing-key", "hunter3"),
            ("startFrom", "Earliest"),
        ];
        let fields = Fields::new(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        let view = form(Origin::Plain, "default", Some(&fields), |name| name == "credential.key");
        assert!(view.credentials[0].is_kept && !view.signing_key.is_kept && !view.has_events && view.header.is_some());
        assert!(view.starts[1].is_chosen && view.name.value == "a");
        assert!(!format!("{view:?}").contains("hunter"));
    }
}
