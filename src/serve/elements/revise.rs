//! What a changed body means for an instance that has more to it than Open Connectors has settings for. Pure.
//!
//! The instance is written as a body, once as it is and once with the change; both are imported. Where the two results are the same, the
//! instance stays as it is; where they differ, it takes what the second says.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::api::auth::Auth;
use crate::import::posted::Posted;
use crate::instances::receiver::Credential;
use crate::instances::secret_edits::SecretEdits;

/// Lays the difference between two values over a third.
pub fn revised(actual: &Value, before: &Value, after: &Value) -> Value {
    if before == after {
        return actual.clone();
    }
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let mut revised = actual.as_object().cloned().unwrap_or_default();
            for name in before.keys().chain(after.keys()) {
                let of = |members: &Map<String, Value>| members.get(name).cloned().unwrap_or_default();
                let (old, new) = (of(before), of(after));
                if old == new {
                    continue;
                }
                let member = self::revised(actual.get(name).unwrap_or(&Value::Null), &old, &new);
                if member.is_null() {
                    revised.remove(name);
                } else {
                    revised.insert(name.clone(), member);
                }
            }
            Value::Object(revised)
        }
        (Value::Array(before), Value::Array(after)) if before.iter().chain(after).all(is_named) => {
            let own = actual.as_array().filter(|items| !items.is_empty());
            Value::Array(named(own.unwrap_or(before), before, after))
        }
        _ => after.clone(),
    }
}

fn is_named(item: &Value) -> bool {
    item["name"].is_string()
}

/// The same for lists of objects that have names: in the order of `actual`, with new ones at the end.
fn named(actual: &[Value], before: &[Value], after: &[Value]) -> Vec<Value> {
    let find = |items: &[Value], name: &Value| items.iter().find(|item| item["name"] == *name).cloned();
    let kept = actual.iter().filter_map(|item| {
        let name = &item["name"];
        match (find(before, name), find(after, name)) {
            (Some(before), Some(after)) => Some(revised(item, &before, &after)),
            (Some(_), None) => None,
            (None, Some(after)) => Some(after),
            (None, None) => Some(item.clone()),
        }
    });
    let new = after.iter().filter(|item| find(actual, &item["name"]).is_none()).cloned();
    kept.chain(new).collect()
}

/// Whether a body has every value of a Secret that its callback needs.
pub fn gives(body: &Posted, credential: Credential) -> bool {
    let callback = &body.spec.callback;
    let is_whole = |secret: &str, keys: &[&str]| {
        let values: Vec<_> = body.secrets().filter(|(name, key, _)| *name == secret && keys.contains(key)).collect();
        !values.is_empty() && values.iter().all(|(.., value)| value.is_some())
    };
    match credential {
        Credential::Auth => match &callback.auth {
            Some(Auth::Basic(own)) => is_whole(&own.secret_ref.name, &["username", "password"]),
            Some(Auth::ApiKey(own)) => is_whole(&own.secret_ref.name, &[&own.secret_ref.key]),
            // No setting makes one of these.
            Some(Auth::Bearer(_) | Auth::Oauth2(_)) | None => false,
        },
        Credential::Headers => {
            callback.headers_secret_ref.as_ref().is_some_and(|own| body.hidden().all(|hidden| hidden != own.name))
        }
    }
}

/// Whether the query of the callback's URL has a mask.
pub fn hides_query(body: &Posted) -> bool {
    matches!(&body.spec.callback.auth, Some(Auth::ApiKey(_))) && !gives(body, Credential::Auth)
}

