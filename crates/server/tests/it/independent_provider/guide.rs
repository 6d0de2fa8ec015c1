//! Tests of the examples in the guide to connecting a bank: the built program runs with each, as it is printed except for hosts
//! and folders, at a bank of its kind.

use std::path::Path;

use bowline::cli::BrowserRequest;
use http::Method;
use sandbox::bank::{
    Bank, BankSettings, CertificateAuthority, ClientCertificate, FapiSettings, MutualTlsListener,
    SecurityProfile, generate_private_key,
};
use serde_json::{Value, json};

use super::plain::PlainBank;
use super::{IndependentBank, TestAuthority};
use crate::support::{
    AuthorizationFlow, ConnectionTokens, Customer, HubProcess, TestHub, authorize_url, query_parameter,
    wait_until,
};

const SECRET: &str = "a-secret-of-the-bank";

/// Returns the `[[provider]]` section of an example, with these origins of the bank and with files in the folder of the hub.
fn load_example(hub: &HubProcess, title: &str, [auth, api]: [&str; 2]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/connect-a-bank.md");
    let guide = std::fs::read_to_string(path).unwrap();
    let (_, section) = guide.split_once(&format!("### {title}\n")).unwrap_or_else(|| panic!("no {title}"));
    let (_, example) = section.split_once("```toml\n").unwrap();
    let mut example = example.split("```").next().unwrap().to_owned();
    assert!(example.starts_with("[[provider]]\n"), "{example}");
    for (host, origin) in [("auth.bank.example", auth), ("api.bank.example", api)] {
        assert!(example.contains(&format!("\"https://{host}")), "{host}: {example}");
        example = example.replace(&format!("https://{host}"), origin).replace(host, "127.0.0.1");
    }
    for file in ["bank.secret", "bank-ca.pem", "hub.pem", "hub.key", "hub-signing.pem"] {
        example = example.replace(&format!("\"{file}\""), &format!("\"{}\"", hub.path(file).display()));
    }
    example
}

