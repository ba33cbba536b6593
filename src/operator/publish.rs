//! One instance, from the object in the cluster to the input of the engine: deletion → ownership → plan → credentials → state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize as _;
use serde_json::Value;
use tokio::sync::{mpsc, watch as channel};
use tokio::time::Instant;

use super::cluster::{CallError, Cluster, Kind};
use super::connectors::Connectors;
use super::overflow::Overflow;
use super::probe::{LOOK_AGAIN, Probe};
use super::salvage::salvage;
use super::secrets::ClusterSecrets;
use super::session::{Session, Sessions};
use super::shards::{OwnedRanges, OwnershipGuard};
use super::state_error::StateError;
use super::{awaited, stored, watch};
use crate::api::conditions::{Problem, Reaction, Reason};
use crate::api::identity::{InstanceRef, SecretRef};
use crate::api::instance::{ConnectorInstance, ConnectorInstanceSpec};
use crate::plan::{AuthPlan, PollPlan};
use crate::poll::claim::Claim;
use crate::poll::command::{Command, Refusal};
use crate::poll::status::Kept;
use crate::state::adopt::RESET;
use crate::state::external_store::ExternalStore;
use crate::state::wish::Restart;

/// Most resources of an instance: what its status has room for.
const MAX_RESOURCES: usize = 64;
/// What cannot be read now is tried again after this.
const RETRY: Duration = Duration::from_secs(5);
/// What a person must fix where no watch looks is tried again after this.
const RETRY_SLOWLY: Duration = Duration::from_mins(1);

/// Everything that publishing needs.
pub struct Publication {
    /// Reads objects.
    pub cluster: Cluster,
    /// Where large known sets are; `None`: in the cluster.
    pub store: Option<ExternalStore>,
    /// Knows the installed CRD.
    pub probe: Arc<Probe>,
    /// What the engine and the writer share.
    pub sessions: Arc<Sessions>,
    /// Credentials.
    pub secrets: Arc<ClusterSecrets>,
    /// Connectors.
    pub connectors: Arc<Connectors>,
    /// Which instances are ours.
    pub owned: channel::Receiver<OwnedRanges>,
    /// To the engine.
    pub commands: mpsc::Sender<Command>,
}

/// What the engine last received of an instance.
#[derive(Clone, Debug, Default)]
pub enum Published {
    /// Nothing, or that it is gone.
    #[default]
    Nothing,
    /// Nothing yet: it is new, and a Secret that it refers to was not there, first at this time.
    Awaiting(Instant),
    /// To run it.
    Running(Arc<PollPlan>, BTreeMap<String, String>),
    /// That it cannot be run.
    Refused(Option<i64>, Problem),
}

/// What a spec refers to, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// `spec.connector`.
    pub connector: Option<String>,
    /// Secrets.
    pub secrets: Vec<String>,
}

/// What came of publishing.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What the engine knows now.
    pub published: Published,
    /// The object is gone, for good or for us.
    pub gone: bool,
    /// What the spec refers to; `None`: as before.
    pub references: Option<References>,
    /// Try again after this.
    pub retry: Option<Duration>,
}

impl Publication {
    /// The claim to an instance, unless another process owns it.
    pub fn guard_of(&self, uid: &str) -> Option<OwnershipGuard> {
        self.owned.borrow().guard_of(uid)
    }

