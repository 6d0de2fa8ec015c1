//! A hub on a SQLite store with one recipient, one provider and one connection.

use std::time::Duration;

use axum::body::Body;
use bowline::app::App;
use bowline::clock::Clock;
use bowline::config::Config;
use bowline::context::RequestContext;
use bowline::http::{HostPolicy, RequestDispatcher};
use bowline::recipients::{NewClientCredentials, RecipientDraft, activate_with_providers, create_recipient};
use bowline::router::{build_service, public_routes};
use bowline::vault::{KeyFile, SealOwner, SealPurpose, Vault};
use domain::id::{ConnectionId, IdSource, ProviderId};
use domain::model::access_token::{Claims, TokenSubject};
use domain::model::audit_event::Actor;
use domain::model::client::LocalizedText;
use domain::{Clusters, Secret};
use http::Request;
use store::command::{SealedValue, SeedConnections, SeededConnection, UpsertProvider};
use store::{Store, StorePurpose};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::stub_provider;

const CLIENT_ID: &str = "dc-counted";
const CLIENT_SECRET: &str = "secret-secret-secret-secret-secret-secret";
const SCOPE: &str = "ACCOUNT_BASIC ACCOUNT_DETAILED TRANSACTIONS";
const TTL: Duration = Duration::from_hours(1);

pub(crate) struct Hub {
    pub(crate) runtime: Runtime,
    pub(crate) refresh_token: String,
    access_token: Secret<String>,
    service: RequestDispatcher,
    _folder: TempDir,
}

impl Hub {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let app = runtime.block_on(build_app(&folder));
        let (access_token, refresh_token) = runtime.block_on(connect(&app));
        let service = build_service(&app, public_routes(), HostPolicy::Any);
        Self { runtime, refresh_token, access_token, service, _folder: folder }
    }

    /// Sends a request to the service of the public listener and reads the response.
    pub(crate) async fn send(&self, request: Request<Body>, status: u16) {
        let response = self.service.clone().handle(request, None).await;
        let received = response.status();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert_eq!(received, status, "{body:?}");
    }

    pub(crate) fn data_request(&self, path: &str) -> Request<Body> {
        Request::get(format!("/api/fdx/5{path}"))
            .header("host", "hub.example.org")
            .header("authorization", format!("Bearer {}", self.access_token.expose()))
            .body(Body::empty())
            .unwrap()
    }
}

/// Builds a token request of the recipient.
pub(crate) fn token_request(fields: &str) -> Request<Body> {
    let body = format!("client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}&{fields}");
    Request::post("/api/v1/token")
        .header("host", "hub.example.org")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("content-length", body.len())
        .body(Body::from(body))
        .unwrap()
}

async fn build_app(folder: &TempDir) -> App {
    let secret = folder.path().join("provider.secret");
    std::fs::write(&secret, "secret").unwrap();
    let origin = stub_provider::start();
    let text = format!(
        "[server]\npublic_url = \"http://127.0.0.1:8400\"\n[store]\nurl = \"sqlite:{folder}/bowline.db\"\n\
         [upstream]\nallow_loopback = true\n\
         [limit]\nrecipient = 0\nconnection = 0\nprovider = 0\ntoken = 0\nrevoke = 0\n\
         [[provider]]\nid = 1\nname = \"Provider\"\ncountry = \"CA\"\n\
         authorization_endpoint = \"{origin}/authorize\"\ntoken_endpoint = \"{origin}/token\"\n\
         client_id = \"hub\"\nclient_secret = {{ file = {secret:?} }}\n\
         fdx = {{ base_url = \"{origin}/fdx/v5\", version = \"5\" }}\n\
         scopes = {{ ACCOUNT_BASIC = \"b\", ACCOUNT_DETAILED = \"d\", TRANSACTIONS = \"t\" }}\nrevoke = []\n",
        folder = folder.path().display(),
        secret = secret.display().to_string(),
    );
    let file = folder.path().join("bowline.toml");
    std::fs::write(&file, text).unwrap();
    let config = Config::load(Some(&file), std::iter::empty(), &[]).unwrap();
    Store::migrate(&config.store_location().unwrap(), StorePurpose::Hub).await.unwrap();
    let keys = KeyFile::open_or_create(&folder.path().join("bowline.keys"), || Ok([7; 32])).unwrap();
    App::build(config, Vault::new(keys), Clock::system()).await.unwrap()
}

/// Registers the recipient and inserts its connection. Returns an access token and the refresh token.
async fn connect(app: &App) -> (Secret<String>, String) {
    let ctx = RequestContext::new(app.clone(), "test".into()).unwrap();
    let actor = Actor::system("test");
    let provider = app.config().provider[0].to_provider();
    let upsert =
        UpsertProvider { moment: ctx.new_moment().unwrap(), provider, actor: actor.clone(), plan: None };
    ctx.run(upsert).await.unwrap();
    let client_id = CLIENT_ID.parse().unwrap();
    let credentials = NewClientCredentials { client_id, client_secret: CLIENT_SECRET.into() };
    let draft = RecipientDraft {
        name: "Counted".into(),
        purpose: Some(LocalizedText { en: "To count.".into(), fr: "Pour compter.".into() }),
        redirect_uris: vec!["https://app.example.org/back".into()],
        scope: SCOPE.into(),
        ..RecipientDraft::default()
    };
    let client_id = credentials.client_id.clone();
    create_recipient(&ctx, draft, Some(credentials), &actor).await.unwrap();
    activate_with_providers(&ctx, &client_id, &[ProviderId::new(1)], &actor).await.unwrap();
    let moment = ctx.new_moment().unwrap();
    let mut ids = IdSource::new(moment.now, moment.seed);
    let id: ConnectionId = ids.mint();
    let refresh_token = ctx.random_secret().unwrap().expose().clone();
    let owner = SealOwner::for_connection(&id, &client_id, ProviderId::new(1));
    let seal = |purpose| {
        let random = ctx.random_bytes().unwrap();
        let (key, sealed) = app.vault().seal(random, owner, purpose, b"token of the provider\n1").unwrap();
        SealedValue { key, sealed }
    };
    let connection = SeededConnection {
        id: id.clone(),
        customer_id: ids.mint(),
        refresh_hash: Some(app.vault().hash(&refresh_token)),
        code_hash: None,
        access_token: seal(SealPurpose::AccessToken),
        refresh_token: seal(SealPurpose::RefreshToken),
    };
    let clusters: Clusters = SCOPE.parse().unwrap();
    let seed = SeedConnections {
        moment: ctx.new_moment().unwrap(),
        client_id: client_id.clone(),
        provider_id: ProviderId::new(1),
        clusters,
        expires_at: moment.now.plus(TTL),
        redirect_uri: "https://app.example.org/back".into(),
        connections: vec![connection],
    };
    ctx.run(seed).await.unwrap();
    let claims = Claims {
        id: ids.mint(),
        client_id,
        issued_at: moment.now,
        expires_at: moment.now.plus(TTL),
        subject: TokenSubject::Connection { id, sub: "counted".into(), clusters, generation: 1 },
    };
    (app.access_keys().sign(&claims).unwrap(), refresh_token)
}
