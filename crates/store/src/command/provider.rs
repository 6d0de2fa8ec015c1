//! Providers: what the configuration writes, what operators add, and who holds them.

use domain::Moment;
use domain::id::ProviderId;
use domain::model::audit_event::{Actor, AuditAction, AuditHead, SubjectKind};
use domain::model::provider::{Provider, ProviderState};
use serde_json::json;

use super::build_audit_entry;
use crate::Command;
use crate::error::Result;
use crate::record::lock_provider;
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::{to_json, values};

/// Writes a provider of the configuration. Its state is kept, an unchanged one leaves no trace.
#[derive(Debug)]
pub struct UpsertProvider {
    /// When.
    pub moment: Moment,
    /// The provider; its audit head is ignored.
    pub provider: Provider,
    /// By whom.
    pub actor: Actor,
}

impl Command for UpsertProvider {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        let p = &self.provider;
        let known = lock_provider(tx, p.id).await?;
        if known.as_ref().is_some_and(|k| k.settings == p.settings && k.source == p.source) {
            return Ok(());
        }
        let (state, head) = known.map_or((p.state, AuditHead::default()), |k| (k.state, k.audit));
        let head = tx.audit(&head, build_provider_changed_entry(&self.moment, p.id, state, &self.actor));
        tx.defer(
            sql!(
                "-- write a provider
                INSERT INTO providers (id, state, source, settings, audit_seq, audit_mac, created_at, updated_at)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)
                ON CONFLICT (id) DO UPDATE SET source = excluded.source, settings = excluded.settings,
                    data_key = NULL, client_secret = NULL, initial_access_token = NULL,
                    audit_seq = excluded.audit_seq, audit_mac = excluded.audit_mac, updated_at = excluded.updated_at"
            ),
            values![p.id, state, p.source, to_json(&p.settings)?, head.seq, head.mac, self.moment.now],
        );
        Ok(())
    }
}

/// Adds a provider that an operator describes. One that is there already stays as it is.
#[derive(Debug)]
pub struct AddProvider {
    /// When.
    pub moment: Moment,
    /// The provider; its audit head is ignored.
    pub provider: Provider,
    /// The hub's secret there, sealed.
    pub secret: SealedProviderSecret,
    /// By whom.
    pub actor: Actor,
}

/// The hub's own secrets at a provider, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedProviderSecret {
    /// The wrapped key.
    pub data_key: Vec<u8>,
    /// The sealed secret.
    pub secret: Vec<u8>,
    /// The sealed initial access token, if there is one.
    pub initial_access_token: Option<Vec<u8>>,
}

impl Command for AddProvider {
    /// Whether it is new.
    type Reply = bool;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool> {
        let p = &self.provider;
        if lock_provider(tx, p.id).await?.is_some() {
            return Ok(false);
        }
        let head = tx.audit(
            &AuditHead::default(),
            build_provider_changed_entry(&self.moment, p.id, p.state, &self.actor),
        );
        tx.defer(
            sql!(
                "-- add a provider
                INSERT INTO providers (id, state, source, settings, data_key, client_secret, audit_seq, audit_mac,
                    created_at, updated_at, initial_access_token)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10)"
            ),
            values![
                p.id, p.state, p.source, to_json(&p.settings)?, self.secret.data_key, self.secret.secret, head.seq,
                head.mac, self.moment.now, self.secret.initial_access_token
            ],
        );
        Ok(true)
    }
}

fn build_provider_changed_entry(
    moment: &Moment,
    id: ProviderId,
    state: ProviderState,
    actor: &Actor,
) -> domain::model::audit_event::AuditEntry {
    let detail = json!({"state": state.as_str()});
    build_audit_entry(
        (SubjectKind::Provider, &id),
        moment,
        AuditAction::ProviderChanged,
        actor.clone(),
        &detail,
    )
}

/// Holds or releases a provider.
#[derive(Debug)]
pub struct SetProviderState {
    /// When.
    pub moment: Moment,
    /// Which.
    pub provider_id: ProviderId,
    /// To what.
    pub state: ProviderState,
    /// By whom.
    pub actor: Actor,
}

impl Command for SetProviderState {
    /// Whether there is such a provider.
    type Reply = bool;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool> {
        let Some(provider) = lock_provider(tx, self.provider_id).await? else {
            return Ok(false);
        };
        let detail = json!({"state": self.state.as_str()});
        write_provider_state(tx, &self.moment, &provider, self.state, self.actor.clone(), &detail);
        Ok(true)
    }
}

/// Sets the state of a locked provider. A change begins a new span of its refreshes, however short the last.
pub(super) fn write_provider_state(
    tx: &mut Tx<'_>,
    moment: &Moment,
    provider: &Provider,
    state: ProviderState,
    actor: Actor,
    detail: &serde_json::Value,
) {
    let subject = (SubjectKind::Provider, &provider.id);
    let entry = build_audit_entry(subject, moment, AuditAction::ProviderChanged, actor, detail);
    let head = tx.audit(&provider.audit, entry);
    tx.defer(
        sql!(
            "-- hold or release a provider
            UPDATE providers SET state = ?2, audit_seq = ?3, audit_mac = ?4, updated_at = ?5,
                state_changed_at = (CASE WHEN state = ?2 THEN state_changed_at
                    WHEN state_changed_at >= ?5 THEN state_changed_at + 1 ELSE ?5 END)
            WHERE id = ?1"
        ),
        values![provider.id, state, head.seq, head.mac, moment.now],
    );
}
