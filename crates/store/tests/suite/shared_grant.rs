//! A provider where a customer has one grant, whole: only the end of the last connection tells it.

use std::time::Duration;

use domain::id::{ConnectionId, ProviderId};
use domain::model::connection::{BankState, Cause, State};
use domain::model::job::{Attempt, JobKind};
use store::command::{ExpireConnection, OpenOutcome, StoreCredential, Stored};
use store::query::GrantLivesOn;

use crate::credential::mine;
use crate::job::{finish, lease};
use crate::kit::{DAY, Kit, connection_id, on_both};

on_both!(
    only_the_last_end_tells,
    other_customers_and_other_settings_are_not_concerned,
    a_replaced_connection_does_not_cut_its_successor,
    a_login_that_was_never_redeemed_does_not_cut_the_others,
    a_revoke_that_a_newer_grant_has_overtaken_is_dropped,
    a_token_that_came_too_late_is_dropped_with_the_rest,
    an_orphan_does_not_cut_a_live_connection,
    of_two_that_end_at_once_exactly_one_tells,
    an_end_and_a_new_login_at_once_never_cut_the_new_one,
    an_end_and_the_exchange_that_replaces_it_get_out_of_each_others_way,
);

async fn told(kit: &Kit, id: &ConnectionId) -> BankState {
    kit.connection(id).await.bank
}

async fn tell_jobs(kit: &Kit) -> i64 {
    kit.jobs("tell_bank", "pending").await
}

async fn lives_on(kit: &Kit, id: &ConnectionId, identity: Option<&str>) -> bool {
    let identity = identity.map(|i| i.as_bytes().to_vec());
    let (provider_id, connection_id) = (ProviderId::new(1000), id.clone());
    kit.store.ask(&GrantLivesOn { provider_id, connection_id, identity }).await.unwrap()
}

async fn only_the_last_end_tells(kit: Kit) {
    kit.share_grants().await;
    let first = kit.active("a", "dc-acme", Some("alice")).await;
    let last = kit.active("b", "dc-other", Some("alice")).await;
    kit.end(&first, Cause::Recipient, None).await;
    assert_eq!((told(&kit, &first).await, tell_jobs(&kit).await), (BankState::NotNeeded, 0));
    assert_eq!(kit.connection(&last).await.state, State::Active);
    kit.end(&last, Cause::Recipient, None).await;
    assert_eq!((told(&kit, &last).await, tell_jobs(&kit).await), (BankState::Pending, 1));
    let (job, _) = lease(&kit).await.unwrap();
    assert_eq!((job.connection_id, job.token), (Some(last.clone()), b"sealed refresh b".to_vec()));
    assert!(!lives_on(&kit, &last, None).await);
    kit.record(&first).await;
    kit.record(&last).await;
}

async fn other_customers_and_other_settings_are_not_concerned(kit: Kit) {
    let plain = kit.active("a", "dc-acme", Some("alice")).await;
    kit.active("b", "dc-other", Some("alice")).await;
    kit.end(&plain, Cause::Recipient, None).await;
    assert_eq!((told(&kit, &plain).await, tell_jobs(&kit).await), (BankState::Pending, 1), "one each");
    kit.share_grants().await;
    kit.active("c", "dc-acme", Some("bob")).await;
    let lone = kit.active("d", "dc-acme", Some("chloe")).await;
    kit.end(&lone, Cause::Recipient, None).await;
    assert_eq!((told(&kit, &lone).await, tell_jobs(&kit).await), (BankState::Pending, 2));
}

async fn a_replaced_connection_does_not_cut_its_successor(kit: Kit) {
    kit.share_grants().await;
    let first = kit.active("a", "dc-acme", Some("alice")).await;
    let second = kit.active("b", "dc-acme", Some("alice")).await;
    assert_eq!(kit.cause(&first).await, Some(Cause::Replaced));
    assert_eq!((told(&kit, &first).await, tell_jobs(&kit).await), (BankState::NotNeeded, 0));
    kit.end(&second, Cause::Customer, None).await;
    assert_eq!((told(&kit, &second).await, tell_jobs(&kit).await), (BankState::Pending, 1));
}

async fn a_login_that_was_never_redeemed_does_not_cut_the_others(mut kit: Kit) {
    kit.share_grants().await;
    let live = kit.active("a", "dc-acme", Some("alice")).await;
    let waiting = kit.pending("b", "dc-other", Some("alice")).await;
    let other = kit.active("c", "dc-other", Some("bob")).await;
    kit.end(&other, Cause::Recipient, None).await;
    kit.advance(Duration::from_mins(1));
    let expire = ExpireConnection { moment: kit.moment(), connection_id: waiting.clone(), idle: DAY * 30 };
    assert_eq!(kit.store.run(expire).await.unwrap().1, Some(Cause::NeverRedeemed));
    assert_eq!((told(&kit, &waiting).await, tell_jobs(&kit).await), (BankState::NotNeeded, 1));
    let again = kit.pending("d", "dc-other", Some("alice")).await;
    kit.end(&live, Cause::Recipient, None).await;
    assert_eq!(told(&kit, &live).await, BankState::NotNeeded, "a pending one counts");
    kit.end(&again, Cause::Recipient, None).await;
    assert_eq!((told(&kit, &again).await, tell_jobs(&kit).await), (BankState::Pending, 2));
}

