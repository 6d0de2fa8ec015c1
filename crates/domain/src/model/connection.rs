//! The connection: one customer's standing permission for one recipient to read from one provider.

use std::time::Duration;

use crate::id::{ClientId, ConnectionId, CustomerId, ProviderId};
use crate::scope::Clusters;
use crate::time::Timestamp;

use super::audit_event::{Actor, AuditHead};
use super::provider::ProviderSettings;

crate::str_enum! {
    /// Why a connection ended.
    pub enum EndCause {
        /// The recipient revoked it.
        Recipient = "recipient",
        /// The customer ended it.
        Customer = "customer",
        /// The provider ended it.
        Provider = "provider",
        /// An operator ended it.
        Operator = "operator",
        /// The recipient's partner ended it.
        Partner = "partner",
        /// The recipient was removed.
        ClientRemoved = "client_removed",
        /// The provider was removed.
        ProviderRemoved = "provider_removed",
        /// A newer login of the same customer took its place.
        Replaced = "replaced",
        /// Its authorization code was used twice.
        CodeReplayed = "code_replayed",
        /// The consent came to its end.
        ConsentEnd = "consent_end",
        /// Its refresh token was not used for too long.
        Idle = "idle",
        /// Its authorization code was never redeemed.
        NeverRedeemed = "never_redeemed",
    }
}

crate::str_enum! {
    /// The state as one word; what the database stores.
    pub enum ConnectionStatus {
        /// The provider agreed, the recipient has not redeemed the code yet.
        Pending = "pending",
        /// Data may flow.
        Active = "active",
        /// Ended by somebody.
        Revoked = "revoked",
        /// Ended by time.
        Expired = "expired",
        /// Never redeemed.
        Abandoned = "abandoned",
    }
}

crate::str_enum! {
    /// What the provider knows of an end.
    pub enum UpstreamRevocation {
        /// It is being told.
        Pending = "pending",
        /// It said yes.
        Accepted = "accepted",
        /// It was seen to refuse the old token.
        Verified = "verified",
        /// It said no.
        Refused = "refused",
        /// A refresh died without a word: a token that we never saw may live there.
        Unknown = "unknown",
        /// It offers no way to be told.
        Unsupported = "unsupported",
        /// It told us, or there is nothing to tell.
        NotNeeded = "not_needed",
        /// It could not be told in time; a person must look.
        Failed = "failed",
    }
}

/// How a connection ended. Ends are final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndDetails {
    /// Why.
    pub cause: EndCause,
    /// By whom.
    pub actor: Actor,
    /// When.
    pub at: Timestamp,
}

/// Where a connection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// The provider agreed; waits for the exchange until then.
    Pending {
        /// The end of the code's life.
        until: Timestamp,
    },
    /// Data may flow.
    Active,
    /// Over.
    Ended(EndDetails),
}

/// A connection as stored.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Its id; also the FDX consent id and the grant id.
    pub id: ConnectionId,
    /// The recipient.
    pub client_id: ClientId,
    /// The provider.
    pub provider_id: ProviderId,
    /// The customer.
    pub customer_id: CustomerId,
    /// The customer's name towards this recipient.
    pub sub: String,
    /// Where it stands.
    pub state: ConnectionState,
    /// The last agreed terms.
    pub terms_version: i64,
    /// Ends access tokens: those of another generation are refused.
    pub token_generation: i64,
    /// Fences refreshes at the provider.
    pub credential_version: i64,
    /// When the consent ends.
    pub expires_at: Timestamp,
    /// What the provider knows of the end.
    pub provider_revocation: UpstreamRevocation,
    /// The end of its audit chain.
    pub audit: AuditHead,
}

/// What a customer agreed to. Versioned: a change is a new version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What may be read.
    pub clusters: Clusters,
    /// Of which accounts (the provider's ids); all that the provider shows if absent.
    pub accounts: Option<Vec<String>>,
    /// The purpose that was shown.
    pub purpose: String,
    /// The language it was shown in.
    pub language: String,
    /// Which page text was shown (its version).
    pub page_version: String,
    /// Until when.
    pub expires_at: Timestamp,
    /// When the customer agreed.
    pub agreed_at: Timestamp,
}

/// What ending a connection means for its row and its provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndTransition {
    /// The new status.
    pub status: ConnectionStatus,
    /// Why, by whom, when.
    pub end: EndDetails,
    /// What the provider knows, to begin with.
    pub provider_revocation: UpstreamRevocation,
}

