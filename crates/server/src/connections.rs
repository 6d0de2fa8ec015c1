//! Ends connections, and records each end in the log and in the metrics.

use domain::id::ProviderId;
use domain::model::connection::EndCause;
use store::StoreError;
use store::command::{EndConnection, EndOutcome, HandleInvalidGrant, InvalidGrantOutcome};

use crate::context::RequestContext;

/// Ends a connection. Every request to end a connection is made through this function.
pub async fn end(ctx: &RequestContext, command: EndConnection) -> Result<EndOutcome, StoreError> {
    let (cause, id) = (command.cause, command.connection_id.clone());
    let outcome = ctx.run(command).await?;
    if outcome == EndOutcome::Ended {
        record_end(ctx, cause);
        tracing::info!(connection = %id, %cause, "connection ended");
    }
    Ok(outcome)
}

/// Handles an `invalid_grant` response to a refresh (RFC 6749 §5.2): ends the connection.
///
/// If a provider returns the error for an unusual number of connections, the provider is paused instead.
pub async fn handle_invalid_grant(
    ctx: &RequestContext,
    provider: ProviderId,
    command: HandleInvalidGrant,
) -> Result<InvalidGrantOutcome, StoreError> {
    let id = command.connection_id.clone();
    let outcome = ctx.run(command).await?;
    match outcome {
        InvalidGrantOutcome::Ended => {
            record_end(ctx, EndCause::Provider);
            tracing::info!(connection = %id, cause = %EndCause::Provider, "connection ended");
        }
        InvalidGrantOutcome::ProviderAutoPaused(refreshes) => {
            tracing::error!(
                %provider, refreshes = refreshes.completed, invalid_grants = refreshes.invalid_grants,
                "provider paused automatically: too many invalid_grant responses; an operator must release it"
            );
        }
        InvalidGrantOutcome::ProviderPaused => {
            tracing::warn!(connection = %id, %provider, "invalid_grant from a paused provider was ignored");
        }
        // The connection had ended before, or the response was for an older credential: nothing has changed.
        InvalidGrantOutcome::AlreadyEnded | InvalidGrantOutcome::Fenced => {}
    }
    Ok(outcome)
}

/// Counts an end and wakes a worker, because the end has queued a job to revoke the provider's grant.
pub fn record_end(ctx: &RequestContext, cause: EndCause) {
    ctx.app().telemetry().count("bowline_ends_total", &[("cause", cause.to_string())]);
    ctx.app().job_notify().notify_one();
}
