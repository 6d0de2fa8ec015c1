//! Tests of refused requests in the audit log.

use domain::model::audit_event::{AuditEvent, AuditHead, SubjectKind};
use domain::model::operator::{OperatorToken, Role};
use domain::rule::access_denial::{
    CallerDenials, CountedRequests, DenialCount, DenialPlace, DenialReason, DeniedCaller,
};
use store::command::{AddOperator, AddOperatorOutcome, HUB_SUBJECT_ID, OperatorAddedBy, RecordAccessDenials};
use store::query::{GetAuditChain, ListOperators};

use crate::support::{DAY, TestStore, audit_key, hash, on_both, operator_actor, parse_client_id};

on_both!(
    denials_are_appended_to_chain_of_known_caller,
    denials_of_unknown_callers_are_appended_to_chain_of_hub
);

fn build_count(kit: &TestStore, number: u64) -> DenialCount {
    let place = DenialPlace { operation: "POST /api/v1/token".into(), source: "192.0.2.0/24".into() };
    let requests = CountedRequests { number, first_at: kit.now, last_at: kit.now, claimed_client: None };
    DenialCount { reason: DenialReason::WrongSecret, place: Some(place), requests }
}

impl TestStore {
    async fn record_denials(&self, caller: DeniedCaller, numbers: &[u64]) {
        let counts = numbers.iter().map(|number| build_count(self, *number)).collect();
        let denials = CallerDenials { caller, counts };
        self.store.run(RecordAccessDenials { moment: self.next_moment(), denials }).await.unwrap();
    }

    async fn load_hub_chain(&self) -> Vec<AuditEvent> {
        let chain = GetAuditChain { kind: SubjectKind::Hub, id: HUB_SUBJECT_ID.into() };
        let events = self.store.query(&chain).await.unwrap();
        let mut head = AuditHead::default();
        for event in &events {
            assert!(audit_key().verifies(&head, event), "event {}", event.seq);
            head = AuditHead::from(event);
        }
        events
    }
}

async fn denials_are_appended_to_chain_of_known_caller(kit: TestStore) {
    let operator = OperatorToken {
        id: "opr_ann".parse().unwrap(),
        name: "ann".into(),
        role: Role::Viewer,
        bootstrap: false,
        hash: hash("ann"),
        created_at: kit.now,
        expires_at: kit.now.plus(DAY),
        ended_at: None,
        audit: AuditHead::default(),
    };
    let add = AddOperator {
        moment: kit.next_moment(),
        token: operator.clone(),
        added_by: OperatorAddedBy::Actor(operator_actor()),
    };
    assert_eq!(kit.store.run(add).await.unwrap(), AddOperatorOutcome::Added);

    kit.record_denials(DeniedCaller::Client(parse_client_id("dc-acme")), &[3, 4]).await;
    kit.record_denials(DeniedCaller::Operator(operator.id.clone()), &[5]).await;

    let actions = kit.client_audit_actions("dc-acme").await;
    assert_eq!(actions[actions.len() - 2..], ["client.access_denied", "client.access_denied"]);
    let listed = kit.store.query(&ListOperators { after: None, limit: 100 }).await.unwrap();
    let row = listed.rows.into_iter().find(|row| row.id == operator.id).unwrap();
    let events = kit.load_verified_audit_chain(SubjectKind::Operator, &operator.id, &row.audit).await;
    let detail: serde_json::Value = serde_json::from_str(&events[1].entry.detail).unwrap();
    assert_eq!(events[1].entry.action.as_str(), "operator.access_denied");
    assert_eq!(
        (&detail["number"], &detail["source"], &detail["reason"]),
        (&5.into(), &"192.0.2.0/24".into(), &"wrong_secret".into())
    );
    assert_eq!(kit.load_hub_chain().await, []);
}

async fn denials_of_unknown_callers_are_appended_to_chain_of_hub(kit: TestStore) {
    kit.record_denials(DeniedCaller::Unknown, &[1, 2]).await;
    kit.record_denials(DeniedCaller::Client(parse_client_id("dc-removed")), &[3]).await;

    let events = kit.load_hub_chain().await;

    let details = events.iter().map(|event| serde_json::from_str(&event.entry.detail).unwrap());
    let details: Vec<serde_json::Value> = details.collect();
    let numbers: Vec<_> = details.iter().map(|detail| detail["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(details[2]["client"], "dc-removed", "a client without a chain is named");
    assert!(events.iter().all(|event| event.entry.action.as_str() == "hub.access_denied"));
}
