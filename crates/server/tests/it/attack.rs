//! Tests of attacks by clients without credentials, such as injected codes, unbounded input and readable files.

use std::os::unix::fs::PermissionsExt;

use bowline::cli::BrowserRequest;
use http::Method;

use crate::support::{HubProcess, TestHub, on_both, query_parameter};

on_both!(authorize_rejects_state_with_controls_or_too_long);

async fn authorize_rejects_state_with_controls_or_too_long(kit: TestHub) {
    let acme = kit.acme();
    let query_with_state = |state: String| {
        let mut query = TestHub::build_authorization_query(&acme);
        query.retain(|(name, _)| *name != "state");
        query.push(("state", state));
        query
    };
    for bad in ["a\0b".to_owned(), "a\r\nSet-Cookie: x".to_owned(), "x".repeat(1501)] {
        let answer = kit.authorize(&query_with_state(bad)).await;
        let back = answer.location.unwrap_or_else(|| panic!("{}: {}", answer.status, answer.body));
        assert_eq!(query_parameter(&back, "error").as_deref(), Some("invalid_request"));
    }
    for good in ["x".repeat(1500), "é / = \"\\".to_owned()] {
        assert_eq!(kit.authorize(&query_with_state(good)).await.status, 303);
    }
}

#[tokio::test]
async fn token_request_with_too_many_fields_is_rejected() {
    let kit = TestHub::new().await;
    let fields: Vec<(String, String)> = (0..5_000).map(|n| (format!("{n:x}"), String::new())).collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let answer = kit.send(BrowserRequest::new(Method::POST, &kit.url("/api/v1/token")).form(&fields)).await;
    assert_eq!(answer.json()["error_description"], "The request has more than 64 fields");
}

#[tokio::test]
async fn data_files_are_owner_readable_only() {
    let kit = TestHub::new().await;
    kit.connect(&kit.acme()).await;
    let files: Vec<_> = std::fs::read_dir(kit.data_folder()).unwrap().map(Result::unwrap).collect();
    for name in
        ["bowline.db", "bowline.db-wal", "bowline.keys", "maple.jsonl", "maple.secret", "identity.json"]
    {
        assert!(files.iter().any(|file| file.file_name() == name), "{name} does not exist");
    }
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has the mode {mode:o}", file.path().display());
    }
}

/// An attacker injects a provider code of the attacker's own flow into a victim's flow. The PKCE verifier must not
/// match.
#[tokio::test]
async fn code_injected_from_other_flow_is_rejected() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let callback = async || {
        let (at, page) = kit.reach_account_page(&TestHub::build_authorization_query(&acme), "alice").await;
        let token = bowline::cli::find_hidden_field(&page.body, "csrf_token").unwrap();
        let chosen = [("csrf_token", token.as_str()), ("accounts", "mt-alice-card"), ("decision", "approve")];
        kit.send(BrowserRequest::new(Method::POST, &at).form(&chosen)).await.location.unwrap()
    };
    let (own, others) = (callback().await, callback().await);
    let code = |of: &str| query_parameter(of, "code").unwrap();
    let injected = others.replace(&code(&others), &code(&own));
    let back = kit.send(BrowserRequest::new(Method::GET, &injected)).await.location.unwrap();
    assert_eq!(query_parameter(&back, "error").as_deref(), Some("server_error"), "{back}");
    assert_eq!(query_parameter(&back, "code"), None);
}

#[tokio::test]
async fn unrelated_environment_variables_are_not_printed() {
    use std::os::unix::ffi::OsStrExt;
    let site = HubProcess::new(None).await;
    let secret = std::ffi::OsStr::from_bytes(b"another user's secret \xff");
    let checked = site.command(&[], &["config", "check"]).env("OTHERS_SECRET", secret).output().unwrap();
    let stderr = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && !stderr.contains("secret"), "{stderr}");
}
