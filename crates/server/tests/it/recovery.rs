//! Tests of a process that is killed, or gets no response, while it exchanges a provider's code.

use std::time::Duration;

use bowline::cli::BrowserRequest;
use bowline::jobs;
use bowline::upstream::GrantSecret;
use bowline::vault::{SealOwner, SealPurpose};
use domain::id::{ProviderId, Seed};
use domain::model::audit_event::SubjectKind;
use domain::model::authorization_request::AuthorizationRequest;
use domain::model::job::{AttemptOutcome, Job, JobKind, TokenType};
use domain::model::provider::Provider;
use domain::secret::TokenHashes;
use http::Method;
use serde_json::{Value, json};
use store::command::{OverwriteProviderSettings, ReceiveCode};
use store::query::{
    CountJobs, FindAuthorizationRequestByState, GetAuditChain, GetAuthorizationRequest, GetProvider,
};

use crate::support::{TestHub, query_parameter};

/// Returns the callback URL to which the bank redirects after the customer's consent, without opening it.
pub(crate) async fn approve_and_capture_callback(kit: &TestHub) -> String {
    let (at, page) = kit.reach_account_page(&TestHub::build_authorization_query(&kit.acme()), "alice").await;
    let token = bowline::cli::find_hidden_field(&page.body, "csrf_token").unwrap();
    let chosen = [("csrf_token", token.as_str()), ("accounts", "mt-alice-card"), ("decision", "approve")];
    kit.send(BrowserRequest::new(Method::POST, &at).form(&chosen)).await.location.unwrap()
}

fn login_owner(request: &AuthorizationRequest) -> SealOwner<'_> {
    SealOwner::for_connection(&request.connection_id, &request.client_id, request.provider_id)
}

/// Stores a provider's code, as a process does that is killed before the exchange; returns the request and the code.
pub(crate) async fn create_interrupted_exchange(kit: &TestHub) -> (AuthorizationRequest, String) {
    let callback = approve_and_capture_callback(kit).await;
    let (code, state) =
        (query_parameter(&callback, "code").unwrap(), query_parameter(&callback, "state").unwrap());
    let (app, ctx) = (kit.app(), jobs::new_job_context(kit.app(), "test").unwrap());
    let states = app.vault().hash_all_generations(&state);
    let request = ctx.ask(&FindAuthorizationRequestByState { state: states.clone() }).await.unwrap().unwrap();
    let owner = login_owner(&request);
    let key = app.vault().unwrap_data_key(&request.data_key, owner, SealPurpose::LoginKey).unwrap();
    let received = ReceiveCode {
        moment: ctx.new_moment().unwrap(),
        provider_id: request.provider_id,
        state: states,
        cookie: TokenHashes::new(vec![request.cookie_hash.clone()]),
        result: Ok(key.seal(&owner.bind(SealPurpose::ProviderCode), code.as_bytes()).unwrap()),
        exchange_timeout: app.refresh_lease_duration(),
    };
    ctx.run(received).await.unwrap().unwrap();
    (request, code)
}

