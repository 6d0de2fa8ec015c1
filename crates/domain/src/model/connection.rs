//! The connection: the permission of one recipient to read the data of one customer at one provider.

use std::time::Duration;

use crate::id::{ClientId, ConnectionId, CustomerId, JobId, ProviderId};
use crate::scope::Clusters;
use crate::time::Timestamp;

use super::audit_event::{Actor, AuditHead};

crate::str_enum! {
    /// The reason why a connection ended.
    pub enum EndCause {
        /// The recipient revoked the connection.
        Recipient = "recipient",
        /// The customer ended the connection.
        Customer = "customer",
        /// The provider ended the grant, and reported so at a refresh (`invalid_grant`).
        Provider = "provider",
        /// An operator ended the connection.
        Operator = "operator",
        /// The recipient's partner ended the connection.
        Partner = "partner",
        /// The recipient was removed.
        ClientRemoved = "client_removed",
        /// The provider was removed.
        ProviderRemoved = "provider_removed",
        /// A newer connection of the same customer replaced it.
        Replaced = "replaced",
        /// The authorization code was used twice.
        CodeReplayed = "code_replayed",
        /// The consent expired.
        ConsentEnd = "consent_end",
        /// The refresh token expired after inactivity.
        Idle = "idle",
        /// The provider rejected the access token, and it had issued no refresh token.
        AccessTokenEnded = "access_token_ended",
        /// The authorization code was never exchanged.
        NeverRedeemed = "never_redeemed",
    }
}

crate::str_enum! {
    /// The stored status of a connection.
    pub enum ConnectionStatus {
        /// The provider granted access; the recipient has not exchanged the code yet.
        Pending = "pending",
        /// The recipient can read data.
        Active = "active",
        /// A party ended the connection before its consent expired.
        Revoked = "revoked",
        /// The connection ended because of its age or inactivity.
        Expired = "expired",
        /// The connection ended because the recipient never exchanged its authorization code.
        Abandoned = "abandoned",
    }
}

crate::str_enum! {
    /// The status of the revocation at the provider after a connection has ended.
    pub enum UpstreamRevocation {
        /// A job will revoke the token, or is doing so.
        Pending = "pending",
        /// The provider accepted the revocation.
        Accepted = "accepted",
        /// The hub observed that the provider rejects the revoked token.
        Verified = "verified",
        /// The provider refused the revocation or did not know the token.
        Refused = "refused",
        /// A refresh had no known outcome. The provider may have issued a token that the hub never stored.
        Unknown = "unknown",
        /// The provider offers no revocation.
        Unsupported = "unsupported",
        /// The provider ended the grant itself, or there is nothing to revoke.
        NotNeeded = "not_needed",
        /// No attempt succeeded within the retry window; manual action required.
        Failed = "failed",
    }
}

/// The end of a connection: its cause, actor and time. It is final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndDetails {
    /// The reason why the connection ended.
    pub cause: EndCause,
    /// The party that ended the connection.
    pub actor: Actor,
    /// The time at which the connection ended.
    pub at: Timestamp,
}

/// The state of a connection, with the data that only this state has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// The provider granted access; the connection waits for the exchange of its code.
    Pending {
        /// The time at which the authorization code expires.
        until: Timestamp,
    },
    /// The recipient can read data.
    Active,
    /// The connection has ended permanently.
    Ended(EndDetails),
}

/// A connection, as it is stored.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The id, which is also the FDX consent id and the grant id.
    pub id: ConnectionId,
    /// The recipient that reads the data.
    pub client_id: ClientId,
    /// The provider that delivers the data.
    pub provider_id: ProviderId,
    /// The customer who consented, and whose data is read.
    pub customer_id: CustomerId,
    /// The subject identifier of the customer at this recipient.
    pub sub: String,
    /// The state: pending, active or ended.
    pub state: ConnectionState,
    /// The version of the terms that apply now.
    pub terms_version: i64,
    /// The generation of the current access tokens. Tokens of another generation are rejected.
    pub token_generation: i64,
    /// The version of the provider's tokens, which each refresh increases. A refresh stores its result only if the
    /// version has not changed since the refresh began.
    pub credential_version: i64,
    /// The time at which the connection ends: with its consent, or before that with the provider's refresh token.
    pub expires_at: Timestamp,
    /// The status of the revocation at the provider. It has a meaning only after the connection has ended.
    pub provider_revocation: UpstreamRevocation,
    /// The newest job of the connection. Each job has the id of the one before it.
    pub newest_job: Option<JobId>,
    /// The last event of the connection's audit chain.
    pub audit: AuditHead,
}

