//! The operations that partners and recipients have in common.

use domain::id::ClientId;
use domain::model::audit_event::Actor;
use domain::model::client::ClientKind;
use domain::{Secret, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use store::command::{ClientSelector, ClientUpdate};
use store::query::{ClientSummary, GetClientSummary};

use super::error::AdminError;
use crate::context::RequestContext;
use crate::recipients;
use crate::response::exposed;

/// The new secret of a client. It cannot be read again; the previous one is invalid.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SecretIssued {
    #[schemars(with = "String")]
    client_id: ClientId,
    /// The secret (RFC 6749 §2.3.1), returned only once.
    #[serde(serialize_with = "exposed")]
    #[schemars(with = "String")]
    client_secret: Secret<String>,
}

/// Returns the error for a client that does not exist.
pub(super) const fn not_found(kind: ClientKind) -> AdminError {
    AdminError::NotFound(kind.as_str())
}

/// Parses the id of a client. A malformed id is one that does not exist.
pub(super) fn parse_id(kind: ClientKind, text: &str) -> Result<ClientId, AdminError> {
    ClientId::parse(text).map_err(|_| not_found(kind))
}

/// Returns a client of a kind, even if it was removed.
pub(super) async fn load_client(
    ctx: &RequestContext,
    kind: ClientKind,
    id: ClientId,
) -> Result<ClientSummary, AdminError> {
    ctx.ask(&GetClientSummary { kind, id }).await?.ok_or(not_found(kind))
}

/// Returns the key by which lists of clients are paged.
pub(super) fn cursor_key(summary: &ClientSummary) -> String {
    format!("{}|{}", summary.created_at.millis(), summary.recipient.client.id)
}

// Neither the time nor an id contains the separator.
pub(super) fn parse_key(text: &str) -> Option<(Timestamp, ClientId)> {
    let (time, id) = text.split_once('|')?;
    Some((Timestamp::from_millis(time.parse().ok()?), ClientId::parse(id).ok()?))
}

/// Replaces the secret of a client. The previous secret and the client's own tokens become invalid, its connections
/// stay active.
pub(super) async fn rotate_secret(
    ctx: &RequestContext,
    kind: ClientKind,
    id: &str,
    actor: Actor,
) -> Result<SecretIssued, AdminError> {
    let client_id = parse_id(kind, id)?;
    let selector = ClientSelector::for_kind(kind, client_id.clone());
    let client_secret = recipients::rotate_secret(ctx, selector, actor).await?.ok_or(not_found(kind))?;
    Ok(SecretIssued { client_id, client_secret })
}

/// Suspends or reinstates a client.
pub(super) async fn set_suspended(
    ctx: &RequestContext,
    kind: ClientKind,
    id: &str,
    suspended: bool,
    actor: Actor,
) -> Result<ClientSummary, AdminError> {
    let client_id = parse_id(kind, id)?;
    let selector = ClientSelector::for_kind(kind, client_id.clone());
    if recipients::update_client(ctx, selector, ClientUpdate::Suspended(suspended), actor).await? {
        load_client(ctx, kind, client_id).await
    } else {
        Err(not_found(kind))
    }
}
