//! The composition root: builds every part of the hub once.

use std::sync::Arc;
use std::time::Duration;

use domain::Timestamp;
use domain::jose::AccessTokenKeys;
use store::query::GetStorePurpose;
use store::{Store, StoreError, StorePurpose, UptimeClock};

use crate::access_denials::AccessDenials;
use crate::breaker::Breaker;
use crate::clock::{Clock, DatabaseClock, uptime};
use crate::config::Config;
use crate::discovery_attempts::DiscoveryAttempts;
use crate::document_slots::DocumentSlots;
use crate::dpop_nonces::DpopNonces;
use crate::error::ContextError;
use crate::opaque_ids::OpaqueIds;
use crate::outbound::{Outbound, ProviderClients};
use crate::provider_keys::ProviderKeyCache;
use crate::published_keys::PublishedKeys;
use crate::rate_limit::Limits;
use crate::read_diagnostics::ReadDiagnostics;
use crate::read_failure_records::ReadFailureRecords;
use crate::response_memory::ResponseMemory;
use crate::stats::OperationStats;
use crate::sweep_progress::SweepProgress;
use crate::telemetry::Telemetry;
use crate::vault::Vault;

/// All parts of the hub. Clones share them.
#[derive(Clone)]
pub struct App(Arc<Parts>);

struct Parts {
    config: Config,
    store: Store,
    purpose: StorePurpose,
    vault: Arc<Vault>,
    access_keys: AccessTokenKeys,
    opaque_ids: OpaqueIds,
    outbound: Outbound,
    provider_clients: ProviderClients,
    published_keys: PublishedKeys,
    discovery_attempts: DiscoveryAttempts,
    provider_keys: ProviderKeyCache,
    breaker: Breaker,
    telemetry: Telemetry,
    operation_stats: OperationStats,
    read_diagnostics: ReadDiagnostics,
    read_failure_records: ReadFailureRecords,
    limits: Limits,
    access_denials: AccessDenials,
    document_slots: DocumentSlots,
    dpop_nonces: DpopNonces,
    response_memory: ResponseMemory,
    clock: DatabaseClock,
    job_notify: tokio::sync::Notify,
    removal_notify: tokio::sync::Notify,
    sweep_progress: tokio::sync::Mutex<SweepProgress>,
}

/// The reason why the hub cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The store cannot be opened, for example because the database cannot be reached.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// A key that is derived from the key file cannot be used.
    #[error("keys: {0}")]
    Keys(String),
    /// The HTTP client cannot be built.
    #[error("outbound: {0}")]
    Outbound(String),
}

/// The time after acquiring a lease within which a call to a provider must begin. The call then ends before the lease
/// does.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

impl App {
    /// Opens the store, derives the keys and builds all parts.
    pub async fn build(config: Config, vault: Vault, clock: Clock) -> Result<Self, BuildError> {
        let location = config.store_location().map_err(StoreError::Incompatible)?;
        let vault = Arc::new(vault);
        let settings = store::StoreSettings {
            location,
            connections: config.store.connections,
            queue_capacity: config.store.queue,
            access_map_bytes: config.store.access_map_size.bytes() as u64,
            node_lease: config.store.lease.duration(),
            uptime: UptimeClock::new(uptime),
            keys: vault.store_keys(),
        };
        // To read the certificates of the system takes about as long as to open the store.
        let upstream = config.upstream.clone();
        let outbound = tokio::task::spawn_blocking(move || Outbound::new(&upstream));
        let store = Store::open(settings).await?;
        let purpose = store.query(&GetStorePurpose).await?;
        let settle = config.server.clock_settle.duration();
        let outbound = outbound.await.map_err(|e| BuildError::Outbound(e.to_string()))?;
        let outbound = outbound.map_err(|e| BuildError::Outbound(e.to_string()))?;
        let app = Self(Arc::new(Parts {
            access_keys: vault.access_token_keys(&config.server.public_url),
            opaque_ids: OpaqueIds::new(vault.opaque_id_key()).map_err(|e| BuildError::Keys(e.to_string()))?,
            outbound,
            provider_clients: ProviderClients::default(),
            published_keys: PublishedKeys::default(),
            discovery_attempts: DiscoveryAttempts::default(),
            provider_keys: ProviderKeyCache::default(),
            breaker: Breaker::new(&config.upstream),
            telemetry: Telemetry::new(),
            operation_stats: OperationStats::new(clock.now()),
            read_diagnostics: ReadDiagnostics::default(),
            read_failure_records: ReadFailureRecords::default(),
            limits: Limits::new(&config.limit),
            access_denials: AccessDenials::default(),
            document_slots: DocumentSlots::new(&config.limit),
            dpop_nonces: DpopNonces::default(),
            response_memory: ResponseMemory::new(&config.server),
            config,
            store,
            purpose,
            vault,
            clock: DatabaseClock::new(clock, settle),
            job_notify: tokio::sync::Notify::new(),
            removal_notify: tokio::sync::Notify::new(),
            sweep_progress: tokio::sync::Mutex::default(),
        }));
        // Without a first measurement the node would reject all requests until the clock job runs.
        app.measure_clock().await?;
        Ok(app)
    }

