//! The Unix socket for operators on this machine. The kernel reports the user of each process that connects.

use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};

use domain::rule::operator::LocalPeer;
use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::listener::Listener;
use crate::http::{RemotePeer, current_user_id};

/// The maximum length of a socket path in bytes (unix(7): 108 including the terminating zero).
const MAX_PATH_BYTES: usize = 107;
/// The number of connections that may wait to be accepted.
const BACKLOG: u32 = 128;
/// The permission bits that let group and others write.
const OTHERS_WRITE_MASK: u32 = 0o022;

/// A listening Unix socket. Its file is removed when this value is dropped.
#[derive(Debug)]
pub struct LocalSocket {
    listener: UnixListener,
    path: PathBuf,
    /// The device and inode of the socket file, which differ from those of a later file at the same path.
    file: (u64, u64),
}

/// The reason why the Unix socket cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum BindSocketError {
    /// The path does not fit into a socket address.
    #[error(
        "server.admin_socket: {path} has {length} bytes: expected at most {MAX_PATH_BYTES}, or an empty string for no socket"
    )]
    TooLong {
        path: PathBuf,
        /// The length of the path in bytes.
        length: usize,
    },
    /// Other users could replace the socket with one of theirs.
    #[error(
        "server.admin_socket: {0}: expected a folder of the hub's user in which no other user may write (chmod go-w), or an empty string for no socket"
    )]
    UnsafeFolder(PathBuf),
    /// The path exists and is not a socket.
    #[error("server.admin_socket: {0} exists and is not a socket: configure another path")]
    NotASocket(PathBuf),
    /// Another process listens at the path.
    #[error("server.admin_socket: {0} is in use by another program: configure another path")]
    InUse(PathBuf),
    /// A system call on the socket, its folder or its path failed.
    #[error("server.admin_socket: {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

impl LocalSocket {
    /// Creates the socket with access for the hub's user only. A socket that no process serves is replaced.
    pub fn bind(path: &Path) -> Result<Self, BindSocketError> {
        let length = path.as_os_str().len();
        if length > MAX_PATH_BYTES {
            return Err(BindSocketError::TooLong { path: path.into(), length });
        }
        let io_error = |source| BindSocketError::Io { path: path.into(), source };
        let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        if !is_safe_folder(&std::fs::metadata(folder).map_err(io_error)?) {
            return Err(BindSocketError::UnsafeFolder(folder.into()));
        }
        remove_stale_socket(path)?;
        let bind_and_listen = || {
            let socket = UnixSocket::new_stream()?;
            socket.bind(path)?;
            // `bind` creates the file with the permissions of the umask. They are restricted before `listen`, so no
            // other user can connect in between.
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            Ok((socket.listen(BACKLOG)?, file_identity(path)?))
        };
        let (listener, file) = bind_and_listen().map_err(io_error)?;
        Ok(Self { listener, path: path.into(), file })
    }

    /// Returns the path of the socket file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Returns whether a folder belongs to the hub's user or root, and no other user may write in it.
fn is_safe_folder(folder: &std::fs::Metadata) -> bool {
    let is_trusted_owner = folder.uid() == current_user_id() || folder.uid() == 0;
    is_trusted_owner && folder.mode() & OTHERS_WRITE_MASK == 0
}

/// Removes the socket of a process that no longer runs.
fn remove_stale_socket(path: &Path) -> Result<(), BindSocketError> {
    let io_error = |source| BindSocketError::Io { path: path.into(), source };
    // `metadata` would follow a symbolic link. A link was not created by the hub and must stay.
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindSocketError::NotASocket(path.into()));
        }
        Ok(_) => {}
    }
    // A process that was killed leaves its file. Only a connection attempt shows whether one still listens.
    match StdUnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(io_error)
        }
        Err(error) => Err(io_error(error)),
        Ok(_) => Err(BindSocketError::InUse(path.into())),
    }
}

fn file_identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl Listener for LocalSocket {
    type Stream = UnixStream;

    fn local_address(&self) -> Option<IpAddr> {
        None
    }

    async fn accept(&self) -> io::Result<(UnixStream, RemotePeer)> {
        let (stream, _) = self.listener.accept().await?;
        // The kernel recorded the user when the client connected; a client cannot forge it (unix(7), SO_PEERCRED).
        let user = stream.peer_cred()?.uid();
        Ok((stream, RemotePeer::from_local(LocalPeer { peer_uid: user, hub_uid: current_user_id() })))
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        // Another process may have replaced the file in the meantime. Its socket must stay.
        if file_identity(&self.path).is_ok_and(|current| current == self.file) {
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
        assert!(path.exists(), "the file of the first socket must remain");

        let previous = LocalSocket::bind(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let next = LocalSocket::bind(&path).unwrap();
        drop(previous);

        assert!(path.exists(), "the file of the next socket must remain");
        drop(next);
    }

    #[tokio::test]
    async fn admin_socket_at_unusable_path_returns_error_with_path() {
        let folder = tempfile::tempdir().unwrap();

        let file = folder.path().join("file");
        std::fs::write(&file, "kept").unwrap();
        assert!(bind_error_message(&file).contains("file exists and is not a socket"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");

        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(bind_error_message(&link).contains("is not a socket"));

        let long = folder.path().join("x".repeat(108));
        assert!(bind_error_message(&long).contains("expected at most 107"), "{}", bind_error_message(&long));
        assert!(bind_error_message(&folder.path().join("nowhere/admin.sock")).contains("No such file"));

        for mode in [0o770, 0o702] {
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            let error = bind_error_message(&folder.path().join("admin.sock"));
            assert!(error.contains("in which no other user may write"), "{mode:o}: {error}");
        }
    }
}
