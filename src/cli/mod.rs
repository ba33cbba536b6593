//! One file a command; wiring only.

pub mod catalog;
pub mod catalog_page;
pub mod cluster;
pub mod completions;
pub mod console;
pub mod crds;
pub mod demo;
pub mod import;
pub mod local;
pub mod man;
pub mod new;
pub mod operator;
mod own_catalog;
pub mod plan;
mod preview;
pub mod receive;
pub mod record;
pub mod reference;
pub mod schema;
pub mod serve;
pub mod state;
pub mod try_out;
pub mod verify;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use self::own_catalog::CatalogFolder;
use crate::egress::byte_budget::{self, ByteBudget};
use crate::egress::{AllowRule, EgressPolicy};
use crate::local::files::Sources;
use crate::observe::output;
use crate::observe::telemetry::{self, LogFormat};

/// Virtual webhooks: polls REST APIs that cannot call you and delivers each change, signed and at least once.
#[derive(Debug, Parser)]
#[command(name = "pollinator", version, max_term_width = 120)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    command: Command,
    /// How logs are written to standard error.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "POLLINATOR_LOG_FORMAT")]
    log_format: LogFormat,
    /// What is logged: a level, or directives such as pollinator=debug [default: info; demo: warn].
    #[arg(long, global = true, env = "POLLINATOR_LOG")]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every ConnectorInstance of a cluster.
    Operator(Box<operator::OperatorArgs>),
    /// Run manifests from files or folders, without a cluster.
    Local(local::LocalArgs),
    /// Ask a provider once and show what would be delivered; saves and delivers nothing.
    Try(try_out::TryArgs),
    /// Print the resolved plan of each instance, without network.
    Plan(plan::PlanArgs),
    /// Turn configurations of SAP Open Connectors into manifests, Secrets and a report.
    Import(import::ImportArgs),
    /// Show the catalog of providers.
    Catalog(catalog::CatalogArgs),
    /// Print a first manifest for an entry of the catalog.
    New(new::NewArgs),
    /// Record exchanges with a live API for an entry of the catalog, with secrets and personal data masked.
    Record(record::RecordArgs),
    /// Check an entry of the catalog against recorded exchanges.
    Verify(verify::VerifyArgs),
    /// Receive, verify and print events: the other end, for trying things out.
    Receive(receive::ReceiveArgs),
    /// Save the state of instances into a file, and restore it.
    State(state::StateArgs),
    /// Forward the console of a release in a cluster to this machine, and print its URL.
    ///
    /// Needs kubectl, and the permissions to get and list pods and to create pods/portforward in the namespace of the release. It ends with Ctrl+C.
    Console(console::ConsoleArgs),
    /// Watch a sample provider, the engine and a receiver work together.
    Demo(demo::DemoArgs),
    /// Print the custom resource definitions.
    Crds,
    /// Print the JSON Schema of a kind, for editors.
    Schema(schema::SchemaArgs),
    /// Print completions for a shell.
    Completions(completions::CompletionsArgs),
    /// Print or write manual pages.
    Man(man::ManArgs),
}

