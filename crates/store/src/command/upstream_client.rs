//! Clients of recipients' own that are of no more use at their provider: a job has each deleted there.

use domain::Moment;
use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::job::JobKind;

use super::end_connection::{JobSubject, SealedToken, queue_job};
use crate::Command;
use crate::error::Result;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// A registration that a job is about.
pub(super) struct RegistrationSubject<'a> {
    pub(super) client_id: &'a ClientId,
    pub(super) provider_id: ProviderId,
}

impl JobSubject for RegistrationSubject<'_> {
    fn connection_id(&self) -> Option<&ConnectionId> {
        None
    }
    fn provider_id(&self) -> ProviderId {
        self.provider_id
    }
    fn client_id(&self) -> Option<&ClientId> {
        Some(self.client_id)
    }
}

/// Has a client deleted at its provider that no registration took.
#[derive(Debug)]
pub struct DetachUpstreamClient {
    /// When.
    pub moment: Moment,
    /// The recipient that it was made for.
    pub client_id: ClientId,
    /// The provider.
    pub provider_id: ProviderId,
    /// The wrapped key.
    pub data_key: Vec<u8>,
    /// How it is deleted, sealed.
    pub configuration_access: Vec<u8>,
}

impl Command for DetachUpstreamClient {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        let subject = RegistrationSubject { client_id: &self.client_id, provider_id: self.provider_id };
        let sealed = SealedToken::new(self.data_key.clone(), self.configuration_access.clone());
        queue_job(tx, &self.moment, JobKind::DeleteUpstreamClient, &subject, sealed);
        Ok(())
    }
}

/// Has every client of a recipient deleted that the hub knows how to delete, each once.
pub(super) async fn queue_upstream_client_deletions(
    tx: &mut Tx<'_>,
    moment: &Moment,
    client_id: &ClientId,
) -> Result<()> {
    for mut row in tx.query(DELETABLE_UPSTREAM_CLIENTS, values![client_id]).await? {
        let subject = RegistrationSubject { client_id, provider_id: row.next()? };
        queue_job(
            tx,
            moment,
            JobKind::DeleteUpstreamClient,
            &subject,
            SealedToken::new(row.next()?, row.next()?),
        );
    }
    tx.defer(
        sql!(
            "-- a recipient's own clients are being deleted
            UPDATE registrations SET client_configuration = NULL
            WHERE client_id = ?1 AND client_configuration IS NOT NULL"
        ),
        values![client_id],
    );
    Ok(())
}

pub(crate) static DELETABLE_UPSTREAM_CLIENTS: &Sql = sql!(
    "-- a recipient's own clients that can be deleted
    SELECT provider_id, upstream_data_key, client_configuration FROM registrations
    WHERE client_id = ?1 AND client_configuration IS NOT NULL AND upstream_data_key IS NOT NULL
    ORDER BY provider_id"
);
