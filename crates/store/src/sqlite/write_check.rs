//! Checks whether the SQLite file can be written, for the readiness of the hub.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::id::Seed;
use domain::{Moment, Timestamp};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use super::writer::Writer;
use crate::error::{Result, StoreError};
use crate::operation::{Command, CommandKind};
use crate::sql::sql;
use crate::tx::Tx;
use crate::waiting_command::box_command;

/// The time for which a result is used again, so that probes cannot load the writer.
const RESULT_TTL: Duration = Duration::from_secs(1);
/// The time after which a check without a result counts as failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// The result of the last check, or the check that still runs.
#[derive(Default)]
pub(super) struct WriteCheck(Mutex<Option<StartedCheck>>);

struct StartedCheck {
    started_at: Instant,
    outcome: Shared<BoxFuture<'static, bool>>,
}

impl WriteCheck {
    /// Returns whether the writer can commit, which the readiness of the hub depends on.
    pub(super) async fn run(&self, writer: &Writer) -> bool {
        let outcome = self.start(writer);
        tokio::time::timeout(CHECK_TIMEOUT, outcome).await.unwrap_or(false)
    }

    /// Starts a check, or returns the current one: at most one runs at a time, even if each caller gives up waiting.
    #[expect(clippy::disallowed_methods, reason = "a duration within this process that is not stored")]
    fn start(&self, writer: &Writer) -> Shared<BoxFuture<'static, bool>> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(check) = &*current
            && (check.outcome.peek().is_none() || check.started_at.elapsed() < RESULT_TTL)
        {
            return check.outcome.clone();
        }
        // Without a failure, an empty transaction suffices: it needs the write lock, but writes nothing. After a failure
        // only a real write shows whether the disk is still full.
        // The command stores no time and derives no ids.
        let moment = Moment { now: Timestamp::EPOCH, seed: Seed::new([0; 16]), correlation_id: "".into() };
        let (check, reply) = box_command(CheckWrites { moment, writes: writer.is_failing() });
        let outcome = match writer.submit(check) {
            Ok(()) => async { matches!(reply.await, Ok(Ok(()))) }.boxed(),
            // A full queue shows load, not that the file cannot be written.
            Err(error) => std::future::ready(matches!(error, StoreError::Busy)).boxed(),
        }
        .shared();
        *current = Some(StartedCheck { started_at: Instant::now(), outcome: outcome.clone() });
        outcome
    }
}

/// A command that needs the write lock, and writes only if `writes` is set.
struct CheckWrites {
    moment: Moment,
    writes: bool,
}

impl Command for CheckWrites {
    type Reply = ();
    // The queue of the other commands may be full although the writer works.
    const KIND: CommandKind = CommandKind::End;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        if self.writes {
            // The value changes each time, because SQLite does not write a page whose content stays the same.
            let toggle = sql!(
                "-- check that the store can be written
                INSERT INTO store_metadata (name, value) VALUES ('write_check', '0')
                ON CONFLICT (name) DO UPDATE
                SET value = CASE WHEN store_metadata.value = '0' THEN '1' ELSE '0' END"
            );
            tx.execute(toggle, &[]).await?;
        }
        Ok(())
    }
}
