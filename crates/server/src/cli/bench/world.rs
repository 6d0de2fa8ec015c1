//! What is measured: a hub with many connections, and a bank that answers at once.

use std::path::{Path, PathBuf};

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use domain::id::{AccessTokenId, ClientId, ConnectionId, CustomerId, IdSource, ProviderId};
use domain::model::access_token::{Claims, TokenSubject};
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::client::LocalizedText;
use domain::{Clusters, Secret};
use store::command::{FillConnections, SeedConnections, SeededConnection};
use tokio::net::TcpListener;

use super::super::data_lock::DataLock;
use super::super::error::CliError;
use super::super::hub::{ACTOR, build_app, migrate, parse_store_location, upsert_providers};
use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::context::RequestContext;
use crate::jobs;
use crate::recipients::{self, ClientCredentials, RecipientDraft, RecipientError};
use crate::server::{BoundListeners, Node};

/// The bank that can be told of ends, and the one that cannot.
pub(super) const REVOKING_PROVIDER: i64 = 1;
pub(super) const NON_REVOKING_PROVIDER: i64 = 2;

const CLIENT: &str = "dc-bench";
const SECRET: &str = "bench-secret-bench-secret-bench-secret";
const REDIRECT_URI: &str = "https://bench.example.org/back";
const SCOPE: &str = "ACCOUNT_BASIC ACCOUNT_DETAILED TRANSACTIONS";
const SEED_BATCH_SIZE: usize = 250;
/// How long the connections live.
const CONNECTION_TTL: std::time::Duration = std::time::Duration::from_hours(24 * 90);
/// Connections that are filled in with one command.
const FILL_BATCH_SIZE: i64 = 50_000;

const ACCOUNTS: &str = r#"{"page":{"totalElements":2},"links":{},"accounts":[
{"depositAccount":{"accountId":"a1","accountCategory":"DEPOSIT_ACCOUNT","accountType":"CHECKING","accountNumberDisplay":"****1234","productName":"Everyday","nickname":"Everyday","status":"OPEN","currency":{"currencyCode":"CAD"}}},
{"locAccount":{"accountId":"a2","accountCategory":"LOC_ACCOUNT","accountType":"CREDITCARD","accountNumberDisplay":"****9876","productName":"Card","nickname":"Card","status":"OPEN","currency":{"currencyCode":"CAD"}}}]}"#;

/// A hub under measurement.
pub(super) struct BenchHub {
    pub(super) app: App,
    pub(super) node: Node,
    pub(super) config_file: PathBuf,
    lock: DataLock,
}

/// A connection that was put there, with what its recipient would hold.
pub(super) struct BenchConnection {
    pub(super) id: ConnectionId,
    /// Its refresh token, or its code.
    pub(super) secret: String,
}

impl BenchHub {
    pub(super) async fn start(folder: &Path, store: &str) -> Result<Self, CliError> {
        let bank = start_stub_provider().await?;
        let hub = TcpListener::bind("127.0.0.1:0").await.map_err(map_io_error)?;
        let probes = TcpListener::bind("127.0.0.1:0").await.map_err(map_io_error)?;
        let admin = TcpListener::bind("127.0.0.1:0").await.map_err(map_io_error)?;
        let address = hub.local_addr().map_err(map_io_error)?;
        let config_file = folder.join("bowline.toml");
        let text = render_config(folder, &address.to_string(), store, &bank);
        std::fs::write(&config_file, text).map_err(map_io_error)?;
        std::fs::write(folder.join("bank.secret"), "bench").map_err(map_io_error)?;
        let config = Config::load(Some(&config_file), std::iter::empty(), &[]);
        let config = config.map_err(|e| CliError::Usage(e.to_string()))?;
        let location = parse_store_location(&config)?;
        let lock = DataLock::acquire(&location)?;
        migrate(&location).await?;
        let app = build_app(config, Clock::system()).await?;
        upsert_providers(&app).await?;
        register_recipient(&app).await?;
        let node = Node::start(&app, BoundListeners { public: hub, admin, local: None, probes })
            .map_err(map_io_error)?;
        Ok(Self { app, node, config_file, lock })
    }

    pub(super) async fn stop(self) -> PathBuf {
        self.node.stop().await;
        drop((self.app, self.lock));
        self.config_file
    }

