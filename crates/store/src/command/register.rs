//! Clients, providers, registrations and marks: what an operator sets up.

use domain::id::{ClientId, ProviderId};
use domain::model::audit_event::{Action, Actor, AuditHead, SubjectKind};
use domain::model::client::{Client, ClientState};
use domain::model::provider::{Provider, ProviderState};
use domain::model::registration::Registration;
use domain::{Moment, OAuthError};
use serde_json::json;

use super::entry;
use crate::Command;
use crate::error::Result;
use crate::record::{client, lock_provider, provider};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{json, values};

/// Registers a client. One that is there already stays as it is.
#[derive(Debug)]
pub struct RegisterClient {
    /// When.
    pub moment: Moment,
    /// The client; its audit head is ignored.
    pub client: Client,
    /// By whom.
    pub actor: Actor,
}

impl Command for RegisterClient {
    /// Whether it is new.
    type Reply = bool;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool> {
        let c = &self.client;
        if client(tx, &c.id).await?.is_some() {
            return Ok(false);
        }
        let detail = json!({"kind": c.kind.as_str(), "scope": c.scope.to_string()});
        let subject = (SubjectKind::Client, &c.id);
        let entry = entry(subject, &self.moment, Action::ClientRegistered, self.actor.clone(), &detail);
        let head = tx.audit(&AuditHead::default(), entry);
        tx.defer(
            sql!(
                "-- register a client
                INSERT INTO clients (id, kind, profile, state, name, purpose_en, purpose_fr, contacts, scope,
                    redirect_uris, secret_hash, credential_generation, require_pkce, max_duration_days, audit_seq,
                    audit_mac, created_at, updated_at)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, '[]', ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?16)"
            ),
            values![
                c.id, c.kind, c.profile, c.state, c.name, c.purpose.en, c.purpose.fr, c.scope,
                json(&c.redirect_uris)?, c.secret_hash, c.credential_generation, c.require_pkce,
                c.max_duration_days.map(u32::from), head.seq, head.mac, self.moment.now
            ],
        );
        Ok(true)
    }
}

/// Holds or reinstates a client.
#[derive(Debug)]
pub struct SetClientState {
    /// When.
    pub moment: Moment,
    /// Which.
    pub client_id: ClientId,
    /// To what.
    pub state: ClientState,
    /// By whom.
    pub actor: Actor,
}

impl Command for SetClientState {
    /// Whether there is such a client.
    type Reply = bool;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool> {
        let Some(client) = client(tx, &self.client_id).await? else {
            return Ok(false);
        };
        let detail = json!({"state": self.state.as_str()});
        let subject = (SubjectKind::Client, &client.id);
        let entry = entry(subject, &self.moment, Action::ClientStateChanged, self.actor.clone(), &detail);
        let head = tx.audit(&client.audit, entry);
        tx.defer(
            sql!(
                "-- hold or reinstate a client
                UPDATE clients SET state = ?2, audit_seq = ?3, audit_mac = ?4, updated_at = ?5 WHERE id = ?1"
            ),
            values![client.id, self.state, head.seq, head.mac, self.moment.now],
        );
        Ok(true)
    }
}

/// Replaces a client's redirect URIs. Those that are the same already leave no trace.
#[derive(Debug)]
pub struct ReplaceRedirectUris {
    /// When.
    pub moment: Moment,
    /// Whose.
    pub client_id: ClientId,
    /// Every URI that it has from now on.
    pub redirect_uris: Vec<String>,
    /// By whom.
    pub actor: Actor,
}

impl Command for ReplaceRedirectUris {
    /// Whether there is such a client.
    type Reply = bool;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool> {
        let Some(client) = client(tx, &self.client_id).await? else {
            return Ok(false);
        };
        if client.redirect_uris == self.redirect_uris {
            return Ok(true);
        }
        let detail = json!({"redirect_uris": self.redirect_uris});
        let subject = (SubjectKind::Client, &client.id);
        let entry = entry(subject, &self.moment, Action::RedirectUrisReplaced, self.actor.clone(), &detail);
        let head = tx.audit(&client.audit, entry);
        tx.defer(
            sql!(
                "-- replace a client's redirect URIs
                UPDATE clients SET redirect_uris = ?2, audit_seq = ?3, audit_mac = ?4, updated_at = ?5 WHERE id = ?1"
            ),
            values![client.id, json(&self.redirect_uris)?, head.seq, head.mac, self.moment.now],
        );
        Ok(true)
    }
}

/// Writes a provider of the configuration. Its state is kept, an unchanged one leaves no trace.
#[derive(Debug)]
pub struct UpsertProvider {
    /// When.
    pub moment: Moment,
    /// The provider; its audit head is ignored.
    pub provider: Provider,
    /// By whom.
    pub actor: Actor,
}

