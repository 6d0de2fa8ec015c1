//! The clock of the hub: the system's clock, corrected by its offset to the clock of the database. Jumps of both are noticed.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use domain::Timestamp;
use domain::rule::steady_clock::{ClockReading, SteadyClock};
use store::{Store, StoreError};

use crate::error::ContextError;

/// The maximum offset to the database's clock at which a node still serves requests.
pub(crate) const MAX_CLOCK_SKEW_MS: i64 = 2_000;
/// The age above which a measured offset is no longer trusted.
const MAX_OFFSET_AGE: Duration = Duration::from_secs(30);

/// A source of the time in milliseconds since the epoch, and of the uptime of the machine.
#[derive(Clone)]
pub struct Clock {
    time: Arc<dyn Fn() -> i64 + Send + Sync>,
    uptime: Arc<dyn Fn() -> Duration + Send + Sync>,
    /// True for the fixed clocks of tests: they may jump, and the offset to the database's clock is not applied.
    is_trusted: bool,
}

impl Clock {
    /// Creates a clock that reads the system's clock. Nothing else in the hub reads the time of day.
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "every time of the hub is read here")]
        let time = || jiff::Timestamp::now().as_millisecond();
        Self { time: Arc::new(time), uptime: Arc::new(uptime), is_trusted: false }
    }

    /// Creates a clock that always returns the value of `at`, which tests can change.
    pub fn fixed(at: Arc<AtomicI64>) -> Self {
        Self { is_trusted: true, ..Self::fixed_with_uptime(Arc::clone(&at), at) }
    }

    /// Creates a fixed clock with an uptime in milliseconds. It is checked like the system's clock.
    pub fn fixed_with_uptime(at: Arc<AtomicI64>, uptime: Arc<AtomicI64>) -> Self {
        let uptime =
            move || Duration::from_millis(u64::try_from(uptime.load(Ordering::Relaxed)).unwrap_or(0));
        let time = move || at.load(Ordering::Relaxed);
        Self { time: Arc::new(time), uptime: Arc::new(uptime), is_trusted: false }
    }

    /// Returns the time without the offset to the database's clock.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis((self.time)())
    }

    /// Returns the function that reads the clock, for components that do not use this type.
    pub fn to_fn(&self) -> Arc<dyn Fn() -> i64 + Send + Sync> {
        Arc::clone(&self.time)
    }

    fn read(&self) -> ClockReading {
        let uptime = (self.uptime)();
        let time = self.now();
        // This thread may be interrupted between the two readings.
        ClockReading { time, uptime, uncertainty: (self.uptime)().saturating_sub(uptime) }
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

/// A comparison of the database's clock with that of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MeasuredOffset {
    /// The number of milliseconds by which the database's clock is ahead.
    pub(crate) millis: i64,
    /// The reading of the database's clock; `None` if it has none of its own.
    database: Option<ClockReading>,
}

impl MeasuredOffset {
    /// Returns whether the clocks certainly differ too much. The response of the database may have taken long.
    fn is_too_large(self) -> bool {
        let uncertainty = self.database.map_or(Duration::ZERO, |database| database.uncertainty).as_millis();
        u128::from(self.millis.unsigned_abs()) > u128::from(MAX_CLOCK_SKEW_MS.unsigned_abs()) + uncertainty
    }
}

/// Compares the database's clock with a clock of this machine.
pub(crate) async fn measure_offset(clock: &Clock, store: &Store) -> Result<MeasuredOffset, StoreError> {
    let before = clock.read();
    let Some(time) = store.database_time().await? else {
        return Ok(MeasuredOffset::default());
    };
    let uncertainty = clock.read().uptime.saturating_sub(before.uptime) / 2;
    // The database has read its clock between the request and the response.
    let database = ClockReading { time, uptime: before.uptime + uncertainty, uncertainty };
    let millis = time.millis() - before.time.plus(uncertainty).millis();
    Ok(MeasuredOffset { millis, database: Some(database) })
}

/// A clock together with its measured offset to the clock of the database.
///
/// Several nodes share one database. Every node uses the time of the database, so that leases and expiry times are
/// comparable between nodes.
pub(crate) struct DatabaseClock {
    clock: Clock,
    /// The time for which the clocks must not jump before requests are served again.
    settle: Duration,
    state: RwLock<ClockState>,
}

