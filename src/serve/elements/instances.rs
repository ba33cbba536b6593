//! What is asked of instances.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, RawQuery};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use chrono::Utc;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::change::{self, Done, How, Switch};
use super::failure::Failure;
use super::paging::page;
use super::settings::{POLLERS, settings};
use super::{Body, Caller, Named, shown, warnings};
use crate::api::connector::ConnectorSpec;
use crate::api::identity::number;
use crate::api::instance::ConnectorInstance;
use crate::instances::number_of;
use crate::plan::StartFrom;
use crate::plan::start_from::IN_THE_FUTURE;

/// An answer with an instance, and optionally a warning.
type Shown = (HeaderMap, Json<Value>);

/// A part of the path. What is none of its kind names nothing.
pub struct At<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(part)| Self(part)).map_err(|_: PathRejection| unknown())
    }
}

fn unknown() -> Failure {
    Failure::Unknown("there is no instance of this id; GET /instances lists them".to_owned())
}

impl Caller {
    /// All instances that the caller may see and that have begun.
    pub(super) async fn all(&self) -> Result<Vec<ConnectorInstance>, Failure> {
        Ok(self.realm.instances.list(self.realm.namespace.as_deref()).await?)
    }

    pub(super) async fn find(&self, id: u64) -> Result<ConnectorInstance, Failure> {
        let mut found = self.all().await?.into_iter().filter(|instance| number_of(instance) == Some(id));
        match (found.next(), found.next()) {
            (Some(instance), None) => Ok(instance),
            (None, _) => Err(unknown()),
            (Some(_), Some(_)) => Err(Failure::Conflict(
                "two instances have this id, because one was restored from a copy of the other; change them with kubectl"
                    .to_owned(),
            )),
        }
    }

    /// The instance that the `Element` token names.
    pub(super) async fn own(&self) -> Result<ConnectorInstance, Failure> {
        match self.element {
            Some(Named::Instance(id)) => self.find(id).await,
            Some(Named::Nothing) => Err(Failure::Unauthorized(
                "the Element token belongs to no instance; use a token that GET /instances returns".to_owned(),
            )),
            None => Err(Failure::unusable(
                "this path needs the instance's token: Authorization: User …, Organization …, Element <token>",
            )),
        }
    }

    async fn show(&self, instance: &ConnectorInstance) -> Result<Value, Failure> {
        let connector = change::connector(&self.realm, instance).await?;
        shown::instance(instance, connector.as_ref()).ok_or_else(unknown)
    }

    /// One line for each change.
    pub(super) fn log(&self, instance: &ConnectorInstance, what: &str) {
        let (place, id) = (change::place(instance), number_of(instance));
        let (namespace, name) = (&*place.namespace, &*place.name);
        tracing::info!(namespace, instance = name, id, client = %self.client, "instances API: {what}");
    }

    /// An instance that was changed, and what in the request has no effect.
    async fn changed(&self, done: Done, what: &str) -> Result<Shown, Failure> {
        let headers = self.warned(&done, what);
        Ok((headers, Json(self.show(&done.instance).await?)))
    }

    /// Logs what was done, and what in the request has no effect; both are in the headers.
    fn warned(&self, done: &Done, what: &str) -> HeaderMap {
        self.log(&done.instance, what);
        let mut sentences = done.warnings.clone();
        if !sentences.is_empty() {
            let place = change::place(&done.instance);
            let (namespace, name) = (&*place.namespace, &*place.name);
            tracing::warn!(namespace, instance = name, settings = ?sentences, "instances API: not all of the request took effect as it was sent");
        }
        let start = done.instance.spec.polling.as_ref().and_then(|polling| polling.start_from.as_deref());
        if start.and_then(StartFrom::parse).is_some_and(|start| start.is_future(Utc::now())) {
            sentences.push(IN_THE_FUTURE.to_owned());
        }
        if done.instance.spec.callback.allow_insecure_http {
            sentences.insert(0, INSECURE.to_owned());
        }
        warnings::headers(&sentences)
    }

    async fn change(&self, instance: &ConnectorInstance, how: How, body: Map<String, Value>) -> Result<Shown, Failure> {
        let changed = change::change(&self.realm, instance, how, body).await?;
        self.changed(changed, "changed").await
    }

    async fn switch(&self, instance: &ConnectorInstance, to: Switch) -> Result<Shown, Failure> {
        let changed = change::switch(&self.realm, instance, to).await?;
        let done = Done { instance: changed, warnings: Vec::new() };
        self.changed(done, if to == Switch::On { "enabled" } else { "disabled" }).await
    }

    async fn delete(&self, instance: &ConnectorInstance) -> Result<(), Failure> {
        self.realm.instances.delete(&change::place(instance)).await?;
        self.log(instance, "deleted");
        Ok(())
    }

