//! The hub's own socket on this machine: whoever calls through it is a user of the machine, whom the kernel names.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as Caller;
use std::path::{Path, PathBuf};

use domain::rule::operator::LocalPeer;
use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::listen::Listener;
use super::peer::{Peer, own_user};

/// The longest path of a socket, in bytes (unix(7): 108 with the zero at its end).
const LONGEST: usize = 107;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 128;
/// Bits of a mode that let others than the owner write.
const OTHERS_WRITE: u32 = 0o022;

/// A socket that is served; its file goes with it.
#[derive(Debug)]
pub struct LocalSocket {
    listener: UnixListener,
    path: PathBuf,
    file: (u64, u64),
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum NotBound {
    /// The path has no room in an address.
    #[error(
        "server.admin_socket: {path} has {length} bytes: expected at most {LONGEST}, or an empty text for none"
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
    Folder(PathBuf),
    /// Something else is there.
    #[error("server.admin_socket: {0} is there already and is no socket")]
    NoSocket(PathBuf),
    /// Somebody serves there.
    #[error("server.admin_socket: {0} is in use by another program: name another path")]
    InUse(PathBuf),
    /// The system refuses.
    #[error("server.admin_socket: {path}: {source}")]
    Refused {
        /// The path.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
}

impl LocalSocket {
    /// Makes the socket, for the hub's own user alone. One that nobody serves any more is replaced.
    pub fn bind(path: &Path) -> Result<Self, NotBound> {
        let length = path.as_os_str().len();
        if length > LONGEST {
            return Err(NotBound::TooLong { path: path.into(), length });
        }
        let refused = |source| NotBound::Refused { path: path.into(), source };
        let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        if !is_ones_own(&std::fs::metadata(folder).map_err(refused)?) {
            return Err(NotBound::Folder(folder.into()));
        }
        clear(path)?;
        let bound = || {
            let socket = UnixSocket::new_stream()?;
            socket.bind(path)?;
            // Before anybody is listened to.
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            Ok((socket.listen(BACKLOG)?, identity(path)?))
        };
        let (listener, file) = bound().map_err(refused)?;
        Ok(Self { listener, path: path.into(), file })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether a folder is the hub's own user's, or root's, and nobody else may write in it.
fn is_ones_own(folder: &std::fs::Metadata) -> bool {
    let owned = folder.uid() == own_user() || folder.uid() == 0;
    owned && folder.mode() & OTHERS_WRITE == 0
}

/// Removes a socket that nobody serves.
fn clear(path: &Path) -> Result<(), NotBound> {
    let refused = |source| NotBound::Refused { path: path.into(), source };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(error)),
        Ok(there) if !there.file_type().is_socket() => return Err(NotBound::NoSocket(path.into())),
        Ok(_) => {}
    }
    match Caller::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(refused)
        }
        Err(error) => Err(refused(error)),
        Ok(_) => Err(NotBound::InUse(path.into())),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let there = std::fs::symlink_metadata(path)?;
    Ok((there.dev(), there.ino()))
}

impl Listener for LocalSocket {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        let (stream, _) = self.listener.accept().await?;
        let user = stream.peer_cred()?.uid();
        Ok((stream, Peer::local(LocalPeer { user, own: own_user() })))
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        // What another has put in its place is not ours.
        if identity(&self.path).is_ok_and(|there| there == self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &Path) -> String {
        LocalSocket::bind(path).unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_socket_is_its_owners_alone_and_goes_with_its_hub() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let socket = LocalSocket::bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(said(&path).contains("is in use by another program"));
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_a_crash_left_behind_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "nobody serves there");
        let former = LocalSocket::bind(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let next = LocalSocket::bind(&path).unwrap();
        drop(former);
        assert!(path.exists(), "what another has put in its place stays");
        drop(next);
    }

    #[tokio::test]
    async fn a_place_that_is_not_fit_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "kept").unwrap();
        assert!(said(&file).contains("file is there already and is no socket"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(said(&link).contains("is no socket"));
        let long = folder.path().join("x".repeat(108));
        assert!(said(&long).contains("expected at most 107"), "{}", said(&long));
        assert!(said(&folder.path().join("nowhere/admin.sock")).contains("No such file"));
        for mode in [0o770, 0o702] {
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            let error = said(&folder.path().join("admin.sock"));
            assert!(error.contains("where nobody else may write"), "{mode:o}: {error}");
        }
    }
}
