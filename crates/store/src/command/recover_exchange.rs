//! Recovery of an interrupted exchange: a job exchanges the code again and revokes the result, so that no unknown grant stays
//! active at the provider.

use domain::Moment;
use domain::id::AuthorizationRequestId;
use domain::model::job::JobKind;

use super::authorization_request::fail_request;
use super::job_queue::{SealedToken, queue_job};
use crate::entity::authorization_request::lock_request;
use crate::error::{Result, StoreError};
use crate::operation::Command;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// Fails a request whose exchange was interrupted, and queues a job that recovers the grant with the sealed code.
#[derive(Debug)]
pub struct RecoverExchange {
    pub moment: Moment,
    pub request_id: AuthorizationRequestId,
}

impl Command for RecoverExchange {
    /// `false` if the request does not exist or its exchange was not interrupted.
    type Reply = bool;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool> {
        let Some(request) = lock_request(tx, &self.request_id).await? else {
            return Ok(false);
        };
        let params = values![request.id, self.moment.now];
        let code: Option<Option<Vec<u8>>> =
            tx.fetch_value(INTERRUPTED_EXCHANGE, params, "provider_code").await?;
        let Some(code) = code else {
            return Ok(false);
        };
        let code = code.ok_or_else(|| StoreError::Internal("an exchange has no code".into()))?;
        fail_request(tx, &request.id);
        let verifier = request.verifier.clone();
        let sealed = SealedToken { verifier, ..SealedToken::new(request.data_key.clone(), code) };
        queue_job(tx, &self.moment, JobKind::RecoverAuthorizationCode, &request, sealed);
        Ok(true)
    }
}

static INTERRUPTED_EXCHANGE: &Sql = sql!(
    "-- find the code of an interrupted exchange
    SELECT provider_code FROM authorization_requests
    WHERE id = ?1 AND status = 'exchanging' AND COALESCE(exchange_until, expires_at) <= ?2"
);

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[INTERRUPTED_EXCHANGE];
