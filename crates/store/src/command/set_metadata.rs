//! Marks of the store itself.

use domain::Moment;

use crate::Command;
use crate::error::Result;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// Sets a mark of the store itself, as `sandbox` or the key file's id. The first value stays.
#[derive(Debug)]
pub struct SetMetadata {
    /// When.
    pub moment: Moment,
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

impl Command for SetMetadata {
    /// The value that stands.
    type Reply = String;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<String> {
        let insert = sql!(
            "-- set a mark
            INSERT INTO store_metadata (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING"
        );
        tx.execute(insert, values![self.name, self.value]).await?;
        let row = tx.query_opt(METADATA_VALUE, values![self.name]).await?;
        crate::record::read_scalar(row)?.ok_or(crate::StoreError::Conflict)
    }
}

pub(crate) static METADATA_VALUE: &Sql = sql!("-- a mark\nSELECT value FROM store_metadata WHERE name = ?1");
