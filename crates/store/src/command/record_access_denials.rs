//! Records refused requests of clients and operators in the audit log.

use domain::Moment;
use domain::id::{ClientId, OperatorId};
use domain::model::audit_event::{Actor, AuditAction, AuditHead, SubjectKind};
use domain::rule::access_denial::{CallerDenials, DenialCount, DeniedCaller};
use serde_json::{Value, json};

use super::audit_entry::build_audit_entry;
use crate::entity::client::lock_client;
use crate::entity::operator::lock_operator;
use crate::error::Result;
use crate::operation::Command;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// The component of the hub that refuses requests.
const ACTOR: &str = "access";
/// The id of the hub as a subject of audit events.
pub const HUB_SUBJECT_ID: &str = "hub";

/// Appends counts of refused requests to the audit chains of the clients and operators that they concern, and those that
/// concern none to the chain of the hub.
#[derive(Debug)]
pub struct RecordAccessDenials {
    pub moment: Moment,
    /// Those of one caller, so that a command locks one subject.
    pub denials: CallerDenials,
}

impl Command for RecordAccessDenials {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        match &self.denials.caller {
            DeniedCaller::Client(id) => self.record_for_client(tx, id).await,
            DeniedCaller::Operator(id) => self.record_for_operator(tx, id).await,
            DeniedCaller::Unknown => self.record_for_hub(tx).await,
        }
    }
}

impl RecordAccessDenials {
    async fn record_for_client(&self, tx: &mut Tx<'_>, id: &ClientId) -> Result<()> {
        let Some(client) = lock_client(tx, id).await? else { return self.record_for_hub(tx).await };
        let subject = (SubjectKind::Client, id.as_str());
        let head = self.append(tx, client.audit, subject, AuditAction::ClientAccessDenied);
        // The time of the last change of the client stays, because the client did not change.
        let advance = sql!(
            "-- advance the audit chain of a client that did not change
            UPDATE clients SET audit_head = ?2 WHERE id = ?1"
        );
        tx.defer(advance, values![id, head]);
        Ok(())
    }

    async fn record_for_operator(&self, tx: &mut Tx<'_>, id: &OperatorId) -> Result<()> {
        let Some(operator) = lock_operator(tx, id).await? else { return self.record_for_hub(tx).await };
        let subject = (SubjectKind::Operator, id.as_str());
        let head = self.append(tx, operator.audit, subject, AuditAction::OperatorAccessDenied);
        let advance = sql!(
            "-- advance the audit chain of an operator
            UPDATE operators SET audit_head = ?2 WHERE id = ?1"
        );
        tx.defer(advance, values![id, head]);
        Ok(())
    }

    async fn record_for_hub(&self, tx: &mut Tx<'_>) -> Result<()> {
        let head = lock_hub_chain(tx).await?;
        let subject = (SubjectKind::Hub, HUB_SUBJECT_ID);
        let head = self.append(tx, head, subject, AuditAction::HubAccessDenied);
        let advance = sql!(
            "-- advance the audit chain of the hub
            UPDATE hub_audit SET audit_head = ?2 WHERE subject_id = ?1"
        );
        tx.defer(advance, values![HUB_SUBJECT_ID, head]);
        Ok(())
    }

    fn append(
        &self,
        tx: &mut Tx<'_>,
        head: AuditHead,
        subject: (SubjectKind, &str),
        action: AuditAction,
    ) -> AuditHead {
        let CallerDenials { caller, counts } = &self.denials;
        counts.iter().fold(head, |head, count| {
            let actor = Actor::system(ACTOR);
            let entry = build_audit_entry(subject, &self.moment, action, actor, &build_detail(caller, count));
            tx.audit(&head, entry)
        })
    }
}

/// Locks the audit chain of the hub, which is created if there is none, and returns its head.
async fn lock_hub_chain(tx: &mut Tx<'_>) -> Result<AuditHead> {
    let create = sql!(
        "-- create the audit chain of the hub
        INSERT INTO hub_audit (subject_id, audit_head) VALUES (?1, ?2) ON CONFLICT (subject_id) DO NOTHING"
    );
    tx.execute(create, values![HUB_SUBJECT_ID, AuditHead::default()]).await?;
    let head: Option<AuditHead> =
        tx.fetch_value(LOCK_HUB_CHAIN, values![HUB_SUBJECT_ID], "audit_head").await?;
    Ok(head.unwrap_or_default())
}

static LOCK_HUB_CHAIN: &Sql = sql!(
    "-- lock the audit chain of the hub\nSELECT audit_head FROM hub_audit WHERE subject_id = ?1 FOR UPDATE"
);

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[LOCK_HUB_CHAIN];

/// Returns the detail of an event. A caller that no longer exists is named here, because it has no chain.
fn build_detail(caller: &DeniedCaller, count: &DenialCount) -> Value {
    let DenialCount { reason, place, requests } = count;
    let place = place.as_ref();
    let (client, operator) = match caller {
        DeniedCaller::Client(id) => (Some(id.as_str()), None),
        DeniedCaller::Operator(id) => (None, Some(id.as_str())),
        DeniedCaller::Unknown => (None, None),
    };
    json!({
        "reason": reason.as_str(),
        "operation": place.map(|place| &place.operation),
        "source": place.map(|place| &place.source),
        "number": requests.number,
        "first_at": requests.first_at.to_string(),
        "last_at": requests.last_at.to_string(),
        "client": client,
        "operator": operator,
        "claimed_client": requests.claimed_client,
    })
}
