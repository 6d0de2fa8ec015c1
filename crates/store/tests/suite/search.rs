//! What operators look for: every filter finds what it says, and pages leave nothing out.

use domain::id::{ConnectionId, ProviderId};
use domain::model::connection::{Cause, Status};
use domain::model::job::{JobKind, JobState};
use store::query::{Connections, FoundById, Jobs, JobsOf, Window};

use crate::kit::{DAY, Kit, client, on_both};

on_both!(every_filter_finds_what_it_says, pages_leave_nothing_out_and_repeat_nothing, jobs_are_found);

const ALL: Connections = Connections {
    id: None,
    client_id: None,
    provider_id: None,
    sub: None,
    status: None,
    created: Window::ALL,
    ended: None,
    after: None,
    limit: 100,
};

impl Kit {
    async fn found(&self, query: Connections) -> Vec<String> {
        let found = self.store.ask(&query).await.unwrap();
        found.iter().map(|f| f.connection.id.as_str().trim_start_matches("con_").to_owned()).collect()
    }
}

async fn every_filter_finds_what_it_says(mut kit: Kit) {
    let begun = kit.now;
    kit.active("a", "dc-acme", Some("alice")).await;
    kit.advance(DAY);
    let b = kit.active("b", "dc-other", Some("alice")).await;
    kit.advance(DAY);
    kit.pending("c", "dc-acme", Some("bob")).await;
    kit.end(&b, Cause::Operator, None).await;
    let end = kit.now;
    let sub = kit.connection(&b).await.sub;
    let window = |from, before| Window { from, before };
    let later = end.plus(DAY);
    for (query, expected) in [
        (ALL, vec!["c", "b", "a"]),
        (Connections { id: Some(b.clone()), ..ALL }, vec!["b"]),
        (Connections { client_id: Some(client("dc-acme")), ..ALL }, vec!["c", "a"]),
        (Connections { provider_id: Some(ProviderId::new(1000)), ..ALL }, vec!["c", "b", "a"]),
        (Connections { provider_id: Some(ProviderId::new(2000)), ..ALL }, vec![]),
        (Connections { sub: Some(sub), ..ALL }, vec!["b"]),
        (Connections { status: Some(Status::Active), ..ALL }, vec!["a"]),
        (Connections { status: Some(Status::Revoked), ..ALL }, vec!["b"]),
        (Connections { created: window(begun, begun.plus(DAY)), ..ALL }, vec!["a"]),
        (Connections { created: window(begun.plus(DAY), later), ..ALL }, vec!["c", "b"]),
        (Connections { ended: Some(window(end, later)), ..ALL }, vec!["b"]),
        (Connections { ended: Some(window(begun, end)), ..ALL }, vec![]),
        (Connections { ended: Some(Window::ALL), client_id: Some(client("dc-acme")), ..ALL }, vec![]),
        (Connections { ended: Some(Window::ALL), client_id: Some(client("dc-other")), ..ALL }, vec!["b"]),
    ] {
        assert_eq!(kit.found(query.clone()).await, expected, "{query:?}");
    }
    let (found, terms) = kit.store.ask(&FoundById { id: b.clone() }).await.unwrap().unwrap();
    assert_eq!((found.created_at, found.activated_at), (begun.plus(DAY), Some(begun.plus(DAY))));
    assert_eq!(terms.accounts.map(|accounts| accounts.len()), Some(1));
    let nobody = ConnectionId::parse("con_nobody").unwrap();
    assert!(kit.store.ask(&FoundById { id: nobody }).await.unwrap().is_none());
}

async fn pages_leave_nothing_out_and_repeat_nothing(mut kit: Kit) {
    for n in 0..5 {
        let id = kit.active(&format!("p{n}"), "dc-acme", Some(&format!("customer {n}"))).await;
        if n % 2 == 0 {
            kit.advance(DAY);
        }
        kit.end(&id, Cause::Operator, None).await;
    }
    let acme = || Some(client("dc-acme"));
    for query in [
        ALL,
        Connections { client_id: acme(), ..ALL },
        Connections { ended: Some(Window::ALL), ..ALL },
        Connections { ended: Some(Window::ALL), client_id: acme(), ..ALL },
        Connections { status: Some(Status::Revoked), ..ALL },
    ] {
        let whole = kit.found(query.clone()).await;
        assert_eq!(whole.len(), 5);
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = Connections { limit: 2, after: after.take(), ..query.clone() };
            let rows = kit.store.ask(&page).await.unwrap();
            let Some(last) = rows.last() else { break };
            after = Some(page.key(last));
            paged.extend(kit.found(page).await);
        }
        assert_eq!(paged, whole, "{query:?}");
    }
}

async fn jobs_are_found(mut kit: Kit) {
    for name in ["a", "b"] {
        let id = kit.active(name, "dc-acme", Some(name)).await;
        kit.end(&id, Cause::Operator, None).await;
        kit.advance(DAY);
    }
    let all = Jobs { state: None, kind: None, provider_id: None, after: None, limit: 100 };
    let jobs = kit.store.ask(&all).await.unwrap();
    let about: Vec<_> = jobs.iter().map(|job| job.connection_id.as_ref().unwrap().as_str()).collect();
    assert_eq!(about, ["con_b", "con_a"]);
    assert!(jobs.iter().all(|job| job.holds_token && job.state == JobState::Pending));
    for (query, count) in [
        (Jobs { state: Some(JobState::Pending), ..all.clone() }, 2),
        (Jobs { state: Some(JobState::Dead), ..all.clone() }, 0),
        (Jobs { kind: Some(JobKind::TellBank), ..all.clone() }, 2),
        (Jobs { kind: Some(JobKind::RecoverCode), ..all.clone() }, 0),
        (Jobs { provider_id: Some(ProviderId::new(1000)), ..all.clone() }, 2),
        (Jobs { provider_id: Some(ProviderId::new(2000)), ..all.clone() }, 0),
        (Jobs { after: Some(jobs[0].id.clone()), ..all.clone() }, 1),
    ] {
        assert_eq!(kit.store.ask(&query).await.unwrap().len(), count, "{query:?}");
    }
    let of = JobsOf { connection_id: jobs[0].connection_id.clone().unwrap() };
    assert_eq!(kit.store.ask(&of).await.unwrap().len(), 1);
}
