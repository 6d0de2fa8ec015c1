//! The exchange: a code becomes an active connection, and an older one of the same customer gives way.

use domain::error::OAuthError;
use domain::id::ClientId;
use domain::model::audit_event::{Action, Actor, ActorKind, AuditHead, SubjectKind};
use domain::model::connection::{Cause, Connection, State, Status};
use domain::model::provider::BankGrant;
use domain::rule::access::AccessState;
use domain::rule::authorize::may_connect;
use domain::rule::redeem::{Redemption, redeem};
use domain::rule::token::BAD_CODE;
use domain::secret::{TokenHash, TokenHashes};
use domain::{Moment, Secret, Timestamp};
use serde_json::json;

use super::end_connection::{EndOutcome, LOCK_CUSTOMER, Reason, end};
use super::entry;
use crate::Command;
use crate::error::{Result, StoreError};
use crate::record::{access_state, client, code, lock_active, lock_connection, provider, registration};
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::values;

/// Redeems a code (RFC 6749 §4.1.3). A rightful second use ends the connection.
#[derive(Debug)]
pub struct RedeemCode {
    /// When.
    pub moment: Moment,
    /// The authenticated client.
    pub client_id: ClientId,
    /// The presented code.
    pub code: TokenHashes,
    /// The presented redirect URI.
    pub redirect_uri: String,
    /// The presented PKCE verifier.
    pub verifier: Option<Secret<String>>,
    /// How the new refresh token is remembered.
    pub refresh_hash: TokenHash,
}

/// What an exchange comes to.
#[derive(Debug)]
pub enum Redeemed {
    /// The connection is active; what the access check needs to know to mint for it.
    Activated(Box<AccessState>),
    /// Nothing was issued.
    Refused(OAuthError),
}

impl Command for RedeemCode {
    /// With the cause of the end that came along, if one did.
    type Reply = (Redeemed, Option<Cause>);

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let Some((hash, connection)) = self.lock(tx).await? else {
            return Ok((Redeemed::Refused(BAD_CODE), None));
        };
        let code = code(tx, &hash).await?.ok_or(StoreError::Race)?;
        let verifier = self.verifier.as_ref().map(|v| v.expose().as_str());
        match redeem(&code, &self.client_id, &self.redirect_uri, verifier, self.moment.now) {
            Redemption::Refused { error, suspicious } => {
                if suspicious {
                    self.suspect(tx, &connection);
                }
                Ok((Redeemed::Refused(error), None))
            }
            Redemption::Replayed => {
                let reason = Reason::new(&self.moment, Cause::CodeReplayed, self.actor());
                let ended = end(tx, &connection, &reason).await? == EndOutcome::Ended;
                Ok((Redeemed::Refused(BAD_CODE), ended.then_some(Cause::CodeReplayed)))
            }
            Redemption::Fresh => self.activate(tx, &hash, &connection).await,
        }
    }
}

/// Events after which refused codes are not added to a chain any more: a chain is kept for good, and whoever has a
/// code that was used could make it grow without end.
const MOST_TRACES: i64 = 50;

impl RedeemCode {
    fn actor(&self) -> Actor {
        Actor::new(ActorKind::Recipient, self.client_id.as_str())
    }

    /// The code's connection, locked before the code is read.
    async fn lock(&self, tx: &mut Tx<'_>) -> Result<Option<(TokenHash, Connection)>> {
        for hash in self.code.iter() {
            if let Some(code) = code(tx, hash).await? {
                let connection = lock_connection(tx, &code.connection_id).await?;
                return Ok(connection.map(|c| (hash.clone(), c)));
            }
        }
        Ok(None)
    }

    /// A used or foreign code leaves a trace with the connection it was for: a few dozen times, and not for ever.
    fn suspect(&self, tx: &mut Tx<'_>, connection: &Connection) {
        if connection.audit.seq >= MOST_TRACES {
            return;
        }
        let subject = (SubjectKind::Connection, &connection.id);
        let detail = json!({"client": self.client_id.as_str()});
        let entry = entry(subject, &self.moment, Action::CodeRefused, self.actor(), &detail);
        let head = tx.audit(&connection.audit, entry);
        tx.defer(
            sql!("-- a connection's chain grows\nUPDATE connections SET audit_seq = ?2, audit_mac = ?3 WHERE id = ?1"),
            values![connection.id, head.seq, head.mac],
        );
    }

    async fn activate(
        &self,
        tx: &mut Tx<'_>,
        code: &TokenHash,
        connection: &Connection,
    ) -> Result<(Redeemed, Option<Cause>)> {
        if !matches!(connection.state, State::Pending { .. }) {
            return Ok((Redeemed::Refused(BAD_CODE), None));
        }
        let grant = match self.still_allowed(tx, connection).await? {
            Ok(grant) => grant,
            Err(error) => return Ok((Redeemed::Refused(error), None)),
        };
        if grant == BankGrant::PerClientCustomer {
            // An end there locks its connection before the customer: in the same order nobody waits in a circle.
            lock_active(tx, connection).await?;
        }
        // Two exchanges of one customer wait for each other here.
        tx.query_opt(LOCK_CUSTOMER, values![connection.customer_id]).await?;
        let older = lock_active(tx, connection).await?;
        let replaced = older.as_ref().map(|_| Cause::Replaced);
        if let Some(older) = older {
            end(tx, &older, &Reason::replaced_by(&self.moment, self.actor(), &connection.id)).await?;
        }
        let state = access_state(tx, &connection.id).await?.ok_or(StoreError::Race)?;
        let detail = json!({"client": self.client_id.as_str()});
        let subject = (SubjectKind::Connection, &connection.id);
        let entry = entry(subject, &self.moment, Action::ConnectionActivated, self.actor(), &detail);
        let head = tx.audit(&connection.audit, entry);
        self.write(tx, code, connection, &head);
        let state = Box::new(AccessState { status: Status::Active, ..state });
        Ok((Redeemed::Activated(state), replaced))
    }

    async fn still_allowed(
        &self,
        tx: &mut Tx<'_>,
        connection: &Connection,
    ) -> Result<Result<BankGrant, OAuthError>> {
        let Some(client) = client(tx, &self.client_id).await? else {
            return Ok(Err(BAD_CODE));
        };
        let provider = provider(tx, connection.provider_id).await?;
        let registration = registration(tx, &client.id, connection.provider_id).await?;
        let grant = provider.as_ref().map(|p| p.settings.bank_grant).unwrap_or_default();
        Ok(may_connect(&client, provider.as_ref(), registration.as_ref()).map(|()| grant))
    }

    fn write(&self, tx: &mut Tx<'_>, code: &TokenHash, connection: &Connection, head: &AuditHead) {
        let (id, now): (_, Timestamp) = (&connection.id, self.moment.now);
        tx.defer(
            sql!("-- a code is used\nUPDATE authorization_codes SET used_at = ?2 WHERE code_hash = ?1"),
            values![code, now],
        );
        tx.defer(
            sql!(
                "-- activate a connection
                UPDATE connections SET status = ?2, pending_until = NULL, activated_at = ?3, updated_at = ?3,
                    audit_seq = ?4, audit_mac = ?5
                WHERE id = ?1 AND status = 'pending'"
            ),
            values![id, Status::Active, now, head.seq, head.mac],
        );
        tx.defer(
            sql!(
                "-- issue a refresh token
                INSERT INTO refresh_tokens (token_hash, connection_id, client_id, issued_at, last_used_at)
                VALUES (?1, ?2, ?3, ?4, ?4)"
            ),
            values![self.refresh_hash, id, self.client_id, now],
        );
    }
}
