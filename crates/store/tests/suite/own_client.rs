//! Clients of recipients' own at providers that register them by themselves.

use domain::id::{ClientId, ProviderId};
use domain::model::connection::Cause;
use domain::model::job::{Attempt, JobKind, JobState, JobStep};
use domain::model::provider::{DynamicRegistration, UpstreamClient};
use domain::model::registration::{RegistrationState, RegistrationStep};
use serde_json::json;
use store::command::{
    DisownClient, FinishRemoval, NotTaken, RecoverExchange, RemoveClient, RequestRegistrations, SealedClient,
    SettleJob, Settlement, StepRegistration, UpsertProvider, Whose,
};
use store::query::{Jobs, StillTelling};

use crate::job::{finish, lease};
use crate::kit::{DAY, EXCHANGE_LIFE, Kit, client, on_both, operator, provider};

on_both!(
    what_sends_a_registration_to_its_provider_commits_with_the_approval,
    who_activates_last_is_told_and_what_is_left_over_is_deleted,
    the_clients_of_a_removed_recipient_are_deleted_once_when_its_last_connection_has_ended,
    a_client_stays_while_a_code_is_exchanged_as_it,
    a_client_stays_until_a_person_has_settled_what_was_not_told,
    a_deletion_that_waits_is_not_given_up,
    a_kind_that_is_not_known_is_left_to_newer_nodes,
    a_registration_that_was_given_up_is_tried_again_though_nothing_is_in_hand,
);

const ALL: Jobs = Jobs { state: None, kind: None, provider_id: None, after: None, limit: 10 };

/// The provider registers a client for each registration.
async fn registers(kit: &Kit) {
    let mut provider = provider(1000);
    provider.settings.upstream_client = UpstreamClient::Registration;
    provider.settings.dynamic_registration =
        Some(DynamicRegistration { endpoint: "https://b/register".into(), initial_access_token: None });
    kit.store.run(UpsertProvider { moment: kit.moment(), provider, actor: operator() }).await.unwrap();
}

async fn step(
    kit: &Kit,
    step: RegistrationStep,
    upstream: Option<SealedClient>,
) -> Result<RegistrationState, NotTaken> {
    let (client_id, provider_id) = (client("dc-new"), ProviderId::new(1000));
    let (moment, actor) = (kit.moment(), operator());
    let reason = (step == RegistrationStep::Reject).then(|| "no".to_owned());
    kit.store
        .run(StepRegistration { moment, client_id, provider_id, step, reason, upstream, actor })
        .await
        .unwrap()
}

async fn approved(kit: &Kit) -> Result<RegistrationState, NotTaken> {
    assert!(kit.register("dc-new").await);
    ask(kit).await;
    step(kit, RegistrationStep::Approve, None).await
}

async fn ask(kit: &Kit) {
    let (clients, providers) = (vec![client("dc-new")], vec![ProviderId::new(1000)]);
    let (moment, actor) = (kit.moment(), operator());
    let ask = RequestRegistrations { moment, partner: None, clients, providers, actor };
    kit.store.run(ask).await.unwrap().unwrap();
}

fn own() -> SealedClient {
    SealedClient { client_id: "there".into(), data_key: vec![1], secret: vec![2], management: Some(vec![3]) }
}

async fn what_sends_a_registration_to_its_provider_commits_with_the_approval(kit: Kit) {
    approved(&kit).await.unwrap();
    assert_eq!(kit.jobs("register_client", "pending").await, 0, "an operator activates here");
    step(&kit, RegistrationStep::Reject, None).await.unwrap();
    registers(&kit).await;
    ask(&kit).await;
    assert_eq!(kit.jobs("register_client", "pending").await, 0, "nobody has approved");
    step(&kit, RegistrationStep::Approve, None).await.unwrap();
    let (job, held) = lease(&kit).await.unwrap();
    assert_eq!((job.kind, job.connection_id.as_ref()), (JobKind::RegisterClient, None));
    assert_eq!(job.client_id, Some(client("dc-new")));
    assert!(job.data_key.is_empty() && job.token.is_empty(), "nothing is in hand");
    assert_eq!(finish(&kit, &job, held, Attempt::Accepted).await, Some(JobStep::Done));
    assert!(step(&kit, RegistrationStep::Approve, None).await.is_err());
    assert_eq!(kit.jobs("register_client", "pending").await, 0, "a step that is not taken queues nothing");
}

