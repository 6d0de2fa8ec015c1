//! Tests of the partner API: partners create, register and remove recipients, and rotate their secrets.

use std::time::Duration;

use bowline::cli::BrowserResponse;
use bowline::jobs;
use domain::id::ProviderId;
use domain::model::connection::EndCause;
use domain::model::provider::{ProviderState, SecretSource, UpstreamClientMode};
use http::Method;
use serde_json::{Value, json};
use store::command::{SealedValue, SeedConnections, SeededConnection};

use crate::support::{SCOPE, TestClient, TestHub, on_both, query_parameter};

on_both!(
    registration_state_is_enforced_at_each_step,
    secret_rotation_invalidates_previous_secret,
    recipient_removal_ends_connections_and_tokens,
    connections_are_visible_to_recipient_and_partner_only,
    provider_list_depends_on_token_kind,
    recipient_removal_ends_connections_in_batches,
    requests_during_recipient_removal_leave_nothing_active,
);

impl TestHub {
    /// Asserts that exchange, read, refresh and revocation of a connection use the upstream client of its recipient.
    pub(crate) async fn assert_uses_upstream_client(&self, recipient: &TestClient) {
        let tokens = self.connect_at(1000, recipient, "alice", &["mt-alice-chequing"], SCOPE).await;
        assert_eq!(self.read("/accounts", &tokens.access).await.status, 200);
        self.advance(Duration::from_mins(30));
        let refreshed = self.refresh(recipient, &tokens.refresh).await.json();
        let later = refreshed["access_token"].as_str().unwrap();
        assert_eq!(
            self.read("/accounts", later).await.status,
            200,
            "the token is refreshed with this client"
        );
        assert_eq!(self.revoke(later).await.status, 204);
        self.wait_until("the provider is notified", async || self.list_grant_states().await == ["ended"])
            .await;
    }

    /// Takes a step of a recipient's registration with Maple Trust as an operator.
    pub(crate) async fn take_registration_step(
        &self,
        recipient: &TestClient,
        step: &str,
        body: Value,
    ) -> BrowserResponse {
        self.post_admin_request(&format!("/registrations/{}/1000/{step}", recipient.id), body).await
    }

    /// Takes a step of a recipient's registration with Maple Trust as an operator, asserts success and returns the
    /// body.
    pub(crate) async fn complete_registration_step(
        &self,
        recipient: &TestClient,
        step: &str,
        body: Value,
    ) -> Value {
        let answer = self.take_registration_step(recipient, step, body).await;
        assert_eq!(answer.status, 200, "{step}: {}", answer.body);
        answer.json()
    }
}

/// Creates a recipient with an active registration for the sandbox partner; returns the partner's token too.
pub(crate) async fn create_active_recipient(kit: &TestHub) -> (TestClient, String) {
    let token = kit.request_client_token(&kit.partner()).await;
    let recipient = kit.create_recipient(&token).await;
    request_registration(kit, &recipient, &token).await;
    kit.complete_registration_step(&recipient, "approve", json!({})).await;
    kit.complete_registration_step(&recipient, "activate", json!({})).await;
    (recipient, token)
}

async fn request_registration(kit: &TestHub, recipient: &TestClient, token: &str) -> BrowserResponse {
    let path = format!("/api/v1/recipients/providers/requests/{}/1000", recipient.id);
    kit.call(Method::POST, &path, token).await
}

/// Returns the recipient's registration as the partner sees it.
async fn load_partner_registration(kit: &TestHub, recipient: &TestClient, token: &str) -> Value {
    let path = format!("/api/v1/recipients/{}/providers/1000", recipient.id);
    kit.call(Method::GET, &path, token).await.json()
}

/// Sends an authorization request and returns the error code, `page` for an error page, or `None` if it continues.
async fn get_authorize_error(kit: &TestHub, recipient: &TestClient) -> Option<String> {
    let answer = kit.authorize(&TestHub::build_authorization_query(recipient)).await;
    if answer.status == 400 {
        return Some("page".into());
    }
    query_parameter(&answer.location.unwrap(), "error")
}

