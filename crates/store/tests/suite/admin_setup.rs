//! Tests of commands and searches of the admin API: clients, registrations, and providers that operators add.

use domain::id::ProviderId;
use domain::model::client::{ClientKind, ClientState};
use domain::model::provider::{Provider, ProviderSource, SecretSource};
use domain::model::registration::RegistrationState;
use store::StoreError;
use store::command::{
    AddProvider, ClientSelector, ClientUpdate, RemoveClient, SealedProviderSecrets, UpdateClient,
    UpdateProvider, UpdateProviderOutcome, UpsertProvider,
};
use store::query::{
    CountConnectionsEndedByRemoval, GetClientSummary, GetFormerSettings, GetProvider, GetProviderSecrets,
    GetRegistrationSummary, ListClients, ListRegistrations,
};

use crate::support::{DAY, TestStore, build_provider, on_both, operator_actor, parse_client_id};

on_both!(
    client_filters_and_pages_return_matching_clients,
    registration_filters_and_pages_return_matches,
    client_lookup_with_wrong_kind_returns_none,
    configured_provider_replaces_added_one_and_its_secret,
    changed_provider_keeps_former_settings_and_secrets,
);

const ALL_RECIPIENTS: ListClients = ListClients {
    kind: ClientKind::Recipient,
    partner: None,
    state: None,
    after: None,
    limit: 100,
    window: 1_000,
};

async fn list_client_ids(kit: &TestStore, query: &ListClients) -> Vec<String> {
    let found = kit.store.query(query).await.unwrap().rows;
    found.iter().map(|seen| seen.recipient.client.id.to_string()).collect()
}

/// Creates a partner and then two recipients that it manages, each one day after the previous client.
async fn create_partner_with_recipients(kit: &mut TestStore) {
    kit.advance_clock(DAY);
    assert!(kit.register("pt-one", ClientKind::Partner, None).await);
    for id in ["dc-first", "dc-second"] {
        kit.advance_clock(DAY);
        kit.register_under_partner(id, "pt-one").await;
    }
}

async fn client_filters_and_pages_return_matching_clients(mut kit: TestStore) {
    create_partner_with_recipients(&mut kit).await;
    kit.update_client("dc-first", ClientUpdate::Suspended(true)).await;
    let all = ["dc-second", "dc-first", "dc-other", "dc-acme"];
    assert_eq!(list_client_ids(&kit, &ALL_RECIPIENTS).await, all, "newest first");
    let partners = ListClients { kind: ClientKind::Partner, ..ALL_RECIPIENTS };
    assert_eq!(list_client_ids(&kit, &partners).await, ["pt-one"]);
    for (query, expected) in [
        (
            ListClients { partner: Some(parse_client_id("pt-one")), ..ALL_RECIPIENTS },
            &["dc-second", "dc-first"][..],
        ),
        (ListClients { partner: Some(parse_client_id("dc-acme")), ..ALL_RECIPIENTS }, &[]),
        (ListClients { state: Some(ClientState::Suspended), ..ALL_RECIPIENTS }, &["dc-first"]),
        (ListClients { state: Some(ClientState::Closed), ..ALL_RECIPIENTS }, &[]),
        (
            ListClients {
                partner: Some(parse_client_id("pt-one")),
                state: Some(ClientState::Active),
                ..ALL_RECIPIENTS
            },
            &["dc-second"],
        ),
    ] {
        assert_eq!(list_client_ids(&kit, &query).await, expected, "{query:?}");
    }
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = kit
            .store
            .query(&ListClients { after: after.take(), limit: 1, ..ALL_RECIPIENTS })
            .await
            .unwrap()
            .rows;
        let Some(last) = page.last() else { break };
        after = Some((last.created_at, last.recipient.client.id.clone()));
        paged.extend(page.iter().map(|seen| seen.recipient.client.id.to_string()));
    }
    assert_eq!(paged, all);
    kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    kit.create_pending_connection("b", "dc-acme", Some("bob")).await;
    kit.create_active_connection("c", "dc-other", Some("bob")).await;
    assert_eq!(
        kit.store
            .query(&CountConnectionsEndedByRemoval { client_id: parse_client_id("dc-acme") })
            .await
            .unwrap(),
        2
    );
}

