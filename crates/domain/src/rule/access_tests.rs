use super::*;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const TTL: Duration = Duration::from_mins(5);

fn later(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

fn set(scope: &str) -> Clusters {
    Clusters::parse(scope).unwrap()
}

fn state() -> AccessState {
    AccessState {
        connection_id: ConnectionId::parse("con_1").unwrap(),
        client_id: ClientId::parse("dc-1").unwrap(),
        provider_id: ProviderId::new(1000),
        sub: "sub".into(),
        status: Status::Active,
        cause: None,
        successor_active: false,
        bank: BankState::NotNeeded,
        expires_at: later(86_400),
        token_generation: 1,
        clusters: set("ACCOUNT_BASIC TRANSACTIONS"),
        accounts: None,
        client_state: ClientState::Active,
        profile: Profile::Flinks,
        registration_state: Some(RegistrationState::Active),
        provider_state: ProviderState::Active,
    }
}

fn claims() -> Claims {
    mint(&state(), AccessTokenId::parse("at_1").unwrap(), state().clusters, NOW, TTL).unwrap()
}

fn live(state: AccessState) -> Box<Access> {
    match present(claims(), Some(state), NOW) {
        Presented::Live(access) => access,
        other => panic!("{other:?}"),
    }
}

fn refused(claims: Claims, state: Option<AccessState>) -> Refusal {
    match present(claims, state, NOW) {
        Presented::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_live_connection_serves_what_token_and_terms_both_allow() {
    let access = live(AccessState { clusters: set("ACCOUNT_BASIC STATEMENTS"), ..state() });
    assert_eq!(access.clusters(), set("ACCOUNT_BASIC"));
    assert_eq!(access.allows(Operation::AccountList), Ok(()));
    assert_eq!(access.allows(Operation::Transactions), Err(DataRefusal::NotConsented));
}

#[test]
fn only_consented_accounts_are_covered() {
    let access = live(AccessState { accounts: Some(Arc::from(["a".to_owned()])), ..state() });
    assert!(access.covers("a") && !access.covers("b") && !access.covers(""));
    assert!(live(state()).covers("anything"));
}

#[test]
fn an_ended_connection_serves_and_mints_nothing() {
    for status in [Status::Revoked, Status::Expired, Status::Abandoned] {
        let ended = AccessState { status, ..state() };
        assert!(matches!(present(claims(), Some(ended.clone()), NOW), Presented::Ended(_)), "{status}");
        assert_eq!(mint(&ended, claims().id, ended.clusters, NOW, TTL).unwrap_err(), MintRefusal::Ended);
        assert!(matches!(
            live(state()).again(Some(ended), Operation::AccountList, NOW),
            Err(Again::Ended(_))
        ));
    }
}

#[test]
fn the_consents_end_is_an_end_before_anybody_wrote_it_down() {
    let over = AccessState { expires_at: NOW, ..state() };
    assert!(matches!(present(claims(), Some(over.clone()), NOW), Presented::Ended(_)));
    assert_eq!(mint(&over, claims().id, over.clusters, NOW, TTL).unwrap_err(), MintRefusal::Ended);
}

#[test]
fn a_pending_connection_has_no_tokens() {
    let pending = AccessState { status: Status::Pending, ..state() };
    assert_eq!(refused(claims(), Some(pending.clone())), Refusal::Unknown);
    assert_eq!(mint(&pending, claims().id, pending.clusters, NOW, TTL).unwrap_err(), MintRefusal::Ended);
}

#[test]
fn a_token_of_another_generation_client_connection_or_face_is_refused() {
    let other = |change: fn(&mut AccessState)| {
        let mut state = state();
        change(&mut state);
        Some(state)
    };
    assert_eq!(refused(claims(), other(|s| s.token_generation = 2)), Refusal::Superseded);
    assert_eq!(
        refused(claims(), other(|s| s.client_id = ClientId::parse("dc-2").unwrap())),
        Refusal::Unknown
    );
    assert_eq!(
        refused(claims(), other(|s| s.connection_id = ConnectionId::parse("con_2").unwrap())),
        Refusal::Unknown
    );
    assert_eq!(refused(claims(), other(|s| s.profile = Profile::Fapi2)), Refusal::WrongFace);
    assert_eq!(refused(claims(), None), Refusal::Unknown);
}

#[test]
fn a_thief_on_the_wrong_face_learns_nothing_of_the_state() {
    let ended = AccessState { profile: Profile::Fapi2, status: Status::Revoked, ..state() };
    assert_eq!(refused(claims(), Some(ended)), Refusal::WrongFace);
}

#[test]
fn holds_pause_data_and_only_the_recipients_hold_pauses_tokens() {
    let held = |change: fn(&mut AccessState)| {
        let mut state = state();
        change(&mut state);
        let data = live(state.clone()).allows(Operation::AccountList).unwrap_err();
        (data, mint(&state, claims().id, state.clusters, NOW, TTL).err())
    };
    let recipient = (DataRefusal::Held(Hold::Recipient), Some(MintRefusal::Suspended));
    assert_eq!(held(|s| s.client_state = ClientState::Suspended), recipient);
    assert_eq!(held(|s| s.registration_state = Some(RegistrationState::Suspended)), recipient);
    assert_eq!(held(|s| s.registration_state = None), recipient);
    let provider = (DataRefusal::Held(Hold::Provider), None);
    assert_eq!(held(|s| s.provider_state = ProviderState::Paused), provider);
    assert_eq!(held(|s| s.provider_state = ProviderState::Retired), provider);
    assert_eq!(held(|s| s.provider_state = ProviderState::Tripped), provider);
}

#[test]
fn a_read_under_way_is_cut_off_when_its_token_dies() {
    let again = live(state()).again(Some(state()), Operation::AccountList, claims().expires_at);
    assert!(matches!(again, Err(Again::Refused(_))));
}

#[test]
fn only_a_replaced_connection_with_a_living_successor_says_so() {
    let ended = |cause, successor_active| {
        let state = AccessState { status: Status::Revoked, cause: Some(cause), successor_active, ..state() };
        match present(claims(), Some(state), NOW) {
            Presented::Ended(ended) => ended.successor_active,
            other => panic!("{other:?}"),
        }
    };
    assert!(ended(Cause::Replaced, true));
    assert!(!ended(Cause::Replaced, false));
    assert!(!ended(Cause::Recipient, true));
}

proptest! {
    #[test]
    fn a_minted_token_never_outlives_five_minutes_or_the_consent(left in 1_u64..2_000, ttl in 1_u64..300) {
        let state = AccessState { expires_at: later(left), ..state() };
        let claims = mint(&state, claims().id, state.clusters, NOW, Duration::from_secs(ttl)).unwrap();
        prop_assert_eq!(claims.expires_at, later(left.min(ttl)));
    }

    #[test]
    fn a_minted_token_never_carries_more_than_the_terms(wanted: u8, agreed: u8) {
        let of = |bits: u8| -> Clusters {
            crate::DataCluster::ALL.into_iter().filter(|c| bits & 1 << *c as u8 != 0).collect()
        };
        let state = AccessState { clusters: of(agreed), ..state() };
        let claims = mint(&state, claims().id, of(wanted), NOW, TTL).unwrap();
        let Bearing::Connection { clusters, .. } = claims.bearing else { unreachable!() };
        prop_assert!(clusters.first_beyond(of(agreed)).is_none());
    }
}

#[test]
fn a_removed_recipient_is_over_before_its_connections_are_written_down() {
    let gone = AccessState { client_state: ClientState::Closed, ..state() };
    assert!(matches!(present(claims(), Some(gone.clone()), NOW), Presented::Ended(_)));
    assert_eq!(mint(&gone, claims().id, gone.clusters, NOW, TTL).unwrap_err(), MintRefusal::Ended);
    assert!(matches!(live(state()).again(Some(gone), Operation::AccountList, NOW), Err(Again::Ended(_))));
}

#[test]
fn a_clients_own_token_dies_with_its_secret_its_client_and_its_kind() {
    let client = crate::rule::authorize::tests::client;
    let bearing = Bearing::Client { scope: ClientScope::ProvidersRead, generation: 1 };
    let own = Claims { client_id: client().id, bearing, ..claims() };
    let access = present_client(&own, Some(client())).unwrap();
    assert_eq!((access.scope(), access.allows_more()), (ClientScope::ProvidersRead, Ok(())));
    let held = Client { state: ClientState::Suspended, ..client() };
    assert!(present_client(&own, Some(held)).unwrap().allows_more().is_err());
    for (client, refusal) in [
        (None, Refusal::Unknown),
        (Some(Client { id: ClientId::parse("dc-2").unwrap(), ..client() }), Refusal::Unknown),
        (Some(Client { kind: ClientKind::Partner, ..client() }), Refusal::Unknown),
        (Some(Client { state: ClientState::Closed, ..client() }), Refusal::Unknown),
        (Some(Client { credential_generation: 2, ..client() }), Refusal::Superseded),
        (Some(Client { profile: Profile::Fapi2, ..client() }), Refusal::WrongFace),
    ] {
        assert_eq!(present_client(&own, client).unwrap_err(), refusal);
    }
    assert_eq!(present_client(&claims(), Some(client())).unwrap_err(), Refusal::Unknown, "a connection's");
}
