//! From the customer's consent to tokens, and to their end.

use domain::DataCluster;
use domain::error::OAuthCode;
use domain::rule::authorize::{DENIED, NOT_NOW, NOT_REGISTERED};
use http::Method;
use serde_json::{Value, json};

use super::super::operation::{Answer, Body, Content, Operation, one_of};
use super::OfClients;
use crate::authz::http::TokenBody;

pub(super) fn authorize() -> Operation {
    let text = || json!({"type": "string", "minLength": 1});
    let page = |status, description| Answer {
        status,
        description,
        content: Content::Document(&["text/html"]),
        example: None,
        headers: &[],
    };
    Operation::new(Method::GET, "/api/v1/authorize", "authorize", "Authorize").below("Authorization")
        .says(
            "Opened in the customer's browser. An unknown client, and a redirect URI that is not registered exactly, \
             get a page; every other refusal goes to the redirect URI with `error`, `error_description` and `state`.",
        )
        .needs("client_id", "The id of the data recipient.", text())
        .needs("redirect_uri", "One of its redirect URIs, exactly.", json!({"type": "string", "format": "uri"}))
        .needs("response_type", "", one_of(["code"]))
        .needs("scope", "Words with spaces between; ACCOUNT_BASIC is one of them.", scope_schema())
        .needs("state", "Comes back byte for byte.", json!({"type": "string", "minLength": 1, "maxLength": 4096}))
        .query("provider_id", "Without it the customer picks.", json!({"type": "integer", "minimum": 1}))
        .query("code_challenge", "RFC 7636.", json!({"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}))
        .query("code_challenge_method", "", one_of(["S256"]))
        .query("ui_locales", "Languages of the pages, the best first: `en`, `fr`.", text())
        .answers([page(200, "The customer picks a data provider")])
        .gives_nothing(302, "Back to the data recipient, with an error", &["location"])
        .gives_nothing(303, "On to the consent page", &["location"])
        .answers([
            page(400, "A page for the customer: the client or the redirect URI is not known"),
            page(500, "A page for the customer: an unhandled error"),
            page(503, "A page for the customer: the hub cannot answer now"),
        ])
}

/// What may be asked for.
pub(super) fn scope_schema() -> Value {
    let words = DataCluster::ALL.map(DataCluster::as_str).join("|");
    json!({"type": "string", "pattern": format!("^ *(({words}) +)*ACCOUNT_BASIC( +({words}))* *$")})
}

pub(super) fn token() -> Operation {
    let text = || json!({"type": "string", "minLength": 1});
    let fields = json!({
        "type": "object",
        "required": ["grant_type"],
        "properties": {
            "grant_type": one_of(["authorization_code", "refresh_token", "client_credentials"]),
            "client_id": text(), "client_secret": text(), "code": text(),
            "redirect_uri": json!({"type": "string", "format": "uri"}),
            "code_verifier": json!({"type": "string", "pattern": "^[A-Za-z0-9._~-]{43,128}$"}),
            "refresh_token": text(), "scope": text(),
        },
    });
    let body = Body {
        media: &["application/json", "application/x-www-form-urlencoded"],
        required: true,
        schema: ("TokenRequest", fields),
        examples: vec![
            (
                "A code for tokens",
                json!({"grant_type": "authorization_code", "client_id": "dc-…", "client_secret": "…",
                    "code": "…", "redirect_uri": "https://app.example.org/callback"}),
            ),
            (
                "A fresh access token",
                json!({"grant_type": "refresh_token", "client_id": "dc-…", "client_secret": "…",
                    "refresh_token": "…"}),
            ),
            (
                "A client's own token",
                json!({"grant_type": "client_credentials", "client_id": "dc-…", "client_secret": "…"}),
            ),
        ],
    };
    let example = json!({"access_token": "eyJ…", "token_type": "Bearer", "expires_in": 300,
        "scope": "ACCOUNT_BASIC TRANSACTIONS", "refresh_token": "…"});
    Operation::new(Method::POST, "/api/v1/token", "token", "Token")
        .below("Authorization")
        .says("RFC 6749 §4.1.3, §6, §4.4.2. Credentials and tokens are refused in the query.")
        .takes_body(body)
        .secured(&["clientBasic", ""])
        .gives::<TokenBody<'static>>(200, "Tokens", example)
        .refuses([
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
        .also([NOT_REGISTERED, NOT_NOW, DENIED])
        .reads_a_body("The content type must be application/json or application/x-www-form-urlencoded")
        .troubled()
}

pub(super) fn revoke(method: Method) -> Operation {
    let id = if method == Method::DELETE { "revoke" } else { "revokeByPost" };
    Operation::new(method, "/api/v1/revoke", id, "Revoke Connection").below("Authorization")
        .says(
            "Ends the connection of the bearer: no token of it is good once this is answered, and the bank is told. \
             Repeating it is harmless. A field `token` of a form must be the bearer.",
        )
        .secured(&["connectionToken"])
        .gives_nothing(204, "The connection has ended", &[])
        .refuses([
            (OAuthCode::InvalidRequest, "The access token is missing, malformed or expired"),
            (OAuthCode::InvalidRequest, "This token names no connection"),
            (
                OAuthCode::InvalidRequest,
                "A newer login has replaced this connection: revoke with the newer login's token",
            ),
        ])
        .bounded()
        .troubled()
}
