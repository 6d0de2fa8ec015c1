//! The transaction in which the body of a command or query runs its statements, on either database.

use domain::id::{AuditEventId, IdSource, Seed};
use domain::model::audit_event::{AuditEntry, AuditHead};
use domain::{Moment, Timestamp};

use crate::access_map::Fill;
use crate::commit_effect::CommitEffect;
use crate::deferred_statement::{DeferredStatement, StatementGroup};
use crate::entity::audit_event::{APPEND_AUDIT_EVENTS, build_audit_event_row};
use crate::error::{Result, StoreError};
use crate::postgres::PostgresTx;
use crate::row::{FromRow, ListedRow, Row};
use crate::row_mac::{RowAuthenticator, RowMac};
use crate::settings::StoreKeys;
use crate::sql::Sql;
use crate::sqlite::SqliteTx;
use crate::value::{FromValue, Value};

/// A transaction on either database. The database is an enum instead of a type parameter, so that commands do not
/// depend on one.
pub struct Tx<'a> {
    backend: TxBackend<'a>,
    keys: &'a StoreKeys,
    ids: IdSource,
    deferred: Vec<DeferredStatement>,
    /// The audit events of this command, which are appended by one statement.
    audit_events: Vec<Vec<Value>>,
    effects: Vec<CommitEffect>,
    /// The access map, if the rows that a query reads may be inserted there.
    fill: Option<Fill<'a>>,
    /// Whether a statement failed. Further statements and the commit are then rejected.
    is_poisoned: bool,
}

pub(crate) enum TxBackend<'a> {
    Sqlite(SqliteTx<'a>),
    Postgres(PostgresTx<'a>),
}

impl<'a> From<SqliteTx<'a>> for TxBackend<'a> {
    fn from(tx: SqliteTx<'a>) -> Self {
        Self::Sqlite(tx)
    }
}

impl<'a> From<PostgresTx<'a>> for TxBackend<'a> {
    fn from(tx: PostgresTx<'a>) -> Self {
        Self::Postgres(tx)
    }
}

impl<'a> Tx<'a> {
    pub(crate) fn for_command(
        backend: impl Into<TxBackend<'a>>,
        keys: &'a StoreKeys,
        moment: &Moment,
    ) -> Self {
        let ids = IdSource::new(moment.now, moment.seed);
        let backend = backend.into();
        Self {
            backend,
            keys,
            ids,
            deferred: Vec::new(),
            audit_events: Vec::new(),
            effects: Vec::new(),
            fill: None,
            is_poisoned: false,
        }
    }

    pub(crate) fn for_query(backend: impl Into<TxBackend<'a>>, keys: &'a StoreKeys) -> Self {
        // A query writes nothing, so it derives no ids and needs no time.
        let moment = Moment { now: Timestamp::EPOCH, seed: Seed::new([0; 16]), correlation_id: "".into() };
        Self::for_command(backend, keys, &moment)
    }

    /// Permits a query to insert the rows that it reads into the access map. The permission must be older than the first
    /// statement.
    pub(crate) fn with_fill(mut self, fill: Option<Fill<'a>>) -> Self {
        self.fill = fill;
        self
    }

