//! Tests of the registration of upstream clients (RFC 7591) and their deletion (RFC 7592): requests, and responses of
//! any content.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::id::ProviderId;
use crate::model::audit_event::AuditHead;
use crate::model::client::ClientProfile;
use crate::model::provider::{ProviderSource, SettingsVersion};
use crate::rule::authorize::tests::client;
use crate::rule::provider_response::{ProviderCall, ProviderReply, ResponseBody, classify};

const CALLBACK_URI: &str = "https://hub.example/callback/1000";

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

fn valid_response() -> Value {
    json!({
        "client_id": "c-1", "client_secret": "s3cret", "client_secret_expires_at": 0, "client_id_issued_at": 5,
        "redirect_uris": [CALLBACK_URI], "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "client_secret_basic",
        "registration_client_uri": "https://maple.example/clients?id=c-1", "registration_access_token": "\"r\\",
    })
}

fn response_with(field: &str, value: Value) -> Value {
    let mut body = valid_response();
    body[field] = value;
    body
}

fn parse_json_response(status: u16, body: &Value) -> RegistrationResponse {
    read_response(status, body.to_string().as_bytes())
}

/// Classifies and evaluates a response.
fn read_response(status: u16, body: &[u8]) -> RegistrationResponse {
    let client = parse_response(body, &provider(), CALLBACK_URI);
    let error: Option<Value> = serde_json::from_slice(body).ok();
    let error_code = error.and_then(|error| error.get("error")?.as_str()?.parse().ok());
    let kind = match (&client, error_code) {
        (Ok(_), _) => ResponseBody::Complete,
        (Err(_), Some(code)) => ResponseBody::OAuthError(code),
        (Err(_), None) => ResponseBody::Other,
    };
    let reply = ProviderReply::Response { status, has_retry_after: false, body: kind };
    evaluate_response(classify(ProviderCall::Registration, reply), Some(status), error_code, client)
}

/// Returns the problem of an unusable client, and the URI for its deletion.
fn expect_unusable(body: &Value) -> (&'static str, Option<String>) {
    match parse_json_response(201, body) {
        RegistrationResponse::Unusable(client) => {
            (client.problem, client.management.map(|m| m.uri.to_string()))
        }
        other => panic!("{other:?} of {body}"),
    }
}

/// Returns the URI for the deletion of a usable client.
fn management_uri(body: &Value) -> Option<String> {
    match parse_json_response(201, body) {
        RegistrationResponse::Registered(client) => client.management.map(|m| m.uri.to_string()),
        other => panic!("{other:?} of {body}"),
    }
}

#[test]
fn rfc7591_s2_client_metadata_describes_recipient() {
    let client_profile = ClientProfile {
        terms_uri: Some("https://app.example/terms".into()),
        contacts: vec!["dev@app.example".into()],
        ..ClientProfile::default()
    };
    let recipient = Recipient { client: client(), client_profile };
    let metadata = serde_json::to_value(ClientMetadata::new(&recipient, &provider(), CALLBACK_URI)).unwrap();
    let expected = json!({
        "client_name": "App", "redirect_uris": [CALLBACK_URI], "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"], "token_endpoint_auth_method": "client_secret_basic", "scope": "accounts tx:read",
        "software_id": "dc-1", "tos_uri": "https://app.example/terms", "contacts": ["dev@app.example"],
    });
    assert_eq!(metadata, expected);
    let bound = ProviderSettings { dpop: Dpop::Required, ..provider() };
    let metadata = serde_json::to_value(ClientMetadata::new(&recipient, &bound, CALLBACK_URI)).unwrap();
    assert_eq!(metadata["dpop_bound_access_tokens"], true);
}

fn provider_in_state(state: ProviderState, settings: ProviderSettings) -> Provider {
    let (source, audit) = (ProviderSource::Config, AuditHead::default());
    let version = SettingsVersion::FIRST;
    Provider { id: ProviderId::new(1000), state, source, settings, discovered: None, version, audit }
}

#[test]
fn only_pending_activation_registration_is_due() {
    let active = provider_in_state(ProviderState::Active, provider());
    for state in RegistrationState::ALL.iter().copied() {
        let is_due = state == RegistrationState::PendingActivation;
        assert_eq!(
            ensure_due(Some(state), &active).err(),
            (!is_due).then_some(RegistrationNotDue::AlreadyDecided),
            "{state}"
        );
    }
    assert_eq!(ensure_due(None, &active), Err(RegistrationNotDue::AlreadyDecided));
    let without_registration = ProviderSettings { dynamic_registration: None, ..provider() };
    let pending = Some(RegistrationState::PendingActivation);
    assert_eq!(
        ensure_due(pending, &provider_in_state(ProviderState::Active, without_registration.clone())),
        Err(RegistrationNotDue::ManualActivation)
    );
    assert_eq!(
        ensure_due(pending, &provider_in_state(ProviderState::Paused, without_registration)),
        Err(RegistrationNotDue::ManualActivation)
    );
}

