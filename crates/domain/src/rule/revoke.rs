//! The validation of a request to `/api/v1/revoke`: the call of the Flinks API, which a bearer token authenticates, or
//! that of RFC 7009, which the client's secret authenticates.

use crate::error::{OAuthCode, OAuthError};
use crate::id::{ClientId, ConnectionId};
use crate::model::client::{Client, ClientState, Profile};
use crate::secret::Secret;

use super::client_auth::{ClientCredentials, WRONG_CREDENTIALS, select_credentials};
use super::token::TokenRequestFields;

/// Error for a token in the body of a Flinks call that belongs to something else than the bearer token does.
pub const TOKEN_MISMATCH: OAuthError =
    OAuthError::new(OAuthCode::InvalidRequest, "token differs from the Authorization header");

const NOT_AUTHENTICATED: OAuthError = OAuthError::new(
    OAuthCode::InvalidRequest,
    "The request is not authenticated: send the access token as a bearer token, or client_id and client_secret",
);

/// A revocation request of RFC 7009 §2.1 with all its required fields.
#[derive(Debug)]
pub struct TokenRevocationRequest {
    /// The credentials of the client. They are not verified yet.
    pub credentials: ClientCredentials,
    /// The access token or refresh token to revoke. The hint of its type is not needed, because the two types differ in
    /// their form.
    pub token: Secret<String>,
}

impl TokenRevocationRequest {
    /// The names of all fields that a request may have.
    pub const ALL_NAMES: [&'static str; 4] = ["client_id", "client_secret", "token", "token_type_hint"];

    /// Parses the fields of a request without a bearer token. A missing field is an error.
    pub fn parse(
        basic: Option<ClientCredentials>,
        fields: &TokenRequestFields<'_>,
    ) -> Result<Self, OAuthError> {
        let (id, secret) = (fields.get("client_id"), fields.get("client_secret"));
        // A token that was found in a log must not be sufficient to end the connection.
        if basic.is_none() && id.is_none() && secret.is_none() {
            return Err(NOT_AUTHENTICATED);
        }
        let credentials = select_credentials(basic, id, secret)?;
        let token = fields.get("token").ok_or_else(|| OAuthError::for_missing_field("token"))?;
        Ok(Self { credentials, token: token.into() })
    }
}

/// Ensures that an authenticated client may revoke tokens. A suspended client may: it must always be possible to end a
/// connection.
pub fn ensure_may_revoke(client: &Client) -> Result<(), OAuthError> {
    match client.state {
        ClientState::Closed => Err(WRONG_CREDENTIALS),
        ClientState::Active | ClientState::Suspended if client.profile != Profile::Flinks => Err(
            OAuthError::new(OAuthCode::UnauthorizedClient, "This client uses another revocation endpoint"),
        ),
        ClientState::Active | ClientState::Suspended => Ok(()),
    }
}

/// The tokens of the hub that a text in a revocation request can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PresentedToken {
    /// A refresh token of a connection.
    Refresh {
        /// The client to which the token was issued.
        client_id: ClientId,
        /// The connection to which the token belongs.
        connection_id: ConnectionId,
    },
    /// An access token of a connection. It may have expired.
    Access {
        /// The client to which the token was issued.
        client_id: ClientId,
        /// The connection to which the token belongs.
        connection_id: ConnectionId,
    },
    /// Any other text, including the access token of a client, and the refresh token of a connection that ended some
    /// time ago.
    Unknown,
}

impl PresentedToken {
    /// Returns the connection that a request of RFC 7009 ends: that of a token which was issued to the client.
    // The token of another client looks like an unknown one, so that a client cannot find out which tokens exist.
    pub fn connection_of(self, client: &ClientId) -> Option<ConnectionId> {
        match self {
            Self::Refresh { client_id, connection_id } | Self::Access { client_id, connection_id } => {
                (client_id == *client).then_some(connection_id)
            }
            Self::Unknown => None,
        }
    }
}

