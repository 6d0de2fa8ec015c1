//! The refresh token. It is bound to its client, is not rotated, and expires after inactivity.

use std::time::Duration;

use crate::id::{ClientId, ConnectionId};
use crate::time::Timestamp;

/// The precision of the recorded last use of a token. A later use within this period is not recorded.
const USE_PRECISION: Duration = Duration::from_hours(24);

/// A refresh token of the hub, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// The connection for which the token gets access tokens.
    pub connection_id: ConnectionId,
    /// The client to which the token was issued.
    pub client_id: ClientId,
    /// The last recorded use. The actual last use may be up to 24 hours later.
    pub last_used_at: Timestamp,
}

impl RefreshToken {
    /// Returns whether a use at `now` must be recorded.
    pub fn should_record_use(&self, now: Timestamp) -> bool {
        // One write in 24 hours is enough: all other refreshes then only read from the store.
        now.since(self.last_used_at) >= USE_PRECISION
    }
}

/// Returns the time at which a token expires unless it is used again. `idle` is the permitted period without use.
pub fn idle_expiry(last_used_at: Timestamp, idle: Duration) -> Timestamp {
    // The actual last use may be up to 24 hours later than the recorded one.
    last_used_at.plus(idle).plus(USE_PRECISION)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn token() -> RefreshToken {
        RefreshToken {
            connection_id: "con_1".parse().unwrap(),
            client_id: "dc-1".parse().unwrap(),
            last_used_at: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn refresh_token_use_is_recorded_once_a_day() {
        let day = token().last_used_at.plus(DAY);
        assert!(token().should_record_use(day));
        assert!(!token().should_record_use(day.minus(Duration::from_millis(1))));
    }

    #[test]
    fn idle_expiry_allows_for_unrecorded_last_use() {
        let idle = DAY * 30;
        let unrecorded_use = token().last_used_at.plus(DAY).minus(Duration::from_millis(1));
        let end = idle_expiry(token().last_used_at, idle);
        assert!(end > unrecorded_use.plus(idle) && end <= unrecorded_use.plus(idle).plus(DAY));
    }
}
