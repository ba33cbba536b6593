//! Bodies → new instances, and changes of instances.

use serde_json::{Map, Value, json};

use super::access::Realm;
use super::failure::Failure;
use super::settings::{ENABLED, settings};
use super::{revise, shown};
use crate::api::connector::ConnectorSpec;
use crate::api::identity::{IMPORTED_NAME, InstanceRef, number};
use crate::api::instance::{ConnectorInstance, ConnectorInstanceSpec};
use crate::import::posted::{Posted, element_key, posted};
use crate::instances::Created;
use crate::instances::secret_edits::SecretEdits;
use crate::plan::resolve::resolve;

/// Members of an answer that a body may repeat, and that decide nothing.
const GIVEN_OUT: [&str; 8] = ["id", "token", "element", "elementId", "createdDate", "valid", "user", "eventsEnabled"];

/// An instance that was changed.
pub struct Done {
    /// As it is now.
    pub instance: ConnectorInstance,
    /// What in the request has no effect, one sentence each.
    pub warnings: Vec<String>,
}

/// Creates the instance of a body, of the connector `key` or the one that the body names. Yields what in the body has no effect, too.
///
/// # Errors
/// [`Failure`].
pub async fn create(realm: &Realm, mut body: Map<String, Value>, key: Option<&str>) -> Result<(Created, Vec<String>), Failure> {
    let own = element_key(&body).map(str::to_owned);
    let named = match (key, &own) {
        (Some(key), _) => connector_of(realm, key).await?,
        (None, Some(own)) => connector_of(realm, own).await?,
        (None, None) => return Err(Failure::unusable("element.key is missing; name the connector, as GET /elements lists it")),
    };
    if key.is_some() && own.as_ref().is_some_and(|own| *own != named.0 && *own != number(&named.0).to_string()) {
        return Err(Failure::unusable("element.key is another connector than that of the path; leave it out"));
    }
    let (key, connector) = named;
    body.insert("element".to_owned(), json!({"key": key}));
    let posted = posted(body, None, &connector).map_err(Failure::Unusable)?;
    let open: Vec<_> = posted.open().into_iter().chain(posted.masked()).collect();
    if !open.is_empty() {
        return Err(Failure::Unusable(open));
    }
    let warnings = posted.warnings();
    let mut secrets = SecretEdits::default();
    for (secret, key, value) in posted.secrets() {
        // Where a value is missing, a sentence above says so.
        secrets.set(secret, key, value.unwrap_or_default().to_owned());
    }
    let mut new = ConnectorInstance::new(&posted.name, posted.spec);
    new.metadata.namespace = Some(realm.new_in.clone());
    new.metadata.annotations = Some(posted.annotations).filter(|annotations| !annotations.is_empty());
    plan(&new, Some(&connector))?;
    Ok((realm.instances.create(new, secrets).await?, warnings))
}

/// The connector with a key or a number.
///
/// # Errors
/// [`Failure::Unknown`].
pub async fn connector_of(realm: &Realm, key: &str) -> Result<(String, ConnectorSpec), Failure> {
    let by_number = match key.parse::<u64>() {
        Ok(wanted) => realm.instances.connectors(&realm.new_in).await?.into_iter().find(|key| number(key) == wanted),
        Err(_) => None,
    };
    let key = by_number.unwrap_or_else(|| key.to_owned());
    // What can be no name is none.
    let found = if crate::api::names::is_label(&key) { realm.instances.connector(&realm.new_in, &key).await? } else { None };
    found.map(|spec| (key, spec)).ok_or_else(|| {
        Failure::Unknown("there is no connector of this key; GET /elements lists them, and a Connector can be added".to_owned())
    })
}

/// How the members of a body change an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// They replace what Open Connectors has settings for.
    Replace,
    /// They are laid over it, and their settings over its settings.
    Lay,
}

/// Changes an instance by a body. What the body cannot say stays as it is.
///
/// # Errors
/// [`Failure`].
pub async fn change(
    realm: &Realm,
    instance: &ConnectorInstance,
    how: How,
    mut body: Map<String, Value>,
) -> Result<Done, Failure> {
    let connector = connector(realm, instance).await?;
    let own = element_key(&body).map(str::to_owned);
    if own.is_some() && own != instance.spec.connector {
        return Err(Failure::unusable("element.key cannot be changed; delete the instance and create another one"));
    }
    for name in GIVEN_OUT {
        body.remove(name);
    }
    let as_is = as_body(instance, connector.as_ref());
    let changed = match how {
        How::Replace => body,
        How::Lay => laid(as_is.clone(), body)?,
    };
    let Revised { instance, secrets, warnings } = revised(instance, connector.as_ref(), as_is, changed)?;
    plan(&instance, connector.as_ref())?;
    Ok(Done { instance: realm.instances.update(instance, secrets).await?, warnings })
}

/// Whether an instance is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It is.
    On,
    /// It keeps its state, and is not.
    Off,
}

