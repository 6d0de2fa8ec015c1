//! A store with a recipient and a provider in it, and the steps of a connection's life.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::hmac;
use domain::id::{AuthorizationRequestId, ClientId, ConnectionId, ProviderId, Seed};
use domain::model::audit_event::{Actor, ActorKind, AuditEvent, AuditHead, AuditKey, SubjectKind};
use domain::model::authorization_request::{AuthorizationRequest, RequestStatus};
use domain::model::client::{About, Client, ClientKind, ClientState, Localized, Profile};
use domain::model::connection::{Cause, Connection, State, Terms};
use domain::model::provider::{
    BankGrant, CustomerIdentity, Provider, ProviderSettings, ProviderSource, ProviderState,
};
use domain::model::registration::RegistrationState;
use domain::secret::{TokenHash, TokenHashes};
use domain::{Clusters, Moment, Secret, Timestamp};
use store::command::{
    ChangeClient, ClientChange, EndConnection, EndOutcome, OpenAuthorizationRequest, OpenConnection,
    OpenOutcome, OpenedWith, PutRegistration, ReceiveCode, RedeemCode, Redeemed, RegisterClient,
    SendToProvider, SetProviderState, UpsertProvider, Whose,
};
use store::query::{AuditOf, ClientById, ConnectionById, JobCounts, ProviderById};
use store::{Location, Settings, Store};

pub(crate) const DAY: Duration = Duration::from_hours(24);
pub(crate) const BACK: &str = "https://app.example.org/back";
pub(crate) const EXCHANGE_LIFE: Duration = Duration::from_secs(23);
const BEGINNING: i64 = 1_795_500_000_000;

/// Runs a test on both databases.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::kit::Kit::sqlite().await).await;
            }
        )+}
        mod postgres {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::kit::Kit::postgres().await).await;
            }
        )+}
    };
}
pub(crate) use on_both;

pub(crate) struct Kit {
    pub(crate) store: Store,
    pub(crate) location: Location,
    pub(crate) now: Timestamp,
    counter: AtomicU64,
    _folder: Option<tempfile::TempDir>,
}

