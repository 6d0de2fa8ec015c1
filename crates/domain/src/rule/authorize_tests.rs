//! Tests of the validation of authorization requests: parameters, redirect URIs, PKCE, scope and language.

use super::*;
use crate::model::audit_event::AuditHead;
use crate::model::client::ClientState;
use crate::model::client::LocalizedText;
use crate::secret::TokenHash;
use crate::time::Timestamp;

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Creates an active recipient that may request `ACCOUNT_BASIC` and `TRANSACTIONS`.
pub(crate) fn client() -> Client {
    let pepper = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[0; 32]);
    Client {
        id: "dc-1".parse().unwrap(),
        kind: ClientKind::Recipient,
        owner_id: None,
        profile: Profile::Flinks,
        state: ClientState::Active,
        name: "App".into(),
        purpose: LocalizedText::default(),
        scope: "ACCOUNT_BASIC TRANSACTIONS".parse().unwrap(),
        redirect_uris: vec!["https://app.example/cb".into(), "https://app.example/q?a=1".into()],
        secret_hash: TokenHash::for_token(1, &pepper, b"secret"),
        credential_generation: 1,
        require_pkce: false,
        max_duration_days: None,
        audit: AuditHead::default(),
    }
}

fn query(pairs: &[(&str, &str)]) -> AuthorizeQuery {
    AuthorizeQuery(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
}

fn valid_params() -> Vec<(&'static str, &'static str)> {
    vec![
        ("client_id", "dc-1"),
        ("redirect_uri", "https://app.example/cb"),
        ("state", "s t&ä"),
        ("response_type", "code"),
        ("scope", "ACCOUNT_BASIC TRANSACTIONS"),
        ("provider_id", "1000"),
    ]
}

fn query_with(name: &'static str, value: &'static str) -> AuthorizeQuery {
    let mut pairs = valid_params();
    pairs.retain(|(known, _)| *known != name);
    pairs.push((name, value));
    query(&pairs)
}

fn query_without(name: &str) -> AuthorizeQuery {
    let mut pairs = valid_params();
    pairs.retain(|(known, _)| *known != name);
    query(&pairs)
}

fn error_message(query: &AuthorizeQuery) -> String {
    check(query, &client()).unwrap_err().to_string()
}

#[test]
fn valid_authorization_request_passes_check() {
    let checked = check(&query(&valid_params()), &client()).unwrap();
    assert_eq!(checked.provider_id, Some(ProviderId::new(1000)));
    assert_eq!(checked.state, "s t&ä");
    assert_eq!(checked.code_challenge, None);
}

#[test]
fn rfc9700_s2_1_redirect_uri_must_match_exactly() {
    let client = client();
    assert!(resolve_redirect(&query(&valid_params()), Some(&client)).is_ok());
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
            resolve_redirect(&query_with("redirect_uri", uri), Some(&client)),
            Err(AuthorizePageError::UnknownRedirect),
            "{uri}"
        );
    }
    assert_eq!(resolve_redirect(&query(&valid_params()), None), Err(AuthorizePageError::UnknownClient));
    let partner = Client { kind: ClientKind::Partner, ..client };
    assert_eq!(
        resolve_redirect(&query(&valid_params()), Some(&partner)),
        Err(AuthorizePageError::UnknownClient)
    );
}

#[test]
fn repeated_redirect_uri_is_rejected() {
    let mut pairs = valid_params();
    pairs.push(("redirect_uri", "https://app.example/cb"));
    assert_eq!(resolve_redirect(&query(&pairs), Some(&client())), Err(AuthorizePageError::UnknownRedirect));
}

#[test]
fn rfc6749_s3_1_2_redirect_keeps_query_and_encodes_params() {
    let redirect = VerifiedRedirect::verify(&client(), "https://app.example/q?a=1").unwrap();
    let url = redirect.with_params(&[("code", "c"), ("state", "s t&ä\r\nX: y")]);
    assert_eq!(url, "https://app.example/q?a=1&code=c&state=s+t%26%C3%A4%0D%0AX%3A+y");
}

