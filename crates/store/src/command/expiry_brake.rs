//! Commands of the sweep: brake the ends by expiry at a provider, and record a complete sweep.

use domain::Moment;
use domain::id::ProviderId;
use domain::model::audit_event::{Actor, AuditAction, SubjectKind};
use domain::rule::expiry_brake::ExpiryState;
use serde_json::json;

use super::audit_entry::{append_to_provider, build_audit_entry};
use crate::entity::provider::lock_provider;
use crate::error::Result;
use crate::operation::Command;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// The name of the metadata entry with the time of the last complete sweep of any node.
pub(crate) const LAST_SWEEP: &str = "last_sweep";

/// Brakes the ends by expiry at a provider until an operator releases it.
#[derive(Debug)]
pub struct BrakeExpiry {
    pub moment: Moment,
    pub provider_id: ProviderId,
    /// The number of connections that would end.
    pub due: u64,
}

impl Command for BrakeExpiry {
    /// `false` if there is no such provider, or another node has braked it or an operator released it in the meantime.
    type Reply = bool;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool> {
        let Some(provider) = lock_provider(tx, self.provider_id).await? else {
            return Ok(false);
        };
        let inserted =
            tx.execute(BRAKE_EXPIRY, values![provider.id, ExpiryState::Braked, self.moment.now]).await?;
        if inserted == 0 {
            return Ok(false);
        }
        let subject = (SubjectKind::Provider, &provider.id);
        let detail = json!({"state": provider.state.as_str(), "expiry": ExpiryState::Braked.as_str(), "due": self.due});
        let actor = Actor::system("sweep");
        let entry = build_audit_entry(subject, &self.moment, AuditAction::ProviderChanged, actor, &detail);
        append_to_provider(tx, &provider, entry);
        Ok(true)
    }
}

/// Records a complete sweep, after which released providers are swept as usual.
#[derive(Debug)]
pub struct RecordSweep {
    pub moment: Moment,
    /// The providers that were released when the sweep began.
    pub released: Vec<ProviderId>,
}

impl Command for RecordSweep {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        tx.defer(SET_LAST_SWEEP, values![LAST_SWEEP, self.moment.now.millis().to_string()]);
        for provider_id in &self.released {
            tx.defer(END_RELEASE, values![*provider_id, ExpiryState::Released]);
        }
        Ok(())
    }
}

/// Lets the next sweep end every expired connection of a provider, if it was braked.
pub(super) fn release_expiry(tx: &mut Tx<'_>, moment: &Moment, provider_id: ProviderId) {
    tx.defer(RELEASE_EXPIRY, values![provider_id, ExpiryState::Braked, ExpiryState::Released, moment.now]);
}

static BRAKE_EXPIRY: &Sql = sql!(
    "-- brake the ends by expiry at a provider
    INSERT INTO expiry_brakes (provider_id, state, changed_at) VALUES (?1, ?2, ?3) ON CONFLICT (provider_id) DO NOTHING"
);
static RELEASE_EXPIRY: &Sql = sql!(
    "-- release the ends by expiry at a provider
    UPDATE expiry_brakes SET state = ?3, changed_at = ?4 WHERE provider_id = ?1 AND state = ?2"
);
static END_RELEASE: &Sql = sql!(
    "-- forget the release of a provider
    DELETE FROM expiry_brakes WHERE provider_id = ?1 AND state = ?2"
);
static SET_LAST_SWEEP: &Sql = sql!(
    "-- record the time of a sweep
    INSERT INTO store_metadata (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
);
