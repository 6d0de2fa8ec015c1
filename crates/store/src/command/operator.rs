//! Operators: how the first comes, and how others come and go.

use domain::Moment;
use domain::id::OperatorId;
use domain::model::audit_event::{Actor, ActorKind, AuditAction, AuditHead, SubjectKind};
use domain::model::operator::{BOOTSTRAP_TOKEN_NAME, BOOTSTRAP_TOKEN_TTL, OperatorToken, Role};
use domain::secret::TokenHash;
use serde_json::json;

use super::build_audit_entry;
use crate::Command;
use crate::error::Result;
use crate::record::{FromRow, operator_columns};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// Makes the token that makes the first admin. One that was made before and not spent is void.
#[derive(Debug)]
pub struct IssueBootstrapToken {
    /// When.
    pub moment: Moment,
    /// How the token is remembered.
    pub hash: TokenHash,
    /// By whom.
    pub actor: Actor,
}

impl Command for IssueBootstrapToken {
    /// Whether it was made: not if there is an admin.
    type Reply = bool;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool> {
        // The lock comes first: who spends the former one holds it until the admin is there.
        let previous = lock_operator_by_name(tx, BOOTSTRAP_TOKEN_NAME).await?;
        if has_admin(tx, &self.moment).await? {
            return Ok(false);
        }
        if let Some(former) = previous {
            end_operator(tx, &self.moment, &former, self.actor.clone()).await?;
        }
        let token = OperatorToken {
            id: tx.ids().mint(),
            name: BOOTSTRAP_TOKEN_NAME.into(),
            role: Role::Admin,
            bootstrap: true,
            hash: self.hash.clone(),
            created_at: self.moment.now,
            expires_at: self.moment.now.plus(BOOTSTRAP_TOKEN_TTL),
            ended_at: None,
            audit: AuditHead::default(),
        };
        insert_operator(tx, &self.moment, &token, AuditAction::BootstrapTokenIssued, self.actor.clone());
        Ok(true)
    }
}

/// By whose right an operator is added.
#[derive(Clone, Debug)]
pub enum OperatorAddedBy {
    /// Somebody who may.
    Actor(Actor),
    /// The token that makes the first admin; it is spent with the commit.
    Bootstrap(OperatorId),
}

/// What becomes of an operator to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddOperatorOutcome {
    /// It is there.
    Added,
    /// Its name or its id is taken.
    AlreadyExists,
    /// The token that makes the first admin was spent already, or there is an admin; or who adds was removed meanwhile.
    NotAuthorized,
}

/// Adds an operator.
#[derive(Debug)]
pub struct AddOperator {
    /// When.
    pub moment: Moment,
    /// The operator; its audit head and its times but for the expiry are ignored.
    pub token: OperatorToken,
    /// By whose right.
    pub added_by: OperatorAddedBy,
}

impl Command for AddOperator {
    type Reply = AddOperatorOutcome;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<AddOperatorOutcome> {
        let actor = match &self.added_by {
            // Who was removed a moment ago leaves nobody behind.
            OperatorAddedBy::Actor(actor) if !is_active_admin(tx, &self.moment, actor).await? => {
                return Ok(AddOperatorOutcome::NotAuthorized);
            }
            OperatorAddedBy::Actor(actor) => actor.clone(),
            OperatorAddedBy::Bootstrap(id) => {
                let Some(first) =
                    lock_operator(tx, id).await?.filter(|first| first.is_usable(self.moment.now))
                else {
                    return Ok(AddOperatorOutcome::NotAuthorized);
                };
                if has_admin(tx, &self.moment).await? {
                    return Ok(AddOperatorOutcome::NotAuthorized);
                }
                let actor = Actor::new(ActorKind::Operator, id.as_str());
                end_operator(tx, &self.moment, &first, actor.clone()).await?;
                actor
            }
        };
        let id_exists = lock_operator(tx, &self.token.id).await?.is_some();
        // One of the same name that time has ended makes way.
        let previous = lock_operator_by_name(tx, &self.token.name).await?;
        if id_exists || previous.as_ref().is_some_and(|former| former.is_usable(self.moment.now)) {
            return Ok(AddOperatorOutcome::AlreadyExists);
        }
        if let Some(former) = previous {
            end_operator(tx, &self.moment, &former, Actor::system("expiry")).await?;
        }
        insert_operator(tx, &self.moment, &self.token, AuditAction::OperatorAdded, actor);
        Ok(AddOperatorOutcome::Added)
    }
}

