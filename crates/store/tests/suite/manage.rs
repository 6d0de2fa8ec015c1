//! What partners manage: recipients, their secrets and removal; registrations and their steps.

use domain::id::{ClientId, ProviderId};
use domain::model::client::ClientState;
use domain::model::connection::{Cause, State};
use domain::model::registration::{RegistrationState, RegistrationStep};
use store::command::{
    BadPair, ClientChange, EndConnection, EndOutcome, FinishRemoval, NotTaken, RemoveClient, RemovedClient,
    RequestRegistrations, SealedClient, StepRegistration, UpsertProvider, Whose, WhyNot,
};
use store::query::{
    ClientById, ConnectionOf, ConnectionsOf, LiveOf, RecipientOf, RecipientsOf, RegistrationsOf,
    RegistrationsUnder, Removals, UpstreamClientOf,
};

use crate::kit::{Kit, client, hash, on_both, operator, provider};

on_both!(
    each_change_of_a_client_is_one_event_and_no_change_is_none,
    a_removed_client_is_closed_at_once_and_its_connections_end_one_by_one,
    a_partner_reaches_its_own_alone,
    registrations_are_asked_for_all_or_none,
    a_registration_goes_step_by_step,
    connections_are_listed_page_by_page_without_gap,
);

fn whose(id: &str, partner: Option<&str>) -> Whose {
    Whose { client_id: client(id), kind: None, partner: partner.map(client) }
}

async fn each_change_of_a_client_is_one_event_and_no_change_is_none(kit: Kit) {
    let before = kit.client_record("dc-acme").await.len();
    let uris = |uri: &str| ClientChange::RedirectUris(vec![uri.into()]);
    assert!(kit.change("dc-acme", uris("https://new.example.org/")).await);
    assert!(kit.change("dc-acme", uris("https://new.example.org/")).await, "the same again leaves no trace");
    assert!(kit.change("dc-acme", ClientChange::Secret(hash("other"))).await);
    assert!(kit.change("dc-acme", ClientChange::Held(true)).await);
    assert!(kit.change("dc-acme", ClientChange::Held(true)).await, "held already");
    assert!(!kit.change("dc-nobody", ClientChange::Held(true)).await);
    let stored = kit.store.ask(&ClientById { id: client("dc-acme") }).await.unwrap().unwrap();
    assert_eq!((stored.credential_generation, stored.secret_hash), (2, hash("other")));
    assert_eq!(
        (stored.state, &*stored.redirect_uris[0]),
        (ClientState::Suspended, "https://new.example.org/")
    );
    let words = kit.client_record("dc-acme").await;
    assert_eq!(
        words[before..],
        ["client.redirect_uris_replaced", "client.secret_regenerated", "client.state_changed"]
    );
}

async fn a_removed_client_is_closed_at_once_and_its_connections_end_one_by_one(kit: Kit) {
    let active = kit.active("a", "dc-acme", Some("alice")).await;
    let pending = kit.pending("b", "dc-acme", Some("bob")).await;
    let other = kit.active("c", "dc-other", Some("alice")).await;
    let remove = |id| RemoveClient { moment: kit.moment(), whose: whose(id, None), actor: operator() };
    for (id, outcome) in [
        ("dc-nobody", RemovedClient::Unknown),
        ("dc-acme", RemovedClient::Removed),
        ("dc-acme", RemovedClient::Already),
    ] {
        assert_eq!(kit.store.run(remove(id)).await.unwrap(), outcome);
    }
    assert!(!kit.change("dc-acme", ClientChange::Held(false)).await, "nothing brings it back");
    assert_eq!(kit.cause(&active).await, None, "closing does not wait for its connections");

    let removals = kit.store.ask(&Removals { limit: 10 }).await.unwrap();
    assert_eq!((removals.len(), &removals[0].client_id), (1, &client("dc-acme")));
    assert_eq!(removals[0].actor, operator());
    let finish = || FinishRemoval { moment: kit.moment(), client_id: client("dc-acme") };
    kit.store.run(finish()).await.unwrap();
    assert_eq!(kit.store.ask(&Removals { limit: 10 }).await.unwrap().len(), 1, "something lives yet");
    let mut live = kit.store.ask(&LiveOf { client_id: client("dc-acme"), limit: 10 }).await.unwrap();
    live.sort();
    assert_eq!(live, [active.clone(), pending.clone()]);
    for connection_id in live {
        let (moment, cause) = (kit.moment(), Cause::ClientRemoved);
        let end = EndConnection { moment, connection_id, cause, actor: operator(), fence: None };
        assert_eq!(kit.store.run(end).await.unwrap(), EndOutcome::Ended);
    }
    kit.store.run(finish()).await.unwrap();
    assert!(kit.store.ask(&Removals { limit: 10 }).await.unwrap().is_empty());
    assert_eq!(kit.cause(&active).await, Some(Cause::ClientRemoved));
    assert!(matches!(kit.connection(&pending).await.state, State::Ended(_)));
    assert_eq!(kit.cause(&other).await, None, "another's connection lives on");
    let removed = kit.client_record("dc-acme").await;
    assert_eq!(removed.iter().filter(|word| **word == "client.removed").count(), 1);
}

