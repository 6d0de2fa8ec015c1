//! Tests of commands of partners and operators: recipients, their secrets and removal, and registrations with their
//! steps.

use domain::id::{ClientId, ProviderId};
use domain::model::client::{ClientKind, ClientState};
use domain::model::connection::{ConnectionState, EndCause};
use domain::model::provider::UpstreamClientMode;
use domain::model::registration::{RegistrationState, RegistrationStep};
use store::command::{
    ClientSelector, ClientUpdate, EndConnection, EndOutcome, FinishClientRemoval, PairRejection,
    RejectedPair, RemoveClient, RemoveClientOutcome, RequestRegistrations, SealedUpstreamClient,
    StepRejected, TakeRegistrationStep, UpsertProvider,
};
use store::query::{
    GetClient, GetRecipient, GetRecipientConnection, GetUpstreamClient, ListClientRemovals,
    ListLiveConnections, ListPartnerRegistrations, ListRecipientConnections, ListRecipientRegistrations,
    ListRecipients, StoredUpstreamClient,
};

use crate::support::{
    MAX_PARTNER_RECIPIENTS, TestStore, build_provider, hash, on_both, operator_actor, parse_client_id,
};

on_both!(
    client_update_writes_one_audit_event_unless_unchanged,
    client_removal_closes_client_before_its_connections_end,
    partner_can_access_only_its_own_recipients,
    registration_requests_are_all_or_nothing,
    registration_steps_follow_allowed_transitions,
    recipient_connection_pages_have_no_gaps,
    partner_pages_have_no_gaps_or_duplicates,
    concurrent_creations_stay_below_limit_of_partner,
);

fn build_selector(id: &str, partner: Option<&str>) -> ClientSelector {
    ClientSelector { client_id: parse_client_id(id), kind: None, partner: partner.map(parse_client_id) }
}

async fn client_update_writes_one_audit_event_unless_unchanged(kit: TestStore) {
    let before = kit.client_audit_actions("dc-acme").await.len();
    let uris = |uri: &str| ClientUpdate::RedirectUris(vec![uri.into()]);
    assert!(kit.update_client("dc-acme", uris("https://new.example.org/")).await);
    assert!(
        kit.update_client("dc-acme", uris("https://new.example.org/")).await,
        "a repeated change writes no event"
    );
    assert!(kit.update_client("dc-acme", ClientUpdate::Secret(hash("other"))).await);
    assert!(kit.update_client("dc-acme", ClientUpdate::Suspended(true)).await);
    assert!(
        kit.update_client("dc-acme", ClientUpdate::Suspended(true)).await,
        "the client is already suspended"
    );
    assert!(!kit.update_client("dc-unknown", ClientUpdate::Suspended(true)).await);
    let stored = kit.store.query(&GetClient { id: parse_client_id("dc-acme") }).await.unwrap().unwrap();
    assert_eq!((stored.credential_generation, stored.secret_hash), (2, hash("other")));
    assert_eq!(
        (stored.state, &*stored.redirect_uris[0]),
        (ClientState::Suspended, "https://new.example.org/")
    );
    let words = kit.client_audit_actions("dc-acme").await;
    assert_eq!(
        words[before..],
        ["client.redirect_uris_replaced", "client.secret_regenerated", "client.state_changed"]
    );
}

