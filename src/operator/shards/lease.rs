//! Calls about Leases: one try each, with a deadline, and what came of it.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Config};
use serde_json::json;

use super::call::{Reply, Request, Write};
use super::name::Name;
use super::record::{Record, Stored};
use super::scope::Scope;
use crate::operator::unusable::Unusable;

/// Who writes, in `managedFields`.
const FIELD_MANAGER: &str = "pollinator";
/// Label of all Leases of one group; its value is the group.
pub const GROUP_LABEL: &str = "pollinator.dev/lease-group";
/// Annotation of the Leases of members: the namespaces that the member watches, separated by commas; `*` for all.
pub const SCOPE_ANNOTATION: &str = "pollinator.dev/watched-namespaces";
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// The cause of a refusal in a namespace that is being deleted (`NamespaceTerminatingCause` of `k8s.io/api/core/v1`).
const NAMESPACE_TERMINATING: &str = "NamespaceTerminating";

/// Why a call about Leases said nothing about the Lease.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Nothing that is asked of the API server succeeds.
    #[error("the API server {0}")]
    Unusable(Unusable),
    /// RBAC.
    #[error(
        "the API server forbids to {0} Leases: grant get, list, watch, create, patch and delete on leases in coordination.k8s.io"
    )]
    Forbidden(&'static str),
    /// The namespace does not exist, or is going.
    #[error("Leases cannot be created, because their namespace does not exist or is being deleted")]
    NoNamespace,
    /// No answer in time.
    #[error("the API server does not answer requests for Leases")]
    Unavailable,
    /// Anything else.
    #[error("the API server refuses a Lease that it should take; please report this")]
    Refused,
}

/// A client for Leases alone, that others do not slow down: the usual one retries for minutes what must succeed in seconds or be
/// given up.
///
/// # Errors
/// The configuration's certificates or credentials cannot be used.
pub fn client(mut config: Config) -> Result<Client, kube::Error> {
    // The process may have chosen a provider before; either will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT);
    Client::try_from(config)
}

/// The Leases of one group.
#[derive(Clone, Debug)]
pub struct Leases {
    api: Api<Lease>,
    group: String,
    scope: Scope,
}

impl Leases {
    /// The Leases of `group` in a namespace. `scope` is noted in those of members. The client should come from [`client`].
    pub fn new(client: Client, namespace: &str, group: &str, scope: Scope) -> Self {
        Self { api: Api::namespaced(client, namespace), group: group.to_owned(), scope }
    }

