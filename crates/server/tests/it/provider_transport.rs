//! Tests of the settings of the HTTP calls to a provider: headers, proxy, address ranges, duration, page size and revocation.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::model::provider::{ProxySettings, RevokeMethod, RevokeTokens, SecretSource, TlsSettings};
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{EndpointStub, RecordedRequest, TestHub, json_response};

/// Returns the check with a name from the test of Maple Trust.
async fn find_check(kit: &TestHub, name: &str) -> (bool, String) {
    let report = kit.run_admin_operation(Method::POST, "/providers/1000/test", None).await;
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{report}"));
    (check["ok"] == true, check["detail"].as_str().unwrap().to_owned())
}

/// Starts a server that handles each connection with a function; returns its address.
async fn accept_connections<F>(handle: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handle(stream));
        }
    });
    address
}

fn header(call: &RecordedRequest, name: &str) -> String {
    call.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn headers_are_sent_with_every_call_and_secret_is_reloaded() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let bank = EndpointStub::new(|call| match call.path.as_str() {
        "/fdx/accounts" => json_response(200, &json!({"accounts": []})),
        "/token" => {
            json_response(200, &json!({"access_token": "new", "token_type": "Bearer", "expires_in": 600}))
        }
        _ => json_response(200, &json!({})),
    })
    .await;
    let file = kit.data_folder().join("gateway.key");
    std::fs::write(&file, "first-key\n").unwrap();
    kit.update_provider_settings(1000, |settings| {
        settings.token_endpoint = Some(format!("{}/token", bank.url));
        settings.revocation_endpoint = Some(format!("{}/revoke", bank.url));
        settings.fdx.base_url = format!("{}/fdx", bank.url);
        settings.headers = BTreeMap::from([("x-fapi-financial-id".into(), "maple".into())]);
        let source = SecretSource::File(file.display().to_string());
        settings.secret_headers = BTreeMap::from([("x-gateway-key".into(), source)]);
    })
    .await;

    kit.advance(Duration::from_hours(1));
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 401, "the hub's token has expired");
    let tokens = kit.refresh(&kit.acme(), &tokens.refresh).await.json();
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(kit.read("/accounts", access).await.status, 200);
    std::fs::write(&file, "the-second-key").unwrap();
    assert_eq!(kit.read("/accounts", access).await.status, 200);
    assert_eq!(kit.revoke(access).await.status, 204);
    kit.wait_until("the revocation arrives", async || bank.calls().iter().any(|call| call.path == "/revoke"))
        .await;

    let calls = bank.calls();
    let paths: Vec<_> = calls.iter().map(|call| call.path.as_str()).collect();
    assert_eq!(paths, ["/token", "/fdx/accounts", "/fdx/accounts", "/revoke"]);
    let keys: Vec<_> = calls.iter().map(|call| header(call, "x-gateway-key")).collect();
    assert_eq!(keys, ["first-key", "first-key", "the-second-key", "the-second-key"]);
    for call in &calls {
        assert_eq!(header(call, "x-fapi-financial-id"), "maple", "{}", call.path);
        let id = header(call, "x-fapi-interaction-id");
        assert!(id.parse::<uuid::Uuid>().is_ok() && id.len() == 36, "{}: {id:?}", call.path);
    }
    let shown = kit.run_admin_operation(Method::GET, "/providers/1000", None).await;
    assert_eq!(shown["settings"]["headers"], json!({"x-fapi-financial-id": "maple"}));
    assert!(shown["settings"].get("secret_headers").is_none() && !shown.to_string().contains("gateway.key"));
}

#[tokio::test]
async fn repaired_file_with_the_times_of_the_broken_one_is_read() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let bank = EndpointStub::new(|_| json_response(200, &json!({"accounts": []}))).await;
    let path = kit.data_folder().join("gateway.key");
    // As a program does that copies a file with its times.
    let write = |content: &str| {
        std::fs::write(&path, content).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    };
    std::fs::write(&path, "key-1").unwrap();
    kit.update_provider_settings(1000, |settings| {
        settings.fdx.base_url.clone_from(&bank.url);
        let source = SecretSource::File(path.display().to_string());
        settings.secret_headers = BTreeMap::from([("x-gateway-key".into(), source)]);
    })
    .await;

    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    write("key\n2");
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200, "the first key is still used");
    write("key-2");
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);

    let keys: Vec<_> = bank.calls().iter().map(|call| header(call, "x-gateway-key")).collect();
    assert_eq!(keys, ["key-1", "key-1", "key-2"]);
}

