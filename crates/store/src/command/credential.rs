//! The provider's tokens of a connection: refreshed once at a time across nodes, fenced against ends.

use std::time::Duration;

use domain::id::{ConnectionId, LeaseId};
use domain::model::connection::ConnectionState;
use domain::{Moment, Timestamp};

use super::end_connection::{SealedToken, queue_late_revocation};
use super::invalid_grant::count_refresh;
use crate::Command;
use crate::error::{Result, StoreError};
use crate::record::{find_provider, lock_connection};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// Takes the lease of a connection's refresh at the provider.
#[derive(Debug)]
pub struct LeaseCredential {
    /// When.
    pub moment: Moment,
    /// Whose.
    pub connection_id: ConnectionId,
    /// The version that the caller found too old to use.
    pub seen_version: i64,
    /// Longer than the exchange may take.
    pub lease_ttl: Duration,
}

/// Leave to refresh.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The lease.
    pub id: LeaseId,
    /// The version that will be sent.
    pub version: i64,
    /// The wrapped key of the connection: it seals what comes back, even if the connection has ended by then.
    pub data_key: Vec<u8>,
    /// The sealed refresh token, if the provider gave one.
    pub refresh_token: Option<Vec<u8>>,
}

/// What asking for the lease comes to.
#[derive(Clone, Debug)]
pub enum LeaseOutcome {
    /// It is the caller's.
    Acquired(Lease),
    /// Somebody refreshes; the end of that lease.
    Busy(Timestamp),
    /// Somebody has refreshed.
    AlreadyRefreshed,
    /// The connection is over.
    ConnectionEnded,
}

impl Command for LeaseCredential {
    type Reply = LeaseOutcome;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<LeaseOutcome> {
        let connection = lock_connection(tx, &self.connection_id).await?;
        let Some(connection) = connection.filter(|c| c.state == ConnectionState::Active) else {
            return Ok(LeaseOutcome::ConnectionEnded);
        };
        if connection.credential_version != self.seen_version {
            return Ok(LeaseOutcome::AlreadyRefreshed);
        }
        let row = tx.query_opt(CREDENTIAL_TO_LEASE, values![connection.id]).await?;
        let mut row =
            row.ok_or_else(|| StoreError::Internal("an active connection has no credential".into()))?;
        let data_key: Vec<u8> = row.next()?;
        let refresh_token = row.next()?;
        let until: Option<Timestamp> = row.next()?;
        if let Some(until) = until.filter(|until| self.moment.now < *until) {
            return Ok(LeaseOutcome::Busy(until));
        }
        let lease = Lease { id: tx.ids().mint(), version: self.seen_version, data_key, refresh_token };
        tx.defer(
            sql!(
                "-- lease a credential; a lease that died leaves a doubt
                UPDATE upstream_credentials SET lease_id = ?2, lease_until = ?3,
                    outcome_unknown = (CASE WHEN ?4 THEN ?4 ELSE outcome_unknown END)
                WHERE connection_id = ?1"
            ),
            values![connection.id, lease.id, self.moment.now.plus(self.lease_ttl), until.is_some()],
        );
        Ok(LeaseOutcome::Acquired(lease))
    }
}

pub(crate) static CREDENTIAL_TO_LEASE: &Sql = sql!(
    "-- the credential of a connection, to be leased
    SELECT c.data_key, u.refresh_token, u.lease_until
    FROM upstream_credentials u JOIN connections c ON c.id = u.connection_id
    WHERE u.connection_id = ?1"
);

/// Stores what a leased refresh brought, if the version that was sent is still the stored one.
#[derive(Debug)]
pub struct StoreCredential {
    /// When.
    pub moment: Moment,
    /// Whose.
    pub connection_id: ConnectionId,
    /// Under which lease.
    pub lease: Lease,
    /// The sealed access token.
    pub access_token: Vec<u8>,
    /// When the access token dies.
    pub access_expires_at: Timestamp,
    /// The sealed refresh token, if a new one came.
    pub refresh_token: Option<Vec<u8>>,
}

/// What storing comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreCredentialOutcome {
    /// It is the credential now, under the next version.
    Stored,
    /// The connection ended meanwhile, and a new refresh token was handed to a job where the provider can be
    /// told; or another refresh, begun when this lease had run out, was first.
    LeaseLost,
}

impl Command for StoreCredential {
    type Reply = StoreCredentialOutcome;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<StoreCredentialOutcome> {
        let connection = lock_connection(tx, &self.connection_id).await?;
        let connection =
            connection.ok_or_else(|| StoreError::Internal("a connection has vanished".into()))?;
        if connection.state != ConnectionState::Active {
            let provider = find_provider(tx, connection.provider_id).await?;
            let can_revoke = provider.is_some_and(|p| !p.settings.revoke.is_empty());
            if let Some(token) = self.refresh_token.clone().filter(|_| can_revoke) {
                let sealed = SealedToken::new(self.lease.data_key.clone(), token);
                queue_late_revocation(tx, &self.moment, &connection, sealed);
            }
            return Ok(StoreCredentialOutcome::LeaseLost);
        }
        if connection.credential_version != self.lease.version {
            tx.defer(MARK_OUTCOME_UNKNOWN, values![connection.id]);
            return Ok(StoreCredentialOutcome::LeaseLost);
        }
        self.replace_credential(tx);
        count_refresh(tx, &self.moment, connection.provider_id, false);
        Ok(StoreCredentialOutcome::Stored)
    }
}

static MARK_OUTCOME_UNKNOWN: &Sql = sql!(
    "-- a token that is not in hand may live at the provider
    UPDATE upstream_credentials SET outcome_unknown = (1 = 1) WHERE connection_id = ?1"
);

impl StoreCredential {
    fn replace_credential(&self, tx: &mut Tx<'_>) {
        tx.defer(
            sql!(
                "-- replace a credential
                UPDATE upstream_credentials SET access_token = ?2, access_expires_at = ?3,
                    refresh_token = COALESCE(?4, refresh_token), lease_id = NULL, lease_until = NULL, updated_at = ?5
                WHERE connection_id = ?1"
            ),
            values![
                self.connection_id, self.access_token, self.access_expires_at, self.refresh_token, self.moment.now
            ],
        );
        tx.defer(
            sql!(
                "-- a credential's next version
                UPDATE connections SET credential_version = credential_version + 1, updated_at = ?2
                WHERE id = ?1"
            ),
            values![self.connection_id, self.moment.now],
        );
    }
}

/// Gives a lease back that brought nothing.
#[derive(Debug)]
pub struct ReleaseLease {
    /// When.
    pub moment: Moment,
    /// Whose.
    pub connection_id: ConnectionId,
    /// Which.
    pub lease: LeaseId,
    /// Whether the provider never answered, so that it may have issued a token that nobody saw.
    pub outcome_unknown: bool,
}

impl Command for ReleaseLease {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        release_lease(tx, &self.connection_id, &self.lease, self.outcome_unknown);
        Ok(())
    }
}

/// Gives a lease back with the commit.
pub(super) fn release_lease(tx: &mut Tx<'_>, id: &ConnectionId, lease: &LeaseId, outcome_unknown: bool) {
    tx.defer(
        sql!(
            "-- give a lease back
            UPDATE upstream_credentials SET lease_id = NULL, lease_until = NULL,
                outcome_unknown = (CASE WHEN ?3 THEN ?3 ELSE outcome_unknown END)
            WHERE connection_id = ?1 AND lease_id = ?2"
        ),
        values![id, lease, outcome_unknown],
    );
}
