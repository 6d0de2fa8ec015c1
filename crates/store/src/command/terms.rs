//! Writes the terms of a connection. Each change is a new version; earlier ones are kept as evidence.

use domain::Moment;
use domain::id::ConnectionId;
use domain::model::audit_event::{Actor, ActorKind, AuditAction, SubjectKind};
use domain::model::connection::{Connection, ConnectionStatus, Terms};
use domain::rule::authorize::narrow_scope;
use domain::scope::Clusters;
use serde_json::json;

use super::audit_entry::build_audit_entry;
use crate::entity::connection::{StoredTerms, TERMS_MAC, compute_connection_mac, find_terms};
use crate::error::{Result, StoreError};
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::values;

/// Stores a version of the terms of a connection. The caller stores the version in the connection.
pub(super) fn write_terms(tx: &mut Tx<'_>, id: &ConnectionId, version: i64, stored: &StoredTerms) {
    let StoredTerms { terms, accounts } = stored;
    let mac = tx.compute_mac(&TERMS_MAC, values![id, version, terms.clusters, accounts]);
    tx.defer(
        sql!(
            "-- store the terms of a connection
            INSERT INTO connection_terms (connection_id, version, clusters, accounts, account_count, purpose, language,
                page_version, expires_at, agreed_at, mac)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        ),
        values![
            id,
            version,
            terms.clusters,
            accounts,
            terms.account_count,
            terms.purpose,
            terms.language,
            terms.page_version,
            terms.expires_at,
            terms.agreed_at,
            mac
        ],
    );
}

/// Removes the data clusters from the terms of a locked, active connection that the provider no longer grants. A provider
/// that grants more than the customer consented to changes nothing.
pub(super) async fn narrow_terms(
    tx: &mut Tx<'_>,
    moment: &Moment,
    connection: &Connection,
    granted: Clusters,
) -> Result<()> {
    let terms = match find_terms(tx, &connection.id, connection.terms_version).await {
        // Terms that another program has changed give no access, and the tokens of the refresh must not be lost.
        Err(StoreError::UnverifiedRow { .. }) => return Ok(()),
        terms => terms?.ok_or_else(|| StoreError::Internal("a connection has no terms".into()))?,
    };
    let StoredTerms { terms, accounts } = terms;
    let Some(clusters) = narrow_scope(terms.clusters, granted) else {
        return Ok(());
    };
    let version = connection.terms_version + 1;
    let detail = json!({"clusters": clusters.to_string(), "clusters_before": terms.clusters.to_string()});
    // The MAC binds the sealed list to the version, so that the list needs no new seal.
    let narrowed = StoredTerms { terms: Terms { clusters, ..terms }, accounts };
    write_terms(tx, &connection.id, version, &narrowed);
    let narrowed = Connection { terms_version: version, ..connection.clone() };
    let mac = compute_connection_mac(tx, &narrowed, ConnectionStatus::Active);
    let actor = Actor::new(ActorKind::Provider, connection.provider_id.to_string());
    let subject = (SubjectKind::Connection, &connection.id);
    let entry = build_audit_entry(subject, moment, AuditAction::ConnectionNarrowed, actor, &detail);
    let head = tx.audit(&connection.audit, entry);
    tx.defer(
        sql!(
            "-- narrow the terms of a connection
            UPDATE connections SET terms_version = ?2, mac = ?3, audit_head = ?4, updated_at = ?5 WHERE id = ?1"
        ),
        values![connection.id, version, mac, head, moment.now],
    );
    Ok(())
}