/// Switches an instance on or off.
///
/// # Errors
/// [`Failure`].
pub async fn switch(realm: &Realm, instance: &ConnectorInstance, to: Switch) -> Result<ConnectorInstance, Failure> {
    let mut changed = instance.clone();
    changed.spec.suspend = to == Switch::Off;
    Ok(realm.instances.update(changed, SecretEdits::default()).await?)
}

/// The settings of the connector that an instance names.
///
/// # Errors
/// [`Failure`].
pub async fn connector(realm: &Realm, instance: &ConnectorInstance) -> Result<Option<ConnectorSpec>, Failure> {
    let namespace = instance.metadata.namespace.as_deref().unwrap_or_default();
    match &instance.spec.connector {
        Some(key) => Ok(realm.instances.connector(namespace, key).await?),
        None => Ok(None),
    }
}

/// The body that says what the instance is.
fn as_body(instance: &ConnectorInstance, connector: Option<&ConnectorSpec>) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("name".to_owned(), shown::name(instance).into());
    body.insert("tags".to_owned(), json!(instance.spec.tags));
    body.insert("configuration".to_owned(), json!(settings(&instance.spec, connector)));
    body
}

/// Lays a body over another.
fn laid(mut body: Map<String, Value>, over: Map<String, Value>) -> Result<Map<String, Value>, Failure> {
    for (name, value) in over {
        if name != "configuration" {
            body.insert(name, value);
            continue;
        }
        let Value::Object(new) = value else {
            return Err(Failure::unusable("configuration must be an object of settings"));
        };
        if let Some(Value::Object(settings)) = body.get_mut("configuration") {
            settings.extend(new);
        }
    }
    Ok(body)
}

/// A change of an instance that is still to be made.
struct Revised {
    instance: ConnectorInstance,
    secrets: SecretEdits,
    warnings: Vec<String>,
}

/// The instance with the difference between two bodies, and what is to be done to its Secrets.
fn revised(
    instance: &ConnectorInstance,
    connector: Option<&ConnectorSpec>,
    as_is: Map<String, Value>,
    changed: Map<String, Value>,
) -> Result<Revised, Failure> {
    let nothing = ConnectorSpec::default();
    let read = |mut body: Map<String, Value>| {
        let key = instance.spec.connector.as_deref().unwrap_or("none");
        body.insert("element".to_owned(), json!({"key": key}));
        posted(body, instance.metadata.name.as_deref(), connector.unwrap_or(&nothing)).map_err(Failure::Unusable)
    };
    let (before, after) = (read(on(as_is))?, read(on(changed))?);
    let known: Vec<_> = before.open().into_iter().chain(before.masked()).collect();
    let open: Vec<_> = after.open().into_iter().chain(after.masked()).filter(|line| !known.contains(line)).collect();
    if !open.is_empty() {
        return Err(Failure::Unusable(open));
    }
    let actual = json!(instance.spec);
    let spec = revise::revised(&actual, &json!(before.spec), &json!(after.spec));
    let spec: ConnectorInstanceSpec = serde_json::from_value(spec).map_err(|error| Failure::unusable(error.to_string()))?;
    let secrets = revise::secret_edits(&actual, &json!(spec), &before, &after);
    let mut changed = ConnectorInstance { spec, ..instance.clone() };
    let known = before.warnings();
    let warnings = after.warnings().into_iter().filter(|line| !known.contains(line)).collect();
    annotate(&mut changed, after);
    Ok(Revised { instance: changed, secrets, warnings })
}

/// `disabled` and the switch of events say the same of an instance; the switch is what is imported.
fn on(mut body: Map<String, Value>) -> Map<String, Value> {
    if let Some(disabled) = body.remove("disabled").and_then(|value| value.as_bool())
        && let Some(Value::Object(settings)) = body.get_mut("configuration")
    {
        settings.insert(ENABLED.to_owned(), (!disabled).into());
    }
    body
}

/// Keeps the name that was given, unless it is that of the manifest anyway.
fn annotate(instance: &mut ConnectorInstance, after: Posted) {
    let own = instance.metadata.name.clone();
    let annotations = instance.metadata.annotations.get_or_insert_default();
    let is_own = after.annotations.get(IMPORTED_NAME) == own.as_ref();
    if is_own {
        annotations.remove(IMPORTED_NAME);
    } else {
        annotations.extend(after.annotations);
    }
    if annotations.is_empty() {
        instance.metadata.annotations = None;
    }
}

/// Whether it can be polled.
///
/// # Errors
/// [`Failure::Unusable`], with every reason.
fn plan(instance: &ConnectorInstance, connector: Option<&ConnectorSpec>) -> Result<(), Failure> {
    resolve(instance, connector)
        .map(drop)
        .map_err(|problems| Failure::Unusable(problems.into_iter().map(|problem| problem.message).collect()))
}

