//! Records every exchange between the hub and a bank, for tests that check the requests of the hub.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use http::header;

/// A request of the hub to a bank, and the response.
#[derive(Clone, Debug)]
pub(crate) struct RecordedExchange {
    /// The path and the query of the request.
    pub(crate) target: String,
    pub(crate) form: Vec<(String, String)>,
    /// The target of a redirect response.
    pub(crate) location: Option<String>,
    pub(crate) response: serde_json::Value,
}

/// The exchanges that were recorded so far. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct ExchangeRecorder(Arc<Mutex<Vec<RecordedExchange>>>);

impl ExchangeRecorder {
    /// Adds a layer to a bank's router that records every exchange.
    pub(crate) fn record(&self, bank: Router) -> Router {
        let recorder = self.clone();
        bank.layer(from_fn(move |request, next| recorder.clone().record_exchange(request, next)))
    }

    async fn record_exchange(self, request: Request, next: Next) -> axum::response::Response {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let target = parts.uri.to_string();
        let form = form_urlencoded::parse(&body).into_owned().collect();
        let (parts, answer) = next.run(Request::from_parts(parts, Body::from(body))).await.into_parts();
        let answer = to_bytes(answer, usize::MAX).await.unwrap();
        let location = parts.headers.get(header::LOCATION).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let json = serde_json::from_slice(&answer).unwrap_or_default();
        self.0.lock().unwrap().push(RecordedExchange { target, form, location, response: json });
        axum::response::Response::from_parts(parts, Body::from(answer))
    }

    pub(crate) fn exchanges(&self) -> Vec<RecordedExchange> {
        self.0.lock().unwrap().clone()
    }
}
