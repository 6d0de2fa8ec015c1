//! Queries that read the store's metadata and the version of its schema.

use super::lookup::lookup;
use crate::command::set_metadata::METADATA_VALUE;
use crate::error::Result;
use crate::migrate::{SANDBOX_MARK, StorePurpose};
use crate::operation::{Query, QueryKind};
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::values;

lookup! {
    /// Reads the value of a metadata entry, such as the id of the key file.
    GetMetadata { name: &'static str } -> Option<String>
        = |tx, query| tx.fetch_value(METADATA_VALUE, values![query.name], "value");
}

/// Reads what the store was created for.
#[derive(Clone, Debug)]
pub struct GetStorePurpose;

impl Query for GetStorePurpose {
    type Reply = StorePurpose;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<StorePurpose> {
        let mark: Option<String> = tx.fetch_value(METADATA_VALUE, values![SANDBOX_MARK], "value").await?;
        Ok(if mark.is_some() { StorePurpose::Sandbox } else { StorePurpose::Hub })
    }
}

/// Reads the version of the newest applied migration; 0 if there is none.
#[derive(Clone, Debug)]
pub struct GetSchemaVersion;

impl Query for GetSchemaVersion {
    type Reply = i64;
    const KIND: QueryKind = QueryKind::Monitoring;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<i64> {
        let newest = sql!(
            "-- find the newest applied migration\nSELECT max(version) AS version FROM schema_migrations"
        );
        // `max` of an empty table is a row with null.
        Ok(tx.fetch_value::<Option<i64>>(newest, &[], "version").await?.flatten().unwrap_or(0))
    }
}
