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
use crate::instances::receiver::{self, Credential};
use crate::instances::secret_edits::SecretEdits;
use crate::plan::resolve::resolve;

/// Setting of the callback's URL.
const CALLBACK_URL: &str = "event.notification.callback.url";

/// Members of an answer that a body may repeat, and that decide nothing.
const GIVEN_OUT: [&str; 7] = ["id", "token", "element", "elementId", "createdDate", "valid", "user"];

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
        How::Replace => with_tokens(body, &as_is),
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

/// Tokens that a person's consent brought: a body that says nothing of them, nor brings a new code, leaves them as they are.
fn with_tokens(mut body: Map<String, Value>, as_is: &Map<String, Value>) -> Map<String, Value> {
    let has_code =
        body.get("providerData").is_some_and(|data| data["code"].as_str().is_some_and(|code| !code.trim().is_empty()));
    if let Some(Value::Object(settings)) = body.get_mut("configuration")
        && !has_code
    {
        for name in ["oauth.user.refresh_token", "oauth.user.token"] {
            if let Some(mask) = as_is.get("configuration").and_then(|own| own.get(name)) {
                settings.entry(name).or_insert_with(|| mask.clone());
            }
        }
    }
    body
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
    let (before, after) = (read(as_is)?, read(on(changed, !instance.spec.suspend))?);
    let known: Vec<_> = before.open().into_iter().chain(before.masked()).collect();
    let open: Vec<_> = after.open().into_iter().chain(after.masked()).filter(|line| !known.contains(line)).collect();
    if !open.is_empty() {
        return Err(Failure::Unusable(open));
    }
    if revise::hides_query(&after) && before.spec.callback.url != after.spec.callback.url {
        return Err(Failure::unusable(format!(
            "{CALLBACK_URL}: the hidden value in it belongs to another URL; write the value"
        )));
    }
    let actual = json!(instance.spec);
    let spec = revise::revised(&actual, &json!(before.spec), &json!(after.spec));
    let mut spec: ConnectorInstanceSpec = serde_json::from_value(spec).map_err(|error| Failure::unusable(error.to_string()))?;
    let (was, name) = (&instance.spec.callback, instance.metadata.name.as_deref().unwrap_or_default());
    let left = receiver::leave_credentials(was, &mut spec.callback, |credential| revise::gives(&after, credential));
    // What nothing names any more goes, whatever the body says of it.
    let mut secrets = receiver::unnamed(name, was, &spec.callback);
    secrets.fill(revise::secret_edits(&actual, &json!(spec), &before, &after));
    let mut changed = ConnectorInstance { spec, ..instance.clone() };
    let known = before.warnings();
    let new = after.warnings().into_iter().filter(|line| !known.contains(line));
    let warnings = left.into_iter().map(lost).chain(new).collect();
    annotate(&mut changed, after);
    Ok(Revised { instance: changed, secrets, warnings })
}

/// What becomes of a credential that was given for another callback.
fn lost(credential: Credential) -> String {
    let (what, settings) = match credential {
        Credential::Auth => ("credentials", "event.notification.basic.username and event.notification.basic.password"),
        Credential::Headers => ("headers", "event.notification.callback.headers"),
    };
    format!(
        "{CALLBACK_URL}: the {what} of the callback were removed, because the new URL has another origin; if the new receiver needs \
         them, send {settings}"
    )
}

/// `disabled`, `eventsEnabled` and the switch of events say the same of an instance, and all of them come back in a body: what differs
/// from what the instance is was changed. The switch is what is imported.
fn on(mut body: Map<String, Value>, is_on: bool) -> Map<String, Value> {
    let Some(Value::Object(settings)) = body.get("configuration") else { return body };
    let said = [body.get("disabled"), body.get("eventsEnabled"), settings.get(ENABLED)].map(|value| value.and_then(switch_of));
    let said = [said[0].map(|is_disabled| !is_disabled), said[1], said[2]];
    let is_understood = |name: &str| body.get(name).is_none_or(|value| value.is_null() || switch_of(value).is_some());
    let has_switch = settings.get(ENABLED).is_none_or(|value| switch_of(value).is_some());
    // What is no switch is refused by the import.
    if !["disabled", "eventsEnabled"].into_iter().all(is_understood) || !has_switch || said.iter().all(Option::is_none) {
        return body;
    }
    let is_changed = said.iter().flatten().any(|said| *said != is_on);
    body.remove("disabled");
    body.remove("eventsEnabled");
    if let Some(Value::Object(settings)) = body.get_mut("configuration") {
        settings.insert(ENABLED.to_owned(), (is_on != is_changed).into());
    }
    body
}

