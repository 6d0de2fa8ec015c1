//! Exchanges that broke off, and grants that no connection came of.

use std::time::Duration;

use domain::id::AuthorizationRequestId;
use domain::model::job::{Attempt, JobKind};
use serde_json::json;
use store::command::{FailRequest, InHand, RecoverExchange};
use store::query::{DueRecoveries, RequestById};

use crate::job::{finish, finish_with, lease};
use crate::kit::{DAY, EXCHANGE_LIFE, Kit, on_both};

on_both!(
    an_exchange_that_broke_off_is_handed_to_a_job_once,
    an_exchange_of_an_older_program_is_recovered_as_well,
    an_exchange_that_ended_is_left_alone,
    what_became_of_an_orphan_stands_in_the_providers_chain,
    a_token_that_could_not_be_revoked_gets_a_job_of_its_own,
    either_a_connection_or_a_recovery_comes_of_an_exchange,
);

fn in_hand(token: &str) -> InHand {
    InHand { token: token.as_bytes().to_vec(), identity: Some(b"alice".to_vec()) }
}

fn recovery(kit: &Kit, id: &AuthorizationRequestId) -> RecoverExchange {
    RecoverExchange { moment: kit.moment(), request_id: id.clone() }
}

async fn due(kit: &Kit) -> Vec<AuthorizationRequestId> {
    kit.store.ask(&DueRecoveries { now: kit.now, limit: 10 }).await.unwrap()
}

async fn an_exchange_that_broke_off_is_handed_to_a_job_once(mut kit: Kit) {
    let id = kit.exchanging("a", "dc-acme").await;
    kit.advance(EXCHANGE_LIFE.saturating_sub(Duration::from_millis(1)));
    assert_eq!(due(&kit).await, []);
    assert!(!kit.store.run(recovery(&kit, &id)).await.unwrap(), "it may still be under way");
    kit.advance(Duration::from_millis(1));
    assert_eq!(due(&kit).await, std::slice::from_ref(&id));
    assert!(kit.store.run(recovery(&kit, &id)).await.unwrap());
    assert!(!kit.store.run(recovery(&kit, &id)).await.unwrap(), "another node was first");
    assert_eq!(due(&kit).await, []);
    let request = kit.store.ask(&RequestById { id }).await.unwrap().unwrap();
    assert_eq!((request.status.as_str(), request.verifier), ("failed", None));
    let (job, _) = lease(&kit).await.unwrap();
    assert_eq!((job.kind, job.connection_id), (JobKind::RecoverCode, Some(request.connection_id)));
    assert_eq!((job.token.as_slice(), job.data_key.as_slice()), (&b"sealed code"[..], &b"wrapped"[..]));
    assert_eq!(job.verifier.as_deref(), Some(&b"sealed verifier"[..]));
    assert!(lease(&kit).await.is_none(), "one job");
    assert!(kit.store.run(kit.opened("a", Some("alice"))).await.is_err(), "nothing comes of it any more");
}

async fn an_exchange_of_an_older_program_is_recovered_as_well(mut kit: Kit) {
    let id = kit.exchanging("a", "dc-acme").await;
    kit.behind_its_back("UPDATE authorization_requests SET exchange_until = NULL").await;
    kit.advance(EXCHANGE_LIFE);
    assert_eq!(due(&kit).await, []);
    kit.advance(Duration::from_mins(20));
    assert_eq!(due(&kit).await, std::slice::from_ref(&id));
    assert!(kit.store.run(recovery(&kit, &id)).await.unwrap());
}

async fn an_exchange_that_ended_is_left_alone(mut kit: Kit) {
    kit.pending("a", "dc-acme", Some("alice")).await;
    let failed = kit.exchanging("b", "dc-acme").await;
    let moment = kit.moment();
    kit.store.run(FailRequest { moment, request_id: failed.clone(), in_hand: None }).await.unwrap();
    kit.advance(DAY);
    assert_eq!(due(&kit).await, []);
    let connected = kit.request("a", "dc-acme").id;
    for id in [connected, failed, AuthorizationRequestId::parse("arq_nobody").unwrap()] {
        assert!(!kit.store.run(recovery(&kit, &id)).await.unwrap());
    }
    assert_eq!(kit.jobs("recover_code", "pending").await, 0);
}

