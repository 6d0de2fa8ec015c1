//! Sessions, which are connections to PostgreSQL with the settings that durability and the limits of each operation
//! depend on.

use std::future::poll_fn;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use domain::Timestamp;
use domain::rule::node_lease::Timeline;
use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::{AsyncMessage, CancelToken, Connection, NoTls, SimpleQueryMessage, SimpleQueryRow};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::lease_guard::LeaseGuard;
use super::options::ConnectOptions;
use super::tls::build_connector;
use crate::error::{Result, StoreError};
use crate::hex::to_hex;
use crate::settings::PostgresSettings;

/// The time after which the server ends a session that waits inside a transaction. A node that was suspended or lost
/// then no longer blocks the rows that it had locked.
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(5);

/// The limits that the server enforces for the statements of a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct StatementLimits {
    pub(super) statement_timeout: Duration,
    /// The maximum time to wait for a row that another transaction has locked.
    pub(super) lock_timeout: Duration,
    /// True if all statements find their rows by keys of indexes, so that each needs only one plan. Searches have optional
    /// conditions, and are planned for those that are present.
    pub(super) reads_by_key: bool,
}

/// A connection to PostgreSQL whose settings and durability have been checked.
pub(crate) struct PostgresSession {
    client: ClientWrapper,
    /// The number of warnings that the server has sent.
    warnings: Arc<AtomicU64>,
    /// True if `BEGIN` was sent, and neither `COMMIT` nor `ROLLBACK` was confirmed since.
    in_transaction: AtomicBool,
    /// True if the server has lost the prepared statements or is closing the session.
    is_unusable: AtomicBool,
    /// A value that only this session has. If another session can read it, a pooler shares the server's session.
    id: String,
    /// The number of times that sessions had been given up before this one was opened.
    generation: u64,
    /// The timeline of the server. It does not change: a server that becomes a standby closes its sessions.
    timeline: Timeline,
    connector: Option<MakeRustlsConnect>,
}

/// The time and the timeline of a server.
pub(super) struct ServerState {
    pub(super) now: Timestamp,
    timeline: Timeline,
}

impl Deref for PostgresSession {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.client
    }
}

impl PostgresSession {
    /// Returns the number of warnings that the server has sent so far. A warning that the server sends before the
    /// response to a statement is counted when that response arrives.
    pub(super) fn count_warnings(&self) -> u64 {
        self.warnings.load(Ordering::Acquire)
    }

    /// Returns a value that no other session has.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) const fn timeline(&self) -> Timeline {
        self.timeline
    }

    pub(super) async fn begin(&mut self) -> Result<deadpool_postgres::Transaction<'_>> {
        Ok(self.client.transaction().await?)
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        self.in_transaction.load(Ordering::Relaxed)
    }

    /// Records whether a transaction is open. Returns whether one was open before.
    pub(super) fn set_in_transaction(&self, is_open: bool) -> bool {
        self.in_transaction.swap(is_open, Ordering::Relaxed)
    }

    /// Converts an error of a statement, and notes if the session cannot be used again.
    pub(super) fn convert_error(&self, error: tokio_postgres::Error) -> StoreError {
        if error.code().is_some_and(is_session_lost) {
            self.is_unusable.store(true, Ordering::Relaxed);
        }
        error.into()
    }

    /// Returns a handle that can cancel the running statement over a connection of its own.
    pub(super) fn canceller(&self) -> Canceller {
        Canceller { token: self.client.cancel_token(), connector: self.connector.clone() }
    }

    /// Checks that the server makes commits durable before it confirms them, and that no pooler shares this session.
    pub(super) async fn verify(&self) -> Result<ServerState> {
        verify_server(&self.client, &self.id).await
    }
}

