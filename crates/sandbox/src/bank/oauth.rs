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
use super::grants::Grant;
use super::levers::{Endpoint, Revoke};
use super::visits::{Code, Spent};

/// How long an access token lives, in seconds.
const ACCESS_LIFE: i64 = 300;

pub(super) fn routes() -> Router<Bank> {
    Router::new().route("/token", post(token)).route("/revoke", post(revoke))
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

pub(super) struct Refused(pub(super) StatusCode, pub(super) &'static str, pub(super) &'static str);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = Json(json!({"error": self.1, "error_description": self.2}));
        (self.0, body).into_response()
    }
}

pub(super) const fn bad(error: &'static str, description: &'static str) -> Refused {
    Refused(StatusCode::BAD_REQUEST, error, description)
}

const INVALID_GRANT: Refused = bad("invalid_grant", "The grant is unknown, used, expired or ended");
pub(super) const OUT_OF_ORDER: Refused =
    Refused(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "Try again later");

async fn token(State(bank): State<Bank>, headers: HeaderMap, Form(form): Form<TokenForm>) -> Response {
    if bank.0.levers.borrow().token_endpoint == Endpoint::Down {
        return OUT_OF_ORDER.into_response();
    }
    let issued = bank.authenticate(&headers, &form).and_then(|client| match form.grant_type.as_str() {
        "authorization_code" => bank.exchange(&form, &client),
        "refresh_token" => bank.refresh(&form, &client),
        _ => Err(bad("unsupported_grant_type", "grant_type must be authorization_code or refresh_token")),
    });
    match issued {
        Ok(reply) => Json(reply).into_response(),
        Err(refused) => refused.into_response(),
    }
}

async fn revoke(State(bank): State<Bank>, headers: HeaderMap, Form(form): Form<TokenForm>) -> Response {
    let client = match bank.authenticate(&headers, &form) {
        Ok(client) => client,
        Err(refused) => return refused.into_response(),
    };
    let lever = bank.0.levers.borrow().revoke;
    match lever {
        Revoke::Refuse => bad("unsupported_token_type", "This token cannot be revoked").into_response(),
        Revoke::Already => StatusCode::OK.into_response(),
        Revoke::Ok => match bank.end_grant_of(&form.token, &client) {
            Ok(()) => StatusCode::OK.into_response(),
            Err(_) => OUT_OF_ORDER.into_response(),
        },
    }
}

impl Bank {
    /// The client that asks.
    fn authenticate(&self, headers: &HeaderMap, form: &TokenForm) -> Result<String, Refused> {
        let (id, secret) = match (basic(headers), &form.client_id, &form.client_secret) {
            (Some(basic), ..) => basic,
            (None, Some(id), Some(secret)) => (id.clone(), secret.clone()),
            _ => (String::new(), String::new()),
        };
        if self.knows(&id, &secret) {
            return Ok(id);
        }
        Err(Refused(StatusCode::UNAUTHORIZED, "invalid_client", "Unknown client or wrong secret"))
    }

    fn exchange(&self, form: &TokenForm, client: &str) -> Result<serde_json::Value, Refused> {
        let grant_id = format!("{}{}", self.0.look.grant_prefix, &fresh()?[..20]);
        let hash = crate::random::hash(&form.code);
        let spent = self.visits().spend(
            &hash,
            &grant_id,
            (client, &form.redirect_uri),
            &form.code_verifier,
            self.now(),
        );
        match spent {
            Spent::Fresh(code) => self.grant(grant_id, code),
            Spent::Unknown => Err(INVALID_GRANT),
            Spent::Again { grant } => {
                if let Some(id) = grant {
                    self.end_grant(&mut self.grants(), &id).map_err(|_| OUT_OF_ORDER)?;
                }
                Err(INVALID_GRANT)
            }
        }
    }

