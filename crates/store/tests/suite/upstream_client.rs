//! Tests of upstream clients: the hub registers one for each registration (RFC 7591) and deletes it when it is no
//! longer needed.

use domain::id::{ClientId, ProviderId};
use domain::model::connection::EndCause;
use domain::model::job::{AttemptOutcome, JobKind, JobState, JobStep};
use domain::model::provider::{DynamicRegistration, UpstreamClientMode};
use domain::model::registration::{RegistrationState, RegistrationStep};
use serde_json::json;
use store::command::{
    ClientSelector, DetachUpstreamClient, FailedJobAction, FinishClientRemoval, ProviderChangeRejected,
    Purge, RecoverExchange, RecoveryCause, RemoveClient, RequestRegistrations, ResolveFailedJob,
    SealedUpstreamClient, StepRejected, TakeRegistrationStep, UpsertOutcome, UpsertProvider,
};
use store::query::{HasPendingRevocations, ListJobs, SEARCH_WINDOW};

use crate::job::{finish_job, lease_job};
use crate::support::{
    DAY, EXCHANGE_TIMEOUT, TestStore, build_provider, on_both, operator_actor, parse_client_id,
};

on_both!(
    upstream_client_is_kept_while_registrations_use_it,
    approval_queues_registration_job_at_dynamic_provider,
    second_activation_fails_and_detached_client_is_deleted,
    upstream_clients_are_deleted_once_after_last_connection_ends,
    pending_exchange_blocks_upstream_client_deletion,
    failed_revocation_blocks_upstream_client_deletion,
    long_queue_blocks_upstream_client_deletion,
    waiting_deletion_job_does_not_expire,
    unknown_job_kind_is_not_leased,
    failed_registration_job_can_be_retried_and_closed,
);

const ALL_JOBS: ListJobs =
    ListJobs { state: None, kind: None, provider_id: None, after: None, limit: 10, window: 1_000 };

/// Configures the provider to have a client for each registration, which the hub registers dynamically.
async fn enable_dynamic_registration(kit: &TestStore) {
    kit.overwrite_settings(|settings| {
        settings.upstream_client = UpstreamClientMode::PerRegistration;
        settings.dynamic_registration =
            Some(DynamicRegistration { endpoint: "https://b/register".into(), initial_access_token: None });
    })
    .await;
}

async fn take_step(
    kit: &TestStore,
    step: RegistrationStep,
    upstream: Option<SealedUpstreamClient>,
) -> Result<RegistrationState, StepRejected> {
    let (client_id, provider_id) = (parse_client_id("dc-new"), ProviderId::new(1000));
    let (moment, actor) = (kit.next_moment(), operator_actor());
    let reason = (step == RegistrationStep::Reject).then(|| "no".to_owned());
    kit.store
        .run(TakeRegistrationStep {
            moment,
            client_id,
            provider_id,
            step,
            reason,
            upstream_client: upstream,
            actor,
        })
        .await
        .unwrap()
}

async fn register_and_approve(kit: &TestStore) -> Result<RegistrationState, StepRejected> {
    assert!(kit.register_client("dc-new").await);
    request_registration(kit).await;
    take_step(kit, RegistrationStep::Approve, None).await
}

async fn request_registration(kit: &TestStore) {
    let (clients, providers) = (vec![parse_client_id("dc-new")], vec![ProviderId::new(1000)]);
    let (moment, actor) = (kit.next_moment(), operator_actor());
    let ask = RequestRegistrations { moment, partner: None, clients, providers, actor };
    kit.store.run(ask).await.unwrap().unwrap();
}

fn build_sealed_client() -> SealedUpstreamClient {
    SealedUpstreamClient {
        client_id: "there".into(),
        data_key: vec![1],
        secret: vec![2],
        has_secret: true,
        configuration_access: Some(vec![3]),
    }
}