async fn client_removal_closes_client_before_its_connections_end(kit: TestStore) {
    let active = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    let pending = kit.create_pending_connection("b", "dc-acme", Some("bob")).await;
    let other = kit.create_active_connection("c", "dc-other", Some("alice")).await;
    let remove = |id| RemoveClient {
        moment: kit.next_moment(),
        selector: build_selector(id, None),
        actor: operator_actor(),
    };
    for (id, outcome) in [
        ("dc-unknown", RemoveClientOutcome::NotFound),
        ("dc-acme", RemoveClientOutcome::Removed),
        ("dc-acme", RemoveClientOutcome::AlreadyRemoved),
    ] {
        assert_eq!(kit.store.run(remove(id)).await.unwrap(), outcome);
    }
    assert!(
        !kit.update_client("dc-acme", ClientUpdate::Suspended(false)).await,
        "a removed client cannot be reinstated"
    );
    assert_eq!(kit.find_end_cause(&active).await, None, "closing does not wait for connections to end");

    let removals = kit.store.query(&ListClientRemovals { after: None, limit: 10 }).await.unwrap();
    assert_eq!((removals.len(), &removals[0].client_id), (1, &parse_client_id("dc-acme")));
    assert_eq!(removals[0].actor, operator_actor());
    let finish = || FinishClientRemoval { moment: kit.next_moment(), client_id: parse_client_id("dc-acme") };
    let page = |after| ListLiveConnections { client_id: parse_client_id("dc-acme"), after, limit: 1 };
    let first = kit.store.query(&page(None)).await.unwrap();
    let second = kit.store.query(&page(first.next.clone())).await.unwrap();
    let last = kit.store.query(&page(second.next.clone())).await.unwrap();
    assert_eq!((last.ids.len(), last.next), (0, None));
    let live = [first.ids, second.ids].concat();
    assert_eq!(live, [active.clone(), pending.clone()]);
    for connection_id in live {
        let (moment, cause) = (kit.next_moment(), EndCause::ClientRemoved);
        let end = EndConnection { moment, connection_id, cause, actor: operator_actor(), fence: None };
        assert_eq!(kit.store.end_connection(end).await.unwrap(), EndOutcome::Ended(cause));
    }
    kit.store.run(finish()).await.unwrap();
    assert!(kit.store.query(&ListClientRemovals { after: None, limit: 10 }).await.unwrap().is_empty());
    assert_eq!(kit.find_end_cause(&active).await, Some(EndCause::ClientRemoved));
    assert!(matches!(kit.get_connection(&pending).await.state, ConnectionState::Ended(_)));
    assert_eq!(kit.find_end_cause(&other).await, None, "another's connection remains active");
    let removed = kit.client_audit_actions("dc-acme").await;
    assert_eq!(removed.iter().filter(|word| **word == "client.removed").count(), 1);
}

/// Creates two partners. The first manages one recipient.
async fn register_partners(kit: &TestStore) {
    for id in ["pt-one", "pt-two"] {
        assert!(kit.register_client(id).await);
    }
    kit.register_under_partner("dc-mine", "pt-one").await;
}

async fn partner_can_access_only_its_own_recipients(kit: TestStore) {
    register_partners(&kit).await;
    let get_recipient = |partner: &str, id: &str| GetRecipient {
        partner: parse_client_id(partner),
        client_id: parse_client_id(id),
    };
    assert!(kit.store.query(&get_recipient("pt-one", "dc-mine")).await.unwrap().is_some());
    for (partner, id) in [("pt-two", "dc-mine"), ("pt-one", "dc-acme"), ("pt-one", "pt-one")] {
        assert!(kit.store.query(&get_recipient(partner, id)).await.unwrap().is_none(), "{partner} {id}");
    }
    let listed = async |partner| {
        let list = ListRecipients { partner: parse_client_id(partner), after: None, limit: 10 };
        kit.store.query(&list).await.unwrap().rows
    };
    assert_eq!(listed("pt-one").await.iter().map(|r| r.client.id.as_str()).collect::<Vec<_>>(), ["dc-mine"]);
    assert!(listed("pt-two").await.is_empty());
    let remove = |partner| RemoveClient {
        moment: kit.next_moment(),
        selector: build_selector("dc-mine", Some(partner)),
        actor: operator_actor(),
    };
    assert_eq!(kit.store.run(remove("pt-two")).await.unwrap(), RemoveClientOutcome::NotFound);
    assert_eq!(kit.store.run(remove("pt-one")).await.unwrap(), RemoveClientOutcome::Removed);
    assert!(listed("pt-one").await.is_empty());
    let removed = kit.store.query(&get_recipient("pt-one", "dc-mine")).await.unwrap().unwrap();
    assert_eq!(removed.client.state, ClientState::Closed);
}

