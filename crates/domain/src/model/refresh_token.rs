//! A refresh token: bound to the client, does not rotate, idles out.

use std::time::Duration;

use crate::id::{ClientId, ConnectionId};
use crate::time::Timestamp;

/// A refresh token as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// The connection it hangs from.
    pub connection_id: ConnectionId,
    /// Who may use it.
    pub client_id: ClientId,
    /// The last recorded use. A use is recorded at most once in 24 hours, so that a refresh only reads.
    pub last_used_at: Timestamp,
}

impl RefreshToken {
    /// Whether a use at `now` should be recorded.
    pub fn should_record_use(&self, now: Timestamp) -> bool {
        now.since(self.last_used_at) >= Duration::from_hours(24)
    }
}

/// When a token last used then idles out: after the configured time and the day that recording may lag behind.
pub fn idle_expiry(last_used_at: Timestamp, idle: Duration) -> Timestamp {
    last_used_at.plus(idle).plus(Duration::from_hours(24))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn token() -> RefreshToken {
        RefreshToken {
            connection_id: ConnectionId::parse("con_1").unwrap(),
            client_id: ClientId::parse("dc-1").unwrap(),
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