/// What the change does to Secrets. The importer names Secrets after the instance; `actual` says how they are named there, and `was` how
/// they were.
pub fn secret_edits(was: &Value, actual: &Value, before: &Posted, after: &Posted) -> SecretEdits {
    let spec = serde_json::to_value(&after.spec).unwrap_or_default();
    let mut names = BTreeMap::new();
    references(actual, &spec, &mut names);
    let place = |secret: &str, key: &str| {
        let known = names.get(&(secret.to_owned(), Some(key.to_owned()))).or_else(|| names.get(&(secret.to_owned(), None)));
        let (secret, own_key) = known.cloned().unwrap_or_else(|| (secret.to_owned(), None));
        (secret, own_key.unwrap_or_else(|| key.to_owned()))
    };
    let mut edits = SecretEdits::default();
    let mut old = BTreeMap::new();
    references(was, &serde_json::to_value(&before.spec).unwrap_or_default(), &mut old);
    for secret in before.hidden().filter(|secret| after.hidden().all(|other| other != *secret)) {
        let own = old.get(&(secret.to_owned(), None)).map_or(secret, |(own, _)| own.as_str());
        // One of another name may belong to another owner, and only stops being named.
        if own == secret || after.secrets().any(|(other, ..)| other == secret) {
            edits.clear(own);
        }
    }
    for (secret, key, _) in before.secrets() {
        if after.secrets().all(|(other, other_key, _)| (other, other_key) != (secret, key)) {
            let (secret, key) = place(secret, key);
            edits.remove(secret, key);
        }
    }
    for (secret, key, value) in after.secrets() {
        if let Some(value) = value {
            let (secret, key) = place(secret, key);
            edits.set(secret, key, value.to_owned());
        }
    }
    edits
}

/// Name of a Secret, and the key where a reference has one.
type Named = (String, Option<String>);

/// Which Secret of `actual` takes the place of which one of `imported`.
fn references(actual: &Value, imported: &Value, found: &mut BTreeMap<Named, Named>) {
    let (Some(actual), Some(imported)) = (actual.as_object(), imported.as_object()) else { return };
    for (name, value) in imported {
        let Some(own) = actual.get(name) else { continue };
        if name.to_ascii_lowercase().ends_with("secretref") {
            let named = |value: &Value| {
                let text = |field: &str| value[field].as_str().map(str::to_owned);
                text("name").map(|name| (name, text("key")))
            };
            if let (Some(imported), Some(own)) = (named(value), named(own)) {
                found.insert(imported, own);
            }
        } else {
            references(own, value, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_did_not_change_stays_whatever_it_is() {
        let actual = json!({
            "polling": {"interval": "10m", "startFrom": "Earliest"}, "tags": ["a"], "later": true,
            "resources": [
                {"name": "orders", "url": "/own", "pagination": {"none": {}}}, {"name": "gone"}, {"name": "mine", "url": "/m"},
            ],
        });
        let before = json!({
            "polling": {"interval": "10m"}, "tags": ["a"], "suspend": false,
            "resources": [{"name": "orders", "url": "/hubs/orders", "idField": "id"}, {"name": "gone"}],
        });
        let after = json!({
            "polling": {"interval": "5m"}, "tags": [], "suspend": false,
            "resources": [{"name": "new", "url": "/new"}, {"name": "orders", "url": "/hubs/orders", "idField": "key"}],
        });
        let expected = json!({
            "polling": {"interval": "5m", "startFrom": "Earliest"}, "tags": [], "later": true,
            "resources": [
                {"name": "orders", "url": "/own", "idField": "key", "pagination": {"none": {}}}, {"name": "mine", "url": "/m"},
                {"name": "new", "url": "/new"},
            ],
        });
        assert_eq!(revised(&actual, &before, &after), expected);
        assert_eq!(revised(&actual, &before, &before), actual);
        let cleared = json!({"polling": {}, "tags": ["a"], "suspend": false, "resources": before["resources"]});
        assert_eq!(revised(&actual, &before, &cleared)["polling"], json!({"startFrom": "Earliest"}));
    }

    #[test]
    fn an_instance_that_polls_all_of_its_connector_goes_on_with_all_but_what_is_taken_out() {
        let before = json!({"resources": [{"name": "a"}, {"name": "b"}]});
        let after = json!({"resources": [{"name": "b"}]});
        assert_eq!(revised(&json!({}), &before, &after), after);
    }

    #[test]
    fn secrets_are_edited_where_the_instance_has_them() {
        let mut found = BTreeMap::new();
        references(
            &json!({"auth": {"apiKey": {"secretRef": {"name": "own", "key": "k"}}}}),
            &json!({"auth": {"apiKey": {"secretRef": {"name": "keap-key", "key": "api-key"}}}}),
            &mut found,
        );
        let named = |name: &str, key: &str| (name.to_owned(), Some(key.to_owned()));
        assert_eq!(found, [(named("keap-key", "api-key"), named("own", "k"))].into());
    }
}
