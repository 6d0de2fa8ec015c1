//! One provider's endpoints, and what its answers mean.

use std::time::Duration;

use domain::id::ProviderId;
use domain::model::job::Attempt;
use domain::model::provider::{ClientAuthentication, Provider};
use domain::{Secret, Timestamp};
use http::{HeaderMap, StatusCode, header};
use reqwest::RequestBuilder;
use serde::Deserialize;
use url::Url;

use super::breaker::Breaker;
use super::own_client::{OwnClient, Whom, own_client};
use crate::ctx::Ctx;
use crate::outbound::{Answer, Opened, Outbound, OutboundError};

/// What went wrong with a provider. Its own words are never kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Upstream {
    /// It cannot be reached, or says that it is not there for now.
    #[error("the provider is not available")]
    Unavailable,
    /// It was asked and nothing came back: what it did is not known.
    #[error("the provider did not answer")]
    Silent,
    /// It failed, or its answer cannot be read.
    #[error("the provider failed")]
    Failed,
    /// It says that these are too many requests; when to come back.
    #[error("the provider limits our rate")]
    RateLimited(Duration),
    /// It refuses the token of the request.
    #[error("the provider refuses the token")]
    TokenRefused,
    /// It says no in a documented way.
    #[error("the provider says {0:?}")]
    Said(fdx::ErrorCode),
    /// Its grant is over (`invalid_grant`).
    #[error("the provider's grant is over")]
    GrantOver,
}

/// What a token endpoint gave.
pub struct TokenReply {
    /// The access token.
    pub access_token: Secret<String>,
    /// When it dies.
    pub access_expires_at: Timestamp,
    /// The refresh token, if one was given.
    pub refresh_token: Option<Secret<String>>,
    /// The granted scope, if it was said.
    pub scope: Option<String>,
    /// Every text and list of texts in the reply beside the tokens.
    fields: serde_json::Map<String, serde_json::Value>,
}

impl TokenReply {
    /// Reads an answer that came at `now`.
    fn read(body: &[u8], now: Timestamp) -> Option<Self> {
        let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
        let access_token = token(fields.remove("access_token")?)?;
        let refresh_token = match fields.remove("refresh_token") {
            None | Some(serde_json::Value::Null) => None,
            Some(refresh) => Some(token(refresh)?),
        };
        let life = fields.get("expires_in").and_then(serde_json::Value::as_i64).unwrap_or(UNSTATED_LIFE);
        let life = Duration::from_secs(life.clamp(1, LONGEST_LIFE).unsigned_abs());
        let scope = fields.get("scope").and_then(|s| s.as_str()).map(str::to_owned);
        Some(Self { access_token, access_expires_at: now.plus(life), refresh_token, scope, fields })
    }