/// The terms to which a customer consented. A change creates a new version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The data clusters that the recipient may read.
    pub clusters: Clusters,
    /// The number of accounts that the customer selected; if absent, every account that the provider returns. The ids of the
    /// accounts are stored sealed, and only the access check opens them.
    pub account_count: Option<u32>,
    /// The purpose that the consent page showed.
    pub purpose: String,
    /// The language of the consent page.
    pub language: String,
    /// The version of the text of the consent page.
    pub page_version: String,
    /// The time at which the consent ends. The connection may end earlier, with the refresh token of the provider, but never later.
    pub expires_at: Timestamp,
    /// The time at which the customer consented.
    pub agreed_at: Timestamp,
}

/// The changes to a connection's row when the connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndTransition {
    /// The final status: revoked, expired or abandoned, depending on the cause.
    pub status: ConnectionStatus,
    /// The cause, the actor and the time of the end.
    pub end: EndDetails,
    /// The initial status of the revocation at the provider.
    pub provider_revocation: UpstreamRevocation,
}

/// The facts that determine the revocation at the provider when a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the four facts are independent of each other")]
pub struct UpstreamState {
    /// The hub can revoke grants at the provider (`revoke` in its settings).
    pub supports_revocation: bool,
    /// The hub has a token of the provider: a refresh token, or at least an access token.
    pub has_token: bool,
    /// A refresh is in flight or has no known outcome, so that the provider may have issued a token that is not stored.
    pub refresh_outcome_unknown: bool,
    /// Another live connection uses the same grant, which a revocation would end too.
    pub grant_shared: bool,
}

impl UpstreamState {
    /// Determines the facts from stored values. `lease` is the expiry of a refresh's lease; absent if no refresh has
    /// one.
    pub const fn new(
        supports_revocation: bool,
        has_token: bool,
        lease: Option<Timestamp>,
        grant_shared: bool,
    ) -> Self {
        Self {
            supports_revocation,
            has_token,
            // Even an expired lease counts: a refresh that finished would have released it. One that still runs queues
            // a revocation job for the token that it gets.
            refresh_outcome_unknown: lease.is_some(),
            grant_shared,
        }
    }

    const fn initial_revocation(self) -> UpstreamRevocation {
        if !self.supports_revocation {
            UpstreamRevocation::Unsupported
        } else if self.grant_shared {
            // The last connection of the grant revokes it.
            UpstreamRevocation::NotNeeded
        } else if self.has_token {
            UpstreamRevocation::Pending
        } else if self.refresh_outcome_unknown {
            UpstreamRevocation::Unknown
        } else {
            UpstreamRevocation::NotNeeded
        }
    }
}

/// Error for a connection that has already ended, with the details of that end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlreadyEndedError(pub EndDetails);

impl Connection {
    /// Computes the changes that end the connection. They follow the same rules for every cause.
    pub fn end(&self, end: EndDetails, upstream: UpstreamState) -> Result<EndTransition, AlreadyEndedError> {
        if let ConnectionState::Ended(previous_end) = &self.state {
            return Err(AlreadyEndedError(previous_end.clone()));
        }
        Ok(EndTransition {
            status: end.cause.status(),
            provider_revocation: upstream.initial_revocation(),
            end,
        })
    }
}

impl EndCause {
    /// Returns the status of a connection that ended for this cause.
    pub const fn status(self) -> ConnectionStatus {
        match self {
            Self::ConsentEnd | Self::Idle | Self::AccessTokenEnded => ConnectionStatus::Expired,
            Self::NeverRedeemed => ConnectionStatus::Abandoned,
            _ => ConnectionStatus::Revoked,
        }
    }
}