async fn approval_queues_registration_job_at_dynamic_provider(kit: TestStore) {
    register_and_approve(&kit).await.unwrap();
    assert_eq!(kit.count_jobs("register_upstream_client", "pending").await, 0, "an operator activates here");
    take_step(&kit, RegistrationStep::Reject, None).await.unwrap();
    enable_dynamic_registration(&kit).await;
    request_registration(&kit).await;
    assert_eq!(
        kit.count_jobs("register_upstream_client", "pending").await,
        0,
        "the registration is not approved yet"
    );
    take_step(&kit, RegistrationStep::Approve, None).await.unwrap();
    let (job, lease_id) = lease_job(&kit).await.unwrap();
    assert_eq!((job.kind, job.connection_id.as_ref()), (JobKind::RegisterUpstreamClient, None));
    assert_eq!(job.client_id, Some(parse_client_id("dc-new")));
    assert!(job.data_key.is_empty() && job.token.is_empty(), "the job has no token yet");
    assert_eq!(finish_job(&kit, &job, lease_id, AttemptOutcome::Accepted).await, Some(JobStep::Done));
    assert!(take_step(&kit, RegistrationStep::Approve, None).await.is_err());
    assert_eq!(
        kit.count_jobs("register_upstream_client", "pending").await,
        0,
        "a rejected step queues no job"
    );
}

async fn change_upstream_client(kit: &TestStore, mode: UpstreamClientMode) -> UpsertOutcome {
    let mut provider = build_provider(1000);
    provider.settings.upstream_client = mode;
    let (moment, actor) = (kit.next_moment(), operator_actor());
    kit.store.run(UpsertProvider { moment, provider, actor, plan: None }).await.unwrap()
}

async fn upstream_client_is_kept_while_registrations_use_it(kit: TestStore) {
    register_and_approve(&kit).await.unwrap();
    kit.take_registration_step("dc-other", RegistrationStep::Suspend).await;
    let (settings, events) = (kit.get_provider().await.settings, kit.provider_audit_events().await.len());
    for removed in ["dc-acme", "dc-other"] {
        let outcome = change_upstream_client(&kit, UpstreamClientMode::Aggregator).await;
        assert!(
            matches!(outcome, UpsertOutcome::Rejected(ProviderChangeRejected::UpstreamClientInUse(_))),
            "before the removal of {removed}: {outcome:?}"
        );
        assert_eq!(kit.get_provider().await.settings, settings);
        assert_eq!(kit.provider_audit_events().await.len(), events);
        remove_client(&kit, removed).await;
    }

    // A registration that is not active yet has no client, and gets the right one.
    let changed = change_upstream_client(&kit, UpstreamClientMode::Aggregator).await;

    assert_eq!(changed, UpsertOutcome::Written);
}

async fn second_activation_fails_and_detached_client_is_deleted(kit: TestStore) {
    enable_dynamic_registration(&kit).await;
    register_and_approve(&kit).await.unwrap();
    let (job, lease_id) = lease_job(&kit).await.unwrap();
    take_step(&kit, RegistrationStep::Activate, Some(build_sealed_client())).await.unwrap();
    let second = take_step(&kit, RegistrationStep::Activate, Some(build_sealed_client())).await;
    assert!(matches!(second, Err(StepRejected::WrongState(_))), "{second:?}");
    let (client_id, provider_id) = (parse_client_id("dc-new"), ProviderId::new(1000));
    let (data_key, management) = (vec![7], vec![8]);
    let disown = DetachUpstreamClient {
        moment: kit.next_moment(),
        client_id,
        provider_id,
        data_key,
        configuration_access: management,
    };
    kit.store.run(disown).await.unwrap();
    finish_job(&kit, &job, lease_id, AttemptOutcome::Superseded).await;
    let (delete, lease_id) = lease_job(&kit).await.unwrap();
    assert_eq!(
        (delete.kind, &delete.data_key, &delete.token),
        (JobKind::DeleteUpstreamClient, &vec![7], &vec![8])
    );
    assert_eq!(finish_job(&kit, &delete, lease_id, AttemptOutcome::AlreadyGone).await, Some(JobStep::Done));
}

