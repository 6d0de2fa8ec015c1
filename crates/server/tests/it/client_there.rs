//! Providers that register a client for each recipient by themselves (RFC 7591): their answer activates.

mod held;
mod refused;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::model::provider::{ClientAuthentication, DynamicRegistration, SecretSource, UpstreamClient};
use http::{Method, Request, Response};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::kit::{Kit, Recipient, SCOPE, StandIn, Tokens, hex, on_both, parameter, says};

on_both!(
    the_banks_answer_activates_and_the_client_is_used,
    a_bank_that_is_down_is_asked_again,
    a_rejection_meanwhile_stands_and_the_client_is_deleted,
    a_removal_meanwhile_stands_and_the_client_is_deleted,
    an_activation_by_hand_meanwhile_stands,
    what_cannot_be_used_activates_nothing,
    the_client_of_a_removed_recipient_is_deleted_after_its_ends_were_told,
    a_provider_of_the_apis_own_registers_with_a_sealed_token,
    nobody_is_registered_when_it_has_been_decided,
);

impl Kit {
    /// Maple Trust knows a client for each registration, which it registers at an address.
    async fn registers_at(&self, endpoint: &str) {
        let file = self.data_folder().join("initial.token");
        std::fs::write(&file, self.world.maple().bank.initial_access_token().unwrap()).unwrap();
        let (endpoint, file) = (endpoint.to_owned(), file.display().to_string());
        self.set_up(1000, |settings| {
            settings.upstream_client = UpstreamClient::Registration;
            settings.client_id = "nobody".into();
            settings.client_secret = SecretSource::Env("BOWLINE_NO_SUCH_SECRET".into());
            let initial_access_token = Some(SecretSource::File(file));
            settings.dynamic_registration = Some(DynamicRegistration { endpoint, initial_access_token });
        })
        .await;
    }

    pub(crate) async fn registers(&self) {
        self.registers_at(&format!("{}/register", self.world.maple().url)).await;
    }

    /// A recipient whose registration an operator has just approved.
    pub(crate) async fn sent_to_the_bank(&self) -> Recipient {
        let recipient = self.created(&self.client_token(&self.partner()).await).await;
        self.requested(&recipient).await;
        self.took(&recipient, "approve", json!({})).await;
        recipient
    }

    async fn requested(&self, recipient: &Recipient) {
        let path = format!("/api/v1/recipients/providers/requests/{}/1000", recipient.id);
        let asked = self.call(Method::POST, &path, &self.client_token(&self.partner()).await).await;
        assert_eq!(asked.status, 200, "{}", asked.body);
    }

    async fn registration(&self, recipient: &Recipient) -> Value {
        self.did(Method::GET, &format!("/registrations/{}/1000", recipient.id), None).await
    }

    pub(crate) async fn until_state(&self, recipient: &Recipient, state: &str) {
        self.until(state, async || self.registration(recipient).await["state"] == state).await;
    }

    /// The jobs of a kind, the newest first.
    pub(crate) async fn jobs_of(&self, kind: &str) -> Vec<Value> {
        let listed = self.did(Method::GET, &format!("/jobs?kind={kind}"), None).await;
        listed["items"].as_array().unwrap().clone()
    }

    /// What the newest job of a kind came to, when it is over or was tried.
    pub(crate) async fn until_job(&self, kind: &str, state: &str) -> Value {
        let newest = async || self.jobs_of(kind).await.first().cloned().unwrap_or_default();
        let tried = async || {
            let job = newest().await;
            job["state"] == state && job["attempts"].as_i64() > Some(0)
        };
        self.until(&format!("{kind} {state}"), tried).await;
        newest().await
    }

    /// Who took the steps of a recipient's registration.
    async fn steps(&self, recipient: &Recipient) -> Vec<String> {
        let steps = format!(
            "SELECT actor_kind, detail FROM audit_events WHERE action = 'registration.changed' AND subject_id = '{}' \
             ORDER BY seq",
            recipient.id
        );
        let said = |row: String| {
            let (actor, detail) = row.split_once('|').unwrap();
            let detail: Value = serde_json::from_str(detail).unwrap();
            format!("{actor} {}", detail["state"].as_str().unwrap())
        };
        self.behind(&steps).await.into_iter().map(said).collect()
    }
}