/// Which instance it is, for the log.
pub fn place(instance: &ConnectorInstance) -> InstanceRef {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    InstanceRef::new(text(&instance.metadata.namespace), text(&instance.metadata.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::resource::ChangeBy;
    use crate::catalog;

    fn sample() -> ConnectorInstance {
        let spec = json!({
            "connector": "infusionsoftrest",
            "auth": {"oauth2": {"secretRef": {"name": "keap-oauth"}}},
            "resources": [{"name": "orders", "url": "/hubs/crm/orders", "idField": "id", "changeBy": "Created", "datesConfiguration": {
                "updatedDateField": "u", "createdDateField": "c"
            }}],
            "callback": {"url": "https://a.example/in", "headersSecretRef": {"name": "keap-headers"}},
        });
        let mut instance = ConnectorInstance::new("keap", serde_json::from_value(spec).unwrap());
        instance.metadata.namespace = Some("crm".to_owned());
        instance
    }

    fn patched(instance: &ConnectorInstance, body: Value) -> Result<Revised, Failure> {
        let connector = catalog::built_in("infusionsoftrest");
        let Value::Object(body) = body else { panic!("{body}") };
        let as_is = as_body(instance, connector);
        let changed = laid(as_is.clone(), body)?;
        revised(instance, connector, as_is, changed)
    }

    fn headers(text: &str) -> Value {
        json!({"configuration": {"event.notification.callback.headers": text}})
    }

    #[test]
    fn headers_are_taken_away_and_replaced_as_a_whole() {
        let same = patched(&sample(), json!({})).unwrap();
        assert!(same.instance.spec == sample().spec && same.secrets.is_empty());
        let gone = patched(&sample(), headers("")).unwrap();
        assert!(gone.instance.spec.callback.headers_secret_ref.is_none() && gone.secrets.is_cleared("keap-headers"));
        let other = patched(&sample(), headers("X-New: 2")).unwrap();
        assert!(other.instance.spec == sample().spec && other.secrets.is_cleared("keap-headers"));
        let set: Vec<_> = other.secrets.each().flat_map(|(_, keys)| keys.keys()).collect();
        assert_eq!(set, ["X-New"]);
        // A Secret that has another name may belong to another owner.
        let mut strange = sample();
        strange.spec.callback.headers_secret_ref.as_mut().unwrap().name = "theirs".to_owned();
        let gone = patched(&strange, headers("")).unwrap();
        assert!(gone.instance.spec.callback.headers_secret_ref.is_none() && gone.secrets.is_empty(), "{:?}", gone.secrets);
    }

    #[test]
    fn an_id_of_several_members_stays_until_another_one_is_given() {
        let mut instance = sample();
        let own = &mut instance.spec.resources[0];
        (own.id_field, own.id_fields) = (None, vec!["type".to_owned(), "id".to_owned()]);
        let id = |body: Value| {
            let own = patched(&instance, body).unwrap().instance.spec.resources.remove(0);
            (own.id_field.unwrap_or_default(), own.id_fields.join(" "))
        };
        let poller = |members: Value| json!({"configuration": {"event.poller.configuration": {"orders": members}}});
        assert_eq!(id(json!({})), (String::new(), "type id".to_owned()));
        let dates = json!({"updatedDateField": "u", "createdDateField": "c"});
        let with = |members: Value| {
            let mut own = json!({"url": "/hubs/crm/orders", "datesConfiguration": dates, "filterByUpdatedDate": false});
            own.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            poller(own)
        };
        assert_eq!(id(with(json!({"idFields": ["kind", "id"]}))), (String::new(), "kind id".to_owned()));
        assert_eq!(id(with(json!({"idField": "key", "idFields": ["type", "id"]}))), ("key".to_owned(), String::new()));
    }

    #[test]
    fn what_a_body_says_is_done_or_refused_or_warned_of() {
        let poller = |member: Value| {
            let mut poller = json!({"orders": {"url": "/hubs/crm/orders", "idField": "id", "datesConfiguration": {
                "updatedDateField": "u", "createdDateField": "c"
            }}});
            poller["orders"]["filterByUpdatedDate"] = member;
            json!({"configuration": {"event.poller.configuration": poller}})
        };
        let by = |member: Value| patched(&sample(), poller(member)).unwrap().instance.spec.resources[0].change_by;
        assert_eq!([by(json!(false)), by(json!(true))], [Some(ChangeBy::Created), None]);
        for body in [
            json!({"providerData": {"code": "<AUTHORIZATION_GRANT_CODE>"}}),
            json!({"configuration": {"event.poller.configuration": "{}"}}),
            json!({"configuration": {"event.poller.refresh_interval": "soon"}}),
        ] {
            assert!(matches!(patched(&sample(), body.clone()), Err(Failure::Unusable(_))), "{body}");
        }
        // As an export of Open Connectors has it, where every password is hidden.
        let unused = json!({"configuration": {"bulk.relay.password": "********"}});
        let done = patched(&sample(), unused).unwrap();
        assert!(
            done.instance.spec == sample().spec && done.secrets.is_empty() && done.warnings.len() == 1,
            "{:?}",
            done.warnings
        );
        let misspelt = json!({"configuration": {"event.poller.refreshInterval": "1"}});
        let warnings = patched(&sample(), misspelt).unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains("refreshInterval"), "{warnings:?}");
    }
}