struct ClockState {
    own: SteadyClock,
    /// The database's clock, once it was measured.
    database: Option<SteadyClock>,
    /// The last measurement and its uptime.
    offset: Option<(MeasuredOffset, Duration)>,
}

impl ClockState {
    /// Converts a reading to the time on the database's clock, or returns why no time can be trusted.
    fn convert(&self, reading: ClockReading, settle: Duration) -> Result<Timestamp, ContextError> {
        let is_steady = |clock: &SteadyClock| clock.is_steady(reading.uptime, settle);
        if !is_steady(&self.own) || !self.database.as_ref().is_none_or(is_steady) {
            return Err(ContextError("a clock has jumped, and was not steady for server.clock_settle since"));
        }
        let offset = self.offset.filter(|(_, at)| reading.uptime.saturating_sub(*at) <= MAX_OFFSET_AGE);
        let Some((offset, _)) = offset else {
            return Err(ContextError("the offset to the database's clock is not known"));
        };
        // A small offset is corrected. With a large one, either clock may be wrong, and the hub cannot know which.
        if offset.is_too_large() {
            return Err(ContextError("the clock is more than two seconds off the database's"));
        }
        Ok(Timestamp::from_millis(reading.time.millis().saturating_add(offset.millis)))
    }

    /// Compares a reading of the database's clock with the one before.
    fn observe_database(&mut self, reading: ClockReading) {
        let Some(known) = &mut self.database else {
            self.database = Some(SteadyClock::new(reading));
            return;
        };
        if known.has_jumped(reading) {
            tracing::error!("the database's clock has jumped: requests are refused until it is steady");
            known.record_jump(reading);
        } else if reading.uncertainty <= MAX_UNCERTAINTY {
            known.follow(reading);
        }
    }
}

/// The uncertainty up to which a reading of the database's clock replaces the one before. The clocks of two machines run
/// differently, so an old reading would be wrong after some hours.
const MAX_UNCERTAINTY: Duration = Duration::from_millis(250);

impl DatabaseClock {
    /// Creates a clock whose offset has not been measured yet.
    pub(crate) fn new(clock: Clock, settle: Duration) -> Self {
        let own = SteadyClock::new(clock.read());
        Self { clock, settle, state: RwLock::new(ClockState { own, database: None, offset: None }) }
    }

    /// Returns the time on the database's clock, or an error if a clock has jumped, or if the offset is unknown, outdated or too
    /// large.
    pub(crate) fn now(&self) -> Result<Timestamp, ContextError> {
        if self.clock.is_trusted {
            return Ok(self.clock.now());
        }
        // A jump is noticed here and not only by the next measurement, before any use of the wrong time.
        let reading = self.clock.read();
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if !state.own.has_jumped(reading) {
            return state.convert(reading, self.settle);
        }
        drop(state);
        let mut state = self.lock();
        // Another thread may have recorded the jump in the meantime.
        let reading = self.clock.read();
        if state.own.has_jumped(reading) {
            tracing::error!("the clock has jumped: requests are refused until it is steady");
            state.own.record_jump(reading);
        }
        state.convert(reading, self.settle)
    }

    /// Returns the number of jumps of both clocks.
    pub(crate) fn jumps(&self) -> u64 {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.own.jumps() + state.database.as_ref().map_or(0, SteadyClock::jumps)
    }

    /// Measures the offset to the database's clock.
    pub(crate) async fn measure(&self, store: &Store) -> Result<(), StoreError> {
        let measured = measure_offset(&self.clock, store).await;
        let mut state = self.lock();
        if matches!(measured, Err(StoreError::Incompatible(_))) {
            // The database may lose commits since its settings have changed. The node must not use it any longer, so it
            // does not keep the last offset until that is outdated.
            state.offset = None;
        }
        let offset = measured?;
        if let Some(database) = offset.database {
            state.observe_database(database);
        }
        state.offset = Some((offset, self.clock.read().uptime));
        Ok(())
    }

    fn lock(&self) -> RwLockWriteGuard<'_, ClockState> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}
