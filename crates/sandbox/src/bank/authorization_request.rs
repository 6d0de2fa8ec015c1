//! Authorization requests: their validation in each security profile, and pushed ones (RFC 9126).

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use serde_json::{Value, json};

use super::client_authentication::ClientFormFields;
use super::form_fields::FormFields;
use super::login_sessions::AuthorizeParams;
use super::oauth::generate_secret;
use super::oauth_error::{BankOAuthError, bad_request};
use super::pushed_requests::REQUEST_URI_TTL_SECS;
use super::scope;
use super::security::SecurityProfile;
use super::state::Bank;

const REQUEST_URI_PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

/// The error codes of an invalid authorization request.
pub(super) type RequestError = &'static str;

pub(super) fn routes(security: &SecurityProfile) -> Router<Bank> {
    match security {
        SecurityProfile::Fapi(_) => Router::new().route("/par", post(push_request)),
        SecurityProfile::Plain | SecurityProfile::OpenId => Router::new(),
    }
}

/// Handles `POST /par`: stores an authorization request until the browser comes.
async fn push_request(State(bank): State<Bank>, headers: HeaderMap, body: Bytes) -> Response {
    match bank.store_pushed_request(&headers, &FormFields::parse(&body)).await {
        Ok(uri) => {
            let body = Json(json!({"request_uri": uri, "expires_in": REQUEST_URI_TTL_SECS}));
            (StatusCode::CREATED, body).into_response()
        }
        Err(error) => error.into_response(),
    }
}

impl Bank {
    async fn store_pushed_request(
        &self,
        headers: &HeaderMap,
        fields: &FormFields,
    ) -> Result<String, BankOAuthError> {
        let text = |name| fields.get(name).map(str::to_owned);
        let credentials = ClientFormFields {
            id: text("client_id"),
            secret: text("client_secret"),
            assertion_type: text("client_assertion_type"),
            assertion: text("client_assertion"),
        };
        let client_id = self.authenticate(headers, &credentials).await?;
        let redirect_uri = fields.get("redirect_uri").unwrap_or_default();
        let invalid = |code| bad_request(code, "The authorization request is not acceptable");
        if fields.get("request_uri").is_some() || !self.is_redirect_uri_registered(&client_id, redirect_uri) {
            return Err(invalid("invalid_request"));
        }
        let request = self.read_authorization_request(&client_id, redirect_uri, fields).map_err(invalid)?;
        let uri = format!("{REQUEST_URI_PREFIX}{}", generate_secret()?);
        self.pushed_requests().add(uri.clone(), request, self.now());
        Ok(uri)
    }

    /// Validates the parameters of an authorization request, whose client and redirect URI are known.
    pub(super) fn read_authorization_request(
        &self,
        client_id: &str,
        redirect_uri: &str,
        fields: &FormFields,
    ) -> Result<AuthorizeParams, RequestError> {
        let is_s256 = fields.get("code_challenge_method") == Some("S256");
        let challenge = fields.get("code_challenge").filter(|_| is_s256);
        let (Some(challenge), Some("code")) = (challenge, fields.get("response_type")) else {
            return Err("invalid_request");
        };
        let requested = fields.get("scope").unwrap_or_default();
        let mut scope = scope::filter_supported(requested);
        if scope.is_empty() {
            return Err("invalid_scope");
        }
        let security = &self.settings().security;
        let mut has_refresh_token = true;
        if matches!(security, SecurityProfile::OpenId) {
            let is_requested = |value| requested.split(' ').any(|known| known == value);
            if !is_requested("openid") {
                return Err("invalid_scope");
            }
            // OpenID Connect leaves the nonce to the client. This bank requires it, as some banks do.
            if fields.get("nonce").is_none_or(str::is_empty) {
                return Err("invalid_request");
            }
            has_refresh_token = is_requested("offline_access");
            let offline = if has_refresh_token { "offline_access " } else { "" };
            scope = format!("openid {offline}{scope}");
        }
        let details = match security {
            SecurityProfile::Fapi(_) => Some(read_consent_request(fields)?),
            SecurityProfile::Plain | SecurityProfile::OpenId => None,
        };
        Ok(AuthorizeParams {
            client_id: client_id.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            scope,
            state: fields.get("state").map(str::to_owned),
            challenge: challenge.to_owned(),
            nonce: fields.get("nonce").map(str::to_owned),
            has_refresh_token,
            details,
        })
    }
}

/// Reads the consent request of FDX from the parameter `authorization_details` (RFC 9396).
fn read_consent_request(fields: &FormFields) -> Result<Value, RequestError> {
    const INVALID: RequestError = "invalid_authorization_details";
    let text = fields.get("authorization_details").ok_or(INVALID)?;
    let details: Value = serde_json::from_str(text).map_err(|_| INVALID)?;
    let is_valid = match details.as_array().map(Vec::as_slice) {
        Some([detail]) => detail["type"] == "fdx_v1.0" && is_consent_request(&detail["consentRequest"]),
        _ => false,
    };
    if is_valid { Ok(details) } else { Err(INVALID) }
}

fn is_consent_request(consent: &Value) -> bool {
    let is_positive = |name: &str| consent[name].as_u64().is_some_and(|number| number > 0);
    let is_resource = |resource: &Value| {
        let clusters = resource["dataClusters"].as_array();
        matches!(resource["resourceType"].as_str(), Some("ACCOUNT" | "CUSTOMER"))
            && clusters.is_some_and(|clusters| !clusters.is_empty() && clusters.iter().all(Value::is_string))
    };
    let resources = consent["resources"].as_array();
    consent["durationType"] == "TIME_BOUND"
        && is_positive("durationPeriod")
        && is_positive("lookbackPeriod")
        && resources.is_some_and(|resources| !resources.is_empty() && resources.iter().all(is_resource))
}
