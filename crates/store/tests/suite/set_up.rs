//! What operators set up and look for: clients, registrations, providers of their own.

use domain::id::ProviderId;
use domain::model::client::{ClientKind, ClientState};
use domain::model::provider::{Provider, ProviderSource, SecretSource};
use domain::model::registration::RegistrationState;
use store::command::{
    AddProvider, ChangeClient, ClientChange, RemoveClient, SealedSecret, UpsertProvider, Whose,
};
use store::query::{
    ClientSeenById, Clients, EndsWith, ProviderById, ProviderSecretOf, RegistrationSeenOf, Registrations,
};

use crate::kit::{DAY, Kit, client, on_both, operator, provider};

on_both!(
    clients_are_found_page_by_page,
    registrations_are_found_by_whatever_is_known_of_them,
    a_client_of_another_kind_is_none,
    a_provider_is_added_once_and_the_configuration_takes_it_over_without_its_secret,
);

const RECIPIENTS: Clients =
    Clients { kind: ClientKind::Recipient, partner: None, state: None, after: None, limit: 100 };

async fn clients(kit: &Kit, query: &Clients) -> Vec<String> {
    let found = kit.store.ask(query).await.unwrap();
    found.iter().map(|seen| seen.recipient.client.id.to_string()).collect()
}

/// A partner with two recipients, beside the two that every kit has; each made a day after the other.
async fn world(kit: &mut Kit) {
    kit.advance(DAY);
    assert!(kit.register("pt-one").await);
    kit.behind_its_back("UPDATE clients SET kind = 'partner' WHERE id = 'pt-one'").await;
    for id in ["dc-first", "dc-second"] {
        kit.advance(DAY);
        kit.register_under(id, "pt-one").await;
    }
}

async fn clients_are_found_page_by_page(mut kit: Kit) {
    world(&mut kit).await;
    kit.change("dc-first", ClientChange::Held(true)).await;
    let all = ["dc-second", "dc-first", "dc-other", "dc-acme"];
    assert_eq!(clients(&kit, &RECIPIENTS).await, all, "the newest first");
    let partners = Clients { kind: ClientKind::Partner, ..RECIPIENTS };
    assert_eq!(clients(&kit, &partners).await, ["pt-one"]);
    for (query, expected) in [
        (Clients { partner: Some(client("pt-one")), ..RECIPIENTS }, &["dc-second", "dc-first"][..]),
        (Clients { partner: Some(client("dc-acme")), ..RECIPIENTS }, &[]),
        (Clients { state: Some(ClientState::Suspended), ..RECIPIENTS }, &["dc-first"]),
        (Clients { state: Some(ClientState::Closed), ..RECIPIENTS }, &[]),
        (
            Clients { partner: Some(client("pt-one")), state: Some(ClientState::Active), ..RECIPIENTS },
            &["dc-second"],
        ),
    ] {
        assert_eq!(clients(&kit, &query).await, expected, "{query:?}");
    }
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = kit.store.ask(&Clients { after: after.take(), limit: 1, ..RECIPIENTS }).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.created_at, last.recipient.client.id.clone()));
        paged.extend(page.iter().map(|seen| seen.recipient.client.id.to_string()));
    }
    assert_eq!(paged, all);
    kit.active("a", "dc-acme", Some("alice")).await;
    kit.pending("b", "dc-acme", Some("bob")).await;
    kit.active("c", "dc-other", Some("bob")).await;
    assert_eq!(kit.store.ask(&EndsWith { client_id: client("dc-acme") }).await.unwrap(), 2);
}

