//! The lock that keeps two processes from opening the same SQLite store.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use store::Location;

use super::error::CliError;
use super::private_files::create_private_dir;
use crate::config::store_folder;

/// The name of the lock file, in the folder of the store.
pub(super) const LOCK_FILE_NAME: &str = "bowline.lock";

/// An exclusive lock on the data folder of a SQLite store, released on drop. Empty for a PostgreSQL store, which
/// several processes may open.
pub(super) struct DataLock {
    _file: Option<File>,
}

impl DataLock {
    /// Locks the data folder and creates it if necessary. A PostgreSQL store needs no lock.
    pub(super) fn acquire(location: &Location) -> Result<Self, CliError> {
        let Location::Sqlite(store) = location else { return Ok(Self { _file: None }) };
        let path = lock_path(store);
        let open = || {
            path.parent().map_or(Ok(()), create_private_dir)?;
            File::options().create(true).append(true).mode(0o600).open(&path)
        };
        let file = open().map_err(|error| CliError::for_path(&path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(CliError::Unreachable(format!(
                "{} is in use by another bowline process: stop it, or use another data folder",
                store_folder(store).display()
            ))),
            Err(TryLockError::Error(error)) => Err(CliError::for_path(&path, error)),
        }
    }

    /// Returns whether another process has locked the data folder of a SQLite store. Creates nothing.
    pub(super) fn is_locked(store: &Path) -> Result<bool, CliError> {
        let path = lock_path(store);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(CliError::for_path(&path, error)),
        };
        // A shared lock is sufficient: it fails while another process has the exclusive lock, and two checks at the same time
        // do not disturb each other.
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(CliError::for_path(&path, error)),
        }
    }
}

/// Returns the path of the lock file of a store. Symbolic links to a store are resolved, so that they share its lock.
fn lock_path(store: &Path) -> PathBuf {
    store_folder(store).join(LOCK_FILE_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_lock_applies_to_every_path_of_the_store() {
        let parent = tempfile::tempdir().unwrap();
        let [real, linked] = ["one", "two"].map(|name| parent.path().join(name));
        std::fs::create_dir_all(&real).unwrap();
        std::fs::create_dir_all(&linked).unwrap();
        std::fs::write(real.join("hub.db"), "").unwrap();
        std::os::unix::fs::symlink(real.join("hub.db"), linked.join("link.db")).unwrap();
        let _lock = DataLock::acquire(&Location::Sqlite(real.join("hub.db"))).unwrap();

        let second = DataLock::acquire(&Location::Sqlite(linked.join("link.db")));

        assert!(matches!(second, Err(CliError::Unreachable(_))));
    }

    #[test]
    fn lock_check_detects_lock_and_creates_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("hub.db");

        let before = DataLock::is_locked(&store).unwrap();
        let files_before = std::fs::read_dir(folder.path()).unwrap().count();
        let lock = DataLock::acquire(&Location::Sqlite(store.clone())).unwrap();
        let during = DataLock::is_locked(&store).unwrap();
        drop(lock);
        let after = DataLock::is_locked(&store).unwrap();

        assert_eq!(([before, during, after], files_before), ([false, true, false], 0));
    }
}
