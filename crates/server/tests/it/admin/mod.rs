//! Tests of the admin API, and test support for its scenarios.

mod attacks;
mod audit;
mod connections;
mod former_endpoints;
mod identity_client;
mod jobs;
mod new_providers;
mod operators;
mod partners;
mod provider_changes;
mod providers;
mod recipients;
mod registrations;
mod removed_operators;
mod socket;

use domain::model::audit_event::SubjectKind;
use http::Method;
use serde_json::{Value, json};
use store::query::GetAuditChain;

use crate::support::TestHub;

/// Valid names in different scripts, with characters that need escaping.
const NAMES: [&str; 4] = ["Acme Budget", "L’Épargne d'Amélie & Cie <b>", "ميزانية", "Acme 💸"];

/// Returns JSON values that no text field accepts, because they are no strings.
fn list_non_string_values() -> Vec<Value> {
    vec![json!(5), json!(true), json!({}), json!(["a"])]
}

impl TestHub {
    /// Calls an operation as the sandbox admin, asserts success and returns the body.
    pub(crate) async fn run_admin_operation(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let answer = self.send_operator_request(self.admin_token(), method.clone(), path, body).await;
        assert!(matches!(answer.status, 200 | 201), "{method} {path}: {} {}", answer.status, answer.body);
        answer.json()
    }

    /// Dumps the database rows that the admin API can change, and the length of the audit log.
    async fn dump_admin_tables(&self) -> Vec<String> {
        let mut all = Vec::new();
        for table in [
            "clients",
            "registrations",
            "providers",
            "former_provider_settings",
            "audit_events",
            "client_removals",
        ] {
            all.extend(self.sql(&format!("SELECT * FROM {table} ORDER BY 1, 2, 3")).await);
        }
        all
    }

    /// Asserts that each body is rejected with 400 and an error that names the given field, and that nothing changes.
    async fn assert_admin_rejects(&self, method: Method, path: &str, bodies: Vec<(Value, &str)>) {
        let before = self.dump_admin_tables().await;
        for (body, field) in bodies {
            let what = format!("{method} {path} {:.300}", body.to_string());
            let answer =
                self.send_operator_request(self.admin_token(), method.clone(), path, Some(body)).await;
            let problem = answer.json();
            assert_eq!(
                (answer.status, &problem["code"], &problem["field"]),
                (400, &json!("invalid"), &json!(field)),
                "{what}: {}",
                answer.body
            );
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.starts_with(&format!("{field}: ")) && detail.len() < 500, "{what}: {detail}");
        }
        assert_eq!(self.dump_admin_tables().await, before, "{method} {path}: nothing must change");
    }

    /// Asserts that each call returns 404 and that nothing changes.
    async fn assert_admin_not_found(&self, calls: &[(Method, String)], what: &str) {
        let before = self.dump_admin_tables().await;
        for (method, path) in calls {
            let body = match *method {
                Method::PUT => json!({"redirect_uris": ["https://acme.example.org/"]}),
                _ => json!({}),
            };
            let answer =
                self.send_operator_request(self.admin_token(), method.clone(), path, Some(body)).await;
            let detail = format!("There is no such {what}");
            assert_eq!((answer.status, &answer.json()["detail"]), (404, &json!(detail)), "{method} {path}");
        }
        assert_eq!(self.dump_admin_tables().await, before, "nothing must change");
    }

    /// Lists the actions in a client's audit log, each with its actor.
    async fn list_client_audit_events(&self, id: &str) -> Vec<String> {
        let chain = GetAuditChain { kind: SubjectKind::Client, id: id.to_owned() };
        let events = self.app().store().query(&chain).await.unwrap();
        let shown = events.iter().map(|event| {
            let (action, actor) = (event.entry.action, &event.entry.actor);
            format!("{action} {}", actor.id.as_deref().unwrap_or_default())
        });
        shown.collect()
    }
}

/// Returns the body `good` without one of its fields, or with another value for the field.
fn replace_field(good: &Value, field: &str, value: Option<Value>) -> Value {
    let mut body = good.clone();
    match value {
        None => drop(body.as_object_mut().unwrap().remove(field)),
        Some(value) => body[field] = value,
    }
    body
}