async fn registrations_are_found_by_whatever_is_known_of_them(mut kit: Kit) {
    world(&mut kit).await;
    let (moment, second) = (kit.moment(), provider(2000));
    kit.store.run(UpsertProvider { moment, provider: second, actor: operator() }).await.unwrap();
    for id in ["dc-first", "dc-second"] {
        kit.advance(DAY);
        kit.set_registration(id, RegistrationState::PendingApproval).await;
    }
    let all = Registrations {
        client_id: None,
        provider_id: None,
        partner: None,
        state: None,
        after: None,
        limit: 100,
    };
    let found = async |query: &Registrations| {
        let found = kit.store.ask(query).await.unwrap();
        found.iter().map(|seen| seen.named.registration.client_id.to_string()).collect::<Vec<_>>()
    };
    let everything = ["dc-second", "dc-first", "dc-other", "dc-acme"];
    assert_eq!(found(&all).await, everything, "the newest first");
    let of = |id| Registrations { client_id: Some(client(id)), ..all.clone() };
    let in_state = |state| Registrations { state: Some(state), ..all.clone() };
    let at = |id| Registrations { provider_id: Some(ProviderId::new(id)), ..all.clone() };
    let under = |id| Registrations { partner: Some(client(id)), ..all.clone() };
    for (query, expected) in [
        (of("dc-first"), &["dc-first"][..]),
        (of("dc-nobody"), &[]),
        (at(1000), &everything),
        (at(2000), &[]),
        (under("pt-one"), &["dc-second", "dc-first"]),
        (under("pt-two"), &[]),
        (in_state(RegistrationState::PendingApproval), &["dc-second", "dc-first"]),
        (
            Registrations { provider_id: Some(ProviderId::new(1000)), ..in_state(RegistrationState::Active) },
            &["dc-other", "dc-acme"],
        ),
        (Registrations { state: Some(RegistrationState::Active), ..under("pt-one") }, &[]),
    ] {
        assert_eq!(found(&query).await, expected, "{query:?}");
    }
    for query in [all.clone(), at(1000)] {
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = kit
                .store
                .ask(&Registrations { after: after.take(), limit: 3, ..query.clone() })
                .await
                .unwrap();
            let Some(last) = page.last().map(|seen| &seen.named.registration) else { break };
            after = Some((last.requested_at, last.client_id.clone(), last.provider_id));
            paged.extend(page.iter().map(|seen| seen.named.registration.client_id.to_string()));
        }
        assert_eq!(paged, everything);
    }
    let one = RegistrationSeenOf { client_id: client("dc-first"), provider_id: ProviderId::new(1000) };
    let seen = kit.store.ask(&one).await.unwrap().unwrap();
    assert_eq!((seen.partner, &*seen.named.provider.name), (Some(client("pt-one")), "Maple"));
    let (moment, whose) = (kit.moment(), Whose::any(ClientKind::Recipient, client("dc-first")));
    kit.store.run(RemoveClient { moment, whose, actor: operator() }).await.unwrap();
    assert!(kit.store.ask(&one).await.unwrap().is_none(), "a removed recipient is registered with nobody");
    assert_eq!(found(&all).await, ["dc-second", "dc-other", "dc-acme"]);
}

async fn a_client_of_another_kind_is_none(mut kit: Kit) {
    world(&mut kit).await;
    let seen = |kind, id| ClientSeenById { kind, id: client(id) };
    assert!(kit.store.ask(&seen(ClientKind::Partner, "pt-one")).await.unwrap().is_some());
    for (kind, id) in [(ClientKind::Partner, "dc-acme"), (ClientKind::Recipient, "pt-one")] {
        assert!(kit.store.ask(&seen(kind, id)).await.unwrap().is_none(), "{id}");
        let (moment, whose) = (kit.moment(), Whose::any(kind, client(id)));
        let change = ChangeClient { moment, whose, change: ClientChange::Held(true), actor: operator() };
        assert!(!kit.store.run(change).await.unwrap(), "{id}");
    }
}

async fn a_provider_is_added_once_and_the_configuration_takes_it_over_without_its_secret(kit: Kit) {
    let secret =
        SealedSecret { data_key: vec![1, 2], secret: vec![3, 4], initial_access_token: Some(vec![5]) };
    let mut own = provider(3000);
    own.source = ProviderSource::Api;
    own.settings.client_secret = SecretSource::Sealed;
    let add = |provider: &Provider| AddProvider {
        moment: kit.moment(),
        provider: provider.clone(),
        secret: secret.clone(),
        actor: operator(),
    };
    assert!(kit.store.run(add(&own)).await.unwrap());
    let mut other = own.clone();
    other.settings.name = "Other".into();
    assert!(!kit.store.run(add(&other)).await.unwrap(), "its id is taken");
    let of = ProviderSecretOf { provider_id: ProviderId::new(3000) };
    assert_eq!(kit.store.ask(&of).await.unwrap(), Some(secret.clone()));
    let stored = kit.store.ask(&ProviderById { id: ProviderId::new(3000) }).await.unwrap().unwrap();
    assert_eq!((stored.settings, stored.source), (own.settings.clone(), ProviderSource::Api));
    let one = Provider { id: ProviderId::new(1000), ..own.clone() };
    assert!(!kit.store.run(add(&one)).await.unwrap(), "one of the configuration stays as it is");
    assert_eq!(kit.stored_provider().await.settings, provider(1000).settings);
    let (moment, provider) = (kit.moment(), provider(3000));
    kit.store.run(UpsertProvider { moment, provider, actor: operator() }).await.unwrap();
    assert_eq!(kit.store.ask(&of).await.unwrap(), None, "what nobody needs is not kept");
}
