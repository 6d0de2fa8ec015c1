//! The writer: one thread, many commands a commit.
//!
//! A batch first runs as one: savepoints copy every page that a command changes, and hardly a command fails. If one
//! does, the batch is rolled back and its commands run again, each in a savepoint, so that the one fails alone; a
//! body writes the same however often it runs.
//!
//! Every reply, refusals too, waits for the commit. If a savepoint, a rollback or a commit fails the store
//! is lost: an fsync that failed must not be tried again, so all that wait get an error and the process ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use domain::model::audit_event::AuditKey;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::queue::{Queue, WaitOutcome};
use super::{SqliteTx, block_on_ready};
use crate::commit_effect::CommitEffect;
use crate::error::{Result, StoreError};
use crate::{Command, StoreSettings, Tx};

/// The most commands in one commit.
const MAX_BATCH_SIZE: usize = 512;
/// How long the writer waits before it tidies the log.
const IDLE_INTERVAL: Duration = Duration::from_millis(500);
/// The longest that an ended connection's sealed tokens stay in the log under load.
const WAL_SECRET_TTL: Duration = Duration::from_secs(55);
/// Log pages after which the log is copied back even under load.
const MAX_WAL_PAGES: i32 = 16_000;

/// How long a process whose store is lost lives on, so that its refusals reach their callers.
const EXIT_DELAY: Duration = Duration::from_millis(250);

type BoxedCommand = Box<dyn ErasedCommand>;

pub(super) struct Writer {
    queue: Arc<Queue<BoxedCommand>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(mut connection: Connection, settings: &StoreSettings) -> Result<Self> {
        let log = WriteAheadLog::new(&mut connection)?;
        let queue = Arc::new(Queue::new(settings.queue_capacity));
        let thread = WriterThread {
            connection,
            queue: queue.clone(),
            audit_key: settings.audit_key.clone(),
            wal: log,
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || thread.run())
            .map_err(StoreError::internal)?;
        Ok(Self { queue, thread: Some(thread) })
    }

    pub(super) async fn run<C: Command>(&self, command: C) -> Result<C::Reply> {
        let (sender, receiver) = oneshot::channel();
        self.queue.push(C::PRIORITY, Box::new(QueuedCommand { command, reply: None, sender }))?;
        receiver.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the store was lost".into())))
    }
}

impl Drop for Writer {
    /// Waits for what was accepted to be durable.
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A command in the queue, whatever its type.
trait ErasedCommand: Send {
    /// Runs the body; says whether it succeeded. `Err` means that the store is lost.
    fn run(&mut self, connection: &mut Connection, key: &AuditKey) -> Result<RunOutcome>;
    /// Answers once the commit is durable, or was not.
    fn send_reply(self: Box<Self>, store_error: Option<&str>);
}

/// How a body went.
enum RunOutcome {
    /// It left these marks.
    Ok(Vec<CommitEffect>),
    /// What it wrote must go.
    Failed,
}

struct QueuedCommand<C: Command> {
    command: C,
    reply: Option<Result<C::Reply>>,
    sender: oneshot::Sender<Result<C::Reply>>,
}

impl<C: Command> ErasedCommand for QueuedCommand<C> {
    fn run(&mut self, connection: &mut Connection, key: &AuditKey) -> Result<RunOutcome> {
        let result = catch_unwind(AssertUnwindSafe(|| run_body(&self.command, connection, key)))
            .unwrap_or_else(|_| Err(StoreError::Internal("a command panicked".into())));
        if connection.is_autocommit() {
            return Err(StoreError::Internal("SQLite rolled the whole batch back".into()));
        }
        let (reply, outcome) = match result {
            Ok((reply, marks)) => (Ok(reply), RunOutcome::Ok(marks)),
            Err(error) => (Err(error), RunOutcome::Failed),
        };
        self.reply = Some(reply);
        Ok(outcome)
    }

