//! The tasks of a node that do deferred work.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::context::new_job_context;
use super::outbox::run_next_job;
use super::purge::{PurgeOutcome, purge};
use super::schedule::{run_periodically, wait_for_shutdown};
use super::sweep::{recover_exchanges, sweep};
use super::{clock, removal};
use crate::app::App;

const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
const PURGE_INTERVAL: Duration = Duration::from_mins(1);
/// How soon a purge goes on that has left something behind: it takes a fifth of the time at most.
const BACKLOG_PURGE_INTERVAL: Duration = Duration::from_millis(200);
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
const CLOCK_INTERVAL: Duration = Duration::from_secs(5);

/// Starts the workers; they stop after what they have in hand when `stop` becomes true.
pub fn start(app: &App, stop: &watch::Receiver<bool>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for _ in 0..app.config().job.workers.max(1) {
        tasks.spawn(run_worker(app.clone(), stop.clone()));
    }
    tasks.spawn(run_periodically(SWEEP_INTERVAL, app.clone(), stop.clone(), sweep_once));
    tasks.spawn(run_purge_loop(app.clone(), stop.clone()));
    tasks.spawn(removal::run_removals(app.clone(), stop.clone()));
    tasks.spawn(run_periodically(CLOCK_INTERVAL, app.clone(), stop.clone(), clock::measure_offset));
    tasks.spawn(run_periodically(UPKEEP_INTERVAL, app.clone(), stop.clone(), async |app: App| {
        app.telemetry().run_upkeep();
        app.limits().run_upkeep();
    }));
    tasks
}

async fn run_worker(app: App, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let result = match new_job_context(&app, "job") {
            Ok(ctx) => run_next_job(&ctx).await,
            Err(fault) => Err(fault),
        };
        if matches!(result, Ok(true)) {
            continue;
        }
        if let Err(fault) = result {
            tracing::error!(%fault, "a job could not be worked on");
        }
        let woken = tokio::time::timeout(app.config().job.poll.duration(), app.job_notify().notified());
        tokio::select! {
            _ = woken => {}
            () = wait_for_shutdown(&mut stop) => break,
        }
    }
}

async fn sweep_once(app: App) {
    let swept = match new_job_context(&app, "sweep") {
        // Neither waits for the other to succeed.
        Ok(ctx) => sweep(&ctx).await.map(drop).and(recover_exchanges(&ctx).await.map(drop)),
        Err(fault) => Err(fault),
    };
    if let Err(fault) = swept {
        tracing::error!(%fault, "the sweep failed");
    }
}

async fn run_purge_loop(app: App, mut stop: watch::Receiver<bool>) {
    loop {
        let rest = purge_once(&app).await;
        if tokio::time::timeout(rest, wait_for_shutdown(&mut stop)).await.is_ok() {
            break;
        }
    }
}

/// Purges; says after which time to do it again.
async fn purge_once(app: &App) -> Duration {
    let purged = match new_job_context(app, "purge") {
        Ok(ctx) => purge(&ctx).await,
        Err(fault) => Err(fault),
    };
    match purged {
        Ok(PurgeOutcome { has_more: true, .. }) => BACKLOG_PURGE_INTERVAL,
        Ok(PurgeOutcome { has_more: false, .. }) => PURGE_INTERVAL,
        Err(fault) => {
            tracing::error!(%fault, "the purge failed");
            PURGE_INTERVAL
        }
    }
}
