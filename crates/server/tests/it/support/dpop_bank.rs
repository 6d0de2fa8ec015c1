//! A stub of a provider that binds its tokens to a key (DPoP, RFC 9449), and verifies each proof.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::model::provider::{CustomerIdentity, Dpop, GrantScope};
use http::{Method, Response};
use jsonwebtoken::jwk::ThumbprintHash;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::{EndpointStub, RecordedRequest, TestHub, json_response};

/// A proof whose signature, method, URL and token were verified.
#[derive(Clone, Debug)]
pub(crate) struct VerifiedProof {
    pub(crate) path: String,
    /// The thumbprint of the key.
    pub(crate) key: String,
    pub(crate) id: String,
    pub(crate) nonce: Option<String>,
    pub(crate) issued_at: i64,
}

/// The behaviour of the stub, which each test changes, and what it has received.
#[derive(Default)]
pub(crate) struct DpopBankState {
    url: String,
    /// The member `token_type` of token responses.
    pub(crate) token_type: Value,
    /// The nonce that the proofs of token requests must contain.
    pub(crate) token_nonce: Option<String>,
    /// The nonce that the proofs of reads must contain.
    pub(crate) data_nonce: Option<String>,
    /// True if each call must be repeated with a nonce of its own. The calls differ by their interaction id.
    pub(crate) demands_own_nonces: bool,
    own_nonces: BTreeMap<String, String>,
    /// The beginning of the paths at which each response demands another nonce.
    pub(crate) loop_at: Option<&'static str>,
    /// The beginning of the paths at which each proof is rejected.
    pub(crate) reject_at: Option<&'static str>,
    /// The number of token requests that get 502 although tokens are issued.
    pub(crate) lost_responses: u32,
    /// The number of issued access tokens and refresh tokens.
    issued: u32,
    /// The keys that the issued access tokens are bound to.
    keys: BTreeMap<String, Option<String>>,
    pub(crate) proofs: Vec<VerifiedProof>,
    /// The errors of requests.
    pub(crate) mistakes: Vec<String>,
}

impl DpopBankState {
    fn respond(&mut self, call: &RecordedRequest) -> Response<String> {
        match call.path.as_str() {
            "/token" => self.issue_tokens(call),
            "/revoke" => json_response(200, &json!({})),
            _ => self.return_data(call),
        }
    }

    fn issue_tokens(&mut self, call: &RecordedRequest) -> Response<String> {
        let key = if call.headers.contains_key("dpop") {
            match self.verify(call, None) {
                Ok(key) => Some(key),
                Err(response) => return *response,
            }
        } else {
            None
        };
        self.issued += 1;
        let (access_token, refresh_token) = (format!("at-{}", self.issued), format!("rt-{}", self.issued));
        let key = key.filter(|_| self.token_type == "DPoP");
        self.keys.insert(access_token.clone(), key);
        if self.lost_responses > 0 {
            self.lost_responses -= 1;
            return json_response(502, &json!({}));
        }
        let body = json!({"access_token": access_token, "refresh_token": refresh_token,
            "token_type": self.token_type, "expires_in": 60, "grant_id": "grant-1"});
        json_response(200, &body)
    }

    fn return_data(&mut self, call: &RecordedRequest) -> Response<String> {
        let authorization = call.headers["authorization"].to_str().unwrap();
        let (scheme, token) = authorization.split_once(' ').unwrap();
        match (scheme, self.keys.get(token).cloned()) {
            ("DPoP", Some(Some(expected))) => match self.verify(call, Some(token)) {
                Ok(key) if key == expected => {}
                Ok(key) => self.mistakes.push(format!("{}: the token is not bound to {key}", call.path)),
                Err(response) => return *response,
            },
            ("Bearer", Some(None)) if !call.headers.contains_key("dpop") => {}
            (_, key) => {
                self.mistakes.push(format!("{}: {scheme} with a token of {key:?}", call.path));
                return json_response(401, &json!({}));
            }
        }
        if call.path.contains("consents") || call.method == Method::DELETE {
            return Response::builder().status(204).body(String::new()).unwrap();
        }
        if call.path.ends_with("/customers/current") {
            return json_response(200, &json!({"customerId": "c-1"}));
        }
        match call.path.as_str() {
            "/fdx/accounts/a-1/statements" => {
                json_response(200, &json!({"statements": [{"statementId": "s-1"}]}))
            }
            "/fdx/accounts/a-1/statements/s-1" => {
                let redirect = Response::builder().status(302).header("location", "/fdx/documents/s-1");
                redirect.body(String::new()).unwrap()
            }
            "/fdx/documents/s-1" => {
                let document = Response::builder().header("content-type", "application/pdf");
                document.body(build_document()).unwrap()
            }
            _ => json_response(200, &json!({"accounts": [{"depositAccount": {"accountId": "a-1"}}]})),
        }
    }

    /// Verifies the proof of a request, and returns the thumbprint of its key. The response is that to a request which must be
    /// repeated.
    fn verify(
        &mut self,
        call: &RecordedRequest,
        token: Option<&str>,
    ) -> Result<String, Box<Response<String>>> {
        let proof = match verify_proof(&self.url, call, token) {
            Ok(proof) => proof,
            Err(mistake) => {
                self.mistakes.push(format!("{}: {mistake}", call.path));
                return Err(reject_proof("invalid_dpop_proof", None, token.is_some()));
            }
        };
        if self.proofs.iter().any(|known| known.id == proof.id) {
            self.mistakes.push(format!("{}: the proof is not new", call.path));
        }
        self.proofs.push(proof.clone());
        if self.reject_at.is_some_and(|path| call.path.starts_with(path)) {
            return Err(reject_proof("invalid_dpop_proof", None, token.is_some()));
        }
        match self.choose_nonce(call, token.is_some()) {
            Some(nonce) if proof.nonce.as_ref() != Some(&nonce) => {
                Err(reject_proof("use_dpop_nonce", Some(&nonce), token.is_some()))
            }
            _ => Ok(proof.key),
        }
    }

