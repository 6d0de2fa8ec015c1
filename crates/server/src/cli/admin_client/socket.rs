//! The connection to a hub on this machine through its admin socket, after a check of the user that listens there.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use axum::body::Body;
use http::Request;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::super::error::CliError;
use super::response::{RawResponse, read_response};
use crate::http::current_user_id;

/// The admin socket of a hub on this machine.
pub(super) struct AdminSocket {
    path: PathBuf,
    /// The user that the hub must run as: the owner of its key file. `None` before the first start.
    hub_uid: Option<u32>,
}

impl AdminSocket {
    pub(super) fn new(path: PathBuf, key_file: &Path) -> Self {
        let hub_uid = std::fs::metadata(key_file).ok().map(|file| file.uid());
        Self { path, hub_uid }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Connects to the hub; `None` if no hub listens.
    pub(super) async fn connect(&self) -> Result<Option<UnixStream>, CliError> {
        let stream = match UnixStream::connect(&self.path).await {
            Ok(stream) => stream,
            Err(error) => {
                return match error.kind() {
                    // A killed hub leaves its socket file behind, and then the connection is refused. A path that is
                    // too long for a socket (InvalidInput) cannot have a listener either.
                    ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::InvalidInput => Ok(None),
                    ErrorKind::PermissionDenied => Err(self.unreachable(
                        "the hub runs as another user: run this command as that user or as root, or use --url and \
                         --token-file",
                    )),
                    _ => Err(self.unreachable(error)),
                };
            }
        };
        // The peer is checked before anything is sent: a request may contain secrets.
        let peer = stream.peer_cred().map_err(|error| self.unreachable(error))?.uid();
        if !is_trusted(peer, current_user_id(), self.hub_uid) {
            return Err(self.unreachable(format_args!(
                "user {peer} listens there, who is neither you, nor root, nor the owner of the hub's key file"
            )));
        }
        Ok(Some(stream))
    }

    /// Opens a new connection to the socket and sends one request.
    pub(super) async fn send(&self, request: Request<Body>) -> Result<RawResponse, CliError> {
        let stream = self.connect().await?.ok_or_else(|| self.unreachable("the hub has stopped"))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.unreachable(error))?;
        let driver = tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|error| self.unreachable(error))?;
        let response = read_response(response.map(Body::new)).await;
        driver.abort();
        response
    }

    pub(super) fn unreachable(&self, reason: impl std::fmt::Display) -> CliError {
        CliError::Unreachable(format!("{}: {reason}", self.path.display()))
    }
}

/// Returns whether requests, which may contain secrets, may be sent to a listener that runs as the user `peer`.
///
/// The command's own user and root are trusted. A command that root runs also trusts the owner of the hub's key file,
/// but no other user, who may have created the socket before the hub did.
fn is_trusted(peer: u32, own: u32, hub: Option<u32>) -> bool {
    peer == own || peer == 0 || (own == 0 && hub == Some(peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_is_trusted_for_own_user_and_root_only() {
        for (peer, own, hub) in [(0, 0, None), (0, 1000, None), (1000, 1000, None), (1000, 0, Some(1000))] {
            assert!(is_trusted(peer, own, hub), "user {own} must trust user {peer}");
        }

        for (peer, own, hub) in
            [(1001, 1000, None), (1001, 1000, Some(1001)), (1001, 0, None), (1001, 0, Some(1000))]
        {
            assert!(!is_trusted(peer, own, hub), "user {own} must not trust user {peer}");
        }
    }
}
