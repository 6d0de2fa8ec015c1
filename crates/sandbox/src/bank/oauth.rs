//! The OAuth endpoints of a bank: token endpoint (RFC 6749, RFC 7636) and revocation (RFC 7009).

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Form, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client_authentication::ClientFormFields;
use super::consent_api::CONSENT_SCOPE;
use super::fault_settings::EndpointStatus;
use super::grants::CustomerGrant;
use super::login_sessions::{CodeOutcome, CodeRedemption, IssuedCode};
use super::mutual_tls::find_certificate;
use super::oauth_error::{BankOAuthError, bad_request};
use super::security::SecurityProfile;
use super::state::Bank;
use super::token_faults::TokenResponseFault;
use crate::random::{constant_time_eq, derive_text, hash};

const ACCESS_TOKEN_TTL_SECS: i64 = 300;
const ID_TOKEN_TTL_SECS: i64 = 300;

/// The character before the id of a client in its own access tokens. Ids of grants do not contain it.
const CLIENT_MARK: char = '@';

pub(super) fn routes(security: &SecurityProfile) -> Router<Bank> {
    let routes = Router::new().route("/token", post(issue_token));
    match security {
        SecurityProfile::Plain | SecurityProfile::OpenId => routes.route("/revoke", post(revoke_token)),
        SecurityProfile::Fapi(_) => routes,
    }
}

/// The form fields that the token endpoint, the revocation endpoint and introspection accept.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct TokenForm {
    grant_type: String,
    code: String,
    redirect_uri: String,
    code_verifier: String,
    refresh_token: String,
    scope: String,
    pub(super) token: String,
    #[serde(flatten)]
    pub(super) client: ClientFormFields,
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
    match bank.issue_tokens(&headers, &form).await {
        Ok(body) => fault.render(body),
        Err(error) => error.into_response(),
    }
}

async fn revoke_token(State(bank): State<Bank>, headers: HeaderMap, Form(form): Form<TokenForm>) -> Response {
    let client = match bank.authenticate(&headers, &form.client).await {
        Ok(client) => client,
        Err(error) => return error.into_response(),
    };
    let behavior = bank.faults().borrow().revoke;
    let is_access_token = bank.verify_access_token(&form.token, bank.now() / 1000, None).is_some();
    if behavior.ends_grant(is_access_token) && bank.end_grant_of_token(&form.token, &client).is_err() {
        return TEMPORARILY_UNAVAILABLE.into_response();
    }
    behavior.render(is_access_token)
}

impl Bank {
    async fn issue_tokens(&self, headers: &HeaderMap, form: &TokenForm) -> Result<Value, BankOAuthError> {
        let client = self.authenticate(headers, &form.client).await?;
        let certificate = find_certificate(headers);
        let has_client_tokens = matches!(self.settings().security, SecurityProfile::Fapi(_));
        match form.grant_type.as_str() {
            "authorization_code" => self.exchange_code(form, &client, certificate),
            "refresh_token" => self.refresh_tokens(form, &client, certificate),
            "client_credentials" if has_client_tokens => {
                self.issue_client_token(&form.scope, &client, certificate)
            }
            _ => Err(bad_request(
                "unsupported_grant_type",
                "grant_type must be authorization_code or refresh_token",
            )),
        }
    }

