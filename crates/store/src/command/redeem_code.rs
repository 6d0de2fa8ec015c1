//! The redemption of an authorization code: it activates the connection, which replaces an older one of the same customer.

use domain::error::OAuthError;
use domain::id::ClientId;
use domain::model::audit_event::{Actor, ActorKind, AuditAction, AuditHead, SubjectKind};
use domain::model::authorization_code::AuthorizationCode;
use domain::model::connection::{Connection, ConnectionState, ConnectionStatus, EndCause};
use domain::model::provider::GrantScope;
use domain::rule::access::AccessState;
use domain::rule::authorization_code::{Redemption, redeem};
use domain::rule::authorize::ensure_may_redeem;
use domain::rule::token::BAD_CODE;
use domain::secret::{TokenHash, TokenHashes};
use domain::{Moment, Secret, Timestamp};
use serde_json::json;

use super::audit_entry::{append_to_connection, build_audit_entry};
use super::end_connection::{EndOutcome, EndReason, end_locked_connection};
use crate::deferred_statement::{DeferredStatement, StatementGroup};
use crate::entity::access_state::{announce_access_state, find_access_state};
use crate::entity::authorization_code::{announce_code, find_code};
use crate::entity::client::{announce_client, find_client};
use crate::entity::connection::{
    announce_locks_of_customer, compute_connection_mac, lock_active_connection, lock_connection_of_code,
    lock_customer,
};
use crate::entity::provider::{announce_provider, find_provider};
use crate::entity::refresh_token::REFRESH_TOKEN_MAC;
use crate::entity::registration::{announce_registration, find_registration};
use crate::error::{Result, StoreError};
use crate::operation::Command;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// Redeems an authorization code (RFC 6749 section 4.1.3). A second use by the same client ends the connection.
#[derive(Debug)]
pub struct RedeemCode {
    pub moment: Moment,
    /// The client that presents the code and was authenticated.
    pub client_id: ClientId,
    /// The hashes of the presented code.
    pub code: TokenHashes,
    /// The redirect URI in the token request, which must equal that of the authorization request.
    pub redirect_uri: String,
    /// The PKCE verifier in the token request, if it has one.
    pub verifier: Option<Secret<String>>,
    /// The hash of the new refresh token.
    pub refresh_hash: TokenHash,
}

/// The outcome of [`RedeemCode`]: an active connection, or the error for the client.
#[derive(Debug)]
pub enum RedeemOutcome {
    /// The connection is active. The first access token is created from the access state.
    Activated(Box<AccessState>),
    /// The code was rejected with this error, and no tokens were issued.
    Refused(OAuthError),
}

impl Command for RedeemCode {
    /// The outcome, and the cause of the end if a connection was ended: the connection of the code, or the one that it
    /// replaces.
    type Reply = (RedeemOutcome, Option<EndCause>);

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let Some((hash, connection)) = self.lock_code_connection(tx).await? else {
            return Ok((RedeemOutcome::Refused(BAD_CODE), None));
        };
        self.announce_reads(tx, &hash, &connection);
        let code = find_code(tx, &hash).await?.ok_or(StoreError::Conflict)?;
        if code.connection_id != connection.id {
            return Err(StoreError::Conflict);
        }
        let verifier = self.verifier.as_ref().map(|v| v.expose().as_str());
        match redeem(&code, &self.client_id, &self.redirect_uri, verifier, self.moment.now) {
            Redemption::Rejected { error, suspicious } => {
                if suspicious {
                    self.record_rejected_code(tx, &connection);
                }
                Ok((RedeemOutcome::Refused(error), None))
            }
            Redemption::Replayed => {
                // RFC 6749 section 4.1.2: a code that is used twice may have been stolen, so its tokens are revoked.
                let reason = EndReason::new(&self.moment, EndCause::CodeReplayed, self.actor());
                let ended =
                    matches!(end_locked_connection(tx, &connection, &reason).await?, EndOutcome::Ended(_));
                Ok((RedeemOutcome::Refused(BAD_CODE), ended.then_some(EndCause::CodeReplayed)))
            }
            Redemption::FirstUse => self.activate(tx, &hash, &code, &connection).await,
        }
    }
}

/// The length at which an audit chain gets no more events for rejected codes. Chains are kept permanently, and a client
/// with a used code could let one grow without limit.
const MAX_EVENTS_FOR_REJECTED_CODES: i64 = 50;

impl RedeemCode {
    fn actor(&self) -> Actor {
        Actor::new(ActorKind::Recipient, self.client_id.as_str())
    }

    /// Locks the connection that the code belongs to. The caller must then read the code, because every command that marks a
    /// code as used does so under this lock.
    async fn lock_code_connection(&self, tx: &mut Tx<'_>) -> Result<Option<(TokenHash, Connection)>> {
        for hash in self.code.iter() {
            if let Some(connection) = lock_connection_of_code(tx, hash).await? {
                return Ok(Some((hash.clone(), connection)));
            }
        }
        Ok(None)
    }

    /// Announces what is read of a code that is used for the first time.
    fn announce_reads(&self, tx: &mut Tx<'_>, code: &TokenHash, connection: &Connection) {
        announce_code(tx, code);
        announce_access_state(tx, &connection.id);
        announce_client(tx, &self.client_id);
        announce_provider(tx, connection.provider_id);
        announce_registration(tx, &self.client_id, connection.provider_id);
    }

