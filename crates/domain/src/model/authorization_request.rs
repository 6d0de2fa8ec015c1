//! The authorization request: the flow of a browser from a recipient to a provider and back.

use std::time::Duration;

use crate::error::OAuthError;
use crate::id::{AuthorizationRequestId, ClientId, ConnectionId, ProviderId};
use crate::scope::Clusters;
use crate::secret::{TokenHash, TokenHashes};
use crate::time::Timestamp;

/// The maximum time between an authorization request and the provider's callback. After it, the customer must start again.
pub const REQUEST_TTL: Duration = Duration::from_mins(20);

/// The time for which a browser keeps the cookie of a request. It is longer than [`REQUEST_TTL`], so that pages can state that the
/// request has expired, and shorter than the time for which decided requests are stored: a missing row proves that there was no
/// decision.
pub const FLOW_COOKIE_TTL: Duration = Duration::from_mins(30);

crate::str_enum! {
    /// The stored progress of an authorization request. Each step is taken at most once.
    pub enum RequestStatus {
        /// The customer has not decided yet. Such a request is only in the cookie of its browser: the transaction that inserts its
        /// row also stores the decision, so no committed row has this status.
        AwaitingConsent = "awaiting_consent",
        /// The customer consented and was redirected to the provider.
        AtProvider = "at_provider",
        /// The provider's authorization code is stored in sealed form and is being exchanged for tokens.
        Exchanging = "exchanging",
        /// The authorization succeeded, and the request opened a connection.
        Connected = "connected",
        /// The request ended without a connection.
        Failed = "failed",
    }
}

/// An authorization request, as it is stored after the customer's decision.
#[derive(Clone, Debug)]
pub struct AuthorizationRequest {
    /// The id, which is part of the path of the consent page.
    pub id: AuthorizationRequestId,
    /// The id of the future connection. Sealed values are bound to it, so they stay readable when the connection opens.
    pub connection_id: ConnectionId,
    /// The recipient that sent the request.
    pub client_id: ClientId,
    /// The provider at which the customer grants access.
    pub provider_id: ProviderId,
    /// The redirect URI for the response. Empty if it was no longer registered when the customer decided.
    pub redirect_uri: String,
    /// The requested data clusters. The recipient was allowed to request all of them.
    pub clusters: Clusters,
    /// The recipient's `state`, returned unchanged.
    pub client_state: Option<String>,
    /// The recipient's PKCE challenge, with which the code verifier must match at the exchange of the code.
    pub code_challenge: Option<String>,
    /// The language of the pages, `en` or `fr`.
    pub language: String,
    /// The step that the request has reached.
    pub status: RequestStatus,
    /// The hash of the cookie that binds the request to one browser.
    pub cookie_hash: TokenHash,
    /// The wrapped (encrypted) key of the sealed values. The connection takes it over.
    pub data_key: Vec<u8>,
    /// The sealed PKCE verifier that the hub sends to the provider's token endpoint.
    pub verifier: Option<Vec<u8>>,
    /// The purpose that the consent page showed; absent before the consent.
    pub purpose: Option<String>,
    /// The version of the page text to which the customer consented; absent before the consent.
    pub page_version: Option<String>,
    /// The time of the consent; absent before it.
    pub agreed_at: Option<Timestamp>,
    /// The hash of the authorization code that the recipient was sent last; absent before the exchange has succeeded.
    pub code_hash: Option<TokenHash>,
    /// The error that the recipient was sent; absent unless the request failed.
    pub failure: Option<OAuthError>,
    /// The correlation id of the HTTP exchange in which the customer decided.
    pub correlation_id: String,
    /// The time at which the recipient's request arrived.
    pub created_at: Timestamp,
    /// The time from which no step may be taken.
    pub expires_at: Timestamp,
}

/// Error for a step of an authorization request that must not be taken. It is shown on a page and never sent to a
/// redirect URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestStepError {
    /// No authorization request has the id.
    Unknown,
    /// The step was taken in another browser than the one that started the request.
    ForeignBrowser,
    /// The step was already taken, for example in another tab of the browser.
    AlreadyTaken,
    /// The request was not completed within its lifetime.
    Expired,
}