    /// Reads an instance and sends the engine what follows. `uid` is the last one that was seen, or empty. `forced`: what it refers to
    /// changed, so the engine must start over even with the same plan.
    pub async fn publish(&self, key: &InstanceRef, uid: &str, published: Published, forced: bool) -> Outcome {
        let mut outcome = Outcome { published, ..Outcome::default() };
        if !uid.is_empty() && self.guard_of(uid).is_none() {
            return self.give_up(key, outcome).await;
        }
        if let Some(session) = self.sessions.get(key).filter(|session| session.is_running())
            && (session.is_lost()
                || !session.is_owned()
                || !matches!(outcome.published, Published::Running(..))
                || self.was_replaced(&session, &outcome.published).await)
        {
            // What it accepted is stored, or refused, before the state is read.
            self.take_away(key, &mut outcome).await;
            self.sessions.released(&session).await;
        }
        let object = match self.cluster.get(Kind::ConnectorInstance, &key.namespace, &key.name).await {
            Ok(object) => object,
            Err(CallError::NotFound) => return self.give_up(key, outcome).await,
            Err(error) => {
                tracing::warn!("the instance cannot be read: {error}");
                outcome.retry = Some(RETRY);
                return outcome;
            }
        };
        let metadata = &object["metadata"];
        let uid = metadata["uid"].as_str().unwrap_or_default();
        let guard = self.guard_of(uid);
        let Some(guard) = guard else { return self.give_up(key, outcome).await };
        if let Some(other) = self.sessions.get(key).filter(|session| *session.id.uid != *uid) {
            self.take_away(key, &mut outcome).await;
            self.sessions.released(&other).await;
            self.sessions.end(&other);
        }
        let session = self.sessions.begin(key, uid);
        session.renew(guard.clone());
        if metadata["deletionTimestamp"].is_string() {
            return self.refuse(key, &object, deleting(), outcome).await;
        }
        match self.prepare(key, &object, &mut outcome).await {
            Ok(plan) => match self.awaits(key, &plan, &object["status"], &outcome) {
                Some((since, rest)) => {
                    tracing::debug!("a Secret is not there yet: waiting for it");
                    Outcome { published: Published::Awaiting(since), retry: Some(rest), ..outcome }
                }
                None => self.run(&session, plan, &object, &guard, forced, outcome).await,
            },
            Err(problem) => self.refuse(key, &object, problem, outcome).await,
        }
    }

    /// The plan, once the credentials that it refers to are held.
    async fn prepare(&self, key: &InstanceRef, object: &Value, outcome: &mut Outcome) -> Result<PollPlan, Problem> {
        let spec = ConnectorInstanceSpec::deserialize(&object["spec"]).map_err(|error| {
            tracing::warn!("spec is not understood: {error}");
            Problem::human(
                Reason::InvalidSpec,
                "spec is not understood by this version of the operator; correct it, or run the version whose CRD is installed",
            )
        })?;
        outcome.references = Some(References { connector: spec.connector.clone(), secrets: Vec::new() });
        let mut instance = ConnectorInstance::new(&key.name, spec);
        instance.metadata.namespace = Some(key.namespace.to_string());
        instance.metadata.generation = object["metadata"]["generation"].as_i64();
        let plan = self.connectors.plan(&instance)?;
        if plan.resources.len() > MAX_RESOURCES {
            return Err(Problem::human(
                Reason::InvalidSpec,
                format!(
                    "the connector has more than {MAX_RESOURCES} resources; name those that are to be polled in spec.resources, at most {MAX_RESOURCES}"
                ),
            ));
        }
        let secrets = secrets(&plan);
        outcome.references = Some(References { connector: instance.spec.connector, secrets: secrets.clone() });
        for name in &secrets {
            let held = self.secrets.hold(&SecretRef::new(Arc::clone(&key.namespace), &**name)).await;
            held.map_err(|error| {
                outcome.retry = Some(if matches!(error, CallError::Forbidden(_)) { RETRY_SLOWLY } else { RETRY });
                unreadable(name, &error)
            })?;
        }
        Ok(plan)
    }

    /// Since when, and for how much longer, a new instance waits for a Secret that does not exist; `None`: it does not.
    fn awaits(&self, key: &InstanceRef, plan: &PollPlan, status: &Value, outcome: &Outcome) -> Option<(Instant, Duration)> {
        let mut names = outcome.references.iter().flat_map(|references| &references.secrets);
        if !names.any(|name| self.secrets.is_missing(&SecretRef::new(Arc::clone(&key.namespace), &**name))) {
            return None;
        }
        let (now, since) = match &outcome.published {
            Published::Nothing => (Instant::now(), None),
            Published::Awaiting(since) => (Instant::now(), Some(*since)),
            Published::Running(..) | Published::Refused(..) => return None,
        };
        awaited::remaining(plan, status, since, now).map(|rest| (since.unwrap_or(now), rest))
    }

