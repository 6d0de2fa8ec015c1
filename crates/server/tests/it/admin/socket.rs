//! The hub's own socket: who comes through it, and that nobody else can seem to.

use std::os::unix::fs::PermissionsExt;

use bowline::app::Clock;
use bowline::cli::{Answer, SandboxArgs, World};
use bowline::web::admin_table;
use serde_json::json;
use tokio::net::UnixStream;

use crate::kit::{Kit, Raw, on_both};

on_both!(
    the_hubs_own_user_needs_no_token,
    a_token_counts_for_what_it_is,
    the_sandboxs_hub_is_reached_by_the_configuration_that_it_wrote
);

impl Kit {
    /// Sends a request through the hub's own socket.
    async fn locally(&self, raw: &Raw) -> Answer {
        raw.sent_over(UnixStream::connect(self.data_folder().join("admin.sock")).await.unwrap()).await
    }
}

async fn the_hubs_own_user_needs_no_token(kit: Kit) {
    let tokens = kit.connect(&kit.acme()).await;
    assert_eq!(kit.locally(&Raw::get("/admin/v1/operators")).await.status, 200, "an admin");
    let ended = kit.locally(&Raw::new("POST", format!("/admin/v1/connections/{}/end", tokens.id))).await;
    assert_eq!(
        ended.json()["connection"]["actor"],
        json!({"kind": "operator", "id": "cli"}),
        "{}",
        ended.body
    );
    let added = json!({"name": "ann", "role": "viewer"}).to_string();
    let added = kit.locally(&Raw::post("/admin/v1/operators", "application/json", added)).await;
    assert_eq!(added.status, 201, "{}", added.body);
    for path in ["/api/v1/token", "/", "/metrics"] {
        assert_eq!(kit.locally(&Raw::get(path)).await.status, 404, "{path} is not the operators'");
    }
}

async fn a_token_counts_for_what_it_is(kit: Kit) {
    let viewer = kit.operator("ann", "viewer").await;
    for (token, status) in [(viewer.as_str(), 403), ("nobodys", 401)] {
        let answer = kit.locally(&Raw::get("/admin/v1/operators").bearer(token)).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    assert_eq!(kit.locally(&Raw::get("/admin/v1/jobs").bearer(&viewer)).await.status, 200);
}

async fn the_sandboxs_hub_is_reached_by_the_configuration_that_it_wrote(kit: Kit) {
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
async fn over_the_network_nobody_comes_from_the_machine() {
    let kit = Kit::new().await;
    let own = kit.data_folder().join("admin.sock").display().to_string();
    for route in admin_table() {
        let raw = Raw::new(route.method.as_str(), route.path.replace(['{', '}'], "x"))
            .header("x-forwarded-for", "127.0.0.1")
            .header("forwarded", "for=unix")
            .header("x-local-peer", "0")
            .header("x-real-ip", own.as_str());
        let answer = kit.wire(&raw).await;
        assert_eq!(answer.status, 401, "{} {}: {}", route.method, route.path, answer.body);
        let answer = kit.wire(&raw.header("authorization", "Negotiate 0")).await;
        assert_eq!(answer.status, 401, "{} {}: {}", route.method, route.path, answer.body);
    }
}

#[tokio::test]
async fn a_sandbox_in_a_folder_where_others_write_goes_without() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let args = SandboxArgs::on_free_ports(folder.path().to_owned(), None);
    let world = World::start(&args, Clock::system()).await.unwrap();
    assert!(!folder.path().join("admin.sock").exists());
    world.stop().await;
}

#[tokio::test]
async fn the_socket_goes_with_a_clean_stop() {
    let kit = Kit::new().await;
    let socket = kit.data_folder().join("admin.sock");
    assert!(socket.exists());
    let (world, folder) = kit.left();
    world.stop().await;
    assert!(!socket.exists(), "and only then the folder goes: {folder:?}");
}
