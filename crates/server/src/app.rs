//! The app: built once, the only place that knows every part.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use domain::Timestamp;
use domain::jose::AccessTokenKeys;
use store::{Store, StoreError};

use crate::config::Config;
use crate::context::ContextError;
use crate::fdx_api::{OpaqueIds, OperationStats};
use crate::outbound::Outbound;
use crate::rate_limit::Limits;
use crate::telemetry::Telemetry;
use crate::upstream::Breaker;
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
    clock: Clock,
    job_notify: tokio::sync::Notify,
    removal_notify: tokio::sync::Notify,
    /// Milliseconds that the database's clock is ahead of ours, and when that was measured.
    offset: AtomicI64,
    offset_measured_at: AtomicI64,
}

/// A clock: milliseconds since the epoch.
#[derive(Clone)]
pub struct Clock {
    read: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// Whether it is the truth itself, so that the database's is not asked: a clock of tests.
    ignores_db_offset: bool,
}

impl Clock {
    /// The system's clock: the only place that reads it.
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "every time of the hub is read here")]
        let read = || jiff::Timestamp::now().as_millisecond();
        Self { read: Arc::new(read), ignores_db_offset: false }
    }

    /// A clock that stands where it is put.
    pub fn fixed(at: Arc<AtomicI64>) -> Self {
        Self { read: Arc::new(move || at.load(Ordering::Relaxed)), ignores_db_offset: true }
    }

    /// A clock that stands, and that the database corrects like the system's.
    pub fn fixed_with_db_offset(at: Arc<AtomicI64>) -> Self {
        Self { ignores_db_offset: false, ..Self::fixed(at) }
    }

    /// What it shows, without the database's correction.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis((self.read)())
    }

    /// The same for another party.
    pub fn to_fn(&self) -> Arc<dyn Fn() -> i64 + Send + Sync> {
        Arc::clone(&self.read)
    }
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

/// A node whose clock is further off than this refuses.
pub(crate) const MAX_CLOCK_SKEW_MS: i64 = 2_000;
/// An offset that was measured longer ago than this is not known any more.
const MAX_OFFSET_AGE_MS: i64 = 30_000;

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
            clock,
            job_notify: tokio::sync::Notify::new(),
            removal_notify: tokio::sync::Notify::new(),
            offset: AtomicI64::new(0),
            offset_measured_at: AtomicI64::new(i64::MIN),
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
        let own = (self.0.clock.read)();
        if self.0.clock.ignores_db_offset {
            return Ok(Timestamp::from_millis(own));
        }
        let offset = self.0.offset.load(Ordering::Relaxed);
        if own.saturating_sub(self.0.offset_measured_at.load(Ordering::Relaxed)) > MAX_OFFSET_AGE_MS {
            return Err(ContextError("the offset to the database's clock is not known"));
        }
        if offset.abs() > MAX_CLOCK_SKEW_MS {
            return Err(ContextError("the clock is more than two seconds off the database's"));
        }
        Ok(Timestamp::from_millis(own + offset))
    }

    /// Measures how far the database's clock is ahead.
    pub async fn measure_clock(&self) -> Result<(), StoreError> {
        let own = (self.0.clock.read)();
        let ahead = self.0.store.clock_offset_ms(Timestamp::from_millis(own)).await?;
        self.0.offset.store(ahead, Ordering::Relaxed);
        self.0.offset_measured_at.store((self.0.clock.read)(), Ordering::Relaxed);
        Ok(())
    }

    /// Random bytes of the system.
    pub fn fill_random(&self, bytes: &mut [u8]) -> Result<(), ContextError> {
        crate::context::fill_random(bytes)
    }
}
