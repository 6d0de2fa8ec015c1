//! Commands that refresh a connection's upstream credential: the tokens that the provider issued to the hub.
//!
//! A provider that rotates refresh tokens may revoke the grant if an old token is sent again (RFC 9700 section 4.14.2). So
//! only one refresh of a connection runs at a time, across all nodes: it takes a lease, calls the provider outside of any
//! transaction, and stores the result only if the credential still has the version that was sent.

use std::time::Duration;

use domain::id::ConnectionId;
use domain::model::connection::ConnectionState;
use domain::model::job::TokenType;
use domain::rule::connection_end::RefreshTokenEnd;
use domain::rule::unsettled_refresh::{add_unsettled, settle_refresh};
use domain::scope::Clusters;
use domain::{Moment, Timestamp};

use super::job_queue::{SealedToken, queue_late_revocation};
use super::lease::{Lease, assign_unsettled, read_unsettled, release_lease, unsettled_columns};
use super::refresh_stats::count_refresh;
use super::sealed_value::SealedValue;
use super::terms::{RefreshedTerms, apply_refreshed_terms};
use crate::entity::connection::lock_connection;
use crate::entity::provider::find_provider;
use crate::error::{Result, StoreError};
use crate::operation::{Command, CommandKind};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// Takes the lease for a refresh of a connection's credential.
#[derive(Debug)]
pub struct LeaseCredential {
    pub moment: Moment,
    pub connection_id: ConnectionId,
    /// The version of the credential that the caller read and found expired.
    pub seen_version: i64,
    /// The duration of the lease; it must be longer than a call to the provider can take.
    pub lease_ttl: Duration,
}

/// The outcome of [`LeaseCredential`]: the lease, or the reason why there is none.
#[derive(Clone, Debug)]
pub enum LeaseOutcome {
    /// The caller has the lease and may refresh.
    Acquired(Lease),
    /// Another refresh has the lease until this time.
    Busy(Timestamp),
    /// Another refresh has stored a newer version of the credential.
    AlreadyRefreshed,
    /// The connection is not active.
    ConnectionEnded,
}

impl Command for LeaseCredential {
    type Reply = LeaseOutcome;
    const KIND: CommandKind = CommandKind::Lease;

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
        let row = tx.fetch_row(CREDENTIAL_TO_LEASE, values![connection.id]).await?;
        let mut row =
            row.ok_or_else(|| StoreError::Internal("an active connection has no credential".into()))?;
        let (key, token): (Option<_>, Option<_>) = (row.get("refresh_key")?, row.get("refresh_token")?);
        let refresh_token = key.zip(token).map(|(key, sealed)| SealedValue { key, sealed });
        let previous_lease_until: Option<Timestamp> = row.get("lease_until")?;
        if let Some(until) = previous_lease_until.filter(|until| self.moment.now < *until) {
            return Ok(LeaseOutcome::Busy(until));
        }
        let stored = read_unsettled(&mut row)?;
        // An expired lease that was never released belongs to an interrupted refresh: the provider may have issued a token
        // that was never stored.
        let unsettled = previous_lease_until.map(|until| add_unsettled(stored, until)).or(stored);
        let lease = Lease {
            id: tx.ids().mint(),
            version: self.seen_version,
            refresh_token,
            from: self.moment.now,
            until: self.moment.now.plus(self.lease_ttl),
            unsettled,
        };
        let (outcome_unknown, unknown_until) = unsettled_columns(unsettled);
        tx.defer(
            sql!(
                "-- lease a credential
                UPDATE upstream_credentials SET lease_id = ?2, lease_until = ?3, outcome_unknown = ?4, unknown_until = ?5
                WHERE connection_id = ?1"
            ),
            values![connection.id, lease.id, lease.until, outcome_unknown, unknown_until],
        );
        Ok(LeaseOutcome::Acquired(lease))
    }
}

static CREDENTIAL_TO_LEASE: &Sql = sql!(
    "-- find a credential to lease
    SELECT c.refresh_key, u.refresh_token, u.lease_until, u.outcome_unknown, u.unknown_until
    FROM upstream_credentials u JOIN connections c ON c.id = u.connection_id
    WHERE u.connection_id = ?1"
);

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[CREDENTIAL_TO_LEASE];

/// Stores the tokens of a leased refresh, if the credential still has the version that was sent.
#[derive(Debug)]
pub struct StoreCredential {
    pub moment: Moment,
    pub connection_id: ConnectionId,
    pub lease: Lease,
    /// The hub's access token at the provider.
    pub access_token: SealedValue,
    pub access_expires_at: Timestamp,
    /// The refresh token, if it replaces the stored one: it is another token, or the same one, sealed again with other endpoints or
    /// a key.
    pub refresh_token: Option<SealedValue>,
    /// True if the provider issued another refresh token than that of the lease.
    pub has_new_token: bool,
    /// The data clusters that the response grants. Absent if it names no scope, which is then unchanged (RFC 6749 section 5.1).
    pub granted: Option<Clusters>,
    /// The end of the refresh token that is stored afterwards.
    pub token_end: RefreshTokenEnd,
}