#[test]
fn missing_or_repeated_parameter_is_named_in_error() {
    for name in ["state", "response_type", "scope"] {
        assert_eq!(error_message(&query_without(name)), format!("invalid_request: {name} is missing"));
        let mut pairs = valid_params();
        pairs.push((name, "x"));
        assert_eq!(error_message(&query(&pairs)), format!("invalid_request: {name} is given twice"));
    }
}

#[test]
fn provider_id_is_optional_positive_integer() {
    for absent in [query_without("provider_id"), query_with("provider_id", "")] {
        assert_eq!(check(&absent, &client()).unwrap().provider_id, None);
    }
    for bad in ["0", "x", "-1", "1000 "] {
        let message = error_message(&query_with("provider_id", bad));
        assert_eq!(message, "invalid_request: provider_id must be a positive integer");
    }
    let mut params = valid_params();
    params.push(("provider_id", "2000"));
    assert_eq!(error_message(&query(&params)), "invalid_request: provider_id is given twice");
}

#[test]
fn scope_must_be_known_allowed_and_include_basic() {
    assert_eq!(error_message(&query_with("scope", "ACCOUNT_BASIC X")), "invalid_scope: scope X is unknown");
    assert_eq!(
        error_message(&query_with("scope", "ACCOUNT_BASIC STATEMENTS")),
        "invalid_scope: scope STATEMENTS is not allowed for this client"
    );
    assert_eq!(
        error_message(&query_with("scope", "TRANSACTIONS")),
        "invalid_scope: scope must include ACCOUNT_BASIC"
    );
}

#[test]
fn rfc7636_s4_3_only_s256_challenge_is_accepted() {
    let mut pairs = valid_params();
    pairs.extend([("code_challenge", CHALLENGE), ("code_challenge_method", "S256")]);
    assert_eq!(check(&query(&pairs), &client()).unwrap().code_challenge.as_deref(), Some(CHALLENGE));
    assert!(
        error_message(&query_with("code_challenge", CHALLENGE))
            .contains("code_challenge_method must be S256")
    );
    assert!(
        error_message(&query_with("code_challenge_method", "S256")).contains("code_challenge is missing")
    );
    let strict = Client { require_pkce: true, ..client() };
    assert!(
        check(&query(&valid_params()), &strict)
            .unwrap_err()
            .description
            .contains("code_challenge is missing")
    );
}

#[test]
fn connect_without_active_registration_or_provider_is_rejected() {
    let registration = |state| Registration {
        client_id: client().id,
        provider_id: ProviderId::new(1000),
        state,
        requested_at: Timestamp::EPOCH,
        reason: None,
    };
    assert_eq!(ensure_may_connect(&client(), None, None).unwrap_err().code, OAuthCode::InvalidRequest);
    let suspended = Client { state: ClientState::Suspended, ..client() };
    assert_eq!(ensure_may_connect(&suspended, None, None).unwrap_err().code, OAuthCode::UnauthorizedClient);
    let provider = provider(ProviderState::Active);
    for state in RegistrationState::ALL {
        let allowed = ensure_may_connect(&client(), Some(&provider), Some(&registration(*state))).is_ok();
        assert_eq!(allowed, *state == RegistrationState::Active, "{state}");
    }
    for state in ProviderState::ALL {
        let provider_in_state = self::provider(*state);
        let registration = registration(RegistrationState::Active);
        assert_eq!(
            ensure_may_connect(&client(), Some(&provider_in_state), Some(&registration)).is_ok(),
            *state == ProviderState::Active
        );
    }
}

fn provider(state: ProviderState) -> Provider {
    use crate::model::provider::{ProviderSettings, ProviderSource, SettingsVersion};
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
        discovered: None,
        version: SettingsVersion::FIRST,
        audit: AuditHead::default(),
    }
}

#[test]
fn code_with_scope_that_is_no_longer_allowed_is_rejected() {
    let registration = Registration {
        client_id: client().id,
        provider_id: ProviderId::new(1000),
        state: RegistrationState::Active,
        requested_at: Timestamp::EPOCH,
        reason: None,
    };
    let (client, mut provider) = (client(), provider(ProviderState::Active));
    provider.settings.scopes = [(DataCluster::AccountBasic, "basic".to_owned())].into();
    let check = |uri: &str, scope: &str| {
        let clusters = scope.parse().unwrap();
        ensure_may_redeem(&client, Some(&provider), Some(&registration), uri, clusters).map_err(|e| e.code)
    };
    let uri = client.redirect_uris[0].as_str();

    assert_eq!(check(uri, "ACCOUNT_BASIC"), Ok(()));
    assert_eq!(check(uri, "ACCOUNT_BASIC TRANSACTIONS"), Err(OAuthCode::InvalidScope));
    assert_eq!(check("https://other.example/cb", "ACCOUNT_BASIC"), Err(OAuthCode::InvalidRequest));
}

