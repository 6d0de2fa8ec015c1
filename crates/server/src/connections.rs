//! Use cases on the heart.

use domain::id::ProviderId;
use domain::model::connection::EndCause;
use store::StoreError;
use store::command::{EndConnection, EndOutcome, HandleInvalidGrant, InvalidGrantOutcome};

use crate::context::RequestContext;

/// Ends a connection: whoever asks for an end, asks here.
pub async fn end(ctx: &RequestContext, end: EndConnection) -> Result<EndOutcome, StoreError> {
    let (cause, id) = (end.cause, end.connection_id.clone());
    let outcome = ctx.run(end).await?;
    if outcome == EndOutcome::Ended {
        record_end(ctx, cause);
        tracing::info!(connection = %id, %cause, "connection ended");
    }
    Ok(outcome)
}

/// Heeds a provider's word that a grant is over: its connection ends, unless the provider says so too often.
pub async fn handle_invalid_grant(
    ctx: &RequestContext,
    provider: ProviderId,
    heed: HandleInvalidGrant,
) -> Result<InvalidGrantOutcome, StoreError> {
    let id = heed.connection_id.clone();
    let outcome = ctx.run(heed).await?;
    match outcome {
        InvalidGrantOutcome::Ended => {
            record_end(ctx, EndCause::Provider);
            tracing::info!(connection = %id, cause = %EndCause::Provider, "connection ended");
        }
        InvalidGrantOutcome::ProviderAutoPaused(refreshes) => {
            tracing::error!(
                %provider, refreshes = refreshes.completed, invalid_grants = refreshes.invalid_grants,
                "provider tripped: too many invalid_grant; nobody is ended until an operator sets it active"
            );
        }
        InvalidGrantOutcome::ProviderPaused => {
            tracing::warn!(connection = %id, %provider, "invalid_grant of a held provider");
        }
        InvalidGrantOutcome::AlreadyEnded | InvalidGrantOutcome::Fenced => {}
    }
    Ok(outcome)
}

/// Counts an end and wakes the workers: there is a provider to tell.
pub fn record_end(ctx: &RequestContext, cause: EndCause) {
    ctx.app().telemetry().count("bowline_ends_total", &[("cause", cause.to_string())]);
    ctx.app().job_notify().notify_one();
}
