//! The HTTP clients of providers with settings for their HTTP calls, which are kept between calls.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};

use domain::id::ProviderId;
use domain::model::provider::{Provider, SecretSource, SettingsVersion, TransportSettings};

use super::Outbound;

/// The state of a file, by which a change of its content is recognized without reading it. `None` if it does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp(Option<FileState>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileState {
    length: u64,
    inode: u64,
    modified: (i64, i64),
    /// The time of the last change of the content, owner or permissions. Unlike `modified`, programs cannot set it.
    changed: (i64, i64),
}

impl FileStamp {
    /// Returns the state of each file.
    pub fn read_all<'p>(paths: impl Iterator<Item = &'p str>) -> Vec<Self> {
        let read = |path| {
            let file = std::fs::metadata(path).ok()?;
            Some(FileState {
                length: file.len(),
                inode: file.ino(),
                modified: (file.mtime(), file.mtime_nsec()),
                changed: (file.ctime(), file.ctime_nsec()),
            })
        };
        paths.map(|path| Self(read(path))).collect()
    }
}

/// The HTTP client of a provider, and what it was built from: the settings, the version that determines sealed secrets, and files.
#[derive(Clone)]
pub struct ProviderClient {
    pub transport: TransportSettings,
    pub version: SettingsVersion,
    pub stamps: Vec<FileStamp>,
    /// The state of the files at the last failed attempt to load them, which is logged once.
    pub failed: Option<Vec<FileStamp>>,
    pub outbound: Outbound,
}

impl ProviderClient {
    fn fits(&self, provider: &Provider) -> bool {
        // The settings only show that a secret is in the store, so each version of the provider may have another one.
        let has_sealed_secret =
            provider.settings.transport_secrets().iter().any(|(_, source)| **source == SecretSource::Sealed);
        self.transport.equals_settings_of(&provider.settings)
            && (!has_sealed_secret || self.version == provider.version)
    }
}

/// The HTTP clients of the providers that have settings for their HTTP calls.
#[derive(Default)]
pub struct ProviderClients(Mutex<HashMap<(ProviderId, i64), ProviderClient>>);

impl ProviderClients {
    /// Returns the client for the endpoints of a provider if it was built with the same settings and secrets.
    pub fn find(&self, provider: &Provider) -> Option<ProviderClient> {
        let clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.get(&(provider.id, provider.version.endpoints))?;
        client.fits(provider).then(|| client.clone())
    }

    /// Returns whether no client is kept.
    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Keeps only the clients of these providers, which may have current or former settings. A client that is dropped releases its
    /// connections, certificates and keys as soon as its last call has ended.
    pub fn retain_fitting(&self, providers: &[Provider]) {
        let fits = |(id, endpoints): &(ProviderId, i64), client: &ProviderClient| {
            let has_key =
                |provider: &&Provider| provider.id == *id && provider.version.endpoints == *endpoints;
            providers.iter().find(has_key).is_some_and(|provider| client.fits(provider))
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, client| fits(key, client));
    }

    /// Replaces the client for the endpoints of a provider.
    pub fn insert(&self, provider: &Provider, client: ProviderClient) {
        let key = (provider.id, provider.version.endpoints);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, client);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn stamp_of_file_changes_with_its_permissions() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = || FileStamp::read_all([file.path().to_str().unwrap()].into_iter());
        let before = read();

        // The clock of the file system may advance only every 10 ms.
        let is_changed = (0..1_000_000).any(|nth| {
            let mode = if nth % 2 == 0 { 0o400 } else { 0o600 };
            file.as_file().set_permissions(std::fs::Permissions::from_mode(mode)).unwrap();
            read() != before
        });

        assert!(is_changed);
    }
}
