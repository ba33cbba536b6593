//! The life of an operator: what is started in which order, what flows between its parts, and how it ends.
//!
//! ```text
//!   watches ──watch events──> reconciler ──commands──> engine ──statuses──> writer
//!                              ^      ^                                       │
//!   shards ──owned, drains─────┘      └──────────────notices──────────────────┘
//! ```
//!
//! It ends the other way round from how the work flows, so that nothing that was accepted is left unsaved: the engine lets its requests end
//! and saves, the reconciler reports the drains as ended, the writer writes the last statuses, and last of all the Leases are given back.
//! The process that takes them finds everything stored.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::{Client, Config};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use super::cluster::Cluster;
use super::collect::Collector;
use super::connector_writer::ConnectorWriter;
use super::connectors::Connectors;
use super::events::Publisher;
use super::notice::Notice;
use super::outage_log::OutageLog;
use super::permissions;
use super::probe::Probe;
use super::publish::Publication;
use super::reconcile::Reconciler;
use super::required_label::RequiredLabel;
use super::secrets::ClusterSecrets;
use super::shards::lease;
use super::shards::{ConfigProblem, Drain, Health, OwnedRanges, Shards, ShardsConfig};
use super::store::ClusterStore;
use super::tokens::ClusterTokens;
use super::watch::Watches;
use super::writer::Writer;
use crate::api::connector::ConnectorSpec;
use crate::auth::oauth2::parts::Parts;
use crate::connect::ConnectUrl;
use crate::cpu::own_thread::{OwnThread, ThreadError};
use crate::egress::Egress;
use crate::egress::byte_budget::ByteBudget;
use crate::observe::Journal;
use crate::observe::metrics::Metrics;
use crate::poll::command::Command;
use crate::poll::context::EngineContext;
use crate::poll::engine::{Engine, Run};
use crate::poll::status::InstanceStatus;
use crate::state::external_store::ExternalStore;

/// Commands that go to the engine together, and watch events that wait for the reconciler at most.
const BATCH: usize = 500;
/// Batches that wait for the engine at most.
const BATCHES: usize = 16;
/// How long each of the last steps may take: statuses, Leases, Events.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// What an operator is started with.
pub struct Settings {
    /// The way to the API server.
    pub config: Config,
    /// The way to providers and callbacks.
    pub egress: Egress,
    /// Catalogue entries of the user's own, by name.
    pub mounted: BTreeMap<String, ConnectorSpec>,
    /// The namespaces to look at, each named once; none: all.
    pub namespaces: Arc<[String]>,
    /// Instances may use only Secrets with this label; `None`: all of their namespace.
    pub secret_label: Option<RequiredLabel>,
    /// Where large known sets are kept; `None`: in `ConfigMaps`.
    pub store: Option<ExternalStore>,
    /// How often everything is listed again.
    pub relist: Duration,
    /// Where people reach the connect page; `None`: there is none.
    pub connect: Option<ConnectUrl>,
    /// Name of the cluster in the source of events.
    pub cluster_name: Option<Arc<str>>,
    /// Memory for the bodies of pages.
    pub bytes: ByteBudget,
    /// How long requests under way may take to end.
    pub grace: Duration,
    /// Name under which Events are reported.
    pub pod_name: Option<String>,
    /// How replicas share the work.
    pub sharing: ShardsConfig,
}

