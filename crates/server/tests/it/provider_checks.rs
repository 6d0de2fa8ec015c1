//! Tests of the check of a provider with servers that have one fault each, and of the command that shows the results.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};

use domain::model::provider::TlsSettings;
use http::{Method, Response};
use serde_json::{Value, json};

use crate::server_process::decode_output;
use crate::support::{
    EndpointStub, HubProcess, RecordedRequest, TestAuthority, TestHub, TlsStub, json_response, wait_until,
};

/// Returns the check with a name from the test of Maple Trust.
async fn find_check(kit: &TestHub, name: &str) -> Value {
    let report = kit.run_admin_operation(Method::POST, "/providers/1000/test", None).await;
    let mut checks = report["checks"].as_array().unwrap().iter();
    checks.find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {report}")).clone()
}

fn assert_check(check: &Value, verdict: &str, detail: &str, change: &str) {
    assert_eq!(check["verdict"], verdict, "{check}");
    assert_eq!(check["ok"], verdict != "failed", "{check}");
    assert!(check["detail"].as_str().unwrap().contains(detail), "{check}");
    assert!(check["change"].as_str().unwrap_or_default().contains(change), "{check}");
}

#[tokio::test]
async fn fault_of_certificate_is_named_with_setting() {
    let kit = TestHub::new().await;
    let (authority, other) = (TestAuthority::new(), TestAuthority::new());
    let ca = kit.data_folder().join("ca.pem");
    let unauthorized = |_: &str| Response::builder().status(401).body(String::new()).unwrap();
    for (certificate, trusted, verdict, detail, change) in [
        (authority.issue("localhost"), &other, "failed", "signed by an unknown authority", "set tls.ca"),
        (
            authority.issue_expired("localhost"),
            &authority,
            "failed",
            "has expired",
            "ask the provider to renew",
        ),
        (
            authority.issue("bank.example"),
            &authority,
            "failed",
            "is for another name",
            "host of fdx.base_url",
        ),
        (authority.issue("localhost"), &authority, "passed", "valid certificates: localhost", ""),
    ] {
        let bank = TlsStub::start(certificate, unauthorized).await;
        std::fs::write(&ca, trusted.pem()).unwrap();
        kit.update_provider_settings(1000, |settings| {
            settings.fdx.base_url = format!("{}/fdx/v5", bank.url);
            let ca = Some(ca.display().to_string());
            settings.tls = Some(TlsSettings { ca, ..TlsSettings::default() });
        })
        .await;

        assert_check(&find_check(&kit, "tls").await, verdict, detail, change);
        if verdict == "failed" {
            assert_check(&find_check(&kit, "data").await, "failed", detail, change);
        }
    }
}

#[tokio::test]
async fn issuer_is_called_only_for_its_metadata() {
    let kit = TestHub::new().await;
    let issuer = EndpointStub::new(|_| json_response(404, &json!({}))).await;
    let url = issuer.url.clone();
    kit.update_provider_settings(1000, |settings| settings.issuer = Some(url)).await;

    let metadata = find_check(&kit, "metadata").await;

    assert_check(&metadata, "undetermined", "not needed", "");
    let requested = |calls: Vec<RecordedRequest>| -> BTreeSet<_> {
        calls
            .into_iter()
            .map(|call| format!("{} {}{}{}", call.method, call.path, call.query, call.body))
            .collect()
    };
    let paths = ["GET /.well-known/oauth-authorization-server", "GET /.well-known/openid-configuration"];
    assert_eq!(requested(issuer.calls()), BTreeSet::from(paths.map(str::to_owned)));
    let authority = TestAuthority::new();
    let start = async || TlsStub::start(authority.issue("localhost"), |_| Response::new(String::new())).await;
    let (untrusted, trusted) = (start().await, start().await);
    let url = untrusted.url.clone();
    kit.update_provider_settings(1000, |settings| settings.issuer = Some(url)).await;
    let tls = find_check(&kit, "tls").await;
    assert_check(&tls, "failed", "localhost", "set tls.ca");
    let ca = kit.data_folder().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    kit.update_provider_settings(1000, |settings| {
        settings.issuer = Some(trusted.url.clone());
        settings.tls = Some(TlsSettings { ca: Some(ca.display().to_string()), ..TlsSettings::default() });
    })
    .await;
    find_check(&kit, "metadata").await;
    assert_eq!(untrusted.requests(), []);
    let requested: BTreeSet<_> =
        trusted.requests().into_iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    assert_eq!(requested, BTreeSet::from(paths.map(str::to_owned)));
}

