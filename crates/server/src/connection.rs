//! Use cases on the heart.

use domain::id::ProviderId;
use domain::model::connection::Cause;
use store::StoreError;
use store::command::{EndConnection, EndOutcome, HeedInvalidGrant, Heeded};

use crate::ctx::Ctx;

/// Ends a connection: whoever asks for an end, asks here.
pub async fn end(ctx: &Ctx, end: EndConnection) -> Result<EndOutcome, StoreError> {
    let (cause, id) = (end.cause, end.connection_id.clone());
    let outcome = ctx.run(end).await?;
    if outcome == EndOutcome::Ended {
        ended(ctx, cause);
        tracing::info!(connection = %id, %cause, "connection ended");
    }
    Ok(outcome)
}

/// Heeds a provider's word that a grant is over: its connection ends, unless the provider says so too often.
pub async fn heed(ctx: &Ctx, provider: ProviderId, heed: HeedInvalidGrant) -> Result<Heeded, StoreError> {
    let id = heed.connection_id.clone();
    let heeded = ctx.run(heed).await?;
    match heeded {
        Heeded::Ended => {
            ended(ctx, Cause::Provider);
            tracing::info!(connection = %id, cause = %Cause::Provider, "connection ended");
        }
        Heeded::Tripped(refreshes) => {
            tracing::error!(
                %provider, refreshes = refreshes.answered, invalid_grants = refreshes.invalid,
                "provider tripped: too many invalid_grant; nobody is ended until an operator sets it active"
            );
        }
        Heeded::Held => tracing::warn!(connection = %id, %provider, "invalid_grant of a held provider"),
        Heeded::Over | Heeded::Fenced => {}
    }
    Ok(heeded)
}

/// Counts an end and wakes the workers: there is a provider to tell.
pub fn ended(ctx: &Ctx, cause: Cause) {
    ctx.app().telemetry().count("bowline_ends_total", &[("cause", cause.to_string())]);
    ctx.app().jobs().notify_one();
}
