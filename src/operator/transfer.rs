//! The state of an instance in the cluster, read and replaced for a person who is not the operator.
//!
//! It is replaced only while the instance is suspended. An operator that has it compares what is stored with what it knows before it polls
//! again (`Publication::publish`), so that it goes on with what was put there.

use std::time::Duration;

use serde_json::Value;

use super::cluster::{CallError, Cluster, Kind};
use super::overflow::Overflow;
use super::probe::{OUTDATED, Probe};
use super::state_error::StateError;
use super::{status, stored, watch};
use crate::api::identity::{InstanceId, InstanceRef};
use crate::state::external_store::ExternalStore;
use crate::state::{InstanceState, backup};

/// How often an instance that changed meanwhile is read again.
const MAX_CONFLICTS: usize = 5;
/// How often to look whether the operator has seen that an instance is suspended, and the pause between.
const MAX_LOOKS: usize = 20;
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What becomes of a state that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and nothing is written.
    Keep,
    /// It is replaced, even when it cannot be read.
    Replace,
}

/// Why a state was not read or not replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// There is no such instance.
    #[error("the cluster has no ConnectorInstance of this name; apply its manifest with spec.suspend: true first")]
    NoInstance,
    /// It may be polled while its state is replaced.
    #[error(
        "spec.suspend is not true, and the state of an instance that is polled cannot be replaced; set spec.suspend to true, import, and set it back"
    )]
    NotSuspended,
    /// The operator has not read the spec that suspends it.
    #[error(
        "the operator has not taken note that the instance is suspended; check that it runs, and try again once status.observedGeneration is metadata.generation"
    )]
    NotYetSuspended,
    /// There is a state that would be lost.
    #[error("it has a state already, which would be lost; --overwrite replaces it")]
    Living,
    /// The custom resource definition lacks fields.
    #[error("{OUTDATED}")]
    Outdated,
    /// What is stored cannot be used, or what is to be stored does not fit.
    #[error("{0}")]
    Unusable(String),
    /// A call failed.
    #[error("the API server: {0}")]
    Call(CallError),
    /// The caller may not do it, in the API server's words.
    #[error("the API server does not allow it: {0}")]
    Forbidden(String),
}

impl From<CallError> for TransferError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotFound => Self::NoInstance,
            CallError::Forbidden(denial) => Self::Forbidden(denial.words),
            other => Self::Call(other),
        }
    }
}

impl From<StateError> for TransferError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Call(error) => error.into(),
            other => Self::Unusable(other.problem().message),
        }
    }
}

/// Moves the known sets of an instance from one place to another; `None`: `ConfigMaps`. No operator may run. Answers how many records were
/// moved; 0: there was nothing to move.
///
/// # Errors
/// [`TransferError`]; what was there is then still in force.
pub async fn relocate(
    cluster: &Cluster,
    from: Option<&ExternalStore>,
    to: Option<&ExternalStore>,
    instance: &InstanceRef,
) -> Result<usize, TransferError> {
    let mut conflicts = 0;
    loop {
        match try_relocate(cluster, from, to, instance).await {
            Err(TransferError::Call(CallError::Conflict)) if conflicts < MAX_CONFLICTS => conflicts += 1,
            ended => return ended,
        }
    }
}

async fn try_relocate(
    cluster: &Cluster,
    from: Option<&ExternalStore>,
    to: Option<&ExternalStore>,
    instance: &InstanceRef,
) -> Result<usize, TransferError> {
    let object = cluster.get(Kind::ConnectorInstance, &instance.namespace, &instance.name).await?;
    let id = id(instance, &object);
    let (state, mut overflow) = match there(cluster, from, &id, &object["status"]).await {
        Ok(found) => found,
        // A move that was interrupted is made again, and this one may be over.
        Err(StateError::NoStore | StateError::Unusable(_)) if is_over(cluster, to, &id, &object["status"]).await => {
            return Ok(0);
        }
        Err(error) => return Err(error.into()),
    };
    let moving = overflow.elsewhere(to);
    let records =
        state.resources.iter().filter(|(name, _)| moving.contains(&name.as_str())).map(|(_, own)| own.known.len()).sum();
    if moving.is_empty() {
        return Ok(0);
    }
    if !Probe::new(cluster.clone()).crd_is_complete(instance, &object, true).await? {
        return Err(TransferError::Outdated);
    }
    lay(cluster, to, &id, object, &state, &mut overflow).await?;
    Ok(records)
}

async fn is_over(cluster: &Cluster, to: Option<&ExternalStore>, id: &InstanceId, status: &Value) -> bool {
    to.is_some() && there(cluster, to, id, status).await.is_ok_and(|(_, overflow)| overflow.elsewhere(to).is_empty())
}

/// The instances of a namespace, or of all.
///
/// # Errors
/// [`TransferError`].
pub async fn instances(cluster: &Cluster, namespace: Option<&str>) -> Result<Vec<InstanceRef>, TransferError> {
    let listed = cluster.list(Kind::ConnectorInstance, namespace, None, true).await?;
    let text = |object: &Value, field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    Ok(listed.iter().map(|object| InstanceRef::new(text(object, "namespace"), text(object, "name"))).collect())
}

