//! Requests to `authorize` and `token`: nothing panics, and only a registered redirect URI is used.
#![no_main]

use std::sync::LazyLock;

use domain::Clusters;
use domain::id::ClientId;
use domain::model::audit_event::AuditHead;
use domain::model::client::{Client, ClientKind, ClientState, LocalizedText, Profile};
use domain::rule::authorize::{AuthorizeQuery, Language, check, resolve_redirect};
use domain::rule::client_auth::select_credentials;
use domain::rule::token::{TokenRequest, TokenRequestFields};
use domain::secret::TokenHash;
use libfuzzer_sys::fuzz_target;

const REDIRECT_URI: &str = "https://app.example/cb";

static CLIENT: LazyLock<Client> = LazyLock::new(|| Client {
    id: "dc-1".parse::<ClientId>().expect("an id"),
    kind: ClientKind::Recipient,
    owner_id: None,
    profile: Profile::Flinks,
    state: ClientState::Active,
    name: "App".into(),
    purpose: LocalizedText::default(),
    scope: "ACCOUNT_BASIC TRANSACTIONS".parse::<Clusters>().expect("a scope"),
    redirect_uris: vec![REDIRECT_URI.into()],
    secret_hash: TokenHash::from_bytes(&[0; 36]).expect("a hash"),
    credential_generation: 1,
    require_pkce: false,
    max_duration_days: None,
    audit: AuditHead::default(),
});

fuzz_target!(|raw: &[u8]| {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(raw).into_owned().collect();
    let query = AuthorizeQuery(pairs.clone());
    let _ = Language::from_query(&query);
    if let Ok(redirect) = resolve_redirect(&query, Some(&CLIENT)) {
        assert_eq!(redirect.as_str(), REDIRECT_URI);
        let state = query.single("state").ok().flatten().unwrap_or_default();
        let location = redirect.with_params(&[("state", state)]);
        assert!(location.bytes().all(|byte| byte.is_ascii_graphic()), "{location}");
    }
    if let Ok(request) = check(&query, &CLIENT) {
        assert_eq!(request.clusters.first_missing_from(CLIENT.scope), None);
    }
    if let Ok(fields) = TokenRequestFields::collect(pairs) {
        let _ = select_credentials(None, fields.get("client_id"), fields.get("client_secret"));
        let _ = TokenRequest::parse(&fields);
    }
});
