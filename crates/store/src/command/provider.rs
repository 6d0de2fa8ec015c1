//! Commands that write configured providers, add providers for operators, store the metadata of their issuers, and set the state
//! of a provider.

use domain::Moment;
use domain::id::ProviderId;
use domain::model::audit_event::{Actor, ActorKind, AuditAction, AuditEntry, AuditHead, SubjectKind};
use domain::model::provider::{
    Provider, ProviderMetadata, ProviderSettings, ProviderSource, ProviderState, SettingsVersion,
};
use domain::rule::provider::{SettingsChange, compare_providers};
use serde_json::{Value as Json, json};

use super::audit_entry::{build_audit_entry, describe_list};
use super::expiry_brake::release_expiry;
use crate::entity::provider::{
    FORMER_SETTINGS_MAC, ProviderMetadataColumns, ProviderSettingsColumns, SealedProviderSecrets,
    compute_provider_state_mac, lock_provider,
};
use crate::error::Result;
use crate::operation::Command;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{to_json, values};

/// Writes a provider of the configuration. Keeps its stored state, and does nothing if settings and source are
/// unchanged.
#[derive(Debug)]
pub struct UpsertProvider {
    pub moment: Moment,
    /// The provider; its version and its audit head are ignored.
    pub provider: Provider,
    pub actor: Actor,
}

impl Command for UpsertProvider {
    /// `false` if nothing was written.
    type Reply = bool;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool> {
        let provider = &self.provider;
        let Some(stored) = lock_provider(tx, provider.id).await? else {
            insert_provider(tx, &self.moment, provider, None, &self.actor)?;
            return Ok(true);
        };
        if stored.settings == provider.settings && stored.source == provider.source {
            return Ok(false);
        }
        // The secrets of a provider that an operator added are deleted when the configuration takes it over, because
        // the configuration has its own.
        let new = NewSettings { source: provider.source, settings: &provider.settings, secrets: None };
        replace_settings(tx, &self.moment, &stored, &new, (&[], &self.actor)).await?;
        Ok(true)
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
        insert_provider(tx, &self.moment, provider, Some(&self.secrets), &self.actor)?;
        Ok(true)
    }
}

fn insert_provider(
    tx: &mut Tx<'_>,
    moment: &Moment,
    provider: &Provider,
    secrets: Option<&SealedProviderSecrets>,
    actor: &Actor,
) -> Result<()> {
    let detail = json!({"state": provider.state.as_str()});
    let head =
        tx.audit(&AuditHead::default(), build_provider_changed_entry(moment, provider.id, actor, &detail));
    let state_mac = compute_provider_state_mac(tx, provider.id, provider.state);
    let provider = Provider { version: SettingsVersion::FIRST, ..provider.clone() };
    let ProviderSettingsColumns { settings, mac } = ProviderSettingsColumns::new(tx, &provider)?;
    let no_metadata = ProviderMetadataColumns::new(tx, provider.id, None)?;
    let SettingsVersion { number, endpoints } = provider.version;
    tx.defer(
        sql!(
            "-- add a provider
            INSERT INTO providers (id, state, source, settings, version, endpoints_version, data_key, secrets, audit_head,
                created_at, updated_at, state_mac, mac, metadata_mac)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, ?11, ?12, ?13)"
        ),
        values![
            provider.id,
            provider.state,
            provider.source,
            settings,
            number,
            endpoints,
            secrets.map(|sealed| sealed.data_key.clone()),
            secrets.map(|sealed| sealed.secrets.clone()),
            head,
            moment.now,
            state_mac,
            mac,
            no_metadata.mac
        ],
    );
    Ok(())
}

/// Replaces the settings and secrets of a provider that an operator added.
#[derive(Debug)]
pub struct UpdateProvider {
    pub moment: Moment,
    pub provider_id: ProviderId,
    /// The number of the version that the change is based on.
    pub seen_version: i64,
    pub settings: ProviderSettings,
    /// All of the hub's secrets at the provider.
    pub secrets: SealedProviderSecrets,
    /// The names of the settings whose secrets are replaced.
    pub replaced_secrets: Vec<String>,
    pub actor: Actor,
}

/// The result of [`UpdateProvider`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateProviderOutcome {
    NotFound,
    /// The provider belongs to the configuration.
    FromConfiguration,
    /// The provider has another version in the meantime.
    Outdated,
    Updated(SettingsChange),
}

impl Command for UpdateProvider {
    type Reply = UpdateProviderOutcome;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<UpdateProviderOutcome> {
        let Some(stored) = lock_provider(tx, self.provider_id).await? else {
            return Ok(UpdateProviderOutcome::NotFound);
        };
        if stored.source == ProviderSource::Config {
            return Ok(UpdateProviderOutcome::FromConfiguration);
        }
        if stored.version.number != self.seen_version {
            return Ok(UpdateProviderOutcome::Outdated);
        }
        let new =
            NewSettings { source: stored.source, settings: &self.settings, secrets: Some(&self.secrets) };
        let change =
            replace_settings(tx, &self.moment, &stored, &new, (&self.replaced_secrets, &self.actor)).await?;
        Ok(UpdateProviderOutcome::Updated(change))
    }
}

/// The columns of a provider that a change replaces.
struct NewSettings<'a> {
    source: ProviderSource,
    settings: &'a ProviderSettings,
    secrets: Option<&'a SealedProviderSecrets>,
}

