//! Tests of the admin socket: local users are authenticated by their user id, network clients never are.

use std::os::unix::fs::PermissionsExt;

use bowline::cli::{BrowserResponse, SandboxArgs, SandboxEnvironment};
use bowline::clock::Clock;
use bowline::router::admin_routes;
use serde_json::json;
use tokio::net::UnixStream;

use crate::support::{RawRequest, TestHub, on_both};

on_both!(
    socket_peer_with_hub_user_needs_no_token,
    token_on_socket_determines_the_role,
    cli_ends_connection_with_sandbox_configuration
);

impl TestHub {
    /// Sends a request through the admin socket.
    async fn send_over_admin_socket(&self, raw: &RawRequest) -> BrowserResponse {
        raw.send_over(UnixStream::connect(self.data_folder().join("admin.sock")).await.unwrap()).await
    }
}

async fn socket_peer_with_hub_user_needs_no_token(kit: TestHub) {
    let tokens = kit.connect(&kit.acme()).await;
    assert_eq!(
        kit.send_over_admin_socket(&RawRequest::get("/admin/v1/operators")).await.status,
        200,
        "the local user is an admin"
    );
    let ended = kit
        .send_over_admin_socket(&RawRequest::new("POST", format!("/admin/v1/connections/{}/end", tokens.id)))
        .await;
    assert_eq!(
        ended.json()["connection"]["actor"],
        json!({"kind": "operator", "id": "cli"}),
        "{}",
        ended.body
    );
    let added = json!({"name": "ann", "role": "viewer"}).to_string();
    let added =
        kit.send_over_admin_socket(&RawRequest::post("/admin/v1/operators", "application/json", added)).await;
    assert_eq!(added.status, 201, "{}", added.body);
    for path in ["/api/v1/token", "/", "/metrics"] {
        assert_eq!(
            kit.send_over_admin_socket(&RawRequest::get(path)).await.status,
            404,
            "{path} is not an admin route"
        );
    }
}

async fn token_on_socket_determines_the_role(kit: TestHub) {
    let viewer = kit.create_operator_token("ann", "viewer").await;
    for (token, status) in [(viewer.as_str(), 403), ("nobodys", 401)] {
        let answer = kit.send_over_admin_socket(&RawRequest::get("/admin/v1/operators").bearer(token)).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    assert_eq!(
        kit.send_over_admin_socket(&RawRequest::get("/admin/v1/jobs").bearer(&viewer)).await.status,
        200
    );
}

async fn cli_ends_connection_with_sandbox_configuration(kit: TestHub) {
    let tokens = kit.connect(&kit.acme()).await;
    let id = tokens.id.to_string();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_bowline"));
    command.arg("--config").arg(kit.data_folder().join("bowline.toml"));
    let ended = command.args(["connection", "end", &*id]).output().await.unwrap();
    let (printed, error) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_eq!(printed, format!("{id}  ended\n"), "{error}");
    assert_eq!(kit.read("/accounts", &tokens.access).await.json()["code"], 602);
}

#[tokio::test]
async fn network_request_is_never_treated_as_local_user() {
    let kit = TestHub::new().await;
    let own = kit.data_folder().join("admin.sock").display().to_string();
    for route in admin_routes() {
        let raw = RawRequest::new(route.method.as_str(), route.path.replace(['{', '}'], "x"))
            .header("x-forwarded-for", "127.0.0.1")
            .header("forwarded", "for=unix")
            .header("x-local-peer", "0")
            .header("x-real-ip", own.as_str());
        let answer = kit.send_raw(&raw).await;
        assert_eq!(answer.status, 401, "{} {}: {}", route.method, route.path, answer.body);
        let answer = kit.send_raw(&raw.header("authorization", "Negotiate 0")).await;
        assert_eq!(answer.status, 401, "{} {}: {}", route.method, route.path, answer.body);
    }
}

#[tokio::test]
async fn sandbox_in_world_writable_folder_creates_no_socket() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let args = SandboxArgs::with_free_ports(folder.path().to_owned(), None);
    let world = SandboxEnvironment::start(&args, Clock::system()).await.unwrap();
    assert!(!folder.path().join("admin.sock").exists());
    world.stop().await;
}

#[tokio::test]
async fn socket_is_removed_on_clean_shutdown() {
    let kit = TestHub::new().await;
    let socket = kit.data_folder().join("admin.sock");
    assert!(socket.exists());
    let (world, folder) = kit.into_parts();
    world.stop().await;
    assert!(!socket.exists(), "the folder can be removed afterwards: {folder:?}");
}
