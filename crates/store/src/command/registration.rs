//! Registrations: asked for by a partner, and the steps that an operator and a provider take.

use domain::Moment;
use domain::error::OAuthError;
use domain::id::{ClientId, ProviderId};
use domain::model::audit_event::{Actor, AuditAction};
use domain::model::client::ClientKind;
use domain::model::job::JobKind;
use domain::model::provider::{Provider, ProviderRetiredError, UpstreamClientMode};
use domain::model::registration::{
    Registration, RegistrationState, RegistrationStep, RegistrationTransitionError,
};
use serde_json::json;

use super::client::{ClientSelector, record_client_event};
use super::end_connection::{SealedToken, queue_job};
use super::upstream_client::RegistrationSubject;
use crate::Command;
use crate::error::Result;
use crate::record::{find_provider, find_registration, list_registrations};
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::values;

/// Admits a recipient to a provider at once, as an operator may.
#[derive(Debug)]
pub struct ActivateRegistrationDirectly {
    /// When.
    pub moment: Moment,
    /// The recipient.
    pub client_id: ClientId,
    /// The provider.
    pub provider_id: ProviderId,
    /// Where it stands from now on.
    pub state: RegistrationState,
    /// By whom.
    pub actor: Actor,
}

impl Command for ActivateRegistrationDirectly {
    /// Refused if the client or the provider does not exist.
    type Reply = Result<(), OAuthError>;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let selector = ClientSelector::for_kind(ClientKind::Recipient, self.client_id.clone());
        let (Some(client), Some(_)) =
            (selector.lock_unless_closed(tx).await?, find_provider(tx, self.provider_id).await?)
        else {
            return Ok(Err(domain::rule::authorize::NOT_REGISTERED));
        };
        upsert_registration(tx, &self.moment, &client.id, self.provider_id, self.state);
        let detail = json!({"provider": self.provider_id, "state": self.state.as_str()});
        record_client_event(
            tx,
            &self.moment,
            &client,
            (AuditAction::RegistrationChanged, &self.actor),
            &detail,
        );
        Ok(Ok(()))
    }
}

fn upsert_registration(
    tx: &mut Tx<'_>,
    moment: &Moment,
    client: &ClientId,
    provider: ProviderId,
    state: RegistrationState,
) {
    tx.defer(
        sql!(
            "-- set a registration
            INSERT INTO registrations (client_id, provider_id, state, requested_at, updated_at)
            VALUES (?1, ?2, ?3, ?4, ?4)
            ON CONFLICT (client_id, provider_id) DO UPDATE SET state = excluded.state, reason = NULL,
                requested_at = excluded.requested_at, updated_at = excluded.updated_at"
        ),
        values![client, provider, state, moment.now],
    );
}

/// Asks for registrations of recipients with providers: each with each, all or none.
#[derive(Debug)]
pub struct RequestRegistrations {
    /// When.
    pub moment: Moment,
    /// Whose recipients they must be; anybody's if absent.
    pub partner: Option<ClientId>,
    /// The recipients.
    pub clients: Vec<ClientId>,
    /// The providers.
    pub providers: Vec<ProviderId>,
    /// By whom.
    pub actor: Actor,
}

/// A pair that cannot be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedPair {
    /// The recipient.
    pub client_id: ClientId,
    /// The provider.
    pub provider_id: ProviderId,
    /// Why not.
    pub reason: PairRejection,
}

/// Why a registration cannot be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairRejection {
    /// There is no such recipient, or it is not this partner's.
    RecipientNotFound,
    /// There is no such provider, or it takes nobody any more.
    ProviderNotAvailable,
    /// It was asked for before.
    Duplicate(RegistrationState),
}

impl Command for RequestRegistrations {
    /// The pairs that are in the way; nothing was done if there is one.
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
        // In one order, so that two requests never wait for each other.
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
            let detail = json!({"providers": self.providers, "state": state.as_str()});
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

/// Takes a step of a registration.
#[derive(Debug)]
pub struct TakeRegistrationStep {
    /// When.
    pub moment: Moment,
    /// The recipient.
    pub client_id: ClientId,
    /// The provider.
    pub provider_id: ProviderId,
    /// The step.
    pub step: RegistrationStep,
    /// Why, where somebody is turned down or held.
    pub reason: Option<String>,
    /// The recipient's own client at the provider, with the step `activate` alone.
    pub upstream_client: Option<SealedUpstreamClient>,
    /// By whom.
    pub actor: Actor,
}

/// A recipient's own client at a provider, its secret sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedUpstreamClient {
    /// Its id there.
    pub client_id: String,
    /// The wrapped key.
    pub data_key: Vec<u8>,
    /// Its sealed secret.
    pub secret: Vec<u8>,
    /// How it is deleted there, sealed, if the provider registered it by itself.
    pub configuration_access: Option<Vec<u8>>,
}

/// Why a step is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepRejected {
    /// There is no such registration.
    RegistrationNotFound,
    /// It stands elsewhere.
    WrongState(RegistrationTransitionError),
    /// The provider takes nobody any more.
    ProviderRetired(ProviderRetiredError),
    /// The provider has a client for each registration, and none was given.
    UpstreamClientRequired,
    /// The provider knows the hub's own client alone, and another was given.
    UpstreamClientNotAccepted,
}

impl Command for TakeRegistrationStep {
    /// Where it stands now.
    type Reply = Result<RegistrationState, StepRejected>;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let selector = ClientSelector::for_kind(ClientKind::Recipient, self.client_id.clone());
        let client = selector.lock_unless_closed(tx).await?;
        let current = find_registration(tx, &self.client_id, self.provider_id).await?;
        let provider = find_provider(tx, self.provider_id).await?;
        let (Some(client), Some(known), Some(provider)) = (client, current, provider) else {
            return Ok(Err(StepRejected::RegistrationNotFound));
        };
        let state = match self.validate_step(&known, &provider) {
            Ok(state) => state,
            Err(rejected) => return Ok(Err(rejected)),
        };
        self.write_step(tx, state);
        // What sends it to the provider commits with the step.
        if self.step == RegistrationStep::Approve && provider.settings.dynamic_registration.is_some() {
            let subject = RegistrationSubject { client_id: &client.id, provider_id: provider.id };
            queue_job(tx, &self.moment, JobKind::RegisterUpstreamClient, &subject, SealedToken::empty());
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
        known: &Registration,
        provider: &Provider,
    ) -> Result<RegistrationState, StepRejected> {
        let state = known.state.apply(self.step).map_err(StepRejected::WrongState)?;
        if matches!(self.step, RegistrationStep::Approve | RegistrationStep::Activate) {
            provider.ensure_accepts_recipients().map_err(StepRejected::ProviderRetired)?;
        }
        let per_registration = provider.settings.upstream_client == UpstreamClientMode::PerRegistration;
        match (&self.upstream_client, self.step == RegistrationStep::Activate && per_registration) {
            (None, true) => Err(StepRejected::UpstreamClientRequired),
            (Some(_), false) => Err(StepRejected::UpstreamClientNotAccepted),
            (None, false) | (Some(_), true) => Ok(state),
        }
    }

    fn write_step(&self, tx: &mut Tx<'_>, state: RegistrationState) {
        tx.defer(
            sql!(
                "-- a registration goes a step on
                UPDATE registrations SET state = ?3, reason = ?4, updated_at = ?5
                WHERE client_id = ?1 AND provider_id = ?2"
            ),
            values![self.client_id, self.provider_id, state, self.reason, self.moment.now],
        );
        if let Some(client) = &self.upstream_client {
            tx.defer(
                sql!(
                    "-- a registration has a client of its own at the provider
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