fn build_registration_requests(
    kit: &TestStore,
    partner: &str,
    clients: &[&str],
    providers: &[i64],
) -> RequestRegistrations {
    RequestRegistrations {
        moment: kit.next_moment(),
        partner: Some(parse_client_id(partner)),
        clients: clients.iter().map(|id| parse_client_id(id)).collect(),
        providers: providers.iter().map(|id| ProviderId::new(*id)).collect(),
        actor: operator_actor(),
    }
}

async fn registration_requests_are_all_or_nothing(kit: TestStore) {
    register_partners(&kit).await;
    kit.register_under_partner("dc-second", "pt-one").await;
    let (moment, second) = (kit.next_moment(), build_provider(2000));
    kit.store
        .run(UpsertProvider { moment, provider: second, actor: operator_actor(), plan: None })
        .await
        .unwrap();
    let bad = |client_id: &str, provider_id, why| RejectedPair {
        client_id: parse_client_id(client_id),
        provider_id: ProviderId::new(provider_id),
        reason: why,
    };
    let refused = kit
        .store
        .run(build_registration_requests(&kit, "pt-one", &["dc-mine", "dc-acme"], &[1000, 3000]))
        .await
        .unwrap();
    assert_eq!(
        refused.unwrap_err(),
        [
            bad("dc-acme", 1000, PairRejection::RecipientNotFound),
            bad("dc-acme", 3000, PairRejection::RecipientNotFound),
            bad("dc-mine", 3000, PairRejection::ProviderNotAvailable),
        ]
    );
    let list_registrations = |id: &str| ListRecipientRegistrations { client_id: parse_client_id(id) };
    assert!(
        kit.store.query(&list_registrations("dc-mine")).await.unwrap().is_empty(),
        "the request is all-or-nothing"
    );

    let both = build_registration_requests(&kit, "pt-one", &["dc-mine", "dc-second"], &[1000, 2000]);
    kit.store.run(both).await.unwrap().unwrap();
    let pending = RegistrationState::PendingApproval;
    for id in ["dc-mine", "dc-second"] {
        let registrations = kit.store.query(&list_registrations(id)).await.unwrap();
        assert_eq!(registrations.iter().map(|r| r.state).collect::<Vec<_>>(), [pending; 2]);
        assert_eq!(registrations[0].requested_at, kit.now);
        assert_eq!(kit.client_audit_actions(id).await.last(), Some(&"registration.changed"));
    }
    let repeated =
        kit.store.run(build_registration_requests(&kit, "pt-one", &["dc-mine"], &[1000])).await.unwrap();
    assert_eq!(repeated.unwrap_err(), [bad("dc-mine", 1000, PairRejection::Duplicate(pending))]);
    let list_under_partner = |id| ListPartnerRegistrations {
        partner: parse_client_id(id),
        client_id: None,
        after: None,
        limit: 10,
    };
    let registrations = kit.store.query(&list_under_partner("pt-one")).await.unwrap().rows;
    assert_eq!(
        (registrations.len(), &*registrations[0].client_name, &*registrations[0].provider.name),
        (4, "Acme", "Maple")
    );
    assert!(kit.store.query(&list_under_partner("pt-two")).await.unwrap().rows.is_empty());
}

fn build_registration_step(
    kit: &TestStore,
    step: RegistrationStep,
    upstream: Option<SealedUpstreamClient>,
) -> TakeRegistrationStep {
    TakeRegistrationStep {
        moment: kit.next_moment(),
        client_id: parse_client_id("dc-mine"),
        provider_id: ProviderId::new(1000),
        step,
        reason: (step == RegistrationStep::Suspend).then(|| "on hold".into()),
        upstream_client: upstream,
        actor: operator_actor(),
    }
}