async fn registration_filters_and_pages_return_matches(mut kit: TestStore) {
    create_partner_with_recipients(&mut kit).await;
    let (moment, second) = (kit.next_moment(), build_provider(2000));
    kit.store
        .run(UpsertProvider { moment, provider: second, actor: operator_actor(), plan: None })
        .await
        .unwrap();
    for id in ["dc-first", "dc-second"] {
        kit.advance_clock(DAY);
        kit.request_registration(id).await;
    }
    let all = ListRegistrations {
        client_id: None,
        provider_id: None,
        partner: None,
        state: None,
        after: None,
        limit: 100,
        window: 1_000,
    };
    let found = async |query: &ListRegistrations| {
        let found = kit.store.query(query).await.unwrap().rows;
        found
            .iter()
            .map(|seen| seen.named_registration.registration.client_id.to_string())
            .collect::<Vec<_>>()
    };
    let everything = ["dc-second", "dc-first", "dc-other", "dc-acme"];
    assert_eq!(found(&all).await, everything, "newest first");
    let by_client = |id| ListRegistrations { client_id: Some(parse_client_id(id)), ..all.clone() };
    let in_state = |state| ListRegistrations { state: Some(state), ..all.clone() };
    let by_provider = |id| ListRegistrations { provider_id: Some(ProviderId::new(id)), ..all.clone() };
    let by_partner = |id| ListRegistrations { partner: Some(parse_client_id(id)), ..all.clone() };
    for (query, expected) in [
        (by_client("dc-first"), &["dc-first"][..]),
        (by_client("dc-unknown"), &[]),
        (by_provider(1000), &everything),
        (by_provider(2000), &[]),
        (by_partner("pt-one"), &["dc-second", "dc-first"]),
        (by_partner("pt-two"), &[]),
        (in_state(RegistrationState::PendingApproval), &["dc-second", "dc-first"]),
        (
            ListRegistrations {
                provider_id: Some(ProviderId::new(1000)),
                ..in_state(RegistrationState::Active)
            },
            &["dc-other", "dc-acme"],
        ),
        (ListRegistrations { state: Some(RegistrationState::Active), ..by_partner("pt-one") }, &[]),
    ] {
        assert_eq!(found(&query).await, expected, "{query:?}");
    }
    for query in [all.clone(), by_provider(1000)] {
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = kit
                .store
                .query(&ListRegistrations { after: after.take(), limit: 3, ..query.clone() })
                .await
                .unwrap()
                .rows;
            let Some(last) = page.last().map(|seen| &seen.named_registration.registration) else { break };
            after = Some((last.requested_at, last.client_id.clone(), last.provider_id));
            paged.extend(page.iter().map(|seen| seen.named_registration.registration.client_id.to_string()));
        }
        assert_eq!(paged, everything);
    }
    let get_first =
        GetRegistrationSummary { client_id: parse_client_id("dc-first"), provider_id: ProviderId::new(1000) };
    let seen = kit.store.query(&get_first).await.unwrap().unwrap();
    assert_eq!(
        (seen.partner, &*seen.named_registration.provider.name),
        (Some(parse_client_id("pt-one")), "Maple")
    );
    let (moment, whose) =
        (kit.next_moment(), ClientSelector::for_kind(ClientKind::Recipient, parse_client_id("dc-first")));
    kit.store.run(RemoveClient { moment, selector: whose, actor: operator_actor() }).await.unwrap();
    assert!(kit.store.query(&get_first).await.unwrap().is_none(), "a removed recipient has no registrations");
    assert_eq!(found(&all).await, ["dc-second", "dc-other", "dc-acme"]);
}

async fn client_lookup_with_wrong_kind_returns_none(mut kit: TestStore) {
    create_partner_with_recipients(&mut kit).await;
    let get_summary = |kind, id| GetClientSummary { kind, id: parse_client_id(id) };
    assert!(kit.store.query(&get_summary(ClientKind::Partner, "pt-one")).await.unwrap().is_some());
    for (kind, id) in [(ClientKind::Partner, "dc-acme"), (ClientKind::Recipient, "pt-one")] {
        assert!(kit.store.query(&get_summary(kind, id)).await.unwrap().is_none(), "{id}");
        let (moment, whose) = (kit.next_moment(), ClientSelector::for_kind(kind, parse_client_id(id)));
        let change = UpdateClient {
            moment,
            selector: whose,
            update: ClientUpdate::Suspended(true),
            actor: operator_actor(),
        };
        assert!(!kit.store.run(change).await.unwrap(), "{id}");
    }
}

