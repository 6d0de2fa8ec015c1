//! How each operation of the FDX face has done since this node began.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::Timestamp;

/// The operations, by the path that each is served at.
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

/// Sums over answers, each operation by itself.
pub struct OperationStats {
    since: Timestamp,
    sums: Mutex<BTreeMap<&'static str, OperationTotals>>,
}

/// What is added up of an operation's answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OperationTotals {
    pub(crate) responses: u64,
    /// Those of them with a status of 500 and above.
    pub(crate) failures: u64,
    pub(crate) micros: u64,
}

impl OperationStats {
    /// Nothing yet.
    pub fn new(since: Timestamp) -> Self {
        Self { since, sums: Mutex::default() }
    }

    /// Adds an answer of a route; other faces' are not counted.
    pub fn record(&self, route: &str, status: u16, took: Duration) {
        let Some((_, operation)) = OPERATIONS.iter().find(|(path, _)| *path == route) else { return };
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = sums.entry(operation).or_default();
        sum.responses += 1;
        sum.failures += u64::from(status >= 500);
        sum.micros = sum.micros.saturating_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// When counting began, and what was counted.
    pub(crate) fn snapshot(&self) -> (Timestamp, BTreeMap<&'static str, OperationTotals>) {
        (self.since, self.sums.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operation_stats_are_summed_per_operation() {
        let measured = OperationStats::new(Timestamp::from_millis(1));
        measured.record("/api/fdx/5/accounts", 200, Duration::from_millis(3));
        measured.record("/api/fdx/5/accounts", 503, Duration::from_millis(5));
        measured.record("/api/fdx/5/accounts/{account_id}", 404, Duration::from_millis(1));
        measured.record("/api/v1/token", 200, Duration::from_millis(1));
        let (since, sums) = measured.snapshot();
        assert_eq!((since, sums.len()), (Timestamp::from_millis(1), 2));
        assert_eq!(sums["searchForAccounts"], OperationTotals { responses: 2, failures: 1, micros: 8_000 });
        assert_eq!(sums["getAccount"].failures, 0, "a caller's mistake is no failure");
    }

    #[test]
    fn every_fdx_route_has_an_operation() {
        let served: Vec<&str> = crate::fdx_api::http::routes().iter().map(|route| route.path).collect();
        assert!(OPERATIONS.iter().all(|(path, _)| served.contains(path)));
        assert_eq!(OPERATIONS.len(), served.len());
    }
}
