//! Statistics of the FDX operations since this node started, for `GET /certification-metrics`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::Timestamp;

/// The path and the FDX operation id of each operation.
pub(crate) const OPERATIONS: [(&str, &str); 11] = [
    ("/api/fdx/5/accounts", "searchForAccounts"),
    ("/api/fdx/5/accounts/{account_id}", "getAccount"),
    ("/api/fdx/5/accounts/{account_id}/contact", "getAccountContact"),
    ("/api/fdx/5/accounts/{account_id}/payment-networks", "getAccountPaymentNetworks"),
    ("/api/fdx/5/accounts/{account_id}/statements", "searchForAccountStatements"),
    ("/api/fdx/5/accounts/{account_id}/statements/{statement_id}", "getAccountStatement"),
    ("/api/fdx/5/accounts/{account_id}/transactions", "searchForAccountTransactions"),
    ("/api/fdx/5/availability", "getAvailability"),
    ("/api/fdx/5/capability", "getCapability"),
    ("/api/fdx/5/certification-metrics", "getCertificationMetrics"),
    ("/api/fdx/5/customers/current", "getCustomerInfo"),
];

/// The totals of each FDX operation since this node started.
pub struct OperationStats {
    since: Timestamp,
    sums: Mutex<BTreeMap<&'static str, OperationTotals>>,
}

/// The totals over the responses of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OperationTotals {
    pub(crate) responses: u64,
    /// Responses with a status of 500 or above. A 4xx is an error of the caller and counts as a success here.
    pub(crate) failures: u64,
    pub(crate) micros: u64,
}

impl OperationStats {
    /// Creates empty statistics that begin at `since`.
    pub fn new(since: Timestamp) -> Self {
        Self { since, sums: Mutex::default() }
    }

    /// Records a response of a route. Routes of other APIs are ignored.
    pub fn record(&self, route: &str, status: u16, took: Duration) {
        let Some((_, operation)) = OPERATIONS.iter().find(|(path, _)| *path == route) else { return };
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = sums.entry(operation).or_default();
        sum.responses += 1;
        sum.failures += u64::from(status >= 500);
        sum.micros = sum.micros.saturating_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Returns the start of counting and the totals so far.
    pub(crate) fn snapshot(&self) -> (Timestamp, BTreeMap<&'static str, OperationTotals>) {
        (self.since, self.sums.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operation_stats_are_summed_per_operation() {
        let stats = OperationStats::new(Timestamp::from_millis(1));
        stats.record("/api/fdx/5/accounts", 200, Duration::from_millis(3));
        stats.record("/api/fdx/5/accounts", 503, Duration::from_millis(5));
        stats.record("/api/fdx/5/accounts/{account_id}", 404, Duration::from_millis(1));
        stats.record("/api/v1/token", 200, Duration::from_millis(1));

        let (since, sums) = stats.snapshot();

        assert_eq!((since, sums.len()), (Timestamp::from_millis(1), 2));
        assert_eq!(sums["searchForAccounts"], OperationTotals { responses: 2, failures: 1, micros: 8_000 });
        assert_eq!(sums["getAccount"].failures, 0, "an error of the caller is not a failure");
    }

    #[test]
    fn every_fdx_route_has_statistics_operation() {
        let served: Vec<&str> = crate::fdx_api::operations::routes().iter().map(|route| route.path).collect();
        assert!(OPERATIONS.iter().all(|(path, _)| served.contains(path)));
        assert_eq!(OPERATIONS.len(), served.len());
    }
}
