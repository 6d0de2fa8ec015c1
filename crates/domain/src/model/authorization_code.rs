//! An authorization code: works once, for 60 seconds.

use crate::id::{ClientId, ConnectionId};
use crate::secret::TokenHash;
use crate::time::Timestamp;

/// A code as stored.
#[derive(Clone, Debug)]
pub struct AuthorizationCode {
    /// How it is remembered.
    pub hash: TokenHash,
    /// The connection that its exchange activates.
    pub connection_id: ConnectionId,
    /// Who may redeem it.
    pub client_id: ClientId,
    /// The redirect URI of the authorization request.
    pub redirect_uri: String,
    /// The PKCE challenge of the authorization request.
    pub code_challenge: Option<String>,
    /// When it dies.
    pub expires_at: Timestamp,
    /// When it was redeemed.
    pub used_at: Option<Timestamp>,
}
