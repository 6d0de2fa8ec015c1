//! The routes of the OAuth endpoints with their API documentation, and the builder methods for all operations of the
//! Flinks API.

use std::time::Duration;

use domain::DataCluster;
use domain::error::{OAuthCode, OAuthError};
use domain::rule::authorize::{ACCESS_DENIED, NOT_REGISTERED, PROVIDER_UNAVAILABLE};
use domain::rule::revoke::TokenRevocationRequest;
use http::Method;
use serde_json::{Map, Value, json};

use super::AuthzError;
use super::http::{
    TokenBody, TokenRevokedBody, authorize, create_token, revoke, show_key_set, show_metadata,
};
use crate::error::InternalError;
use crate::http::{OAuthErrorBody, Route, RouteHandler};
use crate::operation::{
    ContentSpec, OperationSpec, OperationTag, RequestBodySpec, ResponseSpec, schema_fn, string_enum,
};
use crate::rate_limit::RateLimitError;

const TAG: OperationTag = OperationTag("Authorization");

pub(crate) const PARTNER_SECURITY: &[&str] = &["partnerToken"];
pub(crate) const RECIPIENT_SECURITY: &[&str] = &["recipientToken"];
pub(crate) const ANY_CLIENT_SECURITY: &[&str] = &["partnerToken", "recipientToken"];

/// Returns the routes of the OAuth endpoints, each with its OpenAPI documentation.
pub(crate) fn routes() -> Vec<Route> {
    const REVOKE: &str = "/api/v1/revoke";
    // Flinks documents both, and gives the name of the operation only for DELETE. Names must be unique.
    let (by_delete, by_post) = (
        TAG.delete(REVOKE, "revokeConnection", "Revoke Connection"),
        TAG.post(REVOKE, "revokeConnectionPost", "Revoke Connection"),
    );
    let documented = [
        authorize_operation().route(authorize),
        token_operation().route(create_token),
        revoke_operation(by_delete).route(revoke),
        with_token_revocation(revoke_operation(by_post)).route(revoke),
    ];
    // Many libraries only look at the path of OpenID Connect Discovery. The document there has no members of OpenID, because
    // the hub issues no id_token.
    let metadata = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"]
        .map(|path| Route::page(Method::GET, path, show_metadata));
    let key_set = Route::page(Method::GET, "/.well-known/jwks.json", show_key_set);
    documented.into_iter().chain(metadata).chain([key_set]).collect()
}

