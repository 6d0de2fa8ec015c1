//! Measurement of the offset to the database's clock.

use crate::app::App;

/// Measures the offset of this node's clock to the database's and stores it.
pub(super) async fn measure_offset(app: App) {
    // A failure needs no other handling: the stored offset expires, and then every request on this node is refused.
    if let Err(error) = app.measure_clock().await {
        tracing::error!(%error, "the database's clock could not be read");
    }
}
