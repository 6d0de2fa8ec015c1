//! Commands that write configured providers, add providers for operators, store the metadata of their issuers, and set the state
//! of a provider.

use domain::Moment;
use domain::id::ProviderId;
use domain::model::audit_event::{Actor, ActorKind, AuditAction, AuditEntry, AuditHead, SubjectKind};
use domain::model::provider::{
    Provider, ProviderMetadata, ProviderSettings, ProviderSource, ProviderState, SettingsVersion,
};
use domain::rule::provider::{
    SettingsChange, UpstreamClientInUseError, compare_providers, ensure_upstream_client_is_kept,
};
use serde_json::{Value as Json, json};

use super::audit_entry::{build_audit_entry, describe_list};
use super::expiry_brake::release_expiry;
use super::former_settings::{
    FormerSettingsUpdate, MAX_FORMER_SETTINGS, leave_endpoints, update_former_settings,
};
use crate::entity::provider::{
    ProviderMetadataColumns, ProviderSettingsColumns, SealedProviderSecrets, compute_provider_secrets_mac,
    compute_provider_state_mac, find_provider_secrets, lock_provider,
};
use crate::entity::registration::has_registrations_in_use;
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
    /// The provider; its version and its audit head are ignored.
    pub provider: Provider,
    pub actor: Actor,
    /// The effects of the change on former settings. Without them, the change applies to any version.
    pub plan: Option<FormerSettingsPlan>,
}

/// The effects of a change of a provider on its former settings.
#[derive(Clone, Debug)]
pub struct FormerSettingsPlan {
    /// The number of the version that the change is based on; `None` if there was no provider.
    pub seen_version: Option<i64>,
    pub updates: Vec<FormerSettingsUpdate>,
}

/// The result of [`UpsertProvider`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpsertOutcome {
    Unchanged,
    Written,
    /// The provider has another version than that of the plan.
    Outdated,
    Rejected(ProviderChangeRejected),
}

/// The reason why a change of a provider is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderChangeRejected {
    /// The provider has left its endpoints too often while grants at them exist.
    #[error(
        "the endpoints of the provider have changed {} times while connections with earlier ones exist; \
         repeat the change when they have ended or were refreshed",
        MAX_FORMER_SETTINGS
    )]
    TooManyFormerSettings,
    #[error(transparent)]
    UpstreamClientInUse(#[from] UpstreamClientInUseError),
}

impl Command for UpsertProvider {
    type Reply = UpsertOutcome;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<UpsertOutcome> {
        let provider = &self.provider;
        let stored = lock_provider(tx, provider.id).await?;
        let seen = stored.as_ref().map(|stored| stored.version.number);
        let is_outdated = self.plan.as_ref().is_some_and(|plan| plan.seen_version != seen);
        let Some(stored) = stored else {
            if is_outdated {
                return Ok(UpsertOutcome::Outdated);
            }
            insert_provider(tx, &self.moment, provider, None, &self.actor)?;
            return Ok(UpsertOutcome::Written);
        };
        if stored.settings == provider.settings && stored.source == provider.source {
            return Ok(UpsertOutcome::Unchanged);
        }
        if is_outdated {
            return Ok(UpsertOutcome::Outdated);
        }
        // The secrets of a provider that an operator added are deleted when the configuration takes it over, because
        // the configuration has its own.
        let former = self.plan.as_ref().map_or(&[][..], |plan| plan.updates.as_slice());
        let new =
            NewSettings { source: provider.source, settings: &provider.settings, secrets: None, former };
        let change = replace_settings(tx, &self.moment, &stored, &new, (&[], &self.actor)).await?;
        Ok(change.map_or_else(UpsertOutcome::Rejected, |_| UpsertOutcome::Written))
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
    let SettingsVersion { number, endpoints, .. } = provider.version;
    let secrets_mac = compute_provider_secrets_mac(tx, (provider.id, endpoints), secrets);
    tx.defer(
        sql!(
            "-- add a provider
            INSERT INTO providers (id, state, source, settings, version, endpoints_version, former_revokes, data_key, secrets,
                audit_head, created_at, updated_at, state_mac, mac, metadata_mac, secrets_mac)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, FALSE, ?7, ?8, ?9, ?10, ?10, ?11, ?12, ?13, ?14)"
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
            no_metadata.mac,
            secrets_mac
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
    /// The effects of the change on former settings.
    pub former: Vec<FormerSettingsUpdate>,
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
    Rejected(ProviderChangeRejected),
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
        let new = NewSettings {
            source: stored.source,
            settings: &self.settings,
            secrets: Some(&self.secrets),
            former: &self.former,
        };
        let change =
            replace_settings(tx, &self.moment, &stored, &new, (&self.replaced_secrets, &self.actor)).await?;
        Ok(change.map_or_else(UpdateProviderOutcome::Rejected, UpdateProviderOutcome::Updated))
    }
}

/// The columns of a provider that a change replaces.
struct NewSettings<'a> {
    source: ProviderSource,
    settings: &'a ProviderSettings,
    secrets: Option<&'a SealedProviderSecrets>,
    former: &'a [FormerSettingsUpdate],
}