#[tokio::test]
async fn page_size_of_provider_limits_requests_of_lists() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let bank = EndpointStub::new(|_| json_response(200, &json!({"accounts": []}))).await;
    kit.update_provider_settings(1000, |settings| {
        settings.fdx.base_url.clone_from(&bank.url);
        settings.page_size = Some(7);
    })
    .await;

    for (limit, sent) in [("5", "limit=5"), ("50", "limit=7")] {
        assert_eq!(kit.read(&format!("/accounts?limit={limit}"), &tokens.access).await.status, 200);
        let query = bank.calls().last().unwrap().query.clone();
        assert!(query.starts_with(&format!("{sent}&")), "{query}");
    }
}

#[tokio::test]
async fn proxy_resolves_the_name_and_gets_credentials() {
    let kit = TestHub::new().await;
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let recorded = Arc::clone(&seen);
    let proxy = accept_connections(move |mut stream| {
        let recorded = Arc::clone(&recorded);
        async move {
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap_or_default();
            recorded.lock().unwrap().push(String::from_utf8_lossy(&head[..length]).to_ascii_lowercase());
            let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await;
        }
    })
    .await;
    let file = kit.data_folder().join("proxy.secret");
    std::fs::write(&file, "hub:hunter2").unwrap();
    kit.update_provider_settings(1000, |settings| {
        settings.token_endpoint = Some("https://bank.invalid/token".into());
        settings.proxy = Some(ProxySettings {
            url: format!("http://{proxy}"),
            credentials: Some(SecretSource::File(file.display().to_string())),
        });
    })
    .await;

    let (is_ok, detail) = find_check(&kit, "token").await;

    assert!(!is_ok, "{detail}");
    let heads = seen.lock().unwrap().clone();
    let head = heads.iter().find(|head| head.starts_with("connect bank.invalid:443 http/1.1\r\n"));
    let head = head.unwrap_or_else(|| panic!("{heads:?}"));
    let credentials = STANDARD.encode("hub:hunter2").to_ascii_lowercase();
    assert!(head.contains(&format!("proxy-authorization: basic {credentials}")), "{head}");
    std::fs::write(&file, "no colon").unwrap();
    kit.update_provider_settings(1000, |settings| settings.timeout = Some("1s".into())).await;
    let (is_ok, detail) = find_check(&kit, "transport").await;
    assert!(!is_ok && detail.contains("cannot be used"), "{detail}");
}

#[tokio::test]
async fn provider_timeout_is_shorter_than_that_of_the_hub() {
    let kit = TestHub::new().await;
    let waiting = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&waiting);
    let silent = accept_connections(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            count.fetch_add(1, Ordering::Relaxed);
            // The connection stays open until the hub closes it.
            let mut head = vec![0; 4096];
            while stream.read(&mut head).await.is_ok_and(|length| length > 0) {}
        }
    })
    .await;
    kit.update_provider_settings(1000, |settings| {
        settings.token_endpoint = Some(format!("http://{silent}/token"));
        settings.timeout = Some("100ms".into());
    })
    .await;

    let (is_ok, detail) = find_check(&kit, "token").await;

    assert_eq!((is_ok, detail.as_str()), (false, "no response in time"));
    assert_eq!(waiting.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn silent_provider_delays_its_check_by_one_timeout() {
    let kit = TestHub::new().await;
    let silent = accept_connections(|mut stream| async move {
        let mut head = vec![0; 4096];
        while stream.read(&mut head).await.is_ok_and(|length| length > 0) {}
    })
    .await;
    kit.update_provider_settings(1000, |settings| {
        settings.token_endpoint = Some(format!("http://{silent}/token"));
        settings.grant_management_endpoint = Some(format!("http://{silent}/grants"));
        settings.consent_endpoint = Some(format!("http://{silent}/consents"));
        settings.revoke = vec![RevokeMethod::GrantManagement, RevokeMethod::FdxConsent];
        settings.fdx.base_url = format!("http://{silent}/fdx/v5");
        settings.timeout = Some("3s".into());
    })
    .await;

    let check = kit.run_admin_operation(Method::POST, "/providers/1000/test", None);
    let report = tokio::time::timeout(Duration::from_millis(5500), check).await;

    let report = report.expect("the calls were not concurrent");
    for name in ["token", "grant_management", "consent", "data"] {
        let checks = report["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{report}"));
        assert_eq!(check["detail"], "no response in time", "{report}");
    }
}

