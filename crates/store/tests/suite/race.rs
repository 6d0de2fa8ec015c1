//! Commands on one connection at once: whoever comes first, its rows agree in the end.

use std::time::Duration;

use domain::model::connection::Cause;
use futures_util::future::{Either, join, join_all, select};
use store::Location;
use store::command::{EndOutcome, LeaseCredential, LeaseJob, Leased, OpenOutcome, Redeemed, Stored};
use store::query::{CredentialOf, RefreshTokenBy};

use crate::credential::{mine, store};
use crate::job::{finish, lease};
use crate::kit::{Kit, connect, hashes, on_both};

on_both!(
    of_many_that_ask_at_once_one_refreshes,
    a_refresh_and_an_end_at_once_lose_no_token,
    an_exchange_and_an_end_at_once_leave_nothing_alive,
    many_ends_at_once_are_one,
    of_many_workers_one_has_a_job,
);

const ROUNDS: usize = 40;
const LIFE: Duration = Duration::from_secs(20);

async fn of_many_that_ask_at_once_one_refreshes(kit: Kit) {
    for round in 0..ROUNDS {
        let id = kit.active(&format!("n{round}"), "dc-acme", None).await;
        let asked = (0..6).map(|_| {
            let (moment, connection_id) = (kit.moment(), id.clone());
            kit.store.run(LeaseCredential { moment, connection_id, seen_version: 1, life: LIFE })
        });
        let answers = join_all(asked).await;
        let won = answers.iter().filter(|leased| matches!(leased, Ok(Leased::Yours(_)))).count();
        assert_eq!(won, 1, "round {round}: {won} may refresh at once");
    }
}

async fn a_refresh_and_an_end_at_once_lose_no_token(kit: Kit) {
    let (mut stored, mut late) = (0, 0);
    for round in 0..ROUNDS {
        let name = format!("n{round}");
        let id = kit.active(&name, "dc-acme", None).await;
        let held = mine(&kit, &id, 1).await;
        let (came, ended) = join(store(&kit, &id, held, &name), kit.end(&id, Cause::Recipient, None)).await;
        assert_eq!(ended, EndOutcome::Ended);
        assert!(kit.store.ask(&CredentialOf { connection_id: id.clone() }).await.unwrap().is_none());
        let mut told = Vec::new();
        while let Some((job, held)) = lease(&kit).await {
            told.push(String::from_utf8(job.token.clone()).unwrap());
            finish(&kit, &job, held, domain::model::job::Attempt::Accepted).await;
        }
        let newest = format!("refresh of {name}");
        assert!(
            told.contains(&newest),
            "round {round}: {came:?}, and the newest token is nobody's: {told:?}"
        );
        match came {
            Stored::Stored => stored += 1,
            Stored::TooLate => late += 1,
        }
        assert_eq!(told.len(), if came == Stored::Stored { 1 } else { 2 }, "round {round}: {told:?}");
        kit.record(&id).await;
    }
    assert_eq!(stored + late, ROUNDS);
}

async fn an_exchange_and_an_end_at_once_leave_nothing_alive(kit: Kit) {
    for round in 0..ROUNDS {
        let name = format!("n{round}");
        let id = kit.pending(&name, "dc-acme", None).await;
        let (redeemed, ended) = join(kit.redeem(&name, "dc-acme"), kit.end(&id, Cause::Operator, None)).await;
        assert_eq!(ended, EndOutcome::Ended);
        let known = RefreshTokenBy { hashes: hashes(&format!("refresh-{name}")) };
        assert!(kit.store.ask(&known).await.unwrap().is_none(), "round {round}: a token lives on");
        let mut words = vec!["connection.opened", "connection.ended"];
        if matches!(redeemed, Redeemed::Activated(_)) {
            words.insert(1, "connection.activated");
        }
        assert_eq!(kit.record(&id).await, words, "round {round}");
    }
    assert_eq!(kit.jobs("tell_bank", "pending").await, i64::try_from(ROUNDS).unwrap());
}

async fn many_ends_at_once_are_one(kit: Kit) {
    for round in 0..ROUNDS {
        let id = kit.active(&format!("n{round}"), "dc-acme", None).await;
        let causes = [Cause::Recipient, Cause::Customer, Cause::Provider, Cause::Operator];
        let outcomes = join_all(causes.map(|cause| kit.end(&id, cause, None))).await;
        let ended = outcomes.iter().filter(|outcome| **outcome == EndOutcome::Ended).count();
        assert_eq!(ended, 1, "round {round}: {outcomes:?}");
        assert_eq!(kit.record(&id).await.len(), 3, "round {round}");
    }
    assert_eq!(kit.jobs("tell_bank", "pending").await, i64::try_from(ROUNDS).unwrap());
}

async fn of_many_workers_one_has_a_job(kit: Kit) {
    for round in 0..ROUNDS {
        let id = kit.active(&format!("n{round}"), "dc-acme", None).await;
        kit.end(&id, Cause::Recipient, None).await;
        let asked = (0..4).map(|_| kit.store.run(LeaseJob { moment: kit.moment(), life: LIFE }));
        let leased: Vec<_> = join_all(asked).await.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(leased.len(), 1, "round {round}: a job has more than one worker");
        for (job, held) in leased {
            finish(&kit, &job, held, domain::model::job::Attempt::Accepted).await;
        }
        kit.record(&id).await;
    }
}

/// On PostgreSQL a transaction sees what was committed as each of its statements began: a recipient that is being
/// removed must be waited for, or a connection would come to be behind the end of all.
#[tokio::test]
async fn a_connection_that_opens_waits_for_its_recipients_removal() {
    let kit = Kit::postgres().await;
    let Location::Postgres(url) = &kit.location else { panic!("PostgreSQL") };
    kit.exchanging("n", "dc-acme").await;
    let (removes, looks) = (connect(url.expose()).await, connect(url.expose()).await);
    removes.batch_execute("BEGIN; UPDATE clients SET state = 'closed' WHERE id = 'dc-acme'").await.unwrap();
    let opening = Box::pin(kit.store.run(kit.opened("n", None)));
    let waits = Box::pin(async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while looks.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {}
    });
    let opening = match select(opening, waits).await {
        Either::Left((opened, _)) => panic!("{opened:?} while the removal was under way"),
        Either::Right(((), opening)) => opening,
    };
    removes.batch_execute("COMMIT").await.unwrap();
    assert!(matches!(opening.await.unwrap(), OpenOutcome::Refused(_)));
}