/// Replaces the settings of a locked provider. If they leave the endpoints of existing grants, the former settings are kept, so that
/// these grants can be revoked. A rejected change has no effect.
async fn replace_settings(
    tx: &mut Tx<'_>,
    moment: &Moment,
    stored: &Provider,
    new: &NewSettings<'_>,
    (replaced_secrets, actor): (&[String], &Actor),
) -> Result<Result<SettingsChange, ProviderChangeRejected>> {
    if stored.settings.upstream_client != new.settings.upstream_client {
        let has_registrations = has_registrations_in_use(tx, stored.id).await?;
        if let Err(error) = ensure_upstream_client_is_kept(&stored.settings, new.settings, has_registrations)
        {
            return Ok(Err(error.into()));
        }
    }
    // The metadata are kept, so that the hub can start while the issuer cannot be reached.
    let changed = Provider { source: new.source, settings: new.settings.clone(), ..stored.clone() };
    let mut change = compare_providers(stored, &changed);
    let version = if change.leaves_endpoints {
        let Some(version) = leave_endpoints(tx, moment, (stored, &changed), new.former).await? else {
            return Ok(Err(ProviderChangeRejected::TooManyFormerSettings));
        };
        version
    } else {
        stored.version.next()
    };
    update_former_settings(tx, stored, new.former, version.number).await?;
    change.add_members(replaced_secrets);
    let mut detail = change.to_detail();
    detail["state"] = json!(stored.state.as_str());
    let head = tx.audit(&stored.audit, build_provider_changed_entry(moment, stored.id, actor, &detail));
    let changed = Provider { version, ..changed };
    let ProviderSettingsColumns { settings, mac } = ProviderSettingsColumns::new(tx, &changed)?;
    let secrets_mac = compute_provider_secrets_mac(tx, (changed.id, version.endpoints), new.secrets);
    tx.defer(
        sql!(
            "-- replace the settings of a provider
            UPDATE providers SET source = ?2, settings = ?3, version = ?4, endpoints_version = ?5, former_revokes = ?6,
                mac = ?7, data_key = ?8, secrets = ?9, secrets_mac = ?10, audit_head = ?11, updated_at = ?12
            WHERE id = ?1"
        ),
        values![
            changed.id,
            changed.source,
            settings,
            version.number,
            version.endpoints,
            version.has_former_revocation,
            mac,
            new.secrets.map(|sealed| sealed.data_key.clone()),
            new.secrets.map(|sealed| sealed.secrets.clone()),
            secrets_mac,
            head,
            moment.now
        ],
    );
    Ok(Ok(change))
}

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

/// The result of [`StoreProviderMetadata`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreMetadataOutcome {
    /// The metadata are the stored ones, there is no such provider, or it has another issuer now.
    Unchanged,
    /// The names of the members that have changed.
    Stored(Vec<String>),
    /// The metadata were not stored: the provider has left its endpoints too often while grants at them exist.
    TooManyFormerSettings,
}

impl Command for StoreProviderMetadata {
    type Reply = StoreMetadataOutcome;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<StoreMetadataOutcome> {
        let Some(provider) = lock_provider(tx, self.provider_id).await? else {
            return Ok(StoreMetadataOutcome::Unchanged);
        };
        // The settings may have got another issuer while the metadata were requested.
        if provider.settings.issuer.as_ref() != Some(&self.metadata.issuer) {
            return Ok(StoreMetadataOutcome::Unchanged);
        }
        let unknown = ProviderMetadata::default();
        let changed = self.metadata.changed_members(provider.discovered.as_ref().unwrap_or(&unknown));
        if changed.is_empty() {
            return Ok(StoreMetadataOutcome::Unchanged);
        }
        let mut updated = Provider { discovered: Some(self.metadata.clone()), ..provider.clone() };
        let change = compare_providers(&provider, &updated);
        // The client is the same, so its secrets belong to the new endpoints too.
        let secrets = find_provider_secrets(tx, provider.id, provider.version.endpoints).await?;
        if change.leaves_endpoints {
            match leave_endpoints(tx, &self.moment, (&provider, &updated), &[]).await? {
                Some(version) => updated.version = version,
                None => return Ok(StoreMetadataOutcome::TooManyFormerSettings),
            }
        }
        let head = self.audit(tx, &provider, &changed, &change);
        let columns = ProviderMetadataColumns::new(tx, provider.id, Some(&self.metadata))?;
        let mac = ProviderSettingsColumns::new(tx, &updated)?.mac;
        let SettingsVersion { number, endpoints, has_former_revocation, .. } = updated.version;
        let secrets_mac = compute_provider_secrets_mac(tx, (provider.id, endpoints), secrets.as_ref());
        tx.defer(
            sql!(
                "-- store the metadata of a provider's issuer
                UPDATE providers SET metadata = ?2, metadata_mac = ?3, version = ?4, endpoints_version = ?5,
                    former_revokes = ?6, mac = ?7, secrets_mac = ?8, audit_head = ?9, updated_at = ?10
                WHERE id = ?1"
            ),
            values![
                provider.id,
                columns.metadata,
                columns.mac,
                number,
                endpoints,
                has_former_revocation,
                mac,
                secrets_mac,
                head,
                self.moment.now
            ],
        );
        Ok(StoreMetadataOutcome::Stored(changed))
    }
}

impl StoreProviderMetadata {
    fn audit(
        &self,
        tx: &mut Tx<'_>,
        provider: &Provider,
        changed: &[String],
        change: &SettingsChange,
    ) -> AuditHead {
        let detail = json!({
            "first": provider.discovered.is_none(),
            "members": describe_list(changed),
            "endpoints": change.describe_endpoints(),
        });
        let actor = Actor::new(ActorKind::Provider, provider.id.to_string());
        let subject = (SubjectKind::Provider, &provider.id);
        let action = AuditAction::ProviderMetadataChanged;
        let entry = build_audit_entry(subject, &self.moment, action, actor, &detail);
        tx.audit(&provider.audit, entry)
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
