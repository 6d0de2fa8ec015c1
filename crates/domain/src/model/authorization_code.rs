//! The authorization code, which a recipient can exchange for tokens once, within 60 seconds.

use crate::id::{ClientId, ConnectionId};
use crate::secret::TokenHash;
use crate::time::Timestamp;

/// An authorization code, as it is stored: by its hash.
#[derive(Clone, Debug)]
pub struct AuthorizationCode {
    /// The hash of the code. The code itself is not stored.
    pub hash: TokenHash,
    /// The connection that the exchange of the code activates.
    pub connection_id: ConnectionId,
    /// The client to which the code was issued.
    pub client_id: ClientId,
    /// The redirect URI of the authorization request, which the exchange must repeat.
    pub redirect_uri: String,
    /// The PKCE challenge of the authorization request, if it contained one.
    pub code_challenge: Option<String>,
    /// The end of the code's lifetime.
    pub expires_at: Timestamp,
    /// The time of the exchange; absent if the code was not exchanged yet.
    pub used_at: Option<Timestamp>,
}
