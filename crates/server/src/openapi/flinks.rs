//! The Flinks face: authorization, data recipients, registrations, providers, connections.

use std::time::Duration;

use domain::DataCluster;
use domain::error::{OAuthCode, OAuthError};
use domain::rule::authorize::{DENIED, NOT_NOW, NOT_REGISTERED};
use http::Method;
use serde_json::{Value, json};

use super::document::{self, About};
use super::operation::{Answer, Body, Content, Operation, one_of, shape};
use crate::authz::AuthzError;
use crate::authz::http::TokenBody;
use crate::fault::Fault;
use crate::limit::TooMany;
use crate::manage::wire::{
    ConnectionBody, ConnectionsBody, DetailBody, PairsBody, ProviderBody, RecipientBody, RegistrationBody,
    SecondBody, SecretBody,
};
use crate::web::OAuthErrorBody;

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
        server: "/",
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

fn authorize() -> Operation {
    let text = || json!({"type": "string", "minLength": 1});
    let page = |status, description| Answer {
        status,
        description,
        content: Content::Document(&["text/html"]),
        example: None,
        headers: &[],
    };
    Operation { tag: "Authorization", ..Operation::new(Method::GET, "/api/v1/authorize", "authorize", "Authorize") }
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
fn scope_schema() -> Value {
    let words = DataCluster::ALL.map(DataCluster::as_str).join("|");
    json!({"type": "string", "pattern": format!("^ *(({words}) +)*ACCOUNT_BASIC( +({words}))* *$")})
}

fn token() -> Operation {
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
    Operation { tag: "Authorization", ..Operation::new(Method::POST, "/api/v1/token", "token", "Token") }
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

fn revoke(method: Method) -> Operation {
    let id = if method == Method::DELETE { "revoke" } else { "revokeByPost" };
    Operation { tag: "Authorization", ..Operation::new(method, "/api/v1/revoke", id, "Revoke Connection") }
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

fn connections() -> Vec<Operation> {
    let one = json!({"connection_id": "con_…", "client_id": "dc-…", "provider_id": 1000, "state": "active",
        "scope": "ACCOUNT_BASIC", "created_at": "2026-11-24T12:00:00.000Z",
        "activated_at": "2026-11-24T12:00:01.000Z", "expires_at": "2027-11-24T12:00:00.000Z"});
    let row = |method, path, id, summary| {
        let own = !str::contains(path, "{client_id}");
        let security = if own { RECIPIENT } else { PARTNER };
        Operation { tag: "Connections", ..Operation::new(method, path, id, summary) }
            .secured(security)
            .knows_its_caller(security)
    };
    let listed = |operation: Operation| {
        operation
            .paged()
            .gives::<ConnectionsBody<'static>>(
                200,
                "A page of connections, the newest first",
                json!({"page": {}, "links": {}, "connections": [one]}),
            )
            .troubled()
    };
    let shown = |operation: Operation| {
        operation.gives::<ConnectionBody<'static>>(200, "The connection", one.clone()).unknown_connection()
    };
    let ended = |operation: Operation| {
        operation
            .says("No token of it is good once this is answered, and the bank is told. Repeating it is harmless.")
            .gives_nothing(204, "The connection has ended", &[])
            .unknown_connection()
    };
    let own = "/api/v1/connections/{connection_id}";
    let (list, under) = (
        "/api/v1/recipients/{client_id}/connections",
        "/api/v1/recipients/{client_id}/connections/{connection_id}",
    );
    vec![
        listed(row(Method::GET, "/api/v1/connections", "listConnections", "Get Connections")),
        shown(row(Method::GET, own, "getConnection", "Get Connection")),
        ended(row(Method::DELETE, own, "endConnection", "End Connection")),
        listed(row(Method::GET, list, "listRecipientConnections", "Get Data Recipient Connections"))
            .unknown_recipient(),
        shown(row(Method::GET, under, "getRecipientConnection", "Get Data Recipient Connection"))
            .unknown_recipient(),
        ended(row(Method::DELETE, under, "endRecipientConnection", "End Data Recipient Connection"))
            .unknown_recipient(),
    ]
}

fn recipients() -> Vec<Operation> {
    let (all, one) = ("/api/v1/recipients", "/api/v1/recipients/{client_id}");
    let shown = |secret: bool| {
        let mut shown = new_recipient();
        shown["client_id"] = "dc-…".into();
        if secret {
            shown["client_secret"] = "…".into();
        }
        shown
    };
    let row = |method, path, id, summary| {
        Operation { tag: "Data recipients", ..Operation::new(method, path, id, summary) }
            .secured(PARTNER)
            .knows_its_caller(PARTNER)
            .held_with_its_client()
    };
    let uris =
        json!({"type": "object", "required": ["redirect_uris"], "properties": {"redirect_uris": uris()}});
    let listed = json!([{"client_id": "dc-…", "name": "Flinks Fake", "contacts": []}]);
    vec![
        row(Method::POST, all, "createDataRecipient", "Create Data Recipient")
            .takes("NewDataRecipient", recipient_schema(), new_recipient())
            .gives::<RecipientBody<'static>>(200, "The data recipient, with its secret", shown(true))
            .refuses([
                (OAuthCode::InvalidRequest, "name must be 1 to 256 characters of text"),
                (OAuthCode::InvalidRequest, "scope must include ACCOUNT_BASIC"),
            ])
            .reads_a_body("The content type must be application/json"),
        row(Method::GET, all, "listDataRecipients", "Get All Data Recipients")
            .gives::<Vec<RecipientBody<'static>>>(200, "The data recipients of this partner", listed),
        row(Method::GET, one, "getDataRecipient", "Get Data Recipient Details")
            .gives::<RecipientBody<'static>>(200, "The data recipient", shown(false))
            .unknown_recipient(),
        row(Method::PUT, one, "updateDataRecipient", "Update Data Recipient")
            .says("The redirect URIs take the place of the former ones.")
            .takes("RedirectUris", uris, json!({"redirect_uris": ["https://fake.example.org/back"]}))
            .gives::<RecipientBody<'static>>(200, "The data recipient", shown(false))
            .refuses([(OAuthCode::InvalidRequest, "redirect_uris is missing")])
            .reads_a_body("The content type must be application/json")
            .unknown_recipient(),
        row(Method::DELETE, one, "deleteDataRecipient", "Delete Data Recipient")
            .says("From now on it can do nothing, and all its connections end, each with its bank told.")
            .gives_nothing(204, "The data recipient is gone", &[])
            .unknown_recipient(),
        row(
            Method::POST,
            "/api/v1/recipients/{client_id}/secret",
            "regenerateDataRecipientSecret",
            "Regenerate Data Recipient Secret",
        )
        .says("The former secret is void once this is answered.")
        .gives::<SecretBody<'static>>(200, "The secret", json!({"client_id": "dc-…", "client_secret": "…"}))
        .unknown_recipient(),
    ]
    .into_iter()
    .map(Operation::troubled)
    .collect()
}

fn new_recipient() -> Value {
    json!({
        "name": "Flinks Fake", "description": "Description of Flinks Fake", "country": "CA",
        "scope": "ACCOUNT_BASIC ACCOUNT_DETAILED TRANSACTIONS",
        "redirect_uris": ["https://fake.example.org/callback"],
        "logo_uri": "https://fake.example.org/logo.png", "terms_uri": "https://fake.example.org/terms",
        "client_uri": "https://fake.example.org", "contacts": [{"email": "john.doe@fake.example.org"}],
    })
}

/// One text, in which spaces part the URIs, or an array of texts.
fn uris() -> Value {
    let one = || json!({"type": "string", "format": "uri", "pattern": "^https?://[^#]*$", "maxLength": 2000});
    json!({"oneOf": [one(), {"type": "array", "items": one(), "minItems": 1, "maxItems": 100, "uniqueItems": true}],
        "description": "HTTPS, without a fragment; HTTP on loopback in a sandbox."})
}

fn recipient_schema() -> Value {
    let link = |description: &str| {
        json!({"type": ["string", "null"], "pattern": "^(https://.*)?$", "maxLength": 2000,
            "description": description})
    };
    let word = || one_of(DataCluster::ALL.map(DataCluster::as_str));
    let words = json!({"type": "array", "items": word(), "contains": {"const": "ACCOUNT_BASIC"}});
    json!({
        "type": "object",
        "required": ["name", "scope", "redirect_uris"],
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 256, "description": "Exactly as customers should see it."},
            "scope": {"oneOf": [scope_schema(), words], "description": "The most that it may ask for."},
            "redirect_uris": uris(),
            "description": {"type": ["string", "null"], "maxLength": 512, "description": "What customers read as the purpose."},
            "country": {"type": ["string", "null"], "enum": ["CA", "US", "", null]},
            "logo_uri": link("Its logo."),
            "terms_uri": link("The terms between the customer and it."),
            "client_uri": link("Its site."),
            "contacts": {
                "type": ["array", "null"], "maxItems": 20,
                "items": {"type": "object", "required": ["email"], "properties": {"email": {"type": "string", "format": "email"}}},
            },
        },
    })
}