async fn who_activates_last_is_told_and_what_is_left_over_is_deleted(kit: Kit) {
    registers(&kit).await;
    approved(&kit).await.unwrap();
    let (job, held) = lease(&kit).await.unwrap();
    step(&kit, RegistrationStep::Activate, Some(own())).await.unwrap();
    let second = step(&kit, RegistrationStep::Activate, Some(own())).await;
    assert!(matches!(second, Err(NotTaken::WrongState(_))), "{second:?}");
    let (client_id, provider_id) = (client("dc-new"), ProviderId::new(1000));
    let (data_key, management) = (vec![7], vec![8]);
    let disown = DisownClient { moment: kit.moment(), client_id, provider_id, data_key, management };
    kit.store.run(disown).await.unwrap();
    finish(&kit, &job, held, Attempt::Overtaken).await;
    let (delete, held) = lease(&kit).await.unwrap();
    assert_eq!((delete.kind, &delete.data_key, &delete.token), (JobKind::DeleteClient, &vec![7], &vec![8]));
    assert_eq!(finish(&kit, &delete, held, Attempt::Over).await, Some(JobStep::Done));
}

async fn remove(kit: &Kit, id: &str) {
    let whose = Whose { client_id: client(id), kind: None, partner: None };
    kit.store.run(RemoveClient { moment: kit.moment(), whose, actor: operator() }).await.unwrap();
    finish_removal(kit, client(id)).await;
}

async fn finish_removal(kit: &Kit, client_id: ClientId) {
    kit.store.run(FinishRemoval { moment: kit.moment(), client_id }).await.unwrap();
}

async fn the_clients_of_a_removed_recipient_are_deleted_once_when_its_last_connection_has_ended(kit: Kit) {
    registers(&kit).await;
    approved(&kit).await.unwrap();
    let (job, held) = lease(&kit).await.unwrap();
    step(&kit, RegistrationStep::Activate, Some(own())).await.unwrap();
    finish(&kit, &job, held, Attempt::Accepted).await;
    let connection = kit.active("a", "dc-new", Some("alice")).await;
    remove(&kit, "dc-new").await;
    assert_eq!(kit.jobs("delete_client", "pending").await, 0, "a connection lives");
    let still = || StillTelling { client_id: client("dc-new"), provider_id: ProviderId::new(1000) };
    assert!(!kit.store.ask(&still()).await.unwrap());
    kit.end(&connection, Cause::ClientRemoved, None).await;
    assert!(kit.store.ask(&still()).await.unwrap(), "the end is told as this client");
    for _ in 0..2 {
        finish_removal(&kit, client("dc-new")).await;
        assert_eq!(kit.jobs("delete_client", "pending").await, 1);
    }
    let (telling, held) = lease(&kit).await.unwrap();
    assert_eq!(telling.kind, JobKind::TellBank);
    finish(&kit, &telling, held, Attempt::Accepted).await;
    assert!(!kit.store.ask(&still()).await.unwrap());
    let (delete, _) = lease(&kit).await.unwrap();
    assert_eq!((delete.kind, delete.data_key, delete.token), (JobKind::DeleteClient, vec![1], vec![3]));
    remove(&kit, "dc-other").await;
    assert_eq!(kit.jobs("delete_client", "pending").await, 1, "another has none");
}

/// A recipient that was removed, whose client at the provider is to be deleted.
async fn removed(kit: &Kit) -> StillTelling {
    registers(kit).await;
    approved(kit).await.unwrap();
    let (job, held) = lease(kit).await.unwrap();
    step(kit, RegistrationStep::Activate, Some(own())).await.unwrap();
    finish(kit, &job, held, Attempt::Accepted).await;
    StillTelling { client_id: client("dc-new"), provider_id: ProviderId::new(1000) }
}

async fn a_client_stays_while_a_code_is_exchanged_as_it(mut kit: Kit) {
    let still = removed(&kit).await;
    kit.exchanging("other", "dc-acme").await;
    let id = kit.exchanging("a", "dc-new").await;
    remove(&kit, "dc-new").await;
    assert_eq!(kit.jobs("delete_client", "pending").await, 1, "no connection lives");
    assert!(kit.store.ask(&still).await.unwrap(), "the bank may give a grant");
    let elsewhere = StillTelling { provider_id: ProviderId::new(2000), ..still.clone() };
    assert!(!kit.store.ask(&elsewhere).await.unwrap());
    kit.advance(EXCHANGE_LIFE);
    assert!(kit.store.ask(&still).await.unwrap(), "it broke off, and is not recovered yet");
    let recover = RecoverExchange { moment: kit.moment(), request_id: id };
    assert!(kit.store.run(recover).await.unwrap());
    assert!(kit.store.ask(&still).await.unwrap(), "a job tries the code again");
    let found = kit.store.ask(&Jobs { kind: Some(JobKind::RecoverCode), ..ALL }).await.unwrap();
    assert_eq!(found.len(), 1);
    kit.behind_its_back("UPDATE jobs SET due_at = due_at + 86400000 WHERE kind = 'delete_client'").await;
    let (job, held) = lease(&kit).await.unwrap();
    assert_eq!(job.kind, JobKind::RecoverCode);
    finish(&kit, &job, held, Attempt::Over).await;
    assert!(!kit.store.ask(&still).await.unwrap());
}

