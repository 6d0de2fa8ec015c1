//! Tests of background jobs: leases, retries, failure, and resolution by operators.

use std::time::Duration;

use domain::id::{JobId, LeaseId, ProviderId};
use domain::model::connection::{EndCause, UpstreamRevocation};
use domain::model::job::{
    AttemptOutcome, Job, JobState, JobStep, ResolveJobError, SealedAccessToken, TokenType,
};
use domain::model::provider::EndpointGroup;
use store::Location;
use store::command::{
    FailedJobAction, FinishJob, JobQueue, JobQueueDemand, LeaseJobs, LeasedJob, Purge, ReleaseJob,
    ResolveFailedJob, UnrevokedToken, UpsertProvider,
};
use store::query::{JobSummary, ListConnectionJobs, ListDueQueues, ListJobs};

use crate::support::{DAY, TestStore, build_provider, on_both, operator_actor};

on_both!(
    many_waiting_jobs_do_not_delay_other_queues,
    released_job_keeps_its_place_and_its_attempts,
    job_is_leased_once_and_done_after_acceptance,
    job_is_retried_and_fails_after_retry_window,
    failed_job_can_be_retried_or_closed_by_operator,
    refused_job_keeps_its_token_for_90_days,
    access_token_is_revoked_if_there_is_no_refresh_token,
    valid_access_token_accompanies_refresh_token,
);

/// The queue of the revocations at the provider of the tests.
pub(crate) const REVOCATIONS: JobQueue =
    JobQueue { provider_id: ProviderId::new(1000), endpoint_group: EndpointGroup::Revocation };
const LEASE_TTL: Duration = Duration::from_secs(20);

/// Leases the next due job of the first queue that has one.
pub(crate) async fn lease_job(kit: &TestStore) -> Option<(Job, LeaseId)> {
    let queue = *kit.store.query(&ListDueQueues { now: kit.now }).await.unwrap().first()?;
    let leased = lease_jobs(kit, &[JobQueueDemand { queue, limit: 1 }]).await.pop()?;
    Some((leased.job, leased.lease))
}

pub(crate) async fn lease_jobs(kit: &TestStore, demands: &[JobQueueDemand]) -> Vec<LeasedJob> {
    let (moment, demands) = (kit.next_moment(), demands.to_vec());
    kit.store.run(LeaseJobs { moment, lease_ttl: LEASE_TTL, demands }).await.unwrap()
}

pub(crate) async fn finish_job(
    kit: &TestStore,
    job: &Job,
    lease: LeaseId,
    attempt: AttemptOutcome,
) -> Option<JobStep> {
    finish_job_with(kit, job, lease, attempt, vec![]).await
}

pub(crate) async fn finish_job_with(
    kit: &TestStore,
    job: &Job,
    lease: LeaseId,
    attempt: AttemptOutcome,
    unrevoked: Vec<UnrevokedToken>,
) -> Option<JobStep> {
    let (job_id, outcome) = (job.id.clone(), "tested".to_owned());
    kit.store
        .run(FinishJob {
            moment: kit.next_moment(),
            job_id,
            lease,
            attempt,
            outcome,
            accepted: vec![],
            unrevoked,
        })
        .await
        .unwrap()
}

/// Copies a job `number` times to another provider.
async fn copy_jobs(kit: &TestStore, provider: i64, number: i64) {
    kit.store
        .run(UpsertProvider {
            moment: kit.next_moment(),
            provider: build_provider(provider),
            actor: operator_actor(),
            plan: None,
        })
        .await
        .unwrap();
    let copied_id = match kit.location {
        Location::Sqlite(_) => "CAST('job_copy' || n AS BLOB)",
        Location::Postgres(_) => "convert_to('job_copy' || n, 'UTF8')",
    };
    let copy = format!(
        "INSERT INTO jobs (id, kind, connection_id, provider_id, client_id, endpoint_group, outcome_unknown, state,
             attempt, seed, due_at, retry_until, created_at)
         WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {number})
         SELECT {copied_id}, kind, connection_id, {provider}, client_id, endpoint_group, outcome_unknown, state,
             attempt, seed, due_at - 1000 - n, retry_until, created_at FROM jobs, numbers"
    );
    kit.execute_sql(&copy).await;
}

async fn many_waiting_jobs_do_not_delay_other_queues(kit: TestStore) {
    let id = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    kit.end_connection(&id, EndCause::Recipient, None).await;
    copy_jobs(&kit, 2000, 10_000).await;
    let waiting = JobQueue { provider_id: ProviderId::new(2000), ..REVOCATIONS };

    let due = kit.store.query(&ListDueQueues { now: kit.now }).await.unwrap();
    let demands = [waiting, REVOCATIONS].map(|queue| JobQueueDemand { queue, limit: 3 });
    let leased = lease_jobs(&kit, &demands).await;

    assert_eq!(due, [REVOCATIONS, waiting]);
    let count = |queue| leased.iter().filter(|leased| leased.queue == queue).count();
    assert_eq!((count(waiting), count(REVOCATIONS)), (3, 1), "each queue is limited by its own demand");
    let due = kit.store.query(&ListDueQueues { now: kit.now }).await.unwrap();
    assert_eq!(due, [waiting], "a queue whose jobs are all leased has nothing to do");
}

