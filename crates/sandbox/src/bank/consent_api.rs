//! The revocation of consents by the FDX Consent API. The id of a consent is that of its grant.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::put;
use axum::{Json, Router};
use bytes::Bytes;
use fdx::ErrorCode;
use serde_json::{Value, json};

use super::fdx_format::FdxApiError;
use super::fdx_version::FdxVersion;
use super::security::SecurityProfile;
use super::state::Bank;
use super::token_faults::RevocationBehavior;

/// The scope of an access token of a client itself, with which it may revoke its consents.
pub(super) const CONSENT_SCOPE: &str = "fdx:consents";

pub(super) fn routes(version: FdxVersion, security: &SecurityProfile) -> Router<Bank> {
    match security {
        SecurityProfile::Fapi(_) => {
            let path = format!("{}/consents/{{id}}/revocation", version.base_path());
            Router::new().route(&path, put(revoke_consent))
        }
        SecurityProfile::Plain | SecurityProfile::OpenId => Router::new(),
    }
}

async fn revoke_consent(
    State(bank): State<Bank>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    bank.end_consent(&id, &headers, &body).unwrap_or_else(IntoResponse::into_response)
}

impl Bank {
    fn end_consent(&self, id: &str, headers: &HeaderMap, body: &[u8]) -> Result<Response, FdxApiError> {
        const UNAUTHORIZED: FdxApiError =
            FdxApiError(ErrorCode::NotAuthorized, "The access token is not one of a client for consents");
        let client = self.authenticate_client_token(headers).ok_or(UNAUTHORIZED)?;
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        if !request["reason"].is_string() || !request["initiator"].is_string() {
            return Err(FdxApiError(ErrorCode::InvalidInput, "The body must have reason and initiator"));
        }
        let behavior = self.faults().borrow().revoke;
        let mut grants = self.grants();
        let grant = grants.find(id).filter(|grant| self.is_grant_of_client(grant, &client));
        if grant.is_none() {
            return Err(FdxApiError(ErrorCode::DataNotFound, "The client has no such consent"));
        }
        if behavior == RevocationBehavior::Ok && grants.find_active(id).is_none() {
            let body = Json(json!({"code": "641", "message": "Consent already revoked or expired"}));
            return Ok((StatusCode::CONFLICT, body).into_response());
        }
        if behavior.ends_grant(false) {
            let ended = self.end_grant(&mut grants, id);
            ended.map_err(|_| FdxApiError(ErrorCode::Maintenance, "Try again later"))?;
        }
        Ok(match behavior {
            RevocationBehavior::Ok => StatusCode::NO_CONTENT.into_response(),
            fault => fault.render(false),
        })
    }
}
