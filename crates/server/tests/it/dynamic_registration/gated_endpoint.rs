//! A registration endpoint that delays its response until the test releases it.

use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::json_response;

pub(super) struct GatedEndpoint {
    pub(super) url: String,
    calls: Arc<Mutex<Vec<(String, String)>>>,
    arrived: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl GatedEndpoint {
    pub(super) async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let gate = Self {
            url,
            calls: Arc::default(),
            arrived: Arc::new(Semaphore::new(0)),
            open: Arc::new(Semaphore::new(0)),
        };
        let (calls, arrived, open) = (gate.calls.clone(), gate.arrived.clone(), gate.open.clone());
        let handler = move |request: Request<axum::body::Body>| async move {
            let request_line = format!("{} {}", request.method(), request.uri());
            let bearer = request.headers()["authorization"].to_str().unwrap().to_owned();
            calls.lock().unwrap().push((request_line, bearer));
            if request.method() == Method::DELETE {
                return Response::builder().status(204).body(String::new()).unwrap();
            }
            arrived.add_permits(1);
            open.acquire().await.unwrap().forget();
            json_response(201, &build_registration_response("there-1"))
        };
        let router = axum::Router::new().fallback(handler);
        tokio::spawn(async move { axum::serve(listener, router).await });
        gate
    }

    /// Waits until the endpoint has received a registration request.
    pub(super) async fn wait_for_request(&self) {
        self.arrived.acquire().await.unwrap().forget();
    }

    pub(super) fn release_response(&self) {
        self.open.add_permits(1);
    }

    pub(super) fn calls(&self) -> Vec<(String, String)> {
        self.calls.lock().unwrap().clone()
    }
}

/// Returns the response of a provider that registered a client (RFC 7591 §3.2.1).
pub(super) fn build_registration_response(id: &str) -> Value {
    json!({
        "client_id": id, "client_secret": "secret-there", "client_secret_expires_at": 0,
        "registration_access_token": "managed-by-this",
    })
}