    fn send_reply(self: Box<Self>, store_error: Option<&str>) {
        let reply = match (store_error, self.reply) {
            (None, Some(reply)) => reply,
            (lost, _) => Err(StoreError::Unavailable(lost.unwrap_or("the store was lost").to_owned())),
        };
        let _ = self.sender.send(reply);
    }
}

/// Runs a statement that every command needs, prepared once.
fn execute_cached(connection: &Connection, sql: &str) -> Result<()> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

fn run_body<C: Command>(
    command: &C,
    connection: &mut Connection,
    key: &AuditKey,
) -> Result<(C::Reply, Vec<CommitEffect>)> {
    let mut tx = Tx::for_sqlite(SqliteTx(connection), key, command.moment());
    let reply = block_on_ready(command.run(&mut tx))?;
    let (deferred, effects) = tx.finish()?;
    let mut arm = SqliteTx(connection);
    for (sql, params) in deferred {
        arm.execute(sql, &params)?;
    }
    Ok((reply, effects))
}

struct WriterThread {
    connection: Connection,
    queue: Arc<Queue<BoxedCommand>>,
    audit_key: AuditKey,
    wal: WriteAheadLog,
}

impl WriterThread {
    fn run(mut self) {
        loop {
            match self.queue.wait(IDLE_INTERVAL) {
                WaitOutcome::Item(first) => self.commit(first),
                WaitOutcome::Idle => self.wal.truncate(&self.connection),
                WaitOutcome::Closed => return self.wal.truncate(&self.connection),
            }
        }
    }

    fn commit(&mut self, first: BoxedCommand) {
        let mut batch = Vec::new();
        match self.run_and_commit(first, &mut batch) {
            Ok(marks) => {
                for slot in batch {
                    slot.send_reply(None);
                }
                self.wal.record_commit(&marks, &self.connection);
            }
            Err(error) => {
                tracing::error!(%error, "the store is lost");
                let lost = error.to_string();
                for slot in batch {
                    slot.send_reply(Some(&lost));
                }
                self.queue.close();
                while let Some(slot) = self.queue.pop() {
                    slot.send_reply(Some(&lost));
                }
                exit_process();
            }
        }
    }

    fn run_and_commit(
        &mut self,
        first: BoxedCommand,
        batch: &mut Vec<BoxedCommand>,
    ) -> Result<Vec<CommitEffect>> {
        execute_cached(&self.connection, "BEGIN IMMEDIATE")?;
        let effects = match self.run_batch(first, batch)? {
            Some(marks) => marks,
            None => self.run_isolated(batch)?,
        };
        execute_cached(&self.connection, "COMMIT")?;
        Ok(effects)
    }

    /// Runs what waits, and what comes meanwhile, without savepoints; none if a command failed.
    fn run_batch(
        &mut self,
        first: BoxedCommand,
        batch: &mut Vec<BoxedCommand>,
    ) -> Result<Option<Vec<CommitEffect>>> {
        let (mut marks, mut next) = (Vec::new(), Some(first));
        while let Some(mut slot) = next {
            let outcome = slot.run(&mut self.connection, &self.audit_key);
            batch.push(slot);
            match outcome? {
                RunOutcome::Ok(left) => marks.extend(left),
                RunOutcome::Failed => return Ok(None),
            }
            next = if batch.len() < MAX_BATCH_SIZE { self.queue.pop() } else { None };
        }
        Ok(Some(marks))
    }

    /// Runs a batch anew, so that only those fail that fail by themselves.
    fn run_isolated(&mut self, batch: &mut [BoxedCommand]) -> Result<Vec<CommitEffect>> {
        execute_cached(&self.connection, "ROLLBACK")?;
        execute_cached(&self.connection, "BEGIN IMMEDIATE")?;
        let mut effects = Vec::new();
        for slot in batch {
            execute_cached(&self.connection, "SAVEPOINT command")?;
            match slot.run(&mut self.connection, &self.audit_key)? {
                RunOutcome::Ok(left) => effects.extend(left),
                RunOutcome::Failed => execute_cached(&self.connection, "ROLLBACK TO command")?,
            }
            execute_cached(&self.connection, "RELEASE command")?;
        }
        Ok(effects)
    }
}

/// Ends the process: what is in memory no longer agrees with what is on disk. Those that wait have been
/// answered; they get the time to say so to their callers.
fn exit_process() -> ! {
    #[expect(
        clippy::disallowed_methods,
        reason = "a thread of its own that has nothing else to do any more"
    )]
    std::thread::sleep(EXIT_DELAY);
    std::process::exit(70)
}

/// The write-ahead log: copied back when there is time, and emptied soon after an end, because it may hold
/// the sealed tokens of a connection that is over.
struct WriteAheadLog {
    is_dirty: bool,
    secret_since: Option<Instant>,
    /// Pages in the log since it was last begun anew, as SQLite says after each commit.
    pages: Arc<AtomicI32>,
    /// Under load the log is copied back when it has so many pages.
    next_checkpoint_pages: i32,
}

