//! The identity of a sandbox: the values that its accounts and secrets are derived from, in its data folder.

use std::io::ErrorKind;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Secret;
use serde::{Deserialize, Serialize};

use super::super::data_lock::LOCK_FILE_NAME;
use super::super::error::CliError;
use super::super::private_files::{create_private_dir, write_private_file};

/// The file with the identity. It marks the data folder of a sandbox, and is the first file that is written there.
const FILE_NAME: &str = "identity.json";

/// The seed if there is no `--seed`, so that every sandbox shows the same accounts.
const DEFAULT_SEED: &str = "bowline";

/// The values that everything in a sandbox is derived from. They stay the same after a restart in the same folder.
pub(super) struct SandboxIdentity {
    /// The public value that accounts and transactions are derived from.
    pub(super) seed: String,
    /// The value that the secrets of clients and operators are derived from: random, or the seed if one was requested.
    secret_key: Secret<String>,
    /// True until it is stored in its folder.
    is_new: bool,
}

/// The content of the file.
#[derive(Serialize, Deserialize)]
struct StoredIdentity {
    seed: String,
    secret_key: String,
}

impl SandboxIdentity {
    /// Loads the identity from a data folder, or creates one for a folder that is empty or does not exist. Writes nothing;
    /// a folder with other files is an error.
    pub(super) fn load_or_create(data: &Path, requested_seed: Option<&str>) -> Result<Self, CliError> {
        let file = data.join(FILE_NAME);
        match std::fs::read(&file) {
            Ok(text) => {
                let stored: StoredIdentity = serde_json::from_slice(&text).map_err(|error| {
                    CliError::Usage(format!("{}: not written by `bowline sandbox`: {error}", file.display()))
                })?;
                stored.into_identity(data, requested_seed)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                ensure_empty(data)?;
                Self::create(requested_seed)
            }
            Err(error) => Err(CliError::for_path(&file, error)),
        }
    }

    fn create(requested_seed: Option<&str>) -> Result<Self, CliError> {
        if let Some(seed) = requested_seed {
            return Ok(Self {
                seed: seed.to_owned(),
                secret_key: Secret::new(seed.to_owned()),
                is_new: true,
            });
        }
        let mut bytes = [0; 32];
        crate::context::fill_random(&mut bytes).map_err(|error| CliError::Internal(error.into()))?;
        let secret_key = Secret::new(URL_SAFE_NO_PAD.encode(bytes));
        Ok(Self { seed: DEFAULT_SEED.to_owned(), secret_key, is_new: true })
    }

    /// Checks that a store with content belongs to this identity, whose folder contains the keys of the store.
    pub(super) fn ensure_owns_store(&self, is_new_store: bool) -> Result<(), CliError> {
        if self.is_new && !is_new_store {
            return Err(CliError::Usage(
                "--store: the store belongs to a sandbox with another folder: name that folder with --data"
                    .into(),
            ));
        }
        Ok(())
    }

    /// Stores a new identity in the data folder, which is created if it does not exist.
    pub(super) fn store_if_new(&self, data: &Path) -> Result<(), CliError> {
        if !self.is_new {
            return Ok(());
        }
        create_private_dir(data).map_err(|error| CliError::for_path(data, error))?;
        let stored = StoredIdentity { seed: self.seed.clone(), secret_key: self.secret_key.expose().clone() };
        let text = serde_json::to_string(&stored).map_err(|error| CliError::Internal(error.into()))?;
        let file = data.join(FILE_NAME);
        // The file appears complete, so a start that was interrupted leaves none that cannot be read. Of two concurrent first
        // starts, the second one fails instead of replacing the identity of the first.
        let temporary = data.join(format!("{FILE_NAME}.{}", std::process::id()));
        write_private_file(&temporary, &text)?;
        let linked = std::fs::hard_link(&temporary, &file);
        std::fs::remove_file(&temporary).map_err(|error| CliError::for_path(&temporary, error))?;
        linked.map_err(|error| CliError::for_path(&file, error))
    }

    /// Derives a secret for a label. It does not reveal the secrets of other labels.
    pub(super) fn derive_secret(&self, label: &str) -> String {
        let key =
            aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, self.secret_key.expose().as_bytes());
        URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, label.as_bytes()))
    }
}

impl StoredIdentity {
    fn into_identity(self, data: &Path, requested_seed: Option<&str>) -> Result<SandboxIdentity, CliError> {
        let Self { seed, secret_key } = self;
        // The store contains hashes of secrets that were derived from the stored values, so another seed would not match
        // them.
        if requested_seed.is_some_and(|requested| requested != seed || requested != secret_key) {
            return Err(CliError::Usage(format!(
                "--seed: {} has another seed: leave --seed out, or use another folder with --data",
                data.display()
            )));
        }
        Ok(SandboxIdentity { seed, secret_key: Secret::new(secret_key), is_new: false })
    }
}

/// Checks that a folder without an identity contains nothing, so that no file of a hub or of its user is replaced. The files of
/// a first start that was interrupted do not count.
fn ensure_empty(data: &Path) -> Result<(), CliError> {
    let entries = match std::fs::read_dir(data) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(CliError::for_path(data, error)),
    };
    let is_temporary = |name: &str| name.strip_prefix(FILE_NAME).is_some_and(|rest| rest.starts_with('.'));
    let is_leftover = |name: &str| name == LOCK_FILE_NAME || is_temporary(name);
    for entry in entries {
        let name = entry.map_err(|error| CliError::for_path(data, error))?.file_name();
        if !name.to_str().is_some_and(is_leftover) {
            return Err(CliError::Usage(format!(
                "--data: {} contains files that `bowline sandbox` did not write: use an empty folder, or that of a sandbox",
                data.display()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_random_and_stay_the_same_in_their_folder() {
        let [first, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let identity = SandboxIdentity::load_or_create(first.path(), None).unwrap();
        identity.store_if_new(first.path()).unwrap();

        let restarted = SandboxIdentity::load_or_create(first.path(), None).unwrap();
        let independent = SandboxIdentity::load_or_create(other.path(), None).unwrap();

        assert_eq!(restarted.derive_secret("a"), identity.derive_secret("a"));
        assert_ne!(independent.derive_secret("a"), identity.derive_secret("a"));
        assert_ne!(identity.derive_secret("b"), identity.derive_secret("a"));
        assert_eq!(independent.seed, identity.seed, "accounts are the same in every sandbox");
    }

    #[test]
    fn requested_seed_gives_same_secrets_in_every_folder() {
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());

        let secrets = folders.each_ref().map(|folder| {
            SandboxIdentity::load_or_create(folder.path(), Some("demo")).unwrap().derive_secret("a")
        });

        assert_eq!(secrets[0], secrets[1]);
    }

    #[test]
    fn seed_that_differs_from_the_stored_one_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        SandboxIdentity::load_or_create(folder.path(), None).unwrap().store_if_new(folder.path()).unwrap();

        // The secrets of this folder are random, and a seed cannot reproduce them.
        let default_seed = SandboxIdentity::load_or_create(folder.path(), Some(DEFAULT_SEED));
        let other_seed = SandboxIdentity::load_or_create(folder.path(), Some("other"));

        for refused in [default_seed, other_seed] {
            assert!(refused.err().unwrap().to_string().contains("has another seed"));
        }
    }
}