fn authorize_operation() -> OperationSpec {
    let text = || json!({"type": "string", "minLength": 1});
    let page = |status, description| ResponseSpec {
        status,
        description,
        content: ContentSpec::Document(&["text/html"]),
        example: None,
        headers: &[],
    };
    TAG.get("/api/v1/authorize", "authorizeWithDataProvider", "Authorize With a Data Provider")
        .with_description(
            "Opened in the customer's browser. An unknown client, or a redirect URI that does not exactly \
             match a registered one, results in a page. Every other error is sent to the redirect URI with \
             `error`, `error_description` and `state`.",
        )
        .with_required_query("client_id", "The id of the data recipient.", text())
        .with_required_query(
            "redirect_uri",
            "A redirect URI that exactly matches a registered one.",
            json!({"type": "string", "format": "uri"}),
        )
        .with_required_query("response_type", "", string_enum(["code"]))
        .with_required_query(
            "scope",
            "Space-delimited scope (RFC 6749 §3.3). It must include ACCOUNT_BASIC.",
            scope_schema(),
        )
        .with_required_query(
            "state",
            "An opaque value that is returned unchanged (RFC 6749 §4.1.1).",
            json!({"type": "string", "minLength": 1, "maxLength": 1500}),
        )
        .with_query(
            "provider_id",
            "The data provider. If absent, the customer chooses one on a page.",
            json!({"type": "integer", "minimum": 1}),
        )
        .with_query(
            "code_challenge",
            "The PKCE code challenge (RFC 7636).",
            json!({"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}),
        )
        .with_query("code_challenge_method", "", string_enum(["S256"]))
        .with_query("ui_locales", "Space-delimited preferred languages of the pages: `en`, `fr`.", text())
        .with_responses([page(200, "A page where the customer chooses a data provider")])
        .with_empty_response(302, "Redirect to the data recipient with an error", &["location"])
        .with_empty_response(303, "Redirect to the consent page", &["location"])
        .with_responses([
            page(
                400,
                "A page for the customer: the client is unknown, or the redirect URI is not registered",
            ),
            ResponseSpec {
                headers: &["retry-after"],
                ..page(429, "A page for the customer: too many requests from this network")
            },
            page(500, "A page for the customer: internal server error"),
            page(503, "A page for the customer: service temporarily unavailable"),
        ])
}

fn scope_schema() -> Value {
    let values: Vec<_> = DataCluster::ALL.iter().map(|cluster| cluster.as_str()).collect();
    let clusters = values.join("|");
    json!({"type": "string", "pattern": format!("^ *(({clusters}) +)*ACCOUNT_BASIC( +({clusters}))* *$")})
}

fn token_request_schema() -> Value {
    let text = || json!({"type": "string", "minLength": 1});
    json!({
        "type": "object",
        "required": ["grant_type"],
        "properties": {
            "grant_type": string_enum(["authorization_code", "refresh_token", "client_credentials"]),
            "client_id": text(), "client_secret": text(), "code": text(),
            "redirect_uri": json!({"type": "string", "format": "uri"}),
            "code_verifier": json!({"type": "string", "pattern": "^[A-Za-z0-9._~-]{43,128}$"}),
            "refresh_token": text(), "scope": text(),
        },
    })
}

fn token_operation() -> OperationSpec {
    let body = RequestBodySpec {
        media: &["application/json", "application/x-www-form-urlencoded"],
        required: true,
        schema: ("TokenRequest", token_request_schema),
        // The document sorts the examples by name, and the `curl` command shows the first one.
        examples: vec![
            (
                "Code exchange",
                json!({"grant_type": "authorization_code", "client_id": "dc-…", "client_secret": "…",
                    "code": "…", "redirect_uri": "https://app.example.org/callback"}),
            ),
            (
                "Refresh of an access token",
                json!({"grant_type": "refresh_token", "client_id": "dc-…", "client_secret": "…",
                    "refresh_token": "…"}),
            ),
            (
                "Client credentials",
                json!({"grant_type": "client_credentials", "client_id": "dc-…", "client_secret": "…"}),
            ),
        ],
    };
    let example = json!({"access_token": "eyJ…", "token_type": "Bearer", "expires_in": 300,
        "scope": "ACCOUNT_BASIC TRANSACTIONS", "refresh_token": "…"});
    TAG.post("/api/v1/token", "token", "Token")
        .with_description(
            "Token endpoint (RFC 6749 §4.1.3, §4.4.2 and §6). Credentials and tokens in the query are \
             rejected.",
        )
        .with_body(body)
        .with_security(&["clientBasic", ""])
        .with_json_response::<TokenBody<'static>>(200, "Tokens", example)
        .with_oauth_errors([
            (OAuthCode::InvalidRequest, "grant_type is missing"),
            (OAuthCode::InvalidClient, "client_id or client_secret is wrong"),
            (OAuthCode::InvalidGrant, "The code is unknown, used or expired"),
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

fn revoke_operation(operation: OperationSpec) -> OperationSpec {
    operation
        .with_description(
            "Ends the connection of the bearer token. After the response no token of the connection is \
             accepted; the data provider is notified in the background. The call can be repeated safely. The \
             body is ignored, except for a field `token`: it must be the bearer token, or the refresh token of \
             the same connection.",
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

/// Documents that a client can revoke tokens with its credentials instead of a bearer token.
fn with_token_revocation(operation: OperationSpec) -> OperationSpec {
    // Every body is valid, because Flinks' call ignores it.
    let schema = || {
        let properties = TokenRevocationRequest::ALL_NAMES.map(|name| (name.to_owned(), json!({})));
        json!({"properties": Map::from_iter(properties)})
    };
    let token = json!({"token": "…", "client_id": "dc-…", "client_secret": "…"});
    operation
        .with_description(
            "With a bearer token: as `DELETE`. Without one: token revocation (RFC 7009). The client authenticates \
             as at the token endpoint, also while it is suspended, and `token` is an access token or the refresh \
             token of one of its connections, expired or not. The connection ends. An unknown token, or that of \
             another client, is 200 too and changes nothing.",
        )
        .with_security(&["clientBasic", "connectionToken", ""])
        .with_body(RequestBodySpec {
            media: &["application/x-www-form-urlencoded", "application/json"],
            required: false,
            schema: ("TokenRevocation", schema),
            examples: vec![("Token revocation (RFC 7009)", token)],
        })
        .with_json_response::<TokenRevokedBody>(200, "The token gives no access (RFC 7009)", json!({}))
        .with_oauth_errors([
            (OAuthCode::InvalidRequest, "token is missing"),
            (OAuthCode::InvalidRequest, "token differs from the Authorization header"),
            (OAuthCode::InvalidClient, "client_id or client_secret is wrong"),
            (OAuthCode::UnauthorizedClient, "This client uses another revocation endpoint"),
        ])
        .with_body_errors("The content type must be application/json or application/x-www-form-urlencoded")
}

/// Builder methods for the documentation that operations of the Flinks API have in common.
pub(crate) trait FlinksOperationExt: Sized {
    fn route<T: 'static>(self, handler: impl RouteHandler<T>) -> Route;
    /// Sets the security schemes of the operation, and documents the error responses for a missing, invalid or
    /// unsuitable token.
    fn with_client_auth(self, security: &'static [&'static str]) -> Self;
    /// Documents the error response that a suspended client receives from this operation.
    fn with_suspended_error(self) -> Self;
    fn with_oauth_errors(self, errors: impl IntoIterator<Item = (OAuthCode, &'static str)>) -> Self;
    fn with_errors(self, errors: impl IntoIterator<Item = OAuthError>) -> Self;
    fn with_not_found(self, message: &'static str) -> Self;
    fn with_unknown_recipient(self) -> Self;
    fn with_unknown_connection(self) -> Self;
    fn with_paging(self) -> Self;
    /// Documents the paging of a list that is an array.
    fn with_array_paging(self) -> Self;
    /// Documents the error responses for a request body that is too large or is not received in time.
    fn with_body_limits(self) -> Self;
    /// Documents the error responses for a request body that is too large, is not received in time or has an
    /// unsupported content type. `types` is the message for the last case.
    fn with_body_errors(self, types: &'static str) -> Self;
    /// Documents the error responses of every operation: internal error and temporary unavailability.
    fn with_internal_errors(self) -> Self;
}

const PAGING_ERRORS: [(OAuthCode, &str); 2] = [
    (OAuthCode::InvalidRequest, "limit must be a positive integer, given once"),
    (OAuthCode::InvalidRequest, "offset is altered, expired or of another list"),
];

impl FlinksOperationExt for OperationSpec {
    fn route<T: 'static>(self, handler: impl RouteHandler<T>) -> Route {
        Route::flinks(self, handler)
    }

    fn with_client_auth(self, security: &'static [&'static str]) -> Self {
        let wrong = match security {
            PARTNER_SECURITY => "This operation needs an access token with scope client:admin",
            RECIPIENT_SECURITY => "This operation needs an access token with scope providers:read",
            _ => "This operation needs an access token of the client itself",
        };
        // The status stays 400, as Flinks documents it, with the challenge that RFC 6750 §3 requires.
        let challenged = |message| ResponseSpec {
            headers: &["www-authenticate"],
            ..error_response(&OAuthError::new(OAuthCode::InvalidRequest, message))
        };
        self.with_security(security).with_responses([
            challenged("The access token is missing, malformed or expired"),
            challenged(wrong),
        ])
    }

    fn with_suspended_error(self) -> Self {
        self.with_oauth_errors([(OAuthCode::UnauthorizedClient, "This client is suspended")])
    }

    fn with_oauth_errors(self, errors: impl IntoIterator<Item = (OAuthCode, &'static str)>) -> Self {
        self.with_errors(errors.into_iter().map(|(code, message)| OAuthError::new(code, message)))
    }

    fn with_errors(self, errors: impl IntoIterator<Item = OAuthError>) -> Self {
        self.with_responses(errors.into_iter().map(|error| error_response(&error)))
    }

    fn with_not_found(self, message: &'static str) -> Self {
        self.with_responses([ResponseSpec {
            status: 404,
            description: "The object does not exist or belongs to another client",
            ..error_response(&OAuthError::new(OAuthCode::InvalidRequest, message))
        }])
    }

    fn with_unknown_recipient(self) -> Self {
        self.with_not_found("client_id names no data recipient of this partner")
    }

    fn with_unknown_connection(self) -> Self {
        self.with_not_found("connection_id names no connection of this data recipient").with_internal_errors()
    }

    fn with_paging(self) -> Self {
        self.with_page_parameters().with_oauth_errors(PAGING_ERRORS)
    }

    fn with_array_paging(self) -> Self {
        self.with_query(
            "limit",
            "Maximum number of results. A larger value is treated as the maximum, which is also the default.",
            json!({"type": "integer", "minimum": 1}),
        )
        .with_query(
            "offset",
            "`offset` of the URL in the header `Link` of the previous page. Opaque, valid only for this list and for a \
             limited time.",
            json!({"type": "string"}),
        )
        .with_oauth_errors(PAGING_ERRORS)
    }

    fn with_body_limits(self) -> Self {
        let body_error = |status, message| ResponseSpec {
            status,
            description: "The request body could not be read",
            ..error_response(&OAuthError::new(OAuthCode::InvalidRequest, message))
        };
        self.with_responses([
            body_error(408, "The body did not arrive"),
            body_error(413, "The body is too large"),
        ])
    }

    fn with_body_errors(self, types: &'static str) -> Self {
        self.with_body_limits().with_responses([ResponseSpec {
            status: 415,
            description: "The content type of the request body is not supported",
            ..error_response(&OAuthError::new(OAuthCode::InvalidRequest, types))
        }])
    }

    fn with_internal_errors(self) -> Self {
        let busy = AuthzError::RateLimited(RateLimitError(Duration::from_secs(1)));
        self.with_errors([
            busy.to_oauth_error(),
            AuthzError::Internal(InternalError::new("")).to_oauth_error(),
        ])
    }
}

/// Describes the response for an error, with the error's body as the example.
fn error_response(error: &OAuthError) -> ResponseSpec {
    let status = error.code.flinks_status();
    let headers: &[&str] = if status == 503 { &["retry-after"] } else { &[] };
    ResponseSpec {
        status,
        description: match status {
            400 => "The request is invalid",
            503 => "Service temporarily unavailable",
            _ => "Internal server error",
        },
        content: ContentSpec::Json("application/json", schema_fn::<OAuthErrorBody<'static>>()),
        example: serde_json::to_value(OAuthErrorBody::new(error)).ok(),
        headers,
    }
}
