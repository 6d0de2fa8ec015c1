//! Whatever a stranger writes is read for what it is or refused; nothing panics, and what is read can be written
//! again as it came.

use std::time::Duration;

use proptest::prelude::*;

use crate::id::{AccessTokenId, AuthorizationRequestId, ClientId, ConnectionId, ProviderId};
use crate::jose::{AccessTokenKeys, Rejected};
use crate::model::access_token::{Bearing, Claims};
use crate::model::client::Client;
use crate::rule::authorize::tests::client as recipient;
use crate::rule::authorize::{Language, Query, VerifiedRedirect, check, redirect};
use crate::rule::client_auth::credentials;
use crate::rule::pkce;
use crate::rule::token::{Fields, TokenRequest};
use crate::secret::{Secret, TokenHash};
use crate::{Clusters, DataCluster, Timestamp};

const URL: &str = "https://hub.example";
const BACK: &str = "https://app.example/cb?a=1";
const NOW: Timestamp = Timestamp::from_seconds(1_709_146_734);

fn client() -> Client {
    Client { redirect_uris: vec![BACK.into()], ..recipient() }
}

fn keys() -> AccessTokenKeys {
    AccessTokenKeys::new(URL, ("k/1", &Secret::new([1; 32])), &[])
}

fn claims() -> Claims {
    Claims {
        id: AccessTokenId::parse("at_1").unwrap(),
        client_id: ClientId::parse("dc-1").unwrap(),
        issued_at: NOW,
        expires_at: NOW.plus(Duration::from_mins(5)),
        bearing: Bearing::Connection {
            id: ConnectionId::parse("con_1").unwrap(),
            sub: "sub".into(),
            clusters: Clusters::parse("ACCOUNT_BASIC").unwrap(),
            generation: 4,
        },
    }
}

/// Text that is nearly what is expected, or anything at all.
fn near(expected: &'static [&'static str]) -> impl Strategy<Value = String> {
    let known = prop::sample::select(expected);
    let bent = (known.clone(), any::<prop::sample::Index>(), any::<char>()).prop_map(|(word, at, by)| {
        let mut letters: Vec<char> = word.chars().collect();
        let at = at.index(letters.len() + 1);
        letters.splice(at..(at + 1).min(letters.len()), [by]);
        letters.into_iter().collect()
    });
    prop_oneof![known.prop_map(str::to_owned), bent, any::<String>()]
}

fn pairs(names: &'static [&'static str]) -> impl Strategy<Value = Vec<(String, String)>> {
    const VALUES: &[&str] = &[
        "code",
        "dc-1",
        BACK,
        "ACCOUNT_BASIC TRANSACTIONS",
        "1000",
        "S256",
        "authorization_code",
        "refresh_token",
        "client_credentials",
        "client:admin",
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    ];
    prop::collection::vec((near(names), near(VALUES)), 0..12)
}