    fn exchange_code(
        &self,
        form: &TokenForm,
        client: &str,
        certificate: Option<&str>,
    ) -> Result<Value, BankOAuthError> {
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
            CodeOutcome::Valid(code) => self.create_grant(grant_id, *code, certificate),
            CodeOutcome::Invalid => Err(INVALID_GRANT),
            CodeOutcome::Reused { grant_id } => {
                if let Some(id) = grant_id {
                    self.end_grant(&mut self.grants(), &id).map_err(|_| TEMPORARILY_UNAVAILABLE)?;
                }
                Err(INVALID_GRANT)
            }
        }
    }

    fn create_grant(
        &self,
        id: String,
        code: IssuedCode,
        certificate: Option<&str>,
    ) -> Result<Value, BankOAuthError> {
        let refresh_token = generate_secret()?;
        let grant = CustomerGrant {
            id,
            username: code.username,
            accounts: code.accounts,
            scope: code.request.scope,
            client_id: Some(code.request.client_id),
            refresh_hash: hash(&refresh_token),
            granted_at: self.now(),
            details: code.request.details,
        };
        let refresh_token = code.request.has_refresh_token.then_some(refresh_token.as_str());
        let mut body = self.token_response(&grant, refresh_token, certificate);
        if let Some(id_token) = self.create_id_token(&grant, code.request.nonce.as_deref()) {
            body["id_token"] = id_token.into();
        }
        self.grants().add(grant).map_err(|_| TEMPORARILY_UNAVAILABLE)?;
        Ok(body)
    }

    /// Creates an id token for the customer of a grant. Returns `None` at a bank without OpenID Connect.
    fn create_id_token(&self, grant: &CustomerGrant, nonce: Option<&str>) -> Option<String> {
        let now = self.now() / 1000;
        self.id_token_key()?.sign(&json!({
            "iss": self.settings().origin, "sub": self.ledger().customer_id(&grant.username),
            "aud": grant.client_id, "iat": now, "exp": now + ID_TOKEN_TTL_SECS, "nonce": nonce,
        }))
    }

    fn refresh_tokens(
        &self,
        form: &TokenForm,
        client: &str,
        certificate: Option<&str>,
    ) -> Result<Value, BankOAuthError> {
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
            return Ok(self.token_response(&grant, refresh_token, certificate));
        }
        let refresh_token = generate_secret()?;
        self.grants().rotate(&grant.id, hash(&refresh_token)).map_err(|_| TEMPORARILY_UNAVAILABLE)?;
        Ok(self.token_response(&grant, Some(&refresh_token), certificate))
    }

    /// Issues an access token of the client itself, with which it can revoke its consents.
    fn issue_client_token(
        &self,
        scope: &str,
        client: &str,
        certificate: Option<&str>,
    ) -> Result<Value, BankOAuthError> {
        if scope != CONSENT_SCOPE {
            return Err(bad_request("invalid_scope", "The scope of a client itself is fdx:consents"));
        }
        let subject = format!("{CLIENT_MARK}{client}");
        let token = self.sign_access_token(&subject, self.now() / 1000 + ACCESS_TOKEN_TTL_SECS, certificate);
        Ok(json!({"access_token": token, "token_type": "Bearer", "expires_in": ACCESS_TOKEN_TTL_SECS,
            "scope": CONSENT_SCOPE}))
    }

    fn token_response(
        &self,
        grant: &CustomerGrant,
        refresh_token: Option<&str>,
        certificate: Option<&str>,
    ) -> Value {
        let expires_at = self.now() / 1000 + ACCESS_TOKEN_TTL_SECS;
        let mut body = json!({
            "access_token": self.sign_access_token(&grant.id, expires_at, certificate),
            "token_type": "Bearer",
            "expires_in": ACCESS_TOKEN_TTL_SECS,
            "scope": grant.scope,
        });
        match &self.settings().security {
            SecurityProfile::Plain => {
                let names = &self.profile().token_response_names;
                body[names.customer] = self.ledger().customer_id(&grant.username).into();
                body[names.grant] = grant.id.as_str().into();
                body[names.accounts] = grant.accounts.clone().into();
            }
            SecurityProfile::OpenId => {}
            SecurityProfile::Fapi(_) => {
                body["fdxConsentId"] = grant.id.as_str().into();
                // RFC 9396 §7: the response contains what was granted.
                body["authorization_details"] = grant.granted_details().into();
            }
        }
        if let Some(refresh_token) = refresh_token {
            body["refresh_token"] = refresh_token.into();
        }
        body
    }

    /// Creates an access token: its subject, its expiry and a MAC over both, so that no token has to be stored. The subject is the
    /// id of a grant or of a client. A token for a connection with a certificate is valid only with it (RFC 8705 §3).
    fn sign_access_token(&self, subject: &str, expires_at: i64, certificate: Option<&str>) -> String {
        format!("{subject}.{expires_at}.{}", self.compute_access_mac(subject, expires_at, certificate))
    }

    fn compute_access_mac(&self, subject: &str, expires_at: i64, certificate: Option<&str>) -> String {
        let binding = certificate.map(|thumbprint| format!("/{thumbprint}")).unwrap_or_default();
        let label = format!("access/{}/{subject}/{expires_at}{binding}", self.profile().key);
        derive_text(&self.settings().secret_key, &label)
    }

    /// Returns the active grant of the bearer token and records its use.
    pub(super) fn authenticate_bearer(&self, headers: &HeaderMap) -> Option<CustomerGrant> {
        let now = self.now();
        let id = self.verify_bearer(headers, now)?;
        let mut grants = self.grants();
        let grant = grants.find_active(&id).cloned();
        grants.mark_used(&id, now);
        grant
    }

    /// Returns the id of the client that a bearer token belongs to itself.
    pub(super) fn authenticate_client_token(&self, headers: &HeaderMap) -> Option<String> {
        let subject = self.verify_bearer(headers, self.now())?;
        subject.strip_prefix(CLIENT_MARK).map(str::to_owned)
    }

    fn verify_bearer(&self, headers: &HeaderMap, now: i64) -> Option<String> {
        let token = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
        self.verify_access_token(token, now / 1000, find_certificate(headers))
    }

    /// Returns the subject of an access token that is valid on a connection with this certificate.
    pub(super) fn verify_access_token(
        &self,
        token: &str,
        now_secs: i64,
        certificate: Option<&str>,
    ) -> Option<String> {
        // Grant ids are base64url with a prefix and contain no dot.
        let mut parts = token.splitn(3, '.');
        let (subject, expires_at, mac) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        let expected = self.compute_access_mac(subject, expires_at, certificate);
        (constant_time_eq(mac, &expected) && now_secs < expires_at).then(|| subject.to_owned())
    }

    /// Returns true if a customer gave the grant to this client. A grant without a client id is the hub's (see
    /// `CustomerGrant::client_id`).
    pub(super) fn is_grant_of_client(&self, grant: &CustomerGrant, client: &str) -> bool {
        grant.client_id.as_deref().unwrap_or(&self.settings().client_id) == client
    }

    fn end_grant_of_token(&self, token: &str, client: &str) -> std::io::Result<()> {
        let mut grants = self.grants();
        let by_refresh_token = grants.find_by_refresh_hash(&hash(token)).map(|grant| grant.id.clone());
        match by_refresh_token.or_else(|| self.verify_access_token(token, self.now() / 1000, None)) {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::state::BankSettings;
    use super::*;

    #[test]
    fn access_token_is_valid_only_with_its_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let bank = Bank::maple(BankSettings {
            seed: b"seed".to_vec(),
            secret_key: b"secret key".to_vec(),
            origin: "http://127.0.0.1:8402".into(),
            client_id: "hub".into(),
            client_secret: "hub-secret".into(),
            redirect_uris: Vec::new(),
            journal: folder.path().join("grants.jsonl"),
            clock: Arc::new(|| 0),
            security: SecurityProfile::default(),
        })
        .unwrap();

        let [bound, unbound] = [Some("a"), None].map(|cert| bank.sign_access_token("mg_1", 10, cert));

        let verify = |token: &str, certificate| bank.verify_access_token(token, 9, certificate).is_some();
        assert!(verify(&bound, Some("a")) && verify(&unbound, None));
        assert!(!verify(&bound, Some("b")) && !verify(&bound, None) && !verify(&unbound, Some("a")));
    }
}
