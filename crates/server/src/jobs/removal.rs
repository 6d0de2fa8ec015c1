//! Recipients that were removed: their connections end, round after round, until none is left.

use std::time::Duration;

use tokio::sync::watch;

use super::context::new_job_context;
use super::schedule::wait_for_shutdown;
use crate::app::App;
use crate::recipients::process_removals;

/// How soon it is looked again for what another node began.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Works on removals until the word to stop.
pub(super) async fn run_removals(app: App, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let worked = match new_job_context(&app, "removal") {
            Ok(ctx) => process_removals(&ctx).await,
            Err(fault) => Err(fault),
        };
        if matches!(worked, Ok(true)) {
            continue;
        }
        if let Err(fault) = worked {
            tracing::error!(%fault, "a removal could not be worked on");
        }
        let woken = tokio::time::timeout(POLL_INTERVAL, app.removal_notify().notified());
        tokio::select! {
            _ = woken => {}
            () = wait_for_shutdown(&mut stop) => break,
        }
    }
}
