//! Scenarios of the keys that tokens are bound to (DPoP): each is stored only sealed, from the login to the end of its connection.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bowline::vault::{KeyFile, SealOwner, SealPurpose, Vault};
use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::jose::DpopKey;

use super::{TRACE_LOGGING, dump_tables, find_secrets};
use crate::support::{
    AuthorizationFlow, ConnectionTokens, Customer, DpopBank, HubProcess, TestClient, TestHub, authorize_url,
    create_durable_database, hex, query_parameter, wait_until,
};

/// Lets the provider of the configuration be a bank that binds its tokens to a key.
fn use_dpop_bank(site: &HubProcess, bank: &DpopBank) {
    let (file, url) = (site.path("bowline.toml"), &bank.stub.url);
    let config = std::fs::read_to_string(&file).unwrap();
    let replaced = [
        ("token_endpoint", format!("token_endpoint = \"{url}/token\"")),
        ("revocation_endpoint", format!("revocation_endpoint = \"{url}/revoke\"")),
        ("fdx", format!("fdx = {{ base_url = \"{url}/fdx\", version = \"5\" }}")),
        ("customer_identity", "dpop = \"required\"".to_owned()),
        ("accounts_field", String::new()),
        ("grant_field", String::new()),
    ];
    let replace = |line: &str| {
        let found = replaced.iter().find(|(key, _)| line.starts_with(&format!("{key} = ")));
        found.map_or(line.to_owned(), |(_, replacement)| replacement.clone())
    };
    let lines: Vec<_> = config.lines().map(replace).collect();
    std::fs::write(file, lines.join("\n")).unwrap();
}

/// Begins a login, and consents at the hub. Returns the URL of the provider at which the customer would continue.
async fn begin_login(site: &HubProcess, acme: &TestClient) -> String {
    let flow = AuthorizationFlow { browser: &site.browser, origins: vec![site.hub_url.clone()] };
    let customer = Customer { username: "alice".to_owned(), password: String::new(), accounts: Vec::new() };
    let url = authorize_url(&site.hub_url, &TestHub::build_authorization_query(acme));
    flow.complete(&url, &customer).await
}