impl Kit {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(folder.path().join("hub.db"));
        Self::at(location, Some(folder)).await
    }

    pub(crate) async fn postgres() -> Self {
        Self::at(fresh_database().await, None).await
    }

    /// In a place where nothing is yet.
    pub(crate) async fn at(location: Location, folder: Option<tempfile::TempDir>) -> Self {
        assert!(!Store::migrate(&location).await.unwrap().is_empty());
        assert!(Store::migrate(&location).await.unwrap().is_empty(), "a second run does nothing");
        let kit = Self::again(location, folder).await;
        kit.seed().await;
        kit
    }

    /// In a place that another kit has been in.
    pub(crate) async fn again(location: Location, folder: Option<tempfile::TempDir>) -> Self {
        let settings =
            Settings { location: location.clone(), connections: 4, queue: 100, audit_key: audit_key() };
        let store = Store::open(settings).await.unwrap();
        let now = Timestamp::from_millis(BEGINNING);
        Self { store, location, now, counter: AtomicU64::new(0), _folder: folder }
    }

    async fn seed(&self) {
        let provider = provider(1000);
        self.store.run(UpsertProvider { moment: self.moment(), provider, actor: operator() }).await.unwrap();
        for id in ["dc-acme", "dc-other"] {
            assert!(self.register(id).await);
            self.set_registration(id, RegistrationState::Active).await;
        }
    }

    pub(crate) async fn register(&self, id: &str) -> bool {
        let client = Client {
            id: client(id),
            kind: ClientKind::Recipient,
            owner_id: None,
            profile: Profile::Flinks,
            state: ClientState::Active,
            name: "Acme".into(),
            purpose: Localized { en: "why".into(), fr: "pourquoi".into() },
            scope: clusters(),
            redirect_uris: vec![BACK.into()],
            secret_hash: hash("secret"),
            credential_generation: 1,
            require_pkce: false,
            max_duration_days: Some(90),
            audit: AuditHead::default(),
        };
        let (moment, about) = (self.moment(), About::default());
        self.store.run(RegisterClient { moment, client, about, actor: operator() }).await.unwrap()
    }

    /// A recipient of a partner, registered with nobody.
    pub(crate) async fn register_under(&self, id: &str, partner: &str) {
        assert!(self.register(id).await);
        self.behind_its_back(&format!("UPDATE clients SET owner_id = '{partner}' WHERE id = '{id}'")).await;
    }

    /// An operator changes a client.
    pub(crate) async fn change(&self, id: &str, change: ClientChange) -> bool {
        let whose = Whose { client_id: client(id), kind: None, partner: None };
        self.store
            .run(ChangeClient { moment: self.moment(), whose, change, actor: operator() })
            .await
            .unwrap()
    }

    /// The words of a client's chain, which must verify to the end that its row knows.
    pub(crate) async fn client_record(&self, id: &str) -> Vec<&'static str> {
        let stored = self.store.ask(&ClientById { id: client(id) }).await.unwrap().unwrap();
        let events = self.chain(SubjectKind::Client, &stored.id, &stored.audit).await;
        events.iter().map(|e| e.entry.action.as_str()).collect()
    }

    pub(crate) async fn set_registration(&self, id: &str, state: RegistrationState) {
        let (client_id, provider_id) = (client(id), ProviderId::new(1000));
        let put = PutRegistration { moment: self.moment(), client_id, provider_id, state, actor: operator() };
        self.store.run(put).await.unwrap().unwrap();
    }

    /// A moment of its own for each command.
    pub(crate) fn moment(&self) -> Moment {
        let mut seed = [0; 16];
        seed[..8].copy_from_slice(&self.counter.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        seed[8] = 1;
        Moment { now: self.now, seed: Seed::new(seed), correlation_id: Arc::from("test") }
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.now = self.now.plus(by);
    }

    pub(crate) fn request(&self, name: &str, client_id: &str) -> AuthorizationRequest {
        AuthorizationRequest {
            id: AuthorizationRequestId::parse(&format!("arq_{name}")).unwrap(),
            connection_id: connection_id(name),
            client_id: client(client_id),
            provider_id: ProviderId::new(1000),
            redirect_uri: BACK.into(),
            clusters: clusters(),
            client_state: Some("s".into()),
            code_challenge: None,
            language: "en".into(),
            status: RequestStatus::AwaitingConsent,
            cookie_hash: hash(&format!("cookie-{name}")),
            data_key: b"wrapped".to_vec(),
            verifier: None,
            purpose: None,
            page_version: None,
            agreed_at: None,
            correlation_id: "test".into(),
            created_at: self.now,
            expires_at: self.now.plus(Duration::from_mins(20)),
        }
    }

    pub(crate) fn sent(&self, name: &str) -> SendToProvider {
        SendToProvider {
            moment: self.moment(),
            request_id: AuthorizationRequestId::parse(&format!("arq_{name}")).unwrap(),
            cookie: hashes(&format!("cookie-{name}")),
            state_hash: hash(&format!("state-{name}")),
            verifier: b"sealed verifier".to_vec(),
            purpose: "why".into(),
            page_version: "1".into(),
        }
    }

    pub(crate) fn received(&self, name: &str) -> ReceiveCode {
        ReceiveCode {
            moment: self.moment(),
            provider_id: ProviderId::new(1000),
            state: hashes(&format!("state-{name}")),
            cookie: hashes(&format!("cookie-{name}")),
            bank_code: Some(b"sealed code".to_vec()),
            exchange_life: EXCHANGE_LIFE,
        }
    }

    pub(crate) fn opened(&self, name: &str, identity: Option<&str>) -> OpenConnection {
        OpenConnection {
            moment: self.moment(),
            request_id: AuthorizationRequestId::parse(&format!("arq_{name}")).unwrap(),
            terms: Terms {
                clusters: clusters(),
                accounts: Some(vec!["a1".into()]),
                purpose: "why".into(),
                language: "en".into(),
                page_version: "1".into(),
                expires_at: self.now.plus(DAY * 90),
                agreed_at: self.now,
            },
            with: OpenedWith {
                identity: identity.map(|i| i.as_bytes().to_vec()),
                grant_id: Some("grant".into()),
                access_token: b"sealed access".to_vec(),
                access_expires_at: self.now.plus(Duration::from_mins(5)),
                refresh_token: Some(format!("sealed refresh {name}").into_bytes()),
            },
            code_hash: hash(&format!("code-{name}")),
            code_expires_at: self.now.plus(Duration::from_mins(1)),
        }
    }

    /// A request whose provider has answered with a code.
    pub(crate) async fn exchanging(&self, name: &str, client_id: &str) -> AuthorizationRequestId {
        let request = self.request(name, client_id);
        let id = request.id.clone();
        self.store.run(OpenAuthorizationRequest { moment: self.moment(), request }).await.unwrap();
        self.store.run(self.sent(name)).await.unwrap().unwrap();
        self.store.run(self.received(name)).await.unwrap().unwrap();
        id
    }

    /// A connection that waits for its exchange; its code is `code-{name}`.
    pub(crate) async fn pending(&self, name: &str, client_id: &str, identity: Option<&str>) -> ConnectionId {
        self.exchanging(name, client_id).await;
        assert_eq!(self.store.run(self.opened(name, identity)).await.unwrap(), OpenOutcome::Opened);
        connection_id(name)
    }

    pub(crate) fn redemption(&self, name: &str, client_id: &str) -> RedeemCode {
        RedeemCode {
            moment: self.moment(),
            client_id: client(client_id),
            code: hashes(&format!("code-{name}")),
            redirect_uri: BACK.into(),
            verifier: None::<Secret<String>>,
            refresh_hash: hash(&format!("refresh-{name}")),
        }
    }

    pub(crate) async fn redeem(&self, name: &str, client_id: &str) -> Redeemed {
        self.store.run(self.redemption(name, client_id)).await.unwrap().0
    }

    /// An active connection; its refresh token is `refresh-{name}`.
    pub(crate) async fn active(&self, name: &str, client_id: &str, identity: Option<&str>) -> ConnectionId {
        let id = self.pending(name, client_id, identity).await;
        assert!(matches!(self.redeem(name, client_id).await, Redeemed::Activated(_)));
        id
    }

    pub(crate) async fn end(&self, id: &ConnectionId, cause: Cause, fence: Option<i64>) -> EndOutcome {
        let actor = Actor::new(ActorKind::Recipient, "dc-acme");
        let end = EndConnection { moment: self.moment(), connection_id: id.clone(), cause, actor, fence };
        self.store.run(end).await.unwrap()
    }

    pub(crate) async fn connection(&self, id: &ConnectionId) -> Connection {
        self.store.ask(&ConnectionById { id: id.clone() }).await.unwrap().expect("the connection is there")
    }

    pub(crate) async fn cause(&self, id: &ConnectionId) -> Option<Cause> {
        match self.connection(id).await.state {
            State::Ended(end) => Some(end.cause),
            State::Pending { .. } | State::Active => None,
        }
    }

    /// Pending jobs of a kind.
    pub(crate) async fn jobs(&self, kind: &'static str, state: &'static str) -> i64 {
        self.store.ask(&JobCounts).await.unwrap().get(&(kind, state)).copied().unwrap_or(0)
    }

    /// The words of a connection's chain, which must verify to the end that its row knows.
    pub(crate) async fn record(&self, id: &ConnectionId) -> Vec<&'static str> {
        let events = self.chain(SubjectKind::Connection, id, &self.connection(id).await.audit).await;
        events.iter().map(|e| e.entry.action.as_str()).collect()
    }

    /// Runs a statement behind the store's back, for what would take thousands of commands.
    pub(crate) async fn behind_its_back(&self, sql: &str) {
        match &self.location {
            Location::Sqlite(path) => rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap(),
            Location::Postgres(url) => connect(url.expose()).await.batch_execute(sql).await.unwrap(),
        }
    }

    /// Holds or releases the provider, as an operator.
    pub(crate) async fn set_provider(&self, state: ProviderState) {
        let (moment, provider_id) = (self.moment(), ProviderId::new(1000));
        let set = SetProviderState { moment, provider_id, state, actor: operator() };
        assert!(self.store.run(set).await.unwrap());
    }

    /// From now on a customer has one grant at the provider, whole.
    pub(crate) async fn share_grants(&self) {
        let mut provider = provider(1000);
        provider.settings.bank_grant = BankGrant::PerClientCustomer;
        provider.settings.customer_identity = CustomerIdentity::TokenField("customer_id".into());
        self.store.run(UpsertProvider { moment: self.moment(), provider, actor: operator() }).await.unwrap();
    }

    /// The provider as stored.
    pub(crate) async fn stored_provider(&self) -> Provider {
        self.store.ask(&ProviderById { id: ProviderId::new(1000) }).await.unwrap().unwrap()
    }

    /// Words and particulars of the provider's chain, which must verify to the end that its row knows.
    pub(crate) async fn provider_record(&self) -> Vec<(&'static str, serde_json::Value)> {
        let provider = self.stored_provider().await;
        let events = self.chain(SubjectKind::Provider, &provider.id, &provider.audit).await;
        let particulars = |e: &AuditEvent| serde_json::from_str(&e.entry.detail).unwrap();
        events.iter().map(|e| (e.entry.action.as_str(), particulars(e))).collect()
    }

    pub(crate) async fn chain(
        &self,
        kind: SubjectKind,
        id: &impl ToString,
        end: &AuditHead,
    ) -> Vec<AuditEvent> {
        let events = self.store.ask(&AuditOf { kind, id: id.to_string() }).await.unwrap();
        let mut head = AuditHead::default();
        for event in &events {
            assert!(audit_key().verifies(&head, event), "event {} of {}", event.seq, id.to_string());
            head = AuditHead { seq: event.seq, mac: event.mac.clone() };
        }
        assert_eq!(*end, head, "the row knows the end of its chain");
        events
    }
}