    async fn run(
        &self,
        session: &Session,
        plan: PollPlan,
        object: &Value,
        guard: &OwnershipGuard,
        forced: bool,
        mut outcome: Outcome,
    ) -> Outcome {
        let annotations = watch::annotations_of(object);
        if session.is_running() {
            if !forced
                && let Published::Running(old, asked) = &outcome.published
                && **old == plan
                && *asked == annotations
            {
                return outcome;
            }
        } else if let Err(error) = self.open(session, object, annotations.get(RESET).map(String::as_str)).await {
            let problem = error.problem();
            outcome.retry = Some(match (&error, problem.reaction) {
                (StateError::Outdated, _) => LOOK_AGAIN,
                (_, Reaction::Human) => RETRY_SLOWLY,
                (_, Reaction::Throttled | Reaction::Transient) => RETRY,
            });
            return self.refuse(&session.id.instance, object, problem, outcome).await;
        }
        let plan = Arc::new(plan);
        outcome.published = Published::Running(Arc::clone(&plan), annotations.clone());
        let claim = Claim::new(guard.cancel(), {
            let guard = guard.clone();
            move || guard.check().is_ok()
        });
        self.send(Command::Put { plan, annotations, claim }).await;
        outcome
    }

    /// Reads the state and hands it over. What could not be stored is not begun: what was delivered would come again.
    async fn open(&self, session: &Session, object: &Value, reset: Option<&str>) -> Result<(), StateError> {
        if !self.probe.crd_is_complete(&session.id.instance, object, true).await? {
            return Err(StateError::Outdated);
        }
        let status = &object["status"];
        let found = match stored::read(&session.id.uid, status) {
            Ok(found) => found,
            Err(problem) => {
                let handled = status["bookkeeping"].as_str().and_then(stored::all_handled);
                if !session.is_new_reset(reset, handled.as_ref()).await {
                    return Err(StateError::Unusable(problem));
                }
                let salvaged = reset.and_then(|reset| salvage(&session.id.uid, status, &Restart::of(reset)));
                let found = salvaged.ok_or(StateError::Unusable(problem))?;
                tracing::warn!("what is damaged of the state is given up, as the annotation pollinator.dev/reset asks");
                found
            }
        };
        let mut state = found.state;
        // A spec that changed while no operator ran is polled at once, whenever the one before was.
        if status["observedGeneration"] != object["metadata"]["generation"] {
            state.resources.values_mut().for_each(|own| own.last_poll = None);
        }
        let reset = reset.filter(|reset| state.handled.get(RESET).is_none_or(|handled| handled != reset)).map(str::to_owned);
        let store = self.store.as_ref();
        let overflow = Overflow::load(&self.cluster, store, &session.id, &found.places, reset.as_deref(), &mut state).await?;
        // Another cluster's identity may have moved it there: a person's kubeconfig knows other certificates.
        overflow.register(&session.id).await?;
        session.open(state, stored::state_digest(status), overflow).await;
        Ok(())
    }

    /// Whether a person replaced the state while the instance was suspended, as `pollinator state import` does. Then what the engine has of
    /// it is of no use, and the next poll is not to begin with it.
    async fn was_replaced(&self, session: &Session, published: &Published) -> bool {
        let Published::Running(plan, _) = published else { return false };
        if !plan.suspended {
            return false;
        }
        // No write is under way while this is held.
        let record = session.record.lock().await;
        let Some(own) = &record.stored else { return false };
        match self.cluster.get(Kind::ConnectorInstance, session.id.namespace(), session.id.name()).await {
            Ok(object) => {
                object["metadata"]["uid"] == *session.id.uid && {
                    let digest = stored::state_digest(&object["status"]);
                    digest != stored::empty_digest() && !own.digests.contains(&digest)
                }
            }
            // It is read once more in a moment, and that error counts.
            Err(_) => false,
        }
    }

    async fn refuse(&self, key: &InstanceRef, object: &Value, problem: Problem, mut outcome: Outcome) -> Outcome {
        let generation = object["metadata"]["generation"].as_i64();
        if let Published::Refused(old, told) = &outcome.published
            && *old == generation
            && *told == problem
        {
            return outcome;
        }
        tracing::warn!(reason = %problem.reason, "{}", problem.message);
        let refusal = Refusal { generation, problem: problem.clone(), kept: kept(object) };
        self.send(Command::Refuse { instance: key.clone(), refusal }).await;
        outcome.published = Published::Refused(generation, problem);
        outcome
    }

    /// The instance is deleted, or another process owns it.
    async fn give_up(&self, key: &InstanceRef, mut outcome: Outcome) -> Outcome {
        self.take_away(key, &mut outcome).await;
        if let Some(session) = self.sessions.get(key) {
            self.sessions.end(&session);
        }
        outcome.gone = true;
        outcome.references = Some(References::default());
        outcome
    }

