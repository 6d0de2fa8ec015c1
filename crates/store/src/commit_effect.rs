//! What a commit means to the outside, applied only after it.

/// A mark left by a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitEffect {
    /// A connection ended: its sealed tokens must leave the log of the database soon.
    ConnectionEnded,
}