    /// Fills the store up with connections that nobody asks for; of `most` that may come, those with these numbers.
    pub(super) async fn fill_store(&self, numbers: std::ops::Range<i64>, total: i64) -> Result<(), CliError> {
        let ctx = self.ctx()?;
        let vault = self.app.vault();
        let secret = ctx.random_bytes().map_err(|e| CliError::Internal(e.into()))?;
        let sealed = vault.create_data_key(secret, "filled").and_then(|(key, data_key)| {
            key.seal("filled", b"the bank's token of a measurement").map(|credential| (data_key, credential))
        });
        let (data_key, credential) = sealed.map_err(|e| CliError::Internal(e.into()))?;
        let mut from = numbers.start;
        while from < numbers.end {
            let to = numbers.end.min(from + FILL_BATCH_SIZE);
            let fill = FillConnections {
                moment: ctx.new_moment().map_err(|e| CliError::Internal(e.into()))?,
                client_id: bench_client_id()?,
                provider_id: ProviderId::new(NON_REVOKING_PROVIDER),
                clusters: bench_clusters()?,
                expires_at: ctx.now().plus(CONNECTION_TTL),
                numbers: from..to,
                key_step: i64::MAX / total.max(1),
                data_key: data_key.clone(),
                credential: credential.clone(),
            };
            ctx.run(fill).await?;
            from = to;
        }
        Ok(())
    }

    fn ctx(&self) -> Result<RequestContext, CliError> {
        jobs::new_job_context(&self.app, ACTOR).map_err(|e| CliError::Internal(e.into()))
    }

    /// Puts connections there: active ones, or ones that wait for their exchange.
    pub(super) async fn seed_connections(
        &self,
        count: usize,
        provider: i64,
        pending: bool,
    ) -> Result<Vec<BenchConnection>, CliError> {
        let mut created = Vec::with_capacity(count);
        for begin in (0..count).step_by(SEED_BATCH_SIZE) {
            let ctx = self.ctx()?;
            let seeded = self.build_batch(&ctx, SEED_BATCH_SIZE.min(count - begin), pending)?;
            let (new, connections): (Vec<_>, Vec<_>) = seeded.into_iter().unzip();
            created.extend(new);
            let seed = SeedConnections {
                moment: ctx.new_moment().map_err(|e| CliError::Internal(e.into()))?,
                client_id: bench_client_id()?,
                provider_id: ProviderId::new(provider),
                clusters: bench_clusters()?,
                expires_at: ctx.now().plus(CONNECTION_TTL),
                redirect_uri: REDIRECT_URI.into(),
                connections,
            };
            ctx.run(seed).await?;
        }
        Ok(created)
    }

    fn build_batch(
        &self,
        ctx: &RequestContext,
        count: usize,
        pending: bool,
    ) -> Result<Vec<(BenchConnection, SeededConnection)>, CliError> {
        let vault = self.app.vault();
        let mut ids = ctx.new_id_source().map_err(|e| CliError::Internal(e.into()))?;
        let mut build_one = || -> Result<(BenchConnection, SeededConnection), crate::error::InternalError> {
            let (id, customer_id): (ConnectionId, CustomerId) =
                (generate_connection_id(&mut ids), ids.mint());
            let (key, data_key) = vault.create_data_key(ctx.random_bytes()?, id.as_str())?;
            let secret = ctx.random_secret()?.expose().clone();
            let hash = Some(vault.hash(&secret));
            let (refresh, code) = if pending { (None, hash) } else { (hash, None) };
            let credential = key.seal(id.as_str(), b"the bank's token of a measurement")?;
            let seeded = SeededConnection {
                id: id.clone(),
                customer_id,
                refresh_hash: refresh,
                code_hash: code,
                data_key,
                credential,
            };
            Ok((BenchConnection { id, secret }, seeded))
        };
        (0..count).map(|_| build_one().map_err(|e| CliError::Internal(e.into()))).collect()
    }

    /// An access token of a connection.
    pub(super) fn sign_access_token(
        &self,
        ctx: &RequestContext,
        connection: &BenchConnection,
    ) -> Result<Secret<String>, CliError> {
        let mut ids = ctx.new_id_source().map_err(|e| CliError::Internal(e.into()))?;
        let claims = Claims {
            id: ids.mint::<AccessTokenId>(),
            client_id: bench_client_id()?,
            issued_at: ctx.now(),
            expires_at: ctx.now().plus(std::time::Duration::from_mins(30)),
            subject: TokenSubject::Connection {
                id: connection.id.clone(),
                sub: "measured".into(),
                clusters: bench_clusters()?,
                generation: 1,
            },
        };
        self.app.access_keys().sign(&claims).map_err(|e| CliError::Internal(e.into()))
    }

    fn host(&self) -> &str {
        self.app.public_url().trim_start_matches("http://")
    }

    /// A request with a bearer and without a body.
    pub(super) fn build_bearer_request(&self, method: &str, path: &str, token: &Secret<String>) -> Bytes {
        let (host, token) = (self.host(), token.expose());
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n").into()
    }

