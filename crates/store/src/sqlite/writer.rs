//! The SQLite writer: one thread that commits many commands together.
//!
//! The commands of a batch first run in one transaction without savepoints, since a savepoint copies every page that a
//! command changes, and commands rarely fail. If one fails, the batch is rolled back and its commands run again, each
//! in a savepoint, so that only the failing one is undone. A command that runs again writes the same rows.
//!
//! Every reply is sent after the commit, rejections too. If SQLite cannot run a batch now, because another process has the
//! write lock or because the disk is full, the batch is rolled back, its callers get an error, and the next batch is
//! tried normally.
//!
//! If the file fails or a rollback fails, the writer gives up the store: after a failed fsync, a retry may report success
//! although pages were lost. All waiting callers get an error, and the process exits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::checkpointer::Checkpointer;
use super::map_updates::MapUpdates;
use super::queue::{PriorityQueue, WaitOutcome};
use super::transaction::{SqliteTx, poll_ready};
use super::write_ahead_log::WriteAheadLog;
use crate::commit_effect::CommitEffect;
use crate::deferred_statement::DeferredStatement;
use crate::error::{Result, StoreError};
use crate::settings::{StoreKeys, StoreSettings};
use crate::tx::Tx;
use crate::waiting_command::{BoxedCommand, WaitingCommand};

/// The maximum number of commands in one commit.
const MAX_BATCH_SIZE: usize = 512;
/// The time without a command after which the log is copied, and emptied once it is copied.
const IDLE_INTERVAL: Duration = Duration::from_millis(500);
/// The time that a batch waits while another process has the write lock. All commands wait for that long, so it is short.
const WRITE_LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// The minimum time between two warnings about commands that failed.
const WARNING_INTERVAL: Duration = Duration::from_secs(1);
/// The time between the last replies and the exit of a process that lost its store, so that callers can respond.
const EXIT_DELAY: Duration = Duration::from_millis(250);

pub(super) struct Writer {
    queue: Arc<PriorityQueue<QueuedCommand>>,
    thread: Option<std::thread::JoinHandle<()>>,
    /// Set by a failed batch, until a commit has written something.
    is_failing: Arc<AtomicBool>,
}

impl Writer {
    pub(super) fn start(
        mut connection: Connection,
        checkpointer: Checkpointer,
        updates: MapUpdates,
        settings: &StoreSettings,
    ) -> Result<Self> {
        connection.busy_timeout(WRITE_LOCK_TIMEOUT)?;
        let is_failing = Arc::new(AtomicBool::new(false));
        let wal = WriteAheadLog::new(&mut connection, checkpointer, Arc::clone(&is_failing))?;
        let queue = Arc::new(PriorityQueue::new(settings.queue_capacity));
        let thread = WriterThread {
            connection,
            queue: queue.clone(),
            keys: settings.keys.clone(),
            wal,
            updates,
            is_failing: Arc::clone(&is_failing),
            warnings: FailureWarnings::default(),
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || thread.run())
            .map_err(StoreError::internal)?;
        Ok(Self { queue, thread: Some(thread), is_failing })
    }

    /// Queues a command, which runs even if its reply is not awaited.
    pub(super) fn submit(&self, command: BoxedCommand) -> Result<()> {
        self.queue.push(command.kind(), QueuedCommand { command, result: None })
    }

    /// Returns whether a batch failed after the last commit that wrote something.
    pub(super) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
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

/// A command in the queue, with the result of its last run.
struct QueuedCommand {
    command: BoxedCommand,
    /// The result of the last run of the body; `None` before the first run.
    result: Option<Result<()>>,
}

/// The outcome of running the body of a command.
enum RunOutcome {
    /// The body succeeded and requested these effects.
    Ok(Vec<CommitEffect>),
    /// The body failed: its writes must be rolled back.
    Failed,
}

impl QueuedCommand {
    /// Runs the body. `Err` means that the batch cannot continue, not that the body failed.
    fn run(&mut self, connection: &mut Connection, keys: &StoreKeys) -> Result<RunOutcome> {
        // A panic must fail one command only: the writer thread serves all of them.
        let result = catch_unwind(AssertUnwindSafe(|| run_body(&mut *self.command, connection, keys)))
            .unwrap_or_else(|_| Err(StoreError::Internal("a command panicked".into())));
        let (result, outcome) = match result {
            Err(error @ StoreError::FileFailed(_)) => return Err(error),
            // Some errors, such as a full disk, make SQLite roll back the transaction. Statements would then commit one
            // by one, so the batch cannot continue.
            result if connection.is_autocommit() => {
                let reason = result.err().map_or_else(|| "no error".into(), |error| error.to_string());
                return Err(StoreError::Unavailable(format!("SQLite rolled back the whole batch: {reason}")));
            }
            Ok(effects) => (Ok(()), RunOutcome::Ok(effects)),
            Err(error) => (Err(error), RunOutcome::Failed),
        };
        self.result = Some(result);
        Ok(outcome)
    }

