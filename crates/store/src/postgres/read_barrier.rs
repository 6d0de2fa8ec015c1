//! The read barrier: makes the access map equal to a snapshot of the database that is newer than the question.
//!
//! One small query returns the current snapshot, and the changes that it contains and the previous snapshot did not. All questions
//! that wait when it is sent share it. The triggers of the schema fill the table `changes`.

use std::sync::Arc;

use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::rule::node_lease::Timeline;
use domain::secret::TokenHash;
use tokio::sync::{Mutex, oneshot};

use super::pools::SessionPool;
use super::session::PostgresSession;
use super::transaction::PostgresTx;
use crate::access_map::{AccessMap, BarrierNumber, ChangedRows, RowKey};
use crate::error::{Result, StoreError};
use crate::row::Row;
use crate::set_queue::SetQueue;
use crate::sql::{Sql, sql};
use crate::value::{FromValue, Value, values};

/// The number of changes from which on the whole map is emptied instead.
const MAX_CHANGES: i64 = 5_000;

/// A barrier whose changes the map contains.
#[derive(Clone, Copy)]
pub(super) struct PassedBarrier {
    pub(super) number: BarrierNumber,
    /// The timeline of the server that was asked.
    pub(super) timeline: Timeline,
}

type Question = oneshot::Sender<Result<PassedBarrier>>;

/// Runs the barriers of a node, one at a time, on a session of their own.
#[derive(Clone)]
pub(super) struct ReadBarrier {
    pool: SessionPool,
    map: Arc<AccessMap>,
    questions: Arc<SetQueue<Question>>,
    /// The previous barrier, if it succeeded.
    previous: Arc<Mutex<Option<PreviousBarrier>>>,
}

/// The state of the database that the previous barrier has seen.
struct PreviousBarrier {
    /// The id of its session. A session ends with its server, so snapshots of one session have one history of transactions. After
    /// a crash, the server may use the numbers of transactions again that were not committed.
    session_id: String,
    snapshot: Snapshot,
}

/// A snapshot of PostgreSQL in the form `xmin:xmax:xip`: the transactions that were committed when it was taken.
struct Snapshot {
    text: String,
    /// The oldest transaction that the snapshot may not contain.
    oldest_missing: u64,
}

impl Snapshot {
    fn parse(text: String) -> Result<Self> {
        let oldest_missing = text.split(':').next().and_then(|number| number.parse().ok());
        let oldest_missing = oldest_missing.ok_or_else(|| StoreError::internal("a snapshot is not valid"))?;
        Ok(Self { text, oldest_missing })
    }
}

impl ReadBarrier {
    pub(super) fn new(pool: SessionPool, map: Arc<AccessMap>, capacity: usize) -> Self {
        let questions = Arc::new(SetQueue::one_at_a_time(capacity));
        Self { pool, map, questions, previous: Arc::default() }
    }

    /// Waits for a barrier that was sent after this call.
    pub(super) async fn wait(&self) -> Result<PassedBarrier> {
        let (question, receiver) = oneshot::channel();
        let barrier = self.clone();
        self.questions.push(question, move |questions| {
            let barrier = barrier.clone();
            async move { barrier.pass_for(questions).await }
        })?;
        receiver.await.unwrap_or_else(|_| Err(StoreError::internal("a barrier was abandoned")))
    }

    async fn pass_for(&self, mut questions: Vec<Question>) {
        questions.retain(|question| !question.is_closed());
        if questions.is_empty() {
            return;
        }
        let passed = self.pass().await;
        for question in questions {
            let result = match &passed {
                Ok(barrier) => Ok(*barrier),
                Err(error) => Err(error.repeat()),
            };
            // An error means that the caller no longer waits.
            drop(question.send(result));
        }
    }

    async fn pass(&self) -> Result<PassedBarrier> {
        let mut previous = self.previous.lock().await;
        let session = self.pool.check_out().await.map_err(StoreError::into_transient)?;
        // It is taken out: after an error, the next barrier begins with an empty map.
        let before = previous.take().filter(|previous| previous.session_id == session.id());
        // The number is taken before the statement is sent: what was read before has a lower one.
        let number = self.map.start_barrier();
        let read = read_changes(&session, before.as_ref().map(|before| &before.snapshot));
        let (snapshot, changes) = self.pool.run_limited(&session, read).await??;
        // Changes on a demoted primary say nothing about rows that were read on the new one.
        self.pool.ensure_lease(&session)?;
        self.map.apply_barrier(changes);
        let timeline = session.timeline();
        *previous = Some(PreviousBarrier { session_id: session.id().to_owned(), snapshot });
        session.give_back();
        Ok(PassedBarrier { number, timeline })
    }
}

/// Reads the current snapshot, and the rows that have changed since the previous one.
async fn read_changes(
    session: &PostgresSession,
    previous: Option<&Snapshot>,
) -> Result<(Snapshot, ChangedRows)> {
    let mut tx = PostgresTx::for_query(session);
    let found = match previous {
        Some(previous) => tx.query(CHANGES, values![previous.text, MAX_CHANGES]).await?,
        None => tx.query(CURRENT_SNAPSHOT, &[]).await?,
    };
    let (mut snapshot, mut changes) = (None, Vec::new());
    for mut row in found {
        snapshot = Some(row.get::<String>("snapshot")?);
        if let Some(change) = Change::from_row(&mut row)? {
            changes.push(change);
        }
    }
    let snapshot = snapshot.ok_or_else(|| StoreError::internal("a barrier returned no snapshot"))?;
    let rows = previous.map_or(ChangedRows::All, |previous| collect_rows(changes, previous.oldest_missing));
    Ok((Snapshot::parse(snapshot)?, rows))
}

