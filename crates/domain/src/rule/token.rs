//! The token request: which grant, with what (RFC 6749 §4.1.3, §4.4.2, §6).

use crate::error::{OAuthCode, OAuthError};
use crate::model::client::{Client, ClientKind, ClientState};
use crate::scope::{ClientScope, Clusters};
use crate::secret::Secret;

use super::client_auth::{CLIENT_SUSPENDED, WRONG_CREDENTIALS};

/// The fields of a request, whatever its encoding: each at most once, empty ones absent (§3.2).
#[derive(Debug, Default)]
pub struct TokenRequestFields(Vec<(String, Secret<String>)>);

/// More fields than any grant has: each is compared with every other, before anybody is authenticated.
const MAX_FIELDS: usize = 64;

const TOO_MANY_FIELDS: OAuthError =
    OAuthError::new(OAuthCode::InvalidRequest, "The request has more than 64 fields");

impl TokenRequestFields {
    /// Every field that a token request may have.
    pub const ALL_NAMES: [&str; 8] = [
        "grant_type",
        "client_id",
        "client_secret",
        "code",
        "redirect_uri",
        "code_verifier",
        "refresh_token",
        "scope",
    ];

    /// Collects fields; a repeated name is refused and named.
    pub fn collect(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, OAuthError> {
        let mut fields: Vec<(String, Secret<String>)> = Vec::new();
        for (name, value) in pairs {
            if fields.len() == MAX_FIELDS {
                return Err(TOO_MANY_FIELDS);
            }
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(OAuthError::for_repeated_field(&name));
            }
            fields.push((name, Secret::new(value)));
        }
        Ok(Self(fields))
    }

    /// A field that has a value.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.expose().as_str());
        value.filter(|v| !v.is_empty())
    }

    fn require(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name).ok_or_else(|| OAuthError::for_missing_field(name))
    }
}

/// A well-formed token request.
#[derive(Debug)]
pub enum TokenRequest {
    /// `authorization_code`
    AuthorizationCode {
        /// The code.
        code: Secret<String>,
        /// The redirect URI of the authorization request.
        redirect_uri: String,
        /// The PKCE verifier.
        verifier: Option<Secret<String>>,
    },
    /// `refresh_token`
    RefreshToken {
        /// The token.
        token: Secret<String>,
        /// A narrower scope, if one is wanted.
        scope: Option<Clusters>,
    },
    /// `build_client_credentials_request`
    ClientCredentials {
        /// What is wanted, if it is said.
        scope: Option<String>,
    },
}

