//! The clock of the hub: the system's clock, corrected by its offset to the clock of the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use domain::Timestamp;
use store::{Store, StoreError};

use crate::error::ContextError;

/// The maximum offset to the database's clock at which a node still serves requests.
pub(crate) const MAX_CLOCK_SKEW_MS: i64 = 2_000;
/// The age above which a measured offset is no longer trusted.
const MAX_OFFSET_AGE_MS: i64 = 30_000;

/// A source of the time in milliseconds since the epoch.
#[derive(Clone)]
pub struct Clock {
    read: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// True for the fixed clocks of tests: the offset to the database's clock is not applied.
    ignores_db_offset: bool,
}

impl Clock {
    /// Creates a clock that reads the system's clock. Nothing else in the hub reads the time of day.
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "every time of the hub is read here")]
        let read = || jiff::Timestamp::now().as_millisecond();
        Self { read: Arc::new(read), ignores_db_offset: false }
    }

    /// Creates a clock that always returns the value of `at`, which tests can change.
    pub fn fixed(at: Arc<AtomicI64>) -> Self {
        Self { read: Arc::new(move || at.load(Ordering::Relaxed)), ignores_db_offset: true }
    }

    /// Creates a fixed clock to which the offset to the database's clock is applied, as to the system's clock.
    pub fn fixed_with_db_offset(at: Arc<AtomicI64>) -> Self {
        Self { ignores_db_offset: false, ..Self::fixed(at) }
    }

    /// Returns the time without the offset to the database's clock.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis((self.read)())
    }

    /// Returns the function that reads the clock, for components that do not use this type.
    pub fn to_fn(&self) -> Arc<dyn Fn() -> i64 + Send + Sync> {
        Arc::clone(&self.read)
    }
}

/// Returns the time since the machine was started, including the time for which it was suspended.
#[cfg(target_os = "linux")]
pub(crate) fn uptime() -> Duration {
    read_monotonic_clock(rustix::time::ClockId::Boottime)
}

/// Returns the time since the machine was started. Other systems count the time for which it was suspended under this name.
#[cfg(not(target_os = "linux"))]
pub(crate) fn uptime() -> Duration {
    read_monotonic_clock(rustix::time::ClockId::Monotonic)
}

fn read_monotonic_clock(clock: rustix::time::ClockId) -> Duration {
    let now = rustix::time::clock_gettime(clock);
    // Neither number is negative for a clock that begins at the start of the machine.
    Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
}

/// A clock together with its measured offset to the clock of the database.
///
/// Several nodes share one database. Every node uses the time of the database, so that leases and expiry times are
/// comparable between nodes.
pub(crate) struct DatabaseClock {
    clock: Clock,
    /// The number of milliseconds by which the database's clock is ahead of `clock`.
    offset: AtomicI64,
    offset_measured_at: AtomicI64,
}

impl DatabaseClock {
    /// Creates a clock whose offset has not been measured yet.
    pub(crate) const fn new(clock: Clock) -> Self {
        Self { clock, offset: AtomicI64::new(0), offset_measured_at: AtomicI64::new(i64::MIN) }
    }

    /// Returns the time on the database's clock, or an error if the offset is unknown, outdated or too large.
    pub(crate) fn now(&self) -> Result<Timestamp, ContextError> {
        let own = (self.clock.read)();
        if self.clock.ignores_db_offset {
            return Ok(Timestamp::from_millis(own));
        }
        let offset = self.offset.load(Ordering::Relaxed);
        if own.saturating_sub(self.offset_measured_at.load(Ordering::Relaxed)) > MAX_OFFSET_AGE_MS {
            return Err(ContextError("the offset to the database's clock is not known"));
        }
        // A small offset is corrected. With a large one, either clock may be wrong, and the hub cannot know which.
        if offset.abs() > MAX_CLOCK_SKEW_MS {
            return Err(ContextError("the clock is more than two seconds off the database's"));
        }
        Ok(Timestamp::from_millis(own + offset))
    }

    /// Returns the time without the offset.
    pub(crate) fn own_time(&self) -> Timestamp {
        self.clock.now()
    }

    /// Measures the offset to the database's clock.
    pub(crate) async fn measure(&self, store: &Store) -> Result<(), StoreError> {
        let measured = store.clock_offset_ms(self.clock.now()).await;
        if matches!(measured, Err(StoreError::Incompatible(_))) {
            // The database may lose commits since its settings have changed. The node must not use it any longer, so it
            // does not keep the last offset until that is outdated.
            self.offset_measured_at.store(i64::MIN, Ordering::Relaxed);
        }
        let offset = measured?;
        self.offset.store(offset, Ordering::Relaxed);
        self.offset_measured_at.store((self.clock.read)(), Ordering::Relaxed);
        Ok(())
    }
}
