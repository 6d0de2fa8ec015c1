//! The FDX Consent API: shows and revokes consents. The id of a consent is that of its grant.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use bytes::Bytes;
use fdx::ErrorCode;
use serde_json::{Value, json};

use super::fdx_format::FdxApiError;
use super::fdx_version::FdxVersion;
use super::grants::CustomerGrant;
use super::security::SecurityProfile;
use super::state::Bank;
use super::token_faults::RevocationBehavior;

const DAY_MS: i64 = 86_400_000;

/// The scope of an access token of a client itself, with which it may read and revoke its consents.
pub(super) const CONSENT_SCOPE: &str = "fdx:consents";

pub(super) fn routes(version: FdxVersion, security: &SecurityProfile) -> Router<Bank> {
    match security {
        SecurityProfile::Fapi(_) => {
            let path = format!("{}/consents/{{id}}", version.base_path());
            Router::new()
                .route(&path, get(show_consent))
                .route(&format!("{path}/revocation"), put(revoke_consent))
        }
        SecurityProfile::Plain | SecurityProfile::OpenId => Router::new(),
    }
}

async fn show_consent(State(bank): State<Bank>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    match bank.describe_consent(&id, &headers) {
        Ok(consent) => Json(consent).into_response(),
        Err(error) => error.into_response(),
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

const UNAUTHORIZED: FdxApiError =
    FdxApiError(ErrorCode::NotAuthorized, "The access token is not one of a client for consents");
const CONSENT_NOT_FOUND: FdxApiError = FdxApiError(ErrorCode::DataNotFound, "The client has no such consent");

impl CustomerGrant {
    /// Returns what the customer has granted (RFC 9396 §7): the consent request, with the accounts that the customer has chosen.
    pub(super) fn granted_details(&self) -> Option<Value> {
        let mut details = self.details.clone()?;
        for detail in details.as_array_mut()? {
            let consent = &mut detail["consentRequest"];
            consent["resources"] = self.granted_resources(consent, None).into();
        }
        Some(details)
    }

    /// Returns the resources of a consent request. Each account that the customer has chosen is a resource of its own, and with its id
    /// the customer is one.
    fn granted_resources(&self, consent: &Value, customer_id: Option<&str>) -> Vec<Value> {
        let requested = consent["resources"].as_array().into_iter().flatten();
        let with_id = |resource: &Value, id: &str| {
            let mut resource = resource.clone();
            resource["resourceId"] = id.into();
            resource
        };
        let granted = requested.flat_map(|resource| match (resource["resourceType"].as_str(), customer_id) {
            (Some("ACCOUNT"), _) => self.accounts.iter().map(|id| with_id(resource, id)).collect(),
            (_, Some(id)) => vec![with_id(resource, id)],
            (_, None) => vec![resource.clone()],
        });
        granted.collect()
    }
}

impl Bank {
    /// Describes a consent of the client (FDX, `ConsentGrant`).
    fn describe_consent(&self, id: &str, headers: &HeaderMap) -> Result<Value, FdxApiError> {
        let client = self.authenticate_client_token(headers).ok_or(UNAUTHORIZED)?;
        let grants = self.grants();
        let grant = grants.find(id).filter(|grant| self.is_grant_of_client(grant, &client));
        let grant = grant.ok_or(CONSENT_NOT_FOUND)?;
        let consent =
            grant.details.as_ref().map_or(Value::Null, |details| details[0]["consentRequest"].clone());
        let days = consent["durationPeriod"].as_i64().unwrap_or_default();
        let expires_at = grant.granted_at.saturating_add(days.saturating_mul(DAY_MS));
        let status = match grants.find_active(id) {
            None => "REVOKED",
            Some(_) if self.now() >= expires_at => "EXPIRED",
            Some(_) => "ACTIVE",
        };
        let (name, origin) = (self.profile().name, &self.settings().origin);
        let customer_id = self.ledger().customer_id(&grant.username);
        Ok(json!({
            "id": id, "status": status,
            "parties": [{"name": name, "type": "DATA_PROVIDER", "homeUri": origin, "registry": "PRIVATE",
                "registeredEntityName": name, "registeredEntityId": self.profile().key}],
            "createdTime": render_time(grant.granted_at), "expirationTime": render_time(expires_at),
            "durationType": consent["durationType"], "durationPeriod": days,
            "lookbackPeriod": consent["lookbackPeriod"],
            "resources": grant.granted_resources(&consent, Some(&customer_id)),
        }))
    }

    fn end_consent(&self, id: &str, headers: &HeaderMap, body: &[u8]) -> Result<Response, FdxApiError> {
        let client = self.authenticate_client_token(headers).ok_or(UNAUTHORIZED)?;
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        if !request["reason"].is_string() || !request["initiator"].is_string() {
            return Err(FdxApiError(ErrorCode::InvalidInput, "The body must have reason and initiator"));
        }
        let behavior = self.faults().borrow().revoke;
        let mut grants = self.grants();
        let grant = grants.find(id).filter(|grant| self.is_grant_of_client(grant, &client));
        if grant.is_none() {
            return Err(CONSENT_NOT_FOUND);
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

fn render_time(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX).to_string()
}
