//! The SQLite writer: one thread that commits many commands together.
//!
//! The commands of a batch first run in one transaction without savepoints, since a savepoint copies every page that a
//! command changes, and commands rarely fail. If one fails, the batch is rolled back and its commands run again, each
//! in a savepoint, so that only the failing one is undone. A command that runs again writes the same rows.
//!
//! Every reply is sent after the commit, rejections too. If a savepoint, a rollback or a commit fails, the writer gives
//! up the store: after a failed fsync, a retry may report success although pages were lost. All waiting callers get an
//! error, and the process exits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use domain::model::audit_event::AuditKey;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::queue::{PriorityQueue, WaitOutcome};
use super::transaction::{SqliteTx, poll_ready};
use crate::commit_effect::CommitEffect;
use crate::error::{Result, StoreError};
use crate::operation::Command;
use crate::settings::StoreSettings;
use crate::tx::Tx;

/// The maximum number of commands in one commit.
const MAX_BATCH_SIZE: usize = 512;
/// The time without a command after which the writer truncates the log.
const IDLE_INTERVAL: Duration = Duration::from_millis(500);
/// The longest time that sealed tokens of an ended connection may stay in the log while commands keep coming.
const WAL_SECRET_TTL: Duration = Duration::from_secs(55);
/// The number of pages in the log after which a checkpoint runs even while commands keep coming.
const MAX_WAL_PAGES: i32 = 16_000;
/// The time between the last replies and the exit of a process that lost its store, so that callers can respond.
const EXIT_DELAY: Duration = Duration::from_millis(250);

type BoxedCommand = Box<dyn ErasedCommand>;

pub(super) struct Writer {
    queue: Arc<PriorityQueue<BoxedCommand>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(mut connection: Connection, settings: &StoreSettings) -> Result<Self> {
        let wal = WriteAheadLog::new(&mut connection)?;
        let queue = Arc::new(PriorityQueue::new(settings.queue_capacity));
        let thread =
            WriterThread { connection, queue: queue.clone(), audit_key: settings.audit_key.clone(), wal };
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || thread.run())
            .map_err(StoreError::internal)?;
        Ok(Self { queue, thread: Some(thread) })
    }

    pub(super) async fn run<C: Command>(&self, command: C) -> Result<C::Reply> {
        let (sender, receiver) = oneshot::channel();
        self.queue.push(C::KIND, Box::new(QueuedCommand { command, reply: None, sender }))?;
        receiver.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the store was lost".into())))
    }
}

impl Drop for Writer {
    /// Waits until every accepted command is durable.
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A queued command of any type.
trait ErasedCommand: Send {
    /// Runs the body. `Err` means that the store is lost, not that the body failed.
    fn run(&mut self, connection: &mut Connection, key: &AuditKey) -> Result<RunOutcome>;
    /// Sends the reply after the commit, or the error that prevented the commit.
    fn send_reply(self: Box<Self>, store_error: Option<&str>);
}

/// The outcome of running the body of a command.
enum RunOutcome {
    /// The body succeeded and requested these effects.
    Ok(Vec<CommitEffect>),
    /// The body failed: its writes must be rolled back.
    Failed,
}

struct QueuedCommand<C: Command> {
    command: C,
    /// The result of the last run.
    reply: Option<Result<C::Reply>>,
    sender: oneshot::Sender<Result<C::Reply>>,
}

impl<C: Command> ErasedCommand for QueuedCommand<C> {
    fn run(&mut self, connection: &mut Connection, key: &AuditKey) -> Result<RunOutcome> {
        // A panic must fail one command only: the writer thread serves all of them.
        let result = catch_unwind(AssertUnwindSafe(|| run_body(&self.command, connection, key)))
            .unwrap_or_else(|_| Err(StoreError::Internal("a command panicked".into())));
        // Some errors, such as a full disk, make SQLite roll back the transaction. Statements would then commit one by
        // one, so the batch cannot continue.
        if connection.is_autocommit() {
            return Err(StoreError::Internal("SQLite rolled back the whole batch".into()));
        }
        let (reply, outcome) = match result {
            Ok((reply, effects)) => (Ok(reply), RunOutcome::Ok(effects)),
            Err(error) => (Err(error), RunOutcome::Failed),
        };
        self.reply = Some(reply);
        Ok(outcome)
    }

