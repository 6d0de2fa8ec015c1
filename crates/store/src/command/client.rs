//! Commands that register, change and remove clients. Each change appends an event to the client's audit chain.

use domain::Moment;
use domain::id::ClientId;
use domain::model::audit_event::{Actor, AuditAction, AuditHead, SubjectKind};
use domain::model::client::{Client, ClientKind, ClientProfile, ClientState};
use domain::secret::TokenHash;
use serde_json::{Value, json};

use super::audit_entry::{build_audit_entry, describe_list};
use super::upstream_client::queue_upstream_client_deletions;
use crate::entity::audit_event::encode_actor_id;
use crate::entity::client::{compute_client_mac, compute_client_state_mac, find_client, lock_client};
use crate::error::Result;
use crate::operation::{Command, CommandKind};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{to_json, values};

/// Registers a client. Does nothing if a client with the same id exists, or if its partner has too many recipients.
#[derive(Debug)]
pub struct RegisterClient {
    pub moment: Moment,
    /// The client to register. Its audit head is ignored, because the registration begins a new chain.
    pub client: Client,
    pub client_profile: ClientProfile,
    /// The maximum number of recipients of one partner, without removed ones; `None` means no limit.
    pub max_partner_recipients: Option<u32>,
    pub actor: Actor,
}

/// The outcome of [`RegisterClient`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterClientOutcome {
    Registered,
    /// A client with the same id exists.
    IdTaken,
    /// The partner has the maximum number of recipients.
    TooManyRecipients,
}

impl Command for RegisterClient {
    type Reply = RegisterClientOutcome;
    const LOCKS_PARTNER: bool = true;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<RegisterClientOutcome> {
        let (client, profile) = (&self.client, &self.client_profile);
        if find_client(tx, &client.id).await?.is_some() {
            return Ok(RegisterClientOutcome::IdTaken);
        }
        if self.has_too_many_recipients(tx).await? {
            return Ok(RegisterClientOutcome::TooManyRecipients);
        }
        let detail = json!({"kind": client.kind.as_str(), "scope": client.scope.to_string(),
            "owner": client.owner_id.as_ref().map(ClientId::as_str)});
        let subject = (SubjectKind::Client, &client.id);
        let actor = self.actor.clone();
        let entry = build_audit_entry(subject, &self.moment, AuditAction::ClientRegistered, actor, &detail);
        let head = tx.audit(&AuditHead::default(), entry);
        let (state_mac, mac) =
            (compute_client_state_mac(tx, client, client.state), compute_client_mac(tx, client)?);
        tx.defer(
            sql!(
                "-- register a client
                INSERT INTO clients (id, kind, owner_id, profile, state, name, purpose_en, purpose_fr, description,
                    country, logo_uri, terms_uri, client_uri, contacts, scope, redirect_uris, secret_hash,
                    credential_generation, require_pkce, max_duration_days, audit_head, created_at, updated_at,
                    state_mac, mac)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
                    ?21, ?22, ?22, ?23, ?24)"
            ),
            values![
                client.id, client.kind, client.owner_id, client.profile, client.state, client.name,
                client.purpose.en, client.purpose.fr, profile.description, profile.country, profile.logo_uri,
                profile.terms_uri, profile.client_uri, to_json(&profile.contacts)?, client.scope,
                to_json(&client.redirect_uris)?, client.secret_hash, client.credential_generation,
                client.require_pkce, client.max_duration_days.map(u32::from), head, self.moment.now, state_mac, mac
            ],
        );
        Ok(RegisterClientOutcome::Registered)
    }
}

static RECIPIENT_AT_LIMIT: &Sql = sql!(
    "-- find out whether a partner has a number of recipients
    SELECT id FROM clients WHERE owner_id = ?1 AND kind = 'recipient' AND state <> 'closed'
    ORDER BY created_at, id LIMIT 1 OFFSET ?2"
);

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[RECIPIENT_AT_LIMIT];

