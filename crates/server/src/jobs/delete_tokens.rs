//! Deletes the tokens of connections that have ended.

use std::time::Duration;

use store::command::DeleteEndedTokens;

use super::context::new_job_context;
use crate::app::App;
use crate::error::InternalError;

/// The maximum number of connections whose tokens one transaction deletes. It is small, so that other transactions do not wait
/// long for the only writer of SQLite.
const BATCH_SIZE: u32 = 250;
/// The time after the end of a connection within which its tokens must be deleted.
pub(super) const MAX_DELETION_DELAY: Duration = Duration::from_mins(1);

/// Deletes the tokens of connections that have ended, until none is left. Counts connections whose tokens were deleted too
/// late.
pub(super) async fn delete_ended_tokens(app: App) {
    if let Err(error) = delete_batches(&app).await {
        tracing::error!(%error, "the tokens of ended connections could not be deleted");
    }
}

async fn delete_batches(app: &App) -> Result<(), InternalError> {
    loop {
        let ctx = new_job_context(app, "token_deletion")?;
        let deleted = ctx.run(DeleteEndedTokens { moment: ctx.new_moment()?, limit: BATCH_SIZE }).await?;
        let delay = deleted.oldest_end.map(|ended_at| ctx.now().since(ended_at));
        if delay.is_some_and(|delay| delay > MAX_DELETION_DELAY) {
            tracing::warn!(
                connections = deleted.connections,
                "tokens of ended connections were deleted too late"
            );
            app.telemetry().count("bowline_late_token_deletions_total", &[]);
        }
        if deleted.connections < BATCH_SIZE {
            return Ok(());
        }
    }
}
