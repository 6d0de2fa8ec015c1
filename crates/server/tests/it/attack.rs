//! What a stranger tries who has nothing but a keyboard.

use std::os::unix::fs::PermissionsExt;

use bowline::cli::Sent;
use http::{Method, header};

use crate::kit::{Kit, Site, on_both, parameter};

on_both!(a_state_that_cannot_be_given_back_is_refused);

async fn a_state_that_cannot_be_given_back_is_refused(kit: Kit) {
    let acme = kit.acme();
    let asked = |state: String| {
        let mut query = Kit::ask(&acme);
        query.retain(|(name, _)| *name != "state");
        query.push(("state", state));
        query
    };
    for bad in ["a\0b".to_owned(), "a\r\nSet-Cookie: x".to_owned(), "x".repeat(4097)] {
        let answer = kit.authorize(&asked(bad)).await;
        let back = answer.location.unwrap_or_else(|| panic!("{}: {}", answer.status, answer.body));
        assert_eq!(parameter(&back, "error").as_deref(), Some("invalid_request"));
    }
    for good in ["x".repeat(4096), "é / = \"\\".to_owned()] {
        assert_eq!(kit.authorize(&asked(good)).await.status, 303);
    }
}

#[tokio::test]
async fn a_flood_of_fields_is_refused_before_anything_is_looked_up() {
    let kit = Kit::new().await;
    let fields: Vec<(String, String)> = (0..5_000).map(|n| (format!("{n:x}"), String::new())).collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let answer = kit.send(Sent::new(Method::POST, &kit.url("/api/v1/token")).form(&fields)).await;
    assert_eq!(answer.json()["error_description"], "The request has more than 64 fields");
}

#[tokio::test]
async fn what_is_written_is_its_owners_alone() {
    let kit = Kit::new().await;
    kit.connect(&kit.acme()).await;
    let files: Vec<_> = std::fs::read_dir(kit.data_folder()).unwrap().map(Result::unwrap).collect();
    for name in ["bowline.db", "bowline.db-wal", "bowline.keys", "maple.jsonl", "maple.secret", "seed"] {
        assert!(files.iter().any(|file| file.file_name() == name), "{name} is not there");
    }
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has the mode {mode:o}", file.path().display());
    }
}

/// A page that sends a browser to `authorize` again and again must not fill its cookies: a header that is too
/// large would lock it out of the whole hub.
#[tokio::test]
async fn a_browser_is_not_filled_with_cookies() {
    let kit = Kit::new().await;
    let query = Kit::ask(&kit.acme());
    let (mut made, mut forgotten) = (0, 0);
    for _ in 0..30 {
        let answer = kit.authorize(&query).await;
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            if cookie.to_str().unwrap().contains("Max-Age=0") { forgotten += 1 } else { made += 1 }
        }
    }
    assert_eq!((made, forgotten), (30, 10), "the newest twenty are kept");
    kit.connect(&kit.acme()).await;
}

/// Somebody's own code from the bank, put into another's visit: the verifier towards the bank does not fit.
#[tokio::test]
async fn a_banks_code_of_another_visit_opens_nothing() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let callback = async || {
        let (at, page) = kit.up_to_accounts(&Kit::ask(&acme), "alice").await;
        let token = bowline::cli::hidden(&page.body, "form_token").unwrap();
        let chosen = [("form_token", token.as_str()), ("accounts", "mt-alice-card"), ("decision", "approve")];
        kit.send(Sent::new(Method::POST, &at).form(&chosen)).await.location.unwrap()
    };
    let (own, others) = (callback().await, callback().await);
    let code = |of: &str| parameter(of, "code").unwrap();
    let injected = others.replace(&code(&others), &code(&own));
    let back = kit.send(Sent::new(Method::GET, &injected)).await.location.unwrap();
    assert_eq!(parameter(&back, "error").as_deref(), Some("server_error"), "{back}");
    assert_eq!(parameter(&back, "code"), None);
}

#[tokio::test]
async fn what_others_keep_in_the_environment_is_never_shown() {
    use std::os::unix::ffi::OsStrExt;
    let site = Site::new(None).await;
    let secret = std::ffi::OsStr::from_bytes(b"somebody's secret \xff");
    let checked = site.command(&[], &["config", "check"]).env("OTHERS_SECRET", secret).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && !said.contains("secret"), "{said}");
}
