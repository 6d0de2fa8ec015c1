//! The stored form of operators and their tokens.

use domain::Timestamp;
use domain::id::OperatorId;
use domain::model::audit_event::AuditHead;
use domain::model::operator::OperatorToken;

use crate::error::Result;
use crate::row::{FromRow, Row};
use crate::row_mac::RowMac;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{Value, values};

macro_rules! operator_columns {
    () => {
        "id, name, role, bootstrap, token_hash, expires_at, ended_at, mac, created_at, audit_head"
    };
}
pub(crate) use operator_columns;

/// The MAC over the token and the role of an operator.
static OPERATOR_MAC: RowMac = RowMac {
    table: "operators",
    part: "",
    columns: &["id", "name", "role", "bootstrap", "token_hash", "expires_at", "ended_at"],
    mac: "mac",
    id: ("id", OperatorId::PREFIX),
};

/// Computes the MAC of an operator.
pub(crate) fn compute_operator_mac(
    tx: &Tx<'_>,
    operator: &OperatorToken,
    ended_at: Option<Timestamp>,
) -> Value {
    let o = operator;
    let values = values![o.id, o.name, o.role, o.bootstrap, o.hash, o.expires_at, ended_at];
    tx.compute_mac(&OPERATOR_MAC, values)
}

impl FromRow for OperatorToken {
    fn from_row(row: &mut Row) -> Result<Self> {
        row.verify(&OPERATOR_MAC)?;
        Ok(Self {
            id: row.get("id")?,
            name: row.get("name")?,
            role: row.get("role")?,
            bootstrap: row.get("bootstrap")?,
            hash: row.get("token_hash")?,
            created_at: row.get("created_at")?,
            expires_at: row.get("expires_at")?,
            ended_at: row.get("ended_at")?,
            audit: AuditHead::from_row(row)?,
        })
    }
}

pub(crate) async fn lock_operator(tx: &mut Tx<'_>, id: &OperatorId) -> Result<Option<OperatorToken>> {
    tx.fetch_optional(LOCK_OPERATOR, values![id]).await
}

/// Locks an operator against changes. Other commands of the same operator can run concurrently.
pub(crate) async fn lock_operator_shared(tx: &mut Tx<'_>, id: &OperatorId) -> Result<Option<OperatorToken>> {
    tx.fetch_optional(LOCK_OPERATOR_SHARED, values![id]).await
}

/// Locks the operator with a name. Ignores removed operators, which may have had the same name.
pub(crate) async fn lock_operator_by_name(tx: &mut Tx<'_>, name: &str) -> Result<Option<OperatorToken>> {
    tx.fetch_optional(LOCK_OPERATOR_BY_NAME, values![name]).await
}

static LOCK_OPERATOR: &Sql = sql!(concat!(
    "-- lock an operator\nSELECT ",
    operator_columns!(),
    " FROM operators WHERE id = ?1 FOR UPDATE"
));

static LOCK_OPERATOR_SHARED: &Sql = sql!(concat!(
    "-- lock an operator shared\nSELECT ",
    operator_columns!(),
    " FROM operators WHERE id = ?1 FOR SHARE"
));

static LOCK_OPERATOR_BY_NAME: &Sql = sql!(concat!(
    "-- lock an operator by name\nSELECT ",
    operator_columns!(),
    " FROM operators WHERE name = ?1 AND ended_at IS NULL FOR UPDATE"
));

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[LOCK_OPERATOR, LOCK_OPERATOR_SHARED, LOCK_OPERATOR_BY_NAME];