    /// Sends the reply after the commit, or the error that prevented the commit.
    fn send_reply(self, store_error: Option<&str>) {
        let result = match (store_error, self.result) {
            (None, Some(result)) => result,
            (error, _) => Err(StoreError::Unavailable(error.unwrap_or("the command did not run").to_owned())),
        };
        self.command.send_reply(result);
    }
}

/// Executes a statement that is prepared once for each connection.
fn execute_cached(connection: &Connection, sql: &str) -> Result<()> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

fn run_body(
    command: &mut dyn WaitingCommand,
    connection: &mut Connection,
    keys: &StoreKeys,
) -> Result<Vec<CommitEffect>> {
    let mut tx = Tx::for_command(SqliteTx::new(connection), keys, command.moment());
    poll_ready(command.run(&mut tx))?;
    let (deferred, effects) = tx.finish()?;
    run_deferred(&mut SqliteTx::new(connection), deferred)?;
    Ok(effects)
}

fn run_deferred(tx: &mut SqliteTx<'_>, deferred: Vec<DeferredStatement>) -> Result<()> {
    for statement in deferred {
        match statement {
            DeferredStatement::Single(sql, params) => tx.execute(sql, &params).map(drop)?,
            DeferredStatement::Rows(sql, rows) => {
                for row in rows {
                    tx.execute(sql, &row)?;
                }
            }
            DeferredStatement::Group(_, statements) => run_deferred(tx, statements)?,
        }
    }
    Ok(())
}

struct WriterThread {
    connection: Connection,
    queue: Arc<PriorityQueue<QueuedCommand>>,
    keys: StoreKeys,
    wal: WriteAheadLog,
    updates: MapUpdates,
    is_failing: Arc<AtomicBool>,
    warnings: FailureWarnings,
}

impl WriterThread {
    fn run(mut self) {
        loop {
            let checkpoint = match self.queue.wait(IDLE_INTERVAL) {
                WaitOutcome::Item(first) => self.run_and_reply(first),
                WaitOutcome::Idle => self.wal.handle_idle(&self.connection),
                WaitOutcome::Closed => return self.close(),
            };
            match checkpoint {
                Ok(()) => {}
                Err(error @ StoreError::FileFailed(_)) => self.give_up(&error, Vec::new()),
                // The commits are durable in the log, and the next checkpoint copies them.
                Err(error) => self.warnings.record(&error, 0),
            }
        }
    }

    /// Runs a batch and sends the replies. Returns the result of the checkpoint after it, which concerns no caller.
    fn run_and_reply(&mut self, first: QueuedCommand) -> Result<()> {
        let mut batch = vec![first];
        let error = match self.run_and_commit(&mut batch) {
            Ok(effects) => {
                for command in batch {
                    command.send_reply(None);
                }
                return self.wal.record_commit(&effects, &self.connection);
            }
            Err(error) => error,
        };
        if let Err(fatal) = self.undo_batch(&error) {
            self.give_up(&fatal, batch);
        }
        self.is_failing.store(true, Ordering::Relaxed);
        self.warnings.record(&error, batch.len());
        let error = error.to_string();
        for command in batch {
            command.send_reply(Some(&error));
        }
        Ok(())
    }

    /// Ends the transaction of a failed batch. Fails if the process must not continue.
    fn undo_batch(&self, error: &StoreError) -> Result<()> {
        if let StoreError::FileFailed(reason) = error {
            return Err(StoreError::FileFailed(reason.clone()));
        }
        // A full disk, for example, makes SQLite roll back automatically; a busy database leaves the transaction open.
        if self.connection.is_autocommit() {
            return Ok(());
        }
        // Without the rollback, a later batch would commit the writes of commands whose callers got an error.
        execute_cached(&self.connection, "ROLLBACK")
    }

    fn run_and_commit(&mut self, batch: &mut Vec<QueuedCommand>) -> Result<Vec<CommitEffect>> {
        if let Err(error) = execute_cached(&self.connection, "BEGIN IMMEDIATE") {
            // Commands that were queued while this one waited for the lock fail too. If each waited again, the last one
            // would wait for a multiple of the timeout.
            batch.extend(std::iter::from_fn(|| self.queue.pop()));
            return Err(error);
        }
        self.updates.discard();
        let effects = match self.run_batch(batch)? {
            Some(effects) => effects,
            None => self.run_isolated(batch)?,
        };
        // The replies are sent afterwards: from then on, no question may be answered from a state before the commit.
        self.updates.apply_commit(&self.connection, || execute_cached(&self.connection, "COMMIT"))?;
        Ok(effects)
    }

