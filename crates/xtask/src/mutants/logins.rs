//! The seeded bugs in authorization requests before the decision of the customer.

use super::table::{Mutant, TestTarget};

pub(super) const LOGIN_MUTANTS: &[Mutant] = &[
    Mutant {
        name: "authorization requests of a network are not limited",
        file: "crates/server/src/rate_limit.rs",
        original: "self.login.take(&(step, from))",
        replacement: "Ok::<_, RateLimitError>((step, from)).map(drop)",
        tests: TestTarget::Integration,
        test: "undecided_requests::built_program_limits_and_stores_no_request",
        expected_failure: "the requests of one network must be limited",
        always: false,
    },
    Mutant {
        name: "the cookie of an expired request stores a row",
        file: "crates/store/src/command/authorization_request.rs",
        original: "if now >= request.expires_at {",
        replacement: "if now < request.created_at {",
        tests: TestTarget::StoreSuite,
        test: "authorization_request::sqlite::request_of_old_cookie_never_begins_again",
        expected_failure: "no row is inserted after the purge",
        always: false,
    },
];
