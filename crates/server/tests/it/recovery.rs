//! A process that died, or never heard back, while a bank's code was being exchanged.

use std::time::Duration;

use bowline::cli::Sent;
use bowline::job;
use domain::id::{JobId, ProviderId, Seed};
use domain::model::audit_event::{Actor, SubjectKind};
use domain::model::authorization_request::AuthorizationRequest;
use domain::model::job::{Attempt, Job, JobKind};
use domain::model::provider::Provider;
use domain::secret::TokenHashes;
use http::Method;
use serde_json::{Value, json};
use store::command::{ReceiveCode, UpsertProvider};
use store::query::{AuditOf, JobCounts, ProviderById, RequestById, RequestByState};

use crate::kit::{Kit, parameter};

/// The callback of a bank that said yes, not followed.
pub(crate) async fn callback(kit: &Kit) -> String {
    let (at, page) = kit.up_to_accounts(&Kit::ask(&kit.acme()), "alice").await;
    let token = bowline::cli::hidden(&page.body, "form_token").unwrap();
    let chosen = [("form_token", token.as_str()), ("accounts", "mt-alice-card"), ("decision", "approve")];
    kit.send(Sent::new(Method::POST, &at).form(&chosen)).await.location.unwrap()
}

/// A request whose code is in hand, of a process that died right then; and the code.
pub(crate) async fn broken_off(kit: &Kit) -> (AuthorizationRequest, String) {
    let callback = callback(kit).await;
    let (code, state) = (parameter(&callback, "code").unwrap(), parameter(&callback, "state").unwrap());
    let (app, ctx) = (kit.app(), job::context(kit.app(), "test").unwrap());
    let states = app.vault().hashes(&state);
    let request = ctx.ask(&RequestByState { state: states.clone() }).await.unwrap().unwrap();
    let connection = request.connection_id.as_str();
    let key = app.vault().unwrap(&request.data_key, connection).unwrap();
    let received = ReceiveCode {
        moment: ctx.moment().unwrap(),
        provider_id: request.provider_id,
        state: states,
        cookie: TokenHashes::new(vec![request.cookie_hash.clone()]),
        bank_code: Some(key.seal(connection, code.as_bytes()).unwrap()),
        exchange_life: app.lease_life(),
    };
    ctx.run(received).await.unwrap().unwrap();
    (request, code)
}

/// What the process that died may have done: the exchange, whose answer nobody heard.
async fn exchange_unheard(kit: &Kit, request: &AuthorizationRequest, code: &str) {
    let connection = request.connection_id.as_str();
    let key = kit.app().vault().unwrap(&request.data_key, connection).unwrap();
    let verifier = key.open_text(connection, request.verifier.as_ref().unwrap()).unwrap();
    let secret = std::fs::read_to_string(kit.data_folder().join("maple.secret")).unwrap();
    let redirect_uri = kit.url("/callback/1000");
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &redirect_uri),
        ("code_verifier", verifier.expose()),
        ("client_id", "bowline"),
        ("client_secret", &secret),
    ];
    let url = format!("{}/token", kit.world.maple().url);
    let answer = kit.send(Sent::new(Method::POST, &url).form(&form)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(kit.grants().await, ["active"]);
}

/// The sweep of a node that goes on.
pub(crate) async fn recover(kit: &Kit) -> usize {
    job::recover(&job::context(kit.app(), "test").unwrap()).await.unwrap()
}

async fn jobs(kit: &Kit, kind: &'static str, state: &'static str) -> i64 {
    kit.app().store().ask(&JobCounts).await.unwrap().get(&(kind, state)).copied().unwrap_or(0)
}

/// What the provider's chain says of the request's grant.
async fn orphan(kit: &Kit, request: &AuthorizationRequest) -> Option<String> {
    let chain = AuditOf { kind: SubjectKind::Provider, id: "1000".into() };
    let events = kit.app().store().ask(&chain).await.unwrap();
    let of = |detail: &str| serde_json::from_str::<Value>(detail).unwrap();
    let mut details = events.iter().map(|e| of(&e.entry.detail));
    let settled = details.find(|detail| detail["connection"] == request.connection_id.as_str())?;
    settled["orphan"].as_str().map(str::to_owned)
}

pub(crate) async fn settles(kit: &Kit, request: &AuthorizationRequest, as_what: &str) {
    kit.until("the orphan is settled", async || orphan(kit, request).await.is_some()).await;
    assert_eq!(orphan(kit, request).await.as_deref(), Some(as_what));
}

#[tokio::test]
async fn a_code_that_was_never_sent_is_exchanged_once_more_and_its_grant_ended() {
    let kit = Kit::new().await;
    let (request, _) = broken_off(&kit).await;
    assert_eq!(recover(&kit).await, 0, "the exchange may be under way");
    kit.advance(kit.app().lease_life());
    recover(&kit).await;
    recover(&kit).await;
    settles(&kit, &request, "cleared").await;
    assert_eq!(kit.grants().await, ["ended"], "it was granted, and revoked at once");
    assert_eq!(
        (jobs(&kit, "recover_code", "done").await, jobs(&kit, "recover_code", "pending").await),
        (1, 0)
    );
    let stored = kit.app().store().ask(&RequestById { id: request.id.clone() }).await.unwrap().unwrap();
    assert_eq!((stored.status.as_str(), stored.verifier), ("failed", None));
}

