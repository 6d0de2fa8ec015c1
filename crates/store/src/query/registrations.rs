//! Queries that read and search registrations, for the partner API and the admin API.

use domain::Timestamp;
use domain::id::{ClientId, ProviderId};
use domain::model::provider::ProviderSettings;
use domain::model::registration::{Registration, RegistrationState};

use super::lookup::lookup;
use crate::entity::provider::PROVIDER_MAC;
use crate::entity::registration::{find_registration, list_verified_registrations, registration_columns};
use crate::error::Result;
use crate::keyset_search::{KeyRange, KeysetSearch, PageLimits, SearchPage, keyset_search};
use crate::operation::{Query, QueryKind};
use crate::row::{FromRow, Row};
use crate::row_mac::RowMac;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{ToValue, Value, encode_id_after_all, values};

lookup! {
    /// Reads the registration of a recipient with a provider.
    GetRegistration { client_id: ClientId, provider_id: ProviderId } -> Option<Registration>
        = |tx, query| find_registration(tx, &query.client_id, query.provider_id);
    /// Lists the registrations of a recipient, without those that another program has changed.
    ListRecipientRegistrations { client_id: ClientId } -> Vec<Registration>
        = |tx, query| list_verified_registrations(tx, &query.client_id);
}

/// Lists the registrations of a partner's recipients, those of the oldest recipient first. Removed recipients are excluded, and
/// registrations that another program has changed, or whose provider it has changed.
#[derive(Clone, Debug)]
pub struct ListPartnerRegistrations {
    pub partner: ClientId,
    /// The only recipient whose registrations are listed; `None` lists those of all recipients.
    pub client_id: Option<ClientId>,
    /// The recipient and the provider of the last registration of the previous page.
    pub after: Option<(ClientId, ProviderId)>,
    pub limit: u32,
}

/// A registration with the names of the recipient and the provider.
#[derive(Clone, Debug)]
pub struct NamedRegistration {
    pub registration: Registration,
    pub client_name: String,
    /// The settings of the provider, which contain its name and country.
    pub provider: ProviderSettings,
}

/// [`PROVIDER_MAC`] with the names that columns have next to a registration.
static JOINED_PROVIDER_MAC: RowMac = RowMac {
    columns: &["provider_id", "source", "settings", "version", "endpoints_version", "former_revokes"],
    mac: "provider_mac",
    id: ("provider_id", ""),
    ..PROVIDER_MAC
};

impl FromRow for NamedRegistration {
    fn from_row(row: &mut Row) -> Result<Self> {
        row.verify(&JOINED_PROVIDER_MAC)?;
        Ok(Self {
            registration: Registration::from_row(row)?,
            client_name: row.get("client_name")?,
            provider: row.get_json("settings")?,
        })
    }
}

impl Query for ListPartnerRegistrations {
    type Reply = SearchPage<NamedRegistration>;
    const KIND: QueryKind = QueryKind::Search;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let (partner, limit) = (&self.partner, self.limit);
        let rows = match (&self.client_id, &self.after) {
            (None, None) => tx.fetch_all(FIRST_PARTNER_REGISTRATIONS, values![partner, limit]).await?,
            (None, Some((client_id, provider_id))) => {
                let params = values![partner, limit, client_id, *provider_id];
                tx.fetch_all(LATER_PARTNER_REGISTRATIONS, params).await?
            }
            (Some(client_id), after) => {
                // Ids of providers are positive.
                let after = after.as_ref().map_or(ProviderId::new(0), |(_, provider_id)| *provider_id);
                tx.fetch_all(RECIPIENT_REGISTRATIONS, values![partner, limit, client_id, after]).await?
            }
        };
        Ok(SearchPage::new(rows, limit, None))
    }
}

macro_rules! select_partner_registrations {
    () => {
        concat!(
            "SELECT ",
            registration_columns!(),
            ", c.name AS client_name, p.source, p.settings, p.version, p.endpoints_version, p.former_revokes, p.mac AS provider_mac
    FROM clients c
    JOIN registrations r ON r.client_id = c.id
    JOIN providers p ON p.id = r.provider_id
    WHERE c.owner_id = ?1 AND c.kind = 'recipient' AND c.state <> 'closed'"
        )
    };
}

static FIRST_PARTNER_REGISTRATIONS: &Sql = sql!(concat!(
    "-- list the registrations of a partner's recipients\n",
    select_partner_registrations!(),
    " ORDER BY c.created_at, c.id, r.provider_id LIMIT ?2"
));
static LATER_PARTNER_REGISTRATIONS: &Sql = sql!(concat!(
    "-- list the registrations of a partner's recipients after one of them\n",
    select_partner_registrations!(),
    " AND (c.created_at, c.id, r.provider_id) > ((SELECT created_at FROM clients WHERE id = ?3), ?3, ?4)
    ORDER BY c.created_at, c.id, r.provider_id LIMIT ?2"
));
static RECIPIENT_REGISTRATIONS: &Sql = sql!(concat!(
    "-- list the registrations of one recipient of a partner\n",
    select_partner_registrations!(),
    " AND c.id = ?3 AND r.provider_id > ?4 ORDER BY r.provider_id LIMIT ?2"
));