/// Two partners; the first has a recipient.
async fn partners(kit: &Kit) {
    for id in ["pt-one", "pt-two"] {
        assert!(kit.register(id).await);
    }
    kit.register_under("dc-mine", "pt-one").await;
}

async fn a_partner_reaches_its_own_alone(kit: Kit) {
    partners(&kit).await;
    let of = |partner: &str, id: &str| RecipientOf { partner: client(partner), client_id: client(id) };
    assert!(kit.store.ask(&of("pt-one", "dc-mine")).await.unwrap().is_some());
    for (partner, id) in [("pt-two", "dc-mine"), ("pt-one", "dc-acme"), ("pt-one", "pt-one")] {
        assert!(kit.store.ask(&of(partner, id)).await.unwrap().is_none(), "{partner} {id}");
    }
    let listed = kit.store.ask(&RecipientsOf { partner: client("pt-one") }).await.unwrap();
    assert_eq!(listed.iter().map(|r| r.client.id.as_str()).collect::<Vec<_>>(), ["dc-mine"]);
    assert!(kit.store.ask(&RecipientsOf { partner: client("pt-two") }).await.unwrap().is_empty());
    let remove = |partner| RemoveClient {
        moment: kit.moment(),
        whose: whose("dc-mine", Some(partner)),
        actor: operator(),
    };
    assert_eq!(kit.store.run(remove("pt-two")).await.unwrap(), RemovedClient::Unknown);
    assert_eq!(kit.store.run(remove("pt-one")).await.unwrap(), RemovedClient::Removed);
    assert!(kit.store.ask(&RecipientsOf { partner: client("pt-one") }).await.unwrap().is_empty());
    let removed = kit.store.ask(&of("pt-one", "dc-mine")).await.unwrap().unwrap();
    assert_eq!(removed.client.state, ClientState::Closed);
}

fn asked(kit: &Kit, partner: &str, clients: &[&str], providers: &[i64]) -> RequestRegistrations {
    RequestRegistrations {
        moment: kit.moment(),
        partner: Some(client(partner)),
        clients: clients.iter().map(|id| client(id)).collect(),
        providers: providers.iter().map(|id| ProviderId::new(*id)).collect(),
        actor: operator(),
    }
}

async fn registrations_are_asked_for_all_or_none(kit: Kit) {
    partners(&kit).await;
    kit.register_under("dc-second", "pt-one").await;
    let (moment, second) = (kit.moment(), provider(2000));
    kit.store.run(UpsertProvider { moment, provider: second, actor: operator() }).await.unwrap();
    let bad = |client_id: &str, provider_id, why| BadPair {
        client_id: client(client_id),
        provider_id: ProviderId::new(provider_id),
        why,
    };
    let refused = kit.store.run(asked(&kit, "pt-one", &["dc-mine", "dc-acme"], &[1000, 3000])).await.unwrap();
    assert_eq!(
        refused.unwrap_err(),
        [
            bad("dc-acme", 1000, WhyNot::NoRecipient),
            bad("dc-acme", 3000, WhyNot::NoRecipient),
            bad("dc-mine", 3000, WhyNot::NoProvider),
        ]
    );
    let of = |id: &str| RegistrationsOf { client_id: client(id) };
    assert!(kit.store.ask(&of("dc-mine")).await.unwrap().is_empty(), "nothing is half done");

    let both = asked(&kit, "pt-one", &["dc-mine", "dc-second"], &[1000, 2000]);
    kit.store.run(both).await.unwrap().unwrap();
    let pending = RegistrationState::PendingApproval;
    for id in ["dc-mine", "dc-second"] {
        let registrations = kit.store.ask(&of(id)).await.unwrap();
        assert_eq!(registrations.iter().map(|r| r.state).collect::<Vec<_>>(), [pending; 2]);
        assert_eq!(registrations[0].requested_at, kit.now);
        assert_eq!(kit.client_record(id).await.last(), Some(&"registration.changed"));
    }
    let again = kit.store.run(asked(&kit, "pt-one", &["dc-mine"], &[1000])).await.unwrap();
    assert_eq!(again.unwrap_err(), [bad("dc-mine", 1000, WhyNot::Duplicate(pending))]);
    let under = |id| RegistrationsUnder { partner: client(id), client_id: None };
    let named = kit.store.ask(&under("pt-one")).await.unwrap();
    assert_eq!((named.len(), &*named[0].client_name, &*named[0].provider.name), (4, "Acme", "Maple"));
    assert!(kit.store.ask(&under("pt-two")).await.unwrap().is_empty());
}

