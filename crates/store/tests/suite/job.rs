//! Tests of background jobs: leases, retries, failure, and resolution by operators.

use std::time::Duration;

use domain::id::{JobId, LeaseId};
use domain::model::connection::{EndCause, UpstreamRevocation};
use domain::model::job::{AttemptOutcome, Job, JobState, JobStep, ResolveJobError};
use store::command::{FailedJobAction, FinishJob, LeaseJob, ResolveFailedJob, UnrevokedToken};
use store::query::ListConnectionJobs;

use crate::support::{DAY, TestStore, on_both, operator_actor};

on_both!(
    job_is_leased_once_and_done_after_acceptance,
    job_is_retried_and_fails_after_retry_window,
    failed_job_can_be_retried_or_closed_by_operator,
    job_refused_by_provider_can_be_closed_but_not_retried,
);

pub(crate) async fn lease_job(kit: &TestStore) -> Option<(Job, LeaseId)> {
    let life = Duration::from_secs(20);
    kit.store.run(LeaseJob { moment: kit.next_moment(), lease_ttl: life }).await.unwrap()
}

pub(crate) async fn finish_job(
    kit: &TestStore,
    job: &Job,
    lease: LeaseId,
    attempt: AttemptOutcome,
) -> Option<JobStep> {
    finish_job_with(kit, job, lease, attempt, None).await
}

pub(crate) async fn finish_job_with(
    kit: &TestStore,
    job: &Job,
    lease: LeaseId,
    attempt: AttemptOutcome,
    unrevoked: Option<UnrevokedToken>,
) -> Option<JobStep> {
    let (job_id, outcome) = (job.id.clone(), "tested".to_owned());
    kit.store
        .run(FinishJob { moment: kit.next_moment(), job_id, lease, attempt, outcome, unrevoked })
        .await
        .unwrap()
}

async fn job_is_leased_once_and_done_after_acceptance(mut kit: TestStore) {
    let id = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    assert!(lease_job(&kit).await.is_none());
    kit.end_connection(&id, EndCause::Recipient, None).await;
    let (job, first) = lease_job(&kit).await.unwrap();
    assert_eq!((job.token.as_slice(), job.data_key.as_slice()), (&b"sealed refresh a"[..], &b"wrapped"[..]));
    assert!(lease_job(&kit).await.is_none(), "a leased job is not leased again");
    kit.advance_clock(Duration::from_secs(20));
    let (again, second) = lease_job(&kit).await.unwrap();
    assert_eq!(again.id, job.id);
    assert_eq!(finish_job(&kit, &job, first, AttemptOutcome::Accepted).await, None, "the lease has expired");
    assert_eq!(finish_job(&kit, &job, second, AttemptOutcome::Accepted).await, Some(JobStep::Done));
    assert_eq!(kit.get_connection(&id).await.provider_revocation, UpstreamRevocation::Accepted);
    assert_eq!(kit.count_jobs("revoke_at_provider", "done").await, 1);
    assert_eq!(
        kit.connection_audit_actions(&id).await.last(),
        Some(&"connection.provider_revocation_changed")
    );
}

async fn job_is_retried_and_fails_after_retry_window(mut kit: TestStore) {
    let id = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    kit.end_connection(&id, EndCause::Recipient, None).await;
    let later = AttemptOutcome::RetryLater { retry_after: Some(Duration::from_hours(1)) };
    let (job, lease_id) = lease_job(&kit).await.unwrap();
    let Some(JobStep::Retry(at)) = finish_job(&kit, &job, lease_id, later).await else {
        panic!("expected another attempt")
    };
    assert!(at >= kit.now.plus(Duration::from_hours(1)));
    assert!(lease_job(&kit).await.is_none());
    assert_eq!(kit.get_connection(&id).await.provider_revocation, UpstreamRevocation::Pending);
    kit.advance_clock(DAY * 7);
    let (job, lease_id) = lease_job(&kit).await.unwrap();
    assert_eq!(job.attempt, 1);
    assert_eq!(finish_job(&kit, &job, lease_id, later).await, Some(JobStep::Failed));
    assert_eq!(
        (
            kit.get_connection(&id).await.provider_revocation,
            kit.count_jobs("revoke_at_provider", "failed").await
        ),
        (UpstreamRevocation::Failed, 1)
    );
}

