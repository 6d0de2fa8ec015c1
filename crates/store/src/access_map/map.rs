//! The map of all tables that the access check depends on, and the join of their rows.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::client::Client;
use domain::model::connection::ConnectionStatus;
use domain::model::provider::{Provider, ProviderState};
use domain::model::refresh_token::RefreshToken;
use domain::model::registration::RegistrationState;
use domain::rule::access::AccessState;
use domain::secret::TokenHash;

use super::compact::{CompactId, CompactRow, CompactToken};
use super::entry_map::{CommitClock, CommitTime, EntryMap};
use super::rows::{AccessMapStats, ClientRow, ConnectionRow, RowKey};

/// The number of parts of the map that are locked separately.
const SHARDS: usize = 64;

/// The rows in memory. They are exact if all changes of these tables are announced by [`AccessMap::close`].
pub struct AccessMap {
    clock: CommitClock,
    connections: EntryMap<CompactId, Arc<CompactRow>>,
    clients: EntryMap<ClientId, ClientRow>,
    registrations: EntryMap<(ClientId, ProviderId), Option<RegistrationState>>,
    providers: EntryMap<ProviderId, ProviderState>,
    refresh_tokens: EntryMap<TokenHash, CompactToken>,
    /// Clients with all of their fields. The access check inserts only the fields that it has read, into `clients`.
    whole_clients: EntryMap<ClientId, Arc<Client>>,
    /// Providers with their settings.
    whole_providers: EntryMap<ProviderId, Arc<Provider>>,
    hits: std::sync::atomic::AtomicU64,
    misses: std::sync::atomic::AtomicU64,
}

/// The rows that a transaction has changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ChangedRows {
    Keys(Vec<RowKey>),
    /// Any row may have changed.
    All,
}

impl AccessMap {
    /// Creates a map of at most `bytes` bytes. With zero it stays empty.
    pub(crate) fn new(bytes: u64) -> Self {
        Self::with_shards(bytes, SHARDS)
    }

    pub(super) fn with_shards(bytes: u64, shards: usize) -> Self {
        // Nearly all rows are connections and refresh tokens, and a refresh token needs less memory than a connection. There
        // are far fewer clients, registrations and providers.
        let share = bytes / 32;
        Self {
            clock: CommitClock::new(),
            connections: EntryMap::new(18 * share, shards),
            clients: EntryMap::new(share, shards),
            registrations: EntryMap::new(share, shards),
            providers: EntryMap::new(share, shards),
            refresh_tokens: EntryMap::new(9 * share, shards),
            whole_clients: EntryMap::new(share, shards),
            whole_providers: EntryMap::new(share, shards),
            hits: 0.into(),
            misses: 0.into(),
        }
    }

