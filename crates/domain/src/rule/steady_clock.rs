//! The detection of jumps of a clock: the time of day is compared with the uptime of the machine, which cannot be set.
//!
//! Programs that synchronize a clock change its speed for small differences, and that of the uptime with it. Only a step
//! changes the difference of both. A clock that was stepped may be right now, or wrong: it must prove itself first.

use std::time::Duration;

use crate::time::Timestamp;

/// The change of the difference above which a clock has jumped.
pub const MAX_STEP: Duration = Duration::from_secs(2);

/// The readings of a clock and of the uptime at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// The time of day.
    pub time: Timestamp,
    /// The time since the machine was started, including the time for which it was suspended.
    pub uptime: Duration,
    /// The time by which the two readings may be apart.
    pub uncertainty: Duration,
}

impl ClockReading {
    /// Returns the time of day at which the machine was started, according to these readings.
    fn started_at(&self) -> Timestamp {
        self.time.minus(self.uptime)
    }
}

/// A clock whose jumps are detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SteadyClock {
    started_at: Timestamp,
    /// The uptime at which the last jump was noticed.
    jumped_at: Option<Duration>,
    /// The number of jumps so far.
    jumps: u64,
}

impl SteadyClock {
    /// Creates the state of a clock whose first reading is trusted.
    pub fn new(first: ClockReading) -> Self {
        Self { started_at: first.started_at(), jumped_at: None, jumps: 0 }
    }

    /// Returns whether the clock was stepped between the reading to which this one is compared and this one.
    pub fn has_jumped(&self, reading: ClockReading) -> bool {
        let step = reading.started_at().millis().abs_diff(self.started_at.millis());
        u128::from(step) > (MAX_STEP + reading.uncertainty).as_millis()
    }

    /// Records a jump. Later readings are compared with this one.
    pub fn record_jump(&mut self, reading: ClockReading) {
        self.started_at = reading.started_at();
        self.jumped_at = Some(reading.uptime);
        self.jumps += 1;
    }

    /// Compares later readings with this one, which is not a jump. It is for the clock of another machine, whose speed differs.
    pub fn follow(&mut self, reading: ClockReading) {
        self.started_at = reading.started_at();
    }

    /// Returns whether the clock has not jumped for a period.
    pub fn is_steady(&self, uptime: Duration, period: Duration) -> bool {
        self.jumped_at.is_none_or(|jumped_at| uptime.saturating_sub(jumped_at) >= period)
    }

    /// Returns the number of jumps so far.
    pub const fn jumps(&self) -> u64 {
        self.jumps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_mins(1);

    const fn reading(time_ms: i64, uptime_ms: u64) -> ClockReading {
        ClockReading {
            time: Timestamp::from_millis(time_ms),
            uptime: Duration::from_millis(uptime_ms),
            uncertainty: Duration::ZERO,
        }
    }

    #[test]
    fn changed_difference_to_uptime_is_a_jump() {
        let clock = SteadyClock::new(reading(1_000_000, 500));

        for (time_ms, uptime_ms, is_jump) in [
            (1_000_000, 500, false),
            (9_000_000, 8_000_500, false),
            (1_012_000, 10_500, false),
            (1_012_001, 10_500, true),
            (1_008_000, 10_500, false),
            (1_007_999, 10_500, true),
            (-5, 10_500, true),
        ] {
            assert_eq!(clock.has_jumped(reading(time_ms, uptime_ms)), is_jump, "{time_ms} at {uptime_ms}");
        }
        let uncertain = ClockReading { uncertainty: Duration::from_millis(1), ..reading(1_012_001, 10_500) };
        assert!(!clock.has_jumped(uncertain), "the readings may be a millisecond apart");
    }

    #[test]
    fn clock_is_steady_a_period_after_its_last_jump() {
        let mut clock = SteadyClock::new(reading(1_000, 0));
        assert!(clock.is_steady(Duration::ZERO, PERIOD));

        clock.record_jump(reading(9_000, 2_000));

        assert!(!clock.has_jumped(reading(9_000, 2_000)), "later readings are compared with the new time");
        assert!(clock.has_jumped(reading(1_000, 2_000)));
        assert!(!clock.is_steady(Duration::from_millis(61_999), PERIOD));
        assert!(clock.is_steady(Duration::from_secs(62), PERIOD));
        clock.record_jump(reading(54_000, 55_000));
        assert!(!clock.is_steady(Duration::from_secs(62), PERIOD));
        assert_eq!(clock.jumps(), 2);
    }

    #[test]
    fn slow_drift_of_followed_clock_is_no_jump() {
        let mut clock = SteadyClock::new(reading(0, 0));

        for step in 1..10_u64 {
            let drifting = reading(i64::try_from(step).unwrap() * 6_500, step * 5_000);
            assert!(!clock.has_jumped(drifting), "step {step}");
            clock.follow(drifting);
        }

        assert_eq!(clock.jumps(), 0);
        assert!(
            SteadyClock::new(reading(0, 0)).has_jumped(reading(9 * 6_500, 45_000)),
            "small steps add up otherwise"
        );
    }
}
