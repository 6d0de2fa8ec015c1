//! The key file: the root keys from which all other keys are derived. It is never stored in the database.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::hkdf;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::Secret;
use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use super::DataKey;

/// The root keys that a key file contains.
pub struct KeyFile {
    /// The root key from which other keys are derived, one for each label.
    base: Secret<[u8; 32]>,
    /// The root keys that wrap the data keys of connections, by id. The one with the highest id wraps new data keys.
    wrapping_keys: BTreeMap<u32, DataKey>,
}

#[derive(Serialize, Deserialize, Zeroize)]
#[serde(deny_unknown_fields)]
struct KeyFileContent {
    base: String,
    #[zeroize(skip)]
    wrap: BTreeMap<String, String>,
}

/// The reason why a key file cannot be used. The message of the error contains no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read or written.
    #[error("key file {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// Other users can access the file. The number is its mode.
    #[error(
        "key file {0}: mode {1:o} lets other users of this machine access it: expected 600 (chmod 600), or at most 640 for a \
         file of root with the hub's group"
    )]
    ReadableByOthers(PathBuf, u32),
    /// The file belongs to another user, with this id.
    #[error("key file {0}: belongs to user {1}: expected a file of the hub's user or of root")]
    ForeignOwner(PathBuf, u32),
    /// The path is a symbolic link, which could be changed between two checks.
    #[error("key file {0}: is a symbolic link: expected the path of the file itself")]
    SymbolicLink(PathBuf),
    /// The path is that of a folder, a device or a named pipe.
    #[error("key file {0}: expected a regular file")]
    NotAFile(PathBuf),
    /// The content is not that of a key file.
    #[error(
        "key file {0}: expected `base` and `wrap.<n>`, each 32 bytes in base64: restore the file from a backup"
    )]
    Malformed(PathBuf),
}

impl KeyFile {
    /// Reads the key file. If it does not exist, creates it first, with new root keys and mode 0600.
    pub fn open_or_create(
        path: &Path,
        random: impl Fn() -> io::Result<[u8; 32]>,
    ) -> Result<Self, KeyFileError> {
        if !path.exists() {
            Self::create(path, random).map_err(|source| KeyFileError::Io { path: path.into(), source })?;
        }
        Self::open(path)
    }

    /// Reads the key file. Returns an error if other users can access the file.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        let io_error = |source| KeyFileError::Io { path: path.into(), source };
        // The file is opened once, and everything is checked on what was opened.
        // Without `NONBLOCK`, opening a named pipe would wait for a writer.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| {
            // Linux reports a link as `ELOOP`.
            let is_link = error.raw_os_error() == Some(Errno::LOOP.raw_os_error());
            if is_link { KeyFileError::SymbolicLink(path.into()) } else { io_error(error) }
        })?;
        let metadata = file.metadata().map_err(io_error)?;
        if !metadata.is_file() {
            return Err(KeyFileError::NotAFile(path.into()));
        }
        let (owner, mode) = (metadata.uid(), metadata.mode() & 0o777);
        let is_own_group = is_own_group(metadata.gid()).map_err(io_error)?;
        match check_access(owner, rustix::process::geteuid().as_raw(), is_own_group, mode) {
            FileAccess::Private => {}
            FileAccess::ForeignOwner => return Err(KeyFileError::ForeignOwner(path.into(), owner)),
            FileAccess::ReadableByOthers => return Err(KeyFileError::ReadableByOthers(path.into(), mode)),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io_error)?;
        let keys = Self::parse(&text);
        text.zeroize();
        keys.ok_or_else(|| KeyFileError::Malformed(path.into()))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut content: KeyFileContent = toml::from_str(text).ok()?;
        let base = decode_root(&content.base);
        let wrapping_keys: Option<BTreeMap<u32, DataKey>> = content
            .wrap
            .iter()
            .map(|(id, key)| Some((id.parse().ok()?, DataKey::new(decode_root(key)?))))
            .collect();
        content.zeroize();
        Some(Self { base: base?, wrapping_keys: wrapping_keys.filter(|keys| !keys.is_empty())? })
    }

    fn create(path: &Path, random: impl Fn() -> io::Result<[u8; 32]>) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let new_root = || Ok::<_, io::Error>(STANDARD.encode(random()?));
        let content =
            KeyFileContent { base: new_root()?, wrap: BTreeMap::from([("1".to_owned(), new_root()?)]) };
        let mut text = toml::to_string(&content).map_err(io::Error::other)?;
        // `create_new`: two processes that start concurrently must not overwrite each other's keys.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        text.zeroize();
        file.sync_all()?;
        // The directory entry must survive a power failure too: data sealed with lost keys cannot be recovered.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        std::fs::File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
    }

    /// Derives the key for a label from the base key (HKDF-SHA-256, RFC 5869).
    pub fn derive(&self, label: &str) -> Secret<[u8; 32]> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"bowline");
        let mut key = [0; 32];
        let info = [label.as_bytes()];
        let result = salt
            .extract(self.base.expose())
            .expand(&info, hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut key));
        // HKDF-SHA-256 fails only for outputs of more than 255 blocks of 32 bytes.
        debug_assert!(result.is_ok(), "HKDF-SHA-256 can produce 32 bytes");
        Secret::new(key)
    }

    /// Returns the root key with an id, which wraps data keys; `None` if the key file does not contain it.
    pub fn wrapping_key(&self, id: u32) -> Option<&DataKey> {
        self.wrapping_keys.get(&id)
    }

    /// Returns the id of the root key that wraps new data keys.
    pub fn newest_wrapping_key_id(&self) -> u32 {
        self.wrapping_keys.keys().next_back().copied().unwrap_or_default()
    }

    /// Returns the root key that wraps new data keys.
    pub fn newest_wrapping_key(&self) -> &DataKey {
        &self.wrapping_keys[&self.newest_wrapping_key_id()]
    }
}

