//! The Flinks face: authorization, data recipients, registrations, providers, connections.

mod authorization;
mod management;

use std::time::Duration;

use domain::error::{OAuthCode, OAuthError};
use http::Method;
use serde_json::{Value, json};

use super::document::{self, DocumentInfo};
use super::operation::{ContentSpec, OperationSpec, ResponseSpec, schema_fn};
use crate::error::InternalError;
use crate::http::OAuthErrorBody;
use crate::oauth::AuthzError;
use crate::rate_limit::RateLimitError;
use authorization::{authorize_operation, revoke_operation, token_operation};
use management::{connections, providers, recipients, registrations};

const PARTNER_SECURITY: &[&str] = &["partnerToken"];
const RECIPIENT_SECURITY: &[&str] = &["recipientToken"];
const ANY_CLIENT_SECURITY: &[&str] = &["partnerToken", "recipientToken"];

pub(super) fn build_document() -> Value {
    let about = DocumentInfo {
        title: "Bowline: authorization and management (Flinks Outbound)",
        description: "Connects data recipients to data providers with the customer's consent, and ends connections immediately. Wire compatible with the Flinks Outbound (Open Banking) API. Errors have the form of RFC 6749 §5.2 with the documented statuses: a rejected request is 400 with an error code and a description, also if the bearer token is invalid. Unknown members of a body are ignored; a known member must not be repeated; null and empty members are treated as absent.",
        server: json!({"url": "/"}),
        tags: &[
            ("Authorization", "The customer's consent, tokens, and their revocation."),
            ("Connections", "Connections of a data recipient."),
            ("Data recipients", "Data recipients, managed by their partner."),
            ("Registrations", "Registrations of data recipients with data providers."),
            ("Data providers", "Data providers that can be connected."),
        ],
        security: security_schemes(),
        path_parameter: describe_path_parameter,
    };
    document::build_document(&about, operations())
}

fn security_schemes() -> Value {
    let bearer = |description: &str| json!({"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": description});
    json!({
        "clientBasic": {
            "type": "http", "scheme": "basic",
            "description": "`client_id` and `client_secret`, each form-encoded (RFC 6749 §2.3.1). They may be sent in the body instead.",
        },
        "partnerToken": bearer("The access token of a partner: `client_credentials` with scope `client:admin`."),
        "recipientToken": bearer("The access token of a data recipient: `client_credentials`."),
        "connectionToken": bearer("The access token of a connection: `authorization_code` or `refresh_token`."),
    })
}

fn describe_path_parameter(name: &str) -> (&'static str, Value) {
    let text = json!({"type": "string", "minLength": 1});
    match name {
        "client_id" => ("The id of a data recipient of this partner.", text),
        "connection_id" => ("The id of a connection of this data recipient.", text),
        "provider_id" => ("The id of a data provider.", json!({"type": "integer", "minimum": 1})),
        "recipient_ids" => {
            ("Comma-separated ids of data recipients; at most 1,000 pairs in a request.", text)
        }
        _ => ("Comma-separated ids of data providers.", text),
    }
}

fn operations() -> Vec<OperationSpec> {
    let mut all = vec![
        authorize_operation(),
        token_operation(),
        revoke_operation(Method::DELETE),
        revoke_operation(Method::POST),
    ];
    all.extend(connections());
    all.extend(recipients());
    all.extend(registrations());
    all.extend(providers());
    all
}

/// What operations of this face have in common.
trait FlinksOperationExt: Sized {
    /// Whose bearer it needs, and what one that is of no use is told.
    fn with_client_auth(self, security: &'static [&'static str]) -> Self;
    /// What a client that is held is told.
    fn with_suspended_error(self) -> Self;
    fn with_oauth_errors(self, errors: impl IntoIterator<Item = (OAuthCode, &'static str)>) -> Self;
    fn with_errors(self, errors: impl IntoIterator<Item = OAuthError>) -> Self;
    fn with_not_found(self, sentence: &'static str) -> Self;
    fn with_unknown_recipient(self) -> Self;
    fn with_unknown_connection(self) -> Self;
    fn with_paging(self) -> Self;
    /// A body is bounded in size and time.
    fn with_body_limits(self) -> Self;
    /// A body is of a type that is read.
    fn with_body_errors(self, types: &'static str) -> Self;
    /// Our own trouble.
    fn with_internal_errors(self) -> Self;
}

impl FlinksOperationExt for OperationSpec {
    fn with_client_auth(self, security: &'static [&'static str]) -> Self {
        let wrong = match security {
            PARTNER_SECURITY => "This operation needs an access token with scope client:admin",
            RECIPIENT_SECURITY => "This operation needs an access token with scope providers:read",
            _ => "This operation needs an access token of the client itself",
        };
        let challenged = |sentence| ResponseSpec {
            headers: &["www-authenticate"],
            ..error_response(&OAuthError::new(OAuthCode::InvalidRequest, sentence))
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
        self.with_errors(errors.into_iter().map(|(code, sentence)| OAuthError::new(code, sentence)))
    }

    fn with_errors(self, errors: impl IntoIterator<Item = OAuthError>) -> Self {
        self.with_responses(errors.into_iter().map(|error| error_response(&error)))
    }

    fn with_not_found(self, sentence: &'static str) -> Self {
        self.with_responses([ResponseSpec {
            status: 404,
            description: "The object does not exist or belongs to another client",
            ..error_response(&OAuthError::new(OAuthCode::InvalidRequest, sentence))
        }])
    }

    fn with_unknown_recipient(self) -> Self {
        self.with_not_found("client_id names no data recipient of this partner")
    }

    fn with_unknown_connection(self) -> Self {
        self.with_not_found("connection_id names no connection of this data recipient").with_internal_errors()
    }

    fn with_paging(self) -> Self {
        self.with_page_parameters().with_oauth_errors([
            (OAuthCode::InvalidRequest, "limit must be a positive integer, given once"),
            (OAuthCode::InvalidRequest, "offset is altered, expired or of another list"),
        ])
    }

    fn with_body_limits(self) -> Self {
        let body_error = |status, sentence| ResponseSpec {
            status,
            description: "The request body could not be read",
            ..error_response(&OAuthError::new(OAuthCode::InvalidRequest, sentence))
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

/// A refusal as the face renders it.
fn error_response(error: &OAuthError) -> ResponseSpec {
    let status = error.code.flinks_status();
    ResponseSpec {
        status,
        description: match status {
            400 => "The request is invalid",
            503 => "Service temporarily unavailable",
            _ => "Internal server error",
        },
        content: ContentSpec::Json("application/json", schema_fn::<OAuthErrorBody<'static>>()),
        example: serde_json::to_value(OAuthErrorBody::new(error)).ok(),
        headers: if status == 503 { &["retry-after"] } else { &[] },
    }
}
