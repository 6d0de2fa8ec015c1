//! The provider agreed: a pending connection, and the code that activates it.

use domain::error::OAuthError;
use domain::id::{AuthorizationRequestId, ConnectionId, CustomerId};
use domain::model::audit_event::{Actor, AuditAction, AuditHead, SubjectKind};
use domain::model::authorization_request::{AuthorizationRequest, RequestStatus};
use domain::model::connection::{ConnectionStatus, Terms, UpstreamRevocation};
use domain::secret::TokenHash;
use domain::{Moment, Timestamp};
use serde_json::json;

use super::authorization_request::{
    EMPTY_KEY, UnrevokedToken, ensure_still_allowed, fail_request_and_revoke,
};
use super::build_audit_entry;
use crate::Command;
use crate::error::{Result, StoreError};
use crate::record::{lock_request, read_scalar};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{to_json, values};

/// What the provider gave, sealed under the request's key.
#[derive(Debug)]
pub struct SealedGrant {
    /// The keyed hash of the customer's identity; absent where the provider names nobody.
    pub identity: Option<Vec<u8>>,
    /// The provider's name of the grant.
    pub grant_id: Option<String>,
    /// The sealed access token.
    pub access_token: Vec<u8>,
    /// When the access token dies.
    pub access_expires_at: Timestamp,
    /// The sealed refresh token.
    pub refresh_token: Option<Vec<u8>>,
}

/// Opens a pending connection from a request whose exchange succeeded.
#[derive(Debug)]
pub struct OpenConnection {
    /// When.
    pub moment: Moment,
    /// The request.
    pub request_id: AuthorizationRequestId,
    /// What the customer agreed to.
    pub terms: Terms,
    /// What the provider gave.
    pub grant: SealedGrant,
    /// How the recipient's code is remembered.
    pub code_hash: TokenHash,
    /// When the code dies.
    pub code_expires_at: Timestamp,
}

/// What opening comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenOutcome {
    /// The connection waits for the exchange of its code.
    Opened,
    /// The recipient may no longer connect: what is in hand is being revoked at the provider.
    Refused(OAuthError),
}

impl Command for OpenConnection {
    type Reply = OpenOutcome;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<OpenOutcome> {
        let request = lock_request(tx, &self.request_id).await?;
        let request = request.filter(|r| r.status == RequestStatus::Exchanging);
        let request =
            request.ok_or_else(|| StoreError::Internal("the request is not being exchanged".into()))?;
        if let Err(error) = ensure_still_allowed(tx, &request).await? {
            let identity = self.grant.identity.clone();
            let unrevoked = self.grant.refresh_token.clone().map(|token| UnrevokedToken { token, identity });
            fail_request_and_revoke(tx, &self.moment, &request, unrevoked);
            return Ok(OpenOutcome::Refused(error));
        }
        let customer = self.find_or_create_customer(tx, &request).await?;
        let sub = find_or_create_subject(tx, &self.moment, &request, &customer).await?;
        self.write_connection(tx, &request, &customer, &sub)?;
        Ok(OpenOutcome::Opened)
    }
}

impl OpenConnection {
    /// The customer of this identity at this provider; a new one where there is none, or no identity.
    async fn find_or_create_customer(
        &self,
        tx: &mut Tx<'_>,
        request: &AuthorizationRequest,
    ) -> Result<CustomerId> {
        let minted = tx.ids().mint::<CustomerId>();
        let insert = sql!(
            "-- remember a customer
            INSERT INTO customers (id, provider_id, identity, created_at) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (provider_id, identity) DO NOTHING"
        );
        let params = values![minted, request.provider_id, self.grant.identity, self.moment.now];
        if tx.execute(insert, params).await? == 1 {
            return Ok(minted);
        }
        let known =
            tx.query_opt(CUSTOMER_BY_IDENTITY, values![request.provider_id, self.grant.identity]).await?;
        read_scalar(known)?.ok_or(StoreError::Conflict)
    }