async fn a_revoke_that_a_newer_grant_has_overtaken_is_dropped(kit: Kit) {
    kit.share_grants().await;
    let old = kit.active("a", "dc-acme", Some("alice")).await;
    kit.end(&old, Cause::Recipient, None).await;
    assert!(!lives_on(&kit, &old, None).await);
    let new = kit.pending("b", "dc-other", Some("alice")).await;
    assert!(lives_on(&kit, &old, None).await);
    let (job, held) = lease(&kit).await.unwrap();
    finish(&kit, &job, held, Attempt::Overtaken).await;
    assert_eq!((told(&kit, &old).await, kit.jobs("tell_bank", "done").await), (BankState::NotNeeded, 1));
    assert_eq!(kit.record(&old).await.last(), Some(&"connection.bank_told"));
    kit.end(&new, Cause::Recipient, None).await;
    assert!(!lives_on(&kit, &new, None).await);
    assert_eq!((told(&kit, &new).await, tell_jobs(&kit).await), (BankState::Pending, 1));
}

async fn a_token_that_came_too_late_is_dropped_with_the_rest(kit: Kit) {
    kit.share_grants().await;
    let first = kit.active("a", "dc-acme", Some("alice")).await;
    kit.active("b", "dc-other", Some("alice")).await;
    let held = mine(&kit, &first, 1).await;
    kit.end(&first, Cause::Recipient, None).await;
    let late = StoreCredential {
        moment: kit.moment(),
        connection_id: first.clone(),
        lease: held,
        access_token: b"access".to_vec(),
        access_expires_at: kit.now,
        refresh_token: Some(b"refresh".to_vec()),
    };
    assert_eq!(kit.store.run(late).await.unwrap(), Stored::TooLate);
    let (job, held) = lease(&kit).await.unwrap();
    assert!(lives_on(&kit, job.connection_id.as_ref().unwrap(), None).await);
    finish(&kit, &job, held, Attempt::Overtaken).await;
    assert_eq!(told(&kit, &first).await, BankState::NotNeeded);
}

async fn an_orphan_does_not_cut_a_live_connection(kit: Kit) {
    kit.share_grants().await;
    let live = kit.active("a", "dc-acme", Some("alice")).await;
    let orphan = connection_id("b");
    kit.exchanging("b", "dc-other").await;
    kit.set_registration("dc-other", domain::model::registration::RegistrationState::Suspended).await;
    let outcome = kit.store.run(kit.opened("b", Some("alice"))).await.unwrap();
    assert!(matches!(outcome, OpenOutcome::Refused(_)));
    let (job, _) = lease(&kit).await.unwrap();
    assert_eq!((job.kind, job.connection_id.as_ref()), (JobKind::RevokeOrphan, Some(&orphan)));
    assert_eq!(job.identity.as_deref(), Some(&b"alice"[..]));
    assert!(lives_on(&kit, &orphan, Some("alice")).await);
    assert!(!lives_on(&kit, &orphan, Some("bob")).await && !lives_on(&kit, &orphan, None).await);
    kit.end(&live, Cause::Recipient, None).await;
    assert!(!lives_on(&kit, &orphan, Some("alice")).await);
}

async fn of_two_that_end_at_once_exactly_one_tells(kit: Kit) {
    kit.share_grants().await;
    for round in 0..60 {
        let customer = format!("c{round}");
        let one = kit.active(&format!("a{round}"), "dc-acme", Some(&customer)).await;
        let two = kit.active(&format!("b{round}"), "dc-other", Some(&customer)).await;
        tokio::join!(kit.end(&one, Cause::Recipient, None), kit.end(&two, Cause::Customer, None));
        let mut banks = [told(&kit, &one).await.as_str(), told(&kit, &two).await.as_str()];
        banks.sort_unstable();
        assert_eq!(banks, ["not_needed", "pending"], "round {round}");
        assert_eq!(tell_jobs(&kit).await, round + 1);
    }
}

async fn an_end_and_a_new_login_at_once_never_cut_the_new_one(kit: Kit) {
    kit.share_grants().await;
    for round in 0..40 {
        let (customer, new) = (format!("c{round}"), format!("b{round}"));
        let old = kit.active(&format!("a{round}"), "dc-acme", Some(&customer)).await;
        kit.exchanging(&new, "dc-other").await;
        let opened = kit.store.run(kit.opened(&new, Some(&customer)));
        let (_, opened) = tokio::join!(kit.end(&old, Cause::Recipient, None), opened);
        assert_eq!(opened.unwrap(), OpenOutcome::Opened);
        let dropped = match lease(&kit).await {
            None => told(&kit, &old).await == BankState::NotNeeded,
            Some((job, held)) => {
                let overtaken = lives_on(&kit, job.connection_id.as_ref().unwrap(), None).await;
                finish(&kit, &job, held, Attempt::Overtaken).await;
                overtaken
            }
        };
        assert!(dropped, "round {round}");
    }
}

async fn an_end_and_the_exchange_that_replaces_it_get_out_of_each_others_way(kit: Kit) {
    kit.share_grants().await;
    for round in 0..10 {
        let (customer, new) = (format!("c{round}"), format!("b{round}"));
        let old = kit.active(&format!("a{round}"), "dc-acme", Some(&customer)).await;
        let successor = kit.pending(&new, "dc-acme", Some(&customer)).await;
        let end = async {
            for _ in 0..round {
                kit.connection(&old).await; // the end comes a little later in each round
            }
            kit.end(&old, Cause::Customer, None).await
        };
        tokio::join!(end, kit.redeem(&new, "dc-acme"));
        assert!(matches!(kit.cause(&old).await, Some(Cause::Customer | Cause::Replaced)));
        assert_eq!(kit.connection(&successor).await.state, State::Active);
        assert_eq!((told(&kit, &old).await, tell_jobs(&kit).await), (BankState::NotNeeded, 0), "{round}");
        kit.record(&old).await;
        kit.record(&successor).await;
    }
}
