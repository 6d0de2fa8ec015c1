//! Tests that a provider or a store that does not respond delays no other provider and no metrics, and that the circuit
//! breaker pauses and resumes jobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use bowline::vault::{SealOwner, SealPurpose};
use domain::id::{ConnectionId, ProviderId};
use domain::model::audit_event::{Actor, AuditHead};
use domain::model::connection::UpstreamRevocation;
use http::Method;
use serde_json::json;
use store::command::UpsertProvider;
use store::query::GetProvider;
use tokio::net::TcpListener;

use crate::support::{ConnectionTokens, EndpointStub, TestHub, create_database, hex, json_response, on_both};

on_both!(
    circuit_breaker_pauses_jobs_until_a_trial_call_succeeds,
    failing_revocation_endpoint_does_not_affect_data,
);

/// Metrics are needed most while the store is slow.
#[tokio::test]
async fn metrics_are_rendered_without_response_of_the_store() {
    let url = create_database().await;
    let kit = TestHub::with_store(Some(url.clone())).await;
    assert!(kit.fetch_metrics().await.contains("bowline_jobs{"), "the store responds");
    let (lock, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    lock.batch_execute("BEGIN; LOCK TABLE job_counts IN ACCESS EXCLUSIVE MODE").await.unwrap();

    let page = tokio::time::timeout(METRICS_PATIENCE, kit.fetch_metrics()).await.unwrap();

    assert!(page.contains("bowline_http_requests_total{"), "{page}");
}

/// The limit of the handler is 2 seconds. Without it, the request would wait as long as the lock.
const METRICS_PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// A timeout that no test waits for: a call to a silent provider does not end during the test.
const NEVER: (&str, &str) = ("upstream.timeout", "10m");

#[tokio::test]
async fn hanging_providers_delay_no_other_provider_on_sqlite() {
    hanging_providers_delay_no_other_provider(TestHub::start(None, &[NEVER]).await).await;
}

#[tokio::test]
async fn hanging_providers_delay_no_other_provider_on_postgres() {
    let store = Some(create_database().await);
    hanging_providers_delay_no_other_provider(TestHub::start(store, &[NEVER]).await).await;
}

/// More than `job.workers`.
const HANGING_PROVIDERS: i64 = 40;

impl TestHub {
    pub(crate) async fn fetch_metrics(&self) -> String {
        let page = format!("http://{}/metrics", self.world.node.probes);
        self.send(bowline::cli::BrowserRequest::new(Method::GET, &page)).await.body
    }

    async fn set_revocation_endpoint(&self, url: &str) {
        self.update_provider_settings(1000, |settings| settings.revocation_endpoint = Some(url.to_owned()))
            .await;
    }

    /// Adds a provider with the settings of Maple Trust.
    async fn copy_maple_to(&self, provider_id: i64) {
        let ctx = bowline::jobs::new_job_context(self.app(), "test").unwrap();
        let mut provider = ctx.ask(&GetProvider { id: ProviderId::new(1000) }).await.unwrap().unwrap();
        (provider.id, provider.audit) = (ProviderId::new(provider_id), AuditHead::default());
        let (moment, actor) = (ctx.new_moment().unwrap(), Actor::system("test"));
        ctx.run(UpsertProvider { moment, provider, actor, plan: None }).await.unwrap();
    }

    /// Queues copies of the only job.
    async fn copy_job(&self, copies: usize) {
        self.insert_copies(1000, copies, ("data_key", "token")).await;
    }

    /// Queues copies of the only job at another provider.
    async fn copy_job_to(&self, provider_id: i64, copies: usize, connection: &ConnectionId) {
        // The token of a job can be opened only for its provider, so the copies get one of their own.
        let (client, provider) = (self.acme().id.parse().unwrap(), ProviderId::new(provider_id));
        let owner = SealOwner::for_connection(connection, &client, provider);
        let ctx = bowline::jobs::new_job_context(self.app(), "test").unwrap();
        let random = ctx.random_bytes().unwrap();
        let sealed = self.app().vault().seal(random, owner, SealPurpose::RefreshToken, b"a token\n1");
        let (key, token) = sealed.unwrap();
        let is_sqlite = self.app().config().store.url.starts_with("sqlite:");
        let (before, after) = if is_sqlite { ("X'", "'") } else { ("'\\x", "'::bytea") };
        let literal = |bytes: &[u8]| format!("{before}{}{after}", hex(bytes));
        self.insert_copies(provider_id, copies, (&literal(&key), &literal(&token))).await;
    }

    async fn insert_copies(&self, provider_id: i64, copies: usize, (key, token): (&str, &str)) {
        let copied_id = self.build_job_id(&format!("'{provider_id}x' || n"));
        let insert = format!(
            "INSERT INTO jobs (id, kind, connection_id, provider_id, client_id, endpoint_group, data_key, token,
                 outcome_unknown, state, attempt, seed, due_at, retry_until, created_at)
             WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {copies})
             SELECT {copied_id}, kind, connection_id, {provider_id}, client_id, endpoint_group, {key}, {token},
                 outcome_unknown, state, 0, seed, created_at - n, retry_until, created_at
             FROM jobs, numbers WHERE provider_id = 1000 AND state = 'pending'"
        );
        self.sql(&insert).await;
    }

    /// Ends a connection, and waits until its job fulfils a condition.
    async fn revoke_and_wait(&self, tokens: &ConnectionTokens, condition: &str) {
        assert_eq!(self.revoke(&tokens.access).await.status, 204);
        let job = format!("SELECT id FROM jobs WHERE {condition}");
        self.wait_until(condition, async || !self.sql(&job).await.is_empty()).await;
    }

    /// Counts the jobs that wait for their first attempt, and those that wait for another one.
    async fn count_waiting_jobs(&self) -> (String, String) {
        let count =
            |condition: &str| format!("SELECT count(*) FROM jobs WHERE state = 'pending' AND {condition}");
        let first = self.sql(&count("attempt = 0 AND lease_id IS NULL AND outcome IS NULL")).await.remove(0);
        let again =
            self.sql(&count("attempt = 1 AND lease_id IS NULL AND outcome = 'HTTP 503'")).await.remove(0);
        (first, again)
    }
}

