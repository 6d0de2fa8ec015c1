//! Former settings of providers: they are kept when a provider leaves its endpoints, follow the secrets of their client, and are
//! deleted when no grant needs them any longer.

use std::time::Duration;

use domain::id::{ConnectionId, ProviderId};
use domain::model::connection::ConnectionStatus;
use domain::model::provider::{Provider, ProviderSettings, SettingsVersion};
use domain::{Moment, Timestamp};

use crate::entity::former_settings::{
    FormerSettings, OTHER_FORMER_SETTINGS, PROVIDER_FORMER_SETTINGS, find_former_settings,
};
use crate::entity::provider::{
    ProviderSettingsColumns, SealedProviderSecrets, find_provider_secrets, lock_provider,
};
use crate::error::Result;
use crate::operation::Command;
use crate::row::{FromRow, ListedRow, Row};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{ToValue, Value, values};

/// The maximum number of former settings of a provider. An issuer whose document names other endpoints again and again must not
/// fill the store.
pub const MAX_FORMER_SETTINGS: usize = 32;

/// The time after a change in which an operation that began before it may still store a token of the former endpoints: a login, an
/// exchange or a refresh. It is much longer than each of them takes.
const RUNNING_OPERATION_PERIOD: Duration = Duration::from_hours(2);

/// New secrets for former settings of a provider, or for the current ones if the change leaves their endpoints.
#[derive(Clone, Debug)]
pub struct FormerSettingsUpdate {
    pub endpoints_version: i64,
    pub settings: ProviderSettings,
    pub secrets: Option<SealedProviderSecrets>,
}

/// Keeps the settings of a locked provider whose endpoints a change leaves. Returns the version after the change, or `None` if the
/// provider has too many former settings.
pub(super) async fn leave_endpoints(
    tx: &mut Tx<'_>,
    moment: &Moment,
    (stored, changed): (&Provider, &Provider),
    updates: &[FormerSettingsUpdate],
) -> Result<Option<SettingsVersion>> {
    let former: Vec<FormerSettings> = tx.fetch_verified(PROVIDER_FORMER_SETTINGS, values![stored.id]).await?;
    // An issuer may alternate between documents, for example because its front ends differ. Endpoints that return get the version
    // that their grants are sealed with.
    let returning = former.iter().find(|former| former.has_endpoints_of(changed));
    if let Some(returning) = returning {
        tx.defer(DELETE_FORMER_SETTINGS, values![stored.id, returning.version.endpoints]);
    } else if former.len() >= MAX_FORMER_SETTINGS {
        return Ok(None);
    }
    let secrets = find_provider_secrets(tx, stored.id, stored.version.endpoints).await?;
    let mut kept = FormerSettings::from_provider(stored, secrets);
    if let Some(update) = updates.iter().find(|update| update.endpoints_version == stored.version.endpoints) {
        (kept.settings, kept.secrets) = (update.settings.clone(), update.secrets.clone());
    }
    let mut row = kept.to_columns(tx)?;
    row.push(Value::Int(moment.now.millis()));
    tx.defer(KEEP_FORMER_SETTINGS, &row);
    let number = stored.version.number + 1;
    Ok(Some(SettingsVersion {
        number,
        endpoints: returning.map_or(number, |former| former.version.endpoints),
        has_former_revocation: stored.version.has_former_revocation || !stored.settings.revoke.is_empty(),
        is_former: false,
    }))
}

/// Writes new secrets of a client to the former settings of a locked provider. `number` is the version of the provider after the
/// change.
pub(super) async fn update_former_settings(
    tx: &mut Tx<'_>,
    provider: &Provider,
    updates: &[FormerSettingsUpdate],
    number: i64,
) -> Result<()> {
    for update in updates {
        let Some(mut former) = find_former_settings(tx, provider.id, update.endpoints_version).await? else {
            continue;
        };
        (former.settings, former.secrets) = (update.settings.clone(), update.secrets.clone());
        // HTTP clients that were built with the former secrets are recognized by the number.
        former.version.number = number;
        let row = former.to_columns(tx)?;
        tx.defer(UPDATE_FORMER_SETTINGS, &row);
    }
    Ok(())
}