async fn released_job_keeps_its_place_and_its_attempts(kit: TestStore) {
    for name in ["a", "b"] {
        let id = kit.create_active_connection(name, "dc-acme", Some(name)).await;
        kit.end_connection(&id, EndCause::Recipient, None).await;
    }
    let before = kit.store.query(&ListJobs { ..PENDING_JOBS }).await.unwrap();
    let (job, lease_id) = lease_job(&kit).await.unwrap();

    let release = |lease| ReleaseJob { moment: kit.next_moment(), job_id: job.id.clone(), lease };
    kit.store.run(release("lea_other".parse::<LeaseId>().unwrap())).await.unwrap();
    assert_ne!(lease_job(&kit).await.unwrap().0.id, job.id, "only the holder can release a lease");
    kit.store.run(release(lease_id)).await.unwrap();

    assert_eq!(lease_job(&kit).await.unwrap().0.id, job.id);
    let after = kit.store.query(&ListJobs { ..PENDING_JOBS }).await.unwrap();
    let facts = |jobs: &[JobSummary]| jobs.iter().map(|job| (job.due_at, job.attempt)).collect::<Vec<_>>();
    assert_eq!(facts(&before.rows), facts(&after.rows));
}

const PENDING_JOBS: ListJobs = ListJobs {
    state: Some(JobState::Pending),
    kind: None,
    provider_id: None,
    after: None,
    limit: 10,
    window: 1_000,
};

async fn job_is_leased_once_and_done_after_acceptance(mut kit: TestStore) {
    let id = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    assert!(lease_job(&kit).await.is_none());
    kit.end_connection(&id, EndCause::Recipient, None).await;
    let (job, first) = lease_job(&kit).await.unwrap();
    assert_eq!(
        (job.token.as_slice(), job.data_key.as_slice()),
        (&b"sealed refresh a"[..], &b"key of sealed refresh a"[..])
    );
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

async fn access_token_is_revoked_if_there_is_no_refresh_token(mut kit: TestStore) {
    let id = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    kit.execute_sql(
        "UPDATE upstream_credentials SET refresh_token = NULL; UPDATE connections SET refresh_key = NULL",
    )
    .await;
    // Even an expired token is revoked: the provider may accept it longer than it announced.
    kit.advance_clock(DAY);

    kit.end_connection(&id, EndCause::Recipient, None).await;

    assert_eq!(kit.get_connection(&id).await.provider_revocation, UpstreamRevocation::Pending);
    let (job, _) = lease_job(&kit).await.unwrap();
    assert_eq!((job.token.as_slice(), job.token_type), (&b"sealed access"[..], TokenType::AccessToken));
    assert_eq!(job.access_token, None);
    assert!(job.outcome_unknown, "the provider accepts the revocation of an expired token too");
}

async fn valid_access_token_accompanies_refresh_token(mut kit: TestStore) {
    for (name, expected) in [("a", true), ("b", false)] {
        let id = kit.create_active_connection(name, "dc-acme", None).await;
        if !expected {
            kit.advance_clock(Duration::from_mins(5));
        }

        kit.end_connection(&id, EndCause::Recipient, None).await;

        let (job, lease_id) = lease_job(&kit).await.unwrap();
        assert_eq!(job.token_type, TokenType::RefreshToken);
        let token = SealedAccessToken {
            data_key: b"key of sealed access".to_vec(),
            token: b"sealed access".to_vec(),
        };
        assert_eq!(job.access_token, expected.then_some(token), "{name}");
        finish_job(&kit, &job, lease_id, AttemptOutcome::Accepted).await;
    }
}

async fn refused_job_keeps_its_token_for_90_days(mut kit: TestStore) {
    let id = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    kit.end_connection(&id, EndCause::Recipient, None).await;
    let (job, lease_id) = lease_job(&kit).await.unwrap();
    assert_eq!(finish_job(&kit, &job, lease_id, AttemptOutcome::Refused).await, Some(JobStep::Failed));
    kit.advance_clock((DAY * 90).saturating_sub(Duration::from_millis(1)));
    kit.store.run(Purge { moment: kit.next_moment(), limit: 100 }).await.unwrap();
    assert_eq!(resolve_job(&kit, &job.id, FailedJobAction::Retry).await, Some(Ok(())));
    let (job, lease_id) = lease_job(&kit).await.unwrap();
    assert_eq!(job.token, b"sealed refresh a", "the token is complete");
    finish_job(&kit, &job, lease_id, AttemptOutcome::Refused).await;

    kit.advance_clock(DAY * 90);
    kit.store.run(Purge { moment: kit.next_moment(), limit: 100 }).await.unwrap();

    assert_eq!(resolve_job(&kit, &job.id, FailedJobAction::Retry).await, Some(Err(ResolveJobError::NoToken)));
    assert_eq!(resolve_job(&kit, &job.id, FailedJobAction::Close).await, Some(Ok(())));
    assert_eq!(kit.get_connection(&id).await.provider_revocation, UpstreamRevocation::Refused);
}
