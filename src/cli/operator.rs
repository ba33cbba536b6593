//! `pollinator operator`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::cluster::ClusterArgs;
use super::own_thread::OwnThread;
use super::serve::{self, ConnectArgs};
use super::{MemoryArgs, parse_allow_rule, parse_cluster_name, parse_duration, stop_on_signals};
use crate::api::connector::ConnectorSpec;
use crate::catalog;
use crate::connect::flow::Flow;
use crate::egress::{AllowRule, Egress, EgressPolicy};
use crate::instances::changes::StatusChanges;
use crate::instances::cluster::ClusterInstances;
use crate::instances::consents::InstanceCandidates;
use crate::observe::metrics::Metrics;
use crate::observe::output;
use crate::operator::cluster::Cluster;
use crate::operator::connectors::Connectors;
use crate::operator::events::Publisher;
use crate::operator::notice::Notice;
use crate::operator::permissions;
use crate::operator::probe::Probe;
use crate::operator::publish::Publication;
use crate::operator::reconcile::Reconciler;
use crate::operator::secrets::ClusterSecrets;
use crate::operator::shards::lease;
use crate::operator::shards::range::DEFAULT_RANGES;
use crate::operator::shards::session::Membership;
use crate::operator::shards::timing::Timing;
use crate::operator::shards::{Drain, Health, OwnedRanges, Shards, ShardsConfig};
use crate::operator::store::ClusterStore;
use crate::operator::tokens::ClusterTokens;
use crate::operator::watch::{SHORTEST_RELIST, Watches};
use crate::operator::writer::Writer;
use crate::poll::command::Command;
use crate::poll::context::EngineContext;
use crate::poll::engine::{Engine, Run};

/// Commands that go to the engine together.
const BATCH: usize = 500;
/// How long statuses that wait may take at the end.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// Runs every ConnectorInstance of a cluster. The cluster is that of the kubeconfig, else the one that it runs in.
#[derive(Debug, Args)]
pub struct OperatorArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Only look at this namespace. Default: at all.
    #[arg(long, value_name = "NAMESPACE", env = "POLLINATOR_WATCH_NAMESPACE")]
    watch_namespace: Option<String>,
    /// Serve /metrics, /livez and /readyz at this address.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8080", env = "POLLINATOR_LISTEN")]
    listen: SocketAddr,
    #[command(flatten)]
    connect: ConnectArgs,
    /// Serve the connect page at this address; only with --connect-url.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8081", env = "POLLINATOR_CONNECT_LISTEN")]
    connect_listen: SocketAddr,
    /// How often everything is listed anew, in case a watch lost something; 10s or more.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_relist_interval, env = "POLLINATOR_RELIST_INTERVAL")]
    relist_interval: Duration,
    /// Folder with catalogue entries of your own, one Connector a file; they win over the built-in ones. Default: none.
    #[arg(long, value_name = "DIR", env = "POLLINATOR_CATALOG")]
    catalog: Option<PathBuf>,
    /// Also allow providers and callbacks in this network or at this host, for example 10.0.0.0/8 or intranet.example; may be
    /// repeated. Default: public addresses only.
    #[arg(long, value_name = "CIDR|HOST", value_parser = parse_allow_rule, env = "POLLINATOR_ALLOW_EGRESS", value_delimiter = ',')]
    allow_egress: Vec<AllowRule>,
    /// Name of this cluster, part of the source of CloudEvents, for receivers of several clusters: small letters, digits, - and ., up
    /// to 63. Default: none. Receivers see other sources after a change.
    #[arg(long, value_name = "NAME", value_parser = parse_cluster_name, env = "POLLINATOR_CLUSTER_NAME")]
    cluster_name: Option<String>,
    #[command(flatten)]
    memory: MemoryArgs,
    /// How long requests under way may take to end after SIGTERM, for example 20s.
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = parse_duration, env = "POLLINATOR_GRACE")]
    grace: Duration,
    /// Name under which Events are reported and Leases are held. Default: the host name.
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pod_name: Option<String>,
    /// Namespace of the Leases by which replicas share the work. Default: the namespace of the kubeconfig or of the pod.
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Name of the installation, prefix of the names of its Leases: replicas of one installation share the work.
    #[arg(long, value_name = "NAME", default_value = "pollinator", env = "POLLINATOR_LEASE_GROUP")]
    lease_group: String,
    /// How long a replica that died keeps its share, 2s to 2m in whole seconds.
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = parse_duration, env = "POLLINATOR_LEASE_DURATION")]
    lease_duration: Duration,
    /// Into how many shares the work is cut, the same for all replicas; 1 lets one replica do all. Change it only while none runs.
    #[arg(long, value_name = "COUNT", default_value_t = DEFAULT_RANGES, env = "POLLINATOR_SHARDS")]
    shards: u16,
    /// Only check what it needs of the cluster: an API server that answers, the custom resource definitions and permissions. Ends with
    /// 0, or with 1 and what is missing.
    #[arg(long)]
    check: bool,
}

