//! Commands for registrations of recipients with providers: the requests, and the steps that follow them.

use domain::Moment;
use domain::id::{ClientId, ProviderId};
use domain::model::audit_event::{Actor, AuditAction};
use domain::model::client::ClientKind;
use domain::model::job::JobKind;
use domain::model::provider::{Provider, ProviderRetiredError};
use domain::model::registration::{
    Registration, RegistrationState, RegistrationStep, RegistrationTransitionError,
};
use serde_json::json;

use super::audit_entry::describe_list;
use super::client::{ClientSelector, record_client_event};
use super::job_queue::{JobSubject, SealedToken, queue_job};
use crate::entity::provider::{find_provider, lock_provider};
use crate::entity::registration::{
    SealedUpstreamClient, compute_registration_mac, find_registration, list_registrations,
};
use crate::error::Result;
use crate::operation::Command;
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::values;

fn upsert_registration(
    tx: &mut Tx<'_>,
    moment: &Moment,
    client: &ClientId,
    provider: ProviderId,
    state: RegistrationState,
) {
    let mac = compute_registration_mac(tx, client, provider, state);
    tx.defer(
        sql!(
            "-- set a registration
            INSERT INTO registrations (client_id, provider_id, state, requested_at, updated_at, mac)
            VALUES (?1, ?2, ?3, ?4, ?4, ?5)
            ON CONFLICT (client_id, provider_id) DO UPDATE SET state = excluded.state, mac = excluded.mac, reason = NULL,
                requested_at = excluded.requested_at, updated_at = excluded.updated_at"
        ),
        values![client, provider, state, moment.now, mac],
    );
}

/// Requests the registration of each recipient with each provider. If one of these requests is rejected, none is
/// stored.
#[derive(Debug)]
pub struct RequestRegistrations {
    pub moment: Moment,
    /// The partner that must manage the recipients.
    pub partner: Option<ClientId>,
    pub clients: Vec<ClientId>,
    pub providers: Vec<ProviderId>,
    pub actor: Actor,
}

/// A pair of recipient and provider whose registration cannot be requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedPair {
    pub client_id: ClientId,
    pub provider_id: ProviderId,
    pub reason: PairRejection,
}

/// The reason why a registration cannot be requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairRejection {
    /// The recipient does not exist, or another partner manages it.
    RecipientNotFound,
    /// The provider does not exist, or is retired.
    ProviderNotAvailable,
    /// The registration already exists, in this state.
    Duplicate(RegistrationState),
}

impl Command for RequestRegistrations {
    /// The rejected pairs. If there is one, nothing was stored.
    type Reply = Result<(), Vec<RejectedPair>>;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let mut providers = Vec::new();
        for id in &self.providers {
            let accepts_recipients = |p: &Provider| p.ensure_accepts_recipients().is_ok();
            providers.push((*id, find_provider(tx, *id).await?.as_ref().is_some_and(accepts_recipients)));
        }
        // Clients are locked in the order of their ids, so that two requests for the same clients do not deadlock.
        let mut ids = self.clients.clone();
        ids.sort();
        let (mut clients, mut rejected) = (Vec::new(), Vec::new());
        for id in &ids {
            let (client_id, partner) = (id.clone(), self.partner.clone());
            let selector =
                ClientSelector { partner, ..ClientSelector::for_kind(ClientKind::Recipient, client_id) };
            let client = selector.lock_unless_closed(tx).await?;
            let previous = list_registrations(tx, id).await?;
            for (provider_id, is_available) in &providers {
                let current_state = previous.iter().find(|r| r.provider_id == *provider_id).map(|r| r.state);
                let reason = match RegistrationState::for_request(current_state) {
                    _ if client.is_none() => PairRejection::RecipientNotFound,
                    _ if !is_available => PairRejection::ProviderNotAvailable,
                    Err(duplicate) => PairRejection::Duplicate(duplicate.0),
                    Ok(_) => continue,
                };
                rejected.push(RejectedPair { client_id: id.clone(), provider_id: *provider_id, reason });
            }
            clients.extend(client);
        }
        if !rejected.is_empty() {
            return Ok(Err(rejected));
        }
        let state = RegistrationState::PendingApproval;
        for client in &clients {
            for id in &self.providers {
                upsert_registration(tx, &self.moment, &client.id, *id, state);
            }
            let detail = json!({"providers": describe_list(&self.providers), "state": state.as_str()});
            record_client_event(
                tx,
                &self.moment,
                client,
                (AuditAction::RegistrationChanged, &self.actor),
                &detail,
            );
        }
        Ok(Ok(()))
    }
}

