//! The settings of a benchmark, such as the numbers of connections and callers, and their validation.

use std::time::Duration;

use crate::error::BenchmarkError;

/// The shortest and the longest run of an operation.
const SECONDS: std::ops::RangeInclusive<f64> = 0.1..=3_600.0;
/// The length of a run compared with the measurements of its floor, before and after it.
const RUNS_PER_FLOOR: u32 = 12;
/// The shortest measurement of a floor.
const MIN_FLOOR_DURATION: Duration = Duration::from_millis(50);

/// The settings of a benchmark, which the command line determines.
#[derive(Clone, Debug)]
pub struct BenchmarkSettings {
    /// Sizes of the store, in ascending order: it grows from one to the next.
    pub connections: Vec<usize>,
    /// The numbers of concurrent callers to measure with.
    pub callers: Vec<usize>,
    /// The time for which each operation runs, in seconds.
    pub seconds: f64,
    /// The number of runs of each operation, of which the report contains the one with the median share.
    pub repetitions: usize,
    /// Text that the name of an operation must contain to be measured. Floors are always measured.
    pub name_filter: String,
    /// The function that shows a line of progress to the user.
    pub show_progress: fn(&str),
}

impl BenchmarkSettings {
    /// Ensures that the numbers can be measured. Errors name the flags of `bowline bench`.
    pub fn validate(&self) -> Result<(), BenchmarkError> {
        if self.callers.contains(&0) {
            return Err(BenchmarkError::InvalidSettings("--callers: expected numbers above 0".into()));
        }
        if self.repetitions == 0 {
            return Err(BenchmarkError::InvalidSettings("--repetitions: expected a number above 0".into()));
        }
        if !SECONDS.contains(&self.seconds) {
            let (least, most) = (SECONDS.start(), SECONDS.end());
            return Err(BenchmarkError::InvalidSettings(format!(
                "--seconds: expected a number from {least} to {most}"
            )));
        }
        // A store can only grow during a run.
        if !self.connections.is_sorted() || self.connections.contains(&0) {
            return Err(BenchmarkError::InvalidSettings(
                "--connections: expected numbers above 0 in ascending order".into(),
            ));
        }
        Ok(())
    }

    /// Returns the time for which each operation runs.
    pub(crate) fn duration(&self) -> Duration {
        Duration::try_from_secs_f64(self.seconds).unwrap_or_default()
    }

    /// Returns the time for which each floor runs before and after an operation.
    pub(crate) fn floor_duration(&self) -> Duration {
        (self.duration() / RUNS_PER_FLOOR).max(MIN_FLOOR_DURATION)
    }

    /// Returns whether an operation is to be measured.
    pub(crate) fn is_selected(&self, operation: &str) -> bool {
        operation.contains(&self.name_filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(connections: &[usize], callers: &[usize], seconds: f64) -> BenchmarkSettings {
        BenchmarkSettings {
            connections: connections.to_vec(),
            callers: callers.to_vec(),
            seconds,
            repetitions: 1,
            name_filter: String::new(),
            show_progress: |_| {},
        }
    }

    #[test]
    fn settings_out_of_range_are_rejected_by_flag_name() {
        let message = |settings: BenchmarkSettings| settings.validate().unwrap_err().to_string();

        assert!(settings(&[1000, 2000], &[1, 16], 0.1).validate().is_ok());
        assert!(message(settings(&[1000], &[0], 1.0)).starts_with("--callers"));
        assert!(message(settings(&[1000], &[1], 0.0)).starts_with("--seconds"));
        assert!(message(settings(&[1000], &[1], f64::NAN)).starts_with("--seconds"));
        let no_run = BenchmarkSettings { repetitions: 0, ..settings(&[1000], &[1], 1.0) };
        assert!(message(no_run).starts_with("--repetitions"));
        assert!(message(settings(&[2000, 1000], &[1], 1.0)).starts_with("--connections"));
        assert!(message(settings(&[0], &[1], 1.0)).starts_with("--connections"));
    }

    #[test]
    fn floors_run_for_a_part_of_the_time_of_an_operation() {
        assert_eq!(settings(&[1], &[1], 120.0).floor_duration(), Duration::from_secs(10));
        assert_eq!(settings(&[1], &[1], 0.1).floor_duration(), Duration::from_millis(50));
    }
}