#[test]
fn registration_is_not_due_while_provider_is_paused() {
    for state in ProviderState::ALL.iter().copied() {
        let expected = match state {
            ProviderState::Active => None,
            ProviderState::Retired => Some(RegistrationNotDue::Retired(ProviderRetiredError)),
            ProviderState::Paused | ProviderState::AutoPaused => {
                Some(RegistrationNotDue::ProviderPaused(state))
            }
        };
        let provider = provider_in_state(state, provider());
        assert_eq!(
            ensure_due(Some(RegistrationState::PendingActivation), &provider).err(),
            expected,
            "{state}"
        );
        assert_eq!(
            ensure_due(Some(RegistrationState::Rejected), &provider),
            Err(RegistrationNotDue::AlreadyDecided),
            "{state}"
        );
    }
}

#[test]
fn usable_registration_response_is_accepted() {
    let RegistrationResponse::Registered(client) = parse_json_response(201, &valid_response()) else {
        panic!()
    };
    assert_eq!((client.id.as_str(), client.secret), ("c-1", Some(Secret::from("s3cret"))));
    let management = client.management.unwrap();
    let restored = ClientManagement::from_text(management.to_text().expose()).unwrap();
    assert_eq!((restored.uri, restored.token), (management.uri, management.token));
    for field in ["redirect_uris", "grant_types", "token_endpoint_auth_method", "client_secret_expires_at"] {
        let mut body = valid_response();
        body.as_object_mut().unwrap().remove(field);
        assert!(
            matches!(parse_json_response(201, &body), RegistrationResponse::Registered(_)),
            "{field} may be absent"
        );
        assert!(
            matches!(
                parse_json_response(201, &response_with(field, Value::Null)),
                RegistrationResponse::Registered(_)
            ),
            "{field} may be null"
        );
    }
}

#[test]
fn unusable_registration_response_names_the_problem() {
    let id = "client_id is missing, too long or not printable";
    let secret = "client_secret is missing, too long or not printable";
    let long = "x".repeat(2049);
    for bad in
        [json!(null), json!(""), json!(5), json!("a b"), json!("é"), json!("a\nb"), json!(long), json!(["a"])]
    {
        assert_eq!(expect_unusable(&response_with("client_id", bad.clone())).0, id, "{bad}");
        assert_eq!(expect_unusable(&response_with("client_secret", bad.clone())).0, secret, "{bad}");
    }
    let expires = "the client secret expires, and the hub cannot renew it";
    for bad in [json!(1), json!(1_900_000_000), json!("0"), json!(false), json!(0.5)] {
        assert_eq!(expect_unusable(&response_with("client_secret_expires_at", bad)).0, expires);
    }
    let auth_method = "the client's authentication method differs from the provider's settings";
    let redirect_uri = "the client is registered without the hub's redirect URI";
    let grant_type = "the client is registered without the grant type authorization_code";
    for (field, bad, expected) in [
        ("token_endpoint_auth_method", json!("none"), auth_method),
        ("token_endpoint_auth_method", json!("client_secret_post"), auth_method),
        ("redirect_uris", json!([format!("{CALLBACK_URI}/")]), redirect_uri),
        ("redirect_uris", json!(CALLBACK_URI), redirect_uri),
        ("grant_types", json!(["client_credentials"]), grant_type),
    ] {
        let (problem, deleted_at) = expect_unusable(&response_with(field, bad.clone()));
        assert_eq!(problem, expected, "{field} {bad}");
        assert_eq!(deleted_at.as_deref(), Some("https://maple.example/clients?id=c-1"));
    }
    assert_eq!(expect_unusable(&json!({})).0, id);
    assert_eq!(expect_unusable(&json!([])), ("the response cannot be parsed", None));
}

#[test]
fn rfc7592_s3_management_uri_must_have_endpoint_origin() {
    let at = |uri: Value| management_uri(&response_with("registration_client_uri", uri));
    assert_eq!(at(json!("https://maple.example:443/x")).as_deref(), Some("https://maple.example/x"));
    assert_eq!(at(json!(null)).as_deref(), Some("https://maple.example/oauth/register/c-1"));
    let odd = json!({"client_id": "../a?b", "client_secret": "x", "registration_access_token": "r"});
    assert_eq!(management_uri(&odd).as_deref(), Some("https://maple.example/oauth/register/..%2Fa%3Fb"));
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
    assert_eq!(management_uri(&response_with("registration_access_token", json!(null))), None);
    assert_eq!(management_uri(&response_with("registration_access_token", json!("a b"))), None);
}

