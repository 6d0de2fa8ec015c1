//! Operators: by their token, and all of them.

use domain::id::OperatorId;
use domain::model::operator::OperatorToken;
use domain::secret::TokenHashes;

use crate::Query;
use crate::error::Result;
use crate::record::{FromRow, operator_columns};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// The operator that a presented token names.
#[derive(Debug, Clone)]
pub struct FindOperator {
    /// The presented token's hashes.
    pub hashes: TokenHashes,
}

impl Query for FindOperator {
    type Reply = Option<OperatorToken>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        for hash in self.hashes.iter() {
            if let Some(mut row) = tx.query_opt(OPERATOR_BY_TOKEN, values![hash]).await? {
                return OperatorToken::from_row(&mut row).map(Some);
            }
        }
        Ok(None)
    }
}

pub(super) static OPERATOR_BY_TOKEN: &Sql =
    sql!(concat!("-- an operator by its token\n", operator_columns!(), "WHERE token_hash = ?1"));

/// Operators, the newest first, those that are gone as well.
#[derive(Debug, Clone)]
pub struct ListOperators {
    /// Older than this one.
    pub after: Option<OperatorId>,
    /// At most so many.
    pub limit: u32,
}

impl Query for ListOperators {
    type Reply = Vec<OperatorToken>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let after = self.after.as_ref().map_or("opr_zzzz", OperatorId::as_str);
        let rows = tx.query(OPERATORS, values![*after, self.limit]).await?;
        rows.into_iter().map(|mut row| OperatorToken::from_row(&mut row)).collect()
    }
}

pub(super) static OPERATORS: &Sql =
    sql!(concat!("-- operators\n", operator_columns!(), "WHERE id < ?1 ORDER BY id DESC LIMIT ?2"));
