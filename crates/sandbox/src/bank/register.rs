//! Dynamic client registration (RFC 7591) and deletion of registered clients (RFC 7592).

use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::grants::BankClient;
use super::oauth::{TEMPORARILY_UNAVAILABLE, generate_secret};
use super::oauth_error::{BankOAuthError, bad_request};
use super::scope;
use super::state::Bank;
use crate::random::{constant_time_eq, derive_text, hash};

/// The requested client metadata. Members that the bank does not know are ignored (RFC 7591, section 2).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RegistrationMetadata {
    client_name: String,
    redirect_uris: Vec<String>,
    grant_types: Vec<String>,
    token_endpoint_auth_method: Option<String>,
    scope: String,
}

const UNAUTHORIZED: BankOAuthError =
    BankOAuthError(StatusCode::UNAUTHORIZED, "invalid_token", "The access token is missing or wrong");

pub(super) fn routes() -> Router<Bank> {
    Router::new()
        .route("/register", post(register_client))
        .route("/register/{client_id}", delete(delete_client))
}

async fn register_client(State(bank): State<Bank>, headers: HeaderMap, body: Bytes) -> Response {
    let registered = bank.ensure_may_register(&headers).and_then(|()| bank.create_client(&body));
    match registered {
        Ok(client) => (StatusCode::CREATED, Json(client)).into_response(),
        Err(error) => error.into_response(),
    }
}

async fn delete_client(State(bank): State<Bank>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let token_hash = bearer_token(&headers).map(hash).unwrap_or_default();
    let mut grants = bank.grants();
    let is_authorized =
        grants.find_client(&id).is_some_and(|client| constant_time_eq(&client.access_hash, &token_hash));
    // An unknown client gets the same response as a wrong token (RFC 7592, section 2.3).
    if !is_authorized {
        return UNAUTHORIZED.into_response();
    }
    match grants.delete_client(&id, bank.now()) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(_) => TEMPORARILY_UNAVAILABLE.into_response(),
    }
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn is_valid_redirect_uri(uri: &str) -> bool {
    // RFC 8252, section 7.3: plain HTTP is acceptable for the loopback address only.
    url::Url::parse(uri).is_ok_and(|url| {
        url.scheme() == "https" || url.scheme() == "http" && url.host_str() == Some("127.0.0.1")
    })
}

impl Bank {
    /// Returns the initial access token for client registration; none at a bank without registration.
    pub fn initial_access_token(&self) -> Option<String> {
        let label = format!("initial-access-token/{}", self.profile().key);
        let is_supported = self.profile().supports_registration && self.settings().security.accepts_secrets();
        is_supported.then(|| derive_text(&self.settings().secret_key, &label))
    }

    /// Returns the ids of the dynamically registered clients.
    pub fn client_ids(&self) -> Vec<String> {
        self.grants().client_ids()
    }

    fn ensure_may_register(&self, headers: &HeaderMap) -> Result<(), BankOAuthError> {
        let expected = self.initial_access_token();
        let is_authorized = expected
            .zip(bearer_token(headers))
            .is_some_and(|(expected, presented)| constant_time_eq(&expected, presented));
        if is_authorized { Ok(()) } else { Err(UNAUTHORIZED) }
    }

    fn create_client(&self, body: &[u8]) -> Result<Value, BankOAuthError> {
        let metadata: RegistrationMetadata = serde_json::from_slice(body).map_err(|_| {
            bad_request("invalid_client_metadata", "The body must be client metadata in JSON")
        })?;
        let are_uris_valid = metadata.redirect_uris.iter().all(|uri| is_valid_redirect_uri(uri));
        if metadata.redirect_uris.is_empty() || !are_uris_valid {
            return Err(bad_request("invalid_redirect_uri", "redirect_uris must be https URLs"));
        }
        let method = metadata.token_endpoint_auth_method.unwrap_or_else(|| "client_secret_basic".into());
        let scope = scope::filter_supported(&metadata.scope);
        if metadata.client_name.is_empty()
            || scope.is_empty()
            || !matches!(&*method, "client_secret_basic" | "client_secret_post")
            || !metadata.grant_types.iter().all(|g| matches!(&**g, "authorization_code" | "refresh_token"))
        {
            return Err(bad_request(
                "invalid_client_metadata",
                "The bank does not support a client with this metadata",
            ));
        }
        let (id, secret, access_token) = (generate_secret()?, generate_secret()?, generate_secret()?);
        let id = format!("{}{}", self.profile().client_prefix, &id[..20]);
        let body = json!({
            "client_id": id, "client_secret": secret, "client_id_issued_at": self.now() / 1000,
            "client_secret_expires_at": 0, "registration_access_token": access_token,
            "registration_client_uri": format!("{}/register/{id}", self.settings().origin),
            "client_name": metadata.client_name, "redirect_uris": metadata.redirect_uris,
            "grant_types": metadata.grant_types, "token_endpoint_auth_method": method, "scope": scope,
        });
        let (secret_hash, access_hash) = (hash(&secret), hash(&access_token));
        let client = BankClient { id, secret_hash, redirect_uris: metadata.redirect_uris, access_hash };
        self.grants().add_client(client).map_err(|_| TEMPORARILY_UNAVAILABLE)?;
        Ok(body)
    }

    pub(super) fn is_redirect_uri_registered(&self, client_id: &str, redirect_uri: &str) -> bool {
        let hub = self.settings();
        let contains_uri = |uris: &[String]| uris.iter().any(|uri| uri == redirect_uri);
        if client_id == hub.client_id {
            return contains_uri(&hub.redirect_uris);
        }
        self.grants().find_client(client_id).is_some_and(|client| contains_uri(&client.redirect_uris))
    }

    pub(super) fn is_client_secret_valid(&self, id: &str, secret: &str) -> bool {
        let hub = self.settings();
        // `&` instead of `&&`: both comparisons run, so that the time does not depend on which of them fails.
        let is_hub = constant_time_eq(id, &hub.client_id) & constant_time_eq(secret, &hub.client_secret);
        let secret_hash = hash(secret);
        is_hub
            || self
                .grants()
                .find_client(id)
                .is_some_and(|client| constant_time_eq(&client.secret_hash, &secret_hash))
    }
}
