//! The seeded bugs in the handling of clocks that jump.

use super::table::{Mutant, TestTarget};

pub(super) const CLOCK_MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a jump of the clock is not noticed",
        file: "crates/server/src/clock.rs",
        original: "if !state.own.has_jumped(reading) {",
        replacement: "if !state.own.has_jumped(reading) || self.settle > Duration::ZERO {",
        tests: TestTarget::Integration,
        test: "clock::clock_jump_makes_node_unavailable_until_steady",
        expected_failure: "!self.is_clock_ready(kit).await",
        always: false,
    },
    Mutant {
        name: "many connections end by expiry although the time is doubtful",
        file: "crates/domain/src/rule/expiry_brake.rs",
        original: "ExpiryState::Running if is_time_doubtful && due > limit => ExpiryDecision::Brake,",
        replacement: "ExpiryState::Running if is_time_doubtful && due / 9 > limit => ExpiryDecision::Brake,",
        tests: TestTarget::Integration,
        test: "expiry::expiry_after_downtime_waits_for_operator",
        expected_failure: "connections ended without an operator",
        always: false,
    },
];
