//! What the commands serve in addition to their work, and the options that they share for it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::connect::ConnectUrl;
use crate::connect::flow::Flow;
use crate::cpu::own_thread::OwnThread;
use crate::observe::Metrics;
use crate::serve::console::seal::{SHORTEST, Seal};
use crate::serve::console::{Console, Content};
use crate::serve::elements::access::Gate;
use crate::serve::elements::namespaces::Namespaces;
use crate::serve::{self, Limits, Server, console, elements};

/// Many connections: those of others must not take the place of the probe by which a pod lives. Of one peer few: a scrape and two
/// probes need three. Heads are short.
const HEALTH: Limits = Limits { connections: 512, of_one_peer: 32, head_bytes: 16 * 1024, ..Limits::DEFAULT };

/// Whether there is a page at which people give consent to OAuth 2.0 providers.
#[allow(
    clippy::doc_markdown,
    rustdoc::bare_urls,
    rustdoc::invalid_html_tags,
    reason = "the text is read as help, where marks are noise"
)]
#[derive(Clone, Debug, Args)]
pub struct ConnectArgs {
    /// Serve the page at which people give consent (OAuth 2.0), reached from outside under this origin, an https URL without a path.
    /// Providers must know its path /connect/callback as redirect URI. Default: no such page.
    #[arg(long, value_name = "URL", value_parser = ConnectUrl::parse, env = "POLLINATOR_CONNECT_URL")]
    pub connect_url: Option<ConnectUrl>,
    /// The other service for people.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Serves metrics and health at an address, on a thread of their own, until what is returned is dropped or the process ends.
///
/// # Errors
/// The address is in use or may not be used.
pub async fn health(address: SocketAddr, metrics: Metrics, ready: watch::Receiver<bool>) -> Result<OwnThread, String> {
    let thread = OwnThread::start("health").map_err(|error| error.to_string())?;
    let bound = thread.handle().spawn(bind("--listen", address, HEALTH)).await;
    let server = bound.map_err(|_| "the thread of --listen ended; please report this with the log".to_owned())??;
    tracing::info!(address = %server.address(), "serving /metrics, /livez and /readyz");
    let router = serve::health::router(metrics.pulse().clone(), ready).merge(serve::metrics::router(metrics));
    // It goes on while everything else ends: then, too, it is asked how things are.
    thread.handle().spawn(server.run(router, CancellationToken::new()));
    Ok(thread)
}

/// Serves the connect page until `stop` is cancelled.
///
/// # Errors
/// The address is in use or may not be used.
pub async fn connect(flow: Flow, address: SocketAddr, stop: CancellationToken) -> Result<JoinHandle<()>, String> {
    let server = bind("--connect-listen", address, Limits::DEFAULT).await?;
    tracing::info!(address = %server.address(), "serving the connect page");
    Ok(tokio::spawn(serve::connect::serve(server, flow, stop)))
}

/// Where the instances API of Open Connectors is served.
#[allow(clippy::doc_markdown, reason = "the text is read as help, where marks are noise")]
#[derive(Clone, Copy, Debug, Args)]
pub struct ApiArgs {
    /// Serve the instances API of SAP Open Connectors at this address, below /elements/api-v2, for example 127.0.0.1:8082. Default: off.
    #[arg(long, value_name = "ADDRESS:PORT", env = "POLLINATOR_API_LISTEN")]
    pub api_listen: Option<SocketAddr>,
}

/// Serves the instances API until `stop` is cancelled.
///
/// # Errors
/// The address is in use or may not be used.
pub async fn api(gate: impl Gate + 'static, address: SocketAddr, stop: CancellationToken) -> Result<JoinHandle<()>, String> {
    let server = bind("--api-listen", address, elements::LIMITS).await?;
    tracing::info!(address = %server.address(), "serving the instances API below {}", elements::BASE);
    Ok(tokio::spawn(elements::serve(server, gate, stop)))
}

/// Serves the instances API of a cluster, if requested, until `stop` is cancelled.
///
/// # Errors
/// The address is in use or may not be used.
pub async fn cluster_api(args: ApiArgs, gate: Namespaces, stop: CancellationToken) -> Result<Option<JoinHandle<()>>, String> {
    let Some(address) = args.api_listen else { return Ok(None) };
    api(gate, address, stop).await.map(Some)
}

/// Where the console is served.
#[allow(
    clippy::doc_markdown,
    rustdoc::bare_urls,
    rustdoc::invalid_html_tags,
    reason = "the text is read as help, where marks are noise"
)]
#[derive(Clone, Debug, Args)]
pub struct ConsoleArgs {
    /// Serve the console, pages that show every instance and act on it, at this address. A URL that signs in one browser is printed.
    /// Without =ADDRESS:PORT at 127.0.0.1:8083. Default: no console.
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "127.0.0.1:8083",
        env = "POLLINATOR_CONSOLE"
    )]
    pub console: Option<SocketAddr>,
    /// The origin at which people reach the console, an https URL without a path, where that is another one than its address: behind a
    /// proxy, which must keep the header Host. Required for an address other than loopback.
    #[arg(long, value_name = "URL", value_parser = ConnectUrl::of_console, requires = "console", env = "POLLINATOR_CONSOLE_URL")]
    pub console_url: Option<ConnectUrl>,
}