    /// Returns the memory of the public keys of providers.
    pub(crate) fn provider_keys(&self) -> &ProviderKeyCache {
        &self.0.provider_keys
    }

    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Returns the progress of the sweeps of this node.
    pub(crate) fn sweep_progress(&self) -> &tokio::sync::Mutex<SweepProgress> {
        &self.0.sweep_progress
    }

    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Returns what the store was created for.
    pub fn store_purpose(&self) -> StorePurpose {
        self.0.purpose
    }

    /// Returns the keys, with the functions that hash and encrypt.
    pub fn vault(&self) -> &Vault {
        &self.0.vault
    }

    /// Returns the keys that sign and verify access tokens.
    pub fn access_keys(&self) -> &AccessTokenKeys {
        &self.0.access_keys
    }

    /// Returns the cipher that maps ids of accounts and statements at a provider to the ids that recipients see.
    pub fn opaque_ids(&self) -> &OpaqueIds {
        &self.0.opaque_ids
    }

    /// Returns the HTTP client for calls to providers. Nothing else in the hub calls other parties.
    pub fn outbound(&self) -> &Outbound {
        &self.0.outbound
    }

    /// Returns the HTTP clients of the providers that have settings for their HTTP calls.
    pub(crate) fn provider_clients(&self) -> &ProviderClients {
        &self.0.provider_clients
    }

    /// Returns the memory of the hub's published keys.
    pub(crate) fn published_keys(&self) -> &PublishedKeys {
        &self.0.published_keys
    }

    /// Returns the attempts to request metadata of providers' issuers.
    pub(crate) fn discovery_attempts(&self) -> &DiscoveryAttempts {
        &self.0.discovery_attempts
    }

    /// Returns the circuit breakers of the providers.
    pub fn breaker(&self) -> &Breaker {
        &self.0.breaker
    }

    /// Returns the notifier that wakes a worker after a job was queued.
    pub fn job_notify(&self) -> &tokio::sync::Notify {
        &self.0.job_notify
    }

    /// Returns the notifier that wakes the removal worker after a recipient was removed.
    pub fn removal_notify(&self) -> &tokio::sync::Notify {
        &self.0.removal_notify
    }

    pub fn telemetry(&self) -> &Telemetry {
        &self.0.telemetry
    }

    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Returns the refused requests that are not recorded yet.
    pub(crate) fn access_denials(&self) -> &AccessDenials {
        &self.0.access_denials
    }

    /// Returns the memory of the responses that this node is sending.
    pub(crate) fn response_memory(&self) -> &ResponseMemory {
        &self.0.response_memory
    }

    /// Returns the documents that this node is sending.
    pub fn document_slots(&self) -> &DocumentSlots {
        &self.0.document_slots
    }

    /// Returns the nonces that providers have supplied for proofs of possession.
    pub(crate) fn dpop_nonces(&self) -> &DpopNonces {
        &self.0.dpop_nonces
    }

    /// Returns the call statistics of the FDX operations.
    pub fn operation_stats(&self) -> &OperationStats {
        &self.0.operation_stats
    }

    /// Returns the failed reads and the fields that were left out, since this node started.
    pub(crate) fn read_diagnostics(&self) -> &ReadDiagnostics {
        &self.0.read_diagnostics
    }

    /// Returns the memory of failed reads that the audit log contains already.
    pub(crate) fn read_failure_records(&self) -> &ReadFailureRecords {
        &self.0.read_failure_records
    }

    /// Returns the origin of all public URLs, without a trailing slash.
    pub fn public_url(&self) -> &str {
        &self.0.config.server.public_url
    }

    /// Returns whether the public origin uses TLS.
    pub fn is_https(&self) -> bool {
        self.public_url().starts_with("https:")
    }

    /// Returns the duration of a refresh lease, which is longer than a call to the provider can take.
    pub fn refresh_lease_duration(&self) -> Duration {
        self.max_call_duration() + LEASE_MARGIN
    }

    /// Returns the duration of a job lease, which is longer than the at most two calls of a job to a provider can take.
    pub fn job_lease_duration(&self) -> Duration {
        self.max_call_duration() * 2 + LEASE_MARGIN
    }

    fn max_call_duration(&self) -> Duration {
        let upstream = &self.0.config.upstream;
        upstream.timeout.duration() + upstream.connect_timeout.duration()
    }

    /// Returns whether a call to a provider may still begin under a lease acquired at `leased_at`. It then ends before
    /// the lease.
    pub fn has_time_left(&self, leased_at: Timestamp) -> Result<bool, ContextError> {
        Ok(self.now()? <= leased_at.plus(LEASE_MARGIN))
    }

    /// Returns the time on the database's clock, or an error if its offset is unknown, outdated or too large.
    pub fn now(&self) -> Result<Timestamp, ContextError> {
        self.0.clock.now()
    }

    /// Returns the number of jumps of this machine's clock and of the database's clock that this node has noticed.
    pub(crate) fn clock_jumps(&self) -> u64 {
        self.0.clock.jumps()
    }

    /// Measures the offset to the database's clock.
    pub async fn measure_clock(&self) -> Result<(), StoreError> {
        self.0.clock.measure(&self.0.store).await
    }
}
