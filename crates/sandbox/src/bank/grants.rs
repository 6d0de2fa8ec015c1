//! The grants and registered clients of a bank. They are kept in memory, and in an append-only journal that is read at
//! the next start.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The permission that a customer gave to a client: accounts and scope.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct CustomerGrant {
    pub(super) id: String,
    pub(super) username: String,
    pub(super) accounts: Vec<String>,
    pub(super) scope: String,
    /// The client that has the grant. `None` in journals of older versions, in which the hub was the only client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<String>,
    pub(super) refresh_hash: String,
    /// The time of the consent, in milliseconds since the epoch.
    #[serde(default)]
    pub(super) granted_at: i64,
    /// The consent request that the customer has agreed to (RFC 9396), at a bank that requires one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) details: Option<Value>,
}

/// A dynamically registered client (RFC 7591).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct BankClient {
    pub(super) id: String,
    pub(super) secret_hash: String,
    pub(super) redirect_uris: Vec<String>,
    /// The hash of the registration access token (RFC 7592).
    pub(super) access_hash: String,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum JournalEntry {
    Granted {
        grant: CustomerGrant,
    },
    Rotated {
        grant_id: String,
        refresh_hash: String,
    },
    Ended {
        grant_id: String,
        #[serde(default)]
        at: i64,
    },
    ClientRegistered {
        client: BankClient,
    },
    ClientDeleted {
        client_id: String,
    },
}

/// A grant with its current state, which the journal's entries determine.
#[derive(Clone, Debug)]
pub(super) struct GrantRecord {
    pub(super) grant: CustomerGrant,
    pub(super) ended_at: Option<i64>,
    pub(super) last_used_at: Option<i64>,
}

/// A grant as the fault injection API and page show it.
#[derive(Debug, Serialize)]
pub(super) struct GrantSummary {
    pub(super) grant_id: String,
    pub(super) username: String,
    pub(super) state: &'static str,
    pub(super) accounts: Vec<String>,
    pub(super) last_used_at: Option<i64>,
}

/// All grants, active and ended, and all registered clients of a bank.
pub(super) struct Grants {
    journal: File,
    state: JournalState,
}

/// The state that results from applying all entries of the journal.
#[derive(Default)]
struct JournalState {
    grants: BTreeMap<String, GrantRecord>,
    clients: BTreeMap<String, BankClient>,
}

