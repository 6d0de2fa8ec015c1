//! Collects the keys of all rows that the writer changes in the tables of the access map.
//!
//! Temporary triggers on the writer's connection announce every inserted, updated and deleted row, whichever statement
//! changes it. No command can forget an announcement. Temporary triggers exist only on this connection and are not part of
//! the stored schema. SQLite's pre-update hook would do the same, but its bindings need libclang in every build.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::secret::TokenHash;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::FromSql;

use crate::access_map::{ChangedRows, RowKey};
use crate::error::Result;
use crate::value::{FromValue, Value};

/// The number of changed rows above which the whole map is emptied instead, which is then faster.
const MAX_KEYS: usize = 20_000;

/// A table whose rows are in the map, and the columns of the key under which they are there.
struct TrackedTable {
    name: &'static str,
    key_columns: &'static [&'static str],
    parse_key: fn(Vec<Value>) -> Option<RowKey>,
}

static TRACKED_TABLES: [TrackedTable; 6] = [
    TrackedTable { name: "connections", key_columns: &["id"], parse_key: parse_connection },
    // The terms are part of the entry of their connection.
    TrackedTable { name: "connection_terms", key_columns: &["connection_id"], parse_key: parse_connection },
    TrackedTable {
        name: "clients",
        key_columns: &["id"],
        parse_key: |values| parse_single::<ClientId>(values).map(RowKey::Client),
    },
    TrackedTable {
        name: "registrations",
        key_columns: &["client_id", "provider_id"],
        parse_key: parse_registration,
    },
    TrackedTable {
        name: "providers",
        key_columns: &["id"],
        parse_key: |values| parse_single::<ProviderId>(values).map(RowKey::Provider),
    },
    TrackedTable {
        name: "refresh_tokens",
        key_columns: &["token_hash"],
        parse_key: |values| parse_single::<TokenHash>(values).map(RowKey::RefreshToken),
    },
];

fn parse_single<T: FromValue>(values: Vec<Value>) -> Option<T> {
    let [value] = <[Value; 1]>::try_from(values).ok()?;
    T::from_value(value).ok()
}

fn parse_connection(values: Vec<Value>) -> Option<RowKey> {
    parse_single::<ConnectionId>(values).map(RowKey::Connection)
}

fn parse_registration(values: Vec<Value>) -> Option<RowKey> {
    let [client, provider] = <[Value; 2]>::try_from(values).ok()?;
    Some(RowKey::Registration(ClientId::from_value(client).ok()?, ProviderId::from_value(provider).ok()?))
}

/// The changes of the writer's current transaction.
#[derive(Default)]
struct Changes {
    keys: Vec<RowKey>,
    /// True if a change was announced that `keys` does not contain.
    is_incomplete: bool,
}

impl Changes {
    fn record(&mut self, key: Option<RowKey>) {
        match key {
            Some(key) if self.keys.len() < MAX_KEYS => self.keys.push(key),
            _ => self.is_incomplete = true,
        }
    }
}

pub(super) struct ChangeTracker(Arc<Mutex<Changes>>);

impl ChangeTracker {
    /// Starts to collect the changes that are made with a connection.
    pub(super) fn install(connection: &Connection) -> Result<Self> {
        let changes = Arc::new(Mutex::new(Changes::default()));
        let recorded = Arc::clone(&changes);
        // The schema is not trusted, so a trigger may call only functions that are marked as harmless.
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
        connection.create_scalar_function("record_changed_row", -1, flags, move |context| {
            let table = context.get::<i64>(0)?;
            let values = (1..context.len())
                .map(|n| Value::column_result(context.get_raw(n)))
                .collect::<Result<Vec<_>, _>>();
            let table = usize::try_from(table).ok().and_then(|index| TRACKED_TABLES.get(index));
            let key = table.zip(values.ok()).and_then(|(table, values)| (table.parse_key)(values));
            lock(&recorded).record(key);
            Ok(0)
        })?;
        // Without this setting, a row that `INSERT OR REPLACE` removes would not be announced.
        connection.execute_batch("PRAGMA recursive_triggers = ON")?;
        for (index, table) in TRACKED_TABLES.iter().enumerate() {
            connection.execute_batch(&build_triggers(index, table))?;
        }
        Ok(Self(changes))
    }

    /// Forgets the changes of a transaction that was rolled back. Those of a savepoint that was rolled back are kept:
    /// reading a row again that did not change is harmless.
    pub(super) fn discard(&self) {
        *lock(&self.0) = Changes::default();
    }

    /// Returns the rows that were changed since the last call.
    pub(super) fn take(&self) -> ChangedRows {
        let changes = std::mem::take(&mut *lock(&self.0));
        if changes.is_incomplete { ChangedRows::All } else { ChangedRows::Keys(changes.keys) }
    }
}

fn lock(changes: &Mutex<Changes>) -> MutexGuard<'_, Changes> {
    changes.lock().unwrap_or_else(PoisonError::into_inner)
}

