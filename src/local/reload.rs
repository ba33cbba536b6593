//! Picks up changes of the manifests while the engine runs.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::mpsc;

use super::consents::LocalCandidates;
use super::definitions::{Definitions, Fingerprint, Sources};
use crate::api::conditions::Problem;
use crate::auth::{Secret, SecretMap, Secrets};
use crate::poll::claim::Claim;
use crate::poll::engine::Command;

/// How often the files are looked at. A look is a `stat` a file, so it works on every file system, mounted `ConfigMaps` included.
const LOOK: Duration = Duration::from_secs(1);

/// Secrets that can be replaced while jobs read them.
#[derive(Debug)]
pub struct SharedSecrets(RwLock<SecretMap>);

impl SharedSecrets {
    /// Starts with these.
    pub fn new(secrets: SecretMap) -> Self {
        Self(RwLock::new(secrets))
    }

    fn replace(&self, secrets: SecretMap) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = secrets;
    }
}

impl Secrets for SharedSecrets {
    fn get(&self, namespace: &str, name: &str) -> Option<Arc<Secret>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(namespace, name)
    }
}

/// The commands that start everything declared.
pub fn first(definitions: &Definitions) -> Vec<Command> {
    changes(&Definitions::default(), definitions)
}

/// Looks at the files for ever and sends what changed since `seen`. A folder that cannot be read or judged changes nothing: what runs goes
/// on, and the log says why.
pub async fn watch(
    sources: Sources,
    mut seen: Fingerprint,
    mut current: Definitions,
    secrets: Arc<SharedSecrets>,
    candidates: Option<Arc<LocalCandidates>>,
    commands: mpsc::Sender<Vec<Command>>,
) {
    loop {
        tokio::time::sleep(LOOK).await;
        let now = sources.fingerprint();
        if now == seen {
            continue;
        }
        seen = now;
        match Definitions::read(&sources) {
            Ok(read) => {
                let mut batch = changes(&current, &read);
                if read.secrets != current.secrets {
                    secrets.replace(read.secrets.clone());
                    batch.push(Command::RetryFailed);
                }
                if let Some(candidates) = &candidates {
                    candidates.replace(&read);
                }
                current = read;
                if !batch.is_empty() && commands.send(batch).await.is_err() {
                    return;
                }
            }
            Err(errors) => tracing::error!("the changed manifests are not used; what runs goes on: {errors}"),
        }
    }
}

/// What leads from one set of definitions to another.
fn changes(old: &Definitions, new: &Definitions) -> Vec<Command> {
    let mut batch = Vec::new();
    for (key, planned) in &new.planned {
        if old.planned.get(key) != Some(planned) {
            batch.push(Command::Put {
                plan: Arc::clone(&planned.plan),
                annotations: planned.annotations.clone(),
                claim: Claim::for_ever(),
            });
        }
    }
    for (key, problems) in &new.refused {
        if old.refused.get(key) != Some(problems) {
            let (namespace, name) = key.clone();
            batch.push(Command::Refuse { namespace, name, generation: None, problem: Problem::all_in_one(problems) });
        }
    }
    for (namespace, name) in old.planned.keys().chain(old.refused.keys()) {
        let key = (namespace.clone(), name.clone());
        if !new.planned.contains_key(&key) && !new.refused.contains_key(&key) {
            batch.push(Command::Remove { namespace: key.0, name: key.1 });
        }
    }
    batch
}
