//! The seeded bugs in the access map, and in the barriers that keep it exact on PostgreSQL.

use super::table::{Mutant, TestTarget};

pub(super) const ACCESS_MAP_MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a row that was read before a commit is kept in memory after it",
        file: "crates/store/src/access_map/entry_map.rs",
        original: "if shard.closed == 0 && shard.reopened_at <= read_after &&",
        replacement: "if (shard.closed == 0 || shard.reopened_at <= read_after) &&",
        tests: TestTarget::Unit("bowline-store"),
        test: "access_map::interleavings::answer_after_acknowledged_end_is_never_stale",
        expected_failure: "a stale state after the response",
        always: false,
    },
    Mutant {
        name: "changed rows leave the memory only at their next change, after the response",
        file: "crates/store/src/access_map/entry_map.rs",
        original: "            shard.entries.remove(key);",
        replacement: "            if shard.reopened_at > CommitTime(u64::MAX / 2) { shard.entries.remove(key); }",
        tests: TestTarget::Integration,
        test: "race::no_read_succeeds_after_connection_end_sqlite",
        expected_failure: "succeeded after",
        always: false,
    },
    Mutant {
        name: "the successor of a replaced connection counts as active forever",
        file: "crates/store/src/access_map/map.rs",
        original: "self.map.connections.find(successor, self.barrier)?.status == ConnectionStatus::Active",
        replacement: "self.map.connections.find(successor, BarrierNumber::LAST).is_none_or(|_| true)",
        tests: TestTarget::Integration,
        test: "revoke::revoke_of_replaced_connection_depends_on_current_successor",
        expected_failure: "the successor has ended",
        always: false,
    },
    Mutant {
        name: "an answer from memory does not wait for a barrier",
        file: "crates/store/src/postgres.rs",
        original: "let barrier = self.read_barrier.wait().await?;
        let found =",
        replacement: "let known = self.map.answer(crate::access_map::BarrierNumber::LAST, |map| query.find_in_memory(map));
        if known.is_some() && self.map.stats().hits > 0 {
            return Ok(known);
        }
        let barrier = self.read_barrier.wait().await?;
        let found =",
        tests: TestTarget::StoreSuite,
        test: "read_barrier::end_on_other_node_is_seen_by_next_question",
        expected_failure: "right: Revoked",
        always: false,
    },
    Mutant {
        name: "the changes of a barrier leave the memory after its questions were answered",
        file: "crates/store/src/postgres/read_barrier.rs",
        original: "self.map.apply_barrier(changes);",
        replacement: "let map = Arc::clone(&self.map);
        tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            map.apply_barrier(changes);
        });",
        tests: TestTarget::StoreSuite,
        test: "read_barrier::end_on_other_node_is_seen_by_next_question",
        expected_failure: "right: Revoked",
        always: false,
    },
    Mutant {
        name: "a barrier overlooks transactions that were running at the previous one",
        file: "crates/store/src/postgres/read_barrier.rs",
        original: "SELECT pg_snapshot_xip(CAST(CAST(?1 AS TEXT) AS pg_snapshot))",
        replacement: "SELECT pg_snapshot_xip(CAST(CAST(?1 AS TEXT) AS pg_snapshot)) LIMIT 0",
        tests: TestTarget::StoreSuite,
        test: "read_barrier::late_commit_of_a_long_transaction_is_seen_by_next_question",
        expected_failure: "right: Unknown",
        always: false,
    },
    Mutant {
        name: "a row that was read after the snapshot of a barrier is joined with older rows",
        file: "crates/store/src/access_map/barrier.rs",
        original: "BarrierNumber(self.0.load(Ordering::SeqCst) + 1)",
        replacement: "BarrierNumber(self.0.load(Ordering::SeqCst))",
        tests: TestTarget::Unit("bowline-store"),
        test: "access_map::interleavings::nodes::row_read_after_a_barrier_was_sent_is_not_joined",
        expected_failure: "the connection had ended before the provider was released",
        always: false,
    },
];
