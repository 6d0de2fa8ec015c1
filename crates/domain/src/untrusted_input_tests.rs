//! Properties of all parsers of untrusted input: every input is parsed or rejected, nothing panics, and a parsed value
//! can be written to the same text again.

use std::time::Duration;

use proptest::prelude::*;

use crate::id::{AuthorizationRequestId, ClientId, ConnectionId, ProviderId};
use crate::jose::{AccessTokenKeys, TokenError};
use crate::model::access_token::{Claims, TokenSubject};
use crate::model::client::Client;
use crate::rule::authorize::tests::client as recipient;
use crate::rule::authorize::{AuthorizeQuery, Language, VerifiedRedirect, check, resolve_redirect};
use crate::rule::client_auth::select_credentials;
use crate::rule::pkce;
use crate::rule::token::{TokenRequest, TokenRequestFields};
use crate::secret::{Secret, TokenHash};
use crate::{Clusters, DataCluster, Timestamp};

const URL: &str = "https://hub.example";
const REDIRECT_URI: &str = "https://app.example/cb?a=1";
const NOW: Timestamp = Timestamp::from_seconds(1_709_146_734);

fn client() -> Client {
    Client { redirect_uris: vec![REDIRECT_URI.into()], ..recipient() }
}

fn keys() -> AccessTokenKeys {
    AccessTokenKeys::new(URL, ("k/1", &Secret::new([1; 32])), &[])
}

fn claims() -> Claims {
    Claims {
        id: "at_1".parse().unwrap(),
        client_id: "dc-1".parse().unwrap(),
        issued_at: NOW,
        expires_at: NOW.plus(Duration::from_mins(5)),
        subject: TokenSubject::Connection {
            id: "con_1".parse().unwrap(),
            sub: "sub".into(),
            clusters: "ACCOUNT_BASIC".parse().unwrap(),
            generation: 4,
        },
    }
}

/// Generates an expected text, one with a changed character, or any text.
fn near_miss_text(expected: &'static [&'static str]) -> impl Strategy<Value = String> {
    let known = prop::sample::select(expected);
    let mutated =
        (known.clone(), any::<prop::sample::Index>(), any::<char>()).prop_map(|(text, at, replacement)| {
            let mut letters: Vec<char> = text.chars().collect();
            let at = at.index(letters.len() + 1);
            letters.splice(at..(at + 1).min(letters.len()), [replacement]);
            letters.into_iter().collect()
        });
    prop_oneof![known.prop_map(str::to_owned), mutated, any::<String>()]
}

fn arbitrary_pairs(names: &'static [&'static str]) -> impl Strategy<Value = Vec<(String, String)>> {
    const VALUES: &[&str] = &[
        "code",
        "dc-1",
        REDIRECT_URI,
        "ACCOUNT_BASIC TRANSACTIONS",
        "1000",
        "S256",
        "authorization_code",
        "refresh_token",
        "client_credentials",
        "client:admin",
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    ];
    prop::collection::vec((near_miss_text(names), near_miss_text(VALUES)), 0..12)
}

const AUTHORIZE_PARAMETERS: &[&str] = &[
    "client_id",
    "redirect_uri",
    "state",
    "response_type",
    "scope",
    "provider_id",
    "code_challenge",
    "code_challenge_method",
    "ui_locales",
];
const TOKEN_PARAMETERS: &[&str] = &[
    "grant_type",
    "code",
    "redirect_uri",
    "code_verifier",
    "refresh_token",
    "scope",
    "client_id",
    "client_secret",
];

