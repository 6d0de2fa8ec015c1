//! Partners: their recipients, registrations, secrets, and the end of all of it.

use bowline::cli::Answer;
use bowline::job;
use bowline::manage::{ClientThere, Pair, activate, approve, reinstate, reject, suspend};
use domain::id::{ClientId, ProviderId};
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::provider::{SecretSource, UpstreamClient};
use http::Method;
use serde_json::Value;

use crate::kit::{Kit, Recipient, SCOPE, on_both, parameter};

on_both!(
    a_registration_is_walked_through_and_obeyed_at_each_step,
    a_regenerated_secret_ends_the_old_one_and_the_clients_own_tokens,
);

fn operator() -> Actor {
    Actor::new(ActorKind::Operator, "test")
}

pub(crate) fn pair(recipient: &Recipient) -> Pair {
    Pair { client_id: ClientId::parse(&recipient.id).unwrap(), provider_id: ProviderId::new(1000) }
}

/// A recipient of the sandbox's partner with an active registration, and the partner's token.
pub(crate) async fn active(kit: &Kit) -> (Recipient, String) {
    let token = kit.client_token(&kit.partner()).await;
    let recipient = kit.created(&token).await;
    asked(kit, &recipient, &token).await;
    let ctx = job::context(kit.app(), "test").unwrap();
    approve(&ctx, &pair(&recipient), &operator()).await.unwrap();
    activate(&ctx, &pair(&recipient), None, &operator()).await.unwrap();
    (recipient, token)
}

async fn asked(kit: &Kit, recipient: &Recipient, token: &str) -> Answer {
    let path = format!("/api/v1/recipients/providers/requests/{}/1000", recipient.id);
    kit.call(Method::POST, &path, token).await
}

/// The partner's view of the registration.
async fn status(kit: &Kit, recipient: &Recipient, token: &str) -> Value {
    let path = format!("/api/v1/recipients/{}/providers/1000", recipient.id);
    kit.call(Method::GET, &path, token).await.json()
}

/// What an authorization request comes to: the error that the recipient is told, or `None` if it goes on.
async fn refused(kit: &Kit, recipient: &Recipient) -> Option<String> {
    let answer = kit.authorize(&Kit::ask(recipient)).await;
    if answer.status == 400 {
        return Some("page".into());
    }
    parameter(&answer.location.unwrap(), "error")
}

async fn a_registration_is_walked_through_and_obeyed_at_each_step(kit: Kit) {
    let token = kit.client_token(&kit.partner()).await;
    let recipient = kit.created(&token).await;
    let ctx = job::context(kit.app(), "test").unwrap();
    assert_eq!(refused(&kit, &recipient).await.unwrap(), "page", "it may redirect nobody yet");

    let answer = asked(&kit, &recipient, &token).await;
    assert_eq!((answer.status, answer.json().as_array().unwrap().len()), (200, 1));
    assert_eq!(status(&kit, &recipient, &token).await["registration_status"], "PENDING_APPROVAL");
    assert_eq!(asked(&kit, &recipient, &token).await.status, 409);
    let rejected = reject(&ctx, &pair(&recipient), "Not a licensed company".into(), &operator()).await;
    assert_eq!(rejected.unwrap().as_str(), "rejected");
    let seen = status(&kit, &recipient, &token).await;
    assert_eq!(
        (&seen["registration_status"], &seen["reason"]),
        (&"REJECTED".into(), &"Not a licensed company".into())
    );
    assert_eq!(
        asked(&kit, &recipient, &token).await.status,
        200,
        "what was turned down may be asked for again"
    );

    assert!(activate(&ctx, &pair(&recipient), None, &operator()).await.is_err(), "not before it is approved");
    approve(&ctx, &pair(&recipient), &operator()).await.unwrap();
    assert_eq!(status(&kit, &recipient, &token).await["registration_status"], "PENDING_ACTIVATION");
    assert_eq!(refused(&kit, &recipient).await.unwrap(), "page");
    activate(&ctx, &pair(&recipient), None, &operator()).await.unwrap();
    let seen = status(&kit, &recipient, &token).await;
    assert_eq!((&seen["registration_status"], seen.get("reason")), (&"ACTIVE".into(), None));
    assert_eq!(refused(&kit, &recipient).await, None);

    let tokens = kit.connect_at(1000, &recipient, "alice", &["mt-alice-chequing"], SCOPE).await;
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    suspend(&ctx, &pair(&recipient), None, &operator()).await.unwrap();
    assert_eq!(status(&kit, &recipient, &token).await["registration_status"], "SUSPENDED");
    let held = kit.read("/accounts", &tokens.access).await;
    assert_eq!((held.status, &held.json()["code"]), (403, &403.into()));
    assert_eq!(kit.refresh(&recipient, &tokens.refresh).await.json()["error"], "unauthorized_client");
    reinstate(&ctx, &pair(&recipient), &operator()).await.unwrap();
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200, "nothing was destroyed");
    suspend(&ctx, &pair(&recipient), None, &operator()).await.unwrap();
    assert_eq!(kit.revoke(&tokens.access).await.status, 204, "revoking always works");
}

