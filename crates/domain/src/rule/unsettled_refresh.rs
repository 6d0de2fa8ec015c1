//! Refreshes whose outcome is unknown: what later responses prove about the refresh token that the provider may have issued.
//!
//! A provider that processed such a refresh may have replaced the refresh token by one that the hub never received. The
//! revocation of the stored token then does not prove that the grant has ended. Of all later responses, only the success of
//! a refresh with the same token proves something:
//!
//! - If the response contains no other refresh token, the provider has not replaced the token that was sent. So a refresh
//!   that had ended before left no other token, whether the provider processed it or not.
//! - If the response contains another refresh token, nothing is proved: a provider may accept a token that it has replaced for
//!   a while, and then issue one more.
//!
//! A refusal proves nothing either: the provider refuses a token that it has replaced, and one whose grant has ended.

use crate::time::Timestamp;

/// The refreshes of a credential whose outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsettledRefresh {
    /// The stored refresh token was sent. The provider may be processing the request until this time.
    StoredToken(Timestamp),
    /// A refresh token was sent that has been replaced since, or one was issued that was not stored. Later responses do not
    /// concern it, so this is final.
    OtherToken,
}

/// Adds a refresh with the stored token whose outcome is unknown. The provider may be processing it until `until`.
pub fn add_unsettled(earlier: Option<UnsettledRefresh>, until: Timestamp) -> UnsettledRefresh {
    match earlier {
        Some(UnsettledRefresh::OtherToken) => UnsettledRefresh::OtherToken,
        Some(UnsettledRefresh::StoredToken(earlier)) => UnsettledRefresh::StoredToken(earlier.max(until)),
        None => UnsettledRefresh::StoredToken(until),
    }
}

/// Returns what remains unsettled after a refresh with the stored token has succeeded. The request was sent at `sent_at` or
/// later; `has_new_token` is true if the response contains another refresh token than the one that was sent.
pub fn settle_refresh(
    unsettled: Option<UnsettledRefresh>,
    sent_at: Timestamp,
    has_new_token: bool,
) -> Option<UnsettledRefresh> {
    match unsettled? {
        UnsettledRefresh::OtherToken => Some(UnsettledRefresh::OtherToken),
        UnsettledRefresh::StoredToken(_) if has_new_token => Some(UnsettledRefresh::OtherToken),
        UnsettledRefresh::StoredToken(until) if until <= sent_at => None,
        // The provider may process the earlier request after this one, and replace the token then.
        UnsettledRefresh::StoredToken(until) => Some(UnsettledRefresh::StoredToken(until)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn unchanged_token_settles_refreshes_that_have_ended() {
        let unsettled = Some(UnsettledRefresh::StoredToken(at(20)));

        assert_eq!(settle_refresh(unsettled, at(20), false), None);
        assert_eq!(settle_refresh(unsettled, at(19), false), unsettled);
        assert_eq!(settle_refresh(None, at(19), false), None);
    }

    #[test]
    fn new_token_leaves_an_earlier_refresh_unsettled_forever() {
        let replaced = settle_refresh(Some(UnsettledRefresh::StoredToken(at(20))), at(100), true);

        assert_eq!(replaced, Some(UnsettledRefresh::OtherToken));
        for has_new_token in [false, true] {
            assert_eq!(settle_refresh(replaced, at(1_000), has_new_token), replaced);
        }
        assert_eq!(settle_refresh(None, at(100), true), None);
    }

    #[test]
    fn further_unknown_outcome_extends_the_wait() {
        let first = add_unsettled(None, at(20));

        let second = add_unsettled(Some(first), at(60));

        assert_eq!(
            (first, second),
            (UnsettledRefresh::StoredToken(at(20)), UnsettledRefresh::StoredToken(at(60)))
        );
        assert_eq!(add_unsettled(Some(second), at(30)), second);
        assert_eq!(add_unsettled(Some(UnsettledRefresh::OtherToken), at(90)), UnsettledRefresh::OtherToken);
    }
}