/// The outcome of [`StoreCredential`]: whether the new tokens are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreCredentialOutcome {
    /// The tokens are stored as the next version.
    Stored,
    /// The tokens are not stored. Either the connection has ended, and the revocation of a new refresh token is queued
    /// if the provider supports revocation; or the lease had expired, and another refresh was stored first.
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
            connection.ok_or_else(|| StoreError::Internal("a leased connection does not exist".into()))?;
        if connection.state != ConnectionState::Active {
            let provider = find_provider(tx, connection.provider_id).await?;
            let can_revoke =
                provider.is_some_and(|p| !p.settings.revoke.is_empty() || p.version.has_former_revocation);
            // The revocation at the end of the connection covers only the token that was stored then. This token is
            // newer.
            if let Some(token) = self.refresh_token.clone().filter(|_| can_revoke) {
                let sealed = SealedToken {
                    grant_id: find_grant_id(tx, &connection.id).await?,
                    ..SealedToken::to_revoke(token, TokenType::RefreshToken)
                };
                queue_late_revocation(tx, &self.moment, &connection, sealed);
            }
            return Ok(StoreCredentialOutcome::LeaseLost);
        }
        if connection.credential_version != self.lease.version {
            // This refresh and another one both obtained tokens, and only those of the other one are stored.
            if self.has_new_token {
                tx.defer(MARK_OUTCOME_UNKNOWN, values![connection.id]);
            }
            return Ok(StoreCredentialOutcome::LeaseLost);
        }
        self.replace_credential(tx);
        let refreshed = RefreshedTerms { granted: self.granted, token_end: self.token_end };
        apply_refreshed_terms(tx, &self.moment, &connection, refreshed).await?;
        count_refresh(tx, &self.moment, connection.provider_id, false);
        Ok(StoreCredentialOutcome::Stored)
    }
}

/// Returns the sealed id of the grant of a connection at its provider.
async fn find_grant_id(tx: &mut Tx<'_>, id: &ConnectionId) -> Result<Option<Vec<u8>>> {
    let grant_id: Option<Option<Vec<u8>>> =
        tx.fetch_value(GRANT_ID, values![id], "upstream_grant_id").await?;
    Ok(grant_id.flatten())
}

static GRANT_ID: &Sql = sql!(
    "-- find the id of the grant of a connection
    SELECT upstream_grant_id FROM connections WHERE id = ?1"
);

static MARK_OUTCOME_UNKNOWN: &Sql = sql!(
    "-- mark the outcome of a refresh as unknown
    UPDATE upstream_credentials SET outcome_unknown = TRUE, unknown_until = NULL WHERE connection_id = ?1"
);

impl StoreCredential {
    fn replace_credential(&self, tx: &mut Tx<'_>) {
        let (refresh_key, refresh_token) =
            self.refresh_token.as_ref().map(|token| (token.key.clone(), token.sealed.clone())).unzip();
        let unsettled = settle_refresh(self.lease.unsettled, self.lease.from, self.has_new_token);
        let (outcome_unknown, unknown_until) = unsettled_columns(unsettled);
        tx.defer(
            // A provider that does not rotate refresh tokens omits it; the previous one then stays valid (RFC 6749
            // section 6).
            sql!(concat!(
                "-- replace a credential
                UPDATE upstream_credentials SET access_token = ?2, access_expires_at = ?3,
                    refresh_token = COALESCE(?4, refresh_token), lease_id = NULL, lease_until = NULL,
                    ",
                assign_unsettled!("?6", "?7"),
                ",
                    invalid_grant_at = NULL, updated_at = ?5
                WHERE connection_id = ?1"
            )),
            values![
                self.connection_id,
                self.access_token.sealed,
                self.access_expires_at,
                refresh_token,
                self.moment.now,
                outcome_unknown,
                unknown_until
            ],
        );
        tx.defer(
            sql!(
                "-- replace the keys of a credential and increment its version
                UPDATE connections SET credential_version = credential_version + 1, access_key = ?2,
                    refresh_key = COALESCE(?3, refresh_key), updated_at = ?4
                WHERE id = ?1"
            ),
            values![self.connection_id, self.access_token.key, refresh_key, self.moment.now],
        );
    }
}

/// Releases the lease of a refresh that obtained no tokens.
#[derive(Debug)]
pub struct ReleaseLease {
    pub moment: Moment,
    pub connection_id: ConnectionId,
    pub lease: Lease,
    /// Whether the provider may have issued a token that was never stored, because it did not respond.
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
