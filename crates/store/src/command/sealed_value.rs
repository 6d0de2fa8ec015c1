//! A sealed value with its key.

/// A value that is sealed under a key of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedValue {
    /// The wrapped key.
    pub key: Vec<u8>,
    /// The value, sealed under the key.
    pub sealed: Vec<u8>,
}
