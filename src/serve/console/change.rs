//! An instance as the form of its settings shows it, and what a form that comes back changes of it: fields whose entries differ, and
//! nothing else. Pure.

use std::collections::BTreeSet;

use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::draft::{Fields, Origin, auth, credential_keys};
use super::lists;
use crate::api::auth::Grant;
use crate::api::connector::{ConnectorAuth, ConnectorSpec};
use crate::api::instance::{ConnectorInstance, ConnectorInstanceSpec};
use crate::api::visible::one_line;
use crate::catalog::starter::oauth2_keys;
use crate::instances::receiver;
use crate::instances::secret_edits::SecretEdits;

/// The entries of the form for an instance as it is.
pub fn filled(instance: &ConnectorInstance, connector: Option<&ConnectorSpec>) -> Fields {
    let spec = json!(instance.spec);
    let at = |pointer: &str| spec.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut pairs = vec![
        ("connector".to_owned(), at("/connector")),
        ("baseUrl".to_owned(), at("/baseUrl")),
        ("auth".to_owned(), auth_kind(&spec["auth"]).unwrap_or("none").to_owned()),
        ("header".to_owned(), at("/auth/apiKey/name")),
        ("interval".to_owned(), at("/polling/interval")),
        ("startFrom".to_owned(), at("/polling/startFrom")),
        ("callback".to_owned(), at("/callback/url")),
        ("format".to_owned(), at("/callback/format")),
    ];
    for parameter in connector.into_iter().flat_map(|connector| &connector.parameters) {
        let name = &parameter.name;
        let value = instance.spec.parameters.get(name).or(parameter.default_value.as_ref());
        pairs.push((format!("parameter.{name}"), value.cloned().unwrap_or_default()));
    }
    for resource in spec["resources"].as_array().into_iter().flatten() {
        let name = resource["name"].as_str().unwrap_or_default();
        if connector.is_some() {
            pairs.push(("resource".to_owned(), name.to_owned()));
        } else {
            pairs.extend(lists::filled(resource));
        }
    }
    if connector.is_none() {
        pairs.extend(lists::blank());
    }
    if !instance.spec.suspend {
        pairs.push(("events".to_owned(), "on".to_owned()));
    }
    Fields::new(pairs)
}

/// The one member of `auth`.
pub fn auth_kind(auth: &Value) -> Option<&str> {
    auth.as_object()?.keys().next().map(String::as_str)
}

/// Entries as a text that a form carries.
pub fn carried(fields: &Fields) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields.pairs()).finish()
}

