//! Commands for the steps of an authorization request: consent or denial, the provider's callback, and failure.

use std::time::Duration;

use domain::error::OAuthError;
use domain::id::{AuthorizationRequestId, ProviderId};
use domain::model::authorization_request::{AuthorizationRequest, RequestStatus, RequestStepError};
use domain::rule::authorize::{ACCESS_DENIED, Language, NOT_REGISTERED, ensure_may_continue};
use domain::secret::{TokenHash, TokenHashes};
use domain::{Moment, Timestamp};

use super::job_queue::{UnrevokedToken, queue_orphaned_revocations};
use crate::entity::authorization_request::{REQUEST_MAC, lock_request, lock_request_by_state};
use crate::entity::client::lock_client_shared;
use crate::entity::provider::find_provider;
use crate::entity::registration::find_registration;
use crate::error::{Result, StoreError};
use crate::operation::Command;
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::values;

/// Stores a request with the customer's consent on the hub's page; the browser is then sent to the provider. A repetition changes
/// nothing and returns the verifier of the first time, so that the browser is sent to the same URL.
#[derive(Debug)]
pub struct SendToProvider {
    pub moment: Moment,
    /// The request of the browser's cookie. If a decision was stored before, only its id is used.
    pub request: Box<AuthorizationRequest>,
    /// The hashes of the browser's flow cookie, one for each pepper.
    pub cookie: TokenHashes,
    /// The hash of the `state` that is sent to the provider.
    pub state_hash: TokenHash,
    /// The sealed PKCE verifier of the hub's own authorization request to the provider.
    pub verifier: Vec<u8>,
    /// The purpose of reading data, as the consent page showed it.
    pub purpose: String,
    /// The version of the consent page's text.
    pub page_version: String,
    /// The language in which the consent page was shown.
    pub language: Language,
}

/// The outcome of [`SendToProvider`] and of [`ReceiveCode`].
#[derive(Debug)]
pub struct SendToProviderOutcome {
    /// The request, with the verifier that is sent to the provider.
    pub request: AuthorizationRequest,
    /// An error if the recipient is no longer allowed to connect to the provider; the request has then failed.
    pub may_continue: Result<(), OAuthError>,
}

impl Command for SendToProvider {
    type Reply = Result<SendToProviderOutcome, RequestStepError>;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let request = lock_or_insert_request(tx, &self.request, self.moment.now).await?;
        let step = request.and_then(|r| take_step(r, &BEFORE_CALLBACK, &self.cookie, self.moment.now));
        let mut request = match step {
            Ok(request) => request,
            Err(error) => return Ok(Err(error)),
        };
        let may_continue = ensure_still_allowed(tx, &request).await?;
        if let Err(error) = &may_continue {
            fail_request(tx, &request.id, error);
        } else if request.status == RequestStatus::AwaitingConsent {
            self.write_consent(tx, &request.id);
            request.verifier = Some(self.verifier.clone());
        }
        Ok(Ok(SendToProviderOutcome { request, may_continue }))
    }
}

impl SendToProvider {
    fn write_consent(&self, tx: &mut Tx<'_>, id: &AuthorizationRequestId) {
        tx.defer(
            sql!(
                "-- record the customer's consent
                UPDATE authorization_requests SET status = ?2, state_hash = ?3, verifier = ?4, purpose = ?5,
                    page_version = ?6, agreed_at = ?7, language = ?8
                WHERE id = ?1"
            ),
            values![
                id,
                RequestStatus::AtProvider,
                self.state_hash,
                self.verifier,
                self.purpose,
                self.page_version,
                self.moment.now,
                self.language.as_str()
            ],
        );
    }
}

/// Stores that the customer denied the request on the hub's page, before or after the browser was sent to the provider.
#[derive(Debug)]
pub struct DenyRequest {
    pub moment: Moment,
    /// The request of the browser's cookie. If a decision was stored before, only its id is used.
    pub request: Box<AuthorizationRequest>,
    /// The hashes of the browser's flow cookie, one for each pepper.
    pub cookie: TokenHashes,
}