/// Runs until SIGTERM or SIGINT. 2 when it cannot start.
pub async fn run(args: OperatorArgs) -> ExitCode {
    if args.check {
        return check(&args).await;
    }
    match start(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            output::error(format_args!("pollinator: {message}"));
            ExitCode::from(2)
        }
    }
}

async fn start(args: OperatorArgs) -> Result<(), String> {
    let mounted = args.catalog.as_deref().map(mounted).transpose()?.unwrap_or_default();
    let policy = EgressPolicy { allow: args.allow_egress.clone(), allow_loopback: false };
    let egress = Egress::new(policy).map_err(|error| format!("the HTTP client cannot be made: {error}"))?;
    let config = args.cluster.config().await?;
    let unusable = |error| format!("the client of the cluster cannot be made: {error}");
    let sharing = sharing(&args, &config.default_namespace)?;
    // Claims and statuses wait for no instance, and claims not for statuses: a client's connections belong to the thread on which it is made.
    let keeping = OwnThread::start("leases")?;
    let lease_client = keeping.on(|| lease::client(config.clone())).map_err(unusable)?;
    let telling = OwnThread::start("statuses")?;
    let status_client = telling.on(|| Client::try_from(config.clone())).map_err(unusable)?;
    let client = Client::try_from(config).map_err(unusable)?;
    let metrics = Metrics::new();
    let shutdown = CancellationToken::new();
    stop_on_signals(shutdown.clone())?;
    let (listed, is_listed) = watch::channel(false);
    let (ready, is_ready) = watch::channel(false);
    let serving = serve::health(args.listen, metrics.clone(), is_ready).await?;

    let cluster = Cluster::new(client.clone());
    let (publisher, publishing) = telling.on(|| Publisher::start(status_client.clone(), args.pod_name));
    let (notices, heard) = mpsc::unbounded_channel();
    let probe = Arc::new(Probe::new(cluster.clone()));
    let status_cluster = Cluster::new(status_client);
    let writer =
        Writer::new(status_cluster, Arc::clone(&probe), publisher, notices.clone(), metrics.clone(), telling.handle().clone());
    let secrets = Arc::new(ClusterSecrets::new(cluster.clone()));
    let store = Arc::new(ClusterStore::new(Arc::clone(&writer)));
    let connectors = Arc::new(Connectors::new(cluster.clone(), mounted));
    let tokens = Arc::new(ClusterTokens::new(cluster.clone(), Arc::clone(&secrets), Arc::clone(&connectors)));
    let core = EngineContext::new(egress, metrics.clone(), Arc::clone(&secrets) as _, store, Arc::clone(&tokens) as _);
    let cluster_name = args.cluster_name.as_deref().map(Arc::from);
    let core = EngineContext { connect: args.connect.connect_url.clone(), cluster: cluster_name, ..core };
    let core = core.with_bytes(args.memory.budget());
    let parts = core.parts(tokens);
    let (reports, mut statuses) = mpsc::unbounded_channel();
    let (batches, received) = mpsc::channel(16);
    let engine = tokio::spawn(Engine::new(core, Run::Forever, reports).run(received, shutdown.clone(), args.grace));
    let (commands, commanded) = mpsc::channel(BATCH);
    let (changes, consented) = (StatusChanges::default(), batches.clone());
    let batching = tokio::spawn(batch(commanded, batches));

    let give_back = CancellationToken::new();
    let (mut shards, drains) = keeping
        .on(|| Shards::start(lease_client, &sharing, give_back.clone()))
        .map_err(|error| format!("sharing the work: {error}"))?;
    let connecting = match args.connect.connect_url {
        None => None,
        Some(address) => {
            let instances = ClusterInstances::new(cluster.clone(), args.watch_namespace.clone(), changes.clone());
            let (instances, plans) = (Arc::new(instances), Arc::clone(&connectors) as _);
            let candidates = Arc::new(InstanceCandidates { instances, plans, commands: consented });
            let flow = Flow { address, candidates, parts };
            Some(serve::connect(flow, args.connect_listen, shutdown.clone()).await?)
        }
    };
    let publication = Publication {
        connectors,
        cluster,
        probe,
        sessions: Arc::clone(writer.sessions()),
        secrets,
        owned: shards.owned(),
        commands,
    };
    let (events, seen) = mpsc::channel(BATCH);
    let asking =
        tokio::spawn(tell_missing_permissions(client.clone(), args.watch_namespace.clone(), sharing.namespace.clone()));
    let watching = tokio::spawn(
        Watches { client, namespace: args.watch_namespace, relist: args.relist_interval, events: events.clone() }.run(),
    );
    let reconciling = tokio::spawn(Reconciler::new(publication, listed).run(seen, heard));
    let following = tokio::spawn(follow_ownership(shards.owned(), drains, notices.clone(), metrics.clone()));
    let readying = tokio::spawn(tell_readiness(ready, is_listed, shards.health(), shutdown.clone()));

    let mut left_alone = None;
    loop {
        tokio::select! {
            status = statuses.recv() => match status {
                Some(status) => {
                    changes.publish(&status);
                    writer.report(status);
                }
                None => break,
            },
            ended = shards.ended(), if left_alone.is_none() => {
                // Nothing is owned any more, so nothing may be done.
                left_alone = Some(ended);
                shutdown.cancel();
            }
        }
    }
    serve::finish(connecting, args.grace).await;
    let ended = engine.await;
    watching.abort();
    writer.sessions().release_all();
    // The reconciler lives until it is told to end.
    let _ = notices.send(Notice::EngineEnded);
    writer.finish(LAST_WRITES).await;
    // Last of all: whoever comes next finds everything stored.
    give_back.cancel();
    if left_alone.is_none() && tokio::time::timeout(LAST_WRITES, shards.ended()).await.is_err() {
        tracing::warn!("the Leases could not be given back: others wait until they run out");
    }
    for task in [reconciling, batching, following, readying, asking] {
        task.abort();
    }
    drop((events, writer));
    if tokio::time::timeout(LAST_WRITES, publishing).await.is_err() {
        tracing::debug!("not every Event was published before the end");
    }
    drop(serving);
    match (ended, left_alone) {
        (Ok(()), None) => Ok(()),
        (Ok(()), Some(_)) => {
            Err("the part that shares the work ended unexpectedly; please report this with the log".to_owned())
        }
        (Err(_), _) => Err("the engine ended unexpectedly; please report this with the log".to_owned()),
    }
}