/// Entries that a form carried.
pub fn uncarried(text: &str) -> Fields {
    Fields::new(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
}

/// Names of the fields whose entries differ.
pub fn differing(one: &Fields, other: &Fields) -> BTreeSet<String> {
    let names = one.pairs().chain(other.pairs()).map(|(name, _)| name);
    names.filter(|name| entries(one, name) != entries(other, name)).map(str::to_owned).collect()
}

/// What was entered for a field, in no order; nothing is as good as an empty entry.
fn entries<'a>(fields: &'a Fields, name: &'a str) -> BTreeSet<&'a str> {
    fields.all(name).filter(|entry| !entry.is_empty()).collect()
}

/// Fields of boxes: one that is not ticked does not come back.
const BOXES: [&str; 3] = ["resource", "events", lists::REMOVE];

/// What a form says of the fields that it is about, with the entries of before for those that were no part of it.
pub fn completed(was: &Fields, entered: &Fields) -> Fields {
    let has = |fields: &Fields, name: &str| fields.pairs().any(|(have, _)| have == name);
    let kept = was.pairs().filter(|(name, _)| !BOXES.contains(name) && !has(entered, name));
    let own = entered.pairs().filter(|(name, _)| BOXES.contains(name) || has(was, name));
    Fields::new(kept.chain(own).map(owned).collect())
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// What a person entered into the form of an instance that has changed since: `now` wherever the person left a field as it `was`.
pub fn merged(was: &Fields, entered: &Fields, now: &Fields) -> Fields {
    let own = differing(was, entered);
    let of_person = entered.pairs().filter(|(name, _)| own.contains(*name));
    let of_others = now.pairs().filter(|(name, _)| !own.contains(*name));
    Fields::new(of_others.chain(of_person).map(owned).collect())
}

/// A sentence for each field that others have changed.
pub fn told(was: &Fields, now: &Fields) -> Vec<String> {
    let shown = |fields: &Fields, name: &str| {
        let entries: Vec<_> = entries(fields, name).into_iter().collect();
        match (name, entries.is_empty()) {
            ("events", is_suspended) => is_suspended.to_string(),
            (_, true) => "empty".to_owned(),
            (_, false) => one_line(&entries.join(", ")).into_owned(),
        }
    };
    let tell = |name: &String| format!("{}: it was {} and is now {}", path(name), shown(was, name), shown(now, name));
    differing(was, now).iter().map(tell).collect()
}

/// The field of the manifest that a field of the form is for.
pub fn path(name: &str) -> String {
    let parts = match name {
        "interval" | "startFrom" => vec!["polling", name],
        "header" => vec!["auth", "apiKey", "name"],
        "callback" => vec!["callback", "url"],
        "format" => vec!["callback", "format"],
        "events" => vec!["suspend"],
        "resource" => vec!["resources"],
        other => match (lists::path(other), other.strip_prefix("parameter.")) {
            (Some(path), _) => path,
            (None, Some(parameter)) => vec!["parameters", parameter],
            (None, None) => vec![other],
        },
    };
    one_line(&format!("spec.{}", parts.join("."))).into_owned()
}

/// The instance with what a form changes of it, and the Secrets that it replaces. `was`: the entries before; `secret` yields what was
/// entered for a field that holds a secret.
///
/// # Errors
/// A sentence for what no instance can be made of. What can is validated as any manifest.
pub fn changed<'a>(
    instance: &ConnectorInstance,
    origin: Origin<'_>,
    (was, entered): (&Fields, &Fields),
    secret: impl Fn(&str) -> Option<&'a str>,
) -> Result<(ConnectorInstance, SecretEdits), String> {
    let own_name = instance.metadata.name.as_deref().unwrap_or_default();
    let mut spec = json!(instance.spec);
    let differing = differing(was, entered);
    for name in &differing {
        let value = entered.one(name);
        match name.as_str() {
            "baseUrl" => put(&mut spec, &["baseUrl"], value),
            "interval" | "startFrom" => put(&mut spec, &["polling", name], value),
            "format" => put(&mut spec, &["callback", "format"], value),
            "events" => spec["suspend"] = value.is_empty().into(),
            "resource" => choose(&mut spec, &entries(entered, name)),
            "callback" => {
                spec["callback"]["url"] = value.into();
                if value.starts_with("http://") {
                    spec["callback"]["allowInsecureHttp"] = true.into();
                }
            }
            "auth" => {
                let secret = secret_name(&spec["auth"]).unwrap_or(own_name).to_owned();
                match auth(origin, entered, &secret) {
                    Some(auth) => spec["auth"] = auth,
                    None => put(&mut spec, &["auth"], ""),
                }
            }
            "header" if spec.pointer("/auth/apiKey").is_some() => put(&mut spec, &["auth", "apiKey", "name"], value),
            other => {
                if let Some(parameter) = other.strip_prefix("parameter.") {
                    put(&mut spec, &["parameters", parameter], value);
                }
            }
        }
    }
    if matches!(origin, Origin::Plain) {
        lists::change(&mut spec["resources"], &differing, entered);
    }
    let mut secrets = secrets(&mut spec, own_name, origin, entered, secret);
    forget(&json!(instance.spec.auth), &spec["auth"], &mut secrets);
    let mut spec: ConnectorInstanceSpec =
        serde_json::from_value(spec).map_err(|error| format!("the form cannot be used: {error}"))?;
    // The form has no fields for the credentials of a callback, so none are given again.
    receiver::leave_credentials(&instance.spec.callback, &mut spec.callback, |_| false);
    let mut edits = receiver::unnamed(own_name, &instance.spec.callback, &spec.callback);
    edits.fill(secrets);
    Ok((ConnectorInstance { spec, ..instance.clone() }, edits))
}

/// What replaces values of Secrets. Where the instance names no Secret yet, it does so from now on.
fn secrets<'a>(
    spec: &mut Value,
    own_name: &str,
    origin: Origin<'_>,
    entered: &Fields,
    secret: impl Fn(&str) -> Option<&'a str>,
) -> SecretEdits {
    let value = |field: &str| secret(field).filter(|value| !value.is_empty()).map(str::to_owned);
    let mut edits = SecretEdits::default();
    for (key, _) in credentials(&spec["auth"], origin, entered) {
        let Some(value) = value(&format!("credential.{key}")) else { continue };
        if spec["auth"].is_null() {
            spec["auth"] = json!(auth(origin, entered, own_name));
        }
        let name = secret_name(&spec["auth"]).unwrap_or(own_name);
        edits.set(name, secret_key(&spec["auth"]).unwrap_or(key), value);
    }
    if let Some(key) = value("signing-key") {
        let reference = spec["callback"]["signature"]["secretRef"].clone();
        let text = |field: &str| reference[field].as_str().map(str::to_owned);
        let name = text("name").unwrap_or_else(|| format!("{own_name}-callback"));
        let in_secret = text("key").unwrap_or_else(|| "signing-key".to_owned());
        spec["callback"]["signature"]["secretRef"] = json!({"name": name, "key": in_secret});
        edits.set(name, in_secret, key);
    }
    edits
}

