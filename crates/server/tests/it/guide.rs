//! Tests that the scripts of the guides run, one after the other, as a reader would run them.

use std::path::Path;
use std::process::{Command, Stdio};

/// Returns the scripts of a guide as one script that uses the program under test.
fn load_script(guide: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide").join(guide);
    let text = std::fs::read_to_string(path).unwrap();
    let fences = text.split("```").skip(1).step_by(2);
    let scripts: Vec<_> = fences.filter_map(|fence| fence.strip_prefix("sh\n")).collect();
    assert!(scripts.len() >= 3, "the guide has scripts: {scripts:?}");
    let script = scripts.concat();
    assert!(script.contains("cargo run --release -- sandbox"), "{script}");
    script.replace("cargo run --release --", env!("CARGO_BIN_EXE_bowline"))
}

#[test]
fn scripts_of_developer_guide_connect_read_revoke_and_register() {
    let folder = tempfile::tempdir().unwrap();
    // The guide leaves the sandbox running.
    let script = format!("trap 'kill $SANDBOX; wait $SANDBOX' EXIT\n{}", load_script("develop.md"));

    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(&folder)
        .env("TMPDIR", folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();

    let shown = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let found = |text: &str| shown.find(text).unwrap_or_else(|| panic!("no {text}: {shown}\n{errors}"));
    // The customer chose one account, which the app reads until the connection has ended.
    let steps = [
        found(r#""accounts":[{"#),
        found("HTTP/1.1 204"),
        found("HTTP/1.1 401"),
        found(r#""code":602"#),
        found(r#""state":"active""#),
    ];
    assert!(steps.is_sorted(), "{shown}");
}