/// Says what is missing, on standard output.
async fn check(args: &OperatorArgs) -> ExitCode {
    match check_cluster(args).await {
        Ok(lines) if lines.is_empty() => {
            output::line("the API server answers, the definitions are there, no permission is missing");
            output::finish(ExitCode::SUCCESS)
        }
        Ok(lines) => {
            lines.iter().for_each(output::line);
            output::finish(ExitCode::from(1))
        }
        Err(message) => {
            output::error(format_args!("pollinator: {message}"));
            ExitCode::from(2)
        }
    }
}

async fn check_cluster(args: &OperatorArgs) -> Result<Vec<String>, String> {
    args.catalog.as_deref().map(mounted).transpose()?;
    let config = args.cluster.config().await?;
    let leases = args.lease_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let server = config.cluster_url.clone();
    let client = Client::try_from(config).map_err(|error| format!("the client of the cluster cannot be made: {error}"))?;
    let unanswered = |error| unanswered(&server, &error);
    let kinds = permissions::unserved(&client).await.map_err(unanswered)?;
    let definitions = kinds.into_iter().map(|kind| {
        format!("the definition of {kind} is missing: apply what `pollinator crds` prints, or set crds.enabled of the chart")
    });
    let missing = permissions::missing(&client, args.watch_namespace.as_deref(), &leases).await.map_err(unanswered)?;
    Ok(definitions.chain(missing.iter().map(ToString::to_string)).collect())
}