impl TokenRequest {
    /// Reads the fields of a request.
    pub fn parse(fields: &TokenRequestFields) -> Result<Self, OAuthError> {
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

/// Whether a client that has proven its secret may be served a grant. One that was removed is told that what it
/// holds is over, and that it is nobody any more.
pub fn ensure_grant_allowed(client: &Client, request: &TokenRequest) -> Result<(), OAuthError> {
    match (client.state, request) {
        (ClientState::Active, _) => Ok(()),
        (ClientState::Suspended, _) => Err(CLIENT_SUSPENDED),
        (ClientState::Closed, TokenRequest::AuthorizationCode { .. }) => Err(BAD_CODE),
        (ClientState::Closed, TokenRequest::RefreshToken { .. }) => Err(BAD_REFRESH_TOKEN),
        (ClientState::Closed, TokenRequest::ClientCredentials { .. }) => Err(WRONG_CREDENTIALS),
    }
}

fn parse_data_scope(scope: &str) -> Result<Clusters, OAuthError> {
    match Clusters::parse(scope) {
        Ok(Clusters::NONE) => Err(EMPTY_SCOPE),
        Ok(clusters) => Ok(clusters),
        Err(unknown) => Err(OAuthError::with_description(OAuthCode::InvalidScope, unknown)),
    }
}

/// What a scope of spaces alone is told: it is sent, and asks for nothing.
const EMPTY_SCOPE: OAuthError = OAuthError::new(OAuthCode::InvalidScope, "scope names nothing");

/// What a client may do on its own account: the one scope of its kind.
pub fn resolve_client_scope(client: &Client, wanted: Option<&str>) -> Result<ClientScope, OAuthError> {
    let allowed = match client.kind {
        ClientKind::Recipient => ClientScope::ProvidersRead,
        ClientKind::Partner => ClientScope::ClientAdmin,
    };
    if wanted.is_some_and(|words| words.trim_matches(' ').is_empty()) {
        return Err(EMPTY_SCOPE);
    }
    for word in wanted.unwrap_or_default().split(' ').filter(|w| !w.is_empty()) {
        if ClientScope::from_word(word) != Some(allowed) {
            return Err(OAuthError::with_description(
                OAuthCode::InvalidScope,
                format_args!("scope {word} is not allowed for this client"),
            ));
        }
    }
    Ok(allowed)
}

/// The scope of a refreshed access token: what was granted, or less (RFC 6749 §6).
pub fn narrow_refresh_scope(granted: Clusters, wanted: Option<Clusters>) -> Result<Clusters, OAuthError> {
    let wanted = wanted.unwrap_or(granted);
    match wanted.first_missing_from(granted) {
        None => Ok(wanted),
        Some(beyond) => Err(OAuthError::with_description(
            OAuthCode::InvalidScope,
            format_args!("scope {} is not allowed for this client", beyond.as_str()),
        )),
    }
}

/// What an unknown, used, expired or foreign code is told.
pub const BAD_CODE: OAuthError =
    OAuthError::new(OAuthCode::InvalidGrant, "The code is unknown, used or expired");

/// What an unusable refresh token is told.
pub const BAD_REFRESH_TOKEN: OAuthError = OAuthError::new(
    OAuthCode::InvalidGrant,
    "The refresh token is unknown, expired or its connection has ended",
);

/// What a redirect URI that differs is told.
pub const WRONG_REDIRECT: OAuthError =
    OAuthError::new(OAuthCode::InvalidGrant, "redirect_uri does not match the authorization request");

/// What a wrong, missing or unasked verifier is told (RFC 7636 §4.6).
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
    fn suspended_or_removed_client_gets_no_grant() {
        let code = ("grant_type", "authorization_code");
        let code = parse(&[code, ("code", "x"), ("redirect_uri", "y")]).unwrap();
        let refresh = parse(&[("grant_type", "refresh_token"), ("refresh_token", "x")]).unwrap();
        let own = parse(&[("grant_type", "client_credentials")]).unwrap();
        let client = |state| Client { state, ..crate::rule::authorize::tests::client() };
        for request in [&code, &refresh, &own] {
            assert_eq!(ensure_grant_allowed(&client(ClientState::Active), request), Ok(()));
            assert_eq!(ensure_grant_allowed(&client(ClientState::Suspended), request), Err(CLIENT_SUSPENDED));
        }
        let removed = client(ClientState::Closed);
        assert_eq!(ensure_grant_allowed(&removed, &code), Err(BAD_CODE));
        assert_eq!(ensure_grant_allowed(&removed, &refresh), Err(BAD_REFRESH_TOKEN));
        assert_eq!(ensure_grant_allowed(&removed, &own), Err(WRONG_CREDENTIALS));
    }

    #[test]
    fn rfc6749_s6_refresh_can_narrow_but_not_widen_scope() {
        let granted = Clusters::parse("ACCOUNT_BASIC TRANSACTIONS").unwrap();
        let basic = Clusters::parse("ACCOUNT_BASIC").unwrap();
        assert_eq!(narrow_refresh_scope(granted, None), Ok(granted));
        assert_eq!(narrow_refresh_scope(granted, Some(basic)), Ok(basic));
        let wider = Clusters::parse("ACCOUNT_BASIC STATEMENTS").unwrap();
        assert_eq!(narrow_refresh_scope(granted, Some(wider)).unwrap_err().code, OAuthCode::InvalidScope);
    }
}
