//! The connection: one customer's standing permission for one recipient to read from one provider.

use std::time::Duration;

use crate::id::{ClientId, ConnectionId, CustomerId, ProviderId};
use crate::scope::Clusters;
use crate::time::Timestamp;

use super::audit_event::{Actor, AuditHead};
use super::provider::ProviderSettings;

crate::words! {
    /// Why a connection ended.
    pub enum Cause {
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

crate::words! {
    /// The state as one word; what the database stores.
    pub enum Status {
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

crate::words! {
    /// What the provider knows of an end.
    pub enum BankState {
        /// It is being told.
        Pending = "pending",
        /// It said yes.
        Accepted = "accepted",
        /// It was seen to refuse the old token.
        Verified = "verified",
        /// It said no.
        Refused = "refused",
        /// A refresh died without a word: a token that we never saw may live there.
        Unverified = "unverified",
        /// It offers no way to be told.
        Unsupported = "unsupported",
        /// It told us, or there is nothing to tell.
        NotNeeded = "not_needed",
        /// It could not be told in time; a person must look.
        Dead = "dead",
    }
}

/// How a connection ended. Ends are final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Why.
    pub cause: Cause,
    /// By whom.
    pub actor: Actor,
    /// When.
    pub at: Timestamp,
}

/// Where a connection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The provider agreed; waits for the exchange until then.
    Pending {
        /// The end of the code's life.
        until: Timestamp,
    },
    /// Data may flow.
    Active,
    /// Over.
    Ended(End),
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
    pub state: State,
    /// The last agreed terms.
    pub terms_version: i64,
    /// Ends access tokens: those of another generation are refused.
    pub token_generation: i64,
    /// Fences refreshes at the provider.
    pub credential_version: i64,
    /// When the consent ends.
    pub expires_at: Timestamp,
    /// What the provider knows of the end.
    pub bank: BankState,
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
pub struct Ending {
    /// The new status.
    pub status: Status,
    /// Why, by whom, when.
    pub end: End,
    /// What the provider knows, to begin with.
    pub bank: BankState,
}

/// What is known of the provider's side when a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is found out by itself")]
pub struct ProviderSide {
    /// Whether the provider offers a way to be told.
    pub can_be_told: bool,
    /// Whether a refresh token is in hand.
    pub holds_token: bool,
    /// Whether a refresh began and has neither stored its answer nor given up: it may bring a token yet, or die
    /// with one that nobody saw.
    pub unheard: bool,
    /// Whether another live connection hangs from the same grant: to revoke would end that one too.
    pub shared: bool,
}

impl ProviderSide {
    /// From what is held. A refresh that is under way hands its token to a job of its own, if it lives to.
    pub fn new(
        settings: &ProviderSettings,
        holds_token: bool,
        lease: Option<Timestamp>,
        shared: bool,
    ) -> Self {
        Self { can_be_told: !settings.revoke.is_empty(), holds_token, unheard: lease.is_some(), shared }
    }

    const fn to_begin_with(self) -> BankState {
        if !self.can_be_told {
            BankState::Unsupported
        } else if self.shared {
            BankState::NotNeeded
        } else if self.holds_token {
            BankState::Pending
        } else if self.unheard {
            BankState::Unverified
        } else {
            BankState::NotNeeded
        }
    }
}

/// The connection has already ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlreadyEnded(pub End);

impl Connection {
    /// The one transition to an end, whatever the cause.
    pub fn end(&self, end: End, side: ProviderSide) -> Result<Ending, AlreadyEnded> {
        if let State::Ended(before) = &self.state {
            return Err(AlreadyEnded(before.clone()));
        }
        Ok(Ending { status: end.cause.status(), bank: side.to_begin_with(), end })
    }
}

impl Cause {
    /// The status that an end of this cause leads to.
    pub const fn status(self) -> Status {
        match self {
            Self::ConsentEnd | Self::Idle => Status::Expired,
            Self::NeverRedeemed => Status::Abandoned,
            _ => Status::Revoked,
        }
    }
}

/// Why time ends a connection now, if it does. `last_used_at` is of its refresh token.
pub fn due(
    connection: &Connection,
    last_used_at: Option<Timestamp>,
    idle: Duration,
    now: Timestamp,
) -> Option<Cause> {
    let idled = |used: Timestamp| now >= super::refresh_token::idle_end(used, idle);
    match connection.state {
        State::Pending { until } if now >= until => Some(Cause::NeverRedeemed),
        State::Active if now >= connection.expires_at => Some(Cause::ConsentEnd),
        State::Active if last_used_at.is_some_and(idled) => Some(Cause::Idle),
        State::Pending { .. } | State::Active | State::Ended(_) => None,
    }
}

/// The longest account id of a provider: a longer one could not be shown to a recipient.
pub const LONGEST_ACCOUNT_ID: usize = 150;
const MOST_ACCOUNTS: usize = 1000;
const LONGEST_GRANT_ID: usize = 255;

/// Whether a provider's list of the chosen accounts can be kept: it is read at every use of the connection.
pub fn are_accounts(ids: &[String]) -> bool {
    ids.len() <= MOST_ACCOUNTS && ids.iter().all(|id| is_short_text(id, LONGEST_ACCOUNT_ID))
}

/// Whether a provider's name of a grant can be kept.
pub fn is_grant_id(id: &str) -> bool {
    is_short_text(id, LONGEST_GRANT_ID)
}

fn is_short_text(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// When a consent ends: the earliest of the recipient's registered duration and the hub's maximum.
pub fn consent_end(agreed_at: Timestamp, registered_days: Option<u16>, maximum: Duration) -> Timestamp {
    const DAY: Duration = Duration::from_hours(24);
    let registered = registered_days.map_or(maximum, |days| DAY * u32::from(days));
    agreed_at.plus(registered.min(maximum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    pub(crate) fn connection(state: State) -> Connection {
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
            bank: BankState::NotNeeded,
            audit: AuditHead::default(),
        }
    }

    fn end(cause: Cause) -> End {
        End { cause, actor: Actor::system("test"), at: NOW }
    }

    const TOLD: ProviderSide =
        ProviderSide { can_be_told: true, holds_token: true, unheard: false, shared: false };

    fn causes() -> impl Strategy<Value = Cause> {
        prop::sample::select(Cause::ALL)
    }

    proptest! {
        #[test]
        fn an_end_is_final_whatever_comes_after(first in causes(), second in causes()) {
            let ended = connection(State::Ended(end(first)));
            prop_assert_eq!(ended.end(end(second), TOLD), Err(AlreadyEnded(end(first))));
        }

        #[test]
        fn every_cause_ends_a_pending_and_an_active_connection(cause in causes()) {
            for state in [State::Pending { until: NOW }, State::Active] {
                let ending = connection(state).end(end(cause), TOLD).unwrap();
                prop_assert!(!matches!(ending.status, Status::Pending | Status::Active));
                prop_assert_eq!(ending.bank, BankState::Pending);
            }
        }
    }

    #[test]
    fn what_the_provider_knows_follows_from_what_is_in_hand() {
        let told = |side| connection(State::Active).end(end(Cause::Recipient), side).unwrap().bank;
        assert_eq!(told(ProviderSide { can_be_told: false, ..TOLD }), BankState::Unsupported);
        assert_eq!(told(ProviderSide { holds_token: false, ..TOLD }), BankState::NotNeeded);
        assert_eq!(told(ProviderSide { shared: true, ..TOLD }), BankState::NotNeeded);
        assert_eq!(told(ProviderSide { shared: true, unheard: true, ..TOLD }), BankState::NotNeeded);
        let shared_and_deaf = ProviderSide { shared: true, can_be_told: false, ..TOLD };
        assert_eq!(told(shared_and_deaf), BankState::Unsupported);
        assert_eq!(told(ProviderSide { holds_token: false, unheard: true, ..TOLD }), BankState::Unverified);
    }

    #[test]
    fn time_ends_what_is_over_and_nothing_else() {
        const DAY: Duration = Duration::from_hours(24);
        let later = NOW.plus(DAY);
        let live = Connection { expires_at: later, ..connection(State::Active) };
        assert_eq!(due(&live, Some(NOW), DAY, NOW), None);
        assert_eq!(due(&live, Some(NOW.minus(DAY * 2)), DAY, NOW), Some(Cause::Idle));
        assert_eq!(due(&live, Some(NOW), DAY, later), Some(Cause::ConsentEnd));
        let pending = connection(State::Pending { until: later });
        assert_eq!(due(&pending, None, DAY, NOW), None);
        assert_eq!(due(&pending, None, DAY, later), Some(Cause::NeverRedeemed));
        assert_eq!(due(&connection(State::Ended(end(Cause::Recipient))), None, DAY, later), None);
    }

    #[test]
    fn a_consent_ends_at_the_earlier_of_the_recipients_and_the_hubs_limit() {
        const DAY: u64 = 24;
        let year = Duration::from_hours(365 * DAY);
        assert_eq!(consent_end(NOW, None, year), NOW.plus(year));
        assert_eq!(consent_end(NOW, Some(90), year), NOW.plus(Duration::from_hours(90 * DAY)));
        assert_eq!(consent_end(NOW, Some(900), year), NOW.plus(year));
    }
}
