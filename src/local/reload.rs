//! Picks up changes of the manifests while the engine runs.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::mpsc;

use super::definitions::Definitions;
use super::files::{Look, Sources};
use crate::api::conditions::Problem;
use crate::auth::{Secret, SecretMap, Secrets};
use crate::poll::claim::Claim;
use crate::poll::command::{Command, Refusal};
use crate::poll::status::Kept;

/// How often the files are looked at. A look is a `stat` a file, so it works on every file system, mounted `ConfigMaps` included.
const LOOK: Duration = Duration::from_secs(1);
/// A change is taken over when two looks see the same: a folder is often met while it is written. Files that never rest are taken
/// as they are after this many looks.
const RESTLESS: u32 = 3;

/// Secrets that can be replaced while jobs read them.
#[derive(Debug)]
pub struct SharedSecrets(RwLock<SecretMap>);

impl SharedSecrets {
    /// Starts with these.
    pub fn new(secrets: SecretMap) -> Self {
        Self(RwLock::new(secrets))
    }

    fn replace(&self, secrets: SecretMap) {
        *self.0.write() = secrets;
    }
}

impl Secrets for SharedSecrets {
    fn get(&self, namespace: &str, name: &str) -> Option<Arc<Secret>> {
        self.0.read().get(namespace, name)
    }
}

/// The commands that start everything declared.
pub fn first(definitions: &Definitions) -> Vec<Command> {
    changes(&Definitions::default(), definitions)
}

/// One reading of all files, for those who hold what files declare.
pub enum Reading<'a> {
    /// It begins: what is written to files from now on may be missing from what is read.
    Begins,
    /// This was read.
    Ends(&'a mut Definitions),
}

/// Looks at the files for ever and sends what changed since `seen`, after `reading` saw the new definitions. What cannot be read or is not
/// valid changes nothing that it declared: it goes on as before, and the log says why.
pub async fn watch(
    sources: Sources,
    mut seen: Look,
    mut current: Definitions,
    secrets: Arc<SharedSecrets>,
    mut reading: impl FnMut(Reading<'_>),
    commands: mpsc::Sender<Vec<Command>>,
) {
    let mut last = seen.clone();
    let mut waited = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        let (asked, before) = (sources.clone(), last);
        // Many files, or a slow disk, must not hold up polls. Both fail only while the process ends.
        let Ok((now, before)) = tokio::task::spawn_blocking(move || (asked.look(Some(&before)), before)).await else { return };
        let rests = now == before;
        last = now;
        if last == seen {
            waited = 0;
            continue;
        }
        waited += 1;
        if !rests && waited < RESTLESS {
            continue;
        }
        waited = 0;
        seen = last.clone();
        reading(Reading::Begins);
        let (asked, before) = (sources.clone(), current);
        let read = tokio::task::spawn_blocking(move || (Definitions::read_over(&asked, &before), before));
        let Ok((read, before)) = read.await else { return };
        current = before;
        match read {
            Ok((mut read, spoilt)) => {
                if let Some(errors) = spoilt {
                    tracing::error!("some manifests cannot be used, and what they declared before stays in effect: {errors}");
                }
                reading(Reading::Ends(&mut read));
                let mut batch = changes(&current, &read);
                if read.secrets != current.secrets {
                    secrets.replace(read.secrets.clone());
                    batch.push(Command::RetryFailed);
                }
                for other in read.others.iter().filter(|other| !current.others.contains(other)) {
                    tracing::info!("{other}");
                }
                current = read;
                if !batch.is_empty() && commands.send(batch).await.is_err() {
                    return;
                }
            }
            Err(errors) => {
                tracing::error!("the changed manifests are not used; the running instances are not affected: {errors}");
            }
        }
    }
}

/// What leads from one set of definitions to another.
fn changes(old: &Definitions, new: &Definitions) -> Vec<Command> {
    let mut batch = Vec::new();
    for (instance, planned) in &new.planned {
        if old.planned.get(instance) != Some(planned) {
            batch.push(Command::Put {
                plan: Arc::clone(&planned.plan),
                annotations: planned.annotations.clone(),
                claim: Claim::for_ever(),
            });
        }
    }
    for (instance, problems) in &new.refused {
        if old.refused.get(instance) != Some(problems) {
            let (instance, problem) = (instance.clone(), Problem::all_in_one(problems));
            let refusal = Refusal { generation: None, problem, kept: Kept::default() };
            batch.push(Command::Refuse { instance, refusal });
        }
    }
    for instance in old.planned.keys().chain(old.refused.keys()) {
        if !new.planned.contains_key(instance) && !new.refused.contains_key(instance) {
            batch.push(Command::Remove(instance.clone()));
        }
    }
    batch
}
