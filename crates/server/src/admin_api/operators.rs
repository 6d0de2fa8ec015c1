//! Adds, lists and removes operators, and issues the bootstrap token with which the first admin is added.

use std::time::Duration;

use domain::id::OperatorId;
use domain::model::audit_event::{Actor, AuditHead};
use domain::model::operator::{BOOTSTRAP_TOKEN_NAME, MAX_OPERATOR_TOKEN_TTL, OperatorToken, Role};
use domain::rule::validation::ValidationError;
use domain::{Secret, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::command::{AddOperator, AddOperatorOutcome, IssueBootstrapToken, OperatorAddedBy, RemoveOperator};
use store::query::ListOperators;

use super::auth::{PresentedCredential, authenticate_adder};
use super::error::AdminError;
use super::page::{AdminPage, PageRequest};
use super::params::Params;
use crate::context::RequestContext;
use crate::request::RequestBody;
use crate::response::{Time, exposed};

/// The lifetime of an operator's token if the request contains no expiry.
const DEFAULT_OPERATOR_TOKEN_TTL: Duration = Duration::from_hours(90 * 24);

/// An operator: a user of the admin API with a role and one token.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Operator")]
pub struct OperatorBody {
    #[schemars(with = "String")]
    id: OperatorId,
    name: String,
    /// The role; `bootstrap` for the token that adds the first admin.
    #[schemars(extend("enum" = ["viewer", "operator", "admin", BOOTSTRAP_TOKEN_NAME]))]
    role: &'static str,
    state: OperatorState,
    created_at: Time,
    /// The time when the token expires.
    expires_at: Time,
    /// The time when the operator was removed, or the bootstrap token was used; `null` before.
    ended_at: Option<Time>,
}

/// The state of an operator, which depends on its token.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperatorState {
    /// The operator's token is valid.
    Active,
    /// The operator's token has expired.
    Expired,
    /// The operator was removed, or the bootstrap token was used.
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

/// A new operator and its token, which cannot be read again.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OperatorIssued {
    operator: OperatorBody,
    /// The bearer token for this API (RFC 6750), returned only once.
    #[serde(serialize_with = "exposed")]
    #[schemars(with = "String")]
    token: Secret<String>,
}

/// A new bootstrap token, which cannot be read again.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BootstrapIssued {
    /// The bearer token with which one admin can be added, returned only once.
    #[serde(serialize_with = "exposed")]
    #[schemars(with = "String")]
    token: Secret<String>,
}

/// The request to add an operator.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddOperatorRequest {
    /// A name that no other operator has, and not `bootstrap`.
    #[schemars(regex(pattern = "^[A-Za-z0-9._@-]{1,64}$"))]
    name: String,
    #[schemars(extend("enum" = Role::ALL.iter().map(|role| role.as_str()).collect::<Vec<_>>()))]
    role: String,
    /// The time when the token expires: at most 366 days from now; 90 days from now if it is absent.
    #[schemars(extend("format" = "date-time"))]
    expires_at: Option<String>,
}

impl RequestBody for AddOperatorRequest {}

impl AddOperatorRequest {
    /// Validates every member of the request. Returns the name, the role and the expiry of the token.
    fn validate(self, now: Timestamp) -> Result<(String, Role, Timestamp), ValidationError> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'@');
        let is_usable = (1..=64).contains(&self.name.len()) && self.name.bytes().all(is_plain);
        if !is_usable || self.name == BOOTSTRAP_TOKEN_NAME {
            let expected = "expected 1 to 64 letters, digits or -._@, and not bootstrap";
            return Err(ValidationError::new("name", expected));
        }
        let role = Role::ALL.iter().copied().find(|role| role.as_str() == self.role);
        let role = role.ok_or_else(|| ValidationError::new("role", "expected viewer, operator, admin"))?;
        let max_expiry = now.plus(MAX_OPERATOR_TOKEN_TTL);
        let expires_at = match &self.expires_at {
            None => now.plus(DEFAULT_OPERATOR_TOKEN_TTL),
            Some(text) => {
                Timestamp::parse(text).filter(|at| *at > now && *at <= max_expiry).ok_or_else(|| {
                    let expected = "expected a time in RFC 3339, at most 366 days from now";
                    ValidationError::new("expires_at", expected)
                })?
            }
        };
        Ok((self.name, role, expires_at))
    }
}