    fn send_reply(self: Box<Self>, store_error: Option<&str>) {
        let reply = match (store_error, self.reply) {
            (None, Some(reply)) => reply,
            (error, _) => Err(StoreError::Unavailable(error.unwrap_or("the store was lost").to_owned())),
        };
        // An error means that the caller no longer waits for the reply.
        let _ = self.sender.send(reply);
    }
}

/// Executes a statement that is prepared once for each connection.
fn execute_cached(connection: &Connection, sql: &str) -> Result<()> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

fn run_body<C: Command>(
    command: &C,
    connection: &mut Connection,
    key: &AuditKey,
) -> Result<(C::Reply, Vec<CommitEffect>)> {
    let mut tx = Tx::for_command(SqliteTx::new(connection), key, command.moment());
    let reply = poll_ready(command.run(&mut tx))?;
    let (deferred, effects) = tx.finish()?;
    let mut tx = SqliteTx::new(connection);
    for (sql, params) in deferred {
        tx.execute(sql, &params)?;
    }
    Ok((reply, effects))
}

struct WriterThread {
    connection: Connection,
    queue: Arc<PriorityQueue<BoxedCommand>>,
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
            Ok(effects) => {
                for command in batch {
                    command.send_reply(None);
                }
                self.wal.record_commit(&effects, &self.connection);
            }
            Err(error) => {
                tracing::error!(%error, "the store is lost");
                let error = error.to_string();
                for command in batch {
                    command.send_reply(Some(&error));
                }
                self.queue.close();
                while let Some(command) = self.queue.pop() {
                    command.send_reply(Some(&error));
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
            Some(effects) => effects,
            None => self.run_isolated(batch)?,
        };
        execute_cached(&self.connection, "COMMIT")?;
        Ok(effects)
    }

    /// Runs the waiting commands, and those that arrive in the meantime, without savepoints. Returns `None` if one
    /// failed.
    fn run_batch(
        &mut self,
        first: BoxedCommand,
        batch: &mut Vec<BoxedCommand>,
    ) -> Result<Option<Vec<CommitEffect>>> {
        let (mut effects, mut next) = (Vec::new(), Some(first));
        while let Some(mut command) = next {
            let outcome = command.run(&mut self.connection, &self.audit_key);
            // The command is added to the batch before `?` can return, because its caller must get a reply in any case.
            batch.push(command);
            match outcome? {
                RunOutcome::Ok(requested) => effects.extend(requested),
                RunOutcome::Failed => return Ok(None),
            }
            next = if batch.len() < MAX_BATCH_SIZE { self.queue.pop() } else { None };
        }
        Ok(Some(effects))
    }

    /// Runs a batch again, each command in a savepoint, so that a failing command does not affect the others.
    fn run_isolated(&mut self, batch: &mut [BoxedCommand]) -> Result<Vec<CommitEffect>> {
        execute_cached(&self.connection, "ROLLBACK")?;
        execute_cached(&self.connection, "BEGIN IMMEDIATE")?;
        let mut effects = Vec::new();
        for command in batch {
            execute_cached(&self.connection, "SAVEPOINT command")?;
            match command.run(&mut self.connection, &self.audit_key)? {
                RunOutcome::Ok(requested) => effects.extend(requested),
                RunOutcome::Failed => execute_cached(&self.connection, "ROLLBACK TO command")?,
            }
            // `ROLLBACK TO` keeps the savepoint, so it is released in both cases.
            execute_cached(&self.connection, "RELEASE command")?;
        }
        Ok(effects)
    }
}

/// Exits the process, because the state in memory no longer agrees with the file.
fn exit_process() -> ! {
    #[expect(
        clippy::disallowed_methods,
        reason = "the writer thread has nothing else to do, and callers need time to send their error responses"
    )]
    std::thread::sleep(EXIT_DELAY);
    // 70 is EX_SOFTWARE of sysexits.h.
    std::process::exit(70)
}

