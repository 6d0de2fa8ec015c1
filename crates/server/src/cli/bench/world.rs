//! What is measured: a hub with many connections, and a bank that answers at once.

use std::path::{Path, PathBuf};

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use domain::id::{AccessTokenId, ClientId, ConnectionId, CustomerId, IdSource, ProviderId};
use domain::model::access_token::{Bearing, Claims};
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::client::Localized;
use domain::{Clusters, Secret};
use store::command::{FillConnections, SeedConnections, SeededConnection};
use tokio::net::TcpListener;

use super::super::Failure;
use super::super::start::{ACTOR, DataLock, build, location, migrate, stored, upsert_providers};
use crate::app::{App, Clock};
use crate::config::Config;
use crate::ctx::Ctx;
use crate::job;
use crate::manage::{NewRecipient, NotRegistered, register};
use crate::node::{Listeners, Node};

/// The bank that can be told of ends, and the one that cannot.
pub(super) const TOLD: i64 = 1;
pub(super) const UNTOLD: i64 = 2;

const CLIENT: &str = "dc-bench";
const SECRET: &str = "bench-secret-bench-secret-bench-secret";
const BACK: &str = "https://bench.example.org/back";
const SCOPE: &str = "ACCOUNT_BASIC ACCOUNT_DETAILED TRANSACTIONS";
const BATCH: usize = 250;
/// How long the connections live.
const LIFE: std::time::Duration = std::time::Duration::from_hours(24 * 90);
/// Connections that are filled in with one command.
const CHUNK: i64 = 50_000;

const ACCOUNTS: &str = r#"{"page":{"totalElements":2},"links":{},"accounts":[
{"depositAccount":{"accountId":"a1","accountCategory":"DEPOSIT_ACCOUNT","accountType":"CHECKING","accountNumberDisplay":"****1234","productName":"Everyday","nickname":"Everyday","status":"OPEN","currency":{"currencyCode":"CAD"}}},
{"locAccount":{"accountId":"a2","accountCategory":"LOC_ACCOUNT","accountType":"CREDITCARD","accountNumberDisplay":"****9876","productName":"Card","nickname":"Card","status":"OPEN","currency":{"currencyCode":"CAD"}}}]}"#;

/// A hub under measurement.
pub(super) struct Site {
    pub(super) app: App,
    pub(super) node: Node,
    pub(super) config_file: PathBuf,
    lock: DataLock,
}

/// A connection that was put there, with what its recipient would hold.
pub(super) struct Held {
    pub(super) id: ConnectionId,
    /// Its refresh token, or its code.
    pub(super) secret: String,
}

impl Site {
    pub(super) async fn start(folder: &Path, store: &str) -> Result<Self, Failure> {
        let bank = bank().await?;
        let hub = TcpListener::bind("127.0.0.1:0").await.map_err(fault)?;
        let probes = TcpListener::bind("127.0.0.1:0").await.map_err(fault)?;
        let admin = TcpListener::bind("127.0.0.1:0").await.map_err(fault)?;
        let address = hub.local_addr().map_err(fault)?;
        let config_file = folder.join("bowline.toml");
        let text = configuration(folder, &address.to_string(), store, &bank);
        std::fs::write(&config_file, text).map_err(fault)?;
        std::fs::write(folder.join("bank.secret"), "bench").map_err(fault)?;
        let config = Config::load(Some(&config_file), std::iter::empty(), &[]);
        let config = config.map_err(|e| Failure::Usage(e.to_string()))?;
        let location = location(&config)?;
        let lock = DataLock::take(&location)?;
        migrate(&location).await?;
        let app = build(config, Clock::system()).await?;
        upsert_providers(&app).await?;
        recipient(&app).await?;
        let node = Node::start(&app, Listeners { public: hub, admin, local: None, probes }).map_err(fault)?;
        Ok(Self { app, node, config_file, lock })
    }

    pub(super) async fn stop(self) -> PathBuf {
        self.node.stop().await;
        drop((self.app, self.lock));
        self.config_file
    }

    /// Fills the store up with connections that nobody asks for; of `most` that may come, those with these numbers.
    pub(super) async fn fill(&self, numbers: std::ops::Range<i64>, most: i64) -> Result<(), Failure> {
        let ctx = self.ctx()?;
        let vault = self.app.vault();
        let secret = ctx.random().map_err(|e| Failure::Fault(e.into()))?;
        let sealed = vault.data_key(secret, "filled").and_then(|(key, data_key)| {
            key.seal("filled", b"the bank's token of a measurement").map(|credential| (data_key, credential))
        });
        let (data_key, credential) = sealed.map_err(|e| Failure::Fault(e.into()))?;
        let mut from = numbers.start;
        while from < numbers.end {
            let to = numbers.end.min(from + CHUNK);
            let fill = FillConnections {
                moment: ctx.moment().map_err(|e| Failure::Fault(e.into()))?,
                client_id: client()?,
                provider_id: ProviderId::new(UNTOLD),
                clusters: clusters()?,
                expires_at: ctx.now().plus(LIFE),
                numbers: from..to,
                step: i64::MAX / most.max(1),
                data_key: data_key.clone(),
                credential: credential.clone(),
            };
            ctx.run(fill).await.map_err(stored)?;
            from = to;
        }
        Ok(())
    }

    fn ctx(&self) -> Result<Ctx, Failure> {
        job::context(&self.app, ACTOR).map_err(|e| Failure::Fault(e.into()))
    }

