//! Tests of attacks on the listener and the socket of the admin API, by untrusted clients and by operators.

use std::net::SocketAddr;

use http::{HeaderMap, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use bowline::router::admin_routes;

use crate::support::{
    EndpointStub, HubProcess, RawRequest, SCOPE, TestClient, TestHub, json_response, on_both, wait_until,
};

on_both!(
    request_of_operator_removed_during_upload_is_rejected,
    request_of_partner_suspended_during_upload_is_rejected,
    admin_operations_write_audit_event_with_actor,
    unsupported_dry_run_is_rejected_and_changes_nothing,
    malformed_credential_on_socket_returns_401,
);

impl TestHub {
    /// Adds an operator; returns its id and token.
    pub(super) async fn create_operator_with_token(&self, name: &str, role: &str) -> (String, String) {
        let added = self
            .run_admin_operation(Method::POST, "/operators", Some(json!({"name": name, "role": role})))
            .await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&added["operator"]["id"]), text(&added["token"]))
    }

    async fn submit_registration_request(&self, recipient: &TestClient, provider: i64) {
        let pair = json!({"client_ids": [recipient.id], "provider_ids": [provider]});
        self.run_admin_operation(Method::POST, "/registrations", Some(pair)).await;
    }
}

/// Lists the routes of the admin API that read a body, each with a valid body.
async fn list_operations_with_body(kit: &TestHub) -> Vec<(&'static str, String, Value)> {
    let active = kit.register_recipient(&[1000], SCOPE, false).await;
    let pending = kit.register_recipient(&[], SCOPE, false).await;
    kit.submit_registration_request(&pending, 1000).await;
    let registration_path =
        |recipient: &TestClient, step: &str| format!("/registrations/{}/1000{step}", recipient.id);
    let described = json!({
        "name": "Left Behind", "purpose_en": "To stay.", "purpose_fr": "Pour rester.", "scope": ["ACCOUNT_BASIC"],
        "redirect_uris": ["https://left.example.org/back"],
    });
    vec![
        ("POST", "/operators".into(), json!({"name": "left-behind", "role": "admin"})),
        ("POST", "/partners".into(), json!({"name": "Left Behind"})),
        ("POST", "/recipients".into(), described),
        (
            "PUT",
            format!("/recipients/{}", active.id),
            json!({"redirect_uris": ["https://left.example.org/"]}),
        ),
        ("POST", "/registrations".into(), json!({"client_ids": [active.id], "provider_ids": [2000]})),
        ("POST", registration_path(&active, "/suspend"), json!({"reason": "Left behind"})),
        ("POST", registration_path(&pending, "/reject"), json!({"reason": "Left behind"})),
    ]
}

/// Sends the head of an authorized request; the test sends the body later.
async fn begin_request(address: SocketAddr, target: &str, token: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "{target} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
         expect: 100-continue\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim_response = [0; 25];
    stream.read_exact(&mut interim_response).await.unwrap();
    assert_eq!(
        &interim_response, b"HTTP/1.1 100 Continue\r\n\r\n",
        "{target}: the request must be authorized first"
    );
    stream
}

