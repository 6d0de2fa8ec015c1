//! A property-based run of the documents against a running world, by a tool that was not written here
//! (schemathesis): no 500, no status, header or body that is not documented, no bad input that is taken.

use std::fmt::Write as _;
use std::process::Stdio;

use bowline::openapi::Document;
use http::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::kit::Kit;
use crate::whole::callers::EVERYTHING;

/// What ends, deletes or replaces something, by operation.
const ENDING: &str = "(?i)^(revoke|end|delete|remove|regenerate|retire|close)";

/// The checks that know no other refusal of a bearer than 401 and 403: on the Flinks face it is 400. Every route
/// with every wrong bearer is asked in `whole`.
const LAXER: &[&str] = &["--exclude-checks", "ignored_auth,missing_required_header"];

/// A kit that nobody is limited in.
async fn kit() -> Kit {
    let limits = [
        "limit.recipient",
        "limit.connection",
        "limit.provider",
        "limit.token",
        "limit.revoke",
        "limit.failed_authentication",
    ];
    Kit::with(&limits.map(|limit| (limit, "0"))).await
}

/// Tokens by security scheme, and values of parameters that exist.
struct Given {
    tokens: Vec<(&'static str, String)>,
    values: Vec<(&'static str, Value)>,
}

impl Given {
    /// The configuration of a run.
    fn configuration(&self) -> String {
        let mut text = include_str!("schemathesis.toml").to_owned();
        for (scheme, token) in &self.tokens {
            write!(text, "\n[auth.openapi.{scheme}]\nbearer = {token:?}\n").unwrap();
        }
        let mut parameters = "\n[parameters]\n".to_owned();
        for (nth, (name, values)) in self.values.iter().enumerate() {
            write!(text, "\n[dictionaries.d{nth}]\nvalues = {values}\n").unwrap();
            writeln!(parameters, "{name:?} = {{ dictionary = \"d{nth}\", probability = 0.6 }}").unwrap();
        }
        text + &parameters
    }
}

/// Runs the tool over the operations of a document whose names are as is told.
async fn run(kit: &Kit, document: Document, given: &Given, arguments: &[&str]) {
    let served_at = match document {
        Document::Admin => format!("http://{}", kit.world.node.admin),
        Document::Flinks | Document::Fdx => kit.url(""),
    };
    let folder = kit.data_folder().join("schemathesis");
    std::fs::create_dir_all(&folder).unwrap();
    let configuration = folder.join("schemathesis.toml");
    std::fs::write(&configuration, given.configuration()).unwrap();
    let program = std::env::var("BOWLINE_TEST_SCHEMATHESIS").unwrap();
    let ran = Command::new(program)
        .arg("--config-file")
        .arg(&configuration)
        .args(["run", &kit.url(document.path()), "--url", &served_at])
        .args(["--checks", "all", "--phases", "examples,coverage,fuzzing", "--no-color"])
        .args(arguments)
        .current_dir(&folder)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{told}\n{}", String::from_utf8_lossy(&ran.stderr));
    println!("{told}");
}

#[tokio::test]
async fn the_data_face_keeps_to_its_document() {
    let kit = kit().await;
    let acme = kit.acme();
    let tokens = kit.connect_at(1000, &acme, "alice", &[], EVERYTHING).await;
    let given = Given {
        tokens: vec![("connectionToken", tokens.access.clone())],
        values: vec![
            ("path.account_id", json!([kit.account_id(&tokens.access).await])),
            ("path.statement_id", json!([kit.statement_id(&tokens.access).await])),
        ],
    };
    run(&kit, Document::Fdx, &given, &[]).await;
}

/// A world in which every operation of the Flinks face has something to do. What is to end is not what the tokens
/// are of.
async fn managed(kit: &Kit, ending: bool) -> Given {
    let (acme, partner) = (kit.acme(), kit.client_token(&kit.partner()).await);
    let tokens = kit.connect_at(1000, &acme, "alice", &[], EVERYTHING).await;
    let client_id = if ending { kit.created(&partner).await.id } else { acme.id.clone() };
    Given {
        tokens: vec![
            ("connectionToken", tokens.access.clone()),
            ("recipientToken", kit.client_token(&acme).await),
            ("partnerToken", partner),
        ],
        values: vec![
            ("path.client_id", json!([client_id])),
            ("path.recipient_ids", json!([client_id])),
            ("path.connection_id", json!([tokens.id])),
            ("path.provider_id", json!([1000, 2000])),
            ("path.provider_ids", json!(["1000", "1000,2000"])),
            ("query.client_id", json!([acme.id])),
            ("query.redirect_uri", json!([acme.redirect_uri])),
            ("body.client_id", json!([acme.id])),
            ("body.client_secret", json!([acme.secret])),
            ("body.refresh_token", json!([tokens.refresh])),
        ],
    }
}

#[tokio::test]
async fn the_flinks_face_keeps_to_its_document() {
    let kit = kit().await;
    let given = managed(&kit, false).await;
    run(&kit, Document::Flinks, &given, &[LAXER, &["--exclude-operation-id-regex", ENDING]].concat()).await;
}

#[tokio::test]
async fn what_ends_something_keeps_to_its_document() {
    let kit = kit().await;
    let given = managed(&kit, true).await;
    run(&kit, Document::Flinks, &given, &[LAXER, &["--include-operation-id-regex", ENDING]].concat()).await;
}

/// A world in which every operation of the operators' API has something to do. Whoever asks is not removed.
async fn operated(kit: &Kit) -> Given {
    let (acme, partner) = (kit.acme(), kit.partner());
    let lives = kit.connect_at(1000, &acme, "alice", &[], EVERYTHING).await;
    let ended = kit.connect_at(1000, &acme, "bob", &[], EVERYTHING).await;
    assert_eq!(kit.revoke(&ended.access).await.status, 204);
    let made = kit.created(&kit.client_token(&partner).await).await;
    let other = json!({"name": "other", "role": "viewer"});
    let other = kit.did(Method::POST, "/operators", Some(other)).await;
    let jobs = kit.did(Method::GET, "/jobs", None).await;
    let job = jobs["items"][0]["id"].as_str().unwrap();
    Given {
        tokens: vec![("operatorToken", kit.admin_token().to_owned())],
        values: vec![
            ("path.client_id", json!([acme.id, made.id, partner.id])),
            ("path.connection_id", json!([lives.id, ended.id])),
            ("path.provider_id", json!([1000, 2000])),
            ("path.job_id", json!([job])),
            ("path.operator_id", json!([other["operator"]["id"]])),
            ("query.client_id", json!([acme.id])),
            ("query.provider_id", json!([1000])),
            ("body.partner", json!([partner.id])),
        ],
    }
}

#[tokio::test]
async fn the_operators_api_keeps_to_its_document() {
    let kit = kit().await;
    let given = operated(&kit).await;
    run(&kit, Document::Admin, &given, &["--exclude-operation-id-regex", ENDING]).await;
}

#[tokio::test]
async fn what_an_operator_ends_keeps_to_its_document() {
    let kit = kit().await;
    let given = operated(&kit).await;
    run(&kit, Document::Admin, &given, &["--include-operation-id-regex", ENDING]).await;
}
