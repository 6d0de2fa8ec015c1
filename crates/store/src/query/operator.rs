//! Queries that find and list operators, for authentication and the admin API.

use domain::id::OperatorId;
use domain::model::operator::OperatorToken;
use domain::secret::TokenHashes;

use crate::entity::operator::operator_columns;
use crate::error::Result;
use crate::keyset_search::SearchPage;
use crate::operation::{Query, QueryKind};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{ToValue, encode_id_after_all, values};

/// Finds the operator that a presented token belongs to.
#[derive(Clone, Debug)]
pub struct FindOperator {
    /// The hashes of the presented token, one for each pepper.
    pub hashes: TokenHashes,
}

impl Query for FindOperator {
    type Reply = Option<OperatorToken>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        for hash in self.hashes.iter() {
            let operator = tx.fetch_optional(OPERATOR_BY_TOKEN, values![hash]).await?;
            if operator.is_some() {
                return Ok(operator);
            }
        }
        Ok(None)
    }
}

static OPERATOR_BY_TOKEN: &Sql = sql!(concat!(
    "-- find an operator by token\nSELECT ",
    operator_columns!(),
    " FROM operators WHERE token_hash = ?1"
));

/// Lists operators, the newest first, including removed ones.
#[derive(Clone, Debug)]
pub struct ListOperators {
    /// The id of the last operator of the previous page.
    pub after: Option<OperatorId>,
    pub limit: u32,
}

impl Query for ListOperators {
    type Reply = SearchPage<OperatorToken>;
    const KIND: QueryKind = QueryKind::Search;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        // Without a cursor the list starts at the newest operator.
        let after = self.after.as_ref().map_or_else(encode_id_after_all, ToValue::to_value);
        let rows = tx.fetch_all(OPERATORS, &[after, self.limit.to_value()]).await?;
        Ok(SearchPage::new(rows, self.limit, None))
    }
}

static OPERATORS: &Sql = sql!(concat!(
    "-- list operators\nSELECT ",
    operator_columns!(),
    " FROM operators WHERE id < ?1 ORDER BY id DESC LIMIT ?2"
));

pub(super) static HOT_STATEMENTS: &[&Sql] = &[OPERATOR_BY_TOKEN, OPERATORS];
