//! The validation of a token request (RFC 6749 §4.1.3, §4.4.2, §6).

use std::borrow::Cow;

use crate::error::{OAuthCode, OAuthError};
use crate::model::client::{Client, ClientKind, ClientState};
use crate::scope::{ClientScope, Clusters};
use crate::secret::Secret;

use super::client_auth::{CLIENT_SUSPENDED, WRONG_CREDENTIALS};

/// The fields of a token request in any encoding. Each occurs at most once, and empty ones count as absent (RFC 6749
/// §3.2).
#[derive(Debug, Default)]
pub struct TokenRequestFields<'a>(Vec<(Cow<'a, str>, Secret<String>)>);

/// The maximum number of fields. Each name is compared with all others before the client is authenticated, so an
/// unlimited number would let an untrusted client use much processor time.
const MAX_FIELDS: usize = 64;

const TOO_MANY_FIELDS: OAuthError =
    OAuthError::new(OAuthCode::InvalidRequest, "The request has more than 64 fields");

impl<'a> TokenRequestFields<'a> {
    /// The names of all fields that a token request may have.
    pub const ALL_NAMES: [&'static str; 8] = [
        "grant_type",
        "client_id",
        "client_secret",
        "code",
        "redirect_uri",
        "code_verifier",
        "refresh_token",
        "scope",
    ];

    /// Collects fields; returns an error that names the field if one is repeated.
    pub fn collect<N: Into<Cow<'a, str>>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, OAuthError> {
        let mut fields: Vec<(Cow<'a, str>, Secret<String>)> = Vec::with_capacity(Self::ALL_NAMES.len());
        for (name, value) in pairs {
            if fields.len() == MAX_FIELDS {
                return Err(TOO_MANY_FIELDS);
            }
            let name = name.into();
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(OAuthError::for_repeated_field(&name));
            }
            fields.push((name, Secret::new(value.into())));
        }
        Ok(Self(fields))
    }

    /// Returns the value of a field, if it is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.expose().as_str());
        value.filter(|v| !v.is_empty())
    }

    fn require(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name).ok_or_else(|| OAuthError::for_missing_field(name))
    }
}

/// A token request with all fields that its grant type requires.
#[derive(Debug)]
pub enum TokenRequest {
    /// Exchanges an authorization code for tokens (grant type `authorization_code`).
    AuthorizationCode {
        /// The authorization code that the client exchanges.
        code: Secret<String>,
        /// The redirect URI of the authorization request.
        redirect_uri: String,
        /// The PKCE verifier, if the authorization request contained a challenge.
        verifier: Option<Secret<String>>,
    },
    /// Obtains a new access token for a connection (grant type `refresh_token`).
    RefreshToken {
        /// The refresh token that the client presents.
        token: Secret<String>,
        /// The scope of the new access token, if the request limits it; it may only be narrower.
        scope: Option<Clusters>,
    },
    /// Obtains an access token of the client itself (grant type `client_credentials`).
    ClientCredentials {
        /// The requested scope, as received.
        scope: Option<String>,
    },
}

impl TokenRequest {
    /// Parses the fields of a request, according to its `grant_type`. A missing field is an error.
    pub fn parse(fields: &TokenRequestFields<'_>) -> Result<Self, OAuthError> {
        match fields.require("grant_type")? {
            "authorization_code" => Ok(Self::AuthorizationCode {
                code: fields.require("code")?.into(),
                redirect_uri: fields.require("redirect_uri")?.to_owned(),
                verifier: fields.get("code_verifier").map(Into::into),
            }),
            "refresh_token" => Ok(Self::RefreshToken {
                token: fields.require("refresh_token")?.into(),
                scope: fields.get("scope").map(parse_data_scope).transpose()?,
            }),
            "client_credentials" => {
                Ok(Self::ClientCredentials { scope: fields.get("scope").map(str::to_owned) })
            }
            _ => Err(OAuthError::new(
                OAuthCode::UnsupportedGrantType,
                "grant_type must be authorization_code, refresh_token or client_credentials",
            )),
        }
    }
}

/// Ensures that the state of an authenticated client allows a grant; otherwise returns the error that suits the grant type.
pub fn ensure_grant_allowed(client: &Client, request: &TokenRequest) -> Result<(), OAuthError> {
    match (client.state, request) {
        // Its own token lets a suspended client list and end connections, and nothing else: it must always be possible to
        // end a connection.
        (ClientState::Active, _) | (ClientState::Suspended, TokenRequest::ClientCredentials { .. }) => Ok(()),
        (ClientState::Suspended, _) => Err(CLIENT_SUSPENDED),
        // `invalid_grant` makes the app of a removed client discard its codes and tokens.
        (ClientState::Closed, TokenRequest::AuthorizationCode { .. }) => Err(BAD_CODE),
        (ClientState::Closed, TokenRequest::RefreshToken { .. }) => Err(BAD_REFRESH_TOKEN),
        (ClientState::Closed, TokenRequest::ClientCredentials { .. }) => Err(WRONG_CREDENTIALS),
    }
}

