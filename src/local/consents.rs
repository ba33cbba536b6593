//! Declared instances as the connect page sees them.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::RwLock;
use tokio::sync::mpsc;

use super::definitions::Definitions;
use crate::api::conditions::{ConditionType, Problem};
use crate::api::identity::InstanceRef;
use crate::connect::candidate::{Candidate, Candidates, Need, consent_plan};
use crate::plan::Oauth2Plan;
use crate::poll::engine::Command;
use crate::poll::status::InstanceStatus;
use crate::state::StateStore;
use crate::state::directory::Directory;

/// Finds instances among what is declared in files.
pub struct LocalCandidates {
    plans: RwLock<BTreeMap<InstanceRef, Arc<Oauth2Plan>>>,
    needs: RwLock<BTreeMap<InstanceRef, Need>>,
    store: Arc<Directory>,
    commands: mpsc::Sender<Vec<Command>>,
}

impl LocalCandidates {
    /// With these definitions, of which nothing is known yet.
    pub fn new(definitions: &Definitions, store: Arc<Directory>, commands: mpsc::Sender<Vec<Command>>) -> Self {
        let (plans, needs) = (RwLock::new(plans(definitions)), RwLock::default());
        Self { plans, needs, store, commands }
    }

    /// The definitions changed.
    pub fn replace(&self, definitions: &Definitions) {
        *self.plans.write() = plans(definitions);
    }

    /// A status changed.
    pub fn note(&self, status: &InstanceStatus) {
        let authenticated = status.conditions.iter().find(|condition| condition.kind == ConditionType::Authenticated);
        let need = Need::told_by(status.connect.is_some(), authenticated.map(|condition| condition.status.as_str()));
        self.needs.write().insert(status.instance.clone(), need);
    }
}

fn plans(definitions: &Definitions) -> BTreeMap<InstanceRef, Arc<Oauth2Plan>> {
    let planned = definitions.planned.iter();
    planned.filter_map(|(key, planned)| Some((key.clone(), Arc::clone(consent_plan(&planned.plan)?)))).collect()
}

impl Candidates for LocalCandidates {
    fn find<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Candidate>, Problem>> {
        let instance = InstanceRef::new(namespace, name);
        let plan = self.plans.read().get(&instance).cloned();
        let need = self.needs.read().get(&instance).copied().unwrap_or(Need::Unsettled);
        Box::pin(async move {
            let Some(plan) = plan else { return Ok(None) };
            let state = StateStore::load(&*self.store, &instance)?;
            Ok(state.map(|state| Candidate { uid: state.uid, plan, need }))
        })
    }

    fn note_consent<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, ()> {
        let plans = self.plans.read();
        let secret = plans.get(&InstanceRef::new(namespace, name)).map(|plan| plan.secret.clone());
        // All instances that name the Secret share its tokens.
        let sharing =
            plans.iter().filter(|(other, plan)| *other.namespace == *namespace && Some(&plan.secret) == secret.as_ref());
        let consented: Vec<_> = sharing.map(|(instance, _)| Command::Consented(instance.clone())).collect();
        drop(plans);
        Box::pin(async move {
            // The engine ends before this only when the process does.
            let _ = self.commands.send(consented).await;
        })
    }
}
