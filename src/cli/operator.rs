//! `pollinator operator`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use kube::{Client, Config};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{parse_allow_rule, parse_duration, stop_on_signals};
use crate::api::connector::ConnectorSpec;
use crate::catalog;
use crate::egress::hosts::HostBudget;
use crate::egress::{AllowRule, Egress, EgressPolicy};
use crate::fetch::walk::Asker;
use crate::observe::metrics::Metrics;
use crate::operator::cluster::Cluster;
use crate::operator::connectors::Connectors;
use crate::operator::events::Publisher;
use crate::operator::ownership;
use crate::operator::publish::Publication;
use crate::operator::reconcile::{Notice, Reconciler};
use crate::operator::secrets::ClusterSecrets;
use crate::operator::store::ClusterStore;
use crate::operator::watch::Watches;
use crate::operator::writer::Writer;
use crate::poll::core::Core;
use crate::poll::engine::{Engine, Run};

/// Commands that go to the engine together.
const BATCH: usize = 500;
/// How long statuses that wait may take at the end.
const LAST_WRITES: Duration = Duration::from_secs(5);
/// Deadline of a connection to the API server, unless the kubeconfig says otherwise.
const CONNECT: Duration = Duration::from_secs(10);

/// Runs every ConnectorInstance of a cluster. The cluster is that of KUBECONFIG, else the one that it runs in.
#[derive(Debug, Args)]
pub struct OperatorArgs {
    /// Only look at this namespace. Default: at all.
    #[arg(long, value_name = "NAMESPACE", env = "POLLINATOR_WATCH_NAMESPACE")]
    watch_namespace: Option<String>,
    /// Serve /metrics, /livez and /readyz at this address.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8080", env = "POLLINATOR_LISTEN")]
    listen: SocketAddr,
    /// Folder with catalogue entries of your own, one Connector a file; they win over the built-in ones. Default: none.
    #[arg(long, value_name = "DIR", env = "POLLINATOR_CATALOG")]
    catalog: Option<PathBuf>,
    /// Also allow providers and callbacks in this network or at this host, for example 10.0.0.0/8 or intranet.example; may be
    /// repeated. Default: public addresses only.
    #[arg(long, value_name = "CIDR|HOST", value_parser = parse_allow_rule, env = "POLLINATOR_ALLOW_EGRESS", value_delimiter = ',')]
    allow_egress: Vec<AllowRule>,
    /// How long requests under way may take to end after SIGTERM, for example 20s.
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = parse_duration, env = "POLLINATOR_GRACE")]
    grace: Duration,
    /// Name under which Events are reported. Default: the host name.
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pod_name: Option<String>,
}

/// Runs until SIGTERM or SIGINT. 2 when it cannot start.
pub async fn run(args: OperatorArgs) -> ExitCode {
    match start(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("pollinator: {message}");
            ExitCode::from(2)
        }
    }
}

async fn start(args: OperatorArgs) -> Result<(), String> {
    let mounted = args.catalog.as_deref().map(mounted).transpose()?.unwrap_or_default();
    let policy = EgressPolicy { allow: args.allow_egress, allow_loopback: false };
    let egress = Egress::new(policy).map_err(|error| format!("the HTTP client cannot be made: {error}"))?;
    let mut config = Config::infer().await.map_err(|error| {
        format!("no cluster is configured: {error}; set KUBECONFIG, or run it in a pod with a service account")
    })?;
    config.connect_timeout = config.connect_timeout.or(Some(CONNECT));
    // A repeated write would hide its conflict, and a watch repeats by itself.
    config.default_retry = false;
    let client = Client::try_from(config).map_err(|error| format!("the client of the cluster cannot be made: {error}"))?;
    let metrics = Metrics::new();
    let shutdown = CancellationToken::new();
    stop_on_signals(shutdown.clone())?;
    let (ready, is_ready) = watch::channel(false);
    let listener =
        tokio::net::TcpListener::bind(args.listen).await.map_err(|error| format!("--listen {}: {error}", args.listen))?;
    if let Ok(bound) = listener.local_addr() {
        tracing::info!(address = %bound, "serving /metrics, /livez and /readyz");
    }
    let serving = tokio::spawn(crate::observe::server::serve(listener, metrics.clone(), is_ready));

    let cluster = Cluster::new(client.clone());
    let (publisher, publishing) = Publisher::start(client.clone(), args.pod_name);
    let (notices, heard) = mpsc::unbounded_channel();
    let writer = Writer::new(cluster.clone(), publisher, notices.clone());
    let secrets = Arc::new(ClusterSecrets::new(cluster.clone()));
    let core = Core {
        asker: Asker { egress: egress.clone(), hosts: HostBudget::default(), metrics: metrics.clone() },
        egress,
        secrets: Arc::clone(&secrets) as _,
        store: Arc::new(ClusterStore::new(Arc::clone(&writer))),
        metrics,
    };
    let (reports, mut statuses) = mpsc::unbounded_channel();
    let (batches, received) = mpsc::channel(16);
    let engine = tokio::spawn(Engine::new(core, Run::Forever, reports).run(received, shutdown.clone(), args.grace));

    let (commands, mut commanded) = mpsc::channel(BATCH);
    let batching = tokio::spawn(async move {
        let mut batch = Vec::with_capacity(BATCH);
        while commanded.recv_many(&mut batch, BATCH).await > 0 {
            if batches.send(std::mem::take(&mut batch)).await.is_err() {
                return;
            }
        }
    });
    let publication = Publication {
        connectors: Arc::new(Connectors::new(cluster.clone(), mounted)),
        cluster,
        sessions: Arc::clone(writer.sessions()),
        secrets,
        ownership: Arc::new(ownership::Sole),
        commands,
    };
    let (sights, seen) = mpsc::channel(BATCH);
    let watching = tokio::spawn(Watches { client, namespace: args.watch_namespace, sights }.run());
    let reconciling = tokio::spawn(Reconciler::new(publication, ready.clone()).run(seen, heard));

    let unready = tokio::spawn(async move {
        shutdown.cancelled().await;
        ready.send_replace(false);
    });
    while let Some(status) = statuses.recv().await {
        writer.report(status);
    }
    let ended = engine.await;
    for task in [watching, reconciling, batching, unready] {
        task.abort();
    }
    writer.finish(LAST_WRITES).await;
    drop(writer);
    if tokio::time::timeout(LAST_WRITES, publishing).await.is_err() {
        tracing::debug!("not every Event was published before the end");
    }
    serving.abort();
    drop::<mpsc::UnboundedSender<Notice>>(notices);
    ended.map_err(|_| "the engine ended unexpectedly; please report this with the log".to_owned())
}

/// The entries of a catalogue folder, by name.
fn mounted(folder: &Path) -> Result<BTreeMap<String, ConnectorSpec>, String> {
    let mut entries = BTreeMap::new();
    let mut errors = Vec::new();
    for file in crate::local::definitions::files(&[folder.to_owned()], &mut errors) {
        match std::fs::read_to_string(&file) {
            Ok(text) => match catalog::entry(&file.display().to_string(), &text) {
                Ok((name, connector)) => drop(entries.insert(name, connector)),
                Err(refusals) => errors.extend(refusals),
            },
            Err(error) => errors.push(format!("{}: cannot be read: {error}", file.display())),
        }
    }
    if errors.is_empty() { Ok(entries) } else { Err(errors.join("\n")) }
}
