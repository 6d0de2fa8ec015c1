//! The stored form of authorization requests, which are the login flows of customers from the consent page to the
//! exchange of the provider's code.

use domain::id::AuthorizationRequestId;
use domain::model::authorization_request::AuthorizationRequest;
use domain::secret::TokenHashes;

use crate::error::Result;
use crate::row::{FromRow, Row};
use crate::row_mac::RowMac;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

macro_rules! request_columns {
    () => {
        "id, connection_id, client_id, provider_id, redirect_uri, scope, client_state, code_challenge, cookie_hash,
        expires_at, mac, language, status, data_key, verifier, purpose, page_version, agreed_at, correlation_id, created_at,
        code_hash, failure"
    };
}

/// The MAC over the parties of an authorization request, the data that it requests and the browser that it belongs to.
pub(crate) static REQUEST_MAC: RowMac = RowMac {
    table: "authorization_requests",
    part: "",
    columns: &[
        "id",
        "connection_id",
        "client_id",
        "provider_id",
        "redirect_uri",
        "scope",
        "client_state",
        "code_challenge",
        "cookie_hash",
        "expires_at",
    ],
    mac: "mac",
    id: ("id", AuthorizationRequestId::PREFIX),
};

impl FromRow for AuthorizationRequest {
    fn from_row(row: &mut Row) -> Result<Self> {
        row.verify(&REQUEST_MAC)?;
        Ok(Self {
            id: row.get("id")?,
            connection_id: row.get("connection_id")?,
            client_id: row.get("client_id")?,
            provider_id: row.get("provider_id")?,
            redirect_uri: row.get("redirect_uri")?,
            clusters: row.get("scope")?,
            client_state: row.get("client_state")?,
            code_challenge: row.get("code_challenge")?,
            language: row.get("language")?,
            status: row.get("status")?,
            cookie_hash: row.get("cookie_hash")?,
            data_key: row.get("data_key")?,
            verifier: row.get("verifier")?,
            purpose: row.get("purpose")?,
            page_version: row.get("page_version")?,
            agreed_at: row.get("agreed_at")?,
            correlation_id: row.get("correlation_id")?,
            created_at: row.get("created_at")?,
            code_hash: row.get("code_hash")?,
            failure: row.get("failure")?,
            expires_at: row.get("expires_at")?,
        })
    }
}

pub(crate) async fn find_request(
    tx: &mut Tx<'_>,
    id: &AuthorizationRequestId,
) -> Result<Option<AuthorizationRequest>> {
    tx.fetch_optional(REQUEST, values![id]).await
}

pub(crate) async fn lock_request(
    tx: &mut Tx<'_>,
    id: &AuthorizationRequestId,
) -> Result<Option<AuthorizationRequest>> {
    tx.fetch_optional(LOCK_REQUEST, values![id]).await
}

/// Finds the request by the `state` that the hub sent to the provider.
pub(crate) async fn find_request_by_state(
    tx: &mut Tx<'_>,
    state: &TokenHashes,
) -> Result<Option<AuthorizationRequest>> {
    fetch_by_state(tx, REQUEST_BY_STATE, state).await
}

/// Locks the request by the `state` that the hub sent to the provider.
pub(crate) async fn lock_request_by_state(
    tx: &mut Tx<'_>,
    state: &TokenHashes,
) -> Result<Option<AuthorizationRequest>> {
    fetch_by_state(tx, LOCK_REQUEST_BY_STATE, state).await
}

async fn fetch_by_state(
    tx: &mut Tx<'_>,
    sql: &'static Sql,
    state: &TokenHashes,
) -> Result<Option<AuthorizationRequest>> {
    // After a rotation of the pepper, a stored hash may have been computed with the previous one.
    for hash in state.iter() {
        if let Some(request) = tx.fetch_optional(sql, values![hash]).await? {
            return Ok(Some(request));
        }
    }
    Ok(None)
}

static REQUEST: &Sql = sql!(concat!(
    "-- find an authorization request\nSELECT ",
    request_columns!(),
    " FROM authorization_requests WHERE id = ?1"
));

static LOCK_REQUEST: &Sql = sql!(concat!(
    "-- lock an authorization request\nSELECT ",
    request_columns!(),
    " FROM authorization_requests WHERE id = ?1 FOR UPDATE"
));

static REQUEST_BY_STATE: &Sql = sql!(concat!(
    "-- find an authorization request by state\nSELECT ",
    request_columns!(),
    " FROM authorization_requests WHERE state_hash = ?1"
));

static LOCK_REQUEST_BY_STATE: &Sql = sql!(concat!(
    "-- lock an authorization request by state\nSELECT ",
    request_columns!(),
    " FROM authorization_requests WHERE state_hash = ?1 FOR UPDATE"
));

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[REQUEST, LOCK_REQUEST, REQUEST_BY_STATE, LOCK_REQUEST_BY_STATE];