/// A registration endpoint of the test's own: it keeps its answer back until it is told to give it.
struct Gate {
    url: String,
    calls: Arc<Mutex<Vec<(String, String)>>>,
    arrived: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Gate {
    async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let gate = Self {
            url,
            calls: Arc::default(),
            arrived: Arc::new(Semaphore::new(0)),
            open: Arc::new(Semaphore::new(0)),
        };
        let (calls, arrived, open) = (gate.calls.clone(), gate.arrived.clone(), gate.open.clone());
        let answered = move |request: Request<axum::body::Body>| async move {
            let asked = format!("{} {}", request.method(), request.uri());
            let bearer = request.headers()["authorization"].to_str().unwrap().to_owned();
            calls.lock().unwrap().push((asked, bearer));
            if request.method() == Method::DELETE {
                return Response::builder().status(204).body(String::new()).unwrap();
            }
            arrived.add_permits(1);
            open.acquire().await.unwrap().forget();
            says(201, &good("there-1"))
        };
        let router = axum::Router::new().fallback(answered);
        tokio::spawn(async move { axum::serve(listener, router).await });
        gate
    }

    /// Waits until somebody asks for a client.
    async fn arrived(&self) {
        self.arrived.acquire().await.unwrap().forget();
    }

    fn answers(&self) {
        self.open.add_permits(1);
    }

    fn calls(&self) -> Vec<(String, String)> {
        self.calls.lock().unwrap().clone()
    }
}

/// A client as a provider answers that has registered it.
fn good(id: &str) -> Value {
    json!({
        "client_id": id, "client_secret": "secret-there", "client_secret_expires_at": 0,
        "registration_access_token": "managed-by-this",
    })
}

async fn the_banks_answer_activates_and_the_client_is_used(kit: Kit) {
    kit.registers().await;
    let recipient = kit.sent_to_the_bank().await;
    kit.until_state(&recipient, "active").await;
    let clients = kit.world.maple().bank.clients();
    let kept = kit
        .behind("SELECT upstream_client_id FROM registrations WHERE upstream_management IS NOT NULL")
        .await;
    assert_eq!((clients.len(), &kept), (1, &clients));
    let job = kit.until_job("register_client", "done").await;
    assert_eq!((&job["outcome"], &job["attempts"]), (&json!("HTTP 201: activated"), &json!(1)));
    assert_eq!((&job["connection_id"], &job["client_id"]), (&Value::Null, &json!(recipient.id)));
    let steps = ["partner pending_approval", "operator pending_activation", "provider active"];
    assert_eq!(kit.steps(&recipient).await, steps);
    kit.lives_by_its_own_client(&recipient).await;
}

async fn a_bank_that_is_down_is_asked_again(kit: Kit) {
    kit.registers().await;
    kit.levers(json!({"fail": 503})).await;
    let recipient = kit.sent_to_the_bank().await;
    let job = kit.until_job("register_client", "pending").await;
    assert_eq!(job["outcome"], "HTTP 503");
    assert_eq!(kit.registration(&recipient).await["state"], "pending_activation");
    kit.levers(json!({"fail": null, "rate_limited": true})).await;
    kit.advance(Duration::from_secs(6));
    kit.until("it is asked again", async || kit.jobs_of("register_client").await[0]["attempts"] == 2).await;
    assert_eq!(kit.jobs_of("register_client").await[0]["outcome"], "HTTP 429");
    kit.levers(json!({"rate_limited": false})).await;
    std::fs::write(kit.data_folder().join("initial.token"), "wrong").unwrap();
    kit.advance(Duration::from_secs(24));
    kit.until("and again", async || kit.jobs_of("register_client").await[0]["attempts"] == 3).await;
    assert_eq!(kit.jobs_of("register_client").await[0]["outcome"], "HTTP 401", "which may be set right");
    std::fs::write(
        kit.data_folder().join("initial.token"),
        kit.world.maple().bank.initial_access_token().unwrap(),
    )
    .unwrap();
    kit.advance(Duration::from_mins(2));
    kit.until_state(&recipient, "active").await;
    assert_eq!(kit.world.maple().bank.clients().len(), 1);
}

