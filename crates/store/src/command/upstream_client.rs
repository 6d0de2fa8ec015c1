//! Commands that queue the deletion of upstream clients that are no longer needed. A job deletes each of them at its
//! provider (RFC 7592 section 2.3).

use domain::Moment;
use domain::id::{ClientId, ProviderId};
use domain::model::job::JobKind;

use super::job_queue::{JobSubject, SealedToken, queue_job};
use crate::error::Result;
use crate::operation::Command;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// Queues the deletion of an upstream client that the hub registered and that no registration uses.
#[derive(Debug)]
pub struct DetachUpstreamClient {
    pub moment: Moment,
    /// The recipient that the upstream client was registered for.
    pub client_id: ClientId,
    pub provider_id: ProviderId,
    /// The wrapped key that the client configuration access is sealed with.
    pub data_key: Vec<u8>,
    /// The sealed client configuration access (RFC 7592).
    pub configuration_access: Vec<u8>,
}

impl Command for DetachUpstreamClient {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        let subject = JobSubject::for_registration(&self.client_id, self.provider_id);
        let sealed = SealedToken::new(self.data_key.clone(), self.configuration_access.clone());
        queue_job(tx, &self.moment, JobKind::DeleteUpstreamClient, subject, sealed);
        Ok(())
    }
}

/// Queues the deletion of every upstream client of a recipient for which the hub has client configuration access. The
/// access moves to the jobs, so that each deletion is queued once.
pub(super) async fn queue_upstream_client_deletions(
    tx: &mut Tx<'_>,
    moment: &Moment,
    client_id: &ClientId,
) -> Result<()> {
    for mut row in tx.fetch_rows(DELETABLE_UPSTREAM_CLIENTS, values![client_id]).await? {
        let subject = JobSubject::for_registration(client_id, row.get("provider_id")?);
        let sealed = SealedToken::new(row.get("upstream_data_key")?, row.get("client_configuration")?);
        queue_job(tx, moment, JobKind::DeleteUpstreamClient, subject, sealed);
    }
    tx.defer(
        sql!(
            "-- delete the client configuration access of a recipient
            UPDATE registrations SET client_configuration = NULL
            WHERE client_id = ?1 AND client_configuration IS NOT NULL"
        ),
        values![client_id],
    );
    Ok(())
}

static DELETABLE_UPSTREAM_CLIENTS: &Sql = sql!(
    "-- list the upstream clients of a recipient that can be deleted
    SELECT provider_id, upstream_data_key, client_configuration FROM registrations
    WHERE client_id = ?1 AND client_configuration IS NOT NULL AND upstream_data_key IS NOT NULL
    ORDER BY provider_id"
);

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[DELETABLE_UPSTREAM_CLIENTS];
