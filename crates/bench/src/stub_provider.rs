//! A stub of a data provider. It accepts every request immediately, so that the hub hardly waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use http::StatusCode;
use tokio::net::TcpListener;

use crate::error::BenchmarkError;

const ACCOUNTS: &str = r#"{"page":{"totalElements":2},"links":{},"accounts":[
{"depositAccount":{"accountId":"a1","accountCategory":"DEPOSIT_ACCOUNT","accountType":"CHECKING","accountNumberDisplay":"****1234","productName":"Everyday","nickname":"Everyday","status":"OPEN","currency":{"currencyCode":"CAD"}}},
{"locAccount":{"accountId":"a2","accountCategory":"LOC_ACCOUNT","accountType":"CREDITCARD","accountNumberDisplay":"****9876","productName":"Card","nickname":"Card","status":"OPEN","currency":{"currencyCode":"CAD"}}}]}"#;

/// A running stub provider.
pub(crate) struct StubProvider {
    pub(crate) origin: String,
    revocation: Arc<RevocationEndpoint>,
}

/// The revocation endpoint, which is out of order unless it was opened.
///
/// While it is out of order, the hub's circuit breaker keeps the workers from calling it. An end then queues its job as
/// always, and the measurement includes none of the calls.
#[derive(Default)]
struct RevocationEndpoint {
    is_open: AtomicBool,
    accepted: AtomicU64,
    rejected: AtomicU64,
}

impl StubProvider {
    /// Starts a provider whose revocation endpoint is out of order.
    pub(crate) async fn start() -> Result<Self, BenchmarkError> {
        let revocation = Arc::<RevocationEndpoint>::default();
        let accounts = || async { ([(http::header::CONTENT_TYPE, "application/json")], ACCOUNTS) };
        let router = Router::new()
            .route("/fdx/v5/accounts", get(accounts))
            .route("/revoke", post(revoke))
            .with_state(Arc::clone(&revocation));
        Ok(Self { origin: format!("http://{}", serve_on_free_port(router).await?), revocation })
    }

    /// Returns the URL of the resource that a data read requests.
    pub(crate) fn accounts_url(&self) -> String {
        format!("{}/fdx/v5/accounts", self.origin)
    }

    /// Sets whether the revocation endpoint accepts tokens.
    pub(crate) fn set_revocation_open(&self, is_open: bool) {
        self.revocation.is_open.store(is_open, Ordering::Relaxed);
    }

    /// Counts revocations from zero again, because a new hub calls the endpoint.
    pub(crate) fn reset_counts(&self) {
        self.revocation.accepted.store(0, Ordering::Relaxed);
        self.revocation.rejected.store(0, Ordering::Relaxed);
    }

    /// Returns the number of revocations that were accepted.
    pub(crate) fn accepted_revocations(&self) -> u64 {
        self.revocation.accepted.load(Ordering::Relaxed)
    }

    /// Returns the number of revocations that were rejected because the endpoint was out of order.
    pub(crate) fn rejected_revocations(&self) -> u64 {
        self.revocation.rejected.load(Ordering::Relaxed)
    }
}

async fn revoke(State(endpoint): State<Arc<RevocationEndpoint>>) -> StatusCode {
    let (count, status) = if endpoint.is_open.load(Ordering::Relaxed) {
        (&endpoint.accepted, StatusCode::OK)
    } else {
        (&endpoint.rejected, StatusCode::SERVICE_UNAVAILABLE)
    };
    count.fetch_add(1, Ordering::Relaxed);
    status
}

/// Serves a router on a free port until the process ends, and returns its address.
pub(crate) async fn serve_on_free_port(router: Router) -> Result<std::net::SocketAddr, BenchmarkError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen on 127.0.0.1")?;
    let address = listener.local_addr().context("a listener has no address")?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}
