//! Effects of a commit outside the database.

/// An effect that a command requests and that is applied after its commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommitEffect {
    /// A connection has ended. Its sealed tokens must soon be removed from SQLite's write-ahead log, too.
    ConnectionEnded,
}
