//! The hub's own socket on this machine: whoever calls through it is a user of the machine, whom the kernel names.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as Caller;
use std::path::{Path, PathBuf};

use domain::rule::operator::LocalPeer;
use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::listener::Listener;
use crate::http::{RemotePeer, current_user_id};

/// The longest path of a socket, in bytes (unix(7): 108 with the zero at its end).
const MAX_PATH_BYTES: usize = 107;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 128;
/// Bits of a mode that let others than the owner write.
const OTHERS_WRITE_MASK: u32 = 0o022;

/// A socket that is served; its file goes with it.
#[derive(Debug)]
pub struct LocalSocket {
    listener: UnixListener,
    path: PathBuf,
    file: (u64, u64),
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum BindSocketError {
    /// The path has no room in an address.
    #[error(
        "server.admin_socket: {path} has {length} bytes: expected at most {MAX_PATH_BYTES}, or an empty text for none"
    )]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Its length.
        length: usize,
    },
    /// Others could put a socket of theirs in its place.
    #[error(
        "server.admin_socket: {0}: expected a folder of the hub's own user where nobody else may write (chmod go-w), or an empty text for no socket"
    )]
    UnsafeFolder(PathBuf),
    /// Something else is there.
    #[error("server.admin_socket: {0} is there already and is no socket")]
    NotASocket(PathBuf),
    /// Somebody serves there.
    #[error("server.admin_socket: {0} is in use by another program: name another path")]
    InUse(PathBuf),
    /// The system refuses.
    #[error("server.admin_socket: {path}: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
}

impl LocalSocket {
    /// Makes the socket, for the hub's own user alone. One that nobody serves any more is replaced.
    pub fn bind(path: &Path) -> Result<Self, BindSocketError> {
        let length = path.as_os_str().len();
        if length > MAX_PATH_BYTES {
            return Err(BindSocketError::TooLong { path: path.into(), length });
        }
        let refused = |source| BindSocketError::Io { path: path.into(), source };
        let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        if !is_safe_folder(&std::fs::metadata(folder).map_err(refused)?) {
            return Err(BindSocketError::UnsafeFolder(folder.into()));
        }
        remove_stale_socket(path)?;
        let bind_and_listen = || {
            let socket = UnixSocket::new_stream()?;
            socket.bind(path)?;
            // Before anybody is listened to.
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            Ok((socket.listen(BACKLOG)?, file_identity(path)?))
        };
        let (listener, file) = bind_and_listen().map_err(refused)?;
        Ok(Self { listener, path: path.into(), file })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether a folder is the hub's own user's, or root's, and nobody else may write in it.
fn is_safe_folder(folder: &std::fs::Metadata) -> bool {
    let owned = folder.uid() == current_user_id() || folder.uid() == 0;
    owned && folder.mode() & OTHERS_WRITE_MASK == 0
}

/// Removes a socket that nobody serves.
fn remove_stale_socket(path: &Path) -> Result<(), BindSocketError> {
    let refused = |source| BindSocketError::Io { path: path.into(), source };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(error)),
        Ok(there) if !there.file_type().is_socket() => return Err(BindSocketError::NotASocket(path.into())),
        Ok(_) => {}
    }
    match Caller::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(refused)
        }
        Err(error) => Err(refused(error)),
        Ok(_) => Err(BindSocketError::InUse(path.into())),
    }
}

fn file_identity(path: &Path) -> io::Result<(u64, u64)> {
    let there = std::fs::symlink_metadata(path)?;
    Ok((there.dev(), there.ino()))
}

impl Listener for LocalSocket {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, RemotePeer)> {
        let (stream, _) = self.listener.accept().await?;
        let user = stream.peer_cred()?.uid();
        Ok((stream, RemotePeer::from_local(LocalPeer { peer_uid: user, hub_uid: current_user_id() })))
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        // What another has put in its place is not ours.
        if file_identity(&self.path).is_ok_and(|there| there == self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind_error_message(path: &Path) -> String {
        LocalSocket::bind(path).unwrap_err().to_string()
    }

    #[tokio::test]
    async fn admin_socket_is_owner_only_and_removed_on_drop() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let socket = LocalSocket::bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(bind_error_message(&path).contains("is in use by another program"));
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn admin_socket_left_by_crash_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "nobody serves there");
        let previous = LocalSocket::bind(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let next = LocalSocket::bind(&path).unwrap();
        drop(previous);
        assert!(path.exists(), "what another has put in its place stays");
        drop(next);
    }

    #[tokio::test]
    async fn admin_socket_at_unusable_path_is_rejected_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "kept").unwrap();
        assert!(bind_error_message(&file).contains("file is there already and is no socket"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(bind_error_message(&link).contains("is no socket"));
        let long = folder.path().join("x".repeat(108));
        assert!(bind_error_message(&long).contains("expected at most 107"), "{}", bind_error_message(&long));
        assert!(bind_error_message(&folder.path().join("nowhere/admin.sock")).contains("No such file"));
        for mode in [0o770, 0o702] {
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            let error = bind_error_message(&folder.path().join("admin.sock"));
            assert!(error.contains("where nobody else may write"), "{mode:o}: {error}");
        }
    }
}