const AUTHORIZE: &[&str] = &[
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
const TOKEN: &[&str] = &[
    "grant_type",
    "code",
    "redirect_uri",
    "code_verifier",
    "refresh_token",
    "scope",
    "client_id",
    "client_secret",
];

/// JSON that may or may not be the payload of a token.
fn payload() -> impl Strategy<Value = serde_json::Value> {
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
    fn ids_are_read_as_they_stand_or_not_at_all(text in near(&["con_1", "arq_0", "dc-7tf8", "1000"])) {
        if let Ok(id) = ConnectionId::parse(&text) {
            prop_assert!(id.as_str() == text && text.starts_with("con_") && text.is_ascii());
        }
        if let Ok(id) = AuthorizationRequestId::parse(&text) {
            prop_assert_eq!(id.as_str(), &text);
        }
        if let Ok(id) = ClientId::parse(&text) {
            prop_assert!(id.as_str() == text && (1..=128).contains(&text.len()));
        }
        if let Some(id) = ProviderId::parse(&text) {
            prop_assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn a_scope_is_the_words_that_it_says(text in near(&["ACCOUNT_BASIC", "ACCOUNT_BASIC  TRANSACTIONS", ""])) {
        match Clusters::parse(&text) {
            Ok(clusters) => {
                for word in text.split(' ').filter(|word| !word.is_empty()) {
                    prop_assert!(DataCluster::from_word(word).is_some_and(|c| clusters.contains(c)));
                }
                prop_assert_eq!(Clusters::parse(&clusters.to_string()), Ok(clusters));
            }
            Err(unknown) => prop_assert!(text.contains(&unknown.0) && DataCluster::from_word(&unknown.0).is_none()),
        }
    }

    #[test]
    fn a_verifier_fits_its_own_challenge_alone(verifier: String, plain in "[A-Za-z0-9._~-]{43,128}", other: String) {
        prop_assert!(pkce::is_challenge(&pkce::challenge(&verifier)));
        prop_assert!(pkce::fits(Some(&pkce::challenge(&plain)), Some(&plain)));
        prop_assert!(!pkce::fits(Some(&other), Some(&verifier)));
        prop_assert!(!pkce::fits(Some(&pkce::challenge(&plain)), Some(&other)));
        prop_assert!(!pkce::is_challenge(&other) || other.len() == 43);
    }

    #[test]
    fn a_stored_hash_is_read_as_it_was_written(bytes: Vec<u8>, right in prop::collection::vec(any::<u8>(), 36)) {
        prop_assert!(TokenHash::from_bytes(&bytes).is_none_or(|hash| hash.to_bytes() == bytes));
        prop_assert_eq!(TokenHash::from_bytes(&right).map(|hash| hash.to_bytes()), Some(right));
    }

    #[test]
    fn an_authorization_request_is_checked_or_refused(pairs in pairs(AUTHORIZE)) {
        let (query, client) = (Query(pairs.clone()), client());
        let _ = Language::of(&query);
        if let Ok(to) = redirect(&query, Some(&client)) {
            prop_assert_eq!(to.as_str(), BACK);
            prop_assert_eq!(query.single("redirect_uri").unwrap(), Some(BACK));
        }
        match check(&query, &client) {
            Ok(checked) => {
                prop_assert_eq!(Some(checked.state.as_str()), query.single("state").unwrap());
                prop_assert!(checked.clusters.first_beyond(client.scope).is_none());
                prop_assert!(checked.code_challenge.is_none_or(|c| pkce::is_challenge(&c)));
            }
            Err(error) => prop_assert!(error.description.is_ascii()),
        }
    }

    #[test]
    fn an_answer_is_appended_whatever_is_in_it(state: String, word: String) {
        let to = VerifiedRedirect::verify(&client(), BACK).unwrap().with(&[("state", &state), ("error", &word)]);
        prop_assert!(to.bytes().all(|byte| byte.is_ascii_graphic()), "it can stand in a header: {}", to);
        let parsed = url::Url::parse(&to).unwrap();
        let pairs: Vec<_> = parsed.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        prop_assert_eq!(pairs, [("a".into(), "1".into()), ("state".into(), state), ("error".into(), word)]);
    }

    #[test]
    fn a_token_request_is_read_or_refused(pairs in pairs(TOKEN)) {
        let twice = pairs.iter().enumerate().any(|(at, (name, _))| pairs[..at].iter().any(|(known, _)| known == name));
        match Fields::collect(pairs.clone()) {
            Err(error) => prop_assert!(twice && error.description.is_ascii()),
            Ok(fields) => {
                prop_assert!(!twice);
                for (name, value) in &pairs {
                    prop_assert_eq!(fields.get(name), Some(value.as_str()).filter(|value| !value.is_empty()));
                }
                let _ = credentials(None, fields.get("client_id"), fields.get("client_secret"));
                if let Err(error) = TokenRequest::parse(&fields) {
                    prop_assert!(error.description.is_ascii());
                }
            }
        }
    }

    #[test]
    fn what_we_did_not_sign_is_forged(text: String, parts in prop::collection::vec("[A-Za-z0-9_-]{0,60}", 0..5)) {
        let header = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJIUzI1NiIsImtpZCI6ImsvMSJ9";
        for forged in [text, parts.join("."), format!("{header}.{}", parts.join("."))] {
            prop_assert_eq!(keys().verify(&forged, NOW), Err(Rejected::Forged));
        }
    }

    #[test]
    fn a_token_with_one_letter_changed_is_forged(at: prop::sample::Index, by in "[A-Za-z0-9_.=-]") {
        let token = keys().sign(&claims()).unwrap().expose().clone();
        let at = at.index(token.len());
        let changed = format!("{}{by}{}", &token[..at], &token[at + 1..]);
        prop_assume!(changed != token);
        prop_assert_eq!(keys().verify(&changed, NOW), Err(Rejected::Forged));
    }

    #[test]
    fn a_signed_payload_is_one_of_ours_or_forged(payload in payload(), now: i64) {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        (header.typ, header.kid) = (Some("at+jwt".into()), Some("k/1".into()));
        let key = jsonwebtoken::EncodingKey::from_secret(&[1; 32]);
        let token = jsonwebtoken::encode(&header, &payload, &key).unwrap();
        if let Ok(claims) = keys().verify(&token, Timestamp::from_millis(now)) {
            prop_assert!(Timestamp::from_millis(now) < claims.expires_at);
            let again = keys().sign(&claims).unwrap();
            let again = keys().verify(again.expose(), Timestamp::from_millis(now)).unwrap();
            prop_assert_eq!((again.id, again.client_id, again.bearing), (claims.id, claims.client_id, claims.bearing));
        }
    }

    #[test]
    fn no_time_is_too_far(millis: i64, seconds: u64) {
        let (at, by) = (Timestamp::from_millis(millis), Duration::from_secs(seconds));
        prop_assert!(at.plus(by) >= at && at.minus(by) <= at);
        prop_assert!(at.plus(by).since(at) <= by);
        let _ = (at.to_string(), at.date(), at.seconds(), Timestamp::from_seconds(millis));
    }
}