impl Command for DenyRequest {
    type Reply = Result<AuthorizationRequest, RequestStepError>;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let request = lock_or_insert_request(tx, &self.request, self.moment.now).await?;
        let request = request.and_then(|r| take_step(r, &BEFORE_CALLBACK, &self.cookie, self.moment.now));
        if let Ok(request) = &request {
            fail_request(tx, &request.id, &ACCESS_DENIED);
        }
        Ok(request)
    }
}

/// Records a provider's callback. The `state` is accepted once, and only from the browser that started the request.
#[derive(Debug)]
pub struct ReceiveCode {
    pub moment: Moment,
    /// The provider whose callback URL was called.
    pub provider_id: ProviderId,
    /// The hashes of the callback's `state`.
    pub state: TokenHashes,
    /// The hashes of all flow cookies that the browser sent; each of its requests has its own cookie.
    pub cookie: TokenHashes,
    /// The sealed authorization code of the provider, or the error for the recipient if the callback contains an error.
    pub result: Result<Vec<u8>, OAuthError>,
    /// The duration after which an exchange without a result counts as interrupted.
    pub exchange_timeout: Duration,
}

impl Command for ReceiveCode {
    type Reply = Result<SendToProviderOutcome, RequestStepError>;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let request = lock_request_by_state(tx, &self.state).await?;
        // A `state` is valid only at the callback of its own provider. Otherwise a provider could inject its code into
        // the flow of another one (mix-up attack, RFC 9700 section 4.4).
        let request = request.filter(|r| r.provider_id == self.provider_id);
        let from = [RequestStatus::AtProvider];
        let request = request.ok_or(RequestStepError::Unknown);
        let request = match request.and_then(|r| take_step(r, &from, &self.cookie, self.moment.now)) {
            Ok(request) => request,
            Err(error) => return Ok(Err(error)),
        };
        let may_continue = ensure_still_allowed(tx, &request).await?;
        match may_continue.as_ref().and(self.result.as_ref()) {
            Err(error) => fail_request(tx, &request.id, error),
            // The code is stored before it is sent, so that a job can recover the grant if this node crashes.
            Ok(code) => tx.defer(
                sql!(
                    "-- store a provider's code
                    UPDATE authorization_requests SET status = ?2, provider_code = ?3, exchange_until = ?4 WHERE id = ?1"
                ),
                values![
                    request.id,
                    RequestStatus::Exchanging,
                    code,
                    self.moment.now.plus(self.exchange_timeout)
                ],
            ),
        }
        Ok(Ok(SendToProviderOutcome { request, may_continue }))
    }
}

/// Records that the exchange of a provider's code failed, and queues the revocation of the tokens that it obtained.
/// Does nothing if the request is no longer being exchanged: the command that ended the exchange has already
/// handled the token and deleted the key.
#[derive(Debug)]
pub struct FailRequest {
    pub moment: Moment,
    pub request_id: AuthorizationRequestId,
    /// The error for the recipient.
    pub error: OAuthError,
    /// The tokens that the provider issued, if the exchange obtained any.
    pub unrevoked: Vec<UnrevokedToken>,
}

impl Command for FailRequest {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        let request = lock_request(tx, &self.request_id).await?;
        if let Some(request) = request.filter(|r| r.status == RequestStatus::Exchanging) {
            fail_request_and_revoke(tx, &self.moment, &request, &self.error, &self.unrevoked);
        }
        Ok(())
    }
}

/// Checks that the recipient may still connect to the provider. Locks the recipient in shared mode, so that it cannot
/// be suspended or removed between this check and the commit.
pub(super) async fn ensure_still_allowed(
    tx: &mut Tx<'_>,
    request: &AuthorizationRequest,
) -> Result<Result<(), OAuthError>> {
    let Some(client) = lock_client_shared(tx, &request.client_id).await? else {
        return Ok(Err(NOT_REGISTERED));
    };
    let provider = find_provider(tx, request.provider_id).await?;
    let registration = find_registration(tx, &client.id, request.provider_id).await?;
    Ok(ensure_may_continue(&client, provider.as_ref(), registration.as_ref(), &request.redirect_uri))
}

