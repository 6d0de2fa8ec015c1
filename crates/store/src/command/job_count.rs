//! The number of jobs of each kind and state, which is kept for metrics instead of being counted.
//!
//! A command that changes the state of jobs appends a transition, and a task adds the transitions to the counts. If the
//! commands updated the counts themselves, all ends of connections would wait for each other on one row.

use std::collections::BTreeMap;

use domain::Moment;
use domain::model::job::JobState;

use crate::error::Result;
use crate::operation::Command;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// Records that a number of jobs of one kind changes its state with this commit. New jobs have no `from`, deleted ones no
/// `to`.
///
/// Every statement that inserts or deletes jobs, or changes their state, must be accompanied by a call.
pub(super) fn record_job_transition(
    tx: &mut Tx<'_>,
    kind: &str,
    from: Option<JobState>,
    to: Option<JobState>,
    jobs: i64,
) {
    tx.defer(
        sql!(
            "-- record a change of the number of jobs
            INSERT INTO job_transitions (kind, from_state, to_state, jobs) VALUES (?1, ?2, ?3, ?4)"
        ),
        values![*kind, from, to, jobs],
    );
}

/// Adds the oldest transitions to the counts of jobs.
#[derive(Debug)]
pub struct FoldJobTransitions {
    pub moment: Moment,
    pub limit: u32,
}

impl Command for FoldJobTransitions {
    /// The number of transitions. If it equals the limit, there may be more.
    type Reply = u32;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<u32> {
        let transitions = tx.fetch_rows(TAKE_TRANSITIONS, values![self.limit]).await?;
        let number = u32::try_from(transitions.len()).unwrap_or(u32::MAX);
        // Sorted, so that two nodes which fold concurrently lock the counts in the same order.
        let mut changes: BTreeMap<(String, String), i64> = BTreeMap::new();
        for mut row in transitions {
            let (kind, jobs): (String, i64) = (row.get("kind")?, row.get("jobs")?);
            for (column, change) in [("from_state", -jobs), ("to_state", jobs)] {
                if let Some(state) = row.get::<Option<String>>(column)? {
                    *changes.entry((kind.clone(), state)).or_default() += change;
                }
            }
        }
        for ((kind, state), change) in changes.into_iter().filter(|(_, change)| *change != 0) {
            tx.defer(
                sql!(
                    "-- change the count of jobs of a kind and state
                    INSERT INTO job_counts (kind, state, jobs) VALUES (?1, ?2, ?3)
                    ON CONFLICT (kind, state) DO UPDATE SET jobs = job_counts.jobs + excluded.jobs"
                ),
                values![kind, state, change],
            );
        }
        Ok(number)
    }
}

// `SKIP LOCKED`: two nodes that fold concurrently take different transitions. The condition on the id holds for every
// transition; with it, SQLite names an index in its plan.
static TAKE_TRANSITIONS: &Sql = sql!(
    "-- take the oldest changes of the number of jobs
    DELETE FROM job_transitions WHERE id IN (
        SELECT id FROM job_transitions WHERE id > 0 ORDER BY id LIMIT ?1
        FOR UPDATE SKIP LOCKED
    ) RETURNING kind, from_state, to_state, jobs"
);

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[TAKE_TRANSITIONS];
