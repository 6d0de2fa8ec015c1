//! The Flinks face: authorization, data recipients, registrations, providers, connections.

mod authorization;
mod management;

use std::time::Duration;

use domain::error::{OAuthCode, OAuthError};
use http::Method;
use serde_json::{Value, json};

use super::document::{self, About};
use super::operation::{Answer, Content, Operation, shape};
use crate::authz::AuthzError;
use crate::fault::Fault;
use crate::limit::TooMany;
use crate::web::OAuthErrorBody;
use authorization::{authorize, revoke, token};
use management::{connections, providers, recipients, registrations};

const PARTNER: &[&str] = &["partnerToken"];
const RECIPIENT: &[&str] = &["recipientToken"];
const EITHER: &[&str] = &["partnerToken", "recipientToken"];

pub(super) fn document() -> Value {
    let about = About {
        title: "Bowline: authorization and management (Flinks Outbound)",
        description: "Connects data recipients to data providers with the customer's consent, and cuts a connection \
            at once. Wire compatible with the Flinks Outbound (Open Banking) API. Errors are those of RFC 6749 \
            §5.2 with the documented statuses: a refusal is 400 with a word and a sentence, also where a bearer is \
            of no use. A member of a body that is not known is ignored, one that is known is given once; one that is null or \
            empty is as good as absent.",
        server: json!({"url": "/"}),
        tags: &[
            ("Authorization", "From the customer's consent to tokens, and to their end."),
            ("Connections", "What a data recipient is connected to."),
            ("Data recipients", "Partners look after their data recipients."),
            ("Registrations", "Of data recipients with data providers."),
            ("Data providers", "What can be connected to."),
        ],
        security: security(),
        path_parameter,
    };
    document::document(&about, operations())
}

fn security() -> Value {
    let bearer = |description: &str| json!({"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": description});
    json!({
        "clientBasic": {
            "type": "http", "scheme": "basic",
            "description": "`client_id` and `client_secret`, each form-encoded (RFC 6749 §2.3.1). They may stand in the body instead.",
        },
        "partnerToken": bearer("Of a partner: `client_credentials` with `client:admin`."),
        "recipientToken": bearer("Of a data recipient itself: `client_credentials`."),
        "connectionToken": bearer("Of a connection: `authorization_code` or `refresh_token`."),
    })
}

fn path_parameter(name: &str) -> (&'static str, Value) {
    let text = json!({"type": "string", "minLength": 1});
    match name {
        "client_id" => ("The id of a data recipient of this partner.", text),
        "connection_id" => ("The id of a connection of this data recipient.", text),
        "provider_id" => ("The id of a data provider.", json!({"type": "integer", "minimum": 1})),
        "recipient_ids" => {
            ("Ids of data recipients, with commas between: at most 1,000 pairs a request.", text)
        }
        _ => ("Ids of data providers, with commas between.", text),
    }
}

fn operations() -> Vec<Operation> {
    let mut all = vec![authorize(), token(), revoke(Method::DELETE), revoke(Method::POST)];
    all.extend(connections());
    all.extend(recipients());
    all.extend(registrations());
    all.extend(providers());
    all
}

/// What operations of this face have in common.
trait OfClients: Sized {
    /// Whose bearer it needs, and what one that is of no use is told.
    fn of_clients(self, security: &'static [&'static str]) -> Self;
    /// What a client that is held is told.
    fn held_with_its_client(self) -> Self;
    fn refuses(self, errors: impl IntoIterator<Item = (OAuthCode, &'static str)>) -> Self;
    fn also(self, errors: impl IntoIterator<Item = OAuthError>) -> Self;
    fn missing(self, sentence: &'static str) -> Self;
    fn unknown_recipient(self) -> Self;
    fn unknown_connection(self) -> Self;
    fn paged(self) -> Self;
    /// A body is bounded in size and time.
    fn bounded(self) -> Self;
    /// A body is of a type that is read.
    fn reads_a_body(self, types: &'static str) -> Self;
    /// Our own trouble.
    fn troubled(self) -> Self;
}

impl OfClients for Operation {
    fn of_clients(self, security: &'static [&'static str]) -> Self {
        let wrong = match security {
            PARTNER => "This operation needs an access token with scope client:admin",
            RECIPIENT => "This operation needs an access token with scope providers:read",
            _ => "This operation needs an access token of the client itself",
        };
        let challenged = |sentence| Answer {
            headers: &["www-authenticate"],
            ..refusal(&OAuthError::new(OAuthCode::InvalidRequest, sentence))
        };
        self.secured(security)
            .answers([challenged("The access token is missing, malformed or expired"), challenged(wrong)])
    }

    fn held_with_its_client(self) -> Self {
        self.refuses([(OAuthCode::UnauthorizedClient, "This client is suspended")])
    }

    fn refuses(self, errors: impl IntoIterator<Item = (OAuthCode, &'static str)>) -> Self {
        self.also(errors.into_iter().map(|(code, sentence)| OAuthError::new(code, sentence)))
    }

    fn also(self, errors: impl IntoIterator<Item = OAuthError>) -> Self {
        self.answers(errors.into_iter().map(|error| refusal(&error)))
    }

    fn missing(self, sentence: &'static str) -> Self {
        self.answers([Answer {
            status: 404,
            description: "What the path names is not there, or is another's",
            ..refusal(&OAuthError::new(OAuthCode::InvalidRequest, sentence))
        }])
    }

    fn unknown_recipient(self) -> Self {
        self.missing("client_id names no data recipient of this partner")
    }

    fn unknown_connection(self) -> Self {
        self.missing("connection_id names no connection of this data recipient").troubled()
    }

    fn paged(self) -> Self {
        self.page_by_page().refuses([
            (OAuthCode::InvalidRequest, "limit must be a positive integer, given once"),
            (OAuthCode::InvalidRequest, "offset is altered, expired or of another list"),
        ])
    }

    fn bounded(self) -> Self {
        let of = |status, sentence| Answer {
            status,
            description: "The body cannot be read",
            ..refusal(&OAuthError::new(OAuthCode::InvalidRequest, sentence))
        };
        self.answers([of(408, "The body did not arrive"), of(413, "The body is too large")])
    }

    fn reads_a_body(self, types: &'static str) -> Self {
        self.bounded().answers([Answer {
            status: 415,
            description: "The body is of another type",
            ..refusal(&OAuthError::new(OAuthCode::InvalidRequest, types))
        }])
    }

    fn troubled(self) -> Self {
        let busy = AuthzError::TooMany(TooMany(Duration::from_secs(1)));
        self.also([busy.shown(), AuthzError::Fault(Fault::new("")).shown()])
    }
}

/// A refusal as the face renders it.
fn refusal(error: &OAuthError) -> Answer {
    let status = error.code.flinks_status();
    Answer {
        status,
        description: match status {
            400 => "The request is refused",
            503 => "Not now",
            _ => "Our own trouble",
        },
        content: Content::Json("application/json", shape::<OAuthErrorBody<'static>>()),
        example: serde_json::to_value(OAuthErrorBody::new(error)).ok(),
        headers: if status == 503 { &["retry-after"] } else { &[] },
    }
}
