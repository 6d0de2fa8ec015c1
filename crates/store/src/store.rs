//! The store: runs commands and queries on the configured database.

use std::sync::Arc;

use domain::rule::authority::Authority;
use domain::{Moment, Timestamp};

use crate::access_map::AccessMapStats;
use crate::command::authorized_command::AuthorizedCommand;
use crate::command::end_connection::{EndConnections, EndRequest, EndSingleConnection};
use crate::command::{EndConnection, EndOutcome, ExpireConnection};
use crate::end_queue::{EndQueue, RunEnds};
use crate::error::{Result, StoreError};
use crate::migrate::{Migration, StorePurpose};
use crate::operation::{Command, Query};
use crate::postgres::{self, Postgres};
use crate::row_mac::RowAuthenticator;
use crate::settings::{Location, StoreSettings};
use crate::sql::Statement;
use crate::sqlite::{self, Sqlite};
use crate::waiting_command::{BoxedCommand, box_command};

/// A handle to the open store; clones share its connections.
#[derive(Clone)]
pub struct Store {
    backend: Arc<Backend>,
    rows: RowAuthenticator,
    ends: Arc<EndQueue>,
}

enum Backend {
    Sqlite(Box<Sqlite>),
    Postgres(Box<Postgres>),
}

impl RunEnds for Backend {
    async fn run_set(&self, ends: EndConnections) -> Result<Vec<Option<EndOutcome>>> {
        self.run(None, ends).await
    }

    async fn run_single(&self, end: EndSingleConnection) -> Result<EndOutcome> {
        self.run(None, end).await
    }

    async fn run_authorized(&self, authority: Authority, end: EndSingleConnection) -> Result<EndOutcome> {
        self.run(Some(authority), end).await
    }
}

impl Backend {
    /// Runs a command. If it carries out the request of an operator or partner, its transaction verifies the authority.
    // Only this function is compiled for each command, and the command's own body.
    async fn run<C: Command>(&self, authority: Option<Authority>, command: C) -> Result<C::Reply> {
        let (command, reply) = box_command(command);
        self.start(authority, command)?;
        reply.await.unwrap_or_else(|_| Err(self.missing_reply_error()))
    }

    /// Starts a command, which runs even if its reply is not awaited.
    fn start(&self, authority: Option<Authority>, command: BoxedCommand) -> Result<()> {
        let command: BoxedCommand = match authority {
            Some(authority) => Box::new(AuthorizedCommand::new(authority, command)),
            None => command,
        };
        match self {
            Self::Sqlite(sqlite) => sqlite.start(command),
            Self::Postgres(postgres) => {
                postgres.start(command);
                Ok(())
            }
        }
    }

    /// Returns the error of a command that was dropped without a reply.
    fn missing_reply_error(&self) -> StoreError {
        match self {
            Self::Sqlite(_) => StoreError::Unavailable("the store was lost".into()),
            Self::Postgres(_) => postgres::missing_reply_error(),
        }
    }
}

impl Store {
    /// Opens the store, and checks that its database is durable and has a schema that this program supports.
    pub async fn open(settings: StoreSettings) -> Result<Self> {
        let ends = Arc::new(EndQueue::new(&settings));
        let rows = settings.keys.rows.clone();
        let backend = match settings.location.clone() {
            Location::Sqlite(path) => Backend::Sqlite(Box::new(Sqlite::open(&path, &settings)?)),
            Location::Postgres(postgres) => {
                Backend::Postgres(Box::new(Box::pin(Postgres::open(&postgres, &settings)).await?))
            }
        };
        Ok(Self { backend: Arc::new(backend), rows, ends })
    }

    /// Applies pending migrations, and creates an SQLite file that does not exist. Returns the applied migrations. Fails
    /// without any change if the store was created for another purpose.
    pub async fn migrate(location: &Location, purpose: StorePurpose) -> Result<Vec<Migration>> {
        match location {
            Location::Sqlite(path) => sqlite::migrate(path, purpose),
            Location::Postgres(settings) => postgres::migrate(settings, purpose).await,
        }
    }

