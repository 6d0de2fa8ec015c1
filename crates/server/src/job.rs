//! Deferred work: the outbox, what time ends, and what is of no more use.

mod clock;
mod outbox;
mod own_client;
mod purge;
mod removal;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::App;
use crate::ctx::Ctx;
use crate::fault::Fault;

pub use outbox::{count, tick};
pub use purge::{Purged, purge};
pub use sweep::{recover, sweep};

const SWEEP_EVERY: Duration = Duration::from_secs(5);
const PURGE_EVERY: Duration = Duration::from_mins(1);
/// How soon a purge goes on that has left something behind: it takes a fifth of the time at most.
const PURGE_AGAIN: Duration = Duration::from_millis(200);
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
const CLOCK_EVERY: Duration = Duration::from_secs(5);

/// Starts the workers; they stop after what they have in hand when `stop` becomes true.
pub fn start(app: &App, stop: &watch::Receiver<bool>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for _ in 0..app.config().job.workers.max(1) {
        tasks.spawn(work(app.clone(), stop.clone()));
    }
    tasks.spawn(every(SWEEP_EVERY, app.clone(), stop.clone(), sweep_once));
    tasks.spawn(purging(app.clone(), stop.clone()));
    tasks.spawn(removal::removing(app.clone(), stop.clone()));
    tasks.spawn(every(CLOCK_EVERY, app.clone(), stop.clone(), clock::measure));
    tasks.spawn(every(UPKEEP_EVERY, app.clone(), stop.clone(), async |app: App| {
        app.telemetry().keep_up();
        app.limits().keep_up();
    }));
    tasks
}

/// The context of a job.
pub fn context(app: &App, part: &str) -> Result<Ctx, Fault> {
    let mut random = [0; 16];
    app.fill(&mut random)?;
    let id = uuid::Builder::from_random_bytes(random).into_uuid();
    Ok(Ctx::new(app.clone(), Arc::from(format!("{part}-{id}")))?)
}

async fn work(app: App, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let did = match context(&app, "job") {
            Ok(ctx) => tick(&ctx).await,
            Err(fault) => Err(fault),
        };
        if matches!(did, Ok(true)) {
            continue;
        }
        if let Err(fault) = did {
            tracing::error!(%fault, "a job could not be worked on");
        }
        let woken = tokio::time::timeout(app.config().job.poll.duration(), app.jobs().notified());
        tokio::select! {
            _ = woken => {}
            () = stopped(&mut stop) => break,
        }
    }
}

/// Waits for the word to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn sweep_once(app: App) {
    let swept = match context(&app, "sweep") {
        // Neither waits for the other to succeed.
        Ok(ctx) => sweep(&ctx).await.map(drop).and(recover(&ctx).await.map(drop)),
        Err(fault) => Err(fault),
    };
    if let Err(fault) = swept {
        tracing::error!(%fault, "the sweep failed");
    }
}

async fn purging(app: App, mut stop: watch::Receiver<bool>) {
    loop {
        let rest = purge_once(&app).await;
        if tokio::time::timeout(rest, stopped(&mut stop)).await.is_ok() {
            break;
        }
    }
}

/// Purges; says after which time to do it again.
async fn purge_once(app: &App) -> Duration {
    let purged = match context(app, "purge") {
        Ok(ctx) => purge(&ctx).await,
        Err(fault) => Err(fault),
    };
    match purged {
        Ok(Purged { more: true, .. }) => PURGE_AGAIN,
        Ok(Purged { more: false, .. }) => PURGE_EVERY,
        Err(fault) => {
            tracing::error!(%fault, "the purge failed");
            PURGE_EVERY
        }
    }
}

async fn every<F: Future<Output = ()>>(
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
            () = stopped(&mut stop) => break,
        }
        act(app.clone()).await;
    }
}