/// Returns the cause for which a connection must end now because of its age or inactivity, if any. `last_used_at` is
/// the recorded last use of its refresh token; `idle` is the period after which an unused token expires.
pub fn expiry_cause(
    connection: &Connection,
    last_used_at: Option<Timestamp>,
    idle: Duration,
    now: Timestamp,
) -> Option<EndCause> {
    let is_idle = |used: Timestamp| now >= super::refresh_token::idle_expiry(used, idle);
    match connection.state {
        ConnectionState::Pending { until } if now >= until => Some(EndCause::NeverRedeemed),
        ConnectionState::Active if now >= connection.expires_at => Some(EndCause::ConsentEnd),
        ConnectionState::Active if last_used_at.is_some_and(is_idle) => Some(EndCause::Idle),
        ConnectionState::Pending { .. } | ConnectionState::Active | ConnectionState::Ended(_) => None,
    }
}

/// The maximum length of a provider's account id. Sealed, a longer one would not fit into the 256 characters of an FDX id.
pub const MAX_ACCOUNT_ID_BYTES: usize = 172;
const MAX_ACCOUNTS: usize = 1000;
const MAX_GRANT_ID_BYTES: usize = 255;

/// Returns whether a provider's list of consented accounts may be stored: the number of ids and the length of each are
/// limited, because every use of the connection reads the list.
pub fn is_valid_account_list(ids: &[String]) -> bool {
    ids.len() <= MAX_ACCOUNTS && ids.iter().all(|id| is_short_text(id, MAX_ACCOUNT_ID_BYTES))
}

/// Returns whether a provider's grant id may be stored: 1 to 255 bytes without control characters.
pub fn is_valid_grant_id(id: &str) -> bool {
    is_short_text(id, MAX_GRANT_ID_BYTES)
}

