//! The form of an instance that exists, with what was entered. Values of secrets are never in it. Pure.

use std::collections::BTreeSet;

use serde_json::json;

use super::change::{auth_kind, credentials, kind_of, required};
use super::draft::{Fields, Origin, PlainAuth, credential_hint, credential_label};
use super::form::{Choice, Field, FormView, SecretField, form};
use super::instance::href;
use super::lists;
use crate::api::identity::InstanceRef;
use crate::api::instance::ConnectorInstance;
use crate::api::visible::one_line;
use crate::instances::receiver;

/// The form of an instance, filled with these entries. `is_kept`: is the secret of a field kept from before?
pub fn edit_form(
    instance: &ConnectorInstance,
    origin: Origin<'_>,
    fields: &Fields,
    is_kept: impl Fn(&str) -> bool,
) -> FormView {
    let metadata = &instance.metadata;
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    let of = InstanceRef::new(part(&metadata.namespace), part(&metadata.name));
    let mut view = form(origin, &of.namespace, Some(fields), &is_kept);
    view.href = format!("{}/edit", href(&of));
    view.is_new = false;
    view.name.value = of.name.to_string();
    view.namespace.value = of.namespace.to_string();
    show_auth(&mut view, instance, origin, fields, is_kept);
    if view.base_url.is_none() && instance.spec.base_url.is_some() {
        view.base_url = Some(Field {
            hint: "In place of the address of the connector. If it is empty, that of the connector.".to_owned(),
            ..field("baseUrl", "Where the API starts", fields)
        });
    }
    for parameter in view.parameters.iter_mut().filter(|own| !own.options.is_empty() && !own.options.contains(&own.value)) {
        parameter.options.insert(0, parameter.value.clone());
    }
    view.interval.is_required = false;
    view.interval.hint.push_str(match origin {
        Origin::Connector(..) => " If it is empty, that of the connector, else 15m.",
        Origin::Plain => " If it is empty, 15m.",
    });
    if !view.starts.iter().any(|choice| choice.is_chosen) {
        let (value, label, hint) = match fields.one("startFrom") {
            "" => ("", "Default", "As the connector says, else Now."),
            time => (time, time, "Records from this time on are sent."),
        };
        view.starts.push(chosen(value, label, hint));
    }
    show_resources(&mut view, instance, origin, fields);
    let callback = &instance.spec.callback;
    if let Some(credentials) = receiver::credentials_of(callback) {
        view.callback.hint = if receiver::is_another(&callback.url, fields.one("callback")) {
            format!(
                "This is another scheme, host or port than before: saving removes the {credentials} of the old one. If the new one \
                 needs its own, add them to spec.callback in the manifest."
            )
        } else {
            format!(
                "Its {credentials} are for this scheme, host and port only: if you change one of them, saving removes the {credentials}."
            )
        };
    }
    view
}

/// How requests are authenticated. Values of Secrets are not shown.
fn show_auth(
    view: &mut FormView,
    instance: &ConnectorInstance,
    origin: Origin<'_>,
    fields: &Fields,
    is_kept: impl Fn(&str) -> bool,
) {
    let auth = json!(instance.spec.auth);
    if let Some(kind) = auth_kind(&auth) {
        let is_known = match origin.auth() {
            Some(known) => kind_of(known) == kind,
            None => PlainAuth::ALL.iter().any(|own| own.as_str() == kind),
        };
        if !is_known {
            view.auth = None;
            view.auth_words = if credentials(&auth, origin, fields).is_empty() {
                format!(
                    "Requests are authenticated by {kind}, as the manifest of this instance says. It is kept; change it in the manifest."
                )
            } else {
                format!(
                    "Requests are authenticated by {kind}, as the manifest of this instance says. You can replace the credentials here."
                )
            };
        }
    }
    let is_stored = !auth.is_null() && required(instance, origin, fields).is_empty();
    let credential = |(key, _): &(&str, &str)| {
        let name = format!("credential.{key}");
        let (label, hint) = (credential_label(key).to_owned(), credential_hint(key).to_owned());
        SecretField { is_kept: is_kept(&name), name, label, hint, is_stored, ..SecretField::default() }
    };
    view.credentials = credentials(&auth, origin, fields).iter().map(credential).collect();
    if instance.spec.callback.signature.is_some() {
        view.signing_key.is_stored = true;
        "Signs each request. If you enter another one, the receiver needs it, too.".clone_into(&mut view.signing_key.hint);
    }
}

/// The resources: those of a connector to choose from, with those that only this instance has; else the fields of each.
fn show_resources(view: &mut FormView, instance: &ConnectorInstance, origin: Origin<'_>, fields: &Fields) {
    let declared = instance.spec.resources.iter().map(|own| own.name.as_str());
    view.lists.clear();
    if let Origin::Connector(..) = origin {
        let known: BTreeSet<_> = view.resources.iter().map(|choice| choice.value.clone()).collect();
        let is_chosen = |name: &str| fields.all("resource").any(|have| have == name);
        let own = declared.filter(|name| !known.contains(*name));
        let own = own.map(|name| Choice { is_chosen: is_chosen(name), ..chosen(name, name, "declared by this instance") });
        view.resources.extend(own);
        return;
    }
    view.lists = declared.map(|name| lists::group(name, fields)).chain([lists::another(fields)]).collect();
}

fn chosen(value: &str, label: &str, hint: &str) -> Choice {
    Choice { value: value.to_owned(), label: one_line(label).into_owned(), hint: hint.to_owned(), is_chosen: true }
}

/// A field without a hint, with what was entered.
pub fn field(name: &str, label: &str, fields: &Fields) -> Field {
    Field { name: name.to_owned(), label: one_line(label).into_owned(), value: fields.one(name).to_owned(), ..Field::default() }
}
