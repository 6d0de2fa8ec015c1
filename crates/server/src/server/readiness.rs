//! The readiness check: tests the store, its schema, the key file and the clock, which every request needs.

use store::SCHEMA_VERSION;
use store::query::{GetMetadata, GetSchemaVersion};

use crate::app::App;

/// The name of the metadata entry with the fingerprint of the store's key file.
pub const KEYS_METADATA_NAME: &str = "keys";

/// The result of the readiness check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent checks, each reported by name")]
pub struct Readiness {
    /// The store can be read.
    pub store: bool,
    /// The store has the schema of this program or a newer one.
    pub schema: bool,
    /// The store belongs to this key file.
    pub keys: bool,
    /// The offset to the database's clock is known and small.
    pub clock: bool,
}

impl Readiness {
    /// Checks the store, its schema, the key file and the clock.
    pub async fn check(app: &App) -> Self {
        let version = app.store().query(&GetSchemaVersion).await;
        let fingerprint = app.store().query(&GetMetadata { name: KEYS_METADATA_NAME }).await;
        Self {
            store: version.is_ok(),
            // A newer schema is accepted: during an upgrade the next version migrates the store first.
            schema: version.is_ok_and(|version| version >= SCHEMA_VERSION),
            keys: fingerprint.is_ok_and(|stored| stored.as_deref() == Some(&app.vault().fingerprint())),
            clock: app.now().is_ok(),
        }
    }

    /// Returns whether every check passed.
    pub const fn is_ready(self) -> bool {
        self.store && self.schema && self.keys && self.clock
    }
}
