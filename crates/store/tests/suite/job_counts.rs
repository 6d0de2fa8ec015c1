//! Tests that the stored counts of jobs equal the number of jobs in the table, also after random histories of commands.

use std::collections::BTreeMap;

use domain::id::JobId;
use domain::model::connection::EndCause;
use domain::model::job::{AttemptOutcome, JobState};
use futures_util::future::{join, join_all};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use store::command::{FailedJobAction, FoldJobTransitions, Purge, ResolveFailedJob};
use store::query::{CountJobs, JobSummary, ListJobs};

use crate::job::{finish_job, lease_job};
use crate::support::{DAY, TestStore, on_both, operator_actor};

on_both!(
    job_counts_stay_exact_during_concurrent_connection_ends,
    job_counts_follow_each_state_up_to_the_purge
);

#[derive(Clone, Debug)]
enum JobStep {
    End,
    Attempt { outcome: u8 },
    Resolve { retry: bool },
    Fold { limit: u32 },
    Purge,
    Wait { days: u8 },
}

fn history_strategy() -> impl Strategy<Value = Vec<JobStep>> {
    let step = prop_oneof![
        4 => Just(JobStep::End),
        4 => (0..4_u8).prop_map(|outcome| JobStep::Attempt { outcome }),
        2 => any::<bool>().prop_map(|retry| JobStep::Resolve { retry }),
        2 => (1..4_u32).prop_map(|limit| JobStep::Fold { limit }),
        2 => Just(JobStep::Purge),
        2 => (1..80_u8).prop_map(|days| JobStep::Wait { days }),
    ];
    prop::collection::vec(step, 1..24)
}

impl TestStore {
    async fn list_jobs(&self, state: Option<JobState>) -> Vec<JobSummary> {
        let list =
            ListJobs { state, kind: None, provider_id: None, after: None, limit: 1_000, window: 1_000 };
        self.store.query(&list).await.unwrap().rows
    }

    async fn fold_job_transitions(&self, limit: u32) -> u32 {
        self.store.run(FoldJobTransitions { moment: self.next_moment(), limit }).await.unwrap()
    }

    async fn assert_job_counts(&self) {
        let mut expected: BTreeMap<_, i64> = BTreeMap::new();
        for job in self.list_jobs(None).await {
            *expected.entry((job.kind.as_str(), job.state.as_str())).or_default() += 1;
        }
        let mut counts = self.store.query(&CountJobs).await.unwrap();
        counts.retain(|_, jobs| *jobs != 0);
        assert_eq!(counts, expected);
    }

    async fn resolve_first_failed_job(&self, retry: bool) {
        let Some(job) = self.list_jobs(Some(JobState::Failed)).await.pop() else { return };
        let action = if retry { FailedJobAction::Retry } else { FailedJobAction::Close };
        let (moment, job_id, actor): (_, JobId, _) = (self.next_moment(), job.id, operator_actor());
        // A job whose token was deleted cannot be retried. Then nothing may change.
        let _ = self.store.run(ResolveFailedJob { moment, job_id, action, actor }).await.unwrap();
    }
}

async fn run_history(mut kit: TestStore, steps: Vec<JobStep>) {
    for (nth, step) in steps.into_iter().enumerate() {
        match step {
            JobStep::End => {
                let name = format!("n{nth}");
                let id = kit.create_active_connection(&name, "dc-acme", Some(&name)).await;
                kit.end_connection(&id, EndCause::Recipient, None).await;
            }
            JobStep::Attempt { outcome } => {
                let outcome = [
                    AttemptOutcome::Accepted,
                    AttemptOutcome::Refused,
                    AttemptOutcome::Blocked,
                    AttemptOutcome::RetryLater { retry_after: None },
                ][usize::from(outcome)];
                if let Some((job, lease)) = lease_job(&kit).await {
                    finish_job(&kit, &job, lease, outcome).await;
                }
            }
            JobStep::Resolve { retry } => kit.resolve_first_failed_job(retry).await,
            JobStep::Fold { limit } => {
                kit.fold_job_transitions(limit).await;
            }
            JobStep::Purge => {
                kit.store.run(Purge { moment: kit.next_moment(), limit: 100 }).await.unwrap();
            }
            JobStep::Wait { days } => kit.advance_clock(DAY * u32::from(days)),
        }
        kit.assert_job_counts().await;
    }
}

fn run_histories(cases: u32, open: impl AsyncFn() -> TestStore) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let ran = runner.run(&history_strategy(), |steps| {
        runtime.block_on(async { run_history(open().await, steps).await });
        Ok(())
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
}

#[test]
fn job_counts_equal_jobs_after_random_history_on_sqlite() {
    run_histories(30, TestStore::open_sqlite);
}

#[test]
fn job_counts_equal_jobs_after_random_history_on_postgres() {
    run_histories(8, TestStore::open_postgres);
}

async fn job_counts_stay_exact_during_concurrent_connection_ends(kit: TestStore) {
    let mut connections = Vec::new();
    for nth in 0..20 {
        connections.push(kit.create_active_connection(&format!("n{nth}"), "dc-acme", None).await);
    }
    let ends = connections.iter().map(|id| kit.end_connection(id, EndCause::Recipient, None));
    let folds = (0..10).map(|_| kit.fold_job_transitions(3));

    join(join_all(ends), join_all(folds)).await;

    kit.assert_job_counts().await;
    while kit.fold_job_transitions(3).await > 0 {}
    kit.assert_job_counts().await;
}

/// The history that every random one contains only by chance: done, failed, retried, closed and purged.
async fn job_counts_follow_each_state_up_to_the_purge(kit: TestStore) {
    let done = vec![JobStep::End, JobStep::Attempt { outcome: 0 }];
    let failed = vec![JobStep::End, JobStep::Wait { days: 8 }, JobStep::Attempt { outcome: 3 }];
    let retry =
        vec![JobStep::Resolve { retry: true }, JobStep::Wait { days: 8 }, JobStep::Attempt { outcome: 3 }];
    let close = vec![JobStep::Resolve { retry: false }, JobStep::Wait { days: 40 }];
    let purge = vec![JobStep::Fold { limit: 3 }, JobStep::Purge, JobStep::Fold { limit: 100 }];

    run_history(kit, [done, failed, retry, close, purge].concat()).await;
}
