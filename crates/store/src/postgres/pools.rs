//! Pools of sessions, one for each kind of operation, so that no kind can use up what another one needs.

use std::ops::Deref;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool::managed::{Object, Pool, PoolError, TimeoutType};
use futures_util::future::{FutureExt, join, join_all};
use tokio::time::{Instant, timeout};

use super::lease_guard::LeaseGuard;
use super::options::ConnectOptions;
use super::session::{PostgresSession, SessionManager, StatementLimits};
use crate::error::{Result, StoreError};
use crate::operation::{CommandKind, QueryKind};
use crate::settings::{MIN_SESSIONS, PostgresSettings, StoreSettings};

/// The time between the server's limit and the client's. The server normally reports that its limit has passed; only if
/// it does not respond at all does the client give up.
const RESPONSE_MARGIN: Duration = Duration::from_secs(1);
/// The maximum time for cancelling a statement whose caller has gone away.
const CANCEL_LIMIT: Duration = Duration::from_secs(1);

/// The limits in time of one kind of operation.
#[derive(Clone, Copy, Debug)]
struct OperationLimits {
    statement_timeout: Duration,
    lock_timeout: Duration,
    /// The maximum time to wait for a free session.
    wait: Duration,
    /// See [`StatementLimits::reads_by_key`].
    reads_by_key: bool,
}

impl OperationLimits {
    const fn from_secs(statement_timeout: u64, lock_timeout: u64, wait: u64) -> Self {
        Self {
            statement_timeout: Duration::from_secs(statement_timeout),
            lock_timeout: Duration::from_secs(lock_timeout),
            wait: Duration::from_secs(wait),
            reads_by_key: true,
        }
    }
}

const LOOKUP_LIMITS: OperationLimits = OperationLimits::from_secs(2, 2, 2);
// An end waits for a locked row for less time than its statements may take, so that a few locked rows do not use up the
// sessions of all other ends.
const END_LIMITS: OperationLimits = OperationLimits::from_secs(5, 2, 3);
// A row that another transaction has locked is probably being refreshed or ended: waiting for it is of no use to a lease.
const LEASE_LIMITS: OperationLimits = OperationLimits::from_secs(3, 1, 2);
const COMMAND_LIMITS: OperationLimits = OperationLimits::from_secs(10, 5, 5);
const SEARCH_LIMITS: OperationLimits =
    OperationLimits { reads_by_key: false, ..OperationLimits::from_secs(15, 5, 5) };
const MONITORING_LIMITS: OperationLimits =
    OperationLimits { reads_by_key: false, ..OperationLimits::from_secs(2, 1, 2) };
const RENEWAL_LIMITS: OperationLimits = OperationLimits::from_secs(1, 1, 1);

/// The pools of a store: one for each kind of command and query, one for read barriers, and one for the renewals of the node's
/// lease.
pub(super) struct Pools {
    renewals: SessionPool,
    barriers: SessionPool,
    lookups: SessionPool,
    ends: SessionPool,
    leases: SessionPool,
    commands: SessionPool,
    searches: SessionPool,
    monitoring: SessionPool,
}

impl Pools {
    /// Creates empty pools. Sessions are opened when they are needed.
    pub(super) fn new(
        postgres: &PostgresSettings,
        settings: &StoreSettings,
        lease: &Arc<LeaseGuard>,
    ) -> Result<Self> {
        let connect_limit = ConnectOptions::parse(postgres).map_err(StoreError::Incompatible)?.connect_limit;
        let generation = Arc::new(AtomicU64::new(0));
        let share = settings.sessions_per_pool();
        let new_pool_for = |limits: OperationLimits, size, renews| {
            let manager = SessionManager {
                settings: postgres.clone(),
                limits: StatementLimits {
                    statement_timeout: limits.statement_timeout,
                    lock_timeout: limits.lock_timeout,
                    reads_by_key: limits.reads_by_key,
                },
                generation: Arc::clone(&generation),
                lease: Arc::clone(lease),
                renews,
            };
            let pool = Pool::builder(manager)
                .max_size(size)
                .runtime(deadpool::Runtime::Tokio1)
                .wait_timeout(Some(limits.wait))
                .create_timeout(Some(connect_limit))
                .build()
                .map_err(StoreError::internal)?;
            Ok::<_, StoreError>(SessionPool {
                pool,
                limit: limits.statement_timeout + RESPONSE_MARGIN,
                max_waiting: settings.queue_capacity,
                cancels: limits.statement_timeout > LOOKUP_LIMITS.statement_timeout,
                generation: Arc::clone(&generation),
                lease: Arc::clone(lease),
            })
        };
        let new_pool = |limits, size| new_pool_for(limits, size, false);
        Ok(Self {
            renewals: new_pool_for(RENEWAL_LIMITS, MIN_SESSIONS, true)?,
            // Barriers run one at a time. If one is given up, its session may be unusable for a while.
            barriers: new_pool(LOOKUP_LIMITS, MIN_SESSIONS)?,
            lookups: new_pool(LOOKUP_LIMITS, share)?,
            ends: new_pool(END_LIMITS, share)?,
            leases: new_pool(LEASE_LIMITS, MIN_SESSIONS)?,
            commands: new_pool(COMMAND_LIMITS, share)?,
            searches: new_pool(SEARCH_LIMITS, MIN_SESSIONS)?,
            monitoring: new_pool(MONITORING_LIMITS, MIN_SESSIONS)?,
        })
    }