pub(crate) fn provider(id: i64) -> Provider {
    let settings: ProviderSettings = serde_json::from_value(serde_json::json!({
        "name": "Maple", "country": "CA", "authorization_endpoint": "https://b/a", "token_endpoint": "https://b/t",
        "revocation_endpoint": "https://b/r", "client_id": "hub", "client_secret": {"env": "X"},
        "fdx": {"base_url": "https://b/fdx", "version": "5"}, "scopes": {"ACCOUNT_BASIC": "basic"},
        "revoke": ["rfc7009"],
    }))
    .unwrap();
    let (state, source) = (ProviderState::Active, ProviderSource::Config);
    Provider { id: ProviderId::new(id), state, source, settings, audit: AuditHead::default() }
}

/// A database of its own, on the cluster that is fast.
pub(crate) async fn fresh_database() -> Location {
    database("BOWLINE_TEST_POSTGRES").await
}

/// A database of its own, on the cluster that keeps what it acknowledged.
pub(crate) async fn durable_database() -> Location {
    database("BOWLINE_TEST_POSTGRES_DURABLE").await
}

async fn database(variable: &str) -> Location {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let url = std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} names a PostgreSQL: `cargo xtask test` starts one"));
    let name = format!("suite_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let client = connect(&url).await;
    client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    let (server, _) = url.rsplit_once('/').unwrap();
    Location::parse(&format!("{server}/{name}")).unwrap()
}

pub(crate) async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

pub(crate) fn audit_key() -> AuditKey {
    AuditKey::new(1, &[9; 32])
}

pub(crate) fn operator() -> Actor {
    Actor::new(ActorKind::Operator, "test")
}

pub(crate) fn client(id: &str) -> ClientId {
    ClientId::parse(id).unwrap()
}

pub(crate) fn connection_id(name: &str) -> ConnectionId {
    ConnectionId::parse(&format!("con_{name}")).unwrap()
}

pub(crate) fn clusters() -> Clusters {
    Clusters::parse("ACCOUNT_BASIC TRANSACTIONS").unwrap()
}

pub(crate) fn hash(token: &str) -> TokenHash {
    TokenHash::of(1, &hmac::Key::new(hmac::HMAC_SHA256, b"pepper"), token.as_bytes())
}

pub(crate) fn hashes(token: &str) -> TokenHashes {
    TokenHashes::new(vec![hash(token)])
}