    /// Records that a code was rejected as suspicious, unless the audit chain of the connection is too long.
    fn record_rejected_code(&self, tx: &mut Tx<'_>, connection: &Connection) {
        if connection.audit.seq >= MAX_EVENTS_FOR_REJECTED_CODES {
            return;
        }
        let subject = (SubjectKind::Connection, &connection.id);
        let detail = json!({"client": self.client_id.as_str()});
        let action = AuditAction::CodeRejected;
        let entry = build_audit_entry(subject, &self.moment, action, self.actor(), &detail);
        append_to_connection(tx, connection, entry);
    }

    async fn activate(
        &self,
        tx: &mut Tx<'_>,
        hash: &TokenHash,
        code: &AuthorizationCode,
        connection: &Connection,
    ) -> Result<(RedeemOutcome, Option<EndCause>)> {
        if !matches!(connection.state, ConnectionState::Pending { .. }) {
            return Ok((RedeemOutcome::Refused(BAD_CODE), None));
        }
        let state = find_access_state(tx, &connection.id).await?.ok_or(StoreError::Conflict)?;
        let grant = match self.ensure_still_allowed(tx, code, &state).await? {
            Ok(grant) => grant,
            Err(error) => return Ok((RedeemOutcome::Refused(error), None)),
        };
        if grant == GrantScope::PerClientCustomer {
            // With shared grants, an end locks its connection before the customer. This exchange must lock in the same
            // order, or it could deadlock with an end of the older connection.
            lock_active_connection(tx, connection).await?;
        }
        announce_locks_of_customer(tx, connection);
        // This lock serializes the exchanges of a customer. The older connection is searched again under the lock,
        // because another exchange may have activated one.
        lock_customer(tx, &connection.customer_id).await?;
        let older = lock_active_connection(tx, connection).await?;
        let replaced = older.as_ref().map(|_| EndCause::Replaced);
        if let Some(older) = older {
            let reason = EndReason::for_replacement(&self.moment, self.actor(), &connection.id);
            end_locked_connection(tx, &older, &reason).await?;
        }
        let detail = json!({"client": self.client_id.as_str()});
        let subject = (SubjectKind::Connection, &connection.id);
        let action = AuditAction::ConnectionActivated;
        let entry = build_audit_entry(subject, &self.moment, action, self.actor(), &detail);
        let head = tx.audit(&connection.audit, entry);
        self.write_activation(tx, hash, connection, &head);
        // The state was read before the activation, which is written with the commit.
        let state = Box::new(AccessState { status: ConnectionStatus::Active, ..state });
        Ok((RedeemOutcome::Activated(state), replaced))
    }

    async fn ensure_still_allowed(
        &self,
        tx: &mut Tx<'_>,
        code: &AuthorizationCode,
        state: &AccessState,
    ) -> Result<Result<GrantScope, OAuthError>> {
        let Some(client) = find_client(tx, &self.client_id).await? else {
            return Ok(Err(BAD_CODE));
        };
        let provider = find_provider(tx, state.provider_id).await?;
        let registration = find_registration(tx, &client.id, state.provider_id).await?;
        let grant = provider.as_ref().map(|p| p.settings.grant_scope).unwrap_or_default();
        let (provider, registration) = (provider.as_ref(), registration.as_ref());
        let allowed = ensure_may_redeem(&client, provider, registration, &code.redirect_uri, state.clusters);
        Ok(allowed.map(|()| grant))
    }

    fn write_activation(&self, tx: &mut Tx<'_>, code: &TokenHash, connection: &Connection, head: &AuditHead) {
        let (id, now): (_, Timestamp) = (&connection.id, self.moment.now);
        let mac = compute_connection_mac(tx, connection, ConnectionStatus::Active);
        let token_mac = tx.compute_mac(&REFRESH_TOKEN_MAC, values![self.refresh_hash, id, self.client_id]);
        let newest = values![connection.client_id, connection.provider_id, connection.customer_id, id];
        let token = values![self.refresh_hash, id, self.client_id, now, token_mac];
        let activated = values![id, ConnectionStatus::Active, now, head, self.refresh_hash, mac];
        let statements = vec![
            DeferredStatement::Single(MARK_CODE, values![code, now].to_vec()),
            DeferredStatement::Single(RECORD_NEWEST_CONNECTION, newest.to_vec()),
            DeferredStatement::Single(ISSUE_REFRESH_TOKEN, token.to_vec()),
            DeferredStatement::Single(ACTIVATE_CONNECTION, activated.to_vec()),
        ];
        tx.defer_group(&ACTIVATION, statements);
    }
}

static ACTIVATION: StatementGroup =
    StatementGroup::new(&[MARK_CODE, RECORD_NEWEST_CONNECTION, ISSUE_REFRESH_TOKEN, ACTIVATE_CONNECTION]);

static MARK_CODE: &Sql =
    sql!("-- mark a code as used\nUPDATE authorization_codes SET used_at = ?2 WHERE code_hash = ?1");

static RECORD_NEWEST_CONNECTION: &Sql = sql!(
    "-- record which connection was activated last
    INSERT INTO newest_connections (client_id, provider_id, customer_id, connection_id)
    VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (client_id, provider_id, customer_id) DO UPDATE SET connection_id = excluded.connection_id"
);

static ISSUE_REFRESH_TOKEN: &Sql = sql!(
    "-- issue a refresh token
    INSERT INTO refresh_tokens (token_hash, connection_id, client_id, issued_at, last_used_at, mac)
    VALUES (?1, ?2, ?3, ?4, ?4, ?5)"
);

static ACTIVATE_CONNECTION: &Sql = sql!(
    "-- activate a connection
    UPDATE connections SET status = ?2, pending_until = NULL, activated_at = ?3, updated_at = ?3,
        audit_head = ?4, refresh_token_hash = ?5, mac = ?6
    WHERE id = ?1 AND status = 'pending'"
);
