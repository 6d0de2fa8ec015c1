//! Records refused requests of clients and operators in the audit log.

use domain::Timestamp;
use domain::rule::access_denial::{CallerDenials, DenialTally};
use store::command::RecordAccessDenials;

use super::context::new_job_context;
use crate::app::App;
use crate::context::RequestContext;
use crate::error::InternalError;

/// Records the refused requests that are due.
pub(super) async fn record_due_denials(app: App) {
    record_denials(&app, DenialTally::take_due).await;
}

/// Records all refused requests that are not recorded yet: when the node begins to stop, and when it has served its last request.
pub(crate) async fn record_remaining_denials(app: &App) {
    record_denials(app, |tally, _| tally.take_all()).await;
}

async fn record_denials(app: &App, take: impl Fn(&mut DenialTally, Timestamp) -> Vec<CallerDenials>) {
    let ctx = match new_job_context(app, "access_denials") {
        Ok(ctx) => ctx,
        Err(error) => {
            tracing::error!(%error, "refused requests cannot be recorded now");
            return;
        }
    };
    let due = take(&mut app.access_denials().lock(), ctx.now());
    for denials in due {
        if let Err(error) = record_denials_of_caller(&ctx, denials.clone()).await {
            tracing::error!(%error, "refused requests could not be recorded; they are recorded later");
            app.access_denials().lock().restore(denials, ctx.now());
        }
    }
}

async fn record_denials_of_caller(ctx: &RequestContext, denials: CallerDenials) -> Result<(), InternalError> {
    Ok(ctx.run(RecordAccessDenials { moment: ctx.new_moment()?, denials }).await?)
}
