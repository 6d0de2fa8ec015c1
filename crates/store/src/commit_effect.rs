//! Effects of a commit outside the database, which a command requests and the backend applies after the commit.

/// An effect that a command requests and that the store applies after the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommitEffect {
    /// Keys or sealed tokens were deleted. They must soon be removed from SQLite's write-ahead log, too.
    SecretsDeleted,
}
