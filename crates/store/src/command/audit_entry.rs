//! Builds the entries of the audit log that commands append.

use domain::Moment;
use domain::model::audit_event::{Actor, AuditAction, AuditEntry, SubjectKind};
use serde_json::Value;

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
