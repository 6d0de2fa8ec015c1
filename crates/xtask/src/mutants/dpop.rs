//! The seeded bugs in tokens that are bound to a key (DPoP).

use super::table::{Mutant, TestTarget};

pub(super) const DPOP_MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a DPoP proof names the URL with its query",
        file: "crates/domain/src/jose/dpop.rs",
        original: "htu: &request.url[..Position::AfterPath],",
        replacement: "htu: &request.url[..Position::AfterQuery],",
        tests: TestTarget::Unit("bowline-domain"),
        test: "jose::dpop::tests::rfc9449_s4_2_proof_names_request_and_token",
        expected_failure: "limit=5",
        always: false,
    },
    Mutant {
        name: "a bearer token is used although it must be bound to a key",
        file: "crates/domain/src/rule/dpop.rs",
        original: "(false, _, Dpop::Required) => Err(TokenTypeError::NotBound),",
        replacement: "(false, false, Dpop::Required) => Err(TokenTypeError::NotBound),\n        (false, true, Dpop::Required) => Ok(TokenPresentation::Bearer),",
        tests: TestTarget::Unit("bowline-domain"),
        test: "rule::dpop::tests::token_type_must_fit_setting_and_proof",
        expected_failure: "NotBound",
        always: false,
    },
    Mutant {
        name: "a demanded nonce is taken for an expired access token",
        file: "crates/server/src/upstream/data_endpoint.rs",
        original: "if let Some(code) = response.proof_error() {",
        replacement: "if let Some(code) = response.proof_error().filter(|_| response.body.is_empty()) {",
        tests: TestTarget::Integration,
        test: "dpop::loop_of_nonces_ends_read_without_refresh",
        expected_failure: "no token is refreshed",
        always: true,
    },
    Mutant {
        name: "a token of a type that is not accepted is presented after a refresh",
        file: "crates/server/src/upstream/refresh.rs",
        original: "let is_usable = is_presentable && (",
        replacement: "let is_usable = (is_presentable || dpop_key.is_none()) && (provider.settings.dpop == Dpop::Required || ",
        tests: TestTarget::Integration,
        test: "dpop::refresh_with_token_of_other_type_keeps_grant",
        expected_failure: "the new refresh token is kept",
        always: false,
    },
    Mutant {
        name: "the key of a grant is lost when its refresh token is replaced",
        file: "crates/server/src/upstream/refresh.rs",
        original: "let seal_refresh_token = |token| seal(SealPurpose::RefreshToken, (token, grant_key));",
        replacement: "let seal_refresh_token = |token| seal(SealPurpose::RefreshToken, (token, grant_key.filter(|_| has_moved)));",
        tests: TestTarget::Integration,
        test: "dpop::grant_keeps_its_key_when_setting_changes",
        expected_failure: "left: 500",
        always: false,
    },
];
