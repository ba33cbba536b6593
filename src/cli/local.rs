//! `pollinator local PATH…`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::preview::Trials;
use super::serve::{self, ConnectArgs, ConsoleArgs};
use super::{EgressArgs, ManifestArgs, MemoryArgs, parse_duration, stop_on_signals};
use crate::api::manifest::NAMESPACE;
use crate::auth::oauth2::parts::Parts;
use crate::connect::ConnectUrl;
use crate::connect::flow::Flow;
use crate::demo::sample::Sample;
use crate::egress::Egress;
use crate::instances::Instances;
use crate::instances::consents::InstanceCandidates;
use crate::instances::current::Current;
use crate::instances::folder::{self, FolderInstances};
use crate::local::api_credentials::ApiCredentials;
use crate::local::definitions::Definitions;
use crate::local::files::Least;
use crate::local::reload::{self, Reading, SharedSecrets};
use crate::local::report::{Output, Reporter};
use crate::observe::metrics::Metrics;
use crate::observe::{Journal, output};
use crate::poll::command::Command;
use crate::poll::context::EngineContext;
use crate::poll::engine::{Engine, Run};
use crate::serve::console::Content;
use crate::serve::console::sample::SampleInstance;
use crate::serve::console::seal::Seal;
use crate::serve::console::sign_in::SignIn;
use crate::serve::elements::access::{OwnSecrets, Realm};
use crate::state::directory::Directory;

/// Runs manifests from files or folders, without a cluster.
#[derive(Debug, Args)]
pub struct LocalArgs {
    #[command(flatten)]
    manifests: ManifestArgs,
    /// Folder that keeps cursors and what was delivered; one process at a time.
    #[arg(long, env = "POLLINATOR_STATE")]
    state: PathBuf,
    /// Poll every resource once, then exit: 0, or 1 when one failed.
    #[arg(long, conflicts_with_all = ["connect_url", "api_listen", "console"])]
    once: bool,
    /// How statuses are printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Serve /metrics, /livez and /readyz at this address, for example 127.0.0.1:9464.
    #[arg(long, env = "POLLINATOR_LISTEN")]
    listen: Option<SocketAddr>,
    /// How long requests under way may take to end after SIGTERM, for example 20s.
    #[arg(long, default_value = "20s", value_parser = parse_duration, env = "POLLINATOR_GRACE")]
    grace: Duration,
    #[command(flatten)]
    connect: ConnectArgs,
    /// Serve the connect page at this address; only with --connect-url.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8081", env = "POLLINATOR_CONNECT_LISTEN")]
    connect_listen: SocketAddr,
    #[command(flatten)]
    console: ConsoleArgs,
    #[command(flatten)]
    egress: EgressArgs,
    #[command(flatten)]
    memory: MemoryArgs,
}

/// Runs until SIGTERM or SIGINT, or once. 2 when it cannot start.
pub async fn run(args: LocalArgs) -> ExitCode {
    match start(args).await {
        Ok(code) => code,
        Err(message) => {
            output::error(format_args!("pollinator: {message}"));
            ExitCode::from(2)
        }
    }
}

