//! The options of the connect page, shared by the commands that have it.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::connect::ConnectUrl;
use crate::connect::flow::Flow;
use crate::connect::server::ConnectServer;

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
}

/// Serves the connect page until it is told to stop.
///
/// # Errors
/// The address is in use or may not be used.
pub async fn serve(flow: Flow, address: SocketAddr, stop: CancellationToken) -> Result<JoinHandle<()>, String> {
    let listener = TcpListener::bind(address).await.map_err(|error| format!("--connect-listen {address}: {error}"))?;
    if let Ok(bound) = listener.local_addr() {
        tracing::info!(address = %bound, "serving the connect page");
    }
    Ok(tokio::spawn(ConnectServer::new(flow).serve(listener, stop)))
}

/// Waits until the answers to all codes that were sent are stored.
pub async fn finish(serving: Option<JoinHandle<()>>, grace: Duration) {
    if let Some(serving) = serving
        && tokio::time::timeout(grace, serving).await.is_err()
    {
        tracing::warn!("the grace period is over: a consent that was being taken in has to be given again");
    }
}
