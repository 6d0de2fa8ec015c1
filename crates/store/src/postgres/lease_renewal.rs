//! Renews the lease of this node: a row of its own, whose commit waits for the synchronous standby like an end does.

use std::sync::Arc;
use std::time::Duration;

use domain::Moment;
use domain::id::Seed;
use domain::rule::node_lease::{MAX_LEASE, StoredLease, Timeline};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::lease_guard::LeaseGuard;
use super::pools::SessionPool;
use super::session::PostgresSession;
use super::transaction::{self, PostgresTx};
use crate::error::{Result, StoreError};
use crate::row::{FromRow, Row};
use crate::settings::{MIN_SESSIONS, StoreKeys};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// The number of renewals in the time for which one is valid, so that a single late one has no effect.
const RENEWALS_PER_LEASE: u32 = 3;
/// The age above which the lease of another node is deleted. Its node has ended long before.
const MAX_STORED_AGE: Duration = Duration::from_hours(24);

/// Renews the lease of this node on a pool of its own.
#[derive(Clone)]
pub(super) struct LeaseRenewal {
    pool: SessionPool,
    guard: Arc<LeaseGuard>,
    keys: StoreKeys,
    node_id: [u8; 16],
}

impl LeaseRenewal {
    pub(super) fn new(pool: SessionPool, guard: Arc<LeaseGuard>, keys: StoreKeys) -> Result<Self> {
        let mut node_id = [0; 16];
        getrandom::fill(&mut node_id).map_err(StoreError::internal)?;
        Ok(Self { pool, guard, keys, node_id })
    }

    /// Acquires the lease for the first time. On a new primary this takes as long as the leases of other nodes last.
    pub(super) async fn acquire(&self) -> Result<()> {
        loop {
            let remaining = self.renew().await?;
            if remaining.is_zero() {
                return Ok(());
            }
            tracing::warn!(
                ?remaining,
                "waiting until the leases of other nodes on the former primary have expired"
            );
            // A timer that never completes its operation. The clock of the guard decides whether enough time has passed.
            let _ = tokio::time::timeout(remaining.min(self.interval()), std::future::pending::<()>()).await;
        }
    }

    /// Renews the lease at an interval until the task is aborted.
    pub(super) async fn run(self) {
        let mut interval = interval(self.interval());
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewals = JoinSet::new();
        loop {
            tokio::select! {
                // A renewal that takes long does not delay the next one, because it may have met a server that is silent.
                _ = interval.tick() => {
                    if renewals.len() < MIN_SESSIONS {
                        let renewal = self.clone();
                        renewals.spawn(async move { renewal.renew().await });
                    }
                }
                Some(result) = renewals.join_next() => report(result.unwrap_or_else(|error| Err(StoreError::internal(error)))),
            }
        }
    }

    fn interval(&self) -> Duration {
        self.guard.duration() / RENEWALS_PER_LEASE
    }

    /// Renews the lease. Returns the time to wait until that is allowed, which is zero if the lease was renewed.
    async fn renew(&self) -> Result<Duration> {
        // The lease counts from here: everything that was acknowledged elsewhere after a promotion comes later.
        let sent_at = self.guard.uptime();
        let session = self.pool.check_out().await?;
        let timeline = session.timeline();
        // If the limit passes, the session is dropped here and closed.
        let remaining = self.pool.run_limited(&session, self.renew_on(&session)).await??;
        session.give_back();
        if remaining.is_zero() {
            self.guard.renew(timeline, sent_at);
        }
        Ok(remaining)
    }

    async fn renew_on(&self, session: &PostgresSession) -> Result<Duration> {
        let timeline = session.timeline();
        let now = session.verify().await?.now;
        let moment = Moment { now, seed: Seed::new(self.node_id), correlation_id: "lease".into() };
        let mut tx = Tx::for_command(PostgresTx::for_command(session), &self.keys, &moment);
        if !self.guard.has_accepted(timeline) {
            let stored: Vec<StoredLease> = tx.fetch_all(STORED_LEASES, &[]).await?;
            let remaining = self.guard.remaining_wait(timeline, &stored);
            if !remaining.is_zero() {
                transaction::roll_back(session).await?;
                return Ok(remaining);
            }
            tx.defer(DELETE_OLD_LEASES, values![now.minus(MAX_STORED_AGE)]);
        }
        let duration = i64::try_from(self.guard.duration().as_millis()).unwrap_or(i64::MAX);
        tx.defer(RENEW_LEASE, values![self.node_id.to_vec(), timeline.to_string(), duration, now]);
        let (deferred, _effects) = tx.finish()?;
        transaction::commit(session, deferred).await?;
        Ok(Duration::ZERO)
    }
}

fn report(result: Result<Duration>) {
    match result {
        Ok(remaining) if remaining.is_zero() => {}
        Ok(remaining) => {
            tracing::info!(
                ?remaining,
                "waiting until the leases of other nodes on the former primary have expired"
            );
        }
        Err(error) => tracing::warn!(%error, "the lease of this node was not renewed"),
    }
}

impl FromRow for StoredLease {
    fn from_row(row: &mut Row) -> Result<Self> {
        let timeline: String = row.get("timeline")?;
        let timeline: Timeline = timeline.parse().map_err(StoreError::internal)?;
        let duration: i64 = row.get("duration_ms")?;
        // A duration that is not a number of milliseconds counts as the longest one.
        Ok(Self { timeline, duration: u64::try_from(duration).map_or(MAX_LEASE, Duration::from_millis) })
    }
}

static STORED_LEASES: &Sql =
    sql!("-- list the leases of nodes\nSELECT timeline, duration_ms FROM node_leases");
static RENEW_LEASE: &Sql = sql!(
    "-- renew the lease of a node
    INSERT INTO node_leases (node_id, timeline, duration_ms, renewed_at) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (node_id) DO UPDATE SET timeline = excluded.timeline, duration_ms = excluded.duration_ms,
        renewed_at = excluded.renewed_at"
);
static DELETE_OLD_LEASES: &Sql =
    sql!("-- delete the leases of nodes that have ended\nDELETE FROM node_leases WHERE renewed_at < ?1");