fn build_triggers(index: usize, table: &TrackedTable) -> String {
    let name = table.name;
    let call = |row: &str| {
        let values: Vec<String> =
            table.key_columns.iter().map(|column| format!("{row}.\"{column}\"")).collect();
        format!("SELECT record_changed_row({index}, {});", values.join(", "))
    };
    let columns: Vec<String> = table.key_columns.iter().map(|column| format!("\"{column}\"")).collect();
    let (old, new, columns) = (call("OLD"), call("NEW"), columns.join(", "));
    // A changed key concerns two entries. The second trigger costs nothing for statements that do not set the key.
    format!(
        "CREATE TEMP TRIGGER track_insert_{name} AFTER INSERT ON main.{name} BEGIN {new} END;
         CREATE TEMP TRIGGER track_update_{name} AFTER UPDATE ON main.{name} BEGIN {old} END;
         CREATE TEMP TRIGGER track_key_{name} AFTER UPDATE OF {columns} ON main.{name} BEGIN {new} END;
         CREATE TEMP TRIGGER track_delete_{name} AFTER DELETE ON main.{name} BEGIN {old} END;"
    )
}

#[cfg(test)]
pub(crate) fn is_tracked_table(name: &str) -> bool {
    TRACKED_TABLES.iter().any(|table| table.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::value::ToValue;

    /// Opens a database with the tracked tables, reduced to their keys and one other column. They have no types, so that the
    /// test does not depend on the types of the schema.
    fn open_tracked() -> (Connection, ChangeTracker) {
        let connection = Connection::open_in_memory().unwrap();
        for table in &TRACKED_TABLES {
            let columns = table.key_columns.join(", ");
            let create = format!(
                "CREATE TABLE {} ({columns}, other UNIQUE, PRIMARY KEY ({columns})) WITHOUT ROWID",
                table.name
            );
            connection.execute_batch(&create).unwrap();
        }
        let tracker = ChangeTracker::install(&connection).unwrap();
        (connection, tracker)
    }

    fn connection_key(name: &str) -> (Value, RowKey) {
        let id = ConnectionId::parse(name).unwrap();
        (id.to_value(), RowKey::Connection(id))
    }

    #[test]
    fn every_kind_of_change_is_recorded() {
        let (connection, tracker) = open_tracked();
        let ((first, first_key), (second, second_key)) = (connection_key("con_a"), connection_key("con_b"));
        let both = [first_key, second_key];

        for (statement, expected) in [
            ("INSERT INTO connections VALUES (:a, 1), (:b, 2)", &both[..]),
            ("UPDATE connections SET other = other + 10", &both),
            // The second row is removed, because the value of its other column is unique.
            ("INSERT OR REPLACE INTO connections VALUES (:a, 12)", &both),
            ("INSERT INTO connections VALUES (:a, 3) ON CONFLICT DO UPDATE SET other = 4", &both[..1]),
            ("UPDATE connections SET id = :b", &both),
            ("DELETE FROM connections", &both[1..]),
        ] {
            let mut prepared = connection.prepare(statement).unwrap();
            for (name, value) in [(":a", &first), (":b", &second)] {
                if let Some(index) = prepared.parameter_index(name).unwrap() {
                    prepared.raw_bind_parameter(index, value).unwrap();
                }
            }
            prepared.raw_execute().unwrap();

            let ChangedRows::Keys(keys) = tracker.take() else { panic!("{statement}") };
            let recorded: HashSet<_> = keys.iter().collect();
            assert_eq!(recorded, expected.iter().collect(), "{statement}");
        }
    }

    #[test]
    fn changes_of_every_tracked_table_are_recorded() {
        let (connection, tracker) = open_tracked();
        let client = ClientId::parse("dc-acme").unwrap();
        let (provider, hash) = (ProviderId::new(1000), TokenHash::from_bytes(&[7; 36]).unwrap());
        let (id, connection_key) = connection_key("con_a");

        let rows = [
            ("connections", vec![id.clone()], connection_key.clone()),
            ("connection_terms", vec![id], connection_key),
            ("clients", vec![client.to_value()], RowKey::Client(client.clone())),
            (
                "registrations",
                vec![client.to_value(), provider.to_value()],
                RowKey::Registration(client, provider),
            ),
            ("providers", vec![provider.to_value()], RowKey::Provider(provider)),
            ("refresh_tokens", vec![hash.to_value()], RowKey::RefreshToken(hash)),
        ];

        assert_eq!(rows.len(), TRACKED_TABLES.len());
        for (table, key, expected) in rows {
            let places = vec!["?"; key.len()].join(", ");
            let insert = format!("INSERT INTO {table} VALUES ({places}, 1)");
            connection.execute(&insert, rusqlite::params_from_iter(key)).unwrap();
            assert_eq!(tracker.take(), ChangedRows::Keys(vec![expected]), "{table}");
        }
    }

    #[test]
    fn unreadable_key_counts_as_change_of_all_rows() {
        let (connection, tracker) = open_tracked();

        connection.execute_batch("INSERT INTO connections VALUES (3.5, 1)").unwrap();

        assert_eq!(tracker.take(), ChangedRows::All);
        assert_eq!(tracker.take(), ChangedRows::Keys(vec![]), "a change is taken once");
    }

    #[test]
    fn discarded_changes_are_not_recorded() {
        let (connection, tracker) = open_tracked();
        let (id, _) = connection_key("con_a");
        connection.execute("INSERT INTO connections VALUES (?1, 1)", [id]).unwrap();

        tracker.discard();

        assert_eq!(tracker.take(), ChangedRows::Keys(vec![]));
    }
}