async fn a_regenerated_secret_ends_the_old_one_and_the_clients_own_tokens(kit: Kit) {
    let (recipient, token) = active(&kit).await;
    let tokens = kit.connect_at(1000, &recipient, "alice", &["mt-alice-chequing"], SCOPE).await;
    let other = kit.client_token(&kit.other_partner().await).await;
    let path = format!("/api/v1/recipients/{}/secret", recipient.id);
    assert_eq!(kit.call(Method::POST, &path, &other).await.status, 404, "it is another's");
    assert_eq!(kit.refresh(&recipient, &tokens.refresh).await.status, 200);

    let regenerated = kit.call(Method::POST, &path, &token).await;
    assert_eq!((regenerated.status, &regenerated.json()["client_id"]), (200, &recipient.id.as_str().into()));
    let secret = regenerated.json()["client_secret"].as_str().unwrap().to_owned();
    let renewed = Recipient { secret, ..recipient.clone() };
    assert_eq!(kit.refresh(&recipient, &tokens.refresh).await.json()["error"], "invalid_client");
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200, "connection tokens live on");
    assert_eq!(kit.refresh(&renewed, &tokens.refresh).await.status, 200);
    let audited = "SELECT actor_kind, actor_id FROM audit_events WHERE action = 'client.secret_regenerated'";
    assert_eq!(kit.behind(audited).await, ["partner|pt-sandbox"]);
}

/// A provider that knows a client for each registration is spoken with as that client, and as no other.
#[tokio::test]
async fn a_registrations_own_client_is_used_at_its_provider() {
    let kit = Kit::new().await;
    let token = kit.client_token(&kit.partner()).await;
    let recipient = kit.created(&token).await;
    asked(&kit, &recipient, &token).await;
    let ctx = job::context(kit.app(), "test").unwrap();
    approve(&ctx, &pair(&recipient), &operator()).await.unwrap();
    let secret = std::fs::read_to_string(kit.data_folder().join("maple.secret")).unwrap();
    kit.set_up(1000, |settings| {
        settings.upstream_client = UpstreamClient::Registration;
        settings.client_id = "nobody".into();
        settings.client_secret = SecretSource::Env("BOWLINE_NO_SUCH_SECRET".into());
    })
    .await;
    let refused = activate(&ctx, &pair(&recipient), None, &operator()).await.unwrap_err();
    assert_eq!(refused.to_string(), "upstream_client_id is missing");
    let there = ClientThere { id: "bowline".into(), secret: domain::Secret::from(secret.trim_end()) };
    activate(&ctx, &pair(&recipient), Some(there), &operator()).await.unwrap();
    let kept = kit
        .behind("SELECT upstream_client_secret FROM registrations WHERE upstream_client_id = 'bowline'")
        .await;
    assert!(
        kept.len() == 1 && !kept[0].contains(&crate::kit::hex(secret.trim_end().as_bytes())),
        "it is sealed"
    );

    let tokens = kit.connect_at(1000, &recipient, "alice", &["mt-alice-chequing"], SCOPE).await;
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    kit.advance(std::time::Duration::from_mins(30));
    let later =
        kit.refresh(&recipient, &tokens.refresh).await.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(kit.read("/accounts", &later).await.status, 200, "it is refreshed there as well");
    assert_eq!(kit.revoke(&later).await.status, 204);
    kit.until("the bank is told", async || kit.grants().await == ["ended"]).await;
}
