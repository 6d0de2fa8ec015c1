//! Updates those metrics that are read from the store or the circuit breakers: access map, jobs, providers and open breakers.

use std::time::Duration;

use domain::rule::expiry_brake::ExpiryState;
use store::command::FoldJobTransitions;
use store::query::{CountJobs, CountProviders, GetSweepStatus};

use super::context::new_job_context;
use crate::app::App;
use crate::context::RequestContext;
use crate::error::InternalError;

/// The time that a request for metrics waits for the store. The other metrics are needed most while the store is slow.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// Updates the metrics of the access map, `bowline_unverified_rows_total`, `bowline_breaker_open`, `bowline_jobs`,
/// `bowline_providers` and `bowline_expiry_braked_providers`. If the store does not respond in time, the latter three keep their
/// values.
pub async fn update_gauges(app: &App) {
    update_access_map_metrics(app);
    let unverified = app.store().unverified_rows() + app.vault().unopened_values();
    app.telemetry().set_counter("bowline_unverified_rows_total", unverified);
    let responses = u32::try_from(app.response_memory().used_bytes()).unwrap_or(u32::MAX);
    app.telemetry().set_gauge("bowline_response_bytes", &[], responses);
    let updated = async {
        let ctx = new_job_context(app, "probe")?;
        update_breaker_gauges(&ctx);
        update_store_gauges(&ctx).await
    };
    match tokio::time::timeout(STORE_TIMEOUT, updated).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "metrics could not be read from the store"),
        Err(_) => tracing::warn!("metrics were not read from the store in time"),
    }
}

fn update_access_map_metrics(app: &App) {
    let stats = app.store().access_map_stats();
    let telemetry = app.telemetry();
    telemetry.set_counter("bowline_access_map_hits_total", stats.hits);
    telemetry.set_counter("bowline_access_map_misses_total", stats.misses);
    telemetry.set_counter("bowline_access_map_barriers_total", stats.barriers);
    let saturate = |number| u32::try_from(number).unwrap_or(u32::MAX);
    telemetry.set_gauge("bowline_access_map_entries", &[], saturate(stats.entries as u64));
    telemetry.set_gauge("bowline_access_map_bytes", &[], saturate(stats.bytes));
}

fn update_breaker_gauges(ctx: &RequestContext) {
    for (provider, group, is_open) in ctx.app().breaker().list(ctx.now()) {
        let labels = [("provider", provider.to_string()), ("endpoint", group.to_string())];
        ctx.app().telemetry().set_gauge("bowline_breaker_open", &labels, u32::from(is_open));
    }
    for (provider, clients) in ctx.app().breaker().count_rejected_clients() {
        let labels = [("provider", provider.to_string())];
        ctx.app().telemetry().set_gauge("bowline_rejected_clients", &labels, clients);
    }
}

async fn update_store_gauges(ctx: &RequestContext) -> Result<(), InternalError> {
    let telemetry = ctx.app().telemetry();
    for ((kind, state), count) in ctx.ask(&CountJobs).await? {
        let labels = [("kind", kind.to_owned()), ("state", state.to_owned())];
        telemetry.set_gauge("bowline_jobs", &labels, u32::try_from(count).unwrap_or(u32::MAX));
    }
    for (state, count) in ctx.ask(&CountProviders).await? {
        let labels = [("state", state.to_owned())];
        telemetry.set_gauge("bowline_providers", &labels, u32::try_from(count).unwrap_or(u32::MAX));
    }
    let braked = ctx.ask(&GetSweepStatus).await?.list(ExpiryState::Braked).count();
    telemetry.set_gauge("bowline_expiry_braked_providers", &[], u32::try_from(braked).unwrap_or(u32::MAX));
    Ok(())
}

/// The number of transitions that one transaction adds to the counts of jobs.
const FOLD_BATCH_SIZE: u32 = 1_000;
/// The maximum number of such transactions in a row, so that the same task on other nodes gets its turn.
const MAX_FOLD_BATCHES: u32 = 100;

/// Adds the transitions of jobs to the counts that `bowline_jobs` shows, so that few of them are left to read.
pub(super) async fn fold_job_transitions(app: App) {
    if let Err(error) = fold_batches(&app).await {
        tracing::error!(%error, "the counts of jobs could not be updated");
    }
}

async fn fold_batches(app: &App) -> Result<(), InternalError> {
    let ctx = new_job_context(app, "fold")?;
    for _ in 0..MAX_FOLD_BATCHES {
        let fold = FoldJobTransitions { moment: ctx.new_moment()?, limit: FOLD_BATCH_SIZE };
        if ctx.run(fold).await? < FOLD_BATCH_SIZE {
            break;
        }
    }
    Ok(())
}