fn parse_data_scope(scope: &str) -> Result<Clusters, OAuthError> {
    match scope.parse::<Clusters>() {
        Ok(Clusters::NONE) => Err(EMPTY_SCOPE),
        Ok(clusters) => Ok(clusters),
        Err(unknown) => Err(OAuthError::with_description(OAuthCode::InvalidScope, unknown)),
    }
}

/// Error for a scope that consists only of spaces. It is not empty, so it does not count as absent, but it requests
/// nothing.
const EMPTY_SCOPE: OAuthError = OAuthError::new(OAuthCode::InvalidScope, "scope names nothing");

/// Returns the scope of a client token: each kind of client has exactly one.
pub fn resolve_client_scope(client: &Client, requested: Option<&str>) -> Result<ClientScope, OAuthError> {
    let allowed = match client.kind {
        ClientKind::Recipient => ClientScope::ProvidersRead,
        ClientKind::Partner => ClientScope::ClientAdmin,
    };
    if requested.is_some_and(|scope| scope.trim_matches(' ').is_empty()) {
        return Err(EMPTY_SCOPE);
    }
    for value in requested.unwrap_or_default().split(' ').filter(|value| !value.is_empty()) {
        if value != allowed.as_str() {
            return Err(OAuthError::with_description(
                OAuthCode::InvalidScope,
                format_args!("scope {value} is not allowed for this client"),
            ));
        }
    }
    Ok(allowed)
}

/// Returns the scope of a refreshed access token: the granted scope or a part of it (RFC 6749 §6).
pub fn narrow_refresh_scope(granted: Clusters, requested: Option<Clusters>) -> Result<Clusters, OAuthError> {
    let requested = requested.unwrap_or(granted);
    match requested.first_missing_from(granted) {
        None => Ok(requested),
        Some(beyond) => Err(OAuthError::with_description(
            OAuthCode::InvalidScope,
            format_args!("scope {} is not allowed for this client", beyond.as_str()),
        )),
    }
}

/// Error for a code that is unknown, used, expired or was issued to another client.
pub const BAD_CODE: OAuthError =
    OAuthError::new(OAuthCode::InvalidGrant, "The code is unknown, used or expired");

/// Error for a refresh token that is unknown, expired or whose connection has ended.
pub const BAD_REFRESH_TOKEN: OAuthError = OAuthError::new(
    OAuthCode::InvalidGrant,
    "The refresh token is unknown, expired or its connection has ended",
);

/// Error for a redirect URI that differs from the one in the authorization request.
pub const WRONG_REDIRECT: OAuthError =
    OAuthError::new(OAuthCode::InvalidGrant, "redirect_uri does not match the authorization request");

