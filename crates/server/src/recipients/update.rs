//! Changes recipients and partners: redirect URIs, secrets and suspension.

use domain::Secret;
use domain::model::audit_event::Actor;
use domain::rule::validation::validate_redirect_uris;
use store::command::{ClientSelector, ClientUpdate, UpdateClient};

use super::create::RecipientError;
use super::draft::loopback_policy;
use crate::context::RequestContext;
use crate::error::InternalError;

/// Replaces the redirect URIs of a recipient. Returns `false` if no client matches the selector.
pub async fn replace_redirect_uris(
    ctx: &RequestContext,
    selector: ClientSelector,
    uris: Vec<String>,
    actor: Actor,
) -> Result<bool, RecipientError> {
    validate_redirect_uris("redirect_uris", &uris, loopback_policy(ctx))?;
    Ok(update_client(ctx, selector, ClientUpdate::RedirectUris(uris), actor).await?)
}

/// Replaces the secret of a client. The previous secret and the tokens of the client itself become invalid, but its
/// connections stay active. Returns `None` if no client matches the selector.
pub async fn rotate_secret(
    ctx: &RequestContext,
    selector: ClientSelector,
    actor: Actor,
) -> Result<Option<Secret<String>>, InternalError> {
    let secret = ctx.random_secret()?;
    let hash = ctx.app().vault().hash(secret.expose());
    Ok(update_client(ctx, selector, ClientUpdate::Secret(hash), actor).await?.then_some(secret))
}

/// Replaces the redirect URIs or the secret of a client, or suspends or reinstates it. Returns `false` if no client
/// matches the selector.
pub async fn update_client(
    ctx: &RequestContext,
    selector: ClientSelector,
    update: ClientUpdate,
    actor: Actor,
) -> Result<bool, InternalError> {
    Ok(ctx.run(UpdateClient { moment: ctx.new_moment()?, selector, update, actor }).await?)
}
