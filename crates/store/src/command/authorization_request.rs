//! The steps of an authorization request up to the provider's answer.

use std::time::Duration;

use domain::error::OAuthError;
use domain::id::{AuthorizationRequestId, ProviderId};
use domain::model::authorization_request::{AuthorizationRequest, RequestStatus, RequestStepError};
use domain::model::job::JobKind;
use domain::rule::authorize::ensure_may_continue;
use domain::secret::{TokenHash, TokenHashes};
use domain::{Moment, Timestamp};

use super::end_connection::{SealedToken, queue_job};
use crate::Command;
use crate::error::Result;
use crate::record::{
    LOCK_REQUEST_BY_STATE, find_provider, find_registration, find_request_by_state, lock_client_shared,
    lock_request,
};
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::values;

/// Keeps a request whose consent page is about to be shown.
#[derive(Debug)]
pub struct OpenAuthorizationRequest {
    /// When.
    pub moment: Moment,
    /// The request.
    pub request: AuthorizationRequest,
}

impl Command for OpenAuthorizationRequest {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        let r = &self.request;
        tx.defer(
            sql!(
                "-- open an authorization request
                INSERT INTO authorization_requests (id, connection_id, client_id, provider_id, redirect_uri, scope,
                    client_state, code_challenge, language, status, cookie_hash, data_key, correlation_id,
                    created_at, expires_at)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)"
            ),
            values![
                r.id, r.connection_id, r.client_id, r.provider_id, r.redirect_uri, r.clusters, r.client_state,
                r.code_challenge, r.language, r.status, r.cookie_hash, r.data_key, r.correlation_id, r.created_at,
                r.expires_at
            ],
        );
        Ok(())
    }
}

/// The customer agreed on the hub's page and is sent to the provider.
#[derive(Debug)]
pub struct SendToProvider {
    /// When.
    pub moment: Moment,
    /// Which request.
    pub request_id: AuthorizationRequestId,
    /// The browser's flow cookie.
    pub cookie: TokenHashes,
    /// How the `state` towards the provider is remembered.
    pub state_hash: TokenHash,
    /// The sealed PKCE verifier towards the provider.
    pub verifier: Vec<u8>,
    /// The purpose that was shown.
    pub purpose: String,
    /// Which page text was shown.
    pub page_version: String,
}

/// A request that has taken a step.
#[derive(Debug)]
pub struct SendToProviderOutcome {
    /// The request as it was before.
    pub request: AuthorizationRequest,
    /// Whether it goes on; nothing comes of it if not.
    pub may_continue: Result<(), OAuthError>,
}

impl Command for SendToProvider {
    type Reply = Result<SendToProviderOutcome, RequestStepError>;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let request = lock_request(tx, &self.request_id).await?;
        let request = match take_step(request, RequestStatus::AwaitingConsent, &self.cookie, self.moment.now)
        {
            Ok(request) => request,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let may_continue = ensure_still_allowed(tx, &request).await?;
        if may_continue.is_err() {
            fail_request(tx, &request.id);
            return Ok(Ok(SendToProviderOutcome { request, may_continue }));
        }
        tx.defer(
            sql!(
                "-- the customer agreed
                UPDATE authorization_requests SET status = ?2, state_hash = ?3, verifier = ?4, purpose = ?5,
                    page_version = ?6, agreed_at = ?7
                WHERE id = ?1"
            ),
            values![
                request.id,
                RequestStatus::AtProvider,
                self.state_hash,
                self.verifier,
                self.purpose,
                self.page_version,
                self.moment.now
            ],
        );
        Ok(Ok(SendToProviderOutcome { request, may_continue }))
    }
}

/// The customer declined on the hub's page.
#[derive(Debug)]
pub struct DenyRequest {
    /// When.
    pub moment: Moment,
    /// Which request.
    pub request_id: AuthorizationRequestId,
    /// The browser's flow cookie.
    pub cookie: TokenHashes,
}

impl Command for DenyRequest {
    type Reply = Result<AuthorizationRequest, RequestStepError>;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let request = lock_request(tx, &self.request_id).await?;
        let request = take_step(request, RequestStatus::AwaitingConsent, &self.cookie, self.moment.now);
        if let Ok(request) = &request {
            fail_request(tx, &request.id);
        }
        Ok(request)
    }
}

