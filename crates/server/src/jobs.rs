//! Deferred work: the outbox, what time ends, and what is of no more use.

mod clock;
mod outbox;
mod purge;
mod removal;
mod sweep;
mod upstream_client;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::App;
use crate::context::RequestContext;
use crate::error::InternalError;

pub use outbox::{run_next_job, update_job_gauges};
pub use purge::{PurgeOutcome, purge};
pub use sweep::{recover_exchanges, sweep};

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

/// The context of a job.
pub fn new_job_context(app: &App, part: &str) -> Result<RequestContext, InternalError> {
    let mut random = [0; 16];
    crate::context::fill_random(&mut random)?;
    let id = uuid::Builder::from_random_bytes(random).into_uuid();
    Ok(RequestContext::new(app.clone(), Arc::from(format!("{part}-{id}")))?)
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

/// Waits for the word to stop.
async fn wait_for_shutdown(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
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

async fn run_periodically<F: Future<Output = ()>>(
    period: Duration,
    app: App,
    mut stop: watch::Receiver<bool>,
    act: impl Fn(App) -> F,
) {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = wait_for_shutdown(&mut stop) => break,
        }
        act(app.clone()).await;
    }
}
