use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::id::ProviderId;
use crate::model::audit_event::AuditHead;
use crate::model::client::About;
use crate::model::provider::ProviderSource;
use crate::rule::authorize::tests::client;

const BACK: &str = "https://hub.example/callback/1000";

fn provider() -> ProviderSettings {
    serde_json::from_value(json!({
        "name": "Maple Trust", "country": "CA", "authorization_endpoint": "https://maple.example/authorize",
        "token_endpoint": "https://maple.example/token", "client_id": "bowline", "client_secret": "sealed",
        "fdx": {"base_url": "https://maple.example/fdx/v5", "version": "5"},
        "scopes": {"ACCOUNT_BASIC": "accounts", "TRANSACTIONS": "tx:read", "STATEMENTS": "papers"},
        "upstream_client": "registration",
        "dynamic_registration": {"endpoint": "https://maple.example/oauth/register"},
    }))
    .unwrap()
}

fn good() -> Value {
    json!({
        "client_id": "c-1", "client_secret": "s3cret", "client_secret_expires_at": 0, "client_id_issued_at": 5,
        "redirect_uris": [BACK], "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "client_secret_basic",
        "registration_client_uri": "https://maple.example/clients?id=c-1", "registration_access_token": "\"r\\",
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut body = good();
    body[field] = value;
    body
}

fn said(status: u16, body: &Value) -> Answered {
    read(status, body.to_string().as_bytes(), &provider(), BACK)
}

/// What is wrong with a client, and where it can be deleted.
fn wrong(body: &Value) -> (&'static str, Option<String>) {
    match said(201, body) {
        Answered::Unusable { why, management } => (why, management.map(|m| m.uri.to_string())),
        other => panic!("{other:?} of {body}"),
    }
}

/// Where a client that can be used can be deleted.
fn managed(body: &Value) -> Option<String> {
    match said(201, body) {
        Answered::Registered(client) => client.management.map(|m| m.uri.to_string()),
        other => panic!("{other:?} of {body}"),
    }
}

#[test]
fn a_provider_is_told_what_the_recipient_says_of_itself() {
    let about = About {
        terms_uri: Some("https://app.example/terms".into()),
        contacts: vec!["dev@app.example".into()],
        ..About::default()
    };
    let recipient = Recipient { client: client(), about };
    let told = serde_json::to_value(ClientMetadata::of(&recipient, &provider(), BACK)).unwrap();
    let wanted = json!({
        "client_name": "App", "redirect_uris": [BACK], "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"], "token_endpoint_auth_method": "client_secret_basic", "scope": "accounts tx:read",
        "software_id": "dc-1", "tos_uri": "https://app.example/terms", "contacts": ["dev@app.example"],
    });
    assert_eq!(told, wanted);
}

fn in_state(state: ProviderState, settings: ProviderSettings) -> Provider {
    let (source, audit) = (ProviderSource::Config, AuditHead::default());
    Provider { id: ProviderId::new(1000), state, source, settings, audit }
}

#[test]
fn only_a_registration_that_waits_is_due() {
    let active = in_state(ProviderState::Active, provider());
    for state in RegistrationState::ALL.iter().copied() {
        let waits = state == RegistrationState::PendingActivation;
        assert_eq!(due(Some(state), &active).err(), (!waits).then_some(NotDue::Decided), "{state}");
    }
    assert_eq!(due(None, &active), Err(NotDue::Decided));
    let by_hand = ProviderSettings { dynamic_registration: None, ..provider() };
    let waits = Some(RegistrationState::PendingActivation);
    assert_eq!(due(waits, &in_state(ProviderState::Active, by_hand.clone())), Err(NotDue::ByHand));
    assert_eq!(due(waits, &in_state(ProviderState::Paused, by_hand)), Err(NotDue::ByHand));
}

#[test]
fn a_provider_that_is_held_is_not_asked() {
    for state in ProviderState::ALL.iter().copied() {
        let wanted = match state {
            ProviderState::Active => None,
            ProviderState::Retired => Some(NotDue::Retired(Retired)),
            ProviderState::Paused | ProviderState::Tripped => Some(NotDue::Held(state)),
        };
        let provider = in_state(state, provider());
        assert_eq!(due(Some(RegistrationState::PendingActivation), &provider).err(), wanted, "{state}");
        assert_eq!(due(Some(RegistrationState::Rejected), &provider), Err(NotDue::Decided), "{state}");
    }
}

#[test]
fn a_client_that_can_be_used_is_taken() {
    let Answered::Registered(client) = said(201, &good()) else { panic!() };
    assert_eq!((client.id.as_str(), client.secret.expose().as_str()), ("c-1", "s3cret"));
    let management = client.management.unwrap();
    let again = Management::from_text(management.to_text().expose()).unwrap();
    assert_eq!((again.uri, again.token), (management.uri, management.token));
    for field in ["redirect_uris", "grant_types", "token_endpoint_auth_method", "client_secret_expires_at"] {
        let mut body = good();
        body.as_object_mut().unwrap().remove(field);
        assert!(matches!(said(201, &body), Answered::Registered(_)), "{field} may be absent");
        assert!(
            matches!(said(201, &with(field, Value::Null)), Answered::Registered(_)),
            "{field} may be null"
        );
    }
}

#[test]
fn a_client_that_cannot_be_used_is_named() {
    let id = "client_id is missing, too long or not printable";
    let secret = "client_secret is missing, too long or not printable";
    let long = "x".repeat(2049);
    for bad in
        [json!(null), json!(""), json!(5), json!("a b"), json!("é"), json!("a\nb"), json!(long), json!(["a"])]
    {
        assert_eq!(wrong(&with("client_id", bad.clone())).0, id, "{bad}");
        assert_eq!(wrong(&with("client_secret", bad.clone())).0, secret, "{bad}");
    }
    let expires = "the client's secret expires, and nothing renews it";
    for bad in [json!(1), json!(1_900_000_000), json!("0"), json!(false), json!(0.5)] {
        assert_eq!(wrong(&with("client_secret_expires_at", bad)).0, expires);
    }
    for (field, bad) in [
        ("token_endpoint_auth_method", json!("none")),
        ("token_endpoint_auth_method", json!("client_secret_post")),
        ("redirect_uris", json!([format!("{BACK}/")])),
        ("redirect_uris", json!(BACK)),
        ("grant_types", json!(["client_credentials"])),
    ] {
        let (why, deleted_at) = wrong(&with(field, bad.clone()));
        assert!(why.starts_with("the client "), "{field} {bad}: {why}");
        assert_eq!(deleted_at.as_deref(), Some("https://maple.example/clients?id=c-1"));
    }
    assert_eq!(wrong(&json!({})).0, id);
    assert_eq!(wrong(&json!([])), ("its answer cannot be read", None));
}

#[test]
fn a_client_is_managed_where_it_was_registered_and_nowhere_else() {
    let at = |uri: Value| managed(&with("registration_client_uri", uri));
    assert_eq!(at(json!("https://maple.example:443/x")).as_deref(), Some("https://maple.example/x"));
    assert_eq!(at(json!(null)).as_deref(), Some("https://maple.example/oauth/register/c-1"));
    let odd = json!({"client_id": "../a?b", "client_secret": "x", "registration_access_token": "r"});
    assert_eq!(managed(&odd).as_deref(), Some("https://maple.example/oauth/register/..%2Fa%3Fb"));
    for foreign in [
        "https://evil.example/x",
        "http://maple.example/x",
        "https://maple.example:444/x",
        "https://maple.example@evil.example/x",
        "https://me@maple.example/x",
        "/x",
        "file:///x",
        "",
    ] {
        assert_eq!(at(json!(foreign)), None, "{foreign}");
    }
    assert_eq!(at(json!(5)), None);
    assert_eq!(managed(&with("registration_access_token", json!(null))), None);
    assert_eq!(managed(&with("registration_access_token", json!("a b"))), None);
}

#[test]
fn only_what_no_repetition_mends_is_a_refusal() {
    for refusal in Refusal::ALL {
        let body = json!({"error": refusal.as_str(), "error_description": "mine"});
        assert!(matches!(said(400, &body), Answered::Refused(word) if word == *refusal));
        assert!(refusal.reason().ends_with(refusal.as_str()));
        assert_eq!(
            refusal.is_of_the_recipient(),
            refusal.as_str().contains("software_statement"),
            "{refusal}"
        );
        for status in [401, 403, 404, 409, 429, 500, 503] {
            assert!(matches!(said(status, &body), Answered::Later), "{status}");
        }
    }
    for body in [json!({"error": "mine"}), json!({}), json!([]), json!({"error": 5})] {
        assert!(matches!(said(400, &body), Answered::Later), "{body}");
    }
    for status in [202, 204, 302] {
        assert!(matches!(said(status, &good()), Answered::Later), "{status}");
    }
}

#[test]
fn a_client_is_gone_there_or_it_is_asked_again() {
    let wanted = [
        (204, Some(Attempt::Accepted)),
        (401, Some(Attempt::Over)),
        (404, Some(Attempt::Over)),
        (403, Some(Attempt::Refused)),
        (405, Some(Attempt::Refused)),
        (302, None),
        (429, None),
        (503, None),
    ];
    for (status, attempt) in wanted {
        assert_eq!(deleted(status), attempt, "{status}");
    }
}

proptest! {
    #[test]
    fn an_answer_is_read_or_refused_and_what_is_taken_can_be_sent(
        status in 100_u16..600,
        bytes: Vec<u8>,
        members in prop::collection::vec((
            prop::sample::select(vec![
                "client_id", "client_secret", "registration_client_uri", "registration_access_token", "redirect_uris",
                "client_secret_expires_at", "token_endpoint_auth_method", "grant_types", "error",
            ]),
            prop_oneof![
                Just(None),
                prop_oneof![".*", "[!-~]{1,40}", "https://maple\\.example/[!-~]{0,20}"].prop_map(Some),
            ],
        ), 0..8),
    ) {
        let object: Map<String, Value> = members.into_iter().map(|(name, text)| (name.into(), text.into())).collect();
        let mut bare = object.clone();
        bare.retain(|_, value| !value.is_null());
        let [nulls, bare] = [object.clone(), bare].map(|object| format!("{:?}", said(201, &Value::Object(object))));
        prop_assert_eq!(nulls, bare, "what is null is absent");
        for (status, body) in [(status, bytes), (201, Value::Object(object).to_string().into_bytes())] {
            let Answered::Registered(client) = read(status, &body, &provider(), BACK) else { continue };
            let plain = |text: &str| !text.is_empty() && text.len() <= 2048 && text.bytes().all(|b| b.is_ascii_graphic());
            prop_assert!(plain(&client.id) && plain(client.secret.expose()));
            if let Some(management) = client.management {
                prop_assert!(plain(management.token.expose()));
                prop_assert_eq!(management.uri.host_str(), Some("maple.example"));
                prop_assert!(Management::from_text(management.to_text().expose()).is_some());
            }
        }
    }
}