/// Ensures that a token in the body of a Flinks call is the refresh token of the connection to which the bearer token
/// belongs. An end cannot be undone, so a request that names two connections ends none.
pub fn ensure_token_of_connection(
    token: &PresentedToken,
    bearer_connection: &ConnectionId,
    is_ended: bool,
) -> Result<(), OAuthError> {
    match token {
        PresentedToken::Refresh { connection_id, .. } if connection_id == bearer_connection => Ok(()),
        // The refresh token of an ended connection is deleted, and a client repeats a request whose response it lost.
        PresentedToken::Unknown if is_ended => Ok(()),
        PresentedToken::Refresh { .. } | PresentedToken::Access { .. } | PresentedToken::Unknown => {
            Err(TOKEN_MISMATCH)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&'static str, &str)]) -> TokenRequestFields<'static> {
        TokenRequestFields::collect(pairs.iter().copied()).unwrap()
    }

    fn basic() -> ClientCredentials {
        ClientCredentials { client_id: "dc-1".into(), secret: "secret".into() }
    }

    fn connection(id: &str) -> ConnectionId {
        id.parse().unwrap()
    }

    fn refresh_token(connection_id: &str) -> PresentedToken {
        PresentedToken::Refresh {
            client_id: "dc-1".parse().unwrap(),
            connection_id: connection(connection_id),
        }
    }

    fn access_token(connection_id: &str) -> PresentedToken {
        PresentedToken::Access {
            client_id: "dc-1".parse().unwrap(),
            connection_id: connection(connection_id),
        }
    }

    #[test]
    fn rfc7009_s2_1_request_has_credentials_and_token() {
        let body = [("client_id", "dc-1"), ("client_secret", "secret"), ("token", "t")];
        for (basic, fields) in [(Some(basic()), fields(&[("token", "t")])), (None, fields(&body))] {
            let request = TokenRevocationRequest::parse(basic, &fields).unwrap();

            assert_eq!(
                (request.credentials.client_id.as_str(), request.token.expose().as_str()),
                ("dc-1", "t")
            );
            assert_eq!(request.credentials.secret.expose(), "secret");
        }
    }

    #[test]
    fn rfc7009_s2_1_incomplete_request_is_rejected() {
        let error = |basic, pairs: &[_]| TokenRevocationRequest::parse(basic, &fields(pairs)).unwrap_err();

        assert_eq!(error(None, &[("token", "t")]), NOT_AUTHENTICATED);
        assert_eq!(error(None, &[]), NOT_AUTHENTICATED);
        assert_eq!(error(Some(basic()), &[]).description, "token is missing");
        assert_eq!(error(Some(basic()), &[("token", "")]).description, "token is missing");
        let without_secret = error(None, &[("token", "t"), ("client_id", "dc-1")]);
        assert_eq!(without_secret.description, "client_secret is missing");
    }

    #[test]
    fn token_of_another_client_names_no_connection() {
        let (own, other) = ("dc-1".parse().unwrap(), "dc-2".parse().unwrap());

        for token in [refresh_token("con_1"), access_token("con_1")] {
            assert_eq!(token.clone().connection_of(&own), Some(connection("con_1")));
            assert_eq!(token.connection_of(&other), None);
        }
        assert_eq!(PresentedToken::Unknown.connection_of(&own), None);
    }

    #[test]
    fn token_field_must_be_refresh_token_of_bearers_connection() {
        let check = |token: PresentedToken, is_ended| {
            ensure_token_of_connection(&token, &connection("con_1"), is_ended)
        };

        for is_ended in [false, true] {
            assert_eq!(check(refresh_token("con_1"), is_ended), Ok(()));
            assert_eq!(check(refresh_token("con_2"), is_ended), Err(TOKEN_MISMATCH));
            assert_eq!(check(access_token("con_1"), is_ended), Err(TOKEN_MISMATCH));
            assert_eq!(check(access_token("con_2"), is_ended), Err(TOKEN_MISMATCH));
        }
        assert_eq!(check(PresentedToken::Unknown, false), Err(TOKEN_MISMATCH));
        assert_eq!(check(PresentedToken::Unknown, true), Ok(()));
    }

    #[test]
    fn suspended_client_may_revoke_and_removed_client_may_not() {
        let result = |state, profile| {
            let client = Client { profile, state, ..crate::rule::authorize::tests::client() };
            ensure_may_revoke(&client).map_err(|error| error.code)
        };

        for state in [ClientState::Active, ClientState::Suspended] {
            assert_eq!(result(state, Profile::Flinks), Ok(()), "{state}");
            assert_eq!(result(state, Profile::Fapi2), Err(OAuthCode::UnauthorizedClient), "{state}");
        }
        for profile in [Profile::Flinks, Profile::Fapi2] {
            assert_eq!(result(ClientState::Closed, profile), Err(OAuthCode::InvalidClient), "{profile}");
        }
    }
}
