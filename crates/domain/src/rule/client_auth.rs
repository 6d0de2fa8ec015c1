//! Client authentication at the token endpoint (RFC 6749 §2.3).

use crate::error::{OAuthCode, OAuthError};
use crate::model::client::{Client, ClientState};
use crate::secret::{Secret, TokenHashes};

/// The credentials of a request, sent by exactly one method (RFC 6749 §2.3).
#[derive(Debug, Clone)]
pub struct ClientCredentials {
    /// The client id that the request contains. It is not verified yet.
    pub client_id: String,
    /// The client secret that the request contains. It is not verified yet.
    pub secret: Secret<String>,
}

/// Error for every failed authentication. It does not reveal whether the client exists.
pub(super) const WRONG_CREDENTIALS: OAuthError =
    OAuthError::new(OAuthCode::InvalidClient, "client_id or client_secret is wrong");

/// Error for a suspended client, which gets no tokens of connections, and may only list and end connections.
pub const CLIENT_SUSPENDED: OAuthError =
    OAuthError::new(OAuthCode::UnauthorizedClient, "This client is suspended");

/// Selects the credentials from HTTP Basic or the request body. Secrets in both places are an error.
pub fn select_credentials(
    basic: Option<ClientCredentials>,
    body_id: Option<&str>,
    body_secret: Option<&str>,
) -> Result<ClientCredentials, OAuthError> {
    match (basic, body_id, body_secret) {
        // A client must not use more than one authentication method (RFC 6749 §2.3).
        (Some(_), _, Some(_)) => {
            Err(OAuthError::new(OAuthCode::InvalidRequest, "The client secret is given in two places"))
        }
        (Some(basic), Some(id), None) if id != basic.client_id => {
            Err(OAuthError::new(OAuthCode::InvalidRequest, "client_id differs from the Authorization header"))
        }
        // Many libraries repeat the `client_id` in the body. An equal one is harmless.
        (Some(basic), _, None) => Ok(basic),
        (None, Some(id), Some(secret)) => {
            Ok(ClientCredentials { client_id: id.to_owned(), secret: secret.into() })
        }
        (None, None, _) => Err(OAuthError::for_missing_field("client_id")),
        (None, Some(_), None) => Err(OAuthError::for_missing_field("client_secret")),
    }
}

/// A client whose secret was verified. Only [`authenticate`] creates it.
#[derive(Clone, Debug)]
pub struct AuthenticatedClient(Client);

impl AuthenticatedClient {
    /// Returns the client whose secret was verified.
    pub const fn client(&self) -> &Client {
        &self.0
    }
}

/// Compares the presented secret with the stored one. An unknown client gets the same error as a wrong secret.
pub fn authenticate(
    client: Option<Client>,
    presented: &TokenHashes,
) -> Result<AuthenticatedClient, OAuthError> {
    let client = client.filter(|c| c.secret_hash.matches(presented)).ok_or(WRONG_CREDENTIALS)?;
    Ok(AuthenticatedClient(client))
}

/// Error for a client that was removed, which gets no tokens.
pub const CLIENT_REMOVED: OAuthError =
    OAuthError::new(OAuthCode::UnauthorizedClient, "This client was removed");

/// Ensures that a client is neither suspended nor removed.
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