impl AuthorizationRequest {
    /// Ensures that `cookie` belongs to the browser that started the request.
    pub fn ensure_own_browser(&self, cookie: &TokenHashes) -> Result<(), RequestStepError> {
        if self.cookie_hash.matches(cookie) { Ok(()) } else { Err(RequestStepError::ForeignBrowser) }
    }

    /// Ensures that the next step may be taken: `cookie` belongs to the request's browser, the status is one of `from`,
    /// and the request has not expired.
    pub fn ensure_step_allowed(
        &self,
        from: &[RequestStatus],
        cookie: &TokenHashes,
        now: Timestamp,
    ) -> Result<(), RequestStepError> {
        // The cookie is checked first, because another browser must not learn the progress of the request.
        self.ensure_own_browser(cookie)?;
        if !from.contains(&self.status) {
            return Err(RequestStepError::AlreadyTaken);
        }
        if now >= self.expires_at {
            return Err(RequestStepError::Expired);
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn cookie(text: &str) -> TokenHash {
        let pepper = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[0; 32]);
        TokenHash::for_token(1, &pepper, text.as_bytes())
    }

    /// Creates a request with this status that expires `REQUEST_TTL` after `created_at`.
    pub(crate) fn request(status: RequestStatus, created_at: Timestamp) -> AuthorizationRequest {
        AuthorizationRequest {
            id: "arq_1".parse().unwrap(),
            connection_id: "con_1".parse().unwrap(),
            client_id: "dc-1".parse().unwrap(),
            provider_id: ProviderId::new(1000),
            redirect_uri: "https://app.example/cb".to_owned(),
            clusters: Clusters::NONE,
            client_state: None,
            code_challenge: None,
            language: "en".to_owned(),
            status,
            cookie_hash: cookie("own"),
            data_key: Vec::new(),
            verifier: None,
            purpose: None,
            page_version: None,
            agreed_at: None,
            code_hash: None,
            failure: None,
            correlation_id: "c".to_owned(),
            created_at,
            expires_at: created_at.plus(REQUEST_TTL),
        }
    }

    #[test]
    fn step_is_taken_once_in_own_browser_within_lifetime() {
        let (own, foreign) =
            (TokenHashes::new(vec![cookie("own")]), TokenHashes::new(vec![cookie("foreign")]));
        let end = NOW.plus(REQUEST_TTL);
        let last_moment = end.minus(Duration::from_millis(1));

        for (status, cookie, now, expected) in [
            (RequestStatus::AtProvider, &own, last_moment, Ok(())),
            (RequestStatus::AtProvider, &own, end, Err(RequestStepError::Expired)),
            (RequestStatus::AtProvider, &foreign, NOW, Err(RequestStepError::ForeignBrowser)),
            (RequestStatus::Exchanging, &own, NOW, Err(RequestStepError::AlreadyTaken)),
            (RequestStatus::Exchanging, &own, end, Err(RequestStepError::AlreadyTaken)),
            // Another browser must not learn the progress of the request.
            (RequestStatus::Exchanging, &foreign, end, Err(RequestStepError::ForeignBrowser)),
        ] {
            let request = request(status, NOW);
            let result = request.ensure_step_allowed(&[RequestStatus::AtProvider], cookie, now);
            assert_eq!(result, expected, "{status} at {now}");
        }
    }

    #[test]
    fn step_is_allowed_from_each_listed_status() {
        let from = [RequestStatus::AtProvider, RequestStatus::Exchanging];
        let own = TokenHashes::new(vec![cookie("own")]);

        for status in RequestStatus::ALL.iter().copied() {
            let is_allowed = request(status, NOW).ensure_step_allowed(&from, &own, NOW).is_ok();
            assert_eq!(is_allowed, from.contains(&status), "{status}");
        }
    }
}
