//! The stored facts about a connection on which the access check decides.

use domain::id::ConnectionId;
use domain::model::connection::ConnectionStatus;
use domain::rule::access::AccessState;

use crate::error::Result;
use crate::row::{FromRow, Row};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// The columns of an access state, selected from `connections c` and [`access_state_joins`].
macro_rules! access_state_columns {
    () => {
        "c.id AS connection_id, c.client_id, c.provider_id, c.sub, c.status, c.cause, s.status AS successor_status,
        c.provider_revocation, c.expires_at, c.token_generation, t.clusters, t.accounts, l.state AS client_state,
        l.profile, r.state AS registration_state, p.state AS provider_state"
    };
}
pub(crate) use access_state_columns;

macro_rules! access_state_joins {
    () => {
        "JOIN connection_terms t ON t.connection_id = c.id AND t.version = c.terms_version
    JOIN clients l ON l.id = c.client_id
    JOIN providers p ON p.id = c.provider_id
    LEFT JOIN registrations r ON r.client_id = c.client_id AND r.provider_id = c.provider_id
    LEFT JOIN connections s ON s.id = c.replaced_by"
    };
}
pub(crate) use access_state_joins;

impl FromRow for AccessState {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            connection_id: row.get("connection_id")?,
            client_id: row.get("client_id")?,
            provider_id: row.get("provider_id")?,
            sub: row.get("sub")?,
            status: row.get("status")?,
            cause: row.get("cause")?,
            successor_active: row.get::<Option<_>>("successor_status")? == Some(ConnectionStatus::Active),
            provider_revocation: row.get("provider_revocation")?,
            expires_at: row.get("expires_at")?,
            token_generation: row.get("token_generation")?,
            clusters: row.get("clusters")?,
            accounts: row.get_optional_json::<Vec<String>>("accounts")?.map(Into::into),
            client_state: row.get("client_state")?,
            profile: row.get("profile")?,
            registration_state: row.get("registration_state")?,
            provider_state: row.get("provider_state")?,
        })
    }
}

/// Finds the access state of a connection. One statement reads all of it, so that it is consistent.
pub(crate) async fn find_access_state(tx: &mut Tx<'_>, id: &ConnectionId) -> Result<Option<AccessState>> {
    tx.fetch_optional(ACCESS_STATE, values![id]).await
}

static ACCESS_STATE: &Sql = sql!(concat!(
    "-- find the access state of a connection\nSELECT ",
    access_state_columns!(),
    "\n    FROM connections c ",
    access_state_joins!(),
    "\n    WHERE c.id = ?1"
));

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[ACCESS_STATE];
