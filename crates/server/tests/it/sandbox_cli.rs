//! Tests of the sandbox as a recipient's CI uses it: one line of JSON, then HTTP.

use std::collections::BTreeSet;

use bowline::cli::{Browser, BrowserRequest};
use domain::model::connection::UpstreamRevocation;
use http::Method;
use serde_json::{Value, json};

use crate::support::{HubApiClient, SCOPE, SandboxProcess, TestClient, TestHub, reserve_ports};

fn object_keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn sandbox_json_is_complete_and_stable_across_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let port = reserve_ports(10);
    let first = SandboxProcess::start(folder.path(), port).line.clone();
    let names = ["hub", "demo", "admin", "probes", "providers", "recipients", "partner", "operator"];
    assert_eq!(object_keys(&first), BTreeSet::from(names));
    for (name, above) in [("hub", 0), ("demo", 1), ("admin", 8), ("probes", 9)] {
        assert_eq!(first[name], format!("http://127.0.0.1:{}", port + above), "{name}");
    }
    let written = std::fs::read_to_string(folder.path().join("bowline.toml")).unwrap();
    for (key, above) in [("listen", 0), ("admin_listen", 8), ("probe_listen", 9)] {
        assert!(written.contains(&format!("\n{key} = \"127.0.0.1:{}\"\n", port + above)), "{written}");
    }
    assert!(first["operator"]["token"].as_str().is_some_and(|token| token.len() >= 43));
    let providers = first["providers"].as_array().unwrap();
    let known: Vec<_> = providers.iter().map(|p| (&p["provider_id"], &p["name"])).collect();
    assert_eq!(known, [(&json!(1000), &json!("Maple Trust")), (&json!(2000), &json!("Caisse Rideau"))]);
    let registration = &providers[0]["registration"];
    assert_eq!(registration["endpoint"], format!("http://127.0.0.1:{}/register", port + 2));
    assert!(registration["initial_access_token"].as_str().is_some_and(|token| token.len() >= 43));
    for (nth, provider) in providers.iter().enumerate() {
        let mut names = BTreeSet::from(["provider_id", "name", "url", "faults", "levers", "customers"]);
        // Only Maple Trust registers clients.
        names.extend((nth == 0).then_some("registration"));
        assert_eq!(object_keys(provider), names);
        let customers = provider["customers"].as_array().unwrap();
        assert_eq!(customers.len(), 6);
        let key = ["maple", "rideau"][nth];
        for customer in customers {
            let username = customer["username"].as_str().unwrap();
            assert_eq!(customer["password"], format!("{username}-at-{key}"));
        }
    }
    for recipient in first["recipients"].as_array().unwrap() {
        let names = ["client_id", "client_secret", "redirect_uris", "scope"];
        assert_eq!(object_keys(recipient), BTreeSet::from(names));
    }
    let restarted = SandboxProcess::start(folder.path(), port).line.clone();
    assert_eq!(first, restarted);
}

#[test]
fn sandbox_secrets_are_random_without_seed() {
    let folders = [(); 4].map(|()| tempfile::tempdir().unwrap());
    let port = reserve_ports(10);
    let start = |nth: usize, arguments: &[&str]| {
        SandboxProcess::start_with(folders[nth].path(), port, arguments).line.clone()
    };

    let [first, second] = [start(0, &[]), start(1, &[])];
    let [seeded, repeated] = [start(2, &["--seed", "demo"]), start(3, &["--seed", "demo"])];

    let secrets = |line: &Value| {
        let clients = line["recipients"].as_array().unwrap().iter().chain([&line["partner"]]);
        let mut secrets: Vec<_> = clients.map(|client| client["client_secret"].clone()).collect();
        secrets.push(line["operator"]["token"].clone());
        secrets.push(line["providers"][0]["registration"]["initial_access_token"].clone());
        secrets
    };
    for (one, other) in secrets(&first).iter().zip(&secrets(&second)) {
        assert!(one.as_str().is_some_and(|secret| secret.len() >= 43));
        assert_ne!(one, other);
    }
    assert_eq!(seeded, repeated, "everything depends on the seed, not on the folder");
    let passwords = |line: &Value| line["providers"][0]["customers"].clone();
    assert_eq!(passwords(&first)[0], json!({"username": "alice", "password": "alice-at-maple"}));
    assert_eq!(passwords(&first), passwords(&seeded));
}

