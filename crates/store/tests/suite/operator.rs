//! Tests of operators: use of the bootstrap token, and adding and removing operators; and of commands whose caller, an operator or a
//! partner, may not perform them any more.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use domain::id::{ConnectionId, OperatorId};
use domain::model::audit_event::{Actor, ActorKind, AuditHead, SubjectKind};
use domain::model::client::ClientKind;
use domain::model::connection::EndCause;
use domain::model::operator::{OperatorToken, Role};
use domain::model::provider::ProviderState;
use domain::rule::authority::{Authority, AuthorityError, PartnerAuthority};
use domain::rule::operator::{LOCAL_ACTOR_ID, OperatorAuthError, OperatorAuthority};
use store::command::{
    AddOperator, AddOperatorOutcome, ClientSelector, ClientUpdate, EndConnection, EndOutcome,
    IssueBootstrapToken, OperatorAddedBy, RemoveOperator, SetProviderState, UpdateClient,
};
use store::query::{FindOperator, ListOperators};
use store::{Location, StoreError};

use crate::support::{DAY, TestStore, hash, hashes, on_both, operator_actor, parse_client_id};

on_both!(
    bootstrap_token_adds_first_admin_once,
    newer_bootstrap_token_revokes_older,
    concurrent_bootstrap_uses_add_one_admin,
    removed_or_expired_admin_cannot_add_operators,
    command_of_removed_operator_has_no_effect,
    command_of_ended_partner_has_no_effect,
    operator_name_is_reusable_after_removal_or_expiry
);

