//! An authorization request: a browser on its way from a recipient to a provider and back.

use crate::id::{AuthorizationRequestId, ClientId, ConnectionId, ProviderId};
use crate::scope::Clusters;
use crate::secret::TokenHash;
use crate::time::Timestamp;

crate::str_enum! {
    /// How far a request has come. Each step is taken once.
    pub enum RequestStatus {
        /// The hub's consent page is shown.
        AwaitingConsent = "awaiting_consent",
        /// The customer agreed and was sent to the provider.
        AtProvider = "at_provider",
        /// The provider's code is in hand, sealed; its exchange is under way.
        Exchanging = "exchanging",
        /// A connection came of it.
        Connected = "connected",
        /// Nothing came of it.
        Failed = "failed",
    }
}

/// A request as stored.
#[derive(Clone, Debug)]
pub struct AuthorizationRequest {
    /// Its id; stands in the consent page's path.
    pub id: AuthorizationRequestId,
    /// The id that the connection will have: what is sealed on the way is bound to it.
    pub connection_id: ConnectionId,
    /// The recipient.
    pub client_id: ClientId,
    /// The provider.
    pub provider_id: ProviderId,
    /// Where the answer goes.
    pub redirect_uri: String,
    /// What was asked for and may be granted.
    pub clusters: Clusters,
    /// The recipient's `state`, returned byte for byte.
    pub client_state: Option<String>,
    /// The recipient's PKCE challenge.
    pub code_challenge: Option<String>,
    /// The language of the pages.
    pub language: String,
    /// How far it has come.
    pub status: RequestStatus,
    /// How the browser's flow cookie is remembered.
    pub cookie_hash: TokenHash,
    /// The wrapped key that its sealed values, and later the connection's, are under.
    pub data_key: Vec<u8>,
    /// The sealed PKCE verifier towards the provider.
    pub verifier: Option<Vec<u8>>,
    /// The purpose that the consent page showed.
    pub purpose: Option<String>,
    /// Which page text was agreed to.
    pub page_version: Option<String>,
    /// When the customer agreed.
    pub agreed_at: Option<Timestamp>,
    /// The correlation id that it began with.
    pub correlation_id: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it is too old to go on.
    pub expires_at: Timestamp,
}

/// Why a step of a request was refused. Each is a page, never a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestStepError {
    /// There is no such request.
    Unknown,
    /// The browser is not the one that began it.
    ForeignBrowser,
    /// This step was taken before.
    AlreadyTaken,
    /// It is too old.
    Expired,
}

impl AuthorizationRequest {
    /// Whether the browser that holds a cookie may take the step that `from` waits for.
    pub fn ensure_step_allowed(
        &self,
        from: RequestStatus,
        cookie: &crate::secret::TokenHashes,
        now: Timestamp,
    ) -> Result<(), RequestStepError> {
        if !self.cookie_hash.matches(cookie) {
            return Err(RequestStepError::ForeignBrowser);
        }
        if self.status != from {
            return Err(RequestStepError::AlreadyTaken);
        }
        if now >= self.expires_at {
            return Err(RequestStepError::Expired);
        }
        Ok(())
    }
}