    fn write_connection(
        &self,
        tx: &mut Tx<'_>,
        request: &AuthorizationRequest,
        customer: &CustomerId,
        sub: &str,
    ) -> Result<()> {
        let id = &request.connection_id;
        let detail = json!({"client": request.client_id.as_str(), "provider": request.provider_id,
            "clusters": self.terms.clusters.to_string()});
        let subject = (SubjectKind::Connection, id);
        let entry = build_audit_entry(
            subject,
            &self.moment,
            AuditAction::ConnectionOpened,
            Actor::customer(),
            &detail,
        );
        let head = tx.audit(&AuditHead::default(), entry);
        tx.defer(
            sql!(
                "-- open a connection
                INSERT INTO connections (id, client_id, provider_id, customer_id, sub, status, pending_until,
                    terms_version, token_generation, credential_version, expires_at, upstream_grant_id, data_key,
                    provider_revocation, recipient_notification, audit_seq, audit_mac, created_at, updated_at)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, 1, 1, ?8, ?9, ?10, ?11, 'none', ?12, ?13, ?14, ?14)"
            ),
            values![
                id, request.client_id, request.provider_id, customer, sub, ConnectionStatus::Pending, self.code_expires_at,
                self.terms.expires_at, self.grant.grant_id, request.data_key, UpstreamRevocation::NotNeeded, head.seq,
                head.mac, self.moment.now
            ],
        );
        self.write_terms(tx, id)?;
        self.write_credential(tx, id);
        self.write_code(tx, request);
        Ok(())
    }

    fn write_terms(&self, tx: &mut Tx<'_>, id: &ConnectionId) -> Result<()> {
        let terms = &self.terms;
        let accounts = terms.accounts.as_ref().map(to_json).transpose()?;
        tx.defer(
            sql!(
                "-- what the customer agreed to
                INSERT INTO connection_terms (connection_id, version, clusters, accounts, purpose, language,
                    page_version, expires_at, agreed_at)
                VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
            ),
            values![
                id,
                terms.clusters,
                accounts,
                terms.purpose,
                terms.language,
                terms.page_version,
                terms.expires_at,
                terms.agreed_at
            ],
        );
        Ok(())
    }

    fn write_credential(&self, tx: &mut Tx<'_>, id: &ConnectionId) {
        let grant = &self.grant;
        tx.defer(
            sql!(
                "-- keep the provider's tokens
                INSERT INTO upstream_credentials (connection_id, access_token, access_expires_at, refresh_token,
                    outcome_unknown, updated_at)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
            ),
            values![id, grant.access_token, grant.access_expires_at, grant.refresh_token, false, self.moment.now],
        );
    }

    fn write_code(&self, tx: &mut Tx<'_>, request: &AuthorizationRequest) {
        tx.defer(
            sql!(
                "-- issue an authorization code
                INSERT INTO authorization_codes (code_hash, connection_id, client_id, redirect_uri, code_challenge,
                    expires_at)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
            ),
            values![
                self.code_hash, request.connection_id, request.client_id, request.redirect_uri,
                request.code_challenge, self.code_expires_at
            ],
        );
        tx.defer(
            sql!(
                "-- a connection came of a request, and has its key
                UPDATE authorization_requests SET status = ?2, verifier = NULL, provider_code = NULL, data_key = ?3
                WHERE id = ?1"
            ),
            values![request.id, RequestStatus::Connected, EMPTY_KEY.to_vec()],
        );
    }
}

pub(crate) static CUSTOMER_BY_IDENTITY: &Sql = sql!(
    "-- a customer by identity
    SELECT id FROM customers WHERE provider_id = ?1 AND identity = ?2"
);

/// The customer's name towards this recipient: made once, the same ever after.
async fn find_or_create_subject(
    tx: &mut Tx<'_>,
    moment: &Moment,
    request: &AuthorizationRequest,
    customer: &CustomerId,
) -> Result<String> {
    let minted = tx.ids().random_uuid().to_string();
    let insert = sql!(
        "-- name a customer towards a recipient
        INSERT INTO subject_identifiers (client_id, customer_id, sub, created_at) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (client_id, customer_id) DO NOTHING"
    );
    if tx.execute(insert, values![request.client_id, customer, minted, moment.now]).await? == 1 {
        return Ok(minted);
    }
    read_scalar(tx.query_opt(SUBJECT_OF_CUSTOMER, values![request.client_id, customer]).await?)?
        .ok_or(StoreError::Conflict)
}

pub(crate) static SUBJECT_OF_CUSTOMER: &Sql = sql!(
    "-- a customer's name towards a recipient
    SELECT sub FROM subject_identifiers WHERE client_id = ?1 AND customer_id = ?2"
);