async fn configured_provider_replaces_added_one_and_its_secret(kit: TestStore) {
    let secrets = SealedProviderSecrets { data_key: vec![1, 2], secrets: vec![3, 4] };
    let mut added = build_provider(3000);
    added.source = ProviderSource::Api;
    added.settings.client_secret = Some(SecretSource::Sealed);
    let add = |provider: &Provider| AddProvider {
        moment: kit.next_moment(),
        provider: provider.clone(),
        secrets: secrets.clone(),
        actor: operator_actor(),
    };
    assert!(kit.store.run(add(&added)).await.unwrap());
    let mut other = added.clone();
    other.settings.name = "Other".into();
    assert!(!kit.store.run(add(&other)).await.unwrap(), "the id already exists");
    let get_secret = GetProviderSecrets { provider_id: ProviderId::new(3000), endpoints_version: 1 };
    assert_eq!(kit.store.query(&get_secret).await.unwrap(), Some(secrets.clone()));
    let stored = kit.store.query(&GetProvider { id: ProviderId::new(3000) }).await.unwrap().unwrap();
    assert_eq!((stored.settings, stored.source), (added.settings.clone(), ProviderSource::Api));
    let one = Provider { id: ProviderId::new(1000), ..added.clone() };
    assert!(!kit.store.run(add(&one)).await.unwrap(), "a provider from the configuration is not replaced");
    assert_eq!(kit.get_provider().await.settings, build_provider(1000).settings);
    let (moment, provider) = (kit.next_moment(), build_provider(3000));
    kit.store.run(UpsertProvider { moment, provider, actor: operator_actor(), plan: None }).await.unwrap();
    assert_eq!(
        kit.store.query(&get_secret).await.unwrap(),
        None,
        "the secret is deleted when it is no longer needed"
    );
}

async fn changed_provider_keeps_former_settings_and_secrets(kit: TestStore) {
    let seal = |byte| SealedProviderSecrets { data_key: vec![byte], secrets: vec![byte, byte] };
    let id = ProviderId::new(3000);
    let mut added = build_provider(3000);
    added.source = ProviderSource::Api;
    added.settings.client_secret = Some(SecretSource::Sealed);
    let add = AddProvider {
        moment: kit.next_moment(),
        provider: added.clone(),
        secrets: seal(1),
        actor: operator_actor(),
    };
    assert!(kit.store.run(add).await.unwrap());
    let mut moved = added.settings.clone();
    moved.token_endpoint = Some("https://new.example/token".into());
    let update = |seen_version, secret| UpdateProvider {
        moment: kit.next_moment(),
        provider_id: id,
        seen_version,
        settings: moved.clone(),
        secrets: seal(secret),
        replaced_secrets: Vec::new(),
        former: Vec::new(),
        actor: operator_actor(),
    };

    let changed = kit.store.run(update(1, 2)).await.unwrap();
    let outdated = kit.store.run(update(1, 3)).await.unwrap();
    // The endpoints are the same, so there are no further former settings.
    let secret_changed = kit.store.run(update(2, 3)).await.unwrap();

    assert!(matches!(changed, UpdateProviderOutcome::Updated(change) if change.leaves_endpoints));
    assert_eq!(outdated, UpdateProviderOutcome::Outdated);
    assert!(matches!(secret_changed, UpdateProviderOutcome::Updated(change) if !change.leaves_endpoints));
    let stored = kit.store.query(&GetProvider { id }).await.unwrap().unwrap();
    assert_eq!((stored.version.number, stored.version.endpoints), (3, 2));
    let former = GetFormerSettings { provider_id: id, endpoints_version: 1 };
    assert_eq!(kit.store.query(&former).await.unwrap().unwrap().settings, added.settings);
    for (endpoints_version, secrets) in [(1, Some(seal(1))), (2, Some(seal(3))), (3, None)] {
        let query = GetProviderSecrets { provider_id: id, endpoints_version };
        assert_eq!(kit.store.query(&query).await.unwrap(), secrets, "{endpoints_version}");
    }
    kit.execute_sql("UPDATE former_provider_settings SET version = 2").await;
    let changed_row = kit.store.query(&former).await.unwrap_err();
    assert!(matches!(changed_row, StoreError::UnverifiedRow { table: "former_provider_settings", .. }));
}