/// Lets Maple Trust be a stub whose metadata have these members, and whose other endpoints respond with a function.
async fn use_stub(
    kit: &TestHub,
    stated: Value,
    answer: impl Fn(&str) -> Response<String> + Send + Sync + 'static,
) -> EndpointStub {
    let stub = EndpointStub::new(move |call| {
        if call.path != "/.well-known/openid-configuration" {
            return answer(&call.path);
        }
        let url = format!("http://{}", call.headers["host"].to_str().unwrap());
        let mut document = json!({
            "issuer": url, "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"), "revocation_endpoint": format!("{url}/revoke"),
        });
        for (name, value) in stated.as_object().unwrap() {
            let value = value.to_string().replace("URL", &url);
            document[name] = serde_json::from_str(&value).unwrap();
        }
        json_response(200, &document)
    })
    .await;
    let url = stub.url.clone();
    kit.update_provider_settings(1000, |settings| {
        settings.issuer = Some(url.clone());
        (settings.authorization_endpoint, settings.token_endpoint) = (None, None);
        settings.revocation_endpoint = None;
        settings.fdx.base_url = format!("{url}/fdx/v5");
    })
    .await;
    stub
}

/// Responds as a bank does that accepts the client of the hub.
fn accept_client(path: &str) -> Response<String> {
    match path {
        "/token" => json_response(400, &json!({"error": "invalid_grant"})),
        "/revoke" => json_response(200, &json!({})),
        "/authorize" => json_response(400, &json!({})),
        _ => json_response(401, &json!({})),
    }
}

#[tokio::test]
async fn settings_are_compared_with_metadata_of_issuer() {
    let kit = TestHub::new().await;
    let stated = json!({
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "scopes_supported": ["openid"],
        "code_challenge_methods_supported": ["plain"],
        "require_signed_request_object": true,
        "authorization_details_types_supported": ["fdx_v1.0"],
    });
    let _bank = use_stub(&kit, stated, accept_client).await;

    for (name, verdict, detail, change) in [
        ("metadata", "passed", "name every endpoint", ""),
        ("token", "passed", "invalid_grant: the client is accepted", ""),
        ("authentication", "failed", "do not offer client_secret_basic", "set auth = \"private_key_jwt\""),
        ("scopes", "warning", "scopes.ACCOUNT_BASIC", "correct scopes.ACCOUNT_BASIC"),
        ("pkce", "warning", "do not offer PKCE", "ask the provider"),
        ("request_object", "failed", "require signed", "set request_object = \"required\""),
        ("authorization_details", "warning", "the consent request", "set authorization_details"),
        ("data", "passed", "HTTP 401", ""),
        ("fdx_version", "passed", "names version 5", ""),
    ] {
        assert_check(&find_check(&kit, name).await, verdict, detail, change);
    }
}

#[tokio::test]
async fn response_that_proves_nothing_is_undetermined() {
    let kit = TestHub::new().await;
    let _bank = use_stub(&kit, json!({}), |path| match path {
        "/token" => json_response(400, &json!({"error": "invalid_request"})),
        path => accept_client(path),
    })
    .await;

    let token = find_check(&kit, "token").await;

    assert_check(&token, "undetermined", "does not show whether the client is accepted", "");
}