/// Deletes former settings, with their secrets, if no grant needs them any longer.
///
/// Which endpoints a token belongs to is sealed with it. So the settings count as needed while a login of their time is stored, or a
/// live connection has tokens that were stored before or soon after the change; and after that, while a job of this time is
/// unfinished. A connection that does not need them never will, so the search continues where the previous one has ended.
#[derive(Debug)]
pub struct DeleteFormerSettings {
    pub moment: Moment,
    pub provider_id: ProviderId,
    pub endpoints_version: i64,
    /// The maximum number of connections that are examined.
    pub limit: u32,
}

/// The result of [`DeleteFormerSettings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormerSettingsDeletion {
    /// There are no such settings any more.
    Gone,
    /// A grant or a login may need them.
    Needed,
    /// Only some of the connections were examined.
    Examining,
    Deleted,
}

impl Command for DeleteFormerSettings {
    type Reply = FormerSettingsDeletion;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<FormerSettingsDeletion> {
        let key = values![self.provider_id, self.endpoints_version];
        // The lock of the provider comes first, as in changes of its settings.
        let Some(provider) = lock_provider(tx, self.provider_id).await? else {
            return Ok(FormerSettingsDeletion::Gone);
        };
        let Some(progress) = tx.fetch_optional::<Progress>(PROGRESS, key).await? else {
            return Ok(FormerSettingsDeletion::Gone);
        };
        let Some(unneeded_at) = progress.unneeded_at else {
            return self.examine_connections(tx, &progress).await;
        };
        for unfinished in [PENDING_JOB, FAILED_JOB] {
            if tx.exists(unfinished, values![self.provider_id, unneeded_at]).await? {
                return Ok(FormerSettingsDeletion::Needed);
            }
        }
        self.delete(tx, provider).await?;
        Ok(FormerSettingsDeletion::Deleted)
    }
}

impl DeleteFormerSettings {
    /// Searches the next connections for one that needs the settings, and stores the progress.
    async fn examine_connections(
        &self,
        tx: &mut Tx<'_>,
        progress: &Progress,
    ) -> Result<FormerSettingsDeletion> {
        let until = progress.replaced_at.plus(RUNNING_OPERATION_PERIOD);
        if self.moment.now < until
            || tx.exists(LOGIN_BEFORE, values![self.provider_id, progress.replaced_at]).await?
        {
            return Ok(FormerSettingsDeletion::Needed);
        }
        // Every id is greater than the empty one.
        let after = progress.examined_until.as_ref().map_or(Value::Blob(Vec::new()), ToValue::to_value);
        let params = values![self.provider_id, after, self.limit];
        let examined: Vec<ExaminedConnection> = tx.fetch_all(NEXT_CONNECTIONS, params).await?;
        let is_complete = examined.len() < self.limit as usize;
        let needing = examined.iter().position(|connection| connection.needs_former(until));
        let last = examined[..needing.unwrap_or(examined.len())].last();
        let unneeded_at = (is_complete && needing.is_none()).then_some(self.moment.now);
        if last.is_some() || unneeded_at.is_some() {
            let examined_until = last.map(|connection| &connection.id).or(progress.examined_until.as_ref());
            tx.defer(
                STORE_PROGRESS,
                values![self.provider_id, self.endpoints_version, examined_until, unneeded_at],
            );
        }
        match needing {
            Some(_) => Ok(FormerSettingsDeletion::Needed),
            None => Ok(FormerSettingsDeletion::Examining),
        }
    }

    async fn delete(&self, tx: &mut Tx<'_>, provider: Provider) -> Result<()> {
        tx.defer(DELETE_FORMER_SETTINGS, values![self.provider_id, self.endpoints_version]);
        let remaining: Vec<ListedRow<FormerSettings>> =
            tx.fetch_all(OTHER_FORMER_SETTINGS, values![self.provider_id, self.endpoints_version]).await?;
        // Settings that another program has changed may have had a method: without one, the job of an end fails and says so.
        let has_former_revocation = remaining
            .into_iter()
            .any(|former| former.into_verified().is_none_or(|former| !former.settings.revoke.is_empty()));
        if has_former_revocation != provider.version.has_former_revocation {
            let version = SettingsVersion { has_former_revocation, ..provider.version };
            let provider = Provider { version, ..provider };
            let mac = ProviderSettingsColumns::new(tx, &provider)?.mac;
            tx.defer(SET_FORMER_REVOCATION, values![provider.id, has_former_revocation, mac]);
        }
        Ok(())
    }
}