/// Returns the value of a column with bytes.
fn decode_column(text: &str) -> Vec<u8> {
    // PostgreSQL writes bytes as `\x` and hexadecimal digits.
    let digits = text.trim_start_matches("\\x").as_bytes();
    let pairs = digits.chunks(2).map(|pair| str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn open_vault(site: &HubProcess) -> Vault {
    Vault::new(KeyFile::open(&site.path("hub.keys")).unwrap())
}

/// Returns the key that the tokens of the only connection are bound to. Only the hub's keys can open it.
async fn open_key_of_tokens(site: &HubProcess, client: &ClientId, connection: &ConnectionId) -> String {
    let row =
        site.sql("SELECT access_key, access_token FROM connections, upstream_credentials").await.remove(0);
    let (key, sealed) = row.split_once('|').unwrap();
    let owner = SealOwner::for_connection(connection, client, ProviderId::new(1000));
    let sealed = (&*decode_column(key), &*decode_column(sealed));
    let opened = open_vault(site).open_text(owner, &[SealPurpose::AccessToken], sealed).unwrap();
    opened.expose().rsplit(' ').next().unwrap().to_owned()
}

/// Returns the key that the tokens of the only login are to be bound to. It is sealed with the PKCE verifier, and only the hub's keys can
/// open it.
async fn open_key_of_login(site: &HubProcess, client: &ClientId) -> String {
    let row =
        site.sql("SELECT connection_id, data_key, verifier FROM authorization_requests").await.remove(0);
    let [id, key, sealed] = row.split('|').collect::<Vec<_>>().try_into().unwrap();
    let id = format!("con_{}", id.trim_start_matches("\\x")).parse().unwrap();
    let owner = SealOwner::for_connection(&id, client, ProviderId::new(1000));
    let key = open_vault(site).unwrap_data_key(&decode_column(key), owner, SealPurpose::LoginKey).unwrap();
    let opened = key.open_text(&owner.bind(SealPurpose::PkceVerifier), &decode_column(sealed)).unwrap();
    opened.expose().rsplit(' ').next().unwrap().to_owned()
}

/// A key, and the places in which it must not be.
struct SearchedKey<'a> {
    site: &'a HubProcess,
    database: Option<String>,
    secrets: BTreeSet<(String, String)>,
    bytes: Vec<u8>,
}

impl<'a> SearchedKey<'a> {
    fn new(site: &'a HubProcess, database: Option<String>, key: &str) -> Self {
        let bytes = URL_SAFE_NO_PAD.decode(key).unwrap();
        let secrets = [("the key".to_owned(), key.to_owned()), ("its bytes".to_owned(), hex(&bytes))];
        Self { site, database, secrets: secrets.into(), bytes }
    }

    /// Searches every file of the hub, and on PostgreSQL every row.
    async fn assert_not_written(&self, when: &str) {
        for path in self.site.files() {
            let (name, place) = (path.file_name().unwrap().to_str().unwrap(), std::fs::read(&path).unwrap());
            assert_eq!(find_secrets(&place, &self.secrets), [""; 0], "{when}: in {name}");
            let contains_bytes = place.windows(self.bytes.len()).any(|part| part == self.bytes);
            assert!(!contains_bytes, "{when}: in {name}");
        }
        if self.database.is_some() {
            for (table, rows) in dump_tables(self.site).await {
                assert_eq!(find_secrets(rows.as_bytes(), &self.secrets), [""; 0], "{when}: in {table}");
            }
        }
    }
}

/// Ends a connection, and waits until nothing in the database can open its key.
async fn end_connection(site: &HubProcess, bank: &DpopBank, tokens: &ConnectionTokens) {
    assert_eq!(site.api().revoke(&tokens.access).await.status, 204);
    wait_until("the provider is notified", async || !bank.fields("/revoke", "token").is_empty()).await;
    for (table, key) in [
        ("connections", "access_key"),
        ("connections", "refresh_key"),
        ("jobs", "data_key"),
        ("authorization_requests", "verifier"),
    ] {
        let rows = format!("SELECT 1 FROM {table} WHERE {key} IS NOT NULL");
        wait_until("nothing can open the key", async || site.sql(&rows).await.is_empty()).await;
    }
}

/// Follows a key from an unfinished login to the end of the connection, with a crash of the hub before and after the exchange.
async fn check_dpop_key(database: Option<String>) {
    let (site, bank) = (HubProcess::new(database.as_deref()).await, DpopBank::start().await);
    use_dpop_bank(&site, &bank);
    site.initialize().await;
    let acme = site.add_recipient("Acme Budget");
    let client = acme.id.parse().unwrap();
    let hub = site.serve(&TRACE_LOGGING).await;
    let provider_url = begin_login(&site, &acme).await;
    drop(hub); // SIGKILL

    let key = open_key_of_login(&site, &client).await;
    let thumbprint = DpopKey::parse(&key).unwrap().thumbprint().unwrap();
    assert_eq!(query_parameter(&provider_url, "dpop_jkt").as_ref(), Some(&thumbprint));
    let searched = SearchedKey::new(&site, database, &key);
    searched.assert_not_written("during the login").await;

    let hub = site.serve(&TRACE_LOGGING).await;
    let redirect = site.complete_login(&provider_url, "alice").await;
    let code = query_parameter(&redirect, "code").unwrap_or_else(|| panic!("no code: {redirect}"));
    let tokens = ConnectionTokens::from_response(&site.api().redeem(&acme, &code).await, code);
    assert_eq!(site.api().read("/accounts", &tokens.access).await.status, 200, "{}", site.log());
    drop(hub); // SIGKILL

    let _hub = site.serve(&TRACE_LOGGING).await;
    assert_eq!(site.api().read("/accounts", &tokens.access).await.status, 200, "{}", site.log());
    assert_eq!(open_key_of_tokens(&site, &client, &tokens.id).await, key, "the key of the login is used");
    let proofs = bank.proofs();
    assert!(proofs.len() >= 3 && proofs.iter().all(|proof| proof.key == thumbprint), "the key is used");
    searched.assert_not_written("while the connection is active").await;

    end_connection(&site, &bank, &tokens).await;
    searched.assert_not_written("after the end").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dpop_key_is_sealed_and_ends_with_its_connection() {
    check_dpop_key(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dpop_key_is_sealed_and_ends_postgres() {
    check_dpop_key(Some(create_durable_database().await)).await;
}