/// A row of the table `changes`.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Row(RowKey),
    /// Changes of transactions up to this one were deleted.
    Deleted(u64),
    /// Any row may have changed.
    All,
}

impl Change {
    /// Reads a change; `None` if the row has none, because no row has changed.
    fn from_row(row: &mut Row) -> Result<Option<Self>> {
        let Some(kind) = row.get::<Option<String>>("kind")? else { return Ok(None) };
        let id: Vec<u8> = row.get("id")?;
        // What cannot be read counts as a change of every row.
        Ok(Some(Self::parse(&kind, id).unwrap_or(Self::All)))
    }

    fn parse(kind: &str, id: Vec<u8>) -> Option<Self> {
        let key = match kind {
            "connection" => RowKey::Connection(ConnectionId::from_value(Value::Blob(id)).ok()?),
            "client" => RowKey::Client(ClientId::from_value(Value::Blob(id)).ok()?),
            "registration" => {
                let (provider, client) = id.split_first_chunk()?;
                let client = ClientId::from_value(Value::Blob(client.to_vec())).ok()?;
                RowKey::Registration(client, ProviderId::new(i64::from_be_bytes(*provider)))
            }
            "provider" => RowKey::Provider(ProviderId::new(i64::from_be_bytes(id.try_into().ok()?))),
            "refresh_token" => RowKey::RefreshToken(TokenHash::from_value(Value::Blob(id)).ok()?),
            "deleted" => return Some(Self::Deleted(u64::from_be_bytes(id.try_into().ok()?))),
            _ => return None,
        };
        Some(Self::Row(key))
    }
}

/// Returns the rows that have changed since a snapshot that may not contain transactions from `oldest_missing` on.
fn collect_rows(changes: Vec<Change>, oldest_missing: u64) -> ChangedRows {
    if i64::try_from(changes.len()).unwrap_or(i64::MAX) >= MAX_CHANGES {
        return ChangedRows::All;
    }
    let mut keys = Vec::with_capacity(changes.len());
    for change in changes {
        match change {
            Change::Row(key) => keys.push(key),
            // All deleted changes are older than the snapshot.
            Change::Deleted(transaction) if transaction < oldest_missing => {}
            Change::Deleted(_) | Change::All => return ChangedRows::All,
        }
    }
    ChangedRows::Keys(keys)
}

static CURRENT_SNAPSHOT: &Sql = sql!(
    "-- read the current snapshot
    SELECT CAST(pg_current_snapshot() AS TEXT) AS snapshot, CAST(NULL AS TEXT) AS kind, CAST(NULL AS BYTEA) AS id"
);

// A transaction that is not in the previous snapshot is either one of those that were running (`xip`), or a later one. The number
// of a transaction that began long ago and commits late is among the former.
static CHANGES: &Sql = sql!(
    "-- read the changes since a snapshot
    SELECT s.snapshot, c.kind, c.id
    FROM (SELECT CAST(pg_current_snapshot() AS TEXT) AS snapshot) s LEFT JOIN (
        SELECT kind, id FROM changes WHERE xid >= pg_snapshot_xmax(CAST(CAST(?1 AS TEXT) AS pg_snapshot))
        UNION ALL
        SELECT kind, id FROM changes
        WHERE xid = ANY(ARRAY(SELECT pg_snapshot_xip(CAST(CAST(?1 AS TEXT) AS pg_snapshot))))
        LIMIT ?2
    ) c ON TRUE"
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::ToValue;

    fn blob(value: &impl ToValue) -> Vec<u8> {
        match value.to_value() {
            Value::Blob(bytes) => bytes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_kind_of_change_names_its_row() {
        let (connection, client) = (ConnectionId::parse("con_a").unwrap(), ClientId::parse("dc-a").unwrap());
        let (provider, hash) = (ProviderId::new(1000), TokenHash::from_bytes(&[7; 36]).unwrap());
        let number = 1000_i64.to_be_bytes().to_vec();
        let registration = [number.clone(), blob(&client)].concat();

        for (kind, id, expected) in [
            ("connection", blob(&connection), Change::Row(RowKey::Connection(connection))),
            ("client", blob(&client), Change::Row(RowKey::Client(client.clone()))),
            ("registration", registration, Change::Row(RowKey::Registration(client, provider))),
            ("provider", number.clone(), Change::Row(RowKey::Provider(provider))),
            ("refresh_token", blob(&hash), Change::Row(RowKey::RefreshToken(hash))),
            ("deleted", number, Change::Deleted(1000)),
        ] {
            assert_eq!(Change::parse(kind, id), Some(expected), "{kind}");
        }
        assert_eq!(Change::parse("all", Vec::new()), None);
        assert_eq!(Change::parse("provider", vec![1]), None);
    }

    #[test]
    fn changes_that_may_be_missing_empty_the_map() {
        let row = || Change::Row(RowKey::Provider(ProviderId::new(1000)));
        let keys = ChangedRows::Keys(vec![RowKey::Provider(ProviderId::new(1000))]);

        assert_eq!(collect_rows(vec![row(), Change::Deleted(9)], 10), keys);
        assert_eq!(collect_rows(vec![row(), Change::Deleted(10)], 10), ChangedRows::All);
        assert_eq!(collect_rows(vec![row(), Change::All], 10), ChangedRows::All);
        let many = (0..MAX_CHANGES).map(|_| row()).collect();
        assert_eq!(collect_rows(many, 10), ChangedRows::All);
    }

    #[test]
    fn snapshot_begins_with_its_oldest_missing_transaction() {
        let snapshot = Snapshot::parse("10:20:10,14".into()).unwrap();

        assert_eq!((snapshot.oldest_missing, snapshot.text.as_str()), (10, "10:20:10,14"));
        assert!(Snapshot::parse("x".into()).is_err());
    }
}
