//! The operations that a store runs: commands, which are one transaction each, and queries, which only read.

use std::future::Future;

use domain::Moment;

use crate::access_map::MapView;
use crate::error::Result;
use crate::tx::Tx;

/// The kind of a command. On PostgreSQL each kind has its own connections and time limit, so that no kind can use up what
/// another one needs. On SQLite ends have a queue of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandKind {
    /// Ends connections or removes clients. On SQLite these commands run before waiting commands of the other kind.
    End,
    /// Acquires a lease, of a credential or of jobs. A data read waits for the lease of its credential.
    Lease,
    /// Any command that neither ends connections nor acquires a lease.
    Other,
}

/// The kind of a query. Each kind has its own connections and time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryKind {
    /// Reads a few rows by their keys: the access check, and every other read that a request needs.
    Lookup,
    /// Reads an unknown number of rows, as lists do, and the searches that operators and partners run.
    Search,
    /// Reads what the workers of a node have to do.
    Background,
    /// Reads what probes and metrics show.
    Monitoring,
}

/// A write operation: one transaction.
///
/// The body, [`Command::run`], loads rows, applies a rule of the domain, writes with the expected state in the `WHERE`
/// clause, and awaits nothing but its [`Tx`]. `Err` rolls back. Every `Ok` commits, even if it rejects the request,
/// because it may have recorded an audit event.
///
/// All commands lock rows in the same order, so that deadlocks are rare: first the authorization request or the job,
/// then the client, the connection, the provider, the customer. A command that changes the state of a connection or
/// replaces its tokens locks the connection's row first. A command that PostgreSQL aborts because of a deadlock runs
/// again.
pub trait Command: Send + Sync + 'static {
    /// The result that the caller receives after the commit.
    type Reply: Send + 'static;
    const KIND: CommandKind = CommandKind::Other;
    /// True if the command locks the row of the partner whose request it carries out.
    const LOCKS_PARTNER: bool = false;

    /// Returns the time of the command and the seed that its ids are derived from.
    fn moment(&self) -> &Moment;

    /// Executes the command in a transaction. Runs again if the transaction is retried.
    fn run(&self, tx: &mut Tx<'_>) -> impl Future<Output = Result<Self::Reply>> + Send;
}

/// A read operation, which runs without a transaction and writes nothing.
///
/// The store clones a query that it runs in a task or thread of its own.
pub trait Query: Clone + Send + Sync + 'static {
    /// The result that the caller of the query receives.
    type Reply: Send + 'static;
    const KIND: QueryKind = QueryKind::Lookup;
    /// True if the query may be answered from the rows in memory. It is then a lookup.
    const USES_ACCESS_MAP: bool = false;

    /// True if the metrics of the access map count the query. It is false for rows that are nearly always in memory, because
    /// they would hide how often connections are not.
    const IS_COUNTED_QUESTION: bool = false;

    /// Returns the result from the rows in memory, or `None` if a row is not there.
    fn find_in_memory(&self, _map: &MapView<'_>) -> Option<Self::Reply> {
        None
    }

    /// Returns whether the rows of the answer are probably in memory, so that it is worth to wait for a barrier.
    fn is_in_memory(&self, map: &MapView<'_>) -> bool {
        self.find_in_memory(map).is_some()
    }

    /// Reads the result from the current state of the database.
    fn run(&self, tx: &mut Tx<'_>) -> impl Future<Output = Result<Self::Reply>> + Send;
}