/// Takes a step of a registration, such as its approval or its suspension.
#[derive(Debug)]
pub struct TakeRegistrationStep {
    pub moment: Moment,
    pub client_id: ClientId,
    pub provider_id: ProviderId,
    pub step: RegistrationStep,
    /// The reason for a rejection or suspension, which the partner can read.
    pub reason: Option<String>,
    /// The upstream client; accepted only with the step `activate`.
    pub upstream_client: Option<SealedUpstreamClient>,
    pub actor: Actor,
}

/// The reason why a step is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepRejected {
    RegistrationNotFound,
    /// The registration is in a state from which this step cannot be taken.
    WrongState(RegistrationTransitionError),
    ProviderRetired(ProviderRetiredError),
    /// The provider has an upstream client for each registration, and none was given.
    UpstreamClientRequired,
    /// An upstream client was given, and the provider has one for all registrations or the step is not `activate`.
    UpstreamClientNotAccepted,
    /// The hub authenticates with the client of each registration, and this one has no secret.
    UpstreamSecretRequired,
    /// The hub authenticates with its own client, and a secret was given.
    UpstreamSecretNotAccepted,
}

impl Command for TakeRegistrationStep {
    /// The new state of the registration.
    type Reply = Result<RegistrationState, StepRejected>;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let selector = ClientSelector::for_kind(ClientKind::Recipient, self.client_id.clone());
        let client = selector.lock_unless_closed(tx).await?;
        let current = find_registration(tx, &self.client_id, self.provider_id).await?;
        // The provider must not get another `upstream_client` while a registration is activated with a client for the former one.
        let provider = match self.step {
            RegistrationStep::Activate => lock_provider(tx, self.provider_id).await?,
            _ => find_provider(tx, self.provider_id).await?,
        };
        let (Some(client), Some(current), Some(provider)) = (client, current, provider) else {
            return Ok(Err(StepRejected::RegistrationNotFound));
        };
        let state = match self.validate_step(&current, &provider) {
            Ok(state) => state,
            Err(rejected) => return Ok(Err(rejected)),
        };
        self.write_step(tx, state);
        // RFC 7591: the hub registers the upstream client itself, and the job then activates the registration.
        if self.step == RegistrationStep::Approve && provider.settings.dynamic_registration.is_some() {
            let subject = JobSubject::for_registration(&client.id, provider.id);
            queue_job(tx, &self.moment, JobKind::RegisterUpstreamClient, subject, SealedToken::empty());
        }
        let detail = json!({"provider": self.provider_id, "state": state.as_str()});
        record_client_event(
            tx,
            &self.moment,
            &client,
            (AuditAction::RegistrationChanged, &self.actor),
            &detail,
        );
        Ok(Ok(state))
    }
}

impl TakeRegistrationStep {
    fn validate_step(
        &self,
        current: &Registration,
        provider: &Provider,
    ) -> Result<RegistrationState, StepRejected> {
        let state = current.state.apply(self.step).map_err(StepRejected::WrongState)?;
        if matches!(self.step, RegistrationStep::Approve | RegistrationStep::Activate) {
            provider.ensure_accepts_recipients().map_err(StepRejected::ProviderRetired)?;
        }
        let mode = provider.settings.upstream_client;
        let needs_client = self.step == RegistrationStep::Activate && mode.has_registration_clients();
        let Some(client) = &self.upstream_client else {
            return if needs_client { Err(StepRejected::UpstreamClientRequired) } else { Ok(state) };
        };
        match (client.has_secret, mode.has_registration_secrets()) {
            _ if !needs_client => Err(StepRejected::UpstreamClientNotAccepted),
            (false, true) => Err(StepRejected::UpstreamSecretRequired),
            (true, false) => Err(StepRejected::UpstreamSecretNotAccepted),
            (true, true) | (false, false) => Ok(state),
        }
    }

    fn write_step(&self, tx: &mut Tx<'_>, state: RegistrationState) {
        let mac = compute_registration_mac(tx, &self.client_id, self.provider_id, state);
        tx.defer(
            sql!(
                "-- take a step of a registration
                UPDATE registrations SET state = ?3, reason = ?4, updated_at = ?5, mac = ?6
                WHERE client_id = ?1 AND provider_id = ?2"
            ),
            values![self.client_id, self.provider_id, state, self.reason, self.moment.now, mac],
        );
        if let Some(client) = &self.upstream_client {
            tx.defer(
                sql!(
                    "-- store the upstream client of a registration
                    UPDATE registrations SET upstream_client_id = ?3, upstream_data_key = ?4,
                        upstream_client_secret = ?5, client_configuration = ?6
                    WHERE client_id = ?1 AND provider_id = ?2"
                ),
                values![
                    self.client_id,
                    self.provider_id,
                    client.client_id,
                    client.data_key,
                    client.secret,
                    client.configuration_access
                ],
            );
        }
    }
}
