//! Records refused requests of clients and operators in the audit log.

use std::collections::BTreeMap;

use domain::Timestamp;
use domain::rule::access_denial::{DenialCount, DenialTally, DeniedCaller};
use store::command::RecordAccessDenials;

use super::context::new_job_context;
use crate::app::App;
use crate::context::RequestContext;
use crate::error::InternalError;

/// Records the refused requests that are due.
pub(super) async fn record_due_denials(app: App) {
    record_denials(&app, DenialTally::take_due).await;
}

/// Records all refused requests, before the node stops.
pub(super) async fn record_remaining_denials(app: App) {
    record_denials(&app, |tally, _| tally.take_all()).await;
}

async fn record_denials(app: &App, take: impl Fn(&mut DenialTally, Timestamp) -> Vec<DenialCount>) {
    let ctx = match new_job_context(app, "access_denials") {
        Ok(ctx) => ctx,
        Err(error) => {
            tracing::error!(%error, "refused requests cannot be recorded now");
            return;
        }
    };
    let due = take(&mut app.access_denials().lock(), ctx.now());
    let mut callers: BTreeMap<DeniedCaller, Vec<DenialCount>> = BTreeMap::new();
    for count in due {
        callers.entry(count.kind.caller.clone()).or_default().push(count);
    }
    for (caller, counts) in callers {
        if let Err(error) = record_counts(&ctx, caller, counts.clone()).await {
            tracing::error!(%error, "refused requests could not be recorded; they are recorded later");
            app.access_denials().lock().restore(counts, ctx.now());
        }
    }
}

async fn record_counts(
    ctx: &RequestContext,
    caller: DeniedCaller,
    counts: Vec<DenialCount>,
) -> Result<(), InternalError> {
    Ok(ctx.run(RecordAccessDenials { moment: ctx.new_moment()?, caller, counts }).await?)
}
