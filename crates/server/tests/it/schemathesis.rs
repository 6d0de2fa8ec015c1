//! Property-based tests of the OpenAPI documents against a running hub by an independent tool (schemathesis): no 500, no
//! undocumented status, header or body, no accepted invalid input.

use std::fmt::Write as _;
use std::process::Stdio;

use bowline::openapi::ApiDocument;
use http::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::matrix::callers::FULL_SCOPE;
use crate::support::TestHub;

/// Pattern for the ids of operations that end, delete or replace something.
const DESTRUCTIVE_OPERATIONS: &str = "(?i)^(revoke|end|delete|remove|regenerate|retire|close)";

/// Excludes the checks of schemathesis that demand 401 or 403 for a rejected bearer token, because the Flinks API
/// responds with 400. The tests in `matrix` cover every route with every wrong token instead.
const EXCLUDED_CHECKS: &[&str] = &["--exclude-checks", "ignored_auth,missing_required_header"];

/// Starts a hub without rate limits.
async fn start_unlimited_hub() -> TestHub {
    let limits = [
        "limit.recipient",
        "limit.connection",
        "limit.provider",
        "limit.token",
        "limit.revoke",
        "limit.failed_authentication",
        "limit.login",
    ];
    TestHub::with_settings(&limits.map(|limit| (limit, "0"))).await
}

/// The input of a run of schemathesis: a token for each security scheme, and existing values of parameters.
struct RunInputs {
    tokens: Vec<(&'static str, String)>,
    values: Vec<(&'static str, Value)>,
}

impl RunInputs {
    /// Renders the configuration file of a run of schemathesis.
    fn render_config(&self) -> String {
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

/// Runs schemathesis over the selected operations of a document.
async fn run_schemathesis(kit: &TestHub, document: ApiDocument, given: &RunInputs, arguments: &[&str]) {
    let served_at = match document {
        ApiDocument::Admin => format!("http://{}", kit.world.node.admin),
        ApiDocument::Flinks | ApiDocument::Fdx => kit.url(""),
    };
    let folder = kit.data_folder().join("schemathesis");
    std::fs::create_dir_all(&folder).unwrap();
    let configuration = folder.join("schemathesis.toml");
    std::fs::write(&configuration, given.render_config()).unwrap();
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
    let output = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{output}\n{}", String::from_utf8_lossy(&ran.stderr));
    #[expect(clippy::print_stdout, reason = "the test runner shows the report with --nocapture")]
    {
        println!("{output}");
    }
}

#[tokio::test]
async fn fdx_api_conforms_to_openapi() {
    let kit = start_unlimited_hub().await;
    let acme = kit.acme();
    let tokens = kit.connect_at(1000, &acme, "alice", &[], FULL_SCOPE).await;
    let given = RunInputs {
        tokens: vec![("connectionToken", tokens.access.clone())],
        values: vec![
            ("path.account_id", json!([kit.fetch_account_id(&tokens.access).await])),
            ("path.statement_id", json!([kit.fetch_statement_id(&tokens.access).await])),
        ],
    };
    run_schemathesis(&kit, ApiDocument::Fdx, &given, &[]).await;
}

/// Creates objects for every operation of the Flinks API. Objects that are ended or deleted are not those of the tokens.
async fn prepare_flinks_inputs(kit: &TestHub, ending: bool) -> RunInputs {
    let (acme, partner) = (kit.acme(), kit.request_client_token(&kit.partner()).await);
    let tokens = kit.connect_at(1000, &acme, "alice", &[], FULL_SCOPE).await;
    let client_id = if ending { kit.create_recipient(&partner).await.id } else { acme.id.clone() };
    RunInputs {
        tokens: vec![
            ("connectionToken", tokens.access.clone()),
            ("recipientToken", kit.request_client_token(&acme).await),
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
async fn flinks_api_conforms_to_openapi() {
    let kit = start_unlimited_hub().await;
    let given = prepare_flinks_inputs(&kit, false).await;
    run_schemathesis(
        &kit,
        ApiDocument::Flinks,
        &given,
        &[EXCLUDED_CHECKS, &["--exclude-operation-id-regex", DESTRUCTIVE_OPERATIONS]].concat(),
    )
    .await;
}

#[tokio::test]
async fn destructive_flinks_operations_conform_to_openapi() {
    let kit = start_unlimited_hub().await;
    let given = prepare_flinks_inputs(&kit, true).await;
    run_schemathesis(
        &kit,
        ApiDocument::Flinks,
        &given,
        &[EXCLUDED_CHECKS, &["--include-operation-id-regex", DESTRUCTIVE_OPERATIONS]].concat(),
    )
    .await;
}

/// Creates objects for every operation of the admin API. The calling operator is not removed.
async fn prepare_admin_inputs(kit: &TestHub) -> RunInputs {
    let (acme, partner) = (kit.acme(), kit.partner());
    let active = kit.connect_at(1000, &acme, "alice", &[], FULL_SCOPE).await;
    let ended = kit.connect_at(1000, &acme, "bob", &[], FULL_SCOPE).await;
    assert_eq!(kit.revoke(&ended.access).await.status, 204);
    let created = kit.create_recipient(&kit.request_client_token(&partner).await).await;
    let other = json!({"name": "other", "role": "viewer"});
    let other = kit.run_admin_operation(Method::POST, "/operators", Some(other)).await;
    let jobs = kit.run_admin_operation(Method::GET, "/jobs", None).await;
    let job = jobs["items"][0]["id"].as_str().unwrap();
    RunInputs {
        tokens: vec![("operatorToken", kit.admin_token().to_owned())],
        values: vec![
            ("path.client_id", json!([acme.id, created.id, partner.id])),
            ("path.connection_id", json!([active.id, ended.id])),
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
async fn admin_api_conforms_to_openapi() {
    let kit = start_unlimited_hub().await;
    let given = prepare_admin_inputs(&kit).await;
    run_schemathesis(
        &kit,
        ApiDocument::Admin,
        &given,
        &["--exclude-operation-id-regex", DESTRUCTIVE_OPERATIONS],
    )
    .await;
}

#[tokio::test]
async fn destructive_admin_operations_conform_to_openapi() {
    let kit = start_unlimited_hub().await;
    let given = prepare_admin_inputs(&kit).await;
    run_schemathesis(
        &kit,
        ApiDocument::Admin,
        &given,
        &["--include-operation-id-regex", DESTRUCTIVE_OPERATIONS],
    )
    .await;
}