async fn remove_client(kit: &TestStore, id: &str) {
    let selector = ClientSelector { client_id: parse_client_id(id), kind: None, partner: None };
    kit.store
        .run(RemoveClient { moment: kit.next_moment(), selector, actor: operator_actor() })
        .await
        .unwrap();
}

async fn finish_removal(kit: &TestStore, client_id: ClientId) {
    kit.store.run(FinishClientRemoval { moment: kit.next_moment(), client_id }).await.unwrap();
}

async fn upstream_clients_are_deleted_once_after_last_connection_ends(kit: TestStore) {
    enable_dynamic_registration(&kit).await;
    register_and_approve(&kit).await.unwrap();
    let (job, lease_id) = lease_job(&kit).await.unwrap();
    take_step(&kit, RegistrationStep::Activate, Some(build_sealed_client())).await.unwrap();
    finish_job(&kit, &job, lease_id, AttemptOutcome::Accepted).await;
    let connection = kit.create_active_connection("a", "dc-new", Some("alice")).await;
    remove_client(&kit, "dc-new").await;
    assert_eq!(kit.count_jobs("delete_upstream_client", "pending").await, 0, "a connection is active");
    let has_pending = || pending_revocations_of_new_recipient();
    assert!(!kit.store.query(&has_pending()).await.unwrap());
    kit.end_connection(&connection, EndCause::ClientRemoved, None).await;
    assert!(kit.store.query(&has_pending()).await.unwrap(), "the revocation uses this client");
    for _ in 0..2 {
        finish_removal(&kit, parse_client_id("dc-new")).await;
        assert_eq!(kit.count_jobs("delete_upstream_client", "pending").await, 1);
    }
    let (revocation, lease_id) = lease_job(&kit).await.unwrap();
    assert_eq!(revocation.kind, JobKind::RevokeAtProvider);
    finish_job(&kit, &revocation, lease_id, AttemptOutcome::Accepted).await;
    assert!(!kit.store.query(&has_pending()).await.unwrap());
    let (delete, _) = lease_job(&kit).await.unwrap();
    assert_eq!(
        (delete.kind, delete.data_key, delete.token),
        (JobKind::DeleteUpstreamClient, vec![1], vec![3])
    );
    remove_client(&kit, "dc-other").await;
    finish_removal(&kit, parse_client_id("dc-other")).await;
    assert_eq!(
        kit.count_jobs("delete_upstream_client", "pending").await,
        1,
        "the other recipient has no upstream client"
    );
}

/// Creates a removed recipient whose upstream client must be deleted.
async fn activate_upstream_client(kit: &TestStore) -> HasPendingRevocations {
    enable_dynamic_registration(kit).await;
    register_and_approve(kit).await.unwrap();
    let (job, lease_id) = lease_job(kit).await.unwrap();
    take_step(kit, RegistrationStep::Activate, Some(build_sealed_client())).await.unwrap();
    finish_job(kit, &job, lease_id, AttemptOutcome::Accepted).await;
    pending_revocations_of_new_recipient()
}

fn pending_revocations_of_new_recipient() -> HasPendingRevocations {
    HasPendingRevocations {
        client_id: parse_client_id("dc-new"),
        provider_id: ProviderId::new(1000),
        window: SEARCH_WINDOW,
    }
}

