//! Access tokens: a token without a signature of the hub is rejected.
#![no_main]

use std::sync::LazyLock;

use domain::jose::AccessTokenKeys;
use domain::{Secret, Timestamp};
use libfuzzer_sys::fuzz_target;

static KEYS: LazyLock<AccessTokenKeys> =
    LazyLock::new(|| AccessTokenKeys::new("https://hub.example", ("k", &Secret::new([1; 32])), &[]));

/// The header of the hub's tokens. Without it, no input would reach the code behind the check of the header.
const HEADER: &str = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJIUzI1NiIsImtpZCI6ImsifQ";

fuzz_target!(|text: &str| {
    let now = Timestamp::from_seconds(1_709_146_734);
    for token in [text.to_owned(), format!("{HEADER}.{text}")] {
        assert!(KEYS.verify(&token, now).is_err(), "a forged token must be rejected: {token}");
    }
});
