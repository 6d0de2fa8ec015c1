//! Tests of recipients, registrations and providers that are suspended, paused or removed while a customer is on the
//! hub's pages.

use bowline::cli::{BrowserRequest, BrowserResponse, find_hidden_field};
use domain::DataCluster;
use domain::model::provider::ProviderState;
use http::Method;
use serde_json::{Value, json};

use crate::manage::create_active_recipient;
use crate::support::{SCOPE, TestClient, TestHub, on_both, query_parameter};

on_both!(
    consent_page_shows_error_if_client_suspended_after_request,
    consent_is_rejected_if_client_suspended_during_consent,
    removed_recipient_gets_error_page_without_redirect,
    removed_redirect_uri_gets_error_page_without_redirect,
    provider_picked_before_suspension_is_rejected,
    code_is_rejected_after_change_of_redirect_uri_or_scope,
    suspension_during_exchange_queues_one_revocation,
    suspended_clients_can_only_list_and_end_connections,
);

/// The ways to prevent a recipient from connecting to provider 1000, each with the error code of `authorize`.
const SUSPENSIONS: [(&str, &str); 3] = [
    ("recipients/{id}/suspend", "unauthorized_client"),
    ("registrations/{id}/1000/suspend", "unauthorized_client"),
    ("providers/1000/pause", "temporarily_unavailable"),
];

impl TestHub {
    async fn run_admin_step(&self, step: &str, recipient: &TestClient) {
        self.run_admin_operation(Method::POST, &format!("/{}", step.replace("{id}", &recipient.id)), None)
            .await;
    }

    /// Opens the consent page of a new authorization request.
    async fn open_consent_page(&self, recipient: &TestClient) -> (String, BrowserResponse) {
        let answer = self.authorize(&Self::build_authorization_query(recipient)).await;
        let (at, page) = self.follow(self.app().public_url(), answer).await;
        assert!(page.body.contains("value=\"approve\""), "{}", page.body);
        (at, page)
    }

    /// Submits the consent page that was opened before, with the customer's consent.
    async fn submit_approval(&self, at: &str, page: &BrowserResponse) -> BrowserResponse {
        self.submit_decision(at, page, "approve").await
    }

    async fn submit_decision(&self, at: &str, page: &BrowserResponse, decision: &str) -> BrowserResponse {
        let token = find_hidden_field(&page.body, "csrf_token").unwrap();
        let form = [("csrf_token", token.as_str()), ("decision", decision)];
        self.send(BrowserRequest::new(Method::POST, at).form(&form)).await
    }

    /// Returns the callback URL to which the bank redirects after the customer's consent.
    pub(crate) async fn approve_at_bank(&self, recipient: &TestClient) -> String {
        let (at, page) = self.reach_account_page(&Self::build_authorization_query(recipient), "alice").await;
        let token = find_hidden_field(&page.body, "csrf_token").unwrap();
        let chosen = [("csrf_token", token.as_str()), ("accounts", "mt-alice-card"), ("decision", "approve")];
        self.send(BrowserRequest::new(Method::POST, &at).form(&chosen)).await.location.unwrap()
    }

    /// Asserts that a response is the page for an authorization that cannot continue, and returns the target of its
    /// link.
    fn find_stop_page_link(answer: &BrowserResponse) -> Option<String> {
        assert_eq!((answer.status, &answer.location), (403, &None), "{}", answer.body);
        assert!(answer.body.contains("cannot be connected at the moment"), "{}", answer.body);
        assert!(!answer.body.contains("<form"), "{}", answer.body);
        let link = answer.body.split("href=\"").find(|part| part.starts_with("http"))?;
        Some(link.split('"').next().unwrap().replace("&#38;", "&"))
    }

    async fn assert_nothing_stored(&self) {
        for table in ["connections", "authorization_codes", "jobs"] {
            let rows = self.sql(&format!("SELECT count(*) FROM {table}")).await;
            assert_eq!(rows, ["0"], "{table}");
        }
        assert!(self.list_grant_states().await.is_empty(), "the provider was not called");
    }
}

/// Creates a recipient with two providers, so that browsers may be redirected to it although the first provider is
/// blocked.
async fn register_app(kit: &TestHub) -> TestClient {
    kit.register_recipient(&[1000, 2000], SCOPE, false).await
}

async fn consent_page_shows_error_if_client_suspended_after_request(kit: TestHub) {
    for (suspension, word) in SUSPENSIONS {
        let app = register_app(&kit).await;
        let (at, page) = kit.open_consent_page(&app).await;
        kit.run_admin_step(suspension, &app).await;
        let page_after = kit.send(BrowserRequest::new(Method::GET, &at)).await;
        let back = TestHub::find_stop_page_link(&page_after)
            .unwrap_or_else(|| panic!("{suspension}: {}", page_after.body));
        assert!(back.starts_with(&app.redirect_uri), "{back}");
        assert_eq!(query_parameter(&back, "error").as_deref(), Some(word), "{suspension}");
        assert_eq!(query_parameter(&back, "state").as_deref(), Some("a state/with=odd&chars"));
        // A new request gets the same error.
        let new_request_redirect =
            kit.authorize(&TestHub::build_authorization_query(&app)).await.location.unwrap();
        assert_eq!(new_request_redirect, back, "{suspension}");
        if suspension.starts_with("providers") {
            kit.set_provider_state(1000, ProviderState::Active).await;
        } else {
            kit.run_admin_step(&suspension.replace("suspend", "reinstate"), &app).await;
        }
        let (_, sent) = kit.submit(&at, &page, &[("decision", "approve")]).await;
        assert!(sent.body.contains("username"), "showing the page has no effect: {}", sent.body);
    }
    kit.assert_nothing_stored().await;
}