impl Command for UpsertProvider {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        let p = &self.provider;
        let known = lock_provider(tx, p.id).await?;
        if known.as_ref().is_some_and(|k| k.settings == p.settings && k.source == p.source) {
            return Ok(());
        }
        let (state, head) = known.map_or((p.state, AuditHead::default()), |k| (k.state, k.audit));
        let head = tx.audit(&head, changed(&self.moment, p.id, state, &self.actor));
        tx.defer(
            sql!(
                "-- write a provider
                INSERT INTO providers (id, state, source, settings, audit_seq, audit_mac, created_at, updated_at)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)
                ON CONFLICT (id) DO UPDATE SET source = excluded.source, settings = excluded.settings,
                    audit_seq = excluded.audit_seq, audit_mac = excluded.audit_mac, updated_at = excluded.updated_at"
            ),
            values![p.id, state, p.source, json(&p.settings)?, head.seq, head.mac, self.moment.now],
        );
        Ok(())
    }
}

fn changed(
    moment: &Moment,
    id: ProviderId,
    state: ProviderState,
    actor: &Actor,
) -> domain::model::audit_event::AuditEntry {
    let detail = json!({"state": state.as_str()});
    entry((SubjectKind::Provider, &id), moment, Action::ProviderChanged, actor.clone(), &detail)
}

/// Holds or releases a provider.
#[derive(Debug)]
pub struct SetProviderState {
    /// When.
    pub moment: Moment,
    /// Which.
    pub provider_id: ProviderId,
    /// To what.
    pub state: ProviderState,
    /// By whom.
    pub actor: Actor,
}

impl Command for SetProviderState {
    /// Whether there is such a provider.
    type Reply = bool;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool> {
        let Some(provider) = lock_provider(tx, self.provider_id).await? else {
            return Ok(false);
        };
        let particulars = json!({"state": self.state.as_str()});
        set_state(tx, &self.moment, &provider, self.state, self.actor.clone(), &particulars);
        Ok(true)
    }
}

/// Sets the state of a locked provider. A change begins a new span of its refreshes, however short the last.
pub(super) fn set_state(
    tx: &mut Tx<'_>,
    moment: &Moment,
    provider: &Provider,
    state: ProviderState,
    actor: Actor,
    particulars: &serde_json::Value,
) {
    let subject = (SubjectKind::Provider, &provider.id);
    let entry = entry(subject, moment, Action::ProviderChanged, actor, particulars);
    let head = tx.audit(&provider.audit, entry);
    tx.defer(
        sql!(
            "-- hold or release a provider
            UPDATE providers SET state = ?2, audit_seq = ?3, audit_mac = ?4, updated_at = ?5,
                state_changed_at = (CASE WHEN state = ?2 THEN state_changed_at
                    WHEN state_changed_at >= ?5 THEN state_changed_at + 1 ELSE ?5 END)
            WHERE id = ?1"
        ),
        values![provider.id, state, head.seq, head.mac, moment.now],
    );
}

/// Sets where a registration stands.
#[derive(Debug)]
pub struct PutRegistration {
    /// When.
    pub moment: Moment,
    /// The registration.
    pub registration: Registration,
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
        let r = &self.registration;
        let (Some(client), Some(_)) = (client(tx, &r.client_id).await?, provider(tx, r.provider_id).await?)
        else {
            return Ok(Err(domain::rule::authorize::NOT_REGISTERED));
        };
        let detail = json!({"provider": r.provider_id, "state": r.state.as_str()});
        let subject = (SubjectKind::Client, &client.id);
        let entry = entry(subject, &self.moment, Action::RegistrationChanged, self.actor.clone(), &detail);
        let head = tx.audit(&client.audit, entry);
        tx.defer(
            sql!(
                "-- set a registration
                INSERT INTO registrations (client_id, provider_id, state, requested_at, updated_at)
                VALUES (?1, ?2, ?3, ?4, ?4)
                ON CONFLICT (client_id, provider_id) DO UPDATE SET state = excluded.state,
                    updated_at = excluded.updated_at"
            ),
            values![r.client_id, r.provider_id, r.state, self.moment.now],
        );
        tx.defer(GROW_CLIENT, values![client.id, head.seq, head.mac]);
        Ok(Ok(()))
    }
}

static GROW_CLIENT: &Sql =
    sql!("-- a client's chain grows\nUPDATE clients SET audit_seq = ?2, audit_mac = ?3 WHERE id = ?1");

/// Sets a mark of the store itself, as `sandbox` or the key file's id. The first value stays.
#[derive(Debug)]
pub struct SetMark {
    /// When.
    pub moment: Moment,
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

impl Command for SetMark {
    /// The value that stands.
    type Reply = String;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<String> {
        let insert = sql!(
            "-- set a mark
            INSERT INTO marks (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING"
        );
        tx.execute(insert, values![self.name, self.value]).await?;
        let row = tx.query_opt(MARK, values![self.name]).await?;
        crate::record::scalar(row)?.ok_or(crate::StoreError::Race)
    }
}

pub(crate) static MARK: &Sql = sql!("-- a mark\nSELECT value FROM marks WHERE name = ?1");