async fn hanging_providers_delay_no_other_provider(kit: TestHub) {
    // The operating system completes the handshake, but no response follows.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (failing, healthy) = (
        EndpointStub::new(|_| json_response(503, &json!({}))).await,
        format!("{}/revoke", kit.world.maple().url),
    );
    let tokens = kit.connect(&kit.acme()).await;
    kit.set_revocation_endpoint(&failing.url).await;
    kit.revoke_and_wait(&tokens, "outcome = 'HTTP 503'").await;
    kit.set_revocation_endpoint(&format!("http://{}/revoke", silent.local_addr().unwrap())).await;
    for nth in 1..=HANGING_PROVIDERS {
        kit.copy_maple_to(3000 + nth).await;
        kit.copy_job_to(3000 + nth, if nth == 1 { 10_000 } else { 5 }, &tokens.id).await;
    }
    kit.set_revocation_endpoint(&healthy).await;
    kit.app().job_notify().notify_one();
    let hanging =
        "SELECT count(DISTINCT provider_id) FROM jobs WHERE lease_id IS NOT NULL AND provider_id > 3000";
    kit.wait_until("every silent provider is called", async || {
        kit.sql(hanging).await == [HANGING_PROVIDERS.to_string()]
    })
    .await;

    let tokens = kit.connect(&kit.acme()).await;
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);

    kit.wait_until("the healthy provider is notified", async || {
        kit.load_connection(&tokens.id).await.provider_revocation == UpstreamRevocation::Accepted
    })
    .await;
    assert_eq!(
        kit.sql(hanging).await,
        [HANGING_PROVIDERS.to_string()],
        "the silent providers are still called"
    );
}

async fn circuit_breaker_pauses_jobs_until_a_trial_call_succeeds(kit: TestHub) {
    let section = kit.app().config().upstream.clone();
    let failures = usize::try_from(section.breaker_failures).unwrap();
    let (status, tokens) = (Arc::new(AtomicU16::new(503)), kit.connect(&kit.acme()).await);
    let given = Arc::clone(&status);
    let endpoint = EndpointStub::new(move |_| json_response(given.load(Ordering::SeqCst), &json!({}))).await;
    kit.set_revocation_endpoint(&endpoint.url).await;
    kit.revoke_and_wait(&tokens, "outcome = 'HTTP 503'").await;
    kit.copy_job(failures + 3).await;
    kit.app().job_notify().notify_one();

    let retried = failures.to_string();
    kit.wait_until("the breaker opens", async || {
        kit.count_waiting_jobs().await == ("4".to_owned(), retried.clone())
    })
    .await;
    assert_eq!(endpoint.calls().len(), failures, "the other jobs are not attempted");

    kit.advance(section.breaker_open.duration());
    kit.app().job_notify().notify_one();
    kit.wait_until("the trial call fails", async || endpoint.calls().len() == failures + 1).await;
    let retried = (failures + 1).to_string();
    kit.wait_until("no further call follows", async || {
        kit.count_waiting_jobs().await == ("3".to_owned(), retried.clone())
    })
    .await;

    status.store(200, Ordering::SeqCst);
    kit.advance(section.breaker_open.duration());
    kit.app().job_notify().notify_one();
    kit.wait_until("every job is done", async || {
        kit.sql("SELECT id FROM jobs WHERE state = 'pending'").await.is_empty()
    })
    .await;
    assert_eq!(endpoint.calls().len(), 2 * failures + 5, "each job succeeds in its next attempt");
}

async fn failing_revocation_endpoint_does_not_affect_data(kit: TestHub) {
    let endpoint = EndpointStub::new(|_| json_response(503, &json!({}))).await;
    let tokens = kit.connect(&kit.acme()).await;
    kit.set_revocation_endpoint(&endpoint.url).await;
    kit.revoke_and_wait(&tokens, "outcome = 'HTTP 503'").await;
    kit.copy_job(10).await;
    let tokens = kit.connect(&kit.acme()).await;
    kit.app().job_notify().notify_one();
    let open = "bowline_breaker_open{provider=\"1000\",endpoint=\"revocation\"} 1";
    kit.wait_until("the breaker opens", async || kit.fetch_metrics().await.contains(open)).await;

    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200, "data is served");
}
