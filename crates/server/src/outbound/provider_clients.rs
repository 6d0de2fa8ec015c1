//! The HTTP clients of providers with settings for their HTTP calls, which are kept between calls.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use domain::id::ProviderId;
use domain::model::provider::{ProviderSettings, TransportSettings};

use super::Outbound;

/// The state of a file, by which a change of its content is recognized without reading it. `None` if it does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp(Option<(Option<SystemTime>, u64, u64)>);

impl FileStamp {
    /// Returns the state of each file.
    pub fn read_all<'p>(paths: impl Iterator<Item = &'p str>) -> Vec<Self> {
        let read = |path| {
            let file = std::fs::metadata(path).ok()?;
            Some((file.modified().ok(), file.len(), file.ino()))
        };
        paths.map(|path| Self(read(path))).collect()
    }
}

/// The HTTP client of a provider, and what it was built from.
#[derive(Clone)]
pub struct ProviderClient {
    pub transport: TransportSettings,
    pub stamps: Vec<FileStamp>,
    pub outbound: Outbound,
}

/// The HTTP clients of the providers that have settings for their HTTP calls.
#[derive(Default)]
pub struct ProviderClients(Mutex<HashMap<ProviderId, ProviderClient>>);

impl ProviderClients {
    /// Returns the client of a provider if it was built with these settings.
    pub fn find(&self, provider: ProviderId, settings: &ProviderSettings) -> Option<ProviderClient> {
        let clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clients.get(&provider).filter(|client| client.transport.is_of(settings)).cloned()
    }

    /// Replaces the client of a provider.
    pub fn insert(&self, provider: ProviderId, client: ProviderClient) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(provider, client);
    }
}
