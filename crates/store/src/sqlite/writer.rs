//! The writer: one thread, many commands a commit.
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

use super::queue::{Next, Queue};
use super::{SqliteArm, at_once};
use crate::error::{Result, StoreError};
use crate::mark::Mark;
use crate::{Command, Settings, Tx};

/// The most commands in one commit.
const BATCH: usize = 512;
/// How long the writer waits before it tidies the log.
const IDLE: Duration = Duration::from_millis(500);
/// The longest that an ended connection's sealed tokens stay in the log under load.
const LOG_LIFE: Duration = Duration::from_secs(55);
/// Log pages after which the log is copied back even under load.
const LOG_PAGES: i32 = 16_000;

/// How long a process whose store is lost lives on, so that its refusals reach their callers.
const LAST_WORDS: Duration = Duration::from_millis(250);

type Waiting = Box<dyn Queued>;

pub(super) struct Writer {
    queue: Arc<Queue<Waiting>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(mut connection: Connection, settings: &Settings) -> Result<Self> {
        let log = Log::of(&mut connection)?;
        let queue = Arc::new(Queue::new(settings.queue));
        let thread = Thread { connection, queue: queue.clone(), audit_key: settings.audit_key.clone(), log };
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || thread.work())
            .map_err(StoreError::fault)?;
        Ok(Self { queue, thread: Some(thread) })
    }

    pub(super) async fn run<C: Command>(&self, command: C) -> Result<C::Reply> {
        let (sender, receiver) = oneshot::channel();
        self.queue.push(C::LANE, Box::new(Slot { command, reply: None, sender }))?;
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
trait Queued: Send {
    /// Runs the body in its savepoint. `Err` means that the store is lost.
    fn run(&mut self, connection: &mut Connection, key: &AuditKey) -> Result<Vec<Mark>>;
    /// Answers once the commit is durable, or was not.
    fn answer(self: Box<Self>, lost: Option<&str>);
}

struct Slot<C: Command> {
    command: C,
    reply: Option<Result<C::Reply>>,
    sender: oneshot::Sender<Result<C::Reply>>,
}

impl<C: Command> Queued for Slot<C> {
    fn run(&mut self, connection: &mut Connection, key: &AuditKey) -> Result<Vec<Mark>> {
        statement(connection, "SAVEPOINT command")?;
        let done = catch_unwind(AssertUnwindSafe(|| body(&self.command, connection, key)))
            .unwrap_or_else(|_| Err(StoreError::Fault("a command panicked".into())));
        if connection.is_autocommit() {
            return Err(StoreError::Fault("SQLite rolled the whole batch back".into()));
        }
        let (reply, marks) = match done {
            Ok((reply, marks)) => (Ok(reply), marks),
            Err(error) => {
                statement(connection, "ROLLBACK TO command")?;
                (Err(error), Vec::new())
            }
        };
        statement(connection, "RELEASE command")?;
        self.reply = Some(reply);
        Ok(marks)
    }

    fn answer(self: Box<Self>, lost: Option<&str>) {
        let reply = match (lost, self.reply) {
            (None, Some(reply)) => reply,
            (lost, _) => Err(StoreError::Unavailable(lost.unwrap_or("the store was lost").to_owned())),
        };
        let _ = self.sender.send(reply);
    }
}

/// Runs a statement that every command needs, prepared once.
fn statement(connection: &Connection, sql: &str) -> Result<()> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

fn body<C: Command>(
    command: &C,
    connection: &mut Connection,
    key: &AuditKey,
) -> Result<(C::Reply, Vec<Mark>)> {
    let mut tx = Tx::sqlite(SqliteArm(connection), key, command.moment());
    let reply = at_once(command.run(&mut tx))?;
    let (deferred, marks) = tx.finish()?;
    let mut arm = SqliteArm(connection);
    for (sql, params) in deferred {
        arm.execute(sql, &params)?;
    }
    Ok((reply, marks))
}

struct Thread {
    connection: Connection,
    queue: Arc<Queue<Waiting>>,
    audit_key: AuditKey,
    log: Log,
}

impl Thread {
    fn work(mut self) {
        loop {
            match self.queue.wait(IDLE) {
                Next::Item(first) => self.commit(first),
                Next::Idle => self.log.tidy(&self.connection),
                Next::Closed => return self.log.tidy(&self.connection),
            }
        }
    }

    fn commit(&mut self, first: Waiting) {
        let mut batch = Vec::new();
        match self.fill(first, &mut batch) {
            Ok(marks) => {
                for slot in batch {
                    slot.answer(None);
                }
                self.log.committed(&marks, &self.connection);
            }
            Err(error) => {
                tracing::error!(%error, "the store is lost");
                let lost = error.to_string();
                for slot in batch {
                    slot.answer(Some(&lost));
                }
                self.queue.close();
                while let Some(slot) = self.queue.pop() {
                    slot.answer(Some(&lost));
                }
                give_up();
            }
        }
    }

    fn fill(&mut self, first: Waiting, batch: &mut Vec<Waiting>) -> Result<Vec<Mark>> {
        let mut marks = Vec::new();
        let mut next = Some(first);
        statement(&self.connection, "BEGIN IMMEDIATE")?;
        while let Some(slot) = next {
            batch.push(slot);
            if let Some(slot) = batch.last_mut() {
                marks.extend(slot.run(&mut self.connection, &self.audit_key)?);
            }
            next = if batch.len() < BATCH { self.queue.pop() } else { None };
        }
        statement(&self.connection, "COMMIT")?;
        Ok(marks)
    }
}

/// Ends the process: what is in memory no longer agrees with what is on disk. Those that wait have been
/// answered; they get the time to say so to their callers.
fn give_up() -> ! {
    #[expect(
        clippy::disallowed_methods,
        reason = "a thread of its own that has nothing else to do any more"
    )]
    std::thread::sleep(LAST_WORDS);
    std::process::exit(70)
}

