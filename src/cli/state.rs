//! `pollinator state export` and `pollinator state import`; `state move` is in `relocation`.

mod relocation;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use kube::Client;

use self::relocation::MoveArgs;
use super::cluster::{ClusterArgs, open_store};
use crate::api::identity::InstanceRef;
use crate::api::{manifest, names};
use crate::observe::output;
use crate::operator::cluster::Cluster;
use crate::operator::transfer::{self, Existing};
use crate::state::backup::{self, SavedInstance};
use crate::state::directory::Directory;
use crate::state::external_store::ExternalStore;
use crate::state::folder::replace;
use crate::state::store_url::StoreUrl;
use crate::state::{StateStore as _, bystander};

/// Said with every export.
const LEFT_OUT: &str =
    "the file has no Secrets and no tokens of OAuth 2.0; take those along yourself, or connect again at the new place";

/// Saves and restores the state of instances: cursors, what is known, events that wait, and the identity that event ids depend on.
#[derive(Debug, Args)]
pub struct StateArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::doc_markdown)] // the help shows it as it is
enum Action {
    /// Write the state of instances into one file, while they run or not.
    Export(ExportArgs),
    /// Read the state of instances from such a file; their events keep their ids.
    Import(ImportArgs),
    /// Move what the instances of a cluster remember from ConfigMaps to a state store, back, or between two stores.
    Move(MoveArgs),
}

/// Where the state is.
#[derive(Debug, Args)]
struct PlaceArgs {
    /// The state folder of `pollinator local`. Default: the cluster of the kubeconfig.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["kubeconfig", "context"])]
    state: Option<PathBuf>,
    /// The state store of the operator, if it has one.
    #[arg(long, value_name = "URL", env = "POLLINATOR_STATE_STORE", conflicts_with = "state")]
    state_store: Option<StoreUrl>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Debug, Args)]
struct ExportArgs {
    /// Names of instances. Default: all in the namespace that have a state.
    #[arg(value_name = "NAME", value_parser = parse_name)]
    names: Vec<String>,
    /// Namespace of the instances. Default: that of the kubeconfig; in a folder, default.
    #[arg(short, long, value_name = "NAMESPACE", value_parser = parse_namespace)]
    namespace: Option<String>,
    /// All instances of all namespaces.
    #[arg(short = 'A', long, conflicts_with_all = ["names", "namespace"])]
    all_namespaces: bool,
    /// The file, which must not exist; - for standard output. It holds the records of events that wait, so keep it as private as they are.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// The file; - for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only these instances of the file. Default: all.
    #[arg(value_name = "NAME", value_parser = parse_name)]
    names: Vec<String>,
    /// Namespace into which all go. Default: those in the file.
    #[arg(short, long, value_name = "NAMESPACE", value_parser = parse_namespace)]
    namespace: Option<String>,
    /// Replace the state of instances that have one.
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// 0 when all went well, 1 when that of an instance did not, 2 when it could not start.
pub async fn run(args: StateArgs) -> ExitCode {
    let ended = match args.action {
        Action::Export(args) => export(args).await,
        Action::Import(args) => import(args).await,
        Action::Move(args) => relocation::run(args).await,
    };
    match ended {
        Ok(code) => output::finish(code),
        Err(message) => {
            output::error(format_args!("pollinator: {message}"));
            ExitCode::from(2)
        }
    }
}

/// A place where state is read.
enum Source {
    Folder(PathBuf),
    Cluster(Cluster, Option<ExternalStore>),
}

impl PlaceArgs {
    /// The place, and the namespace in which it is looked when none is named.
    async fn source(&self) -> Result<(Source, String), String> {
        match &self.state {
            Some(folder) => Ok((Source::Folder(folder.clone()), manifest::NAMESPACE.to_owned())),
            None => self.connect().await.map(|(cluster, store, namespace)| (Source::Cluster(cluster, store), namespace)),
        }
    }

    async fn connect(&self) -> Result<(Cluster, Option<ExternalStore>, String), String> {
        let config = self.cluster.config().await?;
        let namespace = config.default_namespace.clone();
        let store = self.state_store.as_ref().map(|url| open_store(url, &config)).transpose()?;
        let client = Client::try_from(config).map_err(|error| format!("the cluster cannot be reached: {error}"))?;
        Ok((Cluster::new(client), store, namespace))
    }
}

impl Source {
    async fn instances(&self, namespace: Option<&str>) -> Result<Vec<InstanceRef>, String> {
        match self {
            Self::Folder(folder) => {
                let all = bystander::instances(folder);
                let mut all = all.map_err(|error| format!("--state {}: {error}", folder.display()))?;
                all.retain(|instance| namespace.is_none_or(|namespace| *instance.namespace == *namespace));
                Ok(all)
            }
            Self::Cluster(cluster, _) => transfer::instances(cluster, namespace).await.map_err(|error| error.to_string()),
        }
    }

