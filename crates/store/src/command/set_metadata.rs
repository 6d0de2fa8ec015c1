//! The command that sets an entry of the store's metadata, such as the id of the key file.

use domain::Moment;

use crate::error::{Result, StoreError};
use crate::operation::Command;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// Sets a metadata entry, such as the id of the key file. A value that was set before is kept.
#[derive(Debug)]
pub struct SetMetadata {
    pub moment: Moment,
    pub name: &'static str,
    pub value: String,
}

impl Command for SetMetadata {
    /// The stored value: the given one, or the one that was set before.
    type Reply = String;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<String> {
        let insert = sql!(
            "-- set a metadata entry
            INSERT INTO store_metadata (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING"
        );
        tx.execute(insert, values![self.name, self.value]).await?;
        // If two nodes start at the same time, both of them read the value that was stored first.
        tx.fetch_value(METADATA_VALUE, values![self.name], "value").await?.ok_or(StoreError::Conflict)
    }
}

pub(crate) static METADATA_VALUE: &Sql =
    sql!("-- find a metadata entry\nSELECT value FROM store_metadata WHERE name = ?1");

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[METADATA_VALUE];
