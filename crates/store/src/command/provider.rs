//! Commands that write configured providers, add providers for operators, store the metadata of their issuers, and set the state
//! of a provider.

use domain::Moment;
use domain::id::ProviderId;
use domain::model::audit_event::{Actor, ActorKind, AuditAction, AuditEntry, AuditHead, SubjectKind};
use domain::model::provider::{Provider, ProviderMetadata, ProviderState};
use serde_json::json;

use super::audit_entry::{build_audit_entry, describe_list};
use super::expiry_brake::release_expiry;
use crate::entity::provider::{
    ProviderMetadataColumns, ProviderSettingsColumns, SealedProviderSecrets, compute_provider_state_mac,
    lock_provider,
};
use crate::error::Result;
use crate::operation::Command;
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::values;

/// Writes a provider of the configuration. Keeps its stored state, and does nothing if settings and source are
/// unchanged.
#[derive(Debug)]
pub struct UpsertProvider {
    pub moment: Moment,
    /// The provider; its audit head is ignored.
    pub provider: Provider,
    pub actor: Actor,
}

impl Command for UpsertProvider {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        let provider = &self.provider;
        let stored = lock_provider(tx, provider.id).await?;
        let is_unchanged =
            |stored: &Provider| stored.settings == provider.settings && stored.source == provider.source;
        if stored.as_ref().is_some_and(is_unchanged) {
            return Ok(());
        }
        let (state, head) =
            stored.map_or((provider.state, AuditHead::default()), |stored| (stored.state, stored.audit));
        let entry = build_provider_changed_entry(&self.moment, provider.id, state, &self.actor);
        let head = tx.audit(&head, entry);
        let state_mac = compute_provider_state_mac(tx, provider.id, state);
        let ProviderSettingsColumns { settings, mac } = ProviderSettingsColumns::new(tx, provider)?;
        let no_metadata = ProviderMetadataColumns::new(tx, provider.id, None)?;
        tx.defer(
            // The metadata of an existing provider are kept, so that the hub can start while the issuer cannot be reached.
            // The secrets of a provider that an operator added are deleted when the configuration takes it over, because
            // the configuration has its own.
            sql!(
                "-- write a configured provider
                INSERT INTO providers (id, state, source, settings, audit_head, created_at, updated_at, state_mac, mac,
                    metadata_mac)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9)
                ON CONFLICT (id) DO UPDATE SET source = excluded.source, settings = excluded.settings, mac = excluded.mac,
                    data_key = NULL, secrets = NULL, audit_head = excluded.audit_head, updated_at = excluded.updated_at"
            ),
            values![
                provider.id, state, provider.source, settings, head, self.moment.now, state_mac, mac, no_metadata.mac
            ],
        );
        Ok(())
    }
}

/// Adds a provider that an operator manages. Does nothing if a provider with the same id exists.
#[derive(Debug)]
pub struct AddProvider {
    pub moment: Moment,
    /// The provider; its audit head is ignored.
    pub provider: Provider,
    /// The hub's secrets at the provider.
    pub secrets: SealedProviderSecrets,
    pub actor: Actor,
}

impl Command for AddProvider {
    /// `false` if a provider with the same id exists.
    type Reply = bool;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool> {
        let provider = &self.provider;
        if lock_provider(tx, provider.id).await?.is_some() {
            return Ok(false);
        }
        let entry = build_provider_changed_entry(&self.moment, provider.id, provider.state, &self.actor);
        let head = tx.audit(&AuditHead::default(), entry);
        let state_mac = compute_provider_state_mac(tx, provider.id, provider.state);
        let ProviderSettingsColumns { settings, mac } = ProviderSettingsColumns::new(tx, provider)?;
        let no_metadata = ProviderMetadataColumns::new(tx, provider.id, None)?;
        tx.defer(
            sql!(
                "-- add a provider
                INSERT INTO providers (id, state, source, settings, data_key, secrets, audit_head, created_at, updated_at,
                    state_mac, mac, metadata_mac)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9, ?10, ?11)"
            ),
            values![
                provider.id, provider.state, provider.source, settings, self.secrets.data_key, self.secrets.secrets, head,
                self.moment.now, state_mac, mac, no_metadata.mac
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
) -> AuditEntry {
    let subject = (SubjectKind::Provider, &id);
    let detail = json!({"state": state.as_str()});
    build_audit_entry(subject, moment, AuditAction::ProviderChanged, actor.clone(), &detail)
}

/// Stores the metadata of a provider's issuer, if they differ from the stored ones.
#[derive(Debug)]
pub struct StoreProviderMetadata {
    pub moment: Moment,
    pub provider_id: ProviderId,
    pub metadata: ProviderMetadata,
}

impl Command for StoreProviderMetadata {
    /// The names of the members that have changed; empty if there is no such provider.
    type Reply = Vec<String>;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Vec<String>> {
        let Some(provider) = lock_provider(tx, self.provider_id).await? else {
            return Ok(Vec::new());
        };
        let unknown = ProviderMetadata::default();
        let changed = self.metadata.changed_members(provider.discovered.as_ref().unwrap_or(&unknown));
        if changed.is_empty() {
            return Ok(changed);
        }
        let subject = (SubjectKind::Provider, &provider.id);
        let detail = json!({"first": provider.discovered.is_none(), "members": describe_list(&changed)});
        let actor = Actor::new(ActorKind::Provider, provider.id.to_string());
        let action = AuditAction::ProviderMetadataChanged;
        let entry = build_audit_entry(subject, &self.moment, action, actor, &detail);
        let head = tx.audit(&provider.audit, entry);
        let columns = ProviderMetadataColumns::new(tx, provider.id, Some(&self.metadata))?;
        tx.defer(
            sql!(
                "-- store the metadata of a provider's issuer
                UPDATE providers SET metadata = ?2, metadata_mac = ?3, audit_head = ?4, updated_at = ?5 WHERE id = ?1"
            ),
            values![provider.id, columns.metadata, columns.mac, head, self.moment.now],
        );
        Ok(changed)
    }
}

/// Pauses, retires or releases a provider. The release also lets connections end by expiry again.
#[derive(Debug)]
pub struct SetProviderState {
    pub moment: Moment,
    pub provider_id: ProviderId,
    pub state: ProviderState,
    pub actor: Actor,
}

impl Command for SetProviderState {
    /// `false` if there is no such provider.
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
        if self.state == ProviderState::Active {
            release_expiry(tx, &self.moment, provider.id);
        }
        Ok(true)
    }
}

/// Sets the state of a locked provider. A change of the state also resets the counters of refreshes, which are stored
/// under `state_changed_at`; the column increases even if the previous change was in the same millisecond.
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
    let mac = compute_provider_state_mac(tx, provider.id, state);
    tx.defer(
        sql!(
            "-- set the state of a provider
            UPDATE providers SET state = ?2, state_mac = ?5, audit_head = ?3, updated_at = ?4,
                state_changed_at = (CASE WHEN state = ?2 THEN state_changed_at
                    WHEN state_changed_at >= ?4 THEN state_changed_at + 1 ELSE ?4 END)
            WHERE id = ?1"
        ),
        values![provider.id, state, head, moment.now, mac],
    );
}
