//! The outbox.

use std::time::Duration;

use domain::id::{JobId, LeaseId};
use domain::model::connection::{BankState, Cause};
use domain::model::job::{Attempt, Job, JobState, JobStep, NotSettled};
use store::command::{FinishJob, InHand, LeaseJob, SettleJob, Settlement};
use store::query::JobsOf;

use crate::kit::{DAY, Kit, on_both, operator};

on_both!(
    a_job_is_leased_once_and_its_token_is_gone_when_the_provider_has_answered,
    a_job_is_tried_again_later_and_given_up_in_the_end,
    a_person_has_a_dead_job_tried_again_or_closes_it,
    a_refused_job_can_only_be_closed,
);

pub(crate) async fn lease(kit: &Kit) -> Option<(Job, LeaseId)> {
    let life = Duration::from_secs(20);
    kit.store.run(LeaseJob { moment: kit.moment(), life }).await.unwrap()
}

pub(crate) async fn finish(kit: &Kit, job: &Job, lease: LeaseId, attempt: Attempt) -> Option<JobStep> {
    finish_with(kit, job, lease, attempt, None).await
}

pub(crate) async fn finish_with(
    kit: &Kit,
    job: &Job,
    lease: LeaseId,
    attempt: Attempt,
    in_hand: Option<InHand>,
) -> Option<JobStep> {
    let (job_id, outcome) = (job.id.clone(), "tested".to_owned());
    kit.store.run(FinishJob { moment: kit.moment(), job_id, lease, attempt, outcome, in_hand }).await.unwrap()
}

async fn a_job_is_leased_once_and_its_token_is_gone_when_the_provider_has_answered(mut kit: Kit) {
    let id = kit.active("a", "dc-acme", Some("alice")).await;
    assert!(lease(&kit).await.is_none());
    kit.end(&id, Cause::Recipient, None).await;
    let (job, first) = lease(&kit).await.unwrap();
    assert_eq!((job.token.as_slice(), job.data_key.as_slice()), (&b"sealed refresh a"[..], &b"wrapped"[..]));
    assert!(lease(&kit).await.is_none(), "it is leased");
    kit.advance(Duration::from_secs(20));
    let (again, second) = lease(&kit).await.unwrap();
    assert_eq!(again.id, job.id);
    assert_eq!(finish(&kit, &job, first, Attempt::Accepted).await, None, "the lease ran out");
    assert_eq!(finish(&kit, &job, second, Attempt::Accepted).await, Some(JobStep::Done));
    assert_eq!(kit.connection(&id).await.bank, BankState::Accepted);
    assert_eq!(kit.jobs("tell_bank", "done").await, 1);
    assert_eq!(kit.record(&id).await.last(), Some(&"connection.bank_told"));
}

async fn a_job_is_tried_again_later_and_given_up_in_the_end(mut kit: Kit) {
    let id = kit.active("a", "dc-acme", Some("alice")).await;
    kit.end(&id, Cause::Recipient, None).await;
    let later = Attempt::Later { retry_after: Some(Duration::from_hours(1)) };
    let (job, held) = lease(&kit).await.unwrap();
    let Some(JobStep::Retry(at)) = finish(&kit, &job, held, later).await else { panic!("tried again") };
    assert!(at >= kit.now.plus(Duration::from_hours(1)));
    assert!(lease(&kit).await.is_none());
    assert_eq!(kit.connection(&id).await.bank, BankState::Pending);
    kit.advance(DAY * 7);
    let (job, held) = lease(&kit).await.unwrap();
    assert_eq!(job.attempt, 1);
    assert_eq!(finish(&kit, &job, held, later).await, Some(JobStep::Dead));
    assert_eq!((kit.connection(&id).await.bank, kit.jobs("tell_bank", "dead").await), (BankState::Dead, 1));
}

async fn settle(kit: &Kit, job: &JobId, settlement: Settlement) -> Option<Result<(), NotSettled>> {
    let settle = SettleJob { moment: kit.moment(), job_id: job.clone(), settlement, actor: operator() };
    kit.store.run(settle).await.unwrap()
}

async fn a_person_has_a_dead_job_tried_again_or_closes_it(mut kit: Kit) {
    let id = kit.active("a", "dc-acme", Some("alice")).await;
    kit.end(&id, Cause::Recipient, None).await;
    let later = Attempt::Later { retry_after: None };
    let (job, held) = lease(&kit).await.unwrap();
    assert_eq!(
        settle(&kit, &job.id, Settlement::Retry).await,
        Some(Err(NotSettled::NotDead(JobState::Pending)))
    );
    kit.advance(DAY * 7);
    assert_eq!(finish(&kit, &job, held, later).await, Some(JobStep::Dead));
    assert_eq!(kit.connection(&id).await.bank, BankState::Dead);

    assert_eq!(settle(&kit, &job.id, Settlement::Retry).await, Some(Ok(())));
    assert_eq!(kit.connection(&id).await.bank, BankState::Pending);
    let (again, held) = lease(&kit).await.unwrap();
    assert_eq!((&again.id, again.attempt, &again.token), (&job.id, 0, &job.token));
    assert!(
        matches!(finish(&kit, &again, held, later).await, Some(JobStep::Retry(_))),
        "it has seven days more"
    );
    kit.advance(DAY * 7);
    let (again, held) = lease(&kit).await.unwrap();
    assert_eq!(finish(&kit, &again, held, later).await, Some(JobStep::Dead));

    assert_eq!(settle(&kit, &job.id, Settlement::Close).await, Some(Ok(())));
    let seen = kit.store.ask(&JobsOf { connection_id: id.clone() }).await.unwrap();
    assert_eq!((seen[0].state, seen[0].holds_token), (JobState::Done, false), "its token is gone");
    assert_eq!(kit.connection(&id).await.bank, BankState::Dead, "the bank was not told");
    assert_eq!(
        settle(&kit, &job.id, Settlement::Close).await,
        Some(Err(NotSettled::NotDead(JobState::Done)))
    );
    let record = kit.record(&id).await;
    assert_eq!(record[3..], ["connection.bank_told", "job.retried", "connection.bank_told", "job.closed"]);
    assert_eq!(settle(&kit, &JobId::parse("job_nobody").unwrap(), Settlement::Retry).await, None);
}

async fn a_refused_job_can_only_be_closed(kit: Kit) {
    let id = kit.active("a", "dc-acme", Some("alice")).await;
    kit.end(&id, Cause::Recipient, None).await;
    let (job, held) = lease(&kit).await.unwrap();
    assert_eq!(finish(&kit, &job, held, Attempt::Refused).await, Some(JobStep::Dead));
    assert_eq!(settle(&kit, &job.id, Settlement::Retry).await, Some(Err(NotSettled::NoToken)));
    assert_eq!(settle(&kit, &job.id, Settlement::Close).await, Some(Ok(())));
    assert_eq!(kit.connection(&id).await.bank, BankState::Refused);
}
