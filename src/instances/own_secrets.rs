//! The Secrets that came with an instance of a cluster: they are owned by it, and end with it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::InstancesError;
use super::secret_edits::SecretEdits;
use crate::api::API_VERSION;
use crate::api::identity::{InstanceId, SecretRef};
use crate::operator::cluster::{CallError, Cluster, Kind};
use crate::operator::required_label::RequiredLabel;

/// Makes the Secrets of an instance that was just created, with this label, or finds those that an earlier try has made.
///
/// # Errors
/// [`InstancesError::SecretNotOurs`], [`InstancesError::Exists`] when one of an earlier try has other values,
/// [`InstancesError::Call`].
pub(super) async fn create(
    cluster: &Cluster,
    owner: &InstanceId,
    edits: &SecretEdits,
    label: Option<&RequiredLabel>,
) -> Result<(), InstancesError> {
    for (name, edits) in edits.each() {
        let mut object = new(owner, name, label);
        edit(&mut object, edits);
        match cluster.create(Kind::Secret, owner.namespace(), &object).await {
            Ok(_) => {}
            Err(CallError::Conflict) => {
                let there = own(cluster, owner, name).await?;
                if there["data"] != object["data"] {
                    return Err(InstancesError::Exists(owner.instance.clone()));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether the Secrets that are to be changed came with the instance, as far as they are there.
///
/// # Errors
/// [`InstancesError::SecretNotOurs`], [`InstancesError::Call`].
pub(super) async fn check(cluster: &Cluster, owner: &InstanceId, edits: &SecretEdits) -> Result<(), InstancesError> {
    for name in edits.names() {
        match own(cluster, owner, name).await {
            Ok(_) | Err(InstancesError::Call(CallError::NotFound)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The values of a Secret that are text.
pub(super) fn values(name: &str, object: &Value) -> SecretEdits {
    let mut values = SecretEdits::default();
    for (key, value) in object["data"].as_object().into_iter().flatten() {
        let decoded = value.as_str().and_then(|value| STANDARD.decode(value).ok());
        if let Some(text) = decoded.and_then(|bytes| String::from_utf8(bytes).ok()) {
            values.set(name, key, text);
        }
    }
    values
}

/// Changes the Secrets of an instance. Repeated, it changes nothing more.
///
/// # Errors
/// [`InstancesError::SecretNotOurs`], [`InstancesError::Changed`], [`InstancesError::Call`].
pub(super) async fn update(
    cluster: &Cluster,
    owner: &InstanceId,
    edits: &SecretEdits,
    label: Option<&RequiredLabel>,
) -> Result<(), InstancesError> {
    for (name, keys) in edits.each() {
        let changed = match own(cluster, owner, name).await {
            Ok(mut object) => {
                if edits.is_cleared(name) {
                    object["data"] = json!({});
                }
                edit(&mut object, keys);
                cluster.replace(Kind::Secret, owner.namespace(), name, &object).await
            }
            // There is nothing to remove from it.
            Err(InstancesError::Call(CallError::NotFound)) if keys.values().all(Option::is_none) => continue,
            Err(InstancesError::Call(CallError::NotFound)) => {
                let mut object = new(owner, name, label);
                edit(&mut object, keys);
                cluster.create(Kind::Secret, owner.namespace(), &object).await
            }
            Err(error) => return Err(error),
        };
        match changed {
            Ok(_) => {}
            Err(CallError::Conflict) => return Err(InstancesError::Changed(owner.instance.clone())),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The Secret, if the instance owns it.
async fn own(cluster: &Cluster, owner: &InstanceId, name: &str) -> Result<Value, InstancesError> {
    let object = cluster.get(Kind::Secret, owner.namespace(), name).await?;
    let mut owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    if owners.any(|reference| reference["uid"] == *owner.uid) {
        Ok(object)
    } else {
        Err(InstancesError::SecretNotOurs(SecretRef::new(owner.namespace(), name)))
    }
}

fn new(owner: &InstanceId, name: &str, label: Option<&RequiredLabel>) -> Value {
    let reference = json!({"apiVersion": API_VERSION, "kind": "ConnectorInstance", "name": owner.name(), "uid": owner.uid});
    let mut object = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": name, "namespace": owner.namespace(), "ownerReferences": [reference]},
    });
    if let Some(label) = label {
        label.put_on(&mut object);
    }
    object
}

fn edit(object: &mut Value, edits: &BTreeMap<String, Option<String>>) {
    let mut data = match object["data"].take() {
        Value::Object(data) => data,
        _ => Map::new(),
    };
    for (key, value) in edits {
        match value {
            Some(value) => drop(data.insert(key.clone(), STANDARD.encode(value).into())),
            None => drop(data.remove(key)),
        }
    }
    object["data"] = Value::Object(data);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::identity::InstanceRef;

    #[test]
    fn what_is_not_edited_stays() {
        let owner = InstanceId::new(InstanceRef::new("crm", "keap"), "u1");
        let mut object = new(&owner, "keap-oauth", None);
        let mut edits = SecretEdits::default();
        edits.set("keap-oauth", "client_id", "a".to_owned());
        edits.set("keap-oauth", "code", "b".to_owned());
        edits.each().for_each(|(_, edits)| edit(&mut object, edits));
        let mut more = SecretEdits::default();
        more.set("keap-oauth", "refresh_token", "c".to_owned());
        more.remove("keap-oauth", "code");
        more.each().for_each(|(_, edits)| edit(&mut object, edits));
        assert_eq!(object["data"], json!({"client_id": "YQ==", "refresh_token": "Yw=="}));
        assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], "u1");
    }
}
