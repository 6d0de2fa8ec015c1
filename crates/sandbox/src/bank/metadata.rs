//! The metadata that a bank publishes about itself (OpenID Connect Discovery, RFC 8414), and its public keys.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::scope::supported_scopes;
use super::security::{FapiSettings, SecurityProfile};
use super::state::Bank;

pub(super) fn routes(security: &SecurityProfile) -> Router<Bank> {
    match security {
        SecurityProfile::Plain => Router::new(),
        SecurityProfile::OpenId => {
            let routes = Router::new().route("/.well-known/openid-configuration", get(show_metadata));
            routes.route("/jwks", get(show_keys))
        }
        SecurityProfile::Fapi(_) => {
            Router::new().route("/.well-known/oauth-authorization-server", get(show_metadata))
        }
    }
}

async fn show_metadata(State(bank): State<Bank>) -> Response {
    match &bank.settings().security {
        SecurityProfile::Plain => StatusCode::NOT_FOUND.into_response(),
        SecurityProfile::OpenId => Json(bank.openid_metadata()).into_response(),
        SecurityProfile::Fapi(fapi) => Json(bank.fapi_metadata(fapi)).into_response(),
    }
}

async fn show_keys(State(bank): State<Bank>) -> Response {
    match bank.id_token_key() {
        Some(key) => Json(json!({"keys": [key.public_key()]})).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

impl Bank {
    fn openid_metadata(&self) -> Value {
        let origin = &self.settings().origin;
        let mut metadata = self.common_metadata(&["openid", "offline_access"]);
        for (name, path) in [
            ("token_endpoint", "token"),
            ("revocation_endpoint", "revoke"),
            ("introspection_endpoint", "introspect"),
            ("jwks_uri", "jwks"),
        ] {
            metadata[name] = format!("{origin}/{path}").into();
        }
        metadata["grant_types_supported"] = json!(["authorization_code", "refresh_token"]);
        metadata["subject_types_supported"] = json!(["public"]);
        metadata["id_token_signing_alg_values_supported"] = json!(["ES256"]);
        metadata["token_endpoint_auth_methods_supported"] =
            json!(["client_secret_basic", "client_secret_post"]);
        metadata
    }

    fn fapi_metadata(&self, fapi: &FapiSettings) -> Value {
        let origin = &fapi.mutual_tls_origin;
        let mut metadata = self.common_metadata(&[]);
        for (name, path) in [
            ("token_endpoint", "token"),
            ("pushed_authorization_request_endpoint", "par"),
            ("introspection_endpoint", "introspect"),
        ] {
            metadata[name] = format!("{origin}/{path}").into();
        }
        metadata["grant_types_supported"] =
            json!(["authorization_code", "refresh_token", "client_credentials"]);
        metadata["token_endpoint_auth_methods_supported"] = json!(["private_key_jwt"]);
        metadata["token_endpoint_auth_signing_alg_values_supported"] = json!(["ES256", "PS256", "EdDSA"]);
        metadata["authorization_details_types_supported"] = json!(["fdx_v1.0"]);
        metadata["require_pushed_authorization_requests"] = true.into();
        metadata["tls_client_certificate_bound_access_tokens"] = true.into();
        metadata
    }

    fn common_metadata(&self, extra_scopes: &[&'static str]) -> Value {
        let origin = &self.settings().origin;
        let scopes: Vec<&str> = extra_scopes.iter().copied().chain(supported_scopes()).collect();
        json!({
            "issuer": origin, "authorization_endpoint": format!("{origin}/authorize"), "scopes_supported": scopes,
            "response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
        })
    }
}
