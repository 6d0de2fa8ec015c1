//! Tests of a recipient that uses an independent OAuth client, the `oauth2` crate, as its documentation describes.

use oauth2::basic::{BasicClient, BasicErrorResponseType, BasicRequestTokenError};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest, HttpResponse,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, TokenResponse, TokenUrl,
};

use crate::support::{TestHub, query_parameter};

/// Sends a request of the library, which has no HTTP client of its own here.
async fn send(request: HttpRequest) -> Result<HttpResponse, reqwest::Error> {
    let (parts, body) = request.into_parts();
    #[expect(clippy::disallowed_methods, reason = "a recipient's own client, not the hub's")]
    let client = reqwest::Client::new();
    let sent = client.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body);
    let answer = sent.send().await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut response = HttpResponse::new(answer.bytes().await?.to_vec());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

fn expect_server_error(error: BasicRequestTokenError<reqwest::Error>) -> BasicErrorResponseType {
    match error {
        RequestTokenError::ServerResponse(response) => response.error().clone(),
        other => panic!("not an answer that the library understands: {other}"),
    }
}

async fn run_oauth2_client(credentials_in: AuthType) {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let client = BasicClient::new(ClientId::new(acme.id.clone()))
        .set_client_secret(ClientSecret::new(acme.secret.clone()))
        .set_auth_type(credentials_in)
        .set_auth_uri(AuthUrl::new(kit.url("/api/v1/authorize")).unwrap())
        .set_token_uri(TokenUrl::new(kit.url("/api/v1/token")).unwrap())
        .set_redirect_uri(RedirectUrl::new(acme.redirect_uri.clone()).unwrap());

    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state) = client
        .authorize_url(CsrfToken::new_random)
        .add_scopes(["ACCOUNT_BASIC", "TRANSACTIONS"].map(|scope| Scope::new(scope.into())))
        .set_pkce_challenge(challenge)
        .add_extra_param("provider_id", "1000")
        .url();
    let back = kit.complete_flow(url.as_str(), "alice").await;
    assert!(back.starts_with(&acme.redirect_uri), "{back}");
    assert_eq!(query_parameter(&back, "state").as_ref(), Some(state.secret()));
    let code = AuthorizationCode::new(query_parameter(&back, "code").unwrap());

    let other = PkceCodeVerifier::new("a-verifier-of-another-client-that-is-long-enough".into());
    let wrong = client.exchange_code(code.clone()).set_pkce_verifier(other).request_async(&send).await;
    assert_eq!(expect_server_error(wrong.unwrap_err()), BasicErrorResponseType::InvalidGrant);
    let tokens = client.exchange_code(code).set_pkce_verifier(verifier).request_async(&send).await.unwrap();
    assert_eq!(tokens.expires_in().map(|life| life.as_secs()), Some(300));
    let granted: Vec<&str> = tokens.scopes().unwrap().iter().map(|scope| scope.as_str()).collect();
    assert_eq!(granted, ["ACCOUNT_BASIC", "TRANSACTIONS"]);

    let refresh = tokens.refresh_token().unwrap();
    let refreshed = client.exchange_refresh_token(refresh).request_async(&send).await.unwrap();
    for access in [tokens.access_token(), refreshed.access_token()] {
        assert_eq!(kit.read("/accounts", access.secret()).await.status, 200);
    }
    let own = client.exchange_client_credentials().request_async(&send).await.unwrap();
    assert!(own.refresh_token().is_none());

    assert_eq!(kit.revoke(refreshed.access_token().secret()).await.status, 204);
    let over = client.exchange_refresh_token(refresh).request_async(&send).await;
    assert_eq!(expect_server_error(over.unwrap_err()), BasicErrorResponseType::InvalidGrant);
}

#[tokio::test]
async fn oauth2_crate_completes_flow_with_client_secret_basic() {
    run_oauth2_client(AuthType::BasicAuth).await;
}

#[tokio::test]
async fn oauth2_crate_completes_flow_with_client_secret_post() {
    run_oauth2_client(AuthType::RequestBody).await;
}