    /// Checks that a store may be used for a purpose, and returns whether it is empty or missing, so that it may be used for any.
    /// Changes nothing.
    pub async fn check_purpose(location: &Location, purpose: StorePurpose) -> Result<bool> {
        match location {
            Location::Sqlite(path) => sqlite::check_purpose(path, purpose),
            Location::Postgres(settings) => postgres::check_purpose(settings, purpose).await,
        }
    }

    /// Runs a command and returns its reply once the commit is durable.
    pub async fn run<C: Command>(&self, command: C) -> Result<C::Reply> {
        self.backend.run(None, command).await
    }

    /// Runs a command of an operator or partner, like [`Store::run`]. The same transaction verifies that the caller may still
    /// perform it.
    pub async fn run_authorized<C: Command>(&self, authority: Authority, command: C) -> Result<C::Reply> {
        self.backend.run(Some(authority), command).await
    }

    /// Ends a connection at the request of an operator or partner, like [`Store::run_authorized`].
    pub async fn end_connection_authorized(
        &self,
        authority: Authority,
        request: EndConnection,
    ) -> Result<EndOutcome> {
        let end = EndSingleConnection(EndRequest::End(request));
        self.ends.run_authorized(&*self.backend, authority, end).await
    }

    /// Ends a connection, and returns once the end is durable. Requests that wait at the same time share a transaction.
    pub async fn end_connection(&self, request: EndConnection) -> Result<EndOutcome> {
        self.ends.run(&self.backend, EndRequest::End(request)).await
    }

    /// Ends a connection if it has expired, like [`Store::end_connection`].
    pub async fn expire_connection(&self, request: ExpireConnection) -> Result<EndOutcome> {
        self.ends.run(&self.backend, EndRequest::Expire(request)).await
    }

    /// Waits until every commit that was visible before this call is as durable as one whose reply was received. A command
    /// that got an error may have been committed nevertheless, and its effect must not be confirmed before.
    pub async fn confirm_commits(&self, moment: Moment) -> Result<()> {
        match &*self.backend {
            // SQLite shows a commit to readers only after it is on disk.
            Backend::Sqlite(_) => Ok(()),
            Backend::Postgres(postgres) => postgres.confirm_commits(moment).await,
        }
    }

    /// Runs a query on the current state. The reply takes every commit into account that was acknowledged before this
    /// call, also if its rows are in memory.
    pub async fn query<Q: Query>(&self, query: &Q) -> Result<Q::Reply> {
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.query(query).await,
            Backend::Postgres(postgres) => postgres.query(query).await,
        }
    }

    /// Returns the size of the access map and its use since the store was opened.
    pub fn access_map_stats(&self) -> AccessMapStats {
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.access_map_stats(),
            Backend::Postgres(postgres) => postgres.access_map_stats(),
        }
    }

    /// Returns the number of rows since the store was opened that were not used because another program had changed them.
    pub fn unverified_rows(&self) -> u64 {
        self.rows.rejected()
    }

    /// Returns whether commands can commit. The result may be a second old.
    pub async fn is_writable(&self) -> bool {
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.is_writable().await,
            // A server that is read-only is rejected when a connection is opened.
            Backend::Postgres(_) => true,
        }
    }

    /// Returns whether this node may use what it reads: on PostgreSQL, the server has confirmed the node's lease recently.
    pub fn has_lease(&self) -> bool {
        match &*self.backend {
            // Only one process can open the file.
            Backend::Sqlite(_) => true,
            Backend::Postgres(postgres) => postgres.has_lease(),
        }
    }

    /// Returns the time on the clock of the database. SQLite runs in this process and has none.
    pub async fn database_time(&self) -> Result<Option<Timestamp>> {
        match &*self.backend {
            Backend::Sqlite(_) => Ok(None),
            Backend::Postgres(postgres) => postgres.database_time().await.map(Some),
        }
    }

    /// Returns the database's plan for a statement, for tests that require the use of an index.
    #[doc(hidden)]
    pub async fn explain(&self, statement: &Statement) -> Result<String> {
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.explain(statement.0),
            Backend::Postgres(postgres) => postgres.explain(statement.0).await,
        }
    }
}
