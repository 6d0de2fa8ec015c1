//! Tests of the searches that operators run: each filter returns the matching rows, and paging skips none of them.

use domain::id::{ConnectionId, ProviderId};
use domain::model::connection::{ConnectionStatus, EndCause};
use domain::model::job::{JobKind, JobState};
use store::query::{GetConnectionSummary, ListConnectionJobs, ListConnections, ListJobs, TimeRange};

use crate::support::{DAY, TestStore, connection_id, connection_name, on_both, parse_client_id};

on_both!(
    connection_filters_return_matching_connections,
    connection_pages_are_complete_without_duplicates,
    search_continues_after_window_without_matches,
    job_filters_return_matching_jobs
);

const ALL_CONNECTIONS: ListConnections = ListConnections {
    id: None,
    client_id: None,
    provider_id: None,
    sub: None,
    status: None,
    created: TimeRange::ALL,
    ended: None,
    after: None,
    limit: 100,
    window: 1_000,
};

impl TestStore {
    async fn list_connection_names(&self, query: ListConnections) -> Vec<String> {
        let found = self.store.query(&query).await.unwrap().rows;
        found.iter().map(|f| connection_name(&f.connection.id)).collect()
    }
}

async fn connection_filters_return_matching_connections(mut kit: TestStore) {
    let begun = kit.now;
    kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    kit.advance_clock(DAY);
    let b = kit.create_active_connection("b", "dc-other", Some("alice")).await;
    kit.advance_clock(DAY);
    kit.create_pending_connection("c", "dc-acme", Some("bob")).await;
    kit.end_connection(&b, EndCause::Operator, None).await;
    let end = kit.now;
    let sub = kit.get_connection(&b).await.sub;
    let window = |from, before| TimeRange { from, before };
    let later = end.plus(DAY);
    for (query, expected) in [
        (ALL_CONNECTIONS, vec!["c", "b", "a"]),
        (ListConnections { id: Some(b.clone()), ..ALL_CONNECTIONS }, vec!["b"]),
        (ListConnections { client_id: Some(parse_client_id("dc-acme")), ..ALL_CONNECTIONS }, vec!["c", "a"]),
        (
            ListConnections { provider_id: Some(ProviderId::new(1000)), ..ALL_CONNECTIONS },
            vec!["c", "b", "a"],
        ),
        (ListConnections { provider_id: Some(ProviderId::new(2000)), ..ALL_CONNECTIONS }, vec![]),
        (ListConnections { sub: Some(sub), ..ALL_CONNECTIONS }, vec!["b"]),
        (ListConnections { status: Some(ConnectionStatus::Active), ..ALL_CONNECTIONS }, vec!["a"]),
        (ListConnections { status: Some(ConnectionStatus::Revoked), ..ALL_CONNECTIONS }, vec!["b"]),
        (ListConnections { created: window(begun, begun.plus(DAY)), ..ALL_CONNECTIONS }, vec!["a"]),
        (ListConnections { created: window(begun.plus(DAY), later), ..ALL_CONNECTIONS }, vec!["c", "b"]),
        (ListConnections { ended: Some(window(end, later)), ..ALL_CONNECTIONS }, vec!["b"]),
        (ListConnections { ended: Some(window(begun, end)), ..ALL_CONNECTIONS }, vec![]),
        (
            ListConnections {
                ended: Some(TimeRange::ALL),
                client_id: Some(parse_client_id("dc-acme")),
                ..ALL_CONNECTIONS
            },
            vec![],
        ),
        (
            ListConnections {
                ended: Some(TimeRange::ALL),
                client_id: Some(parse_client_id("dc-other")),
                ..ALL_CONNECTIONS
            },
            vec!["b"],
        ),
    ] {
        assert_eq!(kit.list_connection_names(query.clone()).await, expected, "{query:?}");
    }
    let (found, terms) = kit.store.query(&GetConnectionSummary { id: b.clone() }).await.unwrap().unwrap();
    assert_eq!((found.created_at, found.activated_at), (begun.plus(DAY), Some(begun.plus(DAY))));
    assert_eq!(terms.account_count, Some(1));
    let unknown_id = "con_nobody".parse::<ConnectionId>().unwrap();
    assert!(kit.store.query(&GetConnectionSummary { id: unknown_id }).await.unwrap().is_none());
}