async fn registration_state_is_enforced_at_each_step(kit: TestHub) {
    let token = kit.request_client_token(&kit.partner()).await;
    let recipient = kit.create_recipient(&token).await;
    assert_eq!(
        get_authorize_error(&kit, &recipient).await.unwrap(),
        "page",
        "no redirect before the registration is active"
    );

    let answer = request_registration(&kit, &recipient, &token).await;
    assert_eq!((answer.status, answer.json().as_array().unwrap().len()), (200, 1));
    assert_eq!(
        load_partner_registration(&kit, &recipient, &token).await["registration_status"],
        "PENDING_APPROVAL"
    );
    assert_eq!(request_registration(&kit, &recipient, &token).await.status, 409);
    let rejected = kit
        .complete_registration_step(&recipient, "reject", json!({"reason": "Not a licensed company"}))
        .await;
    assert_eq!(
        (&rejected["state"], &rejected["reason"]),
        (&"rejected".into(), &"Not a licensed company".into())
    );
    let seen = load_partner_registration(&kit, &recipient, &token).await;
    assert_eq!(
        (&seen["registration_status"], &seen["reason"]),
        (&"REJECTED".into(), &"Not a licensed company".into())
    );
    assert_eq!(
        request_registration(&kit, &recipient, &token).await.status,
        200,
        "a rejected registration can be requested again"
    );

    let early = kit.take_registration_step(&recipient, "activate", json!({})).await;
    assert_eq!(
        (early.status, &early.json()["code"]),
        (409, &"conflict".into()),
        "activation requires approval"
    );
    kit.complete_registration_step(&recipient, "approve", json!({})).await;
    assert_eq!(
        load_partner_registration(&kit, &recipient, &token).await["registration_status"],
        "PENDING_ACTIVATION"
    );
    assert_eq!(get_authorize_error(&kit, &recipient).await.unwrap(), "page");
    kit.complete_registration_step(&recipient, "activate", json!({})).await;
    let seen = load_partner_registration(&kit, &recipient, &token).await;
    assert_eq!((&seen["registration_status"], seen.get("reason")), (&"ACTIVE".into(), None));
    assert_eq!(get_authorize_error(&kit, &recipient).await, None);

    let tokens = kit.connect_at(1000, &recipient, "alice", &["mt-alice-chequing"], SCOPE).await;
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    kit.complete_registration_step(&recipient, "suspend", json!({})).await;
    assert_eq!(load_partner_registration(&kit, &recipient, &token).await["registration_status"], "SUSPENDED");
    let suspended = kit.read("/accounts", &tokens.access).await;
    assert_eq!((suspended.status, &suspended.json()["code"]), (403, &403.into()));
    assert_eq!(kit.refresh(&recipient, &tokens.refresh).await.json()["error"], "unauthorized_client");
    kit.complete_registration_step(&recipient, "reinstate", json!({})).await;
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200, "nothing was destroyed");
    kit.complete_registration_step(&recipient, "suspend", json!({})).await;
    assert_eq!(kit.revoke(&tokens.access).await.status, 204, "revoking always works");
}

async fn secret_rotation_invalidates_previous_secret(kit: TestHub) {
    let (recipient, token) = create_active_recipient(&kit).await;
    let tokens = kit.connect_at(1000, &recipient, "alice", &["mt-alice-chequing"], SCOPE).await;
    let other = kit.request_client_token(&kit.create_other_partner().await).await;
    let path = format!("/api/v1/recipients/{}/secret", recipient.id);
    assert_eq!(
        kit.call(Method::POST, &path, &other).await.status,
        404,
        "the recipient belongs to another partner"
    );
    assert_eq!(kit.refresh(&recipient, &tokens.refresh).await.status, 200);

    let regenerated = kit.call(Method::POST, &path, &token).await;
    assert_eq!((regenerated.status, &regenerated.json()["client_id"]), (200, &recipient.id.as_str().into()));
    let secret = regenerated.json()["client_secret"].as_str().unwrap().to_owned();
    let renewed = TestClient { secret, ..recipient.clone() };
    assert_eq!(kit.refresh(&recipient, &tokens.refresh).await.json()["error"], "invalid_client");
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200, "connection tokens remain valid");
    assert_eq!(kit.refresh(&renewed, &tokens.refresh).await.status, 200);
    let audited = "SELECT actor_kind, actor_id FROM audit_events WHERE action = 'client.secret_regenerated'";
    assert_eq!(kit.sql(audited).await, ["partner|pt-sandbox"]);
}

