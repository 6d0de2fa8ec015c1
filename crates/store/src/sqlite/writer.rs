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
    /// Runs the body; says whether it succeeded. `Err` means that the store is lost.
    fn run(&mut self, connection: &mut Connection, key: &AuditKey) -> Result<Ran>;
    /// Answers once the commit is durable, or was not.
    fn answer(self: Box<Self>, lost: Option<&str>);
}

/// How a body went.
enum Ran {
    /// It left these marks.
    Well(Vec<Mark>),
    /// What it wrote must go.
    Badly,
}

struct Slot<C: Command> {
    command: C,
    reply: Option<Result<C::Reply>>,
    sender: oneshot::Sender<Result<C::Reply>>,
}

impl<C: Command> Queued for Slot<C> {
    fn run(&mut self, connection: &mut Connection, key: &AuditKey) -> Result<Ran> {
        let done = catch_unwind(AssertUnwindSafe(|| body(&self.command, connection, key)))
            .unwrap_or_else(|_| Err(StoreError::Fault("a command panicked".into())));
        if connection.is_autocommit() {
            return Err(StoreError::Fault("SQLite rolled the whole batch back".into()));
        }
        let (reply, ran) = match done {
            Ok((reply, marks)) => (Ok(reply), Ran::Well(marks)),
            Err(error) => (Err(error), Ran::Badly),
        };
        self.reply = Some(reply);
        Ok(ran)
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
        statement(&self.connection, "BEGIN IMMEDIATE")?;
        let marks = match self.together(first, batch)? {
            Some(marks) => marks,
            None => self.one_by_one(batch)?,
        };
        statement(&self.connection, "COMMIT")?;
        Ok(marks)
    }

    /// Runs what waits, and what comes meanwhile, without savepoints; none if a command failed.
    fn together(&mut self, first: Waiting, batch: &mut Vec<Waiting>) -> Result<Option<Vec<Mark>>> {
        let (mut marks, mut next) = (Vec::new(), Some(first));
        while let Some(mut slot) = next {
            let ran = slot.run(&mut self.connection, &self.audit_key);
            batch.push(slot);
            match ran? {
                Ran::Well(left) => marks.extend(left),
                Ran::Badly => return Ok(None),
            }
            next = if batch.len() < BATCH { self.queue.pop() } else { None };
        }
        Ok(Some(marks))
    }

    /// Runs a batch anew, so that only those fail that fail by themselves.
    fn one_by_one(&mut self, batch: &mut [Waiting]) -> Result<Vec<Mark>> {
        statement(&self.connection, "ROLLBACK")?;
        statement(&self.connection, "BEGIN IMMEDIATE")?;
        let mut marks = Vec::new();
        for slot in batch {
            statement(&self.connection, "SAVEPOINT command")?;
            match slot.run(&mut self.connection, &self.audit_key)? {
                Ran::Well(left) => marks.extend(left),
                Ran::Badly => statement(&self.connection, "ROLLBACK TO command")?,
            }
            statement(&self.connection, "RELEASE command")?;
        }
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
    struct Write {
        moment: Moment,
        name: String,
        then: Then,
    }

    enum Then {
        Succeed,
        Fail,
        Panic,
        /// Says that it runs, and holds the writer until the rest of the batch waits.
        Wait(mpsc::SyncSender<()>, Mutex<mpsc::Receiver<()>>),
    }

    impl Command for Write {
        type Reply = String;

        fn moment(&self) -> &Moment {
            &self.moment
        }

        async fn run(&self, tx: &mut Tx<'_>) -> Result<String> {
            let put = sql!("-- a test's mark\nINSERT INTO marks (name, value) VALUES (?1, 'x')");
            tx.execute(put, values![self.name]).await?;
            match &self.then {
                Then::Succeed => {}
                Then::Fail => return Err(StoreError::Fault("told to fail".into())),
                Then::Panic => panic!("told to panic"),
                Then::Wait(runs, go) => {
                    let _ = runs.try_send(());
                    let _ = go.lock().map(|go| go.recv());
                }
            }
            Ok(self.name.clone())
        }
    }

    fn write(name: &str, then: Then) -> Write {
        let moment = Moment { now: Timestamp::EPOCH, seed: Seed::new([0; 16]), correlation_id: "".into() };
        Write { moment, name: name.into(), then }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_that_fails_in_a_batch_fails_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        crate::sqlite::migrate(&path).unwrap();
        let audit_key = AuditKey::new(1, &[1; 32]);
        let location = Location::Sqlite(path.clone());
        let settings = Settings { location, connections: 1, queue: 100, audit_key };
        let store = Arc::new(crate::sqlite::Sqlite::open(&path, &settings).unwrap());
        let (runs, running) = mpsc::sync_channel(1);
        let (go, wait) = mpsc::channel();
        let run = |name, then| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.run(write(name, then)).await })
        };
        let mut waiting = vec![run("first", Then::Wait(runs, Mutex::new(wait)))];
        running.recv().unwrap();
        waiting.push(run("second", Then::Succeed));
        waiting.push(run("fails", Then::Fail));
        waiting.push(run("panics", Then::Panic));
        waiting.push(run("last", Then::Succeed));
        while store.writer.queue.len() < 4 {
            tokio::task::yield_now().await;
        }
        drop(go);
        let mut replies = Vec::new();
        for reply in waiting {
            replies.push(reply.await.unwrap().ok());
        }
        let said: Vec<_> = replies.iter().map(Option::as_deref).collect();
        assert_eq!(said, [Some("first"), Some("second"), None, None, Some("last")]);
        for (name, there) in
            [("first", true), ("second", true), ("fails", false), ("panics", false), ("last", true)]
        {
            assert_eq!(store.ask(&crate::query::MarkOf { name }).unwrap().is_some(), there, "{name}");
        }
    }
}