    async fn shown_all(&self, instances: Vec<ConnectorInstance>, query: Option<&str>) -> Result<Json<Value>, Failure> {
        let mut all = Vec::with_capacity(instances.len());
        let mut last: Option<(Option<String>, Option<String>, Option<ConnectorSpec>)> = None;
        for instance in instances {
            // They come by namespace; neighbours often have one connector.
            let place = (instance.metadata.namespace.clone(), instance.spec.connector.clone());
            let connector = match &last {
                Some((namespace, key, connector)) if (namespace, key) == (&place.0, &place.1) => connector.clone(),
                _ => change::connector(&self.realm, &instance).await?,
            };
            all.extend(shown::instance(&instance, connector.as_ref()));
            last = Some((place.0, place.1, connector));
        }
        Ok(Json(Value::Array(page(query, all)?)))
    }

    async fn settings(&self, instance: &ConnectorInstance) -> Result<Vec<Value>, Failure> {
        let connector = change::connector(&self.realm, instance).await?;
        let all = settings(&instance.spec, connector.as_ref()).into_iter();
        Ok(all.map(|(key, value)| shown_setting(&key, &value.into())).collect())
    }
}

/// Settings that an instance is listed without while it has none.
const OPTIONAL: [&str; 8] = [
    "base.url",
    "event.notification.basic.password",
    "event.notification.basic.username",
    "event.notification.callback.headers",
    "event.notification.signature.key",
    "oauth.authorization.url",
    "oauth.scope",
    "oauth.token.url",
];

const INSECURE: &str = "the callback is http: events can be read in transit; use https";

/// `GET /instances`: all of them, or the one of the token.
pub async fn list(caller: Caller, RawQuery(query): RawQuery) -> Result<Json<Value>, Failure> {
    if caller.element.is_some() {
        return Ok(Json(caller.show(&caller.own().await?).await?));
    }
    caller.shown_all(caller.all().await?, query.as_deref()).await
}

/// `GET /instances/polling-disabled`: those that are switched off.
pub async fn disabled(caller: Caller, RawQuery(query): RawQuery) -> Result<Json<Value>, Failure> {
    let off = caller.all().await?.into_iter().filter(|instance| instance.spec.suspend).collect();
    caller.shown_all(off, query.as_deref()).await
}

/// `POST /instances`.
pub async fn create(caller: Caller, Body(body): Body) -> Result<Shown, Failure> {
    create_in(&caller, body, None).await
}

/// `POST /elements/{key}/instances`.
pub async fn create_of(caller: Caller, At(key): At<String>, Body(body): Body) -> Result<Shown, Failure> {
    create_in(&caller, body, Some(&key)).await
}

async fn create_in(caller: &Caller, body: Map<String, Value>, key: Option<&str>) -> Result<Shown, Failure> {
    let (created, warnings) = change::create(&caller.realm, body, key).await?;
    let done = Done { instance: created.instance, warnings };
    caller.changed(done, if created.is_new { "created" } else { "created already" }).await
}

/// `GET /instances/{id}`.
pub async fn show(caller: Caller, At(id): At<u64>) -> Result<Json<Value>, Failure> {
    Ok(Json(caller.show(&caller.find(id).await?).await?))
}

/// `PUT /instances/{id}`.
pub async fn replace(caller: Caller, At(id): At<u64>, Body(body): Body) -> Result<Shown, Failure> {
    caller.change(&caller.find(id).await?, How::Replace, body).await
}

/// `PATCH /instances/{id}`.
pub async fn lay(caller: Caller, At(id): At<u64>, Body(body): Body) -> Result<Shown, Failure> {
    caller.change(&caller.find(id).await?, How::Lay, body).await
}

/// `PATCH /instances`.
pub async fn lay_own(caller: Caller, Body(body): Body) -> Result<Shown, Failure> {
    caller.change(&caller.own().await?, How::Lay, body).await
}

/// `DELETE /instances/{id}`.
pub async fn delete(caller: Caller, At(id): At<u64>) -> Result<(), Failure> {
    caller.delete(&caller.find(id).await?).await
}

/// `DELETE /instances`.
pub async fn delete_own(caller: Caller) -> Result<(), Failure> {
    caller.delete(&caller.own().await?).await
}

/// `PUT /instances/enabled`.
pub async fn enable(caller: Caller) -> Result<Shown, Failure> {
    caller.switch(&caller.own().await?, Switch::On).await
}

/// `DELETE /instances/enabled`.
pub async fn disable(caller: Caller) -> Result<Shown, Failure> {
    caller.switch(&caller.own().await?, Switch::Off).await
}

/// `PUT /instances/{id}/enabled`.
pub async fn enable_one(caller: Caller, At(id): At<u64>) -> Result<Shown, Failure> {
    caller.switch(&caller.find(id).await?, Switch::On).await
}

/// `DELETE /instances/{id}/enabled`.
pub async fn disable_one(caller: Caller, At(id): At<u64>) -> Result<Shown, Failure> {
    caller.switch(&caller.find(id).await?, Switch::Off).await
}

/// `GET /instances/{id}/status`: not of Open Connectors, where nothing says why an instance does not work.
pub async fn status(caller: Caller, At(id): At<u64>) -> Result<Json<Value>, Failure> {
    Ok(Json(json!(caller.find(id).await?.status.unwrap_or_default())))
}