/// The write-ahead log. A checkpoint copies it into the database file and empties it when the writer is idle. After a
/// connection has ended, this happens within a minute even if the writer is busy, because the log may contain the
/// sealed tokens of that connection.
struct WriteAheadLog {
    /// Whether the log contains commits that are not in the database file.
    is_dirty: bool,
    /// The time of the first end of a connection since the log was last emptied. The log may contain its sealed tokens.
    secret_since: Option<Instant>,
    /// The number of pages in the log, as SQLite reports it after each commit.
    pages: Arc<AtomicI32>,
    /// The number of pages at which the next checkpoint runs while commands keep coming.
    next_checkpoint_pages: i32,
}

impl WriteAheadLog {
    fn new(connection: &mut Connection) -> Result<Self> {
        let pages = Arc::new(AtomicI32::new(0));
        let page_count = Arc::clone(&pages);
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count| {
            page_count.store(count, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self { is_dirty: false, secret_since: None, pages, next_checkpoint_pages: MAX_WAL_PAGES })
    }

    #[expect(clippy::disallowed_methods, reason = "a duration within this process that is not stored")]
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
            // A reader may prevent SQLite from starting the log again from its beginning. To avoid copying the same
            // pages again, the next checkpoint waits until the log has grown by as many pages.
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

/// Runs a checkpoint and returns whether it completed. A reader may prevent that; the next checkpoint then completes
/// the work.
fn checkpoint(connection: &Connection, pragma: &str) -> bool {
    connection.query_row(pragma, [], |row| row.get::<_, i64>("busy")).is_ok_and(|busy| busy == 0)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc;

    use domain::id::Seed;
    use domain::{Moment, Timestamp};

    use super::*;
    use crate::settings::Location;
    use crate::sql::sql;
    use crate::value::values;

    /// A command that writes a metadata entry, and then succeeds, fails or waits.
    struct PutMetadata {
        moment: Moment,
        name: String,
        action: TestAction,
    }

    enum TestAction {
        Succeed,
        Fail,
        Panic,
        /// Reports that the command runs, and blocks the writer until the test has queued the other commands.
        Wait(mpsc::SyncSender<()>, Mutex<mpsc::Receiver<()>>),
    }

    impl Command for PutMetadata {
        type Reply = String;

        fn moment(&self) -> &Moment {
            &self.moment
        }

        async fn run(&self, tx: &mut Tx<'_>) -> Result<String> {
            let put = sql!(
                "-- write a metadata entry of a test\nINSERT INTO store_metadata (name, value) VALUES (?1, 'x')"
            );
            tx.execute(put, values![self.name]).await?;
            match &self.action {
                TestAction::Succeed => {}
                TestAction::Fail => return Err(StoreError::Internal("the test's error".into())),
                TestAction::Panic => panic!("the test's panic"),
                TestAction::Wait(started, resume) => {
                    let _ = started.try_send(());
                    let _ = resume.lock().map(|resume| resume.recv());
                }
            }
            Ok(self.name.clone())
        }
    }

    fn build_put_metadata(name: &str, action: TestAction) -> PutMetadata {
        let moment = Moment { now: Timestamp::EPOCH, seed: Seed::new([0; 16]), correlation_id: "".into() };
        PutMetadata { moment, name: name.into(), action }
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
        let (started_sender, started) = mpsc::sync_channel(1);
        let (resume_sender, resume) = mpsc::channel();
        let run = |name, action| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.run(build_put_metadata(name, action)).await })
        };
        let mut waiting = vec![run("first", TestAction::Wait(started_sender, Mutex::new(resume)))];
        started.recv().unwrap();

        waiting.push(run("second", TestAction::Succeed));
        waiting.push(run("fails", TestAction::Fail));
        waiting.push(run("panics", TestAction::Panic));
        waiting.push(run("last", TestAction::Succeed));
        while store.writer.queue.len() < 4 {
            tokio::task::yield_now().await;
        }
        drop(resume_sender);
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
