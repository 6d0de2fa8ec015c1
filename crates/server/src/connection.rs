//! Use cases on the heart.

use store::StoreError;
use store::command::{EndConnection, EndOutcome};

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

/// Counts an end and wakes the workers: there is a provider to tell.
pub fn ended(ctx: &Ctx, cause: domain::model::connection::Cause) {
    ctx.app().telemetry().count("bowline_ends_total", &[("cause", cause.to_string())]);
    ctx.app().jobs().notify_one();
}
