//! Operators: who is let in, and how they come and go.

use domain::id::OperatorId;
use domain::model::audit_event::{Actor, AuditHead};
use domain::model::operator::{BOOTSTRAP_TOKEN_NAME, MAX_OPERATOR_TOKEN_TTL, OperatorToken, Role};
use domain::rule::operator::{
    LocalPeer, Operator, admit as admitted, admit_local, verify_bootstrap_token as spends,
};
use domain::{Secret, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;
use store::command::{AddOperator, AddOperatorOutcome, IssueBootstrapToken, OperatorAddedBy, RemoveOperator};
use store::query::{FindOperator, ListOperators};

use super::page::PageRequest;
use super::{AdminError, AdminPage, Params};
use crate::context::RequestContext;
use crate::response::{Time, exposed};

/// How long a token lives if nothing is said.
const DEFAULT_OPERATOR_TOKEN_TTL: Duration = Duration::from_hours(90 * 24);

/// How somebody comes: with a token, through the hub's own socket, or both.
#[derive(Debug)]
pub struct PresentedCredential {
    /// The token.
    pub bearer: Option<Secret<String>>,
    /// Who is at the other end of the hub's own socket.
    pub local: Option<LocalPeer>,
}

/// Lets somebody in whose role covers `least`: the bearer of a token; without one, who may use the hub's own socket.
pub async fn admit(
    ctx: &RequestContext,
    credential: &PresentedCredential,
    least: Role,
) -> Result<Operator, AdminError> {
    let local = credential.local.map(admit_local).transpose()?;
    let Some(bearer) = &credential.bearer else {
        return local.filter(|operator| operator.role().covers(least)).ok_or(AdminError::Unauthorized);
    };
    let hashes = ctx.app().vault().hash_all_generations(bearer.expose());
    let stored = ctx.ask(&FindOperator { hashes: hashes.clone() }).await?;
    Ok(admitted(&hashes, stored.as_ref(), least, ctx.now())?)
}

/// Adds an operator by the right that somebody has now.
pub async fn authorize_and_add(
    ctx: &RequestContext,
    params: &Params,
    credential: &PresentedCredential,
) -> Result<OperatorIssued, AdminError> {
    let fresh_ctx = ctx.refreshed()?;
    let added_by = authorize_adder(&fresh_ctx, credential).await?;
    add(&fresh_ctx, params, added_by).await
}

/// By whose right an operator is added: an admin's, or that of the token which makes the first one.
pub async fn authorize_adder(
    ctx: &RequestContext,
    credential: &PresentedCredential,
) -> Result<OperatorAddedBy, AdminError> {
    match admit(ctx, credential, Role::Admin).await {
        Err(AdminError::Bootstrap) => {}
        admitted => return Ok(OperatorAddedBy::Actor(admitted?.actor())),
    }
    let hashes =
        credential.bearer.as_ref().map(|bearer| ctx.app().vault().hash_all_generations(bearer.expose()));
    let hashes = hashes.ok_or(AdminError::Unauthorized)?;
    let stored = ctx.ask(&FindOperator { hashes: hashes.clone() }).await?;
    let first = spends(&hashes, stored.as_ref(), ctx.now()).ok_or(AdminError::Unauthorized)?;
    Ok(OperatorAddedBy::Bootstrap(first))
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
    #[schemars(extend("enum" = ["viewer", "operator", "admin", BOOTSTRAP_TOKEN_NAME]))]
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
    fn from_token(token: OperatorToken, now: Timestamp) -> Self {
        let state = match token.ended_at {
            Some(_) => OperatorState::Removed,
            None if token.is_usable(now) => OperatorState::Active,
            None => OperatorState::Expired,
        };
        Self {
            id: token.id,
            name: token.name,
            role: if token.bootstrap { BOOTSTRAP_TOKEN_NAME } else { token.role.as_str() },
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
pub async fn add(
    ctx: &RequestContext,
    params: &Params,
    by: OperatorAddedBy,
) -> Result<OperatorIssued, AdminError> {
    let role = params.parse_enum("role", Role::ALL, Role::as_str)?;
    let role = role.ok_or_else(|| AdminError::invalid("role", "expected viewer, operator, admin"))?;
    if matches!(by, OperatorAddedBy::Bootstrap(_)) && role != Role::Admin {
        return Err(AdminError::invalid("role", "expected admin: the first operator is one"));
    }
    let secret = ctx.random_secret()?;
    let token = OperatorToken {
        id: ctx.new_id_source()?.mint(),
        name: parse_name(params)?,
        role,
        bootstrap: false,
        hash: ctx.app().vault().hash(secret.expose()),
        created_at: ctx.now(),
        expires_at: parse_expiry(ctx, params)?,
        ended_at: None,
        audit: AuditHead::default(),
    };
    match ctx.run(AddOperator { moment: ctx.new_moment()?, token: token.clone(), added_by: by }).await? {
        AddOperatorOutcome::Added => {
            Ok(OperatorIssued { operator: OperatorBody::from_token(token, ctx.now()), token: secret })
        }
        AddOperatorOutcome::AlreadyExists => {
            Err(AdminError::Conflict("An operator of this name is there already".into()))
        }
        AddOperatorOutcome::NotAuthorized => Err(AdminError::Unauthorized),
    }
}

fn parse_name(params: &Params) -> Result<String, AdminError> {
    let usable = |name: &str| {
        let fits = (1..=64).contains(&name.len());
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'@'));
        (fits && plain && name != BOOTSTRAP_TOKEN_NAME).then(|| name.to_owned())
    };
    let expected = "expected 1 to 64 letters, digits or -._@, and not bootstrap";
    params.parse("name", expected, usable)?.ok_or_else(|| AdminError::invalid("name", expected))
}

fn parse_expiry(ctx: &RequestContext, params: &Params) -> Result<Timestamp, AdminError> {
    let max_expiry = ctx.now().plus(MAX_OPERATOR_TOKEN_TTL);
    let in_time = |text: &str| Timestamp::parse(text).filter(|at| *at > ctx.now() && *at <= max_expiry);
    let expected = "expected a time in RFC 3339, at most 366 days from now";
    Ok(params
        .parse("expires_at", expected, in_time)?
        .unwrap_or_else(|| ctx.now().plus(DEFAULT_OPERATOR_TOKEN_TTL)))
}

/// Operators, the newest first.
pub async fn list(ctx: &RequestContext, query: Option<&str>) -> Result<AdminPage<OperatorBody>, AdminError> {
    let params = Params::from_query(query, &["limit", "after"])?;
    let page_request = PageRequest::from_params(ctx, "operators", &params)?;
    let after = page_request.parse_after(|text| OperatorId::parse(text).ok())?;
    let rows = ctx.ask(&ListOperators { after, limit: page_request.row_limit() }).await?;
    page_request.build_page(
        ctx,
        rows,
        |row| row.id.to_string(),
        |row| OperatorBody::from_token(row, ctx.now()),
    )
}

/// Removes an operator: its token is void once this is answered.
pub async fn remove(ctx: &RequestContext, id: &str, operator: &Operator) -> Result<(), AdminError> {
    let id = OperatorId::parse(id).map_err(|_| AdminError::NotFound("operator"))?;
    let removed = ctx.run(RemoveOperator { moment: ctx.new_moment()?, id, actor: operator.actor() }).await?;
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
pub async fn issue_bootstrap_token(
    ctx: &RequestContext,
    actor: Actor,
) -> Result<BootstrapIssued, AdminError> {
    Ok(BootstrapIssued { token: create_bootstrap_token(ctx, actor).await? })
}

/// Makes the token that makes the first admin; refused if there is one.
pub async fn create_bootstrap_token(
    ctx: &RequestContext,
    actor: Actor,
) -> Result<Secret<String>, AdminError> {
    let secret = ctx.random_secret()?;
    let hash = ctx.app().vault().hash(secret.expose());
    if ctx.run(IssueBootstrapToken { moment: ctx.new_moment()?, hash, actor }).await? {
        Ok(secret)
    } else {
        Err(AdminError::Conflict("There is an admin already: ask them for a token of your own".into()))
    }
}

/// An admin whose token is known beforehand: of a world that is not real. One that is there stays as it is.
pub async fn seed_sandbox_admin(
    ctx: &RequestContext,
    token: &Secret<String>,
    actor: &Actor,
) -> Result<(), AdminError> {
    let id = OperatorId::parse("opr_sandbox").map_err(|_| AdminError::NotFound("operator"))?;
    let token = OperatorToken {
        id,
        name: "sandbox".into(),
        role: Role::Admin,
        bootstrap: false,
        hash: ctx.app().vault().hash(token.expose()),
        created_at: ctx.now(),
        expires_at: ctx.now().plus(MAX_OPERATOR_TOKEN_TTL * 10),
        ended_at: None,
        audit: AuditHead::default(),
    };
    ctx.run(AddOperator {
        moment: ctx.new_moment()?,
        token,
        added_by: OperatorAddedBy::Actor(actor.clone()),
    })
    .await?;
    Ok(())
}
