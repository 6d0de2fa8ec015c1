//! Support for tests of the store: a store with a recipient and a provider, and the steps of a connection.

mod database;
mod value;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::id::{AuthorizationRequestId, ConnectionId, ProviderId, Seed};
use domain::model::audit_event::{Actor, ActorKind, AuditEvent, AuditHead, SubjectKind};
use domain::model::authorization_request::{AuthorizationRequest, RequestStatus};
use domain::model::client::{Client, ClientKind, ClientProfile, ClientState, LocalizedText, Profile};
use domain::model::connection::{Connection, ConnectionState, EndCause, Terms};
use domain::model::provider::{
    CustomerIdentity, GrantScope, Provider, ProviderSettings, ProviderSource, ProviderState, SettingsVersion,
};
use domain::model::registration::RegistrationStep;
use domain::rule::authorize::Language;
use domain::{Moment, Secret, Timestamp};
use store::command::{
    ClientSelector, ClientUpdate, EndConnection, EndOutcome, OpenConnection, OpenOutcome,
    OverwriteProviderSettings, ReceiveCode, RedeemCode, RedeemOutcome, RegisterClient, RegisterClientOutcome,
    RequestRegistrations, SealedGrant, SendToProvider, SetProviderState, TakeRegistrationStep, UpdateClient,
    UpsertProvider,
};
use store::query::{CountJobs, GetAuditChain, GetClient, GetConnection, GetProvider};
use store::{Location, PostgresSettings, Store, StorePurpose, StoreSettings, UptimeClock};

pub(crate) use database::{connect, create_database, create_durable_database};
pub(crate) use value::{
    audit_key, connection_id, connection_name, hash, hashes, operator_actor, parse_client_id, replace_ids,
    seal, seal_accounts, store_keys, test_clusters,
};

pub(crate) const DAY: Duration = Duration::from_hours(24);
pub(crate) const REDIRECT_URI: &str = "https://app.example.org/back";
/// A lease that does not expire while a test runs.
pub(crate) const NODE_LEASE: Duration = Duration::from_mins(1);
pub(crate) const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(23);
/// The size of the access map of test stores.
const ACCESS_MAP_BYTES: u64 = 1024 * 1024;
const TEST_EPOCH_MS: i64 = 1_795_500_000_000;

/// Returns a clock that begins at zero.
pub(crate) fn uptime() -> UptimeClock {
    let start = tokio::time::Instant::now();
    UptimeClock::new(move || start.elapsed())
}

/// Declares two tests for each function, one for each database.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::support::TestStore::open_sqlite().await).await;
            }
        )+}
        mod postgres {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::support::TestStore::open_postgres().await).await;
            }
        )+}
    };
}
pub(crate) use on_both;

/// The maximum number of recipients of one partner in these tests.
pub(crate) const MAX_PARTNER_RECIPIENTS: u32 = 5;

pub(crate) struct TestStore {
    pub(crate) store: Store,
    pub(crate) location: Location,
    pub(crate) now: Timestamp,
    counter: AtomicU64,
    _folder: Option<tempfile::TempDir>,
}

