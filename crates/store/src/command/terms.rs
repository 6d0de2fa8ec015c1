//! Writes the terms of a connection. Each change is a new version; earlier ones are kept as evidence.

use domain::Moment;
use domain::id::ConnectionId;
use domain::model::audit_event::{Actor, ActorKind, AuditAction, SubjectKind};
use domain::model::connection::{Connection, ConnectionStatus, Terms};
use domain::rule::authorize::narrow_scope;
use domain::rule::connection_end::{RefreshTokenEnd, may_renew_end, renew_end};
use domain::scope::Clusters;
use serde_json::{Value, json};

use super::audit_entry::build_audit_entry;
use crate::entity::connection::{StoredTerms, TERMS_MAC, compute_connection_mac, find_terms};
use crate::error::{Result, StoreError};
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::values;

/// Stores a version of the terms of a connection. The caller stores the version in the connection.
pub(super) fn write_terms(tx: &mut Tx<'_>, id: &ConnectionId, version: i64, stored: &StoredTerms) {
    let StoredTerms { terms, accounts } = stored;
    let mac = tx.compute_mac(&TERMS_MAC, values![id, version, terms.clusters, accounts, terms.expires_at]);
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

/// The statements of the response to a refresh about the terms of a connection.
#[derive(Clone, Copy)]
pub(super) struct RefreshedTerms {
    /// The data clusters that the provider grants.
    pub(super) granted: Option<Clusters>,
    /// The end of the refresh token.
    pub(super) token_end: RefreshTokenEnd,
}

/// Changes a locked, active connection to what the response to a refresh states: removes the data clusters that the provider no longer
/// grants, and moves the end of the connection with that of the refresh token. A provider that grants more than the customer
/// consented to changes nothing.
pub(super) async fn apply_refreshed_terms(
    tx: &mut Tx<'_>,
    moment: &Moment,
    connection: &Connection,
    RefreshedTerms { granted, token_end }: RefreshedTerms,
) -> Result<()> {
    // Most refreshes cannot change the end, and then read no terms because of it.
    if granted.is_none() && !may_renew_end(connection.expires_at, token_end, moment.now) {
        return Ok(());
    }
    let terms = match find_terms(tx, &connection.id, connection.terms_version).await {
        // Terms that another program has changed give no access, and the tokens of the refresh must not be lost.
        Err(StoreError::UnverifiedRow { .. }) => return Ok(()),
        terms => terms?.ok_or_else(|| StoreError::Internal("a connection has no terms".into()))?,
    };
    let agreed = &terms.terms;
    let clusters = granted.and_then(|granted| narrow_scope(agreed.clusters, granted));
    let end = renew_end(connection.expires_at, agreed.expires_at, token_end, moment.now);
    let mut changed = connection.clone();
    if let Some(clusters) = clusters {
        changed.terms_version += 1;
        let detail =
            json!({"clusters": clusters.to_string(), "clusters_before": agreed.clusters.to_string()});
        record_event(tx, moment, &mut changed, AuditAction::ConnectionNarrowed, &detail);
        // The MAC binds the sealed list to the version, so that the list needs no new seal.
        let narrowed = StoredTerms { terms: Terms { clusters, ..terms.terms }, accounts: terms.accounts };
        write_terms(tx, &connection.id, changed.terms_version, &narrowed);
    }
    if let Some(end) = end {
        let detail =
            json!({"expires_at": end.to_string(), "expires_at_before": connection.expires_at.to_string()});
        record_event(tx, moment, &mut changed, AuditAction::ConnectionEndMoved, &detail);
        changed.expires_at = end;
    }
    if clusters.is_some() || end.is_some() {
        write_changed_connection(tx, moment, &changed);
    }
    Ok(())
}

fn record_event(
    tx: &mut Tx<'_>,
    moment: &Moment,
    connection: &mut Connection,
    action: AuditAction,
    detail: &Value,
) {
    let actor = Actor::new(ActorKind::Provider, connection.provider_id.to_string());
    let subject = (SubjectKind::Connection, &connection.id);
    let entry = build_audit_entry(subject, moment, action, actor, detail);
    connection.audit = tx.audit(&connection.audit, entry);
}

fn write_changed_connection(tx: &mut Tx<'_>, moment: &Moment, connection: &Connection) {
    let mac = compute_connection_mac(tx, connection, ConnectionStatus::Active);
    tx.defer(
        sql!(
            "-- change the terms or the end of a connection
            UPDATE connections SET terms_version = ?2, expires_at = ?3, mac = ?4, audit_head = ?5, updated_at = ?6
            WHERE id = ?1"
        ),
        values![
            connection.id,
            connection.terms_version,
            connection.expires_at,
            mac,
            connection.audit,
            moment.now
        ],
    );
}
