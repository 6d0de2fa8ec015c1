//! Builds the entries of the audit log, and appends them to the chains of connections and providers.

use domain::Moment;
use domain::model::audit_event::{Actor, AuditAction, AuditEntry, SubjectKind};
use domain::model::connection::Connection;
use domain::model::provider::Provider;
use serde_json::Value;

use crate::sql::sql;
use crate::tx::Tx;
use crate::value::values;

/// Builds the audit entry for an action on a subject. Its time and correlation id are those of the moment.
pub(super) fn build_audit_entry(
    (kind, id): (SubjectKind, &(impl ToString + ?Sized)),
    moment: &Moment,
    action: AuditAction,
    actor: Actor,
    detail: &Value,
) -> AuditEntry {
    AuditEntry {
        subject: (kind, id.to_string()),
        at: moment.now,
        action,
        actor,
        correlation_id: moment.correlation_id.to_string(),
        detail: detail.to_string(),
    }
}

/// Appends an entry to the audit chain of a connection that this transaction has locked, and changes nothing else of it.
pub(super) fn append_to_connection(tx: &mut Tx<'_>, connection: &Connection, entry: AuditEntry) {
    let head = tx.audit(&connection.audit, entry);
    tx.defer(
        sql!(
            "-- advance the audit chain of a connection
            UPDATE connections SET audit_head = ?2 WHERE id = ?1"
        ),
        values![connection.id, head],
    );
}

/// Appends an entry to the audit chain of a provider that this transaction has locked, and changes nothing else of it.
pub(super) fn append_to_provider(tx: &mut Tx<'_>, provider: &Provider, entry: AuditEntry) {
    let head = tx.audit(&provider.audit, entry);
    tx.defer(
        sql!(
            "-- advance the audit chain of a provider
            UPDATE providers SET audit_head = ?2 WHERE id = ?1"
        ),
        values![provider.id, head],
    );
}
