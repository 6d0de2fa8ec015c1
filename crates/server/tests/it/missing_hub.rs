//! Tests of commands where no hub exists: they name the places that they searched, and write nothing.

use std::path::Path;
use std::process::Command;

use bowline::vault::KeyFile;

use crate::server_process::decode_output;
use crate::support::{HubProcess, create_durable_database};

/// Commands of every kind that needs an existing hub: reading, changing and creating ones.
const HUB_COMMANDS: [&[&str]; 19] = [
    &["partner", "list"],
    &["partner", "add", "--name", "Flock"],
    &["recipient", "list"],
    &["recipient", "show", "dc-1"],
    &["recipient", "remove", "dc-1", "--dry-run"],
    &["recipient", "update", "dc-1", "--redirect-uri", "https://app.example.org/back"],
    &["provider", "list"],
    &["provider", "test", "1000"],
    &["provider", "pause", "1000"],
    &["registration", "list"],
    &["registration", "approve", "dc-1", "1000"],
    &["connection", "list"],
    &["connection", "show", "con_1"],
    &["connection", "end", "con_1"],
    &["job", "list"],
    &["job", "retry", "job_1"],
    &["audit", "list"],
    &["operator", "list"],
    &["operator", "bootstrap"],
];

/// Runs a command in a folder, without configuration from environment variables. Returns its exit code, output and
/// errors.
fn run_in(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bowline"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BOWLINE_")) {
        command.env_remove(name);
    }
    decode_output(&command.args(arguments).current_dir(folder).output().unwrap())
}

/// Lists everything in a folder, with the sizes of files.
fn list_files(folder: &Path) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let mut files: Vec<_> = entries
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.metadata().unwrap().len()))
        .collect();
    files.sort();
    files
}

#[test]
fn command_in_empty_folder_fails_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().canonicalize().unwrap().join(name).display().to_string();
    let places = [path("data/admin.sock"), path("data/bowline.db"), path("bowline.toml")];

    for arguments in HUB_COMMANDS {
        let (code, printed, error) = run_in(folder.path(), arguments);

        assert_eq!((code, &*printed), (Some(3), ""), "{arguments:?}: {error}");
        for expected in places.iter().map(String::as_str).chain(["--config", "--url", "`bowline serve`"]) {
            assert!(error.contains(expected), "{arguments:?}: {expected:?} is missing: {error}");
        }
        assert_eq!(list_files(folder.path()), [], "{arguments:?} wrote something");
    }
}

#[tokio::test]
async fn command_before_first_start_names_configuration() {
    let site = HubProcess::new(None).await;
    let before = site.files();

    let (code, _, error) = decode_output(&site.run(&["connection", "list"]));

    assert_eq!(code, Some(3), "{error}");
    for place in [site.path("bowline.toml"), site.path("hub.db"), site.socket()] {
        assert!(error.contains(&place.display().to_string()), "{error}");
    }
    assert_eq!(site.files(), before);
}

#[test]
fn diagnostics_in_empty_folder_write_nothing() {
    let folder = tempfile::tempdir().unwrap();

    for (arguments, expected) in [
        (&["doctor"][..], 1),
        (&["--json", "doctor"], 1),
        (&["config", "check"], 0),
        (&["config", "show"], 0),
        (&["openapi", "flinks"], 0),
        (&["serve", "--listen", "nowhere"], 2),
    ] {
        let (code, _, error) = run_in(folder.path(), arguments);

        assert_eq!(code, Some(expected), "{arguments:?}: {error}");
        assert_eq!(list_files(folder.path()), [], "{arguments:?} wrote something");
    }
}

#[test]
fn migrate_creates_sqlite_store_without_key_file() {
    let folder = tempfile::tempdir().unwrap();

    let (code, _, error) = run_in(folder.path(), &["migrate"]);
    let (listed, _, message) = run_in(folder.path(), &["connection", "list"]);

    assert_eq!(code, Some(0), "{error}");
    assert!(folder.path().join("data/bowline.db").exists());
    assert!(
        listed == Some(2) && message.contains("the first start of `bowline serve` creates it"),
        "{message}"
    );
    assert!(!folder.path().join("data/bowline.keys").exists());
}

#[test]
fn empty_sqlite_file_is_not_used_as_store() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/bowline.db"), "").unwrap();

    let (code, _, error) = run_in(folder.path(), &["connection", "list"]);

    assert!(code == Some(2) && error.contains("bowline migrate"), "{error}");
    assert!(!folder.path().join("data/bowline.keys").exists());
}

#[tokio::test]
async fn commands_create_neither_postgres_schema_nor_key_file() {
    let site = HubProcess::new(Some(&create_durable_database().await)).await;

    let (unmigrated, _, no_schema) = decode_output(&site.run(&["connection", "list"]));
    let (served, _, no_schema_for_serve) = decode_output(&site.run(&["serve"]));
    let migrated = site.run(&["migrate"]);
    let (unserved, _, no_keys) = decode_output(&site.run(&["connection", "list"]));

    assert!(unmigrated == Some(2) && no_schema.contains("run `bowline migrate`"), "{no_schema}");
    assert!(served == Some(2) && no_schema_for_serve.contains("run `bowline migrate`"));
    assert!(migrated.status.success());
    assert!(unserved == Some(2) && no_keys.contains("the first start of `bowline serve`"), "{no_keys}");
    assert!(!site.path("hub.keys").exists());
}

async fn assert_lost_key_file_is_not_replaced(database: Option<&str>) {
    let site = HubProcess::new(database).await;
    site.initialize().await;
    std::fs::remove_file(site.path("hub.keys")).unwrap();

    for arguments in [&["connection", "list"][..], &["recipient", "list"], &["serve"]] {
        let (code, _, error) = decode_output(&site.run(arguments));

        assert!(code == Some(2) && error.contains("restore it from a backup"), "{arguments:?}: {error}");
        assert!(!site.path("hub.keys").exists(), "{arguments:?} created a key file");
    }
}

#[tokio::test]
async fn lost_key_file_is_not_replaced_sqlite() {
    assert_lost_key_file_is_not_replaced(None).await;
}

#[tokio::test]
async fn lost_key_file_is_not_replaced_postgres() {
    assert_lost_key_file_is_not_replaced(Some(&create_durable_database().await)).await;
}

#[tokio::test]
async fn command_with_other_key_file_is_rejected() {
    let site = HubProcess::new(None).await;
    site.initialize().await;
    std::fs::remove_file(site.path("hub.keys")).unwrap();
    KeyFile::open_or_create(&site.path("hub.keys"), || Ok([7; 32])).unwrap();

    let (code, _, error) = decode_output(&site.run(&["connection", "list"]));

    assert!(code == Some(2) && error.contains("belongs to another key file"), "{error}");
}

// `doctor` calls the bank, which runs in this process, so the test must not block its only thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_on_existing_store_creates_no_lock_file() {
    let site = HubProcess::new(None).await;
    site.initialize().await;
    std::fs::remove_file(site.path("bowline.lock")).unwrap();

    let (code, _, error) = decode_output(&site.run(&["doctor"]));

    assert_eq!(code, Some(0), "{error}");
    assert!(!site.path("bowline.lock").exists());
}
