//! OAuth at the bank: the token endpoint (RFC 6749, RFC 7636) and revocation (RFC 7009).

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Form, Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::Bank;
use super::fault_injection::{EndpointStatus, RevocationBehavior};
use super::grants::CustomerGrant;
use super::login_sessions::{CodeOutcome, IssuedCode};

/// How long an access token lives, in seconds.
const ACCESS_TOKEN_TTL_SECS: i64 = 300;

pub(super) fn routes() -> Router<Bank> {
    Router::new().route("/token", post(issue_token)).route("/revoke", post(revoke_token))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TokenForm {
    grant_type: String,
    code: String,
    redirect_uri: String,
    code_verifier: String,
    refresh_token: String,
    token: String,
    client_id: Option<String>,
    client_secret: Option<String>,
}

pub(super) struct BankOAuthError(pub(super) StatusCode, pub(super) &'static str, pub(super) &'static str);

impl IntoResponse for BankOAuthError {
    fn into_response(self) -> Response {
        let body = Json(json!({"error": self.1, "error_description": self.2}));
        (self.0, body).into_response()
    }
}

pub(super) const fn bad_request(error: &'static str, description: &'static str) -> BankOAuthError {
    BankOAuthError(StatusCode::BAD_REQUEST, error, description)
}

const INVALID_GRANT: BankOAuthError =
    bad_request("invalid_grant", "The grant is unknown, used, expired or ended");
pub(super) const TEMPORARILY_UNAVAILABLE: BankOAuthError =
    BankOAuthError(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "Try again later");

async fn issue_token(State(bank): State<Bank>, headers: HeaderMap, Form(form): Form<TokenForm>) -> Response {
    if bank.0.faults.borrow().token_endpoint == EndpointStatus::Down {
        return TEMPORARILY_UNAVAILABLE.into_response();
    }
    let issued = bank.authenticate(&headers, &form).and_then(|client| match form.grant_type.as_str() {
        "authorization_code" => bank.exchange_code(&form, &client),
        "refresh_token" => bank.refresh_tokens(&form, &client),
        _ => Err(bad_request(
            "unsupported_grant_type",
            "grant_type must be authorization_code or refresh_token",
        )),
    });
    match issued {
        Ok(reply) => Json(reply).into_response(),
        Err(refused) => refused.into_response(),
    }
}

async fn revoke_token(State(bank): State<Bank>, headers: HeaderMap, Form(form): Form<TokenForm>) -> Response {
    let client = match bank.authenticate(&headers, &form) {
        Ok(client) => client,
        Err(refused) => return refused.into_response(),
    };
    let behavior = bank.0.faults.borrow().revoke;
    match behavior {
        RevocationBehavior::Refuse => {
            bad_request("unsupported_token_type", "This token cannot be revoked").into_response()
        }
        RevocationBehavior::Already => StatusCode::OK.into_response(),
        RevocationBehavior::Ok => match bank.end_grant_of_token(&form.token, &client) {
            Ok(()) => StatusCode::OK.into_response(),
            Err(_) => TEMPORARILY_UNAVAILABLE.into_response(),
        },
    }
}

impl Bank {
    /// The client that asks.
    fn authenticate(&self, headers: &HeaderMap, form: &TokenForm) -> Result<String, BankOAuthError> {
        let (id, secret) = match (parse_basic_credentials(headers), &form.client_id, &form.client_secret) {
            (Some(basic), ..) => basic,
            (None, Some(id), Some(secret)) => (id.clone(), secret.clone()),
            _ => (String::new(), String::new()),
        };
        if self.is_client_secret_valid(&id, &secret) {
            return Ok(id);
        }
        Err(BankOAuthError(StatusCode::UNAUTHORIZED, "invalid_client", "Unknown client or wrong secret"))
    }

    fn exchange_code(&self, form: &TokenForm, client: &str) -> Result<serde_json::Value, BankOAuthError> {
        let grant_id = format!("{}{}", self.0.profile.grant_prefix, &generate_secret()?[..20]);
        let hash = crate::random::hash(&form.code);
        let spent = self.sign_in_sessions().redeem_code(
            &hash,
            &grant_id,
            (client, &form.redirect_uri),
            &form.code_verifier,
            self.now(),
        );
        match spent {
            CodeOutcome::Valid(code) => self.create_grant(grant_id, code),
            CodeOutcome::Unknown => Err(INVALID_GRANT),
            CodeOutcome::Reused { grant } => {
                if let Some(id) = grant {
                    self.end_grant(&mut self.grants(), &id).map_err(|_| TEMPORARILY_UNAVAILABLE)?;
                }
                Err(INVALID_GRANT)
            }
        }
    }

    fn create_grant(&self, id: String, code: IssuedCode) -> Result<serde_json::Value, BankOAuthError> {
        let refresh = generate_secret()?;
        let grant = CustomerGrant {
            id,
            username: code.username,
            accounts: code.accounts,
            scope: code.request.scope,
            client_id: Some(code.request.client_id),
            refresh_hash: crate::random::hash(&refresh),
            granted_at: self.now(),
        };
        let reply = self.token_response(&grant, Some(&refresh));
        self.grants().add(grant).map_err(|_| TEMPORARILY_UNAVAILABLE)?;
        Ok(reply)
    }

    fn refresh_tokens(&self, form: &TokenForm, client: &str) -> Result<serde_json::Value, BankOAuthError> {
        let (refuse_all, rotate) = {
            let levers = self.0.faults.borrow();
            (levers.invalid_grant_to_all, levers.rotate_refresh)
        };
        let grant = self.grants().find_by_refresh_hash(&crate::random::hash(&form.refresh_token)).cloned();
        let grant =
            grant.filter(|g| !refuse_all && self.is_grant_of_client(g, client)).ok_or(INVALID_GRANT)?;
        if !rotate {
            return Ok(self.token_response(&grant, None));
        }
        let refresh = generate_secret()?;
        self.grants()
            .rotate(&grant.id, crate::random::hash(&refresh))
            .map_err(|_| TEMPORARILY_UNAVAILABLE)?;
        Ok(self.token_response(&grant, Some(&refresh)))
    }

    fn token_response(&self, grant: &CustomerGrant, refresh: Option<&str>) -> serde_json::Value {
        let mut reply = json!({
            "access_token": self.sign_access_token(&grant.id, self.now() / 1000 + ACCESS_TOKEN_TTL_SECS),
            "token_type": "Bearer",
            "expires_in": ACCESS_TOKEN_TTL_SECS,
            "scope": grant.scope,
        });
        let names = &self.0.profile.reply_names;
        reply[names.customer] = self.book().customer_id(&grant.username).into();
        reply[names.grant] = grant.id.as_str().into();
        reply[names.accounts] = grant.accounts.clone().into();
        if let Some(refresh) = refresh {
            reply["refresh_token"] = refresh.into();
        }
        reply
    }

    /// An access token names its grant and its end, under a MAC.
    fn sign_access_token(&self, grant: &str, until: i64) -> String {
        format!("{grant}.{until}.{}", self.compute_access_mac(grant, until))
    }

    fn compute_access_mac(&self, grant: &str, until: i64) -> String {
        crate::random::derive_text(
            &self.0.settings.seed,
            &format!("access/{}/{grant}/{until}", self.0.profile.key),
        )
    }

    /// The live grant of an access token.
    pub(super) fn authenticate_bearer(&self, headers: &HeaderMap) -> Option<CustomerGrant> {
        let token = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
        let now = self.now();
        let id = self.verify_access_token(token, now / 1000)?;
        let mut grants = self.grants();
        let grant = grants.find_active(&id).cloned();
        grants.mark_used(&id, now);
        grant
    }

    fn verify_access_token(&self, token: &str, now: i64) -> Option<String> {
        let mut parts = token.splitn(3, '.');
        let (grant, until, mac) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        (crate::random::constant_time_eq(mac, &self.compute_access_mac(grant, until)) && now < until)
            .then(|| grant.to_owned())
    }

    /// Whether a grant is a client's: one without a name is of before others could register.
    fn is_grant_of_client(&self, grant: &CustomerGrant, client: &str) -> bool {
        grant.client_id.as_deref().unwrap_or(&self.0.settings.client_id) == client
    }

    fn end_grant_of_token(&self, token: &str, client: &str) -> std::io::Result<()> {
        let mut grants = self.grants();
        let by_refresh = grants.find_by_refresh_hash(&crate::random::hash(token)).map(|g| g.id.clone());
        match by_refresh.or_else(|| self.verify_access_token(token, self.now() / 1000)) {
            Some(id) if grants.find_active(&id).is_some_and(|g| self.is_grant_of_client(g, client)) => {
                self.end_grant(&mut grants, &id)
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn generate_secret() -> Result<String, BankOAuthError> {
    crate::random::generate_secret().map_err(|_| TEMPORARILY_UNAVAILABLE)
}

/// HTTP Basic credentials, form-decoded (RFC 6749 §2.3.1).
fn parse_basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decode =
        |part: &str| form_urlencoded::parse(part.as_bytes()).next().map(|(name, _)| name.into_owned());
    Some((decode(id)?, decode(secret)?))
}