/// The client that came too late is deleted where it was registered, by its own token.
async fn deleted(kit: &Kit, gate: &Gate) {
    let job = kit.until_job("delete_client", "done").await;
    assert_eq!(job["outcome"], "HTTP 204");
    let (asked, bearer) = gate.calls().pop().unwrap();
    assert_eq!((asked.as_str(), bearer.as_str()), ("DELETE /register/there-1", "Bearer managed-by-this"));
}

async fn a_rejection_meanwhile_stands_and_the_client_is_deleted(kit: Kit) {
    let gate = Gate::new().await;
    kit.registers_at(&format!("{}/register", gate.url)).await;
    let recipient = kit.sent_to_the_bank().await;
    gate.arrived().await;
    kit.took(&recipient, "reject", json!({"reason": "Not a licensed company"})).await;
    gate.answers();
    let job = kit.until_job("register_client", "done").await;
    let found = kit.registration(&recipient).await;
    assert_eq!(found["state"], "rejected", "the rejection stands");
    assert_eq!(found["reason"], "Not a licensed company");
    let told =
        "HTTP 201: the registration does not wait for the provider any more; the client is deleted there";
    assert_eq!(job["outcome"], told);
    deleted(&kit, &gate).await;
    let kept =
        kit.behind("SELECT client_id FROM registrations WHERE upstream_client_secret IS NOT NULL").await;
    assert_eq!(kept, [""; 0]);
}

async fn a_removal_meanwhile_stands_and_the_client_is_deleted(kit: Kit) {
    let gate = Gate::new().await;
    kit.registers_at(&format!("{}/register", gate.url)).await;
    let recipient = kit.sent_to_the_bank().await;
    gate.arrived().await;
    let path = format!("/api/v1/recipients/{}", recipient.id);
    let token = kit.client_token(&kit.partner()).await;
    assert_eq!(kit.call(Method::DELETE, &path, &token).await.status, 204);
    gate.answers();
    deleted(&kit, &gate).await;
    let state = format!("SELECT state FROM registrations WHERE client_id = '{}'", recipient.id);
    assert_eq!(kit.behind(&state).await, ["pending_activation"], "nothing was activated");
}

async fn an_activation_by_hand_meanwhile_stands(kit: Kit) {
    let gate = Gate::new().await;
    kit.registers_at(&format!("{}/register", gate.url)).await;
    let recipient = kit.sent_to_the_bank().await;
    gate.arrived().await;
    let by_hand = json!({"upstream_client_id": "by-hand", "upstream_client_secret": "x"});
    kit.took(&recipient, "activate", by_hand).await;
    gate.answers();
    deleted(&kit, &gate).await;
    let used = kit.behind("SELECT upstream_client_id FROM registrations WHERE state = 'active'").await;
    assert!(used.contains(&"by-hand".to_owned()) && !used.contains(&"there-1".to_owned()), "{used:?}");
}

