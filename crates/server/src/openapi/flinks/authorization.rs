//! From the customer's consent to tokens, and to their end.

use domain::DataCluster;
use domain::error::OAuthCode;
use domain::rule::authorize::{ACCESS_DENIED, NOT_REGISTERED, PROVIDER_UNAVAILABLE};
use http::Method;
use serde_json::{Value, json};

use super::super::operation::{ContentSpec, OperationSpec, RequestBodySpec, ResponseSpec, string_enum};
use super::FlinksOperationExt;
use crate::oauth::http::TokenBody;

pub(super) fn authorize_operation() -> OperationSpec {
    let text = || json!({"type": "string", "minLength": 1});
    let page = |status, description| ResponseSpec {
        status,
        description,
        content: ContentSpec::Document(&["text/html"]),
        example: None,
        headers: &[],
    };
    OperationSpec::new(Method::GET, "/api/v1/authorize", "authorize", "Authorize").with_tag("Authorization")
        .with_description(
            "Opened in the customer's browser. An unknown client, or a redirect URI that does not exactly match a registered one, results in a page. Every other error is sent to the redirect URI with `error`, `error_description` and `state`.",
        )
        .with_required_query("client_id", "The id of the data recipient.", text())
        .with_required_query("redirect_uri", "A redirect URI that exactly matches a registered one.", json!({"type": "string", "format": "uri"}))
        .with_required_query("response_type", "", string_enum(["code"]))
        .with_required_query("scope", "Space-delimited scope (RFC 6749 §3.3). It must include ACCOUNT_BASIC.", scope_schema())
        .with_required_query("state", "An opaque value that is returned unchanged (RFC 6749 §4.1.1).", json!({"type": "string", "minLength": 1, "maxLength": 4096}))
        .with_query("provider_id", "The data provider. If absent, the customer chooses one on a page.", json!({"type": "integer", "minimum": 1}))
        .with_query("code_challenge", "The PKCE code challenge (RFC 7636).", json!({"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}))
        .with_query("code_challenge_method", "", string_enum(["S256"]))
        .with_query("ui_locales", "Space-delimited preferred languages of the pages: `en`, `fr`.", text())
        .with_responses([page(200, "A page where the customer chooses a data provider")])
        .with_empty_response(302, "Redirect to the data recipient with an error", &["location"])
        .with_empty_response(303, "Redirect to the consent page", &["location"])
        .with_responses([
            page(400, "A page for the customer: the client is unknown, or the redirect URI is not registered"),
            page(500, "A page for the customer: internal server error"),
            page(503, "A page for the customer: service temporarily unavailable"),
        ])
}

/// What may be asked for.
pub(super) fn scope_schema() -> Value {
    let values: Vec<_> = DataCluster::ALL.iter().map(|cluster| cluster.as_str()).collect();
    let words = values.join("|");
    json!({"type": "string", "pattern": format!("^ *(({words}) +)*ACCOUNT_BASIC( +({words}))* *$")})
}

pub(super) fn token_operation() -> OperationSpec {
    let text = || json!({"type": "string", "minLength": 1});
    let fields = json!({
        "type": "object",
        "required": ["grant_type"],
        "properties": {
            "grant_type": string_enum(["authorization_code", "refresh_token", "client_credentials"]),
            "client_id": text(), "client_secret": text(), "code": text(),
            "redirect_uri": json!({"type": "string", "format": "uri"}),
            "code_verifier": json!({"type": "string", "pattern": "^[A-Za-z0-9._~-]{43,128}$"}),
            "refresh_token": text(), "scope": text(),
        },
    });
    let body = RequestBodySpec {
        media: &["application/json", "application/x-www-form-urlencoded"],
        required: true,
        schema: ("TokenRequest", fields),
        examples: vec![
            (
                "Exchange an authorization code",
                json!({"grant_type": "authorization_code", "client_id": "dc-…", "client_secret": "…",
                    "code": "…", "redirect_uri": "https://app.example.org/callback"}),
            ),
            (
                "Refresh an access token",
                json!({"grant_type": "refresh_token", "client_id": "dc-…", "client_secret": "…",
                    "refresh_token": "…"}),
            ),
            (
                "Get a token of the client",
                json!({"grant_type": "client_credentials", "client_id": "dc-…", "client_secret": "…"}),
            ),
        ],
    };
    let example = json!({"access_token": "eyJ…", "token_type": "Bearer", "expires_in": 300,
        "scope": "ACCOUNT_BASIC TRANSACTIONS", "refresh_token": "…"});
    OperationSpec::new(Method::POST, "/api/v1/token", "token", "Token")
        .with_tag("Authorization")
        .with_description("Token endpoint (RFC 6749 §4.1.3, §4.4.2 and §6). Credentials and tokens in the query are rejected.")
        .with_body(body)
        .with_security(&["clientBasic", ""])
        .with_json_response::<TokenBody<'static>>(200, "Tokens", example)
        .with_oauth_errors([
            (OAuthCode::InvalidRequest, "grant_type is missing"),
            (OAuthCode::InvalidClient, "client_id or client_secret is wrong"),
            (OAuthCode::InvalidGrant, "The code is unknown, expired, used or was issued to another request"),
            (OAuthCode::InvalidGrant, "The refresh token is unknown, expired or its connection has ended"),
            (OAuthCode::InvalidScope, "scope names nothing"),
            (OAuthCode::UnauthorizedClient, "This client is suspended"),
            (
                OAuthCode::UnsupportedGrantType,
                "grant_type must be authorization_code, refresh_token or client_credentials",
            ),
        ])
        .with_errors([NOT_REGISTERED, PROVIDER_UNAVAILABLE, ACCESS_DENIED])
        .with_body_errors("The content type must be application/json or application/x-www-form-urlencoded")
        .with_internal_errors()
}

pub(super) fn revoke_operation(method: Method) -> OperationSpec {
    let id = if method == Method::DELETE { "revoke" } else { "revokeByPost" };
    OperationSpec::new(method, "/api/v1/revoke", id, "Revoke Connection").with_tag("Authorization")
        .with_description(
            "Ends the connection of the bearer token. After the response no token of the connection is accepted; the data provider is notified in the background. The call can be repeated safely. A form field `token` must equal the bearer token.",
        )
        .with_security(&["connectionToken"])
        .with_empty_response(204, "The connection has ended", &[])
        .with_oauth_errors([
            (OAuthCode::InvalidRequest, "The access token is missing, malformed or expired"),
            (OAuthCode::InvalidRequest, "This access token does not belong to a connection"),
            (
                OAuthCode::InvalidRequest,
                "A newer login has replaced this connection: revoke with the newer login's token",
            ),
        ])
        .with_body_limits()
        .with_internal_errors()
}
