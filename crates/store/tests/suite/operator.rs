//! Operators: how the first comes, and how others come and go.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use domain::id::OperatorId;
use domain::model::audit_event::{Actor, ActorKind, AuditHead, SubjectKind};
use domain::model::operator::{OperatorToken, Role};
use store::command::{AddOperator, Added, AddedBy, IssueBootstrap, RemoveOperator};
use store::query::{OperatorBy, Operators};

use crate::kit::{DAY, Kit, hash, hashes, on_both, operator};

on_both!(
    the_first_admin_is_made_once,
    a_newer_bootstrap_voids_the_older,
    of_many_that_spend_at_once_one_does,
    who_was_removed_adds_nobody,
    a_removed_operator_frees_its_name_and_so_does_an_expired_one
);

fn token(kit: &Kit, name: &str, role: Role) -> OperatorToken {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    OperatorToken {
        id: OperatorId::parse(&format!("opr_{number:04}{name}")).unwrap(),
        name: name.into(),
        role,
        bootstrap: false,
        hash: hash(&format!("{name}{number}")),
        created_at: kit.now,
        expires_at: kit.now.plus(DAY),
        ended_at: None,
        audit: AuditHead::default(),
    }
}

impl Kit {
    async fn bootstrap(&self, text: &str) -> bool {
        let issue = IssueBootstrap { moment: self.moment(), hash: hash(text), actor: operator() };
        self.store.run(issue).await.unwrap()
    }

    async fn operator(&self, text: &str) -> Option<OperatorToken> {
        self.store.ask(&OperatorBy { hashes: hashes(text) }).await.unwrap()
    }

    async fn add(&self, token: OperatorToken, by: AddedBy) -> Added {
        self.store.run(AddOperator { moment: self.moment(), token, by }).await.unwrap()
    }

    async fn operators_record(&self, id: &OperatorId) -> Vec<&'static str> {
        let all = self.store.ask(&Operators { after: None, limit: 100 }).await.unwrap();
        let row = all.into_iter().find(|operator| operator.id == *id).unwrap();
        let events = self.chain(SubjectKind::Operator, id, &row.audit).await;
        events.iter().map(|event| event.entry.action.as_str()).collect()
    }
}

async fn the_first_admin_is_made_once(mut kit: Kit) {
    assert!(kit.bootstrap("first").await);
    let first = kit.operator("first").await.unwrap();
    assert!(first.bootstrap && first.lives(kit.now) && !first.lives(kit.now.plus(DAY)));
    let by = AddedBy::Bootstrap(first.id.clone());
    let ann = token(&kit, "ann", Role::Admin);
    assert_eq!(kit.add(ann.clone(), by.clone()).await, Added::Added);
    assert_eq!(kit.operators_record(&first.id).await, ["operator.bootstrap_issued", "operator.removed"]);
    assert_eq!(kit.operators_record(&ann.id).await, ["operator.added"]);
    assert_eq!(kit.add(token(&kit, "bob", Role::Admin), by).await, Added::Spent, "once");
    assert!(!kit.bootstrap("second").await, "there is an admin");
    kit.advance(DAY);
    assert!(kit.bootstrap("second").await, "the only admin has expired");
}

async fn who_was_removed_adds_nobody(mut kit: Kit) {
    let by = |id: &OperatorId| AddedBy::Actor(Actor::new(ActorKind::Operator, id.as_str()));
    let (ann, bob, eve) = (
        token(&kit, "ann", Role::Admin),
        token(&kit, "bob", Role::Admin),
        token(&kit, "eve", Role::Operator),
    );
    assert_eq!(
        kit.add(ann.clone(), AddedBy::Actor(Actor::new(ActorKind::Operator, "cli"))).await,
        Added::Added
    );
    for new in [&bob, &eve] {
        assert_eq!(kit.add(new.clone(), by(&ann.id)).await, Added::Added);
    }
    let late = async |kit: &Kit, who: &OperatorId| kit.add(token(kit, "late", Role::Admin), by(who)).await;
    assert_eq!(late(&kit, &eve.id).await, Added::Spent, "no admin");
    assert_eq!(late(&kit, &OperatorId::parse("opr_nobody").unwrap()).await, Added::Spent);
    let remove = RemoveOperator { moment: kit.moment(), id: bob.id.clone(), actor: operator() };
    assert!(kit.store.run(remove).await.unwrap());
    assert_eq!(late(&kit, &bob.id).await, Added::Spent);
    kit.advance(DAY);
    assert_eq!(late(&kit, &ann.id).await, Added::Spent, "expired");
}

async fn a_newer_bootstrap_voids_the_older(kit: Kit) {
    assert!(kit.bootstrap("one").await && kit.bootstrap("two").await);
    assert!(kit.operator("one").await.unwrap().ended_at.is_some());
    let old = AddedBy::Bootstrap(kit.operator("one").await.unwrap().id);
    assert_eq!(kit.add(token(&kit, "ann", Role::Admin), old).await, Added::Spent);
    let new = AddedBy::Bootstrap(kit.operator("two").await.unwrap().id);
    assert_eq!(kit.add(token(&kit, "ann", Role::Admin), new).await, Added::Added);
}

async fn of_many_that_spend_at_once_one_does(kit: Kit) {
    assert!(kit.bootstrap("first").await);
    let by = AddedBy::Bootstrap(kit.operator("first").await.unwrap().id);
    let tries = (0..8).map(|n| kit.add(token(&kit, &format!("ann{n}"), Role::Admin), by.clone()));
    let added = futures_util::future::join_all(tries).await;
    assert_eq!(added.iter().filter(|added| **added == Added::Added).count(), 1, "{added:?}");
}

async fn a_removed_operator_frees_its_name_and_so_does_an_expired_one(mut kit: Kit) {
    let by = || AddedBy::Actor(Actor::new(ActorKind::Operator, "test"));
    let ann = token(&kit, "ann", Role::Viewer);
    assert_eq!(kit.add(ann.clone(), by()).await, Added::Added);
    assert_eq!(kit.add(token(&kit, "ann", Role::Admin), by()).await, Added::Taken);
    let again = OperatorToken { name: "other".into(), hash: hash("other"), ..ann.clone() };
    assert_eq!(kit.add(again, by()).await, Added::Taken, "the same id");
    let remove = || RemoveOperator { moment: kit.moment(), id: ann.id.clone(), actor: operator() };
    assert!(kit.store.run(remove()).await.unwrap() && kit.store.run(remove()).await.unwrap());
    assert_eq!(kit.operators_record(&ann.id).await, ["operator.added", "operator.removed"], "once");
    let nobody = OperatorId::parse("opr_nobody").unwrap();
    let gone = RemoveOperator { moment: kit.moment(), id: nobody, actor: operator() };
    assert!(!kit.store.run(gone).await.unwrap());
    assert_eq!(kit.add(token(&kit, "ann", Role::Viewer), by()).await, Added::Added);
    kit.advance(DAY + Duration::from_secs(1));
    assert_eq!(kit.add(token(&kit, "ann", Role::Viewer), by()).await, Added::Added);
    let page = |after, limit| Operators { after, limit };
    let first = kit.store.ask(&page(None, 2)).await.unwrap();
    let rest = kit.store.ask(&page(Some(first[1].id.clone()), 100)).await.unwrap();
    assert_eq!((first.len(), rest.len()), (2, 1));
}
