//! The OAuth endpoints of a bank: token endpoint (RFC 6749, RFC 7636) and revocation (RFC 7009).

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Form, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::fault_settings::EndpointStatus;
use super::grants::CustomerGrant;
use super::login_sessions::{CodeOutcome, CodeRedemption, IssuedCode};
use super::oauth_error::{BankOAuthError, bad_request};
use super::state::Bank;
use super::token_faults::TokenResponseFault;
use crate::random::{constant_time_eq, derive_text, hash};

const ACCESS_TOKEN_TTL_SECS: i64 = 300;

pub(super) fn routes() -> Router<Bank> {
    Router::new().route("/token", post(issue_token)).route("/revoke", post(revoke_token))
}

/// The form fields that the token endpoint and the revocation endpoint accept.
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

const INVALID_GRANT: BankOAuthError =
    bad_request("invalid_grant", "The grant is unknown, used, expired or ended");
pub(super) const TEMPORARILY_UNAVAILABLE: BankOAuthError =
    BankOAuthError(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "Try again later");

async fn issue_token(State(bank): State<Bank>, headers: HeaderMap, Form(form): Form<TokenForm>) -> Response {
    let (endpoint, fault) = {
        let faults = bank.faults().borrow();
        (faults.token_endpoint, faults.token_response)
    };
    if endpoint == EndpointStatus::Down {
        return TEMPORARILY_UNAVAILABLE.into_response();
    }
    if let Some(rejection) = fault.rejection() {
        return rejection.into_response();
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
        Ok(body) => fault.render(body),
        Err(error) => error.into_response(),
    }
}

async fn revoke_token(State(bank): State<Bank>, headers: HeaderMap, Form(form): Form<TokenForm>) -> Response {
    let client = match bank.authenticate(&headers, &form) {
        Ok(client) => client,
        Err(error) => return error.into_response(),
    };
    let behavior = bank.faults().borrow().revoke;
    let is_access_token = bank.verify_access_token(&form.token, bank.now() / 1000).is_some();
    if behavior.ends_grant(is_access_token) && bank.end_grant_of_token(&form.token, &client).is_err() {
        return TEMPORARILY_UNAVAILABLE.into_response();
    }
    behavior.render(is_access_token)
}

impl Bank {
    /// Authenticates the client that sends a request to an OAuth endpoint, and returns its id.
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

    fn exchange_code(&self, form: &TokenForm, client: &str) -> Result<Value, BankOAuthError> {
        let grant_id = format!("{}{}", self.profile().grant_prefix, &generate_secret()?[..20]);
        let redemption = CodeRedemption {
            code_hash: &hash(&form.code),
            client_id: client,
            redirect_uri: &form.redirect_uri,
            verifier: &form.code_verifier,
            grant_id: &grant_id,
        };
        let outcome = self.sign_in_sessions().redeem_code(&redemption, self.now());
        match outcome {
            CodeOutcome::Valid(code) => self.create_grant(grant_id, code),
            CodeOutcome::Invalid => Err(INVALID_GRANT),
            CodeOutcome::Reused { grant_id } => {
                if let Some(id) = grant_id {
                    self.end_grant(&mut self.grants(), &id).map_err(|_| TEMPORARILY_UNAVAILABLE)?;
                }
                Err(INVALID_GRANT)
            }
        }
    }

    fn create_grant(&self, id: String, code: IssuedCode) -> Result<Value, BankOAuthError> {
        let refresh_token = generate_secret()?;
        let grant = CustomerGrant {
            id,
            username: code.username,
            accounts: code.accounts,
            scope: code.request.scope,
            client_id: Some(code.request.client_id),
            refresh_hash: hash(&refresh_token),
            granted_at: self.now(),
        };
        let body = self.token_response(&grant, Some(&refresh_token));
        self.grants().add(grant).map_err(|_| TEMPORARILY_UNAVAILABLE)?;
        Ok(body)
    }

