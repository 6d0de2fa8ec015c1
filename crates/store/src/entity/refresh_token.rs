//! The stored form of the refresh tokens that the hub issues to recipients.

use domain::id::ConnectionId;

use crate::row_mac::RowMac;

/// The MAC that binds a refresh token to its connection and its client.
pub(crate) static REFRESH_TOKEN_MAC: RowMac = RowMac {
    table: "refresh_tokens",
    part: "",
    columns: &["token_hash", "connection_id", "client_id"],
    mac: "mac",
    id: ("connection_id", ConnectionId::PREFIX),
};
