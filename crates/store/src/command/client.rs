//! Clients: registered, changed, removed. Each change is an event of the client's own chain.

use domain::Moment;
use domain::id::ClientId;
use domain::model::audit_event::{Actor, AuditAction, AuditHead, SubjectKind};
use domain::model::client::{Client, ClientKind, ClientProfile, ClientState};
use domain::secret::TokenHash;
use serde_json::{Value, json};

use super::build_audit_entry;
use super::upstream_client::queue_upstream_client_deletions;
use crate::error::Result;
use crate::record::{find_client, lock_client};
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::{to_json, values};
use crate::{Command, CommandPriority};

/// Registers a client. One that is there already stays as it is.
#[derive(Debug)]
pub struct RegisterClient {
    /// When.
    pub moment: Moment,
    /// The client; its audit head is ignored.
    pub client: Client,
    /// What it says of itself.
    pub client_profile: ClientProfile,
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
        let (c, a) = (&self.client, &self.client_profile);
        if find_client(tx, &c.id).await?.is_some() {
            return Ok(false);
        }
        let detail = json!({"kind": c.kind.as_str(), "scope": c.scope.to_string(),
            "owner": c.owner_id.as_ref().map(ClientId::as_str)});
        let subject = (SubjectKind::Client, &c.id);
        let entry = build_audit_entry(
            subject,
            &self.moment,
            AuditAction::ClientRegistered,
            self.actor.clone(),
            &detail,
        );
        let head = tx.audit(&AuditHead::default(), entry);
        tx.defer(
            sql!(
                "-- register a client
                INSERT INTO clients (id, kind, owner_id, profile, state, name, purpose_en, purpose_fr, description,
                    country, logo_uri, terms_uri, client_uri, contacts, scope, redirect_uris, secret_hash,
                    credential_generation, require_pkce, max_duration_days, audit_seq, audit_mac, created_at,
                    updated_at)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
                    ?21, ?22, ?23, ?23)"
            ),
            values![
                c.id, c.kind, c.owner_id, c.profile, c.state, c.name, c.purpose.en, c.purpose.fr, a.description,
                a.country, a.logo_uri, a.terms_uri, a.client_uri, to_json(&a.contacts)?, c.scope,
                to_json(&c.redirect_uris)?, c.secret_hash, c.credential_generation, c.require_pkce,
                c.max_duration_days.map(u32::from), head.seq, head.mac, self.moment.now
            ],
        );
        Ok(true)
    }
}

/// A client that is there, as somebody may change it.
#[derive(Clone, Debug)]
pub struct ClientSelector {
    /// Which.
    pub client_id: ClientId,
    /// Only if it is of this kind; of either if absent.
    pub kind: Option<ClientKind>,
    /// Only if it is this partner's; anybody's if absent.
    pub partner: Option<ClientId>,
}

impl ClientSelector {
    /// A client of a kind, anybody's.
    pub const fn for_kind(kind: ClientKind, client_id: ClientId) -> Self {
        Self { client_id, kind: Some(kind), partner: None }
    }

    /// A recipient of a partner.
    pub const fn for_partner(partner: ClientId, client_id: ClientId) -> Self {
        Self { client_id, kind: Some(ClientKind::Recipient), partner: Some(partner) }
    }

    /// The client, locked; none if it is of another kind or another partner's.
    pub(super) async fn lock(&self, tx: &mut Tx<'_>) -> Result<Option<Client>> {
        let client = lock_client(tx, &self.client_id).await?;
        let kind = |c: &Client| self.kind.is_none_or(|kind| c.kind == kind);
        Ok(client.filter(|c| kind(c) && (self.partner.is_none() || c.owner_id == self.partner)))
    }

    /// The client, locked; none if it is of another kind, another partner's, or was removed.
    pub(super) async fn lock_unless_closed(&self, tx: &mut Tx<'_>) -> Result<Option<Client>> {
        Ok(self.lock(tx).await?.filter(|c| c.state != ClientState::Closed))
    }
}

/// Records what happened to a locked client.
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
            "-- a client's chain grows
            UPDATE clients SET audit_seq = ?2, audit_mac = ?3, updated_at = ?4 WHERE id = ?1"
        ),
        values![client.id, head.seq, head.mac, moment.now],
    );
}

