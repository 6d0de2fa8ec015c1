//! Starts the background tasks of a node, and defines the interval of each.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::access_denials::{record_due_denials, record_remaining_denials};
use super::clock::measure_offset;
use super::context::new_job_context;
use super::delete_tokens::delete_ended_tokens;
use super::dispatcher::dispatch_jobs;
use super::gauges::fold_job_transitions;
use super::purge::{PurgeOutcome, purge};
use super::schedule::{Queue, process_queue, run_periodically, wait_for_shutdown};
use super::sweep::{recover_exchanges, sweep};
use crate::app::App;
use crate::error::InternalError;
use crate::recipients::process_removals;
use crate::upstream::refresh_metadata;

const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
const PURGE_INTERVAL: Duration = Duration::from_mins(1);
/// The pause after a purge that did not delete all due rows. A round takes about 50 ms, so the purge runs for a fifth
/// of the time.
const BACKLOG_PURGE_INTERVAL: Duration = Duration::from_millis(200);
/// The interval at which metric samples are aggregated and idle entries of the rate limits are removed.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// The interval at which the counts of jobs are updated.
const FOLD_INTERVAL: Duration = Duration::from_secs(5);
/// The interval at which the tokens of ended connections are deleted.
const TOKEN_DELETION_INTERVAL: Duration = Duration::from_secs(5);
/// The interval at which refused requests are added to the audit log.
const DENIAL_INTERVAL: Duration = Duration::from_secs(5);
/// The interval at which metadata of providers' issuers that are due are requested.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(30);
const CLOCK_INTERVAL: Duration = Duration::from_secs(5);
const REMOVAL_POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Starts the background tasks. When `shutdown` becomes true, each completes the work in progress and stops.
pub fn start(app: &App, shutdown: &watch::Receiver<bool>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(dispatch_jobs(app.clone(), shutdown.clone()));
    let removals = Queue {
        name: "removal",
        item_added: Some(App::removal_notify),
        poll_interval: REMOVAL_POLL_INTERVAL,
    };
    let process_removals = async |ctx| process_removals(&ctx).await;
    tasks.spawn(process_queue(removals, app.clone(), shutdown.clone(), process_removals));
    tasks.spawn(run_periodically(SWEEP_INTERVAL, app.clone(), shutdown.clone(), sweep_once));
    tasks.spawn(run_periodically(FOLD_INTERVAL, app.clone(), shutdown.clone(), fold_job_transitions));
    let deletions =
        Queue { name: "token_deletion", item_added: None, poll_interval: TOKEN_DELETION_INTERVAL };
    tasks.spawn(process_queue(deletions, app.clone(), shutdown.clone(), delete_ended_tokens));
    tasks.spawn(run_purge_loop(app.clone(), shutdown.clone()));
    tasks.spawn(run_periodically(CLOCK_INTERVAL, app.clone(), shutdown.clone(), measure_offset));
    tasks.spawn(run_periodically(UPKEEP_INTERVAL, app.clone(), shutdown.clone(), async |app: App| {
        app.telemetry().run_upkeep();
        app.limits().run_upkeep();
    }));
    tasks.spawn(discover_until_shutdown(app.clone(), shutdown.clone()));
    tasks.spawn(record_denials(app.clone(), shutdown.clone()));
    tasks
}

async fn record_denials(app: App, shutdown: watch::Receiver<bool>) {
    run_periodically(DENIAL_INTERVAL, app.clone(), shutdown, record_due_denials).await;
    record_remaining_denials(&app).await;
}

/// Requests metadata until shutdown. A request for metadata that is not completed then is repeated after the next start.
async fn discover_until_shutdown(app: App, mut shutdown: watch::Receiver<bool>) {
    tokio::select! {
        () = run_periodically(DISCOVERY_INTERVAL, app, shutdown.clone(), discover_once) => {}
        () = wait_for_shutdown(&mut shutdown) => {}
    }
}

async fn discover_once(app: App) {
    let refreshed = async { refresh_metadata(&new_job_context(&app, "discovery")?).await };
    if let Err(error) = refreshed.await {
        tracing::error!(%error, "the metadata of providers could not be refreshed");
    }
}

async fn sweep_once(app: App) {
    if let Err(error) = expire_and_recover(&app).await {
        tracing::error!(%error, "sweep failed");
    }
}

async fn expire_and_recover(app: &App) -> Result<(), InternalError> {
    let ctx = new_job_context(app, "sweep")?;
    // Both run even if the first one fails, so that a permanent error in one does not stop the other.
    let (expired, recovered) = (sweep(&ctx).await, recover_exchanges(&ctx).await);
    expired.and(recovered).map(drop)
}

async fn run_purge_loop(app: App, mut shutdown: watch::Receiver<bool>) {
    loop {
        let pause = purge_once(&app).await;
        if tokio::time::timeout(pause, wait_for_shutdown(&mut shutdown)).await.is_ok() {
            break;
        }
    }
}

/// Runs one round of the purge and returns the pause before the next round.
async fn purge_once(app: &App) -> Duration {
    let outcome = match new_job_context(app, "purge") {
        Ok(ctx) => purge(&ctx).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(PurgeOutcome { has_more: true, .. }) => BACKLOG_PURGE_INTERVAL,
        Ok(PurgeOutcome { has_more: false, .. }) => PURGE_INTERVAL,
        Err(error) => {
            tracing::error!(%error, "purge failed");
            PURGE_INTERVAL
        }
    }
}