/// Sends the exchange as the killed process may have done, and ignores the response.
async fn exchange_without_response(kit: &TestHub, request: &AuthorizationRequest, code: &str) {
    let owner = login_owner(request);
    let key = kit.app().vault().unwrap_data_key(&request.data_key, owner, SealPurpose::LoginKey).unwrap();
    let bound_to = owner.bind(SealPurpose::PkceVerifier);
    let verifier = key.open_text(&bound_to, request.verifier.as_ref().unwrap()).unwrap();
    let verifier = GrantSecret::from_text(verifier).unwrap().secret;
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
    let answer = kit.send(BrowserRequest::new(Method::POST, &url).form(&form)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(kit.list_grant_states().await, ["active"]);
}

/// Runs the sweep that finds interrupted exchanges on a running node.
pub(crate) async fn run_recovery(kit: &TestHub) -> usize {
    jobs::recover_exchanges(&jobs::new_job_context(kit.app(), "test").unwrap()).await.unwrap()
}

async fn count_jobs(kit: &TestHub, kind: &'static str, state: &'static str) -> i64 {
    kit.app().store().query(&CountJobs).await.unwrap().get(&(kind, state)).copied().unwrap_or(0)
}

/// Returns the status of the request's orphaned grant from the audit log of the provider.
async fn load_grant_status(kit: &TestHub, request: &AuthorizationRequest) -> Option<String> {
    let chain = GetAuditChain { kind: SubjectKind::Provider, id: "1000".into() };
    let events = kit.app().store().query(&chain).await.unwrap();
    let of = |detail: &str| serde_json::from_str::<Value>(detail).unwrap();
    let mut details = events.iter().map(|e| of(&e.entry.detail)).filter(|detail| detail["grant"].is_string());
    let settled = details.find(|detail| detail["connection"] == request.connection_id.as_str())?;
    settled["grant"].as_str().map(str::to_owned)
}

pub(crate) async fn wait_for_grant_status(kit: &TestHub, request: &AuthorizationRequest, expected: &str) {
    kit.wait_until("job for the orphaned grant ends", async || {
        load_grant_status(kit, request).await.is_some()
    })
    .await;
    assert_eq!(load_grant_status(kit, request).await.as_deref(), Some(expected));
}

#[tokio::test]
async fn unsent_code_is_exchanged_by_recovery_and_grant_ended() {
    let kit = TestHub::new().await;
    let (request, _) = create_interrupted_exchange(&kit).await;
    assert_eq!(run_recovery(&kit).await, 0, "the exchange may still be running");
    kit.advance(kit.app().refresh_lease_duration());
    run_recovery(&kit).await;
    run_recovery(&kit).await;
    wait_for_grant_status(&kit, &request, "revoked").await;
    assert_eq!(kit.list_grant_states().await, ["ended"], "the grant is created and revoked immediately");
    assert_eq!(
        (
            count_jobs(&kit, "recover_authorization_code", "done").await,
            count_jobs(&kit, "recover_authorization_code", "pending").await
        ),
        (1, 0)
    );
    let stored =
        kit.app().store().query(&GetAuthorizationRequest { id: request.id.clone() }).await.unwrap().unwrap();
    assert_eq!((stored.status.as_str(), stored.verifier), ("failed", None));
}

#[tokio::test]
async fn lost_exchange_response_records_possibly_active_grant() {
    let kit = TestHub::new().await;
    let (request, code) = create_interrupted_exchange(&kit).await;
    exchange_without_response(&kit, &request, &code).await;
    kit.advance(kit.app().refresh_lease_duration());
    run_recovery(&kit).await;
    wait_for_grant_status(&kit, &request, "possibly_active").await;
    assert_eq!(
        kit.list_grant_states().await,
        ["ended"],
        "the provider revokes the grant when the code is repeated"
    );
    assert_eq!(
        count_jobs(&kit, "recover_authorization_code", "failed").await,
        0,
        "no manual action is required"
    );
}

#[tokio::test]
async fn code_recovery_is_retried_after_provider_failure() {
    let kit = TestHub::new().await;
    let (request, _) = create_interrupted_exchange(&kit).await;
    kit.inject_faults(json!({"token_endpoint": "down"})).await;
    kit.advance(kit.app().refresh_lease_duration());
    run_recovery(&kit).await;
    kit.wait_until("it was tried", async || {
        kit.app().telemetry().render().lines().any(|line| line.contains("outcome=\"503\""))
    })
    .await;
    assert_eq!(load_grant_status(&kit, &request).await, None);
    kit.inject_faults(json!({"token_endpoint": "up"})).await;
    let lease = kit.app().refresh_lease_duration();
    kit.wait_until("the attempt is stored", async || {
        // The bank may still be processing the attempt that it answered with 503.
        let waits = kit.sql("SELECT due_at - created_at FROM jobs WHERE attempt = 1").await;
        waits.first().is_some_and(|wait| wait.parse::<u128>().unwrap() >= lease.as_millis())
    })
    .await;
    kit.advance(lease);
    kit.app().job_notify().notify_one();
    wait_for_grant_status(&kit, &request, "revoked").await;
    assert_eq!(kit.list_grant_states().await, ["ended"]);
}

#[tokio::test]
async fn refused_revocation_in_recovery_gets_job_of_its_own() {
    let kit = TestHub::new().await;
    let (request, _) = create_interrupted_exchange(&kit).await;
    kit.inject_faults(json!({"revoke": "refuse"})).await;
    kit.advance(kit.app().refresh_lease_duration());
    run_recovery(&kit).await;
    wait_for_grant_status(&kit, &request, "possibly_active").await;
    assert_eq!(
        (
            count_jobs(&kit, "recover_authorization_code", "done").await,
            count_jobs(&kit, "revoke_orphaned_grant", "failed").await
        ),
        (1, 1)
    );
    assert_eq!(kit.list_grant_states().await, ["active"], "manual action is required");
}

#[tokio::test]
async fn stalled_worker_does_not_send_code_after_lease_expiry() {
    let kit = TestHub::new().await;
    let (request, code) = create_interrupted_exchange(&kit).await;
    let owner = login_owner(&request);
    let key = kit.app().vault().unwrap_data_key(&request.data_key, owner, SealPurpose::LoginKey).unwrap();
    let leased = jobs::new_job_context(kit.app(), "test").unwrap();
    let job = Job {
        id: "job_1".parse().unwrap(),
        kind: JobKind::RecoverAuthorizationCode,
        connection_id: Some(request.connection_id.clone()),
        provider_id: request.provider_id,
        client_id: Some(request.client_id.clone()),
        data_key: request.data_key.clone(),
        token: key.seal(&owner.bind(SealPurpose::ProviderCode), code.as_bytes()).unwrap(),
        token_type: TokenType::RefreshToken,
        access_token: None,
        grant_id: None,
        accepted_methods: vec![],
        verifier: request.verifier.clone(),
        identity: None,
        outcome_unknown: false,
        attempt: 0,
        invalid_requests: 0,
        seed: Seed::new([0; 16]),
        retry_until: leased.now().plus(Duration::from_hours(1)),
    };
    kit.advance(Duration::from_millis(5_001));
    let late = bowline::upstream::run_revocation(&leased, &job).await.unwrap();
    assert_eq!(late.outcome, AttemptOutcome::RetryLater { retry_after: None });
    assert!(kit.list_grant_states().await.is_empty(), "the provider was not called");
    let in_time = bowline::upstream::run_revocation(&jobs::new_job_context(kit.app(), "test").unwrap(), &job)
        .await
        .unwrap();
    assert_eq!((in_time.outcome, in_time.unrevoked), (AttemptOutcome::Accepted, vec![]));
    assert_eq!(kit.list_grant_states().await, ["ended"]);
}

/// Starts a token endpoint that accepts each request and closes the connection without a response; returns its URL.
async fn spawn_silent_token_endpoint() -> String {
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
async fn exchange_without_response_is_left_to_recovery() {
    let kit = TestHub::new().await;
    let ctx = jobs::new_job_context(kit.app(), "test").unwrap();
    let stored = ctx.ask(&GetProvider { id: ProviderId::new(1000) }).await.unwrap().unwrap();
    let at = |token_endpoint: String| {
        let (mut provider, moment): (Provider, _) = (stored.clone(), ctx.new_moment().unwrap());
        provider.settings.token_endpoint = Some(token_endpoint);
        ctx.run(OverwriteProviderSettings { moment, provider })
    };
    at(spawn_silent_token_endpoint().await).await.unwrap();
    let callback = approve_and_capture_callback(&kit).await;
    let state = kit.app().vault().hash_all_generations(&query_parameter(&callback, "state").unwrap());
    let request = ctx.ask(&FindAuthorizationRequestByState { state }).await.unwrap().unwrap();
    let back = kit.send(BrowserRequest::new(Method::GET, &callback)).await.location.unwrap();
    assert_eq!(query_parameter(&back, "error").as_deref(), Some("temporarily_unavailable"));
    at(stored.settings.token_endpoint.clone().unwrap()).await.unwrap();
    assert_eq!((run_recovery(&kit).await, kit.list_grant_states().await.len()), (0, 0));
    assert_eq!(count_jobs(&kit, "recover_authorization_code", "pending").await, 1);
    kit.advance(kit.app().refresh_lease_duration());
    kit.app().job_notify().notify_one();
    wait_for_grant_status(&kit, &request, "revoked").await;
    assert_eq!(kit.list_grant_states().await, ["ended"]);
}