/// The hub must call a provider that has a client for each registration with that client and no other.
#[tokio::test]
async fn per_registration_client_is_used_at_provider() {
    let kit = TestHub::new().await;
    let token = kit.request_client_token(&kit.partner()).await;
    let recipient = kit.create_recipient(&token).await;
    request_registration(&kit, &recipient, &token).await;
    kit.complete_registration_step(&recipient, "approve", json!({})).await;
    let secret = std::fs::read_to_string(kit.data_folder().join("maple.secret")).unwrap();
    kit.update_provider_settings(1000, |settings| {
        settings.upstream_client = UpstreamClientMode::PerRegistration;
        settings.client_id = "unused".into();
        settings.client_secret = Some(SecretSource::Env("BOWLINE_NO_SUCH_SECRET".into()));
    })
    .await;
    for (body, field) in [
        (json!({}), "upstream_client_id"),
        (json!({"upstream_client_id": "bowline"}), "upstream_client_secret"),
        (json!({"upstream_client_secret": "x"}), "upstream_client_id"),
    ] {
        let refused = kit.take_registration_step(&recipient, "activate", body).await.json();
        let expected_detail = format!("{field}: is missing");
        assert_eq!((&refused["field"], &refused["detail"]), (&field.into(), &expected_detail.into()));
    }
    let there = json!({"upstream_client_id": "bowline", "upstream_client_secret": secret.trim_end()});
    kit.complete_registration_step(&recipient, "activate", there).await;
    let stored = kit
        .sql("SELECT upstream_client_secret FROM registrations WHERE upstream_client_id = 'bowline'")
        .await;
    assert!(
        stored.len() == 1 && !stored[0].contains(&crate::support::hex(secret.trim_end().as_bytes())),
        "the secret is sealed"
    );
    kit.assert_uses_upstream_client(&recipient).await;
}

/// Follows a recipient from its creation to its removal, as its partner sees it.
async fn recipient_removal_ends_connections_and_tokens(kit: TestHub) {
    let (recipient, token) = create_active_recipient(&kit).await;
    let alice = kit.connect_at(1000, &recipient, "alice", &["mt-alice-chequing"], SCOPE).await;
    let bob = kit.connect_at(1000, &recipient, "bob", &["mt-bob-chequing"], SCOPE).await;
    let acme = kit.connect(&kit.acme()).await;
    let waiting = query_parameter(
        &kit.complete_authorization(
            &TestHub::build_authorization_query(&recipient),
            "chloe",
            &["mt-chloe-chequing"],
        )
        .await,
        "code",
    );
    let own = kit.request_client_token(&recipient).await;
    assert_eq!(kit.read("/accounts", &alice.access).await.status, 200);

    let path = format!("/api/v1/recipients/{}", recipient.id);
    let other = kit.request_client_token(&kit.create_other_partner().await).await;
    assert_eq!(
        kit.call(Method::DELETE, &path, &other).await.status,
        404,
        "the recipient belongs to another partner"
    );
    assert_eq!(kit.call(Method::DELETE, &path, &token).await.status, 204);
    // This holds from the response on, before the ends are stored.
    for tokens in [&alice, &bob] {
        let read = kit.read("/accounts", &tokens.access).await;
        assert_eq!((read.status, &read.json()["code"]), (401, &602.into()));
        assert_eq!(kit.refresh(&recipient, &tokens.refresh).await.json()["error"], "invalid_grant");
        assert_eq!(kit.revoke(&tokens.access).await.status, 204, "revoking an ended connection succeeds");
    }
    let redeemed = kit.redeem(&recipient, &waiting.unwrap()).await;
    assert_eq!(redeemed.json()["error"], "invalid_grant");
    let minted = kit.request_token(&recipient, &[("grant_type", "client_credentials")]).await;
    assert_eq!(minted.json()["error"], "invalid_client");
    assert_eq!(
        kit.call(Method::GET, "/api/v1/providers", &own).await.status,
        400,
        "the recipient's own tokens are invalid"
    );
    assert_eq!(
        get_authorize_error(&kit, &recipient).await.unwrap(),
        "page",
        "no redirect for a removed recipient"
    );
    for (method, rest) in [
        (Method::GET, ""),
        (Method::PUT, ""),
        (Method::POST, "/secret"),
        (Method::GET, "/providers/requests"),
    ] {
        let body = json!({"redirect_uris": "https://fake.example.org/"});
        let after_removal = kit.call_with_json(method, &format!("{path}{rest}"), &token, body).await;
        assert_eq!(after_removal.status, 404, "{rest}: {}", after_removal.body);
    }
    assert_eq!(kit.call(Method::GET, "/api/v1/recipients", &token).await.json(), json!([]));
    assert_eq!(kit.call(Method::DELETE, &path, &token).await.status, 204, "repeating the removal succeeds");

    kit.wait_until("the provider is notified of all three ends", async || {
        kit.list_grant_states().await.iter().filter(|state| *state == "ended").count() == 3
    })
    .await;
    for id in [&alice.id, &bob.id] {
        assert_eq!(kit.load_end_cause(id).await, Some(EndCause::ClientRemoved));
        let seen = kit.call(Method::GET, &format!("{path}/connections/{id}"), &token).await.json();
        assert_eq!((&seen["state"], &seen["cause"]), (&"revoked".into(), &"client_removed".into()));
    }
    kit.wait_until("the removal is over", async || kit.sql("SELECT 1 FROM client_removals").await.is_empty())
        .await;
    let actors = "SELECT DISTINCT actor_kind, actor_id FROM connections WHERE cause = 'client_removed'";
    assert_eq!(kit.sql(actors).await, ["partner|pt-sandbox"]);
    assert_eq!(kit.read("/accounts", &acme.access).await.status, 200, "another's connection remains active");
}

