//! Registrations: asked for by a partner, and the steps that an operator and a provider take.

use domain::Moment;
use domain::error::OAuthError;
use domain::id::{ClientId, ProviderId};
use domain::model::audit_event::{Action, Actor};
use domain::model::client::ClientKind;
use domain::model::job::JobKind;
use domain::model::provider::{Provider, Retired, UpstreamClient};
use domain::model::registration::{Registration, RegistrationState, RegistrationStep, WrongState};
use serde_json::json;

use super::client::{Whose, record};
use super::end_connection::{Sealed, queue};
use super::own_client::OfRegistration;
use crate::Command;
use crate::error::Result;
use crate::record::{provider, registration, registrations_of};
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::values;

/// Admits a recipient to a provider at once, as an operator may.
#[derive(Debug)]
pub struct PutRegistration {
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

impl Command for PutRegistration {
    /// Refused if the client or the provider does not exist.
    type Reply = Result<(), OAuthError>;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let whose = Whose::any(ClientKind::Recipient, self.client_id.clone());
        let (Some(client), Some(_)) = (whose.lock_open(tx).await?, provider(tx, self.provider_id).await?)
        else {
            return Ok(Err(domain::rule::authorize::NOT_REGISTERED));
        };
        put(tx, &self.moment, &client.id, self.provider_id, self.state);
        let detail = json!({"provider": self.provider_id, "state": self.state.as_str()});
        record(tx, &self.moment, &client, (Action::RegistrationChanged, &self.actor), &detail);
        Ok(Ok(()))
    }
}

fn put(tx: &mut Tx<'_>, moment: &Moment, client: &ClientId, provider: ProviderId, state: RegistrationState) {
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
pub struct BadPair {
    /// The recipient.
    pub client_id: ClientId,
    /// The provider.
    pub provider_id: ProviderId,
    /// Why not.
    pub why: WhyNot,
}

/// Why a registration cannot be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// There is no such recipient, or it is not this partner's.
    NoRecipient,
    /// There is no such provider, or it takes nobody any more.
    NoProvider,
    /// It was asked for before.
    Duplicate(RegistrationState),
}

impl Command for RequestRegistrations {
    /// The pairs that are in the way; nothing was done if there is one.
    type Reply = Result<(), Vec<BadPair>>;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let mut providers = Vec::new();
        for id in &self.providers {
            let takes = |p: &Provider| p.takes_recipients().is_ok();
            providers.push((*id, provider(tx, *id).await?.as_ref().is_some_and(takes)));
        }
        // In one order, so that two requests never wait for each other.
        let mut ids = self.clients.clone();
        ids.sort();
        let (mut clients, mut bad) = (Vec::new(), Vec::new());
        for id in &ids {
            let (client_id, partner) = (id.clone(), self.partner.clone());
            let whose = Whose { partner, ..Whose::any(ClientKind::Recipient, client_id) };
            let client = whose.lock_open(tx).await?;
            let former = registrations_of(tx, id).await?;
            for (provider_id, is_there) in &providers {
                let known = former.iter().find(|r| r.provider_id == *provider_id).map(|r| r.state);
                let why = match RegistrationState::requested(known) {
                    _ if client.is_none() => WhyNot::NoRecipient,
                    _ if !is_there => WhyNot::NoProvider,
                    Err(duplicate) => WhyNot::Duplicate(duplicate.0),
                    Ok(_) => continue,
                };
                bad.push(BadPair { client_id: id.clone(), provider_id: *provider_id, why });
            }
            clients.extend(client);
        }
        if !bad.is_empty() {
            return Ok(Err(bad));
        }
        let state = RegistrationState::PendingApproval;
        for client in &clients {
            for id in &self.providers {
                put(tx, &self.moment, &client.id, *id, state);
            }
            let detail = json!({"providers": self.providers, "state": state.as_str()});
            record(tx, &self.moment, client, (Action::RegistrationChanged, &self.actor), &detail);
        }
        Ok(Ok(()))
    }
}