    fn grant(&self, id: String, code: Code) -> Result<serde_json::Value, Refused> {
        let refresh = fresh()?;
        let grant = Grant {
            id,
            username: code.username,
            accounts: code.accounts,
            scope: code.ask.scope,
            client_id: Some(code.ask.client_id),
            refresh_hash: crate::random::hash(&refresh),
            granted_at: self.now(),
        };
        let reply = self.reply(&grant, Some(&refresh));
        self.grants().add(grant).map_err(|_| OUT_OF_ORDER)?;
        Ok(reply)
    }

    fn refresh(&self, form: &TokenForm, client: &str) -> Result<serde_json::Value, Refused> {
        let (everyone, rotate) = {
            let levers = self.0.levers.borrow();
            (levers.invalid_grant_to_all, levers.rotate_refresh)
        };
        let grant = self.grants().by_refresh(&crate::random::hash(&form.refresh_token)).cloned();
        let grant = grant.filter(|g| !everyone && self.is_of(g, client)).ok_or(INVALID_GRANT)?;
        if !rotate {
            return Ok(self.reply(&grant, None));
        }
        let refresh = fresh()?;
        self.grants().rotate(&grant.id, crate::random::hash(&refresh)).map_err(|_| OUT_OF_ORDER)?;
        Ok(self.reply(&grant, Some(&refresh)))
    }

    fn reply(&self, grant: &Grant, refresh: Option<&str>) -> serde_json::Value {
        let mut reply = json!({
            "access_token": self.access_token(&grant.id, self.now() / 1000 + ACCESS_LIFE),
            "token_type": "Bearer",
            "expires_in": ACCESS_LIFE,
            "scope": grant.scope,
        });
        let names = &self.0.look.reply;
        reply[names.customer] = self.book().customer_id(&grant.username).into();
        reply[names.grant] = grant.id.as_str().into();
        reply[names.accounts] = grant.accounts.clone().into();
        if let Some(refresh) = refresh {
            reply["refresh_token"] = refresh.into();
        }
        reply
    }

    /// An access token names its grant and its end, under a MAC.
    fn access_token(&self, grant: &str, until: i64) -> String {
        format!("{grant}.{until}.{}", self.access_mac(grant, until))
    }

    fn access_mac(&self, grant: &str, until: i64) -> String {
        crate::random::derived(&self.0.settings.seed, &format!("access/{}/{grant}/{until}", self.0.look.key))
    }

    /// The live grant of an access token.
    pub(super) fn bearer(&self, headers: &HeaderMap) -> Option<Grant> {
        let token = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
        let now = self.now();
        let id = self.grant_of_access(token, now / 1000)?;
        let mut grants = self.grants();
        let grant = grants.live(&id).cloned();
        grants.used(&id, now);
        grant
    }

    fn grant_of_access(&self, token: &str, now: i64) -> Option<String> {
        let mut parts = token.splitn(3, '.');
        let (grant, until, mac) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        (crate::random::equal(mac, &self.access_mac(grant, until)) && now < until).then(|| grant.to_owned())
    }

    /// Whether a grant is a client's: one without a name is of before others could register.
    fn is_of(&self, grant: &Grant, client: &str) -> bool {
        grant.client_id.as_deref().unwrap_or(&self.0.settings.client_id) == client
    }

    fn end_grant_of(&self, token: &str, client: &str) -> std::io::Result<()> {
        let mut grants = self.grants();
        let by_refresh = grants.by_refresh(&crate::random::hash(token)).map(|g| g.id.clone());
        match by_refresh.or_else(|| self.grant_of_access(token, self.now() / 1000)) {
            Some(id) if grants.live(&id).is_some_and(|g| self.is_of(g, client)) => {
                self.end_grant(&mut grants, &id)
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn fresh() -> Result<String, Refused> {
    crate::random::fresh().map_err(|_| OUT_OF_ORDER)
}

/// HTTP Basic credentials, form-decoded (RFC 6749 §2.3.1).
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decode =
        |part: &str| form_urlencoded::parse(part.as_bytes()).next().map(|(name, _)| name.into_owned());
    Some((decode(id)?, decode(secret)?))
}