    /// All of them, as of now: no cache is asked.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn list(&self, within: Duration) -> Result<BTreeMap<Name, Stored>, Trouble> {
        let params = ListParams::default().labels(&self.selector());
        match in_time(within, self.api.list(&params)).await {
            Ok(list) => Ok(list.items.into_iter().filter_map(|lease| self.read(lease)).collect()),
            Err(error) => Err(trouble(&error, "list")),
        }
    }

    /// The Leases of all groups, in a namespace or in all, by namespace and name.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn of_all_groups(
        client: Client,
        namespace: Option<&str>,
        within: Duration,
    ) -> Result<BTreeMap<String, Stored>, Trouble> {
        let api: Api<Lease> = namespace.map_or_else(|| Api::all(client.clone()), |name| Api::namespaced(client.clone(), name));
        let listed = in_time(within, api.list(&ListParams::default().labels(GROUP_LABEL))).await;
        let leases = listed.map_err(|error| trouble(&error, "list"))?.items.into_iter();
        let named = leases.filter_map(|lease| {
            let metadata = &lease.metadata;
            let name = format!("{}/{}", metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref()?);
            Some((name, stored(lease)?))
        });
        Ok(named.collect())
    }

    /// Makes one call.
    pub async fn call(&self, name: &Name, request: Request) -> (Reply, Option<Trouble>) {
        let kubernetes_name = name.in_group(&self.group);
        let (verb, answer) = match request {
            Request::Read(within) => {
                let found = in_time(within, self.api.get_opt(&kubernetes_name)).await;
                ("get", found.map(|lease| Reply::Found(lease.and_then(stored))))
            }
            Request::Write(write) => {
                let verb = if write.version.is_some() { "patch" } else { "create" };
                let within = write.within;
                let written = in_time(within, self.write(name, &kubernetes_name, write)).await;
                (verb, written.map(|lease| stored(lease).map_or(Reply::Failed, Reply::Stored)))
            }
        };
        answer.map_or_else(|error| judge(&error, verb), |reply| (reply, None))
    }

    async fn write(&self, lease: &Name, name: &str, write: Write) -> Result<Lease, kube::Error> {
        let labels = BTreeMap::from([(GROUP_LABEL.to_owned(), self.group.clone())]);
        // Only a member's Lease is written by one process alone; in a range's, the note would outlive its holder.
        let annotations = matches!(lease, Name::Member { .. })
            .then(|| BTreeMap::from([(SCOPE_ANNOTATION.to_owned(), self.scope.to_string())]));
        let Some(version) = write.version else {
            let metadata =
                ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), annotations, ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(spec(write.record)) };
            let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
            return self.api.create(&params, &lease).await;
        };
        let spec = spec(write.record);
        // A merge patch leaves alone what others wrote next to ours; with a version in it, it is a compare-and-swap (409).
        let patch = json!({
            "metadata": {"resourceVersion": version, "labels": labels, "annotations": annotations.unwrap_or_default()},
            "spec": {
                "holderIdentity": spec.holder_identity,
                "acquireTime": spec.acquire_time,
                "renewTime": spec.renew_time,
                "leaseDurationSeconds": spec.lease_duration_seconds,
                "leaseTransitions": spec.lease_transitions,
            },
        });
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        self.api.patch(name, &params, &Patch::Merge(patch)).await
    }

    /// Deletes a Lease if it is still this one. Whether it worked does not matter: the next list shows it.
    pub async fn forget(&self, name: &Name, lease: &Stored, within: Duration) {
        let preconditions = Preconditions { resource_version: Some(lease.version.clone()), uid: Some(lease.uid.clone()) };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let deleted = in_time(within, self.api.delete(&name.in_group(&self.group), &params)).await;
        if let Err(error) = deleted {
            tracing::debug!(lease = name.in_group(&self.group), "not deleted: {error}");
        }
    }

    /// What changes, as soon as it does. Events may be missing or late; a list is always right.
    pub fn watch(&self) -> impl Stream<Item = (Name, Option<Stored>)> + Send + use<> {
        let (own, config) = (self.clone(), watcher::Config::default().labels(&self.selector()));
        watcher(self.api.clone(), config).default_backoff().filter_map(move |event| {
            let noticed = match event {
                Ok(watcher::Event::Apply(lease) | watcher::Event::InitApply(lease)) => {
                    own.read(lease).map(|(name, lease)| (name, Some(lease)))
                }
                Ok(watcher::Event::Delete(lease)) => own.read(lease).map(|(name, _)| (name, None)),
                Ok(watcher::Event::Init | watcher::Event::InitDone) => None,
                Err(error) => {
                    tracing::debug!("Leases are not being watched: {error}");
                    None
                }
            };
            std::future::ready(noticed)
        })
    }

    fn selector(&self) -> String {
        format!("{GROUP_LABEL}={}", self.group)
    }

    fn read(&self, lease: Lease) -> Option<(Name, Stored)> {
        let name = Name::read(&self.group, lease.metadata.name.as_deref()?)?;
        Some((name, stored(lease)?))
    }
}

/// A call that gave no answer in time, or gave one that is an error.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("no answer in time")]
    Late,
    #[error(transparent)]
    Kube(#[from] kube::Error),
}

