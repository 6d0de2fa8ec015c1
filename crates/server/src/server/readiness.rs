//! Whether a request could be decided now.

use store::SCHEMA_VERSION;
use store::query::{GetMetadata, GetSchemaVersion};

use crate::app::App;

/// The mark that names the key file of a store.
pub const KEYS_METADATA_NAME: &str = "keys";

/// What readiness rests on, as it is at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each check holds or does not, by itself")]
pub struct Readiness {
    /// The store answers.
    pub store: bool,
    /// It has the schema that this program needs.
    pub schema: bool,
    /// It belongs to this key file.
    pub keys: bool,
    /// The time is known well enough.
    pub clock: bool,
}

impl Readiness {
    /// Looks.
    pub async fn check(app: &App) -> Self {
        let version = app.store().query(&GetSchemaVersion).await;
        let fingerprint = app.store().query(&GetMetadata { name: KEYS_METADATA_NAME }).await;
        Self {
            store: version.is_ok(),
            schema: version.is_ok_and(|version| version >= SCHEMA_VERSION),
            keys: fingerprint.is_ok_and(|mark| mark.as_deref() == Some(&app.vault().fingerprint())),
            clock: app.now().is_ok(),
        }
    }

    /// Whether all of it holds.
    pub const fn is_ready(self) -> bool {
        self.store && self.schema && self.keys && self.clock
    }
}