/// Removes an operator: its token is void from the commit on.
#[derive(Debug)]
pub struct RemoveOperator {
    /// When.
    pub moment: Moment,
    /// Which.
    pub id: OperatorId,
    /// By whom.
    pub actor: Actor,
}

impl Command for RemoveOperator {
    /// Whether there is such an operator; one that is gone already leaves no trace.
    type Reply = bool;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool> {
        let Some(operator) = lock_operator(tx, &self.id).await? else {
            return Ok(false);
        };
        if operator.ended_at.is_none() {
            end_operator(tx, &self.moment, &operator, self.actor.clone()).await?;
        }
        Ok(true)
    }
}

/// Whether an admin with a token is one still; who came without a token cannot be removed.
async fn is_active_admin(tx: &mut Tx<'_>, moment: &Moment, actor: &Actor) -> Result<bool> {
    let id = actor.id.as_deref().map(OperatorId::parse);
    let Some(Ok(id)) = id.filter(|_| actor.kind == ActorKind::Operator) else { return Ok(true) };
    let operator = lock_operator(tx, &id).await?;
    Ok(operator.is_some_and(|operator| operator.is_usable(moment.now) && operator.role.covers(Role::Admin)))
}

async fn lock_operator(tx: &mut Tx<'_>, id: &OperatorId) -> Result<Option<OperatorToken>> {
    let row = tx.query_opt(LOCK_OPERATOR, values![id]).await?;
    row.map(|mut row| OperatorToken::from_row(&mut row)).transpose()
}

pub(crate) static LOCK_OPERATOR: &Sql =
    sql!(concat!("-- lock an operator\n", operator_columns!(), "WHERE id = ?1 FOR UPDATE"));

/// The one of a name that was not removed, locked.
async fn lock_operator_by_name(tx: &mut Tx<'_>, name: &str) -> Result<Option<OperatorToken>> {
    let row = tx.query_opt(LOCK_OPERATOR_BY_NAME, values![name]).await?;
    row.map(|mut row| OperatorToken::from_row(&mut row)).transpose()
}

pub(crate) static LOCK_OPERATOR_BY_NAME: &Sql = sql!(concat!(
    "-- lock an operator by name\n",
    operator_columns!(),
    "WHERE name = ?1 AND ended_at IS NULL FOR UPDATE"
));

async fn has_admin(tx: &mut Tx<'_>, moment: &Moment) -> Result<bool> {
    // Operators are few: a handful of rows.
    let any = sql!(
        "-- whether there is an admin
        SELECT id FROM operators
        WHERE role = 'admin' AND NOT bootstrap AND ended_at IS NULL AND expires_at > ?1 LIMIT 1"
    );
    Ok(tx.query_opt(any, values![moment.now]).await?.is_some())
}

fn insert_operator(
    tx: &mut Tx<'_>,
    moment: &Moment,
    token: &OperatorToken,
    action: AuditAction,
    actor: Actor,
) {
    let detail = json!({"name": token.name, "role": token.role.as_str(),
        "expires_at": token.expires_at.to_string()});
    let subject = (SubjectKind::Operator, &token.id);
    let head = tx.audit(&AuditHead::default(), build_audit_entry(subject, moment, action, actor, &detail));
    tx.defer(
        sql!(
            "-- add an operator
            INSERT INTO operators (id, name, role, bootstrap, token_hash, created_at, expires_at, audit_seq, audit_mac)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
        ),
        values![
            token.id, token.name, token.role, token.bootstrap, token.hash, moment.now, token.expires_at,
            head.seq, head.mac
        ],
    );
}

/// Ends a locked one at once, so that its name is free for what the same command adds.
async fn end_operator(tx: &mut Tx<'_>, moment: &Moment, token: &OperatorToken, actor: Actor) -> Result<()> {
    let subject = (SubjectKind::Operator, &token.id);
    let detail = json!({"name": token.name});
    let entry = build_audit_entry(subject, moment, AuditAction::OperatorRemoved, actor, &detail);
    let head = tx.audit(&token.audit, entry);
    let remove = sql!(
        "-- remove an operator
        UPDATE operators SET ended_at = ?2, audit_seq = ?3, audit_mac = ?4 WHERE id = ?1"
    );
    tx.execute(remove, values![token.id, moment.now, head.seq, head.mac]).await?;
    Ok(())
}
