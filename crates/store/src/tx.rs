//! One transaction, as a command's body sees it.

use domain::Moment;
use domain::id::IdSource;
use domain::model::audit_event::{AuditEntry, AuditHead, AuditKey};

use crate::commit_effect::CommitEffect;
use crate::error::{Result, StoreError};
use crate::postgres::PostgresTx;
use crate::sql::{Sql, sql};
use crate::sqlite::SqliteTx;
use crate::value::{Row, Value, values};

/// A transaction under way. Two-armed and private inside: no type parameter shows which database it is.
pub struct Tx<'a> {
    backend: TxBackend<'a>,
    audit_key: &'a AuditKey,
    ids: IdSource,
    deferred: Vec<DeferredStatement>,
    effects: Vec<CommitEffect>,
    poisoned: bool,
}

/// A statement that goes with the commit.
pub(crate) type DeferredStatement = (&'static Sql, Vec<Value>);

enum TxBackend<'a> {
    Sqlite(SqliteTx<'a>),
    Postgres(PostgresTx<'a>),
}

impl<'a> Tx<'a> {
    pub(crate) fn for_sqlite(backend: SqliteTx<'a>, audit_key: &'a AuditKey, moment: &Moment) -> Self {
        Self::new(TxBackend::Sqlite(backend), audit_key, moment)
    }

    pub(crate) fn for_postgres(backend: PostgresTx<'a>, audit_key: &'a AuditKey, moment: &Moment) -> Self {
        Self::new(TxBackend::Postgres(backend), audit_key, moment)
    }

    fn new(backend: TxBackend<'a>, audit_key: &'a AuditKey, moment: &Moment) -> Self {
        let ids = IdSource::new(moment.now, moment.seed);
        Self { backend, audit_key, ids, deferred: Vec::new(), effects: Vec::new(), poisoned: false }
    }

    /// The ids of this command.
    pub(crate) const fn ids(&mut self) -> &mut IdSource {
        &mut self.ids
    }

    /// Every row.
    pub(crate) async fn query(&mut self, sql: &'static Sql, params: &[Value]) -> Result<Vec<Row>> {
        self.ensure_ready(sql, params)?;
        let rows = match &mut self.backend {
            TxBackend::Sqlite(arm) => arm.query(sql, params),
            TxBackend::Postgres(arm) => arm.query(sql, params).await,
        };
        self.poison_on_error(rows)
    }

    /// The row, if there is one.
    pub(crate) async fn query_opt(&mut self, sql: &'static Sql, params: &[Value]) -> Result<Option<Row>> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// How many rows were written.
    pub(crate) async fn execute(&mut self, sql: &'static Sql, params: &[Value]) -> Result<u64> {
        self.ensure_ready(sql, params)?;
        let count = match &mut self.backend {
            TxBackend::Sqlite(arm) => arm.execute(sql, params),
            TxBackend::Postgres(arm) => arm.execute(sql, params).await,
        };
        self.poison_on_error(count)
    }

    /// Writes with the commit, in the order of the calls: for what no later statement of the body reads.
    pub(crate) fn defer(&mut self, sql: &'static Sql, params: &[Value]) {
        self.deferred.push((sql, params.to_vec()));
    }

    /// Records an event behind `head` and returns the chain's new end, for the subject's own row.
    pub(crate) fn audit(&mut self, head: &AuditHead, entry: AuditEntry) -> AuditHead {
        let (event, head) = self.audit_key.link(head, self.ids.mint(), entry);
        let (kind, subject) = &event.entry.subject;
        let entry = &event.entry;
        let params = values![
            event.id,
            *kind,
            subject,
            event.seq,
            entry.at,
            entry.action,
            entry.actor.kind,
            entry.actor.id,
            entry.correlation_id,
            entry.detail,
            self.audit_key.generation(),
            event.mac,
        ];
        self.deferred.push((
            sql!(
                "-- record an audit event
                INSERT INTO audit_events (id, subject_kind, subject_id, seq, at, action, actor_kind, actor_id,
                    correlation_id, detail, key_generation, mac)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
            ),
            params.to_vec(),
        ));
        head
    }

    /// Leaves a mark that is applied once the commit is durable.
    pub(crate) fn add_effect(&mut self, mark: CommitEffect) {
        self.effects.push(mark);
    }

    /// Whether the commit may follow, with what was deferred to it and the marks.
    pub(crate) fn finish(self) -> Result<(Vec<DeferredStatement>, Vec<CommitEffect>)> {
        if self.poisoned {
            return Err(StoreError::Internal("a command went on after a failed statement".into()));
        }
        Ok((self.deferred, self.effects))
    }

    fn ensure_ready(&self, sql: &'static Sql, params: &[Value]) -> Result<()> {
        if self.poisoned {
            return Err(StoreError::Internal("a command went on after a failed statement".into()));
        }
        if params.len() != sql.params {
            return Err(StoreError::Internal(format!("{} takes {} parameters", sql.sqlite, sql.params)));
        }
        Ok(())
    }

    /// A failed statement poisons the transaction on both databases.
    fn poison_on_error<T>(&mut self, result: Result<T>) -> Result<T> {
        self.poisoned |= result.is_err();
        result
    }
}
