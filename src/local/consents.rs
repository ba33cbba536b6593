//! Declared instances as the connect page sees them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::definitions::{Definitions, Key};
use crate::api::conditions::Problem;
use crate::connect::candidate::{Candidate, Candidates, Need, consent_plan};
use crate::plan::Oauth2Plan;
use crate::poll::engine::Command;
use crate::poll::status::InstanceStatus;
use crate::state::directory::Directory;

/// Finds instances among what is declared in files.
pub struct LocalCandidates {
    plans: RwLock<BTreeMap<Key, Arc<Oauth2Plan>>>,
    needs: RwLock<BTreeMap<Key, Need>>,
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
        *self.plans.write().unwrap_or_else(PoisonError::into_inner) = plans(definitions);
    }

    /// A status changed.
    pub fn note(&self, status: &InstanceStatus) {
        let key = (status.namespace.clone(), status.name.clone());
        let authenticated = status.conditions.iter().find(|condition| condition.kind == "Authenticated");
        let need = Need::told_by(status.connect.is_some(), authenticated.map(|condition| condition.status));
        self.needs.write().unwrap_or_else(PoisonError::into_inner).insert(key, need);
    }
}

fn plans(definitions: &Definitions) -> BTreeMap<Key, Arc<Oauth2Plan>> {
    let planned = definitions.planned.iter();
    planned.filter_map(|(key, planned)| Some((key.clone(), Arc::clone(consent_plan(&planned.plan)?)))).collect()
}

impl Candidates for LocalCandidates {
    fn find<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Candidate>, Problem>> {
        let key = (namespace.to_owned(), name.to_owned());
        let plan = self.plans.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let need = self.needs.read().unwrap_or_else(PoisonError::into_inner).get(&key).copied().unwrap_or(Need::Unsettled);
        Box::pin(async move {
            let Some(plan) = plan else { return Ok(None) };
            Ok(self.store.uid(namespace, name)?.map(|uid| Candidate { uid, plan, need }))
        })
    }

    fn note_consent<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, ()> {
        let plans = self.plans.read().unwrap_or_else(PoisonError::into_inner);
        let secret = plans.get(&(namespace.to_owned(), name.to_owned())).map(|plan| plan.secret.clone());
        // All instances that name the Secret share its tokens.
        let sharing = plans.iter().filter(|((other, _), plan)| other == namespace && Some(&plan.secret) == secret.as_ref());
        let consented: Vec<_> = sharing
            .map(|((namespace, name), _)| Command::Consented { namespace: namespace.clone(), name: name.clone() })
            .collect();
        drop(plans);
        Box::pin(async move {
            // The engine ends before this only when the process does.
            let _ = self.commands.send(consented).await;
        })
    }
}