/// Checks the server of a session with this id.
async fn verify_server(client: &ClientWrapper, session_id: &str) -> Result<ServerState> {
    // A simple query: behind a pooler in transaction mode, a prepared statement would fail with a misleading error.
    let messages = client
        .simple_query(
                "SELECT current_setting('synchronous_commit') AS synchronous_commit,
                    current_setting('fsync') AS fsync,
                    current_setting('full_page_writes') AS full_page_writes,
                    pg_is_in_recovery()::int AS is_standby,
                    current_setting('default_transaction_read_only') AS read_only,
                    current_setting('bowline.session', true) AS session,
                    (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT AS now,
                    (SELECT system_identifier FROM pg_control_system()) AS system,
                    CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline",
            )
            .await?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = row.ok_or_else(|| StoreError::internal("the server returned no settings"))?;
    ensure_safe(row, session_id)?;
    let now = row.get("now").and_then(|millis| millis.parse().ok());
    let now = now.map(Timestamp::from_millis);
    now.zip(read_timeline(row))
        .map(|(now, timeline)| ServerState { now, timeline })
        .ok_or_else(|| StoreError::internal("the server returned no time or timeline"))
}

/// Reads the timeline to which a server writes. The name of a file of its log begins with the number. The control file has a
/// number too, but an older one for some time after a promotion.
fn read_timeline(row: &SimpleQueryRow) -> Option<Timeline> {
    let system = row.get("system")?.parse().ok()?;
    let number = u32::from_str_radix(row.get("timeline")?, 16).ok()?;
    Some(Timeline { system, number })
}

/// Returns whether an error means that the session does not have its prepared statements any more, or is being closed.
fn is_session_lost(code: &SqlState) -> bool {
    // The class 57P includes the shutdown of the server and the termination of the session by an administrator.
    let lost = [
        SqlState::INVALID_SQL_STATEMENT_NAME,
        SqlState::DUPLICATE_PSTATEMENT,
        // A prepared statement does not fit the schema any more.
        SqlState::FEATURE_NOT_SUPPORTED,
    ];
    lost.contains(code) || code.code().starts_with("57P")
}

/// Rejects a server that may lose confirmed commits, and a session that is shared.
fn ensure_safe(row: &SimpleQueryRow, session_id: &str) -> Result<()> {
    let setting = |name: &str| row.get(name).unwrap_or_default();
    let reject = |reason: String| Err(StoreError::Incompatible(reason));
    if setting("session") != session_id {
        return reject(
            "the database is behind a connection pooler in transaction mode, such as pgbouncer with pool_mode = \
             transaction, which loses the settings and prepared statements of a session: connect to PostgreSQL \
             directly, or set pool_mode = session"
                .into(),
        );
    }
    if setting("is_standby") != "0" || setting("read_only") == "on" {
        return reject("this PostgreSQL server is a standby or read-only; connect to the primary".into());
    }
    for name in ["fsync", "full_page_writes"] {
        if setting(name) != "on" {
            return reject(format!(
                "{name} is off, so a crash of the database's machine could lose commits; set it to on"
            ));
        }
    }
    match setting("synchronous_commit") {
        "on" | "remote_write" | "remote_apply" => Ok(()),
        // Each session sets it, so the role or the database must have a setting that the session may not change.
        weak => reject(format!("synchronous_commit is {weak}, so a crash could lose commits; set it to on")),
    }
}

/// A handle that cancels the running statement of a session, over a connection of its own.
pub(super) struct Canceller {
    token: CancelToken,
    connector: Option<MakeRustlsConnect>,
}

impl Canceller {
    pub(super) async fn cancel(self) -> Result<()> {
        match self.connector {
            None => self.token.cancel_query(NoTls).await?,
            Some(connector) => self.token.cancel_query(connector).await?,
        }
        Ok(())
    }
}

/// The manager of a pool, which opens its sessions and closes unusable ones.
#[derive(Debug)]
pub(super) struct SessionManager {
    pub(super) settings: PostgresSettings,
    pub(super) limits: StatementLimits,
    /// The number of times that a session of any pool was given up because the server did not respond. Idle sessions of
    /// an earlier generation probably use the same dead network path, so they are closed instead of used.
    pub(super) generation: Arc<AtomicU64>,
    pub(super) lease: Arc<LeaseGuard>,
    /// True if the sessions of this pool renew the lease, on which all others depend.
    pub(super) renews: bool,
}

impl Manager for SessionManager {
    type Type = PostgresSession;
    type Error = StoreError;

    async fn create(&self) -> Result<PostgresSession> {
        let generation = self.generation.load(Ordering::Relaxed);
        // Boxed, because the future of the pool would contain this one three times, and every caller would contain that.
        let session = open_session(&self.settings, Some(self.limits), generation).boxed().await?;
        self.lease.admit(session.timeline, self.renews)?;
        Ok(session)
    }

    async fn recycle(&self, session: &mut PostgresSession, _: &Metrics) -> RecycleResult<StoreError> {
        if session.client.is_closed() || session.is_unusable.load(Ordering::Relaxed) {
            return Err(RecycleError::message("the session is closed"));
        }
        if session.generation != self.generation.load(Ordering::Relaxed) {
            return Err(RecycleError::message("the server did not respond on another connection"));
        }
        if !self.lease.allows_session(session.timeline, self.renews) {
            return Err(RecycleError::message("the server is not the primary that this node uses"));
        }
        Ok(())
    }
}

/// Connects, sets up the session and checks the server. The limits are absent for migrations, which may take long.
pub(super) async fn open_session(
    settings: &PostgresSettings,
    limits: Option<StatementLimits>,
    generation: u64,
) -> Result<PostgresSession> {
    let reject = |reason| StoreError::Incompatible(format!("store.url: {reason}"));
    let mut options = ConnectOptions::parse(settings).map_err(reject)?;
    if let Some(file) = &settings.password_file {
        options.config.password(read_password(file)?);
    }
    let connector = options.tls.as_ref().map(build_connector).transpose()?;
    let opened = async {
        let warnings = Arc::new(AtomicU64::new(0));
        let (client, driver) = match connector.clone() {
            None => {
                let (client, connection) = options.config.connect(NoTls).await?;
                (client, spawn_driver(connection, &warnings))
            }
            Some(tls) => {
                let (client, connection) = options.config.connect(tls).await?;
                (client, spawn_driver(connection, &warnings))
            }
        };
        let client = ClientWrapper::new(client, driver);
        let id = generate_session_id()?;
        client.batch_execute(&render_settings(settings, limits, &id)).await?;
        let timeline = verify_server(&client, &id).await?.timeline;
        Ok(PostgresSession {
            client,
            warnings,
            in_transaction: AtomicBool::new(false),
            is_unusable: AtomicBool::new(false),
            id,
            generation,
            timeline,
            connector,
        })
    };
    tokio::time::timeout(options.connect_limit, opened).await.unwrap_or_else(|_| {
        Err(StoreError::Unavailable("the server does not respond to a new connection".into()))
    })
}

fn read_password(file: &std::path::Path) -> Result<Vec<u8>> {
    let reject = |error: &dyn std::fmt::Display| {
        StoreError::Incompatible(format!("store.password_file: {}: {error}", file.display()))
    };
    let text = std::fs::read_to_string(file).map_err(|error| reject(&error))?;
    // Editors and `echo` append a line break, which is not part of the password.
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(reject(&"expected a password, but the file is empty")),
        password => Ok(password.into()),
    }
}