async fn pending_exchange_blocks_upstream_client_deletion(mut kit: TestStore) {
    let has_pending = activate_upstream_client(&kit).await;
    kit.create_exchanging_request("other", "dc-acme").await;
    let id = kit.create_exchanging_request("a", "dc-new").await;
    remove_client(&kit, "dc-new").await;
    finish_removal(&kit, parse_client_id("dc-new")).await;
    assert_eq!(kit.count_jobs("delete_upstream_client", "pending").await, 1, "no connection is active");
    assert!(kit.store.query(&has_pending).await.unwrap(), "the provider may create a grant");
    let at_other_provider =
        HasPendingRevocations { provider_id: ProviderId::new(2000), ..has_pending.clone() };
    assert!(!kit.store.query(&at_other_provider).await.unwrap());
    kit.advance_clock(EXCHANGE_TIMEOUT);
    assert!(
        kit.store.query(&has_pending).await.unwrap(),
        "the exchange was interrupted and is not recovered yet"
    );
    let cause = RecoveryCause::LeaseExpired;
    let recover = RecoverExchange { moment: kit.next_moment(), request_id: id, cause };
    assert!(kit.store.run(recover).await.unwrap());
    assert!(kit.store.query(&has_pending).await.unwrap(), "a job exchanges the code again");
    let found = kit
        .store
        .query(&ListJobs { kind: Some(JobKind::RecoverAuthorizationCode), ..ALL_JOBS })
        .await
        .unwrap();
    assert_eq!(found.rows.len(), 1);
    kit.execute_sql("UPDATE jobs SET due_at = due_at + 86400000 WHERE kind = 'delete_upstream_client'").await;
    let (job, lease_id) = lease_job(&kit).await.unwrap();
    assert_eq!(job.kind, JobKind::RecoverAuthorizationCode);
    finish_job(&kit, &job, lease_id, AttemptOutcome::AlreadyGone).await;
    assert!(!kit.store.query(&has_pending).await.unwrap());
}

async fn failed_revocation_blocks_upstream_client_deletion(mut kit: TestStore) {
    let has_pending = activate_upstream_client(&kit).await;
    let connection = kit.create_active_connection("a", "dc-new", Some("alice")).await;
    kit.end_connection(&connection, EndCause::ClientRemoved, None).await;
    let later = AttemptOutcome::RetryLater { retry_after: None };
    for settlement in [FailedJobAction::Retry, FailedJobAction::Close] {
        let (revocation, lease_id) = lease_job(&kit).await.unwrap();
        finish_job(&kit, &revocation, lease_id, later).await;
        kit.advance_clock(DAY * 7);
        let (revocation, lease_id) = lease_job(&kit).await.unwrap();
        assert_eq!(finish_job(&kit, &revocation, lease_id, later).await, Some(JobStep::Failed));
        assert!(
            kit.store.query(&has_pending).await.unwrap(),
            "the grant may be active, and the job has its token"
        );
        let (moment, job_id, actor) = (kit.next_moment(), revocation.id.clone(), operator_actor());
        kit.store
            .run(ResolveFailedJob { moment, job_id, action: settlement, actor })
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(kit.store.query(&has_pending).await.unwrap(), settlement == FailedJobAction::Retry);
    }
    let refused = kit.create_active_connection("b", "dc-new", Some("alice")).await;
    kit.end_connection(&refused, EndCause::ClientRemoved, None).await;
    let (revocation, lease_id) = lease_job(&kit).await.unwrap();
    assert_eq!(finish_job(&kit, &revocation, lease_id, AttemptOutcome::Refused).await, Some(JobStep::Failed));
    assert!(
        kit.store.query(&has_pending).await.unwrap(),
        "an operator may retry the job, which needs the client"
    );
    kit.advance_clock(DAY * 90);
    kit.store.run(Purge { moment: kit.next_moment(), limit: 100 }).await.unwrap();
    assert!(!kit.store.query(&has_pending).await.unwrap(), "the token was deleted after 90 days");
}

async fn long_queue_blocks_upstream_client_deletion(kit: TestStore) {
    let has_pending = activate_upstream_client(&kit).await;
    for name in ["a", "b", "c"] {
        let id = kit.create_active_connection(name, "dc-acme", Some(name)).await;
        kit.end_connection(&id, EndCause::Recipient, None).await;
    }

    let examined =
        kit.store.query(&HasPendingRevocations { window: 3, ..has_pending.clone() }).await.unwrap();
    let unknown = kit.store.query(&HasPendingRevocations { window: 2, ..has_pending }).await.unwrap();

    assert!(!examined, "the jobs belong to another recipient");
    assert!(unknown, "a job that was not examined may belong to the recipient");
}

