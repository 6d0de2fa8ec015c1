//! Seeded bugs of the ends of connections, and of the commands that write them.

use super::table::{Mutant, TestTarget};

pub(super) const END_MUTANTS: &[Mutant] = &[
    Mutant {
        name: "the tokens of ended connections are never deleted",
        file: "crates/store/src/command/delete_tokens.rs",
        original: "DELETE FROM refresh_tokens WHERE token_hash = ?1",
        replacement: "DELETE FROM refresh_tokens WHERE token_hash = ?1 AND 1 = 0",
        tests: TestTarget::StoreSuite,
        test: "connection::sqlite::connection_end_deletes_tokens_and_credentials",
        expected_failure: "is_none()",
        always: false,
    },
    Mutant {
        name: "an end keeps the keys of the tokens",
        file: "crates/store/src/command/end_connection.rs",
        original: "job_id = ?10, access_key = NULL,",
        replacement: "job_id = ?10, access_key = access_key,",
        tests: TestTarget::StoreSuite,
        test: "connection::sqlite::connection_end_deletes_tokens_and_credentials",
        expected_failure: "is_none()",
        always: false,
    },
    Mutant {
        name: "an announced read is not sent with the statement before it",
        file: "crates/store/src/postgres/transaction.rs",
        original: "self.announced.push((sql, params.into()));",
        replacement: "drop((sql, params));",
        tests: TestTarget::StoreSuite,
        test: "round_trips::exchange_and_end_need_few_round_trips",
        expected_failure: "the lock, what is read under it",
        always: false,
    },
    Mutant {
        name: "an end keeps the key of the accounts",
        file: "crates/store/src/command/end_connection.rs",
        original: "refresh_key = NULL, accounts_key = NULL, pending_until = NULL, updated_at = ?6",
        replacement: "refresh_key = NULL, pending_until = NULL, updated_at = ?6",
        tests: TestTarget::Integration,
        test: "ended_tokens::tokens_left_by_an_end_are_useless_sqlite",
        expected_failure: "and of the accounts",
        always: false,
    },
    Mutant {
        name: "a set of ends includes connections that share a grant",
        file: "crates/store/src/command/end_connection.rs",
        original: "if facts.settings.grant_scope == GrantScope::PerClientCustomer {",
        replacement: "if facts.settings.grant_scope == GrantScope::PerClientCustomer && last_used_at.is_some() {",
        tests: TestTarget::StoreSuite,
        test: "end_set::sqlite::ends_of_shared_grants_revoke_only_with_the_last",
        expected_failure: "tests/suite/end_set.rs",
        always: false,
    },
];