/// Why an operator could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A thread of its own.
    #[error(transparent)]
    Thread(#[from] ThreadError),
    /// A client of the API server: the kubeconfig, or the files of the service account.
    #[error("the client for the cluster cannot be created: {0}")]
    Client(#[from] kube::Error),
    /// The settings of the shards.
    #[error("sharing the work: {0}")]
    Sharing(#[from] ConfigProblem),
}

/// What ended that should have gone on. The process is to end, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The part that shares the work.
    #[error("the part that shares the work ended unexpectedly; please report this with the log")]
    Sharing,
    /// The engine.
    #[error("the engine ended unexpectedly; please report this with the log")]
    Engine,
}

/// What the services need that run next to the operator.
pub struct Services {
    /// Objects.
    pub cluster: Cluster,
    /// Makes plans.
    pub connectors: Arc<Connectors>,
    /// To the engine of this process.
    pub commands: mpsc::Sender<Vec<Command>>,
    /// What asking for tokens needs.
    pub tokens: Parts,
    /// The last polls and deliveries of this process.
    pub journal: Journal,
}

/// A running operator.
pub struct Operator {
    shutdown: CancellationToken,
    engine: JoinHandle<()>,
    statuses: mpsc::UnboundedReceiver<InstanceStatus>,
    watching: JoinHandle<()>,
    notices: mpsc::UnboundedSender<Notice>,
    writer: Arc<Writer>,
    shards: Shards,
    /// How the part that shares the work ended, if it ended by itself.
    sharing_ended: Option<Result<(), JoinError>>,
    give_back: CancellationToken,
    /// Those that get no more input once all else has ended.
    helpers: Vec<JoinHandle<()>>,
    events: JoinHandle<()>,
    /// Their tasks are aborted with them.
    threads: [OwnThread; 2],
}

impl Operator {
    /// Starts everything. `ready` becomes true once the process takes part. `shutdown` ends the operator, and is cancelled when it has to
    /// end by itself.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(
        settings: Settings,
        metrics: &Metrics,
        ready: watch::Sender<bool>,
        shutdown: &CancellationToken,
    ) -> Result<(Self, Services), StartError> {
        let Settings { config, sharing, namespaces, .. } = settings;
        // Claims and statuses wait for no instance, and claims not for statuses: a client's connections belong to the thread on which it is
        // made.
        let lease_thread = OwnThread::start("leases")?;
        let lease_client = lease_thread.on(|| lease::client(config.clone()))?;
        let status_thread = OwnThread::start("statuses")?;
        let status_client = status_thread.on(|| Client::try_from(config.clone()))?;
        let outages = Arc::new(OutageLog::new(config.cluster_url.to_string()));
        let client = Client::try_from(config)?;
        let cluster = Cluster::new(client.clone());

        // What flows, named for it: the sender first.
        let (notice_sender, notices) = mpsc::unbounded_channel();
        let (watch_event_sender, watch_events) = mpsc::channel(BATCH);
        let (command_sender, commands) = mpsc::channel(BATCH);
        let (batch_sender, command_batches) = mpsc::channel(BATCHES);
        let (status_sender, statuses) = mpsc::unbounded_channel();
        let (listed_sender, listed) = watch::channel(false);

        // The writer, and Events about what it wrote.
        let (publisher, events) = status_thread.on(|| Publisher::start(status_client.clone(), settings.pod_name));
        let probe = Arc::new(Probe::new(cluster.clone()));
        let writer = Writer::new(
            (Cluster::new(status_client.clone()), settings.store.clone()),
            Arc::clone(&probe),
            publisher,
            notice_sender.clone(),
            metrics.clone(),
            status_thread.handle().clone(),
        );

        // The engine, with everything that it reads and stores in the cluster.
        let secrets = Arc::new(ClusterSecrets::new(cluster.clone(), settings.secret_label));
        let store = Arc::new(ClusterStore::new(Arc::clone(&writer)));
        let connectors = Arc::new(Connectors::new(cluster.clone(), settings.mounted));
        let tokens = Arc::new(ClusterTokens::new(cluster.clone(), Arc::clone(&secrets), Arc::clone(&connectors)));
        let context =
            EngineContext::new(settings.egress, metrics.clone(), Arc::clone(&secrets) as _, store, Arc::clone(&tokens) as _);
        let context = EngineContext { connect: settings.connect, cluster: settings.cluster_name, ..context };
        let context = context.with_bytes(settings.bytes);
        let tokens = context.parts(tokens);
        let journal = context.journal.clone();
        let engine = Engine::new(context, Run::Forever, status_sender);
        let engine = tokio::spawn(engine.run(command_batches, shutdown.clone(), settings.grace));

        // Who owns what.
        let give_back = CancellationToken::new();
        metrics.shards(sharing.ranges);
        let (shards, drains) =
            lease_thread.on(|| Shards::start(lease_client, &sharing, Arc::clone(&outages), give_back.clone()))?;

        // The watches, and the reconciler between them and the engine.
        let publication = Publication {
            connectors: Arc::clone(&connectors),
            cluster: cluster.clone(),
            store: settings.store.clone(),
            probe,
            sessions: Arc::clone(writer.sessions()),
            secrets,
            owned: shards.owned(),
            commands: command_sender,
        };
        // The reconciler lives until it is aborted, even when the watches have ended: drains are still to be reported.
        let kept_open = watch_event_sender.clone();
        let (connector_news, news_of_connectors) = mpsc::unbounded_channel();
        let connector_writer = ConnectorWriter::new(Cluster::new(status_client), shards.owned());
        let connector_statuses = status_thread.handle().spawn(connector_writer.run(news_of_connectors, shutdown.clone()));
        let reconciler = Reconciler::new(publication, namespaces.len(), listed_sender, connector_news);
        let reconciling = async move {
            reconciler.run(watch_events, notices).await;
            drop(kept_open);
        };
        let watches = Watches {
            client: client.clone(),
            namespaces: Arc::clone(&namespaces),
            relist: settings.relist,
            events: watch_event_sender,
            outages,
        };
        let watching = tokio::spawn(watches.run());
        let collecting = settings.store.map(|store| Collector {
            cluster: cluster.clone(),
            store,
            namespaces: Arc::clone(&namespaces),
            owned: shards.owned(),
            every: settings.relist,
        });
        let mut helpers = vec![
            connector_statuses,
            tokio::spawn(reconciling),
            tokio::spawn(batch(commands, batch_sender.clone())),
            tokio::spawn(follow_ownership(shards.owned(), drains, notice_sender.clone(), metrics.clone())),
            tokio::spawn(report_readiness(ready, listed, shards.health(), shutdown.clone())),
            tokio::spawn(report_missing_permissions(client, namespaces, sharing.namespace)),
        ];
        helpers.extend(collecting.map(|collector| tokio::spawn(collector.run())));

        let services = Services { cluster, connectors, commands: batch_sender, tokens, journal };
        let operator = Self {
            shutdown: shutdown.clone(),
            engine,
            statuses,
            watching,
            notices: notice_sender,
            writer,
            shards,
            sharing_ended: None,
            give_back,
            helpers,
            events,
            threads: [lease_thread, status_thread],
        };
        Ok((operator, services))
    }

    /// Hands statuses to the writer, and shows them to `on_status`, until the engine has ended: after `shutdown`, or because nothing is
    /// owned any more.
    pub async fn run(&mut self, on_status: impl Fn(&InstanceStatus)) {
        loop {
            tokio::select! {
                status = self.statuses.recv() => match status {
                    Some(status) => {
                        on_status(&status);
                        self.writer.report(status);
                    }
                    None => return,
                },
                ended = self.shards.ended(), if self.sharing_ended.is_none() => {
                    // Nothing is owned any more, so nothing may be done.
                    self.sharing_ended = Some(ended);
                    self.shutdown.cancel();
                }
            }
        }
    }

    /// Ends what is left once the engine has ended, in the order that loses nothing.
    ///
    /// # Errors
    /// What ended before it should.
    pub async fn finish(mut self) -> Result<(), RunError> {
        let engine = self.engine.await;
        self.watching.abort();
        self.writer.sessions().release_all();
        // The reconciler lives until it is aborted below.
        let _ = self.notices.send(Notice::EngineEnded);
        self.writer.finish(LAST_WRITES).await;
        // Last of all: the next holder finds everything stored.
        self.give_back.cancel();
        if self.sharing_ended.is_none() && tokio::time::timeout(LAST_WRITES, self.shards.ended()).await.is_err() {
            tracing::warn!("the Leases could not be given back: others wait until they run out");
        }
        for helper in self.helpers {
            helper.abort();
        }
        drop(self.writer);
        if tokio::time::timeout(LAST_WRITES, self.events).await.is_err() {
            tracing::debug!("not every Event was published before the end");
        }
        drop(self.threads);
        match (engine, self.sharing_ended) {
            (Ok(()), None) => Ok(()),
            (Ok(()), Some(_)) => Err(RunError::Sharing),
            (Err(_), _) => Err(RunError::Engine),
        }
    }
}

