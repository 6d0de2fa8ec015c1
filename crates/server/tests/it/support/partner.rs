//! Support for tests with partners, and with the recipients that they or the tests create.

use bowline::jobs;
use bowline::recipients::{
    NewClientCredentials, RecipientDraft, activate_with_providers, create_partner, create_recipient,
};
use domain::id::{ClientId, ProviderId};
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::client::LocalizedText;
use http::Method;
use serde_json::json;

use super::{SCOPE, TestClient, TestHub};

impl TestHub {
    /// Returns the partner that every sandbox has.
    pub(crate) fn partner(&self) -> TestClient {
        TestClient {
            id: self.world.partner.client_id.to_owned(),
            secret: self.world.partner.client_secret.expose().clone(),
            redirect_uri: String::new(),
        }
    }

    /// Creates another partner than the one of the test hub.
    pub(crate) async fn create_other_partner(&self) -> TestClient {
        let ctx = jobs::new_job_context(self.app(), "test").unwrap();
        let actor = Actor::new(ActorKind::Operator, "test");
        let partner = create_partner(&ctx, "Other Partner".into(), None, &actor).await.unwrap();
        let (id, secret) = (partner.client_id.to_string(), partner.client_secret.expose().clone());
        TestClient { id, secret, redirect_uri: String::new() }
    }

    /// Creates a recipient through the partner API, without registrations.
    pub(crate) async fn create_recipient(&self, partner_token: &str) -> TestClient {
        let body = json!({"name": "Flinks Fake", "scope": SCOPE, "redirect_uris": ["https://fake.example.org/back"]});
        let created = self.call_with_json(Method::POST, "/api/v1/recipients", partner_token, body).await;
        assert_eq!(created.status, 200, "{}", created.body);
        let text = |name: &str| created.json()[name].as_str().unwrap().to_owned();
        TestClient {
            id: text("client_id"),
            secret: text("client_secret"),
            redirect_uri: "https://fake.example.org/back".into(),
        }
    }

    /// Creates the recipient `Other <b>App</b>` and registers it with providers.
    pub(crate) async fn register_recipient(
        &self,
        providers: &[i64],
        scope: &str,
        require_pkce: bool,
    ) -> TestClient {
        let draft = RecipientDraft {
            name: "Other <b>App</b>".into(),
            purpose: Some(LocalizedText { en: "Because.".into(), fr: "Parce que.".into() }),
            redirect_uris: vec!["https://other.example.org/back".into()],
            scope: scope.into(),
            require_pkce,
            ..RecipientDraft::default()
        };
        self.register(draft, None, providers).await
    }

    /// Creates a recipient whose redirect URI is that of the test.
    pub(crate) async fn register_recipient_with_redirect(&self, redirect_uri: &str) -> TestClient {
        let draft = RecipientDraft {
            name: "Listening App".into(),
            purpose: Some(LocalizedText { en: "To listen.".into(), fr: "Pour écouter.".into() }),
            redirect_uris: vec![redirect_uri.to_owned()],
            scope: SCOPE.into(),
            ..RecipientDraft::default()
        };
        self.register(draft, None, &[1000]).await
    }

    /// Creates a recipient with this secret and these redirect URIs.
    pub(crate) async fn register_recipient_with_credentials(
        &self,
        id: &str,
        secret: &str,
        redirect_uris: &[&str],
    ) -> TestClient {
        let draft = RecipientDraft {
            name: "Odd App".into(),
            purpose: Some(LocalizedText { en: "To be odd.".into(), fr: "Pour être étrange.".into() }),
            redirect_uris: redirect_uris.iter().map(|uri| (*uri).to_owned()).collect(),
            scope: SCOPE.into(),
            ..RecipientDraft::default()
        };
        let client_id = ClientId::parse(id).unwrap();
        self.register(draft, Some(NewClientCredentials { client_id, client_secret: secret.into() }), &[1000])
            .await
    }

    async fn register(
        &self,
        draft: RecipientDraft,
        credentials: Option<NewClientCredentials>,
        providers: &[i64],
    ) -> TestClient {
        let redirect_uri = draft.redirect_uris[0].clone();
        let ctx = jobs::new_job_context(self.app(), "test").unwrap();
        let actor = Actor::new(ActorKind::Operator, "test");
        let (recipient, secret) = create_recipient(&ctx, draft, credentials, &actor).await.unwrap();
        let id = recipient.client.id;
        let providers: Vec<_> = providers.iter().map(|id| ProviderId::new(*id)).collect();
        activate_with_providers(&ctx, &id, &providers, &actor).await.unwrap();
        TestClient { id: id.to_string(), secret: secret.expose().clone(), redirect_uri }
    }
}