fn generate_session_id() -> Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(StoreError::internal)?;
    Ok(to_hex(&random))
}

fn render_settings(settings: &PostgresSettings, limits: Option<StatementLimits>, session_id: &str) -> String {
    use std::fmt::Write as _;
    // `synchronous_commit` is set here, so that a changed server configuration cannot weaken the running sessions.
    // Without warnings, a commit whose wait for the standby was cancelled could not be recognised.
    let mut sql = format!(
        "SET client_min_messages = 'warning'; SET default_transaction_isolation = 'read committed'; SET timezone = 'UTC';
         SET synchronous_commit = '{}'; SET bowline.session = '{session_id}';",
        settings.synchronous_commit
    );
    if let Some(StatementLimits { statement_timeout, lock_timeout, reads_by_key }) = limits {
        if reads_by_key {
            // Planning the joins of a lookup takes longer than its execution, and PostgreSQL would plan statements with an array of
            // keys for each execution. Without statistics a plan could read a whole table, and would be kept while the table grows.
            sql.push_str(
                "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off;",
            );
        }
        let _ = write!(
            sql,
            "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {};",
            statement_timeout.as_millis(),
            lock_timeout.as_millis(),
            IDLE_IN_TRANSACTION_TIMEOUT.as_millis()
        );
    }
    sql
}

/// Starts the task that reads and writes the socket of a session. It ends when its session is dropped.
fn spawn_driver<S, T>(mut connection: Connection<S, T>, warnings: &Arc<AtomicU64>) -> JoinHandle<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let warnings = Arc::clone(warnings);
    tokio::spawn(async move {
        while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
            match message {
                // The severity is compared instead of the text, which the server may translate.
                Ok(AsyncMessage::Notice(notice)) if notice.parsed_severity() == Some(Severity::Warning) => {
                    tracing::warn!(code = notice.code().code(), "PostgreSQL: {}", notice.message());
                    warnings.fetch_add(1, Ordering::Release);
                }
                Ok(_) => {}
                // The operation that uses the session gets an error too, and reports it.
                Err(error) => {
                    tracing::debug!(%error, "a connection to PostgreSQL was lost");
                    return;
                }
            }
        }
    })
}
