//! The seeded bugs in the authentication of the hub at providers.

use super::table::{Mutant, TestTarget};

pub(super) const PROVIDER_CREDENTIAL_MUTANTS: &[Mutant] = &[
    Mutant {
        name: "an assertion is valid for a day",
        file: "crates/domain/src/jose/client_assertion.rs",
        original: "exp: issued_at + VALIDITY_SECONDS,",
        replacement: "exp: issued_at + VALIDITY_SECONDS * 1440,",
        tests: TestTarget::Unit("bowline-domain"),
        test: "jose::client_assertion::tests::rfc7523_s3_assertion_of_each_algorithm_verifies",
        expected_failure: "1800086400",
        always: true,
    },
    Mutant {
        name: "the last key signs, which the provider does not know yet",
        file: "crates/domain/src/jose/client_assertion.rs",
        original: "let signing = keys.next().ok_or(AssertionKeyError::NotPkcs8)?;",
        replacement: "let signing = keys.next_back().ok_or(AssertionKeyError::NotPkcs8)?;",
        tests: TestTarget::Unit("bowline-domain"),
        test: "jose::client_assertion::tests::first_key_signs_and_each_key_is_published",
        expected_failure: "the first key must sign",
        always: false,
    },
    Mutant {
        name: "a changed certificate is not loaded",
        file: "crates/server/src/upstream/transport.rs",
        original: ".filter(|client| client.stamps == stamps)",
        replacement: ".filter(|client| client.stamps.len() == stamps.len())",
        tests: TestTarget::Integration,
        test: "independent_provider::tls_client_auth_connects_and_reloads_certificate",
        expected_failure: "no code",
        always: false,
    },
    Mutant {
        name: "every private range may be allowed",
        file: "crates/domain/src/rule/provider/transport.rs",
        original: "is_private(range.network()) && is_private(range.broadcast())",
        replacement: "is_private(range.network()) || is_private(range.broadcast())",
        tests: TestTarget::Unit("bowline-domain"),
        test: "rule::provider::transport::tests::invalid_transport_setting_is_named",
        expected_failure: "10.0.0.0/7",
        always: false,
    },
    Mutant {
        name: "metadata of another issuer are used",
        file: "crates/domain/src/rule/provider_metadata.rs",
        original: "if metadata.issuer.trim_end_matches('/') != issuer.trim_end_matches('/') {",
        replacement: "if metadata.issuer.trim_end_matches('/').is_empty() {",
        tests: TestTarget::Unit("bowline-domain"),
        test: "rule::provider_metadata::tests::rfc8414_s3_3_document_of_other_issuer_is_rejected",
        expected_failure: "OtherIssuer",
        always: false,
    },
];
