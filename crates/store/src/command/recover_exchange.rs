//! An exchange that broke off: its code is tried once more by a job, so that no grant stays at the provider.

use domain::Moment;
use domain::id::AuthorizationRequestId;
use domain::model::job::JobKind;

use super::authorization_request::fail_request;
use super::end_connection::{SealedToken, queue_job};
use crate::Command;
use crate::error::{Result, StoreError};
use crate::record::lock_request;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// Fails a request whose exchange cannot be under way any more, and hands its sealed code to a job.
#[derive(Debug)]
pub struct RecoverExchange {
    /// When.
    pub moment: Moment,
    /// Which request.
    pub request_id: AuthorizationRequestId,
}

impl Command for RecoverExchange {
    /// Whether there was something to recover.
    type Reply = bool;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool> {
        let Some(request) = lock_request(tx, &self.request_id).await? else {
            return Ok(false);
        };
        let Some(mut row) = tx.query_opt(INTERRUPTED_EXCHANGE, values![request.id, self.moment.now]).await?
        else {
            return Ok(false);
        };
        let code: Option<Vec<u8>> = row.next()?;
        let code = code.ok_or_else(|| StoreError::Internal("an exchange has no code".into()))?;
        fail_request(tx, &request.id);
        let verifier = request.verifier.clone();
        let sealed = SealedToken { verifier, ..SealedToken::new(request.data_key.clone(), code) };
        queue_job(tx, &self.moment, JobKind::RecoverAuthorizationCode, &request, sealed);
        Ok(true)
    }
}

/// A row without `exchange_until` was written by a program that did not know of it.
pub(crate) static INTERRUPTED_EXCHANGE: &Sql = sql!(
    "-- the code of an exchange that broke off
    SELECT provider_code FROM authorization_requests
    WHERE id = ?1 AND status = 'exchanging' AND COALESCE(exchange_until, expires_at) <= ?2"
);