    async fn read(&self, instance: &InstanceRef) -> Result<SavedInstance, String> {
        let state = match self {
            Self::Folder(folder) => bystander::read(folder, instance).map_err(|problem| problem.message)?,
            Self::Cluster(cluster, store) => {
                Some(transfer::read(cluster, store.as_ref(), instance).await.map_err(|error| error.to_string())?)
            }
        };
        let state = state.filter(backup::is_living);
        let state = state.ok_or("it has no state yet, so there is nothing to export; wait for its first poll")?;
        Ok(SavedInstance { instance: instance.clone(), state })
    }
}

async fn export(args: ExportArgs) -> Result<ExitCode, String> {
    let is_file = args.out != Path::new("-");
    if is_file && args.out.symlink_metadata().is_ok() {
        return Err(format!("--out {} exists, and no backup is replaced; name another file", args.out.display()));
    }
    let (source, namespace) = args.place.source().await?;
    let namespace = args.namespace.unwrap_or(namespace);
    let instances = if args.names.is_empty() {
        source.instances((!args.all_namespaces).then_some(&namespace)).await?
    } else {
        let names: BTreeSet<_> = args.names.iter().collect();
        names.into_iter().map(|name| InstanceRef::new(&*namespace, &**name)).collect()
    };
    if instances.is_empty() {
        return Err("there is no instance to export; check --namespace, or name --all-namespaces".to_owned());
    }
    let (mut saved, mut code) = (Vec::new(), ExitCode::SUCCESS);
    for instance in &instances {
        match source.read(instance).await {
            Ok(one) => saved.push(one),
            Err(message) => {
                output::error(format_args!("{instance}: {message}"));
                code = ExitCode::FAILURE;
            }
        }
    }
    if saved.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    let bytes = backup::write(&saved).map_err(|error| format!("the file cannot be made: {error}"))?;
    if is_file {
        replace(&args.out, &bytes).map_err(|error| format!("--out {}: {error}", args.out.display()))?;
    } else {
        output::bytes(&bytes);
    }
    for one in &saved {
        output::error(summary("exported", one));
    }
    output::error(LEFT_OUT);
    Ok(code)
}

async fn import(args: ImportArgs) -> Result<ExitCode, String> {
    let shown = args.file.display();
    let bytes = read_file(&args.file).map_err(|error| format!("{shown}: {error}"))?;
    let mut saved = backup::read(&bytes).map_err(|error| format!("{shown}: {error}"))?;
    if let Some(missing) = args.names.iter().find(|name| !saved.iter().any(|one| *one.instance.name == ***name)) {
        return Err(format!("{shown}: the file has no instance {missing}"));
    }
    saved.retain(|one| args.names.is_empty() || args.names.iter().any(|name| *one.instance.name == **name));
    if let Some(namespace) = &args.namespace {
        for one in &mut saved {
            one.instance = InstanceRef::new(&**namespace, &*one.instance.name);
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = saved.iter().find(|one| !names.insert(&one.instance)) {
            let name = &twice.instance.name;
            return Err(format!("{shown}: instances of several namespaces have the name {name}; import without --namespace"));
        }
    }
    let existing = if args.overwrite { Existing::Replace } else { Existing::Keep };
    let target = if let Some(folder) = &args.place.state {
        Target::Folder(Directory::open(folder).map_err(|error| error.to_string())?)
    } else {
        let (cluster, store, _) = args.place.connect().await?;
        Target::Cluster(cluster, store)
    };
    let mut code = ExitCode::SUCCESS;
    for one in &saved {
        match target.write(one, existing).await {
            Ok(()) => output::error(summary("imported", one)),
            Err(message) => {
                output::error(format_args!("{}: {message}", one.instance));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// A place where state is written.
enum Target {
    /// Locked: nothing else runs there.
    Folder(Directory),
    Cluster(Cluster, Option<ExternalStore>),
}

impl Target {
    async fn write(&self, SavedInstance { instance, state }: &SavedInstance, existing: Existing) -> Result<(), String> {
        match self {
            Self::Folder(folder) => {
                match (folder.load(instance), existing) {
                    (Ok(Some(there)), Existing::Keep) if backup::is_living(&there) => {
                        return Err(transfer::TransferError::Living.to_string());
                    }
                    (Err(problem), Existing::Keep) => return Err(format!("{}; --overwrite replaces it", problem.message)),
                    (Ok(_), _) | (Err(_), Existing::Replace) => {}
                }
                // Of an earlier instance of the name, which was deleted.
                folder.confirm(instance);
                folder.save(instance, state.clone()).await.map_err(|problem| problem.message)
            }
            Self::Cluster(cluster, store) => {
                let replaced = transfer::replace(cluster, store.as_ref(), instance, state, existing).await;
                replaced.map_err(|error| error.to_string())
            }
        }
    }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    fs::read(path)
}

fn summary(done: &str, SavedInstance { instance, state }: &SavedInstance) -> String {
    let known: usize = state.resources.values().map(|own| own.known.len()).sum();
    format!(
        "{instance}: {done}: {} resource(s), {known} known record(s), {} waiting event(s), {} parked event(s)",
        state.resources.len(),
        state.sinks.deferred(),
        state.sinks.parked()
    )
}

fn parse_name(text: &str) -> Result<String, String> {
    names::is_subdomain(text).then(|| text.to_owned()).ok_or_else(|| "must be the name of a ConnectorInstance".to_owned())
}

fn parse_namespace(text: &str) -> Result<String, String> {
    names::is_label(text).then(|| text.to_owned()).ok_or_else(|| "must be the name of a namespace".to_owned())
}
