//! `pollinator operator`.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::cluster::{ClusterArgs, each_once, open_store, parse_namespace};
use super::own_catalog::CatalogFolder;
use super::preview::Trials;
use super::serve::{self, ClusterConsoleArgs, ConnectArgs};
use super::{MemoryArgs, PortArgs, parse_allow_rule, parse_cluster_name, parse_duration, stop_on_signals};
use crate::connect::flow::Flow;
use crate::egress::{AllowRule, Egress, EgressPolicy};
use crate::instances::callers::{CallerInstances, Callers};
use crate::instances::changes::StatusChanges;
use crate::instances::cluster::ClusterInstances;
use crate::instances::consents::InstanceCandidates;
use crate::instances::current::Current;
use crate::observe::metrics::Metrics;
use crate::observe::output;
use crate::operator::check;
use crate::operator::required_label::RequiredLabel;
use crate::operator::run::{Operator, Settings};
use crate::operator::shards::ShardsConfig;
use crate::operator::shards::range::DEFAULT_RANGES;
use crate::operator::shards::scope::Scope;
use crate::operator::shards::timing::Timing;
use crate::operator::watch::SHORTEST_RELIST;
use crate::serve::console::Content;
use crate::serve::console::sign_in::SignIn;
use crate::serve::elements::namespaces::Namespaces;
use crate::state::store_url::StoreUrl;