    /// Runs the waiting commands, and those that arrive in the meantime, without savepoints. Returns `None` if one
    /// failed.
    fn run_batch(&mut self, batch: &mut Vec<QueuedCommand>) -> Result<Option<Vec<CommitEffect>>> {
        let mut effects = Vec::new();
        while let Some(command) = batch.last_mut() {
            match command.run(&mut self.connection, &self.keys)? {
                RunOutcome::Ok(requested) => effects.extend(requested),
                RunOutcome::Failed => return Ok(None),
            }
            // The next command is added to the batch before it runs, because its caller must get a reply in any case.
            let next = if batch.len() < MAX_BATCH_SIZE { self.queue.pop() } else { None };
            let Some(next) = next else { break };
            batch.push(next);
        }
        Ok(Some(effects))
    }

    /// Runs a batch again, each command in a savepoint, so that a failing command does not affect the others.
    fn run_isolated(&mut self, batch: &mut [QueuedCommand]) -> Result<Vec<CommitEffect>> {
        execute_cached(&self.connection, "ROLLBACK")?;
        execute_cached(&self.connection, "BEGIN IMMEDIATE")?;
        let mut effects = Vec::new();
        for command in batch {
            execute_cached(&self.connection, "SAVEPOINT command")?;
            match command.run(&mut self.connection, &self.keys)? {
                RunOutcome::Ok(requested) => effects.extend(requested),
                RunOutcome::Failed => execute_cached(&self.connection, "ROLLBACK TO command")?,
            }
            // `ROLLBACK TO` keeps the savepoint, so it is released in both cases.
            execute_cached(&self.connection, "RELEASE command")?;
        }
        Ok(effects)
    }

    /// Copies the log into the file before the store closes.
    fn close(&mut self) {
        if let Err(error) = self.wal.close(&self.connection) {
            // Nothing is lost: every commit is durable in the log, from which the next start continues.
            tracing::error!(%error, "the last checkpoint of the store failed");
        }
    }

    /// Sends an error to every waiting caller and exits the process.
    fn give_up(&self, error: &StoreError, batch: Vec<QueuedCommand>) -> ! {
        tracing::error!(%error, "the store is lost");
        let error = error.to_string();
        // The queue is closed first, so that no command is added to it after the last one was taken.
        self.queue.close();
        for command in batch.into_iter().chain(std::iter::from_fn(|| self.queue.pop())) {
            command.send_reply(Some(&error));
        }
        exit_process()
    }
}

/// Warnings about batches that were rolled back, at most one per interval.
#[derive(Default)]
struct FailureWarnings {
    last_at: Option<Instant>,
    /// The number of commands that failed since the last warning.
    commands: usize,
}

impl FailureWarnings {
    #[expect(clippy::disallowed_methods, reason = "a duration within this process that is not stored")]
    fn record(&mut self, error: &StoreError, commands: usize) {
        self.commands += commands;
        let now = Instant::now();
        if self.last_at.is_none_or(|last| now.duration_since(last) >= WARNING_INTERVAL) {
            tracing::warn!(%error, commands = self.commands, "the store cannot be written; commands were rolled back");
            *self = Self { last_at: Some(now), commands: 0 };
        }
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc;

    use domain::id::Seed;
    use domain::{Moment, Timestamp};

    use super::*;
    use crate::operation::Command;
    use crate::settings::Location;
    use crate::sql::sql;
    use crate::value::values;
    use crate::waiting_command::box_command;

    /// A command for tests that writes a metadata entry, and then succeeds, fails or waits.
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
        crate::sqlite::migrate(&path, crate::migrate::StorePurpose::Hub).unwrap();
        let location = Location::Sqlite(path.clone());
        let settings = StoreSettings {
            location,
            connections: 1,
            queue_capacity: 100,
            access_map_bytes: 0,
            node_lease: Duration::ZERO,
            uptime: crate::settings::UptimeClock::for_tests(),
            keys: StoreKeys::for_tests(),
        };
        let store = crate::sqlite::Sqlite::open(&path, &settings).unwrap();
        let (started_sender, started) = mpsc::sync_channel(1);
        let (resume_sender, resume) = mpsc::channel();
        let start = |name, action| {
            let (command, reply) = box_command(build_put_metadata(name, action));
            store.start(command).unwrap();
            reply
        };
        let mut waiting = vec![start("first", TestAction::Wait(started_sender, Mutex::new(resume)))];
        started.recv().unwrap();

        waiting.push(start("second", TestAction::Succeed));
        waiting.push(start("fails", TestAction::Fail));
        waiting.push(start("panics", TestAction::Panic));
        waiting.push(start("last", TestAction::Succeed));
        assert_eq!(store.writer.queue.len(), 4);
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
                store.query(&crate::query::GetMetadata { name }).await.unwrap().is_some(),
                is_stored,
                "{name}"
            );
        }
    }
}