async fn in_time<T>(within: Duration, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, CallError> {
    match tokio::time::timeout(within, call).await {
        Ok(answer) => answer.map_err(CallError::Kube),
        Err(_) => Err(CallError::Late),
    }
}

fn judge(error: &CallError, verb: &'static str) -> (Reply, Option<Trouble>) {
    match error {
        CallError::Kube(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
            (Reply::Conflict, None)
        }
        // Of a creation it speaks of the namespace.
        CallError::Kube(kube::Error::Api(status)) if status.is_not_found() && verb == "patch" => (Reply::Missing, None),
        _ => (Reply::Failed, Some(trouble(error, verb))),
    }
}

fn trouble(error: &CallError, verb: &'static str) -> Trouble {
    tracing::debug!(verb, "a request for a Lease failed: {error}");
    let CallError::Kube(error) = error else { return Trouble::Unavailable };
    if let Some(unusable) = Unusable::of(error) {
        return Trouble::Unusable(unusable);
    }
    let kube::Error::Api(status) = error else { return Trouble::Unavailable };
    match status.code {
        404 => Trouble::NoNamespace,
        // Also the answer of a namespace that is being deleted, to a creation.
        403 if has_cause(status, NAMESPACE_TERMINATING) => Trouble::NoNamespace,
        403 => Trouble::Forbidden(verb),
        400 | 405 | 415 | 422 => Trouble::Refused,
        _ => Trouble::Unavailable,
    }
}

/// The server names causes that programs are to know, next to the words for people.
fn has_cause(status: &kube::core::Status, cause: &str) -> bool {
    status.details.iter().flat_map(|details| &details.causes).any(|found| found.reason == cause)
}

fn spec(record: Record) -> LeaseSpec {
    LeaseSpec {
        holder_identity: record.holder,
        acquire_time: record.acquired.and_then(micro_time),
        renew_time: record.renewed.and_then(micro_time),
        lease_duration_seconds: Some(record.seconds),
        lease_transitions: Some(record.transitions),
        ..LeaseSpec::default()
    }
}

fn micro_time(date: DateTime<Utc>) -> Option<MicroTime> {
    Timestamp::from_microsecond(date.timestamp_micros()).ok().map(MicroTime)
}

fn date(time: &MicroTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(time.0.as_microsecond())
}

fn stored(lease: Lease) -> Option<Stored> {
    let spec = lease.spec.unwrap_or_default();
    let record = Record {
        holder: spec.holder_identity,
        acquired: spec.acquire_time.as_ref().and_then(date),
        renewed: spec.renew_time.as_ref().and_then(date),
        seconds: spec.lease_duration_seconds.unwrap_or(0),
        transitions: spec.lease_transitions.unwrap_or(0),
    };
    let noted = lease.metadata.annotations.as_ref().and_then(|annotations| annotations.get(SCOPE_ANNOTATION));
    let scope = noted.and_then(|text| Scope::read(text));
    // The server gives every object both.
    Some(Stored { version: lease.metadata.resource_version?, uid: lease.metadata.uid?, record, scope })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_its_lease() {
        let date = DateTime::from_timestamp_micros(1_700_000_000_123_456);
        let record = Record { holder: Some("me".to_owned()), acquired: date, renewed: date, seconds: 15, transitions: 4 };
        let metadata =
            ObjectMeta { uid: Some("uid".to_owned()), resource_version: Some("7".to_owned()), ..ObjectMeta::default() };
        let lease = Lease { metadata, spec: Some(spec(record.clone())) };
        let text = serde_json::to_string(&lease).unwrap();
        assert!(text.contains(r#""renewTime":"2023-11-14T22:13:20.123456Z""#), "{text}");
        let back = stored(serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(back, Stored { version: "7".to_owned(), uid: "uid".to_owned(), record, scope: None });
    }

    #[test]
    fn troubles_say_what_to_do() {
        let status = |code: u16, message: &str| {
            let status = kube::core::Status { code, message: message.to_owned(), ..kube::core::Status::default() };
            CallError::Kube(kube::Error::Api(Box::new(status)))
        };
        assert_eq!(trouble(&status(403, "leases is forbidden"), "patch"), Trouble::Forbidden("patch"));
        let terminating = serde_json::from_value(serde_json::json!({
            "kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden",
            "message": "leases.coordination.k8s.io \"x\" is forbidden: unable to create new content in namespace a because it is being terminated",
            "details": {"name": "x", "causes": [
                {"reason": "NamespaceTerminating", "message": "namespace a is being terminated", "field": "metadata.namespace"},
            ]},
        }));
        let terminating = CallError::Kube(kube::Error::Api(Box::new(terminating.unwrap())));
        assert_eq!(trouble(&terminating, "create"), Trouble::NoNamespace);
        assert_eq!(trouble(&status(429, ""), "patch"), Trouble::Unusable(Unusable::Troubled(429)));
        assert_eq!(trouble(&status(401, ""), "list"), Trouble::Unusable(Unusable::Unauthorized));
        assert_eq!(trouble(&CallError::Late, "patch"), Trouble::Unavailable);
        assert_eq!(trouble(&status(422, ""), "patch"), Trouble::Refused);
    }
}
