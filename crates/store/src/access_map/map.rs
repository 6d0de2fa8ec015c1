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

use super::barrier::{BarrierNumber, SentBarriers};
use super::compact::{CompactId, CompactRow, CompactToken};
use super::entry_map::{CommitClock, CommitTime, EntryMap};
use super::rows::{AccessMapStats, ClientRow, ConnectionRow, RowKey};

/// The number of parts of the map that are locked separately.
const SHARDS: usize = 64;

/// The rows in memory. They are exact if all changes of these tables are announced by [`AccessMap::close`], or are read by
/// barriers before each answer.
pub(crate) struct AccessMap {
    clock: CommitClock,
    /// The barriers that read the changes of rows. Without them, a writer announces each commit of its own.
    barriers: Option<SentBarriers>,
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

/// The rows that one or more transactions have changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ChangedRows {
    Keys(Vec<RowKey>),
    /// Any row may have changed.
    All,
}

impl AccessMap {
    /// Creates a map of at most `bytes` bytes whose changes a writer announces. With zero bytes it stays empty.
    pub(crate) fn for_writer(bytes: u64) -> Self {
        Self::with_shards(bytes, SHARDS, false)
    }

    /// Creates a map of at most `bytes` bytes whose changes are read by barriers.
    pub(crate) fn for_barriers(bytes: u64) -> Self {
        Self::with_shards(bytes, SHARDS, true)
    }

