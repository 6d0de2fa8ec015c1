//! Scenarios of a token endpoint that fails only for the hub's own token, with which the terms of a grant are read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::Form;
use axum::response::{IntoResponse, Response};
use domain::model::provider::TermsSource;
use futures_util::future::{join_all, pending};
use http::StatusCode;
use serde_json::json;
use tokio::sync::watch;

use super::TermsBank;
use crate::support::{TestHub, query_parameter};

/// The way in which a request for the hub's own token fails.
#[derive(Clone, Copy)]
enum Failure {
    ServerError,
    NoResponse,
}

/// A token endpoint that issues tokens to customers, and fails for the hub's own token.
struct PartialTokenEndpoint {
    url: String,
    /// The number of codes that must be exchanged before a request for the hub's own token fails.
    awaited_exchanges: usize,
    exchanges: watch::Sender<usize>,
    refreshes: AtomicUsize,
    own_requests: AtomicUsize,
    failure: Failure,
}

impl PartialTokenEndpoint {
    async fn start(failure: Failure, awaited_exchanges: usize) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Arc::new(Self {
            url: format!("http://{}/token", listener.local_addr().unwrap()),
            awaited_exchanges,
            exchanges: watch::Sender::new(0),
            refreshes: AtomicUsize::default(),
            own_requests: AtomicUsize::default(),
            failure,
        });
        let shared = Arc::clone(&endpoint);
        let respond = move |Form(fields): Form<Vec<(String, String)>>| {
            let endpoint = Arc::clone(&shared);
            async move {
                let grant_type = fields.into_iter().find(|(name, _)| name == "grant_type").unwrap().1;
                endpoint.respond(&grant_type).await
            }
        };
        let router = axum::Router::new().fallback(respond);
        tokio::spawn(async move { axum::serve(listener, router).await });
        endpoint
    }

    async fn respond(&self, grant_type: &str) -> Response {
        match grant_type {
            "client_credentials" => return self.fail().await,
            "refresh_token" => drop(self.refreshes.fetch_add(1, Ordering::SeqCst)),
            _ => self.exchanges.send_modify(|count| *count += 1),
        }
        let tokens = json!({"access_token": "at", "refresh_token": "rt", "token_type": "Bearer",
            "expires_in": 600, "fdxConsentId": "c 1"});
        axum::Json(tokens).into_response()
    }

    async fn fail(&self) -> Response {
        self.own_requests.fetch_add(1, Ordering::SeqCst);
        // No exchange succeeds between these failures, so that they are consecutive for any circuit breaker.
        let mut exchanges = self.exchanges.subscribe();
        exchanges.wait_for(|count| *count >= self.awaited_exchanges).await.unwrap();
        match self.failure {
            Failure::ServerError => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            Failure::NoResponse => pending().await,
        }
    }
}

/// Checks that failed requests for the hub's own token open the circuit breaker of such requests, and no other one.
async fn check_own_breaker(failure: Failure) {
    let kit = TestHub::new().await;
    let bank = TermsBank::install(&kit, &[TermsSource::FdxConsent]).await;
    let (tokens, _) = bank.connect(&kit).await;
    let failures = usize::try_from(kit.app().config().upstream.breaker_failures).unwrap();
    let endpoint = PartialTokenEndpoint::start(failure, failures).await;
    kit.update_provider_settings(1000, |settings| {
        settings.token_endpoint = Some(endpoint.url.clone());
        settings.timeout = Some("1s".to_owned());
    })
    .await;
    // The access token of the connection expires, so that the read below needs a refresh.
    kit.advance(Duration::from_mins(30));
    let own_requests = || endpoint.own_requests.load(Ordering::SeqCst);

    let mut callbacks = Vec::new();
    for _ in 0..failures {
        let id = kit.begin_login(&kit.acme()).await;
        callbacks.push(kit.consent_at_bank(&id, "alice").await);
    }
    let answers = join_all(callbacks.iter().map(|callback| kit.open(callback))).await;
    let sent = own_requests();
    let next = bank.login(&kit).await;
    let renewed = kit.refresh(&kit.acme(), &tokens.refresh).await.json();
    let read = kit.read("/accounts", renewed["access_token"].as_str().unwrap_or_default()).await;

    assert_eq!((sent, own_requests()), (failures, failures), "the breaker of these requests is open");
    assert_eq!(*endpoint.exchanges.borrow(), failures + 1, "the code of the next login is exchanged");
    let redirects = answers.into_iter().map(|answer| answer.location.unwrap());
    for redirect in redirects.chain([next]) {
        assert_eq!(query_parameter(&redirect, "error").as_deref(), Some("server_error"), "{redirect}");
    }
    assert_eq!(endpoint.refreshes.load(Ordering::SeqCst), 1, "the refresh is sent");
    assert_eq!(read.status, 200, "{}", read.body);
}

#[tokio::test]
async fn failed_client_credentials_open_only_their_own_breaker() {
    check_own_breaker(Failure::ServerError).await;
}

#[tokio::test]
async fn silent_client_credentials_open_only_their_own_breaker() {
    check_own_breaker(Failure::NoResponse).await;
}