/// What is known of the provider's side when a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is found out by itself")]
pub struct UpstreamState {
    /// Whether the provider offers a way to be told.
    pub supports_revocation: bool,
    /// Whether a refresh token is in hand.
    pub has_refresh_token: bool,
    /// Whether a refresh began and has neither stored its answer nor given up: it may bring a token yet, or die
    /// with one that nobody saw.
    pub refresh_outcome_unknown: bool,
    /// Whether another live connection hangs from the same grant: to revoke would end that one too.
    pub grant_shared: bool,
}

impl UpstreamState {
    /// From what is held. A refresh that is under way hands its token to a job of its own, if it lives to.
    pub fn new(
        settings: &ProviderSettings,
        has_refresh_token: bool,
        lease: Option<Timestamp>,
        grant_shared: bool,
    ) -> Self {
        Self {
            supports_revocation: !settings.revoke.is_empty(),
            has_refresh_token,
            refresh_outcome_unknown: lease.is_some(),
            grant_shared,
        }
    }

    const fn initial_revocation(self) -> UpstreamRevocation {
        if !self.supports_revocation {
            UpstreamRevocation::Unsupported
        } else if self.grant_shared {
            UpstreamRevocation::NotNeeded
        } else if self.has_refresh_token {
            UpstreamRevocation::Pending
        } else if self.refresh_outcome_unknown {
            UpstreamRevocation::Unknown
        } else {
            UpstreamRevocation::NotNeeded
        }
    }
}

/// The connection has already ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlreadyEndedError(pub EndDetails);

impl Connection {
    /// The one transition to an end, whatever the cause.
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
    /// The status that an end of this cause leads to.
    pub const fn status(self) -> ConnectionStatus {
        match self {
            Self::ConsentEnd | Self::Idle => ConnectionStatus::Expired,
            Self::NeverRedeemed => ConnectionStatus::Abandoned,
            _ => ConnectionStatus::Revoked,
        }
    }
}

/// Why time ends a connection now, if it does. `last_used_at` is of its refresh token.
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

/// The longest account id of a provider: a longer one could not be shown to a recipient.
pub const MAX_ACCOUNT_ID_BYTES: usize = 150;
const MAX_ACCOUNTS: usize = 1000;
const MAX_GRANT_ID_BYTES: usize = 255;

/// Whether a provider's list of the chosen accounts can be kept: it is read at every use of the connection.
pub fn is_valid_account_list(ids: &[String]) -> bool {
    ids.len() <= MAX_ACCOUNTS && ids.iter().all(|id| is_short_text(id, MAX_ACCOUNT_ID_BYTES))
}

/// Whether a provider's name of a grant can be kept.
pub fn is_valid_grant_id(id: &str) -> bool {
    is_short_text(id, MAX_GRANT_ID_BYTES)
}

fn is_short_text(text: &str, max_bytes: usize) -> bool {
    (1..=max_bytes).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// When a consent ends: the earliest of the recipient's registered duration and the hub's maximum.
pub fn consent_expiry(agreed_at: Timestamp, registered_days: Option<u16>, maximum: Duration) -> Timestamp {
    const DAY: Duration = Duration::from_hours(24);
    let registered = registered_days.map_or(maximum, |days| DAY * u32::from(days));
    agreed_at.plus(registered.min(maximum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    pub(crate) fn connection(state: ConnectionState) -> Connection {
        Connection {
            id: ConnectionId::parse("con_1").unwrap(),
            client_id: ClientId::parse("dc-1").unwrap(),
            provider_id: ProviderId::new(1000),
            customer_id: CustomerId::parse("cus_1").unwrap(),
            sub: "sub".into(),
            state,
            terms_version: 1,
            token_generation: 1,
            credential_version: 1,
            expires_at: NOW,
            provider_revocation: UpstreamRevocation::NotNeeded,
            audit: AuditHead::default(),
        }
    }

    fn end(cause: EndCause) -> EndDetails {
        EndDetails { cause, actor: Actor::system("test"), at: NOW }
    }

    const REVOCABLE: UpstreamState = UpstreamState {
        supports_revocation: true,
        has_refresh_token: true,
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
    fn initial_revocation_follows_upstream_state() {
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
            revocation(UpstreamState { has_refresh_token: false, ..REVOCABLE }),
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
            revocation(UpstreamState {
                has_refresh_token: false,
                refresh_outcome_unknown: true,
                ..REVOCABLE
            }),
            UpstreamRevocation::Unknown
        );
    }

    #[test]
    fn expiry_cause_is_returned_only_for_due_connections() {
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
}
