//! The lease of this node, which its sessions share: decides which sessions may be opened, and whether their rows may be used.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::rule::node_lease::{NodeLease, SessionUse, StoredLease, Timeline};

use crate::error::{Result, StoreError};
use crate::settings::UptimeClock;

/// The lease of this node and the clock of its renewals.
#[derive(Debug)]
pub(super) struct LeaseGuard {
    lease: Mutex<NodeLease>,
    uptime: UptimeClock,
}

impl LeaseGuard {
    pub(super) fn new(duration: Duration, uptime: UptimeClock) -> Self {
        Self { lease: Mutex::new(NodeLease::new(duration)), uptime }
    }

    pub(super) fn uptime(&self) -> Duration {
        self.uptime.read()
    }

    pub(super) fn duration(&self) -> Duration {
        self.lock().duration()
    }

    /// Decides on a session that was opened with the primary of a timeline.
    pub(super) fn admit(&self, timeline: Timeline, renews: bool) -> Result<()> {
        let uptime = self.uptime();
        let (session_use, had_accepted) = {
            let mut lease = self.lock();
            let had_accepted = lease.is_valid_now(uptime);
            (lease.meet(timeline, uptime), had_accepted)
        };
        match session_use {
            SessionUse::Serving => Ok(()),
            SessionUse::Renewal => {
                if had_accepted {
                    tracing::warn!(%timeline, "met a new primary: requests are refused until the leases of other nodes have expired");
                }
                if renews { Ok(()) } else { Err(unavailable(NEW_PRIMARY)) }
            }
            SessionUse::Nothing => Err(unavailable(DEMOTED)),
        }
    }

    /// Returns whether a session that was opened before may still be used.
    pub(super) fn allows_session(&self, timeline: Timeline, renews: bool) -> bool {
        match self.lock().session_use(timeline) {
            SessionUse::Serving => true,
            SessionUse::Renewal => renews,
            SessionUse::Nothing => false,
        }
    }

    /// Checks that rows which were read on a session of a timeline before this call are not those of a demoted primary.
    pub(super) fn ensure_valid(&self, timeline: Timeline) -> Result<()> {
        if self.lock().is_valid(timeline, self.uptime()) { Ok(()) } else { Err(unavailable(EXPIRED)) }
    }

    /// Returns whether this node may serve now.
    pub(super) fn is_valid(&self) -> bool {
        self.lock().is_valid_now(self.uptime())
    }

    pub(super) fn has_accepted(&self, timeline: Timeline) -> bool {
        self.lock().has_accepted(timeline)
    }

    pub(super) fn remaining_wait(&self, timeline: Timeline, stored: &[StoredLease]) -> Duration {
        self.lock().remaining_wait(timeline, stored, self.uptime())
    }

    pub(super) fn renew(&self, timeline: Timeline, sent_at: Duration) {
        self.lock().renew(timeline, sent_at);
    }

    fn lock(&self) -> MutexGuard<'_, NodeLease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const NEW_PRIMARY: &str =
    "the server became primary, and the leases of other nodes on the former one have not expired yet";
const DEMOTED: &str = "a newer primary has replaced this server; if that was reverted, restart the hub";
const EXPIRED: &str = "no renewal of this node's lease was confirmed in time: the server may no longer be the primary, or its \
    synchronous standby does not respond";

fn unavailable(reason: &str) -> StoreError {
    StoreError::Unavailable(reason.to_owned())
}