    /// Opens the sessions that every start uses, all at the same time. An error is reported by the operation that needs the session.
    pub(super) async fn open_first_sessions(&self) {
        let open = |pool: SessionPool| async move {
            if let Ok(session) = pool.check_out().await {
                session.give_back();
            }
        };
        let pools = [&self.lookups, &self.commands, &self.monitoring];
        join_all(pools.map(|pool| open(pool.clone()).boxed())).await;
    }

    pub(super) const fn for_renewals(&self) -> &SessionPool {
        &self.renewals
    }

    pub(super) const fn for_barriers(&self) -> &SessionPool {
        &self.barriers
    }

    pub(super) const fn for_command(&self, kind: CommandKind) -> &SessionPool {
        match kind {
            CommandKind::End => &self.ends,
            CommandKind::Lease => &self.leases,
            CommandKind::Other => &self.commands,
        }
    }

    pub(super) const fn for_query(&self, kind: QueryKind) -> &SessionPool {
        match kind {
            QueryKind::Lookup => &self.lookups,
            QueryKind::Background => &self.commands,
            QueryKind::Search => &self.searches,
            QueryKind::Monitoring => &self.monitoring,
        }
    }
}

/// A pool of sessions to which the same limits apply.
#[derive(Clone)]
pub(super) struct SessionPool {
    pool: Pool<SessionManager>,
    /// The maximum duration of an operation, after which its session is given up.
    limit: Duration,
    max_waiting: usize,
    /// True if a statement is cancelled when its caller goes away.
    cancels: bool,
    generation: Arc<AtomicU64>,
    lease: Arc<LeaseGuard>,
}

impl SessionPool {
    /// Checks that rows which were read on a session are not those of a demoted primary. It must be called after the rows were
    /// read: the lease may expire while the server or this process is slow.
    pub(super) fn ensure_lease(&self, session: &PostgresSession) -> Result<()> {
        self.lease.ensure_valid(session.timeline())
    }

    /// Takes a session out of the pool. Waits for a free one up to the limit.
    pub(super) async fn check_out(&self) -> Result<CheckedOutSession> {
        if self.pool.status().waiting >= self.max_waiting {
            return Err(StoreError::Busy);
        }
        let object = self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error,
            // Nothing was sent, so nothing was done.
            PoolError::Timeout(TimeoutType::Wait) => StoreError::Busy,
            PoolError::Timeout(_) => {
                StoreError::Unavailable("the server does not respond to a new connection".into())
            }
            other => StoreError::Unavailable(other.to_string()),
        })?;
        Ok(CheckedOutSession { object: Some(object), cancels: self.cancels })
    }

    /// Runs an operation on a session. When the limit has passed, the running statement is cancelled. The outer error means
    /// that the server did not respond to that either, and that the session must not be used again.
    pub(super) async fn run_limited<T: Send>(
        &self,
        session: &PostgresSession,
        operation: impl Future<Output = T> + Send,
    ) -> Result<T> {
        let mut result = None;
        let operation = async { result = Some(operation.await) };
        self.wait_limited(session, pin!(operation)).await?;
        result.ok_or_else(|| StoreError::Internal("an operation has no result".into()))
    }

    /// Waits for an operation whose type is not known, so that this code is compiled once.
    async fn wait_limited(
        &self,
        session: &PostgresSession,
        mut operation: Pin<&mut (dyn Future<Output = ()> + Send)>,
    ) -> Result<()> {
        if timeout(self.limit, operation.as_mut()).await.is_ok() {
            return Ok(());
        }
        // A commit that waits for a standby has no limit on the server. It responds when it is cancelled, which proves that
        // the network works.
        let cancel = timeout(CANCEL_LIMIT, session.canceller().cancel());
        let (_, late) = join(cancel, timeout(CANCEL_LIMIT, operation)).await;
        late.map_err(|_| {
            self.generation.fetch_add(1, Ordering::Relaxed);
            StoreError::Unavailable("the database did not respond within the limit".into())
        })
    }

    /// Returns the time after which a command that conflicts with others is not tried again.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.limit
    }
}

/// A session that is in use. When it is dropped instead of given back, its operation was interrupted: a running search is
/// cancelled, and a session with an open transaction is closed, because its state is unknown.
pub(super) struct CheckedOutSession {
    object: Option<Object<SessionManager>>,
    /// True if the running statement is cancelled when the operation is interrupted. Lookups take less time than a cancel
    /// request.
    cancels: bool,
}

impl CheckedOutSession {
    /// Returns the session to its pool. The caller must have received the response to every statement, and must have
    /// ended its transaction.
    pub(super) fn give_back(mut self) {
        drop(self.object.take());
    }
}

impl Deref for CheckedOutSession {
    type Target = PostgresSession;

    fn deref(&self) -> &PostgresSession {
        // The session is absent only after `give_back` or `drop`, which consume this value.
        #[expect(clippy::expect_used, reason = "no value without a session can be observed")]
        self.object.as_deref().expect("a checked-out session")
    }
}

impl Drop for CheckedOutSession {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else { return };
        let cancels = self.cancels || object.is_in_transaction();
        let clean_up = async move {
            // The statement may still be running. Its place in the pool stays taken until it has ended, so that abandoned
            // operations cannot use more of the server than running ones.
            if cancels {
                let _ = timeout(CANCEL_LIMIT, object.canceller().cancel()).await;
            }
            // Responses arrive in order: after this one, none of the abandoned statement can follow.
            let drained = timeout(CANCEL_LIMIT, object.batch_execute("")).await;
            if drained.is_err() || object.is_in_transaction() {
                drop(Object::take(object));
            }
        };
        // Without a runtime the process is stopping, and the server notices that the connection is closed.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(clean_up);
        }
    }
}