/// A test as a recipient would write it, which uses only the line of JSON and HTTP.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sandbox_json_output_is_enough_to_connect_and_revoke() {
    let folder = tempfile::tempdir().unwrap();
    let world = SandboxProcess::start(folder.path(), 0);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (line, browser) = (&world.line, Browser::new().unwrap());
    let (hub, maple) = (text(&line["hub"]), &line["providers"][0]);
    let recipient = world.own_app();
    let api = HubApiClient { browser: &browser, hub: &hub };
    let tokens = world.connect(&browser, 0).await;
    assert_eq!(api.read("/accounts", &tokens.access).await.status, 200);
    assert_eq!(maple["levers"], maple["faults"], "the old name still works");
    let mut faults = BrowserRequest::new(Method::PUT, &text(&maple["faults"]));
    faults.json = Some(json!({"fail": 503}));
    assert_eq!(browser.send(faults).await.unwrap().status, 200);
    let broken = api.read("/accounts", &tokens.access).await;
    assert_eq!((broken.status, &broken.json()["code"]), (503, &503.into()));
    assert_eq!(api.revoke(&tokens.access).await.status, 204, "an end does not depend on the provider");
    let read = api.read("/accounts", &tokens.access).await;
    assert_eq!((read.status, &read.json()["code"]), (401, &602.into()));
    assert_eq!(api.refresh(&recipient, &tokens.refresh).await.json()["error"], "invalid_grant");
    assert_eq!(api.redeem(&recipient, &tokens.code).await.json()["error"], "invalid_grant");
    let partner = &line["partner"];
    let partner = TestClient {
        id: text(&partner["client_id"]),
        secret: text(&partner["client_secret"]),
        redirect_uri: String::new(),
    };
    let own =
        api.request_token(&partner, &[("grant_type", "client_credentials"), ("scope", "client:admin")]).await;
    assert_eq!((own.status, &own.json()["scope"]), (200, &json!("client:admin")), "{}", own.body);
}

#[tokio::test]
async fn shared_grant_is_revoked_with_last_connection_in_sandbox() {
    const PRAIRIE: i64 = 3000;
    let kit = TestHub::new().await;
    let (one, two) = (
        kit.register_recipient(&[PRAIRIE], SCOPE, false).await,
        kit.register_recipient(&[PRAIRIE], SCOPE, false).await,
    );
    let first = kit.connect_at(PRAIRIE, &one, "alice", &[], SCOPE).await;
    let second = kit.connect_at(PRAIRIE, &two, "alice", &[], SCOPE).await;
    let bob = kit.connect_at(PRAIRIE, &one, "bob", &[], SCOPE).await;
    assert_eq!(kit.revoke(&first.access).await.status, 204);
    assert_eq!(
        kit.load_connection(&first.id).await.provider_revocation,
        UpstreamRevocation::NotNeeded,
        "revoking would end the other connection"
    );
    assert_eq!(kit.read("/accounts", &first.access).await.json()["code"], 602);
    assert_eq!(kit.read("/accounts", &second.access).await.status, 200);
    assert_eq!(kit.revoke(&second.access).await.status, 204);
    kit.wait_until("the provider is notified of the last end", async || {
        kit.load_connection(&second.id).await.provider_revocation == UpstreamRevocation::Accepted
    })
    .await;
    assert_eq!(kit.read("/accounts", &bob.access).await.status, 200, "another customer is not affected");
    let url = format!("{}/grants", kit.bank_site(PRAIRIE).faults_url());
    let grants = kit.send(BrowserRequest::new(Method::GET, &url)).await.json();
    let of = |name: &str| {
        let theirs = grants.as_array().unwrap().iter().filter(|g| g["username"] == name);
        theirs.map(|g| g["state"].as_str().unwrap()).collect::<BTreeSet<_>>()
    };
    assert_eq!((of("alice"), of("bob")), (BTreeSet::from(["ended"]), BTreeSet::from(["active"])));
}