/// The progress of the search for a connection that needs former settings.
struct Progress {
    replaced_at: Timestamp,
    /// The last connection that was examined. It and all before it do not need the settings.
    examined_until: Option<ConnectionId>,
    unneeded_at: Option<Timestamp>,
}

impl FromRow for Progress {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            replaced_at: row.get("replaced_at")?,
            examined_until: row.get("examined_until")?,
            unneeded_at: row.get("unneeded_at")?,
        })
    }
}

struct ExaminedConnection {
    id: ConnectionId,
    status: ConnectionStatus,
    /// The time at which its tokens were stored.
    stored_at: Option<Timestamp>,
}

impl ExaminedConnection {
    /// Returns whether the tokens may belong to endpoints that were left before `until`.
    fn needs_former(&self, until: Timestamp) -> bool {
        // The end of a connection has moved its tokens to a job.
        let is_live = matches!(self.status, ConnectionStatus::Pending | ConnectionStatus::Active);
        is_live && self.stored_at.is_none_or(|stored_at| stored_at < until)
    }
}

impl FromRow for ExaminedConnection {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self { id: row.get("id")?, status: row.get("status")?, stored_at: row.get("stored_at")? })
    }
}

static KEEP_FORMER_SETTINGS: &Sql = sql!(
    "-- keep the former settings of a provider
    INSERT INTO former_provider_settings (provider_id, endpoints_version, version, settings, metadata, data_key, secrets,
        mac, replaced_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
);
static UPDATE_FORMER_SETTINGS: &Sql = sql!(
    "-- replace the secrets of former settings
    UPDATE former_provider_settings SET version = ?3, settings = ?4, metadata = ?5, data_key = ?6, secrets = ?7, mac = ?8
    WHERE provider_id = ?1 AND endpoints_version = ?2"
);
static DELETE_FORMER_SETTINGS: &Sql = sql!(
    "-- delete former settings of a provider
    DELETE FROM former_provider_settings WHERE provider_id = ?1 AND endpoints_version = ?2"
);
static SET_FORMER_REVOCATION: &Sql = sql!(
    "-- set whether grants are revoked at former endpoints
    UPDATE providers SET former_revokes = ?2, mac = ?3 WHERE id = ?1"
);
static PROGRESS: &Sql = sql!(
    "-- find the progress of the search for a need of former settings
    SELECT replaced_at, examined_until, unneeded_at FROM former_provider_settings
    WHERE provider_id = ?1 AND endpoints_version = ?2"
);
static STORE_PROGRESS: &Sql = sql!(
    "-- store the progress of the search for a need of former settings
    UPDATE former_provider_settings SET examined_until = ?3, unneeded_at = ?4
    WHERE provider_id = ?1 AND endpoints_version = ?2"
);
// A request that is being exchanged stays until it has finished or was recovered, and every other one only for hours.
static LOGIN_BEFORE: &Sql = sql!(
    "-- find a login that began before a change of its provider
    SELECT id FROM authorization_requests WHERE provider_id = ?1 AND created_at <= ?2 LIMIT 1"
);
static NEXT_CONNECTIONS: &Sql = sql!(
    "-- list the next connections of a provider with the age of their tokens
    SELECT c.id, c.status, u.updated_at AS stored_at
    FROM connections c LEFT JOIN upstream_credentials u ON u.connection_id = c.id
    WHERE c.provider_id = ?1 AND c.id > ?2 ORDER BY c.id LIMIT ?3"
);
// An attempt of a job can replace it by one for an orphaned grant, with a token of the same endpoints and a later time.
static PENDING_JOB: &Sql = sql!(
    "-- find a pending job that may need former settings
    SELECT id FROM jobs WHERE provider_id = ?1 AND state = 'pending' AND token IS NOT NULL
        AND (created_at <= ?2 OR kind = 'revoke_orphaned_grant') LIMIT 1"
);
static FAILED_JOB: &Sql = sql!(
    "-- find a failed job that may need former settings
    SELECT id FROM jobs WHERE provider_id = ?1 AND state = 'failed' AND token IS NOT NULL
        AND (created_at <= ?2 OR kind = 'revoke_orphaned_grant') LIMIT 1"
);

pub(crate) static HOT_STATEMENTS: &[&Sql] =
    &[PROGRESS, LOGIN_BEFORE, NEXT_CONNECTIONS, PENDING_JOB, FAILED_JOB, DELETE_FORMER_SETTINGS];