async fn waiting_deletion_job_does_not_expire(mut kit: TestStore) {
    activate_upstream_client(&kit).await;
    remove_client(&kit, "dc-new").await;
    finish_removal(&kit, parse_client_id("dc-new")).await;
    for _ in 0..3 {
        kit.advance_clock(DAY * 7);
        let (delete, lease_id) = lease_job(&kit).await.unwrap();
        let step = finish_job(&kit, &delete, lease_id, AttemptOutcome::Blocked).await;
        assert!(matches!(step, Some(JobStep::Retry(_))), "{step:?}");
    }
    kit.advance_clock(DAY);
    let (delete, lease_id) = lease_job(&kit).await.unwrap();
    assert_eq!((delete.kind, delete.token.as_slice()), (JobKind::DeleteUpstreamClient, &[3][..]));
    let step = finish_job(&kit, &delete, lease_id, AttemptOutcome::RetryLater { retry_after: None }).await;
    assert!(
        matches!(step, Some(JobStep::Retry(_))),
        "the retry window begins when the job no longer has to wait: {step:?}"
    );
}

async fn unknown_job_kind_is_not_leased(kit: TestStore) {
    let id = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    let other = kit.create_active_connection("b", "dc-other", Some("bob")).await;
    for id in [&id, &other] {
        kit.end_connection(id, EndCause::Recipient, None).await;
    }
    let unknown = format!(
        "UPDATE jobs SET kind = 'fly', due_at = 0 WHERE connection_id = id'{id}';
         UPDATE job_transitions SET kind = 'fly' WHERE id = (SELECT min(id) FROM job_transitions)"
    );
    kit.execute_sql(&unknown).await;
    let (job, lease_id) = lease_job(&kit).await.unwrap();
    assert_eq!(job.connection_id, Some(other), "an unknown kind delays no other job");
    finish_job(&kit, &job, lease_id, AttemptOutcome::Accepted).await;
    assert!(lease_job(&kit).await.is_none());
    assert_eq!(kit.store.query(&ALL_JOBS).await.unwrap().rows.len(), 1);
    assert_eq!(kit.count_jobs("revoke_at_provider", "pending").await, 0);
}

async fn failed_registration_job_can_be_retried_and_closed(kit: TestStore) {
    enable_dynamic_registration(&kit).await;
    register_and_approve(&kit).await.unwrap();
    let (job, lease_id) = lease_job(&kit).await.unwrap();
    assert_eq!(finish_job(&kit, &job, lease_id, AttemptOutcome::Refused).await, Some(JobStep::Failed));
    let settle = |settlement| ResolveFailedJob {
        moment: kit.next_moment(),
        job_id: job.id.clone(),
        action: settlement,
        actor: operator_actor(),
    };
    assert_eq!(kit.store.run(settle(FailedJobAction::Retry)).await.unwrap(), Some(Ok(())));
    let (again, lease_id) = lease_job(&kit).await.unwrap();
    assert_eq!((&again.id, again.attempt), (&job.id, 0));
    finish_job(&kit, &again, lease_id, AttemptOutcome::Refused).await;
    assert_eq!(kit.store.run(settle(FailedJobAction::Close)).await.unwrap(), Some(Ok(())));
    assert_eq!(kit.count_jobs("register_upstream_client", JobState::Done.as_str()).await, 1);
    let record = kit.provider_audit_events().await;
    let words: Vec<_> = record.iter().map(|(word, _)| *word).collect();
    assert_eq!(words[words.len() - 2..], ["job.retried", "job.closed"]);
    let expected = json!({"job": job.id.as_str(), "kind": "register_upstream_client", "client": "dc-new", "provider": 1000});
    assert_eq!(record.last().unwrap().1, expected, "the event names the client and the provider");
}
