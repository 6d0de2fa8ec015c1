//! The sealed lists of the accounts that customers consented to.
//!
//! The ids of accounts are those of the provider, and are stored only in sealed form. The keys that wrap their keys are not in
//! the store, so the function that opens a list is supplied when the store is opened.

use std::sync::Arc;

use domain::id::{ClientId, ConnectionId, ProviderId};

/// The connection that a sealed list of accounts belongs to, with its recipient and its provider.
#[derive(Clone, Copy, Debug)]
pub struct AccountListOwner<'a> {
    pub connection: &'a ConnectionId,
    pub client: &'a ClientId,
    pub provider: ProviderId,
}

/// A function that opens a list of accounts.
type OpenList = dyn Fn(AccountListOwner<'_>, &[u8], &[u8]) -> Option<Vec<String>> + Send + Sync;

/// Opens the sealed lists of accounts. Clones share the function.
#[derive(Clone)]
pub struct AccountListOpener(Arc<OpenList>);

impl AccountListOpener {
    /// Creates an opener from a function that gets the owner, the wrapped key and the sealed list. It returns `None` for a list
    /// that was changed or belongs to another owner.
    pub fn new(
        open: impl Fn(AccountListOwner<'_>, &[u8], &[u8]) -> Option<Vec<String>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(open))
    }

    /// Creates an opener that opens no list.
    pub fn without_keys() -> Self {
        Self::new(|_, _, _| None)
    }

    pub(crate) fn open(&self, owner: AccountListOwner<'_>, key: &[u8], sealed: &[u8]) -> Option<Vec<String>> {
        (self.0)(owner, key, sealed)
    }
}

impl std::fmt::Debug for AccountListOpener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccountListOpener")
    }
}