/// Error for a PKCE verifier that is wrong, missing or unexpected (RFC 7636 §4.6).
pub const WRONG_VERIFIER: OAuthError =
    OAuthError::new(OAuthCode::InvalidGrant, "code_verifier does not match the authorization request");

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<TokenRequest, OAuthError> {
        let fields =
            TokenRequestFields::collect(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))?;
        TokenRequest::parse(&fields)
    }

    fn error_message(pairs: &[(&str, &str)]) -> String {
        parse(pairs).unwrap_err().to_string()
    }

    #[test]
    fn missing_token_request_field_is_named_in_error() {
        assert_eq!(error_message(&[]), "invalid_request: grant_type is missing");
        let code = ("grant_type", "authorization_code");
        assert_eq!(error_message(&[code]), "invalid_request: code is missing");
        assert_eq!(error_message(&[code, ("code", "x")]), "invalid_request: redirect_uri is missing");
        assert_eq!(
            error_message(&[("grant_type", "refresh_token")]),
            "invalid_request: refresh_token is missing"
        );
        assert!(parse(&[("grant_type", "client_credentials")]).is_ok());
    }

    #[test]
    fn rfc6749_s3_2_empty_field_is_absent_and_repeat_is_rejected() {
        assert_eq!(error_message(&[("grant_type", "")]), "invalid_request: grant_type is missing");
        let twice = [("grant_type", "refresh_token"), ("grant_type", "refresh_token")];
        assert_eq!(error_message(&twice), "invalid_request: grant_type is given twice");
    }

    #[test]
    fn token_request_fields_over_limit_are_rejected() {
        let fields =
            |count: usize| TokenRequestFields::collect((0..count).map(|n| (n.to_string(), String::new())));
        assert!(fields(64).is_ok());
        assert_eq!(fields(65).unwrap_err().description, "The request has more than 64 fields");
    }

    #[test]
    fn unsupported_grant_types_are_rejected() {
        for grant in
            ["password", "implicit", "AUTHORIZATION_CODE", "urn:ietf:params:oauth:grant-type:jwt-bearer"]
        {
            assert_eq!(parse(&[("grant_type", grant)]).unwrap_err().code, OAuthCode::UnsupportedGrantType);
        }
    }

    #[test]
    fn suspended_client_gets_only_its_own_token_and_removed_none() {
        let code = ("grant_type", "authorization_code");
        let code = parse(&[code, ("code", "x"), ("redirect_uri", "y")]).unwrap();
        let refresh = parse(&[("grant_type", "refresh_token"), ("refresh_token", "x")]).unwrap();
        let own = parse(&[("grant_type", "client_credentials")]).unwrap();
        let client = |state| Client { state, ..crate::rule::authorize::tests::client() };
        for request in [&code, &refresh, &own] {
            assert_eq!(ensure_grant_allowed(&client(ClientState::Active), request), Ok(()));
        }
        let suspended = client(ClientState::Suspended);
        assert_eq!(ensure_grant_allowed(&suspended, &code), Err(CLIENT_SUSPENDED));
        assert_eq!(ensure_grant_allowed(&suspended, &refresh), Err(CLIENT_SUSPENDED));
        assert_eq!(ensure_grant_allowed(&suspended, &own), Ok(()));
        let removed = client(ClientState::Closed);
        assert_eq!(ensure_grant_allowed(&removed, &code), Err(BAD_CODE));
        assert_eq!(ensure_grant_allowed(&removed, &refresh), Err(BAD_REFRESH_TOKEN));
        assert_eq!(ensure_grant_allowed(&removed, &own), Err(WRONG_CREDENTIALS));
    }

    #[test]
    fn rfc6749_s6_refresh_can_narrow_but_not_widen_scope() {
        let granted = "ACCOUNT_BASIC TRANSACTIONS".parse::<Clusters>().unwrap();
        let basic = "ACCOUNT_BASIC".parse::<Clusters>().unwrap();
        assert_eq!(narrow_refresh_scope(granted, None), Ok(granted));
        assert_eq!(narrow_refresh_scope(granted, Some(basic)), Ok(basic));
        let wider = "ACCOUNT_BASIC STATEMENTS".parse::<Clusters>().unwrap();
        assert_eq!(narrow_refresh_scope(granted, Some(wider)).unwrap_err().code, OAuthCode::InvalidScope);
    }

    #[test]
    fn requested_refresh_scope_must_name_known_clusters() {
        let scope_of =
            |scope| match parse(&[("grant_type", "refresh_token"), ("refresh_token", "x"), ("scope", scope)])
            {
                Ok(TokenRequest::RefreshToken { scope, .. }) => Ok(scope.map(|scope| scope.to_string())),
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error.to_string()),
            };

        assert_eq!(scope_of("TRANSACTIONS ACCOUNT_BASIC"), Ok(Some("ACCOUNT_BASIC TRANSACTIONS".to_owned())));
        assert_eq!(scope_of(""), Ok(None), "an empty field is absent");
        assert_eq!(scope_of(" "), Err("invalid_scope: scope names nothing".to_owned()));
        assert_eq!(scope_of("ACCOUNT_BASIC X"), Err("invalid_scope: scope X is unknown".to_owned()));
    }

    #[test]
    fn scope_of_client_token_depends_on_kind_of_client() {
        for (kind, own, other) in [
            (ClientKind::Recipient, ClientScope::ProvidersRead, ClientScope::ClientAdmin),
            (ClientKind::Partner, ClientScope::ClientAdmin, ClientScope::ProvidersRead),
        ] {
            let client = Client { kind, ..crate::rule::authorize::tests::client() };
            let resolve =
                |scope: Option<&str>| resolve_client_scope(&client, scope).map_err(|error| error.code);
            let repeated = format!(" {own}  {own} ");
            for valid in [None, Some(own.as_str()), Some(repeated.as_str())] {
                assert_eq!(resolve(valid), Ok(own), "{valid:?}");
            }
            let wider = format!("{own} {other}");
            for invalid in [other.as_str(), &wider, "  ", "", "ACCOUNT_BASIC"] {
                assert_eq!(resolve(Some(invalid)), Err(OAuthCode::InvalidScope), "{invalid:?}");
            }
        }
    }
}
