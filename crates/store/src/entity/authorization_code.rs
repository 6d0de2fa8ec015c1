//! The stored form of the authorization codes that the hub issues to recipients.

use domain::id::ConnectionId;
use domain::model::authorization_code::AuthorizationCode;
use domain::secret::TokenHash;

use crate::error::Result;
use crate::row::{FromRow, Row};
use crate::row_mac::RowMac;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// The MAC that binds an authorization code to its connection, its client and the conditions of its exchange.
pub(crate) static CODE_MAC: RowMac = RowMac {
    table: "authorization_codes",
    part: "",
    columns: &["code_hash", "connection_id", "client_id", "redirect_uri", "code_challenge", "expires_at"],
    mac: "mac",
    id: ("connection_id", ConnectionId::PREFIX),
};

impl FromRow for AuthorizationCode {
    fn from_row(row: &mut Row) -> Result<Self> {
        row.verify(&CODE_MAC)?;
        Ok(Self {
            hash: row.get("code_hash")?,
            connection_id: row.get("connection_id")?,
            client_id: row.get("client_id")?,
            redirect_uri: row.get("redirect_uri")?,
            code_challenge: row.get("code_challenge")?,
            expires_at: row.get("expires_at")?,
            used_at: row.get("used_at")?,
        })
    }
}

/// Announces that the code is found later, see [`Tx::announce`].
pub(crate) fn announce_code(tx: &mut Tx<'_>, hash: &TokenHash) {
    tx.announce(CODE, values![hash]);
}

pub(crate) async fn find_code(tx: &mut Tx<'_>, hash: &TokenHash) -> Result<Option<AuthorizationCode>> {
    tx.fetch_optional(CODE, values![hash]).await
}

static CODE: &Sql = sql!(
    "-- find an authorization code
    SELECT code_hash, connection_id, client_id, redirect_uri, code_challenge, expires_at, mac, used_at
    FROM authorization_codes WHERE code_hash = ?1"
);

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[CODE];