impl RegisterClient {
    /// Returns whether the partner of the new recipient has the maximum number of recipients.
    async fn has_too_many_recipients(&self, tx: &mut Tx<'_>) -> Result<bool> {
        let (Some(partner), Some(max)) = (&self.client.owner_id, self.max_partner_recipients) else {
            return Ok(false);
        };
        // The lock makes concurrent registrations for one partner wait for each other, so that each counts the others.
        lock_client(tx, partner).await?;
        let Some(index) = max.checked_sub(1) else { return Ok(true) };
        tx.exists(RECIPIENT_AT_LIMIT, values![partner, index]).await
    }
}

/// A selector for one client, with the conditions under which the caller may change it.
#[derive(Clone, Debug)]
pub struct ClientSelector {
    pub client_id: ClientId,
    /// The kind that the client must have; `None` accepts either kind.
    pub kind: Option<ClientKind>,
    /// The partner that must manage the client; `None` accepts every client.
    pub partner: Option<ClientId>,
}

impl ClientSelector {
    /// Selects a client of a kind, whichever partner manages it.
    pub const fn for_kind(kind: ClientKind, client_id: ClientId) -> Self {
        Self { client_id, kind: Some(kind), partner: None }
    }

    /// Selects a recipient that the partner manages.
    pub const fn for_partner(partner: ClientId, client_id: ClientId) -> Self {
        Self { client_id, kind: Some(ClientKind::Recipient), partner: Some(partner) }
    }

    /// Locks the client. Returns `None` if it does not exist or does not meet the conditions.
    pub(super) async fn lock(&self, tx: &mut Tx<'_>) -> Result<Option<Client>> {
        let client = lock_client(tx, &self.client_id).await?;
        let has_kind = |client: &Client| self.kind.is_none_or(|kind| client.kind == kind);
        let has_partner = |client: &Client| self.partner.is_none() || client.owner_id == self.partner;
        Ok(client.filter(|client| has_kind(client) && has_partner(client)))
    }

    /// Locks the client. Returns `None` if it does not exist, does not meet the conditions or was removed.
    pub(super) async fn lock_unless_closed(&self, tx: &mut Tx<'_>) -> Result<Option<Client>> {
        Ok(self.lock(tx).await?.filter(|client| client.state != ClientState::Closed))
    }
}

/// Appends an event to the audit chain of a locked client.
pub(super) fn record_client_event(
    tx: &mut Tx<'_>,
    moment: &Moment,
    client: &Client,
    (action, actor): (AuditAction, &Actor),
    detail: &Value,
) {
    let subject = (SubjectKind::Client, &client.id);
    let head = tx.audit(&client.audit, build_audit_entry(subject, moment, action, actor.clone(), detail));
    tx.defer(
        sql!(
            "-- advance the audit chain of a client
            UPDATE clients SET audit_head = ?2, updated_at = ?3 WHERE id = ?1"
        ),
        values![client.id, head, moment.now],
    );
}

fn write_client_state(tx: &mut Tx<'_>, client: &Client, state: ClientState) {
    let mac = compute_client_state_mac(tx, client, state);
    tx.defer(
        sql!("-- set the state of a client\nUPDATE clients SET state = ?2, state_mac = ?3 WHERE id = ?1"),
        values![client.id, state, mac],
    );
}

/// Suspends or reinstates a client, or replaces its redirect URIs or its secret.
#[derive(Debug)]
pub struct UpdateClient {
    pub moment: Moment,
    pub selector: ClientSelector,
    pub update: ClientUpdate,
    pub actor: Actor,
}

/// The change that [`UpdateClient`] makes: of the state, the redirect URIs or the secret.
#[derive(Debug)]
pub enum ClientUpdate {
    /// Suspends (`true`) or reinstates (`false`) the client. If the state does not change, no event is recorded.
    Suspended(bool),
    /// Replaces all redirect URIs. If they do not change, no event is recorded.
    RedirectUris(Vec<String>),
    /// Replaces the hash of the secret. The previous secret and the tokens issued to the client itself become invalid.
    Secret(TokenHash),
}

