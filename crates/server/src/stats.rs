//! Statistics of the FDX operations since this node started, for `GET /certification-metrics`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::Timestamp;
use http::StatusCode;

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
    /// The totals of each element of [`OPERATIONS`].
    totals: [Mutex<OperationTotals>; OPERATIONS.len()],
}

/// An operation whose calls are counted: an index into [`OPERATIONS`].
#[derive(Clone, Copy, Debug)]
pub struct CountedOperation(usize);

impl CountedOperation {
    /// Finds the operation of a route by its path; `None` for routes of other APIs.
    pub fn find(route: &str) -> Option<Self> {
        OPERATIONS.iter().position(|(path, _)| *path == route).map(Self)
    }
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
        Self { since, totals: Default::default() }
    }

    /// Records a response of an operation.
    pub fn record(&self, operation: CountedOperation, status: StatusCode, took: Duration) {
        let Some(totals) = self.totals.get(operation.0) else { return };
        let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.responses += 1;
        totals.failures += u64::from(status.is_server_error());
        totals.micros = totals.micros.saturating_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Returns the start of counting, and the totals so far of the operations that were called.
    pub(crate) fn snapshot(&self) -> (Timestamp, BTreeMap<&'static str, OperationTotals>) {
        let totals = self.totals.iter().map(|totals| *totals.lock().unwrap_or_else(PoisonError::into_inner));
        let named = OPERATIONS.iter().map(|(_, operation)| *operation).zip(totals);
        (self.since, named.filter(|(_, totals)| totals.responses > 0).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operation_stats_are_summed_per_operation() {
        let stats = OperationStats::new(Timestamp::from_millis(1));
        let record = |route: &str, status, millis| {
            let operation = CountedOperation::find(route).unwrap();
            stats.record(operation, status, Duration::from_millis(millis));
        };

        record("/api/fdx/5/accounts", StatusCode::OK, 3);
        record("/api/fdx/5/accounts", StatusCode::SERVICE_UNAVAILABLE, 5);
        record("/api/fdx/5/accounts/{account_id}", StatusCode::NOT_FOUND, 1);

        let (since, sums) = stats.snapshot();

        assert_eq!((since, sums.len()), (Timestamp::from_millis(1), 2));
        assert_eq!(sums["searchForAccounts"], OperationTotals { responses: 2, failures: 1, micros: 8_000 });
        assert_eq!(sums["getAccount"].failures, 0, "an error of the caller is not a failure");
        assert!(CountedOperation::find("/api/v1/token").is_none());
    }

    #[test]
    fn every_fdx_route_has_statistics_operation() {
        let served: Vec<&str> = crate::fdx_api::operations::routes().iter().map(|route| route.path).collect();
        assert!(OPERATIONS.iter().all(|(path, _)| served.contains(path)));
        assert_eq!(OPERATIONS.len(), served.len());
    }
}
