//! A sample instance for people who look around in the console: the provider that it polls changes now and then, and what it delivers is
//! accepted. Its two servers run in this process and listen on loopback alone.

use std::net::Ipv4Addr;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::provider::SampleProvider;
use super::session::{manifest, signing_secret};
use crate::api::identity::InstanceRef;
use crate::api::instance::ConnectorInstance;
use crate::api::manifest::{Manifest, read};
use crate::instances::secret_edits::SecretEdits;
use crate::instances::{Instances, InstancesError};
use crate::receive::server::{Receiver, ReceiverOptions};
use crate::receive::verify::Key;
use crate::serve::console::sample::SampleInstance;

/// Says that an instance is the sample: after a restart its servers are started again.
const LABEL: &str = "pollinator.dev/sample";
/// Its name.
const NAME: &str = "sample-crm";
/// The Secret with which it signs,
const SECRET: &str = "sample-crm-callback";
/// and the key in it.
const KEY: &str = "signing-key";
/// Time between two changes: about one a poll.
const PACE: Duration = Duration::from_secs(4);

/// The sample instance of a process, and its servers once it was asked for.
pub struct Sample {
    namespace: String,
    running: Mutex<Option<Running>>,
    stop: CancellationToken,
}

/// The servers.
struct Running {
    provider: String,
    callback: String,
    secret: String,
}

impl Sample {
    /// A sample instance of this namespace, whose servers run until `stop`.
    pub fn new(namespace: &str, stop: CancellationToken) -> Self {
        Self { namespace: namespace.to_owned(), running: Mutex::new(None), stop }
    }

    /// Starts its servers again where an earlier process created it.
    ///
    /// # Errors
    /// It cannot be read, or its ports are in use.
    pub async fn resume(&self, instances: &dyn Instances) -> Result<(), String> {
        let of = InstanceRef::new(&*self.namespace, NAME);
        let instance = match instances.get(&of).await {
            Ok(instance) if instance.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(LABEL)) => instance,
            Ok(_) | Err(InstancesError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        };
        let stored = instances.stored_secret(&of, SECRET).await.map_err(|error| error.to_string())?;
        let secret = stored.as_ref().and_then(|stored| {
            let (_, keys) = stored.each().find(|(name, _)| *name == SECRET)?;
            keys.get(KEY)?.clone()
        });
        let port = |url: &str| Url::parse(url).ok()?.port();
        let provider = instance.spec.base_url.as_deref().and_then(port);
        // Someone may have pointed it elsewhere; then there is nothing to start.
        let (Some(provider), Some(callback), Some(secret)) = (provider, port(&instance.spec.callback.url), secret) else {
            return Ok(());
        };
        *self.running.lock().await = Some(self.run(provider, callback, secret).await?);
        Ok(())
    }

    /// Starts the servers at these ports; 0: a free one.
    async fn run(&self, provider: u16, callback: u16, secret: String) -> Result<Running, String> {
        let loopback = |port: u16| move |error: std::io::Error| format!("port {port} of {}: {error}", Ipv4Addr::LOCALHOST);
        let key = Key::parse(secret.as_bytes()).map_err(|error| format!("the signing secret {error}"))?;
        let options = ReceiverOptions { port: callback, keys: vec![key], ..Default::default() };
        let mut receiver = Receiver::start(options).await.map_err(loopback(callback))?;
        let provider = SampleProvider::start_at(provider, rand::random()).await.map_err(loopback(provider))?;
        let running = Running { provider: provider.base_url(), callback: receiver.url(), secret };
        let stop = self.stop.clone();
        tokio::spawn(async move {
            let mut changes = tokio::time::interval(PACE);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = changes.tick() => {
                        provider.change_one().await;
                    }
                    event = receiver.events.recv() => if event.is_none() { return },
                }
            }
        });
        Ok(running)
    }
}

impl SampleInstance for Sample {
    fn start(&self) -> BoxFuture<'_, Result<(ConnectorInstance, SecretEdits), String>> {
        Box::pin(async move {
            let mut running = self.running.lock().await;
            let running = match &mut *running {
                Some(running) => running,
                none => none.insert(self.run(0, 0, signing_secret()).await?),
            };
            declared(&self.namespace, running)
        })
    }
}

/// The instance that polls these servers.
fn declared(namespace: &str, running: &Running) -> Result<(ConnectorInstance, SecretEdits), String> {
    let text = manifest((namespace, NAME), &running.provider, &running.callback, (SECRET, KEY));
    let manifests = read("", &text).manifests.into_iter();
    let instance = manifests.map(|(_, manifest)| manifest).find_map(|manifest| match manifest {
        Manifest::ConnectorInstance(instance) => Some(*instance),
        Manifest::Connector(_) | Manifest::Secret(_) => None,
    });
    let mut instance = instance.ok_or("the manifest of the sample cannot be read; please report this")?;
    instance.metadata.labels.get_or_insert_default().insert(LABEL.to_owned(), "true".to_owned());
    let mut secrets = SecretEdits::default();
    secrets.set(SECRET, KEY, running.secret.clone());
    Ok((instance, secrets))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::resolve;

    #[tokio::test]
    async fn it_can_be_planned_and_is_started_once() {
        let sample = Sample::new("default", CancellationToken::new());
        let (first, secrets) = sample.start().await.unwrap();
        assert!(resolve(&first, None).is_ok());
        assert_eq!(secrets.names().collect::<Vec<_>>(), [SECRET]);
        assert_eq!(sample.start().await.unwrap(), (first, secrets));
    }

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let sample = Sample::new("default", CancellationToken::new());
        let refused = sample.run(port, 0, signing_secret()).await.map(drop).unwrap_err();
        assert!(refused.starts_with(&format!("port {port} of 127.0.0.1: ")), "{refused}");
    }
}