async fn what_cannot_be_used_activates_nothing(kit: Kit) {
    let answer = Arc::new(Mutex::new((201, String::new())));
    let given = answer.clone();
    let bank = StandIn::new(move |call| {
        if call.path != "/register" {
            return Response::builder().status(204).body(String::new()).unwrap();
        }
        let (status, body) = given.lock().unwrap().clone();
        Response::builder().status(status).body(body).unwrap()
    })
    .await;
    kit.registers_at(&format!("{}/register", bank.url)).await;
    kit.set_up(1000, |settings| settings.auth = ClientAuthentication::ClientSecretBasic).await;
    let with = |field: &str, value: Value| {
        let mut body = good("there-2");
        body[field] = value;
        body.to_string()
    };
    let deleted = "; the client is deleted there";
    let left = "; a client may be left at the provider, which does not say how to delete it";
    let evil = [
        ("{".into(), "its answer cannot be read", left),
        ("x".repeat(100_000), "its answer is too large", left),
        (with("client_id", json!("a\r\nb")), "client_id is missing, too long or not printable", left),
        (
            with("client_secret", json!("x".repeat(5000))),
            "client_secret is missing, too long or not printable",
            deleted,
        ),
        (
            with("client_secret_expires_at", json!(1)),
            "the client's secret expires, and nothing renews it",
            deleted,
        ),
        (
            with("token_endpoint_auth_method", json!("private_key_jwt")),
            "the client authenticates otherwise than the provider's settings say",
            deleted,
        ),
        (
            with("redirect_uris", json!(["https://evil.example.org/"])),
            "the client may not be called back by the hub's URI",
            deleted,
        ),
    ];
    let recipient = {
        *answer.lock().unwrap() = (201, evil[0].0.clone());
        kit.sent_to_the_bank().await
    };
    let mut deletions = 0;
    for (nth, (body, why, then)) in evil.iter().enumerate() {
        if nth > 0 {
            *answer.lock().unwrap() = (201, body.clone());
            let dead = kit.jobs_of("register_client").await[0]["id"].as_str().unwrap().to_owned();
            kit.did(Method::POST, &format!("/jobs/{dead}/retry"), None).await;
        }
        let job = kit.until_job("register_client", "dead").await;
        assert_eq!(job["outcome"], format!("HTTP 201: {why}{then}"));
        assert_eq!(kit.registration(&recipient).await["state"], "pending_activation", "{why}");
        deletions += usize::from(*then == deleted);
        kit.until("it is deleted", async || {
            bank.calls().iter().filter(|call| call.path == "/register/there-2").count() == deletions
        })
        .await;
    }
    // Who stands at another origin is never asked.
    *answer.lock().unwrap() = (
        201,
        with("registration_client_uri", json!("http://127.0.0.1:1/steal")).replace("there-2", "there-3"),
    );
    let dead = kit.jobs_of("register_client").await[0]["id"].as_str().unwrap().to_owned();
    kit.did(Method::POST, &format!("/jobs/{dead}/retry"), None).await;
    kit.until_state(&recipient, "active").await;
    let kept = kit
        .behind("SELECT upstream_management FROM registrations WHERE upstream_client_id = 'there-3'")
        .await;
    assert_eq!(kept, [""], "it is not kept");
}

async fn the_client_of_a_removed_recipient_is_deleted_after_its_ends_were_told(kit: Kit) {
    kit.registers().await;
    let recipient = kit.sent_to_the_bank().await;
    kit.until_state(&recipient, "active").await;
    kit.connect_at(1000, &recipient, "alice", &["mt-alice-chequing"], SCOPE).await;
    kit.connect(&kit.acme_by_hand().await).await;
    kit.levers(json!({"fail": 503})).await;
    let path = format!("/api/v1/recipients/{}", recipient.id);
    let token = kit.client_token(&kit.partner()).await;
    assert_eq!(kit.call(Method::DELETE, &path, &token).await.status, 204);
    let job = kit.until_job("delete_client", "pending").await;
    assert_eq!(job["outcome"], "the provider is still to be told of ends by this client");
    assert_eq!(kit.world.maple().bank.clients().len(), 1);
    kit.levers(json!({"fail": null})).await;
    kit.until("the client is gone", async || {
        kit.advance(Duration::from_secs(30));
        kit.world.maple().bank.clients().is_empty()
    })
    .await;
    let told = kit.until_job("tell_bank", "done").await;
    assert_eq!(told["outcome"], "HTTP 200", "by the client itself, before it went");
    let mut grants = kit.grants().await;
    grants.sort();
    assert_eq!(grants, ["active", "ended"], "nobody else's grant ended");
    assert_eq!(kit.until_job("delete_client", "done").await["holds_token"], false);
}

impl Kit {
    /// Acme, with the hub's former client as its own at Maple Trust.
    async fn acme_by_hand(&self) -> Recipient {
        let secret = std::fs::read_to_string(self.data_folder().join("maple.secret")).unwrap();
        let other = self.created(&self.client_token(&self.partner()).await).await;
        self.requested(&other).await;
        self.levers(json!({"fail": 503})).await;
        self.took(&other, "approve", json!({})).await;
        let there = json!({"upstream_client_id": "bowline", "upstream_client_secret": secret.trim_end()});
        self.took(&other, "activate", there).await;
        self.levers(json!({"fail": null})).await;
        other
    }
}