/// Hands single commands on in batches: what comes together is spread together.
async fn batch(mut commands: mpsc::Receiver<Command>, batches: mpsc::Sender<Vec<Command>>) {
    let mut batch = Vec::with_capacity(BATCH);
    while commands.recv_many(&mut batch, BATCH).await > 0 {
        if batches.send(std::mem::take(&mut batch)).await.is_err() {
            return;
        }
    }
}

/// Gives notice to the reconciler of what is ours, and of what is about to be another replica's.
async fn follow_ownership(
    mut owned: watch::Receiver<OwnedRanges>,
    mut drains: mpsc::Receiver<Drain>,
    notices: mpsc::UnboundedSender<Notice>,
    metrics: Metrics,
) {
    loop {
        // Not marked as seen: a change before the first turn is still to be reported.
        metrics.owned_shards(owned.borrow().iter().count());
        let notice = tokio::select! {
            changed = owned.changed() => match changed {
                Ok(()) => Notice::OwnershipChanged,
                Err(_) => return,
            },
            Some(drain) = drains.recv() => Notice::Drain(drain),
        };
        if notices.send(notice).is_err() {
            return;
        }
    }
}

/// Ready: everything was listed, and this process takes part in sharing the work, even if it has no shard.
async fn report_readiness(
    ready: watch::Sender<bool>,
    mut listed: watch::Receiver<bool>,
    mut health: watch::Receiver<Health>,
    shutdown: CancellationToken,
) {
    loop {
        let is_ready = *listed.borrow_and_update() && health.borrow_and_update().membership.is_ready();
        ready.send_if_modified(|ready| std::mem::replace(ready, is_ready) != is_ready);
        tokio::select! {
            () = shutdown.cancelled() => break,
            Ok(()) = listed.changed() => {}
            Ok(()) = health.changed() => {}
            else => break,
        }
    }
    ready.send_replace(false);
}

/// Reports once what is not permitted; what needs it fails later, with its own condition.
async fn report_missing_permissions(client: Client, namespaces: Arc<[String]>, lease_namespace: String) {
    match permissions::missing(&client, &namespaces, &lease_namespace).await {
        Ok(missing) => missing.iter().for_each(|missing| tracing::warn!("{missing}")),
        Err(error) => tracing::debug!(%error, "the API server was not asked for permissions"),
    }
}