fn build_operator_token(kit: &TestStore, name: &str, role: Role) -> OperatorToken {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    OperatorToken {
        id: format!("opr_{number:04}{name}").parse().unwrap(),
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

fn added_by_hub_user() -> OperatorAddedBy {
    OperatorAddedBy::Actor(Actor::new(ActorKind::Operator, LOCAL_ACTOR_ID))
}

impl TestStore {
    async fn issue_bootstrap_token(&self, text: &str) -> bool {
        let issue =
            IssueBootstrapToken { moment: self.next_moment(), hash: hash(text), actor: operator_actor() };
        self.store.run(issue).await.unwrap()
    }

    async fn find_operator(&self, text: &str) -> Option<OperatorToken> {
        self.store.query(&FindOperator { hashes: hashes(text) }).await.unwrap()
    }

    async fn add_operator(&self, token: OperatorToken, by: OperatorAddedBy) -> AddOperatorOutcome {
        self.store.run(AddOperator { moment: self.next_moment(), token, added_by: by }).await.unwrap()
    }

    async fn add_operator_for(
        &self,
        caller: &OperatorId,
        token: OperatorToken,
    ) -> Result<AddOperatorOutcome, OperatorAuthError> {
        let authority = OperatorAuthority { id: caller.clone(), required_role: Role::Admin };
        let added_by = OperatorAddedBy::Actor(Actor::new(ActorKind::Operator, caller.as_str()));
        let add = AddOperator { moment: self.next_moment(), token, added_by };
        match self.store.run_authorized(Authority::Operator(authority), add).await {
            Err(StoreError::CallerRefused(AuthorityError::Operator(error))) => Err(error),
            outcome => Ok(outcome.unwrap()),
        }
    }

    async fn operator_audit_actions(&self, id: &OperatorId) -> Vec<&'static str> {
        let all = self.store.query(&ListOperators { after: None, limit: 100 }).await.unwrap();
        let row = all.rows.into_iter().find(|operator| operator.id == *id).unwrap();
        let events = self.load_verified_audit_chain(SubjectKind::Operator, id, &row.audit).await;
        events.iter().map(|event| event.entry.action.as_str()).collect()
    }
}

async fn bootstrap_token_adds_first_admin_once(mut kit: TestStore) {
    assert!(kit.issue_bootstrap_token("first").await);
    let first = kit.find_operator("first").await.unwrap();
    assert!(first.bootstrap && first.is_usable(kit.now) && !first.is_usable(kit.now.plus(DAY)));
    let by = OperatorAddedBy::Bootstrap(first.id.clone());
    let ann = build_operator_token(&kit, "ann", Role::Admin);
    assert_eq!(kit.add_operator(ann.clone(), by.clone()).await, AddOperatorOutcome::Added);
    assert_eq!(
        kit.operator_audit_actions(&first.id).await,
        ["operator.bootstrap_token_issued", "operator.removed"]
    );
    assert_eq!(kit.operator_audit_actions(&ann.id).await, ["operator.added"]);
    assert_eq!(
        kit.add_operator(build_operator_token(&kit, "bob", Role::Admin), by).await,
        AddOperatorOutcome::NotAuthorized,
        "once"
    );
    assert!(!kit.issue_bootstrap_token("second").await, "an admin exists");
    kit.advance_clock(DAY);
    assert!(kit.issue_bootstrap_token("second").await, "the only admin has expired");
}

async fn removed_or_expired_admin_cannot_add_operators(mut kit: TestStore) {
    let (ann, bob, eve) = (
        build_operator_token(&kit, "ann", Role::Admin),
        build_operator_token(&kit, "bob", Role::Admin),
        build_operator_token(&kit, "eve", Role::Operator),
    );
    assert_eq!(kit.add_operator(ann.clone(), added_by_hub_user()).await, AddOperatorOutcome::Added);
    for new in [&bob, &eve] {
        assert_eq!(kit.add_operator_for(&ann.id, new.clone()).await, Ok(AddOperatorOutcome::Added));
    }
    let add_late_operator = async |kit: &TestStore, caller: &OperatorId| {
        kit.add_operator_for(caller, build_operator_token(kit, "late", Role::Admin)).await
    };
    let insufficient_role = OperatorAuthError::InsufficientRole(Role::Admin);
    assert_eq!(add_late_operator(&kit, &eve.id).await, Err(insufficient_role), "the caller is no admin");
    let unknown = "opr_nobody".parse::<OperatorId>().unwrap();
    assert_eq!(add_late_operator(&kit, &unknown).await, Err(OperatorAuthError::Unknown));
    let remove = RemoveOperator { moment: kit.next_moment(), id: bob.id.clone(), actor: operator_actor() };
    assert!(kit.store.run(remove).await.unwrap());
    assert_eq!(add_late_operator(&kit, &bob.id).await, Err(OperatorAuthError::Unknown));
    kit.advance_clock(DAY);
    assert_eq!(add_late_operator(&kit, &ann.id).await, Err(OperatorAuthError::Unknown), "expired");
    assert!(kit.find_operator("late").await.is_none());
}

async fn command_of_removed_operator_has_no_effect(mut kit: TestStore) {
    let connection_id = kit.create_active_connection("alice", "dc-acme", None).await;
    let (ann, bob) = (
        build_operator_token(&kit, "ann", Role::Operator),
        build_operator_token(&kit, "bob", Role::Operator),
    );
    for operator in [&ann, &bob] {
        let added = kit.add_operator(operator.clone(), added_by_hub_user()).await;
        assert_eq!(added, AddOperatorOutcome::Added);
    }
    let attempt = async |kit: &TestStore, operator: &OperatorToken| {
        let authority = OperatorAuthority { id: operator.id.clone(), required_role: Role::Operator };
        let pause = SetProviderState {
            moment: kit.next_moment(),
            provider_id: kit.get_provider().await.id,
            state: ProviderState::Paused,
            actor: operator_actor(),
        };
        let end = EndConnection {
            moment: kit.next_moment(),
            connection_id: connection_id.clone(),
            cause: EndCause::Operator,
            actor: operator_actor(),
            fence: None,
        };
        let authority = Authority::Operator(authority);
        let paused = kit.store.run_authorized(authority.clone(), pause).await;
        let ended = kit.store.end_connection_authorized(authority, end).await;
        (paused, ended)
    };
    let unknown = AuthorityError::Operator(OperatorAuthError::Unknown);
    let is_refused = |error: StoreError| matches!(error, StoreError::CallerRefused(e) if e == unknown);

    let remove = RemoveOperator { moment: kit.next_moment(), id: ann.id.clone(), actor: operator_actor() };
    assert!(kit.store.run(remove).await.unwrap());
    let (paused, ended) = attempt(&kit, &ann).await;
    assert!(is_refused(paused.unwrap_err()) && is_refused(ended.unwrap_err()), "removed");
    let now = kit.now;
    kit.now = bob.expires_at;
    let (paused, ended) = attempt(&kit, &bob).await;
    assert!(is_refused(paused.unwrap_err()) && is_refused(ended.unwrap_err()), "expired");

    kit.now = now;
    assert_eq!(kit.get_provider().await.state, ProviderState::Active);
    assert_eq!(kit.find_end_cause(&connection_id).await, None);
    let (paused, ended) = attempt(&kit, &bob).await;
    assert!(paused.unwrap());
    assert_eq!(ended.unwrap(), EndOutcome::Ended(EndCause::Operator));
}

async fn newer_bootstrap_token_revokes_older(kit: TestStore) {
    assert!(kit.issue_bootstrap_token("one").await && kit.issue_bootstrap_token("two").await);
    assert!(kit.find_operator("one").await.unwrap().ended_at.is_some());
    let old = OperatorAddedBy::Bootstrap(kit.find_operator("one").await.unwrap().id);
    assert_eq!(
        kit.add_operator(build_operator_token(&kit, "ann", Role::Admin), old).await,
        AddOperatorOutcome::NotAuthorized
    );
    let new = OperatorAddedBy::Bootstrap(kit.find_operator("two").await.unwrap().id);
    assert_eq!(
        kit.add_operator(build_operator_token(&kit, "ann", Role::Admin), new).await,
        AddOperatorOutcome::Added
    );
}

async fn concurrent_bootstrap_uses_add_one_admin(kit: TestStore) {
    assert!(kit.issue_bootstrap_token("first").await);
    let by = OperatorAddedBy::Bootstrap(kit.find_operator("first").await.unwrap().id);
    let tries = (0..8)
        .map(|n| kit.add_operator(build_operator_token(&kit, &format!("ann{n}"), Role::Admin), by.clone()));
    let added = futures_util::future::join_all(tries).await;
    assert_eq!(added.iter().filter(|added| **added == AddOperatorOutcome::Added).count(), 1, "{added:?}");
}

async fn operator_name_is_reusable_after_removal_or_expiry(mut kit: TestStore) {
    let by = || OperatorAddedBy::Actor(Actor::new(ActorKind::Operator, "test"));
    let ann = build_operator_token(&kit, "ann", Role::Viewer);
    assert_eq!(kit.add_operator(ann.clone(), by()).await, AddOperatorOutcome::Added);
    assert_eq!(
        kit.add_operator(build_operator_token(&kit, "ann", Role::Admin), by()).await,
        AddOperatorOutcome::AlreadyExists
    );
    let duplicate = OperatorToken { name: "other".into(), hash: hash("other"), ..ann.clone() };
    assert_eq!(
        kit.add_operator(duplicate, by()).await,
        AddOperatorOutcome::AlreadyExists,
        "the id already exists"
    );
    let remove = || RemoveOperator { moment: kit.next_moment(), id: ann.id.clone(), actor: operator_actor() };
    assert!(kit.store.run(remove()).await.unwrap() && kit.store.run(remove()).await.unwrap());
    assert_eq!(kit.operator_audit_actions(&ann.id).await, ["operator.added", "operator.removed"], "once");
    let unknown_id = "opr_nobody".parse::<OperatorId>().unwrap();
    let remove_unknown =
        RemoveOperator { moment: kit.next_moment(), id: unknown_id, actor: operator_actor() };
    assert!(!kit.store.run(remove_unknown).await.unwrap());
    assert_eq!(
        kit.add_operator(build_operator_token(&kit, "ann", Role::Viewer), by()).await,
        AddOperatorOutcome::Added
    );
    kit.advance_clock(DAY + Duration::from_secs(1));
    assert_eq!(
        kit.add_operator(build_operator_token(&kit, "ann", Role::Viewer), by()).await,
        AddOperatorOutcome::Added
    );
    let page = |after, limit| ListOperators { after, limit };
    let first = kit.store.query(&page(None, 2)).await.unwrap();
    let rest = kit.store.query(&page(Some(first.rows[1].id.clone()), 100)).await.unwrap();
    assert_eq!((first.rows.len(), rest.rows.len()), (2, 1));
}

/// A suspended partner can still end connections. One whose secret was replaced, or that was removed, can do nothing.
async fn command_of_ended_partner_has_no_effect(kit: TestStore) {
    assert!(kit.register("dc-partner", ClientKind::Partner, None).await);
    kit.register_under_partner("dc-recipient", "dc-partner").await;
    let mut ids = Vec::new();
    for name in ["a", "b"] {
        ids.push(kit.create_active_connection(name, "dc-acme", Some(name)).await);
    }
    let attempt = async |level, connection: &ConnectionId| {
        let authority = |may_be_suspended| {
            let id = parse_client_id("dc-partner");
            Authority::Partner(PartnerAuthority { id, credential_generation: 1, may_be_suspended })
        };
        let (partner, recipient) = (parse_client_id("dc-partner"), parse_client_id("dc-recipient"));
        let update = UpdateClient {
            moment: kit.next_moment(),
            selector: ClientSelector::for_partner(partner, recipient),
            update: ClientUpdate::RedirectUris(vec![format!("https://{level}.example/")]),
            actor: operator_actor(),
        };
        let end = EndConnection {
            moment: kit.next_moment(),
            connection_id: connection.clone(),
            cause: EndCause::Partner,
            actor: operator_actor(),
            fence: None,
        };
        let refusal = |error: StoreError| match error {
            StoreError::CallerRefused(error) => error,
            other => panic!("{other}"),
        };
        let updated = kit.store.run_authorized(authority(false), update).await.map_err(refusal);
        let ended = kit.store.end_connection_authorized(authority(true), end).await.map_err(refusal);
        (updated, ended)
    };

    let active = attempt("active", &ids[0]).await;
    assert!(kit.update_client("dc-partner", ClientUpdate::Suspended(true)).await);
    let suspended = attempt("suspended", &ids[1]).await;
    assert!(kit.update_client("dc-partner", ClientUpdate::Suspended(false)).await);
    assert!(kit.update_client("dc-partner", ClientUpdate::Secret(hash("new secret"))).await);
    let renewed = attempt("renewed", &ids[1]).await;

    assert_eq!(active, (Ok(true), Ok(EndOutcome::Ended(EndCause::Partner))));
    let ended = Ok(EndOutcome::Ended(EndCause::Partner));
    assert_eq!(suspended, (Err(AuthorityError::PartnerSuspended), ended));
    assert_eq!(renewed, (Err(AuthorityError::PartnerEnded), Err(AuthorityError::PartnerEnded)));
}

/// While another program has the write lock, every batch fails. Ends that waited for several batches would get `Busy`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_ends_of_operators_wait_only_for_the_writer() {
    let kit = TestStore::open_sqlite().await;
    let ann = build_operator_token(&kit, "ann", Role::Operator);
    assert_eq!(kit.add_operator(ann.clone(), added_by_hub_user()).await, AddOperatorOutcome::Added);
    let mut ids = Vec::new();
    for n in 0..40 {
        ids.push(kit.create_active_connection(&format!("n{n}"), "dc-acme", Some(&format!("c{n}"))).await);
    }
    let end = |connection_id: &ConnectionId| {
        let authority = OperatorAuthority { id: ann.id.clone(), required_role: Role::Operator };
        let end = EndConnection {
            moment: kit.next_moment(),
            connection_id: connection_id.clone(),
            cause: EndCause::Operator,
            actor: operator_actor(),
            fence: None,
        };
        kit.store.end_connection_authorized(Authority::Operator(authority), end)
    };
    let Location::Sqlite(path) = &kit.location else { panic!("SQLite") };
    let other = rusqlite::Connection::open(path).unwrap();

    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let failed = futures_util::future::join_all(ids.iter().map(end)).await;
    other.execute_batch("ROLLBACK").unwrap();
    let ended = futures_util::future::join_all(ids.iter().map(end)).await;

    assert!(failed.iter().all(|result| matches!(result, Err(StoreError::Unavailable(_)))), "{failed:?}");
    let outcomes: Vec<EndOutcome> = ended.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes, vec![EndOutcome::Ended(EndCause::Operator); 40]);
}