/// A switch, as JSON or as text.
fn switch_of(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(is_on) => Some(*is_on),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
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

    /// An instance whose callback has a secret in its query, as POST makes it of a URL.
    fn with_token() -> ConnectorInstance {
        let mut instance = sample();
        let auth =
            json!({"apiKey": {"in": "Query", "name": "token", "secretRef": {"name": "keap-callback", "key": "query-token"}}});
        instance.spec.callback.auth = serde_json::from_value(auth).unwrap();
        instance
    }

    fn with_url(url: &str) -> Value {
        json!({"configuration": {"event.notification.callback.url": url}})
    }

    fn edited(secrets: &SecretEdits) -> Vec<String> {
        let keys = |(name, keys): (&str, &std::collections::BTreeMap<String, Option<String>>)| -> Vec<String> {
            keys.iter().map(|(key, value)| format!("{name}/{key}={}", value.as_deref().unwrap_or("-"))).collect()
        };
        secrets.each().flat_map(keys).collect()
    }

    #[test]
    fn a_secret_of_a_url_goes_with_it() {
        let instance = with_token();
        let shown = settings(&instance.spec, None);
        assert_eq!(shown["event.notification.callback.url"], "https://a.example/in?token=********");
        for same in [json!({}), with_url("https://a.example/in?token=********"), json!({"name": "other"})] {
            let done = patched(&instance, same).unwrap();
            assert!(done.instance.spec == instance.spec && done.secrets.is_empty(), "{:?}", done.secrets);
        }
        for (other, url) in [
            ("https://a.example/in", "https://a.example/in"),
            ("https://a.example/other", "https://a.example/other"),
            ("https://a.example/other?x=1", "https://a.example/other?x=1"),
        ] {
            let done = patched(&instance, with_url(other)).unwrap();
            assert!(done.instance.spec.callback.auth.is_none() && done.instance.spec.callback.url == url, "{other}");
            assert_eq!(edited(&done.secrets), ["keap-callback/query-token=-"], "{other}");
            assert!(
                done.instance.spec.callback.headers_secret_ref.is_some() && done.warnings.is_empty(),
                "{:?}",
                done.warnings
            );
        }
        let done = patched(&instance, with_url("https://a.example/in?api_key=new")).unwrap();
        assert_eq!(edited(&done.secrets), ["keap-callback/query-api_key=new", "keap-callback/query-token=-"]);
        for foreign in ["https://a.example/other?token=********", "https://b.example/in?token=********"] {
            assert!(matches!(patched(&instance, with_url(foreign)), Err(Failure::Unusable(_))), "{foreign}");
        }
        let basic = json!({"configuration": {
            "event.notification.callback.url": "https://a.example/in",
            "event.notification.basic.username": "u", "event.notification.basic.password": "p",
        }});
        let done = patched(&instance, basic).unwrap();
        assert_eq!(
            edited(&done.secrets),
            ["keap-callback/password=p", "keap-callback/query-token=-", "keap-callback/username=u"]
        );
    }

    #[test]
    fn no_credential_of_the_old_receiver_reaches_another_origin() {
        let mut with_login = sample();
        let auth = json!({"basic": {"secretRef": {"name": "keap-callback"}}});
        with_login.spec.callback.auth = serde_json::from_value(auth).unwrap();
        let mut with_bearer = sample();
        let auth = json!({"bearer": {"secretRef": {"name": "theirs", "key": "t"}}});
        with_bearer.spec.callback.auth = serde_json::from_value(auth).unwrap();
        for instance in [with_token(), with_login.clone(), with_bearer] {
            let done = patched(&instance, with_url("https://b.example/in")).unwrap();
            let callback = &done.instance.spec.callback;
            assert!(callback.auth.is_none() && callback.headers_secret_ref.is_none(), "{callback:?}");
            assert!(done.secrets.is_cleared("keap-headers") && done.secrets.names().all(|name| name != "theirs"));
            assert!(!done.warnings.is_empty() && done.warnings.iter().all(|line| line.contains("another origin")));
        }
        let masks = json!({"configuration": {
            "event.notification.callback.url": "https://b.example/in", "event.notification.basic.username": "********",
            "event.notification.basic.password": "half", "event.notification.callback.headers": "********",
        }});
        let done = patched(&with_login, masks).unwrap();
        assert!(done.instance.spec.callback.auth.is_none() && done.warnings.len() == 2, "{:?}", done.warnings);
        assert_eq!(edited(&done.secrets), ["keap-callback/password=-", "keap-callback/username=-"]);
        let again = json!({"configuration": {
            "event.notification.callback.url": "https://b.example/in", "event.notification.basic.username": "u",
            "event.notification.basic.password": "p", "event.notification.callback.headers": "X-A: 1",
        }});
        let done = patched(&with_login, again).unwrap();
        assert!(done.instance.spec.callback.auth.is_some() && done.warnings.is_empty(), "{:?}", done.warnings);
        assert!(done.instance.spec.callback.headers_secret_ref.is_some() && done.secrets.is_cleared("keap-headers"));
    }

    #[test]
    fn tokens_stay_when_a_whole_body_says_nothing_of_them() {
        let instance = sample();
        let connector = catalog::built_in("infusionsoftrest");
        let put = |body: Value| {
            let Value::Object(body) = body else { panic!("{body}") };
            let as_is = as_body(&instance, connector);
            revised(&instance, connector, as_is.clone(), with_tokens(body, &as_is))
        };
        let mut whole = Value::Object(as_body(&instance, connector));
        let settings = whole["configuration"].as_object_mut().unwrap();
        assert!(settings.remove("oauth.user.refresh_token").is_some());
        let done = put(whole.clone()).unwrap();
        assert!(done.instance.spec.auth == instance.spec.auth && done.secrets.is_empty(), "{:?}", done.secrets);
        whole["providerData"] = json!({"code": "new"});
        assert_eq!(edited(&put(whole.clone()).unwrap().secrets), ["keap-oauth/code=new", "keap-oauth/refresh_token=-"]);
        whole["providerData"] = json!({});
        assert!(put(whole).unwrap().secrets.is_empty());
    }

    #[test]
    fn each_of_the_three_switches_works_and_what_comes_back_unchanged_is_none() {
        let whole =
            |is_on: bool| json!({"disabled": !is_on, "eventsEnabled": is_on, "configuration": {ENABLED: is_on.to_string()}});
        let with = |mut body: Value, pointer: &str, value: Value| {
            *body.pointer_mut(pointer).unwrap() = value;
            body
        };
        let switch = format!("/configuration/{ENABLED}");
        for is_on in [true, false] {
            let after = |body: Value| {
                let Value::Object(body) = body else { panic!("{body}") };
                Value::Object(on(body, is_on)).pointer(&switch).cloned()
            };
            assert_eq!(after(whole(is_on)), Some(is_on.into()));
            assert_eq!(after(with(whole(is_on), "/disabled", is_on.into())), Some((!is_on).into()));
            assert_eq!(after(with(whole(is_on), "/eventsEnabled", (!is_on).to_string().into())), Some((!is_on).into()));
            assert_eq!(after(with(whole(is_on), &switch, (!is_on).into())), Some((!is_on).into()));
            assert_eq!(after(with(whole(is_on), &switch, "banana".into())), Some("banana".into()));
            assert_eq!(after(json!({"configuration": {}})), None, "a whole body without a switch is off");
        }
        for body in [json!({"disabled": "banana"}), json!({"eventsEnabled": 2}), json!({"configuration": {ENABLED: "yes"}})] {
            assert!(matches!(patched(&sample(), body.clone()), Err(Failure::Unusable(_))), "{body}");
        }
        assert!(patched(&sample(), json!({"eventsEnabled": false})).unwrap().instance.spec.suspend);
        let named = patched(&sample(), json!({"name": {"a": 1}})).unwrap();
        assert!(named.warnings.len() == 1 && named.warnings[0].contains("name"), "{:?}", named.warnings);
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
