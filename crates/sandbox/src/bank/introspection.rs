//! The introspection endpoint of a bank (RFC 7662).

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Form, Json, Router};
use serde_json::{Value, json};

use super::mutual_tls::find_certificate;
use super::oauth::TokenForm;
use super::security::SecurityProfile;
use super::state::Bank;
use crate::random::hash;

pub(super) fn routes(security: &SecurityProfile) -> Router<Bank> {
    match security {
        SecurityProfile::Plain => Router::new(),
        SecurityProfile::OpenId | SecurityProfile::Fapi(_) => {
            Router::new().route("/introspect", post(introspect))
        }
    }
}

/// Handles `POST /introspect`.
async fn introspect(State(bank): State<Bank>, headers: HeaderMap, Form(form): Form<TokenForm>) -> Response {
    match bank.authenticate(&headers, &form.client).await {
        Ok(client) => Json(bank.describe_token(&form.token, &client, &headers)).into_response(),
        Err(error) => error.into_response(),
    }
}

impl Bank {
    /// Describes a token of the client. Any other token is not active (RFC 7662 §2.2).
    fn describe_token(&self, token: &str, client: &str, headers: &HeaderMap) -> Value {
        let certificate = find_certificate(headers);
        let by_access_token = self.verify_access_token(token, self.now() / 1000, certificate);
        let grant = {
            let grants = self.grants();
            let found = match by_access_token {
                Some(id) => grants.find_active(&id),
                None => grants.find_by_refresh_hash(&hash(token)),
            };
            found.cloned()
        };
        let Some(grant) = grant.filter(|grant| self.is_grant_of_client(grant, client)) else {
            return json!({"active": false});
        };
        let mut described = json!({
            "active": true, "iss": self.settings().origin, "sub": self.ledger().customer_id(&grant.username),
            "client_id": client, "scope": grant.scope, "fdxConsentId": grant.id,
        });
        if let Some(details) = grant.granted_details() {
            described["authorization_details"] = details;
        }
        if let Some(certificate) = certificate {
            described["cnf"] = json!({"x5t#S256": certificate});
        }
        described
    }
}