/// The provider sent the browser back: its `state` works once, in the browser that began.
#[derive(Debug)]
pub struct ReceiveCode {
    /// When.
    pub moment: Moment,
    /// The provider whose callback was called.
    pub provider_id: ProviderId,
    /// The `state` of the callback.
    pub state: TokenHashes,
    /// The browser's flow cookies: one a request, this one's is among them or not.
    pub cookie: TokenHashes,
    /// The provider's code, sealed; absent if it sent an error.
    pub provider_code: Option<Vec<u8>>,
    /// How long its exchange may be under way: one that takes longer has died.
    pub exchange_timeout: Duration,
}

impl Command for ReceiveCode {
    type Reply = Result<SendToProviderOutcome, RequestStepError>;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let request = find_request_by_state(tx, LOCK_REQUEST_BY_STATE, &self.state).await?;
        let request = request.filter(|r| r.provider_id == self.provider_id);
        let request = match take_step(request, RequestStatus::AtProvider, &self.cookie, self.moment.now) {
            Ok(request) => request,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let may_continue = ensure_still_allowed(tx, &request).await?;
        match self.provider_code.as_ref().filter(|_| may_continue.is_ok()) {
            None => fail_request(tx, &request.id),
            Some(code) => tx.defer(
                sql!(
                    "-- a provider's code is in hand
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

/// Nothing came of an exchange. What is in hand is revoked at the provider. A request that is not being exchanged any
/// more stays as it is: whoever ended it has seen to what was in hand, and its key is gone.
#[derive(Debug)]
pub struct FailRequest {
    /// When.
    pub moment: Moment,
    /// Which request.
    pub request_id: AuthorizationRequestId,
    /// What the provider gave, if it got that far.
    pub unrevoked: Option<UnrevokedToken>,
}

/// What a provider gave that no connection came of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnrevokedToken {
    /// The sealed refresh token.
    pub token: Vec<u8>,
    /// The keyed hash of the customer's identity, if the provider said whose it is.
    pub identity: Option<Vec<u8>>,
}

impl Command for FailRequest {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        let request = lock_request(tx, &self.request_id).await?;
        if let Some(request) = request.filter(|r| r.status == RequestStatus::Exchanging) {
            fail_request_and_revoke(tx, &self.moment, &request, self.unrevoked.clone());
        }
        Ok(())
    }
}

/// Whether a request may go on, as things stand now.
pub(super) async fn ensure_still_allowed(
    tx: &mut Tx<'_>,
    request: &AuthorizationRequest,
) -> Result<Result<(), OAuthError>> {
    let Some(client) = lock_client_shared(tx, &request.client_id).await? else {
        return Ok(Err(domain::rule::authorize::NOT_REGISTERED));
    };
    let provider = find_provider(tx, request.provider_id).await?;
    let registration = find_registration(tx, &client.id, request.provider_id).await?;
    Ok(ensure_may_continue(&client, provider.as_ref(), registration.as_ref(), &request.redirect_uri))
}

/// Fails a locked request and queues the revocation of what is in hand.
pub(super) fn fail_request_and_revoke(
    tx: &mut Tx<'_>,
    moment: &Moment,
    request: &AuthorizationRequest,
    unrevoked: Option<UnrevokedToken>,
) {
    fail_request(tx, &request.id);
    if let Some(UnrevokedToken { token, identity }) = unrevoked {
        let sealed = SealedToken { identity, ..SealedToken::new(request.data_key.clone(), token) };
        queue_job(tx, moment, JobKind::RevokeOrphanedGrant, request, sealed);
    }
}

/// What a request has for a key when it is over: the connection's must die with the connection.
pub(super) const EMPTY_KEY: [u8; 0] = [];

pub(super) fn fail_request(tx: &mut Tx<'_>, id: &AuthorizationRequestId) {
    tx.defer(
        sql!(
            "-- nothing comes of a request
            UPDATE authorization_requests SET status = ?2, verifier = NULL, provider_code = NULL, data_key = ?3
            WHERE id = ?1"
        ),
        values![id, RequestStatus::Failed, EMPTY_KEY.to_vec()],
    );
}

fn take_step(
    request: Option<AuthorizationRequest>,
    from: RequestStatus,
    cookie: &TokenHashes,
    now: Timestamp,
) -> Result<AuthorizationRequest, RequestStepError> {
    let request = request.ok_or(RequestStepError::Unknown)?;
    request.ensure_step_allowed(from, cookie, now).map(|()| request)
}