    /// Closes the rows that a commit is about to change, until the result is dropped. It must be dropped after the commit
    /// is visible to readers of the database, or after the commit has failed.
    pub(crate) fn close(&self, rows: ChangedRows) -> ClosedRows<'_> {
        match &rows {
            ChangedRows::Keys(keys) => keys.iter().for_each(|key| self.close_row(key)),
            ChangedRows::All => self.close_all(),
        }
        ClosedRows { map: self, rows }
    }

    /// Removes all entries, because any row may have changed.
    pub(crate) fn clear(&self) {
        drop(self.close(ChangedRows::All));
    }

    /// Returns the permission to insert rows that are read from the database after this call.
    pub(crate) fn start_fill(&self) -> Fill<'_> {
        Fill { map: self, read_after: self.clock.now() }
    }

    /// Answers a question from several rows. Returns `None` if a row is not in memory, or if a commit has finished in the
    /// meantime: the rows might then never have existed together.
    pub(crate) fn answer<T>(&self, find: impl FnOnce(&Self) -> Option<T>) -> Option<T> {
        let before = self.clock.now();
        let found = find(self)?;
        (self.clock.now() == before).then_some(found)
    }

    /// Counts a question about a connection, which was answered from memory or from the database.
    pub(crate) fn count_question(&self, is_hit: bool) {
        let counter = if is_hit { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> AccessMapStats {
        let sizes = [
            self.connections.size(),
            self.clients.size(),
            self.registrations.size(),
            self.providers.size(),
            self.refresh_tokens.size(),
            self.whole_clients.size(),
            self.whole_providers.size(),
        ];
        AccessMapStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            entries: sizes.iter().map(|(entries, _)| entries).sum(),
            bytes: sizes.iter().map(|(_, bytes)| bytes).sum(),
        }
    }

    /// Joins the rows of a connection. Called within [`AccessMap::answer`].
    pub(crate) fn find_access_state(&self, id: &ConnectionId) -> Option<AccessState> {
        self.join_access_state(id, &*self.connections.find(&CompactId::from_connection(id))?)
    }

    fn join_access_state(&self, id: &ConnectionId, connection: &CompactRow) -> Option<AccessState> {
        let registration = (connection.client_id()?, connection.provider_id);
        let client = self.clients.find(&registration.0)?;
        let registration_state = self.registrations.find(&registration)?;
        let provider_state = self.providers.find(&connection.provider_id)?;
        let successor_active = match connection.replaced_by.as_deref() {
            Some(successor) => self.connections.find(successor)?.status == ConnectionStatus::Active,
            None => false,
        };
        Some(AccessState {
            connection_id: id.clone(),
            client_id: registration.0,
            provider_id: connection.provider_id,
            sub: connection.sub(),
            status: connection.status,
            cause: connection.cause,
            successor_active,
            provider_revocation: connection.provider_revocation,
            expires_at: connection.expires_at,
            token_generation: connection.token_generation,
            clusters: connection.clusters,
            accounts: connection.accounts.clone(),
            client_state: client.state,
            profile: client.profile,
            registration_state,
            provider_state,
        })
    }

    /// Finds a refresh token. Called within [`AccessMap::answer`].
    pub(crate) fn find_refresh_token(&self, hash: &TokenHash) -> Option<RefreshToken> {
        self.refresh_tokens.find(hash)?.expand()
    }

    pub(crate) fn find_client(&self, id: &ClientId) -> Option<Client> {
        self.whole_clients.find(id).map(|client| Client::clone(&client))
    }

    pub(crate) fn find_provider(&self, id: ProviderId) -> Option<Provider> {
        self.whole_providers.find(&id).map(|provider| Provider::clone(&provider))
    }

    fn close_row(&self, key: &RowKey) {
        match key {
            RowKey::Connection(id) => self.connections.close(&CompactId::from_connection(id)),
            RowKey::Client(id) => {
                self.clients.close(id);
                self.whole_clients.close(id);
            }
            RowKey::Registration(client, provider) => {
                self.registrations.close(&(client.clone(), *provider));
            }
            RowKey::Provider(id) => {
                self.providers.close(id);
                self.whole_providers.close(id);
            }
            RowKey::RefreshToken(hash) => self.refresh_tokens.close(hash),
        }
    }

    fn reopen_row(&self, key: &RowKey, at: CommitTime) {
        match key {
            RowKey::Connection(id) => self.connections.reopen(&CompactId::from_connection(id), at),
            RowKey::Client(id) => {
                self.clients.reopen(id, at);
                self.whole_clients.reopen(id, at);
            }
            RowKey::Registration(client, provider) => {
                self.registrations.reopen(&(client.clone(), *provider), at);
            }
            RowKey::Provider(id) => {
                self.providers.reopen(id, at);
                self.whole_providers.reopen(id, at);
            }
            RowKey::RefreshToken(hash) => self.refresh_tokens.reopen(hash, at),
        }
    }

    fn close_all(&self) {
        self.connections.close_all();
        self.clients.close_all();
        self.registrations.close_all();
        self.providers.close_all();
        self.refresh_tokens.close_all();
        self.whole_clients.close_all();
        self.whole_providers.close_all();
    }

    fn reopen_all(&self, at: CommitTime) {
        self.connections.reopen_all(at);
        self.clients.reopen_all(at);
        self.registrations.reopen_all(at);
        self.providers.reopen_all(at);
        self.refresh_tokens.reopen_all(at);
        self.whole_clients.reopen_all(at);
        self.whole_providers.reopen_all(at);
    }
}

