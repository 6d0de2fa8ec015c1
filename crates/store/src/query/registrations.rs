//! Registrations as operators look for them: each search goes along an index.

use domain::Timestamp;
use domain::id::{ClientId, ProviderId};
use domain::model::registration::RegistrationState;

use super::manage::NamedRegistration;
use crate::Query;
use crate::error::Result;
use crate::record::FromRow;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{Row, values};

/// A registration with the names of both sides and the recipient's partner.
#[derive(Clone, Debug)]
pub struct RegistrationSummary {
    /// The registration.
    pub named_registration: NamedRegistration,
    /// The partner that manages the recipient.
    pub partner: Option<ClientId>,
}

impl FromRow for RegistrationSummary {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self { named_registration: NamedRegistration::from_row(row)?, partner: row.next()? })
    }
}

macro_rules! registration_summary_columns {
    () => {
        "SELECT r.client_id, r.provider_id, r.state, r.requested_at, r.reason, c.name, p.settings, c.owner_id
    FROM registrations r
    JOIN clients c ON c.id = r.client_id
    JOIN providers p ON p.id = r.provider_id
    WHERE c.state <> 'closed' "
    };
}

/// The registration of a recipient, which was not removed, with a provider.
#[derive(Clone, Debug)]
pub struct GetRegistrationSummary {
    /// The recipient.
    pub client_id: ClientId,
    /// The provider.
    pub provider_id: ProviderId,
}

impl Query for GetRegistrationSummary {
    type Reply = Option<RegistrationSummary>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let row = tx.query_opt(REGISTRATION_SUMMARY, values![self.client_id, self.provider_id]).await?;
        row.map(|mut row| RegistrationSummary::from_row(&mut row)).transpose()
    }
}

static REGISTRATION_SUMMARY: &Sql = sql!(concat!(
    "-- a registration, for operators\n",
    registration_summary_columns!(),
    "AND r.client_id = ?1 AND r.provider_id = ?2"
));

/// Registrations of recipients that were not removed, the newest first.
#[derive(Clone, Debug)]
pub struct ListRegistrations {
    /// Of this recipient.
    pub client_id: Option<ClientId>,
    /// With this provider.
    pub provider_id: Option<ProviderId>,
    /// Of recipients of this partner.
    pub partner: Option<ClientId>,
    /// In this state.
    pub state: Option<RegistrationState>,
    /// Behind this one: its time, recipient and provider.
    pub after: Option<(Timestamp, ClientId, ProviderId)>,
    /// At most so many.
    pub limit: u32,
}

impl ListRegistrations {
    /// The statement that goes along the narrowest index.
    const fn select_statement(&self) -> &'static Sql {
        match self {
            Self { client_id: Some(_), .. } => BY_CLIENT,
            Self { partner: Some(_), .. } => BY_PARTNER,
            Self { state: Some(RegistrationState::Active) | None, provider_id: Some(_), .. } => BY_PROVIDER,
            Self { state: Some(_), .. } => BY_STATE,
            _ => BY_TIME,
        }
    }
}

impl Query for ListRegistrations {
    type Reply = Vec<RegistrationSummary>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        // No id is greater than this one.
        let end = (Timestamp::from_millis(i64::MAX), "~", ProviderId::new(i64::MAX));
        let (time, client, provider) =
            self.after.as_ref().map_or(end, |after| (after.0, after.1.as_str(), after.2));
        let params = values![
            self.client_id,
            self.provider_id,
            self.partner,
            self.state,
            time,
            *client,
            provider,
            self.limit
        ];
        let rows = tx.query(self.select_statement(), params).await?;
        rows.into_iter().map(|mut row| RegistrationSummary::from_row(&mut row)).collect()
    }
}

/// A search along one index; what else is asked for is looked at in the rows.
macro_rules! registration_search {
    ($name:literal, $along:literal) => {
        sql!(concat!(
            "-- registrations by ",
            $name,
            "\n",
            registration_summary_columns!(),
            "AND ",
            $along,
            " AND r.client_id = COALESCE(?1, r.client_id) AND r.provider_id = COALESCE(?2, r.provider_id)
        AND COALESCE(c.owner_id, '') = COALESCE(?3, c.owner_id, '') AND r.state = COALESCE(?4, r.state)
        AND (r.requested_at, r.client_id, r.provider_id) < (?5, ?6, ?7)
    ORDER BY r.requested_at DESC, r.client_id DESC, r.provider_id DESC LIMIT ?8"
        ))
    };
}

static BY_CLIENT: &Sql = registration_search!("recipient", "r.client_id = ?1");
static BY_PROVIDER: &Sql = registration_search!("provider", "r.provider_id = ?2");
static BY_PARTNER: &Sql = registration_search!("partner", "c.owner_id = ?3");
static BY_STATE: &Sql = registration_search!("state", "r.state || '' = ?4");
static BY_TIME: &Sql = registration_search!("time", "r.requested_at <= ?5");

/// Every statement of this file.
pub(super) static STATEMENTS: [&Sql; 6] =
    [REGISTRATION_SUMMARY, BY_CLIENT, BY_PROVIDER, BY_PARTNER, BY_STATE, BY_TIME];
