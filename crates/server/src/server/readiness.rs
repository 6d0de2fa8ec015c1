//! The readiness check: tests the store, its schema, the key file and the clock, which every request needs.

use std::time::Duration;

use store::query::{GetMetadata, GetSchemaVersion, GetStorePurpose};

use store::{SCHEMA_VERSION, StoreError};

use crate::app::App;

/// The name of the metadata entry with the fingerprint of the store's key file.
pub const KEYS_METADATA_NAME: &str = "keys";

/// The limit of the whole check. A database that does not respond in this time does not serve requests either.
const CHECK_LIMIT: Duration = Duration::from_secs(3);

/// The result of the readiness check, with one field for each thing that was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent checks, each reported by name")]
pub struct Readiness {
    /// The store can be read, and makes commits durable.
    pub store: bool,
    /// This node may use what it reads: PostgreSQL has confirmed the node's lease recently.
    pub lease: bool,
    /// The store can be written. PostgreSQL servers that are read-only fail the check of the store instead.
    pub writes: bool,
    /// The store has the schema of this program or a newer one.
    pub schema: bool,
    /// The store belongs to this key file.
    pub keys: bool,
    /// The store has the purpose that it had when this node was started: a hub, or a sandbox.
    pub purpose: bool,
    /// The clock has not jumped, and its offset to the database's clock is known and small.
    pub clock: bool,
    /// A description of the problem of the store or of the clock for operators, if there is one.
    pub problem: Option<String>,
}

impl Readiness {
    /// Checks the store, its schema, the key file and the clock.
    pub async fn check(app: &App) -> Self {
        let checked = async {
            // The checks use the connections of probes and those of the access check, so both must work.
            app.store().database_time().await?;
            let version = app.store().query(&GetSchemaVersion).await?;
            let fingerprint = app.store().query(&GetMetadata { name: KEYS_METADATA_NAME }).await?;
            let purpose = app.store().query(&GetStorePurpose).await?;
            Ok::<_, StoreError>((version, fingerprint, purpose))
        };
        let clock_error = app.now().err();
        let clock = clock_error.is_none();
        let lease = app.store().has_lease();
        let (checked, writes) =
            tokio::join!(tokio::time::timeout(CHECK_LIMIT, checked), app.store().is_writable());
        match checked {
            Ok(Ok((version, fingerprint, purpose))) => Self {
                store: true,
                lease,
                writes,
                // A newer schema is accepted: during an upgrade the next version migrates the store first.
                schema: version >= SCHEMA_VERSION,
                keys: fingerprint.as_deref() == Some(&app.vault().fingerprint()),
                purpose: purpose == app.store_purpose(),
                clock,
                problem: match clock_error {
                    Some(error) => Some(error.to_string()),
                    None => {
                        (!writes).then(|| "the store cannot be written; the log states the reason".into())
                    }
                },
            },
            Ok(Err(error)) => Self { lease, clock, problem: Some(error.to_string()), ..Self::default() },
            Err(_) => Self {
                lease,
                clock,
                problem: Some("the database did not respond within three seconds".into()),
                ..Self::default()
            },
        }
    }

    /// Returns whether every check passed, so that the node can serve requests.
    pub const fn is_ready(&self) -> bool {
        self.store && self.lease && self.writes && self.schema && self.keys && self.purpose && self.clock
    }
}