    /// Puts connections there: active ones, or ones that wait for their exchange.
    pub(super) async fn seed(
        &self,
        count: usize,
        provider: i64,
        pending: bool,
    ) -> Result<Vec<Held>, Failure> {
        let mut held = Vec::with_capacity(count);
        for begin in (0..count).step_by(BATCH) {
            let ctx = self.ctx()?;
            let seeded = self.batch(&ctx, BATCH.min(count - begin), pending)?;
            let (new, connections): (Vec<_>, Vec<_>) = seeded.into_iter().unzip();
            held.extend(new);
            let seed = SeedConnections {
                moment: ctx.moment().map_err(|e| Failure::Fault(e.into()))?,
                client_id: client()?,
                provider_id: ProviderId::new(provider),
                clusters: clusters()?,
                expires_at: ctx.now().plus(LIFE),
                redirect_uri: BACK.into(),
                connections,
            };
            ctx.run(seed).await.map_err(stored)?;
        }
        Ok(held)
    }

    fn batch(
        &self,
        ctx: &Ctx,
        count: usize,
        pending: bool,
    ) -> Result<Vec<(Held, SeededConnection)>, Failure> {
        let vault = self.app.vault();
        let mut ids = ctx.ids().map_err(|e| Failure::Fault(e.into()))?;
        let mut one = || -> Result<(Held, SeededConnection), crate::fault::Fault> {
            let (id, customer_id): (ConnectionId, CustomerId) = (random(&mut ids), ids.mint());
            let (key, data_key) = vault.data_key(ctx.random()?, id.as_str())?;
            let secret = ctx.secret()?.expose().clone();
            let hash = Some(vault.hash(&secret));
            let (refresh, code) = if pending { (None, hash) } else { (hash, None) };
            let credential = key.seal(id.as_str(), b"the bank's token of a measurement")?;
            let seeded =
                SeededConnection { id: id.clone(), customer_id, refresh, code, data_key, credential };
            Ok((Held { id, secret }, seeded))
        };
        (0..count).map(|_| one().map_err(|e| Failure::Fault(e.into()))).collect()
    }

    /// An access token of a connection.
    pub(super) fn access_token(&self, ctx: &Ctx, held: &Held) -> Result<Secret<String>, Failure> {
        let mut ids = ctx.ids().map_err(|e| Failure::Fault(e.into()))?;
        let claims = Claims {
            id: ids.mint::<AccessTokenId>(),
            client_id: client()?,
            issued_at: ctx.now(),
            expires_at: ctx.now().plus(std::time::Duration::from_mins(30)),
            bearing: Bearing::Connection {
                id: held.id.clone(),
                sub: "measured".into(),
                clusters: clusters()?,
                generation: 1,
            },
        };
        self.app.access_keys().sign(&claims).map_err(|e| Failure::Fault(e.into()))
    }

    fn host(&self) -> &str {
        self.app.public_url().trim_start_matches("http://")
    }

    /// A request with a bearer and without a body.
    pub(super) fn bearing(&self, method: &str, path: &str, token: &Secret<String>) -> Bytes {
        let (host, token) = (self.host(), token.expose());
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n").into()
    }

    /// A token request.
    pub(super) fn token(&self, fields: &str) -> Bytes {
        let body = format!("client_id={CLIENT}&client_secret={SECRET}&{fields}");
        let (host, length) = (self.host(), body.len());
        format!(
            "POST /api/v1/token HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .into()
    }

    /// The exchange of a code.
    pub(super) fn exchange(&self, code: &str) -> Bytes {
        let back: String = form_urlencoded::byte_serialize(BACK.as_bytes()).collect();
        self.token(&format!("grant_type=authorization_code&code={code}&redirect_uri={back}"))
    }
}

/// Ids in no order, as connections of different times are when they are used.
fn random(ids: &mut IdSource) -> ConnectionId {
    let text = format!("con_{}", ids.random_uuid().simple());
    ConnectionId::parse(&text).unwrap_or_else(|_| ids.mint())
}

fn client() -> Result<ClientId, Failure> {
    ClientId::parse(CLIENT).map_err(|e| Failure::Fault(e.into()))
}

fn clusters() -> Result<Clusters, Failure> {
    Clusters::parse(SCOPE).map_err(|e| Failure::Fault(e.into()))
}

fn fault(error: std::io::Error) -> Failure {
    Failure::Fault(error.into())
}

/// A bank that says yes to everything at once.
async fn bank() -> Result<String, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(fault)?;
    let url = format!("http://{}", listener.local_addr().map_err(fault)?);
    let accounts = || async { ([(http::header::CONTENT_TYPE, "application/json")], ACCOUNTS) };
    let router = Router::new()
        .route("/fdx/v5/accounts", get(accounts))
        .route("/revoke", post(|| async { http::StatusCode::OK }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

fn configuration(folder: &Path, hub: &str, store: &str, bank: &str) -> String {
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
        provider(TOLD, "[\"rfc7009\"]"),
        provider(UNTOLD, "[]"),
    )
}

async fn recipient(app: &App) -> Result<(), Failure> {
    let ctx = job::context(app, ACTOR).map_err(|e| Failure::Fault(e.into()))?;
    let new = NewRecipient {
        credentials: Some((CLIENT.into(), SECRET.into())),
        name: "Measurement".into(),
        purpose: Localized { en: "To measure.".into(), fr: "Pour mesurer.".into() },
        redirect_uris: vec![BACK.into()],
        scope: SCOPE.into(),
        providers: vec![TOLD, UNTOLD],
        require_pkce: false,
        max_duration_days: None,
    };
    match register(&ctx, new, &Actor::new(ActorKind::Operator, "bench")).await {
        Ok(_) | Err(NotRegistered::Taken) => Ok(()),
        Err(error) => Err(Failure::Fault(error.into())),
    }
}