/// Fails a locked request and queues the revocation of the tokens that its exchange obtained.
pub(super) fn fail_request_and_revoke(
    tx: &mut Tx<'_>,
    moment: &Moment,
    request: &AuthorizationRequest,
    error: &OAuthError,
    unrevoked: &[UnrevokedToken],
) {
    fail_request(tx, &request.id, error);
    queue_orphaned_revocations(tx, moment, request, unrevoked);
}

/// The value that replaces the data key of a finished request.
pub(super) const EMPTY_KEY: [u8; 0] = [];

/// Fails a locked request. The error is stored, so that a repeated step sends it to the recipient again.
pub(super) fn fail_request(tx: &mut Tx<'_>, id: &AuthorizationRequestId, error: &OAuthError) {
    tx.defer(
        sql!(
            "-- fail an authorization request
            UPDATE authorization_requests SET status = ?2, verifier = NULL, provider_code = NULL, data_key = ?3,
                failure = ?4
            WHERE id = ?1"
        ),
        values![id, RequestStatus::Failed, EMPTY_KEY.to_vec(), error],
    );
}

/// Locks the row of a request. If there is none, the customer decides for the first time, and the row is inserted: the caller
/// stores the decision in the same transaction.
async fn lock_or_insert_request(
    tx: &mut Tx<'_>,
    request: &AuthorizationRequest,
    now: Timestamp,
) -> Result<Result<AuthorizationRequest, RequestStepError>> {
    if let Some(stored) = lock_request(tx, &request.id).await? {
        return Ok(Ok(stored));
    }
    // A row is stored for longer than its request is valid. Without this check, the cookie of a request whose row was deleted
    // could begin it again.
    if now >= request.expires_at {
        return Ok(Err(RequestStepError::Expired));
    }
    insert_request(tx, request).await?;
    // Of two parallel decisions only one inserts the row. The other one waits for its commit and then finds it here.
    lock_request(tx, &request.id).await?.map(Ok).ok_or(StoreError::Conflict)
}

async fn insert_request(tx: &mut Tx<'_>, r: &AuthorizationRequest) -> Result<()> {
    let covered = values![
        r.id,
        r.connection_id,
        r.client_id,
        r.provider_id,
        r.redirect_uri,
        r.clusters,
        r.client_state,
        r.code_challenge,
        r.cookie_hash,
        r.expires_at
    ];
    let mac = tx.compute_mac(&REQUEST_MAC, covered);
    let insert = sql!(
        "-- insert an authorization request
        INSERT INTO authorization_requests (id, connection_id, client_id, provider_id, redirect_uri, scope,
            client_state, code_challenge, language, status, cookie_hash, data_key, correlation_id,
            created_at, expires_at, mac)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
        ON CONFLICT (id) DO NOTHING"
    );
    let params = values![
        r.id,
        r.connection_id,
        r.client_id,
        r.provider_id,
        r.redirect_uri,
        r.clusters,
        r.client_state,
        r.code_challenge,
        r.language,
        RequestStatus::AwaitingConsent,
        r.cookie_hash,
        r.data_key,
        r.correlation_id,
        r.created_at,
        r.expires_at,
        mac
    ];
    tx.execute(insert, params).await.map(|_| ())
}

/// The statuses in which the customer can decide on the hub's page: a browser can go back to it from the provider.
const BEFORE_CALLBACK: [RequestStatus; 2] = [RequestStatus::AwaitingConsent, RequestStatus::AtProvider];

fn take_step(
    request: AuthorizationRequest,
    from: &[RequestStatus],
    cookie: &TokenHashes,
    now: Timestamp,
) -> Result<AuthorizationRequest, RequestStepError> {
    request.ensure_step_allowed(from, cookie, now).map(|()| request)
}