fn registrations() -> Vec<Operation> {
    let one = json!({"client_id": "dc-…", "client_name": "Flinks Fake", "provider_id": 1000,
        "provider_name": "Maple Trust", "country": "CA", "registration_status": "PENDING_APPROVAL",
        "requested_on": "2026-11-24T14:24:42.6055680Z"});
    let row = |method, path, id, summary| {
        Operation { tag: "Registrations", ..Operation::new(method, path, id, summary) }
            .secured(PARTNER)
            .knows_its_caller(PARTNER)
            .held_with_its_client()
            .troubled()
    };
    let listed = |operation: Operation| {
        operation.gives::<Vec<RegistrationBody<'static>>>(200, "Where each registration stands", json!([one]))
    };
    let pair = |status, sentence: &'static str| Answer {
        status,
        description: "Pairs are in the way: nothing was requested",
        content: Content::Json("application/json", shape::<PairsBody<'static>>()),
        example: Some(
            json!({"error": "invalid_request", "error_description": format!("{sentence} (bad pairs: 1)"),
            "pairs": [{"client_id": "dc-…", "provider_id": 1000, "error_description": sentence}]}),
        ),
        headers: &[],
    };
    vec![
        listed(row(
            Method::POST,
            "/api/v1/recipients/providers/requests/{recipient_ids}/{provider_ids}",
            "requestRegistrations",
            "Request Data Provider Registrations",
        ))
        .says("Of each data recipient with each data provider: all, or none.")
        .refuses([(OAuthCode::InvalidRequest, "provider_ids[0] must be a positive integer")])
        .answers([
            pair(400, "provider_id names no provider of this hub"),
            pair(404, "client_id names no data recipient of this partner"),
            pair(409, "This registration was requested before and is pending_approval"),
        ]),
        listed(row(
            Method::GET,
            "/api/v1/recipients/providers/requests",
            "listRegistrations",
            "Get Registration Status of All Data Recipients",
        )),
        listed(row(
            Method::GET,
            "/api/v1/recipients/{client_id}/providers/requests",
            "listRecipientRegistrations",
            "Get Registration Status of a Data Recipient",
        ))
        .unknown_recipient(),
        row(
            Method::GET,
            "/api/v1/recipients/{client_id}/providers/{provider_id}",
            "getRegistration",
            "Get Registration Details",
        )
        .gives::<RegistrationBody<'static>>(200, "Where it stands", one.clone())
        .missing("This data recipient has no registration with the provider")
        .unknown_recipient(),
    ]
}