async fn what_became_of_an_orphan_stands_in_the_providers_chain(mut kit: Kit) {
    let later = Attempt::Later { retry_after: None };
    let before = kit.provider_record().await.len();
    let cases = [
        ("a", Attempt::Accepted, "cleared"),
        ("b", Attempt::Over, "possible"),
        ("c", Attempt::Refused, "possible"),
        ("d", later, "possible"),
    ];
    for (n, (name, attempt, _)) in cases.into_iter().enumerate() {
        let id = kit.exchanging(name, "dc-acme").await;
        kit.advance(EXCHANGE_LIFE);
        kit.store.run(recovery(&kit, &id)).await.unwrap();
        let (job, held) = lease(&kit).await.unwrap();
        if attempt == later {
            finish(&kit, &job, held, later).await;
            assert_eq!(kit.provider_record().await.len(), before + n, "it is tried again");
            kit.advance(DAY * 7);
            let (job, held) = lease(&kit).await.unwrap();
            finish(&kit, &job, held, later).await;
        } else {
            finish(&kit, &job, held, attempt).await;
        }
    }
    let id = kit.exchanging("e", "dc-acme").await;
    let fail = FailRequest { moment: kit.moment(), request_id: id, in_hand: Some(in_hand("sealed")) };
    kit.store.run(fail).await.unwrap();
    let (job, held) = lease(&kit).await.unwrap();
    assert_eq!(job.kind, JobKind::RevokeOrphan);
    finish(&kit, &job, held, Attempt::Accepted).await;
    let expected = |name: &str, orphan| {
        ("provider.orphan_settled", json!({"connection": format!("con_{name}"), "orphan": orphan}))
    };
    let mut wanted: Vec<_> = cases.iter().map(|(name, _, orphan)| expected(name, *orphan)).collect();
    wanted.push(expected("e", "cleared"));
    assert_eq!(kit.provider_record().await[before..], wanted);
    let dead = [kit.jobs("recover_code", "done").await, kit.jobs("recover_code", "dead").await];
    assert_eq!(dead, [2, 2]);
}

async fn a_token_that_could_not_be_revoked_gets_a_job_of_its_own(mut kit: Kit) {
    let id = kit.exchanging("a", "dc-acme").await;
    kit.advance(EXCHANGE_LIFE);
    kit.store.run(recovery(&kit, &id)).await.unwrap();
    let before = kit.provider_record().await.len();
    let (job, held) = lease(&kit).await.unwrap();
    finish_with(&kit, &job, held, Attempt::Accepted, Some(in_hand("sealed refresh"))).await;
    assert_eq!(kit.provider_record().await.len(), before, "that is still open");
    let (next, held) = lease(&kit).await.unwrap();
    assert_eq!((next.kind, &next.connection_id), (JobKind::RevokeOrphan, &job.connection_id));
    assert_eq!(
        (next.token.as_slice(), &next.data_key, &next.verifier),
        (&b"sealed refresh"[..], &job.data_key, &None)
    );
    assert_eq!(next.identity.as_deref(), Some(&b"alice"[..]));
    finish(&kit, &next, held, Attempt::Accepted).await;
    let record = kit.provider_record().await;
    assert_eq!(record[before..].iter().map(|(_, d)| &d["orphan"]).collect::<Vec<_>>(), ["cleared"]);
}

async fn either_a_connection_or_a_recovery_comes_of_an_exchange(mut kit: Kit) {
    for n in 0..40 {
        let name = format!("n{n}");
        let id = kit.exchanging(&name, "dc-acme").await;
        kit.advance(EXCHANGE_LIFE);
        let opened = kit.store.run(kit.opened(&name, Some(&name)));
        let (one, two) = (kit.store.run(recovery(&kit, &id)), kit.store.run(recovery(&kit, &id)));
        let (opened, one, two) = tokio::join!(opened, one, two);
        let came = [opened.is_ok(), one.unwrap(), two.unwrap()];
        assert_eq!(came.iter().filter(|came| **came).count(), 1, "round {n}: {came:?}");
    }
}
