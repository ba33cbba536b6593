//! The options of the connect page, shared by the commands that have it.

use std::net::SocketAddr;

use clap::Args;
use tokio::net::TcpListener;

use crate::connect::ConnectUrl;

/// Whether there is a page at which people give consent to OAuth 2.0 providers.
#[derive(Clone, Debug, Args)]
pub struct ConnectArgs {
    /// Serve the page at which people give consent (OAuth 2.0), reached from outside under this origin, for example
    /// https://pollinator.example.com. Providers must know <URL>/connect/callback as redirect URI. Default: no such page.
    #[arg(long, value_name = "URL", value_parser = ConnectUrl::parse, env = "POLLINATOR_CONNECT_URL")]
    pub connect_url: Option<ConnectUrl>,
}

/// Takes the address of the connect page.
///
/// # Errors
/// It is in use or may not be used.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    let listener = TcpListener::bind(address).await.map_err(|error| format!("--connect-listen {address}: {error}"))?;
    if let Ok(bound) = listener.local_addr() {
        tracing::info!(address = %bound, "serving the connect page");
    }
    Ok(listener)
}