/// Reads the state of an instance, which the operator may be changing.
///
/// # Errors
/// [`TransferError`].
pub async fn read(
    cluster: &Cluster,
    store: Option<&ExternalStore>,
    instance: &InstanceRef,
) -> Result<InstanceState, TransferError> {
    let mut seen = Value::Null;
    loop {
        let mut object = cluster.get(Kind::ConnectorInstance, &instance.namespace, &instance.name).await?;
        let status = object["status"].take();
        match there(cluster, store, &id(instance, &object), &status).await {
            Ok((state, _)) => return Ok(state),
            // The operator may have laid it out again since the status was read.
            Err(StateError::Unusable(_)) if object["metadata"]["resourceVersion"] != seen => {
                seen = object["metadata"]["resourceVersion"].take();
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Replaces the state of a suspended instance. Its identity is that of `state` from then on.
///
/// # Errors
/// [`TransferError`]; the state that was there is then still in force.
pub async fn replace(
    cluster: &Cluster,
    store: Option<&ExternalStore>,
    instance: &InstanceRef,
    state: &InstanceState,
    existing: Existing,
) -> Result<(), TransferError> {
    let (mut conflicts, mut looks) = (0, 0);
    loop {
        match try_replace(cluster, store, instance, state, existing).await {
            Err(TransferError::Call(CallError::Conflict)) if conflicts < MAX_CONFLICTS => conflicts += 1,
            Err(TransferError::NotYetSuspended) if looks < MAX_LOOKS => {
                looks += 1;
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            ended => return ended,
        }
    }
}

async fn try_replace(
    cluster: &Cluster,
    store: Option<&ExternalStore>,
    instance: &InstanceRef,
    state: &InstanceState,
    existing: Existing,
) -> Result<(), TransferError> {
    let object = cluster.get(Kind::ConnectorInstance, &instance.namespace, &instance.name).await?;
    if object["spec"]["suspend"] != true {
        return Err(TransferError::NotSuspended);
    }
    let observed = &object["status"]["observedGeneration"];
    if !observed.is_null() && *observed != object["metadata"]["generation"] {
        return Err(TransferError::NotYetSuspended);
    }
    let id = id(instance, &object);
    let mut overflow = match there(cluster, store, &id, &object["status"]).await {
        Ok((there, _)) if existing == Existing::Keep && backup::is_living(&there) => return Err(TransferError::Living),
        Ok((_, overflow)) => overflow,
        Err(StateError::Unusable(_)) if existing == Existing::Replace => Overflow::default(),
        Err(error) => return Err(error.into()),
    };
    if !Probe::new(cluster.clone()).crd_is_complete(instance, &object, true).await? {
        return Err(TransferError::Outdated);
    }
    let state = taken_over(state, &id, &object);
    lay(cluster, store, &id, object, &state, &mut overflow).await
}

/// The state as that of this object. What its annotations ask for was asked of the state that goes: acted on after the import, an old
/// `reset` would throw away the state that comes.
fn taken_over(state: &InstanceState, id: &InstanceId, object: &Value) -> InstanceState {
    InstanceState { handled: watch::annotations_of(object), ..backup::rehomed(state, &id.uid) }
}

/// Writes a state to the object as it was just read.
async fn lay(
    cluster: &Cluster,
    store: Option<&ExternalStore>,
    id: &InstanceId,
    mut object: Value,
    state: &InstanceState,
    overflow: &mut Overflow,
) -> Result<(), TransferError> {
    let (places, _) = overflow.save(cluster, store, id, &|| true, state).await?;
    let mut status = object["status"].as_object().cloned().unwrap_or_default();
    stored::lay(&mut status, state, &places);
    status::fit(&mut status);
    object["status"] = Value::Object(status);
    cluster.replace_status(id.namespace(), id.name(), object.to_string().into_bytes(), false).await?;
    overflow.clean(cluster, id.namespace()).await;
    Ok(())
}

/// What is stored of an instance.
async fn there(
    cluster: &Cluster,
    store: Option<&ExternalStore>,
    id: &InstanceId,
    status: &Value,
) -> Result<(InstanceState, Overflow), StateError> {
    let found = stored::read(&id.uid, status).map_err(StateError::Unusable)?;
    let mut state = found.state;
    let overflow = Overflow::load(cluster, store, id, &found.places, None, &mut state).await?;
    Ok((state, overflow))
}

fn id(instance: &InstanceRef, object: &Value) -> InstanceId {
    InstanceId::new(instance.clone(), object["metadata"]["uid"].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::Utc;
    use serde_json::json;

    use super::*;
    use crate::plan::sample;
    use crate::state::adopt::{APPROVE_DELETES, Adopted, DISCARD, POLL_NOW, REDELIVER, REQUESTED_AT, RESET, adopt};

    #[test]
    fn what_annotations_asked_of_the_old_state_is_not_done_to_the_imported_one() {
        let plan = sample::instance(sample::resource());
        let mut saved = InstanceState::new("u-1".into());
        adopt(&mut saved, &plan, &BTreeMap::new(), Utc::now());
        saved.resources.get_mut("contacts").unwrap().started = true;
        saved.handled.insert(RESET.to_owned(), "contacts 1".to_owned());
        let id = InstanceId::new(InstanceRef::new("crm", "keap"), "u-2");
        for key in [RESET, REDELIVER, DISCARD, APPROVE_DELETES, POLL_NOW, REQUESTED_AT] {
            let object = json!({"metadata": {"annotations": {key: "contacts 2", "other": "x"}}});
            let mut state = taken_over(&saved, &id, &object);
            assert_eq!((&*state.uid, state.identity()), ("u-2", "u-1"));
            let asked = |value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
            assert_eq!(adopt(&mut state, &plan, &asked("contacts 2"), Utc::now()), Adopted::default(), "{key}");
            assert!(state.resources["contacts"].started);
            assert!(adopt(&mut state, &plan, &asked("contacts 3"), Utc::now()).changed, "{key}: a newer value is acted on");
        }
    }
}
