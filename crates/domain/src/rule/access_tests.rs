//! Tests of the access check: the data that a token grants, and the states in which it grants nothing.

use super::*;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const TTL: Duration = Duration::from_mins(5);

fn seconds_from_now(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

fn clusters(scope: &str) -> Clusters {
    scope.parse::<Clusters>().unwrap()
}

fn state() -> AccessState {
    AccessState {
        connection_id: "con_1".parse().unwrap(),
        client_id: "dc-1".parse().unwrap(),
        provider_id: ProviderId::new(1000),
        sub: "sub".into(),
        status: ConnectionStatus::Active,
        cause: None,
        successor_active: false,
        provider_revocation: UpstreamRevocation::NotNeeded,
        expires_at: seconds_from_now(86_400),
        token_generation: 1,
        clusters: clusters("ACCOUNT_BASIC TRANSACTIONS"),
        accounts: None,
        client_state: ClientState::Active,
        profile: Profile::Flinks,
        registration_state: Some(RegistrationState::Active),
        provider_state: ProviderState::Active,
    }
}

fn claims() -> Claims {
    mint(&state(), "at_1".parse::<AccessTokenId>().unwrap(), state().clusters, NOW, TTL).unwrap()
}

fn expect_granted(state: AccessState) -> Box<GrantedAccess> {
    match check_access(claims(), Some(state), NOW) {
        AccessDecision::Granted(access) => access,
        other => panic!("{other:?}"),
    }
}

fn expect_rejection(claims: Claims, state: Option<AccessState>) -> TokenRejection {
    match check_access(claims, state, NOW) {
        AccessDecision::Rejected(rejection) => rejection,
        other => panic!("{other:?}"),
    }
}

#[test]
fn granted_access_is_limited_to_token_and_terms() {
    let access = expect_granted(AccessState { clusters: clusters("ACCOUNT_BASIC STATEMENTS"), ..state() });
    assert_eq!(access.clusters(), clusters("ACCOUNT_BASIC"));
    assert_eq!(access.ensure_allows(DataOperation::AccountList), Ok(()));
    assert_eq!(access.ensure_allows(DataOperation::Transactions), Err(DataAccessError::NotConsented));
}

#[test]
fn granted_access_covers_only_consented_accounts() {
    let access = expect_granted(AccessState { accounts: Some(Arc::from(["a".to_owned()])), ..state() });
    assert!(access.covers("a") && !access.covers("b") && !access.covers(""));
    assert!(expect_granted(state()).covers("anything"));
}

#[test]
fn ended_connection_denies_access_and_minting() {
    for status in [ConnectionStatus::Revoked, ConnectionStatus::Expired, ConnectionStatus::Abandoned] {
        let ended = AccessState { status, ..state() };
        assert!(
            matches!(check_access(claims(), Some(ended.clone()), NOW), AccessDecision::Ended(_)),
            "{status}"
        );
        assert_eq!(mint(&ended, claims().id, ended.clusters, NOW, TTL).unwrap_err(), MintError::Ended);
        assert!(matches!(
            expect_granted(state()).recheck(Some(ended), DataOperation::AccountList, NOW),
            Err(RecheckError::Ended(_))
        ));
    }
}

#[test]
fn expired_consent_denies_access_before_end_is_stored() {
    let expired = AccessState { expires_at: NOW, ..state() };
    assert!(matches!(check_access(claims(), Some(expired.clone()), NOW), AccessDecision::Ended(_)));
    assert_eq!(mint(&expired, claims().id, expired.clusters, NOW, TTL).unwrap_err(), MintError::Ended);
}

#[test]
fn pending_connection_denies_access_and_minting() {
    let pending = AccessState { status: ConnectionStatus::Pending, ..state() };
    assert_eq!(expect_rejection(claims(), Some(pending.clone())), TokenRejection::Unknown);
    assert_eq!(mint(&pending, claims().id, pending.clusters, NOW, TTL).unwrap_err(), MintError::Ended);
}

#[test]
fn token_of_other_generation_client_or_connection_is_rejected() {
    let other = |change: fn(&mut AccessState)| {
        let mut state = state();
        change(&mut state);
        Some(state)
    };
    assert_eq!(expect_rejection(claims(), other(|s| s.token_generation = 2)), TokenRejection::Superseded);
    assert_eq!(
        expect_rejection(claims(), other(|s| s.client_id = "dc-2".parse::<ClientId>().unwrap())),
        TokenRejection::Unknown
    );
    assert_eq!(
        expect_rejection(claims(), other(|s| s.connection_id = "con_2".parse::<ConnectionId>().unwrap())),
        TokenRejection::Unknown
    );
    assert_eq!(
        expect_rejection(claims(), other(|s| s.profile = Profile::Fapi2)),
        TokenRejection::WrongProfile
    );
    assert_eq!(expect_rejection(claims(), None), TokenRejection::Unknown);
}

#[test]
fn wrong_profile_is_rejected_before_state_is_checked() {
    let ended = AccessState { profile: Profile::Fapi2, status: ConnectionStatus::Revoked, ..state() };
    assert_eq!(expect_rejection(claims(), Some(ended)), TokenRejection::WrongProfile);
}

#[test]
fn pause_blocks_data_and_only_suspension_blocks_minting() {
    let outcome_after = |change: fn(&mut AccessState)| {
        let mut state = state();
        change(&mut state);
        let data = expect_granted(state.clone()).ensure_allows(DataOperation::AccountList).unwrap_err();
        (data, mint(&state, claims().id, state.clusters, NOW, TTL).err())
    };
    let recipient = (DataAccessError::Paused(PauseReason::RecipientSuspended), Some(MintError::Suspended));
    assert_eq!(outcome_after(|s| s.client_state = ClientState::Suspended), recipient);
    assert_eq!(outcome_after(|s| s.registration_state = Some(RegistrationState::Suspended)), recipient);
    assert_eq!(outcome_after(|s| s.registration_state = None), recipient);
    let provider = (DataAccessError::Paused(PauseReason::ProviderPaused), None);
    assert_eq!(outcome_after(|s| s.provider_state = ProviderState::Paused), provider);
    assert_eq!(outcome_after(|s| s.provider_state = ProviderState::Retired), provider);
    assert_eq!(outcome_after(|s| s.provider_state = ProviderState::AutoPaused), provider);
}

#[test]
fn recheck_rejects_token_that_expired_during_read() {
    let result =
        expect_granted(state()).recheck(Some(state()), DataOperation::AccountList, claims().expires_at);
    assert!(matches!(result, Err(RecheckError::TokenRejected(_))));
}

#[test]
fn successor_active_requires_replaced_connection() {
    let ended = |cause, successor_active| {
        let state = AccessState {
            status: ConnectionStatus::Revoked,
            cause: Some(cause),
            successor_active,
            ..state()
        };
        match check_access(claims(), Some(state), NOW) {
            AccessDecision::Ended(ended) => ended.successor_active,
            other => panic!("{other:?}"),
        }
    };
    assert!(ended(EndCause::Replaced, true));
    assert!(!ended(EndCause::Replaced, false));
    assert!(!ended(EndCause::Recipient, true));
}

proptest! {
    #[test]
    fn minted_token_expires_with_ttl_or_consent(left in 1_u64..2_000, ttl in 1_u64..300) {
        let state = AccessState { expires_at: seconds_from_now(left), ..state() };
        let claims = mint(&state, claims().id, state.clusters, NOW, Duration::from_secs(ttl)).unwrap();
        prop_assert_eq!(claims.expires_at, seconds_from_now(left.min(ttl)));
    }

    #[test]
    fn minted_token_scope_is_limited_to_terms(requested: u8, consented: u8) {
        let from_bits = |bits: u8| -> Clusters {
            crate::DataCluster::ALL.iter().copied().filter(|c| bits & 1 << *c as u8 != 0).collect()
        };
        let state = AccessState { clusters: from_bits(consented), ..state() };
        let claims = mint(&state, claims().id, from_bits(requested), NOW, TTL).unwrap();
        let TokenSubject::Connection { clusters, .. } = claims.subject else { unreachable!() };
        prop_assert!(clusters.first_missing_from(from_bits(consented)).is_none());
    }
}

#[test]
fn removed_recipient_denies_access_before_connections_end() {
    let removed = AccessState { client_state: ClientState::Closed, ..state() };
    assert!(matches!(check_access(claims(), Some(removed.clone()), NOW), AccessDecision::Ended(_)));
    assert_eq!(mint(&removed, claims().id, removed.clusters, NOW, TTL).unwrap_err(), MintError::Ended);
    assert!(matches!(
        expect_granted(state()).recheck(Some(removed), DataOperation::AccountList, NOW),
        Err(RecheckError::Ended(_))
    ));
}

#[test]
fn client_token_is_rejected_after_client_or_secret_change() {
    let client = crate::rule::authorize::tests::client;
    let subject = TokenSubject::Client { scope: ClientScope::ProvidersRead, generation: 1 };
    let own = Claims { client_id: client().id, subject, ..claims() };
    let access = check_client_access(&own, Some(client())).unwrap();
    assert_eq!((access.scope(), access.ensure_not_suspended()), (ClientScope::ProvidersRead, Ok(())));
    let suspended = Client { state: ClientState::Suspended, ..client() };
    assert!(check_client_access(&own, Some(suspended)).unwrap().ensure_not_suspended().is_err());
    for (client, rejection) in [
        (None, TokenRejection::Unknown),
        (Some(Client { id: "dc-2".parse::<ClientId>().unwrap(), ..client() }), TokenRejection::Unknown),
        (Some(Client { kind: ClientKind::Partner, ..client() }), TokenRejection::Unknown),
        (Some(Client { state: ClientState::Closed, ..client() }), TokenRejection::Unknown),
        (Some(Client { credential_generation: 2, ..client() }), TokenRejection::Superseded),
        (Some(Client { profile: Profile::Fapi2, ..client() }), TokenRejection::WrongProfile),
    ] {
        assert_eq!(check_client_access(&own, client).unwrap_err(), rejection);
    }
    assert_eq!(
        check_client_access(&claims(), Some(client())).unwrap_err(),
        TokenRejection::Unknown,
        "token of a connection must be rejected"
    );
}

#[test]
fn granted_access_names_connection_and_customer_of_token() {
    let access = expect_granted(state());

    assert_eq!((access.connection_id().as_str(), access.client_id().as_str()), ("con_1", "dc-1"));
    assert_eq!((access.provider_id().number(), access.sub()), (1000, "sub"));
}

#[test]
fn client_token_is_issued_unless_client_was_removed() {
    use crate::rule::client_auth::authenticate;
    use crate::secret::TokenHashes;
    let mint = |state| {
        let client = Client { state, ..crate::rule::authorize::tests::client() };
        let presented = TokenHashes::new(vec![client.secret_hash.clone()]);
        let authenticated = authenticate(Some(client), &presented).unwrap();
        mint_for_client(&authenticated, ClientScope::ProvidersRead, claims().id, NOW, TTL)
    };

    for state in [ClientState::Active, ClientState::Suspended] {
        let claims = mint(state).unwrap();
        let subject = TokenSubject::Client { scope: ClientScope::ProvidersRead, generation: 1 };
        assert_eq!((claims.subject, claims.expires_at), (subject, NOW.plus(TTL)), "{state}");
    }
    assert_eq!(mint(ClientState::Closed), Err(CLIENT_REMOVED));
}