async fn connection_pages_are_complete_without_duplicates(mut kit: TestStore) {
    for n in 0..5 {
        let id =
            kit.create_active_connection(&format!("p{n}"), "dc-acme", Some(&format!("customer {n}"))).await;
        if n % 2 == 0 {
            kit.advance_clock(DAY);
        }
        kit.end_connection(&id, EndCause::Operator, None).await;
    }
    let acme = || Some(parse_client_id("dc-acme"));
    for query in [
        ALL_CONNECTIONS,
        ListConnections { client_id: acme(), ..ALL_CONNECTIONS },
        ListConnections { ended: Some(TimeRange::ALL), ..ALL_CONNECTIONS },
        ListConnections { ended: Some(TimeRange::ALL), client_id: acme(), ..ALL_CONNECTIONS },
        ListConnections { status: Some(ConnectionStatus::Revoked), ..ALL_CONNECTIONS },
    ] {
        let expected = kit.list_connection_names(query.clone()).await;
        assert_eq!(expected.len(), 5);
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = ListConnections { limit: 2, after: after.take(), ..query.clone() };
            let rows = kit.store.query(&page).await.unwrap().rows;
            let Some(last) = rows.last() else { break };
            after = Some(last.connection.id.clone());
            paged.extend(kit.list_connection_names(page).await);
        }
        assert_eq!(paged, expected, "{query:?}");
    }
}

/// A search examines only its window. A page may be empty, and the search then continues after the window.
async fn search_continues_after_window_without_matches(mut kit: TestStore) {
    for n in 0..7 {
        let id =
            kit.create_active_connection(&format!("p{n}"), "dc-acme", Some(&format!("customer {n}"))).await;
        if n < 2 {
            kit.end_connection(&id, EndCause::Operator, None).await;
        }
        kit.advance_clock(DAY);
    }
    let acme = || Some(parse_client_id("dc-acme"));
    let revoked = ListConnections { status: Some(ConnectionStatus::Revoked), ..ALL_CONNECTIONS };
    for (query, expected_pages) in [
        (revoked.clone(), vec![vec![], vec![], vec!["p1"], vec!["p0"]]),
        (
            ListConnections { client_id: acme(), ..revoked.clone() },
            vec![vec![], vec![], vec!["p1"], vec!["p0"]],
        ),
        (
            ListConnections { ended: Some(TimeRange::ALL), ..revoked },
            vec![vec![], vec![], vec!["p1"], vec!["p0"]],
        ),
        (
            ListConnections {
                ended: Some(TimeRange::ALL),
                status: Some(ConnectionStatus::Active),
                ..ALL_CONNECTIONS
            },
            vec![vec![]; 4],
        ),
    ] {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let query = ListConnections { window: 2, after: after.take(), ..query.clone() };
            pages.push(kit.list_connection_names(query.clone()).await);
            let Some(end) = kit.store.query(&query).await.unwrap().window_end else { break };
            after = Some(end.connection.id);
        }

        assert_eq!(pages, expected_pages, "{query:?}");
    }
}

async fn job_filters_return_matching_jobs(mut kit: TestStore) {
    for name in ["a", "b"] {
        let id = kit.create_active_connection(name, "dc-acme", Some(name)).await;
        kit.end_connection(&id, EndCause::Operator, None).await;
        kit.advance_clock(DAY);
    }
    let all = ListJobs { state: None, kind: None, provider_id: None, after: None, limit: 100, window: 1_000 };
    let jobs = kit.store.query(&all).await.unwrap().rows;
    let connection_ids: Vec<_> =
        jobs.iter().map(|job| job.connection_id.as_ref().unwrap().as_str()).collect();
    assert_eq!(connection_ids, ["b", "a"].map(|name| connection_id(name).to_string()));
    assert!(jobs.iter().all(|job| job.holds_token && job.state == JobState::Pending));
    for (query, count) in [
        (ListJobs { state: Some(JobState::Pending), ..all.clone() }, 2),
        (ListJobs { state: Some(JobState::Failed), ..all.clone() }, 0),
        (ListJobs { kind: Some(JobKind::RevokeAtProvider), ..all.clone() }, 2),
        (ListJobs { kind: Some(JobKind::RecoverAuthorizationCode), ..all.clone() }, 0),
        (ListJobs { provider_id: Some(ProviderId::new(1000)), ..all.clone() }, 2),
        (ListJobs { provider_id: Some(ProviderId::new(2000)), ..all.clone() }, 0),
        (ListJobs { after: Some(jobs[0].id.clone()), ..all.clone() }, 1),
    ] {
        assert_eq!(kit.store.query(&query).await.unwrap().rows.len(), count, "{query:?}");
    }
    let connection_jobs = ListConnectionJobs { connection_id: jobs[0].connection_id.clone().unwrap() };
    assert_eq!(kit.store.query(&connection_jobs).await.unwrap().len(), 1);
}
