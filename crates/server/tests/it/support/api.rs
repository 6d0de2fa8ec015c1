//! Support for tests that call the hub's API as a recipient does.

use bowline::cli::{Browser, BrowserRequest, BrowserResponse};
use http::Method;
use serde_json::{Value, json};

use super::{TestClient, send_documented};

/// A client of the hub at one origin, which sends requests as a recipient does.
pub(crate) struct HubApiClient<'a> {
    pub(crate) browser: &'a Browser,
    pub(crate) hub: &'a str,
}

impl HubApiClient<'_> {
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.hub)
    }

    pub(crate) async fn post_json(&self, path: &str, body: Value) -> BrowserResponse {
        let mut sent = BrowserRequest::new(Method::POST, &self.url(path));
        sent.json = Some(body);
        send_documented(self.browser, sent).await
    }

    /// Calls the token endpoint with JSON and credentials in the body.
    pub(crate) async fn request_token(
        &self,
        recipient: &TestClient,
        fields: &[(&str, &str)],
    ) -> BrowserResponse {
        let own = [("client_id", recipient.id.as_str()), ("client_secret", recipient.secret.as_str())];
        let body: serde_json::Map<String, Value> =
            own.iter().chain(fields).map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
        self.post_json("/api/v1/token", body.into()).await
    }

    pub(crate) async fn redeem(&self, recipient: &TestClient, code: &str) -> BrowserResponse {
        let grant = ("grant_type", "authorization_code");
        self.request_token(recipient, &[grant, ("code", code), ("redirect_uri", &recipient.redirect_uri)])
            .await
    }

    pub(crate) async fn refresh(&self, recipient: &TestClient, token: &str) -> BrowserResponse {
        self.request_token(recipient, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// Calls an endpoint of the hub with a bearer token.
    pub(crate) async fn call(&self, method: Method, path: &str, bearer: &str) -> BrowserResponse {
        let mut sent = BrowserRequest::new(method, &self.url(path));
        sent.bearer = Some(bearer.to_owned());
        send_documented(self.browser, sent).await
    }

    pub(crate) async fn read(&self, path: &str, bearer: &str) -> BrowserResponse {
        self.call(Method::GET, &format!("/api/fdx/5{path}"), bearer).await
    }

    pub(crate) async fn revoke(&self, bearer: &str) -> BrowserResponse {
        self.call(Method::DELETE, "/api/v1/revoke", bearer).await
    }
}