/// Where the console of a cluster is served, and what encrypts its sessions.
#[allow(
    clippy::doc_markdown,
    rustdoc::bare_urls,
    rustdoc::invalid_html_tags,
    reason = "the text is read as help, where marks are noise"
)]
#[derive(Clone, Debug, Args)]
pub struct ClusterConsoleArgs {
    /// Serve the console, pages that show every instance and act on it, at this address, for example 127.0.0.1:8083. People sign in
    /// with a Kubernetes token of their own. Default: no console.
    #[arg(long, value_name = "ADDRESS:PORT", env = "POLLINATOR_CONSOLE_LISTEN")]
    pub console_listen: Option<SocketAddr>,
    /// The origin at which people reach the console: an https URL without a path, or http://127.0.0.1:PORT with kubectl port-forward.
    /// Required for an address other than loopback.
    #[arg(long, value_name = "URL", value_parser = ConnectUrl::of_console, requires = "console_listen", env = "POLLINATOR_CONSOLE_URL")]
    pub console_url: Option<ConnectUrl>,
    /// File with the key that encrypts sessions: at least 32 random bytes, the same for all replicas; read at start. Default: a key
    /// that ends with the process, so each replica knows only its own sessions.
    #[arg(long, value_name = "FILE", requires = "console_listen", env = "POLLINATOR_CONSOLE_KEY_FILE")]
    pub console_key_file: Option<PathBuf>,
}

impl ClusterConsoleArgs {
    /// The key.
    ///
    /// # Errors
    /// The file cannot be read, or is too short.
    pub fn seal(&self) -> Result<Seal, String> {
        let Some(path) = &self.console_key_file else { return Ok(Seal::random()) };
        let secret = std::fs::read(path).map_err(|error| format!("--console-key-file {}: {error}", path.display()))?;
        let secret = secret.trim_ascii();
        if secret.len() < SHORTEST {
            return Err(format!("--console-key-file {}: must have at least {SHORTEST} bytes", path.display()));
        }
        Ok(Seal::of(secret))
    }
}

/// Serves the console of a cluster, if requested, until `stop`.
///
/// # Errors
/// As [`console()`].
pub async fn cluster_console(
    content: Content,
    args: ClusterConsoleArgs,
    stop: CancellationToken,
) -> Result<Option<JoinHandle<()>>, String> {
    let Some(address) = args.console_listen else { return Ok(None) };
    console("--console-listen", content, args.console_url, address, stop).await.map(|(serving, _)| Some(serving))
}

/// Serves the console until `stop`. Answers the origin at which people reach it, too.
///
/// # Errors
/// The address is in use, may not be used, or is seen by others without TLS.
pub async fn console(
    option: &'static str,
    content: Content,
    url: Option<ConnectUrl>,
    address: SocketAddr,
    stop: CancellationToken,
) -> Result<(JoinHandle<()>, ConnectUrl), String> {
    if !address.ip().is_loopback() && url.is_none() {
        return Err(format!(
            "{option}={address}: others can reach this address, so --console-url must name the https origin of the proxy in front of it"
        ));
    }
    let server = bind(option, address, console::LIMITS).await?;
    let own = || ConnectUrl::parse(&format!("http://{}", server.address()));
    let origin = url.map_or_else(own, Ok).map_err(|error| format!("{option} {address}: {error}"))?;
    tracing::info!(address = %server.address(), "serving the console");
    let console = Console::new(content, origin.clone(), stop);
    Ok((tokio::spawn(console::serve(server, console)), origin))
}

async fn bind(option: &'static str, address: SocketAddr, limits: Limits) -> Result<Server, String> {
    Server::bind(address, limits).await.map_err(|error| format!("{option} {address}: {error}"))
}

/// Waits until the answers to all codes that were sent are stored.
pub async fn finish(serving: impl IntoIterator<Item = Option<JoinHandle<()>>>, grace: Duration) {
    let ended = futures::future::join_all(serving.into_iter().flatten());
    if tokio::time::timeout(grace, ended).await.is_err() {
        tracing::warn!("the grace period is over: a consent or a change that was being processed must be submitted again");
    }
}
