//! Recipients that were removed: their connections end, round after round, until none is left.

use std::time::Duration;

use tokio::sync::watch;

use crate::app::App;
use crate::manage::work_on_removals;

/// How soon it is looked again for what another node began.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Works on removals until the word to stop.
pub(super) async fn removing(app: App, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let worked = match super::context(&app, "removal") {
            Ok(ctx) => work_on_removals(&ctx).await,
            Err(fault) => Err(fault),
        };
        if matches!(worked, Ok(true)) {
            continue;
        }
        if let Err(fault) = worked {
            tracing::error!(%fault, "a removal could not be worked on");
        }
        let woken = tokio::time::timeout(LOOK_EVERY, app.removals().notified());
        tokio::select! {
            _ = woken => {}
            () = super::stopped(&mut stop) => break,
        }
    }
}
