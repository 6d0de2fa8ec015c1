//! Queries of the store's own facts.

use super::lookup::lookup;
use crate::command::set_metadata::METADATA_VALUE;
use crate::error::Result;
use crate::operation::Query;
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::values;

lookup! {
    /// Reads a metadata entry.
    GetMetadata { name: &'static str } -> Option<String>
        = |tx, query| tx.fetch_value(METADATA_VALUE, values![query.name], "value");
}

/// Reads the version of the newest applied migration.
#[derive(Clone, Debug)]
pub struct GetSchemaVersion;

impl Query for GetSchemaVersion {
    type Reply = i64;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<i64> {
        let newest = sql!(
            "-- find the newest applied migration\nSELECT max(version) AS version FROM schema_migrations"
        );
        // `max` of an empty table is a row with null.
        Ok(tx.fetch_value::<Option<i64>>(newest, &[], "version").await?.flatten().unwrap_or(0))
    }
}
