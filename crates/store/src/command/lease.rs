//! Leases of upstream credentials. Only the owner of a lease may send the refresh token to the provider.

use domain::Timestamp;
use domain::id::{ConnectionId, LeaseId};
use domain::rule::unsettled_refresh::{UnsettledRefresh, add_unsettled};

use super::sealed_value::SealedValue;
use crate::error::Result;
use crate::row::Row;
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::values;

/// The permission to refresh a connection's upstream credential.
#[derive(Clone, Debug)]
pub struct Lease {
    pub id: LeaseId,
    /// The version of the credential whose refresh token is sent.
    pub version: i64,
    /// The refresh token, if the provider issued one.
    pub refresh_token: Option<SealedValue>,
    /// The start of the lease. The refresh token is sent later.
    pub from: Timestamp,
    /// The end of the lease. The provider has processed the request by then, if it ever does.
    pub until: Timestamp,
    /// The earlier refreshes of the credential whose outcome is unknown.
    pub unsettled: Option<UnsettledRefresh>,
}

/// Reads the columns `outcome_unknown` and `unknown_until` of a credential.
pub(super) fn read_unsettled(row: &mut Row) -> Result<Option<UnsettledRefresh>> {
    let until: Option<Timestamp> = row.get("unknown_until")?;
    let is_unknown: bool = row.get("outcome_unknown")?;
    Ok(is_unknown.then(|| until.map_or(UnsettledRefresh::OtherToken, UnsettledRefresh::StoredToken)))
}

/// Returns the values of the columns `outcome_unknown` and `unknown_until`.
pub(super) const fn unsettled_columns(unsettled: Option<UnsettledRefresh>) -> (bool, Option<Timestamp>) {
    match unsettled {
        None => (false, None),
        Some(UnsettledRefresh::StoredToken(until)) => (true, Some(until)),
        Some(UnsettledRefresh::OtherToken) => (true, None),
    }
}

/// The assignments of the columns `outcome_unknown` and `unknown_until`, from these parameters. The result of an earlier refresh
/// may have arrived since they were read, and have set the mark that no later refresh clears.
macro_rules! assign_unsettled {
    ($outcome_unknown:literal, $unknown_until:literal) => {
        concat!(
            "unknown_until = (CASE WHEN outcome_unknown AND unknown_until IS NULL THEN unknown_until ELSE ",
            $unknown_until,
            " END),
                outcome_unknown = (CASE WHEN outcome_unknown AND unknown_until IS NULL THEN outcome_unknown ELSE ",
            $outcome_unknown,
            " END)"
        )
    };
}
pub(super) use assign_unsettled;

/// Releases a lease with the commit, unless it has expired and another refresh has taken its own lease.
pub(super) fn release_lease(tx: &mut Tx<'_>, id: &ConnectionId, lease: &Lease, outcome_unknown: bool) {
    let added = outcome_unknown.then(|| add_unsettled(lease.unsettled, lease.until));
    let (outcome_unknown, unknown_until) = unsettled_columns(added.or(lease.unsettled));
    tx.defer(
        sql!(concat!(
            "-- release a credential lease
            UPDATE upstream_credentials SET lease_id = NULL, lease_until = NULL,
                ",
            assign_unsettled!("?3", "?4"),
            "
            WHERE connection_id = ?1 AND lease_id = ?2"
        )),
        values![id, lease.id, outcome_unknown, unknown_until],
    );
}
