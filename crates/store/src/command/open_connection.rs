//! The command that opens a connection: the provider has issued tokens, and the recipient gets a code that activates
//! the connection.

use domain::error::OAuthError;
use domain::id::{AuthorizationRequestId, ConnectionId, CustomerId};
use domain::model::audit_event::{Actor, AuditAction, AuditHead, SubjectKind};
use domain::model::authorization_request::{AuthorizationRequest, RequestStatus};
use domain::model::connection::{ConnectionStatus, Terms, UpstreamRevocation};
use domain::model::job::TokenType;
use domain::secret::TokenHash;
use domain::{Moment, Timestamp};
use serde_json::json;

use super::audit_entry::build_audit_entry;
use super::authorization_code::write_code;
use super::authorization_request::{EMPTY_KEY, ensure_still_allowed, fail_request_and_revoke};
use super::job_queue::UnrevokedToken;
use super::sealed_value::SealedValue;
use super::terms::write_terms;
use crate::entity::authorization_request::lock_request;
use crate::entity::connection::{CONNECTION_MAC, StoredTerms};
use crate::error::{Result, StoreError};
use crate::operation::Command;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// The version of the terms of a new connection.
const FIRST_TERMS: i64 = 1;
/// The generation of the access tokens of a new connection.
const FIRST_GENERATION: i64 = 1;

/// The tokens that the provider issued. Each is sealed under a key of its own, so that the end of the connection can keep the
/// keys of those that must be revoked and delete the others.
#[derive(Clone, Debug)]
pub struct SealedGrant {
    /// The keyed hash of the customer's identity; `None` if the provider does not identify its customers.
    pub identity: Option<Vec<u8>>,
    /// The provider's id of the grant, sealed with its key in front.
    pub grant_id: Option<Vec<u8>>,
    /// The hub's access token at the provider.
    pub access_token: SealedValue,
    pub access_expires_at: Timestamp,
    /// The refresh token, if the provider issued one.
    pub refresh_token: Option<SealedValue>,
}

impl SealedGrant {
    /// Returns the token with which the grant is revoked if no connection is opened: the refresh token or, if the provider
    /// issued none, the access token.
    pub fn to_unrevoked(&self) -> UnrevokedToken {
        let (token, token_type) = match &self.refresh_token {
            Some(token) => (token, TokenType::RefreshToken),
            None => (&self.access_token, TokenType::AccessToken),
        };
        let (token, identity) = (token.clone(), self.identity.clone());
        UnrevokedToken { token, token_type, grant_id: self.grant_id.clone(), identity, is_complete: true }
    }
}

/// Opens a pending connection for a request whose exchange succeeded.
#[derive(Debug)]
pub struct OpenConnection {
    pub moment: Moment,
    pub request_id: AuthorizationRequestId,
    /// The terms that the customer consented to.
    pub terms: Terms,
    /// The end of the connection, which is not later than that of the consent.
    pub expires_at: Timestamp,
    /// The consented accounts, sealed; `None` if the provider names none.
    pub accounts: Option<SealedValue>,
    pub grant: SealedGrant,
    /// The hash of the authorization code for the recipient.
    pub code_hash: TokenHash,
    pub code_expires_at: Timestamp,
}

/// The outcome of [`OpenConnection`]: a pending connection, or the error for the recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenOutcome {
    /// The connection is pending until the recipient redeems the code.
    Opened,
    /// The recipient is no longer allowed to connect; the revocation of the provider's grant is queued.
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
            // The recipient lost its permission in the meantime, so the new grant must not stay active at the provider.
            fail_request_and_revoke(tx, &self.moment, &request, &error, &[self.grant.to_unrevoked()]);
            return Ok(OpenOutcome::Refused(error));
        }
        let customer = self.find_or_create_customer(tx, &request).await?;
        let sub = find_or_create_subject(tx, &self.moment, &request, &customer).await?;
        self.write_connection(tx, &request, &customer, &sub);
        Ok(OpenOutcome::Opened)
    }
}

impl OpenConnection {
    /// Finds the customer by identity, or creates one. Without an identity, every connection gets its own customer.
    async fn find_or_create_customer(
        &self,
        tx: &mut Tx<'_>,
        request: &AuthorizationRequest,
    ) -> Result<CustomerId> {
        let new_id = tx.ids().mint::<CustomerId>();
        let insert = sql!(
            "-- create a customer
            INSERT INTO customers (id, provider_id, identity, created_at) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (provider_id, identity) DO NOTHING"
        );
        // The insert comes before the search, so that two concurrent requests of one customer cannot create two rows.
        let params = values![new_id, request.provider_id, self.grant.identity, self.moment.now];
        if tx.execute(insert, params).await? == 1 {
            return Ok(new_id);
        }
        let params = values![request.provider_id, self.grant.identity];
        tx.fetch_value(CUSTOMER_BY_IDENTITY, params, "id").await?.ok_or(StoreError::Conflict)
    }