async fn registration_steps_follow_allowed_transitions(kit: TestStore) {
    use RegistrationStep::{Activate, Approve, Reinstate, Suspend};
    register_partners(&kit).await;
    assert_eq!(
        kit.store.run(build_registration_step(&kit, Approve, None)).await.unwrap(),
        Err(StepRejected::RegistrationNotFound)
    );
    kit.store.run(build_registration_requests(&kit, "pt-one", &["dc-mine"], &[1000])).await.unwrap().unwrap();
    let early = kit.store.run(build_registration_step(&kit, Activate, None)).await.unwrap();
    assert!(matches!(early, Err(StepRejected::WrongState(_))));
    let sealed_client = SealedUpstreamClient {
        client_id: "their-id".into(),
        data_key: vec![1],
        secret: vec![2],
        has_secret: true,
        configuration_access: Some(vec![3]),
    };
    let expect_state = |result: Result<RegistrationState, StepRejected>| result.unwrap().as_str();
    assert_eq!(
        expect_state(kit.store.run(build_registration_step(&kit, Approve, None)).await.unwrap()),
        "pending_activation"
    );
    let refused =
        kit.store.run(build_registration_step(&kit, Activate, Some(sealed_client.clone()))).await.unwrap();
    assert_eq!(
        refused,
        Err(StepRejected::UpstreamClientNotAccepted),
        "the provider knows only the hub's client"
    );

    kit.overwrite_settings(|settings| settings.upstream_client = UpstreamClientMode::PerRegistration).await;
    let without_secret = SealedUpstreamClient { has_secret: false, ..sealed_client.clone() };
    let without_secret = build_registration_step(&kit, Activate, Some(without_secret));
    assert_eq!(kit.store.run(without_secret).await.unwrap(), Err(StepRejected::UpstreamSecretRequired));
    kit.overwrite_settings(|settings| settings.upstream_client = UpstreamClientMode::Aggregator).await;
    assert_eq!(
        kit.store.run(build_registration_step(&kit, Activate, Some(sealed_client.clone()))).await.unwrap(),
        Err(StepRejected::UpstreamSecretNotAccepted)
    );
    kit.overwrite_settings(|settings| settings.upstream_client = UpstreamClientMode::PerRegistration).await;
    assert_eq!(
        kit.store.run(build_registration_step(&kit, Activate, None)).await.unwrap(),
        Err(StepRejected::UpstreamClientRequired)
    );
    let get_upstream_client =
        GetUpstreamClient { client_id: parse_client_id("dc-mine"), provider_id: ProviderId::new(1000) };
    assert_eq!(kit.store.query(&get_upstream_client).await.unwrap(), None);
    assert_eq!(
        expect_state(
            kit.store
                .run(build_registration_step(&kit, Activate, Some(sealed_client.clone())))
                .await
                .unwrap()
        ),
        "active"
    );
    let SealedUpstreamClient { client_id, data_key, secret, .. } = sealed_client;
    let stored_client = Some(StoredUpstreamClient { client_id, data_key, secret });
    assert_eq!(kit.store.query(&get_upstream_client).await.unwrap(), stored_client);

    assert_eq!(
        expect_state(kit.store.run(build_registration_step(&kit, Suspend, None)).await.unwrap()),
        "suspended"
    );
    let registrations =
        kit.store.query(&ListRecipientRegistrations { client_id: parse_client_id("dc-mine") }).await.unwrap();
    assert_eq!(registrations[0].reason.as_deref(), Some("on hold"));
    assert_eq!(
        kit.store.query(&get_upstream_client).await.unwrap(),
        stored_client,
        "credentials for revocations are kept"
    );
    assert_eq!(
        expect_state(kit.store.run(build_registration_step(&kit, Reinstate, None)).await.unwrap()),
        "active"
    );
    let words = kit.client_audit_actions("dc-mine").await;
    assert_eq!(words.iter().filter(|word| **word == "registration.changed").count(), 5);
}

async fn recipient_connection_pages_have_no_gaps(kit: TestStore) {
    let mut expected_ids = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        expected_ids.push(kit.create_active_connection(name, "dc-acme", Some(name)).await);
    }
    let foreign = kit.create_active_connection("x", "dc-other", Some("x")).await;
    kit.end_connection(&expected_ids[2], EndCause::Recipient, None).await;
    let (mut listed, mut before) = (Vec::new(), None);
    loop {
        let page = ListRecipientConnections {
            client_id: parse_client_id("dc-acme"),
            before: before.take(),
            limit: 2,
        };
        let page = kit.store.query(&page).await.unwrap();
        before = page.last().map(|c| c.id.clone());
        if page.is_empty() {
            break;
        }
        listed.extend(page);
    }
    expected_ids.reverse();
    assert_eq!(listed.iter().map(|c| c.id.clone()).collect::<Vec<_>>(), expected_ids);
    assert_eq!((listed[2].cause, listed[2].ended_at), (Some(EndCause::Recipient), Some(kit.now)));
    let get_connection = |client_id: ClientId| GetRecipientConnection { client_id, id: foreign.clone() };
    assert!(kit.store.query(&get_connection(parse_client_id("dc-acme"))).await.unwrap().is_none());
    assert!(kit.store.query(&get_connection(parse_client_id("dc-other"))).await.unwrap().is_some());
}

