//! The authentication of clients at the OAuth endpoints of a bank: by a secret (RFC 6749 §2.3.1), or by a signed assertion
//! (RFC 7523).

use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::client_assertion::ExpectedAssertion;
use super::oauth_error::BankOAuthError;
use super::security::{FapiSettings, SecurityProfile};
use super::state::Bank;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const INVALID_CLIENT: BankOAuthError =
    BankOAuthError(StatusCode::UNAUTHORIZED, "invalid_client", "The client is unknown or its proof is wrong");

/// The form fields that authenticate a client.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ClientFormFields {
    #[serde(rename = "client_id")]
    pub(super) id: Option<String>,
    #[serde(rename = "client_secret")]
    pub(super) secret: Option<String>,
    #[serde(rename = "client_assertion_type")]
    pub(super) assertion_type: Option<String>,
    #[serde(rename = "client_assertion")]
    pub(super) assertion: Option<String>,
}

impl Bank {
    /// Authenticates the client that sends a request to an OAuth endpoint, and returns its id.
    pub(super) async fn authenticate(
        &self,
        headers: &HeaderMap,
        credentials: &ClientFormFields,
    ) -> Result<String, BankOAuthError> {
        let client = match &self.settings().security {
            SecurityProfile::Fapi(fapi) => self.verify_assertion(fapi, credentials).await,
            SecurityProfile::Plain | SecurityProfile::OpenId => self.verify_secret(headers, credentials),
        };
        client.ok_or(INVALID_CLIENT)
    }

    fn verify_secret(&self, headers: &HeaderMap, credentials: &ClientFormFields) -> Option<String> {
        let in_form = || credentials.id.clone().zip(credentials.secret.clone());
        let (id, secret) = parse_basic_credentials(headers).or_else(in_form)?;
        self.is_client_secret_valid(&id, &secret).then_some(id)
    }

    async fn verify_assertion(&self, fapi: &FapiSettings, credentials: &ClientFormFields) -> Option<String> {
        let (client_id, audience) = (&self.settings().client_id, &self.settings().origin);
        let is_jwt = credentials.assertion_type.as_deref() == Some(ASSERTION_TYPE);
        let assertion = credentials.assertion.as_deref().filter(|_| is_jwt)?;
        if credentials.id.as_ref().is_some_and(|id| id != client_id) {
            return None;
        }
        let expected = ExpectedAssertion {
            client_id,
            audience,
            keys_url: &fapi.client_keys_url,
            now_secs: self.now() / 1000,
        };
        let is_valid = self.assertion_verifier()?.verify(assertion, &expected).await;
        is_valid.then(|| client_id.clone())
    }
}

/// Parses HTTP Basic credentials, which are form-encoded (RFC 6749, section 2.3.1).
fn parse_basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let credentials = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = credentials.split_once(':')?;
    let decode =
        |part: &str| form_urlencoded::parse(part.as_bytes()).next().map(|(name, _)| name.into_owned());
    Some((decode(id)?, decode(secret)?))
}