/// Runs every ConnectorInstance of a cluster. The cluster is that of the kubeconfig, else the one that it runs in.
#[derive(Debug, Args)]
// the last one counts, so that the chart's own can be replaced by its value `operator.extraArgs`
#[command(args_override_self = true)]
#[allow(clippy::doc_markdown)] // the help shows it as it is
pub struct OperatorArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Watch only this namespace, for which a Role is enough; may be repeated. Default: all namespaces.
    #[arg(long, value_name = "NAMESPACE", value_parser = parse_namespace, env = "POLLINATOR_WATCH_NAMESPACE", value_delimiter = ',')]
    watch_namespace: Vec<String>,
    /// Let instances use only Secrets with this label. Default: all Secrets of their namespace.
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = RequiredLabel::parse, env = "POLLINATOR_SECRET_LABEL")]
    secret_label: Option<RequiredLabel>,
    /// Serve /metrics, /livez and /readyz at this address.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8080", env = "POLLINATOR_LISTEN")]
    listen: SocketAddr,
    #[command(flatten)]
    connect: ConnectArgs,
    /// Serve the connect page at this address; only with --connect-url.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8081", env = "POLLINATOR_CONNECT_LISTEN")]
    connect_listen: SocketAddr,
    #[command(flatten)]
    console: ClusterConsoleArgs,
    /// Keep the known records of large resources in this store instead of ConfigMaps: s3://BUCKET/PREFIX, gs://BUCKET/PREFIX,
    /// az://CONTAINER/PREFIX or file:///ABSOLUTE/PATH. Credentials are those of the environment. Default: ConfigMaps.
    #[arg(long, value_name = "URL", env = "POLLINATOR_STATE_STORE")]
    state_store: Option<StoreUrl>,
    /// How often everything is listed again, in case a watch missed something; 10s or more.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_relist_interval, env = "POLLINATOR_RELIST_INTERVAL")]
    relist_interval: Duration,
    #[command(flatten)]
    catalog: CatalogFolder,
    /// Also allow providers and callbacks in this network or at this host, for example 10.0.0.0/8 or intranet.example; may be
    /// repeated. Default: public addresses only.
    #[arg(long, value_name = "CIDR|HOST", value_parser = parse_allow_rule, env = "POLLINATOR_ALLOW_EGRESS", value_delimiter = ',')]
    allow_egress: Vec<AllowRule>,
    #[command(flatten)]
    ports: PortArgs,
    /// Name of this cluster, part of the source of CloudEvents, for receivers of several clusters: lower case letters, digits, -
    /// and ., up to 63. Default: none. Receivers see other sources after a change.
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
    /// How long a replica that died keeps its shards, 2s to 2m in whole seconds.
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = parse_duration, env = "POLLINATOR_LEASE_DURATION")]
    lease_duration: Duration,
    /// Number of shards, the same for all replicas; with 1, one replica does all the work. Change it only while no replica runs.
    #[arg(long, value_name = "COUNT", default_value_t = DEFAULT_RANGES, env = "POLLINATOR_SHARDS")]
    shards: u16,
    /// Only check what the operator needs from the cluster: an API server that answers, the custom resource definitions and
    /// permissions. Exits with 0, or with 1 and a list of what is missing.
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
    let mounted = args.catalog.read()?.specs;
    let policy =
        EgressPolicy { allow: args.allow_egress.clone(), allow_loopback: false, ports: args.ports.allow_ports.clone() };
    let egress = Egress::new(policy).map_err(|error| format!("the HTTP client cannot be created: {error}"))?;
    let config = args.cluster.config().await?;
    let namespaces: Arc<[String]> = each_once(&args.watch_namespace).into();
    let store = args.state_store.as_ref().map(|url| open_store(url, &config)).transpose()?;
    let (caller_config, caller_mounted) = (config.clone(), mounted.clone());
    let (seal, trials) = (args.console.seal()?, Trials::new(egress.clone()));
    let sharing = sharing(&args, &config.default_namespace)?;
    let replica = sharing.identity.clone();
    let settings = Settings {
        sharing,
        config,
        egress,
        mounted,
        namespaces: Arc::clone(&namespaces),
        secret_label: args.secret_label.clone(),
        store,
        relist: args.relist_interval,
        connect: args.connect.connect_url.clone(),
        cluster_name: args.cluster_name.as_deref().map(Arc::from),
        bytes: args.memory.budget(),
        grace: args.grace,
        pod_name: args.pod_name,
    };
    let (metrics, shutdown) = (Metrics::new(), CancellationToken::new());
    stop_on_signals(shutdown.clone())?;
    let (ready, is_ready) = watch::channel(false);
    let serving = serve::health(args.listen, metrics.clone(), is_ready).await?;
    let (mut operator, services) = Operator::start(settings, &metrics, ready, &shutdown).map_err(|error| error.to_string())?;

    let (changes, current) = (StatusChanges::default(), Current::new(services.commands.clone()));
    let connecting = match args.connect.connect_url {
        None => None,
        Some(address) => {
            let instances = ClusterInstances::new(services.cluster, Arc::clone(&namespaces), changes.clone());
            let (instances, plans) = (Arc::new(instances), services.connectors as _);
            let candidates = Arc::new(InstanceCandidates { instances, plans, commands: services.commands });
            let console = args.console.console_listen.and(args.console.console_url.clone());
            let flow = Flow { address, console, candidates, parts: services.tokens };
            Some(serve::connect(flow, args.connect_listen, shutdown.clone()).await?)
        }
    };
    let callers =
        Callers::new(&caller_config).map_err(|error| format!("the client of the API server cannot be created: {error}"))?;
    let callers = CallerInstances {
        callers: Arc::new(callers),
        watched: namespaces,
        secret_label: args.secret_label,
        mounted: Arc::new(caller_mounted),
        changes: changes.clone(),
    };
    let gate = Namespaces { instances: callers.clone(), journal: services.journal.clone() };
    let api = serve::cluster_api(args.connect.api, gate, shutdown.clone()).await?;
    let content = Content {
        sign_in: SignIn::Token(callers),
        seal,
        next_step: "Create one here, or apply a manifest with kubectl.".to_owned(),
        replica: Some(replica),
        journal: services.journal,
        current,
        preview: Arc::new(trials),
        sample: None,
    };
    let console = serve::cluster_console(content, args.console, shutdown.clone()).await?;
    operator.run(|status| changes.publish(status)).await;
    serve::finish([connecting, api, console], args.grace).await;
    let ended = operator.finish().await;
    drop(serving);
    ended.map_err(|error| error.to_string())
}

/// Says what is missing, on standard output.
async fn check(args: &OperatorArgs) -> ExitCode {
    match check_cluster(args).await {
        Ok(lines) if lines.is_empty() => {
            output::line("the API server answers, the CRDs are installed, no permission is missing");
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
    args.catalog.read()?;
    let config = args.cluster.config().await?;
    let leases = args.lease_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    check::missing(config, &each_once(&args.watch_namespace), &leases).await.map_err(|error| error.to_string())
}

/// A duration that leaves the API server in peace.
fn parse_relist_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    if interval < SHORTEST_RELIST {
        return Err(format!("must be {}s or more", SHORTEST_RELIST.as_secs()));
    }
    Ok(interval)
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
        scope: Scope::of(&args.watch_namespace),
        timing,
        drain_bound: args.grace,
        ..ShardsConfig::new(args.lease_namespace.as_deref().unwrap_or(own_namespace), identity)
    })
}
