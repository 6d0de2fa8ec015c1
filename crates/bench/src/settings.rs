//! The settings of a benchmark, such as the numbers of connections and callers, and their validation.

use crate::error::BenchmarkError;

/// The minimum number of requests: percentiles of fewer would not be meaningful.
const MIN_REQUESTS: usize = 100;

/// The settings of a benchmark, which the command line determines.
#[derive(Clone, Debug)]
pub struct BenchmarkSettings {
    /// Sizes of the store, in ascending order: it grows from one to the next.
    pub connections: Vec<usize>,
    /// The numbers of concurrent callers to measure with.
    pub callers: Vec<usize>,
    /// Number of requests for each read operation. Each write operation gets a quarter of it.
    pub requests: usize,
    /// Text that the name of an operation must contain to be measured. Floors are always measured.
    pub name_filter: String,
    /// The function that shows a line of progress to the user.
    pub show_progress: fn(&str),
}

impl BenchmarkSettings {
    /// Ensures that the numbers can be measured. Errors name the flags of `bowline bench`.
    pub fn validate(&self) -> Result<(), BenchmarkError> {
        if self.callers.contains(&0) || self.requests < MIN_REQUESTS {
            return Err(BenchmarkError::InvalidSettings(format!(
                "--callers and --requests: expected at least one caller and {MIN_REQUESTS} requests"
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(connections: &[usize], callers: &[usize], requests: usize) -> BenchmarkSettings {
        BenchmarkSettings {
            connections: connections.to_vec(),
            callers: callers.to_vec(),
            requests,
            name_filter: String::new(),
            show_progress: |_| {},
        }
    }

    #[test]
    fn settings_out_of_range_are_rejected_by_flag_name() {
        let message = |settings: BenchmarkSettings| settings.validate().unwrap_err().to_string();

        assert!(settings(&[1000, 2000], &[1, 16], 100).validate().is_ok());
        assert!(message(settings(&[1000], &[0], 100)).starts_with("--callers"));
        assert!(message(settings(&[1000], &[1], 99)).contains("--requests"));
        assert!(message(settings(&[2000, 1000], &[1], 100)).starts_with("--connections"));
        assert!(message(settings(&[0], &[1], 100)).starts_with("--connections"));
    }
}
