//! Binds the hub's TCP listeners, with errors that name the flag to change, and its Unix socket.

use tokio::net::TcpListener;

use super::error::CliError;
use super::private_files::create_private_dir;
use crate::config::Config;
use crate::server::LocalSocket;

/// Binds a listener. An error names the address and the flag that changes it.
pub(super) async fn bind(address: &str, flag: &str) -> Result<TcpListener, CliError> {
    TcpListener::bind(address).await.map_err(|error| {
        CliError::Unreachable(format!("cannot listen on {address}: {error} (choose another with {flag})"))
    })
}

/// Binds the admin socket of the configuration, if it has one.
pub(super) fn bind_admin_socket(config: &Config) -> Result<Option<LocalSocket>, CliError> {
    let Some(path) = config.admin_socket() else { return Ok(None) };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        create_private_dir(folder).map_err(|error| CliError::for_path(&path, error))?;
    }
    Ok(Some(LocalSocket::bind(&path)?))
}
