//! Tests of the clauses of RFC 8414 (authorization server metadata).

use bowline::cli::BrowserRequest;
use http::Method;
use serde_json::{Value, json};

use super::header;
use crate::support::{TestHub, on_both};

on_both!(rfc8414_s3_metadata_is_served_at_both_paths);

async fn rfc8414_s3_metadata_is_served_at_both_paths(kit: TestHub) {
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] {
        let answer = kit.send(BrowserRequest::new(Method::GET, &kit.url(path))).await;

        assert_eq!((answer.status, header(&answer, "content-type")), (200, "application/json"));
        let metadata = answer.json();
        // The issuer must be the prefix of the URL from which the document was read (section 3.3).
        assert_eq!(metadata["issuer"], kit.app().public_url());
        assert_eq!(metadata["response_types_supported"], json!(["code"]));
        assert_eq!(metadata["code_challenge_methods_supported"], json!(["S256"]));
        assert!(metadata.get("jwks_uri").is_none() && metadata.get("subject_types_supported").is_none());
        for member in ["token", "revocation"] {
            let methods = &metadata[format!("{member}_endpoint_auth_methods_supported")];
            assert_eq!(*methods, json!(["client_secret_basic", "client_secret_post"]));
        }
        assert_endpoints_exist(&kit, &metadata).await;
    }
}

/// Asserts that each endpoint of the metadata is a route of the hub.
async fn assert_endpoints_exist(kit: &TestHub, metadata: &Value) {
    for (member, method) in
        [("authorization", Method::GET), ("token", Method::POST), ("revocation", Method::POST)]
    {
        let url = metadata[format!("{member}_endpoint")].as_str().unwrap();
        let path = url.strip_prefix(kit.app().public_url()).unwrap();
        let answer = kit.send(BrowserRequest::new(method, &kit.url(path))).await;
        assert_ne!(answer.status, 404, "{url}");
        assert_ne!(answer.status, 405, "{url}");
    }
}
