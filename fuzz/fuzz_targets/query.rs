//! Queries of `authorize` and `token`: each is accepted or rejected, and redirects go only to registered URIs.
#![no_main]

use std::sync::LazyLock;

use domain::Clusters;
use domain::id::ClientId;
use domain::model::audit_event::AuditHead;
use domain::model::client::{Client, ClientKind, ClientState, Localized, Profile};
use domain::rule::authorize::{Language, Query, check, redirect};
use domain::rule::client_auth::credentials;
use domain::rule::token::{Fields, TokenRequest};
use domain::secret::TokenHash;
use libfuzzer_sys::fuzz_target;

const BACK: &str = "https://app.example/cb";

static CLIENT: LazyLock<Client> = LazyLock::new(|| Client {
    id: "dc-1".parse::<ClientId>().expect("an id"),
    kind: ClientKind::Recipient,
    profile: Profile::Flinks,
    state: ClientState::Active,
    name: "App".into(),
    purpose: Localized::default(),
    scope: "ACCOUNT_BASIC TRANSACTIONS".parse::<Clusters>().expect("a scope"),
    redirect_uris: vec![BACK.into()],
    secret_hash: TokenHash::from_bytes(&[0; 36]).expect("a hash"),
    credential_generation: 1,
    require_pkce: false,
    max_duration_days: None,
    audit: AuditHead::default(),
});

fuzz_target!(|raw: &[u8]| {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(raw).into_owned().collect();
    let query = Query(pairs.clone());
    let _ = Language::of(&query);
    if let Ok(to) = redirect(&query, Some(&CLIENT)) {
        assert_eq!(to.as_str(), BACK);
        let state = query.single("state").ok().flatten().unwrap_or_default();
        assert!(to.with(&[("state", state)]).bytes().all(|byte| byte.is_ascii_graphic()));
    }
    if let Ok(checked) = check(&query, &CLIENT) {
        assert!(checked.clusters.first_beyond(CLIENT.scope).is_none());
    }
    if let Ok(fields) = Fields::collect(pairs) {
        let _ = credentials(None, fields.get("client_id"), fields.get("client_secret"));
        let _ = TokenRequest::parse(&fields);
    }
});