/// Changes a client.
#[derive(Debug)]
pub struct UpdateClient {
    /// When.
    pub moment: Moment,
    /// Which.
    pub selector: ClientSelector,
    /// What of it.
    pub update: ClientUpdate,
    /// By whom.
    pub actor: Actor,
}

/// What may be changed of a client.
#[derive(Debug)]
pub enum ClientUpdate {
    /// It is held or reinstated. One that is so already stays without a trace.
    Suspended(bool),
    /// Every redirect URI that it has from now on. Those that are the same already leave no trace.
    RedirectUris(Vec<String>),
    /// How its secret is remembered from now on: the old one, and the client's own tokens, end with it.
    Secret(TokenHash),
}

impl Command for UpdateClient {
    /// Whether there is such a client.
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
                tx.defer(
                    sql!("-- hold or reinstate a client\nUPDATE clients SET state = ?2 WHERE id = ?1"),
                    values![client.id, state],
                );
                (AuditAction::ClientStateChanged, json!({"state": state.as_str()}))
            }
            ClientUpdate::RedirectUris(uris) if *uris == client.redirect_uris => return Ok(true),
            ClientUpdate::RedirectUris(uris) => {
                tx.defer(
                    sql!("-- replace a client's redirect URIs\nUPDATE clients SET redirect_uris = ?2 WHERE id = ?1"),
                    values![client.id, to_json(uris)?],
                );
                (AuditAction::RedirectUrisReplaced, json!({"redirect_uris": uris}))
            }
            ClientUpdate::Secret(hash) => {
                let generation = client.credential_generation + 1;
                tx.defer(
                    sql!(
                        "-- a client has another secret
                        UPDATE clients SET secret_hash = ?2, credential_generation = ?3 WHERE id = ?1"
                    ),
                    values![client.id, hash, generation],
                );
                (AuditAction::SecretRegenerated, json!({"generation": generation}))
            }
        };
        record_client_event(tx, &self.moment, &client, (action, &self.actor), &detail);
        Ok(true)
    }
}

/// Removes a client, for good. With the commit nothing of it is served or minted any more, whatever it has; its
/// connections end one after the other, by whoever works on its removal.
#[derive(Debug)]
pub struct RemoveClient {
    /// When.
    pub moment: Moment,
    /// Which.
    pub selector: ClientSelector,
    /// By whom.
    pub actor: Actor,
}

/// What became of a client that is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoveClientOutcome {
    /// It is removed.
    Removed,
    /// It was removed before: nothing has changed.
    AlreadyRemoved,
    /// There is no such client.
    NotFound,
}

impl Command for RemoveClient {
    type Reply = RemoveClientOutcome;
    const PRIORITY: CommandPriority = CommandPriority::High;

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
        tx.defer(
            sql!("-- close a client\nUPDATE clients SET state = ?2 WHERE id = ?1"),
            values![client.id, ClientState::Closed],
        );
        tx.defer(
            sql!(
                "-- a client's connections are to end
                INSERT INTO client_removals (client_id, actor_kind, actor_id, correlation_id, began_at)
                VALUES (?1, ?2, ?3, ?4, ?5)"
            ),
            values![
                client.id,
                self.actor.kind,
                self.actor.id,
                self.moment.correlation_id.to_string(),
                self.moment.now
            ],
        );
        record_client_event(tx, &self.moment, &client, (AuditAction::ClientRemoved, &self.actor), &json!({}));
        Ok(RemoveClientOutcome::Removed)
    }
}

/// A removal is over, if nothing of the client lives: its own clients at providers are of no more use.
#[derive(Debug)]
pub struct FinishClientRemoval {
    /// When.
    pub moment: Moment,
    /// The client that was removed.
    pub client_id: ClientId,
}

impl Command for FinishClientRemoval {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        let delete = sql!(
            "-- a removal is over
            DELETE FROM client_removals WHERE client_id = ?1 AND NOT EXISTS (
                SELECT 1 FROM connections WHERE client_id = ?1 AND status IN ('pending', 'active'))"
        );
        if tx.execute(delete, values![self.client_id]).await? > 0 {
            queue_upstream_client_deletions(tx, &self.moment, &self.client_id).await?;
        }
        Ok(())
    }
}
