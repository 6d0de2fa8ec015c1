//! Issues authorization codes to recipients, and replaces a code that was not redeemed.

use domain::error::OAuthError;
use domain::id::AuthorizationRequestId;
use domain::model::authorization_request::{AuthorizationRequest, RequestStatus};
use domain::model::connection::ConnectionState;
use domain::secret::{TokenHash, TokenHashes};
use domain::{Moment, Timestamp};

use super::authorization_request::ensure_still_allowed;
use crate::entity::authorization_code::{CODE_MAC, find_code};
use crate::entity::authorization_request::lock_request;
use crate::entity::connection::lock_connection;
use crate::error::Result;
use crate::operation::Command;
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::values;

/// Writes the code with which the recipient of a locked request activates its connection. The request refers to the code, so
/// that it can be replaced.
pub(super) fn write_code(
    tx: &mut Tx<'_>,
    request: &AuthorizationRequest,
    code_hash: &TokenHash,
    expires_at: Timestamp,
) {
    let covered = values![
        code_hash,
        request.connection_id,
        request.client_id,
        request.redirect_uri,
        request.code_challenge,
        expires_at
    ];
    let mac = tx.compute_mac(&CODE_MAC, covered);
    tx.defer(
        sql!(
            "-- issue an authorization code
            INSERT INTO authorization_codes (code_hash, connection_id, client_id, redirect_uri, code_challenge,
                expires_at, mac)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
        ),
        values![
            code_hash,
            request.connection_id,
            request.client_id,
            request.redirect_uri,
            request.code_challenge,
            expires_at,
            mac
        ],
    );
    tx.defer(
        sql!("-- store which code was issued last\nUPDATE authorization_requests SET code_hash = ?2 WHERE id = ?1"),
        values![request.id, code_hash],
    );
}

/// Replaces the code of a pending connection, whose recipient may never have received it. The former code is deleted, so its
/// redemption is that of an unknown code and never counts as a second use.
#[derive(Debug)]
pub struct ReplaceCode {
    pub moment: Moment,
    pub request_id: AuthorizationRequestId,
    /// The hashes of the flow cookies of the browser that repeats its last step.
    pub cookie: TokenHashes,
    /// The hash of the new code.
    pub code_hash: TokenHash,
    pub code_expires_at: Timestamp,
}

/// The outcome of [`ReplaceCode`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplaceCodeOutcome {
    Replaced,
    /// The former code was redeemed or has expired, or the request belongs to another browser or has expired.
    NotReplaceable,
    /// The recipient is no longer allowed to connect.
    Refused(OAuthError),
}

impl Command for ReplaceCode {
    type Reply = ReplaceCodeOutcome;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let (now, from) = (self.moment.now, [RequestStatus::Connected]);
        let request = lock_request(tx, &self.request_id).await?;
        let request = request.filter(|r| r.ensure_step_allowed(&from, &self.cookie, now).is_ok());
        let Some(request) = request else { return Ok(ReplaceCodeOutcome::NotReplaceable) };
        if let Err(error) = ensure_still_allowed(tx, &request).await? {
            return Ok(ReplaceCodeOutcome::Refused(error));
        }
        // A redemption locks the connection too, so the code cannot be redeemed while it is replaced.
        let connection = lock_connection(tx, &request.connection_id).await?;
        let is_pending =
            connection.is_some_and(|c| matches!(c.state, ConnectionState::Pending { until } if now < until));
        let former = match &request.code_hash {
            Some(hash) if is_pending => find_code(tx, hash).await?,
            _ => None,
        };
        // The MAC of the request does not cover the hash, so the code is used only if it belongs to the same connection.
        let former =
            former.filter(|code| code.used_at.is_none() && code.connection_id == request.connection_id);
        let Some(former) = former else { return Ok(ReplaceCodeOutcome::NotReplaceable) };
        tx.defer(
            sql!("-- delete a superseded authorization code\nDELETE FROM authorization_codes WHERE code_hash = ?1"),
            values![former.hash],
        );
        write_code(tx, &request, &self.code_hash, self.code_expires_at);
        tx.defer(
            sql!(
                "-- prolong a pending connection
                UPDATE connections SET pending_until = ?2, updated_at = ?3 WHERE id = ?1 AND status = 'pending'"
            ),
            values![request.connection_id, self.code_expires_at, now],
        );
        Ok(ReplaceCodeOutcome::Replaced)
    }
}
