use super::*;
use crate::id::ClientId;
use crate::model::audit_event::AuditHead;
use crate::model::client::ClientState;
use crate::model::client::Localized;
use crate::secret::TokenHash;
use crate::time::Timestamp;

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A recipient in good standing.
pub(crate) fn client() -> Client {
    let pepper = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[0; 32]);
    Client {
        id: ClientId::parse("dc-1").unwrap(),
        kind: ClientKind::Recipient,
        owner_id: None,
        profile: Profile::Flinks,
        state: ClientState::Active,
        name: "App".into(),
        purpose: Localized::default(),
        scope: Clusters::parse("ACCOUNT_BASIC TRANSACTIONS").unwrap(),
        redirect_uris: vec!["https://app.example/cb".into(), "https://app.example/q?a=1".into()],
        secret_hash: TokenHash::of(1, &pepper, b"secret"),
        credential_generation: 1,
        require_pkce: false,
        max_duration_days: None,
        audit: AuditHead::default(),
    }
}

fn query(pairs: &[(&str, &str)]) -> Query {
    Query(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
}

fn good() -> Vec<(&'static str, &'static str)> {
    vec![
        ("client_id", "dc-1"),
        ("redirect_uri", "https://app.example/cb"),
        ("state", "s t&ä"),
        ("response_type", "code"),
        ("scope", "ACCOUNT_BASIC TRANSACTIONS"),
        ("provider_id", "1000"),
    ]
}

fn with(name: &'static str, value: &'static str) -> Query {
    let mut pairs = good();
    pairs.retain(|(known, _)| *known != name);
    pairs.push((name, value));
    query(&pairs)
}

fn without(name: &str) -> Query {
    let mut pairs = good();
    pairs.retain(|(known, _)| *known != name);
    query(&pairs)
}

fn refusal(query: &Query) -> String {
    check(query, &client()).unwrap_err().to_string()
}

#[test]
fn a_good_request_is_checked() {
    let checked = check(&query(&good()), &client()).unwrap();
    assert_eq!(checked.provider_id, Some(ProviderId::new(1000)));
    assert_eq!(checked.state, "s t&ä");
    assert_eq!(checked.code_challenge, None);
}

#[test]
fn only_an_exactly_registered_uri_is_redirected_to() {
    let client = client();
    assert!(redirect(&query(&good()), Some(&client)).is_ok());
    for uri in [
        "https://app.example/cb/",
        "https://app.example/CB",
        "https://app.example:443/cb",
        "https://APP.example/cb",
        "https://app.example/cb?x=1",
        "https://app.example/cb#f",
        "http://app.example/cb",
        "https://app.example/cb%20",
        "",
    ] {
        assert_eq!(
            redirect(&with("redirect_uri", uri), Some(&client)),
            Err(PageRefusal::UnknownRedirect),
            "{uri}"
        );
    }
    assert_eq!(redirect(&query(&good()), None), Err(PageRefusal::UnknownClient));
    let partner = Client { kind: ClientKind::Partner, ..client };
    assert_eq!(redirect(&query(&good()), Some(&partner)), Err(PageRefusal::UnknownClient));
}

#[test]
fn a_repeated_redirect_uri_is_not_redirected_to() {
    let mut pairs = good();
    pairs.push(("redirect_uri", "https://app.example/cb"));
    assert_eq!(redirect(&query(&pairs), Some(&client())), Err(PageRefusal::UnknownRedirect));
}

#[test]
fn an_answer_keeps_the_registered_query_and_is_encoded() {
    let redirect = VerifiedRedirect::verify(&client(), "https://app.example/q?a=1").unwrap();
    let url = redirect.with(&[("code", "c"), ("state", "s t&ä\r\nX: y")]);
    assert_eq!(url, "https://app.example/q?a=1&code=c&state=s+t%26%C3%A4%0D%0AX%3A+y");
}

#[test]
fn each_missing_or_repeated_parameter_is_named() {
    for name in ["state", "response_type", "scope"] {
        assert_eq!(refusal(&without(name)), format!("invalid_request: {name} is missing"));
        let mut pairs = good();
        pairs.push((name, "x"));
        assert_eq!(refusal(&query(&pairs)), format!("invalid_request: {name} is given twice"));
    }
}

#[test]
fn a_provider_is_one_positive_number_or_picked_by_the_customer() {
    for absent in [without("provider_id"), with("provider_id", "")] {
        assert_eq!(check(&absent, &client()).unwrap().provider_id, None);
    }
    for bad in ["0", "x", "-1", "1000 "] {
        let refused = refusal(&with("provider_id", bad));
        assert_eq!(refused, "invalid_request: provider_id must be a positive integer");
    }
    let mut twice = good();
    twice.push(("provider_id", "2000"));
    assert_eq!(refusal(&query(&twice)), "invalid_request: provider_id is given twice");
}

#[test]
fn scopes_are_known_allowed_and_at_least_basic() {
    assert_eq!(refusal(&with("scope", "ACCOUNT_BASIC X")), "invalid_scope: scope X is unknown");
    assert_eq!(
        refusal(&with("scope", "ACCOUNT_BASIC STATEMENTS")),
        "invalid_scope: scope STATEMENTS is not allowed for this client"
    );
    assert_eq!(refusal(&with("scope", "TRANSACTIONS")), "invalid_scope: scope must include ACCOUNT_BASIC");
}

#[test]
fn pkce_is_s256_or_nothing() {
    let mut pairs = good();
    pairs.extend([("code_challenge", CHALLENGE), ("code_challenge_method", "S256")]);
    assert_eq!(check(&query(&pairs), &client()).unwrap().code_challenge.as_deref(), Some(CHALLENGE));
    assert!(refusal(&with("code_challenge", CHALLENGE)).contains("code_challenge_method must be S256"));
    assert!(refusal(&with("code_challenge_method", "S256")).contains("code_challenge is missing"));
    let strict = Client { require_pkce: true, ..client() };
    assert!(check(&query(&good()), &strict).unwrap_err().description.contains("code_challenge is missing"));
}

#[test]
fn a_connection_needs_an_active_registration_with_an_active_provider() {
    let registration = |state| Registration {
        client_id: client().id,
        provider_id: ProviderId::new(1000),
        state,
        requested_at: Timestamp::EPOCH,
        reason: None,
    };
    assert_eq!(may_connect(&client(), None, None).unwrap_err().code, OAuthCode::InvalidRequest);
    let suspended = Client { state: ClientState::Suspended, ..client() };
    assert_eq!(may_connect(&suspended, None, None).unwrap_err().code, OAuthCode::UnauthorizedClient);
    let provider = provider(ProviderState::Active);
    for state in RegistrationState::ALL {
        let allowed = may_connect(&client(), Some(&provider), Some(&registration(*state))).is_ok();
        assert_eq!(allowed, *state == RegistrationState::Active, "{state}");
    }
    for state in ProviderState::ALL {
        let held = self::provider(*state);
        let registration = registration(RegistrationState::Active);
        assert_eq!(
            may_connect(&client(), Some(&held), Some(&registration)).is_ok(),
            *state == ProviderState::Active
        );
    }
}

fn provider(state: ProviderState) -> Provider {
    use crate::model::provider::{ProviderSettings, ProviderSource};
    let settings: ProviderSettings = serde_json::from_value(serde_json::json!({
        "name": "Maple Trust", "country": "CA", "authorization_endpoint": "https://b.example/a",
        "token_endpoint": "https://b.example/t", "client_id": "x", "client_secret": {"env": "X"},
        "fdx": {"base_url": "https://b.example/fdx", "version": "5"}, "scopes": {},
    }))
    .unwrap();
    Provider {
        id: ProviderId::new(1000),
        state,
        source: ProviderSource::Config,
        settings,
        audit: AuditHead::default(),
    }
}

#[test]
fn the_grant_is_what_all_four_agree_on() {
    let set = |s| Clusters::parse(s).unwrap();
    let all = set("ACCOUNT_BASIC ACCOUNT_DETAILED TRANSACTIONS");
    assert_eq!(
        granted(all, set("ACCOUNT_BASIC TRANSACTIONS"), all, all),
        Ok(set("ACCOUNT_BASIC TRANSACTIONS"))
    );
    assert_eq!(granted(all, set("TRANSACTIONS"), all, all), Err(DENIED));
}

#[test]
fn the_first_language_that_we_speak_is_taken() {
    assert_eq!(Language::from_tags("de fr-CA en"), Language::Fr);
    assert_eq!(Language::from_tags("de"), Language::En);
    assert_eq!(Language::of(&with("lang", "fr")), Language::Fr);
}