#[tokio::test]
async fn a_grant_whose_tokens_nobody_saw_is_possible() {
    let kit = Kit::new().await;
    let (request, code) = broken_off(&kit).await;
    exchange_unheard(&kit, &request, &code).await;
    kit.advance(kit.app().lease_life());
    recover(&kit).await;
    settles(&kit, &request, "possible").await;
    assert_eq!(kit.grants().await, ["ended"], "by the bank's own rule of a code that comes twice");
    assert_eq!(jobs(&kit, "recover_code", "dead").await, 0, "nothing is left for a person to do");
}

#[tokio::test]
async fn a_bank_that_is_down_is_asked_again_later() {
    let kit = Kit::new().await;
    let (request, _) = broken_off(&kit).await;
    kit.levers(json!({"token_endpoint": "down"})).await;
    kit.advance(kit.app().lease_life());
    recover(&kit).await;
    kit.until("it was tried", async || {
        kit.app().telemetry().render().lines().any(|line| line.contains("outcome=\"503\""))
    })
    .await;
    assert_eq!(orphan(&kit, &request).await, None);
    kit.levers(json!({"token_endpoint": "up"})).await;
    kit.advance(Duration::from_secs(10));
    kit.app().jobs().notify_one();
    settles(&kit, &request, "cleared").await;
    assert_eq!(kit.grants().await, ["ended"]);
}

#[tokio::test]
async fn a_token_that_the_bank_does_not_take_back_goes_on_in_a_job_of_its_own() {
    let kit = Kit::new().await;
    let (request, _) = broken_off(&kit).await;
    kit.levers(json!({"revoke": "refuse"})).await;
    kit.advance(kit.app().lease_life());
    recover(&kit).await;
    settles(&kit, &request, "possible").await;
    assert_eq!((jobs(&kit, "recover_code", "done").await, jobs(&kit, "revoke_orphan", "dead").await), (1, 1));
    assert_eq!(kit.grants().await, ["active"], "a person must look");
}

#[tokio::test]
async fn a_worker_that_stood_still_does_not_send_the_code_beside_another() {
    let kit = Kit::new().await;
    let (request, code) = broken_off(&kit).await;
    let connection = request.connection_id.as_str();
    let key = kit.app().vault().unwrap(&request.data_key, connection).unwrap();
    let leased = job::context(kit.app(), "test").unwrap();
    let job = Job {
        id: JobId::parse("job_1").unwrap(),
        kind: JobKind::RecoverCode,
        connection_id: Some(request.connection_id.clone()),
        provider_id: request.provider_id,
        client_id: None,
        data_key: request.data_key.clone(),
        token: key.seal(connection, code.as_bytes()).unwrap(),
        verifier: request.verifier.clone(),
        identity: None,
        uncertain: false,
        attempt: 0,
        seed: Seed::new([0; 16]),
        give_up_at: leased.now().plus(Duration::from_hours(1)),
    };
    kit.advance(Duration::from_millis(5_001));
    let late = bowline::hub::tell(&leased, &job).await.unwrap();
    assert_eq!(late.attempt, Attempt::Later { retry_after: None });
    assert!(kit.grants().await.is_empty(), "the bank was not asked");
    let in_time = bowline::hub::tell(&job::context(kit.app(), "test").unwrap(), &job).await.unwrap();
    assert_eq!((in_time.attempt, in_time.in_hand), (Attempt::Accepted, None));
    assert_eq!(kit.grants().await, ["ended"]);
}

/// A token endpoint that takes the request and hangs up.
async fn silent_endpoint() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut some = [0; 1];
            stream.readable().await.unwrap();
            let _ = stream.try_read(&mut some);
        }
    });
    format!("http://{address}/token")
}

#[tokio::test]
async fn a_bank_that_never_answered_leaves_the_code_to_recovery() {
    let kit = Kit::new().await;
    let ctx = job::context(kit.app(), "test").unwrap();
    let stored = ctx.ask(&ProviderById { id: ProviderId::new(1000) }).await.unwrap().unwrap();
    let at = |token_endpoint: String| {
        let (mut provider, moment): (Provider, _) = (stored.clone(), ctx.moment().unwrap());
        provider.settings.token_endpoint = token_endpoint;
        ctx.run(UpsertProvider { moment, provider, actor: Actor::system("test") })
    };
    at(silent_endpoint().await).await.unwrap();
    let callback = callback(&kit).await;
    let state = kit.app().vault().hashes(&parameter(&callback, "state").unwrap());
    let request = ctx.ask(&RequestByState { state }).await.unwrap().unwrap();
    let back = kit.send(Sent::new(Method::GET, &callback)).await.location.unwrap();
    assert_eq!(parameter(&back, "error").as_deref(), Some("temporarily_unavailable"));
    at(stored.settings.token_endpoint.clone()).await.unwrap();
    assert_eq!((recover(&kit).await, kit.grants().await.len()), (0, 0));
    kit.advance(kit.app().lease_life());
    recover(&kit).await;
    settles(&kit, &request, "cleared").await;
    assert_eq!(kit.grants().await, ["ended"]);
}