#[tokio::test]
async fn rejected_pushed_request_names_setting() {
    let kit = TestHub::new().await;
    for (status, body, verdict, change) in [
        (201, json!({"request_uri": "urn:x:1", "expires_in": 60}), "passed", ""),
        (400, json!({"error": "invalid_scope"}), "failed", "correct scopes"),
        (400, json!({"error": "invalid_request"}), "failed", "register the redirect URI"),
        (401, json!({"error": "invalid_client"}), "failed", "correct client_id, auth"),
        (404, json!({}), "failed", "correct pushed_authorization_request_endpoint"),
    ] {
        let stated = json!({"pushed_authorization_request_endpoint": "URL/par"});
        let response = body.clone();
        let bank = use_stub(&kit, stated, move |path| match path {
            "/par" => json_response(status, &response),
            path => accept_client(path),
        })
        .await;

        assert_check(&find_check(&kit, "par").await, verdict, "", change);

        let pushed = bank.calls().into_iter().find(|call| call.path == "/par").unwrap();
        assert_eq!(pushed.field("code_challenge_method").as_deref(), Some("S256"));
        assert_eq!(pushed.field("redirect_uri"), Some(kit.url("/callback/1000")));
    }
}

#[tokio::test]
async fn version_of_fdx_is_compared_with_capability() {
    let kit = TestHub::new().await;
    let _bank = use_stub(&kit, json!({}), |path| match path {
        "/fdx/v5/capability" => json_response(200, &json!({"fdxVersions": ["V6.0"]})),
        path => accept_client(path),
    })
    .await;

    let version = find_check(&kit, "fdx_version").await;

    assert_check(&version, "failed", "does not offer FDX 5", "set fdx.version = \"6\"");
}

// The bank runs in this process, which waits for commands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn warning_does_not_fail_the_command() {
    let site = HubProcess::new(None).await;
    let config = std::fs::read_to_string(site.path("bowline.toml")).unwrap();
    let _hub = site.serve(&[]).await;

    let (code, passed, _) = decode_output(&site.run(&["provider", "test", "1000"]));
    assert_eq!(code, Some(0), "{passed}");
    assert!(passed.contains("token") && passed.contains("HTTP 400 invalid_grant: the client is accepted"));
    std::fs::write(site.path("second.toml"), second_provider(&config, "")).unwrap();
    let add = ["provider", "add", "second.toml"].map(|part| match part {
        "second.toml" => site.path("second.toml").display().to_string(),
        part => part.to_owned(),
    });
    let add: Vec<_> = add.iter().map(String::as_str).collect();
    let (code, _, error) = decode_output(&site.run(&add));
    assert_eq!(code, Some(0), "{error}");
    let (code, warned, error) = decode_output(&site.run(&["provider", "test", "2000"]));

    assert_eq!(code, Some(0), "{error}");
    assert!(warned.contains("warning") && warned.contains("set revoke = [\"rfc7009\"]"), "{warned}");
    let (code, json, _) = decode_output(&site.run(&["--json", "provider", "test", "2000"]));
    let report: Value = serde_json::from_str(&json).unwrap();
    assert!(code == Some(0) && report["ok"] == true, "{report}");
}

/// Returns the section of the provider with another id, without methods of revocation.
fn second_provider(config: &str, more: &str) -> String {
    let (_, section) = config.split_once("[[provider]]\n").unwrap();
    let section = section.replace("id = 1000", "id = 2000").replace("revoke = [\"rfc7009\"]", "revoke = []");
    format!("[[provider]]\n{section}{more}")
}

/// A running command that tests a provider and waits for the address at which its login ends.
struct InteractiveTest {
    process: Child,
    stdin: ChildStdin,
    stderr: BufReader<ChildStderr>,
    url: String,
}

impl InteractiveTest {
    /// Starts the command, and waits until it shows the address of the login.
    fn start(site: &HubProcess, provider: &str) -> Self {
        let mut command = site.command(&[], &["--json", "provider", "test", provider, "--interactive"]);
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdin = process.stdin.take().unwrap();
        let mut stderr = BufReader::new(process.stderr.take().unwrap());
        let mut shown = String::new();
        let url = loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "the command ended: {shown}");
            if line.starts_with("http") {
                break line.trim().to_owned();
            }
            shown.push_str(&line);
        };
        Self { process, stdin, stderr, url }
    }

    fn paste(&self, address: &str) {
        writeln!(&self.stdin, "{address}").unwrap();
    }

    /// Interrupts the command as Ctrl-C does.
    fn interrupt(&self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }

    /// Waits for the end of the command; returns its exit code, its output and its errors.
    fn finish(self) -> (Option<i32>, String, String) {
        let Self { process, stdin, mut stderr, url: _ } = self;
        let mut errors = String::new();
        stderr.read_to_string(&mut errors).unwrap();
        let output = process.wait_with_output().unwrap();
        // An end of the input would end the command too.
        drop(stdin);
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), errors)
    }
}

