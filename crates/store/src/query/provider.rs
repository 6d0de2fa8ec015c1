//! Queries that read, list and count providers, for requests, operators and metrics.

use std::collections::BTreeMap;

use domain::id::{ClientId, ProviderId};
use domain::model::provider::{Provider, ProviderState};
use domain::model::registration::RegistrationState;

use crate::access_map::MapView;
use crate::entity::former_settings::{
    FormerSettings, PROVIDER_FORMER_SETTINGS, find_former_settings, former_settings_columns,
};
use crate::entity::provider::{find_provider, provider_columns};
use crate::entity::registration::has_registrations_in_use;
use crate::error::Result;
use crate::keyset_search::SearchPage;
use crate::operation::{Query, QueryKind};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// Reads the provider with an id, in any state.
#[derive(Clone, Debug)]
pub struct GetProvider {
    pub id: ProviderId,
}

impl Query for GetProvider {
    type Reply = Option<Provider>;
    const USES_ACCESS_MAP: bool = true;

    fn find_in_memory(&self, map: &MapView<'_>) -> Option<Self::Reply> {
        map.find_provider(self.id).map(Some)
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let provider = find_provider(tx, self.id).await?;
        if let (Some(fill), Some(provider)) = (tx.fill(), &provider) {
            fill.insert_provider(provider);
        }
        Ok(provider)
    }
}

/// Reads the settings that a provider had with endpoints which it has no longer.
#[derive(Clone, Debug)]
pub struct GetFormerSettings {
    pub provider_id: ProviderId,
    pub endpoints_version: i64,
}

impl Query for GetFormerSettings {
    type Reply = Option<FormerSettings>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        find_former_settings(tx, self.provider_id, self.endpoints_version).await
    }
}

/// Lists the former settings of a provider. Those that another program has changed are left out, so that they prevent no change of the
/// provider, for example of a stolen secret.
#[derive(Clone, Debug)]
pub struct ListProviderFormerSettings {
    pub provider_id: ProviderId,
}

impl Query for ListProviderFormerSettings {
    type Reply = Vec<FormerSettings>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        tx.fetch_verified(PROVIDER_FORMER_SETTINGS, values![self.provider_id]).await
    }
}

/// Lists the former settings of all providers, at most 10,000. Those that another program has changed are left out.
#[derive(Clone, Debug)]
pub struct ListFormerSettings;

impl Query for ListFormerSettings {
    type Reply = Vec<FormerSettings>;
    const KIND: QueryKind = QueryKind::Search;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let list = sql!(concat!(
            "-- list all former settings of providers\nSELECT ",
            former_settings_columns!(),
            " FROM former_provider_settings ORDER BY provider_id, endpoints_version LIMIT ?1"
        ));
        tx.fetch_verified(list, values![MAX_PROVIDERS]).await
    }
}

/// Counts the connections of a provider that have not ended.
#[derive(Clone, Debug)]
pub struct CountLiveConnections {
    pub provider_id: ProviderId,
}

impl Query for CountLiveConnections {
    type Reply = i64;
    const KIND: QueryKind = QueryKind::Search;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<i64> {
        let count = tx.fetch_value(LIVE_CONNECTIONS, values![self.provider_id], "connections").await?;
        Ok(count.unwrap_or_default())
    }
}

/// Determines whether recipients use a provider: whether it has registrations that are active or suspended.
#[derive(Clone, Debug)]
pub struct HasRegistrationsInUse {
    pub provider_id: ProviderId,
}

impl Query for HasRegistrationsInUse {
    type Reply = bool;
    const KIND: QueryKind = QueryKind::Search;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool> {
        has_registrations_in_use(tx, self.provider_id).await
    }
}

static LIVE_CONNECTIONS: &Sql = sql!(
    "-- count the connections of a provider that have not ended
    SELECT count(*) AS connections FROM connections WHERE provider_id = ?1 AND status IN ('pending', 'active')"
);

/// Lists the providers that a recipient has an active registration with. Paused and retired ones are included; those that another
/// program has changed are left out.
///
/// This is a lookup and not a search, because every authorization needs it and it reads only the recipient's registrations.
#[derive(Clone, Debug)]
pub struct ListRecipientProviders {
    pub client_id: ClientId,
}

impl Query for ListRecipientProviders {
    type Reply = Vec<Provider>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        tx.fetch_verified(RECIPIENT_PROVIDERS, values![self.client_id, RegistrationState::Active]).await
    }
}

static RECIPIENT_PROVIDERS: &Sql = sql!(
    "-- list the providers that a recipient is registered with
    SELECT p.id, p.state, p.state_mac, p.source, p.settings, p.version, p.endpoints_version, p.former_revokes, p.mac,
        p.metadata, p.metadata_mac, p.audit_head
    FROM registrations r JOIN providers p ON p.id = r.provider_id
    WHERE r.client_id = ?1 AND r.state = ?2 ORDER BY p.id"
);

/// Lists the providers in any state, at most 10,000.
#[derive(Clone, Debug)]
pub struct ListProviders;

const MAX_PROVIDERS: u32 = 10_000;

impl Query for ListProviders {
    type Reply = SearchPage<Provider>;
    const KIND: QueryKind = QueryKind::Search;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let providers = sql!(concat!(
            "-- list every provider\nSELECT ",
            provider_columns!(),
            " FROM providers ORDER BY id LIMIT ?1"
        ));
        let rows = tx.fetch_all(providers, values![MAX_PROVIDERS]).await?;
        Ok(SearchPage::new(rows, MAX_PROVIDERS, None))
    }
}

/// Counts the providers in each state. States without a provider are included with zero, so that each has a metric.
#[derive(Clone, Debug)]
pub struct CountProviders;

impl Query for CountProviders {
    type Reply = BTreeMap<&'static str, i64>;
    const KIND: QueryKind = QueryKind::Monitoring;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let count = sql!(
            "-- count providers by state
            SELECT state, count(*) AS providers FROM providers GROUP BY state"
        );
        let mut counts: BTreeMap<_, _> = ProviderState::ALL.iter().map(|state| (state.as_str(), 0)).collect();
        for mut row in tx.fetch_rows(count, &[]).await? {
            counts.insert(row.get::<ProviderState>("state")?.as_str(), row.get("providers")?);
        }
        Ok(counts)
    }
}

pub(super) static HOT_STATEMENTS: &[&Sql] = &[RECIPIENT_PROVIDERS, LIVE_CONNECTIONS];
