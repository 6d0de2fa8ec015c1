//! When deferred work runs.

use std::time::Duration;

use tokio::sync::watch;

use crate::app::App;

pub(super) async fn run_periodically<F: Future<Output = ()>>(
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

/// Waits for the word to stop.
pub(super) async fn wait_for_shutdown(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