/// Lists all operators, newest first, including removed and expired ones.
pub async fn list(ctx: &RequestContext, query: Option<&str>) -> Result<AdminPage<OperatorBody>, AdminError> {
    let params = Params::from_query(query, &["limit", "after"])?;
    let page = PageRequest::from_params(ctx, "operators", &params)?;
    let after = page.parse_after(|text| OperatorId::parse(text).ok())?;
    let found = ctx.ask(&ListOperators { after, limit: page.row_limit() }).await?;
    let to_item = |row| OperatorBody::from_token(row, ctx.now());
    page.build_page(ctx, found, |row| row.id.to_string(), to_item)
}

/// Adds an operator. The credential is verified again, because it may have expired while the body was being received.
pub async fn add(
    ctx: &RequestContext,
    request: AddOperatorRequest,
    credential: &PresentedCredential,
) -> Result<OperatorIssued, AdminError> {
    let (ctx, added_by) = &authenticate_adder(&ctx.refreshed()?, credential).await?;
    let (name, role, expires_at) = request.validate(ctx.now())?;
    if matches!(added_by, OperatorAddedBy::Bootstrap(_)) && role != Role::Admin {
        return Err(AdminError::invalid("role", "expected admin: the first operator must be an admin"));
    }
    let secret = ctx.random_secret()?;
    let token = OperatorToken {
        id: ctx.new_id_source()?.mint(),
        name,
        role,
        bootstrap: false,
        hash: ctx.app().vault().hash(secret.expose()),
        created_at: ctx.now(),
        expires_at,
        ended_at: None,
        audit: AuditHead::default(),
    };
    let add = AddOperator { moment: ctx.new_moment()?, token: token.clone(), added_by: added_by.clone() };
    match ctx.run(add).await? {
        AddOperatorOutcome::Added => {
            Ok(OperatorIssued { operator: OperatorBody::from_token(token, ctx.now()), token: secret })
        }
        AddOperatorOutcome::AlreadyExists => {
            Err(AdminError::Conflict("An operator with this name exists already".into()))
        }
        // Since the check above, the bootstrap token was used.
        AddOperatorOutcome::NotAuthorized => Err(AdminError::Unauthorized),
    }
}

/// Removes an operator. When this function returns, the operator's token is rejected.
pub async fn remove(ctx: &RequestContext, id: &str, actor: Actor) -> Result<(), AdminError> {
    const NOT_FOUND: AdminError = AdminError::NotFound("operator");
    let id = OperatorId::parse(id).map_err(|_| NOT_FOUND)?;
    let removed = ctx.run(RemoveOperator { moment: ctx.new_moment()?, id, actor }).await?;
    if removed { Ok(()) } else { Err(NOT_FOUND) }
}

/// Issues a bootstrap token and returns it as a response body.
pub async fn issue_bootstrap_token(
    ctx: &RequestContext,
    actor: Actor,
) -> Result<BootstrapIssued, AdminError> {
    Ok(BootstrapIssued { token: create_bootstrap_token(ctx, actor).await? })
}

/// Creates the bootstrap token, with which the first admin can be added. Returns a conflict if an admin exists.
pub async fn create_bootstrap_token(
    ctx: &RequestContext,
    actor: Actor,
) -> Result<Secret<String>, AdminError> {
    let secret = ctx.random_secret()?;
    let hash = ctx.app().vault().hash(secret.expose());
    if ctx.run(IssueBootstrapToken { moment: ctx.new_moment()?, hash, actor }).await? {
        Ok(secret)
    } else {
        Err(AdminError::Conflict("An admin exists already: ask an admin to add you as an operator".into()))
    }
}

/// Adds the admin of a sandbox, whose token is known in advance. Has no effect if an earlier start added the admin.
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
        // This is longer than a request may set, so that an old sandbox can still be used.
        expires_at: ctx.now().plus(MAX_OPERATOR_TOKEN_TTL * 10),
        ended_at: None,
        audit: AuditHead::default(),
    };
    let added_by = OperatorAddedBy::Actor(actor.clone());
    ctx.run(AddOperator { moment: ctx.new_moment()?, token, added_by }).await?;
    Ok(())
}
