//! The app: built once, the only place that knows every part.

use std::sync::Arc;
use std::time::Duration;

use domain::Timestamp;
use domain::jose::AccessTokenKeys;
use store::{Store, StoreError};

use crate::breaker::Breaker;
use crate::clock::{Clock, DatabaseClock};
use crate::config::Config;
use crate::error::ContextError;
use crate::opaque_ids::OpaqueIds;
use crate::outbound::Outbound;
use crate::rate_limit::Limits;
use crate::stats::OperationStats;
use crate::telemetry::Telemetry;
use crate::vault::Vault;

/// The hub. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

struct Parts {
    config: Config,
    store: Store,
    vault: Vault,
    access_keys: AccessTokenKeys,
    opaque_ids: OpaqueIds,
    outbound: Outbound,
    breaker: Breaker,
    telemetry: Telemetry,
    operation_stats: OperationStats,
    limits: Limits,
    clock: DatabaseClock,
    job_notify: tokio::sync::Notify,
    removal_notify: tokio::sync::Notify,
}

/// Why the hub cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The store is not usable.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// A key does not work.
    #[error("keys: {0}")]
    Keys(String),
    /// No HTTP client can be built.
    #[error("outbound: {0}")]
    Outbound(String),
}

/// How long after its lease was taken an exchange may begin.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

impl App {
    /// Puts the parts together.
    pub async fn build(config: Config, vault: Vault, clock: Clock) -> Result<Self, BuildError> {
        let location = store::Location::parse(&config.store.url)
            .ok_or_else(|| StoreError::Incompatible("store.url is no store".into()))?;
        let settings = store::StoreSettings {
            location,
            connections: config.store.connections,
            queue_capacity: config.store.queue,
            audit_key: vault.audit_key(),
        };
        let store = Store::open(settings).await?;
        let app = Self(Arc::new(Parts {
            access_keys: vault.access_token_keys(&config.server.public_url),
            opaque_ids: OpaqueIds::new(vault.opaque_id_key()).map_err(|e| BuildError::Keys(e.to_string()))?,
            outbound: Outbound::new(&config.upstream).map_err(|e| BuildError::Outbound(e.to_string()))?,
            breaker: Breaker::new(&config.upstream),
            telemetry: Telemetry::new(),
            operation_stats: OperationStats::new(clock.now()),
            limits: Limits::new(&config.limit),
            config,
            store,
            vault,
            clock: DatabaseClock::new(clock),
            job_notify: tokio::sync::Notify::new(),
            removal_notify: tokio::sync::Notify::new(),
        }));
        app.measure_clock().await?;
        Ok(app)
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The keys.
    pub fn vault(&self) -> &Vault {
        &self.0.vault
    }

    /// The keys of access tokens.
    pub fn access_keys(&self) -> &AccessTokenKeys {
        &self.0.access_keys
    }

    /// The names of accounts and transactions towards recipients.
    pub fn opaque_ids(&self) -> &OpaqueIds {
        &self.0.opaque_ids
    }

    /// The only way out.
    pub fn outbound(&self) -> &Outbound {
        &self.0.outbound
    }

    /// Which providers are left alone for now.
    pub fn breaker(&self) -> &Breaker {
        &self.0.breaker
    }

    /// Tells the workers that there may be work.
    pub fn job_notify(&self) -> &tokio::sync::Notify {
        &self.0.job_notify
    }

    /// Tells the worker that a recipient was removed.
    pub fn removal_notify(&self) -> &tokio::sync::Notify {
        &self.0.removal_notify
    }

    /// What is counted.
    pub fn telemetry(&self) -> &Telemetry {
        &self.0.telemetry
    }

    /// How often who may ask.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// How each operation of the FDX face has done.
    pub fn operation_stats(&self) -> &OperationStats {
        &self.0.operation_stats
    }

    /// The origin that everybody sees.
    pub fn public_url(&self) -> &str {
        &self.0.config.server.public_url
    }

    /// Whether pages are served over TLS, so that cookies may be bound to that.
    pub fn is_https(&self) -> bool {
        self.public_url().starts_with("https:")
    }

    /// How long a lease on an exchange with a provider lasts: longer than the exchange may take.
    pub fn refresh_lease_duration(&self) -> Duration {
        self.max_call_duration() + LEASE_MARGIN
    }

    /// How long a lease on a job lasts: a job makes two calls at most.
    pub fn job_lease_duration(&self) -> Duration {
        self.max_call_duration() * 2 + LEASE_MARGIN
    }

    fn max_call_duration(&self) -> Duration {
        let upstream = &self.0.config.upstream;
        upstream.timeout.duration() + upstream.connect_timeout.duration()
    }

    /// Whether an exchange that was leased then may still begin: it would be over before the lease is.
    pub fn has_time_left(&self, leased_at: Timestamp) -> Result<bool, ContextError> {
        Ok(self.now()? <= leased_at.plus(LEASE_MARGIN))
    }

    /// The time on the database's clock; none if that is not known well enough.
    pub fn now(&self) -> Result<Timestamp, ContextError> {
        self.0.clock.now()
    }

    /// Measures how far the database's clock is ahead.
    pub async fn measure_clock(&self) -> Result<(), StoreError> {
        self.0.clock.measure(&self.0.store).await
    }
}
