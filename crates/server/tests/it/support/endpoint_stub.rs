//! A stub for an endpoint of a provider. It records the calls that it receives.

use std::sync::{Arc, Mutex};

use domain::id::ProviderId;
use domain::model::provider::ProviderSettings;
use http::{HeaderMap, Method, Request, Response};
use store::command::OverwriteProviderSettings;
use store::query::GetProvider;

use super::TestHub;

/// A call that the stub has received.
#[derive(Clone, Debug)]
pub(crate) struct RecordedRequest {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl RecordedRequest {
    /// Returns the value of a field of the form that the call contained.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let mut fields = form_urlencoded::parse(self.body.as_bytes());
        fields.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }
}

pub(crate) struct EndpointStub {
    pub(crate) url: String,
    calls: Arc<Mutex<Vec<RecordedRequest>>>,
}

impl EndpointStub {
    /// Starts a stub that responds to every call with the result of `answer`.
    pub(crate) async fn new(
        answer: impl Fn(&RecordedRequest) -> Response<String> + Send + Sync + 'static,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (recorded, answer) = (Arc::clone(&calls), Arc::new(answer));
        let handler = move |request: Request<axum::body::Body>| async move {
            let (parts, body) = request.into_parts();
            let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let call = RecordedRequest {
                method: parts.method,
                path: parts.uri.path().to_owned(),
                query: parts.uri.query().unwrap_or_default().to_owned(),
                headers: parts.headers,
                body: String::from_utf8(bytes.to_vec()).unwrap(),
            };
            let response = answer(&call);
            recorded.lock().unwrap().push(call);
            response
        };
        let router = axum::Router::new().fallback(handler);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, calls }
    }

    /// Returns the calls that the stub has received so far.
    pub(crate) fn calls(&self) -> Vec<RecordedRequest> {
        self.calls.lock().unwrap().clone()
    }
}

/// Builds a JSON response, as a provider returns it.
pub(crate) fn json_response(status: u16, body: &serde_json::Value) -> Response<String> {
    let builder = Response::builder().status(status).header("content-type", "application/json");
    builder.body(body.to_string()).unwrap()
}

impl TestHub {
    /// Changes the stored settings of a provider as if it had always had them: existing grants belong to the new endpoints.
    pub(crate) async fn update_provider_settings(
        &self,
        provider_id: i64,
        change: impl FnOnce(&mut ProviderSettings),
    ) {
        let ctx = bowline::jobs::new_job_context(self.app(), "test").unwrap();
        let mut provider = ctx.ask(&GetProvider { id: ProviderId::new(provider_id) }).await.unwrap().unwrap();
        change(&mut provider.settings);
        let moment = ctx.new_moment().unwrap();
        ctx.run(OverwriteProviderSettings { moment, provider }).await.unwrap();
    }
}
