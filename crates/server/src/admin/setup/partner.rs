//! Partners: made, looked at, held, given other secrets.

use domain::Secret;
use domain::id::ClientId;
use domain::model::audit_event::Actor;
use domain::model::client::{ClientKind, ClientState};
use schemars::JsonSchema;
use serde::Serialize;
use store::query::{ClientSeen, Clients};

use super::SecretIssued;
use super::client::{self, id_of, key, read_key, seen};
use crate::admin::page::Asked;
use crate::admin::{AdminError, Page, Params};
use crate::ctx::Ctx;
use crate::manage::{Members, NewPartner, register_partner};
use crate::wire::{Time, Word, exposed};

/// A partner: it manages recipients and never receives data itself.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Partner")]
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

const KIND: ClientKind = ClientKind::Partner;

/// Partners, the newest first.
pub async fn list(ctx: &Ctx, query: Option<&str>) -> Result<Page<PartnerBody>, AdminError> {
    let params = Params::query(query, &["limit", "after"])?;
    let asked = Asked::of(ctx, "partners", &params)?;
    let after = asked.after(read_key)?;
    let rows =
        ctx.ask(&Clients { kind: KIND, partner: None, state: None, after, limit: asked.rows() }).await?;
    asked.page(ctx, rows, key, PartnerBody::of)
}

/// One partner.
pub async fn show(ctx: &Ctx, id: &str) -> Result<PartnerBody, AdminError> {
    of(ctx, id_of(KIND, id)?).await
}

async fn of(ctx: &Ctx, id: ClientId) -> Result<PartnerBody, AdminError> {
    seen(ctx, KIND, id).await.map(PartnerBody::of)
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
    client::regenerate(ctx, KIND, id, actor).await
}

/// Holds a partner or lets it go on. Its recipients and their connections are not touched.
pub async fn hold(ctx: &Ctx, id: &str, held: bool, actor: Actor) -> Result<PartnerBody, AdminError> {
    client::hold(ctx, KIND, id, held, actor).await.map(PartnerBody::of)
}