#[test]
fn granted_scope_is_intersection_of_all_scopes() {
    let set = |scope: &str| scope.parse::<Clusters>().unwrap();
    let all = set("ACCOUNT_BASIC ACCOUNT_DETAILED TRANSACTIONS");
    assert_eq!(
        compute_granted_scope(all, set("ACCOUNT_BASIC TRANSACTIONS"), all, all),
        Ok(set("ACCOUNT_BASIC TRANSACTIONS"))
    );
    assert_eq!(compute_granted_scope(all, set("TRANSACTIONS"), all, all), Err(SCOPE_NOT_GRANTED));
}

#[test]
fn first_supported_language_tag_is_selected() {
    assert_eq!(Language::from_tags("de fr-CA en"), Some(Language::Fr));
    assert_eq!(Language::from_tags("de"), None);
    assert_eq!(Language::from_query(&query_with("lang", "fr")), Some(Language::Fr));
}

#[test]
fn accept_language_is_ordered_by_weight() {
    for (header, expected) in [
        ("fr-CA,fr;q=0.9,en;q=0.8", Some(Language::Fr)),
        ("en;q=0.5, fr;q=0.9", Some(Language::Fr)),
        ("de, en-GB;q=0.7, fr;q=0.7", Some(Language::En)),
        ("fr;q=0, en;q=0.1", Some(Language::En)),
        ("fr;q=x, *", None),
        // RFC 9110 §12.4.2 defines the name of the weight without regard to case (RFC 5234 §2.3).
        ("fr;Q=0.1, en;q=0.2", Some(Language::En)),
        ("fr;Q=0, en;level=1;q=0.1", Some(Language::En)),
        ("", None),
    ] {
        assert_eq!(Language::from_accept_language(header), expected, "{header}");
    }
}

#[test]
fn query_selects_language_before_accept_language() {
    let select = |name, tags, header| Language::select(&query_with(name, tags), header);

    assert_eq!(select("ui_locales", "en", Some("fr")), Language::En);
    assert_eq!(select("language", "fr", Some("en")), Language::Fr);
    assert_eq!(select("ui_locales", "de", Some("fr")), Language::Fr);
    assert_eq!(select("colour", "fr", None), Language::En);
}

#[test]
fn state_must_be_printable_text_of_limited_length() {
    let longest: &'static str = "s".repeat(MAX_STATE_BYTES).leak();
    let too_long: &'static str = "s".repeat(MAX_STATE_BYTES + 1).leak();

    assert_eq!(check(&query_with("state", longest), &client()).unwrap().state, longest);
    assert_eq!(check(&query_with("state", too_long), &client()), Err(STATE_TOO_LONG));
    for bad in ["a\nb", "a\u{0}b", "a\u{85}b", "a\u{fffd}b"] {
        let message = error_message(&query_with("state", bad));
        assert_eq!(message, "invalid_request: state must be printable text", "{bad:?}");
    }
}

#[test]
fn client_of_other_api_or_state_is_rejected() {
    let code =
        |client: Client| check(&query(&valid_params()), &client).map(|_| ()).map_err(|error| error.code);

    assert_eq!(code(client()), Ok(()));
    for client in [
        Client { profile: Profile::Fapi2, ..client() },
        Client { state: ClientState::Suspended, ..client() },
        Client { state: ClientState::Closed, ..client() },
    ] {
        assert_eq!(code(client), Err(OAuthCode::UnauthorizedClient));
    }
    let implicit = error_message(&query_with("response_type", "token"));
    assert_eq!(implicit, "unsupported_response_type: response_type must be code");
}