#[tokio::test]
async fn private_address_is_called_only_in_an_allowed_range() {
    let kit = TestHub::new().await;
    for (ranges, expected) in [
        (vec![], "the address is not allowed"),
        (vec!["10.9.0.0/16"], "the address is not allowed"),
        // The proxy does not exist, but the address may be called.
        (vec!["10.255.255.0/24"], "no connection"),
    ] {
        kit.update_provider_settings(1000, |settings| {
            settings.token_endpoint = Some("https://10.255.255.1:1/token".into());
            settings.proxy = Some(ProxySettings { url: "http://127.0.0.1:1".into(), credentials: None });
            let allow_private = ranges.iter().map(|range| (*range).to_owned()).collect();
            settings.tls = Some(TlsSettings { allow_private, ..TlsSettings::default() });
        })
        .await;

        let (is_ok, detail) = find_check(&kit, "token").await;

        assert_eq!((is_ok, detail.as_str()), (false, expected), "{ranges:?}");
    }
}

#[tokio::test]
async fn secret_headers_of_api_provider_are_sealed_and_checked() {
    let kit = TestHub::new().await;
    let shown = kit.run_admin_operation(Method::GET, "/providers/1000", None).await;
    let mut body = shown["settings"].clone();
    (body["id"], body["client_secret"]) = (json!(4000), json!("secret"));
    let with = |field: &str, value: Value| {
        let mut body = body.clone();
        body[field] = value;
        body
    };
    for (field, value, named) in [
        ("secret_headers", json!({"x-key": {"env": "HOME"}}), "secret_headers.x-key"),
        ("secret_headers", json!({"x-key": "a\nb"}), "secret_headers.x-key"),
        ("secret_headers", json!({"authorization": "x"}), "secret_headers.authorization"),
        ("headers", json!({"x-key": 5}), "headers.x-key"),
        ("proxy", json!({"url": "nowhere"}), "proxy.url"),
        ("proxy", json!({"url": "http://169.254.169.254"}), "proxy.url"),
        (
            "proxy",
            json!({"url": "http://127.0.0.1:1", "credentials": {"file": "/etc/passwd"}}),
            "proxy.credentials",
        ),
        ("proxy", json!({"url": "http://127.0.0.1:1", "credentials": "no-colon"}), "proxy.credentials"),
        ("timeout", json!("16s"), "timeout"),
        ("page_size", json!(0), "page_size"),
        ("history", json!("x"), "history"),
        ("tls", json!({"allow_private": ["0.0.0.0/0"]}), "tls.allow_private[0]"),
    ] {
        let rejected = kit.post_admin_request("/providers", with(field, value)).await;
        assert_eq!((rejected.status, &rejected.json()["field"]), (400, &json!(named)), "{}", rejected.body);
    }

    let added = kit
        .post_admin_request("/providers", with("secret_headers", json!({"x-key": "hunter2-of-the-gateway"})))
        .await;

    assert_eq!(added.status, 201, "{}", added.body);
    assert!(!added.body.contains("hunter2") && !added.body.contains("secret_headers"), "{}", added.body);
    let row = kit.sql("SELECT settings, secrets FROM providers WHERE id = 4000").await.concat();
    assert!(row.contains("sealed") && !row.contains("hunter2"), "the secret must be sealed");
    assert!(!row.contains(&crate::support::hex(b"hunter2")), "the secret must be sealed");
    let report = kit.run_admin_operation(Method::POST, "/providers/4000/test", None).await;
    let mut checks = report["checks"].as_array().unwrap().iter();
    assert_eq!(checks.find(|check| check["name"] == "transport").unwrap()["ok"], true, "{report}");
}

#[tokio::test]
async fn tokens_of_setting_are_revoked() {
    for (setting, types) in [
        (RevokeTokens::Refresh, vec!["refresh_token"]),
        (RevokeTokens::Access, vec!["access_token"]),
        (RevokeTokens::Both, vec!["refresh_token", "access_token"]),
    ] {
        let kit = TestHub::new().await;
        let tokens = kit.connect(&kit.acme()).await;
        let bank = EndpointStub::new(|_| json_response(200, &json!({}))).await;
        kit.update_provider_settings(1000, |settings| {
            settings.revocation_endpoint = Some(format!("{}/revoke", bank.url));
            settings.revoke_tokens = setting;
        })
        .await;

        assert_eq!(kit.revoke(&tokens.access).await.status, 204);
        kit.wait_until("the provider accepts the revocation", async || {
            let path = format!("/connections/{}", tokens.id);
            kit.run_admin_operation(Method::GET, &path, None).await["provider_revocation"] == "accepted"
        })
        .await;

        let calls = bank.calls();
        let hints: Vec<_> = calls.iter().filter_map(|call| call.field("token_type_hint")).collect();
        assert_eq!(hints, types, "{setting:?}");
        let sent: std::collections::BTreeSet<_> = calls.iter().map(|call| call.field("token")).collect();
        assert_eq!(sent.len(), types.len(), "each token must be sent once");
    }
}
