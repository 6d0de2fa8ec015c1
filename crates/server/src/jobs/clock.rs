//! Measures, at an interval, the difference between this node's clock and the database's clock.

use crate::app::App;

/// Measures the offset of this node's clock to the database's clock, and keeps it in the memory of this node.
pub(super) async fn measure_offset(app: App) {
    // A failure is only logged: without a new measurement the offset expires, and this node then refuses every request.
    if let Err(error) = app.measure_clock().await {
        tracing::error!(%error, "the database's clock could not be read");
    }
}
