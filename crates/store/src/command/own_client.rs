//! Clients of recipients' own that are of no more use at their provider: a job has each deleted there.

use domain::Moment;
use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::job::JobKind;

use super::end_connection::{About, Sealed, queue};
use crate::Command;
use crate::error::Result;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// A registration that a job is about.
pub(super) struct OfRegistration<'a> {
    pub(super) client_id: &'a ClientId,
    pub(super) provider_id: ProviderId,
}

impl About for OfRegistration<'_> {
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
pub struct DisownClient {
    /// When.
    pub moment: Moment,
    /// The recipient that it was made for.
    pub client_id: ClientId,
    /// The provider.
    pub provider_id: ProviderId,
    /// The wrapped key.
    pub data_key: Vec<u8>,
    /// How it is deleted, sealed.
    pub management: Vec<u8>,
}

impl Command for DisownClient {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        let about = OfRegistration { client_id: &self.client_id, provider_id: self.provider_id };
        let sealed = Sealed::token(self.data_key.clone(), self.management.clone());
        queue(tx, &self.moment, JobKind::DeleteClient, &about, sealed);
        Ok(())
    }
}

/// Has every client of a recipient deleted that the hub knows how to delete, each once.
pub(super) async fn delete_all_of(tx: &mut Tx<'_>, moment: &Moment, client_id: &ClientId) -> Result<()> {
    for mut row in tx.query(DELETABLE, values![client_id]).await? {
        let about = OfRegistration { client_id, provider_id: row.take()? };
        queue(tx, moment, JobKind::DeleteClient, &about, Sealed::token(row.take()?, row.take()?));
    }
    tx.defer(
        sql!(
            "-- a recipient's own clients are being deleted
            UPDATE registrations SET upstream_management = NULL
            WHERE client_id = ?1 AND upstream_management IS NOT NULL"
        ),
        values![client_id],
    );
    Ok(())
}

pub(crate) static DELETABLE: &Sql = sql!(
    "-- a recipient's own clients that can be deleted
    SELECT provider_id, upstream_data_key, upstream_management FROM registrations
    WHERE client_id = ?1 AND upstream_management IS NOT NULL AND upstream_data_key IS NOT NULL
    ORDER BY provider_id"
);