async fn consent_is_rejected_if_client_suspended_during_consent(kit: TestHub) {
    let app = register_app(&kit).await;
    let (at, page) = kit.open_consent_page(&app).await;
    kit.run_admin_step("registrations/{id}/1000/suspend", &app).await;
    let denied = kit.submit_decision(&at, &page, "deny").await;
    let back = denied.location.unwrap();
    assert!(
        denied.status == 303 && back.starts_with(&app.redirect_uri),
        "the recipient has another active provider: {back}"
    );
    assert_eq!(query_parameter(&back, "error").as_deref(), Some("access_denied"));
    for (suspension, word) in SUSPENSIONS {
        let app = register_app(&kit).await;
        let (at, page) = kit.open_consent_page(&app).await;
        kit.run_admin_step(suspension, &app).await;
        let refused = kit.submit_approval(&at, &page).await;
        let back = TestHub::find_stop_page_link(&refused)
            .unwrap_or_else(|| panic!("{suspension}: {}", refused.body));
        assert_eq!(query_parameter(&back, "error").as_deref(), Some(word), "{suspension}");
        assert_eq!(query_parameter(&back, "code"), None);
    }
    kit.assert_nothing_stored().await;
}

async fn removed_recipient_gets_error_page_without_redirect(kit: TestHub) {
    let app = register_app(&kit).await;
    let only = kit.register_recipient(&[1000], SCOPE, false).await;
    let (seen, approved, unregistered) = (
        kit.open_consent_page(&app).await,
        kit.open_consent_page(&app).await,
        kit.open_consent_page(&only).await,
    );
    let denied = [kit.open_consent_page(&app).await, kit.open_consent_page(&only).await];
    kit.run_admin_operation(Method::DELETE, &format!("/recipients/{}", app.id), None).await;
    kit.run_admin_step("registrations/{id}/1000/suspend", &only).await;
    assert_eq!(
        TestHub::find_stop_page_link(&kit.send(BrowserRequest::new(Method::GET, &seen.0)).await),
        None
    );
    assert_eq!(TestHub::find_stop_page_link(&kit.submit_approval(&approved.0, &approved.1).await), None);
    let refused = kit.submit_approval(&unregistered.0, &unregistered.1).await;
    assert_eq!(TestHub::find_stop_page_link(&refused), None, "no redirect without an active registration");
    for (at, page) in denied {
        assert_eq!(
            TestHub::find_stop_page_link(&kit.submit_decision(&at, &page, "deny").await),
            None,
            "a denial does not redirect either"
        );
    }
    let over = kit.sql("SELECT count(*) FROM authorization_requests WHERE status = 'failed'").await;
    assert_eq!(over, ["4"], "the denial is recorded");
    kit.assert_nothing_stored().await;
}

async fn removed_redirect_uri_gets_error_page_without_redirect(kit: TestHub) {
    let app = register_app(&kit).await;
    let ((at, page), denied) = (kit.open_consent_page(&app).await, kit.open_consent_page(&app).await);
    let callback = kit.approve_at_bank(&app).await;
    let uris: Value = json!({"redirect_uris": ["https://other.example.org/elsewhere"]});
    kit.run_admin_operation(Method::PUT, &format!("/recipients/{}", app.id), Some(uris)).await;
    assert_eq!(TestHub::find_stop_page_link(&kit.send(BrowserRequest::new(Method::GET, &at)).await), None);
    assert_eq!(TestHub::find_stop_page_link(&kit.submit_approval(&at, &page).await), None);
    assert_eq!(TestHub::find_stop_page_link(&kit.submit_decision(&denied.0, &denied.1, "deny").await), None);
    let answer = kit.send(BrowserRequest::new(Method::GET, &callback)).await;
    assert_eq!(TestHub::find_stop_page_link(&answer), None);
    assert_eq!(kit.sql("SELECT count(*) FROM connections").await, ["0"], "no connection was opened");
}

