//! The offset to the database's clock.

use crate::app::App;

/// Measures it; a node that cannot know the time refuses by itself soon after.
pub(super) async fn measure_offset(app: App) {
    if let Err(error) = app.measure_clock().await {
        tracing::error!(%error, "the database's clock cannot be read");
    }
}
