//! Deletes the tokens of connections that have ended.

use std::time::Duration;

use store::command::DeleteEndedTokens;

use crate::context::RequestContext;
use crate::error::InternalError;

/// The maximum number of connections whose tokens one command deletes. It changes up to three pages for each of them, and on
/// SQLite all other commands wait for it: about three milliseconds at this size.
const BATCH_SIZE: u32 = 32;
/// The time after the end of a connection within which its tokens must be deleted.
const MAX_DELETION_DELAY: Duration = Duration::from_mins(1);

/// Deletes the tokens of a batch of connections that have ended, and counts batches that were deleted too late. Returns
/// whether more may be left.
pub(super) async fn delete_ended_tokens(ctx: RequestContext) -> Result<bool, InternalError> {
    let deleted = ctx.run(DeleteEndedTokens { moment: ctx.new_moment()?, limit: BATCH_SIZE }).await?;
    let delay = deleted.oldest_end.map(|ended_at| ctx.now().since(ended_at));
    if delay.is_some_and(|delay| delay > MAX_DELETION_DELAY) {
        tracing::warn!(
            connections = deleted.connections,
            "tokens of ended connections were deleted too late"
        );
        ctx.app().telemetry().count("bowline_late_token_deletions_total", &[]);
    }
    Ok(deleted.connections == BATCH_SIZE)
}
