//! Tests of the authentication and the roles of operators, of the bootstrap token, and of adding and removing
//! operators.

use std::time::Duration;

use bowline::admin_api::operators::create_bootstrap_token;
use bowline::jobs;
use bowline::router::admin_routes;
use domain::model::audit_event::{Actor, ActorKind, SubjectKind};
use domain::model::operator::Role;
use http::Method;
use serde_json::json;
use store::query::GetAuditChain;

use crate::support::{RawRequest, TestHub, on_both};

on_both!(
    admin_routes_require_their_minimum_role,
    bootstrap_token_creates_the_first_admin_once,
    operator_can_be_added_listed_and_removed
);

impl TestHub {
    /// Adds an operator and returns its token.
    pub(crate) async fn create_operator_token(&self, name: &str, role: &str) -> String {
        let added = self.post_admin_request("/operators", json!({"name": name, "role": role})).await;
        assert_eq!(added.status, 201, "{}", added.body);
        added.json()["token"].as_str().unwrap().to_owned()
    }
}

/// Fills the parameters of a route's path with ids that do not exist.
fn nonexistent_path(path: &str) -> String {
    path.replace("{operator_id}", "opr_nobody")
        .replace("{connection_id}", "con_unknown")
        .replace("{job_id}", "job_unknown")
        .replace("{provider_id}", "9999")
        .replace("{client_id}", "dc-unknown")
}

async fn admin_routes_require_their_minimum_role(kit: TestHub) {
    let ctx = jobs::new_job_context(kit.app(), "test").unwrap();
    let mut tokens = Vec::new();
    for role in Role::ALL {
        tokens.push((Some(*role), kit.create_operator_token(role.as_str(), role.as_str()).await));
    }
    let gone = kit.post_admin_request("/operators", json!({"name": "gone", "role": "admin"})).await.json();
    let id = gone["operator"]["id"].as_str().unwrap();
    let gone = gone["token"].as_str().unwrap().to_owned();
    assert_eq!(kit.send_admin_request(Method::DELETE, &format!("/operators/{id}")).await.status, 204);
    let short = kit.app().now().unwrap().plus(Duration::from_secs(1)).to_string();
    let late = kit
        .post_admin_request("/operators", json!({"name": "late", "role": "admin", "expires_at": short}))
        .await;
    let late = late.json()["token"].as_str().unwrap().to_owned();
    kit.advance(Duration::from_secs(1));
    tokens.extend([(None, gone), (None, late), (None, "a".repeat(43))]);
    assert!(create_bootstrap_token(&ctx, Actor::system("test")).await.is_err(), "an admin exists");
    for route in admin_routes() {
        let least = route.required_role.unwrap();
        for (role, token) in &tokens {
            let raw = RawRequest::new(route.method.as_str(), nonexistent_path(route.path)).bearer(token);
            let answer = kit.send_raw(&raw).await;
            let what =
                format!("{} {} by {role:?}: {} {}", route.method, route.path, answer.status, answer.body);
            match role {
                None => assert_eq!(answer.status, 401, "{what}"),
                Some(role) if !role.covers(least) => {
                    assert_eq!((answer.status, &answer.json()["code"]), (403, &json!("forbidden")), "{what}");
                    assert!(answer.body.contains(&format!("needs the role {least}")), "{what}");
                }
                Some(_) => assert!(matches!(answer.status, 200 | 404 | 409 | 415), "{what}"),
            }
        }
    }
}