/// A recipient and its partner list the same connections, and each ends one.
async fn connections_are_visible_to_recipient_and_partner_only(kit: TestHub) {
    let (recipient, token) = create_active_recipient(&kit).await;
    let mut ids = Vec::new();
    for customer in ["alice", "bob", "chloe"] {
        let account = format!("mt-{customer}-chequing");
        ids.push(kit.connect_at(1000, &recipient, customer, &[&account], SCOPE).await);
        kit.advance(Duration::from_secs(1));
    }
    let own = kit.request_client_token(&recipient).await;
    let first = kit.call(Method::GET, "/api/v1/connections?limit=2", &own).await.json();
    let listed = |page: &Value| {
        let all = page["connections"].as_array().unwrap().iter();
        all.map(|c| c["connection_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed(&first), [ids[2].id.to_string(), ids[1].id.to_string()], "newest first");
    let next = first["links"]["next"]["href"].as_str().unwrap();
    let second = kit.call(Method::GET, next.strip_prefix(kit.app().public_url()).unwrap(), &own).await.json();
    assert_eq!((listed(&second), second["page"].get("nextOffset")), (vec![ids[0].id.to_string()], None));
    assert!(!first.to_string().contains("alice") && first["connections"][0].get("sub").is_none());

    let under = format!("/api/v1/recipients/{}/connections", recipient.id);
    assert_eq!(listed(&kit.call(Method::GET, &under, &token).await.json()).len(), 3);
    let acme = kit.request_client_token(&kit.acme()).await;
    let one = format!("/api/v1/connections/{}", ids[0].id);
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(kit.call(method, &one, &acme).await.status, 404, "another's");
    }
    assert_eq!(kit.load_end_cause(&ids[0].id).await, None);
    kit.suspend(&recipient).await;
    assert_eq!(kit.call(Method::GET, "/api/v1/providers", &own).await.json()["error"], "unauthorized_client");
    // An access token lives for minutes and a suspension for weeks: only a new token makes ending possible.
    let own = kit.request_client_token(&recipient).await;
    assert_eq!(kit.call(Method::GET, "/api/v1/providers", &own).await.json()["error"], "unauthorized_client");
    assert_eq!(listed(&kit.call(Method::GET, "/api/v1/connections", &own).await.json()).len(), 3);
    for _ in 0..2 {
        assert_eq!(
            kit.call(Method::DELETE, &one, &own).await.status,
            204,
            "ending works while suspended, and repeatedly"
        );
    }
    assert_eq!(kit.load_end_cause(&ids[0].id).await, Some(EndCause::Recipient));
    assert_eq!(kit.read("/accounts", &ids[0].access).await.json()["code"], 602);
    let by_partner = format!("{under}/{}", ids[1].id);
    assert_eq!(kit.call(Method::DELETE, &by_partner, &token).await.status, 204);
    assert_eq!(kit.load_end_cause(&ids[1].id).await, Some(EndCause::Partner));
    kit.wait_until("the provider is notified", async || {
        let seen = kit.call(Method::GET, &by_partner, &token).await.json();
        seen["provider_revocation"] == "accepted"
    })
    .await;
    assert_eq!(kit.load_end_cause(&ids[2].id).await, None, "the third remains active");

    kit.suspend(&kit.partner()).await;
    let token = kit.request_client_token(&kit.partner()).await;
    let recipients = kit.call(Method::GET, "/api/v1/recipients", &token).await.json();
    let listed_recipients: Vec<_> = recipients.as_array().unwrap().iter().map(|r| &r["client_id"]).collect();
    assert!(listed_recipients.contains(&&json!(recipient.id)), "{recipients}");
    let last = format!("{under}/{}", ids[2].id);
    assert_eq!(
        kit.call(Method::DELETE, &last, &token).await.status,
        204,
        "a suspended partner can end a connection"
    );
    assert_eq!(kit.load_end_cause(&ids[2].id).await, Some(EndCause::Partner));
}

/// Secrets that the hub returns once must be stored as hashes or sealed, and written nowhere else.
#[tokio::test]
async fn submitted_and_generated_secrets_are_not_on_disk() {
    let kit = TestHub::new().await;
    let token = kit.request_client_token(&kit.partner()).await;
    let recipient = kit.create_recipient(&token).await;
    let path = format!("/api/v1/recipients/{}/secret", recipient.id);
    let renewed =
        kit.call(Method::POST, &path, &token).await.json()["client_secret"].as_str().unwrap().to_owned();
    kit.update_provider_settings(1000, |settings| {
        settings.upstream_client = UpstreamClientMode::PerRegistration;
    })
    .await;
    request_registration(&kit, &recipient, &token).await;
    kit.complete_registration_step(&recipient, "approve", json!({})).await;
    let there = json!({"upstream_client_id": "there", "upstream_client_secret": "a-secret-at-the-bank"});
    kit.complete_registration_step(&recipient, "activate", there).await;
    assert_ne!(renewed, recipient.secret);
    let partner = kit.run_admin_operation(Method::POST, "/partners", Some(json!({"name": "Agency"}))).await;
    let partner = partner["client_secret"].as_str().unwrap().to_owned();
    let mut provider = kit.run_admin_operation(Method::GET, "/providers/2000", None).await["settings"].take();
    (provider["id"], provider["client_secret"]) = (json!(4000), json!("another-secret-at-a-bank"));
    kit.run_admin_operation(Method::POST, "/providers", Some(provider)).await;
    // The store keeps a generated id as the bytes of its UUID.
    let stored_id = u128::from_str_radix(&recipient.id["dc-".len()..], 16).unwrap().to_be_bytes();
    let mut files_with_recipient = 0;
    let entries = std::fs::read_dir(kit.data_folder()).unwrap().map(|entry| entry.unwrap().path());
    for file in entries.filter(|path| path.is_file()) {
        let bytes = std::fs::read(&file).unwrap();
        files_with_recipient += usize::from(bytes.windows(stored_id.len()).any(|part| part == stored_id));
        let theirs = ["a-secret-at-the-bank", "another-secret-at-a-bank"];
        for secret in [recipient.secret.as_str(), &renewed, &token, &partner].into_iter().chain(theirs) {
            let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!found, "a secret is in {}", file.display());
        }
    }
    assert!(files_with_recipient > 0, "the recipient is stored");
}

/// A token of a partner lists all providers, a token of a recipient only those with an active registration.
async fn provider_list_depends_on_token_kind(kit: TestHub) {
    let (recipient, token) = create_active_recipient(&kit).await;
    let own = kit.request_client_token(&recipient).await;
    let ids = async |path: &str, bearer: &str| {
        let listed = kit.call(Method::GET, path, bearer).await.json();
        listed.as_array().unwrap().iter().map(|p| p["provider_id"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    for path in ["/api/v1/providers", "/api/v1/authorize/providers"] {
        assert_eq!(ids(path, &own).await, [1000], "{path}: only its active providers");
    }
    assert_eq!(ids("/api/v1/providers", &token).await, [1000, 2000, 3000], "the catalogue");
    assert_eq!(ids("/api/v2/providers", &own).await, [1000, 2000, 3000]);
    assert_eq!(ids("/api/v2/providers?isEnabledForClient=TRUE", &own).await, [1000]);
    assert_eq!(ids("/api/v2/providers?isEnabledForClient=FALSE", &own).await, [2000, 3000]);
    assert!(ids("/api/v2/providers?country=US", &own).await.is_empty());
    let words = async || {
        let listed = kit.call(Method::GET, "/api/v2/providers", &own).await.json();
        listed[0]["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(words().await, "Activated");
    kit.complete_registration_step(&recipient, "suspend", json!({})).await;
    assert_eq!(words().await, "Suspended");
    assert!(ids("/api/v1/providers", &own).await.is_empty());
    kit.set_provider_state(2000, ProviderState::Retired).await;
    assert_eq!(ids("/api/v1/providers", &token).await, [1000, 3000], "a retired provider is not listed");
}

/// A recipient with more connections than a batch is removed. The response must not wait, and all connections must end.
async fn recipient_removal_ends_connections_in_batches(kit: TestHub) {
    let (recipient, token) = create_active_recipient(&kit).await;
    kit.update_provider_settings(1000, |settings| settings.revoke.clear()).await;
    let ctx = jobs::new_job_context(kit.app(), "test").unwrap();
    let sealed = SealedValue { key: vec![1], sealed: vec![1] };
    let build = |n: u64| SeededConnection::from_key(n * (u64::MAX / 1_000), sealed.clone()).unwrap();
    let fill = SeedConnections {
        moment: ctx.new_moment().unwrap(),
        client_id: recipient.id.parse().unwrap(),
        provider_id: ProviderId::new(1000),
        clusters: SCOPE.parse().unwrap(),
        expires_at: ctx.now().plus(Duration::from_hours(24)),
        redirect_uri: String::new(),
        connections: (0..450).map(build).collect(),
    };
    ctx.run(fill).await.unwrap();
    let path = format!("/api/v1/recipients/{}", recipient.id);
    assert_eq!(kit.call(Method::DELETE, &path, &token).await.status, 204);
    kit.wait_until("all have ended", async || kit.sql("SELECT 1 FROM client_removals").await.is_empty())
        .await;
    let counted = "SELECT status, cause, count(*) FROM connections GROUP BY status, cause";
    assert_eq!(kit.sql(counted).await, ["revoked|client_removed|450"]);
    for table in ["refresh_tokens", "upstream_credentials", "ended_connections"] {
        let rows = format!("SELECT 1 FROM {table} LIMIT 1");
        kit.wait_until(table, async || kit.sql(&rows).await.is_empty()).await;
    }
}

/// Sends requests during the removal of a recipient. None that begins after the response may succeed, and nothing that
/// they created may remain active.
async fn requests_during_recipient_removal_leave_nothing_active(kit: TestHub) {
    for round in 0..6_u64 {
        let (recipient, token) = create_active_recipient(&kit).await;
        let tokens = kit.connect_at(1000, &recipient, "alice", &["mt-alice-chequing"], SCOPE).await;
        let back = kit
            .complete_authorization(
                &TestHub::build_authorization_query(&recipient),
                "bob",
                &["mt-bob-chequing"],
            )
            .await;
        let code = query_parameter(&back, "code").unwrap();
        let path = format!("/api/v1/recipients/{}", recipient.id);
        let remove = async {
            for _ in 0..round * 100 {
                tokio::task::yield_now().await;
            }
            assert_eq!(kit.call(Method::DELETE, &path, &token).await.status, 204);
            // Each request here begins after the response.
            assert_eq!(kit.read("/accounts", &tokens.access).await.json()["code"], 602);
            assert_eq!(kit.refresh(&recipient, &tokens.refresh).await.json()["error"], "invalid_grant");
        };
        let (redeemed, refreshed, ()) =
            tokio::join!(kit.redeem(&recipient, &code), kit.refresh(&recipient, &tokens.refresh), remove);
        for answer in [&redeemed, &refreshed] {
            let Some(access) = answer.json()["access_token"].as_str().map(str::to_owned) else { continue };
            assert_eq!(kit.read("/accounts", &access).await.json()["code"], 602, "round {round}");
        }
        kit.wait_until("the removal is over", async || {
            kit.sql("SELECT 1 FROM client_removals").await.is_empty()
        })
        .await;
        let remaining = "SELECT id FROM connections WHERE status IN ('pending', 'active')";
        assert!(kit.sql(remaining).await.is_empty(), "round {round}");
    }
}
