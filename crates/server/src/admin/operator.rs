//! Operators: who is let in, and how they come and go.

use domain::id::OperatorId;
use domain::model::audit_event::{Actor, AuditHead};
use domain::model::operator::{BOOTSTRAP, LONGEST, OperatorToken, Role};
use domain::rule::operator::{LocalPeer, Operator, admit as admitted, admit_local, bootstrap as spends};
use domain::{Secret, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;
use store::command::{AddOperator, Added, AddedBy, IssueBootstrap, RemoveOperator};
use store::query::{OperatorBy, Operators};

use super::page::Asked;
use super::{AdminError, Page, Params};
use crate::ctx::Ctx;
use crate::wire::{Time, exposed};

/// How long a token lives if nothing is said.
const USUAL: Duration = Duration::from_hours(90 * 24);

/// How somebody comes: with a token, through the hub's own socket, or both.
#[derive(Debug)]
pub struct Came {
    /// The token.
    pub bearer: Option<Secret<String>>,
    /// Who is at the other end of the hub's own socket.
    pub local: Option<LocalPeer>,
}

/// Lets somebody in whose role covers `least`: the bearer of a token; without one, who may use the hub's own socket.
pub async fn admit(ctx: &Ctx, came: &Came, least: Role) -> Result<Operator, AdminError> {
    let local = came.local.map(admit_local).transpose()?;
    let Some(bearer) = &came.bearer else {
        return local.filter(|operator| operator.role().covers(least)).ok_or(AdminError::Unauthorized);
    };
    let hashes = ctx.app().vault().hashes(bearer.expose());
    let stored = ctx.ask(&OperatorBy { hashes: hashes.clone() }).await?;
    Ok(admitted(&hashes, stored.as_ref(), least, ctx.now())?)
}

/// Adds an operator by the right that somebody has now.
pub async fn add_by(ctx: &Ctx, params: &Params, came: &Came) -> Result<OperatorIssued, AdminError> {
    let later = ctx.later()?;
    let by = adder(&later, came).await?;
    add(&later, params, by).await
}

/// By whose right an operator is added: an admin's, or that of the token which makes the first one.
pub async fn adder(ctx: &Ctx, came: &Came) -> Result<AddedBy, AdminError> {
    match admit(ctx, came, Role::Admin).await {
        Err(AdminError::Bootstrap) => {}
        admitted => return Ok(AddedBy::Actor(admitted?.actor())),
    }
    let hashes = came.bearer.as_ref().map(|bearer| ctx.app().vault().hashes(bearer.expose()));
    let hashes = hashes.ok_or(AdminError::Unauthorized)?;
    let stored = ctx.ask(&OperatorBy { hashes: hashes.clone() }).await?;
    let first = spends(&hashes, stored.as_ref(), ctx.now()).ok_or(AdminError::Unauthorized)?;
    Ok(AddedBy::Bootstrap(first))
}

/// An operator as it is shown.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Operator")]
pub struct OperatorBody {
    /// Its id.
    #[schemars(with = "String")]
    id: OperatorId,
    /// Its name.
    name: String,
    /// What it may do; `bootstrap` for the token that makes the first admin.
    #[schemars(extend("enum" = ["viewer", "operator", "admin", BOOTSTRAP]))]
    role: &'static str,
    /// Whether its token is good.
    state: OperatorState,
    /// When it was added.
    created_at: Time,
    /// When its token expires.
    expires_at: Time,
    /// When it was removed.
    ended_at: Option<Time>,
}

/// Whether an operator's token is good.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperatorState {
    /// It is.
    Active,
    /// Its time is over.
    Expired,
    /// The operator was removed.
    Removed,
}

impl OperatorBody {
    fn of(token: OperatorToken, now: Timestamp) -> Self {
        let state = match token.ended_at {
            Some(_) => OperatorState::Removed,
            None if token.lives(now) => OperatorState::Active,
            None => OperatorState::Expired,
        };
        Self {
            id: token.id,
            name: token.name,
            role: if token.bootstrap { BOOTSTRAP } else { token.role.as_str() },
            state,
            created_at: token.created_at.into(),
            expires_at: token.expires_at.into(),
            ended_at: token.ended_at.map(Time),
        }
    }
}

/// An operator that was added. Its token is not kept and cannot be shown again.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OperatorIssued {
    /// The operator.
    operator: OperatorBody,
    /// Its token: a bearer of this API (RFC 6750). It is shown this once.
    #[serde(serialize_with = "exposed")]
    #[schemars(with = "String")]
    token: Secret<String>,
}

/// The fields of an operator to be added.
pub const FIELDS: [&str; 3] = ["name", "role", "expires_at"];