/// Replaces the settings of a locked provider. If they leave the endpoints of existing grants, the former settings are kept, so that
/// these grants can be revoked.
async fn replace_settings(
    tx: &mut Tx<'_>,
    moment: &Moment,
    stored: &Provider,
    new: &NewSettings<'_>,
    (replaced_secrets, actor): (&[String], &Actor),
) -> Result<SettingsChange> {
    // The metadata are kept, so that the hub can start while the issuer cannot be reached.
    let changed = Provider { source: new.source, settings: new.settings.clone(), ..stored.clone() };
    let mut change = compare_providers(stored, &changed);
    if change.leaves_endpoints {
        keep_former_settings(tx, moment, stored).await?;
    }
    change.add_members(replaced_secrets);
    let mut detail = change.to_detail();
    detail["state"] = json!(stored.state.as_str());
    let head = tx.audit(&stored.audit, build_provider_changed_entry(moment, stored.id, actor, &detail));
    let changed = Provider { version: stored.version.after_change(change.leaves_endpoints), ..changed };
    let ProviderSettingsColumns { settings, mac } = ProviderSettingsColumns::new(tx, &changed)?;
    tx.defer(
        sql!(
            "-- replace the settings of a provider
            UPDATE providers SET source = ?2, settings = ?3, version = ?4, endpoints_version = ?5, mac = ?6, data_key = ?7,
                secrets = ?8, audit_head = ?9, updated_at = ?10
            WHERE id = ?1"
        ),
        values![
            changed.id,
            changed.source,
            settings,
            changed.version.number,
            changed.version.endpoints,
            mac,
            new.secrets.map(|sealed| sealed.data_key.clone()),
            new.secrets.map(|sealed| sealed.secrets.clone()),
            head,
            moment.now
        ],
    );
    Ok(change)
}

async fn keep_former_settings(tx: &mut Tx<'_>, moment: &Moment, stored: &Provider) -> Result<()> {
    let secrets: Option<SealedProviderSecrets> =
        tx.fetch_optional(STORED_SECRETS, values![stored.id]).await?;
    let settings = to_json(&stored.settings)?;
    let metadata = stored.discovered.as_ref().map(to_json).transpose()?;
    let SettingsVersion { number, endpoints } = stored.version;
    let covered = values![stored.id, endpoints, number, settings, metadata];
    let mac = tx.compute_mac(&FORMER_SETTINGS_MAC, covered);
    tx.defer(
        KEEP_FORMER_SETTINGS,
        values![
            stored.id,
            endpoints,
            number,
            settings,
            metadata,
            !stored.settings.revoke.is_empty(),
            secrets.as_ref().map(|sealed| sealed.data_key.clone()),
            secrets.as_ref().map(|sealed| sealed.secrets.clone()),
            mac,
            moment.now
        ],
    );
    Ok(())
}

static STORED_SECRETS: &Sql = sql!(
    "-- find the secrets of a provider that is changed
    SELECT data_key, secrets FROM providers WHERE id = ?1 AND secrets IS NOT NULL"
);
static KEEP_FORMER_SETTINGS: &Sql = sql!(
    "-- keep the former settings of a provider
    INSERT INTO former_provider_settings (provider_id, endpoints_version, version, settings, metadata, revokes, data_key,
        secrets, mac, replaced_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
);

fn build_provider_changed_entry(moment: &Moment, id: ProviderId, actor: &Actor, detail: &Json) -> AuditEntry {
    let subject = (SubjectKind::Provider, &id);
    build_audit_entry(subject, moment, AuditAction::ProviderChanged, actor.clone(), detail)
}

/// Stores the metadata of a provider's issuer, if they differ from the stored ones.
#[derive(Debug)]
pub struct StoreProviderMetadata {
    pub moment: Moment,
    pub provider_id: ProviderId,
    pub metadata: ProviderMetadata,
}

impl Command for StoreProviderMetadata {
    /// The names of the members that have changed; empty if there is no such provider, or if it has another issuer now.
    type Reply = Vec<String>;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Vec<String>> {
        let Some(provider) = lock_provider(tx, self.provider_id).await? else {
            return Ok(Vec::new());
        };
        // The settings may have got another issuer while the metadata were requested.
        if provider.settings.issuer.as_ref() != Some(&self.metadata.issuer) {
            return Ok(Vec::new());
        }
        let unknown = ProviderMetadata::default();
        let changed = self.metadata.changed_members(provider.discovered.as_ref().unwrap_or(&unknown));
        if changed.is_empty() {
            return Ok(changed);
        }
        let subject = (SubjectKind::Provider, &provider.id);
        let mut updated = Provider { discovered: Some(self.metadata.clone()), ..provider.clone() };
        let change = compare_providers(&provider, &updated);
        let detail = json!({
            "first": provider.discovered.is_none(),
            "members": describe_list(&changed),
            "endpoints": change.describe_endpoints(),
        });
        let actor = Actor::new(ActorKind::Provider, provider.id.to_string());
        let action = AuditAction::ProviderMetadataChanged;
        let entry = build_audit_entry(subject, &self.moment, action, actor, &detail);
        let head = tx.audit(&provider.audit, entry);
        let columns = ProviderMetadataColumns::new(tx, provider.id, Some(&self.metadata))?;
        if change.leaves_endpoints {
            keep_former_settings(tx, &self.moment, &provider).await?;
            updated.version = provider.version.after_change(true);
        }
        let mac = ProviderSettingsColumns::new(tx, &updated)?.mac;
        let SettingsVersion { number, endpoints } = updated.version;
        tx.defer(
            sql!(
                "-- store the metadata of a provider's issuer
                UPDATE providers SET metadata = ?2, metadata_mac = ?3, version = ?4, endpoints_version = ?5, mac = ?6,
                    audit_head = ?7, updated_at = ?8
                WHERE id = ?1"
            ),
            values![
                provider.id, columns.metadata, columns.mac, number, endpoints, mac, head, self.moment.now
            ],
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
    detail: &Json,
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