    /// Returns the nonce that the proof of a call must contain.
    fn choose_nonce(&mut self, call: &RecordedRequest, is_data: bool) -> Option<String> {
        let count = self.proofs.len();
        if self.loop_at.is_some_and(|path| call.path.starts_with(path)) {
            return Some(format!("loop-{count}"));
        }
        if self.demands_own_nonces {
            let id = call.headers["x-fapi-interaction-id"].to_str().unwrap().to_owned();
            return Some(self.own_nonces.entry(id).or_insert_with(|| format!("own-{count}")).clone());
        }
        if is_data { self.data_nonce.clone() } else { self.token_nonce.clone() }
    }
}

/// Builds a document that is longer than what the hub reads before it responds.
pub(crate) fn build_document() -> String {
    format!("%PDF-1.7 {}", "x".repeat(400_000))
}

/// Verifies everything about a proof except its nonce (RFC 9449 §4.3).
fn verify_proof(url: &str, call: &RecordedRequest, token: Option<&str>) -> Result<VerifiedProof, String> {
    let proofs: Vec<_> = call.headers.get_all("dpop").iter().collect();
    let [proof] = proofs.as_slice() else { return Err(format!("{} proofs", proofs.len())) };
    let proof = proof.to_str().unwrap();
    let header = jsonwebtoken::decode_header(proof).map_err(|error| error.to_string())?;
    if (header.typ.as_deref(), header.alg) != (Some("dpop+jwt"), Algorithm::ES256) {
        return Err(format!("header {header:?}"));
    }
    let key = header.jwk.ok_or("the proof contains no key")?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    let public = DecodingKey::from_jwk(&key).map_err(|error| error.to_string())?;
    let claims = jsonwebtoken::decode::<Value>(proof, &public, &validation);
    let claims = claims.map_err(|error| error.to_string())?.claims;
    let hash = |token: &str| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
        json!(URL_SAFE_NO_PAD.encode(digest))
    };
    for (name, expected) in [
        ("htm", json!(call.method.as_str())),
        ("htu", json!(format!("{url}{}", call.path))),
        ("ath", token.map_or(Value::Null, hash)),
    ] {
        if claims[name] != expected {
            return Err(format!("{name} is {}", claims[name]));
        }
    }
    let text = |name: &str| claims[name].as_str().map(str::to_owned);
    Ok(VerifiedProof {
        path: call.path.clone(),
        key: key.thumbprint(ThumbprintHash::SHA256).map_err(|error| error.to_string())?,
        id: text("jti").ok_or("no jti")?,
        nonce: text("nonce"),
        issued_at: claims["iat"].as_i64().ok_or("no iat")?,
    })
}

/// Builds the response to a request whose proof is rejected: that of a resource (RFC 9449 §9), or of a token endpoint (§8).
fn reject_proof(error: &str, nonce: Option<&str>, is_data: bool) -> Box<Response<String>> {
    let mut response = if is_data {
        let mut response = json_response(401, &json!({"code": "401", "message": "not accepted"}));
        let challenge = format!(r#"DPoP algs="ES256", error="{error}", error_description="a, b""#);
        response.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
        response
    } else {
        json_response(400, &json!({"error": error}))
    };
    if let Some(nonce) = nonce {
        response.headers_mut().insert("dpop-nonce", nonce.parse().unwrap());
    }
    Box::new(response)
}

pub(crate) struct DpopBank {
    pub(crate) stub: EndpointStub,
    state: Arc<Mutex<DpopBankState>>,
}

impl DpopBank {
    pub(crate) async fn start() -> Self {
        let state =
            Arc::new(Mutex::new(DpopBankState { token_type: json!("DPoP"), ..DpopBankState::default() }));
        let shared = Arc::clone(&state);
        let stub = EndpointStub::new(move |call| shared.lock().unwrap().respond(call)).await;
        state.lock().unwrap().url.clone_from(&stub.url);
        Self { stub, state }
    }

    /// Replaces the token endpoint and the data of Maple Trust. The customer still signs in at the sandbox.
    pub(crate) async fn install(kit: &TestHub, dpop: Dpop) -> Self {
        let bank = Self::start().await;
        let url = bank.stub.url.clone();
        kit.update_provider_settings(1000, |settings| {
            settings.token_endpoint = Some(format!("{url}/token"));
            settings.revocation_endpoint = Some(format!("{url}/revoke"));
            settings.fdx.base_url = format!("{url}/fdx");
            settings.customer_identity = CustomerIdentity::FdxCustomer;
            settings.grant_scope = GrantScope::PerToken;
            (settings.accounts_field, settings.grant_field) = (None, None);
            settings.dpop = dpop;
        })
        .await;
        bank
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut DpopBankState)) {
        change(&mut self.state.lock().unwrap());
    }

    /// Returns the verified proofs in their order. Panics if a request was wrong.
    pub(crate) fn proofs(&self) -> Vec<VerifiedProof> {
        let state = self.state.lock().unwrap();
        assert_eq!(state.mistakes, [""; 0]);
        state.proofs.clone()
    }

    /// Returns the paths of the verified proofs.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.proofs().into_iter().map(|proof| proof.path).collect()
    }

    /// Returns the fields with this name of the forms that an endpoint has received.
    pub(crate) fn fields(&self, path: &str, name: &str) -> Vec<Option<String>> {
        let calls = self.stub.calls();
        calls.iter().filter(|call| call.path == path).map(|call| call.field(name)).collect()
    }
}
