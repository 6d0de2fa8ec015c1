//! Support for tests with operators: requests to the admin API, and changes that only operators can make.

use bowline::cli::{BrowserRequest, BrowserResponse};
use bowline::jobs;
use domain::id::{ClientId, ProviderId};
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::provider::ProviderState;
use http::Method;
use serde_json::Value;
use store::command::{ClientSelector, ClientUpdate, SetProviderState, UpdateClient};

use super::{TestClient, TestHub};

impl TestHub {
    /// Suspends a recipient as an operator.
    pub(crate) async fn suspend(&self, recipient: &TestClient) {
        let ctx = jobs::new_job_context(self.app(), "test").unwrap();
        let actor = Actor::new(ActorKind::Operator, "test");
        let client_id = recipient.id.parse::<ClientId>().unwrap();
        let selector = ClientSelector { client_id, kind: None, partner: None };
        let (moment, change) = (ctx.new_moment().unwrap(), ClientUpdate::Suspended(true));
        assert!(ctx.run(UpdateClient { moment, selector, update: change, actor }).await.unwrap());
    }

    /// Sets the state of a provider as an operator.
    pub(crate) async fn set_provider_state(&self, id: i64, state: ProviderState) {
        let ctx = jobs::new_job_context(self.app(), "test").unwrap();
        let actor = Actor::new(ActorKind::Operator, "test");
        let provider_id = ProviderId::new(id);
        let set = SetProviderState { moment: ctx.new_moment().unwrap(), provider_id, state, actor };
        assert!(ctx.run(set).await.unwrap());
    }

    /// Returns the token of the operator that every sandbox has, with the role `admin`.
    pub(crate) fn admin_token(&self) -> &str {
        self.world.operator.expose()
    }

    /// Calls the admin API as the sandbox admin.
    pub(crate) async fn send_admin_request(&self, method: Method, path: &str) -> BrowserResponse {
        self.send_operator_request(self.admin_token(), method, path, None).await
    }

    /// Posts JSON to the admin API as the sandbox admin.
    pub(crate) async fn post_admin_request(&self, path: &str, body: Value) -> BrowserResponse {
        self.send_operator_request(self.admin_token(), Method::POST, path, Some(body)).await
    }

    /// Calls the admin API with an operator's token.
    pub(crate) async fn send_operator_request(
        &self,
        token: &str,
        method: Method,
        path: &str,
        json: Option<Value>,
    ) -> BrowserResponse {
        let mut sent =
            BrowserRequest::new(method, &format!("http://{}/admin/v1{path}", self.world.node.admin));
        sent.bearer = Some(token.to_owned());
        sent.json = json;
        self.send(sent).await
    }
}