async fn bootstrap_token_creates_the_first_admin_once(kit: TestHub) {
    let ctx = jobs::new_job_context(kit.app(), "test").unwrap();
    let cli_actor = || Actor::new(ActorKind::Operator, "cli");
    let refused = create_bootstrap_token(&ctx, cli_actor()).await.unwrap_err();
    assert_eq!(refused.to_string(), "An admin exists already: ask an admin to add you as an operator");
    assert_eq!(kit.send_admin_request(Method::DELETE, "/operators/opr_sandbox").await.status, 204);
    assert_eq!(
        kit.send_admin_request(Method::GET, "/operators").await.status,
        401,
        "the token is invalid immediately"
    );
    let first = create_bootstrap_token(&ctx, cli_actor()).await.unwrap();
    for route in admin_routes()
        .iter()
        .filter(|route| (route.method.as_str(), route.path) != ("POST", "/admin/v1/operators"))
    {
        let answer = kit
            .send_raw(
                &RawRequest::new(route.method.as_str(), nonexistent_path(route.path)).bearer(first.expose()),
            )
            .await;
        assert_eq!(answer.status, 403, "{} {}: {}", route.method, route.path, answer.body);
        assert!(answer.body.contains("The bootstrap token can only add the first admin"), "{}", answer.body);
    }
    let add = async |name: &str, role: &str| {
        let body = json!({"name": name, "role": role});
        kit.send_operator_request(first.expose(), Method::POST, "/operators", Some(body)).await
    };
    assert_eq!(
        add("ann", "viewer").await.json()["detail"],
        "role: expected admin: the first operator must be an admin"
    );
    let ann = add("ann", "admin").await;
    assert_eq!(ann.status, 201, "{}", ann.body);
    let token = ann.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(kit.send_operator_request(&token, Method::GET, "/operators", None).await.status, 200);
    assert_eq!(add("bob", "admin").await.status, 401, "the bootstrap token is used up");
    let stale = kit.sql("SELECT count(*) FROM operators WHERE bootstrap AND ended_at IS NULL").await;
    assert_eq!(stale, ["0"]);
}

async fn operator_can_be_added_listed_and_removed(kit: TestHub) {
    kit.create_operator_token("ann", "viewer").await;
    let token = kit.create_operator_token("bob", "operator").await;
    let first = kit.send_admin_request(Method::GET, "/operators?limit=2").await.json();
    let names = |list: &serde_json::Value| {
        let items = list["items"].as_array().unwrap().iter();
        items.map(|item| item["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let next = first["next"].as_str().unwrap();
    let rest = kit.send_admin_request(Method::GET, &format!("/operators?limit=2&after={next}")).await.json();
    assert!(rest["next"].is_null(), "{rest}");
    let mut all = [names(&first), names(&rest)].concat();
    all.sort();
    assert_eq!(all, ["ann", "bob", "sandbox"]);
    let mut all = first["items"].as_array().unwrap().iter().chain(rest["items"].as_array().unwrap());
    let bob = all.find(|item| item["name"] == "bob").unwrap().clone();
    assert_eq!((&bob["role"], &bob["state"]), (&json!("operator"), &json!("active")));
    assert!(bob["expires_at"].as_str().unwrap().ends_with("000Z"), "{bob}");
    let id = bob["id"].as_str().unwrap().to_owned();
    assert_eq!(kit.send_admin_request(Method::DELETE, &format!("/operators/{id}")).await.status, 204);
    assert_eq!(kit.send_operator_request(&token, Method::GET, "/operators", None).await.status, 401);
    let chain = GetAuditChain { kind: SubjectKind::Operator, id };
    let events = kit.app().store().query(&chain).await.unwrap();
    let events_by_actor: Vec<_> =
        events.iter().map(|e| (e.entry.action.as_str(), e.entry.actor.id.clone().unwrap())).collect();
    let admin = || "opr_sandbox".to_owned();
    assert_eq!(events_by_actor, [("operator.added", admin()), ("operator.removed", admin())]);
}

#[tokio::test]
async fn each_listener_serves_only_its_own_api() {
    let kit = TestHub::new().await;
    let mut public = bowline::cli::BrowserRequest::new(Method::GET, &kit.url("/admin/v1/operators"));
    public.bearer = Some(kit.admin_token().to_owned());
    let answer = kit.browser.send(public).await.unwrap();
    assert_eq!(answer.status, 404, "the admin API is not on the public listener");
    let sent = bowline::cli::BrowserRequest::new(
        Method::GET,
        &format!("http://{}/api/v1/authorize", kit.world.node.admin),
    );
    let answer = kit.browser.send(sent).await.unwrap();
    assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("not_found")), "{}", answer.body);
}
