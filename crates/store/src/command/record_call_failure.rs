//! Records failed calls to providers in the audit log.

use domain::Moment;
use domain::id::{ConnectionId, ProviderId};
use domain::model::audit_event::{Actor, AuditAction, SubjectKind};
use domain::rule::provider_response::{
    CallFailure, FailureReason, ProviderCall, ProviderErrorCode, REPEATED_FAILURE_INTERVAL,
};
use serde_json::json;

use super::audit_entry::{append_to_connection, append_to_provider, build_audit_entry};
use crate::entity::connection::lock_connection;
use crate::entity::provider::lock_provider;
use crate::error::Result;
use crate::operation::Command;
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::values;

/// Appends a failed call to the audit chain of its connection or, if the connection was never opened, of the provider.
///
/// Each failed exchange and revocation is recorded. A refresh or a read is recorded once a day for each reason, because
/// requests of recipients cause them.
#[derive(Debug)]
pub struct RecordCallFailure {
    pub moment: Moment,
    pub provider_id: ProviderId,
    /// The connection that the call concerned; its id may be reserved for one that was never opened.
    pub connection_id: ConnectionId,
    pub failure: CallFailure,
}

impl Command for RecordCallFailure {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        let CallFailure { call, reason, status, error_code } = self.failure;
        let connection = lock_connection(tx, &self.connection_id).await?;
        if is_recorded_once_a_day(call) && !self.is_first_of_the_day(tx, call, reason).await? {
            return Ok(());
        }
        let detail = json!({
            "call": call.as_str(),
            "reason": reason.as_str(),
            "status": status,
            "error_code": error_code.map(ProviderErrorCode::as_str),
            "connection": self.connection_id.as_str(),
        });
        let build_entry = |subject, action| {
            build_audit_entry(subject, &self.moment, action, Actor::system("upstream"), &detail)
        };
        if let Some(connection) = connection {
            let id = connection.id.to_string();
            let entry = build_entry((SubjectKind::Connection, &id), AuditAction::ConnectionCallFailed);
            append_to_connection(tx, &connection, entry);
        } else if let Some(provider) = lock_provider(tx, self.provider_id).await? {
            let id = provider.id.to_string();
            let entry = build_entry((SubjectKind::Provider, &id), AuditAction::ProviderCallFailed);
            append_to_provider(tx, &provider, entry);
        }
        Ok(())
    }
}

const fn is_recorded_once_a_day(call: ProviderCall) -> bool {
    match call {
        ProviderCall::Refresh | ProviderCall::Data => true,
        ProviderCall::CodeExchange | ProviderCall::Revocation | ProviderCall::Registration => false,
    }
}

impl RecordCallFailure {
    /// Stores the time of a failure, and returns whether none with this reason was recorded within the interval.
    async fn is_first_of_the_day(
        &self,
        tx: &mut Tx<'_>,
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
        let params = values![self.connection_id, call.as_str(), reason.as_str(), now, until];
        Ok(tx.execute(upsert, params).await? == 1)
    }
}
