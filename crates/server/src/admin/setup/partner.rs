//! Partners: made, looked at, held, given other secrets.

use domain::Secret;
use domain::Timestamp;
use domain::id::ClientId;
use domain::model::audit_event::Actor;
use domain::model::client::{ClientKind, ClientState};
use schemars::JsonSchema;
use serde::Serialize;
use store::command::{ClientChange, Whose};
use store::query::{ClientSeen, ClientSeenById, Clients};

use super::SecretIssued;
use crate::admin::page::Asked;
use crate::admin::wire::{Time, Word, exposed};
use crate::admin::{AdminError, Page, Params};
use crate::ctx::Ctx;
use crate::manage::{Members, NewPartner, another_secret, change, register_partner};

/// A partner: it manages recipients and never receives data itself.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PartnerBody {
    /// Its id.
    #[schemars(with = "String")]
    client_id: ClientId,
    /// Its name.
    name: String,
    /// Whether it is served.
    state: Word<ClientState>,
    /// When it was made.
    created_at: Time,
}

impl PartnerBody {
    fn of(seen: ClientSeen) -> Self {
        let client = seen.recipient.client;
        Self {
            client_id: client.id,
            name: client.name,
            state: Word(client.state),
            created_at: seen.created_at.into(),
        }
    }
}

/// A partner that was made, with its secret.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PartnerCreated {
    /// The partner.
    partner: PartnerBody,
    /// Its secret, shown this once: it is not kept.
    #[serde(serialize_with = "exposed")]
    #[schemars(with = "String")]
    client_secret: Secret<String>,
}

const NOBODY: AdminError = AdminError::NotFound("partner");

fn id_of(text: &str) -> Result<ClientId, AdminError> {
    ClientId::parse(text).map_err(|_| NOBODY)
}

/// Where a list of clients goes on: the time and id of the last.
pub(super) fn key(seen: &ClientSeen) -> String {
    format!("{}|{}", seen.created_at.millis(), seen.recipient.client.id)
}

pub(super) fn read_key(text: &str) -> Option<(Timestamp, ClientId)> {
    let (time, id) = text.split_once('|')?;
    Some((Timestamp::from_millis(time.parse().ok()?), ClientId::parse(id).ok()?))
}

/// Partners, the newest first.
pub async fn list(ctx: &Ctx, query: Option<&str>) -> Result<Page<PartnerBody>, AdminError> {
    let params = Params::query(query, &["limit", "after"])?;
    let asked = Asked::of(ctx, "partners", &params)?;
    let (kind, after) = (ClientKind::Partner, asked.after(read_key)?);
    let rows = ctx.ask(&Clients { kind, partner: None, state: None, after, limit: asked.rows() }).await?;
    asked.page(ctx, rows, key, PartnerBody::of)
}

/// One partner.
pub async fn show(ctx: &Ctx, id: &str) -> Result<PartnerBody, AdminError> {
    of(ctx, id_of(id)?).await
}

async fn of(ctx: &Ctx, id: ClientId) -> Result<PartnerBody, AdminError> {
    let seen = ctx.ask(&ClientSeenById { kind: ClientKind::Partner, id }).await?;
    seen.map(PartnerBody::of).ok_or(NOBODY)
}

/// The fields of a partner to be made.
pub const FIELDS: [&str; 1] = ["name"];

/// Makes a partner.
pub async fn create(ctx: &Ctx, members: Members, actor: &Actor) -> Result<PartnerCreated, AdminError> {
    let name = members.known(&FIELDS)?.needed("name")?;
    let made = register_partner(ctx, NewPartner { credentials: None, name }, actor).await?;
    Ok(PartnerCreated { partner: of(ctx, made.client_id).await?, client_secret: made.client_secret })
}

/// Gives a partner another secret: the old one and the partner's tokens end.
pub async fn regenerate(ctx: &Ctx, id: &str, actor: Actor) -> Result<SecretIssued, AdminError> {
    let client_id = id_of(id)?;
    let whose = Whose::any(ClientKind::Partner, client_id.clone());
    let client_secret = another_secret(ctx, whose, actor).await?.ok_or(NOBODY)?;
    Ok(SecretIssued { client_id, client_secret })
}

/// Holds a partner or lets it go on. Its recipients and their connections are not touched.
pub async fn hold(ctx: &Ctx, id: &str, held: bool, actor: Actor) -> Result<PartnerBody, AdminError> {
    let client_id = id_of(id)?;
    let whose = Whose::any(ClientKind::Partner, client_id.clone());
    if change(ctx, whose, ClientChange::Held(held), actor).await? {
        of(ctx, client_id).await
    } else {
        Err(NOBODY)
    }
}