    /// A token request.
    pub(super) fn build_token_request(&self, fields: &str) -> Bytes {
        let body = format!("client_id={CLIENT}&client_secret={SECRET}&{fields}");
        let (host, length) = (self.host(), body.len());
        format!(
            "POST /api/v1/token HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .into()
    }

    /// The exchange of a code.
    pub(super) fn build_exchange_request(&self, code: &str) -> Bytes {
        let back: String = form_urlencoded::byte_serialize(REDIRECT_URI.as_bytes()).collect();
        self.build_token_request(&format!("grant_type=authorization_code&code={code}&redirect_uri={back}"))
    }
}

/// Ids in no order, as connections of different times are when they are used.
fn generate_connection_id(ids: &mut IdSource) -> ConnectionId {
    let text = format!("con_{}", ids.random_uuid().simple());
    ConnectionId::parse(&text).unwrap_or_else(|_| ids.mint())
}

fn bench_client_id() -> Result<ClientId, CliError> {
    ClientId::parse(CLIENT).map_err(|e| CliError::Internal(e.into()))
}

fn bench_clusters() -> Result<Clusters, CliError> {
    Clusters::parse(SCOPE).map_err(|e| CliError::Internal(e.into()))
}

fn map_io_error(error: std::io::Error) -> CliError {
    CliError::Internal(error.into())
}

/// A bank that says yes to everything at once.
async fn start_stub_provider() -> Result<String, CliError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(map_io_error)?;
    let url = format!("http://{}", listener.local_addr().map_err(map_io_error)?);
    let accounts = || async { ([(http::header::CONTENT_TYPE, "application/json")], ACCOUNTS) };
    let router = Router::new()
        .route("/fdx/v5/accounts", get(accounts))
        .route("/revoke", post(|| async { http::StatusCode::OK }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

fn render_config(folder: &Path, hub: &str, store: &str, bank: &str) -> String {
    let provider = |id: i64, revoke: &str| {
        format!(
            "[[provider]]\nid = {id}\nname = \"Bank {id}\"\ncountry = \"CA\"\n\
             authorization_endpoint = \"{bank}/authorize\"\ntoken_endpoint = \"{bank}/token\"\n\
             revocation_endpoint = \"{bank}/revoke\"\nclient_id = \"hub\"\n\
             client_secret = {{ file = {:?} }}\nfdx = {{ base_url = \"{bank}/fdx/v5\", version = \"5\" }}\n\
             scopes = {{ ACCOUNT_BASIC = \"b\", ACCOUNT_DETAILED = \"d\", TRANSACTIONS = \"t\" }}\n\
             revoke = {revoke}\n",
            folder.join("bank.secret").display().to_string()
        )
    };
    format!(
        "[server]\npublic_url = \"http://{hub}\"\nlisten = \"{hub}\"\nadmin_listen = \"127.0.0.1:0\"\nprobe_listen = \"127.0.0.1:0\"\n\
         [store]\nurl = {store:?}\nconnections = 32\n[keys]\nfile = {:?}\n[upstream]\nallow_loopback = true\n\
         [log]\nlevel = \"error\"\n\
         [limit]\nrecipient = 0\nconnection = 0\nprovider = 0\ntoken = 0\nrevoke = 0\n{}{}",
        folder.join("bowline.keys").display().to_string(),
        provider(REVOKING_PROVIDER, "[\"rfc7009\"]"),
        provider(NON_REVOKING_PROVIDER, "[]"),
    )
}

async fn register_recipient(app: &App) -> Result<(), CliError> {
    let internal = |error: anyhow::Error| CliError::Internal(error);
    let ctx = jobs::new_job_context(app, ACTOR).map_err(|e| internal(e.into()))?;
    let actor = Actor::new(ActorKind::Operator, "bench");
    let client_id = ClientId::parse(CLIENT).map_err(|e| internal(e.into()))?;
    let draft = RecipientDraft {
        name: "Measurement".into(),
        purpose: Some(LocalizedText { en: "To measure.".into(), fr: "Pour mesurer.".into() }),
        redirect_uris: vec![REDIRECT_URI.into()],
        scope: SCOPE.into(),
        ..RecipientDraft::default()
    };
    let credentials = ClientCredentials { client_id: client_id.clone(), client_secret: SECRET.into() };
    match recipients::create_recipient(&ctx, draft, Some(credentials), &actor).await {
        // The recipient exists since an earlier run with the same store.
        Err(RecipientError::IdTaken) => return Ok(()),
        result => result.map_err(|e| internal(e.into()))?,
    };
    let providers = [REVOKING_PROVIDER, NON_REVOKING_PROVIDER].map(ProviderId::new);
    let activated = recipients::activate_with_providers(&ctx, &client_id, &providers, &actor).await;
    activated.map_err(|e| internal(e.into()))
}