/// Runs the hub with the section, connects a customer, reads, and ends. Returns when the bank has accepted the revocation.
async fn assert_example_connects(hub: &HubProcess, section: &str, bank: &str, customer: &Customer) {
    hub.replace_provider(section);
    let checked = hub.run(&["config", "check"]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let _running = hub.serve(&[]).await;
    let app = hub.add_recipient("App");
    let flow =
        AuthorizationFlow { browser: &hub.browser, origins: vec![hub.hub_url.clone(), bank.to_owned()] };
    let url = authorize_url(&hub.hub_url, &TestHub::build_authorization_query(&app));

    let callback = flow.complete(&url, customer).await;

    let code =
        query_parameter(&callback, "code").unwrap_or_else(|| panic!("no code: {callback} {}", hub.log()));
    let tokens = ConnectionTokens::from_response(&hub.api().redeem(&app, &code).await, code);
    let read = hub.api().read("/accounts", &tokens.access).await;
    assert_eq!(read.status, 200, "{} {}", read.body, hub.log());
    assert!(!read.json()["accounts"].as_array().unwrap().is_empty());
    assert_eq!(hub.api().revoke(&tokens.access).await.status, 204);
    wait_until("the bank accepts the revocation", async || {
        let shown = hub.run(&["--json", "connection", "show", &tokens.id.to_string()]);
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_ne!(shown["provider_revocation"], "refused", "{}", hub.log());
        shown["provider_revocation"] == "accepted"
    })
    .await;
}

/// A customer at a bank without pages.
fn customer_without_pages() -> Customer {
    Customer { username: String::new(), password: String::new(), accounts: Vec::new() }
}

fn example_scopes() -> [Value; 3] {
    ["fdx:accountbasic:read", "fdx:accountdetailed:read", "fdx:transactions:read"].map(Value::from)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openid_example_connects_at_oidc_provider() {
    let hub = HubProcess::new(None).await;
    let settings = json!({
        "jwks_uri": format!("{}/.well-known/jwks.json", hub.hub_url), "scopes": example_scopes(),
        "redirect_uri": format!("{}/callback/1000", hub.hub_url), "self_signed": [], "client_secret": SECRET,
    });
    let bank = IndependentBank::start_in(&hub.path(""), settings, &TestAuthority::new()).await;
    std::fs::write(hub.path("bank.secret"), SECRET).unwrap();
    let section =
        load_example(&hub, "An OpenID provider with FDX 6", [bank.http.as_str(), bank.http.as_str()]);

    assert_example_connects(&hub, &section, &bank.http, &customer_without_pages()).await;

    let states = bank.introspect_issued_tokens(&hub.browser).await;
    assert!(!states.is_empty() && !states.contains(&true), "{states:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_example_connects_at_django_oauth_toolkit() {
    let hub = HubProcess::new(None).await;
    let callback = format!("{}/callback/1000", hub.hub_url);
    let bank = PlainBank::start(&hub.path(""), &callback, ("hub-at-bank", SECRET), &example_scopes()).await;
    std::fs::write(hub.path("bank.secret"), SECRET).unwrap();
    let section = load_example(&hub, "Plain OAuth 2.0 with FDX 5", [bank.http.as_str(), bank.http.as_str()]);

    assert_example_connects(&hub, &section, &bank.http, &customer_without_pages()).await;

    let states = bank.introspect_access_tokens().await;
    assert!(!states.is_empty() && !states.contains(&true), "{states:?}");
}

/// Serves a sandbox bank with mutual TLS, whose authority, keys and certificates are in the folder of the hub. Returns its origins.
async fn serve_fapi_bank(hub: &HubProcess) -> (Bank, String, String) {
    let authority = CertificateAuthority::create("Authority of the bank").unwrap();
    let identity = authority.issue_for_server("127.0.0.1").unwrap();
    let own = authority.issue_for_client("hub.example").unwrap();
    let files = [
        ("bank-ca.pem", authority.certificate()),
        ("hub.pem", own.certificate),
        ("hub.key", own.key),
        ("hub-signing.pem", generate_private_key().unwrap()),
    ];
    for (name, content) in files {
        std::fs::write(hub.path(name), content).unwrap();
    }
    let http = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tls = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", http.local_addr().unwrap());
    let mutual_tls_origin = format!("https://{}", tls.local_addr().unwrap());
    #[expect(clippy::disallowed_methods, reason = "the bank's clock and the hub's are one")]
    let clock = || jiff::Timestamp::now().as_millisecond();
    let bank = Bank::rideau(BankSettings {
        seed: b"site".to_vec(),
        secret_key: b"secret key".to_vec(),
        origin: origin.clone(),
        client_id: "hub-at-bank".into(),
        client_secret: String::new(),
        redirect_uris: vec![format!("{}/callback/1000", hub.hub_url)],
        journal: hub.path("fapi-bank.jsonl"),
        clock: std::sync::Arc::new(clock),
        security: SecurityProfile::Fapi(FapiSettings {
            mutual_tls_origin: mutual_tls_origin.clone(),
            client_keys_url: format!("{}/.well-known/jwks.json", hub.hub_url),
        }),
    })
    .unwrap();
    let (pages, endpoints) = (bank.router(), bank.mutual_tls_router());
    let listener = MutualTlsListener::new(tls, &identity, &authority.certificate()).unwrap();
    tokio::spawn(async move { axum::serve(http, pages).await });
    let service = endpoints.into_make_service_with_connect_info::<ClientCertificate>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    (bank, origin, mutual_tls_origin)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutual_tls_example_connects_at_sandbox_bank() {
    let hub = HubProcess::new(None).await;
    let (bank, origin, mutual_tls_origin) = serve_fapi_bank(&hub).await;
    let alice = bank.logins().into_iter().find(|login| login.username == "alice").unwrap();
    let customer =
        Customer { username: alice.username.into(), password: alice.password, accounts: Vec::new() };
    let title = "Mutual TLS with private_key_jwt, PAR and RAR";
    let section = load_example(&hub, title, [&origin, &mutual_tls_origin]);

    assert_example_connects(&hub, &section, &origin, &customer).await;

    let request = BrowserRequest::new(Method::GET, &format!("{origin}/faults/grants"));
    let grants = hub.browser.send(request).await.unwrap().json();
    let states: Vec<_> = grants.as_array().unwrap().iter().map(|grant| &grant["state"]).collect();
    assert_eq!(states, ["ended"]);
}