impl WriteAheadLog {
    fn new(connection: &mut Connection) -> Result<Self> {
        let pages = Arc::new(AtomicI32::new(0));
        let page_count = Arc::clone(&pages);
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, now| {
            page_count.store(now, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self { is_dirty: false, secret_since: None, pages, next_checkpoint_pages: MAX_WAL_PAGES })
    }

    #[expect(clippy::disallowed_methods, reason = "a span of this process, never stored")]
    fn record_commit(&mut self, effects: &[CommitEffect], connection: &Connection) {
        self.is_dirty = true;
        if effects.contains(&CommitEffect::ConnectionEnded) && self.secret_since.is_none() {
            self.secret_since = Some(Instant::now());
        }
        let pages = self.pages.load(Ordering::Relaxed);
        if self.secret_since.is_some_and(|since| since.elapsed() >= WAL_SECRET_TTL) {
            self.truncate(connection);
        } else if pages < MAX_WAL_PAGES {
            self.next_checkpoint_pages = MAX_WAL_PAGES;
        } else if pages >= self.next_checkpoint_pages {
            // A reader may keep the log from beginning anew: it is not copied again until it has grown.
            checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)");
            self.next_checkpoint_pages = pages.saturating_add(MAX_WAL_PAGES);
        }
    }

    fn truncate(&mut self, connection: &Connection) {
        if self.is_dirty && checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)") {
            self.is_dirty = false;
            self.secret_since = None;
            self.pages.store(0, Ordering::Relaxed);
        }
    }
}

/// Whether the whole log was copied back.
fn checkpoint(connection: &Connection, pragma: &str) -> bool {
    connection.query_row(pragma, [], |row| row.get::<_, i64>(0)).is_ok_and(|busy| busy == 0)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc;

    use domain::id::Seed;
    use domain::{Moment, Timestamp};

    use super::*;
    use crate::Location;
    use crate::sql::sql;
    use crate::value::values;

    /// Writes a mark, and then does what it is told.
    struct PutMetadata {
        moment: Moment,
        name: String,
        action: TestAction,
    }

    enum TestAction {
        Succeed,
        Fail,
        Panic,
        /// Says that it runs, and holds the writer until the rest of the batch waits.
        Wait(mpsc::SyncSender<()>, Mutex<mpsc::Receiver<()>>),
    }

    impl Command for PutMetadata {
        type Reply = String;

        fn moment(&self) -> &Moment {
            &self.moment
        }

        async fn run(&self, tx: &mut Tx<'_>) -> Result<String> {
            let put = sql!("-- a test's mark\nINSERT INTO store_metadata (name, value) VALUES (?1, 'x')");
            tx.execute(put, values![self.name]).await?;
            match &self.action {
                TestAction::Succeed => {}
                TestAction::Fail => return Err(StoreError::Internal("told to fail".into())),
                TestAction::Panic => panic!("told to panic"),
                TestAction::Wait(runs, go) => {
                    let _ = runs.try_send(());
                    let _ = go.lock().map(|go| go.recv());
                }
            }
            Ok(self.name.clone())
        }
    }

    fn build_put_metadata(name: &str, then: TestAction) -> PutMetadata {
        let moment = Moment { now: Timestamp::EPOCH, seed: Seed::new([0; 16]), correlation_id: "".into() };
        PutMetadata { moment, name: name.into(), action: then }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn failing_command_in_batch_does_not_affect_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        crate::sqlite::migrate(&path).unwrap();
        let audit_key = AuditKey::new(1, &[1; 32]);
        let location = Location::Sqlite(path.clone());
        let settings = StoreSettings { location, connections: 1, queue_capacity: 100, audit_key };
        let store = Arc::new(crate::sqlite::Sqlite::open(&path, &settings).unwrap());
        let (runs, running) = mpsc::sync_channel(1);
        let (go, wait) = mpsc::channel();
        let run = |name, then| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.run(build_put_metadata(name, then)).await })
        };
        let mut waiting = vec![run("first", TestAction::Wait(runs, Mutex::new(wait)))];
        running.recv().unwrap();
        waiting.push(run("second", TestAction::Succeed));
        waiting.push(run("fails", TestAction::Fail));
        waiting.push(run("panics", TestAction::Panic));
        waiting.push(run("last", TestAction::Succeed));
        while store.writer.queue.len() < 4 {
            tokio::task::yield_now().await;
        }
        drop(go);
        let mut replies = Vec::new();
        for reply in waiting {
            replies.push(reply.await.unwrap().ok());
        }
        let names: Vec<_> = replies.iter().map(Option::as_deref).collect();
        assert_eq!(names, [Some("first"), Some("second"), None, None, Some("last")]);
        for (name, is_stored) in
            [("first", true), ("second", true), ("fails", false), ("panics", false), ("last", true)]
        {
            assert_eq!(
                store.query(&crate::query::GetMetadata { name }).unwrap().is_some(),
                is_stored,
                "{name}"
            );
        }
    }
}