/// `GET /instances/configuration`.
pub async fn own_configuration(caller: Caller, RawQuery(query): RawQuery) -> Result<Json<Value>, Failure> {
    let all = caller.settings(&caller.own().await?).await?;
    Ok(Json(page(query.as_deref(), all)?.into()))
}

/// `GET /instances/{id}/configuration`.
pub async fn configuration(caller: Caller, At(id): At<u64>, RawQuery(query): RawQuery) -> Result<Json<Value>, Failure> {
    let all = caller.settings(&caller.find(id).await?).await?;
    Ok(Json(page(query.as_deref(), all)?.into()))
}

/// `GET /instances/{id}/configuration/{setting}`.
pub async fn setting(caller: Caller, At((id, setting)): At<(u64, String)>) -> Result<Json<Value>, Failure> {
    let settings = caller.settings(&caller.find(id).await?).await?;
    settings.into_iter().find(|one| is(one, &setting)).map(Json).ok_or_else(no_setting)
}

/// `GET /instances/configuration/{setting}`.
pub async fn own_setting(caller: Caller, At(setting): At<String>) -> Result<Json<Value>, Failure> {
    let settings = caller.settings(&caller.own().await?).await?;
    settings.into_iter().find(|one| is(one, &setting)).map(Json).ok_or_else(no_setting)
}

/// `PATCH /instances/{id}/configuration/{setting}`: sets the value of one that is there, or that an instance may have.
pub async fn lay_setting(caller: Caller, At((id, setting)): At<(u64, String)>, Body(body): Body) -> Result<Shown, Failure> {
    caller.lay_setting(&caller.find(id).await?, &setting, &body).await
}

/// `PATCH /instances/configuration/{setting}`.
pub async fn lay_own_setting(caller: Caller, At(setting): At<String>, Body(body): Body) -> Result<Shown, Failure> {
    caller.lay_setting(&caller.own().await?, &setting, &body).await
}

/// `PATCH /instances/{id}/configuration`: sets the values of several, by their keys.
pub async fn lay_configuration(caller: Caller, At(id): At<u64>, Body(body): Body) -> Result<Shown, Failure> {
    caller.lay_settings(&caller.find(id).await?, body).await
}

/// `PATCH /instances/configuration`.
pub async fn lay_own_configuration(caller: Caller, Body(body): Body) -> Result<Shown, Failure> {
    caller.lay_settings(&caller.own().await?, body).await
}

impl Caller {
    async fn lay_setting(
        &self,
        instance: &ConnectorInstance,
        setting: &str,
        body: &Map<String, Value>,
    ) -> Result<Shown, Failure> {
        let settings = self.settings(instance).await?;
        let there = settings.iter().find(|one| is(one, setting)).and_then(|one| one["key"].as_str());
        let connector = change::connector(&self.realm, instance).await?;
        let key = there.or_else(|| settable(setting, connector.as_ref())).ok_or_else(no_setting)?.to_owned();
        if body.get("key").is_some_and(|other| *other != *key) {
            return Err(Failure::unusable("key is another setting than that of the path; leave it out"));
        }
        let Some(value) = body.get("propertyValue").filter(|value| key == POLLERS || !(value.is_object() || value.is_array()))
        else {
            return Err(Failure::unusable("propertyValue is missing or is not a value; send the value of the setting"));
        };
        let only = Map::from_iter([(key.clone(), value.clone())]);
        let (headers, Json(settings)) = self.lay_settings(instance, only).await?;
        // One that was taken away is listed no more.
        let mut settings = settings.as_array().into_iter().flatten();
        let shown = settings.find(|one| one["key"] == *key).cloned().unwrap_or_else(|| shown_setting(&key, &Value::Null));
        Ok((headers, Json(shown)))
    }

    /// Sets these, and answers all.
    async fn lay_settings(&self, instance: &ConnectorInstance, changed: Map<String, Value>) -> Result<Shown, Failure> {
        let changed = Map::from_iter([("configuration".to_owned(), Value::Object(changed))]);
        let changed = change::change(&self.realm, instance, How::Lay, changed).await?;
        let headers = self.warned(&changed, "changed");
        Ok((headers, Json(self.settings(&changed.instance).await?.into())))
    }
}

fn shown_setting(key: &str, value: &Value) -> Value {
    let id = number(key);
    json!({"id": id, "key": key, "name": key, "propertyValue": value, "hideFromConsole": false, "required": false})
}

/// The key of a setting that an instance may have, whether it has it now or not.
fn settable<'a>(setting: &'a str, connector: Option<&ConnectorSpec>) -> Option<&'a str> {
    let parameters = connector.into_iter().flat_map(|connector| &connector.parameters).map(|parameter| parameter.name.as_str());
    OPTIONAL.into_iter().chain([POLLERS]).chain(parameters).any(|key| key == setting).then_some(setting)
}

/// Whether this is the setting with an id or a key.
fn is(one: &Value, setting: &str) -> bool {
    one["key"] == *setting || setting.parse::<u64>().is_ok_and(|id| one["id"] == id)
}

fn no_setting() -> Failure {
    Failure::Unknown("the instance has no such setting; GET its configuration lists them".to_owned())
}