    async fn take_away(&self, key: &InstanceRef, outcome: &mut Outcome) {
        if !matches!(outcome.published, Published::Nothing | Published::Awaiting(_))
            || self.sessions.get(key).is_some_and(|session| session.is_running())
        {
            self.send(Command::Remove(key.clone())).await;
        }
        outcome.published = Published::Nothing;
    }

    pub(super) async fn send(&self, command: Command) {
        // The engine ends before this only when the process does.
        let _ = self.commands.send(command).await;
    }
}

/// What the status says of events that wait.
fn kept(object: &Value) -> Kept {
    let count = |pointer: &str| {
        let count = object.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
        usize::try_from(count).unwrap_or(usize::MAX)
    };
    Kept {
        parked: count("/status/parked"),
        set_aside: count("/status/setAside"),
        waiting: count("/status/waiting/events"),
        suspended: object["spec"]["suspend"] == true,
    }
}

/// Only what waits for the deletion with a finalizer ends it.
fn deleting() -> Problem {
    Problem::transient(
        Reason::Deleting,
        "this ConnectorInstance is being deleted and is not polled; it is gone once its finalizers are removed",
    )
}

/// The Secrets that a plan refers to, each once.
fn secrets(plan: &PollPlan) -> Vec<String> {
    let auths = plan.resources.iter().map(|resource| &resource.auth).chain([&plan.callback.auth]);
    let tls = plan.resources.iter().map(|resource| &resource.tls).chain([&plan.callback.tls]);
    let mut names: Vec<_> = auths
        .filter_map(|auth| match &**auth {
            AuthPlan::None => None,
            AuthPlan::ApiKeyHeader { secret, .. } | AuthPlan::ApiKeyQuery { secret, .. } | AuthPlan::Bearer { secret } => {
                Some(secret.name.clone())
            }
            AuthPlan::Basic { secret } => Some(secret.clone()),
            AuthPlan::Oauth2(plan) => Some(plan.secret.clone()),
        })
        .chain(plan.callback.signature.iter().map(|signature| signature.name.clone()))
        .chain(plan.callback.headers_secret.clone())
        .chain(tls.flatten().flat_map(|tls| tls.secrets().map(str::to_owned)))
        .collect();
    names.sort();
    names.dedup();
    names
}

fn unreadable(name: &str, error: &CallError) -> Problem {
    match error {
        CallError::Forbidden(_) | CallError::Refused(_) => Problem::human(
            Reason::SecretUnreadable,
            format!("the operator is not permitted to read Secret {name}; allow it get on secrets in this namespace"),
        ),
        CallError::NotFound | CallError::Conflict | CallError::Unavailable(_) => Problem::transient(
            Reason::SecretUnreadable,
            format!("the API server does not return Secret {name} at the moment; retrying"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{CallbackPlan, ResourcePlan, SecretKey, TlsPlan, sample};

    #[test]
    fn each_referenced_secret_is_named_once() {
        let key = |name: &str| SecretKey { name: name.to_owned(), key: "k".to_owned() };
        let mut plan = sample::instance(sample::resource());
        assert_eq!(secrets(&plan), Vec::<String>::new());
        let mut resource = sample::resource();
        resource.auth = Arc::new(AuthPlan::Bearer { secret: key("b") });
        plan.resources = vec![Arc::new(resource.clone()), Arc::new(resource)];
        plan.callback = Arc::new(CallbackPlan {
            signature: Some(key("a")),
            headers_secret: Some("b".to_owned()),
            auth: Arc::new(AuthPlan::Basic { secret: "c".to_owned() }),
            ..(*plan.callback).clone()
        });
        assert_eq!(secrets(&plan), ["a", "b", "c"]);
        let tls = TlsPlan { field: "spec.tls", client_certificate: Some("d".to_owned()), ca_bundle: Some(key("e")) };
        plan.resources = vec![Arc::new(ResourcePlan { tls: Some(Arc::new(tls.clone())), ..sample::resource() })];
        let own = TlsPlan { client_certificate: None, ca_bundle: Some(key("f")), ..tls };
        plan.callback = Arc::new(CallbackPlan { tls: Some(Arc::new(own)), ..(*plan.callback).clone() });
        assert_eq!(secrets(&plan), ["a", "b", "c", "d", "e", "f"]);
    }
}
