//! The metadata of the authorization server (RFC 8414), from which OAuth libraries learn the endpoints of the Flinks API.

use domain::DataCluster;
use domain::rule::authorize::Language;
use domain::scope::ClientScope;
use serde_json::{Value, json};

/// Builds the document for the authorization server whose issuer is `public_url`.
pub(super) fn build_metadata(public_url: &str) -> Value {
    // The same methods are accepted at both endpoints.
    let client_authentication = ["client_secret_basic", "client_secret_post"];
    let data_scopes = DataCluster::ALL.iter().map(|cluster| cluster.as_str());
    let scopes: Vec<_> = data_scopes.chain(ClientScope::ALL.iter().map(|scope| scope.as_str())).collect();
    let languages = [Language::En, Language::Fr].map(Language::as_str);
    json!({
        "issuer": public_url,
        "authorization_endpoint": format!("{public_url}/api/v1/authorize"),
        "token_endpoint": format!("{public_url}/api/v1/token"),
        "revocation_endpoint": format!("{public_url}/api/v1/revoke"),
        "scopes_supported": scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": client_authentication,
        "revocation_endpoint_auth_methods_supported": client_authentication,
        "ui_locales_supported": languages,
        "service_documentation": format!("{public_url}/docs"),
    })
}