    pub(super) fn with_shards(bytes: u64, shards: usize, has_barriers: bool) -> Self {
        // Nearly all rows are connections and refresh tokens, and a refresh token needs less memory than a connection. There
        // are far fewer clients, registrations and providers.
        let share = bytes / 32;
        Self {
            clock: CommitClock::new(),
            barriers: has_barriers.then(SentBarriers::new),
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

    /// Returns the number of a barrier. It must be sent after this call.
    pub(crate) fn start_barrier(&self) -> BarrierNumber {
        self.barriers.as_ref().map_or(BarrierNumber::FIRST, SentBarriers::start)
    }

    /// Applies the changes that a barrier has read. Barriers are applied in the order in which they were sent.
    pub(crate) fn apply_barrier(&self, rows: ChangedRows) {
        drop(self.close(rows));
    }

    /// Returns the permission to insert rows that are read from the database after this call.
    pub(crate) fn start_fill(&self) -> Fill<'_> {
        Fill { map: self, read_after: self.clock.now() }
    }

    /// Answers a question from several rows, after a barrier if the map needs one. Returns `None` if a row is not in memory,
    /// or if a commit has finished in the meantime: the rows might then never have existed together.
    pub(crate) fn answer<T>(
        &self,
        barrier: BarrierNumber,
        find: impl FnOnce(&MapView<'_>) -> Option<T>,
    ) -> Option<T> {
        let before = self.clock.now();
        let found = find(&MapView { map: self, barrier })?;
        (self.clock.now() == before).then_some(found)
    }

    /// Looks at all entries, also at those that a question may not use. What is found answers no question.
    pub(crate) fn view_any(&self, look: impl FnOnce(&MapView<'_>) -> bool) -> bool {
        look(&MapView { map: self, barrier: BarrierNumber::LAST })
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
            barriers: self.barriers.as_ref().map_or(0, SentBarriers::count),
            entries: sizes.iter().map(|(entries, _)| entries).sum(),
            bytes: sizes.iter().map(|(_, bytes)| bytes).sum(),
        }
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

/// The entries of a map that a question may use.
pub struct MapView<'a> {
    map: &'a AccessMap,
    /// The barrier that the question has waited for.
    barrier: BarrierNumber,
}

impl MapView<'_> {
    /// Joins the rows of a connection.
    pub(crate) fn find_access_state(&self, id: &ConnectionId) -> Option<AccessState> {
        self.join_access_state(
            id,
            &*self.map.connections.find(&CompactId::from_connection(id), self.barrier)?,
        )
    }

    /// Returns whether there is an entry of a connection.
    pub(crate) fn has_connection(&self, id: &ConnectionId) -> bool {
        self.map.connections.find(&CompactId::from_connection(id), self.barrier).is_some()
    }

    /// Returns whether there is an entry of a client with all of its fields.
    pub(crate) fn has_client(&self, id: &ClientId) -> bool {
        self.map.whole_clients.find(id, self.barrier).is_some()
    }

    fn join_access_state(&self, id: &ConnectionId, connection: &CompactRow) -> Option<AccessState> {
        let registration = (connection.client_id()?, connection.provider_id);
        let client = self.map.clients.find(&registration.0, self.barrier)?;
        let registration_state = self.map.registrations.find(&registration, self.barrier)?;
        let provider_state = self.map.providers.find(&connection.provider_id, self.barrier)?;
        let successor_active = match connection.replaced_by.as_deref() {
            Some(successor) => {
                self.map.connections.find(successor, self.barrier)?.status == ConnectionStatus::Active
            }
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

    pub(crate) fn find_refresh_token(&self, hash: &TokenHash) -> Option<RefreshToken> {
        self.map.refresh_tokens.find(hash, self.barrier)?.expand()
    }

    pub(crate) fn find_client(&self, id: &ClientId) -> Option<Client> {
        self.map.whole_clients.find(id, self.barrier).map(|client| Client::clone(&client))
    }

    pub(crate) fn find_provider(&self, id: ProviderId) -> Option<Provider> {
        self.map.whole_providers.find(&id, self.barrier).map(|provider| Provider::clone(&provider))
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
    /// Returns whether a row that was read may be joined with rows in memory. With barriers these may be older.
    pub(crate) const fn can_join(&self) -> bool {
        self.map.barriers.is_none()
    }

    /// Returns the first barrier that may use a row which was read before this call: one that is sent after it.
    fn usable_from(self) -> BarrierNumber {
        self.map.barriers.as_ref().map_or(BarrierNumber::FIRST, SentBarriers::next)
    }

    /// Inserts the row of a connection, and joins it with the other rows. Returns `None` if one of these is not in memory, or
    /// if a commit has finished since the permission was given.
    ///
    /// The other rows are found after the connection was read. If the connection was read from a commit whose rows are still
    /// closed, no other row of that commit is in memory; later commits are noticed by the clock. So the rows existed at the
    /// same time. This does not hold with barriers, see [`Fill::can_join`].
    pub(crate) fn insert_connection(self, id: &ConnectionId, row: ConnectionRow) -> Option<AccessState> {
        let row = Arc::new(CompactRow::from(row));
        let key = CompactId::from_connection(id);
        self.map.connections.insert(key, Arc::clone(&row), self.read_after, self.usable_from());
        let state = MapView { map: self.map, barrier: BarrierNumber::LAST }.join_access_state(id, &row)?;
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
        let (map, read_after, usable_from) = (self.map, self.read_after, self.usable_from());
        let key = CompactId::from_connection(connection_id);
        map.connections.insert(key, Arc::new(row.into()), read_after, usable_from);
        let client = ClientRow { state: *client_state, profile: *profile };
        map.clients.insert(client_id.clone(), client, read_after, usable_from);
        let registration = (client_id.clone(), *provider_id);
        map.registrations.insert(registration, *registration_state, read_after, usable_from);
        map.providers.insert(*provider_id, *provider_state, read_after, usable_from);
    }

    pub(crate) fn insert_client(self, client: &Client) {
        let client = Arc::new(client.clone());
        self.map.whole_clients.insert(client.id.clone(), client, self.read_after, self.usable_from());
    }

    pub(crate) fn insert_provider(self, provider: &Provider) {
        let provider = Arc::new(provider.clone());
        self.map.whole_providers.insert(provider.id, provider, self.read_after, self.usable_from());
    }

    pub(crate) fn insert_refresh_token(self, hash: TokenHash, token: &RefreshToken) {
        let token = CompactToken::new(token);
        self.map.refresh_tokens.insert(hash, token, self.read_after, self.usable_from());
    }
}
