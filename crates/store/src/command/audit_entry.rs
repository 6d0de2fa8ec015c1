//! Builds the entries of the audit log, and appends them to the chains of connections and providers.

use domain::Moment;
use domain::model::audit_event::{Actor, AuditAction, AuditEntry, SubjectKind};
use domain::model::connection::Connection;
use domain::model::provider::Provider;
use serde::Serialize;
use serde_json::{Value, json};

use crate::hex::digest_hex;
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

/// The maximum length in bytes of the JSON text of a list in an audit event.
const MAX_LIST_BYTES: usize = 512;

/// Describes a list in the detail of an audit event: a short one by its elements, a long one by their number and the SHA-256
/// digest of its JSON text.
///
/// Events are never deleted before their subject, so that a caller must not be able to make them long.
pub(super) fn describe_list<T: Serialize>(list: &[T]) -> Value {
    let list = json!(list);
    let text = list.to_string();
    if text.len() <= MAX_LIST_BYTES {
        return list;
    }
    json!({"count": list.as_array().map_or(0, Vec::len), "sha256": digest_hex(text.as_bytes())})
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_list_is_described_by_count_and_digest() {
        let uris = |count: usize| vec!["https://app.example.org/callback"; count];

        assert_eq!(describe_list(&uris(2)), json!(uris(2)));
        let described = describe_list(&uris(40));
        assert_eq!((&described["count"], described.to_string().len()), (&json!(40), 88));
        assert_ne!(described, describe_list(&uris(41)));
        assert_eq!(described, describe_list(&uris(40)));
    }
}