    fn refresh_tokens(&self, form: &TokenForm, client: &str) -> Result<Value, BankOAuthError> {
        let (refuse_all, rotate, response) = {
            let faults = self.faults().borrow();
            (faults.invalid_grant_to_all, faults.rotate_refresh, faults.token_response)
        };
        let grant = self.grants().find_by_refresh_hash(&hash(&form.refresh_token)).cloned();
        let grant =
            grant.filter(|g| !refuse_all && self.is_grant_of_client(g, client)).ok_or(INVALID_GRANT)?;
        if !rotate {
            let is_repeated = response == TokenResponseFault::RepeatedRefreshToken;
            let refresh_token = is_repeated.then_some(form.refresh_token.as_str());
            return Ok(self.token_response(&grant, refresh_token));
        }
        let refresh_token = generate_secret()?;
        self.grants().rotate(&grant.id, hash(&refresh_token)).map_err(|_| TEMPORARILY_UNAVAILABLE)?;
        Ok(self.token_response(&grant, Some(&refresh_token)))
    }

    fn token_response(&self, grant: &CustomerGrant, refresh_token: Option<&str>) -> Value {
        let mut body = json!({
            "access_token": self.sign_access_token(&grant.id, self.now() / 1000 + ACCESS_TOKEN_TTL_SECS),
            "token_type": "Bearer",
            "expires_in": ACCESS_TOKEN_TTL_SECS,
            "scope": grant.scope,
        });
        let names = &self.profile().token_response_names;
        body[names.customer] = self.ledger().customer_id(&grant.username).into();
        body[names.grant] = grant.id.as_str().into();
        body[names.accounts] = grant.accounts.clone().into();
        if let Some(refresh_token) = refresh_token {
            body["refresh_token"] = refresh_token.into();
        }
        body
    }

    /// Creates an access token: grant id, expiry and a MAC over both, so that no token has to be stored.
    fn sign_access_token(&self, grant_id: &str, expires_at: i64) -> String {
        format!("{grant_id}.{expires_at}.{}", self.compute_access_mac(grant_id, expires_at))
    }

    fn compute_access_mac(&self, grant_id: &str, expires_at: i64) -> String {
        let label = format!("access/{}/{grant_id}/{expires_at}", self.profile().key);
        derive_text(&self.settings().secret_key, &label)
    }

    /// Returns the active grant of the bearer token and records its use.
    pub(super) fn authenticate_bearer(&self, headers: &HeaderMap) -> Option<CustomerGrant> {
        let token = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
        let now = self.now();
        let id = self.verify_access_token(token, now / 1000)?;
        let mut grants = self.grants();
        let grant = grants.find_active(&id).cloned();
        grants.mark_used(&id, now);
        grant
    }

    fn verify_access_token(&self, token: &str, now_secs: i64) -> Option<String> {
        // Grant ids are base64url with a prefix and contain no dot.
        let mut parts = token.splitn(3, '.');
        let (grant_id, expires_at, mac) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        (constant_time_eq(mac, &self.compute_access_mac(grant_id, expires_at)) && now_secs < expires_at)
            .then(|| grant_id.to_owned())
    }

    /// Returns true if a customer gave the grant to this client. A grant without a client id is the hub's (see
    /// `CustomerGrant::client_id`).
    fn is_grant_of_client(&self, grant: &CustomerGrant, client: &str) -> bool {
        grant.client_id.as_deref().unwrap_or(&self.settings().client_id) == client
    }

    fn end_grant_of_token(&self, token: &str, client: &str) -> std::io::Result<()> {
        let mut grants = self.grants();
        let by_refresh_token = grants.find_by_refresh_hash(&hash(token)).map(|grant| grant.id.clone());
        match by_refresh_token.or_else(|| self.verify_access_token(token, self.now() / 1000)) {
            Some(id) if grants.find_active(&id).is_some_and(|g| self.is_grant_of_client(g, client)) => {
                self.end_grant(&mut grants, &id)
            }
            // An invalid token, or one of another client, is no error (RFC 7009, section 2.2).
            _ => Ok(()),
        }
    }
}

pub(super) fn generate_secret() -> Result<String, BankOAuthError> {
    crate::random::generate_secret().map_err(|_| TEMPORARILY_UNAVAILABLE)
}

/// Parses HTTP Basic credentials, which are form-encoded (RFC 6749, section 2.3.1).
fn parse_basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let credentials = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = credentials.split_once(':')?;
    let decode =
        |part: &str| form_urlencoded::parse(part.as_bytes()).next().map(|(name, _)| name.into_owned());
    Some((decode(id)?, decode(secret)?))
}
