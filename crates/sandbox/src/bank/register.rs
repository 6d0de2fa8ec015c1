//! Clients that register by themselves (RFC 7591) and are deleted again (RFC 7592).

use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Bank;
use super::oauth::{BankOAuthError, TEMPORARILY_UNAVAILABLE, bad_request};
use super::scope;

/// A client that registered by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct BankClient {
    pub(super) id: String,
    pub(super) secret_hash: String,
    pub(super) redirect_uris: Vec<String>,
    /// Of the registration access token.
    pub(super) access_hash: String,
}

/// What is asked for; what the bank does not know is not looked at (RFC 7591 §2).
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
        Err(refused) => refused.into_response(),
    }
}

async fn delete_client(State(bank): State<Bank>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let token = bearer_token(&headers).map(crate::random::hash).unwrap_or_default();
    let mut grants = bank.grants();
    let known =
        grants.find_client(&id).is_some_and(|c| crate::random::constant_time_eq(&c.access_hash, &token));
    if !known {
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

impl Bank {
    /// What opens the registration of clients: it follows from the seed. None at a bank that registers nobody.
    pub fn initial_access_token(&self) -> Option<String> {
        let label = format!("initial-access-token/{}", self.0.profile.key);
        self.0
            .profile
            .supports_registration
            .then(|| crate::random::derive_text(&self.0.settings.seed, &label))
    }

    /// The ids of the clients that registered by themselves.
    pub fn client_ids(&self) -> Vec<String> {
        self.grants().client_ids()
    }

    fn ensure_may_register(&self, headers: &HeaderMap) -> Result<(), BankOAuthError> {
        let wanted = self.initial_access_token();
        let right = wanted.is_some_and(|w| {
            bearer_token(headers).is_some_and(|given| crate::random::constant_time_eq(&w, given))
        });
        if right { Ok(()) } else { Err(UNAUTHORIZED) }
    }

    fn create_client(&self, body: &[u8]) -> Result<Value, BankOAuthError> {
        let metadata: RegistrationMetadata = serde_json::from_slice(body).map_err(|_| {
            bad_request("invalid_client_metadata", "The body must be client metadata in JSON")
        })?;
        let redirects = |uri: &String| {
            url::Url::parse(uri).is_ok_and(|url| {
                url.scheme() == "https" || url.scheme() == "http" && url.host_str() == Some("127.0.0.1")
            })
        };
        if metadata.redirect_uris.is_empty() || !metadata.redirect_uris.iter().all(redirects) {
            return Err(bad_request("invalid_redirect_uri", "redirect_uris must be https URLs"));
        }
        let method = metadata.token_endpoint_auth_method.unwrap_or_else(|| "client_secret_basic".into());
        let granted = scope::filter_supported(&metadata.scope);
        if metadata.client_name.is_empty()
            || granted.is_empty()
            || !matches!(&*method, "client_secret_basic" | "client_secret_post")
            || !metadata.grant_types.iter().all(|g| matches!(&**g, "authorization_code" | "refresh_token"))
        {
            return Err(bad_request("invalid_client_metadata", "This client cannot be registered here"));
        }
        let (id, secret, token) = (
            super::oauth::generate_secret()?,
            super::oauth::generate_secret()?,
            super::oauth::generate_secret()?,
        );
        let id = format!("{}{}", self.0.profile.client_prefix, &id[..20]);
        let hash = crate::random::hash;
        let reply = json!({
            "client_id": id, "client_secret": secret, "client_id_issued_at": self.now() / 1000,
            "client_secret_expires_at": 0, "registration_access_token": token,
            "registration_client_uri": format!("{}/register/{id}", self.0.settings.origin),
            "client_name": metadata.client_name, "redirect_uris": metadata.redirect_uris,
            "grant_types": metadata.grant_types, "token_endpoint_auth_method": method, "scope": granted,
        });
        let (secret_hash, access_hash) = (hash(&secret), hash(&token));
        let client = BankClient { id, secret_hash, redirect_uris: metadata.redirect_uris, access_hash };
        self.grants().add_client(client).map_err(|_| TEMPORARILY_UNAVAILABLE)?;
        Ok(reply)
    }

    /// Whether a client may be sent to a redirect URI.
    pub(super) fn is_redirect_uri_registered(&self, client_id: &str, redirect_uri: &str) -> bool {
        let own = &self.0.settings;
        let contains_uri = |uris: &[String]| uris.iter().any(|uri| uri == redirect_uri);
        if client_id == own.client_id {
            return contains_uri(&own.redirect_uris);
        }
        self.grants().find_client(client_id).is_some_and(|client| contains_uri(&client.redirect_uris))
    }

    /// The client whose id and secret these are.
    pub(super) fn is_client_secret_valid(&self, id: &str, secret: &str) -> bool {
        let own = &self.0.settings;
        let hub = crate::random::constant_time_eq(id, &own.client_id)
            & crate::random::constant_time_eq(secret, &own.client_secret);
        let hash = crate::random::hash(secret);
        hub || self
            .grants()
            .find_client(id)
            .is_some_and(|c| crate::random::constant_time_eq(&c.secret_hash, &hash))
    }
}
