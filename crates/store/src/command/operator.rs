//! Commands that issue the token for the first administrator, and add and remove operators.

use domain::Moment;
use domain::id::OperatorId;
use domain::model::audit_event::{Actor, ActorKind, AuditAction, AuditHead, SubjectKind};
use domain::model::operator::{BOOTSTRAP_TOKEN_NAME, BOOTSTRAP_TOKEN_TTL, OperatorToken, Role};
use domain::secret::TokenHash;
use serde_json::json;

use super::audit_entry::build_audit_entry;
use crate::entity::operator::{compute_operator_mac, lock_operator, lock_operator_by_name};
use crate::error::Result;
use crate::operation::Command;
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::values;

/// Issues the bootstrap token, which allows its bearer to add the first administrator. Revokes an unused previous one.
#[derive(Debug)]
pub struct IssueBootstrapToken {
    pub moment: Moment,
    pub hash: TokenHash,
    pub actor: Actor,
}

impl Command for IssueBootstrapToken {
    /// `false` if an administrator exists already, so that no token was issued.
    type Reply = bool;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool> {
        // The lock comes before the search for an administrator: a concurrent use of the previous token holds the lock
        // until it has added one.
        let previous = lock_operator_by_name(tx, BOOTSTRAP_TOKEN_NAME).await?;
        if has_admin(tx, &self.moment).await? {
            return Ok(false);
        }
        if let Some(previous) = previous {
            end_operator(tx, &self.moment, &previous, self.actor.clone()).await?;
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

/// The party that adds an operator.
#[derive(Clone, Debug)]
pub enum OperatorAddedBy {
    /// An administrator, or the local user of the hub.
    Actor(Actor),
    /// The bootstrap token, which the commit revokes.
    Bootstrap(OperatorId),
}

/// The outcome of [`AddOperator`]: success, or the reason for the rejection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddOperatorOutcome {
    Added,
    /// An operator with the same name or id exists.
    AlreadyExists,
    /// The bootstrap token was used before, or an administrator exists.
    NotAuthorized,
}

/// Adds an operator, if the party that adds it is authorized.
#[derive(Debug)]
pub struct AddOperator {
    pub moment: Moment,
    /// The operator to add. Its audit head and all its times except the expiry are ignored.
    pub token: OperatorToken,
    pub added_by: OperatorAddedBy,
}

impl Command for AddOperator {
    type Reply = AddOperatorOutcome;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<AddOperatorOutcome> {
        let actor = match &self.added_by {
            OperatorAddedBy::Actor(actor) => actor.clone(),
            OperatorAddedBy::Bootstrap(id) => {
                let token = lock_operator(tx, id).await?;
                let Some(token) = token.filter(|token| token.is_usable(self.moment.now)) else {
                    return Ok(AddOperatorOutcome::NotAuthorized);
                };
                if has_admin(tx, &self.moment).await? {
                    return Ok(AddOperatorOutcome::NotAuthorized);
                }
                let actor = Actor::new(ActorKind::Operator, id.as_str());
                end_operator(tx, &self.moment, &token, actor.clone()).await?;
                actor
            }
        };
        let id_exists = lock_operator(tx, &self.token.id).await?.is_some();
        let previous = lock_operator_by_name(tx, &self.token.name).await?;
        if id_exists || previous.as_ref().is_some_and(|previous| previous.is_usable(self.moment.now)) {
            return Ok(AddOperatorOutcome::AlreadyExists);
        }
        // An expired operator keeps its name until it is removed, and names must be unique among the operators that are
        // not removed.
        if let Some(expired) = previous {
            end_operator(tx, &self.moment, &expired, Actor::system("expiry")).await?;
        }
        insert_operator(tx, &self.moment, &self.token, AuditAction::OperatorAdded, actor);
        Ok(AddOperatorOutcome::Added)
    }
}

/// Removes an operator; the commit revokes its token.
#[derive(Debug)]
pub struct RemoveOperator {
    pub moment: Moment,
    pub id: OperatorId,
    pub actor: Actor,
}

impl Command for RemoveOperator {
    /// `false` if there is no such operator. If it was already removed, no event is recorded.
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

async fn has_admin(tx: &mut Tx<'_>, moment: &Moment) -> Result<bool> {
    // There are few operators, so this statement needs no index.
    let admin = sql!(
        "-- find an administrator
        SELECT id FROM operators
        WHERE role = 'admin' AND NOT bootstrap AND ended_at IS NULL AND expires_at > ?1 LIMIT 1"
    );
    tx.exists(admin, values![moment.now]).await
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
    let mac = compute_operator_mac(tx, token, None);
    tx.defer(
        sql!(
            "-- add an operator
            INSERT INTO operators (id, name, role, bootstrap, token_hash, created_at, expires_at, audit_head, mac)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
        ),
        values![
            token.id,
            token.name,
            token.role,
            token.bootstrap,
            token.hash,
            moment.now,
            token.expires_at,
            head,
            mac
        ],
    );
}

/// Ends a locked operator immediately and not with the commit, because the same command may then add an operator of the
/// same name.
async fn end_operator(tx: &mut Tx<'_>, moment: &Moment, token: &OperatorToken, actor: Actor) -> Result<()> {
    let subject = (SubjectKind::Operator, &token.id);
    let detail = json!({"name": token.name});
    let entry = build_audit_entry(subject, moment, AuditAction::OperatorRemoved, actor, &detail);
    let head = tx.audit(&token.audit, entry);
    let remove = sql!(
        "-- remove an operator
        UPDATE operators SET ended_at = ?2, audit_head = ?3, mac = ?4 WHERE id = ?1"
    );
    let mac = compute_operator_mac(tx, token, Some(moment.now));
    tx.execute(remove, values![token.id, moment.now, head, mac]).await?;
    Ok(())
}