/// Removes from a Secret that gets other credentials the keys of those that it had, when requests are authenticated in another way.
fn forget(before: &Value, after: &Value, edits: &mut SecretEdits) {
    let (Some(kind), Some(name)) = (auth_kind(before), secret_name(before)) else { return };
    if auth_kind(after) == Some(kind) || !edits.names().any(|edited| edited == name) {
        return;
    }
    let fields = Fields::new(vec![("auth".to_owned(), kind.to_owned())]);
    let keys = credentials(before, Origin::Plain, &fields).iter().map(|(key, _)| *key).chain(secret_key(before));
    let keys: BTreeSet<_> = keys.map(str::to_owned).collect();
    let mut removed = SecretEdits::default();
    for key in keys {
        removed.remove(name, key);
    }
    // What was entered stays.
    edits.fill(removed);
}

/// The keys of the credentials that the form can replace: those of the kind that the instance has, if the form knows it.
pub fn credentials(auth: &Value, origin: Origin<'_>, fields: &Fields) -> &'static [(&'static str, &'static str)] {
    // No form makes it, but an instance may have it, and in another way than its connector.
    if let Some(grant) = auth.pointer("/oauth2/grant").filter(|_| fields.one("auth") == "oauth2") {
        return Grant::deserialize(grant).map_or(&[], oauth2_keys);
    }
    let fits = match (origin.auth(), auth_kind(auth)) {
        (Some(known), Some(kind)) => kind_of(known) == kind,
        _ => true,
    };
    if fits { credential_keys(origin, fields) } else { &[] }
}

/// The member of `auth` that a connector asks for.
pub fn kind_of(auth: &ConnectorAuth) -> &'static str {
    match auth {
        ConnectorAuth::ApiKey(_) => "apiKey",
        ConnectorAuth::Basic(_) => "basic",
        ConnectorAuth::Bearer(_) => "bearer",
        ConnectorAuth::Oauth2(_) => "oauth2",
    }
}

fn secret_name(auth: &Value) -> Option<&str> {
    auth.get(auth_kind(auth)?)?.pointer("/secretRef/name")?.as_str()
}

fn secret_key(auth: &Value) -> Option<&str> {
    auth.get(auth_kind(auth)?)?.pointer("/secretRef/key")?.as_str()
}

/// Sets a text, or removes the field and the objects that are empty without it.
pub fn put(value: &mut Value, path: &[&str], text: &str) {
    let Some((first, rest)) = path.split_first() else { return };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let Some(fields) = value.as_object_mut() else { return };
    if !rest.is_empty() {
        let inner = fields.entry(*first).or_insert_with(|| json!({}));
        put(inner, rest, text);
        if inner.as_object().is_some_and(Map::is_empty) {
            fields.remove(*first);
        }
    } else if text.is_empty() {
        fields.remove(*first);
    } else {
        fields.insert((*first).to_owned(), text.into());
    }
}

/// Keeps the resources of these names as they are, adds those that are missing, and removes the others.
fn choose(spec: &mut Value, names: &BTreeSet<&str>) {
    let mut resources = spec["resources"].as_array().cloned().unwrap_or_default();
    resources.retain(|have| have["name"].as_str().is_some_and(|name| names.contains(name)));
    let is_there = |name: &str| resources.iter().any(|have| have["name"] == name);
    let new: Vec<_> = names.iter().filter(|name| !is_there(name)).map(|name| json!({"name": name})).collect();
    spec["resources"] = resources.into_iter().chain(new).collect();
}

/// Names of all Secrets that an instance names.
pub fn secret_names(instance: &ConnectorInstance) -> BTreeSet<String> {
    fn collect(value: &Value, names: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (field, value) in fields {
                    if field.ends_with("Ref") {
                        names.extend(value["name"].as_str().map(str::to_owned));
                    }
                    collect(value, names);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, names)),
            _ => {}
        }
    }
    let mut names = BTreeSet::new();
    collect(&json!(instance.spec), &mut names);
    names
}

/// The credentials that must be entered, because the instance is to be authenticated in another way.
pub fn required(instance: &ConnectorInstance, origin: Origin<'_>, entered: &Fields) -> &'static [(&'static str, &'static str)] {
    let before = json!(instance.spec.auth);
    let is_same = auth_kind(&before).unwrap_or("none") == entered.one("auth");
    if origin.auth().is_some() || is_same { &[] } else { credential_keys(origin, entered) }
}

#[cfg(test)]
mod tests;