impl Command for UpdateClient {
    /// `false` if no client meets the conditions of the selector, or it was removed.
    type Reply = bool;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool> {
        let Some(client) = self.selector.lock_unless_closed(tx).await? else {
            return Ok(false);
        };
        let (action, detail) = match &self.update {
            ClientUpdate::Suspended(suspended) if *suspended == (client.state == ClientState::Suspended) => {
                return Ok(true);
            }
            ClientUpdate::Suspended(suspended) => {
                let state = if *suspended { ClientState::Suspended } else { ClientState::Active };
                write_client_state(tx, &client, state);
                (AuditAction::ClientStateChanged, json!({"state": state.as_str()}))
            }
            ClientUpdate::RedirectUris(uris) if *uris == client.redirect_uris => return Ok(true),
            ClientUpdate::RedirectUris(uris) => {
                let changed = Client { redirect_uris: uris.clone(), ..client.clone() };
                let mac = compute_client_mac(tx, &changed)?;
                tx.defer(
                    sql!(
                        "-- replace the redirect URIs of a client
                        UPDATE clients SET redirect_uris = ?2, mac = ?3 WHERE id = ?1"
                    ),
                    values![client.id, to_json(uris)?, mac],
                );
                (AuditAction::RedirectUrisReplaced, json!({"redirect_uris": describe_list(uris)}))
            }
            ClientUpdate::Secret(hash) => {
                // A token that is issued to the client itself contains the generation. Tokens of earlier generations
                // are rejected.
                let generation = client.credential_generation + 1;
                let changed =
                    Client { secret_hash: hash.clone(), credential_generation: generation, ..client.clone() };
                let mac = compute_client_mac(tx, &changed)?;
                tx.defer(
                    sql!(
                        "-- replace the secret of a client
                        UPDATE clients SET secret_hash = ?2, credential_generation = ?3, mac = ?4 WHERE id = ?1"
                    ),
                    values![client.id, hash, generation, mac],
                );
                (AuditAction::SecretRegenerated, json!({"generation": generation}))
            }
        };
        record_client_event(tx, &self.moment, &client, (action, &self.actor), &detail);
        Ok(true)
    }
}

/// Removes a client permanently. From the commit on, every access check rejects the client and its connections. The
/// connections themselves end afterwards, one by one, because a client may have more than fit into one transaction.
#[derive(Debug)]
pub struct RemoveClient {
    pub moment: Moment,
    pub selector: ClientSelector,
    pub actor: Actor,
}

/// The outcome of [`RemoveClient`], which can be repeated safely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoveClientOutcome {
    Removed,
    AlreadyRemoved,
    NotFound,
}

impl Command for RemoveClient {
    type Reply = RemoveClientOutcome;
    const KIND: CommandKind = CommandKind::End;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<RemoveClientOutcome> {
        let Some(client) = self.selector.lock(tx).await? else {
            return Ok(RemoveClientOutcome::NotFound);
        };
        if client.state == ClientState::Closed {
            return Ok(RemoveClientOutcome::AlreadyRemoved);
        }
        write_client_state(tx, &client, ClientState::Closed);
        tx.defer(
            sql!(
                "-- start the removal of a client
                INSERT INTO client_removals (client_id, actor_kind, actor_id, correlation_id, began_at)
                VALUES (?1, ?2, ?3, ?4, ?5)"
            ),
            values![
                client.id,
                self.actor.kind,
                encode_actor_id(self.actor.kind, self.actor.id.as_deref()),
                self.moment.correlation_id.to_string(),
                self.moment.now
            ],
        );
        record_client_event(tx, &self.moment, &client, (AuditAction::ClientRemoved, &self.actor), &json!({}));
        Ok(RemoveClientOutcome::Removed)
    }
}

/// Finishes a removal, and queues the deletion of the client's upstream clients. The caller must have ended all connections of
/// the client: the upstream clients were needed to revoke their grants. No new connection can be opened during that time, because
/// the client is closed.
#[derive(Debug)]
pub struct FinishClientRemoval {
    pub moment: Moment,
    pub client_id: ClientId,
}

impl Command for FinishClientRemoval {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        let delete = sql!(
            "-- finish the removal of a client
            DELETE FROM client_removals WHERE client_id = ?1"
        );
        // Only the node whose statement deletes the row queues the deletions.
        if tx.execute(delete, values![self.client_id]).await? > 0 {
            queue_upstream_client_deletions(tx, &self.moment, &self.client_id).await?;
        }
        Ok(())
    }
}
