//! Queries that find authorization requests by their id, by the provider's `state`, or because their exchange was
//! interrupted.

use domain::Timestamp;
use domain::id::AuthorizationRequestId;
use domain::model::authorization_request::AuthorizationRequest;
use domain::secret::TokenHashes;

use super::lookup::lookup;
use crate::entity::authorization_request::{find_request, find_request_by_state};
use crate::error::Result;
use crate::operation::{Query, QueryKind};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

lookup! {
    /// Reads the authorization request with an id.
    GetAuthorizationRequest { id: AuthorizationRequestId } -> Option<AuthorizationRequest>
        = |tx, query| find_request(tx, &query.id);
    /// Finds the authorization request by the `state` of a provider's callback.
    FindAuthorizationRequestByState { state: TokenHashes } -> Option<AuthorizationRequest>
        = |tx, query| find_request_by_state(tx, &query.state);
}

/// Lists authorization requests whose code exchange was interrupted, the oldest first.
#[derive(Clone, Debug)]
pub struct ListInterruptedExchanges {
    pub now: Timestamp,
    /// The number of requests at the beginning that are left out, because they could not be recovered.
    pub skip: u32,
    pub limit: u32,
}

impl Query for ListInterruptedExchanges {
    type Reply = Vec<AuthorizationRequestId>;
    const KIND: QueryKind = QueryKind::Background;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        tx.fetch_column(INTERRUPTED_EXCHANGES, values![self.now, self.limit, self.skip], "id").await
    }
}

static INTERRUPTED_EXCHANGES: &Sql = sql!(
    "-- list interrupted exchanges
    SELECT id FROM authorization_requests
    WHERE status = 'exchanging' AND COALESCE(exchange_until, expires_at) <= ?1
    ORDER BY COALESCE(exchange_until, expires_at) LIMIT ?2 OFFSET ?3"
);

pub(super) static HOT_STATEMENTS: &[&Sql] = &[INTERRUPTED_EXCHANGES];
