//! The operations that a store runs: commands, which are one transaction each, and queries, which only read.

use std::future::Future;

use domain::Moment;

use crate::error::Result;
use crate::tx::Tx;

/// The queue of the SQLite writer that a command waits in. PostgreSQL has no queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandPriority {
    /// For commands that end connections or remove clients: they run before waiting commands of normal priority.
    High,
    /// For every other command.
    Normal,
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
    /// The queue that the command waits in.
    const PRIORITY: CommandPriority = CommandPriority::Normal;

    /// Returns the time of the command and the seed that its ids are derived from.
    fn moment(&self) -> &Moment;

    /// Executes the command in a transaction. Runs again if the transaction is retried.
    fn run(&self, tx: &mut Tx<'_>) -> impl Future<Output = Result<Self::Reply>> + Send;
}

/// A read operation, which runs without a transaction and writes nothing.
pub trait Query: Send + Sync {
    /// The result that the caller receives.
    type Reply: Send;

    /// Reads the result.
    fn run(&self, tx: &mut Tx<'_>) -> impl Future<Output = Result<Self::Reply>> + Send;
}