/// Why the API server did not answer, with what is to be mended.
fn unanswered(server: &http::Uri, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 401 => format!(
            "the API server {server} refuses the credentials: renew those of the kubeconfig, or see whether the pod's service account is \
             still there"
        ),
        kube::Error::Api(status) => format!("the API server {server} answered {}: {}", status.code, status.message),
        error => {
            let mut cause: &dyn std::error::Error = error;
            while let Some(source) = cause.source() {
                cause = source;
            }
            format!(
                "the API server {server} cannot be reached: {cause}; correct the address in the kubeconfig, or open the way to it, such as \
                 networkPolicy.apiServerPorts of the chart"
            )
        }
    }
}

/// A duration that leaves the API server in peace.
fn parse_relist_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    if interval < SHORTEST_RELIST {
        return Err(format!("must be {}s or more", SHORTEST_RELIST.as_secs()));
    }
    Ok(interval)
}

/// Tells once what is not permitted; what needs it fails later, with its own condition.
async fn tell_missing_permissions(client: Client, watched: Option<String>, leases: String) {
    match permissions::missing(&client, watched.as_deref(), &leases).await {
        Ok(missing) => missing.iter().for_each(|missing| tracing::warn!("{missing}")),
        Err(error) => tracing::debug!(%error, "the API server was not asked for permissions"),
    }
}

/// How the work is shared.
fn sharing(args: &OperatorArgs, own_namespace: &str) -> Result<ShardsConfig, String> {
    let seconds = u32::try_from(args.lease_duration.as_secs()).unwrap_or(u32::MAX);
    let timing = Timing::of_lease(seconds).map_err(|error| format!("--lease-duration: {error}"))?;
    let host = || std::env::var("HOSTNAME").unwrap_or_default();
    let name = args.pod_name.clone().unwrap_or_else(host).to_ascii_lowercase();
    let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let identity = if name.is_empty() { "operator" } else { name };
    Ok(ShardsConfig {
        group: args.lease_group.clone(),
        ranges: args.shards,
        timing,
        drain_bound: args.grace,
        ..ShardsConfig::new(args.lease_namespace.as_deref().unwrap_or(own_namespace), identity)
    })
}

/// Hands single commands on in batches: what comes together is spread together.
async fn batch(mut commanded: mpsc::Receiver<Command>, batches: mpsc::Sender<Vec<Command>>) {
    let mut batch = Vec::with_capacity(BATCH);
    while commanded.recv_many(&mut batch, BATCH).await > 0 {
        if batches.send(std::mem::take(&mut batch)).await.is_err() {
            return;
        }
    }
}

/// Tells the reconciler what is ours, and what is about to be somebody else's.
async fn follow_ownership(
    mut owned: watch::Receiver<OwnedRanges>,
    mut drains: mpsc::Receiver<Drain>,
    notices: mpsc::UnboundedSender<Notice>,
    metrics: Metrics,
) {
    loop {
        // Not marked as seen: a change before the first turn is still to be told.
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

/// Ready: everything was listed, and this process takes part in sharing the work, be its share empty.
async fn tell_readiness(
    ready: watch::Sender<bool>,
    mut listed: watch::Receiver<bool>,
    mut health: watch::Receiver<Health>,
    shutdown: CancellationToken,
) {
    loop {
        let is_ready = *listed.borrow_and_update() && health.borrow_and_update().membership == Membership::Member;
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

/// The entries of a catalogue folder, by name.
fn mounted(folder: &Path) -> Result<BTreeMap<String, ConnectorSpec>, String> {
    let mut entries = BTreeMap::new();
    let mut errors = Vec::new();
    for file in crate::local::files::in_folder(folder) {
        match file.map_err(|error| vec![error]).and_then(|(name, text)| catalog::entry(&name, &text)) {
            Ok((name, connector)) => drop(entries.insert(name, connector)),
            Err(refusals) => errors.extend(refusals),
        }
    }
    if errors.is_empty() { Ok(entries) } else { Err(errors.join("\n")) }
}
