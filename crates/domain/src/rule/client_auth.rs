//! Client authentication at the token endpoint, without looking at the secret itself.

use crate::error::{OAuthCode, OAuthError};
use crate::model::client::{Client, ClientState};
use crate::secret::{Secret, TokenHashes};

/// The credentials of a request: exactly one way was used (RFC 6749 §2.3).
#[derive(Debug, Clone)]
pub struct ClientCredentials {
    /// Who says it is calling.
    pub client_id: String,
    /// With which secret.
    pub secret: Secret<String>,
}

/// What every failed authentication is told: which half was wrong is nobody's business.
pub(super) const WRONG_CREDENTIALS: OAuthError =
    OAuthError::new(OAuthCode::InvalidClient, "client_id or client_secret is wrong");

/// What a held client is told.
pub const CLIENT_SUSPENDED: OAuthError =
    OAuthError::new(OAuthCode::UnauthorizedClient, "This client is suspended");

/// Chooses between HTTP Basic and the body.
///
/// Two secrets are `invalid_request`; an equal `parse_client_id` beside Basic is fine.
pub fn select_credentials(
    basic: Option<ClientCredentials>,
    body_id: Option<&str>,
    body_secret: Option<&str>,
) -> Result<ClientCredentials, OAuthError> {
    match (basic, body_id, body_secret) {
        (Some(_), _, Some(_)) => {
            Err(OAuthError::new(OAuthCode::InvalidRequest, "The client secret is given in two places"))
        }
        (Some(basic), Some(id), None) if id != basic.client_id => {
            Err(OAuthError::new(OAuthCode::InvalidRequest, "client_id differs from the Authorization header"))
        }
        (Some(basic), _, None) => Ok(basic),
        (None, Some(id), Some(secret)) => {
            Ok(ClientCredentials { client_id: id.to_owned(), secret: secret.into() })
        }
        (None, None, _) => Err(OAuthError::for_missing_field("client_id")),
        (None, Some(_), None) => Err(OAuthError::for_missing_field("client_secret")),
    }
}

/// A client that has proven its secret.
#[derive(Clone, Debug)]
pub struct AuthenticatedClient(Client);

impl AuthenticatedClient {
    /// The client.
    pub const fn client(&self) -> &Client {
        &self.0
    }
}

/// Compares the presented secret with the stored one; an unknown client is answered alike.
pub fn authenticate(
    client: Option<Client>,
    presented: &TokenHashes,
) -> Result<AuthenticatedClient, OAuthError> {
    let client = client.filter(|c| c.secret_hash.matches(presented)).ok_or(WRONG_CREDENTIALS)?;
    Ok(AuthenticatedClient(client))
}

/// What a client is told that was removed meanwhile.
pub const CLIENT_REMOVED: OAuthError =
    OAuthError::new(OAuthCode::UnauthorizedClient, "This client was removed");

/// Refuses a client that is held or removed.
pub fn ensure_client_active(client: &Client) -> Result<(), OAuthError> {
    match client.state {
        ClientState::Active => Ok(()),
        ClientState::Suspended => Err(CLIENT_SUSPENDED),
        ClientState::Closed => Err(CLIENT_REMOVED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(id: &str) -> ClientCredentials {
        ClientCredentials { client_id: id.into(), secret: "basic".into() }
    }

    #[test]
    fn client_credentials_are_taken_from_header_or_body() {
        assert_eq!(select_credentials(Some(basic("a")), None, None).unwrap().secret.expose(), "basic");
        assert_eq!(select_credentials(Some(basic("a")), Some("a"), None).unwrap().client_id, "a");
        assert_eq!(select_credentials(None, Some("a"), Some("body")).unwrap().secret.expose(), "body");
    }

    #[test]
    fn rfc6749_s2_3_conflicting_or_partial_credentials_are_invalid() {
        for (b, id, secret) in [
            (Some(basic("a")), Some("a"), Some("body")),
            (Some(basic("a")), Some("b"), None),
            (None, Some("a"), None),
            (None, None, Some("body")),
            (None, None, None),
        ] {
            assert_eq!(select_credentials(b, id, secret).unwrap_err().code, OAuthCode::InvalidRequest);
        }
    }
}