async fn partner_pages_have_no_gaps_or_duplicates(kit: TestStore) {
    register_partners(&kit).await;
    // All of them are created at the same time, and only their ids differ.
    for id in ["dc-c", "dc-a", "dc-b"] {
        kit.register_under_partner(id, "pt-one").await;
    }
    let (moment, provider) = (kit.next_moment(), build_provider(2000));
    kit.store.run(UpsertProvider { moment, provider, actor: operator_actor(), plan: None }).await.unwrap();
    let all = ["dc-a", "dc-b", "dc-c", "dc-mine"];
    let requests = build_registration_requests(&kit, "pt-one", &all, &[1000, 2000]);
    kit.store.run(requests).await.unwrap().unwrap();
    let partner = || parse_client_id("pt-one");

    let (mut recipients, mut after) = (Vec::new(), None);
    loop {
        let request = ListRecipients { partner: partner(), after: after.take(), limit: 3 };
        let page = kit.store.query(&request).await.unwrap().rows;
        let Some(last) = page.last() else { break };
        after = Some(last.client.id.clone());
        recipients.extend(page.into_iter().map(|recipient| recipient.client.id));
    }
    let (mut registrations, mut after) = (Vec::new(), None);
    loop {
        let request =
            ListPartnerRegistrations { partner: partner(), client_id: None, after: after.take(), limit: 3 };
        let page = kit.store.query(&request).await.unwrap().rows;
        after = page.last().map(|last| (last.registration.client_id.clone(), last.registration.provider_id));
        if page.is_empty() {
            break;
        }
        registrations
            .extend(page.into_iter().map(|r| (r.registration.client_id, r.registration.provider_id)));
    }

    let mut expected = recipients.clone();
    expected.sort();
    expected.dedup();
    assert_eq!((recipients.len(), expected.len()), (4, 4), "{recipients:?}");
    let each = |id: &ClientId| [1000, 2000].map(|provider| (id.clone(), ProviderId::new(provider)));
    assert_eq!(registrations, recipients.iter().flat_map(each).collect::<Vec<_>>());
    let second = ListPartnerRegistrations {
        partner: partner(),
        client_id: Some(parse_client_id("dc-b")),
        after: Some((parse_client_id("dc-b"), ProviderId::new(1000))),
        limit: 3,
    };
    let second = kit.store.query(&second).await.unwrap().rows;
    assert_eq!(
        second.iter().map(|r| r.registration.provider_id).collect::<Vec<_>>(),
        [ProviderId::new(2000)]
    );
}

async fn concurrent_creations_stay_below_limit_of_partner(kit: TestStore) {
    register_partners(&kit).await;
    let names: Vec<_> = (0..2 * MAX_PARTNER_RECIPIENTS).map(|nth| format!("dc-r{nth}")).collect();

    let kind = ClientKind::Recipient;
    let creations = names.iter().map(|name| kit.register(name, kind, Some("pt-one")));
    let created = futures_util::future::join_all(creations).await;

    let count = created.into_iter().filter(|created| *created).count();
    assert_eq!(count + 1, MAX_PARTNER_RECIPIENTS as usize, "one existed before");
    assert!(kit.register("dc-of-other", kind, Some("pt-two")).await, "another partner is not affected");
    let remove = RemoveClient {
        moment: kit.next_moment(),
        selector: build_selector("dc-mine", Some("pt-one")),
        actor: operator_actor(),
    };
    kit.store.run(remove).await.unwrap();
    assert!(kit.register("dc-next", kind, Some("pt-one")).await, "a removed recipient is not counted");
}