async fn a_provider_of_the_apis_own_registers_with_a_sealed_token(kit: Kit) {
    let token = kit.world.maple().bank.initial_access_token().unwrap();
    let shown = kit.did(Method::GET, "/providers/1000", None).await;
    let mut body = shown["settings"].clone();
    let endpoint = format!("{}/register", kit.world.maple().url);
    for (field, value) in [
        ("id", json!(4000)),
        ("client_secret", json!("nobody-needs-it")),
        ("upstream_client", json!("registration")),
        ("dynamic_registration", json!({"endpoint": endpoint, "initial_access_token": token})),
    ] {
        body[field] = value;
    }
    let before = kit.behind("SELECT id FROM providers").await;
    for (there, client, field) in [
        (json!({"endpoint": endpoint}), "hub", "dynamic_registration"),
        (json!({"endpoint": "ftp://x/"}), "registration", "dynamic_registration.endpoint"),
        (json!({}), "registration", "dynamic_registration"),
        (json!("x"), "registration", "dynamic_registration"),
        (json!({"endpoint": endpoint, "colour": 1}), "registration", "dynamic_registration.colour"),
        (
            json!({"endpoint": endpoint, "initial_access_token": {"env": "HOME"}}),
            "registration",
            "dynamic_registration.initial_access_token",
        ),
        (
            json!({"endpoint": endpoint, "initial_access_token": "a\nb"}),
            "registration",
            "dynamic_registration.initial_access_token",
        ),
    ] {
        let mut bad = body.clone();
        (bad["dynamic_registration"], bad["upstream_client"]) = (there, json!(client));
        let refused = kit.admin_post("/providers", bad).await;
        assert_eq!((refused.status, &refused.json()["field"]), (400, &json!(field)), "{}", refused.body);
    }
    assert_eq!(kit.behind("SELECT id FROM providers").await, before, "nothing was added");

    let added = kit.admin_post("/providers", body).await;
    assert_eq!(added.status, 201, "{}", added.body);
    assert_eq!(added.json()["settings"]["dynamic_registration"], json!({"endpoint": endpoint}));
    let row =
        kit.behind("SELECT settings, initial_access_token FROM providers WHERE id = 4000").await.concat();
    assert!(!row.contains(&token) && !row.contains(&hex(token.as_bytes())), "it is sealed");
    let looked = kit.did(Method::POST, "/providers/4000/test", None).await;
    assert_eq!(looked["ok"], true, "{looked}");
    let names: Vec<_> =
        looked["checks"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"initial_access_token") && names.contains(&"registration"), "{names:?}");

    let recipient = kit.created(&kit.client_token(&kit.partner()).await).await;
    let ids = json!({"client_ids": [recipient.id], "provider_ids": [4000]});
    kit.did(Method::POST, "/registrations", Some(ids)).await;
    let path = format!("/registrations/{}/4000", recipient.id);
    kit.did(Method::POST, &format!("{path}/approve"), None).await;
    kit.until("the bank activates", async || kit.did(Method::GET, &path, None).await["state"] == "active")
        .await;
    let mut query = Kit::ask(&recipient);
    query.retain(|(name, _)| *name != "provider_id");
    query.push(("provider_id", "4000".into()));
    let code = parameter(&kit.arrive(&query, "alice", &["mt-alice-chequing"]).await, "code").unwrap();
    let tokens = Tokens::of(&kit.redeem(&recipient, &code).await, code);
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
}

async fn nobody_is_registered_when_it_has_been_decided(kit: Kit) {
    let bank = StandIn::new(|_| says(503, &json!({}))).await;
    kit.registers_at(&format!("{}/register", bank.url)).await;
    let recipient = kit.sent_to_the_bank().await;
    kit.until_job("register_client", "pending").await;
    let asked = bank.calls().len();
    kit.took(&recipient, "reject", json!({"reason": "no"})).await;
    kit.advance(Duration::from_mins(1));
    let job = kit.until_job("register_client", "done").await;
    assert_eq!(job["outcome"], "the registration does not wait for the provider any more");
    kit.set_up(1000, |settings| settings.dynamic_registration = None).await;
    kit.requested(&recipient).await;
    kit.took(&recipient, "approve", json!({})).await;
    assert_eq!(kit.jobs_of("register_client").await.len(), 1, "it is activated by hand");
    assert_eq!(bank.calls().len(), asked, "the bank is not asked in vain");
    let sent: Value = serde_json::from_str(&bank.calls()[0].body).unwrap();
    assert_eq!((&sent["client_name"], &sent["software_id"]), (&json!("Flinks Fake"), &json!(recipient.id)));
    assert_eq!(sent["redirect_uris"], json!([kit.url("/callback/1000")]));
}