#[test]
fn rfc7591_s3_2_2_only_permanent_errors_reject_registration() {
    use ProviderErrorCode::{
        InvalidClientMetadata, InvalidRedirectUri, InvalidSoftwareStatement, UnapprovedSoftwareStatement,
    };
    for code in ProviderErrorCode::ALL.iter().copied() {
        let body = json!({"error": code.as_str(), "error_description": "x"});
        let is_permanent = matches!(
            code,
            InvalidRedirectUri
                | InvalidClientMetadata
                | InvalidSoftwareStatement
                | UnapprovedSoftwareStatement
        );
        for status in [400, 401, 403, 409] {
            let response = parse_json_response(status, &body);
            let rejected = matches!(response, RegistrationResponse::Rejected(rejected) if rejected == code);
            assert_eq!(rejected, is_permanent, "{status} {code}");
            assert!(rejected || matches!(response, RegistrationResponse::RetryLater), "{status} {code}");
        }
        assert!(rejection_reason(code).ends_with(code.as_str()));
        assert_eq!(rejects_recipient(code), code.as_str().contains("software_statement"), "{code}");
        for status in [408, 425, 429, 500, 503] {
            assert!(
                matches!(parse_json_response(status, &body), RegistrationResponse::RetryLater),
                "{status}"
            );
        }
    }
    for body in [json!({"error": "unknown"}), json!({}), json!([]), json!({"error": 5})] {
        assert!(matches!(parse_json_response(400, &body), RegistrationResponse::RetryLater), "{body}");
    }
    assert!(matches!(parse_json_response(302, &valid_response()), RegistrationResponse::RetryLater));
    for status in [202, 204] {
        assert!(
            matches!(parse_json_response(status, &valid_response()), RegistrationResponse::Registered(_)),
            "{status}"
        );
        assert!(
            matches!(parse_json_response(status, &json!({})), RegistrationResponse::RetryLater),
            "{status}"
        );
    }
}

#[test]
fn rfc7592_s2_3_deletion_outcome_follows_classification() {
    let wait = Some(Duration::from_secs(9));
    for (outcome, expected) in [
        (CallOutcome::Succeeded, AttemptOutcome::Accepted),
        (CallOutcome::Refused(FailureReason::GrantRejected), AttemptOutcome::AlreadyGone),
        (CallOutcome::Refused(FailureReason::RequestRejected), AttemptOutcome::Refused),
        (
            CallOutcome::NeverProcessed(FailureReason::RateLimited),
            AttemptOutcome::RetryLater { retry_after: wait },
        ),
        (
            CallOutcome::Unknown(FailureReason::UnexpectedStatus),
            AttemptOutcome::RetryLater { retry_after: wait },
        ),
    ] {
        assert_eq!(deletion_outcome(outcome, wait), expected, "{outcome:?}");
    }
}

proptest! {
    #[test]
    fn arbitrary_registration_response_is_usable_or_rejected(
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
        let [nulls, bare] = [object.clone(), bare].map(|object| format!("{:?}", parse_json_response(201, &Value::Object(object))));
        prop_assert_eq!(nulls, bare, "null must count as absent");
        for (status, body) in [(status, bytes), (201, Value::Object(object).to_string().into_bytes())] {
            let RegistrationResponse::Registered(client) = read_response(status, &body) else { continue };
            let is_valid = |text: &str| !text.is_empty() && text.len() <= 2048 && text.bytes().all(|b| b.is_ascii_graphic());
            prop_assert!(is_valid(&client.id) && client.secret.is_some_and(|secret| is_valid(secret.expose())));
            if let Some(management) = client.management {
                prop_assert!(is_valid(management.token.expose()));
                prop_assert_eq!(management.uri.host_str(), Some("maple.example"));
                prop_assert!(ClientManagement::from_text(management.to_text().expose()).is_some());
            }
        }
    }
}

#[test]
fn client_of_aggregator_needs_no_secret() {
    let aggregator = ProviderSettings { upstream_client: UpstreamClientMode::Aggregator, ..provider() };
    let parse = |body: &Value| parse_response(body.to_string().as_bytes(), &aggregator, CALLBACK_URI);
    let response =
        json!({"client_id": "c-1", "redirect_uris": [CALLBACK_URI], "token_endpoint_auth_method": "none"});
    let with_secret = json!({"client_id": "c-1", "client_secret": "s", "client_secret_expires_at": 5});

    for body in [response, with_secret] {
        let client = parse(&body).unwrap();
        assert_eq!((client.id.as_str(), client.secret.is_none()), ("c-1", true), "{body}");
    }
    let other = parse(&json!({"client_id": "c-1", "token_endpoint_auth_method": "client_secret_basic"}));
    assert!(other.unwrap_err().problem.contains("authentication method differs"));
    assert!(parse(&json!({"client_secret": "s"})).unwrap_err().problem.starts_with("client_id is missing"));
}