/// Rows that are not in the map and cannot be inserted, because a commit changes them. Dropping it reopens them.
pub(crate) struct ClosedRows<'a> {
    map: &'a AccessMap,
    rows: ChangedRows,
}

impl Drop for ClosedRows<'_> {
    fn drop(&mut self) {
        if matches!(&self.rows, ChangedRows::Keys(keys) if keys.is_empty()) {
            return;
        }
        // The clock advances first: a question that finds a row which was inserted after the commit must also find that the
        // clock has advanced.
        let at = self.map.clock.advance();
        match &self.rows {
            ChangedRows::Keys(keys) => keys.iter().for_each(|key| self.map.reopen_row(key, at)),
            ChangedRows::All => self.map.reopen_all(at),
        }
    }
}

/// The permission to insert rows into the map that were read after it was given.
#[derive(Clone, Copy)]
pub(crate) struct Fill<'a> {
    map: &'a AccessMap,
    read_after: CommitTime,
}

impl Fill<'_> {
    /// Inserts the row of a connection, and joins it with the other rows. Returns `None` if one of these is not in memory, or
    /// if a commit has finished since the permission was given.
    ///
    /// The other rows are found after the connection was read. If the connection was read from a commit whose rows are still
    /// closed, no other row of that commit is in memory; later commits are noticed by the clock. So the rows existed at the
    /// same time.
    pub(crate) fn insert_connection(self, id: &ConnectionId, row: ConnectionRow) -> Option<AccessState> {
        let row = Arc::new(CompactRow::from(row));
        self.map.connections.insert(CompactId::from_connection(id), Arc::clone(&row), self.read_after);
        let state = self.map.join_access_state(id, &row)?;
        (self.map.clock.now() == self.read_after).then_some(state)
    }

    /// Inserts the rows of a connection, which one statement has read.
    pub(crate) fn insert_access_state(self, state: &AccessState, replaced_by: Option<ConnectionId>) {
        // All fields are named, so that a new one must be assigned to the row that it belongs to.
        let AccessState {
            connection_id,
            client_id,
            provider_id,
            sub,
            status,
            cause,
            // The status of the successor is read from its own row.
            successor_active: _,
            provider_revocation,
            expires_at,
            token_generation,
            clusters,
            accounts,
            client_state,
            profile,
            registration_state,
            provider_state,
        } = state;
        let row = ConnectionRow {
            client_id: client_id.clone(),
            provider_id: *provider_id,
            sub: sub.as_str().into(),
            status: *status,
            cause: *cause,
            replaced_by: replaced_by.map(Box::new),
            provider_revocation: *provider_revocation,
            expires_at: *expires_at,
            token_generation: *token_generation,
            clusters: *clusters,
            accounts: accounts.clone(),
        };
        let (map, read_after) = (self.map, self.read_after);
        map.connections.insert(CompactId::from_connection(connection_id), Arc::new(row.into()), read_after);
        let client = ClientRow { state: *client_state, profile: *profile };
        map.clients.insert(client_id.clone(), client, read_after);
        let registration = (client_id.clone(), *provider_id);
        map.registrations.insert(registration, *registration_state, read_after);
        map.providers.insert(*provider_id, *provider_state, read_after);
    }

    pub(crate) fn insert_client(self, client: &Client) {
        self.map.whole_clients.insert(client.id.clone(), Arc::new(client.clone()), self.read_after);
    }

    pub(crate) fn insert_provider(self, provider: &Provider) {
        self.map.whole_providers.insert(provider.id, Arc::new(provider.clone()), self.read_after);
    }

    pub(crate) fn insert_refresh_token(self, hash: TokenHash, token: &RefreshToken) {
        self.map.refresh_tokens.insert(hash, CompactToken::new(token), self.read_after);
    }
}
