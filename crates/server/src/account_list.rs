//! The sealed list of the accounts that a customer consented to.

use std::sync::Arc;

use domain::Secret;
use store::{AccountListOpener, AccountListOwner};

use crate::vault::{SealOwner, SealPurpose, UnsealError, Vault};

impl Vault {
    /// Returns the opener of the lists of accounts for the store.
    pub(crate) fn account_list_opener(self: &Arc<Self>) -> AccountListOpener {
        let vault = Arc::clone(self);
        AccountListOpener::new(move |owner, key, sealed| {
            let AccountListOwner { connection, client, provider } = owner;
            vault.open_accounts(SealOwner::for_connection(connection, client, provider), key, sealed)
        })
    }

    /// Seals the provider's ids of the accounts of a connection. Returns the wrapped key and the sealed list.
    pub fn seal_accounts(
        &self,
        random: Secret<[u8; 32]>,
        owner: SealOwner<'_>,
        accounts: &[String],
    ) -> Result<(Vec<u8>, Vec<u8>), UnsealError> {
        let text = Secret::new(serde_json::json!(accounts).to_string());
        self.seal(random, owner, SealPurpose::Accounts, text.expose().as_bytes())
    }

    /// Opens a list that [`Vault::seal_accounts`] has sealed for the owner. `None` for any other value, which is reported.
    pub fn open_accounts(&self, owner: SealOwner<'_>, key: &[u8], sealed: &[u8]) -> Option<Vec<String>> {
        let text = self.open_text(owner, &[SealPurpose::Accounts], (key, sealed)).ok()?;
        serde_json::from_str(text.expose()).ok()
    }
}

#[cfg(test)]
mod tests {
    use domain::id::{ClientId, ConnectionId, ProviderId};

    use super::*;
    use crate::vault::KeyFile;

    #[test]
    fn account_list_opens_only_for_its_connection_and_key() {
        let folder = tempfile::tempdir().unwrap();
        let vault =
            Vault::new(KeyFile::open_or_create(&folder.path().join("keys/file"), || Ok([1; 32])).unwrap());
        let ids: [ConnectionId; 2] = ["con_1".parse().unwrap(), "con_2".parse().unwrap()];
        let client: ClientId = "dc-1".parse().unwrap();
        let [owner, other] = [0, 1].map(|n| SealOwner::for_connection(&ids[n], &client, ProviderId::new(1)));
        let accounts = ["chequing \"1\"".to_owned(), "épargne".to_owned()];
        let seal = |byte, owner| vault.seal_accounts(Secret::new([byte; 32]), owner, &accounts).unwrap();

        let (key, sealed) = seal(1, owner);

        assert_eq!(vault.open_accounts(owner, &key, &sealed).as_deref(), Some(&accounts[..]));
        assert!(!sealed.windows(8).any(|part| part == b"chequing"));
        for (owner, key, sealed) in [
            (other, &key, &sealed),
            (owner, &seal(2, owner).0, &sealed),
            (owner, &Vec::new(), &sealed),
            (owner, &key, &Vec::new()),
        ] {
            assert_eq!(vault.open_accounts(owner, key, sealed), None);
        }
        assert_eq!(vault.unopened_values(), 4);
    }
}
