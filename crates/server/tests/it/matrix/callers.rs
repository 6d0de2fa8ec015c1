//! The unauthorized callers with which every route is tested, each with its credentials.

use std::time::Duration;

use domain::id::ConnectionId;
use domain::model::provider::ProviderState;

use crate::support::{ConnectionTokens, TestClient, TestHub};

/// A scope with every data cluster that the sandbox banks offer.
pub(crate) const FULL_SCOPE: &str = "ACCOUNT_BASIC ACCOUNT_DETAILED ACCOUNT_PAYMENTS INVESTMENTS TRANSACTIONS \
                                     STATEMENTS CUSTOMER_CONTACT CUSTOMER_PERSONAL";
/// The scope of the unauthorized callers: all clusters but one.
pub(super) const LIMITED_SCOPE: &str = "ACCOUNT_BASIC ACCOUNT_DETAILED ACCOUNT_PAYMENTS INVESTMENTS TRANSACTIONS STATEMENTS \
                                 CUSTOMER_CONTACT";
pub(super) const EXCLUDED_SCOPE: &str = "CUSTOMER_PERSONAL";

/// A kind of unauthorized caller. The target of the calls is the connection of the customer alice with the recipient
/// Acme at Maple Trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum UnauthorizedCaller {
    /// A caller that sends neither a token nor a client secret.
    Anonymous,
    /// A caller with a malformed `Authorization` header.
    Malformed,
    /// A caller with a token, id or secret that was never issued.
    Forged,
    /// Another recipient to which the same customer gave consent.
    Foreign,
    /// The recipient of the target, with its token from the grant `client_credentials`.
    ClientToken,
    /// A recipient whose token lacks the cluster that the operation needs.
    Narrow,
    /// The recipient of the target, with an expired token.
    Expired,
    /// A recipient with the token of a revoked connection.
    Ended,
    /// A recipient with the token of a connection that a newer one has replaced.
    Replaced,
    /// The recipient of the target, with the connection of another customer.
    OtherCustomer,
    /// A recipient that an operator has suspended, with its valid token.
    Suspended,
    /// A recipient whose provider is paused.
    Paused,
    /// A partner that does not manage the recipient of the target.
    OtherPartner,
}

impl UnauthorizedCaller {
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

/// The credentials that a caller sends.
pub(super) struct CallerCredentials {
    pub(super) caller: UnauthorizedCaller,
    /// The value of the `Authorization` header, if the caller sends one.
    pub(super) authorization: Option<String>,
    pub(super) recipient: Option<TestClient>,
    /// The value that the caller sends as a refresh token.
    pub(super) refresh: String,
    pub(super) provider_id: i64,
    pub(super) connection: Option<ConnectionId>,
}

impl CallerCredentials {
    fn new(
        caller: UnauthorizedCaller,
        recipient: &TestClient,
        tokens: &ConnectionTokens,
        access: &str,
    ) -> Self {
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

async fn connect_other_recipient(kit: &TestHub, provider_id: i64) -> (TestClient, ConnectionTokens) {
    let recipient = kit.register_recipient(&[provider_id], LIMITED_SCOPE, false).await;
    let tokens = kit.connect_at(provider_id, &recipient, "alice", &[], LIMITED_SCOPE).await;
    (recipient, tokens)
}

/// Creates the target connection and the credentials of every unauthorized caller.
pub(super) async fn prepare_callers(kit: &TestHub) -> (ConnectionTokens, Vec<CallerCredentials>) {
    let acme = kit.acme();
    let (late, expired) = connect_other_recipient(kit, 1000).await;
    kit.advance(Duration::from_mins(5));
    let victim = kit.connect_at(1000, &acme, "alice", &["mt-alice-chequing"], FULL_SCOPE).await;
    let bob = kit.connect_at(1000, &acme, "bob", &["mt-bob-chequing"], FULL_SCOPE).await;
    let mut prepared = Vec::new();
    for caller in UnauthorizedCaller::ALL {
        let credentials = match caller {
            UnauthorizedCaller::Anonymous | UnauthorizedCaller::Malformed | UnauthorizedCaller::Forged => {
                let authorization = match caller {
                    UnauthorizedCaller::Malformed => Some("Basic !".to_owned()),
                    UnauthorizedCaller::Forged => Some("Bearer a.b.c".to_owned()),
                    _ => None,
                };
                let recipient = TestClient { secret: "wrong".into(), ..acme.clone() };
                let recipient = (caller == UnauthorizedCaller::Forged).then_some(recipient);
                let refresh = victim.refresh.clone();
                CallerCredentials {
                    caller,
                    authorization,
                    recipient,
                    refresh,
                    provider_id: 1000,
                    connection: None,
                }
            }
            UnauthorizedCaller::OtherPartner => {
                let partner = kit.partner();
                let authorization = Some(format!("Bearer {}", kit.request_client_token(&partner).await));
                let (recipient, refresh) = (Some(partner), victim.refresh.clone());
                CallerCredentials {
                    caller,
                    authorization,
                    recipient,
                    refresh,
                    provider_id: 1000,
                    connection: None,
                }
            }
            UnauthorizedCaller::Expired => CallerCredentials {
                refresh: expired.access.clone(),
                ..CallerCredentials::new(caller, &late, &expired, &expired.access)
            },
            UnauthorizedCaller::OtherCustomer => CallerCredentials {
                refresh: bob.access.clone(),
                ..CallerCredentials::new(caller, &acme, &bob, &bob.access)
            },
            UnauthorizedCaller::Paused => {
                let (recipient, tokens) = connect_other_recipient(kit, 2000).await;
                CallerCredentials {
                    provider_id: 2000,
                    ..CallerCredentials::new(caller, &recipient, &tokens, &tokens.access)
                }
            }
            _ => {
                let (recipient, tokens) = connect_other_recipient(kit, 1000).await;
                prepare_recipient_caller(kit, caller, &recipient, tokens, &victim).await
            }
        };
        prepared.push(credentials);
    }
    kit.set_provider_state(2000, ProviderState::Paused).await;
    (victim, prepared)
}

async fn prepare_recipient_caller(
    kit: &TestHub,
    caller: UnauthorizedCaller,
    recipient: &TestClient,
    tokens: ConnectionTokens,
    victim: &ConnectionTokens,
) -> CallerCredentials {
    let mut credentials = CallerCredentials::new(caller, recipient, &tokens, &tokens.access);
    match caller {
        UnauthorizedCaller::Foreign => credentials.refresh.clone_from(&victim.refresh),
        UnauthorizedCaller::ClientToken => {
            credentials.authorization = Some(format!("Bearer {}", kit.request_client_token(recipient).await));
            credentials.recipient = None;
        }
        UnauthorizedCaller::Narrow => {
            let narrow = kit.request_narrowed_token(recipient, &tokens, "INVESTMENTS").await;
            credentials.authorization = Some(format!("Bearer {narrow}"));
        }
        UnauthorizedCaller::Ended => assert_eq!(kit.revoke(&tokens.access).await.status, 204),
        UnauthorizedCaller::Replaced => {
            drop(kit.connect_at(1000, recipient, "alice", &[], LIMITED_SCOPE).await);
        }
        UnauthorizedCaller::Suspended => kit.suspend(recipient).await,
        _ => unreachable!("{caller:?} is made elsewhere"),
    }
    credentials
}
