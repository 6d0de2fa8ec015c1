//! Loops that run background work until the node shuts down: for a queue, and at a fixed interval.

use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::context::new_job_context;
use crate::app::App;
use crate::context::RequestContext;
use crate::error::InternalError;

/// The settings of a loop that processes a queue in the store.
pub(super) struct Queue {
    /// The name of the task in correlation ids and log messages.
    pub(super) name: &'static str,
    /// The signal that wakes the loop when this node has added an item. Without one the loop only polls, so that it collects
    /// items for its batches.
    pub(super) item_added: Option<fn(&App) -> &Notify>,
    /// The interval between searches for items that have become due or that another node has added.
    pub(super) poll_interval: Duration,
}

/// Processes a queue until shutdown. `process_next` processes some items, and returns whether more may follow.
pub(super) async fn process_queue<F: Future<Output = Result<bool, InternalError>>>(
    queue: Queue,
    app: App,
    mut shutdown: watch::Receiver<bool>,
    process_next: impl Fn(RequestContext) -> F,
) {
    // Shutdown is checked only between items, so that an item in progress is completed.
    while !*shutdown.borrow() {
        let result = match new_job_context(&app, queue.name) {
            Ok(ctx) => process_next(ctx).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(true) => continue,
            Ok(false) => {}
            // The item remains in the store. The wait below prevents a busy loop while the store is not available.
            Err(error) => tracing::error!(%error, task = queue.name, "queued work could not be processed"),
        }
        let item_added = async {
            match queue.item_added {
                Some(notify) => notify(&app).notified().await,
                None => std::future::pending().await,
            }
        };
        let next_search = tokio::time::timeout(queue.poll_interval, item_added);
        tokio::select! {
            _ = next_search => {}
            () = wait_for_shutdown(&mut shutdown) => break,
        }
    }
}

/// Runs a task immediately and then once per period until shutdown.
pub(super) async fn run_periodically<F: Future<Output = ()>>(
    period: Duration,
    app: App,
    mut shutdown: watch::Receiver<bool>,
    task: impl Fn(App) -> F,
) {
    let mut interval = tokio::time::interval(period);
    // After a run that took longer than the period, the next run starts a full period later. Missed runs are skipped.
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = wait_for_shutdown(&mut shutdown) => break,
        }
        task(app.clone()).await;
    }
}

/// Waits until the node shuts down.
pub(super) async fn wait_for_shutdown(shutdown: &mut watch::Receiver<bool>) {
    // An error means that the sender was dropped, which counts as a shutdown.
    let _ = shutdown.wait_for(|stop| *stop).await;
}