    /// A text field, numbers included.
    pub fn field(&self, name: &str) -> Option<String> {
        match self.fields.get(name)? {
            serde_json::Value::String(text) if !text.is_empty() => Some(text.clone()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// A field that is a list of texts.
    pub fn list(&self, name: &str) -> Option<Vec<String>> {
        let list = self.fields.get(name)?.as_array()?;
        list.iter().map(|item| item.as_str().map(str::to_owned)).collect()
    }
}

/// A grant at the token endpoint.
pub(super) enum Grant<'a> {
    /// RFC 6749 §4.1.3 with RFC 7636.
    Code { code: &'a str, redirect_uri: &'a str, verifier: &'a str },
    /// RFC 6749 §6.
    Refresh { token: &'a str },
}

/// An access token without a stated life is used for this long.
const UNSTATED_LIFE: i64 = 60;
const LONGEST_LIFE: i64 = 86_400;
const LONGEST_RETRY: Duration = Duration::from_mins(1);
const MAX_TOKEN: usize = 16 * 1024;

/// The error of a token endpoint (RFC 6749 §5.2).
#[derive(Deserialize)]
pub(super) struct ErrorWord {
    pub(super) error: String,
}

/// A provider that is spoken with in one request or job.
pub(super) struct Endpoint<'a> {
    ctx: &'a Ctx,
    provider: &'a Provider,
    whom: Whom,
}

impl<'a> Endpoint<'a> {
    pub(super) const fn new(ctx: &'a Ctx, provider: &'a Provider, whom: Whom) -> Self {
        Self { ctx, provider, whom }
    }

    /// Asks the token endpoint.
    pub(super) async fn token(&self, grant: Grant<'_>) -> Result<TokenReply, Upstream> {
        let fields = match &grant {
            Grant::Code { code, redirect_uri, verifier } => vec![
                ("grant_type", "authorization_code"),
                ("code", *code),
                ("redirect_uri", *redirect_uri),
                ("code_verifier", *verifier),
            ],
            Grant::Refresh { token } => vec![("grant_type", "refresh_token"), ("refresh_token", *token)],
        };
        self.pass()?;
        let answer = self.post(&self.provider.settings.token_endpoint, fields).await;
        let answer = self.noted("token", answer, |answer| answer.status)?;
        if answer.status == StatusCode::OK {
            return TokenReply::read(&answer.body, self.ctx.now()).ok_or(Upstream::Failed);
        }
        let word = serde_json::from_slice::<ErrorWord>(&answer.body).map(|e| e.error);
        match word.as_deref() {
            Ok("invalid_grant") if answer.status.is_client_error() => Err(Upstream::GrantOver),
            _ => Err(refusal(&answer)),
        }
    }

    /// Revokes a refresh token (RFC 7009 §2): 200 also for one that is already gone.
    pub(super) async fn revoke(&self, token: &str) -> (Attempt, String) {
        let Some(endpoint) = &self.provider.settings.revocation_endpoint else {
            return (Attempt::Refused, "the provider has no revocation endpoint".into());
        };
        let fields = vec![("token", token), ("token_type_hint", "refresh_token")];
        let answer = self.post(endpoint, fields).await;
        self.count("revoke", answer.as_ref().ok().map(|a| a.status));
        match answer {
            Err(error) => (Attempt::Later { retry_after: None }, error.to_string()),
            Ok(answer) => {
                let said = format!("HTTP {}", answer.status.as_u16());
                let attempt = match answer.status {
                    StatusCode::OK | StatusCode::NO_CONTENT => Attempt::Accepted,
                    // Wrong credentials and full queues may be set right within the days that a job has.
                    StatusCode::UNAUTHORIZED
                    | StatusCode::FORBIDDEN
                    | StatusCode::REQUEST_TIMEOUT
                    | StatusCode::TOO_MANY_REQUESTS => later(&answer),
                    status if status.is_client_error() => Attempt::Refused,
                    _ => later(&answer),
                };
                (attempt, said)
            }
        }
    }

    /// Reads an FDX resource. The path is appended to the configured base, nothing else is followed.
    pub(super) async fn read(&self, url: &Url, bearer: &str) -> Result<Answer, Upstream> {
        self.pass()?;
        let outbound = self.ctx.app().outbound();
        let answer = async {
            let request = outbound.get(url, bearer)?;
            let request = request
                .header(header::ACCEPT, "application/json")
                .header("x-fapi-interaction-id", self.interaction_id());
            outbound.send(request).await
        }
        .await;
        let answer = self.noted("fdx", answer, |answer| answer.status)?;
        match answer.status {
            // A part of what was asked for (FDX 6.4): the rest is marked in it.
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(answer),
            _ => Err(refusal(&answer)),
        }
    }

    /// Opens a document. A redirect is followed below the configured base alone, with the bearer; nothing is asked
    /// for anywhere else.
    pub(super) async fn open(
        &self,
        base: &Url,
        url: &Url,
        bearer: &str,
        kind: &str,
    ) -> Result<Opened, Upstream> {
        const MOST_HOPS: usize = 3;
        let mut url = url.clone();
        for _ in 0..=MOST_HOPS {
            let opened = self.opened(&url, bearer, kind).await?;
            let moved = matches!(opened.status.as_u16(), 301 | 302 | 303 | 307 | 308);
            match (opened.status, moved) {
                (StatusCode::OK, _) => return Ok(opened),
                (_, true) => url = next(base, &url, &opened).ok_or(Upstream::Failed)?,
                _ => {
                    let answer = opened.whole(self.ctx.app().config().upstream.max_body.bytes()).await;
                    return Err(answer.map_or(Upstream::Failed, |answer| refusal(&answer)));
                }
            }
        }
        Err(Upstream::Failed)
    }

    async fn opened(&self, url: &Url, bearer: &str, kind: &str) -> Result<Opened, Upstream> {
        self.pass()?;
        let section = &self.ctx.app().config().upstream;
        let outbound = self.ctx.app().outbound();
        let opened = async {
            let request = outbound.get(url, bearer)?;
            let request = request
                .timeout(section.statement_timeout.duration())
                .header(header::ACCEPT, kind)
                .header("x-fapi-interaction-id", self.interaction_id());
            let opened = tokio::time::timeout(section.timeout.duration(), outbound.open(request)).await;
            opened.map_err(|_| OutboundError::Timeout)?
        };
        let opened = opened.await;
        self.noted("fdx", opened, |opened| opened.status)
    }

    async fn post(&self, endpoint: &str, fields: Vec<(&str, &str)>) -> Result<Answer, OutboundError> {
        let outbound = self.ctx.app().outbound();
        let url = Url::parse(endpoint).map_err(|_| OutboundError::Forbidden)?;
        let own = own_client(self.ctx, self.provider, &self.whom).await.map_err(|fault| {
            tracing::error!(%fault, provider = %self.provider.id, "there is no client to speak with a provider as");
            OutboundError::Forbidden
        })?;
        let request = authenticated(outbound, self.provider.settings.auth, &url, fields, &own)?;
        outbound.send(request.header(header::ACCEPT, "application/json")).await
    }

    /// FDX 6 wants a UUID. What a recipient sent may be another text: then it is one that follows from that text.
    fn interaction_id(&self) -> String {
        let id = self.ctx.correlation_id();
        if id.parse::<uuid::Uuid>().is_ok() && id.len() == 36 {
            return id.to_owned();
        }
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, id.as_bytes());
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(digest.as_ref()).for_each(|(byte, drawn)| *byte = *drawn);
        uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
    }

    /// Whether the provider may be asked at present.
    fn pass(&self) -> Result<(), Upstream> {
        self.breaker().pass(self.provider.id, self.ctx.now())
    }

    fn breaker(&self) -> &Breaker {
        self.ctx.app().breaker()
    }

    /// Counts a call, and lets the breaker know how it went.
    fn noted<A>(
        &self,
        call: &'static str,
        answer: Result<A, OutboundError>,
        status: impl Fn(&A) -> StatusCode,
    ) -> Result<A, Upstream> {
        let status = answer.as_ref().ok().map(status);
        self.count(call, status);
        let failed = |status: StatusCode| status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
        let well = status.is_some_and(|status| !failed(status));
        self.breaker().note(self.provider.id, well, self.ctx.now());
        answer.map_err(|error| unreachable(&error))
    }

    /// Counts a call.
    pub(super) fn count(&self, call: &'static str, status: Option<StatusCode>) {
        let outcome = status.map_or_else(|| "none".to_owned(), |s| s.as_u16().to_string());
        let labels =
            [("provider", self.provider.id.to_string()), ("call", call.to_owned()), ("outcome", outcome)];
        self.ctx.app().telemetry().count("bowline_upstream_requests_total", &labels);
    }
}

/// A form that a client of ours at a provider posts (RFC 6749 §2.3.1).
pub(super) fn authenticated<'f>(
    outbound: &Outbound,
    auth: ClientAuthentication,
    url: &Url,
    mut fields: Vec<(&'f str, &'f str)>,
    own: &'f OwnClient,
) -> Result<RequestBuilder, OutboundError> {
    match auth {
        ClientAuthentication::ClientSecretPost => {
            fields.extend([("client_id", own.id.as_str()), ("client_secret", own.secret.expose())]);
            outbound.post_form(url, &fields)
        }
        ClientAuthentication::ClientSecretBasic => {
            // Both halves are form-encoded first.
            let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let request = outbound.post_form(url, &fields)?;
            Ok(request.basic_auth(encode(&own.id), Some(encode(own.secret.expose()))))
        }
    }
}

/// A token that can stand in a header.
fn token(value: serde_json::Value) -> Option<Secret<String>> {
    let serde_json::Value::String(token) = value else { return None };
    let usable = !token.is_empty() && token.len() <= MAX_TOKEN && token.bytes().all(|b| b.is_ascii_graphic());
    usable.then(|| Secret::new(token))
}

/// Where a customer is sent (RFC 6749 §4.1.1, RFC 7636).
pub(super) fn authorization_url(provider: &Provider, fields: &[(&str, &str)]) -> Option<String> {
    let mut url = Url::parse(&provider.settings.authorization_endpoint).ok()?;
    url.query_pairs_mut().extend_pairs(fields);
    Some(url.into())
}

/// The callback that a provider sends browsers to: one a provider, so that answers cannot be mixed up.
pub(super) fn callback_uri(public_url: &str, provider: ProviderId) -> String {
    format!("{public_url}/callback/{provider}")
}

fn unreachable(error: &OutboundError) -> Upstream {
    match error {
        OutboundError::Connect => Upstream::Unavailable,
        OutboundError::Timeout | OutboundError::Broken => Upstream::Silent,
        OutboundError::Forbidden | OutboundError::TooLarge => Upstream::Failed,
    }
}

/// Where a redirect leads, if that is below the base.
fn next(base: &Url, from: &Url, opened: &Opened) -> Option<Url> {
    let place = opened.headers.get(header::LOCATION)?.to_str().ok()?;
    from.join(place).ok().filter(|url| is_below(base, url))
}

/// Whether an address is below the base: the same origin, a path that goes on from it, and no step back, however it
/// is written.
fn is_below(base: &Url, url: &Url) -> bool {
    let root = format!("{}/", base.path().trim_end_matches('/'));
    let path = url.path().to_ascii_lowercase();
    let steps_back =
        path.split('/').any(|part| part.starts_with("..")) || path.contains("%2f") || path.contains("%5c");
    url.origin() == base.origin()
        && url.username().is_empty()
        && url.password().is_none()
        && url.path().starts_with(&root)
        && !steps_back
}

fn later(answer: &Answer) -> Attempt {
    Attempt::Later { retry_after: retry_after(&answer.headers) }
}

pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// What an answer that is not 200 means.
fn refusal(answer: &Answer) -> Upstream {
    let code = fdx::parse::<fdx::ErrorBody>(&answer.body).ok().and_then(|body| body.value.code);
    let code = code.and_then(known);
    match (answer.status, code) {
        (StatusCode::TOO_MANY_REQUESTS, _) | (_, Some(fdx::ErrorCode::TooManyRequests)) => {
            Upstream::RateLimited(
                retry_after(&answer.headers).unwrap_or(Duration::from_secs(1)).min(LONGEST_RETRY),
            )
        }
        (StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT, _)
        | (_, Some(fdx::ErrorCode::Maintenance)) => Upstream::Unavailable,
        (StatusCode::UNAUTHORIZED, _) | (_, Some(fdx::ErrorCode::NotAuthorized)) => Upstream::TokenRefused,
        (StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED, None)
        | (_, Some(fdx::ErrorCode::SubsystemUnavailable)) => {
            Upstream::Said(fdx::ErrorCode::SubsystemUnavailable)
        }
        (StatusCode::NOT_ACCEPTABLE, None) => Upstream::Said(fdx::ErrorCode::ContentType),
        (StatusCode::PAYLOAD_TOO_LARGE, None) => Upstream::Said(fdx::ErrorCode::TooLarge),
        (status, Some(code)) if status.is_client_error() => Upstream::Said(code),
        _ => Upstream::Failed,
    }
}

/// What a number means: one of the documented codes, or one of FDX's own that says the same.
fn known(number: u16) -> Option<fdx::ErrorCode> {
    match number {
        1104 | 1108 => Some(fdx::ErrorCode::DataNotFound),
        901 => Some(fdx::ErrorCode::AccountNotFound),
        1106 => Some(fdx::ErrorCode::SubsystemUnavailable),
        number => fdx::ErrorCode::from_number(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
            "[!-~]{1,40}".prop_map(Value::from),
            Just(json!(["a1", 2])),
            Just(serde_json::from_str("1e999").unwrap_or_default()),
        ]
    }

    fn answer(status: u16, body: &[u8], retry: &[u8]) -> Answer {
        let mut headers = HeaderMap::new();
        headers.extend(http::HeaderValue::from_bytes(retry).map(|value| (header::RETRY_AFTER, value)));
        Answer {
            status: StatusCode::from_u16(status).unwrap_or_default(),
            headers,
            body: body.to_vec().into(),
        }
    }

    #[test]
    fn an_address_is_below_the_base_or_not() {
        let base = Url::parse("https://bank.example.org/fdx/v5").unwrap();
        let from = Url::parse("https://bank.example.org/fdx/v5/accounts/a/statements/s").unwrap();
        let below = |place: &str| from.join(place).is_ok_and(|url| is_below(&base, &url));
        for place in ["/fdx/v5/documents/1?x=/../y", "other", "https://bank.example.org:443/fdx/v5/x"] {
            assert!(below(place), "{place}");
        }
        for place in [
            "/fdx/v5",
            "/fdx/v55/x",
            "/admin",
            "/fdx/v5/../../admin",
            "/fdx/v5/%2e%2E/admin",
            "/fdx/v5/..%2fadmin",
            "/fdx/v5/..;/admin",
            "/fdx/v5/x%5C..%5Cadmin",
            "/fdx/v5\\..\\admin",
            "//evil.example.org/fdx/v5/x",
            "http://bank.example.org/fdx/v5/x",
            "https://bank.example.org:444/fdx/v5/x",
            "https://bank.example.org@evil.example.org/fdx/v5/x",
            "https://me:x@bank.example.org/fdx/v5/x",
            "https://bank.example.org.evil.example.org/fdx/v5/x",
            "file:///fdx/v5/x",
            "data:,x",
        ] {
            assert!(!below(place), "{place}");
        }
    }

    proptest! {
        #[test]
        fn a_token_reply_is_read_or_refused(
            members in prop::collection::vec((prop::sample::select(vec!["access_token", "refresh_token", "expires_in", "scope", "customer_id", "accounts"]), value()), 0..8),
            bytes: Vec<u8>,
        ) {
            let object = Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
            for body in [object.to_string().into_bytes(), bytes] {
                let Some(reply) = TokenReply::read(&body, NOW) else { continue };
                let header = |token: &Secret<String>| http::HeaderValue::from_str(token.expose()).is_ok();
                prop_assert!(header(&reply.access_token) && reply.refresh_token.as_ref().is_none_or(header));
                let life = reply.access_expires_at.since(NOW).as_secs();
                prop_assert!((1..=86_400).contains(&life), "{}", life);
                let _ = (reply.field("customer_id"), reply.list("accounts"));
            }
        }

        #[test]
        fn a_refusal_is_understood_whatever_it_says(status in 100_u16..600, body: Vec<u8>, retry in prop_oneof!["[0-9]{1,30}", ".*"], code: i64) {
            for body in [body, json!({"code": code}).to_string().into_bytes(), br#"{"code":"x"}"#.to_vec()] {
                if let Upstream::RateLimited(after) = refusal(&answer(status, &body, retry.as_bytes())) {
                    prop_assert!(after <= LONGEST_RETRY);
                }
                let _ = later(&answer(status, &body, retry.as_bytes()));
            }
        }
    }
}
