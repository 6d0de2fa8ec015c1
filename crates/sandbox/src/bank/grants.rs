//! Grants: kept in memory, and in an append-only journal that a restart reads back.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::register::BankClient;

/// What a customer granted to the client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct CustomerGrant {
    pub(super) id: String,
    pub(super) username: String,
    pub(super) accounts: Vec<String>,
    pub(super) scope: String,
    /// None in journals of before clients could register by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<String>,
    pub(super) refresh_hash: String,
    /// Milliseconds since the epoch.
    #[serde(default)]
    pub(super) granted_at: i64,
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

/// A grant and what became of it.
#[derive(Clone, Debug)]
pub(super) struct GrantRecord {
    pub(super) grant: CustomerGrant,
    pub(super) ended_at: Option<i64>,
    pub(super) last_used_at: Option<i64>,
}

/// A grant as the levers show it.
#[derive(Debug, Serialize)]
pub(super) struct GrantSummary {
    pub(super) grant_id: String,
    pub(super) username: String,
    pub(super) state: &'static str,
    pub(super) accounts: Vec<String>,
    pub(super) last_used_at: Option<i64>,
}

/// Every grant ever made, and the clients that registered by themselves.
pub(super) struct Grants {
    journal: File,
    state: JournalState,
}

#[derive(Default)]
struct JournalState {
    grants: BTreeMap<String, GrantRecord>,
    clients: BTreeMap<String, BankClient>,
}

impl Grants {
    /// Reads the journal back; a last line that a crash cut short is left out.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut state = JournalState::default();
        if path.exists() {
            for line in BufReader::new(File::open(path)?).lines() {
                if let Ok(entry) = serde_json::from_str(&line?) {
                    state.apply(entry);
                }
            }
        }
        Ok(Self { journal: OpenOptions::new().create(true).append(true).mode(0o600).open(path)?, state })
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

    /// Ends every live grant of a customer; says how many there were.
    pub(super) fn end_all_for_customer(&mut self, username: &str, now: i64) -> io::Result<usize> {
        let theirs =
            self.state.grants.values().filter(|k| k.ended_at.is_none() && k.grant.username == username);
        let ids: Vec<String> = theirs.map(|k| k.grant.id.clone()).collect();
        ids.iter().try_for_each(|id| self.end(id, now))?;
        Ok(ids.len())
    }

    /// The live grant of an id.
    pub(super) fn find_active(&self, id: &str) -> Option<&CustomerGrant> {
        self.state.grants.get(id).filter(|k| k.ended_at.is_none()).map(|k| &k.grant)
    }

    /// The grant of an id, ended or not.
    pub(super) fn find(&self, id: &str) -> Option<&CustomerGrant> {
        self.state.grants.get(id).map(|k| &k.grant)
    }

    /// A customer's grants: those that live first, then the newest first.
    pub(super) fn list_for_customer(&self, username: &str) -> Vec<GrantRecord> {
        let theirs = self.state.grants.values().filter(|k| k.grant.username == username);
        let mut theirs: Vec<GrantRecord> = theirs.cloned().collect();
        theirs.sort_by_key(|k| (k.ended_at.is_some(), std::cmp::Reverse(k.grant.granted_at)));
        theirs
    }

    /// The live grant whose present refresh token this is.
    pub(super) fn find_by_refresh_hash(&self, refresh_hash: &str) -> Option<&CustomerGrant> {
        let mut live = self.state.grants.values().filter(|k| k.ended_at.is_none()).map(|k| &k.grant);
        live.find(|grant| crate::random::constant_time_eq(&grant.refresh_hash, refresh_hash))
    }

    pub(super) fn mark_used(&mut self, id: &str, now: i64) {
        if let Some(kept) = self.state.grants.get_mut(id) {
            kept.last_used_at = Some(now);
        }
    }

    /// Every grant, the oldest first.
    pub(super) fn list_all(&self) -> Vec<GrantSummary> {
        let mut kept: Vec<&GrantRecord> = self.state.grants.values().collect();
        kept.sort_by_key(|kept| kept.grant.granted_at);
        let listed = kept.into_iter().map(|kept| GrantSummary {
            grant_id: kept.grant.id.clone(),
            username: kept.grant.username.clone(),
            state: if kept.ended_at.is_some() { "ended" } else { "active" },
            accounts: kept.grant.accounts.clone(),
            last_used_at: kept.last_used_at,
        });
        listed.collect()
    }

    pub(super) fn add_client(&mut self, client: BankClient) -> io::Result<()> {
        self.record(JournalEntry::ClientRegistered { client })
    }

    /// Deletes a client: what was granted to it ends (RFC 7592 §2.3).
    pub(super) fn delete_client(&mut self, id: &str, now: i64) -> io::Result<()> {
        let theirs = self.state.grants.values().filter(|k| k.grant.client_id.as_deref() == Some(id));
        let ids: Vec<String> = theirs.filter(|k| k.ended_at.is_none()).map(|k| k.grant.id.clone()).collect();
        ids.iter().try_for_each(|id| self.end(id, now))?;
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
                if let Some(kept) = self.grants.get_mut(&grant_id) {
                    kept.grant.refresh_hash = refresh_hash;
                }
            }
            JournalEntry::Ended { grant_id, at } => {
                if let Some(kept) = self.grants.get_mut(&grant_id) {
                    kept.ended_at.get_or_insert(at);
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
