//! The command `bowline migrate`, which creates the store or migrates its schema.

use store::StorePurpose;

use super::data_lock::DataLock;
use super::error::CliError;
use super::globals::GlobalArgs;
use super::hub::{migrate, parse_store_location};
use super::terminal::print_line;

pub(super) async fn run(globals: &GlobalArgs) -> Result<(), CliError> {
    let location = parse_store_location(&globals.load_config(&[])?)?;
    // The lock fails while a hub runs. A hub of this version has already migrated its SQLite store, and a hub of an
    // older version must be stopped before the migration.
    let _lock = DataLock::acquire(&location)?;
    let applied = migrate(&location, StorePurpose::Hub).await?;
    if globals.json {
        let applied: Vec<_> =
            applied.iter().map(|m| serde_json::json!({"version": m.version, "name": m.name})).collect();
        print_line(serde_json::json!({ "applied": applied, "schema": store::SCHEMA_VERSION }));
        return Ok(());
    }
    for migration in &applied {
        print_line(format_args!("Applied migration {:04} {}.", migration.version, migration.name));
    }
    print_line(format_args!("The schema has version {:04}.", store::SCHEMA_VERSION));
    Ok(())
}