async fn provider_picked_before_suspension_is_rejected(kit: TestHub) {
    let app = register_app(&kit).await;
    let mut query = TestHub::build_authorization_query(&app);
    query.retain(|(name, _)| *name != "provider_id");
    let page = kit.authorize(&query).await;
    assert!(page.body.contains(r#"value="1000""#), "{}", page.body);
    kit.run_admin_step("registrations/{id}/1000/suspend", &app).await;
    let without = kit.authorize(&query).await;
    assert!(!without.body.contains(r#"value="1000""#) && without.body.contains(r#"value="2000""#));
    query.push(("provider_id", "1000".into()));
    let back = kit.authorize(&query).await.location.unwrap();
    assert_eq!(query_parameter(&back, "error").as_deref(), Some("unauthorized_client"), "{back}");
    kit.run_admin_step("recipients/{id}/suspend", &app).await;
    query.pop();
    let back = kit.authorize(&query).await.location.unwrap();
    assert_eq!(query_parameter(&back, "error").as_deref(), Some("unauthorized_client"), "{back}");
}

/// A minute may pass between the callback and the exchange of the code, in which an operator changes the recipient or the
/// provider.
async fn code_is_rejected_after_change_of_redirect_uri_or_scope(kit: TestHub) {
    let app = register_app(&kit).await;
    let code = kit.obtain_code(&app).await;
    let set_redirect_uri = async |uri: &str| {
        let uris = json!({"redirect_uris": [uri]});
        kit.run_admin_operation(Method::PUT, &format!("/recipients/{}", app.id), Some(uris)).await;
    };
    let redeem_error = async || {
        let refused = kit.redeem(&app, &code).await;
        (refused.status, refused.json()["error"].as_str().unwrap_or_default().to_owned())
    };

    set_redirect_uri("https://other.example.org/elsewhere").await;
    assert_eq!(redeem_error().await, (400, "invalid_request".into()));
    set_redirect_uri(&app.redirect_uri).await;
    kit.update_provider_settings(1000, |settings| {
        settings.scopes.remove(&DataCluster::Transactions);
    })
    .await;
    assert_eq!(redeem_error().await, (400, "invalid_scope".into()));

    // A rejected exchange does not use up the code: it can be redeemed after the change was reverted.
    kit.update_provider_settings(1000, |settings| {
        settings.scopes.insert(DataCluster::Transactions, "fdx:transactions:read".into());
    })
    .await;
    assert_eq!(kit.redeem(&app, &code).await.status, 200);
}

async fn suspension_during_exchange_queues_one_revocation(kit: TestHub) {
    let app = register_app(&kit).await;
    let callback = kit.approve_at_bank(&app).await;
    kit.inject_faults(json!({"latency_ms": 400})).await;
    let (answer, ()) = tokio::join!(kit.send(BrowserRequest::new(Method::GET, &callback)), async {
        let exchanging = "SELECT id FROM authorization_requests WHERE status = 'exchanging'";
        kit.wait_until("the bank is asked", async || !kit.sql(exchanging).await.is_empty()).await;
        kit.run_admin_step("recipients/{id}/suspend", &app).await;
    });
    let back = answer.location.unwrap();
    assert_eq!(query_parameter(&back, "error").as_deref(), Some("unauthorized_client"), "{back}");
    kit.wait_until("the provider is notified", async || kit.list_grant_states().await == ["ended"]).await;
    let jobs = "SELECT kind, state FROM jobs";
    kit.wait_until("it is done", async || kit.sql(jobs).await.contains(&"revoke_orphaned_grant|done".into()))
        .await;
    assert_eq!(kit.sql(jobs).await, ["revoke_orphaned_grant|done"]);
}

async fn suspended_clients_can_only_list_and_end_connections(kit: TestHub) {
    let (recipient, _) = create_active_recipient(&kit).await;
    let tokens = kit.connect_at(1000, &recipient, "alice", &["mt-alice-chequing"], SCOPE).await;
    kit.suspend(&recipient).await;
    kit.suspend(&kit.partner()).await;
    let by_recipient = kit.request_client_token(&recipient).await;
    let by_partner = kit.request_client_token(&kit.partner()).await;

    let mut allowed = Vec::new();
    let document: Value = serde_json::from_str(include_str!("../../../../openapi/flinks.json")).unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let methods = operations.as_object().unwrap().iter().filter(|(_, operation)| operation.is_object());
        for (method, operation) in methods.filter(|_| path.starts_with("/api/v1/")) {
            // These operations accept no token of a client itself, or need none.
            if ["/api/v1/token", "/api/v1/revoke", "/api/v1/authorize"].contains(&path.as_str()) {
                continue;
            }
            let at =
                path.replace("{client_id}", &recipient.id).replace("{connection_id}", tokens.id.as_str());
            let at = at
                .replace("{provider_id}", "1000")
                .replace("{recipient_ids}", &recipient.id)
                .replace("{provider_ids}", "1000");
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            for (caller, token) in [("recipient", &by_recipient), ("partner", &by_partner)] {
                let status = kit.call(method.clone(), &at, token).await.status;
                if !matches!(status, 400 | 401 | 403 | 415) {
                    allowed
                        .push(format!("{caller}: {} {status}", operation["operationId"].as_str().unwrap()));
                }
            }
        }
    }

    allowed.sort();
    assert_eq!(
        allowed,
        [
            "partner: endRecipientConnection 204",
            "partner: getRecipientConnection 200",
            "partner: listDataRecipients 200",
            "partner: listRecipientConnections 200",
            "recipient: endConnection 204",
            "recipient: getConnection 200",
            "recipient: listConnections 200",
        ]
    );
}
