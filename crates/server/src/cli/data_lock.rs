//! The lock on the data folder of a SQLite store.

use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt;

use store::Location;

use super::error::CliError;
use super::private_files::create_private_dir;
use crate::config::store_folder;

/// The lock on the data folder of a SQLite store. It is released on drop.
pub(super) struct DataLock(Option<File>);

impl DataLock {
    /// Locks the data folder and creates it if necessary. A PostgreSQL store needs no lock.
    pub(super) fn acquire(location: &Location) -> Result<Self, CliError> {
        let Location::Sqlite(path) = location else { return Ok(Self(None)) };
        let folder = store_folder(path);
        let path = folder.join("bowline.lock");
        let open = || {
            create_private_dir(&folder)?;
            File::options().create(true).append(true).mode(0o600).open(&path)
        };
        let file = open().map_err(|error| CliError::for_path(&path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(Some(file))),
            Err(TryLockError::WouldBlock) => Err(CliError::Unreachable(format!(
                "{} is in use by another bowline: stop it first, or use another data directory",
                folder.display()
            ))),
            Err(TryLockError::Error(error)) => Err(CliError::for_path(&path, error)),
        }
    }

    /// Whether there is a lock file at all.
    pub(super) const fn is_locked(&self) -> bool {
        self.0.is_some()
    }
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
}