/// A registration with the names of the recipient and the provider, and the recipient's partner.
#[derive(Clone, Debug)]
pub struct RegistrationSummary {
    pub named_registration: NamedRegistration,
    /// The partner that manages the recipient.
    pub partner: Option<ClientId>,
}

impl FromRow for RegistrationSummary {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self { named_registration: NamedRegistration::from_row(row)?, partner: row.get("owner_id")? })
    }
}

macro_rules! select_registration_summaries {
    () => {
        concat!(
            "SELECT ",
            registration_columns!(),
            ", c.name AS client_name, p.source, p.settings, p.version, p.endpoints_version, p.former_revokes, p.mac AS provider_mac, c.owner_id
    FROM registrations r
    JOIN clients c ON c.id = r.client_id
    JOIN providers p ON p.id = r.provider_id"
        )
    };
}

/// Reads a registration with its names and partner, unless its recipient was removed.
#[derive(Clone, Debug)]
pub struct GetRegistrationSummary {
    pub client_id: ClientId,
    pub provider_id: ProviderId,
}

impl Query for GetRegistrationSummary {
    type Reply = Option<RegistrationSummary>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        tx.fetch_optional(REGISTRATION_SUMMARY, values![self.client_id, self.provider_id]).await
    }
}

static REGISTRATION_SUMMARY: &Sql = sql!(concat!(
    "-- find the summary of a registration\n",
    select_registration_summaries!(),
    "\n    WHERE c.state <> 'closed' AND r.client_id = ?1 AND r.provider_id = ?2"
));

/// Lists registrations that match every filter, the newest first. Removed recipients are excluded.
#[derive(Clone, Debug)]
pub struct ListRegistrations {
    pub client_id: Option<ClientId>,
    pub provider_id: Option<ProviderId>,
    /// The partner that manages the recipient.
    pub partner: Option<ClientId>,
    pub state: Option<RegistrationState>,
    /// Time, recipient and provider of the last registration of the previous page.
    pub after: Option<(Timestamp, ClientId, ProviderId)>,
    pub limit: u32,
    /// The maximum number of rows that the search examines.
    pub window: u32,
}

impl ListRegistrations {
    /// Returns the search along the filter that selects the fewest registrations. Most registrations are active, so a
    /// filter for active ones comes after the provider. There is no search along the partner, because no index contains
    /// both the partner of a recipient and the time of a registration.
    const fn select_search(&self) -> &'static KeysetSearch {
        match self {
            Self { client_id: Some(_), .. } => &BY_CLIENT,
            Self { state: Some(RegistrationState::Active) | None, provider_id: Some(_), .. } => &BY_PROVIDER,
            Self { state: Some(_), .. } => &BY_STATE,
            _ => &BY_TIME,
        }
    }
}

impl Query for ListRegistrations {
    type Reply = SearchPage<RegistrationSummary>;
    const KIND: QueryKind = QueryKind::Search;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        // Without a cursor the list starts at the newest registration: no time is greater than this one.
        let newest = || [Value::Int(i64::MAX), encode_id_after_all(), Value::Int(i64::MAX)];
        let after = self.after.as_ref();
        let after = after.map_or_else(newest, |(time, client, provider)| {
            [time.to_value(), client.to_value(), provider.to_value()]
        });
        let filters = values![self.client_id, self.provider_id, self.partner, self.state];
        let lowest = vec![Value::Int(i64::MIN), Value::Blob(Vec::new()), Value::Int(i64::MIN)];
        let range = KeyRange { after: after.to_vec(), from: lowest };
        let limits = PageLimits { rows: self.limit, window: self.window };
        let key = |summary: &RegistrationSummary| {
            let registration = &summary.named_registration.registration;
            values![registration.requested_at, registration.client_id, registration.provider_id].to_vec()
        };
        self.select_search().fetch(tx, filters, range, limits, key).await
    }
}

keyset_search! {
    "search registrations",
    select: select_registration_summaries!(),
    filter: "c.state <> 'closed'
        AND r.client_id = COALESCE(?1, r.client_id) AND r.provider_id = COALESCE(?2, r.provider_id)
        AND COALESCE(c.owner_id, '') = COALESCE(?3, c.owner_id, '') AND r.state = COALESCE(?4, r.state)",
    after: "?5, ?6, ?7",
    from: "?8, ?9, ?10",
    limit: "?11",
    BY_CLIENT: "recipient" along "r.client_id = ?1" by ("r.requested_at", "r.client_id", "r.provider_id");
    BY_PROVIDER: "provider" along "r.provider_id = ?2" by ("r.requested_at", "r.client_id", "r.provider_id");
    BY_STATE: "state" along "r.state || '' = ?4" by ("r.requested_at", "r.client_id", "r.provider_id");
    BY_TIME: "time" along "TRUE" by ("r.requested_at", "r.client_id", "r.provider_id");
}

pub(super) static HOT_STATEMENTS: &[&Sql] = &[
    FIRST_PARTNER_REGISTRATIONS,
    LATER_PARTNER_REGISTRATIONS,
    RECIPIENT_REGISTRATIONS,
    REGISTRATION_SUMMARY,
];