/// The users who can access a key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileAccess {
    /// Only the hub's user and root, or processes with the hub's group.
    Private,
    /// The owner is another user, who could change the file.
    ForeignOwner,
    ReadableByOthers,
}

/// Returns who can access a file. A file of root may be readable by the hub's group, as orchestrators mount secrets for processes of other users.
const fn check_access(owner: u32, user: u32, is_own_group: bool, mode: u32) -> FileAccess {
    let is_permitted = match (owner == user, owner == 0) {
        (_, true) if is_own_group => mode & !0o640 == 0,
        (true, _) | (_, true) => mode & !0o700 == 0,
        (false, false) => return FileAccess::ForeignOwner,
    };
    if is_permitted { FileAccess::Private } else { FileAccess::ReadableByOthers }
}

/// Returns whether this process has a group.
fn is_own_group(group: u32) -> io::Result<bool> {
    let groups = rustix::process::getgroups()?;
    Ok(std::iter::once(rustix::process::getegid()).chain(groups).any(|own| own.as_raw() == group))
}

fn decode_root(text: &str) -> Option<Secret<[u8; 32]>> {
    let bytes: [u8; 32] = STANDARD.decode(text).ok()?.try_into().ok()?;
    Some(Secret::new(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::vault::{SealOwner, SealPurpose, Vault};
    use domain::id::{ClientId, ConnectionId, ProviderId};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arbitrary_key_file_text_is_parsed_or_rejected(
            text: String,
            base: String,
            id in prop_oneof!["[0-9]{1,12}", "[a-z]{1,3}"],
            key: [u8; 32],
        ) {
            prop_assert!(KeyFile::parse(&text).is_none());
            let parse_with_base = |base: &str| KeyFile::parse(&format!("base = {base:?}\n[wrap]\n{id} = {:?}\n", STANDARD.encode(key)));
            prop_assert!(parse_with_base(&base).is_none());
            let keys = parse_with_base(&STANDARD.encode([1; 32]));
            prop_assert_eq!(keys.map(|keys| keys.newest_wrapping_key_id()), id.parse::<u32>().ok());
        }

        #[test]
        fn unwrap_data_key_rejects_arbitrary_bytes(bytes: Vec<u8>, connection: String) {
            let folder = tempfile::tempdir().unwrap();
            let vault = Vault::new(KeyFile::open(&create_key_file(folder.path())).unwrap());
            let (owner, purpose) = (SealOwner::for_provider(ProviderId::new(1)), SealPurpose::HubKey);
            prop_assert!(vault.unwrap_data_key(&bytes, owner, purpose).is_err());
            let with_root_id = [&1_u32.to_be_bytes()[..], &bytes].concat();
            prop_assert!(vault.unwrap_data_key(&with_root_id, owner, purpose).is_err());
            prop_assert!(DataKey::new(Secret::new([1; 32])).open_text(&connection, &bytes).is_err());
        }
    }

    fn create_key_file(folder: &Path) -> PathBuf {
        let path = folder.join("deep/bowline.keys");
        KeyFile::open_or_create(&path, || Ok([7; 32])).unwrap();
        path
    }

    #[test]
    fn key_file_is_created_once_with_mode_600() {
        let folder = tempfile::tempdir().unwrap();
        let path = create_key_file(folder.path());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let before = std::fs::read(&path).unwrap();
        KeyFile::open_or_create(&path, || Ok([8; 32])).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), before);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(KeyFile::open(&path), Err(KeyFileError::ReadableByOthers(_, 0o644))));
    }

    #[test]
    fn key_file_behind_symbolic_link_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (create_key_file(folder.path()), folder.path().join("link"));
        std::os::unix::fs::symlink(path, &link).unwrap();

        assert!(matches!(KeyFile::open(&link), Err(KeyFileError::SymbolicLink(_))));
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        assert!(matches!(KeyFile::open(&pipe), Err(KeyFileError::NotAFile(_))));
    }

    #[test]
    fn key_file_must_be_private_or_of_root_with_own_group() {
        use FileAccess::{ForeignOwner, Private, ReadableByOthers};
        for (owner, is_own_group, mode, expected) in [
            (1000, false, 0o600, Private),
            (1000, false, 0o400, Private),
            (1000, true, 0o640, ReadableByOthers),
            (1000, false, 0o604, ReadableByOthers),
            (0, true, 0o640, Private),
            (0, true, 0o440, Private),
            (0, false, 0o440, ReadableByOthers),
            (0, true, 0o660, ReadableByOthers),
            (0, true, 0o644, ReadableByOthers),
            (0, false, 0o600, Private),
            (1001, true, 0o600, ForeignOwner),
        ] {
            assert_eq!(
                check_access(owner, 1000, is_own_group, mode),
                expected,
                "{owner} {is_own_group} {mode:o}"
            );
        }
    }

    #[test]
    fn key_file_is_not_created_without_random_bytes() {
        let path = tempfile::tempdir().unwrap().path().join("bowline.keys");
        let result = KeyFile::open_or_create(&path, || Err(io::Error::other("no random bytes")));
        assert!(matches!(result, Err(KeyFileError::Io { .. })) && !path.exists());
    }

    #[test]
    fn derived_keys_are_constant_and_differ_by_label() {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyFile::open(&create_key_file(folder.path())).unwrap();
        assert_ne!(keys.derive("a").expose(), keys.derive("b").expose());
        assert_eq!(
            keys.derive("a").expose(),
            KeyFile::open(&create_key_file(folder.path())).unwrap().derive("a").expose()
        );
        assert_ne!(keys.derive("a").expose(), &[7; 32]);
    }

    #[test]
    fn sealed_token_opens_only_for_its_owner_and_purpose() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::new(KeyFile::open(&create_key_file(folder.path())).unwrap());
        let connections: [ConnectionId; 2] = ["con_1".parse().unwrap(), "con_2".parse().unwrap()];
        let clients: [ClientId; 2] = ["dc-1".parse().unwrap(), "dc-2".parse().unwrap()];
        let owner = |connection: usize, client: usize, provider| {
            SealOwner::for_connection(&connections[connection], &clients[client], ProviderId::new(provider))
        };
        let (key, sealed) =
            vault.seal(Secret::new([3; 32]), owner(0, 0, 1), SealPurpose::RefreshToken, b"x").unwrap();
        let opens = |owner, purpose| vault.open_text(owner, &[purpose], (&key, &sealed)).is_ok();

        assert!(opens(owner(0, 0, 1), SealPurpose::RefreshToken));
        assert!(!opens(owner(1, 0, 1), SealPurpose::RefreshToken), "another connection");
        assert!(!opens(owner(0, 1, 1), SealPurpose::RefreshToken), "another client");
        assert!(!opens(owner(0, 0, 2), SealPurpose::RefreshToken), "another provider");
        assert!(!opens(owner(0, 0, 1), SealPurpose::AccessToken), "another purpose");
        assert_eq!(vault.unopened_values(), 4);
        let either = [SealPurpose::AccessToken, SealPurpose::RefreshToken];
        assert!(vault.open_text(owner(0, 0, 1), &either, (&key, &sealed)).is_ok());
        assert!(vault.unwrap_data_key(&key[..3], owner(0, 0, 1), SealPurpose::RefreshToken).is_err());
        assert!(!key.windows(32).any(|w| w == [3; 32]));
    }

    #[test]
    fn malformed_key_file_error_hides_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = create_key_file(folder.path());
        for bad in ["", "base = 'c2hvcnQ='\n[wrap]\n1 = 'x'", "base = 5"] {
            std::fs::write(&path, bad).unwrap();
            let error = KeyFile::open(&path).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("expected `base`") && !error.contains("c2hv"), "{error}");
        }
    }
}