/// Adds an operator.
pub async fn add(ctx: &Ctx, params: &Params, by: AddedBy) -> Result<OperatorIssued, AdminError> {
    let role = params.word("role", Role::ALL, Role::as_str)?;
    let role = role.ok_or_else(|| AdminError::invalid("role", "expected viewer, operator, admin"))?;
    if matches!(by, AddedBy::Bootstrap(_)) && role != Role::Admin {
        return Err(AdminError::invalid("role", "expected admin: the first operator is one"));
    }
    let secret = ctx.secret()?;
    let token = OperatorToken {
        id: ctx.ids()?.mint(),
        name: name(params)?,
        role,
        bootstrap: false,
        hash: ctx.app().vault().hash(secret.expose()),
        created_at: ctx.now(),
        expires_at: expiry(ctx, params)?,
        ended_at: None,
        audit: AuditHead::default(),
    };
    match ctx.run(AddOperator { moment: ctx.moment()?, token: token.clone(), by }).await? {
        Added::Added => Ok(OperatorIssued { operator: OperatorBody::of(token, ctx.now()), token: secret }),
        Added::Taken => Err(AdminError::Conflict("An operator of this name is there already".into())),
        Added::Spent => Err(AdminError::Unauthorized),
    }
}

fn name(params: &Params) -> Result<String, AdminError> {
    let usable = |name: &str| {
        let fits = (1..=64).contains(&name.len());
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'@'));
        (fits && plain && name != BOOTSTRAP).then(|| name.to_owned())
    };
    let expected = "expected 1 to 64 letters, digits or -._@, and not bootstrap";
    params.read("name", expected, usable)?.ok_or_else(|| AdminError::invalid("name", expected))
}

fn expiry(ctx: &Ctx, params: &Params) -> Result<Timestamp, AdminError> {
    let most = ctx.now().plus(LONGEST);
    let in_time = |text: &str| Timestamp::parse(text).filter(|at| *at > ctx.now() && *at <= most);
    let expected = "expected a time in RFC 3339, at most 366 days from now";
    Ok(params.read("expires_at", expected, in_time)?.unwrap_or_else(|| ctx.now().plus(USUAL)))
}

/// Operators, the newest first.
pub async fn list(ctx: &Ctx, query: Option<&str>) -> Result<Page<OperatorBody>, AdminError> {
    let params = Params::query(query, &["limit", "after"])?;
    let asked = Asked::of(ctx, "operators", &params)?;
    let after = asked.after(|text| OperatorId::parse(text).ok())?;
    let rows = ctx.ask(&Operators { after, limit: asked.rows() }).await?;
    asked.page(ctx, rows, |row| row.id.to_string(), |row| OperatorBody::of(row, ctx.now()))
}

/// Removes an operator: its token is void once this is answered.
pub async fn remove(ctx: &Ctx, id: &str, by: &Operator) -> Result<(), AdminError> {
    let id = OperatorId::parse(id).map_err(|_| AdminError::NotFound("operator"))?;
    let removed = ctx.run(RemoveOperator { moment: ctx.moment()?, id, actor: by.actor() }).await?;
    if removed { Ok(()) } else { Err(AdminError::NotFound("operator")) }
}

/// The token that makes the first admin.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BootstrapIssued {
    /// The token: a bearer for adding one operator. It is shown this once.
    #[serde(serialize_with = "exposed")]
    #[schemars(with = "String")]
    token: Secret<String>,
}

/// As [`bootstrap`], to be shown.
pub async fn first(ctx: &Ctx, actor: Actor) -> Result<BootstrapIssued, AdminError> {
    Ok(BootstrapIssued { token: bootstrap(ctx, actor).await? })
}

/// Makes the token that makes the first admin; refused if there is one.
pub async fn bootstrap(ctx: &Ctx, actor: Actor) -> Result<Secret<String>, AdminError> {
    let secret = ctx.secret()?;
    let hash = ctx.app().vault().hash(secret.expose());
    if ctx.run(IssueBootstrap { moment: ctx.moment()?, hash, actor }).await? {
        Ok(secret)
    } else {
        Err(AdminError::Conflict("There is an admin already: ask them for a token of your own".into()))
    }
}

/// An admin whose token is known beforehand: of a world that is not real. One that is there stays as it is.
pub async fn seed(ctx: &Ctx, token: &Secret<String>, actor: &Actor) -> Result<(), AdminError> {
    let id = OperatorId::parse("opr_sandbox").map_err(|_| AdminError::NotFound("operator"))?;
    let token = OperatorToken {
        id,
        name: "sandbox".into(),
        role: Role::Admin,
        bootstrap: false,
        hash: ctx.app().vault().hash(token.expose()),
        created_at: ctx.now(),
        expires_at: ctx.now().plus(LONGEST * 10),
        ended_at: None,
        audit: AuditHead::default(),
    };
    ctx.run(AddOperator { moment: ctx.moment()?, token, by: AddedBy::Actor(actor.clone()) }).await?;
    Ok(())
}
