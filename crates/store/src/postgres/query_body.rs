//! Queries without their types. The code that runs queries is then compiled once, and not once for each of them.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::error::{Result, StoreError};
use crate::operation::Query;
use crate::tx::Tx;

pub(super) trait QueryBody: Send {
    /// Executes the query and keeps its reply.
    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<()>>;
}

/// A query with its reply, once it has run.
pub(super) struct TypedQuery<'q, Q: Query> {
    query: &'q Q,
    reply: Option<Q::Reply>,
}

impl<'q, Q: Query> TypedQuery<'q, Q> {
    pub(super) const fn new(query: &'q Q) -> Self {
        Self { query, reply: None }
    }

    pub(super) fn into_reply(self) -> Result<Q::Reply> {
        self.reply.ok_or_else(|| StoreError::internal("a query has no result"))
    }
}

impl<Q: Query> QueryBody for TypedQuery<'_, Q> {
    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<()>> {
        async move {
            self.reply = Some(self.query.run(tx).await?);
            Ok(())
        }
        .boxed()
    }
}
