//! Those who call wrongly, each with what it has in hand.

use std::time::Duration;

use domain::id::ConnectionId;
use domain::model::provider::ProviderState;

use crate::kit::{Kit, Recipient, Tokens};

/// Everything that the banks offer.
pub(crate) const EVERYTHING: &str = "ACCOUNT_BASIC ACCOUNT_DETAILED ACCOUNT_PAYMENTS INVESTMENTS TRANSACTIONS \
                                     STATEMENTS CUSTOMER_CONTACT CUSTOMER_PERSONAL";
/// What the wrong callers are registered for: all but one.
pub(super) const ALMOST: &str = "ACCOUNT_BASIC ACCOUNT_DETAILED ACCOUNT_PAYMENTS INVESTMENTS TRANSACTIONS STATEMENTS \
                                 CUSTOMER_CONTACT";
pub(super) const BEYOND: &str = "CUSTOMER_PERSONAL";

/// Who calls, and what is wrong with it. The victim is alice's connection of Acme at Maple Trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Caller {
    /// No credentials at all.
    Anonymous,
    /// Something in the header that is no bearer, and no Basic either.
    Malformed,
    /// A token, a name or a secret that nobody issued.
    Forged,
    /// Another recipient of the same customer.
    Foreign,
    /// A token of the client itself.
    ClientToken,
    /// A token without the cluster that the operation needs.
    Narrow,
    /// A token whose time is over.
    Expired,
    /// A token of a connection that was revoked.
    Ended,
    /// A token of a connection in whose place a newer one lives.
    Replaced,
    /// The same recipient, for another customer.
    OtherCustomer,
    /// A recipient that is held.
    Suspended,
    /// A recipient whose provider is held.
    Paused,
    /// A partner that manages others than the victim.
    OtherPartner,
}

impl Caller {
    pub(super) const ALL: [Self; 13] = [
        Self::Anonymous,
        Self::Malformed,
        Self::Forged,
        Self::Foreign,
        Self::ClientToken,
        Self::Narrow,
        Self::Expired,
        Self::Ended,
        Self::Replaced,
        Self::OtherCustomer,
        Self::Suspended,
        Self::Paused,
        Self::OtherPartner,
    ];
}

/// What a caller has in hand.
pub(super) struct Hand {
    pub(super) caller: Caller,
    /// The value of its `Authorization` header.
    pub(super) authorization: Option<String>,
    pub(super) recipient: Option<Recipient>,
    /// What it presents as a refresh token.
    pub(super) refresh: String,
    pub(super) provider_id: i64,
    pub(super) connection: Option<ConnectionId>,
}

impl Hand {
    fn new(caller: Caller, recipient: &Recipient, tokens: &Tokens, access: &str) -> Self {
        Self {
            caller,
            authorization: Some(format!("Bearer {access}")),
            recipient: Some(recipient.clone()),
            refresh: tokens.refresh.clone(),
            provider_id: 1000,
            connection: Some(tokens.id.clone()),
        }
    }
}

async fn other(kit: &Kit, provider_id: i64) -> (Recipient, Tokens) {
    let recipient = kit.recipient(&[provider_id], ALMOST, false).await;
    let tokens = kit.connect_at(provider_id, &recipient, "alice", &[], ALMOST).await;
    (recipient, tokens)
}

/// The victim, and every wrong caller beside it.
pub(super) async fn hands(kit: &Kit) -> (Tokens, Vec<Hand>) {
    let acme = kit.acme();
    let (late, expired) = other(kit, 1000).await;
    kit.advance(Duration::from_mins(5));
    let victim = kit.connect_at(1000, &acme, "alice", &["mt-alice-chequing"], EVERYTHING).await;
    let bob = kit.connect_at(1000, &acme, "bob", &["mt-bob-chequing"], EVERYTHING).await;
    let mut hands = Vec::new();
    for caller in Caller::ALL {
        let hand = match caller {
            Caller::Anonymous | Caller::Malformed | Caller::Forged => {
                let authorization = match caller {
                    Caller::Malformed => Some("Basic !".to_owned()),
                    Caller::Forged => Some("Bearer a.b.c".to_owned()),
                    _ => None,
                };
                let recipient = Recipient { secret: "wrong".into(), ..acme.clone() };
                let recipient = (caller == Caller::Forged).then_some(recipient);
                let refresh = victim.refresh.clone();
                Hand { caller, authorization, recipient, refresh, provider_id: 1000, connection: None }
            }
            Caller::OtherPartner => {
                let partner = kit.partner();
                let authorization = Some(format!("Bearer {}", kit.client_token(&partner).await));
                let (recipient, refresh) = (Some(partner), victim.refresh.clone());
                Hand { caller, authorization, recipient, refresh, provider_id: 1000, connection: None }
            }
            Caller::Expired => Hand {
                refresh: expired.access.clone(),
                ..Hand::new(caller, &late, &expired, &expired.access)
            },
            Caller::OtherCustomer => {
                Hand { refresh: bob.access.clone(), ..Hand::new(caller, &acme, &bob, &bob.access) }
            }
            Caller::Paused => {
                let (recipient, tokens) = other(kit, 2000).await;
                Hand { provider_id: 2000, ..Hand::new(caller, &recipient, &tokens, &tokens.access) }
            }
            _ => {
                let (recipient, tokens) = other(kit, 1000).await;
                of(kit, caller, &recipient, tokens, &victim).await
            }
        };
        hands.push(hand);
    }
    kit.hold_provider(2000, ProviderState::Paused).await;
    (victim, hands)
}

async fn of(kit: &Kit, caller: Caller, recipient: &Recipient, tokens: Tokens, victim: &Tokens) -> Hand {
    let mut hand = Hand::new(caller, recipient, &tokens, &tokens.access);
    match caller {
        Caller::Foreign => hand.refresh.clone_from(&victim.refresh),
        Caller::ClientToken => {
            hand.authorization = Some(format!("Bearer {}", kit.client_token(recipient).await));
            hand.recipient = None;
        }
        Caller::Narrow => {
            let narrow = kit.narrowed(recipient, &tokens, "INVESTMENTS").await;
            hand.authorization = Some(format!("Bearer {narrow}"));
        }
        Caller::Ended => assert_eq!(kit.revoke(&tokens.access).await.status, 204),
        Caller::Replaced => drop(kit.connect_at(1000, recipient, "alice", &[], ALMOST).await),
        Caller::Suspended => kit.suspend(recipient).await,
        _ => unreachable!("{caller:?} is made elsewhere"),
    }
    hand
}
