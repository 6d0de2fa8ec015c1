//! Combines lookups of the same kind that wait at the same time into one statement.
//!
//! A lookup by key costs PostgreSQL mostly the handling of the message, so one statement with an array of keys costs little
//! more than one key. Every statement is sent after the lookups that it contains have begun, so that none of them misses a commit that was
//! acknowledged before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::oneshot;

use super::pools::SessionPool;
use super::transaction::{FindRows, PostgresTx};
use crate::error::{Result, StoreError};
use crate::row::Row;
use crate::set_queue::SetQueue;
use crate::sql::Sql;
use crate::value::Value;

/// The maximum number of keys in one statement.
const MAX_KEYS: usize = 256;
/// The column of the result that contains the key of each row.
const KEY_COLUMN: &str = "lookup_key";

/// The queues of all kinds of lookups.
pub(super) struct LookupQueues {
    pool: SessionPool,
    /// The maximum number of lookups of one kind that wait; further ones fail with `Busy`.
    capacity: usize,
    /// The queue of each statement, by the address of the statement.
    queues: Mutex<HashMap<usize, Arc<LookupQueue>>>,
}

/// The queue of one statement.
struct LookupQueue {
    sql: &'static Sql,
    sets: Arc<SetQueue<WaitingLookup>>,
}

struct WaitingLookup {
    key: Vec<u8>,
    reply: oneshot::Sender<Result<Vec<Row>>>,
}

impl LookupQueues {
    pub(super) fn new(pool: SessionPool, capacity: usize) -> Self {
        Self { pool, capacity, queues: Mutex::default() }
    }

    async fn find_rows(&self, sql: &'static Sql, key: Value) -> Result<Vec<Row>> {
        let Value::Blob(key) = key else {
            return Err(StoreError::Internal("the key of a lookup is not a blob".into()));
        };
        let queue = self.queue(sql);
        let (reply, receiver) = oneshot::channel();
        let (sets, pool) = (Arc::clone(&queue.sets), self.pool.clone());
        sets.push(WaitingLookup { key, reply }, move |set| {
            let (queue, pool) = (Arc::clone(&queue), pool.clone());
            async move { queue.run_set(&pool, set).await }
        })?;
        receiver.await.unwrap_or_else(|_| Err(StoreError::Internal("a lookup was abandoned".into())))
    }

    fn queue(&self, sql: &'static Sql) -> Arc<LookupQueue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let new_queue = || {
            let sets = Arc::new(SetQueue::new(self.capacity, MAX_KEYS));
            Arc::new(LookupQueue { sql, sets })
        };
        Arc::clone(queues.entry(std::ptr::from_ref(sql).addr()).or_insert_with(new_queue))
    }
}

impl FindRows for LookupQueues {
    fn query<'a>(&'a self, sql: &'static Sql, params: &'a [Value]) -> BoxFuture<'a, Result<Vec<Row>>> {
        query_on(&self.pool, sql, params).boxed()
    }

    fn find(&self, sql: &'static Sql, key: Value) -> BoxFuture<'_, Result<Vec<Row>>> {
        self.find_rows(sql, key).boxed()
    }
}

impl LookupQueue {
    async fn run_set(&self, pool: &SessionPool, mut set: Vec<WaitingLookup>) {
        // A caller that went away needs no row.
        set.retain(|lookup| !lookup.reply.is_closed());
        if set.is_empty() {
            return;
        }
        let mut keys: Vec<Value> = set.iter().map(|lookup| Value::Blob(lookup.key.clone())).collect();
        // The database would return the row of a repeated key once, and each lookup gets a copy of it below.
        keys.sort_unstable_by(|a, b| key_bytes(a).cmp(key_bytes(b)));
        keys.dedup();
        let found = match query_on(pool, self.sql, &[Value::Array(keys)]).await {
            Ok(rows) => group_rows(rows),
            Err(error) => Err(error),
        };
        for lookup in set {
            let result = match &found {
                Ok(rows) => Ok(rows.get(&lookup.key).cloned().unwrap_or_default()),
                Err(error) => Err(error.repeat()),
            };
            // An error means that the caller no longer waits for the reply.
            drop(lookup.reply.send(result));
        }
    }
}

fn key_bytes(key: &Value) -> &[u8] {
    match key {
        Value::Blob(bytes) => bytes,
        _ => &[],
    }
}

fn group_rows(rows: Vec<Row>) -> Result<HashMap<Vec<u8>, Vec<Row>>> {
    let mut by_key: HashMap<Vec<u8>, Vec<Row>> = HashMap::with_capacity(rows.len());
    for mut row in rows {
        let key: Vec<u8> = row.get(KEY_COLUMN)?;
        by_key.entry(key).or_default().push(row);
    }
    Ok(by_key)
}

async fn query_on(pool: &SessionPool, sql: &'static Sql, params: &[Value]) -> Result<Vec<Row>> {
    let session = pool.check_out().await.map_err(StoreError::into_transient)?;
    let rows = {
        let mut tx = PostgresTx::for_query(&session);
        pool.run_limited(&session, tx.query(sql, params)).await?
    };
    let lease = pool.ensure_lease(&session);
    session.give_back();
    lease.and(rows)
}