async fn start(args: LocalArgs) -> Result<ExitCode, String> {
    let sources = args.manifests.sources();
    let has_folder = sources.folder().is_some();
    if args.connect.api.api_listen.is_some() && !has_folder {
        return Err("--api-listen needs a folder of manifests, to which it writes instances; name one as PATH".to_owned());
    }
    // The first instance may come by the API, or while the console shows that there is none.
    let is_added_to = args.connect.api.api_listen.is_some() || args.console.console.is_some();
    let sources = if is_added_to && has_folder { sources.with_least(Least::None) } else { sources };
    // Taken before the files are read: what changes from here on is picked up.
    let seen = sources.look(None);
    let mut definitions = Definitions::read(&sources).map_err(|errors| errors.to_string())?;
    definitions.others.iter().for_each(|other| tracing::info!("{other}"));
    let store = Arc::new(Directory::open(&args.state).map_err(|error| error.to_string())?);
    let is_there = |of: &_, identity: Option<&_>| folder::is_declared(sources.folder(), &definitions.declared, of, identity);
    store.end_unfinished(is_there).map_err(|error| format!("the state folder {}: {error}", args.state.display()))?;
    let egress = Egress::new(args.egress.policy()).map_err(|error| format!("the HTTP client cannot be created: {error}"))?;
    let trials = egress.clone();
    let secrets = Arc::new(SharedSecrets::new(definitions.secrets.clone()));
    let metrics = Metrics::new();
    let core = EngineContext::new(
        egress,
        metrics.clone(),
        Arc::clone(&secrets) as _,
        Arc::clone(&store) as _,
        Arc::clone(&store) as _,
    )
    .with_bytes(args.memory.budget());
    let core = EngineContext { connect: args.connect.connect_url.clone(), ..core };
    let shutdown = CancellationToken::new();
    stop_on_signals(shutdown.clone())?;
    let (ready, is_ready) = watch::channel(false);
    let _serving = match args.listen {
        Some(address) => Some(serve::health(address, metrics, is_ready).await?),
        None => None,
    };
    let (parts, journal) = (core.parts(Arc::clone(&store) as _), core.journal.clone());
    let run = if args.once { Run::Once } else { Run::Forever };
    let (reports, mut statuses) = mpsc::unbounded_channel();
    let (commands, received) = mpsc::channel(16);
    let has_people = is_added_to || args.connect.connect_url.is_some();
    let instances = has_people.then(|| {
        let folder = sources.folder().map(ToOwned::to_owned);
        Arc::new(FolderInstances::new(folder, store, sources.least(), &mut definitions, commands.clone()))
    });
    // Before anything that people ask for. There is room, and the receiver is here.
    let _ = commands.send(reload::first(&definitions)).await;
    let engine = tokio::spawn(Engine::new(core, run, reports).run(received, shutdown.clone(), args.grace));
    let serving = match &instances {
        Some(instances) => {
            let (instances, commands, stop) = (Arc::clone(instances), commands.clone(), shutdown.clone());
            let people = People { instances, commands, journal, parts, egress: trials, folder: sources.folder(), stop };
            people.serve(&args).await
        }
        None => Ok(Vec::new()),
    };
    let serving = match serving {
        Ok(serving) => serving,
        Err(message) => {
            shutdown.cancel();
            // What it has begun comes to its end and is saved.
            let _ = engine.await;
            return Err(message);
        }
    };
    let shown = instances.clone();
    // Without a served page no one looks at the manifests.
    let reading = move |reading: Reading<'_>| match (reading, &shown) {
        (Reading::Begins, Some(instances)) => instances.begin_reading(),
        (Reading::Begins, None) => {}
        (Reading::Ends(read), Some(instances)) => instances.replace(read),
        (Reading::Ends(read), None) => forget(read),
    };
    if instances.is_none() {
        forget(&mut definitions);
    }
    let _ = ready.send(true);
    let watching = match run {
        Run::Once => None,
        Run::Forever => Some(tokio::spawn(reload::watch(sources, seen, definitions, secrets, reading, commands.clone()))),
    };
    drop(commands);
    let mut reporter = Reporter::new(args.output);
    let mut warned = false;
    while let Some(status) = statuses.recv().await {
        let status = Arc::new(status);
        if let Some(instances) = &instances {
            instances.note(Arc::clone(&status));
        }
        reporter.take(status);
        if let (Some(failure), false) = (output::failure(), warned) {
            warned = true;
            tracing::warn!("{failure}; the running instances are not affected");
        }
    }
    serve::finish(serving, args.grace).await;
    let ended = engine.await;
    if let Some(watching) = watching {
        watching.abort();
    }
    if ended.is_err() {
        return Err("the engine ended unexpectedly; please report this with the log".to_owned());
    }
    if run == Run::Once && !shutdown.is_cancelled() {
        return Ok(if reporter.print_failures() { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    Ok(ExitCode::SUCCESS)
}

/// What people may use next to the engine.
struct People<'a> {
    instances: Arc<FolderInstances>,
    commands: mpsc::Sender<Vec<Command>>,
    journal: Journal,
    parts: Parts,
    egress: Egress,
    folder: Option<&'a Path>,
    stop: CancellationToken,
}

impl People<'_> {
    /// Serves what was asked for until it is stopped: the connect page, the instances API, the console.
    async fn serve(&self, args: &LocalArgs) -> Result<Vec<Option<JoinHandle<()>>>, String> {
        let (mut serving, mut console) = (Vec::new(), None);
        if let Some(address) = args.console.console {
            let content = self.console(&args.egress).await;
            let url = args.console.console_url.clone();
            let (task, origin) = serve::console("--console", content, url, address, self.stop.clone()).await?;
            serving.push(Some(task));
            console = Some(origin);
        }
        if let Some(address) = &args.connect.connect_url {
            serving.push(Some(self.connect(address.clone(), args.connect_listen, console).await?));
        }
        if let Some(address) = args.connect.api.api_listen {
            serving.push(Some(self.api(&args.state, address).await?));
        }
        Ok(serving)
    }

    async fn connect(
        &self,
        address: ConnectUrl,
        listen: SocketAddr,
        console: Option<ConnectUrl>,
    ) -> Result<JoinHandle<()>, String> {
        let candidates = InstanceCandidates {
            instances: Arc::clone(&self.instances) as _,
            plans: Arc::clone(&self.instances) as _,
            commands: self.commands.clone(),
        };
        let flow = Flow { address, console, candidates: Arc::new(candidates), parts: self.parts.clone() };
        serve::connect(flow, listen, self.stop.clone()).await
    }

    async fn api(&self, state: &Path, listen: SocketAddr) -> Result<JoinHandle<()>, String> {
        let credentials = ApiCredentials::open(state).map_err(|error| error.to_string())?;
        if !listen.ip().is_loopback() {
            tracing::warn!(
                "--api-listen={listen}: others can reach this address, and the API is served without TLS: secrets and credentials can be read in \
                 transit; listen on 127.0.0.1 behind a proxy that serves https"
            );
        }
        tracing::info!("the user and organization secrets of the instances API are in {}", credentials.file.display());
        let instances = Arc::clone(&self.instances) as _;
        let realm = Realm { instances, journal: self.journal.clone(), namespace: None, new_in: NAMESPACE.to_owned() };
        let gate = OwnSecrets::new(&credentials.user, &credentials.organization, realm);
        serve::api(gate, listen, self.stop.clone()).await
    }

    async fn console(&self, egress: &EgressArgs) -> Content {
        let next_step = match self.folder {
            Some(folder) => {
                format!("Create one here, or add a manifest to {}, which is picked up within a few seconds.", folder.display())
            }
            None => "Start Pollinator again with a folder of manifests.".to_owned(),
        };
        let has_folder = self.folder.is_some();
        let sign_in = SignIn::Url {
            sessions: Mutex::default(),
            instances: Arc::clone(&self.instances) as _,
            new_in: has_folder.then(|| NAMESPACE.to_owned()),
        };
        Content {
            sign_in,
            seal: Seal::random(),
            next_step,
            replica: None,
            journal: self.journal.clone(),
            current: Current::new(self.commands.clone()),
            preview: Arc::new(Trials::new(self.egress.clone())),
            sample: sample(egress, has_folder, &*self.instances, &self.stop).await,
        }
    }
}

/// The sample instance that the console offers, where one can be written and polled.
async fn sample(
    egress: &EgressArgs,
    has_folder: bool,
    instances: &dyn Instances,
    shutdown: &CancellationToken,
) -> Option<Arc<dyn SampleInstance>> {
    if !has_folder || !egress.policy().allow_loopback {
        return None;
    }
    let sample = Sample::new(NAMESPACE, shutdown.clone());
    if let Err(problem) = sample.resume(instances).await {
        tracing::warn!("the servers of the sample instance are not running: {problem}");
    }
    Some(Arc::new(sample))
}

/// Drops what is read for those who show or create instances.
fn forget(read: &mut Definitions) {
    read.declared.clear();
}
