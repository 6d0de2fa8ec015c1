//! Ends connections, and records each end in the log and in the metrics.

use domain::id::{ConnectionId, ProviderId};
use domain::model::connection::EndCause;
use store::StoreError;
use store::command::{EndConnection, EndOutcome, ExpireConnection, HandleInvalidGrant, InvalidGrantOutcome};

use crate::context::RequestContext;

/// Ends a connection. Every request to end a connection is made through this function.
pub async fn end(ctx: &RequestContext, command: EndConnection) -> Result<EndOutcome, StoreError> {
    let id = command.connection_id.clone();
    let outcome = ctx.end_connection(command).await?;
    report_end(ctx, &id, &outcome);
    Ok(outcome)
}

/// Ends a connection if it has expired.
pub async fn expire(ctx: &RequestContext, command: ExpireConnection) -> Result<EndOutcome, StoreError> {
    let id = command.connection_id.clone();
    let outcome = ctx.app().store().expire_connection(command).await?;
    report_end(ctx, &id, &outcome);
    Ok(outcome)
}

/// Returns the outcome of a command for one of many objects; `None` if it failed because another program has changed the rows of
/// this object. Such a connection gives no access, and must not keep the others from ending.
pub fn skip_unverified<T>(outcome: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match outcome {
        Err(StoreError::UnverifiedRow { .. }) => Ok(None),
        outcome => outcome.map(Some),
    }
}

/// Handles an `invalid_grant` response to a refresh (RFC 6749 §5.2): the second one ends the connection.
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
            report_end(ctx, &id, &EndOutcome::Ended(EndCause::Provider));
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
        InvalidGrantOutcome::AwaitingConfirmation => {
            tracing::info!(connection = %id, %provider, "invalid_grant: the refresh will be repeated");
        }
        // The connection had ended before, or the response was for an older credential: nothing has changed.
        InvalidGrantOutcome::AlreadyEnded | InvalidGrantOutcome::Fenced => {}
    }
    Ok(outcome)
}

fn report_end(ctx: &RequestContext, id: &ConnectionId, outcome: &EndOutcome) {
    if let EndOutcome::Ended(cause) = outcome {
        tracing::info!(connection = %id, %cause, "connection ended");
        record_end(ctx, *cause);
    }
}

/// Counts an end and wakes a worker, because the end has queued a job to revoke the provider's grant.
pub fn record_end(ctx: &RequestContext, cause: EndCause) {
    ctx.app().telemetry().count("bowline_ends_total", &[("cause", cause.to_string())]);
    ctx.app().job_notify().notify_one();
}