impl Grants {
    /// Opens the journal and reads its entries.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut state = JournalState::default();
        if path.exists() {
            for line in BufReader::new(File::open(path)?).lines() {
                // A crash can leave an incomplete last line. It was never acknowledged, so it is skipped.
                if let Ok(entry) = serde_json::from_str(&line?) {
                    state.apply(entry);
                }
            }
        }
        // The journal holds hashes of secrets and names of customers: no other user of the machine may read it.
        let journal = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        Ok(Self { journal, state })
    }

    pub(super) fn add(&mut self, grant: CustomerGrant) -> io::Result<()> {
        self.record(JournalEntry::Granted { grant })
    }

    pub(super) fn rotate(&mut self, id: &str, refresh_hash: String) -> io::Result<()> {
        self.record(JournalEntry::Rotated { grant_id: id.to_owned(), refresh_hash })
    }

    pub(super) fn end(&mut self, id: &str, now: i64) -> io::Result<()> {
        self.record(JournalEntry::Ended { grant_id: id.to_owned(), at: now })
    }

    /// Ends every active grant of a customer and returns their number.
    pub(super) fn end_all_for_customer(&mut self, username: &str, now: i64) -> io::Result<usize> {
        self.end_all(now, |grant| grant.username == username)
    }

    fn end_all(&mut self, now: i64, is_selected: impl Fn(&CustomerGrant) -> bool) -> io::Result<usize> {
        let ids: Vec<String> = self.active().filter(|g| is_selected(g)).map(|g| g.id.clone()).collect();
        ids.iter().try_for_each(|id| self.end(id, now))?;
        Ok(ids.len())
    }

    fn active(&self) -> impl Iterator<Item = &CustomerGrant> {
        self.state.grants.values().filter(|record| record.ended_at.is_none()).map(|record| &record.grant)
    }

    pub(super) fn find_active(&self, id: &str) -> Option<&CustomerGrant> {
        self.state.grants.get(id).filter(|record| record.ended_at.is_none()).map(|record| &record.grant)
    }

    /// Returns a grant, whether it is active or ended.
    pub(super) fn find(&self, id: &str) -> Option<&CustomerGrant> {
        self.state.grants.get(id).map(|record| &record.grant)
    }

    /// Lists a customer's grants: the active ones first, each group with the newest first.
    pub(super) fn list_for_customer(&self, username: &str) -> Vec<GrantRecord> {
        let records = self.state.grants.values().filter(|record| record.grant.username == username);
        let mut records: Vec<GrantRecord> = records.cloned().collect();
        records.sort_by_key(|r| (r.ended_at.is_some(), std::cmp::Reverse(r.grant.granted_at)));
        records
    }

    /// Returns the active grant whose current refresh token has this hash.
    pub(super) fn find_by_refresh_hash(&self, refresh_hash: &str) -> Option<&CustomerGrant> {
        self.active().find(|grant| crate::random::constant_time_eq(&grant.refresh_hash, refresh_hash))
    }

    /// Records the time of the last use, in memory only: it is informative and need not survive a restart.
    pub(super) fn mark_used(&mut self, id: &str, now: i64) {
        if let Some(record) = self.state.grants.get_mut(id) {
            record.last_used_at = Some(now);
        }
    }

    /// Lists every grant, the oldest first.
    pub(super) fn list_all(&self) -> Vec<GrantSummary> {
        let mut records: Vec<&GrantRecord> = self.state.grants.values().collect();
        records.sort_by_key(|record| record.grant.granted_at);
        let summaries = records.into_iter().map(|record| GrantSummary {
            grant_id: record.grant.id.clone(),
            username: record.grant.username.clone(),
            state: if record.ended_at.is_some() { "ended" } else { "active" },
            accounts: record.grant.accounts.clone(),
            last_used_at: record.last_used_at,
        });
        summaries.collect()
    }

    pub(super) fn add_client(&mut self, client: BankClient) -> io::Result<()> {
        self.record(JournalEntry::ClientRegistered { client })
    }

    /// Deletes a client and ends its grants (RFC 7592, section 2.3).
    pub(super) fn delete_client(&mut self, id: &str, now: i64) -> io::Result<()> {
        self.end_all(now, |grant| grant.client_id.as_deref() == Some(id))?;
        self.record(JournalEntry::ClientDeleted { client_id: id.to_owned() })
    }

    pub(super) fn find_client(&self, id: &str) -> Option<&BankClient> {
        self.state.clients.get(id)
    }

    pub(super) fn client_ids(&self) -> Vec<String> {
        self.state.clients.keys().cloned().collect()
    }

    fn record(&mut self, entry: JournalEntry) -> io::Result<()> {
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        // The entry takes effect only after it is written: a confirmed change must survive a restart.
        self.journal.write_all(&line)?;
        self.state.apply(entry);
        Ok(())
    }
}

impl JournalState {
    fn apply(&mut self, entry: JournalEntry) {
        match entry {
            JournalEntry::Granted { grant } => {
                self.grants
                    .insert(grant.id.clone(), GrantRecord { grant, ended_at: None, last_used_at: None });
            }
            JournalEntry::Rotated { grant_id, refresh_hash } => {
                if let Some(record) = self.grants.get_mut(&grant_id) {
                    record.grant.refresh_hash = refresh_hash;
                }
            }
            JournalEntry::Ended { grant_id, at } => {
                if let Some(record) = self.grants.get_mut(&grant_id) {
                    // A grant that has ended keeps the time of its first end.
                    record.ended_at.get_or_insert(at);
                }
            }
            JournalEntry::ClientRegistered { client } => {
                self.clients.insert(client.id.clone(), client);
            }
            JournalEntry::ClientDeleted { client_id } => {
                self.clients.remove(&client_id);
            }
        }
    }
}
