//! The operations that the benchmark measures, and the floor of each.

use crate::load::LoadStats;

/// An operation, or a floor with which operations are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// An HTTP handler that does nothing.
    EmptyHandler,
    /// An update of one row, without HTTP.
    BareUpdate,
    /// An HTTP handler that requests a resource from the provider and returns it.
    FetchHandler,
    ClientCredentials,
    Refresh,
    AccessCheck,
    DataRead,
    CodeExchange,
    Revoke,
    /// A revocation while the workers call the provider.
    RevokeNotified,
}

impl Operation {
    pub(crate) const FLOORS: [Self; 3] = [Self::EmptyHandler, Self::BareUpdate, Self::FetchHandler];

    /// The operations of the hub, in the order of the report. Those that end connections come last, because the jobs that
    /// they queue stay.
    pub(crate) const MEASURED: [Self; 7] = [
        Self::ClientCredentials,
        Self::Refresh,
        Self::AccessCheck,
        Self::DataRead,
        Self::CodeExchange,
        Self::Revoke,
        Self::RevokeNotified,
    ];

    /// Returns the name in reports, which scripts depend on.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::EmptyHandler => "empty handler",
            Self::BareUpdate => "bare update, no HTTP",
            Self::FetchHandler => "empty handler that fetches",
            Self::ClientCredentials => "token: client_credentials",
            Self::Refresh => "token: refresh",
            Self::AccessCheck => "access check",
            Self::DataRead => "data read",
            Self::CodeExchange => "token: code exchange",
            Self::Revoke => "revoke",
            Self::RevokeNotified => "revoke, provider notified",
        }
    }

    /// Returns the name of a floor in a share.
    pub(crate) const fn floor_name(self) -> &'static str {
        match self {
            Self::BareUpdate => "bare update",
            floor => floor.name(),
        }
    }

    /// Returns the floor of an operation: the simplest operation that does the same HTTP, commit or call to a provider.
    pub(crate) const fn floor(self) -> Self {
        match self {
            Self::EmptyHandler | Self::ClientCredentials | Self::Refresh | Self::AccessCheck => {
                Self::EmptyHandler
            }
            Self::FetchHandler | Self::DataRead => Self::FetchHandler,
            Self::BareUpdate | Self::CodeExchange | Self::Revoke | Self::RevokeNotified => Self::BareUpdate,
        }
    }
}

/// The measurements of a floor before and after an operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Floor {
    pub(crate) name: &'static str,
    pub(crate) before: LoadStats,
    pub(crate) after: LoadStats,
}

impl Floor {
    /// Returns the faster of both measurements, so that a disturbance of one of them does not raise the share.
    pub(crate) fn higher(&self) -> &LoadStats {
        if self.before.per_second > self.after.per_second { &self.before } else { &self.after }
    }

    /// Returns the throughput of an operation as a percentage of the floor.
    pub(crate) fn percent(&self, stats: &LoadStats) -> f64 {
        stats.per_second / self.higher().per_second * 100.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn stats(per_second: f64) -> LoadStats {
        LoadStats { per_second, p50: Duration::ZERO, p99: Duration::from_secs_f64(1.0 / per_second) }
    }

    #[test]
    fn share_counts_against_the_higher_floor() {
        for (before, after) in [(2_000.0, 1_000.0), (1_000.0, 2_000.0)] {
            let floor = Floor { name: "bare update", before: stats(before), after: stats(after) };

            assert!((floor.percent(&stats(500.0)) - 25.0).abs() < 1e-9, "{before} and {after}");
            assert_eq!(floor.higher(), &stats(2_000.0));
        }
    }

    #[test]
    fn every_operation_of_the_hub_has_a_floor() {
        for operation in Operation::MEASURED {
            assert!(Operation::FLOORS.contains(&operation.floor()), "{operation:?}");
        }
        assert!(Operation::FLOORS.iter().all(|floor| floor.floor() == *floor));
    }
}