/// Generates JSON that may be the payload of a token.
fn arbitrary_payload() -> impl Strategy<Value = serde_json::Value> {
    let value = prop_oneof![
        any::<String>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        prop::sample::select(vec!["con_1", "dc-1", "at_1", "ACCOUNT_BASIC", "client:admin"])
            .prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
        Just(serde_json::json!([1, {"a": []}])),
    ];
    let names = ["client_id", "sub", "iat", "exp", "jti", "scope", "fdxConsentId", "gen", "cgen"];
    prop::collection::vec((prop::sample::select(names.to_vec()), value), 0..12).prop_map(|members| {
        let mut payload = serde_json::json!({"iss": URL, "aud": format!("{URL}/api/fdx/5"), "client_id": "dc-1",
            "sub": "s", "iat": 0, "exp": i64::MAX, "jti": "at_1", "scope": "ACCOUNT_BASIC",
            "fdxConsentId": "con_1", "gen": 1});
        for (name, value) in members {
            payload[name] = value;
        }
        payload
    })
}

proptest! {
    #[test]
    fn id_parse_keeps_text_or_rejects_it(text in near_miss_text(&["con_1", "arq_0", "dc-7tf8", "1000"])) {
        if let Ok(id) = text.parse::<ConnectionId>() {
            prop_assert!(id.as_str() == text && text.starts_with("con_") && text.is_ascii());
        }
        if let Ok(id) = text.parse::<AuthorizationRequestId>() {
            prop_assert_eq!(id.as_str(), &text);
        }
        if let Ok(id) = text.parse::<ClientId>() {
            prop_assert!(id.as_str() == text && (1..=128).contains(&text.len()));
        }
        if let Ok(id) = text.parse::<ProviderId>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn scope_parse_returns_exactly_the_given_clusters(text in near_miss_text(&["ACCOUNT_BASIC", "ACCOUNT_BASIC  TRANSACTIONS", ""])) {
        match text.parse::<Clusters>() {
            Ok(clusters) => {
                for value in text.split(' ').filter(|value| !value.is_empty()) {
                    prop_assert!(value.parse().is_ok_and(|c: DataCluster| clusters.contains(c)));
                }
                prop_assert_eq!(clusters.to_string().parse::<Clusters>(), Ok(clusters));
            }
            Err(unknown) => prop_assert!(text.contains(&unknown.0) && unknown.0.parse::<DataCluster>().is_err()),
        }
    }

    #[test]
    fn rfc7636_s4_6_verifier_matches_only_its_own_challenge(verifier: String, plain in "[A-Za-z0-9._~-]{43,128}", other: String) {
        prop_assert!(pkce::is_valid_challenge(&pkce::compute_challenge(&verifier)));
        prop_assert!(pkce::verifier_matches(Some(&pkce::compute_challenge(&plain)), Some(&plain)));
        prop_assert!(!pkce::verifier_matches(Some(&other), Some(&verifier)));
        prop_assert!(!pkce::verifier_matches(Some(&pkce::compute_challenge(&plain)), Some(&other)));
        prop_assert!(!pkce::is_valid_challenge(&other) || other.len() == 43);
    }

    #[test]
    fn token_hash_from_bytes_round_trips(bytes: Vec<u8>, right in prop::collection::vec(any::<u8>(), 36)) {
        prop_assert!(TokenHash::from_bytes(&bytes).is_none_or(|hash| hash.to_bytes() == bytes));
        prop_assert_eq!(TokenHash::from_bytes(&right).map(|hash| hash.to_bytes()), Some(right));
    }

    #[test]
    fn authorize_check_validates_or_rejects_arbitrary_query(pairs in arbitrary_pairs(AUTHORIZE_PARAMETERS)) {
        let (query, client) = (AuthorizeQuery(pairs.clone()), client());
        let _ = Language::select(&query, pairs.first().map(|(_, value)| value.as_str()));
        if let Ok(to) = resolve_redirect(&query, Some(&client)) {
            prop_assert_eq!(to.as_str(), REDIRECT_URI);
            prop_assert_eq!(query.single("redirect_uri").unwrap(), Some(REDIRECT_URI));
        }
        match check(&query, &client) {
            Ok(checked) => {
                prop_assert_eq!(Some(checked.state.as_str()), query.single("state").unwrap());
                prop_assert!(checked.clusters.first_missing_from(client.scope).is_none());
                prop_assert!(checked.code_challenge.is_none_or(|c| pkce::is_valid_challenge(&c)));
            }
            Err(error) => prop_assert!(error.description.is_ascii()),
        }
    }

    #[test]
    fn redirect_response_parameters_are_encoded(state: String, error: String) {
        let to = VerifiedRedirect::verify(&client(), REDIRECT_URI).unwrap().with_params(&[("state", &state), ("error", &error)]);
        prop_assert!(to.bytes().all(|byte| byte.is_ascii_graphic()), "must be valid in a header: {}", to);
        let parsed = url::Url::parse(&to).unwrap();
        let pairs: Vec<_> = parsed.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        prop_assert_eq!(pairs, [("a".into(), "1".into()), ("state".into(), state), ("error".into(), error)]);
    }

    #[test]
    fn token_request_parse_accepts_or_rejects_arbitrary_fields(pairs in arbitrary_pairs(TOKEN_PARAMETERS)) {
        let has_duplicates = pairs.iter().enumerate().any(|(at, (name, _))| pairs[..at].iter().any(|(known, _)| known == name));
        match TokenRequestFields::collect(pairs.clone()) {
            Err(error) => prop_assert!(has_duplicates && error.description.is_ascii()),
            Ok(fields) => {
                prop_assert!(!has_duplicates);
                for (name, value) in &pairs {
                    prop_assert_eq!(fields.get(name), Some(value.as_str()).filter(|value| !value.is_empty()));
                }
                let _ = select_credentials(None, fields.get("client_id"), fields.get("client_secret"));
                if let Err(error) = TokenRequest::parse(&fields) {
                    prop_assert!(error.description.is_ascii());
                }
            }
        }
    }

    #[test]
    fn unsigned_token_is_rejected_as_forged(text: String, parts in prop::collection::vec("[A-Za-z0-9_-]{0,60}", 0..5)) {
        let header = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJIUzI1NiIsImtpZCI6ImsvMSJ9";
        for forged in [text, parts.join("."), format!("{header}.{}", parts.join("."))] {
            prop_assert_eq!(keys().verify(&forged, NOW), Err(TokenError::Forged));
        }
    }

    #[test]
    fn token_with_one_changed_character_is_rejected(at: prop::sample::Index, by in "[A-Za-z0-9_.=-]") {
        let token = keys().sign(&claims()).unwrap().expose().clone();
        let at = at.index(token.len());
        let changed = format!("{}{by}{}", &token[..at], &token[at + 1..]);
        prop_assume!(changed != token);
        prop_assert_eq!(keys().verify(&changed, NOW), Err(TokenError::Forged));
    }

    #[test]
    fn signed_arbitrary_payload_round_trips_or_is_rejected(payload in arbitrary_payload(), now: i64) {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        (header.typ, header.kid) = (Some("at+jwt".into()), Some("k/1".into()));
        let key = jsonwebtoken::EncodingKey::from_secret(&[1; 32]);
        let token = jsonwebtoken::encode(&header, &payload, &key).unwrap();
        if let Ok(claims) = keys().verify(&token, Timestamp::from_millis(now)) {
            prop_assert!(Timestamp::from_millis(now) < claims.expires_at);
            let resigned = keys().sign(&claims).unwrap();
            let reverified = keys().verify(resigned.expose(), Timestamp::from_millis(now)).unwrap();
            prop_assert_eq!((reverified.id, reverified.client_id, reverified.subject), (claims.id, claims.client_id, claims.subject));
        }
    }

    #[test]
    fn timestamp_arithmetic_never_panics(millis: i64, seconds: u64) {
        let (at, by) = (Timestamp::from_millis(millis), Duration::from_secs(seconds));
        prop_assert!(at.plus(by) >= at && at.minus(by) <= at);
        prop_assert!(at.plus(by).since(at) <= by);
        let _ = (at.to_string(), at.date(), at.seconds(), Timestamp::from_seconds(millis));
    }
}
