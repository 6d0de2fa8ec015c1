//! Seeded bugs of documents that are being sent.

use super::table::{Mutant, TestTarget};

pub(super) const DOCUMENT_MUTANTS: &[Mutant] = &[
    Mutant {
        name: "access is not checked again while a document is sent",
        file: "crates/server/src/fdx_api/guarded_document.rs",
        original: "= reader.recheck_while_sending().await {",
        replacement: "= Ok::<(), super::DataError>(()) {",
        tests: TestTarget::Integration,
        test: "document_streams::connection_end_stops_document_sqlite",
        expected_failure: "the hub closes the document did not happen",
        always: false,
    },
    Mutant {
        name: "a document that its recipient does not read goes on after its connection ended",
        file: "crates/server/src/server/transfer.rs",
        original: "if transfer.poll_aborted(context).is_ready() {",
        replacement: "if transfer.poll_aborted(context).is_ready() && !transfer.has_pending() {",
        tests: TestTarget::Integration,
        test: "document_streams::slow_reader_is_reset_when_connection_ends",
        expected_failure: "the hub closes the document did not happen",
        always: false,
    },
    Mutant {
        name: "the kernel goes on sending a document after its connection ended",
        file: "crates/server/src/server/idle_timeout.rs",
        original: "if self.transfer.is_aborted()",
        replacement: "if false",
        tests: TestTarget::Integration,
        test: "document_streams::slow_reader_is_reset_when_connection_ends",
        expected_failure: "bytes after the end",
        always: false,
    },
    Mutant {
        name: "access is checked every ten seconds while a document is sent",
        file: "crates/server/src/fdx_api/guarded_document.rs",
        original: "const CHECK_INTERVAL: Duration = Duration::from_millis(250);",
        replacement: "const CHECK_INTERVAL: Duration = Duration::from_secs(10);",
        tests: TestTarget::Integration,
        test: "document_streams::document_stops_within_a_second_of_the_end",
        expected_failure: "Fast: [",
        always: false,
    },
];
