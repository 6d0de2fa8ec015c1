//! The rows that the map contains, one entry for each row.

use std::sync::Arc;

use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::client::{Client, ClientState, Profile};
use domain::model::connection::{ConnectionStatus, EndCause, UpstreamRevocation};
use domain::model::provider::{Provider, ProviderState};
use domain::model::registration::RegistrationState;
use domain::secret::TokenHash;
use domain::{Clusters, Timestamp};

use super::entry_map::HeapSize;

/// The key of a row in one of the tables whose rows the map contains.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RowKey {
    /// A connection with its terms.
    Connection(ConnectionId),
    Client(ClientId),
    Registration(ClientId, ProviderId),
    Provider(ProviderId),
    RefreshToken(TokenHash),
}

/// A connection with its current terms, as it is read from the database.
pub(crate) struct ConnectionRow {
    pub(crate) client_id: ClientId,
    pub(crate) provider_id: ProviderId,
    pub(crate) sub: Box<str>,
    pub(crate) status: ConnectionStatus,
    pub(crate) cause: Option<EndCause>,
    /// The newer connection that replaced this one. Its status is in its own row, which changes without this one.
    pub(crate) replaced_by: Option<Box<ConnectionId>>,
    pub(crate) provider_revocation: UpstreamRevocation,
    pub(crate) expires_at: Timestamp,
    pub(crate) token_generation: i64,
    pub(crate) clusters: Clusters,
    pub(crate) accounts: Option<Arc<[String]>>,
}

#[derive(Clone, Copy)]
pub(super) struct ClientRow {
    pub(super) state: ClientState,
    pub(super) profile: Profile,
}

/// The size of the map and its use since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessMapStats {
    /// The number of questions about a connection that were answered from memory.
    pub hits: u64,
    /// The number of questions about a connection that were answered from the database.
    pub misses: u64,
    /// The number of barriers that were sent. SQLite needs none.
    pub barriers: u64,
    pub entries: usize,
    /// The approximate size of the entries in memory.
    pub bytes: u64,
}

/// The bytes that the allocator needs for each allocation in addition to its content.
pub(super) const ALLOCATION_OVERHEAD: usize = 16;

pub(super) const fn text_size(text: &str) -> usize {
    text.len() + ALLOCATION_OVERHEAD
}

impl HeapSize for ClientId {
    fn heap_size(&self) -> usize {
        text_size(self.as_str())
    }
}

impl HeapSize for (ClientId, ProviderId) {
    fn heap_size(&self) -> usize {
        self.0.heap_size()
    }
}

/// The approximate size of the fields of a client whose length varies little, and of the settings of a provider.
const CLIENT_FIELDS_SIZE: usize = 512;
const PROVIDER_SETTINGS_SIZE: usize = 4096;

impl HeapSize for Arc<Client> {
    fn heap_size(&self) -> usize {
        let redirect_uris = self.redirect_uris.iter().map(|uri| size_of::<String>() + text_size(uri));
        size_of::<Client>() + CLIENT_FIELDS_SIZE + redirect_uris.sum::<usize>()
    }
}

impl HeapSize for Arc<Provider> {
    fn heap_size(&self) -> usize {
        size_of::<Provider>() + PROVIDER_SETTINGS_SIZE
    }
}

/// Implements the size of types without allocations.
macro_rules! impl_no_heap {
    ($($type:ty),+) => {$(
        impl HeapSize for $type {
            fn heap_size(&self) -> usize {
                0
            }
        }
    )+};
}
impl_no_heap!(TokenHash, ProviderId, ClientRow, Option<RegistrationState>, ProviderState);