fn step(kit: &Kit, step: RegistrationStep, upstream: Option<SealedClient>) -> StepRegistration {
    StepRegistration {
        moment: kit.moment(),
        client_id: client("dc-mine"),
        provider_id: ProviderId::new(1000),
        step,
        reason: (step == RegistrationStep::Suspend).then(|| "on hold".into()),
        upstream,
        actor: operator(),
    }
}

async fn a_registration_goes_step_by_step(kit: Kit) {
    use RegistrationStep::{Activate, Approve, Reinstate, Suspend};
    partners(&kit).await;
    assert_eq!(kit.store.run(step(&kit, Approve, None)).await.unwrap(), Err(NotTaken::Unknown));
    kit.store.run(asked(&kit, "pt-one", &["dc-mine"], &[1000])).await.unwrap().unwrap();
    let early = kit.store.run(step(&kit, Activate, None)).await.unwrap();
    assert!(matches!(early, Err(NotTaken::WrongState(_))));
    let own = SealedClient {
        client_id: "their-id".into(),
        data_key: vec![1],
        secret: vec![2],
        management: Some(vec![3]),
    };
    let taken = |result: Result<RegistrationState, NotTaken>| result.unwrap().as_str();
    assert_eq!(taken(kit.store.run(step(&kit, Approve, None)).await.unwrap()), "pending_activation");
    let refused = kit.store.run(step(&kit, Activate, Some(own.clone()))).await.unwrap();
    assert_eq!(refused, Err(NotTaken::TakesNoClient), "the provider knows the hub alone");

    let mut settings = provider(1000);
    settings.settings.upstream_client = domain::model::provider::UpstreamClient::Registration;
    let (moment, provider) = (kit.moment(), settings);
    kit.store.run(UpsertProvider { moment, provider, actor: operator() }).await.unwrap();
    assert_eq!(kit.store.run(step(&kit, Activate, None)).await.unwrap(), Err(NotTaken::NeedsClient));
    let of = UpstreamClientOf { client_id: client("dc-mine"), provider_id: ProviderId::new(1000) };
    assert_eq!(kit.store.ask(&of).await.unwrap(), None);
    assert_eq!(taken(kit.store.run(step(&kit, Activate, Some(own.clone()))).await.unwrap()), "active");
    assert_eq!(kit.store.ask(&of).await.unwrap(), Some(own.clone()));

    assert_eq!(taken(kit.store.run(step(&kit, Suspend, None)).await.unwrap()), "suspended");
    let held = kit.store.ask(&RegistrationsOf { client_id: client("dc-mine") }).await.unwrap();
    assert_eq!(held[0].reason.as_deref(), Some("on hold"));
    assert_eq!(kit.store.ask(&of).await.unwrap(), Some(own), "what tells the provider of ends is kept");
    assert_eq!(taken(kit.store.run(step(&kit, Reinstate, None)).await.unwrap()), "active");
    let words = kit.client_record("dc-mine").await;
    assert_eq!(words.iter().filter(|word| **word == "registration.changed").count(), 5);
}

async fn connections_are_listed_page_by_page_without_gap(kit: Kit) {
    let mut made = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        made.push(kit.active(name, "dc-acme", Some(name)).await);
    }
    let foreign = kit.active("x", "dc-other", Some("x")).await;
    kit.end(&made[2], Cause::Recipient, None).await;
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = ConnectionsOf { client_id: client("dc-acme"), before: before.take(), limit: 2 };
        let page = kit.store.ask(&page).await.unwrap();
        before = page.last().map(|c| c.id.clone());
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    made.reverse();
    assert_eq!(seen.iter().map(|c| c.id.clone()).collect::<Vec<_>>(), made);
    assert_eq!((seen[2].cause, seen[2].ended_at), (Some(Cause::Recipient), Some(kit.now)));
    let one = |client_id: ClientId| ConnectionOf { client_id, id: foreign.clone() };
    assert!(kit.store.ask(&one(client("dc-acme"))).await.unwrap().is_none());
    assert!(kit.store.ask(&one(client("dc-other"))).await.unwrap().is_some());
}
