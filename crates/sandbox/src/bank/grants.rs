//! Grants: kept in memory, and in an append-only journal that a restart reads back.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::register::Client;

/// What a customer granted to the client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Grant {
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
enum Entry {
    Granted {
        grant: Grant,
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
        client: Client,
    },
    ClientDeleted {
        client_id: String,
    },
}

/// A grant and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) grant: Grant,
    pub(super) ended_at: Option<i64>,
    pub(super) last_used_at: Option<i64>,
}

/// A grant as the levers show it.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    pub(super) grant_id: String,
    pub(super) username: String,
    pub(super) state: &'static str,
    pub(super) accounts: Vec<String>,
    pub(super) last_used_at: Option<i64>,
}

/// Every grant ever made, and the clients that registered by themselves.
pub(super) struct Grants {
    journal: File,
    kept: Book,
}

#[derive(Default)]
struct Book {
    grants: BTreeMap<String, Kept>,
    clients: BTreeMap<String, Client>,
}

impl Grants {
    /// Reads the journal back; a last line that a crash cut short is left out.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut kept = Book::default();
        if path.exists() {
            for line in BufReader::new(File::open(path)?).lines() {
                if let Ok(entry) = serde_json::from_str(&line?) {
                    kept.apply(entry);
                }
            }
        }
        Ok(Self { journal: OpenOptions::new().create(true).append(true).mode(0o600).open(path)?, kept })
    }

    pub(super) fn add(&mut self, grant: Grant) -> io::Result<()> {
        self.record(Entry::Granted { grant })
    }

    pub(super) fn rotate(&mut self, id: &str, refresh_hash: String) -> io::Result<()> {
        self.record(Entry::Rotated { grant_id: id.to_owned(), refresh_hash })
    }

    pub(super) fn end(&mut self, id: &str, now: i64) -> io::Result<()> {
        self.record(Entry::Ended { grant_id: id.to_owned(), at: now })
    }

    /// Ends every live grant of a customer; says how many there were.
    pub(super) fn end_all_of(&mut self, username: &str, now: i64) -> io::Result<usize> {
        let theirs =
            self.kept.grants.values().filter(|k| k.ended_at.is_none() && k.grant.username == username);
        let ids: Vec<String> = theirs.map(|k| k.grant.id.clone()).collect();
        ids.iter().try_for_each(|id| self.end(id, now))?;
        Ok(ids.len())
    }

    /// The live grant of an id.
    pub(super) fn live(&self, id: &str) -> Option<&Grant> {
        self.kept.grants.get(id).filter(|k| k.ended_at.is_none()).map(|k| &k.grant)
    }

    /// The grant of an id, ended or not.
    pub(super) fn any(&self, id: &str) -> Option<&Grant> {
        self.kept.grants.get(id).map(|k| &k.grant)
    }

    /// A customer's grants: those that live first, then the newest first.
    pub(super) fn of(&self, username: &str) -> Vec<Kept> {
        let theirs = self.kept.grants.values().filter(|k| k.grant.username == username);
        let mut theirs: Vec<Kept> = theirs.cloned().collect();
        theirs.sort_by_key(|k| (k.ended_at.is_some(), std::cmp::Reverse(k.grant.granted_at)));
        theirs
    }

    /// The live grant whose present refresh token this is.
    pub(super) fn by_refresh(&self, refresh_hash: &str) -> Option<&Grant> {
        let mut live = self.kept.grants.values().filter(|k| k.ended_at.is_none()).map(|k| &k.grant);
        live.find(|grant| crate::random::equal(&grant.refresh_hash, refresh_hash))
    }

    pub(super) fn used(&mut self, id: &str, now: i64) {
        if let Some(kept) = self.kept.grants.get_mut(id) {
            kept.last_used_at = Some(now);
        }
    }

    /// Every grant, the oldest first.
    pub(super) fn listed(&self) -> Vec<Listed> {
        let mut kept: Vec<&Kept> = self.kept.grants.values().collect();
        kept.sort_by_key(|kept| kept.grant.granted_at);
        let listed = kept.into_iter().map(|kept| Listed {
            grant_id: kept.grant.id.clone(),
            username: kept.grant.username.clone(),
            state: if kept.ended_at.is_some() { "ended" } else { "active" },
            accounts: kept.grant.accounts.clone(),
            last_used_at: kept.last_used_at,
        });
        listed.collect()
    }

    pub(super) fn introduce(&mut self, client: Client) -> io::Result<()> {
        self.record(Entry::ClientRegistered { client })
    }

    /// Deletes a client: what was granted to it ends (RFC 7592 §2.3).
    pub(super) fn forget(&mut self, id: &str, now: i64) -> io::Result<()> {
        let theirs = self.kept.grants.values().filter(|k| k.grant.client_id.as_deref() == Some(id));
        let ids: Vec<String> = theirs.filter(|k| k.ended_at.is_none()).map(|k| k.grant.id.clone()).collect();
        ids.iter().try_for_each(|id| self.end(id, now))?;
        self.record(Entry::ClientDeleted { client_id: id.to_owned() })
    }

    pub(super) fn client(&self, id: &str) -> Option<&Client> {
        self.kept.clients.get(id)
    }

    pub(super) fn clients(&self) -> Vec<String> {
        self.kept.clients.keys().cloned().collect()
    }

    fn record(&mut self, entry: Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        self.journal.write_all(&line)?;
        self.kept.apply(entry);
        Ok(())
    }
}

impl Book {
    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Granted { grant } => {
                self.grants.insert(grant.id.clone(), Kept { grant, ended_at: None, last_used_at: None });
            }
            Entry::Rotated { grant_id, refresh_hash } => {
                if let Some(kept) = self.grants.get_mut(&grant_id) {
                    kept.grant.refresh_hash = refresh_hash;
                }
            }
            Entry::Ended { grant_id, at } => {
                if let Some(kept) = self.grants.get_mut(&grant_id) {
                    kept.ended_at.get_or_insert(at);
                }
            }
            Entry::ClientRegistered { client } => {
                self.clients.insert(client.id.clone(), client);
            }
            Entry::ClientDeleted { client_id } => {
                self.clients.remove(&client_id);
            }
        }
    }
}
