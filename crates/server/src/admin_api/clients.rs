//! Operations of the admin API that partners and recipients have in common: reading, suspending, new secrets.

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

/// The response body for one kind of client: a recipient or a partner.
pub(super) trait ClientBody: Sized {
    const KIND: ClientKind;

    fn from_summary(summary: ClientSummary) -> Self;
}

/// Returns the error for a client of this kind that does not exist.
pub(super) const fn not_found<B: ClientBody>() -> AdminError {
    AdminError::NotFound(B::KIND.as_str())
}

/// Parses the id of a client. For a malformed id, returns the same error as for a client that does not exist.
pub(super) fn parse_id<B: ClientBody>(text: &str) -> Result<ClientId, AdminError> {
    ClientId::parse(text).map_err(|_| not_found::<B>())
}

/// Loads the response body of a client, even if the client was removed.
pub(super) async fn load<B: ClientBody>(ctx: &RequestContext, id: ClientId) -> Result<B, AdminError> {
    let summary = ctx.ask(&GetClientSummary { kind: B::KIND, id }).await?;
    summary.map(B::from_summary).ok_or(not_found::<B>())
}

/// Returns the sort key of a client in a list, from which the cursor of the next page is created.
pub(super) fn cursor_key(summary: &ClientSummary) -> String {
    format!("{}|{}", summary.created_at.millis(), summary.recipient.client.id)
}

/// Parses a sort key that `cursor_key` returned. The separator occurs neither in a time nor in an id.
pub(super) fn parse_key(text: &str) -> Option<(Timestamp, ClientId)> {
    let (time, id) = text.split_once('|')?;
    Some((Timestamp::from_millis(time.parse().ok()?), ClientId::parse(id).ok()?))
}

/// Returns the response body for one client, even if the client was removed.
pub(super) async fn show<B: ClientBody>(ctx: &RequestContext, [id]: &[String; 1]) -> Result<B, AdminError> {
    load(ctx, parse_id::<B>(id)?).await
}

/// Replaces the secret of a client. The previous secret and the tokens of the client itself become invalid, but its
/// connections stay active.
pub(super) async fn rotate_secret<B: ClientBody>(
    ctx: &RequestContext,
    [id]: &[String; 1],
    actor: Actor,
) -> Result<SecretIssued, AdminError> {
    let client_id = parse_id::<B>(id)?;
    let selector = ClientSelector::for_kind(B::KIND, client_id.clone());
    let client_secret = recipients::rotate_secret(ctx, selector, actor).await?.ok_or(not_found::<B>())?;
    Ok(SecretIssued { client_id, client_secret })
}

/// Suspends a client. A suspended recipient gets no tokens and no data, but its connections do not end. The recipients
/// of a suspended partner are not affected.
pub(super) async fn suspend<B: ClientBody>(
    ctx: &RequestContext,
    [id]: &[String; 1],
    actor: Actor,
) -> Result<B, AdminError> {
    set_suspended(ctx, id, true, actor).await
}

/// Makes a suspended client active again, so that it gets tokens and data.
pub(super) async fn reinstate<B: ClientBody>(
    ctx: &RequestContext,
    [id]: &[String; 1],
    actor: Actor,
) -> Result<B, AdminError> {
    set_suspended(ctx, id, false, actor).await
}

async fn set_suspended<B: ClientBody>(
    ctx: &RequestContext,
    id: &str,
    suspended: bool,
    actor: Actor,
) -> Result<B, AdminError> {
    let client_id = parse_id::<B>(id)?;
    let selector = ClientSelector::for_kind(B::KIND, client_id.clone());
    if recipients::update_client(ctx, selector, ClientUpdate::Suspended(suspended), actor).await? {
        load(ctx, client_id).await
    } else {
        Err(not_found::<B>())
    }
}