impl TestStore {
    pub(crate) async fn open_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(folder.path().join("hub.db"));
        Self::create(location, Some(folder)).await
    }

    pub(crate) async fn open_postgres() -> Self {
        Self::create(create_database().await, None).await
    }

    /// Migrates a new database and opens a store with a provider and two registered recipients on it.
    pub(crate) async fn create(location: Location, folder: Option<tempfile::TempDir>) -> Self {
        assert!(!Store::migrate(&location, StorePurpose::Hub).await.unwrap().is_empty());
        assert!(
            Store::migrate(&location, StorePurpose::Hub).await.unwrap().is_empty(),
            "a second migration changes nothing"
        );
        let kit = Self::reopen(location, folder).await;
        kit.seed_clients().await;
        kit
    }

    /// Opens a store that another test store has created.
    pub(crate) async fn reopen(location: Location, folder: Option<tempfile::TempDir>) -> Self {
        let settings = StoreSettings {
            location: location.clone(),
            connections: 4,
            queue_capacity: 100,
            access_map_bytes: ACCESS_MAP_BYTES,
            node_lease: NODE_LEASE,
            uptime: uptime(),
            keys: store_keys(),
        };
        let store = Store::open(settings).await.unwrap();
        let now = Timestamp::from_millis(TEST_EPOCH_MS);
        Self { store, location, now, counter: AtomicU64::new(0), _folder: folder }
    }

    async fn seed_clients(&self) {
        let provider = build_provider(1000);
        self.store
            .run(UpsertProvider { moment: self.next_moment(), provider, actor: operator_actor(), plan: None })
            .await
            .unwrap();
        for id in ["dc-acme", "dc-other"] {
            assert!(self.register_client(id).await);
            self.activate_registration(id).await;
        }
    }

    pub(crate) async fn register_client(&self, id: &str) -> bool {
        self.register(id, ClientKind::Recipient, None).await
    }

    /// Registers a client of a kind, which a partner may manage.
    pub(crate) async fn register(&self, id: &str, kind: ClientKind, owner: Option<&str>) -> bool {
        let client = Client {
            id: parse_client_id(id),
            kind,
            owner_id: owner.map(parse_client_id),
            profile: Profile::Flinks,
            state: ClientState::Active,
            name: "Acme".into(),
            purpose: LocalizedText { en: "why".into(), fr: "pourquoi".into() },
            scope: test_clusters(),
            redirect_uris: vec![REDIRECT_URI.into()],
            secret_hash: hash("secret"),
            credential_generation: 1,
            require_pkce: false,
            max_duration_days: Some(90),
            audit: AuditHead::default(),
        };
        let (moment, about) = (self.next_moment(), ClientProfile::default());
        self.store
            .run(RegisterClient {
                moment,
                client,
                client_profile: about,
                max_partner_recipients: Some(MAX_PARTNER_RECIPIENTS),
                actor: operator_actor(),
            })
            .await
            .unwrap()
            == RegisterClientOutcome::Registered
    }

    /// Creates a recipient that a partner manages, without registrations.
    pub(crate) async fn register_under_partner(&self, id: &str, partner: &str) {
        assert!(self.register(id, ClientKind::Recipient, Some(partner)).await);
    }

    /// Changes a client as an operator; returns whether the client exists.
    pub(crate) async fn update_client(&self, id: &str, change: ClientUpdate) -> bool {
        let selector = ClientSelector { client_id: parse_client_id(id), kind: None, partner: None };
        self.store
            .run(UpdateClient {
                moment: self.next_moment(),
                selector,
                update: change,
                actor: operator_actor(),
            })
            .await
            .unwrap()
    }

    /// Returns the audit actions of a client, and verifies the chain up to the head in its row.
    pub(crate) async fn client_audit_actions(&self, id: &str) -> Vec<&'static str> {
        let stored = self.store.query(&GetClient { id: parse_client_id(id) }).await.unwrap().unwrap();
        let events = self.load_verified_audit_chain(SubjectKind::Client, &stored.id, &stored.audit).await;
        events.iter().map(|e| e.entry.action.as_str()).collect()
    }

    /// Requests, approves and activates the registration of a recipient with provider 1000.
    pub(crate) async fn activate_registration(&self, id: &str) {
        self.request_registration(id).await;
        self.take_registration_step(id, RegistrationStep::Approve).await;
        self.take_registration_step(id, RegistrationStep::Activate).await;
    }

    /// Changes settings of provider 1000, also those that registrations keep from changing.
    pub(crate) async fn overwrite_settings(&self, change: impl FnOnce(&mut ProviderSettings)) {
        let mut provider = self.get_provider().await;
        change(&mut provider.settings);
        self.store.run(OverwriteProviderSettings { moment: self.next_moment(), provider }).await.unwrap();
    }

    pub(crate) async fn request_registration(&self, id: &str) {
        let request = RequestRegistrations {
            moment: self.next_moment(),
            partner: None,
            clients: vec![parse_client_id(id)],
            providers: vec![ProviderId::new(1000)],
            actor: operator_actor(),
        };
        self.store.run(request).await.unwrap().unwrap();
    }

    pub(crate) async fn take_registration_step(&self, id: &str, step: RegistrationStep) {
        let command = TakeRegistrationStep {
            moment: self.next_moment(),
            client_id: parse_client_id(id),
            provider_id: ProviderId::new(1000),
            step,
            reason: None,
            upstream_client: None,
            actor: operator_actor(),
        };
        self.store.run(command).await.unwrap().unwrap();
    }

    /// Creates the time, seed and correlation id for one command, with a new seed.
    pub(crate) fn next_moment(&self) -> Moment {
        let mut seed = [0; 16];
        seed[..8].copy_from_slice(&self.counter.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        seed[8] = 1;
        Moment { now: self.now, seed: Seed::new(seed), correlation_id: Arc::from("test") }
    }

    pub(crate) fn advance_clock(&mut self, by: Duration) {
        self.now = self.now.plus(by);
    }

    pub(crate) fn build_request(&self, name: &str, client_id: &str) -> AuthorizationRequest {
        AuthorizationRequest {
            id: format!("arq_{name}").parse().unwrap(),
            connection_id: connection_id(name),
            client_id: parse_client_id(client_id),
            provider_id: ProviderId::new(1000),
            redirect_uri: REDIRECT_URI.into(),
            clusters: test_clusters(),
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
            code_hash: None,
            failure: None,
            correlation_id: "test".into(),
            created_at: self.now,
            expires_at: self.now.plus(Duration::from_mins(20)),
        }
    }

    pub(crate) fn build_send_to_provider(&self, name: &str) -> SendToProvider {
        SendToProvider {
            moment: self.next_moment(),
            request: Box::new(self.build_request(name, "dc-acme")),
            cookie: hashes(&format!("cookie-{name}")),
            state_hash: hash(&format!("state-{name}")),
            verifier: b"sealed verifier".to_vec(),
            purpose: "why".into(),
            page_version: "1".into(),
            language: Language::En,
        }
    }

    pub(crate) fn build_receive_code(&self, name: &str) -> ReceiveCode {
        ReceiveCode {
            moment: self.next_moment(),
            provider_id: ProviderId::new(1000),
            state: hashes(&format!("state-{name}")),
            cookie: hashes(&format!("cookie-{name}")),
            result: Ok(b"sealed code".to_vec()),
            exchange_timeout: EXCHANGE_TIMEOUT,
        }
    }

    pub(crate) fn build_open_connection(&self, name: &str, identity: Option<&str>) -> OpenConnection {
        OpenConnection {
            moment: self.next_moment(),
            request_id: format!("arq_{name}").parse().unwrap(),
            terms: Terms {
                clusters: test_clusters(),
                account_count: Some(1),
                purpose: "why".into(),
                language: "en".into(),
                page_version: "1".into(),
                expires_at: self.now.plus(DAY * 90),
                agreed_at: self.now,
            },
            expires_at: self.now.plus(DAY * 90),
            accounts: Some(seal_accounts(&["a1".into()])),
            grant: SealedGrant {
                identity: identity.map(|i| i.as_bytes().to_vec()),
                grant_id: Some(b"sealed grant".to_vec()),
                access_token: seal("sealed access"),
                access_expires_at: self.now.plus(Duration::from_mins(5)),
                refresh_token: Some(seal(&format!("sealed refresh {name}"))),
            },
            code_hash: hash(&format!("code-{name}")),
            code_expires_at: self.now.plus(Duration::from_mins(1)),
        }
    }

    /// Creates an authorization request for which the provider has returned a code.
    pub(crate) async fn create_exchanging_request(
        &self,
        name: &str,
        client_id: &str,
    ) -> AuthorizationRequestId {
        let request = Box::new(self.build_request(name, client_id));
        let id = request.id.clone();
        let send = SendToProvider { request, ..self.build_send_to_provider(name) };
        self.store.run(send).await.unwrap().unwrap();
        self.store.run(self.build_receive_code(name)).await.unwrap().unwrap();
        id
    }

    /// Creates a pending connection with the code `code-{name}`.
    pub(crate) async fn create_pending_connection(
        &self,
        name: &str,
        client_id: &str,
        identity: Option<&str>,
    ) -> ConnectionId {
        self.create_exchanging_request(name, client_id).await;
        assert_eq!(
            self.store.run(self.build_open_connection(name, identity)).await.unwrap(),
            OpenOutcome::Opened
        );
        connection_id(name)
    }

    pub(crate) fn build_redeem_code(&self, name: &str, client_id: &str) -> RedeemCode {
        RedeemCode {
            moment: self.next_moment(),
            client_id: parse_client_id(client_id),
            code: hashes(&format!("code-{name}")),
            redirect_uri: REDIRECT_URI.into(),
            verifier: None::<Secret<String>>,
            refresh_hash: hash(&format!("refresh-{name}")),
        }
    }

    pub(crate) async fn redeem_code(&self, name: &str, client_id: &str) -> RedeemOutcome {
        self.store.run(self.build_redeem_code(name, client_id)).await.unwrap().0
    }

    /// Creates an active connection with the refresh token `refresh-{name}`.
    pub(crate) async fn create_active_connection(
        &self,
        name: &str,
        client_id: &str,
        identity: Option<&str>,
    ) -> ConnectionId {
        let id = self.create_pending_connection(name, client_id, identity).await;
        assert!(matches!(self.redeem_code(name, client_id).await, RedeemOutcome::Activated(_)));
        id
    }

    pub(crate) async fn end_connection(
        &self,
        id: &ConnectionId,
        cause: EndCause,
        fence: Option<i64>,
    ) -> EndOutcome {
        let actor = Actor::new(ActorKind::Recipient, "dc-acme");
        let end =
            EndConnection { moment: self.next_moment(), connection_id: id.clone(), cause, actor, fence };
        self.store.end_connection(end).await.unwrap()
    }

    pub(crate) async fn get_connection(&self, id: &ConnectionId) -> Connection {
        self.store.query(&GetConnection { id: id.clone() }).await.unwrap().expect("the connection exists")
    }

    pub(crate) async fn find_end_cause(&self, id: &ConnectionId) -> Option<EndCause> {
        match self.get_connection(id).await.state {
            ConnectionState::Ended(end) => Some(end.cause),
            ConnectionState::Pending { .. } | ConnectionState::Active => None,
        }
    }

    /// Counts jobs of a kind and state.
    pub(crate) async fn count_jobs(&self, kind: &'static str, state: &'static str) -> i64 {
        self.store.query(&CountJobs).await.unwrap().get(&(kind, state)).copied().unwrap_or(0)
    }

    /// Returns the audit actions of a connection, and verifies the chain up to the head in its row.
    pub(crate) async fn connection_audit_actions(&self, id: &ConnectionId) -> Vec<&'static str> {
        let events = self
            .load_verified_audit_chain(SubjectKind::Connection, id, &self.get_connection(id).await.audit)
            .await;
        events.iter().map(|e| e.entry.action.as_str()).collect()
    }

    /// Executes SQL directly, for changes that would take thousands of commands. `id'…'` in the text is replaced by the stored form
    /// of an id.
    pub(crate) async fn execute_sql(&self, sql: &str) {
        let is_sqlite = matches!(self.location, Location::Sqlite(_));
        let sql = &replace_ids(sql, is_sqlite);
        match &self.location {
            Location::Sqlite(path) => rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap(),
            Location::Postgres(PostgresSettings { url, .. }) => {
                connect(url.expose()).await.batch_execute(sql).await.unwrap();
            }
        }
    }

    /// Sets the state of the provider as an operator, for example to pause or release it.
    pub(crate) async fn set_provider_state(&self, state: ProviderState) {
        let (moment, provider_id) = (self.next_moment(), ProviderId::new(1000));
        let set = SetProviderState { moment, provider_id, state, actor: operator_actor() };
        assert!(self.store.run(set).await.unwrap());
    }

    /// Configures the provider to have one grant for each customer.
    pub(crate) async fn share_grants(&self) {
        let mut provider = build_provider(1000);
        provider.settings.grant_scope = GrantScope::PerClientCustomer;
        provider.settings.customer_identity = CustomerIdentity::TokenField("customer_id".into());
        self.store
            .run(UpsertProvider { moment: self.next_moment(), provider, actor: operator_actor(), plan: None })
            .await
            .unwrap();
    }

    pub(crate) async fn get_provider(&self) -> Provider {
        self.store.query(&GetProvider { id: ProviderId::new(1000) }).await.unwrap().unwrap()
    }

    /// Returns the audit actions and details of the provider, and verifies the chain up to the head in its row.
    pub(crate) async fn provider_audit_events(&self) -> Vec<(&'static str, serde_json::Value)> {
        let provider = self.get_provider().await;
        let events =
            self.load_verified_audit_chain(SubjectKind::Provider, &provider.id, &provider.audit).await;
        let detail = |e: &AuditEvent| serde_json::from_str(&e.entry.detail).unwrap();
        events.iter().map(|e| (e.entry.action.as_str(), detail(e))).collect()
    }

    pub(crate) async fn load_verified_audit_chain(
        &self,
        kind: SubjectKind,
        id: &impl ToString,
        end: &AuditHead,
    ) -> Vec<AuditEvent> {
        let events = self.store.query(&GetAuditChain { kind, id: id.to_string() }).await.unwrap();
        let mut head = AuditHead::default();
        for event in &events {
            assert!(audit_key().verifies(&head, event), "event {} of {}", event.seq, id.to_string());
            head = AuditHead::from(event);
        }
        assert_eq!(*end, head, "the row contains the head of its chain");
        events
    }
}

pub(crate) fn build_provider(id: i64) -> Provider {
    let settings: ProviderSettings = serde_json::from_value(serde_json::json!({
        "name": "Maple", "country": "CA", "authorization_endpoint": "https://b/a", "token_endpoint": "https://b/t",
        "revocation_endpoint": "https://b/r", "client_id": "hub", "client_secret": {"env": "X"},
        "fdx": {"base_url": "https://b/fdx", "version": "5"}, "scopes": {"ACCOUNT_BASIC": "basic", "TRANSACTIONS": "transactions"},
        "revoke": ["rfc7009"],
    }))
    .unwrap();
    let (state, source) = (ProviderState::Active, ProviderSource::Config);
    let (version, audit) = (SettingsVersion::FIRST, AuditHead::default());
    Provider { id: ProviderId::new(id), state, source, settings, discovered: None, version, audit }
}