/// The write-ahead log: copied back when there is time, and emptied soon after an end, because it may hold
/// the sealed tokens of a connection that is over.
struct Log {
    used: bool,
    secret_since: Option<Instant>,
    /// Pages in the log since it was last begun anew, as SQLite says after each commit.
    pages: Arc<AtomicI32>,
    /// Under load the log is copied back when it has so many pages.
    copied_at: i32,
}

impl Log {
    fn of(connection: &mut Connection) -> Result<Self> {
        let pages = Arc::new(AtomicI32::new(0));
        let seen = Arc::clone(&pages);
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, now| {
            seen.store(now, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self { used: false, secret_since: None, pages, copied_at: LOG_PAGES })
    }

    #[expect(clippy::disallowed_methods, reason = "a span of this process, never stored")]
    fn committed(&mut self, marks: &[Mark], connection: &Connection) {
        self.used = true;
        if marks.contains(&Mark::Ended) && self.secret_since.is_none() {
            self.secret_since = Some(Instant::now());
        }
        let pages = self.pages.load(Ordering::Relaxed);
        if self.secret_since.is_some_and(|since| since.elapsed() >= LOG_LIFE) {
            self.tidy(connection);
        } else if pages < LOG_PAGES {
            self.copied_at = LOG_PAGES;
        } else if pages >= self.copied_at {
            // A reader may keep the log from beginning anew: it is not copied again until it has grown.
            checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)");
            self.copied_at = pages.saturating_add(LOG_PAGES);
        }
    }

    fn tidy(&mut self, connection: &Connection) {
        if self.used && checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)") {
            self.used = false;
            self.secret_since = None;
            self.pages.store(0, Ordering::Relaxed);
        }
    }
}

/// Whether the whole log was copied back.
fn checkpoint(connection: &Connection, pragma: &str) -> bool {
    connection.query_row(pragma, [], |row| row.get::<_, i64>(0)).is_ok_and(|busy| busy == 0)
}
