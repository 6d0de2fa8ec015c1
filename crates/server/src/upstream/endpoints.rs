//! One provider's endpoints, and what its answers mean.

use std::time::Duration;

use domain::id::ProviderId;
use domain::model::job::AttemptOutcome;
use domain::model::provider::{ClientAuthentication, Provider};
use domain::{Secret, Timestamp};
use http::{HeaderMap, StatusCode, header};
use reqwest::RequestBuilder;
use serde::Deserialize;
use url::Url;

use super::client::{OnBehalfOf, UpstreamClientCredentials, load_upstream_credentials};
use crate::breaker::{Breaker, BreakerOpenError};
use crate::context::RequestContext;
use crate::outbound::{Outbound, OutboundError, StreamingResponse, UpstreamResponse};

/// What went wrong with a provider. Its own words are never kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// It cannot be reached, or says that it is not there for now.
    #[error("the provider is not available")]
    Unavailable,
    /// It was asked and nothing came back: what it did is not known.
    #[error("the provider did not answer")]
    NoResponse,
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
    FdxError(fdx::ErrorCode),
    /// Its grant is over (`invalid_grant`).
    #[error("the provider's grant is over")]
    GrantEnded,
}

impl From<BreakerOpenError> for UpstreamError {
    fn from(_: BreakerOpenError) -> Self {
        Self::Unavailable
    }
}

/// What a token endpoint gave.
pub struct TokenResponse {
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

impl TokenResponse {
    /// Reads an answer that came at `now`.
    fn parse(body: &[u8], now: Timestamp) -> Option<Self> {
        let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
        let access_token = parse_token(fields.remove("access_token")?)?;
        let refresh_token = match fields.remove("refresh_token") {
            None | Some(serde_json::Value::Null) => None,
            Some(refresh) => Some(parse_token(refresh)?),
        };
        let life =
            fields.get("expires_in").and_then(serde_json::Value::as_i64).unwrap_or(DEFAULT_TOKEN_TTL_SECS);
        let life = Duration::from_secs(life.clamp(1, MAX_TOKEN_TTL_SECS).unsigned_abs());
        let scope = fields.get("scope").and_then(|s| s.as_str()).map(str::to_owned);
        Some(Self { access_token, access_expires_at: now.plus(life), refresh_token, scope, fields })
    }

