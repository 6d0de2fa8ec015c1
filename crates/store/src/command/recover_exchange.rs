//! Recovery of an interrupted exchange: a job exchanges the code again and revokes the result, so that no unknown grant stays
//! active at the provider.

use domain::error::OAuthError;
use domain::id::AuthorizationRequestId;
use domain::model::job::JobKind;
use domain::rule::authorization_failure::INTERRUPTED;
use domain::{Moment, Timestamp};

use super::authorization_request::fail_request;
use super::job_queue::{SealedToken, UnrevokedToken, queue_job_at, queue_orphaned_revocations};
use crate::entity::authorization_request::lock_request;
use crate::error::{Result, StoreError};
use crate::operation::Command;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// Fails a request whose exchange has no known outcome, and queues a job that recovers the grant with the sealed code.
#[derive(Debug)]
pub struct RecoverExchange {
    pub moment: Moment,
    pub request_id: AuthorizationRequestId,
    pub cause: RecoveryCause,
}

/// The reason why an exchange is recovered.
#[derive(Clone, Debug)]
pub enum RecoveryCause {
    /// The lease of the exchange has expired without a result.
    LeaseExpired,
    /// The response proves nothing, or there was none.
    OutcomeUnknown {
        /// The error for the recipient.
        error: OAuthError,
        /// The tokens that were found in the response.
        found: Vec<UnrevokedToken>,
        /// True if the provider may still be processing the code. It is then sent again only after the lease.
        may_still_be_processed: bool,
    },
}

impl Command for RecoverExchange {
    /// `false` if the request does not exist or its exchange has a result or may still be running.
    type Reply = bool;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool> {
        let Some(request) = lock_request(tx, &self.request_id).await? else {
            return Ok(false);
        };
        let (until, found, error) = match &self.cause {
            RecoveryCause::LeaseExpired => (self.moment.now, &[][..], &INTERRUPTED),
            // The caller has ended the exchange itself, so its lease need not have expired.
            RecoveryCause::OutcomeUnknown { error, found, .. } => {
                (Timestamp::from_millis(i64::MAX), found.as_slice(), error)
            }
        };
        let Some(mut row) = tx.fetch_row(INTERRUPTED_EXCHANGE, values![request.id, until]).await? else {
            return Ok(false);
        };
        let code: Option<Vec<u8>> = row.get("provider_code")?;
        let code = code.ok_or_else(|| StoreError::Internal("an exchange has no code".into()))?;
        let lease_until: Timestamp = row.get("lease_until")?;
        let due_at = match self.cause {
            // A provider that does not use up codes atomically would issue a second grant, of which the hub knows nothing.
            RecoveryCause::OutcomeUnknown { may_still_be_processed: true, .. } => lease_until,
            RecoveryCause::OutcomeUnknown { .. } | RecoveryCause::LeaseExpired => self.moment.now,
        };
        fail_request(tx, &request.id, error);
        let verifier = request.verifier.clone();
        let sealed = SealedToken { verifier, ..SealedToken::new(request.data_key.clone(), code) };
        queue_job_at(tx, &self.moment, JobKind::RecoverAuthorizationCode, &request, sealed, due_at);
        queue_orphaned_revocations(tx, &self.moment, &request, found);
        Ok(true)
    }
}

static INTERRUPTED_EXCHANGE: &Sql = sql!(
    "-- find the code of an interrupted exchange
    SELECT provider_code, COALESCE(exchange_until, expires_at) AS lease_until FROM authorization_requests
    WHERE id = ?1 AND status = 'exchanging' AND COALESCE(exchange_until, expires_at) <= ?2"
);

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[INTERRUPTED_EXCHANGE];