fn assert_no_recipient(site: &HubProcess) {
    let (_, recipients, _) = decode_output(&site.run(&["--json", "recipient", "list", "--state", "active"]));
    assert_eq!(serde_json::from_str::<Value>(&recipients).unwrap()["items"], json!([]));
}

async fn wait_until_client_is_deleted(site: &HubProcess) {
    wait_until("the client of the test is deleted at the bank", async || {
        site.sql("UPDATE jobs SET due_at = 0 WHERE kind = 'delete_upstream_client'").await;
        site.count_registered_clients() == 0
    })
    .await;
}

// The bank runs in this process, which waits for commands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interactive_test_connects_reads_and_ends() {
    let site = HubProcess::new(None).await;
    let hub = site.serve(&[]).await;
    let interactive = InteractiveTest::start(&site, "1000");

    let back = site.complete_login(&interactive.url, "alice").await;
    interactive.paste(&back);
    let (code, text, errors) = interactive.finish();

    assert_eq!(code, Some(0), "{text} {errors}");
    let report: Value = serde_json::from_str(&text).unwrap();
    let connection = &report["connection"];
    assert_eq!(connection["revocation"], "accepted", "{report}");
    let reads = connection["reads"].as_array().unwrap();
    let names: Vec<_> = reads.iter().map(|read| read["resource"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["accounts", "account", "transactions", "payment-networks", "contact", "customer"],
        "{report}"
    );
    assert!(reads.iter().all(|read| read["ok"] == true), "{report}");
    let observed = connection["observed"].as_array().unwrap();
    let transactions = observed.iter().find(|seen| seen["call"] == "transactions").unwrap();
    assert_eq!((&transactions["fdx_version"], &transactions["absent_members"]), (&json!("5"), &json!([])));
    assert!(transactions["dates"].to_string().contains("postedTimestamp: date-time"), "{transactions}");
    assert!(!text.contains("alice"), "no data of the customer is shown: {text}");
    assert_eq!(site.count_active_grants().await, 0);
    assert_no_recipient(&site);
    hub.stop();
}

// The bank runs in this process, which waits for commands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interactive_test_with_other_address_removes_recipient() {
    let site = HubProcess::new(None).await;
    let hub = site.serve(&[]).await;
    let interactive = InteractiveTest::start(&site, "1000");

    interactive.paste("https://localhost/bowline-provider-test?code=c&state=other");
    let (code, _, error) = interactive.finish();

    assert!(code == Some(1) && error.contains("the address belongs to another login"), "{error}");
    assert_no_recipient(&site);
    hub.stop();
}

// The bank runs in this process, which waits for commands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interactive_test_registers_client_and_deletes_it() {
    let site = HubProcess::new(None).await;
    site.enable_client_registration();
    let hub = site.serve(&[]).await;
    let interactive = InteractiveTest::start(&site, "2000");
    assert_eq!(site.count_registered_clients(), 1, "the test has a client of its own");

    let back = site.complete_login(&interactive.url, "alice").await;
    interactive.paste(&back);
    let (code, text, errors) = interactive.finish();

    assert_eq!(code, Some(0), "{text} {errors}");
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["connection"]["revocation"], "accepted", "{report}");
    assert_eq!(site.count_active_grants().await, 0);
    assert_no_recipient(&site);
    wait_until_client_is_deleted(&site).await;
    hub.stop();
}

// The bank runs in this process, which waits for commands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_interactive_test_removes_recipient_and_client() {
    let site = HubProcess::new(None).await;
    site.enable_client_registration();
    let hub = site.serve(&[]).await;
    let interactive = InteractiveTest::start(&site, "2000");

    interactive.interrupt();
    let (code, _, error) = interactive.finish();

    assert!(code == Some(1) && error.contains("the test was interrupted"), "{code:?} {error}");
    assert_no_recipient(&site);
    wait_until_client_is_deleted(&site).await;
    hub.stop();
}