/// The whole program: reads the command line and runs the command.
///
/// The run time starts here and not in the binary, because futures are compiled where they are first polled: in the binary, all that a
/// command awaits would be compiled a second time, and after the library.
pub fn main() -> ExitCode {
    let parsed = called_as(std::env::args_os().next().as_deref()).try_get_matches();
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(told) => return output::usage(&told),
    };
    raise_file_limit();
    // Work that costs much may take half of them (`crate::cpu`), and one must be left.
    let workers = std::thread::available_parallelism().map_or(1, usize::from).max(2);
    match tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build() {
        Ok(runtime) => runtime.block_on(cli.run()),
        Err(error) => {
            output::error(format_args!("pollinator: the async runtime cannot be started: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Opens as many files as the system grants: each request that waits for an answer takes one, and containers often begin with 1,024.
#[cfg(target_os = "linux")]
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it is refused, the limit stays as it was, which is enough for most.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

#[cfg(not(target_os = "linux"))]
fn raise_file_limit() {}

impl Cli {
    async fn run(self) -> ExitCode {
        let log = self.log.as_deref().unwrap_or(match self.command {
            // Lines of the log would stand between what they print.
            Command::Demo(_) | Command::Console(_) => "warn",
            _ => "info",
        });
        if let Err(error) = telemetry::init(self.log_format, log) {
            output::error(format_args!("pollinator: --log: {error}"));
            return ExitCode::from(2);
        }
        match self.command {
            Command::Operator(args) => operator::run(*args).await,
            Command::Local(args) => local::run(args).await,
            Command::Try(args) => try_out::run(args).await,
            Command::Plan(args) => plan::run(&args),
            Command::Import(args) => import::run(&args),
            Command::Catalog(args) => catalog::run(&args),
            Command::New(args) => new::run(&args),
            Command::Record(args) => record::run(args).await,
            Command::Verify(args) => verify::run(args).await,
            Command::Receive(args) => receive::run(args).await,
            Command::State(args) => state::run(args).await,
            Command::Console(args) => console::run(args).await,
            Command::Demo(args) => demo::run(args).await,
            Command::Crds => crds::run(),
            Command::Schema(args) => schema::run(&args),
            Command::Completions(args) => completions::run(&args),
            Command::Man(args) => man::run(&args),
        }
    }
}

/// The command line as it is called. As a plugin of kubectl, which calls `kubectl-pollinator` for `kubectl pollinator`, it shows itself in
/// usage lines as people type it.
fn called_as(program: Option<&OsStr>) -> clap::Command {
    let is_plugin = program.is_some_and(|program| Path::new(program).file_stem() == Some(OsStr::new("kubectl-pollinator")));
    if is_plugin { Cli::command().bin_name("kubectl pollinator") } else { Cli::command() }
}

/// All commands and options as data, the same wherever it is made: values of variables and the width of this terminal are left out.
fn command() -> clap::Command {
    let hidden = |command: clap::Command| command.mut_args(|arg| arg.hide_env_values(true));
    hidden(Cli::command()).mut_subcommands(|command| hidden(command).mut_subcommands(hidden))
}

/// Writes the whole result of a command; 1 when it cannot be written.
fn print(bytes: &[u8]) -> ExitCode {
    output::bytes(bytes);
    output::finish(ExitCode::SUCCESS)
}

/// What is declared.
#[derive(Clone, Debug, Args)]
pub struct ManifestArgs {
    /// Manifests of kind ConnectorInstance, Connector and Secret: files or folders, with one or more documents per file; - for
    /// standard input.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    catalog: CatalogFolder,
}

impl ManifestArgs {
    fn sources(&self) -> Sources {
        Sources::new(self.paths.clone(), self.catalog.folder.clone())
    }
}

/// Addresses that may be connected to, in addition to public ones and loopback.
#[derive(Clone, Debug, Args)]
pub struct EgressArgs {
    /// Also allow this network or host, for example 10.0.0.0/8 or intranet.example; may be repeated.
    #[arg(long, value_name = "CIDR|HOST", value_parser = parse_allow_rule, env = "POLLINATOR_ALLOW_EGRESS", value_delimiter = ',')]
    allow_egress: Vec<AllowRule>,
    #[command(flatten)]
    ports: PortArgs,
    /// Deny loopback addresses, as the operator does.
    #[arg(long, env = "POLLINATOR_DENY_LOOPBACK")]
    deny_loopback: bool,
}

impl EgressArgs {
    /// The policy of commands that run on the user's own machine: loopback is allowed.
    pub fn policy(&self) -> EgressPolicy {
        EgressPolicy {
            allow: self.allow_egress.clone(),
            allow_loopback: !self.deny_loopback,
            ports: self.ports.allow_ports.clone(),
        }
    }
}

/// Ports that may be connected to.
#[derive(Clone, Debug, Args)]
pub struct PortArgs {
    /// Allow providers, token endpoints and callbacks at these TCP ports only, for example 443,8443. Default: every port.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), env = "POLLINATOR_ALLOW_PORTS", value_delimiter = ',')]
    allow_ports: Vec<u16>,
}

/// How much memory is for the bodies of responses.
#[derive(Clone, Debug, Args)]
pub struct MemoryArgs {
    /// How many bytes of pages may be in memory at once, at least 64Mi. A page waits for room before it is read. Allow about a quarter of
    /// the memory that the process may use.
    #[arg(long, value_name = "BYTES", default_value = "128Mi", value_parser = parse_buffered_bytes, env = "POLLINATOR_MAX_BUFFERED_BYTES")]
    max_buffered_bytes: usize,
}

impl MemoryArgs {
    /// The budget of the process.
    fn budget(&self) -> ByteBudget {
        ByteBudget::new(self.max_buffered_bytes)
    }
}

/// A number of bytes as Kubernetes writes it.
fn parse_buffered_bytes(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" => Some(1),
        "Ki" => Some(1 << 10),
        "Mi" => Some(1 << 20),
        "Gi" => Some(1 << 30),
        _ => None,
    };
    let bytes = unit.and_then(|unit: usize| digits.parse::<usize>().ok()?.checked_mul(unit));
    bytes.filter(|bytes| *bytes >= byte_budget::LEAST).ok_or_else(|| "must be 64Mi or more, such as 128Mi".to_owned())
}

fn parse_allow_rule(text: &str) -> Result<AllowRule, String> {
    AllowRule::parse(text).map_err(|error| error.to_string())
}

/// A name that is one step of a path as it is, and a label, too.
fn parse_cluster_name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let has_ends = text.bytes().next().is_some_and(is_plain) && text.bytes().last().is_some_and(is_plain);
    let is_name = has_ends && text.len() <= 63 && text.bytes().all(|byte| is_plain(byte) || b"-.".contains(&byte));
    if is_name {
        Ok(text.to_owned())
    } else {
        Err("must have 1 to 63 lower case letters, digits, - and ., and begin and end with a letter or digit".to_owned())
    }
}

/// A duration as in the manifests.
fn parse_duration(text: &str) -> Result<Duration, String> {
    crate::api::duration::parse(text).ok_or_else(|| "must be a duration such as 90s, 15m or 1h30m".to_owned())
}

/// Cancels on SIGTERM and SIGINT; a second one ends the process at once.
fn stop_on_signals(shutdown: CancellationToken) -> Result<(), String> {
    use tokio::signal::unix::{SignalKind, signal};
    let no_signal = |error: std::io::Error| format!("signals cannot be handled: {error}");
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signal)?;
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("stopping: finishing requests under way, starting nothing new");
        shutdown.cancel();
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        std::process::exit(130);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_cluster_is_a_step_of_a_path() {
        for name in ["prod", "prod-eu.1", "1", &"a".repeat(63)] {
            assert_eq!(parse_cluster_name(name).as_deref(), Ok(name));
        }
        for wrong in ["", "Prod", "a b", "a/b", "-a", "a.", "ä", &"a".repeat(64)] {
            assert!(parse_cluster_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_number_of_bytes_is_written_as_in_kubernetes() {
        assert_eq!(parse_buffered_bytes("67108864"), Ok(64 << 20));
        assert_eq!(parse_buffered_bytes("65536Ki"), Ok(64 << 20));
        assert_eq!(parse_buffered_bytes("1Gi"), Ok(1 << 30));
        for wrong in ["", "Mi", "63Mi", "128MB", "128 Mi", "-1Gi", "99999999999999Gi"] {
            assert!(parse_buffered_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