fn providers() -> Vec<Operation> {
    let one = json!({"provider_id": 1000, "name": "Maple Trust", "country": "CA"});
    let with = |more: Value| {
        let mut whole = one.clone();
        for (name, value) in more.as_object().into_iter().flatten() {
            whole[name] = value.clone();
        }
        whole
    };
    let row = |path, id, summary, security| {
        Operation { tag: "Data providers", ..Operation::new(Method::GET, path, id, summary) }
            .secured(security)
            .knows_its_caller(security)
            .held_with_its_client()
            .troubled()
    };
    let second = json!({"scopes": ["ACCOUNT_BASIC"], "status": "Activated", "connectorName": "fdx",
        "availableAccountTypes": {"deposits": "true", "investments": "false", "loans": "true", "locs": "true"}});
    let detail = json!({"provider_url": "https://maple.example.org", "scopes": ["ACCOUNT_BASIC"],
        "data_inventory": {"account": [], "customers": ["customerId"], "detailed_accounts": [],
            "lightweight_accounts": ["accounts.depositAccount.accountId"], "payments": [], "transactions": []}});
    let all = "/api/v1/providers";
    vec![
        row(all, "listSupportedDataProviders", "Get Supported Data Providers", EITHER)
            .says("A partner sees the catalogue; a data recipient those that it has an active registration with.")
            .gives::<Vec<ProviderBody<'static>>>(200, "Data providers", json!([one])),
        row("/api/v1/authorize/providers", "listActiveDataProviders", "Get Active Data Providers", RECIPIENT)
            .gives::<Vec<ProviderBody<'static>>>(200, "Data providers with an active registration", json!([one])),
        row("/api/v1/providers/{provider_id}", "getDataProvider", "Get Data Provider Details", PARTNER)
            .gives::<DetailBody<'static>>(200, "The data provider", with(detail))
            .missing("provider_id names no provider of this hub"),
        row("/api/v2/providers", "listDataProviders", "Get Data Providers", EITHER)
            .query("country", "CA, US, or both with a comma between.", json!({"type": "string", "pattern": "^((CA|US)?(,(CA|US)?)*)$"}))
            .query("isEnabledForClient", "With an active registration, or without.", json!({"type": "string", "pattern": "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])?$"}))
            .gives::<Vec<SecondBody<'static>>>(200, "Data providers", json!([with(second)]))
            .refuses([(OAuthCode::InvalidRequest, "country must be CA, US or CA,US")]),
    ]
}

/// What operations of this face have in common.
trait OfClients: Sized {
    fn secured(self, security: &'static [&'static str]) -> Self;
    /// What a bearer that is of no use is told.
    fn knows_its_caller(self, security: &'static [&'static str]) -> Self;
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
    fn secured(self, security: &'static [&'static str]) -> Self {
        Self { security, ..self }
    }

    fn knows_its_caller(self, security: &'static [&'static str]) -> Self {
        let wrong = match security {
            PARTNER => "This operation needs an access token with scope client:admin",
            RECIPIENT => "This operation needs an access token with scope providers:read",
            _ => "This operation needs an access token of the client itself",
        };
        let challenged = |sentence| Answer {
            headers: &["www-authenticate"],
            ..refusal(&OAuthError::new(OAuthCode::InvalidRequest, sentence))
        };
        self.answers([challenged("The access token is missing, malformed or expired"), challenged(wrong)])
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
        self.query(
            "limit",
            "How many at most; over the maximum counts as the maximum.",
            json!({"type": "integer", "minimum": 1}),
        )
        .query(
            "offset",
            "`page.nextOffset` of the former page. Opaque, of this list alone, and good for a time.",
            json!({"type": "string"}),
        )
        .refuses([
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