fn is_short_text(text: &str, max_bytes: usize) -> bool {
    (1..=max_bytes).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Returns the end of a consent: after the recipient's registered duration, but at most the hub's maximum.
pub fn consent_expiry(agreed_at: Timestamp, registered_days: Option<u16>, maximum: Duration) -> Timestamp {
    const DAY: Duration = Duration::from_hours(24);
    let registered = registered_days.map_or(maximum, |days| DAY * u32::from(days));
    agreed_at.plus(registered.min(maximum))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    pub(crate) fn connection(state: ConnectionState) -> Connection {
        Connection {
            id: "con_1".parse().unwrap(),
            client_id: "dc-1".parse().unwrap(),
            provider_id: ProviderId::new(1000),
            customer_id: "cus_1".parse().unwrap(),
            sub: "sub".into(),
            state,
            terms_version: 1,
            token_generation: 1,
            credential_version: 1,
            expires_at: NOW,
            provider_revocation: UpstreamRevocation::NotNeeded,
            newest_job: None,
            audit: AuditHead::default(),
        }
    }

    fn end(cause: EndCause) -> EndDetails {
        EndDetails { cause, actor: Actor::system("test"), at: NOW }
    }

    const REVOCABLE: UpstreamState = UpstreamState {
        supports_revocation: true,
        has_token: true,
        refresh_outcome_unknown: false,
        grant_shared: false,
    };

    fn causes() -> impl Strategy<Value = EndCause> {
        prop::sample::select(EndCause::ALL)
    }

    proptest! {
        #[test]
        fn ended_connection_cannot_be_ended_again(first in causes(), second in causes()) {
            let ended = connection(ConnectionState::Ended(end(first)));
            prop_assert_eq!(ended.end(end(second), REVOCABLE), Err(AlreadyEndedError(end(first))));
        }

        #[test]
        fn every_cause_ends_pending_and_active_connections(cause in causes()) {
            for state in [ConnectionState::Pending { until: NOW }, ConnectionState::Active] {
                let transition = connection(state).end(end(cause), REVOCABLE).unwrap();
                prop_assert!(!matches!(transition.status, ConnectionStatus::Pending | ConnectionStatus::Active));
                prop_assert_eq!(transition.provider_revocation, UpstreamRevocation::Pending);
            }
        }
    }

    #[test]
    fn provider_revocation_at_end_follows_upstream_state() {
        let revocation = |upstream| {
            connection(ConnectionState::Active)
                .end(end(EndCause::Recipient), upstream)
                .unwrap()
                .provider_revocation
        };
        assert_eq!(
            revocation(UpstreamState { supports_revocation: false, ..REVOCABLE }),
            UpstreamRevocation::Unsupported
        );
        assert_eq!(
            revocation(UpstreamState { has_token: false, ..REVOCABLE }),
            UpstreamRevocation::NotNeeded
        );
        assert_eq!(
            revocation(UpstreamState { grant_shared: true, ..REVOCABLE }),
            UpstreamRevocation::NotNeeded
        );
        assert_eq!(
            revocation(UpstreamState { grant_shared: true, refresh_outcome_unknown: true, ..REVOCABLE }),
            UpstreamRevocation::NotNeeded
        );
        let shared_and_unsupported =
            UpstreamState { grant_shared: true, supports_revocation: false, ..REVOCABLE };
        assert_eq!(revocation(shared_and_unsupported), UpstreamRevocation::Unsupported);
        assert_eq!(
            revocation(UpstreamState { has_token: false, refresh_outcome_unknown: true, ..REVOCABLE }),
            UpstreamRevocation::Unknown
        );
    }

    #[test]
    fn expiry_cause_is_returned_only_when_expiry_is_reached() {
        const DAY: Duration = Duration::from_hours(24);
        let later = NOW.plus(DAY);
        let active = Connection { expires_at: later, ..connection(ConnectionState::Active) };
        assert_eq!(expiry_cause(&active, Some(NOW), DAY, NOW), None);
        assert_eq!(expiry_cause(&active, Some(NOW.minus(DAY * 2)), DAY, NOW), Some(EndCause::Idle));
        assert_eq!(expiry_cause(&active, Some(NOW), DAY, later), Some(EndCause::ConsentEnd));
        let pending = connection(ConnectionState::Pending { until: later });
        assert_eq!(expiry_cause(&pending, None, DAY, NOW), None);
        assert_eq!(expiry_cause(&pending, None, DAY, later), Some(EndCause::NeverRedeemed));
        assert_eq!(
            expiry_cause(&connection(ConnectionState::Ended(end(EndCause::Recipient))), None, DAY, later),
            None
        );
    }

    #[test]
    fn consent_expiry_is_earlier_of_recipient_and_hub_limit() {
        const DAY: u64 = 24;
        let year = Duration::from_hours(365 * DAY);
        assert_eq!(consent_expiry(NOW, None, year), NOW.plus(year));
        assert_eq!(consent_expiry(NOW, Some(90), year), NOW.plus(Duration::from_hours(90 * DAY)));
        assert_eq!(consent_expiry(NOW, Some(900), year), NOW.plus(year));
    }

    #[test]
    fn final_status_follows_cause_of_end() {
        for cause in EndCause::ALL.iter().copied() {
            let expected = match cause {
                EndCause::ConsentEnd | EndCause::Idle | EndCause::AccessTokenEnded => {
                    ConnectionStatus::Expired
                }
                EndCause::NeverRedeemed => ConnectionStatus::Abandoned,
                _ => ConnectionStatus::Revoked,
            };
            assert_eq!(cause.status(), expected, "{cause}");
        }
    }

    #[test]
    fn account_list_and_grant_id_are_limited() {
        let longest = "x".repeat(MAX_ACCOUNT_ID_BYTES);
        let list = |id: &str, count: usize| vec![id.to_owned(); count];
        for (ids, is_valid) in [
            (list("a", 0), true),
            (list(&longest, MAX_ACCOUNTS), true),
            (list("a", MAX_ACCOUNTS + 1), false),
            (list(&format!("{longest}x"), 1), false),
            (vec!["a".to_owned(), String::new()], false),
            (vec!["a\n".to_owned(), "a".to_owned()], false),
        ] {
            assert_eq!(is_valid_account_list(&ids), is_valid, "{} of {:?}", ids.len(), ids.first());
        }
        for (id, is_valid) in [
            ("grant 1/é", true),
            (&*"x".repeat(MAX_GRANT_ID_BYTES), true),
            (&*"x".repeat(MAX_GRANT_ID_BYTES + 1), false),
            ("", false),
            ("a\u{0}", false),
        ] {
            assert_eq!(is_valid_grant_id(id), is_valid, "{id:?}");
        }
    }
}