    /// A text field, numbers included.
    pub fn string_field(&self, name: &str) -> Option<String> {
        match self.fields.get(name)? {
            serde_json::Value::String(text) if !text.is_empty() => Some(text.clone()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// A field that is a list of texts.
    pub fn string_list(&self, name: &str) -> Option<Vec<String>> {
        let list = self.fields.get(name)?.as_array()?;
        list.iter().map(|item| item.as_str().map(str::to_owned)).collect()
    }
}

/// A grant at the token endpoint.
pub(super) enum TokenGrant<'a> {
    /// RFC 6749 §4.1.3 with RFC 7636.
    Code { code: &'a str, redirect_uri: &'a str, verifier: &'a str },
    /// RFC 6749 §6.
    Refresh { token: &'a str },
}

/// An access token without a stated life is used for this long.
const DEFAULT_TOKEN_TTL_SECS: i64 = 60;
const MAX_TOKEN_TTL_SECS: i64 = 86_400;
const MAX_RETRY_AFTER: Duration = Duration::from_mins(1);
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// The error of a token endpoint (RFC 6749 §5.2).
#[derive(Deserialize)]
pub(super) struct TokenErrorBody {
    pub(super) error: String,
}

/// A provider that is spoken with in one request or job.
pub(super) struct ProviderEndpoints<'a> {
    ctx: &'a RequestContext,
    provider: &'a Provider,
    on_behalf_of: OnBehalfOf,
}

impl<'a> ProviderEndpoints<'a> {
    pub(super) const fn new(
        ctx: &'a RequestContext,
        provider: &'a Provider,
        on_behalf_of: OnBehalfOf,
    ) -> Self {
        Self { ctx, provider, on_behalf_of }
    }

    /// Asks the token endpoint.
    pub(super) async fn request_tokens(&self, grant: TokenGrant<'_>) -> Result<TokenResponse, UpstreamError> {
        let fields = match &grant {
            TokenGrant::Code { code, redirect_uri, verifier } => vec![
                ("grant_type", "authorization_code"),
                ("code", *code),
                ("redirect_uri", *redirect_uri),
                ("code_verifier", *verifier),
            ],
            TokenGrant::Refresh { token } => vec![("grant_type", "refresh_token"), ("refresh_token", *token)],
        };
        self.ensure_closed()?;
        let response = self.post(&self.provider.settings.token_endpoint, fields).await;
        let response = self.record_outcome("token", response, |answer| answer.status)?;
        if response.status == StatusCode::OK {
            return TokenResponse::parse(&response.body, self.ctx.now()).ok_or(UpstreamError::Failed);
        }
        let error_code = serde_json::from_slice::<TokenErrorBody>(&response.body).map(|e| e.error);
        match error_code.as_deref() {
            Ok("invalid_grant") if response.status.is_client_error() => Err(UpstreamError::GrantEnded),
            _ => Err(classify_error_response(&response)),
        }
    }

    /// Revokes a refresh token (RFC 7009 §2): 200 also for one that is already gone.
    pub(super) async fn revoke(&self, token: &str) -> (AttemptOutcome, String) {
        let Some(endpoint) = &self.provider.settings.revocation_endpoint else {
            return (AttemptOutcome::Refused, "the provider has no revocation endpoint".into());
        };
        let fields = vec![("token", token), ("token_type_hint", "refresh_token")];
        let response = self.post(endpoint, fields).await;
        self.count("revoke", response.as_ref().ok().map(|a| a.status));
        match response {
            Err(error) => (AttemptOutcome::RetryLater { retry_after: None }, error.to_string()),
            Ok(response) => {
                let description = format!("HTTP {}", response.status.as_u16());
                let attempt = match response.status {
                    StatusCode::OK | StatusCode::NO_CONTENT => AttemptOutcome::Accepted,
                    // Wrong credentials and full queues may be set right within the days that a job has.
                    StatusCode::UNAUTHORIZED
                    | StatusCode::FORBIDDEN
                    | StatusCode::REQUEST_TIMEOUT
                    | StatusCode::TOO_MANY_REQUESTS => retry_later(&response),
                    status if status.is_client_error() => AttemptOutcome::Refused,
                    _ => retry_later(&response),
                };
                (attempt, description)
            }
        }
    }

    /// Reads an FDX resource. The path is appended to the configured base, nothing else is followed.
    pub(super) async fn read_resource(
        &self,
        url: &Url,
        bearer: &str,
    ) -> Result<UpstreamResponse, UpstreamError> {
        self.ensure_closed()?;
        let outbound = self.ctx.app().outbound();
        let response = async {
            let request = outbound.get(url, bearer)?;
            let request = request
                .header(header::ACCEPT, "application/json")
                .header("x-fapi-interaction-id", self.interaction_id());
            outbound.send(request).await
        }
        .await;
        let response = self.record_outcome("fdx", response, |answer| answer.status)?;
        match response.status {
            // A part of what was asked for (FDX 6.4): the rest is marked in it.
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
            _ => Err(classify_error_response(&response)),
        }
    }

    /// Opens a document. A redirect is followed below the configured base alone, with the bearer; nothing is asked
    /// for anywhere else.
    pub(super) async fn open_document(
        &self,
        base: &Url,
        url: &Url,
        bearer: &str,
        kind: &str,
    ) -> Result<StreamingResponse, UpstreamError> {
        const MAX_REDIRECTS: usize = 3;
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let opened = self.open_once(&url, bearer, kind).await?;
            let is_redirect = matches!(opened.status.as_u16(), 301 | 302 | 303 | 307 | 308);
            match (opened.status, is_redirect) {
                (StatusCode::OK, _) => return Ok(opened),
                (_, true) => url = resolve_redirect(base, &url, &opened).ok_or(UpstreamError::Failed)?,
                _ => {
                    let response = opened.read_body(self.ctx.app().config().upstream.max_body.bytes()).await;
                    return Err(
                        response.map_or(UpstreamError::Failed, |answer| classify_error_response(&answer))
                    );
                }
            }
        }
        Err(UpstreamError::Failed)
    }

    async fn open_once(
        &self,
        url: &Url,
        bearer: &str,
        kind: &str,
    ) -> Result<StreamingResponse, UpstreamError> {
        self.ensure_closed()?;
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
        self.record_outcome("fdx", opened, |opened| opened.status)
    }

    async fn post(
        &self,
        endpoint: &str,
        fields: Vec<(&str, &str)>,
    ) -> Result<UpstreamResponse, OutboundError> {
        let outbound = self.ctx.app().outbound();
        let url = Url::parse(endpoint).map_err(|_| OutboundError::Forbidden)?;
        let own = load_upstream_credentials(self.ctx, self.provider, &self.on_behalf_of).await.map_err(|fault| {
            tracing::error!(%fault, provider = %self.provider.id, "there is no client to speak with a provider as");
            OutboundError::Forbidden
        })?;
        let request = build_authenticated_form(outbound, self.provider.settings.auth, &url, fields, &own)?;
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
    fn ensure_closed(&self) -> Result<(), UpstreamError> {
        Ok(self.breaker().ensure_closed(self.provider.id, self.ctx.now())?)
    }

    fn breaker(&self) -> &Breaker {
        self.ctx.app().breaker()
    }

    /// Counts a call, and lets the breaker know how it went.
    fn record_outcome<A>(
        &self,
        call: &'static str,
        response: Result<A, OutboundError>,
        status: impl Fn(&A) -> StatusCode,
    ) -> Result<A, UpstreamError> {
        let status = response.as_ref().ok().map(status);
        self.count(call, status);
        let failed = |status: StatusCode| status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
        let succeeded = status.is_some_and(|status| !failed(status));
        self.breaker().record_outcome(self.provider.id, succeeded, self.ctx.now());
        response.map_err(|error| map_outbound_error(&error))
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
pub(super) fn build_authenticated_form<'f>(
    outbound: &Outbound,
    auth: ClientAuthentication,
    url: &Url,
    mut fields: Vec<(&'f str, &'f str)>,
    own: &'f UpstreamClientCredentials,
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
fn parse_token(value: serde_json::Value) -> Option<Secret<String>> {
    let serde_json::Value::String(token) = value else { return None };
    let usable =
        !token.is_empty() && token.len() <= MAX_TOKEN_BYTES && token.bytes().all(|b| b.is_ascii_graphic());
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

fn map_outbound_error(error: &OutboundError) -> UpstreamError {
    match error {
        OutboundError::Connect => UpstreamError::Unavailable,
        OutboundError::Timeout | OutboundError::Interrupted => UpstreamError::NoResponse,
        OutboundError::Forbidden | OutboundError::TooLarge => UpstreamError::Failed,
    }
}

/// Where a redirect leads, if that is below the base.
fn resolve_redirect(base: &Url, from: &Url, opened: &StreamingResponse) -> Option<Url> {
    let location = opened.headers.get(header::LOCATION)?.to_str().ok()?;
    from.join(location).ok().filter(|url| is_within_base(base, url))
}

/// Whether an address is below the base: the same origin, a path that goes on from it, and no step back, however it
/// is written.
fn is_within_base(base: &Url, url: &Url) -> bool {
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

fn retry_later(response: &UpstreamResponse) -> AttemptOutcome {
    AttemptOutcome::RetryLater { retry_after: parse_retry_after(&response.headers) }
}

pub(super) fn parse_retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// What an answer that is not 200 means.
fn classify_error_response(response: &UpstreamResponse) -> UpstreamError {
    let code = fdx::parse::<fdx::ErrorBody>(&response.body).ok().and_then(|body| body.value.code);
    let code = code.and_then(map_error_code);
    match (response.status, code) {
        (StatusCode::TOO_MANY_REQUESTS, _) | (_, Some(fdx::ErrorCode::TooManyRequests)) => {
            UpstreamError::RateLimited(
                parse_retry_after(&response.headers).unwrap_or(Duration::from_secs(1)).min(MAX_RETRY_AFTER),
            )
        }
        (StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT, _)
        | (_, Some(fdx::ErrorCode::Maintenance)) => UpstreamError::Unavailable,
        (StatusCode::UNAUTHORIZED, _) | (_, Some(fdx::ErrorCode::NotAuthorized)) => {
            UpstreamError::TokenRefused
        }
        (StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED, None)
        | (_, Some(fdx::ErrorCode::SubsystemUnavailable)) => {
            UpstreamError::FdxError(fdx::ErrorCode::SubsystemUnavailable)
        }
        (StatusCode::NOT_ACCEPTABLE, None) => UpstreamError::FdxError(fdx::ErrorCode::ContentType),
        (StatusCode::PAYLOAD_TOO_LARGE, None) => UpstreamError::FdxError(fdx::ErrorCode::TooLarge),
        (status, Some(code)) if status.is_client_error() => UpstreamError::FdxError(code),
        _ => UpstreamError::Failed,
    }
}

/// What a number means: one of the documented codes, or one of FDX's own that says the same.
fn map_error_code(number: u16) -> Option<fdx::ErrorCode> {
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

    fn response(status: u16, body: &[u8], retry: &[u8]) -> UpstreamResponse {
        let mut headers = HeaderMap::new();
        headers.extend(http::HeaderValue::from_bytes(retry).map(|value| (header::RETRY_AFTER, value)));
        UpstreamResponse {
            status: StatusCode::from_u16(status).unwrap_or_default(),
            headers,
            body: body.to_vec().into(),
        }
    }

    #[test]
    fn redirect_target_must_be_within_base() {
        let base = Url::parse("https://bank.example.org/fdx/v5").unwrap();
        let from = Url::parse("https://bank.example.org/fdx/v5/accounts/a/statements/s").unwrap();
        let is_within = |place: &str| from.join(place).is_ok_and(|url| is_within_base(&base, &url));
        for place in ["/fdx/v5/documents/1?x=/../y", "other", "https://bank.example.org:443/fdx/v5/x"] {
            assert!(is_within(place), "{place}");
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
            assert!(!is_within(place), "{place}");
        }
    }

    proptest! {
        #[test]
        fn token_response_is_parsed_or_rejected(
            members in prop::collection::vec((prop::sample::select(vec!["access_token", "refresh_token", "expires_in", "scope", "customer_id", "accounts"]), value()), 0..8),
            bytes: Vec<u8>,
        ) {
            let object = Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
            for body in [object.to_string().into_bytes(), bytes] {
                let Some(reply) = TokenResponse::parse(&body, NOW) else { continue };
                let header = |token: &Secret<String>| http::HeaderValue::from_str(token.expose()).is_ok();
                prop_assert!(header(&reply.access_token) && reply.refresh_token.as_ref().is_none_or(header));
                let life = reply.access_expires_at.since(NOW).as_secs();
                prop_assert!((1..=86_400).contains(&life), "{}", life);
                let _ = (reply.string_field("customer_id"), reply.string_list("accounts"));
            }
        }

        #[test]
        fn provider_error_of_any_shape_is_classified(status in 100_u16..600, body: Vec<u8>, retry in prop_oneof!["[0-9]{1,30}", ".*"], code: i64) {
            for body in [body, json!({"code": code}).to_string().into_bytes(), br#"{"code":"x"}"#.to_vec()] {
                if let UpstreamError::RateLimited(after) = classify_error_response(&response(status, &body, retry.as_bytes())) {
                    prop_assert!(after <= MAX_RETRY_AFTER);
                }
                let _ = retry_later(&response(status, &body, retry.as_bytes()));
            }
        }
    }
}