/// Takes a step of a registration.
#[derive(Debug)]
pub struct StepRegistration {
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
    pub upstream: Option<SealedClient>,
    /// By whom.
    pub actor: Actor,
}

/// A recipient's own client at a provider, its secret sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedClient {
    /// Its id there.
    pub client_id: String,
    /// The wrapped key.
    pub data_key: Vec<u8>,
    /// Its sealed secret.
    pub secret: Vec<u8>,
    /// How it is deleted there, sealed, if the provider registered it by itself.
    pub management: Option<Vec<u8>>,
}

/// Why a step is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// There is no such registration.
    Unknown,
    /// It stands elsewhere.
    WrongState(WrongState),
    /// The provider takes nobody any more.
    Retired(Retired),
    /// The provider has a client for each registration, and none was given.
    NeedsClient,
    /// The provider knows the hub's own client alone, and another was given.
    TakesNoClient,
}

impl Command for StepRegistration {
    /// Where it stands now.
    type Reply = Result<RegistrationState, NotTaken>;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let whose = Whose::any(ClientKind::Recipient, self.client_id.clone());
        let client = whose.lock_open(tx).await?;
        let known = registration(tx, &self.client_id, self.provider_id).await?;
        let provider = provider(tx, self.provider_id).await?;
        let (Some(client), Some(known), Some(provider)) = (client, known, provider) else {
            return Ok(Err(NotTaken::Unknown));
        };
        let state = match self.check(&known, &provider) {
            Ok(state) => state,
            Err(not_taken) => return Ok(Err(not_taken)),
        };
        self.write(tx, state);
        // What sends it to the provider commits with the step.
        if self.step == RegistrationStep::Approve && provider.settings.dynamic_registration.is_some() {
            let about = OfRegistration { client_id: &client.id, provider_id: provider.id };
            queue(tx, &self.moment, JobKind::RegisterClient, &about, Sealed::nothing());
        }
        let detail = json!({"provider": self.provider_id, "state": state.as_str()});
        record(tx, &self.moment, &client, (Action::RegistrationChanged, &self.actor), &detail);
        Ok(Ok(state))
    }
}

impl StepRegistration {
    fn check(&self, known: &Registration, provider: &Provider) -> Result<RegistrationState, NotTaken> {
        let state = known.state.after(self.step).map_err(NotTaken::WrongState)?;
        if matches!(self.step, RegistrationStep::Approve | RegistrationStep::Activate) {
            provider.takes_recipients().map_err(NotTaken::Retired)?;
        }
        let own = provider.settings.upstream_client == UpstreamClient::Registration;
        match (&self.upstream, self.step == RegistrationStep::Activate && own) {
            (None, true) => Err(NotTaken::NeedsClient),
            (Some(_), false) => Err(NotTaken::TakesNoClient),
            (None, false) | (Some(_), true) => Ok(state),
        }
    }

    fn write(&self, tx: &mut Tx<'_>, state: RegistrationState) {
        tx.defer(
            sql!(
                "-- a registration goes a step on
                UPDATE registrations SET state = ?3, reason = ?4, updated_at = ?5
                WHERE client_id = ?1 AND provider_id = ?2"
            ),
            values![self.client_id, self.provider_id, state, self.reason, self.moment.now],
        );
        if let Some(own) = &self.upstream {
            tx.defer(
                sql!(
                    "-- a registration has a client of its own at the provider
                    UPDATE registrations SET upstream_client_id = ?3, upstream_data_key = ?4,
                        upstream_client_secret = ?5, upstream_management = ?6
                    WHERE client_id = ?1 AND provider_id = ?2"
                ),
                values![
                    self.client_id,
                    self.provider_id,
                    own.client_id,
                    own.data_key,
                    own.secret,
                    own.management
                ],
            );
        }
    }
}
