//! Tests that a sandbox uses only what it created, and that other machines cannot reach its listeners.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bowline::cli::{BrowserRequest, SandboxArgs, SandboxEnvironment};
use bowline::clock::Clock;
use http::Method;
use serde_json::json;

use crate::support::{HubProcess, RawRequest, TestHub, create_database, sql};

/// Runs `bowline sandbox` on a folder or store that it must refuse, and returns the error.
fn run_refused_sandbox(data: &Path, arguments: &[&str]) -> String {
    let output = run_sandbox(data, arguments);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn run_sandbox(data: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bowline"));
    command.args(["sandbox", "--json", "--port", "0", "--data"]).arg(data).args(arguments);
    command.output().unwrap()
}

/// Returns the names and contents of all files in a folder.
fn read_files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sandbox_refuses_files_and_stores_that_it_did_not_create() {
    let site = HubProcess::new(None).await;
    site.initialize().await;
    let store = format!("sqlite:{}", site.path("hub.db").display());
    let database = create_database().await;
    let other_site = HubProcess::new(Some(&database)).await;
    other_site.initialize().await;
    let parent = tempfile::tempdir().unwrap();
    let empty = parent.path().join("sandbox");
    let hub_folder = site.path("hub.db").parent().unwrap().to_owned();
    let before = read_files(&hub_folder);

    let in_hub_folder = run_refused_sandbox(&hub_folder, &[]);
    let on_hub_file = run_refused_sandbox(&empty, &["--store", &store]);
    let on_hub_database = run_refused_sandbox(&empty, &["--store", &database]);

    assert!(in_hub_folder.contains("--data: ") && in_hub_folder.contains("did not write"), "{in_hub_folder}");
    for refused in [on_hub_file, on_hub_database] {
        assert!(refused.contains("was not created by `bowline sandbox`"), "{refused}");
    }
    assert!(!empty.exists(), "nothing was written");
    assert!(read_files(&hub_folder) == before, "no file was changed");
    assert_eq!(site.run(&["recipient", "list"]).status.code(), Some(0), "the hub still works");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sandbox_refuses_database_with_other_tables() {
    let folder = tempfile::tempdir().unwrap();
    let [file, data] = ["other.db", "data"].map(|name| folder.path().join(name));
    rusqlite::Connection::open(&file).unwrap().execute("CREATE TABLE notes (text TEXT)", []).unwrap();
    let database = create_database().await;
    sql(&database, "CREATE TABLE notes (text TEXT)").await;

    for store in [format!("sqlite:{}", file.display()), database.clone()] {
        let refused = run_refused_sandbox(&data, &["--store", &store]);
        assert!(refused.contains("tables of another program"), "{refused}");
    }

    let tables = sql(&database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'").await;
    assert_eq!(tables, ["notes"]);
    assert!(!data.exists(), "nothing was written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_sandbox_changes_no_file_of_the_first() {
    let database = create_database().await;
    for store in [None, Some(database)] {
        let args = SandboxArgs::with_free_ports(tempfile::tempdir().unwrap().keep(), store.clone());
        let running = SandboxEnvironment::start(&args, Clock::system()).await.unwrap();
        let before = read_files(&args.data).remove(&args.data.join("bowline.toml"));
        let parent = tempfile::tempdir().unwrap();
        let other = parent.path().join("other");

        match &store {
            None => {
                let output = run_sandbox(&args.data, &[]);
                assert_eq!(output.status.code(), Some(3), "{output:?}");
            }
            Some(store) => {
                let refused = run_refused_sandbox(&other, &["--store", store]);
                assert!(refused.contains("a sandbox with another folder"), "{refused}");
            }
        }

        assert!(read_files(&args.data).remove(&args.data.join("bowline.toml")) == before);
        assert!(!other.exists(), "nothing was written");
        running.stop().await;
        std::fs::remove_dir_all(&args.data).unwrap();
    }
}

/// A page of another site whose name resolves to 127.0.0.1 (DNS rebinding) must not reach the sandbox.
#[tokio::test]
async fn loopback_listeners_reject_hosts_of_other_machines() {
    let kit = TestHub::new().await;
    let address = |origin: &str| origin.strip_prefix("http://").unwrap().parse::<SocketAddr>().unwrap();
    let world = &kit.world;
    let listeners = [
        (world.node.address, "/.well-known/oauth-authorization-server"),
        (world.node.admin, "/admin/v1/recipients"),
        (world.node.probes, "/readyz"),
        (address(&world.demo), "/"),
        (address(&world.maple().url), "/faults"),
    ];

    for (address, path) in listeners {
        let send = |host: &str| {
            let request = RawRequest::get(path).header("host", host);
            async move { request.send_to(address).await.status }
        };
        assert_eq!(send("attacker.example").await, 421, "{path}");
        assert_eq!(send(&format!("attacker.example:{}", address.port())).await, 421, "{path}");
        for host in ["localhost", "127.0.0.1:1", "[::1]"] {
            assert!(![0, 421].contains(&send(host).await), "{path} with host {host}");
        }
    }
}

#[tokio::test]
async fn node_is_not_ready_after_its_store_changed_its_purpose() {
    let kit = TestHub::new().await;
    let url = format!("http://{}/readyz", kit.world.node.probes);
    let readiness = || async { kit.send(BrowserRequest::new(Method::GET, &url)).await };
    assert_eq!(readiness().await.status, 200);

    kit.sql("DELETE FROM store_metadata WHERE name = 'sandbox'").await;

    let changed = readiness().await;
    assert_eq!((changed.status, &changed.json()["checks"]["purpose"]), (503, &json!(false)));
}