    /// Returns the permission to insert rows into the access map. A command has none: its rows may never be committed.
    pub(crate) const fn fill(&self) -> Option<Fill<'a>> {
        self.fill
    }

    /// Returns the source of this command's ids. A command that is retried gets the same ids again.
    pub(crate) const fn ids(&mut self) -> &mut IdSource {
        &mut self.ids
    }

    /// Reads all rows of the result.
    pub(crate) async fn fetch_rows(&mut self, sql: &'static Sql, params: &[Value]) -> Result<Vec<Row>> {
        self.ensure_ready(sql, params)?;
        let rows = match &mut self.backend {
            TxBackend::Sqlite(tx) => tx.query(sql, params),
            TxBackend::Postgres(tx) => tx.query(sql, params).await,
        };
        let mut rows = self.poison_on_error(rows)?;
        for row in &mut rows {
            row.set_keys(self.keys);
        }
        Ok(rows)
    }

    /// Reads the first row, if there is one.
    pub(crate) async fn fetch_row(&mut self, sql: &'static Sql, params: &[Value]) -> Result<Option<Row>> {
        Ok(self.fetch_rows(sql, params).await?.into_iter().next())
    }

    /// Reads all rows and converts each of them to `T`.
    pub(crate) async fn fetch_all<T: FromRow>(
        &mut self,
        sql: &'static Sql,
        params: &[Value],
    ) -> Result<Vec<T>> {
        let rows = self.fetch_rows(sql, params).await?;
        rows.into_iter().map(|mut row| T::from_row(&mut row)).collect()
    }

    /// Reads all rows of a list, without those that another program has changed. They are reported.
    pub(crate) async fn fetch_verified<T: FromRow>(
        &mut self,
        sql: &'static Sql,
        params: &[Value],
    ) -> Result<Vec<T>> {
        let rows: Vec<ListedRow<T>> = self.fetch_all(sql, params).await?;
        Ok(rows.into_iter().filter_map(ListedRow::into_verified).collect())
    }

    /// Reads the first row, if there is one, and converts it to `T`.
    pub(crate) async fn fetch_optional<T: FromRow>(
        &mut self,
        sql: &'static Sql,
        params: &[Value],
    ) -> Result<Option<T>> {
        self.fetch_row(sql, params).await?.map(|mut row| T::from_row(&mut row)).transpose()
    }

    /// Reads one column of every row.
    pub(crate) async fn fetch_column<T: FromValue>(
        &mut self,
        sql: &'static Sql,
        params: &[Value],
        column: &str,
    ) -> Result<Vec<T>> {
        let rows = self.fetch_rows(sql, params).await?;
        rows.into_iter().map(|mut row| row.get(column)).collect()
    }

    /// Reads one column of the first row, if there is a row.
    pub(crate) async fn fetch_value<T: FromValue>(
        &mut self,
        sql: &'static Sql,
        params: &[Value],
        column: &str,
    ) -> Result<Option<T>> {
        self.fetch_row(sql, params).await?.map(|mut row| row.get(column)).transpose()
    }

    /// Returns whether the statement finds a row. A statement with a lock clause also locks the row.
    pub(crate) async fn exists(&mut self, sql: &'static Sql, params: &[Value]) -> Result<bool> {
        Ok(self.fetch_row(sql, params).await?.is_some())
    }

    /// Executes a statement immediately and returns the number of rows that it wrote.
    pub(crate) async fn execute(&mut self, sql: &'static Sql, params: &[Value]) -> Result<u64> {
        self.ensure_ready(sql, params)?;
        let count = match &mut self.backend {
            TxBackend::Sqlite(tx) => tx.execute(sql, params),
            TxBackend::Postgres(tx) => tx.execute(sql, params).await,
        };
        self.poison_on_error(count)
    }

    /// Adds a statement that is executed with the commit, in the order of the calls.
    ///
    /// On PostgreSQL this saves a round trip for each statement. Other statements of the body do not see the effect of
    /// a deferred statement.
    pub(crate) fn defer(&mut self, sql: &'static Sql, params: &[Value]) {
        self.deferred.push(DeferredStatement::Single(sql, params.to_vec()));
    }

    /// Adds a statement that writes several rows with the commit; does nothing without rows. The text for PostgreSQL must
    /// take its parameters as arrays, see [`DeferredStatement::Rows`].
    pub(crate) fn defer_rows(&mut self, sql: &'static Sql, rows: Vec<Vec<Value>>) {
        if !rows.is_empty() {
            self.deferred.push(DeferredStatement::Rows(sql, rows));
        }
    }

    /// Adds the statements of a group, which PostgreSQL runs as one.
    pub(crate) fn defer_group(&mut self, group: &'static StatementGroup, statements: Vec<DeferredStatement>) {
        debug_assert!(group.consists_of(&statements), "the statements of a group are always the same");
        self.deferred.push(DeferredStatement::Group(group, statements));
    }

    /// Announces a read that follows. On PostgreSQL it is sent with the statement before it, which saves a round trip; see
    /// [`PostgresTx::announce`].
    pub(crate) fn announce(&mut self, sql: &'static Sql, params: &[Value]) {
        if let TxBackend::Postgres(tx) = &mut self.backend {
            tx.announce(sql, params.to_vec());
        }
    }

    /// Announces a read by keys like [`Tx::announce`], for [`Tx::find`] and [`Tx::fetch_by_keys`].
    pub(crate) fn announce_keys(&mut self, sql: &'static Sql, keys: Vec<Value>) {
        if let TxBackend::Postgres(tx) = &mut self.backend {
            tx.announce(sql, vec![Value::Array(keys)]);
        }
    }

    /// Waits for the reads that were announced but not made.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        if let TxBackend::Postgres(tx) = &mut self.backend {
            tx.settle().await?;
        }
        Ok(())
    }

    /// Reads the row with a key, if there is one, and converts it to `T`. On PostgreSQL the statement takes an array of keys and
    /// returns the key of each row as `lookup_key`: lookups that wait at the same time share a statement.
    pub(crate) async fn find<T: FromRow>(&mut self, sql: &'static Sql, key: Value) -> Result<Option<T>> {
        let params = std::slice::from_ref(&key);
        self.ensure_ready(sql, params)?;
        let rows = match &mut self.backend {
            TxBackend::Sqlite(tx) => tx.query(sql, params),
            TxBackend::Postgres(tx) => tx.find(sql, key).await,
        };
        let row = self.poison_on_error(rows)?.into_iter().next();
        let Some(mut row) = row else { return Ok(None) };
        row.set_keys(self.keys);
        T::from_row(&mut row).map(Some)
    }

    /// Reads the rows that belong to several keys. On SQLite the statement runs once for each key; on PostgreSQL it runs
    /// once, and its only parameter is an array of the keys.
    pub(crate) async fn fetch_by_keys<T: FromRow>(
        &mut self,
        sql: &'static Sql,
        keys: Vec<Value>,
    ) -> Result<Vec<T>> {
        if let TxBackend::Postgres(_) = self.backend {
            return self.fetch_all(sql, &[Value::Array(keys)]).await;
        }
        let mut rows = Vec::new();
        for key in keys {
            rows.extend(self.fetch_all::<T>(sql, &[key]).await?);
        }
        Ok(rows)
    }

    /// Computes the MAC of a row that contains the values in the columns that the MAC covers.
    pub(crate) fn compute_mac(&self, mac: &RowMac, values: &[Value]) -> Value {
        self.keys.rows.compute(mac, values)
    }

    /// Returns the key of the MACs of rows.
    #[cfg(feature = "seed")]
    pub(crate) const fn row_authenticator(&self) -> &'a RowAuthenticator {
        &self.keys.rows
    }

    /// Appends an event to the audit chain that ends with `head`. Returns the new end of the chain, which the caller
    /// must store in the row of the event's subject.
    pub(crate) fn audit(&mut self, head: &AuditHead, entry: AuditEntry) -> AuditHead {
        let id = self.ids.mint();
        self.audit_with_id(id, head, entry)
    }

    /// Appends an event like [`Tx::audit`], with an id that the caller has generated.
    pub(crate) fn audit_with_id(
        &mut self,
        id: AuditEventId,
        head: &AuditHead,
        entry: AuditEntry,
    ) -> AuditHead {
        let (event, head) = self.keys.audit.link(head, id, entry);
        let row = build_audit_event_row(&event, self.keys.audit.generation());
        self.audit_events.push(row);
        head
    }

    /// Requests an effect that is applied once the commit is durable.
    pub(crate) fn add_effect(&mut self, effect: CommitEffect) {
        self.effects.push(effect);
    }

    /// Returns the deferred statements and the effects of the commit. Fails if a statement has failed, because the
    /// transaction must then not commit.
    pub(crate) fn finish(mut self) -> Result<(Vec<DeferredStatement>, Vec<CommitEffect>)> {
        self.ensure_not_poisoned()?;
        let audit_events = std::mem::take(&mut self.audit_events);
        self.defer_rows(APPEND_AUDIT_EVENTS, audit_events);
        Ok((self.deferred, self.effects))
    }

    fn ensure_ready(&self, sql: &'static Sql, params: &[Value]) -> Result<()> {
        self.ensure_not_poisoned()?;
        if params.len() != sql.params {
            let (expected, actual) = (sql.params, params.len());
            return Err(StoreError::Internal(format!(
                "statement `{}` has {expected} parameters, not {actual}",
                sql.name()
            )));
        }
        Ok(())
    }

    /// Rejects statements after a failed one. PostgreSQL does the same; on SQLite the transaction would continue.
    fn ensure_not_poisoned(&self) -> Result<()> {
        if self.is_poisoned {
            return Err(StoreError::Internal("a command continued after a failed statement".into()));
        }
        Ok(())
    }

    fn poison_on_error<T>(&mut self, result: Result<T>) -> Result<T> {
        self.is_poisoned |= result.is_err();
        result
    }
}
