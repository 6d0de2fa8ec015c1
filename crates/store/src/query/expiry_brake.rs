//! The query that reads what a sweep must know before it ends connections.

use std::collections::BTreeMap;

use domain::Timestamp;
use domain::id::ProviderId;
use domain::rule::expiry_brake::ExpiryState;

use crate::command::expiry_brake::LAST_SWEEP;
use crate::command::set_metadata::METADATA_VALUE;
use crate::error::{Result, StoreError};
use crate::operation::{Query, QueryKind};
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::values;

/// Reads the time of the last sweep, and the providers whose ends by expiry are not running.
#[derive(Clone, Debug)]
pub struct GetSweepStatus;

/// The state of the sweep, which all nodes share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepStatus {
    /// The time of the last complete sweep of any node, at most a minute old while nodes sweep.
    pub last_sweep: Option<Timestamp>,
    /// The providers that are braked, or were released and not swept yet.
    pub brakes: BTreeMap<ProviderId, ExpiryState>,
}

impl SweepStatus {
    /// Returns the state of a provider.
    pub fn expiry_state(&self, provider_id: ProviderId) -> ExpiryState {
        self.brakes.get(&provider_id).copied().unwrap_or(ExpiryState::Running)
    }

    /// Lists the providers in a state other than `running`.
    pub fn list(&self, state: ExpiryState) -> impl Iterator<Item = ProviderId> {
        self.brakes.iter().filter(move |(_, known)| **known == state).map(|(id, _)| *id)
    }
}

impl Query for GetSweepStatus {
    type Reply = SweepStatus;
    const KIND: QueryKind = QueryKind::Monitoring;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<SweepStatus> {
        let last_sweep: Option<String> = tx.fetch_value(METADATA_VALUE, values![LAST_SWEEP], "value").await?;
        let last_sweep = last_sweep.map(|millis| millis.parse().map(Timestamp::from_millis)).transpose();
        let brakes = sql!("-- list the brakes of the sweep\nSELECT provider_id, state FROM expiry_brakes");
        let mut status =
            SweepStatus { last_sweep: last_sweep.map_err(StoreError::internal)?, ..SweepStatus::default() };
        for mut row in tx.fetch_rows(brakes, &[]).await? {
            status.brakes.insert(row.get("provider_id")?, row.get("state")?);
        }
        Ok(status)
    }
}