async fn resolve_job(
    kit: &TestStore,
    job: &JobId,
    settlement: FailedJobAction,
) -> Option<Result<(), ResolveJobError>> {
    let settle = ResolveFailedJob {
        moment: kit.next_moment(),
        job_id: job.clone(),
        action: settlement,
        actor: operator_actor(),
    };
    kit.store.run(settle).await.unwrap()
}

async fn failed_job_can_be_retried_or_closed_by_operator(mut kit: TestStore) {
    let id = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    kit.end_connection(&id, EndCause::Recipient, None).await;
    let later = AttemptOutcome::RetryLater { retry_after: None };
    let (job, lease_id) = lease_job(&kit).await.unwrap();
    assert_eq!(
        resolve_job(&kit, &job.id, FailedJobAction::Retry).await,
        Some(Err(ResolveJobError::NotFailed(JobState::Pending)))
    );
    kit.advance_clock(DAY * 7);
    assert_eq!(finish_job(&kit, &job, lease_id, later).await, Some(JobStep::Failed));
    assert_eq!(kit.get_connection(&id).await.provider_revocation, UpstreamRevocation::Failed);

    assert_eq!(resolve_job(&kit, &job.id, FailedJobAction::Retry).await, Some(Ok(())));
    assert_eq!(kit.get_connection(&id).await.provider_revocation, UpstreamRevocation::Pending);
    let (again, lease_id) = lease_job(&kit).await.unwrap();
    assert_eq!((&again.id, again.attempt, &again.token), (&job.id, 0, &job.token));
    assert!(
        matches!(finish_job(&kit, &again, lease_id, later).await, Some(JobStep::Retry(_))),
        "the job is retried for another seven days"
    );
    kit.advance_clock(DAY * 7);
    let (again, lease_id) = lease_job(&kit).await.unwrap();
    assert_eq!(finish_job(&kit, &again, lease_id, later).await, Some(JobStep::Failed));

    assert_eq!(resolve_job(&kit, &job.id, FailedJobAction::Close).await, Some(Ok(())));
    let seen = kit.store.query(&ListConnectionJobs { connection_id: id.clone() }).await.unwrap();
    assert_eq!((seen[0].state, seen[0].holds_token), (JobState::Done, false), "the token is deleted");
    assert_eq!(
        kit.get_connection(&id).await.provider_revocation,
        UpstreamRevocation::Failed,
        "the provider was not notified"
    );
    assert_eq!(
        resolve_job(&kit, &job.id, FailedJobAction::Close).await,
        Some(Err(ResolveJobError::NotFailed(JobState::Done)))
    );
    let record = kit.connection_audit_actions(&id).await;
    assert_eq!(
        record[3..],
        [
            "connection.provider_revocation_changed",
            "job.retried",
            "connection.provider_revocation_changed",
            "job.closed"
        ]
    );
    assert_eq!(
        resolve_job(&kit, &"job_nobody".parse::<JobId>().unwrap(), FailedJobAction::Retry).await,
        None
    );
}

async fn job_refused_by_provider_can_be_closed_but_not_retried(kit: TestStore) {
    let id = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    kit.end_connection(&id, EndCause::Recipient, None).await;
    let (job, lease_id) = lease_job(&kit).await.unwrap();
    assert_eq!(finish_job(&kit, &job, lease_id, AttemptOutcome::Refused).await, Some(JobStep::Failed));
    assert_eq!(resolve_job(&kit, &job.id, FailedJobAction::Retry).await, Some(Err(ResolveJobError::NoToken)));
    assert_eq!(resolve_job(&kit, &job.id, FailedJobAction::Close).await, Some(Ok(())));
    assert_eq!(kit.get_connection(&id).await.provider_revocation, UpstreamRevocation::Refused);
}