async fn a_client_stays_until_a_person_has_settled_what_was_not_told(mut kit: Kit) {
    let still = removed(&kit).await;
    let connection = kit.active("a", "dc-new", Some("alice")).await;
    kit.end(&connection, Cause::ClientRemoved, None).await;
    let later = Attempt::Later { retry_after: None };
    for settlement in [Settlement::Retry, Settlement::Close] {
        let (telling, held) = lease(&kit).await.unwrap();
        finish(&kit, &telling, held, later).await;
        kit.advance(DAY * 7);
        let (telling, held) = lease(&kit).await.unwrap();
        assert_eq!(finish(&kit, &telling, held, later).await, Some(JobStep::Dead));
        assert!(kit.store.ask(&still).await.unwrap(), "the grant may live, and the token is there");
        let (moment, job_id, actor) = (kit.moment(), telling.id.clone(), operator());
        kit.store.run(SettleJob { moment, job_id, settlement, actor }).await.unwrap().unwrap().unwrap();
        assert_eq!(kit.store.ask(&still).await.unwrap(), settlement == Settlement::Retry);
    }
    let refused = kit.active("b", "dc-new", Some("alice")).await;
    kit.end(&refused, Cause::ClientRemoved, None).await;
    let (telling, held) = lease(&kit).await.unwrap();
    assert_eq!(finish(&kit, &telling, held, Attempt::Refused).await, Some(JobStep::Dead));
    assert!(!kit.store.ask(&still).await.unwrap(), "it said no: there is no token to tell it again with");
}

async fn a_deletion_that_waits_is_not_given_up(mut kit: Kit) {
    removed(&kit).await;
    remove(&kit, "dc-new").await;
    for _ in 0..3 {
        kit.advance(DAY * 7);
        let (delete, held) = lease(&kit).await.unwrap();
        let step = finish(&kit, &delete, held, Attempt::Waits).await;
        assert!(matches!(step, Some(JobStep::Retry(_))), "{step:?}");
    }
    kit.advance(DAY);
    let (delete, held) = lease(&kit).await.unwrap();
    assert_eq!((delete.kind, delete.token.as_slice()), (JobKind::DeleteClient, &[3][..]));
    let step = finish(&kit, &delete, held, Attempt::Later { retry_after: None }).await;
    assert!(matches!(step, Some(JobStep::Retry(_))), "its seven days begin when it need not wait: {step:?}");
}

async fn a_kind_that_is_not_known_is_left_to_newer_nodes(kit: Kit) {
    let id = kit.active("a", "dc-acme", Some("alice")).await;
    let other = kit.active("b", "dc-other", Some("bob")).await;
    for id in [&id, &other] {
        kit.end(id, Cause::Recipient, None).await;
    }
    let unknown = format!("UPDATE jobs SET kind = 'fly', due_at = 0 WHERE connection_id = '{id}'");
    kit.behind_its_back(&unknown).await;
    let (job, held) = lease(&kit).await.unwrap();
    assert_eq!(job.connection_id, Some(other), "it holds nobody up");
    finish(&kit, &job, held, Attempt::Accepted).await;
    assert!(lease(&kit).await.is_none());
    assert_eq!(kit.store.ask(&ALL).await.unwrap().len(), 1);
    assert_eq!(kit.jobs("tell_bank", "pending").await, 0);
}

async fn a_registration_that_was_given_up_is_tried_again_though_nothing_is_in_hand(kit: Kit) {
    registers(&kit).await;
    approved(&kit).await.unwrap();
    let (job, held) = lease(&kit).await.unwrap();
    assert_eq!(finish(&kit, &job, held, Attempt::Refused).await, Some(JobStep::Dead));
    let settle = |settlement| SettleJob {
        moment: kit.moment(),
        job_id: job.id.clone(),
        settlement,
        actor: operator(),
    };
    assert_eq!(kit.store.run(settle(Settlement::Retry)).await.unwrap(), Some(Ok(())));
    let (again, held) = lease(&kit).await.unwrap();
    assert_eq!((&again.id, again.attempt), (&job.id, 0));
    finish(&kit, &again, held, Attempt::Refused).await;
    assert_eq!(kit.store.run(settle(Settlement::Close)).await.unwrap(), Some(Ok(())));
    assert_eq!(kit.jobs("register_client", JobState::Done.as_str()).await, 1);
    let record = kit.provider_record().await;
    let words: Vec<_> = record.iter().map(|(word, _)| *word).collect();
    assert_eq!(words[words.len() - 2..], ["job.retried", "job.closed"]);
    let about =
        json!({"job": job.id.as_str(), "kind": "register_client", "client": "dc-new", "provider": 1000});
    assert_eq!(record.last().unwrap().1, about, "whose it is, at whom");
}