    fn write_connection(
        &self,
        tx: &mut Tx<'_>,
        request: &AuthorizationRequest,
        customer: &CustomerId,
        sub: &str,
    ) {
        let id = &request.connection_id;
        let detail = json!({"client": request.client_id.as_str(), "provider": request.provider_id,
            "clusters": self.terms.clusters.to_string()});
        let subject = (SubjectKind::Connection, id);
        let action = AuditAction::ConnectionOpened;
        let entry = build_audit_entry(subject, &self.moment, action, Actor::customer(), &detail);
        let head = tx.audit(&AuditHead::default(), entry);
        let (accounts_key, accounts) = self.accounts.clone().map(|list| (list.key, list.sealed)).unzip();
        let refresh_key = self.grant.refresh_token.as_ref().map(|token| token.key.clone());
        let covered = values![
            id,
            request.client_id,
            request.provider_id,
            customer,
            sub,
            ConnectionStatus::Pending,
            FIRST_TERMS,
            FIRST_GENERATION,
            self.expires_at
        ];
        let mac = tx.compute_mac(&CONNECTION_MAC, covered);
        tx.defer(
            sql!(
                "-- open a connection
                INSERT INTO connections (id, client_id, provider_id, customer_id, sub, status, pending_until,
                    terms_version, token_generation, credential_version, expires_at, upstream_grant_id, access_key,
                    refresh_key, accounts_key, provider_revocation, recipient_notification, audit_head, created_at,
                    updated_at, mac)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?15, ?16, 1, ?8, ?9, ?10, ?11, ?18, ?12, 'none', ?13, ?14, ?14,
                    ?17)"
            ),
            values![
                id, request.client_id, request.provider_id, customer, sub, ConnectionStatus::Pending, self.code_expires_at,
                self.expires_at, self.grant.grant_id, self.grant.access_token.key, refresh_key,
                UpstreamRevocation::NotNeeded, head, self.moment.now, FIRST_TERMS, FIRST_GENERATION, mac,
                accounts_key
            ],
        );
        write_terms(tx, id, FIRST_TERMS, &StoredTerms { terms: self.terms.clone(), accounts });
        self.write_credential(tx, id);
        finish_request(tx, &request.id);
        write_code(tx, request, &self.code_hash, self.code_expires_at);
    }

    fn write_credential(&self, tx: &mut Tx<'_>, id: &ConnectionId) {
        let grant = &self.grant;
        let refresh_token = grant.refresh_token.as_ref().map(|token| token.sealed.clone());
        tx.defer(
            sql!(
                "-- store the upstream credential of a connection
                INSERT INTO upstream_credentials (connection_id, access_token, access_expires_at, refresh_token,
                    outcome_unknown, updated_at)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
            ),
            values![id, grant.access_token.sealed, grant.access_expires_at, refresh_token, false, self.moment.now],
        );
    }
}

static CUSTOMER_BY_IDENTITY: &Sql = sql!(
    "-- find a customer by identity
    SELECT id FROM customers WHERE provider_id = ?1 AND identity = ?2"
);

/// Finds the subject identifier by which the recipient knows the customer, or creates one. It never changes, so that the
/// recipient recognizes the customer in later connections.
async fn find_or_create_subject(
    tx: &mut Tx<'_>,
    moment: &Moment,
    request: &AuthorizationRequest,
    customer: &CustomerId,
) -> Result<String> {
    let new_sub = tx.ids().random_uuid().to_string();
    let insert = sql!(
        "-- create a subject identifier
        INSERT INTO subject_identifiers (client_id, customer_id, sub, created_at) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (client_id, customer_id) DO NOTHING"
    );
    if tx.execute(insert, values![request.client_id, customer, new_sub, moment.now]).await? == 1 {
        return Ok(new_sub);
    }
    let params = values![request.client_id, customer];
    tx.fetch_value(SUBJECT_IDENTIFIER, params, "sub").await?.ok_or(StoreError::Conflict)
}

fn finish_request(tx: &mut Tx<'_>, id: &AuthorizationRequestId) {
    tx.defer(
        sql!(
            "-- finish an authorization request
            UPDATE authorization_requests SET status = ?2, verifier = NULL, provider_code = NULL, data_key = ?3
            WHERE id = ?1"
        ),
        values![id, RequestStatus::Connected, EMPTY_KEY.to_vec()],
    );
}

static SUBJECT_IDENTIFIER: &Sql = sql!(
    "-- find a subject identifier
    SELECT sub FROM subject_identifiers WHERE client_id = ?1 AND customer_id = ?2"
);

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[CUSTOMER_BY_IDENTITY, SUBJECT_IDENTIFIER];
