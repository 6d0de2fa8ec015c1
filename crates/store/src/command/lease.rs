//! Leases of upstream credentials. Only the owner of a lease may send the refresh token to the provider.

use domain::id::{ConnectionId, LeaseId};

use super::sealed_value::SealedValue;

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
}

/// Releases a lease with the commit, unless it has expired and another refresh has taken its own lease.
pub(super) fn release_lease(tx: &mut Tx<'_>, id: &ConnectionId, lease: &LeaseId, outcome_unknown: bool) {
    tx.defer(
        sql!(
            "-- release a credential lease
            UPDATE upstream_credentials SET lease_id = NULL, lease_until = NULL,
                outcome_unknown = (CASE WHEN ?3 THEN ?3 ELSE outcome_unknown END)
            WHERE connection_id = ?1 AND lease_id = ?2"
        ),
        values![id, lease, outcome_unknown],
    );
}
