//! The time at which the hub's access token at a provider must be refreshed.

use std::time::Duration;

use crate::time::Timestamp;

/// The remaining lifetime below which an access token is refreshed, so that it does not expire during a call.
const MAX_MARGIN: Duration = Duration::from_secs(30);

/// Returns whether an access token must be refreshed before it is used. The margin is at most a quarter of its lifetime,
/// because a token that lives shorter than the margin would be refreshed for each call.
pub fn needs_refresh(issued_at: Timestamp, expires_at: Timestamp, now: Timestamp) -> bool {
    let margin = MAX_MARGIN.min(expires_at.since(issued_at) / 4);
    now.plus(margin) >= expires_at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refresh_margin_adapts_to_short_lifetimes() {
        let needs_refresh = |lifetime: i64, age: i64| {
            let at = Timestamp::from_seconds;
            needs_refresh(at(1_000), at(1_000 + lifetime), at(1_000 + age))
        };

        for (lifetime, last_use) in [(300, 269), (120, 89), (60, 44), (20, 14), (4, 2)] {
            assert!(!needs_refresh(lifetime, last_use), "{lifetime}");
            assert!(needs_refresh(lifetime, last_use + 1), "{lifetime}");
        }
        assert!(needs_refresh(0, 0));
        assert!(needs_refresh(-10, 0), "a token that was issued expired");
    }
}