async fn finish_request(stream: &mut TcpStream, body: &str) -> String {
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

/// Suspends a partner, or regenerates its secret, while bodies of its requests are still being sent.
async fn request_of_partner_suspended_during_upload_is_rejected(kit: TestHub) {
    let (partner, token) = (kit.partner().id, kit.request_client_token(&kit.partner()).await);
    let recipient = kit.create_recipient(&token).await;
    let create =
        json!({"name": "Left Behind", "scope": SCOPE, "redirect_uris": ["https://left.example.org/"]});
    let update = json!({"redirect_uris": ["https://left.example.org/"]});
    for (step, undo, status) in [("suspend", Some("reinstate"), "400"), ("secret", None, "400")] {
        let mut pending_requests = Vec::new();
        for (target, body) in [
            ("POST /api/v1/recipients".to_owned(), &create),
            (format!("PUT /api/v1/recipients/{}", recipient.id), &update),
        ] {
            let stream = begin_request(kit.world.node.address, &target, &token, &body.to_string()).await;
            pending_requests.push((stream, target, body.to_string()));
        }
        kit.run_admin_operation(Method::POST, &format!("/partners/{partner}/{step}"), None).await;
        let before = kit.dump_admin_tables().await;
        for (mut stream, target, body) in pending_requests {
            let response = finish_request(&mut stream, &body).await;
            assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{step}, {target}: {response}");
        }
        assert_eq!(kit.dump_admin_tables().await, before, "{step}: nothing must change");
        if let Some(undo) = undo {
            kit.run_admin_operation(Method::POST, &format!("/partners/{partner}/{undo}"), None).await;
        }
    }
}

/// An operator starts a request for each operation, is authorized and then removed, and sends the body afterwards.
async fn request_of_operator_removed_during_upload_is_rejected(kit: TestHub) {
    let operations = list_operations_with_body(&kit).await;
    let (id, token) = kit.create_operator_with_token("mallory", "admin").await;
    let mut pending_requests = Vec::new();
    for (method, path, body) in operations {
        let (target, body) = (format!("{method} /admin/v1{path}"), body.to_string());
        let stream = begin_request(kit.world.node.admin, &target, &token, &body).await;
        pending_requests.push((stream, path, body));
    }
    assert_eq!(kit.send_admin_request(Method::DELETE, &format!("/operators/{id}")).await.status, 204);
    let before = kit.dump_admin_tables().await;
    for (mut stream, path, body) in pending_requests {
        let response = finish_request(&mut stream, &body).await;
        assert!(response.starts_with("HTTP/1.1 401 "), "{path}: {response}");
    }
    assert_eq!(kit.dump_admin_tables().await, before, "nothing must change");
    assert_eq!(kit.sql("SELECT count(*) FROM operators WHERE name = 'left-behind'").await, ["0"]);
}

/// Bootstrap is not possible, since an admin exists; failed jobs, and new and changed providers have tests of their own; and checks of
/// providers change nothing.
const TESTED_ELSEWHERE: [&str; 8] = [
    "POST operators/bootstrap",
    "POST jobs/retry",
    "POST jobs/{job_id}/retry",
    "POST jobs/{job_id}/close",
    "POST providers",
    "POST providers/{provider_id}/test",
    "PUT providers/{provider_id}",
    "POST providers/{provider_id}/secret",
];

/// The operations that change something and are not tested elsewhere, each with its route, path and body, in an order in which
/// each can succeed.
pub(super) async fn list_changing_operations(kit: &TestHub) -> Vec<(&'static str, String, Option<Value>)> {
    let (other, _) = kit.create_operator_with_token("to-be-removed", "viewer").await;
    let tokens = kit.connect(&kit.acme()).await;
    let recipient = kit.register_recipient(&[], SCOPE, false).await;
    let (first, second) =
        (format!("registrations/{}/1000", recipient.id), format!("registrations/{}/2000", recipient.id));
    let (partner, own) = (kit.partner().id, format!("recipients/{}", recipient.id));
    let pairs = json!({"client_ids": [recipient.id], "provider_ids": [1000, 2000]});
    let described = json!({
        "name": "New", "purpose_en": "To be new.", "purpose_fr": "Pour être nouveau.", "scope": ["ACCOUNT_BASIC"],
        "redirect_uris": ["https://new.example.org/back"],
    });
    vec![
        ("POST operators", "operators".to_owned(), Some(json!({"name": "newer", "role": "viewer"}))),
        ("DELETE operators/{operator_id}", format!("operators/{other}"), None),
        ("POST partners", "partners".into(), Some(json!({"name": "New"}))),
        ("POST partners/{client_id}/secret", format!("partners/{partner}/secret"), None),
        ("POST partners/{client_id}/suspend", format!("partners/{partner}/suspend"), None),
        ("POST partners/{client_id}/reinstate", format!("partners/{partner}/reinstate"), None),
        ("POST recipients", "recipients".into(), Some(described)),
        (
            "PUT recipients/{client_id}",
            own.clone(),
            Some(json!({"redirect_uris": ["https://new.example.org/"]})),
        ),
        ("POST recipients/{client_id}/secret", format!("{own}/secret"), None),
        ("POST recipients/{client_id}/suspend", format!("{own}/suspend"), None),
        ("POST recipients/{client_id}/reinstate", format!("{own}/reinstate"), None),
        ("POST registrations", "registrations".into(), Some(pairs)),
        (
            "POST registrations/{client_id}/{provider_id}/reject",
            format!("{second}/reject"),
            Some(json!({"reason": "No."})),
        ),
        ("POST registrations/{client_id}/{provider_id}/approve", format!("{first}/approve"), None),
        ("POST registrations/{client_id}/{provider_id}/activate", format!("{first}/activate"), None),
        ("POST registrations/{client_id}/{provider_id}/suspend", format!("{first}/suspend"), None),
        ("POST registrations/{client_id}/{provider_id}/reinstate", format!("{first}/reinstate"), None),
        ("DELETE recipients/{client_id}", own, None),
        ("POST connections/{connection_id}/end", format!("connections/{}/end", tokens.id), None),
        ("POST providers/{provider_id}/pause", "providers/2000/pause".into(), None),
        ("POST providers/{provider_id}/release", "providers/2000/release".into(), None),
        ("POST providers/{provider_id}/retire", "providers/2000/retire".into(), None),
    ]
}

async fn admin_operations_write_audit_event_with_actor(kit: TestHub) {
    let (id, token) = kit.create_operator_with_token("deborah", "admin").await;
    let operations = list_changing_operations(&kit).await;
    let latest = async || {
        let events = kit
            .run_admin_operation(
                Method::GET,
                &format!("/audit?actor_kind=operator&actor_id={id}&limit=500"),
                None,
            )
            .await;
        events["items"].as_array().unwrap().len()
    };
    for (route, path, body) in &operations {
        let (before, method) = (latest().await, route.split(' ').next().unwrap());
        let answer = kit
            .send_operator_request(&token, method.parse().unwrap(), &format!("/{path}"), body.clone())
            .await;
        assert!(matches!(answer.status, 200 | 201 | 204), "{route}: {} {}", answer.status, answer.body);
        assert!(latest().await > before, "{route} writes no audit event with its operator");
    }
    let mut known: Vec<_> = operations.iter().map(|(route, ..)| *route).chain(TESTED_ELSEWHERE).collect();
    let table = admin_routes();
    let changing = table.iter().filter(|route| route.method != Method::GET);
    let mut all: Vec<_> = changing
        .map(|route| format!("{} {}", route.method, route.path.trim_start_matches("/admin/v1/")))
        .collect();
    known.sort_unstable();
    all.sort_unstable();
    assert_eq!(known, all, "every operation must be listed here");
}

/// Sends `dry_run` where it is not supported, or where it has no effect. The operation must not be carried out.
async fn unsupported_dry_run_is_rejected_and_changes_nothing(kit: TestHub) {
    let tokens = kit.connect(&kit.acme()).await;
    let (other, _) = kit.create_operator_with_token("to-be-kept", "viewer").await;
    let acme = kit.acme().id;
    let before = kit.dump_admin_tables().await;
    for (method, path) in [
        (Method::POST, "/providers/1000/pause".to_owned()),
        (Method::POST, "/providers/1000/retire".into()),
        (Method::POST, format!("/recipients/{acme}/suspend")),
        (Method::POST, format!("/recipients/{acme}/secret")),
        (Method::POST, format!("/registrations/{acme}/1000/suspend")),
        (Method::POST, "/partners".into()),
        (Method::POST, "/operators".into()),
        (Method::DELETE, format!("/operators/{other}")),
    ] {
        let body = (path == "/partners").then(|| json!({"name": "New"}));
        let body = if path == "/operators" { Some(json!({"name": "new", "role": "viewer"})) } else { body };
        let answer = kit
            .send_operator_request(kit.admin_token(), method.clone(), &format!("{path}?dry_run=true"), body)
            .await;
        assert_eq!(
            (answer.status, &answer.json()["field"]),
            (400, &json!("dry_run")),
            "{method} {path}: {}",
            answer.body
        );
    }
    let within = Some(json!({"dry_run": true}));
    let recipient_step = |step: &str| (Method::POST, format!("/recipients/{acme}/{step}"));
    let partner_step = |step: &str| (Method::POST, format!("/partners/{}/{step}", kit.partner().id));
    let registration_step = |step: &str| (Method::POST, format!("/registrations/{acme}/1000/{step}"));
    let provider_step = |step: &str| (Method::POST, format!("/providers/1000/{step}"));
    for (method, path) in [
        (Method::POST, format!("/connections/{}/end", tokens.id)),
        (Method::DELETE, format!("/recipients/{acme}")),
        (Method::DELETE, format!("/operators/{other}")),
        (Method::POST, "/operators/bootstrap".into()),
        (Method::POST, "/jobs/job_1/retry".into()),
        (Method::POST, "/jobs/job_1/close".into()),
        recipient_step("secret"),
        recipient_step("suspend"),
        recipient_step("reinstate"),
        partner_step("secret"),
        partner_step("suspend"),
        partner_step("reinstate"),
        registration_step("approve"),
        registration_step("activate"),
        registration_step("suspend"),
        registration_step("reinstate"),
        provider_step("pause"),
        provider_step("release"),
        provider_step("retire"),
        provider_step("test"),
    ] {
        let answer =
            kit.send_operator_request(kit.admin_token(), method.clone(), &path, within.clone()).await;
        assert_eq!(
            (answer.status, &answer.json()["field"]),
            (400, &json!("dry_run")),
            "{method} {path}: {}",
            answer.body
        );
        let text = RawRequest::post(format!("/admin/v1{path}"), "text/plain", "dry_run=true")
            .method(method.as_str());
        let answer = kit.send_raw(&text.bearer(kit.admin_token())).await;
        assert_eq!(answer.status, 415, "{method} {path}: {}", answer.body);
    }
    assert_eq!(kit.dump_admin_tables().await, before, "nothing must change");
    assert_eq!(kit.load_end_cause(&tokens.id).await, None);
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
}

/// A credential that is sent to the socket is always checked, even if it is malformed: a mistake must not make the
/// caller an admin.
async fn malformed_credential_on_socket_returns_401(kit: TestHub) {
    let viewer = kit.create_operator_token("vera", "viewer").await;
    for credential in ["", "Bearer", "Bearer ", "Basic YTpi", "Negotiate x", viewer.as_str()] {
        let raw = RawRequest::get("/admin/v1/operators").header("authorization", credential);
        let socket = UnixStream::connect(kit.data_folder().join("admin.sock")).await.unwrap();
        assert_eq!(raw.send_over(socket).await.status, 401, "{credential:?}");
    }
    let repeated = RawRequest::get("/admin/v1/operators").bearer(&viewer).bearer(kit.admin_token());
    let socket = UnixStream::connect(kit.data_folder().join("admin.sock")).await.unwrap();
    assert_eq!(repeated.send_over(socket).await.status, 401);
    let latin = RawRequest::get("/admin/v1/operators").header("authorization", b"Bearer \xe9".to_vec());
    let socket = UnixStream::connect(kit.data_folder().join("admin.sock")).await.unwrap();
    assert_eq!(latin.send_over(socket).await.status, 401);
}

/// Imitates a foreign web page in a browser on the hub's machine, which uses DNS rebinding or cross-origin requests.
/// The page has no token, and must not read any response.
#[tokio::test]
async fn cross_origin_page_cannot_use_admin_api_on_loopback() {
    let kit = TestHub::new().await;
    let open = |headers: &HeaderMap| headers.keys().any(|name| name.as_str().starts_with("access-control-"));
    for route in admin_routes() {
        let path = route.path.replace(['{', '}'], "x");
        let from = |raw: RawRequest| {
            raw.header("origin", "https://evil.example.org")
                .header("sec-fetch-site", "cross-site")
                .header("x-forwarded-host", "evil.example.org")
                .header("cookie", "token=x")
        };
        let body = "name=x&role=admin";
        let post = RawRequest::post(path.clone(), "application/x-www-form-urlencoded", body);
        let answer = kit.send_raw(&from(post.method(route.method.as_str()))).await;
        assert_eq!(answer.status, 401, "{} {path}: {}", route.method, answer.body);
        assert!(!open(&answer.headers), "{path}");
        let preflight =
            RawRequest::new("OPTIONS", path.clone()).header("access-control-request-method", "DELETE");
        let answer = kit.send_raw(&from(preflight)).await;
        assert!(!open(&answer.headers) && answer.body.is_empty(), "{path}: {}", answer.body);
    }
}

/// Untrusted input in text logs must not create additional lines or terminal colours.
#[tokio::test]
async fn untrusted_input_cannot_forge_log_lines() {
    let site = HubProcess::new(None).await;
    site.initialize().await;
    let added = site.run(&["--json", "partner", "add", "--name", "Flock"]);
    let added: Value = serde_json::from_slice(&added.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let partner = TestClient {
        id: text(&added["partner"]["client_id"]),
        secret: text(&added["client_secret"]),
        redirect_uri: String::new(),
    };
    let _hub = site.serve(&["env", "BOWLINE_LOG__FORMAT=text"]).await;
    let address: SocketAddr = site.hub_url.trim_start_matches("http://").parse().unwrap();
    let own = site.api().request_token(&partner, &[("grant_type", "client_credentials")]).await.json();
    let token = text(&own["access_token"]);
    let evil = "x\n\u{1b}[31mFORGED\u{9b}2J";
    for body in [
        json!({evil: 1, "name": 5}),
        json!({"name": evil}),
        json!({"name": "a", "scope": evil, "redirect_uris": [evil]}),
        json!({"name": "a", "scope": SCOPE, "redirect_uris": [format!("https://a.example/{evil}")]}),
        json!({"name": "a", "x": {"y": evil}, "contacts": [{"email": evil}]}),
    ] {
        for body in [
            body.to_string(),
            body.to_string().replacen('{', &format!("{{{}:1,{}:2,", json!(evil), json!(evil)), 1),
        ] {
            let raw = RawRequest::post("/api/v1/recipients", "application/json", body).bearer(&token);
            let answer = raw.header("x-fapi-interaction-id", "x\u{1b}[31mFORGED").send_to(address).await;
            assert!((400..500).contains(&answer.status), "{}", answer.body);
        }
    }
    for target in [
        "/api/v1/authorize?state=%0a%1b[31mFORGED&client_id=%0aFORGED",
        "/%0a%1b[31mFORGED",
        "/consent/%0aFORGED",
    ] {
        RawRequest::get(target).send_to(address).await;
    }
    let form = "grant_type=%0a%1b[31mFORGED&client_id=%0aFORGED&client_secret=%1b[31mFORGED";
    RawRequest::post("/api/v1/token", "application/x-www-form-urlencoded", form).send_to(address).await;
    // The log is written in the background.
    let rejected = "request rejected";
    wait_until("the requests are logged", async || site.log().contains(rejected)).await;
    let log = site.log();
    assert!(!log.contains("\u{1b}[31mFORGED") && !log.contains('\u{9b}'), "{log:?}");
    assert!(!log.lines().any(|line| line.trim_start().starts_with("FORGED")), "{log}");
}

/// Characters that move the cursor of a terminal, change its title, or change the text direction.
const TERMINAL_ESCAPES: &str = "a\u{1b}[2J\u{1b}]0;b\u{7}\u{9b}31m\u{202e}c\u{200b}\r";

/// Starts a server that imitates a hub and puts terminal escapes into every response.
async fn start_malicious_hub() -> EndpointStub {
    EndpointStub::new(|call| {
        let thing = json!({"id": TERMINAL_ESCAPES, "client_id": TERMINAL_ESCAPES, "outcome": TERMINAL_ESCAPES, "token": TERMINAL_ESCAPES, "connections": TERMINAL_ESCAPES,
            "operator": {"id": TERMINAL_ESCAPES}, "client_secret": TERMINAL_ESCAPES, TERMINAL_ESCAPES: {TERMINAL_ESCAPES: [TERMINAL_ESCAPES]}, "list": [{TERMINAL_ESCAPES: TERMINAL_ESCAPES}],
            "items": [{"id": TERMINAL_ESCAPES, "state": [TERMINAL_ESCAPES]}], "next": TERMINAL_ESCAPES});
        match call.path.as_str() {
            path if path.ends_with("/unknown") => {
                let pairs = json!([{"client_id": TERMINAL_ESCAPES, "provider_id": TERMINAL_ESCAPES, "detail": TERMINAL_ESCAPES}]);
                json_response(404, &json!({"detail": TERMINAL_ESCAPES, "pairs": pairs}))
            }
            path if path.ends_with("/strange") => json_response(500, &json!({"detail": TERMINAL_ESCAPES})),
            _ => json_response(200, &thing),
        }
    })
    .await
}

#[tokio::test]
async fn terminal_escapes_in_server_output_are_escaped() {
    let hub = start_malicious_hub().await;
    for arguments in [
        &["connection", "list"][..],
        &["connection", "show", "con_1"],
        &["connection", "show", "unknown"],
        &["connection", "show", "strange"],
        &["connection", "end", "con_1"],
        &["audit", "list"],
        &["operator", "list"],
        &["operator", "add", "--name", "x", "--role", "viewer"],
        &["partner", "secret", "pt-1"],
        &["provider", "show", "1"],
        &["recipient", "remove", "dc-1"],
        &["recipient", "remove", "\u{1b}[2J"],
        &["registration", "list"],
        &["job", "list"],
    ] {
        for json in [&[][..], &["--json"]] {
            let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_bowline"));
            let connection_args = ["--url", hub.url.as_str(), "--token", "x"];
            let done = command.args([json, arguments, &connection_args].concat()).output().await.unwrap();
            let output = [done.stdout, done.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
            assert!(!output.trim().is_empty(), "{arguments:?}");
            let moves = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202e}' | '\u{200b}');
            assert!(!output.chars().any(moves), "{arguments:?} {json:?}: {output:?}");
            if !json.is_empty() && done.status.success() {
                let read: Value = serde_json::from_str(output.trim()).unwrap();
                assert!(
                    read.to_string().contains("\u{202e}"),
                    "JSON output contains the original value: {read}"
                );
            }
        }
    }
}