#[test]
fn malformed_challenge_is_rejected_with_reason() {
    for bad in ["abc", &CHALLENGE[1..], &format!("{CHALLENGE}=")] {
        let mut query = query(&valid_params());
        query.0.push(("code_challenge".to_owned(), bad.to_owned()));
        query.0.push(("code_challenge_method".to_owned(), "S256".to_owned()));
        let message = error_message(&query);
        assert_eq!(message, "invalid_request: code_challenge must be 43 characters of base64url", "{bad}");
    }
}

#[test]
fn removed_recipient_has_no_redirect_uri() {
    let removed = Client { state: ClientState::Closed, ..client() };
    let hash = VerifiedRedirect::verify(&client(), "https://app.example/cb").unwrap().hash();

    assert_eq!(VerifiedRedirect::verify(&removed, "https://app.example/cb"), None);
    assert_eq!(VerifiedRedirect::find_by_hash(&removed, &hash), None);
    assert_eq!(
        resolve_redirect(&query(&valid_params()), Some(&removed)),
        Err(AuthorizePageError::UnknownClient)
    );
}

#[test]
fn redirect_uri_is_found_by_its_hash() {
    let client = client();
    let redirects = client.redirect_uris.iter().map(|uri| VerifiedRedirect::verify(&client, uri).unwrap());
    let redirects: Vec<_> = redirects.collect();

    for redirect in &redirects {
        assert_eq!(VerifiedRedirect::find_by_hash(&client, &redirect.hash()).as_ref(), Some(redirect));
    }
    assert_eq!(redirects[0].as_str(), "https://app.example/cb");
    assert_ne!(redirects[0].hash(), redirects[1].hash());
    let other = Client { redirect_uris: vec!["https://other.example/cb".to_owned()], ..client.clone() };
    assert_eq!(VerifiedRedirect::find_by_hash(&other, &redirects[0].hash()), None);
}

#[test]
fn start_page_is_root_of_web_origin() {
    let start_page = |uri: &str| {
        let client = Client { redirect_uris: vec![uri.to_owned()], ..client() };
        VerifiedRedirect::verify(&client, uri).unwrap().start_page()
    };

    assert_eq!(start_page("https://app.example:8443/cb?a=1").as_deref(), Some("https://app.example:8443/"));
    assert_eq!(start_page("https://app.example/").as_deref(), Some("https://app.example/"));
    for without_origin in ["myapp://cb", "urn:app", "no url"] {
        assert_eq!(start_page(without_origin), None, "{without_origin}");
    }
}

#[test]
fn refresh_narrows_scope_but_never_widens_it() {
    let set = |scope: &str| scope.parse::<Clusters>().unwrap();
    let agreed = set("ACCOUNT_BASIC TRANSACTIONS");

    assert_eq!(narrow_scope(agreed, agreed), None);
    assert_eq!(narrow_scope(agreed, set("ACCOUNT_BASIC TRANSACTIONS STATEMENTS")), None);
    assert_eq!(narrow_scope(agreed, set("ACCOUNT_BASIC STATEMENTS")), Some(set("ACCOUNT_BASIC")));
    assert_eq!(narrow_scope(agreed, set("STATEMENTS")), Some(Clusters::NONE));
}

#[test]
fn page_offers_the_other_language() {
    assert_eq!((Language::En.as_str(), Language::Fr.as_str()), ("en", "fr"));
    assert_eq!((Language::En.other(), Language::Fr.other()), (Language::Fr, Language::En));
}

#[test]
fn weight_of_language_has_at_most_three_decimals() {
    for (weight, thousandths) in
        [("0", 0), ("1", 1000), ("0.", 0), ("0.5", 500), ("0.05", 50), ("0.125", 125), ("1.000", 1000)]
    {
        assert_eq!(parse_weight(weight), Some(thousandths), "{weight}");
    }
    for invalid in ["", "2", "01", "00", "+1", "1.001", "0.0001", "0.+5", "0.é", "-0", ".5", "0.5.1"] {
        assert_eq!(parse_weight(invalid), None, "{invalid}");
    }
    assert_eq!(Language::from_accept_language("fr;q=0"), None, "zero means that it is not acceptable");
    assert_eq!(Language::from_accept_language("fr;q=0.001"), Some(Language::Fr));
}
