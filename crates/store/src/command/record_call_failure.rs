//! Records failed calls to providers in the audit log.

use domain::Moment;
use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::audit_event::{Actor, AuditAction, AuditEntry, SubjectKind};
use domain::rule::provider_response::{
    CallFailure, FailureReason, ProviderCall, ProviderErrorCode, REPEATED_FAILURE_INTERVAL,
};
use serde_json::{Value, json};

use super::audit_entry::{append_to_connection, append_to_provider, build_audit_entry};
use super::client::record_client_event;
use crate::entity::client::lock_client;
use crate::entity::connection::lock_connection;
use crate::entity::provider::lock_provider;
use crate::error::Result;
use crate::operation::Command;
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::values;

/// The component of the hub that calls providers.
const ACTOR: &str = "upstream";

/// Appends a failed call to the audit chain of its connection or its recipient or, if there is none, of the provider.
///
/// Each failed exchange, revocation, registration and deletion is recorded. A refresh or a read is recorded once a day for
/// each reason, because requests of recipients cause them.
#[derive(Debug)]
pub struct RecordCallFailure {
    pub moment: Moment,
    pub provider_id: ProviderId,
    pub subject: CallSubject,
    pub failure: CallFailure,
}

/// The connection or the client that a call to a provider concerned.
#[derive(Clone, Debug)]
pub enum CallSubject {
    /// A connection; its id may be reserved for one that was never opened.
    Connection(ConnectionId),
    /// The recipient whose client is registered or deleted at the provider.
    Client(ClientId),
}

impl Command for RecordCallFailure {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        match &self.subject {
            CallSubject::Connection(id) => self.record_for_connection(tx, id).await,
            CallSubject::Client(id) => self.record_for_client(tx, id).await,
        }
    }
}

const fn is_recorded_once_a_day(call: ProviderCall) -> bool {
    match call {
        ProviderCall::Refresh | ProviderCall::Data => true,
        ProviderCall::CodeExchange
        | ProviderCall::Revocation
        | ProviderCall::ConsentRevocation
        | ProviderCall::GrantRevocation
        | ProviderCall::ClientCredentials
        | ProviderCall::Introspection
        | ProviderCall::Consent
        | ProviderCall::PushedAuthorization
        | ProviderCall::Keys
        | ProviderCall::Registration
        | ProviderCall::Deletion => false,
    }
}

impl RecordCallFailure {
    async fn record_for_connection(&self, tx: &mut Tx<'_>, id: &ConnectionId) -> Result<()> {
        let connection = lock_connection(tx, id).await?;
        let CallFailure { call, reason, .. } = self.failure;
        if is_recorded_once_a_day(call) && !self.is_first_of_the_day(tx, id, call, reason).await? {
            return Ok(());
        }
        let detail = self.build_detail("connection", id.as_str());
        match connection {
            Some(connection) => {
                let subject = (SubjectKind::Connection, &connection.id);
                let entry = self.build_entry(subject, AuditAction::ConnectionCallFailed, &detail);
                append_to_connection(tx, &connection, entry);
                Ok(())
            }
            None => self.record_for_provider(tx, &detail).await,
        }
    }

    async fn record_for_client(&self, tx: &mut Tx<'_>, id: &ClientId) -> Result<()> {
        let detail = self.build_detail("client", id.as_str());
        match lock_client(tx, id).await? {
            Some(client) => {
                let event = (AuditAction::ClientCallFailed, &Actor::system(ACTOR));
                record_client_event(tx, &self.moment, &client, event, &detail);
                Ok(())
            }
            None => self.record_for_provider(tx, &detail).await,
        }
    }

    async fn record_for_provider(&self, tx: &mut Tx<'_>, detail: &Value) -> Result<()> {
        if let Some(provider) = lock_provider(tx, self.provider_id).await? {
            let subject = (SubjectKind::Provider, &provider.id);
            let entry = self.build_entry(subject, AuditAction::ProviderCallFailed, detail);
            append_to_provider(tx, &provider, entry);
        }
        Ok(())
    }

    fn build_detail(&self, subject: &str, id: &str) -> Value {
        let CallFailure { call, reason, status, error_code } = self.failure;
        json!({
            "call": call.as_str(),
            "reason": reason.as_str(),
            "status": status,
            "error_code": error_code.map(ProviderErrorCode::as_str),
            "provider": self.provider_id,
            subject: id,
        })
    }

    fn build_entry(
        &self,
        subject: (SubjectKind, &impl ToString),
        action: AuditAction,
        detail: &Value,
    ) -> AuditEntry {
        build_audit_entry(subject, &self.moment, action, Actor::system(ACTOR), detail)
    }

    /// Stores the time of a failure, and returns whether none with this reason was recorded within the interval.
    async fn is_first_of_the_day(
        &self,
        tx: &mut Tx<'_>,
        connection_id: &ConnectionId,
        call: ProviderCall,
        reason: FailureReason,
    ) -> Result<bool> {
        let upsert = sql!(
            "-- store the time of a failed call
            INSERT INTO recorded_failures (connection_id, call, reason, recorded_at) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (connection_id, call, reason) DO UPDATE SET recorded_at = excluded.recorded_at
                WHERE recorded_failures.recorded_at <= ?5"
        );
        let (now, until) = (self.moment.now, self.moment.now.minus(REPEATED_FAILURE_INTERVAL));
        let params = values![connection_id, call.as_str(), reason.as_str(), now, until];
        Ok(tx.execute(upsert, params).await? == 1)
    }
}
